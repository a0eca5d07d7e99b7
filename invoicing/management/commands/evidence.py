"""``manage.py evidence NUMBER [--out FILE]`` or ``--all DIRECTORY``: evidence packs as files."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from invoicing.evidence.pack import Document, filename, pack
from invoicing.models import CreditNote, Invoice


class Command(BaseCommand):
    help = "Write the evidence pack of an issued invoice or credit note, or of all (docs/evidence.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", nargs="?", help="Number of the invoice or credit note, such as HF-000001.")
        parser.add_argument("--out", metavar="FILE", type=Path, help="Where to. Default: evidence-NUMBER.jsonl here.")
        parser.add_argument("--all", metavar="DIRECTORY", type=Path, dest="directory", help="All that are issued.")

    def handle(self, *args: Any, number: str | None, out: Path | None, directory: Path | None, **options: Any) -> None:
        if (number is None) == (directory is None) or (out is not None and directory is not None):
            raise CommandError("Give the number of one document (and --out FILE), or --all DIRECTORY.")
        console = Console(no_color=options["no_color"], file=cast(IO[str], self.stdout))
        columns = [SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()]
        if number is not None:
            document = _found(number)
            with Progress(*columns, console=console, transient=True) as progress:
                task = progress.add_task("Subjects", total=None)
                path = _write(
                    document, out or Path(filename(document)), lambda done: progress.update(task, completed=done)
                )
            console.print(f"{path}, content hash {document.content_hash}", highlight=False, soft_wrap=True)
            return
        assert directory is not None
        directory.mkdir(parents=True, exist_ok=True)
        columns.insert(2, cast(Any, BarColumn()))
        with Progress(*columns, console=console, transient=True) as progress:
            documents = list(_issued())
            for document in progress.track(documents, description="Packs"):
                _write(document, directory / filename(document), lambda done: None)
        console.print(f"{len(documents)} packs in {directory}", highlight=False, soft_wrap=True)


def _issued() -> Iterable[Document]:
    for model in (Invoice, CreditNote):
        found = model._default_manager.exclude(content_hash="").select_related("customer", "contract")
        yield from found.order_by("number")


def _found(number: str) -> Document:
    for model in (Invoice, CreditNote):
        found: Document | None = (
            model._default_manager.filter(number=number).select_related("customer", "contract").first()
        )
        if found is not None:
            return found
    raise CommandError(f"There is no issued invoice or credit note {number!r}.")


def _write(document: Document, path: Path, progress: Callable[[int], None]) -> Path:
    """Write a pack aside, then put it in place: a run that is stopped leaves no half of one."""
    aside = path.with_name(f"{path.name}.part")
    with aside.open("wb") as out:
        out.writelines(pack(document, now=timezone.now(), progress=progress))
    aside.replace(path)
    return path
