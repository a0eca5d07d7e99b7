"""Rate cards with every model: what is taken comes back, what is wrong is refused with its place, and the database
refuses the same behind it.
"""

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from contracts import prices, terms
from contracts.domain import rating
from contracts.models import Condition, Customer, Price, RateCard, RateCardVersion
from tests.contracts.conftest import NOW, Call

pytestmark = pytest.mark.django_db

OPEN = {"up_to": None, "unit_price": "1.50"}
TIERS = [{"up_to": "100", "unit_price": "2.00", "flat_fee": "5.00"}, OPEN]
PRICES: list[tuple[dict[str, Any], str]] = [
    ({"model": "per_unit", "unit_price": "2.00", "included": "100", "period_maximum": "500.00"},
     "per_unit 2, 100 a period included, at most 500 a period"),
    ({"model": "per_unit", "unit_price": "0.0149", "pool": "tickets"}, "per_unit 0.0149, drawing on the pool tickets"),
    ({"model": "graduated", "tiers": TIERS}, "graduated first 100 at 2 plus 5 once, then at 1.5"),
    ({"model": "graduated",
      "tiers": [{"up_to": "0.5", "unit_price": "2.00"}, {"up_to": "3", "unit_price": "1.80"}, OPEN]},
     "graduated first 0.5 at 2, next 2.5 at 1.8, then at 1.5"),
    ({"model": "volume", "tiers": [*TIERS[:1], {"up_to": None, "flat_fee": "9.00"}]},
     "volume all at 2 plus 5 once up to 100, at 0 plus 9 once above that"),
    ({"model": "package", "unit_price": "10.00", "package_size": "100"}, "package 10 for every 100 begun"),
    ({"model": "percentage", "percent": "25", "minimum": "1.00", "maximum": "50.00"},
     "percentage 25 % of the amount, at least 1 each, at most 50 each"),
    ({"model": "percentage", "tiers": [{"up_to": "1000", "percent": "10"}, {"up_to": None, "percent": "0"}]},
     "percentage first 1000 10 %, then 0 % of the amount"),
    ({"model": "free"}, "free nothing"),
]  # fmt: skip


@pytest.fixture
def card(call: Call, ticket: str) -> Any:
    def put(*listed: dict[str, Any], currency: str = "USD") -> tuple[int, Any]:
        body = {"currency": currency, "prices": [{"condition": ticket, **price} for price in listed]}
        return call("PUT", "/v1/rate_cards/standard", body)

    return put


@pytest.mark.parametrize(("price", "said"), PRICES)
def test_what_is_put_comes_back_and_is_rated_as_it_says(card: Any, price: dict[str, Any], said: str) -> None:
    status, made = card(price)
    assert status == 201, made
    assert made["prices"] == [{"condition": "resolved_ticket", "match": {}, **price}]
    assert card(price) == (200, made)
    row = Price.objects.get()
    [stored] = prices.stored(row.rate_card_version)
    assert prices.comparable([stored]) == {"price of resolved_ticket": said}
    # What is read for billing is what `rating` makes of what was handed in.
    [[read]] = terms._prices(rate_card_version__in=[row.rate_card_version_id]).values()
    assert read == rating.price_of(stored.to_rating(row.condition_id), row.id)


def test_any_other_price_is_another_version(card: Any) -> None:
    for price, _ in PRICES:
        assert card(price)[0] == 201
    assert RateCardVersion.objects.count() == len(PRICES)


def test_idle_zeros_make_no_version(card: Any) -> None:
    assert card({"model": "graduated", "tiers": TIERS})[0] == 201
    written = [{"up_to": 100, "unit_price": 2, "flat_fee": "5.000"}, {"unit_price": 1.5}]
    assert card({"model": "graduated", "tiers": written})[0] == 200


PER_UNIT = {"model": "per_unit", "unit_price": "1"}


