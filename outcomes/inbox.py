"""The inbox: events that could not be used, and their second chance once the cause is mended."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Min, QuerySet

from contracts.clocks import clocked_keys
from outcomes import imports
from outcomes.cloudevents import read_kept
from outcomes.intake import ACCEPTED, DUPLICATE, ImportClosed, Result, accept, earliest_time
from outcomes.models import InboxItem
from outcomes.wire import Incoming

BATCH = 1000
# What is to be done about each reason.
IN_WORDS: dict[str, str] = {
    InboxItem.Reason.UNKNOWN_CUSTOMER: "Unknown customer",
    InboxItem.Reason.MISSING_KEY: "Key not found",
    InboxItem.Reason.ARCHIVED: "Of an archived month",
    InboxItem.Reason.TOO_OLD: "Too old",
    InboxItem.Reason.IN_FUTURE: "In the future",
    InboxItem.Reason.INVALID: "Invalid",
    InboxItem.Reason.ID_CONFLICT: "Id used twice",
}
WAY_OUT: dict[str, str] = {
    InboxItem.Reason.UNKNOWN_CUSTOMER: "Create the customer, then retry.",
    InboxItem.Reason.MISSING_KEY: (
        "Make a version of the condition that finds its key in the data, then retry; or send the fact again, under a "
        "new id and with the key, and dismiss this."
    ),
    InboxItem.Reason.ARCHIVED: "Restore the month that the message names (manage.py restore_events), then retry.",
    InboxItem.Reason.TOO_OLD: "A retry is in vain: send it again within an import, then dismiss this.",
    InboxItem.Reason.IN_FUTURE: "Set the sender's clock; retry once the time of the event has come.",
    InboxItem.Reason.INVALID: "A retry is in vain: send it again as the message says, then dismiss this.",
    InboxItem.Reason.ID_CONFLICT: (
        "Events never change: if it is a new fact, send it under an id of its own; then dismiss this."
    ),
}
# What one request does at most; it says how many are left.
AT_ONCE = 5000


class Retried(NamedTuple):
    """What became of items: how many are ``accepted``, ``duplicate``, still ``rejected``; how many of those asked for
    were left for the next call (``remaining``), which goes on ``after`` this id.
    """

    tally: Counter[str]
    remaining: int
    after: int | None


@dataclass(frozen=True)
class ReasonCount:
    """How many items of one reason there are, and when the oldest came."""

    reason: str
    count: int
    oldest_received_at: datetime


def waiting(
    *, ids: Sequence[int] | None = None, reason: str | None = None, import_id: UUID | None = None
) -> QuerySet[InboxItem]:
    """Items that wait: all, or those of these ids, of one reason, of one import."""
    items = InboxItem.objects.filter(status=InboxItem.Status.WAITING)
    if ids is not None:
        items = items.filter(id__in=ids)
    if reason is not None:
        items = items.filter(reason=reason)
    if import_id is not None:
        items = items.filter(batch_import=import_id)
    return items


def summary(items: QuerySet[InboxItem]) -> list[ReasonCount]:
    """Counts by reason, the largest first."""
    rows = items.order_by().values_list("reason").annotate(count=Count("pk"), oldest=Min("received_at"))
    return [ReasonCount(*row) for row in rows.order_by("-count", "reason")]


def retry(items: QuerySet[InboxItem], *, now: datetime) -> Counter[str]:
    """Try all of the items again, however many; how many were accepted, a duplicate, or are still rejected."""
    tally: Counter[str] = Counter()
    after: int | None = 0
    while after is not None:
        some = retry_some(items, now=now, after=after)
        tally += some.tally
        after = some.after
    return tally


def retry_some(
    items: QuerySet[InboxItem], *, now: datetime, by: str = "", after: int = 0, limit: int = AT_ONCE
) -> Retried:
    """Try the first ``limit`` of the items behind the id ``after`` again, in order of their ids.

    Locks each batch of items; one batch, one transaction. Safe to repeat: what was accepted no longer waits.
    """
    tally: Counter[str] = Counter()
    tried = 0
    while tried < limit:
        with transaction.atomic():
            rows = items.filter(id__gt=after).order_by("id").select_for_update()
            batch = list(rows[: min(BATCH, limit - tried)])
            if not batch:
                return Retried(tally, 0, None)
            after = batch[-1].id
            tried += len(batch)
            tally += _requeue([item for item in batch if item.event_seq is not None], now, by)
            tally += _accept_again([item for item in batch if item.event_seq is None], now, by)
    remaining = items.filter(id__gt=after).count()
    return Retried(tally, remaining, after if remaining else None)


def _requeue(batch: list[InboxItem], now: datetime, by: str) -> Counter[str]:
    """Events that were accepted and found no key: evaluation looks at them again, and says so if in vain."""
    seqs = [item.event_seq for item in batch]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO outcomes_pending (partition, seq, "time", again)
            SELECT c.partition, e.seq, e."time", true
            FROM outcomes_event e JOIN contracts_customer c ON c.id = e.customer_id
            WHERE e.seq = ANY(%s) ON CONFLICT DO NOTHING
            """,
            [seqs],
        )
    InboxItem.objects.filter(id__in=[item.id for item in batch]).update(
        status=InboxItem.Status.RESOLVED, resolved_at=now, handled_by=by
    )
    return Counter({ACCEPTED: len(batch)}) if batch else Counter()


