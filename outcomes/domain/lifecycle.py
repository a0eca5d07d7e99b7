"""The lifecycle of one subject: a pure fold of its events, in order of (time, seq), into attempts and their states.

The rules are docs/lifecycle.md (design page 2). Nothing here knows a clock or a database: the same code serves live
evaluation, replay, audit, simulation and the property tests. Instants are microseconds since the Unix epoch.

Folding *computes*: an event may show that a window ended before it, and the attempt is then computed as confirmed.
Booking that is settlement's business (page 2, section 3).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import attrgetter
from typing import Any, NamedTuple

from conditions_dsl import Event, Program

from .instants import DAY

OPEN = "open"
PROVISIONAL = "provisional"
CONFIRMED = "confirmed"
REVERSED = "reversed"
VOID = "void"
MISSED = "missed"

EVENT = "event"
CLOCK = "clock"
PERSON = "person"

# What a person may decide of an attempt.
TAKE_BACK = "take_back"
COMPLETE = "complete"

# `settle at VALUE` waits this long for its time to appear before the outcome ends void, flagged.
SETTLE_VALUE_PATIENCE = 180 * DAY

# Flags of an outcome that a person must complete.
QUANTITY_UNKNOWN = "quantity_unknown"
AMOUNT_UNKNOWN = "amount_unknown"

# What an outcome's quantity and amount stay below, and their decimals: the columns are numeric(72, 34).
LARGEST_VALUE = Decimal(10) ** 38
MOST_DECIMALS = 34


class NeedsReplay(Exception):
    """The stored state does not carry what the rules now need; fold the subject's whole history instead."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a condition: in force for attempts that begin at or after ``effective_from`` (None = always)."""

    id: int
    program: Program
    effective_from: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A contract's override of `settle after DURATION`, for outcomes met in [start, end)."""

    start: int
    end: int | None
    duration: int


def _start(version: Version) -> int:
    return -(2**63) if version.effective_from is None else version.effective_from


@dataclass(frozen=True, slots=True)
class Pin:
    """A contract's version of a condition, for attempts that begin in [start, end), whatever is in force else."""

    start: int
    end: int | None
    version: Version


class Rules:
    """What a subject is judged by: the versions of its condition, in order of their starts (a later one may start
    before one made earlier), and what its customer's contracts put in their place. Nothing begins before ``since``:
    the condition was not for it then.
    """

    __slots__ = ("_by_id", "historical", "pins", "since", "versions", "windows")

    def __init__(
        self,
        versions: Sequence[Version],
        windows: Sequence[Window] = (),
        pins: Sequence[Pin] = (),
        since: int | None = None,
    ) -> None:
        self.versions = tuple(sorted(versions, key=_start))
        self.windows = tuple(windows)
        self.pins = tuple(pins)
        self.since = since
        self._by_id = {version.id: version.program for version in self.versions}
        self.historical = tuple(version for version in self.versions if version.program.has_history)

    def program(self, version_id: int) -> Program:
        return self._by_id[version_id]

    def in_force(self, instant: int) -> Version | None:
        """The version that an attempt beginning at ``instant`` takes."""
        if self.since is not None and instant < self.since:
            return None
        for pin in self.pins:
            if pin.start <= instant and (pin.end is None or instant < pin.end):
                return pin.version
        for version in reversed(self.versions):
            if version.effective_from is None or version.effective_from <= instant:
                return version
        return None

    def window(self, met_at: int, default: int) -> int:
        for window in self.windows:
            if window.start <= met_at and (window.end is None or met_at < window.end):
                return window.duration
        return default

    def mentions(self, event_type: str) -> bool:
        """Whether any version of the condition listens to this event type."""
        return any(version.program.mentions(event_type) for version in self.versions)


class Change(NamedTuple):
    """One change of an attempt's state. ``seq`` is the event that caused it; None where the clock or a person did."""

    from_state: str
    to_state: str
    at: int
    cause: str
    clause: str
    seq: int | None
    actor: str = ""
    reason: str = ""


class Decision(NamedTuple):
    """What a person decided of an outcome at the instant ``at``; an input of the function, which no event undoes.

    It is about the attempt that ``met_by`` (the event, at ``met_at``) belongs to: the last one that began at or before
    that event. So it stays with its attempt where late events move what met it. At one instant decisions come before
    events. ``kind``: TAKE_BACK ends the attempt, void or, once it is confirmed, reversed; COMPLETE gives the
    ``quantity`` and ``amount`` that its facts do not tell (None: as they tell).
    """

    at: int
    kind: str
    met_at: int
    met_by: int
    actor: str
    reason: str
    quantity: Decimal | None = None
    amount: Decimal | None = None


