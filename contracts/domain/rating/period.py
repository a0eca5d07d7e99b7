"""A billing period from its charges and terms: the order in which the terms apply stands here and nowhere else."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import replace

from contracts.domain.rating.adjustments import cap_line, discounts, maximums, minimum_line, nets_of
from contracts.domain.rating.commitments import commitment_lines
from contracts.domain.rating.fees import fee_lines
from contracts.domain.rating.lines import merge, rate_lines
from contracts.domain.rating.types import Charge, Commitment, Drawn, Line, Price, Rated, Share


def rate_period(
    charges: Iterable[Charge],
    shares: Sequence[Share],
    currency: str,
    *,
    commitments: Sequence[Commitment] = (),
    drawn: Drawn | None = None,
    first: Collection[Hashable] = frozenset(),
    last: Collection[Hashable] = frozenset(),
) -> Rated:
    """Everything a billing period comes to, as lines whose sum is ``total_minor``.

    ``charges`` are what settled in the period, under the price and contract version in force when it was met;
    ``shares`` the contract versions in the period, in order. ``first`` names the commitments and one-off fees that
    begin in this period, ``last`` the commitments that end in it; ``drawn`` is the state that the period before left.

    Usage and fees that count; then discount, maximum per price, minimum, cap; then the commitments; then other fees.
    Neither the order of the charges nor how outcomes are grouped into them changes an amount. Raises ValueError for
    terms that contradict themselves (they are refused when saved) and for a charge whose version has no share,
    OverflowError for an amount that cannot be booked.
    """
    by_version = {share.version: share for share in shares}
    if len(by_version) != len(shares):
        raise ValueError("a contract version has two shares of one period")
    usage = rate_lines(merge(_in_trials(charges, by_version)), currency)
    fees = fee_lines(shares, currency, first)
    counted = [line for line in fees if line.fee is not None and line.fee.counts]
    other = [line for line in fees if line.fee is not None and not line.fee.counts]

    nets = nets_of([*usage, *counted])
    lines = [*usage, *counted]
    lines += discounts(nets, shares, currency)
    lines += maximums(nets, _charging(usage), currency)
    lines += [line for line in (minimum_line(nets, shares, currency), cap_line(nets, shares, currency)) if line]
    usage_minor = sum(line.amount_minor for line in lines)
    adjusting, billed, after = commitment_lines(
        usage_minor, commitments, drawn or Drawn(), currency, first=first, last=last
    )
    lines += [*adjusting, *other, *billed]
    return Rated(tuple(lines), (), sum(line.amount_minor for line in lines), after)


def _in_trials(charges: Iterable[Charge], by_version: dict[Hashable, Share]) -> Iterable[Charge]:
    """The charges, what was met in a trial version under a price that charges nothing."""
    for charge in charges:
        share = by_version.get(charge.version)
        if share is None and charge.version is not None:
            raise ValueError(f"version {charge.version} has no share of the period")
        if share is not None and share.trial and not charge.price.trial:
            charge = replace(charge, price=replace(charge.price, trial=True))
        yield charge


def _charging(lines: Iterable[Line]) -> list[Price]:
    """The prices of usage lines, each once, in order of first appearance."""
    return list({line.price.id: line.price for line in lines if line.price and not line.price.trial}.values())
