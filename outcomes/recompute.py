"""The way out where what is booked of a subject is not what its events give (docs/audit.md)."""

from datetime import datetime

from django.db import connection, transaction

from outcomes.domain.lifecycle import MISSED
from outcomes.evaluation import lock_partition
from outcomes.models import Subject
from outcomes.replay import take_up


def recompute(subject_id: int, *, now: datetime) -> int:
    """Compute a subject's events again and book the difference, as late evidence is booked; how many outcomes changed.

    Locks the partition, so that neither evaluation nor settlement acts on the subject's state, then its outcomes. Safe
    to repeat: the second time nothing differs. Raises Subject.DoesNotExist, and ValueError where there are no events.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        subject = Subject.objects.select_related("customer").get(pk=subject_id)
        lock_partition(cursor, subject.customer.partition)
        subject = Subject.objects.select_related("customer").get(pk=subject_id)  # as it is under the lock
        replayed = take_up(cursor, subject, now)
        work, history = replayed.work, replayed.history
        if not history:
            raise ValueError(f"subject {subject_id} has no events to compute anything from")
        replayed.book(late=history[-1])
        # What settlement closed and people decided after the newest event stays known: an earlier event is late.
        closed = [row.ended_at for row in replayed.rows if row.state == MISSED and row.ended_at is not None]
        decided = [decision.at for decision in replayed.decisions]
        work.last = (max([history[-1].time, *closed, *decided]), history[-1].seq)
        replayed.write(cursor)
    return len(work.rows)
