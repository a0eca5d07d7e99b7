"""Currencies, minor units (https://docs.stripe.com/currencies) and tax (https://docs.stripe.com/tax/tax-rates)."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.stripe_server.errors import StripeFailure

# "Maximum amount: up to eight digits".
MAXIMUM = 99_999_999

# UGX is named there too, but goes over the API with two decimals: a special case below.
_ZERO = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
ZERO_DECIMAL = frozenset(_ZERO.split())
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# "Presentment currencies" of the same page.
_PRESENTMENT = """
usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf
clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr
isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr
mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd
std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw
"""
SUPPORTED = frozenset(_PRESENTMENT.split())
# "Minimum charge amounts", in minor units; a currency the page has no row for has no minimum here.
MINIMUM = {
    **dict.fromkeys(("usd", "aud", "brl", "cad", "chf", "eur", "inr", "nzd", "sgd"), 50),
    "aed": 200, "bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "jpy": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "pln": 200, "ron": 200, "sek": 300, "thb": 1000,
}  # fmt: skip
# "Special cases": two decimals in the API for compatibility, though the currency has none; they must be 00.
WHOLE_UNITS = frozenset(("isk", "ugx"))


def check_currency(currency: str, param: str = "currency") -> str:
    """The code in lower case; 400 for one that is not supported."""
    code = currency.lower()
    if code not in SUPPORTED:
        raise StripeFailure(f"Invalid currency: {currency}. Stripe currently supports these currencies: …", param=param)
    return code


def check_amount(amount: int, currency: str, param: str = "amount") -> int:
    """`amount` in minor units of `currency`, either sign; 400 for what the page of currencies forbids."""
    if abs(amount) > MAXIMUM:
        raise StripeFailure(
            f"Amount must be no more than {MAXIMUM} in {currency}", code="amount_too_large", param=param
        )
    if currency in THREE_DECIMAL and amount % 10:
        raise StripeFailure(
            f"Invalid amount: {amount}. In {currency.upper()}, the last digit must be 0.",
            code="parameter_invalid_integer",
            param=param,
        )
    if currency in WHOLE_UNITS and amount % 100:
        raise StripeFailure(
            f"Invalid amount: {amount}. In {currency.upper()}, it must be divisible by 100.",
            code="parameter_invalid_integer",
            param=param,
        )
    return amount


def rounded(amount: Decimal) -> int:
    """To the minor unit, half away from zero."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def taxes_of(amount: int, rates: list[dict[str, Any]], exempt: str) -> list[dict[str, Any]]:
    """The `taxes` of one line, rounded per line and rate; inclusive ones are within `amount`, exclusive ones on top.

    `exempt` is the customer's `tax_exempt`: "exempt" and "reverse" make every tax 0.
    """
    contained = sum((Decimal(str(rate["percentage"])) for rate in rates if rate["inclusive"]), Decimal(0))
    made = []
    within = 0
    for rate in sorted(rates, key=lambda rate: not rate["inclusive"]):
        percentage = Decimal(str(rate["percentage"]))
        if rate["inclusive"]:
            tax = rounded(amount * percentage / (100 + contained))
            within += tax
        else:
            tax = rounded((amount - within) * percentage / 100)
        reason = {"exempt": "customer_exempt", "reverse": "reverse_charge"}.get(exempt, "not_available")
        made.append(
            {
                "amount": tax if reason == "not_available" else 0,
                "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
                "tax_rate_details": {"tax_rate": rate["id"]},
                "taxability_reason": reason,
                "taxable_amount": 0,
                "type": "tax_rate_details",
            }
        )
    net = amount - sum(tax["amount"] for tax in made if tax["tax_behavior"] == "inclusive")
    for tax in made:
        tax["taxable_amount"] = net
    return made


def summed(taxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`total_taxes`: the taxes of all lines, one per rate and reason."""
    totals: dict[tuple[Any, ...], dict[str, Any]] = {}
    for tax in taxes:
        key = (tax["tax_rate_details"]["tax_rate"], tax["taxability_reason"])
        if key in totals:
            totals[key]["amount"] += tax["amount"]
            totals[key]["taxable_amount"] += tax["taxable_amount"]
        else:
            totals[key] = dict(tax)
    return list(totals.values())


def exclusive(taxes: list[dict[str, Any]]) -> int:
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")


def inclusive(taxes: list[dict[str, Any]]) -> int:
    return sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")
