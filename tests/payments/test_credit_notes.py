"""An issued credit note becomes one of Stripe's on each invoice it corrects; what that leaves is on the customer's
balance there, or paid back.
"""

from decimal import Decimal

import pytest

from contracts.models import Customer
from invoicing import credit, credit_notes
from invoicing.models import CreditApplication, Invoice
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.refusals import public_id
from invoicing.void import void
from payments.advice import seen_to
from payments.connections import connect_new
from payments.credit_notes import refund_seen
from payments.models import Connection, Operation, StripeCredit, StripeInvoice
from payments.operations import retry, skip
from tests.payments.conftest import Stripe
from tests.payments.credits import BACK, balance, done, give, parts, pay, refunded, sound, stripe_id, there
from webhooks.models import Delivery, Endpoint


def test_an_open_invoice_is_less_by_it(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    note = give(stripe, (invoice, "30.00"))
    done(stripe)
    [made] = there(stripe, note)
    assert (made.total, made.pre_payment_amount, made.memo) == (3000, 3000, "CN-000001: A slow answer.")
    assert made.metadata.to_dict() == {
        "holdfast_credit_note": credit.public_id(note), "holdfast_invoice": public_id(invoice),
        "holdfast_number": note.number, "holdfast_hash": note.content_hash,
    }  # fmt: skip
    assert parts(note) == [(3000, 0, 0, 0)]
    assert StripeInvoice.objects.get().amount_remaining == stripe.invoice(invoice).amount_remaining == 7000
    assert StripeCredit.objects.get().stripe_id == made.id
    give(stripe, (invoice, "70.00"))
    done(stripe)
    assert (stripe.invoice(invoice).status, Invoice.objects.get().status) == ("paid", "paid")


def test_several_notes_on_one_invoice_and_one_over_several(stripe: Stripe, acme: Customer) -> None:
    first, second = stripe.issue(acme, "100.00"), stripe.issue(acme, "50.00")
    give(stripe, (first, "10.00"))
    give(stripe, (first, "20.00"))
    both = give(stripe, (first, "30.00"), (second, "50.00"))
    done(stripe)
    assert len(there(stripe, both)) == 2
    assert parts(both) == [(3000, 0, 0, 0), (5000, 0, 0, 0)]
    assert (stripe.invoice(first).amount_remaining, stripe.invoice(second).status) == (4000, "paid")
    assert credit.due_minor(first) == 4000


def test_of_a_paid_invoice_the_next_one_takes_it(stripe: Stripe, acme: Customer) -> None:
    first = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, first)
    mark_paid(first.id, now=stripe.now)
    note = give(stripe, (first, "30.00"))
    done(stripe)
    assert (parts(note), balance(stripe)) == ([(0, 3000, 0, 0)], -3000)
    second = stripe.issue(acme, "50.00")
    done(stripe)
    theirs = stripe.invoice(second)
    assert (theirs.total, theirs.amount_due, balance(stripe)) == (5000, 2000, 0)
    assert credit.due_minor(second) == 2000
    # Void here, so void there: the credit waits for another on both sides.
    void(second.id, now=stripe.now)
    done(stripe)
    assert (balance(stripe), credit.free_credit(acme.id, "USD")) == (-3000, 3000)
    covered = stripe.issue(acme, "20.00")
    done(stripe)
    assert (stripe.invoice(covered).status, Invoice.objects.get(pk=covered.pk).status) == ("paid", "paid")
    assert (balance(stripe), credit.free_credit(acme.id, "USD")) == (-1000, 1000)


def test_a_note_larger_than_what_remains(stripe: Stripe, acme: Customer) -> None:
    """The second invoice was partly covered by earlier credit: what no longer remains is for the next."""
    first = stripe.issue(acme, "100.00")
    mark_paid(first.id, now=stripe.now)
    give(stripe, (first, "40.00"))
    second = stripe.issue(acme, "60.00")
    note = give(stripe, (second, "50.00"))
    done(stripe)
    assert parts(note) == [(2000, 3000, 0, 0)]
    assert (stripe.invoice(second).status, balance(stripe)) == ("paid", -3000)
    assert credit.free_credit(acme.id, "USD") == 3000


# --- Paid back --------------------------------------------------------------------------------------------------------


