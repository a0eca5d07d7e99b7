"""Money: exact decimals in, integers in minor units out, one rounding."""

import random
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, Inexact
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.domain import money
from contracts.domain.money import Money

CURRENCIES = st.sampled_from(["JPY", "USD", "KWD", "CLF"])


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [("JPY", 0), ("KRW", 0), ("ISK", 0), ("USD", 2), ("EUR", 2), ("HUF", 2), ("KWD", 3), ("TND", 3), ("CLF", 4)],
)
def test_exponents(currency: str, exponent: int) -> None:
    assert money.exponent(currency) == exponent


@pytest.mark.parametrize("code", ["usd", "US", "XXX", "XAU", "", "EURO", "BTC"])
def test_what_is_no_currency(code: str) -> None:
    with pytest.raises(money.UnknownCurrency):
        money.exponent(code)


def test_the_table_is_whole() -> None:
    """Counts per exponent, so that a slip of the pen in the table is seen."""
    counts = {exponent: list(money.EXPONENTS.values()).count(exponent) for exponent in (0, 2, 3, 4)}
    assert counts == {0: 17, 2: len(money.EXPONENTS) - 26, 3: 7, 4: 2}
    assert all(len(code) == 3 and code.isupper() and code.isascii() for code in money.EXPONENTS)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("30.00", "USD", 3000),
        ("0.005", "USD", 1),
        ("0.0049999999999999999999999999999999999", "USD", 0),
        ("-0.005", "USD", -1),
        ("0.5", "JPY", 1),
        ("0.0005", "KWD", 1),
        ("0.00005", "CLF", 1),
        ("14900.0000", "USD", 1_490_000),
        ("9999999999999999.99", "USD", 10**18 - 1),
    ],
)
def test_rounding_half_up(amount: str, currency: str, minor: int) -> None:
    assert money.to_minor(Decimal(amount), currency) == minor


def test_the_rounding_mode_is_an_argument() -> None:
    assert money.to_minor(Decimal("0.125"), "USD", ROUND_HALF_EVEN) == 12
    assert money.to_minor(Decimal("0.129"), "USD", ROUND_DOWN) == 12


@pytest.mark.parametrize("amount", [0.1, 1, "1", None, Decimal("NaN"), Decimal("Infinity")])
def test_only_finite_decimals_become_money(amount: Any) -> None:
    with pytest.raises(TypeError):
        money.to_minor(amount, "USD")


def test_what_cannot_be_booked_is_refused() -> None:
    with pytest.raises(OverflowError):
        money.to_minor(Decimal(10**17), "USD")


def test_products_are_exact_or_refused() -> None:
    twenty = Decimal("12345678901234567890")
    assert money.product(twenty, twenty) == Decimal(12345678901234567890**2)
    with pytest.raises(Inexact):
        money.product(Decimal("1." + "1" * 300), Decimal("1." + "3" * 300))


@given(
    st.decimals(
        min_value=0, max_value=10**7, places=12, allow_nan=False
    ),  # within what can be booked, four decimals too
    st.decimals(min_value=0, max_value=10**6, places=6, allow_nan=False),
    CURRENCIES,
)
def test_rounding_agrees_with_fractions(rate: Decimal, quantity: Decimal, currency: str) -> None:
    """Against integers, which cannot round: floor(x + 1/2) in minor units."""
    exact = Fraction(rate) * Fraction(quantity) * 10 ** money.exponent(currency)
    expected = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    assert money.to_minor(money.product(rate, quantity), currency) == expected


@pytest.mark.parametrize(
    ("amount", "days", "of_days", "currency", "minor"),
    [
        ("100", 31, 31, "USD", 10000),
        ("100", 10, 31, "USD", 3226),
        ("100", 0, 31, "USD", 0),
        ("0.01", 15, 30, "USD", 1),  # half a cent, half up
        ("0.01", 14, 29, "USD", 0),
        ("1000", 1, 3, "JPY", 333),
        ("1000", 2, 3, "JPY", 667),
        ("1", 1, 7, "KWD", 143),
    ],
)
def test_prorating(amount: str, days: int, of_days: int, currency: str, minor: int) -> None:
    assert money.prorate(Decimal(amount), days, of_days, currency) == minor


@given(
    st.decimals(min_value=0, max_value=10**9, places=12, allow_nan=False),
    st.integers(1, 366).flatmap(lambda of_days: st.tuples(st.integers(0, of_days), st.just(of_days))),
    CURRENCIES,
)
def test_prorating_agrees_with_fractions(amount: Decimal, part: tuple[int, int], currency: str) -> None:
    days, of_days = part
    exact = Fraction(amount) * days / of_days * 10 ** money.exponent(currency)
    expected = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    assert money.prorate(amount, days, of_days, currency) == expected


@pytest.mark.parametrize(("days", "of_days"), [(-1, 30), (31, 30), (0, 0), (1, 0)])
def test_what_is_no_part_of_a_period(days: int, of_days: int) -> None:
    with pytest.raises(ValueError, match="no part of a period"):
        money.prorate(Decimal(1), days, of_days, "USD")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(3000, "USD", "30.00"), (-5, "USD", "-0.05"), (0, "USD", "0.00"), (30, "JPY", "30"), (1, "KWD", "0.001")],
)
def test_major_text(minor: int, currency: str, text: str) -> None:
    assert money.major_text(minor, currency) == text


@given(st.integers(-money.MAX_MINOR, money.MAX_MINOR), CURRENCIES)
def test_texts_go_back(minor: int, currency: str) -> None:
    assert money.to_minor(Decimal(money.major_text(minor, currency)), currency) == minor


def test_adding() -> None:
    assert money.add(Money(1, "USD"), Money(2, "USD")) == Money(3, "USD")
    assert money.total([Money(1, "USD"), money.negate(Money(3, "USD"))], "USD") == Money(-2, "USD")
    assert money.total([], "JPY") == Money(0, "JPY")
    with pytest.raises(money.CurrencyMismatch):
        money.add(Money(1, "USD"), Money(1, "EUR"))
    with pytest.raises(money.CurrencyMismatch):
        money.total([Money(1, "USD")], "EUR")


@pytest.mark.parametrize("amount", [1.0, True, Decimal(1), "1"])
def test_money_holds_integers(amount: Any) -> None:
    with pytest.raises(TypeError):
        Money(amount, "USD")


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (1, [Decimal("0.1"), Decimal("0.2")], [0, 1]),
        (0, [5, 5], [0, 0]),
        (7, [0, 1, 0], [0, 7, 0]),
    ],
)
def test_splitting(total: int, weights: list[Any], parts: list[int]) -> None:
    assert money.split(total, weights) == parts


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.decimals(min_value=0, max_value=10**6, places=6, allow_nan=False), min_size=1, max_size=40),
)
def test_parts_sum_and_are_fair(total: int, weights: list[Decimal]) -> None:
    if not any(weights):
        with pytest.raises(ValueError, match="above zero"):
            money.split(total, weights)
        return
    parts = money.split(total, weights)
    assert sum(parts) == total
    whole = sum(map(Fraction, weights))
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total) * Fraction(weight) / whole) < 1


def test_a_large_split() -> None:
    seed = random.Random(7)
    weights = [seed.randint(0, 10**6) for _ in range(100_000)]
    assert sum(money.split(499_895_242, weights)) == 499_895_242


@pytest.mark.parametrize("weights", [[], [0], [-1, 2], [1.5]])
def test_weights_that_make_no_sense(weights: list[Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        money.split(10, weights)
