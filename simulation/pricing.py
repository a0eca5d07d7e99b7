"""What replayed outcomes cost: the periods of a customer's contracts, rated by the code that bills.

Prices are found by `invoicing.tariff`, what counts one by one and everything a period comes to by
`contracts.domain.rating`; nothing here knows a price model.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, pairwise
from operator import itemgetter
from typing import cast

from django.db import connection

from contracts.domain import rating
from contracts.domain.rating import Charge, Drawn, Figures, Usage
from contracts.period_terms import period_terms
from invoicing.domain.owing import NONE, Counted
from invoicing.domain.owing import Key as LineKey
from invoicing.rated import NO_FIGURES, priced
from invoicing.selection import Grid, InOrder
from invoicing.tariff import Tariff, tariff_of
from outcomes.domain.instants import from_us
from simulation.in_order import Placed
from simulation.ledger import Ledger, Sum, Tally, groups, month_of

Reprice = Callable[[Grid], Grid]
"""A grid with other prices in it, cut as before."""


@dataclass(slots=True)
class Cell:
    """What outcomes come to. ``outcomes`` were confirmed and stand, ``unpriced`` of them cost nothing because no
    contract or price is for them or a person must complete them; ``reversed`` were taken back.
    """

    outcomes: int = 0
    reversed: int = 0
    unpriced: int = 0
    amount_minor: int = 0

    def plus(self, other: "Cell") -> "Cell":
        return Cell(
            self.outcomes + other.outcomes,
            self.reversed + other.reversed,
            self.unpriced + other.unpriced,
            self.amount_minor + other.amount_minor,
        )


Place = tuple[str, int | None, str]
"""(month, condition or None for what terms add and take, currency or "" under no contract)."""


def cells_of(ledger: Ledger, tallies: Sequence[Tally], reprice: Reprice | None = None) -> dict[Place, Cell]:
    """One customer's outcomes and revenue by month, condition and currency. A period counts in the month in which it
    begins. A query where prices count outcomes one by one that settled at the same instant.
    """
    cells: dict[Place, Cell] = defaultdict(Cell)
    for number, places in enumerate(ledger.contracts):
        grid = places.grid if reprice is None else reprice(places.grid)
        currency = grid.agreement.currency
        months = {index: month_of(grid, index) for index, asked in enumerate(places.asked) if asked}
        tariff = tariff_of(grid, groups(iter(tallies), number))
        _count(cells, tallies, number, tariff, months, currency)
        for index, lines in _rated(grid, tallies, number, tariff, places.kept).items():
            for line in lines if index in months else ():
                condition = None if line.usage is None else cast(int, line.usage.condition)
                cells[months[index], condition, currency].amount_minor += line.amount_minor
    for tally in tallies:
        for month, condition, one in _loose(tally):
            cell = cells[month, condition, ""]
            cell.outcomes += one.confirmed - one.reversed
            cell.reversed += one.reversed
            cell.unpriced += one.confirmed - one.reversed
    return dict(cells)


def _loose(tally: Tally) -> list[tuple[str, int, Sum]]:
    return [(month, condition, one) for (month, condition), one in tally.loose.items()]


def _count(
    cells: dict[Place, Cell],
    tallies: Sequence[Tally],
    number: int,
    tariff: Tariff,
    months: Mapping[int, str],
    currency: str,
) -> None:
    for tally in tallies:
        for (contract, period, condition, stretch, dimensions, valued), one in tally.sums.items():
            if contract != number or period not in months:
                continue
            cell = cells[months[period], condition, currency]
            cell.outcomes += one.confirmed - one.reversed
            cell.reversed += one.reversed
            line = tariff.numbers.get((condition, dimensions, stretch))
            waits = line is None or (tariff.prices[line].model == rating.PERCENTAGE and not valued)
            cell.unpriced += one.unclear + (one.outcomes if waits else 0)


def _rated(
    grid: Grid, tallies: Sequence[Tally], number: int, tariff: Tariff, kept: Sequence[bool]
) -> dict[int, tuple[rating.Line, ...]]:
    """By index, the lines of each period that is kept, in order, so that commitments are drawn as they were."""
    usage: dict[int, dict[LineKey, Counted]] = defaultdict(dict)
    for group in groups(iter(tallies), number):
        line = tariff.number_of(group)
        if line is not None:
            key = tariff.line_keys[line]
            more = tariff.counted(line, group.outcomes, group.quantity, group.value)
            usage[group.period][key] = usage[group.period].get(key, NONE).plus(more)
    empty = {key: tariff.charges[line] for key, line in tariff.by_key.items()}
    found: dict[int, tuple[rating.Line, ...]] = {}
    drawn = Drawn()
    for index, period in enumerate(grid.periods):
        if not kept[index]:
            continue
        charges = [_charge(empty[key], counted) for key, counted in usage[index].items()]
        versions = {int(str(charge.version)) for charge in charges if charge.version is not None}
        terms = period_terms(grid.agreement, period, versions)
        rated = rating.rate_period(
            rating.fill_in(
                rating.merge(charges), _figures(grid, tallies, number, index, tariff, charges, terms.shares)
            ),
            terms.shares,
            grid.agreement.currency,
            commitments=terms.commitments,
            drawn=drawn,
            first=terms.first,
            last=terms.last,
        )
        drawn = rated.drawn
        found[index] = rated.lines
    return found


def _charge(empty: Charge, counted: Counted) -> Charge:
    of = empty.usage
    return replace(
        empty, usage=Usage(of.condition, of.dimensions, counted.quantity, counted.outcomes, value=counted.value)
    )


def _figures(
    grid: Grid,
    tallies: Sequence[Tally],
    number: int,
    index: int,
    tariff: Tariff,
    charges: Sequence[Charge],
    shares: Sequence[rating.Share],
) -> Figures:
    if not any(rating.needs_order(charge.price) for charge in charges):
        return NO_FIGURES
    mine = [tally for tally in tallies if (number, index) in tally.in_order]
    if not mine:
        return NO_FIGURES
    found = mine[0].spool.of([tally.number for tally in mine], number, index)
    return rating.take_in_order(shares, priced(_in_order(grid.agreement.customer_id, found), tariff))


AT_ONCE = 5_000
"""Outcomes whose ids are looked up together, where they settled at the same instants."""


def _in_order(customer: int, found: Iterable[Placed]) -> Iterator[InOrder]:
    """In order of (``settled_at``, id), as billing takes them; what is not booked has no id and comes after. ``found``
    are in order of ``settled_at``; memory is that of `AT_ONCE`, and of what settled at one instant.
    """
    held: list[Placed] = []
    for _, instant in groupby(found, key=itemgetter(0)):
        held += instant
        if len(held) >= AT_ONCE:
            yield from _untied(customer, held)
            held = []
    yield from _untied(customer, held)


def _untied(customer: int, found: list[Placed]) -> Iterator[InOrder]:
    instants = [settled_at for settled_at, _, _ in found]
    tied = sorted({one for one, following in pairwise(instants) if one == following})
    if tied:
        ids = _ids(customer, [from_us(one) for one in tied])
        last = "~"  # behind every id
        found.sort(key=lambda one: (one[0], ids.get((one[1], one[2].condition_id), last), one[1]))
    return (one for _, _, one in found)


def _ids(customer: int, settled_at: list[datetime]) -> dict[tuple[int, int], str]:
    """The ids of booked outcomes by (event that met it, condition)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT met_by_seq, condition_id, id FROM outcomes_outcome "
            "WHERE customer_id = %s AND settled_at = ANY(%s) AND state = 'confirmed'",
            [customer, settled_at],
        )
        return {(met_by, condition): str(pk) for met_by, condition, pk in cursor.fetchall()}
