"""Bytes into events: what is refused with which code, in every form in which events come; and nothing is a 500."""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access.error_codes import CODES
from access.strictjson import StrictJSONError
from outcomes import wire
from outcomes.cloudevents import read_cloud_event
from outcomes.models import Event, InboxItem
from outcomes.wire import Incoming, Refused, read_event
from tests.access.conftest import Api
from tests.outcomes import factories

Cases = dict[str, tuple[bytes, str]]
# Random ones: so many are read, and so many sent over the API.
EXAMPLES, BODIES = (5000, 5000) if os.environ.get("HOLDFAST_SLOW_TESTS") else (350, 300)


def plain(data: bytes = b"{}", **fields: Any) -> bytes:
    """An event in our own form with this ``data``, which need not be JSON."""
    return _event({"id": "e1", "type": "closed", "customer": "acme"} | fields, data)


def cloud(data: bytes = b"{}", **fields: Any) -> bytes:
    """The same as a CloudEvent."""
    given = {"specversion": "1.0", "id": "e1", "type": "closed", "source": "/crm", "subject": "acme"}
    return _event(given | fields, data)


def _event(fields: dict[str, Any], data: bytes) -> bytes:
    return json.dumps(fields).encode()[:-1] + b',"data":' + data + b"}"


def nested(levels: int) -> bytes:
    """Data that makes the event so many levels deep."""
    return b'{"a":' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}"


def keys(count: int) -> bytes:
    return json.dumps({f"k{n}": n for n in range(count)}).encode()


