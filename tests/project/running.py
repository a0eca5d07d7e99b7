"""Running Holdfast's own commands as a user would, in a home of the test's own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from billing_project import embedded, services

ROOT = Path(__file__).resolve().parents[2]
KEY = "api_key"
"""The file in a home that keeps the key that was made with it."""


class Home:
    """A ``HOLDFAST_HOME`` with its embedded servers, and commands run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        ours = ("HOLDFAST_", "DJANGO_", "PYTEST", "DATABASE_URL", "REDIS_URL")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.env = kept | {"HOLDFAST_HOME": str(path), "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}

    def start(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *argv],
            cwd=ROOT,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def run(self, *argv: str, seconds: float = 900, **env: str) -> tuple[int, str]:
        """Exit status and what was printed."""
        process = self.start(*argv, **env)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, output


@contextlib.contextmanager
def home(path: Path, like: Path | None = None) -> Iterator[Home]:
    """A home for the block, its servers stopped afterwards; it begins as a copy of ``like``, or with nothing."""
    if like is not None:
        # By `cp`: the data belong to whom PostgreSQL runs as, and a few file systems copy without copying.
        subprocess.run(["cp", "-a", "--reflink=auto", f"{like}/.", str(path)], check=True)
    try:
        yield Home(path)
    finally:
        embedded.stop_all(path)


@contextlib.contextmanager
def served(here: Home) -> Iterator[tuple[int, str]]:
    """The web server of a copy of the home ``installed``: its port, and a key with the scope admin."""
    with web_server(here) as port:
        yield port, key_of(here)


def key_of(here: Home) -> str:
    """The key that the home ``installed`` has."""
    return (here.path / KEY).read_text()


@contextlib.contextmanager
def web_server(here: Home) -> Iterator[int]:
    """The web server of an installation whose tables are there, by its port. It must not have failed."""
    port, log = services.free_port(), here.path / "web.log"
    with log.open("wb") as output:
        server = subprocess.Popen(services.web(port), cwd=ROOT, env=here.env, stdout=output, stderr=subprocess.STDOUT)
        try:
            up = f"http://{services.HOST}:{port}/healthz"
            wait_until(lambda: server.poll() is not None or answers(up))
            assert server.poll() is None, log.read_text()
            yield port
        finally:
            server.terminate()
            server.wait(60)
    assert b"Traceback" not in log.read_bytes()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until(true: object, seconds: float = 300) -> None:
    """Poll ``true()`` until it holds; fails after ``seconds``: many, as the machine may have other things to do."""
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
