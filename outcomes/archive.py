"""Retention: payloads leave the database by month of receipt, into a file; identities, facts and outcomes stay.

A month is archived only when nothing still rests on it: it is over for longer than events may be late, none of its
events waits, and no outcome that is open or provisional has a fact in it. What comes so late that it needs an archived
payload after all lies in the inbox, with the month to restore.

The file is gzip of JSON lines: a head, one line per event in order of acceptance, and a foot with their number and the
SHA-256 of their lines. It is complete, on disk and read back before the database lets go of the month.
"""

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from contracts.models import Customer
from outcomes.models import ArchivedMonth
from outcomes.months import first_instant, name_of
from outcomes.sequence import MONTH_FACTOR, month_of, month_text

FORMAT = "holdfast events 1"
PORTION = 20_000

Progress = Callable[[int], None]


class CannotArchive(Exception):
    """The month cannot leave (or come back) yet; the message says why and what to do."""


class _Line(msgspec.Struct):
    """One event in the file."""

    seq: int
    customer: str
    id: str
    source: str
    type: str
    time: datetime
    received_at: datetime
    data: msgspec.Raw
    batch_import: str | None = None


_encode = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(_Line).decode


def months_before(month: int) -> list[int]:
    """The months before ``month`` of which the database holds payloads, oldest first."""
    found: list[int] = []
    with connection.cursor() as cursor:
        start = 0
        while True:
            cursor.execute("SELECT min(seq) FROM outcomes_event WHERE seq >= %s", [start])
            (seq,) = cursor.fetchone()
            if seq is None or seq // MONTH_FACTOR >= month:
                return found
            found.append(seq // MONTH_FACTOR)
            start = (found[-1] + 1) * MONTH_FACTOR


def file_name(month: int) -> str:
    return f"events-{month_text(month)}.jsonl.gz"


def archive_month(month: int, directory: Path, *, now: datetime, progress: Progress | None = None) -> ArchivedMonth:
    """Write a month's payloads to ``directory`` and remove them from the database, in one transaction.

    Locks the month's table against writes (an inbox item of that month that is retried meanwhile waits), and the
    payload table for an instant at the end. Raises CannotArchive. A run that was killed is simply run again.
    """
    low, high = month * MONTH_FACTOR, (month + 1) * MONTH_FACTOR
    path = directory / file_name(month)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '3s'")
        partition = _partition(cursor, month)
        cursor.execute(f"LOCK TABLE {partition or 'outcomes_event_rest'} IN SHARE MODE")
        _check(cursor, month, now)
        if ArchivedMonth.objects.filter(month=month_text(month)).exists() and path.exists():
            raise CannotArchive(
                f"{month_text(month)} was archived before, and events of it came back: restore it first "
                f"(manage.py restore_events {path}), then archive it as a whole."
            )
        count, digest = _write(path, month, _lines(cursor, low, high), progress)
        if _verify(path) != (month, count, digest):
            raise CannotArchive(
                f"{path} does not read back as it was written: is the disk in order? Nothing was removed."
            )
        if partition is not None:
            cursor.execute(f"ALTER TABLE outcomes_event DETACH PARTITION {partition}")
            cursor.execute(f"DROP TABLE {partition}")
        cursor.execute("DELETE FROM outcomes_event_rest WHERE seq >= %s AND seq < %s", [low, high])
        archived, _ = ArchivedMonth.objects.update_or_create(
            month=month_text(month),
            defaults={"path": str(path.resolve()), "events": count, "sha256": digest, "archived_at": now},
        )
    return archived


def _partition(cursor: CursorWrapper, month: int) -> str | None:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name_of(month)])
    return name_of(month) if cursor.fetchone()[0] else None


def _check(cursor: CursorWrapper, month: int, now: datetime) -> None:
    name, low, high = month_text(month), month * MONTH_FACTOR, (month + 1) * MONTH_FACTOR
    age = timedelta(days=settings.MAX_EVENT_AGE_DAYS)
    if first_instant(month + 1) > now - age:
        raise CannotArchive(
            f"{name} is too recent: events may come {settings.MAX_EVENT_AGE_DAYS} days late, and would need it."
        )
    cursor.execute("SELECT EXISTS (SELECT FROM outcomes_pending WHERE seq >= %s AND seq < %s)", [low, high])
    if cursor.fetchone()[0]:
        raise CannotArchive(f"Events received in {name} wait for evaluation: run a worker, or manage.py pump --once.")
    cursor.execute(
        "SELECT EXISTS (SELECT FROM outcomes_backfill WHERE done_at IS NULL AND next_seq < %s)"
        " OR EXISTS (SELECT FROM outcomes_customerbackfill WHERE done_at IS NULL AND next_seq < %s)",
        [high, high],
    )
    if cursor.fetchone()[0]:
        raise CannotArchive(f"A new condition is still reading {name}: run a worker, or manage.py pump --once.")
    cursor.execute(
        """
        SELECT count(*), min(subject.key)
        FROM outcomes_outcome o JOIN outcomes_subject subject ON subject.id = o.subject_id
        WHERE o.state IN ('open', 'provisional') AND EXISTS (
            SELECT FROM outcomes_subject_event f
            WHERE f.subject_id = o.subject_id AND f."time" >= o.first_time AND f.seq >= %s AND f.seq < %s)
        """,
        [low, high],
    )
    unfinished, example = cursor.fetchone()
    if unfinished:
        raise CannotArchive(
            f"{unfinished:,} outcomes that are open or provisional rest on events received in {name} (such as "
            f"{example[:80]!r}): archive it once they are settled or missed (manage.py settle)."
        )


