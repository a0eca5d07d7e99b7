"""The load: the demo's incident log, its year pressed into the day before now, and told again under new ids each round.

Bodies are made once, before anything is measured. An event's id and its incident's number end in TOKEN, which the
sender replaces by one of the same length: a round of 120,000 new events costs the load one `bytes.replace` a request.
"""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from billing_project.demo import helpdesk

SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "helpdesk"
TOKEN = b"@@@@@@@@@@"
NOBODY = "?"


class Sent(NamedTuple):
    """One event as it is sent: its customer, its incident's number, and its JSON with TOKEN in it."""

    customer: str
    number: str
    body: bytes


class Stream(NamedTuple):
    """What one connection sends, in order: bodies of ``size`` of the events each (1: the bare event)."""

    bodies: list[bytes]
    size: int
    events: list[Sent]


def token(measurement: int, round_: int) -> bytes:
    """As many digits as TOKEN is long, that no other round has."""
    return b"%06d%04d" % (measurement, round_)


def load(until: datetime, *, days: int = 1, limit: int | None = None) -> list[Sent]:
    """The log's events (the first ``limit``), in order, with times that rise evenly through the days before ``until``.

    Incidents of nobody (`?`), which the demo shows in the inbox, are left out: here every event is accepted.
    """
    rows = [row for row in helpdesk.events(SAMPLE) if row["customer"] != NOBODY][:limit]
    start = (until - timedelta(days=days)).astimezone(UTC)
    step = timedelta(days=days) / len(rows)
    return [_sent(row, start + place * step) for place, row in enumerate(rows)]


def _sent(row: dict, time: datetime) -> Sent:
    number = row["data"]["number"]
    told = row | {
        "id": f"{row['id']}-{TOKEN.decode()}",
        "time": time.isoformat().replace("+00:00", "Z"),
        "data": row["data"] | {"number": f"{number}-{TOKEN.decode()}"},
    }
    return Sent(row["customer"], number, json.dumps(told, separators=(",", ":")).encode())


def shares(events: list[Sent], count: int) -> list[list[Sent]]:
    """The events in ``count`` parts of about the same size. A customer's are all in one part, so that what one
    connection sends in order comes in order.
    """
    filled = [0] * count
    part_of: dict[str, int] = {}
    for customer, size in Counter(event.customer for event in events).most_common():
        part_of[customer] = filled.index(min(filled))
        filled[part_of[customer]] += size
    parts: list[list[Sent]] = [[] for _ in range(count)]
    for event in events:
        parts[part_of[event.customer]].append(event)
    return parts


def batches(events: list[Sent], size: int, opening: bytes = b'{"events":[', closing: bytes = b"]}") -> Stream:
    """Bodies of exactly ``size`` events each; what is left at the end is not sent."""
    if size == 1:
        return Stream([event.body for event in events], 1, events)
    starts = range(0, len(events) - size + 1, size)
    bodies = [opening + b",".join(event.body for event in events[at : at + size]) + closing for at in starts]
    return Stream(bodies, size, events)
