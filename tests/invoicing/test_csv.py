"""The lines as CSV: every row adds up, figures are figures, and no cell is a formula."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from access import ids
from invoicing import billing, csv_export
from invoicing.models import CreditNote, Invoice, InvoiceLine
from tests.invoicing.conftest import World
from tests.invoicing.documents import CONTAINED, VAT

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def draft(world: World, settings: Any) -> Invoice:
    settings.INVOICE_GRACE_HOURS = 24
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 3, MARCH)
    world.outcome(acme, MARCH, priority="low")
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


def rows_of(document: Invoice | CreditNote) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_export.csv_of(document)), newline=""), strict=True))


def test_over_http(api: Any, world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 3, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    answer = api("GET", f"/v1/invoices/{ids.encode('inv', invoice.id)}/csv")
    assert answer.status_code == 200 and answer.streaming
    assert answer["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer["Content-Disposition"] == 'attachment; filename="HF-000001.csv"'
    head, row, end = b"".join(answer.streaming_content).decode().split("\r\n")
    assert head.split(",") == list(csv_export.COLUMNS) and end == ""
    line = invoice.lines.get()
    assert row.split(",") == [
        ids.encode("inv", invoice.id), "HF-000001", ids.encode("line", line.id), "usage", "2026-03-01T00:00:00Z",
        "2026-04-01T00:00:00Z", "Support ticket resolved", "resolved_ticket", "priority=high", "3", "3", "2.00", "6.00",
        "USD", "", "",
    ]  # fmt: skip
    assert api("GET", f"/v1/invoices/{ids.encode('inv', line.id)}/csv").json()["error"]["code"] == "not_found"
    assert api("GET", f"/v1/invoices/{ids.encode('inv', invoice.id)}/csv?x=1").status_code == 400


@pytest.mark.parametrize("rate", [VAT, CONTAINED, None], ids=["on top", "contained", "none"])
def test_the_amounts_sum_to_the_total(
    rate: dict[str, Any] | None, draft: Invoice, django_assert_num_queries: Any
) -> None:
    if rate is not None:
        tax = 128 if rate is VAT else 51
        draft.taxes = [rate | {"taxable_minor": 675, "amount_minor": tax}]
        draft.tax_minor, draft.total_minor = tax, 675 if rate["inclusive"] else 675 + tax
        draft.save()
    with django_assert_num_queries(1):
        rows = rows_of(draft)
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(draft.total_minor) / 100
    assert [row["kind"] for row in rows] == ["usage", "usage"] + (["tax"] if rate else [])
    if rate is not None:
        last = rows[-1]
        assert (last["title"], last["taxable"], last["tax"]) == (f"VAT {rate['percent']} %", "6.75", f"{tax / 100:.2f}")
        assert last["amount"] == ("0.00" if rate["inclusive"] else "1.28")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_text_is_a_formula(start: str, draft: Invoice) -> None:
    evil = f'{start}cmd|" /C calc"!A0, x\r\ny'
    draft.lines.update(title=evil, dimensions={evil: "1"}, amount_minor=-5)
    for row in rows_of(draft):
        # Quoted as RFC 4180 has it, so that all of it comes back, behind the mark.
        assert row["title"] == f"'{evil}" and row["dimensions"] == f"'{evil}=1"
        # A figure below zero stays a figure.
        assert row["amount"] == "-0.05"


def test_ordinary_text_is_left_alone(draft: Invoice) -> None:
    for title in ("A = B", "Größe, \"so\"; 'x'", "請求書", "5 + 5", " - "):
        draft.lines.update(title=title)
        assert {row["title"] for row in rows_of(draft)} == {title}


def test_a_credit_note_counts_what_goes_back(draft: Invoice) -> None:
    line = draft.lines.first()
    assert line is not None
    note = CreditNote.objects.create(
        customer=draft.customer, contract=draft.contract, kind="automatic", currency="USD", time_zone="UTC",
        reason="Reopened", subtotal_minor=400, total_minor=400, created_at=APRIL_1, refreshed_at=APRIL_1,
    )  # fmt: skip
    InvoiceLine.objects.create(
        credit_note=note, position=1, kind="usage", condition=line.condition, price=line.price,
        contract_version=line.contract_version, period_start=line.period_start, period_end=line.period_end,
        title=line.title, quantity=Decimal(f"-2.{'3' * 33}1"), unit_price=2, amount_minor=-400, outcome_count=-2,
    )  # fmt: skip
    (row,) = rows_of(note)
    assert (row["outcomes"], row["quantity"], row["amount"]) == ("2", f"2.{'3' * 33}1", "4.00")
    assert row["document"] == ids.encode("cn", note.id) and row["number"] == ""
    assert csv_export.filename(note) == f"{row['document']}.csv"
