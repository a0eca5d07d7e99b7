"""Accept events: validate, resolve customers, claim identities and store, in one statement; then ring for evaluation.

When `accept` returns, every item is durable: as an accepted event that waits for evaluation, or in the inbox with its
reason. Retrying a batch is safe: what was stored is a `duplicate`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from contracts.clocks import nows
from outcomes import imports
from outcomes.bell import ring_soon
from outcomes.bulk import recordset
from outcomes.models import InboxItem
from outcomes.sequence import MONTH_FACTOR, month_number
from outcomes.wire import Incoming, Refused

# So many of the latest events without an id are compared with a new one, so that a copy is not kept twice.
NAMELESS = 1000

# The earliest time of an event of which any is taken: those of an import.
ANY_TIME = datetime.min.replace(tzinfo=UTC)

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


# One statement, one round trip: what is sent, the customers it names, the claims, the payloads, what waits. It answers
# with the rows that were *not* newly accepted, so a batch without trouble costs Python next to nothing per event.
#
# Events of customers with a test clock are passed over (`h` lacks) and come back with the others: what time it is for
# them decides whether they are taken, and only the database knows that. A second statement takes them (`_by_clock`).
# So they pay for their clocks, with a round trip, and live events do not: joining the clocks here was planned anew with
# every event and cost a single one 0.1 ms of 0.5.
_CLAIM_AND_STORE = """
WITH sent AS MATERIALIZED (
    -- A function's rows come in the order of the list: acceptance numbers rise with the place in the batch.
    SELECT t.n, t.k, t.i, t.s, t.f, t.y, t.t, t.d, t.h, coalesce(t.q, %(base)s + nextval('outcomes_seq')) AS seq
    -- The limit tells the planner how few they may be (outcomes.bulk.recordset).
    FROM (SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb)
        AS given(n int, k text, i text, s text, f text, y text, t timestamptz, d jsonb, h boolean, q bigint)
        LIMIT %(count)s) AS t
), named AS MATERIALIZED (
    SELECT n, CASE WHEN h OR test_clock_id IS NULL THEN i END AS i, s, f, y, t, d, seq,
        customer.id AS customer, customer.partition, h IS NULL AND test_clock_id IS NOT NULL AS clocked
    FROM sent JOIN contracts_customer customer ON customer.key = sent.k
), claimed AS (
    -- Sorted by key, so that overlapping batches wait for each other instead of deadlocking.
    INSERT INTO outcomes_event_identity (customer_id, event_id, source, fingerprint, seq)
    SELECT customer, i, s, decode(f, 'hex'), seq FROM named WHERE i IS NOT NULL ORDER BY customer, i, s, seq
    ON CONFLICT DO NOTHING RETURNING seq
), stored AS (
    INSERT INTO outcomes_event (seq, customer_id, event_id, source, type, "time", received_at, data, batch_import_id)
    SELECT seq, customer, i, s, y, t, %(now)s, d, %(import)s FROM named JOIN claimed USING (seq)
), waiting AS (
    INSERT INTO outcomes_pending (partition, seq, "time") SELECT partition, seq, t FROM named JOIN claimed USING (seq)
), touched AS (
    INSERT INTO outcomes_importcustomer (batch_import_id, customer_id)
    SELECT DISTINCT %(import)s::uuid, customer FROM named WHERE i IS NOT NULL AND %(import)s::uuid IS NOT NULL
    ORDER BY customer ON CONFLICT DO NOTHING
)
SELECT sent.n, sent.seq, named.customer, named.clocked
FROM sent LEFT JOIN named USING (n) LEFT JOIN claimed ON claimed.seq = sent.seq
WHERE claimed.seq IS NULL ORDER BY sent.n
"""

_encode = msgspec.json.Encoder().encode


def accept(
    items: Sequence[Incoming | Refused],
    *,
    now: datetime,
    import_id: UUID | None = None,
    seqs: Sequence[int] | None = None,
    oldest: Sequence[datetime] | None = None,
    keep_refused: bool = True,
) -> list[Result]:
    """Accept a batch; one result per item, in order. One bad item never costs its neighbours.

    ``seqs`` are the acceptance numbers, and ``oldest`` the earliest `time` of each, that items retried from the inbox
    keep (`earliest_time`); new ones otherwise. What is refused goes to the inbox, and into the tally of the import,
    unless ``keep_refused`` is false (it lies there already). For customers with a test clock ``now`` is the clock's.
    Locks: the identity keys of the batch, in key order. Raises ImportClosed. A retry of the whole call is safe.
    """
    oldest = oldest or [earliest_time(now, in_import=import_id is not None)] * len(items)
    if import_id is None:
        return _accept(items, now, None, seqs, oldest, keep_refused)
    with transaction.atomic(), connection.cursor() as cursor:
        if not _lock_open_import(cursor, import_id):
            raise ImportClosed
        results = _accept(items, now, import_id, seqs, oldest, keep_refused)
        if keep_refused:
            became = Counter(result.status for result in results)
            imports.tally(import_id, accepted=became[ACCEPTED], duplicates=became[DUPLICATE], rejected=became[REJECTED])
    return results


def _accept(
    items: Sequence[Incoming | Refused],
    now: datetime,
    import_id: UUID | None,
    seqs: Sequence[int] | None,
    oldest: Sequence[datetime],
    keep_refused: bool,
) -> list[Result]:
    """Outside a transaction the statement that stores commits by itself, and what was refused is kept after it: whoever
    dies in between has not answered, and all of it is sent again.
    """
    results = [Result(item.id, ACCEPTED) for item in items]
    rows, refusals = _rows(items, now, seqs, oldest)
    with connection.cursor() as cursor:
        not_accepted = _claim_and_store(cursor, rows, now, import_id)
        if any(row.clocked for row in not_accepted):
            not_accepted = _by_clock(cursor, items, not_accepted, refusals, now, import_id, oldest)
        if len(not_accepted) < len(items):
            transaction.on_commit(ring_soon)
        if not not_accepted:
            return results
        refused: list[tuple[Refused, int]] = []
        twins: list[tuple[int, int, int]] = []
        for place, seq, customer, _ in not_accepted:
            item = items[place]
            if customer is None and isinstance(item, Incoming):
                refusals[place] = _refuse(item, "unknown_customer", _unknown_customer(item.customer))
            if place in refusals:
                refused.append((refusals[place], seq))
            else:
                assert customer is not None
                twins.append((place, seq, customer))
        for (place, seq, _), same in zip(twins, _same_content(cursor, items, twins), strict=True):
            item = items[place]
            assert isinstance(item, Incoming)
            if same:
                results[place] = Result(item.id, DUPLICATE)
            else:
                refusals[place] = _refuse(item, "id_conflict", _id_conflict(item.id))
                refused.append((refusals[place], seq))
        for place, bad in refusals.items():
            results[place] = Result(bad.id, REJECTED, bad.code, bad.message)
        if keep_refused:
            _keep(refused, now, import_id)
    return results


class _NotAccepted(NamedTuple):
    """A row of the statement that was not newly accepted. ``clocked``: passed over, for its customer's test clock."""

    place: int
    seq: int
    customer: int | None
    clocked: bool | None


