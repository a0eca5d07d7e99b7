"""Holds and disputes against sweeps, billing and each other, each caller on a connection of its own."""

import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from access.errors import ApiError
from access.invariants import Scope, check
from invoicing import billing
from invoicing.models import LineOutcome
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Journal, Outcome
from settlement import disputes, holds
from settlement.audit import INVARIANTS
from settlement.disputes import raise_dispute, resolve, withdraw
from settlement.holds import SWEEP, Target, place, release
from settlement.models import Dispute, DisputeEntry, Hold
from settlement.sweep import settle_due
from tests.contracts.test_races import meanwhile
from tests.invoicing.conftest import World, make_world
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_lifecycle import TICKET
from tests.outcomes.test_races import at_once, chain, event, uncommitted

pytestmark = pytest.mark.usefixtures("committed")
# How many sweeps are raced with holds, and with disputes; `RACE_SEEDS=100` for more.
SEEDS = int(os.environ.get("RACE_SEEDS", "8"))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = START + 20 * DAY
TICKETS = [f"T{n}" for n in range(12)]


def tickets() -> list[Outcome]:
    """Provisional outcomes, due in order; an evaluation and nothing else has seen them."""
    factories.condition(TICKET)
    factories.customer()
    send([event(f"closed {ticket}", hours=n / 10, ticket=ticket) for n, ticket in enumerate(TICKETS)], now=START + DAY)
    evaluate_waiting(START + DAY)
    return list(Outcome.objects.order_by("due_at"))


def sound() -> None:
    """The audit of settlement finds nothing, and each journal is an unbroken chain with one end at most."""
    found = check(INVARIANTS, Scope(now=NOW, sample=None))
    assert [row for result in found for row in result.findings.violation_rows] == []
    for outcome in Outcome.objects.all():
        states = chain(outcome)
        assert states.count("confirmed") <= 1
        assert sum(state in ("void", "reversed", "missed", "superseded") for state in states) <= 1


# --- holds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_held_when_placing_returns_is_never_confirmed_after_it(seed: int, monkeypatch: Any) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr("settlement.sweep.BATCH", chance.choice([1, 2, 5, 1000]))
    outcomes = tickets()
    kind = chance.choice(["customer", "condition", "outcome", "outcome"])
    chosen = chance.sample(outcomes, k=5) if kind == "outcome" else outcomes
    targets = {
        "customer": [Target(customer="acme")],
        "condition": [Target(condition="solved")],
        "outcome": [Target(outcome=one.pk) for one in chosen],
    }[kind]
    confirmed_when_held: dict[Any, bool] = {}

    def hold_all() -> None:
        for target in targets:
            placed = place(target, reason="r", by="Ann", now=NOW)
            covered = [placed.outcome_id] if placed.outcome_id else [one.pk for one in outcomes]
            rows = Outcome.objects.filter(pk__in=covered).values_list("pk", "state")
            confirmed_when_held.update({pk: state == "confirmed" for pk, state in rows})

    def sweep() -> None:
        for _ in range(3):
            settle_due(NOW)

    at_once(hold_all, sweep, sweep)
    settle_due(NOW)
    for outcome in Outcome.objects.all():
        expected = confirmed_when_held.get(outcome.pk, True)
        assert outcome.state == ("confirmed" if expected else "provisional")
    sound()
    for hold in Hold.objects.all():
        release(hold.pk, by="Ben", now=NOW)
    settle_due(NOW)
    assert set(Outcome.objects.values_list("state", flat=True)) == {"confirmed"}
    assert all(outcome.settled_at == outcome.settles_at for outcome in Outcome.objects.all())
    sound()


def test_placing_waits_for_the_batch_at_work() -> None:
    outcome, *_ = tickets()
    with meanwhile(lambda: place(Target(outcome=outcome.pk), reason="r", by="Ann", now=NOW)) as other:
        settle_due(NOW)  # its batches join the open transaction, and so do their locks
    assert isinstance(other.result, Hold)
    outcome.refresh_from_db()
    assert outcome.state == "confirmed"
    assert other.result.journal_after == Journal.objects.latest("id").pk
    sound()


def test_a_sweep_that_begins_while_a_hold_is_being_placed_waits_and_sees_it() -> None:
    outcome, *rest = tickets()
    with meanwhile(lambda: settle_due(NOW)) as other:
        place(Target(outcome=outcome.pk), reason="r", by="Ann", now=NOW)
    assert other.result == {"confirmed": len(rest)}
    outcome.refresh_from_db()
    assert outcome.state == "provisional"


def test_sweeps_do_not_wait_for_each_other() -> None:
    tickets()
    from django.db import connection

    def hold_the_lock() -> None:
        with connection.cursor() as cursor:
            holds.keep_from_changing(cursor, SWEEP)

    with uncommitted(hold_the_lock):
        assert settle_due(NOW) == {"confirmed": len(TICKETS)}


