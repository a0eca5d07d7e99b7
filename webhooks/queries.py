"""Reads of endpoints and of what was sent to them, as plain JSON values. No secret is in any."""

import json
from typing import Any

from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce

from webhooks.models import Attempt, Delivery, Endpoint, Secret


def endpoints() -> QuerySet[Endpoint]:
    """Endpoints with their secrets' times and ``waiting``, the number of messages that wait."""
    waiting = Delivery.objects.filter(endpoint=OuterRef("pk"), status=Delivery.Status.WAITING).order_by()
    counted = waiting.values("endpoint").annotate(count=Count("pk")).values("count")
    return Endpoint.objects.prefetch_related(Prefetch("secrets", Secret.objects.order_by("-id"))).annotate(
        waiting=Coalesce(Subquery(counted), 0)
    )


def endpoint_json(endpoint: Endpoint) -> dict[str, Any]:
    """One of `endpoints`."""
    return {
        "id": endpoint.public_id,
        "url": endpoint.url,
        "description": endpoint.description,
        "events": endpoint.events,
        "enabled": endpoint.disabled_at is None,
        "status": endpoint.status,
        "disabled_at": endpoint.disabled_at,
        "disabled_reason": endpoint.disabled_reason or None,
        "failing_since": endpoint.failing_since,
        "last_success_at": endpoint.last_success_at,
        "last_failure_at": endpoint.last_failure_at,
        "last_error": endpoint.last_error or None,
        "waiting": endpoint.waiting,  # type: ignore[attr-defined]
        "secrets": [{"created_at": secret.created_at, "ends_at": secret.ends_at} for secret in endpoint.secrets.all()],
        "created_at": endpoint.created_at,
    }


def deliveries(
    *, endpoint: Endpoint | None = None, status: str | None = None, type: str | None = None, about: str | None = None
) -> QuerySet[Delivery]:
    """Messages by what is asked for."""
    wanted = {"endpoint": endpoint, "status": status, "type": type, "about": about}
    found = Delivery.objects.select_related("endpoint")
    return found.filter(**{name: value for name, value in wanted.items() if value is not None})


def delivery_json(message: Delivery) -> dict[str, Any]:
    """One message as lists show it."""
    return {
        "id": message.public_id,
        "endpoint": message.endpoint.public_id,
        "type": message.type,
        "about": message.about,
        "status": message.status,
        "attempts": message.attempts,
        "created_at": message.created_at,
        "next_attempt_at": message.next_attempt_at if message.status == Delivery.Status.WAITING else None,
        "finished_at": message.finished_at,
    }


def delivery_detail_json(message: Delivery) -> dict[str, Any]:
    """One message with what is sent and every attempt."""
    return delivery_json(message) | {
        "payload": json.loads(message.body),
        "log": [attempt_json(attempt) for attempt in message.log.order_by("id")],
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """One attempt; without ``ms`` it runs now, or its process died."""
    return {
        "number": attempt.number,
        "started_at": attempt.started_at,
        "ms": attempt.ms,
        "status_code": attempt.status_code,
        "error": attempt.error or None,
        "answer": attempt.answer,
    }
