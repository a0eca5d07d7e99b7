"""Unpaid invoices and what was written about them, in the admin: to be read. Pausing, resuming and stopping a dunning
are asked for, with a reason.
"""

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import action, display

from access.asking import Asked, Asks
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from invoicing import credit, texts
from invoicing.admin_credit_notes import link_to
from payments import dunning
from payments.models import Dunning, DunningMail

WHY: Final = Asked("reason", "Why", "It is kept, with your name; the customer does not read it.")
STATES: Final = {"running": "warning", "paused": "info", "ended": "success"}
MAIL_STATES: Final = {"waiting": "info", "sent": "success", "failed": "danger", "dropped": "warning"}


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.capitalize()) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Dunning]) -> QuerySet[Dunning]:
        chosen = {
            "running": Q(ended_at=None, paused_at=None),
            "paused": Q(paused_at__isnull=False),
            "ended": Q(ended_at__isnull=False),
        }
        return queryset.filter(chosen[self.value()]) if self.value() in chosen else queryset  # type: ignore[index]


class MailInline(ReadOnly, TabularInline):
    model = DunningMail
    extra = 0
    verbose_name_plural = "Mails"
    fields = ["step", "letter", "state", "sent_to", "created_at", "finished_at", "reason"]
    readonly_fields = fields
    ordering = ["step"]
    show_change_link = True

    @display(description="State", label=MAIL_STATES)
    def state(self, mail: DunningMail) -> str:
        return mail.status


@admin.register(Dunning)
class DunningAdmin(Asks, ModelAdmin):
    list_display = ["invoice_link", "customer", "kind", "state", "step", "next_step", "why", "started_at"]
    list_filter = [StatusFilter, "kind", "paused_because", "ended_because"]
    list_select_related = ["invoice__customer"]
    search_fields = ["=invoice__number", "invoice__customer__key", "invoice__customer__name"]
    search_help_text = "Number of the invoice in full, or key or name of the customer"
    ordering = ["-id"]
    sortable_by = ()
    inlines = [MailInline]
    fields = [
        "invoice_link", "customer", "due", "kind", "state", "step", "next_step", "why", "reason", "decided_by",
        "started_at", "paused_at", "ended_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["pause_this", "resume_this", "stop_this"]

    @display(description="Invoice", ordering="invoice__number")
    def invoice_link(self, found: Dunning) -> SafeString:
        return link_to(found.invoice)

    @display(description="Customer", ordering="invoice__customer__key")
    def customer(self, found: Dunning) -> str:
        return str(found.invoice.customer)

    @display(description="Due")
    def due(self, found: Dunning) -> str:
        return texts.amount(credit.due_minor(found.invoice), found.invoice.currency)

    @display(description="State", label=STATES)
    def state(self, found: Dunning) -> str:
        return found.status

    @display(description="Next", empty_value="–")
    def next_step(self, found: Dunning) -> str | None:
        return None if found.paused_at or found.next_at is None else date_format(found.next_at, "DATETIME_FORMAT")

    @display(description="Why")
    def why(self, found: Dunning) -> str:
        return found.get_ended_because_display() or found.get_paused_because_display() or "–"

    # --- What may be done ---------------------------------------------------------------------------------------------

    def offered(self, object_id: Any) -> list[str]:
        found = Dunning.objects.filter(pk=object_id, ended_at=None).first()
        if found is None:
            return []
        by_hand = found.paused_because in (Dunning.Pause.PERSON, Dunning.Pause.MAIL_FAILED)
        return ["resume_this" if by_hand else "pause_this", "stop_this"]

    @action(description="Pause", permissions=["act"])
    def pause_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        told = "Nothing is charged and nothing is written until somebody resumes it; it goes on where it stopped."
        return self._ask(request, object_id, "Pause", told, dunning.pause)

    @action(description="Resume", permissions=["act"])
    def resume_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        told = "It goes on where it stopped. A mail that could not be delivered is sent again."
        return self._ask(request, object_id, "Resume", told, dunning.resume)

    @action(description="Stop", permissions=["act"])
    def stop_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        told = "It ends for good. The invoice stays as it is: paid, given up or voided it is by hand."
        return self._ask(request, object_id, "Stop", told, dunning.stop)

    def _ask(
        self, request: HttpRequest, object_id: int, verb: str, told: str, use_case: Callable[..., Dunning]
    ) -> HttpResponse:
        found = Dunning.objects.select_related("invoice__customer").filter(pk=object_id).first()
        if found is None:
            raise Http404

        def act(given: dict[str, str]) -> Dunning:
            return use_case(found.pk, reason=given["reason"], by=str(request.user), now=timezone.now())

        facts = [format_html("{} · {} · <strong>{}</strong>", found.invoice.customer, found, self.due(found)), told]
        back = reverse("admin:payments_dunning_change", args=[object_id])
        question = f"{verb} the dunning of {found.invoice}?"
        return self.question(request, question, facts, verb, back, [WHY], act)


@admin.register(DunningMail)
class DunningMailAdmin(ReadOnly, ModelAdmin):
    list_display = ["title", "invoice_link", "sent_to", "state", "attempts", "created_at", "finished_at", "reason"]
    list_filter = ["status", "letter"]
    list_select_related = ["dunning__invoice"]
    search_fields = ["=dunning__invoice__number", "=sent_to", "dunning__invoice__customer__key"]
    search_help_text = "Number of the invoice or address in full, or key of the customer"
    ordering = ["-id"]
    sortable_by = ()
    fields = [
        "title", "invoice_link", "step", "letter", "state", "reason", "sent_to", "attempts", "next_attempt",
        "created_at", "finished_at", "message_id", "text",
    ]  # fmt: skip
    readonly_fields = fields

    @display(description="Mail")
    def title(self, mail: DunningMail) -> str:
        return str(mail)

    @display(description="Invoice")
    def invoice_link(self, mail: DunningMail) -> SafeString:
        return link_to(mail.dunning.invoice)

    @display(description="State", ordering="status", label=MAIL_STATES)
    def state(self, mail: DunningMail) -> str:
        return mail.status

    @display(description="Next attempt", empty_value="–")
    def next_attempt(self, mail: DunningMail) -> str | None:
        waits = mail.status == DunningMail.Status.WAITING
        return date_format(mail.next_attempt_at, "DATETIME_FORMAT") if waits else None

    @display(description="What it says")
    def text(self, mail: DunningMail) -> SafeString | str:
        return format_html('<div style="white-space: pre-wrap">{}</div>', mail.body) if mail.body else "–"
