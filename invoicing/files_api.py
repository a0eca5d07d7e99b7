"""Invoices and credit notes as files: the PDF, and the lines as CSV."""

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from access.views import FileView
from invoicing import api, credit_note_api, csv_export, pdf
from invoicing.models import CreditNote, Invoice


def _pdf(summary: str) -> Any:
    answer = {(200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY)}
    return extend_schema(summary=summary, responses=answer, tags=["files"])


def _csv(summary: str) -> Any:
    return extend_schema(
        summary=summary, responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)}, tags=["files"]
    )


def _pdf_answer(document: Invoice | CreditNote, content: bytes) -> HttpResponse:
    return HttpResponse(
        content,
        content_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{pdf.filename(document)}"'},
    )


def _csv_answer(document: Invoice | CreditNote) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        csv_export.csv_of(document),
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": f'attachment; filename="{csv_export.filename(document)}"'},
    )


class InvoicePdf(FileView):
    @_pdf("Download an invoice as PDF")
    def get(self, request: Request, id: str) -> HttpResponse:
        """The invoice as its customer would receive it. A draft says that it is one."""
        invoice = api.found(id)
        return _pdf_answer(invoice, pdf.render(invoice))


class InvoiceCsv(FileView):
    @_csv("Download the lines of an invoice as CSV")
    def get(self, request: Request, id: str) -> StreamingHttpResponse:
        """One row for each line and each tax, RFC 4180, UTF-8, with a head. The column `amount` sums to the total."""
        return _csv_answer(api.found(id))


class CreditNotePdf(FileView):
    @_pdf("Download a credit note as PDF")
    def get(self, request: Request, id: str) -> HttpResponse:
        """The credit note as its customer would receive it. A draft says that it is one."""
        note = credit_note_api.found(id)
        return _pdf_answer(note, pdf.render_credit_note(note))


class CreditNoteCsv(FileView):
    @_csv("Download the lines of a credit note as CSV")
    def get(self, request: Request, id: str) -> StreamingHttpResponse:
        """As of an invoice; amounts are what is given back."""
        return _csv_answer(credit_note_api.found(id))
