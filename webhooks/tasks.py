"""Wake-up calls. What is to be sent stands in the database: a lost or doubled call costs time, never a message."""

from celery import shared_task
from django.utils import timezone

from webhooks import delivery, endpoints


@shared_task(name="webhooks.deliver_due", ignore_result=True)
def deliver() -> None:
    """Send whatever is due now."""
    delivery.deliver_due(timezone.now())


@shared_task(name="webhooks.sweep", ignore_result=True)
def sweep() -> None:
    """Forget messages that are old. Safe at any time and any number of times."""
    endpoints.sweep(now=timezone.now())