def graduated(*tiers: Any) -> dict[str, Any]:
    return {"model": "graduated", "tiers": list(tiers)}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "per_unit"}, "unit_price", "required"),
    ({"model": "stairs", "unit_price": "1"}, "model", "invalid_choice"),
    ({**PER_UNIT, "unit_price": "-1"}, "unit_price", "negative_price"),
    ({**PER_UNIT, "unit_price": "1000000000000000"}, "unit_price", "price_too_large"),
    ({**PER_UNIT, "unit_price": "NaN"}, "unit_price", "invalid"),
    ({**PER_UNIT, "unit_price": "0.0000000000001"}, "unit_price", "max_decimal_places"),
    ({**PER_UNIT, "tiers": TIERS}, "tiers", "not_used"),
    ({**PER_UNIT, "package_size": "10"}, "package_size", "not_used"),
    ({**PER_UNIT, "percent": "10"}, "percent", "not_used"),
    ({**PER_UNIT, "minimum": "10"}, "minimum", "not_used"),
    ({**PER_UNIT, "included": "-1"}, "included", "negative"),
    ({**PER_UNIT, "included": "5", "pool": "tickets"}, "pool", "both_given"),
    ({**PER_UNIT, "period_maximum": "1.005"}, "period_maximum", "too_many_decimals"),
    ({**PER_UNIT, "price": "1"}, "price", "unknown_field"),
    ({"model": "package", "unit_price": "1"}, "package_size", "required"),
    ({"model": "package", "unit_price": "1", "package_size": "0"}, "package_size", "not_positive"),
    ({"model": "percentage"}, "percent", "required"),
    ({"model": "percentage", "percent": "1001"}, "percent", "percent_too_large"),
    ({"model": "percentage", "percent": "10", "included": "5"}, "included", "not_used"),
    ({"model": "percentage", "percent": "10", "minimum": "5", "maximum": "4"}, "minimum", "minimum_above_maximum"),
    ({"model": "free", "unit_price": "0"}, "unit_price", "not_used"),
    ({"model": "volume"}, "tiers", "required"),
    (graduated(), "tiers", "required"),
    (graduated({"up_to": "100", "unit_price": "2"}), "tiers[0].up_to", "tiers_gap"),
    (graduated({"up_to": "100", "unit_price": "2"}, {"up_to": "100", "unit_price": "1"}, OPEN),
     "tiers[1].up_to", "tiers_overlap"),
    (graduated({"up_to": "100", "unit_price": "2"}, {"up_to": "50", "unit_price": "1"}, OPEN),
     "tiers[1].up_to", "tiers_overlap"),
    (graduated(OPEN, OPEN), "tiers[0].up_to", "tiers_overlap"),
    (graduated({"up_to": "0", "unit_price": "2"}, OPEN), "tiers[0].up_to", "not_positive"),
    (graduated({"up_to": "-5", "unit_price": "2"}, OPEN), "tiers[0].up_to", "negative"),
    (graduated({"up_to": "5", "unit_price": "-2"}, OPEN), "tiers[0].unit_price", "negative_price"),
    (graduated({"up_to": "5", "percent": "2"}, OPEN), "tiers[0].percent", "not_used"),
    (graduated({"up_to": "5"}, OPEN), "tiers[0].unit_price", "required"),
    (graduated({"from": "5", "unit_price": "2"}), "tiers[0].from", "unknown_field"),
]  # fmt: skip


@pytest.mark.parametrize(("price", "place", "code"), REFUSED)
def test_what_is_wrong_is_refused_with_its_place(card: Any, price: dict[str, Any], place: str, code: str) -> None:
    status, body = card({"model": "free", "match": {"priority": "low"}}, price)
    found = [(detail["path"], detail["code"]) for detail in body["error"]["details"]]
    assert (status, f"prices[1].{place}", code) == (422, *next(one for one in found if one[1] == code))
    assert not RateCard.objects.exists()


def test_two_prices_that_match_equally_and_a_card_in_use_in_another_currency(card: Any) -> None:
    status, body = card({"model": "free"}, PER_UNIT)
    assert (status, body["error"]["details"][0]["path"]) == (422, "prices[1].match")
    assert card(PER_UNIT)[0] == 201
    status, body = card(PER_UNIT, currency="EUR")
    assert (status, body["error"]["code"]) == (422, "currency_mismatch")


# --- The database behind it -------------------------------------------------------------------------------------------

