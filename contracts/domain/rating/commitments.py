"""Commitments over several periods: drawn down in advance, or trued up in arrears."""

from collections.abc import Collection, Hashable, Sequence

from contracts.domain import money
from contracts.domain.rating.types import ADVANCE, COMMITMENT, DRAWDOWN, TIMINGS, TRUE_UP, Commitment, Drawn, Line


def commitment_lines(
    usage_minor: int,
    commitments: Sequence[Commitment],
    drawn: Drawn,
    currency: str,
    *,
    first: Collection[Hashable],
    last: Collection[Hashable],
) -> tuple[list[Line], list[Line], Drawn]:
    """(drawdowns and true-ups, commitments billed in advance, the state after the period).

    What a period's usage comes to counts towards the commitments in the order given, each up to its amount, and towards
    one only. Raises ValueError for an unknown payment and for a state beyond a commitment's amount.
    """
    adjusting: list[Line] = []
    billed: list[Line] = []
    after = dict(drawn.minor)
    rest = usage_minor
    for commitment in commitments:
        if commitment.payment not in TIMINGS:
            raise ValueError(f"commitment {commitment.id} has the unknown payment {commitment.payment!r}")
        amount = money.to_minor(commitment.amount, currency)
        before = after.get(commitment.id, 0)
        if not 0 <= before <= amount:
            raise ValueError(f"{before} of {amount} minor units of commitment {commitment.id} are drawn")
        counted = min(rest, amount - before)
        rest -= counted
        left = amount - before - counted
        after[commitment.id] = before + counted
        facts = {"amount_minor": amount, "before_minor": before, "left_minor": left}
        if commitment.payment == ADVANCE:
            if commitment.id in first:
                billed.append(Line(COMMITMENT, amount, commitment=commitment))
            if counted:
                adjusting.append(Line(DRAWDOWN, -counted, commitment=commitment, facts=facts))
        elif commitment.id in last and left:
            adjusting.append(Line(TRUE_UP, left, commitment=commitment, facts=facts))
    return adjusting, billed, Drawn(after)
