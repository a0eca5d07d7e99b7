"""The PDFs of invoices and credit notes in every language: what they say, that no glyph is missing, and that nothing in
the data can break them.
"""

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typst
from babel.localedata import locale_identifiers
from structlog.testing import capture_logs

from contracts.domain import money
from invoicing import billing, localised, logo, pdf
from invoicing.localised import catalogue
from invoicing.localised.formats import locale_of
from invoicing.models import (
    CreditAllocation,
    CreditApplication,
    CreditNote,
    Invoice,
    InvoiceLine,
    LineOutcome,
    LineReversal,
)
from invoicing.printed import sheet
from outcomes.models import Journal
from tests.invoicing import documents, pdftext
from tests.invoicing.conftest import World
from tests.invoicing.documents import CONTAINED, REVERSE, credit_note_data, every_line, invoice_data, squeezed, text_of

MARCH_10 = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)
APRIL_9 = datetime(2026, 4, 9, tzinfo=UTC)


def says(text: str, *expected: str) -> None:
    for one in expected:
        assert squeezed(one) in text, one


# --- What they say ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", ["Invoice HF-000042", "BILLED TO", "Tax ID IE1234567X", "1–31 March 2026", "Due date", "AMOUNT (EUR)",
                "In advance, for 1–30 April 2026", "Confirmed later, from 1–28 February 2026", "Subtotal 20,233.83",
                "VAT 19% on 20,233.83", "3,844.43", "Credit from CN-000007", "−123.45", "Amount due €23,954.81",
                "Payable within 30 days, by 1 May 2026.", "What counts as achieved", "Page 1 of 2"]),
        ("de", ["Rechnung HF-000042", "RECHNUNG AN", "1.–31. März 2026", "Fällig am", "BETRAG (EUR)",
                "Zwischensumme 20.233,83", "VAT 19 % auf 20.233,83", "Zu zahlen 23.954,81 €", "Rabatt 10 %",
                "wurden 1.203 weitere in", "Mindestbetrag 20.000,00: Differenz", "Seats, März 2026", "Seite 2 von 2",
                "Zahlbar innerhalb von 30 Tagen, bis zum 1. Mai 2026."]),
        ("fr", ["Facture HF-000042", "1–31 mars 2026", "Échéance", "Sous-total 20 233,83", "VAT 19 % sur 20 233,83",
                "Montant à payer 23 954,81 €", "Remise 10 %", "Seats, mars 2026", "Page 2 sur 2"]),
        ("ja", ["請求書 HF-000042", "請求先", "株式会社さくら商事", "2026年3月1日～31日", "支払期限", "金額（EUR）",
                "小計 20,233.83", "ご請求額 €23,954.81", "値引き 10%", "Seats、2026年3月", "2 / 2 ページ"]),
        ("es", ["Invoice HF-000042", "1–31 de marzo de 2026", "Subtotal 20.233,83", "Amount due 23.954,81 €"]),
    ],
)  # fmt: skip
def test_an_invoice_in_its_customers_language(locale: str, expected: list[str]) -> None:
    says(text_of(invoice_data(locale)), *expected, documents.HASH)


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en", ["Credit note CN-000007", "CREDITED TO", "Five outcomes were undone", "Period 1–28 February 2026",
                "Support ticket resolved priority: high", "3 were taken back.", "1 was confirmed later.",
                "120.00 was invoiced; the period comes to 96.00 now.", "Total credit €32.84", "HF-000031",
                "Taken off HF-000042", "12.84", "Paid back", "Taken off your next invoices", "15.00",
                "TICKET-4711, confirmed 10 February 2026, undone 2 April 2026: by an event", "Billed twice by mistake.",
                "and 2 more"]),
        ("de", ["Rechnungskorrektur CN-000007", "Korrekturbetrag gesamt 32,84 €", "3 Ergebnisse", "Rabatt 10 %",
                "TICKET-4713, bestätigt am 10. Februar 2026, aufgehoben am 2. April 2026: durch einen späten "
                "Nachweis"]),
        ("fr", ["Avoir CN-000007", "Total de l’avoir 32,84 €", "Déduit de HF-000042"]),
        ("ja", ["返還請求書 CN-000007", "返還額合計 €32.84", "3 件が取り消されました。", "値引き 10%"]),
    ],
)  # fmt: skip
def test_a_credit_note_in_its_customers_language(locale: str, expected: list[str]) -> None:
    text = text_of(credit_note_data(locale))
    # What goes back is above zero, and what lessens it is below.
    says(text, *expected, "24.00" if locale in ("en", "ja") else "24,00", "−3", documents.HASH)


def test_a_draft_of_a_credit_note_says_where_the_credit_will_go() -> None:
    draft = {"number": None, "status": "draft", "issued_at": None, "content_hash": ""}
    text = text_of(credit_note_data("en", destination="refund", **draft))
    says(text, "Draft credit note", "DRAFT", "the rest is paid back.")
    assert "SHA-256" not in text
    says(text_of(credit_note_data("en", **draft)), "the rest off your next invoices.")