def test_what_is_to_be_paid_back_is_refunded_from_its_charge(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, invoice)
    note = give(stripe, (invoice, "30.00"), to=BACK)
    # Here it was not known yet to be paid when the note took its credit off it; there, it was: all goes back.
    assert credit.remaining([note.pk]) == {note.pk: 0}
    done(stripe)
    assert (parts(note), refunded(stripe, invoice)) == ([(0, 0, 3000, 0)], 3000)
    later = give(stripe, (invoice, "20.00"), to=BACK)
    assert credit.remaining([later.pk]) == {later.pk: 2000}
    done(stripe)
    assert (parts(later), refunded(stripe, invoice), balance(stripe)) == ([(0, 0, 2000, 0)], 5000, 0)
    made = StripeCredit.objects.get(allocation__credit_note=later)
    assert (made.refund_status, made.advice, made.mismatch) == ("succeeded", "", "")
    back = CreditApplication.objects.get(credit_note=later)
    assert (back.invoice, back.amount_minor, back.reference, back.made_by) == (None, 2000, made.refund_id, "Stripe")
    assert credit.remaining([later.pk]) == {later.pk: 0}
    assert Operation.objects.get(kind="refund").status == "done"
    assert not Operation.objects.get(kind="refund").steps.exists()


def test_without_a_charge_a_person_pays_it_back(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    mark_paid(invoice.id, now=stripe.now)
    note = give(stripe, (invoice, "30.00"), to=BACK)
    done(stripe)
    assert (parts(note), balance(stripe)) == ([(0, 0, 0, 3000)], 0)
    assert there(stripe, note)[0].out_of_band_amount == 3000
    made = StripeCredit.objects.get()
    assert made.advice == (
        "USD 30.00 is to be paid back, and Stripe has no charge to refund it from: pay it back by hand, and note it "
        f"with POST /v1/credit_notes/{credit.public_id(note)}/refund."
    )
    credit_notes.refund(note.pk, None, "bank transfer 7", now=stripe.now, by="ann")
    done(stripe)
    assert (StripeCredit.objects.get().advice, balance(stripe)) == ("", 0)


def test_only_what_was_charged_is_refunded(stripe: Stripe, acme: Customer) -> None:
    """40.00 of the invoice came from earlier credit, and 10.00 was refunded by somebody there: that is not paid back
    again.
    """
    first = stripe.issue(acme, "100.00")
    mark_paid(first.id, now=stripe.now)
    give(stripe, (first, "40.00"))
    second = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, second)
    stripe.server.dashboard().refund(stripe_id(second), 1000)
    mark_paid(second.id, now=stripe.now)
    note = give(stripe, (second, "100.00"), to=BACK)
    done(stripe)
    assert (parts(note), refunded(stripe, second)) == ([(0, 0, 6000, 4000)], 6000)
    assert "USD 40.00 is to be paid back" in StripeCredit.objects.get(allocation__credit_note=note).advice
    assert credit.remaining([note.pk]) == {note.pk: 4000}
    back = CreditApplication.objects.filter(credit_note=note).order_by("amount_minor")
    assert [(one.amount_minor, one.reference[:3]) for one in back] == [(1000, "re_"), (5000, "re_")]
    assert back[1].reference == StripeCredit.objects.get(allocation__credit_note=note).refund_id


def test_what_somebody_refunded_there_is_not_refunded_again(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, invoice)
    made = stripe.server.dashboard().refund(stripe_id(invoice), 3000)
    mark_paid(invoice.id, now=stripe.now)
    first = give(stripe, (invoice, "20.00"), to=BACK)
    second = give(stripe, (invoice, "25.00"), to=BACK)
    done(stripe)
    assert (parts(first), parts(second)) == ([(0, 0, 2000, 0)], [(0, 0, 2500, 0)])
    assert refunded(stripe, invoice) == 4500
    [one] = there(stripe, first)
    assert (one.refunds[0].refund, one.refunds[0].amount_refunded) == (made["id"], 2000)
    assert sorted(entry.amount_refunded for entry in there(stripe, second)[0].refunds) == [1000, 1500]
    assert credit.remaining([first.pk, second.pk]) == {first.pk: 0, second.pk: 0}


def test_what_a_person_paid_back_already_is_not_refunded(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, invoice)
    mark_paid(invoice.id, now=stripe.now)
    note = give(stripe, (invoice, "30.00"), to=BACK)
    credit_notes.refund(note.pk, Decimal("20.00"), "cash", now=stripe.now, by="ann")
    done(stripe)
    assert (parts(note), refunded(stripe, invoice)) == ([(0, 0, 1000, 2000)], 1000)
    assert StripeCredit.objects.get().advice == ""
    assert credit.remaining([note.pk]) == {note.pk: 0}