# Data, and the code it is refused with: at the limit, one beyond it, absurd (design page 6, E18 and F-23 to F-29).
DATA: Cases = {
    "nothing": (b"{}", ""),
    "32 levels": (nested(32), ""),
    "33 levels": (nested(33), "too_deep"),
    "5,000 levels": (nested(5000), "too_deep"),
    "100,000 levels": (nested(100_000), "too_deep"),
    "32 levels of objects": (b'{"a":' * 31 + b"1" + b"}" * 31, ""),
    "33 levels of objects": (b'{"a":' * 32 + b"1" + b"}" * 32, "too_deep"),
    "256 keys": (keys(256), ""),
    "257 keys": (keys(257), "too_many_keys"),
    "10,000 keys": (keys(10_000), "too_many_keys"),
    "257 keys further in": (b'{"a":[' + keys(257) + b"]}", "too_many_keys"),
    "a key of 128": (b'{"' + b"k" * 128 + b'":1}', ""),
    "a key of 129": (b'{"' + b"k" * 129 + b'":1}', "key_too_long"),
    "a key of 10,000": (b'{"' + b"k" * 10_000 + b'":1}', "key_too_long"),
    "a key of 128 of two bytes": (('{"' + "é" * 128 + '":1}').encode(), ""),
    "a key of 129 further in": (b'{"a":{"' + b"k" * 129 + b'":1}}', "key_too_long"),
    "8,192 characters": (b'{"a":"' + b"x" * 8192 + b'"}', ""),
    "8,193 characters": (b'{"a":"' + b"x" * 8193 + b'"}', "string_too_long"),
    "100,000 characters": (b'{"a":"' + b"x" * 100_000 + b'"}', "string_too_long"),
    "8,192 of three bytes": (('{"a":"' + "€" * 8192 + '"}').encode(), ""),
    "8,193 in a list": (b'{"a":["' + b"x" * 8193 + b'"]}', "string_too_long"),
    "1,000 items": (json.dumps({"a": [1] * 1000}).encode(), ""),
    "1,001 items": (json.dumps({"a": [1] * 1001}).encode(), "too_many_items"),
    "100,000 items": (b'{"a":[' + b"1," * 100_000 + b"1]}", "too_many_items"),
    "NUL": (b'{"a":"x\\u0000"}', "nul_character"),
    "NUL in a key": (b'{"a\\u0000":1}', "nul_character"),
    "what looks like NUL": (b'{"a":"\\\\u0000"}', ""),
    "NUL as a byte": (b'{"a":"\0"}', "malformed_json"),
    "half a pair": (b'{"a":"\\ud800"}', "lone_surrogate"),
    "the other half": (b'{"a":"\\udfff"}', "lone_surrogate"),
    "half a pair in a key": (b'{"\\ud800":1}', "lone_surrogate"),
    "a pair": (b'{"a":"\\ud83d\\ude00"}', ""),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "invalid_utf8"),
    "no UTF-8": (b'{"a":"\xff"}', "invalid_utf8"),
    "cut UTF-8": (b'{"a":"\xc3"}', "invalid_utf8"),
    "controls and marks of direction": ('{"a":"\\u0001\u202e\u200b"}'.encode(), ""),
    "a tab as a byte": (b'{"a":"\t"}', "malformed_json"),
    "NaN": (b'{"a":NaN}', "not_a_number"),
    "Infinity": (b'{"a":Infinity}', "not_a_number"),
    "-Infinity": (b'{"a":[-Infinity]}', "not_a_number"),
    "400 digits": (b'{"a":' + b"9" * 400 + b"}", ""),
    "401 digits": (b'{"a":' + b"9" * 401 + b"}", "number_too_long"),
    "5,000 digits": (b'{"a":' + b"9" * 5000 + b"}", "number_too_long"),
    "401 digits in a list": (b'{"a":[-' + b"9" * 401 + b"]}", "number_too_long"),
    "400 decimals": (b'{"a":0.' + b"1" * 400 + b"}", ""),
    "401 decimals": (b'{"a":0.' + b"1" * 401 + b"}", "number_too_long"),
    "1e400": (b'{"a":1e400}', ""),
    "1e401": (b'{"a":1e401}', "number_out_of_range"),
    "1e-401": (b'{"a":1e-401}', "number_out_of_range"),
    "1e1000000": (b'{"a":1e1000000}', "number_out_of_range"),
    "1e99999999999999999999": (b'{"a":1e99999999999999999999}', "number_out_of_range"),
    "1e1000000 as text": (b'{"a":"1e1000000"}', ""),
    "-0": (b'{"a":-0,"b":-0.0}', ""),
    "1_000": (b'{"a":1_000}', "malformed_json"),
    "01": (b'{"a":01}', "malformed_json"),
    "Arabic digits": ('{"a":١}'.encode(), "malformed_json"),
    "a key twice": (b'{"a":1,"a":2}', "duplicate_key"),
    "a key twice, the same": (b'{"a":1,"a":1}', "duplicate_key"),
    "a key twice, escaped": (b'{"a":1,"\\u0061":1}', "duplicate_key"),
    "a key twice further in": (b'{"x":[{"a":1,"a":{}}]}', "duplicate_key"),
    "a key twice beside quotes": (b'{"a\\"":":","a\\"":"\\\\"}', "duplicate_key"),
    "an empty key twice": (b'{"":1,"":2}', "duplicate_key"),
    "quotes and backslashes": (b'{"a\\"":"\\\\","b":"\\\\\\"","c":"\\u0022","d":"\\u005c"}', ""),
    "white space": (b' { "a" \n:\t1 ,\r "b" : [ ] } ', ""),
    "names of Python": (b'{"__class__":"x","__proto__":{"a":1},"tenant_id":5}', ""),
    "the largest": (json.dumps({f"k{n}": "x" * 8000 for n in range(32)}).encode(), ""),
    "larger than 256 KiB": (b'{"a":"' + b"x" * (256 * 1024) + b'"}', "event_too_large"),
}  # fmt: skip
# Whole events: our own form; what the fields say is `invalid`.
WHOLE: Cases = {
    "an id twice": (b'{"id":"e","id":"e","type":"t","customer":"acme"}', "duplicate_key"),
    "data twice": (b'{"id":"e","type":"t","customer":"acme","data":{},"data":{}}', "duplicate_key"),
    "a byte order mark": (b"\xef\xbb\xbf" + plain(), "byte_order_mark"),
    "UTF-16": (plain().decode().encode("utf-16"), "byte_order_mark"),
    "NUL in the id": (b'{"id":"e\\u0000","type":"t","customer":"acme"}', "nul_character"),
    "half a pair in the id": (b'{"id":"\\ud800","type":"t","customer":"acme"}', "lone_surrogate"),
    "an unknown field": (plain(tenant=1), "invalid"),
    "a field of CloudEvents": (plain(specversion="1.0"), "invalid"),
    "an id of 255": (plain(id="x" * 255), ""),
    "an id of 256": (plain(id="x" * 256), "invalid"),
    "an id of 10,000": (plain(id="x" * 10_000), "string_too_long"),
    "an empty id": (plain(id=""), "invalid"),
    "a number for an id": (plain(id=1), "invalid"),
    "no type": (b'{"id":"e","customer":"acme"}', "invalid"),
    "data is a list": (plain(b"[]"), "invalid"),
    "data is null": (plain(b"null"), "invalid"),
    "a list": (b"[1]", "invalid"),
    "null": (b"null", "invalid"),
    "a number": (b"5", "invalid"),
    "cut short": (plain()[:-1], "malformed_json"),
    "two": (plain() + plain(), "malformed_json"),
    "words": (b"hello", "malformed_json"),
}  # fmt: skip
TIMES: dict[str, tuple[Any, str]] = {
    "UTC": ("2026-03-01T10:00:00Z", ""),
    "+14:00": ("2026-03-01T10:00:00+14:00", ""),
    "-23:59": ("2026-03-01T10:00:00-23:59", ""),
    "six decimals": ("2026-03-01T10:00:00.123456Z", ""),
    "nine decimals, three of them 0": ("2026-03-01T10:00:00.123456000Z", ""),
    "the year 1": ("0001-01-01T00:00:00Z", ""),
    "the year 9999": ("9999-12-31T23:59:59.999999Z", ""),
    "no zone": ("2026-03-01T10:00:00", "naive"),
    "a leap second": ("2016-12-31T23:59:60Z", "leap_second"),
    "seven decimals": ("2026-03-01T10:00:00.1234567Z", "too_precise"),
    "seven decimals that round to none": ("2026-03-01T10:00:00.0000001Z", "too_precise"),
    "seven decimals that round up": ("2026-03-01T10:00:00.9999999Z", "too_precise"),
    "twelve decimals": ("2026-03-01T10:00:00.000000000001Z", "too_precise"),
    "before the year 1 in UTC": ("0001-01-01T00:00:00+14:00", "out_of_range"),
    "after the year 9999 in UTC": ("9999-12-31T23:59:59-14:00", "out_of_range"),
    "a year of five digits": ("10000-01-01T00:00:00Z", "invalid"),
    "24 o'clock": ("2026-03-01T24:00:00Z", "invalid"),
    "February 30": ("2026-02-30T00:00:00Z", "invalid"),
    "a date": ("2026-03-01", "invalid"),
    "a word": ("yesterday", "invalid"),
    "nothing": ("", "invalid"),
}
VERDICTS = (
    {f"{name} in plain": (plain(data), code) for name, (data, code) in DATA.items()}
    | {f"{name} in a CloudEvent": (cloud(data), code) for name, (data, code) in DATA.items()}
    | WHOLE
)


