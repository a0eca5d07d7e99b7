"""Why a clause is true or false: the tree with a verdict, the value seen and the deciding events at each node.

Computed from the events themselves, not from folded facts: this is for a reader who asks, not for the hot path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from conditions_dsl import model as m
from conditions_dsl import printer
from conditions_dsl import values as v
from conditions_dsl.facts import MOST_DISTINCT, add, distinct_key, filter_of
from conditions_dsl.program import Event, Program
from conditions_dsl.silence import group_holds

# How many deciding events a node names, the latest ones; how many there are stands beside them.
_MOST_EVENTS: Final = 50
_MOST_TEXT: Final = 200


def explain(
    program: Program, events: Iterable[Event], *, history: Iterable[Event] | None = None, now: int | None = None
) -> dict[str, Any]:
    """The tree of `bill when` over the events of one attempt, in any order; those after `now` (microseconds) are left
    out. `… ever` looks at `history`, the events of the subject's whole life; where it is not given, at `events`.

    Each node: `text`, `kind`, `verdict`, `events` (ids that decided it, at most the latest 50) and `event_count`; a
    test of a VALUE has the `value` seen, as the language writes it, or `missing`; what is joined has `parts`.
    """
    attempt = _in_order(events, now)
    whole = None if history is None else _in_order(history, now)
    return explain_node(program.condition.bill, attempt, history=whole)


def explain_node(node: m.Node, events: list[Event], *, history: list[Event] | None = None) -> dict[str, Any]:
    """As `explain`, of any condition of any clause. ``events`` are those its clause looks at; both lists are in order
    of (`time`, `seq`).
    """
    return _Reader(events, events if history is None else history).node(node)


def explain_value(value: m.Value, events: list[Event]) -> dict[str, Any]:
    """What a VALUE reads of ``events``, which are in order: a node of kind `value`, with `text`, `value`, `events` and
    `event_count`. It has no verdict.
    """
    seen, found = _Reader(events, events)._value(value)
    shown = _shown(v.average(*seen)) if isinstance(seen, tuple) else _shown(seen)
    return {"text": printer.value(value), "kind": "value", "value": shown} | _deciding(found)


def _in_order(events: Iterable[Event], now: int | None) -> list[Event]:
    known = (event for event in events if now is None or event.time <= now)
    return sorted(known, key=lambda event: (event.time, event.seq))


class _Reader:
    def __init__(self, events: list[Event], history: list[Event]) -> None:
        self.events = events
        self.history = history

    def node(self, node: m.Node) -> dict[str, Any]:
        """Recursive: the nesting is bounded where the tree is made."""
        text = printer.node(node)
        match node:
            case m.And():
                parts = [self.node(member) for member in node.members]
                return _joined("and", text, all(p["verdict"] for p in parts), parts)
            case m.Or():
                parts = [self.node(member) for member in node.members]
                return _joined("or", text, any(p["verdict"] for p in parts), parts)
            case m.Not():
                part = self.node(node.member)
                return _joined("not", text, not part["verdict"], [part], deciding=[part])
            case m.Group():
                parts = [self.node(member) for member in node.members]
                held = sum(part["verdict"] for part in parts)
                return _joined(f"{node.kind} of", text, group_holds(node, held), parts, value=str(held))
            case m.Points():
                return self._points(node, text)
            case m.Seen():
                found = self._matching(node.event, self.history if node.ever else self.events)
                return _leaf("seen", text, bool(found) is not node.no, found[:1])
            case m.Count():
                found = self._matching(node.event)
                verdict = v.compare(len(found), m.ORDER_OF_COUNT[node.order], node.number)
                return _leaf("count", text, verdict, found, str(len(found)))
            case m.After():
                return self._after(node, text)
            case m.Within():
                return self._within(node, text)
            case _:
                return self._test(node, text)

    def _matching(self, term: m.EventTerm, events: list[Event] | None = None) -> list[Event]:
        holds = filter_of(term)
        return [
            event
            for event in (self.events if events is None else events)
            if term.name.matches(event.type) and holds(event.data)
        ]

    def _points(self, node: m.Points, text: str) -> dict[str, Any]:
        parts = [self.node(member) for _, member in node.weights]
        total: v.Number = Decimal(0)
        for (weight, _), part in zip(node.weights, parts, strict=True):
            total = add(total, weight) if part["verdict"] else total
        verdict = v.compare(total, node.order, node.number)
        holding = [part for part in parts if part["verdict"]]
        return _joined("points", text, verdict, parts, value=_shown(total), deciding=holding or parts)

    def _after(self, node: m.After, text: str) -> dict[str, Any]:
        found, references = self._matching(node.event)[-1:], self._matching(node.reference)[-1:]
        came_after = bool(found and references) and (self.events.index(found[0]) > self.events.index(references[0]))
        return _leaf("after", text, came_after is not node.no, references + found)

    def _within(self, node: m.Within, text: str) -> dict[str, Any]:
        is_event, is_reference = filter_of(node.event), filter_of(node.reference)
        reference: Event | None = None
        near: list[Event] = []
        for event in self.events:
            matches = node.event.name.matches(event.type) and is_event(event.data)
            if matches and reference is not None and event.time - reference.time <= node.duration.microseconds:
                near = [reference, event]
                break
            if node.reference.name.matches(event.type) and is_reference(event.data):
                reference = event
        return _leaf("within", text, bool(near) is not node.no, near)

    def _test(self, node: m.Test, text: str) -> dict[str, Any]:
        assert isinstance(node.subject, m.Value)
        value, found = self._value(node.subject)
        if isinstance(value, tuple):
            verdict = v.average_test(node)(*value)
            shown = _shown(v.average(*value))
        elif node.subject.reading in ("latest", "first"):
            verdict, shown = v.test_of(node)(value), _shown(value)
        else:
            verdict = (v.test_of(node) if value is None else v.decimal_test(node))(value)
            shown = _shown(value)
        return _leaf("test", text, verdict, found, shown)

    def _value(self, value: m.Value) -> tuple[Any, list[Event]]:
        """What a VALUE reads, and from which events; an average as (total, count)."""
        found = self._matching(value.event)
        if value.path is None:
            return len(found), found
        get = v.getter(value.path)
        if value.reading in ("latest", "first"):
            one = found[-1:] if value.reading == "latest" else found[:1]
            return (get(one[0].data), one) if one else (None, [])
        if value.reading == "distinct":
            firsts: dict[str, Event] = {}
            for event in found:
                key = distinct_key(get(event.data))
                if key is not None:
                    firsts.setdefault(key, event)
            return min(len(firsts), MOST_DISTINCT + 1), list(firsts.values())
        numbers = [(number, event) for event in found if (number := v.number_of(get(event.data))) is not None]
        if not numbers:
            return None, []
        if value.reading in ("highest", "lowest"):
            choose: Callable[..., tuple[v.Number, Event]] = max if value.reading == "highest" else min
            number, event = choose(numbers, key=lambda pair: pair[0])
            return number, [event]
        total: v.Number = 0
        for number, _ in numbers:
            total = add(total, number)
        events = [event for _, event in numbers]
        return (total, len(numbers)) if value.reading == "average" else total, events


def _shown(value: Any) -> str:
    """A value as the language writes it."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        shown = printer.text(value[:_MOST_TEXT])
    elif isinstance(value, bool):
        shown = "true" if value else "false"
    elif isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < _MOST_TEXT:
        shown = printer.words.plain(value)
    elif isinstance(value, dict | list):
        shown = "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    elif isinstance(value, int) and v.number_of(value) is None and abs(value) >= 10**_MOST_TEXT:
        shown = "a number of too many digits"  # that Python itself refuses to write
    else:
        shown = str(value)
    return shown if len(shown) <= _MOST_TEXT else f"{shown[: _MOST_TEXT - 1]}…"


def _leaf(kind: str, text: str, verdict: bool, events: list[Event], value: str | None = None) -> dict[str, Any]:
    node: dict[str, Any] = {"text": text, "kind": kind, "verdict": verdict}
    if value is not None:
        node["value"] = value
    return node | _deciding(events)


def _deciding(events: list[Event]) -> dict[str, Any]:
    return {"events": [event.id for event in events[-_MOST_EVENTS:]], "event_count": len(events)}


def _joined(
    kind: str,
    text: str,
    verdict: bool,
    parts: list[dict[str, Any]],
    *,
    value: str | None = None,
    deciding: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What is joined was decided by the parts that agree with it, where there are any."""
    if deciding is None:
        deciding = [part for part in parts if part["verdict"] is verdict] or parts
    ids = list(dict.fromkeys(i for part in deciding for i in part["events"]))
    node: dict[str, Any] = {"text": text, "kind": kind, "verdict": verdict}
    if value is not None:
        node["value"] = value
    return node | {"events": ids[-_MOST_EVENTS:], "event_count": len(ids), "parts": parts}
