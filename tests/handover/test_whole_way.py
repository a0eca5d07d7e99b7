"""From events over evaluation and settlement to Lago, and back again by what comes later and by a person's decision."""

from datetime import timedelta
from decimal import Decimal

import pytest

from access import ids
from contracts.agreements import ContractFields, create_contract
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from handover.work import hand_over_due
from invoicing import billing, queries
from invoicing.models import Invoice
from outcomes.decisions import take_back
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from settlement.sweep import settle_due
from tests.handover.conftest import holds, rows
from tests.handover.lago_server import LagoServer
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_lifecycle import TICKET

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def tell(kind: str, hours: float, ticket: str) -> None:
    time = START + hours * HOUR
    event = {"id": f"{kind} {ticket}", "type": kind, "customer": "acme", "time": time}
    send([event | {"data": {"ticket": ticket, "units": 2.5, "priority": "high"}}], now=time)
    evaluate_waiting(time)


def settle_and_hand_over(hours: float) -> None:
    now = START + hours * HOUR
    settle_due(now)
    hand_over_due(now)


def test_from_events_to_lago_and_back(lago: LagoServer) -> None:
    factories.condition(TICKET)
    acme = factories.customer()
    put_rate_card("standard", RateCardFields("USD", (PriceFields("solved", Decimal(2)),)), now=START)
    create_contract(
        ContractFields(customer="acme", rate_card="standard", starts_at=START, pass_on="lago_events"), now=START
    )
    for ticket in ("stays", "reopened", "taken", "void"):
        tell("closed", 1, ticket)
    tell("reopened", 3, "void")
    settle_and_hand_over(4)
    assert lago.events == {}  # inside their windows
    settle_and_hand_over(7)
    named = {one.subject.key: ids.encode(OUTCOME_PREFIX, one.pk) for one in Outcome.objects.select_related("subject")}
    assert lago.ids() == sorted(named[ticket] for ticket in ("stays", "reopened", "taken"))
    assert {event["timestamp"] for event in lago.events.values()} == {int((START + 6 * HOUR).timestamp())}
    assert next(iter(lago.events.values()))["properties"] == {"priority": "high", "quantity": "2.5"}
    taken = Outcome.objects.get(subject__key="taken")

    tell("reopened", 8, "reopened")
    take_back(taken.pk, now=START + 9 * HOUR, actor="me", reason="Not so")
    settle_and_hand_over(10)
    settle_and_hand_over(11)
    back = sorted(one for one in lago.ids() if one.endswith("-reversed"))
    assert back == sorted(f"{named[ticket]}-reversed" for ticket in ("reopened", "taken"))
    assert {status for _, status, _ in rows()} == {"done"} and len(rows()) == 5
    assert sum(lago.books().values()) == Decimal("2.5")
    assert billing.run(now=START + 40 * DAY).issued == () and not Invoice.objects.exists()
    assert [(one.reason, one.outcomes) for one in queries.held_back([acme.pk])] == [("passed_on", 1)]
    holds(START + 40 * DAY)
