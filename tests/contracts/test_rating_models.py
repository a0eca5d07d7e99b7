"""Every price model at its edges, and what must hold of all of them."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.domain import money, rating
from contracts.domain.rating import Charge, Line, Price, Tier, Usage

# 0 < q <= 100 at 1.00 and 5.00 flat, to 1000 at 0.50 and 10.00 flat, beyond at 0.25.
TIERS = (
    Tier(Decimal(100), Decimal("1.00"), Decimal(5)),
    Tier(Decimal(1000), Decimal("0.50"), Decimal(10)),
    Tier(None, Decimal("0.25")),
)
PLAIN_TIERS = tuple(Tier(tier.up_to, tier.unit_price) for tier in TIERS)
PRICES = {
    "per_unit": Price(1, "x", unit_price=Decimal("0.99")),
    "graduated": Price(1, "x", model="graduated", tiers=TIERS),
    "volume": Price(1, "x", model="volume", tiers=TIERS),
    "package": Price(1, "x", model="package", unit_price=Decimal(20), package_size=Decimal(100)),
    "package of 2.5": Price(1, "x", model="package", unit_price=Decimal(3), package_size=Decimal("2.5")),
    "percentage": Price(1, "x", model="percentage", percent=Decimal(25)),
    "percentage by tiers": Price(
        1, "x", model="percentage", tiers=(Tier(Decimal(1000), percent=Decimal(25)), Tier(None, percent=Decimal(10)))
    ),
    "free": Price(1, "x", model="free"),
    "per_unit, 50 included": Price(1, "x", unit_price=Decimal("0.99"), included=Decimal(50)),
    "graduated, 50 included": Price(1, "x", model="graduated", tiers=TIERS, included=Decimal(50)),
    "volume, 50 included": Price(1, "x", model="volume", tiers=TIERS, included=Decimal(50)),
    "package, 50 included": Price(
        1, "x", model="package", unit_price=Decimal(20), package_size=Decimal(100), included=Decimal(50)
    ),
}


def usage(quantity: Decimal | str | int, **more: Any) -> Usage:
    """The quantity is the value too, so that one table does for percentages."""
    return Usage("x", more.pop("dimensions", ()), Decimal(quantity), value=Decimal(quantity), **more)


def lines(price: Price, quantities: Sequence[Decimal | str | int], currency: str = "USD") -> list[Line]:
    charges = [Charge(price, usage(quantity, dimensions=(("n", str(n)),))) for n, quantity in enumerate(quantities)]
    return rating.rate_lines(charges, currency)


def minor(price: Price, quantity: Decimal | str | int, currency: str = "USD") -> int:
    return sum(line.amount_minor for line in lines(price, [quantity], currency))


EDGES: dict[str, list[tuple[str, str]]] = {
    "per_unit": [("0", "0.00"), ("1", "0.99"), ("0.5", "0.50"), ("100", "99.00"), ("1000000000", "990000000.00")],
    "graduated": [
        ("0", "0.00"),  # no tier is reached: no flat fee
        ("0.01", "5.01"),  # 0.01 x 1.00 + 5.00
        ("1", "6.00"),
        ("99", "104.00"),
        ("100", "105.00"),  # the edge belongs to the first tier
        ("100.01", "115.01"),  # 100 + 5 + 0.01 x 0.50 (0.005) + 10 = 115.005
        ("101", "115.50"),
        ("999", "564.50"),  # 105 + 899 x 0.50 + 10
        ("1000", "565.00"),
        ("1001", "565.25"),
        ("1000000", "250315.00"),  # 565 + 999000 x 0.25
    ],
    "volume": [
        ("0", "0.00"),
        ("0.01", "5.01"),
        ("1", "6.00"),
        ("99", "104.00"),
        ("100", "105.00"),
        ("100.01", "60.01"),  # 100.01 x 0.50 (50.005) + 10 = 60.005: one more outcome lowers the total
        ("101", "60.50"),
        ("999", "509.50"),
        ("1000", "510.00"),
        ("1001", "250.25"),
        ("1000000", "250000.00"),
    ],
    "package": [
        ("0", "0.00"),
        ("0.5", "20.00"),
        ("1", "20.00"),
        ("99", "20.00"),
        ("100", "20.00"),
        ("100.5", "40.00"),
        ("101", "40.00"),
        ("200", "40.00"),
        ("1000000", "200000.00"),
        ("1000001", "200020.00"),
    ],
    "package of 2.5": [("2.5", "3.00"), ("2.50000000000000001", "6.00"), ("5", "6.00"), ("7", "9.00")],
    "percentage": [("0", "0.00"), ("1", "0.25"), ("0.02", "0.01"), ("0.01", "0.00"), ("123.45", "30.86")],
    "percentage by tiers": [
        ("0", "0.00"),
        ("999", "249.75"),
        ("1000", "250.00"),
        ("1000.50", "250.05"),
        ("1001", "250.10"),
        ("5000", "650.00"),
    ],
    "free": [("0", "0.00"), ("1", "0.00"), ("1000000", "0.00")],
    "per_unit, 50 included": [("0", "0.00"), ("49", "0.00"), ("50", "0.00"), ("50.5", "0.50"), ("51", "0.99")],
    "graduated, 50 included": [("50", "0.00"), ("51", "6.00"), ("150", "105.00"), ("151", "115.50")],
    "volume, 50 included": [("50", "0.00"), ("51", "6.00"), ("150", "105.00"), ("151", "60.50")],
    "package, 50 included": [("50", "0.00"), ("51", "20.00"), ("150", "20.00"), ("151", "40.00")],
}


@pytest.mark.parametrize(("name", "quantity", "amount"), [(name, *row) for name, rows in EDGES.items() for row in rows])
def test_every_edge(name: str, quantity: str, amount: str) -> None:
    (line,) = lines(PRICES[name], [quantity])
    assert money.major_text(line.amount_minor, "USD") == amount
    exact = sum((step.amount for step in line.steps), Decimal(0))
    assert money.to_minor(exact, "USD") == line.amount_minor, "the steps come to the amount"


@pytest.mark.parametrize(
    ("currency", "quantity", "amount"),
    [("JPY", "3", "2"), ("JPY", "1", "1"), ("USD", "3", "1.50"), ("KWD", "3", "1.500"), ("KWD", "0.001", "0.001")],
)
def test_currencies_with_0_2_and_3_decimals(currency: str, quantity: str, amount: str) -> None:
    half = Price(1, "x", unit_price=Decimal("0.5"))
    assert money.major_text(minor(half, quantity, currency), currency) == amount


def test_a_million_outcomes_at_0_0149() -> None:
    """However they are grouped: in one line, in three, in a thousand."""
    cheap = Price(1, "x", unit_price=Decimal("0.0149"))
    for pieces in ([10**6], [333_333, 333_333, 333_334], [1000] * 1000):
        assert sum(line.amount_minor for line in lines(cheap, pieces)) == 1_490_000


def test_a_price_is_rounded_once_over_its_lines() -> None:
    """Three lines of 0.004 are 0.012: one cent in all, where each by itself would be nothing."""
    rated = lines(Price(1, "x", unit_price=Decimal("0.004")), [1, 1, 1])
    assert [line.amount_minor for line in rated] == [1, 0, 0]
    assert [line.price_minor for line in rated] == [1, 1, 1]


def test_tiers_count_over_all_lines_of_a_price() -> None:
    """60 + 60 units reach the second tier together: 105.00 + 20 x 0.50 + 10.00 = 125.00, half on each line."""
    rated = lines(PRICES["graduated"], [60, 60])
    assert [line.amount_minor for line in rated] == [6250, 6250]
    assert all(line.shared and line.price_minor == 12500 for line in rated)
    assert rated[0].steps == rated[1].steps


def test_an_allowance_counts_over_all_lines_of_a_price() -> None:
    """30 + 70 less 50 included are 50 x 0.99 = 49.50, split 30 to 70."""
    assert [line.amount_minor for line in lines(PRICES["per_unit, 50 included"], [30, 70])] == [1485, 3465]


def test_the_steps_of_a_graduated_line() -> None:
    (line,) = lines(PRICES["graduated, 50 included"], ["160"])
    assert [(step.kind, step.quantity, step.unit_price, step.amount, step.up_to) for step in line.steps] == [
        ("included", 50, 0, 0, None),
        ("units", 100, 1, 100, 100),
        ("flat_fee", 1, 5, 5, 100),
        ("units", 10, Decimal("0.5"), 5, 1000),
        ("flat_fee", 1, 10, 10, 1000),
    ]


def test_a_trial_counts_and_charges_nothing() -> None:
    """And takes no part in tiers: of 100 + 1 units only the 1 counts."""
    graduated = PRICES["graduated"]
    trial = Price(1, "x", model="graduated", tiers=TIERS, trial=True)
    charges = [Charge(trial, usage(100)), Charge(graduated, usage(1))]
    rated = rating.rate_lines(rating.merge(charges), "USD")
    assert [(line.usage.quantity, line.amount_minor) for line in rated if line.usage] == [(100, 0), (1, 600)]


@pytest.mark.parametrize(
    "broken",
    [
        Price(1, "x", model="guess"),
        Price(1, "x"),
        Price(1, "x", model="package", unit_price=Decimal(1)),
        Price(1, "x", model="graduated", tiers=TIERS[:1]),
        Price(1, "x", model="volume", tiers=TIERS[:1]),
        Price(1, "x", model="percentage"),
        Price(1, "x", model="percentage", percent=Decimal(1), minimum=Decimal(1)),
    ],
)
def test_a_price_that_lacks_what_its_model_needs_is_no_money(broken: Price) -> None:
    with pytest.raises(ValueError, match=r"price|tier"):
        minor(broken, 200)


def test_what_cannot_be_booked_is_refused() -> None:
    with pytest.raises(OverflowError):
        minor(Price(1, "x", unit_price=Decimal(10**14)), 10**6)


# --- Properties -------------------------------------------------------------------------------------------------------

numbers = st.decimals(min_value=0, max_value=10**6, places=6, allow_nan=False)
rates = st.decimals(min_value=0, max_value=1000, places=8, allow_nan=False)
edges = st.lists(st.integers(1, 5000), min_size=0, max_size=4, unique=True).map(sorted)


@st.composite
def tiered(draw: st.DrawFn, model: str) -> Price:
    found = [Decimal(edge) for edge in draw(edges)]
    made = [Tier(edge, draw(rates), draw(rates), draw(rates)) for edge in [*found, None]]
    return Price(1, "x", model=model, tiers=tuple(made), included=Decimal(draw(st.integers(0, 100))))


@st.composite
def any_price(draw: st.DrawFn) -> Price:
    model = draw(st.sampled_from(list(rating.MODELS)))
    if model in ("graduated", "volume"):
        return draw(tiered(model))
    if model == "percentage":
        by_tiers = draw(st.booleans())
        if by_tiers:
            tiers = draw(tiered(model)).tiers
            return Price(1, "x", model=model, tiers=tiers)
        return Price(1, "x", model=model, percent=draw(rates))
    if model == "free":
        return Price(1, "x", model=model)
    size = Decimal(draw(st.integers(1, 500))) if model == "package" else None
    included = Decimal(draw(st.integers(0, 100)))
    return Price(1, "x", model=model, unit_price=draw(rates), package_size=size, included=included)


@given(tiered("graduated"), numbers, numbers)
def test_graduated_totals_never_fall(price: Price, quantity: Decimal, more: Decimal) -> None:
    assert minor(price, quantity) <= minor(price, quantity + more)


@given(any_price(), st.lists(numbers, min_size=1, max_size=12), st.sampled_from(["JPY", "USD", "KWD"]))
def test_splitting_a_quantity_over_lines_changes_nothing(price: Price, pieces: list[Decimal], currency: str) -> None:
    """Neither over lines of different dimension values nor over batches that go to one line."""
    whole = minor(price, sum(pieces, Decimal(0)), currency)
    assert sum(line.amount_minor for line in lines(price, pieces, currency)) == whole
    batches = rating.merge([Charge(price, usage(piece)) for piece in pieces])
    assert [line.amount_minor for line in rating.rate_lines(batches, currency)] == [whole]


@given(any_price(), st.lists(numbers, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_line(price: Price, pieces: list[Decimal], random: Any) -> None:
    charges = [Charge(price, usage(piece, dimensions=(("n", str(n)),))) for n, piece in enumerate(pieces)]
    shuffled = random.sample(charges, len(charges))

    def by_line(these: list[Charge]) -> dict[Any, int]:
        return {line.usage.dimensions: line.amount_minor for line in rating.rate_lines(these, "USD") if line.usage}

    assert by_line(charges) == by_line(shuffled)


@given(any_price(), st.lists(numbers, min_size=1, max_size=12))
def test_a_line_is_never_negative_and_never_far_from_its_part(price: Price, pieces: list[Decimal]) -> None:
    rated = lines(price, pieces)
    assert all(line.amount_minor >= 0 for line in rated)
    whole = sum(line.amount_minor for line in rated)
    if whole and price.model in ("per_unit", "graduated", "volume", "package"):
        for line, piece in zip(rated, pieces, strict=True):
            assert abs(line.amount_minor - Fraction(whole) * Fraction(piece) / Fraction(sum(pieces))) < 1


def naive(price: Price, quantity: int) -> Fraction:
    """The same by counting unit for unit, as somebody would with a pencil; in major units."""
    units = range(max(0, quantity - int(price.included)))
    if price.model == "per_unit":
        return sum((Fraction(price.unit_price or 0) for _ in units), Fraction(0))
    if price.model == "package":
        opened = {unit // int(price.package_size or 1) for unit in units}
        return len(opened) * Fraction(price.unit_price or 0)

    def tier_of(unit: int) -> int:
        return next(n for n, tier in enumerate(price.tiers) if tier.up_to is None or unit <= tier.up_to)

    numbered = [tier_of(unit + 1) for unit in units]
    if price.model == "graduated":
        flat = sum((Fraction(price.tiers[n].flat_fee) for n in set(numbered)), Fraction(0))
        return sum((Fraction(price.tiers[n].unit_price) for n in numbered), flat)
    if not numbered:
        return Fraction(0)
    last = price.tiers[numbered[-1]]
    return len(numbered) * Fraction(last.unit_price) + Fraction(last.flat_fee)


@given(any_price().filter(lambda price: price.model in ("per_unit", "package", "graduated", "volume")), st.data())
def test_counting_unit_by_unit_gives_the_same(price: Price, data: st.DataObject) -> None:
    near = [int(tier.up_to) + 1 for tier in price.tiers if tier.up_to is not None]
    quantity = data.draw(
        st.integers(0, 300) | st.sampled_from([*near, *(edge + int(price.included) for edge in near), 0])
    )
    exact = naive(price, quantity) * 100
    assert minor(price, quantity) == (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
