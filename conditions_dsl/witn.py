"""Imports the flat JSON list that witn calls a billable condition.

Each leaf is `{"fact": EVENT, "operator": OP, "value": V}`; the list is true when every leaf is. The 16 operators:

- `seen`, `not seen`: the event has, has not occurred;
- `count_gte|lte|gt|lt|eq`: how often, against a whole number;
- `match`, `gte|lte|gt|lt`: `properties.value` of the latest such event, against a literal;
- `not gte|lte|gt|lt`: exactly the negations of these, so true when there is no such event or value.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, cast

from conditions_dsl import model as m
from conditions_dsl import printer
from conditions_dsl.errors import ConditionError, Diagnostic
from conditions_dsl.parser import parse
from conditions_dsl.values import number_of

_COUNTS: Final[dict[str, m.CountOrder]] = {
    "count_gte": "at least",
    "count_lte": "at most",
    "count_gt": "more than",
    "count_lt": "fewer than",
    "count_eq": "exactly",
}
_ORDERS: Final[dict[str, m.Order]] = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<"}
OPERATORS: Final = ("seen", "not seen", *_COUNTS, "match", *_ORDERS, *(f"not {name}" for name in _ORDERS))
_VALUE: Final = m.Path(("properties", "value"))


def from_witn(
    leaves: list[dict[str, Any]], *, slug: str = "imported_outcome", title: str | None = None, per: str = "key"
) -> m.Condition:
    """The condition of a flat list: `bill when` all leaves, per `key` as witn has it, and its settlement of 72 h of
    silence.

    Raises `ConditionError` for a leaf that is none of the 16, and for a list that is true of silence.
    """
    if not isinstance(leaves, list) or not leaves:
        raise _refused("The list of leaves is empty or no list.")
    nodes = tuple(_leaf(leaf, index) for index, leaf in enumerate(leaves))
    condition = m.Condition(
        slug,
        title,
        ((m.Path(tuple(per.split("."))),),),
        nodes[0] if len(nodes) == 1 else m.And(nodes),
        settle=m.Settlement("silence", m.Duration(((72, "hour"),))),
    )
    return parse(printer.format(condition))


def _leaf(leaf: Any, index: int) -> m.Node:
    if (
        not isinstance(leaf, dict)
        or not isinstance(leaf.get("fact"), str)
        or leaf.keys() - {"fact", "operator", "value"}
    ):
        raise _refused(f"Leaf {index} must be an object with `fact`, `operator` and, where it compares, `value`.")
    operator = leaf.get("operator")
    if operator not in OPERATORS:
        raise _refused(f"Leaf {index} has the operator {operator!r}; known are {', '.join(OPERATORS)}.")
    event = m.EventTerm(m.EventName(leaf["fact"]))
    if operator in ("seen", "not seen"):
        return m.Seen(event, no=operator == "not seen")
    constant = _constant(leaf.get("value"), index)
    if operator in _COUNTS:
        number = constant.value
        if not isinstance(number, Decimal) or number < 0 or number != number.to_integral_value():
            raise _refused(f"Leaf {index}: `{operator}` counts, so its `value` must be a whole number.")
        return m.Count(_COUNTS[operator], int(number), event)
    if operator != "match" and constant.kind != "number":
        raise _refused(f"Leaf {index}: `{operator}` compares, so its `value` must be a number.")
    value = m.Value("latest", _VALUE, event)
    test = m.Compare(value, _ORDERS.get(cast("str", operator).removeprefix("not "), "is"), constant)
    return m.Not(test) if cast("str", operator).startswith("not ") else test


def _constant(value: Any, index: int) -> m.Constant:
    if isinstance(value, str):
        return m.Constant("text", value)
    if isinstance(value, bool):
        return m.Constant("boolean", value)
    number = number_of(value)
    if number is None:
        raise _refused(f"Leaf {index} needs a `value`: a text, a boolean or a number of at most 38 digits.")
    return m.Constant("number", Decimal(number))


def _refused(message: str) -> ConditionError:
    return ConditionError("", (Diagnostic("error", 1, 1, message),))
