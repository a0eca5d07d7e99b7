"""What a period comes to under its terms (contracts.domain.rating): for documents, previews and the audit alike."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from contracts.domain import rating
from contracts.domain.rating import Charge, Figures, Line, Settled
from contracts.domain.rating.fees import fee_lines
from contracts.terms import Agreement
from invoicing import selection
from invoicing.selection import Grid, InOrder, OnLines, Which
from invoicing.tariff import Tariff
from invoicing.terms_used import TermsUsed

NO_FIGURES = Figures()


def lines_of(
    agreement: Agreement, used: TermsUsed, charges: Iterable[Charge], figures: Figures = NO_FIGURES
) -> tuple[Line, ...]:
    """Everything a period comes to. ``figures`` are those of prices that count outcomes one by one."""
    shares = used.shares_of(agreement)
    if used.advance:
        fees = fee_lines(shares, agreement.currency, used.first)
        return tuple(line for line in fees if line.fee is not None and line.fee.timing == rating.ADVANCE)
    return rating.rate_period(
        rating.fill_in(rating.merge(charges), figures),
        shares,
        agreement.currency,
        commitments=used.commitments_of(agreement),
        drawn=rating.Drawn(dict(used.drawn)),
        first=used.first,
        last=frozenset() if used.so_far else used.last,
    ).lines


def figures_of(
    grid: Grid,
    used: TermsUsed,
    index: int,
    charges: Sequence[Charge],
    tariff: Tariff,
    on_lines: OnLines,
    which: Collection[Which] = (),
) -> Figures:
    """The figures of a period whose outcomes are these: those on lines, and those among ``which``. A query where a
    price among the ``charges`` needs it, else none.
    """
    conditions = {charge.usage.condition for charge in charges if rating.needs_order(charge.price)}
    if not conditions:
        return NO_FIGURES
    outcomes = selection.in_order(grid, index, [int(str(one)) for one in conditions], on_lines, which)
    return rating.take_in_order(used.shares_of(grid.agreement), priced(outcomes, tariff))


def priced(outcomes: Iterable[InOrder], tariff: Tariff) -> Iterator[Settled]:
    """Each outcome with its price; those that have none, or lack the amount it takes, are left out."""
    for one in outcomes:
        number = tariff.numbers.get((one.condition_id, one.dimensions, one.stretch))
        if number is None or (one.value is None and tariff.prices[number].model == rating.PERCENTAGE):
            continue
        value = rating.ZERO if one.value is None else one.value
        charge = tariff.charges[number]
        yield Settled(charge.price, charge.usage.dimensions, one.quantity, value, charge.version)
