"""Pages of the condition workbench: the editor, and what is asked of its text while it is written.

Looking and trying are for who may see conditions, and write nothing; only a simulation of a long history is kept, as a
job, by who may ask one.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from access.errors import ApiError
from conditions_dsl import model as m
from conditions_dsl.errors import Diagnostic, render
from conditions_dsl.words import KEYWORDS
from contracts import queries
from contracts.admin_forms import lines_of
from contracts.api.conditions import diagnostic_json
from contracts.models import Condition, ConditionVersion
from simulation import jobs
from simulation.models import Simulation
from workbench import trying
from workbench.diffs import differs
from workbench.drafts import Draft, differences, draft_of, standing
from workbench.meaning import facts
from workbench.recent import recent

STARTER = """outcome resolved_ticket "Support ticket resolved"
per ticket_id

bill when ticket.closed
void when ticket.reopened
settle after 72 hours
"""
"""What the page of a new condition begins with: something that is one, to be written over."""


def text_of(request: HttpRequest) -> str:
    """The text that was posted; browsers end its lines with CR LF."""
    return lines_of(request.POST.get("text", ""))


def need(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def condition_or_404(pk: int) -> Condition:
    """With its versions at hand."""
    found = queries.conditions().filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


# --- The editor -------------------------------------------------------------------------------------------------------


def editor(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """The editor of a new condition, or of the next version of one. Without scripts its buttons post the text here."""
    need(request, "contracts.view_condition")
    now = timezone.now()
    condition = None if pk is None else condition_or_404(pk)
    if request.method != "POST":
        return editor_page(request, draft_of(_begun(request, condition, now), now), condition)
    draft = draft_of(text_of(request), now)
    if "_mend" in request.POST:
        draft = draft_of(_mended(draft, request.POST["_mend"]), now)
    elif "_simulate" in request.POST:
        billed = billed_context(request, draft, now)
        if "job" in billed:
            return redirect("admin:simulation_simulation_change", billed["job"].pk)
        return editor_page(request, draft, condition, billed)
    elif "_job" in request.POST and draft.reading is not None:
        need(request, "simulation.add_simulation")
        made = trying.begin(draft, by=request.user.get_username(), now=now)
        return redirect("admin:simulation_simulation_change", made.pk)
    return editor_page(request, draft, condition)


def editor_page(
    request: HttpRequest, draft: Draft, condition: Condition | None, billed: dict[str, Any] | None = None
) -> HttpResponse:
    """The page with a text in it, and all that is known of the text."""
    context = {
        **admin.site.each_context(request),
        "title": "New condition" if condition is None else f"Condition {condition.slug}",
        "condition": condition,
        "here": _address(condition),
        "words": {"keywords": sorted(KEYWORDS), "units": sorted({*m.UNITS, *(f"{unit}s" for unit in m.UNITS)})},
        "may_publish": request.user.has_perm("contracts.add_condition"),
        "may_simulate": request.user.has_perm("simulation.add_simulation"),
        "billed": billed,
        "days": trying.DAYS,
        **_report(draft),
        **_events(request, draft),
    }
    return TemplateResponse(request, "workbench/condition.html", context)


def add_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The admin's own address for a new condition leads to the editor."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    return redirect("workbench_condition_new")


def _address(condition: Condition | None) -> str:
    if condition is None:
        return reverse("workbench_condition_new")
    return reverse("workbench_condition", args=[condition.pk])


def _begun(request: HttpRequest, condition: Condition | None, now: datetime) -> str:
    """The text to begin with: of the version in force, or of the one that is asked for."""
    if condition is None:
        return STARTER
    listed = list(condition.versions.all())
    wanted = request.GET.get("version", "")
    asked = next((one for one in listed if str(one.number) == wanted), None)
    version: ConditionVersion = asked or queries.shown_version(listed, now)
    return version.text


def _mended(draft: Draft, number: str) -> str:
    """The text with the mend of one finding made; as it is where there is none."""
    index = int(number) if number.isascii() and number.isdigit() else -1
    fixes = [one.fix for one in draft.diagnostics]
    fix = fixes[index] if 0 <= index < len(fixes) else None
    return draft.text if fix is None else fix


# --- While it is written ----------------------------------------------------------------------------------------------


def check(request: HttpRequest) -> HttpResponse:
    """What `POST /v1/conditions/check` says of the text, and the part of the page that says it."""
    need(request, "contracts.view_condition")
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    draft = draft_of(text_of(request), timezone.now())
    context = _report(draft)
    reading = draft.finding.reading
    return JsonResponse(
        {
            "ok": draft.finding.ok,
            "diagnostics": [diagnostic_json(diagnostic) for diagnostic in draft.diagnostics],
            "canonical": reading.canonical if reading else None,
            "description": reading.description if reading else None,
            "findings": render_to_string("workbench/findings.html", context, request),
            "report": render_to_string("workbench/report.html", context, request),
        }
    )


def events(request: HttpRequest) -> HttpResponse:
    """The part of the page with recent events and what the text makes of them."""
    need(request, "contracts.view_condition")
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    draft = draft_of(text_of(request), timezone.now())
    return TemplateResponse(request, "workbench/events.html", _events(request, draft))


def _report(draft: Draft) -> dict[str, Any]:
    lines = differences(draft)
    return {
        "draft": draft,
        "findings": [_finding(draft.text, one) for one in draft.diagnostics],
        "standing": standing(draft),
        "facts": facts(draft),
        "changes": lines if differs(lines) else [],
    }


def _finding(text: str, diagnostic: Diagnostic) -> dict[str, Any]:
    """As the API has it; ``place`` is the line with a caret under the place and, where there is one, the mend."""
    return {**diagnostic_json(diagnostic), "place": render(text, diagnostic).split("\n\n", 1)[1]}


def _events(request: HttpRequest, draft: Draft) -> dict[str, Any]:
    if not request.user.has_perm("outcomes.view_event"):
        return {"recent": None}
    return {"recent": recent(draft, draft.now), "draft": draft}


# --- What it would have billed ----------------------------------------------------------------------------------------


def simulate(request: HttpRequest) -> HttpResponse:
    """The part of the page with what the last days would have billed, or with how far the job is that finds out."""
    need(request, "contracts.view_condition")
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    now = timezone.now()
    context = billed_context(request, draft_of(text_of(request), now), now)
    return TemplateResponse(request, "workbench/billed.html", context)


def simulated(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The same part of the page, of a job."""
    need(request, "simulation.view_simulation")
    found = jobs.with_progress().filter(pk=pk).first()
    if found is None:
        raise Http404
    return TemplateResponse(request, "workbench/billed.html", _of_job(found))


def billed_context(request: HttpRequest, draft: Draft, now: datetime) -> dict[str, Any]:
    """``billed``, or the ``job`` that works it out, or in a sentence why neither (``problem``)."""
    user = request.user
    if draft.reading is None:
        return {"problem": "This is no condition yet: mend it first."}
    if not user.has_perm("simulation.view_simulation"):
        return {"problem": "What it would have billed is for roles that see simulations."}
    try:
        if trying.few_events():
            return {"billed": trying.at_once(draft, now)}
        if user.has_perm("simulation.add_simulation"):
            return _of_job(trying.begin(draft, by=user.get_username(), now=now))
    except ApiError as refusal:
        return {"problem": refusal.message}
    return {"problem": "The history is long, so this is a job for the workers: ask somebody who may begin simulations."}


def _of_job(found: Simulation) -> dict[str, Any]:
    billed = trying.of_job(found)
    if billed is not None:
        return {"billed": billed}
    if found.ended:
        return {"problem": found.error or f"The simulation is {found.status}."}
    replayed = getattr(found, "replayed", None) or 0
    return {"job": found, "replayed": replayed, "share": 100 * replayed // (found.events or 1)}
