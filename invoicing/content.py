"""What is frozen when an invoice or a credit note is issued, as one canonical JSON text, and its SHA-256.

The text holds the terms used, every line with its arithmetic, and digests of the outcomes that each line bills and
takes back; so a change of any of them, even past the database's guards, is found by comparing `content_hash` with the
hash stored at issue. A document keeps the format it was issued in (`models.CONTENT_FORMAT`).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from access.canonical import canonical
from access.times import format_rfc3339
from invoicing import texts
from invoicing.models import CreditAllocation, CreditNote, Invoice, InvoiceLine

# Every outcome of the line in order of its id, also those a void invoice has let go.
_DIGESTS = """
SELECT b.line_id, encode(sha256(convert_to(string_agg(b.outcome_id::text, ',' ORDER BY b.outcome_id), 'UTF8')), 'hex')
FROM {table} b JOIN invoicing_invoiceline l ON l.id = b.line_id
WHERE l.{document}_id = ANY(%s)
GROUP BY b.line_id
"""


@dataclass(frozen=True)
class _Digests:
    """By line, over the outcomes that it bills and over those that it takes back."""

    billed: dict[UUID, str]
    taken_back: dict[UUID, str]


def content_of(document: Invoice | CreditNote) -> dict[str, Any]:
    """The frozen content of a document that has its number, dates and parties."""
    lines = document.lines.order_by("position")
    if isinstance(document, Invoice):
        return _invoice(document, lines, _digests("invoice", [document.id]))
    allocations = document.allocations.order_by("id")
    return _credit_note(document, lines, allocations, _digests("credit_note", [document.id]))


def _digests(document: str, found: Sequence[UUID]) -> _Digests:
    digests = []
    with connection.cursor() as cursor:
        for table in ("invoicing_lineoutcome", "invoicing_linereversal"):
            cursor.execute(_DIGESTS.format(table=table, document=document), [list(found)])
            digests.append(dict(cursor.fetchall()))
    return _Digests(*digests)


def _invoice(invoice: Invoice, lines: Iterable[InvoiceLine], digests: _Digests) -> dict[str, Any]:
    if invoice.issued_at is None or invoice.due_at is None:
        raise ValueError("a draft has no frozen content")
    content = {
        "format": invoice.content_format,
        "id": str(invoice.id),
        "number": invoice.number,
        "parties": invoice.parties,
        "customer": invoice.customer_id,
        "contract": _text(invoice.contract_id),
        "currency": invoice.currency,
        "time_zone": invoice.time_zone,
        "period_start": format_rfc3339(invoice.period_start),
        "period_end": format_rfc3339(invoice.period_end),
        "ordinal": invoice.ordinal,
        "net_days": invoice.net_days,
        "issued_at": format_rfc3339(invoice.issued_at),
        "due_at": format_rfc3339(invoice.due_at),
        "total_minor": invoice.total_minor,
        "lines": [_line(line, digests, invoice.content_format) for line in lines],
    }
    if invoice.content_format >= 2:
        content |= {"terms": invoice.terms}
    if invoice.content_format >= 3:
        content |= {
            "kind": invoice.kind,
            "memo": invoice.memo,
            "subtotal_minor": invoice.subtotal_minor,
            "tax_minor": invoice.tax_minor,
            "taxes": invoice.taxes,
            "credits": invoice.credits,
        }
    return content


def _credit_note(
    note: CreditNote, lines: Iterable[InvoiceLine], allocations: Iterable[CreditAllocation], digests: _Digests
) -> dict[str, Any]:
    if note.issued_at is None:
        raise ValueError("a draft has no frozen content")
    return {
        "format": note.content_format,
        "document": "credit_note",
        "id": str(note.id),
        "number": note.number,
        "kind": note.kind,
        "parties": note.parties,
        "customer": note.customer_id,
        "contract": _text(note.contract_id),
        "currency": note.currency,
        "time_zone": note.time_zone,
        "reason": note.reason,
        "destination": note.destination,
        "created_by": note.created_by,
        "issued_at": format_rfc3339(note.issued_at),
        "subtotal_minor": note.subtotal_minor,
        "tax_minor": note.tax_minor,
        "total_minor": note.total_minor,
        "taxes": note.taxes,
        "terms": note.terms,
        "lines": [_line(line, digests, note.content_format) for line in lines],
        "corrects": [
            {
                "invoice": str(one.invoice_id),
                "net_minor": one.net_minor,
                "tax_minor": one.tax_minor,
                "total_minor": one.total_minor,
            }
            for one in allocations
        ],
    }


def _line(line: InvoiceLine, digests: _Digests, content_format: int) -> dict[str, Any]:
    content = {
        "id": str(line.id),
        "position": line.position,
        "condition": line.condition_id,
        "price": line.price_id,
        "contract_version": line.contract_version_id,
        "period_start": format_rfc3339(line.period_start),
        "period_end": format_rfc3339(line.period_end),
        "title": line.title,
        "sentence": line.sentence,
        "dimensions": line.dimensions,
        "quantity": _plain(line.quantity),
        "unit_price": _plain(line.unit_price),
        "amount_minor": line.amount_minor,
        "steps": line.steps,
        "outcome_count": line.outcome_count,
        "voided_count": line.voided_count,
        "outcomes_sha256": digests.billed.get(line.id),
    }
    if content_format >= 2:
        content |= {"kind": line.kind, "details": line.details}
    if content_format >= 3:
        content |= {"taken_back_sha256": digests.taken_back.get(line.id)}
    return content


def _plain(number: Decimal | None) -> str | None:
    return None if number is None else texts.plain(number)


def _text(id: UUID | None) -> str | None:
    return None if id is None else str(id)


def content_hash(document: Invoice | CreditNote) -> str:
    """SHA-256, as 64 hexadecimal digits, over the canonical JSON of the frozen content."""
    return _hash(content_of(document))


def content_hashes(invoices: Sequence[Invoice]) -> dict[UUID, str]:
    """The `content_hash` of each of these invoices, in three queries."""
    found = [invoice.id for invoice in invoices]
    digests = _digests("invoice", found)
    lines: dict[UUID | None, list[InvoiceLine]] = defaultdict(list)
    for line in InvoiceLine.objects.filter(invoice__in=found).order_by("invoice", "position"):
        lines[line.invoice_id].append(line)
    return {invoice.id: _hash(_invoice(invoice, lines[invoice.id], digests)) for invoice in invoices}


def note_hashes(notes: Sequence[CreditNote]) -> dict[UUID, str]:
    """The `content_hash` of each of these credit notes, in four queries."""
    found = [note.id for note in notes]
    digests = _digests("credit_note", found)
    lines: dict[UUID | None, list[InvoiceLine]] = defaultdict(list)
    for line in InvoiceLine.objects.filter(credit_note__in=found).order_by("credit_note", "position"):
        lines[line.credit_note_id].append(line)
    allocations: dict[UUID, list[CreditAllocation]] = defaultdict(list)
    for one in CreditAllocation.objects.filter(credit_note__in=found).order_by("id"):
        allocations[one.credit_note_id].append(one)
    return {note.id: _hash(_credit_note(note, lines[note.id], allocations[note.id], digests)) for note in notes}


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(content).encode()).hexdigest()
