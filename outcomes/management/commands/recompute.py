"""`manage.py recompute SUBJECT …`: have subjects computed again from their events."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from outcomes.models import Subject
from outcomes.recompute import recompute


class Command(BaseCommand):
    help = "Compute subjects again from their events and book the difference; their numbers are those the audit names."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("subject", nargs="+", type=int, metavar="SUBJECT")

    def handle(self, *args: Any, subject: list[int], **options: Any) -> None:
        for pk in subject:
            try:
                changed = recompute(pk, now=timezone.now())
            except Subject.DoesNotExist:
                raise CommandError(f"There is no subject {pk}.") from None
            except ValueError as error:
                raise CommandError(str(error)) from None
            self.stdout.write(f"Subject {pk}: {changed} outcomes changed.")
