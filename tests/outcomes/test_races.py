"""Several callers at once, each on a connection of its own: what only locks and the order of commits decide."""

import itertools
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from access.invariants import Scope, check
from outcomes import decisions, imports, inbox
from outcomes.audit import INVARIANTS
from outcomes.backfill import plan
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.intake import ImportClosed
from outcomes.models import Event, ImportCustomer, InboxItem, Journal, Outcome, Pending, Subject, SubjectEvent
from settlement.sweep import FRONT_LOCK, settle_due
from tests.access.conftest import Api
from tests.contracts.test_races import Other, meanwhile
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.usefixtures("committed")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = START + 20 * DAY
# LAW_SEEDS=100 races more often.
SEEDS = int(os.environ.get("LAW_SEEDS", "6"))


def event(
    name: str, kind: str = "closed", hours: float = 0, customer: str = "acme", ticket: str = "T"
) -> dict[str, Any]:
    return {"id": name, "type": kind, "customer": customer, "time": START + hours * HOUR, "data": {"ticket": ticket}}


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Start the calls together, each on its own connection; their answers, or the exceptions they raised."""
    barrier = threading.Barrier(len(calls))

    def wait_then(call: Callable[[], Any]) -> Any:
        barrier.wait(60)
        return call()

    others = [Other(lambda call=call: wait_then(call)) for call in calls]  # type: ignore[misc]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
        assert not other.is_alive()
    for other in others:
        if isinstance(other.result, Exception):
            raise other.result
    return [other.result for other in others]


@contextmanager
def uncommitted(call: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """While the block runs, another connection has made the call and not yet committed it; or until what is given is
    called.
    """
    made, go_on = threading.Event(), threading.Event()

    def make_and_wait() -> None:
        with transaction.atomic():
            call()
            made.set()
            assert go_on.wait(60)

    def end() -> None:
        go_on.set()
        other.join(60)

    other = Other(make_and_wait)
    other.start()
    try:
        assert made.wait(60), other.result
        yield end
    finally:
        end()
    assert other.result is None


def chain(outcome: Outcome) -> list[str]:
    """The states an outcome went through; each journal row goes on where the one before ended."""
    entries = list(outcome.journal.order_by("id"))
    for before, after in itertools.pairwise(entries):
        assert after.from_state == before.to_state, [str(entry) for entry in entries]
    assert entries[-1].to_state == outcome.state
    return [entry.to_state for entry in entries]


# --- intake -----------------------------------------------------------------------------------------------------------


def test_fifty_posts_of_one_event_store_it_once(committed_api: Api) -> None:
    factories.customer()
    body = {"id": "e1", "type": "closed", "customer": "acme", "data": {"ticket": "T"}}

    def post() -> tuple[int, bytes]:
        response = Api(committed_api.key).post("/v1/events", body)
        return response.status_code, response.content

    answers = Counter(at_once(*[post] * 50))
    assert answers == {(202, b'{"id":"e1","status":"accepted"}'): 1, (202, b'{"id":"e1","status":"duplicate"}'): 49}
    assert Event.objects.count() == Pending.objects.count() == 1


def test_overlapping_batches_in_any_order_neither_deadlock_nor_double() -> None:
    factories.customer()
    events = [event(f"e{n}") for n in range(200)]

    def post(seed: int) -> Counter[str]:
        chance = random.Random(seed)
        return Counter(result.status for result in send(chance.sample(events, k=len(events)), now=NOW))

    total = sum(at_once(*[lambda seed=seed: post(seed) for seed in range(6)]), Counter())  # type: ignore[misc]
    assert total == {"accepted": 200, "duplicate": 1000}
    assert Event.objects.count() == 200


def test_a_conflict_with_what_is_just_being_stored_waits_for_its_fate() -> None:
    for rolls_back, verdict in ((False, "id_conflict"), (True, "")):
        factories.customer(key := f"acme{rolls_back}")
        with meanwhile(
            lambda: send([event("e1", "reopened", customer=key)], now=NOW), then_roll_back=rolls_back
        ) as other:
            send([event("e1", customer=key)], now=NOW)
        assert [result.code for result in other.result] == [verdict]


def test_two_retries_of_the_inbox_accept_each_event_once() -> None:
    send([event(f"e{n}") for n in range(60)], now=NOW)
    factories.customer()
    tallies = at_once(*[lambda: inbox.retry(inbox.waiting(), now=NOW)] * 3)
    assert sum(tallies, Counter()) == {"accepted": 60}
    assert Event.objects.count() == 60
    assert set(InboxItem.objects.values_list("status", "attempts")) == {("resolved", 1)}


# --- imports ----------------------------------------------------------------------------------------------------------


def test_closing_an_import_waits_for_the_batch_that_is_being_stored() -> None:
    customer = factories.customer()
    opened = imports.open_import(now=NOW)
    with meanwhile(lambda: imports.close_import(opened.id, now=NOW)) as other:
        send([event("e1")], now=NOW, import_id=opened.id)
    assert other.result.closed_at == NOW
    assert Event.objects.get().batch_import_id == opened.id
    assert ImportCustomer.objects.get().customer == customer


def test_a_batch_that_comes_while_the_import_is_being_closed_is_refused() -> None:
    factories.customer()
    opened = imports.open_import(now=NOW)
    with meanwhile(lambda: send([event("e1")], now=NOW, import_id=opened.id)) as other:
        imports.close_import(opened.id, now=NOW)
    assert isinstance(other.result, ImportClosed)
    assert not Event.objects.exists()


def test_two_batches_of_one_import_do_not_wait_for_each_other() -> None:
    factories.customer()
    opened = imports.open_import(now=NOW)
    with uncommitted(lambda: send([event("e1")], now=NOW, import_id=opened.id)), connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '60s'")
        factories.customer("globex")
        send([event("e2", customer="globex")], now=NOW, import_id=opened.id)
    assert ImportCustomer.objects.count() == 2


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_workers_on_the_same_partitions_evaluate_each_event_once(settings: Any) -> None:
    settings.EVALUATION_BATCH = 25
    factories.condition(TICKET)
    plan(NOW)  # or workers may bring it once more what others are evaluating
    customers = [factories.customer(f"c{n}").key for n in range(5)]
    chance = random.Random(1)
    events = [
        event(
            f"e{n}", chance.choice(["closed", "reopened", "escalated"]), n / 10, chance.choice(customers), f"T{n % 9}"
        )
        for n in range(400)
    ]
    send(events, now=NOW)

    def work() -> int:
        done = 0
        while Pending.objects.exists():
            done += evaluate_waiting(NOW)
        return done

    assert sum(at_once(*[work] * 3)) == len(events)
    assert SubjectEvent.objects.count() == len(events)
    assert Subject.objects.count() == len({(e["customer"], e["data"]["ticket"]) for e in events})
    for outcome in Outcome.objects.all():
        chain(outcome)


def test_a_partition_that_another_worker_holds_is_passed_over() -> None:
    factories.condition(TICKET)
    factories.customer()
    send([event("e1")], now=NOW)
    with uncommitted(lambda: evaluate_batch(NOW)):
        assert evaluate_waiting(NOW) == 0
        assert settle_due(NOW) == Counter(), "what is not committed still waits"
    assert evaluate_waiting(NOW) == 0
    assert settle_due(NOW) == Counter(confirmed=1)


def test_early_numbers_that_commit_late_are_not_skipped() -> None:
    factories.condition(TICKET)
    factories.customer()
    with uncommitted(lambda: send([event("early", "closed", 0)], now=NOW)):
        send([event("late", "reopened", 1)], now=NOW)
        assert evaluate_waiting(NOW) == 1
        assert [o.state for o in Outcome.objects.all()] == ["open"]
    assert evaluate_waiting(NOW) == 1
    settle_due(NOW)
    early, late = Event.objects.order_by("seq")
    assert (early.event_id, late.event_id) == ("early", "late")
    standing = Outcome.objects.exclude(state="superseded").get()
    assert (standing.state, standing.ended_by_seq) == ("void", late.seq)


def test_a_connection_that_breaks_is_no_stalled_partition(caplog: pytest.LogCaptureFixture) -> None:
    factories.condition(TICKET)
    factories.customer()
    send([event("e1")], now=NOW)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()

    def kill() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    at_once(kill)
    assert evaluate_waiting(NOW) == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_database_that_is_away_is_an_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", str(tmp_path))
        with pytest.raises(OperationalError):
            evaluate_waiting(NOW)
        connection.close()


# --- settlement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
def test_sweep_against_evaluation_leaves_one_end_and_an_unbroken_journal(seed: int, monkeypatch: Any) -> None:
    """Each ticket is due, and an event from before its due instant arrives while sweeps run. Whoever comes first, the
    journal goes on from where it was, and the net is what in-order arrival would have billed.
    """
    chance = random.Random(seed)
    monkeypatch.setattr("settlement.sweep.BATCH", chance.choice([1, 3, 1000]))
    factories.condition(TICKET)
    factories.customer()
    tickets = {f"T{n}": chance.choice(["closed", "reopened"]) for n in range(12)}
    send([event(f"first {ticket}", kind, 0, ticket=ticket) for ticket, kind in tickets.items()], now=NOW)
    evaluate_waiting(NOW)
    # Closed at 0: due at 5, voided at 4. Opened at 0: missed at 50, met at 40 and due at 45.
    follows = {"closed": ("reopened", 4), "reopened": ("closed", 40)}
    late = [event(f"then {ticket}", *follows[kind], ticket=ticket) for ticket, kind in tickets.items()]
    chance.shuffle(late)

    def arrive() -> None:
        while late:
            send([late.pop() for _ in range(min(len(late), chance.randrange(1, 5)))], now=NOW)
            evaluate_waiting(NOW)

    def sweep() -> None:
        for _ in range(6):
            settle_due(NOW)

    at_once(arrive, sweep)
    settle_due(NOW)
    for ticket, kind in tickets.items():
        chains = [chain(outcome) for outcome in Outcome.objects.filter(subject__key=ticket).order_by("ordinal")]
        net = sum(states[-1] == "confirmed" for states in chains)
        if kind == "closed":
            assert net == 0
            assert chains[0] in (["open", "provisional", "void"], ["open", "provisional", "confirmed", "reversed"])
        else:
            assert net == 1
            assert chains[0] in (["open", "provisional", "confirmed"], ["open", "missed", "superseded"])
        ends = Counter(states[-1] for states in chains if states[-1] not in ("reversed", "superseded"))
        assert ends == {"void" if kind == "closed" else "confirmed": 1}


def test_sweeps_at_once_book_each_outcome_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.sweep.BATCH", 7)
    factories.condition(TICKET)
    factories.customer()
    by_clock = [event(f"c{n}", ticket=f"C{n}") for n in range(100)]
    queued = [
        event(f"q{n}{kind}", kind, hours, ticket=f"Q{n}")
        for n in range(50)
        for kind, hours in (("closed", 0), ("reopened", 7))
    ]
    send(by_clock + queued, now=NOW)
    evaluate_waiting(NOW)
    booked = sum(at_once(*[lambda: settle_due(NOW)] * 3), Counter())
    booked += settle_due(NOW)  # what every sweep passed over, because another held it
    assert booked == {"confirmed": 150, "reversed": 50}
    assert Counter(Journal.objects.filter(cause="clock").values_list("to_state", flat=True)) == {"confirmed": 150}
    assert Counter(Outcome.objects.values_list("state", flat=True)) == {"confirmed": 100, "reversed": 50}
    for outcome in Outcome.objects.all():
        chain(outcome)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_an_event_accepted_before_the_sweep_began_wins(seed: int, monkeypatch: Any) -> None:
    """Every ticket is due, and what follows is accepted and waits. Sweeps and evaluations run against each other: no
    ticket is confirmed that its events leave unbilled, and each change is booked once.
    """
    chance = random.Random(seed)
    monkeypatch.setattr("settlement.sweep.BATCH", chance.choice([1, 3, 1000]))
    factories.condition(TICKET)
    customers = [factories.customer(f"c{n}").key for n in range(3)]
    tickets = {f"T{n}": chance.choice(customers) for n in range(SEEDS)}
    send([event(ticket, customer=customer, ticket=ticket) for ticket, customer in tickets.items()], now=NOW)
    evaluate_waiting(NOW)
    tick = 1 / 3600e6
    # Closed at 0, so due at 5.
    follows: dict[tuple[str, float] | None, list[str]] = {
        None: ["confirmed"],
        ("reopened", 4): ["void"],
        ("reopened", 5 - tick): ["void"],
        ("reopened", 5): ["confirmed", "reversed"],
        ("reopened", 5 + tick): ["confirmed", "reversed"],
        ("escalated", 5 - tick): ["open", "missed"],
        ("escalated", 5): ["confirmed"],
    }
    told = {ticket: chance.choice(list(follows)) for ticket in tickets}
    then = [
        event(f"then {ticket}", kind, hours, customer=tickets[ticket], ticket=ticket)
        for ticket, (kind, hours) in ((ticket, follow) for ticket, follow in told.items() if follow)
    ]
    chance.shuffle(then)
    send(then, now=NOW)

    def evaluate() -> None:
        while evaluate_batch(NOW, size=chance.choice([1, 2, 5])).events:
            pass

    def sweep() -> None:
        for _ in range(8):
            settle_due(NOW)

    at_once(evaluate, sweep, sweep)
    settle_due(NOW)
    for ticket, follow in told.items():
        assert chain(Outcome.objects.get(subject__key=ticket)) == ["open", "provisional", *follows[follow]], follow


@pytest.mark.parametrize("seed", range(SEEDS))
def test_sweeps_at_once_book_the_attempts_of_a_subject_in_their_order(seed: int, monkeypatch: Any) -> None:
    """Charged, taken back and charged again before any sweep came by, then booked up to anywhere: however the sweeps
    share the rows of a subject, never are two of its charges confirmed at once, and none stumbles over another.
    """
    chance = random.Random(seed)
    monkeypatch.setattr("settlement.sweep.BATCH", chance.choice([1, 2, 5, 1000]))
    factories.condition(TICKET)
    factories.customer()
    attempts = {f"T{n}": chance.randrange(1, 5) for n in range(12)}
    events = []
    for ticket, count in attempts.items():
        for n in range(count):
            events += [event(f"{ticket} closed {n}", "closed", 7 * n, ticket=ticket)]
            events += [event(f"{ticket} reopened {n}", "reopened", 7 * n + 6, ticket=ticket)] if n < count - 1 else []
    send(events, now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW, until=START + chance.choice([0, 5, 5.5, 12, 12.5, 19]) * HOUR)

    def sweep() -> Counter[str]:
        return sum((settle_due(NOW) for _ in range(3)), Counter())

    at_once(sweep, sweep, sweep)
    settle_due(NOW)
    for ticket, count in attempts.items():
        chains = [chain(outcome) for outcome in Outcome.objects.filter(subject__key=ticket).order_by("ordinal")]
        begun = ["open", "provisional", "confirmed"]
        assert chains == [[*begun, "reversed"]] * (count - 1) + [begun]


def test_a_sweep_passes_over_what_an_evaluation_holds_and_takes_the_rest() -> None:
    factories.condition(TICKET)
    for customer in ("acme", "globex"):
        factories.customer(customer)
        send([event("e1", customer=customer)], now=NOW)
    evaluate_waiting(NOW)

    def hold() -> None:
        list(Outcome.objects.filter(customer__key="acme").select_for_update())

    with uncommitted(hold):
        assert settle_due(NOW) == Counter(confirmed=1)
    assert settle_due(NOW) == Counter(confirmed=1)


def take_front() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [FRONT_LOCK])


def test_beside_a_batch_that_has_the_front_a_sweep_begins_at_the_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.sweep.BATCH", 2)
    factories.condition(TICKET)
    factories.customer()
    send([event(f"e{hour}", hours=hour, ticket=f"T{hour}") for hour in range(5)], now=NOW)
    evaluate_waiting(NOW)
    with uncommitted(take_front):
        assert settle_due(NOW, until=START + 8 * HOUR) == Counter(confirmed=4)
    assert settle_due(NOW) == Counter(confirmed=1)
    booked = Journal.objects.filter(to_state="confirmed").order_by("id").values_list("effective_at", flat=True)
    # Each batch in order of due, the last one first.
    assert [(at - START) / HOUR for at in booked] == [7, 8, 5, 6, 9]


def test_a_sweep_that_began_at_the_back_goes_on_in_front_once_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.sweep.BATCH", 2)
    factories.condition(TICKET)
    factories.customer()
    send([event(f"e{hour}", hours=hour, ticket=f"T{hour}") for hour in range(6)], now=NOW)
    evaluate_waiting(NOW)
    with uncommitted(take_front) as release:
        assert settle_due(NOW, progress=lambda _: release()) == Counter(confirmed=6)
    booked = Journal.objects.filter(to_state="confirmed").order_by("id").values_list("effective_at", flat=True)
    assert [(at - START) / HOUR for at in booked] == [9, 10, 5, 6, 7, 8]


@pytest.mark.parametrize("from_the_back", [False, True])
@pytest.mark.parametrize("booked_until", [0, 5.5])
def test_a_charge_waits_while_the_reversal_of_the_one_before_is_in_other_hands(
    booked_until: float, from_the_back: bool
) -> None:
    """Two confirmed charges of one subject are refused by the database: the sweep must not run into that, which would
    take everything else of its batch along.
    """
    factories.condition(TICKET)
    factories.customer()
    send([event("a", "closed", 0), event("b", "reopened", 6), event("c", "closed", 7)], now=NOW)
    send([event("else", "closed", 0, ticket="E")], now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW, until=START + booked_until * HOUR)

    def hold() -> None:
        list(Outcome.objects.filter(subject__key="T", ordinal=1).select_for_update())
        if from_the_back:
            take_front()

    with uncommitted(hold):
        settle_due(NOW)
        assert Outcome.objects.get(subject__key="E").state == "confirmed"
        state = "confirmed" if booked_until else "provisional"
        assert list(Outcome.objects.filter(subject__key="T").order_by("ordinal").values_list("state", flat=True)) == [
            state,
            "provisional",
        ]
    settle_due(NOW)
    assert list(Outcome.objects.filter(subject__key="T").order_by("ordinal").values_list("state", flat=True)) == [
        "reversed",
        "confirmed",
    ]


# --- people's decisions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
def test_taking_back_against_sweep_and_events_leaves_one_end(seed: int, monkeypatch: Any) -> None:
    """Every ticket is due and is taken back while sweeps run and more events arrive. Whoever comes first: each outcome
    has one end and an unbroken journal, every decision stands, and the audit computes the same.
    """
    chance = random.Random(seed)
    monkeypatch.setattr("settlement.sweep.BATCH", chance.choice([1, 3, 1000]))
    factories.condition(TICKET)
    factories.customer()
    tickets = [f"T{n}" for n in range(10)]
    send([event(f"first {ticket}", ticket=ticket) for ticket in tickets], now=NOW)
    evaluate_waiting(NOW)
    outcomes = list(Outcome.objects.values_list("id", flat=True))
    refused = []

    def take_back() -> None:
        for pk in chance.sample(outcomes, k=len(outcomes)):
            try:
                decisions.take_back(pk, now=NOW, actor="Ann", reason="race")
            except decisions.NotPossible as refusal:
                refused.append(refusal.state)

    def arrive() -> None:
        for n, ticket in enumerate(tickets):
            send([event(f"then {ticket}", chance.choice(["reopened", "closed"]), n % 5, ticket=ticket)], now=NOW)
            evaluate_waiting(NOW)

    def sweep() -> None:
        for _ in range(5):
            settle_due(NOW)

    at_once(take_back, arrive, sweep)
    settle_due(NOW)
    for pk in outcomes:
        states = chain(Outcome.objects.get(pk=pk))
        ends = [state for state in states if state in ("void", "reversed")]
        assert len(ends) == 1, states
    assert set(refused) <= {"void", "reversed"}
    for result in check(INVARIANTS, Scope(now=NOW, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", []), result.invariant.name


def test_two_people_take_one_outcome_back_once() -> None:
    factories.condition(TICKET)
    factories.customer()
    send([event("e1")], now=NOW)
    evaluate_waiting(NOW)
    outcome = Outcome.objects.get()

    def take_back() -> str:
        try:
            return decisions.take_back(outcome.pk, now=START + HOUR, actor="Ann", reason="race").state
        except decisions.NotPossible as refusal:
            return f"not possible: {refusal.state}"

    assert Counter(at_once(*[take_back] * 4)) == {"void": 1, "not possible: void": 3}
    assert chain(Outcome.objects.get()) == ["open", "provisional", "void"]
