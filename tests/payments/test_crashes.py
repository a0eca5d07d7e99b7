"""A process that is killed anywhere while it works an invoice: gone on with, it is one invoice."""

from itertools import count

import pytest

from invoicing.refusals import public_id
from payments.models import Operation
from tests.invoicing.conftest import World
from tests.payments.conftest import Stripe
from tests.payments.killing import killed


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere(stripe: Stripe, committed_world: World, after: bool) -> None:
    for number in count(1):
        customer = committed_world.customer(f"c{number}", email=f"ap@c{number}.example")
        invoice = stripe.issue(customer, "100.00", "7.50")
        died = killed(stripe, customer.id, number, after=after)
        there = stripe.server.books().by_metadata("holdfast_invoice")[public_id(invoice)]
        assert [(book.status, book.total) for book in there] == [("open", 10750)], number
        assert Operation.objects.get(customer=customer).status == "done"
        if not died:
            break
    assert number > 16
    assert len(stripe.server.books().invoices) == number
