"""How credit stands at Stripe, in the admin: to be read. What a person has to know of it, or to do, is shown until
somebody says on a page of its own that it is seen to.
"""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from access.asking import Asked, Asks
from access.lists import ModelAdmin
from invoicing.admin_credit_notes import link_to
from payments import units
from payments.admin_objects import dashboard
from payments.advice import seen_to
from payments.connections import mode_of
from payments.models import StripeCredit

HOW = Asked("note", "What was done", "It is kept in the history, with your name.")


class AttentionFilter(admin.SimpleListFilter):
    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mismatch", "Differs from ours"), ("advice", "Something to know or to do"), ("none", "None")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StripeCredit]) -> QuerySet[StripeCredit]:
        if self.value() in ("mismatch", "advice"):
            return queryset.exclude(**{str(self.value()): ""})
        return queryset.filter(mismatch="", advice="") if self.value() == "none" else queryset


class RefundFilter(admin.SimpleListFilter):
    """Where something was refunded: how that stands, in Stripe's words."""

    title = "refund"
    parameter_name = "refund"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = ("pending", "requires_action", "succeeded", "failed", "canceled")
        return [(status, status.replace("_", " ").capitalize()) for status in known]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StripeCredit]) -> QuerySet[StripeCredit]:
        return queryset.filter(refund_status=self.value()) if self.value() else queryset


def _amount_there(made: StripeCredit) -> tuple[int, str]:
    currency = made.allocation.invoice.currency
    return units.from_stripe(made.amount, currency), currency


@admin.register(StripeCredit)
class StripeCreditAdmin(Asks, ModelAdmin):
    amounts: ClassVar = {"total": lambda made: _amount_there(made)}
    list_display = ["note", "of_invoice", "customer", "total", "attention", "went", "refund_status", "stripe_link"]
    list_display_links = ["total"]
    list_filter = [AttentionFilter, RefundFilter, "livemode"]
    search_fields = [
        "=allocation__credit_note__number", "=allocation__invoice__number", "allocation__invoice__customer__key",
        "=stripe_id", "=refund_id",
    ]  # fmt: skip
    search_help_text = "Key of a customer; or in full: number of a credit note or invoice, cn_…, cbtxn_…, re_…"
    ordering = ["-pk"]
    sortable_by = ()
    fields = [
        "note", "of_invoice", "customer", "stripe_link", "account", "mode", "mismatch", "advice", "total", "went",
        "refund_link", "refund_status", "created_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_detail = ["seen_to_this"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[StripeCredit]:
        rows = super().get_queryset(request)
        return rows.select_related("allocation__credit_note", "allocation__invoice__customer")

    @display(description="Credit note", ordering="allocation__credit_note__number")
    def note(self, made: StripeCredit) -> SafeString:
        return link_to(made.allocation.credit_note)

    @display(description="Corrects", ordering="allocation__invoice__number")
    def of_invoice(self, made: StripeCredit) -> SafeString:
        return link_to(made.allocation.invoice)

    @display(description="Customer")
    def customer(self, made: StripeCredit) -> str:
        return str(made.allocation.invoice.customer)

    @display(description="Amount")
    def total(self, made: StripeCredit) -> str:
        return self._amount(made, made.amount)

    @display(description="Went")
    def went(self, made: StripeCredit) -> str:
        parts = {
            "off the invoice": made.before_payment,
            "to the balance": made.to_balance,
            "refunded": made.refunded,
            "outside Stripe": made.outside,
        }
        return ", ".join(f"{self._amount(made, amount)} {where}" for where, amount in parts.items() if amount) or "–"

    @display(description="Attention", label={"differs": "danger", "advice": "warning", "none": "success"})
    def attention(self, made: StripeCredit) -> str:
        return "differs" if made.mismatch else "advice" if made.advice else "none"

    @display(description="At Stripe")
    def stripe_link(self, made: StripeCredit) -> SafeString | str:
        return dashboard(made.stripe_id or "", made.livemode) or "–"

    @display(description="Refund")
    def refund_link(self, made: StripeCredit) -> str:
        return made.refund_id or "–"

    @display(description="Mode")
    def mode(self, made: StripeCredit) -> str:
        return mode_of(made.livemode)

    def _amount(self, made: StripeCredit, amount: int) -> str:
        return units.told(amount, made.allocation.invoice.currency)

    def offered(self, object_id: Any) -> list[str]:
        wanting = StripeCredit.objects.filter(pk=object_id).exclude(mismatch="", advice="")
        return ["seen_to_this"] if wanting.exists() else []

    @action(description="Seen to", permissions=["act"])
    def seen_to_this(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        made = self.get_queryset(request).filter(pk=object_id).first()
        if made is None:
            raise Http404
        facts = [made.mismatch, made.advice, "It is shown no longer. Nothing is done at Stripe by it."]

        def act(given: dict[str, str]) -> StripeCredit:
            return seen_to(made.pk, by=str(request.user))

        question = f"Seen to: {made.allocation.credit_note}?"
        back = reverse("admin:payments_stripecredit_change", args=[object_id])
        return self.question(request, question, facts, "Seen to", back, [HOW], act)
