"""Taxes left to Stripe Tax: the rates it says, what becomes of them on invoices, and what where it cannot say."""

from decimal import Decimal
from typing import Any

import pytest

from access.errors import ApiError
from contracts.clocks import create_clock
from contracts.models import Customer, TaxRate
from contracts.tax_rates import TaxRateFields, put_tax_rate
from invoicing import billing
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice, ParkedCustomer
from payments import customers, tax
from payments.errors import Refused
from payments.models import Connection, StripeCredit, TaxLookup
from tests.invoicing.conftest import BEFORE, World
from tests.payments.conftest import Stripe


@pytest.fixture
def taxed(stripe: Stripe, acme: Customer, settings: Any) -> Customer:
    """acme, known at Stripe, which decides on taxes."""
    settings.STRIPE_TAX, settings.STRIPE_TAX_CODE = True, "txcd_10103001"
    customers.want(acme, now=stripe.now)
    assert stripe.sync() == 1
    return acme


def lives(stripe: Stripe, customer: Customer, **address: str) -> None:
    stripe_id = customer.stripe_customers.get().stripe_id
    stripe.v1.customers.update(stripe_id, {"address": address})


def rates(customer: Customer) -> list[tuple[str, str, Decimal, bool]]:
    found = customer.tax_rates.order_by("key")
    return [(one.key, one.name, one.percent, one.reverse_charge) for one in found]


@pytest.mark.parametrize(
    ("address", "exempt", "said"),
    [
        ({"country": "DE"}, "none", [("stripe-de-vat-19", "VAT", Decimal(19), False)]),
        ({"country": "JP"}, "none", [("stripe-jp-jct-10", "Consumption tax", Decimal(10), False)]),
        (
            {"country": "US", "state": "NY"}, "none",
            [("stripe-us-ny-sales-tax-8.875", "Sales tax (NY)", Decimal("8.875"), False)],
        ),
        ({"country": "FR"}, "reverse", [("stripe-fr-vat-reverse", "VAT", Decimal(0), True)]),
        ({"country": "DE"}, "exempt", []),
        ({"country": "BR"}, "none", []),
    ],
)  # fmt: skip
def test_the_rates_that_stripe_says(
    stripe: Stripe, taxed: Customer, address: dict[str, str], exempt: str, said: list[Any]
) -> None:
    lives(stripe, taxed, **address)
    stripe.v1.customers.update(taxed.stripe_customers.get().stripe_id, {"tax_exempt": exempt})
    assert tax.look_up_due(stripe.now) == 1
    assert rates(taxed) == said
    found = TaxLookup.objects.get()
    assert (found.known, found.rates, found.reason) == (True, [one[0] for one in said], "")
    assert tax.look_up_due(stripe.now) == 0


def test_an_invoice_and_its_credit_are_taxed_by_them_to_the_cent(stripe: Stripe, taxed: Customer) -> None:
    lives(stripe, taxed, country="US", state="NY")
    tax.look_up_due(stripe.now)
    invoice = stripe.issue(taxed, "33.33")
    assert (invoice.tax_minor, invoice.total_minor) == (296, 3629)  # 8.875 % of 33.33 is 2.958
    stripe.sync()
    theirs = stripe.invoice(invoice)
    assert theirs.total == 3629
    assert [(line.description, line.amount) for line in theirs.lines.data] == [
        ("Item 1", 3333), ("Sales tax (NY) 8.875%", 296),
    ]  # fmt: skip
    goodwill(Goodwill(invoice.id, "All of it.", Decimal("36.29")), now=stripe.now, by="anna")
    stripe.until_done()
    assert StripeCredit.objects.get().amount == 3629
    assert (stripe.invoice(invoice).status, Invoice.objects.get().status) == ("paid", "paid")


def test_nothing_is_invoiced_before_the_tax_is_known(stripe: Stripe, taxed: Customer) -> None:
    with pytest.raises(ApiError) as caught:
        stripe.issue(taxed, "10.00")
    assert (caught.value.status_code, caught.value.code) == (409, "tax_unknown")
    assert str(caught.value.message) == (
        "The taxes of customer acme are not known: Stripe Tax was not asked yet. It is within ten minutes."
    )
    tax.look_up_due(stripe.now)
    with pytest.raises(ApiError, match="give the customer an address at Stripe"):
        stripe.issue(taxed, "10.00")
    lives(stripe, taxed, country="DE")
    stripe.pass_time(minutes=11)
    tax.look_up_due(stripe.now)
    assert stripe.issue(taxed, "10.00").total_minor == 1190


