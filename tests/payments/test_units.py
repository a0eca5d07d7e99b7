"""Amounts as Stripe writes them: docs.stripe.com/currencies, "Zero-decimal", "Special cases", "Three-decimal"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.domain.money import EXPONENTS, exponent
from payments import units
from payments.errors import Refused
from tests.stripe_server import money


@pytest.mark.parametrize(
    ("minor", "currency", "theirs"),
    [
        (1234, "USD", 1234), (-5, "EUR", -5), (0, "USD", 0), (500, "JPY", 500), (7, "KRW", 7),
        (15, "ISK", 1500), (3, "UGX", 300), (1200, "MGA", 12), (12340, "KWD", 12340), (99_999_999, "USD", 99_999_999),
    ],
)  # fmt: skip
def test_there_and_back(minor: int, currency: str, theirs: int) -> None:
    assert units.to_stripe(minor, currency) == theirs
    assert units.from_stripe(theirs, currency) == minor


@pytest.mark.parametrize(
    ("minor", "currency", "code", "says"),
    [
        (12345, "KWD", "amount_not_payable", "KWD 12.345 cannot be charged: Stripe takes KWD in steps of 0.010."),
        (150, "MGA", "amount_not_payable", "MGA 1.50 is no whole MGA: Stripe takes no parts of it."),
        (100_000_000, "USD", "amount_too_large", "USD 1000000.00 is more than Stripe takes in one invoice."),
        (1_000_000, "ISK", "amount_too_large", "ISK 1000000 is more than Stripe takes in one invoice."),
    ],
)
def test_what_stripe_does_not_take(minor: int, currency: str, code: str, says: str) -> None:
    with pytest.raises(Refused) as caught:
        units.to_stripe(minor, currency)
    assert (caught.value.code, str(caught.value)) == (code, says)


@given(
    st.sampled_from(sorted(EXPONENTS)),
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=20),
)
def test_parts_add_up_and_stay_close(currency: str, parts: list[int]) -> None:
    try:
        total = units.to_stripe(sum(parts), currency)
        theirs = units.parts_to_stripe(parts, currency)
    except Refused:
        return
    assert sum(theirs) == total
    step = {"KWD": 10, "BHD": 10, "JOD": 10, "OMR": 10, "TND": 10, "MGA": 100}.get(currency, 1)
    for ours, part in zip(parts, theirs, strict=True):
        assert abs(units.from_stripe(part, currency) - ours) < step
        assert step > 1 or units.from_stripe(part, currency) == ours


@pytest.mark.parametrize("currency", sorted(EXPONENTS.keys() & {code.upper() for code in money.SUPPORTED}))
def test_ten_of_every_currency_that_stripe_takes(currency: str) -> None:
    """The server's lists are those of Stripe's page; ours is ISO's."""
    code = currency.lower()
    of_one = 1 if code in money.ZERO_DECIMAL else 1000 if code in money.THREE_DECIMAL else 100
    assert units.to_stripe(10 * 10 ** exponent(currency), currency) == 10 * of_one
