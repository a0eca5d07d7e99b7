"""Invoices in the admin: to be read. What may be done with one goes through the same use cases as the API."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.options import InlineModelAdmin
from django.db import transaction
from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from access.asking import Asked, Asks, ask, entered
from access.errors import ApiError
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from access.roles import may
from contracts.admin_testers import TestersFilter
from contracts.domain import money
from invoicing import credit, customer_sections, one_off, outcome_marks, queries, second_person, texts
from invoicing.admin_credit_notes import (
    AMOUNT,
    REASON,
    SHOWN,
    AllocationInline,
    ApplicationInline,
    CurrencyFilter,
    LineInline,
    amount_of,
)
from invoicing.admin_files import WithFiles, review
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.domain import lifecycle
from invoicing.issue import issue
from invoicing.models import (
    CreditAllocation,
    CreditApplication,
    CreditNote,
    Invoice,
    NumberSeries,
    ParkedCustomer,
)
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.refusals import actions_of
from invoicing.void import void

__all__ = ["outcome_marks"]  # registers its own


class Step(NamedTuple):
    """What may be done with one invoice, and what the person who does it is told first."""

    verb: str
    done: str
    use_case: Callable[..., Invoice]
    consequence: str
    inputs: tuple[Asked, ...] = (Asked("reason", "Why", "It is kept, with your name."),)


ISSUE = Step(
    "Issue",
    "Issued",
    issue,
    "It gets its number and is frozen: from then on neither its lines nor its total change.",
    inputs=(),
)
MARK_PAID = Step(
    "Mark as paid", "Marked as paid", mark_paid, "It counts as paid in full; nothing is collected for it any more."
)
MARK_UNCOLLECTIBLE = Step(
    "Mark as uncollectible",
    "Marked as uncollectible",
    mark_uncollectible,
    "It is still owed and nobody waits for it; it can be paid or voided later.",
)
VOID = Step(
    "Void",
    "Voided",
    void,
    "This cannot be undone. It keeps its number and owes nothing; its outcomes are billed anew by the next run, and "
    "credit that was taken off it is free.",
)


_ACTIONS = {
    lifecycle.ISSUE: "issue_this",
    lifecycle.MARK_PAID: "mark_paid_this",
    lifecycle.MARK_UNCOLLECTIBLE: "mark_uncollectible_this",
    lifecycle.MAKE_VOID: "void_this",
    lifecycle.DISCARD: "discard_this",
}


INVOICE_PANELS: list[type[InlineModelAdmin]] = []
"""What higher apps show on an invoice's page, below all else; they add it when their admin loads."""


class OverdueFilter(admin.SimpleListFilter):
    title = "overdue"
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        overdue = queries.overdue_at(timezone.now())
        if self.value() == "yes":
            return queryset.filter(overdue)
        return queryset.exclude(overdue) if self.value() == "no" else queryset


def _sum(rows: QuerySet[Any], column: str) -> Coalesce:
    """The sum of a column of an invoice's rows, 0 without any."""
    summed = rows.filter(invoice=OuterRef("pk")).order_by().values("invoice").annotate(total=Sum(column))
    return Coalesce(Subquery(summed.values("total")), 0, output_field=BigIntegerField())


def _due_minor(invoice: Any) -> int:
    """What is still to be paid of an invoice of the list, in minor units."""
    return lifecycle.due_minor(invoice.status, invoice.total_minor, invoice.applied_minor)


