"""What stands at Stripe and bears our ids, and is not known here: a backup was restored that is older than it. It is
known again, and nothing of it is made a second time.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from access import ids
from contracts.models import Customer
from invoicing.models import CreditAllocation, Invoice
from invoicing.refusals import INVOICE_PREFIX, NOTE_PREFIX
from payments import mirror, operations
from payments.credit_notes import METADATA as NOTE_METADATA
from payments.models import Connection, Operation, Step, StripeCustomer

# The calls of which Stripe is asked whether they happened, before any of them is made.
_STEPS = ("invoice", "lines", "finalize", "send")
# Clocks differ: what is looked for may seem to be made a little before it was asked for.
_SKEW = timedelta(hours=1)


def customer(ours: Customer, theirs: dict[str, Any], connection: Connection, *, now: datetime) -> bool:
    """Take a customer at Stripe for ours, whose key it bears; False where ours has one already. What it is told is told
    again with the next document.
    """
    _, new = StripeCustomer.objects.get_or_create(
        customer=ours,
        account=connection.account,
        livemode=connection.livemode,
        defaults={"stripe_id": theirs["id"], "created_at": now},
    )
    return new


def _ask_first(operation: Operation, names: Iterable[str], created: int, *, now: datetime) -> None:
    """Have the operation ask Stripe of each of these calls whether it happened, and go on."""
    for name in names:
        Step.objects.get_or_create(
            operation=operation,
            name=name,
            epoch=1,
            defaults={
                "key": f"{operation.public_id}.{name}.1",
                "begun_at": datetime.fromtimestamp(created, UTC) - _SKEW,
                "stale": True,
            },
        )
    operations.retry(operation.id, now=now, by="reconciliation")


@transaction.atomic
def invoice(ours: Invoice, theirs: dict[str, Any], connection: Connection, *, now: datetime) -> None:
    """Take an invoice at Stripe for ours, whose id it bears.

    Where it is still to be made so there, its operation asks for each of its calls whether it happened, compares what
    it finds, and goes on from there. Else what Stripe says of it is noted.
    """
    operation = Operation.objects.filter(kind=Operation.Kind.INVOICE, invoice=ours).first()
    if operation is None or operation.finished_at is not None:
        mirror.note(ours.id, connection, theirs, now=now)
        return
    _ask_first(operation, _STEPS, theirs["created"], now=now)


@transaction.atomic
def credit(theirs: dict[str, Any], *, on_balance: bool, now: datetime) -> CreditAllocation | None:
    """The same of a credit note at Stripe, or with ``on_balance`` of a transaction of a customer's balance: what of our
    note it is, where that is still to be made so. None for any other.
    """
    told = theirs.get("metadata") or {}
    note, invoice = (
        _decoded(NOTE_PREFIX, told.get(NOTE_METADATA)),
        _decoded(INVOICE_PREFIX, told.get("holdfast_invoice")),
    )
    allocation = CreditAllocation.objects.filter(credit_note=note, invoice=invoice, stripe=None).first()
    operation = Operation.objects.filter(
        kind=Operation.Kind.CREDIT_NOTE, credit_note=note, finished_at=None, steps=None
    ).first()
    if note is None or allocation is None or operation is None:
        return None
    name = f"balance.{allocation.pk}" if on_balance else f"credit_note.{allocation.pk}"
    _ask_first(operation, [name], theirs["created"], now=now)
    return allocation


def _decoded(prefix: str, text: Any) -> UUID | None:
    try:
        return ids.decode(prefix, str(text or ""))
    except ValueError:
        return None
