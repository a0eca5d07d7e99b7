"""`manage.py archive_events`: payloads of past months into files."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from outcomes.archive import CannotArchive, archive_month, months_before
from outcomes.sequence import month_of, month_text


class Command(BaseCommand):
    """Archive each month by itself; one that cannot leave yet is told, and costs the others nothing."""

    help = "Write the payloads of past months to files and remove them from the database. Identities and outcomes stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--before", required=True, metavar="YYYY-MM", help="archive what was received before it")
        parser.add_argument(
            "--to", type=Path, default=settings.HOME / "archive", metavar="DIR", help="default: %(default)s"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say which months there are")

    def handle(self, *args: Any, before: str, to: Path, dry_run: bool = False, **options: Any) -> None:
        months = months_before(_month(before))
        if not months:
            self.stdout.write(f"The database holds no payloads received before {before}.")
            return
        if dry_run:
            self.stdout.write("Would be archived: " + ", ".join(month_text(month) for month in months) + ".")
            return
        refused = 0
        for month in months:
            try:
                done = self._archive(month, to)
            except CannotArchive as error:
                refused += 1
                self.stderr.write(f"{month_text(month)} stays: {error}")
            else:
                self.stdout.write(f"{done.month}: {done.events:,} events to {done.path}")
        if refused:
            raise CommandError(f"{refused} of {len(months)} months could not be archived; the reasons stand above.")

    def _archive(self, month: int, to: Path) -> Any:
        columns = (
            SpinnerColumn(),
            TextColumn(month_text(month)),
            TextColumn("{task.completed:,} events"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("archive", total=None)
            return archive_month(month, to, now=timezone.now(), progress=lambda count: bar.advance(task, count))


def _month(text: str) -> int:
    try:
        return month_of(text)
    except ValueError:
        raise CommandError(f"--before {text}: give a month such as 2026-03.") from None
