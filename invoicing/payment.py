"""Use cases: note that an invoice was paid, or that it will not be."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from contracts.clocks import now_of
from invoicing import news
from invoicing.domain import lifecycle
from invoicing.models import Invoice, Status
from invoicing.refusals import locked, refuse_unless_allowed


@transaction.atomic
def mark_paid(invoice_id: UUID, *, now: datetime) -> Invoice:
    """Mark an issued (or uncollectible) invoice as paid: all that was due on it after the credit taken off.

    Locks the customer's row, then the invoice. Refused with 409 in any other state, so a second call changes nothing.
    """
    invoice = locked(invoice_id)
    refuse_unless_allowed(invoice, lifecycle.MARK_PAID)
    settled(invoice, at=now_of(invoice.customer, now), wall=now)
    return invoice


def settled(invoice: Invoice, *, at: datetime, wall: datetime) -> None:
    """Nothing is due on an issued invoice any more, because it was paid or because credit covers it: it is paid.

    In the caller's transaction, under the customer's lock. ``at`` is what the customer's clock shows.
    """
    invoice.status = Status.PAID
    invoice.paid_at = at
    invoice.save(update_fields=["status", "paid_at"], force_update=True)
    news.tell(news.PAID, invoice, at=at, wall=wall)


@transaction.atomic
def mark_uncollectible(invoice_id: UUID, *, now: datetime) -> Invoice:
    """Give up an issued invoice: it is still owed, and nobody waits for it. It can be paid or voided later.

    Locks the customer's row, then the invoice. Refused with 409 in any other state, so a second call changes nothing.
    """
    invoice = locked(invoice_id)
    refuse_unless_allowed(invoice, lifecycle.MARK_UNCOLLECTIBLE)
    invoice.status = Status.UNCOLLECTIBLE
    invoice.uncollectible_at = now_of(invoice.customer, now)
    invoice.save(update_fields=["status", "uncollectible_at"], force_update=True)
    return invoice
