"""What people decide: an input of every replay, undone by no event, in the journal with a name and a reason."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from access.invariants import Scope, check
from outcomes import decisions, imports
from outcomes.audit import INVARIANTS
from outcomes.decisions import NotPossible
from outcomes.domain.lifecycle import COMPLETE, TAKE_BACK, Decision, replay
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.models import Decision as Row
from outcomes.models import Journal, Outcome
from outcomes.recompute import recompute
from settlement.audit import INVARIANTS as SETTLED
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, say, send
from tests.outcomes.test_lifecycle import REPEATING, TICKET, rules, states, story

HOUR = timedelta(hours=1)
H = 3_600_000_000
SUMMED = (
    'outcome summed "Summed"\nper ticket\nbill when closed\nsettle after 5 hours\nquantity latest units of counted\n'
)


# --- the pure function ------------------------------------------------------------------------------------------------


def back(at: int, *, met: tuple[int, int]) -> Decision:
    """Take back, at that instant, the attempt whose meeting event has this (time, seq)."""
    return Decision(at, TAKE_BACK, *met, actor="Ann", reason="mistake")


TABLE: list[tuple[str, str, Sequence[tuple[Any, ...]], list[Decision], int, list[tuple[Any, ...]]]] = [
    ("in the window: void", TICKET, [("closed", 0)], [back(H, met=(0, 1))], 9 * H, [("void", 0, None, H)]),
    ("one microsecond before its end: void", TICKET, [("closed", 0)], [back(5 * H - 1, met=(0, 1))], 9 * H,
     [("void", 0, None, 5 * H - 1)]),
    ("at its end: confirmed, and reversed in the same instant", TICKET, [("closed", 0)], [back(5 * H, met=(0, 1))],
     9 * H, [("reversed", 0, 5 * H, 5 * H)]),
    ("after it: reversed", TICKET, [("closed", 0)], [back(8 * H, met=(0, 1))], 9 * H, [("reversed", 0, 5 * H, 8 * H)]),
    ("the next event begins a new attempt", TICKET, [("closed", 0), ("closed", 2 * H)], [back(H, met=(0, 1))], 9 * H,
     [("void", 0, None, H), ("confirmed", 2 * H, 7 * H, None)]),
    ("an event of the same instant comes after it", TICKET, [("closed", 0), ("closed", H)], [back(H, met=(0, 1))],
     9 * H, [("void", 0, None, H), ("confirmed", H, 6 * H, None)]),
    ("after a reversal, too", TICKET, [("closed", 0), ("closed", 9 * H)], [back(8 * H, met=(0, 1))], 20 * H,
     [("reversed", 0, 5 * H, 8 * H), ("confirmed", 9 * H, 14 * H, None)]),
    ("an earlier event met it instead: it stays taken back", TICKET, [("closed", 0), ("closed", H)],
     [back(3 * H, met=(H, 2))], 9 * H, [("void", 0, None, 3 * H)]),
    ("it was open again by then: it ends void, too", TICKET, [("closed", 0), ("escalated", H)],
     [back(3 * H, met=(0, 1))], 9 * H, [("void", None, None, 3 * H)]),
    ("events had voided it: nothing is left to decide", TICKET, [("closed", 0), ("reopened", H)],
     [back(3 * H, met=(0, 1))], 9 * H, [("void", 0, None, H)]),
    ("events had voided it, and what met it began another: that one", TICKET,
     [("closed", 0), ("reopened", H), ("closed", 2 * H)], [back(3 * H, met=(2 * H, 3))], 9 * H,
     [("void", 0, None, H), ("void", 2 * H, None, 3 * H)]),
    ("an older one of several", REPEATING, [("closed", 0), ("reopened.later", 20 * H), ("closed", 21 * H)],
     [back(30 * H, met=(0, 1))], 40 * H, [("reversed", 0, 5 * H, 30 * H), ("confirmed", 21 * H, 26 * H, None)]),
    ("twice: the second decides nothing", TICKET, [("closed", 0)],
     [back(H, met=(0, 1)), back(2 * H, met=(0, 1))], 9 * H, [("void", 0, None, H)]),
    ("one after the other", TICKET, [("closed", 0), ("closed", 2 * H)],
     [back(H, met=(0, 1)), back(3 * H, met=(2 * H, 2))], 9 * H, [("void", 0, None, H), ("void", 2 * H, None, 3 * H)]),
    ("of an attempt that there never was", TICKET, [("closed", 4 * H)], [back(3 * H, met=(H, 1))], 9 * H,
     [("confirmed", 4 * H, 9 * H, None)]),
]  # fmt: skip


@pytest.mark.parametrize(("_what", "text", "steps", "decided", "until", "expected"), TABLE, ids=[t[0] for t in TABLE])
def test_what_a_decision_does(
    _what: str, text: str, steps: Any, decided: list[Decision], until: int, expected: list[tuple[Any, ...]]
) -> None:
    assert states(replay(rules(text), story(*steps), decided, until=until)) == expected


def test_given_figures_stand_in_for_what_the_facts_do_not_tell() -> None:
    given = Decision(H, COMPLETE, 0, 1, "Ann", "asked the customer", quantity=Decimal(7))
    fold = replay(rules(SUMMED), story(("closed", 0)), [given], until=9 * H)
    [attempt] = fold.touched.values()
    value = fold.value(attempt)
    assert value is not None
    assert (attempt.state, value.quantity, value.review) == ("confirmed", 7, ())
    # What events tell later, or told late, does not move it.
    fold = replay(rules(SUMMED), story(("closed", 0), ("counted", 2 * H)), [given], until=9 * H)
    [attempt] = fold.touched.values()
    value = fold.value(attempt)
    assert value is not None
    assert value.quantity == 7


# --- on the database --------------------------------------------------------------------------------------------------


@pytest.fixture
def acme() -> Any:
    return factories.customer()


def tell(kind: str, hours: float, *, now: float | None = None, **data: Any) -> None:
    """One event, ``hours`` after the start, told at once or at ``now``; evaluated."""
    instant = START + (hours if now is None else now) * HOUR
    assert say(kind, START + hours * HOUR, now=instant, **data).status == "accepted"
    evaluate_waiting(instant)


def take_back(hours: float, outcome: Outcome | None = None) -> Outcome:
    found = outcome or Outcome.objects.get()
    return decisions.take_back(found.pk, now=START + hours * HOUR, actor="Ann", reason="mistake")


def steps(outcome: Outcome | None = None) -> list[tuple[Any, ...]]:
    rows = Journal.objects.filter(**({"outcome": outcome} if outcome else {})).order_by("id")
    return [(r.from_state, r.to_state, r.cause, r.clause, (r.effective_at - START) / HOUR) for r in rows]


def audited(hours: float) -> None:
    for result in check([*INVARIANTS, *SETTLED], Scope(now=START + hours * HOUR, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", []), result.invariant.name


@pytest.mark.django_db
def test_a_provisional_outcome_becomes_void(acme: Any) -> None:
    factories.condition(TICKET)
    tell("closed", 0)
    done = take_back(1)
    assert (done.state, done.ended_at, done.quantity, done.due_at) == ("void", START + HOUR, None, None)
    assert steps()[-1] == ("provisional", "void", "person", "void", 1)
    last = Journal.objects.latest("id")
    assert (last.actor, last.reason) == ("Ann", "mistake")
    assert settle_due(START + 9 * HOUR) == {}
    with pytest.raises(NotPossible, match="The outcome is void"):
        take_back(2)
    audited(9)


@pytest.mark.django_db
def test_a_confirmed_outcome_is_reversed_and_the_next_event_may_bill_again(acme: Any) -> None:
    factories.condition(TICKET)
    tell("closed", 0)
    settle_due(START + 6 * HOUR)
    done = take_back(7)
    assert (done.state, done.settled_at, done.ended_at, done.quantity) == (
        "reversed", START + 5 * HOUR, START + 7 * HOUR, 1,
    )  # fmt: skip
    tell("closed", 8)
    settle_due(START + 20 * HOUR)
    assert list(Outcome.objects.order_by("ordinal").values_list("state", flat=True)) == ["reversed", "confirmed"]
    audited(20)


@pytest.mark.django_db
@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize(
    ("kind", "hours"), [("closed", -1), ("escalated", -2), ("reopened", 0.5), ("escalated", 0.5), ("closed", 0.7)]
)
def test_no_late_event_undoes_it(acme: Any, kind: str, hours: float, settled: bool) -> None:
    """Whatever comes late: nothing of what was taken back is billed in the end."""
    factories.condition(TICKET)
    tell("closed", 0)
    if settled:
        settle_due(START + 6 * HOUR)
    take_back(7 if settled else 1)
    tell(kind, hours, now=8)
    settle_due(START + 99 * HOUR)
    billed = Outcome.objects.filter(state="confirmed")
    # Where late evidence ended the attempt before the meeting event, that event began one of its own: taken back, too.
    assert not billed.exists(), [steps(outcome) for outcome in billed]
    audited(99)


@pytest.mark.django_db
def test_what_the_clock_did_before_is_booked_with_it(acme: Any) -> None:
    """The window is over and an import holds settlement back: a person's decision waits for nobody."""
    factories.condition(TICKET)
    tell("closed", 0)
    opened = imports.open_import(now=START)
    event = {"id": "past", "type": "closed", "customer": "acme", "time": START, "data": {"ticket": "other", "units": 1}}
    send([event], now=START, import_id=opened.id)
    evaluate_waiting(START)
    settle_due(START + 6 * HOUR)
    outcome = Outcome.objects.get(subject__key="T")
    assert outcome.state == "provisional"
    assert take_back(7, outcome).state == "reversed"
    assert steps(outcome)[-2:] == [
        ("provisional", "confirmed", "clock", "settle", 5),
        ("confirmed", "reversed", "person", "reverse", 7),
    ]
    audited(7)


