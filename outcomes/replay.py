"""The slow path: a subject's whole history is folded again, and the difference to what is booked is written.

Shared by evaluation, people's decisions, late evidence that is accepted afterwards, and `manage.py recompute`. Whoever
calls holds the subject's partition.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from datetime import datetime
from functools import cache

from django.db.backends.utils import CursorWrapper

from access.ids import uuid7
from conditions_dsl import Event
from contracts.clocks import now_of
from contracts.terms import BillingKey, Terms, keeps_late_evidence_out
from contracts.terms import load as load_terms
from outcomes.booking import LATE, Booked
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import CONFIRMED, REVERSED, Attempt, Decision, Fold, Rules, replay
from outcomes.models import LateEvidence, Subject
from outcomes.programs import rules_of
from outcomes.reconcile import reconcile
from outcomes.store import load_booked, load_decisions, read_history, write_outcomes, write_subjects
from outcomes.work import Work


def slow_path(cursor: CursorWrapper, work: Work, rules: Rules, now: datetime) -> None:
    """Replay the subject's whole history with its new events, and book the difference.

    Where the contract wants late evidence reviewed or ignored, such events are left out, kept as `LateEvidence`, and
    are gone from ``work.events``; where none is left there is nothing to write of the subject. Raises PayloadMissing.
    """
    history = [] if work.is_new else read_history(cursor, work.id)
    replayed = Replayed(cursor, work, rules, history, now)
    if any(row.state == CONFIRMED for row in replayed.rows) and keeps_late_evidence_out(work.customer):
        replayed.leave_out_late()
    if work.events:
        replayed.book(late=work.events[0])


def take_up(cursor: CursorWrapper, subject: Subject, now: datetime, *, events: Sequence[Event] = ()) -> "Replayed":
    """A stored subject, as it was read under the lock, with its whole history and what comes on top of it, about to be
    booked anew by what time it is for its customer. Raises PayloadMissing.
    """
    customer = subject.customer
    work = Work(
        subject.customer_id,
        subject.condition_id,
        subject.key,
        customer.partition,
        clock=None if customer.test_clock_id is None else now_of(customer, now),
        id=subject.pk,
        state=subject.state or "[]",
        events=list(events),
    )
    return Replayed(cursor, work, rules_of(work.customer, work.condition), read_history(cursor, work.id), now)


class Replayed:
    """A subject about to be booked anew: its facts so far (``history``), its rows (locked), what people decided of it.
    The events of ``work`` come on top.
    """

    def __init__(self, cursor: CursorWrapper, work: Work, rules: Rules, history: list[Event], now: datetime) -> None:
        self.work, self.rules, self.history, self.now = work, rules, history, now
        self.rows: list[Booked] = list(load_booked(cursor, None, subject=work.id).get(work.id, {}).values())
        # Settlement may have seen a later now than this batch began with; what it booked says so.
        self.seen = max([to_us(work.clock or now), *_booked_by_clock(self.rows)])
        self.decisions: list[Decision] = load_decisions(cursor, [work.id]).get(work.id, [])
        # Asked for only where they matter, and then read once for all of the subject.
        self._terms = cache(lambda: load_terms([work.customer]))

    def book(self, *, late: Event) -> None:
        """Bring the rows to what facts and decisions come to; the journal names ``late`` as what made it necessary."""
        self.work.fold, self.work.rows = self._reconciled(self.rows, self.work.events, late)

    def write(self, cursor: CursorWrapper) -> None:
        """Store what `book` came to."""
        write_subjects(cursor, [self.work])
        write_outcomes(cursor, [self.work], self.work.clock or self.now)

    def leave_out_late(self) -> None:
        """Take those of the new events aside that would take back what is confirmed, as the contract in force when it
        was met says. They are looked at one after the other, each with those before it that stay.
        """
        kept: list[Event] = []
        for event in self.work.events:
            late = self._late_evidence(kept, event)
            if late is None:
                kept.append(event)
            else:
                late.save(force_insert=True)
        self.work.events = kept

    def _late_evidence(self, kept: list[Event], event: Event) -> LateEvidence | None:
        confirmed = {row.id: row for row in self.rows if row.state == CONFIRMED}
        _, changed = self._reconciled(deepcopy(self.rows), [*kept, event], event)
        for row in changed:
            if row.id in confirmed and row.state == REVERSED and row.journal[-1].cause == LATE:
                met_at = confirmed[row.id].met_at
                assert met_at is not None
                policy = self._terms().late_evidence_at(self.work.customer, from_us(met_at))
                if policy != "reverse":
                    return LateEvidence(
                        id=uuid7(self.now),
                        subject_id=self.work.id,
                        outcome_id=row.id,
                        event_seq=event.seq,
                        time=from_us(event.time),
                        policy=policy,
                        status=LateEvidence.Status.WAITING if policy == "review" else LateEvidence.Status.IGNORED,
                        created_at=self.now,
                    )
        return None

    def _reconciled(self, rows: list[Booked], new: list[Event], late: Event) -> tuple[Fold, list[Booked]]:
        events = sorted([*self.history, *new], key=lambda event: (event.time, event.seq))
        fold = replay(self.rules, events, self.decisions)
        customer = self.work.customer

        def same_bill(row: Booked, attempt: Attempt) -> bool:
            worth = fold.value(attempt)
            if worth is None or row.version != attempt.version:
                return False
            if (row.quantity, row.amount, row.dimensions) != (worth.quantity, worth.amount, worth.dimensions):
                return False
            if (row.met_at, row.settled_at) == (attempt.met_at, attempt.settled_at):
                return True
            return _billing_key(self._terms(), customer, row) == _billing_key(self._terms(), customer, attempt)

        changed = reconcile(
            rows,
            fold,
            late,
            self.work.id,
            now=self.seen,
            same_bill=same_bill,
            new_id=lambda: uuid7(self.now),
            single=lambda attempt: not self.rules.program(attempt.version).has_repeat,
        )
        return fold, changed


def _booked_by_clock(rows: Iterable[Booked]) -> Iterator[int]:
    for row in rows:
        if row.settled_at is not None:
            yield row.settled_at
        if row.ended_at is not None and row.ended_by_seq is None:
            yield row.ended_at


def _billing_key(terms: Terms, customer: int, dated: Booked | Attempt) -> BillingKey | None:
    assert dated.met_at is not None and dated.settled_at is not None
    return terms.billing_key(customer, from_us(dated.met_at), from_us(dated.settled_at))
