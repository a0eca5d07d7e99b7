"""The list of the rows that were not taken: a CSV file to be opened in a spreadsheet, corrected and sent again."""

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from access.exporting import cell
from outcomes.importing.files import Row
from outcomes.intake import Result

COLUMNS = ("row", "line", "id", "customer", "status", "code", "message")


class Report:
    """Opened at ``length`` bytes, behind which everything is cut off: what a run that was killed wrote and did not
    commit is written again by the next.
    """

    def __init__(self, path: Path, length: int) -> None:
        """Raises OSError. ``length`` 0 begins a new list; one that is shorter than that is begun anew, too."""
        self.path = path
        self.complete = not length or (path.exists() and path.stat().st_size >= length)
        self.file: IO[bytes] = path.open("r+b" if length and self.complete else "wb")
        self.file.truncate(length if self.complete else 0)
        self.file.seek(0, os.SEEK_END)
        if not self.file.tell():
            self._write([COLUMNS])

    @property
    def length(self) -> int:
        return self.file.tell()

    def add(self, rows: Iterable[tuple[Row, Result]]) -> None:
        """Written through to the disk, so that it never lags behind what is committed."""
        lines = [
            (row.number, row.line, result.id, row.event.customer, result.status, result.code, result.message)
            for row, result in rows
        ]
        if lines:
            self._write(lines)

    def close(self) -> None:
        self.file.close()

    def _write(self, lines: Iterable[Iterable[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([[cell(value) for value in line] for line in lines])
        self.file.write(text.getvalue().encode())
        self.file.flush()
        os.fsync(self.file.fileno())
