"""Test clocks in the admin: to be read, created and advanced, by the use cases that the API calls."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from access.errors import ApiError
from access.lists import ModelAdmin
from access.times import InvalidTime, format_rfc3339, parse_rfc3339
from contracts.admin import Creating
from contracts.admin_forms import UseCaseForm, moment_field, text_field
from contracts.changes import Change, Kind
from contracts.clocks import create_clock
from contracts.models import Customer, TestClock
from settlement.clocks import Advanced, advance, advancing

# So many customers of a clock are listed on its page.
SHOWN = 200


class TestClockForm(UseCaseForm):
    name = text_field(max_length=255, required=False)
    now = moment_field(help_text="UTC. What it shows to begin with: any time, past or coming.")

    class Meta:
        model = TestClock
        fields: list[str] = []

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        return Change(Kind.CREATED, create_clock(now=data["now"], name=data["name"], wall=now))


@admin.register(TestClock)
class TestClockAdmin(Creating, ModelAdmin):
    add_form = TestClockForm
    list_display = ("__str__", "public_id", "now", "status", "customer_count", "created_at")
    search_fields = ("name",)
    ordering = ("-id",)
    fields = ("public_id", "name", "now", "status", "customer_count", "its_customers", "created_at")
    readonly_fields = fields
    actions_detail = ("advance_this",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TestClock]:
        return super().get_queryset(request).annotate(count=Count("customers"))

    # --- What is shown ------------------------------------------------------------------------------------------------

    @display(description="Id")
    def public_id(self, clock: TestClock) -> str:
        return clock.public_id

    def prepare(self, rows: list[Any]) -> None:
        under_way = advancing([clock.id for clock in rows])
        for clock in rows:
            clock.advancing = clock.id in under_way

    @display(description="Status", label={"ready": "success", "advancing": "warning"})
    def status(self, clock: Any) -> str:
        now = clock.advancing if hasattr(clock, "advancing") else bool(advancing([clock.id]))
        return "advancing" if now else "ready"

    @display(description="Customers")
    def customer_count(self, clock: Any) -> int:
        return int(clock.count)

    @display(description="Who lives by it")
    def its_customers(self, clock: TestClock) -> SafeString | str:
        rows = Customer.objects.filter(test_clock=clock)[:SHOWN]
        links = [(reverse("admin:contracts_customer_change", args=[row.pk]), row.key) for row in rows]
        return format_html_join("", '<div><a href="{}">{}</a></div>', links) or "–"

    # --- What may be done ---------------------------------------------------------------------------------------------

    def has_advance_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change clocks, although no form does."""
        return request.user.has_perm("contracts.change_testclock")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.advance_view)
        return [path("<uuid:pk>/advance/", view, name="contracts_testclock_advance"), *super().get_urls()]

    @action(description="Advance", permissions=["advance"])
    def advance_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return redirect(reverse("admin:contracts_testclock_advance", args=[object_id]))

    def advance_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask how far; only a POST moves the clock, and shows what happened on the way."""
        if not self.has_advance_permission(request):
            raise PermissionDenied
        if not TestClock.objects.filter(pk=pk).exists():
            raise Http404
        done: list[str] = []
        if request.method == "POST":
            done = self._advance(request, pk, request.POST.get("to", ""))
        clock = TestClock.objects.get(pk=pk)
        count = clock.customers.count()
        context = {
            **self.admin_site.each_context(request),
            "title": f"Advance {clock}",
            "clock": clock,
            "shows": format_rfc3339(clock.now),
            "to": format_rfc3339(clock.now),
            "customers": f"{count:,} customer{'' if count == 1 else 's'}",
            "done": done,
            "back": reverse("admin:contracts_testclock_change", args=[pk]),
        }
        return TemplateResponse(request, "settlement/advance.html", context)

    def _advance(self, request: HttpRequest, pk: UUID, to: str) -> list[str]:
        try:
            done = advance(pk, parse_rfc3339(to.strip()), wall=timezone.now())
        except InvalidTime as error:
            messages.error(request, str(error))
        except ApiError as refusal:
            messages.error(request, refusal.message)
        else:
            self.log_change(request, done.clock, f"Advanced to {format_rfc3339(done.clock.now)}.")
            return _told(done)
        return []


def _told(done: Advanced) -> list[str]:
    """What an advance did, a line for each kind of thing."""
    told = done.told()
    settled = ", ".join(f"{count:,} {state}" for state, count in told.pop("outcomes").items()) or "nothing was due"
    lines = [
        f"From {told.pop('from')} to {told.pop('to')}.",
        f"Events evaluated: {told.pop('events_evaluated'):,}.",
        f"Outcomes settled: {settled}.",
    ]
    for name, played in told.items():
        for what, found in played.items():
            if found:
                lines.append(f"{name.capitalize()} {what}: {'; '.join(_line(one) for one in found)}.")
    return lines


def _line(found: Any) -> str:
    return ", ".join(map(str, found.values())) if isinstance(found, dict) else str(found)
