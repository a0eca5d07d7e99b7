"""`manage.py pump`: everything gets done without a broker."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from contracts.models import Customer
from invoicing import one_off
from invoicing.one_off import ItemFields, OneOffFields
from outcomes.models import Outcome, Pending
from payments import connections
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import TICKET
from tests.stripe_server import StripeServer
from tests.stripe_server.conftest import stripe as server
from tests.webhooks.conftest import Receiver, make_receiver, receiver, subscribe

__all__ = ["make_receiver", "receiver", "server"]


@pytest.mark.django_db
def test_once_does_all_there_is_to_do() -> None:
    now = timezone.now()
    factories.customer()
    factories.condition(TICKET)
    factories.say("closed", now - timedelta(days=3), now=now)
    out = StringIO()
    call_command("pump", "--once", stdout=out)
    assert not Pending.objects.exists()
    assert [outcome.state for outcome in Outcome.objects.all()] == ["confirmed"]
    assert "1 events, 1 outcomes settled, 0 invoices issued" in out.getvalue()
    again = StringIO()
    call_command("pump", "--once", stdout=again)
    assert again.getvalue() == ""


def test_a_pause_that_is_none_is_refused() -> None:
    with pytest.raises(CommandError, match="--every must be"):
        call_command("pump", "--every", "0")


@pytest.mark.django_db
def test_it_sends_webhooks_as_well(receiver: Receiver) -> None:
    now = timezone.now()
    subscribe(receiver, "outcome.confirmed", "event.rejected", now=now)
    factories.customer()
    factories.condition(TICKET)
    factories.say("closed", now - timedelta(days=3), now=now)
    factories.say("closed", now - timedelta(days=90), now=now)
    out = StringIO()
    call_command("pump", "--once", stdout=out)
    assert "2 webhooks sent" in out.getvalue()
    assert sorted(json.loads(request.body)["type"] for request in receiver.accepted) == [
        "event.rejected",
        "outcome.confirmed",
    ]


def test_it_syncs_with_stripe_as_well(server: StripeServer, settings: Any, committed: None) -> None:
    settings.STRIPE_URL, settings.STRIPE_KEY, settings.STRIPE_TEST_KEY = server.url, server.key, ""
    connections.forget()
    call_command("stripe", "connect", stdout=StringIO())
    acme = factories.customer()
    Customer.objects.update(email="ap@acme.example")
    line = ItemFields("Setup", amount=Decimal("10.00"))
    one_off.write(OneOffFields(customer=acme.key, lines=(line,), issue=True), now=timezone.now())
    out = StringIO()
    call_command("pump", "--once", stdout=out)
    assert "1 steps with Stripe" in out.getvalue()
    assert [one.total for one in server.books().invoices.values()] == [1000]
    again = StringIO()
    call_command("pump", "--once", stdout=again)
    assert again.getvalue() == ""
