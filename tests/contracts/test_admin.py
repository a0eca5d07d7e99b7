"""Every page of the admin opens, finds and filters; nothing can be changed in place."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from contracts.apply.run import apply_directory
from contracts.models import Condition, Contract, Customer, RateCard
from tests.contracts.conftest import NOW, SAMPLES

pytestmark = pytest.mark.django_db
MODELS = (Customer, Condition, RateCard, Contract)


@pytest.fixture
def admin() -> Client:
    apply_directory(SAMPLES / "quickstart", now=NOW)
    apply_directory(SAMPLES / "helpdesk", now=NOW)
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "x"))
    return client


def url(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:contracts_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", MODELS)
def test_pages_open(admin: Client, model: Any, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(25):  # whatever the number of rows
        assert admin.get(url(model, "changelist")).status_code == 200
    assert admin.get(url(model, "changelist"), {"q": "acme"}).status_code == 200
    row = model.objects.first()
    assert admin.get(url(model, "change", row.pk)).status_code == 200
    assert admin.post(url(model, "change", row.pk), {}).status_code == 403
    assert admin.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_details_show_versions_and_prices(admin: Client) -> None:
    condition = admin.get(url(Condition, "change", Condition.objects.get(slug="resolved_incident").pk)).content.decode()
    assert "settle after 72 hours" in condition
    assert "from the beginning of time" in condition
    contract = Contract.objects.get(customer__key="Location 204")
    assert "9.75 USD" in admin.get(url(Contract, "change", contract.pk)).content.decode()
    card = RateCard.objects.get(key="helpdesk")
    assert "60.00 USD" in admin.get(url(RateCard, "change", card.pk)).content.decode()


def test_filters(admin: Client) -> None:
    page = admin.get(
        url(Contract, "changelist"), {"versions__rate_card__id__exact": RateCard.objects.get(key="standard").pk}
    )
    assert page.context["cl"].result_count == 1
