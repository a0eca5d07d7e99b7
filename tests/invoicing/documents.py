"""Documents in memory, with every kind of line, tax and credit: what the PDF and its pictures are looked at with."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from contracts.domain.periods import Period
from invoicing import pdf, texts
from invoicing.models import CreditAllocation, CreditApplication, CreditNote, Invoice, InvoiceLine
from invoicing.printed import credit_notes, invoices
from invoicing.printed.credit_notes import Undone
from invoicing.printed.sheet import Counts
from outcomes.models import Journal
from tests.invoicing import pdftext

MARCH = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
FEBRUARY = Period(datetime(2026, 2, 1, tzinfo=UTC), MARCH.start)
APRIL = Period(MARCH.end, datetime(2026, 5, 1, tzinfo=UTC))
HASH = "5f2c" * 16

SELLER = {
    "name": "Northwind Support GmbH",
    "address": "Speicherstraße 12\n20457 Hamburg\nGermany",
    "email": "billing@northwind.example",
    "tax_id": "DE123456789",
}
CUSTOMERS = {
    "en": {"key": "acme", "name": "Acme Corporation", "address": "1 Harbour Street\nDublin D02\nIreland"},
    "de": {"key": "muster", "name": "Müller & Söhne AG", "address": "Königsallee 1\n40212 Düsseldorf"},
    "fr": {"key": "lumiere", "name": "Société Lumière SARL", "address": "8, rue de l’Église\n69002 Lyon\nFrance"},
    "ja": {"key": "sakura", "name": "株式会社さくら商事", "address": "〒100-0005\n東京都千代田区丸の内一丁目1番1号"},
}
SENTENCES = {
    "Support ticket resolved": "Bill one resolved ticket when the agent closed it, unless it is reopened within 72 "
    "hours.",
    "Pull request merged": "Bill one pull request per repository when it is merged, unless it is reverted within 14 "
    "days.",
    "Payment recovered": "Bill a recovered payment by its amount when the retry succeeds, unless it is charged back "
    "within 30 days.",
}
VAT = {"key": "vat", "name": "VAT", "percent": "19", "inclusive": False, "reverse_charge": False, "note": ""}
CONTAINED = VAT | {"key": "in", "percent": "8.1", "inclusive": True}
REVERSE = VAT | {
    "key": "rc",
    "percent": "0",
    "reverse_charge": True,
    "note": "Reverse charge: VAT to be accounted for by the recipient (Article 196, Directive 2006/112/EC).",
}


def parties(locale: str, **customer: Any) -> dict[str, Any]:
    """Seller and customer as `issue.parties_of` has them."""
    known = CUSTOMERS.get(locale.split("-")[0], CUSTOMERS["en"])
    more = {"email": f"ap@{known['key']}.example", "tax_id": "IE1234567X", "locale": locale}
    return {"seller": SELLER, "customer": {**known, **more, **customer}}


def line(kind: str, title: str, amount: int, period: Period = MARCH, **fields: Any) -> InvoiceLine:
    """A line in memory; its sentence is that of its title."""
    values = {
        "sentence": SENTENCES.get(title, ""),
        "position": 1,
        "price_id": len(title),
        "quantity": None,
        "unit_price": None,
    }
    return InvoiceLine(
        kind=kind, title=title, amount_minor=amount, period_start=period.start, period_end=period.end,
        **values | {name: Decimal(value) if name in ("quantity", "unit_price") else value
                    for name, value in fields.items()},
    )  # fmt: skip


def step(kind: str, quantity: str, unit_price: str, amount: str, **more: Any) -> dict[str, Any]:
    """One step of a line's arithmetic, as it is stored."""
    return {"kind": kind, "quantity": quantity, "unit_price": unit_price, "amount": amount} | more


