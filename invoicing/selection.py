"""Which confirmed outcomes are to be billed, read and assigned to lines set-wise: a million of them never leave the
database.

A contract is cut twice: into billing periods (an outcome belongs to the one that contains its ``settled_at``) and into
stretches of equal terms (it is priced by the one that contains its ``met_at``). Both cuts go into the SQL as sorted
thresholds, and ``width_bucket`` finds an outcome's place in each by binary search. No civil time is read in SQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from contracts.domain.periods import Period
from contracts.terms import Agreement, Stretch, Terms


@dataclass(frozen=True)
class Grid:
    """A contract's periods up to some instant, and its stretches; both adjoining and in order."""

    agreement: Agreement
    periods: tuple[Period, ...]
    stretches: tuple[Stretch, ...]

    def is_last(self, index: int) -> bool:
        """Whether the period is the contract's last, which also takes what settles after the contract's end."""
        return self.periods[index].end == self.agreement.ends_at

    def horizon(self, index: int) -> datetime | None:
        """Outcomes settled before this belong to the period or to an earlier one; None for all."""
        return None if self.is_last(index) else self.periods[index].end


@dataclass(frozen=True)
class Group:
    """Outcomes that bill alike. ``dimensions`` is their JSON text, ``stretch`` and ``period`` are indexes."""

    condition_id: int
    version_id: int
    dimensions: str
    stretch: int
    period: int
    outcomes: int
    quantity: Decimal


@dataclass(frozen=True)
class Key:
    """One way to a price: outcomes of this condition, dimensions and stretch go on the line with this ``number``."""

    condition_id: int
    dimensions: str
    stretch: int
    number: int


@dataclass(frozen=True)
class Assigned:
    """What was put on one line."""

    number: int
    period: int
    line_id: UUID
    outcomes: int
    quantity: Decimal


def grid_of(terms: Terms, agreement: Agreement, *, until: datetime) -> Grid:
    """The contract's grid with every period that begins before ``until``."""
    return Grid(agreement, tuple(agreement.periods(until=until)), terms.stretches(agreement))


# Billable and on no live line. `review` holds what a person must complete first; without a quantity nothing can be
# billed.
UNBILLED = """
    o.customer_id = %(customer)s AND o.state = 'confirmed' AND o.settled_at IS NOT NULL
    AND o.met_at >= %(starts_at)s AND (%(ends_at)s::timestamptz IS NULL OR o.met_at < %(ends_at)s)
    AND o.settled_at < coalesce(%(horizon)s::timestamptz, 'infinity')
    AND cardinality(o.review) = 0 AND o.quantity IS NOT NULL
    AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b WHERE b.outcome_id = o.id AND b.live)
"""

_PROVISIONAL = """
    o.customer_id = %(customer)s AND o.state = 'provisional'
    AND o.met_at >= %(starts_at)s AND (%(ends_at)s::timestamptz IS NULL OR o.met_at < %(ends_at)s)
    AND coalesce(o.settles_at, '-infinity') < coalesce(%(horizon)s::timestamptz, 'infinity')
    AND o.quantity IS NOT NULL
"""

_GROUPS = """
SELECT o.condition_id, o.version_id, o.dimensions::text,
       width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1 AS stretch,
       greatest(width_bucket({instant}, %(periods)s::timestamptz[]) - 1, 0) AS period,
       count(*), sum(o.quantity)
FROM outcomes_outcome o
WHERE {where}
GROUP BY o.condition_id, o.version_id, o.dimensions, stretch, period
ORDER BY o.condition_id, o.dimensions, stretch, period, o.version_id
"""

