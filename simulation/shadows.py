"""Shadows: a draft that is not in force, computed again and again on new events beside what is.

Each look is a simulation (`jobs`) from the shadow's start to its now, of the whole span: so it misses no event whatever
order events were committed in, and no decision, price or contract that changed since. What bounds the cost is the pause
after it. One look of a shadow runs at a time; what it found takes the place of what the look before it found.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from access import ids
from access.errors import ApiError
from access.ids import uuid7
from access.times import format_rfc3339
from contracts.clocks import nows
from contracts.refusals import conflict
from simulation import jobs
from simulation.checking import check
from simulation.models import Day, Shadow, Simulation
from simulation.serializers import read, read_shadow

log = structlog.get_logger(__name__)

PACE = timedelta(minutes=5)
"""Least pause after a look."""
EVENTS_A_SECOND = 50_000
"""How many events a look is reckoned to read in a second: half of what a core does (docs/benchmarks.md). The time that
truly passed would count queues and workers that died.
"""
REST = 19
"""A look is followed by a pause of so many times what it is reckoned to take: a shadow has at most 1/20 of the time."""
MOST = 10
"""Shadows that run at once: all together have half of the time of one worker."""

SHADOW_LOCK = 7305
_MOMENT = timedelta(microseconds=1)


def create(given: Any, *, by: str, now: datetime) -> Shadow:
    """Begin a shadow; its first look is due at once. ``given`` is the decoded body. Refused (422) where the draft makes
    no sense, 409 where the name is taken or `MOST` run already.
    """
    name, asked = read_shadow(given, now)
    check(read(_question(asked, now)), now)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SHADOW_LOCK])
        if Shadow.objects.filter(name=name).exists():
            raise conflict("shadow_exists", f'There is a shadow "{name}" already: take another name.', "name")
        if Shadow.objects.filter(status=Shadow.Status.RUNNING).count() >= MOST:
            raise ApiError(409, "too_many_shadows", f"{MOST} shadows run already: stop one.")
        return Shadow.objects.create(
            id=uuid7(now), name=name, asked=jobs.encoded(asked), made_by=by, created_at=now, next_look_at=now
        )


def find(pk: UUID) -> Shadow:
    """ApiError 404 where there is none."""
    found = Shadow.objects.filter(pk=pk).first()
    if found is None:
        raise ApiError(404, "not_found", f"There is no shadow {ids.encode(Shadow.PREFIX, pk)}.")
    return found


def stop(pk: UUID, *, now: datetime) -> Shadow:
    """No look more; one that runs is let go of, and what the last one found stays. Safe to repeat. Locks the shadow."""
    find(pk)
    with transaction.atomic():
        found = Shadow.objects.select_for_update().get(pk=pk)
        if found.status == Shadow.Status.RUNNING:
            unfinished = found.looks.filter(finished_at__isnull=True)
            if not unfinished.update(status=Simulation.Status.CANCELLED, finished_at=now):
                _take(found)
            found.status, found.stopped_at, found.next_look_at = Shadow.Status.STOPPED, now, None
            found.save()
    return found


def delete(pk: UUID) -> Shadow:
    """Delete a shadow that was stopped, with all that it found; what it was. ApiError 409 where it runs."""
    found = find(pk)
    if not Shadow.objects.filter(pk=pk, status=Shadow.Status.STOPPED).delete()[0]:
        raise ApiError(409, "shadow_runs", f"Shadow {found.name} is running: stop it first.")
    return found


def delete_old(now: datetime) -> int:
    """Delete shadows that were stopped longer ago than HOLDFAST_SIMULATION_DAYS; how many."""
    if not settings.SIMULATION_DAYS:
        return 0
    old = Shadow.objects.filter(stopped_at__lt=now - timedelta(days=settings.SIMULATION_DAYS))
    return sum(bool(old.filter(pk=pk).delete()[0]) for pk in old.order_by("id").values_list("id", flat=True))


def last_look(found: Shadow) -> Simulation | None:
    """The simulation whose result is the running difference; None before the first look is done."""
    return found.looks.filter(status=Simulation.Status.DONE).order_by("-id").first()


# --- Looking ----------------------------------------------------------------------------------------------------------


def look_due(now: datetime) -> list[UUID]:
    """Take what looks have found, and begin those that are due: the ids of the simulations, to be split. Safe to repeat
    and to run beside others: a shadow is locked, and passed over where it is.

    A shadow that raises (a bug) stays as it is, with an error in the log at each attempt; the others go on.
    """
    begun: list[UUID] = []
    running = Shadow.objects.filter(status=Shadow.Status.RUNNING)
    for pk in running.order_by(F("next_look_at").asc(nulls_first=True), "id").values_list("id", flat=True):
        try:
            begun += _look(pk, now)
        except SoftTimeLimitExceeded:
            raise
        except Exception:
            log.exception("shadow_look_failed", shadow=ids.encode(Shadow.PREFIX, pk))
    return begun


@transaction.atomic
def _look(pk: UUID, now: datetime) -> list[UUID]:
    running = Shadow.objects.select_for_update(skip_locked=True).filter(pk=pk, status=Shadow.Status.RUNNING)
    found = running.first()
    if found is None or found.looks.filter(finished_at__isnull=True).exists():
        return []
    begun: list[UUID] = []
    if found.next_look_at is None:
        _take(found)
    if found.next_look_at is None or found.next_look_at <= now:
        try:
            made = jobs.create(_question(jobs.decoded(found.asked), now), by=f"shadow {found.name}", now=now, of=found)
        except ApiError as error:
            # What the draft speaks of is gone. It may come back, so this is no end.
            found.error, found.next_look_at = f"{error.code}: {error.message}"[:2000], now + PACE
        else:
            found.next_look_at = None
            begun.append(made.pk)
    found.save()
    return begun


def _take(found: Shadow) -> None:
    """Have the newest look's result in the place of what was known, and the next one due after a pause. In a
    transaction that has the shadow locked; the caller saves it.
    """
    look = found.looks.order_by("-id").first()
    if look is None or look.finished_at is None:
        return
    reckoned = timedelta(seconds=(look.events or 0) / EVENTS_A_SECOND)
    found.next_look_at = look.finished_at + max(PACE, REST * reckoned)
    if look.status == Simulation.Status.DONE and look.result is not None:
        totals = {name: look.result[name] for name in ("before", "after", "difference")}
        found.totals, found.looked_at, found.error = totals, look.now, ""
        at = {"looked_at": look.now, "totals": totals}
        Day.objects.update_or_create(shadow=found, day=look.now.astimezone(UTC).date(), defaults=at)
    else:
        found.error = look.error or "The last look was cancelled."
    # Of those that are over the last one that was done is kept, whose customers and examples are shown.
    known = last_look(found)
    found.looks.filter(id__lt=look.pk).exclude(id__in=[] if known is None else [known.pk]).delete()


def _question(asked: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The question of a look: up to now, also by test clocks that are ahead."""
    return {**asked, "to": format_rfc3339(max([now, *nows().values()]) + _MOMENT)}
