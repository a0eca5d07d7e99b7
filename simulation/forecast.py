"""A forecast of a customer's running period: what is confirmed, and what its provisional outcomes come to if they
survive their settlement windows as past ones did. Writes nothing.

Nothing is foreseen that has not been met yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from django.db import connection

from access.errors import ApiError
from access.times import format_rfc3339
from contracts.clocks import is_test, now_of
from contracts.domain import money
from contracts.models import Condition, Customer
from invoicing.preview import Preview, preview
from invoicing.selection import Which
from settlement.queries import KEPT_OFF_INVOICES
from simulation.domain.survival import BUCKETS, EMPTY, Interval, LifeTable, Waiting, share_of

LEAST: Final = 30
"""Past outcomes that a rate needs, of a customer and condition or of a condition; of all, what there is counts."""
MOST: Final = 200_000
"""Past outcomes looked at, the newest."""
CONFIDENCE: Final = "0.95"

CUSTOMER, CONDITION, ALL = "customer", "condition", "all"
"""What a rate is of: this customer's outcomes of the condition, everybody's of it, everybody's of every condition."""

# Ages and windows are intervals; which bucket, from 0.
_BUCKET = f"""
    least(greatest(width_bucket(extract(epoch FROM {{age}})::float8 / extract(epoch FROM {{window}})::float8,
                                0, 1, {BUCKETS}), 1), {BUCKETS}) - 1
"""

# What settled the moment it was met was never provisional. An outcome that lapsed (`bill when` became false again)
# keeps neither `met_at` nor a window: its journal, where each row follows from the one before, tells how long it was
# met, and others of its condition how long a window is. One that was met again after it lapsed counts by what became
# of that. The journal is read by a join: a look for each outcome let the planner walk the whole of it each time.
_PAST = f"""
WITH past AS MATERIALIZED (
    SELECT o.id, o.condition_id, o.state, o.met_at, o.settles_at, o.ended_at
    FROM outcomes_outcome o
    WHERE {{whose}}
      AND (o.state IN ('open', 'missed')
           OR (o.state IN ('confirmed', 'reversed', 'void') AND o.settles_at > o.met_at AND o.settles_at <= %(now)s))
      AND NOT {KEPT_OFF_INVOICES}
    ORDER BY o.id DESC LIMIT %(most)s
), windows AS (
    SELECT condition_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY settles_at - met_at) AS usual
    FROM past WHERE state NOT IN ('open', 'missed') GROUP BY condition_id
), told AS (
    SELECT j.outcome_id, j.id, j.from_state, j.to_state, j.effective_at AS lapsed_at,
           lag(j.effective_at) OVER (PARTITION BY j.outcome_id ORDER BY j.id) AS met_at
    FROM outcomes_journal j WHERE j.outcome_id IN (SELECT id FROM past WHERE state IN ('open', 'missed'))
), lapses AS (
    SELECT DISTINCT ON (outcome_id) outcome_id, met_at, lapsed_at FROM told
    WHERE from_state = 'provisional' AND to_state = 'open' ORDER BY outcome_id, id DESC
), decided AS (
    SELECT condition_id,
           CASE WHEN state = 'void' THEN {_BUCKET.format(age="(ended_at - met_at)", window="(settles_at - met_at)")} END
               AS lost
    FROM past WHERE state NOT IN ('open', 'missed')
    UNION ALL
    SELECT p.condition_id, {_BUCKET.format(age="(l.lapsed_at - l.met_at)", window="w.usual")}
    FROM lapses l JOIN past p ON p.id = l.outcome_id JOIN windows w ON w.condition_id = p.condition_id
    WHERE l.met_at + w.usual <= %(now)s
)
SELECT condition_id, lost, count(*) FROM decided GROUP BY condition_id, lost
"""

_ITS_OWN = "o.customer_id = %(customer)s"
_ANYBODYS = "o.customer_id <> ALL (ARRAY(SELECT id FROM contracts_customer WHERE test_clock_id IS NOT NULL))"

