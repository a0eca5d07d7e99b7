"""Work what is to be made so at Stripe: each customer's operations in order, many customers at once. Any number of
these may run at once, by Celery, by `pump`, or both.

What has to wait is tried again with growing pauses, for ever: nothing is given up by itself. What Stripe refuses is
parked for a person, and what comes after it for the same customer waits with it: other customers do not.
"""

import math
import random
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import stripe
import structlog
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import F

from access.errors import ApiError
from access.times import going_on
from payments import closing, collecting, credit_notes, customers, invoices, lanes, mirror, refunds
from payments.client import client_of
from payments.connections import audience_of, connect_new, connection_of
from payments.errors import Later, Mismatch, Refused, Stale, meaning
from payments.models import Operation
from payments.steps import Work

log = structlog.get_logger(__name__)

WAITING, DONE, PARKED, SKIPPED = (
    Operation.Status.WAITING,
    Operation.Status.DONE,
    Operation.Status.PARKED,
    Operation.Status.SKIPPED,
)

# Customers at the same time, of one run.
PER_RUN = 8
# New customers are begun for so long; those under way are waited for.
RUN_SECONDS = 20.0
# While nothing of what runs is finished, what is due is looked at again after so many seconds.
LOOK_EVERY = 1.0

# Pauses after the first, second … failed attempt; the last one again and again. Half of each is at random.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 5, 15, 60, 300, 900, 3600))
# Where a key is refused or missing nothing is wrong with the operation.
CONFIGURATION = ("no_key", "not_connected", "wrong_account", "key_refused")

HANDLERS: Final[dict[str, Callable[[Work], None]]] = {
    Operation.Kind.CUSTOMER: customers.make_known,
    Operation.Kind.INVOICE: invoices.push,
    Operation.Kind.CREDIT_NOTE: credit_notes.issue,
    Operation.Kind.REFUND: refunds.by_hand,
    Operation.Kind.CHARGE: collecting.charge,
    Operation.Kind.PAID: closing.paid,
    Operation.Kind.UNCOLLECTIBLE: closing.uncollectible,
    Operation.Kind.VOID: closing.void,
}
"""How each kind of operation is made so. Each may be begun anew at any point: what is done is not done again."""


def sync_due(now: datetime, *, seconds: float = RUN_SECONDS) -> int:
    """Work until nothing is due or ``seconds`` are over; the number of operations finished. ``now`` goes on meanwhile.

    Safe to repeat and to run beside others. Without a key it does nothing.
    """
    started = time.monotonic()
    clock = going_on(now)

    try:
        connect_new(now)
    except (Later, Refused) as problem:
        log.warning("stripe_not_connected", reason=str(problem))
    done = 0
    under_way: dict[Future[int], int] = {}
    with ThreadPoolExecutor(PER_RUN, thread_name_prefix="stripe") as pool:
        while True:
            if time.monotonic() - started < seconds and len(under_way) < PER_RUN:
                busy = set(under_way.values())
                for customer_id in _due(clock(), but=busy, limit=PER_RUN - len(under_way)):
                    under_way[pool.submit(_in_thread, customer_id, clock, started + seconds)] = customer_id
            if not under_way:
                return done
            finished, _ = wait(under_way, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
            for future in finished:
                del under_way[future]
                done += future.result()


# The first open operation of each customer, if it is due and nobody holds the lane.
_DUE = """
SELECT first.customer_id
FROM (SELECT DISTINCT ON (customer_id) customer_id, id, status, next_attempt_at FROM payments_operation
      WHERE status IN ('waiting', 'parked') ORDER BY customer_id, id) first
LEFT JOIN payments_lane lane ON lane.customer_id = first.customer_id
WHERE first.status = 'waiting' AND (first.next_attempt_at IS NULL OR first.next_attempt_at <= %(now)s)
  AND (lane.leased_until IS NULL OR lane.leased_until <= %(now)s)
  AND NOT first.customer_id = ANY(%(but)s)
ORDER BY first.next_attempt_at NULLS FIRST, first.id LIMIT %(limit)s
"""


def _due(now: datetime, *, but: set[int], limit: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "but": list(but), "limit": limit})
        return [row[0] for row in cursor.fetchall()]


def is_due(now: datetime) -> bool:
    """Whether anything waits for its next attempt now that nobody works already."""
    return bool(_due(now, but=set(), limit=1))


def _in_thread(customer_id: int, clock: Callable[[], datetime], until: float) -> int:
    try:
        return work_lane(customer_id, clock, until=until)
    finally:
        connections.close_all()


def work_lane(customer_id: int, clock: Callable[[], datetime], *, until: float = math.inf) -> int:
    """Work one customer's operations until one has to wait, beginning none after ``until`` (`time.monotonic`); the
    number finished, 0 where another holds the lane.
    """
    token = lanes.take(customer_id, clock())
    if token is None:
        return 0
    done = 0
    try:
        while time.monotonic() < until and (operation := _first(customer_id, clock())) is not None:
            if not _attempt(operation, token, clock):
                break
            done += 1
    except lanes.LaneLost:
        log.warning("stripe_lane_lost", customer=customer_id)
    finally:
        lanes.leave(customer_id, token)
    return done


