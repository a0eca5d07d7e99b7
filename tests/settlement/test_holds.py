"""Holds: what they keep the clock from booking, that they move no instant, and that one of each is enough."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from access.errors import ApiError
from access.invariants import Scope, check
from contracts.models import Condition, Customer
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Journal, Outcome
from settlement import holds
from settlement.audit import INVARIANTS
from settlement.holds import Target, place, release
from settlement.models import Hold
from settlement.queries import holds_over, kept_off_invoices
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, say, send
from tests.outcomes.test_lifecycle import AT, TICKET

pytestmark = pytest.mark.django_db
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
LATER = START + 200 * DAY


@pytest.fixture(autouse=True)
def acme() -> Customer:
    factories.condition(TICKET)
    return factories.customer()


def target(kind: str) -> Target:
    """A hold's target of this kind that covers the only outcome of acme."""
    outcome = Outcome.objects.get(customer__key="acme")
    named: dict[str, Any] = {"customer": "acme", "condition": outcome.condition.slug, "outcome": outcome.pk}
    return Target(**{kind: named[kind]})


def hold(kind: str = "outcome", *, reason: str = "a question", by: str = "Ann", now: datetime = START) -> Hold:
    return place(target(kind), reason=reason, by=by, now=now)


def state(customer: str = "acme") -> str:
    return Outcome.objects.get(customer__key=customer).state


def problems() -> list[str]:
    """What the audit of settlement finds, as of LATER."""
    found = check(INVARIANTS, Scope(now=LATER, sample=None))
    return [
        row["problem"] for result in found for row in (*result.findings.violation_rows, *result.findings.warning_rows)
    ]


# --- the sweep --------------------------------------------------------------------------------------------------------

ENDS: dict[str, tuple[str, dict[str, Any], timedelta, str, str]] = {
    "a window": ("closed", {}, 5 * HOUR, "provisional", "confirmed"),
    "silence": ("escalated", {}, 50 * HOUR, "open", "missed"),
    "a time that never came": ("booked", {}, 180 * DAY, "provisional", "void"),
}
KINDS = ("customer", "condition", "outcome")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("event", "data", "wait", "before", "after"), ENDS.values(), ids=ENDS)
def test_the_clock_books_nothing_until_the_release_and_then_the_planned_instant(
    kind: str, event: str, data: dict[str, Any], wait: timedelta, before: str, after: str
) -> None:
    factories.condition(AT)
    say(event, START, now=START, **data)
    factories.customer("globex")
    say("closed", START, now=START, customer="globex", ticket="another")
    evaluate_waiting(START)
    placed = hold(kind)
    booked = settle_due(LATER)
    assert state() == before
    assert problems() == []
    # A hold on the condition covers the other customer's, if it is of the same condition.
    covers_both = kind == "condition" and event != "booked"
    assert booked == (Counter() if covers_both else Counter(confirmed=1))
    release(placed.pk, by="Ben", now=LATER)
    settle_due(LATER + DAY)
    assert state() == after
    last = Journal.objects.filter(outcome__customer__key="acme").latest("id")
    assert (last.to_state, last.effective_at, last.recorded_at) == (after, START + wait, LATER + DAY)
    assert problems() == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_computed_behind_a_held_settlement_waits_with_it(kind: str) -> None:
    say("closed", START, now=START)
    say("reopened", START + 7 * HOUR, now=START + 7 * HOUR)  # credit, after the window
    evaluate_waiting(START + 7 * HOUR)
    placed = hold(kind)
    assert settle_due(LATER) == Counter()
    assert state() == "provisional"
    release(placed.pk, by="Ben", now=LATER)
    assert settle_due(LATER) == Counter(confirmed=1, reversed=1)


def test_events_still_change_what_is_held() -> None:
    say("closed", START, now=START)
    evaluate_waiting(START)
    placed = hold()
    say("reopened", START + HOUR, now=START + HOUR)
    evaluate_waiting(START + HOUR)
    assert state() == "void"
    release(placed.pk, by="Ben", now=LATER)
    assert settle_due(LATER) == Counter()


def test_while_it_is_held_no_event_of_its_window_is_late() -> None:
    say("closed", START, now=START)
    evaluate_waiting(START)
    placed = hold()
    settle_due(START + 9 * HOUR)
    say("reopened", START + HOUR, now=START + 9 * HOUR)  # it happened in the window, and comes after it
    evaluate_waiting(START + 9 * HOUR)
    release(placed.pk, by="Ben", now=START + 10 * HOUR)
    settle_due(LATER)
    assert [row.to_state for row in Journal.objects.order_by("id")] == ["open", "provisional", "void"]


def test_all_holds_over_an_outcome_must_be_released() -> None:
    say("closed", START, now=START)
    evaluate_waiting(START)
    placed = [hold(kind, now=START + hours * HOUR) for hours, kind in enumerate(KINDS)]
    outcome = Outcome.objects.get()
    assert [one.target for one in holds_over(outcome)] == list(KINDS)
    assert holds.covering([outcome.pk]) == {outcome.pk: [one.pk for one in placed]}
    for one in placed:
        assert settle_due(LATER) == Counter()
        assert kept_off_invoices([outcome.pk]) == {outcome.pk: "hold"}
        release(one.pk, by="Ben", now=LATER)
    assert kept_off_invoices([outcome.pk]) == {}
    assert settle_due(LATER) == Counter(confirmed=1)


