"""``manage.py apply DIRECTORY [--dry-run]``"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console

from contracts.apply.report import print_result
from contracts.apply.run import apply_directory


class Command(BaseCommand):
    help = "Load customers, conditions, rate cards and contracts from the files of a directory (docs/apply.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")

    def handle(self, *args: Any, directory: Path, dry_run: bool, no_color: bool = False, **options: Any) -> None:
        # rich ends its lines itself.
        self.stdout.ending = ""
        console = Console(file=self.stdout, no_color=no_color or None, highlight=False)  # type: ignore[arg-type]
        result = apply_directory(directory, now=timezone.now(), dry_run=dry_run)
        print_result(console, result, dry_run=dry_run)
        if result.problems:
            count = len(result.problems)
            raise CommandError(f"{count} problem{'' if count == 1 else 's'}; nothing was written.")
