"""Which outcomes are to be billed, which are billed and still stand, which are to be taken back: read, and put on
lines, set-wise. A million of them never leave the database.

A contract is cut twice: into billing periods (an outcome belongs to the one that contains its ``settled_at``) and into
stretches of equal terms (it is priced by the one that contains its ``met_at``). Both cuts go into the SQL as sorted
thresholds, and ``width_bucket`` finds an outcome's place in each by binary search. No civil time is read in SQL.
"""

import json
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.db import connection

from contracts.domain.periods import Period
from contracts.terms import Agreement, Stretch, Terms
from settlement.queries import KEPT_OFF_INVOICES

# Outcomes read one by one come in batches of so many.
FETCHED = 2000


@dataclass(frozen=True)
class Grid:
    """A contract's periods up to some instant, and its stretches; both adjoining and in order. ``card_versions`` is how
    many versions its rate cards have.
    """

    agreement: Agreement
    periods: tuple[Period, ...]
    stretches: tuple[Stretch, ...]
    card_versions: int = 0

    def index_of(self, start: datetime) -> int | None:
        """The index of the period that begins then; None where the contract has none."""
        index = bisect_left([period.start for period in self.periods], start)
        return index if index < len(self.periods) and self.periods[index].start == start else None

    def is_last(self, index: int) -> bool:
        """Whether the period is the contract's last, which also takes what settles after the contract's end."""
        return self.periods[index].end == self.agreement.ends_at

    def horizon(self, index: int) -> datetime | None:
        """Outcomes settled before this belong to the period or to an earlier one; None for all."""
        return None if self.is_last(index) else self.periods[index].end


@dataclass(frozen=True)
class Group:
    """Outcomes that bill alike. ``dimensions`` is their JSON text, ``stretch`` and ``period`` are indexes, ``valued``
    says whether their amounts are known, and ``value`` is the sum of those, one below zero counting as zero.
    """

    condition_id: int
    version_id: int
    dimensions: str
    stretch: int
    period: int
    valued: bool
    outcomes: int
    quantity: Decimal
    value: Decimal


@dataclass(frozen=True)
class Key:
    """One way to a price: outcomes of this condition, dimensions and stretch go on the line with this ``number``;
    where it is ``valued`` only those whose amount is known.
    """

    condition_id: int
    dimensions: str
    stretch: int
    number: int
    valued: bool = False


@dataclass(frozen=True)
class Assigned:
    """What was put on one line."""

    number: int
    period: int
    line_id: UUID
    outcomes: int
    quantity: Decimal
    value: Decimal


@dataclass(frozen=True)
class Undone:
    """Outcomes that are no longer confirmed, all billed by one line, which is of the period that begins then."""

    line_id: UUID
    period_start: datetime
    outcomes: int
    quantity: Decimal
    value: Decimal


@dataclass(frozen=True)
class InOrder:
    """One outcome, where they count one by one. ``value`` is its amount, 0 for one below zero, None where it is
    unknown.
    """

    condition_id: int
    dimensions: str
    stretch: int
    quantity: Decimal
    value: Decimal | None


def grid_of(terms: Terms, agreement: Agreement, *, until: datetime) -> Grid:
    """The contract's grid with every period that begins before ``until``."""
    cards = len(terms.card_versions(agreement))
    return Grid(agreement, tuple(agreement.periods(until=until)), terms.stretches(agreement), cards)


# Billable and on no live line. `review` holds what a person must complete first; without a quantity nothing can be
# billed; and a hold or a dispute keeps it off.
UNBILLED = f"""
    o.customer_id = %(customer)s AND o.state = 'confirmed' AND o.settled_at IS NOT NULL
    AND o.met_at >= %(starts_at)s AND (%(ends_at)s::timestamptz IS NULL OR o.met_at < %(ends_at)s)
    AND o.settled_at < coalesce(%(horizon)s::timestamptz, 'infinity')
    AND cardinality(o.review) = 0 AND o.quantity IS NOT NULL
    AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b WHERE b.outcome_id = o.id AND b.live)
    AND NOT {KEPT_OFF_INVOICES}
"""

_PROVISIONAL = f"""
    o.customer_id = %(customer)s AND o.state = 'provisional'
    AND o.met_at >= %(starts_at)s AND (%(ends_at)s::timestamptz IS NULL OR o.met_at < %(ends_at)s)
    AND coalesce(o.settles_at, '-infinity') < coalesce(%(horizon)s::timestamptz, 'infinity')
    AND o.quantity IS NOT NULL AND NOT {KEPT_OFF_INVOICES}
"""

