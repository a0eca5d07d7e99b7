"""Whether a condition holds before anything has happened.

A `bill when` that is true of silence would bill every subject there is, so the parser refuses it. For the other
clauses the checker warns.
"""

from __future__ import annotations

from decimal import Decimal

from conditions_dsl import model as m
from conditions_dsl.errors import Problem
from conditions_dsl.values import MISSING, compare, decimal_test, test_of


def true_of_silence(node: m.Node) -> bool:
    """The verdict over no event at all. Recursive: the nesting is bounded where the tree is made."""
    match node:
        case m.And():
            return all(true_of_silence(member) for member in node.members)
        case m.Or():
            return any(true_of_silence(member) for member in node.members)
        case m.Not():
            return not true_of_silence(node.member)
        case m.Seen() | m.After() | m.Within():
            return node.no
        case m.Count():
            return compare(0, m.ORDER_OF_COUNT[node.order], Decimal(node.number))
        case m.Group():
            held = sum(true_of_silence(member) for member in node.members)
            return group_holds(node, held)
        case m.Points():
            points = sum((weight for weight, member in node.weights if true_of_silence(member)), Decimal(0))
            return compare(points, node.order, node.number)
        case _:
            counts = isinstance(node.subject, m.Value) and node.subject.reading in ("number", "distinct")
            return decimal_test(node)(Decimal(0)) if counts else test_of(node)(MISSING)


def group_holds(group: m.Group, held: int) -> bool:
    """The verdict of a group of which `held` members are true."""
    match group.kind:
        case "any":
            return held > 0
        case "all":
            return held == len(group.members)
        case "none":
            return held == 0
        case _:
            return held >= (group.number or 0)


def refuse_silence(condition: m.Condition) -> None:
    """Raises `Problem` when `bill when` is true of silence."""
    if not true_of_silence(condition.bill):
        return
    raise Problem(
        max(0, condition.bill.at),
        "This is true before anything has happened, so every subject would be billed. `bill when` must require at "
        "least one event: add one with `and`, such as `ticket.closed and no ticket.escalated`.",
    )
