"""Credit notes for tests of Stripe: made as use cases make them, and looked at there."""

from decimal import Decimal
from typing import Any

from django.db import transaction

from access import ids
from access.invariants import Scope, check
from contracts.domain import money
from invoicing import audit_credit, credit, credit_notes
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import CreditAllocation, CreditNote, Invoice, InvoiceLine
from payments.models import Operation, StripeCredit, StripeInvoice
from tests.payments.conftest import Stripe

BACK = CreditNote.Destination.REFUND


def give(stripe: Stripe, *amounts: tuple[Invoice, str], to: str = "next_invoice") -> CreditNote:
    """A credit note over so much of these invoices, issued now."""
    note = draft(stripe, *amounts, to=to)
    return credit_notes.issue(note.pk, now=stripe.now, by="ann")


@transaction.atomic
def draft(stripe: Stripe, *amounts: tuple[Invoice, str], to: str) -> CreditNote:
    """As goodwill makes it, for one invoice; several, and another destination, come by a contract elsewhere."""
    first, amount = amounts[0]
    note = goodwill(Goodwill(first.id, "A slow answer.", Decimal(amount), issue=False), now=stripe.now, by="ann")
    for position, (invoice, more) in enumerate(amounts[1:], 2):
        minor = money.to_minor(Decimal(more), invoice.currency)
        note.total_minor += minor
        note.subtotal_minor += minor
        CreditAllocation.objects.create(credit_note=note, invoice=invoice, net_minor=minor, total_minor=minor)
        InvoiceLine.objects.create(
            id=ids.uuid7(stripe.now),
            credit_note=note,
            position=position,
            kind=InvoiceLine.Kind.GOODWILL,
            period_start=invoice.period_start,
            period_end=invoice.period_end,
            title="More",
            amount_minor=-minor,
        )
    note.destination = to
    note.save(update_fields=["total_minor", "subtotal_minor", "destination"])
    return note


def there(stripe: Stripe, note: CreditNote) -> list[Any]:
    """The credit notes at Stripe that are of ours."""
    found = stripe.v1.credit_notes.list({"limit": 100}).data
    return [one for one in found if one.metadata["holdfast_credit_note"] == credit.public_id(note)]


def parts(note: CreditNote) -> list[tuple[int, int, int, int]]:
    """Of each of its invoices: before payment, to the balance, refunded, outside."""
    rows = StripeCredit.objects.filter(allocation__credit_note=note).order_by("allocation")
    return [(one.before_payment, one.to_balance, one.refunded, one.outside) for one in rows]


def balance(stripe: Stripe) -> int:
    """What all customers owe by their balances; below zero it is credit."""
    return sum(stripe.server.books().balances.values())


def stripe_id(invoice: Invoice) -> str:
    return StripeInvoice.objects.get(invoice=invoice).stripe_id


def pay(stripe: Stripe, invoice: Invoice) -> None:
    """The customer pays it on Stripe's page."""
    stripe.server.dashboard().pay(stripe_id(invoice))


def refunded(stripe: Stripe, invoice: Invoice) -> int:
    return stripe.server.books().invoices[stripe_id(invoice)].refunded


def sound(stripe: Stripe) -> None:
    """What is audited of credit holds."""
    for result in check(audit_credit.INVARIANTS, Scope(now=stripe.now, sample=None)):
        assert (result.findings.violation_rows, result.error) == ([], "")


def done(stripe: Stripe) -> None:
    """All is made so, and nothing is parked."""
    for _ in range(60):
        stripe.sync()
        assert list(Operation.objects.filter(status="parked").values_list("kind", "reason")) == []
        if not Operation.objects.filter(status="waiting").exists():
            break
        stripe.pass_time(minutes=20)
    else:
        raise AssertionError(list(Operation.objects.filter(status="waiting").values_list("kind", "code", "reason")))
    sound(stripe)
