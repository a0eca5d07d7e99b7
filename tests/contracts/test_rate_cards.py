from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from access.errors import ApiError
from contracts.changes import Kind
from contracts.models import Price, RateCard, RateCardVersion
from contracts.prices import PriceFields, unit_price_text
from contracts.rate_cards import RateCardFields, put_rate_card
from tests.contracts.conftest import NOW

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def price(unit_price: str = "2", condition: str = "resolved_ticket", **match: Any) -> PriceFields:
    return PriceFields(condition, Decimal(unit_price), match=match)


def put(*prices: PriceFields, key: str = "standard", currency: str = "USD", now: Any = NOW, start: Any = None) -> Any:
    return put_rate_card(key, RateCardFields(currency, prices, start), now=now)


def problems(*prices: PriceFields, **kwargs: Any) -> list[tuple[str, str]]:
    with pytest.raises(ApiError) as refusal:
        put(*prices, **kwargs)
    return [(detail.path, detail.code) for detail in refusal.value.details]


def test_versions(ticket: str) -> None:
    first = put(price("2"), price("3.5", priority="high"))
    assert (first.kind, first.value.number, first.value.effective_from) == (Kind.CREATED, 1, None)
    # The order of prices and idle zeros say nothing.
    again = put(price("3.500", priority="high"), price("2.00"), now=NOW + DAY)
    assert (again.kind, again.value) == (Kind.UNCHANGED, first.value)

    second = put(price("2"), price("4", priority="high"), now=NOW + DAY)
    assert (second.kind, second.value.number, second.value.effective_from) == (Kind.NEW_VERSION, 2, NOW + DAY)
    assert [(d.before, d.after) for d in second.differences] == [("per_unit 3.5", "per_unit 4")]
    assert list(first.value.prices.values_list("unit_price", flat=True)) == [Decimal(2), Decimal("3.5")]


def test_match_values_are_kept_as_outcomes_carry_them(ticket: str) -> None:
    put(price("1", priority=5), price("2", priority=Decimal("6.50")), price("3", priority=True))
    assert [p.match for p in Price.objects.order_by("id")] == [
        {"priority": "5"},
        {"priority": "6.5"},
        {"priority": "true"},
    ]


def test_everything_that_is_wrong_comes_at_once_and_nothing_is_written(ticket: str) -> None:
    found = problems(
        price("2"),
        price("-1", priority="high"),
        price("1", condition="resolved_tickets"),
        price("1", priorty="high"),
        price("1", kind="unknown"),
        price("2"),
        currency="XXX",
    )
    assert sorted(found) == sorted(
        [
            ("currency", "unknown_currency"),
            ("prices[1].unit_price", "negative_price"),
            ("prices[2].condition", "unknown_condition"),
            ("prices[3].match.priorty", "unknown_dimension"),
            ("prices[4].match.kind", "unknown_dimension"),
            ("prices[5].match", "duplicate_price"),
        ]
    )
    assert not RateCard.objects.exists()


def test_ties_are_refused_where_no_further_price_decides(ticket: str) -> None:
    assert problems(price("1", priority="high"), price("2", kind="verified")) == [
        ("prices[1].match", "duplicate_price")
    ]
    put(price("1", priority="high"), price("2", kind="verified"), price("3", priority="high", kind="verified"))


def test_a_card_keeps_its_currency(ticket: str) -> None:
    put(price())
    assert problems(price(), currency="EUR") == [("currency", "currency_mismatch")]


def test_a_later_version_never_starts_in_the_past(ticket: str) -> None:
    put(price("2"))
    assert problems(price("3"), start=NOW - DAY) == [("effective_from", "in_the_past")]
    put(price("3"), start=NOW + DAY)
    assert problems(price("4"), start=NOW + DAY) == [("effective_from", "version_start_taken")]
    assert RateCardVersion.objects.count() == 2


@pytest.mark.parametrize("key", ["", "a b", "-a", "a/b", "ä", "x" * 129])
def test_keys_are_file_names(ticket: str, key: str) -> None:
    assert problems(price(), key=key) == [("key", "invalid_key")]


def test_a_card_without_prices_is_refused(ticket: str) -> None:
    assert problems() == [("prices", "empty")]


@pytest.mark.parametrize(
    ("number", "currency", "text"),
    [("2", "USD", "2.00"), ("0.000000000001", "USD", "0.000000000001"), ("30", "JPY", "30"), ("1.5", "KWD", "1.500")],
)
def test_prices_are_shown_with_the_decimals_of_the_currency(number: str, currency: str, text: str) -> None:
    assert unit_price_text(Decimal(number).quantize(Decimal("0.000000000001")), currency) == text
