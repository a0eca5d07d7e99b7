"""`manage.py settle`: what the sweep does, by hand."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from access.times import InvalidTime, parse_rfc3339
from settlement.sweep import settle_due


class Command(BaseCommand):
    """Book outcomes whose settlement window, or patience, is over."""

    help = "Confirm outcomes whose settlement window is over, and close stale attempts as missed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--until", metavar="TIME", help="only what is due at or before this RFC 3339 time (default: now)"
        )

    def handle(self, *args: Any, until: str | None = None, **options: Any) -> None:
        now = timezone.now()
        try:
            end = None if until is None else parse_rfc3339(until)
        except InvalidTime as error:
            raise CommandError(f"--until: {error}") from error
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("settling"),
            TextColumn("{task.completed:,} outcomes"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("settle", total=None)
            booked = settle_due(now, until=end, progress=lambda count: bar.advance(task, count))
        what = ", ".join(f"{count:,} {state}" for state, count in sorted(booked.items())) or "nothing was due"
        self.stdout.write(f"Settled up to {min(end or now, now).isoformat()}: {what}.")
