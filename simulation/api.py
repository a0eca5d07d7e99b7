"""``/v1/simulations``: what another definition, price or term would have billed, as a job."""

from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from access import error_codes, exporting
from access.authentication import caller
from access.errors import ApiError
from access.fields import ChoiceTextField, PublicIdField, Rfc3339Field
from access.openapi import list_of
from access.pagination import encode_cursor, page_response, paginate, read_page_request
from access.serializers import NoBody, QuerySerializer
from access.views import ApiView, FileView, path_id
from simulation import jobs, results, shadows, tasks
from simulation.models import CellRow, Shadow, Simulation
from simulation.queries import days_json, shadow_json, simulation_json
from simulation.serializers import ShadowRequest, SimulationRequest

error_codes.register(
    {
        "shadow_exists": "A shadow has that name already: take another one.",
        "too_many_shadows": "As many shadows run as may: stop one.",
        "no_effect": "A part of the question could change nothing: leave it out, or name customers it fits.",
        "look_of_a_shadow": "The simulation is the last look of a shadow: delete the shadow instead.",
        "shadow_runs": "The shadow runs: stop it first.",
        "simulation_runs": "The simulation has not ended: cancel it first.",
        "simulation_ended": "The simulation has ended: ask anew.",
        "simulation_not_done": "There is no result yet: wait until its status is `done`.",
    }
)


class SideSerializer(serializers.Serializer[Any]):
    """Outcomes that stand, those given back, those of the former that nothing charges; revenue by currency."""

    outcomes = serializers.IntegerField()
    reversed = serializers.IntegerField()
    unpriced = serializers.IntegerField()
    revenue = serializers.DictField(child=serializers.CharField())


class BothSerializer(serializers.Serializer[Any]):
    """In force, tried, and the difference."""

    before = SideSerializer()
    after = SideSerializer()
    difference = SideSerializer()


class SimulatedCustomerSerializer(BothSerializer):
    """One customer."""

    customer = serializers.CharField()


class ProgressSerializer(serializers.Serializer[Any]):
    """Events to be replayed (null: not counted yet) and replayed."""

    events = serializers.IntegerField(allow_null=True)
    replayed = serializers.IntegerField()


class SimulationSerializer(serializers.Serializer[Any]):
    """A simulation, without its result."""

    id = PublicIdField(Simulation.PREFIX)
    status = serializers.ChoiceField(Simulation.Status.choices)
    available_actions = serializers.ListField(child=serializers.CharField())
    asked = serializers.DictField(help_text="The question as it was sent.")
    asked_by = serializers.CharField()
    now = Rfc3339Field(help_text="The instant as of which everything is computed.")
    created_at = Rfc3339Field()
    finished_at = Rfc3339Field(allow_null=True)
    progress = ProgressSerializer()
    error = serializers.CharField(allow_null=True)


class SimulationDetailSerializer(SimulationSerializer):
    """The same with its result, null before it is done (docs/simulation.md)."""

    result = serializers.JSONField(allow_null=True)


class SimulationQuery(QuerySerializer):
    status = ChoiceTextField(Simulation.Status.choices, required=False)


class SimulationList(ApiView):
    query = {"GET": SimulationQuery}
    paginated = True

    @extend_schema(summary="List simulations", responses=list_of(SimulationSerializer), tags=["simulations"])
    def get(self, request: Request) -> Response:
        """Newest first, without their results; looks of shadows are not among them."""
        found = jobs.with_progress().filter(shadow=None, **self.params)
        return paginate(request, found, order=("-id",), serialize=simulation_json)

    @extend_schema(
        summary="Simulate",
        request=SimulationRequest,
        responses={202: SimulationDetailSerializer},
        tags=["simulations"],
    )
    def post(self, request: Request) -> Response:
        """Computes, from the stored events, what the given condition, prices or terms would have billed in the span,
        beside what is in force. Answers at once; workers do it. Nothing else is written.
        """
        made = jobs.create(request.data, by=caller(request), now=timezone.now())
        transaction.on_commit(lambda: tasks.begin(made.pk))
        return Response(_detail(jobs.find(made.pk)), status=202)


