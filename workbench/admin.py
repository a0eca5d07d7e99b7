"""Conditions in the admin, with the ways from their list and their pages to the workbench; what the pages of rate cards
and contracts show from here registers itself.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action

from contracts.admin import ConditionAdmin as ToRead
from contracts.admin import OwnAddPage
from contracts.models import Condition
from workbench import contract_pages as contract_pages
from workbench import prices_pages as prices_pages
from workbench.conditions import add_page

admin.site.unregister(Condition)


@admin.register(Condition)
class ConditionAdmin(OwnAddPage, ToRead):
    add_page = staticmethod(add_page)
    actions_list = ("try_one",)
    actions_detail = ("write_this", "versions_this")

    @action(description="Try a text", permissions=["view"])
    def try_one(self, request: HttpRequest) -> HttpResponse:
        return redirect("workbench_condition_new")

    @action(description="Open in the workbench", permissions=["view"])
    def write_this(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        return redirect("workbench_condition", object_id)

    @action(description="Versions", permissions=["view"])
    def versions_this(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        return redirect("workbench_condition_versions", object_id)
