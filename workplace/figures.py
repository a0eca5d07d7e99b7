"""What stands where: outcomes by day, what waits to be settled, evaluated, decided, invoiced or paid. Reads only.

Test customers do not count: their time is not ours, and their money is none.
"""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Q, Sum

from contracts.domain import money
from handover.models import Handover
from invoicing.models import CreditNote, Invoice, ParkedCustomer, Status
from outcomes.models import InboxItem, LateEvidence
from payments.models import Finding, Operation, StripeCredit, StripeInvoice
from settlement.domain import disputes as states
from settlement.models import Dispute
from webhooks.models import Delivery, Endpoint
from workplace.models import Figures

DAYS: Final = 30
"""So many days of outcomes are shown, today being the last."""

# How long figures count as fresh: twenty times what they cost, so that they never take more than a twentieth of a core.
AT_LEAST, COST = timedelta(minutes=5), 20

EXPIRED: Final = "expired"
"""In the data of a set that the next task works out again."""

Data = dict[str, Any]


def refresh(kind: str, work_out: Callable[[datetime], Data], *, now: datetime) -> Figures:
    """Work a set of figures out and keep it."""
    began = time.perf_counter()
    data = work_out(now)
    milliseconds = round((time.perf_counter() - began) * 1000)
    made, _ = Figures.objects.update_or_create(
        kind=kind, defaults={"made_at": now, "milliseconds": milliseconds, "data": data}
    )
    return made


def is_stale(kind: str, *, now: datetime) -> bool:
    """Whether a set is old enough to be worked out again."""
    known = Figures.objects.filter(kind=kind).first()
    if known is None:
        return True
    age = now - known.made_at
    return EXPIRED in known.data or age >= max(AT_LEAST, COST * timedelta(milliseconds=known.milliseconds))


def expire(kind: str) -> None:
    """Have a set worked out again by the next task, whatever it cost. What it tells stays as of when it was made."""
    for known in Figures.objects.filter(kind=kind):
        Figures.objects.filter(kind=kind, made_at=known.made_at).update(data=known.data | {EXPIRED: True})


def operations(now: datetime) -> Data:
    """Everything but revenue, as JSON. One look at the table of outcomes; the rest is found by indexes."""
    return {
        "days": _days(now),
        "backlog": _backlog(now),
        "inbox": dict(
            InboxItem.objects.filter(status=InboxItem.Status.WAITING)
            .order_by()
            .values_list("reason")
            .annotate(Count("pk"))
        ),
        "invoices": _invoices(now),
        "decisions": _decisions(),
        "webhooks": {
            "waiting": Delivery.objects.filter(status=Delivery.Status.WAITING).count(),
            "failing": Endpoint.objects.filter(disabled_at=None, failures__gt=0).count(),
            "disabled": Endpoint.objects.exclude(disabled_at=None).count(),
        },
        "stripe": {
            "waiting": Operation.objects.filter(status=Operation.Status.WAITING).count(),
            "oldest": _iso(
                Operation.objects.filter(status=Operation.Status.WAITING)
                .order_by("created_at")
                .values_list("created_at", flat=True)
                .first()
            ),
        },
    }


# --- Outcomes ---------------------------------------------------------------------------------------------------------

_TESTERS = "SELECT id FROM contracts_customer WHERE test_clock_id IS NOT NULL"

# One pass over all outcomes that settled or ended since, by day and state. What is reversed was confirmed on its day,
# too, and counts there.
_BY_DAY = f"""
SELECT (coalesce(o.settled_at, o.ended_at) AT TIME ZONE 'UTC')::date AS day, 'confirmed', count(*)
FROM outcomes_outcome o
WHERE o.state IN ('confirmed', 'reversed') AND o.settled_at >= %(since)s AND o.settled_at <= %(now)s
  AND o.customer_id NOT IN ({_TESTERS})
GROUP BY 1
UNION ALL
SELECT (o.ended_at AT TIME ZONE 'UTC')::date, o.state, count(*)
FROM outcomes_outcome o
WHERE o.state IN ('void', 'reversed') AND o.ended_at >= %(since)s AND o.ended_at <= %(now)s
  AND o.customer_id NOT IN ({_TESTERS})
GROUP BY 1, 2
"""


_LAST = f"""
SELECT max(o.settled_at) FROM outcomes_outcome o
WHERE o.settled_at <= %(now)s AND o.customer_id NOT IN ({_TESTERS})
"""


