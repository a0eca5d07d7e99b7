"""The admin over events and outcomes: everything can be looked at, nothing frozen can be changed."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from access.readonly import ReadOnly
from outcomes import imports, inbox
from outcomes.models import Event, Import, InboxItem, Journal, Outcome
from outcomes.queries import events_of, plain

STATE_COLOURS = {
    "open": "info",
    "provisional": "warning",
    "confirmed": "success",
    "reversed": "danger",
    "void": "danger",
}


class JournalInline(ReadOnly, TabularInline):
    model = Journal
    fields = ("effective_at", "from_state", "to_state", "cause", "clause", "actor", "reason", "recorded_at")
    readonly_fields = fields
    extra = 0
    verbose_name_plural = "Journal: every change, its cause, and when"


@admin.register(Outcome)
class OutcomeAdmin(ReadOnly, ModelAdmin):
    list_display = (
        "subject_key",
        "condition",
        "customer",
        "shown_state",
        "met_at",
        "settles_at",
        "settled_at",
        "units",
    )
    list_filter = ("state", "condition")
    search_fields = ("subject__key", "customer__key")
    list_select_related = ("subject", "condition", "customer")
    ordering = ("-id",)
    # Counting millions of rows to print their number is what makes such lists slow.
    show_full_result_count = False
    inlines = (JournalInline,)
    fieldsets = (
        (None, {"fields": ("shown_state", "customer", "condition", "version", "subject", "ordinal")}),
        ("Times", {"fields": ("met_at", "settles_at", "settled_at", "ended_at", "due_at")}),
        ("Worth", {"fields": ("units", "amount", "dimensions", "review")}),
        ("Evidence", {"fields": ("evidence",)}),
    )

    @display(description="State", label=STATE_COLOURS, ordering="state")
    def shown_state(self, obj: Outcome) -> str:
        return obj.state

    @display(description="Subject", ordering="subject__key")
    def subject_key(self, obj: Outcome) -> str:
        return obj.subject.key

    @display(description="Quantity")
    def units(self, obj: Outcome) -> str:
        return plain(obj.quantity) or "–"

    @display(description="Events")
    def evidence(self, obj: Outcome) -> SafeString:
        events = events_of(obj).order_by("time", "seq")[:100]
        return format_html_join(
            "",
            '<div><time>{}</time> · <a href="{}">{}</a> · {}</div>',
            (
                (
                    event.time.strftime("%Y-%m-%d %H:%M:%S"),
                    reverse("admin:outcomes_event_change", args=[event.seq]),
                    event.type,
                    event.event_id,
                )
                for event in events
            ),
        )


@admin.register(Event)
class EventAdmin(ReadOnly, ModelAdmin):
    list_display = ("event_id", "type", "customer", "time", "received_at")
    list_select_related = ("customer",)
    search_fields = ("=event_id",)
    search_help_text = "The exact id of an event"
    ordering = ("-seq",)
    show_full_result_count = False


@admin.register(InboxItem)
class InboxAdmin(ReadOnly, ModelAdmin):
    list_display = ("event_id", "customer_key", "type", "shown_reason", "message", "status", "attempts", "received_at")
    list_filter = ("status", "reason")
    search_fields = ("event_id", "customer_key")
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("retry", "dismiss")

    @display(description="Reason", label={"unknown_customer": "warning", "id_conflict": "danger", "invalid": "danger"})
    def shown_reason(self, obj: InboxItem) -> str:
        return obj.reason

    @admin.action(description="Retry: the cause is mended", permissions=["handle"])
    def retry(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> None:
        chosen = list(queryset.values_list("id", flat=True))
        tally = inbox.retry(inbox.waiting(ids=chosen), now=timezone.now())
        text = ", ".join(f"{count} {status}" for status, count in sorted(tally.items())) or "none of them waited"
        messages.info(request, f"Retried: {text}.")

    @admin.action(description="Dismiss: it is of no use", permissions=["handle"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> None:
        chosen = list(queryset.values_list("id", flat=True))
        count = inbox.dismiss(inbox.waiting(ids=chosen), now=timezone.now())
        messages.info(request, f"Dismissed {count}; they stay readable here.")

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("outcomes.change_inboxitem")


@admin.register(Import)
class ImportAdmin(ReadOnly, ModelAdmin):
    list_display = ("__str__", "shown_status", "created_at", "closed_at", "held")
    actions = ("close",)

    @display(description="Status", label={"open": "warning", "closed": "success"})
    def shown_status(self, obj: Import) -> str:
        return "open" if obj.closed_at is None else "closed"

    @display(description="Customers held")
    def held(self, obj: Import) -> int:
        return obj.customers.count()

    @admin.action(description="Close: settlement of its customers goes on", permissions=["handle"])
    def close(self, request: HttpRequest, queryset: QuerySet[Import]) -> None:
        for found in queryset:
            imports.close_import(found.id, now=timezone.now())
        messages.info(request, f"Imports closed: {len(queryset)}.")

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("outcomes.change_import")
