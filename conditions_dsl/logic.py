"""What can be said of a condition before any event: that a part can never be true, or is true always.

The reasoning is modest and never wrong: tests of one and the same value (or count of events) are tried on sample
values that stand for all there are; what joins different values is not reasoned about. So "never" is proven and
silence proves nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from conditions_dsl import model as m
from conditions_dsl import values as v

_Claim = tuple[object, Callable[[Any], bool], tuple[Any, ...]]  # about what, the test, samples worth trying
# A list stands for every value that is neither text, number nor boolean.
_OTHERS: Final[tuple[Any, ...]] = (None, "", [], True, False, 0)


def never(node: m.Node) -> bool:
    """Whether the condition (or filter) is proven false whatever happens."""
    match node:
        case m.And():
            return any(never(member) for member in node.members) or contradictory([(n, False) for n in node.members])
        case m.Or():
            return all(never(member) for member in node.members)
        case m.Not():
            return always(node.member)
        case m.Group():
            if node.kind == "none":
                return any(always(member) for member in node.members)
            needed = {"any": 1, "all": len(node.members)}.get(node.kind, node.number or 0)
            if node.kind == "all" and contradictory([(n, False) for n in node.members]):
                return True
            return sum(not never(member) for member in node.members) < needed
        case m.Points():
            return not any(v.compare(total, node.order, node.number) for total in _totals(node))
        case _:
            return contradictory([(node, False)])


def always(node: m.Node) -> bool:
    """Whether the condition (or filter) is proven true whatever happens."""
    match node:
        case m.And():
            return all(always(member) for member in node.members)
        case m.Or():
            return any(always(member) for member in node.members) or contradictory([(n, True) for n in node.members])
        case m.Not():
            return never(node.member)
        case m.Group():
            if node.kind == "none":
                return all(never(member) for member in node.members)
            needed = {"any": 1, "all": len(node.members)}.get(node.kind, node.number or 0)
            return sum(always(member) for member in node.members) >= needed
        case m.Points():
            return all(v.compare(total, node.order, node.number) for total in _totals(node))
        case _:
            return contradictory([(node, True)])


def contradictory(facts: Iterable[tuple[m.Node, bool]]) -> bool:
    """Whether some of these, each negated where its flag says so, cannot hold together."""
    about: dict[object, list[_Claim]] = {}
    for node, negated in facts:
        for claim in _claims(node, negated):
            about.setdefault(claim[0], []).append(claim)
    return any(not _satisfiable(claims) for claims in about.values())


def _satisfiable(claims: list[_Claim]) -> bool:
    samples = [sample for _, _, tried in claims for sample in tried]
    numbers = sorted({sample for sample in samples if isinstance(sample, Decimal)})
    samples += [v.EXACT.divide(v.EXACT.add(a, b), Decimal(2)) for a, b in itertools.pairwise(numbers)]
    return any(all(test(sample) for _, test, _ in claims) for sample in samples)


def _claims(node: m.Node, negated: bool) -> list[_Claim]:
    """What a part says of one value or count each; nothing where it joins several."""
    match node:
        case m.Not():
            return _claims(node.member, not negated)
        case m.And() if not negated:
            return [claim for member in node.members for claim in _claims(member, False)]
        case m.Or() if negated:
            return [claim for member in node.members for claim in _claims(member, True)]
        case m.Seen():
            no = node.no is not negated
            claims = [_count_claim(node.event, node.ever, "is" if no else ">", 0)]
            if not no and not node.ever:  # what has occurred in this attempt has occurred in the history
                claims.append(_count_claim(node.event, True, ">", 0))
            return claims
        case m.Count():
            return [_count_claim(node.event, False, m.ORDER_OF_COUNT[node.order], node.number, negated)]
        case m.After() | m.Within():
            no = node.no is not negated
            key = (type(node).__name__, node.event, node.reference, getattr(node, "duration", None))
            return [(key, (lambda held: not held) if no else (lambda held: held), (True, False))] + (
                [] if no else [_count_claim(term, False, ">", 0) for term in (node.event, node.reference)]
            )
        case m.Compare() | m.OneOf() | m.Search() | m.Presence():
            return [_test_claim(node, negated)]
        case _:
            return []


def _count_claim(event: m.EventTerm, ever: bool, order: m.Order, number: int, negated: bool = False) -> _Claim:
    samples = tuple(n for n in (0, number - 1, number, number + 1) if n >= 0)
    return ("count", event, ever), lambda n: v.compare(n, order, number) is not negated, samples


def _test_claim(node: m.Test, negated: bool) -> _Claim:
    subject = node.subject
    constants = _constants(node)
    if isinstance(subject, m.Value) and subject.reading in ("number", "distinct"):
        number_test = v.decimal_test(node)
        numbers = [int(c) for c in constants if isinstance(c, Decimal)]
        counts = tuple(n for c in [0, *numbers] for n in (c - 1, c, c + 1) if n >= 0)
        key: object = ("count", subject.event, False) if subject.reading == "number" else subject
        return key, lambda n: number_test(n) is not negated, counts
    if isinstance(node, m.Search):
        # A list can contain anything, and texts that begin so and end so always exist.
        return ("search", node, negated), lambda _: True, (None,)
    test = v.test_of(node)
    computed = isinstance(subject, m.Value) and subject.reading not in ("latest", "first")
    samples = tuple(_around(constants)) + ((None, 0) if computed else _OTHERS)
    if computed:
        samples = tuple(s for s in samples if s is None or (not isinstance(s, str | bool | list)))
    return subject, lambda value: test(value) is not negated, samples


def _constants(node: m.Test) -> list[Any]:
    match node:
        case m.OneOf():
            return [c.value for c in node.constants]
        case m.Compare():
            return [node.constant.value]
        case _:
            return []


def _around(constants: list[Any]) -> Iterable[Any]:
    """Each constant and neighbours on both sides; the gaps between numbers are filled by `_satisfiable`."""
    for constant in constants:
        yield constant
        if isinstance(constant, Decimal):
            yield from (v.EXACT.add(constant, step) for step in (1, -1))
        elif isinstance(constant, str):
            yield from (constant + "\x00", constant[:-1], constant[:-1] + chr(max(0, ord(constant[-1:] or "\x01") - 1)))


def _totals(node: m.Points) -> tuple[Decimal, ...]:
    """Sample totals: the least and the most there can be, and each weight's worth; for few weights all of them."""
    live = [(weight, member) for weight, member in node.weights if not never(member)]
    totals = {Decimal(0)}
    for weight, member in live:
        added = {v.EXACT.add(total, weight) for total in totals}
        totals = added if always(member) else totals | added
        if len(totals) > 256:
            return (node.number, v.EXACT.add(node.number, 1), v.EXACT.subtract(node.number, 1))
    return tuple(totals)