@pytest.mark.django_db
def test_a_missing_quantity_is_given_before_or_after_settlement(acme: Any) -> None:
    for settled in (False, True):
        ticket = f"T{settled}"
        factories.condition(SUMMED) if not settled else None
        tell("closed", float(settled), ticket=ticket)
        outcome = Outcome.objects.get(subject__key=ticket)
        assert outcome.review == ["quantity_unknown"]
        if settled:
            settle_due(START + 7 * HOUR)
        done = decisions.complete(
            outcome.pk, quantity=Decimal("2.5"), now=START + 8 * HOUR, actor="Ann", reason="asked"
        )
        assert (done.quantity, done.review) == (Decimal("2.5"), [])
        assert steps(outcome)[-1][1:4] == (done.state, "person", "complete")
        with pytest.raises(NotPossible, match="quantity of the outcome is not missing"):
            decisions.complete(outcome.pk, quantity=Decimal(3), now=START + 8 * HOUR, actor="Ann", reason="again")
        with pytest.raises(NotPossible, match="amount of the outcome is not missing"):
            decisions.complete(outcome.pk, amount=Decimal(3), now=START + 8 * HOUR, actor="Ann", reason="again")
    # The facts tell it late: the figure that was given stands, whatever order they come in.
    tell("counted", 0.5, now=8, ticket="TFalse", units=9)
    tell("counted", 9, ticket="TFalse", units=9)
    settle_due(START + 99 * HOUR)
    assert set(Outcome.objects.values_list("state", "quantity")) == {("confirmed", Decimal("2.5"))}
    audited(99)


