"""Use cases: say that an outcome should not be charged, decide it, or take the word back.

A raised dispute does not stop settlement; it keeps the outcome off invoices. Locks, in this order: the customer's row
(as billing does, so that nothing is issued behind a dispute's back), the outcome's partition and row, the dispute's.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from access import error_codes, ids
from access.errors import ApiError
from contracts.clocks import now_of
from contracts.models import Customer
from outcomes.decisions import NotPossible, take_back
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from settlement.domain import disputes as states
from settlement.models import Dispute, DisputeEntry

DISPUTE_PREFIX: Final = "dsp"

error_codes.register(
    {
        "not_disputable": "Only a provisional or confirmed outcome can be disputed: no other is, or will be, charged.",
        "already_disputed": "The outcome has a dispute that is not decided yet: decide that one.",
        "already_resolved": "The dispute was decided or withdrawn before, and that stands; raise a new one instead.",
        "not_upholdable": "There is nothing to take back just now, and may be later: see the message, try again.",
    }
)

# Of the outcome `o`; read once, as in `holds.HELD`.
DISPUTED: Final = f"o.id IN (SELECT d.outcome_id FROM settlement_dispute d WHERE d.status = '{states.RAISED}')"


@transaction.atomic
def raise_dispute(outcome_id: UUID, *, reason: str, by: str, now: datetime) -> Dispute:
    """Dispute a provisional or confirmed outcome. 404 without it; 409 in another state, or where a dispute is raised.

    Once it has returned, no invoice that is issued later bills the outcome until the dispute is decided.
    """
    customer_id = Outcome.objects.filter(pk=outcome_id).values_list("customer_id", flat=True).first()
    if customer_id is None:
        raise ApiError(404, "not_found", f"There is no outcome {ids.encode(OUTCOME_PREFIX, outcome_id)}.")
    at = now_of(Customer.objects.select_for_update(no_key=True).get(pk=customer_id), now)
    outcome = Outcome.objects.select_for_update(of=("self",)).get(pk=outcome_id)
    if outcome.state not in states.DISPUTABLE:
        message = f"The outcome is {outcome.state}: only a provisional or confirmed one can be disputed."
        raise ApiError(409, "not_disputable", message)
    standing = Dispute.objects.filter(outcome=outcome_id, status=states.RAISED).first()
    if standing is not None:
        message = f"The outcome is disputed already ({public_id(standing)}, by {standing.raised_by}): decide that one."
        raise ApiError(409, "already_disputed", message)
    dispute = Dispute(id=ids.uuid7(now), outcome=outcome, reason=reason, raised_by=by, raised_at=at)
    dispute.save(force_insert=True)
    _note(dispute, by, reason, at)
    return dispute


@transaction.atomic
def raise_disputes(customer_id: int, outcomes: Collection[UUID], *, reason: str, by: str, now: datetime) -> list[UUID]:
    """Dispute those of a customer's outcomes that can be, with one reason; answers which. Passed over are others'
    outcomes, those in another state, and those that are disputed already: so a repetition changes nothing.

    Set-wise, in the same order of locks; outcomes by id, as evaluation takes them.
    """
    at = now_of(Customer.objects.select_for_update(no_key=True).get(pk=customer_id), now)
    wanted = Outcome.objects.filter(pk__in=list(outcomes), customer=customer_id, state__in=states.DISPUTABLE)
    locked = list(wanted.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    standing = disputed(locked)
    fresh = [outcome for outcome in locked if outcome not in standing]
    raised = Dispute.objects.bulk_create(
        Dispute(id=ids.uuid7(now), outcome_id=outcome, reason=reason, raised_by=by, raised_at=at) for outcome in fresh
    )
    DisputeEntry.objects.bulk_create(
        DisputeEntry(dispute=dispute, status=dispute.status, actor=by, note=reason, at=at) for dispute in raised
    )
    return fresh


@transaction.atomic
def resolve(dispute_id: UUID, decision: str, *, note: str, by: str, now: datetime) -> Dispute:
    """Decide a dispute: ``upheld`` takes the outcome back (void inside its window, reversed after it), ``rejected``
    makes it billable again. 404 without it; 409 where it is decided, so that of two at once the first counts.

    An outcome that has ended by itself is left as it is: then upholding is recorded and nothing more. Of one that is
    open again, or whose end waits to be booked, a dispute cannot be upheld yet (409). Raises PayloadMissing where a
    part of the history of its subject is archived.
    """
    if decision not in states.DECISIONS:
        raise ValueError(f"{decision} is no decision")
    found = Dispute.objects.filter(pk=dispute_id).first()
    if found is None:
        raise not_found(dispute_id)
    _refuse_unless_possible(found, decision)
    if decision == states.UPHELD:
        # Before the dispute is locked: what holds its outcome's lock may wait for the dispute's, never the other way
        # round. If somebody else decides it meanwhile, this is undone with the rest.
        _take_back(found, note=note, by=by, now=now)
    return _close(dispute_id, decision, note=note, by=by, now=now)


@transaction.atomic
def withdraw(dispute_id: UUID, *, note: str = "", by: str, now: datetime) -> Dispute:
    """Take a dispute back: the outcome is billable again. 404 without it; 409 where it is decided."""
    return _close(dispute_id, states.WITHDRAWN, note=note, by=by, now=now)


def public_id(dispute: Dispute) -> str:
    """``dsp_…``, as the API names it."""
    return ids.encode(DISPUTE_PREFIX, dispute.id)


def not_found(dispute_id: UUID) -> ApiError:
    """404 for a dispute that is not there."""
    return ApiError(404, "not_found", f"There is no dispute {ids.encode(DISPUTE_PREFIX, dispute_id)}.")


def disputed(outcomes: Collection[UUID]) -> set[UUID]:
    """Those of these outcomes that have a raised dispute."""
    raised = Dispute.objects.filter(outcome__in=list(outcomes), status=states.RAISED)
    return set(raised.values_list("outcome_id", flat=True))


def _close(dispute_id: UUID, status: str, *, note: str, by: str, now: datetime) -> Dispute:
    dispute = Dispute.objects.select_for_update(of=("self",)).filter(pk=dispute_id).first()
    if dispute is None:
        raise not_found(dispute_id)
    _refuse_unless_possible(dispute, status)
    at = now_of(dispute.outcome.customer, now)
    dispute.status, dispute.note, dispute.resolved_by, dispute.resolved_at = status, note, by, at
    dispute.save(update_fields=["status", "note", "resolved_by", "resolved_at"])
    _note(dispute, by, note, at)
    return dispute


def _refuse_unless_possible(dispute: Dispute, wanted: str) -> None:
    if not states.may_become(dispute.status, wanted):
        message = f"Dispute {public_id(dispute)} is {dispute.status} already, by {dispute.resolved_by}."
        raise ApiError(409, "already_resolved", message)


def _take_back(dispute: Dispute, *, note: str, by: str, now: datetime) -> None:
    reason = f"Dispute {public_id(dispute)} upheld" + (f": {note}" if note else "")
    try:
        take_back(dispute.outcome_id, now=now, actor=by, reason=reason)
    except NotPossible as refusal:
        # As it stands booked: what was being decided of it is undone. Nothing leads out of a state in which it ended.
        if Outcome.objects.values_list("state", flat=True).get(pk=dispute.outcome_id) not in states.ENDED:
            message = f"{refusal.why} Uphold the dispute later, or reject or withdraw it."
            raise ApiError(409, "not_upholdable", message) from refusal


def _note(dispute: Dispute, actor: str, note: str, now: datetime) -> None:
    DisputeEntry.objects.create(dispute=dispute, status=dispute.status, actor=actor, note=note, at=now)
