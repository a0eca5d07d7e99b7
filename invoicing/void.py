"""Use case: void an issued invoice, so that its outcomes wait to be billed again."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from invoicing.domain import lifecycle
from invoicing.models import Invoice, LineOutcome, Status
from invoicing.refusals import locked, refuse_unless_allowed


@transaction.atomic
def void(invoice_id: UUID, *, now: datetime) -> Invoice:
    """Void an invoice that is issued and not paid. It keeps its number, its lines and its hash.

    Locks the customer's row, then the invoice. The next billing run puts the outcomes on a new invoice for the same
    period, so mend what was wrong first. Refused with 409 in any other state, so a second call changes nothing.
    """
    invoice = locked(invoice_id)
    refuse_unless_allowed(invoice, lifecycle.MAKE_VOID)
    invoice.status = Status.VOID
    invoice.voided_at = now
    invoice.save(update_fields=["status", "voided_at"], force_update=True)
    LineOutcome.objects.filter(line__invoice=invoice, live=True).update(live=False)
    return invoice
