"""How fast stored events become priced results, and that its memory does not grow with them.

    python -m benchmarks simulation [--quick | --events N] [--rounds N]

Simulations as workers run them (`simulation.jobs.work`): what is in force computed again, other prices, another text;
by one worker and by two. In an installation of its own, durable as in production. Speed is told by the CPU time of the
workers and of PostgreSQL together, too: events a second and core.

The incident log of samples/helpdesk is stored with the customers, conditions and contracts of the demo, then multiplied
by SQL: each copy has incidents of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.billing import _status
from benchmarks.intake import home, report
from benchmarks.intake.measures import Wrong, check
from benchmarks.intake.processes import Watch
from billing_project.demo import helpdesk
from billing_project.services import ServiceError

SAMPLE = home.ROOT / "samples" / "helpdesk"
IN_FORCE, PRICES, TEXT = "what is in force", "other prices", "another text"
SPAN = {"from": "2016-01-01T00:00:00Z", "to": "2018-01-01T00:00:00Z"}
STRICTER = """outcome resolved_incident "Incident resolved"
per number
bill when incident.closed
void when incident.new or incident.active or incident.awaiting.*
settle after 7 days
dimension priority = latest priority of incident.*
"""
QUESTIONS: dict[str, dict[str, Any]] = {
    IN_FORCE: {},
    PRICES: {"rate_card": {"currency": "USD", "prices": [{"condition": "resolved_incident", "unit_price": "11"}]}},
    TEXT: {"condition": STRICTER},
}


LOG = 119_922
"""Events of the log whose customers are known."""


@dataclass(frozen=True)
class Sizes:
    """Copies of the log (`LOG` events each), ``fewer`` to compare memory with; the log's first events alone, or all."""

    copies: int = 84
    fewer: int = 21
    rounds: int = 3
    log: int | None = None


QUICK = Sizes(copies=10, fewer=3, rounds=2)
TINY = Sizes(copies=2, fewer=1, rounds=1, log=1000)


@dataclass
class Figures:
    """Rounds of one question. CPU in seconds over all of them; memory is the most that a worker had, in bytes.
    ``shared``: by round, the CPU time of all workers over that of the busiest.
    """

    what: str
    workers: int
    events: int
    seconds: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=lambda: {"python": 0.0, "postgres": 0.0})
    memory: int = 0
    shared: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.events / min(self.seconds)

    @property
    def per_core(self) -> float:
        return self.events * len(self.seconds) / sum(self.cpu.values())

    def micro(self, kind: str) -> float:
        return self.cpu[kind] * 1e6 / (self.events * len(self.seconds))