def read(raw: bytes) -> Incoming | Refused:
    return read_cloud_event(raw) if b"specversion" in raw and b"/crm" in raw else read_event(raw)


def code_of(item: Incoming | Refused) -> str:
    return item.code if isinstance(item, Refused) else ""


# --- one by one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("raw", "code"), VERDICTS.values(), ids=VERDICTS)
def test_each_has_its_code(raw: bytes, code: str) -> None:
    item = read(raw)
    assert code_of(item) == code
    if isinstance(item, Refused):
        assert item.code in CODES
        assert item.reason == "invalid"
        assert item.message
        assert item.code == "invalid" or item.message.endswith(f"({code})")


@pytest.mark.parametrize("form", [plain, cloud])
@pytest.mark.parametrize(("written", "code"), TIMES.values(), ids=TIMES)
def test_times(written: Any, code: str, form: Any) -> None:
    item = read(form(time=written))
    if not code:
        assert isinstance(item, Incoming)
        assert item.time is not None
        assert item.time.tzinfo is UTC
        assert item.time == datetime.fromisoformat(written)
    else:
        assert isinstance(item, Refused)
        assert item.problem is not None
        assert (item.code, item.problem.code, item.problem.path) == ("invalid", code, "time")
        assert item.message.startswith("time: ")