def test_what_is_confirmed_stays_so_and_is_kept_off_invoices() -> None:
    say("closed", START, now=START)
    evaluate_waiting(START)
    settle_due(LATER)
    hold()
    assert state() == "confirmed"
    assert kept_off_invoices([Outcome.objects.get().pk]) == {Outcome.objects.get().pk: "hold"}


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_sweep_goes_on_past_many_held_ones(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.sweep.BATCH", batch)
    send(
        [{"id": f"e{n}", "type": "closed", "customer": "acme", "time": START, "data": {"ticket": f"T{n}"}}
         for n in range(30)],
        now=START,
    )  # fmt: skip
    evaluate_waiting(START)
    held = Outcome.objects.filter(subject__key__in=[f"T{n}" for n in range(0, 30, 3)])
    for outcome in held:
        place(Target(outcome=outcome.pk), reason="r", by="Ann", now=START)
    assert settle_due(LATER) == Counter(confirmed=20)
    assert set(held.values_list("state", flat=True)) == {"provisional"}


# --- placing and releasing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_one_hold_on_one_thing_at_a_time(kind: str) -> None:
    say("closed", START, now=START)
    evaluate_waiting(START)
    first = hold(kind)
    with pytest.raises(ApiError) as refused:
        hold(kind, by="Ben")
    assert (refused.value.status_code, refused.value.code) == (409, "already_held")
    assert holds.public_id(first) in str(refused.value.message) and "Ann" in refused.value.message
    released = release(first.pk, note="all clear", by="Ben", now=LATER)
    assert (released.released_at, released.released_by, released.note) == (LATER, "Ben", "all clear")
    with pytest.raises(ApiError) as refused:
        release(first.pk, by="Cyd", now=LATER)
    assert (refused.value.status_code, refused.value.code) == (409, "already_released")
    assert "Ben" in refused.value.message
    assert hold(kind, now=LATER).pk != first.pk
    assert Hold.objects.count() == 2


WRONG: dict[str, tuple[Callable[[], Target], str]] = {
    "nothing": (lambda: Target(), "one_target"),
    "two things": (lambda: Target(customer="acme", condition="solved"), "one_target"),
    "an unknown customer": (lambda: Target(customer="nobody"), "unknown_customer"),
    "an unknown condition": (lambda: Target(condition="nothing"), "unknown_condition"),
    "an unknown outcome": (lambda: Target(outcome=uuid4()), "unknown_outcome"),
}


@pytest.mark.parametrize(("wrong", "code"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_held(wrong: Callable[[], Target], code: str) -> None:
    with pytest.raises(ApiError) as refused:
        place(wrong(), reason="r", by="Ann", now=START)
    assert (refused.value.status_code, refused.value.code) == (422, code)
    assert not Hold.objects.exists()


def test_a_hold_that_is_not_there_cannot_be_released() -> None:
    with pytest.raises(ApiError) as refused:
        release(uuid4(), by="Ann", now=START)
    assert refused.value.status_code == 404


def test_the_database_itself_holds_to_it(acme: Customer) -> None:
    whole: dict[str, Any] = {"customer": acme, "reason": "r", "placed_by": "Ann", "placed_at": START,
                             "journal_after": 0}  # fmt: skip
    over = {"released_at": LATER, "released_by": "Ben", "journal_until": 9}
    wrong: list[dict[str, Any]] = [
        {"customer": None},
        {"condition": Condition.objects.get()},
        {"outcome_id": uuid4()},
        {"reason": ""},
        {"placed_by": ""},
        {"released_at": LATER},
        {"released_by": "Ben"},
        {"note": "a note"},
        over | {"released_by": ""},
        over | {"journal_until": None},
    ]
    for change in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Hold.objects.create(**whole | change)
    first = Hold.objects.create(**whole)
    with pytest.raises(IntegrityError), transaction.atomic():
        Hold.objects.create(**whole)
    Hold.objects.filter(pk=first.pk).update(**over)
    for change in ({"released_at": None, "released_by": "", "journal_until": None}, {"note": "another"}):
        with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
            Hold.objects.filter(pk=first.pk).update(**change)


def test_the_journal_tells_what_was_written_while_it_stood() -> None:
    say("closed", START, now=START)
    evaluate_waiting(START)
    before = Journal.objects.latest("id").pk
    placed = hold()
    factories.customer("globex")
    say("closed", START, now=START, customer="globex")
    evaluate_waiting(START)
    settle_due(LATER)
    until = Journal.objects.latest("id").pk
    released = release(placed.pk, by="Ann", now=LATER)
    assert (released.journal_after, released.journal_until) == (before, until)
    settle_due(LATER)
    assert Journal.objects.get(outcome__customer__key="acme", to_state="confirmed").pk > until
