"""The audit trail of staff: who did what to which row, when, and why. It is Django's own log of the admin
(`django_admin_log`), which every page of ours writes to, in the transaction of what it did; the database refuses to
change it, delete from it or empty it (migration 0003).
"""

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from access.readonly import ReadOnly

FLAGS = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}


def note(request: HttpRequest, model: Any, what: str, message: str) -> None:
    """One line for what was done to many rows at once: ``what`` they are, in words ("12 events")."""
    LogEntry.objects.create(
        user=cast(User, request.user),  # of an admin page: somebody
        content_type=ContentType.objects.get_for_model(model, for_concrete_model=False),
        object_repr=what[:200],
        action_flag=CHANGE,
        change_message=message,
    )


class PersonFilter(admin.SimpleListFilter):
    """Who did it: only those who did anything."""

    title = "who"
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = LogEntry.objects.order_by("user__username").values_list("user_id", "user__username").distinct()
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        text = self.value() or ""
        return queryset.filter(user_id=int(text)) if text.isascii() and text.isdigit() else queryset


@admin.register(LogEntry)
class TrailAdmin(ReadOnly, ModelAdmin):
    list_display = ["action_time", "user", "kind", "row", "said"]
    list_filter = [PersonFilter, "action_flag", "content_type"]
    list_select_related = ["user", "content_type"]
    search_fields = ["object_repr", "change_message", "user__username", "=object_id"]
    search_help_text = "A person, words of the row or of the reason, or the id of a row in full"
    date_hierarchy = "action_time"
    ordering = ["-action_time", "-id"]
    show_full_result_count = False
    fields = ["action_time", "user", "kind", "row", "object_id", "said"]
    readonly_fields = fields

    @display(description="What", label={"added": "success", "changed": "info", "deleted": "danger"})
    def kind(self, entry: LogEntry) -> str:
        return FLAGS.get(entry.action_flag, str(entry.action_flag))

    @display(description="Row")
    def row(self, entry: LogEntry) -> SafeString | str:
        name = f"{entry.content_type.name}: {entry.object_repr}" if entry.content_type else entry.object_repr
        if not entry.content_type or not entry.object_id or entry.action_flag == DELETION:
            return name
        kind = entry.content_type
        try:
            address = reverse(f"admin:{kind.app_label}_{kind.model}_change", args=[entry.object_id])
        except NoReverseMatch:
            return name
        return format_html('<a class="underline" href="{}">{}</a>', address, name)

    @display(description="Why, and how")
    def said(self, entry: LogEntry) -> str:
        return entry.get_change_message()
