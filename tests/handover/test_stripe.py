"""Confirmed outcomes handed over as Stripe meter events: the official package talks to tests/stripe_server."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from access import ids
from contracts.clocks import create_clock
from contracts.models import Condition, ContractVersion, Customer
from handover import work
from handover.models import Handover, Receiver
from handover.work import hand_over_due
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from payments import connections, operations
from payments.models import StripeCustomer
from tests.handover.conftest import Stripe, World, confirmed, counted, holds, reverse, rows, until_done
from tests.stripe_server.faults import AT_RANDOM

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def public(outcome: Outcome) -> str:
    return ids.encode(OUTCOME_PREFIX, outcome.pk)


@pytest.fixture
def meter(stripe: Stripe) -> None:
    stripe.v1.billing.meters.create(
        {"display_name": "Tickets", "event_name": "resolved_ticket", "default_aggregation": {"formula": "sum"}}
    )


@pytest.fixture
def acme(stripe: Stripe, meter: None, committed_world: World) -> Customer:
    """Known to Stripe, with a contract that passes on."""
    found = committed_world.customer(email="ap@acme.example")
    committed_world.contract(found, pass_on="stripe_meter_events")
    return found


def known(stripe: Stripe, customer: Customer) -> str:
    """The customer's id at Stripe, once `payments` made it known there."""
    hand_over_due(stripe.now)
    operations.sync_due(stripe.now)
    return StripeCustomer.objects.get(customer=customer).stripe_id


def met(stripe: Stripe, world: World, customer: Customer, ago: timedelta = HOUR, **fields: Any) -> Outcome:
    return confirmed(world, customer, stripe.now - ago, **fields)


def events(stripe: Stripe) -> list[dict[str, Any]]:
    return list(stripe.server.world().by_kind["billing.meter_event"].values())


def test_an_outcome_becomes_one_meter_event_of_its_customer(
    stripe: Stripe, acme: Customer, committed_world: World
) -> None:
    outcome = met(stripe, committed_world, acme, quantity=Decimal("2.50"))
    assert counted(hand_over_due(stripe.now)) == (0, 0, 0)
    assert rows() == [("usage", "waiting", "customer_unknown")]  # payments makes it known there
    assert operations.sync_due(stripe.now) == 1
    stripe_id = StripeCustomer.objects.get(customer=acme).stripe_id
    stripe.pass_time(seconds=6)
    assert counted(hand_over_due(stripe.now)) == (1, 0, 0)
    [event] = events(stripe)
    assert (event["event_name"], event["identifier"]) == ("resolved_ticket", public(outcome))
    assert event["payload"] == {"stripe_customer_id": stripe_id, "value": "2.5"}
    assert event["timestamp"] == int(outcome.settled_at.timestamp())  # type: ignore[union-attr]
    assert stripe.server.books().meters == {("resolved_ticket", stripe_id): Decimal("2.5")}
    stripe.pass_time(hours=1)
    assert counted(hand_over_due(stripe.now)) == (0, 0, 0) and len(events(stripe)) == 1
    holds(stripe.now)


@pytest.mark.parametrize("fault", AT_RANDOM)
def test_a_fault_costs_time_and_nothing_else(
    stripe: Stripe, acme: Customer, committed_world: World, fault: str
) -> None:
    met(stripe, committed_world, acme)
    stripe_id = known(stripe, acme)
    stripe.pass_time(seconds=6)
    more = [met(stripe, committed_world, acme) for _ in range(3)]
    stripe.server.faults.next(fault, "meter_events.create", times=3)
    for _ in range(30):
        hand_over_due(stripe.now)
        if not Handover.objects.filter(status="waiting").exists():
            break
        stripe.pass_time(minutes=10)
    assert rows() == [("usage", "done", "")] * 4
    assert stripe.server.books().meters == {("resolved_ticket", stripe_id): len(more) + 1}
    assert len(events(stripe)) == 4
    assert not Receiver.objects.filter(failures__gt=0).exists()
    holds(stripe.now)


def test_what_is_reversed_is_taken_back_below_zero(stripe: Stripe, acme: Customer, committed_world: World) -> None:
    outcome = met(stripe, committed_world, acme, quantity=Decimal(3))
    met(stripe, committed_world, acme)
    stripe_id = known(stripe, acme)
    stripe.pass_time(seconds=6)
    hand_over_due(stripe.now)
    stripe.pass_time(days=40)  # long after Stripe would cancel it, or take another of that time
    reverse(outcome, stripe.now)
    until_done(stripe.now, step=10 * SECOND)
    assert rows(outcome=outcome) == [("usage", "done", ""), ("reversal", "done", "")]
    back = events(stripe)[-1]
    assert (back["identifier"], back["payload"]["value"]) == (f"{public(outcome)}-reversed", "-3")
    assert back["timestamp"] >= int(stripe.now.timestamp())
    assert stripe.server.books().meters == {("resolved_ticket", stripe_id): 1}
    holds(stripe.now)


