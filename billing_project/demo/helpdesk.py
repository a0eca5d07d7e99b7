"""The incident log under samples/helpdesk as billing events. Its README tells the mapping and cites the source."""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOG = "incidents.csv.gz"

EVENT_TYPES = {
    "New": "incident.new",
    "Active": "incident.active",
    "Resolved": "incident.resolved",
    "Closed": "incident.closed",
    "Awaiting User Info": "incident.awaiting.user_info",
    "Awaiting Vendor": "incident.awaiting.vendor",
    "Awaiting Problem": "incident.awaiting.problem",
    "Awaiting Evidence": "incident.awaiting.evidence",
    "-100": "incident.unknown",
}


def events(directory: Path) -> list[dict[str, Any]]:
    """Every row as an event, in the order in which they happened; rows of one minute keep the order of the file."""
    with gzip.open(directory / LOG, "rt", newline="") as handle:
        rows = [_event(number, row) for number, row in enumerate(csv.DictReader(handle), start=1)]
    rows.sort(key=lambda event: event["time"])
    return rows


def batches(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _event(number: int, row: dict[str, str]) -> dict[str, Any]:
    return {
        "id": f"row-{number}",
        "type": EVENT_TYPES[row["incident_state"]],
        # `?` stays as it is: nobody's incidents end in the inbox, where they can be seen.
        "customer": row["location"],
        "time": _time(row["sys_updated_at"]),
        "data": {
            "number": row["number"],
            "priority": row["priority"],
            "category": row["category"],
            "state": row["incident_state"],
        },
    }


def _time(text: str) -> str:
    """`29/2/2016 01:23`, without zero padding, taken as UTC."""
    day, clock = text.split(" ")
    d, m, y = (int(part) for part in day.split("/"))
    hour, minute = (int(part) for part in clock.split(":"))
    return datetime(y, m, d, hour, minute, tzinfo=UTC).isoformat().replace("+00:00", "Z")
