"""Feeds: append-only tables that are read for news, so that whoever writes them knows nothing of webhooks.

Each endpoint reads each feed it wants for itself and remembers how far (`Reading`). A disabled endpoint just stops
reading, and one that cannot keep up reads no further than `WINDOW` waiting messages; the rest waits in the table.

**Reading in order of id without missing a row.** Ids come from a sequence, and a transaction with an early id may
commit late, so `id > position` alone would skip its row for ever. A reading therefore goes on only over ids without a
gap between them. A gap is a transaction that has not committed yet, or an id that was rolled back and never comes. To
tell them apart, a gap that is met is noted together with the transactions that hold a writer's lock on the table at
that moment: every INSERT and COPY takes that lock (ROW EXCLUSIVE) before it draws its ids, and holds it to the end of
its transaction. Once all of these have ended, a gap that is still there stays one, and is stepped over. A long query,
a backup or a vacuum holds no such lock and delays nothing; writers wait for nothing and write nothing more.

(A horizon of transaction ids, `pg_snapshot_xmax`, is not enough: a transaction may have drawn its id from the sequence
before it is given a transaction id.)
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from webhooks.models import Delivery, Endpoint, Reading
from webhooks.publish import News, enqueue

log = structlog.get_logger(__name__)

# Rows of a feed that one transaction reads, and waiting messages of an endpoint from which on it reads no more.
BATCH = 1000
WINDOW = 10_000


@dataclass(frozen=True)
class Feed:
    """An append-only table with a bigserial `id`. ``read(after, until, types)`` makes the news of these types, in order
    of id, of the rows with ``after < id <= until``.
    """

    name: str
    table: str
    types: frozenset[str]
    read: Callable[[int, int, Collection[str]], Iterable[News]]


class Position(Protocol):
    """How far somebody has read a table, see `webhooks.models.Reading`."""

    position: int
    gap_end: int | None
    gap_writers: list[str]


# Apps above register theirs when they load.
FEEDS: list[Feed] = []


def subscribe(endpoint: Endpoint) -> None:
    """Have the endpoint read each feed it wants, a new one from now on, and none of the others."""
    wanted = {feed.name: feed for feed in FEEDS if feed.types & endpoint.types}
    readings = Reading.objects.filter(endpoint=endpoint)
    readings.exclude(feed__in=wanted).delete()
    for name in wanted.keys() - set(readings.values_list("feed", flat=True)):
        Reading.objects.bulk_create(
            [Reading(endpoint=endpoint, feed=name, position=last_drawn(wanted[name].table))], ignore_conflicts=True
        )


def read_news(now: datetime) -> bool:
    """Read one batch of each feed for each endpoint that is enabled; whether anything was found, so that there may be
    more. Safe to repeat and to run beside others: a reading is locked, and passed over where it is.

    A feed that raises (a bug) stays where it is, with an error in the log at each attempt; the others go on.
    """
    endpoints = list(Endpoint.objects.filter(disabled_at=None).prefetch_related("readings"))
    last = {feed.name: last_drawn(feed.table) for feed in FEEDS} if endpoints else {}
    found = False
    for endpoint in endpoints:
        positions = {reading.feed: reading.position for reading in endpoint.readings.all()}
        if any(feed.name not in positions and feed.types & endpoint.types for feed in FEEDS):
            subscribe(endpoint)  # The feed is younger than the endpoint.
        for feed in FEEDS:
            if positions.get(feed.name, last[feed.name]) >= last[feed.name]:
                continue
            try:
                found |= _read_batch(endpoint, feed, now)
            except SoftTimeLimitExceeded:
                raise
            except Exception:
                log.exception("webhook_feed_stalled", feed=feed.name, endpoint=endpoint.public_id)
    return found


def _read_batch(endpoint: Endpoint, feed: Feed, now: datetime) -> bool:
    with transaction.atomic(), connection.cursor() as cursor:
        reading = (
            Reading.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(endpoint=endpoint, feed=feed.name, endpoint__disabled_at=None)
            .first()
        )
        if reading is None or _waiting(endpoint) >= WINDOW:
            return False
        before = (reading.position, reading.gap_end)
        until = advance(cursor, feed.table, reading)
        if until > reading.position:
            enqueue(endpoint, feed.read(reading.position, until, feed.types & endpoint.types), now=now)
            reading.position = until
        if (reading.position, reading.gap_end) == before:
            return False
        reading.save(update_fields=["position", "gap_end", "gap_writers"])
        # A gap that nobody can fill any more is stepped over by the next batch, at once.
        return reading.position > before[0] or not reading.gap_writers


def _waiting(endpoint: Endpoint) -> int:
    return Delivery.objects.filter(endpoint=endpoint, status=Delivery.Status.WAITING).count()


def advance(cursor: CursorWrapper, table: str, reading: Position) -> int:
    """Up to which id everything is there or never comes; notes or clears the reading's gap. In the transaction that
    reads these rows, under a lock on the reading.

    The order of the three looks is what counts: at the writers that are left, at the rows, and only then at the
    writers to note. A transaction's rows are seen by every look at the table that begins after its lock is gone.
    """
    noted = reading.gap_end is not None
    lost = noted and not writers(cursor, table).intersection(reading.gap_writers)
    cursor.execute(f"SELECT id FROM {table} WHERE id > %s ORDER BY id LIMIT %s", [reading.position, BATCH])
    ids = [row[0] for row in cursor.fetchall()]
    never_come = reading.gap_end if lost and reading.gap_end is not None else reading.position
    until = reading.position
    for row_id in ids:
        if row_id - 1 > max(until, never_come):
            break
        until = row_id
    if ids and until < ids[-1]:
        if lost or not noted:
            reading.gap_end, reading.gap_writers = ids[-1] - 1, sorted(writers(cursor, table))
    elif reading.gap_end is not None and until >= reading.gap_end:
        reading.gap_end, reading.gap_writers = None, []
    return until


def writers(cursor: CursorWrapper, table: str) -> set[str]:
    """Transactions of others that may have drawn ids of the table and not yet committed."""
    cursor.execute(
        """
        SELECT DISTINCT virtualtransaction FROM pg_locks
        WHERE locktype = 'relation' AND relation = %s::regclass AND mode = 'RowExclusiveLock'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND pid IS DISTINCT FROM pg_backend_pid()
        """,
        [table],
    )
    return {row[0] for row in cursor.fetchall()}


def last_drawn(table: str) -> int:
    """The last id that was drawn: what draws later is news, also if it commits before this transaction does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sequence_last_value(pg_get_serial_sequence(%s, 'id')::regclass)", [table])
        [last] = cursor.fetchone()
        return last or 0