@dataclass(slots=True)
class Attempt:
    """One attempt on a subject. Between batches its ``state`` and facts live in the subject's JSON; the rest is
    booked.
    """

    ordinal: int
    version: int
    state: str
    first_time: int
    first_seq: int
    last_time: int
    last_seq: int
    facts: list[Any]
    due_at: int | None = None
    met_by: int | None = None
    met_at: int | None = None
    settles_at: int | None = None
    early: bool = False
    void_facts: list[Any] = field(default_factory=list)
    # Quantity and amount that a person gave, as texts.
    given: tuple[str | None, str | None] | None = None
    settled_at: int | None = None
    ended_by: int | None = None
    ended_at: int | None = None
    after_facts: list[Any] = field(default_factory=list)
    reopened: bool = False
    changes: list[Change] = field(default_factory=list)
    # What it was worth when it was confirmed; taken then, because `... ever` facts go on changing.
    worth: "Value | None" = None

    def move(self, to_state: str, at: int, cause: str, clause: str, seq: int | None) -> None:
        self.changes.append(Change(self.state, to_state, at, cause, clause, seq))
        self.state = to_state

    def decided(self, to_state: str, clause: str, decision: Decision) -> None:
        """Change the state as a person decided."""
        change = Change(self.state, to_state, decision.at, PERSON, clause, None, decision.actor, decision.reason)
        self.changes.append(change)
        self.state = to_state


class Value(NamedTuple):
    """What an attempt is worth as its facts stand; final from ``settled_at`` on."""

    quantity: Decimal | None
    amount: Decimal | None
    dimensions: dict[str, str | None]
    review: tuple[str, ...]


# The fields of an attempt that the stored state keeps, in its order; `changes` is of the running batch only. Those of a
# live one are the first that an `Attempt` is made of.
_STORED_LIVE = (
    "ordinal", "version", "state", "first_time", "first_seq", "last_time", "last_seq", "facts", "due_at",
    "met_by", "met_at", "settles_at", "early", "void_facts", "given",
)  # fmt: skip
_STORED_CONFIRMED = (
    "ordinal", "version", "state", "first_time", "first_seq", "last_time", "last_seq", "met_by", "met_at", "settles_at",
    "settled_at", "after_facts", "reopened",
)  # fmt: skip
_live_fields = attrgetter(*_STORED_LIVE)
_confirmed_fields = attrgetter(*_STORED_CONFIRMED)


