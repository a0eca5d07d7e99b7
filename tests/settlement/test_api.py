"""``/v1/holds`` and ``/v1/disputes`` in their exact shapes, and what an outcome's detail says of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from freezegun import freeze_time

from access import keys
from access.ids import encode
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Outcome
from settlement.models import Dispute, Hold
from settlement.sweep import settle_due
from tests.access.conftest import Api, check_envelope
from tests.outcomes import factories
from tests.outcomes.factories import send
from tests.outcomes.test_api import answer
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
T12 = "2026-03-01T12:00:00Z"
NOWHERE = encode("out", UUID(int=7 << 76 | 2 << 62))


@pytest.fixture(autouse=True)
def noon() -> Iterator[Any]:
    with freeze_time(NOW) as clock:
        yield clock


@pytest.fixture(autouse=True)
def outcomes() -> dict[str, str]:
    """Public ids: of acme one outcome provisional, one confirmed, one void; of globex one confirmed."""
    factories.condition(TICKET)
    story = [("acme", "provisional", "closed", 1), ("acme", "confirmed", "closed", 9), ("acme", "void", "closed", 9),
             ("acme", "void", "reopened", 8), ("globex", "other", "closed", 9)]  # fmt: skip
    for key in ("acme", "globex"):
        factories.customer(key)
    send(
        [{"id": f"{ticket}/{kind}", "type": kind, "customer": customer, "time": NOW - hours * HOUR,
          "data": {"ticket": ticket, "units": 1}} for customer, ticket, kind, hours in story],
        now=NOW,
    )  # fmt: skip
    evaluate_waiting(NOW)
    settle_due(NOW)
    return {row.subject.key: encode("out", row.pk) for row in Outcome.objects.select_related("subject")}


def listed(api: Api, path: str) -> list[str]:
    return [row["id"] for row in answer(api.get(path))["data"]]


# --- holds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["customer", "condition", "outcome"])
def test_a_hold_from_its_placing_to_its_release(api: Api, outcomes: dict[str, str], kind: str, noon: Any) -> None:
    named = {"customer": "acme", "condition": "solved", "outcome": outcomes["confirmed"]}[kind]
    placed = answer(api.post("/v1/holds", {kind: named, "reason": "a question"}), 201)
    nothing = {"customer": None, "condition": None, "outcome": None}
    assert placed == nothing | {
        kind: named, "id": placed["id"], "reason": "a question", "active": True, "placed_by": "API key test",
        "placed_at": T12, "released_by": None, "released_at": None, "note": None,
    }  # fmt: skip
    assert placed["id"].startswith("hold_")
    path = f"/v1/holds/{placed['id']}"
    assert answer(api.get(path)) == placed
    assert listed(api, f"/v1/holds?{kind}={named}&active=true") == [placed["id"]]
    detail = answer(api.get(f"/v1/outcomes/{outcomes['confirmed']}"))
    assert detail["holds"] == [
        {"id": placed["id"], "on": kind, "reason": "a question", "placed_by": "API key test", "placed_at": T12}
    ]
    assert detail["unbilled"]["reason"] == "hold"
    noon.tick(HOUR)
    released = answer(api.post(f"{path}/release", {"note": "all clear"}))
    assert released == placed | {
        "active": False, "released_by": "API key test", "released_at": "2026-03-01T13:00:00Z", "note": "all clear",
    }  # fmt: skip
    assert answer(api.get(path)) == released
    assert answer(api.get(f"/v1/outcomes/{outcomes['confirmed']}"))["holds"] == []
    assert listed(api, "/v1/holds?active=true") == []
    assert listed(api, "/v1/holds?active=false") == [placed["id"]]
    check_envelope(api.post(f"{path}/release"), 409, "already_released")


def test_holds_are_listed_by_what_they_are_on(api: Api, outcomes: dict[str, str], noon: Any) -> None:
    ids = {}
    for body in ({"customer": "acme"}, {"customer": "globex"}, {"condition": "solved"}, {"outcome": outcomes["other"]}):
        noon.tick(HOUR)
        [(kind, name)] = body.items()
        ids[kind, name] = answer(api.post("/v1/holds", body | {"reason": "r"}), 201)["id"]
    assert listed(api, "/v1/holds") == list(ids.values())[::-1]
    for (kind, name), public in ids.items():
        assert listed(api, f"/v1/holds?{kind}={name}") == [public]
    first = answer(api.get("/v1/holds?limit=3"))
    assert first["has_more"]
    rest = answer(api.get(f"/v1/holds?limit=3&cursor={first['next_cursor']}"))
    assert [row["id"] for row in first["data"] + rest["data"]] == list(ids.values())[::-1]


def test_an_outcome_names_every_hold_over_it(api: Api, outcomes: dict[str, str], noon: Any) -> None:
    for body in ({"customer": "acme"}, {"condition": "solved"}, {"outcome": outcomes["provisional"]}):
        noon.tick(HOUR)
        answer(api.post("/v1/holds", body | {"reason": "r"}), 201)
    detail = answer(api.get(f"/v1/outcomes/{outcomes['provisional']}"))
    assert [hold["on"] for hold in detail["holds"]] == ["customer", "condition", "outcome"]
    assert [hold["on"] for hold in answer(api.get(f"/v1/outcomes/{outcomes['other']}"))["holds"]] == ["condition"]
    waits = answer(api.get(f"/v1/outcomes/{outcomes['provisional']}/explain"))["waits_for"]
    assert [wait["reason"] for wait in waits].count("hold") == 3


REFUSED: list[tuple[Any, int, str]] = [
    ({}, 422, "required"),
    ({"reason": "r"}, 422, "one_target"),
    ({"customer": "acme", "condition": "solved", "reason": "r"}, 422, "one_target"),
    ({"customer": "acme"}, 422, "required"),
    ({"customer": "acme", "reason": ""}, 422, "blank"),
    ({"customer": "acme", "reason": None}, 422, "null"),
    ({"customer": "acme", "reason": "x" * 1001}, 422, "max_length"),
    ({"customer": "nobody", "reason": "r"}, 422, "unknown_customer"),
    ({"condition": "nothing", "reason": "r"}, 422, "unknown_condition"),
    ({"outcome": NOWHERE, "reason": "r"}, 422, "unknown_outcome"),
    ({"outcome": "acme", "reason": "r"}, 422, "invalid"),
    ({"outcome": None, "reason": "r"}, 422, "null"),
    ({"customer": "acme", "reason": "r", "until": T12}, 422, "unknown_field"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
def test_holds_that_are_refused(api: Api, body: Any, status: int, code: str) -> None:
    response = api.post("/v1/holds", body)
    error = answer(response, status)["error"]
    assert code in {error["code"], *(detail["code"] for detail in error["details"])}
    assert not Hold.objects.exists()


def test_a_second_hold_is_refused_and_names_the_first(api: Api) -> None:
    body = {"customer": "acme", "reason": "r"}
    first = answer(api.post("/v1/holds", body), 201)
    error = check_envelope(api.post("/v1/holds", body), 409, "already_held")
    assert first["id"] in error["message"]
    # Over HTTP a retry under the same key is no second hold.
    key = {"Idempotency_Key": "once"}
    body = {"customer": "globex", "reason": "r"}
    assert answer(api.post("/v1/holds", body, **key), 201) == answer(api.post("/v1/holds", body, **key), 201)


@pytest.mark.parametrize("path", ["/v1/holds/hold_1", "/v1/disputes/dsp_1", f"/v1/holds/{NOWHERE}"])
def test_ids_that_cannot_be(api: Api, path: str) -> None:
    check_envelope(api.get(path), 404, "not_found")


def test_what_is_not_there(api: Api) -> None:
    hold, dispute = NOWHERE.replace("out", "hold"), NOWHERE.replace("out", "dsp")
    for response in (
        api.get(f"/v1/holds/{hold}"),
        api.post(f"/v1/holds/{hold}/release"),
        api.get(f"/v1/disputes/{dispute}"),
        api.post(f"/v1/disputes/{dispute}/resolve", {"decision": "upheld", "note": "n"}),
        api.post(f"/v1/disputes/{dispute}/withdraw"),
        api.post(f"/v1/outcomes/{NOWHERE}/dispute", {"reason": "r"}),
    ):
        check_envelope(response, 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/holds?state=1", "/v1/holds?active=1", "/v1/holds?outcome=x",
                                  "/v1/disputes?status=lost", "/v1/disputes?outcome=x"])  # fmt: skip
def test_filters_that_do_not_exist(api: Api, path: str) -> None:
    check_envelope(api.get(path), 400, "invalid_parameter")


def test_who_may_only_read_places_and_decides_nothing(outcomes: dict[str, str]) -> None:
    _, text = keys.create("reader", ["read"], now=NOW)
    reader = Api(text)
    assert answer(reader.get("/v1/holds"))["data"] == answer(reader.get("/v1/disputes"))["data"] == []
    for path, body in (
        ("/v1/holds", {"customer": "acme", "reason": "r"}),
        (f"/v1/outcomes/{outcomes['confirmed']}/dispute", {"reason": "r"}),
    ):
        check_envelope(reader.post(path, body), 403, "missing_scope")
    assert not Hold.objects.exists() and not Dispute.objects.exists()


# --- disputes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["upheld", "rejected", "withdrawn"])
@pytest.mark.parametrize("ticket", ["provisional", "confirmed"])
def test_a_dispute_from_its_raising_to_its_end(
    api: Api, outcomes: dict[str, str], ticket: str, decision: str, noon: Any
) -> None:
    outcome = outcomes[ticket]
    raised = answer(api.post(f"/v1/outcomes/{outcome}/dispute", {"reason": "never happened"}), 201)
    assert raised == {
        "id": raised["id"], "outcome": outcome, "customer": "acme", "condition": "solved", "subject": ticket,
        "status": "raised", "reason": "never happened", "raised_by": "API key test", "raised_at": T12,
        "resolved_by": None, "resolved_at": None, "note": None,
        "history": [{"status": "raised", "actor": "API key test", "note": "never happened", "at": T12}],
    }  # fmt: skip
    assert raised["id"].startswith("dsp_")
    path = f"/v1/disputes/{raised['id']}"
    assert answer(api.get(path)) == raised
    detail = answer(api.get(f"/v1/outcomes/{outcome}"))
    assert detail["disputes"] == [
        {"id": raised["id"], "reason": "never happened", "raised_by": "API key test", "raised_at": T12}
    ]
    assert (detail["unbilled"] or {}).get("reason") == ("dispute" if ticket == "confirmed" else None)
    waits = answer(api.get(f"/v1/outcomes/{outcome}/explain"))["waits_for"]
    assert [wait["reason"] for wait in waits].count("dispute") == 1
    noon.tick(HOUR)
    if decision == "withdrawn":
        ended = answer(api.post(f"{path}/withdraw", {"note": "why"}))
    else:
        ended = answer(api.post(f"{path}/resolve", {"decision": decision, "note": "why"}))
    at = "2026-03-01T13:00:00Z"
    assert ended == raised | {
        "status": decision, "resolved_by": "API key test", "resolved_at": at, "note": "why",
        "history": [*raised["history"], {"status": decision, "actor": "API key test", "note": "why", "at": at}],
    }  # fmt: skip
    after = answer(api.get(f"/v1/outcomes/{outcome}"))
    assert after["disputes"] == []
    assert after["state"] == (
        {"provisional": "void", "confirmed": "reversed"}[ticket] if decision == "upheld" else ticket
    )
    if decision == "upheld":
        last = after["journal"][-1]
        assert (last["cause"], last["actor"]) == ("person", "API key test")
        assert last["reason"] == f"Dispute {raised['id']} upheld: why"
    for response in (
        api.post(f"{path}/resolve", {"decision": "rejected", "note": "n"}),
        api.post(f"{path}/withdraw"),
    ):
        error = check_envelope(response, 409, "already_resolved")
        assert f"is {decision} already, by API key test" in error["message"]
    assert answer(api.get(path)) == ended


def test_disputes_are_listed_by_what_is_asked_for(api: Api, outcomes: dict[str, str], noon: Any) -> None:
    ids = {}
    for ticket in ("provisional", "confirmed", "other"):
        noon.tick(HOUR)
        ids[ticket] = answer(api.post(f"/v1/outcomes/{outcomes[ticket]}/dispute", {"reason": "r"}), 201)["id"]
    answer(api.post(f"/v1/disputes/{ids['confirmed']}/resolve", {"decision": "rejected", "note": "n"}))
    for query, expected in {
        "": ["other", "confirmed", "provisional"],
        "?customer=acme": ["confirmed", "provisional"],
        "?status=raised": ["other", "provisional"],
        "?status=rejected": ["confirmed"],
        f"?outcome={outcomes['other']}": ["other"],
        "?customer=globex&status=rejected": [],
    }.items():
        assert listed(api, f"/v1/disputes{query}") == [ids[ticket] for ticket in expected], query
    row = answer(api.get("/v1/disputes?limit=1"))["data"][0]
    assert "history" not in row and row["subject"] == "other"


def test_what_cannot_be_disputed(api: Api, outcomes: dict[str, str]) -> None:
    error = check_envelope(api.post(f"/v1/outcomes/{outcomes['void']}/dispute", {"reason": "r"}), 409, "not_disputable")
    assert "The outcome is void:" in error["message"]
    path = f"/v1/outcomes/{outcomes['confirmed']}/dispute"
    answer(api.post(path, {"reason": "r"}), 201)
    check_envelope(api.post(path, {"reason": "r"}), 409, "already_disputed")


@pytest.mark.parametrize(
    "body",
    [{}, {"decision": "upheld"}, {"note": "n"}, {"decision": "withdrawn", "note": "n"},
     {"decision": "raised", "note": "n"}, {"decision": "upheld", "note": ""},
     {"decision": "upheld", "note": "n", "credit": "1"}],
)  # fmt: skip
def test_decisions_that_are_refused(api: Api, outcomes: dict[str, str], body: Any) -> None:
    raised = answer(api.post(f"/v1/outcomes/{outcomes['confirmed']}/dispute", {"reason": "r"}), 201)
    answer(api.post(f"/v1/disputes/{raised['id']}/resolve", body), 422)
    assert answer(api.get(f"/v1/disputes/{raised['id']}")) == raised


def test_lists_cost_the_same_however_many(
    api: Api, outcomes: dict[str, str], django_assert_max_num_queries: Any
) -> None:
    for ticket in ("provisional", "confirmed", "other"):
        answer(api.post(f"/v1/outcomes/{outcomes[ticket]}/dispute", {"reason": "r"}), 201)
        answer(api.post("/v1/holds", {"outcome": outcomes[ticket], "reason": "r"}), 201)
    with django_assert_max_num_queries(3):
        assert len(listed(api, "/v1/holds")) == 3
    with django_assert_max_num_queries(3):
        assert len(listed(api, "/v1/disputes")) == 3
