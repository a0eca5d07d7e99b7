"""Billing periods: contiguous in every zone and for every anchor, cut at local midnight, never drifting."""

from datetime import UTC, date, datetime, timedelta
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
    day_start,
    iterate_periods,
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


@pytest.mark.parametrize("part", range(4))
def test_every_zone_and_anchor_sixty_periods_each(part: int) -> None:
    """Contiguous and cut on the anchor day (or the month's last): all zones of the tz database, anchors 1 to 31."""
    start = utc(2010, 1, 31, 12)
    for name in ZONES[part::4]:
        tz = zone(name)
        for anchor in range(1, 32):
            found = list(
                islice(
                    iterate_periods(starts_at=start, billing_period="monthly", anchor_day=anchor, time_zone=name), 60
                )
            )
            assert found[0].start == start
            for period, following in pairwise(found):
                assert period.start < period.end == following.start
                local = period.end.astimezone(tz)
                last_of_month = (local + timedelta(days=1)).day == 1
                expected = min(anchor, local.day) if last_of_month else anchor
                skipped = name in ("Pacific/Apia", "Pacific/Fakaofo") and local.date() == date(2011, 12, 31)
                assert local.day == expected or skipped, (name, anchor, local)
                # One microsecond earlier it was another day: the cut is the day's first instant.
                assert (period.end - MICROSECOND).astimezone(tz).date() < local.date()


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
        assert scheduled_period(period.start, segments=segments, starts_at=start, ends_at=end) == period


def test_no_zone_comes_from_the_system() -> None:
    assert zone("Europe/Berlin") is zone("Europe/Berlin")
    assert len(ZONES) > 590