def _first(customer_id: int, now: datetime) -> Operation | None:
    """The customer's first open operation, if it is due."""
    open_ones = Operation.objects.filter(customer=customer_id, status__in=(WAITING, PARKED)).order_by("id")
    first = open_ones.select_related("customer", "invoice__customer", "credit_note__customer", "application").first()
    if first is None or first.status == PARKED or (first.next_attempt_at is not None and first.next_attempt_at > now):
        return None
    return first


def _attempt(operation: Operation, token: UUID, clock: Callable[[], datetime]) -> bool:
    """Make one attempt; whether the operation is done, so that the next one's turn has come."""
    try:
        connected, key = connection_of(audience_of(operation.customer))
        if operation.account and (operation.account, operation.livemode) != (connected.account, connected.livemode):
            raise Refused(
                f"It was begun with account {operation.account}, and {connected.account} is connected now: skip it, or "
                "connect that account again.",
                code="other_account",
            )
        if not operation.account:
            operation.account, operation.livemode = connected.account, connected.livemode
            operation.save(update_fields=["account", "livemode"])
        HANDLERS[operation.kind](Work(operation, connected, client_of(key), token, clock))
    except Later as problem:
        _put_off(operation, problem, token, clock())
        return False
    except Refused as problem:
        _park(operation, problem, token, clock())
        return False
    except lanes.LaneLost:
        raise
    except stripe.StripeError as error:
        if isinstance(told := meaning(error), Later):
            _put_off(operation, told, token, clock())
        else:
            _park(operation, told, token, clock())
        return False
    except DatabaseError:
        raise
    except Exception as error:
        # Ours to mend; meanwhile the customer's documents wait, and nobody else's.
        log.exception("stripe_operation_failed", operation=operation.public_id)
        _park(operation, Refused(f"{type(error).__name__}: {error}", code="error"), token, clock())
        return False
    _finish(operation, token, clock())
    return True


@transaction.atomic
def _finish(operation: Operation, token: UUID, now: datetime) -> None:
    lanes.renew(operation.customer_id, token, now)
    operation.status, operation.finished_at = DONE, now
    operation.reason = operation.code = ""
    operation.save(update_fields=["status", "finished_at", "reason", "code"])
    log.info("stripe_operation_done", operation=operation.public_id, kind=operation.kind)


@transaction.atomic
def _put_off(operation: Operation, problem: Later, token: UUID, now: datetime) -> None:
    lanes.renew(operation.customer_id, token, now)
    pause = PAUSES[min(operation.attempts, len(PAUSES) - 1)]
    pause = pause / 2 + pause / 2 * random.random()  # noqa: S311 -- spreads load, guards nothing
    if problem.after is not None:
        pause = max(pause, problem.after)
    if problem.code in CONFIGURATION:
        pause = max(pause, timedelta(minutes=1))
    else:
        operation.attempts += 1
    operation.next_attempt_at = now + pause
    operation.reason, operation.code = str(problem), problem.code
    operation.save(update_fields=["attempts", "next_attempt_at", "reason", "code"])
    level = log.info if isinstance(problem, Stale) or operation.attempts < len(PAUSES) else log.warning
    level("stripe_operation_waits", operation=operation.public_id, reason=str(problem), attempts=operation.attempts)


@transaction.atomic
def _park(operation: Operation, problem: Refused, token: UUID, now: datetime) -> None:
    lanes.renew(operation.customer_id, token, now)
    operation.status = PARKED
    operation.attempts = F("attempts") + 1
    operation.reason, operation.code = str(problem), problem.code
    operation.save(update_fields=["status", "attempts", "reason", "code"])
    operation.refresh_from_db(fields=["attempts"])
    if isinstance(problem, Mismatch):
        mirror.parked(operation, str(problem), now=now)
    log.warning("stripe_operation_parked", operation=operation.public_id, code=problem.code, reason=str(problem))


# --- By hand ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def retry(operation_id: int, *, now: datetime, by: str) -> Operation:
    """Try an open operation again at once, a parked one when what it names is mended. ApiError 409 for a finished
    one.
    """
    operation = _locked(operation_id)
    if operation.status == PARKED:
        # What was refused is asked anew, under a key of its own, unless it turns out to have happened.
        operation.steps.filter(result=None).update(stale=True)
    operation.status, operation.attempts, operation.next_attempt_at = WAITING, 0, now
    operation.decided_by = by
    operation.save(update_fields=["status", "attempts", "next_attempt_at", "decided_by"])
    return operation


@transaction.atomic
def skip(operation_id: int, *, reason: str, now: datetime, by: str) -> Operation:
    """Give up an operation, whatever part of it is done, and let the customer's next one go on. ApiError 409 for a
    finished one, and while it is being worked.
    """
    operation = _locked(operation_id)
    if lanes.is_held(operation.customer_id, now):
        raise ApiError(409, "operation_in_progress", "It is being worked at this moment: try again in a minute.")
    operation.status, operation.finished_at = SKIPPED, now
    operation.decided_by, operation.reason = by, reason
    operation.save(update_fields=["status", "finished_at", "decided_by", "reason"])
    return operation


def _locked(operation_id: int) -> Operation:
    operation = Operation.objects.select_for_update().get(pk=operation_id)
    if operation.status in (DONE, SKIPPED):
        message = f"It is {operation.status}: only what waits or is parked can be tried again or skipped."
        raise ApiError(409, "operation_finished", message)
    return operation
