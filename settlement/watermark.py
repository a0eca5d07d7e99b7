"""How far the past is known: what has been accepted is always seen before anything it could touch becomes final.

The watermark of a partition is `now` when none of its accepted events waits for evaluation, else the earliest `time`
among those that wait (design page 2, section 5). Customers that an open import touches do not settle at all until it
is closed.
"""

from datetime import datetime, timedelta

from django.db.models import Min

from contracts.models import PARTITIONS
from contracts.terms import grace_by_customer
from outcomes.models import ImportCustomer, Outcome, Pending


def watermarks(now: datetime) -> list[datetime]:
    """The watermark of each partition, by its number."""
    marks = [now] * PARTITIONS
    for partition, earliest in Pending.objects.values_list("partition").annotate(Min("time")):
        marks[partition] = min(now, earliest)
    return marks


def paused_customers() -> list[int]:
    """Customers whose settlement waits for an import to be closed."""
    return list(
        ImportCustomer.objects.filter(batch_import__closed_at=None).values_list("customer_id", flat=True).distinct()
    )


def graces(now: datetime) -> dict[int, timedelta]:
    """Customer id → how much longer settlement waits for it, where its contract says so, among those with work due."""
    due = Outcome.objects.filter(due_at__lte=now).values_list("customer_id", flat=True).distinct()
    return {
        customer: timedelta(seconds=seconds) for customer, seconds in grace_by_customer(list(due)).items() if seconds
    }
