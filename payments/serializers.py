"""What requests about the sync with Stripe may say, and the shapes of the answers."""

from typing import Any

from rest_framework import serializers

from access.fields import ChoiceTextField, PublicIdField, Rfc3339Field, TextField
from access.serializers import QuerySerializer, StrictSerializer
from invoicing.refusals import INVOICE_PREFIX
from payments.models import Connection, Operation

MODES = ["live", "test"]


class OperationQuery(QuerySerializer):
    """What `GET /v1/stripe/operations` can be narrowed to."""

    customer = TextField(required=False, help_text="Key of a customer.")
    status = ChoiceTextField(Operation.Status.choices, required=False)
    kind = ChoiceTextField(Operation.Kind.choices, required=False)
    invoice = PublicIdField(INVOICE_PREFIX, required=False, help_text="Id of an invoice.")


class OperationSkipRequest(StrictSerializer):
    reason = TextField(max_length=1000, help_text="Why; it is kept, with the name of your key.")


class OperationSerializer(serializers.Serializer[Any]):
    """One thing to make so at Stripe."""

    id = serializers.CharField()
    kind = serializers.ChoiceField(Operation.Kind.choices)
    status = serializers.ChoiceField(Operation.Status.choices)
    available_actions = serializers.ListField(child=serializers.CharField())
    customer = serializers.CharField()
    invoice = serializers.CharField(allow_null=True)
    credit_note = serializers.CharField(allow_null=True)
    number = serializers.CharField(allow_null=True, help_text="Of the invoice or credit note.")
    charge = serializers.IntegerField(allow_null=True, help_text="Of a charge: which one of its invoice.")
    attempts = serializers.IntegerField(help_text="Since it was noted, or last retried.")
    next_attempt_at = Rfc3339Field(allow_null=True, help_text="Null while it waits: at once.")
    waits_for = serializers.CharField(allow_null=True, help_text="The customer's operation whose turn is before.")
    code = serializers.CharField(allow_null=True, help_text="`reason` for programs.")
    reason = serializers.CharField(allow_null=True, help_text="Why it waits, is parked or was skipped.")
    account = serializers.CharField(allow_null=True, help_text="From the first attempt on.")
    mode = serializers.ChoiceField(MODES, allow_null=True)
    decided_by = serializers.CharField(allow_null=True, help_text="Who retried or skipped it.")
    created_at = Rfc3339Field()
    finished_at = Rfc3339Field(allow_null=True)


class StripeStepSerializer(serializers.Serializer[Any]):
    """One call to Stripe that changes something."""

    name = serializers.CharField()
    epoch = serializers.IntegerField(help_text="Counts the keys under which it was asked for.")
    idempotency_key = serializers.CharField(help_text="By which Stripe's log of requests finds it.")
    begun_at = Rfc3339Field()
    ended_at = Rfc3339Field(allow_null=True, help_text="Null: whether it happened is not known yet.")
    stale = serializers.BooleanField(help_text="Its key is not used again.")
    dropped = serializers.BooleanField(help_text="What it made is gone: it is made again.")
    answer = serializers.DictField(allow_null=True, help_text="What it made, in short, as Stripe says it.")


class OperationDetailSerializer(OperationSerializer):
    steps = StripeStepSerializer(many=True)


class StripeLastErrorSerializer(serializers.Serializer[Any]):
    operation = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


class StripeAudienceSerializer(serializers.Serializer[Any]):
    """`live` are customers, `test` those with a test clock."""

    audience = serializers.ChoiceField(Connection.Audience.choices)
    key = serializers.ChoiceField(MODES, allow_null=True, help_text="Mode of the key that is set; null without one.")
    account = serializers.CharField(allow_null=True, help_text="Null: not connected.")
    mode = serializers.ChoiceField(MODES, allow_null=True, help_text="Of the connection.")
    connected_at = Rfc3339Field(allow_null=True)
    waiting = serializers.IntegerField(help_text="Operations that wait.")
    parked = serializers.IntegerField(help_text="Operations that wait for a person.")
    mismatches = serializers.IntegerField(help_text="Invoices and credit notes that are not the same at Stripe.")
    oldest_at = Rfc3339Field(allow_null=True, help_text="When the oldest of the open operations was noted.")
    last_error = StripeLastErrorSerializer(allow_null=True, help_text="Of the open operations.")
    problems = serializers.ListField(child=serializers.CharField(), help_text="What is wrong, and the way out.")


class StripeEventCountsSerializer(serializers.Serializer[Any]):
    waiting = serializers.IntegerField()
    failed = serializers.IntegerField()


class StripeStandingSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField(help_text="Whether nothing is wrong, here and with both audiences.")
    problems = serializers.ListField(child=serializers.CharField())
    webhook_secrets = serializers.IntegerField(help_text="How many are set.")
    events = StripeEventCountsSerializer(help_text="What Stripe told by webhook.")
    audiences = StripeAudienceSerializer(many=True)
