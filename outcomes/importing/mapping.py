"""How the rows of a file become events: read from `--map` and from a YAML file, checked, and compiled to functions.

A mapping says for each field of the event where its value comes from:

    id: "row-{row}"                                  a template
    customer: location                               a column
    type: '"ticket.closed"'                          a constant
    time: {column: closed_at, format: "%d/%m/%Y %H:%M", zone: Europe/Berlin}
    data.amount: {column: adr, as: number}

docs/imports.md has all of it. Pure but for reading the YAML file.
"""

import codecs
import hashlib
import json
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from access.serializers import nearest
from contracts.apply.documents import DocumentError, read_yaml
from contracts.domain.periods import zone
from contracts.fields import time_zone_problem
from outcomes.importing import values
from outcomes.importing.values import Unreadable

# Of a file without a mapping of its own.
MISSING_TEXTS: Final = ("",)
FIELDS: Final = ("id", "type", "customer", "time")
REQUIRED: Final = ("id", "type", "customer")
ROW: Final = "row"
_DATA: Final = "data."
_FILE_KEYS: Final = ("map", "missing", "format", "delimiter", "encoding", "columns")
_SOURCES: Final = ("column", "constant", "template")
_ENTRY_KEYS: Final = (*_SOURCES, "values", "else", "as", "format", "zone", "ambiguous", "decimal", "missing")
_KINDS: Final = ("text", "number", "boolean", "time")
_AMBIGUOUS: Final = ("refuse", "earlier", "later")
FORMATS: Final = ("csv", "jsonl")


class MappingError(Exception):
    """The mapping cannot be used; ``problems`` are sentences, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RowError(Exception):
    """This row is no event; the message names field and column."""


class _Nothing:
    """The value is not there: the field is left out."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()

# (row, its number) → value
Get = Callable[[Any, int], Any]


@dataclass(frozen=True)
class Entry:
    """Where the value of one field comes from, as `_read_entry` checked it."""

    name: str
    place: str
    column: str | None = None
    constant: Any = NOTHING
    template: str | None = None
    values: Mapping[str, Any] | None = None
    otherwise: Any = NOTHING
    kind: str | None = None
    pattern: str | None = None
    zone: str | None = None
    ambiguous: str = "refuse"
    decimal: str = "."
    missing: tuple[str, ...] | None = None

    @property
    def columns(self) -> list[str]:
        """Columns it reads."""
        if self.template is not None:
            return [name for name in _names(self.template) if name != ROW]
        return [] if self.column is None else [self.column]


