"""``/v1/late_evidence``: events that a contract wants reviewed before they take back what is confirmed."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes
from access.authentication import caller
from access.errors import ApiError
from access.fields import ChoiceTextField, TextField
from access.openapi import list_of
from access.pagination import fetch, page_response, read_page_request
from access.serializers import QuerySerializer, StrictSerializer
from access.views import ApiView, path_id
from outcomes import late
from outcomes.api.decisions import history_archived
from outcomes.models import LateEvidence
from outcomes.queries import LATE_PREFIX, late_evidence, late_evidence_json
from outcomes.store import PayloadMissing

error_codes.register(
    {"already_decided": "The late evidence, or the dispute, was decided before: the message says how and by whom."}
)

NEWEST_FIRST = ("-id",)


class LateEvidenceQuery(QuerySerializer):
    customer = TextField(required=False)
    status = ChoiceTextField(LateEvidence.Status.choices, required=False)


class LateEvidenceSerializer(serializers.Serializer):
    id = serializers.CharField()
    customer = serializers.CharField()
    condition = serializers.CharField()
    subject = serializers.CharField()
    event = serializers.CharField(allow_null=True, help_text="Null where its payload is archived.")
    time = serializers.DateTimeField(help_text="When the event happened.")
    outcome = serializers.CharField(help_text="The confirmed outcome that it would take back.")
    policy = serializers.ChoiceField(LateEvidence.Policy.choices, help_text="What the contract says.")
    status = serializers.ChoiceField(LateEvidence.Status.choices)
    created_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)
    decided_by = serializers.CharField(allow_null=True)
    note = serializers.CharField(allow_null=True)


class LateEvidenceNoteRequest(StrictSerializer):
    note = TextField(max_length=1000, help_text="Why.")


class LateEvidenceList(ApiView):
    query = {"GET": LateEvidenceQuery}
    paginated = True

    @extend_schema(summary="List late evidence", responses=list_of(LateEvidenceSerializer), tags=["outcomes"])
    def get(self, request: Request) -> Response:
        """Events that would have taken back what is confirmed and were left out, newest first."""
        page = read_page_request(request, NEWEST_FIRST)
        rows, next_cursor = fetch(late_evidence(**self.params), page, NEWEST_FIRST)
        return page_response(late_evidence_json(rows), next_cursor)


class LateEvidenceDetail(ApiView):
    @extend_schema(summary="Read late evidence", responses=LateEvidenceSerializer, tags=["outcomes"])
    def get(self, request: Request, late_id: str) -> Response:
        return Response(_shown(late_id))


class LateEvidenceAccept(ApiView):
    @extend_schema(
        summary="Accept late evidence",
        request=LateEvidenceNoteRequest,
        responses={200: LateEvidenceSerializer},
        tags=["outcomes"],
    )
    def post(self, request: Request, late_id: str) -> Response:
        """The event joins the facts and what follows is booked: usually the reversal of the outcome it names."""
        return _decide(request, late_id, late.accept)


class LateEvidenceIgnore(ApiView):
    @extend_schema(
        summary="Ignore late evidence",
        request=LateEvidenceNoteRequest,
        responses={200: LateEvidenceSerializer},
        tags=["outcomes"],
    )
    def post(self, request: Request, late_id: str) -> Response:
        """The event stays left out for good; what is booked stands."""
        return _decide(request, late_id, late.ignore)


def _decide(request: Request, late_id: str, decide: Callable[..., LateEvidence]) -> Response:
    body = LateEvidenceNoteRequest(data=request.data)
    body.is_valid(raise_exception=True)
    try:
        decide(
            path_id(LATE_PREFIX, late_id), now=timezone.now(), actor=caller(request), note=body.validated_data["note"]
        )
    except (LateEvidence.DoesNotExist, late.Subject.DoesNotExist):
        raise _unknown(late_id) from None
    except late.Decided as refusal:
        raise ApiError(409, "already_decided", str(refusal)) from None
    except PayloadMissing as missing:
        raise history_archived(missing) from None
    return Response(_shown(late_id))


def _shown(late_id: str) -> dict[str, Any]:
    found = late_evidence_json(late_evidence().filter(id=path_id(LATE_PREFIX, late_id)))
    if not found:
        raise _unknown(late_id)
    return found[0]


def _unknown(late_id: str) -> ApiError:
    return ApiError(404, "not_found", f"There is no late evidence {late_id[:80]!r}.")
