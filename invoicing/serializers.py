"""The shapes of invoices and credit notes: of requests, and of answers for OpenAPI. What the values of answers are made
of stands in `queries`.
"""

from typing import Any

from rest_framework import serializers

from access.fields import (
    ChoiceTextField,
    DecimalStringField,
    FlagField,
    PublicIdField,
    Rfc3339Field,
    TextField,
)
from access.serializers import QuerySerializer, StrictSerializer
from invoicing.models import CreditNote, Invoice, InvoiceLine, Status
from invoicing.refusals import INVOICE_PREFIX


class InvoiceFilter(QuerySerializer):
    """What `GET /v1/invoices` can be narrowed to."""

    customer = TextField(required=False, help_text="Key of a customer.")
    status = ChoiceTextField(Status.choices, required=False)
    kind = ChoiceTextField(Invoice.Kind.choices, required=False)
    overdue = FlagField(required=False, help_text="Issued and not paid in time, or not.")
    due_before = Rfc3339Field(required=False, help_text="Due before this time.")


class PreviewQuery(QuerySerializer):
    """Whose running period to show."""

    customer = TextField(help_text="Key of a customer.")


class StepSerializer(serializers.Serializer[Any]):
    """One product in a line's arithmetic, exact."""

    kind = serializers.CharField(help_text="units, included, pooled, flat_fee, packages, percent, bounds, days, seats.")
    quantity = serializers.CharField()
    unit_price = serializers.CharField()
    amount = serializers.CharField()
    up_to = serializers.CharField(required=False, help_text="Upper edge of the tier it belongs to.")
    of = serializers.IntegerField(required=False, help_text="Days of the full period.")


class CreditedBySerializer(serializers.Serializer[Any]):
    """A credit note that gave the money of some outcomes back."""

    credit_note = serializers.CharField()
    number = serializers.CharField()
    outcomes = serializers.IntegerField()


class InvoiceLineSerializer(serializers.Serializer[Any]):
    """One line: usage of one condition, price and set of dimension values, or what the terms make of the period."""

    id = serializers.CharField()
    kind = serializers.ChoiceField(InvoiceLine.Kind.choices)
    title = serializers.CharField()
    condition = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True, help_text="The price's model, of usage and a maximum.")
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField(allow_null=True)
    unit_price = serializers.CharField(allow_null=True)
    amount = serializers.CharField()
    steps = StepSerializer(many=True)
    details = serializers.DictField(help_text="Figures of the terms, by name; amounts in major units.")
    sentence = serializers.CharField(help_text="What counts, in plain English.")
    outcome_count = serializers.IntegerField()
    voided_count = serializers.IntegerField(help_text="Taken back inside their window: shown, not charged.")
    reversed_count = serializers.IntegerField(help_text="How many of the outcomes no longer hold today.")
    credited_by = CreditedBySerializer(many=True, help_text="Issued credit notes that gave their money back.")
    period_start = Rfc3339Field(
        help_text="An earlier period than the invoice's for what is confirmed late, the next for fees in advance."
    )
    period_end = Rfc3339Field()


class TaxSerializer(serializers.Serializer[Any]):
    """A tax rate as it was used, and what it came to."""

    key = serializers.CharField()
    name = serializers.CharField()
    percent = serializers.CharField()
    inclusive = serializers.BooleanField(help_text="Whether the lines contain it.")
    reverse_charge = serializers.BooleanField()
    note = serializers.CharField(allow_blank=True)
    taxable = serializers.CharField()
    amount = serializers.CharField()


class CreditTakenSerializer(serializers.Serializer[Any]):
    """Credit of an earlier note that was taken off."""

    credit_note = serializers.CharField()
    number = serializers.CharField()
    amount = serializers.CharField()


class StripeOperationSerializer(serializers.Serializer[Any]):
    """What is still to be made so at Stripe: see `GET /v1/stripe/operations/{id}`."""

    id = serializers.CharField()
    kind = serializers.CharField()
    status = serializers.CharField()
    reason = serializers.CharField(allow_null=True)


