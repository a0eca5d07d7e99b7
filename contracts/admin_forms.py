"""Forms by which the admin creates: each hands its fields to a use case and shows the refusal beside the fields."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.db import transaction
from django.utils import timezone
from unfold import widgets

from access.errors import ApiError, Detail, flatten
from contracts import durations
from contracts.agreements import ContractFields, create_contract
from contracts.apply.documents import DocumentError, read_yaml
from contracts.changes import Change, Kind
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.domain.periods import BILLING_PERIODS
from contracts.models import Condition, Contract, Customer, RateCard
from contracts.prices import PriceFields
from contracts.refusals import conflict
from contracts.serializers import PriceRequest, prices_of


def text_field(**kwargs: Any) -> forms.CharField:
    return forms.CharField(widget=widgets.UnfoldAdminTextInputWidget(), **kwargs)


def number_field(**kwargs: Any) -> forms.IntegerField:
    return forms.IntegerField(widget=widgets.UnfoldAdminIntegerFieldWidget(), **kwargs)


def area_field(**kwargs: Any) -> forms.CharField:
    area = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 16, "style": "font-family: monospace"})
    return forms.CharField(widget=area, strip=False, **kwargs)


def moment_field(**kwargs: Any) -> forms.SplitDateTimeField:
    return forms.SplitDateTimeField(widget=widgets.UnfoldAdminSplitDateTimeWidget(), **kwargs)


class UseCaseForm(forms.ModelForm):
    """A form whose validation is the use case itself: it runs in the transaction of the admin's view, so what it
    refuses is shown beside the fields, and a valid form is already saved.
    """

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        """Call the use case with the cleaned data."""
        raise NotImplementedError

    def row(self, change: Change[Any]) -> Any:
        """The row that the admin goes on with."""
        return change.value

    def _post_clean(self) -> None:
        # Django would validate a model instance here, which the use case does better and under its locks.
        if self.errors:
            return
        try:
            with transaction.atomic():
                self.instance = self.row(self.create(self.cleaned_data, timezone.now()))
        except ApiError as refusal:
            for detail in refusal.details or (Detail("", refusal.message, refusal.code),):
                field = detail.path.partition("[")[0]
                place = f"{detail.path}: " if detail.path != field else ""
                self.add_error(field if field in self.fields else None, f"{place}{detail.message}")

    def save(self, commit: bool = True) -> Any:
        return self.instance

    def save_m2m(self) -> None:
        """Nothing is left to save."""


class CustomerForm(UseCaseForm):
    key = text_field(max_length=255, strip=False, help_text="Your own name for the customer; events refer to it.")
    name = text_field(max_length=255, required=False, help_text="Left empty: the key.")
    currency = text_field(max_length=3, help_text="ISO 4217, such as USD; what contracts default to.")
    time_zone = text_field(max_length=64, initial="UTC", help_text="IANA name, such as Europe/Berlin.")
    email = forms.EmailField(required=False, max_length=254, widget=widgets.UnfoldAdminEmailInputWidget())

    class Meta:
        model = Customer
        fields: list[str] = []

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        given = CustomerFields(data["currency"], data["name"], data["time_zone"], data["email"])
        change = put_customer(data["key"], given, now=now)
        if change.kind is not Kind.CREATED:  # rolled back: a form that says "add" replaces nobody
            raise conflict("customer_exists", f"Customer {data['key']} exists already.", "key")
        return change


class ConditionForm(UseCaseForm):
    text = area_field(help_text="In the condition language. The text of an existing slug makes its next version.")
    effective_from = moment_field(
        required=False, help_text="UTC. Left empty: a new slug applies to all attempts, a later version from now on."
    )

    class Meta:
        model = Condition
        fields: list[str] = []

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        # Browsers end lines with CR LF; the text is kept as it was typed.
        text = data["text"].replace("\r\n", "\n")
        change = create_condition_version(text, effective_from=data["effective_from"], now=now)
        if not change.wrote:
            raise conflict("condition_unchanged", f"Version {change.value.number} in force says this already.", "text")
        return change

    def row(self, change: Change[Any]) -> Condition:
        condition: Condition = change.value.condition
        return condition


class ContractForm(UseCaseForm):
    customer = forms.ModelChoiceField(Customer.objects.all(), widget=widgets.UnfoldAdminSelect2Widget())
    rate_card = forms.ModelChoiceField(RateCard.objects.all(), widget=widgets.UnfoldAdminSelectWidget())
    currency = text_field(max_length=3, required=False, help_text="The rate card's. Left empty: the customer's.")
    starts_at = moment_field(help_text="UTC.")
    ends_at = moment_field(required=False, help_text="UTC. Left empty: without an end.")
    billing_period = forms.ChoiceField(
        choices=[(name, name) for name in BILLING_PERIODS],
        initial="monthly",
        widget=widgets.UnfoldAdminSelectWidget(),
    )
    anchor_day = number_field(initial=1, help_text="1 to 31; weekly 1 (Monday) to 7.")
    time_zone = text_field(max_length=64, required=False, help_text="Left empty: the customer's.")
    net_days = number_field(initial=30, help_text="Days from issue until an invoice is due.")
    settlement_grace = text_field(required=False, help_text="For events that are delivered late: 12 hours.")
    prices = area_field(
        required=False,
        help_text="Prices of this contract alone, as under `prices:` in contracts.yaml:"
        " - {condition: resolved_ticket, unit_price: 1.75}",
    )

    class Meta:
        model = Contract
        fields: list[str] = []

    def clean_settlement_grace(self) -> int:
        text = self.cleaned_data["settlement_grace"]
        try:
            return durations.seconds_of(text) if text else 0
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_prices(self) -> tuple[PriceFields, ...]:
        try:
            document = read_yaml(self.cleaned_data["prices"])
        except DocumentError as error:
            raise forms.ValidationError(f"Line {error.line}: {error.message}.") from error
        if document.value is None:
            return ()
        request = PriceRequest(data=document.value, many=True)
        if not request.is_valid():
            raise forms.ValidationError([f"{detail.path}: {detail.message}" for detail in flatten(request.errors)])
        return prices_of(request.validated_data)

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        given = ContractFields(
            customer=data["customer"].key,
            rate_card=data["rate_card"].key,
            starts_at=data["starts_at"],
            ends_at=data["ends_at"],
            currency=data["currency"] or None,
            billing_period=data["billing_period"],
            anchor_day=data["anchor_day"],
            time_zone=data["time_zone"] or None,
            net_days=data["net_days"],
            settlement_grace_seconds=data["settlement_grace"],
            prices=data["prices"],
        )
        return create_contract(given, now=now)
