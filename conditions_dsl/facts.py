"""The layout of one scope's facts, and the steps that fold an event into them.

Each term of a condition owns one slot or a few; equal terms share. The slot that a verdict reads holds the answer
itself (true, or a count): what is costly is done once, when an event arrives, and only for the terms that its type
touches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from conditions_dsl import model as m
from conditions_dsl import values as v
from conditions_dsl.program import Event, Facts
from conditions_dsl.words import plain

Step: TypeAlias = Callable[[Facts, Event], None]
Planner: TypeAlias = Callable[[str], Step | None]
Filter: TypeAlias = Callable[[Any], bool]
# What is kept of a value each time it changes: the verdict of a test, or the value in a form that JSON keeps.
Keeper: TypeAlias = Callable[[Any], Any]

MOST_DISTINCT: Final = 1_000
# Facts hold whole numbers as JSON numbers up to what every JSON reader keeps exactly, all others as text.
_PLAIN_INT: Final = 2**53
# The most event types whose steps are remembered, per scope: a sender of ever new types must not fill the memory.
_REMEMBERED_TYPES: Final = 4_096


class Plans(dict[str, tuple[Step, ...]]):
    """Event type -> the steps it takes. Worked out at the first event of a type."""

    def __init__(self, planners: tuple[Planner, ...]) -> None:
        super().__init__()
        self._planners = planners

    def __missing__(self, event_type: str) -> tuple[Step, ...]:
        if len(self) >= _REMEMBERED_TYPES:
            self.clear()
        steps = tuple(step for planner in self._planners if (step := planner(event_type)) is not None)
        self[event_type] = steps
        return steps


class Layout:
    """Collects the slots and steps of one scope while the program is compiled."""

    def __init__(self) -> None:
        self.initial: Facts = []
        self.planners: list[Planner] = []
        self.overflows: list[int] = []
        self._slots: dict[object, int] = {}
        self._kept: dict[m.Value, list[tuple[int, Keeper]]] = {}

    def _slot(self, key: object, initial: Any) -> tuple[int, bool]:
        """The slot of a term, and whether it is new."""
        if key in self._slots:
            return self._slots[key], False
        self._slots[key] = len(self.initial)
        self.initial.append(initial)
        return self._slots[key], True

    # ------------------------------------------------------------------------------------------------------ events

    def seen(self, event: m.EventTerm) -> int:
        """A slot that is true once the event has occurred."""
        slot, new = self._slot(("seen", event), False)
        if new:

            def step(facts: Facts, _: Event) -> None:
                facts[slot] = True

            self.planners.append(_planner(event, step))
        return slot

    def count(self, event: m.EventTerm) -> int:
        """A slot with the number of such events."""
        slot, new = self._slot(("count", event), 0)
        if new:

            def step(facts: Facts, _: Event) -> None:
                facts[slot] += 1

            self.planners.append(_planner(event, step))
        return slot

    def after(self, event: m.EventTerm, reference: m.EventTerm) -> int:
        """A slot that is true while the latest event came after the latest reference."""
        slot, new = self._slot(("after", event, reference), False)
        if not new:
            return slot
        referred, _ = self._slot(("seen for after", event, reference), False)
        is_event, is_reference = filter_of(event), filter_of(reference)

        def step(facts: Facts, happened: Event, maybe_event: bool, maybe_reference: bool) -> None:
            # An event that is both is the latest of each: it did not come after itself.
            if maybe_reference and is_reference(happened.data):
                facts[referred], facts[slot] = True, False
            elif maybe_event and facts[referred] and is_event(happened.data):
                facts[slot] = True

        self.planners.append(_pair_planner(event, reference, step))
        return slot

    def within(self, event: m.EventTerm, duration: int, reference: m.EventTerm) -> int:
        """A slot that is true once an event came at most `duration` after the most recent reference before it."""
        slot, new = self._slot(("within", event, duration, reference), False)
        if not new:
            return slot
        referred, _ = self._slot(("time for within", event, duration, reference), None)
        is_event, is_reference = filter_of(event), filter_of(reference)

        def step(facts: Facts, happened: Event, maybe_event: bool, maybe_reference: bool) -> None:
            since = facts[referred]
            if maybe_event and not facts[slot] and since is not None and is_event(happened.data):
                facts[slot] = happened.time - since <= duration
            if maybe_reference and is_reference(happened.data):
                facts[referred] = happened.time

        self.planners.append(_pair_planner(event, reference, step))
        return slot

    # ------------------------------------------------------------------------------------------------------ values

    def test(self, node: m.Test) -> int:
        """A slot with the verdict of a test of a VALUE."""
        assert isinstance(node.subject, m.Value)
        reading = node.subject.reading
        if reading == "average":
            exact = v.average_test(node)
            missing = v.test_of(node)(v.MISSING)
            return self._keep(node.subject, ("test", node), missing, lambda pair: exact(*pair))
        if reading in ("latest", "first"):
            test = v.test_of(node)
            return self._keep(node.subject, ("test", node), test(v.MISSING), test)
        test = v.decimal_test(node)
        return self._keep(node.subject, ("test", node), test(_before_any(reading)), test)

    def text(self, value: m.Value) -> int:
        """A slot with the value as text, None where missing: for dimensions."""
        return self._number_or(value, "text", v.text_of)

    def number(self, value: m.Value) -> int:
        """A slot with the value as the text of a number, None where it is missing or none: for quantity and amount."""

        def keep(read: Any) -> str | None:
            number = v.number_of(read)
            return None if number is None else str(number)

        return self._number_or(value, "number", keep)

    def _number_or(self, value: m.Value, use: str, keep: Keeper) -> int:
        """Keeps a value read from data by `keep`, a computed one (to which no limit of digits applies) as it is."""
        if value.reading in ("latest", "first"):
            return self._keep(value, use, None, keep)
        if value.reading == "average":
            return self._keep(value, use, None, lambda pair: plain(v.average(*pair)))
        if value.reading == "distinct":
            # Past the limit the number is not known: a guess is never billed.
            return self._keep(value, use, "0", lambda n: None if n > MOST_DISTINCT else str(n))
        before = _before_any(value.reading)
        return self._keep(value, use, None if before is None else str(before), lambda n: plain(Decimal(n)))

    def time(self, value: m.Value) -> int:
        """A slot with the time (microseconds) read from the latest or first event, None where it is none."""
        slot, new = self._slot(("time", value), None)
        if not new or value.path is None or value.reading not in ("latest", "first"):
            return slot  # no other reading gives a time: it stays None
        get, once = v.getter(value.path), value.reading == "first"
        done, _ = self._slot(("seen for time", value), False)

        def step(facts: Facts, event: Event) -> None:
            if not (once and facts[done]):
                facts[done] = True
                facts[slot] = v.time_of(get(event.data), event.time)

        self.planners.append(_planner(value.event, step))
        return slot

    def _keep(self, value: m.Value, use: object, initial: Any, keeper: Keeper) -> int:
        slot, new = self._slot((value, use), initial)
        if new:
            if value not in self._kept:
                self._kept[value] = []
                self.planners.append(_planner(value.event, self._reader(value, self._kept[value])))
            self._kept[value].append((slot, keeper))
        return slot

    def _reader(self, value: m.Value, kept: list[tuple[int, Keeper]]) -> Step:
        """The step that takes one event into a value, and then into what is kept of it (`kept` may still grow)."""
        match value.reading:
            case "latest":
                return _latest(_getter(value), kept)
            case "first":
                return _first(_getter(value), kept, self._slot(("seen for first", value), False)[0])
            case "number":
                return _number(kept, self._slot(("count", value.event, "value"), 0)[0])
            case "distinct":
                state, _ = self._slot(("distinct", value), None)
                self.overflows.append(state)
                return _distinct(_getter(value), kept, state)
            case "average":
                state, _ = self._slot(("sum for average", value), None)
                count, _ = self._slot(("count for average", value), 0)
                return _average(_getter(value), kept, state, count)
            case _:
                state, _ = self._slot(("number", value), None)
                return _numeric(_getter(value), kept, state, _COMBINE[value.reading])


def _before_any(reading: m.Reading) -> int | None:
    return 0 if reading in ("number", "distinct") else None


def _getter(value: m.Value) -> v.Getter:
    assert value.path is not None
    return v.getter(value.path)


# ----------------------------------------------------------------------------------------------------------- planners


def filter_of(event: m.EventTerm) -> Filter:
    """The filter of an event term as a function of the event's data."""
    return (lambda data: True) if event.where is None else _filter(event.where)


