"""Wake-up calls. The work list is the pending table: losing, doubling or delaying every message costs time, never
money.
"""

import structlog
from celery import shared_task
from django.core.cache import cache
from django.utils import timezone

from outcomes.evaluation import evaluate_waiting
from outcomes.months import ensure_months

log = structlog.get_logger(__name__)

# At most one wake-up lies in the queue: whoever sets the flag sends it, and the worker that takes it clears the flag
# first.
WAKE_FLAG = "outcomes:wake"
WAKE_FLAG_SECONDS = 30


def ring() -> None:
    """Wake a worker, unless a wake-up already waits. The broker being away is no reason to fail: the sweep finds the
    work.
    """
    try:
        if cache.add(WAKE_FLAG, 1, WAKE_FLAG_SECONDS):
            try:
                wake.apply_async(retry=False)
            except Exception:
                # No message lies in the queue after all: the next to ring must not believe one does.
                cache.delete(WAKE_FLAG)
                raise
    except Exception as error:  # noqa: BLE001  -- any failure of broker or cache, of whatever client library
        log.warning("wake_up_not_sent", error=str(error))


@shared_task(name="outcomes.ensure_months", ignore_result=True)
def make_months() -> None:
    """Have the payload table's partitions ready before their month begins."""
    ensure_months(timezone.now())


@shared_task(name="outcomes.evaluate_waiting", ignore_result=True)
def wake() -> None:
    """Evaluate whatever waits, in any partition that nobody else works on, and what new conditions need of the past."""
    try:
        cache.delete(WAKE_FLAG)
    except Exception as error:  # noqa: BLE001  -- as above; the flag runs out by itself
        log.warning("wake_flag_not_cleared", error=str(error))
    evaluate_waiting(timezone.now())
