"""Send what is due. Any number of these may run at once, on any number of machines, by Celery, by `pump`, or both.

An attempt is three steps: *reserve* (one transaction: a row in the log, a lease on the message), *send* (no
transaction), *record* (one transaction: the result, what it means for the message and for the endpoint). A process
that dies in between leaves a message that is due again when the lease is over, under the same `webhook-id`.
"""

import random
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from access.times import going_on
from webhooks import schedule, signing
from webhooks.catalog import ENDPOINT_DISABLED, TEST
from webhooks.feeds import read_news
from webhooks.models import Attempt, Delivery, Endpoint, Secret
from webhooks.publish import publish
from webhooks.sending import Answer, post

log = structlog.get_logger(__name__)

WAITING, ACCEPTED, FAILED = Delivery.Status.WAITING, Delivery.Status.ACCEPTED, Delivery.Status.FAILED

# At the same time: to one endpoint, wherever it is sent from; and from one run.
PER_ENDPOINT = 8
PER_RUN = 32
# Longer than any attempt may take, by far.
LEASE = timedelta(seconds=60)
# New attempts are begun for so long; those under way are waited for.
RUN_SECONDS = 20.0
# While attempts are under way, feeds are read again after so many seconds.
READ_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Sending:
    """One reserved attempt, with all that sending needs."""

    attempt: int
    number: int
    delivery: int
    endpoint: UUID
    url: str
    message_id: str
    body: str
    secrets: tuple[str, ...]


def deliver_due(now: datetime, *, seconds: float = RUN_SECONDS) -> int:
    """Read the feeds and send until nothing is due or ``seconds`` are over; the number of attempts.

    Safe to repeat and to run beside others. ``now`` goes on while it runs.
    """
    started = time.monotonic()
    clock = going_on(now)

    sent, read_at = 0, started
    under_way: dict[Future[Answer], Sending] = {}
    with ThreadPoolExecutor(PER_RUN, thread_name_prefix="webhooks") as pool:
        while True:
            more = False
            if time.monotonic() - started < seconds:
                if not under_way or time.monotonic() >= read_at:
                    more = read_news(clock())
                    read_at = time.monotonic() + READ_EVERY
                for sending in _reserve_due(clock(), room=PER_RUN - len(under_way)):
                    under_way[pool.submit(send, sending, clock())] = sending
            if not under_way and not more:
                return sent
            finished, _ = wait(under_way, timeout=READ_EVERY, return_when=FIRST_COMPLETED)
            for future in finished:
                record(under_way.pop(future), future.result(), now=clock())
                sent += 1


# --- Reserve ----------------------------------------------------------------------------------------------------------


def due(endpoint: Endpoint, now: datetime) -> QuerySet[Delivery]:
    """What may be sent to the endpoint now: due, and no earlier message about the same thing still waits."""
    earlier = Delivery.objects.filter(
        endpoint=OuterRef("endpoint"), about=OuterRef("about"), status=WAITING, id__lt=OuterRef("id")
    )
    waiting = Delivery.objects.filter(endpoint=endpoint, status=WAITING, next_attempt_at__lte=now)
    return waiting.exclude(Exists(earlier)).order_by("next_attempt_at", "id")


def _reserve_due(now: datetime, *, room: int) -> list[Sending]:
    """Attempts to make now, ``room`` of them at most, from the endpoints in an order that differs each time."""
    waiting = Delivery.objects.filter(endpoint=OuterRef("pk"), status=WAITING, next_attempt_at__lte=now)
    open_now = Endpoint.objects.filter(Q(resume_at=None) | Q(resume_at__lte=now), disabled_at=None)
    ready = list(open_now.filter(Exists(waiting)).values_list("pk", flat=True))
    random.shuffle(ready)
    reserved: list[Sending] = []
    for endpoint_id in ready:
        if len(reserved) >= room:
            break
        reserved += reserve(endpoint_id, now, room=room - len(reserved))
    return reserved


@transaction.atomic
def reserve(endpoint_id: UUID, now: datetime, *, room: int) -> list[Sending]:
    """Begin attempts for one endpoint, as many as its bound and ``room`` leave.

    Locks the endpoint's row and passes over one that is locked, so the bound holds however many reserve at once.
    """
    endpoint = lock(endpoint_id, skip_locked=True)
    if endpoint is None or endpoint.disabled_at is not None or (endpoint.resume_at and endpoint.resume_at > now):
        return []
    bound = 1 if endpoint.failures >= schedule.BREAKER_AFTER else PER_ENDPOINT
    under_way = Delivery.objects.filter(endpoint=endpoint, leased_until__gt=now).count()
    free = min(bound - under_way, room)
    return begin(endpoint, list(due(endpoint, now)[:free]), now) if free > 0 else []


