"""What becomes of an event that is sent: accepted, known already, or refused with the reason; and kept in any case."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.core.cache import cache

from outcomes import imports, inbox
from outcomes.intake import ImportClosed, Result, accept
from outcomes.models import Event, EventIdentity, ImportCustomer, InboxItem, Pending
from outcomes.store import read_event as stored_event
from outcomes.tasks import ring
from outcomes.wire import read_events
from settlement.watermark import paused_customers
from tests.outcomes import factories
from tests.outcomes.factories import START, send

pytestmark = pytest.mark.django_db
NOW = START + timedelta(days=60)
TICK = timedelta(microseconds=1)
OLDEST = NOW - timedelta(days=35)
NEWEST = NOW + timedelta(minutes=5)


def event(name: str = "e1", **fields: Any) -> dict[str, Any]:
    return {"id": name, "type": "closed", "customer": "acme", "time": NOW, "data": {"ticket": "T"}} | fields


def raw(*bodies: bytes, now: datetime = NOW, **options: Any) -> list[Result]:
    return accept(read_events(bodies), now=now, **options)


def verdicts(results: list[Result]) -> list[str]:
    """`accepted`, `duplicate`, or the reason of the refusal."""
    return [result.code or result.status for result in results]


@pytest.fixture(autouse=True)
def acme() -> Any:
    return factories.customer()


# --- identity ---------------------------------------------------------------------------------------------------------

FIRST = b'{"id":"e1","type":"closed","customer":"acme","time":"2026-03-01T00:00:00Z","data":{"a":1,"b":[5,{"c":null}]}}'
SAME = {
    "again": FIRST,
    "other key order": (
        b'{"data":{"b":[5,{"c":null}],"a":1},"time":"2026-03-01T00:00:00Z","customer":"acme","type":"closed","id":"e1"}'
    ),
    "white space": FIRST.replace(b",", b" ,\n\t").replace(b":1", b" : 1"),
    "1.0 for 1": FIRST.replace(b'"a":1', b'"a":1.0'),
    "1e0 for 1": FIRST.replace(b'"a":1', b'"a":1e0'),
    "5.00 for 5": FIRST.replace(b"[5", b"[5.00"),
    "the same instant in another zone": FIRST.replace(b"00:00:00Z", b"01:00:00+01:00"),
    "with microseconds": FIRST.replace(b"00:00Z", b"00:00.000000Z"),
    "escaped": FIRST.replace(b"closed", b"clos\\u0065d"),
}
OTHER = {
    "other type": FIRST.replace(b"closed", b"reopened"),
    "one microsecond later": FIRST.replace(b"00:00Z", b"00:00.000001Z"),
    "time left out": FIRST.replace(b'"time":"2026-03-01T00:00:00Z",', b""),
    "other data": FIRST.replace(b'"a":1', b'"a":2'),
    "a number as text": FIRST.replace(b'"a":1', b'"a":"1"'),
    "true for 1": FIRST.replace(b'"a":1', b'"a":true'),
    "other order in a list": FIRST.replace(b'[5,{"c":null}]', b'[{"c":null},5]'),
    "a null more": FIRST.replace(b'"a":1', b'"a":1,"z":null'),
    "differs in the last of forty digits": FIRST.replace(b'"a":1', b'"a":1.' + b"0" * 39 + b"1"),
}


@pytest.mark.parametrize("again", SAME.values(), ids=SAME)
def test_the_same_content_is_a_duplicate(again: bytes) -> None:
    assert verdicts(raw(FIRST)) == ["accepted"]
    assert verdicts(raw(again)) == ["duplicate"]
    assert Event.objects.count() == Pending.objects.count() == 1
    assert not InboxItem.objects.exists()


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_other_content_under_the_same_id_is_a_conflict(other: bytes) -> None:
    raw(FIRST)
    assert verdicts(raw(other)) == ["id_conflict"]
    assert Event.objects.count() == 1
    assert InboxItem.objects.get().body == other.decode()
    assert verdicts(raw(FIRST)) == ["duplicate"]


@pytest.mark.parametrize("more", [b"0.1234567890123456789012345678901", b"12345678901234567890123456789012345678901"])
def test_long_numbers_stay_exact(more: bytes) -> None:
    less = more[:-1] + b"2"
    body = b'{"id":"e%d","type":"t","customer":"acme","data":{"n":%s}}'
    assert verdicts(raw(body % (1, more), body % (2, less))) == ["accepted"] * 2
    assert verdicts(raw(body % (1, less))) == ["id_conflict"]
    kept = [
        str(stored_event(seq).data["n"]).encode() for seq in Event.objects.order_by("seq").values_list("seq", flat=True)
    ]
    assert kept == [more, less]


def test_time_left_out_is_now_and_leaving_it_out_again_is_the_same() -> None:
    timeless = event()
    del timeless["time"]
    assert verdicts(send([timeless], now=NOW)) == ["accepted"]
    assert verdicts(send([timeless], now=NOW + timedelta(days=9))) == ["duplicate"]
    assert verdicts(send([event(time=NOW)], now=NOW)) == ["id_conflict"]
    assert Event.objects.get().time == NOW


def test_identity_is_per_customer_and_byte_for_byte() -> None:
    factories.customer("globex")
    names = ["e1", "E1", "e1 ", "é", "e\u0301", "ß", "😀", "x" * 255]
    batch = [event(name, customer=customer) for name in names for customer in ("acme", "globex")]
    assert verdicts(send(batch, now=NOW)) == ["accepted"] * len(batch)


def test_an_id_is_known_for_ever() -> None:
    send([event(time=START)], now=START)
    assert verdicts(send([event(time=START)], now=START + timedelta(days=34))) == ["duplicate"]


def test_within_a_batch_the_first_wins() -> None:
    results = send([event(), event(), event(type="reopened"), event("e2"), event()], now=NOW)
    assert verdicts(results) == ["accepted", "duplicate", "id_conflict", "accepted", "duplicate"]
    assert [result.id for result in results] == ["e1", "e1", "e1", "e2", "e1"]
    assert list(Event.objects.order_by("seq").values_list("event_id", "type")) == [("e1", "closed"), ("e2", "closed")]


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "verdict"),
    [
        (OLDEST - TICK, "too_old"),
        (OLDEST, "accepted"),
        (OLDEST + TICK, "accepted"),
        (NOW, "accepted"),
        (NEWEST, "accepted"),
        (NEWEST + TICK, "in_future"),
        (datetime.fromisoformat("0001-01-01T00:00:00+00:00"), "too_old"),
        (datetime.fromisoformat("9999-12-31T23:59:59.999999+00:00"), "in_future"),
    ],
)
def test_how_old_and_how_far_ahead(time: datetime, verdict: str) -> None:
    assert verdicts(send([event(time=time)], now=NOW)) == [verdict]
    assert Event.objects.count() == (verdict == "accepted")


def test_one_bad_event_never_costs_its_neighbours() -> None:
    good = [json.dumps(event(f"good{n}", time=NOW.isoformat())).encode() for n in range(6)]
    lost = json.dumps(event("lost", customer="nobody", time=NOW.isoformat())).encode()
    bad = [b"{", b'{"id":"x"}', lost, b"\xff\xff", b"null"]
    mixed = [body for pair in zip(good, bad, strict=False) for body in pair] + [good[-1]]
    results = raw(*mixed)
    assert verdicts(results)[::2] == ["accepted"] * 6
    assert verdicts(results)[1::2] == ["malformed_json", "invalid", "unknown_customer", "invalid_utf8", "invalid"]
    assert InboxItem.objects.count() == 5


def test_a_refused_event_claims_no_id() -> None:
    refused = [event("a", customer="globex"), event("b", time=NOW + timedelta(hours=1)), event("c", data=[])]
    assert verdicts(send(refused, now=NOW)) == ["unknown_customer", "in_future", "invalid"]
    assert not EventIdentity.objects.exists()
    factories.customer("globex")
    mended = [event("a", customer="globex", type="other"), event("b"), event("c")]
    assert verdicts(send(mended, now=NOW)) == ["accepted"] * 3


def test_seq_is_the_position_in_the_batch_and_rises_from_batch_to_batch() -> None:
    names = [f"e{n}" for n in (3, 1, 2, 9, 0)]
    send([event(name) for name in names[:3]], now=NOW)
    next_month = NOW + timedelta(days=40)
    send([event(name, time=next_month) for name in names[3:]], now=next_month)
    assert list(Event.objects.order_by("seq").values_list("event_id", flat=True)) == names


def test_an_accepted_event_waits_and_is_kept_as_sent() -> None:
    data = {"ticket": "T", "n": 1, "deep": {"list": [1, "two", None, True]}, "__class__": "plain", "ü": "😀"}
    send([event(data=data, time=NOW - timedelta(hours=1))], now=NOW)
    kept, waits = Event.objects.get(), Pending.objects.get()
    assert (kept.data, kept.time, kept.received_at) == (data, NOW - timedelta(hours=1), NOW)
    assert (waits.seq, waits.time, waits.partition) == (kept.seq, kept.time, kept.customer.partition)


def test_what_is_refused_again_is_kept_once() -> None:
    lost = event(customer="nobody")
    send([lost, lost], now=NOW)
    send([lost], now=NOW)
    send([event(customer="nobody", type="other")], now=NOW)
    assert InboxItem.objects.count() == 2


# --- hostile bodies ---------------------------------------------------------------------------------------------------


def with_data(data: bytes) -> bytes:
    return b'{"id":"e1","type":"t","customer":"acme","data":' + data + b"}"


HOSTILE = {
    "NUL in a value": (with_data(b'{"a":"x\\u0000"}'), "nul_character"),
    "NUL in a key": (with_data(b'{"a\\u0000":1}'), "nul_character"),
    "NUL in the name of an unknown field": (b'{"\\u0000":1,"id":"e","type":"t","customer":"acme"}', "nul_character"),
    "an unknown field with a name of 9,000 letters": (b'{"' + b"x" * 9000 + b'":1,"id":"e"}', "key_too_long"),
    "NUL in the id": (b'{"id":"e\\u0000","type":"t","customer":"acme"}', "nul_character"),
    "NUL in the customer": (b'{"id":"e","type":"t","customer":"ac\\u0000me"}', "nul_character"),
    "a NUL byte": (with_data(b'{"a":"\0"}'), "malformed_json"),
    "half a surrogate pair": (with_data(b'{"a":"\\ud800"}'), "lone_surrogate"),
    "half a pair in a key": (with_data(b'{"\\udfff":1}'), "lone_surrogate"),
    "half a pair in the id": (b'{"id":"\\ud800","type":"t","customer":"acme"}', "lone_surrogate"),
    "a surrogate in UTF-8": (with_data(b'{"a":"\xed\xa0\x80"}'), "invalid_utf8"),
    "a whole pair": (with_data(b'{"a":"\\ud83d\\ude00"}'), "accepted"),
    "no UTF-8": (with_data(b'{"a":"\xff"}'), "invalid_utf8"),
    "a byte order mark": (b"\xef\xbb\xbf" + with_data(b"{}"), "byte_order_mark"),
    "UTF-16": (with_data(b"{}").decode().encode("utf-16"), "byte_order_mark"),
    "32 levels": (with_data(b'{"a":' + b"[" * 30 + b"]" * 30 + b"}"), "accepted"),
    "33 levels": (with_data(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}"), "too_deep"),
    "900 levels": (with_data(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"), "too_deep"),
    "100,000 levels": (with_data(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "too_deep"),
    "never closed": (with_data(b'{"a":' + b"[" * 100_000), "too_deep"),
    "brackets in a text": (with_data(b'{"a":"' + b"[{" * 500 + b'"}'), "accepted"),
    "4,300 digits": (with_data(b'{"a":' + b"9" * 4300 + b"}"), "number_too_long"),
    "5,000 digits": (with_data(b'{"a":' + b"9" * 5000 + b"}"), "number_too_long"),
    "400 digits": (with_data(b'{"a":' + b"9" * 400 + b"}"), "accepted"),
    "401 digits": (with_data(b'{"a":' + b"9" * 401 + b"}"), "number_too_long"),
    "400 decimals": (with_data(b'{"a":0.' + b"1" * 400 + b"}"), "accepted"),
    "401 decimals": (with_data(b'{"a":0.' + b"1" * 401 + b"}"), "number_too_long"),
    "1e400": (with_data(b'{"a":1e400}'), "accepted"),
    "1e-400": (with_data(b'{"a":1e-400}'), "accepted"),
    "1e1000000": (with_data(b'{"a":1e1000000}'), "number_out_of_range"),
    "1e99999999999999999999": (with_data(b'{"a":1e99999999999999999999}'), "number_out_of_range"),
    "-1e-99999999999999999999": (with_data(b'{"a":-1e-99999999999999999999}'), "number_out_of_range"),
    "1e1000000 as text": (with_data(b'{"a":"1e1000000"}'), "accepted"),
    "-0": (with_data(b'{"a":-0, "b":-0.0}'), "accepted"),
    "NaN": (with_data(b'{"a":NaN}'), "not_a_number"),
    "Infinity": (with_data(b'{"a":-Infinity}'), "not_a_number"),
    "1_000": (with_data(b'{"a":1_000}'), "malformed_json"),
    "Arabic digits": (with_data('{"a":١}'.encode()), "malformed_json"),
    "a key twice": (with_data(b'{"a":1,"a":2}'), "duplicate_key"),
    "10,000 keys": (with_data(json.dumps({f"k{n}": n for n in range(10_000)}).encode()), "too_many_keys"),
    "10,000 items": (with_data(json.dumps({"a": list(range(10_000))}).encode()), "too_many_items"),
    "a long text": (with_data(b'{"a":"' + b"x" * 100_000 + b'"}'), "string_too_long"),
    "larger than 256 KiB": (with_data(b'{"a":"' + b"x" * 256 * 1024 + b'"}'), "event_too_large"),
    "names of Python": (with_data(b'{"__class__":"x","__proto__":{"a":1},"customer_id":5}'), "accepted"),
    "an id of 256 characters": (b'{"id":"' + b"x" * 256 + b'","type":"t","customer":"acme"}', "invalid"),
    "an empty id": (b'{"id":"","type":"t","customer":"acme"}', "invalid"),
    "an unknown field": (b'{"id":"e","type":"t","customer":"acme","tenant":1}', "invalid"),
    "no zone": (b'{"id":"e","type":"t","customer":"acme","time":"2026-03-01T00:00:00"}', "invalid"),
    "a leap second": (b'{"id":"e","type":"t","customer":"acme","time":"2026-03-01T23:59:60Z"}', "invalid"),
    "before the year 1": (b'{"id":"e","type":"t","customer":"acme","time":"0001-01-01T00:00:00+14:00"}', "invalid"),
    "after the year 9999": (b'{"id":"e","type":"t","customer":"acme","time":"9999-12-31T23:59:59-14:00"}', "invalid"),
    "a number for the time": (b'{"id":"e","type":"t","customer":"acme","time":1}', "invalid"),
    "data is a list": (with_data(b"[]"), "invalid"),
    "data is null": (with_data(b"null"), "invalid"),
    "a list": (b"[1]", "invalid"),
    "nothing": (b"", "empty_body"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "verdict"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_get_a_verdict(body: bytes, verdict: str, api: Any) -> None:
    [result] = raw(body)
    assert (result.code or result.status) == verdict
    if verdict == "accepted":
        seq = Event.objects.values_list("seq", flat=True).get()
        stored_event(seq)
        assert api.get("/v1/events/e1?customer=acme").status_code == 200
    else:
        assert result.message
        kept = InboxItem.objects.get()
        assert kept.reason == "invalid"
        assert verdict == "invalid" or kept.message.endswith(f"({verdict})")
        listed = json.loads(api.get("/v1/inbox").content)
        assert listed["data"][0]["message"] == result.message
        assert inbox.retry(inbox.waiting(), now=NOW) == Counter(rejected=1)
        again = InboxItem.objects.get()
        assert again.reason == "invalid"
        # Bytes that are no UTF-8 are kept escaped.
        assert again.message == result.message or verdict in ("invalid_utf8", "byte_order_mark", "malformed_json")


# --- imports ----------------------------------------------------------------------------------------------------------


def test_an_import_lets_history_in_and_pauses_whom_it_touches(acme: Any) -> None:
    globex = factories.customer("globex")
    opened = imports.open_import(name="2019", now=NOW)
    old = START - timedelta(days=2500)
    batch = [event("a", time=old), event("b", customer="globex"), event("c", customer="nobody")]
    results = send(batch, now=NOW, import_id=opened.id)
    assert verdicts(results) == ["accepted", "accepted", "unknown_customer"]
    assert set(ImportCustomer.objects.values_list("customer", flat=True)) == {acme.id, globex.id}
    assert set(paused_customers()) == {acme.id, globex.id}
    assert Event.objects.get(event_id="a").batch_import_id == opened.id
    assert verdicts(send([event("a", time=old)], now=NOW, import_id=opened.id)) == ["duplicate"]
    imports.close_import(opened.id, now=NOW)
    assert paused_customers() == []


def test_an_import_is_no_way_into_the_future() -> None:
    opened = imports.open_import(now=NOW)
    assert verdicts(send([event(time=NEWEST + TICK)], now=NOW, import_id=opened.id)) == ["in_future"]


def test_a_closed_import_takes_nothing() -> None:
    opened = imports.open_import(now=NOW)
    imports.close_import(opened.id, now=NOW)
    for import_id in (opened.id, uuid4()):
        with pytest.raises(ImportClosed):
            send([event()], now=NOW, import_id=import_id)
    assert not Event.objects.exists()
    assert not InboxItem.objects.exists()


def test_closing_twice_keeps_the_first_instant() -> None:
    opened = imports.open_import(now=NOW)
    imports.close_import(opened.id, now=NOW)
    assert imports.close_import(opened.id, now=NOW + TICK).closed_at == NOW


# --- the inbox --------------------------------------------------------------------------------------------------------


def test_retry_keeps_the_place_in_the_order_of_acceptance() -> None:
    send([event("first", customer="globex"), event("second", customer="globex")], now=NOW)
    factories.customer("globex")
    send([event("third", customer="globex")], now=NOW)
    later = NOW + timedelta(days=1)
    assert inbox.retry(inbox.waiting(reason="unknown_customer"), now=later) == Counter(accepted=2)
    assert list(Event.objects.order_by("seq").values_list("event_id", flat=True)) == ["first", "second", "third"]
    assert set(InboxItem.objects.values_list("status", "resolved_at")) == {("resolved", later)}
    assert inbox.retry(inbox.waiting(), now=later) == Counter()


def test_an_event_without_a_time_happened_when_it_was_sent_not_when_it_is_retried() -> None:
    timeless = event(customer="globex")
    del timeless["time"]
    send([timeless], now=NOW)
    factories.customer("globex")
    inbox.retry(inbox.waiting(), now=NOW + timedelta(days=3))
    assert Event.objects.get().time == NOW
    assert verdicts(send([timeless], now=NOW + timedelta(days=4))) == ["duplicate"]


def test_what_is_still_wrong_waits_on_with_the_reason_of_today() -> None:
    send([event(customer="globex", time=OLDEST - TICK)], now=NOW)
    inbox.retry(inbox.waiting(), now=NOW)
    factories.customer("globex")
    assert inbox.retry(inbox.waiting(), now=NOW + TICK) == Counter(rejected=1)
    item = InboxItem.objects.get()
    assert (item.status, item.reason, item.attempts) == ("waiting", "too_old", 2)


def test_what_was_dismissed_is_not_retried_and_stays_readable() -> None:
    send([event(customer="nobody")], now=NOW)
    assert inbox.dismiss(inbox.waiting(), now=NOW) == 1
    assert inbox.retry(inbox.waiting(), now=NOW) == Counter()
    assert InboxItem.objects.get().status == "dismissed"


# --- without broker and cache -----------------------------------------------------------------------------------------


@pytest.fixture
def dead_broker(tmp_path: Path) -> Iterator[None]:
    app = current_app._get_current_object()
    kept = app.conf.broker_url, app.conf.broker_write_url

    def aim(*urls: str | None) -> None:
        app.conf.broker_url, app.conf.broker_write_url = urls
        app._pool = app.amqp._producer_pool = None

    aim(f"redis+socket://{tmp_path}/nobody", f"redis+socket://{tmp_path}/nobody")
    yield
    aim(*kept)


@pytest.fixture
def dead_cache(settings: Any, tmp_path: Path) -> Iterator[None]:
    kept = settings.CACHES
    settings.CACHES = {"default": kept["default"] | {"LOCATION": f"unix://{tmp_path}/nobody"}}
    yield
    settings.CACHES = kept


@pytest.mark.parametrize("dead", [["dead_broker"], ["dead_cache"], ["dead_broker", "dead_cache"]], ids="+".join)
def test_intake_answers_without_broker_and_cache(
    dead: list[str], request: Any, django_capture_on_commit_callbacks: Any
) -> None:
    for fixture in dead:
        request.getfixturevalue(fixture)
    with django_capture_on_commit_callbacks(execute=True) as rung:
        assert verdicts(send([event()], now=NOW)) == ["accepted"]
    assert len(rung) == 1
    assert Pending.objects.count() == 1


def test_one_wake_up_at_a_time_lies_in_the_queue(django_capture_on_commit_callbacks: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("outcomes.intake.ring_soon", ring)  # at once, without the thread
    with current_app.connection_for_read() as broker, broker.channel() as channel:
        channel.queue_purge("celery")
        for n in range(3):
            with django_capture_on_commit_callbacks(execute=True):
                send([event(f"e{n}")], now=NOW)
        assert channel.queue_purge("celery") == 1
        cache.clear()  # as the worker does when it takes the call
        with django_capture_on_commit_callbacks(execute=True):
            send([event("late")], now=NOW)
        assert channel.queue_purge("celery") == 1
        with django_capture_on_commit_callbacks(execute=True):
            send([event("late")], now=NOW)  # a duplicate wakes nobody
        assert channel.queue_purge("celery") == 0
