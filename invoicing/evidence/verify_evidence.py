#!/usr/bin/env python3
"""Recount an invoice from its evidence pack: offline, with Python 3.9 or newer and nothing installed.

    python verify_evidence.py pack.jsonl                     recount everything
    python verify_evidence.py pack.jsonl --hash 3f5a…        and compare with the hash printed on the invoice
    python verify_evidence.py pack.jsonl --explain out_…     and tell one outcome's story

A pack is JSON lines, each record chained to the one before it. This program follows the chain, counts the outcomes of
every line anew from their events and the condition that was agreed, and works out every amount, the tax and the total
anew from the recorded terms. It was written from the published rules (docs/language.md, docs/lifecycle.md,
docs/pricing.md, docs/evidence.md) and shares no code with the software that made the invoice.

Exit status: 0 everything fits; 1 something does not, and the first record that does not is named; 2 no pack to read.
"""

# It runs on Python 3.9, alone, and all its instants are UTC.
# ruff: noqa: B905, DTZ001, PTH123, SIM115, SIM905, T201

from __future__ import annotations

import argparse
import gzip
import hashlib
import heapq
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import IO, Any, NamedTuple, NoReturn, cast

FORMAT = "holdfast evidence 1"
# What the first record is chained to.
START = "0" * 64
MOST_BYTES = 8 * 1024 * 1024
MOST_NESTING = 200
MOST_DIGITS = 420

SECOND = 1_000_000
DAY = 86_400 * SECOND
LONGEST = 180 * DAY
USUAL_WINDOW = 3 * DAY
UNITS = {"week": 7 * DAY, "day": DAY, "hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND}
EPOCH = datetime(1970, 1, 1)

Body = dict[str, Any]
Dimensions = tuple[tuple[str, str], ...]


class Wrong(Exception):
    """A record that does not fit, and why."""

    def __init__(self, record: Record, why: str) -> None:
        super().__init__(why)
        self.record, self.why = record, why

    def __str__(self) -> str:
        return f"{self.record}: {self.why}"


class Record(NamedTuple):
    """One line of the pack."""

    n: int
    kind: str
    body: Body

    def __str__(self) -> str:
        named = next((str(self.body[key]) for key in ("number", "id", "key", "slug") if self.body.get(key)), "")
        return f"line {self.n}, {self.kind or 'unreadable'}{' ' if named else ''}{named[:100]}"


def need(holds: bool, record: Record, why: str) -> None:
    if not holds:
        raise Wrong(record, why)


# ------------------------------------------------------------------------------------------------------ the chain


def read_records(stream: IO[bytes], previous: str = START, n: int = 0) -> Iterator[Record]:
    """The records of a pack, each with its hash checked before anything in it is believed.

    A line is ``{"n":N,"kind":"…","body":{…},"hash":"H"}``. H is the SHA-256, in hexadecimal, of the hash of the line
    before and of this line's bytes up to the comma before ``"hash"``. ``previous`` and ``n`` are those of the line
    before the first one.
    """
    while True:
        line = stream.readline(MOST_BYTES + 1)
        if not line:
            return
        n += 1
        head, tail = line[:-76], line[-76:]
        found = tail[9:73].decode("ascii", "replace")
        wanted = hashlib.sha256(previous.encode() + head).hexdigest()
        if len(line) > MOST_BYTES:
            raise Wrong(Record(n, "", {}), f"it is longer than {MOST_BYTES} bytes.")
        if tail != b',"hash":"' + wanted.encode() + b'"}\n':
            told = (
                "it does not end with its hash" if tail[:9] != b',"hash":"' else f"its hash {found[:12]}… does not fit"
            )
            raise Wrong(_guess(n, line), f"it was changed, or a record before it was taken away: {told}.")
        yield _record(n, line)
        previous = wanted


def _record(n: int, line: bytes) -> Record:
    try:
        value = parse(line)
    except (ValueError, RecursionError) as error:
        raise Wrong(Record(n, "", {}), f"it is not JSON that can be read: {error}.") from None
    record = Record(n, "", {})
    need(isinstance(value, dict) and list(value) == ["n", "kind", "body", "hash"], record, "it is no record of a pack.")
    need(isinstance(value["kind"], str) and isinstance(value["body"], dict), record, "it is no record of a pack.")
    record = Record(n, value["kind"], value["body"])
    need(type(value["n"]) is int and value["n"] == n, record, f"it says that it is record {value['n']!r}.")
    return record


def _guess(n: int, line: bytes) -> Record:
    """What a broken line seems to be."""
    try:
        value = parse(line)
        return Record(n, str(value["kind"])[:40], value["body"] if isinstance(value["body"], dict) else {})
    except (ValueError, TypeError, KeyError, RecursionError):
        return Record(n, "", {})


def parse(text: bytes) -> Any:
    """JSON with exact numbers; ValueError for what is not, comes twice, or is absurdly deep or long."""
    if text.count(b"[") + text.count(b"{") > MOST_NESTING:
        depth = 0
        for bracket in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", text):
            depth += 1 if bracket in b"[{" else -1 if bracket in b"]}" else 0
            if depth > MOST_NESTING:
                raise ValueError("it is nested too deep")
    return json.loads(
        text.decode("utf-8"),
        parse_int=_whole,
        parse_float=_fraction,
        parse_constant=_constant,
        object_pairs_hook=_object,
    )


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError("a number is too long")
    return int(text)


def _fraction(text: str) -> Decimal:
    exponent = re.split("[eE]", text)[1:]
    if len(text) > MOST_DIGITS or (exponent and (len(exponent[0]) > 4 or abs(int(exponent[0])) > MOST_DIGITS)):
        raise ValueError("a number is too long")
    return Decimal(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _object(pairs: list[tuple[str, Any]]) -> Body:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice in one object")
    return found


# ------------------------------------------------------------------------------------- instants, durations, numbers


def instant(text: str) -> int:
    """Microseconds since 1970 of ``2026-03-01T10:00:00Z``."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", text, re.ASCII):
        raise ValueError(f"{str(text)[:40]!r} is no instant")
    return (datetime.fromisoformat(text[:-1]) - EPOCH) // timedelta(microseconds=1)


def maybe_instant(text: str | None) -> int | None:
    return None if text is None else instant(text)


def shown(moment: int | None) -> str:
    """An instant for people."""
    return "never" if moment is None else (EPOCH + timedelta(microseconds=moment)).isoformat() + "Z"


def duration(text: str) -> int:
    """Microseconds of ``1 day 12 hours``."""
    parts = re.findall(r"(\d+) (week|day|hour|minute|second)s?(?: |$)", text)
    if not parts:
        raise ValueError(f"{text[:40]!r} is no duration")
    return sum(int(count) * UNITS[unit] for count, unit in parts)


def exact(text: str) -> Fraction:
    """The number that a decimal text is."""
    if not isinstance(text, str) or not re.fullmatch(r"-?\d{1,80}(\.\d{1,80})?", text, re.ASCII):
        raise ValueError(f"{str(text)[:40]!r} is no decimal number")
    return Fraction(text)


def maybe_exact(text: str | None) -> Fraction | None:
    return None if text is None else exact(text)


def plain(number: Fraction) -> str:
    """A terminating number without exponent: 5, 0.25, -1200."""
    digits, denominator = 0, number.denominator
    while denominator % 10 == 0:
        denominator, digits = denominator // 10, digits + 1
    while (10**digits) % number.denominator:
        digits += 1
    scaled = abs(number.numerator) * 10**digits // number.denominator
    whole, part = divmod(scaled, 10**digits)
    tail = str(part).rjust(digits, "0").rstrip("0") if digits else ""
    return ("-" if number < 0 else "") + str(whole) + (f".{tail}" if tail else "")


# ------------------------------------------------------------------------------------------------------ conditions


def number_in(value: Any) -> Fraction | None:
    """The number a JSON value is to the language: at most 38 digits, an exponent within 30."""
    if type(value) is int:
        return Fraction(value) if abs(value) < 10**38 else None
    if type(value) is Decimal:
        _, digits, exponent = value.as_tuple()
        return Fraction(value) if len(digits) <= 38 and -30 <= int(exponent) <= 30 else None
    return None


def kind_of(value: Any) -> tuple[str, Any]:
    """(text | number | boolean | other, the value): what kinds of value the language tells apart."""
    if isinstance(value, str):
        return "text", value
    if isinstance(value, bool):
        return "boolean", value
    number = value if isinstance(value, Fraction) else number_in(value)
    return ("other", None) if number is None else ("number", number)


def text_of(value: Any) -> str | None:
    """A value as keys and dimensions show it."""
    kind, found = kind_of(value)
    if kind == "text":
        return str(found)
    if kind == "boolean":
        return "true" if found else "false"
    return None if kind == "other" else plain(found)


@lru_cache(maxsize=4096)
def segments(path: str) -> tuple[str, ...]:
    """The steps of a path; those in backticks may hold anything."""
    return tuple(quoted or bare for quoted, bare in re.findall(r"`([^`]+)`|([^.`]+)", path))


def look(data: Any, steps: Sequence[str]) -> Any:
    """What stands at a path in an event's data; None where there is nothing, or an explicit null."""
    for step in steps:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and re.fullmatch("0|[1-9][0-9]{0,8}", step) and int(step) < len(data):
            data = data[int(step)]
        else:
            return None
    return data


@lru_cache(maxsize=4096)
def stated_number(text: str) -> Fraction:
    """A number as a condition writes it: 4.5, or 1e-20."""
    if not re.fullmatch(r"-?\d{1,80}(\.\d{1,80})?(e-?\d{1,2})?", text, re.ASCII):
        raise ValueError(f"{text[:40]!r} is no number")
    return Fraction(text)


def literal(form: Body) -> tuple[str, Any]:
    ((kind, value),) = form.items()
    if kind == "number":
        return kind, stated_number(value)
    if (kind, type(value)) not in (("text", str), ("boolean", bool)):
        raise ValueError("a literal is a text, a number, true or false")
    return kind, value


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda a, b: a == b,
    "is not": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "at least": lambda a, b: a >= b,
    "at most": lambda a, b: a <= b,
    "exactly": lambda a, b: a == b,
    "more than": lambda a, b: a > b,
    "fewer than": lambda a, b: a < b,
}


def passes(form: Body, value: Any) -> bool:
    """A test of a value: `is 5`, `in ("a", "b")`, `contains "x"`, `is present`."""
    kind = form["kind"]
    if kind == "presence":
        return (value is not None) == form["present"]
    mine = kind_of(value)
    if kind == "in":
        return (mine in [literal(one) for one in form["literals"]]) != form["not"]
    wanted = literal(form["literal"])
    if kind == "search":
        if form["how"] == "contains" and isinstance(value, list):
            return any(kind_of(item) == wanted for item in value)
        if mine[0] != "text":
            return False
        if form["how"] == "contains":
            return wanted[0] == "text" and wanted[1] in mine[1]
        return bool(mine[1].startswith(wanted[1]) if form["how"] == "starts with" else mine[1].endswith(wanted[1]))
    if kind != "compare":
        raise ValueError(f"{kind!r} is no test")
    if form["order"] in ("is", "is not"):
        return (mine == wanted) == (form["order"] == "is")
    return mine[0] == wanted[0] and mine[0] in ("text", "number") and COMPARE[form["order"]](mine[1], wanted[1])


class Event(NamedTuple):
    """One fact of a subject; ``data`` is None where its payload is archived."""

    record: Record
    seq: int
    type: str
    time: int
    data: Body | None


class Pattern:
    """`X where …`: which events are meant."""

    def __init__(self, form: Body) -> None:
        self.name, self.wildcard, self.where = form["name"], form["wildcard"], form["where"]

    def named(self, event_type: str) -> bool:
        if self.wildcard:
            return event_type.startswith(self.name) and event_type != self.name
        return bool(event_type == self.name)

    def matches(self, event: Event) -> bool:
        return self.named(event.type) and (self.where is None or self._filter(self.where, event.data))

    def _filter(self, form: Body, data: Any) -> bool:
        if form["kind"] == "and":
            return all(self._filter(one, data) for one in form["of"])
        if form["kind"] == "or":
            return any(self._filter(one, data) for one in form["of"])
        if form["kind"] == "not":
            return not self._filter(form["of"], data)
        return passes(form, look(data, segments(form["path"])))


class Tally:
    """What of the events so far one part of a condition needs. `add` takes the next event, in order."""

    def __init__(self, form: Body) -> None:
        self.pattern = Pattern(form["event"])

    def add(self, event: Event) -> None:
        raise NotImplementedError


class Counted(Tally):
    """How many X there were."""

    def __init__(self, form: Body) -> None:
        super().__init__(form)
        self.count = 0

    def add(self, event: Event) -> None:
        self.count += self.pattern.matches(event)


class Following(Tally):
    """`X after Y`: whether the latest X came after the latest Y."""

    def __init__(self, form: Body) -> None:
        super().__init__(form)
        self.other, self.holds, self.seen = Pattern(form["reference"]), False, False

    def add(self, event: Event) -> None:
        if self.other.matches(event):
            self.seen, self.holds = True, False
        elif self.seen and self.pattern.matches(event):
            self.holds = True


class Near(Tally):
    """`X within D of Y`: whether some X came at most D after the most recent Y before it."""

    def __init__(self, form: Body) -> None:
        super().__init__(form)
        self.other, self.span, self.holds = Pattern(form["reference"]), duration(form["duration"]), False
        self.since: int | None = None

    def add(self, event: Event) -> None:
        if self.since is not None and self.pattern.matches(event):
            self.holds = self.holds or event.time - self.since <= self.span
        if self.other.matches(event):
            self.since = event.time


class Reading(Tally):
    """`latest PATH of X` and its like. ``value`` is None while it is missing; ``teller`` is the event that told it."""

    MOST_DISTINCT = 1000

    def __init__(self, form: Body) -> None:
        super().__init__(form)
        self.reading, self.path = form["reading"], None if form["path"] is None else segments(form["path"])
        self.value: Any = Fraction(0) if self.reading in ("number", "distinct") else None
        self.total, self.count, self.distinct = Fraction(0), 0, set[Any]()
        self.teller: Event | None = None

    def add(self, event: Event) -> None:
        if not self.pattern.matches(event):
            return
        if self.reading == "number":
            self.value += 1
            return
        found = look(event.data, self.path or [])
        if self.reading in ("latest", "first"):
            if self.reading == "latest" or self.teller is None:
                self.value, self.teller = found, event
        elif self.reading == "distinct":
            if len(self.distinct) <= self.MOST_DISTINCT and kind_of(found)[0] != "other":
                self.distinct.add(kind_of(found))
                self.value = Fraction(len(self.distinct))
        else:
            self._number(number_in(found))

    def _number(self, number: Fraction | None) -> None:
        if number is None:
            return
        self.count, self.total = self.count + 1, self.total + number
        if self.reading == "average":
            self.value = self.total / self.count
        elif self.reading == "total":
            self.value = self.total
        else:
            choose = max if self.reading == "highest" else min
            self.value = number if self.value is None else choose(self.value, number)

    @property
    def uncountable(self) -> bool:
        return len(self.distinct) > self.MOST_DISTINCT

    @property
    def stated(self) -> Any:
        """The value as it is billed and shown: an average to 12 decimals, too many distinct values not at all."""
        if self.uncountable:
            return None
        if self.reading == "average" and self.value is not None:
            return Fraction(round(self.value * 10**12), 10**12)
        return self.value


class View:
    """The events that one clause looks at, tallied. A program has a view for each of its scopes."""

    def __init__(self, parts: Sequence[Body]) -> None:
        self.tallies: dict[int, Tally] = {}
        for form in parts:
            if "reading" in form:
                self.tallies[id(form)] = Reading(form)
            else:
                self.tallies[id(form)] = {"after": Following, "within": Near}.get(form["kind"], Counted)(form)

    def add(self, event: Event) -> None:
        for tally in self.tallies.values():
            tally.add(event)

    def __getitem__(self, form: Body) -> Any:
        return self.tallies[id(form)]


class Program:
    """A condition, ready to be asked. Made of its JSON form; ``text`` is what that form says, in canonical words."""

    def __init__(self, form: Body) -> None:
        self.form, self.text = form, written(form)
        self.keys = [[segments(path) for path in alternatives] for alternatives in form["per"]]
        self.expire = LONGEST if form["expire_after"] is None else duration(form["expire_after"])
        self.credits = [(duration(one["within"]), one["when"]) for one in form["credit"]]
        settle = form["settle"] or {"kind": "after", "window": None, "at_most": None, "value": None}
        self.settle, self.settle_value = settle["kind"], settle["value"]
        self.window = duration(settle["window"]) if settle["window"] else 0 if form["settle"] else USUAL_WINDOW
        self.at_most = duration(settle["at_most"]) if settle["at_most"] else LONGEST
        self.amount = form["amount"]
        self.quantity = None if (form["quantity"] or {}).get("number") else form["quantity"]
        fixed = "1" if form["quantity"] is None else form["quantity"].get("number")
        self.units = None if fixed is None else stated_number(fixed)
        graded = [choice["if"] for one in form["dimensions"] for choice in one.get("choices", ())]
        values = [self.settle_value, self.quantity, self.amount, *(one.get("value") for one in form["dimensions"])]
        self.parts: dict[str, list[Body]] = {"attempt": [], "void": [], "after": [], "history": []}
        self._gather("attempt", [form["bill_when"], form["settle_early_when"], *graded, *values])
        self._gather("void", form["void_when"])
        self._gather("after", [*(when for _, when in self.credits), form["repeat_when"]])
        self.patterns = [Pattern(one) for one in _patterns_in(form)]
        self._mentioned: dict[str, bool] = {}

    def _gather(self, scope: str, forms: Iterable[Body | None]) -> None:
        """Which parts of these conditions and values need a tally, and over which events."""
        waiting = [one for one in forms if one is not None]
        while waiting:
            form = waiting.pop()
            kind = form.get("kind")
            if "reading" in form or kind in ("count", "after", "within"):
                self.parts[scope].append(form)
            elif kind == "seen":
                self.parts["history" if form["ever"] else scope].append(form)
            elif kind in ("and", "or", "group"):
                waiting += form["of"]
            elif kind == "not":
                waiting.append(form["of"])
            elif kind == "points":
                waiting += [one["if"] for one in form["weights"]]
            else:
                waiting.append(form["value"])

    def view(self, scope: str) -> View:
        return View(self.parts[scope])

    def mentions(self, event_type: str) -> bool:
        """Whether any event name of the text matches."""
        if event_type not in self._mentioned:
            self._mentioned[event_type] = any(pattern.named(event_type) for pattern in self.patterns)
        return self._mentioned[event_type]

    def subject(self, data: Any) -> str | None:
        """What an event is about; None where it has no key."""
        texts = []
        for alternatives in self.keys:
            present = (value for steps in alternatives if (value := look(data, steps)) is not None)
            texts.append(text_of(next(present, None)))
        if None in texts:
            return None
        return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)

    def holds(self, form: Body | None, view: View, history: View) -> bool:
        """Whether a condition is true of the events of a view; False where the clause was left out."""
        if form is None:
            return False
        kind = form["kind"]
        if kind == "and":
            return all(self.holds(one, view, history) for one in form["of"])
        if kind == "or":
            return any(self.holds(one, view, history) for one in form["of"])
        if kind == "not":
            return not self.holds(form["of"], view, history)
        if kind == "seen":
            return ((history if form["ever"] else view)[form].count > 0) != form["no"]
        if kind == "count":
            return COMPARE[form["order"]](view[form].count, int(form["number"]))
        if kind in ("after", "within"):
            return bool(view[form].holds != form["no"])
        if kind == "group":
            held = sum(self.holds(one, view, history) for one in form["of"])
            if form["group"] == "none":
                return held == 0
            return held >= {"any": 1, "all": len(form["of"])}.get(form["group"], int(form["number"] or 0))
        if kind == "points":
            points = sum(stated_number(w["points"]) for w in form["weights"] if self.holds(w["if"], view, history))
            return COMPARE[form["order"]](points, stated_number(form["number"]))
        return passes(form, view[form["value"]].value)

    def worth(self, view: View, history: View) -> Worth:
        """Quantity, amount and dimension values, and what a person must look at."""
        review = (
            {"distinct_overflow"} if any(getattr(t, "uncountable", False) for t in view.tallies.values()) else set()
        )
        quantity = self.units if self.quantity is None else _billable(view[self.quantity].stated)
        amount = None if self.amount is None else _billable(view[self.amount].stated)
        if quantity is None:
            review.add("quantity_unknown")
        if self.amount is not None and amount is None:
            review.add("amount_unknown")
        dimensions = {}
        for one in self.form["dimensions"]:
            if "choices" in one:
                chosen = (c["text"] for c in one["choices"] if self.holds(c["if"], view, history))
                value = next(chosen, one["otherwise"])
            else:
                value = text_of(view[one["value"]].stated)
            if value is not None:
                dimensions[one["name"]] = value
        return Worth(quantity, amount, tuple(sorted(dimensions.items())), frozenset(review))

    def settles(self, view: View) -> int | None:
        """The time read from an event for `settle at`."""
        tally = view[self.settle_value]
        if tally.teller is None or self.settle_value["reading"] not in ("latest", "first"):
            return None
        told = _time_told(tally.value, tally.teller.time)
        return None if told is None else told + self.window


