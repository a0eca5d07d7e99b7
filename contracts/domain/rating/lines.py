"""Charges become usage lines: what a price comes to in the period is rounded once and split over its lines."""

from collections.abc import Hashable, Iterable, Sequence

from contracts.domain import money
from contracts.domain.rating.choosing import choose
from contracts.domain.rating.models import MODELS
from contracts.domain.rating.types import (
    PER_UNIT,
    PERCENTAGE,
    USAGE,
    ZERO,
    Charge,
    Line,
    Part,
    Price,
    Rated,
    Step,
    Usage,
)


def rate(prices: Sequence[Price], usages: Iterable[Usage], currency: str) -> Rated:
    """Lines for what one period used under one list of prices, one per (price, dimension values), without further
    terms.

    What has no price is returned as such and charged nothing.
    """
    charges: list[Charge] = []
    unpriced: list[Usage] = []
    for usage in usages:
        price = choose(prices, usage.condition, usage.dimensions)
        if price is None:
            unpriced.append(usage)
        else:
            charges.append(Charge(price, usage))
    lines = tuple(rate_lines(merge(charges), currency))
    return Rated(lines, tuple(unpriced), sum(line.amount_minor for line in lines))


def part_of(charge: Charge) -> Part:
    """Which line a charge belongs to."""
    return Part(charge.price.id, charge.usage.dimensions, charge.version)


def merge(charges: Iterable[Charge]) -> list[Charge]:
    """Charges of the same price, contract version and dimension values as one, in order of first appearance."""
    merged: dict[tuple[Part, bool], Charge] = {}
    for charge in charges:
        key = (part_of(charge), charge.price.trial)
        seen = merged.get(key)
        merged[key] = charge if seen is None else Charge(seen.price, _together(seen.usage, charge.usage), seen.version)
    return list(merged.values())


def _together(first: Usage, second: Usage) -> Usage:
    add = money.EXACT.add
    charged = [one.charged for one in (first, second) if one.charged is not None]
    return Usage(
        first.condition,
        first.dimensions,
        add(first.quantity, second.quantity),
        first.outcomes + second.outcomes,
        first.voided + second.voided,
        value=add(first.value, second.value),
        included=add(first.included, second.included),
        # Half of a line worked out one by one is as good as nothing: the model refuses it.
        charged=add(*charged) if len(charged) == 2 else None,
    )


def rate_lines(charges: Sequence[Charge], currency: str) -> list[Line]:
    """The charges of one period as lines, in the order given, which changes no amount.

    Raises ValueError for a model that does not exist or a price that lacks what its model needs, OverflowError for an
    amount that cannot be booked.
    """
    by_price: dict[tuple[Hashable, bool], list[int]] = {}
    for index, charge in enumerate(charges):
        by_price.setdefault((charge.price.id, charge.price.trial), []).append(index)
    rated: dict[int, Line] = {}
    for (_, trial), indexes in by_price.items():
        # The odd unit of a split goes by this order and not by that of the lines.
        indexes.sort(key=lambda index: _place(charges[index]))
        group = [charges[index] for index in indexes]
        lines = [_uncharged(charge) for charge in group] if trial else _lines_of(group, currency)
        rated.update(zip(indexes, lines, strict=True))
    return [rated[index] for index in range(len(charges))]


def _place(charge: Charge) -> tuple[str, str, str]:
    usage = charge.usage
    return repr(charge.version), repr(usage.dimensions), repr((usage.quantity, usage.value, usage.charged))


def _uncharged(charge: Charge) -> Line:
    """In a trial: how much it was, and nothing to pay."""
    quantity = charge.usage.quantity
    return _line(charge, 0, (Step(quantity, ZERO, ZERO),))


def _lines_of(charges: Sequence[Charge], currency: str) -> list[Line]:
    price = charges[0].price
    usages = [charge.usage for charge in charges]
    try:
        model = MODELS[price.model]
    except KeyError:
        raise ValueError(f"price {price.id} has the unknown model {price.model!r}") from None
    amount = model(price, usages)
    price_minor = money.to_minor(amount.exact, currency)
    if len(charges) == 1:
        return [_line(charges[0], price_minor, amount.steps)]
    parts = money.split(price_minor, amount.weights) if price_minor else [0] * len(charges)
    steps = [model(price, [usage]).steps for usage in usages] if is_linear(price) else [amount.steps] * len(charges)
    return [
        _line(charge, part, its, shared=not is_linear(price), price_minor=price_minor)
        for charge, part, its in zip(charges, parts, steps, strict=True)
    ]


def is_linear(price: Price) -> bool:
    """Whether each line has arithmetic of its own: nothing counts over several lines but the rounding."""
    return price.model in (PER_UNIT, PERCENTAGE) and not price.tiers and not price.included


def _line(
    charge: Charge, amount_minor: int, steps: tuple[Step, ...], *, shared: bool = False, price_minor: int | None = None
) -> Line:
    return Line(
        USAGE,
        amount_minor,
        price=charge.price,
        usage=charge.usage,
        version=charge.version,
        steps=steps,
        shared=shared,
        price_minor=amount_minor if price_minor is None else price_minor,
    )
