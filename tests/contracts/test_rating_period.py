"""A billing period: discount, maximum, minimum, cap, fees and commitments, one by one and together."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.domain import money, rating
from contracts.domain.rating import Charge, Commitment, Drawn, Fee, Line, Price, Rated, Share, Tier, Usage

ONE = Price("one", "x", unit_price=Decimal(1))
TWO = Price("two", "y", unit_price=Decimal(2))


def charge(price: Price, quantity: str | int, version: str = "v1", **dimensions: str) -> Charge:
    return Charge(price, Usage(price.condition, rating.dimensions_of(dimensions), Decimal(quantity)), version)


def share(version: str = "v1", days: int = 30, of_days: int = 30, **terms: Any) -> Share:
    """Terms as texts, so that the tables below are readable."""
    made = {name: Decimal(value) if isinstance(value, str) else value for name, value in terms.items()}
    return Share(version, days, of_days, **made)


def kinds(rated: Rated) -> list[tuple[str, int]]:
    return [(line.kind, line.amount_minor) for line in rated.lines]


def period(charges: list[Charge], *shares: Share, **more: Any) -> Rated:
    return rating.rate_period(charges, shares or (share(),), "USD", **more)


def fee(kind: str = "recurring", amount: str = "30", **more: Any) -> Fee:
    return Fee(more.pop("id", "base"), "Base fee", kind, Decimal(amount), **more)


# --- Discount ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "discount"),
    [
        ({"discount_percent": "10"}, -1000),
        ({"discount_percent": "100"}, -10000),
        ({"discount_percent": "0.005"}, -1),  # 0.5 cents, half up
        ({"discount_percent": "0.004"}, 0),
        ({"discount_amount": "30"}, -3000),
        ({"discount_amount": "30", "days": 10}, -1000),
        ({"discount_amount": "100.01"}, -10000),  # never below zero
    ],
)
def test_a_discount(terms: dict[str, Any], discount: int) -> None:
    rated = period([charge(ONE, 100)], share(**terms))
    assert kinds(rated) == [("usage", 10000)] + ([("discount", discount)] if discount else [])
    assert rated.total_minor == 10000 + discount


def test_a_discount_is_of_its_own_version_and_told_so() -> None:
    shares = share("v1", 15, discount_percent="10"), share("v2", 15, discount_percent="20")
    rated = period([charge(ONE, 100, "v1"), charge(ONE, 50, "v2")], *shares)
    discounts = [line for line in rated.lines if line.kind == "discount"]
    assert [(line.version, line.amount_minor, line.facts["reached_minor"]) for line in discounts] == [
        ("v1", -1000, 10000),
        ("v2", -1000, 5000),
    ]
    assert discounts[0].steps[0].kind == "percent" and discounts[0].steps[0].amount == 10


# --- Maximum per price ------------------------------------------------------------------------------------------------


def test_a_maximum_holds_for_its_price_after_the_discount() -> None:
    """100.00 less 10 % is 90.00, bounded by 80.00; the other price keeps its 200.00 less 10 %."""
    bounded = replace(ONE, period_maximum=Decimal(80))
    rated = period([charge(bounded, 100), charge(TWO, 100)], share(discount_percent="10"))
    assert kinds(rated) == [("usage", 10000), ("usage", 20000), ("discount", -3000), ("maximum", -1000)]
    line = rated.lines[3]
    assert line.price == bounded and dict(line.facts) == {"maximum_minor": 8000, "reached_minor": 9000}


def test_a_maximum_that_is_not_reached_makes_no_line() -> None:
    assert kinds(period([charge(replace(ONE, period_maximum=Decimal(80)), 80)])) == [("usage", 8000)]


def test_a_maximum_counts_over_dimension_values_and_versions() -> None:
    bounded = replace(ONE, period_maximum=Decimal(50))
    charges = [charge(bounded, 30, "v1", a="x"), charge(bounded, 30, "v1", a="y"), charge(bounded, 40, "v2")]
    assert kinds(period(charges, share("v1", 15), share("v2", 15)))[-1] == ("maximum", -5000)


def test_the_odd_cent_of_a_discount_does_not_go_by_the_order_of_lines() -> None:
    """1.00 and 1.00 less 0.01: whether the maximum of 0.99 of one is passed must not depend on who comes first."""
    one, two = replace(ONE, period_maximum=Decimal("0.99")), replace(TWO, unit_price=Decimal(1))
    charges = [charge(one, 1), charge(two, 1)]
    totals = {period(order, share(discount_amount="0.01")).total_minor for order in (charges, charges[::-1])}
    assert totals == {199}


# --- Minimum and cap --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (0, [("usage", 0), ("minimum", 5000)]),
        (49, [("usage", 4900), ("minimum", 100)]),
        (50, [("usage", 5000)]),
        (51, [("usage", 5100)]),
        (200, [("usage", 20000)]),
        (201, [("usage", 20100), ("cap", -100)]),
    ],
)
def test_minimum_and_cap_at_their_edges(used: int, expected: list[tuple[str, int]]) -> None:
    assert kinds(period([charge(ONE, used)], share(minimum="50", cap="200"))) == expected


def test_a_minimum_is_owed_where_nothing_happened() -> None:
    (line,) = period([], share(minimum="50")).lines
    assert (line.kind, line.amount_minor, line.version) == ("minimum", 5000, "v1")
    assert dict(line.facts) == {"minimum_minor": 5000, "reached_minor": 0}


def test_a_minimum_is_prorated_for_each_version_and_summed() -> None:
    """10 of 31 days at 100.00 are 32.258 -> 32.26; 21 of 31 at 200.00 are 135.483 -> 135.48; together 167.74."""
    (line,) = period([], share("v1", 10, 31, minimum="100"), share("v2", 21, 31, minimum="200")).lines
    assert line.amount_minor == 16774 and line.version is None
    assert [(step.quantity, step.of, step.unit_price, step.amount) for step in line.steps] == [
        (10, 31, 100, Decimal("32.26")),
        (21, 31, 200, Decimal("135.48")),
    ]


def test_a_cap_bounds_what_was_met_under_versions_that_have_one() -> None:
    """Half a month without a cap, then half a month with one of 100.00, that is 50.00."""
    charges = [charge(ONE, 300, "v1"), charge(ONE, 80, "v2")]
    rated = period(charges, share("v1", 15), share("v2", 15, cap="100"))
    assert kinds(rated) == [("usage", 30000), ("usage", 8000), ("cap", -3000)]


def test_a_cap_of_a_version_that_is_over_bounds_nothing() -> None:
    """What it priced and settled late is not free of charge for that."""
    assert kinds(period([charge(ONE, 80, "v0")], share("v0", 0, cap="100"), share("v1"))) == [("usage", 8000)]


def test_a_cap_never_takes_a_period_below_its_minimum() -> None:
    """15 days of a cap of 100.00 are 50.00, and 15 of a minimum of 160.00 are 80.00: 200.00 come down to 80.00 only."""
    shares = share("v1", 15, cap="100", minimum="0"), share("v2", 15, minimum="160")
    assert kinds(period([charge(ONE, 200, "v1")], *shares)) == [("usage", 20000), ("cap", -12000)]


def test_a_cap_of_zero_charges_nothing() -> None:
    assert period([charge(ONE, 200)], share(cap="0")).total_minor == 0


# --- Fees -------------------------------------------------------------------------------------------------------------


def test_fees_stand_outside_discount_minimum_and_cap() -> None:
    terms = {"discount_percent": "50", "minimum": "60", "cap": "60", "fees": (fee(),)}
    assert kinds(period([charge(ONE, 100)], share(**terms))) == [
        ("usage", 10000),
        ("discount", -5000),
        ("minimum", 1000),
        ("fee", 3000),
    ]


def test_a_fee_that_counts_stands_inside() -> None:
    terms = {"discount_percent": "50", "minimum": "60", "fees": (fee(counts=True),)}
    assert kinds(period([charge(ONE, 100)], share(**terms))) == [("usage", 10000), ("fee", 3000), ("discount", -6500)]


@pytest.mark.parametrize(
    ("one", "days", "minor"),
    [
        (fee(), 30, 3000),
        (fee(), 10, 1000),
        (fee(), 1, 100),
        (fee(timing="advance"), 10, 1000),
        (fee(amount="0.15"), 10, 5),
        (fee(amount="0.10"), 15, 5),
        (fee(amount="0.01"), 15, 1),  # half a cent, half up
        (fee("seats", "12.50", seats=Decimal(4)), 30, 5000),
        (fee("seats", "12.50", seats=Decimal(4)), 7, 1167),  # 50.00 x 7 / 30 = 11.666...
        (fee("one_off", "99"), 10, 9900),
    ],
)
def test_what_a_fee_comes_to(one: Fee, days: int, minor: int) -> None:
    assert kinds(period([], share(days=days, fees=(one,)), first={"base"})) == [("fee", minor)]


def test_a_one_off_fee_is_charged_once() -> None:
    once = fee("one_off")
    shares = share("v1", 15, fees=(once,)), share("v2", 15, fees=(once,))
    assert kinds(period([], *shares, first={"base"})) == [("fee", 3000)]
    assert kinds(period([], *shares)) == []


def test_a_version_that_is_over_has_no_fees() -> None:
    assert kinds(period([charge(ONE, 1, "v0")], share("v0", 0, fees=(fee(),)), share("v1"))) == [("usage", 100)]


def test_a_trial_charges_nothing() -> None:
    terms = {"minimum": "50", "cap": "60", "discount_percent": "10", "fees": (fee(),)}
    rated = period(
        [charge(ONE, 100, "trial"), charge(ONE, 5)], share("trial", 15, trial=True, **terms), share("v1", 15)
    )
    assert kinds(rated) == [("usage", 0), ("usage", 500)]
    assert rated.lines[0].usage and rated.lines[0].usage.quantity == 100


# --- Commitments ------------------------------------------------------------------------------------------------------

ADVANCE, ARREARS = Commitment("year", Decimal(100), "advance"), Commitment("year", Decimal(100), "arrears")


def test_a_commitment_in_advance_is_billed_once_and_drawn_down() -> None:
    first = period([charge(ONE, 70)], commitments=[ADVANCE], first={"year"})
    assert kinds(first) == [("usage", 7000), ("drawdown", -7000), ("commitment", 10000)]
    assert first.drawn == Drawn({"year": 7000})
    second = period([charge(ONE, 70)], commitments=[ADVANCE], drawn=first.drawn)
    assert kinds(second) == [("usage", 7000), ("drawdown", -3000)]
    assert dict(second.lines[1].facts) == {"amount_minor": 10000, "before_minor": 7000, "left_minor": 0}
    third = period([charge(ONE, 70)], commitments=[ADVANCE], drawn=second.drawn, last={"year"})
    assert kinds(third) == [("usage", 7000)]


def test_what_is_left_of_a_commitment_in_advance_expires() -> None:
    assert kinds(period([charge(ONE, 1)], commitments=[ADVANCE], last={"year"})) == [("usage", 100), ("drawdown", -100)]


def test_a_commitment_in_arrears_is_trued_up_at_its_end() -> None:
    first = period([charge(ONE, 30)], commitments=[ARREARS], first={"year"})
    assert kinds(first) == [("usage", 3000)] and first.drawn == Drawn({"year": 3000})
    assert kinds(period([charge(ONE, 30)], commitments=[ARREARS], drawn=first.drawn, last={"year"})) == [
        ("usage", 3000),
        ("true_up", 4000),
    ]
    assert kinds(period([charge(ONE, 80)], commitments=[ARREARS], drawn=first.drawn, last={"year"})) == [
        ("usage", 8000)
    ]


def test_fees_do_not_draw_on_a_commitment_unless_they_count() -> None:
    rated = period([], share(fees=(fee(), fee(id="counted", counts=True))), commitments=[ADVANCE])
    assert kinds(rated) == [("fee", 3000), ("drawdown", -3000), ("fee", 3000)]


def test_usage_counts_for_one_commitment_only() -> None:
    second = replace(ADVANCE, id="top-up", amount=Decimal(50))
    rated = period([charge(ONE, 120)], commitments=[ADVANCE, second])
    assert rated.drawn == Drawn({"year": 10000, "top-up": 2000})
    assert rated.total_minor == 0


# --- What is no period ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charges", "shares", "more", "message"),
    [
        ([charge(ONE, 1, "other")], [share()], {}, "has no share"),
        ([], [share(), share()], {}, "two shares"),
        ([charge(ONE, 1)], [share(discount_percent="1", discount_amount="1")], {}, "two discounts"),
        ([], [share(days=31, minimum="1")], {}, "no part of a period"),
        ([], [share(fees=(fee("rent"),))], {}, "unknown kind"),
        ([], [share()], {"commitments": [replace(ADVANCE, payment="never")]}, "unknown payment"),
        ([], [share()], {"commitments": [ADVANCE], "drawn": Drawn({"year": 10001})}, "are drawn"),
    ],
)
def test_terms_that_contradict_themselves_make_no_money(
    charges: list[Charge], shares: list[Share], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        period(charges, *shares, **more)


# --- Properties -------------------------------------------------------------------------------------------------------

amounts = st.decimals(min_value=0, max_value=5000, places=2, allow_nan=False)
currencies = st.sampled_from(["JPY", "USD", "KWD"])


@st.composite
def shares_of(draw: st.DrawFn) -> list[Share]:
    """One to three versions that fill a month, the cap of each at or above its minimum."""
    cuts = sorted(draw(st.lists(st.integers(0, 31), max_size=2)))
    shares = []
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, 31], strict=True)):
        minimum = draw(st.none() | amounts)
        cap = draw(st.none() | amounts.map(lambda extra, base=minimum: extra + (base or 0)))
        percent, fixed = draw(st.sampled_from([(None, None), ("p", None), (None, "f")]))
        shares.append(
            Share(
                f"v{number}",
                end - start,
                31,
                discount_percent=draw(st.decimals(0, 100, places=2)) if percent else None,
                discount_amount=draw(amounts) if fixed else None,
                minimum=minimum,
                cap=cap,
                fees=tuple(draw(st.lists(st.builds(any_fee, st.integers(0, 3), amounts, st.booleans()), max_size=2))),
            )
        )
    return shares


def any_fee(number: int, amount: Decimal, counts: bool) -> Fee:
    kind = ("recurring", "one_off", "seats", "recurring")[number]
    return Fee(
        f"{number}", "Fee", kind, amount, counts=counts, seats=Decimal(number) if kind == "seats" else Decimal(1)
    )


TIERS = (
    Tier(Decimal(10), Decimal("3.333"), Decimal(7)),
    Tier(Decimal(100), Decimal("1.5")),
    Tier(None, Decimal("0.1")),
)
PRICES = [
    Price("a", "x", unit_price=Decimal("0.0149")),
    Price("b", "x", unit_price=Decimal("12.345"), period_maximum=Decimal(100)),
    Price("c", "x", model="graduated", tiers=TIERS, included=Decimal(5)),
    Price("d", "x", model="volume", tiers=TIERS, period_maximum=Decimal("33.33")),
    Price("e", "x", model="package", unit_price=Decimal("9.99"), package_size=Decimal(12)),
    Price("f", "x", model="free"),
]


@st.composite
def periods(draw: st.DrawFn) -> tuple[list[Charge], list[Share], str]:
    shares = draw(shares_of())
    listed = draw(
        st.lists(
            st.tuples(
                st.sampled_from(PRICES),
                st.decimals(0, 500, places=3),
                st.sampled_from("pqr"),
                st.sampled_from([one.version for one in shares]),
            ),
            max_size=12,
        )
    )
    charges = [charge(price, str(quantity), str(version), a=value) for price, quantity, value, version in listed]
    return charges, shares, draw(currencies)


def part(rated: Rated) -> int:
    """The period's usage part: everything that discount, minimum and cap are of."""
    return sum(line.amount_minor for line in rated.lines if line.kind not in ("commitment",) and inside(line))


