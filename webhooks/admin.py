"""Endpoints and what was sent to them, to be read. What may be done goes through the same use cases as the API.

Endpoints are made, and their secrets rotated, by the API alone: it shows a secret once, to who asked for it.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import action, display

from access.asking import WHY, Asked, ask, entered
from access.errors import ApiError
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from access.times import InvalidTime, parse_rfc3339
from webhooks import endpoints, queries
from webhooks.catalog import TEST, TYPES
from webhooks.models import Attempt, Delivery, Endpoint


class Step(NamedTuple):
    """What may be done with one row, what the person who does it is told first, and what it came to."""

    verb: str
    consequence: str
    use_case: Callable[[Any, datetime], str]
    inputs: tuple[Asked, ...] = ()


def _enable(endpoint: Endpoint, now: datetime) -> str:
    endpoints.change(endpoint.pk, enabled=True, now=now)
    return "Enabled: it goes on where it stopped."


def _disable(endpoint: Endpoint, now: datetime) -> str:
    endpoints.change(endpoint.pk, enabled=False, now=now)
    return "Disabled."


def _ping(endpoint: Endpoint, now: datetime) -> str:
    [attempt] = endpoints.ping(endpoint.pk, now=now).log.all()
    return f"Test message: {attempt.error or f'accepted with {attempt.status_code}'} ({attempt.ms} ms)"


def _resend(message: Delivery, now: datetime) -> str:
    endpoints.resend(message, now=now)
    return "Queued: it is sent again within seconds, unless its endpoint is disabled."


ENABLE = Step("Enable", "What waits for it is sent at once, in order; it goes on where it stopped.", _enable)
DISABLE = Step(
    "Disable", "Nothing is sent to it until it is enabled again; what waits is kept for 30 days.", _disable, (WHY,)
)
PING = Step("Send a test message", "A test.ping is sent now, once. It changes nothing about the endpoint.", _ping)
RESEND = Step("Send again", "It is sent again under its webhook-id, also where it was accepted before.", _resend)


SINCE = Asked("since", "Since", "RFC 3339, such as 2026-03-01T10:00:00Z: when they were made.", max_length=40)


class _Asks(ReadOnly, ModelAdmin):
    """Rows to be read; each action on one of them asks first, and only the POST of that page does it."""

    def has_act_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change these rows, although no form does."""
        return request.user.has_perm(f"webhooks.change_{self.opts.model_name}")

    def _confirm(self, request: HttpRequest, object_id: Any, step: Step) -> HttpResponse:
        found: Model | None = self.get_queryset(request).filter(pk=object_id).first()
        if found is None:
            raise Http404
        back = reverse(f"admin:webhooks_{self.opts.model_name}_change", args=[object_id])
        given, problem = entered(request, step.inputs) if request.method == "POST" else ({}, "")
        if request.method == "POST" and not problem:
            try:
                done = step.use_case(found, timezone.now())
            except ApiError as refusal:
                self.message_user(request, refusal.message, messages.ERROR)
            else:
                why = given.get("reason")
                self.log_change(request, found, f"{step.verb}: {why}" if why else f"{step.verb}.")
                self.message_user(request, done, messages.SUCCESS)
            return redirect(back)
        question, facts = f"{step.verb}: {found}?", [step.consequence]
        return ask(self, request, question, facts, step.verb, back, inputs=step.inputs, problem=problem)


