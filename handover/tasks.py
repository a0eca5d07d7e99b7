"""Wake-up calls. What is to be handed over stands in the database: a lost or doubled call costs time alone."""

from celery import shared_task
from django.utils import timezone

from handover import work


@shared_task(name="handover.hand_over_due", ignore_result=True)
def hand_over() -> None:
    """Hand over whatever is due now."""
    work.hand_over_due(timezone.now())