def test_a_long_credit_note_lists_some_and_counts_the_rest() -> None:
    text = text_of(credit_note_data("en", listed=100))
    says(text, "TICKET-4810", "and 2 more, in the evidence pack", "Page 3 of")


def test_taxes_contained_and_reverse_charged() -> None:
    contained = text_of(invoice_data("en", every_line()[:1], rate=CONTAINED, credits=[]))
    says(contained, "Total €12,345.67", "Contained: VAT 8.1% in 12,345.67")
    assert "Subtotal" not in contained
    says(text_of(invoice_data("en", every_line()[:1], rate=REVERSE, credits=[])), "VAT 0% on", REVERSE["note"])


def test_an_interim_invoice_and_a_one_off_one() -> None:
    interim = text_of(invoice_data("en", every_line()[:1], kind="interim"))
    says(interim, "Interim invoice HF-000042", "follows on a later invoice.", "Period")
    items = [documents.line("item", "Workshop", 480000, quantity="2", unit_price="2400")]
    one_off = text_of(invoice_data("en", items, kind="one_off", memo="Purchase order 4711.\nThank you.", credits=[]))
    says(one_off, "Workshop", "2,400.00", "4,800.00", "DESCRIPTION", "Purchase order 4711.", "Thank you.", "€5,712.00")
    assert "Period" not in one_off and "evidence" not in one_off


def test_what_is_paid_or_void_asks_for_nothing() -> None:
    paid = text_of(invoice_data("en", every_line()[:1], status="paid", paid_at=APRIL_9))
    says(paid, "PAID", "Paid on 9 April 2026", "Amount due €0.00")
    assert "Payable" not in paid
    void = text_of(invoice_data("en", every_line()[:1], status="void", voided_at=APRIL_9))
    assert "VOID" in void and "Payable" not in void and "Amountdue" not in void
    whole = [{"credit_note": "cn_1", "number": "CN-1", "amount_minor": 1469135}]
    says(text_of(invoice_data("en", every_line()[:1], credits=whole)), "Amount due €0.00", "Nothing is left to pay.")


def test_an_old_document_has_no_locale_and_is_in_english() -> None:
    old = {"seller": {"name": "S"}, "customer": {"key": "c", "name": "C"}}
    says(text_of(invoice_data("de", every_line()[:1], parties=old)), "Invoice HF-000042", "1–31 March 2026")


# --- Fonts ------------------------------------------------------------------------------------------------------------


def glyphs(texts: list[str]) -> int:
    """How many characters of these texts have no glyph, in either weight."""
    source = b"""#set text(font: ("Source Sans 3", "Noto Sans JP"))
#let t = json(bytes(sys.inputs.t))
#text(t) #text(weight: 600, t)"""
    characters = " ".join(sorted({character for text in texts for character in text if not character.isspace()}))
    made = typst.compile(
        source, font_paths=pdf.fonts(), ignore_system_fonts=True, sys_inputs={"t": documents.json_text(characters)}
    )
    return pdftext.missing(made)


def test_a_missing_glyph_is_noticed() -> None:
    assert glyphs(["fine, 漢字 ¥", "한국 주식회사 뷁똠"]) == 0
    assert glyphs(["ไ"]) == 2


def test_no_message_lacks_a_glyph() -> None:
    texts = [
        text
        for messages in catalogue._MESSAGES.values()
        for message in messages.values()
        for text in ([message] if isinstance(message, str) else message.values())
    ]
    assert glyphs(texts) == 0


def printed_languages() -> Iterator[str]:
    """Those whose own locale is printed; English and what falls back to it aside."""
    for name in locale_identifiers():
        tag = name.replace("_", "-")
        if "-" not in tag and sheet.locale_of_parties({"customer": {"locale": tag}}) == tag:
            yield tag


def test_no_date_number_or_currency_of_a_printed_language_lacks_a_glyph() -> None:
    """In a script that our fonts have; a locale in another one is printed with English dates and figures."""
    languages = list(printed_languages())
    assert {"de", "ja", "zh", "ko", "ru", "el", "vi", "pl", "tr", "ab"} - set(languages) == {"ab"}
    assert not {"ar", "th", "hi", "he", "fa"} & set(languages)
    texts = []
    for tag in languages:
        known = locale_of(tag)
        texts += known.months["format"]["wide"].values()
        texts += [symbol for code, symbol in known.currency_symbols.items() if code in money.EXPONENTS]
        texts += [
            localised.date_text(MARCH_10, tag),
            localised.period_text(documents.MARCH, tag, "UTC"),
            localised.percent_text(Decimal("-1.5"), tag),
            localised.money_text(-123456789, "EUR", tag),
        ]
    assert glyphs([text.translate(sheet._WIDE) for text in texts]) == 0


