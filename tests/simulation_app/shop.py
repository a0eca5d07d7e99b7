"""A small seller whose figures can be worked out by hand: tickets that are closed and come back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.agreements import ContractFields, create_contract
from contracts.models import Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from outcomes.evaluation import evaluate_waiting
from settlement.sweep import settle_due
from tests.outcomes import factories

TEXT = """outcome solved "Ticket solved"
per ticket
bill when closed
void when reopened
credit within 30 days when reopened
settle after 24 hours
dimension priority = latest priority of closed
"""
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 4, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SPAN = {"from": "2026-01-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}


def open_shop(*keys: str) -> list[Customer]:
    """Customers by those keys with a contract each; a solved ticket costs 10, an urgent one 25."""
    factories.condition(TEXT)
    prices = (
        PriceFields("solved", Decimal(10)),
        PriceFields("solved", Decimal(25), match={"priority": "urgent"}),
    )
    put_rate_card("standard", RateCardFields("USD", prices), now=JANUARY)
    return [agree(key) for key in keys]


def agree(key: str, **terms: Any) -> Customer:
    """One more customer of the shop, and what its contract says besides."""
    customer = factories.customer(key)
    fields = {"rate_card": "standard", "currency": "USD", "billing_period": "monthly", "time_zone": "UTC", **terms}
    create_contract(ContractFields(customer=key, starts_at=JANUARY, **fields), now=JANUARY)
    return customer


def say(kind: str, ticket: str, when: datetime, customer: str = "acme", **data: Any) -> None:
    event = {"id": f"{kind}-{ticket}-{when:%m%d%H%M}", "type": kind, "customer": customer, "time": when}
    [result] = factories.send([event | {"data": {"ticket": ticket, **data}}], now=NOW)
    assert result.status == "accepted", result


def settle() -> None:
    """Everything that has happened is evaluated and booked."""
    evaluate_waiting(NOW)
    settle_due(NOW)
