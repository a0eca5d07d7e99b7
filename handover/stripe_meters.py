"""Stripe Billing: meter events (docs/handover.md). Stripe takes an identifier once within 24 hours at least."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import stripe

from access import ids
from access.times import format_rfc3339
from conditions_dsl.words import plain
from handover.results import Done, Later, Refused, Result
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from payments.client import client_of
from payments.errors import Later as NotNow
from payments.errors import Stale, code_of, meaning

IDENTIFIER_LIFE: Final = timedelta(hours=23)
"""For so long what is sent again under its identifier is not counted twice, for certain."""

MOST_BACK: Final = timedelta(days=35) - timedelta(minutes=10)
MOST_AHEAD: Final = timedelta(minutes=4)
MAX_NAME: Final = 100
REVERSED: Final = "-reversed"
_ALREADY: Final = "already exists with identifier"

Event = Mapping[str, Any]


# --- What is said -----------------------------------------------------------------------------------------------------


def event_of(outcome: Outcome, stripe_customer: str) -> dict[str, Any]:
    """The meter event of an outcome. It belongs to the period in which it settled, as on an invoice of ours."""
    assert outcome.settled_at is not None and outcome.quantity is not None
    return {
        "event_name": outcome.condition.slug,
        "identifier": ids.encode(OUTCOME_PREFIX, outcome.pk),
        "timestamp": int(outcome.settled_at.timestamp()),
        "payload": {"stripe_customer_id": stripe_customer, "value": plain(outcome.quantity)},
    }


def reversal_of(sent: Event, now: datetime) -> dict[str, Any]:
    """The event that takes another back: the same below zero, dated now, because the period that it was in may be
    invoiced. (Stripe can cancel an event within 24 hours; usage on a finalised invoice is not corrected by that.)
    """
    payload = sent["payload"]
    return {
        **sent,
        "identifier": f"{sent['identifier']}{REVERSED}",
        "timestamp": int(now.timestamp()),
        "payload": {**payload, "value": plain(0 - Decimal(payload["value"]))},
    }


def problem_of(outcome: Outcome, now: datetime) -> Refused | None:
    """Why Stripe would never take an outcome."""
    assert outcome.settled_at is not None
    if len(outcome.condition.slug) > MAX_NAME:
        return Refused(
            "name_too_long",
            f"Stripe's meter events have names of {MAX_NAME} characters at most: what {outcome.condition.slug} comes to"
            " has to be billed there by hand; then dismiss this.",
        )
    if outcome.settled_at < now - MOST_BACK:
        return Refused(
            "too_old",
            f"It settled at {format_rfc3339(outcome.settled_at)}, and Stripe takes no meter event of more than 35 days"
            " ago: bill it there by hand, as an invoice item; then dismiss this.",
        )
    return None


# --- Told -------------------------------------------------------------------------------------------------------------


def send(event: Event, key: str) -> Result:
    """Tell Stripe; whatever happens is a result. Touches no database."""
    try:
        client_of(key).v1.billing.meter_events.create(
            {
                "event_name": event["event_name"],
                "identifier": event["identifier"],
                "timestamp": event["timestamp"],
                "payload": event["payload"],
            }
        )
    except stripe.StripeError as error:
        return _judge(error)
    return Done()


def _judge(error: stripe.StripeError) -> Result:
    if code_of(error) == "duplicate_meter_event" or (error.http_status == 400 and _ALREADY in str(error)):
        return Done("Stripe had it already.")
    found = meaning(error)
    if not isinstance(found, NotNow):
        return Refused(found.code, f"{found} Mend it there, and have it tried again.")
    status = error.http_status or 0
    known = 400 <= status < 500 and not isinstance(found, Stale)
    # Neither one that meets another of the same customer is a sign that Stripe is away, nor a key that does not hold:
    # test customers have their own.
    return Later(found.code, str(found), uncertain=not known, stops=status not in (401, 403, 409), after=found.after)
