"""Cells to values: what a text, or a JSON value, says as a time, a number, true or false. Pure; no float anywhere."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from access.times import InvalidTime, format_rfc3339, parse_rfc3339
from outcomes.wire import exact_number

Convert = Callable[[Any], Any]

_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_TRUE: Final = frozenset(("true", "yes", "y", "1", "t"))
_FALSE: Final = frozenset(("false", "no", "n", "0", "f"))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAMPLE: Final = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
# `format:` of counts since 1970, and how many of them make a second.
UNIX: Final = {"unix": 1, "unix_ms": 1000}


class Unreadable(ValueError):
    """The value does not say what it should; the message says what was expected."""


def text(value: Any) -> str:
    """A text as it is; a whole number or true and false of a JSON line as they are written."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise Unreadable("is no text")


def number(decimal: str) -> Convert:
    """To exact numbers; ``decimal`` is the sign between units and tenths."""

    def convert(value: Any) -> int | Decimal:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return value
        said = value.strip() if isinstance(value, str) else ""
        plain = said if decimal == "." else said.replace(".", "?").replace(decimal, ".")
        if not _NUMBER.fullmatch(plain):
            raise Unreadable(f"is no number, such as 12{decimal}50 (without a sign between thousands)")
        try:
            return exact_number(plain)
        except ValueError as error:
            raise Unreadable(f"cannot be kept: {error}") from None

    return convert


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    said = text(value).strip().lower()
    if said in _TRUE:
        return True
    if said in _FALSE:
        return False
    raise Unreadable("is neither true nor false; name it under `values`")


def time(pattern: str | None, zone: ZoneInfo | None, ambiguous: str) -> Convert:
    """To RFC 3339 in UTC. Without a pattern, RFC 3339 and, with a zone, the same without an offset."""
    if pattern in UNIX:
        return _unix(UNIX[pattern])

    def convert(value: Any) -> str:
        said = text(value).strip()
        moment = _parse(said, pattern, zone)
        if moment.tzinfo is None:
            assert zone is not None  # `time_problem` saw to it
            moment = localize(moment, zone, ambiguous)
        try:
            return format_rfc3339(moment)
        except OverflowError:
            raise Unreadable("lies outside the years 1 to 9999 in UTC") from None

    return convert


def time_problem(pattern: str, zone: ZoneInfo | None) -> str | None:
    """What is wrong with a pattern as such."""
    if pattern in UNIX:
        return "a count since 1970 has no zone: leave `zone` out" if zone is not None else None
    try:
        read = datetime.strptime(_SAMPLE.strftime(pattern), pattern)  # noqa: DTZ007
    except (ValueError, re.error) as error:
        return f"this is no pattern of strptime: {error}"
    if read.date() != _SAMPLE.date():
        return "the pattern names no full date (such as %Y-%m-%d)"
    if read.tzinfo is None and zone is None:
        return "the times name no zone: add `zone`, such as UTC or Europe/Berlin"
    if read.tzinfo is not None and zone is not None:
        return "the times name their own zone (%z): leave `zone` out"
    return None


def localize(local: datetime, zone: ZoneInfo, ambiguous: str) -> datetime:
    """The moment that a clock on the wall of ``zone`` showed as ``local``. Raises Unreadable for a time that no clock
    showed, and for one shown twice unless ``ambiguous`` says which is meant (earlier | later).
    """
    first, second = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        raise Unreadable(f"is a time that no clock in {zone.key} showed: the clocks were put forward over it")
    if ambiguous == "refuse":
        raise Unreadable(
            f"was shown twice by the clocks in {zone.key}, which were put back: "
            "say `ambiguous: earlier` or `ambiguous: later`"
        )
    return first if ambiguous == "earlier" else second


def _parse(said: str, pattern: str | None, zone: ZoneInfo | None) -> datetime:
    """Naive only where there is a zone."""
    if pattern is not None:
        try:
            return datetime.strptime(said, pattern)  # noqa: DTZ007
        except ValueError:
            raise Unreadable(f"is no time of the form {pattern}") from None
    try:
        return parse_rfc3339(said, min_year=1, max_year=9999)
    except InvalidTime as error:
        local = _local(said) if zone is not None else None
        if local is None:
            raise Unreadable(f"is no time: {error} Other forms are told by `format`") from None
        return local


def _local(said: str) -> datetime | None:
    """A local time of day in ISO 8601: also with a space for the T, or without seconds."""
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return None
    return moment if len(said) > len("2026-03-01") and moment.tzinfo is None else None


def _unix(per_second: int) -> Convert:
    to_number = number(".")

    def convert(value: Any) -> str:
        micros = Decimal(to_number(value)) * (1_000_000 // per_second)
        try:
            return format_rfc3339(_EPOCH + timedelta(microseconds=int(micros)))
        except (OverflowError, ValueError):
            raise Unreadable("lies outside the years 1 to 9999") from None

    return convert
