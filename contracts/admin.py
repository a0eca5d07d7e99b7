"""The admin of what was agreed: to read, and to create by the use cases. Nothing is edited in place."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import StackedInline
from unfold.decorators import action

from access.lists import ModelAdmin
from access.readonly import ReadOnly
from access.times import format_rfc3339
from conditions_dsl.words import plain
from contracts import customer_page, durations, queries
from contracts.admin_forms import CustomerForm, TaxRateForm, UseCaseForm
from contracts.admin_pages import amend_page, contract_page, rate_card_page
from contracts.admin_shown import card_context, contract_context
from contracts.admin_words import money_html, own_windows_html, pinned_html, prices_html, starts
from contracts.agreements import public_id
from contracts.clocks import is_test, nows
from contracts.models import (
    Condition,
    ConditionVersion,
    Contract,
    ContractVersion,
    Customer,
    RateCard,
    RateCardVersion,
    TaxRate,
)


class Creating(ReadOnly):
    """Read-only, except that ``add_form`` creates by its use case."""

    add_form: type[UseCaseForm]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ModelAdmin.has_add_permission(self, request)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            return self.add_form
        return super().get_form(request, obj, change=change, **kwargs)  # type: ignore[misc]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [(None, {"fields": list(self.add_form.base_fields)})]
        return super().get_fieldsets(request, obj)  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else super().get_readonly_fields(request, obj)  # type: ignore[misc]

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else super().get_inlines(request, obj)  # type: ignore[misc]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form has saved it."""


class OwnAddPage(ReadOnly):
    """Read-only, except that ``add_page`` creates by its use case."""

    add_page: Any

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ModelAdmin.has_add_permission(self, request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        answer: HttpResponse = type(self).add_page(self, request)
        return answer


class ReadOnlyInline(ReadOnly, StackedInline):
    extra = 0
    can_delete = False
    show_change_link = False
    ordering = ("-number",)


class TestFilter(admin.SimpleListFilter):
    """Customers with a test clock, or those that are billed in earnest."""

    title = "clock"
    parameter_name = "test"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Test clock"), ("0", "Wall clock")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("0", "1"):
            return queryset
        return queryset.filter(test_clock__isnull=self.value() == "0")


@admin.register(Customer)
class CustomerAdmin(Creating, ModelAdmin):
    add_form = CustomerForm
    list_display = ("key", "name", "test", "currency", "time_zone", "locale", "taxes", "email", "created_at")
    list_filter = (TestFilter, "currency", "time_zone", "tax_rates")
    list_select_related = ("test_clock",)
    search_fields = ("key", "name", "email")
    ordering = ("key",)
    change_form_outer_before_template = "contracts/customer_nav.html"
    change_form_outer_after_template = "contracts/customer_sections.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        return queries.customers()

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """With everything about a customer that is there (`contracts.customer_page`)."""
        customer = kwargs.get("obj")
        if customer is not None:
            context["customer_sections"] = customer_page.sections(customer, request)
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @admin.display(description="Test", boolean=True, ordering="test_clock")
    def test(self, customer: Customer) -> bool:
        return is_test(customer)

    @admin.display(description="Taxes")
    def taxes(self, customer: Customer) -> str:
        return ", ".join(map(str, customer.tax_rates.all()))


@admin.register(TaxRate)
class TaxRateAdmin(Creating, ModelAdmin):
    add_form = TaxRateForm
    list_display = ("key", "name", "percent_plain", "inclusive", "reverse_charge", "customer_count", "created_at")
    list_filter = ("inclusive", "reverse_charge")
    search_fields = ("key", "name", "note")
    ordering = ("key",)
    fields = ("key", "name", "percent_plain", "inclusive", "reverse_charge", "note", "customer_count", "created_at")
    readonly_fields = ("percent_plain", "customer_count")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaxRate]:
        return TaxRate.objects.annotate(chosen_by=Count("customers"))

    @admin.display(description="Percent", ordering="percent")
    def percent_plain(self, rate: TaxRate) -> str:
        return plain(rate.percent)

    @admin.display(description="Customers")
    def customer_count(self, rate: TaxRate) -> int:
        return int(rate.chosen_by)  # type: ignore[attr-defined]


class ConditionVersionInline(ReadOnlyInline):
    model = ConditionVersion
    fields = ("in_force_from", "title", "text_as_written", "description", "created_at")
    readonly_fields = fields

    @admin.display(description="In force")
    def in_force_from(self, version: ConditionVersion) -> str:
        return starts(version)

    @admin.display(description="Text")
    def text_as_written(self, version: ConditionVersion) -> SafeString:
        return format_html('<pre style="white-space: pre-wrap">{}</pre>', version.text)


@admin.register(Condition)
class ConditionAdmin(ReadOnly, ModelAdmin):
    """To be read; the app of the workbench adds writing, trying and publishing."""

    list_display = ("slug", "title", "version", "in_force", "whom", "created_at")
    list_filter = ("limited",)
    search_fields = ("slug", "versions__title", "versions__text", "named__customer__key")
    ordering = ("slug",)
    fields = ("slug", "whom", "created_at")
    readonly_fields = ("whom",)
    inlines = (ConditionVersionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Condition]:
        return queries.conditions()

    @admin.display(description="Title")
    def title(self, condition: Condition) -> str:
        return _current(condition).title

    @admin.display(description="Version")
    def version(self, condition: Condition) -> int:
        return int(_current(condition).number)

    @admin.display(description="In force")
    def in_force(self, condition: Condition) -> str:
        return starts(_current(condition))

    @admin.display(description="For")
    def whom(self, condition: Condition) -> str:
        named = [
            one.customer.key + (f" (from {format_rfc3339(one.since)})" if one.since else "")
            for one in condition.named.all()
        ]
        return ", ".join(named) if condition.limited else "every customer"


