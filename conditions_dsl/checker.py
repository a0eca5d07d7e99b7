"""What is wrong with a condition, and what is legal but probably not meant."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterator

from conditions_dsl import logic, printer
from conditions_dsl import model as m
from conditions_dsl.errors import ConditionError, Diagnostic, Edit, apply_edits, line_and_column
from conditions_dsl.parser import parse
from conditions_dsl.silence import true_of_silence

_Finding = tuple[int, str] | tuple[int, str, Edit]
# How many pairs are tried to name the two that exclude each other: a courtesy, that must stay cheap.
_MOST_PAIRS = 500
# How many known event names are looked through for the nearest one.
_MOST_COMPARED = 5_000


def check(condition: m.Condition | str, known_events: Collection[str] | None = None) -> list[Diagnostic]:
    """Every finding on a condition or its text, errors first, then warnings in the order of the text.

    `known_events` are the event types ever seen for this seller: a name that matches none of them is warned of. Places
    are those in the text the condition was parsed from, or else in its canonical text. Raises nothing.
    """
    try:
        if isinstance(condition, str):
            condition = parse(condition)
        elif condition.source is None:
            condition = parse(printer.format(condition))
    except ConditionError as error:
        return list(error.diagnostics)
    text = condition.source or ""
    findings = sorted(_warnings(condition, known_events), key=lambda finding: finding[0])
    out = []
    for at, message, *edits in dict.fromkeys(findings):
        fix = apply_edits(text, tuple(edits)) if edits else None
        out.append(Diagnostic("warning", *line_and_column(text, at), message, fix))
    return out


def _warnings(condition: m.Condition, known_events: Collection[str] | None) -> Iterator[_Finding]:
    yield from _never_true(condition)
    yield from _true_of_silence(condition)
    yield from _windows(condition)
    yield from _repeats(condition)
    yield from _values(condition)
    yield from _choices(condition)
    if known_events is not None:
        yield from _unseen(condition, known_events)


def _never_true(condition: m.Condition) -> Iterator[_Finding]:
    what = {
        "bill when": "This can never be true: no outcome would ever be billed.",
        "void when": "This can never be true, so the clause can never matter.",
        "credit": "This can never be true, so the clause can never matter.",
        "settle early when": "This can never be true, so the clause can never matter.",
        "repeat when": "This can never be true, so the clause can never matter.",
        "dimension": "This can never be true, so the choice can never be taken.",
    }
    for clause, root in m.conditions_of(condition):
        if logic.never(root):
            yield root.at, f"{what[clause]} {_contradiction(root)}".rstrip()
            continue
        stack = list(m.children(root))
        while stack:
            node = stack.pop()
            if logic.never(node):
                yield node.at, f"This part can never be true. {_contradiction(node)}".rstrip()
            else:
                stack.extend(m.children(node))
    for term in m.event_terms(condition):
        if term.where is not None and logic.never(term.where):
            yield term.at, f"No event can pass this filter. {_contradiction(term.where)}".rstrip()


def _contradiction(node: m.Node) -> str:
    """Names two members of an `and` that exclude each other."""
    if isinstance(node, m.And):
        for one, other in itertools.islice(itertools.combinations(node.members, 2), _MOST_PAIRS):
            if logic.contradictory([(one, False), (other, False)]):
                return f"`{_clip(printer.node(one))}` and `{_clip(printer.node(other))}` exclude each other."
    return ""


def _clip(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"


def _true_of_silence(condition: m.Condition) -> Iterator[_Finding]:
    before = "This is true before anything has happened"
    told = {
        "void when": f"{before}: the first event after the outcome was met would void it.",
        "credit": f"{before}: the first event after settlement would give the charge back.",
        "settle early when": f"{before}: every outcome would settle as soon as it is met.",
        "repeat when": f"{before}: any next event would open the subject again.",
    }
    for clause, root in m.conditions_of(condition):
        if clause in told and true_of_silence(root) and not logic.never(root):
            yield root.at, told[clause]


def _windows(condition: m.Condition) -> Iterator[_Finding]:
    settle = condition.settle
    at_once = settle is not None and settle.kind == "immediately"
    if at_once:
        for node in condition.voids:
            yield (
                node.at,
                (
                    "The outcome settles as soon as it is met, so its window contains no event and this "
                    "`void when` can never matter. Use `credit within …` to give a settled charge back."
                ),
            )
        if condition.early is not None:
            yield condition.early.at, "The outcome settles as soon as it is met: `settle early` can never matter."
    if condition.credits and not condition.voids and not at_once:
        yield (
            dict(condition.places).get("credits", 0),
            (
                "There is a `credit` and no `void when`: what happens before settlement takes nothing back. Most often "
                "the same event should do both."
            ),
        )
    if settle is not None and settle.window is not None and settle.at_most is not None:
        at_most = settle.at_most
        if at_most.microseconds < settle.window.microseconds:
            yield at_most.at, "This end comes before the silence can be over: it alone would settle the outcome."


def _repeats(condition: m.Condition) -> Iterator[_Finding]:
    if condition.repeat is None:
        return
    billing = list(_bringing(condition.bill, True))
    for term in _bringing(condition.repeat, True):
        if any(_overlap(term, other) for other in billing):
            yield (
                term.at,
                (
                    f"`{_clip(printer.event(term))}` can make `repeat` true and meet `bill when` too. The event that "
                    "opens the subject again is used up by that, so only every second one would bill."
                ),
            )


def _bringing(node: m.Node, wanted: bool) -> Iterator[m.EventTerm]:
    """The events whose coming can make the condition true (or false, where not `wanted`)."""
    match node:
        case m.Not():
            yield from _bringing(node.member, not wanted)
        case m.Group(kind="none"):
            for member in node.members:
                yield from _bringing(member, not wanted)
        case m.Seen() | m.After() | m.Within():
            if node.no is not wanted:
                yield node.event
        case m.Count():
            if wanted and node.order in ("at least", "more than", "exactly") and node.number > 0:
                yield node.event
        case m.Compare() | m.OneOf() | m.Search() | m.Presence():
            if isinstance(node.subject, m.Value):
                yield node.subject.event
        case _:
            for member in m.children(node):
                yield from _bringing(member, wanted)


def _overlap(one: m.EventTerm, other: m.EventTerm) -> bool:
    """Whether one event could be both."""
    a, b = one.name, other.name
    if a.wildcard and b.wildcard:
        same = a.text.startswith(b.text) or b.text.startswith(a.text)
    else:
        same = a.matches(b.text) if a.wildcard else b.matches(a.text)
    filters = [(term.where, False) for term in (one, other) if term.where is not None]
    return same and not logic.contradictory(filters)


def _values(condition: m.Condition) -> Iterator[_Finding]:
    settle = condition.settle
    if settle is not None and settle.value is not None and settle.value.reading not in ("latest", "first"):
        yield (
            settle.value.at,
            (
                f"`{settle.value.reading}` gives a number, and a number is no time: the outcome would wait for one for "
                "ever. Use `latest` or `first`."
            ),
        )
    if condition.quantity is not None and not isinstance(condition.quantity, m.Value) and condition.quantity == 0:
        yield dict(condition.places).get("quantity", 0), "Every outcome would be billed with a quantity of 0."


def _choices(condition: m.Condition) -> Iterator[_Finding]:
    for dimension in condition.dimensions:
        if not isinstance(dimension.value, m.Graded):
            continue
        over = False
        for _, node in dimension.value.choices:
            if over:
                yield node.at, "The choice before is always taken, so this one can never matter."
            over = over or logic.always(node)
    for root in m.conditions_of(condition):
        stack = [root[1]]
        while stack:
            node = stack.pop()
            stack.extend(m.children(node))
            if isinstance(node, m.And | m.Or):
                seen: set[m.Node] = set()
                for member in node.members:
                    if member in seen:
                        yield (
                            member.at,
                            f"`{_clip(printer.node(member))}` stands here twice; the second can never matter.",
                        )
                    seen.add(member)


def _unseen(condition: m.Condition, known_events: Collection[str]) -> Iterator[_Finding]:
    known = frozenset(known_events)
    told: set[m.EventName] = set()
    for term in m.event_terms(condition):
        name = term.name
        seen = any(map(name.matches, known)) if name.wildcard else name.text in known
        if seen or name in told:
            continue
        told.add(name)
        written = printer.event_name(name)
        near = difflib.get_close_matches(name.text.rstrip(".:/"), sorted(known)[:_MOST_COMPARED], 1, 0.6)
        if near and not name.wildcard:
            fix = printer.event_name(m.EventName(near[0]))
            length = len(_written(condition.source or "", name))
            yield (
                name.at,
                f"No event `{written}` has ever been seen. Is `{fix}` meant?",
                Edit(name.at, name.at + length, fix),
            )
        elif near:
            yield name.at, f"No event that matches `{written}` has ever been seen; the nearest is `{near[0]}`."
        else:
            yield name.at, f"No event `{written}` has ever been seen."


def _written(source: str, name: m.EventName) -> str:
    """The name as it stands in the text, with its quotes."""
    if not source.startswith('"', name.at):
        return name.text
    end = name.at + 1
    while end < len(source) and source[end] != '"':
        end += 2 if source[end] == "\\" else 1
    return source[name.at : end + 1]
