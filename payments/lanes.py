"""One worker at a time for each customer: a lease on the customer's lane, with a token that every write checks.

A worker that dies leaves a lease that ends by itself; one that was only slow finds its token gone and stops, so what
two workers do to one customer never mixes.
"""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db.models import Q

from payments.client import TIMEOUT
from payments.models import Lane

# Renewed before every call; longer than any call may take, by far.
LEASE = timedelta(seconds=4 * TIMEOUT)


class LaneLost(Exception):
    """Another worker took over, because this one was away for longer than its lease."""


def take(customer_id: int, now: datetime) -> UUID | None:
    """A token for the customer's lane; None where another holds it."""
    Lane.objects.bulk_create([Lane(customer_id=customer_id)], ignore_conflicts=True)
    token = uuid4()
    free = Lane.objects.filter(Q(leased_until=None) | Q(leased_until__lte=now), customer=customer_id)
    return token if free.update(token=token, leased_until=now + LEASE) else None


def renew(customer_id: int, token: UUID, now: datetime) -> None:
    """Hold the lane for another lease; raises `LaneLost`. In a transaction, it holds what else is written there."""
    if not Lane.objects.filter(customer=customer_id, token=token).update(leased_until=now + LEASE):
        raise LaneLost(f"customer {customer_id}")


def leave(customer_id: int, token: UUID) -> None:
    """Give the lane back, if it is still held."""
    Lane.objects.filter(customer=customer_id, token=token).update(token=None, leased_until=None)


def is_held(customer_id: int, now: datetime) -> bool:
    """Whether somebody works the customer's lane at this moment."""
    return Lane.objects.filter(customer=customer_id, leased_until__gt=now).exists()