def test_credit_paid_back_by_hand_leaves_the_balance(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    mark_paid(invoice.id, now=stripe.now)
    note = give(stripe, (invoice, "30.00"))
    credit_notes.refund(note.pk, Decimal("12.50"), "bank transfer 7", now=stripe.now, by="ann")
    done(stripe)
    assert balance(stripe) == -1750
    entry = stripe.v1.customers.balance_transactions.list(stripe.invoice(invoice).customer).data[0]
    assert (entry.amount, entry.type) == (1250, "adjustment")
    assert entry.description == "CN-000001: paid back (bank transfer 7)"
    assert entry.metadata["holdfast_refund"] == Operation.objects.get(kind="refund").public_id
    following = stripe.issue(acme, "20.00")
    done(stripe)
    assert stripe.invoice(following).amount_due == 250


# --- Paid there in that very moment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["30.00", "100.00"])
@pytest.mark.parametrize("to", ["next_invoice", "refund"])
def test_paid_while_our_credit_was_taken_off(stripe: Stripe, acme: Customer, amount: str, to: str) -> None:
    """All was paid there, and here credit had settled a part: the customer gets that back."""
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, invoice)
    note = give(stripe, (invoice, amount), to=to)
    done(stripe)
    minor = int(Decimal(amount) * 100)
    assert (parts(note), refunded(stripe, invoice), balance(stripe)) == ([(0, 0, minor, 0)], minor, 0)
    assert Invoice.objects.get().status == "paid"
    made = StripeCredit.objects.get()
    assert made.advice == (
        f"{invoice.number} was paid at Stripe before this credit reached it: USD {amount} of that was paid back "
        f"({made.refund_id})."
    )
    assert made.mismatch == ""
    # Credit was taken off here: nothing more is noted as paid back.
    assert not CreditApplication.objects.filter(invoice=None).exists()


def test_paid_between_our_look_and_the_credit_note(stripe: Stripe, acme: Customer) -> None:
    """The request divides what no longer is so: Stripe refuses it, and it is divided anew."""
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    note = give(stripe, (invoice, "30.00"))
    stripe.server.faults.next("timeout_before", "credit_notes.create")
    stripe.sync()
    pay(stripe, invoice)
    done(stripe)
    assert [one.refunds[0].amount_refunded for one in there(stripe, note)] == [3000]
    assert parts(note) == [(0, 0, 3000, 0)]
    assert [step.epoch for step in Operation.objects.get(kind="credit_note").steps.all()] == [1, 2]


def test_paid_outside_in_that_moment_is_a_mismatch(stripe: Stripe, acme: Customer) -> None:
    hook = "https://seller.example/hook"
    Endpoint.objects.create(url=hook, events=["sync.mismatch"], created_at=stripe.now)
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    stripe.server.dashboard().pay(stripe_id(invoice), None)
    note = give(stripe, (invoice, "30.00"))
    done(stripe)
    assert parts(note) == [(0, 0, 0, 3000)]
    made = StripeCredit.objects.get()
    assert made.mismatch == (
        "USD 30.00 that CN-000001 took off HF-000001 here no longer remained to be paid at Stripe, and there is no "
        "charge to refund it from. Where the customer paid it, pay it back by hand."
    )
    assert [one.about for one in Delivery.objects.all()] == [credit.public_id(note)]
    seen_to(made.pk, by="ann")
    assert StripeCredit.objects.get().mismatch == ""


# --- Where there is no invoice to correct -----------------------------------------------------------------------------


def test_issued_before_stripe_was_connected(stripe: Stripe, acme: Customer) -> None:
    """What the old invoice is less by is ours alone; what is free is there for the next."""
    Connection.objects.all().delete()
    old, paid = stripe.issue(acme, "50.00"), stripe.issue(acme, "80.00")
    mark_paid(paid.id, now=stripe.now)
    Connection.objects.create(audience="live", account=stripe.server.account, livemode=False, connected_at=stripe.now)
    note = give(stripe, (old, "20.00"), (paid, "30.00"))
    back = give(stripe, (paid, "10.00"), to=BACK)
    done(stripe)
    assert (parts(note), parts(back)) == ([(0, 0, 0, 2000), (0, 3000, 0, 0)], [(0, 0, 0, 1000)])
    assert balance(stripe) == -3000
    assert [one.stripe_id is None for one in StripeCredit.objects.order_by("pk")] == [True, False, True]
    assert "USD 10.00 is to be paid back" in StripeCredit.objects.get(allocation__credit_note=back).advice
    following = stripe.issue(acme, "45.00")
    done(stripe)
    assert (stripe.invoice(following).total, stripe.invoice(following).amount_due) == (4500, 1500)


