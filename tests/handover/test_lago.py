"""Confirmed outcomes handed over to Lago, over real HTTP: each once, whatever happens on the way."""

import os
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from access import ids
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.clocks import create_clock
from handover import work
from handover.claim import LEASE, Connections, claim
from handover.models import Covered, Handover, Receiver
from handover.results import Refused
from handover.work import hand_over_due
from invoicing import billing
from invoicing.models import LineOutcome
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from settlement import disputes
from settlement import holds as placing
from tests.handover.conftest import (
    MARCH,
    NOW,
    World,
    confirmed,
    counted,
    holds,
    journal,
    reverse,
    rows,
    until_done,
)
from tests.handover.lago_server import FAULTS, LagoServer

pytestmark = pytest.mark.django_db
# Books that are kept through faults at random; `LAGO_SEEDS=50` for more.
SEEDS = int(os.environ.get("LAGO_SEEDS", "4"))
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def public(outcome: Outcome) -> str:
    return ids.encode(OUTCOME_PREFIX, outcome.pk)


def test_each_outcome_is_told_once_and_stands_on_no_invoice(world: World, lago: LagoServer) -> None:
    acme, beta = world.customer(), world.customer("beta")
    contract = world.contract(acme, pass_on="lago_events")
    world.contract(beta)
    one = confirmed(world, acme, quantity=Decimal("1.50"), amount=Decimal("12.30"), priority="high")
    two = confirmed(world, acme, priority=None)
    confirmed(world, beta)
    assert counted(hand_over_due(NOW)) == (2, 0, 0)
    assert lago.log == [("/api/v1/events/batch", 2, 200)]
    subscription = ids.encode(CONTRACT_PREFIX, contract.pk)
    told = {event["transaction_id"]: event for event in lago.events.values()}
    assert told == {
        public(one): {
            "transaction_id": public(one), "external_subscription_id": subscription, "code": "resolved_ticket",
            "timestamp": int(MARCH.timestamp()),
            "properties": {"priority": "high", "quantity": "1.5", "amount": "12.3"},
        },
        public(two): {
            "transaction_id": public(two), "external_subscription_id": subscription, "code": "resolved_ticket",
            "timestamp": int(MARCH.timestamp()), "properties": {"quantity": "1"},
        },
    }  # fmt: skip
    assert lago.books() == {(subscription, "resolved_ticket"): Decimal("2.5")}
    assert counted(hand_over_due(NOW + DAY)) == (0, 0, 0)
    assert len(lago.log) == 1
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    assert list(LineOutcome.objects.values_list("outcome__customer__key", flat=True)) == ["beta"]
    holds(NOW)


