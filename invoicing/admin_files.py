"""Files of invoices and credit notes in the admin: PDF, lines as CSV, evidence. And what a draft is looked at for: how
it differs from the invoice before.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access import exporting
from invoicing import csv_export, pdf, texts
from invoicing.domain import lifecycle
from invoicing.evidence import api as evidence
from invoicing.evidence import pack
from invoicing.models import CreditNote, Invoice, InvoiceLine

Document = Invoice | CreditNote
_MOST_LINES: Final = 200
_HEADS: Final = ("Line", "Quantity before", "Quantity", "Amount before", "Amount", "Change")


class WithFiles:
    """For the admin of invoices or credit notes: downloads, for who may see the document. Put it first."""

    model: Any
    admin_site: Any
    has_view_permission: Callable[..., bool]

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, f"invoicing_{self.model._meta.model_name}"
        return [
            path("<uuid:pk>/pdf/", wrap(self.pdf_view), name=f"{name}_pdf"),
            path("<uuid:pk>/csv/", wrap(self.csv_view), name=f"{name}_csv"),
            path("<uuid:pk>/evidence/", wrap(self.evidence_view), name=f"{name}_evidence"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def files(self, document: Document) -> SafeString:
        """Links to what there is of it."""
        kinds = [("PDF", "pdf"), ("Lines as CSV", "csv")]
        kinds += [("Evidence pack", "evidence")] if document.content_hash else []
        name = f"invoicing_{document._meta.model_name}"
        links = ((reverse(f"admin:{name}_{kind}", args=[document.pk]), text) for text, kind in kinds)
        return format_html_join(" · ", '<a class="underline" href="{}">{}</a>', links)

    files.short_description = "Files"  # type: ignore[attr-defined]

    def pdf_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        document = self._document(request, pk)
        drawn = pdf.render(document) if isinstance(document, Invoice) else pdf.render_credit_note(document)
        headers = {"Content-Disposition": f'inline; filename="{pdf.filename(document)}"'}
        return HttpResponse(drawn, content_type="application/pdf", headers=headers)

    def csv_view(self, request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
        document = self._document(request, pk)
        return _attached(
            _with_mark(csv_export.csv_of(document)),
            "text/csv; charset=utf-8; header=present",
            csv_export.filename(document),
        )

    def evidence_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        document = self._document(request, pk)
        if not document.content_hash:
            messages.error(request, "It is a draft: issue it, then there is something to prove.")
            return redirect(f"admin:invoicing_{document._meta.model_name}_change", document.pk)
        lines = evidence.pieces(pack.pack(document, now=timezone.now()))
        return _attached(lines, evidence.MEDIA_TYPE, pack.filename(document))

    def _document(self, request: HttpRequest, pk: UUID) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.model.objects.select_related("customer", "contract").filter(pk=pk).first()
        if found is None:
            raise Http404
        return found


def _attached(parts: Iterable[str] | Iterable[bytes], media_type: str, name: str) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(parts, content_type=media_type, headers=headers)


def _with_mark(lines: Iterator[str]) -> Iterator[str]:
    yield exporting.BOM
    yield from lines


# --- Review of a draft ------------------------------------------------------------------------------------------------


def review(invoice: Invoice) -> SafeString | str:
    """What a draft has beside the contract's invoice before it, line by line: so that what is odd is seen before it is
    issued. Two queries; of very long invoices the totals only.
    """
    before = (
        Invoice.objects.filter(contract=invoice.contract_id, kind=Invoice.Kind.PERIOD)
        .filter(period_start__lt=invoice.period_start)
        .exclude(status=lifecycle.VOID)
        .order_by("-period_start", "-ordinal")
        .first()
        if invoice.contract_id
        else None
    )
    if before is None:
        return "There is no invoice before it to hold it against."
    head = format_html(
        '<p>Beside <a class="underline" href="{}">{}</a> of {}: {}, and {} now ({}).</p>',
        reverse("admin:invoicing_invoice_change", args=[before.pk]),
        before,
        texts.span(texts.Period(before.period_start, before.period_end), before.time_zone),
        texts.amount(before.total_minor, before.currency),
        texts.amount(invoice.total_minor, invoice.currency),
        _change(before.total_minor, invoice.total_minor),
    )
    found = InvoiceLine.objects.filter(invoice__in=[before.pk, invoice.pk]).order_by("position")[: _MOST_LINES + 1]
    lines = list(found)
    if len(lines) > _MOST_LINES:
        return head
    sides: dict[str, list[list[InvoiceLine]]] = {}
    for line in lines:
        sides.setdefault(_what(line), [[], []])[line.invoice_id == invoice.pk].append(line)
    rows = format_html_join(
        "",
        "<tr>" + '<td class="pr-4 py-1 align-top">{}</td>' * 6 + "</tr>",
        (
            (
                what,
                _quantity(old),
                _quantity(new),
                texts.amount(_sum(old), invoice.currency),
                texts.amount(_sum(new), invoice.currency),
                "new" if not old else "gone" if not new else _change(_sum(old), _sum(new)),
            )
            for what, (old, new) in sides.items()
        ),
    )
    return format_html(
        '{}<div class="overflow-x-auto"><table class="text-left w-full"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        head,
        format_html_join("", '<th class="pr-4">{}</th>', ((one,) for one in _HEADS)),
        rows,
    )


def _what(line: InvoiceLine) -> str:
    values = ", ".join(f"{name}: {value}" for name, value in sorted(line.dimensions.items()))
    return f"{line.title} ({values})" if values else line.title


def _sum(lines: list[InvoiceLine]) -> int:
    return sum(line.amount_minor for line in lines)


def _quantity(lines: list[InvoiceLine]) -> str:
    known = [line.quantity for line in lines if line.quantity is not None]
    return texts.grouped(texts.plain(sum(known, Decimal(0)))) if known else "–"


def _change(before: int, now: int) -> str:
    if before == now:
        return "the same"
    if before <= 0:
        return "–"
    return f"{(200 * (now - before) + before) // (2 * before):+,} %"
