"""Reads of holds and disputes for the API and the admin, as plain JSON values."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet

from access import ids
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from settlement import disputes, holds
from settlement.domain import disputes as states
from settlement.models import Dispute, DisputeEntry, Hold

HOLD: Final = "hold"
DISPUTE: Final = "dispute"


def all_holds(
    *,
    customer: str | None = None,
    condition: str | None = None,
    outcome: UUID | None = None,
    active: bool | None = None,
) -> QuerySet[Hold]:
    """Holds on what is asked for; ``active``: not released yet, or released."""
    found = Hold.objects.select_related(
        "customer", "condition", "outcome__subject", "outcome__customer", "outcome__condition"
    )
    wanted = {
        "customer__key": customer,
        "condition__slug": condition,
        "outcome": outcome,
        "released_at__isnull": active,
    }
    return found.filter(**{name: value for name, value in wanted.items() if value is not None})


def hold_json(hold: Hold) -> dict[str, Any]:
    """A hold as the API shows it."""
    return {
        "id": holds.public_id(hold),
        "customer": None if hold.customer is None else hold.customer.key,
        "condition": None if hold.condition is None else hold.condition.slug,
        "outcome": None if hold.outcome_id is None else ids.encode(OUTCOME_PREFIX, hold.outcome_id),
        "reason": hold.reason,
        "active": hold.released_at is None,
        "placed_by": hold.placed_by,
        "placed_at": hold.placed_at,
        "released_by": hold.released_by or None,
        "released_at": hold.released_at,
        "note": hold.note or None,
    }


def all_disputes(
    *, customer: str | None = None, status: str | None = None, outcome: UUID | None = None
) -> QuerySet[Dispute]:
    """Disputes by what is asked for."""
    found = Dispute.objects.select_related("outcome__customer", "outcome__condition", "outcome__subject")
    wanted = {"outcome__customer__key": customer, "status": status, "outcome": outcome}
    return found.filter(**{name: value for name, value in wanted.items() if value is not None})


def dispute_json(dispute: Dispute) -> dict[str, Any]:
    """A dispute as lists show it."""
    return {
        "id": disputes.public_id(dispute),
        "outcome": ids.encode(OUTCOME_PREFIX, dispute.outcome_id),
        "customer": dispute.outcome.customer.key,
        "condition": dispute.outcome.condition.slug,
        "subject": dispute.outcome.subject.key,
        "status": dispute.status,
        "reason": dispute.reason,
        "raised_by": dispute.raised_by,
        "raised_at": dispute.raised_at,
        "resolved_by": dispute.resolved_by or None,
        "resolved_at": dispute.resolved_at,
        "note": dispute.note or None,
    }


def dispute_detail_json(dispute: Dispute) -> dict[str, Any]:
    """A dispute with its history."""
    return dispute_json(dispute) | {"history": [entry_json(entry) for entry in dispute.entries.order_by("id")]}


def entry_json(entry: DisputeEntry) -> dict[str, Any]:
    """One change of a dispute."""
    return {"status": entry.status, "actor": entry.actor, "note": entry.note or None, "at": entry.at}


def holds_over(outcome: Outcome) -> QuerySet[Hold]:
    """The holds that cover an outcome now: on it, on its customer, on its condition. Oldest first."""
    covers = Q(outcome=outcome.pk) | Q(customer=outcome.customer_id) | Q(condition=outcome.condition_id)
    return all_holds(active=True).filter(covers).order_by("id")


def outcome_obstacles(outcome: Outcome) -> dict[str, Any]:
    """What keeps an outcome from being settled or billed, for its detail: active holds, disputes not yet decided."""
    return {
        "holds": [
            {
                "id": holds.public_id(hold),
                "on": hold.target,
                "reason": hold.reason,
                "placed_by": hold.placed_by,
                "placed_at": hold.placed_at,
            }
            for hold in holds_over(outcome)
        ],
        "disputes": [
            {
                "id": disputes.public_id(dispute),
                "reason": dispute.reason,
                "raised_by": dispute.raised_by,
                "raised_at": dispute.raised_at,
            }
            for dispute in all_disputes(outcome=outcome.pk, status=states.RAISED)
        ],
    }


def kept_off_invoices(outcomes: Iterable[UUID]) -> dict[UUID, str]:
    """Why a person keeps each of these outcomes off invoices, `HOLD` before `DISPUTE`; the others are left out. Two
    queries.
    """
    wanted = list(outcomes)
    return dict.fromkeys(disputes.disputed(wanted), DISPUTE) | dict.fromkeys(holds.covering(wanted), HOLD)


# Of the outcome `o`, for statements that choose what is to be billed.
KEPT_OFF_INVOICES: Final = f"({holds.HELD} OR {disputes.DISPUTED})"
