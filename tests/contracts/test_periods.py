"""Billing periods: contiguous in every zone and for every anchor, cut at local midnight, never drifting."""

import random
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.domain.periods import (
    Cadence,
    OutsideContract,
    Period,
    Segment,
    cadence_at,
    day_start,
    full_period_of,
    iterate_periods,
    local_days,
    period_containing,
    scheduled_period,
    scheduled_periods,
    zone,
    zone_names,
)

ZONES = sorted(zone_names())
MICROSECOND = timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def terms(**given: Any) -> dict[str, Any]:
    return {"starts_at": utc(2026, 1, 1), "billing_period": "monthly", "anchor_day": 1, "time_zone": "UTC"} | given


def days(count: int, **given: Any) -> list[str]:
    """The local days on which the first periods begin."""
    wanted = terms(**given)
    found = islice(iterate_periods(**wanted), count)
    return [str(period.start.astimezone(zone(wanted["time_zone"])).date()) for period in found]


@pytest.fixture(scope="module")
def rules() -> list[list[str]]:
    """The zones of the tz database, those with one set of rules together: most names are links to others."""
    groups: dict[bytes, list[str]] = {}
    for name in ZONES:
        file = resources.files("tzdata") / "zoneinfo" / name
        groups.setdefault(file.read_bytes(), []).append(name)
    assert sum(map(len, groups.values())) == len(ZONES) > 590
    assert len(groups) > 330
    return list(groups.values())


SWEEPS = [
    # Five years of months with all that clocks did in 2010 to 2014, Samoa's skipped day among it.
    ("monthly", range(1, 32), utc(2010, 1, 31, 12)),
    ("weekly", range(1, 8), utc(2011, 1, 5, 12)),
    ("quarterly", (1, 15, 29, 30, 31), utc(2004, 2, 29, 12)),
    ("yearly", (1, 28, 29, 30, 31), utc(1976, 2, 29, 12)),
    ("yearly", (30, 31), utc(1975, 12, 31, 12)),
]


@pytest.mark.parametrize(("cadence", "anchors", "start"), SWEEPS, ids=[f"{row[0]}-{row[2].year}" for row in SWEEPS])
def test_every_zone_and_anchor_sixty_periods_each(
    rules: list[list[str]], cadence: str, anchors: Sequence[int], start: datetime
) -> None:
    """Contiguous, each on the day it should be and from that day's first instant on. The anchors at the ends of a month
    (of a week) in every zone, each of the others in every fifth.
    """
    for number, (name, *_) in enumerate(rules):
        tz = zone(name)
        for anchor in (one for one in anchors if one in (1, 7, 28, 29, 30, 31) or (one + number) % 5 == 0):
            found = list(
                islice(iterate_periods(starts_at=start, billing_period=cadence, anchor_day=anchor, time_zone=name), 60)
            )
            assert len(found) == 60 and found[0].start == start
            assert all(one.start < one.end == following.start for one, following in pairwise(found)), (name, anchor)
            for period, day in zip(found, expected_days(cadence, anchor, start.astimezone(tz).date(), 60), strict=True):
                shown = period.end.astimezone(tz).date()
                if shown != day:
                    assert (name, day) in SKIPPED and shown == day + timedelta(days=1), (name, anchor, shown)
                # One microsecond earlier it was another day: the cut is the day's first instant.
                assert (period.end - MICROSECOND).astimezone(tz).date() < shown, (name, anchor, shown)


@cache
def expected_days(cadence: str, anchor: int, start: date, count: int) -> list[date]:
    """The first days after ``start`` on which periods begin, told by looking at each day (or month) of the calendar."""
    if cadence == "weekly":
        days = (start + timedelta(days=n) for n in range(1, 10_000))
        return list(islice((day for day in days if day.isoweekday() == anchor), count))
    step = {"monthly": 1, "quarterly": 3, "yearly": 12}[cadence]
    months = [(year, month) for year in range(start.year - 1, start.year + 70) for month in range(1, 13)]
    grid = [_anchor_of(year, month, anchor) for year, month in months]
    origin = max(index for index, day in enumerate(grid) if day <= start)
    return grid[origin + step :: step][:count]