@pytest.mark.django_db
def test_decisions_are_append_only(acme: Any) -> None:
    factories.condition(TICKET)
    tell("closed", 0)
    take_back(1)
    for statement in ("UPDATE outcomes_decision SET reason = 'x'", "DELETE FROM outcomes_decision"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.django_db
def test_recompute_keeps_what_was_decided_and_closed(acme: Any) -> None:
    factories.condition(TICKET)
    tell("closed", 0)
    take_back(2)
    recompute(Row.objects.get().subject_id, now=START + 3 * HOUR)
    tell("closed", 1, now=4)  # before the decision, so it belongs to what was taken back
    settle_due(START + 99 * HOUR)
    assert not Outcome.objects.filter(state="confirmed").exists()
    audited(99)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(6))
def test_any_events_and_decisions_leave_books_that_agree(acme: Any, seed: int) -> None:
    """Events in any order, decisions on what stands at any instant: the audit computes the same from both."""
    chance = random.Random(seed)
    factories.condition(chance.choice([TICKET, REPEATING, SUMMED]))
    kinds = ["closed", "closed", "escalated", "reopened", "reopened.later", "counted"]
    now, decided = START, 0
    for n in range(30):
        now += chance.choice([0, 0.2, 1, 4]) * HOUR
        time = now - chance.choice([0, 0, 0.5, 3, 12]) * HOUR
        data = {"ticket": chance.choice("TU"), "units": n % 3}
        send([{"id": f"e{n}", "type": chance.choice(kinds), "customer": "acme", "time": time, "data": data}], now=now)
        if chance.random() < 0.7:
            evaluate_batch(now)
        if chance.random() < 0.5:
            settle_due(now)
        for outcome in Outcome.objects.filter(state__in=decisions.DECIDABLE):
            if chance.random() < 0.12:
                decided += _decide_something(outcome, now, chance)
    evaluate_waiting(now)
    settle_due(now + 999 * HOUR)
    audited((now - START) / HOUR + 999)
    for row in Row.objects.filter(kind="take_back"):
        at = row.outcome.subject.outcomes.filter(met_at=row.met_at, met_by_seq=row.met_by_seq)
        assert not at.filter(state="confirmed").exists(), f"{row} came undone"


