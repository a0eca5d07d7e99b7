"""What is told of invoices and credit notes, in the transaction that makes it so. A message shows the document as it
stands now. It became so ``at`` this time, which may be a test clock's; messages leave by the wall clock.
"""

from datetime import datetime

from invoicing import credit
from invoicing.models import CreditNote, Invoice
from invoicing.queries import credit_note_json, invoice_json
from invoicing.refusals import public_id
from webhooks.publish import publish

ISSUED = "invoice.issued"
PAID = "invoice.paid"
CREDIT_NOTE_ISSUED = "credit_note.issued"


def tell(type: str, invoice: Invoice, *, at: datetime, wall: datetime) -> None:
    """Queue a message that shows the invoice."""
    publish(type, public_id(invoice), lambda: invoice_json(invoice, now=wall), now=wall, at=at)


def tell_note(type: str, note: CreditNote, *, at: datetime, wall: datetime) -> None:
    """Queue a message that shows the credit note."""
    publish(type, credit.public_id(note), lambda: credit_note_json(note), now=wall, at=at)
