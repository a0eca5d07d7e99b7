"""Use cases on endpoints: create, change, rotate the secret, delete, send again, and forget what is old.

Each locks the endpoint's row, as everything does that changes an endpoint or its deliveries.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from access import error_codes, ids
from access.errors import ApiError, Detail, InvalidInput
from access.ids import uuid7
from webhooks import delivery, signing, target
from webhooks.catalog import ALL, TEST
from webhooks.feeds import subscribe
from webhooks.models import Attempt, Delivery, Endpoint, Reading, Secret
from webhooks.publish import News, enqueue

MAX_ENDPOINTS = 100
# Signatures of one message at most.
MAX_SECRETS = 5
KEPT = timedelta(days=30)
SWEEP_BATCH = 5000

error_codes.register(
    {
        "refused_url": "Messages go to public https addresses only; the message says what is wrong with this one.",
        "too_many_endpoints": f"There are at most {MAX_ENDPOINTS} endpoints: delete one that is not needed.",
        "too_many_secrets": f"An endpoint has at most {MAX_SECRETS} secrets at once: let one run out, or rotate with "
        "`overlap_hours` 0.",
    }
)


@transaction.atomic
def create(url: str, events: Sequence[str], *, description: str = "", now: datetime) -> tuple[Endpoint, str]:
    """A new endpoint and its secret, which is told this once. It gets what happens from now on."""
    url, events = _checked_url(url), _checked_events(events)
    if Endpoint.objects.count() >= MAX_ENDPOINTS:
        raise ApiError(409, "too_many_endpoints", f"There are {MAX_ENDPOINTS} endpoints: delete one first.")
    endpoint = Endpoint.objects.create(id=uuid7(now), url=url, events=events, description=description, created_at=now)
    subscribe(endpoint)
    return endpoint, _new_secret(endpoint, now)


@transaction.atomic
def change(
    endpoint_id: UUID,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
    now: datetime,
) -> Endpoint:
    """Change what is given. Names that are new are told from now on; messages that wait go to the new URL."""
    endpoint = locked(endpoint_id)
    if url is not None:
        endpoint.url = _checked_url(url)
    if events is not None:
        endpoint.events = _checked_events(events)
    if description is not None:
        endpoint.description = description
    endpoint.save()
    if events is not None:
        subscribe(endpoint)
    if enabled is True and endpoint.disabled_at is not None:
        _enable(endpoint, now)
    elif enabled is False and endpoint.disabled_at is None:
        delivery.disable(endpoint, Endpoint.Disabled.BY_HAND, now=now)
    return endpoint


def _enable(endpoint: Endpoint, now: datetime) -> None:
    """Go on where it stopped: what waits is due now, with all its tries before it; the feeds are read on."""
    endpoint.disabled_at, endpoint.disabled_reason = None, ""
    endpoint.failures, endpoint.failing_since, endpoint.resume_at = 0, None, None
    endpoint.save()
    _queue(Delivery.objects.filter(endpoint=endpoint, status=delivery.WAITING), now)


@transaction.atomic
def delete(endpoint_id: UUID) -> None:
    """Remove the endpoint with all that was and was to be sent to it.

    Waits for transactions that read a feed for it or queue a message to it: they hold its readings or its key.
    """
    list(Reading.objects.select_for_update().filter(endpoint=endpoint_id))
    endpoint = _or_404(Endpoint.objects.select_for_update().filter(pk=endpoint_id).first(), endpoint_id)
    deliveries = Delivery.objects.filter(endpoint=endpoint)
    Attempt.objects.filter(delivery__in=deliveries).delete()
    deliveries.delete()
    endpoint.delete()


@transaction.atomic
def rotate_secret(endpoint_id: UUID, *, overlap: timedelta, now: datetime) -> tuple[Endpoint, str]:
    """A new secret, told this once. Those before it sign beside it until ``overlap`` is over; without one they end."""
    endpoint = locked(endpoint_id)
    ends_at = now + overlap
    older = Secret.objects.filter(endpoint=endpoint)
    older.filter(ends_at__lte=now).delete()
    older.filter(Q(ends_at=None) | Q(ends_at__gt=ends_at)).update(ends_at=ends_at)
    if overlap and older.count() >= MAX_SECRETS:
        message = f"{endpoint.public_id} has {MAX_SECRETS} secrets that still count: wait until one runs out."
        raise ApiError(409, "too_many_secrets", message)
    return endpoint, _new_secret(endpoint, now)


def _new_secret(endpoint: Endpoint, now: datetime) -> str:
    salt = signing.new_salt()
    Secret.objects.create(endpoint=endpoint, salt=salt, created_at=now)
    return signing.secret_of(salt)


def ping(endpoint_id: UUID, *, now: datetime) -> Delivery:
    """Send a test message now, once, whatever the endpoint's state, and leave that state as it is. Not in a
    transaction: it waits for the receiver.
    """
    with transaction.atomic():
        endpoint = locked(endpoint_id)
        data = {"endpoint": endpoint.public_id}
        [message] = enqueue(endpoint, [News(TEST, endpoint.public_id, now, data)], now=now)
        [sending] = delivery.begin(endpoint, [message], now)
    delivery.record(sending, delivery.send(sending, now), now=now)
    message.refresh_from_db()
    return message


# --- Sending again ----------------------------------------------------------------------------------------------------


@transaction.atomic
def resend(message: Delivery, *, now: datetime) -> Delivery:
    """Send a message again under its `webhook-id`, also one that was accepted; one that waits is due now."""
    locked(message.endpoint_id)
    _queue(Delivery.objects.filter(pk=message.pk), now)
    message.refresh_from_db()
    return message


@transaction.atomic
def resend_since(endpoint_id: UUID, since: datetime, *, now: datetime) -> int:
    """Send everything again that was made at or after ``since`` and failed, or waits for its next attempt; how many."""
    endpoint = locked(endpoint_id)
    wanted = Delivery.objects.filter(endpoint=endpoint, created_at__gte=since)
    return _queue(wanted.filter(Q(status=delivery.FAILED) | Q(status=delivery.WAITING, tries__gt=0)), now)


def _queue(deliveries: QuerySet[Delivery], now: datetime) -> int:
    """Have these due now, with all their tries before them; what is under way goes on."""
    idle = deliveries.filter(Q(leased_until=None) | Q(leased_until__lte=now))
    return idle.update(status=delivery.WAITING, finished_at=None, leased_until=None, tries=0, next_attempt_at=now)


# --- Retention --------------------------------------------------------------------------------------------------------


def sweep(*, now: datetime) -> int:
    """Forget what is 30 days old: messages that are finished, with their attempts, and for disabled endpoints also
    those that wait. Short transactions; returns how many.
    """
    old = Delivery.objects.filter(
        Q(finished_at__lte=now - KEPT)
        | Q(leased_until=None, created_at__lte=now - KEPT, endpoint__disabled_at__isnull=False)
    )
    rows = old.select_for_update(skip_locked=True, of=("self",)).order_by("id").values_list("pk", flat=True)
    total = 0
    while True:
        with transaction.atomic():
            batch = list(rows[:SWEEP_BATCH])
            Attempt.objects.filter(delivery__in=batch).delete()
            Delivery.objects.filter(pk__in=batch).delete()
        total += len(batch)
        if len(batch) < SWEEP_BATCH:
            return total


# --- Finding and refusing ---------------------------------------------------------------------------------------------


def found(endpoint_id: UUID) -> Endpoint:
    """The endpoint; ApiError 404 where there is none."""
    return _or_404(Endpoint.objects.filter(pk=endpoint_id).first(), endpoint_id)


def locked(endpoint_id: UUID) -> Endpoint:
    """The endpoint, locked until the transaction ends; ApiError 404 where there is none."""
    return _or_404(delivery.lock(endpoint_id), endpoint_id)


def _or_404(endpoint: Endpoint | None, endpoint_id: UUID) -> Endpoint:
    if endpoint is None:
        public_id = ids.encode(Endpoint.PREFIX, endpoint_id)
        raise ApiError(404, "not_found", f"There is no webhook endpoint {public_id}.")
    return endpoint


def _checked_url(url: str) -> str:
    try:
        return target.read(url).url
    except target.Refused as refusal:
        raise ApiError(422, "refused_url", str(refusal), details=[Detail("url", str(refusal), "refused_url")]) from None


def _checked_events(events: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(events))
    if ALL in names and len(names) > 1:
        raise InvalidInput([Detail("events", "`*` takes in every other name: send it alone.")])
    return names
