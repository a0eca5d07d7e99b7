"""Billing periods: how a contract's time is cut.

A cut is the first instant of a local day in the contract's time zone. The n-th cut is worked out from the anchor day
itself, never from the cut before it, so the 31st does not drift to the 28th after February. Periods are half open and
contiguous: each instant of the contract lies in exactly one. Zone data comes from the pinned tzdata package, so that a
period is the same on every machine.
"""

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

WEEKLY: Final = "weekly"
MONTHS: Final[dict[str, int]] = {"monthly": 1, "quarterly": 3, "yearly": 12}
BILLING_PERIODS: Final = (WEEKLY, *MONTHS)

_NONE: Final = timedelta()
_HALF_A_DAY: Final = timedelta(hours=12)


class OutsideContract(ValueError):
    """The instant lies before the contract's start or at or after its end."""


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open span [start, end) of aware UTC instants."""

    start: datetime
    end: datetime

    def __contains__(self, instant: object) -> bool:
        return isinstance(instant, datetime) and self.start <= instant < self.end


@dataclass(frozen=True, slots=True)
class Cadence:
    """How periods are cut: ``billing_period`` (weekly, monthly, quarterly, yearly), ``anchor_day`` (1-31, the 31st
    being the last day of shorter months; weekly: 1 = Monday to 7 = Sunday) and the IANA name of the time zone.
    """

    billing_period: str
    anchor_day: int
    time_zone: str

    def __post_init__(self) -> None:
        if self.billing_period not in BILLING_PERIODS:
            raise ValueError(f"billing period {self.billing_period!r} is not one of {', '.join(BILLING_PERIODS)}")
        last = 7 if self.billing_period == WEEKLY else 31
        if not 1 <= self.anchor_day <= last:
            raise ValueError(f"the anchor day of a {self.billing_period} period is 1 to {last}, not {self.anchor_day}")
        zone(self.time_zone)


@dataclass(frozen=True, slots=True)
class Segment:
    """From ``effective_at`` on, ``cadence`` is to cut the contract; it takes over when the period then running ends."""

    effective_at: datetime
    cadence: Cadence


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every zone of the pinned tz database."""
    return frozenset((resources.files("tzdata") / "zones").read_text().split())


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone from the tzdata package, whatever the system has installed. Raises ValueError for an unknown name."""
    if name not in zone_names():
        raise ValueError(f"{name!r} is not a time zone of the tz database (such as Europe/Berlin)")
    path = resources.files("tzdata") / "zoneinfo"
    for part in name.split("/"):
        path = path / part
    with path.open("rb") as handle:
        return ZoneInfo.from_file(handle, key=name)


@lru_cache(maxsize=65536)
def day_start(day: date, time_zone: str) -> datetime:
    """The first instant, in UTC, of a local day.

    Where midnight comes twice it is the first one. Where the clocks jump over it, the first valid instant of the day;
    where a zone skipped the whole day (Apia, 2011-12-30), the first instant after the gap.
    """
    tz = zone(time_zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=tz)
    # In a gap, fold=0 reads the wall time with the offset before it and fold=1 with the one after it, which is earlier.
    instant = midnight.astimezone(UTC)
    if instant.astimezone(tz) == midnight:  # of one zone, so wall times compare
        return instant
    before = midnight.replace(fold=1).astimezone(UTC)
    low, high = 0, int((instant - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(tz) < midnight:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def period_containing(
    instant: datetime,
    *,
    starts_at: datetime,
    billing_period: str,
    anchor_day: int,
    time_zone: str,
    ends_at: datetime | None = None,
) -> Period:
    """The period of a contract that contains ``instant``, clipped to the contract's start and end.

    Quarters and years are counted from the anchor day at or before the contract's start. Raises `OutsideContract` for
    an instant the contract does not cover, and ValueError for an unknown cadence or zone.
    """
    return scheduled_period(
        instant,
        segments=(Segment(starts_at, Cadence(billing_period, anchor_day, time_zone)),),
        starts_at=starts_at,
        ends_at=ends_at,
    )


def iterate_periods(
    *,
    starts_at: datetime,
    billing_period: str,
    anchor_day: int,
    time_zone: str,
    ends_at: datetime | None = None,
) -> Iterator[Period]:
    """Every period from the contract's start on, without end where the contract has none."""
    yield from scheduled_periods(
        segments=(Segment(starts_at, Cadence(billing_period, anchor_day, time_zone)),),
        starts_at=starts_at,
        ends_at=ends_at,
    )


def scheduled_period(
    instant: datetime, *, segments: Sequence[Segment], starts_at: datetime, ends_at: datetime | None = None
) -> Period:
    """As `period_containing`, for a contract whose cadence an amendment changed.

    A new cadence takes over at the end of the period that contains its ``effective_at``; its first period may be short.
    So an amendment never moves a cut that has passed, and periods stay contiguous.
    """
    origin, cadence, until = _span_of(instant, segments, starts_at, ends_at)
    return _period(instant, cadence, origin, until)


def scheduled_periods(
    *,
    segments: Sequence[Segment],
    starts_at: datetime,
    ends_at: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Period]:
    """Every period in order; with ``until`` only those that begin before it."""
    for start, cadence, end in _spans(segments, starts_at, ends_at):
        index, step = _place(start, cadence, start)
        cursor = start
        while (end is None or cursor < end) and (until is None or cursor < until):
            index += step
            cut = _cut(cadence, index)
            period = Period(cursor, cut if end is None else min(cut, end))
            yield period
            cursor = period.end


