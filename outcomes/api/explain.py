"""``GET /v1/outcomes/{id}/explain``: why an outcome is what it is."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes
from access.errors import ApiError
from access.views import ApiView
from outcomes.api.decisions import history_archived
from outcomes.api.outcomes import JournalSerializer, OutcomeSerializer, find_outcome
from outcomes.explaining import MOST_EVENTS, HistoryTooLong, explain_outcome, explanation_json
from outcomes.store import PayloadMissing

error_codes.register(
    {
        "history_too_long": "The subject has more events than are read for an explanation: page through "
        "`/v1/outcomes/{id}/events`.",
    }
)


class ExplainedVersionSerializer(serializers.Serializer):
    slug = serializers.CharField()
    version = serializers.IntegerField()
    effective_from = serializers.DateTimeField(allow_null=True)
    title = serializers.CharField()
    text = serializers.CharField(help_text="As its author wrote it.")
    description = serializers.CharField(help_text="The same in plain English.")


class AskedOfSerializer(serializers.Serializer):
    events = serializers.IntegerField()
    to = serializers.DateTimeField(allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python's own.
        return {"from": serializers.DateTimeField(allow_null=True), **super().get_fields()}


class ClauseSerializer(serializers.Serializer):
    clause = serializers.CharField(
        help_text="`bill`, `void`, `credit`, `settle`, `settle early`, `expire`, `repeat`, `quantity`, `amount` or "
        "`dimension NAME`."
    )
    text = serializers.CharField(help_text="As the language writes it.")
    verdict = serializers.BooleanField(
        allow_null=True, help_text="Null: the clause has no say, since no event has come that it is asked at."
    )
    value = serializers.CharField(allow_null=True, help_text="Of a quantity, an amount, a dimension: as it is stored.")
    until = serializers.DateTimeField(allow_null=True, help_text="When the window, the credit or the silence ends.")
    asked_of = AskedOfSerializer(help_text="The events that the clause looks at.")
    tree = serializers.DictField(
        allow_null=True, help_text="Verdicts, values seen and ids of the deciding events, part by part."
    )

    def get_fields(self) -> dict[str, Any]:
        # `default` is a name of the serializer's own.
        return {
            **super().get_fields(),
            "default": serializers.BooleanField(help_text="The author left the clause out; this is what then holds."),
        }


class WaitSerializer(serializers.Serializer):
    reason = serializers.CharField()
    message = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)


class UndoneBySerializer(serializers.Serializer):
    event = serializers.CharField(allow_null=True)
    effect = serializers.CharField()
    replaced_by = serializers.ListField(child=serializers.CharField(), help_text="Outcomes that took its place.")


class DecidingEventSerializer(serializers.Serializer):
    id = serializers.CharField()
    type = serializers.CharField()
    time = serializers.DateTimeField()


class ExplanationSerializer(serializers.Serializer):
    outcome = OutcomeSerializer()
    condition = ExplainedVersionSerializer()
    summary = serializers.CharField(help_text="All of it in plain English.")
    clauses = ClauseSerializer(many=True)
    waits_for = WaitSerializer(many=True)
    late_evidence = UndoneBySerializer(allow_null=True, help_text="What undid an outcome after it was booked.")
    events = DecidingEventSerializer(many=True, help_text="The deciding events, in the order in which they happened.")
    journal = JournalSerializer(many=True)
    agrees = serializers.BooleanField(help_text="False: the events do not give what is booked; run the audit.")


class OutcomeExplain(ApiView):
    @extend_schema(summary="Explain an outcome", responses=ExplanationSerializer, tags=["outcomes"])
    def get(self, request: Request, outcome_id: str) -> Response:
        """Each clause with its verdict and the events that decided it, what the outcome waits for, and why, in words.

        An ended outcome is explained by the events it really had.
        """
        outcome = find_outcome(outcome_id)
        try:
            found = explain_outcome(outcome, now=timezone.now())
        except PayloadMissing as missing:
            raise history_archived(missing) from None
        except HistoryTooLong:
            message = f"The outcome's subject has more than {MOST_EVENTS:,} events: page through /events instead."
            raise ApiError(409, "history_too_long", message) from None
        return Response(explanation_json(found))
