"""The processes of one installation on one machine: web server, workers, beat; started together, stopped together."""

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1


class ServiceError(Exception):
    """Something is in the way; the message says what and what to do."""


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def only_one(lock: Path, message: str) -> Iterator[None]:
    """Hold ``lock`` for as long as the block runs; ServiceError with ``message`` where somebody else does."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(message) from None
        yield


def web(port: int) -> list[str]:
    """The command line of the web server: one process, whose threads wait for each other's commits rather than for the
    processor (single events that wait together are stored together).
    """
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", str(port), "--workers", "1",
        "--blocking-threads", "32", "--log-level", "warning", "billing_project.wsgi:application",
    ]  # fmt: skip


def worker(concurrency: int) -> list[str]:
    """The command line of the Celery workers."""
    return [
        # Celery warns of root for the sake of pickled messages; ours are JSON, and root is who a container runs as.
        sys.executable, "-W", "ignore:You're running the worker", "-m", "celery", "--quiet",
        "-A", "billing_project.celery", "worker", "--concurrency", str(concurrency),
        "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def beat() -> list[str]:
    """The command line of the Celery scheduler."""
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "billing_project.celery"]
    return [*celery, "beat", "--loglevel", "WARNING"]


def _die_with_parent() -> None:
    """In the child: be told to stop when the parent dies, even by `kill -9`, so that no orphan keeps a port."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Services:
    """Child processes by name. Their output goes to ``logs``/NAME.log, or with ``echo`` to the terminal, named by
    line.
    """

    def __init__(self, root: Path, logs: Path, *, echo: bool = False) -> None:
        self.root = root
        self.logs = logs
        self.echo = echo
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, name: str, argv: list[str]) -> None:
        log = (self.logs / f"{name}.log").open("ab")
        process = subprocess.Popen(
            argv,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self.echo else log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "billing_project.settings"},
            # A group of its own: Ctrl-C reaches us, and we stop the children in order.
            process_group=0,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self.running[name] = process
        if self.echo:
            assert process.stdout is not None
            threading.Thread(target=_copy_lines, args=(name, process.stdout, log), daemon=True).start()
        else:
            log.close()

    def wait_ready(self, url: str, *, seconds: float = 180) -> None:
        """Until ``url`` answers 200. ServiceError with the end of the log where a process dies or time runs out."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 -- our own loopback address
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise ServiceError(f"The web server did not answer within {seconds:.0f} s. {self.tail('web')}")

    def check(self) -> None:
        """ServiceError where one of the processes has ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise ServiceError(f"{name} ended with exit status {process.returncode}. {self.tail(name)}")

    def tail(self, name: str) -> str:
        """Where the log is, and its last lines."""
        path = self.logs / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines()[-8:] if path.exists() else []
        return "\n".join([f"Its log: {path}", *lines])

    def stop(self, *, seconds: float = 15) -> None:
        """Ask every process to stop, last started first; kill what does not."""
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + seconds
        for process in reversed(self.running.values()):
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.running.clear()


def _copy_lines(name: str, source: IO[bytes], log: IO[bytes]) -> None:
    for line in source:
        log.write(line)
        log.flush()
        sys.stdout.write(f"{name:>7} | {line.decode(errors='replace')}")
        sys.stdout.flush()
