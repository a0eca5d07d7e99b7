"""Wake-up calls. What is to be done at Stripe stands in the database: a lost or doubled call costs time alone."""

from celery import shared_task
from django.utils import timezone

from payments import operations


@shared_task(name="payments.sync_due", ignore_result=True)
def sync() -> None:
    """Make so at Stripe whatever is due now."""
    operations.sync_due(timezone.now())
