"""Every list of the admin as CSV, with the filters in force: one page beside each list that is registered, whatever its
admin.

Who may see a list may export it, by POST, and the trail says who did. The rows are those of the list, in its order; the
database holds them ready at one instant and hands them over in portions, so that neither memory nor the time for which
anything is held back grows with their number.

Columns: the id, those of the list as they read there, then the other instants of the row. An admin says of columns that
show money how much it is, in minor units and a currency (``amounts``): they become decimals that can be summed, with
the currency in a column of its own; and which lead somewhere and tell nothing (``links_alone``): those are left out.
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from datetime import datetime
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, PermissionDenied
from django.db.models import DateTimeField, Field, Model
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from access import exporting, ids, trail
from contracts.agreements import ID_PREFIX
from contracts.domain import money
from contracts.models import Contract
from invoicing.models import CreditNote, Invoice
from invoicing.refusals import INVOICE_PREFIX, NOTE_PREFIX
from outcomes.models import Import, LateEvidence, Outcome
from outcomes.queries import IMPORT_PREFIX, LATE_PREFIX, OUTCOME_PREFIX
from settlement.disputes import DISPUTE_PREFIX
from settlement.holds import HOLD_PREFIX
from settlement.models import Dispute, Hold

AT_ONCE: Final = 2_000
"""Rows that are in memory together."""
LINES_AT_ONCE: Final = 200

PREFIXES: Final[Mapping[type[Model], str]] = {
    Contract: ID_PREFIX,
    Outcome: OUTCOME_PREFIX,
    Import: IMPORT_PREFIX,
    LateEvidence: LATE_PREFIX,
    Hold: HOLD_PREFIX,
    Dispute: DISPUTE_PREFIX,
    Invoice: INVOICE_PREFIX,
    CreditNote: NOTE_PREFIX,
}
"""Of models whose rows the API names, and that do not say so themselves (``public_id``)."""

_BETWEEN: Final = re.compile(r"</(?:div|p|li)>\s*<(?:div|p|li)\b", re.IGNORECASE)
_NOTHING: Final = ("–", "-")


class Column(NamedTuple):
    head: str
    of: Callable[[Any], str]


def patterns() -> list[URLPattern]:
    """The pages, one for each list: ``<app>/<model>/export/``."""
    return [
        path(
            f"{model._meta.app_label}/{model._meta.model_name}/export/",
            admin.site.admin_view(partial(export, model=model)),
            name=address_name(model),
        )
        for model in admin.site._registry
    ]


def address_name(model: type[Model]) -> str:
    return f"export_{model._meta.app_label}_{model._meta.model_name}"


def export(request: HttpRequest, model: type[Model]) -> HttpResponseBase:
    """The list of a model as a file. By POST alone, as it is noted: whoever comes otherwise is led to the list."""
    model_admin = admin.site.get_model_admin(model)
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
    here = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    if request.method != "POST":
        return redirect(f"{here}?{request.GET.urlencode()}" if request.GET else here)
    try:
        queryset = filtered(model_admin, request)
    except (IncorrectLookupParameters, DisallowedModelAdminLookup):
        messages.error(request, "These filters are none of this list: nothing was exported.")
        return redirect(here)
    asked = request.GET.urlencode()
    said = f"Exported as CSV, narrowed by ?{asked}" if asked else "Exported as CSV: all of it."
    trail.note(request, model, f"list of {model._meta.verbose_name_plural}", said)
    response = StreamingHttpResponse(
        pieces(rows(model_admin, request, queryset)), content_type="text/csv; charset=utf-8; header=present"
    )
    name = f"{model._meta.model_name}-{timezone.now():%Y-%m-%d-%H%M}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def filtered(model_admin: ModelAdmin, request: HttpRequest) -> Any:
    """What the list would show on all its pages, in its order: filters, search and order of ``request.GET``."""
    shown: Any = model_admin.get_changelist(request)

    def counts_nothing(self: Any, request: HttpRequest) -> None:
        """No page of it is looked at, so nothing is counted."""

    lister = copy(model_admin)
    whole = type("Whole", (shown,), {"get_results": counts_nothing})
    lister.get_changelist = lambda request, **options: whole  # type: ignore[method-assign]
    return lister.get_changelist_instance(request).queryset


def rows(model_admin: ModelAdmin, request: HttpRequest, queryset: Any) -> Iterator[list[str]]:
    """The cells of the file, its head first. Outside a transaction the database keeps what the query found at its
    beginning, and holds back nothing while a slow reader takes it.
    """
    columns = columns_of(model_admin, request)
    yield [exporting.text_cell(column.head) for column in columns]
    prepare = getattr(model_admin, "prepare", None)  # what a list puts on the rows of a page
    found = queryset.iterator(chunk_size=AT_ONCE)
    while portion := list(islice(found, AT_ONCE)):
        if prepare is not None:
            prepare(portion)
        for row in portion:
            yield [column.of(row) for column in columns]


def pieces(cells: Iterable[list[str]]) -> Iterator[str]:
    """The file in portions: one write for each line would cost more than the line."""
    yield exporting.BOM
    lines = exporting.lines(cells)
    while portion := "".join(islice(lines, LINES_AT_ONCE)):
        yield portion


# --- Columns ----------------------------------------------------------------------------------------------------------


def columns_of(model_admin: ModelAdmin, request: HttpRequest) -> list[Column]:
    model, listed = model_admin.model, [str(name) for name in model_admin.get_list_display(request)]
    amounts = getattr(model_admin, "amounts", {})
    found = [Column("id", _id)]
    for name in listed:
        if name in ("public_id", "id", *getattr(model_admin, "links_alone", ())):
            continue
        label = capfirst(str(label_for_field(name, model, model_admin)))
        found.append(
            Column(label, partial(_amount, amounts[name]))
            if name in amounts
            else Column(label, _shown(model_admin, name))
        )
        if name == "customer" and hasattr(model, "customer"):
            found.append(Column("Customer key", _customer_key))
    used = [amounts[name] for name in listed if name in amounts]
    if used:
        found.append(Column("Currency", partial(_currency, used)))
    for field in model._meta.concrete_fields:
        if isinstance(field, DateTimeField) and field.name not in listed:
            found.append(Column(field.name, _shown(model_admin, field.name)))
    return found


def _id(row: Any) -> str:
    public = getattr(row, "public_id", None)
    if public is not None:
        return exporting.text_cell(str(public))
    prefix = PREFIXES.get(type(row))
    return exporting.cell(row.pk) if prefix is None else ids.encode(prefix, row.pk)


def _customer_key(row: Any) -> str:
    return exporting.text_cell(row.customer.key) if row.customer_id else ""


def _amount(of: Callable[[Any], tuple[int, str] | None], row: Any) -> str:
    found = of(row)
    return "" if found is None else money.major_text(*found)


def _currency(amounts: list[Callable[[Any], tuple[int, str] | None]], row: Any) -> str:
    return next((found[1] for of in amounts if (found := of(row)) is not None), "")


def _shown(model_admin: ModelAdmin, name: str) -> Callable[[Any], str]:
    """What the list shows of a row, as plain text or as a figure. What there is to find out of a column is found out
    once, as there are millions of rows.
    """
    get, said = _getter(model_admin, name)

    def shown(row: Any) -> str:
        try:
            value = get(row)
        except ObjectDoesNotExist:
            return ""
        if said is not None:
            value = said.get(value, value)
        if value is None or isinstance(value, datetime):
            return exporting.cell(value)
        if isinstance(value, tuple) and len(value) == 2:  # a label: what it stands for, and what it says
            value = value[1]
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if isinstance(value, SafeString):
            value = html.unescape(strip_tags(_BETWEEN.sub("; <p", value))).strip()
        return "" if value in _NOTHING else exporting.cell(value)

    return shown


def _getter(model_admin: ModelAdmin, name: str) -> tuple[Callable[[Any], Any], dict[Any, Any] | None]:
    """How a column's value is got of a row, in the order in which Django's lists look; and what choices say."""
    try:
        field = model_admin.model._meta.get_field(name)
    except FieldDoesNotExist:
        field = None
    if isinstance(field, Field) and field.name == name:
        return attrgetter(name), dict(field.flatchoices) if field.flatchoices else None
    if name != "__str__" and hasattr(model_admin, name):
        own: Callable[[Any], Any] = getattr(model_admin, name)
        return own, None
    return lambda row: lookup_field(name, row, model_admin)[2], None
