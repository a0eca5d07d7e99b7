"""Fixtures of all tests: real PostgreSQL and Redis, the embedded ones unless the environment names others."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases

from access import keys
from outcomes import event_types

# Rows that migrations make, and that tests count on.
KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}


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
    if not django_db_keepdb:
        with django_db_blocker.unblock():
            teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def static_root(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """WhiteNoise warns of a static directory that is not there, and warnings are errors."""
    settings.STATIC_ROOT = tmp_path_factory.getbasetemp()


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """No test sees another's cached keys or wake-up flags."""
    keys.clear_cache()
    event_types.forget()
    cache.clear()
    yield
    keys.clear_cache()


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database without a wrapping transaction: what a test writes is committed, and other connections see it.

    Every table is emptied afterwards. Append-only triggers refuse TRUNCATE and DELETE alike, also here: the role
    `replica` passes them, and DELETE takes a tenth of TRUNCATE's time (design page 7, 3.5).
    """
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            connections.close_all()
            tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} - KEPT_TABLES
            with connection.cursor() as cursor:
                cursor.execute("SET session_replication_role = replica")
                for table in sorted(tables):
                    cursor.execute(f'DELETE FROM "{table}"')
                cursor.execute("SET session_replication_role = origin")
            connections.close_all()


@pytest.fixture
def at() -> Callable[..., datetime]:
    """``at(2026, 3, 1, 10)``: an aware UTC instant."""

    def make(*parts: int) -> datetime:
        return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]

    return make
