"""The slow path's second half: what a replay computed against what is booked, and the difference as changes to book.

Page 2, section 3: attempts pair by the event that met them, the rest in order of `met_at`. A pair that agrees is only
re-dated; a confirmed outcome that should not stand is reversed and the computed attempt added in a row of its own; an
unconfirmed one that should not exist is superseded. Pure: rows and attempts in, changed rows out.
"""

from collections.abc import Callable
from uuid import UUID

from conditions_dsl import Event
from outcomes.booking import LATE, LIVE, SUPERSEDED, Booked, begin
from outcomes.domain.lifecycle import (
    CLOCK,
    CONFIRMED,
    EVENT,
    MISSED,
    OPEN,
    PERSON,
    PROVISIONAL,
    REVERSED,
    VOID,
    Attempt,
    Change,
    Fold,
)

SameBill = Callable[[Booked, Attempt], bool]


def reconcile(
    rows: list[Booked],
    fold: Fold,
    late: Event,
    subject: int,
    *,
    now: int,
    same_bill: SameBill,
    new_id: Callable[[], UUID],
    single: Callable[[Attempt], bool],
) -> list[Booked]:
    """Bring ``rows`` (every row of the subject) to what ``fold`` (a replay of its whole history) says.

    ``late`` is the event that made the replay necessary; it is named in the journal. Attempts of the fold are given the
    ordinals of their rows. What settlement has booked stands where the clock leads to the same by ``now``, also where
    no event came past that instant. Returns the rows that changed or are new.
    """
    attempts = list(fold.touched.values())
    standing = [row for row in rows if row.state != SUPERSEDED]
    before = {row.id: _image(row) for row in standing}
    ordinal = max((row.ordinal for row in rows), default=0)
    made: list[Booked] = []
    for row, attempt in _pairs(standing, attempts):
        if attempt is not None and row is not None:
            ahead = fold.ahead(now) if attempt is fold.attempt and row.state not in LIVE else None
            found = ahead or attempt
            if _fits(row, found, same_bill):
                _redate(row, found, fold, late)
                row.single = single(attempt)
                attempt.ordinal = row.ordinal
                continue
        if row is not None:
            _withdraw(row, late)
        if attempt is not None:
            ordinal += 1
            attempt.ordinal = ordinal
            fresh = begin(new_id(), subject, attempt, single=single(attempt))
            fresh.follow(attempt, fold.value(attempt), attempt.changes)
            made.append(fresh)
    fold.count = ordinal
    return [row for row in standing if row.journal or _image(row) != before[row.id]] + made


def _pairs(rows: list[Booked], attempts: list[Attempt]) -> list[tuple[Booked | None, Attempt | None]]:
    by_met = {row.met_by_seq: row for row in rows if row.met_by_seq is not None}
    pairs: list[tuple[Booked | None, Attempt | None]] = []
    taken: set[UUID] = set()
    left: list[Attempt] = []
    for attempt in attempts:
        row = by_met.get(attempt.met_by) if attempt.met_by is not None else None
        if row is not None and row.id not in taken:
            taken.add(row.id)
            pairs.append((row, attempt))
        else:
            left.append(attempt)
    # What was reversed is final: it pairs only with the very attempt it was, never with another by its place in the
    # order.
    free = sorted(
        (row for row in rows if row.id not in taken and row.state != REVERSED),
        key=lambda row: (row.met_at is None, row.met_at or 0, row.first_time, row.first_seq),
    )
    left.sort(key=lambda attempt: (attempt.met_at is None, attempt.met_at or 0, attempt.first_time, attempt.first_seq))
    for index in range(max(len(free), len(left))):
        pairs.append((free[index] if index < len(free) else None, left[index] if index < len(left) else None))
    # New rows take their ordinals in the order in which their attempts began.
    pairs.sort(
        key=lambda pair: (pair[1] is None, pair[1].first_time if pair[1] else 0, pair[1].first_seq if pair[1] else 0)
    )
    return pairs


def _fits(row: Booked, attempt: Attempt, same_bill: SameBill) -> bool:
    if row.state in LIVE:
        return True
    if row.state in (VOID, MISSED):
        return attempt.state == row.state
    if row.state == REVERSED and attempt.state != REVERSED:
        return False
    return any(change.to_state == CONFIRMED for change in attempt.changes) and same_bill(row, attempt)


def _redate(row: Booked, attempt: Attempt, fold: Fold, late: Event) -> None:
    """Take the row over to the attempt it agrees with, by legal moves; `restated` where only its dates change."""
    before = _dates(row)
    changes = attempt.changes
    row.queue = []
    if row.state in LIVE:
        first_clock = next((n for n, change in enumerate(changes) if change.cause == CLOCK), len(changes))
        _walk(row, changes[:first_clock], late)
        rest = changes[first_clock:]
    elif row.state == CONFIRMED:
        confirmed = next(n for n, change in enumerate(changes) if change.to_state == CONFIRMED)
        row.settled_at = changes[confirmed].at
        rest = changes[confirmed + 1 :]
    else:
        row.settled_at = attempt.settled_at
        row.ended_by_seq, row.ended_at = attempt.ended_by, attempt.ended_at
        rest = []
    row.first_time, row.first_seq, row.version = attempt.first_time, attempt.first_seq, attempt.version
    row.follow(attempt, fold.value(attempt), rest)
    if not row.journal and _dates(row) != before:
        row.note(row.state, LATE, "restated", late.seq, late.time)


def _walk(row: Booked, changes: list[Change], late: Event) -> None:
    """Move an unconfirmed row to the state that the changes of events and people lead to."""
    target = changes[-1].to_state
    if changes[-1].cause == PERSON:
        row.move(changes[-1]._replace(from_state=row.state))
        return
    if row.state == PROVISIONAL and target == OPEN:
        row.move(Change(PROVISIONAL, OPEN, late.time, EVENT, "lapse", late.seq), cause=LATE)
        return
    if row.state == OPEN and target in (PROVISIONAL, VOID):
        met = next(change for change in reversed(changes) if change.to_state == PROVISIONAL)
        row.move(met, cause=LATE)
    if row.state == PROVISIONAL and target == VOID:
        row.move(changes[-1], cause=LATE)


def _withdraw(row: Booked, late: Event) -> None:
    if row.state == CONFIRMED:
        assert row.settled_at is not None
        change = Change(CONFIRMED, REVERSED, max(late.time, row.settled_at), EVENT, "late evidence", late.seq)
        row.move(change, cause=LATE)
    elif row.state != REVERSED:
        row.move(Change(row.state, SUPERSEDED, late.time, EVENT, "late evidence", late.seq), cause=LATE)
        row.quantity, row.amount, row.dimensions, row.review = None, None, {}, []
    row.queue = []
    row.due_at = None


def _dates(row: Booked) -> tuple:
    return (row.met_by_seq, row.met_at, row.settled_at, row.ended_by_seq, row.ended_at, row.version)


def _image(row: Booked) -> tuple:
    return (
        row.state, row.single, *_dates(row), row.first_seq, row.last_seq, row.settles_at, row.quantity, row.amount,
        tuple(sorted(row.dimensions.items())), tuple(row.review), row.due_at, tuple(row.queue),
    )  # fmt: skip
