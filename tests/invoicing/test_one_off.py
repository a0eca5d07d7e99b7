"""One-off invoices: items written by hand, with the customer's taxes; nothing else touches them."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from access import ids
from access.errors import ApiError
from access.invariants import Scope, check
from contracts.models import Customer
from contracts.tax_rates import TaxRateFields, put_tax_rate
from invoicing import billing, one_off, pdf
from invoicing.audit import INVARIANTS
from invoicing.issue import issue
from invoicing.models import Invoice, InvoiceLine
from invoicing.one_off import ItemFields, OneOffFields
from invoicing.payment import mark_paid
from invoicing.void import void
from tests.invoicing.conftest import BEFORE, World
from tests.invoicing.deals import sound, written

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
LATER = timedelta(days=3)
Api = Any


def by_units(title: str, quantity: str, unit_price: str) -> ItemFields:
    return ItemFields(title, quantity=Decimal(quantity), unit_price=Decimal(unit_price))


def of(title: str, amount: str) -> ItemFields:
    return ItemFields(title, amount=Decimal(amount))


def make(*lines: ItemFields, **fields: Any) -> Invoice:
    return one_off.write(
        OneOffFields(**{"customer": "acme", "lines": lines or (of("Set-up", "100.00"),)} | fields), now=NOW
    )


@pytest.fixture
def acme(world: World) -> Customer:
    return world.customer(time_zone="America/New_York")


@pytest.fixture
def taxed(acme: Customer) -> Customer:
    acme.tax_rates.add(put_tax_rate("vat", TaxRateFields("VAT", Decimal("19")), now=BEFORE).value)
    return acme


def test_a_draft_of_items(taxed: Customer) -> None:
    made = make(
        by_units("Workshop, half a day", "1.5", "1200.00"),
        by_units("Calls", "7", "0.0149"),
        of("Set-up", "250.00"),
        of("Rebate", "-50.00"),
        memo="As agreed on the phone.\nThank you.",
    )
    invoice = Invoice.objects.get()
    assert written(invoice) == (
        "item Workshop, half a day 1.5 1800.00\nitem Calls 7 0.10\nitem Set-up 250.00\nitem Rebate -50.00\n"
        "total 2380.12"
    )  # 19 % of 2,000.10 is 380.019
    assert (invoice.id, invoice.kind, invoice.status, invoice.contract_id) == (made.id, "one_off", "draft", None)
    assert (invoice.subtotal_minor, invoice.tax_minor, invoice.net_days, invoice.currency) == (
        200_010,
        38_002,
        30,
        "USD",
    )
    assert invoice.memo == "As agreed on the phone.\nThank you."
    # The day, where the customer is.
    assert (invoice.time_zone, invoice.period_start, invoice.period_end) == (
        "America/New_York", datetime(2026, 4, 1, 4, tzinfo=UTC), datetime(2026, 4, 2, 4, tzinfo=UTC),
    )  # fmt: skip
    calls = invoice.lines.get(title="Calls")
    assert calls.steps == [{"kind": "units", "quantity": "7", "unit_price": "0.0149", "amount": "0.1043"}]
    sound(NOW + LATER)


def test_issued_at_once_it_is_frozen_and_numbered_with_the_others(taxed: Customer, world: World) -> None:
    invoice = make(issue=True, net_days=14)
    assert (invoice.status, invoice.number, invoice.total_minor) == ("issued", "HF-000001", 11_900)
    assert invoice.due_at == NOW + timedelta(days=14)
    beta = world.customer("beta")
    world.contract(beta)
    world.outcome(beta, datetime(2026, 3, 10, tzinfo=UTC))
    billing.run(now=NOW)
    assert list(Invoice.objects.order_by("number").values_list("number", "kind")) == [
        ("HF-000001", "one_off"),
        ("HF-000002", "period"),
    ]
    assert make(issue=True).number == "HF-000003"
    sound(NOW + LATER)


def test_a_draft_is_issued_as_it_is_with_the_tax_of_the_day(taxed: Customer) -> None:
    draft = make(of("Set-up", "100.00"), of("Rebate", "-10.00"))
    lines = list(draft.lines.values())
    put_tax_rate("vat", TaxRateFields("VAT", Decimal(20)), now=NOW)
    issued = issue(draft.id, now=NOW + LATER)
    assert (issued.number, issued.subtotal_minor, issued.tax_minor, issued.total_minor) == (
        "HF-000001",
        9000,
        1800,
        10800,
    )
    assert issued.taxes[0]["percent"] == "20"
    assert list(Invoice.objects.get().lines.values()) == lines
    with pytest.raises(ApiError) as refusal:
        issue(draft.id, now=NOW + LATER)
    assert refusal.value.code == "invoice_not_draft"
    sound(NOW + LATER)


def test_billing_runs_leave_it_alone(world: World, acme: Customer) -> None:
    """Be there a contract or none, be the day long over or not: a run finds nothing to do."""
    draft = make()
    before = Invoice.objects.values().get()
    assert billing.run(now=NOW + timedelta(days=400)).results == ()
    world.contract(acme, starts_at=datetime(2026, 4, 1, tzinfo=UTC))
    assert billing.run(now=NOW + timedelta(days=400)).results == ()
    world.outcome(acme, datetime(2026, 4, 10, tzinfo=UTC))
    billing.run(now=NOW + timedelta(days=400))
    assert Invoice.objects.filter(kind="period", status="issued").count() == 1
    assert Invoice.objects.values().get(pk=draft.pk) == before
    assert draft.lines.count() == 1
    sound(NOW + timedelta(days=403))


def test_several_of_one_day_are_sound(acme: Customer) -> None:
    for _ in range(3):
        make(issue=True)
    sound(NOW + LATER)


def test_the_audit_counts_again_what_items_come_to(acme: Customer) -> None:
    invoice = make(by_units("Calls", "7", "0.0149"), of("Set-up", "1.00"))
    InvoiceLine.objects.filter(title="Calls").update(amount_minor=11)
    Invoice.objects.filter(pk=invoice.pk).update(subtotal_minor=111, total_minor=111)
    found = [row for one in check(INVARIANTS, Scope(now=NOW, sample=None)) for row in one.findings.violation_rows]
    assert [row["problem"] for row in found] == ["the line comes to 10 minor units and says 11"]


def test_paid_void_and_printed(acme: Customer) -> None:
    first, second = make(issue=True), make(by_units("Calls", "7", "0.0149"), issue=True)
    assert mark_paid(first.id, now=NOW).status == "paid"
    assert void(second.id, now=NOW).status == "void"
    assert pdf.render(second).startswith(b"%PDF-")
    sound(NOW + LATER)


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({"customer": "nobody"}, [("customer", "unknown_customer")]),
        ({"currency": "usd"}, [("currency", "unknown_currency")]),
        ({"lines": ()}, [("lines", "invalid")]),
        ({"lines": (of("Set-up", "1"),) * 501}, [("lines", "invalid")]),
        ({"lines": (of("", "1"),)}, [("lines[0].title", "required")]),
        ({"lines": (of("a\nb", "1"),)}, [("lines[0].title", "invalid")]),
        ({"lines": (ItemFields("x"),)}, [("lines[0].amount", "required")]),
        ({"lines": (of("x", "1"), ItemFields("x", quantity=Decimal(1)))}, [("lines[1].unit_price", "required")]),
        ({"lines": (ItemFields("x", unit_price=Decimal(1)),)}, [("lines[0].quantity", "required")]),
        ({"lines": (ItemFields("x", Decimal(1), Decimal(1), Decimal(1)),)}, [("lines[0].amount", "both_given")]),
        ({"lines": (ItemFields("x", Decimal(1), None, Decimal(1)),)}, [("lines[0].amount", "both_given")]),
        ({"lines": (by_units("x", "0", "1"),)}, [("lines[0].quantity", "not_positive")]),
        ({"lines": (by_units("x", "-1", "1"),)}, [("lines[0].quantity", "negative")]),
        ({"lines": (of("x", "1.005"),)}, [("lines[0].amount", "too_many_decimals")]),
        ({"lines": (of("x", "-1.005"),)}, [("lines[0].amount", "too_many_decimals")]),
        ({"currency": "JPY", "lines": (of("x", "1.5"),)}, [("lines[0].amount", "too_many_decimals")]),
        ({"lines": (of("x", "1000000000000000"),)}, [("lines[0].amount", "price_too_large")]),
        ({"lines": (by_units("x", "1", "-1000000000000000"),)}, [("lines[0].unit_price", "price_too_large")]),
        ({"lines": (by_units("x", "99999", "999999999999999"),)}, [("lines[0]", "price_too_large")]),
        ({"lines": (of("x", "999999999999999"),) * 11}, [("lines", "price_too_large")]),
        ({"lines": (of("x", "1"), of("Rebate", "-1.01"))}, [("lines", "total_below_zero")]),
        ({"net_days": 366}, [("net_days", "invalid")]),
        ({"memo": " x"}, [("memo", "invalid")]),
        ({"period_start": NOW}, [("period_end", "required")]),
        ({"period_end": NOW}, [("period_start", "required")]),
        ({"period_start": NOW, "period_end": NOW}, [("period_end", "ends_before_start")]),
    ],
)
def test_what_is_refused(acme: Customer, change: dict[str, Any], places: list[tuple[str, str]]) -> None:
    given = OneOffFields(**{"customer": "acme", "lines": (of("x", "1"),)} | change)
    with pytest.raises(ApiError) as refusal:
        one_off.write(given, now=NOW)
    assert (refusal.value.status_code, [(one.path, one.code) for one in refusal.value.details]) == (422, places)
    assert not Invoice.objects.exists()


def test_lines_may_cancel_one_another(acme: Customer) -> None:
    assert make(of("Set-up", "5.00"), by_units("Rebate", "2", "-2.50"), issue=True).total_minor == 0
    sound(NOW + LATER)


# --- Over HTTP --------------------------------------------------------------------------------------------------------


def post(api: Api, body: Any, path: str = "/v1/invoices", **headers: str) -> tuple[int, Any]:
    answer = api("POST", path, json.dumps(body), **headers)
    return answer.status_code, answer.json()


BODY = {"customer": "acme", "lines": [{"title": "Workshop", "quantity": "1.5", "unit_price": "1200"}]}


def test_written_read_issued(api: Api, acme: Customer) -> None:
    status, made = post(api, BODY, HTTP_IDEMPOTENCY_KEY="one")
    assert (status, made["status"], made["contract"], made["total"]) == (201, "draft", None, "1800.00")
    assert (made["number"], made["available_actions"]) == (None, ["issue", "discard"])
    [line] = made["lines"]
    assert (line["kind"], line["quantity"], line["unit_price"], line["amount"]) == ("item", "1.5", "1200.00", "1800.00")
    assert post(api, BODY, HTTP_IDEMPOTENCY_KEY="one") == (201, made)
    assert Invoice.objects.count() == 1
    assert api("GET", f"/v1/invoices/{made['id']}").json() == made
    assert api("GET", "/v1/invoices?customer=acme").json()["data"] == [made]
    status, issued = post(api, {}, f"/v1/invoices/{made['id']}/issue")
    assert (status, issued["number"], issued["available_actions"]) == (
        200,
        "HF-000001",
        ["mark_paid", "mark_uncollectible", "void"],
    )
    assert issued["lines"] == made["lines"]
    outcomes = api("GET", f"/v1/invoices/{made['id']}/lines/{line['id']}/outcomes").json()
    assert outcomes == {"data": [], "has_more": False, "next_cursor": None}


def test_issued_at_once_with_everything_said(api: Api, acme: Customer) -> None:
    body = {
        **BODY, "currency": "KWD", "net_days": 0, "memo": "Thanks.", "issue": True,
        "period_start": "2026-03-01T00:00:00Z", "period_end": "2026-04-01T00:00:00Z",
        "lines": [{"title": "Workshop", "amount": 12.345}, {"title": "Rebate", "amount": "-0.345"}],
    }  # fmt: skip
    status, made = post(api, body)
    assert (status, made["status"], made["total"], made["currency"]) == (201, "issued", "12.000", "KWD")
    assert (made["period_start"], made["period_end"], made["net_days"]) == (
        "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", 0,
    )  # fmt: skip
    assert Invoice.objects.get().memo == "Thanks."


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"customer": None}, "customer"),
        ({"lines": {}}, "lines"),
        ({"lines": [{"title": "x", "amount": "1", "price": "1"}]}, "lines[0].price"),
        ({"lines": [{"title": "x", "amount": None}]}, "lines[0].amount"),
        ({"lines": [{"amount": "1"}]}, "lines[0].title"),
        ({"issue": "yes"}, "issue"),
        ({"contract": "con_x"}, "contract"),
        ({"net_days": -1}, "net_days"),
        ({"period_start": "2026-03-01"}, "period_start"),
    ],
)
def test_errors_have_their_place(api: Api, acme: Customer, change: dict[str, Any], path: str) -> None:
    status, answer = post(api, {**BODY, **change})
    assert (status, [one["path"] for one in answer["error"]["details"]]) == (422, [path])
    assert not Invoice.objects.exists()


def test_a_draft_is_discarded_and_nothing_else_is(api: Api, acme: Customer, world: World, settings: Any) -> None:
    _, made = post(api, BODY)
    path = f"/v1/invoices/{made['id']}"
    assert post(api, {"reason": "x"}, f"{path}/discard")[0] == 422
    assert post(api, {}, f"{path}/discard") == (200, {"id": made["id"], "discarded": True})
    assert not Invoice.objects.exists() and not InvoiceLine.objects.exists()
    assert post(api, {}, f"{path}/discard")[0] == 404
    _, issued = post(api, {**BODY, "issue": True})
    settings.INVOICE_GRACE_HOURS = 24 * 36500
    world.contract(acme)
    world.outcome(acme, datetime(2026, 3, 10, tzinfo=UTC))
    [draft] = billing.run(now=NOW).drafted
    for id in (issued["id"], ids.encode("inv", draft)):
        status, answer = post(api, {}, f"/v1/invoices/{id}/discard")
        assert (status, answer["error"]["code"]) == (409, "not_discardable")
        assert "discard" not in api("GET", f"/v1/invoices/{id}").json()["available_actions"]
    assert Invoice.objects.count() == 2


def test_a_test_customer_lives_by_its_clock(api: Api, world: World) -> None:
    status, clock = post(api, {"now": "2030-01-31T12:00:00Z"}, "/v1/test_clocks")
    assert status == 201
    world.customer(test_clock_id=ids.decode("clk", clock["id"]))
    _, made = post(api, {**BODY, "issue": True})
    assert (made["number"], made["issued_at"], made["period_start"]) == (
        "TEST-000001", "2030-01-31T12:00:00Z", "2030-01-31T00:00:00Z",
    )  # fmt: skip
    sound(timezone.now())
