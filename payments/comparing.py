"""What differs between a document here and its counterpart at Stripe, in words and with the way out. Nothing here asks
Stripe or writes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.models import Customer
from invoicing import credit
from invoicing.models import Invoice, Status
from invoicing.refusals import public_id
from payments import units
from payments.errors import Refused
from payments.invoices import METADATA
from payments.models import Finding, StripeCredit, StripeInvoice

Kind = Finding.Kind
Theirs = Mapping[str, Any]

DRAFT, OPEN, PAID, UNCOLLECTIBLE, VOID, DELETED = (
    StripeInvoice.Status.DRAFT,
    StripeInvoice.Status.OPEN,
    StripeInvoice.Status.PAID,
    StripeInvoice.Status.UNCOLLECTIBLE,
    StripeInvoice.Status.VOID,
    StripeInvoice.Status.DELETED,
)

COUNTERPART: Final = {
    Status.ISSUED: OPEN,
    Status.PAID: PAID,
    Status.UNCOLLECTIBLE: UNCOLLECTIBLE,
    Status.VOID: VOID,
}
"""How an invoice stands at Stripe once nothing is left to be made so there."""


@dataclass(frozen=True)
class Found:
    """One difference. ``about`` tells it from others of its kind; ``type`` is what ``document`` is the id of."""

    kind: str
    about: str
    what: str
    way_out: str
    customer: Customer | None = None
    type: str = "invoice"
    document: str = ""
    number: str = ""
    stripe_id: str = ""


def of_invoice(kind: str, invoice: Invoice, stripe_id: str, what: str, way_out: str) -> Found:
    """A difference of one of our invoices."""
    name = public_id(invoice)
    return Found(
        kind=kind,
        about=f"{name} {stripe_id}",
        what=what,
        way_out=way_out,
        customer=invoice.customer,
        document=name,
        number=invoice.number or "",
        stripe_id=stripe_id,
    )


def invoice_problems(seen: StripeInvoice, theirs: Theirs, applied_minor: int, *, busy: bool) -> Iterator[Found]:
    """What differs of an invoice; ``applied_minor`` is the credit taken off it here. While the customer is ``busy``,
    which is while something is still to be made so at Stripe, only what never changes is compared.
    """
    invoice, stripe_id = seen.invoice, seen.stripe_id

    def found(kind: str, what: str, way_out: str) -> Found:
        return of_invoice(kind, invoice, stripe_id, what, way_out)

    if theirs["status"] == DRAFT:
        if not busy:
            yield found(
                Kind.DRAFT,
                f"It is a draft at Stripe ({stripe_id}), and nothing is left that would finalise it.",
                "Look why its operation was skipped. Void it here, too, or have it paid in another way; then delete "
                "the draft.",
            )
        return
    if theirs["currency"].upper() != invoice.currency:
        yield found(
            Kind.CURRENCY,
            f"It is in {theirs['currency'].upper()} at Stripe and in {invoice.currency} here.",
            "Void it there, and here, and bill it anew.",
        )
        return
    total = units.to_stripe(invoice.total_minor, invoice.currency)
    if theirs["total"] != total:
        yield found(
            Kind.TOTAL,
            f"Its total is {told(theirs['total'], invoice)} at Stripe and {told(total, invoice)} here.",
            "What was issued here does not change: void the one there and skip its operations, or credit the "
            "difference.",
        )
    yield from _edited(seen, theirs, found)
    if not busy:
        yield from _standing(seen, theirs, applied_minor, found)


def _edited(seen: StripeInvoice, theirs: Theirs, found: Any) -> Iterator[Found]:
    invoice = seen.invoice
    if theirs.get("number") != invoice.number:
        yield found(
            Kind.EDITED,
            f"Its number is {theirs.get('number')} at Stripe and {invoice.number} here.",
            "Somebody changed it before it was finalised: tell the customer which number holds.",
        )
    elif (theirs.get("metadata") or {}).get(METADATA) != public_id(invoice):
        yield found(
            Kind.EDITED,
            f"It no longer bears our id ({METADATA}) at Stripe.",
            f"Set the metadata {METADATA} of {seen.stripe_id} to {public_id(invoice)} again.",
        )


def _standing(seen: StripeInvoice, theirs: Theirs, applied_minor: int, found: Any) -> Iterator[Found]:
    invoice = seen.invoice
    ours, status = Status(invoice.status), theirs["status"]
    if status != COUNTERPART.get(ours):
        yield found(Kind.STATUS, f"It is {status} at Stripe and {ours} here.", _way_out(ours, status))
        return
    due = units.to_stripe(invoice.total_minor - applied_minor, invoice.currency) + seen.taken
    if status in (OPEN, UNCOLLECTIBLE) and theirs["amount_remaining"] != due:
        yield found(
            Kind.REMAINING,
            f"{told(theirs['amount_remaining'], invoice)} are to be paid at Stripe and {told(due, invoice)} here.",
            "Somebody credited it, or took a part of it, there: write the same here, as a credit note, or void there "
            "what was written.",
        )
    paid = due - seen.carried
    if status == PAID and theirs["amount_paid"] != paid:
        yield found(
            Kind.PAID,
            f"{told(theirs['amount_paid'], invoice)} were paid at Stripe, and {told(paid, invoice)} were due here.",
            "Pay back what is too much there, or credit here what was not paid.",
        )


def _way_out(ours: Status, theirs: str) -> str:
    if theirs == VOID:
        return "Void it here, too, or credit it where it cannot be voided any more."
    if theirs == PAID:
        return "Pay it back there, or bill it anew here."
    if ours == Status.VOID:
        return "Void it there, too."
    return f"Mark it as {ours} there, too."


def credit_problems(row: StripeCredit, theirs: Theirs, invoice_id: str | None) -> Iterator[Found]:
    """What differs of one part of a credit note; ``invoice_id`` is the invoice at Stripe that it corrects."""
    invoice, note = row.allocation.invoice, row.allocation.credit_note

    def found(kind: str, what: str, way_out: str) -> Found:
        return Found(
            kind=kind,
            about=f"{credit.public_id(note)} {row.stripe_id}",
            what=what,
            way_out=way_out,
            customer=invoice.customer,
            type="credit_note",
            document=credit.public_id(note),
            number=note.number or "",
            stripe_id=row.stripe_id or "",
        )

    again = "Write it there anew by hand, for the amount that is missing, and note its id."
    if theirs.get("status") == "void":
        yield found(Kind.STATUS, "It was voided at Stripe, and stands here.", again)
        return
    if theirs["currency"].upper() != invoice.currency:
        yield found(
            Kind.CURRENCY, f"It is in {theirs['currency'].upper()} at Stripe and in {invoice.currency} here.", again
        )
        return
    if theirs["total"] != row.amount:
        yield found(
            Kind.TOTAL,
            f"Its total for invoice {invoice.number} is {told(theirs['total'], invoice)} at Stripe and "
            f"{told(row.amount, invoice)} here.",
            again,
        )
    if invoice_id is not None and theirs.get("invoice") != invoice_id:
        yield found(
            Kind.EDITED, f"It corrects {theirs.get('invoice')} at Stripe and {invoice_id} by what we know.", again
        )


def told(amount: int, invoice: Invoice) -> str:
    """Stripe's units of the invoice's currency, for people."""
    return units.told(amount, invoice.currency)


def told_in(amount: int, currency: str) -> str:
    """The same of any currency, also of one that we do not have."""
    try:
        return units.told(amount, currency.upper())
    except (KeyError, ValueError, Refused):
        return f"{amount} of {currency.upper()}'s smallest unit"
