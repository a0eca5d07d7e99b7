"""Rows between the database and the evaluation, set-wise. Instants cross as microseconds since the epoch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper

from conditions_dsl import Event
from contracts.models import Customer
from outcomes.booking import Booked
from outcomes.bulk import copy_rows, jsonb, recordset, update_rows
from outcomes.domain.instants import from_us
from outcomes.domain.lifecycle import CONFIRMED, Change, Decision
from outcomes.models import Event as StoredEvent
from outcomes.models import InboxItem
from outcomes.sequence import MONTH_FACTOR, month_text
from outcomes.work import Work


def _us(column: str) -> str:
    """SQL for a timestamp as microseconds: `extract` gives an exact numeric."""
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


EVENT_COLUMNS = f"e.event_id, e.type, {_us('e.time')}, e.seq, e.data::text"

decode_data = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="string").encode
_encode_body = msgspec.json.Encoder(decimal_format="number").encode


def read_event_row(row: Sequence[Any]) -> Event:
    """An event from a row that starts with EVENT_COLUMNS."""
    return Event(row[0], row[1], row[2], row[3], decode_data(row[4]))


# The shares of the locked partitions leave `pending`, in the order of evaluation, by the index that keeps this order. A
# payload that is gone would be missed in silence by an inner join.
_TAKE = f"""
WITH taken AS (
    DELETE FROM outcomes_pending WHERE ctid = ANY(ARRAY(
        SELECT next.ctid FROM unnest(%s::smallint[], %s::int[]) AS share(partition, count)
        CROSS JOIN LATERAL (
            SELECT p.ctid FROM outcomes_pending p WHERE p.partition = share.partition
            ORDER BY p."time", p.seq LIMIT share.count
        ) AS next
    ))
    RETURNING partition, "time", seq, again
)
SELECT {EVENT_COLUMNS}, e.customer_id, taken.partition, taken.again, taken.seq
FROM taken LEFT JOIN outcomes_event e ON e.seq = taken.seq ORDER BY taken."time", taken.seq
"""


class PayloadMissing(Exception):
    """An event is needed and its payload is not there: its month is archived."""

    def __init__(self, seqs: Collection[int]) -> None:
        self.months = sorted({month_text(seq // MONTH_FACTOR) for seq in seqs})
        super().__init__(f"The payloads of {len(seqs)} events are missing; they were received in {self.months}.")


class Taken(NamedTuple):
    """An event that waited for evaluation. ``again``: it was evaluated before, and some of its subjects may know it."""

    event: Event
    customer: int
    partition: int
    again: bool


def take_pending(cursor: CursorWrapper, shares: Mapping[int, int]) -> list[Taken]:
    """Take the next events of each partition (as many as its share) off what waits, in order of (time, seq). The caller
    holds the partitions. Raises PayloadMissing.
    """
    cursor.execute(_TAKE, [list(shares), list(shares.values())])
    rows = cursor.fetchall()
    if missing := [row[-1] for row in rows if row[3] is None]:
        raise PayloadMissing(missing)
    return [Taken(read_event_row(row), row[-4], row[-3], row[-2]) for row in rows]


def read_event(seq: int) -> Event:
    """One accepted event by its acceptance order, its numbers exact."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {EVENT_COLUMNS} FROM outcomes_event e WHERE e.seq = %s", [seq])
        return read_event_row(cursor.fetchone())


def read_history(cursor: CursorWrapper, subject: int) -> list[Event]:
    """Every event of a subject, in order of (time, seq). Raises PayloadMissing where a part of it is archived."""
    cursor.execute(
        f"""
        SELECT {EVENT_COLUMNS}, f.seq FROM outcomes_subject_event f LEFT JOIN outcomes_event e ON e.seq = f.seq
        WHERE f.subject_id = %s ORDER BY f."time", f.seq
        """,
        [subject],
    )
    rows = cursor.fetchall()
    if missing := [row[-1] for row in rows if row[3] is None]:
        raise PayloadMissing(missing)
    return [read_event_row(row) for row in rows]


def load_decisions(cursor: CursorWrapper, subjects: Collection[int]) -> dict[int, list[Decision]]:
    """What people decided of these subjects, each in order of its instants."""
    cursor.execute(
        f"""
        SELECT d.subject_id, {_us("d.at")}, d.kind, {_us("d.met_at")}, d.met_by_seq, d.actor, d.reason, d.quantity,
            d.amount
        FROM outcomes_decision d WHERE d.subject_id = ANY(%s) ORDER BY d.subject_id, d.at
        """,
        [list(subjects)],
    )
    found: dict[int, list[Decision]] = {}
    for subject, *decision in cursor.fetchall():
        found.setdefault(subject, []).append(Decision(*decision))
    return found


