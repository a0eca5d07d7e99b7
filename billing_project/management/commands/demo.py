"""`manage.py demo`: a real help-desk log becomes invoices of outcome lines."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from access import ids, keys
from billing_project.demo import helpdesk, report
from billing_project.demo.client import Api, ApiFailure
from billing_project.services import HOST, ServiceError, Services, free_port, only_one, web, worker
from invoicing import billing, pdf
from invoicing.models import CreditApplication, Invoice, Status
from outcomes.imports import close_import
from outcomes.models import Import, Pending
from outcomes.queries import IMPORT_PREFIX
from outcomes.tasks import ring
from settlement.sweep import settle_due

SAMPLE = "helpdesk"
IMPORT_NAME = "make demo: the incident log"
BATCH = 2500
# The log runs from February 2016 to February 2017; the last patience of 180 days ends before the last of these.
FIRST_MONTH, MONTHS = (2016, 3), 19


class Command(BaseCommand):
    help = "Play a real help-desk log through the HTTP API, evaluation, settlement and billing. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        try:
            with only_one(
                settings.HOME / "demo.lock", "A demo is running already in this folder: wait until it has ended."
            ):
                self._run(settings.BASE_DIR / "samples" / SAMPLE)
        except (ServiceError, ApiFailure) as error:
            raise CommandError(str(error)) from None

    def _run(self, sample: Path) -> None:
        started = time.monotonic()
        self.console.rule("Holdfast: bill what held")
        call_command("migrate", verbosity=0)
        call_command("apply", str(sample))
        port = free_port()
        now = timezone.now()
        _, key = keys.create("make demo", ["admin"], now=now, live=False, expires_at=now + timedelta(hours=2))
        with Services(settings.BASE_DIR, settings.HOME / "logs") as services:
            services.start("web", web(port))
            services.start("worker", worker(2))
            services.wait_ready(f"http://{HOST}:{port}/readyz")
            api = Api(HOST, port, key)
            sent, seconds = self._send(api, services, helpdesk.events(sample))
            self._settle_and_bill()
            self._render()
            good = self._summarise(api)
        self.console.print(
            f"{sent['accepted']:,} events newly accepted, {sent['duplicates']:,} known already, {sent['rejected']:,} "
            f"to the inbox; from HTTP request to evaluated in {seconds:.1f} s: "
            f"[bold]{sum(sent.values()) / seconds:,.0f} events/s[/bold]. "
            f"The whole demo took {time.monotonic() - started:.0f} s."
        )
        if not good:
            raise CommandError("The totals differ from the independent recount (billing_project/demo/totals.yaml).")
        self._where_next()

    def _progress(self) -> Progress:
        columns = (TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        return Progress(*columns, console=self.console)

    def _send(self, api: Api, services: Services, events: list[dict[str, Any]]) -> tuple[dict[str, int], float]:
        """Post the log in batches while the workers evaluate; what became of it, and seconds until evaluated."""
        # A demo that was killed has left its import open: it is taken up again, and closed at the end.
        left_open = Import.objects.filter(name=IMPORT_NAME, closed_at=None).first()
        import_id = (
            ids.encode(IMPORT_PREFIX, left_open.id) if left_open else api.post("/imports", {"name": IMPORT_NAME})["id"]
        )
        sent = {"accepted": 0, "duplicates": 0, "rejected": 0}
        began = time.monotonic()
        with self._progress() as bar:
            sending = bar.add_task("Events sent over HTTP", total=len(events))
            evaluating = bar.add_task("… evaluated by workers", total=len(events))
            for batch in helpdesk.batches(events, BATCH):
                answer = api.post("/events/batch", {"events": batch}, Import=import_id)
                for name in sent:
                    sent[name] += answer[name]
                bar.advance(sending, len(batch))
                bar.update(evaluating, completed=sum(sent.values()) - Pending.objects.count())
            while waiting := Pending.objects.count():
                services.check()
                # The demo runs no scheduler, whose sweep would find what a lost wake-up left behind.
                ring()
                bar.update(evaluating, completed=len(events) - waiting)
                time.sleep(0.1)
            bar.update(evaluating, completed=len(events))
        seconds = time.monotonic() - began
        close_import(ids.decode(IMPORT_PREFIX, import_id), now=timezone.now())
        return sent, seconds

    def _settle_and_bill(self) -> None:
        """Month by month: what settled by its end is confirmed, then billed."""
        with self._progress() as bar:
            task = bar.add_task("Months settled and billed", total=MONTHS)
            for month in range(MONTHS):
                number = FIRST_MONTH[1] - 1 + month
                end = datetime(FIRST_MONTH[0] + number // 12, number % 12 + 1, 1, tzinfo=UTC)
                settle_due(timezone.now(), until=end)
                billing.run(now=end)
                bar.advance(task)

    def _render(self) -> None:
        invoices = to_render()
        with self._progress() as bar:
            task = bar.add_task("PDFs", total=len(invoices))
            for invoice in invoices:
                pdf.store(invoice.id)
                bar.advance(task)

    def _summarise(self, api: Api) -> bool:
        self.console.print()
        agree = report.print_totals(self.console, report.totals(), report.expected())
        billed = report.print_invoices(self.console)
        report.print_inbox(self.console)
        report.print_largest(self.console, api)
        if agree and billed:
            self.console.print(
                "[green]Every figure agrees, and the invoice lines bill each confirmed outcome exactly once.[/green]"
            )
        return agree and billed

    def _where_next(self) -> None:
        invoice = Invoice.objects.exclude(number=None).order_by("-total_minor").select_related("customer")[0]
        customer = invoice.customer.key
        self.console.print(
            f"\nThe PDFs: {settings.HOME / 'invoices'}\n"
            "Next:  make up                  the admin and the API on this data, http://127.0.0.1:8000\n"
            "       samples/helpdesk/        the files behind it: condition, rate card, contracts\n"
            "       README.md                a first outcome of your own, in five minutes\n"
            "As its customer (.venv/bin/python manage.py …):\n"
            f"       portal_link {customer!r}    a link to what it sees, while make up runs\n"
            f"       evidence {invoice.number} --out pack.jsonl, then\n"
            "       .venv/bin/python invoicing/evidence/verify_evidence.py pack.jsonl    its bill, recounted offline\n",
            soft_wrap=True,
        )


def to_render() -> list[Invoice]:
    """Invoices whose PDF is not there yet, or may say something else since: what is no longer merely issued, and what a
    credit was taken off.
    """
    there = {path.stem for path in (settings.HOME / "invoices").glob("*.pdf")}
    credited = Exists(CreditApplication.objects.filter(invoice=OuterRef("pk")))
    new = ~Q(number__in=there) | ~Q(status=Status.ISSUED) | credited
    return list(Invoice.objects.exclude(status=Status.DRAFT).filter(new).order_by("number"))
