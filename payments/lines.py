"""The lines of an invoice as Stripe's: one for each of ours, in the customer's language, and one for each tax on top.

Stripe takes 250 lines; of more, the smallest ones are summed, and the line says where each of them stands.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from invoicing import breakdown
from invoicing.localised import percent_text
from invoicing.localised.lines import title_of
from invoicing.models import Invoice, InvoiceLine
from invoicing.printed.sheet import locale_of_parties
from payments import units
from payments.words import t

MOST = 250
DESCRIPTION = 500

DETAIL: list[Callable[[Invoice], str]] = []
"""Where the customer reads every line of an invoice: an address, or an empty text. The first that has one counts."""


def requests_of(invoice: Invoice) -> list[dict[str, Any]]:
    """The lines to add, at most `MOST`, which sum to the invoice's total in Stripe's units. Raises `Refused` for
    amounts that Stripe does not take.
    """
    locale = locale_of_parties(invoice.parties)
    lines = list(invoice.lines.order_by("position"))
    taxes = [one for one in invoice.taxes if not one["inclusive"] and one["amount_minor"]]
    amounts = units.parts_to_stripe(
        [*(line.amount_minor for line in lines), *(one["amount_minor"] for one in taxes)], invoice.currency
    )
    found = [_line(invoice, line, amount, locale) for line, amount in zip(lines, amounts[: len(lines)], strict=True)]
    on_top = [
        {
            "amount": amount,
            "description": f"{one['name']} {percent_text(Decimal(one['percent']), locale)}"[:DESCRIPTION],
            "metadata": {"holdfast_tax": str(one["key"])[:500]},
        }
        for one, amount in zip(taxes, amounts[len(lines) :], strict=True)
    ]
    return [*_rolled_up(invoice, found, MOST - len(on_top), locale), *on_top]


def _line(invoice: Invoice, line: InvoiceLine, amount: int, locale: str) -> dict[str, Any]:
    title = title_of(line, invoice.currency, locale, invoice.time_zone)
    quantity = breakdown.quantity(line, locale)
    unit_price = breakdown.unit_price(line, invoice.currency, locale)
    said = f"{quantity} × {title}" if quantity else title
    if quantity and unit_price:
        said = f"{said} ({t(locale, 'line.at', price=unit_price)})"
    dimensions = ", ".join(f"{name}: {value}" for name, value in sorted(line.dimensions.items()))
    return {
        "amount": amount,
        "description": shortened(f"{said} · {dimensions}" if dimensions else said),
        "period": {"start": int(line.period_start.timestamp()), "end": int(line.period_end.timestamp())},
        "metadata": {"holdfast_line": str(line.id)},
    }


def _rolled_up(invoice: Invoice, lines: Sequence[dict[str, Any]], room: int, locale: str) -> list[dict[str, Any]]:
    """At most ``room`` lines: the largest in their order, and one for all others."""
    if len(lines) <= room:
        return list(lines)
    by_size = sorted(range(len(lines)), key=lambda index: (-abs(lines[index]["amount"]), index))
    kept = set(by_size[: room - 1])
    others = [line for index, line in enumerate(lines) if index not in kept]
    where = next((address for detail in DETAIL if (address := detail(invoice))), "")
    key = "line.others_at" if where else "line.others"
    return [
        *(line for index, line in enumerate(lines) if index in kept),
        {
            "amount": sum(line["amount"] for line in others),
            "description": shortened(t(locale, key, count=len(others), number=invoice.number or "", where=where)),
            "metadata": {"holdfast_lines": str(len(others))},
        },
    ]


def shortened(text: str, most: int = DESCRIPTION) -> str:
    """The text, cut where it is longer than Stripe takes."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
