"""What was known when an outcome was confirmed that no longer holds: which of its subject's events came only later.

When an event was evaluated is not kept, so the histories that can have been known are tried, by the order in which the
events became known; of several that explain what was booked the one with the most events is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from conditions_dsl import Event
from outcomes.domain.lifecycle import REVERSED, Attempt, Decision, Rules, replay

# So many histories are tried.
MOST_TRIED = 200


@dataclass(frozen=True, slots=True)
class Undone:
    """A reversed outcome as it is booked. Instants in microseconds; ``ended_at`` is None where late evidence undid it:
    then only what it was worth can be told.
    """

    version: int
    met_by: int
    met_at: int
    settled_at: int
    ended_at: int | None
    quantity: Decimal | None
    amount: Decimal | None
    dimensions: Mapping[str, str | None]


def without(
    undone: Undone,
    rules: Rules,
    events: Sequence[Event],
    decisions: Sequence[Decision],
    known_at: Mapping[int, tuple[int, int]],
) -> list[int] | None:
    """The events (by ``seq``) that were not known when the outcome was confirmed and ended as it did; None where no
    history explains it. ``known_at`` tells of each event when it became known.
    """
    left_out: list[int] = []
    known = list(events)
    for latest in [None, *sorted(events, key=lambda event: known_at[event.seq], reverse=True)][:MOST_TRIED]:
        if latest is not None:
            left_out.append(latest.seq)
            known.remove(latest)
        fold = replay(rules, known, decisions, until=undone.settled_at)
        if any(_is(undone, attempt) for attempt in fold.touched.values()):
            return sorted(left_out)
    return None


def _is(undone: Undone, attempt: Attempt) -> bool:
    worth = attempt.worth
    return (
        worth is not None
        and (attempt.version, attempt.met_by, attempt.met_at, attempt.settled_at)
        == (undone.version, undone.met_by, undone.met_at, undone.settled_at)
        and (worth.quantity, worth.amount) == (undone.quantity, undone.amount)
        and _told(worth.dimensions) == _told(undone.dimensions)
        and (undone.ended_at is None or (attempt.state == REVERSED and attempt.ended_at == undone.ended_at))
    )


def _told(dimensions: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in dimensions.items() if value is not None}
