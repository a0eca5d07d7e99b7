"""A process that is killed at any statement or commit while it works an invoice: gone on with, it is one invoice."""

from collections.abc import Callable
from datetime import datetime

import pytest

from invoicing.refusals import public_id
from payments import lanes, operations
from payments.models import Operation
from tests.invoicing.conftest import World
from tests.payments.conftest import Stripe
from tests.simulation.engine import Died, dying
from tests.simulation.world import Crash


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere(stripe: Stripe, committed_world: World, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    leave = lanes.leave
    clock: Callable[[], datetime] = lambda: stripe.now  # noqa: E731
    number = 0
    while True:
        number += 1
        customer = committed_world.customer(f"c{number}", email=f"ap@c{number}.example")
        invoice = stripe.issue(customer, "100.00", "7.50")
        # Who is killed leaves nothing in order.
        monkeypatch.setattr(lanes, "leave", lambda *_: None)
        try:
            with dying(Crash(number, after)):
                operations.work_lane(customer.id, clock)
            ended = True
        except Died:
            ended = False
        monkeypatch.setattr(lanes, "leave", leave)
        if lanes.is_held(customer.id, stripe.now):
            # Nobody takes over while the lease runs.
            assert operations.work_lane(customer.id, clock) == 0
            stripe.pass_time(minutes=5)
        operations.work_lane(customer.id, clock)
        there = stripe.server.books().by_metadata("holdfast_invoice")[public_id(invoice)]
        assert [(book.status, book.total) for book in there] == [("open", 10750)], number
        assert Operation.objects.get(customer=customer).status == "done"
        if ended:
            break
    assert number > 40
    assert len(stripe.server.books().invoices) == number
