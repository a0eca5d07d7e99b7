"""Amounts as Stripe's API has them: integers in the smallest unit, as a rule (docs.stripe.com/currencies).

Ours are in ISO 4217's minor unit, which Stripe's are too but for what stands here. Pure.
"""

from collections.abc import Sequence

from contracts.domain import money
from payments.errors import Refused

# "Zero-decimal currencies" whose minor unit Stripe does not use: MGA has one fifth as its ISO unit, written as two
# decimals.
_WHOLE_AT_STRIPE = {"MGA"}
# "Special cases": written with two decimals at Stripe, which must be 00, though they have none.
_HUNDREDTHS_AT_STRIPE = {"ISK", "UGX"}
# "Three-decimal currencies": the last digit must be 0.
_THOUSANDTHS = {"BHD", "JOD", "KWD", "OMR", "TND"}

LARGEST = 99_999_999
"""The largest amount Stripe takes: eight digits."""


def to_stripe(amount_minor: int, currency: str) -> int:
    """Minor units as Stripe's. Raises `Refused` for an amount that Stripe has no way to write, naming it."""
    amount = amount_minor
    if currency in _HUNDREDTHS_AT_STRIPE:
        amount = amount_minor * 100
    elif currency in _WHOLE_AT_STRIPE:
        amount, rest = divmod(amount_minor, 10 ** money.exponent(currency))
        if rest:
            raise Refused(
                f"{_told(amount_minor, currency)} is no whole {currency}: Stripe takes no parts of it.",
                code="amount_not_payable",
            )
    elif currency in _THOUSANDTHS and amount_minor % 10:
        raise Refused(
            f"{_told(amount_minor, currency)} cannot be charged: Stripe takes {currency} in steps of "
            f"{money.major_text(10, currency)}.",
            code="amount_not_payable",
        )
    if abs(amount) > LARGEST:
        raise Refused(
            f"{_told(amount_minor, currency)} is more than Stripe takes in one invoice.", code="amount_too_large"
        )
    return amount


def parts_to_stripe(parts: Sequence[int], currency: str) -> list[int]:
    """Amounts that add up, as Stripe's that add up to `to_stripe` of their sum. Where Stripe takes no such small parts
    each is cut to what it takes, and the largest remainders make up for it; so a line may differ from ours by less than
    one step, and the total never does.
    """
    step = 10 if currency in _THOUSANDTHS else 10 ** money.exponent(currency) if currency in _WHOLE_AT_STRIPE else 1
    to_stripe(sum(parts), currency)
    cut = [part // step for part in parts]
    missing = sum(parts) // step - sum(cut)
    by_remainder = sorted(range(len(parts)), key=lambda index: (-(parts[index] % step), index))
    for index in by_remainder[:missing]:
        cut[index] += 1
    return [to_stripe(part * step, currency) for part in cut]


def from_stripe(amount: int, currency: str) -> int:
    """Stripe's units as minor units. Raises ValueError for what is no whole minor unit."""
    if currency in _HUNDREDTHS_AT_STRIPE:
        whole, rest = divmod(amount, 100)
        if rest:
            raise ValueError(f"{amount} hundredths of {currency} are no whole amount")
        return whole
    return amount * 10 ** money.exponent(currency) if currency in _WHOLE_AT_STRIPE else amount


def told(amount: int, currency: str) -> str:
    """Stripe's units for people: "USD 12.30"."""
    return _told(from_stripe(amount, currency), currency)


def _told(amount_minor: int, currency: str) -> str:
    return f"{currency} {money.major_text(amount_minor, currency)}"
