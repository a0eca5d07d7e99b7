"""The shapes of invoices in answers, for OpenAPI. What the values are made of stands in `queries`."""

from typing import Any

from rest_framework import serializers

from access.fields import ChoiceTextField, Rfc3339Field, TextField
from access.serializers import QuerySerializer
from invoicing.models import Status


class InvoiceFilter(QuerySerializer):
    """What `GET /v1/invoices` can be narrowed to."""

    customer = TextField(required=False, help_text="Key of a customer.")
    status = ChoiceTextField(Status.choices, required=False)


class PreviewQuery(QuerySerializer):
    """Whose running period to show."""

    customer = TextField(help_text="Key of a customer.")


class StepSerializer(serializers.Serializer[Any]):
    """One product in a line's arithmetic, exact."""

    quantity = serializers.CharField()
    unit_price = serializers.CharField()
    amount = serializers.CharField()


class InvoiceLineSerializer(serializers.Serializer[Any]):
    """One line: quantity x unit price of one condition, price and set of dimension values."""

    id = serializers.CharField()
    title = serializers.CharField()
    condition = serializers.CharField()
    model = serializers.CharField()
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField()
    unit_price = serializers.CharField()
    amount = serializers.CharField()
    steps = StepSerializer(many=True)
    sentence = serializers.CharField(help_text="What counts, in plain English.")
    outcome_count = serializers.IntegerField()
    voided_count = serializers.IntegerField(help_text="Taken back inside their window: shown, not charged.")
    reversed_count = serializers.IntegerField(help_text="How many of the outcomes no longer hold today.")
    period_start = Rfc3339Field(help_text="An earlier period than the invoice's for outcomes confirmed late.")
    period_end = Rfc3339Field()


class InvoiceSerializer(serializers.Serializer[Any]):
    """An invoice with its lines."""

    id = serializers.CharField()
    number = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(Status.choices)
    available_actions = serializers.ListField(child=serializers.CharField())
    customer = serializers.CharField()
    contract = serializers.CharField()
    currency = serializers.CharField()
    period_start = Rfc3339Field()
    period_end = Rfc3339Field()
    lines = InvoiceLineSerializer(many=True)
    total = serializers.CharField()
    net_days = serializers.IntegerField()
    content_hash = serializers.CharField(allow_null=True, help_text="SHA-256 of the frozen content.")
    created_at = Rfc3339Field()
    issued_at = Rfc3339Field(allow_null=True)
    due_at = Rfc3339Field(allow_null=True)
    paid_at = Rfc3339Field(allow_null=True)
    voided_at = Rfc3339Field(allow_null=True)


class LineOutcomeSerializer(serializers.Serializer[Any]):
    """One outcome on an invoice line."""

    id = serializers.CharField()
    condition = serializers.CharField()
    subject = serializers.CharField()
    state = serializers.CharField()
    met_at = Rfc3339Field(allow_null=True)
    settled_at = Rfc3339Field(allow_null=True)
    quantity = serializers.CharField(allow_null=True)
    dimensions = serializers.DictField(child=serializers.CharField(allow_null=True))


class PreviewLineSerializer(serializers.Serializer[Any]):
    """A line as it would be."""

    condition = serializers.CharField()
    dimensions = serializers.DictField(child=serializers.CharField())
    quantity = serializers.CharField()
    unit_price = serializers.CharField()
    amount = serializers.CharField()
    outcome_count = serializers.IntegerField()


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
    contract = serializers.CharField()
    currency = serializers.CharField()
    period_start = Rfc3339Field()
    period_end = Rfc3339Field()
    confirmed = PreviewPartSerializer()
    provisional = PreviewPartSerializer()
    held_back = HeldBackSerializer(many=True)
