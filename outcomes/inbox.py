"""The inbox: events that could not be used, and their second chance once the cause is mended."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from outcomes.intake import ACCEPTED, DUPLICATE, ImportClosed, accept
from outcomes.models import InboxItem
from outcomes.wire import Incoming, read_event

BATCH = 1000


def waiting(*, ids: Sequence[int] | None = None, reason: str | None = None) -> QuerySet[InboxItem]:
    """Items that wait: these ids, or those of one reason, or all."""
    items = InboxItem.objects.filter(status=InboxItem.Status.WAITING)
    if ids is not None:
        items = items.filter(id__in=ids)
    if reason is not None:
        items = items.filter(reason=reason)
    return items


def retry(items: QuerySet[InboxItem], *, now: datetime) -> Counter[str]:
    """Try the items again, in acceptance order; how many were ``accepted``, ``duplicate``, or are still ``rejected``.

    Locks each batch of items; one batch, one transaction. Safe to repeat: what was accepted no longer waits.
    """
    tally: Counter[str] = Counter()
    after = -1
    while True:
        with transaction.atomic():
            batch = list(items.filter(id__gt=after).order_by("id").select_for_update()[:BATCH])
            if not batch:
                return tally
            after = batch[-1].id
            tally += _requeue([item for item in batch if item.event_seq is not None], now)
            tally += _accept_again([item for item in batch if item.event_seq is None], now)


def _requeue(batch: list[InboxItem], now: datetime) -> Counter[str]:
    """Events that were accepted and found no key: evaluation looks at them again, and says so if in vain."""
    seqs = [item.event_seq for item in batch]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO outcomes_pending (partition, seq, "time")
            SELECT c.partition, e.seq, e."time" FROM outcomes_event e JOIN contracts_customer c ON c.id = e.customer_id
            WHERE e.seq = ANY(%s) ON CONFLICT DO NOTHING
            """,
            [seqs],
        )
    InboxItem.objects.filter(id__in=[item.id for item in batch]).update(
        status=InboxItem.Status.RESOLVED, resolved_at=now
    )
    return Counter({ACCEPTED: len(batch)}) if batch else Counter()


def _accept_again(batch: list[InboxItem], now: datetime) -> Counter[str]:
    tally: Counter[str] = Counter()
    groups: dict[object, list[InboxItem]] = {}
    for item in sorted(batch, key=lambda item: item.seq):
        groups.setdefault(item.batch_import_id, []).append(item)
    for import_id, group in groups.items():
        events = [read_event(item.body.encode()) for item in group]
        for event, item in zip(events, group, strict=True):
            if isinstance(event, Incoming) and event.time is None:
                event.time = item.received_at  # left out: it happened when it was sent, not when it is retried
        seqs = [item.seq for item in group]
        try:
            results = accept(events, now=now, import_id=import_id, seqs=seqs, keep_refused=False)  # type: ignore[arg-type]
        except ImportClosed:
            results = accept(events, now=now, seqs=seqs, keep_refused=False)
        for item, result in zip(group, results, strict=True):
            tally[result.status] += 1
            item.attempts += 1
            if result.status in (ACCEPTED, DUPLICATE):
                item.status, item.resolved_at = InboxItem.Status.RESOLVED, now
            else:
                item.reason, item.message = result.code, result.message
    InboxItem.objects.bulk_update(batch, ["attempts", "status", "resolved_at", "reason", "message"])
    return tally


def dismiss(items: QuerySet[InboxItem], *, now: datetime) -> int:
    """Say that nothing will come of these; they stay readable. The number of items that waited until now."""
    return items.update(status=InboxItem.Status.DISMISSED, resolved_at=now)
