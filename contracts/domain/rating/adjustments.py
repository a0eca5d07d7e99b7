"""Discount, maximum per price, minimum and cap: what the terms of a contract make of a period's lines, in this order.

None of them takes what they adjust below zero. They work on what each source (a price, or a fee that counts) comes to
under each contract version; odd units of a split go by the sources' names, so the order of lines changes nothing.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from contracts.domain import money
from contracts.domain.rating.fees import by_days
from contracts.domain.rating.models import percent_of
from contracts.domain.rating.types import CAP, DISCOUNT, MAXIMUM, MINIMUM, Line, Price, Share, Step


class Source(NamedTuple):
    """What a net amount belongs to."""

    version: Hashable
    kind: str
    id: Hashable


Nets = dict[Source, int]
"""Minor units by source after the adjustments so far."""


def nets_of(lines: Iterable[Line]) -> Nets:
    """What usage lines and fee lines come to by source."""
    nets: Nets = {}
    for line in lines:
        if line.price is not None:
            source = Source(line.version, line.kind, line.price.id)
        elif line.fee is not None:
            source = Source(line.version, line.kind, line.fee.id)
        else:
            raise ValueError(f"a {line.kind} line is of no price and no fee")
        nets[source] = nets.get(source, 0) + line.amount_minor
    return nets


def discounts(nets: Nets, shares: Sequence[Share], currency: str) -> list[Line]:
    """A line for each version with a discount, percent or fixed, at most what the version's lines come to.

    Takes them off ``nets``. Raises ValueError for both a percent and an amount.
    """
    lines = []
    for share in shares:
        if share.trial or (share.discount_percent is None and share.discount_amount is None):
            continue
        if share.discount_percent is not None and share.discount_amount is not None:
            raise ValueError(f"version {share.version} has two discounts")
        mine = [source for source in nets if source.version == share.version]
        reached = sum(nets[source] for source in mine)
        wanted, step = _discount(share, reached, currency)
        minor = min(wanted, reached)
        if minor == 0:
            continue
        _take(nets, mine, minor)
        facts = {"reached_minor": reached}
        lines.append(Line(DISCOUNT, -minor, version=share.version, steps=(step,), facts=facts))
    return lines


def _discount(share: Share, reached: int, currency: str) -> tuple[int, Step]:
    if share.discount_percent is not None:
        base = money.from_minor(reached, currency)
        exact = percent_of(share.discount_percent, base)
        return money.to_minor(exact, currency), Step(base, share.discount_percent, exact, "percent")
    assert share.discount_amount is not None
    return by_days(share.discount_amount, share, currency)


def maximums(nets: Nets, prices: Iterable[Price], currency: str) -> list[Line]:
    """A line for each price that comes to more than its maximum per period. Takes them off ``nets``."""
    lines = []
    for price in prices:
        if price.period_maximum is None:
            continue
        maximum = money.to_minor(price.period_maximum, currency)
        mine = [source for source in nets if source.kind == "usage" and source.id == price.id]
        reached = sum(nets[source] for source in mine)
        if reached > maximum:
            _take(nets, mine, reached - maximum)
            facts = {"maximum_minor": maximum, "reached_minor": reached}
            lines.append(Line(MAXIMUM, maximum - reached, price=price, facts=facts))
    return lines


def minimum_line(nets: Mapping[Source, int], shares: Sequence[Share], currency: str) -> Line | None:
    """The true-up to the sum of the versions' minimums, or None where it is reached."""
    floor, steps, versions = _summed(((share, share.minimum) for share in shares), currency)
    reached = sum(nets.values())
    if reached >= floor:
        return None
    facts = {"minimum_minor": floor, "reached_minor": reached}
    return Line(MINIMUM, floor - reached, version=_only(versions), steps=steps, facts=facts)


def cap_line(nets: Mapping[Source, int], shares: Sequence[Share], currency: str) -> Line | None:
    """What exceeds the sum of the caps in force in the period, negative, or None.

    It bounds what was met under versions that have a cap, and never takes the period below its minimum.
    """
    capped = {share.version for share in shares if share.cap is not None and not share.trial}
    ceiling, steps, versions = _summed(((share, share.cap) for share in shares), currency)
    if not versions:
        return None
    reached = sum(minor for source, minor in nets.items() if source.version in capped)
    floor, _, _ = _summed(((share, share.minimum) for share in shares), currency)
    excess = min(reached - ceiling, sum(nets.values()) - floor)
    if excess <= 0:
        return None
    facts = {"cap_minor": ceiling, "reached_minor": reached}
    return Line(CAP, -excess, version=_only(versions), steps=steps, facts=facts)


def _summed(
    wanted: Iterable[tuple[Share, Decimal | None]], currency: str
) -> tuple[int, tuple[Step, ...], list[Hashable]]:
    """(minor units, steps, versions) of amounts by days over the versions in force that have one."""
    minor, steps, versions = 0, [], []
    for share, amount in wanted:
        if share.trial or share.days == 0 or amount is None:
            continue
        part, step = by_days(amount, share, currency)
        minor += part
        steps.append(step)
        versions.append(share.version)
    return minor, tuple(steps), versions


def _only(versions: Sequence[Hashable]) -> Hashable:
    return versions[0] if len(versions) == 1 else None


def _take(nets: Nets, sources: Iterable[Source], minor: int) -> None:
    """Take so much off the sources in proportion to what they come to."""
    ordered = sorted(sources, key=repr)
    for source, part in zip(ordered, money.split(minor, [nets[source] for source in ordered]), strict=True):
        nets[source] -= part