def known_facts(cursor: CursorWrapper, facts: Collection[tuple[int, Event]]) -> set[tuple[int, int]]:
    """Which of these (subject, event) are among the facts stored already, or were left out of them as late evidence, as
    (subject, seq).
    """
    cursor.execute(
        """
        SELECT k.subject, k.seq FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) AS k(subject, "time", seq)
        WHERE EXISTS (SELECT FROM outcomes_subject_event f
                      WHERE f.subject_id = k.subject AND f."time" = k."time" AND f.seq = k.seq)
           OR EXISTS (SELECT FROM outcomes_lateevidence l WHERE l.event_seq = k.seq AND l.subject_id = k.subject)
        """,
        [
            [subject for subject, _ in facts],
            [from_us(event.time) for _, event in facts],
            [event.seq for _, event in facts],
        ],
    )
    return set(cursor.fetchall())


# --- outcomes ---------------------------------------------------------------------------------------------------------

# Every column of an outcome that evaluation writes: (name, SQL type, attribute of Booked, is it an instant).
_COLUMNS = (
    ("version_id", "bigint", "version", False),
    ("state", "text", "state", False),
    ("first_time", "timestamptz", "first_time", True),
    ("first_seq", "bigint", "first_seq", False),
    ("last_time", "timestamptz", "last_time", True),
    ("last_seq", "bigint", "last_seq", False),
    ("met_by_seq", "bigint", "met_by_seq", False),
    ("met_at", "timestamptz", "met_at", True),
    ("settles_at", "timestamptz", "settles_at", True),
    ("settled_at", "timestamptz", "settled_at", True),
    ("ended_by_seq", "bigint", "ended_by_seq", False),
    ("ended_at", "timestamptz", "ended_at", True),
    ("quantity", "numeric", "quantity", False),
    ("amount", "numeric", "amount", False),
    ("dimensions", "jsonb", "dimensions", False),
    ("review", "text[]", "review", False),
    ("due_at", "timestamptz", "due_at", True),
    ("queue", "jsonb", "queue", False),
    ("single", "boolean", "single", False),
)
_JSONB = [place for place, (_, sql_type, _, _) in enumerate(_COLUMNS) if sql_type == "jsonb"]
# What is written once, when the row is new, and then the columns above.
_NEW_COLUMNS = [
    ("id", "uuid"), ("customer_id", "bigint"), ("condition_id", "bigint"), ("subject_id", "bigint"),
    ("partition", "smallint"), ("ordinal", "integer"),
    *((name, sql_type) for name, sql_type, _, _ in _COLUMNS),
]  # fmt: skip
_HEAD = "o.id, o.subject_id, o.ordinal"
_SELECTED = ", ".join(_us(f"o.{name}") if instant else f"o.{name}" for name, _, _, instant in _COLUMNS)


def load_booked(
    cursor: CursorWrapper, ordinals: Collection[tuple[int, int]] | None, *, subject: int | None = None
) -> dict[int, dict[int, Booked]]:
    """Outcome rows, locked, as {subject: {ordinal: row}}: those named by (subject, ordinal), or all of one subject."""
    if ordinals is not None and not ordinals:
        return {}
    select = f"SELECT {_HEAD}, {_SELECTED} FROM outcomes_outcome o "
    if ordinals is None:
        cursor.execute(f"{select} WHERE o.subject_id = %s ORDER BY o.id FOR UPDATE OF o", [subject])
    else:
        cursor.execute(
            f"{select} JOIN unnest(%s::bigint[], %s::int[]) AS w(s, n) ON o.subject_id = w.s AND o.ordinal = w.n "
            "ORDER BY o.id FOR UPDATE OF o",
            [[s for s, _ in ordinals], [n for _, n in ordinals]],
        )
    found: dict[int, dict[int, Booked]] = {}
    for values in cursor.fetchall():
        row = _booked(values)
        found.setdefault(row.subject, {})[row.ordinal] = row
    return found


