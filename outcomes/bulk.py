"""Set-wise writes for the hot path: rows go by COPY, changes as one JSON parameter joined to the table."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from django.db.backends.utils import CursorWrapper

_encode = msgspec.json.Encoder(decimal_format="string").encode


def copy_rows(cursor: CursorWrapper, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert ``rows`` (values in the order of ``columns``)."""
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


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
        f"UPDATE {table} AS old SET {assignments} FROM jsonb_to_recordset(%s::jsonb) AS new({record}) "
        f"WHERE old.{key[0]} = new.c0",
        [_encode([{f"c{n}": value for n, value in enumerate(row)} for row in rows]).decode()],
    )
