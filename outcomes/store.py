"""Rows between the database and the evaluation, set-wise. Instants cross as microseconds since the epoch."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper

from conditions_dsl import Event
from contracts.models import Condition, Customer
from outcomes.booking import Booked
from outcomes.bulk import copy_rows, update_rows
from outcomes.domain.instants import from_us
from outcomes.domain.lifecycle import CONFIRMED, Change
from outcomes.models import InboxItem
from outcomes.programs import MAX_KEY_BYTES
from outcomes.work import Work


def _us(column: str) -> str:
    """SQL for a timestamp as microseconds: `extract` gives an exact numeric."""
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


EVENT_COLUMNS = f"e.event_id, e.type, {_us('e.time')}, e.seq, e.data::text"

_decode_data = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="string").encode
_encode_body = msgspec.json.Encoder(decimal_format="number").encode


def read_event_row(row: Sequence[Any]) -> Event:
    """An event from a row that starts with EVENT_COLUMNS."""
    return Event(row[0], row[1], row[2], row[3], _decode_data(row[4]))


def read_event(seq: int) -> Event:
    """One accepted event by its acceptance order, its numbers exact."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {EVENT_COLUMNS} FROM outcomes_event e WHERE e.seq = %s", [seq])
        return read_event_row(cursor.fetchone())


def read_history(cursor: CursorWrapper, subject: int) -> list[Event]:
    """Every event of a subject, in order of (time, seq)."""
    cursor.execute(
        f"""
        SELECT {EVENT_COLUMNS} FROM outcomes_subject_event f JOIN outcomes_event e ON e.seq = f.seq
        WHERE f.subject_id = %s ORDER BY f."time", f.seq
        """,
        [subject],
    )
    return [read_event_row(row) for row in cursor.fetchall()]


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
)
_HEAD = "o.id, o.subject_id, o.ordinal, o.single"
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
    pk, subject, ordinal, single = values[:4]
    fields = {attribute: value for (_, _, attribute, _), value in zip(_COLUMNS, values[4:], strict=True)}
    fields["dimensions"] = _json(fields["dimensions"])
    fields["queue"] = [Change(*change) for change in _json(fields["queue"]) or []]
    return Booked(id=pk, subject=subject, ordinal=ordinal, single=single, **fields)


def _json(value: Any) -> Any:
    # Raw cursors hand jsonb over as text: Django's own decoding belongs to its model fields.
    return msgspec.json.decode(value) if isinstance(value, str) else value


def _values(row: Booked) -> list[Any]:
    values: list[Any] = []
    for name, _, attribute, is_instant in _COLUMNS:
        value = getattr(row, attribute)
        if is_instant and value is not None:
            value = from_us(value)
        elif name == "queue":
            value = [list(change) for change in value] or None
        values.append(value)
    return values


def write_outcomes(cursor: CursorWrapper, works: Iterable[Work], now: datetime) -> None:
    """Insert the new outcome rows of these subjects, update the others, append the journal."""
    fresh: list[list[Any]] = []
    rows: list[Booked] = []
    for work in works:
        for row in work.rows:
            rows.append(row)
            if row.is_new:
                values = [
                    _encode(value).decode() if sql_type == "jsonb" and value is not None else value
                    for value, (_, sql_type, _, _) in zip(_values(row), _COLUMNS, strict=True)
                ]
                fresh.append(
                    [row.id, work.customer, work.condition, work.id, work.partition, row.ordinal, row.single, *values]
                )
    if fresh:
        columns = ["id", "customer_id", "condition_id", "subject_id", "partition", "ordinal", "single"]
        copy_rows(cursor, "outcomes_outcome", columns + [name for name, _, _, _ in _COLUMNS], fresh)
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
                j.outcome,
                j.from_state,
                j.to_state,
                j.cause,
                j.clause,
                j.event_seq,
                "",
                "",
                from_us(j.effective_at),
                now,
            )
            for row in rows
            for j in row.journal
        ],
    )


