"""The versions of a contract as a history: how long each is in force, and what it changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from contracts import amendments, timeline
from contracts.agreed import comparable
from contracts.changes import Difference, differences_of
from contracts.clocks import now_of
from contracts.domain.periods import Cadence, Period, Segment, scheduled_periods
from contracts.models import Contract
from contracts.timeline import Entry

MOST_PERIODS = 60
PAST, IN_FORCE, COMING, REPLACED = "past", "in force", "coming", "replaced throughout"


@dataclass(frozen=True)
class Span:
    """One version in force in [start, end), end None as long as the contract runs; what it changed of the terms in
    force before it. One that never is in force has ``start`` and ``end`` the same.
    """

    number: int
    start: datetime
    end: datetime | None
    state: str
    changes: tuple[Difference, ...]


@dataclass(frozen=True)
class History:
    """``spans`` in the order in which the versions were made; ``periods`` are the last billing periods up to the
    running one and the one that follows it. ``shown_from`` and ``shown_to`` bound a picture of it.
    """

    spans: tuple[Span, ...]
    periods: tuple[Period, ...]
    now: datetime
    shown_from: datetime
    shown_to: datetime


def history_of(contract: Contract, now: datetime) -> History:
    """The history of a stored contract, by its customer's clock. Four queries, and one for a test clock."""
    now = now_of(contract.customer, now)
    entries = amendments.entries_of(contract)
    spans = tuple(_span(entries, number, entry, now) for number, entry in enumerate(entries))
    starts_at, ends_at = min(entry.effective_at for entry in entries), contract.ends_at
    last = max([now, *(entry.effective_at for entry in entries)])
    periods = _periods(entries, starts_at, ends_at, last)
    # A contract without an end goes on beyond what is drawn.
    shown_to = ends_at if ends_at is not None else max([last, *(period.end for period in periods[-1:])])
    shown_to = max(shown_to, starts_at + timedelta(days=1))
    return History(spans, periods, now, starts_at, shown_to)


def _span(entries: Sequence[Entry], index: int, entry: Entry, now: datetime) -> Span:
    changes: tuple[Difference, ...] = ()
    if index:
        before = timeline.in_force(entries[:index], entry.effective_at)
        changes = differences_of(comparable(replace(before.terms, commitments=())), comparable(entry.terms))
    start, end = entry.effective_at, timeline.until(entries, entry)
    if timeline.in_force(entries, start) is not entry:
        return Span(index + 1, start, start, REPLACED, changes)
    state = COMING if start > now else PAST if end is not None and end <= now else IN_FORCE
    return Span(index + 1, start, end, state, changes)


def _periods(
    entries: Sequence[Entry], starts_at: datetime, ends_at: datetime | None, last: datetime
) -> tuple[Period, ...]:
    in_turn = sorted(entries, key=lambda entry: entry.effective_at)
    segments = [
        Segment(one.effective_at, Cadence(one.terms.billing_period, one.terms.anchor_day, one.terms.time_zone))
        for one in in_turn
    ]
    found = scheduled_periods(segments=segments, starts_at=starts_at, ends_at=ends_at, until=last + datetime.resolution)
    return tuple(found)[-MOST_PERIODS:]
