"""What the pages of rate cards and contracts show beside the terms: curves, a history, and what higher apps tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.safestring import SafeString

from contracts import amendments, prices, queries, versions
from contracts.admin_curves import by_label, curve_of
from contracts.history import History, Span, history_of
from contracts.models import Contract, RateCard
from contracts.prices import PriceFields


@dataclass(frozen=True)
class TermsNote:
    """What a higher app shows of a contract beside its terms. ``look`` reads how things stand: under the terms in
    force, and once more inside the transaction in which a change stands that is only tried. ``show`` tells one look, or
    two beside each other (before, after), and a change's `Preview`; an empty text says nothing.
    """

    look: Callable[[HttpRequest, Contract, datetime], Any]
    show: Callable[[Any, Any, amendments.Preview | None], SafeString]


# What higher apps show on these pages; they register when they load.
TERMS_NOTES: list[TermsNote] = []
# Called with a rate card's key, its currency and prices as entered, when they hold and "Preview" was pressed.
CARD_NOTES: list[Callable[[HttpRequest, str, str, Sequence[PriceFields], datetime], SafeString]] = []
# Further buttons of the rate card's page: (text, URL that takes its inputs).
CARD_BUTTONS: list[Callable[[HttpRequest], tuple[str, str] | None]] = []


def card_context(request: HttpRequest, card: RateCard, now: datetime) -> dict[str, Any]:
    """The curves of one version of a rate card, ``?shown=NUMBER`` or the one in force, beside the one before it."""
    listed = sorted(card.versions.all(), key=versions.start_of)
    shown = queries.shown_version(listed, now)
    wanted = request.GET.get("shown", "")
    shown = next((one for one in listed if str(one.number) == wanted), shown)
    earlier = [one for one in listed if versions.start_of(one) < versions.start_of(shown)]
    before = by_label(prices.stored(earlier[-1])) if earlier else {}
    names = {"after_name": f"version {shown.number}", "before_name": f"version {earlier[-1].number}" if earlier else ""}
    curves = [
        curve_of(price, shown.currency, before.get(prices.label(price)), **names) for price in prices.stored(shown)
    ]
    return {"card_versions": listed, "shown": shown, "curves": curves}


def contract_context(request: HttpRequest, contract: Contract, now: datetime) -> dict[str, Any]:
    """The history of a contract, and what higher apps show of it as it stands."""
    notes = [note.show(note.look(request, contract, now), None, None) for note in TERMS_NOTES]
    return {"history": picture_of(history_of(contract, now)), "notes": notes}


@dataclass(frozen=True)
class Picture:
    """A history with where its bars lie, in percent of the width."""

    history: History
    bars: list[tuple[Span, str, str]] = field(default_factory=list)
    ticks: list[str] = field(default_factory=list)
    today: str = ""


def picture_of(history: History) -> Picture:
    """Bars of versions, and the ends of billing periods."""
    whole = history.shown_to - history.shown_from

    def place(moment: datetime) -> int:
        """In hundredths of a percent, within the picture."""
        inside = min(max(moment, history.shown_from), history.shown_to)
        return 10_000 * (inside - history.shown_from) // whole

    def percent(hundredths: int) -> str:
        return f"{hundredths // 100}.{hundredths % 100:02d}%"

    bars = []
    for span in history.spans:
        left, right = place(span.start), place(span.end or history.shown_to)
        bars.append((span, percent(left), percent(max(right - left, 0))))
    ticks = [percent(place(period.start)) for period in history.periods]
    today = percent(place(history.now)) if history.shown_from <= history.now <= history.shown_to else ""
    return Picture(history, bars, ticks, today)
