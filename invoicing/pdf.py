"""An invoice as a PDF, made in process by typst.

The template is a file of ours; everything an invoice says goes into it as JSON strings, which typst never reads as
markup. The same invoice in the same state gives the same bytes. A draft can be rendered too and says so.
"""

import json
import os
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import typst
from django.conf import settings

from contracts.domain import money
from contracts.domain.periods import Period
from invoicing import texts
from invoicing.issue import parties_of
from invoicing.models import Invoice, InvoiceLine, Status
from invoicing.refusals import public_id

TEMPLATE = Path(__file__).parent / "templates_typst" / "invoice.typ"


def render(invoice: Invoice) -> bytes:
    """The PDF of an invoice with its lines. Two queries beside what the caller has read."""
    return _compile(data_of(invoice, list(invoice.lines.order_by("position"))), "pdf")[0]


def render_png(invoice: Invoice, *, ppi: float = 96.0) -> list[bytes]:
    """The pages as images, for people who check the layout."""
    return _compile(data_of(invoice, list(invoice.lines.order_by("position"))), "png", ppi)


def filename(invoice: Invoice) -> str:
    """A name for the file: the number, or the public id of a draft."""
    return f"{invoice.number or public_id(invoice)}.pdf"


def store(invoice_id: UUID, directory: Path | None = None) -> Path:
    """Write the PDF into ``directory`` (default: ``invoices`` under HOLDFAST_HOME) and answer its path.

    Written aside and renamed, so that a reader never sees half a file.
    """
    invoice = Invoice.objects.select_related("customer").get(pk=invoice_id)
    folder = settings.HOME / "invoices" if directory is None else directory
    folder.mkdir(parents=True, exist_ok=True)
    path: Path = folder / filename(invoice)
    aside = path.with_suffix(f".{os.getpid()}.part")
    aside.write_bytes(render(invoice))
    aside.replace(path)
    return path


def data_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> dict[str, Any]:
    """Everything the template prints, as text ready to be set."""
    parties = invoice.parties or parties_of(invoice.customer)
    seller, customer = parties["seller"], parties["customer"]
    heading = f"Invoice {invoice.number}" if invoice.number else "Draft invoice"
    return {
        "title": heading,
        "heading": heading,
        "mark": {Status.PAID: "Paid", Status.VOID: "Void", Status.DRAFT: "Draft"}.get(Status(invoice.status), ""),
        "footer": " · ".join(filter(None, [seller["name"], seller.get("email", ""), seller.get("tax_id", "")])),
        "currency": invoice.currency,
        "seller": {
            "name": seller["name"],
            "details": _joined([seller.get("address", ""), seller.get("email", ""), seller.get("tax_id", "")]),
        },
        "customer": {
            "name": customer["name"] or customer["key"],
            "details": _joined(
                [customer["key"] if customer["key"] != customer["name"] else "", customer.get("email", "")]
            ),
        },
        "facts": _facts(invoice),
        "groups": _groups(invoice, lines),
        "total": texts.amount(invoice.total_minor, invoice.currency),
        "terms": _terms(invoice),
        "meanings": _meanings(lines),
    }


def _facts(invoice: Invoice) -> list[tuple[str, str]]:
    zone = invoice.time_zone
    facts = [("Period", texts.span(Period(invoice.period_start, invoice.period_end), zone))]
    if invoice.issued_at is not None and invoice.due_at is not None:
        facts = [
            ("Invoice date", texts.day(invoice.issued_at, zone)),
            *facts,
            ("Due date", texts.day(invoice.due_at, zone)),
        ]
    if invoice.paid_at is not None:
        facts.append(("Paid", texts.day(invoice.paid_at, zone)))
    if invoice.voided_at is not None:
        facts.append(("Voided", texts.day(invoice.voided_at, zone)))
    return facts


def _terms(invoice: Invoice) -> str:
    if invoice.status not in (Status.ISSUED, Status.UNCOLLECTIBLE) or invoice.due_at is None:
        return ""
    days = "on receipt" if invoice.net_days == 0 else f"within {invoice.net_days} days"
    if invoice.net_days == 1:
        days = "within 1 day"
    due = texts.day(invoice.due_at, invoice.time_zone)
    return f"Payable {days}, by {due}. Please quote {invoice.number} with your payment."


def _groups(invoice: Invoice, lines: Iterable[InvoiceLine]) -> list[dict[str, Any]]:
    """Lines by period: the invoice's own without a heading, earlier ones under their dates."""
    groups = []
    for (start, end), members in groupby(lines, key=lambda line: (line.period_start, line.period_end)):
        own = start == invoice.period_start
        span = texts.span(Period(start, end), invoice.time_zone)
        groups.append(
            {
                "heading": "" if own else f"Confirmed later, from {span}",
                "lines": [_line(line, invoice.currency) for line in members],
            }
        )
    return groups


def _line(line: InvoiceLine, currency: str) -> dict[str, str]:
    note = ""
    if line.voided_count:
        what = "1 more was" if line.voided_count == 1 else f"{texts.grouped(str(line.voided_count))} more were"
        note = f"{what} taken back inside the settlement window and not charged."
    return {
        "title": line.title,
        "detail": " · ".join(f"{name}: {value}" for name, value in sorted(line.dimensions.items())),
        "note": note,
        "quantity": texts.grouped(texts.plain(line.quantity)),
        "unit_price": texts.grouped(texts.unit_price(line.unit_price, currency)),
        "amount": texts.grouped(money.major_text(line.amount_minor, currency)),
    }


def _meanings(lines: Iterable[InvoiceLine]) -> list[dict[str, str]]:
    """Each sentence once, in order of appearance, however many lines it stands behind."""
    seen = dict.fromkeys((line.title, line.sentence) for line in lines)
    return [{"title": title, "sentence": sentence} for title, sentence in seen]


def _joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


@cache
def _template() -> bytes:
    return TEMPLATE.read_bytes()


def _compile(data: dict[str, Any], kind: Literal["pdf", "png"], ppi: float | None = None) -> list[bytes]:
    # Only typst's own fonts, so that an invoice looks the same on every machine.
    pages: bytes | list[bytes] = typst.compile(
        _template(),
        format=kind,
        ppi=ppi,
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
    )
    return pages if isinstance(pages, list) else [pages]
