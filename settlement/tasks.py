"""Wake-up calls for settlement; see outcomes.tasks for what a lost one costs."""

from celery import shared_task
from django.utils import timezone

from settlement.sweep import settle_due


@shared_task(name="settlement.settle_due", ignore_result=True)
def settle() -> None:
    """Book whatever is due now."""
    settle_due(timezone.now())