def _claim_and_store(
    cursor: CursorWrapper, rows: Sequence[dict], now: datetime, import_id: UUID | None
) -> list[_NotAccepted]:
    base = month_number(now) * MONTH_FACTOR
    sent: dict[str, Any] = {
        "base": base,
        "rows": _encode(rows).decode(),
        "count": len(rows),
        "now": now,
        "import": import_id,
    }
    cursor.execute(_CLAIM_AND_STORE, sent)
    return [_NotAccepted(*row) for row in cursor.fetchall()]


def _by_clock(
    cursor: CursorWrapper,
    items: Sequence[Incoming | Refused],
    not_accepted: Sequence[_NotAccepted],
    refusals: dict[int, Refused],
    now: datetime,
    import_id: UUID | None,
    oldest: Sequence[datetime],
) -> list[_NotAccepted]:
    """Take the events of customers with test clocks, each as of its customer's now, under the acceptance numbers that
    the first statement gave them; what of the batch is not newly accepted after that. What the wall clock says of
    their times leaves ``refusals``.
    """
    own = nows(row.customer for row in not_accepted if row.clocked and row.customer is not None)
    rows = []
    for place, seq, customer, clocked in not_accepted:
        item = items[place]
        if clocked and customer is not None and isinstance(item, Incoming):
            clock = own[customer]
            earliest = earliest_time(clock, in_import=oldest[place] == ANY_TIME)
            refusals.pop(place, None)
            row = _row(item, clock, earliest, clock + _ahead(), "the customer's test clock")
            if isinstance(row, Refused):
                refusals[place] = row
                row = {"k": item.customer}
            rows.append(row | {"n": place, "h": True, "q": seq})
    left = [row for row in not_accepted if not row.clocked]
    return sorted([*left, *_claim_and_store(cursor, rows, now, import_id)])


