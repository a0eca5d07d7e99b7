"""Advances, sweeps, evaluations and senders at once, each on a connection of its own."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from access.errors import ApiError
from access.invariants import Scope, check
from billing_project.management.commands.audit import collect
from contracts import clocks, models
from invoicing import billing
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Event, Journal, Pending
from settlement import clocks as advancing
from settlement.sweep import settle_due
from tests.access.conftest import Api, check_envelope
from tests.contracts.test_races import Other
from tests.outcomes import factories
from tests.outcomes.factories import START
from tests.outcomes.test_api import answer
from tests.outcomes.test_lifecycle import TICKET
from tests.outcomes.test_races import at_once
from tests.settlement.clocks import (
    DAY,
    HOUR,
    WALL,
    agree,
    clock_at,
    customer,
    forward,
    invoices_of,
    outcomes_of,
    rate_card,
    tell,
)

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def seller(committed: None) -> None:
    factories.condition(TICKET)
    rate_card("solved")


class Pausing:
    """A billing run that waits, the first time, until it is let go on: an advance is then in the middle of a step."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.real = billing.run_clocked

    def __call__(self, customers: Any, *, now: Any, wall: Any) -> Any:
        if not self.entered.is_set():
            self.entered.set()
            assert self.go_on.wait(60)
        return self.real(customers, now=now, wall=wall)


@pytest.fixture
def pausing(monkeypatch: pytest.MonkeyPatch) -> Pausing:
    made = Pausing()
    monkeypatch.setattr(billing, "run_clocked", made)
    return made


def begin(call: Callable[[], Any], pausing: Pausing) -> Other:
    other = Other(call)
    other.start()
    assert pausing.entered.wait(60)
    return other


def end(other: Other, pausing: Pausing) -> Any:
    pausing.go_on.set()
    other.join(60)
    assert not other.is_alive()
    if isinstance(other.result, Exception):
        raise other.result
    return other.result


def test_a_second_advance_is_refused_while_the_first_is_at_work(committed_api: Api, pausing: Pausing) -> None:
    clock = clock_at()
    customer("acme", clock)
    shown = models.TestClock.objects.get().public_id
    first = begin(lambda: forward(clock, START + DAY), pausing)
    assert answer(committed_api.get(f"/v1/test_clocks/{shown}"))["status"] == "advancing"
    assert [row["status"] for row in answer(committed_api.get("/v1/test_clocks"))["data"]] == ["advancing"]
    path, body = f"/v1/test_clocks/{shown}/advance", {"to": "2026-01-03T00:00:00Z"}
    refused = committed_api.post(path, body, Idempotency_Key="twice")
    check_envelope(refused, 409, "clock_busy")
    assert refused["Retry-After"] == "1"
    end(first, pausing)
    # What was told to come again is not what the key is answered with.
    assert answer(committed_api.post(path, body, Idempotency_Key="twice"))["now"] == "2026-01-03T00:00:00Z"
    assert answer(committed_api.get(f"/v1/test_clocks/{shown}"))["status"] == "ready"


def test_other_clocks_are_advanced_meanwhile(pausing: Pausing) -> None:
    one, two = clock_at(), clock_at()
    customer("one", one)
    first = begin(lambda: forward(one, START + DAY), pausing)
    forward(two, START + DAY)
    end(first, pausing)


def test_of_many_at_once_some_go_and_the_rest_are_busy() -> None:
    clock = clock_at()
    customer("acme", clock)
    agree("acme")
    tell("closed", START, "acme")

    def call() -> str:
        try:
            forward(clock, START + 40 * DAY)
        except ApiError as refusal:
            return refusal.code
        return "done"

    results = at_once(*[call] * 4)
    assert set(results) <= {"done", "clock_busy"} and "done" in results
    assert models.TestClock.objects.get().now == START + 40 * DAY
    assert [row[6] for row in invoices_of("acme")] == [200]
    assert Journal.objects.filter(to_state="confirmed").count() == 1


