"""Search from every page of the admin (Ctrl+K): type what stands before you, and go there.

Pages of the menu by their titles; public ids, numbers of invoices and credit notes, keys of customers, subjects of
outcomes, ids of events: each found by an index, so many and no more, and for who may see the rows. Numbers and keys by
how they begin, the rest in full. Where an installation has so many customers that one subject takes long to be found
among them, it is given up, and said so.

What it shows is of now: unfold's own page would show for five minutes what it once found.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from django.contrib import admin
from django.db.models import Model, Q, UUIDField
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.dataclasses import SearchResult

from access import ids
from access.lists import TooLong, within
from contracts.models import Customer
from invoicing.models import CreditNote, Invoice
from outcomes.models import Event, EventIdentity, Outcome
from workplace.exporting import PREFIXES
from workplace.menu import navigation

MOST: Final = 5
"""So many of a kind."""
LONGEST: Final = 255
PATIENCE_MS: Final = 1500


def search(request: HttpRequest) -> HttpResponse:
    """The palette's answer to ``?s=``, in the place and the look of unfold's."""
    began = time.monotonic()
    term = request.GET.get("s", "").strip()
    if not term:
        return HttpResponse()
    results = [*_pages(request, term), *found(request, term)]
    context = {
        "results": results,
        "page_obj": {"count": len(results)},
        "page_counter": 0,
        "execution_time": time.monotonic() - began,
    }
    return TemplateResponse(request, "unfold/helpers/command_results.html", context, headers={"HX-Trigger": "search"})


search_view = admin.site.admin_view(search)


def _pages(request: HttpRequest, term: str) -> Iterator[SearchResult]:
    """What the menu leads this person to."""
    for group in navigation(request):
        for item in group["items"]:
            if term.lower() in item["title"].lower():
                yield SearchResult(
                    title=item["title"], description=group.get("title", ""), link=item["link"], icon=item["icon"]
                )


def found(request: HttpRequest, term: str) -> list[SearchResult]:
    """The rows that a term leads to."""
    if not 2 <= len(term) <= LONGEST or "\x00" in term:
        return []
    user = request.user
    results = [*_by_id(user, term)]
    if results:
        return results
    results += _documents(user, term)
    results += _customers(user, term)
    results += _patiently(_outcomes, user, term, "Outcomes by subject", "admin:outcomes_outcome_changelist")
    results += _patiently(_events, user, term, "Events", "admin:outcomes_event_changelist")
    return results


def _result(row: Model, title: str, description: str, icon: str) -> SearchResult:
    options = row._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
    return SearchResult(title=title, description=description, link=address, icon=icon)


def _may(user: Any, model: type[Model]) -> bool:
    return bool(user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}"))


def _by_id(user: Any, term: str) -> Iterator[SearchResult]:
    """A public id names one row."""
    head = term.partition("_")[0]
    named = {prefix: model for model, prefix in PREFIXES.items()}
    for own in admin.site._registry:
        if prefix := getattr(own, "PREFIX", ""):
            named[prefix] = own
    model = named.get(head)
    if model is None or not _may(user, model):
        return
    try:
        named_by = ids.decode(head, term)
    except ValueError:
        return
    field = "pk" if isinstance(model._meta.pk, UUIDField) else "uid"  # what is named by a number has both
    row = model._default_manager.filter(**{field: named_by}).first()
    if row is not None:
        yield _result(row, term, f"{model._meta.verbose_name}: {row}", "tag")


def _begins(field: str, term: str) -> Q:
    """As typed, and in capitals or small letters: numbers have capitals, and nobody types them."""
    wanted = Q()
    for one in {term, term.upper(), term.lower()}:
        wanted |= Q(**{f"{field}__startswith": one})
    return wanted


def _documents(user: Any, term: str) -> Iterator[SearchResult]:
    for model, icon in ((Invoice, "receipt_long"), (CreditNote, "undo")):
        if not _may(user, model):
            continue
        rows: Iterable[Any] = model._default_manager.filter(_begins("number", term)).select_related("customer")
        for row in rows.order_by("number")[:MOST]:  # type: ignore[attr-defined]
            said = f"{model._meta.verbose_name}, {row.get_status_display().lower()}, {row.customer}"
            yield _result(row, row.number, said, icon)


def _customers(user: Any, term: str) -> Iterator[SearchResult]:
    if _may(user, Customer):
        for row in Customer.objects.filter(_begins("key", term)).order_by("key")[:MOST]:
            yield _result(row, row.key, f"customer {row}", "groups")


def _outcomes(user: Any, term: str) -> Iterator[SearchResult]:
    if _may(user, Outcome):
        rows = Outcome.objects.filter(subject__key=term).select_related("subject", "condition", "customer")
        for row in rows.order_by("-id")[:MOST]:
            said = f"{row.state} {row.condition.slug}, {row.customer}"
            yield _result(row, row.subject.key, said, "task_alt")


def _events(user: Any, term: str) -> Iterator[SearchResult]:
    """By the claim on its identity, which has an index and outlives the payload."""
    if _may(user, Event):
        claims = list(EventIdentity.objects.filter(event_id=term).values_list("seq", flat=True)[:MOST])
        for row in Event.objects.filter(seq__in=claims).select_related("customer").order_by("-seq"):
            yield _result(row, row.event_id, f"event {row.type}, {row.customer}", "bolt")


def _patiently(
    look: Callable[[Any, str], Iterator[SearchResult]], user: Any, term: str, what: str, address: str
) -> list[SearchResult]:
    """What is found within `PATIENCE_MS`; else a line that says that it was given up."""
    try:
        with within(PATIENCE_MS / 1000):
            return list(look(user, term))
    except TooLong:
        said = "looking took too long: narrow the list by a customer first"
        return [SearchResult(title=what, description=said, link=reverse(address), icon="hourglass")]
