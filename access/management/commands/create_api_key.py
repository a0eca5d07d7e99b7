"""``manage.py create_api_key NAME --scopes read write [--test] [--expires-days N]``: prints a new key, once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from access import keys
from access.permissions import SCOPES


class Command(BaseCommand):
    help = "Make an API key and print it. It is stored hashed, so it is shown this once only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what will use the key")
        parser.add_argument(
            "--scopes",
            nargs="+",
            required=True,
            metavar="SCOPE",
            help=f"what it may do, separated by spaces or commas: {', '.join(SCOPES)}",
        )
        parser.add_argument("--test", action="store_true", help="a key that begins with hf_test_")
        parser.add_argument("--expires-days", type=int, metavar="N", help="expire after so many days (default: never)")

    def handle(self, *args: Any, **options: Any) -> None:
        scopes = sorted({part for text in options["scopes"] for part in text.split(",") if part})
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            raise CommandError(f"Unknown scope {', '.join(unknown) or '(none)'}; known are: {', '.join(SCOPES)}.")
        days = options["expires_days"]
        if days is not None and not 1 <= days <= 36500:
            raise CommandError("--expires-days must be 1 to 36500.")
        now = timezone.now()
        expires_at = None if days is None else now + timedelta(days=days)
        try:
            _, text = keys.create(options["name"], scopes, now=now, live=not options["test"], expires_at=expires_at)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        self.stdout.write(text)
        # On standard error, so that KEY=$(manage.py create_api_key …) holds the key alone.
        until = f", valid until {expires_at:%Y-%m-%d}" if expires_at else ""
        self.stderr.write(f"Scopes: {', '.join(scopes)}{until}. Keep it now: it is not shown again.")