def _rows(
    items: Sequence[Incoming | Refused], now: datetime, seqs: Sequence[int] | None, oldest: Sequence[datetime]
) -> tuple[list[dict], dict[int, Refused]]:
    """The items as rows of the statement, and by place those refused already: these take an acceptance number only."""
    newest = now + _ahead()
    rows: list[dict] = []
    refusals: dict[int, Refused] = {}
    for place, item in enumerate(items):
        row: dict[str, Any] = {"n": place}
        if isinstance(item, Refused):
            refusals[place] = item
        else:
            found = _row(item, now, oldest[place], newest, "our clock")
            if isinstance(found, Refused):
                refusals[place] = found
                row["k"] = item.customer
            else:
                row |= found
        if seqs is not None:
            row["q"] = seqs[place]
        rows.append(row)
    return rows, refusals


def _row(item: Incoming, now: datetime, oldest: datetime, newest: datetime, clock: str) -> dict[str, Any] | Refused:
    """The event as a row of the statement, unless its time is out of bounds by what ``clock`` shows."""
    time = item.time or now
    if time > newest:
        return _refuse(item, "in_future", _in_future(time, now, clock))
    if time < oldest:
        return _refuse(item, "too_old", _too_old(time))
    return {
        "k": item.customer, "i": item.id, "s": item.source, "f": item.fingerprint, "y": item.type, "t": time,
        "d": msgspec.Raw(item.data),
    }  # fmt: skip


def _ahead() -> timedelta:
    return timedelta(seconds=settings.MAX_EVENT_FUTURE_SECONDS)


def earliest_time(received_at: datetime, *, in_import: bool) -> datetime:
    """The earliest `time` with which an event received then is accepted; within an import, any."""
    if in_import:
        return ANY_TIME
    return received_at - timedelta(days=settings.MAX_EVENT_AGE_DAYS)


def _lock_open_import(cursor: CursorWrapper, import_id: UUID) -> bool:
    """Whether the import is open; the lock, shared with other batches, keeps it open until this transaction commits."""
    cursor.execute("SELECT 1 FROM outcomes_import WHERE id = %s AND closed_at IS NULL FOR SHARE", [import_id])
    return cursor.fetchone() is not None


def _same_content(
    cursor: CursorWrapper, items: Sequence[Incoming | Refused], twins: Sequence[tuple[int, int, int]]
) -> list[bool]:
    """For each (place, seq, customer) whose identity was taken: whether the event that holds it has the same content.

    A statement of its own, because the claim of a transaction that won the race is invisible to the one that lost it.
    """
    if not twins:
        return []
    keys = []
    for n, (place, _, customer) in enumerate(twins):
        item = items[place]
        assert isinstance(item, Incoming)
        keys.append({"n": n, "c": customer, "i": item.id, "s": item.source, "f": item.fingerprint})
    cursor.execute(
        f"""
        SELECT k.n, identity.fingerprint = decode(k.f, 'hex')
        FROM {recordset("k", "n int, c bigint, i text, s text, f text")}
        JOIN outcomes_event_identity identity
          ON identity.customer_id = k.c AND identity.event_id = k.i AND identity.source = k.s
        ORDER BY k.n
        """,
        [_encode(keys).decode(), len(keys)],
    )
    return [same for _, same in cursor.fetchall()]


def _keep(refused: Iterable[tuple[Refused, int]], now: datetime, import_id: UUID | None) -> None:
    """Put what was refused, with its acceptance number, into the inbox; a copy of what waits there already is not kept
    twice.
    """
    fresh: dict[tuple[str, str, str, bytes], tuple[Refused, int]] = {}
    for item, seq in refused:
        fresh.setdefault((item.customer, item.id, item.reason, item.raw), (item, seq))
    if not fresh:
        return
    alike = InboxItem.objects.filter(
        status=InboxItem.Status.WAITING, customer_key__in={item.customer for item, _ in fresh.values()}
    )
    columns = ("customer_key", "event_id", "reason", "body")
    named = {item.id for item, _ in fresh.values() if item.id}
    waiting = set(alike.filter(event_id__in=named).values_list(*columns)) if named else set()
    if len(named) < len(fresh):
        # Of what has no id any number may wait: only the latest are looked at.
        waiting.update(alike.filter(event_id="").order_by("-id").values_list(*columns)[:NAMELESS])
    InboxItem.objects.bulk_create(
        InboxItem(
            seq=seq,
            customer_key=item.customer,
            event_id=item.id,
            type=item.type,
            body=body,
            reason=item.reason,
            message=item.message,
            received_at=now,
            batch_import_id=import_id,
        )
        for item, seq in fresh.values()
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


def _in_future(time: datetime, now: datetime, clock: str) -> str:
    return (
        f"`time` {time.isoformat()} is more than {settings.MAX_EVENT_FUTURE_SECONDS // 60} minutes ahead of {clock} "
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