def test_credit_that_was_free_before_stripe_was_connected(stripe: Stripe, acme: Customer) -> None:
    """It is there from then on, but for what went elsewhere before."""
    Connection.objects.all().delete()
    paid = stripe.issue(acme, "80.00")
    mark_paid(paid.id, now=stripe.now)
    note = give(stripe, (paid, "50.00"))
    used = give(stripe, (paid, "5.00"))
    back = give(stripe, (paid, "7.00"), to=BACK)
    took = stripe.issue(acme, "10.00")
    credit_notes.refund(note.pk, Decimal("2.00"), "cash", now=stripe.now, by="ann")
    credit_notes.refund(used.pk, None, "cash", now=stripe.now, by="ann")
    assert credit.free_credit(acme.id, "USD") == 3800
    connect_new(stripe.now)
    credit_notes.refund(note.pk, Decimal("3.00"), "cash", now=stripe.now, by="ann")
    done(stripe)
    assert list(Operation.objects.order_by("id").values_list("kind", "credit_note")) == [
        ("credit_note", note.pk), ("refund", note.pk),
    ]  # fmt: skip
    assert (parts(note), parts(back), balance(stripe)) == ([(0, 3800, 0, 1200)], [], -3500)
    following = stripe.issue(acme, "45.00")
    done(stripe)
    assert (stripe.invoice(following).total, stripe.invoice(following).amount_due) == (4500, 1000)
    assert StripeCredit.objects.get().advice == ""
    assert credit.due_minor(took) == 0
    # It is connected once.
    connect_new(stripe.now)
    assert Operation.objects.count() == 3


def test_a_skipped_invoice_is_not_there(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "50.00")
    skip(Operation.objects.get(kind="invoice").pk, reason="billed elsewhere", now=stripe.now, by="ann")
    note = give(stripe, (invoice, "20.00"))
    mark_paid(invoice.id, now=stripe.now)
    more = give(stripe, (invoice, "30.00"))
    done(stripe)
    assert (parts(note), parts(more), balance(stripe)) == ([(0, 0, 0, 2000)], [(0, 3000, 0, 0)], -3000)


def test_uncollectible(stripe: Stripe, acme: Customer) -> None:
    """Stripe takes no note on it. Covered by credit here it is paid, and so it is there."""
    part, all = stripe.issue(acme, "50.00"), stripe.issue(acme, "60.00")
    mark_uncollectible(part.id, now=stripe.now)
    mark_uncollectible(all.id, now=stripe.now)
    note = give(stripe, (part, "20.00"), (all, "60.00"))
    done(stripe)
    assert parts(note) == [(0, 0, 0, 2000), (0, 0, 0, 6000)]
    assert [stripe.invoice(one).status for one in (part, all)] == ["uncollectible", "paid"]
    made = StripeCredit.objects.order_by("pk")[0]
    assert made.advice == (
        f"Stripe takes no credit notes on what is uncollectible, so {stripe_id(part)} asks for USD 20.00 more than is "
        "due. Should it be paid there, pay that back there."
    )
    pay(stripe, part)
    mark_paid(part.id, now=stripe.now)
    done(stripe)
    made.refresh_from_db()
    assert (made.advice, made.mismatch) == ("", (
        f"{part.number} was paid at Stripe after all, with USD 20.00 that {note.number} had taken off it here: pay "
        f"that back there ({stripe_id(part)})."
    ))  # fmt: skip


def test_of_a_customer_deleted_there(stripe: Stripe, acme: Customer) -> None:
    """Nothing is credited there any more; made anew, the customer has the credit that is free."""
    invoice = stripe.issue(acme, "50.00")
    mark_paid(invoice.id, now=stripe.now)
    done(stripe)
    stripe.server.dashboard().delete_customer(stripe.invoice(invoice).customer)
    note = give(stripe, (invoice, "20.00"))
    stripe.until_done()
    parked = Operation.objects.get(status="parked")
    assert (parked.kind, parked.code) == ("credit_note", "customer_deleted")
    retry(parked.pk, now=stripe.now, by="ann")
    done(stripe)
    assert parts(note) == [(0, 2000, 0, 0)]
    following = stripe.issue(acme, "50.00")
    done(stripe)
    assert stripe.invoice(following).amount_due == 3000


