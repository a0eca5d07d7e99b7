"""When to try again: a message by its schedule, an endpoint that keeps failing by a circuit breaker. Pure."""

import random
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

# Pauses after the first, second … failed attempt. Their sum is more than DISABLE_AFTER, so that an endpoint without one
# success is disabled before any of its messages is given up.
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24, 24, 24)),
)
ATTEMPTS = len(PAUSES) + 1
# Added at random, so that what failed together does not come back together.
JITTER = 0.2
LONGEST_PAUSE = timedelta(hours=24)
DISABLE_AFTER = timedelta(days=5)

# From so many failures in a row on, an endpoint gets one attempt at a time, with pauses that double.
BREAKER_AFTER = 5
BREAKER_FIRST_PAUSE = timedelta(seconds=10)
BREAKER_LONGEST_PAUSE = timedelta(minutes=10)


def pause_after(tries: int, asked: timedelta | None = None) -> timedelta | None:
    """How long a message waits after so many failed tries; None when it is given up.

    ``asked`` is the receiver's `Retry-After`: it makes the pause longer, up to a day, and never shorter.
    """
    if tries >= ATTEMPTS:
        return None
    pause = PAUSES[tries - 1] * (1 + random.uniform(0, JITTER))  # noqa: S311 -- spreads load, guards nothing
    return pause if asked is None else max(pause, min(asked, LONGEST_PAUSE))


def endpoint_pause(failures: int, asked: timedelta | None = None) -> timedelta:
    """How long an endpoint is left alone after so many failures in a row; ``asked`` by a 429 or 503."""
    pause = timedelta()
    if failures >= BREAKER_AFTER:
        pause = BREAKER_FIRST_PAUSE * 2 ** min(failures - BREAKER_AFTER, 16)
    return min(max(pause, asked or timedelta()), BREAKER_LONGEST_PAUSE)


def retry_after(text: str, *, now: datetime) -> timedelta | None:
    """What a `Retry-After` asks for, seconds or an HTTP date; None for what is neither or lies behind us."""
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**8))
    try:
        asked = parsedate_to_datetime(text) - now
    except (ValueError, TypeError):
        return None
    return asked if asked > timedelta() else None