class Worth(NamedTuple):
    """What one outcome comes to; None is unknown."""

    quantity: Fraction | None
    amount: Fraction | None
    dimensions: Dimensions
    review: frozenset[str]


def _billable(value: Any) -> Fraction | None:
    kind, number = kind_of(value)
    return number if kind == "number" and 0 <= number < 10**38 else None


def _time_told(text: Any, now: int) -> int | None:
    """An RFC 3339 text as an instant; more than 5 years after the event that says it is none."""
    form = r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))"
    found = re.fullmatch(form, text, re.ASCII) if isinstance(text, str) and len(text) <= 64 else None
    if found is None or int(found[3]) > 60:
        return None
    leap = found[3] == "60"  # the instant at which the next minute begins
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}:{'59' if leap else found[3]}")
        event = EPOCH + timedelta(microseconds=now)
        day, month = (1, 3) if (event.month, event.day) == (2, 29) else (event.day, event.month)
        latest = event.replace(year=event.year + 5, month=month, day=day)
    except (ValueError, OverflowError):
        return None
    told = (moment - EPOCH) // timedelta(microseconds=1)
    told += SECOND if leap else int((found[4] or "0")[:6].ljust(6, "0"))
    if found[5]:
        if int(found[6]) > 23 or int(found[7]) > 59:
            return None
        offset = (int(found[6]) * 60 + int(found[7])) * UNITS["minute"]
        told += offset if found[5] == "-" else -offset
    return None if told > (latest - EPOCH) // timedelta(microseconds=1) else told


# -------------------------------------------------------------------------------- a condition's form as canonical text

KEYWORDS = frozenset(
    """after all amount and any at average bill contains credit dimension distinct early else ends ever exactly expire
    false fewer first highest if immediately in is latest least lowest missing more most no none not number of or
    outcome per points present quantity repeat settle silence starts than total true void when where with
    within""".split()
)


def same_text(one: str, other: str) -> bool:
    """Whether two texts are the same but for white space outside quotes, which means nothing."""
    return _squeezed(one) == _squeezed(other)


def _squeezed(text: str) -> str:
    parts = re.split(r'("(?:[^"\\]|\\.)*"|`[^`]*`)', text)
    return "".join(part if n % 2 else re.sub(r"\s+", " ", part) for n, part in enumerate(parts)).strip()


def bare(text: str) -> str:
    """A condition's text without its comments, and without backticks that a word could do without."""
    parts = re.compile(r'("(?:[^"\\]|\\.)*")|`(\w+)`|(`[^`]*`)|#[^\n]*')
    return parts.sub(lambda found: found[1] or found[2] or found[3] or " ", text)


def title_of(form: Body) -> str:
    """What a condition is called on invoices: its title, or its short name in words."""
    if form["title"] is not None:
        return str(form["title"])
    name = form["outcome"].replace("_", " ").replace("-", " ").strip()
    return name[:1].upper() + name[1:] if name else str(form["outcome"])


