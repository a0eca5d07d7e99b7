"""What one price comes to for a quantity, as an invoice would say it, and the quantities worth a look. For pages on
which prices are written; invoices rate whole periods (`period`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from contracts.domain.money import from_minor
from contracts.domain.rating.curve import Piece, curve, shown_up_to
from contracts.domain.rating.in_order import Figures, fill_in, needs_order, take_in_order
from contracts.domain.rating.period import rate_period
from contracts.domain.rating.plot import ticks
from contracts.domain.rating.types import PACKAGE, PERCENTAGE, ZERO, Charge, Price, Settled, Share, Usage

MOST_ROWS: Final = 30
ONE: Final = Decimal(1)
_CENT: Final = Decimal("0.01")
_SHARE: Final = Share("shown", 1, 1)


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity (of a percentage: the value of one outcome) with what it comes to: ``total`` as billed, ``each`` the
    share of a unit in it, ``following`` what one unit more adds; in major units, ``each`` and ``following`` of a
    percentage in percent. ``edge`` where a tier, an allowance, a package or a bound ends.
    """

    quantity: Decimal
    total: Decimal
    each: Decimal
    following: Decimal
    edge: bool = False


def billed_for(price: Price, quantity: Decimal, currency: str) -> Decimal:
    """What a period with so many units comes to by the rating of invoices; of a percentage, with one outcome of that
    value. A pool is the contract's and counts as used up.
    """
    alone = replace(price, pool="", trial=False)
    units, value = (ONE, quantity) if price.model == PERCENTAGE else (quantity, ZERO)
    charges = [Charge(alone, Usage(price.condition, (), units, 1, value=value), _SHARE.version)]
    figures = Figures()
    if needs_order(alone):
        figures = take_in_order([_SHARE], [Settled(alone, (), units, value, _SHARE.version)])
    return from_minor(rate_period(fill_in(charges, figures), [_SHARE], currency).total_minor, currency)


def edges_of(price: Price, up_to: Decimal) -> list[Decimal]:
    """Where something ends below ``up_to``: the allowance, a tier, a package, the reach of a bound. In order."""
    return [_round(piece.end) for piece in curve(price, up_to) if piece.end < up_to]


def _round(edge: Decimal) -> Decimal:
    """Where a bound takes hold may have no end of decimals."""
    exponent = edge.as_tuple().exponent
    return edge.quantize(_CENT) if isinstance(exponent, int) and exponent < -12 else edge


def figures_of(price: Price, quantities: Sequence[Decimal], currency: str) -> list[Figure]:
    """The figures of quantities above 0. Only ``total`` is rounded; what a unit costs more is not."""
    pieces = curve(price, max(quantities) + 1)
    edges = {_round(piece.end) for piece in pieces}
    percents = 100 if price.model == PERCENTAGE else 1
    found = []
    for quantity in quantities:
        total = billed_for(price, quantity, currency)
        following = on_curve(pieces, quantity + 1) - on_curve(pieces, quantity)
        each = average(total * percents, quantity)
        found.append(Figure(quantity, total, each, average(following * percents, ONE), quantity in edges))
    return found


def on_curve(pieces: Sequence[Piece], quantity: Decimal) -> Decimal:
    """The amount at a quantity above 0, not rounded. Raises StopIteration beyond the end."""
    piece = next(one for one in pieces if quantity <= one.end)
    return piece.low + (piece.high - piece.low) * (quantity - piece.start) / (piece.end - piece.start)


def average(total: Decimal, quantity: Decimal) -> Decimal:
    """The share of one unit, to 12 decimals at most."""
    return (total / quantity).quantize(Decimal(1).scaleb(-12)).normalize() + ZERO


def quantities_of(prices: Sequence[Price], up_to: Decimal) -> list[Decimal]:
    """Quantities for a table of one or several prices, in order: edges and what is just beyond them, round numbers
    between, and the end.
    """
    edges = sorted({edge for price in prices for edge in edges_of(price, up_to)})[: MOST_ROWS // 3]
    wanted = {*edges, *(edge + 1 for edge in edges), ONE, *ticks(up_to), up_to}
    return sorted(quantity for quantity in wanted if 0 < quantity <= up_to)


def reach(prices: Iterable[Price]) -> Decimal:
    """A quantity at which each of the prices has shown what there is to see; packages are not drawn by the hundred."""
    listed = list(prices)
    most = max(shown_up_to(price) for price in listed)
    sizes = [price.package_size for price in listed if price.model == PACKAGE and price.package_size is not None]
    return min([most, *(200 * size + price.included for size in sizes for price in listed)])


def averages(pieces: Sequence[Piece], steps: int = 12) -> list[tuple[Decimal, Decimal]]:
    """The share of a unit along a curve: it bends, so each piece is told by several of its points."""
    found: list[tuple[Decimal, Decimal]] = []
    for piece in pieces:
        if piece.start == piece.low == 0:  # what it comes to for next to nothing
            found.append((ZERO, average(piece.high, piece.end)))
        for step in range(steps + 1):
            quantity = piece.start + (piece.end - piece.start) * step / steps
            if quantity > 0:
                total = piece.low + (piece.high - piece.low) * step / steps
                found.append((quantity, average(total, quantity)))
    return found


def slopes(pieces: Sequence[Piece]) -> list[tuple[Decimal, Decimal]]:
    """What a further unit adds along a curve, in steps; where the curve jumps it adds the jump besides."""
    found = []
    for piece in pieces:
        slope = average(piece.high - piece.low, piece.end - piece.start)
        found += [(piece.start, slope), (piece.end, slope)]
    return found
