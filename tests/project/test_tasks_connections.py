"""Tasks keep their connection to the database from one to the next, as requests do, and a dead one is replaced."""

from collections.abc import Iterator

import pytest
from celery import signals
from celery.fixups.django import DjangoWorkerFixup
from django.db import connection, connections

from billing_project.celery import app
from outcomes.tasks import wake


@pytest.fixture(autouse=True)
def kept(committed: None) -> Iterator[None]:
    """Connections as an installation has them."""
    connection.close()
    connection.settings_dict["CONN_MAX_AGE"] = 600
    yield
    connection.settings_dict["CONN_MAX_AGE"] = 0
    connection.close()


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def between_tasks() -> None:
    """What happens in a worker after one task and before the next."""
    worker = DjangoWorkerFixup(app)
    worker.close_database()
    worker.close_database()
    signals.task_prerun.send(sender=wake, task_id="1", task=wake, args=(), kwargs={})


def test_the_next_task_has_the_same_connection() -> None:
    first = backend()
    between_tasks()
    assert backend() == first


def test_a_connection_that_died_meanwhile_is_replaced() -> None:
    first = backend()
    other = connections["default"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    other.close()
    between_tasks()
    assert backend() != first
