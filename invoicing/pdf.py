"""Invoices and credit notes as PDFs, made in process by typst.

The template is a file of ours; everything a document says goes into it as JSON strings, which typst never reads as
markup. The same document in the same state gives the same bytes, on every machine: only the fonts of `invoicing/fonts`
and typst's own are used. A draft can be rendered too and says so.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import typst
from django.conf import settings
from django.db.models import Count

from access import ids
from invoicing import logo
from invoicing.models import CreditNote, Invoice, InvoiceLine, LineOutcome, LineReversal
from invoicing.printed import credit_notes, invoices
from invoicing.printed.sheet import Counts, settable
from invoicing.refusals import public_id

TEMPLATE = Path(__file__).parent / "templates_typst" / "document.typ"
FONTS = Path(__file__).parent / "fonts"


def render(invoice: Invoice) -> bytes:
    """The PDF of an invoice. Three queries beside what the caller has read."""
    return compiled(_of_invoice(invoice), "pdf")[0]


def render_credit_note(note: CreditNote) -> bytes:
    """The PDF of a credit note. Seven queries beside what the caller has read."""
    return compiled(_of_credit_note(note), "pdf")[0]


def render_png(document: Invoice | CreditNote, *, ppi: float = 96.0) -> list[bytes]:
    """The pages as images, for people who check the layout."""
    data = _of_invoice(document) if isinstance(document, Invoice) else _of_credit_note(document)
    return compiled(data, "png", ppi)


def filename(document: Invoice | CreditNote) -> str:
    """A name for the file: the number, or the public id of a draft."""
    if document.number:
        return f"{document.number}.pdf"
    return f"{public_id(document) if isinstance(document, Invoice) else ids.encode('cn', document.id)}.pdf"


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


def _of_invoice(invoice: Invoice) -> dict[str, Any]:
    lines = list(invoice.lines.order_by("position"))
    taken_back = _per_line(LineReversal, invoice=invoice)
    counts = {line: Counts(count) for line, count in taken_back.items()}
    return invoices.data_of(invoice, lines, counts, invoices.credits_of(invoice))


def _of_credit_note(note: CreditNote) -> dict[str, Any]:
    lines = list(note.lines.order_by("position"))
    taken_back, late = _per_line(LineReversal, credit_note=note), _per_line(LineOutcome, credit_note=note)
    counts = {line: Counts(taken_back.get(line, 0), late.get(line, 0)) for line in taken_back | late}
    return credit_notes.data_of(
        note,
        lines,
        counts,
        credit_notes.undone_of(note),
        note.allocations.select_related("invoice").order_by("id"),
        list(note.applications.filter(live=True).select_related("invoice").order_by("id")),
    )


def _per_line(link: type[LineOutcome] | type[LineReversal], **document: Any) -> dict[UUID, int]:
    """How many outcomes each line of a document has; also what a void invoice has let go."""
    of_document = InvoiceLine.objects.filter(**document)
    return dict(link.objects.filter(line__in=of_document).values_list("line").annotate(Count("id")))


@cache
def _template() -> bytes:
    return TEMPLATE.read_bytes()


@cache
def fonts() -> typst.Fonts:
    """Ours and typst's own; never those of the machine."""
    return typst.Fonts(include_system_fonts=False, font_paths=[FONTS])


def compiled(data: Mapping[str, Any], kind: Literal["pdf", "png"], ppi: float | None = None) -> list[bytes]:
    """A document set from its data: one PDF, or an image of each page."""
    shown = settable(data) | {"hash": data["hash"]}
    pages: bytes | list[bytes] = typst.compile(
        _template(),
        format=kind,
        ppi=ppi,
        font_paths=fonts(),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(shown, ensure_ascii=False), "logo": logo.of_seller()},
    )
    return pages if isinstance(pages, list) else [pages]
