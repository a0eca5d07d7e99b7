"""``manage.py bill``: what `invoicing.bill_due` does, by hand."""

import json
import signal
import time
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from access.times import InvalidTime, parse_rfc3339
from contracts.models import Customer
from invoicing import billing, queries, texts
from invoicing.billing import CustomerResult, RunReport
from invoicing.clocks import tell
from invoicing.models import Invoice
from invoicing.pdf import store

SHOWN = 20
# Where nobody watches a bar, a line comes so often.
EVERY_SECONDS = 5


class Command(BaseCommand):
    help = "Invoice every billing period that has ended and is not invoiced yet, and give back what is owed no more."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until", metavar="T", help="Bill as if it were T (RFC 3339, in the past). Default: now.")
        parser.add_argument("--customer", metavar="KEY", help="Only this customer.")
        parser.add_argument("--json", action="store_true", help="For machines.")
        parser.add_argument("--pdf", metavar="DIRECTORY", type=Path, help="Write the PDF of each invoice issued there.")

    def handle(self, *args: Any, until: str | None, customer: str | None, pdf: Path | None, **options: Any) -> None:
        report, milliseconds = _run(now=_instant(until), only=_customer_ids(customer))
        for invoice_id in report.issued if pdf is not None else ():
            store(invoice_id, pdf)
        if options["json"]:
            figures = {"customers": len(report.results), "milliseconds": milliseconds}
            self.stdout.write(json.dumps(figures | tell([report]), indent=2))
        else:
            console = Console(no_color=options["no_color"], file=cast(IO[str], self.stdout), highlight=False)
            _summary(console, report)
            if pdf is not None:
                console.print(f"{len(report.issued):,} PDFs in {pdf}")
            console.print(_speed(report, milliseconds), soft_wrap=True)
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


class _Told:
    """Tells on standard error how far the run is: a bar on a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("Billing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("customers  {task.fields[speed]:,}/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, speed=0)
        self._before = self._of_those_before = 0
        self.done = self.total = 0

    def __enter__(self) -> "_Told":
        self._began, self._told = _now(), 0
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    @property
    def milliseconds(self) -> int:
        return max(_now() - self._began, 1)

    def __call__(self, done: int, total: int, result: CustomerResult) -> None:
        if self._before + done <= self.done:  # the customers of the next test clock, counted from one again
            self._before, self._of_those_before = self.done, self.total
        self.done, self.total = self._before + done, self._of_those_before + total
        passed = self.milliseconds
        speed = 1000 * self.done // passed
        self._bar.update(self._task, completed=self.done, total=self.total, speed=speed)
        if not self._console.is_terminal and passed - self._told >= 1000 * EVERY_SECONDS:
            self._told = passed
            left = (self.total - self.done) * passed // (1000 * self.done)
            self._console.print(
                f"{self.done:,} of {self.total:,} customers, {speed:,} customers/s, {left:,} s left", soft_wrap=True
            )


def _now() -> int:
    """Milliseconds since whenever."""
    return time.monotonic_ns() // 10**6


def _run(*, now: datetime, only: list[int] | None) -> tuple[RunReport, int]:
    """The report, and milliseconds. Whatever ends the run before its end is told with how far it came."""
    with _Told() as told:
        try:
            return billing.run(now=now, only=only, progress=told), told.milliseconds
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"The database does not answer, or refuses: {error}\n{_so_far(told)}") from error
        except KeyboardInterrupt:
            raise CommandError(f"Stopped. {_so_far(told)}", returncode=128 + signal.SIGINT) from None


def _so_far(told: _Told) -> str:
    return f"Done are {told.done:,} of {told.total:,} customers, each as a whole. Run it again for the others."


def _speed(report: RunReport, milliseconds: int) -> str:
    customers = len(report.results)
    return (
        f"{customers:,} customers in {milliseconds // 1000:,}.{milliseconds % 1000 // 100} s, "
        f"{1000 * customers // milliseconds:,} customers/s; "
        f"{len(report.issued):,} invoices, {len(report.waiting):,} waiting, {len(report.parked):,} parked"
    )


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
    if report.credited:
        console.print(f"{len(report.credited)} credit notes issued")
    if report.to_approve:
        console.print(f"{len(report.to_approve)} credit notes wait for approval")
    taken_back = queries.reversed_after_billing().exclude(outcome__taken_back__live=True).count()
    if taken_back:
        console.print(f"{taken_back} outcomes were reversed after they were billed and stand on no credit note yet")
