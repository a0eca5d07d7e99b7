from datetime import timedelta

import pytest

from access.errors import ApiError
from contracts.changes import Kind
from contracts.customers import CustomerFields, put_customer
from contracts.models import Customer
from contracts.partitions import partition_of
from tests.contracts.conftest import NOW

pytestmark = pytest.mark.django_db


def test_created_then_unchanged_then_replaced() -> None:
    made = put_customer("Location 204", CustomerFields("USD"), now=NOW)
    assert made.kind is Kind.CREATED
    assert (made.value.name, made.value.time_zone, made.value.email) == ("Location 204", "UTC", "")
    assert made.value.partition == partition_of("Location 204")

    assert put_customer("Location 204", CustomerFields("USD"), now=NOW).kind is Kind.UNCHANGED

    changed = put_customer("Location 204", CustomerFields("EUR", "Two", "Europe/Berlin"), now=NOW + timedelta(days=1))
    assert changed.kind is Kind.CHANGED
    assert {d.name: (d.before, d.after) for d in changed.differences} == {
        "name": ("Location 204", "Two"),
        "currency": ("USD", "EUR"),
        "time_zone": ("UTC", "Europe/Berlin"),
    }
    row = Customer.objects.get()
    assert (row.name, row.currency, row.created_at) == ("Two", "EUR", NOW)


@pytest.mark.parametrize("key", ["", " acme", "acme ", "a\nb", "a\u200bb", ".", "..", "x" * 256])
def test_keys_that_nobody_can_tell_apart_are_refused(key: str) -> None:
    with pytest.raises(ApiError) as refusal:
        put_customer(key, CustomerFields("USD"), now=NOW)
    assert [(d.path, d.code) for d in refusal.value.details] == [("key", "invalid_key")]


@pytest.mark.parametrize("key", ["Location 204", "a/b", "ünï", "a%20b", "x" * 255, "客户"])
def test_other_keys_are_the_sellers_business(key: str) -> None:
    assert put_customer(key, CustomerFields("USD"), now=NOW).value.key == key


def test_everything_that_is_wrong_comes_at_once() -> None:
    with pytest.raises(ApiError) as refusal:
        put_customer("acme", CustomerFields("usd", time_zone="Europe/Berlni"), now=NOW)
    assert [(d.path, d.code) for d in refusal.value.details] == [
        ("currency", "unknown_currency"),
        ("time_zone", "unknown_time_zone"),
    ]
    assert "USD" in refusal.value.details[0].message
    assert "Europe/Berlin" in refusal.value.details[1].message
    assert not Customer.objects.exists()


@pytest.mark.parametrize("zone", ["localtime", "Factory", "posixrules", "+02:00", "europe/berlin", "../../etc/passwd"])
def test_zones_of_this_machine_are_no_zones(zone: str) -> None:
    with pytest.raises(ApiError):
        put_customer("acme", CustomerFields("USD", time_zone=zone), now=NOW)
