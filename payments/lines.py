"""The lines of an invoice as Stripe's: one for each of ours, in the customer's language, and one for each tax on top.

Stripe takes 250 lines; of more, the smallest ones are summed on one, and stand one by one in the invoice's footer.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from invoicing import breakdown
from invoicing.localised import money_text, percent_text
from invoicing.localised.lines import title_of
from invoicing.models import Invoice, InvoiceLine
from invoicing.printed.sheet import locale_of_parties, tax_notes
from payments import units
from payments.words import t

MOST = 250
DESCRIPTION = 500

FOOTER = 5000


class Lines(NamedTuple):
    """The lines to add, and those that are summed on one of them."""

    requests: list[dict[str, Any]]
    summed: list[dict[str, Any]]


def lines_of(invoice: Invoice) -> Lines:
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
    kept, summed = _rolled_up(invoice, found, MOST - len(on_top), locale)
    return Lines([*kept, *on_top], summed)


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


def _rolled_up(invoice: Invoice, lines: Sequence[dict[str, Any]], room: int, locale: str) -> Lines:
    """At most ``room`` lines: the largest in their order, and one for all others."""
    if len(lines) <= room:
        return Lines(list(lines), [])
    by_size = sorted(range(len(lines)), key=lambda index: (-abs(lines[index]["amount"]), index))
    kept = set(by_size[: room - 1])
    others = [line for index, line in enumerate(lines) if index not in kept]
    summed = {
        "amount": sum(line["amount"] for line in others),
        "description": shortened(t(locale, "line.others", count=len(others), number=invoice.number or "")),
        "metadata": {"holdfast_lines": str(len(others))},
    }
    return Lines([*(line for index, line in enumerate(lines) if index in kept), summed], others)


def footer_of(invoice: Invoice, summed: Sequence[dict[str, Any]]) -> str:
    """What stands under the invoice: what the law asks to be said of its taxes, and the lines that are summed on one;
    of so many that they find no room, the largest.
    """
    locale = locale_of_parties(invoice.parties)
    notes = tax_notes(invoice.taxes)
    if not summed:
        return shortened("\n".join(notes), FOOTER)
    said = [*notes, t(locale, "footer.others")]
    room = FOOTER - sum(len(text) + 1 for text in said) - 200  # for the last word, if there are more
    entries = []
    for line in sorted(summed, key=lambda line: -abs(line["amount"])):
        amount = money_text(units.from_stripe(line["amount"], invoice.currency), invoice.currency, locale)
        entry = f"{line['description']}: {amount}"
        if len(entry) + 1 > room:
            break
        room -= len(entry) + 1
        entries.append(entry)
    left = len(summed) - len(entries)
    more = [t(locale, "footer.more", count=left, number=invoice.number or "")] if left else []
    return "\n".join([*said, *entries, *more])


def shortened(text: str, most: int = DESCRIPTION) -> str:
    """The text, cut where it is longer than Stripe takes."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
