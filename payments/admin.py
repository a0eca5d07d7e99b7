"""What is to be made so at Stripe, in the admin: to be read. Retrying and skipping are asked for on pages of their own,
and go through the same use cases as the API.
"""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import action, display

from access import ids
from access.asking import Asked, Asks
from access.errors import ApiError
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from access.roles import may
from invoicing.admin_credit_notes import link_to
from payments import (
    admin_credits,
    admin_dunning,
    admin_findings,
    admin_objects,
    customer_sections,
    operations,
    queries,
)
from payments.admin_objects import STATES, operation_link
from payments.connections import mode_of
from payments.models import Operation, Step

__all__ = [
    "admin_credits",
    "admin_dunning",
    "admin_findings",
    "admin_objects",
    "customer_sections",
]  # register their own

WHY = Asked("reason", "Why", "It is kept, with your name.")


class StepInline(ReadOnly, TabularInline):
    model = Step
    extra = 0
    verbose_name_plural = "Calls to Stripe"
    fields = ["name", "epoch", "key", "begun_at", "ended_at", "known", "answer"]
    readonly_fields = fields
    ordering = ["id"]

    @display(description="Known", label={"done": "success", "not yet": "info", "another key": "warning"})
    def known(self, step: Step) -> str:
        if step.dropped:
            return "made again"
        if step.result is not None:
            return "done"
        return "another key" if step.stale else "not yet"

    @display(description="Answer")
    def answer(self, step: Step) -> str:
        told: dict[str, Any] = queries.step_json(step)["answer"] or {}
        return ", ".join(f"{name}: {value}" for name, value in told.items()) or "–"


@admin.register(Operation)
class OperationAdmin(Asks, ModelAdmin):
    list_display = [
        "what", "document", "customer", "state", "short_reason", "attempts", "next_attempt", "created_at",
        "finished_at",
    ]  # fmt: skip
    list_filter = ["status", "kind"]
    list_select_related = ["customer", "invoice", "credit_note"]
    search_fields = [
        "customer__key", "customer__name", "=invoice__number", "=credit_note__number", "=invoice__stripe__stripe_id",
    ]  # fmt: skip
    search_help_text = "Customer; or in full: number of an invoice or credit note, sop_…, Stripe's in_…"
    ordering = ["-id"]
    sortable_by = ()
    inlines = [StepInline]
    fields = [
        "api_id", "what", "document", "customer", "state", "reason", "code", "attempts", "next_attempt", "waits_for",
        "account", "mode", "decided_by", "created_at", "finished_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions = ["retry_chosen"]
    actions_detail = ["retry_this", "skip_this"]

    # --- What is shown ------------------------------------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Operation], search_term: str
    ) -> tuple[QuerySet[Operation], bool]:
        if search_term.startswith(f"{Operation.PREFIX}_"):
            try:
                return queryset.filter(uid=ids.decode(Operation.PREFIX, search_term.strip())), False
            except ValueError:
                return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    @display(description="What", ordering="kind")
    def what(self, operation: Operation) -> str:
        count = f" ({operation.number})" if operation.number > 1 else ""
        return f"{operation.get_kind_display()}{count}"

    @display(description="Id for the API")
    def api_id(self, operation: Operation) -> str:
        return operation.public_id

    @display(description="Document")
    def document(self, operation: Operation) -> SafeString | str:
        found = operation.invoice or operation.credit_note
        return "–" if found is None else link_to(found)

    @display(description="State", ordering="status", label=STATES)
    def state(self, operation: Operation) -> str:
        return operation.status

    @display(description="Reason")
    def short_reason(self, operation: Operation) -> str:
        return operation.reason if len(operation.reason) <= 80 else f"{operation.reason[:79]}…"

    @display(description="Next attempt", empty_value="–")
    def next_attempt(self, operation: Operation) -> Any:
        return operation.next_attempt_at if operation.status == Operation.Status.WAITING else None

    @display(description="Waits for")
    def waits_for(self, operation: Operation) -> SafeString | str:
        if operation.status not in queries.OPEN:
            return "–"
        ahead = Operation.objects.filter(customer=operation.customer_id, status__in=queries.OPEN, id__lt=operation.pk)
        first = ahead.order_by("id").first()
        return "–" if first is None else operation_link(first)

    @display(description="Mode")
    def mode(self, operation: Operation) -> str:
        return "–" if operation.livemode is None else mode_of(operation.livemode)

    # --- What may be done ---------------------------------------------------------------------------------------------

    has_skip_permission = may("access.skip_operations")

    def offered(self, object_id: Any) -> list[str]:
        is_open = Operation.objects.filter(pk=object_id, status__in=queries.OPEN).exists()
        return ["retry_this", "skip_this"] if is_open else []

    @admin.action(description="Retry the chosen operations", permissions=["act"])
    def retry_chosen(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        count = 0
        for one in queryset.order_by("id"):
            try:
                operations.retry(one.pk, now=timezone.now(), by=str(request.user))
            except ApiError as refusal:
                self.message_user(request, f"{one}: {refusal.message}", messages.ERROR)
            else:
                count += 1
                self.log_change(request, one, "Retry.")
        if count:
            self.message_user(request, f"Tried again within seconds: {count}.", messages.SUCCESS)

    @action(description="Retry", permissions=["act"])
    def retry_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        found = self._found(object_id)
        facts = [found.reason, "It is tried again within seconds. What is done at Stripe already is not done again."]

        def act(given: dict[str, str]) -> Operation:
            return operations.retry(found.pk, now=timezone.now(), by=str(request.user))

        return self.question(request, f"Retry: {found}?", facts, "Retry", self._page(found), [], act)

    @action(description="Skip", permissions=["skip"])
    def skip_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        found = self._found(object_id)
        facts = [
            found.reason,
            "This cannot be undone. It is given up, whatever part of it is done at Stripe, and the customer's next "
            "operation goes on: see to it there by hand.",
        ]

        def act(given: dict[str, str]) -> Operation:
            return operations.skip(found.pk, reason=given["reason"], now=timezone.now(), by=str(request.user))

        return self.question(request, f"Skip: {found}?", facts, "Skip", self._page(found), [WHY], act, may="skip")

    def _found(self, object_id: Any) -> Operation:
        found = Operation.objects.select_related("customer", "invoice", "credit_note").filter(pk=object_id).first()
        if found is None:
            raise Http404
        return found

    def _page(self, operation: Operation) -> str:
        return reverse("admin:payments_operation_change", args=[operation.pk])
