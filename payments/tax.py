"""Taxes left to Stripe Tax: it says which rates a customer has, and invoices are taxed by those as by any other.

So a customer's tax is known before an invoice is issued, stands on it frozen, and comes back to the cent with whatever
is credited; and no invoice waits for Stripe to answer. What Stripe knows of where a customer is, it knows from the
customer's address and tax ids there. Customers who have rates that a person gave them are left alone.
"""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from contracts.models import Customer, TaxRate
from contracts.tax_rates import TaxRateFields, put_tax_rate
from payments import customers, units
from payments.client import ask, client_of, plain
from payments.connections import audience_of, connection_of
from payments.errors import Later, Refused
from payments.models import Connection, TaxLookup

log = structlog.get_logger(__name__)

PREFIX: Final = "stripe-"
"""Keys of the rates that come from Stripe Tax begin with it."""

KEPT: Final = timedelta(days=1)
AGAIN: Final = timedelta(minutes=10)
RUN_SECONDS = 20.0

NO_LOCATION: Final = "customer_tax_location_invalid"
# What is charged of these is not a rate: nothing is due.
REVERSE_CHARGE: Final = "reverse_charge"
NOTE: Final = "Reverse charge: VAT is owed by the recipient."

_NAMES: Final = {
    "vat": "VAT",
    "gst": "GST",
    "hst": "HST",
    "pst": "PST",
    "qst": "QST",
    "jct": "Consumption tax",
    "sales_tax": "Sales tax",
}


# --- Whose taxes ------------------------------------------------------------------------------------------------------


def left_to_stripe() -> QuerySet[Customer]:
    """The customers whose taxes Stripe decides: all of a connected audience but those with rates of ours."""
    by_hand = TaxRate.objects.exclude(key__startswith=PREFIX)
    audiences = Connection.objects.values_list("audience", flat=True)
    connected = Q(pk=None)
    if Connection.Audience.LIVE in audiences:
        connected |= Q(test_clock=None)
    if Connection.Audience.TEST in audiences:
        connected |= Q(test_clock__isnull=False)
    return Customer.objects.filter(connected).exclude(tax_rates__in=by_hand)


def unknown(customer: Customer) -> str:
    """Why a customer's taxes are not known yet (`invoicing.taxes.UNKNOWN`); empty where they are, or are not left to
    Stripe.
    """
    if not settings.STRIPE_TAX or not left_to_stripe().filter(pk=customer.pk).exists():
        return ""
    found = TaxLookup.objects.filter(customer=customer).first()
    if found is None:
        return "Stripe Tax was not asked yet. It is within ten minutes."
    return "" if found.known else found.reason


# --- Looking up -------------------------------------------------------------------------------------------------------


def look_up_due(now: datetime, *, seconds: float = RUN_SECONDS) -> int:
    """Ask Stripe Tax for whom it was not asked, or long ago, until nothing is due or ``seconds`` are over; for how
    many. Safe to repeat. Does nothing unless taxes are left to Stripe.
    """
    if not settings.STRIPE_TAX:
        return 0
    until = time.monotonic() + seconds
    waiting = Q(tax_lookup=None) | Q(tax_lookup__next_at__lte=now)
    due = left_to_stripe().filter(waiting).order_by("tax_lookup__next_at", "pk")
    asked = 0
    for customer in due[:1000]:
        if time.monotonic() >= until:
            break
        look_up(customer, now=now)
        asked += 1
    return asked


def look_again(customer_ids: Iterable[int], *, now: datetime) -> int:
    """Something changed at Stripe that taxes depend on: ask again at once."""
    return TaxLookup.objects.filter(customer__in=list(customer_ids)).update(next_at=now)


def look_up(customer: Customer, *, now: datetime) -> TaxLookup:
    """Ask Stripe Tax which rates the customer has, and give them to the customer. Where it cannot say, those it had
    stay, and the reason is kept.
    """
    try:
        said = _ask(customer, now)
    except (Later, Refused) as problem:
        reason = str(problem)
        if isinstance(problem, Refused) and problem.code == NO_LOCATION:
            reason = "Stripe Tax does not know where the customer is: give the customer an address at Stripe."
        found, _ = TaxLookup.objects.update_or_create(
            customer=customer, defaults={"reason": reason, "looked_at": now, "next_at": now + AGAIN}
        )
        log.info("stripe_tax_unknown", customer=customer.key, reason=reason)
        return found
    return _give(customer, said, now)


def _ask(customer: Customer, now: datetime) -> list[tuple[str, TaxRateFields]]:
    connection, key = connection_of(audience_of(customer))
    stripe_id = customers.stripe_id_of(customer, connection.account, connection.livemode)
    if stripe_id is None:
        customers.want(customer, now=now)
        raise Later("The customer is not known at Stripe yet.")
    line: dict[str, Any] = {
        "amount": units.to_stripe(10_000, customer.currency),
        "reference": "holdfast",
        "tax_behavior": "exclusive",
    }
    if settings.STRIPE_TAX_CODE:
        line["tax_code"] = settings.STRIPE_TAX_CODE
    request = {"currency": customer.currency.lower(), "customer": stripe_id, "line_items": [line]}
    answer = plain(ask(lambda: client_of(key).v1.tax.calculations.create(request)))  # type: ignore[arg-type]
    return rates_in(answer)


def rates_in(answer: dict[str, Any]) -> list[tuple[str, TaxRateFields]]:
    """The rates in a calculation of Stripe's, by our keys, in its order. Nothing is due of what is not collected,
    exempt or rated at zero. Refused for a tax that is no percentage: no invoice of ours could say it.
    """
    found = []
    for part in answer["tax_breakdown"]:
        details = part["tax_rate_details"]
        tax, where = details.get("tax_type") or "tax", details.get("country") or ""
        if details.get("rate_type") == "flat_amount":
            raise Refused(f"Stripe Tax charges a flat amount ({tax}), which is no rate.", code="tax_not_a_rate")
        name = _NAMES.get(tax, tax.replace("_", " ").capitalize())
        if details.get("state"):
            name, where = f"{name} ({details['state']})", f"{where}-{details['state']}"
        if part["taxability_reason"] == REVERSE_CHARGE:
            found.append((_key(where, tax, "reverse"), TaxRateFields(name, Decimal(0), False, True, NOTE)))
        elif (percent := Decimal(details["percentage_decimal"])) > 0:
            found.append((_key(where, tax, f"{percent.normalize():f}"), TaxRateFields(name, percent)))
    return list(dict(found).items())


def _key(where: str, tax: str, rate: str) -> str:
    return f"{PREFIX}{where}-{tax}-{rate}".lower().replace("_", "-")[:64]


@transaction.atomic
def _give(customer: Customer, said: list[tuple[str, TaxRateFields]], now: datetime) -> TaxLookup:
    rows = [put_tax_rate(key, given, now=now).value for key, given in said]
    Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    if left_to_stripe().filter(pk=customer.pk).exists():  # nobody gave it rates meanwhile
        customer.tax_rates.set(rows)
    found, _ = TaxLookup.objects.update_or_create(
        customer=customer,
        defaults={
            "known": True,
            "rates": [row.key for row in rows],
            "reason": "",
            "looked_at": now,
            "next_at": now + KEPT,
        },
    )
    return found