class RateCardVersionInline(ReadOnlyInline):
    model = RateCardVersion
    fields = ("in_force_from", "currency", "prices", "created_at")
    readonly_fields = fields

    @admin.display(description="In force")
    def in_force_from(self, version: RateCardVersion) -> str:
        return starts(version)

    @admin.display(description="Prices")
    def prices(self, version: RateCardVersion) -> SafeString:
        return prices_html(version, version.currency)


class Beside:
    """A page that shows, above the row, what ``beside`` tells of it in ``change_form_outer_before_template``."""

    beside: Any

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)  # type: ignore[attr-defined]
        more = {}
        if found is not None and self.has_view_permission(request, found):  # type: ignore[attr-defined]
            more = type(self).beside(request, found, timezone.now())
        answer: HttpResponse = super().change_view(  # type: ignore[misc]
            request, object_id, form_url, {**(extra_context or {}), **more}
        )
        return answer


@admin.register(RateCard)
class RateCardAdmin(Beside, OwnAddPage, ModelAdmin):
    add_page = staticmethod(rate_card_page)
    beside = staticmethod(card_context)
    change_form_outer_before_template = "contracts/card_curves.html"
    actions_detail = ("new_version_this",)
    list_display = ("key", "currency", "version", "in_force", "price_count", "created_at")
    list_filter = ("versions__currency",)
    search_fields = ("key", "versions__prices__condition__slug")
    ordering = ("key",)
    inlines = (RateCardVersionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RateCard]:
        return queries.rate_cards()

    @action(description="New version", permissions=["add"])
    def new_version_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect(f"{reverse('admin:contracts_ratecard_add')}?card={object_id}")

    @admin.display(description="Currency")
    def currency(self, card: RateCard) -> str:
        return str(_current(card).currency)

    @admin.display(description="Version")
    def version(self, card: RateCard) -> int:
        return int(_current(card).number)

    @admin.display(description="In force")
    def in_force(self, card: RateCard) -> str:
        return starts(_current(card))

    @admin.display(description="Prices")
    def price_count(self, card: RateCard) -> int:
        return len(_current(card).prices.all())


class ContractVersionInline(ReadOnlyInline):
    model = ContractVersion
    fields = (
        "effective_at",
        "rate_card",
        "billing_period",
        "anchor_day",
        "time_zone",
        "net_days",
        "settlement_grace",
        "own_windows",
        "late_evidence",
        "pinned",
        "prices",
        "money",
        "zero_invoices",
        "credit_notes",
        "credits",
        "collection_method",
        "pass_on",
        "trial",
        "created_at",
    )
    readonly_fields = fields

    @admin.display(description="Settlement grace")
    def settlement_grace(self, version: ContractVersion) -> str:
        return durations.text_of(version.settlement_grace_seconds)

    @admin.display(description="Settlement windows of its own")
    def own_windows(self, version: ContractVersion) -> SafeString | str:
        return own_windows_html(version)

    @admin.display(description="Pinned versions of conditions")
    def pinned(self, version: ContractVersion) -> SafeString | str:
        return pinned_html(version)

    @admin.display(description="Other terms of money")
    def money(self, version: ContractVersion) -> SafeString | str:
        return money_html(version)

    @admin.display(description="Prices of its own")
    def prices(self, version: ContractVersion) -> SafeString | str:
        return prices_html(version, version.contract.currency) or "none: the rate card's"


@admin.register(Contract)
class ContractAdmin(Beside, OwnAddPage, ModelAdmin):
    add_page = staticmethod(contract_page)
    beside = staticmethod(contract_context)
    change_form_outer_before_template = "contracts/contract_terms.html"
    actions_detail = ("amend_this",)
    list_display = ("customer", "starts_at", "ends_at", "currency", "rate_card", "billing_period", "public_id")
    list_filter = ("currency", "versions__billing_period", "versions__rate_card")
    search_fields = ("customer__key", "customer__name")
    ordering = ("customer__key", "starts_at")
    date_hierarchy = "starts_at"
    fields = ("public_id", "customer", "currency", "starts_at", "ends_at", "created_at")
    readonly_fields = ("public_id",)
    inlines = (ContractVersionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Contract]:
        return queries.contracts()

    def has_amend_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change contracts, although no form edits one."""
        return request.user.has_perm("contracts.change_contract")

    @action(description="Amend", permissions=["amend"])
    def amend_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return amend_page(self, request, object_id)

    @admin.display(description="Id")
    def public_id(self, contract: Contract) -> str:
        return public_id(contract)

    def prepare(self, rows: list[Any]) -> None:
        clocks, wall = nows([contract.customer_id for contract in rows]), timezone.now()
        for contract in rows:
            contract.shown = queries.version_at(contract, clocks.get(contract.customer_id, wall))

    @admin.display(description="Rate card")
    def rate_card(self, contract: Any) -> str:
        return str(contract.shown.rate_card)

    @admin.display(description="Billed")
    def billing_period(self, contract: Any) -> str:
        return str(contract.shown.billing_period)


def _current(parent: Condition | RateCard) -> Any:
    return queries.shown_version(list(parent.versions.all()), timezone.now())
