"""What the outcomes of one customer come to under one set of terms, while they are replayed: sums by line, and one by
one only those whose price asks for it.

A billing run does the same in SQL over what is booked (`invoicing.selection`); an outcome's period, stretch of equal
terms and group are found by the same rules.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from contracts.domain import rating
from contracts.domain.money import EXACT
from contracts.domain.rating import ZERO
from contracts.terms import Agreement, Terms
from invoicing.selection import Grid, Group, InOrder, grid_of
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import CONFIRMED, Attempt
from simulation.in_order import Spool

FOREVER = 2**63

_add = EXACT.add


class Places:
    """Where an instant lies in one contract, in microseconds. ``asked`` says of each period whether it counts; where
    what came before decides on what is drawn from a commitment, earlier ones are kept, too.
    """

    __slots__ = ("asked", "end", "grid", "in_order", "kept", "last", "periods", "start", "stretches")

    def __init__(self, terms: Terms, agreement: Agreement, start: datetime, end: datetime) -> None:
        self.grid: Grid = grid_of(terms, agreement, until=end)
        self.start = to_us(agreement.starts_at)
        self.end = FOREVER if agreement.ends_at is None else to_us(agreement.ends_at)
        self.stretches = [to_us(stretch.start) for stretch in self.grid.stretches]
        self.periods = [to_us(period.start) for period in self.grid.periods]
        self.asked = [period.end > start and period.start < end for period in self.grid.periods]
        committed = any(version.commitments for version in agreement.versions)
        self.kept = [asked or committed for asked in self.asked]
        closes = self.grid.periods and self.grid.is_last(len(self.grid.periods) - 1)
        # What settles after the contract's end belongs to its last period; what settles after the span, to none here.
        self.last = FOREVER if closes else to_us(self.grid.periods[-1].end) if self.grid.periods else 0
        self.in_order = {
            price.condition for stretch in self.grid.stretches for price in stretch.prices if rating.needs_order(price)
        }


@dataclass(slots=True)
class Sum:
    """Outcomes that bill alike. ``confirmed`` are all that were confirmed, of which ``reversed`` were taken back;
    ``unclear`` are those of the rest that wait for a person. ``outcomes``, ``quantity`` and ``value`` are what bills.
    """

    confirmed: int = 0
    reversed: int = 0
    unclear: int = 0
    outcomes: int = 0
    quantity: Decimal = ZERO
    value: Decimal = ZERO


Way = tuple[int, int, int, int, str, bool]
"""(contract, period, condition, stretch, dimensions as JSON text, whether the amount is known); the first two are
indexes.
"""


@dataclass(slots=True)
class Tally:
    """One condition of one customer: sums by way, and under no contract by (month as `2026-03` in UTC, condition).

    ``in_order`` are the (contract, period) whose outcomes count one by one: those lie in ``spool``, under ``number``.
    ``provisional`` are those in their window.
    """

    condition: int
    spool: Spool
    number: int = field(init=False)
    sums: dict[Way, Sum] = field(default_factory=dict)
    loose: dict[tuple[str, int], Sum] = field(default_factory=dict)
    in_order: set[tuple[int, int]] = field(default_factory=set)
    provisional: int = 0

    def __post_init__(self) -> None:
        self.number = self.spool.number()


class Ledger:
    """One customer under one set of terms."""

    __slots__ = ("contracts", "end", "start")

    def __init__(self, terms: Terms, customer: int, start: datetime, end: datetime) -> None:
        self.contracts = [Places(terms, one, start, end) for one in terms.agreements(customer)]
        self.start, self.end = to_us(start), to_us(end)

    def asked(self, attempt: Attempt) -> bool:
        """Whether a confirmed outcome belongs to a billing period (under no contract: settled at an instant) that
        counts.
        """
        assert attempt.met_at is not None and attempt.settled_at is not None
        number = self._contract_at(attempt.met_at)
        if number is None:
            return self.start <= attempt.settled_at < self.end
        period = _period(self.contracts[number], attempt.settled_at)
        return period is not None and self.contracts[number].asked[period]

    def _contract_at(self, instant: int) -> int | None:
        for number, places in enumerate(self.contracts):
            if places.start <= instant < places.end:
                return number
        return None

    def add(self, tally: Tally, condition: int, attempt: Attempt) -> None:
        """Count an outcome that was confirmed."""
        worth, met_at, settled_at = attempt.worth, attempt.met_at, attempt.settled_at
        assert worth is not None and met_at is not None and settled_at is not None and attempt.met_by is not None
        number = self._contract_at(met_at)
        if number is None:
            if self.start <= settled_at < self.end:
                _count(tally.loose.setdefault((_month(settled_at), condition), Sum()), attempt)
            return
        places = self.contracts[number]
        period = _period(places, settled_at)
        if period is None or not places.kept[period]:
            return
        stretch = max(bisect_right(places.stretches, met_at) - 1, 0)
        dimensions = _text(tuple(worth.dimensions.items()))
        way = (number, period, condition, stretch, dimensions, worth.amount is not None)
        found = tally.sums.get(way)
        if found is None:
            found = tally.sums[way] = Sum()
        if _count(found, attempt) and condition in places.in_order:
            assert worth.quantity is not None
            value = None if worth.amount is None else max(worth.amount, ZERO)
            one = InOrder(condition, dimensions, stretch, worth.quantity, value)
            tally.in_order.add((number, period))
            tally.spool.put(tally.number, number, period, settled_at, attempt.met_by, one)


def _period(places: Places, settled_at: int) -> int | None:
    if settled_at >= places.last:
        return None
    return max(bisect_right(places.periods, settled_at) - 1, 0)


def _count(found: Sum, attempt: Attempt) -> bool:
    """Whether it bills."""
    found.confirmed += 1
    worth = attempt.worth
    assert worth is not None
    if attempt.state != CONFIRMED:
        found.reversed += 1
        return False
    if worth.review or worth.quantity is None:
        found.unclear += 1
        return False
    found.outcomes += 1
    found.quantity = _add(found.quantity, worth.quantity)
    if worth.amount is not None and worth.amount > 0:
        found.value = _add(found.value, worth.amount)
    return True


def groups(tallies: Iterator[Tally], contract: int) -> list[Group]:
    """The sums of one contract as a billing run groups them; what does not bill is left out."""
    return [
        Group(condition, 0, dimensions, stretch, period, valued, one.outcomes, one.quantity, one.value)
        for tally in tallies
        for (number, period, condition, stretch, dimensions, valued), one in tally.sums.items()
        if number == contract and one.outcomes
    ]


@lru_cache(maxsize=10_000)
def _text(dimensions: tuple[tuple[str, str | None], ...]) -> str:
    return json.dumps(dict(dimensions))


def _month(instant: int) -> str:
    return f"{from_us(instant):%Y-%m}"


def month_of(grid: Grid, period: int) -> str:
    """The month in which a period begins, by the contract's calendar: `2026-03`."""
    start = grid.periods[period].start
    zone = ZoneInfo(grid.agreement.version_at(start).cadence.time_zone)
    return f"{start.astimezone(zone):%Y-%m}"
