"""Celery tasks of access."""

from celery import shared_task
from django.utils import timezone

from access import guesses, idempotency
from access.sessions import SessionStore


@shared_task(name="access.sweep_idempotency")
def sweep_idempotency() -> int:
    """Delete expired idempotency records. Safe at any time and any number of times."""
    return idempotency.sweep(now=timezone.now())


@shared_task(name="access.sweep_staff")
def sweep_staff() -> int:
    """Delete sessions that are over and wrong passwords that are forgotten. Safe at any time, any number of times."""
    SessionStore.clear_expired()
    return guesses.sweep(now=timezone.now())
