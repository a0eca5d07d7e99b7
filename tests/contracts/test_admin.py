"""Every page of the admin opens, finds and filters; nothing can be changed in place."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from contracts.agreements import ContractFields, create_contract
from contracts.apply.run import apply_directory
from contracts.models import Condition, Contract, Customer, RateCard
from contracts.partitions import partition_of
from contracts.prices import PriceFields
from tests.contracts.conftest import NOW, SAMPLES

pytestmark = pytest.mark.django_db
MODELS = (Customer, Condition, RateCard, Contract)


@pytest.fixture
def admin() -> Client:
    apply_directory(SAMPLES / "quickstart", now=NOW)
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "x"))
    return client


def url(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:contracts_{model._meta.model_name}_{page}", args=args)


def test_lists_ask_no_query_per_row(admin: Client, django_assert_max_num_queries: Any) -> None:
    apply_directory(SAMPLES / "helpdesk", now=NOW)
    for model in MODELS:
        with django_assert_max_num_queries(20):
            assert admin.get(url(model, "changelist")).status_code == 200


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
    form = {"key": "beta", "currency": "EUR", "time_zone": "Europe/Berlin", "name": "", "email": ""}
    assert admin.post(path, form).status_code == 302
    beta = Customer.objects.get(key="beta")
    assert (beta.name, beta.currency, beta.partition) == ("beta", "EUR", partition_of("beta"))
    assert "exists already" in errors(admin.post(path, {**form, "name": "Other"}))
    assert Customer.objects.get(key="beta").name == "beta"
    assert "Did you mean Europe/Berlin" in errors(admin.post(path, {**form, "key": "b", "time_zone": "Europe/Berlni"}))


def test_a_condition_and_its_next_version_are_created_by_the_use_case(admin: Client) -> None:
    path = url(Condition, "add")
    assert admin.get(path).status_code == 200
    text = (SAMPLES / "quickstart" / "conditions" / "resolved_ticket.outcome").read_text().replace("1 minute", "1 hour")
    assert admin.post(path, {"text": text.replace("\n", "\r\n")}).status_code == 302
    version = Condition.objects.get().versions.get(number=2)
    assert version.text == text
    assert "says this already" in errors(admin.post(path, {"text": text}))
    assert "Line 5, column" in errors(admin.post(path, {"text": text.replace("bill when", "bil when")}))
    assert Condition.objects.get().versions.count() == 2


def test_a_contract_is_created_by_its_use_case(admin: Client) -> None:
    path = url(Contract, "add")
    assert admin.get(path).status_code == 200
    form = {
        "customer": Customer.objects.get().pk,
        "rate_card": RateCard.objects.get().pk,
        "starts_at_0": "2025-01-01",
        "starts_at_1": "00:00:00",
        "ends_at_0": "2026-01-01",
        "ends_at_1": "00:00:00",
        "billing_period": "weekly",
        "anchor_day": "7",
        "net_days": "14",
        "settlement_grace": "12 hours",
        "prices": "- {condition: resolved_ticket, unit_price: 1.75}",
    }
    bad = {**form, "prices": "- {condition: nothing, unit_price: 1}", "anchor_day": "8", "settlement_grace": "soon"}
    assert "is no duration" in errors(admin.post(path, bad))
    found = errors(admin.post(path, {**bad, "settlement_grace": ""}))
    assert "prices[0].condition" in found and "1 (Monday) to 7" in found
    assert "Line 2" in errors(admin.post(path, {**form, "prices": "- {a: 1}\n- {b"}))
    assert admin.post(path, form).status_code == 302
    version = Contract.objects.get(starts_at__year=2025).versions.get()
    assert (version.anchor_day, version.settlement_grace_seconds) == (7, 12 * 3600)
    assert version.prices.get().unit_price == Decimal("1.75")
    assert "do not overlap" in errors(admin.post(path, form))


def test_rate_cards_are_not_added_here(admin: Client) -> None:
    assert admin.get(url(RateCard, "add")).status_code == 403
