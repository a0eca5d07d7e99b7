"""``/v1/holds``: what waits because a person said so."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.authentication import caller
from access.fields import FlagField, PublicIdField, TextField
from access.openapi import list_of
from access.pagination import paginate
from access.serializers import QuerySerializer, StrictSerializer
from access.views import ApiView, path_id
from outcomes.queries import OUTCOME_PREFIX
from settlement import holds
from settlement.holds import HOLD_PREFIX, Target
from settlement.models import Hold
from settlement.queries import all_holds, hold_json


class HoldQuery(QuerySerializer):
    """Holds on this customer, this condition, this outcome itself; ``active``: not released yet."""

    customer = TextField(required=False)
    condition = TextField(required=False)
    outcome = PublicIdField(OUTCOME_PREFIX, required=False)
    active = FlagField(required=False, help_text="`true`: not released yet; `false`: released.")


class HoldRequest(StrictSerializer):
    """Exactly one of `customer`, `condition` and `outcome`."""

    customer = TextField(required=False, help_text="Key of a customer: all of its outcomes.")
    condition = TextField(required=False, help_text="Slug of a condition: all of its outcomes.")
    outcome = PublicIdField(OUTCOME_PREFIX, required=False, help_text="Id of one outcome.")
    reason = TextField(max_length=1000, help_text="Why.")


class ReleaseRequest(StrictSerializer):
    note = TextField(required=False, default="", allow_blank=True, max_length=1000)


class HoldSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    customer = serializers.CharField(allow_null=True)
    condition = serializers.CharField(allow_null=True)
    outcome = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    active = serializers.BooleanField()
    placed_by = serializers.CharField()
    placed_at = serializers.DateTimeField()
    released_by = serializers.CharField(allow_null=True)
    released_at = serializers.DateTimeField(allow_null=True)
    note = serializers.CharField(allow_null=True, help_text="What was said when it was released.")


class HoldList(ApiView):
    query = {"GET": HoldQuery}
    paginated = True

    @extend_schema(summary="List holds", responses=list_of(HoldSerializer), tags=["holds"])
    def get(self, request: Request) -> Response:
        """Newest first. A filter finds the holds on that very thing: those on an outcome's customer or condition stand
        with them; `GET /v1/outcomes/{id}` names all that cover an outcome.
        """
        return paginate(request, all_holds(**self.params), order=("-id",), serialize=hold_json)

    @extend_schema(summary="Place a hold", request=HoldRequest, responses={201: HoldSerializer}, tags=["holds"])
    def post(self, request: Request) -> Response:
        """What it covers is neither confirmed nor missed by the clock, and what is confirmed is not billed, until the
        hold is released. It moves no `settled_at`. 409 `already_held` where a hold is on this already.
        """
        body = HoldRequest(data=request.data)
        body.is_valid(raise_exception=True)
        given: dict[str, Any] = dict(body.validated_data)
        reason = given.pop("reason")
        placed = holds.place(Target(**given), reason=reason, by=caller(request), now=timezone.now())
        return Response(hold_json(placed), status=201)


class HoldDetail(ApiView):
    @extend_schema(summary="Read a hold", responses=HoldSerializer, tags=["holds"])
    def get(self, request: Request, hold_id: str) -> Response:
        return Response(hold_json(_find(hold_id)))


class HoldRelease(ApiView):
    @extend_schema(summary="Release a hold", request=ReleaseRequest, responses={200: HoldSerializer}, tags=["holds"])
    def post(self, request: Request, hold_id: str) -> Response:
        """The next sweep books what it held back, at the instants that were planned, unless another hold covers it; the
        next billing run bills it. 409 `already_released` where it is over.
        """
        body = ReleaseRequest(data=request.data)
        body.is_valid(raise_exception=True)
        note = body.validated_data["note"]
        released = holds.release(path_id(HOLD_PREFIX, hold_id), note=note, by=caller(request), now=timezone.now())
        return Response(hold_json(all_holds().get(pk=released.pk)))


def _find(hold_id: str) -> Hold:
    wanted = path_id(HOLD_PREFIX, hold_id)
    found = all_holds().filter(pk=wanted).first()
    if found is None:
        raise holds.not_found(wanted)
    return found
