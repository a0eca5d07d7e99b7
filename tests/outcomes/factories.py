"""Customers and conditions for the tests of intake, evaluation and settlement."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from conditions_dsl import parse
from contracts.models import Condition, ConditionCustomer, ConditionVersion, Customer
from contracts.partitions import partition_of
from outcomes.intake import Result, accept
from outcomes.wire import read_events

START = datetime(2026, 1, 1, tzinfo=UTC)


def customer(key: str = "acme") -> Customer:
    return Customer.objects.create(key=key, name=key, currency="USD", partition=partition_of(key), created_at=START)


def condition(
    text: str,
    *,
    effective_from: datetime | None = None,
    customers: dict[str, datetime | None] | None = None,
    made_at: datetime = START,
) -> ConditionVersion:
    """A version of a condition; the first one's ``customers`` are whom alone it is for, and from when on."""
    parsed = parse(text)
    found, made = Condition.objects.get_or_create(
        slug=parsed.slug, defaults={"created_at": START, "limited": customers is not None}
    )
    for key, since in (customers or {}).items() if made else ():
        named = Customer.objects.get(key=key)
        ConditionCustomer.objects.create(condition=found, customer=named, since=since, created_at=START)
    return ConditionVersion.objects.create(
        condition=found,
        number=found.versions.count() + 1,
        title=parsed.title or parsed.slug,
        text=text,
        canonical=text,
        description="",
        effective_from=effective_from,
        created_at=made_at,
    )


def send(events: list[dict[str, Any]], *, now: datetime, **options: Any) -> list[Result]:
    return accept(read_events([msgspec.json.encode(event) for event in events]), now=now, **options)


def say(event_type: str, time: datetime, *, now: datetime, customer: str = "acme", **data: Any) -> Result:
    """Send one event about ticket T; its id is its type and time."""
    event = {"id": f"{event_type}@{time.isoformat()}", "type": event_type, "customer": customer, "time": time}
    [result] = send([event | {"data": {"ticket": "T", "units": 1} | data}], now=now)
    return result
