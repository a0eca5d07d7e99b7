"""RFC 3339 moments in and out: aware, microseconds at most, always UTC with ``Z`` on the way out; and a clock that goes
on from a given moment.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

MIN_YEAR = 1970
MAX_YEAR = 2199

_RFC3339 = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<offset>[Zz]|(?P<sign>[+-])(?P<offset_hour>[0-9]{2}):(?P<offset_minute>[0-9]{2}))?"
)


class InvalidTime(ValueError):
    """A text that is no moment; `code` is for machines, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_rfc3339(text: str, *, min_year: int = MIN_YEAR, max_year: int = MAX_YEAR) -> datetime:
    """The moment in UTC; InvalidTime when it is naive, a leap second, finer than a microsecond or out of range."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidTime("invalid", "Write an RFC 3339 time, such as 2026-03-01T10:00:00Z.")
    if match["offset"] is None:
        raise InvalidTime("naive", "The time has no offset: end it with Z for UTC, or with an offset such as +02:00.")
    if match["second"] == "60":
        raise InvalidTime("leap_second", "Leap seconds cannot be stored: send :59 or the next minute's :00.")
    fraction = (match["fraction"] or "").ljust(6, "0")
    if fraction[6:].strip("0"):
        raise InvalidTime("too_precise", "Times are kept to the microsecond: send at most 6 digits after the point.")
    try:
        moment = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            int(match["second"]),
            int(fraction[:6]),
            tzinfo=_offset(match),
        ).astimezone(UTC)
    except ValueError as error:
        raise InvalidTime("invalid", f"There is no such time: {error}.") from error
    except OverflowError as error:
        raise InvalidTime("out_of_range", f"The year must be {min_year} to {max_year}.") from error
    if not min_year <= moment.year <= max_year:
        raise InvalidTime("out_of_range", f"The year must be {min_year} to {max_year}.")
    return moment


def format_rfc3339(moment: datetime) -> str:
    """``2026-03-01T10:00:00Z``; six digits of microseconds only when there are any."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no place in an answer")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _offset(match: re.Match[str]) -> timezone:
    if match["sign"] is None:
        return UTC
    hours, minutes = int(match["offset_hour"]), int(match["offset_minute"])
    if hours > 23 or minutes > 59:
        raise ValueError("an offset is at most 23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if match["sign"] == "-" else offset)


def going_on(now: datetime) -> Callable[[], datetime]:
    """A clock that shows ``now`` at this moment and goes on from there, for work that takes a while."""
    started = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - started)