def test_of_two_holds_on_one_thing_the_first_counts() -> None:
    tickets()

    def hold() -> str:
        try:
            place(Target(customer="acme"), reason="r", by="Ann", now=NOW)
        except ApiError as refusal:
            return refusal.code
        return "placed"

    assert sorted(at_once(*[hold] * 4)) == ["already_held"] * 3 + ["placed"]
    assert Hold.objects.count() == 1


def test_of_two_releases_the_first_counts() -> None:
    tickets()
    placed = place(Target(customer="acme"), reason="r", by="Ann", now=NOW)

    def let_go() -> str:
        try:
            release(placed.pk, by="Ben", now=NOW)
        except ApiError as refusal:
            return refusal.code
        return "released"

    assert sorted(at_once(*[let_go] * 4)) == ["already_released"] * 3 + ["released"]


# --- disputes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
def test_disputes_against_sweeps(seed: int, monkeypatch: Any) -> None:
    """Raised and upheld at any moment of a sweep: each outcome ends once, void or confirmed and reversed."""
    chance = random.Random(seed)
    monkeypatch.setattr("settlement.sweep.BATCH", chance.choice([1, 3, 1000]))
    outcomes = tickets()
    disputed = chance.sample(outcomes, k=8)
    upheld = {one.pk for one in disputed[:5]}
    # In the middle of their windows, and after them: the decision decides which end is the right one.
    decided_at = chance.choice([START + 2 * HOUR, NOW])

    def dispute(some: list[Outcome]) -> None:
        for outcome in some:
            raised = raise_dispute(outcome.pk, reason="no", by="Ann", now=decided_at)
            decision = "upheld" if outcome.pk in upheld else "rejected"
            resolve(raised.pk, decision, note="n", by="Ben", now=decided_at)

    def sweep() -> None:
        for _ in range(3):
            settle_due(NOW)

    at_once(lambda: dispute(disputed[::2]), lambda: dispute(disputed[1::2]), sweep, sweep)
    settle_due(NOW)
    for outcome in Outcome.objects.all():
        states = chain(outcome)
        if outcome.pk in upheld:
            legal = (["open", "provisional", "void"], ["open", "provisional", "confirmed", "reversed"])
            assert states in legal
            assert Journal.objects.filter(outcome=outcome, cause="person").count() == 1
        else:
            assert states == ["open", "provisional", "confirmed"]
    sound()


@pytest.mark.parametrize("seed", range(10))
def test_upheld_while_the_sweep_confirms_that_very_outcome(seed: int) -> None:
    outcome, *_ = tickets()
    Outcome.objects.exclude(pk=outcome.pk).update(due_at=None)
    dispute = raise_dispute(outcome.pk, reason="no", by="Ann", now=NOW)
    calls = [
        lambda: resolve(dispute.pk, "upheld", note="n", by="Ben", now=NOW),
        lambda: settle_due(NOW),
        lambda: settle_due(NOW),
    ]
    random.Random(seed).shuffle(calls)
    at_once(*calls)
    states = chain(outcome := Outcome.objects.get(pk=outcome.pk))
    assert states in (["open", "provisional", "void"], ["open", "provisional", "confirmed", "reversed"])
    assert outcome.due_at is None and settle_due(NOW) == {}


@pytest.mark.parametrize("seed", range(10))
def test_of_several_who_decide_one_counts(seed: int) -> None:
    chance = random.Random(seed)
    outcome, *_ = tickets()
    if chance.random() < 0.5:
        settle_due(NOW)
    dispute = raise_dispute(outcome.pk, reason="no", by="Ann", now=NOW)

    def decide(step: str, by: str) -> str:
        try:
            if step == "withdrawn":
                withdraw(dispute.pk, by=by, now=NOW)
            else:
                resolve(dispute.pk, step, note="n", by=by, now=NOW)
        except ApiError as refusal:
            assert refusal.code == "already_resolved"
            return refusal.message
        return "decided"

    steps = chance.choices(["upheld", "upheld", "rejected", "withdrawn"], k=4)
    answers = at_once(*[lambda n=n, step=step: decide(step, f"P{n}") for n, step in enumerate(steps)])  # type: ignore[misc]
    assert answers.count("decided") == 1
    winner = answers.index("decided")
    dispute.refresh_from_db()
    assert (dispute.status, dispute.resolved_by) == (steps[winner], f"P{winner}")
    assert all(f"is {dispute.status} already, by P{winner}" in text for text in answers if text != "decided")
    assert list(DisputeEntry.objects.values_list("status", flat=True)) == ["raised", dispute.status]
    outcome.refresh_from_db()
    assert (outcome.state in ("void", "reversed")) == (dispute.status == "upheld")
    assert Journal.objects.filter(cause="person").count() == (dispute.status == "upheld")
    sound()


