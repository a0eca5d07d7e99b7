"""``manage.py portal_link KEY [--expires-in "30 days"]``: prints a new link into the customer's portal, once."""

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from access.errors import ApiError
from contracts import durations
from portal import links


class Command(BaseCommand):
    help = "Make a link by which a customer comes into its portal, and print it, this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("customer", help="the customer's key")
        span = durations.text_of(links.DEFAULT_SPAN)
        parser.add_argument(
            "--expires-in", default=span, metavar="SPAN", help=f'how long it is valid (default "{span}")'
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            span = durations.seconds_of(options["expires_in"])
            link, token = links.create(options["customer"], expires_in=span, by="manage.py", now=timezone.now())
        except ValueError as error:
            raise CommandError(str(error)) from error
        except ApiError as refusal:
            raise CommandError(refusal.message) from refusal
        # On a machine of its own, `make up` serves it here.
        base = "" if settings.PUBLIC_URL else f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"
        self.stdout.write(f"{base}{links.url_of(token)}")
        # On standard error, so that LINK=$(manage.py portal_link …) holds the link alone.
        hint = "" if settings.PUBLIC_URL else " Set HOLDFAST_PUBLIC_URL for an address that customers can reach."
        self.stderr.write(f"{link.public_id}, valid until {link.expires_at:%Y-%m-%d %H:%M} UTC. Shown this once.{hint}")
