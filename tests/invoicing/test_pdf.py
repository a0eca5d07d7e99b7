"""The PDF says everything the invoice says, and nothing in the data can change how it is set."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from invoicing import billing, pdf
from invoicing.models import Invoice, InvoiceLine
from invoicing.payment import mark_paid
from invoicing.printed.invoices import data_of
from invoicing.void import void
from tests.invoicing import pdftext
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, per_unit, tier

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)
MAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def issued(world: World, settings: Any) -> Invoice:
    settings.SELLER = {
        "name": "Northwind Support",
        "address": "12 Harbour Street\nDublin",
        "email": "billing@northwind.example",
        "tax_id": "IE1234567X",
    }
    acme = world.customer(name="Acme Corporation", email="ap@acme.example")
    world.contract(acme, overrides={"high": "1234.5"})
    world.outcomes(acme, 15, MARCH)
    world.outcomes(acme, 2, MARCH, state="void")
    world.outcomes(acme, 1, MARCH, priority="low")
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


def text_of(invoice: Invoice) -> str:
    return "".join(pdftext.pages(pdf.render(invoice)))


def test_it_says_what_the_invoice_says(issued: Invoice) -> None:
    text = text_of(issued)
    for expected in (
        "Invoice HF-000001", "Northwind Support", "12 Harbour Street", "Dublin", "IE1234567X", "Acme Corporation",
        "ap@acme.example", "1 April 2026", "1–31 March 2026", "1 May 2026", "AMOUNT (USD)",
        "Support ticket resolved", "priority: high", "priority: low", "15", "1,234.50", "18,517.50", "0.75",
        "Of all “Support ticket resolved”, 2 more were taken back inside the settlement window and not charged.",
        "US$18,518.25", "Page 1 of 1",
        "Payable within 30 days, by 1 May 2026. Please quote HF-000001 with your payment.",
        "Bill one resolved ticket when the agent closed it, unless it is reopened within 72 hours.",
    ):  # fmt: skip
        assert expected.replace(" ", "") in text.replace(" ", "").replace("\n", ""), expected


def test_the_same_invoice_gives_the_same_bytes(issued: Invoice) -> None:
    assert pdf.render(issued) == pdf.render(Invoice.objects.get())


def test_who_is_called_what_is_frozen_at_issue(issued: Invoice, settings: Any) -> None:
    before = pdf.render(issued)
    issued.customer.name = "Renamed"
    issued.customer.save()
    settings.SELLER = settings.SELLER | {"name": "Somebody else"}
    assert pdf.render(Invoice.objects.get()) == before


def test_a_late_line_names_its_period(issued: Invoice, world: World) -> None:
    acme = issued.customer
    world.outcome(acme, MARCH)
    world.outcome(acme, APRIL_1)
    billing.run(now=MAY_1)
    later = Invoice.objects.get(number="HF-000002")
    assert "Confirmedlater,from1–31March2026" in text_of(later).replace(" ", "").replace("\n", "")


def test_the_state_is_marked(issued: Invoice, world: World, settings: Any) -> None:
    assert "VOID" not in text_of(issued) and "PAID" not in text_of(issued)
    assert "PAID" in text_of(mark_paid(issued.id, now=APRIL_1))
    world.outcome(issued.customer, APRIL_1)
    (second,) = billing.run(now=MAY_1).issued
    text = text_of(void(second, now=MAY_1))
    assert "VOID" in text and "Payable" not in text
    settings.INVOICE_GRACE_HOURS = 24
    (draft,) = billing.run(now=MAY_1).drafted
    assert "DRAFT" in text_of(Invoice.objects.get(pk=draft))


def made(count: int, **fields: Any) -> tuple[Invoice, list[InvoiceLine]]:
    """An invoice in memory with lines of any text."""
    end = datetime(2026, 4, 1, tzinfo=UTC)
    period = {"period_start": end - timedelta(days=31), "period_end": end}
    invoice = Invoice(
        number="HF-1", status="issued", currency="USD", time_zone="UTC", net_days=30, total_minor=100 * count,
        issued_at=end, due_at=end + timedelta(days=30),
        parties={"seller": {"name": "S"}, "customer": {"key": "c", "name": "C"}}, **period,
    )  # fmt: skip
    values = {"title": "Resolved", "sentence": "What counts.", "dimensions": {}} | fields
    lines = [
        InvoiceLine(
            **values | period | {"quantity": Decimal(n + 10_000), "unit_price": Decimal(1), "amount_minor": 100 * n}
        )
        for n in range(count)
    ]
    return invoice, lines


@pytest.mark.parametrize(
    "evil",
    [
        "#panic()", '#read("/etc/passwd")', "*bold* _it_ $x^2$", "<label> @ref", "\\u{41}", '"; }', "= Heading",
        "// gone", "[ unclosed", "#{", "`raw`",
    ],
)  # fmt: skip
def test_data_is_never_markup(evil: str) -> None:
    invoice, lines = made(1, title=evil, sentence=evil, dimensions={"d": evil})
    invoice.parties["seller"]["name"] = invoice.parties["customer"]["name"] = evil
    text = "".join(pdftext.pages(pdf.compiled(data_of(invoice, lines), "pdf")[0])).replace(" ", "").replace("\n", "")
    # Seller, customer, title, dimension, sentence's title, sentence, and the foot of the page.
    assert text.count(evil.replace(" ", "")) == 7


def test_five_hundred_lines_are_readable() -> None:
    invoice, lines = made(500)
    found = pdftext.pages(pdf.compiled(data_of(invoice, lines), "pdf")[0])
    assert len(found) > 5
    whole = "".join(found).replace(" ", "")
    for number in range(500):
        assert f"{number + 10_000:,}" in whole
    for number, page in enumerate(found, start=1):
        assert f"Page{number}of{len(found)}" in page.replace(" ", "").replace("\n", "")
        if number < len(found):
            # The table's head and, from the second page on, whose invoice it is.
            assert "QUANTITY" in page and ("Invoice HF-1".replace(" ", "") in page.replace(" ", ""))
    # The sentence stands once, however many lines it is behind.
    assert whole.count("Whatcounts.") == 1


@pytest.mark.parametrize(
    ("minor", "currency", "text"), [(1234567, "JPY", "JP¥1,234,567"), (1234567, "KWD", "KWD1,234.567")]
)
def test_currencies_have_their_own_decimals(minor: int, currency: str, text: str) -> None:
    invoice, lines = made(1)
    invoice.currency, invoice.total_minor = currency, minor
    assert text in "".join(pdftext.pages(pdf.compiled(data_of(invoice, lines), "pdf")[0])).replace(" ", "")


def test_it_is_written_whole_or_not_at_all(issued: Invoice, tmp_path: Path) -> None:
    path = pdf.store(issued.id, tmp_path)
    assert path == tmp_path / "HF-000001.pdf"
    assert path.read_bytes() == pdf.render(issued)
    assert pdf.store(issued.id, tmp_path) == path and len(list(tmp_path.iterdir())) == 1


def test_it_says_how_every_amount_came_about(world: World) -> None:
    deal = Deal(
        world,
        starts_at=datetime(2026, 3, 11, tzinfo=UTC),
        prices={
            "merged_pull_request": {
                "model": "graduated",
                "tiers": [tier("2", unit_price="12"), tier(None, unit_price="9", flat_fee="25")],
            },
            "call": per_unit("0.5") | {"included": Decimal(1), "period_maximum": Decimal(1)},
            "check": per_unit("2") | {"pool": "free"},
            "meeting": {"model": "package", "unit_price": Decimal(450), "package_size": Decimal(10)},
            "payment": {"model": "percentage", "percent": Decimal(25), "maximum": Decimal(10)},
        },
        pools={"free": "1"},
        discount_percent="10",
        minimum="100",
        cap="400",
        fees=[
            {"name": "Seats", "kind": "seats", "amount": "25", "seats": "12"},
            {"name": "Platform", "amount": "31", "timing": "advance"},
        ],
        commitments=[{"amount": "500", "payment": "advance"}],
    )
    march = datetime(2026, 3, 20, tzinfo=UTC)
    deal.settled("merged_pull_request", 2, march, priority="high")
    deal.settled("merged_pull_request", 1, march, priority="low")
    for slug, count in (("call", 4), ("check", 3), ("meeting", 1)):
        deal.settled(slug, count, march)
    deal.settled("payment", 1, march, amount=Decimal(60))
    billing.run(now=APRIL_1)
    deal.settled("merged_pull_request", 1, march, priority="low")
    billing.run(now=MAY_1)
    first, second = (text_of(invoice).replace(" ", "").replace("\n", "") for invoice in deal.invoices())
    for said in (
        "2 × 12.00 (up to 2) = 24.00", "1 × 9.00 = 9.00", "Flat fee of the tier: 25.00",
        "Counted over all lines of this price, which come to 58.00.",
        "Counted together with the line of this price above.", "1 included at no charge", "1 from the shared allowance",
        "1 package × 450.00 = 450.00", "25% of 60 = 15.00", "By the minimum and maximum for each: -5.00",
        "Discount 10%", "Of 523.50.", "Call: above the maximum of 1.00, not charged",
        "Above the limit of 270.97, not charged", "21 of 31 days of 400.00 = 270.97",
        "Drawn from the commitment of 500.00: 229.03 left", "Commitment of 500.00, in advance",
        "Seats, 11–31 March 2026", "21 of 31 days of 300.00 = 203.23", "In advance, for 1–30 April 2026",
        "Platform, April 2026",
    ):  # fmt: skip
        assert said.replace(" ", "") in first, said
    assert "Confirmed later, from 11–31 March 2026".replace(" ", "") in second
    assert "in the whole period, of which".replace(" ", "") in second