def _filter(node: m.Node) -> Filter:
    """Recursive: the nesting is bounded where the tree is made."""
    match node:
        case m.And():
            members = tuple(_filter(member) for member in node.members)
            return lambda data: all(member(data) for member in members)
        case m.Or():
            members = tuple(_filter(member) for member in node.members)
            return lambda data: any(member(data) for member in members)
        case m.Not():
            inner = _filter(node.member)
            return lambda data: not inner(data)
        case m.Compare() | m.OneOf() | m.Search() | m.Presence() if isinstance(node.subject, m.Path):
            get, test = v.getter(node.subject), v.test_of(node)
            return lambda data: test(get(data))
        case _:
            raise TypeError(f"no filter: {node!r}")


def _planner(event: m.EventTerm, step: Step) -> Planner:
    if event.where is not None:
        holds = _filter(event.where)

        def filtered(facts: Facts, happened: Event) -> None:
            if holds(happened.data):
                step(facts, happened)

        return lambda event_type: filtered if event.name.matches(event_type) else None
    return lambda event_type: step if event.name.matches(event_type) else None


def _pair_planner(
    event: m.EventTerm, reference: m.EventTerm, step: Callable[[Facts, Event, bool, bool], None]
) -> Planner:
    def plan(event_type: str) -> Step | None:
        first, second = event.name.matches(event_type), reference.name.matches(event_type)
        return (lambda facts, happened: step(facts, happened, first, second)) if first or second else None

    return plan