def cadence_at(
    instant: datetime, *, segments: Sequence[Segment], starts_at: datetime, ends_at: datetime | None = None
) -> Cadence:
    """What cuts the period that contains ``instant``: its zone is the one in which that period's days are counted."""
    return _span_of(instant, segments, starts_at, ends_at)[1]


def full_period_of(
    period: Period, *, segments: Sequence[Segment], starts_at: datetime, ends_at: datetime | None = None
) -> Period:
    """The whole period that the cadence cuts around one of the contract's: from cut to cut, also where the contract
    starts or ends within it, or a new cadence takes over. What is prorated is a share of its days (`local_days`).
    """
    origin, cadence, _ = _span_of(period.start, segments, starts_at, ends_at)
    index, step = _place(period.start, cadence, origin)
    return Period(_cut(cadence, index), _cut(cadence, index + step))


def local_days(start: datetime, end: datetime, time_zone: str) -> int:
    """How many calendar days of the zone lie in [start, end): an hour more or less makes no day, and a day that the
    zone skipped was none (Apia had 30 in December 2011); one that came twice is one.

    An instant within a day stands for that day's beginning: whoever starts at noon has the whole of that day, and
    whoever ends at noon has none of it. So the days of adjoining spans add up to those of the whole.
    """
    tz = zone(time_zone)
    first, last = start.astimezone(tz), end.astimezone(tz)
    days = (last.date() - first.date()).days
    # Only where the clocks jumped by a day can one be missing: nearly never, so nearly nobody counts them one by one.
    jumped = (last.utcoffset() or _NONE) - (first.utcoffset() or _NONE)
    if jumped < _HALF_A_DAY:
        return days
    begun = [day_start(first.date() + timedelta(days=n), time_zone) for n in range(days + 1)]
    return sum(day < following for day, following in pairwise(begun))


def _span_of(
    instant: datetime, segments: Sequence[Segment], starts_at: datetime, ends_at: datetime | None
) -> tuple[datetime, Cadence, datetime | None]:
    """The span of `_spans` that contains ``instant``. Raises `OutsideContract`."""
    if instant < starts_at or (ends_at is not None and instant >= ends_at):
        raise OutsideContract(f"{instant.isoformat()} is outside the contract")
    spans = _spans(segments, starts_at, ends_at)
    return next(span for span in spans if span[2] is None or instant < span[2])


def _spans(
    segments: Sequence[Segment], starts_at: datetime, ends_at: datetime | None
) -> Iterator[tuple[datetime, Cadence, datetime | None]]:
    """(start, cadence, end) for each cadence in turn, adjoining, clipped to the contract."""
    start, cadence = starts_at, segments[0].cadence
    for segment in segments[1:]:
        if segment.cadence == cadence:
            continue
        if ends_at is not None and segment.effective_at >= ends_at:
            break
        if segment.effective_at <= start:
            cadence = segment.cadence
            continue
        running = _period(segment.effective_at, cadence, start, ends_at)
        takes_over = running.start if running.start == segment.effective_at else running.end
        if ends_at is not None and takes_over >= ends_at:
            break
        yield start, cadence, takes_over
        start, cadence = takes_over, segment.cadence
    yield start, cadence, ends_at


def _period(instant: datetime, cadence: Cadence, origin: datetime, end: datetime | None) -> Period:
    """The period around ``instant`` on the grid of ``cadence`` counted from ``origin``, clipped to [origin, end)."""
    index, step = _place(instant, cadence, origin)
    first, last = _cut(cadence, index), _cut(cadence, index + step)
    return Period(max(first, origin), last if end is None else min(last, end))


def _place(instant: datetime, cadence: Cadence, origin: datetime) -> tuple[int, int]:
    """The index of the last cut at or before ``instant``, and the step from one cut to the next."""
    if cadence.billing_period == WEEKLY:
        return _at_or_before(instant, cadence, _week_of(instant, cadence), 1), 1
    step = MONTHS[cadence.billing_period]
    anchor = _at_or_before(origin, cadence, _month_of(origin, cadence), 1)
    guess = _month_of(instant, cadence)
    return _at_or_before(instant, cadence, anchor + (guess - anchor) // step * step, step), step


def _at_or_before(instant: datetime, cadence: Cadence, guess: int, step: int) -> int:
    """The greatest index of the grid, in steps from ``guess``, whose cut is at or before ``instant``."""
    index = guess
    while _cut(cadence, index) > instant:
        index -= step
    while _cut(cadence, index + step) <= instant:
        index += step
    return index


def _week_of(instant: datetime, cadence: Cadence) -> int:
    return instant.astimezone(zone(cadence.time_zone)).date().toordinal() // 7


def _month_of(instant: datetime, cadence: Cadence) -> int:
    local = instant.astimezone(zone(cadence.time_zone))
    return local.year * 12 + local.month - 1


def _cut(cadence: Cadence, index: int) -> datetime:
    """The cut with that index: weeks since 0001-01-01 (a Monday), or months since year 0."""
    if cadence.billing_period == WEEKLY:
        # Ordinal 1 is a Monday, so week n's Monday is 7n + 1.
        return day_start(date.fromordinal(index * 7 + cadence.anchor_day), cadence.time_zone)
    year, month = divmod(index, 12)
    day = cadence.anchor_day
    if day > 28:
        day = min(day, calendar.monthrange(year, month + 1)[1])
    return day_start(date(year, month + 1, day), cadence.time_zone)