@pytest.mark.parametrize("locale", ["en", "de", "fr", "ja"])
def test_no_sample_document_lacks_a_glyph(locale: str) -> None:
    for data in (invoice_data(locale), credit_note_data(locale), invoice_data(locale, status="paid", paid_at=APRIL_9)):
        assert pdftext.missing(pdf.compiled(data, "pdf")[0]) == 0


def test_names_of_japan_are_there() -> None:
    """Kanji that JIS X 0208 lacks and people have, and rare ones in a heading, which is semibold."""
    assert glyphs(["髙橋 﨑 齋藤 邊 渡邉 蘊 櫻 〒①㈱"]) == 0


# --- What nothing in the data can do ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "#panic() *b* _i_ $x^2$ <l> @r `c` // \\u{41}", "W" * 400, "https://example.com/" + "very-long-path/" * 30,
        "مرحبا بالعالم", "שלום עולם", "🎉 👩‍👩‍👧", "한국어", "नमस्ते", "a\u0300\u0301" * 40, "\u202eevil\u202c",
        "tab\tbell\x07 escape\x1b", "line\nbreak\r\nand\u2028separator", "﷽" * 20, "   ", "\ufeff",
    ],
)  # fmt: skip
def test_hostile_texts_are_set(text: str) -> None:
    people = documents.parties("en", name=text, address=text, tax_id=text, key=text, email=text)
    lines = [documents.line("usage", text, 100, dimensions={text: text}, quantity="1", sentence=text)]
    data = invoice_data("en", lines, parties=people | {"seller": documents.SELLER | {"name": text, "address": text}})
    made = pdf.compiled(data, "pdf")[0]
    assert "Invoice" in squeezed("".join(pdftext.pages(made))) and len(pdf.compiled(data, "png", 20)) < 6


def test_a_long_word_is_broken_and_keeps_its_letters() -> None:
    word = "https://example.com/" + "0123456789" * 20
    assert squeezed(sheet.settable({"a": [word]})["a"][0]) == word
    # East Asian text breaks by rules of its own, and what fits is left alone.
    assert sheet.settable("請求書" * 30) == "請求書" * 30
    assert sheet.settable("accounts@northwind.example") == "accounts@northwind.example"
    assert sheet.settable("pay\u202e100\u2066 now\x00") == "pay100 now"


def test_a_line_of_very_many_tiers_goes_over_pages() -> None:
    steps = [documents.step("units", "1", "1", "1", up_to=str(n)) for n in range(300)]
    lines = [documents.line("usage", "Tiers", 300, quantity="300", steps=steps)]
    text = text_of(invoice_data("en", lines))
    says(text, "(up to 0)", "(up to 150)", "(up to 299)", "Page 5 of")


@pytest.mark.parametrize("minor", [0, -5, 10**18 - 1, -(10**18 - 1)])
def test_amounts_of_any_size(minor: int) -> None:
    fields = {"subtotal_minor": minor, "total_minor": minor, "tax_minor": 0, "taxes": [], "credits": []}
    text = text_of(invoice_data("en", [documents.line("item", "All", minor)], **fields))
    says(text, f"{abs(minor):,}"[-3:] if abs(minor) > 100 else "0.0", "Total")


# --- Logo -------------------------------------------------------------------------------------------------------------

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="10"><rect width="40" height="10" fill="#a02"/></svg>'


def png(width: int = 2, height: int = 2) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [SVG, png()], ids=["svg", "png"])
def test_the_logo_is_at_the_head(content: bytes, settings: Any, tmp_path: Path) -> None:
    data = invoice_data("en", every_line()[:1])
    plain = pdf.compiled(data, "png", 30)
    path = tmp_path / "logo"
    path.write_bytes(content)
    settings.SELLER_LOGO = str(path)
    assert pdf.compiled(data, "png", 30) != plain
    says(text_of(data), "Northwind Support GmbH")
    # Changed on disk: seen by the next document.
    path.write_bytes(b"no picture at all")
    assert pdf.compiled(data, "png", 30) == plain


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"), (b"", "format"), (b"<svg", "format"), (b"\x89PNG\r\n\x1a\ncut", "decode"),
        (png()[:-20], "decode"), (SVG + b" " * logo.MAX_BYTES, "larger than"), (png(1, 5000), "pixels"),
    ],
)  # fmt: skip
def test_a_logo_that_cannot_be_set_stops_nothing_and_is_logged(
    content: bytes | None, why: str, settings: Any, tmp_path: Path
) -> None:
    path = tmp_path / "logo.png"
    if content is not None:
        path.write_bytes(content)
    settings.SELLER_LOGO = str(path)
    with capture_logs() as logs:
        says(text_of(invoice_data("en", every_line()[:1])), "Invoice HF-000042")
    assert [entry["event"] for entry in logs] == ["seller_logo_unreadable"] and why in logs[0]["error"], logs


