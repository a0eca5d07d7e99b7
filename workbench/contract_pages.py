"""The pages of contracts (contracts/admin_pages.py) with their running period, as it stands and by terms as entered."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from contracts.admin_shown import TERMS_NOTES, TermsNote
from contracts.amendments import Preview
from contracts.domain import money
from workbench.contract_preview import Look, Row, Sum, corrections_of, follows, look, rows_of, sums_of


def running_period(first: Look | str | None, second: Look | str | None, preview: Preview | None) -> SafeString:
    """One look, or two beside each other where a change is tried."""
    troubles = [one for one in (first, second) if isinstance(one, str)]
    before, after = (None if isinstance(one, str) else one for one in (first, second))
    if troubles:
        return render_to_string("workbench/contract_running.html", {"trouble": troubles[-1]})
    shown = after or before
    if shown is None and preview is None:
        return SafeString("")
    currency = "" if shown is None else shown.currency
    sides = (before, after) if preview is not None else (None, before)
    context: dict[str, Any] = {"look": shown, "tried": preview is not None, "currency": currency}
    if shown is not None:
        parts = [
            ("Confirmed so far", "confirmed", "Nothing is confirmed."),
            ("Provisional: in its settlement window, and would settle in this period", "provisional", ""),
            ("To be given back by a credit note", "to_credit", ""),
        ]
        context["parts"] = [
            (title, _shown(rows_of(*(None if one is None else getattr(one, name) for one in sides)), currency), nothing)
            for title, name, nothing in parts
        ]
        context["sums"] = _shown(sums_of(*sides, provisional=False), currency)
        context["expected"] = _shown(sums_of(*sides, provisional=True), currency)
    if preview is not None:
        context["corrections"] = _corrections(before, after, preview)
    return render_to_string("workbench/contract_running.html", context)


def _shown(rows: Iterable[Row | Sum], currency: str) -> list[Mapping[str, str]]:
    def amount(minor: int | None, *, signed: bool = False) -> str:
        if minor is None:
            return "–"
        text = f"{money.from_minor(minor, currency):,f}"
        return f"+{text}" if signed and minor > 0 else text

    return [
        {
            "title": row.title if isinstance(row, Row) else row.name,
            "quantity": row.quantity if isinstance(row, Row) else "",
            "before": amount(row.before),
            "after": amount(row.after),
            "difference": amount(row.difference, signed=True),
        }
        for row in rows
    ]


def _corrections(before: Look | None, after: Look | None, preview: Preview) -> list[str]:
    """What the change does to periods that have ended, a sentence for each."""
    if after is not None:
        return [
            f"The period that began on {_day(one.start, after.time_zone)} comes to"
            f" {_moved(one.minor, after.currency)}: {follows(one, after)}."
            for one in corrections_of(before, after)
        ]
    # Not running: what is invoiced the change of terms tells itself.
    return [
        f"The period that began at {one['period_start']} comes to {_said(Decimal(one['difference']), one['currency'])}:"
        " it was invoiced, so a document of its own corrects it."
        for one in preview.periods or ()
        if one["invoiced"]
    ]


def _day(start: datetime, time_zone: str) -> str:
    return f"{start.astimezone(ZoneInfo(time_zone)):%-d %B %Y}"


def _moved(minor: int, currency: str) -> str:
    return _said(money.from_minor(minor, currency), currency)


def _said(amount: Decimal, currency: str) -> str:
    return f"{abs(amount):,f} {currency} {'more' if amount > 0 else 'less'}"


TERMS_NOTES.append(TermsNote(look, running_period))