_GROUPS = """
SELECT o.condition_id, o.version_id, o.dimensions::text,
       width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1 AS stretch,
       greatest(width_bucket({instant}, %(periods)s::timestamptz[]) - 1, 0) AS period,
       o.amount IS NOT NULL AS valued, count(*), sum(o.quantity), coalesce(sum(greatest(o.amount, 0)), 0)
FROM outcomes_outcome o
WHERE {where}
GROUP BY o.condition_id, o.version_id, o.dimensions, stretch, period, valued
ORDER BY o.condition_id, o.dimensions, stretch, period, o.version_id, valued
"""

# One statement, so that the rows counted are the rows assigned. The lines are inserted after it in the same transaction
# (the foreign key is checked at commit): their ids are made here.
#
# Keys are looked up in an object: the planner would join them by a loop over all of them for each outcome (measured:
# 500 lines cost six times as much). OFFSET 0 keeps it from working the key out twice.
_ASSIGN = f"""
WITH chosen AS MATERIALIZED (
    SELECT o.id, o.quantity, o.amount, way.number,
           greatest(width_bucket(o.settled_at, %(periods)s::timestamptz[]) - 1, 0) AS period
    FROM outcomes_outcome o, LATERAL (
        SELECT coalesce(CASE WHEN o.amount IS NOT NULL THEN (%(of_valued)s::jsonb ->> place)::int END,
                        (%(of_any)s::jsonb ->> place)::int) AS number
        FROM (SELECT concat_ws(' ', o.condition_id, width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1,
                               o.dimensions) AS place OFFSET 0) p
        OFFSET 0
    ) way
    WHERE {UNBILLED} AND way.number IS NOT NULL
      AND greatest(width_bucket(o.settled_at, %(periods)s::timestamptz[]) - 1, 0) = ANY(%(chosen)s::int[])
), lines AS MATERIALIZED (
    SELECT number, period, gen_random_uuid() AS line_id, count(*) AS outcomes, sum(quantity) AS quantity,
           coalesce(sum(greatest(amount, 0)), 0) AS value
    FROM chosen GROUP BY number, period
), placed AS MATERIALIZED (
    SELECT jsonb_object_agg(number || ' ' || period, line_id) AS ids FROM lines
), assigned AS (
    INSERT INTO invoicing_lineoutcome (line_id, outcome_id, live)
    SELECT ((SELECT ids FROM placed) ->> (number || ' ' || period))::uuid, id, true FROM chosen
)
SELECT number, period, line_id, outcomes, quantity, value FROM lines
"""

# On live lines and not taken back; what settled under no contract any more has no price. A line of a draft that is made
# after the document in question takes nothing back from it.
_STANDING = """
    o.met_at >= %(starts_at)s AND (%(ends_at)s::timestamptz IS NULL OR o.met_at < %(ends_at)s)
    AND o.quantity IS NOT NULL
    AND (b.live OR %(history)s)
    AND NOT EXISTS (SELECT FROM invoicing_linereversal r
                    WHERE r.outcome_id = o.id AND (r.live OR %(history)s) AND r.line_id = ANY(%(reversing)s::uuid[]))
"""

# By line first: whatever the planner believes of the tables, it goes from lines to their outcomes.
_KEPT = f"""
WITH on_line AS MATERIALIZED (
    SELECT b.line_id, o.condition_id, o.version_id, o.dimensions,
           width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1 AS stretch, o.amount IS NOT NULL AS valued,
           count(*) AS outcomes, sum(o.quantity) AS quantity, coalesce(sum(greatest(o.amount, 0)), 0) AS value
    FROM invoicing_lineoutcome b JOIN outcomes_outcome o ON o.id = b.outcome_id
    WHERE b.line_id = ANY(%(lines)s::uuid[]) AND {_STANDING} AND (o.state = 'confirmed' OR NOT %(as_it_stands)s)
    GROUP BY b.line_id, o.condition_id, o.version_id, o.dimensions, stretch, valued
)
SELECT condition_id, version_id, dimensions::text, stretch, given.period, valued,
       sum(outcomes)::bigint, sum(quantity), sum(value)
FROM on_line
JOIN unnest(%(lines)s::uuid[], %(line_periods)s::int[]) AS given (line_id, period) ON given.line_id = on_line.line_id
GROUP BY condition_id, version_id, dimensions, stretch, given.period, valued
ORDER BY condition_id, dimensions, stretch, given.period, version_id, valued
"""

