"""Money: booked amounts are integers in the currency's minor unit, next to an ISO 4217 code.

Rates and quantities are exact decimals; `to_minor` is the one function that turns their product into money. Floats are
refused, and so is adding two currencies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import (
    ROUND_05UP,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
    Underflow,
)
from typing import Final

# Minor units by currency: ISO 4217 list one ("current currency & funds codes", maintained by SIX for ISO). Codes
# without a minor unit there (metals, SDR, testing) are left out on purpose: nobody is invoiced in them.
_EXPONENT_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_EXPONENT_2 = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY
COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR
JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS
TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""
_EXPONENT_3 = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENT_4 = "CLF UYW"

EXPONENTS: Final[dict[str, int]] = {
    code: exponent
    for exponent, codes in ((0, _EXPONENT_0), (2, _EXPONENT_2), (3, _EXPONENT_3), (4, _EXPONENT_4))
    for code in codes.split()
}

MAX_MINOR: Final = 10**18 - 1
"""The largest amount booked: it fits a bigint with room for sums."""

# A quantity has up to 72 digits and a price up to 30, so any product is exact in this context; where one were not, it
# raises instead of rounding.
EXACT: Final = Context(prec=400, traps=[Inexact, Rounded, InvalidOperation, Overflow, Underflow, DivisionByZero])
# Rounding is what `to_minor` is for, so only there it is no error.
_ROUNDING_DIGITS: Final = 400
_DIVISION_TRAPS: Final = [InvalidOperation, Overflow, DivisionByZero]


class CurrencyMismatch(ValueError):
    """Two currencies met in one sum."""


class UnknownCurrency(ValueError):
    """A code that is not an ISO 4217 currency with a minor unit."""


@dataclass(frozen=True, slots=True)
class Money:
    """``amount_minor`` in the minor unit of ``currency``: Money(3000, "USD") is 30.00 US dollars."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount_minor) is not int:
            raise TypeError(f"amount_minor is an int in minor units, not {type(self.amount_minor).__name__}")
        exponent(self.currency)


def exponent(currency: str) -> int:
    """Decimals of a currency: 2 for USD, 0 for JPY, 3 for KWD. Raises `UnknownCurrency`."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is not an ISO 4217 currency code (three capital letters)") from None


def product(rate: Decimal, quantity: Decimal) -> Decimal:
    """``rate`` times ``quantity``, exactly. Raises ``decimal.Inexact`` rather than round."""
    return EXACT.multiply(_decimal(rate), _decimal(quantity))


def to_minor(amount: Decimal, currency: str, rounding: str = ROUND_HALF_UP, *, over: int = 1) -> int:
    """An exact amount in major units, divided by ``over``, as an integer in minor units: the one place where money is
    rounded.

    Half up means away from zero at the half, as finance departments do by hand. Raises TypeError for anything but a
    finite Decimal, `UnknownCurrency`, and OverflowError beyond `MAX_MINOR`.
    """
    scaled = EXACT.scaleb(_decimal(amount), exponent(currency))
    if _integer(over) != 1:
        # ROUND_05UP leaves a quotient that goes on for ever with a last digit that no later rounding takes for a tie.
        scaled = Context(prec=_ROUNDING_DIGITS, rounding=ROUND_05UP, traps=_DIVISION_TRAPS).divide(
            scaled, Decimal(over)
        )
    context = Context(prec=_ROUNDING_DIGITS, rounding=rounding, traps=_DIVISION_TRAPS)
    minor = int(scaled.to_integral_value(rounding=rounding, context=context))
    if abs(minor) > MAX_MINOR:
        raise OverflowError(f"{amount} {currency} is beyond the largest amount that can be booked")
    return minor


def prorate(amount: Decimal, days: int, of_days: int, currency: str) -> int:
    """``days`` of ``of_days`` of an amount in major units, half up, in minor units. Raises ValueError for a part that
    is none.
    """
    if not 0 <= _integer(days) <= _integer(of_days) or of_days == 0:
        raise ValueError(f"{days} of {of_days} days is no part of a period")
    return to_minor(product(amount, Decimal(days)), currency, over=of_days)


def from_minor(amount_minor: int, currency: str) -> Decimal:
    """Minor units as an exact decimal in major units: 3000 USD is Decimal("30.00")."""
    return Decimal(amount_minor).scaleb(-exponent(currency), EXACT)


def major_text(amount_minor: int, currency: str) -> str:
    """Minor units as a decimal string in major units, with all decimals of the currency: "30.00", "-0.05", JPY "30"."""
    return f"{from_minor(amount_minor, currency):f}"


def add(first: Money, second: Money) -> Money:
    """The sum. Raises `CurrencyMismatch` for two currencies."""
    if first.currency != second.currency:
        raise CurrencyMismatch(f"cannot add {first.currency} and {second.currency}")
    return Money(first.amount_minor + second.amount_minor, first.currency)


def negate(money: Money) -> Money:
    """The same amount the other way."""
    return Money(-money.amount_minor, money.currency)


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum in ``currency``, zero for none. Raises `CurrencyMismatch` where one amount is in another."""
    result = Money(0, currency)
    for amount in amounts:
        result = add(result, amount)
    return result


def split(total_minor: int, weights: Sequence[Decimal | int]) -> list[int]:
    """``total_minor`` in parts proportional to ``weights``, by largest remainder: the parts always sum to the total.

    Ties go to the earlier part, so the result depends on the order given and on nothing else. A negative total mirrors
    the positive one. Raises ValueError without a weight above zero, or with one below.
    """
    exact = [_decimal(weight) if isinstance(weight, Decimal) else Decimal(_integer(weight)) for weight in weights]
    if any(weight < 0 for weight in exact):
        raise ValueError("weights are not negative")
    # Integers from here on: shares are compared exactly, whatever the decimals were. (normalize() would round to the
    # thread's context, so the places are read off as they stand.)
    places = max((max(0, -int(weight.as_tuple().exponent)) for weight in exact), default=0)
    whole = [int(EXACT.scaleb(weight, places)) for weight in exact]
    scale = sum(whole)
    if scale == 0:
        raise ValueError("at least one weight is above zero")
    sign, amount = (-1, -total_minor) if total_minor < 0 else (1, total_minor)
    parts = [amount * weight // scale for weight in whole]
    rest = amount - sum(parts)
    by_remainder = sorted(range(len(whole)), key=lambda i: (-(amount * whole[i] % scale), i))
    for index in by_remainder[:rest]:
        parts[index] += 1
    return [sign * part for part in parts]


def _decimal(value: Decimal) -> Decimal:
    if not isinstance(value, Decimal):
        raise TypeError(f"money is worked out of Decimal, not {type(value).__name__}")
    if not value.is_finite():
        raise TypeError(f"{value} is no amount")
    return value


def _integer(value: int) -> int:
    if type(value) is not int:
        raise TypeError(f"a weight is a Decimal or an int, not {type(value).__name__}")
    return value
