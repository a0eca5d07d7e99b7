"""Forms of the admin that ask a simulation, and begin a shadow."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.db import transaction
from unfold import widgets

from access.errors import Detail
from access.times import format_rfc3339
from contracts.admin_forms import UseCaseForm, area_field, lines_of, moment_field, prose_field, text_field
from contracts.apply.documents import DocumentError, read_yaml
from contracts.changes import Change, Kind
from contracts.models import Condition
from contracts.refusals import raise_if_any
from simulation import jobs, shadows, tasks
from simulation.models import Shadow, Simulation


def _slug_field(help_text: str) -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        Condition.objects.all(), required=False, widget=widgets.UnfoldAdminSelectWidget(), help_text=help_text
    )


class DraftForm(UseCaseForm):
    """What is to be tried, and for whom."""

    condition = area_field(
        required=False, help_text="Text of a condition, in the place of its slug's versions. Left empty: as in force."
    )
    window_of = _slug_field("A condition whose `settle after` is to be another duration.")
    window = text_field(required=False, max_length=64, help_text="That duration: 48 hours, 14 days.")
    rate_card = area_field(required=False, help_text="Prices as in the files of `apply`, YAML: currency and prices.")
    contract = area_field(required=False, help_text="Terms of every contract, YAML: minimum, cap, discount, fees …")
    customers = prose_field(help_text="Keys, one a line. Left empty: all.")

    asked_by = "admin"

    def draft(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The draft as the API takes it."""
        given: dict[str, Any] = {}
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
        return given


class SpanFields(UseCaseForm):
    start = moment_field(label="From", help_text="UTC. Billing periods that end after it count, whole.")
    to = moment_field(help_text="UTC. Billing periods that begin before it count, whole.")


class SimulationForm(DraftForm, SpanFields):  # whose fields come first
    window_curve = _slug_field("Besides, revenue by windows of 1 hour to 30 days of this condition.")
    price_curve = _slug_field("Besides, revenue by prices of 50 % to 150 % of this condition.")

    class Meta:
        model = Simulation
        fields: list[str] = []

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        given = {"from": format_rfc3339(data["start"]), "to": format_rfc3339(data["to"]), **self.draft(data)}
        for name in ("window_curve", "price_curve"):
            if data[name] is not None:
                given[name] = data[name].slug
        made = jobs.create(given, by=self.asked_by, now=now)
        transaction.on_commit(lambda: tasks.begin(made.pk))
        return Change(Kind.CREATED, made)


class StartFields(UseCaseForm):
    name = text_field(max_length=128, help_text="Tells it from other shadows.")
    start = moment_field(
        label="From",
        required=False,
        help_text="UTC, not later than now. Left empty: now. A period it lies in counts whole.",
    )


class ShadowForm(DraftForm, StartFields):  # whose fields come first
    class Meta:
        model = Shadow
        fields: list[str] = []

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        given = {"name": data["name"], **self.draft(data)}
        if data["start"] is not None:
            given["from"] = format_rfc3339(data["start"])
        return Change(Kind.CREATED, shadows.create(given, by=self.asked_by, now=now))


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
