"""Files of rows: CSV or JSON lines, packed by gzip or not, read as a stream at the memory of a row."""

import csv
import gzip
import hashlib
import io
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from access.serializers import nearest
from outcomes.importing.mapping import FIELDS, NOTHING, REQUIRED, MappingError, Plan, RowError, compile_plan
from outcomes.wire import MAX_EVENT_BYTES, MAX_MESSAGE, Incoming, Refused, exact_number, read_event

# Longer lines of a CSV file are cut, and so become rows that do not fit the columns.
MAX_LINE = 4 * 1024 * 1024
# How many rows are looked at before anything is written.
PROBE = 100

# What a damaged file, or one in another encoding, raises while it is read.
DAMAGE = (EOFError, OSError, zlib.error, UnicodeError)

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict, float_hook=exact_number).decode


class FileError(Exception):
    """The file cannot be read, or not on from a place; the message says which and why."""


class Row(NamedTuple):
    """One row: its number (from 1, without the line of names and without empty lines), its line in the file, and the
    event it became, or why it is none.
    """

    number: int
    line: int
    event: Incoming | Refused


class _Read(NamedTuple):
    """A row as it was read: cells, or the bytes of a line; ``problem`` where it is none."""

    number: int
    line: int
    value: Any
    problem: str = ""


@dataclass
class Source:
    """An open file. ``done`` tells how many of its ``size`` bytes were read; of a packed file, of the packed bytes."""

    path: Path
    raw: IO[bytes]
    size: int
    state: tuple[int, int]
    stream: IO[bytes]
    format: str
    # Kept as long as the file: a text wrapper that goes away closes what it wraps.
    text: io.TextIOWrapper | None = None

    @property
    def done(self) -> int:
        return self.raw.tell()

    @property
    def changed(self) -> bool:
        """Whether it was written to since it was opened."""
        return _state(self.raw) != self.state


