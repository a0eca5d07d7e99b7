"""Use cases: late evidence that a contract wants reviewed. A person accepts it into the facts, or leaves it out.

Late evidence is an event that would change what is booked of a confirmed outcome (docs/lifecycle.md). Where the
contract in force when that outcome was met says `review` or `ignore`, evaluation leaves it out of the condition's facts
and keeps it here (`outcomes.replay`).
"""

from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from outcomes.domain.instants import to_us
from outcomes.evaluation import lock_partition
from outcomes.models import LateEvidence, Subject
from outcomes.replay import take_up
from outcomes.store import read_event


class Decided(Exception):
    """The evidence does not wait: it is ``status`` already, and by whom."""

    def __init__(self, late: LateEvidence) -> None:
        self.status = late.status
        by = f"by {late.decided_by}" if late.decided_by else "as the contract says"
        super().__init__(f"This late evidence was {late.status} {by}.")


def accept(late_id: UUID, *, now: datetime, actor: str, note: str) -> LateEvidence:
    """Add the event to the facts and book what follows: usually the reversal of a confirmed outcome.

    Locks the subject's partition, then its outcomes. Raises LateEvidence.DoesNotExist, Decided where it does not wait
    (so a repetition is refused), and PayloadMissing where a part of the subject's events is archived.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        subject = Subject.objects.select_related("customer").get(lateevidence=late_id)
        lock_partition(cursor, subject.customer.partition)
        late = _decide(late_id, LateEvidence.Status.ACCEPTED, now=now, actor=actor, note=note)
        subject = Subject.objects.select_related("customer").get(pk=subject.pk)  # as it is under the lock
        assert subject.last_time is not None and subject.last_seq is not None
        event = read_event(late.event_seq)
        replayed = take_up(cursor, subject, now, events=[event])
        replayed.work.last = (to_us(subject.last_time), subject.last_seq)
        replayed.book(late=event)
        replayed.write(cursor)
    return late


def ignore(late_id: UUID, *, now: datetime, actor: str, note: str) -> LateEvidence:
    """Leave the event out for good: what is booked stands. Raises as `accept`, but for PayloadMissing."""
    with transaction.atomic():
        return _decide(late_id, LateEvidence.Status.IGNORED, now=now, actor=actor, note=note)


def _decide(late_id: UUID, status: LateEvidence.Status, *, now: datetime, actor: str, note: str) -> LateEvidence:
    late = LateEvidence.objects.select_for_update().get(pk=late_id)
    if late.status != LateEvidence.Status.WAITING:
        raise Decided(late)
    late.status, late.decided_at, late.decided_by, late.note = status, now, actor, note
    late.save(update_fields=["status", "decided_at", "decided_by", "note"])
    return late
