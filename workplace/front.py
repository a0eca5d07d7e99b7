"""The admin's front page: figures with the rows behind them one click away, each for who may see those rows. It shows
what was worked out last, and works out itself what is missing, so that it says something on a machine without workers,
too.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from contracts.models import Contract
from invoicing.queries import REASONS
from invoicing.texts import grouped
from outcomes.inbox import IN_WORDS
from workplace import figures, revenue
from workplace.models import Figures

Kind = Figures.Kind

WORK_OUT: Final = {Kind.OPERATIONS: figures.operations, Kind.REVENUE: revenue.revenue}
"""What the page can work out itself; the audit takes a task (`billing_project.tasks`)."""

WAITS = timedelta(seconds=10)
"""Nobody waits longer for a page: what took longer the last time is left to the task, which comes every 5 minutes."""
FEW = 200
"""So many contracts' revenue is worked out in a few seconds."""

# Of each series of the chart: its name, its colour in both themes.
_SERIES: Final = (
    ("confirmed", "Confirmed", "var(--color-primary-600)"),
    ("voided", "Voided in their window", "var(--color-base-400)"),
    ("reversed", "Reversed after they were confirmed", "#dc2626"),
)


COUNTED: Final = "outcomes_outcome"
"""Who may not list these sees an empty page: staff without a role."""
MONEY: Final = "invoicing_invoice"


@dataclass(frozen=True)
class Row:
    """One line of a list: what, how many, and the model (``app_model``) whose list, narrowed, has them; or the kind
    (``waits``) of the review queue that has.
    """

    label: str
    count: int
    model: str
    filters: tuple[tuple[str, str], ...] = ()
    note: str = ""
    waits: str = ""

    @property
    def url(self) -> str:
        if self.waits:
            return f"{reverse('admin_queue')}?{urlencode({'kind': self.waits})}"
        return listed(self.model, **dict(self.filters))


def _row(label: str, count: int, model: str, note: str = "", **filters: str) -> Row:
    return Row(label, count, model, tuple(filters.items()), note)


