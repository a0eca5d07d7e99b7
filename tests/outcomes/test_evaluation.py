"""From accepted events to subjects and outcomes: routing, keys, versions, replays, and batches that fail."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from outcomes import inbox
from outcomes.evaluation import evaluate_batch, evaluate_waiting
from outcomes.intake import accept
from outcomes.models import Event, InboxItem, Journal, Outcome, Pending, Subject, SubjectEvent
from outcomes.programs import MAX_KEY_BYTES
from outcomes.queries import plain
from outcomes.wire import read_events
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, say, send
from tests.outcomes.test_lifecycle import EVER, TICKET

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = START + 20 * DAY


def tell(*events: tuple[str, dict[str, Any]], customer: str = "acme") -> None:
    """(type, data) …, an hour apart from START on, in one batch; evaluated."""
    first = Event.objects.count()
    batch = [
        {"id": f"e{first + n}", "type": kind, "customer": customer, "time": START + (first + n) * HOUR, "data": data}
        for n, (kind, data) in enumerate(events)
    ]
    assert {result.status for result in send(batch, now=NOW)} == {"accepted"}
    evaluate_waiting(NOW)
    assert not Pending.objects.exists()


def subjects() -> list[tuple[str, str]]:
    return sorted(Subject.objects.values_list("condition__slug", "key"))


def states(**where: Any) -> list[str]:
    return list(Outcome.objects.filter(**where).order_by("condition__slug", "ordinal").values_list("state", flat=True))


@pytest.fixture(autouse=True)
def acme() -> Any:
    return factories.customer()


# --- routing ----------------------------------------------------------------------------------------------------------

PER_AGENT = 'outcome helped "Helped"\nper agent\nbill when closed\n'
PER_PAIR = 'outcome pair "Pair"\nper agent, ticket\nbill when closed\n'


def test_one_event_is_about_a_subject_of_each_condition_that_mentions_it() -> None:
    for text in (TICKET, PER_AGENT, PER_PAIR, 'outcome other "Other"\nper ticket\nbill when opened\n'):
        factories.condition(text)
    tell(("closed", {"ticket": "T", "agent": "Ann", "units": 1}))
    assert subjects() == [("helped", "Ann"), ("pair", '["Ann", "T"]'), ("solved", "T")]
    assert states() == ["provisional"] * 3
    assert set(SubjectEvent.objects.values_list("seq", flat=True)) == {Event.objects.get().seq}


def test_one_batch_is_about_many_subjects_of_many_customers() -> None:
    factories.condition(TICKET)
    factories.customer("globex")
    batch = [
        {"id": f"e{n}", "type": kind, "customer": customer, "time": START + n * HOUR, "data": {"ticket": ticket}}
        for n, (customer, ticket, kind) in enumerate(
            [("acme", "A", "closed"), ("globex", "A", "closed"), ("acme", "B", "escalated"), ("acme", "A", "reopened")]
        )
    ]
    send(batch, now=NOW)
    assert evaluate_batch(NOW)[:3] == (4, 0, 3)
    found = Outcome.objects.values_list("customer__key", "subject__key", "state")
    assert set(found) == {("acme", "A", "void"), ("globex", "A", "provisional"), ("acme", "B", "open")}


def test_an_event_that_nobody_mentions_is_evaluated_and_leaves_nothing_behind() -> None:
    factories.condition(TICKET)
    tell(("heartbeat", {"ticket": "T"}))
    assert not Subject.objects.exists()
    assert not InboxItem.objects.exists()
    assert Event.objects.count() == 1


def test_without_any_condition_events_are_evaluated_too() -> None:
    tell(("closed", {"ticket": "T"}))
    assert not Subject.objects.exists()


def test_a_condition_hears_of_what_came_before_and_after_it_was_made() -> None:
    tell(("closed", {"ticket": "early"}))
    factories.condition(TICKET)
    tell(("closed", {"ticket": "late"}))
    assert subjects() == [("solved", "early"), ("solved", "late")]


def test_a_limit_stops_after_the_batch_that_reaches_it(settings: Any) -> None:
    settings.EVALUATION_BATCH = 2
    send([{"id": f"e{n}", "type": "x", "customer": "acme", "time": START} for n in range(7)], now=NOW)
    assert evaluate_waiting(NOW, limit=3) == 4
    assert Pending.objects.count() == 3
    assert evaluate_waiting(NOW) == 3
    assert evaluate_waiting(NOW) == 0


# --- keys -------------------------------------------------------------------------------------------------------------

KEYS: dict[str, tuple[Any, str | None]] = {
    "a text": ("T-9", "T-9"),
    "a text of digits": ("007", "007"),
    "an empty text": ("", ""),
    "a number": (9, "9"),
    "a decimal": (9.50, "9.5"),
    "a large number": (1e20, "100000000000000000000"),
    "true": (True, "true"),
    "false": (False, "false"),
    "not ASCII": ("Müller 😀 \u202e", "Müller 😀 \u202e"),
    "quotes and line ends": ("a\"b'c\n\t\\", "a\"b'c\n\t\\"),
    "of the greatest length": ("ä" * (MAX_KEY_BYTES // 2), "ä" * (MAX_KEY_BYTES // 2)),
    "too long": ("ä" * (MAX_KEY_BYTES // 2) + "x", None),
    "as long as a text may be": ("".join(chr(0x4E00 + n) for n in range(8192)), None),
    "null": (None, None),
    "a list": (["T"], None),
    "an object": ({"id": "T"}, None),
    "a number beyond the language": (10**38, None),
}


@pytest.mark.parametrize(("value", "key"), KEYS.values(), ids=KEYS)
def test_what_names_a_subject(value: Any, key: str | None) -> None:
    factories.condition(TICKET)
    tell(("closed", {"ticket": value, "units": 1}))
    if key is None:
        assert InboxItem.objects.get().reason == "missing_key"
        assert not Subject.objects.exists()
    else:
        assert subjects() == [("solved", key)]


def test_the_same_key_in_another_notation_is_the_same_subject() -> None:
    factories.condition(TICKET)
    tell(("closed", {"ticket": 5}), ("closed", {"ticket": "5"}), ("closed", {"ticket": 5.0}))
    assert subjects() == [("solved", "5")]


def test_several_keys_name_a_subject_together_and_each_is_needed() -> None:
    factories.condition(PER_PAIR)
    tell(
        ("closed", {"agent": "Zoë", "ticket": 1}),
        ("closed", {"agent": "Zoë", "ticket": True}),
        ("closed", {"agent": "a,b", "ticket": "c"}),
        ("closed", {"agent": "a", "ticket": "b,c"}),
        ("closed", {"agent": "a"}),
    )
    expected = [["Zoë", "1"], ["Zoë", "true"], ["a,b", "c"], ["a", "b,c"]]
    assert sorted(json.loads(key) for _, key in subjects()) == sorted(expected)
    assert ("pair", '["Zoë", "1"]') in subjects()
    assert InboxItem.objects.get().reason == "missing_key"


def test_an_event_with_the_key_of_one_condition_is_not_in_the_inbox_for_the_other() -> None:
    for text in (TICKET, PER_AGENT):
        factories.condition(text)
    tell(("closed", {"ticket": "T"}))
    assert subjects() == [("solved", "T")]
    assert not InboxItem.objects.exists()


def test_without_any_key_it_lies_in_the_inbox_with_the_conditions_named() -> None:
    for text in (TICKET, PER_AGENT):
        factories.condition(text)
    tell(("closed", {"other": 1.5}))
    item = InboxItem.objects.get()
    assert (item.reason, item.customer_key, item.event_id, item.type) == ("missing_key", "acme", "e0", "closed")
    assert item.event_seq == Event.objects.get().seq
    assert "helped, solved" in item.message
    sent = {"id": "e0", "type": "closed", "customer": "acme", "time": "2026-01-01T00:00:00Z", "data": {"other": 1.5}}
    assert json.loads(item.body) == sent


def test_a_retry_finds_the_key_once_a_condition_knows_it_else_it_waits_again() -> None:
    factories.condition(TICKET)
    tell(("closed", {"agent": "Ann"}))
    inbox.retry(inbox.waiting(), now=NOW)
    evaluate_waiting(NOW)
    assert sorted(InboxItem.objects.values_list("status", flat=True)) == ["resolved", "waiting"]
    factories.condition(PER_AGENT)
    inbox.retry(inbox.waiting(), now=NOW)
    evaluate_waiting(NOW)
    assert subjects() == [("helped", "Ann")]
    assert set(InboxItem.objects.values_list("status", flat=True)) == {"resolved"}


# --- values -----------------------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[Any, str | None]] = {
    "one": (1, "1"),
    "exact decimals": (0.1, "0.1"),
    "the greatest": (10**38 - 1, "9" * 38),
    "thirty decimals": ("1e-30", "0." + "0" * 29 + "1"),
    "too great for its column": ("1e38", None),
    "far too great": ("1e60", None),
    "beyond the language": ("1e400", None),
    "negative": (-1, None),
    "a text": ("'1'", None),
}  # fmt: skip


@pytest.mark.parametrize(("units", "quantity"), VALUES.values(), ids=VALUES)
def test_a_quantity_is_exact_or_unknown_and_never_stops_the_rest(units: Any, quantity: str | None) -> None:
    factories.condition(TICKET)
    written = str(units).replace("'", '"')
    body = '{"id":"e","type":"closed","customer":"acme","time":"2026-01-01T00:00:00Z","data":{"ticket":"T","units":%s}}'
    accept(read_events([(body % written).encode()]), now=NOW)
    evaluate_waiting(NOW)
    assert not Pending.objects.exists()
    settle_due(NOW)
    outcome = Outcome.objects.get()
    assert outcome.state == "confirmed"
    assert plain(outcome.quantity) == quantity
    assert outcome.review == ([] if quantity else ["quantity_unknown"])


def test_a_total_that_outgrows_its_column_is_unknown() -> None:
    factories.condition(TICKET.replace("quantity latest units of closed", "quantity total units of closed"))
    tell(*(("closed", {"ticket": "T", "units": 9 * 10**37}) for _ in range(2)))
    assert Outcome.objects.get().review == ["quantity_unknown"]


# --- versions ---------------------------------------------------------------------------------------------------------

LONGER = TICKET.replace("settle after 5 hours", "settle after 9 hours")


def test_an_attempt_keeps_the_version_in_force_at_its_first_event() -> None:
    first = factories.condition(TICKET)
    second = factories.condition(LONGER, effective_from=START + 2 * HOUR)
    for ticket, hours in (("before", 1), ("at", 2), ("across", 1)):
        say("escalated" if ticket == "across" else "closed", START + hours * HOUR, now=NOW, ticket=ticket)
    evaluate_waiting(NOW)
    say("closed", START + 3 * HOUR, now=NOW, ticket="before")
    evaluate_waiting(NOW)
    found = Outcome.objects.values_list("subject__key", "version", "settles_at")
    assert set(found) == {
        ("before", first.pk, START + 6 * HOUR),
        ("at", second.pk, START + 11 * HOUR),
        ("across", first.pk, None),
    }


def test_before_a_dated_first_version_nothing_begins() -> None:
    factories.condition(TICKET, effective_from=START + HOUR)
    say("closed", START, now=NOW)
    evaluate_waiting(NOW)
    assert (states(), subjects()) == ([], [("solved", "T")])
    say("closed", START + HOUR, now=NOW)
    evaluate_waiting(NOW)
    assert states() == ["provisional"]


def test_a_new_attempt_after_a_void_takes_the_new_version() -> None:
    factories.condition(TICKET)
    tell(("closed", {"ticket": "T"}), ("reopened", {"ticket": "T"}))
    second = factories.condition(LONGER, effective_from=START + 2 * HOUR)
    tell(("closed", {"ticket": "T"}))
    assert list(Outcome.objects.order_by("ordinal").values_list("state", "version__number")) == [
        ("void", 1),
        ("provisional", 2),
    ]
    assert Outcome.objects.get(version=second).settles_at == START + 11 * HOUR


def test_a_new_version_with_ever_reads_the_history_from_the_start() -> None:
    """The stored state does not know of an escalation long ago: the subject is replayed, nothing booked changes."""
    plain = EVER.replace(" and no escalated ever", "")
    factories.condition(plain)
    tell(("escalated", {"ticket": "T"}), ("closed", {"ticket": "T"}), ("reopened", {"ticket": "T"}))
    before = list(Journal.objects.values_list("id", flat=True))
    assert states() == ["void"]
    factories.condition(EVER, effective_from=START + 3 * HOUR)
    send(
        [{"id": "again", "type": "closed", "customer": "acme", "time": START + 4 * HOUR, "data": {"ticket": "T"}}],
        now=NOW,
    )
    assert evaluate_batch(NOW).replayed == 1
    assert states() == ["void", "provisional"]
    assert list(Journal.objects.filter(outcome__ordinal=1).values_list("id", flat=True)) == before
    send(
        [{"id": "once more", "type": "closed", "customer": "acme", "time": START + 5 * HOUR, "data": {"ticket": "T"}}],
        now=NOW,
    )
    assert evaluate_batch(NOW).replayed == 0


def test_a_new_version_with_ever_sees_what_the_subject_was_told_before_it_was_made() -> None:
    factories.condition(TICKET)  # mentions `escalated`, so that it belongs to the subject's history
    tell(("closed", {"ticket": "T"}), ("reopened", {"ticket": "T"}), ("escalated", {"ticket": "T"}))
    settle_due(START + 60 * HOUR)
    ever = TICKET.replace("no escalated", "no escalated ever")
    factories.condition(ever, effective_from=START + 60 * HOUR)
    say("closed", START + 61 * HOUR, now=NOW)
    evaluate_waiting(NOW)
    assert states() == ["void", "missed", "open"]


# --- the two paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "replayed"), [(0.5, 1), (1, 0), (2, 0)], ids=["older", "at the same instant", "newer"]
)
def test_only_an_older_event_costs_a_replay(hours: float, replayed: int) -> None:
    factories.condition(TICKET)
    tell(("escalated", {"ticket": "T"}), ("escalated", {"ticket": "T"}))
    say("closed", START + hours * HOUR, now=NOW)
    assert evaluate_batch(NOW).replayed == replayed


def test_within_a_batch_events_fold_in_order_of_time_then_of_acceptance() -> None:
    factories.condition(TICKET)
    batch = [
        {"id": kind, "type": kind, "customer": "acme", "time": START + hours * HOUR, "data": {"ticket": "T"}}
        for kind, hours in (("reopened", 1), ("closed", 0), ("escalated", 1))
    ]
    send(batch, now=NOW)
    evaluate_waiting(NOW)
    first, second = Outcome.objects.order_by("ordinal")
    assert (first.state, first.ended_by_seq) == ("void", Event.objects.get(event_id="reopened").seq)
    assert (second.state, second.first_seq) == ("open", Event.objects.get(event_id="escalated").seq)


def test_what_settles_late_by_a_replay_is_restated_not_reversed() -> None:
    """A closing from before the one that was billed: the same bill, met earlier."""
    factories.condition(TICKET)
    say("closed", START + 2 * HOUR, now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW)
    say("seen", START + HOUR, now=NOW)
    say("closed", START + HOUR, now=NOW)
    evaluate_waiting(NOW)
    settle_due(NOW)
    standing = Outcome.objects.exclude(state__in=["reversed", "superseded"])
    assert [(o.state, o.met_at, o.settled_at) for o in standing] == [("confirmed", START + HOUR, START + 6 * HOUR)]


# --- batches that fail ------------------------------------------------------------------------------------------------


POISON = "ALTER TABLE outcomes_subject ADD CONSTRAINT no_poison CHECK (key <> 'poison') NOT VALID"
MEND = "ALTER TABLE outcomes_subject DROP CONSTRAINT no_poison"


def run_sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_poisoned_partition_stalls_alone_and_goes_on_once_mended(acme: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Here the database refuses to write one subject; it stands for any bug that one subject's events provoke."""
    factories.condition(TICKET)
    others = [factories.customer(key) for key in ("globex", "initech", "umbrella")]
    assert len({customer.partition for customer in (acme, *others)}) == 4
    tell(("escalated", {"ticket": "poison"}), ("escalated", {"ticket": "healthy"}))
    run_sql(POISON)
    for customer in (acme, *others):
        say("closed", START + 5 * HOUR, now=NOW, customer=customer.key, ticket="healthy")
    say("closed", START + 4 * HOUR, now=NOW, ticket="poison")

    assert evaluate_waiting(NOW) == 3
    assert set(Pending.objects.values_list("partition", flat=True)) == {acme.partition}
    assert states(customer__in=others) == ["provisional"] * 3
    assert states(customer=acme) == ["open", "open"]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "partition_stalled" in errors[0]
    settle_due(NOW)
    assert states(customer__in=others) == ["confirmed"] * 3
    assert states(customer=acme) == ["open", "open"], "nothing settles past an event that waits"

    assert evaluate_waiting(NOW) == 0
    run_sql(MEND)
    assert evaluate_waiting(NOW) == 2
    settle_due(NOW)
    assert states(customer=acme) == ["missed", "missed"]
    assert Journal.objects.filter(to_state="open").count() == 5
