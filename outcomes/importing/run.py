"""Use case: load a file of events as an import, so that it can be stopped anywhere and go on.

Each batch of rows is one transaction: its events (or their places in the inbox), the tally, and how far the file is. A
run that was killed is taken up behind the last committed batch; and since identities are claimed, not even a row sent
twice would count twice.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from access import ids
from access.times import format_rfc3339
from outcomes import imports
from outcomes.importing.files import Row, Source, rows
from outcomes.importing.mapping import Plan
from outcomes.importing.report import Report
from outcomes.intake import ACCEPTED, DUPLICATE, REJECTED, Result, accept, earliest_time
from outcomes.models import Import, ImportFile
from outcomes.queries import IMPORT_PREFIX
from outcomes.wire import MAX_BATCH_BYTES

BATCH = 2000
# Two runs that load the same file would both go on where the other is.
_ADVISORY_LOCK = 0x696D706F  # "impo"
_PATIENCE_SECONDS = 15


class CannotLoad(Exception):
    """The file is not loaded, for a reason that the message tells with the way out."""


@dataclass(frozen=True)
class Wanted:
    """What the caller wants loaded, and where to."""

    path: Path
    plan: Plan
    fingerprint: str
    report: Path
    name: str = ""
    into: UUID | None = None
    restart: bool = False


def batches(found: Iterator[Row]) -> Iterator[list[Row]]:
    """Bounded in rows and in bytes."""
    batch: list[Row] = []
    weight = 0
    for row in found:
        batch.append(row)
        weight += len(row.event.raw)
        if len(batch) >= BATCH or weight >= MAX_BATCH_BYTES:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def rehearse(found: Iterator[Row], *, clock: Callable[[], datetime]) -> Iterator[list[tuple[Row, Result]]]:
    """What would become of the rows, batch by batch: intake's own answer, each time rolled back. What one batch does
    to a later one (a customer's id twice) is not seen.
    """
    for batch in batches(found):
        now = clock()
        oldest = [earliest_time(now, in_import=True)] * len(batch)
        with transaction.atomic():
            results = accept([row.event for row in batch], now=now, oldest=oldest)
            transaction.set_rollback(True)
        yield list(zip(batch, results, strict=True))


@contextmanager
def begun(wanted: Wanted, *, now: datetime) -> Iterator[ImportFile]:
    """The file within its import, new or as an earlier run left it, while nobody else loads it. Raises CannotLoad."""
    with _alone(wanted, str(wanted.path)), _alone(wanted, wanted.fingerprint):
        yield _begin(wanted, now)


@contextmanager
def _alone(wanted: Wanted, what: str) -> Iterator[None]:
    """A lock of the session, so that it ends with a process that is killed; the server may take a moment to notice."""
    # The same in every process, and an integer of four bytes.
    key = int.from_bytes(hashlib.sha256(what.encode()).digest()[:4], signed=True)
    with connection.cursor() as cursor:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_ADVISORY_LOCK, key])
            if cursor.fetchone()[0]:
                break
            if time.monotonic() > deadline:
                raise CannotLoad(
                    f"Another process is loading {wanted.path} just now: wait until it has ended, or end it."
                )
            time.sleep(0.2)
    try:
        yield
    finally:
        with suppress(DatabaseError), connection.cursor() as cursor:  # with the session it is gone as well
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_ADVISORY_LOCK, key])


def _begin(wanted: Wanted, now: datetime) -> ImportFile:
    left = _left_open(wanted)
    if left is None:
        if wanted.into is None:
            found = imports.open_import(name=wanted.name or wanted.path.name, now=now)
        else:
            found = _open_one(wanted.into)
        return ImportFile.objects.create(
            batch_import=found,
            path=str(wanted.path),
            file_fingerprint=wanted.fingerprint,
            mapping_fingerprint=wanted.plan.fingerprint,
            report_path=str(wanted.report),
        )
    if wanted.restart:
        left.path, left.report_path = str(wanted.path), str(wanted.report)
        left.file_fingerprint, left.mapping_fingerprint = wanted.fingerprint, wanted.plan.fingerprint
        left.rows = left.accepted = left.duplicates = left.rejected = left.report_bytes = 0
        left.finished_at = None
        left.save()
        return left
    changed = [
        what
        for what, before, after in (
            ("the file", left.file_fingerprint, wanted.fingerprint),
            ("the mapping", left.mapping_fingerprint, wanted.plan.fingerprint),
        )
        if before != after
    ]
    if changed:
        public = ids.encode(IMPORT_PREFIX, left.batch_import_id)
        raise CannotLoad(
            f"An import of {wanted.path} is open ({public}, {left.rows:,} rows done), but {' and '.join(changed)} "
            "changed since. Either put back what it was and go on; or add --restart, which begins again at the first "
            "row of what is there now (rows with the same content count as known, a row with the same id and other "
            f"content is refused); or close it (POST /v1/imports/{public}/close, or in the admin) to begin a new one."
        )
    if wanted.name:
        Import.objects.filter(id=left.batch_import_id).update(name=wanted.name)
    if left.report_path != str(wanted.report):
        left.report_path, left.report_bytes = str(wanted.report), 0
    return left


def _left_open(wanted: Wanted) -> ImportFile | None:
    """What an earlier run of this file left open: the same content if there is, else the same path."""
    files = ImportFile.objects.filter(batch_import__closed_at=None).select_related("batch_import")
    if wanted.into is not None:
        files = files.filter(batch_import=wanted.into)
    same = Q(file_fingerprint=wanted.fingerprint, mapping_fingerprint=wanted.plan.fingerprint)
    for condition in (same & Q(path=str(wanted.path)), same, Q(path=str(wanted.path))):
        found = files.filter(condition).order_by("-id").first()
        if found is not None:
            return found
    return None


def _open_one(import_id: UUID) -> Import:
    found = Import.objects.filter(id=import_id).first()
    public = ids.encode(IMPORT_PREFIX, import_id)
    if found is None:
        raise CannotLoad(f"There is no import {public}.")
    if found.closed_at is not None:
        raise CannotLoad(f"The import {public} is closed since {format_rfc3339(found.closed_at)}: leave --into out.")
    return found


def load(
    file: ImportFile,
    source: Source,
    plan: Plan,
    report: Report,
    *,
    clock: Callable[[], datetime],
    progress: Callable[[], None],
    stopping: Callable[[], bool],
    list_duplicates: bool = False,
) -> bool:
    """Send the rows that are left; whether all are done. One batch, one transaction; then ``progress`` is called, and
    ``stopping`` asked whether to go on.

    Raises FileError at a damaged place, MappingError before the first row, and ImportClosed when somebody closed the
    import meanwhile; what was done until then stays done.
    """
    listed = (REJECTED, DUPLICATE) if list_duplicates else (REJECTED,)
    for batch in batches(rows(source, plan, skip=file.rows)):
        with transaction.atomic():
            results = accept([row.event for row in batch], now=clock(), import_id=file.batch_import_id)
            done = list(zip(batch, results, strict=True))
            # Before the commit: a row that is counted is never missing from the list (see Report).
            report.add(pair for pair in done if pair[1].status in listed)
            file.rows = batch[-1].number
            for status, name in ((ACCEPTED, "accepted"), (DUPLICATE, "duplicates"), (REJECTED, "rejected")):
                setattr(file, name, getattr(file, name) + sum(result.status == status for result in results))
            file.report_bytes = report.length
            file.save()
        progress()
        if stopping():
            return False
    file.finished_at = clock()
    file.save()
    return True
