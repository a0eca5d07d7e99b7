"""What versions of a condition and of a rate card have in common: when each is in force, and when a new one may
start.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from access.times import format_rfc3339
from contracts.refusals import conflict, refused

BEGINNING = datetime.min.replace(tzinfo=UTC)


class Version(Protocol):
    """A version row; ``effective_from`` is null where it applies from the beginning of time."""

    number: int
    effective_from: datetime | None


V = TypeVar("V", bound=Version)


def in_force(versions: Sequence[V], moment: datetime) -> V | None:
    """The version with the latest start at or before ``moment``; none before the first one's start."""
    started = [version for version in versions if start_of(version) <= moment]
    return max(started, key=start_of, default=None)


def next_number(versions: Sequence[Version]) -> int:
    """Call under a lock of the parent row, or two callers get the same."""
    return max((version.number for version in versions), default=0) + 1


def refuse_start(versions: Sequence[V], start: datetime, now: datetime, *, what: str) -> None:
    """A later version never starts in the past, where outcomes may have been decided by an earlier one, nor at the very
    moment at which another starts.
    """
    if start < now:
        raise refused(
            "in_the_past",
            f"{what} has a version already, and a later one may not start in the past ({format_rfc3339(start)} is"
            f" before now, {format_rfc3339(now)}). Leave effective_from out to start now.",
            "effective_from",
        )
    for version in versions:
        if version.effective_from == start:
            raise conflict(
                "version_start_taken",
                f"{what}: version {version.number} starts at {format_rfc3339(start)} already and says something else."
                " Choose another effective_from.",
                "effective_from",
            )


def start_of(version: Version) -> datetime:
    return version.effective_from or BEGINNING
