# ruff: noqa: E501
"""The law: the result depends on what happened, not on how it arrived (design page 2, section 3).

Random histories are sent in random order, doubled, in random batches, with evaluation and settlement in between at
random instants; once all has arrived and every window is past, what is booked must be what the pure lifecycle says of
the events in order of (time, seq).
"""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from outcomes.domain.instants import from_us
from outcomes.domain.lifecycle import replay
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.models import Journal, Outcome, Pending, Subject
from outcomes.programs import all_rules
from outcomes.store import read_history
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import EARLY, EVER, IMMEDIATE, REPEATING, SILENCE, TICKET

CONDITIONS = {
    "solved": REPEATING,
    "quiet": SILENCE,
    "early": EARLY,
    "first": EVER,
    "now": IMMEDIATE,
    "plain": TICKET.replace("outcome solved", "outcome plain"),
}
TYPES = ["closed", "closed", "closed", "reopened", "escalated", "reopened.later", "confirmed_by_customer", "bad"]
LEGAL = {
    ("", "open"), ("open", "provisional"), ("provisional", "open"), ("provisional", "void"), ("provisional", "confirmed"),
    ("confirmed", "reversed"), ("open", "missed"), ("open", "superseded"), ("provisional", "superseded"),
    ("void", "superseded"), ("missed", "superseded"),
}  # fmt: skip


def history(chance: random.Random, size: int) -> list[dict[str, Any]]:
    events = []
    for n in range(size):
        at = factories.START + timedelta(hours=chance.randrange(0, 120), minutes=chance.choice([0, 0, 30]))
        event = {
            "id": f"e{n}",
            "type": chance.choice(TYPES),
            "customer": chance.choice(["acme", "globex"]),
            "time": at,
            "data": {
                "ticket": chance.choice("AB"),
                "units": chance.choice([1, 2, "x"]),
                "priority": chance.choice("PQ"),
            },
        }
        events.append(event)
    return events


def play(chance: random.Random, events: list[dict[str, Any]]) -> None:
    """Send the events in any order, some twice, with evaluations and sweeps in between, till all is final."""
    now = factories.START
    unsent = events + chance.sample(events, k=len(events) // 3)
    chance.shuffle(unsent)
    while unsent:
        now += timedelta(hours=chance.choice([0, 1, 6, 30]))
        ready = [event for event in unsent if event["time"] <= now][: chance.randrange(1, 12)]
        if ready:
            results = factories.send(ready, now=now)
            assert {result.status for result in results} <= {"accepted", "duplicate"}
            unsent = [event for event in unsent if not any(event is sent for sent in ready)]
        if chance.random() < 0.6:
            evaluate_batch(now, size=chance.choice([1, 3, 100]))
        if chance.random() < 0.6:
            settle_due(now)
    evaluate_waiting(now)
    settle_due(now + timedelta(days=400))
    assert not Pending.objects.exists()


def booked() -> Counter[tuple[Any, ...]]:
    """What stands: outcomes by state, apart from beliefs that were withdrawn."""
    rows = Outcome.objects.exclude(state="superseded").exclude(
        id__in=Journal.objects.filter(from_state="confirmed", to_state="reversed", cause="late").values("outcome")
    )
    return Counter(
        (o.subject_id, o.state, o.met_by_seq, o.met_at, o.settled_at, o.ended_at, str(o.quantity and o.quantity.normalize()),
         tuple(sorted(o.dimensions.items())), tuple(o.review) if o.state == "confirmed" else ())
        for o in rows
    )  # fmt: skip


def computed() -> Counter[tuple[Any, ...]]:
    """What the pure lifecycle says of the same events in order."""
    expected: Counter[tuple[Any, ...]] = Counter()
    rules = all_rules()
    with connection.cursor() as cursor:
        for subject in Subject.objects.all():
            fold = replay(rules[subject.condition_id], read_history(cursor, subject.pk), until=2**61)
            for a in fold.touched.values():
                value = fold.value(a)
                final = value is not None and a.state in ("confirmed", "reversed")
                instants = [None if at is None else from_us(at) for at in (a.met_at, a.settled_at, a.ended_at)]
                expected[
                    subject.pk, a.state, a.met_by, *instants,
                    str(value.quantity and value.quantity.normalize()) if final and value else "None",
                    tuple(sorted(value.dimensions.items())) if final and value else (),
                    value.review if value and a.state == "confirmed" else (),
                ] += 1  # fmt: skip
    return expected


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(20))
def test_any_arrival_gives_the_in_order_outcomes(seed: int) -> None:
    chance = random.Random(seed)
    for key in ("acme", "globex"):
        factories.customer(key)
    for text in CONDITIONS.values():
        factories.condition(text)
    play(chance, history(chance, chance.choice([5, 20, 60])))
    here, there = booked(), computed()
    # What was reversed stays reversed: it bills nothing, also where later evidence says it never was.
    assert {row: n for row, n in (here - there).items() if row[1] != "reversed"} == {}
    assert there - here == Counter()
    moves = set(Journal.objects.values_list("from_state", "to_state")) - {
        (state, state) for state in ("open", "provisional", "confirmed", "reversed", "void", "missed")
    }
    assert moves <= LEGAL
    confirmations = Counter(
        Journal.objects.filter(to_state="confirmed", from_state="provisional").values_list("outcome", flat=True)
    )
    assert set(confirmations.values()) <= {1}
    for outcome in Outcome.objects.all():
        last = outcome.journal.order_by("-id").first()
        assert last is not None
        assert last.to_state == outcome.state


