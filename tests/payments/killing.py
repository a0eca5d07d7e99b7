"""A process that is killed while it works a lane."""

import re
from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection

from payments import lanes, operations
from tests.payments.conftest import Stripe
from tests.simulation.engine import Died, dying_at

_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")


def _alone(sql: str) -> bool:
    """Whether a statement commits by itself: a write outside of a transaction.

    Anywhere else nothing is different for who dies: what a transaction wrote is gone whichever of its statements was
    the last, what is asked between two of them changes nothing, and a call to Stripe stands between two commits of its
    own.
    """
    return not connection.in_atomic_block and bool(_WRITES.search(sql))


def killed(stripe: Stripe, customer_id: int, number: int, *, after: bool) -> bool:
    """Work the customer's lane, die just before or after that commit, and go on in another process when the lease is
    over; whether it came to die.
    """
    clock: Callable[[], datetime] = lambda: stripe.now  # noqa: E731
    try:
        # Who is killed leaves nothing in order.
        with pytest.MonkeyPatch.context() as patched, dying_at(number, after=after, counts=_alone):
            patched.setattr(lanes, "leave", lambda *_: None)
            operations.work_lane(customer_id, clock)
        died = False
    except Died:
        died = True
    if lanes.is_held(customer_id, stripe.now):
        # Nobody takes over while the lease runs.
        assert operations.work_lane(customer_id, clock) == 0
        stripe.pass_time(minutes=5)
    operations.work_lane(customer_id, clock)
    return died
