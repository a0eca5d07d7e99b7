"""`manage.py handover`: what the task does, by hand."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from handover.models import Handover
from handover.work import hand_over_due


class Command(BaseCommand):
    help = "Hand over outcomes that another system invoices (Stripe meter events, Lago events) until nothing is due."

    def handle(self, *args: Any, **options: Any) -> None:
        report = hand_over_due(timezone.now(), seconds=3600)
        self.stdout.write(f"Handed over: {report.done:,}; put off: {report.waiting:,}; parked: {report.parked:,}.")
        for target, reason in report.stopped.items():
            self.stdout.write(f"{target}: {reason}")
        parked = Handover.objects.filter(status=Handover.Status.PARKED).count()
        if parked:
            self.stdout.write(f"{parked:,} wait for a person: GET /v1/handovers?status=parked")
