"""The lines of an invoice or credit note as CSV (RFC 4180), for spreadsheets and for other programs.

One row for each line and for each tax. ``amount`` is what a row adds to the document's total, so the column sums to it:
a tax that prices contain adds nothing, and says in ``tax`` what it comes to. On a credit note figures are what goes
back. Figures and instants are written as the API writes them, whatever the reader's language; titles are those of the
document.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from access import ids
from access.exporting import lines, text_cell
from access.times import format_rfc3339
from contracts.domain import money
from invoicing import texts
from invoicing.models import CreditNote, Invoice, InvoiceLine
from invoicing.refusals import INVOICE_PREFIX, LINE_PREFIX, NOTE_PREFIX

COLUMNS: Final = (
    "document", "number", "line", "kind", "period_start", "period_end", "title", "condition", "dimensions",
    "outcomes", "quantity", "unit_price", "amount", "currency", "taxable", "tax",
)  # fmt: skip


def csv_of(document: Invoice | CreditNote) -> Iterator[str]:
    """The rows as text, with their line ends, one after the other: two queries, in flat memory.

    Without a byte order mark; whoever hands the file to a person puts one before it.
    """
    yield from lines(_rows(document))


def _rows(document: Invoice | CreditNote) -> Iterator[Sequence[str]]:
    yield COLUMNS
    common = _common(document)
    for line in document.lines.select_related("condition").order_by("position").iterator(chunk_size=500):
        yield _ordered(common | _line(line, document.currency))
    for tax in document.taxes:
        yield _ordered(common | _tax(tax, document.currency))


def filename(document: Invoice | CreditNote) -> str:
    """A name for the file: the number, or the public id of a draft."""
    return f"{document.number or _public_id(document)}.csv"


def _public_id(document: Invoice | CreditNote) -> str:
    return ids.encode(INVOICE_PREFIX if isinstance(document, Invoice) else NOTE_PREFIX, document.id)


def _common(document: Invoice | CreditNote) -> dict[str, str]:
    return {
        "document": _public_id(document),
        "number": text_cell(document.number or ""),
        "currency": document.currency,
    }


def _ordered(row: dict[str, str]) -> list[str]:
    return [row.get(column, "") for column in COLUMNS]


def _line(line: InvoiceLine, currency: str) -> dict[str, str]:
    back = line.credit_note_id is not None
    condition = "" if line.condition is None else line.condition.slug
    return {
        "line": ids.encode(LINE_PREFIX, line.id),
        "kind": line.kind,
        "period_start": format_rfc3339(line.period_start),
        "period_end": format_rfc3339(line.period_end),
        "title": text_cell(line.title),
        "condition": text_cell(condition),
        "dimensions": text_cell("; ".join(f"{name}={value}" for name, value in sorted(line.dimensions.items()))),
        "outcomes": str(-line.outcome_count if back else line.outcome_count),
        "quantity": ""
        if line.quantity is None
        else texts.plain(line.quantity.copy_negate() if back else line.quantity),
        "unit_price": "" if line.unit_price is None else texts.unit_price(line.unit_price, currency),
        "amount": money.major_text(-line.amount_minor if back else line.amount_minor, currency),
    }


def _tax(tax: dict[str, Any], currency: str) -> dict[str, str]:
    amount = money.major_text(tax["amount_minor"], currency)
    return {
        "kind": "tax",
        "title": text_cell(f"{tax['name']} {tax['percent']} %"),
        "amount": money.major_text(0, currency) if tax["inclusive"] else amount,
        "taxable": money.major_text(tax["taxable_minor"], currency),
        "tax": amount,
    }
