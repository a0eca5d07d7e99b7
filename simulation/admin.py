"""Simulations in the admin: a form that asks, a page with charts that answers."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold import widgets
from unfold.admin import ModelAdmin
from unfold.decorators import display

from access.asking import Asks
from access.errors import Detail
from access.times import format_rfc3339
from contracts.admin import Creating
from contracts.admin_forms import UseCaseForm, area_field, lines_of, moment_field, prose_field, text_field
from contracts.apply.documents import DocumentError, read_yaml
from contracts.changes import Change, Kind
from contracts.models import Condition
from contracts.refusals import raise_if_any
from simulation import jobs, results, tasks
from simulation.api import csv_of
from simulation.models import Simulation
from simulation.queries import simulation_json

COLOURS = {"waiting": "info", "running": "warning", "done": "success", "failed": "danger"}
SHOWN = 50
"""Customers on the page: those that change most."""


def _slug_field(help_text: str) -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        Condition.objects.all(), required=False, widget=widgets.UnfoldAdminSelectWidget(), help_text=help_text
    )


class SimulationForm(UseCaseForm):
    start = moment_field(label="From", help_text="UTC. Billing periods that end after it count, whole.")
    to = moment_field(help_text="UTC. Billing periods that begin before it count, whole.")
    condition = area_field(
        required=False, help_text="Text of a condition, in the place of its slug's versions. Left empty: as in force."
    )
    window_of = _slug_field("A condition whose `settle after` is to be another duration.")
    window = text_field(required=False, max_length=64, help_text="That duration: 48 hours, 14 days.")
    rate_card = area_field(required=False, help_text="Prices as in the files of `apply`, YAML: currency and prices.")
    contract = area_field(required=False, help_text="Terms of every contract, YAML: minimum, cap, discount, fees …")
    customers = prose_field(help_text="Keys, one a line. Left empty: all.")
    window_curve = _slug_field("Besides, revenue by windows of 1 hour to 30 days of this condition.")
    price_curve = _slug_field("Besides, revenue by prices of 50 % to 150 % of this condition.")

    class Meta:
        model = Simulation
        fields: list[str] = []

    asked_by = "admin"

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        given: dict[str, Any] = {"from": format_rfc3339(data["start"]), "to": format_rfc3339(data["to"])}
        if data["condition"].strip():
            given["condition"] = lines_of(data["condition"])
        for name in ("rate_card", "contract"):
            if data[name].strip():
                given[name] = _document(name, lines_of(data[name]))
        if data["window_of"] is not None or data["window"]:
            raise_if_any([_both(data)])
            windows = given.setdefault("contract", {}).setdefault("settlement_windows", {})
            windows[data["window_of"].slug] = data["window"]
        if keys := [key for line in lines_of(data["customers"]).split("\n") if (key := line.strip())]:
            given["customers"] = keys
        for name in ("window_curve", "price_curve"):
            if data[name] is not None:
                given[name] = data[name].slug
        made = jobs.create(given, by=self.asked_by, now=now)
        transaction.on_commit(lambda: tasks.begin(made.pk))
        return Change(Kind.CREATED, made)


def _both(data: Mapping[str, Any]) -> Detail | None:
    if data["window_of"] is None or not data["window"]:
        return Detail("window", "Another window takes both: the condition, and the duration.", "required")
    return None


def _document(name: str, text: str) -> dict[str, Any]:
    try:
        value = read_yaml(text).value
    except DocumentError as error:
        raise_if_any([Detail(name, f"Line {error.line or 1}: {error.message}.", "invalid")])
        raise
    if not isinstance(value, dict):
        raise_if_any([Detail(name, "Expected names with their values, such as `currency: USD`.", "invalid")])
    return dict(value)


@admin.register(Simulation)
class SimulationAdmin(Creating, Asks, ModelAdmin):
    add_form = SimulationForm
    list_display = ("public_id", "shown_status", "asked_by", "created_at", "finished_at")
    list_filter = ("status",)
    ordering = ("-id",)
    fields = ("public_id",)
    readonly_fields = fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None:
            return type("Form", (form,), {"asked_by": request.user.get_username()})
        return form

    @display(description="Status", label=COLOURS, ordering="status")
    def shown_status(self, obj: Simulation) -> str:
        return obj.status

    def get_queryset(self, request: HttpRequest) -> QuerySet[Simulation]:
        return super().get_queryset(request).defer("result")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:pk>/csv/", wrap(self.csv_view), name="simulation_simulation_csv"),
            path("<uuid:pk>/cancel/", wrap(self.cancel_view), name="simulation_simulation_cancel"),
            *super().get_urls(),
        ]

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
            "asked": _asked(found),
            "share": 100 * (getattr(found, "replayed", None) or 0) // (found.events or 1),
            "may_cancel": not found.ended and self.has_act_permission(request),
            "cancel": reverse("admin:simulation_simulation_cancel", args=[found.pk]),
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


def _asked(found: Simulation) -> list[tuple[str, str]]:
    """The question, a row for each part of it."""
    given = simulation_json(found)["asked"]

    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)

    return [(name.replace("_", " "), text(value)) for name, value in given.items()]


def page_context(found: Simulation) -> dict[str, Any]:
    """The result as the page shows it: tables, and charts as Chart.js reads them."""
    result = found.result
    assert result is not None
    customers = [results.customer_json(key, both) for key, both in results.by_customer(jobs.rows_of(found)).items()]
    customers.sort(key=lambda one: (-_moved(one), one["customer"]))
    return {
        "result": result,
        "total": _lines("", result),
        "months": [line for one in result["months"] for line in _lines(one["month"], one)],
        "conditions": [line for one in result["conditions"] for line in _lines(one["condition"] or "(terms)", one)],
        "customers": [line for one in customers[:SHOWN] for line in _lines(one["customer"], one)],
        "customer_count": len(customers),
        "customers_shown": min(SHOWN, len(customers)),
        "changed": [one for one in result["conditions"] if one["changes"] and _changed(one["changes"])],
        "charts": list(_charts(result)),
    }


def _moved(one: Mapping[str, Any]) -> Decimal:
    return sum((abs(Decimal(amount)) for amount in one["difference"]["revenue"].values()), Decimal(0))


def _changed(changes: Mapping[str, int]) -> bool:
    return any(changes[name] for name in ("gained", "lost", "moved_in", "moved_out"))


def _lines(label: str, one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row of a table for each currency."""
    return [
        {
            "label": label,
            "currency": currency,
            "outcomes": [f"{one['before']['outcomes']:,}", f"{one['after']['outcomes']:,}"],
            "outcomes_difference": f"{one['difference']['outcomes']:+,}",
            "revenue": [_amount(one[side]["revenue"].get(currency)) for side in ("before", "after")],
            "revenue_difference": _amount(one["difference"]["revenue"].get(currency), signed=True),
        }
        for currency in (list(one["before"]["revenue"]) or [""])
    ]


