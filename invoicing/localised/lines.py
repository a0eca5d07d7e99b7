"""Titles of lines in the reader's language.

A document keeps its titles in English, as they were when it was issued. Those that are ours (`invoicing.wording`) are
read back and said again; what the seller called a condition or a fee stays as it is.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from contracts.domain import rating
from contracts.domain.periods import Period
from invoicing import texts
from invoicing.localised.catalogue import t
from invoicing.localised.formats import percent_text, period_name, price_text
from invoicing.models import InvoiceLine

_AMOUNT = r"-?[\d,]+(?:\.\d+)?"

# What a stored title of each kind looks like, in order of trial, and the message that says it again.
_STORED: Final[Mapping[str, tuple[tuple[re.Pattern[str], str], ...]]] = {
    kind: tuple((re.compile(pattern, re.DOTALL), key) for pattern, key in forms)
    for kind, forms in {
        rating.DISCOUNT: [(r"Discount (?P<percent>[\d.]+) %", "line.discount_percent"), ("Discount", "line.discount")],
        rating.MAXIMUM: [
            (rf"(?P<what>.*): above the maximum of (?P<amount>{_AMOUNT}), not charged", "line.maximum"),
        ],
        rating.MINIMUM: [(rf"Minimum of (?P<amount>{_AMOUNT}): difference", "line.minimum")],
        rating.CAP: [(rf"Above the limit of (?P<amount>{_AMOUNT}), not charged", "line.cap")],
        rating.COMMITMENT: [(rf"Commitment of (?P<amount>{_AMOUNT}), in advance", "line.commitment")],
        rating.DRAWDOWN: [
            (rf"Drawn from the commitment of (?P<amount>{_AMOUNT}): (?P<left>{_AMOUNT}) left", "line.drawn"),
        ],
        rating.USAGE: [
            (r"(?P<title>.*), taken back", "line.taken_back"),
            (r"(?P<title>.*), corrected", "line.corrected"),
            (r"(?P<title>.*), at the new price", "line.new_price"),
            (r"(?P<title>.*), no longer at this price", "line.old_price"),
        ],
        InvoiceLine.Kind.GOODWILL: [(r"Credited before, as goodwill", "line.goodwill_before")],
        rating.TRUE_UP: [(rf"Commitment of (?P<amount>{_AMOUNT}): difference", "line.true_up")],
    }.items()
}


def title_of(line: InvoiceLine, currency: str, locale: str, time_zone: str) -> str:
    """The title of a line, in the locale's words and formats where it is one of ours; else as it is stored."""
    if line.kind == rating.FEE:
        return _fee(line, locale, time_zone)
    for pattern, key in _STORED.get(line.kind, ()):
        found = pattern.fullmatch(line.title)
        if found is not None:
            return t(
                locale, key, **{name: _said(name, text, currency, locale) for name, text in found.groupdict().items()}
            )
    return line.title


def _fee(line: InvoiceLine, locale: str, time_zone: str) -> str:
    period = Period(line.period_start, line.period_end)
    end = f", {texts.named(period, time_zone)}"
    if not line.title.endswith(end):
        return line.title
    return t(locale, "line.fee", name=line.title.removesuffix(end), period=period_name(period, locale, time_zone))


def _said(name: str, text: str, currency: str, locale: str) -> str:
    match name:
        case "title":
            return text
        case "what":
            return t(locale, "line.a_price") if text == "a price" else text
        case "percent":
            return percent_text(Decimal(text), locale)
        case _:
            return price_text(Decimal(text.replace(",", "")), currency, locale)
