"""The short way and the views give the same answers, and leave the same behind."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from outcomes.api import express
from outcomes.intake import accept
from outcomes.models import Event, InboxItem, Pending
from tests.access.conftest import Api
from tests.outcomes import factories

pytestmark = pytest.mark.django_db

# Asks for the same as nothing, in words that the short way does not take.
LONG_WAY = {"Accept": "application/json;q=1"}


@pytest.fixture(autouse=True)
def acme() -> Any:
    factories.customer()
    factories.customer("globex")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which requests were answered on the short way."""
    taken: list[str] = []
    answer = express.ExpressMiddleware._answer

    def noted(self: Any, request: Any, *way: Any) -> Any:
        response = answer(self, request, *way)
        if response is not None:
            taken.append(request.path)
        return response

    monkeypatch.setattr(express.ExpressMiddleware, "_answer", noted)
    return taken


def event(name: str = "e", customer: str = "CUSTOMER", **fields: Any) -> dict[str, Any]:
    return {"id": name, "type": "closed", "customer": customer, "data": {"ticket": "T"}} | fields


GOOD = event()
SINGLE = {
    "accepted": [GOOD],
    "with a time": [event(time=timezone.now().isoformat())],
    "duplicate": [GOOD, GOOD],
    "conflict": [GOOD, event(type="reopened")],
    "unknown customer": [event(customer="no-CUSTOMER")],
    "too old": [event(time="2020-01-01T00:00:00Z")],
    "in the future": [event(time="2199-01-01T00:00:00Z")],
}
LEFT_TO_THE_VIEWS = {
    "no json": b"{",
    "nothing": b"",
    "a list": b"[]",
    "unknown field": json.dumps(event(extra=1)).encode(),
    "no id": b'{"type": "x", "customer": "CUSTOMER"}',
    "twice": b'{"id": "a", "id": "b", "type": "x", "customer": "CUSTOMER"}',
    "deep": b'{"id": "a", "type": "x", "customer": "CUSTOMER", "data": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}",
}


def told(response: Any) -> tuple[int, Any]:
    body = json.loads(response.content)
    body.get("error", {}).pop("request_id", None)
    return response.status_code, body


def left() -> list[Any]:
    """What lies in the tables, apart from whose it is."""
    return [
        list(Event.objects.order_by("seq").values_list("event_id", "type", "data")),
        Pending.objects.count(),
        list(InboxItem.objects.order_by("id").values_list("event_id", "type", "reason", "status")),
    ]


def both_ways(api: Api, path: str, bodies: list[bytes]) -> None:
    answers, leavings = [], []
    for customer, headers in (("acme", {}), ("globex", LONG_WAY)):
        before = left()
        answers.append(
            [told(api("POST", path, body.replace(b"CUSTOMER", customer.encode()), **headers)) for body in bodies]
        )
        now = left()
        leavings.append([now[0][len(before[0]) :], now[1] - before[1], now[2][len(before[2]) :]])
    text = [json.dumps(answer).replace("globex", "acme") for answer in answers]
    # Times told in messages are those of two moments.
    assert [a.split("our clock")[0] for a in text[:1]] == [a.split("our clock")[0] for a in text[1:]]
    if all(b"CUSTOMER" in body for body in bodies):  # what differs in nothing is kept once
        assert leavings[0] == leavings[1]


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_event(name: str, api: Api, short: list[str]) -> None:
    both_ways(api, "/v1/events", [json.dumps(body).encode() for body in SINGLE[name]])
    assert short == ["/v1/events"] * len(SINGLE[name])


@pytest.mark.parametrize("name", LEFT_TO_THE_VIEWS)
def test_what_is_no_event_is_left_to_the_views(name: str, api: Api, short: list[str]) -> None:
    both_ways(api, "/v1/events", [LEFT_TO_THE_VIEWS[name]])
    assert short == []


def test_a_batch(api: Api, short: list[str]) -> None:
    rows = [
        event("a"),
        event("a"),
        event("a", type="other"),
        event("b", customer="no-CUSTOMER"),
        event("c", extra=1),
        event("d"),
    ]
    both_ways(api, "/v1/events/batch", [json.dumps({"events": rows}).encode()])
    assert short == ["/v1/events/batch"]


@pytest.mark.parametrize("body", [b"{", b'{"events": []}', b'{"events": {}}', b"[]", b""])
def test_what_is_no_batch_is_left_to_the_views(body: bytes, api: Api, short: list[str]) -> None:
    both_ways(api, "/v1/events/batch", [body])
    assert short == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/events?a=1", {}),
        ("/v1/events", {"Import": "imp_00000000000000000000000000"}),
        ("/v1/events", {"Content-Encoding": "gzip"}),
        ("/v1/events", {"ce-specversion": "1.0"}),
        ("/v1/events", {"Accept": "text/html"}),
        ("/v1/events", {"Content-Type": "application/json; charset=latin-1"}),
        ("/v1/events", {"Content-Type": "application/cloudevents+json"}),
        ("/v1/events", {"Authorization": "Bearer hf_live_wrong"}),
        ("/v1/events", {"Authorization": "Basic x"}),
        ("/v1/events", {"Host": "elsewhere.example"}),
        ("/v1/events/batch", {"Content-Type": "application/x-ndjson"}),
    ],
)
def test_whoever_asks_for_more_gets_the_views(path: str, headers: dict[str, str], api: Api, short: list[str]) -> None:
    api("POST", path, json.dumps(event(customer="acme")).encode(), **headers)
    assert short == []


def test_a_key_that_may_not_send_events_is_told_so(make_key: Any, short: list[str]) -> None:
    response = Api(make_key("read"))("POST", "/v1/events", event(customer="acme"))
    assert told(response)[1]["error"]["code"] == "missing_scope"
    assert short == []
    assert not Event.objects.exists()


def test_the_headers_of_an_answer(api: Api, short: list[str]) -> None:
    response = api("POST", "/v1/events", event(customer="acme"), X_Request_Id="mine")
    assert short
    assert response["X-Request-Id"] == "mine"
    assert response["Content-Length"] == str(len(response.content))
    for name in ("Content-Type", "Cache-Control", "X-Content-Type-Options", "Referrer-Policy"):
        assert response[name] == api("POST", "/v1/events", event(customer="acme"), **LONG_WAY)[name]


def test_a_database_that_fails_is_told_by_the_views(
    api: Api, monkeypatch: pytest.MonkeyPatch, short: list[str]
) -> None:
    from django.db import OperationalError

    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr("outcomes.together.accept", away)
    response = api("POST", "/v1/events", event(customer="acme"))
    assert (response.status_code, short) == (503, [])
    monkeypatch.setattr("outcomes.together.accept", accept)
    assert api("POST", "/v1/events", event(customer="acme")).status_code == 202


def test_other_methods_and_paths_pass_by(api: Api, short: list[str]) -> None:
    assert api("GET", "/v1/events/batch?customer=acme").status_code == 404
    assert Client().get("/healthz").status_code == 200
    assert short == []
