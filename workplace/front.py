"""The admin's front page: figures with the rows behind them one click away. It shows what was worked out last, and
works out itself what is missing, so that it says something on a machine without workers, too.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from invoicing.texts import grouped
from outcomes.models import InboxItem
from workplace import figures, revenue
from workplace.models import Figures

Kind = Figures.Kind

WORK_OUT: Final = {Kind.OPERATIONS: figures.operations, Kind.REVENUE: revenue.revenue}
"""What the page can work out itself; the audit takes a task (`billing_project.tasks`)."""

# Of each series of the chart: its name, its colour in both themes.
_SERIES: Final = (
    ("confirmed", "Confirmed", "var(--color-primary-600)"),
    ("voided", "Voided in their window", "var(--color-base-400)"),
    ("reversed", "Reversed after they were confirmed", "#dc2626"),
)


@dataclass(frozen=True)
class Row:
    """One line of a list: what, how many, and the page that lists them."""

    label: str
    count: int
    url: str
    note: str = ""


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What unfold's index gets beside its own (`DASHBOARD_CALLBACK`)."""
    return context | front(timezone.now())


def front(now: datetime) -> dict[str, Any]:
    """Everything the page shows. Figures that were never worked out are now; old ones are shown with their age."""
    known = {one.kind: one for one in Figures.objects.all()}
    for kind, work_out in WORK_OUT.items():
        if kind not in known:
            known[kind] = figures.refresh(kind, work_out, now=now)
    data, money = known[Kind.OPERATIONS], known[Kind.REVENUE]
    return {
        "front": {
            "as_of": data.made_at,
            "revenue_as_of": money.made_at,
            "customers": money.data["customers"],
            "revenue": [_currency(row) for row in money.data["currencies"]],
            "chart": _chart(data.data["days"]),
            "chart_options": json.dumps(_OPTIONS),
            "days": list(reversed(data.data["days"])),
            "chart_title": _chart_title(data.data["days"], data.made_at),
            "totals": {name: sum(day[name] for day in data.data["days"]) for name, _, _ in _SERIES},
            "decisions": _decisions(data.data["decisions"]),
            "backlog": _backlog(data.data["backlog"]),
            "inbox": _inbox(data.data["inbox"]),
            "invoices": [_invoices(row) for row in data.data["invoices"]],
            "health": _health(data.data, known.get(Kind.AUDIT)),
        }
    }


