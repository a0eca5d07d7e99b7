"""`manage.py stripe_reconcile`: compare all that is synced with Stripe's own lists, and say what differs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from access.renderers import dumps
from payments import findings, reconciliation
from payments.models import Connection, Reconciliation

DIFFERS, NOT_RUN = 1, 2


class Command(BaseCommand):
    help = (
        "Compare customers, invoices, credit notes, refunds and balances with Stripe, in both directions. It writes "
        "nothing there. Exit status 0: all agrees; 1: something differs, and is named; 2: it could not run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")
        parser.add_argument("--last", action="store_true", help="show what the last run found, and compare nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["last"]:
            ended = Reconciliation.objects.exclude(ended_at=None)
            runs = list(ended.order_by("account", "livemode", "-id").distinct("account", "livemode"))
        else:
            runs = reconciliation.reconcile(timezone.now)
        if not runs:
            raise CommandError(self._why_none(options["last"]), returncode=NOT_RUN)
        if options["json"]:
            self.stdout.write(dumps([findings.report(run) for run in runs]).decode())
        else:
            self.stdout.write("\n\n".join(findings.text(run) for run in runs))
        if any(run.failure for run in runs):
            raise CommandError("Not everything could be compared.", returncode=NOT_RUN)
        if any(run.findings_open for run in runs):
            raise CommandError("Ours and Stripe's differ.", returncode=DIFFERS)

    def _why_none(self, last: bool) -> str:
        if last:
            return "Nothing was compared yet."
        if not Connection.objects.exists():
            return "Nothing is connected with Stripe: set HOLDFAST_STRIPE_KEY (docs/stripe.md)."
        return "A comparison is under way: see its report with --last when it has ended."