def test_void_there(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "50.00")
    done(stripe)
    stripe.server.dashboard().void(stripe_id(invoice))
    note = give(stripe, (invoice, "20.00"))
    done(stripe)
    assert (parts(note), balance(stripe)) == ([(0, 0, 0, 2000)], 0)
    assert "It was voided at Stripe" in StripeInvoice.objects.get().mismatch


def test_too_little_to_be_charged(stripe: Stripe, acme: Customer) -> None:
    """Stripe has the next invoice collect it; credited, nobody does."""
    small = stripe.issue(acme, "0.30")
    note = give(stripe, (small, "0.30"))
    done(stripe)
    assert (parts(note), balance(stripe)) == ([(0, 30, 0, 0)], 0)
    again = stripe.issue(acme, "0.40")
    done(stripe)
    assert balance(stripe) == 40
    later = give(stripe, (again, "0.40"))
    done(stripe)
    assert (parts(later), balance(stripe)) == ([(0, 40, 0, 0)], 0)
    following = stripe.issue(acme, "10.00")
    done(stripe)
    assert stripe.invoice(following).amount_due == 1000


def test_more_falls_off_there_than_here(stripe: Stripe, acme: Customer) -> None:
    """The invoice there collects 0.30 of an earlier one, too; credited altogether, the next one does."""
    paid = stripe.issue(acme, "10.00")
    mark_paid(paid.id, now=stripe.now)
    stripe.issue(acme, "0.30")
    done(stripe)
    give(stripe, (paid, "4.00"))
    invoice = stripe.issue(acme, "10.00")
    done(stripe)
    assert (stripe.invoice(invoice).amount_due, credit.due_minor(invoice)) == (630, 600)
    note = give(stripe, (invoice, "10.00"))
    done(stripe)
    assert (parts(note), balance(stripe), credit.free_credit(acme.id, "USD")) == ([(630, 370, 0, 0)], -370, 400)
    following = stripe.issue(acme, "10.00")
    done(stripe)
    assert stripe.invoice(following).amount_due == 630


def test_credit_covers_what_was_carried(stripe: Stripe, acme: Customer) -> None:
    """0.30 is to be collected and 5.00 is free: of an invoice that credit covers nothing is to be paid there, too."""
    paid = stripe.issue(acme, "10.00")
    mark_paid(paid.id, now=stripe.now)
    stripe.issue(acme, "0.30")
    done(stripe)
    give(stripe, (paid, "5.00"))
    covered = stripe.issue(acme, "3.00")
    done(stripe)
    assert (stripe.invoice(covered).status, balance(stripe)) == ("paid", -170)
    assert credit.free_credit(acme.id, "USD") == 200
    following = stripe.issue(acme, "10.00")
    done(stripe)
    assert stripe.invoice(following).amount_due == 830


def test_credit_on_what_a_later_invoice_collected(stripe: Stripe, acme: Customer) -> None:
    """The small invoice was collected by the next one before its credit note got there: the one after is less by it."""
    small = stripe.issue(acme, "0.30")
    collects = stripe.issue(acme, "10.00")
    note = give(stripe, (small, "0.30"))
    done(stripe)
    assert (parts(note), stripe.invoice(collects).amount_due, balance(stripe)) == ([(0, 30, 0, 0)], 1030, -30)
    less = stripe.issue(acme, "10.00")
    done(stripe)
    assert (stripe.invoice(less).amount_due, balance(stripe)) == (970, 0)
    give(stripe, (less, "10.00"))
    done(stripe)
    assert (stripe.invoice(less).status, balance(stripe)) == ("paid", -30)