def _anchor_of(year: int, month: int, anchor: int) -> date:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return date(
        year, month, min(anchor, 29 if month == 2 and leap else 28 if month == 2 else 30 + (month + month // 8) % 2)
    )


# Days that are in no calendar of their zone: it crossed the date line.
SKIPPED = {
    ("Pacific/Apia", date(2011, 12, 30)),
    ("Pacific/Fakaofo", date(2011, 12, 30)),
    ("Pacific/Kwajalein", date(1993, 8, 21)),
    ("Kwajalein", date(1993, 8, 21)),
    ("Pacific/Kiritimati", date(1994, 12, 31)),
    ("Pacific/Enderbury", date(1994, 12, 31)),
    ("Pacific/Kanton", date(1994, 12, 31)),
}


def test_links_are_cut_as_the_zones_they_name(rules: list[list[str]]) -> None:
    days = [date(2010 + month // 12, 1 + month % 12, 1 + month % 28) for month in range(0, 200, 3)]
    for name, *links in rules:
        starts = [day_start(day, name) for day in days]
        for link in links:
            assert [day_start(day, link) for day in days] == starts, (name, link)


class Clock:
    """The wall clock of a zone, told by what it shows at instants of UTC alone: spans [start, end) of one offset."""

    def __init__(self, name: str, first: datetime, last: datetime) -> None:
        self.zone = zone(name)
        self.spans: list[tuple[datetime, datetime, timedelta]] = []
        start, low, offset = first, first, self._offset(first)
        while low < last:
            high = min(low + timedelta(days=10), last)
            if (then := self._offset(high)) != offset:
                high = self._change(low, high)
                self.spans.append((start, high, offset))
                start, then = high, self._offset(high)
            low, offset = high, then
        self.spans.append((start, last, offset))

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self.zone).utcoffset() or timedelta()

    def _change(self, low: datetime, high: datetime) -> datetime:
        """The second from which the clock is no longer as far from UTC as at ``low``; at ``high`` it is not."""
        offset, seconds = self._offset(low), (high - low) // timedelta(seconds=1)
        return low + timedelta(
            seconds=bisect_left(range(seconds), True, key=lambda n: self._offset(low + timedelta(seconds=n)) != offset)
        )

    def first_instant(self, day: date) -> datetime:
        """The first instant at which the clock shows this day (or a later one, where it never does)."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return min(
            max(start, midnight - offset) for start, end, offset in self.spans if max(start, midnight - offset) < end
        )


def test_the_first_instant_of_each_day_around_each_change_of_clocks(rules: list[list[str]]) -> None:
    """Missing midnights, midnights that come twice, changed offsets, skipped days: all there were since 1970 and will
    be until 2037, found and worked out without `day_start`.
    """
    changes = 0
    skipped = set()
    for name, *_ in rules:
        clock = Clock(name, utc(1970, 1, 1), utc(2037, 12, 31))
        everything, changes = clock.spans, changes + len(clock.spans) - 1
        for index, (_, change, _) in enumerate(everything[:-1]):
            clock.spans = everything[max(index - 3, 0) : index + 5]  # all that can show these days
            for day in (change.date() + timedelta(days=n) for n in range(-2, 3)):
                assert day_start(day, name) == clock.first_instant(day), (name, day)
                if day_start(day, name) == day_start(day + timedelta(days=1), name):
                    skipped.add((name, day))
    assert changes > 15_000
    assert skipped <= SKIPPED and {day for _, day in skipped} == {day for _, day in SKIPPED}


# --- days, for what is prorated ---------------------------------------------------------------------------------------

DAYS: list[tuple[str, str, tuple[int, ...], tuple[int, ...], int]] = [
    ("a February", "UTC", (2026, 2, 1), (2026, 3, 1), 28),
    ("a February of a leap year", "UTC", (2024, 2, 1), (2024, 3, 1), 29),
    ("of a year that is none, though divisible by four", "UTC", (2100, 2, 1), (2100, 3, 1), 28),
    ("a year", "UTC", (2025, 1, 1), (2026, 1, 1), 365),
    ("a leap year", "UTC", (2024, 1, 1), (2025, 1, 1), 366),
    ("nothing", "UTC", (2026, 2, 1), (2026, 2, 1), 0),
    ("the day of 23 hours", "Europe/Berlin", (2026, 3, 28, 23), (2026, 3, 29, 22), 1),
    ("the day of 25 hours", "Europe/Berlin", (2026, 10, 24, 22), (2026, 10, 25, 23), 1),
    ("the month of the one", "Europe/Berlin", (2026, 2, 28, 23), (2026, 3, 31, 22), 31),
    ("the month of the other", "Europe/Berlin", (2026, 9, 30, 22), (2026, 10, 31, 23), 31),
    ("half an hour is a change, too", "Australia/Lord_Howe", (2026, 3, 31, 13), (2026, 4, 30, 13, 30), 30),
    ("a day that begins at one", "America/Santiago", (2023, 9, 3, 4), (2023, 9, 4, 3), 1),
    ("Samoa's December had 30", "Pacific/Apia", (2011, 12, 1, 10), (2011, 12, 31, 10), 30),
    ("its second half 15", "Pacific/Apia", (2011, 12, 16, 10), (2011, 12, 31, 10), 15),
    ("the 29th and the 31st", "Pacific/Apia", (2011, 12, 29, 10), (2011, 12, 31, 10), 2),
    ("the day that was none", "Pacific/Apia", (2011, 12, 30, 10), (2011, 12, 30, 10), 0),
    ("Samoa's year had 364", "Pacific/Apia", (2011, 1, 1, 10), (2011, 12, 31, 10), 364),
    ("a day that came twice is one", "Kwajalein", (1969, 9, 29, 13), (1969, 10, 1, 12), 1),
    ("starting at noon, the whole of that day", "UTC", (2026, 2, 1, 12), (2026, 3, 1), 28),
    ("ending at noon, none of it", "UTC", (2026, 2, 1), (2026, 2, 28, 12), 27),
    ("within one day", "UTC", (2026, 2, 1, 6), (2026, 2, 1, 18), 0),
    ("UTC's midnight in New York is the day before", "America/New_York", (2026, 1, 1), (2026, 2, 1), 31),
]  # fmt: skip


@pytest.mark.parametrize(("name", "start", "end", "expected"), [r[1:] for r in DAYS], ids=[r[0] for r in DAYS])
def test_local_days(name: str, start: tuple[int, ...], end: tuple[int, ...], expected: int) -> None:
    assert local_days(utc(*start), utc(*end), name) == expected


def test_days_of_parts_add_up_in_every_zone(rules: list[list[str]]) -> None:
    """Over 2011, when Samoa skipped a day: cut anywhere, no day is lost and none counts twice."""
    chance = random.Random(6)
    start, span = utc(2011, 1, 1), timedelta(days=400)
    for name, *_ in rules:
        cuts = sorted(start + timedelta(seconds=chance.randrange(span // timedelta(seconds=1))) for _ in range(12))
        cuts = [start, *cuts, *(day_start(date(2011, 12, day), name) for day in (29, 30, 31)), start + span]
        cuts.sort()
        whole = (cuts[-1].astimezone(zone(name)).date() - cuts[0].astimezone(zone(name)).date()).days
        whole -= (name, date(2011, 12, 30)) in SKIPPED
        assert sum(local_days(a, b, name) for a, b in pairwise(cuts)) == whole == local_days(start, start + span, name)


PRORATED: list[tuple[str, dict[str, Any], datetime, tuple[datetime, datetime], int, int]] = [
    ("a whole month", {}, utc(2026, 1, 5), (utc(2026, 1, 1), utc(2026, 2, 1)), 31, 31),
    ("starting mid-month", {"starts_at": utc(2026, 1, 20)}, utc(2026, 1, 20), (utc(2026, 1, 1), utc(2026, 2, 1)),
     12, 31),
    ("ending mid-month", {"ends_at": utc(2026, 2, 15)}, utc(2026, 2, 3), (utc(2026, 2, 1), utc(2026, 3, 1)), 14, 28),
    ("both within one leap February", {"starts_at": utc(2024, 2, 5), "ends_at": utc(2024, 2, 10)}, utc(2024, 2, 7),
     (utc(2024, 2, 1), utc(2024, 3, 1)), 5, 29),
    ("from the 20th, cut on the 31st", {"starts_at": utc(2026, 2, 20), "anchor_day": 31}, utc(2026, 2, 20),
     (utc(2026, 1, 31), utc(2026, 2, 28)), 8, 28),
    ("a quarter, counted from the anchor before its start", {"starts_at": utc(2026, 2, 10),
     "billing_period": "quarterly"}, utc(2026, 4, 30), (utc(2026, 2, 1), utc(2026, 5, 1)), 80, 89),
    ("a year from a leap day", {"starts_at": utc(2024, 3, 1), "billing_period": "yearly", "anchor_day": 29},
     utc(2025, 1, 1), (utc(2024, 2, 29), utc(2025, 2, 28)), 364, 365),
    ("a week from Wednesday", {"billing_period": "weekly", "starts_at": utc(2026, 1, 7)}, utc(2026, 1, 7),
     (utc(2026, 1, 5), utc(2026, 1, 12)), 5, 7),
    ("the day of 23 hours in Berlin", {"starts_at": utc(2026, 3, 28, 23), "time_zone": "Europe/Berlin"},
     utc(2026, 3, 30), (utc(2026, 2, 28, 23), utc(2026, 3, 31, 22)), 3, 31),
    ("Samoa's December from the 16th", {"starts_at": utc(2011, 12, 16, 10), "time_zone": "Pacific/Apia"},
     utc(2011, 12, 20), (utc(2011, 12, 1, 10), utc(2011, 12, 31, 10)), 15, 30),
    ("Samoa's 31st, cut on the day that was none", {"starts_at": utc(2011, 12, 1, 10), "time_zone": "Pacific/Apia",
     "anchor_day": 30}, utc(2012, 1, 5), (utc(2011, 12, 30, 10), utc(2012, 1, 29, 10)), 30, 30),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "instant", "full", "days", "of_days"), [row[1:] for row in PRORATED], ids=[row[0] for row in PRORATED]
)
def test_days_in_force_of_the_days_of_the_full_period(
    given: dict[str, Any], instant: datetime, full: tuple[datetime, datetime], days: int, of_days: int
) -> None:
    wanted = terms(**given)
    period = period_containing(instant, **wanted)
    cadence = Cadence(wanted["billing_period"], wanted["anchor_day"], wanted["time_zone"])
    whole = full_period_of(period, segments=[Segment(wanted["starts_at"], cadence)], starts_at=wanted["starts_at"])
    assert whole == Period(*full)
    assert local_days(period.start, period.end, cadence.time_zone) == days
    assert local_days(whole.start, whole.end, cadence.time_zone) == of_days


def test_an_amendment_within_a_month_shares_its_days() -> None:
    """Terms that change on 11 February: 10 days of 28 and 18 of 28, whatever hour the change was agreed for."""
    february = period_containing(utc(2026, 2, 20), **terms())
    for change in (utc(2026, 2, 11), utc(2026, 2, 11, 17, 30)):
        parts = local_days(february.start, change, "UTC"), local_days(change, february.end, "UTC")
        assert parts == (10, 18)


def test_the_full_period_where_a_cadence_takes_over() -> None:
    """The quarter that begins on 1 April is one of 15 March to 15 June, in Berlin's days: 75 of 92."""
    monthly, quarterly = Cadence("monthly", 1, "UTC"), Cadence("quarterly", 15, "Europe/Berlin")
    segments = [Segment(utc(2026, 1, 1), monthly), Segment(utc(2026, 3, 10), quarterly)]
    schedule: dict[str, Any] = {"segments": segments, "starts_at": utc(2026, 1, 1), "ends_at": utc(2027, 1, 1)}
    march, april = (scheduled_period(instant, **schedule) for instant in (utc(2026, 3, 20), utc(2026, 4, 20)))
    assert full_period_of(march, **schedule) == march
    assert full_period_of(april, **schedule) == Period(utc(2026, 3, 14, 23), utc(2026, 6, 14, 22))
    assert [cadence_at(period.start, **schedule) for period in (march, april)] == [monthly, quarterly]
    assert local_days(april.start, april.end, "Europe/Berlin") == 75
    assert local_days(utc(2026, 3, 14, 23), utc(2026, 6, 14, 22), "Europe/Berlin") == 92
    with pytest.raises(OutsideContract):
        cadence_at(utc(2027, 1, 1), **schedule)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(["weekly", "monthly", "quarterly", "yearly"]),
    st.integers(1, 31),
    st.datetimes(datetime(1971, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 4000 * 86_400_000_000),
)
def test_each_instant_lies_in_the_one_period_that_contains_it(
    name: str, billing_period: str, anchor: int, start: datetime, offset: int
) -> None:
    if billing_period == "weekly":
        anchor = 1 + anchor % 7
    wanted = terms(starts_at=start, billing_period=billing_period, anchor_day=anchor, time_zone=name)
    instant = start + timedelta(microseconds=offset)
    period = period_containing(instant, **wanted)
    assert period.start <= instant < period.end and instant in period
    assert period_containing(period.start, **wanted) == period == period_containing(period.end - MICROSECOND, **wanted)
    assert period_containing(period.end, **wanted).start == period.end
    if period.start > start:
        assert period_containing(period.start - MICROSECOND, **wanted).end == period.start


def test_the_31st_does_not_drift() -> None:
    assert days(6, starts_at=utc(2024, 1, 31), anchor_day=31) == [
        "2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31", "2024-06-30",
    ]  # fmt: skip


def test_the_first_period_is_cut_short_by_the_contracts_start() -> None:
    assert days(3, starts_at=utc(2026, 1, 20), anchor_day=15) == ["2026-01-20", "2026-02-15", "2026-03-15"]


def test_quarters_and_years_count_from_the_contracts_start() -> None:
    assert days(4, billing_period="quarterly") == ["2026-01-01", "2026-04-01", "2026-07-01", "2026-10-01"]
    assert days(3, billing_period="quarterly", starts_at=utc(2026, 2, 10)) == ["2026-02-10", "2026-05-01", "2026-08-01"]
    assert days(3, billing_period="yearly", starts_at=utc(2024, 2, 29), anchor_day=29) == [
        "2024-02-29", "2025-02-28", "2026-02-28",
    ]  # fmt: skip


def test_weeks_begin_on_the_anchor_day() -> None:
    # 1 January 2026 is a Thursday.
    assert days(3, billing_period="weekly", anchor_day=1) == ["2026-01-01", "2026-01-05", "2026-01-12"]
    assert days(3, billing_period="weekly", anchor_day=7) == ["2026-01-01", "2026-01-04", "2026-01-11"]


def test_a_change_of_clocks_neither_loses_nor_doubles_an_hour() -> None:
    march = period_containing(utc(2026, 3, 10), **terms(time_zone="Europe/Berlin", starts_at=utc(2025, 12, 31, 23)))
    assert march == Period(utc(2026, 2, 28, 23), utc(2026, 3, 31, 22))
    assert march.end - march.start == timedelta(days=31) - timedelta(hours=1)
    october = period_containing(utc(2026, 10, 10), **terms(time_zone="Europe/Berlin", starts_at=utc(2025, 12, 31, 23)))
    assert october.end - october.start == timedelta(days=31) + timedelta(hours=1)


@pytest.mark.parametrize(
    ("name", "day", "instant"),
    [
        # Midnight does not exist: the first valid instant is 01:00 local.
        ("Asia/Beirut", date(2022, 3, 27), utc(2022, 3, 26, 22)),
        ("Africa/Cairo", date(2024, 4, 26), utc(2024, 4, 25, 22)),
        ("America/Santiago", date(2023, 9, 3), utc(2023, 9, 3, 4)),
        ("America/Sao_Paulo", date(2018, 11, 4), utc(2018, 11, 4, 3)),
        # 24 o'clock goes back to 23: midnight comes once, an hour late.
        ("America/Sao_Paulo", date(2018, 2, 18), utc(2018, 2, 18, 3)),
        # 01:00 goes back to 00:00: midnight comes twice, and the first one counts.
        ("Atlantic/Azores", date(2023, 10, 29), utc(2023, 10, 29, 0)),
        ("America/Havana", date(2023, 11, 5), utc(2023, 11, 5, 4)),
        # A gap that begins before midnight (23:30 to 00:30): the first valid instant is half past.
        ("America/Toronto", date(1919, 3, 31), utc(1919, 3, 31, 4, 30)),
        # The whole day was skipped: the instant after the gap.
        ("Pacific/Apia", date(2011, 12, 30), utc(2011, 12, 30, 10)),
        ("Pacific/Apia", date(2011, 12, 31), utc(2011, 12, 30, 10)),
    ],
)
def test_where_midnight_is_not_plain(name: str, day: date, instant: datetime) -> None:
    assert day_start(day, name) == instant


def test_a_contract_is_clipped_at_both_ends() -> None:
    wanted = terms(starts_at=utc(2026, 1, 10), ends_at=utc(2026, 3, 5))
    assert list(iterate_periods(**wanted)) == [
        Period(utc(2026, 1, 10), utc(2026, 2, 1)),
        Period(utc(2026, 2, 1), utc(2026, 3, 1)),
        Period(utc(2026, 3, 1), utc(2026, 3, 5)),
    ]
    for outside in (utc(2026, 1, 10) - MICROSECOND, utc(2026, 3, 5)):
        with pytest.raises(OutsideContract):
            period_containing(outside, **wanted)


def test_a_contract_that_ends_on_a_cut_has_no_empty_period() -> None:
    assert len(list(iterate_periods(**terms(ends_at=utc(2026, 3, 1))))) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"billing_period": "daily"}, {"anchor_day": 0}, {"anchor_day": 32}, {"time_zone": "Mars/Olympus"},
     {"time_zone": "../etc/passwd"}, {"billing_period": "weekly", "anchor_day": 8}],
)  # fmt: skip
def test_cadences_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        period_containing(utc(2026, 1, 1), **terms(**wrong))