@admin.register(Endpoint)
class EndpointAdmin(_Asks):
    list_display = ["url", "state", "names", "waiting", "last_success_at", "failing_since", "last_error"]
    search_fields = ["url", "description"]
    ordering = ["-created_at", "-id"]
    fields = [
        "public_id", "url", "description", "names", "state", "waiting", "messages_link", "last_success_at",
        "last_failure_at", "last_error", "failures", "failing_since", "resume_at", "disabled_at", "disabled_reason",
        "secrets", "created_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["enable_this", "disable_this", "ping_this", "resend_since_this"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        return queries.endpoints()

    @display(description="State", label={"enabled": "success", "failing": "warning", "disabled": "danger"})
    def state(self, endpoint: Endpoint) -> str:
        return endpoint.status

    @display(description="Events")
    def names(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.events)

    @display(description="Waiting")
    def waiting(self, endpoint: Endpoint) -> int:
        return endpoint.waiting  # type: ignore[attr-defined]

    @display(description="Messages")
    def messages_link(self, endpoint: Endpoint) -> SafeString:
        address = reverse("admin:webhooks_delivery_changelist")
        return format_html('<a href="{}?endpoint__id__exact={}">All messages</a>', address, endpoint.pk)

    @display(description="Secrets")
    def secrets(self, endpoint: Endpoint) -> str:
        until = [secret.ends_at for secret in endpoint.secrets.all()]
        return ", ".join("in use" if end is None else f"until {end:%Y-%m-%d %H:%M}" for end in until)

    @action(description="Enable", permissions=["act"])
    def enable_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, ENABLE)

    @action(description="Disable", permissions=["act"])
    def disable_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, DISABLE)

    @action(description="Send a test message", permissions=["act"])
    def ping_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, PING)

    @action(description="Send again since …", permissions=["act"])
    def resend_since_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Ask since when; only the POST of that page sends."""
        endpoint = self.get_queryset(request).filter(pk=object_id).first()
        if endpoint is None:
            raise Http404
        back, problem = reverse("admin:webhooks_endpoint_change", args=[object_id]), ""
        if request.method == "POST":
            given, problem = entered(request, [SINCE])
            try:
                since = parse_rfc3339(given["since"]) if not problem else timezone.now()
            except InvalidTime as error:
                problem = str(error)
            if not problem:
                try:
                    with transaction.atomic():
                        count = endpoints.resend_since(endpoint.pk, since, now=timezone.now())
                        self.log_change(request, endpoint, f"Sent again since {given['since']}: {count}.")
                except ApiError as refusal:
                    problem = refusal.message
                else:
                    self.message_user(request, f"Queued again: {count:,}.", messages.SUCCESS)
                    return redirect(back)
        facts = ["What was given up since then is sent again, and what waits for its next attempt is tried now."]
        question = f"Send again: {endpoint}?"
        return ask(self, request, question, facts, "Send again", back, inputs=[SINCE], problem=problem)


class AttemptInline(ReadOnly, TabularInline):
    model = Attempt
    extra = 0
    fields = ["number", "started_at", "ms", "status_code", "error", "answer"]
    readonly_fields = fields
    verbose_name_plural = "Attempts"


class TypeFilter(admin.SimpleListFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in (TEST, *TYPES)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(Delivery)
class DeliveryAdmin(_Asks):
    list_display = ["type", "about", "state", "attempts", "endpoint", "created_at", "next_attempt", "finished_at"]
    list_filter = ["status", TypeFilter, "endpoint"]
    list_select_related = ["endpoint"]
    search_fields = ["=about"]
    search_help_text = "The id of an outcome or an invoice, in full"
    ordering = ["-id"]
    sortable_by = ()
    inlines = [AttemptInline]
    fields = [
        "public_id", "type", "about", "endpoint", "state", "attempts", "next_attempt", "created_at", "finished_at",
        "payload",
    ]  # fmt: skip
    readonly_fields = fields
    actions = ["resend_chosen"]
    actions_detail = ["resend_this"]

    @display(description="State", label={"accepted": "success", "waiting": "info", "failed": "danger"})
    def state(self, message: Delivery) -> str:
        return message.status

    @display(description="Next attempt")
    def next_attempt(self, message: Delivery) -> datetime | None:
        return message.next_attempt_at if message.status == Delivery.Status.WAITING else None

    @display(description="Payload")
    def payload(self, message: Delivery) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(json.loads(message.body), indent=2, ensure_ascii=False))

    @admin.action(description="Send the chosen messages again", permissions=["act"])
    def resend_chosen(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        now = timezone.now()
        count = 0
        for message in queryset.order_by("id"):
            try:
                _resend(message, now)
            except ApiError as refusal:  # deleted meanwhile
                self.message_user(request, refusal.message, messages.ERROR)
            else:
                count += 1
                self.log_change(request, message, f"{RESEND.verb}.")
        self.message_user(request, f"Queued again: {count}.", messages.SUCCESS)

    @action(description="Send again", permissions=["act"])
    def resend_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._confirm(request, object_id, RESEND)
