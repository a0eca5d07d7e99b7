"""Wake-up calls for the figures of the front page."""

from celery import shared_task
from django.utils import timezone

from workplace import figures
from workplace.front import WORK_OUT


@shared_task(name="workplace.refresh", ignore_result=True)
def refresh() -> None:
    """Work out again what is old. Safe at any time and any number of times."""
    for kind, work_out in WORK_OUT.items():
        if figures.is_stale(kind, now=timezone.now()):
            figures.refresh(kind, work_out, now=timezone.now())
