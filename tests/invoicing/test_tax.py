"""The arithmetic of tax: by hand, and what must hold of any amount."""

from decimal import Decimal, Inexact
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.domain import money
from invoicing.domain.tax import Rate, Taxed, credited, taxed
from invoicing.taxes import recorded, to_json

HUGE = money.MAX_MINOR


def on_top(*percents: str) -> tuple[Rate, ...]:
    return tuple(Rate(f"r{index}", "Tax", Decimal(percent)) for index, percent in enumerate(percents))


def contained(*percents: str) -> tuple[Rate, ...]:
    return tuple(Rate(one.key, one.name, one.percent, inclusive=True) for one in on_top(*percents))


REVERSE = (Rate("rc", "VAT", Decimal(0), reverse_charge=True, note="The recipient owes the tax."),)

TABLE = [
    # rates, currency, lines, the tax of each rate, what is paid
    ((), "EUR", 12345, (), 12345),
    (on_top("19"), "EUR", 10000, (1900,), 11900),
    (on_top("19"), "EUR", 0, (0,), 0),
    (on_top("19"), "EUR", 1, (0,), 1),  # 0.19
    (on_top("19"), "EUR", 2, (0,), 2),  # 0.38
    (on_top("19"), "EUR", 3, (1,), 4),  # 0.57
    (on_top("50"), "EUR", 1, (1,), 2),  # 0.5: the half goes up
    (on_top("50"), "EUR", -1, (-1,), -2),  # and away from zero below it
    (on_top("19"), "EUR", -10000, (-1900,), -11900),
    (on_top("7.5"), "EUR", 20, (2,), 22),  # 1.5
    (on_top("7.5"), "EUR", 19, (1,), 20),  # 1.425
    (on_top("0"), "EUR", 10000, (0,), 10000),
    (on_top("100"), "EUR", 10000, (10000,), 20000),
    (on_top("0.000000000001"), "EUR", 10**16, (100,), 10**16 + 100),
    (REVERSE, "EUR", 10000, (0,), 10000),
    # Each rate by itself, not one on the other: 5 % and 9.975 % of 200.00 and of 199.99.
    (on_top("5", "9.975"), "CAD", 20000, (1000, 1995), 22995),
    (on_top("5", "9.975"), "CAD", 19999, (1000, 1995), 22994),  # 999.95 and 1994.90025
    (on_top("5", "9.975"), "CAD", 10, (1, 1), 12),  # 0.5 and 0.9975
    # Contained: 20 of 120, 19 of 119.
    (contained("20"), "GBP", 12000, (2000,), 12000),
    (contained("19"), "EUR", 11900, (1900,), 11900),
    (contained("19"), "EUR", 10000, (1597,), 10000),  # 1596.63...
    (contained("100"), "EUR", 1, (1,), 1),  # 0.5
    (contained("100"), "EUR", -1, (-1,), -1),
    (contained("20"), "GBP", 3, (1,), 3),  # 0.5
    (contained("20"), "GBP", 0, (0,), 0),
    (contained("20"), "GBP", -12000, (-2000,), -12000),
    # 5 and 9.975 of 114.975.
    (contained("5", "9.975"), "CAD", 11498, (500, 998), 11498),  # 500.02... and 997.54...
    (contained("5", "9.975"), "CAD", 114975, (5000, 9975), 114975),
    # Decimals are the currency's.
    (on_top("10"), "JPY", 1234, (123,), 1357),
    (on_top("10"), "JPY", 1235, (124,), 1359),  # 123.5
    (contained("10"), "JPY", 1100, (100,), 1100),
    (on_top("5"), "KWD", 12345, (617,), 12962),  # 0.61725
    (on_top("5"), "KWD", 12350, (618,), 12968),  # 0.6175
    # As far as amounts go.
    (contained("100"), "EUR", HUGE, ((HUGE + 1) // 2,), HUGE),
    (on_top("0"), "EUR", HUGE, (0,), HUGE),
    (on_top("19"), "EUR", 10**17, (19 * 10**15,), 119 * 10**15),
]  # fmt: skip


@pytest.mark.parametrize(("rates", "currency", "subtotal", "by_rate", "total"), TABLE)
def test_by_hand(rates: tuple[Rate, ...], currency: str, subtotal: int, by_rate: tuple[int, ...], total: int) -> None:
    found = taxed(subtotal, rates, currency)
    assert found == Taxed(subtotal, by_rate, total)
    assert found.tax_minor == sum(by_rate)
    # What it is on, and what it is: together what is paid.
    assert found.taxable_minor + found.tax_minor == found.total_minor


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="do not go together"):
        taxed(100, (*on_top("5"), *contained("5")), "EUR")
    with pytest.raises(ValueError, match="do not go together"):
        credited(100, 0, (*on_top("0"), *contained("0")), "EUR")
    # More than is kept of a percentage would be cut off.
    for rates in (on_top("0.0000000000001"), contained("19.0000000000001")):
        with pytest.raises(Inexact):
            taxed(100, rates, "EUR")
    with pytest.raises(OverflowError):
        taxed(HUGE, on_top("100", "100.000000000001"), "EUR")
    with pytest.raises(money.UnknownCurrency):
        taxed(100, on_top("5"), "XXX")


def test_a_document_records_what_it_used_and_it_comes_back() -> None:
    rates = (*REVERSE, Rate("vat", "VAT", Decimal("19.000000000000")))
    stored = to_json(rates, 1000, (0, 190))
    assert [(one["key"], one["percent"], one["taxable_minor"], one["amount_minor"], one["note"]) for one in stored] == [
        ("rc", "0", 1000, 0, "The recipient owes the tax."),
        ("vat", "19", 1000, 190, ""),
    ]
    assert recorded(stored) == rates
    assert recorded([]) == ()


# --- What holds of any amount -----------------------------------------------------------------------------------------

amounts = st.integers(-(10**15), 10**15)
percents = st.integers(0, 100 * 10**12).map(lambda n: Decimal(n).scaleb(-12)) | st.sampled_from(
    [Decimal(text) for text in ("0", "5", "7", "7.7", "8.1", "9.975", "19", "20", "25", "50", "100")]
)
currencies = st.sampled_from(["JPY", "EUR", "KWD", "CLF"])
rates_of_one_kind = st.builds(
    lambda found, inclusive: tuple(Rate(f"r{n}", "Tax", one, inclusive) for n, one in enumerate(found)),
    st.lists(percents, max_size=4),
    st.booleans(),
)


@given(amounts, rates_of_one_kind, currencies)
def test_tax_is_the_exact_share_to_half_a_minor_unit_and_nothing_is_lost(
    subtotal: int, rates: tuple[Rate, ...], currency: str
) -> None:
    found = taxed(subtotal, rates, currency)
    inclusive = bool(rates) and rates[0].inclusive
    assert found.total_minor == (subtotal if inclusive else subtotal + found.tax_minor)
    assert found.taxable_minor + found.tax_minor == found.total_minor
    over = 100 + (sum(rate.percent for rate in rates) if inclusive else 0)
    for rate, minor in zip(rates, found.by_rate, strict=True):
        # |minor - subtotal * percent / over| <= 1/2, in whole numbers.
        scale = 10**12
        off = minor * int(over * scale) - subtotal * int(rate.percent * scale)
        assert 2 * abs(off) <= int(over * scale)
        # At the half away from zero, so a sum and its counterpart have the same tax.
        if 2 * abs(off) == int(over * scale):
            assert (off > 0) == (subtotal > 0)
    mirrored = taxed(-subtotal, rates, currency)
    assert mirrored.by_rate == tuple(-minor for minor in found.by_rate)


@given(st.integers(0, 10**15), percents, currencies)
def test_a_contained_rate_and_the_same_rate_on_top_agree(net: int, percent: Decimal, currency: str) -> None:
    """What is paid with the tax on top contains that tax."""
    above = taxed(net, (Rate("r", "Tax", percent),), currency)
    inside = taxed(above.total_minor, (Rate("r", "Tax", percent, inclusive=True),), currency)
    # Both are rounded once: they differ by the rounding at most.
    assert abs(inside.tax_minor - above.tax_minor) <= 1
    assert 0 <= inside.tax_minor <= above.total_minor


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=12).map(lambda found: sorted(found, reverse=True)),
    rates_of_one_kind,
    currencies,
)
@example([3, 2, 1, 0], on_top("50"), "EUR")
@example([10, 9, 1, 0], contained("100"), "JPY")
def test_any_steps_of_credit_take_back_the_tax_of_the_whole(
    left: list[int], rates: tuple[Rate, ...], currency: str
) -> None:
    steps = [credited(before, after, rates, currency) for before, after in pairwise(left)]
    whole = credited(left[0], left[-1], rates, currency)
    assert sum(one.subtotal_minor for one in steps) == whole.subtotal_minor == left[0] - left[-1]
    assert sum(one.total_minor for one in steps) == whole.total_minor
    for index in range(len(rates)):
        assert sum(one.by_rate[index] for one in steps) == whole.by_rate[index]
    # What is left carries the tax of what is left; and no step gives back less than nothing.
    invoice, rest = taxed(left[0], rates, currency), taxed(left[-1], rates, currency)
    assert invoice.total_minor - sum(one.total_minor for one in steps) == rest.total_minor
    assert all(one.total_minor >= 0 and min(one.by_rate, default=0) >= 0 for one in steps)


@given(st.integers(0, 10**12), rates_of_one_kind, currencies)
def test_all_of_it_credited_gives_all_of_it_back(subtotal: int, rates: tuple[Rate, ...], currency: str) -> None:
    assert credited(subtotal, 0, rates, currency) == taxed(subtotal, rates, currency)
    assert credited(subtotal, subtotal, rates, currency) == Taxed(0, (0,) * len(rates), 0)
