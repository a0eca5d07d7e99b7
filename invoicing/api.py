"""``/v1/invoices``: reads, the PDF, the preview, and what a person may do with an invoice."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.openapi import list_of
from access.pagination import fetch, page_response, paginate, read_page_request
from access.serializers import ErrorEnvelopeSerializer, NoBody
from access.views import ApiView, path_id
from invoicing import queries
from invoicing.issue import issue
from invoicing.models import Invoice, InvoiceLine
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.preview import preview, preview_json
from invoicing.refusals import INVOICE_PREFIX, LINE_PREFIX, not_found
from invoicing.serializers import (
    InvoiceFilter,
    InvoiceSerializer,
    LineOutcomeSerializer,
    PreviewQuery,
    PreviewSerializer,
)
from invoicing.void import void

# One run makes the invoices of several periods in one instant.
NEWEST_FIRST = ("-created_at", "-period_start", "-id")


def found(id: str) -> Invoice:
    invoice_id = path_id(INVOICE_PREFIX, id)
    invoice = queries.invoices().filter(pk=invoice_id).first()
    if invoice is None:
        raise not_found(invoice_id)
    return invoice


def _answer(invoice: Invoice) -> Response:
    return Response(queries.invoice_json(invoice, now=timezone.now()))


class InvoiceList(ApiView):
    paginated = True
    query = {"GET": InvoiceFilter}

    @extend_schema(summary="List invoices", responses=list_of(InvoiceSerializer), tags=["invoices"])
    def get(self, request: Request) -> Response:
        """Invoices with their lines, newest first."""
        now = timezone.now()
        page = read_page_request(request, NEWEST_FIRST)
        rows, cursor = fetch(queries.invoices(**self.params, now=now), page, NEWEST_FIRST)
        return page_response(queries.invoices_json(rows, now=now), cursor)


class InvoiceDetail(ApiView):
    @extend_schema(summary="Read an invoice", responses=InvoiceSerializer, tags=["invoices"])
    def get(self, request: Request, id: str) -> Response:
        """One invoice with its lines and the actions that its state allows."""
        return _answer(found(id))


class LineOutcomes(ApiView):
    paginated = True

    @extend_schema(summary="List what a line bills", responses=list_of(LineOutcomeSerializer), tags=["invoices"])
    def get(self, request: Request, id: str, line_id: str) -> Response:
        """The outcomes that one line bills or takes back, in order of their ids."""
        return outcomes_of(request, InvoiceLine.objects.filter(invoice=found(id)), line_id)


def outcomes_of(request: Request, lines: QuerySet[InvoiceLine], line_id: str) -> Response:
    """A page of what one of these lines, a document's, bills and takes back."""
    line = lines.filter(pk=path_id(LINE_PREFIX, line_id)).first()
    if line is None:
        raise ApiError(404, "not_found", f"There is no line {line_id[:80]} on it.")
    return paginate(request, queries.line_outcomes(line), order=("id",), serialize=queries.line_outcome_json)


class InvoicePreview(ApiView):
    query = {"GET": PreviewQuery}

    @extend_schema(
        summary="Preview the running period",
        responses={
            200: PreviewSerializer,
            404: OpenApiResponse(ErrorEnvelopeSerializer, description="No such customer, or none with a contract now."),
        },
        tags=["invoices"],
    )
    def get(self, request: Request) -> Response:
        """What would be invoiced were the period to end now, and apart from it what may still be taken back."""
        return Response(preview_json(preview(self.params["customer"], now=timezone.now())))


class _Action(ApiView):
    """One use case on one invoice; answers the invoice as it is afterwards."""

    act: ClassVar[Callable[..., Any]]

    def _act(self, request: Request, id: str) -> Response:
        NoBody(data=request.data).is_valid(raise_exception=True)
        invoice_id: UUID = path_id(INVOICE_PREFIX, id)
        type(self).act(invoice_id, now=timezone.now())
        return _answer(found(id))


class InvoiceIssue(_Action):
    act = staticmethod(issue)

    @extend_schema(summary="Issue a draft", request=NoBody, responses=InvoiceSerializer, tags=["invoices"])
    def post(self, request: Request, id: str) -> Response:
        """Brings the draft's lines up to date, numbers it and freezes it. 409 for anything but a draft."""
        return self._act(request, id)


class InvoiceVoid(_Action):
    act = staticmethod(void)

    @extend_schema(summary="Void an invoice", request=NoBody, responses=InvoiceSerializer, tags=["invoices"])
    def post(self, request: Request, id: str) -> Response:
        """The invoice keeps its number; its outcomes wait to be billed again by the next run. 409 once it is paid, and
        `invoice_credited` once something corrects it.
        """
        return self._act(request, id)


class InvoiceMarkPaid(_Action):
    act = staticmethod(mark_paid)

    @extend_schema(summary="Mark an invoice as paid", request=NoBody, responses=InvoiceSerializer, tags=["invoices"])
    def post(self, request: Request, id: str) -> Response:
        """Notes that what was due on an issued invoice was paid. 409 for a draft, a void or a paid one."""
        return self._act(request, id)


class InvoiceMarkUncollectible(_Action):
    act = staticmethod(mark_uncollectible)

    @extend_schema(summary="Give up an invoice", request=NoBody, responses=InvoiceSerializer, tags=["invoices"])
    def post(self, request: Request, id: str) -> Response:
        """Notes that an issued invoice will not be paid. It can still be paid or voided. 409 in any other state."""
        return self._act(request, id)
