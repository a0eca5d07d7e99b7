"""``/v1/disputes``: outcomes that somebody says should not be charged, and what was decided of them."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.authentication import caller
from access.fields import ChoiceTextField, PublicIdField, TextField
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import QuerySerializer, StrictSerializer
from access.views import ApiView, path_id
from outcomes.api.decisions import history_archived
from outcomes.queries import OUTCOME_PREFIX
from outcomes.store import PayloadMissing
from settlement import disputes
from settlement.disputes import DISPUTE_PREFIX
from settlement.domain.disputes import DECISIONS
from settlement.models import Dispute
from settlement.queries import all_disputes, dispute_detail_json, dispute_json


class DisputeQuery(QuerySerializer):
    customer = TextField(required=False)
    status = ChoiceTextField(Dispute.Status.choices, required=False)
    outcome = PublicIdField(OUTCOME_PREFIX, required=False)


class DisputeRequest(StrictSerializer):
    reason = TextField(max_length=1000, help_text="Why it should not be charged.")


class ResolveRequest(StrictSerializer):
    decision = ChoiceTextField([(decision, decision) for decision in DECISIONS])
    note = TextField(max_length=1000, help_text="Why it was decided so.")


class WithdrawRequest(StrictSerializer):
    note = TextField(required=False, default="", allow_blank=True, max_length=1000)


class DisputeSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    outcome = serializers.CharField()
    customer = serializers.CharField()
    condition = serializers.CharField()
    subject = serializers.CharField()
    status = serializers.ChoiceField(Dispute.Status.choices)
    reason = serializers.CharField()
    raised_by = serializers.CharField()
    raised_at = serializers.DateTimeField()
    resolved_by = serializers.CharField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField(allow_null=True, help_text="What was said when it was decided or withdrawn.")


class DisputeEntrySerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(Dispute.Status.choices)
    actor = serializers.CharField()
    note = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField()


class DisputeDetailSerializer(DisputeSerializer):
    history = DisputeEntrySerializer(many=True)


class DisputeList(ApiView):
    query = {"GET": DisputeQuery}
    paginated = True

    @extend_schema(summary="List disputes", responses=list_of(DisputeSerializer), tags=["disputes"])
    def get(self, request: Request) -> Response:
        """Newest first."""
        return paginate(request, all_disputes(**self.params), order=("-id",), serialize=dispute_json)


class DisputeDetail(ApiView):
    @extend_schema(summary="Read a dispute", responses=DisputeDetailSerializer, tags=["disputes"])
    def get(self, request: Request, dispute_id: str) -> Response:
        """One dispute with its history."""
        wanted = path_id(DISPUTE_PREFIX, dispute_id)
        found = all_disputes().filter(pk=wanted).first()
        if found is None:
            raise disputes.not_found(wanted)
        return Response(dispute_detail_json(found))


class OutcomeDispute(ApiView):
    @extend_schema(
        summary="Dispute an outcome",
        request=DisputeRequest,
        responses={201: DisputeDetailSerializer},
        tags=["disputes"],
    )
    def post(self, request: Request, outcome_id: str) -> Response:
        """A provisional or confirmed outcome (409 `not_disputable` in another state) is kept off invoices until the
        dispute is decided; its settlement goes on. 409 `already_disputed` where one is not decided yet.
        """
        body = DisputeRequest(data=request.data)
        body.is_valid(raise_exception=True)
        outcome = path_id(OUTCOME_PREFIX, outcome_id)
        raised = disputes.raise_dispute(outcome, **body.validated_data, by=caller(request), now=timezone.now())
        return _answer(raised, 201)


class DisputeResolve(ApiView):
    @extend_schema(
        summary="Decide a dispute", request=ResolveRequest, responses={200: DisputeDetailSerializer}, tags=["disputes"]
    )
    def post(self, request: Request, dispute_id: str) -> Response:
        """`upheld`: the outcome becomes void inside its settlement window, reversed after it. `rejected`: it is
        billable again. 409 `already_resolved` where it was decided, by whom and how; of two at once the first counts.
        """
        body = ResolveRequest(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = path_id(DISPUTE_PREFIX, dispute_id)
        try:
            resolved = disputes.resolve(wanted, **body.validated_data, by=caller(request), now=timezone.now())
        except PayloadMissing as missing:
            raise history_archived(missing) from None
        return _answer(resolved)


class DisputeWithdraw(ApiView):
    @extend_schema(
        summary="Withdraw a dispute",
        request=WithdrawRequest,
        responses={200: DisputeDetailSerializer},
        tags=["disputes"],
    )
    def post(self, request: Request, dispute_id: str) -> Response:
        """The outcome is billable again. 409 `already_resolved` where it was decided."""
        body = WithdrawRequest(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = path_id(DISPUTE_PREFIX, dispute_id)
        note = body.validated_data["note"]
        return _answer(disputes.withdraw(wanted, note=note, by=caller(request), now=timezone.now()))


def _answer(dispute: Dispute, status: int = 200) -> Response:
    return Response(dispute_detail_json(all_disputes().get(pk=dispute.pk)), status=status)
