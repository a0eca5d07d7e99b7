"""Instants as whole microseconds since the Unix epoch, UTC: exact, cheap to compare, and JSON can hold them."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
DAY = 86_400 * SECOND


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (instant - EPOCH) // MICROSECOND


def from_us(instant: int) -> datetime:
    """The aware UTC datetime of ``instant`` microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=instant)
