"""``/v1/test_clocks``: a stored now for test customers, and advancing it."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access.fields import PublicIdField, Rfc3339Field, TextField
from access.openapi import list_of
from access.pagination import fetch, page_response, read_page_request
from access.serializers import StrictSerializer
from access.times import format_rfc3339
from access.views import ApiView, path_id
from contracts.clocks import create_clock
from contracts.models import TestClock
from settlement.clocks import PLAYS, advance, advancing, find

NEWEST_FIRST = ("-id",)


class ClockRequest(StrictSerializer):
    """A new test clock."""

    now = Rfc3339Field(help_text="What it shows to begin with: any time, past or coming.")
    name = TextField(required=False, default="", max_length=255, allow_blank=True)


class AdvanceRequest(StrictSerializer):
    """How far to move a clock."""

    to = Rfc3339Field(help_text="Its own time or a later one.")


class ClockSerializer(serializers.Serializer[Any]):
    """A test clock."""

    id = PublicIdField(TestClock.PREFIX)
    name = serializers.CharField()
    now = Rfc3339Field()
    status = serializers.ChoiceField(["ready", "advancing"])
    customers = serializers.IntegerField(help_text="How many live by it.")
    created_at = Rfc3339Field(help_text="By the wall clock.")


class DoneSerializer(serializers.Serializer[Any]):
    """What happened on the way."""

    to = Rfc3339Field()
    events_evaluated = serializers.IntegerField(help_text="That had waited, of the clock's customers.")
    outcomes = serializers.DictField(child=serializers.IntegerField(), help_text="Settled, by the state they went to.")

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of Python's own.
        return {
            "from": Rfc3339Field(),
            **super().get_fields(),
            **{play.name: play.serializer() for play in PLAYS},
        }


class AdvancedSerializer(ClockSerializer):
    """A test clock, and what happened on the way to where it stands."""

    done = DoneSerializer()


def _clocks() -> QuerySet[TestClock]:
    return TestClock.objects.annotate(count=Count("customers"))


def clock_json(clock: Any, busy: Collection[UUID]) -> dict[str, Any]:
    """A clock of `_clocks` as the API shows it; ``busy`` are those being advanced."""
    return {
        "id": clock.public_id,
        "name": clock.name,
        "now": format_rfc3339(clock.now),
        "status": "advancing" if clock.id in busy else "ready",
        "customers": clock.count,
        "created_at": format_rfc3339(clock.created_at),
    }


def _answer(clock_id: UUID) -> dict[str, Any]:
    find(clock_id)
    return clock_json(_clocks().get(pk=clock_id), advancing([clock_id]))


class ClockList(ApiView):
    paginated = True

    @extend_schema(summary="List test clocks", responses=list_of(ClockSerializer), tags=["test clocks"])
    def get(self, request: Request) -> Response:
        """Test clocks, newest first."""
        rows, cursor = fetch(_clocks(), read_page_request(request, NEWEST_FIRST), NEWEST_FIRST)
        busy = advancing(row.id for row in rows)
        return page_response([clock_json(row, busy) for row in rows], cursor)

    @extend_schema(
        summary="Create a test clock", request=ClockRequest, responses={201: ClockSerializer}, tags=["test clocks"]
    )
    def post(self, request: Request) -> Response:
        """Customers that are created with it (`test_clock` of `PUT /v1/customers/{key}`) live by it instead of by the
        wall clock. It only moves forward, when told to.
        """
        body = ClockRequest(data=request.data)
        body.is_valid(raise_exception=True)
        clock = create_clock(**body.validated_data, wall=timezone.now())
        return Response(_answer(clock.id), status=201)


class ClockDetail(ApiView):
    @extend_schema(summary="Read a test clock", responses=ClockSerializer, tags=["test clocks"])
    def get(self, request: Request, clock_id: str) -> Response:
        """What it shows, and whether it is being advanced."""
        return Response(_answer(path_id(TestClock.PREFIX, clock_id)))


class ClockAdvance(ApiView):
    # Its steps commit by themselves, so that a crash leaves the clock part of the way; a repetition goes on.
    idempotency = "recorded"

    @extend_schema(
        summary="Advance a test clock", request=AdvanceRequest, responses=AdvancedSerializer, tags=["test clocks"]
    )
    def post(self, request: Request, clock_id: str) -> Response:
        """Everything due for its customers on the way happens, in order and at its instant: outcomes settle, invoices
        are drafted and issued. Then it answers. 409 `clock_busy` while another request advances the clock. Whatever
        goes wrong in between, the same request goes on from where the clock stands.
        """
        body = AdvanceRequest(data=request.data)
        body.is_valid(raise_exception=True)
        done = advance(path_id(TestClock.PREFIX, clock_id), body.validated_data["to"], wall=timezone.now())
        return Response(_answer(done.clock.id) | {"done": done.told()})