def every_line() -> list[InvoiceLine]:
    """A line of every kind, with every kind of step and note."""
    ticket, merged, payment = SENTENCES
    shared = {"shared": True, "price_amount": "2649"}
    tiers = [
        step("included", "10", "0", "0"),
        step("units", "100", "12", "1200", up_to="100"),
        step("units", "50", "9", "450"),
        step("flat_fee", "1", "999", "999"),
    ]
    return [
        line("usage", ticket, 1234567, dimensions={"priority": "high"}, quantity="15432.5", unit_price="0.80",
             voided_count=1203),
        line("usage", ticket, 75, dimensions={"priority": "low"}, quantity="1", unit_price="0.75", voided_count=1),
        line("usage", merged, 200000, dimensions={"repository": "core"}, quantity="120", steps=tiers, details=shared),
        line("usage", merged, 64900, dimensions={"repository": "docs"}, quantity="40", steps=tiers, details=shared),
        line("usage", payment, 15000, quantity="3", steps=[
            step("percent", "600", "25", "150", up_to="1000"), step("bounds", "0", "0", "-5")]),
        line("usage", "Check", 2250, quantity="41", steps=[
            step("pooled", "21", "0", "0"), step("packages", "2", "11.25", "22.5")], unit_price="11.25"),
        line("discount", "Discount 10 %", -151679, details={"reached": "15167.92"},
             steps=[step("percent", "15167.92", "10", "1516.792")]),
        line("maximum", f"{payment}: above the maximum of 100.00, not charged", -5000,
             details={"reached": "150.00"}),
        line("minimum", "Minimum of 20,000.00: difference", 639887, details={"reached": "13601.13"}),
        line("cap", "Above the limit of 19,500.00, not charged", -50000, details={"reached": "20000.00"}),
        line("drawdown", "Drawn from the commitment of 50,000.00: 12,345.60 left", -500000),
        line("true_up", "Commitment of 1,000.00: difference", 100),
        line("commitment", "Commitment of 5,000.00, in advance", 500000),
        line("fee", "Seats, March 2026", 20323, quantity="12", unit_price="25",
             steps=[step("seats", "12", "25", "300"), step("days", "21", "300", "203.23", of=31)]),
        line("fee", "Onboarding", 50000),
        line("fee", "Platform, April 2026", 3100, APRIL),
        line("usage", ticket, 160, FEBRUARY, dimensions={"priority": "high"}, quantity="2", unit_price="0.80",
             details={"period_amount": "81.60", "billed": "80.00"}),
        line("usage", merged, -300, FEBRUARY, quantity="1", unit_price="12",
             details={"period_amount": "97.00", "billed": "100.00", "moved": {"outcomes": 2, "quantity": "-2"}}),
    ]  # fmt: skip


def invoice(locale: str = "en", lines: list[InvoiceLine] | None = None, **fields: Any) -> tuple[Invoice, list[Any]]:
    """An issued invoice with its lines, by default one of every kind with 19 % on top and credit taken off."""
    found = every_line() if lines is None else lines
    subtotal = sum(one.amount_minor for one in found)
    rate = fields.pop("rate", VAT)
    tax = round(subtotal * Decimal(rate["percent"]) / 100)
    values: dict[str, Any] = {
        "number": "HF-000042", "status": "issued", "currency": "EUR", "time_zone": "UTC", "net_days": 30,
        "subtotal_minor": subtotal, "tax_minor": tax, "total_minor": subtotal if rate["inclusive"] else subtotal + tax,
        "taxes": [rate | {"taxable_minor": subtotal, "amount_minor": tax}],
        "credits": [{"credit_note": "cn_1", "number": "CN-000007", "amount_minor": 12345}],
        "issued_at": MARCH.end, "due_at": MARCH.end + timedelta(days=30), "content_hash": HASH,
        "period_start": MARCH.start, "period_end": MARCH.end, "parties": parties(locale),
    }  # fmt: skip
    return Invoice(**values | fields), found


def invoice_data(locale: str = "en", lines: list[InvoiceLine] | None = None, **fields: Any) -> dict[str, Any]:
    """What is printed of `invoice`."""
    return invoices.data_of(*invoice(locale, lines, **fields))


def credit_note_data(locale: str = "en", listed: int = 3, **fields: Any) -> dict[str, Any]:
    """What is printed of an automatic credit note over two periods that corrects two invoices."""
    ticket, merged, _ = SENTENCES
    values: dict[str, Any] = {
        "number": "CN-000007", "status": "issued", "kind": "automatic", "currency": "EUR", "time_zone": "UTC",
        "reason": "Five outcomes were undone after they were invoiced.", "destination": "next_invoice",
        "subtotal_minor": 2760, "tax_minor": 524, "total_minor": 3284, "content_hash": HASH,
        "taxes": [VAT | {"taxable_minor": 2760, "amount_minor": 524}],
        "issued_at": datetime(2026, 4, 9, tzinfo=UTC), "parties": parties(locale),
    }  # fmt: skip
    note = CreditNote(**values | fields)
    lines = [
        line("usage", ticket, -2400, FEBRUARY, credit_note=note, quantity="-3", unit_price="8.00",
             dimensions={"priority": "high"}, details={"period_amount": "96.00", "billed": "120.00"}),
        line("usage", merged, -660, credit_note=note, quantity="-2", unit_price="3.30"),
        line("discount", "Discount 10 %", 300, credit_note=note, details={"period_amount": "-9.00", "billed": "-12.00"},
             steps=[step("percent", "90", "10", "9")]),
    ]  # fmt: skip
    counts: dict[UUID, Counts] = {
        lines[0].id: Counts(listed if listed > 5 else 3),
        lines[1].id: Counts(2, confirmed_late=1),
    }
    first, second = (invoice(number=number)[0] for number in ("HF-000031", "HF-000042"))
    causes = [("event", ""), ("person", "Billed twice by mistake."), ("late", ""), ("clock", "")]
    undone = [
        Undone(
            f"TICKET-{4711 + n}",
            datetime(2026, 2, 10, tzinfo=UTC),
            Journal(cause=causes[n % 4][0], reason=causes[n % 4][1], effective_at=datetime(2026, 4, 2, tzinfo=UTC)),
        )
        for n in range(listed)
    ]
    allocations = [
        CreditAllocation(invoice=second, net_minor=660, tax_minor=125, total_minor=785),
        CreditAllocation(invoice=first, net_minor=2100, tax_minor=399, total_minor=2499),
    ]
    applications = [
        CreditApplication(invoice=second, amount_minor=1284, created_at=datetime(2026, 4, 9, tzinfo=UTC)),
        CreditApplication(invoice=None, amount_minor=500, created_at=datetime(2026, 4, 20, tzinfo=UTC)),
    ]
    if note.issued_at is None:
        applications = []
    return credit_notes.data_of(note, lines, counts, undone, allocations, applications)


