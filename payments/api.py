"""``/v1/stripe``: how the sync stands, what is to be made so, and what a person may do with it."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes
from access.authentication import caller
from access.errors import ApiError
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import ErrorEnvelopeSerializer, NoBody
from access.views import ApiView, path_id
from payments import operations, queries, standing
from payments.models import Operation
from payments.serializers import (
    OperationDetailSerializer,
    OperationQuery,
    OperationSerializer,
    OperationSkipRequest,
    StripeStandingSerializer,
)

error_codes.register(
    {
        "operation_finished": "What is done or skipped is neither retried nor skipped.",
        "operation_in_progress": "The operation is being worked at this moment: try again in a minute.",
    }
)

FINISHED = OpenApiResponse(ErrorEnvelopeSerializer, description="It is done or skipped, or being worked now.")


class Stripe(ApiView):
    @extend_schema(summary="Read how the sync stands", responses=StripeStandingSerializer, tags=["stripe"])
    def get(self, request: Request) -> Response:
        """Accounts, what is open, and what is wrong. Stripe itself is not asked."""
        return Response(standing.report_json(standing.report(timezone.now())))


class OperationList(ApiView):
    query = {"GET": OperationQuery}
    paginated = True

    @extend_schema(summary="List operations", responses=list_of(OperationSerializer), tags=["stripe"])
    def get(self, request: Request) -> Response:
        """What was, is or will be made so at Stripe, newest first."""
        found = queries.operations(**self.params)
        return paginate(request, found, order=("-id",), serialize=queries.operation_json)


class OperationDetail(ApiView):
    @extend_schema(summary="Read an operation", responses=OperationDetailSerializer, tags=["stripe"])
    def get(self, request: Request, id: str) -> Response:
        """One operation with every call that was made for it."""
        return Response(queries.operation_detail_json(_found(id)))


class OperationRetry(ApiView):
    @extend_schema(
        summary="Retry an operation",
        request=NoBody,
        responses={200: OperationDetailSerializer, 409: FINISHED},
        tags=["stripe"],
    )
    def post(self, request: Request, id: str) -> Response:
        """It is tried at once, a parked one too. What is done is not done again."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        operations.retry(_found(id).pk, now=timezone.now(), by=caller(request))
        return Response(queries.operation_detail_json(_found(id)))


class OperationSkip(ApiView):
    @extend_schema(
        summary="Skip an operation",
        request=OperationSkipRequest,
        responses={200: OperationDetailSerializer, 409: FINISHED},
        tags=["stripe"],
    )
    def post(self, request: Request, id: str) -> Response:
        """It is given up for good, whatever part of it is done, and the customer's next one goes on."""
        body = OperationSkipRequest(data=request.data)
        body.is_valid(raise_exception=True)
        given: dict[str, Any] = body.validated_data
        operations.skip(_found(id).pk, reason=given["reason"], now=timezone.now(), by=caller(request))
        return Response(queries.operation_detail_json(_found(id)))


def _found(id: str) -> Operation:
    found = queries.operations().filter(uid=path_id(Operation.PREFIX, id)).first()
    if found is None:
        raise ApiError(404, "not_found", f"There is no operation {id[:80]!r}.")
    return found
