"""How the money comes in: sent or charged, as the contract says; what is paid there is paid here."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.models import Contract, Customer
from invoicing.models import Invoice
from payments import collecting
from payments.models import Operation, StripeInvoice
from tests.invoicing.conftest import BEFORE, World
from tests.payments.conftest import Stripe
from webhooks.models import Delivery, Endpoint

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def contract(acme: Customer, committed_world: World) -> Contract:
    return committed_world.contract(acme, starts_at=LONG_AGO, collection_method="charge_automatically")


def give_card(stripe: Stripe, customer: Customer, card: str) -> None:
    """The customer leaves a card at Stripe; one of docs.stripe.com/testing."""
    stripe_id = customer.stripe_customers.get().stripe_id
    method = stripe.v1.payment_methods.attach(card, {"customer": stripe_id})
    stripe.v1.customers.update(stripe_id, {"invoice_settings": {"default_payment_method": method.id}})


@pytest.mark.parametrize(
    ("of", "issued", "method"),
    [
        # Of a contract, whenever its invoice was issued; of none, by whichever contract runs then.
        (0, (2025, 12, 1), "charge_automatically"),
        (0, (2026, 1, 31), "charge_automatically"),
        (0, (2026, 2, 1), "send_invoice"),
        (0, (2026, 5, 1), "send_invoice"),
        (1, (2026, 2, 1), "charge_automatically"),
        (None, (2025, 12, 1), "send_invoice"),
        (None, (2026, 1, 1), "charge_automatically"),
        (None, (2026, 2, 28), "send_invoice"),
        (None, (2026, 3, 1), "send_invoice"),
        (None, (2026, 4, 1), "charge_automatically"),
    ],
)
def test_the_method_is_what_was_agreed_when_it_was_issued(
    world: World, django_assert_num_queries: Any, of: int | None, issued: tuple[int, int, int], method: str
) -> None:
    acme = world.customer(email="ap@acme.example")
    march, april = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    first = world.contract(acme, starts_at=LONG_AGO, ends_at=march, collection_method="charge_automatically")
    world.amend(first, number=2, effective_at=datetime(2026, 2, 1, tzinfo=UTC), overrides=None)
    second = world.contract(acme, starts_at=april, collection_method="charge_automatically")
    contract = None if of is None else (first, second)[of]
    invoice = Invoice(customer=acme, contract=contract, issued_at=datetime(*issued, tzinfo=UTC))
    with django_assert_num_queries(1):
        assert collecting.method_of(invoice) == method


def test_charged_as_the_contract_says(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    first = stripe.issue(acme, "10.00")
    assert stripe.sync() == 2
    # There was nothing to charge yet.
    assert stripe.invoice(first).status == "open"
    give_card(stripe, acme, "pm_card_visa")
    second = stripe.issue(acme, "20.00")
    assert stripe.sync() == 2
    theirs = stripe.invoice(second)
    assert (theirs.status, theirs.collection_method, theirs.due_date) == ("paid", "charge_automatically", None)
    assert Invoice.objects.get(pk=second.pk).status == "paid"
    assert ("invoices.send", 200) not in stripe.server.log
    charges = Operation.objects.filter(kind="charge").order_by("id")
    assert list(charges.values_list("invoice", "number", "status")) == [(first.id, 1, "done"), (second.id, 1, "done")]
    # Once more, now that there is a card; and not again while that waits, or where it is paid.
    assert collecting.charge_again(first, now=stripe.now) is not None
    assert collecting.charge_again(first, now=stripe.now) is None
    assert stripe.sync() == 1
    assert Invoice.objects.get(pk=first.pk).status == "paid"
    assert collecting.charge_again(second, first=True, now=stripe.now) is None


def test_a_declined_card_is_told(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    Endpoint.objects.create(url="https://example.com/hook", events=["invoice.payment_failed"], created_at=BEFORE)
    stripe.issue(acme, "10.00")
    stripe.sync()
    give_card(stripe, acme, "pm_card_chargeCustomerFail")
    invoice = stripe.issue(acme, "20.00")
    assert stripe.sync() == 2
    seen = StripeInvoice.objects.get(invoice=invoice)
    assert (seen.status, seen.attempt_count, seen.last_failure) == ("open", 1, "Your card was declined.")
    told = [json.loads(one.body)["data"]["number"] for one in Delivery.objects.order_by("id")]
    assert told == ["HF-000001", "HF-000002"]
    assert Invoice.objects.get(pk=invoice.pk).status == "issued"


@pytest.mark.parametrize("fault", ["timeout_after", "error_after", "error", "lock_timeout", "timeout_before"])
def test_a_charge_that_is_cut_off_is_made_once(stripe: Stripe, acme: Customer, contract: Contract, fault: str) -> None:
    stripe.issue(acme, "10.00")
    stripe.sync()
    give_card(stripe, acme, "pm_card_visa")
    invoice = stripe.issue(acme, "20.00")
    stripe.server.faults.next(fault, "invoices.pay")
    stripe.until_done()
    theirs = stripe.invoice(invoice)
    assert (theirs.status, theirs.attempt_count) == ("paid", 1)
    assert stripe.server.books().invoices[theirs.id].paid == 2000
    assert Invoice.objects.get(pk=invoice.pk).status == "paid"


def test_terms_change(stripe: Stripe, acme: Customer, contract: Contract, committed_world: World) -> None:
    """What was issued before stays as it was agreed then."""
    invoice = stripe.issue(acme, "10.00")
    committed_world.amend(contract, number=2, effective_at=stripe.now.replace(microsecond=0), overrides=None)
    assert collecting.method_of(invoice) == "send_invoice"
    invoice.issued_at = LONG_AGO
    assert collecting.method_of(invoice) == "charge_automatically"
