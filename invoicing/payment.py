"""Use case: note that an invoice was paid."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from invoicing.domain import lifecycle
from invoicing.models import Invoice, Status
from invoicing.refusals import locked, refuse_unless_allowed


@transaction.atomic
def mark_paid(invoice_id: UUID, *, now: datetime) -> Invoice:
    """Mark an issued (or uncollectible) invoice as paid in full.

    Locks the customer's row, then the invoice. Refused with 409 in any other state, so a second call changes nothing.
    """
    invoice = locked(invoice_id)
    refuse_unless_allowed(invoice, lifecycle.MARK_PAID)
    invoice.status = Status.PAID
    invoice.paid_at = now
    invoice.save(update_fields=["status", "paid_at"], force_update=True)
    return invoice
