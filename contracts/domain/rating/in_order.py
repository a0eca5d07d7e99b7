"""What depends on outcomes one by one: pooled allowances, and percentages with bounds.

Outcomes come in order of (``settled_at``, id) from an iterator and are not kept: memory is that of the lines they go
to.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from contracts.domain.money import EXACT
from contracts.domain.rating.lines import part_of
from contracts.domain.rating.models import one_by_one, percent_of, total, units_by_tier
from contracts.domain.rating.types import ZERO, Charge, Part, Price, Settled, Share


@dataclass(frozen=True, slots=True)
class Figures:
    """By line: units that a pooled allowance covers, and what a percentage with bounds charges, exactly."""

    pooled: Mapping[Part, Decimal] = field(default_factory=dict)
    charged: Mapping[Part, Decimal] = field(default_factory=dict)


def needs_order(price: Price) -> bool:
    """Whether `take_in_order` must see the outcomes of a price; for all others sums are enough."""
    return not price.trial and (bool(price.pool) or one_by_one(price))


def take_in_order(shares: Sequence[Share], outcomes: Iterable[Settled]) -> Figures:
    """Both figures in one pass. Outcomes of other prices may be among them and change nothing."""
    pools = _Pools(shares)
    percentages: dict[Hashable, _Percentage] = {}
    for outcome in outcomes:
        if outcome.price.trial:
            continue
        pools.take(outcome)
        if one_by_one(outcome.price):
            price = outcome.price
            percentages.setdefault(price.id, _Percentage(price)).take(outcome)
    charged = {part: amount for one in percentages.values() for part, amount in one.charged.items()}
    return Figures(pools.taken, charged)


def draw_pools(shares: Sequence[Share], outcomes: Iterable[Settled]) -> dict[Part, Decimal]:
    """By line, the units that the pools of the contract versions cover: first come, first served.

    A pool is one version's; what names a pool that its version does not have is not covered.
    """
    pools = _Pools(shares)
    for outcome in outcomes:
        if pools.empty:
            break
        if not outcome.price.trial:
            pools.take(outcome)
    return pools.taken


def percentage_of(price: Price, outcomes: Iterable[Settled]) -> dict[Part, Decimal]:
    """By line, what a percentage charges, outcome by outcome: tiers run over the value so far, bounds hold for each."""
    percentage = _Percentage(price)
    for outcome in outcomes:
        if outcome.price.id == price.id and not outcome.price.trial:
            percentage.take(outcome)
    return percentage.charged


def fill_in(charges: Iterable[Charge], figures: Figures) -> list[Charge]:
    """The charges with the figures of their lines. Charges must be merged: a figure stands for the whole line."""
    filled = []
    for charge in charges:
        part = part_of(charge)
        if needs_order(charge.price):
            usage = replace(
                charge.usage,
                included=figures.pooled.get(part, ZERO),
                charged=figures.charged.get(part) if one_by_one(charge.price) else None,
            )
            charge = replace(charge, usage=usage)
        filled.append(charge)
    return filled


class _Pools:
    def __init__(self, shares: Sequence[Share]) -> None:
        self._left = {
            (share.version, name): units
            for share in shares
            if not share.trial
            for name, units in share.pools.items()
            if units > 0
        }
        self.taken: dict[Part, Decimal] = {}

    @property
    def empty(self) -> bool:
        return not self._left

    def take(self, outcome: Settled) -> None:
        pool = (outcome.version, outcome.price.pool)
        left = self._left.get(pool)
        if left is None or outcome.quantity <= 0:
            return
        taken = min(left, outcome.quantity)
        if taken == left:
            del self._left[pool]
        else:
            self._left[pool] = EXACT.subtract(left, taken)
        part = Part(outcome.price.id, outcome.dimensions, outcome.version)
        self.taken[part] = EXACT.add(self.taken.get(part, ZERO), taken)


class _Percentage:
    def __init__(self, price: Price) -> None:
        self._price = price
        self._value = ZERO
        self._amount = ZERO
        self.charged: dict[Part, Decimal] = {}

    def take(self, outcome: Settled) -> None:
        amount = self._of(max(outcome.value, ZERO))
        if self._price.minimum is not None:
            amount = max(amount, self._price.minimum)
        if self._price.maximum is not None:
            amount = min(amount, self._price.maximum)
        part = Part(outcome.price.id, outcome.dimensions, outcome.version)
        self.charged[part] = EXACT.add(self.charged.get(part, ZERO), amount)

    def _of(self, value: Decimal) -> Decimal:
        """The next outcome's percentage without its bounds."""
        price = self._price
        if not price.tiers:
            if price.percent is None:
                raise ValueError(f"price {price.id} (percentage) has neither percent nor tiers")
            return percent_of(price.percent, value)
        self._value = EXACT.add(self._value, value)
        before = self._amount
        self._amount = total([percent_of(tier.percent, part) for tier, part in units_by_tier(price.tiers, self._value)])
        return EXACT.subtract(self._amount, before)
