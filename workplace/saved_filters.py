"""Saved filters: what somebody narrowed a list of the admin to, kept under a name above the list.

Only what the list itself takes is kept, and its address is made of the list's own each time it is shown: a saved filter
leads nowhere else.
"""

from copy import copy
from typing import Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from access import trail
from workplace.exporting import filtered
from workplace.models import SavedFilter

MOST: Final = 30
"""So many of one list and person: more are no help."""
LONGEST_NAME: Final = 60
LONGEST_QUERY: Final = 2000

# Where in the list somebody was, and what is of the moment.
_PASSING: Final = ("p", "e", "all", "_popup", "_to_field", "_changelist_filters")


def kept(query: str) -> str:
    """A query string without what is of the moment, in one order, so that two that mean the same are the same."""
    given = QueryDict(query, mutable=True)
    for name in _PASSING:
        given.pop(name, None)
    ordered = QueryDict(mutable=True)
    for name in sorted(given):
        ordered.setlist(name, [value for value in given.getlist(name) if value])
    return ordered.urlencode()


def seen_by(user: Any, model: type[Model]) -> QuerySet[SavedFilter]:
    """Their own of a list, and those that others share."""
    return SavedFilter.objects.filter(Q(user=user) | Q(shared=True), model=model._meta.label_lower)


def address(found: SavedFilter) -> str:
    """The list with these filters."""
    return f"{list_address(model_of(found.model))}?{found.query}"


def list_address(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def model_of(label: str) -> type[Model]:
    """The model of a list. Raises Http404 where there is none."""
    for model in admin.site._registry:
        if model._meta.label_lower == label:
            return model
    raise Http404


def may_remove(user: Any, found: SavedFilter) -> bool:
    """Who saved it; and who may remove those of others."""
    return found.user_id == user.pk or user.has_perm("workplace.delete_savedfilter")


# --- Pages ------------------------------------------------------------------------------------------------------------


def save(request: HttpRequest) -> HttpResponse:
    """Keep ``query`` of the list of ``model`` as ``name``, for all with ``shared``; one of that name is replaced."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    model = model_of(request.POST.get("model", ""))
    model_admin = admin.site.get_model_admin(model)
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
    query, name = kept(request.POST.get("query", "")), " ".join(request.POST.get("name", "").split())
    if problem := _problem(request, model_admin, query, name):
        messages.error(request, problem)
        return redirect(list_address(model))
    with transaction.atomic():
        found, _ = SavedFilter.objects.update_or_create(
            user=cast(User, request.user),
            model=model._meta.label_lower,
            name=name,
            defaults={"query": query, "shared": "shared" in request.POST, "created_at": timezone.now()},
        )
        whom = "for all who see the list" if found.shared else "for oneself"
        trail.note(request, SavedFilter, name, f"Saved filters of {found.model}, {whom}: ?{query}")
    messages.success(request, f"Saved: {name}.")
    return redirect(address(found))


def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove one of one's own; others see a page that is not there."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    found = SavedFilter.objects.filter(pk=pk).first()
    if found is None or not may_remove(request.user, found):
        raise Http404
    with transaction.atomic():
        found.delete()
        trail.note(request, SavedFilter, found.name, f"Removed saved filters of {found.model}: ?{found.query}")
    messages.success(request, f"Removed: {found.name}.")
    return redirect(list_address(model_of(found.model)))


def _problem(request: HttpRequest, model_admin: Any, query: str, name: str) -> str:
    """Why these filters cannot be kept; empty where they can."""
    if not name or len(name) > LONGEST_NAME:
        return "A name is needed, of 60 characters at most."
    if not query or len(query) > LONGEST_QUERY:
        return "There is nothing to keep: narrow, search or order the list first."
    own = SavedFilter.objects.filter(user=cast(User, request.user), model=model_admin.model._meta.label_lower)
    if own.exclude(name=name).count() >= MOST:
        return f"You have {MOST} of this list already: remove one first."
    looking = copy(request)
    looking.GET = QueryDict(query)
    try:
        filtered(model_admin, looking)
    except (IncorrectLookupParameters, DisallowedModelAdminLookup):
        return "These filters are none of this list."
    return ""
