"""Simulations as jobs: split, worked on at once, twice, by workers that die; cancelled; summed up once."""

import json
from datetime import timedelta
from io import StringIO
from threading import Barrier, Thread
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing_project.celery import app
from simulation import jobs, results, tasks
from simulation.engine import Found
from simulation.examples import Examples
from simulation.models import CellRow, Part, Simulation
from simulation.run import simulate
from simulation.serializers import read
from tests.access.conftest import Api, check_envelope
from tests.simulation_app.shop import DAY, HOUR, JANUARY, NOW, SPAN, TEXT, open_shop, say, settle

SIDES = ("before", "after")
KEYS = ("acme", "globex", "initech", "umbrella")
QUESTION = {
    **SPAN,
    "condition": TEXT.replace("24 hours", "48 hours"),
    "window_curve": "solved",
    "price_curve": "solved",
}


@pytest.fixture
def shop(committed: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four customers with a ticket that held and one that did not; a part for each two."""
    settings.MAX_EVENT_AGE_DAYS = 10_000
    monkeypatch.setattr(jobs, "EVENTS_A_PART", 6)
    open_shop(*KEYS)
    for n, key in enumerate(KEYS):
        say("closed", "A", JANUARY + n * DAY, customer=key)
        say("closed", "B", JANUARY + n * DAY, customer=key)
        say("reopened", "B", JANUARY + n * DAY + 30 * HOUR, customer=key)
    settle()


def create(question: Any = QUESTION) -> Simulation:
    return jobs.create(question, by="tests", now=NOW)


def do(found: Simulation) -> dict[str, Any]:
    for part in jobs.split(found.pk):
        assert jobs.work(part)
    found.refresh_from_db()
    assert found.status == "done", found.error
    assert found.result is not None
    return found.result


def test_parts_come_to_what_one_run_comes_to(shop: None) -> None:
    found = create()
    told = do(found)
    assert [part.events for part in Part.objects.all()] == [6, 6]
    assert jobs.find(found.pk).replayed == found.events == 12
    rows, beside = simulate(read(QUESTION), NOW)
    totals = results.Totals()
    totals.add(rows)
    assert told == json.loads(json.dumps(results.summary_json(totals, beside)))
    assert told["before"]["reversed"] == 4 and told["conditions"][0]["changes"]["lost_reversed"] == 4


def test_workers_at_once_count_each_part_once(shop: None) -> None:
    found = create()
    parts = jobs.split(found.pk)
    assert jobs.split(found.pk) == parts, "safe to repeat"
    done: list[bool] = []

    def worker() -> None:
        try:
            done.extend(jobs.work(part) for part in parts)
        finally:
            connection.close()

    threads = [Thread(target=worker) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.refresh_from_db()
    assert found.status == "done" and done.count(True) == 2
    assert CellRow.objects.count() == len(KEYS)


def test_of_those_who_take_a_part_at_once_one_has_it(shop: None) -> None:
    first, _ = jobs.split(create().pk)
    for _ in range(25):
        Part.objects.update(token=None, seen_at=None)
        gate, taken = Barrier(3), []

        def take(gate: Barrier = gate, taken: list[Any] = taken) -> None:
            try:
                connection.ensure_connection()
                gate.wait()
                taken.append(jobs._take(first))
            finally:
                connection.close()

        threads = [Thread(target=take) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [part] = [one for one in taken if one is not None]
        assert Part.objects.get(pk=first).token == part.token


def test_a_part_whose_worker_died_is_taken_again(shop: None) -> None:
    found = create()
    first, second = jobs.split(found.pk)
    died = jobs._take(first)
    assert died is not None
    assert not jobs.work(first), "another has it"
    assert jobs.work(second)
    assert jobs.unfinished(timezone.now()) == ([], [])
    later = timezone.now() + timedelta(minutes=11)
    assert jobs.unfinished(later) == ([], [first])
    Part.objects.filter(pk=first).update(seen_at=timezone.now() - timedelta(minutes=11))
    assert jobs.work(first)
    found.refresh_from_db()
    assert found.status == "done"
    # The one that was thought dead goes on: what it brings counts no more.
    with pytest.raises(jobs.Stopped), jobs._Told(died):
        pass
    with pytest.raises(jobs.Stopped):
        jobs._keep(died, [], Found({}, Examples({}), {}))
    assert CellRow.objects.count() == len(KEYS)


def test_one_that_is_cancelled_is_let_go_of(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = create()
    first, second = jobs.split(found.pk)
    run = jobs.run

    def cancelled_meanwhile(asked: Any, customers: Any, now: Any, progress: Any) -> Any:
        def cancelling(events: int) -> None:
            thread = Thread(target=lambda: (jobs.cancel(found.pk, now=NOW), connection.close()))
            thread.start()
            thread.join()
            progress(events)

        return run(asked, customers, now, cancelling)

    monkeypatch.setattr(jobs, "run", cancelled_meanwhile)
    assert not jobs.work(first)
    monkeypatch.setattr(jobs, "run", run)
    assert not jobs.work(second)
    found.refresh_from_db()
    assert (found.status, found.result, CellRow.objects.count()) == ("cancelled", None, 0)
    assert jobs.cancel(found.pk, now=NOW).status == "cancelled", "safe to repeat"
    assert jobs.unfinished(timezone.now()) == ([], [])


def test_a_worker_that_waits_is_known_to_live_and_can_be_stopped(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL may sort for longer than SILENCE before the first event, and nobody wants to wait that long."""
    found = create()
    first, _ = jobs.split(found.pk)
    monkeypatch.setattr(jobs, "TELL_SECONDS", 0.02)

    def cancel_once_it_lives() -> None:
        taken = Part.objects.get(pk=first).seen_at
        while Part.objects.get(pk=first).seen_at == taken:
            pass
        jobs.cancel(found.pk, now=NOW)
        connection.close()

    def sorting(*_: Any) -> Any:
        Thread(target=cancel_once_it_lives).start()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(20)")
        raise AssertionError("nobody ended it")

    monkeypatch.setattr(jobs, "run", sorting)
    assert not jobs.work(first)
    found.refresh_from_db()
    assert (found.status, found.error) == ("cancelled", "")


def test_prices_of_many_customers_can_be_stopped(shop: None) -> None:
    """Between two customers, also where no event is left to be read."""
    read_, told = 0, 0

    def stopping(events: int) -> None:
        nonlocal read_, told
        read_ += events
        told += not events
        if told == 2:
            raise jobs.Stopped

    with pytest.raises(jobs.Stopped):
        simulate(read(QUESTION), NOW, progress=stopping)
    assert read_ == 12


def test_a_failure_ends_it_with_its_reason(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = create()
    first, second = jobs.split(found.pk)

    def broken(*_: Any) -> Any:
        raise ValueError("prices 1, 2 fit equally well")

    monkeypatch.setattr(jobs, "run", broken)
    assert not jobs.work(first)
    monkeypatch.undo()
    found.refresh_from_db()
    assert (found.status, found.error) == ("failed", "ValueError: prices 1, 2 fit equally well")
    assert not jobs.work(second)


def test_of_nobody(committed: None) -> None:
    found = create(SPAN)
    assert jobs.split(found.pk) == []
    found.refresh_from_db()
    assert found.status == "done" and found.result is not None and found.result["before"]["outcomes"] == 0


def test_what_a_message_missed_is_found(shop: None) -> None:
    found = create()
    assert jobs.unfinished(timezone.now()) == ([found.pk], [])
    parts = jobs.split(found.pk)
    assert jobs.unfinished(timezone.now()) == ([], parts)


def test_tasks_do_it(shop: None, settings: Any) -> None:
    found = create()
    app.conf.task_always_eager = True
    try:
        tasks.sweep()
    finally:
        app.conf.task_always_eager = False
    found.refresh_from_db()
    assert found.status == "done"


def test_without_a_broker_the_pump_does_it(shop: None) -> None:
    found, other = create(), create(SPAN)
    out = StringIO()
    call_command("pump", "--once", stdout=out)
    for one in (found, other):
        one.refresh_from_db()
        assert one.status == "done"
    assert out.getvalue().count("1 parts simulated") == 4


# --- /v1/simulations --------------------------------------------------------------------------------------------------


def test_the_api(shop: None, committed_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(tasks, "begin", begun.append)
    answer = committed_api("POST", "/v1/simulations", QUESTION)
    assert answer.status_code == 202, answer.content
    made = answer.json()
    assert (made["status"], made["available_actions"], made["result"]) == ("waiting", ["cancel"], None)
    assert made["asked"] == QUESTION and made["progress"] == {"events": None, "replayed": 0}
    [pk] = begun
    path = f"/v1/simulations/{made['id']}"
    check_envelope(committed_api("GET", f"{path}/csv"), 409, "simulation_not_done")
    check_envelope(committed_api("GET", f"{path}/customers"), 409, "simulation_not_done")
    do(Simulation.objects.get(pk=pk))
    told = committed_api("GET", path).json()
    assert (told["status"], told["available_actions"], told["progress"]) == (
        "done",
        ["delete"],
        {"events": 12, "replayed": 12},
    )
    assert [one["customer"] for one in told["result"]["customers"]] == list(KEYS)
    assert told["result"]["customers"][0]["before"] == {
        "outcomes": 1, "reversed": 1, "unpriced": 0, "revenue": {"USD": "10.00"},
    }  # fmt: skip
    assert told["result"]["more_customers"] is False
    assert len(told["result"]["window_curve"]) == 15 and len(told["result"]["price_curve"]) == 11
    page = committed_api("GET", f"{path}/customers?limit=3").json()
    assert [one["customer"] for one in page["data"]] == list(KEYS[:3]) and page["has_more"]
    rest = committed_api("GET", f"{path}/customers?limit=3&cursor={page['next_cursor']}").json()
    assert [one["customer"] for one in rest["data"]] == [KEYS[3]] and not rest["has_more"]
    lines = b"".join(committed_api("GET", f"{path}/csv").streaming_content).decode().splitlines()
    assert len(lines) == 1 + len(KEYS) and lines[1].startswith("acme,2026-01,solved,USD,1,1,0,10.00,1,0,0,10.00,0,0.00")
    [listed] = committed_api("GET", "/v1/simulations?status=done").json()["data"]
    assert listed == {name: value for name, value in told.items() if name != "result"}
    assert committed_api("GET", "/v1/simulations?status=failed").json()["data"] == []
    check_envelope(committed_api("POST", f"{path}/cancel", {}), 409, "simulation_ended")


def test_cancelling_by_the_api(shop: None, committed_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "begin", lambda _: None)
    made = committed_api("POST", "/v1/simulations", SPAN).json()
    told = committed_api("POST", f"/v1/simulations/{made['id']}/cancel", {}).json()
    assert (told["status"], told["available_actions"]) == ("cancelled", ["delete"])
    check_envelope(committed_api("GET", "/v1/simulations/sim_none"), 404, "not_found")


@pytest.mark.parametrize(
    ("question", "code", "path"),
    [
        ({}, "invalid", "from"),
        (SPAN | {"discount": 1}, "invalid", "discount"),
        (SPAN | {"contract": {"net_days": 10}}, "invalid", "contract.net_days"),
        (SPAN | {"contract": {"minimum": "1"}, "customers": []}, "empty", "customers"),
        (SPAN | {"condition": "outcome x"}, "invalid_condition", "condition"),
        (SPAN | {"rate_card": {"currency": "USD"}}, "invalid", "rate_card.prices"),
    ],
)
def test_refusals(shop: None, committed_api: Api, question: Any, code: str, path: str) -> None:
    error = check_envelope(committed_api("POST", "/v1/simulations", question), 422, code)
    assert path in [one["path"] for one in error["details"]]
    assert not Simulation.objects.exists()


@pytest.mark.parametrize(
    ("events", "sizes"),
    [
        ([5, 9_000, 0, 9_000], [18_000 + 5]),  # not worth sharing out
        ([10_000] * 60, [150_000] * 4),
        ([50_000, 900_000, 50_000, 200_000], [900_000, 300_000]),
        ([100_000] * 120, [500_000] * 24),
        ([1_000_000] * 100, [4_000_000] * 25),
    ],
)
def test_parts_are_shared_out_by_size(events: list[int], sizes: list[int]) -> None:
    customers = {pk: f"c{pk}" for pk in range(len(events))}
    counted = {pk: n for pk, n in enumerate(events) if n}
    parts = list(jobs._shares(customers, counted))
    assert [sum(counted.get(int(pk), 0) for pk in part) for part in parts] == sizes
    assert {int(pk): key for part in parts for pk, key in part.items()} == customers


# --- How long results are kept ----------------------------------------------------------------------------------------


def test_what_has_ended_can_be_deleted(shop: None, committed_api: Api) -> None:
    found = create()
    path = f"/v1/simulations/{found.public_id}"
    check_envelope(committed_api("DELETE", path), 409, "simulation_runs")
    do(found)
    assert committed_api("DELETE", path).status_code == 204
    check_envelope(committed_api("GET", path), 404, "not_found")
    check_envelope(committed_api("DELETE", path), 404, "not_found")
    assert not Simulation.objects.exists() and not Part.objects.exists() and not CellRow.objects.exists()


def test_those_that_change_most_come_first_in_whatever_currency(shop: None) -> None:
    """10 yen are ten of them, 9.99 dollars are 999 cents; up and down of one customer cancel out."""
    found = create(SPAN)
    moved = (
        ("ups", "2026-01", "USD", 500), ("ups", "2026-02", "USD", -100), ("ups", "2026-01", "EUR", -300),
        ("yen", "2026-01", "JPY", 10), ("usd", "2026-01", "USD", -999), ("none", "2026-01", "", 0),
        ("a", "2026-01", "USD", 0),
    )  # fmt: skip
    none = dict.fromkeys((f"{name}_{side}" for name in ("outcomes", "reversed", "unpriced") for side in SIDES), 0)
    for customer, month, currency, minor in moved:
        CellRow.objects.create(
            simulation=found, customer=customer, month=month, currency=currency, minor_before=7, minor_after=7 + minor,
            **none,
        )  # fmt: skip
    assert jobs.most_moved(found, 4) == (["yen", "usd", "ups", "a"], 5)


def test_what_ended_long_ago_goes_by_itself(shop: None, settings: Any) -> None:
    kept, old, waiting = create(), create(), create()
    for one in (kept, old):
        do(one)
    Simulation.objects.filter(pk=kept.pk).update(finished_at=NOW - timedelta(days=89))
    Simulation.objects.filter(pk=old.pk).update(finished_at=NOW - timedelta(days=91))
    Simulation.objects.filter(pk=waiting.pk).update(created_at=NOW - timedelta(days=200))
    settings.SIMULATION_DAYS = 0
    assert jobs.delete_old(NOW) == 0, "kept for ever"
    settings.SIMULATION_DAYS = 90
    assert jobs.delete_old(NOW) == 1
    assert set(Simulation.objects.values_list("pk", flat=True)) == {kept.pk, waiting.pk}
    assert {one.simulation_id for one in CellRow.objects.all()} == {kept.pk}


def test_one_that_is_deleted_while_messages_of_it_come(shop: None) -> None:
    found, begun = create(), create()
    parts = jobs.split(begun.pk)
    for one in (found, begun):
        jobs.cancel(one.pk, now=NOW)
        jobs.delete(one.pk)
    assert jobs.split(found.pk) == []
    assert [jobs.work(part) for part in parts] == [False, False] and not jobs.finish(begun.pk, now=NOW)
