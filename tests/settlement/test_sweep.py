"""When what is computed becomes final: at its own instant, once its past is known, whenever the sweep comes."""

import os
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from freezegun import freeze_time

from contracts.models import Contract, ContractVersion, Customer, RateCard
from outcomes import imports
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Event, Journal, Outcome, Pending
from settlement import sweep, tasks
from settlement.sweep import settle_due
from settlement.watermark import watermarks
from tests.outcomes import factories
from tests.outcomes.factories import START, say, send
from tests.outcomes.test_lifecycle import AT, IMMEDIATE, TICKET

pytestmark = pytest.mark.django_db
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
LATER = START + 20 * DAY
# Stories that are booked by late and by regular sweeps; `SWEEP_SEEDS=50` for more.
SEEDS = int(os.environ.get("SWEEP_SEEDS", "2"))


def tell(*story: tuple[Any, ...], customer: str = "acme", evaluated: bool = True, **data: Any) -> None:
    """(type, hours after START[, ticket]) …, all sent and evaluated on the 20th day."""
    batch = [
        {"id": f"{kind}@{hours}/{'/'.join(ticket)}", "type": kind, "customer": customer, "time": START + hours * HOUR,
         "data": {"ticket": ticket[0] if ticket else "T", "units": 1} | data}
        for kind, hours, *ticket in story
    ]  # fmt: skip
    assert {result.status for result in send(batch, now=LATER)} == {"accepted"}
    if evaluated:
        evaluate_waiting(LATER)


def states(**where: Any) -> list[str]:
    return list(Outcome.objects.filter(**where).order_by("subject__key", "ordinal").values_list("state", flat=True))


def journal(**where: Any) -> list[tuple[str, float]]:
    """(new state, hours after START at which it took effect) in the order of booking, without the openings."""
    entries = Journal.objects.filter(**where).exclude(from_state="").order_by("id")
    return [(entry.to_state, (entry.effective_at - START) / HOUR) for entry in entries]


@pytest.fixture(autouse=True)
def acme() -> Customer:
    factories.condition(TICKET)
    return factories.customer()


# --- what is due ------------------------------------------------------------------------------------------------------

CHECK_IN = "2026-01-03T00:00:00Z"  # two days after START
DUE: dict[str, tuple[str, dict[str, Any], timedelta, str, str]] = {
    "a window of five hours": ("closed", {}, 5 * HOUR, "provisional", "confirmed"),
    "fifty hours of silence": ("escalated", {}, 50 * HOUR, "open", "missed"),
    "an announced time": ("booked", {"check_in": CHECK_IN}, 50 * HOUR, "provisional", "confirmed"),
    "no announced time for 180 days": ("booked", {}, 180 * DAY, "provisional", "void"),
}


@pytest.mark.parametrize(("kind", "data", "wait", "before", "after"), DUE.values(), ids=DUE)
def test_due_to_the_microsecond(kind: str, data: dict[str, Any], wait: timedelta, before: str, after: str) -> None:
    factories.condition(AT)
    say(kind, START, now=START, **data)
    evaluate_waiting(START)
    due = START + wait
    assert settle_due(due - TICK) == Counter()
    assert states() == [before]
    assert settle_due(due) == Counter({after: 1})
    assert states() == [after]
    assert settle_due(due + TICK) == Counter()
    last = Journal.objects.latest("id")
    assert (last.from_state, last.to_state, last.cause, last.effective_at) == (before, after, "clock", due)


def test_settled_immediately_is_settled_at_the_event() -> None:
    factories.condition(IMMEDIATE.replace("closed", "paid"))
    say("paid", START, now=START)
    evaluate_waiting(START)
    assert settle_due(START - TICK) == Counter()
    assert settle_due(START) == Counter(confirmed=1)
    assert Outcome.objects.get().settled_at == START