@contextmanager
def open_source(path: Path, plan: Plan) -> Iterator[Source]:
    """Raises FileError, and MappingError where the kind of file does not go with the plan."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from None
    with raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            start = stream.peek(4096)[:4096]
        except DAMAGE as error:
            raise _unreadable(path, error) from None
        state = _state(raw)
        yield Source(path, raw, state[0], state, stream, plan.format or _guess(path, start))


def _state(raw: IO[bytes]) -> tuple[int, int]:
    now = os.fstat(raw.fileno())
    return now.st_size, now.st_mtime_ns


def _guess(path: Path, start: bytes) -> str:
    """By content: the first sign of a line of JSON is a brace."""
    first = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not first:
        raise FileError(f"{path} is empty.")
    if first == b"[":
        raise FileError(
            f"{path} begins with a list: JSON lines have one event a line, and no brackets around (jq -c '.[]' makes "
            "them). If it is a CSV file, say `format: csv` in the mapping."
        )
    return "jsonl" if first == b"{" else "csv"


def fingerprint(path: Path, progress: Callable[[int], None]) -> str:
    """SHA-256 of the bytes as they lie there. Raises FileError."""
    content = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(1 << 20):
                content.update(chunk)
                progress(len(chunk))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from None
    return content.hexdigest()


def _unreadable(path: Path, error: Exception, where: str = "") -> FileError:
    if isinstance(error, UnicodeError):
        return FileError(f"{path} cannot be read{where}: {error}. Say its `encoding` in the mapping.")
    if isinstance(error, OSError) and error.strerror:
        return FileError(f"{path} cannot be read{where}: {error.strerror}.")
    return FileError(f"{path} is damaged{where}: {error}.")


def rows(source: Source, plan: Plan, *, skip: int = 0) -> Iterator[Row]:
    """The rows behind the first ``skip``, as events. Raises MappingError before the first row where the plan names
    columns that the file has not, or where none of the first rows becomes an event; FileError where the file is
    damaged, after the rows before the place.
    """
    reader = _read_csv(source, plan) if source.format == "csv" else _read_lines(source)
    make = _maker(source, plan, reader)
    reads = _guarded(reader, source.path)
    probe = list(itertools.islice(reads, PROBE))
    _check_probe(probe, make, source, plan)
    for read in itertools.chain(probe, reads):
        if read.number > skip:
            yield make(read)
    if source.changed:
        raise FileError(f"{source.path} changed while it was read.")


def look(path: Path, plan: Plan) -> list[str]:
    """See whether its rows become events at all (raises as `rows` does), and what is odd about the mapping."""
    with open_source(path, plan) as source:
        next(rows(source, plan), None)
        is_lines = source.format == "jsonl"
    notes = []
    if plan.entries and not any(entry.name == "time" for entry in plan.entries):
        notes.append("`time` is not mapped: the events happen when they are loaded.")
    if plan.entries and is_lines:
        with open_source(path, plan) as source:
            notes += _absent([_object(read) for read in itertools.islice(_read_lines(source), PROBE)], plan)
    return notes


def _object(read: _Read) -> dict[str, Any]:
    try:
        return _decode(read.value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}


def _absent(objects: list[dict[str, Any]], plan: Plan) -> Iterator[str]:
    """Members that no line has. Lines differ, so it may be right; or it is a slip."""
    known = {name for line in objects for name in line}
    for entry in plan.entries:
        for name in entry.columns:
            take = _member(name)
            if all(take(line) is NOTHING for line in objects):
                guess = nearest(name, known)
                hint = f" Did you mean `{guess}`?" if guess else ""
                yield f"{entry.place}: none of the first {len(objects)} lines has `{name}`.{hint}"


def _guarded(reader: Iterator[_Read], path: Path) -> Iterator[_Read]:
    number = 0
    try:
        for read in reader:
            number = read.number
            yield read
    except DAMAGE as error:
        raise _unreadable(path, error, f" after row {number:,}") from None


# --- Reading ----------------------------------------------------------------------------------------------------------


def _read_lines(source: Source) -> Iterator[_Read]:
    number = 0
    limit = MAX_EVENT_BYTES + 2
    for line in itertools.count(1):
        text = source.stream.readline(limit)
        if not text:
            return
        end = text
        while len(end) == limit and not end.endswith(b"\n"):  # too large for an event: the rest is passed over
            end = source.stream.readline(limit)
        if line == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        text = text.strip()
        if text:
            number += 1
            yield _Read(number, line, text)


class _CsvReader:
    """The cells of a CSV file, and the names of its columns."""

    def __init__(self, source: Source, plan: Plan) -> None:
        encoding = "utf-8-sig" if plan.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else plan.encoding
        # A byte that is no text costs its row, not the file: see `_maker`.
        text = io.TextIOWrapper(source.stream, encoding=encoding, errors="surrogateescape", newline="")
        source.text = text
        csv.field_size_limit(MAX_EVENT_BYTES)
        # Strict: a quote that is not closed is told, and takes no further rows into its cell than it must.
        self.reader = csv.reader(iter(lambda: text.readline(MAX_LINE), ""), delimiter=plan.delimiter, strict=True)
        self.columns: tuple[str, ...] = plan.columns or ()
        self.number = 0
        if plan.columns is None:
            try:
                self.columns = tuple(next((cells for cells in self.reader if cells), ()))
            except (*DAMAGE, csv.Error) as error:
                raise _unreadable(source.path, error) from None
            if not self.columns:
                raise FileError(f"{source.path} is empty.")

    def __iter__(self) -> "_CsvReader":
        return self

    def __next__(self) -> _Read:
        cells: list[str] = []
        problem = ""
        while not cells and not problem:  # empty lines are passed over
            line = self.reader.line_num + 1
            try:
                cells = next(self.reader)
            except csv.Error as error:
                problem = f"This is no row of CSV: {error}."
            else:
                if cells and len(cells) != len(self.columns):
                    problem = f"The row has {len(cells)} cells, the first line names {len(self.columns)} columns."
        if problem and self.reader.line_num > line:
            problem += f" It takes up the lines {line:,} to {self.reader.line_num:,}: is a quote not closed?"
        self.number += 1
        return _Read(self.number, line, cells, problem)


def _read_csv(source: Source, plan: Plan) -> _CsvReader:
    if not plan.entries:
        names = _CsvReader(source, plan).columns
        raise MappingError(
            [
                f"{source.path} has columns: say which becomes what, such as --map id=row-{{row}} --map type='"
                f'"ticket.closed"\' --map customer=COLUMN --map time=COLUMN, or --map mapping.yaml. '
                f"Its columns: {', '.join(names)}."
            ]
        )
    return _CsvReader(source, plan)


# --- Making events ----------------------------------------------------------------------------------------------------


def _maker(source: Source, plan: Plan, reader: Any) -> Callable[[_Read], Row]:
    """The function that makes an event of a row; what is wrong with a row is said of that row."""
    if not plan.entries:
        return lambda read: Row(read.number, read.line, read_event(read.value))
    is_csv = source.format == "csv"
    column = _column_of(reader.columns, source.path, plan) if is_csv else _member
    event = compile_plan(plan, column)
    # What can still be told of a row that is no event.
    outline = {
        entry.name: compile_plan(replace(plan, entries=(entry,)), column)
        for entry in plan.entries
        if entry.name in REQUIRED
    }

    def refused(read: _Read, values: Any, message: str) -> Refused:
        known: dict[str, str] = {}
        for name, get in outline.items():
            with suppress(RowError, LookupError, TypeError):
                known[name] = _clean(get(values, read.number)[name]).replace("\0", "")[:255]
        message = f"Row {read.number:,} of {source.path.name}: {message}"
        raw = _as_it_lay(read, reader.columns, source) if is_csv else read.value
        told = message.replace("\0", "\\u0000")[:MAX_MESSAGE]
        event_id, kind, customer = (known.get(name, "") for name in ("id", "type", "customer"))
        return Refused("invalid", told, raw[:MAX_EVENT_BYTES], event_id, kind, customer)

    def make(read: _Read) -> Row:
        values: Any = None
        try:
            values = read.value if is_csv else _decode(read.value)
            if read.problem:
                raise RowError(read.problem)
            made = read_event(_encode(event(values, read.number)))
        except RowError as error:
            made = refused(read, values, str(error))
        except UnicodeEncodeError:
            made = refused(read, values, f"It holds bytes that are no {plan.encoding} text.")
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            made = refused(read, values, f"The line is no JSON object: {error}.")
        return Row(read.number, read.line, made)

    return make


def _column_of(columns: tuple[str, ...], path: Path, plan: Plan) -> Callable[[str], Callable[[Any], Any]]:
    wanted = {name: entry.place for entry in plan.entries for name in entry.columns}
    problems = []
    for name, place in wanted.items():
        if columns.count(name) == 1:
            continue
        if name in columns:
            problems.append(f"{place}: {path} has several columns `{name}`: name them anew with `columns`.")
            continue
        guess = nearest(name, columns)
        hint = f"Did you mean `{guess}`?" if guess else f"Its columns: {', '.join(columns[:60])}."
        if len(columns) == 1 and (other := next((sign for sign in ";\t|" if sign in columns[0]), None)):
            hint = f"Its first line is `{columns[0][:60]}`: is the delimiter {json.dumps(other)}?"
        problems.append(f"{place}: {path} has no column `{name}`. {hint}")
    if problems:
        raise MappingError(problems)

    def column(name: str) -> Callable[[Any], Any]:
        index = columns.index(name)
        return lambda cells: cells[index]

    return column


def _member(name: str) -> Callable[[Any], Any]:
    """A member of the line's object; with dots, of the objects in it, unless a member is called so."""
    steps = name.split(".")

    def take(row: Any) -> Any:
        if name in row:
            return row[name]
        for step in steps:
            if not isinstance(row, dict) or step not in row:
                return NOTHING
            row = row[step]
        return row

    return take


def _as_it_lay(read: _Read, columns: tuple[str, ...], source: Source) -> bytes:
    """A row of cells for the inbox, with its place."""
    names = columns if len(columns) == len(read.value) else [str(n) for n in range(1, len(read.value) + 1)]
    cells = {name: _clean(cell) for name, cell in zip(names, read.value, strict=True)}
    return _encode({"file": source.path.name, "row": read.number, "line": read.line, "columns": cells})


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _check_probe(probe: list[_Read], make: Callable[[_Read], Row], source: Source, plan: Plan) -> None:
    """A mapping by which no row at all becomes an event is wrong, not the rows."""
    made = [make(read) for read in probe]
    if probe and all(isinstance(row.event, Refused) for row in made):
        first = cast(Refused, made[0].event)
        count = (
            "The only row becomes no event"
            if len(made) == 1
            else f"None of the first {len(made)} rows becomes an event"
        )
        hint = "correct the mapping" if plan.entries else f"map its fields ({', '.join(FIELDS)}, data.…) by --map"
        raise MappingError([f"{count}, so nothing was written: {hint}. {first.message}"])