@pytest.mark.django_db
def test_late_evidence_reverses_and_adds(at: Any) -> None:
    """Confirmed on what was known; then an escalation from before arrives: the charge is taken back."""
    factories.customer()
    factories.condition(TICKET)
    factories.say("closed", at(2026, 1, 1, 10), now=at(2026, 1, 1, 10))
    evaluate_waiting(at(2026, 1, 1, 10))
    settle_due(at(2026, 1, 2))
    [outcome] = Outcome.objects.all()
    assert outcome.state == "confirmed"
    factories.say("escalated", at(2026, 1, 1, 9), now=at(2026, 1, 3))
    evaluate_waiting(at(2026, 1, 3))
    states = list(Outcome.objects.order_by("ordinal").values_list("state", flat=True))
    assert states == ["reversed", "open"]
    entries = list(outcome.journal.values_list("from_state", "to_state", "cause", "clause"))
    assert entries[-1] == ("confirmed", "reversed", "late", "late evidence")


@pytest.mark.django_db
def test_nothing_settles_past_an_event_that_waits(at: Any) -> None:
    """The watermark: an accepted event is seen before anything it could touch becomes final."""
    factories.customer()
    factories.condition(TICKET)
    factories.say("closed", at(2026, 1, 1, 10), now=at(2026, 1, 1, 10))
    evaluate_waiting(at(2026, 1, 1, 10))
    factories.say("reopened", at(2026, 1, 1, 12), now=at(2026, 1, 9))
    assert settle_due(at(2026, 1, 9)).total() == 0
    evaluate_waiting(at(2026, 1, 9))
    settle_due(at(2026, 1, 9))
    assert [o.state for o in Outcome.objects.all()] == ["void"]


@pytest.mark.django_db
def test_an_attempt_is_written_once_however_often_the_batch_is_tried(at: Any) -> None:
    """A crash at the end of a batch rolls all of it back: nothing is folded twice, nothing is skipped."""
    factories.customer()
    factories.condition(TICKET)
    factories.say("closed", at(2026, 1, 1, 10), now=at(2026, 1, 1, 10))

    class Crash(BaseException):
        pass

    for _ in range(3):
        with pytest.raises(Crash), transaction.atomic():
            evaluate_batch(at(2026, 1, 1, 11))
            raise Crash
    assert Pending.objects.count() == 1
    evaluate_waiting(at(2026, 1, 1, 11))
    assert Outcome.objects.count() == 1
    assert Journal.objects.count() == 2


