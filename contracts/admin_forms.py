"""Forms by which the admin creates: each hands its fields to a use case and shows the refusal beside the fields."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.db import transaction
from django.utils import timezone
from unfold import widgets

from access.errors import ApiError, Detail, flatten
from contracts.changes import Change, Kind
from contracts.customers import CustomerFields, put_customer
from contracts.fields import MAX_LOCALE, MAX_NAME, MAX_TAX_ID, MAX_TAX_RATE_KEY
from contracts.models import Customer, TaxRate, TestClock
from contracts.refusals import conflict, refusals
from contracts.serializers import TaxRateRequest
from contracts.tax_rates import put_tax_rate


def text_field(**kwargs: Any) -> forms.CharField:
    return forms.CharField(widget=widgets.UnfoldAdminTextInputWidget(), **kwargs)


def number_field(**kwargs: Any) -> forms.IntegerField:
    return forms.IntegerField(widget=widgets.UnfoldAdminIntegerFieldWidget(), **kwargs)


def area_field(**kwargs: Any) -> forms.CharField:
    area = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 16, "style": "font-family: monospace"})
    return forms.CharField(widget=area, strip=False, **kwargs)


def prose_field(**kwargs: Any) -> forms.CharField:
    return forms.CharField(widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4}), required=False, **kwargs)


def flag_field(**kwargs: Any) -> forms.BooleanField:
    return forms.BooleanField(widget=widgets.UnfoldBooleanWidget(), required=False, **kwargs)


def lines_of(text: str) -> str:
    """Text as it was typed: browsers end lines with CR LF."""
    return text.replace("\r\n", "\n")


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
                field = re.split(r"[.\[]", detail.path, maxsplit=1)[0]
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
    test_clock = forms.ModelChoiceField(
        TestClock.objects.all(),
        required=False,
        widget=widgets.UnfoldAdminSelectWidget(),
        help_text="Makes it a test customer, for good. Left empty: it lives by the wall clock.",
    )
    address = prose_field(help_text="As printed on invoices.")
    tax_id = text_field(max_length=MAX_TAX_ID, required=False, help_text="VAT number or the like, printed on invoices.")
    locale = text_field(
        max_length=MAX_LOCALE, initial="en", help_text="Language and formats of what is sent: en, de, de-CH, fr, ja …"
    )
    tax_rates = forms.ModelMultipleChoiceField(
        TaxRate.objects.all(),
        required=False,
        widget=widgets.UnfoldAdminSelect2MultipleWidget(),
        help_text="All of them on top of prices, or all contained in them. They hold for what is issued from now on.",
    )

    class Meta:
        model = Customer
        fields: list[str] = []

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        clock = data["test_clock"]
        given = CustomerFields(
            currency=data["currency"],
            name=data["name"],
            time_zone=data["time_zone"],
            email=data["email"],
            test_clock=None if clock is None else clock.pk,
            address=lines_of(data["address"]),
            tax_id=data["tax_id"],
            locale=data["locale"],
            tax_rates=tuple(rate.key for rate in data["tax_rates"]),
        )
        change = put_customer(data["key"], given, now=now)
        if change.kind is not Kind.CREATED:  # rolled back: a form that says "add" replaces nobody
            raise conflict("customer_exists", f"Customer {data['key']} exists already.", "key")
        return change


class TaxRateForm(UseCaseForm):
    key = text_field(max_length=MAX_TAX_RATE_KEY, help_text="Your own name for the rate; customers refer to it.")
    name = text_field(max_length=MAX_NAME, help_text="What the customer reads, such as VAT.")
    percent = text_field(
        help_text="19 means 19 %. Changed later by the API or `apply`, it holds for what is issued from then on."
    )
    inclusive = flag_field(label="Contained in prices", help_text="Otherwise it comes on top of them.")
    reverse_charge = flag_field(help_text="The recipient owes the tax: 0 %, and the note that the law asks for.")
    note = prose_field(help_text="Printed on the invoice.")

    class Meta:
        model = TaxRate
        fields: list[str] = []

    def create(self, data: Mapping[str, Any], now: datetime) -> Change[Any]:
        payload = {name: value for name, value in data.items() if name != "key"}
        request = TaxRateRequest(data=payload | {"note": lines_of(data["note"])})
        if not request.is_valid():
            raise refusals(flatten(request.errors))
        change = put_tax_rate(data["key"], request.fields_of(), now=now)
        if change.kind is not Kind.CREATED:  # rolled back: a form that says "add" replaces nothing
            raise conflict("tax_rate_exists", f"Tax rate {data['key']} exists already.", "key")
        return change
