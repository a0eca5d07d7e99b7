"""``/v1/conditions``"""

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.errors import ApiError
from access.openapi import list_of
from access.pagination import paginate
from access.parsers import StrictJSONParser
from access.strictjson import Limits
from access.views import ApiView
from conditions_dsl.errors import Diagnostic
from contracts.changes import Kind
from contracts.condition_text import examine_here
from contracts.conditions import create_condition_version
from contracts.queries import condition_json, condition_summary_json, conditions
from contracts.serializers import (
    CheckSerializer,
    ConditionAnswerSerializer,
    ConditionRequest,
    ConditionSerializer,
    ConditionSummarySerializer,
    ConditionTextRequest,
)


class ConditionTextParser(StrictJSONParser):
    """A condition is longer than other strings may be; the language itself stops at 16 KiB, with a message."""

    limits = Limits(string_length=64 * 1024)


class ConditionList(ApiView):
    paginated = True
    parser_classes = [ConditionTextParser]

    @extend_schema(summary="List conditions", responses=list_of(ConditionSummarySerializer), tags=["conditions"])
    def get(self, request: Request) -> Response:
        """Conditions as their versions in force say them, newest slug first."""
        now = timezone.now()
        return paginate(request, conditions(), serialize=lambda row: condition_summary_json(row, now))

    @extend_schema(
        summary="Create a condition, or a new version of one",
        request=ConditionRequest,
        responses={200: ConditionAnswerSerializer, 201: ConditionAnswerSerializer},
        tags=["conditions"],
    )
    def post(self, request: Request) -> Response:
        """The slug stands in the text. A text that says what is in force already makes no version (200); customers may
        be added with it.
        """
        body = ConditionRequest(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        given = body.validated_data
        change = create_condition_version(
            given["text"], effective_from=given.get("effective_from"), now=now, customers=given.get("customers")
        )
        condition = conditions().get(pk=change.value.condition_id)
        warnings = [diagnostic_json(diagnostic) for diagnostic in examine_here(given["text"]).diagnostics]
        answer = {**condition_json(condition, now, shown=change.value), "warnings": warnings}
        return Response(answer, status=201 if change.kind in (Kind.CREATED, Kind.NEW_VERSION) else 200)


class ConditionDetail(ApiView):
    @extend_schema(summary="Read a condition", responses=ConditionSerializer, tags=["conditions"])
    def get(self, request: Request, slug: str) -> Response:
        """One condition with all of its versions."""
        condition = conditions().filter(slug=slug).first()
        if condition is None:
            raise ApiError(404, "not_found", f'There is no condition "{slug[:80]}".')
        return Response(condition_json(condition, timezone.now()))


class ConditionCheck(ApiView):
    # Nothing is stored, so a key that may only read may ask, and a repetition needs no key.
    scopes = {"POST": "read"}
    idempotency = "off"
    parser_classes = [ConditionTextParser]

    @extend_schema(
        summary="Check a text", request=ConditionTextRequest, responses={200: CheckSerializer}, tags=["conditions"]
    )
    def post(self, request: Request) -> Response:
        """Says whether a text is a condition, what is wrong with it and how to mend it, and what it means in English.
        Stores nothing.
        """
        body = ConditionTextRequest(data=request.data)
        body.is_valid(raise_exception=True)
        finding = examine_here(body.validated_data["text"])
        reading = finding.reading
        return Response(
            {
                "ok": finding.ok,
                "diagnostics": [diagnostic_json(diagnostic) for diagnostic in finding.diagnostics],
                "canonical": reading.canonical if reading else None,
                "description": reading.description if reading else None,
            }
        )


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A finding; ``fix`` only where there is one."""
    return {name: value for name, value in asdict(diagnostic).items() if value is not None}
