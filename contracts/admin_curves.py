"""What a price comes to, for the pages on which prices are written and read: charts as Chart.js reads them, and the
same figures as a table. The price in force is drawn beside the one that is to take its place.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

from conditions_dsl.words import plain
from contracts import wording
from contracts.domain import rating
from contracts.domain.rating.curve import Piece, curve
from contracts.domain.rating.figures import Figure, averages, edges_of, figures_of, quantities_of, reach, slopes
from contracts.prices import PriceFields, label, unit_price_text

BEFORE, AFTER, FURTHER, EDGE, INK, GRID = (
    "#9ca3af",
    "#7c3aed",
    "#0d9488",
    "#d97706",
    "#7d8590",
    "rgba(125,133,144,0.25)",
)
# Line marks differ besides colours.
BROKEN, DOTTED = [8, 6], [2, 4]


@dataclass(frozen=True)
class Row:
    """One quantity: (in force, as entered), None where there is no such price."""

    quantity: str
    edge: bool
    before: Mapping[str, str] | None
    after: Mapping[str, str] | None
    difference: str


@dataclass(frozen=True)
class Curve:
    """One price. ``said`` and ``before_said`` are its words, ``charts`` what is drawn, ``missing`` why nothing is."""

    label: str
    currency: str
    said: str
    before_said: str
    percentage: bool
    charts: Sequence[Mapping[str, Any]]
    rows: Sequence[Row]
    after_name: str = "as entered"
    before_name: str = "in force"
    missing: str = ""
    pooled: bool = False

    @property
    def compared(self) -> bool:
        return any(row.before is not None for row in self.rows)


def words(amount: Decimal, currency: str) -> str:
    """An amount as the pages write it; a currency that there is not is said at its input."""
    try:
        return f"{unit_price_text(amount, currency)} {currency}"
    except ValueError:
        return f"{amount:f}"


def by_label(prices: Iterable[PriceFields]) -> dict[str, PriceFields]:
    """Prices by what they are for."""
    return {label(one): one for one in prices}


def curve_of(
    given: PriceFields,
    currency: str,
    before: PriceFields | None = None,
    *,
    after_name: str = "as entered",
    before_name: str = "in force",
) -> Curve:
    """A price that `rating.validate_prices` finds nothing wrong with, beside the one in whose place it is to stand."""
    show = partial(words, currency=currency)
    said = wording.price(given, show)
    before_said = "" if before is None else wording.price(before, show)
    percentage = given.model == rating.PERCENTAGE
    # Values and quantities are two axes: such prices are not drawn on one.
    alike = before is not None and (before.model == rating.PERCENTAGE) == percentage
    sides = [rating.price_of(one.to_rating(), 0) for one in (given, *((before,) if before and alike else ()))]
    common: dict[str, Any] = {
        "label": label(given), "currency": currency, "said": said, "before_said": before_said,
        "percentage": percentage, "after_name": after_name, "before_name": before_name,
        "pooled": any(one is not None and one.pool for one in (given, before)),
    }  # fmt: skip
    try:
        up_to = reach(sides)
        names = (after_name, before_name)
        drawn = [(name, curve(price, up_to)) for name, price in zip(names, sides, strict=False)]
        edges = edges_of(sides[0], up_to)
        quantities = quantities_of(sides, up_to)
        figures = [figures_of(price, quantities, currency) for price in sides]
    except (ValueError, ArithmeticError) as error:
        return Curve(**common, charts=(), rows=(), missing=f"It is not drawn: {error}.")
    charts = [_total_chart(drawn, edges, currency, percentage), _unit_chart(drawn, edges, currency, percentage)]
    rows = _rows(figures[0], figures[1] if len(figures) > 1 else None, currency, percentage)
    return Curve(**common, charts=charts, rows=rows)


# --- Table ------------------------------------------------------------------------------------------------------------


def _rows(after: Sequence[Figure], before: Sequence[Figure] | None, currency: str, percentage: bool) -> list[Row]:
    rows = []
    for index, one in enumerate(after):
        other = None if before is None else before[index]
        rows.append(
            Row(
                f"{one.quantity:,f}",
                one.edge or (other is not None and other.edge),
                None if other is None else _cells(other, currency, percentage),
                _cells(one, currency, percentage),
                "" if other is None else _signed(one.total - other.total, currency),
            )
        )
    return rows


def _cells(one: Figure, currency: str, percentage: bool) -> dict[str, str]:
    def unit(amount: Decimal) -> str:
        return f"{plain(amount)} %" if percentage else unit_price_text(amount, currency)

    return {
        "total": unit_price_text(one.total, currency),
        "each": unit(round(one.each, 6)),
        "following": unit(one.following),
    }


def _signed(amount: Decimal, currency: str) -> str:
    text = unit_price_text(amount, currency)
    return f"+{text}" if amount > 0 else text


# --- Charts -----------------------------------------------------------------------------------------------------------

Line = Sequence[tuple[Decimal, Decimal]]
MOST_EDGES: Final = 40


def _total_chart(
    drawn: Sequence[tuple[str, Sequence[Piece]]], edges: Sequence[Decimal], currency: str, percentage: bool
) -> dict[str, Any]:
    lines = []
    for number, (name, pieces) in enumerate(drawn):
        line = [point for piece in pieces for point in ((piece.start, piece.low), (piece.end, piece.high))]
        lines.append(_set(name, line, BEFORE if number else AFTER, BROKEN if number else None))
    across = f"amount of one outcome, {currency}" if percentage else "quantity in a period"
    return _chart("total", "Total", _marked(lines, edges), across, currency)


def _unit_chart(
    drawn: Sequence[tuple[str, Sequence[Piece]]], edges: Sequence[Decimal], currency: str, percentage: bool
) -> dict[str, Any]:
    times = 100 if percentage else 1
    lines = []
    for number, (name, pieces) in enumerate(drawn):
        each = [(quantity, times * amount) for quantity, amount in averages(pieces)]
        more = [(quantity, times * amount) for quantity, amount in slopes(pieces)]
        lines.append(_set(f"a unit on average, {name}", each, BEFORE if number else AFTER, BROKEN if number else None))
        if not number:
            lines.append(_set(f"a further unit, {name}", more, FURTHER, DOTTED))
    if percentage:
        return _chart(
            "unit", "Rate", _marked(lines, edges), f"amount of one outcome, {currency}", "percent of the amount"
        )
    return _chart("unit", "Unit price", _marked(lines, edges), "quantity in a period", f"{currency} a unit")


def _set(name: str, line: Line, colour: str, dash: Sequence[int] | None = None) -> dict[str, Any]:
    # Chart.js draws by the text of a number; it is told exact decimals, not floats.
    return {
        "label": name, "data": [{"x": plain(x), "y": plain(y)} for x, y in line], "borderColor": colour,
        "backgroundColor": colour, "borderDash": list(dash or ()), "borderWidth": 2, "pointRadius": 0,
    }  # fmt: skip


def _marked(sets: list[dict[str, Any]], edges: Sequence[Decimal]) -> list[dict[str, Any]]:
    """With upright lines where tiers and the like end."""
    if not edges:
        return sets
    highest = max((Decimal(point["y"]) for one in sets for point in one["data"]), default=Decimal(0)) or Decimal(1)
    marks: list[dict[str, str | None]] = []
    for edge in edges[:MOST_EDGES]:
        x = plain(edge)
        marks += [{"x": x, "y": "0"}, {"x": x, "y": plain(highest)}, {"x": x, "y": None}]
    upright = {
        "label": "tier, package or bound ends", "data": marks, "borderColor": EDGE, "backgroundColor": EDGE,
        "borderDash": DOTTED, "borderWidth": 1, "pointRadius": 0,
    }  # fmt: skip
    return [*sets, upright]


def _chart(name: str, title: str, sets: list[dict[str, Any]], across: str, up: str) -> dict[str, Any]:
    def axis(text: str) -> dict[str, Any]:
        return {
            "type": "linear", "min": 0, "grid": {"color": GRID}, "ticks": {"color": INK},
            "title": {"display": True, "text": text, "color": INK},
        }  # fmt: skip

    options = {
        "responsive": True, "maintainAspectRatio": False, "animation": False,
        "interaction": {"mode": "nearest", "axis": "x", "intersect": False},
        "plugins": {"legend": {"position": "bottom", "align": "start", "labels": {"color": INK, "boxHeight": 1}}},
        "scales": {"x": axis(across), "y": axis(up)},
    }  # fmt: skip
    return {"name": name, "title": title, "data": json.dumps({"datasets": sets}), "options": json.dumps(options)}
