"""What requests about webhooks may say, and the shapes of the answers."""

from typing import Any

from rest_framework import serializers

from access.fields import ChoiceTextField, FlagField, Rfc3339Field, TextField, WholeNumberField
from access.serializers import QuerySerializer, StrictSerializer
from webhooks.catalog import ALL, TEST, TYPES
from webhooks.models import Delivery, Endpoint

OVERLAP_HOURS = 24
MAX_OVERLAP_HOURS = 7 * 24


class EndpointRequest(StrictSerializer):
    url = TextField(help_text="A public https address.")
    events = serializers.ListField(
        child=ChoiceTextField([*TYPES, ALL]),
        allow_empty=False,
        max_length=100,
        help_text="Names of messages; `*` alone is all, also those to come.",
    )
    description = TextField(required=False, allow_blank=True, max_length=255)


class EndpointChange(EndpointRequest):
    """What is left out stays as it is."""

    enabled = FlagField(help_text="Enabled again, it goes on where it stopped.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, partial=True, **kwargs)


class RotateRequest(StrictSerializer):
    overlap_hours = WholeNumberField(
        required=False,
        default=OVERLAP_HOURS,
        min_value=0,
        max_value=MAX_OVERLAP_HOURS,
        help_text="How long the secrets before it sign as well; 0 ends them now.",
    )


class ResendRequest(StrictSerializer):
    since = Rfc3339Field(help_text="Messages made at or after this moment.")


class ResendAnswer(serializers.Serializer[Any]):
    queued = serializers.IntegerField(help_text="Messages that are due now.")


class DeliveryQuery(QuerySerializer):
    status = ChoiceTextField(Delivery.Status.choices, required=False)
    type = ChoiceTextField([*TYPES, TEST], required=False)
    about = TextField(required=False, help_text="Id of an outcome, an invoice …")


class SecretSerializer(serializers.Serializer[Any]):
    created_at = Rfc3339Field()
    ends_at = Rfc3339Field(allow_null=True, help_text="No longer signs from then on.")


class EndpointSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    url = serializers.CharField(help_text="As it is used: normalised.")
    description = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    status = serializers.ChoiceField(["enabled", "failing", "disabled"])
    disabled_at = Rfc3339Field(allow_null=True)
    disabled_reason = serializers.ChoiceField(Endpoint.Disabled.choices, allow_null=True)
    failing_since = Rfc3339Field(allow_null=True, help_text="The first failure after the last success.")
    last_success_at = Rfc3339Field(allow_null=True)
    last_failure_at = Rfc3339Field(allow_null=True)
    last_error = serializers.CharField(allow_null=True)
    waiting = serializers.IntegerField(help_text="Messages that wait.")
    secrets = SecretSerializer(many=True, help_text="When each was made and ends; the newest first.")
    created_at = Rfc3339Field()


class EndpointWithSecretSerializer(EndpointSerializer):
    secret = serializers.CharField(help_text="Told this once: keep it where the receiver finds it.")


class DeliverySerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The message's `webhook-id`.")
    endpoint = serializers.CharField()
    type = serializers.CharField()
    about = serializers.CharField(help_text="What it tells of; messages about the same are sent in order.")
    status = serializers.ChoiceField(Delivery.Status.choices)
    attempts = serializers.IntegerField()
    created_at = Rfc3339Field()
    next_attempt_at = Rfc3339Field(allow_null=True)
    finished_at = Rfc3339Field(allow_null=True, help_text="When it was accepted or given up.")


class AttemptSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    started_at = Rfc3339Field()
    ms = serializers.IntegerField(allow_null=True, help_text="Null: it runs now, or its process died.")
    status_code = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    answer = serializers.CharField(help_text="The first KiB.")


class DeliveryDetailSerializer(DeliverySerializer):
    payload = serializers.DictField(help_text="The body that is sent.")
    log = AttemptSerializer(many=True)
