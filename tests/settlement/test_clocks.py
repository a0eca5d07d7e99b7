"""Test clocks: customers that live by a stored now, which moves forward when told to."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from freezegun import freeze_time

from access.errors import ApiError
from access.invariants import Scope, check
from billing_project.management.commands.audit import collect
from contracts import clocks, models
from contracts.customers import CustomerFields, put_customer
from invoicing import billing
from invoicing.issue import issue
from invoicing.models import Invoice, NumberSeries
from invoicing.outstanding import outstanding
from invoicing.payment import mark_paid
from invoicing.preview import preview
from invoicing.void import void
from outcomes import imports, inbox
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Event, InboxItem, Journal, Outcome, Pending
from outcomes.recompute import recompute
from settlement.sweep import settle_due
from settlement.watermark import own_watermarks
from tests.access.conftest import Api, check_envelope
from tests.invoicing.pdftext import pages
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_api import answer
from tests.outcomes.test_lifecycle import TICKET
from tests.settlement.clocks import (
    DAY,
    HOUR,
    WALL,
    agree,
    clock_at,
    customer,
    event,
    forward,
    invoices_of,
    neighbour,
    outcomes_of,
    rate_card,
    tell,
)
from webhooks import endpoints
from webhooks.feeds import read_news
from webhooks.models import Delivery

pytestmark = pytest.mark.django_db
TICK = timedelta(microseconds=1)
FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def seller() -> None:
    factories.condition(TICKET)
    rate_card("solved")


def states(key: str) -> list[str]:
    return list(Outcome.objects.filter(customer__key=key).order_by("id").values_list("state", flat=True))


# --- the clock and its customers --------------------------------------------------------------------------------------


def test_a_clock_never_goes_back_and_a_customer_keeps_its_clock() -> None:
    clock = clock_at(START)
    acme = customer("acme", clock)
    clocks.move_forward(clock, START + DAY)
    clocks.move_forward(clock, START)
    assert clocks.now_of(acme, WALL) == START + DAY
    for sql in (
        "UPDATE contracts_testclock SET now = now - interval '1 microsecond'",
        "UPDATE contracts_customer SET test_clock_id = NULL",
        "UPDATE contracts_customer SET test_clock_id = gen_random_uuid()",
        "DELETE FROM contracts_testclock",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_customer_takes_a_clock_at_creation_only() -> None:
    clock, other = clock_at(), clock_at()
    customer("acme", clock)
    customer("live")
    for key, wanted in (("acme", other), ("live", clock)):
        with pytest.raises(ApiError) as refusal:
            put_customer(key, CustomerFields("USD", test_clock=wanted), now=WALL)
        assert (refusal.value.status_code, refusal.value.code) == (409, "test_clock_fixed")
    # Left out, or the same again, it stays.
    for fields in (CustomerFields("EUR"), CustomerFields("EUR", test_clock=clock)):
        assert put_customer("acme", fields, now=WALL).value.test_clock_id == clock
    assert clocks.is_test(models.Customer.objects.get(key="acme"))
    assert not clocks.is_test(models.Customer.objects.get(key="live"))


def test_what_time_it_is() -> None:
    early, late = clock_at(START), clock_at(START + DAY)
    a, b, c, live = customer("a", early), customer("b", late), customer("c", early), customer("live")
    assert clocks.nows() == {a.id: START, b.id: START + DAY, c.id: START}
    assert clocks.nows([b.id, live.id]) == {b.id: START + DAY}
    assert clocks.by_now() == [(START, [a.id, c.id]), (START + DAY, [b.id])]
    assert (clocks.now_of(live, WALL), clocks.now_of(b, WALL)) == (WALL, START + DAY)
    assert clocks.clocked_keys({"a", "live", "nobody"}) == {"a"}
    assert clocks.any_ahead(START) and not clocks.any_ahead(START + DAY)


def test_without_clocks_nothing_is_asked_of_customers(django_assert_num_queries: Any) -> None:
    customer("live")
    with django_assert_num_queries(1):
        assert clocks.nows([1, 2, 3]) == {}
    with django_assert_num_queries(0):
        assert clocks.now_of(models.Customer(key="live"), WALL) == WALL


# --- intake -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [START, datetime(1999, 5, 5, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)])
def test_times_are_judged_by_the_clock(now: datetime) -> None:
    customer("acme", clock_at(now))
    customer("live")
    for at, status in (
        (now, "accepted"),
        (now + timedelta(minutes=5), "accepted"),
        (now + timedelta(minutes=5) + TICK, "in_future"),
        (now - 35 * DAY, "accepted"),
        (now - 35 * DAY - TICK, "too_old"),
    ):
        assert tell("closed", at, "acme") == status
    assert tell("closed", WALL, "acme") == ("too_old" if now > WALL else "in_future")
    assert tell("closed", WALL, "live") == "accepted"
    messages = InboxItem.objects.filter(reason="in_future").values_list("message", flat=True)
    assert all("the customer's test clock" in message for message in messages)


def test_a_time_left_out_is_the_clocks() -> None:
    clock = clock_at()
    customer("acme", clock)
    assert tell("closed", None, "acme") == "accepted"
    assert tell("closed", None, "acme") == "duplicate"
    forward(clock, START + DAY)
    assert tell("closed", None, "acme") == "duplicate"
    stored = Event.objects.get()
    assert (stored.time, stored.received_at) == (START, WALL)


def test_a_mixed_batch_keeps_its_order_and_each_its_own_time() -> None:
    past, coming = clock_at(START - 1000 * DAY), clock_at(START + 1000 * DAY)
    customer("past", past), customer("coming", coming), customer("live")
    batch = [
        event("closed", START - 1000 * DAY, "past"),
        event("closed", WALL, "live"),
        event("closed", WALL, "past"),
        event("closed", START + 1000 * DAY, "coming"),
        event("closed", WALL, "nobody"),
        event("closed", START + 1000 * DAY, "live"),
        event("closed", START + 1000 * DAY, "coming", other=True),
        event("reopened", None, "coming"),
        event("closed", WALL, "live"),
        {"no": "event"},
    ]
    results = [result.code or result.status for result in send(batch, now=WALL)]
    assert results == [
        "accepted", "accepted", "in_future", "accepted", "unknown_customer", "in_future", "id_conflict", "accepted",
        "duplicate", "invalid",
    ]  # fmt: skip
    rows = Event.objects.order_by("seq").values_list("customer__key", "time")
    assert list(rows) == [
        ("past", START - 1000 * DAY), ("live", WALL), ("coming", START + 1000 * DAY), ("coming", START + 1000 * DAY),
    ]  # fmt: skip
    assert Pending.objects.count() == 4
    seqs = list(InboxItem.objects.order_by("seq").values_list("reason", flat=True))
    assert seqs == ["in_future", "unknown_customer", "in_future", "id_conflict", "invalid"]


def test_within_an_import_any_age_is_taken_and_the_future_never() -> None:
    clock = clock_at()
    acme = customer("acme", clock)
    opened = imports.open_import(now=WALL)
    batch = [event("closed", START - 900 * DAY, "acme"), event("closed", START + DAY, "acme")]
    codes = [result.code for result in send(batch, now=WALL, import_id=opened.id)]
    assert codes == ["", "in_future"]
    assert [touched.customer_id for touched in opened.customers.all()] == [acme.id]
    forward(clock, START + 2 * DAY)
    assert states("acme") == ["provisional"]  # paused, as anybody's settlement is
    imports.close_import(opened.id, now=WALL)
    settle_due(WALL)
    assert states("acme") == ["confirmed"]


def test_retried_from_the_inbox_it_is_judged_by_the_clock() -> None:
    assert tell("closed", START + 2 * HOUR, "acme") == "unknown_customer"  # too old, by the wall clock
    assert tell("closed", None, "acme", "left out") == "unknown_customer"
    customer("acme", clock_at(START + 3 * HOUR))
    tally = inbox.retry(inbox.waiting(), now=WALL + DAY)
    assert tally == Counter(accepted=2)
    assert set(Event.objects.values_list("time", flat=True)) == {START + 2 * HOUR, START + 3 * HOUR}


# --- settlement by the clock ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [START - 4000 * DAY, START, START + 4000 * DAY])
def test_the_live_sweep_leaves_test_customers_to_their_clocks(start: datetime) -> None:
    clock = clock_at(start)
    customer("acme", clock)
    key = neighbour("acme")
    customer(key)
    tell("closed", start, "acme")
    tell("closed", WALL, key)
    evaluate_waiting(WALL)
    assert settle_due(WALL + 4 * HOUR) == Counter()
    assert settle_due(WALL + 5 * HOUR) == Counter(confirmed=1)
    assert (states("acme"), states(key)) == (["provisional"], ["confirmed"])
    clocks.move_forward(clock, start + 5 * HOUR - TICK)
    assert settle_due(WALL + DAY) == Counter()
    clocks.move_forward(clock, start + 5 * HOUR)
    assert settle_due(WALL + DAY, until=WALL + DAY) == Counter()  # `until` is about the wall clock
    assert settle_due(WALL + DAY) == Counter(confirmed=1)
    entry = Journal.objects.filter(outcome__customer__key="acme").latest("id")
    assert (entry.effective_at, entry.recorded_at) == (start + 5 * HOUR, start + 5 * HOUR)
    assert not Journal.objects.filter(outcome__customer__key="acme", recorded_at__gte=WALL - DAY, recorded_at__lte=WALL)


def test_all_kinds_of_rows_are_swept_by_the_clock() -> None:
    clock = clock_at()
    customer("acme", clock)
    tell("closed", START, "acme", "A")
    tell("escalated", START, "acme", "B")
    tell("closed", START, "acme", "C")
    forward(clock, START + HOUR)
    assert tell("reopened", START + HOUR, "acme", "C") == "accepted"
    assert forward(clock, START + 4 * HOUR).outcomes == Counter()
    clocks.move_forward(clock, START + 7 * HOUR)
    tell("closed", START + 3 * HOUR, "acme", "D")
    tell(
        "reopened", START + 7 * HOUR, "acme", "A"
    )  # settled meanwhile, and nobody has booked it yet: it waits in a queue
    evaluate_waiting(WALL)
    done = forward(clock, START + 60 * HOUR)
    assert done.outcomes == Counter(confirmed=2, reversed=1, missed=1)
    assert {row[1]: row[3] for row in outcomes_of("acme")} == {
        "A": "reversed", "B": "missed", "C": "void", "D": "confirmed",
    }  # fmt: skip


def test_what_waits_of_others_does_not_hold_a_clock_and_its_own_does() -> None:
    clock = clock_at(START + 4000 * DAY)
    acme = customer("acme", clock)
    key = neighbour("acme")
    live = customer(key)
    start = START + 4000 * DAY
    tell("closed", start, "acme")
    evaluate_waiting(WALL)
    tell("closed", WALL, key)  # waits, thousands of days before the clock
    clocks.move_forward(clock, start + 40 * DAY)
    assert own_watermarks(start + 40 * DAY, [acme.id]) == {acme.id: start + 40 * DAY}
    assert outstanding(acme, start + 35 * DAY) == "outcomes are due before the period's end and not settled yet"
    assert outstanding(live, WALL + DAY) == "accepted events from before the period's end wait for evaluation"
    assert settle_due(WALL) == Counter(confirmed=1)
    assert outstanding(acme, start + 35 * DAY) == ""
    tell("closed", start + 30 * DAY, "acme", "B")
    assert outstanding(acme, start + 35 * DAY) == "accepted events from before the period's end wait for evaluation"
    assert own_watermarks(start + 40 * DAY, [acme.id]) == {acme.id: start + 30 * DAY}


def test_a_past_clocks_events_do_not_keep_the_neighbours_from_settling() -> None:
    customer("acme", clock_at(START - 4000 * DAY))
    key = neighbour("acme")
    customer(key)
    tell("closed", WALL - 6 * HOUR, key)
    evaluate_waiting(WALL)
    tell("closed", START - 4000 * DAY, "acme")
    assert settle_due(WALL) == Counter()  # the partition's earliest bounds the neighbours, until it is evaluated
    evaluate_waiting(WALL)
    assert settle_due(WALL) == Counter(confirmed=1)


def test_late_evidence_is_judged_by_the_clock() -> None:
    """The wall clock is far behind the clock: what settlement booked by the clock stands."""
    start = START + 4000 * DAY
    clock = clock_at(start)
    customer("acme", clock)
    tell("closed", start, "acme", "A")
    tell("closed", start, "acme", "B")
    forward(clock, start + DAY)
    assert states("acme") == ["confirmed", "confirmed"]
    tell("rated", start + HOUR, "acme", "A")  # says nothing to the condition
    tell("closed", start + HOUR, "acme", "A")  # changes nothing
    tell("escalated", start - HOUR, "acme", "B")  # it should never have been
    evaluate_waiting(WALL)
    assert {row[1]: row[3] for row in outcomes_of("acme") if row[2] == 1} == {"A": "confirmed", "B": "reversed"}
    reversal = Journal.objects.get(to_state="reversed")
    assert (reversal.cause, reversal.recorded_at) == ("late", start + DAY)
    [subject] = {row.subject_id for row in Outcome.objects.filter(subject__key="A")}
    assert recompute(subject, now=WALL) == 0


def test_evaluation_that_began_before_the_clock_moved_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    start = START + 4000 * DAY
    clock = clock_at(start)
    customer("acme", clock)
    tell("closed", start, "acme")
    evaluate_waiting(WALL)
    tell("closed", start + timedelta(minutes=1), "acme")
    monkeypatch.setattr("outcomes.evaluation.nows", lambda customers: dict.fromkeys(customers, start))
    Pending.objects.all().delete()  # as if it were in the hands of the batch that began at `start`
    clocks.move_forward(clock, start + 5 * HOUR)
    assert settle_due(WALL) == Counter(confirmed=1)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO outcomes_pending SELECT c.partition, max(e.seq), max(e.time) FROM outcomes_event e "
                       "JOIN contracts_customer c ON c.id = e.customer_id GROUP BY 1")  # fmt: skip
    evaluate_waiting(WALL)
    assert states("acme") == ["confirmed"]


def test_a_new_condition_hears_of_a_coming_clocks_past() -> None:
    """Dated in the clock's past and our future: what was received before may have happened after."""
    customer("acme", clock_at(START + 4000 * DAY))
    factories.condition("outcome other\nper ticket\nbill when paid\nsettle after 5 hours")
    evaluate_waiting(WALL)
    tell("closed", START + 4000 * DAY, "acme")
    evaluate_waiting(WALL)
    text = "outcome dated\nper ticket\nbill when closed\nsettle after 5 hours"
    factories.condition(text, effective_from=START + 3000 * DAY)
    evaluate_waiting(WALL)
    assert [row[0] for row in outcomes_of("acme")] == ["dated", "solved"]


