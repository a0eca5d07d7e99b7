"""CSV for people and programs (RFC 4180): the one place that says how a value is written, and that keeps text from
becoming a formula.

A spreadsheet that opens a file runs what looks like a formula, and what is in our data was written by strangers. So
**text** is marked with an apostrophe in front of whatever could begin a formula (OWASP, *CSV Injection*): at the
beginning of a cell, also behind blanks, quotes and signs that cannot be seen, in the wide forms that are read alike,
and behind what begins a new cell where a comma does not (semicolon, tab, line end). **Figures** of ours are written as
they are: "-5.00" stays a number.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from access.times import format_rfc3339

BOM: Final = "\ufeff"
"""Spreadsheets take a file for UTF-8 by it."""

_SIGNS: Final = "=+\\-@＝＋－＠﹢﹣﹦﹫−"
# Blanks of every kind, quotes, and what has no width: a reader may drop them and look at what follows.
_DROPPED: Final = "\\s\"'`‘’“”＂＇\u0000-\u001f\u007f-\u009f\u00ad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff"
_BEGINS: Final = re.compile(f"[{_SIGNS}\t\r\n]|[{_DROPPED}]+[{_SIGNS}]\\s*\\S")
_BEGINS_LATER: Final = re.compile(f"([;\t\r\n])(?=[{_DROPPED}]*[{_SIGNS}]\\s*\\S)")


def text_cell(value: str) -> str:
    """A cell of text that no spreadsheet takes for a formula, nor any part of it."""
    marked = _BEGINS_LATER.sub(r"\1'", value)
    return f"'{marked}" if _BEGINS.match(marked) else marked


def cell(value: Any) -> str:
    """A value as it is written: an instant after RFC 3339 in UTC, a figure exactly, true or false, nothing as nothing;
    whatever else is text.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Decimal):
        return _plain(value) if value.is_finite() else text_cell(str(value))
    if isinstance(value, datetime) and value.tzinfo is not None:
        return format_rfc3339(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return text_cell(str(value))


def lines(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Cells as text with their line ends, one row after the other, in flat memory."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow(row)


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _plain(value: Decimal) -> str:
    """Without an exponent and without the zeros at its end that only the width of a column brought: "5", not "5.00"."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