KEPT: list[dict[str, Any]] = [
    {"model": "per_unit", "unit_price": 1},
    {"model": "package", "unit_price": 1, "package_size": 1},
    {"model": "percentage", "percent": 5, "minimum": 1, "maximum": 2},
    {"model": "percentage", "tiers": [{"up_to": "5", "percent": "1000"}, {"up_to": None, "percent": "1"}]},
    {"model": "graduated", "tiers": [{"up_to": "0.5", "flat_fee": "1"}, {"up_to": None, "unit_price": "1"}]},
    {"model": "free"},
]
NOT_KEPT: list[dict[str, Any]] = [
    {"model": "stairs", "unit_price": 1},
    {"model": "per_unit"},
    {"model": "per_unit", "unit_price": -1},
    {"model": "per_unit", "unit_price": 10**15},
    {"model": "per_unit", "unit_price": 1, "included": -1},
    {"model": "per_unit", "unit_price": 1, "included": 1, "pool": "x"},
    {"model": "per_unit", "unit_price": 1, "percent": 1},
    {"model": "per_unit", "unit_price": 1, "package_size": 1},
    {"model": "per_unit", "unit_price": 1, "minimum": 1},
    {"model": "per_unit", "unit_price": 1, "tiers": [{"up_to": None, "unit_price": "1"}]},
    {"model": "package", "unit_price": 1},
    {"model": "package", "unit_price": 1, "package_size": 0},
    {"model": "percentage"},
    {"model": "percentage", "percent": 5, "unit_price": 1},
    {"model": "percentage", "percent": 1001},
    {"model": "percentage", "percent": 5, "minimum": 3, "maximum": 2},
    {"model": "percentage", "percent": 5, "tiers": [{"up_to": None, "percent": "1"}]},
    {"model": "percentage", "tiers": [{"up_to": None, "unit_price": "1"}]},
    {"model": "percentage", "tiers": [{"up_to": None, "percent": "1001"}]},
    {"model": "free", "unit_price": 0},
    {"model": "free", "period_maximum": 1},
    {"model": "graduated"},
    *(
        {"model": "graduated", "tiers": tiers}
        for tiers in (
            [{"up_to": "5", "unit_price": "1"}],  # a gap above
            [{"up_to": None, "unit_price": "1"}, {"up_to": None, "unit_price": "1"}],  # an overlap
            [{"up_to": "5", "unit_price": "1"}, {"up_to": "5", "unit_price": "1"}, {"up_to": None, "unit_price": "1"}],
            [
                {"up_to": "5", "unit_price": "1"},
                {"up_to": "4.9", "unit_price": "1"},
                {"up_to": None, "unit_price": "1"},
            ],
            [{"up_to": "0", "unit_price": "1"}, {"up_to": None, "unit_price": "1"}],
            [{"up_to": "-1", "unit_price": "1"}, {"up_to": None, "unit_price": "1"}],
            [{"up_to": 5, "unit_price": "1"}, {"up_to": None, "unit_price": "1"}],
            [{"up_to": None, "unit_price": 1}],
            [{"up_to": None, "unit_price": "-1"}],
            [{"up_to": None, "unit_price": "NaN"}],
            [{"up_to": None, "unit_price": "1e5"}],
            [{"up_to": None, "unit_price": None}],
            [{"up_to": None, "percent": "1"}],
            [{"up_to": None}],
            [{"unit_price": "1"}],
            [{"up_to": None, "unit_price": "1", "from": "1"}],
            ["x"],
            {"up_to": None, "unit_price": "1"},
            None,
        )
    ),
]


@pytest.mark.parametrize(("row", "kept"), [*((row, True) for row in KEPT), *((row, False) for row in NOT_KEPT)])
def test_the_database_keeps_a_price_exactly_where_its_fields_fit_its_model(ticket: str, row: Any, kept: bool) -> None:
    card = RateCard.objects.create(key="x", created_at=NOW)
    home = RateCardVersion.objects.create(rate_card=card, number=1, currency="USD", created_at=NOW)
    given = {"condition": Condition.objects.get(), "rate_card_version": home, **row}
    if kept:
        Price.objects.create(**given)
        return
    with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
        Price.objects.create(**given)


@pytest.mark.parametrize(
    ("model", "column"),
    [("per_unit", "unit_price"), ("per_unit", "included"), ("per_unit", "period_maximum"), ("package", "package_size"),
     ("percentage", "percent"), ("percentage", "minimum"), ("percentage", "maximum")],
)  # fmt: skip
def test_the_database_refuses_a_number_that_is_none(ticket: str, model: str, column: str) -> None:
    card = RateCard.objects.create(key="x", created_at=NOW)
    home = RateCardVersion.objects.create(rate_card=card, number=1, currency="USD", created_at=NOW)
    needed = {"per_unit": {"unit_price": "1"}, "package": {"unit_price": "1", "package_size": "1"}}
    values = {**needed.get(model, {"percent": "1"}), column: "NaN"}
    with pytest.raises(IntegrityError, match="sane"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO contracts_price (rate_card_version_id, condition_id, model, tiers, pool, match,"
            f" {', '.join(values)}) VALUES (%s, %s, %s, '[]', '', '{{}}', {', '.join(['%s'] * len(values))})",
            [home.pk, Condition.objects.get().pk, model, *values.values()],
        )


def test_prices_of_a_contract_are_taken_too(call: Call, card: Any, acme: Customer, ticket: str) -> None:
    card(PER_UNIT)
    body = {"customer": "acme", "rate_card": "standard", "starts_at": "2026-01-01T00:00:00Z"}
    own = [{"condition": ticket, "match": {}, **price} for price, _ in PRICES[2:3]]
    status, made = call("POST", "/v1/contracts", {**body, "prices": own})
    assert (status, made["prices"]) == (201, own)
    wrong = [{"condition": ticket, **graduated({"up_to": "5", "unit_price": "1"})}]
    status, answer = call("POST", "/v1/contracts", {**body, "starts_at": "2025-01-01T00:00:00Z", "prices": wrong})
    assert (status, answer["error"]["details"][0]["path"]) == (422, "prices[0].tiers[0].up_to")
