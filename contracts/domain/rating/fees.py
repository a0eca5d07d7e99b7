"""Base fees of a period: recurring and seats by days, one-off once."""

from collections.abc import Collection, Hashable, Sequence
from decimal import Decimal

from contracts.domain import money
from contracts.domain.rating.types import FEE, FEE_KINDS, ONE_OFF, SEATS, Fee, Line, Share, Step


def fee_lines(shares: Sequence[Share], currency: str, first: Collection[Hashable] = frozenset()) -> list[Line]:
    """The fees of a period, of both timings, in the order in which the contract versions list them.

    A one-off fee is charged once and only where its id is in ``first``. Raises ValueError for a kind that does not
    exist.
    """
    lines = []
    charged: set[Hashable] = set()
    for share in shares:
        if share.trial or share.days == 0:
            continue
        for fee in share.fees:
            if fee.kind not in FEE_KINDS:
                raise ValueError(f"fee {fee.id} has the unknown kind {fee.kind!r}")
            if fee.kind != ONE_OFF:
                lines.append(_prorated(fee, share, currency))
            elif fee.id in first and fee.id not in charged:
                charged.add(fee.id)
                steps = (Step(Decimal(1), fee.amount, fee.amount),)
                lines.append(
                    Line(FEE, money.to_minor(fee.amount, currency), version=share.version, steps=steps, fee=fee)
                )
    return lines


def _prorated(fee: Fee, share: Share, currency: str) -> Line:
    amount, steps = fee.amount, []
    if fee.kind == SEATS:
        amount = money.product(fee.amount, fee.seats)
        steps.append(Step(fee.seats, fee.amount, amount, "seats"))
    minor, step = by_days(amount, share, currency)
    return Line(FEE, minor, version=share.version, steps=(*steps, step), fee=fee)


def by_days(amount: Decimal, share: Share, currency: str) -> tuple[int, Step]:
    """(minor units, the step) of what is agreed for a full period and counts by days."""
    minor = money.prorate(amount, share.days, share.of_days, currency)
    step = Step(Decimal(share.days), amount, money.from_minor(minor, currency), "days", of=share.of_days)
    return minor, step
