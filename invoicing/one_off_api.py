"""One-off invoices over HTTP: written by hand at ``POST /v1/invoices``, and discarded while they are drafts."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.fields import DecimalStringField, FlagField, Rfc3339Field, TextField, WholeNumberField
from access.serializers import NoBody, StrictSerializer
from access.views import ApiView, path_id
from contracts import fields
from contracts.agreed import MAX_NET_DAYS
from invoicing import one_off, queries
from invoicing.api import InvoiceList
from invoicing.one_off import ItemFields, OneOffFields
from invoicing.refusals import INVOICE_PREFIX, public_id
from invoicing.serializers import DiscardedSerializer, InvoiceSerializer


class ItemRequest(StrictSerializer):
    """One line: a quantity times a unit price, or an amount. A rebate is below zero."""

    title = TextField(max_length=fields.MAX_NAME, help_text="What the customer reads.")
    quantity = DecimalStringField(required=False, help_text="Above zero; with a unit_price.")
    unit_price = DecimalStringField(required=False, help_text="Up to 12 decimals; the line is rounded once, half up.")
    amount = DecimalStringField(required=False, help_text="In the place of both.")


class OneOffRequest(StrictSerializer):
    """An invoice of items, beside what contracts bill."""

    customer = TextField(max_length=255, help_text="Key of an existing customer.")
    currency = TextField(required=False, max_length=3, help_text="ISO 4217. Left out: the customer's.")
    lines = ItemRequest(many=True, help_text="1 to 500; together they are not below zero.")
    net_days = WholeNumberField(
        required=False, min_value=0, max_value=MAX_NET_DAYS, help_text="Days from issue until it is due. Left out: 30."
    )
    memo = TextField(
        required=False, allow_blank=True, max_length=one_off.MAX_MEMO, help_text="A note to the customer, printed."
    )
    period_start = Rfc3339Field(required=False, help_text="With a period_end. Left out: today, where the customer is.")
    period_end = Rfc3339Field(required=False, help_text="The first moment after the period.")
    issue = FlagField(required=False, help_text="Whether to issue it at once. Left out: it is a draft.")

    def fields_of(self) -> OneOffFields:
        data = self.validated_data
        return OneOffFields(**{**data, "lines": tuple(ItemFields(**one) for one in data["lines"])})


class Invoices(InvoiceList):
    @extend_schema(
        summary="Write a one-off invoice", request=OneOffRequest, responses={201: InvoiceSerializer}, tags=["invoices"]
    )
    def post(self, request: Request) -> Response:
        """A draft that no billing run touches, or with `issue` an invoice issued at once. The taxes are the customer's,
        those of a draft as they are when it is issued.
        """
        body = OneOffRequest(data=request.data)
        body.is_valid(raise_exception=True)
        written = one_off.write(body.fields_of(), now=timezone.now())
        invoice = queries.invoices().get(pk=written.pk)
        return Response(queries.invoice_json(invoice, now=timezone.now()), status=201)


class InvoiceDiscard(ApiView):
    @extend_schema(
        summary="Discard a one-off draft", request=NoBody, responses={200: DiscardedSerializer}, tags=["invoices"]
    )
    def post(self, request: Request, id: str) -> Response:
        """Removes a draft that was written by hand. 409 for any other: what bills contracts is made anew by each
        billing run, and what is issued stays.
        """
        NoBody(data=request.data).is_valid(raise_exception=True)
        discarded = one_off.discard(path_id(INVOICE_PREFIX, id))
        return Response({"id": public_id(discarded), "discarded": True})
