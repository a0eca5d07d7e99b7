"""The audit trail of staff: who did what to which row, when, why, and from where. It is Django's own log of the admin
(`django_admin_log`), which every page of ours writes to, in the transaction of what it did; the database refuses to
change it, delete from it or empty it (migration 0003).

With each line the database writes a `TrailEntry`, in the same statement: the address and the program it came from, and
a digest over the line, these and the digest before (migration 0004). `access.audit` computes the chain anew. The
digest goes to the log as well, which is kept elsewhere: who rewrites the whole table differs from that.
"""

import json
from collections.abc import Callable
from typing import Any, cast

import structlog
from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from access import addresses
from access.lists import ModelAdmin
from access.readonly import ReadOnly

log = structlog.get_logger("access.trail")

USER_AGENT_LENGTH = 300
INSERT = f'INSERT INTO "{LogEntry._meta.db_table}"'
# The entry that was just made (its writer holds the chain until the commit), and no caller any more.
LATEST = """
SELECT seq, encode(digest, 'hex'), set_config('holdfast.caller', '', true)
FROM access_trailentry ORDER BY seq DESC LIMIT 1
"""
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


class TrailMiddleware:
    """Tells the database where a request to the admin comes from when it writes a line: for that statement alone, so
    that nothing else on the connection can be taken for it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD") or not request.path_info.startswith(reverse("admin:index")):
            return self.get_response(request)
        agent = "".join(one if one.isprintable() else "?" for one in request.headers.get("User-Agent", ""))
        caller = json.dumps({"address": addresses.of(request), "user_agent": agent[:USER_AGENT_LENGTH]})

        def execute(do: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            if not sql.startswith(INSERT):
                return do(sql, params, many, context)
            with transaction.atomic(savepoint=False), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('holdfast.caller', %s, true)", [caller])
                done = do(sql, params, many, context)
                cursor.execute(LATEST)
                entry, digest, _ = cursor.fetchone()
                transaction.on_commit(lambda: log.info("trail_entry", entry=entry, digest=digest))
            return done

        with connection.execute_wrapper(execute):
            return self.get_response(request)


class PersonFilter(admin.SimpleListFilter):
    """Who did it: only those who did anything."""

    title = "who"
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        did = Exists(LogEntry.objects.filter(user=OuterRef("pk")))
        rows = User.objects.filter(did).order_by("username").values_list("pk", "username")
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        text = self.value() or ""
        return queryset.filter(user_id=int(text)) if text.isascii() and text.isdigit() else queryset


@admin.register(LogEntry)
class TrailAdmin(ReadOnly, ModelAdmin):
    list_display = ["action_time", "user", "kind", "row", "said", "address"]
    list_filter = [PersonFilter, "action_time", "action_flag", "content_type"]
    list_select_related = ["user", "content_type", "entry"]
    search_fields = ["object_repr", "change_message", "user__username", "=object_id"]
    search_help_text = "A person, words of the row or of the reason, or the id of a row in full"
    ordering = ["-id"]
    sortable_by = ()
    fields = ["action_time", "user", "kind", "row", "object_id", "said", "address", "program", "place"]
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

    @display(description="From", empty_value="–")
    def address(self, entry: LogEntry) -> str | None:
        found: str | None = entry.entry.address
        return found

    @display(description="Browser", empty_value="–")
    def program(self, entry: LogEntry) -> str | None:
        return entry.entry.user_agent or None

    @display(description="Place in the chain")
    def place(self, entry: LogEntry) -> str:
        return f"{entry.entry.seq}, {bytes(entry.entry.digest).hex()}"
