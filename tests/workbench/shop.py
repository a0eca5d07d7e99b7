"""A small seller of solved tickets, whose last thirty days can be worked out by hand; and staff by their roles."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client

from contracts.agreements import ContractFields, create_contract
from contracts.conditions import create_condition_version
from contracts.models import Condition
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from outcomes.evaluation import evaluate_waiting
from settlement.sweep import settle_due
from tests.outcomes import factories

TEXT = """# Tickets that our agent solved, and that stayed solved.
outcome solved "Ticket solved"
per ticket

bill when ticket.closed where closed_by is "agent"
void when ticket.reopened
settle after 72 hours
dimension priority = latest priority of ticket.closed
"""
TRIED = TEXT.replace("72 hours", "24 hours")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def open_shop(now: datetime) -> Condition:
    """acme and globex pay 10 for a solved ticket. A held; B came back after 30 hours; C was solved two days ago; D was
    closed by a person; one event has no ticket. By 72 hours 1 outcome is billed, by 24 hours 3.
    """
    began = now - 100 * DAY
    for key in ("acme", "globex"):
        factories.customer(key)
    condition: Condition = create_condition_version(TEXT, effective_from=None, now=began).value.condition
    put_rate_card("standard", RateCardFields("USD", (PriceFields("solved", Decimal(10)),)), now=began)
    for key in ("acme", "globex"):
        terms = ContractFields(customer=key, starts_at=began, rate_card="standard", currency="USD", time_zone="UTC")
        create_contract(terms, now=began)
    say(now, "ticket.closed", now - 20 * DAY, ticket="A", closed_by="agent", priority="high")
    say(now, "ticket.closed", now - 10 * DAY, ticket="B", closed_by="agent", customer="globex")
    say(now, "ticket.reopened", now - 10 * DAY + 30 * HOUR, ticket="B", customer="globex")
    say(now, "ticket.closed", now - 2 * DAY, ticket="C", closed_by="agent")
    say(now, "ticket.closed", now - DAY, ticket="D", closed_by="a person")
    say(now, "ticket.closed", now - HOUR, closed_by="agent")
    evaluate_waiting(now)
    settle_due(now)
    return condition


def say(now: datetime, kind: str, when: datetime, *, customer: str = "acme", **data: Any) -> None:
    name = f"{kind}-{data.get('ticket', 'none')}"
    event = {"id": name, "type": kind, "customer": customer, "time": when, "data": data}
    [result] = factories.send([event], now=now)
    assert result.status == "accepted", result


def user_of(role: str) -> User:
    user = User.objects.create_user(role, is_staff=True)
    if role != "staff":
        user.groups.add(Group.objects.get(name=role))
    return user


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(user_of(role))
    return client