class StripeInvoiceSerializer(serializers.Serializer[Any]):
    """What was last seen of the invoice at Stripe; null before it is there."""

    id = serializers.CharField(allow_null=True, help_text="in_…")
    account = serializers.CharField(allow_null=True)
    mode = serializers.ChoiceField(["live", "test"], allow_null=True)
    status = serializers.CharField(allow_null=True)
    collection_method = serializers.CharField(allow_null=True)
    total = serializers.CharField(allow_null=True)
    amount_due = serializers.CharField(allow_null=True)
    amount_remaining = serializers.CharField(allow_null=True)
    hosted_url = serializers.CharField(allow_null=True, help_text="Where the customer pays it.")
    mismatch = serializers.CharField(allow_null=True, help_text="What differs from ours.")
    last_failure = serializers.CharField(allow_null=True, help_text="Why the last payment that was tried failed.")
    seen_at = Rfc3339Field(allow_null=True)
    operations = StripeOperationSerializer(many=True, help_text="Those that are open.")


class PaymentFailureSerializer(serializers.Serializer[Any]):
    """Why the last payment that was tried failed."""

    code = serializers.CharField(allow_null=True, help_text="Stripe's decline code, or no_payment_method.")
    message = serializers.CharField()


class DunningSerializer(serializers.Serializer[Any]):
    """What is done about an invoice that is not paid."""

    kind = serializers.CharField(help_text="charge: a charge failed; reminder: it is overdue.")
    status = serializers.CharField(help_text="running, paused or ended.")
    step = serializers.IntegerField(help_text="How many steps of the schedule were made.")
    next_at = Rfc3339Field(allow_null=True, help_text="When the next step or the end is due.")
    paused_because = serializers.CharField(
        allow_null=True, help_text="dispute, hold, no_email, mails_off, mail_failed, person."
    )
    ended_because = serializers.CharField(
        allow_null=True, help_text="paid, void, uncollectible, nothing_due, given_up, left, stopped."
    )
    started_at = Rfc3339Field()
    ended_at = Rfc3339Field(allow_null=True)


class PaymentSerializer(serializers.Serializer[Any]):
    """Where the customer pays an invoice, and what is done while it is not paid. Told by the app payments."""

    hosted_url = serializers.CharField(
        allow_null=True, help_text="A page to pay it on, while there is something to pay."
    )
    last_failure = PaymentFailureSerializer(allow_null=True)
    dunning = DunningSerializer(allow_null=True)


class InvoiceSerializer(serializers.Serializer[Any]):
    """An invoice with its lines."""

    id = serializers.CharField()
    number = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(Invoice.Kind.choices)
    status = serializers.ChoiceField(Status.choices)
    available_actions = serializers.ListField(child=serializers.CharField())
    customer = serializers.CharField()
    test = serializers.BooleanField(help_text="Whether the customer lives by a test clock.")
    contract = serializers.CharField(allow_null=True, help_text="Null on a one-off invoice.")
    currency = serializers.CharField()
    period_start = Rfc3339Field()
    period_end = Rfc3339Field()
    memo = serializers.CharField(allow_blank=True)
    lines = InvoiceLineSerializer(many=True)
    subtotal = serializers.CharField(help_text="The sum of the lines.")
    tax = serializers.CharField()
    taxes = TaxSerializer(many=True)
    total = serializers.CharField(help_text="With tax.")
    credits = CreditTakenSerializer(many=True, help_text="Taken off when it was issued, frozen.")
    credited = serializers.CharField(help_text="What issued credit notes correct of the total.")
    credit_applied = serializers.CharField(help_text="Credit taken off so far.")
    amount_due = serializers.CharField(help_text="The total less the credit; nothing once it is paid or void.")
    overdue = serializers.BooleanField()
    net_days = serializers.IntegerField()
    content_hash = serializers.CharField(allow_null=True, help_text="SHA-256 of the frozen content.")
    created_at = Rfc3339Field()
    issued_at = Rfc3339Field(allow_null=True)
    due_at = Rfc3339Field(allow_null=True)
    paid_at = Rfc3339Field(allow_null=True)
    uncollectible_at = Rfc3339Field(allow_null=True)
    voided_at = Rfc3339Field(allow_null=True)
    stripe = StripeInvoiceSerializer(allow_null=True, help_text="Null where Stripe has nothing to do with it.")
    payment = PaymentSerializer(allow_null=True, help_text="Null where there is none of it.")


