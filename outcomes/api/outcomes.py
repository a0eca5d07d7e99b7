"""``/v1/outcomes``: what the events came to."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.fields import ChoiceTextField, Rfc3339Field, TextField
from access.openapi import list_of
from access.pagination import fetch, page_response, paginate, read_page_request
from access.serializers import QuerySerializer
from access.views import ApiView, path_id
from outcomes.models import Outcome, State
from outcomes.queries import (
    OUTCOME_PREFIX,
    event_json,
    event_names,
    events_of,
    outcome_detail_json,
    outcome_json,
    outcomes,
)

NEWEST_FIRST = ("-id",)


class OutcomeQuery(QuerySerializer):
    customer = TextField(required=False)
    condition = TextField(required=False)
    state = ChoiceTextField(State.choices, required=False)
    subject = TextField(required=False)
    settled_from = Rfc3339Field(required=False)
    settled_to = Rfc3339Field(required=False)


class OutcomeSerializer(serializers.Serializer):
    id = serializers.CharField()
    customer = serializers.CharField()
    test = serializers.BooleanField(help_text="Whether the customer lives by a test clock.")
    condition = serializers.CharField()
    condition_version = serializers.IntegerField()
    title = serializers.CharField()
    subject = serializers.CharField()
    state = serializers.ChoiceField(State.choices)
    met_by = serializers.CharField(allow_null=True, help_text="Id of the event that met the condition.")
    met_at = serializers.DateTimeField(allow_null=True)
    settles_at = serializers.DateTimeField(allow_null=True, help_text="Planned end of the settlement window.")
    settled_at = serializers.DateTimeField(allow_null=True, help_text="The instant from which it is final.")
    ended_by = serializers.CharField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    quantity = serializers.CharField(allow_null=True)
    amount = serializers.CharField(allow_null=True)
    dimensions = serializers.DictField()
    review = serializers.ListField(child=serializers.CharField(), help_text="What a person must complete.")


class JournalSerializer(serializers.Serializer):
    to = serializers.ChoiceField(State.choices)
    cause = serializers.CharField()
    clause = serializers.CharField()
    event = serializers.CharField(allow_null=True)
    actor = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    effective_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python's own.
        return {"from": serializers.ChoiceField(State.choices, allow_null=True), **super().get_fields()}


class InvoiceLineReferenceSerializer(serializers.Serializer):
    id = serializers.CharField()
    invoice = serializers.CharField(allow_null=True)
    credit_note = serializers.CharField(allow_null=True, help_text="Where it stands on a credit note instead.")
    number = serializers.CharField(allow_null=True)


class UnbilledSerializer(serializers.Serializer):
    reason = serializers.CharField()
    message = serializers.CharField()


class CoveringHoldSerializer(serializers.Serializer):
    id = serializers.CharField()
    on = serializers.ChoiceField(["customer", "condition", "outcome"])
    reason = serializers.CharField()
    placed_by = serializers.CharField()
    placed_at = serializers.DateTimeField()


class RaisedDisputeSerializer(serializers.Serializer):
    id = serializers.CharField()
    reason = serializers.CharField()
    raised_by = serializers.CharField()
    raised_at = serializers.DateTimeField()


class OutcomeDetailSerializer(OutcomeSerializer):
    holds = CoveringHoldSerializer(many=True, help_text="What holds it back now: see `/v1/holds`.")
    disputes = RaisedDisputeSerializer(many=True, help_text="Those not decided yet: see `/v1/disputes`.")
    invoice_line = InvoiceLineReferenceSerializer(allow_null=True)
    taken_back = InvoiceLineReferenceSerializer(
        allow_null=True, help_text="The line that takes back what `invoice_line` billed, once the outcome is reversed."
    )
    unbilled = UnbilledSerializer(allow_null=True, help_text="Why a confirmed outcome is on no issued invoice.")
    journal = JournalSerializer(many=True)


class StoredEventSerializer(serializers.Serializer):
    id = serializers.CharField()
    type = serializers.CharField()
    customer = serializers.CharField()
    time = serializers.DateTimeField()
    received_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, Any]:
        # `data` is a name of the serializer's own, so it cannot be declared as an attribute.
        return {**super().get_fields(), "data": serializers.DictField()}


class OutcomeList(ApiView):
    query = {"GET": OutcomeQuery}
    paginated = True

    @extend_schema(summary="List outcomes", responses=list_of(OutcomeSerializer), tags=["outcomes"])
    def get(self, request: Request) -> Response:
        """Newest first."""
        page = read_page_request(request, NEWEST_FIRST)
        rows, next_cursor = fetch(outcomes(**self.params), page, NEWEST_FIRST)
        names = event_names(rows)
        return page_response([outcome_json(row, names) for row in rows], next_cursor)


class OutcomeDetail(ApiView):
    @extend_schema(summary="Read an outcome", responses=OutcomeDetailSerializer, tags=["outcomes"])
    def get(self, request: Request, outcome_id: str) -> Response:
        """One outcome with its journal: every change, its cause, when it took effect and when it was recorded."""
        return Response(outcome_detail_json(find_outcome(outcome_id)))


class OutcomeEvents(ApiView):
    paginated = True

    @extend_schema(summary="List an outcome's events", responses=list_of(StoredEventSerializer), tags=["outcomes"])
    def get(self, request: Request, outcome_id: str) -> Response:
        """The events that prove it, in the order in which they happened."""
        return paginate(request, events_of(find_outcome(outcome_id)), order=("time", "seq"), serialize=event_json)


def find_outcome(outcome_id: str) -> Outcome:
    """The outcome that a path names, or 404."""
    found = outcomes().filter(id=path_id(OUTCOME_PREFIX, outcome_id)).first()
    if found is None:
        raise ApiError(404, "not_found", f"There is no outcome {outcome_id[:80]!r}.")
    return found
