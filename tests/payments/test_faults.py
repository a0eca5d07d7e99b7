"""Whatever goes wrong between us and Stripe: each of our invoices is one of Stripe's, once, and to the minor unit."""

import os
import random
from collections import Counter

import pytest

from contracts.models import Customer
from invoicing.models import Invoice
from invoicing.refusals import public_id
from payments.models import Operation, Step, StripeInvoice
from tests.invoicing.conftest import World
from tests.payments.conftest import Stripe
from tests.stripe_server.faults import AT_RANDOM

# How many invoices are pushed while every third request fails; `STRIPE_PUSHES=3000` for more.
PUSHES = int(os.environ.get("STRIPE_PUSHES", "60"))
CALLS = ("customers.create", "invoices.create", "invoices.add_lines", "invoices.finalize", "invoices.send")
# What a fault is to whoever waits for the answer does not depend on the call, only whether it had an effect: one call
# suffers them all, and each suffers one for every place where it strikes.
SUFFERED = [
    (call, fault)
    for call in CALLS
    for fault in AT_RANDOM
    if call == "invoices.create" or fault in ("timeout_before", "lock_timeout", "error_after", "truncated")
]


def is_there_once(stripe: Stripe, *ours: Invoice) -> None:
    """Each of these is one invoice there, with our total, open, sent once; there is no other, and nothing is parked."""
    books = stripe.server.books()
    there = books.by_metadata("holdfast_invoice")
    assert {public_id(one): [book.total for book in there.get(public_id(one), [])] for one in ours} == {
        public_id(one): [one.total_minor] for one in ours
    }
    assert {book.status for book in books.invoices.values()} == {"open"}
    assert len(books.invoices) == len(ours)
    assert set(Operation.objects.values_list("status", flat=True)) == {"done"}
    assert StripeInvoice.objects.filter(mismatch="", status="open").count() == len(ours)
    assert books.check() == []


@pytest.mark.parametrize(("call", "fault"), SUFFERED)
def test_any_fault_of_any_call(stripe: Stripe, acme: Customer, call: str, fault: str) -> None:
    invoice = stripe.issue(acme, "100.00", "7.50")
    stripe.server.faults.next(fault, call)
    stripe.until_done()
    assert stripe.server.faults.counts[call, fault] == 1
    is_there_once(stripe, invoice)
    if call == "invoices.send":
        assert sum(1 for event in stripe.v1.events.list({"type": "invoice.sent", "limit": 100}).data) == 1


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "error", "error_after"])
@pytest.mark.parametrize("call", CALLS[:-1])
def test_a_fault_that_is_found_out_after_the_key_is_gone(stripe: Stripe, acme: Customer, call: str, fault: str) -> None:
    """Stripe keeps keys for a day: by then it is asked, whatever the first answer was."""
    invoice = stripe.issue(acme, "100.00")
    stripe.server.faults.next(fault, call)
    stripe.sync()
    assert Operation.objects.get().status == "waiting"
    stripe.pass_time(hours=25)
    stripe.until_done()
    is_there_once(stripe, invoice)


def test_a_third_of_all_requests_fails(stripe: Stripe, committed_world: World) -> None:
    customers = [committed_world.customer(f"c{n}", email=f"ap@c{n}.example") for n in range(max(PUSHES // 10, 1))]
    draw = random.Random(8)
    ours = [
        stripe.issue(
            draw.choice(customers),
            *(f"{draw.randrange(-50_00, 900_00) / 100:.2f}" for _ in range(draw.randrange(1, 4))),
            "1000.00",
        )
        for _ in range(PUSHES)
    ]
    stripe.server.faults.at_random(0.3, seed=8)
    stripe.until_done(rounds=400)
    suffered = Counter[str]()
    for (_, fault), count in stripe.server.faults.counts.items():
        suffered[fault] += count
    stripe.server.faults.clear()
    is_there_once(stripe, *ours)
    # Every fault struck, many of them after the effect; and every key was used for one thing.
    assert set(suffered) == set(AT_RANDOM)
    print(f"{PUSHES} invoices, {len(stripe.server.log)} requests, faults: {dict(suffered)}")
    assert Step.objects.filter(result=None, stale=False).count() == 0