def inside(line: Line) -> bool:
    return line.kind != "fee" or bool(line.fee and line.fee.counts)


def prorated(shares: list[Share], name: str, currency: str) -> int:
    return sum(
        money.prorate(getattr(one, name), one.days, one.of_days, currency)
        for one in shares
        if getattr(one, name) is not None
    )


@given(periods())
def test_what_holds_of_every_period(made: tuple[list[Charge], list[Share], str]) -> None:
    charges, shares, currency = made
    rated = rating.rate_period(charges, shares, currency, first={"1"})
    assert rated.total_minor == sum(line.amount_minor for line in rated.lines)
    assert part(rated) >= prorated(shares, "minimum", currency) >= 0
    in_force = [one for one in shares if one.days]
    if all(one.cap is not None for one in shares):
        assert part(rated) <= prorated(in_force, "cap", currency)
    order = [line.kind for line in rated.lines if inside(line)]
    assert order == sorted(order, key=["usage", "fee", "discount", "maximum", "minimum", "cap"].index)
    for one in shares:
        lines = [line for line in rated.lines if line.version == one.version and inside(line)]
        gross = sum(line.amount_minor for line in lines if line.kind in ("usage", "fee"))
        assert gross + sum(line.amount_minor for line in lines if line.kind == "discount") >= 0


