"""Disputes: their states, what upholding does to the outcome, and that their history is kept."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from access.errors import ApiError
from access.invariants import Scope, check
from contracts.models import Customer
from outcomes.decisions import take_back
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Journal, Outcome, State
from settlement import disputes
from settlement.audit import INVARIANTS
from settlement.disputes import raise_dispute, resolve, withdraw
from settlement.domain import disputes as states
from settlement.holds import Target, place
from settlement.models import Dispute, DisputeEntry
from settlement.news import dispute_news
from settlement.queries import all_disputes, dispute_detail_json, kept_off_invoices
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, say
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.django_db
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
LATER = START + 20 * DAY


@pytest.fixture(autouse=True)
def acme() -> Customer:
    factories.condition(TICKET)
    return factories.customer()


def outcome(state: str) -> Outcome:
    """The only outcome, brought into this state by what can bring it there."""
    story = {
        "open": [("escalated", 0)],
        "provisional": [("closed", 0)],
        "confirmed": [("closed", 0)],
        "void": [("closed", 0), ("reopened", 1)],
        "reversed": [("closed", 0), ("reopened", 7)],
        "missed": [("escalated", 0)],
        "superseded": [("closed", 2), ("escalated", 1)],
    }[state]
    for kind, hours in story:
        say(kind, START + hours * HOUR, now=START + 8 * HOUR)
        evaluate_waiting(START + 8 * HOUR)
    if state not in ("open", "provisional", "superseded"):
        settle_due(LATER)
    found = Outcome.objects.order_by("ordinal").first()
    assert found is not None
    if state == "superseded":
        Outcome.objects.filter(pk=found.pk).update(state=state)
        found.refresh_from_db()
    assert found.state == state
    return found


def raised(found: Outcome, by: str = "Ann") -> Dispute:
    return raise_dispute(found.pk, reason="never happened", by=by, now=LATER)


def act(dispute: Dispute, step: str, by: str = "Ben") -> Dispute:
    """Decide or withdraw."""
    if step == "withdrawn":
        return withdraw(dispute.pk, note="sorry", by=by, now=LATER + HOUR)
    return resolve(dispute.pk, step, note="looked into it", by=by, now=LATER + HOUR)


def problems() -> list[str]:
    found = check(INVARIANTS, Scope(now=LATER, sample=None))
    return [row["problem"] for result in found for row in result.findings.violation_rows]


# --- the states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State.values)
def test_what_may_be_disputed(state: str) -> None:
    found = outcome(state)
    if state in ("provisional", "confirmed"):
        dispute = raised(found)
        assert (dispute.status, dispute.raised_by, dispute.raised_at) == ("raised", "Ann", LATER)
        assert kept_off_invoices([found.pk]) == {found.pk: "dispute"}
        assert Outcome.objects.get(pk=found.pk).state == state
    else:
        with pytest.raises(ApiError) as refused:
            raised(found)
        assert (refused.value.status_code, refused.value.code) == (409, "not_disputable")
        assert f"The outcome is {state}:" in refused.value.message
        assert not Dispute.objects.exists() and not DisputeEntry.objects.exists()


# From a status, by a step: the status afterwards, and whether the outcome (confirmed before) is still kept off
# invoices, and its state.
TABLE = [
    ("raised", "upheld", "upheld", {}, "reversed"),
    ("raised", "rejected", "rejected", {}, "confirmed"),
    ("raised", "withdrawn", "withdrawn", {}, "confirmed"),
    *[(before, step, None, {}, "reversed" if before == "upheld" else "confirmed")
      for before in ("upheld", "rejected", "withdrawn") for step in ("upheld", "rejected", "withdrawn")],
]  # fmt: skip


@pytest.mark.parametrize(("before", "step", "after", "kept_off", "state"), TABLE)
def test_the_table(before: str, step: str, after: str | None, kept_off: dict, state: str) -> None:
    found = outcome("confirmed")
    dispute = raised(found)
    if before != "raised":
        act(dispute, before)
    if after is None:
        with pytest.raises(ApiError) as refused:
            act(dispute, step, by="Cyd")
        assert (refused.value.status_code, refused.value.code) == (409, "already_resolved")
        assert f"is {before} already, by Ben" in refused.value.message
        after = before
    else:
        done = act(dispute, step)
        assert (done.resolved_by, done.resolved_at) == ("Ben", LATER + HOUR)
    dispute.refresh_from_db()
    assert dispute.status == after
    assert [entry.status for entry in dispute.entries.all()] == ["raised", after]
    assert kept_off_invoices([found.pk]) == kept_off
    assert Outcome.objects.get(pk=found.pk).state == state
    assert problems() == []


def test_the_table_is_what_the_domain_says() -> None:
    allowed = {(before, step) for before, step, after, *_ in TABLE if after is not None}
    assert allowed == {(before, step) for before, steps in states.MOVES.items() for step in steps}
    assert {before for before, *_ in TABLE} == set(states.STATUSES) == set(Dispute.Status.values)
    assert set(states.DISPUTABLE) | set(states.ENDED) | {"open"} == set(State.values)


def test_one_raised_dispute_at_a_time_and_a_new_one_after_it() -> None:
    found = outcome("confirmed")
    first = raised(found)
    with pytest.raises(ApiError) as refused:
        raised(found, by="Ben")
    assert (refused.value.status_code, refused.value.code) == (409, "already_disputed")
    assert disputes.public_id(first) in refused.value.message
    act(first, "rejected")
    second = raised(found)
    assert kept_off_invoices([found.pk]) == {found.pk: "dispute"}
    act(second, "upheld")
    with pytest.raises(ApiError) as refused:
        raised(found)
    assert refused.value.code == "not_disputable"


def test_what_is_not_there() -> None:
    for call in (
        lambda: raise_dispute(uuid4(), reason="r", by="Ann", now=LATER),
        lambda: resolve(uuid4(), "upheld", note="n", by="Ann", now=LATER),
        lambda: resolve(uuid4(), "rejected", note="n", by="Ann", now=LATER),
        lambda: withdraw(uuid4(), by="Ann", now=LATER),
    ):
        with pytest.raises(ApiError) as refused:
            call()
        assert (refused.value.status_code, refused.value.code) == (404, "not_found")
    with pytest.raises(ValueError):
        resolve(uuid4(), "withdrawn", note="n", by="Ann", now=LATER)


# --- what upholding does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "settled", "chain"),
    [
        (1, False, ["open", "provisional", "void"]),
        (1, True, ["open", "provisional", "void"]),
        (9, True, ["open", "provisional", "confirmed", "reversed"]),
    ],
)
def test_upheld_is_void_inside_the_window_and_reversed_after_it(hours: int, settled: bool, chain: list[str]) -> None:
    say("closed", START, now=START)
    evaluate_waiting(START)
    now = START + hours * HOUR
    if settled:
        settle_due(now)
    found = Outcome.objects.get()
    dispute = raise_dispute(found.pk, reason="no", by="Ann", now=now)
    resolve(dispute.pk, "upheld", note="they are right", by="Ben", now=now + TICK)
    assert [row.to_state for row in Journal.objects.order_by("id")] == chain
    last = Journal.objects.latest("id")
    assert (last.cause, last.actor) == ("person", "Ben")
    assert last.reason == f"Dispute {disputes.public_id(dispute)} upheld: they are right"
    assert settle_due(LATER) == Counter()
    assert problems() == []


def test_a_sweep_whose_clock_was_ahead_has_confirmed_it() -> None:
    """Whoever decides read his clock first, and waited while the window ended: reversed, not void in the past."""
    found = outcome("provisional")
    settle_due(START + 5 * HOUR)
    now = START + 5 * HOUR - TICK
    dispute = raise_dispute(found.pk, reason="no", by="Ann", now=now)
    resolve(dispute.pk, "upheld", note="n", by="Ben", now=now)
    found.refresh_from_db()
    assert (found.state, found.settled_at, found.ended_at) == ("reversed", START + 5 * HOUR, START + 5 * HOUR)
    assert problems() == []


def test_settlement_goes_on_while_it_is_disputed() -> None:
    found = outcome("provisional")
    dispute = raised(found)
    assert settle_due(LATER) == Counter(confirmed=1)
    assert kept_off_invoices([found.pk]) == {found.pk: "dispute"}
    act(dispute, "upheld")
    found.refresh_from_db()
    assert found.state == "reversed"


@pytest.mark.parametrize("hours", [1, 7])
def test_an_outcome_that_ended_by_itself_is_left_as_it_is(hours: int) -> None:
    """Void at one hour, reversed at seven."""
    found = outcome("provisional")
    if hours == 7:
        settle_due(START + 6 * HOUR)
    dispute = raised(found)
    say("reopened", START + hours * HOUR, now=START + 8 * HOUR)
    evaluate_waiting(START + 8 * HOUR)
    before = list(Journal.objects.values())
    act(dispute, "upheld")
    found.refresh_from_db()
    assert found.state == ("void" if hours == 1 else "reversed")
    assert list(Journal.objects.values()) == before
    assert problems() == []


def test_one_that_was_taken_back_by_a_person_too() -> None:
    found = outcome("confirmed")
    dispute = raised(found)
    take_back(found.pk, now=LATER, actor="Cyd", reason="a mistake")
    act(dispute, "upheld")
    assert Journal.objects.filter(cause="person").count() == 1


def test_one_that_is_open_again_cannot_be_upheld_yet() -> None:
    found = outcome("provisional")
    dispute = raised(found)
    say("escalated", START + HOUR, now=START + 8 * HOUR)  # the condition no longer holds
    evaluate_waiting(START + 8 * HOUR)
    with pytest.raises(ApiError) as refused:
        act(dispute, "upheld")
    assert (refused.value.status_code, refused.value.code) == (409, "not_upholdable")
    assert "The outcome is open" in refused.value.message
    dispute.refresh_from_db()
    assert dispute.status == "raised" and dispute.entries.count() == 1
    act(dispute, "rejected")


def test_one_whose_end_waits_for_a_hold_cannot_be_upheld_yet() -> None:
    """Its events have reversed it, which is booked when its confirmation may be."""
    found = outcome("provisional")
    dispute = raised(found)
    place(Target(outcome=found.pk), reason="r", by="Ann", now=START)
    say("reopened", START + 7 * HOUR, now=START + 8 * HOUR)
    evaluate_waiting(START + 8 * HOUR)
    with pytest.raises(ApiError) as refused:
        act(dispute, "upheld")
    assert refused.value.code == "not_upholdable"
    assert kept_off_invoices([found.pk]) == {found.pk: "hold"}


def test_upholding_ends_what_is_held_and_the_audit_knows_why_the_clock_moved() -> None:
    found = outcome("provisional")
    place(Target(outcome=found.pk), reason="r", by="Ann", now=START)
    dispute = raised(found)
    settle_due(LATER)
    act(dispute, "upheld")
    assert [row.to_state for row in Journal.objects.order_by("id")][-1] in ("void", "reversed")
    assert problems() == []


# --- its history ------------------------------------------------------------------------------------------------------


def test_the_history_is_told_in_order() -> None:
    dispute = raised(outcome("confirmed"))
    act(dispute, "rejected")
    told = dispute_detail_json(all_disputes().get())
    assert told["history"] == [
        {"status": "raised", "actor": "Ann", "note": "never happened", "at": LATER},
        {"status": "rejected", "actor": "Ben", "note": "looked into it", "at": LATER + HOUR},
    ]
    assert (told["customer"], told["condition"], told["subject"]) == ("acme", "solved", "T")


@pytest.mark.parametrize("change", ["update", "delete"])
def test_entries_are_append_only(change: str) -> None:
    raised(outcome("confirmed"))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        if change == "update":
            DisputeEntry.objects.update(note="another")
        else:
            DisputeEntry.objects.all().delete()


def test_the_database_itself_holds_to_it() -> None:
    found = outcome("confirmed")
    whole: dict[str, Any] = {"outcome": found, "reason": "r", "raised_by": "Ann", "raised_at": LATER}
    over = {"status": "upheld", "resolved_at": LATER, "resolved_by": "Ben"}
    wrong: list[dict[str, Any]] = [
        {"status": "lost"}, {"status": "upheld"}, {"reason": ""}, {"raised_by": ""}, {"resolved_at": LATER},
        {"resolved_by": "Ben"}, {"note": "n"}, over | {"resolved_by": ""}, over | {"resolved_at": None},
    ]  # fmt: skip
    for change in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Dispute.objects.create(**whole | change)
    first = Dispute.objects.create(**whole)
    with pytest.raises(IntegrityError), transaction.atomic():
        Dispute.objects.create(**whole)
    Dispute.objects.filter(pk=first.pk).update(**over)
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        Dispute.objects.filter(pk=first.pk).update(status="rejected")
    said = {"dispute": first, "actor": "Ann", "at": LATER}
    for status in ("raised", "upheld"):
        DisputeEntry.objects.create(status=status, **said)
    for status in ("raised", "upheld", "rejected", "lost"):
        with pytest.raises(IntegrityError), transaction.atomic():
            DisputeEntry.objects.create(status=status, **said)


def test_news_is_told_in_order_of_the_entries_as_it_stood() -> None:
    found = outcome("confirmed")
    first = raised(found)
    act(first, "withdrawn")
    act(raised(found), "upheld")
    last = DisputeEntry.objects.latest("id").pk
    start = DisputeEntry.objects.earliest("id").pk - 1
    told = dispute_news(start, last, {"dispute.raised", "dispute.resolved"})
    assert [(one.type, one.data["status"], one.data["note"]) for one in told] == [
        ("dispute.raised", "raised", None),
        ("dispute.resolved", "withdrawn", "sorry"),
        ("dispute.raised", "raised", None),
        ("dispute.resolved", "upheld", "looked into it"),
    ]
    assert told[0].about == told[1].about == told[0].data["id"] == disputes.public_id(first)
    assert [one.type for one in dispute_news(start, last, {"dispute.raised"})] == ["dispute.raised"] * 2
    assert [one.data["status"] for one in dispute_news(start + 1, start + 2, {"dispute.resolved"})] == ["withdrawn"]
