#!/usr/bin/env python3
"""Everything a checkout can do, with nothing but Python (docs/setup.md).

demo    set up, then run the main job on the event log in samples/ and print what came out
test    set up, then the checks and every test;        ARGS="-k word" goes to pytest
up      set up, then web server, workers and beat in this terminal, until Ctrl-C;  PORT=8000
stop    stop the embedded PostgreSQL and Redis; the data stay
bench   set up, then the benchmarks (docs/benchmarks.md);  ARGS="intake --quick" for one of them
lint    set up, then ruff, mypy and import-linter only
setup   only the virtual environment and the pinned packages
lock    resolve requirements/*.in anew into the locks;  ARGS="--upgrade" for newer versions
clean   stop, and remove the virtual environment and caches;  ARGS="--data" removes .local/ with all data, too
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:
    sys.exit("Holdfast runs on Linux and macOS; on Windows, use it in the Windows Subsystem for Linux.")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCAL = ROOT / ".local"
LOG = LOCAL / "setup.log"
# Stands while packages are being installed. Found at the next start, the run before was killed: pip would take a
# half-unpacked package for a whole one, so the environment is made anew.
UNFINISHED = LOCAL / "setup.unfinished"
VERSIONS = ((3, 11), (3, 12))

# What the caller may have set and would change the meaning of our commands: other modules, other settings,
# assertions off, warnings as errors, pip installing elsewhere. Or the price: without bytecode each of our many
# processes would compile all of our modules again, a third of what its start costs.
HARMFUL = (
    "DJANGO_SETTINGS_MODULE",
    "MYPYPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONSAFEPATH",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
    *("PIP_" + name for name in ("CONSTRAINT", "DRY_RUN", "NO_DEPS", "PREFIX", "PYTHON", "ROOT", "TARGET", "UPGRADE")),
    *("PIP_" + name for name in ("IGNORE_INSTALLED", "NO_BINARY", "REQUIREMENT", "EDITABLE", "LOG", "QUIET", "REPORT")),
)


def main(arguments: list[str]) -> int:
    command, rest = (arguments[0] if arguments else "help"), arguments[1:]
    if command in ("help", "-h", "--help"):
        print(__doc__)
        return 0
    if command not in COMMANDS:
        print(f"dev.py knows no {command!r}.\n{__doc__}", file=sys.stderr)
        return 2
    require_python()
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return COMMANDS[command](rest)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


# --- The commands -------------------------------------------------------------------------------------------------


def setup(rest: list[str]) -> int:
    for lock in rest or ["base"]:
        if lock not in ("base", "dev"):
            fail(f"There is no lock {lock!r}: say base or dev.")
        install(lock)
    print("The virtual environment .venv is ready.")
    return 0


def demo(rest: list[str]) -> int:
    install("base")
    become([str(PYTHON), "manage.py", "demo", *rest])


def up(rest: list[str]) -> int:
    install("base")
    become([str(PYTHON), "manage.py", "up", *rest])


def bench(rest: list[str]) -> int:
    install("dev")
    become([str(PYTHON), "-m", "benchmarks", *rest])


def stop(rest: list[str]) -> int:
    # By the Python that runs us, so that it works without the virtual environment, too.
    become([sys.executable, "-m", "billing_project.embedded", "stop", *rest])


def lint(rest: list[str]) -> int:
    install("dev")
    return checks()


def test(rest: list[str]) -> int:
    """The checks first and the tests last, so that the last line is pytest's; all of them run, whatever failed."""
    install("dev")
    failed = checks()
    # Two processes need half the time of one; each has a database of its own. ARGS="-n 0" for one.
    # The longest tests come last: `worksteal` shares them out.
    processes = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "worksteal"]
    return run([str(PYTHON), "-m", "pytest", *processes, *rest]) or failed