def test_two_upholders_take_back_once() -> None:
    outcome, *_ = tickets()
    dispute = raise_dispute(outcome.pk, reason="no", by="Ann", now=NOW)
    with meanwhile(lambda: resolve(dispute.pk, "upheld", note="n", by="Cyd", now=NOW)) as other:
        resolve(dispute.pk, "upheld", note="n", by="Ben", now=NOW)
    assert isinstance(other.result, ApiError) and other.result.code == "already_resolved"
    assert f"Dispute {disputes.public_id(dispute)} is upheld already, by Ben" in other.result.message
    assert Journal.objects.filter(cause="person").count() == 1


def test_upheld_behind_a_rejection_is_undone_with_the_refusal() -> None:
    """The second has taken the outcome back when it meets the first's decision on the dispute."""
    outcome, *_ = tickets()
    dispute = raise_dispute(outcome.pk, reason="no", by="Ann", now=NOW)
    with meanwhile(lambda: resolve(dispute.pk, "upheld", note="n", by="Cyd", now=NOW)) as other:
        resolve(dispute.pk, "rejected", note="n", by="Ben", now=NOW)
    assert isinstance(other.result, ApiError) and other.result.code == "already_resolved"
    outcome.refresh_from_db()
    assert outcome.state == "provisional"
    assert not Journal.objects.filter(cause="person").exists()


def test_of_several_disputes_of_one_outcome_the_first_counts() -> None:
    outcome, *_ = tickets()

    def dispute() -> str:
        try:
            raise_dispute(outcome.pk, reason="no", by="Ann", now=NOW)
        except ApiError as refusal:
            return refusal.code
        return "raised"

    assert sorted(at_once(*[dispute] * 4)) == ["already_disputed"] * 3 + ["raised"]
    assert Dispute.objects.count() == DisputeEntry.objects.count() == 1


@pytest.mark.parametrize("seed", range(6))
def test_raising_anew_while_the_last_one_is_upheld_or_rejected_does_not_deadlock(seed: int) -> None:
    outcome, *_ = tickets()
    first = raise_dispute(outcome.pk, reason="no", by="Ann", now=NOW)
    decision = "upheld" if seed % 2 else "rejected"

    def again() -> str:
        try:
            raise_dispute(outcome.pk, reason="no", by="Cyd", now=NOW)
        except ApiError as refusal:
            return refusal.code
        return "raised"

    answer, *_ = at_once(again, lambda: resolve(first.pk, decision, note="n", by="Ben", now=NOW))
    allowed = {"upheld": {"already_disputed", "not_disputable"}, "rejected": {"already_disputed", "raised"}}
    assert answer in allowed[decision]


# --- billing ----------------------------------------------------------------------------------------------------------

MARCH, APRIL = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 4, 1, 1, tzinfo=UTC)


def billable(count: int = 3) -> tuple[World, list[Outcome]]:
    world = make_world()
    acme = world.customer()
    world.contract(acme)
    return world, world.outcomes(acme, count, MARCH)


TARGETS = {
    "an outcome": lambda one: Target(outcome=one.pk),
    "a customer": lambda one: Target(customer=one.customer.key),
    "a condition": lambda one: Target(condition=one.condition.slug),
}


@pytest.mark.parametrize("what", ["a dispute", *TARGETS])
def test_whoever_keeps_off_invoices_waits_for_the_billing_at_work(what: str) -> None:
    """What an invoice bills that was being issued is on it; what returned before is not."""
    _, outcomes = billable()

    def keep_off() -> Any:
        if what == "a dispute":
            return raise_dispute(outcomes[0].pk, reason="no", by="Ann", now=APRIL)
        return place(TARGETS[what](outcomes[0]), reason="r", by="Ann", now=APRIL)

    with meanwhile(keep_off) as other:
        billing.run(now=APRIL)
    assert isinstance(other.result, Dispute | Hold), other.result
    assert LineOutcome.objects.count() == 3


@pytest.mark.parametrize("what", ["a dispute", *TARGETS])
def test_a_billing_that_comes_while_it_is_being_kept_off_waits_and_leaves_it_out(what: str) -> None:
    _, outcomes = billable()
    with meanwhile(lambda: billing.run(now=APRIL)):
        if what == "a dispute":
            raise_dispute(outcomes[0].pk, reason="no", by="Ann", now=APRIL)
        else:
            place(TARGETS[what](outcomes[0]), reason="r", by="Ann", now=APRIL)
    kept_off = 1 if what in ("a dispute", "an outcome") else 3
    assert LineOutcome.objects.count() == 3 - kept_off


def test_a_hold_on_one_customer_does_not_wait_for_the_billing_of_another() -> None:
    world, _ = billable()
    beta = world.customer("beta")
    world.contract(beta)
    world.outcome(beta, MARCH)
    with uncommitted(lambda: billing.run(now=APRIL)), transaction.atomic():
        other = world.customer("gamma")
        assert place(Target(customer=other.key), reason="r", by="Ann", now=APRIL).customer == other