def _accept_again(batch: list[InboxItem], now: datetime, by: str) -> Counter[str]:
    tally: Counter[str] = Counter()
    groups: dict[UUID | None, list[InboxItem]] = {}
    for item in sorted(batch, key=lambda item: item.seq):
        groups.setdefault(item.batch_import_id, []).append(item)
    for import_id, group in groups.items():
        results = _offer(group, import_id, now)
        for item, result in zip(group, results, strict=True):
            item.attempts += 1
            item.handled_by = by
            if result.status in (ACCEPTED, DUPLICATE):
                item.status, item.resolved_at = InboxItem.Status.RESOLVED, now
            else:
                # What is wrong with its JSON has codes of its own, which are told in the message.
                reason = result.code if result.code in InboxItem.Reason.values else InboxItem.Reason.INVALID
                if (item.reason, reason) != (InboxItem.Reason.INVALID, InboxItem.Reason.INVALID):
                    # Else: what was no event as it stands was told best when it came (a row of a file, of its row).
                    item.reason, item.message = reason, result.message
        became = Counter(result.status for result in results)
        taken = became[ACCEPTED] + became[DUPLICATE]
        if import_id is not None and taken:
            imports.tally(import_id, accepted=became[ACCEPTED], duplicates=became[DUPLICATE], rejected=-taken)
        tally += became
    InboxItem.objects.bulk_update(batch, ["attempts", "status", "resolved_at", "reason", "message", "handled_by"])
    return tally


def _offer(group: list[InboxItem], import_id: UUID | None, now: datetime) -> list[Result]:
    """Hand items of one import, or of none, to intake, as of when they were received: mending the cause took time, and
    so may have closed the import, neither of which makes the event too old.
    """
    events = [read_kept(item.body) for item in group]
    clocked = clocked_keys({item.customer_key for item in group})
    for event, item in zip(events, group, strict=True):
        if isinstance(event, Incoming) and event.time is None and event.customer not in clocked:
            # Left out: it happened when it was sent, not when it is retried. (What a test clock showed then is not
            # known; for its customers it happens now.)
            event.time = item.received_at
    seqs = [item.seq for item in group]
    oldest = [earliest_time(item.received_at, in_import=import_id is not None) for item in group]
    try:
        return accept(events, now=now, import_id=import_id, seqs=seqs, oldest=oldest, keep_refused=False)
    except ImportClosed:
        return accept(events, now=now, seqs=seqs, oldest=oldest, keep_refused=False)


def dismiss(
    items: QuerySet[InboxItem], *, now: datetime, note: str = "", by: str = "", limit: int | None = None
) -> int:
    """Say that nothing will come of these (of ``limit`` of them at most), and why; they stay readable. The number of
    items that waited until now. Locks them in order of their ids, batch by batch, as `retry_some` does.
    """
    count = 0
    while limit is None or count < limit:
        with transaction.atomic():
            rows = items.order_by("id").select_for_update().values_list("id", flat=True)
            batch = list(rows[: BATCH if limit is None else min(BATCH, limit - count)])
            InboxItem.objects.filter(id__in=batch).update(
                status=InboxItem.Status.DISMISSED, resolved_at=now, note=note, handled_by=by
            )
        count += len(batch)
        if not batch:
            break
    return count