def begin(endpoint: Endpoint, deliveries: Sequence[Delivery], now: datetime) -> list[Sending]:
    """Begin an attempt of each of these, in the caller's transaction, which has locked the endpoint's row."""
    Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).update(
        attempts=F("attempts") + 1, tries=F("tries") + 1, leased_until=now + LEASE, next_attempt_at=now + LEASE
    )
    attempts = Attempt.objects.bulk_create(
        Attempt(delivery=delivery, number=delivery.attempts + 1, started_at=now) for delivery in deliveries
    )
    secrets = _secrets(endpoint, now)
    return [
        Sending(
            attempt=attempt.pk,
            number=attempt.number,
            delivery=delivery.pk,
            endpoint=endpoint.pk,
            url=endpoint.url,
            message_id=delivery.public_id,
            body=delivery.body,
            secrets=secrets,
        )
        for delivery, attempt in zip(deliveries, attempts, strict=True)
    ]


def _secrets(endpoint: Endpoint, now: datetime) -> tuple[str, ...]:
    """Those that count now, the newest first."""
    valid = Secret.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now), endpoint=endpoint).order_by("-id")
    return tuple(signing.secret_of(bytes(secret.salt)) for secret in valid)


def lock(endpoint_id: UUID, *, skip_locked: bool = False) -> Endpoint | None:
    """The endpoint's row, locked; None where there is none, or with ``skip_locked`` where it is taken.

    NO KEY, so that a transaction that queues a message for the endpoint neither waits nor makes us wait.
    """
    return Endpoint.objects.select_for_update(no_key=True, skip_locked=skip_locked).filter(pk=endpoint_id).first()


# --- Send -------------------------------------------------------------------------------------------------------------


def send(sending: Sending, now: datetime) -> Answer:
    """Make one attempt. No transaction, no database."""
    signed = signing.headers(sending.message_id, sending.body, sending.secrets, now=now)
    return post(sending.url, sending.body, signed)


# --- Record -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def record(sending: Sending, answer: Answer, *, now: datetime) -> None:
    """Store how an attempt went, and what follows. Locks the endpoint's row.

    A result that comes after its lease, when another attempt has begun, counts where it is a success: accepted is
    accepted.
    """
    endpoint = lock(sending.endpoint)
    if endpoint is None:
        return  # deleted meanwhile
    Attempt.objects.filter(pk=sending.attempt).update(
        ms=answer.ms, status_code=answer.status, answer=answer.body, error=answer.error
    )
    delivery = Delivery.objects.filter(pk=sending.delivery).first()
    if delivery is None:
        return  # forgotten meanwhile
    asked = schedule.retry_after(answer.retry_after, now=now) if answer.retry_after else None
    if delivery.type != TEST:
        _note_health(endpoint, answer, asked, now)
    if delivery.status != WAITING or not (answer.accepted or delivery.attempts == sending.number):
        return
    delivery.leased_until = None
    if answer.accepted:
        delivery.status, delivery.finished_at = ACCEPTED, now
    else:
        pause = None if delivery.type == TEST else schedule.pause_after(delivery.tries, asked)
        if pause is not None:
            delivery.next_attempt_at = now + pause
        elif endpoint.disabled_at is None or delivery.type == TEST:
            delivery.status, delivery.finished_at = FAILED, now
    delivery.save(update_fields=["status", "finished_at", "leased_until", "next_attempt_at"])


def _note_health(endpoint: Endpoint, answer: Answer, asked: timedelta | None, now: datetime) -> None:
    if answer.accepted:
        endpoint.failures, endpoint.failing_since, endpoint.resume_at = 0, None, None
        endpoint.last_success_at = now
    else:
        endpoint.failures += 1
        endpoint.failing_since = endpoint.failing_since or now
        endpoint.last_failure_at, endpoint.last_error = now, answer.error
        pause = schedule.endpoint_pause(endpoint.failures, asked if answer.status in (429, 503) else None)
        endpoint.resume_at = now + pause if pause else None
    endpoint.save()
    if answer.accepted or endpoint.disabled_at is not None:
        return
    assert endpoint.failing_since is not None
    if answer.status == 410:
        disable(endpoint, Endpoint.Disabled.GONE, now=now)
    elif now - endpoint.failing_since >= schedule.DISABLE_AFTER:
        disable(endpoint, Endpoint.Disabled.FAILING, now=now)


def disable(endpoint: Endpoint, reason: Endpoint.Disabled, *, now: datetime) -> None:
    """Stop sending to an endpoint, whose row the caller has locked; unless a person does it, the others are told."""
    endpoint.disabled_at, endpoint.disabled_reason = now, reason
    endpoint.save()
    log.warning("webhook_endpoint_disabled", endpoint=endpoint.public_id, url=endpoint.url, reason=str(reason))
    if reason != Endpoint.Disabled.BY_HAND:
        publish(
            ENDPOINT_DISABLED,
            endpoint.public_id,
            lambda: {
                "id": endpoint.public_id,
                "url": endpoint.url,
                "disabled_at": now,
                "disabled_reason": str(reason),
                "failing_since": endpoint.failing_since,
                "last_error": endpoint.last_error,
            },
            now=now,
            but=endpoint.pk,
        )