class Fold:
    """A subject in the middle of its history.

    ``attempt`` is the one in progress, ``confirmed`` the latest confirmed and unreversed one, ``touched`` every
    attempt that changed since the fold was made or loaded, in order of beginning.
    """

    __slots__ = ("attempt", "confirmed", "count", "history", "rules", "touched")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.attempt: Attempt | None = None
        self.confirmed: Attempt | None = None
        self.count = 0
        self.history: dict[int, list[Any]] = {v.id: v.program.new("history") for v in rules.historical}
        self.touched: dict[int, Attempt] = {}

    # --- the stored form ---------------------------------------------------------------------------------------------

    def dump(self) -> list[Any]:
        """The state as small JSON; `load` takes it back."""
        live, confirmed = self.attempt, self.confirmed
        return [
            self.count,
            None if live is None else _live_fields(live),
            None if confirmed is None else _confirmed_fields(confirmed),
            {str(version): facts for version, facts in self.history.items()},
        ]

    @classmethod
    def load(cls, rules: Rules, state: list[Any]) -> "Fold":
        """A fold resumed from what `dump` gave. Raises NeedsReplay where a version with `... ever` came since."""
        fold = cls(rules)
        fold.count, live, confirmed, history = state
        if live is not None:
            fold.attempt = Attempt(*live)
        if confirmed is not None:
            fold.confirmed = Attempt(facts=[], **dict(zip(_STORED_CONFIRMED, confirmed, strict=True)))
        stored = {int(version): facts for version, facts in history.items()}
        if stored.keys() != fold.history.keys():
            raise NeedsReplay
        fold.history = stored
        return fold

    @staticmethod
    def stored_live(state: list[Any]) -> Attempt | None:
        """Of a state that `dump` gave: the attempt in progress, without what only a fold can tell."""
        return None if state[1] is None else Attempt(*state[1])

    # --- folding -----------------------------------------------------------------------------------------------------

    def advance(self, instant: int) -> None:
        """Let the clock reach ``instant``: windows and expiries that ended at or before it take effect."""
        while (attempt := self.attempt) is not None and attempt.due_at is not None and attempt.due_at <= instant:
            due = attempt.due_at
            self._touch(attempt)
            self.attempt = None
            attempt.due_at = None
            if attempt.state == OPEN:
                attempt.ended_at = due
                attempt.move(MISSED, due, CLOCK, "expire", None)
            elif attempt.settles_at is None:
                attempt.ended_at = due
                attempt.move(VOID, due, CLOCK, "settle at", None)
            else:
                attempt.settled_at = due
                attempt.worth = self._value(attempt)
                attempt.after_facts = self.rules.program(attempt.version).new("after")
                self.confirmed = attempt
                attempt.move(CONFIRMED, due, CLOCK, "settle", None)

    def apply(self, event: Event) -> None:
        """Fold the next event; events come in order of (time, seq)."""
        if (attempt := self.attempt) is not None and attempt.due_at is not None and attempt.due_at <= event.time:
            self.advance(event.time)
        for version in self.rules.historical:
            if version.program.mentions(event.type):
                version.program.fold("history", self.history[version.id], event)

        consumed = self.confirmed is not None and self._watch(self.confirmed, event)
        if self.attempt is not None:
            self._step(self.attempt, event)
        elif not consumed and (self.confirmed is None or self.confirmed.reopened):
            version_in_force = self.rules.in_force(event.time)
            if version_in_force is not None and version_in_force.program.mentions(event.type):
                self._begin(version_in_force, event)

    def decide(self, decision: Decision) -> Attempt | None:
        """Apply a person's decision; the attempt it changed, or None where there is nothing left to decide.

        Only in a replay: `touched` must hold every attempt there was.
        """
        self.advance(decision.at)
        met = (decision.met_at, decision.met_by)
        begun = [attempt for attempt in self.touched.values() if (attempt.first_time, attempt.first_seq) <= met]
        if not begun:
            return None
        attempt = begun[-1]
        if attempt.state in (OPEN, PROVISIONAL):
            if decision.kind == COMPLETE:
                attempt.given = _given(decision)
            else:
                self.attempt = None
                attempt.due_at = None
                attempt.ended_at = decision.at
                attempt.decided(VOID, "void", decision)
            return attempt
        if decision.kind == COMPLETE and attempt.state in (CONFIRMED, REVERSED):
            # Also where an event that had not been seen yet had given it back by then: it is the same outcome.
            assert attempt.worth is not None
            attempt.given = _given(decision)
            attempt.worth = _completed(attempt.worth, attempt.given)
            return attempt
        if attempt.state == CONFIRMED:
            if self.confirmed is attempt:
                self.confirmed = None
            attempt.ended_at = decision.at
            attempt.decided(REVERSED, "reverse", decision)
            return attempt
        return None

    def _watch(self, confirmed: Attempt, event: Event) -> bool:
        """`credit` and `repeat` of the latest confirmed outcome; whether the event was consumed by one of them."""
        program = self.rules.program(confirmed.version)
        if not (program.credits or program.has_repeat) or not program.mentions(event.type):
            return False
        facts, history, settled_at = confirmed.after_facts, self._history(confirmed), confirmed.settled_at
        assert settled_at is not None
        program.fold("after", facts, event)
        for index, duration in enumerate(program.credits):
            if event.time < settled_at + duration and program.credited(index, facts, history):
                self._touch(confirmed)
                self.confirmed = None
                confirmed.ended_by, confirmed.ended_at = event.seq, event.time
                confirmed.move(REVERSED, event.time, EVENT, "credit", event.seq)
                return True
        if program.has_repeat and not confirmed.reopened and program.repeated(facts, history):
            confirmed.reopened = True
            return True
        return False

    def _begin(self, version: Version, event: Event) -> None:
        self.count += 1
        attempt = Attempt(
            ordinal=self.count,
            version=version.id,
            state="",
            first_time=event.time,
            first_seq=event.seq,
            last_time=event.time,
            last_seq=event.seq,
            facts=version.program.new("attempt"),
        )
        self.attempt = attempt
        attempt.move(OPEN, event.time, EVENT, "begin", event.seq)
        self._step(attempt, event)

    def _step(self, attempt: Attempt, event: Event) -> None:
        program = self.rules.program(attempt.version)
        if not program.mentions(event.type):
            return
        self._touch(attempt)
        facts, history = attempt.facts, self._history(attempt)
        program.fold("attempt", facts, event)
        attempt.last_time, attempt.last_seq = event.time, event.seq
        if attempt.state == PROVISIONAL:
            if program.has_void:
                program.fold("void", attempt.void_facts, event)
                if program.voided(attempt.void_facts, history):
                    self.attempt = None
                    attempt.due_at = None
                    attempt.ended_by, attempt.ended_at = event.seq, event.time
                    attempt.move(VOID, event.time, EVENT, "void", event.seq)
                    return
            if not program.met(facts, history):
                attempt.met_by = attempt.met_at = attempt.settles_at = None
                attempt.early = False
                attempt.void_facts = []
                attempt.move(OPEN, event.time, EVENT, "lapse", event.seq)
        elif program.met(facts, history):
            attempt.met_by, attempt.met_at = event.seq, event.time
            attempt.void_facts = program.new("void")
            attempt.move(PROVISIONAL, event.time, EVENT, "bill", event.seq)
        self._arm(attempt, program, event, history)

    def _arm(self, attempt: Attempt, program: Program, event: Event, history: list[Any]) -> None:
        """Set when the clock changes the attempt next."""
        if attempt.state == OPEN:
            attempt.due_at = event.time + program.expire
            return
        met_at = attempt.met_at
        assert met_at is not None
        if not attempt.early:
            settle = program.settle
            if settle.kind == "after":
                attempt.settles_at = met_at + self.rules.window(met_at, settle.duration)
            elif settle.kind == "silence":
                attempt.settles_at = min(event.time + settle.duration, met_at + settle.at_most)
            elif settle.kind == "immediately":
                attempt.settles_at = met_at
            else:
                value = program.settle_value(attempt.facts)
                # A time already past settles at the event that said so; that is never before the outcome was met.
                attempt.settles_at = None if value is None else max(value, event.time)
            if program.has_early and program.early(attempt.facts, history):
                attempt.early = True
                attempt.settles_at = event.time
        attempt.due_at = attempt.settles_at if attempt.settles_at is not None else met_at + SETTLE_VALUE_PATIENCE

    def ahead(self, instant: int) -> Attempt | None:
        """The attempt in progress as the clock leaves it at ``instant``, where it changes it by then; the fold itself
        stays as it is.
        """
        attempt = self.attempt
        if attempt is None or attempt.due_at is None or attempt.due_at > instant:
            return None
        fold = Fold(self.rules)
        fold.history = self.history
        fold.attempt = changed = replace(attempt, changes=[*attempt.changes])
        fold.advance(instant)
        return changed

    # --- reading -----------------------------------------------------------------------------------------------------

    def value(self, attempt: Attempt) -> Value | None:
        """Quantity, amount, dimensions and flags of a touched attempt: final once it was confirmed, as the facts
        stand while it is provisional, else None.
        """
        return self._value(attempt) if attempt.state == PROVISIONAL else attempt.worth

    def _value(self, attempt: Attempt) -> Value:
        program, history = self.rules.program(attempt.version), self._history(attempt)
        quantity = _storable(program.quantity(attempt.facts))
        amount = _storable(program.amount(attempt.facts)) if program.has_amount else None
        review = list(program.flags(attempt.facts, history))
        if quantity is None:
            review.append(QUANTITY_UNKNOWN)
        if program.has_amount and amount is None:
            review.append(AMOUNT_UNKNOWN)
        if attempt.met_at is not None and attempt.settles_at is None:
            review.append("settle_time_unknown")
        value = Value(quantity, amount, program.dimensions(attempt.facts, history), tuple(review))
        return value if attempt.given is None else _completed(value, attempt.given)

    def _history(self, attempt: Attempt) -> list[Any]:
        return self.history.get(attempt.version) or []

    def _touch(self, attempt: Attempt) -> None:
        self.touched[attempt.ordinal] = attempt


