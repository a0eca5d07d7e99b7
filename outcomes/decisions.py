"""Use cases: what a person decides of one outcome. Take it back, or complete what its facts do not tell.

A decision is stored and then booked by a replay of its subject, in one transaction under the lock of the partition: no
evaluation is at work on the subject, and the sweep waits for the rows or finds them changed. Every later replay takes
the decision as an input, so no event undoes it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction

from outcomes.booking import Booked
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import AMOUNT_UNKNOWN, CONFIRMED, PERSON, PROVISIONAL, QUANTITY_UNKNOWN
from outcomes.evaluation import lock_partition
from outcomes.models import Decision, Outcome, Subject
from outcomes.replay import take_up
from outcomes.store import load_decisions

DECIDABLE = (PROVISIONAL, CONFIRMED)


class NotPossible(Exception):
    """The outcome is in a ``state`` in which this cannot be decided; ``why`` says it as a sentence."""

    def __init__(self, state: str, why: str) -> None:
        self.state, self.why = state, why
        super().__init__(why)


def take_back(outcome_id: UUID, *, now: datetime, actor: str, reason: str) -> Outcome:
    """Void a provisional outcome, reverse a confirmed one; the next event may begin a new attempt on its subject.

    Safe to repeat: the second call raises NotPossible, as does any other state. Raises Outcome.DoesNotExist, and
    PayloadMissing where a part of the subject's events is archived. May be called in a transaction that holds no lock
    of a partition or an outcome.
    """
    decision = Decision(kind=Decision.Kind.TAKE_BACK, actor=actor, reason=reason)
    return _decide(outcome_id, decision, now, lambda row, decision: None)


def complete(
    outcome_id: UUID, *, quantity: Decimal | None = None, amount: Decimal | None = None, now: datetime, actor: str,
    reason: str,
) -> Outcome:  # fmt: skip
    """Give the quantity or the amount that the facts of a provisional or confirmed outcome do not tell.

    What is known, or is not asked for, is refused with NotPossible: figures that events tell are never edited. Else as
    `take_back`.
    """
    figures = {QUANTITY_UNKNOWN: quantity, AMOUNT_UNKNOWN: amount}

    def give(row: Booked, decision: Decision) -> None:
        for flag, number in figures.items():
            if number is not None and flag not in row.review:
                what = flag.removesuffix("_unknown")
                raise NotPossible(row.state, f"The {what} of the outcome is not missing, so it is not to be given.")
        row.review = [flag for flag in row.review if figures.get(flag) is None]
        row.quantity = row.quantity if quantity is None else quantity
        row.amount = row.amount if amount is None else amount
        row.note(row.state, PERSON, "complete", None, to_us(decision.at), actor, reason)

    decision = Decision(kind=Decision.Kind.COMPLETE, actor=actor, reason=reason, quantity=quantity, amount=amount)
    return _decide(outcome_id, decision, now, give)


def _decide(
    outcome_id: UUID, decision: Decision, now: datetime, prepare: Callable[[Booked, Decision], None]
) -> Outcome:
    with transaction.atomic(), connection.cursor() as cursor:
        outcome = Outcome.objects.get(pk=outcome_id)
        lock_partition(cursor, outcome.partition)
        subject = Subject.objects.select_related("customer").get(pk=outcome.subject_id)
        replayed = take_up(cursor, subject, now)
        work, at, newest = replayed.work, replayed.work.clock or now, replayed.history[-1]
        row = next(row for row in replayed.rows if row.id == outcome_id)
        if row.state not in DECIDABLE:
            raise NotPossible(row.state, f"The outcome is {row.state}; only a provisional or confirmed one can be.")
        assert row.met_at is not None and row.met_by_seq is not None and subject.last_time is not None
        # After all that was folded, so that nothing known so far comes behind it; and after a confirmation by a sweep
        # whose clock is ahead, which stands.
        settled_at = at if row.settled_at is None else from_us(row.settled_at)
        decision.at = max(at, settled_at, subject.last_time + timedelta(microseconds=1))
        decision.subject, decision.outcome_id, decision.created_at = subject, outcome_id, now
        decision.met_at, decision.met_by_seq = from_us(row.met_at), row.met_by_seq
        prepare(row, decision)
        decision.save(force_insert=True)
        work.last = (to_us(decision.at), newest.seq)
        replayed.decisions = load_decisions(cursor, [work.id])[work.id]
        replayed.book(late=newest)
        if not _took_effect(decision, row):
            raise NotPossible(
                row.state,
                f"The outcome is {row.state} and its events have ended it already; that is booked as soon as nothing "
                "holds settlement back.",
            )
        replayed.write(cursor)
    outcome.refresh_from_db()
    return outcome


def _took_effect(decision: Decision, row: Booked) -> bool:
    if decision.kind == Decision.Kind.TAKE_BACK:
        return any(entry.cause == PERSON for entry in row.journal)
    given = [(decision.quantity, row.quantity), (decision.amount, row.amount)]
    return all(number is None or number == booked for number, booked in given)