class SimulationDetail(ApiView):
    @extend_schema(summary="Read a simulation", responses=SimulationDetailSerializer, tags=["simulations"])
    def get(self, request: Request, simulation_id: str) -> Response:
        """Its progress, and once it is done its result with the first 100 customers."""
        return Response(_detail(_found(simulation_id)))

    @extend_schema(summary="Delete a simulation", responses={204: None}, tags=["simulations"])
    def delete(self, request: Request, simulation_id: str) -> Response:
        """With its result. 409 `simulation_runs` before it has ended, `look_of_a_shadow` of a shadow's look."""
        jobs.delete(path_id(Simulation.PREFIX, simulation_id))
        return Response(status=204)


class SimulationCancel(ApiView):
    @extend_schema(
        summary="Cancel a simulation",
        request=NoBody,
        responses={200: SimulationDetailSerializer},
        tags=["simulations"],
    )
    def post(self, request: Request, simulation_id: str) -> Response:
        """Workers let go of it. 409 `simulation_ended` where it is done or failed."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        return Response(_detail(jobs.cancel(_found(simulation_id).pk, now=timezone.now())))


class SimulationCustomers(ApiView):
    paginated = True

    @extend_schema(
        summary="List a simulation's customers", responses=list_of(SimulatedCustomerSerializer), tags=["simulations"]
    )
    def get(self, request: Request, simulation_id: str) -> Response:
        """In order of their keys. 409 `simulation_not_done` before it is done."""
        found = _done(simulation_id)
        page = read_page_request(request, ("customer",))
        keys = _customers(found, None if page.after is None else page.after[0], page.limit + 1)
        data = _customers_json(found, keys[: page.limit])
        more = len(keys) > page.limit
        return page_response(data, encode_cursor([keys[page.limit - 1]], page.binding) if more else None)


class SimulationCsv(FileView):
    @extend_schema(
        summary="Download a simulation as CSV",
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
        tags=["files"],
    )
    def get(self, request: Request, simulation_id: str) -> StreamingHttpResponse:
        """One row for each customer, month, condition and currency, RFC 4180, UTF-8, with a head. 409
        `simulation_not_done` before it is done.
        """
        found = _done(simulation_id)
        return StreamingHttpResponse(
            csv_of(found),
            content_type="text/csv; charset=utf-8; header=present",
            headers={"Content-Disposition": f'attachment; filename="{found.public_id}.csv"'},
        )


def csv_of(found: Simulation) -> Iterator[str]:
    """The rows as text, with their line ends, in flat memory."""
    yield from exporting.lines([results.CSV_HEADER])
    yield from exporting.lines(results.csv_rows(jobs.rows_of(found)))


MOST_CUSTOMERS = 100


def _detail(found: Simulation) -> dict[str, Any]:
    told = simulation_json(found) | {"result": found.result}
    if found.result is not None:
        keys = _customers(found, None, MOST_CUSTOMERS + 1)
        shown = _customers_json(found, keys[:MOST_CUSTOMERS])
        told["result"] = found.result | {"customers": shown, "more_customers": len(keys) > MOST_CUSTOMERS}
    return told


def _customers(found: Simulation, after: str | None, most: int) -> list[str]:
    cells = CellRow.objects.filter(simulation=found)
    if after is not None:
        cells = cells.filter(customer__gt=after)
    return list(cells.order_by("customer").values_list("customer", flat=True).distinct()[:most])


def _customers_json(found: Simulation, keys: list[str]) -> list[dict[str, Any]]:
    return [results.customer_json(key, both) for key, both in results.by_customer(jobs.rows_of(found, keys)).items()]


def _found(simulation_id: str) -> Simulation:
    return jobs.find(path_id(Simulation.PREFIX, simulation_id))


def _done(simulation_id: str) -> Simulation:
    found = _found(simulation_id)
    if found.status != Simulation.Status.DONE:
        raise ApiError(409, "simulation_not_done", f"The simulation is {found.status}: there is no result.")
    return found


# --- Shadows ----------------------------------------------------------------------------------------------------------


class ShadowSerializer(serializers.Serializer[Any]):
    """A draft beside what is in force, with the totals since its start as the last look found them; null before."""

    id = PublicIdField(Shadow.PREFIX)
    name = serializers.CharField()
    status = serializers.ChoiceField(Shadow.Status.choices)
    available_actions = serializers.ListField(child=serializers.CharField())
    asked = serializers.DictField(help_text="The draft as it was sent, with its start.")
    made_by = serializers.CharField()
    created_at = Rfc3339Field()
    looked_at = Rfc3339Field(allow_null=True, help_text="The instant as of which the totals are.")
    next_look_at = Rfc3339Field(allow_null=True, help_text="Null while a look runs, and of one that is stopped.")
    stopped_at = Rfc3339Field(allow_null=True)
    error = serializers.CharField(allow_null=True, help_text="Why the last look found nothing.")
    before = SideSerializer(allow_null=True)
    after = SideSerializer(allow_null=True)
    difference = SideSerializer(allow_null=True)


class DaySerializer(BothSerializer):
    """Everything since the start, as the last look of a day (UTC) found it."""

    day = serializers.DateField()
    looked_at = Rfc3339Field()


class ShadowDetailSerializer(ShadowSerializer):
    """The same with its days and all that the last look found (docs/simulation.md)."""

    look = PublicIdField(Simulation.PREFIX, allow_null=True, help_text="The simulation that is the last look.")
    days = DaySerializer(many=True)
    result = serializers.JSONField(allow_null=True)


class ShadowQuery(QuerySerializer):
    status = ChoiceTextField(Shadow.Status.choices, required=False)


class ShadowList(ApiView):
    query = {"GET": ShadowQuery}
    paginated = True

    @extend_schema(summary="List shadows", responses=list_of(ShadowSerializer), tags=["simulations"])
    def get(self, request: Request) -> Response:
        """Newest first, with their running totals."""
        return paginate(request, Shadow.objects.filter(**self.params), order=("-id",), serialize=shadow_json)

    @extend_schema(
        summary="Begin a shadow", request=ShadowRequest, responses={201: ShadowDetailSerializer}, tags=["simulations"]
    )
    def post(self, request: Request) -> Response:
        """Looks every few minutes at what the given condition, prices or terms would have billed since the start,
        beside what is in force. Nothing else is written. 409 `shadow_exists`, `too_many_shadows`.
        """
        made = shadows.create(request.data, by=caller(request), now=timezone.now())
        return Response(_shadow(made), status=201)


class ShadowDetail(ApiView):
    @extend_schema(summary="Read a shadow", responses=ShadowDetailSerializer, tags=["simulations"])
    def get(self, request: Request, shadow_id: str) -> Response:
        """Its running difference, day by day, and all that the last look found."""
        return Response(_shadow(shadows.find(path_id(Shadow.PREFIX, shadow_id))))

    @extend_schema(summary="Delete a shadow", responses={204: None}, tags=["simulations"])
    def delete(self, request: Request, shadow_id: str) -> Response:
        """With all that it found. 409 `shadow_runs` before it is stopped."""
        shadows.delete(path_id(Shadow.PREFIX, shadow_id))
        return Response(status=204)


class ShadowStop(ApiView):
    @extend_schema(
        summary="Stop a shadow", request=NoBody, responses={200: ShadowDetailSerializer}, tags=["simulations"]
    )
    def post(self, request: Request, shadow_id: str) -> Response:
        """No look more; what the last one found stays. Safe to repeat."""
        NoBody(data=request.data).is_valid(raise_exception=True)
        return Response(_shadow(shadows.stop(path_id(Shadow.PREFIX, shadow_id), now=timezone.now())))


def _shadow(found: Shadow) -> dict[str, Any]:
    look = shadows.last_look(found)
    return shadow_json(found) | {
        "look": None if look is None else look.public_id,
        "days": days_json(found),
        "result": None if look is None else _detail(look)["result"],
    }
