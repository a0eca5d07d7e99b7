"""An installation of the benchmark's own: servers, data and processes apart from yours, durable as in production."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.intake.load import HttpConnection
from billing_project import embedded
from billing_project.services import HOST, ServiceError, Services, beat, free_port, web, worker

ROOT = Path(__file__).resolve().parents[2]
# On the disk of the checkout: a temporary directory may be in memory, where nothing is durable.
HOMES = ROOT / ".local" / "bench"
_OURS = ("HOLDFAST_", "DJANGO_", "DATABASE_URL", "REDIS_URL", "CELERY_")


@dataclass(frozen=True)
class Installation:
    """A home with running servers, the helpdesk sample applied, and an API key."""

    home: Path
    key: str

    def connect(self, database: str = "") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection in autocommit mode."""
        address = embedded.ensure_postgres(self.home)
        return psycopg.connect(
            host=address.host, port=address.port, user=address.user, dbname=database or address.dbname, autocommit=True
        )

    def servers(self) -> dict[str, int]:
        """The main processes of PostgreSQL and Redis."""
        found = {server.name: server.pid for server in embedded.status(self.home)}
        return {kind: pid for kind in ("postgres", "redis") if (pid := found.get(f"{kind}-main"))}


@dataclass(frozen=True)
class Serving:
    """Running processes by kind (web, worker, beat, postgres, redis), and where and with which header to send."""

    pids: dict[str, int]
    port: int
    authorization: str

    def connect(self, path: str) -> Callable[[], HttpConnection]:
        """What opens connections that post to ``path``."""
        return functools.partial(HttpConnection, HOST, self.port, path, self.authorization)


@contextlib.contextmanager
def installation(home: Path, *, keep: bool = False) -> Iterator[Installation]:
    """An installation in ``home``, for this process and its children. It is stopped at the end, and removed unless
    ``keep``.
    """
    before = dict(os.environ)
    for name in before:
        if name.startswith(_OURS):
            del os.environ[name]
    os.environ |= {"HOLDFAST_HOME": str(home), "DJANGO_SETTINGS_MODULE": "billing_project.settings"}
    try:
        embedded.ensure_postgres(home)
        yield Installation(home, manage("shell", "--no-imports", "--command", _MAKE).split()[-1])
    finally:
        embedded.stop_all(home)
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
        os.environ.clear()
        os.environ |= before


# In one process, as each takes two seconds to begin. The key comes last.
_MAKE = """
from django.core.management import call_command
from django.utils import timezone
from outcomes.months import ensure_months
call_command("migrate", verbosity=0)
call_command("apply", "samples/helpdesk")
ensure_months(timezone.now())  # what beat has done since its first day of running
call_command("create_api_key", "benchmarks", "--scopes", "admin")
"""


def manage(*words: str) -> str:
    """What `manage.py` printed; ServiceError with its words where it failed."""
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceError(f"manage.py {words[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def serving(installed: Installation, *, workers: int = 0) -> Iterator[Serving]:
    """The web server as production runs it, alone or with so many workers and the scheduler."""
    port = free_port()
    with Services(ROOT, installed.home / "logs") as services:
        services.start("web", web(port))
        if workers:
            services.start("worker", worker(workers))
            services.start("beat", beat())
        services.wait_ready(f"http://{HOST}:{port}/readyz")
        pids = {name: process.pid for name, process in services.running.items()}
        yield Serving(pids | installed.servers(), port, f"Bearer {installed.key}")
        services.check()


def own_home(homes: Path) -> Path:
    """A home in ``homes`` for this process alone; what runs that were killed have left there is stopped and removed."""
    for home in homes.glob("run-*"):
        try:
            os.kill(int(home.name.partition("-")[2]), 0)
        except ProcessLookupError:
            embedded.stop_all(home)
            shutil.rmtree(home, ignore_errors=True)
        except PermissionError:
            continue
    return homes / f"run-{os.getpid()}"


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack, so that servers are stopped and homes removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