def load_due(cursor: CursorWrapper, ids: Collection[Any]) -> list[tuple[Booked, int, int]]:
    """The outcome rows with these ids, which the caller has locked, as (row, partition, customer), in order of
    `due_at`.
    """
    if not ids:
        return []
    cursor.execute(
        f"SELECT {_HEAD}, {_SELECTED}, o.partition, o.customer_id FROM outcomes_outcome o "
        "WHERE o.id = ANY(%s) ORDER BY o.due_at, o.id",
        [list(ids)],
    )
    return [(_booked(values[:-2]), values[-2], values[-1]) for values in cursor.fetchall()]


def _booked(values: Sequence[Any]) -> Booked:
    row = Booked(*values)  # the columns stand in the order of the fields
    row.dimensions = _json(row.dimensions)
    row.queue = [Change(*change) for change in _json(row.queue) or []]
    return row


def _json(value: Any) -> Any:
    # Raw cursors hand jsonb over as text: Django's own decoding belongs to its model fields.
    return msgspec.json.decode(value) if isinstance(value, str) else value


_attributes = attrgetter(*(attribute for _, _, attribute, _ in _COLUMNS))
_INSTANTS = [place for place, (_, _, _, is_instant) in enumerate(_COLUMNS) if is_instant]
_QUEUE = next(place for place, (name, _, _, _) in enumerate(_COLUMNS) if name == "queue")


def _values(row: Booked) -> list[Any]:
    values = list(_attributes(row))
    for place in _INSTANTS:
        if values[place] is not None:
            values[place] = from_us(values[place])
    values[_QUEUE] = [list(change) for change in row.queue] or None
    return values


def write_outcomes(cursor: CursorWrapper, works: Iterable[Work], now: datetime) -> None:
    """Insert the new outcome rows of these subjects, update the others, append the journal."""
    fresh: list[list[Any]] = []
    rows: list[Booked] = []
    for work in works:
        for row in work.rows:
            rows.append(row)
            if row.is_new:
                values = _values(row)
                for place in _JSONB:
                    if values[place] is not None:
                        values[place] = jsonb(values[place])
                fresh.append([row.id, work.customer, work.condition, work.id, work.partition, row.ordinal, *values])
    if fresh:
        copy_rows(cursor, "outcomes_outcome", _NEW_COLUMNS, fresh)
    write_booked(cursor, rows, now)


def write_booked(cursor: CursorWrapper, rows: Sequence[Booked], now: datetime) -> None:
    """Update the rows that are not new, and append the journal of all.

    Confirmed ones last: where one outcome of a subject is reversed and its next confirmed, the unique index must see
    the first go before the second comes.
    """
    for confirmed in (False, True):
        update_rows(
            cursor,
            "outcomes_outcome",
            ("id", "uuid"),
            [(name, sql_type) for name, sql_type, _, _ in _COLUMNS],
            [[row.id, *_values(row)] for row in rows if not row.is_new and (row.state == CONFIRMED) is confirmed],
        )
    write_journal(
        cursor,
        [
            (
                *(j.from_state, j.to_state, j.cause, j.clause, j.actor, j.reason),
                *(j.outcome, j.event_seq, from_us(j.effective_at), now),
            )
            for row in rows
            for j in row.journal
        ],
    )


_JOURNAL_COLUMNS = (
    *((name, "text") for name in ("from_state", "to_state", "cause", "clause", "actor", "reason")),
    *(("outcome_id", "uuid"), ("event_seq", "bigint"), ("effective_at", "timestamptz"), ("recorded_at", "timestamptz")),
)


def write_journal(cursor: CursorWrapper, rows: Sequence[tuple]) -> None:
    """Append journal rows, their values in the order of _JOURNAL_COLUMNS."""
    if rows:
        copy_rows(cursor, "outcomes_journal", _JOURNAL_COLUMNS, rows)


# --- subjects ---------------------------------------------------------------------------------------------------------


def load_subjects(
    cursor: CursorWrapper, keys: Collection[tuple[int, int, str]]
) -> list[tuple[int, int, str, int, str, tuple[int, int]]]:
    """Which of the subjects (customer, condition, key) are stored: each with its id, its fold state and the
    newest event folded, as (time, seq).
    """
    cursor.execute(
        f"""
        SELECT s.customer_id, s.condition_id, s.key, s.id, s.state, {_us("s.last_time")}, s.last_seq
        FROM {recordset("w", "c bigint, o bigint, k text")}
        JOIN outcomes_subject s ON s.customer_id = w.c AND s.condition_id = w.o AND s.key = w.k
        """,
        [_encode([{"c": customer, "o": condition, "k": key} for customer, condition, key in keys]).decode(), len(keys)],
    )
    return [(*row[:5], (row[5], row[6])) for row in cursor.fetchall()]


