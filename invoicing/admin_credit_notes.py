"""Credit notes in the admin: to be read. Approving, discarding, refunds and goodwill are asked for on pages of their
own, and go through the same use cases as the API.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from rest_framework.exceptions import ValidationError
from unfold.admin import TabularInline
from unfold.decorators import action, display

from access.asking import Asked, Asks
from access.errors import InvalidInput, flatten
from access.fields import DecimalStringField
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from access.roles import may
from contracts.models import Contract, Customer
from invoicing import credit, credit_notes, texts
from invoicing.admin_files import WithFiles
from invoicing.admin_lines import outcomes_of
from invoicing.domain import lifecycle
from invoicing.models import CreditAllocation, CreditApplication, CreditNote, InvoiceLine
from outcomes.models import Outcome

SHOWN = 50

AMOUNT = Asked("amount", "Amount", "With tax, such as 5.00.", max_length=40)
REASON = Asked("reason", "Why", "The customer reads it.")
NOTE_IF_ANY = Asked("note", "Note", "It is kept in the history.", required=False)


class CurrencyFilter(admin.SimpleListFilter):
    """The currencies of customers and contracts: documents have no other."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = {code for model in (Customer, Contract)
                 for code in model.objects.order_by().values_list("currency", flat=True).distinct()}  # fmt: skip
        return [(code, code) for code in sorted(found)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(currency=self.value()) if self.value() else queryset


class LineInline(ReadOnly, TabularInline):
    """The lines of a document; those of a credit note say what they give back."""

    model = InvoiceLine
    per_page = 50
    extra = 0
    fields = [
        "title",
        "kind",
        "dimension_values",
        "period",
        "units",
        "price_each",
        "amount",
        "outcomes",
        "voided_count",
    ]
    readonly_fields = fields
    ordering = ["position"]
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[InvoiceLine]:
        return super().get_queryset(request).select_related("invoice", "credit_note")

    @display(description="Dimensions")
    def dimension_values(self, line: InvoiceLine) -> str:
        return ", ".join(f"{name}: {value}" for name, value in sorted(line.dimensions.items())) or "–"

    @display(description="Period")
    def period(self, line: InvoiceLine) -> str:
        return texts.span(texts.Period(line.period_start, line.period_end), line.document.time_zone)

    @display(description="Quantity")
    def units(self, line: InvoiceLine) -> str:
        return "" if line.quantity is None else texts.grouped(texts.plain(_sign(line) * line.quantity))

    @display(description="Unit price")
    def price_each(self, line: InvoiceLine) -> str:
        return "" if line.unit_price is None else texts.unit_price(line.unit_price, line.document.currency)

    @display(description="Amount")
    def amount(self, line: InvoiceLine) -> str:
        return texts.amount(_sign(line) * line.amount_minor, line.document.currency)

    @display(description="Outcomes")
    def outcomes(self, line: InvoiceLine) -> SafeString | str:
        return outcomes_of(line, _sign(line) * line.outcome_count)


def _sign(line: InvoiceLine) -> int:
    return 1 if line.credit_note_id is None else -1


class AllocationInline(ReadOnly, TabularInline):
    """Which notes correct which invoices, by how much."""

    model = CreditAllocation
    extra = 0
    verbose_name_plural = "Corrections"
    fields = ["note", "of_invoice", "net", "tax", "total"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditAllocation]:
        return super().get_queryset(request).select_related("invoice", "credit_note")

    @display(description="Credit note")
    def note(self, one: CreditAllocation) -> SafeString:
        return link_to(one.credit_note)

    @display(description="Invoice")
    def of_invoice(self, one: CreditAllocation) -> SafeString:
        return link_to(one.invoice)

    @display(description="Net")
    def net(self, one: CreditAllocation) -> str:
        return texts.amount(one.net_minor, one.invoice.currency)

    @display(description="Tax")
    def tax(self, one: CreditAllocation) -> str:
        return texts.amount(one.tax_minor, one.invoice.currency)

    @display(description="Total")
    def total(self, one: CreditAllocation) -> str:
        return texts.amount(one.total_minor, one.invoice.currency)


class ApplicationInline(ReadOnly, TabularInline):
    """Where credit went."""

    model = CreditApplication
    extra = 0
    verbose_name_plural = "Where credit went"
    fields = ["note", "went_to", "amount", "reference", "made_by", "live", "created_at"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditApplication]:
        return super().get_queryset(request).select_related("invoice", "credit_note")

    @display(description="Credit note")
    def note(self, one: CreditApplication) -> SafeString:
        return link_to(one.credit_note)

    @display(description="To")
    def went_to(self, one: CreditApplication) -> SafeString | str:
        return "paid back" if one.invoice is None else link_to(one.invoice)

    @display(description="Amount")
    def amount(self, one: CreditApplication) -> str:
        return texts.amount(one.amount_minor, one.credit_note.currency)


def link_to(row: Any) -> SafeString:
    """A link to the page of an invoice, a credit note or an outcome."""
    options = row._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
    return format_html('<a class="underline" href="{}">{}</a>', address, row)


def amount_of(text: str) -> Decimal | None:
    """An amount that was typed into a form; None for nothing; InvalidInput for what is none."""
    if not text:
        return None
    try:
        return DecimalStringField().run_validation(text)
    except ValidationError as error:
        raise InvalidInput(flatten(error.detail, "amount")) from error


_ACTIONS = {
    lifecycle.ISSUE: "approve_this",
    lifecycle.REFUND: "refund_this",
    lifecycle.DISCARD: "discard_this",
}


@admin.register(CreditNote)
class CreditNoteAdmin(WithFiles, Asks, ModelAdmin):
    list_display = ["name", "customer", "kind", "state", "total", "remaining", "reason", "issued_at"]
    list_filter = ["status", "kind", "destination", CurrencyFilter]
    list_select_related = ["customer"]
    search_fields = ["^number", "customer__key", "customer__name", "reason"]
    search_help_text = "Number or how it begins, key or name of the customer, or words of the reason"
    ordering = ["-id"]
    sortable_by = ["name"]
    inlines = [LineInline, AllocationInline, ApplicationInline]
    fields = [
        "name", "customer", "kind", "status", "reason", "subtotal", "tax", "total", "remaining", "destination",
        "taken_back", "contract", "created_by", "created_at", "issued_at", "content_hash", "files",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["approve_this", "refund_this", "discard_this"]

    # --- What is shown ------------------------------------------------------------------------------------------------

    amounts: ClassVar = {
        "total": lambda note: (note.total_minor, note.currency),
        "remaining": lambda note: None if note.status == CreditNote.Status.DRAFT else (note.free, note.currency),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditNote]:
        # As `credit.FREE`, but looked up for the notes of one page.
        applied = CreditApplication.objects.filter(credit_note=OuterRef("pk"), live=True).order_by()
        total = applied.values("credit_note").annotate(total=Sum("amount_minor")).values("total")
        return super().get_queryset(request).annotate(free=F("total_minor") - Coalesce(Subquery(total), 0))

    @display(description="Credit note", ordering="number")
    def name(self, note: CreditNote) -> str:
        return str(note)

    @display(description="Status", ordering="status", label={"draft": "info", "issued": "success"})
    def state(self, note: CreditNote) -> tuple[str, str]:
        return note.status, note.get_status_display()

    @display(description="Subtotal")
    def subtotal(self, note: CreditNote) -> str:
        return texts.amount(note.subtotal_minor, note.currency)

    @display(description="Tax")
    def tax(self, note: CreditNote) -> str:
        return texts.amount(note.tax_minor, note.currency)

    @display(description="Total", ordering="total_minor")
    def total(self, note: CreditNote) -> str:
        return texts.amount(note.total_minor, note.currency)

    @display(description="Free credit")
    def remaining(self, note: Any) -> str:
        return "–" if note.status == CreditNote.Status.DRAFT else texts.amount(note.free, note.currency)

    @display(description="Outcomes taken back")
    def taken_back(self, note: CreditNote) -> SafeString | str:
        found = Outcome.objects.filter(taken_back__line__credit_note=note).select_related("subject").order_by("id")
        shown = list(found[: SHOWN + 1])
        if not shown:
            return "–"
        links = format_html_join("", "<div>{}</div>", ((_outcome_link(one),) for one in shown[:SHOWN]))
        more = format_html("<div>… of {} altogether</div>", found.count()) if len(shown) > SHOWN else ""
        return format_html("{}{}", links, more)

    # --- What may be done ---------------------------------------------------------------------------------------------

    has_approve_permission = may("access.approve_credit_notes")
    has_refund_permission = may("access.note_refunds")

    def offered(self, object_id: UUID) -> Collection[str]:
        note: Any = CreditNote.objects.annotate(free=credit.FREE).filter(pk=object_id).first()
        if note is None:
            return ()
        return [_ACTIONS[one] for one in lifecycle.note_actions(note.status, note.kind, note.free)]

    @action(description="Approve", permissions=["approve"])
    def approve_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        note, back = self._found(object_id)
        consequence = "It gets its number and is frozen; its credit is taken off the invoices it corrects."

        def act(given: dict[str, str]) -> CreditNote:
            return credit_notes.issue(note.pk, by=str(request.user), by_person=True, now=timezone.now())

        facts = [self._money(note), note.reason, consequence]
        return self.question(request, f"Approve: {note}?", facts, "Approve", back, [NOTE_IF_ANY], act, may="approve")

    @action(description="Note a refund", permissions=["refund"])
    def refund_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        note, back = self._found(object_id)
        facts = [
            self._money(note),
            f"Free credit: {self.remaining(note)}",
            "It notes that so much was paid back to the customer. It moves no money itself, and cannot be undone.",
        ]
        inputs = [
            AMOUNT._replace(required=False, hint="All that is free, unless less is given."),
            Asked("reference", "Reference", "How it was paid: a transfer's number, say.", max_length=255),
        ]

        def act(given: dict[str, str]) -> CreditNote:
            by, now = str(request.user), timezone.now()
            return credit_notes.refund(note.pk, amount_of(given["amount"]), given["reference"], by=by, now=now)

        return self.question(request, f"Note a refund of {note}?", facts, "Refund", back, inputs, act, may="refund")

    @action(description="Discard", permissions=["approve"])
    def discard_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        note, _ = self._found(object_id)

        def act(given: dict[str, str]) -> CreditNote:
            credit_notes.discard(note.pk)
            return note

        back = reverse("admin:invoicing_creditnote_changelist")
        facts = [self._money(note), note.reason, "The draft is deleted. This cannot be undone."]
        return self.question(request, f"Discard: {note}?", facts, "Discard", back, [NOTE_IF_ANY], act, may="approve")

    def _found(self, note_id: UUID) -> tuple[CreditNote, str]:
        """The note and the address of its page."""
        note = CreditNote.objects.select_related("customer").annotate(free=credit.FREE).filter(pk=note_id).first()
        if note is None:
            raise Http404
        return note, reverse("admin:invoicing_creditnote_change", args=[note.pk])

    def _money(self, note: CreditNote) -> SafeString:
        return format_html("{} · <strong>{}</strong>", note.customer, self.total(note))


def _outcome_link(outcome: Outcome) -> SafeString:
    address = reverse("admin:outcomes_outcome_change", args=[outcome.pk])
    return format_html('<a class="underline" href="{}">{}</a>', address, outcome.subject.key)
