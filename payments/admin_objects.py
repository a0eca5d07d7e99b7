"""What Stripe has of ours, in the admin, to be read; and what an invoice's page shows of it."""

import json
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import StackedInline, TabularInline
from unfold.decorators import action, display

from access.asking import Asks
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from invoicing.admin import INVOICE_PANELS
from invoicing.admin_credit_notes import link_to
from payments import events, standing, units
from payments.client import key_for
from payments.connections import mode_of
from payments.models import Connection, Operation, StripeCustomer, StripeEvent, StripeInvoice, TaxLookup

_DASHBOARD = "https://dashboard.stripe.com"
_PAGES = {"in_": "invoices", "cus_": "customers", "cn_": "credit_notes", "pi_": "payments"}

STATES = {"done": "success", "waiting": "info", "parked": "danger", "skipped": "warning"}
INVOICE_STATES = {"open": "warning", "paid": "success", "uncollectible": "danger", "draft": "info"}


def dashboard(stripe_id: str, livemode: bool | None) -> SafeString | str:
    """An object's id as a link to its page in Stripe's dashboard; by itself where another server plays Stripe."""
    page = next((name for prefix, name in _PAGES.items() if stripe_id.startswith(prefix)), None)
    if page is None or settings.STRIPE_URL:
        return stripe_id
    return outside(f"{_DASHBOARD}/{'' if livemode else 'test/'}{page}/{stripe_id}", stripe_id)


def outside(address: str, text: str) -> SafeString:
    """A link that leads out of the admin."""
    return format_html('<a class="underline" href="{}" target="_blank" rel="noopener noreferrer">{}</a>', address, text)


def operation_link(operation: Operation) -> SafeString:
    """An operation's name as a link to its page."""
    address = reverse("admin:payments_operation_change", args=[operation.pk])
    return format_html('<a class="underline" href="{}">{}</a>', address, operation.get_kind_display())


class _Seen:
    """How an invoice at Stripe is shown."""

    @display(description="At Stripe")
    def stripe_link(self, seen: StripeInvoice) -> SafeString | str:
        return dashboard(seen.stripe_id, seen.livemode)

    @display(description="Status", ordering="status", label=INVOICE_STATES)
    def state(self, seen: StripeInvoice) -> str:
        return seen.status

    @display(description="Mode", ordering="livemode")
    def mode(self, seen: StripeInvoice) -> str:
        return mode_of(seen.livemode)

    @display(description="Payment page")
    def hosted_page(self, seen: StripeInvoice) -> SafeString | str:
        if not seen.hosted_url.startswith(("http://", "https://")):
            return "–"
        return outside(seen.hosted_url, "Where the customer pays it")

    @display(description="PDF")
    def stripe_pdf(self, seen: StripeInvoice) -> SafeString | str:
        return outside(seen.pdf_url, "Stripe's PDF") if seen.pdf_url.startswith(("http://", "https://")) else "–"

    @display(description="Total", ordering="total")
    def total_there(self, seen: StripeInvoice) -> str:
        return self._amount(seen, seen.total)

    @display(description="Due")
    def due_there(self, seen: StripeInvoice) -> str:
        return self._amount(seen, seen.amount_due)

    @display(description="Paid")
    def paid_there(self, seen: StripeInvoice) -> str:
        return self._amount(seen, seen.amount_paid)

    @display(description="Left to pay", ordering="amount_remaining")
    def left_there(self, seen: StripeInvoice) -> str:
        return self._amount(seen, seen.amount_remaining)

    @display(description="Carried over")
    def carried_over(self, seen: StripeInvoice) -> str:
        if seen.carried:
            return f"{self._amount(seen, seen.carried)} is left for the next invoice: too little to be charged"
        return f"{self._amount(seen, seen.taken)} of earlier invoices is collected" if seen.taken else "–"

    def _amount(self, seen: StripeInvoice, amount: int) -> str:
        return units.told(amount, seen.invoice.currency)


class MismatchFilter(admin.SimpleListFilter):
    title = "mismatch"
    parameter_name = "mismatch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Differs from ours"), ("no", "Agrees")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StripeInvoice]) -> QuerySet[StripeInvoice]:
        if self.value() == "yes":
            return queryset.exclude(mismatch="")
        return queryset.filter(mismatch="") if self.value() == "no" else queryset


