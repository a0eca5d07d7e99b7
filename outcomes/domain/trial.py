"""Try a condition on a list of events: the outcomes as they stand at an instant. Pure; nothing is stored."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from conditions_dsl import Event, Program

from .lifecycle import CONFIRMED, REVERSED, Attempt, Fold, Rules, Value, Version

FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """One outcome of a trial; instants in microseconds. ``value`` is None unless confirmed or reversed.

    ``events`` are the attempt's, ``history`` all of the subject's up to its last one.
    """

    subject: str
    state: str
    met_by: str | None
    met_at: int | None
    settles_at: int | None
    settled_at: int | None
    ended_by: str | None
    ended_at: int | None
    value: Value | None
    events: tuple[Event, ...]
    history: tuple[Event, ...]


def run_trial(program: Program, events: Sequence[Event], *, now: int | None = None) -> list[TrialOutcome]:
    """Every outcome that ``events`` (any order; ties of `time` count in the order of ``seq``) lead to at ``now``.

    Events after ``now`` do not count. By default every window and expiry runs out. Outcomes come in the order in which
    their subjects were first seen, and per subject in order of beginning.
    """
    rules = Rules([Version(0, program)])
    subjects: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: (event.time, event.seq)):
        if (now is not None and event.time > now) or not program.mentions(event.type):
            continue
        key = program.subject(event.data)
        if key is not None:
            subjects.setdefault(key, []).append(event)
    outcomes = []
    for key, facts in subjects.items():
        fold = Fold(rules)
        for event in facts:
            fold.apply(event)
        fold.advance(FOREVER if now is None else now)
        names = {event.seq: event.id for event in facts}
        order = [(event.time, event.seq) for event in facts]
        outcomes += [_outcome(key, attempt, facts, order, names) for attempt in fold.touched.values()]
    return outcomes


def _outcome(
    key: str, attempt: Attempt, facts: Sequence[Event], order: Sequence[tuple[int, int]], names: dict[int, str]
) -> TrialOutcome:
    start = bisect_left(order, (attempt.first_time, attempt.first_seq))
    end = bisect_right(order, (attempt.last_time, attempt.last_seq))
    return TrialOutcome(
        subject=key,
        state=attempt.state,
        met_by=_name(attempt.met_by, names),
        met_at=attempt.met_at,
        settles_at=attempt.settles_at,
        settled_at=attempt.settled_at,
        ended_by=_name(attempt.ended_by, names),
        ended_at=attempt.ended_at,
        value=attempt.worth if attempt.state in (CONFIRMED, REVERSED) else None,
        events=tuple(facts[start:end]),
        history=tuple(facts[:end]),
    )


def _name(seq: int | None, names: dict[int, str]) -> str | None:
    return None if seq is None else names[seq]
