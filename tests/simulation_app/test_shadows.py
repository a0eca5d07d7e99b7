"""Shadows: after any events, in any batches, with looks in between, what a simulation of the span says; nothing else is
written, whoever looks at once, dies or stops.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from random import Random
from threading import Barrier, Event, Thread
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from freezegun import freeze_time

from access.errors import ApiError
from access.times import format_rfc3339
from billing_project.celery import app
from contracts.clocks import create_clock, move_forward
from contracts.models import Customer
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Outcome
from settlement.sweep import settle_due
from simulation import jobs, results, shadows, tasks
from simulation.models import CellRow, Day, Shadow, Simulation
from simulation.run import simulate
from simulation.serializers import read
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories
from tests.simulation_app.shop import DAY, HOUR, JANUARY, NOW, TEXT, open_shop
from tests.simulation_app.shop import say as tell
from tests.simulation_app.test_differences import checksums

LONGER = TEXT.replace("24 hours", "48 hours")
STRICT = TEXT.replace("bill when closed", "bill when closed and confirmed")
START = "2026-01-01T00:00:00Z"
MINUTES = timedelta(minutes=1)
OWN_TABLES = {
    "simulation_shadow", "simulation_shadow_day", "simulation_simulation", "simulation_part", "simulation_cell",
    "sequences",
}  # fmt: skip


@pytest.fixture
def shop(committed: None, settings: Any) -> Iterator[None]:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    open_shop("acme", "globex")
    yield


def say(*words: Any, **data: Any) -> None:
    """Told, and evaluated, so that the name of the event is known; nothing is settled."""
    tell(*words, **data)
    evaluate_waiting(NOW)


def begin(now: datetime = JANUARY, **draft: Any) -> Shadow:
    draft = draft or {"condition": LONGER}
    return shadows.create({"name": "longer", "from": START, **draft}, by="tests", now=now)


def work(simulations: list[UUID]) -> None:
    for simulation in simulations:
        for part in jobs.split(simulation):
            assert jobs.work(part)


def look(found: Shadow, now: datetime) -> dict[str, Any]:
    """One look as of now, whatever the pause; the result."""
    Shadow.objects.filter(pk=found.pk, next_look_at__isnull=False).update(next_look_at=now)
    with freeze_time(now):
        work(shadows.look_due(now))
        shadows.look_due(now)
    found.refresh_from_db()
    done = shadows.last_look(found)
    assert done is not None and done.result is not None and found.looked_at == now and found.error == ""
    assert found.totals == {name: done.result[name] for name in ("before", "after", "difference")}
    return done.result


def simulated(now: datetime, **draft: Any) -> dict[str, Any]:
    """What a simulation asked at the same instant says, of a span that ends much later."""
    rows, beside = simulate(read({"from": START, "to": "2027-01-01T00:00:00Z", **draft}), now)
    totals = results.Totals()
    totals.add(rows)
    return results.summary_json(totals, beside)


def settle(now: datetime) -> None:
    evaluate_waiting(now)
    settle_due(now)


# --- The difference ---------------------------------------------------------------------------------------------------


def test_what_comes_is_seen_by_the_next_look(shop: None) -> None:
    """Worked out by hand: a ticket that comes back after 30 hours is billed and given back in force, and voided by a
    window of 48.
    """
    found = begin()
    assert look(found, JANUARY + HOUR)["difference"]["reversed"] == 0
    say("closed", "A", JANUARY + DAY)
    told = look(found, JANUARY + 2 * DAY + HOUR)
    assert told["difference"] == {"outcomes": -1, "reversed": 0, "unpriced": 0, "revenue": {"USD": "-10.00"}}
    assert told["provisional"] == {"before": 0, "after": 1}
    say("reopened", "A", JANUARY + DAY + 30 * HOUR)
    say("closed", "B", JANUARY + DAY, priority="urgent")
    told = look(found, JANUARY + 4 * DAY)
    assert told["difference"] == {"outcomes": 0, "reversed": -1, "unpriced": 0, "revenue": {"USD": "0.00"}}
    [solved] = told["conditions"]
    assert (solved["changes"]["kept"], solved["changes"]["lost"], solved["changes"]["lost_reversed"]) == (1, 1, 1)
    [example] = solved["examples"]["lost"]
    assert example["subject"] == "A" and "taken back inside its window" in example["why"]
    # A day has what its last look found, of everything since the start.
    days = Day.objects.filter(shadow=found).order_by("day")
    assert [f"{one.day}" for one in days] == ["2026-01-01", "2026-01-03", "2026-01-05"]
    assert [one.totals["difference"]["revenue"] for one in days] == [
        {},
        {"USD": "-10.00"},
        {"USD": "0.00"},
    ]
    # Of those looks that are over one is kept.
    assert found.looks.count() == 1 and CellRow.objects.values("simulation").distinct().count() == 1


def test_time_that_passes_without_events_counts(shop: None) -> None:
    found = begin()
    say("closed", "A", JANUARY + DAY)
    assert look(found, JANUARY + 2 * DAY + HOUR)["difference"]["outcomes"] == -1
    assert look(found, JANUARY + 3 * DAY + HOUR)["difference"]["outcomes"] == 0


DRAFTS: list[dict[str, Any]] = [
    {"condition": LONGER},
    {"condition": STRICT, "contract": {"minimum": "40"}},
    {"rate_card": {"currency": "USD", "prices": [{"condition": "solved", "unit_price": "12.50"}]}},
    {"condition": LONGER.replace("outcome solved", "outcome held"), "customers": ["acme"]},
]


@pytest.mark.parametrize("seed", range(len(DRAFTS)))
def test_after_any_events_it_is_what_a_simulation_says(shop: None, seed: int) -> None:
    """Events in any order and batches, many of them late, with looks and settlement in between or not."""
    chance = Random(seed)
    draft = DRAFTS[seed % len(DRAFTS)]
    found = begin(**draft)
    now = JANUARY
    looks, differed = 0, False
    for step in range(14):
        now += timedelta(hours=chance.choice((1, 7, 30, 100)))
        listed = []
        for number in range(chance.randint(0, 8)):
            # Up to 20 days late, before the start as well.
            when = now - timedelta(minutes=chance.choice((0, 60, 1500, 30_000)) + number)
            data = {"ticket": f"T{chance.randint(0, 9)}", "priority": chance.choice(("urgent", "low"))}
            kind = chance.choice(("closed", "closed", "confirmed", "reopened"))
            customer = chance.choice(("acme", "globex"))
            listed.append({"id": f"{step}-{number}", "type": kind, "customer": customer, "time": when, "data": data})
        if listed:
            factories.send(listed, now=now)
        if chance.random() < 0.5:
            settle(now)
        if chance.random() < 0.4:
            told = look(found, now)
            assert told == simulated(now, **draft)
            looks, differed = looks + 1, differed or told["before"] != told["after"]
    told = look(found, now + DAY)
    assert told == simulated(now + DAY, **draft)
    assert looks and told["events"]
    assert differed or told["before"] != told["after"], "the draft says something else"


def test_an_event_that_is_committed_late_is_not_missed(shop: None) -> None:
    """Accepted before the events that a look reads, and committed after it."""
    found = begin()
    accepted, seen = Event(), Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                tell("closed", "slow", JANUARY + DAY)
                accepted.set()
                assert seen.wait(60)
        finally:
            connection.close()

    thread = Thread(target=slow)
    thread.start()
    assert accepted.wait(60)
    say("closed", "fast", JANUARY + DAY, customer="globex")
    first = look(found, JANUARY + 10 * DAY)
    seen.set()
    thread.join()
    assert (first["before"]["outcomes"], first["after"]["outcomes"]) == (1, 1)
    assert look(found, JANUARY + 11 * DAY)["after"]["outcomes"] == 2


def test_test_clocks_that_are_ahead_count_as_far_as_they_are(shop: None) -> None:
    clock = create_clock(now=JANUARY + HOUR, wall=JANUARY)
    Customer.objects.create(key="test", name="test", currency="USD", partition=1, test_clock=clock, created_at=JANUARY)
    found = begin(condition=LONGER, customers=["test"])
    say("closed", "A", JANUARY + HOUR, customer="test")
    assert look(found, JANUARY + 2 * HOUR)["before"]["outcomes"] == 0
    move_forward(clock.pk, JANUARY + 60 * DAY)
    told = look(found, JANUARY + 4 * HOUR)
    assert (told["before"]["outcomes"], told["after"]["outcomes"]) == (1, 1)
    assert [one["month"] for one in told["months"]] == ["2026-01"]


def test_nothing_but_its_own_tables_is_written(shop: None) -> None:
    say("closed", "A", JANUARY + DAY)
    say("closed", "waits", JANUARY + DAY, customer="globex")
    before = checksums()
    found = begin()
    assert look(found, JANUARY + 5 * DAY)["before"]["outcomes"] == 2, "due, and not settled"
    assert changed(before) <= OWN_TABLES
    say("reopened", "A", JANUARY + 6 * DAY)
    before = checksums()
    look(found, JANUARY + 7 * DAY)
    shadows.stop(found.pk, now=JANUARY + 8 * DAY)
    assert changed(before) <= OWN_TABLES
    assert "outcomes_outcome" in before and not Outcome.objects.exclude(state="provisional").exists()


def changed(before: dict[str, str]) -> set[str]:
    after = checksums()
    return {table for table in after if after[table] != before[table]}


# --- Many, and death --------------------------------------------------------------------------------------------------


def test_of_those_who_look_at_once_one_begins_a_look(shop: None) -> None:
    found = begin()
    for n in range(15):
        now = JANUARY + (n + 1) * DAY
        gate, begun = Barrier(3), []

        def race(now: datetime = now, gate: Barrier = gate, begun: list[UUID] = begun) -> None:
            try:
                connection.ensure_connection()
                gate.wait()
                begun.extend(shadows.look_due(now))
            finally:
                connection.close()

        threads = [Thread(target=race) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(begun) == 1
        assert found.looks.filter(finished_at__isnull=True).count() == 1
        work(begun)
        assert shadows.look_due(now) == [], "taken; the next is not due"
        Shadow.objects.update(next_look_at=now)
    assert found.days.count() == 15


def test_a_look_whose_worker_died_is_taken_up_again(shop: None) -> None:
    found = begin()
    say("closed", "A", JANUARY + DAY)
    now = JANUARY + 10 * DAY
    [simulation] = shadows.look_due(now)
    [part] = jobs.split(simulation)
    died = jobs._take(part)
    assert died is not None
    assert shadows.look_due(now + DAY) == [], "it runs, as far as anyone knows"
    Simulation.objects.get(pk=simulation).parts.update(seen_at=timezone.now() - timedelta(minutes=11))
    assert jobs.unfinished(timezone.now()) == ([], [part])
    assert jobs.work(part)
    with pytest.raises(jobs.Stopped), jobs._Told(died):
        pass
    shadows.look_due(now)
    found.refresh_from_db()
    assert found.totals is not None and found.totals["after"]["outcomes"] == 1
    assert CellRow.objects.count() == 1, "of acme, once"


@pytest.mark.parametrize("moment", ["begin", "take"])
def test_who_dies_in_between_leaves_all_as_it_was(shop: None, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """The statement after which it died is undone with all before it, and the next does it."""
    found = begin()
    if moment == "take":
        work(shadows.look_due(JANUARY + DAY))
    before = checksums()
    save = Shadow.save

    def died(*_: Any, **__: Any) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(Shadow, "save", died)
    assert shadows.look_due(JANUARY + DAY) == []
    assert changed(before) <= {"sequences"}
    monkeypatch.setattr(Shadow, "save", save)
    work(shadows.look_due(JANUARY + DAY))
    shadows.look_due(JANUARY + DAY)
    found.refresh_from_db()
    assert found.looked_at == JANUARY + DAY and found.days.count() == 1


def test_a_look_that_fails_says_why_and_the_next_one_goes_on(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = begin()
    first = look(found, JANUARY + DAY)
    now = JANUARY + 2 * DAY

    def broken(*_: Any) -> Any:
        raise ValueError("prices 1, 2 fit equally well")

    for _ in range(3):
        Shadow.objects.update(next_look_at=now)
        with monkeypatch.context() as patch, freeze_time(now):
            patch.setattr(jobs, "run", broken)
            for simulation in shadows.look_due(now):
                for part in jobs.split(simulation):
                    assert not jobs.work(part)
            shadows.look_due(now)
        found.refresh_from_db()
        assert found.error == "ValueError: prices 1, 2 fit equally well"
        assert found.looked_at == JANUARY + DAY and found.next_look_at == now + 5 * MINUTES
        now += HOUR
    known = shadows.last_look(found)
    assert known is not None and known.result == first and found.looks.count() == 2
    look(found, now)
    assert found.looks.count() == 1


def test_a_draft_that_no_longer_fits_says_so(shop: None) -> None:
    found = begin(condition=LONGER, customers=["acme"])
    look(found, JANUARY + DAY)
    Customer.objects.filter(key="acme").update(key="renamed")
    Shadow.objects.update(next_look_at=JANUARY + 2 * DAY)
    assert shadows.look_due(JANUARY + 2 * DAY) == []
    found.refresh_from_db()
    assert "acme" in found.error and found.next_look_at == JANUARY + 2 * DAY + 5 * MINUTES
    Customer.objects.filter(key="renamed").update(key="acme")
    look(found, JANUARY + 3 * DAY)


def test_a_look_that_reads_much_is_followed_by_a_long_pause(shop: None) -> None:
    found = begin()
    now = JANUARY + DAY
    [simulation] = shadows.look_due(now)
    with freeze_time(now):
        work([simulation])
    Simulation.objects.filter(pk=simulation).update(events=10_000_000)
    assert shadows.look_due(now) == []
    found.refresh_from_db()
    assert found.next_look_at == now + timedelta(seconds=200 * 19)
    assert shadows.look_due(now + HOUR) == []
    assert len(shadows.look_due(now + 2 * HOUR)) == 1


# --- Stop -------------------------------------------------------------------------------------------------------------


def test_stopped_it_keeps_what_it_found(shop: None) -> None:
    found = begin()
    first = look(found, JANUARY + DAY)
    stopped = shadows.stop(found.pk, now=JANUARY + 2 * DAY)
    assert (stopped.status, stopped.stopped_at, stopped.next_look_at) == ("stopped", JANUARY + 2 * DAY, None)
    assert shadows.look_due(JANUARY + 30 * DAY) == []
    assert shadows.stop(found.pk, now=JANUARY + 3 * DAY).stopped_at == JANUARY + 2 * DAY, "safe to repeat"
    known = shadows.last_look(found)
    assert known is not None and known.result == first


def test_stopped_while_a_look_runs_it_lets_go_of_it(shop: None) -> None:
    found = begin()
    [simulation] = shadows.look_due(JANUARY + DAY)
    [part] = jobs.split(simulation)
    stopped = shadows.stop(found.pk, now=JANUARY + DAY)
    assert not jobs.work(part)
    assert (stopped.error, stopped.totals, CellRow.objects.count()) == ("", None, 0)
    assert Simulation.objects.get(pk=simulation).status == "cancelled"
    assert shadows.look_due(JANUARY + 2 * DAY) == []


def test_stopped_after_a_look_was_done_it_has_its_result(shop: None) -> None:
    found = begin()
    work(shadows.look_due(JANUARY + DAY))
    assert shadows.stop(found.pk, now=JANUARY + DAY).looked_at == JANUARY + DAY


def test_as_many_run_as_may(shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadows, "MOST", 2)
    first = begin()
    begin(name="second", condition=STRICT)
    with pytest.raises(ApiError, match="stop one"):
        begin(name="third", condition=STRICT)
    shadows.stop(first.pk, now=JANUARY)
    begin(name="third", condition=STRICT)
    with pytest.raises(ApiError, match="another name"):
        begin(condition=STRICT)


# --- Tasks, and the API -----------------------------------------------------------------------------------------------


def test_tasks_and_the_pump_look(shop: None) -> None:
    found = begin(now=timezone.now())
    app.conf.task_always_eager = True
    try:
        tasks.sweep()
        tasks.sweep()
    finally:
        app.conf.task_always_eager = False
    found.refresh_from_db()
    first = found.looked_at
    assert first is not None
    Shadow.objects.update(next_look_at=timezone.now())
    call_command("pump", "--once", stdout=StringIO())
    found.refresh_from_db()
    assert found.looked_at is not None and found.looked_at > first


def test_the_api(shop: None, committed_api: Api) -> None:
    say("closed", "A", JANUARY + DAY)
    say("reopened", "A", JANUARY + DAY + 30 * HOUR)
    draft = {"condition": LONGER, "customers": ["acme"], "from": START}
    answer = committed_api("POST", "/v1/shadows", {"name": "longer", **draft})
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert made["status"] == "running" and made["asked"] == draft and made["available_actions"] == ["stop"]
    assert made["difference"] is None and made["result"] is None and made["days"] == [] and made["look"] is None
    path = f"/v1/shadows/{made['id']}"
    now = timezone.now()
    found = Shadow.objects.get()
    look(found, now)
    told = committed_api("GET", path).json()
    assert told["difference"] == {"outcomes": 0, "reversed": -1, "unpriced": 0, "revenue": {"USD": "0.00"}}
    assert told["looked_at"] == format_rfc3339(now) and told["next_look_at"] is not None
    assert told["result"]["conditions"][0]["changes"]["lost"] == 1
    assert [one["customer"] for one in told["result"]["customers"]] == ["acme"]
    [day] = told["days"]
    assert day["day"] == f"{now:%Y-%m-%d}" and day["difference"] == told["difference"]
    # The look is a simulation, with its customers and CSV; simulations that people asked for are apart from it.
    assert committed_api("GET", f"/v1/simulations/{told['look']}/csv").status_code == 200
    assert committed_api("GET", "/v1/simulations").json()["data"] == []
    [listed] = committed_api("GET", "/v1/shadows?status=running").json()["data"]
    assert listed == {name: value for name, value in told.items() if name not in ("look", "days", "result")}
    check_envelope(committed_api("DELETE", path), 409, "shadow_runs")
    check_envelope(committed_api("DELETE", f"/v1/simulations/{told['look']}"), 409, "look_of_a_shadow")
    stopped = committed_api("POST", f"{path}/stop", {}).json()
    assert (stopped["status"], stopped["available_actions"], stopped["next_look_at"]) == ("stopped", ["delete"], None)
    assert stopped["result"] == told["result"]
    assert committed_api("GET", "/v1/shadows?status=running").json()["data"] == []
    check_envelope(committed_api("POST", "/v1/shadows", {"name": "longer", **draft}), 409, "shadow_exists")
    check_envelope(committed_api("GET", "/v1/shadows/shd_none"), 404, "not_found")
    assert committed_api("DELETE", path).status_code == 204
    check_envelope(committed_api("GET", path), 404, "not_found")
    assert not Shadow.objects.exists() and not Day.objects.exists() and not Simulation.objects.exists()


def test_those_that_were_stopped_long_ago_go_by_themselves(shop: None, settings: Any) -> None:
    running, stopped = (
        shadows.create({"name": name, "condition": LONGER, "from": START}, by="tests", now=NOW) for name in "rs"
    )
    look(stopped, NOW)
    shadows.stop(stopped.pk, now=NOW)
    settings.SIMULATION_DAYS = 90
    later = NOW + timedelta(days=91)
    assert (shadows.delete_old(NOW + timedelta(days=90)), jobs.delete_old(later)) == (0, 0), "a look stays with its own"
    settings.SIMULATION_DAYS = 0
    assert shadows.delete_old(later) == 0
    settings.SIMULATION_DAYS = 90
    with freeze_time(later):
        tasks.delete_old()
    assert [one.pk for one in Shadow.objects.all()] == [running.pk]
    assert not Simulation.objects.filter(shadow=stopped.pk).exists()


def test_it_starts_now_where_no_start_is_given(shop: None, committed_api: Api) -> None:
    with freeze_time(JANUARY + DAY):
        made = committed_api("POST", "/v1/shadows", {"name": "now", "condition": LONGER}).json()
    assert made["asked"]["from"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"condition": LONGER}, "invalid", "name"),
        ({"name": "x"}, "required", "condition"),
        ({"name": "x", "customers": ["acme"]}, "required", "condition"),
        ({"name": "x", "condition": "outcome x"}, "invalid_condition", "condition"),
        ({"name": "x", "condition": LONGER, "to": START}, "invalid", "to"),
        ({"name": "x", "condition": LONGER, "window_curve": "solved"}, "invalid", "window_curve"),
        ({"name": "x", "condition": LONGER, "from": "2999-01-01T00:00:00Z"}, "invalid", "from"),
        ({"name": "x", "condition": LONGER, "from": "1999-01-01T00:00:00Z"}, "invalid", "to"),
        ({"name": "x", "contract": {"net_days": 3}}, "invalid", "contract.net_days"),
        ([], "invalid", ""),
    ],
)
def test_refusals(shop: None, committed_api: Api, given: Any, code: str, path: str) -> None:
    error = check_envelope(committed_api("POST", "/v1/shadows", given), 422, code)
    assert path in [one["path"] for one in error["details"]], error
    assert not Shadow.objects.exists()
