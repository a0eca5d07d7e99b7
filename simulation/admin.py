"""Simulations and shadows in the admin: forms that ask, pages with charts that answer."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import display

from access.asking import Asks
from access.errors import ApiError
from access.lists import ModelAdmin
from contracts.admin import Creating
from simulation import forecast_page, jobs, shadows
from simulation.admin_forms import ShadowForm, SimulationForm
from simulation.admin_pages import asked_rows, day_charts, lines, page_context
from simulation.api import csv_of
from simulation.models import Shadow, Simulation
from simulation.queries import days_json, shadow_json, simulation_json

COLOURS = {"waiting": "info", "running": "warning", "done": "success", "failed": "danger"}


@admin.register(Simulation)
class SimulationAdmin(Creating, Asks, ModelAdmin):
    add_form = SimulationForm
    list_display = ("public_id", "shown_status", "asked_by", "created_at", "finished_at")
    list_filter = ("status",)
    ordering = ("-id",)
    fields = ("public_id",)
    readonly_fields = fields
    list_before_template = "simulation/before_list.html"

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None:
            return type("Form", (form,), {"asked_by": request.user.get_username()})
        return form

    @display(description="Status", label=COLOURS, ordering="status")
    def shown_status(self, obj: Simulation) -> str:
        return obj.status

    def get_queryset(self, request: HttpRequest) -> QuerySet[Simulation]:
        return super().get_queryset(request).filter(shadow=None).defer("result")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("forecast/", wrap(self.forecast_view), name="simulation_simulation_forecast"),
            path("<uuid:pk>/csv/", wrap(self.csv_view), name="simulation_simulation_csv"),
            path("<uuid:pk>/cancel/", wrap(self.cancel_view), name="simulation_simulation_cancel"),
            path("<uuid:pk>/remove/", wrap(self.remove_view), name="simulation_simulation_remove"),
            *super().get_urls(),
        ]

    def forecast_view(self, request: HttpRequest) -> HttpResponse:
        """What running periods come to; `?customer=` of one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now, key = timezone.now(), request.GET.get("customer", "").strip() or None
        context = {**self.admin_site.each_context(request), "title": "Forecast of running periods", "customer": key}
        try:
            context |= forecast_page.page_context(key, now)
        except ApiError as error:
            context["problem"] = error.message
        return TemplateResponse(request, "simulation/forecast.html", context)

    # --- The page -----------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """What was asked, how far it is, and what came out."""
        found = self._found(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Simulation {found.public_id}",
            "found": found,
            "told": simulation_json(found),
            "asked": asked_rows(simulation_json(found)["asked"]),
            "share": 100 * (getattr(found, "replayed", None) or 0) // (found.events or 1),
            "may_cancel": not found.ended and self.has_act_permission(request),
            "cancel": reverse("admin:simulation_simulation_cancel", args=[found.pk]),
            "may_remove": found.ended and found.shadow_id is None and self.has_act_permission(request),
            "remove": reverse("admin:simulation_simulation_remove", args=[found.pk]),
            "csv": reverse("admin:simulation_simulation_csv", args=[found.pk]),
        }
        if found.result is not None:
            context |= page_context(found)
        return TemplateResponse(request, "simulation/page.html", context)

    def csv_view(self, request: HttpRequest, pk: UUID) -> HttpResponse | StreamingHttpResponse:
        found = self._found(request, str(pk))
        if found.result is None:
            raise Http404
        # Spreadsheets take a file for UTF-8 by its byte order mark.
        answer = StreamingHttpResponse(("\ufeff", *csv_of(found)), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{found.public_id}.csv"'
        return answer

    def cancel_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask whether; only a POST cancels."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        found = self._found(request, str(pk))
        back = reverse("admin:simulation_simulation_change", args=[pk])
        facts = [f"{found.public_id} is {found.status}.", "Workers let go of it, and it has no result."]
        question = "Cancel the simulation?"
        return self.question(
            request, question, facts, "Cancel it", back, (), lambda _: jobs.cancel(pk, now=timezone.now())
        )

    def remove_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask whether; only a POST deletes."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        found = self._found(request, str(pk))
        back = reverse("admin:simulation_simulation_changelist")
        facts = [f"{found.public_id} is {found.status}.", "What was asked and what came out is gone for good."]
        return self.question(request, "Delete the simulation?", facts, "Delete it", back, (), lambda _: jobs.delete(pk))

    def _found(self, request: HttpRequest, object_id: str) -> Simulation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = jobs.with_progress().filter(pk=UUID(object_id)).first()
        except ValueError:
            found = None
        if found is None:
            raise Http404
        return found


@admin.register(Shadow)
class ShadowAdmin(Creating, Asks, ModelAdmin):
    add_form = ShadowForm
    list_display = ("name", "shown_status", "outcomes", "revenue", "looked_at", "made_by", "created_at")
    list_filter = ("status",)
    search_fields = ("name",)
    ordering = ("-id",)
    fields = ("name",)
    readonly_fields = fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None:
            return type("Form", (form,), {"asked_by": request.user.get_username()})
        return form

    @display(description="Status", label={"running": "success", "stopped": "info"}, ordering="status")
    def shown_status(self, obj: Shadow) -> str:
        return obj.status

    @admin.display(description="Outcomes, difference")
    def outcomes(self, obj: Shadow) -> str:
        return "" if obj.totals is None else f"{obj.totals['difference']['outcomes']:+,}"

    @admin.display(description="Revenue, difference")
    def revenue(self, obj: Shadow) -> str:
        if obj.totals is None:
            return ""
        shown = [
            f"{line['revenue_difference']} {line['currency']}" for line in lines("", obj.totals) if line["currency"]
        ]
        return ", ".join(shown)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:pk>/stop/", wrap(self.stop_view), name="simulation_shadow_stop"),
            path("<uuid:pk>/remove/", wrap(self.remove_view), name="simulation_shadow_remove"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The draft, its running difference day by day, and what the last look found."""
        found = self._found(request, object_id)
        look, days = shadows.last_look(found), days_json(found)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Shadow {found.name}",
            "found": found,
            "asked": asked_rows(shadow_json(found)["asked"]),
            "may_stop": found.status == Shadow.Status.RUNNING and self.has_act_permission(request),
            "stop": reverse("admin:simulation_shadow_stop", args=[found.pk]),
            "may_remove": found.status == Shadow.Status.STOPPED and self.has_act_permission(request),
            "remove": reverse("admin:simulation_shadow_remove", args=[found.pk]),
            "day_charts": day_charts(days) if days else [],
            "days": [line for one in days for line in lines(one["day"], one)],
        }
        if look is not None:
            context |= page_context(look)
        return TemplateResponse(request, "simulation/shadow.html", context)

    def stop_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask whether; only a POST stops."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        found = self._found(request, str(pk))
        back = reverse("admin:simulation_shadow_change", args=[pk])
        facts = [f"{found.name} is {found.status}.", "It is looked at no more; what the last look found stays."]
        return self.question(
            request, "Stop the shadow?", facts, "Stop it", back, (), lambda _: shadows.stop(pk, now=timezone.now())
        )

    def remove_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask whether; only a POST deletes."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        found = self._found(request, str(pk))
        back = reverse("admin:simulation_shadow_changelist")
        facts = [f"{found.name} is {found.status}.", "The draft and all that was found of it is gone for good."]
        return self.question(request, "Delete the shadow?", facts, "Delete it", back, (), lambda _: shadows.delete(pk))

    def _found(self, request: HttpRequest, object_id: str) -> Shadow:
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = Shadow.objects.filter(pk=UUID(object_id)).first()
        except ValueError:
            found = None
        if found is None:
            raise Http404
        return found
