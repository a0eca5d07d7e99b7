"""An issued invoice becomes one of Stripe's: line by line, finalised where the totals agree, sent, and paid there."""

from contracts.models import Customer
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.refusals import public_id
from invoicing.void import void
from payments.models import Connection, Operation, StripeInvoice
from payments.operations import retry
from tests.payments.conftest import Stripe


def test_line_by_line(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00", "-12.50", memo="Thank you.")
    assert stripe.sync() == 1
    theirs = stripe.invoice(invoice)
    assert [(line.description, line.amount) for line in theirs.lines.data] == [("Item 1", 10000), ("Item 2", -1250)]
    assert (theirs.status, theirs.total, theirs.amount_due, theirs.number) == ("open", 8750, 8750, invoice.number)
    assert theirs.metadata.to_dict() == {
        "holdfast_invoice": public_id(invoice), "holdfast_customer": "acme", "holdfast_hash": invoice.content_hash,
    }  # fmt: skip
    assert (theirs.customer_email, theirs.description, theirs.auto_advance) == ("ap@acme.example", "Thank you.", False)
    assert theirs.due_date == int(invoice.due_at.timestamp())
    assert ("invoices.send", 200) in stripe.server.log
    seen = StripeInvoice.objects.get()
    assert (seen.status, seen.total, seen.amount_remaining, seen.mismatch) == ("open", 8750, 8750, "")
    assert seen.hosted_url == theirs.hosted_invoice_url
    # Nothing is left to do, and nothing is done twice.
    requests = len(stripe.server.log)
    assert stripe.sync() == 0
    assert len(stripe.server.log) == requests


def test_given_up_paid_and_void_here_are_so_there(stripe: Stripe, acme: Customer) -> None:
    given_up, paid, voided = (stripe.issue(acme, amount) for amount in ("10.00", "20.00", "30.00"))
    stripe.sync()
    mark_uncollectible(given_up.id, now=stripe.now)
    mark_paid(paid.id, now=stripe.now)
    void(voided.id, now=stripe.now)
    assert stripe.sync() == 3
    assert [stripe.invoice(one).status for one in (given_up, paid, voided)] == ["uncollectible", "paid", "void"]
    assert stripe.server.books().invoices[stripe.invoice(paid).id].paid == 2000


def test_nothing_is_noted_without_a_connection(stripe: Stripe, acme: Customer) -> None:
    Connection.objects.all().delete()
    stripe.issue(acme, "10.00")
    assert not Operation.objects.exists()


def test_what_stripe_does_not_have_as_we_do_is_never_finalised(stripe: Stripe, acme: Customer) -> None:
    """A balance that somebody gave by hand would make it cheaper."""
    first = stripe.issue(acme, "10.00")
    stripe.sync()
    customer = stripe.invoice(first).customer
    stripe.v1.customers.update(customer, {"balance": -300})
    second, third = stripe.issue(acme, "20.00"), stripe.issue(acme, "30.00")
    stripe.sync()
    parked = Operation.objects.get(status="parked")
    assert (parked.invoice_id, parked.code) == (second.id, "mismatch")
    assert parked.reason == (
        "With the customer's balance at Stripe, USD -3.00, USD 17.00 would be to pay, and by our credit notes it is "
        "USD 20.00. Set the balance right there, and try again."
    )
    assert stripe.invoice(second).status == "draft"
    assert StripeInvoice.objects.get(invoice=second).mismatch == parked.reason
    # What comes after waits behind it, until it is mended and tried again.
    assert not StripeInvoice.objects.filter(invoice=third).exists()
    stripe.v1.customers.update(customer, {"balance": 0})
    retry(parked.id, now=stripe.now, by="anna")
    assert stripe.sync() == 2
    assert [stripe.invoice(one).status for one in (second, third)] == ["open", "open"]
    assert StripeInvoice.objects.get(invoice=second).mismatch == ""


def test_what_is_paid_here_meanwhile_is_not_sent(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "10.00")
    mark_paid(invoice.id, now=stripe.now)
    assert stripe.sync() == 2
    assert StripeInvoice.objects.get().status == "paid"
    assert ("invoices.send", 200) not in stripe.server.log
