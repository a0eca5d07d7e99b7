"""A charge that fails is made again by the schedule, with a mail each time, and never while something is disputed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail as outbox

from access import keys
from contracts.clocks import create_clock
from contracts.models import Contract, Customer
from invoicing import billing
from invoicing.models import Invoice, LineOutcome
from invoicing.payment import mark_paid
from invoicing.queries import invoice_json
from invoicing.refusals import public_id
from payments import dunning, mails
from payments.collecting import charge_again, payment_failed
from payments.models import Dunning, DunningMail, Operation, StripeInvoice
from settlement import disputes
from tests.access.conftest import Api
from tests.invoicing.conftest import World
from tests.payments.conftest import Stripe
from tests.payments.test_collecting import give_card
from tests.payments.test_reminders import together

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def mailing(settings: Any) -> None:
    settings.DUNNING_MAILS = True
    settings.DEFAULT_FROM_EMAIL = "billing@example.com"


@pytest.fixture
def contract(acme: Customer, committed_world: World) -> Contract:
    return committed_world.contract(acme, starts_at=LONG_AGO, collection_method="charge_automatically")


class Desk:
    """An invoice whose first charge failed on day 0."""

    def __init__(self, stripe: Stripe, customer: Customer, decline: str | None = "insufficient_funds") -> None:
        self.stripe, self.customer = stripe, customer
        if not customer.stripe_customers.exists():
            stripe.issue(customer, "1.00")
            stripe.sync()
            mark_paid(Invoice.objects.get().pk, now=stripe.now)
            stripe.sync()
            Dunning.objects.all().update(ended_at=stripe.now, ended_because="paid", next_at=None)
            DunningMail.objects.all().delete()
        give_card(stripe, customer, "pm_card_visa")
        self.card(decline)
        self.invoice = stripe.issue(customer, "20.00")
        self.begun_at = stripe.now
        self.on(0)

    def card(self, decline: str | None) -> None:
        there = self.stripe.v1.customers.retrieve(self.customer.stripe_customers.get().stripe_id)
        method = there.invoice_settings.default_payment_method
        advice = "do_not_try_again" if decline and decline.endswith("!") else "try_again_later"
        self.stripe.server.dashboard().card(method, decline and decline.rstrip("!"), advice)

    def on(self, day: float) -> list[str]:
        """What happens on a day: steps, charges, mails. The subjects of the mails."""
        ahead = self.begun_at + timedelta(days=day) - self.stripe.now
        if ahead > timedelta():
            self.stripe.pass_time(seconds=ahead.total_seconds())
        before = len(outbox.outbox)
        dunning.see_to_unpaid(self.stripe.now)
        self.stripe.sync()
        mails.send_due(self.stripe.now + timedelta(seconds=30))
        return [one.subject for one in outbox.outbox[before:]]

    @property
    def dunning(self) -> Dunning:
        return Dunning.objects.get(invoice=self.invoice)

    @property
    def charges(self) -> int:
        return self.stripe.invoice(self.invoice).attempt_count

    @property
    def status(self) -> str:
        return Invoice.objects.get(pk=self.invoice.pk).status


FAILED = "Payment of invoice HF-000002 failed"
LAST = "Payment of invoice HF-000002 failed: please pay it yourself"
OTHER = "Invoice HF-000002: please choose another way to pay"


def test_from_the_first_failure_to_the_end(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    desk = Desk(stripe, acme)
    assert [one.subject for one in outbox.outbox] == [FAILED]
    told = {day: (desk.on(day), desk.charges) for day in (1, 2.9, 3.01, 4, 5.02, 6, 7.03, 8, 20)}
    assert told == {
        1: ([], 1), 2.9: ([], 1), 3.01: ([FAILED], 2), 4: ([], 2), 5.02: ([FAILED], 3), 6: ([], 3), 7.03: ([LAST], 4),
        8: ([], 4), 20: ([], 4),
    }  # fmt: skip
    assert (desk.status, desk.dunning.status) == ("issued", "running")
    desk.on(21.04)
    assert (desk.status, desk.dunning.ended_because) == ("uncollectible", "given_up")
    # The trigger told Stripe.
    assert stripe.invoice(desk.invoice).status == "uncollectible"
    assert "did not have enough funds" in outbox.outbox[0].body
    assert "We will try again on" in outbox.outbox[0].body
    assert "We will not try again" in outbox.outbox[-1].body
    page = stripe.invoice(desk.invoice).hosted_invoice_url
    assert f"Pay now: {page}" in outbox.outbox[0].body


def test_a_retry_that_succeeds_ends_it(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    desk = Desk(stripe, acme)
    desk.card(None)
    assert desk.on(3.01) == []
    assert (desk.status, desk.charges) == ("paid", 2)
    desk.on(3.02)
    assert (desk.dunning.ended_because, len(outbox.outbox)) == ("paid", 1)
    assert stripe.server.books().invoices[stripe.invoice(desk.invoice).id].paid == 2000


@pytest.mark.parametrize("code", ["stolen_card", "do_not_honor!", "authentication_required"])
def test_what_must_not_be_charged_again_is_not(stripe: Stripe, acme: Customer, contract: Contract, code: str) -> None:
    """Asked for another means of payment at once, and reminded; a card that is stolen is not called that. "!" is the
    issuer's advice not to try again.
    """
    desk = Desk(stripe, acme, code)
    assert [one.subject for one in outbox.outbox] == [OTHER]
    assert [desk.on(day) for day in (3.01, 5.02, 7.03)] == [[OTHER], [OTHER], [OTHER]]
    assert desk.charges == 1
    assert not any("stolen" in one.body for one in outbox.outbox)
    desk.on(21.05)
    assert desk.status == "uncollectible"


def test_two_workers_make_one_charge_and_one_mail(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    desk = Desk(stripe, acme)
    stripe.pass_time(days=3, hours=1)
    together(lambda: dunning.see_to_unpaid(stripe.now))
    assert Operation.objects.filter(kind="charge", invoice=desk.invoice).count() == 2
    together(stripe.sync)
    together(lambda: mails.send_due(stripe.now + timedelta(minutes=1)))
    assert (desk.charges, [one.subject for one in outbox.outbox]) == (2, [FAILED, FAILED])


@pytest.mark.parametrize("fault", ["timeout_before", "rate_limit", "lock_timeout", "error_after", "truncated"])
def test_any_fault_of_a_further_charge(stripe: Stripe, acme: Customer, contract: Contract, fault: str) -> None:
    """First one that is declined, then one that is not: one mail for the step, and the money once."""
    desk = Desk(stripe, acme)
    for day, decline in ((3.1, "insufficient_funds"), (5.3, None)):
        desk.card(decline)
        stripe.pass_time(seconds=(desk.begun_at + timedelta(days=day) - stripe.now).total_seconds())
        dunning.see_to_unpaid(stripe.now)
        stripe.server.faults.next(fault, "invoices.pay")
        stripe.until_done()
        mails.send_due(stripe.now + timedelta(minutes=1))
    assert stripe.server.faults.counts["invoices.pay", fault] == 2
    assert (desk.status, [one.subject for one in outbox.outbox]) == ("paid", [FAILED, FAILED])
    assert stripe.server.books().invoices[stripe.invoice(desk.invoice).id].paid == 2000
    assert Operation.objects.filter(kind="charge", invoice=desk.invoice).count() == 3


def test_nothing_to_charge_is_looked_for_again(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    """No card at all: asked for, and charged once there is one."""
    invoice = stripe.issue(acme, "1.00")
    stripe.sync()
    assert StripeInvoice.objects.get().last_failure_code == "no_payment_method"
    mails.send_due(stripe.now + timedelta(seconds=30))
    assert [one.subject for one in outbox.outbox] == ["Invoice HF-000001: please choose another way to pay"]
    assert "no means of payment on file" in outbox.outbox[0].body
    give_card(stripe, acme, "pm_card_visa")
    stripe.pass_time(days=3, hours=1)
    dunning.see_to_unpaid(stripe.now)
    stripe.sync()
    assert Invoice.objects.get(pk=invoice.pk).status == "paid"


def test_paid_by_hand_meanwhile(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    """On its page at Stripe; a charge that waits then finds nothing to charge."""
    desk = Desk(stripe, acme)
    stripe.pass_time(days=3, hours=1)
    dunning.see_to_unpaid(stripe.now)
    assert Operation.objects.filter(kind="charge", invoice=desk.invoice, status="waiting").exists()
    stripe.server.dashboard().pay(stripe.invoice(desk.invoice).id, "pm_card_mastercard")
    desk.on(3.1)
    assert (desk.status, desk.charges) == ("paid", 2)
    desk.on(3.2)
    assert desk.dunning.ended_because == "paid"


def test_a_failure_on_stripes_page_is_not_dunned(stripe: Stripe, acme: Customer) -> None:
    """Of an invoice that was sent: whoever paid saw it fail."""
    invoice = stripe.issue(acme, "10.00")
    stripe.sync()
    payment_failed(invoice, "Your card was declined.", code="generic_decline", now=stripe.now)
    assert not Dunning.objects.exists()


def test_the_same_failure_twice_is_one_mail(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    """Noted when we charged, and once more by Stripe's own message."""
    desk = Desk(stripe, acme)
    payment_failed(desk.invoice, "Your card was declined.", code="insufficient_funds", now=stripe.now)
    assert desk.on(0.1) == []
    assert (DunningMail.objects.count(), Dunning.objects.filter(invoice=desk.invoice).count()) == (1, 1)