COLLECTED = {"send_invoice": "Sent", "charge_automatically": "Charged"}


class CollectionFilter(admin.SimpleListFilter):
    title = "collection"
    parameter_name = "collection"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(COLLECTED.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[StripeInvoice]) -> QuerySet[StripeInvoice]:
        return queryset.filter(collection_method=self.value()) if self.value() else queryset


def _there(seen: StripeInvoice, amount: int) -> tuple[int, str]:
    return units.from_stripe(amount, seen.invoice.currency), seen.invoice.currency


@admin.register(StripeInvoice)
class StripeInvoiceAdmin(ReadOnly, _Seen, ModelAdmin):
    amounts: ClassVar = {
        "total_there": lambda seen: _there(seen, seen.total),
        "left_there": lambda seen: _there(seen, seen.amount_remaining),
    }
    list_display = [
        "ours", "customer", "state", "total_there", "left_there", "agrees", "mode", "stripe_link", "seen_at",
    ]  # fmt: skip
    list_display_links = ["state"]
    list_filter = ["status", MismatchFilter, "livemode", CollectionFilter]
    list_select_related = ["invoice__customer"]
    search_fields = ["^invoice__number", "invoice__customer__key", "invoice__customer__name", "=stripe_id"]
    search_help_text = "Number or how it begins, key or name of the customer, or Stripe's id (in_…) in full"
    ordering = ["-pk"]
    sortable_by = ()
    fields = [
        "ours", "customer", "stripe_link", "account", "mode", "state", "mismatch", "collected", "total_there",
        "tax", "due_there", "paid_there", "left_there", "carried_over", "attempt_count", "last_failure", "hosted_page",
        "stripe_pdf", "seen_at",
    ]  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[StripeInvoice]:
        return super().get_queryset(request).select_related("invoice__customer")

    @display(description="Invoice", ordering="invoice__number")
    def ours(self, seen: StripeInvoice) -> SafeString:
        return link_to(seen.invoice)

    @display(description="Collection")
    def collected(self, seen: StripeInvoice) -> str:
        return COLLECTED.get(seen.collection_method, seen.collection_method)

    @display(description="Customer")
    def customer(self, seen: StripeInvoice) -> str:
        return str(seen.invoice.customer)

    @display(description="Agrees", label={"yes": "success", "no": "danger"})
    def agrees(self, seen: StripeInvoice) -> str:
        return "no" if seen.mismatch else "yes"


@admin.register(StripeCustomer)
class StripeCustomerAdmin(ReadOnly, ModelAdmin):
    list_display = ["customer", "stripe_link", "mode", "account", "created_at"]
    list_filter = ["livemode"]
    list_select_related = ["customer"]
    search_fields = ["customer__key", "customer__name", "=stripe_id"]
    search_help_text = "Key or name of the customer, or Stripe's id (cus_…) in full"
    ordering = ["-id"]
    fields = ["customer", "stripe_link", "mode", "account", "sent", "created_at"]
    readonly_fields = fields

    @display(description="At Stripe")
    def stripe_link(self, one: StripeCustomer) -> SafeString | str:
        return dashboard(one.stripe_id, one.livemode)

    @display(description="Mode", ordering="livemode")
    def mode(self, one: StripeCustomer) -> str:
        return mode_of(one.livemode)


@admin.register(TaxLookup)
class TaxLookupAdmin(ReadOnly, ModelAdmin):
    list_display = ["customer", "known", "shown_rates", "reason", "looked_at", "next_at"]
    list_filter = ["known"]
    list_select_related = ["customer"]
    search_fields = ["customer__key", "customer__name"]
    search_help_text = "Key or name of the customer"
    ordering = ["customer__key"]
    fields = ["customer", "known", "shown_rates", "reason", "looked_at", "next_at"]
    readonly_fields = fields

    @display(description="Rates")
    def shown_rates(self, found: TaxLookup) -> str:
        return ", ".join(found.rates) or "none"


