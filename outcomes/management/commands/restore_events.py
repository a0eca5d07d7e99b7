"""`manage.py restore_events`: an archived month back into the database."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from outcomes.archive import CannotArchive, restore


class Command(BaseCommand):
    help = "Bring archived payloads back from their files; then retry what waits for them in the inbox."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="written by archive_events")

    def handle(self, *args: Any, files: list[Path], **options: Any) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.completed:,} events"), TimeElapsedColumn())
        for path in files:
            try:
                with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
                    task = bar.add_task("restore", total=None)
                    month, events = restore(path, progress=lambda count: bar.advance(task, count))  # noqa: B023
            except CannotArchive as error:
                raise CommandError(str(error)) from None
            self.stdout.write(f"{month}: {events:,} events put back.")
