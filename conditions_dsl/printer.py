"""The canonical text of a condition: `parse(format(c)) == c`, and formatting what was formatted changes nothing."""

from __future__ import annotations

import json
from decimal import Decimal

from conditions_dsl import model as m
from conditions_dsl import words

_WIDTH = 100


def format(condition: m.Condition) -> str:
    """The condition in canonical form: clauses in a fixed order, in three groups; ends with a newline."""
    head = f"outcome {condition.slug}"
    if condition.title is not None:
        head += f" {text(condition.title)}"
    keys = ", ".join(" or ".join(path(p) for p in alternatives) for alternatives in condition.keys)
    out = [head, f"per {keys}", "", _clause("bill when ", condition.bill)]
    out += [_clause("void when ", node) for node in condition.voids]
    out += [_clause(f"credit within {duration(c.within)} when ", c.when) for c in condition.credits]
    if condition.settle is not None:
        out.append(f"settle {settlement(condition.settle)}")
    if condition.early is not None:
        out.append(_clause("settle early when ", condition.early))
    if condition.expire is not None:
        out.append(f"expire after {duration(condition.expire)} of silence")
    if condition.repeat is not None:
        out.append(_clause("repeat when ", condition.repeat))
    rest = []
    if condition.quantity is not None:
        q = condition.quantity
        rest.append(f"quantity {number(q) if isinstance(q, Decimal) else value(q)}")
    if condition.amount is not None:
        rest.append(f"amount {value(condition.amount)}")
    rest += [dimension(d) for d in condition.dimensions]
    if rest:
        out += ["", *rest]
    return "\n".join(out) + "\n"


def _clause(head: str, root: m.Node) -> str:
    return head + _fit(root, len(head))


def _fit(root: m.Node, column: int) -> str:
    """The node as written from a column on: on one line where it fits, else one line for each member."""
    flat = node(root)
    if column + len(flat) <= _WIDTH:
        return flat
    match root:
        case m.And() | m.Or():
            word = "and" if isinstance(root, m.And) else "or"
            margin = "\n" + " " * max(0, column - len(word) - 1) + f"{word} "
            start = max(column, len(word) + 1)
            return margin.join(_inner(member, start) for member in root.members)
        case m.Group():
            head = f"{_group_kind(root)} of ("
            return (
                head + _listed([_fit(member, column + len(head)) for member in root.members], column + len(head)) + ")"
            )
        case m.Points():
            start = column + len("points (")
            weights = [(f"{number(weight)} if ", member) for weight, member in root.weights]
            listed = _listed([label + _fit(member, start + len(label)) for label, member in weights], start)
            return f"points ({listed}) {root.order} {number(root.number)}"
        case _:
            return flat


def _listed(members: list[str], column: int) -> str:
    return (",\n" + " " * column).join(members)


def dimension(dimension: m.Dimension) -> str:
    if isinstance(dimension.value, m.Value):
        return f"dimension {dimension.name} = {value(dimension.value)}"
    choices = " ".join(f"{text(label)} if {node(when)} else" for label, when in dimension.value.choices)
    return f"dimension {dimension.name} = {choices} {text(dimension.value.otherwise)}"


def settlement(settle: m.Settlement) -> str:
    """What follows the word `settle`."""
    window = "" if settle.window is None else duration(settle.window)
    if settle.value is not None:
        return f"{window} after {value(settle.value)}" if window else f"at {value(settle.value)}"
    match settle.kind:
        case "after":
            return f"after {window}"
        case "silence":
            end = "" if settle.at_most is None else f", at most {duration(settle.at_most)}"
            return f"after {window} of silence{end}"
        case _:
            return "immediately"


def node(root: m.Node) -> str:
    """A condition or filter in canonical form, without outer parentheses."""
    match root:
        case m.And():
            return " and ".join(_inner(member) for member in root.members)
        case m.Or():
            return " or ".join(_inner(member) for member in root.members)
        case m.Not():
            return f"not {_inner(root.member)}"
        case m.Seen():
            return f"{_no(root.no)}{event(root.event)}{' ever' if root.ever else ''}"
        case m.Count():
            return f"{root.order} {root.number} {event(root.event)}"
        case m.After():
            return f"{_no(root.no)}{event(root.event)} after {event(root.reference)}"
        case m.Within():
            return f"{_no(root.no)}{event(root.event)} within {duration(root.duration)} of {event(root.reference)}"
        case m.Group():
            return f"{_group_kind(root)} of ({', '.join(node(member) for member in root.members)})"
        case m.Points():
            weights = ", ".join(f"{number(weight)} if {node(member)}" for weight, member in root.weights)
            return f"points ({weights}) {root.order} {number(root.number)}"
        case _:
            return f"{_subject(root.subject)} {comparison(root)}"


def _inner(member: m.Node, column: int | None = None) -> str:
    """A member of `and`, `or` or `not`: what is joined itself stands in parentheses, for the reader's sake also where
    the grammar would not need them."""
    joined = isinstance(member, m.Or | m.And)
    shown = node(member) if column is None else _fit(member, column + joined)
    return f"({shown})" if joined else shown


def _group_kind(group: m.Group) -> str:
    return f"at least {group.number}" if group.kind == "at least" else group.kind


def _no(no: bool) -> str:
    return "no " if no else ""


def _subject(subject: m.Path | m.Value) -> str:
    return path(subject) if isinstance(subject, m.Path) else value(subject)


def comparison(test: m.Test) -> str:
    """What follows the subject of a test."""
    match test:
        case m.Presence():
            return "is present" if test.present else "is missing"
        case m.OneOf():
            return f"{'not ' if test.negated else ''}in ({', '.join(constant(c) for c in test.constants)})"
        case m.Search():
            return f"{test.how} {constant(test.constant)}"
        case _:
            return f"{test.order} {constant(test.constant)}"


def value(reading: m.Value) -> str:
    """A VALUE: `latest score of csat.rated`."""
    if reading.path is None:
        return f"number of {event(reading.event)}"
    word = "number of distinct" if reading.reading == "distinct" else reading.reading
    return f"{word} {path(reading.path)} of {event(reading.event)}"


def event(term: m.EventTerm) -> str:
    """An event with its filter; parentheses where the filter has more than one test."""
    if term.where is None:
        return event_name(term.name)
    where = node(term.where)
    return f"{event_name(term.name)} where {f'({where})' if isinstance(term.where, m.And | m.Or) else where}"


def event_name(name: m.EventName) -> str:
    if name.wildcard:
        return f"{name.text}*"
    plain = words.EVENT_NAME.match(name.text) and not words.is_keyword(name.text)
    return name.text if plain else text(name.text)


def path(p: m.Path) -> str:
    """A path. A segment that is a keyword, or not plain, stands in backticks."""
    return ".".join(
        segment if words.PLAIN_SEGMENT.match(segment) and segment not in words.KEYWORDS else f"`{segment}`"
        for segment in p.segments
    )


def constant(literal: m.Constant) -> str:
    if isinstance(literal.value, str):
        return text(literal.value)
    if isinstance(literal.value, bool):
        return "true" if literal.value else "false"
    return number(literal.value)


def text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def number(value: Decimal) -> str:
    """In plain notation, or with an exponent where plain digits would be more than the language takes."""
    shown = words.plain(value)
    if words.within_limits(Decimal(shown)):
        return shown
    sign, digits, exponent = value.as_tuple()
    return f"{'-' if sign else ''}{''.join(map(str, digits))}e{exponent}"


def duration(d: m.Duration) -> str:
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in d.parts)
