"""Outcomes that count one by one (pooled allowances, percentages with bounds), of a whole run: put down as they are
replayed, read in order when prices are found. They may be millions, so they lie in a temporary database of SQLite's, on
disk; memory is that of a page cache and one block of rows.
"""

import sqlite3
from collections.abc import Collection, Iterator
from decimal import Decimal
from itertools import count

from invoicing.selection import InOrder

BLOCK = 5_000
"""Rows written at once."""

Placed = tuple[int, int, InOrder]
"""(settled_at, event that met it, outcome)."""


class Spool:
    """What is put under (tally, contract, period) comes back from `of` in order of (settled_at, event that met it).
    Everything is put before the first is read.

    Nothing is made on disk before. To be closed; of one thread.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []
        self._database: sqlite3.Connection | None = None
        self._sorted = False
        self._numbers = count(1)

    def number(self) -> int:
        """A number for one more tally."""
        return next(self._numbers)

    def put(self, tally: int, contract: int, period: int, settled_at: int, met_by: int, one: InOrder) -> None:
        """Put an outcome down; ``contract`` and ``period`` are indexes."""
        assert not self._sorted
        value = None if one.value is None else str(one.value)
        row = (tally, contract, period, settled_at, met_by)
        self._rows.append((*row, one.condition_id, one.dimensions, one.stretch, str(one.quantity), value))
        if len(self._rows) >= BLOCK:
            self._write()

    def of(self, tallies: Collection[int], contract: int, period: int) -> Iterator[Placed]:
        """What was put under any of these tallies."""
        if not self._sorted:
            self._write().executescript(_SORT)
            self._sorted = True
        assert self._database is not None
        found = self._database.execute(
            "SELECT settled_at, met_by, condition, dimensions, stretch, quantity, value FROM sorted WHERE tally IN "
            f"({', '.join('?' * len(tallies))}) AND contract = ? AND period = ? ORDER BY settled_at, met_by",
            [*tallies, contract, period],
        )
        for settled_at, met_by, condition, dimensions, stretch, quantity, value in found:
            worth = None if value is None else Decimal(value)
            yield settled_at, met_by, InOrder(condition, dimensions, stretch, Decimal(quantity), worth)

    def close(self) -> None:
        """Remove what was put."""
        if self._database is not None:
            self._database.close()

    def _write(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = sqlite3.connect("", isolation_level=None)  # a file of its own, removed with it
            self._database.executescript(_PUT)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO put VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._rows)
        self._database.execute("COMMIT")
        self._rows.clear()
        return self._database


_COLUMNS = """
    tally INTEGER, contract INTEGER, period INTEGER, settled_at INTEGER, met_by INTEGER,
    condition INTEGER, dimensions TEXT, stretch INTEGER, quantity TEXT, value TEXT
"""
# Nobody asks for it after a crash.
_PUT = f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE put ({_COLUMNS});"
# Sorted once and written in that order: keeping it in order while rows come would touch a page of the disk for each.
_SORT = f"""
CREATE TABLE sorted (
    {_COLUMNS}, row INTEGER, PRIMARY KEY (tally, contract, period, settled_at, met_by, row)
) WITHOUT ROWID;
INSERT INTO sorted SELECT *, rowid FROM put ORDER BY tally, contract, period, settled_at, met_by, rowid;
DROP TABLE put;
"""
