"""What tests ask of the database itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def thawed() -> Iterator[None]:
    """The way past the triggers that freeze agreed terms, for tests of what is found where somebody went it.

    Within it rows change that the database otherwise keeps as they are; constraints hold, foreign keys do not."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("SET session_replication_role = origin")


def analyse() -> None:
    """As PostgreSQL does by itself each minute where much has changed; in one transaction it cannot.

    Ours alone: the catalogs of the whole server would be locked until the transaction ends, and another process of
    tests waits for them.
    """
    with connection.cursor() as cursor:
        ours = ", ".join(f'"{table}"' for table in connection.introspection.table_names(cursor))
        cursor.execute(f"ANALYZE {ours}")
