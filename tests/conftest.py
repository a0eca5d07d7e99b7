"""Fixtures of all tests: real PostgreSQL and Redis, the embedded ones unless the environment names others."""

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import freezegun
import pytest
from django.apps import apps
from django.conf import settings as project
from django.core.cache import cache as django_cache
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import setup_databases, teardown_databases
from psycopg.pq import TransactionStatus
from whitenoise.middleware import WhiteNoiseMiddleware

from access import keys
from outcomes import bell, event_types

# pytest takes its times by the true clock: what `--durations` tells of a test with a frozen one is true as well.
freezegun.configure(extend_ignore_list=["_pytest.timing"])

# A login is made for many a test and none is about its password: the real hash costs a third of a second on purpose.
project.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Every client makes the middleware anew, and WhiteNoise then reads the static files of all apps: once is enough.
_read_static_files = WhiteNoiseMiddleware.add_files_from_finders
_static_files: dict[str, Any] = {}


def _static_files_once(middleware: WhiteNoiseMiddleware) -> None:
    if not _static_files:
        _read_static_files(middleware)
        _static_files.update(middleware.files)
    middleware.files.update(_static_files)


WhiteNoiseMiddleware.add_files_from_finders = _static_files_once


def pytest_collection_finish() -> None:
    """The tests and all that they import stay to the end: no collection of garbage looks through them again."""
    gc.collect()
    gc.freeze()


# Rows that migrations make, and that tests count on.
KEPT_TABLES = {
    "django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions",
}  # fmt: skip


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_blocker: Any,
    django_db_modify_db_settings: None,
    django_db_keepdb: bool,
) -> Iterator[None]:
    """The test database, whatever is chosen to run. pytest-django's own makes none where no test has its marker, and
    `committed`, whose tests have none, would then empty the database that the settings name.
    """
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, keepdb=django_db_keepdb)
    yield
    with django_db_blocker.unblock():
        _emptying().close()
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def nothing_static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("static")


@pytest.fixture(autouse=True)
def static_root(settings: Any, nothing_static: Path) -> None:
    """WhiteNoise warns of a static directory that is not there, and warnings are errors. An empty one: every client
    has it looked through.
    """
    settings.STATIC_ROOT = nothing_static


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """No test sees another's cached keys or wake-up flags."""
    keys.clear_cache()
    event_types.forget()
    bell.hush()  # a ring of the test before would set the flag again
    django_cache.clear()
    yield
    keys.clear_cache()


@cache
def _emptying() -> BaseDatabaseWrapper:
    """A connection kept for it: a new one would look up sixty tables in the catalog first, which is all the cost."""
    return connections["default"].copy()


def empty_tables() -> None:
    """Delete every row of ours. Append-only triggers refuse TRUNCATE and DELETE alike, also here: the role `replica`
    passes them, and DELETE takes a tenth of TRUNCATE's time (design page 7, 3.5).
    """
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} - KEPT_TABLES
    deletions = "".join(f'DELETE FROM "{table}"; ' for table in sorted(tables))
    if _emptying().connection is not None and not _emptying().is_usable():
        _emptying().close()  # a test took the database away
    with _emptying().cursor() as cursor:
        cursor.execute(f"SET session_replication_role = replica; {deletions} SET session_replication_role = origin")


def as_new() -> None:
    """This thread's connection as if it were a new one, at less cost: no transaction, no setting of the test before.
    One that is in the middle of something is dropped, and the next use makes another.
    """
    raw = connection.connection
    if raw is None or connection.in_atomic_block or raw.info.transaction_status != TransactionStatus.IDLE:
        connection.close()
        return
    with connection.cursor() as cursor:
        cursor.execute("CLOSE ALL; RESET ALL; SELECT pg_advisory_unlock_all()")
    connection.ensure_timezone()


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database without a wrapping transaction: what a test writes is committed, and other connections see it.

    Every table is emptied afterwards.
    """
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            as_new()
            empty_tables()


@pytest.fixture
def at() -> Callable[..., datetime]:
    """``at(2026, 3, 1, 10)``: an aware UTC instant."""

    def make(*parts: int) -> datetime:
        return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]

    return make
