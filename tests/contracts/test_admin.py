"""Every page of the admin opens, finds and filters; nothing can be changed in place."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from contracts.agreements import ContractFields, create_contract
from contracts.apply.run import apply_directory
from contracts.models import Condition, Contract, Customer, RateCard, TaxRate
from contracts.partitions import partition_of
from contracts.prices import PriceFields
from contracts.tax_rates import TaxRateFields, put_tax_rate
from tests.contracts.conftest import NOW, SAMPLES

pytestmark = pytest.mark.django_db
MODELS = (Customer, Condition, RateCard, Contract, TaxRate)


@pytest.fixture
def admin() -> Client:
    apply_directory(SAMPLES / "quickstart", now=NOW)
    put_tax_rate("vat", TaxRateFields("VAT", Decimal("19")), now=NOW)
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "x"))
    return client


def url(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:contracts_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", MODELS)
def test_pages_open(admin: Client, model: Any) -> None:
    assert admin.get(url(model, "changelist"), {"q": "acme"}).status_code == 200
    row = model.objects.first()
    assert admin.get(url(model, "change", row.pk)).status_code == 200
    assert admin.post(url(model, "change", row.pk), {}).status_code == 403
    assert admin.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_details_show_versions_and_prices(admin: Client) -> None:
    terms = ContractFields(
        "acme",
        "standard",
        NOW.replace(year=2025),
        ends_at=NOW.replace(year=2025, month=4),
        prices=(PriceFields("resolved_ticket", Decimal("9.75")),),
    )
    contract = create_contract(terms, now=NOW).value
    condition = admin.get(url(Condition, "change", Condition.objects.get().pk)).content.decode()
    assert "settle after 1 minute" in condition
    assert "from the beginning of time" in condition
    assert "9.75 USD" in admin.get(url(Contract, "change", contract.pk)).content.decode()
    assert "2.00 USD" in admin.get(url(RateCard, "change", RateCard.objects.get().pk)).content.decode()


def test_filters(admin: Client) -> None:
    page = admin.get(
        url(Contract, "changelist"), {"versions__rate_card__id__exact": RateCard.objects.get(key="standard").pk}
    )
    assert page.context["cl"].result_count == 1


def errors(response: Any) -> str:
    assert response.status_code == 200, response
    return str(response.context["adminform"].form.errors)


def test_a_customer_is_created_by_its_use_case(admin: Client) -> None:
    path = url(Customer, "add")
    assert admin.get(path).status_code == 200
    form = {
        "key": "beta", "currency": "EUR", "time_zone": "Europe/Berlin", "name": "", "email": "",
        "address": "Street 1\r\n10115 Berlin", "tax_id": "DE123", "locale": "de_de",
        "tax_rates": [TaxRate.objects.get().pk],
    }  # fmt: skip
    assert admin.post(path, form).status_code == 302
    beta = Customer.objects.get(key="beta")
    assert (beta.name, beta.currency, beta.partition) == ("beta", "EUR", partition_of("beta"))
    assert (beta.address, beta.tax_id, beta.locale) == ("Street 1\n10115 Berlin", "DE123", "de-DE")
    page = admin.get(url(Customer, "change", beta.pk)).content.decode()
    assert "VAT 19 %" in page and "10115 Berlin" in page
    assert "VAT 19 %" in admin.get(url(Customer, "changelist"), {"q": "beta"}).content.decode()
    assert "no language" in errors(admin.post(path, {**form, "key": "b", "locale": "xx"}))
    assert "exists already" in errors(admin.post(path, {**form, "name": "Other"}))
    assert Customer.objects.get(key="beta").name == "beta"
    assert "Did you mean Europe/Berlin" in errors(admin.post(path, {**form, "key": "b", "time_zone": "Europe/Berlni"}))


def test_a_tax_rate_is_created_by_its_use_case(admin: Client) -> None:
    path = url(TaxRate, "add")
    assert "issued from then on" in admin.get(path).content.decode()
    form = {
        "key": "rc",
        "name": "VAT",
        "percent": "0",
        "reverse_charge": "on",
        "note": "Reverse charge.\r\nYou owe it.",
    }
    assert "has a note" in errors(admin.post(path, {**form, "note": ""}))
    assert "plain notation" in errors(admin.post(path, {**form, "percent": "1e1"}))
    assert "at most 100" in errors(admin.post(path, {**form, "percent": "101", "reverse_charge": ""}))
    assert admin.post(path, form).status_code == 302
    assert TaxRate.objects.get(key="rc").note == "Reverse charge.\nYou owe it."
    assert "exists already" in errors(admin.post(path, form))