def test_null_is_no_time_in_our_own_form_and_left_out_in_a_cloud_event() -> None:
    refused = read_event(plain(time=None))
    assert isinstance(refused, Refused)
    assert "`time`" in refused.message
    kept = read_cloud_event(cloud(time=None))
    assert isinstance(kept, Incoming)
    assert kept.time is None


def test_many_decimals_elsewhere_are_no_matter_of_the_time() -> None:
    data = b'{"n":0.12345678,"time":"2026-03-01T10:00:00.1234567Z"}'
    for written in ("2026-03-01T10:00:00Z", "2026-03-01 10:00:00.5Z"):
        assert code_of(read(plain(data, time=written))) == ""


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"a":{"b":[1,{"c":"\\u0000"}]}}', "data.a.b[1].c"),
        (b'{"a b":{"x":1,"x":2}}', 'data["a b"].x'),
        (b'{"a":[NaN]}', "data.a[0]"),
        (b'{"a":{"' + b"k" * 200 + b'":1}}', "data.a"),
        (keys(257), "data"),
    ],
)
def test_the_place_is_told(data: bytes, path: str) -> None:
    for raw in (plain(data), cloud(data)):
        item = read(raw)
        assert isinstance(item, Refused)
        assert item.problem is not None
        assert item.problem.path == path
        assert item.message.startswith(f"{path}: ")


def test_a_path_is_not_as_long_as_its_keys() -> None:
    item = read(plain(b'{"' + b"k" * 100_000 + b'":{"a":1,"a":2}}'))
    assert isinstance(item, Refused)
    assert len(item.message) <= wire.MAX_MESSAGE
    assert item.problem is not None
    assert len(item.problem.path) < 1000


def test_what_can_be_told_of_a_refused_event_is() -> None:
    for raw in (plain(b'{"a":1,"a":2}'), cloud(b'{"a":1,"a":2}')):
        item = read(raw)
        assert (item.id, item.type, item.customer) == ("e1", "closed", "acme")