def lock(rest: list[str]) -> int:
    """By uv, in an environment of its own. It is told the package index pip is told, and writes none into the lock."""
    install("base")
    tool = LOCAL / "lock-venv"
    if not (tool / "bin" / "uv").exists():
        make_venv(tool)
        if run([str(tool / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"]) != 0:
            fail("uv, which resolves the locks, could not be installed: is the package index within reach?")
    uv = [str(tool / "bin" / "uv"), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    uv += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header", *rest]
    for name, limit in (("base", []), ("dev", ["-c", "requirements/base.txt"])):
        target = f"requirements/{name}.txt"
        if run([*uv, f"requirements/{name}.in", *limit, "-o", target], **index_of_pip(tool)) != 0:
            return 1
        print(f"{target} is written.")
    return 0


def clean(rest: list[str]) -> int:
    if rest not in ([], ["--data"]):
        fail("make clean knows only ARGS=--data, which removes .local/ with all data.")
    failed = run([sys.executable, "-m", "billing_project.embedded", "stop"])
    if failed:
        return failed
    caches = [
        ROOT / name for name in (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache")
    ]
    for path in [VENV, *caches, *([LOCAL] if rest else [])]:
        shutil.rmtree(path, ignore_errors=True)
    for path in ROOT.rglob("__pycache__"):
        shutil.rmtree(path, ignore_errors=True)
    print("Removed .venv and the caches." if not rest else "Removed .venv, the caches and all data in .local.")
    return 0


COMMANDS = {f.__name__: f for f in (setup, demo, test, up, stop, bench, lint, lock, clean)}


def checks() -> int:
    # mypy's Django plugin reads the settings; with servers named, reading them starts none.
    named = {"DATABASE_URL": "postgres://unused@localhost/unused", "REDIS_URL": "redis://localhost/0"}
    failed = []
    for name, arguments in (
        ("ruff check", ["-m", "ruff", "check", "."]),
        ("ruff format", ["-m", "ruff", "format", "--check", "."]),
        ("mypy", ["-m", "mypy", "."]),
        # Its script names the directory the environment was made in, and does not survive a move; this does.
        ("import-linter", ["-c", "import importlinter.cli as cli; cli.lint_imports_command()"]),
    ):
        print(f"── {name}", flush=True)
        if run([str(PYTHON), *arguments], **named) != 0:
            failed.append(name)
    print(f"── checks: {'failed: ' + ', '.join(failed) if failed else 'all passed'}", flush=True)
    return 1 if failed else 0


# --- The virtual environment --------------------------------------------------------------------------------------


def require_python() -> None:
    """Go on only in a Python we know; where another is the default and a right one is there, use that."""
    if sys.version_info[:2] in VERSIONS:
        return
    for major, minor in reversed(VERSIONS):
        found = shutil.which(f"python{major}.{minor}")
        # A name on the path may be a mere shim, so it is tried.
        if found and subprocess.run([found, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.execv(found, [found, str(ROOT / "dev.py"), *sys.argv[1:]])  # noqa: S606 - a shell is not wanted
    mine = ".".join(map(str, sys.version_info[:2]))
    fail(f"Holdfast needs Python 3.11 or 3.12, and this is {mine}: install one of them and run again.")


def install(name: str) -> None:
    """Have exactly the packages of a lock in ``.venv``; no work when they are there already."""
    requirements = ROOT / "requirements" / f"{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if is_installed(name, wanted):
        return
    with set_up_lock() as descriptor:
        if is_installed(name, wanted):  # by another shell, while we waited
            return
        if UNFINISHED.exists() or not runs(PYTHON):
            print("Making the virtual environment .venv …", flush=True)
            UNFINISHED.touch()
            make_venv(VENV)
        UNFINISHED.touch()
        code = pip_install(requirements, descriptor)
        UNFINISHED.unlink()
        if code != 0:
            explain(code)
        for done in ("base", "dev") if name == "dev" else ("base",):  # dev.txt holds all of base.txt
            lock_file = ROOT / "requirements" / f"{done}.txt"
            stamp(done).write_text(hashlib.sha256(lock_file.read_bytes()).hexdigest())


def is_installed(name: str, wanted: str) -> bool:
    try:
        return stamp(name).read_text() == wanted and not UNFINISHED.exists() and runs(PYTHON)
    except OSError:
        return False


def stamp(name: str) -> Path:
    return VENV / f"holdfast-{name}.sha256"


def runs(python: Path) -> bool:
    """Whether the environment's Python is there and one we know (its base may have been removed since)."""
    code = f"import sys; sys.exit(sys.version_info[:2] not in {VERSIONS!r})"
    try:
        return subprocess.run([python, "-c", code], env=environment(), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def set_up_lock() -> Iterator[int]:
    """One set-up at a time. The kernel frees the lock when its holders are dead, pip among them."""
    try:
        LOCAL.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(LOCAL / "setup.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        fail(f"The directory {LOCAL} cannot be used: {error.strerror}; it should belong to you.")
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is at work in this checkout; waiting for it …", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def make_venv(directory: Path) -> None:
    python = getattr(sys, "_base_executable", None) or sys.executable
    missing = [name for name in ("venv", "ensurepip") if not can_import(python, name)]
    if missing:
        fail(
            f"This Python has no {missing[0]}: install the package python3-venv, say by `apt install python3-venv`, "
            "and run again."
        )
    made = subprocess.run(
        [python, "-m", "venv", "--clear", str(directory)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        fail(f"The virtual environment {directory} could not be made:\n{(made.stdout + made.stderr).strip()}")


def can_import(python: str, name: str) -> bool:
    return (
        subprocess.run([python, "-c", f"import {name}"], env=environment(), capture_output=True, check=False).returncode
        == 0
    )


def pip_install(requirements: Path, descriptor: int) -> int:
    total = len(re.findall(r"^[A-Za-z0-9][\w.\[\]-]*==", requirements.read_text(), re.MULTILINE))
    print(f"Installing {total} packages from {requirements.relative_to(ROOT)} (about a minute, once) …", flush=True)
    argv = [str(PYTHON), "-m", "pip", "install", "--require-hashes", "--no-input", "--disable-pip-version-check"]
    argv += ["--progress-bar", "off", "-r", str(requirements)]
    began, count = time.monotonic(), 0
    with LOG.open("w") as log:
        # pip holds the lock, too: should we be killed, nobody else begins while it still writes.
        pip = subprocess.Popen(
            argv,
            env=environment(PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=[descriptor],
        )
        try:
            assert pip.stdout is not None
            for line in pip.stdout:
                log.write(line)
                words = line.split()
                # One of these for each package: from the index, from a local directory, there already.
                if words[:1] in (["Collecting"], ["Processing"]) or words[:2] == ["Requirement", "already"]:
                    count = min(count + 1, total)
                    package = words[2] if words[0] == "Requirement" else words[1].rpartition("/")[2]
                    progress(f"{count}/{total} {re.split('[=[-]', package)[0]}", often=count % 20 == 0)
                elif words[:1] == ["Installing"]:
                    progress(f"{total}/{total} unpacking", often=True)
            code = pip.wait()
        except BaseException:
            pip.terminate()
            pip.wait()
            raise
        finally:
            if pip.stdout is not None:
                pip.stdout.close()
    progress(f"{'done' if code == 0 else 'failed'} after {time.monotonic() - began:.0f} s", often=True, last=True)
    return code


def progress(text: str, often: bool, last: bool = False) -> None:
    """One line that changes, on a terminal; now and then a line, in a log."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {text}", end="\n" if last else "", flush=True)
    elif often:
        print(f"  {text}", flush=True)


def explain(code: int) -> NoReturn:
    text = LOG.read_text(errors="replace")
    last = "\n".join("  " + line for line in text.splitlines()[-12:])
    if re.search(
        r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Connection refused|"
        r"Network is unreachable|Temporary failure in name resolution|Max retries exceeded|timed out",
        text,
    ):
        fail(
            "The package index cannot be reached: connect to the network, or name a mirror by PIP_INDEX_URL, and run "
            f"again; nothing was installed. What pip said is in {LOG}."
        )
    if "DO NOT MATCH THE HASHES" in text:
        fail(f"A package differs from the one that was pinned; it was not installed.\n{last}")
    if "No space left on device" in text:
        fail("The disk is full: the packages need about 1 GB.")
    fail(f"pip failed with code {code}; its last lines (all in {LOG}):\n{last}")


def index_of_pip(tool: Path) -> dict[str, str]:
    """pip's configuration (files and environment) in uv's words."""
    listed = subprocess.run(
        [str(tool / "bin" / "python"), "-m", "pip", "config", "list"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
    settings = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip's own way: the best version of all indexes
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = names.get(key.rpartition(".")[2])
        if name:
            words = shlex.split(value)[0].split()
            settings[name] = (",".join if name == "UV_FIND_LINKS" else " ".join)(words)
    return settings


# --- Running others -----------------------------------------------------------------------------------------------


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in HARMFUL}
    # Also against what pip's configuration files may say. UTF-8 whatever the locale: our texts need it.
    return {**kept, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", **more}


def become(argv: list[str]) -> NoReturn:
    """Hand the process over: signals and the exit code are then the command's own."""
    sys.stdout.flush()
    os.execve(argv[0], argv, environment())  # noqa: S606 - a shell is not wanted


def run(argv: list[str], **more: str) -> int:
    """Run a command to its end. Ctrl-C reaches it from the terminal; we wait for it to clean up, then stop as well."""
    sys.stdout.flush()
    child = subprocess.Popen(argv, env=environment(**more))
    try:
        code = child.wait()
    except KeyboardInterrupt:
        while True:
            try:
                child.wait()
                raise
            except KeyboardInterrupt:
                if child.poll() is not None:
                    raise
    except SystemExit:  # SIGTERM
        child.terminate()
        child.wait()
        raise
    return 128 - code if code < 0 else code


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
