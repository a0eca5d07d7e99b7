"""Hand over what is due. Any number of these may run at once, on any number of machines, by Celery, by `pump`, or both.

An attempt is three steps: *take* (one transaction, `handover.claim`), *send* (no transaction), *record* (one
statement). Nothing is given up by itself: what has to wait is tried again with growing pauses, what is refused waits
for a person. A target that does not answer is left alone for a while as a whole.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import F

from access.errors import ApiError
from access.times import going_on
from handover import lago, stripe_meters
from handover.claim import DONE, DROPPED, LEASE, PARKED, WAITING, Claimed, Connections, claim
from handover.feed import fill
from handover.models import Handover, Receiver, Target
from handover.results import OUT_OF_TIME, Done, Later, Refused, Result
from payments.connections import connect_new
from payments.errors import Later as NotNow
from payments.errors import Refused as NotAtAll
from webhooks.schedule import endpoint_pause

log = structlog.get_logger(__name__)

RUN_SECONDS: Final = 20.0
# Requests to Stripe at the same time, of one run; those about one customer come one after the other.
PER_RUN: Final = 8
# Pauses after the first, second … failed attempt; the last one again and again. Half of each is at random.
PAUSES: Final = tuple(timedelta(seconds=seconds) for seconds in (2, 5, 15, 60, 300, 900, 3600))

Clock = Callable[[], datetime]


@dataclass
class Report:
    """What a run came to: how many were handed over, put off and parked; and which targets could not be told."""

    done: int = 0
    waiting: int = 0
    parked: int = 0
    stopped: dict[str, str] = field(default_factory=dict)


def hand_over_due(now: datetime, *, seconds: float = RUN_SECONDS) -> Report:
    """Note what is new and hand over until nothing is due or ``seconds`` are over. ``now`` goes on meanwhile.

    Safe to repeat and to run beside others.
    """
    started = time.monotonic()
    clock = going_on(now)

    def in_time() -> bool:
        return time.monotonic() - started < seconds

    while fill(clock()) and in_time():
        pass
    report = Report()
    if _is_due(Target.LAGO_EVENTS, clock()):
        if lago.is_configured():
            _hand_over(Target.LAGO_EVENTS, clock, in_time, report)
        else:
            _not_configured(clock(), report)
    if _is_due(Target.STRIPE_METER_EVENTS, clock()):
        try:
            connect_new(clock())
        except (NotNow, NotAtAll) as problem:
            log.warning("stripe_not_connected", reason=str(problem))
        _hand_over(Target.STRIPE_METER_EVENTS, clock, in_time, report)
    return report


def _is_due(target: str, now: datetime) -> bool:
    if Receiver.objects.filter(target=target, resume_at__gt=now).exists():
        return False
    return Handover.objects.filter(target=target, status=WAITING, next_attempt_at__lte=now).exists()


def _not_configured(now: datetime, report: Report) -> None:
    due = Handover.objects.filter(target=Target.LAGO_EVENTS, status=WAITING, next_attempt_at__lte=now)
    reason = "There is no Lago to tell: set HOLDFAST_LAGO_URL and HOLDFAST_LAGO_KEY."
    report.waiting += due.update(next_attempt_at=now + timedelta(minutes=1), code="not_configured", reason=reason)
    report.stopped[Target.LAGO_EVENTS] = reason


def _hand_over(target: str, clock: Clock, in_time: Callable[[], bool], report: Report) -> None:
    # Nobody asks Stripe for its accounts on Lago's behalf.
    connected = Connections() if target == Target.STRIPE_METER_EVENTS else Connections(())
    while in_time():
        begun = clock()
        claimed, looked_at = claim(target, lago.BATCH, begun, connected)
        if not looked_at:
            return
        tell = _tell_lago if target == Target.LAGO_EVENTS else _tell_stripe
        problem: Later | None = None
        told = False
        done: dict[str, list[int]] = defaultdict(list)
        for one, result in tell(claimed, clock, _until(begun + LEASE / 2, clock)):
            told |= not isinstance(result, Later)
            if isinstance(result, Done):
                done[result.note].append(one.id)
                continue
            put_off(one, result, now=clock(), report=report)
            if isinstance(result, Later) and result.stops:
                problem = problem or result
        for note, ids in done.items():
            finish(ids, note, now=clock(), report=report)
        if problem is not None:
            _leave_alone(target, problem, clock())
            report.stopped[target] = problem.reason
            return
        if told:
            Receiver.objects.filter(target=target, failures__gt=0).update(failures=0, resume_at=None, reason="")


def _until(end: datetime, clock: Clock) -> Callable[[], bool]:
    return lambda: clock() < end


def _tell_lago(
    claimed: Sequence[Claimed], clock: Clock, in_time: Callable[[], bool]
) -> Iterable[tuple[Claimed, Result]]:
    """What may be there already is told by itself: a batch with one that is there fails as a whole."""
    again = [one for one in claimed if one.again]
    fresh = [one for one in claimed if not one.again]
    parts = [fresh] if fresh else []
    parts += [[one] for one in again]
    stopped: Later | None = None
    for part in parts:
        if stopped is not None:
            yield from ((one, Later(stopped.code, stopped.reason, after=stopped.after)) for one in part)
            continue
        if not in_time():
            yield from ((one, OUT_OF_TIME) for one in part)
            continue
        for one, result in zip(part, lago.send([one.sent for one in part], clock(), in_time), strict=True):
            if isinstance(result, Later) and result.stops:
                stopped = result
            yield one, result


def _tell_stripe(
    claimed: Sequence[Claimed], clock: Clock, in_time: Callable[[], bool]
) -> Iterable[tuple[Claimed, Result]]:
    lanes: dict[int, list[Claimed]] = defaultdict(list)
    for one in claimed:
        lanes[one.customer_id].append(one)
    with ThreadPoolExecutor(PER_RUN, thread_name_prefix="handover") as pool:
        for results in pool.map(lambda lane: _tell_of_customer(lane, in_time), lanes.values()):
            yield from results


def _tell_of_customer(lane: Sequence[Claimed], in_time: Callable[[], bool]) -> list[tuple[Claimed, Result]]:
    results: list[tuple[Claimed, Result]] = []
    for one in lane:
        if not in_time():
            return results + [(other, OUT_OF_TIME) for other in lane[len(results) :]]
        result = stripe_meters.send(one.sent, one.key)
        results.append((one, result))
        if isinstance(result, Later) and result.stops:
            untold = Later(result.code, result.reason, after=result.after)
            return results + [(other, untold) for other in lane[len(results) :]]
    return results


# --- Recorded ---------------------------------------------------------------------------------------------------------


def finish(ids: Sequence[int], note: str, *, now: datetime, report: Report) -> None:
    """Store that these are there. That counts also where it comes after the lease, when another attempt has begun."""
    rows = Handover.objects.filter(pk__in=ids, status=WAITING)
    report.done += rows.update(status=DONE, finished_at=now, leased_by=None, code="", reason=note)


def put_off(one: Claimed, result: Refused | Later, *, now: datetime, report: Report) -> None:
    """Store why an attempt came to nothing, unless another has begun meanwhile."""
    row = Handover.objects.filter(pk=one.id, status=WAITING, leased_by=one.token)
    # What was certainly not taken leaves no doubt, unless an earlier attempt does.
    doubt = {} if one.again or (isinstance(result, Later) and result.uncertain) else {"uncertain_since": None}
    if isinstance(result, Refused):
        parked = row.update(status=PARKED, leased_by=None, code=result.code, reason=result.reason, **doubt)
        report.parked += parked
        if parked:
            log.warning("handover_parked", handover=one.id, code=result.code, reason=result.reason)
        return
    tries = Handover.objects.filter(pk=one.id).values_list("tries", flat=True).get()
    report.waiting += row.update(
        next_attempt_at=now + _pause(tries, result.after),
        tries=F("tries") + 1,
        leased_by=None,
        code=result.code,
        reason=result.reason,
        **doubt,
    )


def _pause(tries: int, asked: timedelta | None) -> timedelta:
    pause = PAUSES[min(tries, len(PAUSES) - 1)]
    pause = pause / 2 + pause / 2 * random.random()  # noqa: S311 -- spreads load, guards nothing
    return pause if asked is None else max(pause, min(asked, timedelta(hours=1)))


@transaction.atomic
def _leave_alone(target: str, problem: Later, now: datetime) -> None:
    """Let a target that fails be for a while: the longer the more often it failed in a row."""
    Receiver.objects.bulk_create([Receiver(target=target)], ignore_conflicts=True)
    receiver = Receiver.objects.select_for_update().get(pk=target)
    receiver.failures += 1
    receiver.reason = problem.reason
    receiver.resume_at = now + max(endpoint_pause(receiver.failures, problem.after), timedelta(seconds=1))
    receiver.save()
    log.warning("handover_stopped", target=target, reason=problem.reason, failures=receiver.failures)


# --- By hand ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def retry(handover_id: int, *, now: datetime, by: str) -> Handover:
    """Try an open hand-over again at once; a parked one when what it names is mended. ApiError 409 for a finished one,
    and while it is being sent.
    """
    row = _locked(handover_id, now)
    if row.code == "uncertain":
        # A person has looked: it did not arrive.
        row.uncertain_since = None
    row.status, row.tries, row.next_attempt_at = WAITING, 0, now
    row.decided_by = by
    row.save(update_fields=["status", "tries", "next_attempt_at", "uncertain_since", "decided_by"])
    Receiver.objects.filter(target=row.target).update(failures=0, resume_at=None)
    return row


@transaction.atomic
def dismiss(handover_id: int, *, reason: str, handed_over: bool, now: datetime, by: str) -> Handover:
    """Close an open hand-over: a person saw to it, or nothing is to be told. ``handed_over`` says that it is there
    after all, so that a reversal takes it back. The same refusals as `retry`.
    """
    row = _locked(handover_id, now)
    row.status, row.finished_at, row.leased_by = DONE if handed_over else DROPPED, now, None
    row.code, row.reason, row.decided_by = "dismissed", reason, by
    row.save(update_fields=["status", "finished_at", "leased_by", "code", "reason", "decided_by"])
    return row


def _locked(handover_id: int, now: datetime) -> Handover:
    row = Handover.objects.select_for_update().get(pk=handover_id)
    if row.status in (DONE, DROPPED):
        message = f"It is {row.status}: only what waits or is parked can be tried again or dismissed."
        raise ApiError(409, "handover_finished", message)
    if row.leased_by is not None and row.next_attempt_at > now:
        raise ApiError(409, "handover_in_progress", "It is being sent at this moment: try again in some minutes.")
    return row