def _days(now: datetime) -> list[Data]:
    """By day, oldest first: how many were confirmed, voided inside their window, and reversed. Where nothing happened
    since, as after an import of old events, the days up to the last one on which something did.
    """
    found = _until(now)
    if not any(day[name] for day in found for name in _STATES):
        with connection.cursor() as cursor:
            cursor.execute(_LAST, {"now": now})
            (last,) = cursor.fetchone()
        if last is not None:
            return _until(last)
    return found


def _until(last: datetime) -> list[Data]:
    final = last.astimezone(UTC).date()
    first = final - timedelta(days=DAYS - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute(_BY_DAY, {"since": since, "now": last})
        counts: dict[tuple[date, str], int] = {(day, state): count for day, state, count in cursor.fetchall()}
    return [
        {
            "day": day.isoformat(),
            **{name: counts.get((day, state), 0) for name, state in _STATES.items()},
        }
        for day in (first + timedelta(days=number) for number in range(DAYS))
    ]


_STATES: Final = {"confirmed": "confirmed", "voided": "void", "reversed": "reversed"}

# What has a time at which the clock changes it, by that time; and what is accepted and not evaluated.
_BACKLOG = f"""
SELECT count(*) FILTER (WHERE o.state = 'provisional'),
       count(*) FILTER (WHERE o.state = 'provisional' AND o.due_at <= %(now)s),
       count(*) FILTER (WHERE o.state = 'provisional' AND o.due_at > %(now)s AND o.due_at <= %(tomorrow)s),
       min(o.due_at) FILTER (WHERE o.due_at <= %(now)s),
       (SELECT count(*) FROM outcomes_pending)
FROM outcomes_outcome o WHERE o.due_at IS NOT NULL AND o.customer_id NOT IN ({_TESTERS})
"""


def _backlog(now: datetime) -> Data:
    with connection.cursor() as cursor:
        cursor.execute(_BACKLOG, {"now": now, "tomorrow": now + timedelta(days=1)})
        provisional, due, tomorrow, oldest, pending = cursor.fetchone()
    return {
        "provisional": provisional,
        "due": due,
        "tomorrow": tomorrow,
        "oldest_due": _iso(oldest),
        "pending_events": pending,
    }


# --- Documents --------------------------------------------------------------------------------------------------------


def _invoices(now: datetime) -> list[Data]:
    """By status and currency: how many, what they come to, and how many of them are overdue."""
    rows = (
        Invoice.objects.filter(customer__test_clock=None)
        .order_by()
        .values("status", "currency")
        .annotate(
            count=Count("pk"),
            total=Sum("total_minor"),
            overdue=Count("pk", filter=Q(status=Status.ISSUED, due_at__lt=now)),
            overdue_total=Sum("total_minor", filter=Q(status=Status.ISSUED, due_at__lt=now), default=0),
        )
    )
    order = list(Status.values)
    return [
        {
            "status": row["status"],
            "currency": row["currency"],
            "count": row["count"],
            "total": money.major_text(int(row["total"]), row["currency"]),
            "overdue": row["overdue"],
            "overdue_total": money.major_text(int(row["overdue_total"]), row["currency"]),
        }
        for row in sorted(rows, key=lambda row: (order.index(row["status"]), row["currency"]))
    ]


# Outcomes that only a person can complete; found by the index `outcome_to_complete`.
_REVIEW = "SELECT count(*) FROM outcomes_outcome WHERE review <> '{}' AND state IN ('provisional', 'confirmed')"


def _decisions() -> dict[str, int]:
    """What waits for a person, by what it is."""
    with connection.cursor() as cursor:
        cursor.execute(_REVIEW)
        (review,) = cursor.fetchone()
    automatic = CreditNote.objects.filter(status=CreditNote.Status.DRAFT)
    return {
        "disputes": Dispute.objects.filter(status=states.RAISED).count(),
        "late_evidence": LateEvidence.objects.filter(status=LateEvidence.Status.WAITING).count(),
        "review": review,
        "parked_customers": ParkedCustomer.objects.count(),
        "credit_notes": automatic.count(),
        "stripe_parked": Operation.objects.filter(status=Operation.Status.PARKED).count(),
        "stripe_mismatches": StripeInvoice.objects.exclude(mismatch="").count(),
        "stripe_credits": StripeCredit.objects.exclude(mismatch="", advice="").count(),
        "findings": Finding.objects.filter(mended_at=None).exclude(kind=Finding.Kind.ADOPTED).count(),
        "handovers": Handover.objects.filter(status=Handover.Status.PARKED).count(),
    }


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