def test_what_nobody_knows_of_for_a_day_waits_for_a_person(
    stripe: Stripe, acme: Customer, committed_world: World
) -> None:
    outcome = met(stripe, committed_world, acme)
    known(stripe, acme)
    stripe.pass_time(seconds=6)
    stripe.server.faults.next("timeout_after", "meter_events.create")
    assert hand_over_due(stripe.now).waiting == 1
    assert len(events(stripe)) == 1
    stripe.pass_time(hours=25)  # Stripe no longer knows the identifier: sent again it would count twice
    hand_over_due(stripe.now)
    row = Handover.objects.get()
    assert (row.status, row.code) == ("parked", "uncertain") and "dismiss" in row.reason
    assert len(events(stripe)) == 1
    work.dismiss(row.pk, reason="It is there", handed_over=True, now=stripe.now, by="me")
    reverse(outcome, stripe.now)
    until_done(stripe.now, step=10 * SECOND)
    assert [event["payload"]["value"] for event in events(stripe)] == ["1", "-1"]
    holds(stripe.now)


def test_a_person_who_finds_it_missing_has_it_sent_anew(stripe: Stripe, acme: Customer, committed_world: World) -> None:
    met(stripe, committed_world, acme)
    known(stripe, acme)
    stripe.pass_time(seconds=6)
    stripe.server.faults.next("timeout_before", "meter_events.create")
    hand_over_due(stripe.now)
    stripe.pass_time(hours=25)
    hand_over_due(stripe.now)
    work.retry(Handover.objects.get().pk, now=stripe.now, by="me")
    assert counted(hand_over_due(stripe.now)) == (1, 0, 0)
    assert len(events(stripe)) == 1


def test_what_stripe_would_never_take_says_what_to_do(stripe: Stripe, acme: Customer, committed_world: World) -> None:
    known_first = met(stripe, committed_world, acme)
    version = ContractVersion.objects.get()
    old = met(stripe, committed_world, acme, ago=36 * DAY, met=max(version.effective_at, stripe.now - 50 * DAY))
    Condition.objects.create(slug="x" * 101, created_at=stripe.now)
    long = met(stripe, committed_world, acme)
    Outcome.objects.filter(pk=long.pk).update(condition=Condition.objects.get(slug="x" * 101).pk)
    known(stripe, acme)
    stripe.pass_time(seconds=6)
    hand_over_due(stripe.now)
    assert rows(outcome=known_first) == [("usage", "done", "")]
    assert rows(outcome=old) == [("usage", "parked", "too_old")]
    assert "35 days" in Handover.objects.get(outcome=old).reason
    assert rows(outcome=long) == [("usage", "parked", "name_too_long")]
    # Billed by hand, and then reversed: that is done by hand, too.
    row = Handover.objects.get(outcome=old)
    work.dismiss(row.pk, reason="An invoice item", handed_over=True, now=stripe.now, by="me")
    reverse(old, stripe.now)
    hand_over_due(stripe.now)
    assert rows(outcome=old) == [("usage", "done", "dismissed"), ("reversal", "parked", "by_hand")]


def test_test_customers_never_go_by_a_live_key(
    stripe: Stripe, acme: Customer, committed_world: World, settings: Any
) -> None:
    clock = create_clock(now=stripe.now, wall=stripe.now)
    trying = committed_world.customer("trying", test_clock=clock)
    committed_world.contract(trying, pass_on="stripe_meter_events")
    settings.STRIPE_KEY = stripe.server.live_key
    confirmed(committed_world, trying, stripe.now - HOUR)
    stripe.server.log.clear()
    hand_over_due(stripe.now)
    assert rows(customer=trying) == [("usage", "dropped", "test_customer")]
    assert not [route for route, _ in stripe.server.log if route == "meter_events.create"]
    # By a test key they do, unless their clock shows what Stripe takes no events of.
    settings.STRIPE_KEY = stripe.server.key
    connections.forget()
    confirmed(committed_world, trying, stripe.now - HOUR)
    ahead = confirmed(committed_world, trying, stripe.now + DAY)
    known(stripe, trying)
    stripe.pass_time(seconds=6)
    hand_over_due(stripe.now)
    assert rows(outcome=ahead) == [("usage", "dropped", "test_customer")]
    assert len(events(stripe)) == 1
    assert stripe.server.books(live=True).meters == {}


