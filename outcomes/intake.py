"""Accept events: validate, resolve customers, claim identities and store, in one transaction; then ring for evaluation.

When `accept` returns, every item is durable: as an accepted event that waits for evaluation, or in the inbox with its
reason. Retrying a batch is safe: what was stored is a `duplicate`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from contracts.models import Customer
from outcomes.models import ImportCustomer, InboxItem
from outcomes.sequence import reserve
from outcomes.tasks import ring
from outcomes.wire import Incoming, Refused

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
REJECTED = "rejected"


@dataclass(slots=True)
class Result:
    """What became of one item: accepted | duplicate | rejected, with ``code`` and ``message`` where it was rejected."""

    id: str
    status: str
    code: str = ""
    message: str = ""


class ImportClosed(Exception):
    """The import that the events name does not exist or is closed."""


_CLAIM_AND_STORE = """
WITH incoming AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS t(q bigint, c bigint, p smallint, i text, s text, f text, y text, t timestamptz, d jsonb)
), claimed AS (
    -- Sorted by key, so that overlapping batches wait for each other instead of deadlocking.
    INSERT INTO outcomes_event_identity (customer_id, event_id, source, fingerprint, seq)
    SELECT c, i, s, decode(f, 'hex'), q FROM incoming ORDER BY c, i, s, q
    ON CONFLICT DO NOTHING RETURNING seq
), stored AS (
    INSERT INTO outcomes_event (seq, customer_id, event_id, source, type, "time", received_at, data, batch_import_id)
    SELECT q, c, i, s, y, t, %s, d, %s FROM incoming JOIN claimed ON claimed.seq = q
), waiting AS (
    INSERT INTO outcomes_pending (partition, seq, "time")
    SELECT p, q, t FROM incoming JOIN claimed ON claimed.seq = q
)
SELECT seq FROM claimed
"""

_encode = msgspec.json.Encoder().encode


def accept(
    items: list[Incoming | Refused],
    *,
    now: datetime,
    import_id: UUID | None = None,
    seqs: list[int] | None = None,
    keep_refused: bool = True,
) -> list[Result]:
    """Accept a batch; one result per item, in order. One bad item never costs its neighbours.

    ``seqs`` are the acceptance numbers that items retried from the inbox keep; new ones otherwise. What is refused
    goes to the inbox unless ``keep_refused`` is false (it lies there already). Locks: the identity keys of the batch,
    in key order. Raises ImportClosed. A retry of the whole call is safe.
    """
    results: list[Result | None] = [None] * len(items)
    refused: list[tuple[int, Refused]] = []
    oldest = now - timedelta(days=settings.MAX_EVENT_AGE_DAYS)
    newest = now + timedelta(seconds=settings.MAX_EVENT_FUTURE_SECONDS)

    with transaction.atomic(), connection.cursor() as cursor:
        if import_id is not None and not _lock_open_import(cursor, import_id):
            raise ImportClosed
        seqs = seqs or reserve(cursor, len(items), now)
        customers = {
            key: (pk, partition)
            for key, pk, partition in Customer.objects.filter(
                key__in={item.customer for item in items if isinstance(item, Incoming)}
            ).values_list("key", "id", "partition")
        }
        rows: list[dict] = []
        places: dict[int, int] = {}
        for place, item in enumerate(items):
            if isinstance(item, Refused):
                refused.append((place, item))
                continue
            known = customers.get(item.customer)
            time = item.time or now
            if known is None:
                refused.append((place, _refuse(item, "unknown_customer", _unknown_customer(item.customer))))
            elif time > newest:
                refused.append((place, _refuse(item, "in_future", _in_future(time, now))))
            elif time < oldest and import_id is None:
                refused.append((place, _refuse(item, "too_old", _too_old(time))))
            else:
                seq = seqs[place]
                places[seq] = place
                rows.append(
                    {
                        "q": seq,
                        "c": known[0],
                        "p": known[1],
                        "i": item.id,
                        "s": item.source,
                        "f": item.fingerprint,
                        "y": item.type,
                        "t": time,
                        "d": msgspec.Raw(item.data),
                    }
                )
        if rows:
            cursor.execute(_CLAIM_AND_STORE, [_encode(rows).decode(), now, import_id])
            claimed = {row[0] for row in cursor.fetchall()}
            for seq in claimed:
                place = places[seq]
                results[place] = Result(items[place].id, ACCEPTED)
            twins = [row for row in rows if row["q"] not in claimed]
            for row, same in zip(twins, _same_content(cursor, twins), strict=True):
                place = places[row["q"]]
                item = items[place]
                assert isinstance(item, Incoming)
                if same:
                    results[place] = Result(item.id, DUPLICATE)
                else:
                    refused.append((place, _refuse(item, "id_conflict", _id_conflict(item.id))))
            if import_id is not None:
                ImportCustomer.objects.bulk_create(
                    [
                        ImportCustomer(batch_import_id=import_id, customer_id=customer)
                        for customer in sorted({row["c"] for row in rows})
                    ],
                    ignore_conflicts=True,
                )
            if claimed:
                transaction.on_commit(ring)
        for place, bad in refused:
            results[place] = Result(bad.id, REJECTED, bad.reason, bad.message)
        if keep_refused:
            _keep(refused, seqs, now, import_id)
    return [result for result in results if result is not None]


def _lock_open_import(cursor: CursorWrapper, import_id: UUID) -> bool:
    """Whether the import is open; the lock, shared with other batches, keeps it open until this transaction commits."""
    cursor.execute("SELECT 1 FROM outcomes_import WHERE id = %s AND closed_at IS NULL FOR SHARE", [import_id])
    return cursor.fetchone() is not None


def _same_content(cursor: CursorWrapper, rows: list[dict]) -> list[bool]:
    """For each row whose identity was taken: whether the event that holds it has the same content.

    A statement of its own, because the claim of a transaction that won the race is invisible to the one that lost it.
    """
    if not rows:
        return []
    cursor.execute(
        """
        SELECT k.n, identity.fingerprint = decode(k.f, 'hex')
        FROM jsonb_to_recordset(%s::jsonb) AS k(n int, c bigint, i text, s text, f text)
        JOIN outcomes_event_identity identity
          ON identity.customer_id = k.c AND identity.event_id = k.i AND identity.source = k.s
        ORDER BY k.n
        """,
        [_encode([{"n": n, **{name: row[name] for name in "cisf"}} for n, row in enumerate(rows)]).decode()],
    )
    return [same for _, same in cursor.fetchall()]


def _keep(refused: Iterable[tuple[int, Refused]], seqs: list[int], now: datetime, import_id: UUID | None) -> None:
    """Put what was refused into the inbox; a copy of what waits there already is not kept twice."""
    fresh: dict[tuple[str, str, str, bytes], tuple[int, Refused]] = {}
    for place, item in refused:
        fresh.setdefault((item.customer, item.id, item.reason, item.raw), (place, item))
    if not fresh:
        return
    waiting = set(
        InboxItem.objects.filter(
            status=InboxItem.Status.WAITING,
            customer_key__in={item.customer for _, item in fresh.values()},
            event_id__in={item.id for _, item in fresh.values()},
        ).values_list("customer_key", "event_id", "reason", "body")
    )
    InboxItem.objects.bulk_create(
        InboxItem(
            seq=seqs[place],
            customer_key=item.customer,
            event_id=item.id,
            type=item.type,
            body=body,
            reason=item.reason,
            message=item.message,
            received_at=now,
            batch_import_id=import_id,
        )
        for place, item in fresh.values()
        if (item.customer, item.id, item.reason, body := _text(item.raw)) not in waiting
    )


def _text(raw: bytes) -> str:
    """The bytes as text that PostgreSQL can hold; what is no UTF-8 is shown escaped."""
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\u0000")


def _refuse(item: Incoming, reason: str, message: str) -> Refused:
    return Refused(reason, message, item.raw, item.id, item.type, item.customer)


def _unknown_customer(key: str) -> str:
    return (
        f"No customer has the key {key!r}. Create it (PUT /v1/customers/{{key}}), then retry the event from the inbox."
    )


def _in_future(time: datetime, now: datetime) -> str:
    return (
        f"`time` {time.isoformat()} is more than {settings.MAX_EVENT_FUTURE_SECONDS // 60} minutes ahead of our clock "
        f"({now.isoformat(timespec='seconds')}). Check the sender's clock and send the event again."
    )


def _too_old(time: datetime) -> str:
    return (
        f"`time` {time.isoformat()} is more than {settings.MAX_EVENT_AGE_DAYS} days ago. "
        "Send history within an import (POST /v1/imports)."
    )


def _id_conflict(event_id: str) -> str:
    return (
        f"An event with the id {event_id!r} and other content was accepted before; events never change. "
        "Send the new fact under an id of its own."
    )