# --- billing by the clock ---------------------------------------------------------------------------------------------


def test_two_months_in_one_call_are_the_two_invoices_of_day_by_day() -> None:
    whole, daily = clock_at(), clock_at()
    for key, clock in (("whole", whole), ("daily", daily)):
        customer(key, clock)
        agree(key, net_days=14)
        tell("closed", START, key)
        forward(clock, START + 28 * DAY)
        tell("closed", START + 28 * DAY, key, "B")
        forward(clock, START + 31 * DAY - HOUR)
        tell("closed", START + 31 * DAY - HOUR, key, "C")  # settles in February
    done = forward(whole, MARCH + DAY)
    at = START + 31 * DAY
    while at <= MARCH + DAY:
        forward(daily, at)
        at += DAY
    assert len(done.played["invoices"]) == done.steps
    assert len(done.told()["invoices"]["issued"]) == 2
    assert invoices_of("whole") == invoices_of("daily")
    assert [(row[4], row[5], row[6]) for row in invoices_of("whole")] == [
        (FEBRUARY, FEBRUARY + 14 * DAY, 400), (MARCH, MARCH + 14 * DAY, 200),
    ]  # fmt: skip


def test_billing_leaves_test_customers_to_their_clocks() -> None:
    clock = clock_at()
    acme = customer("acme", clock)
    customer("live")
    for key in ("acme", "live"):
        agree(key)
    tell("closed", START, "acme")
    tell("closed", WALL - 20 * DAY, "live")
    evaluate_waiting(WALL)
    settle_due(WALL)
    assert len(billing.run(now=WALL).issued) == 1
    assert invoices_of("acme") == []
    clocks.move_forward(clock, FEBRUARY)
    settle_due(WALL)
    assert len(billing.run(now=WALL, only=[acme.id]).issued) == 1
    assert invoices_of("acme")[0][4] == FEBRUARY
    assert billing.run(now=WALL).issued == ()


