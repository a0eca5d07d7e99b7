"""Starting, finding and ending server processes (Linux).

A number in a pid file proves nothing: it may be reused, or belong to a zombie. A server is alive when a process of its
name has its data directory as working directory; both our servers work in theirs.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from billing_project.embedded.ground import Account

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    pid: int
    # What `ps` shows: "/…/bin/postgres -D …" or "postgres: checkpointer".
    title: str
    parent: int


def launch(argv: list[str], *, account: Account, log: Path, directory: Path) -> int:
    """Start a server in the background, in a session of its own (Ctrl-C must not reach it), and return its pid.

    The shell between us ends at once, so the server is the child of init: no zombie of it stays with us.
    """
    with log.open("ab") as stream:
        done = subprocess.run(
            ["/bin/sh", "-c", '"$@" </dev/null 1>&2 & echo $!', "sh", *account.prefix, *argv],
            stdout=subprocess.PIPE,
            stderr=stream,
            cwd=directory,
            start_new_session=True,
            check=True,
            **account.options(),
        )
    return int(done.stdout)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return stat_of(pid)[0] not in "ZX"


def stat_of(pid: int) -> tuple[str, int]:
    """State letter and parent of a process; ("X", 0) of one that is gone."""
    try:
        state, parent = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return "X", 0
    return state, int(parent)


def name_of(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def works_in(pid: int, program: str, directory: Path) -> bool:
    try:
        return name_of(pid) == program and (PROC / str(pid) / "cwd").samefile(directory)
    except OSError:  # gone, another user's, or either directory removed
        return False


def working_in(program: str, directory: Path) -> list[Process]:
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [Process(pid, title_of(pid), stat_of(pid)[1]) for pid in pids if works_in(pid, program, directory)]


def strays(program: str, place: bytes, directory: Path) -> list[int]:
    """Servers started on our place (``place`` stands in their command line) that do not work in our directory: it was
    removed or moved away under them. They answer as if nothing had happened, and may still write by the old path."""
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [
        pid
        for pid in pids
        if name_of(pid) == program
        and place in command_line(pid)
        and is_ours(pid)
        and is_alive(pid)
        and not works_in(pid, program, directory)
    ]


def is_ours(pid: int) -> bool:
    try:
        return os.geteuid() in (0, (PROC / str(pid)).stat().st_uid)
    except OSError:
        return False


def command_line(pid: int) -> bytes:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def title_of(pid: int) -> str:
    return command_line(pid).replace(b"\0", b" ").decode(errors="replace").strip()


def pid_in(path: Path) -> int | None:
    """The number on the first line of a pid file; nothing when the file is absent, empty or damaged."""
    try:
        number = int(path.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return number if number > 1 else None


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def wait_until_gone(pids: Iterable[int], seconds: float) -> bool:
    pids, deadline = list(pids), time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(pids: list[int], *, clean: signal.Signals, hard: signal.Signals, seconds: float) -> bool:
    """Ask to stop, insist after ``seconds``; whether they are gone."""
    send(pids, clean)
    if wait_until_gone(pids, seconds):
        return True
    send(pids, hard)
    return wait_until_gone(pids, 15)
