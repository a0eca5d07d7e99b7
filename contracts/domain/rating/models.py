"""The price models: what a price comes to for everything it prices in one period, exactly.

A model is one entry of `MODELS`. It sees the whole period at once, because tiers and packages count over all lines of a
price; `lines` rounds what it answers, once, and splits it over the lines (docs/pricing.md).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Final

from contracts.domain.money import EXACT, product
from contracts.domain.rating.types import (
    FREE,
    GRADUATED,
    PACKAGE,
    PER_UNIT,
    PERCENTAGE,
    VOLUME,
    ZERO,
    Price,
    Step,
    Tier,
    Usage,
)

_HUNDREDTH: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Amount:
    """What a price comes to: ``exact`` in major units, the ``steps`` that lead to it, and the ``weights`` by which it
    is split over the usages it was worked out for.
    """

    exact: Decimal
    steps: tuple[Step, ...]
    weights: tuple[Decimal, ...]


def percent_of(percent: Decimal, value: Decimal) -> Decimal:
    """So many percent of a value, exactly."""
    return EXACT.multiply(product(percent, value), _HUNDREDTH)


def total(numbers: Sequence[Decimal]) -> Decimal:
    """The exact sum."""
    result = ZERO
    for number in numbers:
        result = EXACT.add(result, number)
    return result


def units_by_tier(tiers: Sequence[Tier], quantity: Decimal) -> Iterator[tuple[Tier, Decimal]]:
    """The tiers that a quantity reaches, from the first on, with what of it lies in each. None for 0.

    Raises ValueError where the last tier ends below the quantity.
    """
    lower = ZERO
    for tier in tiers:
        if quantity <= lower:
            return
        upper = quantity if tier.up_to is None else min(tier.up_to, quantity)
        yield tier, EXACT.subtract(upper, lower)
        lower = upper
    if quantity > lower:
        raise ValueError("the last tier has no upper edge")


def tier_reached(tiers: Sequence[Tier], quantity: Decimal) -> Tier:
    """The tier in which a quantity above 0 lies; its edge belongs to it."""
    for tier in tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            return tier
    raise ValueError("the last tier has no upper edge")


def _per_unit(price: Price, usages: Sequence[Usage]) -> Amount:
    billable, steps, weights = _beyond_allowances(price, usages)
    unit_price = _needed(price, "unit_price")
    amount = product(unit_price, billable)
    return Amount(amount, (*steps, Step(billable, unit_price, amount)), weights)


def _graduated(price: Price, usages: Sequence[Usage]) -> Amount:
    billable, steps, weights = _beyond_allowances(price, usages)
    for tier, units in units_by_tier(price.tiers, billable):
        steps.extend(_tier_steps(tier, units))
    return Amount(total([step.amount for step in steps]), tuple(steps), weights)


def _volume(price: Price, usages: Sequence[Usage]) -> Amount:
    billable, steps, weights = _beyond_allowances(price, usages)
    if billable > 0:
        steps.extend(_tier_steps(tier_reached(price.tiers, billable), billable))
    return Amount(total([step.amount for step in steps]), tuple(steps), weights)


def _tier_steps(tier: Tier, units: Decimal) -> Iterator[Step]:
    yield Step(units, tier.unit_price, product(tier.unit_price, units), up_to=tier.up_to)
    if tier.flat_fee:
        yield Step(Decimal(1), tier.flat_fee, tier.flat_fee, "flat_fee", up_to=tier.up_to)


def _package(price: Price, usages: Sequence[Usage]) -> Amount:
    billable, steps, weights = _beyond_allowances(price, usages)
    unit_price, size = _needed(price, "unit_price"), _needed(price, "package_size")
    packages = packages_of(billable, size)
    amount = product(unit_price, packages)
    return Amount(amount, (*steps, Step(packages, unit_price, amount, "packages")), weights)


def packages_of(quantity: Decimal, size: Decimal) -> Decimal:
    """How many packages hold a quantity: the last one may be begun only."""
    whole, rest = _DIVIDING.divmod(quantity, size)
    return whole if rest == 0 else EXACT.add(whole, Decimal(1))


# divmod of decimals is exact: its whole part and its rest have no more digits than the context holds.
_DIVIDING: Final = Context(prec=400, traps=[InvalidOperation, Overflow, DivisionByZero])


def _percentage(price: Price, usages: Sequence[Usage]) -> Amount:
    """Of the whole value, by tiers where there are any. Where outcomes have bounds, their ``charged`` counts."""
    values = [usage.value for usage in usages]
    if any(value < 0 for value in values):
        raise ValueError(f"price {price.id}: an outcome whose amount is below zero counts as zero in a value")
    value = total(values)
    if price.tiers:
        steps = [
            Step(part, tier.percent, percent_of(tier.percent, part), "percent", up_to=tier.up_to)
            for tier, part in units_by_tier(price.tiers, value)
        ]
    else:
        percent = _needed(price, "percent")
        steps = [Step(value, percent, percent_of(percent, value), "percent")]
    unbounded = total([step.amount for step in steps])
    if not one_by_one(price):
        return Amount(unbounded, tuple(steps), tuple(values))
    charged = [usage.charged for usage in usages]
    if None in charged:
        raise ValueError(f"price {price.id} has bounds per outcome: `percentage_of` works out what is charged")
    weights = [amount for amount in charged if amount is not None]
    exact = total(weights)
    if exact != unbounded:
        steps.append(Step(ZERO, ZERO, EXACT.subtract(exact, unbounded), "bounds"))
    return Amount(exact, tuple(steps), tuple(weights))


def one_by_one(price: Price) -> bool:
    """Whether what a price comes to depends on each outcome by itself: a percentage with bounds."""
    return price.model == PERCENTAGE and (price.minimum is not None or price.maximum is not None)


def _free(price: Price, usages: Sequence[Usage]) -> Amount:
    quantity = total([usage.quantity for usage in usages])
    return Amount(ZERO, (Step(quantity, ZERO, ZERO),), tuple(usage.quantity for usage in usages))


def _beyond_allowances(price: Price, usages: Sequence[Usage]) -> tuple[Decimal, list[Step], tuple[Decimal, ...]]:
    """(what of the quantity is billable, steps of what is not, weights: each usage's units beyond the pool)."""
    quantity = total([usage.quantity for usage in usages])
    pooled = total([usage.included for usage in usages])
    weights = tuple(EXACT.subtract(usage.quantity, usage.included) for usage in usages)
    if any(weight < 0 for weight in weights):
        raise ValueError(f"price {price.id}: a pooled allowance covers more than was used")
    steps = []
    if pooled:
        steps.append(Step(pooled, ZERO, ZERO, "pooled"))
    included = min(price.included, EXACT.subtract(quantity, pooled))
    if included:
        steps.append(Step(included, ZERO, ZERO, "included"))
    return EXACT.subtract(EXACT.subtract(quantity, pooled), included), steps, weights


def _needed(price: Price, name: str) -> Decimal:
    value: Decimal | None = getattr(price, name)
    if value is None:
        raise ValueError(f"price {price.id} ({price.model}) has no {name}")
    return value


MODELS: Final[dict[str, Callable[[Price, Sequence[Usage]], Amount]]] = {
    PER_UNIT: _per_unit,
    GRADUATED: _graduated,
    VOLUME: _volume,
    PACKAGE: _package,
    PERCENTAGE: _percentage,
    FREE: _free,
}