@admin.register(Invoice)
class InvoiceAdmin(WithFiles, Asks, ModelAdmin):
    list_display = [
        "name",
        "customer",
        "state",
        "period",
        "total",
        "credited",
        "due",
        "issued_at",
        "due_at",
        "pdf_link",
    ]
    list_filter = ["status", OverdueFilter, "kind", CurrencyFilter, TestersFilter]
    list_select_related = ["customer"]
    search_fields = ["^number", "customer__key", "customer__name"]
    search_help_text = "Number or how it begins, or key or name of the customer"
    ordering = ["-id"]
    sortable_by = ["name", "total", "due_at"]
    inlines = [LineInline, AllocationInline, ApplicationInline]
    fields = [
        "name", "kind", "customer", "status", "period", "memo", "subtotal", "tax", "total", "credited", "due",
        "issued_at", "due_at", "paid_at", "uncollectible_at", "voided_at", "net_days", "contract", "content_hash",
        "created_at", "refreshed_at", "files",
    ]  # fmt: skip
    readonly_fields = [*fields, "review"]
    actions = ["issue_chosen", "mark_paid_chosen", "mark_uncollectible_chosen", "void_chosen"]
    actions_detail = [
        "issue_this", "mark_paid_this", "mark_uncollectible_this", "void_this", "goodwill_this", "discard_this",
    ]  # fmt: skip

    # --- What is shown ------------------------------------------------------------------------------------------------

    links_alone = ("pdf_link",)
    amounts: ClassVar = {
        "total": lambda invoice: (invoice.total_minor, invoice.currency),
        "credited": lambda invoice: (invoice.credited_minor, invoice.currency),
        "due": lambda invoice: (_due_minor(invoice), invoice.currency),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        # One query for a page of the list, whatever its length.
        credited = CreditAllocation.objects.filter(credit_note__status=CreditNote.Status.ISSUED)
        applied = CreditApplication.objects.filter(live=True)
        return (
            super()
            .get_queryset(request)
            .annotate(credited_minor=_sum(credited, "total_minor"), applied_minor=_sum(applied, "amount_minor"))
        )

    def get_inlines(self, request: HttpRequest, obj: Invoice | None) -> list[Any]:
        return [*self.inlines, *INVOICE_PANELS]

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

    @display(description="Subtotal")
    def subtotal(self, invoice: Invoice) -> str:
        return texts.amount(invoice.subtotal_minor, invoice.currency)

    @display(description="Tax")
    def tax(self, invoice: Invoice) -> str:
        return texts.amount(invoice.tax_minor, invoice.currency)

    @display(description="Credited")
    def credited(self, invoice: Any) -> str:
        return texts.amount(invoice.credited_minor, invoice.currency) if invoice.credited_minor else "–"

    @display(description="Due")
    def due(self, invoice: Any) -> str:
        return texts.amount(_due_minor(invoice), invoice.currency)

    @display(description="PDF")
    def pdf_link(self, invoice: Invoice) -> str:
        return format_html(
            '<a href="{}" target="_blank">PDF</a>', reverse("admin:invoicing_invoice_pdf", args=[invoice.pk])
        )

    def get_urls(self) -> list[URLPattern]:
        running = self.admin_site.admin_view(customer_sections.running_page)
        return [path("running/<path:key>/", running, name="invoicing_invoice_running"), *super().get_urls()]

    @display(description="Beside the one before")
    def review(self, invoice: Invoice) -> SafeString | str:
        return review(invoice)

    def get_fields(self, request: HttpRequest, obj: Invoice | None = None) -> list[str]:
        """Of a draft, how it differs from the invoice before it, too."""
        return [*self.fields, "review"] if obj is not None and obj.status == lifecycle.DRAFT else self.fields

    # --- What may be done ---------------------------------------------------------------------------------------------

    has_issue_permission = may("access.issue_invoices")
    has_settle_permission = may("access.settle_invoices")
    has_void_permission = may("access.void_invoices")
    has_goodwill_permission = may("access.give_goodwill")

    def offered(self, object_id: UUID) -> Collection[str]:
        invoice = Invoice.objects.filter(pk=object_id).first()
        if invoice is None:
            return ()
        allowed = [_ACTIONS[one] for one in actions_of(invoice) if one in _ACTIONS]
        return allowed if invoice.status in (lifecycle.DRAFT, lifecycle.VOID) else [*allowed, "goodwill_this"]

    @admin.action(description="Issue the chosen drafts", permissions=["issue"])
    def issue_chosen(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> HttpResponse | None:
        return self._chosen(request, queryset, ISSUE)

    @admin.action(description="Mark the chosen invoices as paid", permissions=["settle"])
    def mark_paid_chosen(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> HttpResponse | None:
        return self._chosen(request, queryset, MARK_PAID)

    @admin.action(description="Mark the chosen invoices as uncollectible", permissions=["settle"])
    def mark_uncollectible_chosen(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> HttpResponse | None:
        return self._chosen(request, queryset, MARK_UNCOLLECTIBLE)

    @admin.action(description="Void the chosen invoices (cannot be undone)", permissions=["void"])
    def void_chosen(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> HttpResponse | None:
        return self._chosen(request, queryset, VOID)

    @action(description="Issue", permissions=["issue"])
    def issue_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, ISSUE)

    @action(description="Mark as paid", permissions=["settle"])
    def mark_paid_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, MARK_PAID)

    @action(description="Mark as uncollectible", permissions=["settle"])
    def mark_uncollectible_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, MARK_UNCOLLECTIBLE)

    @action(description="Give goodwill", permissions=["goodwill"])
    def goodwill_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        invoice = Invoice.objects.select_related("customer").filter(pk=object_id).first()
        if invoice is None:
            raise Http404
        left = credit.left_to_credit([invoice.pk])[invoice.pk].gross
        facts = [
            self._money(invoice),
            f"Left to credit: {texts.amount(left, invoice.currency)}",
            "A credit note is issued for it, beside what corrects itself. This cannot be undone.",
        ]
        limit = second_person.limit_text(invoice.currency)
        if limit:
            facts.append(f"Above {limit}, with what you gave on this invoice before, another person approves it first.")

        def act(given: dict[str, str]) -> CreditNote:
            wanted = Goodwill(invoice.pk, given["reason"], amount_of(given["amount"]))
            by, now = str(request.user), timezone.now()
            try:
                return goodwill(wanted, by=by, now=now)
            except ApiError as refusal:
                if refusal.code != second_person.CODE:
                    raise
            written = goodwill(replace(wanted, issue=False), by=by, now=now)
            messages.warning(request, f"{written} waits for another person's approval, and gives nothing before.")
            return written

        back = reverse("admin:invoicing_invoice_change", args=[object_id])
        such = money.major_text(500, invoice.currency)
        amount = AMOUNT._replace(hint=f"In {invoice.currency}, with tax, such as {such}.")
        return self.question(
            request, f"Goodwill on {invoice}?", facts, "Give", back, [amount, REASON], act, may="goodwill"
        )

    @action(description="Void", permissions=["void"])
    def void_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._confirm(request, object_id, VOID)

    @action(description="Discard", permissions=["issue"])
    def discard_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Of a draft that was written by hand alone."""
        invoice = Invoice.objects.select_related("customer").filter(pk=object_id).first()
        if invoice is None:
            raise Http404
        facts = [self._money(invoice), invoice.memo, "The draft is deleted. This cannot be undone."]
        back = reverse("admin:invoicing_invoice_changelist")

        def act(given: dict[str, str]) -> Invoice:
            return one_off.discard(invoice.pk)

        inputs = [Asked("reason", "Why", "It is kept, with your name.")]
        return self.question(request, f"Discard: {invoice}?", facts, "Discard", back, inputs, act, may="issue")

    def _confirm(self, request: HttpRequest, object_id: UUID, step: Step) -> HttpResponse:
        """Ask, with the money that it moves; only the POST of that page does it, so no link and no crawler ever can."""
        invoice = Invoice.objects.select_related("customer").filter(pk=object_id).first()
        if invoice is None:
            raise Http404
        back = reverse("admin:invoicing_invoice_change", args=[object_id])
        problem = ""
        if request.method == "POST":
            given, problem = entered(request, step.inputs)
            if not problem:
                self._apply(request, Invoice.objects.filter(pk=object_id), step, given.get("reason", ""))
                return redirect(back)
        facts = [self._money(invoice), step.consequence]
        question = f"{step.verb}: {invoice}?"
        return ask(self, request, question, facts, step.verb, back, inputs=step.inputs, problem=problem)

    def _chosen(self, request: HttpRequest, queryset: QuerySet[Invoice], step: Step) -> HttpResponse | None:
        """The step on the rows that were chosen. Where a reason is needed it is asked for first; the answer comes back
        as the same action with the reason.
        """
        given, problem = entered(request, step.inputs)
        if not problem:
            self._apply(request, queryset, step, given.get("reason", ""))
            return None
        said = problem if "reason" in request.POST else ""  # not before it was asked for
        hidden = [(name, value) for name in ("action", "select_across", "index", "_selected_action")
                  for value in request.POST.getlist(name)]  # fmt: skip
        count = queryset.count()
        facts: list[Any] = [self._money(one) for one in queryset.select_related("customer").order_by("id")[:SHOWN]]
        facts += [f"… of {count:,} altogether"] if count > SHOWN else []
        question = f"{step.verb}: {count:,} invoice{'' if count == 1 else 's'}?"
        back = reverse("admin:invoicing_invoice_changelist")
        facts.append(step.consequence)
        return ask(self, request, question, facts, step.verb, back, inputs=step.inputs, hidden=hidden, problem=said)

    def _money(self, invoice: Invoice) -> SafeString:
        return format_html("{} · {} · <strong>{}</strong>", invoice.customer, self.period(invoice), self.total(invoice))

    def _apply(self, request: HttpRequest, queryset: QuerySet[Invoice], step: Step, reason: str) -> None:
        """The use case on each invoice by itself; those that refuse say why and keep no other from it."""
        now = timezone.now()
        count = 0
        # Oldest first, so that numbers follow the order in which the drafts came to be.
        for invoice in queryset.order_by("id"):
            try:
                with transaction.atomic():  # nothing is done that the trail does not tell
                    changed = step.use_case(invoice.pk, now=now)
                    self.log_change(request, changed, f"{step.done}: {reason}" if reason else f"{step.done}.")
            except ApiError as refusal:
                self.message_user(request, refusal.message, messages.ERROR)
            else:
                count += 1
        if count:
            self.message_user(request, f"{step.done}: {count}.", messages.SUCCESS)


@admin.register(ParkedCustomer)
class ParkedCustomerAdmin(ReadOnly, ModelAdmin):
    list_display = ["customer", "reason", "since", "attempts"]
    list_select_related = ["customer"]
    search_fields = ["customer__key", "customer__name", "reason"]
    ordering = ["since"]


@admin.register(NumberSeries)
class NumberSeriesAdmin(ReadOnly, ModelAdmin):
    list_display = ["key", "prefix", "next_number"]