def main() -> int:
    chosen = _options().parse_args()
    if chosen.work:
        return _work()
    sizes = TINY if chosen.tiny else QUICK if chosen.quick else Sizes()
    if chosen.events is not None:
        copies = max(2, round(chosen.events / LOG))
        sizes = replace(sizes, copies=copies, fewer=max(1, copies // 4))
    if chosen.rounds is not None:
        sizes = replace(sizes, rounds=chosen.rounds)
    home.end_on_sigterm()
    try:
        with home.installation(home.own_home(chosen.homes)) as installed:
            machine = report.machine(installed)
            bench = Bench(installed, sizes)
            bench.run()
    except (Wrong, ServiceError) as error:
        print(error, file=sys.stderr)
        return 1
    aims = list(_aims(bench.rows, sizes))
    print(f"{json.dumps(machine)}\n\n{_table(list(bench.rows.values()))}\n\n{report.aim_table(aims)}")
    return 1 if chosen.check and not all(aim.met for aim in aims) else 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--quick", action="store_true", help="1.2 million events instead of 10")
    options.add_argument("--events", type=int, metavar="N", help="about so many events, by whole copies of the log")
    options.add_argument("--rounds", type=int, metavar="N", help="each question so many times")
    options.add_argument("--tiny", action="store_true", help="as little as can be; the figures mean nothing")
    options.add_argument("--check", action="store_true", help="exit status 1 where an aim is missed")
    options.add_argument("--homes", type=Path, default=home.HOMES, metavar="DIR", help="where data lie (.local/bench)")
    options.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    return options


Key = tuple[str, int, int]
"""What was asked, by how many workers, over how many events."""


class Bench:
    """One run: ``rows`` are what it found.

    Sets Django up for the installation, so this is for a process of its own.
    """

    def __init__(self, installed: home.Installation, sizes: Sizes) -> None:
        os.environ["HOLDFAST_LOG_LEVEL"] = "WARNING"
        import django

        django.setup()
        self.sizes = sizes
        self.database = installed.connect()
        self.postgres = installed.servers()["postgres"]
        self.rows: dict[Key, Figures] = {}
        self.now = datetime.now(UTC)
        self.stored = self.copies = 0
        self.piece = _piece(self.database, sizes.log)

    def run(self) -> None:
        self.fill(1)
        # What one copy comes to; more of them must come to as many times that.
        self.expected = {what: self.ask(what, 1) for what in QUESTIONS}
        self.rows.clear()
        for copies in (self.sizes.fewer, self.sizes.copies):
            self.fill(copies)
            for _ in range(self.sizes.rounds):
                for what in QUESTIONS:
                    self.ask(what, 1, copies)
                if copies == self.sizes.copies:
                    self.ask(TEXT, 2, copies)

    def ask(self, what: str, workers: int, copies: int = 0) -> dict[str, Any]:
        """One simulation by so many workers; its result, checked where it is known what it comes to."""
        from simulation import jobs

        made = jobs.create(SPAN | QUESTIONS[what], by="benchmarks", now=self.now)
        parts = jobs.split(made.pk)
        check("events to be replayed", jobs.find(made.pk).events, self.stored)
        figures = self.rows.setdefault((what, workers, self.stored), Figures(what, workers, self.stored))
        with ExitStack() as stack:
            running = [stack.enter_context(_Worker()) for _ in range(workers)]
            pids = {"postgres": self.postgres} | {f"python {n}": one.process.pid for n, one in enumerate(running)}
            with Watch(pids) as watch:
                began = time.perf_counter()
                # Each is told of every part: who comes first takes it.
                for one in running:
                    one.tell(parts)
                figures.memory = max([figures.memory, *(one.told() for one in running)])
                figures.seconds.append(time.perf_counter() - began)
        busy = [watch.cpu[f"python {n}"] for n in range(workers)]
        figures.shared.append(sum(busy) / max([*busy, 0.01]))
        for kind, seconds in watch.cpu.items():
            figures.cpu["postgres" if kind == "postgres" else "python"] += seconds
        result = jobs.find(made.pk).result
        if result is None:
            raise Wrong(f"the simulation ended as {jobs.find(made.pk).status}")
        if copies:
            one = self.expected[what]
            for side in ("before", "after"):
                check(f"{what}: outcomes {side}", result[side]["outcomes"], one[side]["outcomes"] * copies)
        say(f"{what}, {workers} at work: {self.stored:,} events in {figures.seconds[-1]:.2f} s")
        return result

    # --- What is stored ---

    def fill(self, copies: int) -> None:
        """Add copies of the log until there are so many."""
        database = self.database
        database.execute("TRUNCATE simulation_simulation CASCADE")
        database.execute("SET synchronous_commit = off")
        for copy in range(self.copies, copies):
            database.execute(_COPY, {"copy": copy})
        database.execute("SET synchronous_commit = on")
        self.copies = copies
        database.execute("VACUUM (ANALYZE) outcomes_event")
        database.execute("CHECKPOINT")
        [(self.stored,)] = database.execute("SELECT count(*) FROM outcomes_event").fetchall()
        check("events stored", self.stored, self.piece * copies)
        say(f"{self.stored:,} events are stored")


# `seq` begins with the number of the month of receipt.
_COPY = """
INSERT INTO outcomes_event (seq, customer_id, event_id, source, type, "time", received_at, data)
SELECT 74 * 10^12::bigint + %(copy)s * 1000000::bigint + n, customer_id, event_id || '~' || %(copy)s, '', type, "time",
       now(), jsonb_set(data, '{number}', to_jsonb((data ->> 'number') || '~' || %(copy)s))
FROM piece_of_log
"""


def _piece(database: psycopg.Connection, most: int | None) -> int:
    """The log in a table of its own, and its event names among those seen; how many events."""
    customers = dict(database.execute("SELECT key, id FROM contracts_customer").fetchall())
    told = [row for row in helpdesk.events(SAMPLE) if row["customer"] in customers][:most]
    database.execute(
        "CREATE TABLE piece_of_log "
        '(n bigint, customer_id bigint, event_id text, type text, "time" timestamptz, data jsonb)'
    )
    with database.cursor().copy("COPY piece_of_log FROM STDIN") as copy:
        for n, row in enumerate(told):
            copy.write_row(
                (n, customers[row["customer"]], row["id"], row["type"], row["time"], json.dumps(row["data"]))
            )
    database.execute(
        "INSERT INTO outcomes_eventtype (name, first_seen_at) SELECT DISTINCT type, now() FROM piece_of_log"
    )
    return len(told)


# --- Workers ----------------------------------------------------------------------------------------------------------


class _Worker:
    """A process that works on the parts it is told of, as a Celery worker's does."""

    def __enter__(self) -> "_Worker":
        argv = [sys.executable, "-m", "benchmarks.simulation", "--work"]
        self.process = subprocess.Popen(
            argv, cwd=home.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._read()
        return self

    def __exit__(self, *exc: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def tell(self, parts: Sequence[int]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{json.dumps(parts)}\n")

    def told(self) -> int:
        """Wait until it is done: the most memory it had."""
        return int(self._read())

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ServiceError(f"a worker ended with status {self.process.wait()}")
        return line


def _work() -> int:
    import django

    django.setup()
    from django.db import connection

    from simulation import jobs

    connection.ensure_connection()
    print("ready", flush=True)
    for line in sys.stdin:
        for part in json.loads(line):
            jobs.work(part)
        print(_status("self", "VmHWM"), flush=True)
    return 0


# --- The report -------------------------------------------------------------------------------------------------------


def _aims(rows: dict[Key, Figures], sizes: Sizes) -> Iterator[report.Aim]:
    most, fewest = max(events for _, _, events in rows), min(events for _, _, events in rows)
    for what in QUESTIONS:
        yield report.Aim(
            f"{what}: events/s and core, PostgreSQL's time included", rows[what, 1, most].per_core, 100_000
        )
    ratio = rows[TEXT, 2, most].per_second / rows[TEXT, 1, most].per_second
    yield report.Aim(f"{TEXT}: events/s, two workers / one", ratio, 1.8)
    # This one says the same on a machine whose cores others use.
    shared = min(rows[TEXT, 2, most].shared)
    yield report.Aim(f"{TEXT}: CPU time of two workers / of the busier", shared, 1.7)
    ratio = rows[TEXT, 1, most].memory / rows[TEXT, 1, fewest].memory
    yield report.Aim(f"memory of a worker, {most:,} events / {fewest:,}", ratio, 1.2, at_most=True)
    yield report.Aim("memory of a worker, MiB", rows[TEXT, 1, most].memory / 2**20, 256, at_most=True)


def _table(rows: Sequence[Figures]) -> str:
    per: Callable[[Figures, str], str] = lambda row, kind: f"{row.micro(kind):>10.2f}"  # noqa: E731
    lines = [
        f"{'':<76}{'CPU, us an event':>20}",
        f"{'':<20}{'events':>12}{'workers':>9}{'rounds':>8}{'events/s':>12}{'and core':>12}{'postgres':>10}"
        f"{'python':>10}{'MiB':>6}",
    ]
    lines += [
        f"{row.what:<20}{row.events:>12,}{row.workers:>9}{len(row.seconds):>8}{row.per_second:>12,.0f}"
        f"{row.per_core:>12,.0f}{per(row, 'postgres')}{per(row, 'python')}{row.memory / 2**20:>6.0f}"
        for row in rows
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    """Progress goes to standard error, so that the tables can be kept apart."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