def written(form: Body) -> str:
    """The condition that a form says, in the language's words. So a reader need not trust that text and form agree."""
    title = "" if form["title"] is None else " " + _quoted(form["title"])
    out = [f"outcome {form['outcome']}{title}", "per " + ", ".join(" or ".join(one) for one in form["per"])]
    out.append("bill when " + _node(form["bill_when"]))
    out += ["void when " + _node(one) for one in form["void_when"]]
    out += [f"credit within {one['within']} when {_node(one['when'])}" for one in form["credit"]]
    if form["settle"] is not None:
        out.append("settle " + _settlement(form["settle"]))
    if form["settle_early_when"] is not None:
        out.append("settle early when " + _node(form["settle_early_when"]))
    if form["expire_after"] is not None:
        out.append(f"expire after {form['expire_after']} of silence")
    if form["repeat_when"] is not None:
        out.append("repeat when " + _node(form["repeat_when"]))
    if form["quantity"] is not None:
        number = form["quantity"].get("number")
        out.append("quantity " + (_value(form["quantity"]) if number is None else number))
    if form["amount"] is not None:
        out.append("amount " + _value(form["amount"]))
    for one in form["dimensions"]:
        if "choices" in one:
            choices = "".join(f"{_quoted(choice['text'])} if {_node(choice['if'])} else " for choice in one["choices"])
            out.append(f"dimension {one['name']} = {choices}{_quoted(one['otherwise'])}")
        else:
            out.append(f"dimension {one['name']} = {_value(one['value'])}")
    return "\n".join(out)


def _settlement(form: Body) -> str:
    if form["kind"] == "at":
        return f"{form['window']} after {_value(form['value'])}" if form["window"] else f"at {_value(form['value'])}"
    if form["kind"] == "silence":
        return f"after {form['window']} of silence" + (f", at most {form['at_most']}" if form["at_most"] else "")
    return f"after {form['window']}" if form["kind"] == "after" else "immediately"


def _node(form: Body) -> str:
    kind = form["kind"]
    if kind in ("and", "or"):
        return f" {kind} ".join(_inner(one) for one in form["of"])
    if kind == "not":
        return f"not {_inner(form['of'])}"
    no = "no " if form.get("no") else ""
    if kind == "seen":
        return no + _event(form["event"]) + (" ever" if form["ever"] else "")
    if kind == "count":
        return f"{form['order']} {form['number']} {_event(form['event'])}"
    if kind == "after":
        return f"{no}{_event(form['event'])} after {_event(form['reference'])}"
    if kind == "within":
        return f"{no}{_event(form['event'])} within {form['duration']} of {_event(form['reference'])}"
    if kind == "group":
        head = f"at least {form['number']}" if form["group"] == "at least" else form["group"]
        return f"{head} of ({', '.join(_node(one) for one in form['of'])})"
    if kind == "points":
        weights = ", ".join(f"{one['points']} if {_node(one['if'])}" for one in form["weights"])
        return f"points ({weights}) {form['order']} {form['number']}"
    subject = form["path"] if "path" in form else _value(form["value"])
    if kind == "presence":
        return f"{subject} is {'present' if form['present'] else 'missing'}"
    if kind == "in":
        return f"{subject} {'not ' if form['not'] else ''}in ({', '.join(_literal(one) for one in form['literals'])})"
    return f"{subject} {form['how' if kind == 'search' else 'order']} {_literal(form['literal'])}"


def _inner(form: Body) -> str:
    return f"({_node(form)})" if form["kind"] in ("and", "or") else _node(form)


def _value(form: Body) -> str:
    what = {"number": "number of", "distinct": f"number of distinct {form['path']} of"}
    return f"{what.get(form['reading'], form['reading'] + ' ' + str(form['path']) + ' of')} {_event(form['event'])}"


def _event(form: Body) -> str:
    name = form["name"]
    if form["wildcard"]:
        name += "*"
    elif not re.fullmatch(r"[^\W\d_][\w-]*(?:[.:/][\w-]+)*", name) or name.lower() in KEYWORDS:
        name = _quoted(name)
    if form["where"] is None:
        return str(name)
    return f"{name} where {_inner(form['where'])}"