def listed(model: str, **filters: str) -> str:
    """The admin's list of a model (``app_model``), narrowed."""
    url = reverse(f"admin:{model}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


# --- Parts ------------------------------------------------------------------------------------------------------------


def _currency(row: dict[str, str]) -> dict[str, Any]:
    so_far = Decimal(row["invoiced"]) + Decimal(row["confirmed"]) + Decimal(row["to_credit"])
    last = Decimal(row["last"])
    return {
        "currency": row["currency"],
        "so_far": grouped(f"{so_far:f}"),
        "expected": grouped(f"{so_far + Decimal(row['provisional']):f}"),
        # How much of what the period before came to is reached: a bar needs a whole number from 0 to 100.
        "reached": None if last <= 0 else max(0, min(100, round(so_far / last * 100))),
        "percent": None if last <= 0 else round(so_far / last * 100),
        **{name: grouped(row[name]) for name in ("invoiced", "confirmed", "provisional", "to_credit", "last")},
    }


def _chart_title(days: list[dict[str, Any]], as_of: datetime) -> str:
    last = date.fromisoformat(days[-1]["day"])
    if last == as_of.astimezone(UTC).date():
        return f"Outcomes by day, the last {len(days)} days"
    return f"Outcomes by day, the {len(days)} days up to {last.day} {last:%B %Y}: nothing since"


def _chart(days: list[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "labels": [day["day"][5:] for day in days],
            "datasets": [
                {
                    "label": label,
                    "data": [day[name] for day in days],
                    "backgroundColor": colour,
                    "borderRadius": 2,
                    "stack": "outcomes",
                }
                for name, label, colour in _SERIES
            ],
        }
    )


_OPTIONS: Final = {
    "responsive": True,
    "maintainAspectRatio": False,
    "animation": False,
    "plugins": {"legend": {"display": True, "position": "bottom", "align": "start"}},
    "scales": {
        "x": {"stacked": True, "grid": {"display": False}},
        "y": {"stacked": True, "beginAtZero": True, "ticks": {"precision": 0}},
    },
}


def _decisions(counts: dict[str, int]) -> list[Row]:
    """What waits for a person; what does not, is not shown."""
    rows = [
        Row("Disputes raised", counts["disputes"], listed("settlement_dispute", status__exact="raised")),
        Row("Late evidence", counts["late_evidence"], listed("outcomes_lateevidence", status__exact="waiting")),
        Row("Outcomes to complete", counts["review"], listed("outcomes_outcome", review="yes")),
        Row("Customers whose billing failed", counts["parked_customers"], listed("invoicing_parkedcustomer")),
        Row("Credit notes to approve", counts["credit_notes"], listed("invoicing_creditnote", status__exact="draft")),
        Row("Parked at Stripe", counts["stripe_parked"], listed("payments_operation", status__exact="parked")),
        Row("Differs at Stripe", counts["stripe_mismatches"], listed("payments_stripeinvoice", mismatch="yes")),
    ]
    return [row for row in rows if row.count]


def _backlog(data: dict[str, Any]) -> list[Row]:
    provisional = listed("outcomes_outcome", state__exact="provisional")
    oldest = data["oldest_due"]
    late = f"the oldest since {oldest[:16].replace('T', ' ')} UTC" if oldest else ""
    return [
        Row("In their settlement window", data["provisional"], provisional),
        Row("of these due now", data["due"], provisional, late),
        Row("of these due within a day", data["tomorrow"], provisional),
        Row("Events to evaluate", data["pending_events"], listed("outcomes_event")),
    ]


def _inbox(counts: dict[str, int]) -> list[Row]:
    labels = dict(InboxItem.Reason.choices)
    return [
        Row(labels.get(reason, reason), count, listed("outcomes_inboxitem", reason__exact=reason))
        for reason, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]


def _invoices(row: dict[str, Any]) -> dict[str, Any]:
    url = listed("invoicing_invoice", status__exact=row["status"], currency=row["currency"])
    return row | {
        "label": row["status"].capitalize(),
        "url": url,
        "total": grouped(row["total"]),
        "overdue_total": grouped(row["overdue_total"]),
        "overdue_url": listed("invoicing_invoice", overdue="yes", currency=row["currency"]),
    }


@dataclass(frozen=True)
class Health:
    """One thing that is well or not."""

    label: str
    well: bool
    says: str
    url: str = ""


def _health(data: dict[str, Any], audit: Figures | None) -> list[Health]:
    hooks, stripe = data["webhooks"], data["stripe"]
    failing = hooks["failing"] + hooks["disabled"]
    found = [
        Health(
            "Webhooks",
            not failing,
            f"{failing} endpoints fail or are disabled" if failing else f"{hooks['waiting']:,} messages wait",
            listed("webhooks_endpoint"),
        ),
        Health(
            "Stripe",
            not data["decisions"]["stripe_parked"],
            f"{stripe['waiting']:,} operations wait",
            listed("payments_operation"),
        ),
    ]
    if audit is None:
        return [Health("Audit", True, "has not run yet: it does each night, and with manage.py audit"), *found]
    broken = audit.data["broken"]
    says = f"{audit.made_at:%d %b, %H:%M} UTC: "
    says += f"does not hold: {', '.join(broken)}" if broken else f"{audit.data['invariants']} invariants hold"
    return [Health("Audit", not broken, says), *found]
