"""A whole simulation in this process, in one snapshot: what `manage.py simulate` does."""

from collections.abc import Callable
from datetime import datetime
from itertools import islice

from simulation import reading
from simulation.asked import Asked
from simulation.checking import customers_of
from simulation.engine import Progress, events_by_customer, run
from simulation.results import Beside, Row, rows_of

CUSTOMERS_AT_ONCE = 2_000
"""Customers whose sums are held in memory together."""


def simulate(
    asked: Asked,
    now: datetime,
    *,
    total: Callable[[int], None] = lambda events: None,
    progress: Progress = lambda events: None,
) -> tuple[list[Row], Beside]:
    """The rows of a question that was checked, and what is told beside them. ``total`` is told how many events there
    are, ``progress`` how many more were read.
    """
    rows: list[Row] = []
    beside = Beside()
    with reading.snapshot():
        customers = customers_of(asked)
        total(sum(events_by_customer(asked, customers).values()))
        left = iter(customers.items())
        while some := dict(islice(left, CUSTOMERS_AT_ONCE)):
            results, found = run(asked, some, now, progress)
            beside.add(results, found)
            rows += rows_of(results, found.slugs)
    return rows, beside
