"""`manage.py import_events FILE --map …`: history from CSV or JSON lines, as an import that can be stopped anywhere."""

import signal
import sys
import threading
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import msgspec
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from access import ids
from outcomes import imports, inbox
from outcomes.importing import run
from outcomes.importing.files import FileError, Row, Source, fingerprint, look, open_source, rows
from outcomes.importing.mapping import MappingError, Plan, read_plan
from outcomes.importing.report import Report
from outcomes.intake import REJECTED, ImportClosed, Result
from outcomes.models import ImportFile
from outcomes.queries import IMPORT_PREFIX, find_import
from outcomes.wire import Incoming

NOT_ALL_TAKEN, USAGE = 1, 2
REPORT_SUFFIX = ".not-taken.csv"
_EXAMPLES = """
examples:
  manage.py import_events events.ndjson
  manage.py import_events tickets.csv --map id=ticket_ref --map customer=account --map type='"ticket.closed"' \\
      --map time=closed_at --map data.priority=prio
  manage.py import_events tickets.csv.gz --map mapping.yaml --dry-run

Killed or stopped, the same command line goes on where it was. docs/imports.md describes the mapping.
Exit status: 0 all rows taken, 1 some were not, 2 wrong usage; stopped by a signal, 128 and its number.
"""


class Command(BaseCommand):
    help = "Load a file of past events (CSV or JSON lines, gzip too); settlement of its customers waits until it is in."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, epilog=_EXAMPLES, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--map", action="append", default=[], metavar="FIELD=COLUMN|MAPPING.yaml",
            help="where a field of the event comes from, or a file that says so; may be repeated, the last one counts",
        )  # fmt: skip
        parser.add_argument("--dry-run", action="store_true", help="show the first events, count, and write nothing")
        parser.add_argument("--name", default="", help="of the import (default: the name of the file)")
        parser.add_argument("--into", metavar="imp_…", help="an import that is open; it is left open")
        parser.add_argument("--keep-open", action="store_true", help="leave the import open at the end")
        parser.add_argument("--restart", action="store_true", help="begin an import left open again at the first row")
        parser.add_argument(
            "--report", type=Path, metavar="PATH", help=f"list of rows not taken (default: FILE{REPORT_SUFFIX})"
        )
        parser.add_argument("--list-duplicates", action="store_true", help="list rows that were known already, too")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(**{name: options[name] for name in _OPTIONS})
        except (MappingError, FileError, run.CannotLoad) as error:
            raise CommandError(str(error), returncode=USAGE) from None
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except (OperationalError, InterfaceError) as error:
            raise CommandError(
                f"The database cannot do this just now: {error}\nWhat was done is done; the same command line goes on."
            ) from None

    def _run(
        self, *, file: Path, map: list[str], dry_run: bool, name: str, into: str | None, keep_open: bool, restart: bool,
        report: Path | None, list_duplicates: bool,
    ) -> None:  # fmt: skip
        path = file.resolve()
        report = (report or path.with_name(path.name + REPORT_SUFFIX)).resolve()
        plan = read_plan(map)
        target = None if into is None else _import_id(into)
        if len(name) > 255:
            raise CommandError("--name: at most 255 characters.", returncode=USAGE)
        if report == path:
            raise CommandError("--report: this is the file itself.", returncode=USAGE)
        for note in look(path, plan):
            self.stdout.write(f"Note: {note}")
        if dry_run:
            with open_source(path, plan) as source:
                sys.exit(self._rehearse(source, plan))
        with self._bar() as bar:
            task = _task(bar, "Looking at the file", path.stat().st_size)
            content = fingerprint(path, lambda size: bar.advance(task, size))
        wanted = run.Wanted(path, plan, content, report, name, target, restart)
        with run.begun(wanted, now=timezone.now()) as begun:
            status = self._load(begun, wanted, keep_open=keep_open or target is not None, duplicates=list_duplicates)
        sys.exit(status)

    # --- The dry run --------------------------------------------------------------------------------------------------

    def _rehearse(self, source: Source, plan: Plan) -> int:
        found: Counter[str] = Counter()
        first: dict[str, tuple[Row, Result]] = {}
        shown = 0
        with self._bar() as bar:
            task = _task(bar, "Trying", source.size)
            for done in run.rehearse(rows(source, plan), clock=timezone.now):
                events = (row.event for row, _ in done if isinstance(row.event, Incoming))
                for event in islice(events, 3 - shown):
                    shown += 1
                    self.stdout.write(msgspec.json.format(event.raw, indent=2).decode())
                for row, result in done:
                    found[result.code or result.status] += 1
                    if result.status == REJECTED:
                        first.setdefault(result.code, (row, result))
                bar.update(task, completed=source.done, rows=found.total())
        rejected = sum(found[code] for code in first)
        self.stdout.write(
            f"\nDry run: nothing was written. Of {found.total():,} rows {found['accepted']:,} would be accepted, "
            f"{found['duplicate']:,} are known already, {rejected:,} would not be taken."
        )
        for code, (row, result) in first.items():
            self.stdout.write(f"  {found[code]:>9,} {code}, first in row {row.number:,}: {result.message}")
        return NOT_ALL_TAKEN if first else 0

    # --- The import ---------------------------------------------------------------------------------------------------

    def _load(self, file: ImportFile, wanted: run.Wanted, *, keep_open: bool, duplicates: bool) -> int:
        public = ids.encode(IMPORT_PREFIX, file.batch_import_id)
        if file.rows:
            self.stdout.write(f"The import {public} goes on behind row {file.rows:,}.")
        try:
            report = Report(wanted.report, file.report_bytes)
        except OSError as error:
            raise CommandError(
                f"{wanted.report} cannot be written ({error.strerror}): say --report PATH.", returncode=USAGE
            ) from None
        if file.rejected and not report.complete:
            self.stdout.write(f"The list {wanted.report} lacks the rows up to {file.rows:,}; they lie in the inbox.")
        began, before = time.monotonic(), file.rows
        with open_source(wanted.path, wanted.plan) as source, self._bar() as bar, _signals() as signals:
            task = _task(bar, "Importing", source.size)

            def progress() -> None:
                speed = (file.rows - before) / max(time.monotonic() - began, 0.001)
                bar.update(task, completed=source.done, rows=file.rows, speed=speed)

            try:
                finished = run.load(
                    file, source, wanted.plan, report,
                    clock=timezone.now, progress=progress, stopping=lambda: bool(signals), list_duplicates=duplicates,
                )  # fmt: skip
            except ImportClosed:
                raise CommandError(
                    f"The import {public} was closed meanwhile, after row {file.rows:,}. The same command line begins "
                    "a new one; rows that were accepted count as known there."
                ) from None
            except FileError as error:
                raise CommandError(
                    f"{error} The rows up to {file.rows:,} are done and the import {public} is open. With a sound copy "
                    "of the file add --restart, or close the import."
                ) from None
            except OSError as error:
                raise CommandError(
                    f"{wanted.report} cannot be written on ({error.strerror}). The rows up to {file.rows:,} are done; "
                    "make room, and the same command line goes on."
                ) from None
            finally:
                report.close()
        self._tell(file, time.monotonic() - began, file.rows - before)
        if not finished:
            self.stdout.write(
                f"Stopped behind row {file.rows:,}; the import {public} is open. The same command line goes on."
            )
            return 128 + signals[0]
        self._end(file, public, keep_open=keep_open)
        return NOT_ALL_TAKEN if file.rejected else 0

    def _tell(self, file: ImportFile, seconds: float, count: int) -> None:
        self.stdout.write(
            f"{count:,} rows in {seconds:.1f} s, {count / max(seconds, 0.001):,.0f} rows/s. Of {file.rows:,} rows:\n"
            f"  {file.accepted:>11,} accepted\n  {file.duplicates:>11,} known already\n  {file.rejected:>11,} not taken"
        )
        report = Path(file.report_path)
        if file.rejected:
            for entry in inbox.summary(inbox.waiting(import_id=file.batch_import_id)):
                self.stdout.write(f"              {entry.count:,} {entry.reason} in the inbox")
            self.stdout.write(f"The rows that were not taken are listed in {report}.")
        elif file.finished_at is not None and not _has_rows(report):
            report.unlink(missing_ok=True)

    def _end(self, file: ImportFile, public: str, *, keep_open: bool) -> None:
        """Close the import, and say what happens next."""
        if not keep_open:
            imports.close_import(file.batch_import_id, now=timezone.now())
        found = find_import(file.batch_import_id)
        if keep_open:
            self.stdout.write(
                f"The import {public} is open: its {found.touched:,} customers do not settle until it is closed "
                f"(POST /v1/imports/{public}/close, or in the admin)."
            )
        else:
            self.stdout.write(f"The import {public} is closed: settlement of its {found.touched:,} customers goes on.")
        if found.waiting:
            self.stdout.write(
                f"{imports.left_waiting(found.waiting)} Mend the cause, then retry them: POST /v1/inbox/retry "
                f'{{"import": "{public}"}}, or in the admin.'
            )
        self.stdout.write("Next: workers evaluate the events, then outcomes settle; without workers, manage.py pump.")

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TextColumn("{task.fields[speed]:,.0f} rows/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )


_OPTIONS = ("file", "map", "dry_run", "name", "into", "keep_open", "restart", "report", "list_duplicates")


def _task(bar: Progress, what: str, size: int) -> TaskID:
    return bar.add_task(what, total=size, rows=0, speed=0.0)


def _import_id(text: str) -> UUID:
    try:
        return ids.decode(IMPORT_PREFIX, text)
    except ValueError as error:
        raise CommandError(f"--into: {error}.", returncode=USAGE) from None


def _has_rows(report: Path) -> bool:
    with report.open("rb") as handle:
        return len(handle.readlines(4096)) > 1


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of the signals that came: Ctrl-C and SIGTERM ask for an end after the batch, a second Ctrl-C ends at
    once.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
