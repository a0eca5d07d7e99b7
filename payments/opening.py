"""Credit that was free before Stripe was connected: the invoices that take it are there, so it has to be, too."""

from datetime import datetime

from django.db.models import Sum

from invoicing import credit
from invoicing.models import CreditNote
from payments.models import Connection, Operation


def note_free_credit(audience: str, *, now: datetime) -> int:
    """Note the credit notes whose credit an audience's next invoices take, as those issued from now on are noted. Safe
    to repeat; the number of those that were not noted yet.
    """
    notes = CreditNote.objects.filter(
        status=CreditNote.Status.ISSUED,
        destination=CreditNote.Destination.NEXT_INVOICE,
        customer__test_clock__isnull=audience == Connection.Audience.LIVE,
    )
    noted = 0
    for note in notes.annotate(free=credit.FREE).filter(free__gt=0).order_by("issued_at", "number"):
        _, new = Operation.objects.get_or_create(
            kind=Operation.Kind.CREDIT_NOTE,
            customer_id=note.customer_id,
            invoice=None,
            credit_note=note,
            application=None,
            number=1,
            defaults={"created_at": now},
        )
        noted += new
    return noted


def gone_minor(note: CreditNote) -> int:
    """What of a note's free credit went where Stripe has no part in it, in minor units: to invoices that never were
    noted, or back to the customer before the note was.
    """
    elsewhere = note.applications.filter(live=True).exclude(invoice__in=note.allocations.values("invoice"))
    to_invoices = elsewhere.filter(invoice__isnull=False).exclude(invoice__stripe_operations__kind="invoice")
    back = elsewhere.filter(invoice=None, stripe_operations=None)
    return sum(found.aggregate(sum=Sum("amount_minor"))["sum"] or 0 for found in (to_invoices, back))