def test_a_key_that_does_not_hold_stops_nobody_else(
    stripe: Stripe, acme: Customer, committed_world: World, settings: Any
) -> None:
    trying = committed_world.customer("trying", test_clock=create_clock(now=stripe.now, wall=stripe.now))
    committed_world.contract(trying, pass_on="stripe_meter_events")
    _, key = stripe.server.add_account()
    settings.STRIPE_TEST_KEY = key
    connections.connect("test", stripe.now)
    for customer in (trying, acme):
        confirmed(committed_world, customer, stripe.now - HOUR)
    known(stripe, trying)
    stripe.pass_time(seconds=6)
    stripe.server.revoke(key)
    hand_over_due(stripe.now)
    assert rows(customer=trying) == [("usage", "waiting", "key_refused")]
    assert rows(customer=acme) == [("usage", "done", "")]
    assert not Receiver.objects.filter(failures__gt=0).exists()


def test_with_another_account_connected_what_comes_goes_there(
    stripe: Stripe, acme: Customer, committed_world: World, settings: Any
) -> None:
    met(stripe, committed_world, acme)
    known(stripe, acme)
    stripe.pass_time(seconds=6)
    hand_over_due(stripe.now)
    account, settings.STRIPE_KEY = stripe.server.add_account()
    met(stripe, committed_world, acme)
    hand_over_due(stripe.now)
    assert rows() == [("usage", "done", ""), ("usage", "waiting", "wrong_account")]
    connections.connect("live", stripe.now)
    stripe.pass_time(minutes=2)
    hand_over_due(stripe.now)
    assert operations.sync_due(stripe.now) == 1
    stripe.pass_time(seconds=6)
    assert counted(hand_over_due(stripe.now)) == (1, 0, 0)
    there = StripeCustomer.objects.get(customer=acme, account=account)
    [event] = stripe.server.world(account=account).by_kind["billing.meter_event"].values()
    assert event["payload"]["stripe_customer_id"] == there.stripe_id
    assert len(events(stripe)) == 1


def test_what_another_account_was_told_is_not_taken_back_here(
    stripe: Stripe, acme: Customer, committed_world: World
) -> None:
    outcome = met(stripe, committed_world, acme)
    known(stripe, acme)
    stripe.pass_time(seconds=6)
    hand_over_due(stripe.now)
    Handover.objects.update(account="acct_another")
    reverse(outcome, stripe.now)
    hand_over_due(stripe.now)
    assert rows() == [("usage", "done", ""), ("reversal", "parked", "other_account")]
    assert len(events(stripe)) == 1


def test_without_a_key_it_waits(stripe: Stripe, acme: Customer, committed_world: World, settings: Any) -> None:
    met(stripe, committed_world, acme)
    settings.STRIPE_KEY = ""
    hand_over_due(stripe.now)
    assert rows() == [("usage", "waiting", "no_key")]


def test_sixty_through_every_fault_come_out_equal(stripe: Stripe, acme: Customer, committed_world: World) -> None:
    beta = committed_world.customer("beta", email="ap@beta.example")
    committed_world.contract(beta, pass_on="stripe_meter_events")
    mine = [met(stripe, committed_world, (acme, beta)[n % 2], quantity=Decimal(n + 1)) for n in range(60)]
    stripe.server.faults.at_random(0.3, seed=4)
    for _ in range(60):
        operations.sync_due(stripe.now)
        hand_over_due(stripe.now)
        stripe.pass_time(minutes=3)
        if StripeCustomer.objects.count() == 2 and not Handover.objects.filter(status="waiting").exists():
            break
    for outcome in mine[::7]:
        reverse(outcome, stripe.now)
    for _ in range(60):
        hand_over_due(stripe.now)
        stripe.pass_time(minutes=3)
        if not Handover.objects.filter(status="waiting").exists() and Handover.objects.filter(kind="reversal").exists():
            break
    stripe.server.faults.clear()
    assert {status for _, status, _ in rows()} == {"done"}
    sums = {
        ("resolved_ticket", StripeCustomer.objects.get(customer=one).stripe_id): sum(
            outcome.quantity or 0 for outcome in mine if outcome.customer_id == one.pk and outcome not in mine[::7]
        )
        for one in (acme, beta)
    }
    assert stripe.server.books().meters == sums
    holds(stripe.now)
