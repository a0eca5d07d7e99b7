"""Finding an invoice or a credit note under lock, and saying no to what its state does not allow."""

from uuid import UUID

from django.db import connection

from access import error_codes, ids
from access.errors import ApiError
from contracts.domain import money
from contracts.models import Customer
from invoicing import credit
from invoicing.domain import lifecycle
from invoicing.models import CreditNote, Invoice
from settlement import holds

INVOICE_PREFIX = "inv"
LINE_PREFIX = "line"
NOTE_PREFIX = credit.NOTE_PREFIX

error_codes.register(
    {
        "invoice_not_draft": "Only a draft can be issued; what is issued never changes.",
        "invoice_not_open": "Only an issued, unpaid invoice can be paid, voided or given up: see its "
        "`available_actions`.",
        "invoice_credited": "A credit note corrects the invoice, or a later document takes back what it bills: it can "
        "no longer be voided. Credit the rest of it instead.",
        "nothing_to_bill": "Nothing on the draft is billable any more; the next billing run removes it.",
        "not_discardable": "Only a one-off draft is discarded: runs make others anew, and what is issued stays.",
        "total_below_zero": "The lines of an invoice do not come to less than zero: write a credit note instead.",
        "no_contract": "The customer has no contract at this time: agree one with POST /v1/contracts.",
        "invoice_not_creditable": "Only an issued invoice that is not void can be credited.",
        "exceeds_left_to_credit": "The invoice has less left to credit than that: the message says how much.",
        "credit_note_not_draft": "Only a draft can be issued or discarded; what is issued never changes.",
        "credit_note_not_discardable": "An automatic draft is made anew by each billing run: issue it.",
        "no_credit_left": "Nothing of the credit note's credit is free: it was taken off invoices or paid back.",
        "exceeds_remaining_credit": "The credit note has less free credit than that: the message says how much.",
    }
)


def public_id(invoice: Invoice) -> str:
    """``inv_…``, as the API names it."""
    return ids.encode(INVOICE_PREFIX, invoice.id)


def not_found(invoice_id: UUID) -> ApiError:
    """404 for an invoice that is not there."""
    return ApiError(404, "not_found", f"There is no invoice {ids.encode(INVOICE_PREFIX, invoice_id)}.")


def note_not_found(note_id: UUID) -> ApiError:
    """404 for a credit note that is not there."""
    return ApiError(404, "not_found", f"There is no credit note {ids.encode(NOTE_PREFIX, note_id)}.")


def locked(invoice_id: UUID) -> Invoice:
    """The invoice, with its customer's row and its own locked until the transaction ends. ApiError 404 without it.

    Customer first: that is the order in which everything that bills takes its locks. Before it, holds on conditions are
    kept from being placed.
    """
    customer_id = Invoice.objects.filter(pk=invoice_id).values_list("customer_id", flat=True).first()
    if customer_id is None:
        raise not_found(invoice_id)
    _lock_customer(customer_id)
    # A run may have removed the draft while we waited for the customer.
    invoice = Invoice.objects.select_for_update(no_key=True, of=("self",)).filter(pk=invoice_id).first()
    if invoice is None:
        raise not_found(invoice_id)
    return invoice


def locked_note(note_id: UUID) -> CreditNote:
    """The same for a credit note."""
    customer_id = CreditNote.objects.filter(pk=note_id).values_list("customer_id", flat=True).first()
    if customer_id is None:
        raise note_not_found(note_id)
    _lock_customer(customer_id)
    note = CreditNote.objects.select_for_update(no_key=True, of=("self",)).filter(pk=note_id).first()
    if note is None:
        raise note_not_found(note_id)
    return note


def _lock_customer(customer_id: int) -> None:
    with connection.cursor() as cursor:
        holds.keep_from_changing(cursor, holds.BILLING)
    Customer.objects.select_for_update(no_key=True).get(pk=customer_id)


def actions_of(invoice: Invoice) -> tuple[str, ...]:
    """What a person may do with the invoice now. Two queries while it is owed."""
    corrected = credit.corrected([invoice.id]) if invoice.status in lifecycle.OPEN else set()
    return lifecycle.invoice_actions(
        invoice.status, corrected=invoice.id in corrected, one_off=invoice.kind == Invoice.Kind.ONE_OFF
    )


def refuse_unless_allowed(invoice: Invoice, action: str) -> None:
    """ApiError 409 where the invoice's state does not allow the action."""
    if action in actions_of(invoice):
        return
    name = invoice.number or public_id(invoice)
    if action == lifecycle.ISSUE:
        message = f"Invoice {name} is {invoice.status}: only a draft can be issued."
        raise ApiError(409, "invoice_not_draft", message)
    if action == lifecycle.MAKE_VOID and invoice.status in lifecycle.OPEN:
        message = (
            f"Invoice {name} cannot be voided any more: a credit note corrects it, or a later document takes back what "
            "it bills. Credit the rest of it with POST /v1/credit_notes; a goodwill draft on it can be discarded."
        )
        raise ApiError(409, "invoice_credited", message)
    done = {
        lifecycle.MARK_PAID: "marked as paid",
        lifecycle.MARK_UNCOLLECTIBLE: "marked as uncollectible",
        lifecycle.MAKE_VOID: "voided",
    }[action]
    message = f"Invoice {name} is {invoice.status} and cannot be {done}: that takes an issued invoice that is not paid."
    raise ApiError(409, "invoice_not_open", message)


def nothing_left(invoice: Invoice) -> ApiError:
    """409 for a draft that has run empty."""
    message = f"Nothing on draft {public_id(invoice)} is billable any more: the next billing run removes it."
    return ApiError(409, "nothing_to_bill", message)


def refuse_unless_note_allows(note: CreditNote, action: str, remaining_minor: int = 0) -> None:
    """ApiError 409 where the credit note's state, with so much free credit, does not allow the action."""
    if action in lifecycle.note_actions(note.status, note.kind, remaining_minor):
        return
    name = note.number or credit.public_id(note)
    if action == lifecycle.REFUND:
        message = f"Nothing of credit note {name} can be paid back: {_why_none(note)}."
        raise ApiError(409, "no_credit_left", message)
    if note.status == lifecycle.DRAFT:
        message = f"Credit note {name} is automatic: the next billing run would make it anew. Issue it."
        raise ApiError(409, "credit_note_not_discardable", message)
    done = "issued" if action == lifecycle.ISSUE else "discarded"
    message = f"Credit note {name} is {note.status} and cannot be {done}: only a draft can."
    raise ApiError(409, "credit_note_not_draft", message)


def _why_none(note: CreditNote) -> str:
    if note.status == lifecycle.DRAFT:
        return "it is a draft, issue it first"
    return "all of it was taken off invoices or paid back"


def exceeds_left(invoice: Invoice, left_minor: int) -> ApiError:
    """409 for more credit than the invoice has left."""
    left = money.major_text(left_minor, invoice.currency)
    message = f"Invoice {invoice.number} has {left} {invoice.currency} left to credit: credit that or less."
    return ApiError(409, "exceeds_left_to_credit", message)


def exceeds_remaining(note: CreditNote, remaining_minor: int) -> ApiError:
    """409 for a larger refund than the note has free credit."""
    left = money.major_text(remaining_minor, note.currency)
    message = f"Credit note {note.number} has {left} {note.currency} of free credit: pay back that or less."
    return ApiError(409, "exceeds_remaining_credit", message)
