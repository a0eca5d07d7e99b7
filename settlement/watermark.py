"""How far the past is known: what has been accepted is always seen before anything it could touch becomes final.

The watermark of a partition is `now` when none of its accepted events waits for evaluation, else the earliest `time`
among those that wait (design page 2, section 5). Customers that an open import touches do not settle at all until it
is closed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from contracts.models import PARTITIONS, Customer
from contracts.terms import grace_by_customer

# The partitions in which events wait, with the time of the earliest: a look at the first entry of each in the index,
# where an aggregate would read all that waits.
EARLIEST = f"""
SELECT p AS partition, first."time" AS earliest FROM generate_series(0, {PARTITIONS - 1}) AS p
CROSS JOIN LATERAL (SELECT "time" FROM outcomes_pending WHERE partition = p ORDER BY "time" LIMIT 1) AS first
"""

# The same for customers with a test clock, by customer: their events alone count, since those of others in the
# partition happen at times that mean nothing to their clock.
OWN_EARLIEST = """
SELECT e.customer_id, min(p."time") AS earliest FROM outcomes_pending p JOIN outcomes_event e ON e.seq = p.seq
WHERE p.partition = ANY(%(partitions)s::smallint[]) AND e.customer_id = ANY(%(only)s::bigint[]) GROUP BY e.customer_id
"""


# Customers whose settlement waits for an import to be closed, and those of whose contracts some version has settlement
# wait longer: SQL of one column.
PAUSED: Final = """
SELECT DISTINCT t.customer_id FROM outcomes_importcustomer t JOIN outcomes_import i ON i.id = t.batch_import_id
WHERE i.closed_at IS NULL
"""
GRACED: Final = """
SELECT DISTINCT c.customer_id FROM contracts_contractversion v JOIN contracts_contract c ON c.id = v.contract_id
WHERE v.settlement_grace_seconds > 0
"""


def watermarks(now: datetime) -> list[datetime]:
    """The watermark of each partition, by its number."""
    marks = [now] * PARTITIONS
    with connection.cursor() as cursor:
        cursor.execute(EARLIEST)
        for partition, earliest in cursor.fetchall():
            marks[partition] = min(now, earliest)
    return marks


def own_watermarks(now: datetime, customers: Sequence[int]) -> dict[int, datetime]:
    """The watermark of each of these customers, whose test clock shows ``now``."""
    marks = dict.fromkeys(customers, now)
    with connection.cursor() as cursor:
        cursor.execute(OWN_EARLIEST, {"partitions": partitions_of(customers), "only": list(customers)})
        for customer, earliest in cursor.fetchall():
            marks[customer] = min(now, earliest)
    return marks


def partitions_of(customers: Sequence[int]) -> list[int]:
    """The partitions that these customers are in."""
    found = Customer.objects.filter(pk__in=customers).order_by("partition")
    return list(found.values_list("partition", flat=True).distinct())


def paused_customers() -> list[int]:
    """Customers whose settlement waits for an import to be closed."""
    return _customers(PAUSED)


def graces(graced: Sequence[int] | None = None) -> dict[int, timedelta]:
    """Customer id → how much longer settlement waits for it, where its contract says so: few, however much is due.
    ``graced`` is what `GRACED` finds, where that is known.
    """
    customers = _customers(GRACED) if graced is None else graced
    if not customers:
        return {}
    return {
        customer: timedelta(seconds=seconds) for customer, seconds in grace_by_customer(customers).items() if seconds
    }


def _customers(query: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [customer for (customer,) in cursor.fetchall()]