class LineOutcomeSerializer(serializers.Serializer[Any]):
    """One outcome on a line."""

    id = serializers.CharField()
    condition = serializers.CharField()
    subject = serializers.CharField()
    state = serializers.CharField()
    met_at = Rfc3339Field(allow_null=True)
    settled_at = Rfc3339Field(allow_null=True)
    quantity = serializers.CharField(allow_null=True)
    dimensions = serializers.DictField(child=serializers.CharField(allow_null=True))
    taken_back = serializers.BooleanField(help_text="Whether the line takes it back, instead of billing it.")


# --- Credit notes -----------------------------------------------------------------------------------------------------


class CreditNoteFilter(QuerySerializer):
    """What `GET /v1/credit_notes` can be narrowed to."""

    customer = TextField(required=False, help_text="Key of a customer.")
    invoice = PublicIdField(INVOICE_PREFIX, required=False, help_text="An invoice that they correct.")
    status = ChoiceTextField(CreditNote.Status.choices, required=False)


def _amount(**kwargs: Any) -> DecimalStringField:
    return DecimalStringField(help_text="What the customer gets back, tax included.", **kwargs)


class GoodwillLineRequest(StrictSerializer):
    title = TextField(max_length=1000)
    amount = _amount()


class GoodwillRequest(StrictSerializer):
    """Goodwill on one issued invoice: an amount, or lines."""

    invoice = PublicIdField(INVOICE_PREFIX)
    reason = TextField(max_length=1000, help_text="Why, in words; the customer reads it.")
    amount = _amount(required=False)
    lines = GoodwillLineRequest(many=True, required=False, allow_empty=False)
    issue = FlagField(required=False, default=True, help_text="false keeps it a draft that waits for approval.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("amount" in attrs) == ("lines" in attrs):
            raise serializers.ValidationError({"amount": ["Give an amount or lines, exactly one of both."]})
        return attrs


class RefundRequest(StrictSerializer):
    """Credit that was paid back."""

    amount = DecimalStringField(required=False, help_text="Default: all that is free.")
    reference = TextField(max_length=255, help_text="How it was paid: a transfer's number, say.")


class CreditNoteLineSerializer(InvoiceLineSerializer):
    """A line as on an invoice, the other way round: what it gives back is above zero."""

    taken_back_count = serializers.IntegerField(help_text="How many outcomes it takes back.")


class CreditNoteInvoiceSerializer(serializers.Serializer[Any]):
    """So much of an invoice is corrected."""

    id = serializers.CharField()
    number = serializers.CharField()
    net = serializers.CharField(help_text="Of its lines.")
    tax = serializers.CharField()
    amount = serializers.CharField(help_text="Of its total.")


class AppliedSerializer(serializers.Serializer[Any]):
    """Where credit went."""

    to = serializers.ChoiceField(["invoice", "refund"])
    invoice = serializers.CharField(allow_null=True)
    number = serializers.CharField(allow_null=True)
    amount = serializers.CharField()
    reference = serializers.CharField(allow_null=True, help_text="Of a refund: how it was paid.")
    by = serializers.CharField(allow_null=True)
    at = Rfc3339Field()


class StripeCreditSerializer(serializers.Serializer[Any]):
    """What Stripe was told of what is corrected of one invoice. `amount` is the sum of the four after it."""

    id = serializers.CharField(
        allow_null=True, help_text="cn_…; cbtxn_… where it went to the customer's balance alone; null: nothing there."
    )
    account = serializers.CharField()
    mode = serializers.ChoiceField(["live", "test"])
    invoice = serializers.CharField()
    amount = serializers.CharField()
    before_payment = serializers.CharField(help_text="Fell off an open invoice.")
    to_balance = serializers.CharField(help_text="The customer's next invoices are less by it.")
    refunded = serializers.CharField(help_text="Paid back by Stripe.")
    outside = serializers.CharField(help_text="Given back outside Stripe.")
    refund = serializers.CharField(allow_null=True)
    refund_status = serializers.CharField(allow_null=True)
    advice = serializers.CharField(allow_null=True, help_text="What finance has to know of it, or to do.")
    mismatch = serializers.CharField(allow_null=True, help_text="What is not as here, and the way out.")


class CreditNoteSerializer(serializers.Serializer[Any]):
    """A credit note with its lines."""

    id = serializers.CharField()
    number = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(CreditNote.Kind.choices)
    status = serializers.ChoiceField(CreditNote.Status.choices)
    available_actions = serializers.ListField(child=serializers.CharField())
    customer = serializers.CharField()
    test = serializers.BooleanField(help_text="Whether the customer lives by a test clock.")
    contract = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    reason = serializers.CharField()
    destination = serializers.ChoiceField(
        CreditNote.Destination.choices, help_text="Where credit goes that the invoices it corrects do not take."
    )
    lines = CreditNoteLineSerializer(many=True)
    subtotal = serializers.CharField()
    tax = serializers.CharField()
    taxes = TaxSerializer(many=True)
    total = serializers.CharField()
    invoices = CreditNoteInvoiceSerializer(many=True, help_text="What it corrects.")
    applied = AppliedSerializer(many=True)
    remaining = serializers.CharField(help_text="Credit that is still free.")
    content_hash = serializers.CharField(allow_null=True, help_text="SHA-256 of the frozen content.")
    created_by = serializers.CharField(allow_null=True, help_text="Who wrote or approved it.")
    created_at = Rfc3339Field()
    issued_at = Rfc3339Field(allow_null=True)
    stripe = StripeCreditSerializer(many=True)


class DiscardedSerializer(serializers.Serializer[Any]):
    """A draft that is gone."""

    id = serializers.CharField()
    discarded = serializers.BooleanField()


# --- The preview ------------------------------------------------------------------------------------------------------


class PreviewLineSerializer(serializers.Serializer[Any]):
    """A line as it would be."""

    kind = serializers.ChoiceField(InvoiceLine.Kind.choices)
    title = serializers.CharField()
    condition = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField(allow_null=True)
    unit_price = serializers.CharField(allow_null=True)
    amount = serializers.CharField()
    steps = StepSerializer(many=True)
    details = serializers.DictField()
    outcome_count = serializers.IntegerField()
    period_start = Rfc3339Field()
    period_end = Rfc3339Field()


class PreviewPartSerializer(serializers.Serializer[Any]):
    """Lines and their total."""

    lines = PreviewLineSerializer(many=True)
    total = serializers.CharField()


class HeldBackSerializer(serializers.Serializer[Any]):
    """Confirmed outcomes that will not be billed until something is mended."""

    reason = serializers.CharField()
    outcomes = serializers.IntegerField()


class PreviewSerializer(serializers.Serializer[Any]):
    """The running period: confirmed so far, provisional apart."""

    customer = serializers.CharField()
    test = serializers.BooleanField(help_text="Whether the customer lives by a test clock.")
    contract = serializers.CharField()
    currency = serializers.CharField()
    period_start = Rfc3339Field()
    period_end = Rfc3339Field()
    confirmed = PreviewPartSerializer(help_text="What would be invoiced were the period to end now.")
    provisional = PreviewPartSerializer(help_text="What is added to that once everything provisional has settled.")
    expected_total = serializers.CharField(help_text="Both together.")
    to_credit = PreviewPartSerializer(help_text="What the next run gives back of earlier periods, below zero.")
    held_back = HeldBackSerializer(many=True)