# Without a planned end (`settle at` a time that no event told yet) it counts as fresh.
_WAITING = f"""
SELECT condition_id, avg(age), count(*),
       sum(quantity), sum(quantity * quantity), sum(value), sum(value * value)
FROM (
    SELECT o.condition_id, abs(o.quantity)::float8 AS quantity, greatest(coalesce(o.amount, 0), 0)::float8 AS value,
           CASE WHEN o.settles_at IS NULL THEN 0
                WHEN o.settles_at <= o.met_at THEN 1
                ELSE least(greatest(extract(epoch FROM %(now)s - o.met_at)::float8
                                    / extract(epoch FROM o.settles_at - o.met_at)::float8, 0), 1) END AS age
    FROM outcomes_outcome o WHERE {Which.PROVISIONAL.value[0]}
) p
GROUP BY condition_id, least(width_bucket(age, 0, 1, {BUCKETS}), {BUCKETS})
ORDER BY condition_id, avg(age)
"""

Tables = Mapping[int, LifeTable]
"""By condition id."""


@dataclass(frozen=True)
class Rated:
    """Provisional outcomes of one condition: how many, what they would charge in minor units, by which table they are
    judged (None: there is no past outcome at all) and of whom that is, and the share of them that is confirmed.
    """

    condition: int
    outcomes: int
    amount_minor: int
    basis: str | None
    table: LifeTable
    share: Interval


@dataclass(frozen=True)
class Forecast:
    """Minor units. Without any past outcome ``expected`` is None, and the bounds are nothing and everything."""

    preview: Preview
    now: datetime
    low: int
    expected: int | None
    high: int
    conditions: tuple[Rated, ...]


def past_of_everybody(now: datetime) -> dict[int, LifeTable]:
    """What became of the newest decided outcomes of every customer without a test clock. One query."""
    return _past(_ANYBODYS, {"now": now})


def forecast(customer_key: str, *, now: datetime, past: Tables | None = None) -> Forecast:
    """The forecast of the running period of a customer's contract. ``past`` is `past_of_everybody`, where it is known
    already. ApiError 404 as of a preview.
    """
    found = preview(customer_key, now=now)
    everybody = past_of_everybody(now) if past is None else past
    own_now = now_of(found.customer, now)
    own = _past(_ITS_OWN, {"now": own_now, "customer": found.customer.id})
    rated: list[Rated] = []
    waiting: list[Waiting] = []
    for condition, groups in _waiting(found, own_now).items():
        basis, table = _table(condition, own, everybody)
        mine = _worth(found, condition, table, groups)
        waiting += mine
        amount = sum(line.amount_minor for line in found.provisional.lines if line.condition_id == condition)
        judged = mine or [Waiting(table, age, float(n), float(n)) for age, n, *_ in groups]
        rated.append(Rated(condition, sum(n for _, n, *_ in groups), amount, basis, table, share_of(judged)))
    # Lines that charge nothing leave terms alone to be shared out: by what waits, then.
    if not waiting:
        for one in rated:
            waiting.append(Waiting(one.table, 0.0, float(one.outcomes), float(one.outcomes)))
    share = share_of(waiting)
    certain, more = found.confirmed.total_minor, found.provisional.total_minor
    bounds = sorted(certain + _rounded(more * Decimal(part)) for part in (share.low, share.high))
    known = all(one.table.outcomes for one in waiting)
    expected = certain + _rounded(more * Decimal(share.expected)) if known else None
    return Forecast(found, own_now, bounds[0], expected, bounds[1], tuple(rated))


def with_contracts() -> list[str]:
    """Keys of customers that have, or had, or will have a contract; in order."""
    found = Customer.objects.filter(contracts__isnull=False).distinct().order_by("key")
    return list(found.values_list("key", flat=True))


def forecasts(keys: Iterable[str], *, now: datetime, past: Tables, strict: bool = False) -> list[Forecast]:
    """Those of these customers that have a contract now; ApiError 404 of others where ``strict``."""
    found = []
    for key in keys:
        try:
            found.append(forecast(key, now=now, past=past))
        except ApiError as error:
            if strict or error.code != "no_contract":
                raise
    return found


def _rounded(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_HALF_EVEN))


def _past(whose: str, parameters: dict[str, Any]) -> dict[int, LifeTable]:
    tables: dict[int, LifeTable] = {}
    with connection.cursor() as cursor:
        cursor.execute(_PAST.format(whose=whose), parameters | {"most": MOST})
        for condition, bucket, outcomes in cursor.fetchall():
            lost = tuple(outcomes if bucket == one else 0 for one in range(BUCKETS))
            more = LifeTable(outcomes if bucket is None else 0, lost)
            tables[condition] = tables.get(condition, EMPTY).plus(more)
    return tables