def test_fingerprints_are_what_stored_events_carry() -> None:
    """Another one would make a conflict of every retry of what was accepted before."""
    known = {
        plain(b'{"b":[1.50,{"z":null}],"a":"x"}', time="2026-03-01T10:00:00+01:00"): (
            "ba3e3c364da14d926a7b85ffe7cd0812ab98b8b93f05334fa4fce1d9ab588002"
        ),
        plain(b'{"n":1e3,"t":"\xc3\xa9\\"\\n"}', time="2026-03-01T10:00:00.000001Z"): (
            "54d9e2a8dc4422b5ee54a80d12954e9ac57ddbead56a0ec84a5dd50591055c8c"
        ),
        b'{"id":"e1","type":"closed","customer":"acme"}': (
            "f013ac6465948bf66c37b5de58d3bf872247a2e9ccc7ced2391fa24cd23edef0"
        ),
    }
    for raw, fingerprint in known.items():
        item = read_event(raw)
        assert isinstance(item, Incoming)
        assert item.fingerprint == fingerprint


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "elements"),
    [
        (b"", []),
        (b" \n ", []),
        (b'{"a":1},{"b":[2,3]}', [b'{"a":1}', b'{"b":[2,3]}']),
        (b' {"a":1}\n,\t{"b":2} ', [b'{"a":1}', b'{"b":2}']),
        (b'1,"a,]}",null,[]', [b"1", b'"a,]}"', b"null", b"[]"]),
        (b"1,", [b"1", b""]),
        (b",", [b"", b""]),
        (b'{"a":NaN},{"b":"]\\"],["}', [b'{"a":NaN}', b'{"b":"]\\"],["}']),
        (b'{"a":NaN,"b":"\\\\"},{"c":[[{}]]}', [b'{"a":NaN,"b":"\\\\"}', b'{"c":[[{}]]}']),
        (b'{"a":"\xff"},{"b":"\\ud800"},5', [b'{"a":"\xff"}', b'{"b":"\\ud800"}', b"5"]),
        (b'{"a" 1},{"a":1}', [b'{"a" 1}', b'{"a":1}']),
        (b"{],1", [b"{]", b"1"]),
        (b"{]},1", None),
        (b"[" * 200 + b"]" * 200 + b",x y,2", [b"[" * 200 + b"]" * 200, b"x y", b"2"]),
        (b"1]", None),
        (b"[1", None),
        (b'{"a":1', None),
        (b'"a', None),
        (b'"a\\', None),
        (b"1],[2", None),
    ],
)
def test_elements_are_told_apart_whatever_they_are(inside: bytes, elements: list[bytes] | None) -> None:
    for head, tail, split in ((b'{"events":[', b"]}", wire.read_batch), (b" [", b"] ", wire.read_array)):
        body = head + inside + tail
        if elements:
            assert split(body) == elements
        elif elements == [] and split is wire.read_array:
            assert split(body) == []
        else:
            with pytest.raises(StrictJSONError) as refused:
                split(body)
            assert refused.value.code == ("invalid" if elements == [] else "malformed_json"), body


HUGE = {
    "open": (b"[", "too_deep"),
    "pairs": (b"[]", ""),
    "pairs of pairs": (b"[[]]", ""),
    "commas": (b",", "too_many_events"),
    "numbers": (b"0,", "too_many_events"),
    "quotes": (b'"', ""),
    "escaped quotes": (b'\\"', "malformed_json"),
    "backslashes": (b"\\", ""),
    "keys": (b'{"a":', "too_deep"),
    "closed": (b"}", "malformed_json"),
}