def test_without_mails_charges_are_made_all_the_same(
    stripe: Stripe, acme: Customer, contract: Contract, settings: Any
) -> None:
    settings.DUNNING_MAILS = False
    desk = Desk(stripe, acme)
    for day in (3.01, 5.02, 7.03):
        desk.on(day)
    assert (desk.charges, outbox.outbox, DunningMail.objects.count()) == (4, [], 0)


def test_no_days_no_retries(stripe: Stripe, acme: Customer, contract: Contract, settings: Any) -> None:
    settings.DUNNING_RETRY_DAYS = ()
    desk = Desk(stripe, acme)
    desk.on(30)
    assert (desk.charges, Dunning.objects.count(), desk.status) == (1, 0, "issued")


def test_of_test_customers_there_is_none(stripe: Stripe, committed_world: World) -> None:
    clock = create_clock(now=LONG_AGO + timedelta(days=60), wall=stripe.now)
    tester = committed_world.customer("tester", test_clock=clock, email="t@tester.example")
    committed_world.contract(tester, starts_at=LONG_AGO, collection_method="charge_automatically")
    invoice = stripe.issue(tester, "10.00")
    stripe.sync()
    assert StripeInvoice.objects.get(invoice=invoice).last_failure_code == "no_payment_method"
    assert not Dunning.objects.exists()


