"""Wake-up calls. What is to be done stands in the tables: losing, doubling or delaying messages costs time alone.

A part may take long, so it has limits of its own; a message that is delivered again meanwhile finds it taken.
"""

from uuid import UUID

import structlog
from celery import shared_task
from django.utils import timezone

from simulation import jobs, shadows

log = structlog.get_logger(__name__)

HOURS = 3600


def begin(simulation: UUID) -> None:
    """Wake a worker. The broker being away is no reason to fail: the sweep finds the work."""
    try:
        split.apply_async((str(simulation),), retry=False)
    except Exception as error:  # noqa: BLE001  -- any failure of the broker, of whatever client library
        log.warning("wake_up_not_sent", error=str(error))


@shared_task(name="simulation.split", ignore_result=True)
def split(simulation: str) -> None:
    """Cut a simulation into parts and have them worked on."""
    for part in jobs.split(UUID(simulation)):
        work.delay(part)


@shared_task(name="simulation.work", ignore_result=True, soft_time_limit=12 * HOURS, time_limit=12 * HOURS + 60)
def work(part: int) -> None:
    """Replay one part."""
    jobs.work(part)


@shared_task(name="simulation.sweep", ignore_result=True)
def sweep() -> None:
    """Begin the looks of shadows that are due, and find what messages missed."""
    shadows.look_due(timezone.now())
    simulations, parts = jobs.unfinished(timezone.now())
    for simulation in simulations:
        split.delay(str(simulation))
    for part in parts:
        work.delay(part)


@shared_task(name="simulation.delete_old", ignore_result=True, soft_time_limit=HOURS, time_limit=HOURS + 60)
def delete_old() -> None:
    """Delete results that are kept no longer."""
    now = timezone.now()
    log.info("old_simulations_deleted", simulations=jobs.delete_old(now), shadows=shadows.delete_old(now))
