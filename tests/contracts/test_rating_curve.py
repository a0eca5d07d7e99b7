"""Curves of prices and their pictures: they say what rating says."""

import itertools
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.domain import rating
from contracts.domain.rating import Price, Settled, Usage
from contracts.domain.rating.curve import MAX_PIECES, Piece, curve, shown_up_to
from contracts.domain.rating.models import MODELS
from contracts.domain.rating.plot import svg, ticks
from tests.contracts.test_rating_models import PRICES, any_price

CURVES = {**PRICES, "dear": Price(1, "x", unit_price=Decimal("12.50"), period_maximum=Decimal(100))}


def exact(price: Price, quantity: Decimal) -> Decimal:
    return MODELS[price.model](price, [Usage("x", (), quantity, value=quantity)]).exact


@given(any_price(), st.decimals(0, 1, places=3))
def test_a_curve_says_what_rating_says(price: Price, part: Decimal) -> None:
    pieces = curve(price, Decimal(600))
    assert pieces[0].start == 0 and pieces[-1].end == 600
    for piece in pieces:
        assert piece.high == exact(price, piece.end)
        inside = piece.start + part * (piece.end - piece.start)
        if part > 0:
            assert piece.low + part * (piece.high - piece.low) == exact(price, inside)


@pytest.mark.parametrize("price", CURVES.values(), ids=CURVES)
def test_a_curve_shows_every_edge(price: Price) -> None:
    pieces = curve(price)
    assert all(one.end == after.start for one, after in itertools.pairwise(pieces))
    edges = {price.included + tier.up_to for tier in price.tiers if tier.up_to is not None}
    assert edges <= {piece.end for piece in pieces} and max(edges, default=Decimal(0)) < shown_up_to(price)


def test_a_jump_is_where_pieces_do_not_meet() -> None:
    volume = curve(PRICES["volume"])
    assert volume[:2] == (
        Piece(Decimal(0), Decimal(100), Decimal(5), Decimal(105)),
        Piece(Decimal(100), Decimal(1000), Decimal(60), Decimal(510)),
    )


BOUNDED = Price("p", "x", model="percentage", percent=Decimal(25), minimum=Decimal(2), maximum=Decimal(50))


def test_bounds_of_an_outcome_and_of_a_period_cut_the_curve() -> None:
    assert curve(BOUNDED) == (
        Piece(Decimal(0), Decimal(8), Decimal(2), Decimal(2)),
        Piece(Decimal(8), Decimal(200), Decimal(2), Decimal(50)),
        Piece(Decimal(200), Decimal(300), Decimal(50), Decimal(50)),
    )
    assert curve(CURVES["dear"])[-1] == Piece(Decimal(8), Decimal(12), Decimal(100), Decimal(100))


@given(st.decimals(0, 300, places=2))
def test_a_bounded_curve_is_that_of_one_outcome(value: Decimal) -> None:
    (charged,) = rating.percentage_of(BOUNDED, [Settled(BOUNDED, (), Decimal(1), value)]).values()
    piece = next(one for one in curve(BOUNDED) if value <= one.end)
    slope = (piece.high - piece.low) / (piece.end - piece.start)
    assert piece.low + slope * (value - piece.start) == charged


def test_too_many_packages_are_no_curve() -> None:
    with pytest.raises(ValueError, match="too many"):
        curve(PRICES["package of 2.5"], Decimal("2.5") * (MAX_PIECES + 2))


@pytest.mark.parametrize("price", CURVES.values(), ids=CURVES)
def test_a_picture_is_well_formed_and_stays_in_its_frame(price: Price) -> None:
    root = ElementTree.fromstring(svg("A & B <c>", {"one": curve(price)}, across="units", up="USD"))
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title") == "A & B <c>"
    dots = [(one.attrib["cx"], one.attrib["cy"]) for one in root.iter(f"{space}circle")]
    assert all(76 <= Decimal(x) <= 616 and 40 <= Decimal(y) <= 248 for x, y in dots)
    jumps = sum(one.high != after.low for one, after in zip(curve(price), curve(price)[1:], strict=False))
    assert len(dots) == 2 * jumps


@given(st.decimals(min_value="0.001", max_value=10**12, places=3))
def test_ticks_are_few_and_round(most: Decimal) -> None:
    found = ticks(most)
    assert found[0] == 0 and found[-1] <= most and 4 <= len(found) <= 10
    assert len((found[1] - found[0]).normalize().as_tuple().digits) == 1
