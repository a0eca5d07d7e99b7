"""``POST /v1/conditions/try``: the shape of page 5, and the semantics that other programs rely on."""

import json
from typing import Any

import pytest

from outcomes.evaluation import evaluate_waiting
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories

pytestmark = pytest.mark.django_db

TEXT = """
outcome resolved_ticket "Support ticket resolved"
per ticket_id
bill when ticket.closed where closed_by is "agent" and no ticket.escalated
void when ticket.reopened
credit within 30 days when ticket.reopened
settle after 72 hours
dimension priority = latest priority of ticket.closed
quantity latest units of ticket.closed
"""


def event(id: str, type: str, time: str, **data: Any) -> dict[str, Any]:
    return {"id": id, "type": type, "time": time, "data": {"ticket_id": "T-9", "closed_by": "agent", "units": 1} | data}


def run(api: Api, *events: dict[str, Any], text: str = TEXT, **more: Any) -> list[dict[str, Any]]:
    answer = api.post("/v1/conditions/try", {"text": text, "events": list(events), **more})
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["outcomes"]
    return found


def test_the_whole_answer(api: Api) -> None:
    [outcome] = run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z", priority="P1"))
    explanation = outcome.pop("explanation")
    assert outcome == {
        "subject": "T-9",
        "state": "confirmed",
        "met_by": "a",
        "met_at": "2026-03-01T10:00:00Z",
        "settles_at": "2026-03-04T10:00:00Z",
        "settled_at": "2026-03-04T10:00:00Z",
        "ended_by": None,
        "ended_at": None,
        "quantity": "1",
        "amount": None,
        "dimensions": {"priority": "P1"},
    }
    assert explanation["verdict"] is True
    assert explanation["parts"][0]["events"] == ["a"]


def test_now_leaves_out_what_came_after_it(api: Api) -> None:
    story = (
        event("a", "ticket.closed", "2026-03-01T10:00:00Z"),
        event("b", "ticket.reopened", "2026-03-02T10:00:00Z"),
    )
    [before] = run(api, *story, now="2026-03-02T09:59:59.999999Z")
    assert (before["state"], before["quantity"], before["dimensions"]) == ("provisional", None, None)
    [at] = run(api, *story, now="2026-03-02T10:00:00Z")
    assert (at["state"], at["ended_by"], at["ended_at"]) == ("void", "b", "2026-03-02T10:00:00Z")


def test_the_default_runs_out_every_window_and_expiry(api: Api) -> None:
    [missed] = run(api, event("a", "ticket.escalated", "2026-03-01T10:00:00Z"))
    assert (missed["state"], missed["ended_at"]) == ("missed", "2026-08-28T10:00:00Z")


def test_ties_count_in_the_order_given(api: Api) -> None:
    moment = "2026-03-01T10:00:00Z"
    [void] = run(api, event("a", "ticket.closed", moment), event("b", "ticket.reopened", moment))
    assert void["state"] == "void"
    [confirmed] = run(api, event("b", "ticket.reopened", moment), event("a", "ticket.closed", moment))
    assert confirmed["state"] == "confirmed"


def test_events_may_come_in_any_order(api: Api) -> None:
    [reversed_one] = run(
        api, event("b", "ticket.reopened", "2026-03-20T10:00:00Z"), event("a", "ticket.closed", "2026-03-01T10:00:00Z")
    )
    assert (reversed_one["state"], reversed_one["quantity"], reversed_one["ended_by"]) == ("reversed", "1", "b")


@pytest.mark.parametrize(
    ("data", "subject"),
    [
        ({"ticket_id": "Ä-1"}, "Ä-1"),
        ({"ticket_id": 5.0}, "5"),
        ({"ticket_id": True}, "true"),
        ({"ticket_id": 1e2}, "100"),
    ],
)
def test_the_subject_is_the_key_as_text(api: Api, data: dict[str, Any], subject: str) -> None:
    [outcome] = run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z", **data))
    assert outcome["subject"] == subject


def test_several_keys_are_a_json_list(api: Api) -> None:
    text = TEXT.replace("per ticket_id", "per ticket_id, `desk`")
    [outcome] = run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z", desk="Zürich"), text=text)
    assert outcome["subject"] == '["T-9","Zürich"]' or outcome["subject"] == '["T-9", "Zürich"]'


@pytest.mark.parametrize("units", ["many", -1, None])
def test_an_unknown_quantity_is_null(api: Api, units: Any) -> None:
    [outcome] = run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z", units=units))
    assert (outcome["state"], outcome["quantity"]) == ("confirmed", None)


