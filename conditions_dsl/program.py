"""What the engine runs: a condition compiled to plain functions over small lists of facts.

Facts are one list of JSON types per *scope*. Folding an event changes them in place, with work that depends on the
program only, never on how many events came before:

- `attempt`: what `bill when`, `settle early`, `settle at`, `quantity`, `amount` and `dimension` look at;
- `void`: what the `void when` clauses look at;
- `after`: what `credit` and `repeat` look at;
- `history`: every `… ever`, of any clause.

Events must be folded in order of (`time`, `seq`). A scope that a program does not use has an empty list. The one
nested value is the object of values seen by `number of distinct`: who keeps two versions of the same facts copies them
deeply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeAlias

from conditions_dsl.model import Condition, EventName

Scope: TypeAlias = Literal["attempt", "void", "after", "history"]
Facts: TypeAlias = list[Any]
Verdict: TypeAlias = Callable[[Facts, Facts], bool]


class Event(NamedTuple):
    """One fact. `time` is in microseconds since the Unix epoch (UTC); `seq` orders events of the same time.

    `data` is decoded JSON; its numbers are int, Decimal or float (a float is the decimal of its repr).
    """

    id: str
    type: str
    time: int
    seq: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settle:
    """How an outcome becomes final. All in microseconds.

    `duration` is the window of `after` and `silence`, and what `at` adds to the time read. `at_most` bounds `silence`,
    counted from the moment the outcome was met.
    """

    kind: Literal["immediately", "after", "silence", "at"]
    duration: int
    at_most: int


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A compiled condition: immutable, without state of its own, safe to share between threads.

    Called with facts made by `new` of the same condition (JSON round trips included); facts of another condition give
    nonsense or an error.
    """

    slug: str
    title: str
    text: str  # canonical
    condition: Condition
    names: tuple[EventName, ...]
    settle: Settle
    expire: int  # microseconds of silence after which an attempt not met is missed
    credits: tuple[int, ...]  # the DURATION of each credit clause, in microseconds
    has_void: bool
    has_early: bool
    has_repeat: bool
    has_amount: bool
    has_history: bool

    mentions: Callable[[str], bool]
    """(event type): whether any event name of the text matches it."""
    subject: Callable[[Mapping[str, Any]], str | None]
    """(data): the key as text; several keys as a JSON list of texts; None when the event has no key."""
    new: Callable[[Scope], Facts]
    """(scope): the facts before any event."""
    fold: Callable[[Scope, Facts, Event], None]
    """(scope, facts, event): takes one more event into the facts, in place."""

    met: Verdict
    """(attempt, history): `bill when`."""
    voided: Verdict
    """(void, history): whether any `void when` holds."""
    credited: Callable[[int, Facts, Facts], bool]
    """(index, after, history): the credit clause of that index."""
    repeated: Verdict
    """(after, history): `repeat when`; False where there is none."""
    early: Verdict
    """(attempt, history): `settle early when`; False where there is none."""
    settle_value: Callable[[Facts], int | None]
    """(attempt): for `settle at`, the time read plus the offset in microseconds; None while there is none."""
    quantity: Callable[[Facts], Decimal | None]
    """(attempt): billable units; 1 where the clause is left out; None: missing, negative or no number."""
    amount: Callable[[Facts], Decimal | None]
    """(attempt): major units of the contract's currency; None where unknown or the clause is left out."""
    dimensions: Callable[[Facts, Facts], dict[str, str | None]]
    """(attempt, history): each dimension's value as text; None where missing."""
    flags: Callable[[Facts, Facts], tuple[str, ...]]
    """(attempt, history): what a person should know, such as 'distinct_overflow'."""