def _lines(cursor: CursorWrapper, low: int, high: int) -> Iterator[bytes]:
    """The month's events as lines, in order of acceptance, a portion in memory at a time."""
    while True:
        cursor.execute(
            """
            SELECT e.seq, c.key, e.event_id, e.source, e.type, e."time", e.received_at, e.data::text, e.batch_import_id
            FROM outcomes_event e JOIN contracts_customer c ON c.id = e.customer_id
            WHERE e.seq >= %s AND e.seq < %s ORDER BY e.seq LIMIT %s
            """,
            [low, high, PORTION],
        )
        rows = cursor.fetchall()
        for row in rows:
            data, batch_import = msgspec.Raw(row[7].encode()), row[8] and str(row[8])
            line = _Line(row[0], row[1], row[2], row[3], row[4], row[5], row[6], data, batch_import)
            yield _encode(line) + b"\n"
        if not rows:
            return
        low = rows[-1][0] + 1


def _write(path: Path, month: int, lines: Iterator[bytes], progress: Progress | None) -> tuple[int, str]:
    """Write the file aside, have it on disk, and put it in place: (events, their hash)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    count, digest = 0, hashlib.sha256()
    with aside.open("wb") as raw:
        os.fchmod(raw.fileno(), 0o600)  # it holds what customers did
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as out:
            out.write(_encode({"format": FORMAT, "month": month_text(month)}) + b"\n")
            for line in lines:
                out.write(line)
                digest.update(line)
                count += 1
                if progress is not None and count % 1000 == 0:
                    progress(1000)
            out.write(_encode({"events": count, "sha256": digest.hexdigest()}) + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    aside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return count, digest.hexdigest()


def _read(path: Path) -> Iterator[bytes]:
    """The head, the lines of the events and the foot."""
    try:
        with gzip.open(path, "rb") as lines:
            yield from lines
    except (OSError, EOFError) as error:
        raise CannotArchive(f"{path} cannot be read: {error}.") from error


def _verify(path: Path) -> tuple[int, int, str]:
    """(month, events, hash) of a complete file. Raises CannotArchive for any other."""
    lines = _read(path)
    month = _month_of(path, next(lines, b""))
    digest, count, last = hashlib.sha256(), 0, b""
    for line in lines:
        if last:
            digest.update(last)
            count += 1
        last = line
    if _foot(last) != (count, digest.hexdigest()):
        raise CannotArchive(f"{path} is cut short or was changed: its foot does not fit its {count:,} events.")
    return month, count, digest.hexdigest()


def _month_of(path: Path, head: bytes) -> int:
    try:
        found = msgspec.json.decode(head)
        if found["format"] != FORMAT:
            raise ValueError(found["format"])
        return month_of(found["month"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise CannotArchive(f"{path} is no archive of events: it does not begin with the line that says so.") from None


def _foot(line: bytes) -> tuple[Any, Any]:
    try:
        found = msgspec.json.decode(line)
        return found["events"], found["sha256"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None, None


def restore(path: Path, *, progress: Progress | None = None) -> tuple[str, int]:
    """Bring a month's payloads back from its file: (month, events put back). What is there already stays as it is.

    The whole file is checked first. Raises CannotArchive.
    """
    month, count, digest = _verify(path)
    record = ArchivedMonth.objects.filter(month=month_text(month)).first()
    if record is not None and (record.events, record.sha256) != (count, digest):
        raise CannotArchive(
            f"{path} is not the file that {month_text(month)} was archived to ({record.path}): its events differ."
        )
    customers = dict(Customer.objects.values_list("key", "id"))
    restored = 0
    with transaction.atomic(), connection.cursor() as cursor:
        portion: list[dict[str, Any]] = []
        for number, line in enumerate(_read(path)):
            if 0 < number <= count:
                portion.append(_row(line, customers))
            if len(portion) == PORTION or (portion and number == count):
                restored += _put_back(cursor, portion)
                if progress is not None:
                    progress(len(portion))
                portion = []
        ArchivedMonth.objects.filter(month=month_text(month)).delete()
    return month_text(month), restored


def _row(line: bytes, customers: dict[str, int]) -> dict[str, Any]:
    event = _decode_line(line)
    if event.customer not in customers:
        raise CannotArchive(f"The customer {event.customer!r} of an archived event does not exist: create it first.")
    return {
        "q": event.seq, "c": customers[event.customer], "i": event.id, "s": event.source, "y": event.type,
        "t": event.time, "r": event.received_at, "d": event.data, "b": event.batch_import,
    }  # fmt: skip


def _put_back(cursor: CursorWrapper, portion: list[dict[str, Any]]) -> int:
    cursor.execute(
        """
        INSERT INTO outcomes_event
            (seq, customer_id, event_id, source, type, "time", received_at, data, batch_import_id)
        SELECT q, c, i, s, y, t, r, d, b FROM jsonb_to_recordset(%s::jsonb)
            AS e(q bigint, c bigint, i text, s text, y text, t timestamptz, r timestamptz, d jsonb, b uuid)
        ON CONFLICT DO NOTHING
        """,
        [_encode(portion).decode()],
    )
    return cursor.rowcount
