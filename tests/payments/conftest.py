"""A small seller whose Stripe is the server of tests/stripe_server, spoken to over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache

from contracts.models import Customer
from invoicing import one_off
from invoicing.models import Invoice
from invoicing.one_off import ItemFields, OneOffFields
from payments import connections, operations
from payments.client import client_of
from payments.models import Operation
from tests.invoicing.conftest import World, api, committed_world, make_world, world
from tests.stripe_server import StripeServer
from tests.stripe_server.conftest import stripe as server

__all__ = ["World", "api", "committed_world", "make_world", "server", "world"]


class Stripe:
    """The server, and our side of it: what is due is worked when a test says so."""

    def __init__(self, server: StripeServer, settings: Any) -> None:
        self.server = server
        self.settings = settings
        # Times in the tests' past would be in the future of a due date.
        self.now = datetime.fromtimestamp(server.clock.now(), UTC)

    @property
    def v1(self) -> Any:
        """The official client, for looking."""
        return client_of(self.server.key).v1

    def pass_time(self, **time: float) -> None:
        """The clocks of both sides go on."""
        self.now += timedelta(**time)
        self.server.clock.advance(seconds=timedelta(**time).total_seconds())

    def sync(self) -> int:
        """Work what is due now; the number of operations finished."""
        return operations.sync_due(self.now)

    def until_done(self, rounds: int = 60) -> None:
        """Work until nothing waits, with time passing where something has to."""
        for _ in range(rounds):
            self.sync()
            waiting = Operation.objects.filter(status=Operation.Status.WAITING)
            if not waiting.exists():
                return
            self.pass_time(minutes=20)
        raise AssertionError(list(waiting.values_list("kind", "attempts", "code", "reason")))

    def invoice(self, ours: Invoice) -> Any:
        """The invoice there."""
        return self.v1.invoices.retrieve(Invoice.objects.get(pk=ours.pk).stripe.stripe_id)

    def issue(self, customer: Customer, *amounts: str, **fields: Any) -> Invoice:
        """A one-off invoice of these amounts, issued now."""
        lines = tuple(ItemFields(f"Item {n}", amount=Decimal(amount)) for n, amount in enumerate(amounts, 1))
        return one_off.write(OneOffFields(customer=customer.key, lines=lines, issue=True, **fields), now=self.now)


@pytest.fixture
def stripe(server: StripeServer, settings: Any, committed_world: World) -> Iterator[Stripe]:
    """Connected: what is issued from now on is noted, and worked by `sync`."""
    settings.STRIPE_URL, settings.STRIPE_KEY, settings.STRIPE_RATE = server.url, server.key, 100_000
    settings.STRIPE_TEST_KEY, settings.STRIPE_WEBHOOK_SECRETS = "", []
    connections.forget()
    made = Stripe(server, settings)
    connections.connect_new(made.now)
    yield made
    connections.forget()
    cache.clear()


@pytest.fixture
def acme(stripe: Stripe, committed_world: World) -> Customer:
    """A customer with an e-mail address."""
    return committed_world.customer(email="ap@acme.example")
