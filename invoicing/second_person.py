"""Goodwill above a limit takes two: who writes it and another person who approves it (``HOLDFAST_SECOND_PERSON_ABOVE``,
by currency; off unless it is set).

What one person gave on one invoice before counts towards it, so that many small notes are no way past it.
"""

from django.conf import settings
from django.db.models import Sum

from access import error_codes
from access.errors import ApiError
from invoicing import texts
from invoicing.models import CreditAllocation, CreditNote, Invoice

CODE = "second_person_needed"

error_codes.register(
    {CODE: "Goodwill above the installation's limit is a draft first, and another person approves it in the admin."}
)


def is_needed(invoice: Invoice, total_minor: int, *, by: str) -> bool:
    """Whether ``by`` may not give so much on the invoice alone. Under the customer's lock, so that two at once count
    each other.
    """
    limit = settings.SECOND_PERSON_ABOVE.get(invoice.currency)
    if limit is None:
        return False
    given = CreditAllocation.objects.filter(
        invoice=invoice,
        credit_note__kind=CreditNote.Kind.GOODWILL,
        credit_note__status=CreditNote.Status.ISSUED,
        credit_note__created_by=by,
    ).aggregate(total=Sum("total_minor"))
    return bool(total_minor + (given["total"] or 0) > limit)


def limit_text(currency: str) -> str | None:
    """The limit as text ("USD 500.00"); None without one."""
    limit = settings.SECOND_PERSON_ABOVE.get(currency)
    return None if limit is None else texts.amount(limit, currency)


def refuse_alone(invoice: Invoice, total_minor: int, *, by: str) -> None:
    """ApiError 409 for goodwill that would be issued at once and takes two."""
    if is_needed(invoice, total_minor, by=by):
        message = (
            f"Goodwill of one person above {limit_text(invoice.currency)} on one invoice needs another's approval: "
            'write it with "issue": false, and another person approves it in the admin.'
        )
        raise ApiError(409, CODE, message)


def refuse_unless_second(note: CreditNote, *, by: str, by_person: bool) -> None:
    """ApiError 409 for a draft that takes two, and is approved by who wrote it or by no person."""
    if note.kind != CreditNote.Kind.GOODWILL or (by_person and by != note.created_by):
        return
    allocations = note.allocations.select_related("invoice")
    if any(is_needed(one.invoice, note.total_minor, by=note.created_by) for one in allocations):
        message = (
            f"Goodwill of one person above {limit_text(note.currency)} on one invoice needs another's approval: "
            f"somebody else than {note.created_by} approves it in the admin."
        )
        raise ApiError(409, CODE, message)