# --- Disputed ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def disputed(stripe: Stripe, acme: Customer, contract: Contract, committed_world: World) -> Desk:
    """A failed charge of an invoice of outcomes."""
    desk = Desk(stripe, acme)
    committed_world.outcome(acme, LONG_AGO + timedelta(days=40))
    billing.run(now=stripe.now)
    mark_paid(desk.invoice.pk, now=stripe.now)
    desk.invoice = Invoice.objects.filter(kind="period", status="issued").get()
    desk.on(0.001)
    outbox.outbox.clear()
    return desk


def test_nothing_is_charged_while_it_is_disputed(stripe: Stripe, disputed: Desk) -> None:
    outcome = LineOutcome.objects.get().outcome_id
    dispute = disputes.raise_dispute(outcome, reason="No.", by="them", now=stripe.now)
    for day in (3.1, 7, 30):
        disputed.on(day)
    assert (disputed.charges, disputed.dunning.paused_because) == (1, "dispute")
    shown = invoice_json(Invoice.objects.get(pk=disputed.invoice.pk), now=stripe.now)["payment"]["dunning"]
    assert (shown["status"], shown["paused_because"], shown["next_at"]) == ("paused", "dispute", None)
    disputes.withdraw(dispute.pk, by="them", now=stripe.now)
    disputed.on(30.1)
    assert disputed.dunning.status == "running"
    disputed.on(33.1)
    assert disputed.charges == 2


