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
@pytest.mark.parametrize("seed", range(40))
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