def _amount(text: str | None, *, signed: bool = False) -> str:
    if text is None:
        return ""
    return f"{Decimal(text):+,}" if signed and Decimal(text) else f"{Decimal(text):,}"


IN_FORCE, TRIED = "#9ca3af", "#7c3aed"


def _charts(result: Mapping[str, Any]) -> Any:
    """(title, kind, data as JSON, the figures as a table) for each currency."""
    for currency in sorted(result["before"]["revenue"]):
        months = [one["month"] for one in result["months"]]
        sides = [
            (label, [one[side]["revenue"].get(currency, "0") for one in result["months"]], colour)
            for side, label, colour in (("before", "in force", IN_FORCE), ("after", "tried", TRIED))
        ]
        yield _chart(f"Revenue by month, {currency}: in force grey, tried violet", "bar", months, sides)
        for name, title, label in (
            ("window_curve", "Revenue by settlement window", "window"),
            ("price_curve", "Revenue by price, in percent of what is tried", "percent"),
        ):
            points = result[name]
            if points:
                revenue = [one["revenue"].get(currency, "0") for one in points]
                axis = [str(one[label]) for one in points]
                yield _chart(f"{title}, {currency}", "line", axis, [("revenue", revenue, TRIED)])


def _chart(title: str, kind: str, labels: list[str], sets: list[tuple[str, list[str], str]]) -> dict[str, Any]:
    # Chart.js draws by the text of a number; it is told exact decimals, not floats.
    data = {
        "labels": labels,
        "datasets": [
            {
                "label": label, "data": values, "borderColor": colour, "backgroundColor": colour, "displayYAxis": True,
                "grouped": True, "maxBarThickness": 24,
            }
            for label, values, colour in sets
        ],
    }  # fmt: skip
    return {"title": title, "kind": kind, "data": json.dumps(data)}
