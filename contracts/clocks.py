"""What time it is for a customer: the wall clock, or the test clock that the customer is attached to.

Whatever asks this asks here. ``now`` and ``wall`` come from the edges; nothing here reads a clock but the stored ones.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from access import ids
from contracts.models import Customer, TestClock

# (customer_id, now) of every customer with a test clock, for statements that judge each row by its own clock.
OWN_NOWS = """
SELECT c.id AS customer_id, k.now FROM contracts_customer c JOIN contracts_testclock k ON k.id = c.test_clock_id
"""


def is_test(customer: Customer) -> bool:
    """Whether it is a test customer: marked everywhere it is shown, and never told to a live payment provider."""
    return customer.test_clock_id is not None


def now_of(customer: Customer, wall: datetime) -> datetime:
    """What time it is for this customer. A query where it has a clock, none where it has not."""
    if customer.test_clock_id is None:
        return wall
    return TestClock.objects.values_list("now", flat=True).get(pk=customer.test_clock_id)


def nows(customer_ids: Iterable[int] | None = None) -> dict[int, datetime]:
    """Customer id → the now of its test clock: of those among ``customer_ids`` (None: of all) that have one. A query,
    which looks at no customer where there is no clock.
    """
    if not TestClock.objects.exists():
        return {}
    clocked = Customer.objects.filter(test_clock__isnull=False)
    if customer_ids is not None:
        clocked = clocked.filter(pk__in=set(customer_ids))
    return dict(clocked.order_by().values_list("pk", "test_clock__now"))


class Clocked(NamedTuple):
    """Customers that share a now."""

    now: datetime
    customers: list[int]


def by_now(customer_ids: Iterable[int] | None = None) -> list[Clocked]:
    """The customers with a test clock (among those given, where given), by what time it is for them, earliest first."""
    groups: dict[datetime, list[int]] = {}
    for customer, now in sorted(nows(customer_ids).items()):
        groups.setdefault(now, []).append(customer)
    return [Clocked(now, groups[now]) for now in sorted(groups)]


def customers_of(clock_id: UUID) -> list[int]:
    """The ids of a clock's customers."""
    return list(Customer.objects.filter(test_clock=clock_id).order_by("pk").values_list("pk", flat=True))


def clocked_keys(keys: Collection[str]) -> set[str]:
    """Which of these customer keys belong to customers with a test clock."""
    if not TestClock.objects.exists():
        return set()
    return set(Customer.objects.filter(key__in=keys, test_clock__isnull=False).values_list("key", flat=True))


def any_ahead(of: datetime) -> bool:
    """Whether a test clock shows a later time than this."""
    return TestClock.objects.filter(now__gt=of).exists()


def create_clock(*, now: datetime, name: str = "", wall: datetime) -> TestClock:
    """A new clock that shows ``now``."""
    return TestClock.objects.create(id=ids.uuid7(wall), name=name, now=now, created_at=wall)


def move_forward(clock_id: UUID, to: datetime) -> None:
    """Set a clock; one that shows a later time already stays as it is."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE contracts_testclock SET now = %s WHERE id = %s AND now < %s", [to, clock_id, to])
