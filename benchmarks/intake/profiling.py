"""`--profile`: where the time goes. Intake and evaluation in this process under cProfile, then PostgreSQL's own log of
how long each statement took.

Figures under the profiler are for comparing functions, not for speed.
"""

import cProfile
import io
import os
import pstats
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from benchmarks.intake.events import TOKEN, Stream, token
from benchmarks.intake.home import Installation
from benchmarks.intake.load import Load

_DURATION = re.compile(r"duration: ([0-9.]+) ms  (?:statement|execute [^:]*|parse [^:]*|bind [^:]*): (.*)")
_TOP = 25


def profile(installed: Installation, stream: Stream, count: int) -> Load:
    """Accept and evaluate about ``count`` events twice: under cProfile, and with statements logged. Prints tables; sets
    Django up, so this is for a process of its own.
    """
    import django
    from django.core.wsgi import get_wsgi_application
    from django.utils import timezone

    os.environ["HOLDFAST_LOG_LEVEL"] = "WARNING"
    django.setup()
    from outcomes.evaluation import evaluate_waiting

    application = get_wsgi_application()
    requests = max(1, count // stream.size)

    def accept(round_: int) -> Callable[[], int]:
        bodies = [
            stream.bodies[place % len(stream.bodies)].replace(TOKEN, token(round_, place // len(stream.bodies)))
            for place in range(requests)
        ]
        return lambda: sum(_post(application, installed.key, body) for body in bodies) * stream.size

    def evaluate() -> int:
        return evaluate_waiting(timezone.now())

    accept(1)()
    evaluate()
    for name, work in (("intake", accept(2)), ("evaluation", evaluate)):
        _show_functions(name, work)
    for name, work in (("intake", accept(3)), ("evaluation", evaluate)):
        _show_statements(installed, name, work)
    sys.stdout.flush()
    return Load()


def _post(application: Callable, key: str, body: bytes) -> int:
    """One batch through the WSGI application; 1 where it was accepted."""
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/events/batch",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    }
    answer = application(environ, lambda status, headers: statuses.append(status))
    content = b"".join(answer)
    answer.close()
    if not statuses[0].startswith("202"):
        raise RuntimeError(f"{statuses[0]}: {content[:500]!r}")
    return 1


def _show_functions(name: str, work: Callable[[], int]) -> None:
    profiler = cProfile.Profile()
    events = profiler.runcall(work)
    out = io.StringIO()
    stats = pstats.Stats(profiler, stream=out).strip_dirs()
    print(
        f"\n-- {name}: {events:,} events, {stats.total_tt / events * 1e6:.1f} us an event under cProfile; by own time"
    )
    stats.sort_stats("tottime").print_stats(_TOP)
    print("\n".join(line for line in out.getvalue().splitlines()[4:] if line.strip()))


def _show_statements(installed: Installation, name: str, work: Callable[[], int]) -> None:
    log = installed.home / "postgres-main.log"
    start = log.stat().st_size
    with installed.connect() as database:
        database.execute("SET log_min_duration_statement = -1")  # these here are not meant
        database.execute("ALTER SYSTEM SET log_min_duration_statement = 0")
        database.execute("SELECT pg_reload_conf()")
        try:
            events = work()
        finally:
            database.execute("ALTER SYSTEM RESET log_min_duration_statement")
            database.execute("SELECT pg_reload_conf()")
    kinds = statements(log, start)
    total = sum(sum(times) for times in kinds.values())
    print(f"\n-- {name}: {events:,} events, {total * 1000 / events:.1f} us an event in PostgreSQL's statements")
    print(f"{'us/event':>9}{'share':>7}{'calls':>8}{'ms each':>9}  statement")
    for text, times in sorted(kinds.items(), key=lambda item: -sum(item[1]))[:_TOP]:
        spent = sum(times)
        each = spent / len(times)
        print(f"{spent * 1000 / events:>9.2f}{spent / total:>7.0%}{len(times):>8,}{each:>9.2f}  {text[:100]}")


def statements(log: Path, start: int) -> dict[str, list[float]]:
    """Milliseconds of each statement that PostgreSQL logged from byte ``start`` on, by its text without values."""
    kinds: dict[str, list[float]] = defaultdict(list)
    with log.open(errors="replace") as lines:
        lines.seek(start)
        entry = ""
        # A statement of several lines goes on in lines that begin with a tab.
        for line in [*lines, "LOG:"]:
            if line.startswith("\t"):
                entry += " " + line.partition("--")[0].strip() if len(entry) < 2000 else ""
                continue
            if found := _DURATION.search(entry):
                kinds[_shape(found[2])].append(float(found[1]))
            entry = line.rstrip("\n")
    return kinds


def _shape(statement: str) -> str:
    """The first words of a statement, without its values."""
    text = re.sub(r"'(?:[^']|'')*('|$)", "?", statement)
    text = re.sub(r"\bARRAY\[.*", "ARRAY…", text)
    text = re.sub(r"\b\d+\b", "?", re.sub(r"\s+", " ", text))
    return text.strip()[:160]