def test_a_billing_run_parks_whose_tax_is_not_known(
    stripe: Stripe, taxed: Customer, committed_world: World, at: Any
) -> None:
    """Nobody else waits; and when it is known the next run bills as ever."""
    beta = committed_world.customer("beta")
    beta.tax_rates.add(put_tax_rate("vat", TaxRateFields("VAT", Decimal("7")), now=BEFORE).value)
    for customer in (taxed, beta):
        committed_world.contract(customer)
        committed_world.outcomes(customer, 5, at(2026, 3, 15))
    billing.run(now=stripe.now)
    parked = ParkedCustomer.objects.get()
    assert parked.customer == taxed and "Stripe Tax was not asked yet" in parked.reason
    assert Invoice.objects.get().customer == beta
    lives(stripe, taxed, country="DE")
    tax.look_up_due(stripe.now)
    billing.run(now=stripe.now)
    assert not ParkedCustomer.objects.exists()
    assert Invoice.objects.get(customer=taxed).total_minor == 1190


def test_what_it_said_last_holds_where_it_cannot_be_asked(stripe: Stripe, taxed: Customer) -> None:
    lives(stripe, taxed, country="DE")
    tax.look_up_due(stripe.now)
    stripe.pass_time(days=2)
    stripe.server.faults.next("unavailable", "calculations.create")
    assert tax.look_up_due(stripe.now) == 1
    found = TaxLookup.objects.get()
    assert (found.known, found.rates, bool(found.reason)) == (True, ["stripe-de-vat-19"], True)
    assert stripe.issue(taxed, "10.00").total_minor == 1190
    stripe.pass_time(minutes=11)
    lives(stripe, taxed, country="FR")
    tax.look_up_due(stripe.now)
    assert stripe.issue(taxed, "10.00").total_minor == 1200
    # What was issued stays as it was.
    assert sorted(Invoice.objects.values_list("total_minor", flat=True)) == [1190, 1200]


def test_rates_that_a_person_gave_are_left_alone(stripe: Stripe, taxed: Customer) -> None:
    own = put_tax_rate("vat", TaxRateFields("VAT", Decimal("7")), now=BEFORE).value
    taxed.tax_rates.add(own)
    assert tax.look_up_due(stripe.now) == 0
    assert stripe.issue(taxed, "10.00").total_minor == 1070


def test_a_customer_who_is_not_known_there_is_made_known_first(
    stripe: Stripe, taxed: Customer, committed_world: World
) -> None:
    beta = committed_world.customer("beta")
    tax.look_up_due(stripe.now)
    assert TaxLookup.objects.get(customer=beta).reason == "The customer is not known at Stripe yet."
    assert stripe.sync() == 1
    lives(stripe, beta, country="DE")
    stripe.pass_time(minutes=11)
    tax.look_up_due(stripe.now)
    assert [one[0] for one in rates(beta)] == ["stripe-de-vat-19"]


def test_only_whose_audience_is_connected(stripe: Stripe, taxed: Customer, committed_world: World) -> None:
    clock = create_clock(now=stripe.now, wall=stripe.now)
    tester = committed_world.customer("tester", test_clock=clock)
    Connection.objects.filter(audience="test").delete()
    assert list(tax.left_to_stripe()) == [taxed]
    assert tax.unknown(tester) == ""
    Connection.objects.all().delete()
    assert not tax.left_to_stripe().exists()


def test_a_change_at_stripe_has_it_asked_again(stripe: Stripe, taxed: Customer) -> None:
    lives(stripe, taxed, country="DE")
    tax.look_up_due(stripe.now)
    assert tax.look_again([taxed.pk], now=stripe.now) == 1
    lives(stripe, taxed, country="FR")
    assert tax.look_up_due(stripe.now) == 1
    assert [one[0] for one in rates(taxed)] == ["stripe-fr-vat-20"]
    # The rate itself stays: invoices name it.
    assert TaxRate.objects.filter(key="stripe-de-vat-19").exists()


def test_a_flat_amount_is_no_rate() -> None:
    details = {"country": "US", "state": "CO", "tax_type": "retail_delivery_fee", "rate_type": "flat_amount"}
    part = {"tax_rate_details": details, "taxability_reason": "standard_rated"}
    with pytest.raises(Refused, match="flat amount"):
        tax.rates_in({"tax_breakdown": [part]})
