"""The endpoints of invoices over HTTP."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from access import ids
from invoicing import billing, queries
from invoicing.models import Invoice
from tests.invoicing.conftest import World

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)

Api = Any


@pytest.fixture
def issued(world: World) -> Invoice:
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 15, MARCH)
    world.outcomes(acme, 3, MARCH, state="void")
    world.outcomes(acme, 2, MARCH, priority="low")
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


def test_an_invoice(api: Api, issued: Invoice) -> None:
    answer = api("GET", f"/v1/invoices/{ids.encode('inv', issued.id)}")
    assert answer.status_code == 200
    body = answer.json()
    high, low = body["lines"]
    assert high.pop("id").startswith("line_")
    assert high == {
        "kind": "usage",
        "title": "Support ticket resolved",
        "condition": "resolved_ticket",
        "model": "per_unit",
        "dimensions": {"priority": "high"},
        "quantity": "15",
        "unit_price": "2.00",
        "amount": "30.00",
        "steps": [{"kind": "units", "quantity": "15", "unit_price": "2", "amount": "30"}],
        "details": {},
        "sentence": "Bill one resolved ticket when the agent closed it, unless it is reopened within 72 hours.",
        "outcome_count": 15,
        "voided_count": 3,
        "reversed_count": 0,
        "credited_by": [],
        "period_start": "2026-03-01T00:00:00Z",
        "period_end": "2026-04-01T00:00:00Z",
    }
    assert (low["quantity"], low["unit_price"], low["amount"]) == ("2", "0.75", "1.50")
    del body["lines"]
    assert body.pop("contract").startswith("con_")
    assert body == {
        "id": ids.encode("inv", issued.id),
        "number": "HF-000001",
        "kind": "period",
        "status": "issued",
        "available_actions": ["mark_paid", "mark_uncollectible", "void"],
        "customer": "acme",
        "test": False,
        "currency": "USD",
        "period_start": "2026-03-01T00:00:00Z",
        "period_end": "2026-04-01T00:00:00Z",
        "memo": "",
        "subtotal": "31.50",
        "tax": "0.00",
        "taxes": [],
        "total": "31.50",
        "credits": [],
        "credited": "0.00",
        "credit_applied": "0.00",
        "amount_due": "31.50",
        "overdue": True,
        "net_days": 30,
        "content_hash": issued.content_hash,
        "created_at": "2026-04-01T00:00:00Z",
        "issued_at": "2026-04-01T00:00:00Z",
        "due_at": "2026-05-01T00:00:00Z",
        "paid_at": None,
        "uncollectible_at": None,
        "voided_at": None,
        "stripe": None,
        "payment": None,
    }


def test_higher_apps_are_asked_once_for_all_invoices(api: Api, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def tell(rows: Sequence[Invoice]) -> dict[uuid.UUID, dict[str, Any]]:
        asked.append({row.customer.key for row in rows})
        return {row.id: {"told": row.number} for row in rows if row.customer.key != "beta"}

    monkeypatch.setattr(queries, "INVOICE_DETAILS", [*queries.INVOICE_DETAILS, tell])
    for key in ("acme", "beta"):
        customer = world.customer(key)
        world.contract(customer)
        world.outcome(customer, MARCH)
    billing.run(now=APRIL_1)
    asked.clear()
    told = {one["customer"]: one.get("told") for one in api("GET", "/v1/invoices").json()["data"]}
    assert asked == [{"acme", "beta"}]
    assert told == {"acme": Invoice.objects.get(customer__key="acme").number, "beta": None}


def test_the_list_pages_and_narrows(api: Api, world: World) -> None:
    for key in ("acme", "beta", "gamma"):
        customer = world.customer(key)
        world.contract(customer)
        world.outcome(customer, MARCH)
    billing.run(now=APRIL_1)
    numbers, cursor = [], ""
    while cursor is not None:
        page = api("GET", "/v1/invoices?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
        numbers += [invoice["number"] for invoice in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
    assert sorted(numbers) == ["HF-000001", "HF-000002", "HF-000003"]

    def customers(query: str) -> list[str]:
        return [invoice["customer"] for invoice in api("GET", f"/v1/invoices?{query}").json()["data"]]

    assert customers("customer=beta") == ["beta"]
    assert customers("customer=nobody") == []
    assert len(customers("status=issued")) == 3
    assert customers("status=draft") == []
    assert api("GET", "/v1/invoices?status=lost").status_code == 400
    assert api("GET", "/v1/invoices?colour=blue").status_code == 400


def test_the_invoices_of_one_run_are_listed_latest_period_first(api: Api, world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    for month in (1, 2, 3):
        world.outcome(acme, datetime(2026, month, 10, tzinfo=UTC))
    billing.run(now=APRIL_1)
    starts = [invoice["period_start"][:7] for invoice in api("GET", "/v1/invoices").json()["data"]]
    assert starts == ["2026-03", "2026-02", "2026-01"]


def test_a_lines_outcomes(api: Api, issued: Invoice) -> None:
    line = issued.lines.order_by("position")[0]
    path = f"/v1/invoices/{ids.encode('inv', issued.id)}/lines/{ids.encode('line', line.id)}/outcomes"
    seen: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = api("GET", f"{path}?limit=4" + (f"&cursor={cursor}" if cursor else "")).json()
        seen += page["data"]
        cursor = page["next_cursor"]
    assert len({one["id"] for one in seen}) == 15
    assert {ids.decode("out", one["id"]) for one in seen} == set(line.billed.values_list("outcome_id", flat=True))
    assert seen[0]["subject"].startswith("T-") and seen[0]["state"] == "confirmed"
    assert seen[0]["dimensions"] == {"priority": "high"} and seen[0]["quantity"] == "1"
    other = f"/v1/invoices/{ids.encode('inv', issued.id)}/lines/{ids.encode('line', uuid.uuid4())}/outcomes"
    assert api("GET", other).status_code == 404


def test_an_outcome_says_where_it_is_billed(api: Api, issued: Invoice, world: World) -> None:
    line = issued.lines.order_by("position")[0]
    billed = line.billed.first()
    assert billed is not None
    detail = api("GET", f"/v1/outcomes/{ids.encode('out', billed.outcome_id)}").json()
    assert detail["invoice_line"] == {
        "id": ids.encode("line", line.id),
        "invoice": ids.encode("inv", issued.id),
        "credit_note": None,
        "number": "HF-000001",
    }
    assert (detail["unbilled"], detail["taken_back"]) == (None, None)
    waiting = world.outcome(issued.customer, MARCH, review=["quantity_unknown"])
    detail = api("GET", f"/v1/outcomes/{ids.encode('out', waiting.id)}").json()
    assert detail["invoice_line"] is None
    assert detail["unbilled"]["reason"] == "review"
    assert detail["unbilled"]["message"].startswith("A person must complete it")


def test_the_pdf(api: Api, issued: Invoice) -> None:
    answer = api("GET", f"/v1/invoices/{ids.encode('inv', issued.id)}/pdf")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == 'inline; filename="HF-000001.pdf"'
    assert answer.content.startswith(b"%PDF-")


@pytest.mark.parametrize("accept", ["application/pdf", "application/pdf, */*;q=0.1", "text/html"])
def test_the_pdf_for_who_asks_for_one(api: Api, client: Any, issued: Invoice, accept: str) -> None:
    headers = {"HTTP_AUTHORIZATION": api.authorization, "HTTP_ACCEPT": accept}
    answer = client.get(f"/v1/invoices/{ids.encode('inv', issued.id)}/pdf", **headers)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    answer = client.get("/v1/invoices/inv_x/pdf", **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["", "/pdf"])
@pytest.mark.parametrize("id", ["inv_00000000000000000000000000", "inv_x", "out_00000000000000000000000000", "7"])
def test_what_is_not_there(api: Api, path: str, id: str) -> None:
    answer = api("GET", f"/v1/invoices/{id}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_actions(api: Api, issued: Invoice) -> None:
    path = f"/v1/invoices/{ids.encode('inv', issued.id)}"
    refused = api("POST", f"{path}/issue", "{}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invoice_not_draft")
    assert api("POST", f"{path}/mark_paid", json.dumps({"amount": "1"})).status_code == 422
    paid = api("POST", f"{path}/mark_paid", "{}")
    assert (paid.status_code, paid.json()["status"], paid.json()["available_actions"]) == (200, "paid", [])
    again = api("POST", f"{path}/void", "{}")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "invoice_not_open")


def test_actions_need_no_body(api: Api, client: Any, issued: Invoice) -> None:
    path = f"/v1/invoices/{ids.encode('inv', issued.id)}/void"
    # What `curl -X POST` sends: no body and no content type.
    answer = client.generic("POST", path, b"", content_type="", HTTP_AUTHORIZATION=api.authorization)
    assert (answer.status_code, answer.json()["status"]) == (200, "void")


def test_issuing_a_draft(api: Api, world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 24 * 36500
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    (draft,) = billing.run(now=APRIL_1).drafted
    path = f"/v1/invoices/{ids.encode('inv', draft)}"
    assert api("GET", path).json()["available_actions"] == ["issue"]
    body = api("POST", f"{path}/issue", "{}").json()
    assert (body["status"], body["number"]) == ("issued", "HF-000001")


def test_the_running_period(api: Api, world: World) -> None:
    now = timezone.now()
    acme = world.customer()
    world.contract(acme, starts_at=now - timedelta(days=20), billing_period="yearly", anchor_day=1)
    world.outcomes(acme, 3, now - timedelta(days=1))
    world.outcome(acme, now + timedelta(seconds=1), state="provisional", met=now - timedelta(days=2), priority="low")
    world.outcome(acme, now - timedelta(days=1), review=["quantity"])
    body = api("GET", "/v1/invoices/preview?customer=acme").json()
    line = {
        "kind": "usage",
        "title": "Support ticket resolved",
        "condition": "resolved_ticket",
        "model": "per_unit",
        "details": {},
        "period_start": body["period_start"],
        "period_end": body["period_end"],
    }

    def used(priority: str, count: int, unit_price: str, amount: str) -> dict[str, Any]:
        exact = {"kind": "units", "quantity": str(count), "amount": amount.rstrip("0").rstrip(".")}
        return line | {
            "outcome_count": count,
            "dimensions": {"priority": priority},
            "quantity": str(count),
            "unit_price": unit_price,
            "amount": amount,
            "steps": [exact | {"unit_price": unit_price.rstrip("0").rstrip(".")}],
        }

    assert body["confirmed"] == {"lines": [used("high", 3, "2.00", "6.00")], "total": "6.00"}
    assert body["provisional"] == {"lines": [used("low", 1, "0.75", "0.75")], "total": "0.75"}
    assert body["expected_total"] == "6.75"
    assert body["held_back"] == [{"reason": "review", "outcomes": 1}]
    assert not Invoice.objects.exists()


def test_a_preview_needs_a_customer_with_a_contract(api: Api, world: World) -> None:
    world.customer()
    assert api("GET", "/v1/invoices/preview").status_code == 400
    unknown = api("GET", "/v1/invoices/preview?customer=nobody")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    without = api("GET", "/v1/invoices/preview?customer=acme")
    assert (without.status_code, without.json()["error"]["code"]) == (404, "no_contract")


def test_no_key_no_invoice(client: Any, issued: Invoice) -> None:
    assert client.get("/v1/invoices").status_code == 401
