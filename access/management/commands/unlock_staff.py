"""``manage.py unlock_staff NAME``: for an owner who is locked out, too."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from access import guesses


class Command(BaseCommand):
    help = "Forget the wrong passwords and codes of an account, which keep it from being tried again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no account {username!r}.")
        guesses.unlock(user)
        self.stdout.write(f"{user} may sign in again.")
