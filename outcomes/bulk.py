"""Set-wise writes for the hot path: rows go by binary COPY, changes as one JSON parameter joined to the table."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from django.db.backends.utils import CursorWrapper
from psycopg.types.json import Jsonb

_encode = msgspec.json.Encoder(decimal_format="string").encode


def copy_rows(
    cursor: CursorWrapper, table: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert ``rows``, their values in the order of ``columns``: (name, SQL type), … A jsonb value is made by `jsonb`.

    Binary, by the declared types: a quarter of the text format's cost (24 columns: 2.4 against 9.7 microseconds a row).
    """
    with cursor.copy(f"COPY {table} ({', '.join(name for name, _ in columns)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types([sql_type for _, sql_type in columns])
        for row in rows:
            copy.write_row(row)


def jsonb(value: Any) -> Jsonb:
    """A value for a jsonb column of `copy_rows`; decimals become strings."""
    return Jsonb(value, dumps=_encode)


def update_rows(
    cursor: CursorWrapper,
    table: str,
    key: tuple[str, str],
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Update ``columns`` ((name, SQL type), …) of the rows whose ``key`` (name, SQL type) leads each row."""
    if not rows:
        return
    names = [key, *columns]
    record = ", ".join(f"c{n} {sql_type}" for n, (_, sql_type) in enumerate(names))
    assignments = ", ".join(f"{name} = new.c{n}" for n, (name, _) in enumerate(names) if n)
    cursor.execute(
        f"UPDATE {table} AS old SET {assignments} FROM {recordset('new', record)} WHERE old.{key[0]} = new.c0",
        [_encode([{f"c{n}": value for n, value in enumerate(row)} for row in rows]).decode(), len(rows)],
    )


def recordset(name: str, columns: str) -> str:
    """SQL of rows given as a JSON list and how many they are. Without the number the planner takes any list for a
    hundred rows, and rather reads a table of some thousand rows as a whole than look up the one that is meant.
    """
    return f"(SELECT * FROM jsonb_to_recordset(%s::jsonb) AS given({columns}) LIMIT %s) AS {name}"
