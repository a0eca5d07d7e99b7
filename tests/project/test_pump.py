"""`manage.py pump`: everything gets done without a broker."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from outcomes.models import Outcome, Pending
from tests.outcomes import factories
from tests.outcomes.test_lifecycle import TICKET
from tests.webhooks.conftest import Receiver, make_receiver, receiver, subscribe

__all__ = ["make_receiver", "receiver"]


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
