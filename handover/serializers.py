"""The shapes of requests about hand-overs and of their answers."""

from typing import Any

from rest_framework import serializers

from access.fields import ChoiceTextField, FlagField, PublicIdField, Rfc3339Field, TextField
from access.serializers import QuerySerializer, StrictSerializer
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from handover.models import Handover, Target
from outcomes.queries import OUTCOME_PREFIX


class HandoverQuery(QuerySerializer):
    customer = TextField(required=False, help_text="Key of a customer.")
    status = ChoiceTextField(Handover.Status.choices, required=False)
    target = ChoiceTextField(Target.choices, required=False)
    outcome = PublicIdField(OUTCOME_PREFIX, required=False)


class HandoverDismissRequest(StrictSerializer):
    """Why a hand-over is closed."""

    reason = TextField(max_length=1000, help_text="Why, for those who look later.")
    handed_over = FlagField(
        required=False,
        default=False,
        help_text="Whether the other system has it after all: a reversal takes it back there then.",
    )


class HandoverSerializer(serializers.Serializer[Any]):
    """One outcome, or its reversal, told to the system that invoices it."""

    id = PublicIdField(Handover.PREFIX)
    outcome = PublicIdField(OUTCOME_PREFIX)
    customer = serializers.CharField()
    test = serializers.BooleanField()
    contract = PublicIdField(CONTRACT_PREFIX)
    condition = serializers.CharField()
    kind = serializers.ChoiceField(Handover.Kind.choices)
    target = serializers.ChoiceField(Target.choices)
    status = serializers.ChoiceField(Handover.Status.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = Rfc3339Field(allow_null=True, help_text="Of one that waits.")
    code = serializers.CharField(allow_null=True, help_text="Why it waits, is parked or was dropped.")
    reason = serializers.CharField(allow_null=True, help_text="The same in words, with the way out.")
    decided_by = serializers.CharField(allow_null=True, help_text="Who had it tried again, or dismissed it.")
    sent = serializers.DictField(allow_null=True, help_text="What the other system is told, the same at every attempt.")
    created_at = Rfc3339Field()
    finished_at = Rfc3339Field(allow_null=True, help_text="When it was handed over or dropped.")
