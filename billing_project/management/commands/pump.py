"""`manage.py pump`: the work of workers and scheduler in one loop that needs no broker."""

import signal
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from handover.work import hand_over_due
from invoicing import billing
from outcomes.evaluation import evaluate_waiting
from payments.dunning import see_to_unpaid
from payments.events import work_due as work_events
from payments.mails import send_due as send_mails
from payments.operations import sync_due
from payments.tax import look_up_due as look_up_taxes
from payments.watching import look_due
from settlement.sweep import settle_due
from simulation.jobs import work_on_one
from simulation.shadows import look_due as look_at_shadows
from webhooks.delivery import deliver_due

# Evaluation hands over to settlement after so many events, so that a long queue does not put settling off.
EVENTS_PER_ROUND = 20_000
# Begins no further webhooks after so long, so that slow receivers put the rest off by seconds only.
WEBHOOK_SECONDS = 2.0
# The same of what goes to Stripe.
STRIPE_SECONDS = 2.0


class Command(BaseCommand):
    help = "Evaluate, settle, bill, sync with Stripe, tell others, in a loop, by the functions that Celery calls."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="until nothing is left to do now, then end")
        parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="pause when idle (default: 2)")

    def handle(self, *args: Any, once: bool = False, every: float = 2.0, **options: Any) -> None:
        if not 0.05 <= every <= 3600:
            raise CommandError("--every must be 0.05 to 3600 seconds.")
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self.stopping:
            busy = self._round()
            if once and not busy:
                break
            if not busy:
                time.sleep(every)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _round(self) -> bool:
        """One round of everything; whether it found anything to do."""
        now = timezone.now()
        events = evaluate_waiting(now, limit=EVENTS_PER_ROUND)
        settled = settle_due(now).total()
        issued = len(billing.run(now=now).issued)
        # Read after the others' commits, by a clock that has gone on.
        synced = _stripe()
        sent = deliver_due(timezone.now(), seconds=WEBHOOK_SECONDS)
        handed_over = hand_over_due(timezone.now(), seconds=WEBHOOK_SECONDS).done
        look_at_shadows(timezone.now())
        simulated = work_on_one(timezone.now())
        busy = bool(events or settled or issued or synced or sent or handed_over or simulated)
        if busy:
            self.stdout.write(
                f"{now:%H:%M:%S}  {events:,} events, {settled:,} outcomes settled, {issued:,} invoices issued, "
                f"{synced:,} steps with Stripe, {sent:,} webhooks sent, {handed_over:,} outcomes handed over, "
                f"{simulated:,} parts simulated"
            )
        return busy


def _stripe() -> int:
    """What is heard of Stripe and told to it, and what follows for unpaid invoices; how many steps those were."""
    heard = work_events(timezone.now(), seconds=STRIPE_SECONDS)
    told = sync_due(timezone.now(), seconds=STRIPE_SECONDS)
    looked = look_due(timezone.now(), seconds=STRIPE_SECONDS)
    seen_to = see_to_unpaid(timezone.now()) + look_up_taxes(timezone.now(), seconds=STRIPE_SECONDS)
    return heard + told + looked + seen_to + send_mails(timezone.now(), seconds=STRIPE_SECONDS)