@given(periods(), st.randoms(use_true_random=False))
def test_neither_order_nor_grouping_changes_an_amount(made: tuple[list[Charge], list[Share], str], random: Any) -> None:
    """Shuffled, and with each charge in two pieces, everything comes to the same."""
    charges, shares, currency = made
    pieces = []
    for one in charges:
        half = (one.usage.quantity / 2).quantize(Decimal("0.001"))
        for quantity in (half, one.usage.quantity - half):
            pieces.append(replace(one, usage=replace(one.usage, quantity=quantity)))
    random.shuffle(pieces)
    first = rating.rate_period(charges, shares, currency)
    second = rating.rate_period(pieces, shares, currency)
    assert second.total_minor == first.total_minor

    def told(rated: Rated) -> list[Any]:
        return sorted(
            (line.kind, str(line.version), line.price and line.price.id, str(line.usage), line.amount_minor)
            for line in rated.lines
            if line.kind != "fee"
        )

    assert [row[:3] + row[4:] for row in told(first)] == [row[:3] + row[4:] for row in told(second)]


@given(st.lists(periods(), min_size=1, max_size=6), amounts, st.sampled_from(["advance", "arrears"]), currencies)
def test_a_commitment_carried_over_periods(
    made: list[tuple[list[Charge], list[Share], str]], amount: Decimal, payment: str, currency: str
) -> None:
    """Drawn is never above the amount; what usage pays beyond it is exactly what the commitment does not cover."""
    commitment = Commitment("c", amount, payment)
    whole = money.to_minor(amount, currency)
    drawn, sums, usage, paid = Drawn(), {"drawdown": 0, "true_up": 0, "commitment": 0}, 0, 0
    for number, (charges, shares, _) in enumerate(made):
        without = rating.rate_period(charges, shares, currency)
        rated = rating.rate_period(
            charges,
            shares,
            currency,
            commitments=[commitment],
            drawn=drawn,
            first={"c"} if number == 0 else frozenset(),
            last={"c"} if number == len(made) - 1 else frozenset(),
        )
        assert drawn.minor.get("c", 0) <= rated.drawn.minor["c"] <= whole
        drawn = rated.drawn
        usage += part(without)
        paid += rated.total_minor - (without.total_minor - part(without))
        for line in rated.lines:
            if line.kind in sums:
                sums[line.kind] += line.amount_minor
    assert drawn.minor["c"] == min(usage, whole)
    assert paid == max(usage, whole), "the customer pays the commitment, or the usage where it is more"
    if payment == "advance":
        assert sums == {"drawdown": -min(usage, whole), "true_up": 0, "commitment": whole}
    else:
        assert sums == {"drawdown": 0, "true_up": whole - min(usage, whole), "commitment": 0}