def test_the_commands_do_as_the_tasks(capsys: Any) -> None:
    clock = clock_at()
    customer("acme", clock)
    agree("acme")
    tell("closed", START, "acme")
    evaluate_waiting(WALL)
    clocks.move_forward(clock, FEBRUARY)
    with freeze_time(WALL):
        call_command("settle")
        assert "1 confirmed" in capsys.readouterr().out
        call_command("bill", "--customer", "acme")
        assert "TEST-000001" in capsys.readouterr().out


def test_invoices_of_test_customers_are_numbered_apart_and_marked(api: Api) -> None:
    for key, clock in (("acme", clock_at()), ("live", None)):
        customer(key, clock)
        agree(key)
        tell("closed", START, key, wall=START)
    evaluate_waiting(WALL)
    settle_due(WALL)
    forward(models.TestClock.objects.get().id, FEBRUARY)
    billing.run(now=WALL)
    told = {row["customer"]: row for row in answer(api.get("/v1/invoices"))["data"]}
    assert {key: (row["test"], row["number"]) for key, row in told.items()} == {
        "acme": (True, "TEST-000001"), "live": (False, "HF-000001"),
    }  # fmt: skip
    assert dict(NumberSeries.objects.values_list("key", "next_number")) == {"test invoice": 2, "invoice": 2}
    for path in ("/v1/outcomes", "/v1/contracts"):
        assert {row["customer"]: row["test"] for row in answer(api.get(path))["data"]} == {"acme": True, "live": False}
    pdfs = {key: api.get(f"/v1/invoices/{row['id']}/pdf").content for key, row in told.items()}
    assert "TEST" in " ".join(pages(pdfs["acme"])).split()
    assert "TEST" not in " ".join(pages(pdfs["live"])).split()