@pytest.mark.parametrize(("piece", "code"), HUGE.values(), ids=HUGE)
def test_large_hostile_bodies_cost_little(piece: bytes, code: str) -> None:
    """A quarter of the largest: what grows with the square shows as well."""
    body = b'{"events":[' + piece * (wire.MAX_BATCH_BYTES // 4 // len(piece)) + b"]}"
    started = time.process_time()
    if code:
        with pytest.raises(StrictJSONError) as refused:
            wire.read_batch(body)
        assert refused.value.code == code
    else:
        [item] = wire.read_events(wire.read_batch(body))
        assert code_of(item) == "event_too_large"
    assert time.process_time() - started < 10  # half a second; what grows with the square would take an hour


# --- among good ones, and over the API --------------------------------------------------------------------------------


@pytest.fixture
def acme(db: None) -> None:
    factories.customer()


GOOD = [plain(id=f"good{n}") for n in range(3)]
CLOUDS = [cloud(id=f"good{n}") for n in range(3)]
CLOUD = {"Content_Type": "application/cloudevents+json"}
CLOUD_BATCH = {"Content_Type": "application/cloudevents-batch+json"}
NDJSON = {"Content_Type": "application/x-ndjson"}


def _of_form(is_cloud: bool, *without: str, lines: bool = False) -> Cases:
    """An id of its own for each, so that all can be stored beside each other; but for what cannot stand as one line, or
    would end the list it stands in.
    """
    found = {name: case for name, case in VERDICTS.items() if (b"/crm" in case[0]) == is_cloud and name not in without}
    return {
        name: (raw.replace(b'"id": "e1"', b'"id": "e1-%d"' % number), code)
        for number, (name, (raw, code)) in enumerate(found.items())
        if not lines or (raw and b"\n" not in raw)
    }


@dataclass(frozen=True)
class Form:
    """How many events travel in one body, and what reads them."""

    cases: Cases
    good: list[bytes]
    around: tuple[bytes, bytes, bytes]
    headers: dict[str, str]
    split: Callable[[bytes], list[bytes]]
    read: Callable[[bytes], Incoming | Refused] = read_event

    def body(self, *events: bytes) -> bytes:
        head, between, tail = self.around
        return head + between.join(events) + tail


FORMS = {
    "json": Form(
        _of_form(False, "UTF-16", "cut short"), GOOD, (b'{"events":[', b",", b"]}"), {}, wire.read_batch
    ),
    "lines": Form(_of_form(False, lines=True), GOOD, (b"", b"\n", b""), NDJSON, wire.read_lines),
    "cloud": Form(_of_form(True), CLOUDS, (b"[", b" , ", b"]"), CLOUD_BATCH, wire.read_array, read_cloud_event),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_among_good_ones_costs_itself_alone(form: Form) -> None:
    for name, (raw, code) in form.cases.items():
        body = form.body(form.good[0], raw, form.good[1], raw, form.good[2])
        read = wire.read_events(form.split(body), form.read)
        assert [code_of(item) for item in read] == ["", code, "", code, ""], name
        assert [item.id for item in read if isinstance(item, Incoming)][:: 2 if not code else 1] == [
            f"good{n}" for n in range(3)
        ], name


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_among_good_ones_over_the_api(form: Form, api: Api) -> None:
    """In two batches: one that is JSON as a whole, and one whose events have to be told apart without a decoder."""
    whole = {name: case for name, case in form.cases.items() if _is_json(case[0])}
    for n, cases in enumerate((whole, {name: case for name, case in form.cases.items() if name not in whole})):
        events, codes = [form.good[n]], [""]
        for raw, code in cases.values():
            events += [raw, form.good[n], raw]
            codes += [code, "", code]
        response = api.post("/v1/events/batch", form.body(*events), **form.headers)
        assert response.status_code == 202, response.content
        answer = json.loads(response.content)
        accepted = 1 + sum(not code for _, code in cases.values())
        rejected = 2 * sum(bool(code) for _, code in cases.values())
        found = (answer["accepted"], answer["duplicates"], answer["rejected"])
        assert found == (accepted, len(events) - accepted - rejected, rejected)
        told = [""] * len(events)
        for item in answer["results"]:
            told[item["index"]] = item.get("code", "")
        assert told == codes
        kept = list(InboxItem.objects.values_list("reason", "message"))
        # The same twice is kept once.
        assert Counter([*kept, *kept]) == Counter(
            ("invalid", item["message"]) for item in answer["results"] if item["status"] == "rejected"
        )
        assert Event.objects.filter(event_id=f"good{n}").count() == 1
        InboxItem.objects.all().delete()


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("is_cloud", [False, True], ids=["plain", "cloud"])
def test_alone(is_cloud: bool, api: Api) -> None:
    for name, (raw, code) in _of_form(is_cloud).items():
        response = api.post("/v1/events", raw, **(CLOUD if is_cloud else {}))
        answer = json.loads(response.content)
        if not code:
            assert response.status_code == 202, name
            assert answer["status"] == "accepted", name
        else:
            expected = {"invalid": 422, "event_too_large": 413}.get(code, 400)
            assert response.status_code == expected, (name, answer)
            # The body is too large before the event is.
            assert answer["error"]["code"] == ("body_too_large" if code == "event_too_large" else code), name
            kept, _ = InboxItem.objects.all().delete()
            assert kept == (code == "invalid"), name


# --- random bodies ----------------------------------------------------------------------------------------------------

SPACE = st.sampled_from(["", "", "", " ", "\n", "\t "])
PLAIN = ["a", "b", ":", "{", "[", ",", "é", "😀"]
ESCAPED = ["\\n", '\\"', "\\\\", "\\u0061", "\\u0022", "\\u005c"]
REFUSED = ["\\u0000", "\\ud800"]
# Few names, so that they come twice; written in many ways.
TEXT = st.one_of(
    st.lists(st.sampled_from(PLAIN + ESCAPED), max_size=4),
    st.lists(st.sampled_from(PLAIN + ESCAPED + REFUSED), max_size=3),
    st.integers(120, 135).map(lambda n: ["k" * n]),
).map(lambda parts: '"' + "".join(parts) + '"')
ATOM = st.one_of(
    TEXT, st.sampled_from(["0", "-0", "1.50", "1e3", "true", "null", "NaN", "9" * 401, "1e401", '"' + "x" * 8193 + '"'])
)


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(TEXT, SPACE, inner, SPACE).map(lambda m: f"{m[0]}{m[1]}:{m[2]}{m[3]}")
    return st.one_of(
        st.lists(member, max_size=5).map(lambda members: "{" + ",".join(members) + "}"),
        st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]"),
        inner.map(lambda value: '{"deep":' + "[" * 30 + value + "]" * 30 + "}"),
    )


VALUE = st.recursive(ATOM, _containers, max_leaves=8)


@settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True)
@given(members=st.lists(st.tuples(TEXT, VALUE), max_size=4), form=st.sampled_from([plain, cloud]))
def test_what_is_proved_sound_is_sound_to_the_strict_reader_too(members: list[Any], form: Any) -> None:
    raw = form(("{" + ",".join(f"{key}:{value}" for key, value in members) + "}").encode())
    problem = wire.problem_of(raw)
    assert code_of(read(raw)) == (problem.code if problem else "")


