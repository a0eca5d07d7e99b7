"""A small part of the condition language, written anew from its page (design page 1): what a condition is, how it is
printed for the engine, and what it means, asked of all events each time.

It shares no code with `conditions_dsl`, which reads the printed text. Numbers are Fractions, instants datetimes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Fact:
    """One accepted event. ``order`` is the place in which it was accepted; ties of ``time`` are broken by it."""

    order: tuple[int, ...]
    id: str
    type: str
    time: datetime
    data: dict[str, Any]


Facts = Sequence[Fact]


def duration(span: timedelta) -> str:
    """As the language writes it."""
    return f"{span // timedelta(seconds=1)} seconds" if span % HOUR else f"{span // HOUR} hours"


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def kind(value: Any) -> str:
    """text, number, boolean, or nothing that compares."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | Decimal | Fraction) else "nothing"


def compares(value: Any, relation: str, wanted: Any) -> bool:
    """A comparison on something missing, null or of another type is false; `is not` is the negation of `is`."""
    if relation == "is not":
        return not compares(value, "is", wanted)
    if kind(value) != kind(wanted):
        return False
    if relation == "is":
        return value == wanted
    return {"<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted}[relation]


@dataclass(frozen=True)
class Pattern:
    """`ticket.closed`, `note.*`, with an optional test of one field: (path, relation, literal)."""

    name: str
    where: tuple[str, str, Any] | None = None

    def __str__(self) -> str:
        return self.name + (f" where {self.where[0]} {self.where[1]} {literal(self.where[2])}" if self.where else "")

    def names(self, event_type: str) -> bool:
        if self.name.endswith("*"):
            return event_type.startswith(self.name[:-1]) and event_type != self.name[:-1]
        return event_type == self.name

    def of(self, facts: Facts) -> list[int]:
        """The places of those among ``facts`` that are this event."""
        return [
            place
            for place, fact in enumerate(facts)
            if self.names(fact.type)
            and (self.where is None or compares(fact.data.get(self.where[0]), self.where[1], self.where[2]))
        ]


@dataclass(frozen=True)
class Value:
    """`latest units of closed` and its kin; `number` and `distinct` count."""

    reading: str
    path: str
    pattern: Pattern

    def __str__(self) -> str:
        if self.reading == "number":
            return f"number of {self.pattern}"
        reading = "number of distinct" if self.reading == "distinct" else self.reading
        return f"{reading} {self.path} of {self.pattern}"

    def read(self, facts: Facts) -> Any:
        """None where it is missing."""
        found = [facts[place] for place in self.pattern.of(facts)]
        if self.reading == "number":
            return len(found)
        values = [fact.data.get(self.path) for fact in found]
        if self.reading == "distinct":
            return len({(kind(value), value) for value in values if value is not None})
        if self.reading in ("latest", "first"):
            return (values[-1] if self.reading == "latest" else values[0]) if values else None
        numbers = [Fraction(value) for value in values if kind(value) == "number"]
        if not numbers:
            return None
        total = sum(numbers, Fraction(0))
        return {"highest": max(numbers), "lowest": min(numbers), "total": total, "average": total / len(numbers)}[
            self.reading
        ]


@dataclass(frozen=True)
class Has:
    """`closed`, `no closed`, `closed ever`, `no closed ever`."""

    pattern: Pattern
    no: bool = False
    ever: bool = False

    def __str__(self) -> str:
        return ("no " if self.no else "") + str(self.pattern) + (" ever" if self.ever else "")

    def holds(self, facts: Facts, history: Facts) -> bool:
        return bool(self.pattern.of(history if self.ever else facts)) != self.no


@dataclass(frozen=True)
class Count:
    """`at least 2 closed`."""

    how: str
    number: int
    pattern: Pattern

    def __str__(self) -> str:
        return f"{self.how} {self.number} {self.pattern}"

    def holds(self, facts: Facts, history: Facts) -> bool:
        found, number = len(self.pattern.of(facts)), self.number
        return {
            "at least": found >= number,
            "at most": found <= number,
            "exactly": found == number,
            "more than": found > number,
            "fewer than": found < number,
        }[self.how]


@dataclass(frozen=True)
class After:
    """`paid after closed`: the latest paid came after the latest closed."""

    pattern: Pattern
    reference: Pattern
    no: bool = False

    def __str__(self) -> str:
        return ("no " if self.no else "") + f"{self.pattern} after {self.reference}"

    def holds(self, facts: Facts, history: Facts) -> bool:
        mine, others = self.pattern.of(facts), self.reference.of(facts)
        return bool(mine and others and mine[-1] > others[-1]) != self.no


@dataclass(frozen=True)
class Within:
    """`paid within 2 hours of closed`: some paid came so soon after the closed before it."""

    pattern: Pattern
    span: timedelta
    reference: Pattern
    no: bool = False

    def __str__(self) -> str:
        return ("no " if self.no else "") + f"{self.pattern} within {duration(self.span)} of {self.reference}"

    def holds(self, facts: Facts, history: Facts) -> bool:
        near = False
        for place in self.pattern.of(facts):
            before = [other for other in self.reference.of(facts) if other < place]
            near = near or bool(before and facts[place].time - facts[before[-1]].time <= self.span)
        return near != self.no


@dataclass(frozen=True)
class Compare:
    """`latest units of closed >= 2`."""

    value: Value
    relation: str
    wanted: Any

    def __str__(self) -> str:
        return f"{self.value} {self.relation} {literal(self.wanted)}"

    def holds(self, facts: Facts, history: Facts) -> bool:
        return compares(self.value.read(facts), self.relation, self.wanted)


@dataclass(frozen=True)
class Present:
    """`latest units of closed is present`, or `is missing`."""

    value: Value
    present: bool

    def __str__(self) -> str:
        return f"{self.value} is {'present' if self.present else 'missing'}"

    def holds(self, facts: Facts, history: Facts) -> bool:
        return (self.value.read(facts) is not None) == self.present


@dataclass(frozen=True)
class Not:
    node: Node

    def __str__(self) -> str:
        return f"not ({self.node})"

    def holds(self, facts: Facts, history: Facts) -> bool:
        return not self.node.holds(facts, history)


@dataclass(frozen=True)
class AtLeast:
    """``number`` of the nodes hold: `and`, `or` and `at least 2 of (…)` are spellings of it."""

    number: int
    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        if self.number == len(self.nodes):
            return " and ".join(f"({node})" for node in self.nodes)
        if self.number == 1:
            return " or ".join(f"({node})" for node in self.nodes)
        return f"at least {self.number} of ({', '.join(map(str, self.nodes))})"

    def holds(self, facts: Facts, history: Facts) -> bool:
        return sum(node.holds(facts, history) for node in self.nodes) >= self.number


@dataclass(frozen=True)
class Points:
    """`points (2 if closed, -1 if escalated) >= 2`."""

    weights: tuple[tuple[int, Node], ...]
    needed: int

    def __str__(self) -> str:
        return f"points ({', '.join(f'{points} if {node}' for points, node in self.weights)}) >= {self.needed}"

    def holds(self, facts: Facts, history: Facts) -> bool:
        return sum(points for points, node in self.weights if node.holds(facts, history)) >= self.needed


Node = Has | Count | After | Within | Compare | Present | Not | AtLeast | Points


@dataclass(frozen=True)
class Settle:
    """``form``: after (span), silence (span, at_most), at (value, and span after it)."""

    form: str
    span: timedelta = timedelta()
    at_most: timedelta | None = None
    value: Value | None = None

    def __str__(self) -> str:
        if self.form == "after":
            return f"settle after {duration(self.span)}" if self.span else "settle immediately"
        if self.form == "silence":
            end = f", at most {duration(self.at_most)}" if self.at_most is not None else ""
            return f"settle after {duration(self.span)} of silence{end}"
        return f"settle {duration(self.span)} after {self.value}" if self.span else f"settle at {self.value}"


@dataclass(frozen=True)
class Dimension:
    """`priority = latest priority of closed`, or `kind = "rated" if rated else "plain"`."""

    name: str
    value: Value | None = None
    choices: tuple[tuple[str, Node], ...] = ()
    otherwise: str = ""

    def __str__(self) -> str:
        if self.value is not None:
            return f"dimension {self.name} = {self.value}"
        choices = " ".join(f'"{text}" if {node} else' for text, node in self.choices)
        return f'dimension {self.name} = {choices} "{self.otherwise}"'

    def read(self, facts: Facts, history: Facts) -> str | None:
        if self.value is not None:
            return shown(self.value.read(facts))
        for text, node in self.choices:
            if node.holds(facts, history):
                return text
        return self.otherwise


def shown(value: Any) -> str | None:
    """A value as keys and dimensions show it: text, a number in plain notation, true or false."""
    if isinstance(value, bool):
        return str(value).lower()
    if kind(value) != "number":
        return value if isinstance(value, str) else None
    fraction = Fraction(value)
    if fraction.denominator == 1:
        return str(fraction.numerator)
    return f"{fraction.numerator / Decimal(fraction.denominator):f}".rstrip("0")


@dataclass(frozen=True)
class Condition:
    """One version of a condition. ``per`` are alternative paths of its one key."""

    slug: str
    bill: Node
    per: tuple[str, ...] = ("ticket",)
    settle: Settle | None = None
    voids: tuple[Node, ...] = ()
    credits: tuple[tuple[timedelta, Node], ...] = ()
    early: Node | None = None
    expire: timedelta | None = None
    repeat: Node | None = None
    quantity: Value | Decimal | None = None
    amount: Value | None = None
    dimensions: tuple[Dimension, ...] = ()

    def __str__(self) -> str:
        lines = [f"outcome {self.slug}", f"per {' or '.join(self.per)}", f"bill when {self.bill}"]
        lines += [f"void when {node}" for node in self.voids]
        lines += [f"credit within {duration(span)} when {node}" for span, node in self.credits]
        lines += [str(self.settle)] if self.settle else []
        lines += [f"settle early when {self.early}"] if self.early else []
        lines += [f"expire after {duration(self.expire)} of silence"] if self.expire else []
        lines += [f"repeat when {self.repeat}"] if self.repeat else []
        lines += [f"quantity {self.quantity}"] if self.quantity is not None else []
        lines += [f"amount {self.amount}"] if self.amount is not None else []
        return "\n".join([*lines, *map(str, self.dimensions)]) + "\n"

    def mentions(self, event_type: str) -> bool:
        """Whether any event name in any clause matches, filters aside."""
        return any(pattern.names(event_type) for pattern in patterns(self))

    def key(self, data: dict[str, Any]) -> str | None:
        """What an event is about: the first of the alternatives that is present."""
        present = [data[path] for path in self.per if data.get(path) is not None]
        return shown(present[0]) if present else None


def patterns(part: Any) -> Iterator[Pattern]:
    """Every event that a part of a condition mentions."""
    if isinstance(part, Pattern):
        yield part
    elif isinstance(part, tuple):
        for one in part:
            yield from patterns(one)
    elif is_dataclass(part):
        for field in fields(part):
            yield from patterns(getattr(part, field.name))


def instant(value: Any, said: datetime) -> datetime | None:
    """A time told by an event at ``said``: RFC 3339 with zone, at most 5 years ahead."""
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    if found.tzinfo is None or found > said.replace(year=said.year + 5):
        return None
    return found.astimezone(UTC)