def test_what_a_person_does_with_an_invoice_happens_by_the_clock(settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 48
    clock = clock_at()
    customer("acme", clock)
    agree("acme")
    tell("closed", START, "acme")
    done = forward(clock, FEBRUARY + HOUR)
    assert len(done.told()["invoices"]["drafted"]) == 1
    with freeze_time(WALL):
        shown = preview("acme", now=WALL)
        assert (shown.period.start, shown.period.end) == (FEBRUARY, MARCH)
    [draft] = Invoice.objects.all()
    issued = issue(draft.id, now=WALL)
    assert (issued.issued_at, issued.due_at) == (FEBRUARY + HOUR, FEBRUARY + HOUR + 30 * DAY)
    assert void(draft.id, now=WALL).voided_at == FEBRUARY + HOUR
    forward(clock, FEBRUARY + 2 * DAY)
    [again] = Invoice.objects.filter(status="issued")
    assert again.issued_at == FEBRUARY + 2 * DAY
    assert mark_paid(again.id, now=WALL).paid_at == FEBRUARY + 2 * DAY


# --- advancing --------------------------------------------------------------------------------------------------------


def test_a_clock_without_anything_to_do_takes_one_step_however_far() -> None:
    clock = clock_at()
    customer("acme", clock)
    agree("acme")
    done = forward(clock, START + 36_500 * DAY)
    assert (done.steps, models.TestClock.objects.get().now) == (2, START + 36_500 * DAY)
    assert forward(clock_at(), START + DAY).steps == 2  # nobody lives by it


def test_advancing_to_where_it_stands_does_what_is_due() -> None:
    clock = clock_at()
    customer("acme", clock)
    tell("closed", START - 5 * HOUR, "acme")
    done = forward(clock, START)
    assert (done.events, done.outcomes, done.steps) == (1, Counter(confirmed=1), 1)


def test_a_crash_between_two_steps_is_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clock_at()
    customer("acme", clock)
    agree("acme", billing_period="weekly")
    tell("closed", START, "acme", "A")
    tell("closed", START, "acme", "B")
    calls = []

    def failing(customers: Any, *, now: datetime, wall: datetime) -> Any:
        calls.append(now)
        if len(calls) == 2:
            raise OSError("the plug was pulled")
        return billed(customers, now=now, wall=wall)

    billed = billing.run_clocked
    monkeypatch.setattr(billing, "run_clocked", failing)
    with pytest.raises(OSError, match="plug"):
        forward(clock, START + 40 * DAY)
    assert models.TestClock.objects.get().now == datetime(2026, 1, 5, tzinfo=UTC)
    assert invoices_of("acme") == []
    forward(clock, START + 40 * DAY)
    assert models.TestClock.objects.get().now == START + 40 * DAY
    assert [(row[4], row[6]) for row in invoices_of("acme")] == [(datetime(2026, 1, 5, tzinfo=UTC), 400)]


def test_the_audit_judges_test_customers_by_their_clocks() -> None:
    ahead, behind = clock_at(START + 4000 * DAY), clock_at(START - 4000 * DAY)
    for key, clock, start in (("ahead", ahead, START + 4000 * DAY), ("behind", behind, START - 4000 * DAY)):
        customer(key, clock)
        agree(key, starts_at=start)
        tell("closed", start, key)
        tell("escalated", start, key, "B")
        forward(clock, start + 40 * DAY)
        tell("closed", start + 40 * DAY, key, "C")
        evaluate_waiting(WALL)

    def found() -> list[tuple[str, Any]]:
        results = list(check(collect(), Scope(now=WALL, sample=None)))
        assert not any(result.error for result in results)
        return [(one.invariant.name, row["problem"]) for one in results
                for row in [*one.findings.violation_rows, *one.findings.warning_rows]]  # fmt: skip

    assert found() == []
    for clock in (ahead, behind):
        shown = models.TestClock.objects.get(pk=clock).now
        clocks.move_forward(clock, shown + 60 * DAY)
    assert sorted(found()) == [("settlement", "the outcome has been due for more than an hour")] * 2
    settle_due(WALL)
    assert {name for name, _ in found()} == {"billed once"}
    Outcome.objects.filter(customer__key="behind", state="confirmed").update(settled_at=START)
    assert ("settlement", "the outcome is settled and its window is not over yet") in found()


# --- the API ----------------------------------------------------------------------------------------------------------


def test_a_month_over_the_api(api: Api) -> None:
    clock = answer(api.post("/v1/test_clocks", {"now": "2026-01-01T00:00:00Z", "name": "a month"}), 201)
    assert clock["id"].startswith("clk_")
    assert (clock["now"], clock["status"], clock["customers"]) == ("2026-01-01T00:00:00Z", "ready", 0)
    acme = answer(api("PUT", "/v1/customers/acme", {"currency": "USD", "test_clock": clock["id"]}), 201)
    assert (acme["test"], acme["test_clock"]) == (True, clock["id"])
    contract = {"customer": "acme", "rate_card": "standard", "starts_at": "2026-01-01T00:00:00Z"}
    assert answer(api.post("/v1/contracts", contract), 201)["test"] is True
    answer(
        api.post("/v1/events", {"id": "1", "type": "closed", "customer": "acme", "data": {"ticket": "T", "units": 1}}),
        202,
    )
    path = f"/v1/test_clocks/{clock['id']}"
    done = answer(api.post(f"{path}/advance", {"to": "2026-02-01T00:00:00Z"}, Idempotency_Key="month"))
    [invoice] = done["done"]["invoices"]["issued"]
    assert done["done"] == {
        "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "events_evaluated": 1,
        "outcomes": {"confirmed": 1},
        "invoices": {"issued": [invoice], "credited": [], "drafted": [], "waiting": [], "parked": []},
    }  # fmt: skip
    assert (done["now"], done["status"], done["customers"]) == ("2026-02-01T00:00:00Z", "ready", 1)
    again = api.post(f"{path}/advance", {"to": "2026-02-01T00:00:00Z"}, Idempotency_Key="month")
    assert again["Idempotent-Replayed"] == "true" and answer(again) == done
    assert answer(api.get(path)) == {name: value for name, value in done.items() if name != "done"}
    assert [row["id"] for row in answer(api.get("/v1/test_clocks"))["data"]] == [clock["id"]]
    told = answer(api.get(f"/v1/invoices/{invoice}"))
    assert (told["issued_at"], told["due_at"], told["test"]) == ("2026-02-01T00:00:00Z", "2026-03-03T00:00:00Z", True)


def test_what_the_api_refuses(api: Api) -> None:
    clock = answer(api.post("/v1/test_clocks", {"now": "2026-01-01T00:00:00Z"}), 201)
    path = f"/v1/test_clocks/{clock['id']}"
    error = check_envelope(api.post(f"{path}/advance", {"to": "2025-12-31T23:59:59Z"}), 422, "clock_goes_forward")
    assert error["details"][0]["path"] == "to"
    check_envelope(api.post(f"{path}/advance", {}), 422, "invalid")
    check_envelope(api.post(f"{path}/advance", {"to": "2026-01-02T00:00:00Z", "by": 1}), 422, "invalid")
    check_envelope(api.post("/v1/test_clocks", {"now": "soon"}), 422, "invalid")
    check_envelope(api.post("/v1/test_clocks", {}), 422, "invalid")
    check_envelope(api("DELETE", path), 405, "method_not_allowed")
    unknown = "clk_00000000000000000000000000"
    for answered in (api.get(f"/v1/test_clocks/{unknown}"), api.get("/v1/test_clocks/clk_1"),
                     api.post(f"/v1/test_clocks/{unknown}/advance", {"to": "2026-01-01T00:00:00Z"})):  # fmt: skip
        check_envelope(answered, 404, "not_found")
    body = {"currency": "USD", "test_clock": unknown}
    error = check_envelope(api("PUT", "/v1/customers/acme", body), 422, "unknown_test_clock")
    assert error["details"][0]["path"] == "test_clock"
    answer(api("PUT", "/v1/customers/acme", {"currency": "USD"}), 201)
    body = {"currency": "USD", "test_clock": clock["id"]}
    check_envelope(api("PUT", "/v1/customers/acme", body), 409, "test_clock_fixed")


# --- the admin --------------------------------------------------------------------------------------------------------


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("boss", password="x"))
    return client