def load_states(cursor: CursorWrapper, subjects: Collection[int]) -> dict[int, str]:
    """The stored folds of these subjects, by id. Who acts on them holds their partition."""
    cursor.execute("SELECT id, state FROM outcomes_subject WHERE id = ANY(%s)", [list(subjects)])
    return dict(cursor.fetchall())


def close_until(cursor: CursorWrapper, instants: Mapping[int, int]) -> None:
    """Say of each subject that it is booked until this instant, so that an earlier event is seen to be late."""
    cursor.execute(
        "UPDATE outcomes_subject s SET last_time = greatest(s.last_time, closed.instant) "
        "FROM unnest(%s::bigint[], %s::timestamptz[]) AS closed(id, instant) WHERE s.id = closed.id",
        [list(instants), [from_us(instant) for instant in instants.values()]],
    )


def new_subject_ids(cursor: CursorWrapper, count: int) -> list[int]:
    """Ids for subjects that are about to be stored."""
    if not count:
        return []
    cursor.execute(
        "SELECT nextval(pg_get_serial_sequence('outcomes_subject', 'id')) FROM generate_series(1, %s)", [count]
    )
    return [pk for (pk,) in cursor.fetchall()]


_SUBJECT_COLUMNS = (("state", "text"), ("last_time", "timestamptz"), ("last_seq", "bigint"))


def write_subjects(cursor: CursorWrapper, works: Iterable[Work]) -> None:
    """Store the fold states and link the new events to their subjects."""
    fresh: list[tuple] = []
    changed: list[tuple] = []
    facts: list[tuple] = []
    for work in works:
        assert work.fold is not None
        state = _encode(work.fold.dump()).decode()
        last = max([(event.time, event.seq) for event in work.events[-1:]] + [work.last])
        if work.is_new:
            fresh.append((work.id, work.customer, work.condition, work.key, state, from_us(last[0]), last[1]))
        else:
            changed.append((work.id, state, from_us(last[0]), last[1]))
        facts += [(work.id, from_us(event.time), event.seq) for event in work.events]
    update_rows(
        cursor,
        "outcomes_subject",
        ("id", "bigint"),
        _SUBJECT_COLUMNS,
        changed,
    )
    if fresh:
        identity = [("id", "bigint"), ("customer_id", "bigint"), ("condition_id", "bigint"), ("key", "text")]
        copy_rows(cursor, "outcomes_subject", [*identity, *_SUBJECT_COLUMNS], fresh)
    if facts:
        copy_rows(
            cursor,
            "outcomes_subject_event",
            [("subject_id", "bigint"), ("time", "timestamptz"), ("seq", "bigint")],
            facts,
        )


# --- the inbox --------------------------------------------------------------------------------------------------------


def write_inbox(cursor: CursorWrapper, items: Sequence[tuple[Event, int, str, str]], now: datetime) -> None:
    """Put accepted events that could not be used into the inbox: (event, customer, reason, message). One that waits
    there for the same reason is not put there twice.
    """
    if not items:
        return
    cursor.execute(
        "SELECT event_seq, reason FROM outcomes_inboxitem WHERE event_seq = ANY(%s) AND status = 'waiting'",
        [[event.seq for event, _, _, _ in items]],
    )
    there = set(cursor.fetchall())
    keys = dict(Customer.objects.filter(id__in={customer for _, customer, _, _ in items}).values_list("id", "key"))
    imports = dict(
        StoredEvent.objects.filter(seq__in=[event.seq for event, _, _, _ in items]).values_list(
            "seq", "batch_import_id"
        )
    )
    InboxItem.objects.bulk_create(
        InboxItem(
            seq=event.seq,
            event_seq=event.seq,
            customer_key=keys[customer],
            event_id=event.id,
            type=event.type,
            body=_encode_body(
                {
                    "id": event.id,
                    "type": event.type,
                    "customer": keys[customer],
                    "time": from_us(event.time),
                    "data": event.data,
                }
            ).decode(),
            reason=reason,
            message=message,
            received_at=now,
            batch_import_id=imports[event.seq],
        )
        for event, customer, reason, message in items
        if (event.seq, reason) not in there
    )
