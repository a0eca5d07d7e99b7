"""The tree as plain JSON, for editors that build a condition from form fields, and back.

Every condition is an object with a `kind`. Paths, event names and durations are texts as the language writes them
(`order.total`, `ticket.*`, `72 hours`); an event name is an object with `name`, `wildcard` and `where`. Literals are
`{"text": …}`, `{"number": "4.5"}` or `{"boolean": …}`: numbers travel as text, because browsers would round them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias, cast

from conditions_dsl import model as m
from conditions_dsl import printer, words
from conditions_dsl.errors import ConditionError, Diagnostic
from conditions_dsl.parser import parse

Json: TypeAlias = Any
_MOST_DEPTH: Final = 4 * words.MAX_NESTING
_MOST_VALUES: Final = 10_000


def to_json(condition: m.Condition) -> dict[str, Json]:
    """The condition as an object of JSON types. Clauses left out are null or empty."""
    settle = condition.settle
    return {
        "outcome": condition.slug,
        "title": condition.title,
        "per": [[printer.path(path) for path in alternatives] for alternatives in condition.keys],
        "bill_when": _node(condition.bill),
        "void_when": [_node(node) for node in condition.voids],
        "credit": [{"within": printer.duration(c.within), "when": _node(c.when)} for c in condition.credits],
        "settle": settle
        and {
            "kind": settle.kind,
            "window": settle.window and printer.duration(settle.window),
            "at_most": settle.at_most and printer.duration(settle.at_most),
            "value": settle.value and _value(settle.value),
        },
        "settle_early_when": condition.early and _node(condition.early),
        "expire_after": condition.expire and printer.duration(condition.expire),
        "quantity": _value_or_number(condition.quantity),
        "amount": condition.amount and _value(condition.amount),
        "dimensions": [_dimension(dimension) for dimension in condition.dimensions],
        "repeat_when": condition.repeat and _node(condition.repeat),
    }


def _value_or_number(quantity: Decimal | m.Value | None) -> Json:
    if quantity is None:
        return None
    return {"number": printer.number(quantity)} if isinstance(quantity, Decimal) else _value(quantity)


def _dimension(dimension: m.Dimension) -> Json:
    if isinstance(dimension.value, m.Value):
        return {"name": dimension.name, "value": _value(dimension.value)}
    return {
        "name": dimension.name,
        "choices": [{"text": label, "if": _node(when)} for label, when in dimension.value.choices],
        "otherwise": dimension.value.otherwise,
    }


def _node(node: m.Node) -> dict[str, Json]:
    match node:
        case m.And() | m.Or():
            return {
                "kind": "and" if isinstance(node, m.And) else "or",
                "of": [_node(member) for member in node.members],
            }
        case m.Not():
            return {"kind": "not", "of": _node(node.member)}
        case m.Seen():
            return {"kind": "seen", "event": _event(node.event), "no": node.no, "ever": node.ever}
        case m.Count():
            return {"kind": "count", "order": node.order, "number": str(node.number), "event": _event(node.event)}
        case m.After():
            return {"kind": "after", "event": _event(node.event), "reference": _event(node.reference), "no": node.no}
        case m.Within():
            return {
                "kind": "within",
                "event": _event(node.event),
                "duration": printer.duration(node.duration),
                "reference": _event(node.reference),
                "no": node.no,
            }
        case m.Group():
            number = None if node.number is None else str(node.number)
            members = [_node(member) for member in node.members]
            return {"kind": "group", "group": node.kind, "number": number, "of": members}
        case m.Points():
            weights = [{"points": printer.number(weight), "if": _node(member)} for weight, member in node.weights]
            return {"kind": "points", "weights": weights, "order": node.order, "number": printer.number(node.number)}
        case _:
            return _test(node)


def _test(node: m.Test) -> dict[str, Json]:
    subject = node.subject
    of = {"path": printer.path(subject)} if isinstance(subject, m.Path) else {"value": _value(subject)}
    match node:
        case m.Presence():
            return {"kind": "presence", **of, "present": node.present}
        case m.OneOf():
            return {"kind": "in", **of, "literals": [_constant(c) for c in node.constants], "not": node.negated}
        case m.Search():
            return {"kind": "search", **of, "how": node.how, "literal": _constant(node.constant)}
        case _:
            return {"kind": "compare", **of, "order": node.order, "literal": _constant(node.constant)}


def _constant(constant: m.Constant) -> Json:
    value = constant.value
    return {constant.kind: printer.number(value) if isinstance(value, Decimal) else value}


def _value(value: m.Value) -> dict[str, Json]:
    path = None if value.path is None else printer.path(value.path)
    return {"reading": value.reading, "path": path, "event": _event(value.event)}


def _event(term: m.EventTerm) -> dict[str, Json]:
    where = None if term.where is None else _node(term.where)
    return {"name": term.name.text, "wildcard": term.name.wildcard, "where": where}


# ---------------------------------------------------------------------------------------------------------- and back


class _Misshapen(Exception):
    pass


def from_json(form: Json) -> m.Condition:
    """The condition that `to_json` gave, or that an editor made.

    Raises `ConditionError`: where the shape is wrong, its message names the place in the form; for all else the form
    is held to what holds for a text, and line and column are those of its canonical text.
    """
    try:
        _bound(form)
        condition = _condition(form)
    except _Misshapen as fault:
        raise ConditionError("", (Diagnostic("error", 1, 1, str(fault)),)) from None
    text = printer.format(condition)
    parsed = parse(text)
    if parsed != condition:
        message = (
            "The form does not say one condition: a name, path or number in it is not what the language can write."
        )
        raise ConditionError(text, (Diagnostic("error", 1, 1, message),))
    return parsed


def _bound(form: Json) -> None:
    """Refuses what is deeper or larger than any condition, before anything recursive looks at it."""
    stack: list[tuple[Json, int]] = [(form, 1)]
    seen = 0
    while stack:
        value, depth = stack.pop()
        seen += 1
        if depth > _MOST_DEPTH or seen > _MOST_VALUES:
            raise _Misshapen("The form is larger or nested deeper than any condition.")
        if isinstance(value, dict):
            stack.extend((below, depth + 1) for below in value.values())
        elif isinstance(value, list):
            stack.extend((below, depth + 1) for below in value)


class _Fields:
    """One object of the form: every field is asked for by name and type, and none may be left over."""

    def __init__(self, form: Json, place: str) -> None:
        if not isinstance(form, dict):
            raise _Misshapen(f"`{place}` must be an object.")
        self._form = dict(form)
        self.place = place

    def take(self, name: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        value = self._form.pop(name, default)
        if value is ... or (value is not default and (not isinstance(value, kind) or _is_stray_bool(value, kind))):
            raise _Misshapen(f"`{self.place}.{name}` is missing or not of the right type.")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.take(name, str)
        if value not in choices:
            raise _Misshapen(f"`{self.place}.{name}` must be one of {', '.join(choices)}.")
        return cast("str", value)

    def one(self, name: str, read: Callable[[Json, str], Any]) -> Any:
        return read(self.take(name, (dict, str)), f"{self.place}.{name}")

    def maybe(self, name: str, read: Callable[[Json, str], Any]) -> Any:
        value = self.take(name, (dict, str), None)
        return None if value is None else read(value, f"{self.place}.{name}")

    def all(self, name: str, read: Callable[[Json, str], Any], least: int = 0) -> tuple[Any, ...]:
        values = self.take(name, list, [] if least == 0 else ...)
        if len(values) < least:
            raise _Misshapen(f"`{self.place}.{name}` needs at least {least} entries.")
        return tuple(read(value, f"{self.place}.{name}[{i}]") for i, value in enumerate(values))

    def done(self) -> None:
        if self._form:
            raise _Misshapen(f"`{self.place}` has the unknown field `{next(iter(self._form))}`.")


def _is_stray_bool(value: Any, kind: Any) -> bool:
    return isinstance(value, bool) and kind is not bool


def _condition(form: Json) -> m.Condition:
    f = _Fields(form, "form")
    condition = m.Condition(
        slug=f.take("outcome", str),
        title=f.take("title", str, None),
        keys=f.all("per", _alternatives, 1),
        bill=f.one("bill_when", _from_node),
        voids=f.all("void_when", _from_node),
        credits=f.all("credit", _from_credit),
        settle=f.maybe("settle", _from_settle),
        early=f.maybe("settle_early_when", _from_node),
        expire=f.maybe("expire_after", _from_duration),
        quantity=f.maybe("quantity", _from_quantity),
        amount=f.maybe("amount", _from_value),
        dimensions=f.all("dimensions", _from_dimension),
        repeat=f.maybe("repeat_when", _from_node),
    )
    f.done()
    return condition


def _alternatives(form: Json, place: str) -> tuple[m.Path, ...]:
    if not isinstance(form, list) or not form:
        raise _Misshapen(f"`{place}` must be a list of paths.")
    return tuple(_from_path(path, f"{place}[{i}]") for i, path in enumerate(form))


def _from_credit(form: Json, place: str) -> m.Credit:
    f = _Fields(form, place)
    credit = m.Credit(f.one("within", _from_duration), f.one("when", _from_node))
    f.done()
    return credit


def _from_settle(form: Json, place: str) -> m.Settlement:
    f = _Fields(form, place)
    kind = f.choice("kind", ("immediately", "after", "silence", "at"))
    settle = m.Settlement(
        cast("Any", kind),
        f.maybe("window", _from_duration),
        f.maybe("at_most", _from_duration),
        f.maybe("value", _from_value),
    )
    f.done()
    if settle.kind != "at" and settle.window is not None and settle.window.microseconds == 0:
        return m.Settlement("immediately")
    if (settle.value is not None) != (kind == "at") or (settle.window is None and kind in ("after", "silence")):
        raise _Misshapen(
            f"`{place}`: `at` needs a value and no other kind has one; `after` and `silence` need a window."
        )
    return settle


def _from_quantity(form: Json, place: str) -> Decimal | m.Value:
    if isinstance(form, dict) and "number" in form:
        f = _Fields(form, place)
        number = f.one("number", _from_number)
        f.done()
        return cast("Decimal", number)
    return _from_value(form, place)


def _from_dimension(form: Json, place: str) -> m.Dimension:
    f = _Fields(form, place)
    name = f.take("name", str)
    value: m.Value | m.Graded
    if "value" in form:
        value = f.one("value", _from_value)
    else:
        value = m.Graded(f.all("choices", _from_choice, 1), f.take("otherwise", str))
    f.done()
    return m.Dimension(name, value)


def _from_choice(form: Json, place: str) -> tuple[str, m.Node]:
    f = _Fields(form, place)
    choice = (f.take("text", str), f.one("if", _from_node))
    f.done()
    return choice


def _from_node(form: Json, place: str) -> m.Node:
    f = _Fields(form, place)
    kind = f.choice("kind", tuple(_NODES))
    node = _NODES[kind](f)
    f.done()
    return node


def _from_weight(form: Json, place: str) -> tuple[Decimal, m.Node]:
    f = _Fields(form, place)
    weight = (f.one("points", _from_number), f.one("if", _from_node))
    f.done()
    return weight


def _from_group(f: _Fields) -> m.Group:
    kind = f.choice("group", ("any", "all", "none", "at least"))
    number = f.maybe("number", _from_whole)
    if (number is not None) != (kind == "at least"):
        raise _Misshapen(f"`{f.place}.number` belongs to the group `at least`, and only to it.")
    return m.Group(cast("Any", kind), f.all("of", _from_node, 1), number)


def _subject(f: _Fields) -> m.Path | m.Value:
    value = f.maybe("value", _from_value)
    return cast("m.Value", value) if value is not None else cast("m.Path", f.one("path", _from_path))


_NODES: Final[dict[str, Callable[[_Fields], m.Node]]] = {
    "and": lambda f: m.And(f.all("of", _from_node, 2)),
    "or": lambda f: m.Or(f.all("of", _from_node, 2)),
    "not": lambda f: m.Not(f.one("of", _from_node)),
    "seen": lambda f: m.Seen(f.one("event", _from_event), f.take("no", bool, False), f.take("ever", bool, False)),
    "count": lambda f: m.Count(
        cast("Any", f.choice("order", m.COUNT_ORDERS)), f.one("number", _from_whole), f.one("event", _from_event)
    ),
    "after": lambda f: m.After(f.one("event", _from_event), f.one("reference", _from_event), f.take("no", bool, False)),
    "within": lambda f: m.Within(
        f.one("event", _from_event),
        f.one("duration", _from_duration),
        f.one("reference", _from_event),
        f.take("no", bool, False),
    ),
    "group": _from_group,
    "points": lambda f: m.Points(
        f.all("weights", _from_weight, 1), cast("Any", f.choice("order", m.ORDERS)), f.one("number", _from_number)
    ),
    "presence": lambda f: m.Presence(_subject(f), f.take("present", bool)),
    "in": lambda f: m.OneOf(_subject(f), f.all("literals", _from_constant, 1), f.take("not", bool, False)),
    "search": lambda f: m.Search(
        _subject(f),
        cast("Any", f.choice("how", ("contains", "starts with", "ends with"))),
        f.one("literal", _from_constant),
    ),
    "compare": lambda f: m.Compare(
        _subject(f), cast("Any", f.choice("order", m.ORDERS)), f.one("literal", _from_constant)
    ),
}


def _from_constant(form: Json, place: str) -> m.Constant:
    f = _Fields(form, place)
    if "text" in form:
        constant = m.Constant("text", f.take("text", str))
    elif "boolean" in form:
        constant = m.Constant("boolean", f.take("boolean", bool))
    else:
        constant = m.Constant("number", f.one("number", _from_number))
    f.done()
    return constant


def _from_value(form: Json, place: str) -> m.Value:
    f = _Fields(form, place)
    reading = f.choice("reading", m.READINGS)
    path = f.maybe("path", _from_path)
    if (path is None) != (reading == "number"):
        raise _Misshapen(f"`{place}.path`: every reading but `number` needs a path.")
    value = m.Value(cast("Any", reading), path, f.one("event", _from_event))
    f.done()
    return value


def _from_event(form: Json, place: str) -> m.EventTerm:
    f = _Fields(form, place)
    term = m.EventTerm(m.EventName(f.take("name", str), f.take("wildcard", bool, False)), f.maybe("where", _from_node))
    f.done()
    return term


def _from_path(form: Json, place: str) -> m.Path:
    if not isinstance(form, str) or not words.PATH.match(form):
        raise _Misshapen(f"`{place}` must be a path, such as `order.total`.")
    return m.Path(tuple(a or b for a, b in words.PATH_SEGMENT.findall(form)))


def _from_number(form: Json, place: str) -> Decimal:
    if isinstance(form, str) and re.fullmatch(r"-?[0-9]{1,80}(\.[0-9]{1,80})?([eE][-+]?[0-9]{1,3})?", form):
        try:
            return Decimal(form)
        except InvalidOperation:
            pass
    raise _Misshapen(f"`{place}` must be a number, written as text.")


def _from_whole(form: Json, place: str) -> int:
    number = _from_number(form, place)
    if number < 0 or not words.within_limits(number) or number != number.to_integral_value():
        raise _Misshapen(f"`{place}` must be a whole number.")
    return int(number)


def _from_duration(form: Json, place: str) -> m.Duration:
    found = re.findall(r"([0-9]{1,38}) +(week|day|hour|minute|second)s?\b", form) if isinstance(form, str) else []
    written = " ".join(f"{count} {unit}" for count, unit in found)
    if not found or re.sub(r"s\b", "", " ".join(form.split())) != written:
        raise _Misshapen(f"`{place}` must be a duration, such as `72 hours`.")
    return m.Duration(tuple((int(count), unit) for count, unit in found))
