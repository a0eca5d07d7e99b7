"""The tax of invoices: the rates of a customer, and how a document records what it used."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from access.errors import ApiError
from contracts.domain import money
from contracts.models import Customer
from invoicing import texts
from invoicing.domain.tax import Rate, taxed
from invoicing.models import Invoice, InvoiceLine

UNKNOWN: list[Callable[[Customer], str]] = []
"""Each says why a customer's rates are not known yet, or an empty text. A higher app that finds them out adds to it."""


def rates_of(customer: Customer) -> tuple[Rate, ...]:
    """The rates of a customer in order of their keys. One query. ApiError 409 where they are not known yet: nothing is
    invoiced without the tax that belongs on it.
    """
    for unknown in UNKNOWN:
        if reason := unknown(customer):
            raise ApiError(409, "tax_unknown", f"The taxes of customer {customer.key} are not known: {reason}")
    return tuple(
        Rate(row.key, row.name, row.percent, row.inclusive, row.reverse_charge, row.note)
        for row in customer.tax_rates.order_by("key")
    )


def set_totals(invoice: Invoice, lines: Iterable[InvoiceLine], rates: Sequence[Rate]) -> None:
    """Give a draft the totals of its lines, with tax. Raises ValueError for rates that do not go together, and
    OverflowError beyond what can be booked.
    """
    currency = invoice.currency
    subtotal = money.total((money.Money(line.amount_minor, currency) for line in lines), currency).amount_minor
    found = taxed(subtotal, rates, currency)
    if abs(found.total_minor) > money.MAX_MINOR:
        raise OverflowError("the invoice's total is beyond the largest amount that can be booked")
    invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor = subtotal, found.tax_minor, found.total_minor
    invoice.taxes = to_json(rates, found.taxable_minor, found.by_rate)


def to_json(rates: Sequence[Rate], taxable_minor: int, by_rate: Sequence[int]) -> list[dict[str, Any]]:
    """Rates and what they came to, as a document records them; ``taxable_minor`` is `Taxed.taxable_minor`."""
    return [
        {
            "key": rate.key,
            "name": rate.name,
            "percent": texts.plain(rate.percent),
            "inclusive": rate.inclusive,
            "reverse_charge": rate.reverse_charge,
            "note": rate.note,
            "taxable_minor": taxable_minor,
            "amount_minor": minor,
        }
        for rate, minor in zip(rates, by_rate, strict=True)
    ]


def recorded(taxes: Iterable[dict[str, Any]]) -> tuple[Rate, ...]:
    """The rates that a document records."""
    return tuple(
        Rate(one["key"], one["name"], Decimal(one["percent"]), one["inclusive"], one["reverse_charge"], one["note"])
        for one in taxes
    )
