from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from access.errors import ApiError
from contracts.agreements import ContractFields, create_contract, ensure_contract, public_id
from contracts.changes import Kind
from contracts.customers import CustomerFields, put_customer
from contracts.models import Contract, Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from tests.contracts.conftest import NOW

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def card(ticket: str) -> None:
    put_rate_card("standard", RateCardFields("USD", (PriceFields(ticket, Decimal(2)),)), now=NOW)


def terms(**changes: Any) -> ContractFields:
    return ContractFields(**{"customer": "acme", "rate_card": "standard", "starts_at": START, **changes})


def problems(use_case: Any = create_contract, **changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(ApiError) as refusal:
        use_case(terms(**changes), now=NOW)
    return [(detail.path, detail.code) for detail in refusal.value.details]


def test_currency_and_zone_come_from_the_customer() -> None:
    put_customer("acme", CustomerFields("USD", time_zone="Europe/Berlin"), now=NOW)
    contract = create_contract(terms(), now=NOW).value
    version = contract.versions.get()
    assert contract.currency == "USD"
    assert (version.number, version.effective_at, version.time_zone) == (1, START, "Europe/Berlin")
    assert (version.billing_period, version.anchor_day, version.net_days) == ("monthly", 1, 30)
    assert public_id(contract).startswith("con_")


def test_everything_that_is_wrong_comes_at_once(acme: Customer) -> None:
    assert problems(
        rate_card="standrad",
        time_zone="Mars/Olympus",
        billing_period="weekly",
        anchor_day=8,
        ends_at=START,
        net_days=-1,
        settlement_grace_seconds=10**9,
        prices=(PriceFields("nothing", Decimal(1)),),
    ) == [
        ("rate_card", "unknown_rate_card"),
        ("time_zone", "unknown_time_zone"),
        ("anchor_day", "invalid_anchor_day"),
        ("ends_at", "ends_before_start"),
        ("net_days", "invalid"),
        ("settlement_grace", "invalid_duration"),
        ("prices[0].condition", "unknown_condition"),
    ]


def test_unknown_customer() -> None:
    assert problems() == [("customer", "unknown_customer")]


def test_currencies_never_meet(acme: Customer) -> None:
    assert problems(currency="EUR") == [("currency", "currency_mismatch")]


def test_an_overlap_names_the_other_contract(acme: Customer) -> None:
    first = create_contract(terms(starts_at=START, ends_at=JULY), now=NOW).value
    with pytest.raises(ApiError) as refusal:
        create_contract(terms(starts_at=datetime(2026, 6, 30, tzinfo=UTC)), now=NOW)
    assert (refusal.value.status_code, refusal.value.code) == (409, "overlapping_contract")
    assert public_id(first) in refusal.value.message
    assert "2026-07-01T00:00:00Z or later" in refusal.value.message
    # Half open: one may begin where the other ends.
    create_contract(terms(starts_at=JULY), now=NOW)
    assert problems(starts_at=datetime(2025, 1, 1, tzinfo=UTC)) == [("starts_at", "overlapping_contract")]
    create_contract(terms(starts_at=datetime(2025, 1, 1, tzinfo=UTC), ends_at=START), now=NOW)
    assert Contract.objects.count() == 3


def test_the_database_refuses_an_overlap_too(acme: Customer) -> None:
    create_contract(terms(), now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Contract.objects.create(customer=acme, currency="USD", starts_at=JULY, created_at=NOW)


def test_prices_of_its_own_are_checked_as_a_cards_are(acme: Customer, ticket: str) -> None:
    twice = PriceFields(ticket, Decimal(1))
    assert problems(prices=(twice, twice)) == [("prices[1].match", "duplicate_price")]
    contract = create_contract(terms(prices=(twice,)), now=NOW).value
    assert contract.versions.get().prices.get().unit_price == 1


def test_ensure_is_create_then_nothing_then_a_refusal(acme: Customer, ticket: str) -> None:
    prices = (PriceFields(ticket, Decimal("1.50")),)
    assert ensure_contract(terms(prices=prices), now=NOW).kind is Kind.CREATED
    assert ensure_contract(terms(prices=prices, currency="USD", time_zone="UTC"), now=NOW).kind is Kind.UNCHANGED
    with pytest.raises(ApiError) as refusal:
        ensure_contract(terms(net_days=14), now=NOW)
    assert refusal.value.code == "contract_already_exists"
    assert "net_days is 30, not 14" in refusal.value.message
    assert "price of resolved_ticket (per_unit 1.5) is not among those asked for" in refusal.value.message
