"""CloudEvents 1.0 in their three modes, as the `cloudevents` package writes them."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from outcomes import inbox
from outcomes.cloudevents import read_cloud_event, structured
from outcomes.models import Event, EventIdentity, InboxItem
from outcomes.wire import Incoming, Refused
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).replace(microsecond=0)
SENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "evt-1",
    "type": "ticket.closed",
    "source": "/crm/eu",
    "subject": "acme",
    "time": f"{NOW:%Y-%m-%dT%H:%M:%SZ}",
    "datacontenttype": "application/json",
    "data": {"ticket": "T-9", "hours": 1.5},
}
STRUCTURED = {"Content_Type": "application/cloudevents+json"}
BATCH = {"Content_Type": "application/cloudevents-batch+json"}
PATHS = ["/v1/events", "/v1/events/batch"]


@pytest.fixture(autouse=True)
def acme() -> None:
    factories.customer()


def change(**fields: Any) -> dict[str, Any]:
    return SENT | fields


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in SENT.items() if key != name}


def by_the_package(data: dict[str, Any] | None = SENT["data"], **attributes: Any) -> CloudEvent:
    given = {name: SENT[name] for name in ("id", "type", "source", "subject", "datacontenttype")}
    return CloudEvent(given | {"time": NOW} | attributes, data)


def post(api: Api, path: str, message: HTTPMessage) -> Any:
    headers = {name.replace("-", "_"): value for name, value in message.headers.items()}
    headers["Content_Type"] = headers.pop("content_type")
    return api.post(path, message.body, **headers)


def answer(response: Any, status: int = 202) -> Any:
    assert response.status_code == status, response.content
    return json.loads(response.content)


NEW = {"accepted": 1, "duplicates": 0, "rejected": 0, "results": []}


# --- the three modes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("write", [to_structured_event, to_binary_event])
def test_one_event_in_either_mode_on_either_path(api: Api, path: str, write: Any) -> None:
    message = write(by_the_package())
    single = {"id": "evt-1", "status": "accepted"}
    assert answer(post(api, path, message)) == (single if path == "/v1/events" else NEW)
    kept = Event.objects.get()
    assert (kept.event_id, kept.type, kept.source, kept.customer.key) == ("evt-1", "ticket.closed", "/crm/eu", "acme")
    assert (kept.time, kept.data) == (NOW, SENT["data"])
    assert EventIdentity.objects.get().source == "/crm/eu"


@pytest.mark.parametrize("path", PATHS)
def test_a_batch_on_either_path(api: Api, path: str) -> None:
    batch = [SENT, change(id="evt-2"), SENT, change(id="evt-3", subject="nobody"), change(id="evt-4", source="")]
    told = answer(api.post(path, batch, **BATCH))
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (2, 1, 2)
    assert [(item["index"], item.get("code")) for item in told["results"]] == [
        (2, None),
        (3, "unknown_customer"),
        (4, "invalid"),
    ]


@pytest.mark.parametrize("path", PATHS)
def test_a_batch_may_be_empty(api: Api, path: str) -> None:
    assert answer(api.post(path, [], **BATCH)) == {"accepted": 0, "duplicates": 0, "rejected": 0, "results": []}


def test_all_modes_are_the_same_event(api: Api) -> None:
    answers = [
        answer(post(api, "/v1/events", to_structured_event(by_the_package())))["status"],
        answer(post(api, "/v1/events", to_binary_event(by_the_package())))["status"],
        answer(api.post("/v1/events", SENT, **STRUCTURED))["status"],
        answer(api.post("/v1/events", [SENT], **BATCH))["duplicates"],
    ]
    assert answers == ["accepted", "duplicate", "duplicate", 1]
    check_envelope(api.post("/v1/events", change(data={}), **STRUCTURED), 409, "id_conflict")


def test_the_source_is_part_of_the_identity(api: Api) -> None:
    ours = {"id": "evt-1", "type": "ticket.closed", "customer": "acme"}
    assert answer(api.post("/v1/events", ours))["status"] == "accepted"
    for source in ("/crm/eu", "/crm/us", "urn:é"):
        assert answer(api.post("/v1/events", change(source=source), **STRUCTURED))["status"] == "accepted"
        told = answer(api.get(f"/v1/events/evt-1?customer=acme&source={source}"), 200)
        assert (told["source"], told["status"]) == (source, "pending")
    assert "source" not in answer(api.get("/v1/events/evt-1?customer=acme"), 200)
    check_envelope(api.get("/v1/events/evt-1?customer=acme&source=/crm"), 404, "not_found")


@pytest.mark.parametrize("write", [to_structured_event, to_binary_event])
def test_text_of_all_kinds_arrives(api: Api, write: Any) -> None:
    name = 'Čapek "& Söhne", 100 % 😀'
    factories.customer(name)
    event = by_the_package(subject=name, id="a b%20c", source="/é?x=%41", type="ticket.😀")
    assert answer(post(api, "/v1/events", write(event)))["status"] == "accepted"
    kept = Event.objects.get()
    assert kept.customer.key == name
    assert (kept.event_id, kept.source, kept.type) == ("a b%20c", "/é?x=%41", "ticket.😀")


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("evt-1", "evt-1"),
        ("%65vt%2D1", "evt-1"),
        ('"quoted \\"text\\" \\\\ %41"', 'quoted "text" \\ A'),
        ('"', '"'),
        ('""', None),
        ("", None),
        ("100%", "100%"),
        ("a+b", "a+b"),
        ("%E2%82%AC", "€"),
        ("%2525", "%25"),
    ],
)
def test_headers_are_read_as_the_binding_says(header: str, text: str | None, api: Api) -> None:
    message = to_binary_event(by_the_package())
    message.headers["ce-id"] = header
    response = post(api, "/v1/events", message)
    if text is None:
        check_envelope(response, 422, "invalid")
    else:
        assert answer(response)["id"] == text


@pytest.mark.parametrize("header", ["%C0%A0", "%FF", "%E2%82", "%ED%A0%80"])
def test_headers_that_are_no_text(header: str, api: Api) -> None:
    message = to_binary_event(by_the_package())
    message.headers["ce-subject"] = header
    for path in PATHS:
        error = check_envelope(post(api, path, message), 400, "invalid_utf8")
        assert error["details"][0]["path"] == "ce-subject"
    message.headers["ce-subject"] = "%00"
    check_envelope(post(api, "/v1/events", message), 400, "nul_character")
    assert not InboxItem.objects.exists()


def test_without_data_and_without_time(api: Api) -> None:
    bare = {name: SENT[name] for name in ("specversion", "id", "type", "source", "subject")}
    assert answer(api.post("/v1/events", bare, **STRUCTURED))["status"] == "accepted"
    headers = {f"ce_{name}": value for name, value in bare.items()}
    assert answer(api.post("/v1/events", b"", **headers))["status"] == "duplicate"
    assert answer(api.post("/v1/events", bare | {"data": None, "time": None}, **STRUCTURED))["status"] == "duplicate"
    kept = Event.objects.get()
    assert (kept.data, kept.time) == ({}, kept.received_at)


def test_a_binary_body_stays_the_data(api: Api) -> None:
    """What would be JSON only among the attributes is none."""
    headers = {f"ce_{name}": SENT[name] for name in ("specversion", "id", "type", "source", "subject")}
    for body in (b'{},"time":"2020-01-01T00:00:00Z"', b'{}}{"a":{}', b"{}{}", b"{", b"  "):
        for path in PATHS:
            response = api.post(path, body, **headers)
            assert response.status_code == 400
            assert json.loads(response.content)["error"]["code"] in ("malformed_json", "empty_body")
    check_envelope(api.post("/v1/events", b"[]", **headers), 422, "invalid")
    check_envelope(api.post("/v1/events", b"{}", **headers, ce_data="{}"), 400, "duplicate_key")
    assert not Event.objects.exists()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "path", "code", "said"),
    [
        (without("subject"), "subject", "required", "customer"),
        (change(subject=None), "subject", "required", "customer"),
        (without("id"), "id", "required", "required"),
        (without("source"), "source", "required", "required"),
        (without("type"), "type", "required", "required"),
        (without("specversion"), "specversion", "invalid", "1.0"),
        (change(specversion="0.3"), "specversion", "invalid", "1.0"),
        (change(specversion=1.0), "specversion", "invalid", "1.0"),
        (change(id=""), "id", "invalid", "length"),
        (change(source="x" * 256), "source", "invalid", "length"),
        (change(subject=5), "subject", "invalid", "str"),
        (change(data=[1]), "data", "invalid", "object"),
        (change(data="text"), "data", "invalid", "object"),
        (change(data_base64="e30="), "data_base64", "unknown_field", "`data`"),
        (change(datacontenttype="text/plain"), "datacontenttype", "invalid", "JSON"),
        (change(datacontenttype="application/json; charset=latin-1"), "datacontenttype", "invalid", "JSON"),
        (change(datacontenttype=1), "datacontenttype", "invalid", "JSON"),
        (change(tenant="a"), "tenant", "unknown_field", "HOLDFAST_CLOUDEVENTS_IGNORED"),
        (change(sampledrate=10), "sampledrate", "unknown_field", "`data`"),
        (change(customer="acme"), "customer", "unknown_field", "`data`"),
        (change(time="2026-03-01T10:00:00"), "time", "naive", "offset"),
        ([SENT], "", "invalid", "object"),
    ],
)
def test_the_attribute_that_is_wrong_is_named(api: Api, event: Any, path: str, code: str, said: str) -> None:
    [found] = check_envelope(api.post("/v1/events", event, **STRUCTURED), 422, "invalid")["details"]
    assert (found["path"], found["code"]) == (path, code)
    assert said in found["message"]
    kept = InboxItem.objects.get()
    assert (kept.reason, kept.body) == ("invalid", json.dumps(event))


def test_the_customer_is_told_by_the_name_of_the_attribute(api: Api) -> None:
    error = check_envelope(api.post("/v1/events", change(subject="nobody"), **STRUCTURED), 422, "unknown_customer")
    assert error["details"][0]["path"] == "subject"


@pytest.mark.parametrize(
    "kind", ["application/json", "text/json", "application/vnd.crm.v1+json", "Application/JSON; charset=UTF-8"]
)
def test_kinds_of_json(api: Api, kind: str) -> None:
    assert answer(api.post("/v1/events", change(datacontenttype=kind), **STRUCTURED))["status"] == "accepted"


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents", "application/cloudevents+xml", "application/cloudevents-batch", "text/plain"],
)
@pytest.mark.parametrize("path", PATHS)
def test_other_formats(api: Api, path: str, content_type: str) -> None:
    check_envelope(api.post(path, SENT, Content_Type=content_type), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"[", "malformed_json"),
        (b'[{"id":1}', "malformed_json"),
        (b"\xff", "invalid_utf8"),
        (b"\xef\xbb\xbf[]", "byte_order_mark"),
        (b"[" * 100_000, "too_deep"),
        (b"[{}" + b",{}" * 5000 + b"]", "too_many_events"),
        (b"{}", "invalid"),
        (b"null", "invalid"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_what_a_list_as_a_whole_is_refused_with(api: Api, path: str, body: bytes, code: str) -> None:
    status = {"too_many_events": 413, "invalid": 422}.get(code, 400)
    check_envelope(api.post(path, body, **BATCH), status, code)
    assert not InboxItem.objects.exists()


# --- attributes that are passed over ----------------------------------------------------------------------------------


def test_how_an_event_travelled_is_passed_over_and_no_part_of_it(api: Api) -> None:
    travelled = {"traceparent": "00-1", "partitionkey": "7", "sequence": "1", "dataschema": "urn:x", "topic": "t"}
    assert answer(api.post("/v1/events", SENT | travelled, **STRUCTURED))["status"] == "accepted"
    assert answer(api.post("/v1/events", SENT, **STRUCTURED))["status"] == "duplicate"
    assert answer(post(api, "/v1/events", to_binary_event(by_the_package(**travelled))))["status"] == "duplicate"


def test_which_are_passed_over_is_a_setting(api: Api, settings: Any) -> None:
    settings.CLOUDEVENTS_IGNORED = frozenset({"tenant"})
    assert answer(api.post("/v1/events", change(tenant="a"), **STRUCTURED))["status"] == "accepted"
    check_envelope(api.post("/v1/events", change(traceparent="00-1"), **STRUCTURED), 422, "invalid")


# --- the inbox --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["structured", "binary", "batch"])
def test_what_was_refused_is_kept_and_can_be_retried(api: Api, form: str) -> None:
    event = by_the_package(subject="later Ltd", data={"a": 1})
    if form == "batch":
        answer(api.post("/v1/events", b"[" + to_structured_event(event).body + b"]", **BATCH))
    else:
        post(api, "/v1/events", to_structured_event(event) if form == "structured" else to_binary_event(event))
    item = InboxItem.objects.get()
    assert (item.reason, item.customer_key, item.event_id) == ("unknown_customer", "later Ltd", "evt-1")
    assert json.loads(item.body)["source"] == "/crm/eu"
    told = answer(api.get("/v1/events/evt-1?customer=later Ltd&source=/crm/eu"), 200)
    assert (told["status"], told["source"], told["inbox"]["reason"]) == ("inbox", "/crm/eu", "unknown_customer")
    check_envelope(api.get("/v1/events/evt-1?customer=later Ltd"), 404, "not_found")
    assert inbox.retry(inbox.waiting(), now=NOW) == Counter(rejected=1)
    factories.customer("later Ltd")
    later = NOW + timedelta(hours=1)
    assert inbox.retry(inbox.waiting(), now=later) == Counter(accepted=1)
    kept = Event.objects.get()
    assert (kept.source, kept.time, kept.data) == ("/crm/eu", NOW, {"a": 1})
    assert answer(post(api, "/v1/events", to_structured_event(event)))["status"] == "duplicate"


def test_an_attribute_can_be_passed_over_after_the_fact(api: Api, settings: Any) -> None:
    check_envelope(api.post("/v1/events", change(tenant="a"), **STRUCTURED), 422, "invalid")
    assert inbox.retry(inbox.waiting(), now=NOW) == Counter(rejected=1)
    assert "HOLDFAST_CLOUDEVENTS_IGNORED" in InboxItem.objects.get().message
    settings.CLOUDEVENTS_IGNORED = frozenset({"tenant"})
    assert inbox.retry(inbox.waiting(), now=NOW) == Counter(accepted=1)


def test_one_that_was_sent_as_an_event_of_our_own_is_taken_for_what_it_is_when_retried(api: Api) -> None:
    error = check_envelope(api.post("/v1/events", SENT), 422, "invalid")
    assert error["details"][0]["path"] == "specversion"
    assert inbox.retry(inbox.waiting(), now=NOW) == Counter(accepted=1)
    assert Event.objects.get().source == "/crm/eu"


def test_headers_make_the_event_that_the_json_format_has() -> None:
    message = to_binary_event(by_the_package())
    environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in message.headers.items()}
    from_headers = read_cloud_event(structured(environ, "application/json", message.body))
    from_body = read_cloud_event(to_structured_event(by_the_package()).body)
    assert isinstance(from_headers, Incoming)
    assert isinstance(from_body, Incoming)
    assert (from_headers.fingerprint, from_headers.source) == (from_body.fingerprint, from_body.source)


def test_attributes_in_headers_count_for_the_size_too() -> None:
    environ = {f"HTTP_CE_{name.upper()}": SENT[name] for name in ("specversion", "id", "type", "source", "subject")}
    body = json.dumps({f"k{n}": "x" * 8100 for n in range(32)}).encode()
    assert isinstance(read_cloud_event(structured(environ, "", body)), Incoming)
    item = read_cloud_event(structured(environ, "", body[:-1] + b" " * (256 * 1024 - len(body)) + b"}"))
    assert isinstance(item, Refused)
    assert item.code == "event_too_large"
