"""A process that is killed while it works a lane."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from payments import lanes, operations
from tests.payments.conftest import Stripe
from tests.simulation.engine import Died

_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")


@contextmanager
def dying(number: int, *, after: bool) -> Iterator[None]:
    """Die just before, or just after, the commit with that number. A write outside of a transaction is one as well.

    Anywhere else nothing is different: what a transaction wrote is gone whichever of its statements was the last, what
    is asked between two of them changes nothing, and a call to Stripe stands between two commits of its own.
    """
    count = 0

    def counted(run: Callable[[], Any], what: str) -> Any:
        nonlocal count
        count += 1
        if count == number and not after:
            raise Died(f"before {what}")
        result = run()
        if count == number:
            raise Died(f"after {what}")
        return result

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if connection.in_atomic_block or not _WRITES.search(sql):
            return execute(sql, params, many, context)
        return counted(lambda: execute(sql, params, many, context), sql[:60])

    commit = connection._commit

    def committed() -> None:
        try:
            counted(commit, "commit")
        except Died:
            connection.connection.close()
            connection.closed_in_transaction = True
            raise

    connection._commit = committed
    try:
        with connection.execute_wrapper(statement):
            yield
    finally:
        del connection._commit


def killed(stripe: Stripe, customer_id: int, number: int, *, after: bool) -> bool:
    """Work the customer's lane, die at that commit, and go on in another process when the lease is over; whether it
    came to die.
    """
    clock: Callable[[], datetime] = lambda: stripe.now  # noqa: E731
    try:
        # Who is killed leaves nothing in order.
        with pytest.MonkeyPatch.context() as patched, dying(number, after=after):
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