def _decide_something(outcome: Outcome, now: datetime, chance: random.Random) -> int:
    try:
        if outcome.review and chance.random() < 0.7:
            decisions.complete(outcome.pk, quantity=Decimal(chance.randrange(5)), now=now, actor="Ann", reason="x")
        else:
            decisions.take_back(outcome.pk, now=now, actor="Ann", reason="x")
    except NotPossible:
        return 0
    return 1


@pytest.mark.django_db
def test_what_waited_for_its_time_to_settle_and_is_taken_back_waits_for_nobody() -> None:
    factories.customer()
    factories.condition('outcome at "At"\nper ticket\nbill when closed\nsettle at latest due of closed\n')
    say("closed", START, now=START)
    evaluate_waiting(START)
    [outcome] = Outcome.objects.all()
    assert outcome.review == ["settle_time_unknown"]
    decisions.take_back(outcome.pk, now=START + HOUR, actor="Ann", reason="mistake")
    outcome.refresh_from_db()
    assert (outcome.state, outcome.review) == ("void", [])


@pytest.mark.django_db
def test_an_event_from_before_a_completion_gives_the_completed_outcome_back() -> None:
    """It is no late evidence, whatever was given meanwhile: the credit clause speaks of the outcome that is booked."""
    factories.customer()
    factories.condition(SUMMED + "credit within 30 hours when reopened\n")
    say("closed", START, now=START)
    evaluate_waiting(START)
    settle_due(START + 5 * HOUR)
    [outcome] = Outcome.objects.all()
    say("reopened", START + 6 * HOUR, now=START + 6 * HOUR)  # accepted, and not evaluated yet
    decisions.complete(outcome.pk, quantity=Decimal(3), now=START + 7 * HOUR, actor="Ann", reason="counted by hand")
    evaluate_waiting(START + 8 * HOUR)
    settle_due(START + 8 * HOUR)
    [outcome] = Outcome.objects.all()
    last = outcome.journal.order_by("id").last()
    assert last is not None
    assert (outcome.state, outcome.quantity, outcome.ended_at) == ("reversed", 3, START + 6 * HOUR)
    assert (last.to_state, last.clause) == ("reversed", "credit")
