"""Pooled allowances and percentages with bounds: what counts outcome by outcome, in order of settlement."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.domain import rating
from contracts.domain.rating import Charge, Part, Price, Settled, Share, Tier, Usage

CHEAP = Price("cheap", "email", unit_price=Decimal(1), pool="contacts")
DEAR = Price("dear", "call", unit_price=Decimal(5), pool="contacts")
OTHER = Price("other", "visit", unit_price=Decimal(9))
SHARE = Share("v1", 30, 30, pools={"contacts": Decimal(10)})


def settled(
    price: Price, quantity: str | int = 1, value: str | int = 0, version: str = "v1", **dimensions: str
) -> Settled:
    return Settled(price, rating.dimensions_of(dimensions), Decimal(quantity), Decimal(value), version)


def test_a_pool_serves_those_who_come_first() -> None:
    outcomes = [*[settled(CHEAP)] * 6, *[settled(DEAR)] * 6, *[settled(CHEAP)] * 6]
    assert rating.draw_pools([SHARE], outcomes) == {Part("cheap", (), "v1"): 6, Part("dear", (), "v1"): 4}
    assert rating.draw_pools([SHARE], reversed(outcomes)) == {Part("cheap", (), "v1"): 6, Part("dear", (), "v1"): 4}
    dear_first = [*[settled(DEAR)] * 6, *[settled(CHEAP)] * 12]
    assert rating.draw_pools([SHARE], dear_first) == {Part("dear", (), "v1"): 6, Part("cheap", (), "v1"): 4}


def test_an_outcome_can_be_covered_in_part() -> None:
    drawn = rating.draw_pools([SHARE], [settled(CHEAP, "7.5"), settled(DEAR, "7.5")])
    assert drawn == {Part("cheap", (), "v1"): Decimal("7.5"), Part("dear", (), "v1"): Decimal("2.5")}


def test_a_pool_is_that_of_one_version_and_not_of_a_trial() -> None:
    shares = [
        SHARE,
        Share("v2", 0, 30, pools={"contacts": Decimal(2)}),
        Share("v3", 0, 30, trial=True, pools=SHARE.pools),
    ]
    outcomes = [settled(CHEAP, 9), *[settled(CHEAP, version="v2")] * 5, settled(CHEAP, version="v3"), settled(OTHER)]
    assert rating.draw_pools(shares, outcomes) == {Part("cheap", (), "v1"): 9, Part("cheap", (), "v2"): 2}


def test_a_pool_that_the_version_does_not_have_covers_nothing() -> None:
    assert rating.draw_pools([Share("v1", 30, 30)], [settled(CHEAP)]) == {}


def test_an_empty_pool_ends_the_reading() -> None:
    """Of a long stream only as much is read as the pool holds, and one more."""

    def long() -> Iterator[Settled]:
        for _ in range(4):
            yield settled(DEAR, 4)
        pytest.fail("10 units are gone after three outcomes of 4, and the fourth shows it")

    assert rating.draw_pools([SHARE], long()) == {Part("dear", (), "v1"): 10}


def test_pooled_units_come_off_the_lines_they_belong_to() -> None:
    """8 e-mails and 4 calls in turn: 10 contacts are free, the last two are calls; 2 x 5.00 = 10.00."""
    outcomes = [*[settled(CHEAP)] * 8, *[settled(DEAR)] * 4]
    figures = rating.take_in_order([SHARE], outcomes)
    charges = [
        Charge(CHEAP, Usage("email", (), Decimal(8)), "v1"),
        Charge(DEAR, Usage("call", (), Decimal(4)), "v1"),
    ]
    rated = rating.rate_period(rating.fill_in(charges, figures), [SHARE], "USD")
    assert [line.amount_minor for line in rated.lines] == [0, 1000]
    assert [step.kind for step in rated.lines[1].steps] == ["pooled", "units"]


def test_a_pool_cannot_cover_more_than_was_used() -> None:
    with pytest.raises(ValueError, match="covers more than was used"):
        rating.rate_lines([Charge(CHEAP, Usage("email", (), Decimal(1), included=Decimal(2)))], "USD")


pool_outcomes = st.lists(
    st.tuples(st.sampled_from([CHEAP, DEAR]), st.decimals(0, 20, places=3), st.sampled_from("ab")), max_size=30
)


@given(pool_outcomes, st.decimals(0, 100, places=3))
def test_a_pool_covers_what_it_holds_or_all(listed: list[tuple[Price, Decimal, str]], units: Decimal) -> None:
    shares = [Share("v1", 30, 30, pools={"contacts": units})]
    outcomes = [settled(price, str(quantity), a=value) for price, quantity, value in listed]
    drawn = rating.draw_pools(shares, outcomes)
    assert sum(drawn.values()) == min(units, sum(quantity for _, quantity, _ in listed))
    # Grouping into lines changes nothing: told apart by dimension or not, each price gets the same.
    together = rating.draw_pools(shares, [settled(price, str(quantity)) for price, quantity, _ in listed])
    for price in (CHEAP, DEAR):
        mine = sum(taken for part, taken in drawn.items() if part.price == price.id)
        assert mine == together.get(Part(price.id, (), "v1"), 0)


# --- Percentages ------------------------------------------------------------------------------------------------------


def percentage(**more: Any) -> Price:
    return Price("p", "recovery", model="percentage", **more)


BOUNDED = percentage(percent=Decimal(25), minimum=Decimal(2), maximum=Decimal(50))


@pytest.mark.parametrize(
    ("value", "charged"),
    [
        ("0", "2"),
        ("-10", "2"),
        ("7.99", "2"),
        ("8", "2"),
        ("8.01", "2.0025"),
        ("199.99", "49.9975"),
        ("200", "50"),
        ("200.01", "50"),
        ("1000000", "50"),
    ],
)
def test_bounds_at_their_edges(value: str, charged: str) -> None:
    assert rating.percentage_of(BOUNDED, [settled(BOUNDED, 1, value)]) == {Part("p", (), "v1"): Decimal(charged)}


def test_tiers_run_over_the_value_so_far_and_bounds_hold_for_each() -> None:
    """30 % of the first 100, 10 % beyond, at most 20 each: 80 -> 24, bounded 20; 40 -> 20 x 30 % + 20 x 10 % = 8;
    100 -> 10."""
    price = percentage(
        tiers=(Tier(Decimal(100), percent=Decimal(30)), Tier(None, percent=Decimal(10))), maximum=Decimal(20)
    )
    outcomes = [settled(price, 1, 80, a="x"), settled(price, 1, 40, a="y"), settled(price, 1, 100, a="x")]
    drawn = rating.percentage_of(price, outcomes)
    assert {dict(part.dimensions)["a"]: amount for part, amount in drawn.items()} == {"x": 30, "y": 8}


def test_an_amount_below_zero_counts_as_zero() -> None:
    """-100, then 80: 25 % of 80; and it gives nothing back of what the tiers have passed."""
    plain = percentage(percent=Decimal(25), maximum=Decimal(50))
    tiered = percentage(
        tiers=(Tier(Decimal(50), percent=Decimal(0)), Tier(None, percent=Decimal(10))), maximum=Decimal(50)
    )
    for price, charged in ((plain, 20), (tiered, 3)):
        outcomes = [settled(price, 1, -100), settled(price, 1, 80)]
        assert rating.percentage_of(price, outcomes) == {Part("p", (), "v1"): charged}


def test_a_line_shows_what_the_bounds_did() -> None:
    outcomes = [settled(BOUNDED, 1, 4), settled(BOUNDED, 1, 100), settled(BOUNDED, 1, 400)]
    figures = rating.take_in_order([SHARE], outcomes)
    usage = Usage("recovery", (), Decimal(3), 3, value=Decimal(504))
    (line,) = rating.rate_lines(rating.fill_in([Charge(BOUNDED, usage, "v1")], figures), "USD")
    # 25 % of 504 is 126; the bounds take it to 2 + 25 + 50 = 77.
    assert [(step.kind, step.amount) for step in line.steps] == [("percent", 126), ("bounds", -49)]
    assert line.amount_minor == 7700


values = st.lists(st.decimals(0, 5000, places=4), min_size=1, max_size=20)


@given(values, st.booleans())
def test_tiers_without_bounds_do_not_depend_on_order(listed: list[Decimal], backwards: bool) -> None:
    """One by one in either order, and from the sum alone, the total is the same."""
    price = percentage(tiers=(Tier(Decimal(1000), percent=Decimal(25)), Tier(None, percent=Decimal("7.5"))))
    order = list(reversed(listed)) if backwards else listed
    one_by_one = rating.percentage_of(price, [settled(price, 1, str(value)) for value in order])
    usage = Usage("recovery", (), Decimal(len(listed)), value=sum(listed, Decimal(0)))
    (line,) = rating.rate_lines([Charge(price, usage)], "USD")
    assert sum(one_by_one.values()) == sum((step.amount for step in line.steps), Decimal(0))


@given(st.lists(st.tuples(st.decimals(-10, 500, places=2), st.sampled_from("abc")), min_size=1, max_size=30))
def test_every_outcome_keeps_to_its_bounds_and_lines_sum(listed: list[tuple[Decimal, str]]) -> None:
    outcomes = [settled(BOUNDED, 1, str(value), a=name) for value, name in listed]
    figures = rating.take_in_order([SHARE], outcomes)
    expected = sum(min(max(max(value, Decimal(0)) / 4, Decimal(2)), Decimal(50)) for value, _ in listed)
    assert sum(figures.charged.values()) == expected
    assert figures.charged == rating.percentage_of(BOUNDED, outcomes)
