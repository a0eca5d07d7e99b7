"""The endpoints of events, inbox, imports and outcomes in the exact shapes of page 5, sections 3 and 4."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from freezegun import freeze_time

from outcomes.evaluation import evaluate_waiting
from outcomes.models import Event, InboxItem, Outcome
from settlement.sweep import settle_due
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import REPEATING, TICKET

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SENT = {"id": "evt-1", "type": "closed", "customer": "acme", "time": "2026-03-01T10:00:00Z", "data": {"ticket": "T-9"}}
NDJSON = {"Content_Type": "application/x-ndjson"}


@pytest.fixture(autouse=True, scope="module")
def noon(django_db_setup: None) -> Iterator[None]:
    with freeze_time(NOW):
        yield


@pytest.fixture(autouse=True)
def world() -> None:
    factories.customer()
    factories.condition(TICKET)


def answer(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.content
    return json.loads(response.content)


def change(**fields: Any) -> dict[str, Any]:
    return SENT | fields


def lines(*bodies: Any) -> bytes:
    return b"\n".join(body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies)


# --- POST /v1/events --------------------------------------------------------------------------------------------------


def test_accepted_then_duplicate_then_conflict(api: Api) -> None:
    assert answer(api.post("/v1/events", SENT), 202) == {"id": "evt-1", "status": "accepted"}
    assert answer(api.post("/v1/events", SENT), 202) == {"id": "evt-1", "status": "duplicate"}
    error = check_envelope(api.post("/v1/events", change(type="reopened")), 409, "id_conflict")
    assert "evt-1" in error["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (change(customer="nobody"), 422, "unknown_customer"),
        (change(time="2026-01-25T11:59:59.999999Z"), 422, "too_old"),
        (change(time="2026-03-01T12:05:00.000001Z"), 422, "in_future"),
        (change(time="2026-03-01T10:00:00"), 422, "invalid"),
        (change(time="yesterday"), 422, "invalid"),
        (change(time="0001-01-01T00:00:00+14:00"), 422, "invalid"),
        (change(id=""), 422, "invalid"),
        (change(id=7), 422, "invalid"),
        (change(data=[1]), 422, "invalid"),
        (change(data={"a": "\0"}), 400, "nul_character"),
        (change(surprise=1), 422, "invalid"),
        ({"id": "evt-1"}, 422, "invalid"),
        ([SENT], 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"{", 400, "malformed_json"),
        (b"", 400, "empty_body"),
        (b"\xff", 400, "invalid_utf8"),
        (b"\xef\xbb\xbf{}", 400, "byte_order_mark"),
        (b'{"id":"a","type":"t","customer":"acme","data":{"a":NaN}}', 400, "not_a_number"),
        (b'{"id":"\\ud800","type":"t","customer":"acme"}', 400, "lone_surrogate"),
        (lines(SENT, change(id="evt-2")), 400, "malformed_json"),
        (b'{"id":"a","type":"t","customer":"acme","data":{"a":' + b"[" * 5000, 400, "too_deep"),
        (b'{"id":"' + b"x" * 256 * 1024 + b'"}', 413, "body_too_large"),
    ],
)
def test_what_a_single_event_is_refused_with(api: Api, body: Any, status: int, code: str) -> None:
    check_envelope(api.post("/v1/events", body), status, code)
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("body", "path", "detail", "said"),
    [
        (change(surprise=1), "surprise", "unknown_field", "no field of this name"),
        (change(tipe=1), "tipe", "unknown_field", "Did you mean type?"),
        ({"id": "evt-1", "type": "t"}, "customer", "required", "required"),
        (change(time="yesterday"), "time", "invalid", "RFC 3339"),
        (change(time="2026-03-01T10:00:00"), "time", "naive", "offset"),
        (change(time="2026-03-01T23:59:60Z"), "time", "leap_second", "Leap seconds"),
        (change(time="2026-03-01T10:00:00.0000001Z"), "time", "too_precise", "6 digits"),
        (change(time="0001-01-01T00:00:00+14:00"), "time", "out_of_range", "1 to 9999"),
        (change(time="9999-12-31T23:59:59-14:00"), "time", "out_of_range", "1 to 9999"),
        (change(time=None), "time", "invalid", "null"),
        (change(time=1), "time", "invalid", "int"),
        (change(time="2026-01-01T00:00:00Z"), "time", "too_old", "import"),
        (change(time="2027-01-01T00:00:00Z"), "time", "in_future", "clock"),
        (change(customer="nobody"), "customer", "unknown_customer", "Create it"),
        ([SENT], "", "invalid", "object"),
    ],
)
def test_the_field_that_is_wrong_is_named(api: Api, body: Any, path: str, detail: str, said: str) -> None:
    [found] = answer(api.post("/v1/events", body), 422)["error"]["details"]
    assert (found["path"], found["code"]) == (path, detail)
    assert said in found["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/events", b'{"id": "a",\n "type" 2}'),
        ("/v1/events/batch", b'{"events":\n [{"a" 2}'),
        ("/v1/conditions/try", b'{"text": "a",\n "now" 2}'),
    ],
)
def test_where_a_body_is_no_json_is_told(api: Api, path: str, body: bytes) -> None:
    error = check_envelope(api.post(path, body), 400, "malformed_json")
    assert "line 2, column " in error["message"]


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/cbor"])
def test_other_media_types(api: Api, path: str, content_type: str) -> None:
    check_envelope(api.post(path, SENT, Content_Type=content_type), 415, "unsupported_media_type")


def test_an_event_that_fills_the_limit(api: Api) -> None:
    body = json.dumps(change(data={f"text {n}": "x" * 8000 for n in range(32)} | {"rest": ""})).encode()
    full = body.replace(b'""', b'"' + b"x" * (256 * 1024 - len(body)) + b'"')
    assert len(full) == 256 * 1024
    answer(api.post("/v1/events", full), 202)


# --- POST /v1/events/batch --------------------------------------------------------------------------------------------

MIXED: list[Any] = [
    SENT,
    change(id="evt-2"),
    SENT,
    change(type="reopened"),
    change(id="evt-3", customer="nobody"),
    change(id="evt-4", extra=1),
    change(id="evt-5", time="2020-01-01T00:00:00Z"),
    change(id="evt-6", time="2030-01-01T00:00:00Z"),
    {"type": "closed"},
    change(id="evt-7"),
]
NOTABLE = [
    (2, "evt-1", "duplicate", None),
    (3, "evt-1", "rejected", "id_conflict"),
    (4, "evt-3", "rejected", "unknown_customer"),
    (5, "evt-4", "rejected", "invalid"),
    (6, "evt-5", "rejected", "too_old"),
    (7, "evt-6", "rejected", "in_future"),
    (8, "", "rejected", "invalid"),
]


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_a_batch_tells_of_each_item_that_was_not_newly_accepted(api: Api, form: str) -> None:
    if form == "json":
        response = api.post("/v1/events/batch", {"events": MIXED})
    else:
        response = api.post("/v1/events/batch", lines(*MIXED), **NDJSON)
    body = answer(response, 202)
    assert set(body) == {"accepted", "duplicates", "rejected", "results"}
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (3, 1, 6)
    assert [(r["index"], r["id"], r["status"], r.get("code")) for r in body["results"]] == NOTABLE
    for result in body["results"]:
        assert set(result) == {"index", "id", "status", *(("code", "message") if "code" in result else ())}
        assert result.get("message", "said")


def test_lines_may_be_empty_end_in_crlf_and_one_bad_line_costs_only_itself(api: Api) -> None:
    body = lines(SENT, b"", b"{bad", b"\xff\xfe", json.dumps(change(id="evt-2")).encode() + b"\r", b"")
    result = answer(api.post("/v1/events/batch", body, **NDJSON), 202)
    assert (result["accepted"], result["rejected"]) == (2, 2)
    assert [item["index"] for item in result["results"]] == [1, 2]


def test_the_items_of_a_json_batch_fail_alone_too(api: Api) -> None:
    deep = b'{"id":"d","type":"t","customer":"acme","data":{"a":' + b"[" * 500 + b"]" * 500 + b"}}"
    body = b'{"events":[' + b",".join([lines(SENT), deep, b"5", b"null"]) + b"]}"
    result = answer(api.post("/v1/events/batch", body), 202)
    assert (result["accepted"], result["rejected"]) == (1, 3)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ({"events": []}, {}, 422, "invalid"),
        ({}, {}, 422, "invalid"),
        ([SENT], {}, 422, "invalid"),
        ({"events": [SENT], "extra": 1}, {}, 422, "invalid"),
        ({"events": {}}, {}, 422, "invalid"),
        (b'{"events":[', {}, 400, "malformed_json"),
        (b"", {}, 400, "empty_body"),
        (b"", NDJSON, 400, "empty_body"),
        (b'{"events":[{"id":"\\ud800"}]', {}, 400, "malformed_json"),
        (b'{"events":[],"events":[{}]}', {}, 400, "duplicate_key"),
        (b'{"events":[{}],"events":[]}', {}, 400, "duplicate_key"),
        (b"\xff", {}, 400, "invalid_utf8"),
        (b'{"events":[' + b"[" * 100_000, {}, 400, "too_deep"),
        (b"\n \n", NDJSON, 422, "invalid"),
        ({"events": [1] * 5001}, {}, 413, "too_many_events"),
        (b"{}\n" * 5001, NDJSON, 413, "too_many_events"),
        (b" " * (8 * 1024 * 1024 + 1), {}, 413, "body_too_large"),
        (b" " * (8 * 1024 * 1024 + 1), NDJSON, 413, "body_too_large"),
    ],
)
def test_what_a_batch_as_a_whole_is_refused_with(api: Api, body: Any, headers: Any, status: int, code: str) -> None:
    check_envelope(api.post("/v1/events/batch", body, **headers), status, code)
    assert not InboxItem.objects.exists()


def test_a_batch_that_fills_the_limit(api: Api) -> None:
    result = answer(api.post("/v1/events/batch", {"events": [change(id=f"e{n}") for n in range(5000)]}), 202)
    assert result == {"accepted": 5000, "duplicates": 0, "rejected": 0, "results": []}


# --- scopes -----------------------------------------------------------------------------------------------------------

READS = [
    "/v1/events/evt-1?customer=acme",
    "/v1/inbox",
    "/v1/inbox/summary",
    "/v1/imports",
    "/v1/outcomes",
    "/v1/outcomes/out_1",
]
SENDS = ["/v1/events", "/v1/events/batch"]
WRITES = [
    *("/v1/inbox/retry", "/v1/inbox/dismiss", "/v1/inbox/1/retry", "/v1/inbox/1/dismiss"),
    *("/v1/imports", "/v1/imports/imp_1/close"),
]


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        ("events:write", [("GET", path) for path in READS] + [("POST", path) for path in WRITES]),
        ("read", [("POST", path) for path in SENDS + WRITES]),
    ],
)
def test_a_key_does_what_its_scopes_say(make_key: Callable[..., str], scope: str, refused: list[Any]) -> None:
    caller = Api(make_key(scope))
    for method, path in refused:
        check_envelope(caller(method, path, None if method == "GET" else SENT), 403, "missing_scope")
    assert not Event.objects.exists()


def test_each_scope_suffices_for_its_own(make_key: Callable[..., str]) -> None:
    answer(Api(make_key("events:write")).post("/v1/events", SENT), 202)
    for path in READS[:-1]:
        answer(Api(make_key("read")).get(path))
    for path in READS + SENDS:
        check_envelope(Api(None)("GET" if path in READS else "POST", path, None), 401, "missing_api_key")


# --- what became of an event ------------------------------------------------------------------------------------------


def fate(api: Api, event_id: str, customer: str = "acme") -> Any:
    return answer(api.get(f"/v1/events/{quote(event_id, safe='/')}?{urlencode({'customer': customer})}"))


def test_the_fate_of_an_event_from_pending_to_its_outcome(api: Api) -> None:
    api.post("/v1/events", SENT)
    told = fate(api, "evt-1")
    waits = {"status": "pending", "inbox": None, "outcomes": [], "late_evidence": []}
    assert told == SENT | waits | {"received_at": "2026-03-01T12:00:00Z"}
    evaluate_waiting(NOW)
    told = fate(api, "evt-1")
    assert told["status"] == "evaluated"
    [outcome] = told["outcomes"]
    assert (outcome["condition"], outcome["subject"], outcome["state"]) == ("solved", "T-9", "provisional")
    assert (outcome["met_by"], outcome["settles_at"]) == ("evt-1", "2026-03-01T15:00:00Z")


def test_the_fate_of_an_event_without_a_key_and_of_one_nobody_mentions(api: Api) -> None:
    api.post("/v1/events", change(data={}))
    api.post("/v1/events", change(id="evt-2", type="heartbeat"))
    evaluate_waiting(NOW)
    told = fate(api, "evt-1")
    assert (told["status"], told["inbox"]["reason"], told["outcomes"]) == ("inbox", "missing_key", [])
    assert "solved" in told["inbox"]["message"]
    told = fate(api, "evt-2")
    assert (told["status"], told["inbox"], told["outcomes"]) == ("evaluated", None, [])


def test_the_fate_of_a_refused_event(api: Api) -> None:
    api.post("/v1/events", change(customer="globex"))
    told = fate(api, "evt-1", "globex")
    assert (told["status"], told["inbox"]["reason"]) == ("inbox", "unknown_customer")
    api.post("/v1/events", change(customer="globex", id="evt-2", surprise=1))
    api.post("/v1/events", change(customer="globex", id="evt-2"))
    assert fate(api, "evt-2", "globex")["inbox"]["reason"] == "unknown_customer"  # the latest of them
    assert json.loads(told["inbox"]["body"]) == change(customer="globex")


@pytest.mark.parametrize("name", ["a/b", "ü 😀", "a?b#c", "..", "x" * 255, "e%2Fe"])
def test_ids_of_any_characters_are_found_again(api: Api, name: str) -> None:
    answer(api.post("/v1/events", change(id=name)), 202)
    response = api.get(f"/v1/events/{quote(name, safe='')}?customer=acme")
    assert answer(response)["id"] == name


def test_events_that_are_not_there(api: Api) -> None:
    check_envelope(api.get("/v1/events/evt-1?customer=acme"), 404, "not_found")
    check_envelope(api.get("/v1/events/evt-1?customer=nobody"), 404, "not_found")
    check_envelope(api.get("/v1/events/evt-1"), 400, "invalid_parameter")
    check_envelope(api.get("/v1/events/evt-1?customer=acme&x=1"), 400, "invalid_parameter")
    check_envelope(api.get("/v1/events/a%00b?customer=acme"), 400, "invalid_character")


# --- the inbox --------------------------------------------------------------------------------------------------------


def fill_inbox(api: Api) -> None:
    """Two of globex, one of initech, one too old, one without a key."""
    batch = [
        change(id="g1", customer="globex"),
        change(id="g2", customer="globex"),
        change(id="i1", customer="initech"),
        change(id="old", time="2020-01-01T00:00:00Z"),
        change(id="keyless", data={}),
    ]
    answer(api.post("/v1/events/batch", {"events": batch}), 202)
    evaluate_waiting(NOW)


def inbox(api: Api, **query: str) -> list[str]:
    return [item["event_id"] for item in answer(api.get(f"/v1/inbox?{urlencode(query)}"))["data"]]


def test_the_inbox_lists_what_waits_newest_first_and_filters(api: Api) -> None:
    fill_inbox(api)
    assert inbox(api) == ["keyless", "old", "i1", "g2", "g1"]
    assert inbox(api, reason="unknown_customer") == ["i1", "g2", "g1"]
    assert inbox(api, customer="globex") == ["g2", "g1"]
    assert inbox(api, customer="acme", reason="too_old") == ["old"]
    assert inbox(api, status="resolved") == []
    [item] = answer(api.get("/v1/inbox?reason=missing_key"))["data"]
    assert set(item) == {
        *("id", "customer", "event_id", "type", "reason", "message", "status", "attempts"),
        *("received_at", "resolved_at", "note", "handled_by", "import", "body"),
    }
    assert (item["customer"], item["type"], item["attempts"]) == ("acme", "closed", 0)
    for wrong in ("reason=odd", "status=1", "unknown=1", "reason=too_old&reason=invalid"):
        check_envelope(api.get(f"/v1/inbox?{wrong}"), 400, "invalid_parameter")


def test_pages_of_the_inbox_join_without_gap(api: Api) -> None:
    fill_inbox(api)
    seen, cursor = [], ""
    while True:
        page = answer(api.get(f"/v1/inbox?limit=2{cursor}"))
        seen += [item["event_id"] for item in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["keyless", "old", "i1", "g2", "g1"]


def test_retry_by_ids_by_reason_and_all(api: Api) -> None:
    fill_inbox(api)
    factories.customer("globex")
    ids = {item["event_id"]: item["id"] for item in answer(api.get("/v1/inbox"))["data"]}
    retried = answer(api.post("/v1/inbox/retry", {"ids": [ids["g1"], ids["i1"], 2**63 - 1]}))
    one_of_two = {"accepted": 1, "duplicates": 0, "rejected": 1, "remaining": 0, "after": None}
    assert retried == one_of_two
    assert answer(api.post("/v1/inbox/retry", {"reason": "unknown_customer"})) == one_of_two
    factories.customer("initech")
    assert answer(api.post("/v1/inbox/retry", {"all": True})) == one_of_two | {"accepted": 2}
    evaluate_waiting(NOW)
    assert inbox(api) == ["keyless", "old"]
    assert inbox(api, status="resolved") == ["keyless", "i1", "g2", "g1"]
    assert {item["attempts"] for item in answer(api.get("/v1/inbox?customer=initech&status=resolved"))["data"]} == {3}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"all": False},
        {"all": "yes"},
        {"all": 1},
        {"all": True, "reason": "invalid"},
        {"all": False, "reason": "invalid"},
        {"ids": [1], "import": "imp_00000000000000000000000000"},
        {"import": "imp_1"},
        {"all": True, "after": -1},
        {"after": 1},
        {"ids": []},
        {"ids": ["1"]},
        {"ids": [True]},
        {"ids": [1.5]},
        {"ids": [2**63]},
        {"ids": 1},
        {"reason": "odd"},
        {"reason": None},
        {"everything": True},
        [],
    ],
)
def test_a_retry_says_which_items_in_one_way(api: Api, body: Any) -> None:
    fill_inbox(api)
    check_envelope(api.post("/v1/inbox/retry", body), 422, "invalid")
    assert set(InboxItem.objects.values_list("attempts", flat=True)) == {0}


# --- imports ----------------------------------------------------------------------------------------------------------


def test_an_import_from_open_to_closed(api: Api) -> None:
    opened = answer(api.post("/v1/imports", {"name": "history"}), 201)
    assert set(opened) == {
        *("id", "name", "status", "created_at", "closed_at", "accepted", "duplicates", "rejected", "waiting"),
        *("customers", "settlement_paused"),
    }
    assert (opened["name"], opened["status"], opened["customers"]) == ("history", "open", 0)
    old = change(time="2019-01-01T00:00:00Z")
    answer(api.post("/v1/events", old, Import=opened["id"]), 202)
    batch = answer(api.post("/v1/events/batch", lines(old, old | {"id": "b"}), Import=opened["id"], **NDJSON), 202)
    assert (batch["accepted"], batch["duplicates"]) == (1, 1)
    [listed] = answer(api.get("/v1/imports"))["data"]
    assert listed["customers"] == 1
    closed = answer(api.post(f"/v1/imports/{opened['id']}/close"))
    assert (closed["status"], closed["closed_at"]) == ("closed", "2026-03-01T12:00:00Z")
    assert answer(api.post(f"/v1/imports/{opened['id']}/close")) == closed
    check_envelope(api.post("/v1/events", old, Import=opened["id"]), 409, "import_closed")


def test_imports_that_are_not_there(api: Api) -> None:
    unknown = "imp_00000000000000000000000000"
    check_envelope(api.post("/v1/events", SENT, Import=unknown), 409, "import_closed")
    check_envelope(api.post(f"/v1/imports/{unknown}/close"), 404, "not_found")
    for name in ("imp_1", "out_00000000000000000000000000", "", "x" * 500):
        check_envelope(api.post("/v1/events", SENT, Import=name), 400, "invalid_parameter")
    check_envelope(api.post("/v1/imports/odd/close"), 404, "not_found")
    check_envelope(api.post(f"/v1/imports/{unknown}/close", {"then": 1}), 422, "invalid")
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "body", [{"name": 1}, {"name": "x" * 256}, {"name": "a\0"}, {"name": None}, {"nom": "x"}, [], 0]
)
def test_an_import_takes_a_name_and_nothing_else(api: Api, body: Any) -> None:
    response = api.post("/v1/imports", body)
    assert response.status_code in (400, 422), response.content
    assert answer(api.get("/v1/imports"))["data"] == []


def test_an_import_needs_no_body(api: Api) -> None:
    assert answer(api.post("/v1/imports"), 201)["name"] == ""
    assert answer(api.post("/v1/imports", {}), 201)["name"] == ""


# --- outcomes ---------------------------------------------------------------------------------------------------------


def tell(*story: tuple[str, str, str], customer: str = "acme") -> None:
    """(type, time of the 1st of March or later, ticket) …; evaluated."""
    batch = [
        {"id": f"{kind}@{time}/{ticket}", "type": kind, "customer": customer, "time": time,
         "data": {"ticket": ticket, "units": 2, "priority": "high"}}
        for kind, time, ticket in story
    ]  # fmt: skip
    assert {result.status for result in factories.send(batch, now=NOW + 9 * DAY)} == {"accepted"}
    evaluate_waiting(NOW + 9 * DAY)


@pytest.fixture
def told() -> None:
    """One outcome in each state, each on a ticket named after it; settled up to the 10th of March."""
    factories.customer("globex")
    factories.condition(REPEATING.replace("outcome solved", "outcome repeating"))
    tell(
        ("closed", "2026-03-01T10:00:00Z", "confirmed"),
        ("closed", "2026-03-01T11:00:00Z", "void"),
        ("reopened", "2026-03-01T12:00:00Z", "void"),
        ("closed", "2026-03-01T11:00:00Z", "reversed"),
        ("reopened", "2026-03-01T18:00:00Z", "reversed"),
        ("escalated", "2026-03-01T11:00:00Z", "missed"),
        ("escalated", "2026-03-10T10:00:00Z", "open"),
        ("closed", "2026-03-10T11:00:00Z", "provisional"),
    )
    tell(("closed", "2026-03-02T10:00:00Z", "confirmed"), customer="globex")
    settle_due(NOW + 9 * DAY)


def found(api: Api, **query: str) -> set[tuple[str, str, str]]:
    """(customer, condition, subject) of what a list answers."""
    data = answer(api.get(f"/v1/outcomes?{urlencode(query)}"))["data"]
    return {(row["customer"], row["condition"], row["subject"]) for row in data}


@pytest.mark.usefixtures("told")
def test_every_filter_of_the_list(api: Api) -> None:
    everything = found(api)
    assert len(everything) == 14
    for name, place in (("customer", 0), ("condition", 1), ("subject", 2)):
        for value in {row[place] for row in everything}:
            assert found(api, **{name: value}) == {row for row in everything if row[place] == value}
    for state in ("confirmed", "void", "reversed", "missed", "open", "provisional"):
        assert {row[2] for row in found(api, state=state)} == {state}
    assert found(api, state="superseded") == set()
    both = found(api, customer="acme", condition="solved", state="confirmed", subject="confirmed")
    assert both == {("acme", "solved", "confirmed")}
    assert found(api, customer="nobody") == set()


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-03-01T15:00:00Z", "2026-03-01T15:00:00.000001Z", {"confirmed"}),
        ("2026-03-01T15:00:00.000001Z", "2026-03-01T16:00:00.000001Z", {"reversed"}),
        ("2026-03-01T14:00:00Z", "2026-03-01T15:00:00Z", set()),
        ("2026-03-01T16:00:00+01:00", "2026-03-01T17:00:00+01:00", {"confirmed"}),
    ],
)
def test_settled_from_is_inclusive_and_settled_to_exclusive(api: Api, start: str, end: str, expected: set[str]) -> None:
    assert {row[2] for row in found(api, settled_from=start, settled_to=end)} == expected


@pytest.mark.parametrize(
    "query", ["state=done", "settled_from=2026-03-01", "settled_to=2026-03-01T00:00:00", "x=1", "customer=a&customer=b"]
)
def test_filters_that_mean_nothing_are_refused(api: Api, query: str) -> None:
    check_envelope(api.get(f"/v1/outcomes?{query}"), 400, "invalid_parameter")


def test_filters_say_what_there_is(api: Api) -> None:
    assert "confirmed" in check_envelope(api.get("/v1/outcomes?state=done"), 400, "invalid_parameter")["message"]
    plus = "/v1/outcomes?settled_from=2026-03-01T00:00:00+01:00"
    assert "%2B" in check_envelope(api.get(plus), 400, "invalid_parameter")["message"]


@pytest.mark.usefixtures("told")
def test_pages_join_without_gap_newest_first_and_a_cursor_keeps_to_its_filter(api: Api) -> None:
    whole = [row["id"] for row in answer(api.get("/v1/outcomes?customer=acme"))["data"]]
    assert whole == sorted(whole, reverse=True)
    joined, cursor = [], ""
    while True:
        page = answer(api.get(f"/v1/outcomes?customer=acme&limit=5{cursor}"))
        joined += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert joined == whole
    check_envelope(api.get(f"/v1/outcomes?customer=globex{cursor}"), 400, "invalid_cursor")
    assert page["next_cursor"] is None


END_STATES: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]], list[str]]] = {
    "confirmed": (
        {"met_by": "closed@2026-03-01T10:00:00Z/confirmed", "met_at": "2026-03-01T10:00:00Z",
         "settles_at": "2026-03-01T15:00:00Z", "settled_at": "2026-03-01T15:00:00Z", "ended_by": None, "ended_at": None,
         "quantity": "2", "amount": None, "dimensions": {"priority": "high"}, "review": []},
        [(None, "open", "event", "begin", "2026-03-01T10:00:00Z"),
         ("open", "provisional", "event", "bill", "2026-03-01T10:00:00Z"),
         ("provisional", "confirmed", "clock", "settle", "2026-03-01T15:00:00Z")],
        ["closed@2026-03-01T10:00:00Z/confirmed"],
    ),
    "reversed": (
        {"settled_at": "2026-03-01T16:00:00Z", "ended_by": "reopened@2026-03-01T18:00:00Z/reversed",
         "ended_at": "2026-03-01T18:00:00Z", "quantity": "2", "dimensions": {"priority": "high"}},
        [(None, "open", "event", "begin", "2026-03-01T11:00:00Z"),
         ("open", "provisional", "event", "bill", "2026-03-01T11:00:00Z"),
         ("provisional", "confirmed", "clock", "settle", "2026-03-01T16:00:00Z"),
         ("confirmed", "reversed", "event", "credit", "2026-03-01T18:00:00Z")],
        ["closed@2026-03-01T11:00:00Z/reversed", "reopened@2026-03-01T18:00:00Z/reversed"],
    ),
    "void": (
        {"settled_at": None, "ended_by": "reopened@2026-03-01T12:00:00Z/void", "ended_at": "2026-03-01T12:00:00Z",
         "quantity": None, "dimensions": {}},
        [(None, "open", "event", "begin", "2026-03-01T11:00:00Z"),
         ("open", "provisional", "event", "bill", "2026-03-01T11:00:00Z"),
         ("provisional", "void", "event", "void", "2026-03-01T12:00:00Z")],
        ["closed@2026-03-01T11:00:00Z/void", "reopened@2026-03-01T12:00:00Z/void"],
    ),
    "missed": (
        {"met_by": None, "met_at": None, "settles_at": None, "settled_at": None, "ended_by": None,
         "ended_at": "2026-03-03T13:00:00Z", "quantity": None},
        [(None, "open", "event", "begin", "2026-03-01T11:00:00Z"),
         ("open", "missed", "clock", "expire", "2026-03-03T13:00:00Z")],
        ["escalated@2026-03-01T11:00:00Z/missed"],
    ),
    "open": (
        {"met_at": None, "settled_at": None, "ended_at": None, "quantity": None, "dimensions": {}},
        [(None, "open", "event", "begin", "2026-03-10T10:00:00Z")],
        ["escalated@2026-03-10T10:00:00Z/open"],
    ),
    "provisional": (
        {"met_at": "2026-03-10T11:00:00Z", "settles_at": "2026-03-10T16:00:00Z", "settled_at": None, "quantity": "2"},
        [(None, "open", "event", "begin", "2026-03-10T11:00:00Z"),
         ("open", "provisional", "event", "bill", "2026-03-10T11:00:00Z")],
        ["closed@2026-03-10T11:00:00Z/provisional"],
    ),
}  # fmt: skip


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("state", END_STATES)
def test_an_outcome_tells_its_instants_its_journal_and_its_events(api: Api, state: str) -> None:
    fields, journal, events = END_STATES[state]
    [row] = answer(api.get(f"/v1/outcomes?customer=acme&condition=solved&subject={state}"))["data"]
    detail = answer(api.get(f"/v1/outcomes/{row['id']}"))
    assert {name: detail[name] for name in row} == row
    assert (row["state"], row["condition_version"], row["title"]) == (state, 1, "Ticket solved")
    assert {name: row[name] for name in fields} == fields
    entries = detail["journal"]
    assert [(e["from"], e["to"], e["cause"], e["clause"], e["effective_at"]) for e in entries] == journal
    assert {e["recorded_at"] for e in entries} == {"2026-03-10T12:00:00Z"}
    assert [e["event"] is not None for e in entries] == [e["cause"] == "event" for e in entries]
    listed = answer(api.get(f"/v1/outcomes/{row['id']}/events"))
    assert [event["id"] for event in listed["data"]] == events
    assert listed["data"][0]["data"] == {"ticket": state, "units": 2, "priority": "high"}
    for event_id in events:
        assert row["id"] in {outcome["id"] for outcome in fate(api, event_id)["outcomes"]}


def test_late_evidence_is_among_the_events_of_what_it_reversed(api: Api) -> None:
    tell(("closed", "2026-03-01T10:00:00Z", "T"))
    settle_due(NOW + 9 * DAY)
    tell(("escalated", "2026-03-01T09:00:00Z", "T"))
    outcome = Outcome.objects.get(state="reversed")
    [row] = answer(api.get("/v1/outcomes?state=reversed"))["data"]
    events = answer(api.get(f"/v1/outcomes/{row['id']}/events"))["data"]
    assert [event["type"] for event in events] == ["escalated", "closed"]
    assert row["ended_by"] == "escalated@2026-03-01T09:00:00Z/T"
    reversal = answer(api.get(f"/v1/outcomes/{row['id']}"))["journal"][-1]
    assert (reversal["cause"], reversal["event"]) == ("late", row["ended_by"])
    assert outcome.ended_at is not None


@pytest.mark.usefixtures("told")
def test_pages_of_an_outcomes_events(api: Api) -> None:
    [row] = answer(api.get("/v1/outcomes?condition=solved&state=reversed"))["data"]
    first = answer(api.get(f"/v1/outcomes/{row['id']}/events?limit=1"))
    second = answer(api.get(f"/v1/outcomes/{row['id']}/events?limit=1&cursor={first['next_cursor']}"))
    assert [page["data"][0]["type"] for page in (first, second)] == ["closed", "reopened"]
    assert (first["has_more"], second["has_more"]) == (True, False)


@pytest.mark.parametrize(
    "text", ["out_00000000000000000000000000", "out_1", "inv_00000000000000000000000000", "x" * 300]
)
def test_outcomes_that_are_not_there(api: Api, text: str) -> None:
    check_envelope(api.get(f"/v1/outcomes/{text}"), 404, "not_found")
    check_envelope(api.get(f"/v1/outcomes/{text}/events"), 404, "not_found")


def test_every_error_code_is_explained(api: Api) -> None:
    page = api.get("/v1/docs/errors").content.decode()
    for code in (
        "id_conflict",
        "unknown_customer",
        "too_old",
        "in_future",
        "event_too_large",
        "too_many_events",
        "import_closed",
        "not_waiting",
    ):
        assert f'id="{code}"' in page