# It starts from what is reversed, which is little, by the index `outcome_reversed`.
_REVERSED = """
    FROM outcomes_outcome o
    JOIN invoicing_lineoutcome b ON b.outcome_id = o.id AND b.live
    WHERE o.customer_id = %(customer)s AND o.state = 'reversed'
      AND NOT EXISTS (SELECT FROM invoicing_linereversal r WHERE r.outcome_id = o.id AND r.live)
"""

_UNDONE = f"""
SELECT b.line_id, l.period_start, count(*), sum(b.quantity), sum(b.value)
FROM (SELECT b.line_id, o.quantity, greatest(coalesce(o.amount, 0), 0) AS value {_REVERSED}) b
JOIN invoicing_invoiceline l ON l.id = b.line_id
LEFT JOIN invoicing_invoice i ON i.id = l.invoice_id LEFT JOIN invoicing_creditnote n ON n.id = l.credit_note_id
WHERE coalesce(i.contract_id, n.contract_id) = %(contract)s AND coalesce(i.status, n.status) <> 'draft'
GROUP BY b.line_id, l.period_start ORDER BY l.period_start, b.line_id
"""

_TAKE_BACK = f"""
WITH chosen AS MATERIALIZED (
    SELECT b.outcome_id, b.quantity, b.value, given.line_id
    FROM (SELECT b.outcome_id, b.line_id, o.quantity, greatest(coalesce(o.amount, 0), 0) AS value {_REVERSED}) b
    JOIN unnest(%(billing)s::uuid[], %(taking)s::uuid[]) AS given (billed_by, line_id) ON given.billed_by = b.line_id
), added AS (
    INSERT INTO invoicing_linereversal (line_id, outcome_id, live) SELECT line_id, outcome_id, true FROM chosen
)
SELECT line_id, count(*), sum(quantity), sum(value) FROM chosen GROUP BY line_id
"""

_SETTLED = "o.settled_at"
_SETTLES = "coalesce(o.settles_at, '-infinity')"

_IN_ORDER_ON_LINES = f"""
SELECT o.settled_at AS instant, o.id, o.condition_id, o.dimensions,
       width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1 AS stretch, o.quantity, o.amount
FROM invoicing_lineoutcome b JOIN outcomes_outcome o ON o.id = b.outcome_id
WHERE b.line_id = ANY(%(lines)s::uuid[]) AND {_STANDING}
  AND (o.state = 'confirmed' OR NOT %(as_it_stands)s) AND o.condition_id = ANY(%(conditions)s::bigint[])
"""

_IN_ORDER_ON_NONE = """
SELECT {instant}, o.id, o.condition_id, o.dimensions,
       width_bucket(o.met_at, %(stretches)s::timestamptz[]) - 1, o.quantity, o.amount
FROM outcomes_outcome o
WHERE {where} AND o.condition_id = ANY(%(conditions)s::bigint[])
  AND greatest(width_bucket({instant}, %(periods)s::timestamptz[]) - 1, 0) = %(period)s
"""

_VOIDED = """
SELECT o.condition_id, count(*)
FROM outcomes_outcome o
WHERE o.customer_id = %(customer)s AND o.state = 'void'
  AND o.met_at >= %(starts_at)s AND (%(ends_at)s::timestamptz IS NULL OR o.met_at < %(ends_at)s)
  AND o.ended_at >= %(period_start)s AND o.ended_at < coalesce(%(horizon)s::timestamptz, 'infinity')
GROUP BY o.condition_id
"""


class Which(Enum):
    """Which outcomes of a contract are meant: (predicate, the instant that puts one into a period)."""

    UNBILLED = (UNBILLED, _SETTLED)
    PROVISIONAL = (_PROVISIONAL, _SETTLES)


def unbilled(grid: Grid, horizon: datetime | None) -> list[Group]:
    """Confirmed outcomes settled before ``horizon`` (None = all) that are on no line, grouped. One query."""
    return grouped(grid, horizon, Which.UNBILLED)


def grouped(grid: Grid, horizon: datetime | None, which: Which) -> list[Group]:
    """Those outcomes before ``horizon`` (None = all) in groups; the provisional ones as they stand now. One query."""
    where, instant = which.value
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS.format(instant=instant, where=where), _parameters(grid, horizon))
        return [Group(*row) for row in cursor.fetchall()]