@pytest.mark.parametrize("known_by", ["sweep", "evaluation"])
@pytest.mark.parametrize(
    ("kind", "end", "review"), [("booked", 181 * DAY, ["settle_time_unknown"]), ("escalated", 51 * HOUR, [])]
)
def test_what_ends_unbilled_is_worth_nothing_whoever_finds_out(
    kind: str, end: timedelta, review: list[str], known_by: str
) -> None:
    """An event after the end may make the evaluation compute it before any sweep has come by."""
    factories.condition(AT + "dimension room = latest room of booked\n")
    say(kind, START, now=START, room="12")
    evaluate_waiting(START)
    if known_by == "evaluation":
        say(kind, START + end, now=START + end, room="12")
        evaluate_waiting(START + end)
    settle_due(START + end)
    first = Outcome.objects.get(ordinal=1)
    assert (first.quantity, first.amount, first.dimensions, first.review) == (None, None, {}, review)
    assert first.due_at is None


def test_held_back_three_days_the_instants_are_the_same() -> None:
    tell(("closed", 0, "A"), ("escalated", 1, "B"), ("closed", 2, "C"))
    settle_due(LATER + 3 * DAY)
    assert journal(to_state__in=["confirmed", "missed"]) == [("confirmed", 5), ("confirmed", 7), ("missed", 51)]
    assert set(Journal.objects.filter(cause="clock").values_list("recorded_at", flat=True)) == {LATER + 3 * DAY}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_held_back_three_days_it_books_what_regular_sweeps_book(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was told in the meantime, void, lapsed, missed, reversed and billed anew: the same rows in each
    outcome's journal, at the same instants.
    """
    chance = random.Random(seed)
    factories.condition(TICKET.replace("solved", "other").replace("after 50 hours", "after 9 hours"))
    story = [
        (f"e{n}", chance.choice(["closed", "closed", "reopened", "escalated"]), chance.randrange(72 * 60), f"T{n % 25}")
        for n in range(120)
    ]

    def book(regularly: bool) -> list[tuple[Any, ...]]:
        monkeypatch.setattr("settlement.sweep.BATCH", chance.choice([1, 7, 1000]))
        with transaction.atomic():
            for hour in range(3, 73, 3):
                now = START + hour * HOUR
                told = [
                    {"id": name, "type": kind, "customer": "acme", "time": START + timedelta(minutes=minute),
                     "data": {"ticket": ticket}}
                    for name, kind, minute, ticket in sorted(story, key=lambda told: told[2])
                    if hour - 3 <= minute / 60 < hour
                ]  # fmt: skip
                assert {result.status for result in send(told, now=now)} <= {"accepted"}
                evaluate_waiting(now)
                if regularly or hour == 72:
                    settle_due(now)
            names = dict(Event.objects.values_list("seq", "event_id")) | {None: None}
            rows = list(
                Journal.objects.order_by("outcome__condition", "outcome__subject__key", "outcome__ordinal", "id")
                .values_list(
                    "event_seq", "outcome__condition__slug", "outcome__subject__key", "outcome__ordinal", "from_state",
                    "to_state", "cause", "clause", "effective_at",
                )
            )  # fmt: skip
            transaction.set_rollback(True)
        return [(names[row[0]], *row[1:]) for row in rows]

    held = book(regularly=False)
    assert held == book(regularly=True)
    assert {row[5] for row in held} == {"open", "provisional", "confirmed", "void", "missed", "reversed"}


@pytest.mark.parametrize("queued", [False, True])
def test_the_journal_is_in_order_of_due(queued: bool) -> None:
    tell(*(("closed", hours, f"T{hours}") for hours in (7, 3, 9, 1, 4)))
    if queued:
        tell(*(("reopened", hours + 7, f"T{hours}") for hours in (7, 3, 9, 1, 4)))
    settle_due(LATER + 3 * DAY)
    assert journal(to_state="confirmed") == [("confirmed", hours + 5) for hours in (1, 3, 4, 7, 9)]


def test_in_small_batches_it_is_the_same_and_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settlement.sweep.BATCH", 2)
    tell(*(("closed", hours, f"T{hours}") for hours in range(5)), ("closed", 0, "Q"), ("reopened", 7, "Q"))
    told: list[int] = []
    assert settle_due(LATER, progress=told.append) == Counter(confirmed=6, reversed=1)
    assert sum(told) == 7
    assert journal(to_state="confirmed", outcome__subject__key__startswith="T") == [
        ("confirmed", hours + 5) for hours in range(5)
    ]


_COPIES = """
INSERT INTO outcomes_outcome SELECT (jsonb_populate_record(o, jsonb_build_object(
    'id', gen_random_uuid(), 'subject_id', -n, 'due_at', o.due_at + n * interval '1 minute',
    'queue', CASE WHEN n % 200 = 0 THEN '[]'::jsonb END
))).* FROM outcomes_outcome o, generate_series(1, 5000) n
"""


@pytest.mark.parametrize(
    ("statement", "scan", "found"),
    [
        ("settle", ("outcome_due", "Forward"), 299),
        ("settle_last", ("outcome_due", "Backward"), 299),
        ("queued", ("outcome_queued", "Forward"), 1),
    ],
)
def test_a_sweep_reads_what_it_books_and_not_what_is_stored(statement: str, scan: tuple[str, str], found: int) -> None:
    tell(("closed", 0))
    first = START + 5 * HOUR
    with connection.cursor() as cursor:
        cursor.execute(_COPIES)
        cursor.execute("DELETE FROM outcomes_outcome WHERE subject_id > 0")
        # Among so few a bitmap of the same index may look cheaper.
        cursor.execute("ANALYZE outcomes_outcome; SET LOCAL enable_bitmapscan = off")
        until = first + timedelta(minutes=300)
        scope = sweep._scope(cursor, until, first, until, None)
        analyze = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
        cursor.execute(analyze + getattr(sweep._WALL, statement), scope)
        [[[plan]]] = cursor.fetchall()

    def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", ()):
            yield from nodes(child)

    [due] = [node for node in nodes(plan["Plan"]) if node.get("Index Name", "").startswith(scan[0])]
    assert (due["Index Name"], due["Scan Direction"], due["Actual Rows"]) == (*scan, found), plan
    assert not [node for node in nodes(plan["Plan"]) if node["Node Type"] == "Seq Scan" and node["Alias"] == "o"], plan


def test_until_bounds_what_is_booked_and_now_bounds_until() -> None:
    tell(("closed", 0, "A"), ("closed", 1, "B"))
    assert settle_due(LATER, until=START + 5 * HOUR) == Counter(confirmed=1)
    assert settle_due(START + 5 * HOUR, until=LATER) == Counter()
    assert settle_due(LATER, until=START + 6 * HOUR - TICK) == Counter()
    assert settle_due(LATER, until=START + 6 * HOUR) == Counter(confirmed=1)


# --- the watermark ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [(5 * HOUR - TICK, "provisional"), (5 * HOUR, "confirmed"), (5 * HOUR + TICK, "confirmed")],
)
def test_an_event_that_waits_holds_what_ends_after_its_time(waiting: timedelta, expected: str) -> None:
    tell(("closed", 0, "A"))
    say("closed", START + waiting, now=LATER, ticket="B")
    settle_due(LATER)
    assert states(subject__key="A") == [expected]


def test_each_partition_has_its_own_watermark(acme: Customer) -> None:
    other = factories.customer("globex")
    assert acme.partition != other.partition
    tell(("closed", 0))
    tell(("closed", 0), customer="globex")
    say("closed", START, now=LATER, ticket="late")
    marks = watermarks(LATER)
    assert (marks[acme.partition], marks[other.partition]) == (START, LATER)
    assert {mark for n, mark in enumerate(marks) if n != acme.partition} == {LATER}
    assert settle_due(LATER) == Counter(confirmed=1)
    assert states(customer=acme) == ["provisional"]
    assert states(customer=other) == ["confirmed"]


def test_an_event_ahead_of_the_clock_does_not_carry_the_watermark_ahead() -> None:
    say("closed", START + timedelta(minutes=4), now=START)
    assert set(watermarks(START)) == {START}


@pytest.mark.parametrize("queued", [False, True])
def test_an_event_accepted_while_the_sweep_prepares_is_seen(queued: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(("closed", 0), *([("reopened", 7)] if queued else []))
    kept, calls = sweep._kept, []

    def meanwhile(cursor: Any) -> Any:
        calls.append(1)
        if len(calls) == (1 if queued else 2):  # rows with a queue are swept first, then those of the clock alone
            say("escalated", START + 4 * HOUR, now=LATER)
        return kept(cursor)

    monkeypatch.setattr(sweep, "_kept", meanwhile)
    assert settle_due(LATER) == Counter()
    monkeypatch.undo()
    evaluate_waiting(LATER)
    settle_due(LATER)
    assert not Journal.objects.filter(to_state="confirmed").exists()


def test_the_sweep_waits_for_the_queue_of_computed_changes_too() -> None:
    """Confirmed and reversed both before anybody looked: an event that waits holds the second, not the first."""
    tell(("closed", 0), ("reopened", 7))
    say("closed", START + 6 * HOUR, now=LATER, ticket="other")
    assert settle_due(LATER) == Counter(confirmed=1)
    Pending.objects.all().delete()
    assert settle_due(LATER) == Counter(reversed=1)


# --- grace and pauses -------------------------------------------------------------------------------------------------


def grace(customer: Customer, seconds: int, *, effective_at: datetime = START) -> None:
    card, _ = RateCard.objects.get_or_create(key="standard", defaults={"created_at": START})
    contract, _ = Contract.objects.get_or_create(
        customer=customer, defaults={"currency": "USD", "starts_at": START, "created_at": START}
    )
    ContractVersion.objects.create(
        contract=contract,
        number=contract.versions.count() + 1,
        effective_at=effective_at,
        rate_card=card,
        settlement_grace_seconds=seconds,
        created_at=START,
    )


@pytest.mark.parametrize("queued", [False, True])
def test_a_grace_delays_the_booking_and_moves_no_instant(acme: Customer, queued: bool) -> None:
    grace(acme, 3600)
    globex = factories.customer("globex")
    for customer in ("acme", "globex"):
        tell(("closed", 0), *([("reopened", 5 + 2)] if queued else []), customer=customer)
    end = START + 5 * HOUR
    settle_due(end + HOUR - TICK)
    assert states(customer=acme) == ["provisional"]
    assert states(customer=globex) == ["confirmed"]
    settle_due(end + HOUR)
    assert states(customer=acme) == ["confirmed"]
    assert set(Outcome.objects.values_list("settled_at", flat=True)) == {end}


def test_the_latest_version_of_the_contract_says_the_grace(acme: Customer) -> None:
    grace(acme, 3600)
    grace(acme, 60, effective_at=START + DAY)
    tell(("closed", 0))
    settle_due(START + 5 * HOUR + timedelta(seconds=59))
    assert states() == ["provisional"]
    settle_due(START + 5 * HOUR + timedelta(seconds=60))
    assert states() == ["confirmed"]


@pytest.mark.parametrize("queued", [False, True])
def test_an_open_import_pauses_the_customers_it_touches(acme: Customer, queued: bool) -> None:
    globex = factories.customer("globex")
    for customer in ("acme", "globex"):
        tell(("closed", 0), *([("reopened", 7)] if queued else []), customer=customer)
    first, second = (imports.open_import(now=LATER) for _ in range(2))
    for opened in (first, second):
        send(
            [{"id": str(opened.id), "type": "unheard", "customer": "acme", "time": START}],
            now=LATER,
            import_id=opened.id,
        )
    evaluate_waiting(LATER)
    final = "reversed" if queued else "confirmed"
    settle_due(LATER)
    assert (states(customer=acme), states(customer=globex)) == (["provisional"], [final])
    imports.close_import(first.id, now=LATER)
    settle_due(LATER)
    assert states(customer=acme) == ["provisional"]
    imports.close_import(second.id, now=LATER)
    settle_due(LATER)
    assert states(customer=acme) == [final]


def test_history_loaded_backwards_by_an_import_confirms_nothing_wrongly() -> None:
    opened = imports.open_import(now=LATER)
    for kind, hours in (("closed", 0), ("reopened", 1)):
        event = {"id": kind, "type": kind, "customer": "acme", "time": START + hours * HOUR, "data": {"ticket": "T"}}
        send([event], now=LATER, import_id=opened.id)
        evaluate_waiting(LATER)
        settle_due(LATER)
    imports.close_import(opened.id, now=LATER)
    settle_due(LATER)
    assert states() == ["void"]
    assert not Journal.objects.filter(to_state__in=["confirmed", "reversed"]).exists()


# --- the queue --------------------------------------------------------------------------------------------------------


def test_confirmed_and_reversed_after_the_fact_are_both_booked_each_at_its_instant() -> None:
    tell(("closed", 0), ("reopened", 7))
    assert journal() == [("provisional", 0)]
    assert settle_due(LATER) == Counter(confirmed=1, reversed=1)
    assert journal() == [("provisional", 0), ("confirmed", 5), ("reversed", 7)]
    outcome = Outcome.objects.get()
    assert (outcome.state, outcome.settled_at, outcome.ended_at) == ("reversed", START + 5 * HOUR, START + 7 * HOUR)
    assert (outcome.queue, outcome.due_at) == (None, None)


@pytest.mark.parametrize("stops", [[5, 7], [6, 7], [5, 8], [4, 5, 6, 7, 8], [6.999999, 7], [400]])
def test_a_queue_is_booked_step_by_step_as_the_sweep_comes_by(stops: list[float]) -> None:
    tell(("closed", 0), ("reopened", 7))
    for stop in stops:
        settle_due(LATER, until=START + stop * HOUR)
        expected = "provisional" if stop < 5 else "confirmed" if stop < 7 else "reversed"
        assert states() == [expected]
    assert journal() == [("provisional", 0), ("confirmed", 5), ("reversed", 7)]


@pytest.mark.parametrize("attempts", [2, 5])
@pytest.mark.parametrize("first_stop", [0, 5, 6, 9, 12])
def test_reversed_and_billed_anew_in_one_sweep(attempts: int, first_stop: int) -> None:
    """At no moment are two outcomes of one subject confirmed, however many are in one sweep's hands."""
    story = []
    for n in range(attempts):
        story += [("closed", 7 * n), ("reopened", 7 * n + 6)]
    tell(*story[:-1], ("closed", 7 * attempts + 6))
    settle_due(LATER, until=START + first_stop * HOUR)
    settle_due(LATER)
    assert states() == ["reversed"] * (attempts - 1) + ["confirmed"]
    for n, outcome in enumerate(Outcome.objects.order_by("ordinal")):
        steps = [("provisional", 7 * n), ("confirmed", 7 * n + 5), ("reversed", 7 * n + 6)]
        assert journal(outcome=outcome) == steps[: 3 if n < attempts - 1 else 2]


def test_what_the_sweep_has_booked_is_not_booked_again_when_the_fold_catches_up() -> None:
    tell(("closed", 0))
    settle_due(LATER)
    tell(("closed", 8), ("closed", 9))
    assert settle_due(LATER) == Counter()
    assert journal() == [("provisional", 0), ("confirmed", 5)]


# --- by hand and by message -------------------------------------------------------------------------------------------


def settle(capsys: Any, *arguments: str) -> str:
    with freeze_time(LATER):
        call_command("settle", *arguments)
    return str(capsys.readouterr().out).strip()


def test_the_command_says_what_it_booked(capsys: Any) -> None:
    tell(("closed", 0, "A"), ("escalated", 0, "B"), ("closed", 9, "C"))
    until = "2026-01-01T05:00:00+00:00"
    assert settle(capsys, "--until", "2026-01-01T05:00:00Z") == f"Settled up to {until}: 1 confirmed."
    assert settle(capsys, "--until", "2026-01-01T06:00:00+01:00") == f"Settled up to {until}: nothing was due."
    assert settle(capsys) == f"Settled up to {LATER.isoformat()}: 1 confirmed, 1 missed."


def test_the_command_never_looks_ahead(capsys: Any) -> None:
    say("closed", LATER, now=LATER)
    evaluate_waiting(LATER)
    assert settle(capsys, "--until", "2027-01-01T00:00:00Z") == f"Settled up to {LATER.isoformat()}: nothing was due."


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", ""])
def test_the_command_explains_a_bad_time(text: str) -> None:
    with pytest.raises(CommandError, match="--until"):
        call_command("settle", "--until", text)


def test_the_task_settles_what_is_due_now() -> None:
    tell(("closed", 0))
    with freeze_time(START + 5 * HOUR):
        tasks.settle()
    assert states() == ["confirmed"]
