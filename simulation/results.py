"""Cells into answers: before, after and difference in total, by customer, month and condition; text, JSON and CSV.

Everything shown is a sum of cells, so any two views of one simulation agree.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from access.exporting import text_cell
from contracts.domain import money
from outcomes import narrative
from simulation.engine import CustomerResult, Difference, Found
from simulation.examples import GAINED, MOST
from simulation.pricing import Cell, Place


class Row(NamedTuple):
    """One customer, month, condition and currency. ``condition`` is a slug, "" for what terms add and take (discounts,
    minimums, caps, fees, commitments); ``currency`` is "" under no contract.
    """

    customer: str
    month: str
    condition: str
    currency: str
    before: Cell
    after: Cell


def rows_of(results: Iterable[CustomerResult], slugs: Mapping[int, str]) -> Iterator[Row]:
    """Every cell of these customers, in order of customer, month, condition and currency."""

    def slug(place: Place) -> str:
        return "" if place[1] is None else slugs[place[1]]

    for result in sorted(results, key=lambda one: one.key):
        places = {*result.before, *result.after}
        for place in sorted(places, key=lambda one: (one[0], slug(one), one[2])):
            before, after = result.before.get(place, Cell()), result.after.get(place, Cell())
            yield Row(result.key, place[0], slug(place), place[2], before, after)


@dataclass
class Point:
    """One point of a curve: revenue by currency in minor units, outcomes that stand, those given back, and those in
    their window yet.
    """

    outcomes: int = 0
    reversed: int = 0
    provisional: int = 0
    revenue: dict[str, int] = field(default_factory=dict)

    def add(self, cells: Mapping[Place, Cell], provisional: int = 0) -> None:
        self.provisional += provisional
        for (_, _, currency), cell in cells.items():
            self.outcomes += cell.outcomes
            self.reversed += cell.reversed
            if currency:
                self.revenue[currency] = self.revenue.get(currency, 0) + cell.amount_minor

    def join(self, other: "Point") -> None:
        self.outcomes += other.outcomes
        self.reversed += other.reversed
        self.provisional += other.provisional
        for currency, minor in other.revenue.items():
            self.revenue[currency] = self.revenue.get(currency, 0) + minor


@dataclass
class Beside:
    """What a simulation tells beside its cells; of parts it can be joined. Curves by point: seconds, or percent."""

    events: int = 0
    provisional_before: int = 0
    provisional_after: int = 0
    differences: dict[str, Difference] = field(default_factory=dict)
    examples: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    windows: dict[int, Point] = field(default_factory=dict)
    prices: dict[int, Point] = field(default_factory=dict)
    archived: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, results: Iterable[CustomerResult], found: Found) -> None:
        """What one run found."""
        self.events += found.events
        self.archived = sorted({*self.archived, *found.archived})
        self.warnings = list(dict.fromkeys([*self.warnings, *found.warnings]))
        for result in results:
            self.provisional_before += result.provisional[0]
            self.provisional_after += result.provisional[1]
            for seconds, cells in result.windows.items():
                self.windows.setdefault(seconds, Point()).add(cells, result.provisional_by_window[seconds])
            for percent, cells in result.prices.items():
                self.prices.setdefault(percent, Point()).add(cells, result.provisional[1])
        for slug, difference in found.differences.items():
            self._differ(slug, difference)
        for (slug, kind), listed in found.examples.found.items():
            self._show(slug, kind, listed)

    def join(self, other: "Beside") -> None:
        """What another part of the same simulation found."""
        self.events += other.events
        self.archived = sorted({*self.archived, *other.archived})
        self.warnings = list(dict.fromkeys([*self.warnings, *other.warnings]))
        self.provisional_before += other.provisional_before
        self.provisional_after += other.provisional_after
        for slug, difference in other.differences.items():
            self._differ(slug, difference)
        for slug, kinds in other.examples.items():
            for kind, listed in kinds.items():
                self._show(slug, kind, listed)
        for mine, theirs in ((self.windows, other.windows), (self.prices, other.prices)):
            for place, point in theirs.items():
                mine.setdefault(place, Point()).join(point)

    def _differ(self, slug: str, more: Difference) -> None:
        known = self.differences.setdefault(slug, Difference())
        for one in fields(Difference):
            setattr(known, one.name, getattr(known, one.name) + getattr(more, one.name))

    def _show(self, slug: str, kind: str, listed: list[dict[str, Any]]) -> None:
        room = self.examples.setdefault(slug, {}).setdefault(kind, [])
        most = MOST if kind == GAINED else MOST // 2
        for one in listed:
            # Of the lost ones, those that held and those that did not have room of their own.
            if sum(kind == GAINED or other["held"] is one["held"] for other in room) < most:
                room.append(one)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "windows": [[place, asdict(point)] for place, point in self.windows.items()],
            "prices": [[place, asdict(point)] for place, point in self.prices.items()],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Beside":
        return cls(
            **{
                **stored,
                "differences": {slug: Difference(**one) for slug, one in stored["differences"].items()},
                "windows": {place: Point(**point) for place, point in stored["windows"]},
                "prices": {place: Point(**point) for place, point in stored["prices"]},
            }
        )


# --- Sums -------------------------------------------------------------------------------------------------------------


@dataclass
class Both:
    """Cells before and after, summed; revenue in minor units by currency."""

    before: Cell = field(default_factory=Cell)
    after: Cell = field(default_factory=Cell)
    revenue: dict[str, list[int]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        self.before, self.after = self.before.plus(row.before), self.after.plus(row.after)
        if row.currency:
            minor = self.revenue.setdefault(row.currency, [0, 0])
            minor[0] += row.before.amount_minor
            minor[1] += row.after.amount_minor


class Totals:
    """Rows summed in total, by month and by condition. By customer they are summed by who lists customers."""

    def __init__(self) -> None:
        self.total = Both()
        self.months: dict[str, Both] = defaultdict(Both)
        self.conditions: dict[str, Both] = defaultdict(Both)

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            for both in (self.total, self.months[row.month], self.conditions[row.condition]):
                both.add(row)


def by_customer(rows: Iterable[Row]) -> dict[str, Both]:
    """Sums of each customer, in order of the rows."""
    found: dict[str, Both] = defaultdict(Both)
    for row in rows:
        found[row.customer].add(row)
    return found


# --- JSON -------------------------------------------------------------------------------------------------------------


def both_json(both: Both) -> dict[str, Any]:
    """Before, after, difference: outcomes, and revenue by currency as decimal strings in major units."""
    before, after = both.before, both.after

    def side(cell: Cell, which: int) -> dict[str, Any]:
        return _counts(cell) | {
            "revenue": {
                currency: money.major_text(minor[which], currency) for currency, minor in sorted(both.revenue.items())
            }
        }

    return {
        "before": side(before, 0),
        "after": side(after, 1),
        "difference": {
            name: getattr(after, name) - getattr(before, name) for name in ("outcomes", "reversed", "unpriced")
        }
        | {
            "revenue": {
                currency: money.major_text(minor[1] - minor[0], currency)
                for currency, minor in sorted(both.revenue.items())
            }
        },
    }


def _counts(cell: Cell) -> dict[str, int]:
    return {"outcomes": cell.outcomes, "reversed": cell.reversed, "unpriced": cell.unpriced}


def summary_json(totals: Totals, beside: Beside) -> dict[str, Any]:
    """Everything but the customers."""
    return {
        "events": beside.events,
        "archived_months": beside.archived,
        "warnings": beside.warnings,
        **both_json(totals.total),
        "provisional": {"before": beside.provisional_before, "after": beside.provisional_after},
        "months": [{"month": month, **both_json(both)} for month, both in sorted(totals.months.items())],
        "conditions": [
            {
                "condition": slug or None,
                **both_json(both),
                "changes": None if slug not in beside.differences else asdict(beside.differences[slug]),
                "examples": beside.examples.get(slug, {}),
            }
            for slug, both in sorted(totals.conditions.items(), key=lambda one: (not one[0], one[0]))
        ],
        "window_curve": [
            {"window": narrative.span(seconds * 1_000_000), "seconds": seconds, **_point_json(point)}
            for seconds, point in sorted(beside.windows.items())
        ],
        "price_curve": [{"percent": percent, **_point_json(point)} for percent, point in sorted(beside.prices.items())],
    }


def _point_json(point: Point) -> dict[str, Any]:
    return {
        "outcomes": point.outcomes,
        "reversed": point.reversed,
        "provisional": point.provisional,
        "revenue": {currency: money.major_text(minor, currency) for currency, minor in sorted(point.revenue.items())},
    }


def customer_json(key: str, both: Both) -> dict[str, Any]:
    """One customer."""
    return {"customer": key, **both_json(both)}


# --- CSV --------------------------------------------------------------------------------------------------------------

CSV_HEADER = (
    "customer", "month", "condition", "currency",
    *(f"{side}_{name}" for side in ("before", "after") for name in ("outcomes", "reversed", "unpriced", "revenue")),
    "difference_outcomes", "difference_revenue",
)  # fmt: skip


def csv_rows(rows: Iterable[Row]) -> Iterator[list[str]]:
    """The cells, a line each, below CSV_HEADER. The condition is empty for what terms add and take."""
    for row in rows:

        def shown(minor: int, currency: str = row.currency) -> str:
            return money.major_text(minor, currency) if currency else ""

        sides = [
            value
            for cell in (row.before, row.after)
            for value in (*map(str, _counts(cell).values()), shown(cell.amount_minor))
        ]
        yield [
            *(text_cell(row.customer), row.month, row.condition, row.currency),
            *sides,
            str(row.after.outcomes - row.before.outcomes),
            shown(row.after.amount_minor - row.before.amount_minor),
        ]