def test_disputed_while_the_charge_waits(stripe: Stripe, disputed: Desk) -> None:
    """It is not made, and the step is made again when the dispute is over."""
    stripe.pass_time(days=3, hours=1)
    dunning.see_to_unpaid(stripe.now)
    assert disputed.dunning.step == 1
    outcome = LineOutcome.objects.get().outcome_id
    dispute = disputes.raise_dispute(outcome, reason="No.", by="them", now=stripe.now)
    stripe.sync()
    assert (disputed.charges, disputed.dunning.step, disputed.dunning.paused_because) == (1, 0, "dispute")
    disputes.withdraw(dispute.pk, by="them", now=stripe.now)
    disputed.on(4)
    disputed.on(4.01)
    assert disputed.charges == 2


def test_a_charge_that_took_the_money_is_seen(stripe: Stripe, disputed: Desk) -> None:
    """The answer was lost: that it took the money is found out, disputed or not."""
    disputed.card(None)
    stripe.pass_time(days=3, hours=1)
    dunning.see_to_unpaid(stripe.now)
    stripe.server.faults.next("timeout_after", "invoices.pay")
    stripe.sync()
    disputes.raise_dispute(LineOutcome.objects.get().outcome_id, reason="No.", by="them", now=stripe.now)
    stripe.until_done()
    assert Invoice.objects.get(pk=disputed.invoice.pk).status == "paid"


def test_a_charge_that_was_cut_off_is_not_made_after_all(stripe: Stripe, disputed: Desk) -> None:
    """It never arrived; now something is disputed, and it is not sent again."""
    disputed.card(None)
    stripe.pass_time(days=3, hours=1)
    dunning.see_to_unpaid(stripe.now)
    stripe.server.faults.next("timeout_before", "invoices.pay")
    stripe.sync()
    disputes.raise_dispute(LineOutcome.objects.get().outcome_id, reason="No.", by="them", now=stripe.now)
    stripe.until_done()
    assert (disputed.status, disputed.charges, disputed.dunning.step) == ("issued", 1, 0)


def test_stopped_while_the_charge_waits(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    desk = Desk(stripe, acme)
    stripe.pass_time(days=3, hours=1)
    dunning.see_to_unpaid(stripe.now)
    dunning.stop(desk.dunning.pk, reason="A friend.", by="anna", now=stripe.now)
    stripe.sync()
    assert (desk.charges, desk.dunning.ended_because) == (1, "stopped")
    # Whoever has it charged by hand after that is not kept from it.
    desk.card(None)
    charge_again(desk.invoice, now=stripe.now + timedelta(seconds=1))
    stripe.pass_time(seconds=2)
    stripe.sync()
    assert desk.status == "paid"


def test_charged_by_hand_while_paused(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    desk = Desk(stripe, acme)
    dunning.pause(desk.dunning.pk, reason="They call.", by="anna", now=stripe.now)
    desk.on(10)
    assert desk.charges == 1
    charge_again(desk.invoice, now=stripe.now)
    stripe.sync()
    assert (desk.charges, desk.dunning.step, desk.dunning.paused_because) == (2, 0, "person")


def test_while_a_charge_waits_nobody_is_given_up(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    desk = Desk(stripe, acme)
    for day in (3.01, 5.02, 7.03):
        desk.on(day)
    charge_again(desk.invoice, now=stripe.now)
    stripe.pass_time(days=20)
    dunning.see_to_unpaid(stripe.now)
    assert (desk.status, desk.dunning.ended_at) == ("issued", None)


# --- Told -------------------------------------------------------------------------------------------------------------


def test_what_the_api_shows(stripe: Stripe, acme: Customer, contract: Contract) -> None:
    desk = Desk(stripe, acme)
    _, text = keys.create("billing", ["admin"], now=stripe.now)
    shown = Api(text)("GET", f"/v1/invoices/{public_id(desk.invoice)}").json()["payment"]
    page = stripe.invoice(desk.invoice).hosted_invoice_url
    assert shown.pop("dunning")["kind"] == "charge"
    assert shown == {
        "hosted_url": page,
        "last_failure": {"code": "insufficient_funds", "message": "Your card has insufficient funds."},
    }
    mark_paid(desk.invoice.pk, now=stripe.now)
    assert Api(text)("GET", f"/v1/invoices/{public_id(desk.invoice)}").json()["payment"]["hosted_url"] is None