@pytest.mark.django_db
def test_an_attempt_that_late_evidence_moves_into_another_version_takes_its_repetition_over(at: Any) -> None:
    """The first version bills a subject once, the next one again and again; the index that guards the first must not
    bind the second.
    """
    factories.customer()
    once = TICKET.replace("void when reopened\n", "")
    factories.condition(once)
    factories.condition(once + "repeat when reopened.later\n", effective_from=at(2026, 1, 1, 10))
    factories.say("reopened", at(2026, 1, 1, 9), now=at(2026, 1, 1, 12))
    factories.say("closed", at(2026, 1, 1, 11), now=at(2026, 1, 1, 12))
    evaluate_waiting(at(2026, 1, 1, 12))
    [outcome] = Outcome.objects.all()
    assert (outcome.version.number, outcome.single) == (1, True)
    # Closed before: that was confirmed and then credited by the reopening, so the later attempt begins at 11.
    factories.say("closed", at(2026, 1, 1, 2), now=at(2026, 1, 1, 13))
    evaluate_waiting(at(2026, 1, 1, 13))
    outcome.refresh_from_db()
    assert (outcome.state, outcome.version.number, outcome.single) == ("provisional", 2, False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("first", "again", "state"), [("closed", "closed", "confirmed"), ("escalated", "escalated", "missed")]
)
def test_late_evidence_that_changes_nothing_leaves_what_is_booked(first: str, again: str, state: str, at: Any) -> None:
    """A second closing that arrives after the first was settled: the outcome stands, and is not billed anew."""
    factories.customer()
    factories.condition(TICKET.replace("expire after 50 hours", "expire after 5 hours"))
    factories.say(first, at(2026, 1, 1, 10), now=at(2026, 1, 3))
    evaluate_waiting(at(2026, 1, 3))
    settle_due(at(2026, 1, 3))
    before = list(Outcome.objects.values_list("id", "state"))
    assert [found for _, found in before] == [state]
    factories.say(again, at(2026, 1, 1, 11), now=at(2026, 1, 3))
    evaluate_waiting(at(2026, 1, 3))
    settle_due(at(2026, 1, 3))
    assert list(Outcome.objects.values_list("id", "state")) == before
    # The attempt that was missed is so an hour later: silence began with the second event.
    assert list(Journal.objects.filter(cause="late").values_list("clause", flat=True)) == (
        [] if state == "confirmed" else ["restated"]
    )


@pytest.mark.django_db
def test_late_evidence_that_moves_the_end_of_a_window_restates_what_is_booked(at: Any) -> None:
    factories.customer()
    factories.condition(SILENCE)
    factories.say("closed", at(2026, 1, 1, 10), now=at(2026, 1, 3))
    evaluate_waiting(at(2026, 1, 3))
    settle_due(at(2026, 1, 3))
    factories.say("closed", at(2026, 1, 1, 12), now=at(2026, 1, 3))
    evaluate_waiting(at(2026, 1, 3))
    [outcome] = Outcome.objects.all()
    assert (outcome.state, outcome.settled_at) == ("confirmed", at(2026, 1, 1, 17))
    assert outcome.journal.latest("id").clause == "restated"
    # Moved to where it is not over yet, it is no longer confirmed.
    factories.say("closed", at(2026, 1, 1, 16), now=at(2026, 1, 1, 18))
    evaluate_waiting(at(2026, 1, 1, 18))
    assert list(Outcome.objects.order_by("ordinal").values_list("state", flat=True)) == ["reversed", "provisional"]


@pytest.mark.django_db
def test_what_waits_to_be_booked_gives_way_to_what_late_evidence_computes(at: Any) -> None:
    """Confirmed, its reversal computed and not booked yet; then an earlier reopening arrives: it is reversed once."""
    factories.customer()
    factories.condition(TICKET)
    for kind, hour in (("closed", 0), ("reopened", 7)):
        factories.say(kind, at(2026, 1, 1, hour), now=at(2026, 1, 2))
    evaluate_waiting(at(2026, 1, 2))
    settle_due(at(2026, 1, 2), until=at(2026, 1, 1, 6))
    outcome = Outcome.objects.get()
    assert (outcome.state, outcome.due_at) == ("confirmed", at(2026, 1, 1, 7))
    factories.say("reopened", at(2026, 1, 1, 6), now=at(2026, 1, 2))
    evaluate_waiting(at(2026, 1, 2))
    settle_due(at(2026, 1, 2))
    outcome = Outcome.objects.get(id=outcome.id)
    assert (outcome.state, outcome.ended_at, outcome.due_at) == ("reversed", at(2026, 1, 1, 6), None)
    moves = list(outcome.journal.order_by("id").values_list("from_state", "to_state"))
    assert moves[-2:] == [("provisional", "confirmed"), ("confirmed", "reversed")]


@pytest.mark.django_db
def test_of_two_versions_the_one_that_started_last_is_in_force_whichever_was_made_last(at: Any) -> None:
    """contracts says so of conditions, too (`contracts.versions.in_force`)."""
    factories.customer()
    factories.condition(TICKET)
    for hour in (9, 8):
        factories.condition(TICKET.replace("5 hours", f"{hour} hours"), effective_from=at(2026, 1, 1, hour))
    for hour in (7, 8, 9):
        factories.say("closed", at(2026, 1, 1, hour), now=at(2026, 1, 1, 10), ticket=str(hour))
    evaluate_waiting(at(2026, 1, 1, 10))
    numbers = Outcome.objects.order_by("subject__key").values_list("subject__key", "version__number")
    assert list(numbers) == [("7", 1), ("8", 3), ("9", 2)]
