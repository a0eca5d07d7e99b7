"""The condition in plain English: the footnote of an invoice, for a reader who knows nothing of the language."""

from __future__ import annotations

from decimal import Decimal

from conditions_dsl import model as m
from conditions_dsl import printer

_ORDERS: dict[m.Order, str] = {
    "is": "is",
    "is not": "is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
}
_READINGS: dict[m.Reading, str] = {
    "latest": "the latest {path} of {event}",
    "first": "the first {path} of {event}",
    "highest": "the highest {path} of all {event}",
    "lowest": "the lowest {path} of all {event}",
    "total": "the total {path} of all {event}",
    "average": "the average {path} of all {event}",
    "number": "the number of {event}",
    "distinct": "the number of different {path} values of {event}",
}


def describe(condition: m.Condition) -> str:
    """What is billed, when it becomes final and when it is given back: one sentence for each clause."""
    per = " and ".join(" or ".join(path(p) for p in alternatives) for alternatives in condition.keys)
    again = "" if condition.repeat is not None else " at most once"
    out = [f"“{m.title_of(condition)}” is charged{again} for each {per}, when {say(condition.bill)}."]
    out += [f"It is not charged after all when, before it is final, {say(node)}." for node in condition.voids]
    out += [
        f"The charge is given back when, within {printer.duration(c.within)} after it became final, {say(c.when)}."
        for c in condition.credits
    ]
    out.append(_final(condition.settle))
    if condition.early is not None:
        out.append(f"It becomes final at once when {say(condition.early)}.")
    if condition.expire is not None:
        out.append(
            f"If nothing happens for {printer.duration(condition.expire)} while this does not hold, nothing is charged."
        )
    if condition.repeat is not None:
        out.append(f"It can be charged again for the same {per} once, after it became final, {say(condition.repeat)}.")
    if isinstance(condition.quantity, m.Value):
        out.append(f"It counts as many units as {value(condition.quantity)}.")
    elif condition.quantity is not None:
        units = printer.number(condition.quantity)
        out.append(f"It counts {units} {'unit' if condition.quantity == 1 else 'units'}.")
    if condition.amount is not None:
        out.append(f"Its worth, for prices in percent, is {value(condition.amount)}.")
    out += [_dimension(dimension) for dimension in condition.dimensions]
    return " ".join(out)


def _final(settle: m.Settlement | None) -> str:
    if settle is None:
        return "The charge becomes final 72 hours after this is reached."
    window = "" if settle.window is None else printer.duration(settle.window)
    if settle.value is not None:
        moment = f"{window} after the time given by" if window else "at the time given by"
        return f"The charge becomes final {moment} {value(settle.value)}."
    match settle.kind:
        case "after":
            return f"The charge becomes final {window} after this is reached."
        case "silence":
            end = "180 days" if settle.at_most is None else printer.duration(settle.at_most)
            return (
                f"The charge becomes final when nothing more has happened for {window}, and at the latest {end} after "
                "this is reached."
            )
        case _:
            return "The charge is final at once."


def _dimension(dimension: m.Dimension) -> str:
    name = dimension.name.replace("_", " ")
    if isinstance(dimension.value, m.Value):
        return f"Its {name} is {value(dimension.value)}."
    choices = ", ".join(f"“{label}” if {say(node)}" for label, node in dimension.value.choices)
    return f"Its {name} is {choices}, otherwise “{dimension.value.otherwise}”."


def say(node: m.Node) -> str:
    """A condition as a clause of a sentence."""
    match node:
        case m.And():
            return " and ".join(_inner(member, m.Or) for member in node.members)
        case m.Or():
            return "either " + " or ".join(_inner(member, m.And) for member in node.members)
        case m.Not():
            return f"it is not so that {_inner(node.member, m.And | m.Or)}"
        case m.Seen():
            when = " at any time" if node.ever else ""
            return f"{'no ' if node.no else ''}{event(node.event)} has happened{when}"
        case m.Count():
            times = "once" if node.number == 1 else f"{node.number} times"
            return f"{event(node.event)} has happened {node.order} {times}"
        case m.After():
            came = f"{event(node.event)} came after the latest {event(node.reference)}"
            return f"no {came}" if node.no else f"the latest {came}"
        case m.Within():
            came = f"{event(node.event)} came within {printer.duration(node.duration)} of {event(node.reference)}"
            return f"no {came}" if node.no else came
        case m.Group():
            kind = {"any": "at least one", "all": "every one", "none": "none"}.get(node.kind, f"at least {node.number}")
            return f"{kind} of these holds: ({'; '.join(say(member) for member in node.members)})"
        case m.Points():
            weights = "; ".join(f"{printer.number(weight)} if {say(member)}" for weight, member in node.weights)
            return f"the sum of points ({weights}) {_ORDERS[node.order]} {printer.number(node.number)}"
        case _:
            subject = path(node.subject) if isinstance(node.subject, m.Path) else value(node.subject)
            return f"{subject} {_comparison(node)}"


def _inner(node: m.Node, loose: object) -> str:
    return f"({say(node)})" if isinstance(node, loose) else say(node)  # type: ignore[arg-type]


def _comparison(test: m.Test) -> str:
    match test:
        case m.Presence():
            return "is known" if test.present else "is not known"
        case m.OneOf():
            texts = [_constant(constant) for constant in test.constants]
            listed = texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"
            return f"is {'not ' if test.negated else ''}{listed}"
        case m.Search():
            return f"{test.how} {_constant(test.constant)}"
        case _:
            return f"{_ORDERS[test.order]} {_constant(test.constant)}"


def _constant(constant: m.Constant) -> str:
    if isinstance(constant.value, str):
        return f"“{constant.value}”"
    if isinstance(constant.value, bool):
        return "true" if constant.value else "false"
    return printer.number(Decimal(constant.value))


def value(reading: m.Value) -> str:
    """A VALUE as words: 'the latest score of csat.rated'."""
    where = "" if reading.path is None else path(reading.path)
    return _READINGS[reading.reading].format(path=where, event=event(reading.event))


def path(p: m.Path) -> str:
    """A path without the backticks that only the grammar needs."""
    return printer.path(p).replace("`", "")


def event(term: m.EventTerm) -> str:
    """An event as words, with its filter: 'ticket.closed (with closed_by is “agent”)'."""
    name = f"{term.name.text}*" if term.name.wildcard else term.name.text
    return name if term.where is None else f"{name} (where {say(term.where)})"
