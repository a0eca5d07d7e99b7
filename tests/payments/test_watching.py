"""Where no webhook ever comes: what happens at Stripe is so here within half an hour, at few requests."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.models import Customer
from invoicing.models import Invoice
from payments import collecting, connections, watching
from payments.models import Connection, StripeInvoice
from tests.payments.conftest import Stripe
from tests.payments.test_events import DECLINES, opened, status
from tests.stripe_server.errors import StripeFailure


def asked(stripe: Stripe, since: int) -> list[str]:
    return [route for route, _ in stripe.server.log[since:]]


def test_within_half_an_hour(stripe: Stripe, acme: Customer) -> None:
    (paid, a), (given_up, b), (left, _) = opened(stripe, acme, "1.00", "2.00", "3.00")
    stripe.server.dashboard().pay(a)
    stripe.server.dashboard().mark_uncollectible(b)
    waited = timedelta(0)
    # As beat does it.
    while status(paid) != "paid" or status(given_up) != "uncollectible":
        stripe.pass_time(minutes=5)
        waited += timedelta(minutes=5)
        watching.look_due(stripe.now)
    assert waited <= timedelta(minutes=25)
    assert status(left) == "issued"


def test_what_was_seen_is_left_alone_and_what_is_over_too(stripe: Stripe, acme: Customer) -> None:
    (_, a), (_, b) = opened(stripe, acme, "1.00", "2.00")
    stripe.server.dashboard().pay(a)
    before = len(stripe.server.log)
    assert watching.look_due(stripe.now) == 0
    stripe.pass_time(minutes=16)
    assert watching.look_due(stripe.now) == 2
    assert asked(stripe, before) == ["invoices.retrieve"] * 2
    assert watching.look_due(stripe.now) == 0
    stripe.pass_time(minutes=16)
    assert watching.look_due(stripe.now) == 1  # the one that is open
    stripe.server.dashboard().mark_uncollectible(b)
    stripe.pass_time(minutes=16)
    assert watching.look_due(stripe.now) == 1
    # Given up, it is looked at once a day.
    stripe.pass_time(hours=23)
    assert watching.look_due(stripe.now) == 0
    stripe.pass_time(hours=2)
    stripe.server.dashboard().pay(b)
    assert watching.look_due(stripe.now) == 1
    assert StripeInvoice.objects.filter(status="paid").count() == 2


def test_many_are_read_by_lists(stripe: Stripe, acme: Customer) -> None:
    """Twelve open ones take a request, and each that is no longer open one more."""
    made = opened(stripe, acme, *(f"{n}.00" for n in range(1, 13)))
    for _, stripe_id in made[:2]:
        stripe.server.dashboard().pay(stripe_id)
    stripe.pass_time(minutes=16)
    before = len(stripe.server.log)
    assert watching.look_due(stripe.now) == 12
    assert asked(stripe, before) == ["invoices.list", "invoices.retrieve", "invoices.retrieve"]
    assert Invoice.objects.filter(status="paid").count() == 2


def test_among_many_of_others_they_are_read_one_by_one(
    stripe: Stripe, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is given up when it takes more requests than it saves."""
    monkeypatch.setattr(watching, "PAGE", 2)
    made = opened(stripe, acme, *(f"{n}.00" for n in range(1, 6)))
    customer = stripe.v1.customers.create({"email": "x@example.com"})
    for _ in range(20):
        other = stripe.v1.invoices.create(
            {"customer": customer.id, "collection_method": "send_invoice", "days_until_due": 3}
        )
        stripe.v1.invoices.add_lines(other.id, {"lines": [{"amount": 100, "description": "x"}]})
        stripe.v1.invoices.finalize_invoice(other.id)
    stripe.pass_time(minutes=16)
    before = len(stripe.server.log)
    assert watching.look_due(stripe.now) == len(made)
    assert asked(stripe, before) == ["invoices.list"] * 5 + ["invoices.retrieve"] * 5


def test_cut_off_it_goes_on_where_it_was(stripe: Stripe, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BY_LIST_FROM", 99)
    made = opened(stripe, acme, "1.00", "2.00", "3.00", "4.00")
    for _, stripe_id in made:
        stripe.server.dashboard().pay(stripe_id)
    stripe.pass_time(minutes=16)
    look, looked = watching.looking.look, []

    def dies(*args: Any) -> Any:
        if len(looked) == 2:
            raise KeyboardInterrupt
        looked.append(1)
        return look(*args)

    with monkeypatch.context() as patched:
        patched.setattr(watching.looking, "look", dies)
        with pytest.raises(KeyboardInterrupt):
            watching.look_due(stripe.now)
    assert Invoice.objects.filter(status="paid").count() == 2
    before = len(stripe.server.log)
    assert watching.look_due(stripe.now) == 2
    assert len(asked(stripe, before)) == 2
    assert Invoice.objects.filter(status="paid").count() == 4


def test_one_that_cannot_be_read_costs_the_others_nothing(stripe: Stripe, acme: Customer) -> None:
    made = opened(stripe, acme, "1.00", "2.00", "3.00")
    for _, stripe_id in made:
        stripe.server.dashboard().pay(stripe_id)
    stripe.pass_time(minutes=16)
    stripe.server.faults.next("unavailable", "invoices.retrieve")
    assert watching.look_due(stripe.now) == 2
    assert watching.look_due(stripe.now) == 1
    assert Invoice.objects.filter(status="paid").count() == 3


def test_a_payment_that_failed_is_told_of(stripe: Stripe, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(collecting, "FAILURES", [lambda seen, reason, now: heard.append(reason)])
    [(_, stripe_id)] = opened(stripe, acme, "1.00")
    with pytest.raises(StripeFailure):
        stripe.server.dashboard().pay(stripe_id, DECLINES)
    for _ in range(3):
        stripe.pass_time(minutes=16)
        watching.look_due(stripe.now)
    assert heard == ["Your card was declined."]


@pytest.mark.parametrize("why", ["key", "account"])
def test_without_the_key_nothing_is_asked(stripe: Stripe, acme: Customer, settings: Any, why: str) -> None:
    opened(stripe, acme, "1.00", "2.00")
    if why == "key":
        settings.STRIPE_KEY = ""
    else:
        account, key = stripe.server.add_account()
        settings.STRIPE_KEY = key
        connections.forget()
        Connection.objects.update(account=account)
        connections.account_of(key)
    stripe.pass_time(minutes=16)
    before = len(stripe.server.log)
    assert watching.look_due(stripe.now) == 0
    assert asked(stripe, before) == []
