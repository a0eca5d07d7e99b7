"""What both kinds of documents print: parties, lines by period, taxes, the meaning of each line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from babel import Locale
from babel.core import get_global

from contracts.domain.periods import Period
from invoicing import breakdown
from invoicing.localised import amount_text, language_of, money_text, percent_text, t
from invoicing.localised.formats import locale_of
from invoicing.localised.lines import title_of
from invoicing.models import InvoiceLine

# Scripts that invoicing/fonts has glyphs for. A locale in another one is printed in English.
_PRINTED: Final = frozenset({"Latn", "Cyrl", "Grek", "Jpan", "Hans", "Hant", "Kore"})
# But for letters that these languages alone have.
_UNPRINTED: Final = frozenset({"ab", "cu"})
# Wide signs are for running East Asian text; before a figure they leave a hole.
_WIDE: Final = str.maketrans("￥￦", "¥₩")
# What would change how other text is set: control characters, and those that turn the direction of what follows.
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# A word that may be wider than its column. East Asian text breaks everywhere by rules of its own.
_LONG: Final = re.compile("[!-\u2e7f]{45,}")


@dataclass(frozen=True)
class Counts:
    """Of one line: outcomes that it takes back, and outcomes that it bills although it is on a credit note."""

    taken_back: int = 0
    confirmed_late: int = 0


@dataclass(frozen=True)
class Sheet:
    """What the words and figures of one document depend on."""

    locale: str
    currency: str
    time_zone: str
    counts: Mapping[UUID, Counts] = field(default_factory=dict)

    def t(self, key: str, /, **values: str | int) -> str:
        """A message in the document's language."""
        return t(self.locale, key, **values)

    def amount(self, minor: int) -> str:
        """An amount in a column."""
        return amount_text(minor, self.currency, self.locale)

    def money(self, minor: int) -> str:
        """An amount with its currency."""
        return money_text(minor, self.currency, self.locale).translate(_WIDE)


def locale_of_parties(parties: Mapping[str, Any]) -> str:
    """The locale that a document is printed in: its customer's, where our fonts have the script."""
    locale = parties["customer"].get("locale") or "en"
    known = locale_of(locale)
    return locale if _script(known) in _PRINTED and known.language not in _UNPRINTED else "en"


def _script(locale: Locale) -> str:
    if locale.script:
        return locale.script
    likely: Mapping[str, str] = get_global("likely_subtags")
    tag = likely.get(f"{locale.language}_{locale.territory}") or likely.get(locale.language, "")
    return next((part for part in tag.split("_") if len(part) == 4), "")


def head(parties: Mapping[str, Any], sheet: Sheet, party: str) -> dict[str, Any]:
    """Who sends the document and whom it is for; ``party`` is the message over the latter."""
    seller, customer = parties["seller"], parties["customer"]
    seller_tax = sheet.t("party.tax_id", id=seller["tax_id"]) if seller.get("tax_id") else ""
    customer_tax = sheet.t("party.tax_id", id=customer["tax_id"]) if customer.get("tax_id") else ""
    name = customer.get("name") or customer["key"]
    return {
        "lang": language_of(sheet.locale),
        "page": sheet.t("page", page="{page}", pages="{pages}"),
        "colon": sheet.t("colon"),
        "hash_label": sheet.t("recount.hash"),
        "footer": " · ".join(filter(None, [seller["name"], seller.get("email", ""), seller_tax])),
        "seller": {
            "name": seller["name"],
            "details": _joined([seller.get("address", ""), seller.get("email", ""), seller_tax]),
        },
        "customer": {
            "label": sheet.t(party),
            "name": name,
            "details": _joined(
                [
                    customer.get("address", ""),
                    customer.get("email", ""),
                    customer_tax,
                    sheet.t("party.customer", key=customer["key"]) if customer["key"] != name else "",
                ]
            ),
        },
    }


def columns(sheet: Sheet, first: str) -> list[str]:
    """The head of the table of lines."""
    return [
        sheet.t(first),
        sheet.t("table.quantity"),
        sheet.t("table.unit_price"),
        sheet.t("table.amount", currency=sheet.currency),
    ]


