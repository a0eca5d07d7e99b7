"""The small seller of tests/invoicing, whose condition and rate card are made by the use cases: its texts compile."""

from decimal import Decimal

from contracts.conditions import create_condition_version
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from tests.invoicing.conftest import BEFORE, World

TICKET = """
outcome resolved_ticket "Support ticket resolved"
per ticket_id
bill when ticket.closed
settle after 72 hours
dimension priority = latest priority of ticket.closed
"""


def real_world() -> World:
    """2.00 a ticket of high priority, 0.75 one of low."""
    version = create_condition_version(TICKET, effective_from=None, now=BEFORE).value
    prices = tuple(
        PriceFields("resolved_ticket", Decimal(price), match={"priority": priority})
        for priority, price in (("high", "2.00"), ("low", "0.75"))
    )
    card = put_rate_card("standard", RateCardFields("USD", prices), now=BEFORE).value
    return World(version.condition, version, card.rate_card, card)