def _table(condition: int, own: Tables, everybody: Tables) -> tuple[str | None, LifeTable]:
    """The narrowest table with enough behind it."""
    for basis, tables in ((CUSTOMER, own), (CONDITION, everybody)):
        table = tables.get(condition, EMPTY)
        if table.outcomes >= LEAST:
            return basis, table
    table = EMPTY
    for one in everybody.values():
        table = table.plus(one)
    return (ALL if table.outcomes else None), table


# Mean age, how many, their quantities and amounts: the sums, and the sums of the squares.
_Group = tuple[float, int, float, float, float, float]


def _waiting(found: Preview, now: datetime) -> dict[int, list[_Group]]:
    """By condition, what is in ``provisional`` of the preview, in buckets of age. One query."""
    agreement = found.agreement
    parameters: dict[str, Any] = {
        "now": now,
        "customer": found.customer.id,
        "starts_at": agreement.starts_at,
        "ends_at": agreement.ends_at,
        # As `Grid.horizon`: the last period also takes what settles later.
        "horizon": None if found.period.end == agreement.ends_at else found.period.end,
    }
    groups: dict[int, list[_Group]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, parameters)
        for condition, *group in cursor.fetchall():
            groups.setdefault(condition, []).append((*group,))
    return groups


def _worth(found: Preview, condition: int, table: LifeTable, groups: Iterable[_Group]) -> list[Waiting]:
    """What the condition's lines charge, spread over its outcomes by their quantities, or by their amounts where the
    price is a percentage. Empty where they charge nothing.
    """
    lines = [line for line in found.provisional.lines if line.condition_id == condition]
    charge = float(abs(sum(line.amount_minor for line in lines)))
    if not charge:
        return []
    by_amount = any(line.price is not None and line.price.model == "percentage" for line in lines)
    first = 4 if by_amount else 2
    sums = [(one[0], one[first], one[first + 1]) for one in groups]
    if not any(worth for _, worth, _ in sums):
        sums = [(one[0], float(one[1]), float(one[1])) for one in groups]
    whole = sum(worth for _, worth, _ in sums)
    each = charge / whole
    return [Waiting(table, age, worth * each, squares * each * each) for age, worth, squares in sums]


def forecast_json(found: Forecast) -> dict[str, Any]:
    """As the API shows it. Amounts are of the contract's currency, shares and rates decimals between 0 and 1."""
    currency = found.preview.agreement.currency
    ids = [one.condition for one in found.conditions]
    slugs = dict(Condition.objects.filter(pk__in=ids).values_list("pk", "slug"))
    certain, more = found.preview.confirmed.total_minor, found.preview.provisional.total_minor
    return {
        "customer": found.preview.customer.key,
        "test": is_test(found.preview.customer),
        "currency": currency,
        "period_start": format_rfc3339(found.preview.period.start),
        "period_end": format_rfc3339(found.preview.period.end),
        "now": format_rfc3339(found.now),
        "confirmed": money.major_text(certain, currency),
        "provisional": money.major_text(more, currency),
        "if_all_confirmed": money.major_text(certain + more, currency),
        "low": money.major_text(found.low, currency),
        "expected": None if found.expected is None else money.major_text(found.expected, currency),
        "high": money.major_text(found.high, currency),
        "confidence": CONFIDENCE,
        "conditions": [_condition_json(one, slugs[one.condition], currency) for one in found.conditions],
    }


def _condition_json(one: Rated, slug: str, currency: str) -> dict[str, Any]:
    return {
        "condition": slug,
        "outcomes": one.outcomes,
        "provisional": money.major_text(one.amount_minor, currency),
        "basis": one.basis,
        "past_outcomes": one.table.outcomes,
        "past_confirmed": one.table.confirmed,
        "share": None if one.basis is None else _interval_json(one.share),
        "by_age": [] if one.basis is None else [_age_json(one.table, bucket) for bucket in range(BUCKETS)],
    }


def _age_json(table: LifeTable, bucket: int) -> dict[str, Any]:
    age = bucket / BUCKETS
    at_risk = table.confirmed + sum(table.lost[bucket:])
    told = {"window_percent": 100 * bucket // BUCKETS, "provisional": at_risk, "confirmed": table.confirmed}
    return told | {"rate": _interval_json(table.interval(age)) if at_risk else None}


def _interval_json(one: Interval) -> dict[str, str]:
    return {"low": f"{one.low:.4f}", "expected": f"{one.expected:.4f}", "high": f"{one.high:.4f}"}
