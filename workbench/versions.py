"""The versions of a condition: since when, by whom and why, and the difference of any two."""

import re
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from contracts import queries
from contracts import versions as in_time
from contracts.models import Condition, ConditionVersion
from workbench import diffs
from workbench.conditions import condition_or_404, need
from workbench.publishing import SAID

_PUBLISHED = re.compile(rf"{SAID} (\d+) \([^)]*\): (.*)", re.DOTALL)


class Shown(NamedTuple):
    """A version with its span (None: from the beginning, without an end), and what the trail tells of it."""

    version: ConditionVersion
    start: datetime | None
    end: datetime | None
    current: bool
    who: str
    why: str


def page(request: HttpRequest, pk: int) -> HttpResponse:
    """All versions, newest first, and the two that are asked for beside each other: the last two unless said."""
    need(request, "contracts.view_condition")
    condition = condition_or_404(pk)
    listed = list(condition.versions.all())
    now = timezone.now()
    told = _told(condition)
    current = queries.shown_version(listed, now)
    shown = []
    for version in sorted(listed, key=in_time.start_of, reverse=True):
        later = [one for one in listed if in_time.start_of(one) > in_time.start_of(version)]
        end = min(later, key=in_time.start_of).effective_from if later else None
        who, why = told.get(version.number, ("", ""))
        shown.append(Shown(version, version.effective_from, end, version == current, who, why))
    old, new = _chosen(request, listed)
    context = {
        **admin.site.each_context(request),
        "title": f"Versions of {condition.slug}",
        "condition": condition,
        "versions": shown,
        "numbers": [version.number for version in listed],
        "old": old,
        "new": new,
        "changes": [] if old is None or new is None else diffs.lines(old.text, new.text),
    }
    return TemplateResponse(request, "workbench/versions.html", context)


def _chosen(request: HttpRequest, listed: list[ConditionVersion]) -> tuple[Any, Any]:
    """The two versions to be held against each other; None where there is but one."""
    by_number = {str(version.number): version for version in listed}
    if len(listed) < 2:
        return None, None
    old = by_number.get(request.GET.get("old", ""), listed[-2])
    return old, by_number.get(request.GET.get("new", ""), listed[-1])


def _told(condition: Condition) -> dict[int, tuple[str, str]]:
    """By number who published a version in the admin, and why. What came by the API or from files names nobody."""
    rows = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Condition), object_id=str(condition.pk)
    ).select_related("user")
    found = {}
    for row in rows:
        if match := _PUBLISHED.fullmatch(row.get_change_message()):
            found[int(match[1])] = (row.user.get_username(), match[2])
    return found
