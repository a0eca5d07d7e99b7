"""The partitions of the payload table, one for each month of receipt, made ahead of time.

What no month's partition takes goes to `outcomes_event_rest`, so intake never waits for a partition; a month that has
rows there already keeps them there. Archiving a month is a DETACH of its table.
"""

from datetime import UTC, datetime

import structlog
from django.db import connection, transaction

from outcomes.sequence import MONTH_FACTOR, month_number, month_text

log = structlog.get_logger(__name__)

AHEAD = 2


def name_of(month: int) -> str:
    """The table of a month, by its number since January 2020."""
    return f"outcomes_event_{month_text(month).replace('-', '_')}"


def first_instant(month: int) -> datetime:
    """When a month begins, UTC, by its number since January 2020."""
    return datetime(2020 + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def ensure_months(now: datetime) -> list[str]:
    """Make the partitions of this month and the next that do not exist yet; the names of those made. Safe to repeat.

    Locks the payload table for an instant, and gives up after three seconds of waiting: the next run tries again.
    """
    made = []
    for month in range(month_number(now), month_number(now) + AHEAD + 1):
        low, high = month * MONTH_FACTOR, (month + 1) * MONTH_FACTOR
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '3s'")
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name_of(month)])
            if cursor.fetchone()[0]:
                continue
            cursor.execute("SELECT EXISTS (SELECT FROM outcomes_event_rest WHERE seq >= %s AND seq < %s)", [low, high])
            if cursor.fetchone()[0]:
                log.warning("month_stays_in_rest", month=name_of(month))
                continue
            cursor.execute(
                f"CREATE TABLE {name_of(month)} PARTITION OF outcomes_event FOR VALUES FROM ({low}) TO ({high})"
            )
            made.append(name_of(month))
    return made
