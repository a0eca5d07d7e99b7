"""What the PDF of a credit note says: what goes back and why, which invoices that corrects, where the credit goes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from contracts.domain.periods import Period
from invoicing.issue import parties_of
from invoicing.localised import date_text, period_text
from invoicing.localised.reasons import reason_of
from invoicing.models import CreditAllocation, CreditApplication, CreditNote, InvoiceLine, LineReversal
from invoicing.printed import sheet as sheets
from invoicing.printed.sheet import Counts, Sheet, row
from outcomes.models import Journal, State

LISTED = 100
"""So many outcomes are listed one by one; of further ones the number is told."""


@dataclass(frozen=True)
class Undone:
    """An outcome that was taken back: its subject, when it settled, and what undid it, if that is known."""

    subject: str
    settled_at: datetime | None
    entry: Journal | None


def undone_of(note: CreditNote) -> list[Undone]:
    """The first `LISTED` outcomes that a note takes back, in the order of its lines. Two queries.

    What undid an outcome is what its journal said last before the note was issued.
    """
    rows = list(_taken_back(note).order_by("line__position", "outcome_id")[:LISTED])
    left = Journal.objects.filter(outcome__in=[one.outcome_id for one in rows], from_state=State.CONFIRMED)
    if note.issued_at is not None:
        left = left.filter(effective_at__lte=note.issued_at)
    why = {entry.outcome_id: entry for entry in left.order_by("id")}
    return [Undone(one.outcome.subject.key, one.outcome.settled_at, why.get(one.outcome_id)) for one in rows]


def _taken_back(note: CreditNote) -> QuerySet[LineReversal]:
    return LineReversal.objects.filter(line__credit_note=note).select_related("outcome__subject")


def _reason(note: CreditNote, sheet: Sheet) -> list[dict[str, str]]:
    """Why, in the document's language where it is the engine that says it."""
    text = reason_of(note, sheet.locale)
    return [{"label": sheet.t("credit.reason"), "text": text}] if text else []


def data_of(
    note: CreditNote,
    lines: Sequence[InvoiceLine],
    counts: dict[Any, Counts],
    undone: Sequence[Undone],
    allocations: Iterable[CreditAllocation],
    applications: Sequence[CreditApplication],
) -> dict[str, Any]:
    """Everything the template prints."""
    parties = note.parties or parties_of(note.customer)
    sheet = Sheet(sheets.locale_of_parties(parties), note.currency, note.time_zone, counts)
    title = sheet.t("title.credit_note", number=note.number) if note.number else sheet.t("title.credit_note_draft")
    return sheets.head(parties, sheet, "party.credited_to") | {
        "title": title,
        "marks": sheets.marks(sheet, parties, "mark.draft" if note.issued_at is None else ""),
        "facts": _facts(note, sheet),
        "intro": _reason(note, sheet),
        "columns": sheets.columns(sheet, "table.credited"),
        "groups": sheets.groups(lines, sheet, _headings(note, lines, sheet)),
        "sums": sheets.sums(
            note.taxes,
            note.subtotal_minor,
            row(sheet.t("sum.credited"), sheet.money(note.total_minor), "strong"),
            sheet,
        ),
        "notes": sheets.tax_notes(note.taxes),
        "tables": [_corrects(list(allocations), sheet), _where(note, applications, sheet)],
        "listing": {
            "heading": sheet.t("credit.outcomes"),
            "entries": _listing(undone, sum(one.taken_back for one in counts.values()), sheet),
        },
        "meanings": sheets.meanings(lines, sheet),
        "recount": sheet.t("recount.credit_note")
        if note.kind == CreditNote.Kind.AUTOMATIC and note.content_hash
        else "",
        "hash": note.content_hash,
    }


def _facts(note: CreditNote, sheet: Sheet) -> list[tuple[str, str]]:
    if note.issued_at is None:
        return []
    return [(sheet.t("fact.note_date"), date_text(note.issued_at, sheet.locale, sheet.time_zone))]


def _headings(note: CreditNote, lines: Iterable[InvoiceLine], sheet: Sheet) -> dict[Period, str]:
    """A note has no period of its own, so each is named; goodwill is of none."""
    if note.kind == CreditNote.Kind.GOODWILL:
        return {}
    return {
        period: sheet.t("group.period", period=period_text(period, sheet.locale, sheet.time_zone))
        for period in {Period(line.period_start, line.period_end) for line in lines}
    }


def _corrects(allocations: Sequence[CreditAllocation], sheet: Sheet) -> dict[str, Any]:
    taxed = any(one.tax_minor for one in allocations)
    figures = ["credit.of_net", "credit.of_tax", "credit.of_total"] if taxed else ["credit.of_total"]
    rows = []
    for one in allocations:
        invoice = one.invoice
        day = "" if invoice.issued_at is None else date_text(invoice.issued_at, sheet.locale, invoice.time_zone)
        amounts = [one.net_minor, one.tax_minor, one.total_minor] if taxed else [one.total_minor]
        rows.append([invoice.number or "", day, *(sheet.amount(minor) for minor in amounts)])
    head = [sheet.t("credit.invoice"), sheet.t("fact.invoice_date"), *(sheet.t(key) for key in figures)]
    return {"heading": sheet.t("credit.corrects"), "columns": head, "texts": 2, "rows": rows}


def _where(note: CreditNote, applications: Sequence[CreditApplication], sheet: Sheet) -> dict[str, Any]:
    """Where the credit went so far, and where the rest goes."""
    refund = note.destination == CreditNote.Destination.REFUND
    rows = []
    for one in applications:
        to = "credit.refunded" if one.invoice is None else "credit.taken_off"
        number = "" if one.invoice is None else one.invoice.number or ""
        day = date_text(one.created_at, sheet.locale, sheet.time_zone)
        rows.append([sheet.t(to, number=number), day, sheet.amount(one.amount_minor)])
    left = note.total_minor - sum(one.amount_minor for one in applications)
    if note.issued_at is None:
        rows.append([sheet.t("credit.to_refund" if refund else "credit.to_open"), "", sheet.amount(note.total_minor)])
    elif left:
        rows.append([sheet.t("credit.left_refund" if refund else "credit.left_next"), "", sheet.amount(left)])
    return {"heading": sheet.t("credit.where"), "columns": [], "texts": 2, "rows": rows}


def _listing(undone: Sequence[Undone], count: int, sheet: Sheet) -> list[str]:
    entries = [_entry(one, sheet) for one in undone]
    more = count - len(undone)
    return [*entries, sheet.t("credit.more", count=more)] if more > 0 else entries


def _entry(one: Undone, sheet: Sheet) -> str:
    def day(instant: datetime) -> str:
        return date_text(instant, sheet.locale, sheet.time_zone)

    if one.settled_at is None or one.entry is None:
        return one.subject
    why = {
        Journal.Cause.EVENT: "credit.by_event",
        Journal.Cause.LATE: "credit.by_late",
        Journal.Cause.CLOCK: "credit.by_clock",
    }.get(Journal.Cause(one.entry.cause))
    said = sheet.t(
        "credit.outcome", subject=one.subject, settled=day(one.settled_at), undone=day(one.entry.effective_at)
    )
    return f"{said}{sheet.t('colon')}{one.entry.reason if why is None else sheet.t(why)}"
