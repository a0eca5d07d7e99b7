"""The lines of documents and of the running period, as a customer reads them: *15 × Support ticket resolved*."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from contracts.domain import money
from invoicing import breakdown
from invoicing.localised.lines import title_of
from invoicing.models import InvoiceLine
from portal.scope import public_id
from portal.words import Words


@dataclass(frozen=True)
class Shown:
    """One line; ``notes`` are its arithmetic. Behind one of ``usage`` stand outcomes."""

    id: str
    usage: bool
    title: str
    dimensions: list[tuple[str, str]]
    notes: Sequence[str]
    amount: str
    sentence: str
    undone: int


@dataclass(frozen=True)
class Group:
    """Lines of one period; the document's own has no heading."""

    heading: str
    lines: list[Shown]


def shown(
    lines: Iterable[InvoiceLine], currency: str, words: Words, time_zone: str, *, given_back: bool = False
) -> list[Shown]:
    """Lines in words. On a credit note (``given_back``) they are stored as what they add, which is below zero."""
    listed = list(lines)
    sign = -1 if given_back else 1
    return [
        Shown(
            id=public_id(line),
            usage=line.kind == InvoiceLine.Kind.USAGE,
            title=_title(line, currency, words, time_zone),
            dimensions=sorted(line.dimensions.items()),
            notes=[*_product(line, currency, words, sign), *notes],
            amount=words.money(sign * line.amount_minor, currency),
            sentence=line.sentence,
            undone=getattr(line, "reversed_count", 0),
        )
        for line, notes in zip(listed, breakdown.of_lines(listed, currency, words.locale), strict=True)
    ]


def grouped(
    lines: Iterable[InvoiceLine],
    currency: str,
    words: Words,
    own: tuple[datetime, datetime] | None,
    time_zone: str,
    *,
    given_back: bool = False,
) -> Iterator[Group]:
    """Lines by period, as the PDF has them: ``own`` without a heading, an earlier or a later one under its dates; of a
    credit note, which has no period of its own, each under its dates.
    """
    for (start, end), members in groupby(lines, key=lambda line: (line.period_start, line.period_end)):
        dates = words.period(start, end, time_zone)
        if own is None:
            heading = words.document("group.period", period=dates)
        elif start < own[0]:
            heading = words.document("group.late", period=dates)
        else:
            heading = words.document("group.advance", period=dates) if start > own[0] else ""
        yield Group(heading, shown(members, currency, words, time_zone, given_back=given_back))


def _title(line: InvoiceLine, currency: str, words: Words, time_zone: str) -> str:
    title = title_of(line, currency, words.locale, time_zone)
    quantity = breakdown.quantity(line, words.locale)
    return f"{quantity} × {title}" if quantity else title


def _product(line: InvoiceLine, currency: str, words: Words, sign: int) -> list[str]:
    """``15 × 2.00 = 30.00``, where that is the whole arithmetic: else the breakdown says it, or the notes do."""
    if line.unit_price is None or not line.quantity:
        return []
    product = (line.quantity * line.unit_price).scaleb(money.exponent(currency))
    if abs(product - line.amount_minor) > 1 or len(line.steps) > 1:
        return []
    quantity = breakdown.quantity(line, words.locale)
    price = breakdown.unit_price(line, currency, words.locale)
    amount = words.money(sign * line.amount_minor, currency)
    return [words.document("step.units", quantity=quantity, price=price, amount=amount)] if price else []
