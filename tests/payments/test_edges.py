"""Keys and accounts, what people do in the dashboard, and the limits of Stripe."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from contracts.clocks import create_clock
from contracts.models import Customer
from contracts.tax_rates import TaxRateFields, put_tax_rate
from invoicing import one_off
from invoicing.models import Invoice
from invoicing.one_off import ItemFields, OneOffFields
from invoicing.payment import mark_paid
from invoicing.void import void
from payments import connections
from payments.client import key_for
from payments.models import Connection, Operation, StripeInvoice
from payments.operations import retry, skip
from tests.invoicing.conftest import BEFORE, World
from tests.payments.conftest import Stripe


def waits(stripe: Stripe) -> Operation:
    stripe.sync()
    return Operation.objects.get(status="waiting")


# --- Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "test_key", "live", "test"),
    [
        ("", "", "", ""),
        ("sk_test_a", "", "sk_test_a", "sk_test_a"),
        ("sk_live_a", "", "sk_live_a", ""),
        ("sk_live_a", "sk_test_b", "sk_live_a", "sk_test_b"),
        ("rk_live_a", "rk_live_b", "rk_live_a", ""),
        ("", "sk_test_b", "", "sk_test_b"),
    ],
)
def test_which_key_an_audience_goes_by(key: str, test_key: str, live: str, test: str) -> None:
    with override_settings(STRIPE_KEY=key, STRIPE_TEST_KEY=test_key):
        assert (key_for("live"), key_for("test")) == (live, test)


def test_test_customers_never_reach_a_live_key(stripe: Stripe, committed_world: World, settings: Any) -> None:
    """With a live key alone nothing of theirs is even noted; with a test key beside it they go by that one."""
    Connection.objects.all().delete()
    settings.STRIPE_KEY = stripe.server.live_key
    connections.connect_new(stripe.now)
    assert list(Connection.objects.values_list("audience", "livemode")) == [("live", True)]
    clock = create_clock(now=datetime(2027, 5, 1, tzinfo=UTC), wall=stripe.now)
    tester = committed_world.customer("tester", test_clock=clock, email="t@tester.example")
    stripe.issue(tester, "10.00")
    assert not Operation.objects.exists()
    settings.STRIPE_TEST_KEY = stripe.server.key
    connections.connect_new(stripe.now)
    real = committed_world.customer("real", email="ap@real.example")
    of_tester, of_real = stripe.issue(tester, "20.00"), stripe.issue(real, "30.00")
    assert stripe.sync() == 2
    assert [(one.invoice_id, one.livemode) for one in StripeInvoice.objects.order_by("total")] == [
        (of_tester.id, False), (of_real.id, True),
    ]  # fmt: skip
    live, test = stripe.server.books(live=True), stripe.server.books()
    assert [book.total for book in live.invoices.values()] == [3000]
    assert [book.total for book in test.invoices.values()] == [2000]
    # Due after as many days as on the test clock.
    theirs = stripe.invoice(of_tester)
    assert abs(theirs.due_date - stripe.now.timestamp() - 30 * 86400) < 5


def test_a_key_of_another_account_stops_everything(stripe: Stripe, acme: Customer, settings: Any) -> None:
    first = stripe.issue(acme, "10.00")
    stripe.sync()
    account, other_key = stripe.server.add_account()
    settings.STRIPE_KEY = other_key
    second = stripe.issue(acme, "20.00")
    waiting = waits(stripe)
    assert waiting.code == "wrong_account"
    assert waiting.reason == (
        f"The key is of account {account} (test mode), and customers are synced with {stripe.server.account} (test "
        "mode). Set that account's key again, or say that the new one is meant: manage.py stripe connect --live"
    )
    assert stripe.server.books(account=account).invoices == {}
    # It is meant: what was synced stays where it is, what comes goes to the new account, with a customer of its own.
    connections.connect("live", stripe.now)
    stripe.pass_time(minutes=5)
    assert stripe.sync() == 1
    assert [book.total for book in stripe.server.books(account=account).invoices.values()] == [2000]
    assert StripeInvoice.objects.get(invoice=first).account == stripe.server.account
    assert StripeInvoice.objects.get(invoice=second).account == account


def test_what_was_begun_with_another_account_is_not_gone_on_with(stripe: Stripe, acme: Customer, settings: Any) -> None:
    stripe.issue(acme, "10.00")
    stripe.server.faults.next("timeout_after", "invoices.create")
    stripe.sync()
    account, settings.STRIPE_KEY = stripe.server.add_account()
    connections.connect("live", stripe.now)
    stripe.pass_time(minutes=5)
    stripe.sync()
    parked = Operation.objects.get()
    assert (parked.status, parked.code) == ("parked", "other_account")
    assert stripe.server.books(account=account).invoices == {}


def test_what_stands_in_another_account_is_not_looked_for_in_this_one(
    stripe: Stripe, acme: Customer, settings: Any
) -> None:
    paid, voided = stripe.issue(acme, "10.00"), stripe.issue(acme, "20.00")
    stripe.sync()
    _, settings.STRIPE_KEY = stripe.server.add_account()
    connections.connect("live", stripe.now)
    mark_paid(paid.id, now=stripe.now)
    stripe.sync()
    parked = Operation.objects.get(status="parked")
    assert (parked.kind, parked.code) == ("paid", "other_account")
    skip(parked.id, reason="Seen to there.", now=stripe.now, by="anna")
    void(voided.id, now=stripe.now)
    stripe.sync()
    assert Operation.objects.get(status="parked").kind == "void"
    assert set(StripeInvoice.objects.values_list("status", flat=True)) == {"open"}


def test_a_revoked_key_parks_nothing(stripe: Stripe, acme: Customer) -> None:
    connections.forget()
    stripe.server.revoke(stripe.server.key)
    stripe.issue(acme, "10.00")
    waiting = waits(stripe)
    assert (waiting.code, waiting.attempts) == ("key_refused", 0)
    assert waiting.reason.endswith("Check HOLDFAST_STRIPE_KEY.")


# --- People in the dashboard ------------------------------------------------------------------------------------------


def drafted(stripe: Stripe, customer: Customer) -> tuple[Invoice, str]:
    """An invoice that stands as a draft there, because finalising it failed."""
    invoice = stripe.issue(customer, "100.00")
    stripe.server.faults.next("unavailable", "invoices.finalize")
    assert waits(stripe).invoice_id == invoice.id
    stripe.pass_time(minutes=5)
    return invoice, StripeInvoice.objects.get(invoice=invoice).stripe_id


def test_a_draft_that_somebody_deleted_is_made_anew(stripe: Stripe, acme: Customer) -> None:
    invoice, stripe_id = drafted(stripe, acme)
    stripe.server.dashboard().delete_draft(stripe_id)
    stripe.until_done()
    theirs = stripe.invoice(invoice)
    assert (theirs.id != stripe_id, theirs.status, theirs.total, theirs.number) == (True, "open", 10000, invoice.number)


def test_a_draft_that_somebody_changed_is_not_finalised(stripe: Stripe, acme: Customer) -> None:
    invoice, stripe_id = drafted(stripe, acme)
    stripe.server.dashboard().edit_invoice(stripe_id, number="X-1")
    stripe.v1.invoices.add_lines(stripe_id, {"lines": [{"amount": 5, "description": "Tip"}]})
    stripe.sync()
    parked = Operation.objects.get()
    assert (parked.status, parked.code) == ("parked", "mismatch")
    assert parked.reason == (
        f"Stripe's invoice {stripe_id} is not ours: the total is USD 100.05, not USD 100.00; it has 2 lines, not 1; "
        f"the number is X-1, not {invoice.number}. Mend it there, or delete the draft there, and try again."
    )
    assert stripe.server.books().invoices[stripe_id].status == "draft"
    stripe.server.dashboard().delete_draft(stripe_id)
    retry(parked.id, now=stripe.now, by="anna")
    stripe.until_done()
    assert stripe.invoice(invoice).total == 10000


def test_a_draft_that_somebody_finalised_is_taken_as_it_is(stripe: Stripe, acme: Customer) -> None:
    invoice, stripe_id = drafted(stripe, acme)
    stripe.server.dashboard().finalize(stripe_id)
    stripe.until_done()
    assert (stripe.invoice(invoice).id, stripe.invoice(invoice).status) == (stripe_id, "open")
    assert len(stripe.server.books().invoices) == 1


def test_a_customer_that_somebody_deleted(stripe: Stripe, acme: Customer) -> None:
    stripe.issue(acme, "10.00")
    stripe.sync()
    stripe.v1.customers.delete(acme.stripe_customers.get().stripe_id)
    second = stripe.issue(acme, "20.00")
    stripe.sync()
    parked = Operation.objects.get(status="parked")
    assert (parked.invoice_id, parked.code) == (second.id, "customer_deleted")
    retry(parked.id, now=stripe.now, by="anna")
    assert stripe.sync() == 1
    assert stripe.invoice(second).status == "open"


def test_paid_there_before_it_was_void_here(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "10.00")
    stripe.sync()
    void(invoice.id, now=stripe.now)
    stripe.server.dashboard().pay(stripe.invoice(invoice).id, None)
    stripe.sync()
    parked = Operation.objects.get(status="parked")
    assert (parked.kind, parked.code) == ("void", "mismatch")
    skip(parked.id, reason="Paid back by transfer.", now=stripe.now, by="anna")
    later = stripe.issue(acme, "20.00")
    assert stripe.sync() == 1
    assert stripe.invoice(later).status == "open"


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_without_an_address_nothing_is_sent(stripe: Stripe, committed_world: World) -> None:
    customer = committed_world.customer("mute")
    invoice = stripe.issue(customer, "10.00")
    stripe.sync()
    parked = Operation.objects.get()
    assert (parked.status, parked.code) == ("parked", "no_email")
    assert parked.reason.startswith("Customer mute has no e-mail address")
    Customer.objects.filter(pk=customer.pk).update(email="ap@mute.example")
    retry(parked.id, now=stripe.now, by="anna")
    assert stripe.sync() == 1
    assert stripe.invoice(invoice).customer_email == "ap@mute.example"


def test_more_lines_than_stripe_takes(stripe: Stripe, acme: Customer) -> None:
    amounts = [f"{n}.01" for n in range(1, 401)]
    invoice = stripe.issue(acme, *amounts)
    assert stripe.sync() == 1
    theirs = stripe.invoice(invoice)
    lines = list(stripe.v1.invoices.line_items.list(theirs.id, {"limit": 100}).auto_paging_iter())
    assert (len(lines), theirs.total) == (250, invoice.total_minor)
    last = lines[-1]
    assert last.description == f"151 further lines: see below, or the PDF of invoice {invoice.number}"
    assert last.amount == sum(n * 100 + 1 for n in range(1, 152))
    assert [line.description for line in lines[:2]] == ["Item 152", "Item 153"]
    # What is summed stands below, the largest first.
    footer = theirs.footer.split("\n")
    assert footer[:3] == ["Further lines:", "Item 151: US$151.01", "Item 150: US$150.01"]
    assert (len(footer), footer[-1]) == (152, "Item 1: US$1.01")


def test_more_lines_than_the_footer_takes_too(stripe: Stripe, acme: Customer) -> None:
    """Those below the line are the largest of what is summed, and the last word says how many more there are."""
    lines = tuple(ItemFields(f"Consulting {n} " + "x" * 80, amount=Decimal(n)) for n in range(1, 451))
    invoice = one_off.write(OneOffFields(customer="acme", lines=lines, issue=True), now=stripe.now)
    assert stripe.sync() == 1
    footer = stripe.invoice(invoice).footer
    said = footer.split("\n")
    assert len(footer) <= 5000
    assert said[1].startswith("Consulting 201 x")
    assert said[-1] == f"And {201 - (len(said) - 2)} more: see the PDF of invoice {invoice.number}"


@pytest.mark.parametrize(
    ("currency", "amounts", "total", "lines"),
    [
        ("JPY", ("1500", "20"), 1520, [1500, 20]),
        ("KWD", ("1.234", "2.346"), 3580, [1230, 2350]),
        ("KWD", ("1.000", "0.005", "0.005"), 1010, [1000, 10, 0]),
        ("ISK", ("500",), 50000, [50000]),
        ("EUR", ("0.60", "-0.10"), 50, [60, -10]),
    ],
)
def test_currencies(
    stripe: Stripe, acme: Customer, currency: str, amounts: tuple[str, ...], total: int, lines: list[int]
) -> None:
    invoice = stripe.issue(acme, *amounts, currency=currency)
    assert stripe.sync() == 1
    theirs = stripe.invoice(invoice)
    assert (theirs.currency, theirs.total, [line.amount for line in theirs.lines.data]) == (
        currency.lower(), total, lines,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [("KWD", "1.234", "amount_not_payable"), ("USD", "1000000.00", "amount_too_large")],
)
def test_what_stripe_cannot_charge_is_parked(
    stripe: Stripe, acme: Customer, currency: str, amount: str, code: str
) -> None:
    stripe.issue(acme, amount, currency=currency)
    stripe.sync()
    assert list(Operation.objects.values_list("status", "code")) == [("parked", code)]
    assert stripe.server.books().invoices == {}


def test_what_is_too_little_to_be_charged_is_collected_with_the_next(stripe: Stripe, acme: Customer) -> None:
    """Stripe calls it paid and puts it on the balance; so do we, and expect it on the next invoice."""
    small, next_one, last = (stripe.issue(acme, amount) for amount in ("0.30", "20.00", "30.00"))
    assert stripe.sync() == 3
    assert [stripe.invoice(one).status for one in (small, next_one, last)] == ["paid", "open", "open"]
    assert [stripe.invoice(one).amount_due for one in (small, next_one, last)] == [0, 2030, 3000]
    assert Invoice.objects.get(pk=small.pk).status == "paid"
    assert list(StripeInvoice.objects.order_by("total").values_list("carried", "taken")) == [(30, 0), (0, 30), (0, 0)]


def test_nothing_to_pay_is_paid_there(stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "10.00", "-10.00")
    assert stripe.sync() == 2
    assert (invoice.status, stripe.invoice(invoice).status) == ("paid", "paid")
    assert ("invoices.send", 200) not in stripe.server.log


def test_a_tax_on_top_is_a_line(stripe: Stripe, acme: Customer) -> None:
    acme.tax_rates.add(put_tax_rate("vat", TaxRateFields("VAT", Decimal("19")), now=BEFORE).value)
    invoice = one_off.write(
        OneOffFields(
            customer="acme",
            lines=(ItemFields("Calls", quantity=Decimal("1500"), unit_price=Decimal("0.015")),),
            issue=True,
        ),
        now=stripe.now,
    )
    stripe.sync()
    assert [(line.description, line.amount) for line in stripe.invoice(invoice).lines.data] == [
        ("1,500 × Calls (0.015 each)", 2250), ("VAT 19%", 428),
    ]  # fmt: skip
