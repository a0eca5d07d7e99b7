"""Credit notes over HTTP and in the admin."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access import ids
from invoicing import billing, credit
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import CreditNote, Invoice
from invoicing.payment import mark_paid
from tests.invoicing.conftest import World
from tests.invoicing.notes import automatic, undo, vat

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)
LATER = datetime(2026, 4, 9, tzinfo=UTC)
XSS = "<script>alert(1)</script>"

Api = Any


@pytest.fixture
def issued(world: World) -> Invoice:
    """10 tickets in March: 20.00 and 19 % tax."""
    acme = world.customer()
    acme.tax_rates.set([vat("19")])
    world.contract(acme)
    world.outcomes(acme, 10, MARCH)
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


def post(api: Api, path: str, **body: Any) -> Any:
    return api("POST", path, json.dumps(body))


def inv(invoice: Invoice) -> str:
    return ids.encode("inv", invoice.id)


def test_goodwill(api: Api, issued: Invoice) -> None:
    answer = post(api, "/v1/credit_notes", invoice=inv(issued), amount="5.95", reason="A slow answer.")
    assert answer.status_code == 201
    body = answer.json()
    note = CreditNote.objects.get()
    [line] = body.pop("lines")
    assert (line["kind"], line["title"], line["amount"]) == ("goodwill", "Credit on invoice HF-000001", "5.00")
    assert (line["quantity"], line["outcome_count"], line["taken_back_count"], line["credited_by"]) == (None, 0, 0, [])
    at = body["created_at"]
    assert body.pop("contract").startswith("con_") and body.pop("created_by").startswith("API key ")
    assert body == {
        "id": credit.public_id(note),
        "number": "CN-000001",
        "kind": "goodwill",
        "status": "issued",
        "available_actions": [],
        "customer": "acme",
        "test": False,
        "currency": "USD",
        "reason": "A slow answer.",
        "destination": "next_invoice",
        "subtotal": "5.00",
        "tax": "0.95",
        "taxes": [
            {
                "key": "vat19",
                "name": "VAT",
                "percent": "19",
                "inclusive": False,
                "reverse_charge": False,
                "note": "",
                "taxable": "5.00",
                "amount": "0.95",
            }
        ],
        "total": "5.95",
        "invoices": [{"id": inv(issued), "number": "HF-000001", "net": "5.00", "tax": "0.95", "amount": "5.95"}],
        "applied": [
            {
                "to": "invoice",
                "invoice": inv(issued),
                "number": "HF-000001",
                "amount": "5.95",
                "reference": None,
                "by": None,
                "at": at,
            }
        ],
        "remaining": "0.00",
        "content_hash": note.content_hash,
        "created_at": at,
        "issued_at": at,
        "stripe": [],
    }
    shown = api("GET", f"/v1/invoices/{inv(issued)}").json()
    told = {name: shown[name] for name in ("subtotal", "tax", "total", "credited", "credit_applied", "amount_due")}
    assert told == {
        "subtotal": "20.00", "tax": "3.80", "total": "23.80", "credited": "5.95", "credit_applied": "5.95",
        "amount_due": "17.85",
    }  # fmt: skip
    assert shown["available_actions"] == ["mark_paid", "mark_uncollectible"]
    assert shown["taxes"][0] | {"key": ""} == body["taxes"][0] | {"key": "", "taxable": "20.00", "amount": "3.80"}


def test_credit_that_an_invoice_took_at_issue(api: Api, issued: Invoice, world: World) -> None:
    mark_paid(issued.id, now=LATER)
    post(api, "/v1/credit_notes", invoice=inv(issued), amount="2.00", reason="r")
    world.outcome(issued.customer, datetime(2026, 4, 10, tzinfo=UTC))
    billing.run(now=datetime(2026, 5, 1, tzinfo=UTC))
    shown = api("GET", "/v1/invoices?status=issued").json()["data"][0]
    note = credit.public_id(CreditNote.objects.get())
    assert shown["credits"] == [{"credit_note": note, "number": "CN-000001", "amount": "2.00"}]
    assert (shown["total"], shown["credit_applied"], shown["amount_due"], shown["credited"]) == (
        "2.38", "2.00", "0.38", "0.00",
    )  # fmt: skip


REFUSED: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "both": ({"amount": "1", "lines": [{"title": "a", "amount": "1"}]}, 422, "invalid", "amount"),
    "neither": ({}, 422, "invalid", "amount"),
    "no lines": ({"lines": []}, 422, "invalid", "lines"),
    "a line without title": ({"lines": [{"amount": "1"}]}, 422, "invalid", "lines[0].title"),
    "a fraction of a cent": ({"amount": "1.001"}, 422, "invalid", "amount"),
    "nothing": ({"amount": "0"}, 422, "invalid", "amount"),
    "no reason": ({"amount": "1", "reason": ""}, 422, "invalid", "reason"),
    "a word for a flag": ({"amount": "1", "issue": "no"}, 422, "invalid", "issue"),
    "an unknown field": ({"amount": "1", "currency": "USD"}, 422, "invalid", "currency"),
    "too much": ({"amount": "23.81"}, 409, "exceeds_left_to_credit", ""),
    "of nothing": ({"amount": "1", "invoice": ids.encode("inv", ids.uuid7(LATER))}, 404, "not_found", ""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_goodwill_that_is_refused(api: Api, issued: Invoice, what: str) -> None:
    body, status, code, path = REFUSED[what]
    answer = post(api, "/v1/credit_notes", **{"invoice": inv(issued), "reason": "r"} | body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert [detail["path"] for detail in error["details"]] == ([path] if path else [])
    assert not CreditNote.objects.exists()


def test_a_draft_is_approved_or_discarded(api: Api, issued: Invoice) -> None:
    lines = [{"title": "Two slow answers", "amount": "2.00"}, {"title": "An outage", "amount": "1.50"}]
    for last in ("discard", "issue"):
        draft = post(api, "/v1/credit_notes", invoice=inv(issued), lines=lines, reason="r", issue=False).json()
        assert (draft["status"], draft["number"], draft["remaining"]) == ("draft", None, "0.00")
        assert draft["available_actions"] == ["issue", "discard"]
        path = f"/v1/credit_notes/{draft['id']}"
        assert api("GET", f"/v1/invoices/{inv(issued)}").json()["credited"] == "0.00"
        done = post(api, f"{path}/{last}")
        assert done.status_code == 200
        if last == "discard":
            assert done.json() == {"id": draft["id"], "discarded": True}
            assert api("GET", path).status_code == post(api, f"{path}/issue").status_code == 404
    assert (done.json()["status"], done.json()["total"]) == ("issued", "3.50")
    assert post(api, f"{path}/issue").json()["error"]["code"] == "credit_note_not_draft"
    assert post(api, f"{path}/discard", why="x").status_code == 422


def test_a_refund(api: Api, issued: Invoice) -> None:
    mark_paid(issued.id, now=LATER)
    note = automatic(undo(2), now=LATER)
    path = f"/v1/credit_notes/{credit.public_id(note)}"
    assert api("GET", path).json()["available_actions"] == ["refund"]
    assert post(api, f"{path}/refund", amount="1.00").status_code == 422, "without a reference"
    answer = api(
        "POST", f"{path}/refund", json.dumps({"amount": "1.00", "reference": "wire 1"}), HTTP_IDEMPOTENCY_KEY="k"
    )
    assert (answer.status_code, answer.json()["remaining"]) == (200, "3.76")
    replayed = api(
        "POST", f"{path}/refund", json.dumps({"amount": "1.00", "reference": "wire 1"}), HTTP_IDEMPOTENCY_KEY="k"
    )
    assert replayed.json() == answer.json()
    [applied] = answer.json()["applied"]
    assert (applied["to"], applied["invoice"], applied["amount"], applied["reference"]) == (
        "refund", None, "1.00", "wire 1",
    )  # fmt: skip
    assert post(api, f"{path}/refund", amount="3.77", reference="r").json()["error"]["code"] == (
        "exceeds_remaining_credit"
    )
    assert post(api, f"{path}/refund", reference="r").json()["available_actions"] == []


def test_the_lists(api: Api, issued: Invoice, world: World) -> None:
    other = world.customer("beta")
    world.contract(other)
    world.outcome(other, MARCH)
    billing.run(now=APRIL_1)
    theirs = Invoice.objects.get(customer=other)
    first = automatic(undo(3, issued), now=LATER)
    drafted = goodwill(Goodwill(theirs.id, "r", Decimal(1), issue=False), now=timezone.now(), by="Ann")

    def found(query: str) -> list[str]:
        return [one["id"] for one in api("GET", f"/v1/credit_notes?{query}").json()["data"]]

    one, two = credit.public_id(first), credit.public_id(drafted)
    assert found("") == [two, one], "newest first"
    assert (found("customer=acme"), found(f"invoice={inv(theirs)}"), found("status=draft")) == ([one], [two], [two])
    assert found("limit=1") == [two]
    assert api("GET", "/v1/credit_notes?status=void").status_code == 400
    line = ids.encode("line", first.lines.get().id)
    outcomes = api("GET", f"/v1/credit_notes/{one}/lines/{line}/outcomes").json()["data"]
    assert len(outcomes) == 3 and all(row["taken_back"] and row["state"] == "reversed" for row in outcomes)
    assert api("GET", f"/v1/credit_notes/{two}/lines/{line}/outcomes").status_code == 404
    assert api("GET", f"/v1/credit_notes/{inv(issued)}").status_code == 404
    billed = ids.encode("line", issued.lines.get().id)
    rows = api("GET", f"/v1/invoices/{inv(issued)}/lines/{billed}/outcomes").json()["data"]
    assert len(rows) == 10 and not any(row["taken_back"] for row in rows)
    assert sorted(one["id"] for one in outcomes) == sorted(row["id"] for row in rows if row["state"] == "reversed")
    detail = api("GET", f"/v1/outcomes/{outcomes[0]['id']}").json()
    assert detail["taken_back"] == {"id": line, "invoice": None, "credit_note": one, "number": "CN-000001"}


def test_invoices_by_when_they_are_due(api: Api, issued: Invoice) -> None:
    def found(query: str) -> int:
        return len(api("GET", f"/v1/invoices?{query}").json()["data"])

    assert issued.due_at == datetime(2026, 5, 1, tzinfo=UTC)
    assert (found("due_before=2026-05-01T00:00:00Z"), found("due_before=2026-05-01T00:00:01Z")) == (0, 1)
    assert (found("overdue=true"), found("overdue=false"), found("kind=period"), found("kind=one_off")) == (1, 0, 1, 0)
    given_up = post(api, f"/v1/invoices/{inv(issued)}/mark_uncollectible").json()
    assert (given_up["status"], given_up["overdue"], given_up["available_actions"]) == (
        "uncollectible", False, ["mark_paid", "void"],
    )  # fmt: skip
    assert given_up["uncollectible_at"] is not None and found("overdue=true") == 0


# --- The admin --------------------------------------------------------------------------------------------------------


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "x"))
    return client


def page(row: Any, name: str = "change") -> str:
    return reverse(f"admin:invoicing_{row._meta.model_name}_{name}", args=[row.pk])


def offered(staff: Client, row: Any) -> list[str]:
    """The actions that the row's page has links to."""
    return re.findall(rf'href="[^"]*{row.pk}/(\w+_this)/?"', staff.get(page(row)).content.decode())