@admin.register(StripeEvent)
class StripeEventAdmin(Asks, ModelAdmin):
    list_display = ["type", "state", "object_link", "occurred_at", "received_at", "attempts", "event_id"]
    list_filter = ["status", "livemode"]
    search_fields = ["=event_id", "=object_id", "=type"]
    search_help_text = "Type, or Stripe's id of the event (evt_…) or of its object, in full"
    ordering = ["-id"]
    sortable_by = ()
    fields = [
        "event_id", "type", "state", "reason", "object_link", "account", "livemode", "api_version", "occurred_at",
        "received_at", "attempts", "next_attempt_at", "finished_at", "shown_payload",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["work_again_this"]

    @display(description="State", ordering="status", label=STATES | {"failed": "danger"})
    def state(self, event: StripeEvent) -> str:
        return event.status

    @display(description="About")
    def object_link(self, event: StripeEvent) -> SafeString | str:
        return dashboard(event.object_id, event.livemode) or "–"

    @display(description="Payload")
    def shown_payload(self, event: StripeEvent) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(event.payload, indent=2, ensure_ascii=False))

    @action(description="Work again", permissions=["act"])
    def work_again_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        event = StripeEvent.objects.filter(pk=object_id).first()
        if event is None:
            raise Http404
        facts = [event.reason, "What it is about is read from Stripe again within seconds. That changes nothing there."]

        def act(given: dict[str, str]) -> StripeEvent:
            return events.retry(event.pk, now=timezone.now())

        back = reverse("admin:payments_stripeevent_change", args=[object_id])
        return self.question(request, f"Work again: {event}?", facts, "Work again", back, [], act)


@admin.register(Connection)
class ConnectionAdmin(ReadOnly, ModelAdmin):
    """``manage.py stripe connect`` makes them."""

    list_display = ["audience", "account", "mode", "connected_at", "key_set", "open_ones", "wrong"]
    fields = ["audience", "account", "mode", "connected_at", "key_set", "open_ones", "wrong"]
    readonly_fields = fields
    ordering = ["audience"]

    @display(description="Mode")
    def mode(self, connection: Connection) -> str:
        return mode_of(connection.livemode)

    @display(description="Key", label={"set": "success", "missing": "danger"})
    def key_set(self, connection: Connection) -> str:
        return "set" if key_for(connection.audience) else "missing"

    def prepare(self, rows: list[Any]) -> None:
        for connection in rows:  # two at most
            connection.standing = standing.of(connection.audience, timezone.now())

    def _standing(self, connection: Any) -> standing.Standing:
        if not hasattr(connection, "standing"):
            self.prepare([connection])
        found: standing.Standing = connection.standing
        return found

    @display(description="Open")
    def open_ones(self, connection: Connection) -> str:
        found = self._standing(connection)
        return f"{found.waiting:,} waiting, {found.parked:,} parked"

    @display(description="Wrong")
    def wrong(self, connection: Connection) -> SafeString | str:
        found = self._standing(connection)
        return format_html_join("", "<p>{}</p>", ((one,) for one in found.problems)) or "–"


# --- On an invoice's page ---------------------------------------------------------------------------------------------


class _Panel(ReadOnly):
    """Shown where there is something to show."""

    model: Any

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_view_permission(request, obj)  # type: ignore[misc]
        return allowed and (obj is None or self.model.objects.filter(invoice=obj).exists())


class StripeInvoicePanel(_Panel, _Seen, StackedInline):
    model = StripeInvoice
    extra = 0
    verbose_name_plural = "At Stripe"
    fields = [
        "state", "mismatch", "total_there", "due_there", "left_there", "carried_over", "attempt_count", "last_failure",
        "hosted_page", "stripe_link", "mode", "seen_at",
    ]  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[StripeInvoice]:
        return super().get_queryset(request).select_related("invoice")


class OperationPanel(_Panel, TabularInline):
    model = Operation
    extra = 0
    verbose_name_plural = "Stripe operations"
    fields = ["what", "state", "reason", "attempts", "created_at", "finished_at", "decide"]
    readonly_fields = fields
    ordering = ["id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operation]:
        return super().get_queryset(request).select_related("invoice__customer")

    @display(description="What")
    def what(self, operation: Operation) -> SafeString:
        return operation_link(operation)

    @display(description="State", label=STATES)
    def state(self, operation: Operation) -> str:
        return operation.status

    @display(description="")
    def decide(self, operation: Operation) -> SafeString | str:
        if operation.finished_at is not None:
            return ""
        address = reverse("admin:payments_operation_retry_this", args=[operation.pk])
        return format_html('<a class="underline" href="{}">Retry</a>', address)


INVOICE_PANELS.extend([StripeInvoicePanel, OperationPanel])