def _storable(number: Decimal | None) -> Decimal | None:
    """The number, or None (unknown: a person must look) where an outcome's column would overflow or round it."""
    if number is None or (number < LARGEST_VALUE and int(number.as_tuple().exponent) >= -MOST_DECIMALS):
        return number
    return None


def _given(decision: Decision) -> tuple[str | None, str | None]:
    quantity, amount = decision.quantity, decision.amount
    return None if quantity is None else f"{quantity:f}", None if amount is None else f"{amount:f}"


def _completed(value: Value, given: Sequence[str | None]) -> Value:
    """The value with what a person gave in the place of what the facts tell; what was unknown is so no longer."""
    quantity, amount = (None if text is None else Decimal(text) for text in given)
    known = {name for name, number in ((QUANTITY_UNKNOWN, quantity), (AMOUNT_UNKNOWN, amount)) if number is not None}
    return value._replace(
        quantity=value.quantity if quantity is None else quantity,
        amount=value.amount if amount is None else amount,
        review=tuple(flag for flag in value.review if flag not in known),
    )


def replay(
    rules: Rules, events: Iterable[Event], decisions: Iterable[Decision] = (), *, until: int | None = None
) -> Fold:
    """Fold a subject's whole history; ``touched`` of the result holds every attempt that should exist.

    ``events`` in order of (time, seq), ``decisions`` in order of their instants; with ``until`` the clock then runs to
    that instant.
    """
    fold = Fold(rules)
    undecided = deque(decisions)
    for event in events:
        while undecided and undecided[0].at <= event.time:
            fold.decide(undecided.popleft())
        fold.apply(event)
    for decision in undecided:
        fold.decide(decision)
    if until is not None:
        fold.advance(until)
    return fold
