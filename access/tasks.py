"""Celery tasks of access."""

from celery import shared_task
from django.utils import timezone

from access import idempotency


@shared_task(name="access.sweep_idempotency")
def sweep_idempotency() -> int:
    """Delete expired idempotency records. Safe at any time and any number of times."""
    return idempotency.sweep(now=timezone.now())