def _literal(form: Body) -> str:
    ((kind, value),) = form.items()
    return _quoted(value) if kind == "text" else str(value).lower() if kind == "boolean" else str(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _patterns_in(form: Any) -> Iterator[Body]:
    """Every event term anywhere in a condition."""
    waiting = [form]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if "wildcard" in here:
                yield here
            waiting += here.values()
        elif isinstance(here, list):
            waiting += here


# ------------------------------------------------------------------------------------------------------- lifecycle


class Version(NamedTuple):
    """A condition's version, and from when on attempts take it; None: from the beginning."""

    number: int
    program: Program
    effective_from: int | None
    title: str
    text: str
    sentence: str = ""


class Decision(NamedTuple):
    """What a person decided of the attempt that an event met: took it back, or completed its figures."""

    record: Record
    at: int
    kind: str
    met_at: int
    met_by: int
    quantity: Fraction | None
    amount: Fraction | None


class Attempt:
    """One attempt on a subject to reach a charge."""

    def __init__(self, version: Version, first: Event) -> None:
        self.version, self.first, self.state = version, first, "open"
        self.view, self.void_view, self.after_view = version.program.view("attempt"), View([]), View([])
        self.met: Event | None = None
        self.settles_at: int | None = None
        self.due_at = first.time
        self.early = self.reopened = False
        self.settled_at: int | None = None
        self.ended_at: int | None = None
        self.ended_by: Event | None = None
        self.given: tuple[Fraction | None, Fraction | None] = (None, None)
        self.worth: Worth | None = None

    def complete(self) -> None:
        """What a person gave stands in the place of what the events tell."""
        if self.worth is None:
            return
        quantity, amount = self.given
        if quantity is not None:
            self.worth = self.worth._replace(quantity=quantity, review=self.worth.review - {"quantity_unknown"})
        if amount is not None:
            self.worth = self.worth._replace(amount=amount, review=self.worth.review - {"amount_unknown"})


class Rules:
    """What the subjects of one condition are judged by: its versions, and what the contract puts in their place."""

    def __init__(self, versions: Sequence[Version], body: Body) -> None:
        self.versions = sorted(versions, key=lambda one: (one.effective_from is not None, one.effective_from))
        self.windows = [(*_span(one), one["seconds"] * SECOND) for one in body["windows"]]
        by_number = {one.number: one for one in versions}
        self.pins = [(*_span(one), by_number[one["version"]]) for one in body["pins"]]
        self.since = maybe_instant(body["since"])

    def in_force(self, moment: int) -> Version | None:
        if self.since is not None and moment < self.since:
            return None
        for start, end, version in self.pins:
            if start <= moment and (end is None or moment < end):
                return version
        begun = [v for v in self.versions if v.effective_from is None or v.effective_from <= moment]
        return begun[-1] if begun else None

    def window(self, met_at: int, usual: int) -> int:
        for start, end, other in self.windows:
            if start <= met_at and (end is None or met_at < end):
                return int(other)
        return usual


def _span(body: Body) -> tuple[int, int | None]:
    return instant(body["start"]), maybe_instant(body["end"])


class Life:
    """A subject's events, in order, become attempts and what came of them (docs/lifecycle.md)."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.attempts: list[Attempt] = []
        self.current: Attempt | None = None
        self.confirmed: Attempt | None = None
        self.histories = {v.number: v.program.view("history") for v in rules.versions}

    def tell(self, events: Sequence[Event], decisions: Sequence[Decision]) -> list[Attempt]:
        """Every attempt there was once all windows are over."""
        waiting = list(decisions)
        for event in events:
            while waiting and waiting[0].at <= event.time:
                self._decide(waiting.pop(0))
            self._hear(event)
        for decision in waiting:
            self._decide(decision)
        self._clock(None)
        return self.attempts

    def _clock(self, now: int | None) -> None:
        """Windows and patience that ended at or before ``now`` (None: for ever) take effect."""
        attempt = self.current
        if attempt is None or (now is not None and attempt.due_at > now):
            return
        self.current = None
        if attempt.state == "open":
            attempt.state, attempt.ended_at = "missed", attempt.due_at
        elif attempt.settles_at is None:
            attempt.state, attempt.ended_at = "void", attempt.due_at
        else:
            program = attempt.version.program
            attempt.state, attempt.settled_at = "confirmed", attempt.due_at
            attempt.worth = program.worth(attempt.view, self.histories[attempt.version.number])
            attempt.complete()
            attempt.after_view = program.view("after")
            self.confirmed = attempt

    def _hear(self, event: Event) -> None:
        self._clock(event.time)
        for history in self.histories.values():
            history.add(event)
        consumed = self.confirmed is not None and self._watch(self.confirmed, event)
        if self.current is not None:
            self._step(self.current, event)
        elif not consumed and (self.confirmed is None or self.confirmed.reopened):
            version = self.rules.in_force(event.time)
            if version is not None and version.program.mentions(event.type):
                self.current = Attempt(version, event)
                self.attempts.append(self.current)
                self._step(self.current, event)

    def _watch(self, outcome: Attempt, event: Event) -> bool:
        """`credit` and `repeat` of the latest confirmed outcome: whether the event was used up by one of them."""
        program, history = outcome.version.program, self.histories[outcome.version.number]
        if not program.mentions(event.type) or outcome.settled_at is None:
            return False
        outcome.after_view.add(event)
        for span, when in program.credits:
            if event.time < outcome.settled_at + span and program.holds(when, outcome.after_view, history):
                outcome.state, outcome.ended_at, outcome.ended_by = "reversed", event.time, event
                self.confirmed = None
                return True
        if not outcome.reopened and program.holds(program.form["repeat_when"], outcome.after_view, history):
            outcome.reopened = True
            return True
        return False

    def _step(self, attempt: Attempt, event: Event) -> None:
        program, history = attempt.version.program, self.histories[attempt.version.number]
        if not program.mentions(event.type):
            return
        attempt.view.add(event)
        met = program.holds(program.form["bill_when"], attempt.view, history)
        if attempt.state == "provisional":
            attempt.void_view.add(event)
            if any(program.holds(one, attempt.void_view, history) for one in program.form["void_when"]):
                attempt.state, attempt.ended_at, attempt.ended_by = "void", event.time, event
                self.current = None
                return
            if not met:
                attempt.state, attempt.met, attempt.settles_at, attempt.early = "open", None, None, False
        elif met:
            attempt.state, attempt.met, attempt.void_view = "provisional", event, program.view("void")
        self._plan(attempt, event)

    def _plan(self, attempt: Attempt, event: Event) -> None:
        """When the clock alone changes the attempt next."""
        program = attempt.version.program
        if attempt.met is None:
            attempt.due_at = event.time + program.expire
            return
        met_at = attempt.met.time
        if not attempt.early:
            if program.settle == "after":
                attempt.settles_at = met_at + self.rules.window(met_at, program.window)
            elif program.settle == "silence":
                attempt.settles_at = min(event.time + program.window, met_at + program.at_most)
            elif program.settle == "immediately":
                attempt.settles_at = met_at
            else:
                told = program.settles(attempt.view)
                attempt.settles_at = None if told is None else max(told, event.time)
            history = self.histories[attempt.version.number]
            if program.holds(program.form["settle_early_when"], attempt.view, history):
                attempt.early, attempt.settles_at = True, event.time
        attempt.due_at = met_at + LONGEST if attempt.settles_at is None else attempt.settles_at

    def _decide(self, decision: Decision) -> None:
        """It is about the last attempt that began at or before the event that met the one meant."""
        self._clock(decision.at)
        meant = (decision.met_at, decision.met_by)
        begun = [one for one in self.attempts if (one.first.time, one.first.seq) <= meant]
        if not begun:
            return
        attempt = begun[-1]
        if decision.kind == "complete":
            if attempt.state in ("open", "provisional", "confirmed", "reversed"):
                attempt.given = (decision.quantity, decision.amount)
                attempt.complete()
        elif attempt.state in ("open", "provisional", "confirmed"):
            attempt.state = "reversed" if attempt.state == "confirmed" else "void"
            attempt.ended_at = decision.at
            self.confirmed = None if self.confirmed is attempt else self.confirmed
            self.current = None if self.current is attempt else self.current


# ------------------------------------------------------------------------------------------------------------ money

# Minor units of currencies that have other than two.
DECIMALS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


class Money:
    """Exact major units become whole minor units in one place, half up; minor units become text for people."""

    def __init__(self, currency: str) -> None:
        self.currency, self.decimals = currency, DECIMALS.get(currency, 2)

    def minor(self, major: Fraction) -> int:
        scaled = abs(major) * 10**self.decimals
        whole = int(scaled + Fraction(1, 2))
        return -whole if major < 0 else whole

    def major(self, minor: int) -> Fraction:
        return Fraction(minor, 10**self.decimals)

    def text(self, minor: int) -> str:
        whole, part = divmod(abs(minor), 10**self.decimals)
        tail = f".{part:0{self.decimals}d}" if self.decimals else ""
        return f"{'-' if minor < 0 else ''}{whole}{tail} {self.currency}"


def shares_of(total: int, weights: Sequence[Fraction]) -> list[int]:
    """A total in whole parts by largest remainder; of equal remainders the earlier gets the odd unit."""
    everything = sum(weights, Fraction(0))
    if total == 0 or everything == 0:
        if total:
            raise ValueError("an amount cannot be split over nothing")
        return [0] * len(weights)
    sign, amount = (-1, -total) if total < 0 else (1, total)
    wanted = [amount * weight / everything for weight in weights]
    parts = [one.numerator // one.denominator for one in wanted]
    order = sorted(range(len(parts)), key=lambda n: (parts[n] - wanted[n], n))
    for n in order[: amount - sum(parts)]:
        parts[n] += 1
    return [sign * part for part in parts]


# ----------------------------------------------------------------------------------------------------------- prices


class Price:
    """One price of a rate card, or of a contract (an override)."""

    def __init__(self, body: Body, override: bool) -> None:
        self.id, self.condition, self.model, self.override = body["id"], body["condition"], body["model"], override
        self.unit_price, self.percent = maybe_exact(body["unit_price"]), maybe_exact(body["percent"])
        self.size, self.included = maybe_exact(body["package_size"]), maybe_exact(body["included"]) or Fraction(0)
        self.least, self.most = maybe_exact(body["minimum"]), maybe_exact(body["maximum"])
        self.period_maximum = maybe_exact(body["period_maximum"])
        self.pool = body["pool"]
        self.match = frozenset(body["match"].items())
        self.tiers = [
            (maybe_exact(t["up_to"]), *(exact(t.get(n) or "0") for n in ("unit_price", "flat_fee", "percent")))
            for t in body["tiers"]
        ]

    @property
    def bounded(self) -> bool:
        """A percentage with a least or a most for each outcome."""
        return self.model == "percentage" and (self.least is not None or self.most is not None)

    @property
    def in_order(self) -> bool:
        """Whether outcomes count one by one."""
        return bool(self.pool) or self.bounded

    def tiered(self, quantity: Fraction, each: Callable[[tuple[Any, ...], Fraction], Fraction]) -> Fraction:
        """The sum over the tiers that a quantity reaches, each with what of it lies in that tier."""
        total = lower = Fraction(0)
        for tier in self.tiers:
            if quantity <= lower:
                break
            upper = quantity if tier[0] is None else min(tier[0], quantity)
            total, lower = total + each(tier, upper - lower), upper
        if quantity > lower:
            raise ValueError(f"the last tier of price {self.id} has an end")
        return total

    def of_value(self, value: Fraction) -> Fraction:
        """A percentage of a value, without bounds."""
        if self.tiers:
            return self.tiered(value, lambda tier, part: part * tier[3] / 100)
        return value * _needed(self.percent) / 100

    def comes_to(self, usages: Sequence[Usage]) -> tuple[Fraction, list[Fraction]]:
        """What the price comes to over all its usage in a period, exactly, and the weights by which it is split."""
        if self.model == "free":
            return Fraction(0), [one.quantity for one in usages]
        if self.model == "percentage":
            values = [one.value for one in usages]
            if self.bounded:
                charged = [one.charged for one in usages]
                return sum(charged, Fraction(0)), charged
            return self.of_value(sum(values, Fraction(0))), values
        weights = [one.quantity - one.pooled for one in usages]
        units = max(sum(weights, Fraction(0)) - self.included, Fraction(0))
        if self.model == "per_unit":
            return units * _needed(self.unit_price), weights
        if self.model == "package":
            return -(-units // _needed(self.size)) * _needed(self.unit_price), weights
        if self.model == "graduated":
            return self.tiered(units, lambda tier, part: part * tier[1] + tier[2]), weights
        if self.model == "volume":
            if units == 0:
                return Fraction(0), weights
            reached = next(tier for tier in self.tiers if tier[0] is None or units <= tier[0])
            return units * _needed(reached[1]) + _needed(reached[2]), weights
        raise ValueError(f"there is no price model {self.model!r}")


def _needed(number: Fraction | None) -> Fraction:
    if number is None:
        raise ValueError("a price lacks what its model needs")
    return number


class Usage:
    """What one line's key comes to in a period: units, value, and what depends on outcomes one by one."""

    def __init__(self) -> None:
        self.quantity = self.value = self.pooled = self.charged = Fraction(0)


class Terms:
    """One version of the contract."""

    def __init__(self, body: Body) -> None:
        self.id, self.number, self.effective_at = body["id"], body["number"], instant(body["effective_at"])
        self.card = body["rate_card"]
        self.percent_off, self.amount_off = maybe_exact(body["discount_percent"]), maybe_exact(body["discount_amount"])
        self.minimum, self.cap, self.trial = maybe_exact(body["minimum"]), maybe_exact(body["cap"]), body["trial"]
        self.fees, self.pools = body["fees"], {name: exact(units) for name, units in body["pools"].items()}
        self.commitments = {one["id"]: one for one in body["commitments"]}
        self.overrides = [Price(one, override=True) for one in body["overrides"]]
        self.body = body

    def inside(self) -> Terms:
        """The same without a minimum and fees in arrears."""
        fees = [fee for fee in self.body["fees"] if fee["timing"] == "advance"]
        return Terms({**self.body, "minimum": None, "fees": fees})

    @property
    def is_plain(self) -> bool:
        """Whether usage under such versions may share a line: it makes no difference to any amount."""
        return not (self.percent_off or self.amount_off or self.cap is not None or self.pools or self.trial)


class Card(NamedTuple):
    """One version of a rate card."""

    id: int
    card: int
    number: int
    currency: str
    effective_from: int | None
    prices: list[Price]


Key = tuple[Any, ...]
"""What a line is about. The lines of one key on all documents of a period come to what the period owes for it."""


def key_of(line: Body) -> Key:
    kind, details = line.get("kind", "usage"), line.get("details", {})
    if kind == "usage":
        return kind, line["price"], dimensions_of(line["dimensions"]), line["contract_version"]
    if kind == "fee":
        return kind, details["name"]
    if kind == "discount":
        return kind, line["contract_version"]
    if kind == "maximum":
        return kind, line["price"]
    if kind in ("commitment", "drawdown", "true_up"):
        return kind, details["commitment_id"]
    return (kind,)


def dimensions_of(values: Body) -> Dimensions:
    return tuple(sorted((name, value) for name, value in values.items() if value is not None))


class Period:
    """One billing period under the terms recorded: the usage of all its lines becomes what the period owes, by key.

    The order is that of docs/pricing.md: usage and fees that count, discount, maximum per price, minimum, cap,
    commitments, other fees.
    """

    def __init__(self, body: Body, terms: dict[int, Terms], money: Money) -> None:
        self.start, self.end, self.advance = instant(body["period_start"]), instant(body["period_end"]), body["advance"]
        self.money = money
        # An interim invoice rates its period so far: without what only the whole of it knows.
        interim = body.get("so_far", False)
        self.shares = [
            (terms[one["version"]].inside() if interim else terms[one["version"]], one["days"], one["of_days"])
            for one in body["shares"]
        ]
        for _, days, of_days in self.shares:
            if not 0 <= days <= of_days or of_days < 1:
                raise ValueError(f"{days} of {of_days} days is no part of a period")
        if len({one.id for one, _, _ in self.shares}) != len(self.shares):
            raise ValueError("a version of the contract has two shares")
        agreed = {row: one for version in terms.values() for row, one in version.commitments.items()}
        self.commitments = [agreed[row] for _, row in body["commitments"]]
        self.first = {tuple(one) for one in body["first"]}
        self.last = set() if interim else {tuple(one) for one in body["last"]}
        self.drawn = {row: minor for _, row, minor in body["drawn"]}
        self.billed_on = frozenset(body["billed_on"])
        self.made_with = body.get("versions"), body.get("card_versions")
        self.usage: dict[Key, Usage] = {}
        self.pools = {(one.id, name): units for one, _, _ in self.shares if not one.trial
                      for name, units in one.pools.items()}  # fmt: skip
        self.so_far: dict[Any, Fraction] = defaultdict(Fraction)

    def by_days(self, amount: Fraction, days: int, of_days: int) -> int:
        return self.money.minor(amount * days / of_days)

    def take(self, price: Price, key: Key, trial: bool, quantity: Fraction, value: Fraction) -> None:
        """One outcome, in order of (settled_at, id), of a price that counts outcomes one by one."""
        usage = self.usage.setdefault(key, Usage())
        if trial:
            return
        pool = (key[3], price.pool)
        if price.pool and self.pools.get(pool, 0) > 0:
            covered = min(self.pools[pool], quantity)
            self.pools[pool] -= covered
            usage.pooled += covered
        if price.bounded:
            before = self.so_far[price.id]
            self.so_far[price.id] += value
            amount = price.of_value(before + value) - price.of_value(before) if price.tiers else price.of_value(value)
            amount = amount if price.least is None else max(amount, price.least)
            usage.charged += amount if price.most is None else min(amount, price.most)

    def owes(self, prices: dict[int, Price]) -> dict[Key, int]:
        """Minor units by key."""
        owed: dict[Key, int] = defaultdict(int)
        if self.advance:
            for _, fee, minor in self._fees():
                if fee["timing"] == "advance":
                    owed["fee", fee["name"]] += minor
            return owed
        nets = self._usage(prices, owed)
        later: dict[Key, int] = defaultdict(int)
        for version, fee, minor in self._fees():
            (owed if fee["counts"] else later)["fee", fee["name"]] += minor
            if fee["counts"]:
                source = (version.id, "fee", ("fee", fee["id"]))
                nets[source] = nets.get(source, 0) + minor
        self._discount(nets, owed)
        self._maximums(nets, prices, owed)
        self._minimum_and_cap(nets, owed)
        self._commitments(sum(owed.values()), owed, later)
        for key, minor in later.items():
            owed[key] += minor
        return owed

    def _usage(self, prices: dict[int, Price], owed: dict[Key, int]) -> dict[Any, int]:
        """Each price once, over all its lines; rounded once, and split over them."""
        trials = {one.id for one, _, _ in self.shares if one.trial}
        by_price: dict[int, list[Key]] = defaultdict(list)
        nets: dict[Any, int] = {}
        for key in self.usage:
            if key[3] in trials:
                owed[key] += 0
                nets.setdefault((key[3], "usage", key[1]), 0)
            else:
                by_price[key[1]].append(key)
        for price_id, keys in by_price.items():
            # Odd units go by the names of version and dimension values, whatever the order of the lines.
            keys.sort(key=lambda key: (repr(key[3]), repr(key[2])))
            amount, weights = prices[price_id].comes_to([self.usage[key] for key in keys])
            total = self.money.minor(amount)
            parts = [total] if len(keys) == 1 else shares_of(total, weights)
            for key, part in zip(keys, parts):
                owed[key] += part
                source = (key[3], "usage", price_id)
                nets[source] = nets.get(source, 0) + part
        return nets

    def _fees(self) -> Iterator[tuple[Terms, Body, int]]:
        charged = set()
        for version, days, of_days in self.shares:
            if version.trial or days == 0:
                continue
            for fee in version.fees:
                amount = exact(fee["amount"])
                if fee["kind"] != "one_off":
                    seats = exact(fee["seats"]) if fee["kind"] == "seats" else 1
                    yield version, fee, self.by_days(amount * seats, days, of_days)
                elif ("fee", fee["id"]) in self.first and fee["id"] not in charged:
                    charged.add(fee["id"])
                    yield version, fee, self.money.minor(amount)

    def _discount(self, nets: dict[Any, int], owed: dict[Key, int]) -> None:
        for version, days, of_days in self.shares:
            mine = [source for source in nets if source[0] == version.id]
            reached = sum(nets[source] for source in mine)
            if version.trial or (version.percent_off is None and version.amount_off is None):
                continue
            if version.percent_off is not None:
                off = self.money.minor(self.money.major(reached) * version.percent_off / 100)
            else:
                off = self.by_days(_needed(version.amount_off), days, of_days)
            self._take(nets, mine, min(off, reached))
            owed["discount", version.id] -= min(off, reached)

    def _maximums(self, nets: dict[Any, int], prices: dict[int, Price], owed: dict[Key, int]) -> None:
        trials = {one.id for one, _, _ in self.shares if one.trial}
        for price_id in {key[1] for key in self.usage if key[3] not in trials}:
            bound = prices[price_id].period_maximum
            mine = [source for source in nets if source[1:] == ("usage", price_id)]
            excess = 0 if bound is None else sum(nets[source] for source in mine) - self.money.minor(bound)
            if excess > 0:
                self._take(nets, mine, excess)
                owed["maximum", price_id] -= excess

    @staticmethod
    def _take(nets: dict[Any, int], sources: list[Any], minor: int) -> None:
        """Take so much off, in proportion; odd units go by the sources' names."""
        ordered = sorted(sources, key=lambda one: f"Source(version={one[0]!r}, kind={one[1]!r}, id={one[2]!r})")
        for source, part in zip(ordered, shares_of(minor, [Fraction(nets[source]) for source in ordered])):
            nets[source] -= part

    def _minimum_and_cap(self, nets: dict[Any, int], owed: dict[Key, int]) -> None:
        running = [(one, days, of_days) for one, days, of_days in self.shares if days and not one.trial]
        floor = sum(self.by_days(one.minimum, d, of) for one, d, of in running if one.minimum is not None)
        caps = [self.by_days(one.cap, d, of) for one, d, of in running if one.cap is not None]
        capped = {one.id for one, _, _ in self.shares if one.cap is not None and not one.trial}
        reached = sum(nets.values())
        if reached < floor:
            owed["minimum",] += floor - reached
        if caps:
            bounded = sum(minor for source, minor in nets.items() if source[0] in capped)
            owed["cap",] -= max(min(bounded - sum(caps), reached - floor), 0)

    def _commitments(self, rest: int, owed: dict[Key, int], later: dict[Key, int]) -> None:
        for commitment in self.commitments:
            row, amount = commitment["id"], self.money.minor(exact(commitment["amount"]))
            before = self.drawn.get(row, 0)
            if not 0 <= before <= amount:
                raise ValueError(f"{before} of {amount} minor units of a commitment are drawn")
            counted = min(rest, amount - before)
            rest -= counted
            if commitment["payment"] == "advance":
                if ("commitment", row) in self.first:
                    later["commitment", row] += amount
                owed["drawdown", row] -= counted
            elif ("commitment", row) in self.last:
                owed["true_up", row] += amount - before - counted


class Tax(NamedTuple):
    """The rates that a document records."""

    percents: list[Fraction]
    inclusive: bool

    @classmethod
    def of(cls, taxes: Sequence[Body]) -> Tax:
        kinds = {one["inclusive"] for one in taxes}
        if len(kinds) > 1:
            raise ValueError("taxes that prices contain and taxes on top do not go together")
        return cls([exact(one["percent"]) for one in taxes], True in kinds)

    def on(self, net: int, money: Money) -> list[int]:
        """Minor units by rate, on lines of that sum."""
        whole = 100 + (sum(self.percents) if self.inclusive else 0)
        return [money.minor(money.major(net) * percent / whole) for percent in self.percents]

    def total(self, net: int, money: Money) -> int:
        return net if self.inclusive else net + sum(self.on(net, money))


# ------------------------------------------------------------------------------------------------------- the recount

# Kinds in the order in which they come; those of a subject share a rank and have an order of their own.
RANKS = {kind: rank for rank, kinds in enumerate(
    ["pack", "contract", "version", "card", "condition", "rules", "document", "document_line", "period", "line",
     "subject event decision outcome", "invoice credit_note"]) for kind in kinds.split()}  # fmt: skip
OF_SUBJECT = {"event": 1, "decision": 2, "outcome": 3}
MOVES = {
    ("", "open"), ("open", "provisional"), ("provisional", "open"), ("provisional", "void"), ("open", "void"),
    ("provisional", "confirmed"), ("confirmed", "reversed"), ("open", "missed"), ("open", "superseded"),
    ("provisional", "superseded"), ("void", "superseded"), ("missed", "superseded"),
}  # fmt: skip
CAUSES = ("event", "clock", "late", "person")
STATUSES = {"invoice": ("issued", "paid", "uncollectible", "void"), "credit_note": ("issued",)}
CORRECTS = ("invoice", "net_minor", "tax_minor", "total_minor")
SPILL = 100_000


class Sorted:
    """Texts in order, however many: what does not fit in memory waits in temporary files."""

    def __init__(self) -> None:
        self._here: list[bytes] = []
        self._files: list[IO[bytes]] = []

    def add(self, text: str) -> None:
        self._here.append(text.encode() + b"\n")
        if len(self._here) >= SPILL:
            spilled = tempfile.TemporaryFile()
            spilled.writelines(sorted(self._here))
            self._files.append(spilled)
            self._here = []

    def close(self) -> None:
        for one in self._files:
            one.close()

    def __iter__(self) -> Iterator[list[str]]:
        """Each text, split at its tabs."""
        for one in self._files:
            one.seek(0)
        for line in heapq.merge(sorted(self._here), *self._files):
            yield line.decode().rstrip("\n").split("\t")


class Line:
    """A line of the document, or of another one that its amounts depend on, with what its outcomes came to so far."""

    def __init__(self, record: Record, body: Body, document: str) -> None:
        self.record, self.body, self.document = record, body, document
        self.id, self.kind, self.key = body["id"], body.get("kind", "usage"), key_of(body)
        self.start, self.end = instant(body["period_start"]), instant(body["period_end"])
        self.amount: int = body["amount_minor"]
        self.quantity = maybe_exact(body["quantity"]) or Fraction(0)
        self.value = exact(body["details"]["value"]) if "value" in body.get("details", {}) else Fraction(0)
        self.count, self.shown, self.units, self.worth = 0, 0, Fraction(0), Fraction(0)
        if type(self.amount) is not int or type(body.get("outcome_count", 0)) is not int:
            raise ValueError("amounts in minor units and counts are whole numbers")


class Booked(NamedTuple):
    """An outcome as the pack has it."""

    record: Record
    body: Body


class Recount:
    """Takes the records one after the other; raises Wrong at the first that does not fit."""

    def __init__(self, explain: str | None = None, printed: str | None = None) -> None:
        self.explain, self.printed = explain, printed
        self.story: list[str] = []
        self.counts: Counter[str] = Counter()
        self.recorded: Counter[str] = Counter()
        self.rank, self.step = -1, 0
        self.head: Body = {}
        self.last: Record | None = None
        self.money = Money("")
        self.contract: Body = {}
        self.terms: dict[int, Terms] = {}
        self.cards: list[Card] = []
        self.prices: dict[int, Price] = {}
        self.card_of: dict[int, Card] = {}
        self.versions: dict[int, dict[int, Version]] = defaultdict(dict)
        self.rules: dict[int, Rules] = {}
        self.slugs: dict[int, str] = {}
        self.documents: dict[str, Record] = {}
        self.lines: dict[str, Line] = {}
        self.own: list[Line] = []
        self.periods: list[tuple[Record, Period]] = []
        self.subject: tuple[int, str, Record] | None = None
        self.place: tuple[str, str] | None = None
        self.events: list[Event] = []
        self.decisions: list[Decision] = []
        self.outcomes: list[Booked] = []
        self.digests, self.undone = Sorted(), Sorted()
        self.in_order, self.named = Sorted(), Sorted()
        self.seqs: set[int] = set()
        self.shown: set[tuple[str, Any]] = set()
        self.redated: set[int] = set()
        self.agreed: tuple[list[Terms], list[Card]] | None = None
        self.chosen: dict[Any, Price | None] = {}

    def take(self, record: Record) -> None:
        """One record, in its turn."""
        rank = RANKS.get(record.kind)
        need(rank is not None, record, f"there is no kind of record {record.kind[:40]!r}.")
        need(self.rank < RANKS["invoice"], record, "nothing comes after the document itself.")
        need((self.rank == -1) == (record.kind == "pack"), record, "a pack begins with its head, and has one.")
        assert rank is not None
        need(rank >= self.rank, record, f"a {record.kind} does not come after what stands before it.")
        self.last = record
        if record.kind not in OF_SUBJECT:
            self._close_subject()
        self.rank = rank
        try:
            getattr(self, f"_{record.kind}")(record, record.body)
        except Wrong:
            raise
        except UNSHAPED as error:
            raise Wrong(record, f"it is not as the format says: {_said(error)}.") from None
        self.counts[record.kind] += 1

    # --- what was agreed ----------------------------------------------------------------------------------------------

    def _pack(self, record: Record, body: Body) -> None:
        need(body["format"] == FORMAT, record, f"this program reads {FORMAT!r}, not {str(body['format'])[:40]!r}.")
        self.head, self.money = body, Money(body["currency"])
        prefix = "inv" if body["document"] == "invoice" else "cn"
        need(_uuid(body["id"], prefix) == body["uuid"], record, "its two ids are of different documents.")
        if self.printed is not None:
            why = f"the pack is for a document with the hash {body['content_hash']}, not the one that was given."
            need(body["content_hash"] == self.printed.lower(), record, why)

    def _contract(self, record: Record, body: Body) -> None:
        need(not self.contract, record, "a document has one contract.")
        need(body["currency"] == self.head["currency"], record, "it is in another currency than the document.")
        self.contract = body
        _uuid(body["id"], "con"), instant(body["starts_at"]), maybe_instant(body["ends_at"])

    def _version(self, record: Record, body: Body) -> None:
        terms = Terms(body)
        need(bool(self.contract), record, "its contract is not in the pack.")
        need(terms.id not in self.terms, record, "this version of the contract comes twice.")
        self.terms[terms.id] = terms
        self._add_prices(record, terms.overrides)

    def _card(self, record: Record, body: Body) -> None:
        prices = [Price(one, override=False) for one in body["prices"]]
        start = maybe_instant(body["effective_from"])
        card = Card(body["id"], body["rate_card"], body["number"], body["currency"], start, prices)
        self.cards.append(card)
        self._add_prices(record, prices)
        self.card_of.update({price.id: card for price in prices})

    def _add_prices(self, record: Record, prices: Sequence[Price]) -> None:
        for price in prices:
            need(price.id not in self.prices, record, f"price {price.id} comes twice.")
            self.prices[price.id] = price

    def _condition(self, record: Record, body: Body) -> None:
        program = Program(body["program"])
        why = "its program does not say what its text says."
        need(same_text(program.text, body["canonical"]), record, why)
        need(body["slug"] == body["program"]["outcome"], record, why)
        need(body["title"] == title_of(body["program"]), record, "its title is not the one that its text gives it.")
        if not same_text(bare(body["text"]), bare(body["canonical"])):
            self.recorded["conditions as they were written (`text`): compare `canonical`, which is what counts"] += 1
        known = self.versions[body["condition"]]
        need(body["version"] not in known, record, "this version of the condition comes twice.")
        start = maybe_instant(body["effective_from"])
        known[body["version"]] = Version(
            body["version"], program, start, body["title"], body["canonical"], body["sentence"]
        )
        self.slugs[body["condition"]] = body["slug"]

    def _rules(self, record: Record, body: Body) -> None:
        need(body["condition"] not in self.rules, record, "these rules come twice.")
        self.rules[body["condition"]] = Rules(list(self.versions[body["condition"]].values()), body)
        if body["windows"] or body["pins"]:
            self.recorded["settlement windows and pinned versions that the contract agreed"] += 1

    # --- documents and lines ------------------------------------------------------------------------------------------

    def _document(self, record: Record, body: Body) -> None:
        need(body["id"] not in self.documents and body["id"] != self.head["uuid"], record, "it comes twice.")
        self.documents[body["id"]] = record
        self.recorded["other invoices and credit notes of the same periods (each has its own pack)"] += 1

    def _document_line(self, record: Record, body: Body) -> None:
        need(body["document"] in self.documents, record, "it stands on no document of the pack.")
        self._add_line(Line(record, body["line"], body["document"]))

    def _period(self, record: Record, body: Body) -> None:
        period = Period(body, self.terms, self.money)
        for one in period.billed_on:
            need(one in self.documents, record, f"its amounts depend on document {one}, which is not in the pack.")
        if any(days != of_days for _, days, of_days in period.shares):
            self.recorded["days of a period that a version of the contract was in force"] += 1
        if any(period.drawn.values()):
            self.recorded["what other periods drew from a commitment"] += 1
        self.periods.append((record, period))

    def _line(self, record: Record, body: Body) -> None:
        line = Line(record, body, self.head["uuid"])
        self._add_line(line)
        self.own.append(line)
        need(body["position"] == len(self.own), record, f"it is line {len(self.own)} and says {body['position']!r}.")
        if line.kind == "usage":
            price = self.prices[body["price"]]
            need(price.condition == body["condition"], record, "it has the price of another condition.")
            need(self._is_said(body), record, "its sentence is not that of its condition.")
            need(
                maybe_exact(body["unit_price"]) == price.unit_price, record, "its unit price is not that of its price."
            )
        elif line.kind == "item":
            quantity = Fraction(1) if body["quantity"] is None else line.quantity
            unit_price = maybe_exact(body["unit_price"])
            if unit_price is not None:
                wanted = self.money.minor(quantity * unit_price)
                self._amount(line, wanted, line.amount)
        self._steps(record, body)

    def _is_said(self, line: Body) -> bool:
        """Whether the sentence that is printed is that of a version of the condition, or of several, each named."""
        versions = self.versions[line["condition"]].values()
        each = {f"Version {one.number}: {one.sentence}" for one in versions}
        return line["sentence"] in {one.sentence for one in versions} or each.issuperset(line["sentence"].split("\n"))

    def _add_line(self, line: Line) -> None:
        need(line.id not in self.lines, line.record, "a line with this id comes twice.")
        self.lines[line.id] = line

    def _steps(self, record: Record, body: Body) -> None:
        """The arithmetic that a line shows is right in itself."""
        for step in body["steps"]:
            quantity, unit_price, amount = (exact(step[name]) for name in ("quantity", "unit_price", "amount"))
            kind = step.get("kind", "units")
            if kind not in ("days", "bounds"):
                wanted = quantity * unit_price / (100 if kind == "percent" else 1)
                told = f"{step['quantity']} x {step['unit_price']}"
                need(amount == wanted, record, f"it shows {told} = {step['amount']}, which is {plain(wanted)}.")

    # --- subjects: events become outcomes -----------------------------------------------------------------------------

    def _subject(self, record: Record, body: Body) -> None:
        place = (body["slug"], body["key"])
        why = f"{place[0]} / {place[1]} comes twice, or not in its place: an outcome could be counted twice."
        need(self.place is None or self.place < place, record, why)
        need(self.slugs[body["condition"]] == body["slug"], record, "its condition has another name.")
        self.place, self.step = place, 0
        self.subject = (body["condition"], body["key"], record)

    def _in_subject(self, record: Record) -> None:
        need(self.subject is not None, record, "it belongs to no subject.")
        why = f"a {record.kind} does not come after what stands before it."
        need(OF_SUBJECT[record.kind] >= self.step, record, why)
        self.step = OF_SUBJECT[record.kind]

    def _event(self, record: Record, body: Body) -> None:
        self._in_subject(record)
        assert self.subject is not None
        seq, time = body["seq"], instant(body["time"])
        # By what it is called, an event comes once for each condition, and is the same everywhere.
        name = json.dumps([body.get("source", ""), body["id"]])
        self.named.add(f"{name}\t{self.subject[0]}\t{record.n:012d}\t{body['sha256']}")
        self.seqs.add(seq)
        if self.events:
            before = (self.events[-1].time, self.events[-1].seq)
            need(before < (time, seq), record, "it happened before the event that stands before it.")
        if body.get("archived"):
            self.events.append(Event(record, seq, "", time, None))
            return
        event = Event(record, seq, body["type"], time, body["data"])
        need(isinstance(event.data, dict), record, "its data is no object.")
        why = "its content is not what was sent: its hash is another one."
        need(body["sha256"] in _fingerprints(body["type"], body["time"], event.data), record, why)
        versions = self.versions[self.subject[0]]
        need(
            any(v.program.mentions(event.type) for v in versions.values()), record, "the condition does not mention it."
        )
        key = next(iter(versions.values())).program.subject(event.data)
        need(key == self.subject[1], record, f"it is about {key!r}, not about {self.subject[1]!r}.")
        if body.get("left_out"):
            self.recorded["late events left out of the count, as the contract wants it"] += 1
        else:
            self.events.append(event)

    def _decision(self, record: Record, body: Body) -> None:
        self._in_subject(record)
        figures = maybe_exact(body["quantity"]), maybe_exact(body["amount"])
        at, met_at = instant(body["at"]), instant(body["met_at"])
        need(body["kind"] in ("take_back", "complete"), record, "it is neither taking back nor completing.")
        need(not self.decisions or self.decisions[-1].at < at, record, "it was made before the one before it.")
        self.decisions.append(Decision(record, at, body["kind"], met_at, body["met_by"], *figures))
        self.recorded["decisions of people, each with its reason"] += 1

    def _outcome(self, record: Record, body: Body) -> None:
        self._in_subject(record)
        self.outcomes.append(Booked(record, body))

    def _close_subject(self) -> None:
        """Recount the subject whose records have all been read."""
        if self.subject is None:
            return
        archived = sum(event.data is None for event in self.events)
        beliefs: dict[tuple[int, ...], list[Attempt]] = {}
        billed: Counter[Any] = Counter()
        for one in self.outcomes:
            try:
                attempt = None
                if one.body.get("shown_on"):
                    if () not in beliefs and not archived:
                        beliefs[()] = self._attempts(())
                    self._show(one, beliefs.get(()))
                    self.story = self._tell(one) if self.explain == one.body["id"] else self.story
                    continue
                if archived:
                    self.recorded["outcomes that rest on archived events: not recounted"] += 1
                elif one.body.get("believed"):
                    self.recorded["outcomes as they were known before late evidence: not recounted"] += 1
                else:
                    without = tuple(one.body.get("without", ()))
                    if without not in beliefs:
                        beliefs[without] = self._attempts(without)
                    if without:
                        self.recorded["which events came only after an outcome was confirmed"] += 1
                    attempt = self._match(one, beliefs[without])
                    self.counts["recounted"] += 1
                self._count(one, attempt, billed)
            except UNSHAPED as error:
                raise Wrong(one.record, f"it is not as the format says: {_said(error)}.") from None
            if self.explain == one.body["id"]:
                self.story = self._tell(one)
        if archived:
            self.recorded["events archived: not recounted"] += archived
        self.counts["facts"] += len(self.events)
        self.subject, self.events, self.decisions, self.outcomes = None, [], [], []
        self.seqs, self.shown = set(), set()

    def _show(self, one: Booked, attempts: Sequence[Attempt] | None) -> None:
        """An outcome that was taken back inside its window: it counts on the line that shows it, and costs nothing."""
        record, body = one.record, one.body
        assert self.subject is not None
        need(not body["billed"] and not body["taken_back"], record, "it is shown as not charged, and stands on a line.")
        need(body["state"] == "void", record, f"it is shown as taken back, and it is {str(body['state'])[:20]}.")
        [line] = [self.lines[name] for name in body["shown_on"]]
        need(line.kind == "usage" and line.body["condition"] == self.subject[0], record, "it is of another condition.")
        need((line.id, body["met_by"]) not in self.shown, record, "it is shown twice.")
        self.shown.add((line.id, body["met_by"]))
        line.shown += 1
        met, ended, last = instant(body["met_at"]), instant(body["ended_at"]), maybe_instant(self.contract["ends_at"])
        need(line.start <= ended and (ended < line.end or line.end == last), record,
             f"it was taken back at {body['ended_at']}: that is not in the period of its line.")  # fmt: skip
        need(instant(self.contract["starts_at"]) <= met and (last is None or met < last), record,
             f"it was met at {body['met_at']}, when there was no contract.")  # fmt: skip
        self._check_journal(one)
        if attempts is None:
            self.recorded["outcomes that rest on archived events: not recounted"] += 1
            return
        voided = [one for one in attempts if one.state == "void" and one.met and one.met.seq == body["met_by"]]
        need(bool(voided), record, f"its events took back none that was met by event {self._named(body['met_by'])}.")
        attempt = voided[0]
        assert attempt.met is not None
        need(attempt.met.time == met, record, f"it was met at {shown(attempt.met.time)}, not at {body['met_at']}.")
        need(attempt.ended_at == ended, record, f"it ended at {shown(attempt.ended_at)}, not at {body['ended_at']}.")
        ended_by = None if attempt.ended_by is None else attempt.ended_by.seq
        need(body["ended_by"] == ended_by, record, "another event took it back than it says.")
        self.counts["shown"] += 1

    def _attempts(self, without: tuple[int, ...]) -> list[Attempt]:
        assert self.subject is not None
        condition, _, record = self.subject
        try:
            later = frozenset(without)
            known = [event for event in self.events if event.seq not in later]
            return Life(self.rules[condition]).tell(known, self.decisions)
        except UNSHAPED as error:
            raise Wrong(record, f"its events cannot be counted: {_said(error)}.") from None

    def _match(self, one: Booked, attempts: Sequence[Attempt]) -> Attempt:
        """The attempt that an outcome is, told by the event that met it; everything it says must be what that gave."""
        record, body = one.record, one.body
        found = [attempt for attempt in attempts if attempt.met is not None and attempt.met.seq == body["met_by"]]
        need(bool(found), record, f"its events give no outcome that was met by event {self._named(body['met_by'])}.")
        attempt = found[0]
        settled = shown(attempt.settled_at)
        ended = f"the attempt ended {attempt.state} at {shown(attempt.ended_at)}"
        need(attempt.settled_at is not None and attempt.worth is not None, record, f"it was never confirmed: {ended}.")
        assert attempt.worth is not None and attempt.met is not None
        worth, review = attempt.worth, ", ".join(sorted(attempt.worth.review))
        said = dimensions_of(body["dimensions"])
        checks: list[tuple[str, Any, Any, str]] = [
            ("version", body["version"], attempt.version.number, str(attempt.version.number)),
            ("met_at", instant(body["met_at"]), attempt.met.time, shown(attempt.met.time)),
            ("settled_at", maybe_instant(body["settled_at"]), attempt.settled_at, settled),
            ("quantity", maybe_exact(body["quantity"]), worth.quantity, _figure(worth.quantity)),
            ("amount", maybe_exact(body["amount"]), worth.amount, _figure(worth.amount)),
            ("dimensions", said, worth.dimensions, str(dict(worth.dimensions))),
        ]
        for name, booked, counted, told in checks:
            need(booked == counted, record, f"its {name} is {body[name]!r}, and its events give {told}.")
        need(
            not worth.review or not body["billed"],
            record,
            f"a person had to complete it before it was billed: {review}.",
        )
        self._check_end(one, attempt)
        return attempt

    def _check_end(self, one: Booked, attempt: Attempt) -> None:
        """Whether it stands as confirmed or was taken back, and by what."""
        record, body = one.record, one.body
        self._check_journal(one)
        if body["state"] == "confirmed":
            told = f"its events took it back at {shown(attempt.ended_at)}, and it says that it still stands."
            need(attempt.state == "confirmed", record, told)
            need(body["ended_at"] is None and body["ended_by"] is None, record, "it stands, and says that it ended.")
            return
        need(body["state"] == "reversed", record, f"{str(body['state'])[:20]!r} is no state of a billed outcome.")
        cause: Body = next((entry for entry in reversed(body["journal"]) if entry["to"] == "reversed"), {})
        if cause.get("cause") == "late":
            need(self._has(cause["event"]), record, "the late event that took it back is not among its events.")
            self.recorded["outcomes taken back by late evidence"] += 1
            return
        need(attempt.state == "reversed", record, "it says that it was taken back, and its events give no reason.")
        need(maybe_instant(body["ended_at"]) == attempt.ended_at, record,
             f"it was taken back at {shown(attempt.ended_at)}, not at {body['ended_at']}.")  # fmt: skip
        ended_by = None if attempt.ended_by is None else attempt.ended_by.seq
        need(body["ended_by"] == ended_by, record, "another event took it back than it says.")

    def _check_journal(self, one: Booked) -> None:
        state = ""
        for entry in one.body["journal"]:
            instant(entry["effective_at"]), instant(entry["recorded_at"])
            need(entry["cause"] in CAUSES, one.record, f"its journal has no cause {str(entry['cause'])[:20]!r}.")
            known = entry["event"] is None or entry["event"] in self.seqs
            need(known, one.record, "its journal names an event that is not among its events.")
            need(entry["from"] == state, one.record, f"its journal jumps from {state or 'nothing'} to {entry['from']}.")
            legal = entry["to"] == state or (state, entry["to"]) in MOVES
            need(legal, one.record, f"its journal goes from {state or 'nothing'} to {entry['to']}, which is no way.")
            state = entry["to"]
        need(state == one.body["state"], one.record, f"its journal ends {state}, and it is {one.body['state']}.")
        told = [(entry["to"], entry["event"], entry["effective_at"]) for entry in one.body["journal"]]
        met = ("provisional", one.body["met_by"], one.body["met_at"])
        need(met in told, one.record, "its journal does not say that it was met then, by that event.")
        settled = any((to, at) == ("confirmed", one.body["settled_at"]) for to, _, at in told)
        need(settled or state == "void", one.record, "its journal does not say that it was final from then on.")

    def _has(self, seq: Any) -> bool:
        return any(event.seq == seq for event in self.events)

    def _named(self, seq: Any) -> str:
        return next((repr(e.record.body["id"]) for e in self.events if e.seq == seq), f"number {str(seq)[:40]}")

    # --- outcomes on lines --------------------------------------------------------------------------------------------

    def _count(self, one: Booked, attempt: Attempt | None, billed: Counter[Any]) -> None:
        """Add an outcome to the lines that bill it, take it off those that take it back."""
        record, body = one.record, one.body
        assert self.subject is not None
        units, value = maybe_exact(body["quantity"]), max(maybe_exact(body["amount"]) or Fraction(0), Fraction(0))
        need(units is not None, record, "its quantity is unknown.")
        uuid = _uuid(body["id"])
        assert units is not None
        need(bool(body["billed"] or body["taken_back"]), record, "no line has to do with it.")
        for place, sign in (("billed", 1), ("taken_back", -1)):
            need(len(set(body[place])) == len(body[place]), record, "it stands twice on a line.")
            for line in (self.lines[name] for name in body[place]):
                need(line.kind == "usage", record, "a line that counts no outcomes has it.")
                need(line.body["condition"] == self.subject[0], record, "it stands on the line of another condition.")
                same = dimensions_of(line.body["dimensions"]) == dimensions_of(body["dimensions"])
                need(same, record, f"it stands on the line of {line.body['dimensions']}.")
                need(line.start == line.end or line.document != self.head["uuid"] or sign < 0
                     or self._belongs(line, body), record,
                     f"it settled at {body['settled_at']}: that is not in the period of its line.")  # fmt: skip
                line.count, line.units, line.worth = (
                    line.count + sign, line.units + sign * units, line.worth + sign * value
                )  # fmt: skip
                if line.document == self.head["uuid"]:
                    (self.digests if sign > 0 else self.undone).add(f"{line.record.n:012d}\t{uuid}")
                    if sign > 0:
                        self._check_billed(one, line, billed)
                if sign > 0:
                    self._keep_in_order(line, body, uuid, units, value)

    def _check_billed(self, one: Booked, line: Line, billed: Counter[Any]) -> None:
        record, body = one.record, one.body
        assert self.subject is not None
        version = self.versions[self.subject[0]][body["version"]]
        billed["any"] += 1
        billed[body["met_by"]] += 1
        need(billed[body["met_by"]] == 1, record, "what this event met is counted twice.")
        if version.program.form["repeat_when"] is None:
            need(billed["any"] == 1, record, f"{self.subject[1]!r} is counted twice, and its condition never repeats.")
        price = self._price(body)
        told = "no price" if price is None else f"price {price.id}"
        need(price is not None and price.id == line.body["price"], record,
             f"the terms give {told} when it was met, and its line has price {line.body['price']}.")  # fmt: skip
        mine, theirs = self._terms_at(instant(body["met_at"])), self.terms[line.body["contract_version"]]
        need(mine.id == theirs.id or (mine.is_plain and theirs.is_plain), record,
             f"version {mine.number} of the contract was in force when it was met, not {theirs.number}.")  # fmt: skip
        if self.prices[line.body["price"]].model == "percentage":
            need(body["amount"] is not None, record, "its amount is unknown, and its price is a percentage of it.")

    def _belongs(self, line: Line, body: Body) -> bool:
        """Whether an outcome settled in the period of its line; what settles after the contract's end belongs to the
        last period, and what settled before its start to the first.
        """
        settled = instant(body["settled_at"])
        if settled >= line.end:
            return line.end == maybe_instant(self.contract["ends_at"])
        return settled >= line.start or line.start == instant(self.contract["starts_at"])

    def _agreed(self) -> tuple[list[Terms], list[Card]]:
        """The versions of the contract and of its rate cards that there were when the document was made, each in the
        order in which they come into force: as many as it records, else none made after those that it used.
        """
        if self.agreed is None:
            recorded = [period.made_with for _, period in self.periods if period.made_with != (None, None)]
            if recorded:
                newest, newest_cards = recorded[0]
            else:
                ids = {one.id for _, period in self.periods for one, _, _ in period.shares}
                ids |= {line.body["contract_version"] for line in self.own if line.body["contract_version"] is not None}
                newest, newest_cards = max((self.terms[one].number for one in ids), default=0), None
            terms = [one for one in self.terms.values() if one.number <= newest]
            named = {one.card for one in terms}
            cards = sorted((one for one in self.cards if one.card in named), key=lambda one: one.id)
            if newest_cards is None:
                used = {self.card_of[id].id for id in self._prices_on_lines() if id in self.card_of}
                cards = [one for one in cards if one.id <= max(used, default=0)]
            else:
                cards = cards[:newest_cards]
            self.agreed = (
                sorted(terms, key=lambda one: (one.effective_at, one.number)),
                sorted(cards, key=lambda one: (one.effective_from is not None, one.effective_from or 0)),
            )
        return self.agreed

    def _prices_on_lines(self) -> set[int]:
        return {line.body["price"] for line in self.lines.values() if line.kind == "usage"}

    def _terms_at(self, moment: int) -> Terms:
        known, _ = self._agreed()
        begun = [one for one in known if one.effective_at <= moment]
        return begun[-1] if begun else known[0]

    def _price(self, body: Body) -> Price | None:
        """The price of an outcome by the terms in force when it was met; the one that names most of its values."""
        assert self.subject is not None
        met_at, values = instant(body["met_at"]), dimensions_of(body["dimensions"])
        terms = self._terms_at(met_at)
        cards = [one for one in self._agreed()[1] if one.card == terms.card]
        begun = [one for one in cards if one.effective_from is None or one.effective_from <= met_at]
        way = (self.subject[0], values, terms.id, begun[-1].id if begun else None)
        if way not in self.chosen:
            listed = begun[-1].prices if begun and begun[-1].currency == self.head["currency"] else []
            fitting = [
                one
                for one in (*terms.overrides, *listed)
                if one.condition == self.subject[0] and one.match <= set(values)
            ]
            self.chosen[way] = max(fitting, key=lambda one: (one.override, len(one.match)), default=None)
        return self.chosen[way]

    def _keep_in_order(self, line: Line, body: Body, uuid: str, units: Fraction, value: Fraction) -> None:
        """For prices that count outcomes one by one: in order of (settled_at, id), those taken back left out."""
        if not any(price.in_order for price in self.prices.values()):
            return
        for n, (_, period) in enumerate(self.periods):
            documents = period.billed_on | {self.head["uuid"]}
            if period.start != line.start or period.advance or line.document not in documents:
                continue
            if any(self.lines[name].document in documents for name in body["taken_back"]):
                continue
            price = self._price(body)
            if price is None or not price.in_order:
                continue
            terms = self._terms_at(instant(body["met_at"]))
            settled = instant(body["settled_at"]) + 2**62
            self.in_order.add(f"{n:06d}\t{settled:020d}\t{uuid}\t{price.id}\t{terms.id}\t{units}\t{value}\t{line.id}")
            issued = instant(self.head["issued_at"])
            late = (e for e in body["journal"] if e["from"] == e["to"] and e["cause"] == "late")
            if any(instant(entry["recorded_at"]) > issued for entry in late):
                self.redated.add(n)

    # --- amounts ------------------------------------------------------------------------------------------------------

    def _invoice(self, record: Record, body: Body) -> None:
        net = sum(line.amount for line in self.own)
        self._check_document(record, body, net)
        told = self.money.text
        taxes, total = body["taxes"], body["total_minor"]
        tax = Tax.of(taxes)
        need(body["subtotal_minor"] == net, record,
             f"its lines come to {told(net)}, not to {told(body['subtotal_minor'])}.")  # fmt: skip
        # A contained tax is on what is left of the lines without it.
        taxable = net - sum(tax.on(net, self.money)) if tax.inclusive else net
        for one, minor in zip(taxes, tax.on(net, self.money)):
            why = f"{one['name']} {one['percent']} % of {told(net)} is {told(minor)}, not {told(one['amount_minor'])}."
            need(one["amount_minor"] == minor, record, why)
            why = f"{one['name']} is on {told(taxable)}, not on {told(one['taxable_minor'])}."
            need(one["taxable_minor"] == taxable, record, why)
        need(
            body["tax_minor"] == sum(one["amount_minor"] for one in taxes),
            record,
            "its tax is not the sum of its taxes.",
        )
        wanted = tax.total(net, self.money)
        need(total == wanted, record, f"lines and tax come to {told(wanted)}, not to {told(total)}.")
        credit = sum(one["amount_minor"] for one in body["credits"])
        fits = all(one["amount_minor"] > 0 for one in body["credits"]) and credit <= max(total, 0)
        need(fits, record, "more credit is taken off than there is to pay.")
        if credit:
            self.recorded["credit of earlier credit notes, taken off at issue"] += 1

    def _credit_note(self, record: Record, body: Body) -> None:
        net = -sum(line.amount for line in self.own)
        self._check_document(record, body, net)
        told, allocations = self.money.text, body["allocations"]
        need(body["subtotal_minor"] == net, record,
             f"its lines give back {told(net)}, not {told(body['subtotal_minor'])}.")  # fmt: skip
        goodwill = (
            sum(line.amount for line in self.own if line.kind == "goodwill") if body["kind"] == "automatic" else 0
        )
        for name, said in (("net", net + goodwill), ("tax", body["tax_minor"]), ("total", body["total_minor"])):
            wanted = sum(one[f"{name}_minor"] for one in allocations)
            need(said == wanted, record, f"the invoices are corrected by {told(wanted)} ({name}), not by {told(said)}.")
        corrects = [{name: one[name] for name in CORRECTS} for one in allocations]
        need(body["content"].get("corrects", corrects) == corrects, record, "it corrects other invoices than it says.")
        if body["kind"] == "goodwill":
            self.recorded["a goodwill note, which a person wrote by hand"] += 1
        elif goodwill:
            self.recorded["what goodwill had given back before"] += 1
        for one in allocations if body["kind"] == "automatic" and not goodwill else ():
            tax, before = Tax.of(one["taxes"]), one["net_left_before_minor"]
            after, number = before - one["net_minor"], one["number"]
            need(0 <= after <= before, record, f"invoice {number} is corrected by more than is left of it.")
            fall = sum(tax.on(before, self.money)) - sum(tax.on(after, self.money))
            said = f"the tax of invoice {number} falls by {told(fall)}, not by {told(one['tax_minor'])}."
            need(one["tax_minor"] == fall, record, said)
            fall = tax.total(before, self.money) - tax.total(after, self.money)
            need(one["total_minor"] == fall, record, f"{told(fall)} of invoice {number} go back, no other amount.")
            self.recorded["what earlier credit notes had left of the invoices corrected"] += 1

    def _check_document(self, record: Record, body: Body, net: int) -> None:
        need(record.kind == self.head["document"], record, f"the pack is for a {self.head['document']}.")
        self._check_names()
        self._check_lines()
        self._check_amounts()
        need(body["status"] in STATUSES[record.kind], record, f"{str(body['status'])[:20]!r} is no status.")
        content = dict(body["content"])
        if body["has_terms"]:
            content["terms"] = [period.body for period, _ in self.periods]
        content["lines"] = [line.body for line in self.own]
        need(content["id"] == self.head["uuid"] and content["number"] == self.head["number"], record,
             "it is another document than the pack is for.")  # fmt: skip
        need(content["parties"]["customer"]["key"] == self.head["customer"], record,
             f"it is for {content['parties']['customer']['key']!r}, not for {self.head['customer']!r}.")  # fmt: skip
        need(content["issued_at"] == self.head["issued_at"], record, "it was not issued when the pack says.")
        contract = _uuid(self.contract["id"], "con") if self.contract else None
        need(content["contract"] == contract, record, "it is of another contract than the one in the pack.")
        for name in body.keys() & content.keys():
            need(content[name] == body[name], record, f"it has another {name} in its content.")
        why = "its content is not what was frozen at issue: the hash of the content is another one than that printed."
        need(hashlib.sha256(canonical(content).encode()).hexdigest() == self.head["content_hash"], record, why)

    def _check_names(self) -> None:
        """No event comes twice for a condition, as if it told of two subjects, and none has two contents."""
        before = ["", "", "", ""]
        for name, condition, n, sha256 in self.named:
            if name == before[0]:
                record = Record(int(n), "event", {"id": parse(name.encode())[1]})
                need(condition != before[1], record, f"it comes twice: it is in line {int(before[2])}, too.")
                need(sha256 == before[3], record, f"it has other content than in line {int(before[2])}.")
            before = [name, condition, n, sha256]

    def _check_lines(self) -> None:
        """What each line says of its outcomes is what they come to, and they are those whose digest it carries."""
        billed, taken_back = self._digests(self.digests), self._digests(self.undone)
        for line in self.own:
            body, moved = line.body, line.body.get("details", {}).get("moved", {})
            told = "its outcomes are not those that it was issued with."
            need(body["outcomes_sha256"] == billed.get(line.record.n), line.record, told)
            if "taken_back_sha256" in body:
                told = "the outcomes that it takes back are not those that it was issued with."
                need(body["taken_back_sha256"] == taken_back.get(line.record.n), line.record, told)
            if line.kind != "usage":
                continue
            if line.shown:
                why = f"it shows {body['voided_count']} taken back inside their window; there are {line.shown}."
                need(body["voided_count"] == line.shown, line.record, why)
            elif body["voided_count"]:
                self.recorded["outcomes shown as taken back inside their window"] += body["voided_count"]
            if moved:
                self.recorded["outcomes that another price took over after a change of terms"] += 1
            count = line.count + moved.get("outcomes", 0)
            units = line.units + exact(moved.get("quantity", "0"))
            need(
                body["outcome_count"] == count,
                line.record,
                f"it says {body['outcome_count']} outcomes; there are {count}.",
            )
            need(
                line.quantity == units,
                line.record,
                f"it says {plain(line.quantity)} units; its outcomes are {plain(units)}.",
            )
            if "value" in body.get("details", {}):
                worth = line.worth + exact(moved.get("value", "0"))
                need(line.value == worth, line.record, f"it says a value of {plain(line.value)}; it is {plain(worth)}.")

    def _digests(self, outcomes: Sorted) -> dict[int, str]:
        """By line's record, the SHA-256 over the ids of its outcomes, in order, joined by commas."""
        digests: dict[int, Any] = {}
        own = {line.record.n: line for line in self.own}
        before = ("", "")
        for number, uuid in outcomes:
            line = own[int(number)]
            need(before != (number, uuid), line.record, f"outcome {uuid} stands on it twice.")
            before = (number, uuid)
            comma = "," if line.record.n in digests else ""
            digests.setdefault(line.record.n, hashlib.sha256()).update((comma + uuid).encode())
        return {n: digest.hexdigest() for n, digest in digests.items()}

    def _check_amounts(self) -> None:
        """Each line's amount is what the period owes under its key, less what other documents billed of it."""
        left = {line.id for line in self.own if line.kind not in ("item", "goodwill")}
        mine: list[list[Line]] = []
        others: list[list[Line]] = []
        for _, period in self.periods:
            in_period = [line for line in self.lines.values() if line.start == period.start and self._in(line, period)]
            mine.append([line for line in in_period if line.document == self.head["uuid"] and line.id in left])
            others.append([line for line in in_period if line.document in period.billed_on])
            left -= {line.id for line in mine[-1]}
            for line in (*mine[-1], *others[-1]):
                if line.kind == "usage" and not period.advance:
                    usage = period.usage.setdefault(line.key, Usage())
                    usage.quantity += line.quantity
                    usage.value += line.value
        for line in self.own:
            need(line.id not in left or not self.periods, line.record, "the document records no terms for its period.")
        for number, _, _, price, version, units, value, name in self.in_order:
            _, period = self.periods[int(number)]
            dimensions = dimensions_of(self.lines[name].body["dimensions"])
            key = ("usage", int(price), dimensions, int(version))
            if key not in period.usage:  # under a version that says nothing of its own, it shares another's line
                key = next((one for one in period.usage if one[1:3] == key[1:3] and self.terms[one[3]].is_plain), key)
            trial = any(one.id == key[3] and one.trial for one, _, _ in period.shares)
            period.take(self.prices[key[1]], key, trial, Fraction(units), Fraction(value))
        for n, (record, period) in enumerate(self.periods):
            # The fees in advance of a period, and the rest of it, may stand on one document.
            ahead = [line for m in range(n) if self.periods[m][1].start == period.start for line in mine[m]]
            self._check_period(n, record, period, mine[n], others[n] + ahead)
        if left and not self.periods:
            self._check_each([line for line in self.own if line.id in left])

    @staticmethod
    def _in(line: Line, period: Period) -> bool:
        return not period.advance or (line.kind == "fee" and line.body["details"]["timing"] == "advance")

    def _check_period(
        self, n: int, record: Record, period: Period, mine: Sequence[Line], others: Sequence[Line]
    ) -> None:
        try:
            owed = period.owes(self.prices)
        except UNSHAPED as error:
            raise Wrong(record, f"what the period comes to cannot be worked out: {_said(error)}.") from None
        for line in others:
            owed[line.key] = owed.get(line.key, 0) - line.amount
        by_key: dict[Key, list[Line]] = defaultdict(list)
        for line in mine:
            by_key[line.key].append(line)
        try:
            for line in mine:
                self._amount(line, owed.get(line.key, 0), sum(one.amount for one in by_key[line.key]))
            for key, minor in owed.items():
                why = f"by its terms the period comes to {self.money.text(minor)} more for {key}, and no line says so."
                need(minor == 0 or key in by_key, record, why)
        except Wrong:
            # What it was worked out with has changed since, and the pack has it as it is now.
            if n in self.redated:
                self.recorded["amounts of a period whose outcomes late evidence re-dated after issue"] += 1
            elif any(self._was_draft(self.documents[one].body) for one in period.billed_on):
                self.recorded["amounts of a period that another document billed while it was a draft"] += 1
            else:
                raise

    def _was_draft(self, document: Body) -> bool:
        issued = maybe_instant(document["issued_at"])
        return issued is None or issued > instant(self.head["issued_at"])

    def _check_each(self, lines: Sequence[Line]) -> None:
        """In the first format each line was rounded by itself, and there were no terms beside prices."""
        for line in lines:
            usage = Usage()
            usage.quantity, usage.value = line.quantity, line.value
            amount, _ = self.prices[line.body["price"]].comes_to([usage])
            self._amount(line, self.money.minor(amount), line.amount)

    def _amount(self, line: Line, wanted: int, said: int) -> None:
        told = self.money.text
        need(wanted == said, line.record, f"by its terms it comes to {told(wanted)}, and it says {told(said)}.")

    # --- what is told -------------------------------------------------------------------------------------------------

    def _tell(self, one: Booked) -> list[str]:
        """One outcome's story."""
        assert self.subject is not None
        body = one.body
        version = self.versions[self.subject[0]][body["version"]]
        out = [f"{body['id']}: {version.title}, about {self.subject[1]!r}, for {self.head['customer']}.", ""]
        out += [f"    {row}" for row in version.text.strip().splitlines()] + ["", "What happened:"]
        notes = {body["met_by"]: "it was met by this event", body["ended_by"]: "this event took it back"}
        for event in self.events:
            told = "(archived)" if event.data is None else f"{event.type} {json.dumps(event.data, default=str)[:200]}"
            note = f"   <- {notes[event.seq]}" if event.seq in notes else ""
            out.append(f"    {shown(event.time)}  {event.record.body['id']}  {told}{note}")
        for decision in self.decisions:
            by = decision.record.body
            out.append(
                f"    {shown(decision.at)}  {by['actor']} decided: {by['kind'].replace('_', ' ')}: {by['reason']}"
            )
        out += ["", "What became of it:"]
        for entry in body["journal"]:
            who = f" by {entry['actor']}: {entry['reason']}" if entry["actor"] else ""
            move = f"{entry['from'] or 'begins'} -> {entry['to']} ({entry['cause']}, {entry['clause']}){who}"
            out.append(f"    {entry['effective_at']}  {move}")
        figures = [f"quantity {body['quantity']}"] + ([f"amount {body['amount']}"] if body["amount"] else [])
        figures += [f"{name} = {value}" for name, value in dimensions_of(body["dimensions"])]
        if body.get("shown_on"):
            out += ["", f"Met at {body['met_at']}, taken back inside its window at {body['ended_at']}: not charged."]
        else:
            out += ["", f"Met at {body['met_at']}, final from {body['settled_at']} on; {', '.join(figures)}."]
        for place, verb in (("billed", "Billed"), ("taken_back", "Taken back"), ("shown_on", "Shown")):
            for line in (self.lines[name] for name in body.get(place, ())):
                out.append(f'{verb} on the line "{line.body["title"]}", which comes to {self.money.text(line.amount)}.')
        return out

    def finish(self) -> None:
        """The pack is over."""
        end = self.last or Record(0, "", {})
        why = "the pack is cut short: it does not end with the document itself."
        need(self.rank == RANKS["invoice"], Record(end.n + 1, "", {}), why)


UNSHAPED = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
    StopIteration,
)


