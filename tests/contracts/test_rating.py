"""Rating: which price counts, what a line comes to, and which lists of prices are refused."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.domain import rating
from contracts.domain.rating import Price, PriceInput, Usage, dimensions_of

TICKET, CALL = "ticket", "call"


def price(id: int, unit_price: str = "1", condition: str = TICKET, override: bool = False, **match: Any) -> Price:
    return Price(id, condition, unit_price=Decimal(unit_price), match=dimensions_of(match), override=override)


def usage(quantity: str, condition: str = TICKET, outcomes: int = 1, **dimensions: Any) -> Usage:
    return Usage(condition, dimensions_of(dimensions), Decimal(quantity), outcomes)


def amounts(prices: list[Price], usages: list[Usage], currency: str = "USD") -> list[tuple[Any, int]]:
    return [(line.price.id, line.amount_minor) for line in rating.rate(prices, usages, currency).lines]


def test_a_million_outcomes_at_a_cent_and_a_half() -> None:
    assert amounts([price(1, "0.0149")], [usage("1000000")]) == [(1, 1_490_000)]


@pytest.mark.parametrize(
    ("quantity", "unit_price", "currency", "minor"),
    [
        ("0", "2.00", "USD", 0),
        ("15", "2.00", "USD", 3000),
        ("1", "0.0049", "USD", 0),
        ("1", "0.005", "USD", 1),
        ("3", "0.005", "USD", 2),
        ("2.5", "0.333333333333", "USD", 83),
        ("3", "0.5", "JPY", 2),
        ("1", "0.0005", "KWD", 1),
        ("9999999999999", "999.999999999999", "USD", 999999999999899000),
    ],
)
def test_per_unit(quantity: str, unit_price: str, currency: str, minor: int) -> None:
    assert amounts([price(1, unit_price)], [usage(quantity)], currency) == [(1, minor)]


def test_the_arithmetic_is_on_the_line() -> None:
    (line,) = rating.rate([price(1, "0.0149")], [usage("7", outcomes=7)], "USD").lines
    assert line.steps == (rating.Step(Decimal(7), Decimal("0.0149"), Decimal("0.1043")),)
    assert (line.amount_minor, line.usage.outcomes) == (10, 7)


def test_the_most_specific_match_wins() -> None:
    prices = [price(1), price(2, priority="high"), price(3, priority="high", tier="gold")]
    chosen = {
        name: rating.choose(prices, TICKET, dimensions_of(values))
        for name, values in {
            "none": {},
            "other": {"priority": "low"},
            "one": {"priority": "high", "tier": "silver"},
            "both": {"priority": "high", "tier": "gold", "more": "x"},
        }.items()
    }
    assert {name: found and found.id for name, found in chosen.items()} == {"none": 1, "other": 1, "one": 2, "both": 3}


def test_an_override_beats_every_price_of_the_card() -> None:
    prices = [price(1, priority="high", tier="gold"), price(2, override=True), price(3, override=True, tier="gold")]
    assert rating.choose(prices, TICKET, dimensions_of({"priority": "high"})).id == 2  # type: ignore[union-attr]
    assert rating.choose(prices, TICKET, dimensions_of({"priority": "high", "tier": "gold"})).id == 3  # type: ignore[union-attr]


def test_an_override_that_does_not_fit_leaves_the_card() -> None:
    prices = [price(1), price(2, override=True, priority="high")]
    assert rating.choose(prices, TICKET, dimensions_of({"priority": "low"})).id == 1  # type: ignore[union-attr]


def test_what_no_price_fits_is_told_and_not_charged() -> None:
    rated = rating.rate([price(1, priority="high")], [usage("2", priority="low"), usage("1", CALL)], "USD")
    assert rated.lines == () and len(rated.unpriced) == 2


def test_one_line_for_each_price_and_set_of_dimension_values() -> None:
    prices = [price(1, "2"), price(2, "3", CALL)]
    usages = [usage("1", a="x"), usage("2", a="y"), usage("4", a="x"), usage("8", CALL, a="x")]
    rated = rating.rate(prices, usages, "USD").lines
    assert [(line.price.id, dict(line.usage.dimensions), line.amount_minor, line.usage.outcomes) for line in rated] == [
        (1, {"a": "x"}, 1000, 2),
        (1, {"a": "y"}, 400, 1),
        (2, {"a": "x"}, 2400, 1),
    ]


@given(
    st.lists(st.decimals(min_value=0, max_value=10**6, places=6, allow_nan=False), min_size=1, max_size=20),
    st.decimals(min_value=0, max_value=10**4, places=12, allow_nan=False),
)
def test_splitting_a_quantity_changes_nothing(quantities: list[Decimal], unit_price: Decimal) -> None:
    whole = sum(quantities, Decimal(0))
    prices = [Price(1, TICKET, unit_price=unit_price)]
    pieces = [Usage(TICKET, (), quantity) for quantity in quantities]
    assert amounts(prices, pieces) == amounts(prices, [Usage(TICKET, (), whole)])


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown model"):
        rating.rate([Price(1, TICKET, unit_price=Decimal(1), model="guess")], [usage("1")], "USD")


@pytest.mark.parametrize(
    ("value", "text"),
    [("5", "5"), (5, "5"), (Decimal("5.0"), "5"), (Decimal("5e3"), "5000"), (0.5, "0.5"), (True, "true"), (100, "100")],
)
def test_dimension_values_are_text(value: Any, text: str) -> None:
    assert rating.dimension_text(value) == text


def test_a_dimension_without_a_value_is_none() -> None:
    assert dimensions_of({"b": "2", "a": None}) == (("b", "2"),)


def wanted(
    match: dict[str, Any], unit_price: Any = "1", condition: str = TICKET, model: str = "per_unit"
) -> PriceInput:
    return PriceInput(condition, Decimal(unit_price) if isinstance(unit_price, str) else unit_price, match, model)


REFUSED: dict[str, tuple[list[PriceInput], list[tuple[str, str]]]] = {
    "twice the same": ([wanted({}), wanted({})], [("prices[1].match", "duplicate_price")]),
    "the same in numbers": (
        [wanted({"a": 5}), wanted({"a": Decimal("5.0")})],
        [("prices[1].match", "duplicate_price")],
    ),
    "two that can meet": ([wanted({"a": "1"}), wanted({"b": "1"})], [("prices[1].match", "duplicate_price")]),
    "the third of three": (
        [wanted({"a": "1"}), wanted({"a": "2"}), wanted({"a": "1"})],
        [("prices[2].match", "duplicate_price")],
    ),
    "decided elsewhere only": (
        [wanted({"a": "1"}), wanted({"b": "1"}), wanted({"a": "1", "b": "2"})],
        [("prices[1].match", "duplicate_price")],
    ),
    "negative": ([wanted({}, "-1")], [("prices[0].unit_price", "negative_price")]),
    "no number": ([wanted({}, Decimal("NaN"))], [("prices[0].unit_price", "invalid")]),
    "a float": ([wanted({}, 0.5)], [("prices[0].unit_price", "invalid")]),
    "too large": ([wanted({}, "1000000000000000")], [("prices[0].unit_price", "price_too_large")]),
    "too fine": ([wanted({}, "0.0000000000001")], [("prices[0].unit_price", "too_many_decimals")]),
    "no model": ([wanted({}, model="guess")], [("prices[0].model", "unknown_model")]),
    "a list as value": ([wanted({"a": []})], [("prices[0].match", "invalid")]),
}


@pytest.mark.parametrize(("prices", "problems"), REFUSED.values(), ids=REFUSED)
def test_lists_that_are_refused(prices: list[PriceInput], problems: list[tuple[str, str]]) -> None:
    assert [(one.path, one.code) for one in rating.validate_prices(prices)] == problems


ACCEPTED: dict[str, list[PriceInput]] = {
    "none": [],
    "values that exclude each other": [wanted({"a": "1"}), wanted({"a": "2"}), wanted({})],
    "other conditions": [wanted({}), wanted({}, condition=CALL)],
    "a tie that a third decides": [wanted({"a": "1"}), wanted({"b": "1"}), wanted({"a": "1", "b": "1"})],
    "the largest and finest": [wanted({}, "999999999999999.999999999999")],
    "idle zeros": [wanted({}, "0.50000000000000000")],
    "free": [wanted({}, "0")],
}


@pytest.mark.parametrize("prices", ACCEPTED.values(), ids=ACCEPTED)
def test_lists_that_are_accepted(prices: list[PriceInput]) -> None:
    assert rating.validate_prices(prices) == []


matches = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)


@given(st.lists(matches, max_size=6), matches)
def test_an_accepted_list_always_has_one_winner(listed: list[dict[str, str]], values: dict[str, str]) -> None:
    """Whatever outcome comes, `choose` never finds a tie in a list that was accepted; and a refused list has one."""
    problems = rating.validate_prices([wanted(match) for match in listed])
    prices = [price(index, **match) for index, match in enumerate(listed)]
    if not problems:
        rating.choose(prices, TICKET, dimensions_of(values))
        return

    def ties() -> bool:
        import itertools

        for picked in itertools.product([None, "1", "2"], repeat=3):
            try:
                rating.choose(prices, TICKET, dimensions_of(dict(zip("abc", picked, strict=True))))
            except ValueError:
                return True
        return False

    assert ties()
