"""What is booked of an outcome, and how computed changes get into it.

A `Booked` is one row of the outcome table in memory, with the journal rows that its changes call for. An event's
change is booked at once, unless a change by the clock stands before it unbooked: then it queues behind, for
settlement.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from outcomes.domain.lifecycle import (
    CLOCK,
    CONFIRMED,
    MISSED,
    OPEN,
    PERSON,
    PROVISIONAL,
    REVERSED,
    VOID,
    Attempt,
    Change,
    Value,
)

SUPERSEDED = "superseded"
LATE = "late"
LIVE = (OPEN, PROVISIONAL)


class JournalRow(NamedTuple):
    """One row to append to the journal. Instants in microseconds; ``recorded_at`` is set on writing."""

    outcome: UUID
    from_state: str
    to_state: str
    cause: str
    clause: str
    event_seq: int | None
    effective_at: int
    actor: str = ""
    reason: str = ""


@dataclass(slots=True)
class Booked:
    """One outcome as it is booked; instants in microseconds. ``queue`` holds computed changes that wait for
    settlement.
    """

    id: UUID
    subject: int
    ordinal: int
    version: int
    state: str
    first_time: int
    first_seq: int
    last_time: int
    last_seq: int
    met_by_seq: int | None = None
    met_at: int | None = None
    settles_at: int | None = None
    settled_at: int | None = None
    ended_by_seq: int | None = None
    ended_at: int | None = None
    quantity: Decimal | None = None
    amount: Decimal | None = None
    dimensions: dict[str, str | None] = field(default_factory=dict)
    review: list[str] = field(default_factory=list)
    due_at: int | None = None
    queue: list[Change] = field(default_factory=list)
    single: bool = True
    is_new: bool = False
    journal: list[JournalRow] = field(default_factory=list)

    def move(self, change: Change, *, cause: str = "") -> None:
        """Book one change now."""
        if change.to_state == CONFIRMED:
            self.settled_at = change.at
        elif change.to_state in (REVERSED, VOID, MISSED, SUPERSEDED):
            self.ended_by_seq, self.ended_at = change.seq, change.at
        self.note(
            change.to_state, cause or change.cause, change.clause, change.seq, change.at, change.actor, change.reason
        )
        self.state = change.to_state

    def note(
        self, to_state: str, cause: str, clause: str, seq: int | None, at: int, actor: str = "", reason: str = ""
    ) -> None:
        self.journal.append(JournalRow(self.id, self.state, to_state, cause, clause, seq, at, actor, reason))

    def follow(self, attempt: Attempt, worth: Value | None, changes: list[Change]) -> None:
        """Book or queue computed ``changes`` and take over what the attempt says of itself.

        What a person decided is booked at once, with what the clock did before it: the window was over by then, and the
        outcome is not billed in any case.
        """
        decided = max((n for n, change in enumerate(changes) if change.cause == PERSON), default=-1)
        for n, change in enumerate(changes):
            if change.cause == CLOCK and self.state == change.to_state and not self.queue:
                continue  # Settlement has booked it already; the fold has only now come past that instant.
            if n > decided and (self.queue or change.cause == CLOCK):
                self.queue.append(change)
            else:
                self.move(change)
        self.last_time, self.last_seq = attempt.last_time, attempt.last_seq
        self.met_by_seq, self.met_at, self.settles_at = attempt.met_by, attempt.met_at, attempt.settles_at
        if worth is not None:
            self.quantity, self.amount = worth.quantity, worth.amount
            self.dimensions, self.review = worth.dimensions, list(worth.review)
        elif attempt.state in (OPEN, VOID, MISSED):
            # Nothing is to be billed of it: what the facts said while it was met no longer stands for anything.
            self.quantity, self.amount, self.dimensions = None, None, {}
            # What waited in vain for its `settle at` time stays flagged; what a person took back does not.
            unsettled = attempt.state == VOID and attempt.changes[-1].cause == CLOCK
            self.review = ["settle_time_unknown"] if unsettled else []
        self.due_at = self.queue[0].at if self.queue else attempt.due_at


def begin(new_id: UUID, subject: int, attempt: Attempt, *, single: bool) -> Booked:
    """A row for an attempt that has none yet; `follow` brings it up to date."""
    return Booked(
        id=new_id,
        subject=subject,
        ordinal=attempt.ordinal,
        version=attempt.version,
        state="",
        first_time=attempt.first_time,
        first_seq=attempt.first_seq,
        last_time=attempt.last_time,
        last_seq=attempt.last_seq,
        single=single,
        is_new=True,
    )
