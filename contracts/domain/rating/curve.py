"""The curve of a price: what a quantity costs, as straight pieces. For pictures; invoices never read it.

Ends of pieces are exact where the terms name them. Where a piece is cut by a bound, the place of the cut may be rounded
to 28 digits.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from contracts.domain.rating.models import MODELS, percent_of
from contracts.domain.rating.types import PACKAGE, PERCENTAGE, ZERO, Price, Usage

MAX_PIECES = 1000


@dataclass(frozen=True, slots=True)
class Piece:
    """A straight piece over (``start``, ``end``]: from just above ``start`` to ``end`` the amount goes from ``low`` to
    ``high``, in major units. A jump is where one piece's ``low`` is not the ``high`` of the one before.
    """

    start: Decimal
    end: Decimal
    low: Decimal
    high: Decimal


def curve(price: Price, up_to: Decimal | None = None) -> tuple[Piece, ...]:
    """What a price comes to in a period for quantities above 0 up to ``up_to``; for a percentage, for values.

    Bounds per outcome are those of one outcome of that value. Raises ValueError for a price that `validate_prices`
    refuses, and for more than `MAX_PIECES` packages.
    """
    end = shown_up_to(price) if up_to is None else up_to
    unbounded = replace(price, minimum=None, maximum=None)
    model = MODELS[price.model]

    def amount(quantity: Decimal) -> Decimal:
        return model(unbounded, [Usage(price.condition, (), quantity, value=quantity)]).exact

    pieces = pieces_of(amount, _breaks(price, end), end)
    if price.minimum is not None:
        pieces = bounded(pieces, price.minimum, below=True)
    for most in (price.maximum, price.period_maximum):
        if most is not None:
            pieces = bounded(pieces, most, below=False)
    return tuple(pieces)


def shown_up_to(price: Price) -> Decimal:
    """A quantity at which the curve has shown what there is to see: well beyond the last edge and both bounds."""
    edges = [tier.up_to for tier in price.tiers if tier.up_to is not None]
    if price.model == PACKAGE and price.package_size is not None:
        edges.append(3 * price.package_size)
    rate = price.unit_price if price.unit_price is not None else price.percent and percent_of(price.percent, Decimal(1))
    bounds = [one for one in (price.minimum, price.maximum, price.period_maximum) if one is not None]
    if rate:
        edges.extend((one / rate).quantize(Decimal(1)) for one in bounds if one)
    reach = max(edges, default=ZERO) + price.included
    return reach * 3 // 2 if reach >= 2 else max(2 * reach, Decimal(100) if price.model == PERCENTAGE else Decimal(10))


def pieces_of(amount: Callable[[Decimal], Decimal], breaks: Iterable[Decimal], end: Decimal) -> list[Piece]:
    """The pieces of a function that is straight between its breaks, where it may jump just above them."""
    inner = sorted({one for one in breaks if 0 < one < end})
    pieces = []
    for start, stop in zip([ZERO, *inner], [*inner, end], strict=True):
        middle = (start + stop) / 2
        high = amount(stop)
        pieces.append(Piece(start, stop, 2 * amount(middle) - high, high))
    return pieces


def bounded(pieces: Iterable[Piece], bound: Decimal, *, below: bool) -> list[Piece]:
    """The pieces with no amount below the bound, or none above it; cut where they cross it."""
    kept = max if below else min
    result = []
    for piece in pieces:
        stops = [(piece.start, piece.low), (piece.end, piece.high)]
        if min(piece.low, piece.high) < bound < max(piece.low, piece.high):
            beyond = (bound - piece.low) * (piece.end - piece.start) / (piece.high - piece.low)
            stops.insert(1, (piece.start + beyond, bound))
        result += [
            Piece(start, end, kept(low, bound), kept(high, bound))
            for (start, low), (end, high) in itertools.pairwise(stops)
        ]
    return result


def _breaks(price: Price, end: Decimal) -> list[Decimal]:
    """Where the curve bends or jumps."""
    breaks = [price.included, *(price.included + tier.up_to for tier in price.tiers if tier.up_to is not None)]
    if price.model == PACKAGE and price.package_size is not None:
        packages = int((end - price.included) // price.package_size)
        if packages > MAX_PIECES:
            raise ValueError(f"{packages} packages are too many for a curve")
        breaks += [price.included + count * price.package_size for count in range(1, packages + 1)]
    return breaks
