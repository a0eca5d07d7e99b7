"""The frozen tree of a condition: what a text means, nothing of how it was laid out.

Two trees are equal when they mean the same word for word; the place in the text (`at`, an offset in code points) is
kept for messages and takes no part in equality. Numbers are `decimal.Decimal`, durations keep the author's own units.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

SECOND: Final = 1_000_000
UNITS: Final[dict[str, int]] = {
    "week": 7 * 86_400 * SECOND,
    "day": 86_400 * SECOND,
    "hour": 3_600 * SECOND,
    "minute": 60 * SECOND,
    "second": SECOND,
}
DAY: Final = UNITS["day"]
LONGEST_WINDOW: Final = 180 * DAY
DEFAULT_SETTLE: Final = 72 * UNITS["hour"]

Order: TypeAlias = Literal["is", "is not", "<", "<=", ">", ">="]
Reading: TypeAlias = Literal["latest", "first", "highest", "lowest", "total", "average", "number", "distinct"]
CountOrder: TypeAlias = Literal["at least", "at most", "exactly", "more than", "fewer than"]

ORDERS: Final[tuple[Order, ...]] = ("is", "is not", "<", "<=", ">", ">=")
READINGS: Final[tuple[Reading, ...]] = (
    "latest",
    "first",
    "highest",
    "lowest",
    "total",
    "average",
    "number",
    "distinct",
)
COUNT_ORDERS: Final[tuple[CountOrder, ...]] = ("at least", "at most", "exactly", "more than", "fewer than")
# `at least 3 X` says the same as `number of X >= 3`.
ORDER_OF_COUNT: Final[dict[CountOrder, Order]] = {
    "at least": ">=",
    "at most": "<=",
    "exactly": "is",
    "more than": ">",
    "fewer than": "<",
}


def _place() -> Any:
    return field(default=-1, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: text, an exact number or true/false. The kind keeps `true` apart from `1`."""

    kind: Literal["text", "number", "boolean"]
    value: str | Decimal | bool
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Duration:
    """One or more `N unit`, in the author's units: ((1, 'day'), (12, 'hour'))."""

    parts: tuple[tuple[int, str], ...]
    at: int = _place()

    @property
    def microseconds(self) -> int:
        return sum(count * UNITS[unit] for count, unit in self.parts)


@dataclass(frozen=True, slots=True)
class Path:
    """A way into an event's `data`: one key, or list index, per segment."""

    segments: tuple[str, ...]
    at: int = _place()


# ------------------------------------------------------------------------------------------------ tests and filters


@dataclass(frozen=True, slots=True)
class Compare:
    """`SUBJECT is|is not|<|<=|>|>= LITERAL`."""

    subject: Path | Value
    order: Order
    constant: Constant
    at: int = _place()


@dataclass(frozen=True, slots=True)
class OneOf:
    """`SUBJECT in (…)`, or `not in` when negated."""

    subject: Path | Value
    constants: tuple[Constant, ...]
    negated: bool = False
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Search:
    """`SUBJECT contains|starts with|ends with LITERAL`."""

    subject: Path | Value
    how: Literal["contains", "starts with", "ends with"]
    constant: Constant
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Presence:
    """`SUBJECT is present`, or `is missing`."""

    subject: Path | Value
    present: bool
    at: int = _place()


Test: TypeAlias = Compare | OneOf | Search | Presence


@dataclass(frozen=True, slots=True)
class And:
    """All members hold. In a filter the members are filters, elsewhere conditions; always two or more."""

    members: tuple[Node, ...]
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Or:
    """At least one member holds. Two or more members."""

    members: tuple[Node, ...]
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Not:
    """The member does not hold."""

    member: Node
    at: int = _place()


# ------------------------------------------------------------------------------------------------ events and values


@dataclass(frozen=True, slots=True)
class EventName:
    """A name as written, or for a wildcard its prefix with the separator: `ticket.*` is ('ticket.', True)."""

    text: str
    wildcard: bool = False
    at: int = _place()

    def matches(self, event_type: str) -> bool:
        if self.wildcard:
            return len(event_type) > len(self.text) and event_type.startswith(self.text)
        return event_type == self.text


@dataclass(frozen=True, slots=True)
class EventTerm:
    """`X`: an event name with an optional filter over its data."""

    name: EventName
    where: Node | None = None
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Value:
    """`latest PATH of X` and its like. `path` is None for `number of X` alone."""

    reading: Reading
    path: Path | None
    event: EventTerm
    at: int = _place()


# ------------------------------------------------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class Seen:
    """`X`, `no X`, `X ever`, `no X ever`."""

    event: EventTerm
    no: bool = False
    ever: bool = False
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Count:
    """`at least N X` and its like."""

    order: CountOrder
    number: int
    event: EventTerm
    at: int = _place()


@dataclass(frozen=True, slots=True)
class After:
    """`X after Y`: the latest X came after the latest Y. `no` negates."""

    event: EventTerm
    reference: EventTerm
    no: bool = False
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Within:
    """`X within DURATION of Y`: some X at most DURATION after the most recent Y before it. `no` negates."""

    event: EventTerm
    duration: Duration
    reference: EventTerm
    no: bool = False
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Group:
    """`any of (…)`, `all of (…)`, `none of (…)`, `at least N of (…)`; `number` belongs to the last only."""

    kind: Literal["any", "all", "none", "at least"]
    members: tuple[Node, ...]
    number: int | None = None
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Points:
    """`points (3 if C, 1 if C) >= 4`."""

    weights: tuple[tuple[Decimal, Node], ...]
    order: Order
    number: Decimal
    at: int = _place()