def test_a_note_in_the_admin(staff: Client, issued: Invoice) -> None:
    undone = undo(2)
    note = automatic(undone, now=LATER, issue=False, reason=XSS)
    listed = staff.get(reverse("admin:invoicing_creditnote_changelist")).content.decode()
    assert "Draft credit note" in listed and "USD 4.76" in listed and XSS not in listed
    for name in ("approve_this", "refund_this", "discard_this"):
        assert b"USD 4.76" in staff.get(page(note, name)).content
        note.refresh_from_db()
        assert note.status == "draft", "a link alone does nothing"
    assert offered(staff, note) == ["approve_this"]
    assert b"the next billing run would make it anew" in staff.post(page(note, "discard_this"), {}).content
    done = staff.post(page(note, "approve_this"), {"note": "looked at"}, follow=True)
    assert done.redirect_chain[-1][0] == page(note)
    shown = done.content.decode()
    assert "CN-000001" in shown and "HF-000001" in shown and XSS not in shown
    assert (offered(staff, note), "'issued'" in shown) == ([], False)
    assert offered(staff, issued) == ["mark_paid_this", "mark_uncollectible_this", "goodwill_this"]
    assert all(page_of_outcome(one.pk) in shown for one in undone)
    note.refresh_from_db()
    assert (note.status, note.created_by) == ("issued", "ada")
    assert b"only a draft can" in staff.post(page(note, "approve_this"), {}).content
    invoice = staff.get(page(issued)).content.decode()
    assert "CN-000001" in invoice and "USD 19.04" in invoice
    listed = staff.get(reverse("admin:invoicing_invoice_changelist") + "?overdue=yes").content.decode()
    assert "HF-000001" in listed and "USD 19.04" in listed
    assert b"HF-000001" not in staff.get(reverse("admin:invoicing_invoice_changelist") + "?overdue=no").content