def test_an_event_sent_while_the_clock_advances_is_not_lost(pausing: Pausing) -> None:
    clock = clock_at()
    customer("acme", clock)
    agree("acme")
    tell("closed", START, "acme", "A")
    first = begin(lambda: forward(clock, START + 40 * DAY), pausing)
    assert tell("closed", None, "acme", "B") == "accepted"
    end(first, pausing)
    assert not Pending.objects.exists()
    assert {row[1]: row[3] for row in outcomes_of("acme")} == {"A": "confirmed", "B": "confirmed"}
    assert sum(row[6] for row in invoices_of("acme")) == 400


def test_an_advance_waits_for_who_evaluates_its_customers_events(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import connection, transaction

    from outcomes.evaluation import EVALUATION_LOCK

    clock = clock_at()
    acme = customer("acme", clock)
    tell("closed", START, "acme")
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [EVALUATION_LOCK, acme.partition])
            held.set()
            assert go_on.wait(60)

    holder = Other(hold)
    holder.start()
    assert held.wait(60)
    monkeypatch.setattr(advancing, "PATIENCE", 0.3)
    with pytest.raises(ApiError) as refusal:
        forward(clock, START + DAY)
    assert refusal.value.code == "clock_waits"
    assert models.TestClock.objects.get().now == START
    monkeypatch.setattr(advancing, "PATIENCE", 60)
    waiting = Other(lambda: forward(clock, START + DAY))
    waiting.start()
    time.sleep(0.2)
    go_on.set()
    for other in (holder, waiting):
        other.join(60)
        assert not isinstance(other.result, Exception), other.result
    assert [row[3] for row in outcomes_of("acme")] == ["confirmed"]


@pytest.mark.parametrize("again", range(2))
def test_beside_sweeps_evaluation_billing_and_senders(again: int) -> None:
    """A clock in the far past, one in the far future and a live customer, all at once; everybody gets what is due."""
    shifts = {"past": -4000 * DAY, "coming": 4000 * DAY}
    ids = {key: clock_at(START + shift) for key, shift in shifts.items()}
    for key, clock in ids.items():
        customer(key, clock)
        agree(key, starts_at=START + shifts[key])
    customer("live")
    agree("live")
    stop = threading.Event()

    def play(key: str) -> None:
        for day in range(0, 70, 14):
            at = START + shifts[key] + day * DAY
            while True:
                try:
                    forward(ids[key], at)
                    break
                except ApiError as refusal:
                    assert refusal.code in ("clock_waits", "clock_busy")
            assert tell("closed", at, key, f"T{day}") == "accepted"
        forward(ids[key], START + shifts[key] + 100 * DAY)

    def send() -> None:
        for n in range(20):
            assert tell("closed", WALL - n * HOUR, "live", f"L{n}") == "accepted"

    def work() -> None:
        while not stop.is_set():
            evaluate_waiting(WALL)
            settle_due(WALL)
            billing.run(now=WALL)

    workers = [Other(work), Other(work)]
    for worker in workers:
        worker.start()
    try:
        at_once(lambda: play("past"), lambda: play("coming"), send)
    finally:
        stop.set()
        for worker in workers:
            worker.join(60)
    for worker in workers:
        assert not isinstance(worker.result, Exception), worker.result
    evaluate_waiting(WALL)
    settle_due(WALL)
    assert Event.objects.count() == 30
    for key in ids:
        assert {row[3] for row in outcomes_of(key)} == {"confirmed"}
        assert sum(row[6] for row in invoices_of(key)) == 1000
        assert all(row[4] == row[2] for row in invoices_of(key))  # issued at the end of the period, by the clock
    assert clocks.nows() == {
        models.Customer.objects.get(key=key).id: START + shift + 100 * DAY for key, shift in shifts.items()
    }
    for result in check(collect(), Scope(now=WALL, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", []), result.invariant.name