def callback(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What unfold's index gets beside its own (`DASHBOARD_CALLBACK`)."""
    return context | {"title": "Overview"} | front(timezone.now(), sees=lambda model: sees(request.user, model))


def work_out_anew(now: datetime) -> bool:
    """Bring the figures up to date, and say whether all are: what takes long is left to the next task."""
    took = dict(Figures.objects.values_list("kind", "milliseconds"))
    later = [kind for kind in WORK_OUT if timedelta(milliseconds=took.get(kind, 0)) > WAITS]
    for kind, work_out in WORK_OUT.items():
        if kind in later:
            figures.expire(kind)
        else:
            figures.refresh(kind, work_out, now=now)
    return not later


def sees(user: Any, model: str) -> bool:
    """Whether somebody may open the list of a model (``app_model``)."""
    app, name = model.split("_", 1)
    return bool(user.has_perm(f"{app}.view_{name}"))


def front(now: datetime, *, sees: Callable[[str], bool]) -> dict[str, Any]:
    """What the page shows to who sees these models: counts of rows to who may see the rows, revenue and totals to who
    may see invoices. Figures that were never worked out are now, unless that takes long; old ones are shown with their
    age.
    """
    if not sees(COUNTED):
        return {"front": None}
    shows_money = sees(MONEY)
    known = {one.kind: one for one in Figures.objects.all()}
    for kind, work_out in WORK_OUT.items():
        if kind not in known and (kind != Kind.REVENUE or Contract.objects.all()[: FEW + 1].count() <= FEW):
            known[kind] = figures.refresh(kind, work_out, now=now)
    data = known[Kind.OPERATIONS]
    money = known.get(Kind.REVENUE, Figures(data={"customers": 0, "currencies": []}))
    return {
        "front": {
            "as_of": data.made_at,
            "revenue_as_of": money.made_at,
            "customers": money.data["customers"],
            "shows_money": shows_money,
            "revenue": [_currency(row) for row in money.data["currencies"]] if shows_money else [],
            "leaking": [_leak(row) for row in money.data.get("leaking", ())],
            "chart": _chart(data.data["days"]),
            "chart_options": json.dumps(_OPTIONS),
            "days": list(reversed(data.data["days"])),
            "chart_title": _chart_title(data.data["days"], data.made_at),
            "totals": {name: sum(day[name] for day in data.data["days"]) for name, _, _ in _SERIES},
            "decisions": [row for row in _decisions(data.data["decisions"]) if sees(row.model)],
            "queue": reverse("admin_queue"),
            "backlog": _backlog(data.data["backlog"]),
            "inbox": _inbox(data.data["inbox"]),
            "invoices": [_invoices(row) for row in data.data["invoices"]] if shows_money else [],
            "health": _health(data.data, known.get(Kind.AUDIT), now),
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


def _leak(row: dict[str, Any]) -> dict[str, Any]:
    most = [one | {"url": reverse("admin:contracts_customer_change", args=[one["id"]])} for one in row["most"]]
    return row | {"says": REASONS[row["reason"]], "most": most, "more": row["customers"] - len(most)}


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


# What waits, as `figures.operations` counts it, with its model and its kind in the review queue.
_WAITS: Final = (
    ("Disputes raised", "disputes", "settlement_dispute", "dispute"),
    ("Late evidence", "late_evidence", "outcomes_lateevidence", "late"),
    ("Outcomes to complete", "review", "outcomes_outcome", "incomplete"),
    ("Customers whose billing failed", "parked_customers", "invoicing_parkedcustomer", "parked"),
    ("Credit notes to approve", "credit_notes", "invoicing_creditnote", "note"),
    ("Parked at Stripe", "stripe_parked", "payments_operation", "operation"),
    ("Differs at Stripe", "stripe_mismatches", "payments_stripeinvoice", "stripe_invoice"),
    ("Credit at Stripe to see to", "stripe_credits", "payments_stripecredit", "stripe_credit"),
    ("Found by the reconciliation", "findings", "payments_finding", "finding"),
    ("Hand-overs that failed", "handovers", "handover_handover", "handover"),
)


def _decisions(counts: dict[str, int]) -> list[Row]:
    """What waits for a person; what does not, is not shown."""
    # Figures that were worked out by an earlier version do not count all of it.
    rows = [Row(label, counts.get(name, 0), model, waits=kind) for label, name, model, kind in _WAITS]
    return [row for row in rows if row.count]


def _backlog(data: dict[str, Any]) -> list[Row]:
    oldest = data["oldest_due"]
    late = f"the oldest since {oldest[:16].replace('T', ' ')} UTC" if oldest else ""
    return [
        _row(
            "In their settlement window", data["provisional"], "outcomes_outcome", state__exact="provisional", test="no"
        ),
        _row("of these due now", data["due"], "outcomes_outcome", late, due="now", test="no"),
        _row("of these due within a day", data["tomorrow"], "outcomes_outcome", due="day", test="no"),
        _row("Events to evaluate", data["pending_events"], "outcomes_event", evaluation="waits"),
    ]


def _inbox(counts: dict[str, int]) -> list[Row]:
    return [
        _row(IN_WORDS[reason], count, "outcomes_inboxitem", reason__exact=reason)
        for reason, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]


def _invoices(row: dict[str, Any]) -> dict[str, Any]:
    url = listed("invoicing_invoice", status__exact=row["status"], currency=row["currency"], test="no")
    return row | {
        "label": row["status"].capitalize(),
        "url": url,
        "total": grouped(row["total"]),
        "overdue_total": grouped(row["overdue_total"]),
        "overdue_url": listed("invoicing_invoice", overdue="yes", currency=row["currency"], test="no"),
    }


@dataclass(frozen=True)
class Health:
    """One thing that is well or not; None where nobody has looked yet."""

    label: str
    well: bool | None
    says: str
    url: str = ""


# It runs each night: one that is older has failed to.
AUDIT_IS_OLD = timedelta(hours=36)


def _health(data: dict[str, Any], audit: Figures | None, now: datetime) -> list[Health]:
    hooks, stripe = data["webhooks"], data["stripe"]
    failing, parked = hooks["failing"] + hooks["disabled"], data["decisions"]["stripe_parked"]
    found = [
        Health(
            "Webhooks",
            not failing,
            _say(failing, "endpoint fails or is disabled", "endpoints fail or are disabled")
            if failing
            else _say(hooks["waiting"], "message waits", "messages wait"),
            listed("webhooks_endpoint") if failing else listed("webhooks_delivery", status__exact="waiting"),
        ),
        Health(
            "Stripe",
            not parked,
            _say(parked, "operation is parked", "operations are parked")
            if parked
            else _say(stripe["waiting"], "operation waits", "operations wait"),
            listed("payments_operation", status__exact="parked" if parked else "waiting"),
        ),
    ]
    return [_audited(audit, now), *found]


def _say(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _audited(audit: Figures | None, now: datetime) -> Health:
    if audit is None:
        return Health("Audit", None, "has not run yet: it does each night, and with manage.py audit")
    broken, when = audit.data["broken"], f"{audit.made_at:%d %b, %H:%M} UTC"
    if broken:
        return Health("Audit", False, f"{when}: does not hold: {', '.join(broken)}")
    holds = f"{when}: {audit.data['invariants']} invariants hold"
    if now - audit.made_at > AUDIT_IS_OLD:
        return Health("Audit", False, f"{holds}; it has not run since, though it should each night")
    return Health("Audit", True, holds)
