"""From tree to program: lays out the facts each clause needs and turns every condition into one function over them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from conditions_dsl import model as m
from conditions_dsl import values as v
from conditions_dsl.errors import ConditionError, Diagnostic, Problem
from conditions_dsl.facts import Layout, Plans
from conditions_dsl.printer import format
from conditions_dsl.program import Event, Facts, Program, Scope, Settle, Verdict
from conditions_dsl.silence import group_holds, refuse_silence

# The most event types whose answers are remembered: a sender of ever new types must not fill the memory.
_REMEMBERED_TYPES: Final = 4_096
_SCOPES: Final[tuple[Scope, ...]] = ("attempt", "void", "after", "history")


def compile(condition: m.Condition) -> Program:
    """The program of a condition. Raises `ConditionError` where `bill when` is true of silence."""
    try:
        refuse_silence(condition)
    except Problem as problem:
        raise ConditionError(format(condition), (Diagnostic("error", 1, 1, problem.message),)) from None
    layouts = {scope: Layout() for scope in _SCOPES}
    attempt, void, after, history = (layouts[scope] for scope in _SCOPES)
    met = _verdict(condition.bill, attempt, history)
    voids = tuple(_verdict(node, void, history) for node in condition.voids)
    credits = tuple(_verdict(credit.when, after, history) for credit in condition.credits)
    early = _never if condition.early is None else _verdict(condition.early, attempt, history)
    repeated = _never if condition.repeat is None else _verdict(condition.repeat, after, history)
    settle = _settle(condition.settle)
    return Program(
        slug=condition.slug,
        title=m.title_of(condition),
        text=format(condition),
        condition=condition,
        names=tuple(dict.fromkeys(term.name for term in m.event_terms(condition))),
        settle=settle,
        expire=m.LONGEST_WINDOW if condition.expire is None else condition.expire.microseconds,
        credits=tuple(credit.within.microseconds for credit in condition.credits),
        has_void=bool(voids),
        has_early=condition.early is not None,
        has_repeat=condition.repeat is not None,
        has_amount=condition.amount is not None,
        has_history=any(_looks_back(node) for _, node in m.conditions_of(condition)),
        subject=_subject(condition.keys),
        met=met,
        voided=_any(voids),
        credited=lambda index, after, history: credits[index](after, history),
        repeated=repeated,
        early=early,
        settle_value=_settle_value(condition.settle, settle.duration, attempt),
        quantity=_quantity(condition.quantity, attempt),
        amount=_read_number(condition.amount, attempt),
        dimensions=_dimensions(condition.dimensions, attempt, history),
        flags=_flags(attempt),
        mentions=_mentions(condition),
        **_folding(layouts),
    )


def _folding(layouts: dict[Scope, Layout]) -> dict[str, Any]:
    initial = {scope: layout.initial for scope, layout in layouts.items()}
    plans = {scope: Plans(tuple(layout.planners)) for scope, layout in layouts.items()}

    def new(scope: Scope) -> Facts:
        return initial[scope].copy()

    def fold(scope: Scope, facts: Facts, event: Event) -> None:
        for step in plans[scope][event.type]:
            step(facts, event)

    return {"new": new, "fold": fold}


def _mentions(condition: m.Condition) -> Callable[[str], bool]:
    terms = {term.name for term in m.event_terms(condition)}
    exact = frozenset(name.text for name in terms if not name.wildcard)
    wildcards = tuple(name for name in terms if name.wildcard)
    prefixes = tuple(name.text for name in wildcards)

    @lru_cache(maxsize=_REMEMBERED_TYPES)  # asked several times of every event
    def mentions(event_type: str) -> bool:
        if event_type in exact:
            return True
        return event_type.startswith(prefixes) and any(name.matches(event_type) for name in wildcards)

    return mentions


# ----------------------------------------------------------------------------------------------------------- verdicts


def _never(facts: Facts, history: Facts) -> bool:
    return False


def _verdict(node: m.Node, layout: Layout, history: Layout) -> Verdict:
    """The condition as a function of (facts of its scope, facts of the history). Recursive: the nesting is bounded."""
    match node:
        case m.And():
            return _all(tuple(_verdict(member, layout, history) for member in node.members))
        case m.Or():
            return _any(tuple(_verdict(member, layout, history) for member in node.members))
        case m.Not():
            return _negated(_verdict(node.member, layout, history))
        case m.Seen(ever=True):
            slot = history.seen(node.event)
            return (lambda facts, history: not history[slot]) if node.no else (lambda facts, history: history[slot])
        case m.Seen():
            return _holds(layout.seen(node.event), node.no)
        case m.After():
            return _holds(layout.after(node.event, node.reference), node.no)
        case m.Within():
            return _holds(layout.within(node.event, node.duration.microseconds, node.reference), node.no)
        case m.Count():
            return _counted(layout.count(node.event), m.ORDER_OF_COUNT[node.order], node.number)
        case m.Group():
            return _grouped(node, tuple(_verdict(member, layout, history) for member in node.members))
        case m.Points():
            return _scored(node, tuple((w, _verdict(member, layout, history)) for w, member in node.weights))
        case _:
            return _holds(layout.test(node), False)


def _holds(slot: int, no: bool) -> Verdict:
    return (lambda facts, history: not facts[slot]) if no else (lambda facts, history: facts[slot])


def _negated(verdict: Verdict) -> Verdict:
    return lambda facts, history: not verdict(facts, history)


def _counted(slot: int, order: m.Order, number: int) -> Verdict:
    return lambda facts, history: v.compare(facts[slot], order, number)


def _any(verdicts: tuple[Verdict, ...]) -> Verdict:
    if len(verdicts) == 1:
        return verdicts[0]
    if len(verdicts) == 2:
        one, other = verdicts
        return lambda facts, history: one(facts, history) or other(facts, history)

    def holds(facts: Facts, history: Facts) -> bool:
        for verdict in verdicts:  # noqa: SIM110  (a generator costs as much as the verdicts)
            if verdict(facts, history):
                return True
        return False

    return holds


def _all(verdicts: tuple[Verdict, ...]) -> Verdict:
    if len(verdicts) == 2:
        one, other = verdicts
        return lambda facts, history: one(facts, history) and other(facts, history)

    def holds(facts: Facts, history: Facts) -> bool:
        for verdict in verdicts:  # noqa: SIM110
            if not verdict(facts, history):
                return False
        return True

    return holds


def _grouped(node: m.Group, verdicts: tuple[Verdict, ...]) -> Verdict:
    return lambda facts, history: group_holds(node, sum(verdict(facts, history) for verdict in verdicts))


def _scored(node: m.Points, weights: tuple[tuple[Decimal, Verdict], ...]) -> Verdict:
    order, number = node.order, node.number

    def holds(facts: Facts, history: Facts) -> bool:
        points: v.Number = 0
        for weight, verdict in weights:
            if verdict(facts, history):
                points = v.EXACT.add(points, weight)
        return v.compare(points, order, number)

    return holds


def _looks_back(node: m.Node) -> bool:
    return (isinstance(node, m.Seen) and node.ever) or any(_looks_back(child) for child in m.children(node))


# ------------------------------------------------------------------------------------------------------------ subject


def _subject(keys: tuple[tuple[m.Path, ...], ...]) -> Callable[[Mapping[str, Any]], str | None]:
    readers = tuple(_key(alternatives) for alternatives in keys)
    if len(readers) == 1:
        return readers[0]

    def subject(data: Mapping[str, Any]) -> str | None:
        texts = [read(data) for read in readers]
        return None if None in texts else json.dumps(texts, ensure_ascii=False)

    return subject


def _key(alternatives: tuple[m.Path, ...]) -> Callable[[Mapping[str, Any]], str | None]:
    getters = tuple(v.getter(path) for path in alternatives)

    def key(data: Mapping[str, Any]) -> str | None:
        for get in getters:
            value = get(data)
            if value is not None:
                # The first one present decides, also where it is no key: a list, an object.
                return v.text_of(value)
        return None

    return key


# ------------------------------------------------------------------------------------------------- what an outcome is


def _settle(settlement: m.Settlement | None) -> Settle:
    if settlement is None:
        return Settle("after", m.DEFAULT_SETTLE, m.LONGEST_WINDOW)
    return Settle(
        settlement.kind,
        0 if settlement.window is None else settlement.window.microseconds,
        m.LONGEST_WINDOW if settlement.at_most is None else settlement.at_most.microseconds,
    )


def _settle_value(settlement: m.Settlement | None, offset: int, attempt: Layout) -> Callable[[Facts], int | None]:
    if settlement is None or settlement.value is None:
        return lambda attempt: None
    slot = attempt.time(settlement.value)
    return lambda attempt: None if attempt[slot] is None else attempt[slot] + offset


def _quantity(quantity: Decimal | m.Value | None, attempt: Layout) -> Callable[[Facts], Decimal | None]:
    if isinstance(quantity, m.Value):
        return _read_number(quantity, attempt)
    fixed = Decimal(1) if quantity is None else quantity
    return lambda attempt: fixed


def _read_number(value: m.Value | None, attempt: Layout) -> Callable[[Facts], Decimal | None]:
    if value is None:
        return lambda attempt: None
    slot = attempt.number(value)

    def read(attempt: Facts) -> Decimal | None:
        if attempt[slot] is None:
            return None
        number = Decimal(attempt[slot])
        return None if number < 0 else number

    return read


def _dimensions(
    dimensions: tuple[m.Dimension, ...], attempt: Layout, history: Layout
) -> Callable[[Facts, Facts], dict[str, str | None]]:
    readers = tuple((d.name, _dimension(d.value, attempt, history)) for d in dimensions)
    return lambda attempt, history: {name: read(attempt, history) for name, read in readers}


def _dimension(value: m.Value | m.Graded, attempt: Layout, history: Layout) -> Callable[[Facts, Facts], str | None]:
    if isinstance(value, m.Value):
        slot = attempt.text(value)
        return lambda attempt, history: attempt[slot]
    choices = tuple((label, _verdict(node, attempt, history)) for label, node in value.choices)
    otherwise = value.otherwise

    def grade(attempt: Facts, history: Facts) -> str:
        return next((label for label, verdict in choices if verdict(attempt, history)), otherwise)

    return grade


def _flags(attempt: Layout) -> Callable[[Facts, Facts], tuple[str, ...]]:
    overflows = attempt.overflows
    return lambda attempt, history: ("distinct_overflow",) if any(attempt[slot] is True for slot in overflows) else ()
