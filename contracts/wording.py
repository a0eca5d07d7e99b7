"""Prices and terms as people say them: ``first 100 at 2.00, then 1.50``. For the admin and the diffs of `apply`."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from access.times import format_rfc3339
from conditions_dsl.words import plain
from contracts.domain import rating
from contracts.domain.money import EXACT
from contracts.domain.rating import CommitmentInput, DiscountInput, FeeInput, TierInput

if TYPE_CHECKING:
    from contracts.agreed import VersionFields
    from contracts.prices import PriceFields

Show = Callable[[Decimal], str]
"""How an amount in major units is written."""


def price(given: "PriceFields", show: Show) -> str:
    """What a price says, without what it is for: everything that makes it charge what it charges."""
    return "".join([_model(given, show), *_further(given, show)])


def _model(given: "PriceFields", show: Show) -> str:
    tiers = given.tiers or ()
    if given.model == rating.GRADUATED:
        return _in_turn(tiers, show, plain, lambda tier: f"at {_tier_price(tier, show)}")
    if given.model == rating.VOLUME:
        return "all " + ", ".join(
            f"at {_tier_price(tier, show)} " + ("above that" if tier.up_to is None else f"up to {plain(tier.up_to)}")
            for tier in tiers
        )
    if given.model == rating.PACKAGE:
        return f"{show(_or_zero(given.unit_price))} for every {plain(_or_zero(given.package_size))} begun"
    if given.model == rating.PERCENTAGE:
        if not tiers:
            return f"{plain(_or_zero(given.percent))} % of the amount"
        return _in_turn(tiers, show, show, lambda tier: f"{plain(_or_zero(tier.percent))} %") + " of the amount"
    if given.model == rating.FREE:
        return "nothing"
    return show(_or_zero(given.unit_price))


def _in_turn(tiers: Sequence[TierInput], show: Show, edge: Show, said: Callable[[TierInput], str]) -> str:
    """``first 100 at 2.00, next 400 at 1.80, then at 1.50``"""
    lower, parts = Decimal(0), list[str]()
    for tier in tiers:
        if tier.up_to is None:
            parts.append(("then " if parts else "all ") + said(tier))
        else:
            parts.append(f"{'next' if parts else 'first'} {edge(EXACT.subtract(tier.up_to, lower))} {said(tier)}")
            lower = tier.up_to
    return ", ".join(parts)


def _tier_price(tier: TierInput, show: Show) -> str:
    flat_fee = "" if not tier.flat_fee else f" plus {show(tier.flat_fee)} once"
    return show(_or_zero(tier.unit_price)) + flat_fee


def _further(given: "PriceFields", show: Show) -> Iterator[str]:
    if given.minimum is not None:
        yield f", at least {show(given.minimum)} each"
    if given.maximum is not None:
        yield f", at most {show(given.maximum)} each"
    if given.included:
        yield f", {plain(given.included)} a period included"
    if given.pool:
        yield f", drawing on the pool {given.pool}"
    if given.period_maximum is not None:
        yield f", at most {show(given.period_maximum)} a period"


def _or_zero(number: Decimal | None) -> Decimal:
    return Decimal(0) if number is None else number


def terms(given: "VersionFields", show: Show) -> Iterator[tuple[str, str]]:
    """(what, how much) of the terms of money that a contract has beside its prices."""
    if given.discount is not None:
        yield "discount", discount(given.discount, show)
    if given.minimum is not None:
        yield "minimum", show(given.minimum)
    if given.cap is not None:
        yield "cap", show(given.cap)
    if given.progressive_threshold is not None:
        yield "progressive_threshold", show(given.progressive_threshold)
    for one in given.fees:
        yield f"fee {one.name}", fee(one, show)
    for name, units in sorted(given.pools.items()):
        yield f"pool {name}", f"{plain(units)} a period"
    for committed in given.commitments:
        yield f"commitment {commitment(committed, show)}", "agreed"


def discount(given: DiscountInput, show: Show) -> str:
    """``10 %`` or ``5.00 a period``"""
    if given.percent is not None:
        return f"{plain(given.percent)} %"
    return f"{show(_or_zero(given.amount))} a period"


def fee(given: FeeInput, show: Show) -> str:
    """``20.00 a period, in advance``"""
    counts = ", counting towards discount, minimum and cap" if given.counts else ""
    if given.kind == rating.ONE_OFF:
        return f"{show(given.amount)} once{counts}"
    seats = f" for each of {plain(given.seats)} seats" if given.seats is not None else ""
    return f"{show(given.amount)} a period{seats}, in {given.timing or rating.ARREARS}{counts}"


def commitment(given: CommitmentInput, show: Show) -> str:
    """``of 12000.00 from 2026-01-01T00:00:00Z to the end, in advance``"""
    begin = "the start" if given.starts_at is None else format_rfc3339(given.starts_at)
    end = "the contract's end" if given.ends_at is None else format_rfc3339(given.ends_at)
    return f"of {show(given.amount)} from {begin} to {end}, in {given.payment}"