SAMPLES = {
    "en": (list(SENTENCES), list(SENTENCES.values()), "Platform"),
    "ja": (
        ["解決済みサポートチケット", "マージされたプルリクエスト", "回収された支払い"],
        [
            "担当者がチケットを解決し、72時間以内に再開されなかった場合に1件を請求します。",
            "リポジトリごとにマージされ、14日以内に取り消されなかった1件を請求します。",
            "再試行が成功し、30日以内に返金されなかった支払いの金額に応じて請求します。",
        ],
        "プラットフォーム",
    ),
}


def sample(locale: str) -> dict[str, Any]:
    """An ordinary month in EUR or JPY: with `pdf.compiled(sample("en"), "png", 84)`, the pictures of docs/images."""
    titles, sentences, fee = SAMPLES[locale]
    yen = locale == "ja"

    def price(euros: str) -> str:
        return texts.plain(Decimal(euros) * 100) if yen else euros

    def step_of(kind: str, quantity: str, unit_price: str, amount: str, **more: Any) -> dict[str, Any]:
        return step(kind, quantity, unit_price if kind == "percent" else price(unit_price), price(amount), **more)

    rows = [
        (0, 123450, {"dimensions": {"priority": "high"}, "quantity": "823", "unit_price": price("1.5"),
                     "voided_count": 49}),
        (0, 46425, {"dimensions": {"priority": "low"}, "quantity": "619", "unit_price": price("0.75")}),
        (1, 165000, {"quantity": "150", "steps": [step_of("units", "100", "12", "1200", up_to="100"),
                                                  step_of("units", "50", "9", "450")]}),
        (2, 91250, {"quantity": "14", "steps": [step_of("percent", price("3650"), "25", "912.5")]}),
    ]  # fmt: skip
    lines = [line("usage", titles[n], amount, sentence=sentences[n], price_id=n, **more) for n, amount, more in rows]
    late = {"period_amount": price("1180.5"), "billed": price("1177.5")}
    lines += [
        line("discount", "Discount 10 %", -42613, details={"reached": price("4261.25")}),
        line("fee", f"{fee}, April 2026", 20000, APRIL),
        line("usage", titles[0], 300, FEBRUARY, dimensions={"priority": "high"}, quantity="2", unit_price=price("1.5"),
             details=late, sentence=sentences[0]),
    ]  # fmt: skip
    if not yen:
        return invoice_data(locale, lines)
    seller = SELLER | {"tax_id": "T1234567890123"}
    customer = CUSTOMERS[locale] | {"locale": locale, "email": "keiri@sakura.example"}
    rate = VAT | {"name": "消費税", "percent": "10"}
    people = {"seller": seller, "customer": customer}
    return invoice_data(locale, lines, currency="JPY", rate=rate, credits=[], parties=people)


def many_lines(count: int) -> list[InvoiceLine]:
    """Lines of usage that differ in one dimension."""
    return [
        line("usage", "Support ticket resolved", 100 * n, dimensions={"queue": f"Q-{n:03}"}, quantity=str(n + 10_000),
             unit_price="1")
        for n in range(count)
    ]  # fmt: skip


def text_of(data: dict[str, Any]) -> str:
    """The text of the PDF made of that data, without white space, which setting may add or take."""
    return squeezed("".join(pdftext.pages(pdf.compiled(data, "pdf")[0])))


def json_text(text: str) -> str:
    """A text as typst reads it from its inputs."""
    return json.dumps(text, ensure_ascii=False)


def squeezed(text: str) -> str:
    """Without white space and without the places at which long words may break."""
    return "".join(text.replace("\u200b", "").split())
