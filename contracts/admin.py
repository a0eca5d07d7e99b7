"""The admin of what was agreed: to read, and to create by the use cases. Nothing is edited in place."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, StackedInline

from access.readonly import ReadOnly
from access.times import format_rfc3339
from contracts import durations, queries
from contracts.admin_forms import ConditionForm, ContractForm, CustomerForm, UseCaseForm
from contracts.agreements import public_id
from contracts.models import (
    Condition,
    ConditionVersion,
    Contract,
    ContractVersion,
    Customer,
    RateCard,
    RateCardVersion,
)
from contracts.prices import label, stored, unit_price_text


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


class ReadOnlyInline(ReadOnly, StackedInline):
    extra = 0
    can_delete = False
    show_change_link = False
    ordering = ("-number",)


def prices_html(home: RateCardVersion | ContractVersion, currency: str) -> SafeString:
    """The prices of a version as lines: ``price of … : 12.00 USD``."""
    return format_html_join(
        "",
        "<div>{}: <b>{} {}</b></div>",
        ((label(price), unit_price_text(price.unit_price, currency), currency) for price in stored(home)),
    )


def starts(version: ConditionVersion | RateCardVersion) -> str:
    if version.effective_from is None:
        return "from the beginning of time"
    return f"from {format_rfc3339(version.effective_from)}"


@admin.register(Customer)
class CustomerAdmin(Creating, ModelAdmin):
    add_form = CustomerForm
    list_display = ("key", "name", "currency", "time_zone", "email", "created_at")
    list_filter = ("currency", "time_zone")
    search_fields = ("key", "name", "email")
    ordering = ("key",)


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
class ConditionAdmin(Creating, ModelAdmin):
    add_form = ConditionForm
    list_display = ("slug", "title", "version", "in_force", "created_at")
    search_fields = ("slug", "versions__title", "versions__text")
    ordering = ("slug",)
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


@admin.register(RateCard)
class RateCardAdmin(ReadOnly, ModelAdmin):
    list_display = ("key", "currency", "version", "in_force", "price_count", "created_at")
    list_filter = ("versions__currency",)
    search_fields = ("key", "versions__prices__condition__slug")
    ordering = ("key",)
    inlines = (RateCardVersionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RateCard]:
        return queries.rate_cards()

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
        "prices",
        "created_at",
    )
    readonly_fields = fields

    @admin.display(description="Settlement grace")
    def settlement_grace(self, version: ContractVersion) -> str:
        return durations.text_of(version.settlement_grace_seconds)

    @admin.display(description="Prices of its own")
    def prices(self, version: ContractVersion) -> SafeString | str:
        return prices_html(version, version.contract.currency) or "none: the rate card's"


@admin.register(Contract)
class ContractAdmin(Creating, ModelAdmin):
    add_form = ContractForm
    list_display = ("public_id", "customer", "currency", "rate_card", "billing_period", "starts_at", "ends_at")
    list_filter = ("currency", "versions__billing_period", "versions__rate_card")
    search_fields = ("customer__key", "customer__name")
    ordering = ("customer__key", "starts_at")
    date_hierarchy = "starts_at"
    fields = ("public_id", "customer", "currency", "starts_at", "ends_at", "created_at")
    readonly_fields = ("public_id",)
    inlines = (ContractVersionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Contract]:
        return queries.contracts()

    @admin.display(description="Id")
    def public_id(self, contract: Contract) -> str:
        return public_id(contract)

    @admin.display(description="Rate card")
    def rate_card(self, contract: Contract) -> str:
        return str(queries.latest_version(contract).rate_card)

    @admin.display(description="Billed")
    def billing_period(self, contract: Contract) -> str:
        return str(queries.latest_version(contract).billing_period)


def _current(parent: Condition | RateCard) -> Any:
    return queries.shown_version(list(parent.versions.all()), timezone.now())