@dataclass(frozen=True)
class OnLines:
    """Outcomes that stand on lines: those on ``lines`` (by period, an index), but for what lines in ``reversing`` take
    back. With ``as_it_stands`` also but for what is no longer confirmed, and is to be taken back; as ``history`` those
    too that a void invoice let go.
    """

    lines: Mapping[int, Sequence[UUID]]
    reversing: Collection[UUID]
    as_it_stands: bool = False
    history: bool = False

    def parameters(self, index: int | None = None) -> dict[str, Any]:
        """With the lines of all periods, or of one."""
        chosen = [(line, period) for period, lines in self.lines.items() for line in lines if index in (None, period)]
        return {
            "lines": [line for line, _ in chosen],
            "line_periods": [period for _, period in chosen],
            "reversing": list(self.reversing),
            "as_it_stands": self.as_it_stands,
            "history": self.history,
        }


def kept(grid: Grid, on_lines: OnLines, but: Collection[int] = ()) -> list[Group]:
    """The outcomes that stand on these lines in groups, by the terms of today; those of some periods, ``but`` these,
    left out. A query where there are lines.
    """
    lines = {period: some for period, some in on_lines.lines.items() if some and period not in but}
    if not lines:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_KEPT, _parameters(grid, None) | replace(on_lines, lines=lines).parameters())
        return [Group(*row) for row in cursor.fetchall()]


def in_order(
    grid: Grid, index: int, conditions: Collection[int], on_lines: OnLines, which: Collection[Which]
) -> Iterator[InOrder]:
    """The outcomes of the period ``index`` with these conditions, one by one in order of (``settled_at``, id), by a
    cursor of the database: those on lines, and those among ``which``.
    """
    parts = [_IN_ORDER_ON_LINES]
    for one in which:
        where, instant = one.value
        parts.append(_IN_ORDER_ON_NONE.format(where=where, instant=instant))
    sql = f"""
        SELECT condition_id, dimensions::text, stretch, quantity,
               CASE WHEN amount IS NOT NULL THEN greatest(amount, 0) END
        FROM ({" UNION ALL ".join(parts)}) o ORDER BY instant, id
    """
    parameters = _parameters(grid, grid.horizon(index) if which else None) | on_lines.parameters(index)
    parameters |= {"conditions": list(conditions), "period": index}
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, parameters)
        while rows := cursor.fetchmany(FETCHED):
            yield from (InOrder(*row) for row in rows)


def undone(agreement: Agreement) -> list[Undone]:
    """What stands on lines of the contract's issued documents and is no longer confirmed. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_UNDONE, {"customer": agreement.customer_id, "contract": agreement.id})
        return [Undone(*row) for row in cursor.fetchall()]


def assign(grid: Grid, horizon: datetime | None, keys: Sequence[Key], chosen: Collection[int]) -> list[Assigned]:
    """Put every unbilled outcome of the periods ``chosen`` that fits a key on the line of that key and its period; one
    statement.

    The caller holds the customer's lock and inserts lines with the ids answered before it commits.
    """
    of_any, of_valued = (
        {f"{key.condition_id} {key.stretch} {key.dimensions}": key.number for key in keys if key.valued == valued}
        for valued in (False, True)
    )
    parameters = _parameters(grid, horizon) | {
        "of_any": json.dumps(of_any),
        "of_valued": json.dumps(of_valued),
        "chosen": list(chosen),
    }
    with connection.cursor() as cursor:
        cursor.execute(_ASSIGN, parameters)
        return [Assigned(*row) for row in cursor.fetchall()]


def take_back(agreement: Agreement, lines: Mapping[UUID, UUID]) -> list[tuple[UUID, int, Decimal, Decimal]]:
    """Have lines take back what is undone: by the line that billed it, the one that takes it back. Answers (line,
    outcomes, quantity, value) for each of the latter; one statement, under the conditions of `assign`.
    """
    parameters: dict[str, Any] = {
        "customer": agreement.customer_id,
        "billing": list(lines),
        "taking": list(lines.values()),
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_BACK, parameters)
        return list(cursor.fetchall())


def voided(grid: Grid, index: int) -> dict[int, int]:
    """How many outcomes were voided inside their window in a period, by condition."""
    parameters = _parameters(grid, grid.horizon(index)) | {"period_start": grid.periods[index].start}
    with connection.cursor() as cursor:
        cursor.execute(_VOIDED, parameters)
        return dict(cursor.fetchall())


def _parameters(grid: Grid, horizon: datetime | None) -> dict[str, Any]:
    return {
        "customer": grid.agreement.customer_id,
        "starts_at": grid.agreement.starts_at,
        "ends_at": grid.agreement.ends_at,
        "horizon": horizon,
        "periods": [period.start for period in grid.periods],
        "stretches": [stretch.start for stretch in grid.stretches],
    }