@pytest.mark.parametrize(
    "written", ["1e31", "1e-31", "1e401", "1e1000000", "1e99999999999999999999", "1" * 39, "1" * 400]
)
def test_a_number_beyond_the_languages_limits_is_none(api: Api, written: str) -> None:
    """Page 1, section 2: at most 38 digits and an exponent within 30, else "not a number" in data."""
    body = {
        "text": TEXT,
        "events": [event("a", "ticket.closed", "2026-03-01T10:00:00Z", units="HERE", priority="HERE")],
    }
    answer = api("POST", "/v1/conditions/try", json.dumps(body).replace('"HERE"', written).encode())
    assert answer.status_code == 200, answer.content
    [outcome] = answer.json()["outcomes"]
    assert (outcome["state"], outcome["quantity"], outcome["dimensions"]) == ("confirmed", None, {"priority": None})


@pytest.mark.parametrize(
    ("written", "quantity"), [("1e30", "1" + "0" * 30), ("1e-30", "0." + "0" * 29 + "1"), ("2.50", "2.5")]
)
def test_a_number_within_them_is_exact(api: Api, written: str, quantity: str) -> None:
    body = {"text": TEXT, "events": [event("a", "ticket.closed", "2026-03-01T10:00:00Z", units="HERE")]}
    answer = api("POST", "/v1/conditions/try", json.dumps(body).replace('"HERE"', written).encode())
    assert answer.json()["outcomes"][0]["quantity"] == quantity


def test_the_first_alternative_that_is_present_is_the_key(api: Api) -> None:
    """Also where it is no key: then the event does not belong."""
    text = TEXT.replace("per ticket_id", "per ticket or ticket_id")
    assert run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z", ticket=[]), text=text) == []
    [null] = run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z", ticket=None), text=text)
    assert null["subject"] == "T-9"


def test_a_missing_dimension_is_null(api: Api) -> None:
    [outcome] = run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z"))
    assert outcome["dimensions"] == {"priority": None}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        ({"events": []}, 422, "invalid"),
        ({"text": TEXT, "events": [], "then": 1}, 422, "invalid"),
        ({"text": TEXT, "events": [{"id": "a", "type": "t", "time": "2026-03-01T10:00:00"}]}, 422, "invalid"),
        ({"text": TEXT, "events": [{"id": "a", "type": "t", "time": "9999-12-31T00:00:00Z"}]}, 422, "invalid"),
        ({"text": TEXT, "events": [event("a", "t", "2026-03-01T10:00:00Z")] * 2}, 422, "invalid"),
        ({"text": "outcome x bill when", "events": []}, 422, "invalid_condition"),
        ({"text": "outcome x per a bill when no t", "events": []}, 422, "invalid_condition"),
    ],
)
def test_what_it_refuses(api: Api, body: Any, status: int, code: str) -> None:
    check_envelope(api.post("/v1/conditions/try", body), status, code)


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"text": TEXT}, "events", "required"),
        ({"text": TEXT, "events": [], "then": 1}, "then", "unknown_field"),
        ({"text": TEXT, "events": [{"id": "a", "type": "t"}]}, "events[0].time", "required"),
        ({"text": TEXT, "events": [{"id": "a", "typ": "t"}]}, "events[0].typ", "unknown_field"),
        ({"text": TEXT, "events": [], "now": "soon"}, "now", "invalid"),
    ],
)
def test_the_place_that_is_wrong_is_named(api: Api, body: Any, path: str, code: str) -> None:
    error = check_envelope(api.post("/v1/conditions/try", body), 422, "invalid")
    assert [(detail["path"], detail["code"]) for detail in error["details"]] == [(path, code)]


def test_nothing_is_stored(api: Api, django_assert_num_queries: Any) -> None:
    run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z"))
    with django_assert_num_queries(0):
        run(api, event("a", "ticket.closed", "2026-03-01T10:00:00Z"))


def test_the_checker_knows_the_event_names_that_were_seen(api: Api, at: Any) -> None:
    """A slip in an event name is told, with the name that was meant; before the first event none is."""
    text = "outcome x per a bill when ticket.close"
    before = api.post("/v1/conditions/check", {"text": text}).json()
    assert [d for d in before["diagnostics"] if "never" in d["message"]] == []
    factories.customer()
    factories.say("ticket.closed", at(2026, 1, 1), now=at(2026, 1, 1))
    evaluate_waiting(at(2026, 1, 1))
    [warning] = api.post("/v1/conditions/check", {"text": text}).json()["diagnostics"]
    assert warning["severity"] == "warning"
    assert "ticket.closed" in warning["message"] + warning.get("fix", "")
