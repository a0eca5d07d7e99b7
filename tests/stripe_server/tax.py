"""Stripe Tax, as far as a calculation goes (https://docs.stripe.com/api/tax/calculations/create): a toy. The seller is
in Germany; each country has its standard rate and nothing else; a business with a tax id elsewhere in the EU owes the
tax itself.
"""

from decimal import Decimal
from typing import Any

from tests.stripe_server import money
from tests.stripe_server.errors import StripeFailure, not_covered
from tests.stripe_server.routing import route
from tests.stripe_server.world import Object, World

SELLER = "DE"
# Country, or country and state: (kind of tax, percent).
RATES = {
    "DE": ("vat", "19"), "FR": ("vat", "20"), "IE": ("vat", "23"), "GB": ("vat", "20"), "CH": ("vat", "8.1"),
    "JP": ("jct", "10"), "US-NY": ("sales_tax", "8.875"), "US-CA": ("sales_tax", "7.25"),
}  # fmt: skip
EUROPEAN_UNION = frozenset(("DE", "FR", "IE"))
_LINE = {"amount", "reference", "tax_behavior", "tax_code", "quantity"}


@route("POST", "/v1/tax/calculations", "calculations.create", "tax.CalculationCreateParams",
       "currency customer line_items")  # fmt: skip
def calculate(world: World, params: dict[str, Any]) -> Object:
    if not params.get("customer"):
        raise not_covered("customer_details in place of a customer")
    customer = world.get("customer", params["customer"], "customer")
    currency = money.check_currency(params["currency"])
    address = customer["address"] or {}
    country = address.get("country")
    if not country:
        raise StripeFailure(
            "We could not determine the customer's tax location based on the provided customer address.",
            code="customer_tax_location_invalid",
            param="customer[address]",
        )
    for n, line in enumerate(params["line_items"]):
        if unknown := line.keys() - _LINE:
            raise not_covered(f"line_items[{n}][{sorted(unknown)[0]}]")
        if line.get("tax_behavior") != "exclusive":
            raise not_covered(f"line_items[{n}][tax_behavior] other than exclusive")
    amount = sum(line["amount"] for line in params["line_items"])
    state = address.get("state") if country == "US" else None
    kind, percent = RATES.get(f"{country}-{state}" if state else country, ("vat", "0"))
    reason = "standard_rated" if Decimal(percent) else "not_collecting"
    abroad = country in EUROPEAN_UNION and country != SELLER
    if customer["tax_exempt"] == "reverse" or (abroad and world.tax_ids[customer["id"]]):
        percent, reason = "0", "reverse_charge"
    elif customer["tax_exempt"] == "exempt":
        percent, reason = "0", "customer_exempt"
    tax = money.rounded(amount * Decimal(percent) / 100)
    return {
        "id": world.new_id("taxcalc"),
        "object": "tax.calculation",
        "amount_total": amount + tax,
        "currency": currency,
        "customer": customer["id"],
        "customer_details": {
            "address": customer["address"], "address_source": "billing", "ip_address": None,
            "tax_ids": [dict(one) for one in world.tax_ids[customer["id"]]], "taxability_override": "none",
        },
        "expires_at": world.clock.now() + 90 * 86_400,
        "livemode": world.livemode,
        "ship_from_details": None,
        "shipping_cost": None,
        "tax_amount_exclusive": tax,
        "tax_amount_inclusive": 0,
        "tax_breakdown": [
            {
                "amount": tax,
                "inclusive": False,
                "tax_rate_details": {
                    "country": country, "flat_amount": None, "percentage_decimal": percent, "rate_type": "percentage",
                    "state": state, "tax_type": kind if Decimal(percent) or reason == "reverse_charge" else None,
                },
                "taxability_reason": reason,
                "taxable_amount": amount if Decimal(percent) else 0,
            }
        ],
        "tax_date": world.clock.now(),
    }  # fmt: skip
