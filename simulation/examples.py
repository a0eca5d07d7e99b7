"""A few outcomes that one rule confirms and another does not, each with why: the tree of `bill when` and a sentence."""

from collections.abc import Mapping
from typing import Any, Final

from access.times import format_rfc3339
from conditions_dsl import Event, explain
from outcomes import narrative
from outcomes.domain.instants import from_us
from outcomes.domain.lifecycle import CONFIRMED, MISSED, OPEN, PROVISIONAL, REVERSED, VOID, Attempt, Fold

MOST: Final = 10
"""Examples of a kind and condition."""

LOST: Final = "lost"
GAINED: Final = "gained"


class Examples:
    """The first ones that come, by (slug, kind); of the lost ones half the room is for those that did not hold."""

    def __init__(self, customers: Mapping[int, str]) -> None:
        self._customers = customers
        self.found: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def lost(self, slug: str, customer: int, key: str, events: list[Event], before: Attempt, tried: Fold) -> None:
        """An outcome that the rules in force confirm."""
        held = before.state == CONFIRMED
        room = self._room(slug, LOST)
        if sum(one["held"] is held for one in room) >= MOST // 2:
            return
        other = _instead(tried, before)
        room.append(
            {
                "customer": self._customers[customer],
                "subject": key,
                "held": held,
                "before": _standing(before, events),
                "after": None if other is None else _standing(other, events),
                "why": _why(other, events),
                "explanation": None if other is None else _tree(tried, other, events),
            }
        )

    def gained(
        self, slug: str, customer: int, key: str, events: list[Event], after: Attempt, tried: Fold, fold: Fold | None
    ) -> None:
        """An outcome that the tried rules confirm."""
        room = self._room(slug, GAINED)
        if len(room) >= MOST:
            return
        other = None if fold is None else _instead(fold, after)
        room.append(
            {
                "customer": self._customers[customer],
                "subject": key,
                "held": after.state == CONFIRMED,
                "before": None if other is None else _standing(other, events),
                "after": _standing(after, events),
                "why": _why(other, events),
                "explanation": _tree(tried, after, events),
            }
        )

    def _room(self, slug: str, kind: str) -> list[dict[str, Any]]:
        return self.found.setdefault((slug, kind), [])


def _instead(fold: Fold, attempt: Attempt) -> Attempt | None:
    """The attempt that the event belongs to which met the other rule; else the last one begun before."""
    assert attempt.met_at is not None and attempt.met_by is not None
    met = attempt.met_at, attempt.met_by
    begun = [one for one in fold.touched.values() if (one.first_time, one.first_seq) <= met]
    return begun[-1] if begun else None


def _standing(attempt: Attempt, events: list[Event]) -> dict[str, Any]:
    names = {event.seq: event.id for event in events}
    return {
        "state": attempt.state,
        "met_by": None if attempt.met_by is None else names.get(attempt.met_by),
        "met_at": _moment(attempt.met_at),
        "settled_at": _moment(attempt.settled_at),
        "ended_by": None if attempt.ended_by is None else names.get(attempt.ended_by),
        "ended_at": _moment(attempt.ended_at),
    }


def _why(attempt: Attempt | None, events: list[Event]) -> str:
    """Why the attempt is not confirmed, or no further one was made."""
    if attempt is None:
        return "No event of the subject begins an attempt."
    names = {event.seq: f"{event.type} ({event.id})" for event in events}
    by = "" if attempt.ended_by is None else f" by {names.get(attempt.ended_by, 'an event')}"
    at = None if attempt.ended_at is None else narrative.moment(from_us(attempt.ended_at))
    if attempt.state == OPEN:
        lapsed = any(change.clause == "lapse" for change in attempt.changes)
        return "The condition was met and no longer holds." if lapsed else "The condition is not met."
    if attempt.state == PROVISIONAL:
        until = "an unknown time" if attempt.settles_at is None else narrative.moment(from_us(attempt.settles_at))
        return f"It is met, and in its settlement window until {until}."
    if attempt.state == VOID:
        return f"It was taken back inside its window{by}, on {at}."
    if attempt.state == MISSED:
        return f"The condition was not met in time: the attempt ended on {at}."
    if attempt.state == REVERSED:
        return f"Another attempt stands for it, given back{by}, on {at}."
    return "Another attempt of the subject is confirmed, and it is charged once."


def _tree(fold: Fold, attempt: Attempt, events: list[Event]) -> dict[str, Any]:
    program = fold.rules.program(attempt.version)
    upto = [event for event in events if (event.time, event.seq) <= (attempt.last_time, attempt.last_seq)]
    own = [event for event in upto if (event.time, event.seq) >= (attempt.first_time, attempt.first_seq)]
    mentioned = [event for event in own if program.mentions(event.type)]
    return explain(program, mentioned, history=upto if program.has_history else None)


def _moment(instant: int | None) -> str | None:
    return None if instant is None else format_rfc3339(from_us(instant))
