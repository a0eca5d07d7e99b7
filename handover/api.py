"""``/v1/handovers``."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.authentication import caller
from access.errors import ApiError
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import NoBody
from access.views import ApiView, path_id
from handover import queries, work
from handover.models import Handover
from handover.serializers import HandoverDismissRequest, HandoverQuery, HandoverSerializer


class HandoverList(ApiView):
    query = {"GET": HandoverQuery}
    paginated = True

    @extend_schema(summary="List hand-overs", responses=list_of(HandoverSerializer), tags=["hand-overs"])
    def get(self, request: Request) -> Response:
        """Outcomes that another system invoices, and their reversals, newest first: told, waiting, or parked for a
        person.
        """
        return paginate(request, queries.handovers(**self.params), order=("-id",), serialize=queries.handover_json)


class HandoverDetail(ApiView):
    @extend_schema(summary="Read a hand-over", responses=HandoverSerializer, tags=["hand-overs"])
    def get(self, request: Request, id: str) -> Response:
        """One hand-over, with what the other system is told."""
        return Response(queries.handover_json(_found(id)))


class HandoverRetry(ApiView):
    @extend_schema(summary="Hand over again", request=NoBody, responses=HandoverSerializer, tags=["hand-overs"])
    def post(self, request: Request, id: str) -> Response:
        """Has one that waits or is parked tried again at once, under the identifier it had. 409 for a finished one."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        row = work.retry(_found(id).pk, now=timezone.now(), by=caller(request))
        return Response(queries.handover_json(queries.handovers().get(pk=row.pk)))


class HandoverDismiss(ApiView):
    @extend_schema(
        summary="Dismiss a hand-over", request=HandoverDismissRequest, responses=HandoverSerializer, tags=["hand-overs"]
    )
    def post(self, request: Request, id: str) -> Response:
        """Closes one that waits or is parked: a person saw to it, or nothing is to be told. 409 for a finished one."""
        body = HandoverDismissRequest(data=request.data)
        body.is_valid(raise_exception=True)
        row = work.dismiss(_found(id).pk, **body.validated_data, now=timezone.now(), by=caller(request))
        return Response(queries.handover_json(queries.handovers().get(pk=row.pk)))


def _found(id: str) -> Handover:
    row = queries.handovers().filter(uid=path_id(Handover.PREFIX, id)).first()
    if row is None:
        raise ApiError(404, "not_found", f"There is no hand-over {id[:80]!r}.")
    return row
