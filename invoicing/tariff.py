"""Which price each group of outcomes has, and so on which line it goes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import cast

from contracts.domain import rating
from contracts.terms import Version
from invoicing.domain.owing import Counted
from invoicing.domain.owing import Key as LineKey
from invoicing.selection import Grid, Group, Key

Way = tuple[int, str, int]
"""(condition, dimensions as text, stretch): what decides on a price."""


@dataclass(frozen=True)
class Tariff:
    """Where outcomes go: a key per way to a price, and behind each key's number the price, the dimension values and the
    contract version. Numbers are those of lines.
    """

    keys: tuple[Key, ...]
    prices: tuple[rating.Price, ...]
    dimensions: tuple[rating.Dimensions, ...]
    versions: tuple[Version, ...]
    numbers: dict[Way, int]

    def number_of(self, group: Group) -> int | None:
        """The number of a group's line; None where no price fits, or it is a percentage of what is not known."""
        number = self.numbers.get((group.condition_id, group.dimensions, group.stretch))
        if number is None or (_valued(self.prices[number]) and not group.valued):
            return None
        return number

    @cached_property
    def charges(self) -> tuple[rating.Charge, ...]:
        """What goes on the line of each number, without any usage. Where it makes no difference to rating it is under
        no version.
        """
        found = []
        for price, dimensions, version in zip(self.prices, self.dimensions, self.versions, strict=True):
            usage = rating.Usage(price.condition, dimensions, rating.ZERO)
            found.append(rating.Charge(price, usage, None if is_plain(version) else version.id))
        return tuple(found)

    @cached_property
    def line_keys(self) -> tuple[LineKey, ...]:
        """The key of each number's line (`domain.owing.key_of`)."""
        return tuple((rating.USAGE, one.price.id, one.usage.dimensions, one.version) for one in self.charges)

    @cached_property
    def by_key(self) -> dict[LineKey, int]:
        """The number of each line's key."""
        return {key: number for number, key in enumerate(self.line_keys)}

    def counted(self, number: int, outcomes: int, quantity: Decimal, value: Decimal) -> Counted:
        """So much on the line with that number."""
        return counted(self.prices[number].model, outcomes, quantity, value)


def tariff_of(grid: Grid, groups: Iterable[Group]) -> Tariff:
    """The price of each group that has one. Groups that differ in nothing a line shows share a number: contract
    versions that say nothing about the usage under them (`is_plain`) count as one.
    """
    lines: dict[tuple[int, rating.Dimensions, int | None], int] = {}
    prices: list[rating.Price] = []
    dimensions: list[rating.Dimensions] = []
    versions: list[Version] = []
    keys: dict[Way, Key] = {}
    for group in groups:
        way = (group.condition_id, group.dimensions, group.stretch)
        if way in keys:
            continue
        stretch = grid.stretches[group.stretch]
        values = rating.dimensions_of(json.loads(group.dimensions))
        price = rating.choose(stretch.prices, group.condition_id, values)
        if price is None:
            continue
        version = None if is_plain(stretch.version) else stretch.version.id
        number = lines.setdefault((cast(int, price.id), values, version), len(prices))
        if number == len(prices):
            prices.append(price)
            dimensions.append(values)
            versions.append(stretch.version)
        keys[way] = Key(*way, number, _valued(price))
    numbers = {way: key.number for way, key in keys.items()}
    return Tariff(tuple(keys.values()), tuple(prices), tuple(dimensions), tuple(versions), numbers)


def counted(model: str, outcomes: int, quantity: Decimal, value: Decimal) -> Counted:
    """So much under a price of that model: the value counts where it is a percentage of it."""
    return Counted(outcomes, quantity, value if model == rating.PERCENTAGE else rating.ZERO)


def is_plain(version: Version) -> bool:
    """Whether it makes no difference to rating which of such versions a line of usage stands under."""
    discount = version.discount_percent is not None or version.discount_amount is not None
    return not (discount or version.cap is not None or version.pools or version.trial)


def _valued(price: rating.Price) -> bool:
    """Whether an outcome without an amount has to wait."""
    return price.model == rating.PERCENTAGE
