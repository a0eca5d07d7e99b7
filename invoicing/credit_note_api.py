"""``/v1/credit_notes``: reads, goodwill by hand, and what a person may do with a credit note."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.authentication import caller
from access.openapi import list_of
from access.pagination import fetch, page_response, read_page_request
from access.serializers import NoBody
from access.views import ApiView, path_id
from invoicing import credit_notes, queries
from invoicing.api import outcomes_of
from invoicing.credit_notes import Goodwill
from invoicing.models import CreditNote, InvoiceLine
from invoicing.refusals import NOTE_PREFIX, note_not_found
from invoicing.serializers import (
    CreditNoteFilter,
    CreditNoteSerializer,
    DiscardedSerializer,
    GoodwillRequest,
    LineOutcomeSerializer,
    RefundRequest,
)

NEWEST_FIRST = ("-created_at", "-id")


def found(id: str) -> CreditNote:
    note_id = path_id(NOTE_PREFIX, id)
    note = queries.credit_notes().filter(pk=note_id).first()
    if note is None:
        raise note_not_found(note_id)
    return note


def _answer(note: CreditNote, status: int = 200) -> Response:
    return Response(queries.credit_note_json(queries.credit_notes().get(pk=note.pk)), status=status)


def _asked_by(request: Request) -> dict[str, Any]:
    return {"by": caller(request), "now": timezone.now()}


class CreditNoteList(ApiView):
    paginated = True
    query = {"GET": CreditNoteFilter}

    @extend_schema(summary="List credit notes", responses=list_of(CreditNoteSerializer), tags=["credit notes"])
    def get(self, request: Request) -> Response:
        """Credit notes with their lines, newest first."""
        page = read_page_request(request, NEWEST_FIRST)
        rows, cursor = fetch(queries.credit_notes(**self.params), page, NEWEST_FIRST)
        return page_response(queries.credit_notes_json(rows), cursor)

    @extend_schema(
        summary="Give goodwill",
        request=GoodwillRequest,
        responses={201: CreditNoteSerializer},
        tags=["credit notes"],
    )
    def post(self, request: Request) -> Response:
        """A credit note by hand on one issued invoice, beside what corrects itself. 409 `exceeds_left_to_credit` above
        what the invoice has left, `invoice_not_creditable` for a draft or a void one, `second_person_needed` above what
        the installation lets one give alone. With `issue` false it stays a draft.
        """
        body = GoodwillRequest(data=request.data)
        body.is_valid(raise_exception=True)
        given = dict(body.validated_data)
        lines = tuple((line["title"], line["amount"]) for line in given.pop("lines", ()))
        return _answer(credit_notes.goodwill(Goodwill(**given, lines=lines), **_asked_by(request)), 201)


class CreditNoteDetail(ApiView):
    @extend_schema(summary="Read a credit note", responses=CreditNoteSerializer, tags=["credit notes"])
    def get(self, request: Request, id: str) -> Response:
        """One credit note with its lines, what it corrects, where its credit went and what may be done with it."""
        return _answer(found(id))


class CreditNoteOutcomes(ApiView):
    paginated = True

    @extend_schema(
        summary="List what a credit note's line takes back",
        responses=list_of(LineOutcomeSerializer),
        tags=["credit notes"],
    )
    def get(self, request: Request, id: str, line_id: str) -> Response:
        """The outcomes that one line takes back or bills, in order of their ids."""
        return outcomes_of(request, InvoiceLine.objects.filter(credit_note=found(id)), line_id)


class CreditNoteIssue(ApiView):
    @extend_schema(summary="Approve a draft", request=NoBody, responses=CreditNoteSerializer, tags=["credit notes"])
    def post(self, request: Request, id: str) -> Response:
        """Numbers and freezes the draft as it stands, and takes its credit off the invoices that it corrects. 409 for
        anything but a draft; `second_person_needed` for goodwill that a person approves in the admin.
        """
        NoBody(data=request.data).is_valid(raise_exception=True)
        return _answer(credit_notes.issue(path_id(NOTE_PREFIX, id), **_asked_by(request)))


class CreditNoteRefund(ApiView):
    @extend_schema(
        summary="Note a refund", request=RefundRequest, responses=CreditNoteSerializer, tags=["credit notes"]
    )
    def post(self, request: Request, id: str) -> Response:
        """Notes that free credit was paid back to the customer; it moves no money itself. 409
        `exceeds_remaining_credit` above what is free, `no_credit_left` where nothing is.
        """
        body = RefundRequest(data=request.data)
        body.is_valid(raise_exception=True)
        amount, reference = body.validated_data.get("amount"), body.validated_data["reference"]
        return _answer(credit_notes.refund(path_id(NOTE_PREFIX, id), amount, reference, **_asked_by(request)))


class CreditNoteDiscard(ApiView):
    @extend_schema(
        summary="Discard a goodwill draft", request=NoBody, responses=DiscardedSerializer, tags=["credit notes"]
    )
    def post(self, request: Request, id: str) -> Response:
        """Deletes the draft. 409 for an automatic one, which the next billing run would make anew, and once issued."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        credit_notes.discard(path_id(NOTE_PREFIX, id))
        return Response({"id": id, "discarded": True})
