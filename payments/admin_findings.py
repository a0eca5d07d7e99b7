"""What the reconciliation found, in the admin, to be read."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from access.lists import ModelAdmin
from access.readonly import ReadOnly
from payments import findings
from payments.admin_objects import dashboard
from payments.models import Finding, Reconciliation


class _Open(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("mended", "Mended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Finding]) -> QuerySet[Finding]:
        if self.value() in ("open", "mended"):
            return queryset.filter(mended_at__isnull=self.value() == "open")
        return queryset


@admin.register(Finding)
class FindingAdmin(ReadOnly, ModelAdmin):
    list_display = ["kind", "state", "customer", "number", "stripe_link", "what", "found_at"]
    list_filter = [_Open, "kind", "livemode"]
    list_select_related = ["customer"]
    search_fields = ["=stripe_id", "=document", "=number", "=customer__key"]
    search_help_text = "An id or number of either side, or a customer's key, in full"
    ordering = ["-id"]
    sortable_by = ()
    fields = [
        "kind", "state", "what", "way_out", "customer", "document", "number", "stripe_link", "account", "livemode",
        "first", "last", "found_at", "mended_at",
    ]  # fmt: skip
    readonly_fields = fields

    @display(description="State", label={"open": "danger", "mended": "success"})
    def state(self, finding: Finding) -> str:
        return "open" if finding.mended_at is None else "mended"

    @display(description="At Stripe")
    def stripe_link(self, finding: Finding) -> SafeString | str:
        return dashboard(finding.stripe_id, finding.livemode) or "–"


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnly, ModelAdmin):
    list_display = [
        "begun_at", "account", "livemode", "came_of_it", "findings_open", "findings_new", "findings_mended", "adopted",
    ]  # fmt: skip
    ordering = ["-id"]
    fields = ["account", "livemode", "begun_at", "ended_at", "came_of_it", "report"]
    readonly_fields = fields

    @display(
        description="What came of it",
        label={"agrees": "success", "differs": "danger", "failed": "danger", "running": "info"},
    )
    def came_of_it(self, run: Reconciliation) -> str:
        if run.failure:
            return "failed"
        if run.ended_at is None:
            return "running"
        return "differs" if run.findings_open else "agrees"

    @display(description="Report")
    def report(self, run: Reconciliation) -> SafeString:
        return format_html('<pre class="whitespace-pre-wrap">{}</pre>', findings.text(run))