Node: TypeAlias = And | Or | Not | Seen | Count | After | Within | Group | Points | Compare | OneOf | Search | Presence


# ---------------------------------------------------------------------------------------------------------- clauses


@dataclass(frozen=True, slots=True)
class Credit:
    """`credit within DURATION when CONDITION`."""

    within: Duration
    when: Node
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Settlement:
    """`settle …`. `window` is the DURATION, None for `immediately` and `at VALUE`."""

    kind: Literal["immediately", "after", "silence", "at"]
    window: Duration | None = None
    at_most: Duration | None = None
    value: Value | None = None
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Graded:
    """`"a" if C else "b" if D else "c"`: (("a", C), ("b", D)) and the last resort "c"."""

    choices: tuple[tuple[str, Node], ...]
    otherwise: str
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Dimension:
    """`dimension NAME = …`."""

    name: str
    value: Value | Graded
    at: int = _place()


@dataclass(frozen=True, slots=True)
class Condition:
    """One billable outcome, said whole. A clause that was left out is None or empty."""

    slug: str
    title: str | None
    keys: tuple[tuple[Path, ...], ...]  # each key: its alternatives, first one present wins
    bill: Node
    voids: tuple[Node, ...] = ()
    credits: tuple[Credit, ...] = ()
    settle: Settlement | None = None
    early: Node | None = None
    expire: Duration | None = None
    quantity: Decimal | Value | None = None
    amount: Value | None = None
    dimensions: tuple[Dimension, ...] = ()
    repeat: Node | None = None
    # The text this was parsed from, and where each clause begins in it; None and empty for a tree built by hand.
    source: str | None = field(default=None, compare=False, repr=False, kw_only=True)
    places: tuple[tuple[str, int], ...] = field(default=(), compare=False, repr=False, kw_only=True)


def title_of(condition: Condition) -> str:
    """The title on the invoice line: as written, or the slug in words ('resolved_ticket' -> 'Resolved ticket')."""
    if condition.title is not None:
        return condition.title
    words = condition.slug.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:] if words else condition.slug


def conditions_of(condition: Condition) -> list[tuple[str, Node]]:
    """Every CONDITION of every clause, with the name of its clause, in canonical order."""
    found: list[tuple[str, Node]] = [("bill when", condition.bill)]
    found += [("void when", node) for node in condition.voids]
    found += [("credit", credit.when) for credit in condition.credits]
    if condition.early is not None:
        found.append(("settle early when", condition.early))
    for dimension in condition.dimensions:
        if isinstance(dimension.value, Graded):
            found += [("dimension", node) for _, node in dimension.value.choices]
    if condition.repeat is not None:
        found.append(("repeat when", condition.repeat))
    return found


def values_of(condition: Condition) -> list[tuple[str, Value]]:
    """Every VALUE that stands for itself (not compared), with the name of its clause."""
    found: list[tuple[str, Value]] = []
    if condition.settle is not None and condition.settle.value is not None:
        found.append(("settle", condition.settle.value))
    if isinstance(condition.quantity, Value):
        found.append(("quantity", condition.quantity))
    if condition.amount is not None:
        found.append(("amount", condition.amount))
    found += [("dimension", d.value) for d in condition.dimensions if isinstance(d.value, Value)]
    return found


def children(node: Node) -> tuple[Node, ...]:
    """The conditions directly inside a condition (filters are not conditions)."""
    match node:
        case And() | Or() | Group():
            return node.members
        case Not():
            return (node.member,)
        case Points():
            return tuple(member for _, member in node.weights)
        case _:
            return ()


def events_in(node: Node | Value) -> list[EventTerm]:
    """Every event term of a condition or value, in the order of the text."""
    found: list[EventTerm] = []
    stack: list[Node | Value] = [node]
    while stack:
        here = stack.pop()
        match here:
            case Value() | Seen() | Count():
                found.append(here.event)
            case After() | Within():
                found += (here.event, here.reference)
            case Compare() | OneOf() | Search() | Presence():
                if isinstance(here.subject, Value):
                    found.append(here.subject.event)
            case _:
                stack.extend(reversed(children(here)))
    return found


def event_terms(condition: Condition) -> list[EventTerm]:
    """Every event term of every clause."""
    found: list[EventTerm] = []
    for _, node in conditions_of(condition):
        found += events_in(node)
    for _, value in values_of(condition):
        found += events_in(value)
    return found


def size(condition: Condition) -> int:
    """The number of nodes: each condition, each test and joint of a filter, and each value of the tree counts one."""
    total = len(values_of(condition))
    for term in event_terms(condition):
        stack: list[Node] = [] if term.where is None else [term.where]
        while stack:
            total += 1
            stack.extend(children(stack.pop()))
    for _, root in conditions_of(condition):
        stack = [root]
        while stack:
            node = stack.pop()
            total += 1 + (isinstance(node, Test) and isinstance(node.subject, Value))
            stack.extend(children(node))
    return total
