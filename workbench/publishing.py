"""Putting a condition into force from a date: what will happen, in words, and then the API's own function."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold import widgets

from access.errors import ApiError, Detail
from contracts import durations, limits, queries
from contracts import versions as in_time
from contracts.admin_forms import moment_field, text_field
from contracts.condition_text import Reading, settle_clause, settles_after
from contracts.conditions import create_condition_version
from contracts.models import Condition, ConditionVersion, Contract, Customer
from contracts.refusals import conflict
from outcomes import narrative
from workbench import trying
from workbench.conditions import editor_page, need, text_of
from workbench.drafts import Draft, differences, draft_of, standing
from workbench.meaning import facts

NAMED = 20
"""Customers that are named one by one."""
SAID = "Published version"
"""How the trail tells it: followed by the number."""


class PublishForm(forms.Form):
    effective_from = moment_field(required=False, label="In force from")
    customers = forms.ModelMultipleChoiceField(
        Customer.objects.order_by("key"),
        required=False,
        label="For these customers alone",
        widget=widgets.UnfoldAdminSelect2MultipleWidget(),
    )
    reason = text_field(max_length=1000, label="Why", help_text="It is kept in the trail, with your name.")

    def __init__(self, data: Any, condition: Condition | None) -> None:
        initial = []
        if condition is not None:
            initial = [named.customer_id for named in condition.named.all()]
        super().__init__(data, initial={"customers": initial})
        self.fields["effective_from"].help_text = (
            "UTC. Left empty: from the beginning of time, for what came before as well."
            if condition is None
            else "UTC, not in the past. Left empty: from now on."
        )
        self.fields["customers"].help_text = (
            "Left empty: for every customer, which it then stays."
            if condition is None
            else "Nobody is taken off; whoever is new among them joins from the same moment on."
        )
        if condition is not None and not condition.limited:
            del self.fields["customers"]

    def complain(self, refusal: ApiError) -> None:
        """What the API refuses, beside the field that it names."""
        for detail in refusal.details or (Detail("", refusal.message, refusal.code),):
            name = detail.path.partition("[")[0]
            self.add_error(name if name in self.fields else None, detail.message)


def publish(request: HttpRequest) -> HttpResponse:
    """Ask from when and why, and say what will happen; with `_confirm`, do it."""
    need(request, "contracts.add_condition")
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    now = timezone.now()
    draft = draft_of(text_of(request), now)
    reading = draft.reading
    if reading is None:
        return editor_page(request, draft, draft.condition)
    form = PublishForm(request.POST if "_confirm" in request.POST else None, draft.condition)
    if form.is_bound and form.is_valid():
        try:
            version = _put_into_force(request, draft.text, form.cleaned_data, now)
        except ApiError as refusal:
            form.complain(refusal)
        else:
            messages.success(request, f"{version} is published, in force {_since(version.effective_from)}.")
            return redirect("workbench_condition_versions", version.condition_id)
    context = {
        **admin.site.each_context(request),
        "title": f"Publish {reading.slug}",
        "draft": draft,
        "form": form,
        "standing": standing(draft),
        "consequences": list(_consequences(draft, reading)),
        "facts": facts(draft),
        "changes": differences(draft),
        "days": trying.DAYS,
        **_simulation(request, draft, now),
        "back": reverse("workbench_condition_new")
        if draft.condition is None
        else reverse("workbench_condition", args=[draft.condition.pk]),
    }
    return TemplateResponse(request, "workbench/publish.html", context)


def _put_into_force(request: HttpRequest, text: str, given: dict[str, Any], now: datetime) -> ConditionVersion:
    """By the API's function, noted in the trail in the same transaction. ApiError where it is refused."""
    named = [customer.key for customer in given.get("customers", ())] or None
    with transaction.atomic():
        change = create_condition_version(text, effective_from=given["effective_from"], now=now, customers=named)
        if not change.wrote:
            raise conflict("condition_unchanged", f"Version {change.value.number} in force says this already.", "text")
        version: ConditionVersion = change.value
        message = f"{SAID} {version.number} (in force {_since(version.effective_from)}): {given['reason']}"
        history = admin.site.get_model_admin(Condition)
        log = history.log_addition if version.number == 1 else history.log_change
        log(request, version.condition, message)
    return version


def _since(moment: datetime | None) -> str:
    return "from the beginning of time" if moment is None else f"from {narrative.moment(moment)}"


# --- What will happen, in words ---------------------------------------------------------------------------------------


def _consequences(draft: Draft, reading: Reading) -> Iterator[str]:
    if draft.condition is None:
        yield (
            "Without a date it holds from the beginning of time: events that have come already are read, too, and until"
            " all of them are, nothing of it becomes final. What that makes billable in periods that are invoiced comes"
            " as late outcomes, where a price was in force at the time."
        )
        yield "With a date it holds for attempts that begin at or after it; nothing before counts."
        return
    yield (
        "Attempts that begin at or after the date are judged by the new version. What began before keeps the version it"
        " began under to its end: outcomes in their settlement window now, and what was confirmed, stay as they are."
    )
    coming = [one for one in draft.condition.versions.all() if in_time.start_of(one) > draft.now]
    for version in coming:
        yield f"Version {version.number} is agreed already and takes over {_since(version.effective_from)}."
    yield from _kept(draft.condition, reading, draft.now)
    if draft.condition.limited:
        yield f"It is for {', '.join(limits.keys_of(draft.condition) or ())} alone."


def _kept(condition: Condition, reading: Reading, now: datetime) -> Iterator[str]:
    """Whose contracts say otherwise: pinned versions, and windows of their own."""
    key = str(condition.pk)
    pinned = _contracts_where(now, conditions__has_key=key)
    kept = [f"{one.customer.key} (version {version.conditions[key]})" for one, version in pinned
            if key in version.conditions]  # fmt: skip
    if kept:
        yield f"These customers' contracts pin a version, which they keep whatever is published: {_listed(kept)}."
    windows = _contracts_where(now, settlement_windows__has_key=key)
    own = [f"{one.customer.key} ({durations.text_of(version.settlement_windows[key])})" for one, version in windows
           if key in version.settlement_windows]  # fmt: skip
    if own and settles_after(reading.canonical):
        yield f"These customers' contracts have a settlement window of their own, which stays: {_listed(own)}."
    elif own:
        yield (
            f"These customers' contracts have a settlement window of their own, which the new version does not heed, as"
            f" it says `{settle_clause(reading.canonical)}`: {_listed(own)}."
        )


def _contracts_where(now: datetime, **wanted: str) -> Iterator[tuple[Contract, Any]]:
    """Running contracts of which a version says so, with their version in force."""
    asked = {f"versions__{name}": value for name, value in wanted.items()}
    found = queries.contracts().filter(pk__in=Contract.objects.filter(**asked).values("pk")).order_by("customer__key")
    for contract in found.iterator(chunk_size=500):
        if contract.ends_at is None or contract.ends_at > now:
            yield contract, queries.version_in_force(contract, now)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _simulation(request: HttpRequest, draft: Draft, now: datetime) -> dict[str, Any]:
    """What the last days would have billed: worked out where that is quick, else as the last simulation found it."""
    if not request.user.has_perm("simulation.view_simulation"):
        return {"problem": "What it would have billed is for roles that see simulations."}
    try:
        if trying.few_events():
            return {"billed": trying.at_once(draft, now)}
    except ApiError as refusal:
        return {"problem": refusal.message}
    found = trying.latest_job(draft)
    if found is None:
        return {"problem": "No simulation of this text was made: go back and ask what it would have billed."}
    return {"billed": trying.of_job(found)}