def groups(lines: Sequence[InvoiceLine], sheet: Sheet, heading: Mapping[Period, str]) -> list[dict[str, Any]]:
    """Lines by period under the heading of each, without one where that is empty."""
    notes = breakdown.of_lines(lines, sheet.currency, sheet.locale)
    found = []
    for period, members in groupby(
        zip(lines, notes, strict=True), key=lambda one: Period(one[0].period_start, one[0].period_end)
    ):
        found.append(
            {"heading": heading.get(period, ""), "lines": [_line(line, under, sheet) for line, under in members]}
        )
    return found


def _line(line: InvoiceLine, notes: Sequence[str], sheet: Sheet) -> dict[str, Any]:
    counts = sheet.counts.get(line.id, Counts())
    told = [
        sheet.t(key, count=count)
        for key, count in (("note.taken_back", counts.taken_back), ("note.confirmed_late", counts.confirmed_late))
        if count
    ]
    return {
        # Nobody wants half a line on the next page; one of very many tiers must have it.
        "whole": len(told) + len(notes) < 30 and len(line.title) < 1000,
        "strong": line.kind in (InvoiceLine.Kind.USAGE, InvoiceLine.Kind.ITEM),
        "title": title_of(line, sheet.currency, sheet.locale, sheet.time_zone),
        "detail": " · ".join(f"{name}: {value}" for name, value in sorted(line.dimensions.items())),
        "notes": [*told, *notes],
        "quantity": breakdown.quantity(line, sheet.locale),
        "unit_price": breakdown.unit_price(line, sheet.currency, sheet.locale),
        # A credit note says what it gives back; its lines hold what they add to the period.
        "amount": sheet.amount(-line.amount_minor if line.credit_note_id else line.amount_minor),
    }


def row(label: str, amount: str, weight: str = "plain") -> dict[str, str]:
    """One of the sums; ``weight`` is plain, soft or strong."""
    return {"label": label, "amount": amount, "weight": weight}


def sums(taxes: Sequence[Mapping[str, Any]], subtotal_minor: int, total: dict[str, str], sheet: Sheet) -> list[Any]:
    """Subtotal and taxes around the total: those on top before it, those that prices contain after it."""

    def tax(one: Mapping[str, Any], key: str, weight: str) -> dict[str, str]:
        percent, taxable = percent_text(Decimal(one["percent"]), sheet.locale), sheet.amount(one["taxable_minor"])
        label = sheet.t(key, name=one["name"], percent=percent, taxable=taxable)
        return row(label, sheet.amount(one["amount_minor"]), weight)

    on_top = [tax(one, "sum.tax", "plain") for one in taxes if not one["inclusive"]]
    contained = [tax(one, "sum.tax_contained", "soft") for one in taxes if one["inclusive"]]
    subtotal = [row(sheet.t("sum.subtotal"), sheet.amount(subtotal_minor))] if on_top else []
    return [*subtotal, *on_top, total, *contained]


def tax_notes(taxes: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the law asks to be said of a tax, such as that the recipient owes it."""
    return list(dict.fromkeys(one["note"] for one in taxes if one["note"]))


def meanings(lines: Iterable[InvoiceLine], sheet: Sheet) -> dict[str, Any]:
    """Each sentence once, in order of appearance, however many lines it stands behind."""
    # A line that corrects is called after what it corrects.
    seen = dict.fromkeys((line.details.get("of", line.title), line.sentence) for line in lines if line.sentence)
    entries = [{"title": title, "sentence": sentence} for title, sentence in seen]
    return {"heading": sheet.t("meanings"), "entries": entries}


def marks(sheet: Sheet, parties: Mapping[str, Any], state: str) -> list[str]:
    """What is stamped on it; ``state`` is the message of its state, empty without one."""
    test = ["mark.test"] if parties["customer"].get("test") else []
    return [sheet.t(key) for key in (*test, *([state] if state else []))]


def settable(value: Any) -> Any:
    """The same data with every text such that it can be set: without control characters, and long words broken where
    they must be.
    """
    if isinstance(value, str):
        return _LONG.sub(lambda word: "\u200b".join(word[0]), _CONTROLS.sub("", value))
    if isinstance(value, Mapping):
        return {name: settable(one) for name, one in value.items()}
    return [settable(one) for one in value] if isinstance(value, list | tuple) else value


def _joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
