"""What pages show of a price: figures of every model worked out by hand, and a curve that is rating itself."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.admin_curves import curve_of
from contracts.domain import money, rating
from contracts.domain.rating import Charge, Price, PriceInput, Share, TierInput, Usage
from contracts.domain.rating.curve import curve
from contracts.domain.rating.figures import billed_for, edges_of, figures_of, on_curve, quantities_of, reach
from contracts.prices import PriceFields
from tests.contracts.test_rating_models import any_price

TIERS = [TierInput(Decimal(10), unit_price=Decimal(2)), TierInput(None, unit_price=Decimal(1))]
FLAT_TIERS = [TierInput(Decimal(10), Decimal(2), Decimal(5)), TierInput(None, Decimal(1), Decimal(7))]
BY_VALUE = [TierInput(Decimal(100), percent=Decimal(10)), TierInput(None, percent=Decimal(5))]

# quantity: total, a unit on average, one more; of a percentage the latter two in percent.
BY_HAND: dict[str, tuple[dict[str, Any], dict[str, tuple[str, str, str]]]] = {
    "per unit": (
        {"unit_price": Decimal("0.015")},
        {"1": ("0.02", "0.02", "0.015"), "100": ("1.50", "0.015", "0.015"), "0.5": ("0.01", "0.02", "0.015")},
    ),
    "per unit, some included": (
        {"unit_price": Decimal(2), "included": Decimal(3)},
        {"2": ("0.00", "0", "0"), "3": ("0.00", "0", "2"), "4": ("2.00", "0.5", "2")},
    ),
    "per unit, at most": (
        {"unit_price": Decimal(2), "period_maximum": Decimal(9)},
        {"4": ("8.00", "2", "1"), "5": ("9.00", "1.8", "0"), "9": ("9.00", "1", "0")},
    ),
    "graduated": (
        {"model": "graduated", "tiers": TIERS},
        {"9": ("18.00", "2", "2"), "10": ("20.00", "2", "1"), "11": ("21.00", "1.909090909091", "1")},
    ),
    "graduated, flat fees": (
        {"model": "graduated", "tiers": FLAT_TIERS},
        {"1": ("7.00", "7", "2"), "10": ("25.00", "2.5", "8"), "11": ("33.00", "3", "1")},
    ),
    "volume": (
        {"model": "volume", "tiers": TIERS},
        {"10": ("20.00", "2", "-9"), "11": ("11.00", "1", "1"), "10.5": ("10.50", "1", "1")},
    ),
    "package": (
        {"model": "package", "unit_price": Decimal(20), "package_size": Decimal(100)},
        {"1": ("20.00", "20", "0"), "100": ("20.00", "0.2", "20"), "101": ("40.00", "0.39603960396", "0")},
    ),
    "percentage": (
        {"model": "percentage", "percent": Decimal("2.5")},
        {"100": ("2.50", "2.5", "2.5"), "0.5": ("0.01", "2", "2.5")},
    ),
    "percentage with bounds": (
        {"model": "percentage", "percent": Decimal(25), "minimum": Decimal(2), "maximum": Decimal(50)},
        {"4": ("2.00", "50", "0"), "8": ("2.00", "25", "25"), "200": ("50.00", "25", "0")}
    ),
    "percentage by tiers": (
        {"model": "percentage", "tiers": BY_VALUE},
        {"100": ("10.00", "10", "5"), "200": ("15.00", "7.5", "5")},
    ),
    "free": ({"model": "free"}, {"7": ("0.00", "0", "0")}),
}  # fmt: skip


def price_of(fields: dict[str, Any]) -> Price:
    given = PriceInput(**{"condition": "x", "model": "per_unit", **fields})
    assert rating.validate_prices([given]) == []
    return rating.price_of(given, 1)


@pytest.mark.parametrize(("fields", "rows"), BY_HAND.values(), ids=BY_HAND)
def test_figures_by_hand(fields: dict[str, Any], rows: dict[str, tuple[str, str, str]]) -> None:
    found = figures_of(price_of(fields), [Decimal(quantity) for quantity in rows], "USD")
    shown = [(f"{one.total:f}", one.each, one.following) for one in found]
    assert shown == [(total, Decimal(each), Decimal(following)) for total, each, following in rows.values()]


def test_totals_are_in_the_units_of_the_currency() -> None:
    price = price_of({"unit_price": Decimal("0.4")})
    totals = [str(billed_for(price, Decimal(4), currency)) for currency in ("JPY", "USD", "KWD")]
    assert totals == ["2", "1.60", "1.600"]


@given(any_price(), st.decimals("0.01", 600, places=2))
def test_the_curve_is_what_the_quantity_is_rated_at(price: Price, quantity: Decimal) -> None:
    usage = Usage("x", (), quantity, value=quantity)
    rated = rating.rate_period([Charge(price, usage, "v")], [Share("v", 31, 31)], "USD")
    total = billed_for(price, quantity, "USD")
    assert money.to_minor(total, "USD") == rated.total_minor
    drawn = on_curve(curve(price, Decimal(600)), quantity)
    assert money.to_minor(round(drawn, 20), "USD") == rated.total_minor


@given(any_price())
def test_the_table_has_every_edge_and_what_is_just_beyond(price: Price) -> None:
    up_to = reach([price])
    listed = quantities_of([price], up_to)
    edges = edges_of(price, up_to)
    assert set(edges[:10]) <= set(listed) and {edge + 1 for edge in edges[:10] if edge + 1 <= up_to} <= set(listed)
    assert listed == sorted(set(listed)) and listed[0] > 0
    flagged = {one.quantity for one in figures_of(price, listed, "USD") if one.edge}
    assert set(edges[:10]) <= flagged


# --- What is drawn ----------------------------------------------------------------------------------------------------

OLD = PriceFields("ticket", Decimal(2))
NEW = PriceFields("ticket", model="volume", tiers=tuple(TIERS))


def sets(chart: Any) -> dict[str, list[tuple[str, str]]]:
    drawn = json.loads(chart["data"])["datasets"]
    return {one["label"]: [(point["x"], point["y"]) for point in one["data"]] for one in drawn}


def test_both_versions_are_drawn_and_told() -> None:
    found = curve_of(NEW, "USD", OLD)
    assert (found.said, found.before_said) == ("all at 2.00 USD up to 10, at 1.00 USD above that", "2.00 USD")
    total, unit = (sets(chart) for chart in found.charts)
    assert total["as entered"] == [("0", "0"), ("10", "20"), ("10", "10"), ("15", "15")]
    assert total["in force"] == [("0", "0"), ("15", "30")]
    assert total["tier, package or bound ends"] == [("10", "0"), ("10", "30"), ("10", None)]
    assert unit["a further unit, as entered"] == [("0", "2"), ("10", "2"), ("10", "1"), ("15", "1")]
    assert unit["a unit on average, as entered"][-1] == ("15", "1")
    rows = {row.quantity: row for row in found.rows}
    assert (rows["10"].edge, rows["10"].difference) == (True, "0.00")
    assert (rows["11"].before, rows["11"].after, rows["11"].difference) == (
        {"total": "22.00", "each": "2.00", "following": "2.00"},
        {"total": "11.00", "each": "1.00", "following": "1.00"},
        "-11.00",
    )


def test_a_price_by_value_is_not_drawn_over_one_by_quantity() -> None:
    found = curve_of(PriceFields("ticket", model="percentage", percent=Decimal(5)), "USD", OLD)
    assert found.before_said == "2.00 USD" and not found.compared and list(sets(found.charts[0])) == ["as entered"]
    assert "5 %" in {row.after["each"] for row in found.rows if row.after}


def test_many_small_packages_end_the_picture_early() -> None:
    package = PriceFields("ticket", Decimal(1), "package", package_size=Decimal(1))
    tiers = (TierInput(Decimal(1_000_000), Decimal(1)), TierInput(None, Decimal(2)))
    found = curve_of(package, "USD", PriceFields("ticket", model="volume", tiers=tiers))
    assert found.missing == "" and found.rows[-1].quantity == "200"


def test_amounts_beyond_what_can_be_booked_are_said() -> None:
    found = curve_of(PriceFields("ticket", Decimal("9e15")), "USD")
    assert found.missing and not found.charts
