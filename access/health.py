"""``/healthz``: the process answers. ``/readyz``: it can do its work.

Not ready (503) is who cannot reach the database or finds unapplied migrations. The broker is only reported: intake
works without it, since the work list is in PostgreSQL and a sweep finds what no message announced.
"""

import time
from collections.abc import Callable
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse

from access.errors import reads_only
from access.renderers import dumps

log = structlog.get_logger("access.health")

BROKER_TIMEOUT_SECONDS = 1.0


class NotReady(Exception):
    """A check that did not pass, with a sentence that may be shown."""


@reads_only
def healthz(request: HttpRequest) -> HttpResponse:
    """Touches nothing but this process."""
    return _json({"status": "ok"}, 200)


@reads_only
def readyz(request: HttpRequest) -> HttpResponse:
    """Each check with its outcome and milliseconds."""
    checks = {
        "database": _run(_check_database, required=True),
        "migrations": _run(_check_migrations, required=True),
        "broker": _run(_check_broker, required=False),
    }
    ready = all(check["ok"] for check in checks.values() if check["required"])
    return _json({"status": "ready" if ready else "not_ready", "checks": checks}, 200 if ready else 503)


def _run(check: Callable[[], None], *, required: bool) -> dict[str, Any]:
    started = time.perf_counter()
    message = ""
    try:
        check()
    except NotReady as error:
        message = str(error)
        log.warning("not_ready", check=check.__name__, message=message, cause=repr(error.__cause__))
    return {
        "ok": not message,
        "required": required,
        "ms": round((time.perf_counter() - started) * 1000, 1),
        "message": message,
    }


def _check_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        # So that the next probe opens a new connection instead of asking the broken one.
        connection.close()
        raise NotReady("The database cannot be reached.") from error


_migrations_seen_applied = False


def _check_migrations() -> None:
    """The plan is read from disk and compared once; what was applied for this code stays applied."""
    global _migrations_seen_applied
    if _migrations_seen_applied:
        return
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error as error:
        connection.close()
        raise NotReady("The database cannot be reached.") from error
    if plan:
        raise NotReady(f"{len(plan)} migrations are not applied: run manage.py migrate.")
    _migrations_seen_applied = True


def _check_broker() -> None:
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=BROKER_TIMEOUT_SECONDS, socket_timeout=BROKER_TIMEOUT_SECONDS
    )
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        raise NotReady("The broker cannot be reached: work is taken in and done when a sweep finds it.") from error
    finally:
        client.close()


def _json(value: dict[str, Any], status: int) -> HttpResponse:
    return HttpResponse(
        dumps(value), status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
