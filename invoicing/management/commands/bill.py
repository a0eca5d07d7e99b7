"""``manage.py bill [--until T] [--customer KEY] [--pdf DIRECTORY]``: what `invoicing.bill_due` does, by hand."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from access.times import InvalidTime, parse_rfc3339
from contracts.models import Customer
from invoicing import billing, pdf, queries, texts
from invoicing.billing import CustomerResult, RunReport
from invoicing.models import Invoice

SHOWN = 20


class Command(BaseCommand):
    help = "Invoice every billing period that has ended and is not invoiced yet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until", metavar="T", help="Bill as if it were T (RFC 3339, in the past). Default: now.")
        parser.add_argument("--customer", metavar="KEY", help="Only this customer.")
        parser.add_argument("--pdf", metavar="DIRECTORY", type=Path, help="Write the PDF of each invoice issued there.")

    def handle(self, *args: Any, until: str | None, customer: str | None, pdf: Path | None, **options: Any) -> None:
        console = Console(no_color=options["no_color"], file=cast(IO[str], self.stdout))
        report = _run(console, now=_instant(until), only=_customer_ids(customer))
        if pdf is not None:
            _write_pdfs(console, report, pdf)
        _summary(console, report)
        if report.parked:
            raise CommandError(f"{len(report.parked)} customers could not be billed and are parked.", returncode=2)


def _instant(text: str | None) -> datetime:
    now = timezone.now()
    if text is None:
        return now
    try:
        until = parse_rfc3339(text)
    except InvalidTime as error:
        raise CommandError(f"--until: {error}") from error
    if until > now:
        raise CommandError("--until lies in the future: what has not happened yet cannot be billed.")
    return until


def _customer_ids(key: str | None) -> list[int] | None:
    if key is None:
        return None
    found = list(Customer.objects.filter(key=key).values_list("pk", flat=True))
    if not found:
        raise CommandError(f"There is no customer {key!r}.")
    return found


def _run(console: Console, *, now: datetime, only: list[int] | None) -> RunReport:
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Billing customers", total=None)

        def advance(done: int, total: int, result: CustomerResult) -> None:
            progress.update(task, completed=done, total=total)

        return billing.run(now=now, only=only, progress=advance)


def _write_pdfs(console: Console, report: RunReport, directory: Path) -> None:
    for invoice_id in report.issued:
        pdf.store(invoice_id, directory)
    console.print(f"{len(report.issued)} PDFs in {directory}", highlight=False)


def _summary(console: Console, report: RunReport) -> None:
    issued = list(Invoice.objects.filter(pk__in=report.issued).select_related("customer").order_by("number"))
    if issued:
        table = Table(
            "Invoice", "Customer", "Period", "Total", title=f"{len(issued)} invoices issued", title_justify="left"
        )
        table.columns[3].justify = "right"
        for invoice in issued[:SHOWN]:
            period = texts.span(texts.Period(invoice.period_start, invoice.period_end), invoice.time_zone)
            table.add_row(
                invoice.number, invoice.customer.key, period, texts.amount(invoice.total_minor, invoice.currency)
            )
        console.print(table)
        if len(issued) > SHOWN:
            console.print(f"… and {len(issued) - SHOWN} more")
    else:
        console.print("No invoice was due.")
    if report.drafted:
        console.print(f"{len(report.drafted)} drafts in their grace")
    keys = dict(
        Customer.objects.filter(pk__in=[one.customer_id for one in report.results]).values_list("pk", "key").iterator()
    )
    for title, results in (("Waiting", report.waiting), ("Parked", report.parked)):
        for result in results[:SHOWN]:
            console.print(f"{title}: {keys[result.customer_id]}: {result.waiting or result.parked}", markup=False)
        if len(results) > SHOWN:
            console.print(f"{title}: … and {len(results) - SHOWN} more customers")
    taken_back = queries.reversed_after_billing().count()
    if taken_back:
        console.print(f"{taken_back} outcomes were reversed after they were billed and await a credit note")
