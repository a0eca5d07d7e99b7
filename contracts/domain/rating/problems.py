"""Why something is not saved: a place, a code and a sentence; and the checks of single numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from contracts.domain import money

MAX_UNIT_PRICE: Final = Decimal(10**15)
PRICE_DECIMALS: Final = 12
MAX_PERCENT: Final = Decimal(1000)

CODES: Final[dict[str, str]] = {
    "unknown_model": "A price has one of the models of docs/pricing.md.",
    "required": "The field is needed here, as the message says.",
    "not_used": "The field has no effect here: leave it out, or choose what has a use for it.",
    "negative_price": "A price is not below zero.",
    "price_too_large": "A price or amount is below 10^15.",
    "too_many_decimals": "The number has more decimals than are kept: prices have 12, amounts those of the currency.",
    "negative": "The number is not below zero.",
    "not_positive": "The number is above zero.",
    "percent_too_large": "A percentage is at most 1000, a discount or a tax at most 100 percent.",
    "tiers_overlap": "The edges of tiers ascend, each above the one before it, and only the last tier has none.",
    "tiers_gap": "The last tier has no upper edge, so that every quantity has a price.",
    "too_many_tiers": "A price has at most 100 tiers.",
    "both_given": "Two fields that exclude each other are given: leave one of them out.",
    "minimum_above_maximum": "The minimum for an outcome is at most its maximum.",
    "minimum_above_cap": "The minimum of a period is at most its cap.",
    "unknown_pool": "A price draws on a pooled allowance that the contract does not define.",
    "unused_pool": "No price draws on the pooled allowance.",
    "unknown_kind": "The value is none of those that the message lists.",
    "duplicate_name": "The name is given twice.",
}
"""Codes of this package, with what to do about each; further ones it uses are registered by `contracts.refusals`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why prices or terms are refused: the place (``prices[1].match``), a code, and a sentence."""

    path: str
    code: str
    message: str


def at(path: str, name: str) -> str:
    """The place of a field in what stands at ``path``, "" being the whole."""
    return f"{path}.{name}" if path else name


def number_problems(
    place: str,
    number: Decimal | None,
    what: str,
    *,
    decimals: int = PRICE_DECIMALS,
    above_zero: bool = False,
    below: Decimal = MAX_UNIT_PRICE,
) -> Iterator[Problem]:
    """What is wrong with one number, at most one problem; None is no number and no problem."""
    if number is None:
        return
    if not isinstance(number, Decimal) or not number.is_finite():
        yield Problem(place, "invalid", f"{what} is a decimal number.")
    elif number < 0:
        code = "negative_price" if place.endswith("unit_price") else "negative"
        yield Problem(place, code, f"{what} is not negative.")
    elif above_zero and number == 0:
        yield Problem(place, "not_positive", f"{what} is above zero.")
    elif number >= below:
        yield Problem(place, "price_too_large", f"{what} is below 10^15.")
    elif decimals_of(number) > decimals:
        yield Problem(place, "too_many_decimals", f"{what} has at most {decimals} decimals.")


def percent_problems(
    place: str, percent: Decimal | None, what: str, *, most: Decimal = MAX_PERCENT, above_zero: bool = False
) -> Iterator[Problem]:
    """What is wrong with a percentage: 25 means 25 %."""
    yield from number_problems(place, percent, what, above_zero=above_zero)
    if isinstance(percent, Decimal) and percent.is_finite() and most < percent < MAX_UNIT_PRICE:
        yield Problem(place, "percent_too_large", f"{what} is at most {most}.")


def money_decimals(currency: str | None) -> int:
    """Decimals of an amount that is booked as it stands; those of a price where the currency is none or unknown."""
    return money.EXPONENTS.get(currency or "", PRICE_DECIMALS)


def decimals_of(number: Decimal) -> int:
    """Decimals that count: 0.50 has one, 0.00 none."""
    if number == 0:
        return 0
    _, digits, exponent = number.as_tuple()
    places = -int(exponent)
    for digit in reversed(digits):
        if digit or places <= 0:
            break
        places -= 1
    return max(places, 0)
