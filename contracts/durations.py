"""Durations as a person writes them, in the notation of the condition language: ``1 day 12 hours``."""

import re

_UNITS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_PART = re.compile(r"(\d{1,9})\s+(week|day|hour|minute|second)s?(?:\s+|$)", re.ASCII)


def seconds_of(text: str) -> int:
    """Seconds of a duration such as ``36 hours``; ``ValueError``, with the notation in words, for anything else."""
    position, seconds = 0, 0
    stripped = text.strip()
    while position < len(stripped):
        part = _PART.match(stripped, position)
        if part is None:
            break
        seconds += int(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not stripped or position < len(stripped):
        raise ValueError(
            f'"{text}" is no duration; write numbers with weeks, days, hours, minutes or seconds: "12 hours".'
        )
    return seconds


def text_of(seconds: int) -> str:
    """The shortest duration text of so many seconds; ``seconds_of`` reads it back."""
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"