def test_a_clock_is_made_and_advanced_in_the_admin(staff: Client) -> None:
    added = staff.post("/admin/contracts/testclock/add/", {"name": "story", "now_0": "2026-01-01", "now_1": "00:00:00"})
    assert added.status_code == 302, added.content
    clock = models.TestClock.objects.get()
    assert (clock.name, clock.now) == ("story", START)
    customer("acme", clock.id)
    agree("acme")
    tell("closed", START, "acme")
    for page in ("", f"{clock.id}/change/", f"{clock.id}/advance/"):
        assert staff.get(f"/admin/contracts/testclock/{page}").status_code == 200
    assert "acme" in staff.get(f"/admin/contracts/testclock/{clock.id}/change/").content.decode()
    page = f"/admin/contracts/testclock/{clock.id}/advance/"
    assert models.TestClock.objects.get().now == START  # looking moves nothing
    shown = staff.post(page, {"to": "2026-02-01T00:00:00Z"}).content.decode()
    assert "Outcomes settled: 1 confirmed." in shown and "Invoices issued: inv_" in shown
    assert models.TestClock.objects.get().now == FEBRUARY
    for wrong, said in (("2026-01-01T00:00:00Z", "is before that"), ("soon", "RFC 3339"), ("", "RFC 3339")):
        assert said in staff.post(page, {"to": wrong}).content.decode()
    for page in ("contracts/customer/", "contracts/customer/?test=1", "contracts/contract/", "outcomes/outcome/"):
        assert "Acme" in staff.get(f"/admin/{page}").content.decode()
    assert "Acme (test)" in staff.get("/admin/invoicing/invoice/").content.decode()
    assert "Acme" not in staff.get("/admin/contracts/customer/?test=0").content.decode()
    missing = "00000000-0000-0000-0000-000000000000"
    assert staff.get(f"/admin/contracts/testclock/{missing}/advance/").status_code == 404


