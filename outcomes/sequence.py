"""`seq`, the acceptance order of events: (months since January 2020) * 10^12 + a counter.

The month of receipt leads, so the payload table is partitioned by month on `seq` alone and a look-up by `seq` touches
one partition. The counter (the sequence `outcomes_seq`) never restarts, so `seq` rises with acceptance within and
across months. A transaction that rolls back leaves a gap, which means nothing.
"""

from datetime import datetime

from access.times import MAX_YEAR

MONTH_FACTOR = 10**12


def month_number(instant: datetime) -> int:
    """Months from January 2020 to the month of ``instant`` (UTC); 0 for anything earlier."""
    return max(0, (instant.year - 2020) * 12 + instant.month - 1)


def month_text(month: int) -> str:
    """A month by its number since January 2020, as people write it: `2026-03`."""
    return f"{2020 + month // 12}-{month % 12 + 1:02d}"


def month_of(text: str) -> int:
    """The number of a month as `month_text` writes it, 2020 to MAX_YEAR. Raises ValueError for anything else."""
    year, month = (int(part) for part in text.split("-"))
    number = (year - 2020) * 12 + month - 1
    if number < 0 or year > MAX_YEAR or month_text(number) != text:
        raise ValueError(text)
    return number
