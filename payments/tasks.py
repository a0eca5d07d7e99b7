"""Wake-up calls. What is to be done at Stripe stands in the database: a lost or doubled call costs time alone."""

from celery import shared_task
from django.utils import timezone

from payments import dunning, events, mails, operations, reconciliation, tax, watching


@shared_task(name="payments.sync_due", ignore_result=True)
def sync() -> None:
    """Make so at Stripe whatever is due now."""
    operations.sync_due(timezone.now())


@shared_task(name="payments.work_events", ignore_result=True)
def work_events() -> None:
    """Read what the webhooks that came are about."""
    events.work_due(timezone.now())


@shared_task(name="payments.sweep_events", ignore_result=True)
def sweep_events() -> None:
    """Forget webhooks that were worked long ago. Safe at any time and any number of times."""
    events.sweep(timezone.now())


@shared_task(name="payments.look_due", ignore_result=True)
def look() -> None:
    """Read how invoices stand of which no webhook told."""
    watching.look_due(timezone.now())


@shared_task(name="payments.see_to_unpaid", ignore_result=True)
def see_to_unpaid() -> None:
    """Whatever is to be done about unpaid invoices now."""
    dunning.see_to_unpaid(timezone.now())


@shared_task(name="payments.send_mails", ignore_result=True)
def send_mails() -> None:
    """Send the mails that wait."""
    mails.send_due(timezone.now())


@shared_task(name="payments.look_up_taxes", ignore_result=True)
def look_up_taxes() -> None:
    """Ask Stripe Tax for whose rates are not known, or not since yesterday."""
    tax.look_up_due(timezone.now())


# Many documents take longer than other tasks may; a message that comes again meanwhile finds a run under way.
@shared_task(name="payments.reconcile", ignore_result=True, soft_time_limit=4 * 3600, time_limit=4 * 3600 + 60)
def reconcile() -> None:
    """Compare everything with Stripe, and keep what differs."""
    reconciliation.reconcile(timezone.now)
