"""Whatever goes wrong between us and Stripe: each credit note, each transaction of a balance and each refund is made
once.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import count

import pytest

from contracts.models import Customer
from invoicing import credit, credit_notes
from invoicing.models import CreditApplication
from invoicing.payment import mark_paid
from payments.models import Connection, Operation, Step
from tests.payments.conftest import Stripe
from tests.payments.credits import BACK, balance, done, give, parts, pay, refunded, stripe_id, there
from tests.payments.killing import killed
from tests.stripe_server.faults import AT_RANDOM

Scene = Callable[[Stripe, Customer], Callable[[], None]]


def on_an_open_invoice(stripe: Stripe, acme: Customer) -> Callable[[], None]:
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    note = give(stripe, (invoice, "30.00"))

    def once() -> None:
        assert (len(there(stripe, note)), parts(note)) == (1, [(3000, 0, 0, 0)])
        assert stripe.invoice(invoice).amount_remaining == 7000

    return once


def on_a_paid_invoice(stripe: Stripe, acme: Customer) -> Callable[[], None]:
    invoice = stripe.issue(acme, "100.00")
    mark_paid(invoice.id, now=stripe.now)
    done(stripe)
    note = give(stripe, (invoice, "30.00"))

    def once() -> None:
        assert (len(there(stripe, note)), parts(note), balance(stripe)) == (1, [(0, 3000, 0, 0)], -3000)

    return once


def refunded_from_its_charge(stripe: Stripe, acme: Customer) -> Callable[[], None]:
    invoice = stripe.issue(acme, "100.00")
    done(stripe)
    pay(stripe, invoice)
    mark_paid(invoice.id, now=stripe.now)
    note = give(stripe, (invoice, "30.00"), to=BACK)

    def once() -> None:
        assert (len(there(stripe, note)), parts(note), refunded(stripe, invoice)) == (1, [(0, 0, 3000, 0)], 3000)
        assert CreditApplication.objects.get(invoice=None).amount_minor == 3000
        assert Operation.objects.get(kind="refund").status == "done"

    return once


def without_an_invoice_there(stripe: Stripe, acme: Customer) -> Callable[[], None]:
    Connection.objects.all().delete()
    invoice = stripe.issue(acme, "100.00")
    mark_paid(invoice.id, now=stripe.now)
    Connection.objects.create(audience="live", account=stripe.server.account, livemode=False, connected_at=stripe.now)
    note = give(stripe, (invoice, "30.00"))

    def once() -> None:
        assert (parts(note), balance(stripe)) == ([(0, 3000, 0, 0)], -3000)

    return once


def paid_back_by_hand(stripe: Stripe, acme: Customer) -> Callable[[], None]:
    invoice = stripe.issue(acme, "100.00")
    mark_paid(invoice.id, now=stripe.now)
    note = give(stripe, (invoice, "30.00"))
    done(stripe)
    credit_notes.refund(note.pk, Decimal("20.00"), "cash", now=stripe.now, by="ann")

    def once() -> None:
        assert (balance(stripe), credit.remaining([note.pk])) == (-1000, {note.pk: 1000})

    return once


CHANGES: list[tuple[Scene, str]] = [
    (on_an_open_invoice, "credit_notes.create"),
    (on_a_paid_invoice, "credit_notes.create"),
    (refunded_from_its_charge, "credit_notes.create"),
    (without_an_invoice_there, "balance_transactions.create"),
    (paid_back_by_hand, "balance_transactions.create"),
]
# As of `test_faults.SUFFERED`: one suffers them all.
SUFFERED = [
    (scene, call, fault)
    for scene, call in CHANGES
    for fault in AT_RANDOM
    if scene is refunded_from_its_charge or fault in ("timeout_before", "lock_timeout", "error_after", "truncated")
]
LOOKS: list[tuple[Scene, str]] = [
    (on_an_open_invoice, "invoices.retrieve"),
    (refunded_from_its_charge, "invoice_payments.list"),
    (refunded_from_its_charge, "payment_intents.retrieve"),
    (refunded_from_its_charge, "refunds.retrieve"),
]


@pytest.mark.parametrize(("scene", "call", "fault"), SUFFERED)
def test_any_fault_of_any_call(stripe: Stripe, acme: Customer, scene: Scene, call: str, fault: str) -> None:
    once = scene(stripe, acme)
    stripe.server.faults.next(fault, call)
    done(stripe)
    assert stripe.server.faults.counts[call, fault] == 1
    once()
    assert not Step.objects.filter(result=None, stale=False).exists()


@pytest.mark.parametrize("fault", ["timeout_before", "truncated"])
@pytest.mark.parametrize(("scene", "call"), LOOKS)
def test_any_fault_of_a_look(stripe: Stripe, acme: Customer, scene: Scene, call: str, fault: str) -> None:
    once = scene(stripe, acme)
    stripe.server.faults.next(fault, call)
    done(stripe)
    assert stripe.server.faults.counts[call, fault] == 1
    once()


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "error", "error_after"])
@pytest.mark.parametrize(("scene", "call"), CHANGES)
def test_a_fault_that_is_found_out_after_the_key_is_gone(
    stripe: Stripe, acme: Customer, scene: Scene, call: str, fault: str
) -> None:
    once = scene(stripe, acme)
    stripe.server.faults.next(fault, call)
    stripe.sync()
    assert stripe.server.faults.counts[call, fault] == 1
    stripe.pass_time(hours=25)
    done(stripe)
    once()


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere(stripe: Stripe, acme: Customer, after: bool) -> None:
    """A note that is refunded and one that waits for the next invoice: gone on with, each is there once."""
    invoice = stripe.issue(acme, "9000.00")
    done(stripe)
    pay(stripe, invoice)
    mark_paid(invoice.id, now=stripe.now)
    done(stripe)
    for number in count(1):
        back, kept = give(stripe, (invoice, "30.00"), to=BACK), give(stripe, (invoice, "20.00"))
        credit_notes.refund(kept.pk, Decimal("5.00"), "cash", now=stripe.now, by="ann")
        died = killed(stripe, acme.id, number, after=after)
        assert set(Operation.objects.values_list("status", flat=True)) == {"done"}, number
        assert (parts(back), parts(kept)) == ([(0, 0, 3000, 0)], [(0, 2000, 0, 0)])
        assert (refunded(stripe, invoice), balance(stripe)) == (3000 * number, -1500 * number)
        assert stripe.server.books().invoices[stripe_id(invoice)].credited == 5000 * number
        assert credit.remaining([back.pk, kept.pk]) == {back.pk: 0, kept.pk: 1500}
        if not died:
            break
    assert number > 19
