"""From a line of a document to the outcomes that it bills or takes back: a filter of the list of outcomes, which stands
there where an address asks for it.
"""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from invoicing.models import InvoiceLine, LineOutcome, LineReversal
from outcomes.admin import OutcomeAdmin
from outcomes.models import Outcome

PARAMETER = "line"


class LineFilter(admin.SimpleListFilter):
    title = "line of a document"
    parameter_name = PARAMETER

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(PARAMETER, "")
        return [(value, "This line")] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Outcome]) -> QuerySet[Outcome]:
        value = self.value()
        if not value:
            return queryset
        try:
            line = UUID(value)
        except ValueError:
            return queryset.none()
        billed = LineOutcome.objects.filter(line=line).values("outcome")
        return queryset.filter(pk__in=billed.union(LineReversal.objects.filter(line=line).values("outcome")))


def outcomes_of(line: InvoiceLine, count: int) -> SafeString | str:
    """How many outcomes a line counts, leading to them."""
    if not count:
        return "–"
    address = reverse("admin:outcomes_outcome_changelist")
    return format_html('<a class="underline" href="{}?{}={}">{}</a>', address, PARAMETER, line.pk, f"{count:,}")


OutcomeAdmin.list_filter = (*OutcomeAdmin.list_filter, LineFilter)