def _said(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"{str(error)[:80]} is missing or names nothing in the pack"
    return f"{type(error).__name__}: {str(error)[:160]}"


def _figure(number: Fraction | None) -> str:
    return "unknown" if number is None else plain(number)


def _uuid(public: str, prefix: str = "out") -> str:
    """The UUID of ``out_…`` (TypeID: 26 digits of Crockford's base 32)."""
    if not re.fullmatch(f"{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}", public, re.ASCII):
        raise ValueError(f"{public[:60]!r} is no id that begins with {prefix}_")
    number = 0
    for character in public[len(prefix) + 1 :]:
        number = number * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _fingerprints(event_type: str, time: str, data: Any) -> list[str]:
    """What the hash of an event's content as sent can be: its time may have been left out."""
    text = _as_sent(data)
    whens = (time[:-1] + "+00:00", "")
    return [hashlib.sha256(f"{event_type}\n{when}\n{text}".encode()).hexdigest() for when in whens]


def _as_sent(value: Any) -> str:
    """Data in the form that is hashed: keys sorted, no white space, each number in one form."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{_as_sent(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_sent, value)) + "]"
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return str(int(value))
        with localcontext(Context(prec=MOST_DIGITS)):
            return str(value.normalize())
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def canonical(value: Any) -> str:
    """The one text of a JSON value that the content's hash is over."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return plain(Fraction(value)) if isinstance(value, Decimal) else json.dumps(value)


# ------------------------------------------------------------------------------------------------------------ the edge


def recount(stream: IO[bytes], explain: str | None = None, printed: str | None = None) -> Recount:
    """Recount the pack on a stream of bytes. Raises Wrong."""
    counted = Recount(explain, printed)
    try:
        for record in read_records(stream):
            counted.take(record)
        counted.finish()
    finally:
        for waiting in (counted.digests, counted.undone, counted.in_order, counted.named):
            waiting.close()
    return counted


def report(counted: Recount) -> Iterator[str]:
    """What was found, in words."""
    head, counts = counted.head, counted.counts
    what = "Invoice" if head["document"] == "invoice" else "Credit note"
    total = counted.last.body["total_minor"] if counted.last else 0
    yield f"Everything fits. {what} {head['number']} for {head['customer']}: {counted.money.text(total)}."
    yield (
        f"{counts['recounted']} outcomes were counted anew from {counts['facts']} events; "
        f"{counts['line']} lines, tax and total follow from them and the terms."
    )
    if counts["shown"]:
        yield f"Taken back inside their window, as the lines show, and not charged: {counts['shown']} more."
    yield f"Hash of the content, to be compared with the one printed on the document: {head['content_hash']}"
    if counted.recorded:
        yield "Taken as recorded, because a pack cannot prove it:"
        for told, count in sorted(counted.recorded.items()):
            yield f"  {count} x {told}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", nargs="+", help="an evidence pack (.jsonl, also .jsonl.gz)")
    parser.add_argument("--hash", dest="printed", help="the content hash printed on the document")
    parser.add_argument("--explain", metavar="OUTCOME", help="tell the story of this outcome (out_…)")
    given = parser.parse_args(arguments)
    status = 0
    for path in given.pack:
        name = f"{path}: " if len(given.pack) > 1 else ""
        try:
            with open(path, "rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                stream = cast(IO[bytes], gzip.open(raw)) if packed else raw
                counted = recount(stream, given.explain, given.printed)
        except Wrong as wrong:
            print(f"{name}NOT ACCEPTED. {_printable(str(wrong))}")
            status = 1
            continue
        except (OSError, EOFError) as error:
            print(f"{name}cannot be read: {error}", file=sys.stderr)
            return 2
        print(name + "\n".join(map(_printable, report(counted))))
        if given.explain:
            print("\n" + "\n".join(map(_printable, counted.story or [f"There is no {given.explain} in the pack."])))
    return status


def _printable(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())