def write_journal(cursor: CursorWrapper, rows: Sequence[tuple]) -> None:
    """Append journal rows: (outcome, from, to, cause, clause, event seq, actor, reason, effective_at, recorded_at)."""
    if rows:
        copy_rows(
            cursor,
            "outcomes_journal",
            (
                *("outcome_id", "from_state", "to_state", "cause", "clause"),
                *("event_seq", "actor", "reason", "effective_at", "recorded_at"),
            ),
            rows,
        )


# --- subjects ---------------------------------------------------------------------------------------------------------


def load_subjects(
    cursor: CursorWrapper, keys: Collection[tuple[int, int, str]]
) -> list[tuple[int, int, str, int, str, tuple[int, int]]]:
    """Which of the subjects (customer, condition, key) are stored, locked: each with its id, its fold state and the
    newest event folded, as (time, seq).
    """
    cursor.execute(
        f"""
        SELECT s.customer_id, s.condition_id, s.key, s.id, s.state, {_us("s.last_time")}, s.last_seq
        FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS w(c, o, k)
        JOIN outcomes_subject s ON s.customer_id = w.c AND s.condition_id = w.o AND s.key = w.k
        ORDER BY s.id FOR UPDATE OF s
        """,
        [list(column) for column in zip(*keys, strict=True)],
    )
    return [(*row[:5], (row[5], row[6])) for row in cursor.fetchall()]


def new_subject_ids(cursor: CursorWrapper, count: int) -> list[int]:
    """Ids for subjects that are about to be stored."""
    if not count:
        return []
    cursor.execute(
        "SELECT nextval(pg_get_serial_sequence('outcomes_subject', 'id')) FROM generate_series(1, %s)", [count]
    )
    return [pk for (pk,) in cursor.fetchall()]


def write_subjects(cursor: CursorWrapper, works: Iterable[Work]) -> None:
    """Store the fold states and link the new events to their subjects."""
    fresh: list[tuple] = []
    changed: list[tuple] = []
    facts: list[tuple] = []
    for work in works:
        assert work.fold is not None
        state = _encode(work.fold.dump()).decode()
        last = max((work.events[-1].time, work.events[-1].seq), work.last)
        if work.is_new:
            fresh.append((work.id, work.customer, work.condition, work.key, state, from_us(last[0]), last[1]))
        else:
            changed.append((work.id, state, from_us(last[0]), last[1]))
        facts += [(work.id, from_us(event.time), event.seq) for event in work.events]
    update_rows(
        cursor,
        "outcomes_subject",
        ("id", "bigint"),
        (("state", "text"), ("last_time", "timestamptz"), ("last_seq", "bigint")),
        changed,
    )
    if fresh:
        columns = ("id", "customer_id", "condition_id", "key", "state", "last_time", "last_seq")
        copy_rows(cursor, "outcomes_subject", columns, fresh)
    if facts:
        copy_rows(cursor, "outcomes_subject_event", ("subject_id", "time", "seq"), facts)


# --- the inbox --------------------------------------------------------------------------------------------------------


def write_inbox(cursor: CursorWrapper, unkeyed: Sequence[tuple[Event, int, list[int]]], now: datetime) -> None:
    """Put accepted events that conditions mention, and in which none found its key, into the inbox."""
    if not unkeyed:
        return
    slugs = dict(Condition.objects.values_list("id", "slug"))
    keys = dict(Customer.objects.filter(id__in={c for _, c, _ in unkeyed}).values_list("id", "key"))
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
            reason=InboxItem.Reason.MISSING_KEY,
            message="No condition that mentions this event found its key (a text of at most "
            f"{MAX_KEY_BYTES} bytes, a number, true or false) in `data`: "
            + ", ".join(sorted(slugs[condition] for condition in conditions))
            + ". Send the fact again, under a new id, with the key in it.",
            received_at=now,
        )
        for event, customer, conditions in unkeyed
    )
