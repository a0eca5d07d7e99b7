"""Reads of what is handed over, as plain JSON values."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from access import ids
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.clocks import is_test
from handover.models import Handover, Target
from outcomes.explaining import Wait
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX

TOLD = {Target.STRIPE_METER_EVENTS: "Stripe", Target.LAGO_EVENTS: "Lago"}


def handovers(
    *,
    customer: str | None = None,
    status: str | None = None,
    target: str | None = None,
    outcome: UUID | None = None,
) -> QuerySet[Handover]:
    """Hand-overs by what is asked for."""
    found = Handover.objects.select_related("customer", "outcome__condition", "outcome__subject")
    wanted = {"customer__key": customer, "status": status, "target": target, "outcome": outcome}
    return found.filter(**{name: value for name, value in wanted.items() if value is not None})


def handover_json(row: Handover) -> dict[str, Any]:
    """A hand-over as the API shows it."""
    waits = row.status == Handover.Status.WAITING
    return {
        "id": row.public_id,
        "outcome": ids.encode(OUTCOME_PREFIX, row.outcome_id),
        "customer": row.customer.key,
        "test": is_test(row.customer),
        "contract": ids.encode(CONTRACT_PREFIX, row.contract_id),
        "condition": row.outcome.condition.slug,
        "kind": row.kind,
        "target": row.target,
        "status": row.status,
        "attempts": row.attempts,
        "next_attempt_at": row.next_attempt_at if waits else None,
        "code": row.code or None,
        "reason": row.reason or None,
        "decided_by": row.decided_by or None,
        "sent": row.sent or None,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def outcome_waits(outcome: Outcome, now: datetime) -> list[Wait]:
    """Where an outcome is handed over, and what that waits for."""
    told = []
    for row in Handover.objects.filter(outcome=outcome.pk).order_by("id"):
        who = TOLD[Target(row.target)]
        what = "It" if row.kind == Handover.Kind.USAGE else "Its reversal"
        if row.status == Handover.Status.DONE:
            told.append(Wait("", f"{what} was handed over to {who}."))
        elif row.status == Handover.Status.DROPPED:
            told.append(Wait("", f"{what} was not handed over to {who}. {row.reason}"))
        else:
            message = f"{what} is not handed over to {who} yet. {row.reason}".strip()
            told.append(Wait(f"handover_{row.status}", message))
    return told
