"""Tax rates, and what customers choose of them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from babel.localedata import locale_identifiers
from django.db import IntegrityError, transaction

from access.errors import ApiError
from contracts import fields
from contracts.changes import Kind
from contracts.customers import CustomerFields, put_customer
from contracts.models import Customer, TaxRate
from contracts.tax_rates import TaxRateFields, put_tax_rate
from tests.contracts.conftest import NOW

pytestmark = pytest.mark.django_db
REVERSE = TaxRateFields("VAT", Decimal(0), reverse_charge=True, note="Reverse charge: the recipient owes the VAT.")


def rate(key: str, percent: str = "5", **more: bool) -> TaxRate:
    return put_tax_rate(key, TaxRateFields(key, Decimal(percent), **more), now=NOW).value


def choose(*keys: str, customer: str = "acme") -> list[tuple[str, str]]:
    """What is wrong with a customer of these rates; nothing: it has them now."""
    try:
        put_customer(customer, CustomerFields("USD", tax_rates=keys), now=NOW)
    except ApiError as refusal:
        assert refusal.status_code == 422
        return [(detail.path, detail.code) for detail in refusal.details]
    return []


def test_created_then_unchanged_then_replaced() -> None:
    given = TaxRateFields("VAT", Decimal("19"), note="As by law.\nIn two lines.")
    made = put_tax_rate("vat", given, now=NOW)
    assert (made.kind, made.value.percent, made.value.note) == (Kind.CREATED, 19, given.note)
    same = TaxRateFields("VAT", Decimal("19.000"), note=given.note)
    assert put_tax_rate("vat", same, now=NOW).kind is Kind.UNCHANGED
    changed = put_tax_rate("vat", TaxRateFields("VAT", Decimal("19.5")), now=NOW + timedelta(days=1))
    assert changed.kind is Kind.CHANGED
    assert {one.name: (one.before, one.after) for one in changed.differences} == {
        "percent": ("19", "19.5"),
        "note": (given.note, None),
    }
    row = TaxRate.objects.get()
    assert (row.percent, row.created_at, str(row)) == (Decimal("19.5"), NOW, "VAT 19.5 %")


@pytest.mark.parametrize("key", ["", " vat", "v at", "a;b", "ümsatz", "-vat", "a/b", "x" * 65])
def test_keys_that_could_not_stand_beside_others_are_refused(key: str) -> None:
    with pytest.raises(ApiError) as refusal:
        put_tax_rate(key, TaxRateFields("VAT", Decimal(5)), now=NOW)
    assert [(one.path, one.code) for one in refusal.value.details] == [("key", "invalid_key")]


def test_the_database_stands_behind_it() -> None:
    for wrong in ({"percent": Decimal("100.1")}, {"percent": -1}, {"reverse_charge": True, "percent": 0},
                  {"reverse_charge": True, "percent": 1, "note": "x"}):  # fmt: skip
        with pytest.raises(IntegrityError), transaction.atomic():
            TaxRate.objects.create(**{"key": "x", "name": "x", "percent": 5, "created_at": NOW} | wrong)


# --- Chosen -----------------------------------------------------------------------------------------------------------


def test_a_customer_has_rates_of_one_kind() -> None:
    for key, inclusive in (("gst", False), ("qst", False), ("vat", True), ("city", True)):
        rate(key, inclusive=inclusive)
    put_tax_rate("rc", REVERSE, now=NOW)
    assert choose("qst", "gst") == []
    assert choose("rc") == []
    assert choose("vat", "city") == []
    assert choose("gst", "vat") == [("tax_rates", "mixed_tax_rates")]
    assert choose("vat", "rc") == [("tax_rates", "mixed_tax_rates")]
    assert choose("gst", "gts", "gst") == [("tax_rates[1]", "unknown_tax_rate"), ("tax_rates[2]", "duplicate_name")]
    # What was refused changed nothing.
    assert [one.key for one in Customer.objects.get().tax_rates.order_by("key")] == ["city", "vat"]


def test_the_nearest_key_is_named() -> None:
    rate("vat-de")
    with pytest.raises(ApiError) as refusal:
        put_customer("acme", CustomerFields("USD", tax_rates=("vat_de",)), now=NOW)
    assert "Did you mean vat-de?" in refusal.value.message


def test_only_so_many() -> None:
    keys = [rate(f"t{number}").key for number in range(6)]
    assert choose(*keys) == [("tax_rates", "too_many_tax_rates")]
    assert choose(*keys[:5]) == []


def test_a_change_of_rates_is_told_and_the_order_says_nothing() -> None:
    rate("a"), rate("b")
    put_customer("acme", CustomerFields("USD", tax_rates=("b", "a")), now=NOW)
    same = put_customer("acme", CustomerFields("USD", tax_rates=("a", "b")), now=NOW)
    assert same.kind is Kind.UNCHANGED
    changed = put_customer("acme", CustomerFields("USD", tax_rates=("b",)), now=NOW)
    assert [(one.name, one.before, one.after) for one in changed.differences] == [("tax_rates", "a b", "b")]
    assert [one.key for one in Customer.objects.get().tax_rates.all()] == ["b"]
    # A PUT replaces the whole: left out, there is none.
    assert put_customer("acme", CustomerFields("USD"), now=NOW).kind is Kind.CHANGED
    assert not Customer.objects.get().tax_rates.exists()


def test_a_rate_is_not_changed_to_be_contained_under_a_customer_that_has_others() -> None:
    rate("gst"), rate("qst")
    assert choose("gst", "qst", customer="both") == []
    assert choose("gst", customer="one") == []
    with pytest.raises(ApiError) as refusal:
        rate("gst", inclusive=True)
    assert (refusal.value.status_code, refusal.value.code) == (409, "mixed_tax_rates")
    assert "Customer both" in refusal.value.message
    assert rate("gst", "6").percent == 6
    assert choose("qst", customer="both") == []
    assert rate("gst", "6", inclusive=True).inclusive


# --- How a customer is printed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "stored"),
    [
        ("en", "en"), ("EN", "en"), ("de", "de"), ("de-CH", "de-CH"), ("DE_ch", "de-CH"), ("fr", "fr"), ("ja", "ja"),
        ("pt-br", "pt-BR"), ("zh-TW", "zh-Hant-TW"), ("zh-hans-cn", "zh-Hans-CN"), ("en-150", "en-150"),
        ("ca-es-valencia", "ca-ES-VALENCIA"),
    ],
)  # fmt: skip
def test_locales_are_stored_in_one_way(tag: str, stored: str) -> None:
    assert put_customer("acme", CustomerFields("USD", locale=tag), now=NOW).value.locale == stored
    assert Customer.objects.get().locale == stored
    assert put_customer("acme", CustomerFields("USD", locale=stored), now=NOW).kind is Kind.UNCHANGED


@pytest.mark.parametrize(
    "tag", ["", "e", "xx", "klingon", "en-XX", "de_DE@euro", "../de", "de/..", "C", "root", "und", "de ", "en-" * 6]
)
def test_other_locales_are_refused(tag: str) -> None:
    with pytest.raises(ApiError) as refusal:
        put_customer("acme", CustomerFields("USD", locale=tag), now=NOW)
    assert [(one.path, one.code) for one in refusal.value.details] == [("locale", "unknown_locale")]


def test_every_locale_of_the_library_is_known_and_stays_as_it_is_stored() -> None:
    for identifier in locale_identifiers():
        if identifier == "root":
            continue
        stored = fields.locale_of(identifier)
        assert stored is not None and len(stored) <= 16, identifier
        assert fields.locale_of(stored) == stored


@pytest.mark.parametrize("address", ["Street 1", "Street 1\n10115 Berlin\nGermany", "東京都千代田区\n千代田1-1", ""])
def test_addresses(address: str) -> None:
    made = put_customer("acme", CustomerFields("USD", address=address, tax_id="DE 123"), now=NOW).value
    assert (made.address, made.tax_id) == (address, "DE 123")


@pytest.mark.parametrize("address", ["\nStreet 1", "Street 1\n", "a\tb", "a\r\nb", "a\u200bb", " a", "x" * 1001])
def test_what_nobody_sees_in_print_is_refused(address: str) -> None:
    with pytest.raises(ApiError) as refusal:
        put_customer("acme", CustomerFields("USD", address=address), now=NOW)
    assert [(one.path, one.code) for one in refusal.value.details] == [("address", "invalid")]