def test_an_amended_cadence_takes_over_at_the_end_of_the_running_period() -> None:
    monthly = Cadence("monthly", 1, "UTC")
    segments = [
        Segment(utc(2026, 1, 1), monthly),
        Segment(utc(2026, 2, 10), monthly),
        Segment(utc(2026, 3, 10), Cadence("quarterly", 15, "Europe/Berlin")),
    ]
    found = list(islice(scheduled_periods(segments=segments, starts_at=utc(2026, 1, 1)), 6))
    assert found == [
        Period(utc(2026, 1, 1), utc(2026, 2, 1)),
        Period(utc(2026, 2, 1), utc(2026, 3, 1)),
        Period(utc(2026, 3, 1), utc(2026, 4, 1)),
        # Counted from the anchor day at or before 1 April: 15 March.
        Period(utc(2026, 4, 1), utc(2026, 6, 14, 22)),
        Period(utc(2026, 6, 14, 22), utc(2026, 9, 14, 22)),
        Period(utc(2026, 9, 14, 22), utc(2026, 12, 14, 23)),
    ]
    for period in found:
        assert scheduled_period(period.start, segments=segments, starts_at=utc(2026, 1, 1)) == period
        assert scheduled_period(period.end - MICROSECOND, segments=segments, starts_at=utc(2026, 1, 1)) == period


