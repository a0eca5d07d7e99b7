"""Hand-overs, to be read. What may be done goes through the same use cases as the API."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import action, display

from access.asking import Asked, Asks
from access.errors import ApiError
from access.lists import ModelAdmin
from handover import queries, work
from handover.models import Handover

WHY = Asked("reason", "Reason", "For those who look later.")
OPEN = (Handover.Status.WAITING, Handover.Status.PARKED)


@admin.register(Handover)
class HandoverAdmin(Asks, ModelAdmin):
    list_display = ["outcome_link", "kind", "target", "state", "attempts", "customer", "created_at", "why"]
    list_filter = ["status", "target", "kind"]
    search_fields = ["=customer__key", "=code"]
    search_help_text = "The key of a customer, or a code, in full"
    ordering = ["-id"]
    sortable_by = ()
    fields = [
        "public_id", "outcome_link", "customer", "kind", "target", "state", "attempts", "next_attempt", "code",
        "reason", "decided_by", "payload", "created_at", "finished_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions = ["retry_chosen"]
    actions_detail = ["retry_this", "dismiss_this", "settle_this"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Handover]:
        return queries.handovers()

    def offered(self, object_id: Any) -> Collection[str] | None:
        row = _row(object_id)
        return None if row is not None and row.status in OPEN else ()

    @display(description="Outcome")
    def outcome_link(self, row: Handover) -> SafeString:
        address = reverse("admin:outcomes_outcome_change", args=[row.outcome_id])
        return format_html('<a href="{}">{}: {}</a>', address, row.outcome.condition.slug, row.outcome.subject.key)

    @display(
        description="State",
        ordering="status",
        label={"done": "success", "waiting": "info", "parked": "danger", "dropped": "warning"},
    )
    def state(self, row: Handover) -> str:
        return row.status

    @display(description="Why")
    def why(self, row: Handover) -> str:
        return Truncator(row.reason).chars(120)

    @display(description="Next attempt")
    def next_attempt(self, row: Handover) -> datetime | None:
        return row.next_attempt_at if row.status == Handover.Status.WAITING else None

    @display(description="What is told")
    def payload(self, row: Handover) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(row.sent, indent=2, ensure_ascii=False))

    @admin.action(description="Hand the chosen ones over again", permissions=["act"])
    def retry_chosen(self, request: HttpRequest, queryset: QuerySet[Handover]) -> None:
        now, count = timezone.now(), 0
        for row in queryset.filter(status__in=OPEN).order_by("id"):
            try:
                work.retry(row.pk, now=now, by=str(request.user))
            except ApiError as refusal:
                self.message_user(request, refusal.message, messages.ERROR)
            else:
                count += 1
                self.log_change(request, row, "Try again.")
        self.message_user(request, f"To be tried again: {count}.", messages.SUCCESS)

    @action(description="Try again", permissions=["act"])
    def retry_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        consequence = "It is sent again at once, under the identifier it had."
        return self._ask(
            request,
            object_id,
            "Try again",
            consequence,
            [],
            lambda row, given: work.retry(row.pk, now=timezone.now(), by=str(request.user)),
        )

    @action(description="Dismiss", permissions=["act"])
    def dismiss_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._dismiss(request, object_id, "Dismiss", "Nothing of it is told, nor taken back.", handed_over=False)

    @action(description="Dismiss: it is there", permissions=["act"])
    def settle_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        consequence = "It counts as handed over; should it be reversed, that is told."
        return self._dismiss(request, object_id, "Dismiss as handed over", consequence, handed_over=True)

    def _dismiss(
        self, request: HttpRequest, object_id: int, verb: str, consequence: str, *, handed_over: bool
    ) -> HttpResponse:
        def act(row: Handover, given: dict[str, str]) -> Handover:
            by = str(request.user)
            return work.dismiss(row.pk, reason=given["reason"], handed_over=handed_over, now=timezone.now(), by=by)

        return self._ask(request, object_id, verb, consequence, [WHY], act)

    def _ask(
        self, request: HttpRequest, object_id: int, verb: str, consequence: str, inputs: list[Asked], act: Any
    ) -> HttpResponse:
        row = _row(object_id)
        if row is None:
            raise Http404
        back = reverse("admin:handover_handover_change", args=[row.pk])
        facts = [f"{row.outcome.condition.slug}: {row.outcome.subject.key}", row.reason, consequence]
        return self.question(request, f"{verb}: {row}?", facts, verb, back, inputs, lambda given: act(row, given))


def _row(object_id: Any) -> Handover | None:
    """The row that an address names; whatever stands there."""
    text = str(object_id)
    known = text.isascii() and text.isdigit() and len(text) < 19
    return queries.handovers().filter(pk=int(text)).first() if known else None