# --- Currencies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("currency", "total", "amount", "expected"), [
    ("KWD", "20.000", "1.250", 1250), ("ISK", "5000", "1300", 130_000), ("JPY", "5000", "1300", 1300),
])  # fmt: skip
def test_currencies(stripe: Stripe, acme: Customer, currency: str, total: str, amount: str, expected: int) -> None:
    Customer.objects.filter(pk=acme.pk).update(currency=currency)
    invoice = stripe.issue(acme, total, currency=currency)
    note = give(stripe, (invoice, amount))
    mark_paid(invoice.id, now=stripe.now)
    more = give(stripe, (invoice, amount))
    done(stripe)
    assert (parts(note), parts(more)) == ([(expected, 0, 0, 0)], [(0, expected, 0, 0)])
    assert balance(stripe) == -expected
    following = stripe.issue(acme, total, currency=currency)
    done(stripe)
    assert stripe.invoice(following).amount_due == stripe.invoice(invoice).total - expected


def test_what_stripe_cannot_write_is_parked_with_a_way_out(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "20.000", currency="KWD")
    mark_paid(invoice.id, now=stripe.now)
    note = give(stripe, (invoice, "1.255"))
    stripe.until_done()
    parked = Operation.objects.get(status="parked")
    assert (parked.kind, parked.code) == ("credit_note", "amount_not_payable")
    assert parked.reason == (
        "KWD 1.255 cannot be charged: Stripe takes KWD in steps of 0.010. Skip this operation, pay the credit back by "
        f"hand, and note it with POST /v1/credit_notes/{credit.public_id(note)}/refund before an invoice takes it."
    )
    credit_notes.refund(note.pk, None, "bank transfer 7", now=stripe.now, by="ann")
    skip(parked.pk, reason="paid back by hand", now=stripe.now, by="ann")
    following = stripe.issue(acme, "20.000", currency="KWD")
    done(stripe)
    assert (stripe.invoice(following).amount_due, balance(stripe)) == (20_000, 0)


# --- Refunds that fail ------------------------------------------------------------------------------------------------


def test_a_refund_that_fails_is_credit_again(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, invoice)
    mark_paid(invoice.id, now=stripe.now)
    note = give(stripe, (invoice, "30.00"), to=BACK)
    done(stripe)
    refund_id = StripeCredit.objects.get().refund_id
    theirs = stripe.server.dashboard().fail_refund(refund_id)
    assert refund_seen(theirs, now=stripe.now)
    made = StripeCredit.objects.get()
    assert (made.refund_status, credit.remaining([note.pk])) == ("failed", {note.pk: 3000})
    assert made.mismatch == (
        f"Refund {refund_id} of USD 30.00 failed at Stripe (declined): the customer has not got it. Pay it back by "
        "hand, and note USD 30.00 of it, which is free credit again, with "
        f"POST /v1/credit_notes/{credit.public_id(note)}/refund."
    )
    # Told again, it is nothing new; and what no note of ours made is none of ours.
    assert refund_seen(stripe.v1.refunds.retrieve(refund_id), now=stripe.now)
    assert StripeCredit.objects.get().mismatch == made.mismatch
    assert not refund_seen({"id": "re_other", "status": "failed"}, now=stripe.now)
    credit_notes.refund(note.pk, None, "bank transfer 7", now=stripe.now, by="ann")
    assert refund_seen(theirs, now=stripe.now)
    done(stripe)
    assert (StripeCredit.objects.get().mismatch, credit.remaining([note.pk])) == ("", {note.pk: 0})
    assert balance(stripe) == 0


def test_of_what_was_paid_twice_a_failed_refund_stays_told(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, invoice)
    give(stripe, (invoice, "30.00"))
    done(stripe)
    refund_id = StripeCredit.objects.get().refund_id
    refund_seen(stripe.server.dashboard().fail_refund(refund_id), now=stripe.now)
    assert StripeCredit.objects.get().mismatch == (
        f"Refund {refund_id} of USD 30.00 failed at Stripe (declined): the customer has not got it. Pay it back by "
        "hand."
    )
    sound(stripe)


def test_one_note_is_one_operation_whatever_is_tried_again(stripe: Stripe, acme: Customer) -> None:
    """Begun anew with one of its invoices made, it makes the other."""
    first, second = stripe.issue(acme, "10.00"), stripe.issue(acme, "20.00")
    done(stripe)
    note = give(stripe, (first, "5.00"), (second, "5.00"))
    stripe.server.faults.next("conflict", "credit_notes.create")
    stripe.server.faults.next("timeout_before", "credit_notes.create", times=2)
    stripe.sync()
    operation = Operation.objects.get(kind="credit_note")
    retry(operation.pk, now=stripe.now, by="ann")
    done(stripe)
    assert len(there(stripe, note)) == 2
