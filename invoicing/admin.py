"""Invoices in the admin: to be read. What may be done with one goes through the same use cases as the API."""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from access.errors import ApiError
from access.readonly import ReadOnly
from invoicing import pdf, texts
from invoicing.issue import issue
from invoicing.models import Invoice, InvoiceLine, NumberSeries, ParkedCustomer
from invoicing.payment import mark_paid
from invoicing.void import void


class Step(NamedTuple):
    """What may be done with one invoice, and what the person who does it is told first."""

    verb: str
    done: str
    use_case: Callable[..., Invoice]
    consequence: str


ISSUE = Step(
    "Issue", "Issued", issue, "It gets its number and is frozen: from then on neither its lines nor its total change."
)
MARK_PAID = Step(
    "Mark as paid", "Marked as paid", mark_paid, "It counts as paid in full; nothing is collected for it any more."
)
VOID = Step(
    "Void",
    "Voided",
    void,
    "This cannot be undone. It keeps its number and owes nothing; its outcomes are billed anew by the next run.",
)


class InvoiceLineInline(ReadOnly, TabularInline):
    model = InvoiceLine
    extra = 0
    fields = ["title", "dimension_values", "period", "units", "price_each", "amount", "outcome_count", "voided_count"]
    readonly_fields = fields
    ordering = ["position"]
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[InvoiceLine]:
        return super().get_queryset(request).select_related("invoice")

    @display(description="Dimensions")
    def dimension_values(self, line: InvoiceLine) -> str:
        return ", ".join(f"{name}: {value}" for name, value in sorted(line.dimensions.items())) or "–"

    @display(description="Period")
    def period(self, line: InvoiceLine) -> str:
        return texts.span(texts.Period(line.period_start, line.period_end), line.invoice.time_zone)

    @display(description="Quantity")
    def units(self, line: InvoiceLine) -> str:
        return texts.grouped(texts.plain(line.quantity))

    @display(description="Unit price")
    def price_each(self, line: InvoiceLine) -> str:
        return texts.unit_price(line.unit_price, line.invoice.currency)

    @display(description="Amount")
    def amount(self, line: InvoiceLine) -> str:
        return texts.amount(line.amount_minor, line.invoice.currency)


@admin.register(Invoice)
class InvoiceAdmin(ReadOnly, ModelAdmin):
    list_display = ["name", "customer", "state", "period", "total", "issued_at", "due_at", "pdf_link"]
    list_filter = ["status", "currency"]
    list_select_related = ["customer"]
    search_fields = ["number", "customer__key", "customer__name"]
    search_help_text = "Number, or key or name of the customer"
    ordering = ["-id"]
    show_full_result_count = False
    inlines = [InvoiceLineInline]
    fields = [
        "name", "customer", "state", "period", "total", "issued_at", "due_at", "paid_at", "voided_at", "net_days",
        "contract", "content_hash", "created_at", "refreshed_at", "pdf_link",
    ]  # fmt: skip
    readonly_fields = fields
    actions = ["issue_chosen", "mark_paid_chosen", "void_chosen"]
    actions_detail = ["issue_this", "mark_paid_this", "void_this"]

    # --- What is shown ------------------------------------------------------------------------------------------------

    @display(description="Invoice", ordering="number")
    def name(self, invoice: Invoice) -> str:
        return str(invoice)

    @display(
        description="Status",
        ordering="status",
        label={"draft": "info", "issued": "warning", "paid": "success", "uncollectible": "danger"},
    )
    def state(self, invoice: Invoice) -> tuple[str, str]:
        return invoice.status, invoice.get_status_display()

    @display(description="Period", ordering="period_start")
    def period(self, invoice: Invoice) -> str:
        return texts.span(texts.Period(invoice.period_start, invoice.period_end), invoice.time_zone)

    @display(description="Total", ordering="total_minor")
    def total(self, invoice: Invoice) -> str:
        return texts.amount(invoice.total_minor, invoice.currency)

    @display(description="PDF")
    def pdf_link(self, invoice: Invoice) -> str:
        return format_html(
            '<a href="{}" target="_blank">PDF</a>', reverse("admin:invoicing_invoice_pdf", args=[invoice.pk])
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.pdf_view)
        return [path("<uuid:pk>/pdf/", view, name="invoicing_invoice_pdf"), *super().get_urls()]

    def pdf_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The PDF, for who may see the invoice."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        invoice = Invoice.objects.select_related("customer").filter(pk=pk).first()
        if invoice is None:
            raise Http404
        headers = {"Content-Disposition": f'inline; filename="{pdf.filename(invoice)}"'}
        return HttpResponse(pdf.render(invoice), content_type="application/pdf", headers=headers)

    # --- What may be done ---------------------------------------------------------------------------------------------

    def has_bill_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change invoices, although no form does."""
        return request.user.has_perm("invoicing.change_invoice")

    @admin.action(description="Issue the chosen drafts", permissions=["bill"])
    def issue_chosen(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        self._apply(request, queryset, ISSUE.use_case, ISSUE.done)

    @admin.action(description="Mark the chosen invoices as paid", permissions=["bill"])
    def mark_paid_chosen(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        self._apply(request, queryset, MARK_PAID.use_case, MARK_PAID.done)

    @admin.action(description="Void the chosen invoices (cannot be undone)", permissions=["bill"])
    def void_chosen(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        self._apply(request, queryset, VOID.use_case, VOID.done)

    @action(description="Issue", permissions=["bill"])
    def issue_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, ISSUE)

    @action(description="Mark as paid", permissions=["bill"])
    def mark_paid_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, MARK_PAID)

    @action(description="Void", permissions=["bill"])
    def void_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, VOID)

    def _confirm(self, request: HttpRequest, object_id: UUID, step: Step) -> HttpResponse:
        """Ask, with the money that it moves; only the POST of that page does it, so no link and no crawler ever can."""
        invoice = Invoice.objects.select_related("customer").filter(pk=object_id).first()
        if invoice is None:
            raise Http404
        back = reverse("admin:invoicing_invoice_change", args=[object_id])
        if request.method == "POST":
            self._apply(request, Invoice.objects.filter(pk=object_id), step.use_case, step.done)
            return redirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{step.verb}: {invoice}",
            "question": f"{step.verb}: {invoice}?",
            "verb": step.verb,
            "consequence": step.consequence,
            "invoice": invoice,
            "period": self.period(invoice),
            "total": self.total(invoice),
            "back": back,
        }
        return TemplateResponse(request, "invoicing/confirm_action.html", context)

    def _apply(
        self, request: HttpRequest, queryset: QuerySet[Invoice], use_case: Callable[..., Invoice], done: str
    ) -> None:
        """The use case on each invoice by itself; those that refuse say why and keep no other from it."""
        now = timezone.now()
        count = 0
        # Oldest first, so that numbers follow the order in which the drafts came to be.
        for invoice in queryset.order_by("id"):
            try:
                changed = use_case(invoice.pk, now=now)
            except ApiError as refusal:
                self.message_user(request, refusal.message, messages.ERROR)
            else:
                count += 1
                self.log_change(request, changed, f"{done}.")
        if count:
            self.message_user(request, f"{done}: {count}.", messages.SUCCESS)


@admin.register(ParkedCustomer)
class ParkedCustomerAdmin(ReadOnly, ModelAdmin):
    list_display = ["customer", "reason", "since", "attempts"]
    list_select_related = ["customer"]
    search_fields = ["customer__key", "customer__name", "reason"]
    ordering = ["since"]


@admin.register(NumberSeries)
class NumberSeriesAdmin(ReadOnly, ModelAdmin):
    list_display = ["key", "prefix", "next_number"]