SHARDS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"\n", b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\\u0000",
    b"\\ud800", b"1e999", b"NaN", b"[" * 50, b"9" * 500,
]  # fmt: skip


def _mutated(rng: random.Random, body: bytes) -> bytes:
    """The body with a few bytes changed, doubled, dropped or moved."""
    noise = bytearray(body)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at, upto = rng.randrange(len(noise) + 1), rng.randrange(len(noise) + 1)
        moved = bytes(noise[min(at, upto) : max(at, upto)])
        piece = rng.choice([*SHARDS, rng.randbytes(3), moved])
        noise[at : at + rng.choice([0, 0, 1, len(piece)])] = piece
    return bytes(noise)


SENT = [
    ("/v1/events", plain(b'{"a":[1,{"b":"\\n"}]}', time="2026-03-01T10:00:00Z"), {}),
    ("/v1/events", cloud(b'{"a":[1,{"b":"\\n"}]}', time="2026-03-01T10:00:00Z"), CLOUD),
    ("/v1/events", b'{"a":[1,{"b":"x"}]}', {"ce_specversion": "1.0", "ce_id": "e", "ce_type": "t", "ce_source": "s"}),
    ("/v1/events", b"[" + b",".join(CLOUDS) + b"]", CLOUD_BATCH),
    ("/v1/events/batch", b'{"events":[' + b",".join(GOOD) + b"]}", {}),
    ("/v1/events/batch", b"\n".join(GOOD), NDJSON),
]


@pytest.mark.usefixtures("acme")
def test_random_bodies_are_answered_with_codes(api: Api) -> None:
    rng = random.Random(7)
    for _ in range(BODIES):
        path, body, headers = rng.choice(SENT)
        body = rng.randbytes(rng.randrange(300)) if rng.random() < 0.05 else _mutated(rng, body)
        response = api.post(path, body, **headers)
        answer = json.loads(response.content)
        assert response.status_code in (202, 400, 409, 413, 422), (body, answer)
        if response.status_code != 202:
            assert answer["error"]["code"] in CODES, body
        for item in answer.get("results", []):
            assert item["status"] == "duplicate" or item["code"] in CODES, body
            assert item["status"] == "duplicate" or item["message"]