cadences = st.builds(
    Cadence, st.sampled_from(["monthly", "quarterly", "yearly"]), st.integers(1, 31), st.sampled_from(ZONES)
) | st.builds(Cadence, st.just("weekly"), st.integers(1, 7), st.sampled_from(ZONES))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 900), cadences), min_size=1, max_size=4), st.none() | st.integers(1, 1000))
def test_whatever_is_amended_periods_stay_contiguous(changes: list[tuple[int, Cadence]], length: int | None) -> None:
    start = utc(2024, 1, 17, 13)
    end = None if length is None else start + timedelta(days=length)
    segments = [
        Segment(start + timedelta(days=offset), cadence) for offset, cadence in sorted(changes, key=lambda c: c[0])
    ]
    found = list(islice(scheduled_periods(segments=segments, starts_at=start, ends_at=end), 80))
    assert found[0].start == start
    for period, following in pairwise(found):
        assert period.start < period.end == following.start
    if end is not None and len(found) < 80:
        assert found[-1].end == end
    for period in found[::7]:
        full = full_period_of(period, segments=segments, starts_at=start, ends_at=end)
        name = cadence_at(period.start, segments=segments, starts_at=start, ends_at=end).time_zone
        assert full.start <= period.start < period.end <= full.end
        assert 0 <= local_days(period.start, period.end, name) <= local_days(full.start, full.end, name)
        assert scheduled_period(period.start, segments=segments, starts_at=start, ends_at=end) == period


def test_no_zone_comes_from_the_system() -> None:
    assert zone("Europe/Berlin") is zone("Europe/Berlin")
    assert len(ZONES) > 590
