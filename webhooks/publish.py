"""Put messages into the queue: one `Delivery` for each endpoint that wants it, in the caller's transaction."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from access.ids import uuid7
from access.renderers import dumps
from webhooks.catalog import TYPES
from webhooks.models import Delivery, Endpoint


class News(NamedTuple):
    """One thing to tell: a name of the catalog, the public id of what it is about, when it became so, and the data."""

    type: str
    about: str
    at: datetime
    data: dict[str, Any]


def publish(
    type: str,
    about: str,
    data: Callable[[], dict[str, Any]],
    *,
    now: datetime,
    at: datetime | None = None,
    but: UUID | None = None,
) -> None:
    """Tell every endpoint that subscribes to ``type``, the endpoint ``but`` left out. Call it in the transaction that
    makes the thing so: then it is told if, and only if, that commits. ``at`` is when it became so, where that is not
    ``now``: by a test clock.

    ``data`` is asked only where somebody listens. For what stands in an append-only table, make a feed instead
    (`webhooks.feeds`). Holds the endpoints' keys to the end of the transaction, so that none is deleted under it.
    """
    if type not in TYPES:
        raise ValueError(f"{type} is no name of webhooks.catalog")
    endpoints = Endpoint.objects.raw("SELECT * FROM webhooks_endpoint ORDER BY id FOR KEY SHARE")
    listeners = [endpoint for endpoint in endpoints if type in endpoint.types and endpoint.pk != but]
    if listeners:
        news = News(type, about, at or now, data())
        for endpoint in listeners:
            enqueue(endpoint, [news], now=now)


def enqueue(endpoint: Endpoint, news: Iterable[News], *, now: datetime) -> list[Delivery]:
    """Queue these messages for one endpoint, in this order."""
    return Delivery.objects.bulk_create(
        Delivery(
            uid=uuid7(now),
            endpoint=endpoint,
            type=one.type,
            about=one.about,
            body=dumps({"type": one.type, "timestamp": one.at, "data": one.data}).decode(),
            created_at=now,
            next_attempt_at=now,
        )
        for one in news
    )
