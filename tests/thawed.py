"""The way past the triggers that freeze agreed terms, for tests of what is found where somebody went it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def thawed() -> Iterator[None]:
    """Within it rows change that the database otherwise keeps as they are; constraints hold, foreign keys do not."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("SET session_replication_role = origin")
