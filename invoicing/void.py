"""Use case: void an issued invoice, so that what it billed waits to be billed again."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from contracts.clocks import now_of
from invoicing import credit, standing
from invoicing.domain import lifecycle
from invoicing.models import CreditNote, Invoice, LineOutcome, LineReversal, Status
from invoicing.refusals import locked, refuse_unless_allowed


@transaction.atomic
def void(invoice_id: UUID, *, now: datetime) -> Invoice:
    """Void an invoice that is issued and not paid. It keeps its number, its lines and its hash.

    What it billed is to be billed again, what it took back to be taken back again, and the credit taken off it is free:
    the next billing run puts all of that on a new invoice for the same period, so mend what was wrong first. A draft of
    an automatic credit note goes with it: that run makes it anew from what stands then.

    Locks the customer's row, then the invoice. Refused with 409 in any other state, so a second call changes nothing,
    and where something corrects the invoice (`credit.corrected`).
    """
    invoice = locked(invoice_id)
    refuse_unless_allowed(invoice, lifecycle.MAKE_VOID)
    invoice.status = Status.VOID
    invoice.voided_at = now_of(invoice.customer, now)
    invoice.save(update_fields=["status", "voided_at"], force_update=True)
    lines = list(invoice.lines.values_list("pk", flat=True))
    for links in (LineOutcome.objects, LineReversal.objects):
        links.filter(line__in=lines, live=True).update(live=False)
    credit.release(invoice)
    if invoice.contract_id is not None:
        drafts = CreditNote.objects.filter(kind=CreditNote.Kind.AUTOMATIC, status=CreditNote.Status.DRAFT)
        drafts.filter(contract=invoice.contract_id).delete()
        standing.stop(invoice.contract_id)
    return invoice