# One statement, so that the rows counted are the rows assigned. The lines are inserted after it in the same transaction
# (the foreign key is checked at commit): their ids are made here.
_ASSIGN = f"""
WITH keys AS (
    SELECT * FROM unnest(
        %(conditions)s::bigint[], %(dimensions)s::jsonb[], %(key_stretches)s::int[], %(numbers)s::int[]
    ) AS k (condition_id, dimensions, stretch, number)
), chosen AS MATERIALIZED (
    SELECT o.id, o.quantity, k.number, greatest(width_bucket(o.settled_at, %(periods)s::timestamptz[]) - 1, 0) AS period
    FROM outcomes_outcome o
    JOIN keys k ON k.condition_id = o.condition_id AND k.dimensions = o.dimensions
               AND k.stretch = width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1
    WHERE {UNBILLED}
), lines AS MATERIALIZED (
    SELECT number, period, gen_random_uuid() AS line_id, count(*) AS outcomes, sum(quantity) AS quantity
    FROM chosen GROUP BY number, period
), assigned AS (
    INSERT INTO invoicing_lineoutcome (line_id, outcome_id, live)
    SELECT lines.line_id, chosen.id, true FROM chosen JOIN lines USING (number, period)
)
SELECT number, period, line_id, outcomes, quantity FROM lines
"""

_VOIDED = """
SELECT o.condition_id, o.dimensions::text, width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1 AS stretch, count(*)
FROM outcomes_outcome o
WHERE o.customer_id = %(customer)s AND o.state = 'void'
  AND o.met_at >= %(starts_at)s AND (%(ends_at)s::timestamptz IS NULL OR o.met_at < %(ends_at)s)
  AND o.ended_at >= %(period_start)s AND o.ended_at < coalesce(%(horizon)s::timestamptz, 'infinity')
GROUP BY o.condition_id, o.dimensions, stretch
"""


def unbilled(grid: Grid, horizon: datetime | None) -> list[Group]:
    """Confirmed outcomes settled before ``horizon`` (None = all) that are on no line, grouped. One query."""
    return _groups(_GROUPS.format(instant="o.settled_at", where=UNBILLED), grid, horizon)


def provisional(grid: Grid, horizon: datetime | None) -> list[Group]:
    """Provisional outcomes that would settle before ``horizon`` (None = all), grouped as they stand now. One query."""
    return _groups(_GROUPS.format(instant="coalesce(o.settles_at, '-infinity')", where=_PROVISIONAL), grid, horizon)


def assign(grid: Grid, horizon: datetime | None, keys: Sequence[Key]) -> list[Assigned]:
    """Put every unbilled outcome that fits a key on the line of that key and its period; one statement.

    The caller holds the customer's lock and inserts lines with the ids answered before it commits.
    """
    parameters = _parameters(grid, horizon) | {
        "conditions": [key.condition_id for key in keys],
        "dimensions": [key.dimensions for key in keys],
        "key_stretches": [key.stretch for key in keys],
        "numbers": [key.number for key in keys],
    }
    with connection.cursor() as cursor:
        cursor.execute(_ASSIGN, parameters)
        return [Assigned(*row) for row in cursor.fetchall()]


def voided(grid: Grid, index: int) -> list[tuple[int, str, int, int]]:
    """Outcomes voided inside their window in a period: (condition id, dimensions, stretch, how many)."""
    parameters = _parameters(grid, grid.horizon(index)) | {"period_start": grid.periods[index].start}
    with connection.cursor() as cursor:
        cursor.execute(_VOIDED, parameters)
        return list(cursor.fetchall())


def _groups(sql: str, grid: Grid, horizon: datetime | None) -> list[Group]:
    with connection.cursor() as cursor:
        cursor.execute(sql, _parameters(grid, horizon))
        return [Group(*row) for row in cursor.fetchall()]


def _parameters(grid: Grid, horizon: datetime | None) -> dict[str, Any]:
    return {
        "customer": grid.agreement.customer_id,
        "starts_at": grid.agreement.starts_at,
        "ends_at": grid.agreement.ends_at,
        "horizon": horizon,
        "periods": [period.start for period in grid.periods],
        "stretches": [stretch.start for stretch in grid.stretches],
    }
