"""Prices and terms that are refused when saved: each with its place, a code and a sentence."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access import error_codes
from contracts import refusals
from contracts.domain import rating
from contracts.domain.rating import (
    CommitmentInput,
    DiscountInput,
    FeeInput,
    PriceInput,
    TermsInput,
    TierInput,
    Usage,
    price_of,
)


def tiers(*rows: tuple[str | None, str]) -> list[TierInput]:
    return [TierInput(None if edge is None else Decimal(edge), Decimal(unit_price)) for edge, unit_price in rows]


def wanted(model: str, **fields: Any) -> PriceInput:
    made = {
        name: Decimal(value) if isinstance(value, str) and name != "pool" else value for name, value in fields.items()
    }
    return PriceInput("x", model=model, **made)


GRADUATED = tiers(("100", "1"), ("1000", "0.5"), (None, "0.25"))
GOOD: dict[str, PriceInput] = {
    "per_unit": wanted("per_unit", unit_price="0.99", included="50", period_maximum="1000"),
    "per_unit of a pool": wanted("per_unit", unit_price="0.99", pool="contacts"),
    "graduated": wanted("graduated", tiers=GRADUATED, included="50"),
    "one tier": wanted("graduated", tiers=tiers((None, "1"))),
    "a flat fee alone": wanted(
        "volume", tiers=[TierInput(Decimal(5), flat_fee=Decimal(3)), TierInput(None, Decimal(1))]
    ),
    "volume": wanted("volume", tiers=GRADUATED),
    "package": wanted("package", unit_price="20", package_size="100", period_maximum="5000"),
    "percentage": wanted("percentage", percent="25", minimum="2", maximum="50", period_maximum="10000"),
    "percentage, one amount": wanted("percentage", percent="25", minimum="2", maximum="2"),
    "percentage by tiers": wanted(
        "percentage", tiers=[TierInput(Decimal(1000), percent=Decimal(0)), TierInput(None, percent=Decimal(10))]
    ),
    "free": wanted("free"),
}


@pytest.mark.parametrize("price", GOOD.values(), ids=GOOD)
def test_prices_that_are_accepted_can_be_rated(price: PriceInput) -> None:
    assert rating.validate_prices([price], currency="USD") == []
    charged = Decimal(20) if rating.one_by_one(price_of(price, 1)) else None
    usage = Usage("x", (), Decimal(1500), value=Decimal(80), charged=charged)
    (line,) = rating.rate([price_of(price, 1)], [usage], "USD").lines
    assert line.amount_minor >= 0


def but(name: str, **fields: Any) -> PriceInput:
    """A good price with some fields different."""
    return replace(
        GOOD[name], **{k: Decimal(v) if isinstance(v, str) and k != "pool" else v for k, v in fields.items()}
    )


REFUSED: dict[str, tuple[PriceInput, list[tuple[str, str]]]] = {
    "no unit price": (wanted("per_unit"), [("unit_price", "required")]),
    "no tiers": (wanted("graduated"), [("tiers", "required")]),
    "an empty list of tiers": (wanted("volume", tiers=[]), [("tiers", "required")]),
    "no package size": (wanted("package", unit_price="1"), [("package_size", "required")]),
    "a package of nothing": (but("package", package_size="0"), [("package_size", "not_positive")]),
    "neither percent nor tiers": (wanted("percentage"), [("percent", "required")]),
    "percent and tiers": (but("percentage by tiers", percent="5"), [("percent", "both_given")]),
    "a floor above the ceiling": (but("percentage", minimum="50.01"), [("minimum", "minimum_above_maximum")]),
    "tiers of a per_unit price": (but("per_unit", tiers=GRADUATED), [("tiers", "not_used")]),
    "a unit price beside tiers": (but("graduated", unit_price="1"), [("unit_price", "not_used")]),
    "a package size of a per_unit price": (but("per_unit", package_size="1"), [("package_size", "not_used")]),
    "percent of a per_unit price": (but("per_unit", percent="1"), [("percent", "not_used")]),
    "bounds of a per_unit price": (
        but("per_unit", minimum="1", maximum="2"),
        [("minimum", "not_used"), ("maximum", "not_used")],
    ),
    "an allowance of a percentage": (but("percentage", included="1"), [("included", "not_used")]),
    "a pool of a percentage": (but("percentage", pool="a"), [("pool", "not_used")]),
    "a price of what is free": (but("free", unit_price="1"), [("unit_price", "not_used")]),
    "a maximum of what is free": (but("free", period_maximum="1"), [("period_maximum", "not_used")]),
    "an allowance and a pool": (but("per_unit", pool="a"), [("pool", "both_given")]),
    "percent in a tier of units": (
        wanted("graduated", tiers=[TierInput(None, Decimal(1), percent=Decimal(1))]),
        [("tiers[0].percent", "not_used")],
    ),
    "a flat fee in a tier of percent": (
        wanted("percentage", tiers=[TierInput(None, flat_fee=Decimal(1), percent=Decimal(1))]),
        [("tiers[0].flat_fee", "not_used")],
    ),
    "a tier that says nothing": (wanted("volume", tiers=[TierInput()]), [("tiers[0].unit_price", "required")]),
    "a gap above the last tier": (wanted("graduated", tiers=GRADUATED[:2]), [("tiers[1].up_to", "tiers_gap")]),
    "an open tier in the middle": (
        wanted("graduated", tiers=tiers((None, "1"), ("100", "1"), (None, "1"))),
        [("tiers[0].up_to", "tiers_overlap")],
    ),
    "edges that fall": (
        wanted("graduated", tiers=tiers(("100", "1"), ("50", "1"), (None, "1"))),
        [("tiers[1].up_to", "tiers_overlap")],
    ),
    "edges that are equal": (
        wanted("volume", tiers=tiers(("100", "1"), ("100.00", "1"), (None, "1"))),
        [("tiers[1].up_to", "tiers_overlap")],
    ),
    "an edge at zero": (wanted("volume", tiers=tiers(("0", "1"), (None, "1"))), [("tiers[0].up_to", "not_positive")]),
    "an edge below zero": (wanted("volume", tiers=tiers(("-5", "1"), (None, "1"))), [("tiers[0].up_to", "negative")]),
    "an edge too fine": (
        wanted("volume", tiers=tiers(("1.0000000000001", "1"), (None, "1"))),
        [("tiers[0].up_to", "too_many_decimals")],
    ),
    "a negative price in a tier": (
        wanted("volume", tiers=tiers((None, "-1"))),
        [("tiers[0].unit_price", "negative_price")],
    ),
    "a negative flat fee": (
        wanted("volume", tiers=[TierInput(None, flat_fee=Decimal(-1))]),
        [("tiers[0].flat_fee", "negative")],
    ),
    "too many tiers": (
        wanted("graduated", tiers=tiers(*((str(n + 1), "1") for n in range(100)), (None, "1"))),
        [("tiers", "too_many_tiers")],
    ),
    "a negative price": (but("per_unit", unit_price="-0.01"), [("unit_price", "negative_price")]),
    "a float": (but("per_unit", unit_price=0.5), [("unit_price", "invalid")]),
    "no number": (but("per_unit", included="NaN"), [("included", "invalid")]),
    "a negative percentage": (but("percentage", percent="-1"), [("percent", "negative")]),
    "a percentage beyond reason": (but("percentage", percent="1000.01"), [("percent", "percent_too_large")]),
    "a negative allowance": (but("per_unit", included="-1"), [("included", "negative")]),
    "a maximum finer than the currency": (
        but("per_unit", period_maximum="0.001"),
        [("period_maximum", "too_many_decimals")],
    ),
    "an unknown model": (wanted("guess", unit_price="1"), [("model", "unknown_model")]),
}


@pytest.mark.parametrize(("price", "problems"), REFUSED.values(), ids=REFUSED)
def test_prices_that_are_refused(price: PriceInput, problems: list[tuple[str, str]]) -> None:
    found = rating.validate_prices([wanted("free"), replace(price, condition="y")], currency="USD")
    assert [(one.path, one.code) for one in found] == [(f"prices[1].{field}", code) for field, code in problems]
    assert all(one.message.endswith(".") for one in found)
    assert all(one.code in error_codes.CODES for one in found), "every code is explained to the caller"


def terms(**more: Any) -> TermsInput:
    return TermsInput(more.pop("currency", "USD"), **more)


def test_good_terms() -> None:
    full = terms(
        card_currency="USD",
        card_pools={"calls"},
        prices=[GOOD["per_unit of a pool"]],
        discount=DiscountInput(percent=Decimal(100)),
        minimum=Decimal("50.00"),
        cap=Decimal(50),
        fees=[
            FeeInput("Base", "recurring", Decimal("49.99"), timing="advance", counts=True),
            FeeInput("Setup", "one_off", Decimal(500)),
            FeeInput("Seats", "seats", Decimal("0.3333"), seats=Decimal(0)),
        ],
        pools={"contacts": Decimal(100), "calls": Decimal("0.5")},
        commitments=[CommitmentInput(Decimal(12000), "advance"), CommitmentInput(Decimal(1), "arrears")],
    )
    assert rating.validate_terms(full) == []
    assert rating.validate_terms(terms()) == []


START = datetime(2026, 1, 1, tzinfo=UTC)
REFUSED_TERMS: dict[str, tuple[TermsInput, list[tuple[str, str]]]] = {
    "another currency": (terms(card_currency="EUR"), [("currency", "currency_mismatch")]),
    "a discount of nothing": (terms(discount=DiscountInput()), [("discount", "required")]),
    "a discount of both": (terms(discount=DiscountInput(Decimal(1), Decimal(1))), [("discount", "both_given")]),
    "a discount of 0 %": (terms(discount=DiscountInput(Decimal(0))), [("discount.percent", "not_positive")]),
    "a discount above 100 %": (
        terms(discount=DiscountInput(Decimal("100.1"))),
        [("discount.percent", "percent_too_large")],
    ),
    "a discount finer than a cent": (
        terms(discount=DiscountInput(amount=Decimal("0.001"))),
        [("discount.amount", "too_many_decimals")],
    ),
    "a minimum above the cap": (terms(minimum=Decimal("50.01"), cap=Decimal(50)), [("minimum", "minimum_above_cap")]),
    "a minimum of nothing": (terms(minimum=Decimal(0)), [("minimum", "not_positive")]),
    "a minimum finer than a yen": (terms(currency="JPY", minimum=Decimal("0.5")), [("minimum", "too_many_decimals")]),
    "a negative cap": (terms(cap=Decimal(-1)), [("cap", "negative")]),
    "a fee without a name": (terms(fees=[FeeInput(" ", "one_off", Decimal(1))]), [("fees[0].name", "required")]),
    "two fees of one name": (
        terms(fees=[FeeInput("a", "one_off", Decimal(1)), FeeInput("a", "recurring", Decimal(1))]),
        [("fees[1].name", "duplicate_name")],
    ),
    "a fee of no kind": (terms(fees=[FeeInput("a", "rent", Decimal(1))]), [("fees[0].kind", "unknown_kind")]),
    "a negative fee": (terms(fees=[FeeInput("a", "one_off", Decimal(-1))]), [("fees[0].amount", "negative")]),
    "a fee finer than a cent": (
        terms(fees=[FeeInput("a", "recurring", Decimal("0.001"))]),
        [("fees[0].amount", "too_many_decimals")],
    ),
    "seats without a number": (terms(fees=[FeeInput("a", "seats", Decimal(1))]), [("fees[0].seats", "required")]),
    "seats of a recurring fee": (
        terms(fees=[FeeInput("a", "recurring", Decimal(1), seats=Decimal(1))]),
        [("fees[0].seats", "not_used")],
    ),
    "a timing of a one-off fee": (
        terms(fees=[FeeInput("a", "one_off", Decimal(1), timing="advance")]),
        [("fees[0].timing", "not_used")],
    ),
    "an unknown timing": (
        terms(fees=[FeeInput("a", "recurring", Decimal(1), timing="later")]),
        [("fees[0].timing", "unknown_kind")],
    ),
    "a pool that is not defined": (terms(prices=[GOOD["per_unit of a pool"]]), [("prices[0].pool", "unknown_pool")]),
    "a pool of the card that is not defined": (terms(card_pools=["calls"]), [("pools", "unknown_pool")]),
    "a pool that nothing draws on": (terms(pools={"calls": Decimal(1)}), [("pools.calls", "unused_pool")]),
    "an empty pool": (
        terms(card_pools=["calls"], pools={"calls": Decimal(0)}),
        [("pools.calls", "not_positive")],
    ),
    "a commitment to nothing": (
        terms(commitments=[CommitmentInput(Decimal(0), "advance")]),
        [("commitments[0].amount", "not_positive")],
    ),
    "a commitment without a payment": (
        terms(commitments=[CommitmentInput(Decimal(1), "")]),
        [("commitments[0].payment", "unknown_kind")],
    ),
    "a commitment that ends as it starts": (
        terms(commitments=[CommitmentInput(Decimal(1), "advance", START, START)]),
        [("commitments[0].ends_at", "ends_before_start")],
    ),
    "a price of its own": (
        terms(prices=[wanted("per_unit", unit_price="-1")]),
        [("prices[0].unit_price", "negative_price")],
    ),
    "several at once": (
        terms(discount=DiscountInput(), cap=Decimal("NaN"), minimum=Decimal(1)),
        [("discount", "required"), ("cap", "invalid")],
    ),
}


@pytest.mark.parametrize(("given", "problems"), REFUSED_TERMS.values(), ids=REFUSED_TERMS)
def test_terms_that_are_refused(given: TermsInput, problems: list[tuple[str, str]]) -> None:
    assert [(one.path, one.code) for one in rating.validate_terms(given)] == problems
    nested = rating.validate_terms(given, "phases[1]")
    assert [one.path for one in nested] == [f"phases[1].{path}" for path, _ in problems]
    assert all(one.code in error_codes.CODES and one.message.endswith(".") for one in nested)


def test_the_codes_are_registered_where_refusals_are_made() -> None:
    assert refusals.rating.CODES.items() <= error_codes.CODES.items()


edges = st.lists(st.none() | st.decimals(-2, 10, places=1), max_size=5)


@given(edges, st.decimals(0, 30, places=1))
def test_accepted_tiers_price_every_quantity_once(listed: list[Decimal | None], quantity: Decimal) -> None:
    """Tiers that pass the check hold every quantity exactly once."""
    price = PriceInput("x", model="graduated", tiers=[TierInput(edge, Decimal(1)) for edge in listed])
    spans = list(zip([Decimal(0), *listed], listed, strict=False))
    sound = (
        bool(listed)
        and listed[-1] is None
        and all(upper is not None and lower is not None and lower < upper for lower, upper in spans[:-1])
    )
    assert (rating.validate_prices([price]) == []) == sound
    if sound:
        (line,) = rating.rate([price_of(price, 1)], [Usage("x", (), quantity)], "USD").lines
        assert line.amount_minor == quantity * 100