# ------------------------------------------------------------------------------------------------------------ readers


def encode(number: v.Number) -> int | str:
    """A number as facts hold it."""
    return number if number.__class__ is int and -_PLAIN_INT < number < _PLAIN_INT else str(number)


def decode(kept: int | str) -> v.Number:
    return Decimal(kept) if isinstance(kept, str) else kept


def add(a: v.Number, b: v.Number) -> v.Number:
    """The exact sum."""
    if a.__class__ is int and b.__class__ is int:
        return a + b
    return v.EXACT.add(Decimal(a), Decimal(b))


_COMBINE: Final[dict[str, Callable[[v.Number, v.Number], v.Number]]] = {"highest": max, "lowest": min, "total": add}


def _latest(get: v.Getter, kept: list[tuple[int, Keeper]]) -> Step:
    def step(facts: Facts, event: Event) -> None:
        value = get(event.data)
        for slot, keep in kept:
            facts[slot] = keep(value)

    return step


def _first(get: v.Getter, kept: list[tuple[int, Keeper]], seen: int) -> Step:
    def step(facts: Facts, event: Event) -> None:
        if not facts[seen]:
            facts[seen] = True
            value = get(event.data)
            for slot, keep in kept:
                facts[slot] = keep(value)

    return step


def _number(kept: list[tuple[int, Keeper]], state: int) -> Step:
    def step(facts: Facts, _: Event) -> None:
        facts[state] += 1
        for slot, keep in kept:
            facts[slot] = keep(facts[state])

    return step


def _numeric(
    get: v.Getter, kept: list[tuple[int, Keeper]], state: int, combine: Callable[[v.Number, v.Number], v.Number]
) -> Step:
    def step(facts: Facts, event: Event) -> None:
        number = v.number_of(get(event.data))
        if number is None:
            return
        if facts[state] is not None:
            number = combine(decode(facts[state]), number)
        facts[state] = encode(number)
        for slot, keep in kept:
            facts[slot] = keep(number)

    return step


def _average(get: v.Getter, kept: list[tuple[int, Keeper]], state: int, count: int) -> Step:
    def step(facts: Facts, event: Event) -> None:
        number = v.number_of(get(event.data))
        if number is None:
            return
        total = number if facts[state] is None else add(decode(facts[state]), number)
        facts[state] = encode(total)
        facts[count] += 1
        for slot, keep in kept:
            facts[slot] = keep((total, facts[count]))

    return step


def distinct_key(value: Any) -> str | None:
    """One text per distinct value; None for what is no value. Of a long text the digest is kept: facts stay small."""
    if value.__class__ is str:
        if len(value) <= 40:
            return "t" + value
        return "h" + hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    text = v.text_of(value)
    return None if text is None else ("b" if value.__class__ is bool else "n") + text


def _distinct(get: v.Getter, kept: list[tuple[int, Keeper]], state: int) -> Step:
    """The slot holds None, then {key: 1, …}, and past the limit True: more than can be counted."""

    def step(facts: Facts, event: Event) -> None:
        seen = facts[state]
        if seen is True:
            return
        key = distinct_key(get(event.data))
        if key is None or (seen is not None and key in seen):
            return
        if seen is None:
            facts[state] = seen = {}
        seen[key] = 1
        size = len(seen)
        if size > MOST_DISTINCT:
            facts[state] = True
        for slot, keep in kept:
            facts[slot] = keep(size)

    return step