def test_the_version_in_force_when_it_was_met_decides(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    contract = world.contract(acme)
    cut = MARCH - timedelta(days=5)
    world.amend(contract, number=2, effective_at=cut, overrides=None, pass_on="lago_events")
    world.amend(contract, number=3, effective_at=cut + DAY, overrides=None)
    confirmed(world, acme, met=cut - timedelta(microseconds=1))
    passed = confirmed(world, acme, met=cut)
    confirmed(world, acme, met=cut + DAY)
    hand_over_due(NOW)
    assert lago.ids() == [public(passed)]
    holds(NOW)


def test_what_was_confirmed_before_its_contract_was_agreed_is_told_too(world: World, lago: LagoServer) -> None:
    acme, other = world.customer(), world.customer("other")
    world.contract(other, pass_on="lago_events")
    hand_over_due(NOW)  # the reading has begun
    early = confirmed(world, acme)
    gone = confirmed(world, acme)
    reverse(gone, NOW)
    hand_over_due(NOW)
    assert lago.ids() == []
    world.contract(acme, pass_on="lago_events")
    hand_over_due(NOW + MINUTE)
    assert lago.ids() == [public(early)]
    late = confirmed(world, acme)
    hand_over_due(NOW + 2 * MINUTE)
    assert lago.ids() == sorted([public(early), public(late)])
    holds(NOW)


@pytest.mark.parametrize(("places", "clickhouse"), [(False, False), (True, True)])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_time_and_nothing_else(
    world: World, settings: Any, fault: str, places: bool, clickhouse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "hang" in fault:
        monkeypatch.setattr("webhooks.sending.TOTAL_SECONDS", 0.3)
    lago = LagoServer(clickhouse=clickhouse, places=places)
    settings.LAGO_URL, settings.LAGO_KEY, settings.WEBHOOK_ALLOW_LOOPBACK = lago.url, lago.key, True
    lago.hang_for = 0.6
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    outcomes = [confirmed(world, acme) for _ in range(3)]
    lago.faults = [fault, fault]
    first = hand_over_due(NOW)
    assert counted(first) == (0, 3, 0) and len(lago.log) == 1
    # A batch of which nothing is known is told one by one, and a target that fails is let be.
    assert counted(hand_over_due(NOW)) == (0, 0, 0)
    end = until_done(NOW + MINUTE)
    assert rows() == [("usage", "done", "")] * 3
    assert lago.ids() == sorted(map(public, outcomes))
    assert Receiver.objects.get().failures == 0
    holds(end)
    lago.close()


def test_retry_after_is_kept_to(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    confirmed(world, acme)
    lago.faults = ["429"]
    assert hand_over_due(NOW).stopped["lago_events"] == "Lago answered 429: too many requests."
    assert counted(hand_over_due(NOW + timedelta(seconds=29))) == (0, 0, 0)
    assert counted(hand_over_due(NOW + timedelta(seconds=31))) == (1, 0, 0)


def test_what_lago_has_already_is_done_and_what_it_refuses_waits_for_a_person(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    known, bad, good = (confirmed(world, acme) for _ in range(3))
    hand_over_due(NOW - 10 * DAY)  # notes them, and tells them: forget that again
    Handover.objects.update(status="waiting", finished_at=None, next_attempt_at=NOW, uncertain_since=None)
    lago.events = {key: event for key, event in lago.events.items() if event["transaction_id"] == public(known)}
    lago.log.clear()
    lago.refuse = lambda event: {"code": ["unknown"]} if event["transaction_id"] == public(bad) else {}
    assert counted(hand_over_due(NOW)) == (2, 0, 1)
    assert lago.log == [("/api/v1/events/batch", 3, 422), ("/api/v1/events", 1, 200)]
    row = Handover.objects.get(outcome=bad)
    assert (row.status, row.code, row.uncertain_since) == ("parked", "refused", None)
    assert '"unknown"' in row.reason and "tried again" in row.reason
    assert lago.ids() == sorted([public(known), public(good)])
    lago.refuse = lambda event: {}
    work.retry(row.pk, now=NOW + MINUTE, by="me")
    assert counted(hand_over_due(NOW + MINUTE)) == (1, 0, 0)
    assert lago.books().popitem()[1] == 3


def test_what_is_taken_up_and_not_sent_in_time_waits(
    world: World, lago: LagoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    confirmed(world, acme)
    monkeypatch.setattr(work, "LEASE", timedelta(0))
    assert counted(hand_over_due(NOW)) == (0, 1, 0)
    assert rows() == [("usage", "waiting", "no_time")] and lago.log == []
    assert Handover.objects.get().uncertain_since is None
    monkeypatch.undo()
    assert counted(hand_over_due(NOW + MINUTE)) == (1, 0, 0)


def test_what_was_confirmed_before_is_looked_up_in_portions(
    world: World, lago: LagoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handover.feed.LOOK_UP", 7)
    acme, beta = world.customer(), world.customer("beta")
    for one in (acme, beta):
        world.contract(one, pass_on="lago_events")
    outcomes = [*world.outcomes(acme, 10, MARCH), *world.outcomes(beta, 11, MARCH)]
    assert hand_over_due(NOW).done == 21
    assert lago.ids() == sorted(map(public, outcomes))
    assert Covered.objects.filter(looked_up_at=None).count() == 0


def test_at_most_a_hundred_at_once(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    world.many(acme, 230, MARCH)
    assert counted(hand_over_due(NOW)) == (230, 0, 0)
    assert [size for _, size, _ in lago.log] == [100, 100, 30]
    assert len(lago.events) == 230


# --- Reversed ---------------------------------------------------------------------------------------------------------


def test_what_is_reversed_before_is_not_told_and_after_is_taken_back(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    hand_over_due(NOW)  # the reading has begun
    before, after, stays = (confirmed(world, acme, quantity=Decimal("2.5"), amount=Decimal(-3)) for _ in range(3))
    reverse(before, NOW)
    hand_over_due(NOW)
    reverse(after, NOW + DAY)
    end = until_done(NOW + DAY, step=timedelta(seconds=6))
    assert rows(outcome=before) == [("usage", "dropped", "reversed"), ("reversal", "dropped", "reversed")]
    assert rows(outcome=after) == [("usage", "done", ""), ("reversal", "done", "")]
    told = {event["transaction_id"]: event for event in lago.events.values()}
    assert sorted(told) == sorted([public(after), f"{public(after)}-reversed", public(stays)])
    back = told[f"{public(after)}-reversed"]
    assert back["properties"] == {"priority": "high", "quantity": "-2.5", "amount": "3"}
    assert back["timestamp"] >= int((NOW + DAY).timestamp())  # not in a period that may be invoiced
    assert list(lago.books().values()) == [Decimal("2.5")]
    holds(end)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_what_may_have_arrived_is_told_again_before_it_is_taken_back(
    world: World, lago: LagoServer, fault: str
) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    outcome = confirmed(world, acme)
    lago.faults = [fault]
    hand_over_due(NOW)
    reverse(outcome, NOW + MINUTE)
    until_done(NOW + MINUTE)
    assert rows() == [("usage", "done", ""), ("reversal", "done", "")]
    assert lago.ids() == [public(outcome), f"{public(outcome)}-reversed"]
    assert list(lago.books().values()) == [0]


def test_what_was_refused_and_is_reversed_needs_nobody(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    outcome = confirmed(world, acme)
    lago.refuse = lambda event: {"code": ["unknown"]}
    hand_over_due(NOW)
    assert rows() == [("usage", "parked", "refused")]
    reverse(outcome, NOW + MINUTE)
    hand_over_due(NOW + MINUTE)
    assert rows() == [("usage", "dropped", "reversed"), ("reversal", "dropped", "reversed")]
    assert lago.ids() == []


@pytest.mark.parametrize("seed", range(SEEDS))
def test_through_any_faults_and_reversals_the_books_come_out_equal(world: World, settings: Any, seed: int) -> None:
    chance = random.Random(seed)
    lago = LagoServer(clickhouse=chance.random() < 0.3, places=chance.random() < 0.5)
    settings.LAGO_URL, settings.LAGO_KEY, settings.WEBHOOK_ALLOW_LOOPBACK = lago.url, lago.key, True
    customers = [world.customer(key) for key in ("acme", "beta", "gamma")]
    contracts = {one.pk: world.contract(one, pass_on="lago_events") for one in customers}
    standing: list[Outcome] = []
    now = NOW
    for _ in range(12):
        standing += [
            confirmed(world, chance.choice(customers), quantity=Decimal(chance.randint(1, 9)))
            for _ in range(chance.randint(0, 12))
        ]
        for _ in range(chance.randint(0, 2)):
            if standing:
                reverse(standing.pop(chance.randrange(len(standing))), now)
        lago.faults += chance.choices(["", *(one for one in FAULTS if "hang" not in one)], k=3)
        hand_over_due(now)
        now += timedelta(minutes=chance.choice([1, 15]))
    lago.faults.clear()
    end = until_done(now)
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for one in standing:
        sums[ids.encode(CONTRACT_PREFIX, contracts[one.customer_id].pk), "resolved_ticket"] += one.quantity or 0
    assert {key: total for key, total in lago.books().items() if total} == sums
    holds(end)
    lago.close()


# --- What is not told -------------------------------------------------------------------------------------------------


def test_what_is_held_disputed_or_in_review_waits(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    held, disputed, review, unknown = (
        confirmed(world, acme, **fields) for fields in ({}, {}, {"review": ["quantity"]}, {"quantity": None})
    )
    hold = placing.place(placing.Target(outcome=held.pk), reason="Look", by="me", now=NOW)
    dispute = disputes.raise_dispute(disputed.pk, reason="Not so", by="me", now=NOW)
    hand_over_due(NOW)
    codes = {one: code for one in (held, disputed, review, unknown) for _, _, code in rows(outcome=one)}
    assert list(codes.values()) == ["hold", "dispute", "review", "review"]
    placing.release(hold.pk, note="", by="me", now=NOW)
    disputes.withdraw(dispute.pk, note="", by="me", now=NOW)
    Outcome.objects.filter(pk=review.pk).update(review=[])
    Outcome.objects.filter(pk=unknown.pk).update(quantity=4)
    hand_over_due(NOW + 3 * MINUTE)
    assert len(lago.events) == 4 and list(lago.books().values()) == [7]


def test_test_customers_never_reach_lago(world: World, lago: LagoServer) -> None:
    acme = world.customer(test_clock=create_clock(now=NOW, wall=NOW))
    world.contract(acme, pass_on="lago_events")
    confirmed(world, acme)
    hand_over_due(NOW)
    assert rows() == [("usage", "dropped", "test_customer")] and lago.log == []


def test_without_a_lago_it_waits(world: World, lago: LagoServer, settings: Any) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    confirmed(world, acme)
    settings.LAGO_URL = ""
    assert "HOLDFAST_LAGO_URL" in hand_over_due(NOW).stopped["lago_events"]
    assert rows() == [("usage", "waiting", "not_configured")]
    settings.LAGO_URL = lago.url
    hand_over_due(NOW + 2 * MINUTE)
    assert len(lago.events) == 1


def test_private_addresses_are_refused(world: World, lago: LagoServer, settings: Any) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    confirmed(world, acme)
    settings.WEBHOOK_ALLOW_LOOPBACK = False
    hand_over_due(NOW)
    assert rows() == [("usage", "waiting", "refused_address")] and lago.log == []
    assert Handover.objects.get().uncertain_since is None


def test_where_nobody_passes_anything_on_nothing_is_read(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    confirmed(world, acme)
    assert counted(hand_over_due(NOW)) == (0, 0, 0)
    assert not Handover.objects.exists()


def test_who_dies_in_the_middle_leaves_what_is_told_once(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    confirmed(world, acme)
    work.fill(NOW), work.fill(NOW), work.fill(NOW)
    [claimed], _ = claim("lago_events", 100, NOW, Connections(()))
    assert counted(hand_over_due(NOW + LEASE - timedelta(seconds=1))) == (0, 0, 0)
    hand_over_due(NOW + LEASE)
    assert rows() == [("usage", "done", "")] and len(lago.events) == 1
    # Who was only slow finds it told: there is nothing left to say.
    work.put_off(claimed, Refused("x", "y"), now=NOW + LEASE, report=work.Report())
    assert rows() == [("usage", "done", "")]


def test_dates_again_are_no_news(world: World, lago: LagoServer) -> None:
    acme = world.customer()
    world.contract(acme, pass_on="lago_events")
    outcome = confirmed(world, acme)
    hand_over_due(NOW)
    journal(outcome, "confirmed", "confirmed", NOW)  # restated
    hand_over_due(NOW + MINUTE)
    assert rows() == [("usage", "done", "")] and len(lago.log) == 1
