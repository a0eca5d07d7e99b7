"""`seq`, the acceptance order of events: (months since January 2020) * 10^12 + a counter.

The month of receipt leads, so the payload table is partitioned by month on `seq` alone and a look-up by `seq` touches
one partition. The counter never restarts, so `seq` rises with acceptance within and across months.
"""

from datetime import datetime

from django.db.backends.utils import CursorWrapper

MONTH_FACTOR = 10**12


def month_number(instant: datetime) -> int:
    """Months from January 2020 to the month of ``instant`` (UTC); 0 for anything earlier."""
    return max(0, (instant.year - 2020) * 12 + instant.month - 1)


def reserve(cursor: CursorWrapper, count: int, now: datetime) -> list[int]:
    """``count`` sequence numbers in rising order. A transaction that rolls back leaves a gap, which means nothing."""
    cursor.execute(
        "SELECT nextval('outcomes_seq') + %s FROM generate_series(1, %s)", [month_number(now) * MONTH_FACTOR, count]
    )
    return [row[0] for row in cursor.fetchall()]
