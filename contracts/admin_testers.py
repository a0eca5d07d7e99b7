"""A filter of lists whose rows have a customer: customers with a test clock are none whom anybody bills."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from contracts.models import Customer


class TestersFilter(admin.SimpleListFilter):
    title = "test customers"
    parameter_name = "test"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Without them"), ("yes", "Of them alone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # Not by a join: the list stays in the order of its own index.
        testers = Customer.objects.exclude(test_clock=None).values("pk")
        if self.value() == "no":
            return queryset.exclude(customer__in=testers)
        return queryset.filter(customer__in=testers) if self.value() == "yes" else queryset