# --- From the tables --------------------------------------------------------------------------------------------------


@pytest.fixture
def credited(world: World) -> CreditNote:
    """Three of five outcomes undone after the invoice of March, credited by a note that was issued on 9 April; one was
    confirmed late, on the note.
    """
    acme = world.customer()
    world.contract(acme)
    outcomes = world.outcomes(acme, 5, MARCH_10)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    line = invoice.lines.get()
    note = CreditNote.objects.create(
        customer=acme, contract=invoice.contract, kind="automatic", currency="USD", time_zone="UTC",
        reason="March 2026: 3 outcomes taken back after they were invoiced (3 by hand).",
        terms=[{"period_start": "2026-03-01T00:00:00Z", "period_end": "2026-04-01T00:00:00Z"}],
        subtotal_minor=400, total_minor=400, created_at=APRIL_9, refreshed_at=APRIL_9, parties=documents.parties("de"),
    )  # fmt: skip
    back = InvoiceLine.objects.create(
        credit_note=note, position=1, kind="usage", condition=line.condition, price=line.price,
        contract_version=line.contract_version, period_start=line.period_start, period_end=line.period_end,
        title=f"{line.title}, taken back", sentence="It was resolved.", dimensions=line.dimensions,
        quantity=Decimal(-2), unit_price=2, amount_minor=-400, outcome_count=-2,
        details={"period_amount": "6.00", "billed": "10.00", "of": line.title},
    )  # fmt: skip
    for outcome in outcomes[:3]:
        LineReversal.objects.create(line=back, outcome=outcome)
        Journal.objects.create(
            outcome=outcome, from_state="confirmed", to_state="reversed", cause="person", reason="Doppelt",
            effective_at=datetime(2026, 4, 3, tzinfo=UTC), recorded_at=APRIL_9,
        )  # fmt: skip
    LineOutcome.objects.create(line=back, outcome=world.outcome(acme, MARCH_10))
    CreditAllocation.objects.create(credit_note=note, invoice=invoice, net_minor=400, total_minor=400)
    note.number, note.status, note.issued_at, note.content_hash = "CN-000001", "issued", APRIL_9, "ab" * 32
    note.save()
    CreditApplication.objects.create(credit_note=note, invoice=invoice, amount_minor=300, created_at=APRIL_9)
    return note


def test_a_credit_note_from_the_tables(credited: CreditNote, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(7):
        made = pdf.render_credit_note(credited)
    text = squeezed("".join(pdftext.pages(made)))
    says(text, "Rechnungskorrektur CN-000001", "3 Ergebnisse wurden zurückgenommen.",
         "1 Ergebnis wurde später bestätigt.", "10,00 waren berechnet; der Zeitraum ergibt jetzt 6,00.",
         "T-1, bestätigt am 10. März 2026, aufgehoben am 3. April 2026: Doppelt", "HF-000001",
         "Verrechnet mit HF-000001", "3,00", "Wird mit Ihren nächsten Rechnungen verrechnet", "1,00",
         "ab" * 32)  # fmt: skip
    # What the engine says is said in German, to the reason and to what is meant by a line.
    says(text, "Grund", "März 2026: 3 Ergebnisse zurückgenommen, nachdem sie berechnet waren (3 von Hand).")
    assert "takenback" not in text
    assert pdf.filename(credited) == "CN-000001.pdf"


def test_the_same_note_gives_the_same_bytes(credited: CreditNote) -> None:
    before = pdf.render_credit_note(credited)
    # What happens to an outcome after the note was issued is not its business.
    Journal.objects.create(
        outcome=LineReversal.objects.order_by("outcome").first().outcome, from_state="confirmed", to_state="reversed",
        cause="event", effective_at=datetime(2026, 5, 1, tzinfo=UTC), recorded_at=APRIL_9,
    )  # fmt: skip
    assert pdf.render_credit_note(CreditNote.objects.get()) == before


def test_the_invoice_says_what_credit_came_off_since(credited: CreditNote, django_assert_num_queries: Any) -> None:
    invoice = Invoice.objects.get()
    with django_assert_num_queries(3):
        text = squeezed("".join(pdftext.pages(pdf.render(invoice))))
    says(text, "Total 10.00", "Credit from CN-000001 −3.00", "Amount due US$7.00")
    assert pdf.render(invoice) == pdf.render(invoice)


def test_what_was_set_before_does_not_show() -> None:
    first = pdf.compiled(invoice_data("ja"), "pdf")[0]
    pdf.compiled(credit_note_data("de"), "pdf")
    pdf.fonts.cache_clear()
    assert pdf.compiled(invoice_data("ja"), "pdf")[0] == first
