"""``manage.py check_condition FILE``"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conditions_dsl.errors import render
from contracts.condition_text import examine


class Command(BaseCommand):
    help = "Check the text of a condition: what is wrong with it, its canonical form, and what it means in English."
    # Nothing of the project is needed but the language.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a file, or - for standard input")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        text = _read(file)
        finding = examine(text)
        for diagnostic in finding.diagnostics:
            style = self.style.ERROR if diagnostic.severity == "error" else self.style.WARNING
            self.stdout.write(f"{style(diagnostic.severity)}, {render(text, diagnostic)}\n\n")
        if finding.reading is not None:
            self.stdout.write(f"{finding.reading.canonical.rstrip()}\n\n{finding.reading.description}")
        if not finding.ok:
            count = sum(diagnostic.severity == "error" for diagnostic in finding.diagnostics)
            raise CommandError(f"This is no condition: {count} error{'' if count == 1 else 's'}.")


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