def page_of_outcome(outcome_id: Any) -> str:
    return reverse("admin:outcomes_outcome_change", args=[outcome_id])


def test_goodwill_and_a_refund_in_the_admin(staff: Client, issued: Invoice) -> None:
    address = page(issued, "goodwill_this")
    assert b"USD 23.80" in staff.get(address).content
    for form, said in (
        ({"amount": "5"}, b"this is needed"),
        ({"amount": "five", "reason": "r"}, b"decimal number"),
        ({"amount": "24", "reason": "r"}, b"left to credit: credit that or less"),
    ):
        assert said in staff.post(address, form).content
    assert not CreditNote.objects.exists()
    mark_paid(issued.id, now=LATER)
    assert staff.post(address, {"amount": "5.00", "reason": "sorry"}).status_code == 302
    note = CreditNote.objects.get()
    assert (note.total_minor, note.reason, note.created_by, note.status) == (500, "sorry", "ada", "issued")
    refund = page(note, "refund_this")
    assert b"this is needed" in staff.post(refund, {"amount": "1.00"}).content
    assert staff.post(refund, {"amount": "1.00", "reference": "wire 1"}).status_code == 302
    assert staff.post(refund, {"reference": "wire 2"}).status_code == 302
    assert list(note.applications.order_by("id").values_list("amount_minor", "reference", "made_by")) == [
        (100, "wire 1", "ada"), (400, "wire 2", "ada"),
    ]  # fmt: skip
    assert b"was taken off invoices or paid back" in staff.post(refund, {"reference": "wire 3"}).content
    draft = goodwill(Goodwill(issued.id, "r", Decimal(1), issue=False), now=LATER, by="Ann")
    done = staff.post(page(draft, "discard_this"), {"note": "a slip"}, follow=True)
    assert done.status_code == 200 and CreditNote.objects.count() == 1
    assert staff.post(page(issued, "mark_uncollectible_this"), {"reason": "gone"}).status_code == 302
    issued.refresh_from_db()
    assert issued.status == "paid", "it is refused"


def test_who_may_only_look_gives_nothing(issued: Invoice) -> None:
    user = User.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_invoice", "view_creditnote"]))
    reader = Client()
    reader.force_login(user)
    note = goodwill(Goodwill(issued.id, "r", Decimal(1), issue=False), now=LATER, by="Ann")
    assert reader.get(page(note)).status_code == reader.get(page(issued)).status_code == 200
    for row, name in ((issued, "goodwill_this"), (note, "approve_this"), (note, "refund_this"), (note, "discard_this")):
        assert reader.get(page(row, name)).status_code == 403
        assert reader.post(page(row, name), {"amount": "1", "reason": "r", "reference": "r"}).status_code == 403
    assert CreditNote.objects.get().status == "draft"