@dataclass(frozen=True)
class Plan:
    """A mapping and how its file is written. Without ``entries`` the lines are events already."""

    entries: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = MISSING_TEXTS
    format: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    columns: tuple[str, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """The same for what means the same, however it is written."""
        entries = sorted(({**entry.__dict__, "place": ""} for entry in self.entries), key=lambda entry: entry["name"])
        layout = [self.missing, self.format, self.delimiter, self.encoding, self.columns]
        return hashlib.sha256(json.dumps([entries, layout], default=repr, sort_keys=True).encode()).hexdigest()


# --- Reading a mapping ------------------------------------------------------------------------------------------------


@dataclass
class _Reading:
    """What was read so far, of the options and of the file in their order; a later entry replaces an earlier one."""

    entries: dict[str, Entry] = field(default_factory=dict)
    layout: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_plan(options: Iterable[str]) -> Plan:
    """The mapping that these `--map` options say together: ``FIELD=COLUMN`` or the path of a YAML file. Raises
    MappingError with everything that is wrong.
    """
    reading = _Reading()
    for option in options:
        name, equals, said = option.partition("=")
        if not equals or Path(option).is_file():
            _read_file(Path(option), reading)
        else:
            _read_entry(name.strip(), said, f"--map {option}", reading)
    if reading.entries and not reading.problems:
        _check_whole(reading)
    if reading.problems:
        raise MappingError(reading.problems)
    return Plan(tuple(reading.entries.values()), **reading.layout)


def _read_file(path: Path, reading: _Reading) -> None:
    try:
        document = read_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reading.problems.append(
            f"--map {path}: this file cannot be read ({error.strerror}). Say FIELD=COLUMN, or the path of a mapping."
        )
        return
    except UnicodeDecodeError as error:
        reading.problems.append(f"{path}: this is not UTF-8 text (byte {error.start}).")
        return
    except DocumentError as error:
        reading.problems.append(f"{path}{_line(error.line)}: {error.message}.")
        return

    def at(*steps: str) -> str:
        return f"{path}{_line(document.line_of(steps))}"

    top = document.value
    if not isinstance(top, dict) or not isinstance(top.get("map"), dict):
        reading.problems.append(f"{path}: expected the fields of the event under `map:`.")
        return
    for name, value in top.items():
        if name == "map":
            continue
        if name not in _FILE_KEYS:
            reading.problems.append(f"{at(name)}: {_unknown(name, _FILE_KEYS)}")
            continue
        problem = _layout_problem(name, value)
        if problem is not None:
            reading.problems.append(f"{at(name)}: `{name}`: {problem}.")
        else:
            reading.layout[name] = tuple(value) if isinstance(value, list) else value
    for name, value in top["map"].items():
        _read_entry(name, value, at("map", name), reading)


def _line(line: int | None) -> str:
    return "" if line is None else f":{line}"


def _unknown(name: str, known: Iterable[str]) -> str:
    names = list(known)
    guess = nearest(name, names)
    hint = f"Did you mean `{guess}`?" if guess else f"Known are: {', '.join(names)}."
    return f"`{name}` means nothing here. {hint}"


def _layout_problem(name: str, value: Any) -> str | None:
    if name == "missing":
        return None if _texts(value) else 'expected a list of texts that stand for no value, such as ["", "?"]'
    if name == "columns":
        return None if _texts(value) and value else "expected the names of the columns, for a file without a first line"
    if not isinstance(value, str):
        return "expected a text"
    if name == "format":
        return None if value in FORMATS else f"expected {' or '.join(FORMATS)}"
    if name == "delimiter":
        return None if len(value) == 1 and value not in '\r\n"' else 'expected one character, such as ";" or "\\t"'
    try:
        if not codecs.lookup(value)._is_text_encoding:
            return f"{value} is no encoding of text"
    except LookupError:
        return f"there is no encoding {value}; usual are utf-8, cp1252, latin-1, utf-16"
    return None


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _check_whole(reading: _Reading) -> None:
    """What no entry says alone: fields that every event needs, and that none lies inside another."""
    for name in REQUIRED:
        if name not in reading.entries:
            hint = ", such as --map id=row-{row}, the number of the row" if name == "id" else ""
            reading.problems.append(f"`{name}` is not mapped, and every event needs it: add --map {name}=…{hint}.")
    for name in reading.entries:
        parts = name.split(".")
        for length in range(2, len(parts)):
            outer = ".".join(parts[:length])
            if outer in reading.entries:
                reading.problems.append(
                    f"`{name}` lies inside `{outer}`, which is mapped to a value: drop one of both."
                )


def _read_entry(name: str, said: Any, place: str, reading: _Reading) -> None:
    problems: list[str] = []
    in_data = name.startswith(_DATA) and all(name.split("."))
    if name not in FIELDS and not in_data:
        if name == "data" or name.startswith(_DATA):
            problems.append("data has named fields: say `data.NAME`.")
        else:
            guess = nearest(name, FIELDS)
            hint = f"Did you mean `{guess}`?" if guess else f"For a field of `data`, say `data.{name}`."
            problems.append(f"an event has no field `{name}`. {hint}")
    fields = said if isinstance(said, dict) else _shorthand(said, problems)
    for key in fields:
        if key not in _ENTRY_KEYS:
            problems.append(_unknown(key, _ENTRY_KEYS))
    if not problems:
        entry = Entry(
            name=name,
            place=place,
            constant=fields.get("constant", NOTHING),
            otherwise=fields.get("else", NOTHING),
            missing=tuple(fields["missing"]) if _texts(fields.get("missing")) else None,
            kind=fields.get("as", "time" if name == "time" else None if in_data else "text"),
            **{
                target: fields[key]
                for key, target in (
                    ("column", "column"), ("template", "template"), ("values", "values"), ("format", "pattern"),
                    ("zone", "zone"), ("ambiguous", "ambiguous"), ("decimal", "decimal"),
                )
                if key in fields
            },
        )  # fmt: skip
        problems += _entry_problems(entry, fields)
        reading.entries[name] = entry
    reading.problems += [f"{place}: `{name}`: {problem}" for problem in problems]


def _shorthand(said: Any, problems: list[str]) -> dict[str, Any]:
    """A column; a text in double quotes for a constant; a text with braces for a template."""
    if not isinstance(said, str) or not said:
        problems.append("expected the name of a column, or column, constant or template with what belongs to it.")
        return {}
    if len(said) > 1 and said[0] == said[-1] == '"':
        try:
            return {"constant": json.loads(said)}
        except ValueError:
            problems.append(f"{said} is no text in quotes.")
            return {}
    return {"template" if "{" in said else "column": said}


def _entry_problems(entry: Entry, fields: Mapping[str, Any]) -> list[str]:
    problems = []
    if sum(key in fields for key in _SOURCES) != 1:
        problems.append(f"say one of {', '.join(_SOURCES)}.")
    for key in ("column", "template", "zone"):
        if key in fields and (not isinstance(fields[key], str) or not fields[key]):
            problems.append(f"`{key}`: expected a text.")
    if "missing" in fields and entry.missing is None:
        problems.append('`missing`: expected a list of texts, such as ["", "?"].')
    for key, known in (("as", _KINDS), ("ambiguous", _AMBIGUOUS), ("decimal", (".", ","))):
        if key in fields and fields[key] not in known:
            problems.append(f"`{key}`: expected one of: {' '.join(known)}.")
    if "values" in fields and not (isinstance(entry.values, dict) and entry.values):
        problems.append("`values`: expected a table, such as {New: ticket.new, Closed: ticket.closed}.")
    if problems:
        return problems
    if isinstance(entry.constant, dict | list) or entry.constant is None:
        problems.append("`constant`: expected a text, a number, true or false.")
    if "constant" in fields:
        problems += [
            f"`{key}` does nothing to a constant: leave it out."
            for key in fields
            if key not in ("constant", "as", "format", "zone", "ambiguous", "decimal")
        ]
    if "else" in fields and "values" not in fields:
        problems.append("`else` belongs to `values`: it is for what they do not name.")
    for value in (*(entry.values or {}).values(), entry.otherwise):
        if isinstance(value, dict | list):
            problems.append(
                "`values` and `else`: expected texts, numbers, true, false, or null to leave the field out."
            )
    if entry.name in FIELDS and "as" in fields and entry.kind != ("time" if entry.name == "time" else "text"):
        problems.append(f"`as`: `{entry.name}` is always a {'time' if entry.name == 'time' else 'text'}.")
    if entry.name in REQUIRED and (entry.otherwise is None or None in (entry.values or {}).values()):
        problems.append("every event needs it: null cannot leave it out.")
    problems += _belongs(entry, fields) + _template_problems(entry)
    return problems


def _belongs(entry: Entry, fields: Mapping[str, Any]) -> list[str]:
    """Options that only some kinds of values have, and the pattern and zone of times."""
    problems = []
    for key, kind in (("format", "time"), ("zone", "time"), ("ambiguous", "time"), ("decimal", "number")):
        if key in fields and entry.kind != kind:
            problems.append(f"`{key}` is for `as: {kind}`.")
    if "ambiguous" in fields and entry.zone is None:
        problems.append("`ambiguous` is for local times: say their `zone`, too.")
    if problems:
        return problems
    if entry.zone is not None and (unknown := time_zone_problem("zone", entry.zone)) is not None:
        problems.append(f"`zone`: {unknown.message}")
    elif entry.pattern is not None:
        known = zone(entry.zone) if entry.zone is not None else None
        wrong = values.time_problem(entry.pattern, known) if isinstance(entry.pattern, str) else "expected a text"
        if wrong is not None:
            problems.append(f"`format`: {wrong}.")
    return problems


def _template_problems(entry: Entry) -> list[str]:
    if entry.template is None:
        return []
    try:
        parts = list(string.Formatter().parse(entry.template))
    except ValueError as error:
        return [f"`template`: {error}; write {{{{ for a brace itself."]
    problems = [
        f"`template`: say {{{ROW}}} or {{column}}, nothing else, between braces."
        for _, name, spec, conversion in parts
        if name == "" or spec or conversion
    ]
    if not problems and not any(name for _, name, _, _ in parts):
        problems.append("`template`: it names no column in braces, so every row gets the same: say `constant`.")
    return problems


def _names(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name]


# --- Compiling --------------------------------------------------------------------------------------------------------


def compile_plan(plan: Plan, column: Callable[[str], Callable[[Any], Any]]) -> Callable[[Any, int], dict[str, Any]]:
    """A function from a row and its number to the event's fields; it raises RowError. ``column`` gives, for a column's
    name, the function that takes its value out of a row, or NOTHING.
    """
    fields = [(entry, tuple(entry.name.split(".")), _compile(entry, plan, column)) for entry in plan.entries]

    def event(row: Any, number: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for entry, path, get in fields:
            value = get(row, number)
            if value is NOTHING:
                if entry.name in FIELDS:
                    raise RowError(f"`{entry.name}`: the row has no value for it ({_where(entry)}).")
                continue
            inner = made
            for step in path[:-1]:
                inner = inner.setdefault(step, {})
            inner[path[-1]] = value
        return made

    return event


def _where(entry: Entry) -> str:
    return ", ".join(f"column `{name}`" for name in entry.columns) or "its `values`"


def _compile(entry: Entry, plan: Plan, column: Callable[[str], Callable[[Any], Any]]) -> Get:
    missing = frozenset(plan.missing if entry.missing is None else entry.missing)
    get = _source(entry, missing, column)
    if entry.values is not None:
        get = _looked_up(entry, get, entry.values)
    convert = _converter(entry)
    if convert is None:
        return get

    def converted(row: Any, number: int) -> Any:
        value = get(row, number)
        if value is NOTHING:
            return NOTHING
        try:
            return convert(value)
        except Unreadable as error:
            raise RowError(f"`{entry.name}`: {_where(entry)} has {_shown(value)}, which {error}.") from None

    if entry.column is None and entry.template is None:
        try:
            fixed = converted(None, 0)
        except RowError as error:
            raise MappingError([f"{entry.place}: {error}"]) from None
        return lambda row, number: fixed
    return converted


def _source(entry: Entry, missing: frozenset[str], column: Callable[[str], Callable[[Any], Any]]) -> Get:
    if entry.template is not None:
        return _filled(entry.template, missing, column)
    if entry.column is None:
        return lambda row, number: entry.constant
    take = column(entry.column)

    def get(row: Any, number: int) -> Any:
        value = take(row)
        return NOTHING if value is None or (isinstance(value, str) and value in missing) else value

    return get


def _filled(template: str, missing: frozenset[str], column: Callable[[str], Callable[[Any], Any]]) -> Get:
    takes = {name: column(name) for name in _names(template) if name != ROW}
    parts = [(literal, name) for literal, name, _, _ in string.Formatter().parse(template)]

    def get(row: Any, number: int) -> Any:
        said = []
        for literal, name in parts:
            said.append(literal)
            if name == ROW:
                said.append(str(number))
            elif name:
                value = takes[name](row)
                if value is NOTHING or value is None or value in missing:
                    return NOTHING
                try:
                    said.append(values.text(value))
                except Unreadable as error:
                    raise RowError(f"Column `{name}` has {_shown(value)}, which {error}.") from None
        return "".join(said)

    return get


def _looked_up(entry: Entry, get: Get, table: Mapping[str, Any]) -> Get:
    known = {name: NOTHING if value is None else value for name, value in table.items()}
    otherwise = NOTHING if entry.otherwise is None else entry.otherwise
    has_otherwise = entry.otherwise is not NOTHING

    def looked_up(row: Any, number: int) -> Any:
        value = get(row, number)
        if value is NOTHING:
            return NOTHING
        try:
            said = values.text(value)
        except Unreadable as error:
            raise RowError(f"`{entry.name}`: {_where(entry)} has {_shown(value)}, which {error}.") from None
        if said in known:
            return known[said]
        if has_otherwise:
            return otherwise
        guess = nearest(said, known)
        hint = f"; nearest is {guess!r}" if guess else ""
        raise RowError(f"`{entry.name}`: {_where(entry)} has {_shown(value)}, which `values` do not name{hint}.")

    return looked_up


def _converter(entry: Entry) -> values.Convert | None:
    if entry.kind == "text":
        return values.text
    if entry.kind == "number":
        return values.number(entry.decimal)
    if entry.kind == "boolean":
        return values.boolean
    if entry.kind == "time":
        return values.time(entry.pattern, zone(entry.zone) if entry.zone is not None else None, entry.ambiguous)
    return None


def _shown(value: Any) -> str:
    said = (
        value
        if isinstance(value, str)
        else str(value)
        if isinstance(value, Decimal)
        else json.dumps(value, default=str)
    )
    return f"`{said if len(said) <= 60 else said[:60] + '…'}`"
