"""Reads of what is to be made so at Stripe, and of how our documents stand there, as plain JSON values. No key and no
secret is in any.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, OuterRef, QuerySet, Subquery, UUIDField, When

from access import ids
from access.times import format_rfc3339
from contracts.domain import money
from invoicing import credit
from invoicing.models import CreditNote, Invoice
from invoicing.refusals import public_id
from payments import units
from payments.models import Operation, Step, StripeCredit, StripeInvoice

OPEN: Final = (Operation.Status.WAITING, Operation.Status.PARKED)

# What is told of an answer: enough to know what it was, and nothing that pays or opens anything.
TOLD: Final = (
    "id", "object", "status", "number", "currency", "total", "amount", "amount_due", "amount_remaining", "deleted",
)  # fmt: skip


def operations(
    customer: str | None = None, status: str | None = None, kind: str | None = None, invoice: UUID | None = None
) -> QuerySet[Operation]:
    """Operations by what is asked for; each open one with ``ahead``, the uid of the one it waits for, or None."""
    wanted = {"customer__key": customer, "status": status, "kind": kind, "invoice": invoice}
    found = Operation.objects.filter(**{name: value for name, value in wanted.items() if value is not None})
    before = Operation.objects.filter(customer=OuterRef("customer"), status__in=OPEN, id__lt=OuterRef("id"))
    first = Subquery(before.order_by("id").values("uid")[:1])
    return found.select_related("customer", "invoice", "credit_note").annotate(
        ahead=Case(When(status__in=OPEN, then=first), default=None, output_field=UUIDField())
    )


def operation_json(row: Operation) -> dict[str, Any]:
    """One of `operations` as lists show it."""
    document = row.invoice or row.credit_note
    ahead: UUID | None = row.ahead  # type: ignore[attr-defined]
    return {
        "id": row.public_id,
        "kind": row.kind,
        "status": row.status,
        "available_actions": ["retry", "skip"] if row.status in OPEN else [],
        "customer": row.customer.key,
        "invoice": None if row.invoice is None else public_id(row.invoice),
        "credit_note": None if row.credit_note is None else credit.public_id(row.credit_note),
        "number": None if document is None else document.number,
        "charge": row.number if row.kind == Operation.Kind.CHARGE else None,
        "attempts": row.attempts,
        "next_attempt_at": _time(row.next_attempt_at if row.status == Operation.Status.WAITING else None),
        "waits_for": None if ahead is None else ids.encode(Operation.PREFIX, ahead),
        "code": row.code or None,
        "reason": row.reason or None,
        "account": row.account or None,
        "mode": _mode(row.livemode),
        "decided_by": row.decided_by or None,
        "created_at": format_rfc3339(row.created_at),
        "finished_at": _time(row.finished_at),
    }


def operation_detail_json(row: Operation) -> dict[str, Any]:
    """One of `operations` with every call that was made for it."""
    return operation_json(row) | {"steps": [step_json(step) for step in row.steps.order_by("id")]}


def step_json(step: Step) -> dict[str, Any]:
    """One call. Without ``ended_at`` it is under way, or it is not known whether it happened."""
    return {
        "name": step.name,
        "epoch": step.epoch,
        "idempotency_key": step.key,
        "begun_at": format_rfc3339(step.begun_at),
        "ended_at": _time(step.ended_at),
        "stale": step.stale,
        "dropped": step.dropped,
        "answer": None if step.result is None else {name: step.result[name] for name in TOLD if name in step.result},
    }


# --- Of documents -----------------------------------------------------------------------------------------------------


def invoice_details(rows: Sequence[Invoice]) -> dict[UUID, dict[str, Any]]:
    """How invoices stand at Stripe, for the API's invoices: ``stripe``, null for one that has nothing to do with it.
    Two queries.
    """
    wanted = [row.id for row in rows]
    seen = {one.invoice_id: one for one in StripeInvoice.objects.filter(invoice__in=wanted)}
    open_ones: dict[UUID, list[Operation]] = defaultdict(list)
    for operation in Operation.objects.filter(invoice__in=wanted, status__in=OPEN).order_by("id"):
        open_ones[operation.invoice_id].append(operation)  # type: ignore[index]
    return {row.id: {"stripe": _stripe_json(row, seen.get(row.id), open_ones.get(row.id, []))} for row in rows}


def _stripe_json(row: Invoice, seen: StripeInvoice | None, open_ones: list[Operation]) -> dict[str, Any] | None:
    if seen is None and not open_ones:
        return None

    def amount(name: str) -> str | None:
        return None if seen is None else amount_text(getattr(seen, name), row.currency)

    return {
        "id": None if seen is None else seen.stripe_id,
        "account": None if seen is None else seen.account,
        "mode": None if seen is None else _mode(seen.livemode),
        "status": None if seen is None else seen.status,
        "collection_method": None if seen is None else seen.collection_method,
        "total": amount("total"),
        "amount_due": amount("amount_due"),
        "amount_remaining": amount("amount_remaining"),
        "hosted_url": None if seen is None else seen.hosted_url or None,
        "mismatch": None if seen is None else seen.mismatch or None,
        "last_failure": None if seen is None else seen.last_failure or None,
        "seen_at": None if seen is None else format_rfc3339(seen.seen_at),
        "operations": [
            {"id": one.public_id, "kind": one.kind, "status": one.status, "reason": one.reason or None}
            for one in open_ones
        ],
    }


def credit_note_details(rows: Sequence[CreditNote]) -> dict[UUID, dict[str, Any]]:
    """How credit notes stand at Stripe: ``stripe``, one for each invoice that they correct there. One query."""
    parts: dict[UUID, list[dict[str, Any]]] = {row.id: [] for row in rows}
    found = StripeCredit.objects.filter(allocation__credit_note__in=list(parts))
    for part in found.select_related("allocation__invoice").order_by("allocation"):
        allocation = part.allocation
        parts[allocation.credit_note_id].append(_credit_json(part, allocation.invoice))
    return {note: {"stripe": told} for note, told in parts.items()}


def _credit_json(part: StripeCredit, invoice: Invoice) -> dict[str, Any]:
    return {
        "id": part.stripe_id,
        "account": part.account,
        "mode": _mode(part.livemode),
        "invoice": public_id(invoice),
        **{
            name: amount_text(getattr(part, name), invoice.currency)
            for name in ("amount", "before_payment", "to_balance", "refunded", "outside")
        },
        "refund": part.refund_id or None,
        "refund_status": part.refund_status or None,
        "advice": part.advice or None,
        "mismatch": part.mismatch or None,
    }


def amount_text(amount: int, currency: str) -> str:
    """Stripe's units as a decimal string."""
    return money.major_text(units.from_stripe(amount, currency), currency)


def _mode(livemode: bool | None) -> str | None:
    return None if livemode is None else "live" if livemode else "test"


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else format_rfc3339(instant)