def test_who_may_only_look_cannot_advance(client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("guest", password="x", is_staff=True))
    page = f"/admin/contracts/testclock/{clock_at()}/advance/"
    assert client.post(page, {"to": "2026-02-01T00:00:00Z"}).status_code == 403
    assert models.TestClock.objects.get().now == START


def test_a_customer_is_given_a_clock_in_the_admin(staff: Client) -> None:
    clock = clock_at()
    fields = {"key": "acme", "currency": "USD", "time_zone": "UTC", "locale": "en", "test_clock": str(clock)}
    assert staff.post("/admin/contracts/customer/add/", fields).status_code == 302
    assert models.Customer.objects.get().test_clock_id == clock


def test_messages_leave_by_the_wall_clock_and_tell_the_clocks_time(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    endpoints.create(url="http://127.0.0.1:9/x", events=["*"], now=WALL)
    clock = clock_at(START + 4000 * DAY)
    customer("acme", clock)
    agree("acme", starts_at=START)
    tell("closed", START + 4000 * DAY, "acme")
    forward(clock, START + 4100 * DAY)
    while read_news(WALL):
        pass
    told = {row.type: row for row in Delivery.objects.all()}
    assert set(told) == {"outcome.provisional", "outcome.confirmed", "invoice.issued"}
    assert {row.next_attempt_at for row in told.values()} == {WALL}
    for row in told.values():
        body = json.loads(row.body)
        assert body["data"]["test"] is True
        assert body["timestamp"] > "2036"
