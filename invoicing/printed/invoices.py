"""What the PDF of an invoice says."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from contracts.domain.periods import Period
from invoicing.issue import parties_of
from invoicing.localised import date_text, period_text
from invoicing.models import CreditApplication, Invoice, InvoiceLine, Status
from invoicing.printed import sheet as sheets
from invoicing.printed.sheet import Counts, Sheet, row

_MARKS = {Status.PAID: "mark.paid", Status.VOID: "mark.void", Status.DRAFT: "mark.draft"}


def credits_of(invoice: Invoice) -> list[dict[str, Any]]:
    """The credit taken off an invoice, as `Invoice.credits` has it: at its issue, and since. One query."""
    if invoice.status == Status.DRAFT:
        return []
    frozen = [one["number"] for one in invoice.credits]
    since = CreditApplication.objects.filter(invoice=invoice, live=True).exclude(credit_note__number__in=frozen)
    return [
        *invoice.credits,
        *(
            {"number": one.credit_note.number, "amount_minor": one.amount_minor}
            for one in since.select_related("credit_note").order_by("id")
        ),
    ]


def data_of(
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    counts: Mapping[UUID, Counts] | None = None,
    credits: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Everything the template prints. ``counts`` are the outcomes that lines take back; ``credits`` default to those
    taken off at issue.
    """
    parties = invoice.parties or parties_of(invoice.customer)
    sheet = Sheet(sheets.locale_of_parties(parties), invoice.currency, invoice.time_zone, counts or {})
    one_off = invoice.kind == Invoice.Kind.ONE_OFF
    title = _title(invoice, sheet)
    taken_off = invoice.credits if credits is None else credits
    return sheets.head(parties, sheet, "party.billed_to") | {
        "title": title,
        "marks": sheets.marks(sheet, parties, _MARKS.get(Status(invoice.status), "")),
        "facts": _facts(invoice, sheet),
        "intro": [{"label": "", "text": text} for text in _intro(invoice, sheet)],
        "columns": sheets.columns(sheet, "table.items" if one_off else "table.achieved"),
        "groups": sheets.groups(lines, sheet, _headings(invoice, lines, sheet)),
        "sums": _sums(invoice, taken_off, sheet),
        "notes": [
            *sheets.tax_notes(invoice.taxes),
            *_terms(invoice, invoice.total_minor - _sum(taken_off), sheet),
        ],
        "tables": [],
        "listing": {"heading": "", "entries": []},
        "meanings": sheets.meanings(lines, sheet),
        "recount": sheet.t("recount.invoice") if invoice.content_hash and not one_off else "",
        "hash": invoice.content_hash,
    }


def _sum(credits: Sequence[Mapping[str, Any]]) -> int:
    return sum(one["amount_minor"] for one in credits)


def _title(invoice: Invoice, sheet: Sheet) -> str:
    name = "title.interim" if invoice.kind == Invoice.Kind.INTERIM else "title.invoice"
    return sheet.t(name, number=invoice.number) if invoice.number else sheet.t(f"{name}_draft")


def _facts(invoice: Invoice, sheet: Sheet) -> list[tuple[str, str]]:
    days = [
        ("fact.invoice_date", invoice.issued_at),
        ("fact.due", invoice.due_at),
        ("fact.paid", invoice.paid_at),
        ("fact.voided", invoice.voided_at),
    ]
    facts = [(sheet.t(key), date_text(at, sheet.locale, sheet.time_zone)) for key, at in days if at is not None]
    if invoice.kind != Invoice.Kind.ONE_OFF:
        period = Period(invoice.period_start, invoice.period_end)
        facts.insert(
            0 if invoice.issued_at is None else 1,
            (sheet.t("fact.period"), period_text(period, sheet.locale, sheet.time_zone)),
        )
    return facts


def _intro(invoice: Invoice, sheet: Sheet) -> list[str]:
    interim = [sheet.t("note.interim")] if invoice.kind == Invoice.Kind.INTERIM else []
    return [*interim, *([invoice.memo] if invoice.memo else [])]


def _headings(invoice: Invoice, lines: Sequence[InvoiceLine], sheet: Sheet) -> dict[Period, str]:
    """The invoice's own period has no heading, others their dates."""
    if invoice.kind == Invoice.Kind.ONE_OFF:
        return {}
    found = {}
    for period in {Period(line.period_start, line.period_end) for line in lines}:
        if period.start != invoice.period_start:
            key = "group.late" if period.start < invoice.period_start else "group.advance"
            found[period] = sheet.t(key, period=period_text(period, sheet.locale, sheet.time_zone))
    return found


def _sums(invoice: Invoice, credits: Sequence[Mapping[str, Any]], sheet: Sheet) -> list[dict[str, str]]:
    total, paid = invoice.total_minor, invoice.paid_at is not None
    due = total - _sum(credits)
    # What is left to pay stands out; where nothing came off, that is the total.
    last = bool(credits) or paid
    rows = sheets.sums(
        invoice.taxes,
        invoice.subtotal_minor,
        row(sheet.t("sum.total"), sheet.amount(total))
        if last
        else row(sheet.t("sum.total"), sheet.money(total), "strong"),
        sheet,
    )
    rows += [row(sheet.t("sum.credit", number=one["number"]), sheet.amount(-one["amount_minor"])) for one in credits]
    if invoice.paid_at is not None:
        if due:
            day = date_text(invoice.paid_at, sheet.locale, sheet.time_zone)
            rows.append(row(sheet.t("sum.paid", date=day), sheet.amount(-due)))
        due = 0
    if last and invoice.status != Status.VOID:
        rows.append(row(sheet.t("sum.due"), sheet.money(due), "strong"))
    return rows


def _terms(invoice: Invoice, due_minor: int, sheet: Sheet) -> list[str]:
    if invoice.status not in (Status.ISSUED, Status.UNCOLLECTIBLE) or invoice.due_at is None or invoice.number is None:
        return []
    if due_minor <= 0:
        return [sheet.t("terms.nothing")]
    date = date_text(invoice.due_at, sheet.locale, sheet.time_zone)
    if invoice.net_days == 0:
        return [sheet.t("terms.on_receipt", date=date, number=invoice.number)]
    return [sheet.t("terms.days", count=invoice.net_days, date=date, number=invoice.number)]
