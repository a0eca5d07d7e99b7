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
