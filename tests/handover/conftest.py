"""A small seller whose outcomes other systems invoice: Lago is the server beside this, Stripe that of
tests/stripe_server.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from access.invariants import Scope, check
from handover.audit import INVARIANTS
from handover.models import Handover
from handover.work import Report, hand_over_due
from outcomes.models import Journal, Outcome
from tests.access.conftest import api, committed_api, make_key
from tests.handover.lago_server import LagoServer
from tests.invoicing.conftest import World, committed_world, make_world, world
from tests.payments.conftest import Stripe, server, stripe

__all__ = [
    "Stripe", "World", "api", "committed_api", "committed_world", "make_key", "make_world", "server", "stripe", "world",
]  # fmt: skip

MARCH = datetime(2026, 3, 20, tzinfo=UTC)
NOW = datetime(2026, 3, 21, tzinfo=UTC)


@pytest.fixture
def lago(settings: Any) -> Iterator[LagoServer]:
    made = LagoServer()
    settings.LAGO_URL, settings.LAGO_KEY, settings.WEBHOOK_ALLOW_LOOPBACK = made.url, made.key, True
    yield made
    made.close()


def journal(outcome: Outcome, before: str, after: str, at: datetime) -> Journal:
    return Journal.objects.create(
        outcome=outcome, from_state=before, to_state=after, cause="clock", effective_at=at, recorded_at=at
    )


def confirmed(world: World, customer: Any, settled: datetime = MARCH, **fields: Any) -> Outcome:
    """An outcome that settles as the sweep has it: with its journal."""
    found = world.outcome(customer, settled, **fields)
    journal(found, "provisional", "confirmed", settled)
    return found


def reverse(outcome: Outcome, at: datetime) -> None:
    outcome.state, outcome.ended_at = "reversed", at
    outcome.save(update_fields=["state", "ended_at"])
    journal(outcome, "confirmed", "reversed", at)


def rows(**where: Any) -> list[tuple[str, str, str]]:
    """(kind, status, code) of the hand-overs, in the order in which they were noted."""
    return list(Handover.objects.filter(**where).order_by("id").values_list("kind", "status", "code"))


def until_done(now: datetime, rounds: int = 30, step: timedelta = timedelta(minutes=20)) -> datetime:
    """Hand over until nothing waits, with time passing where something has to; the time it is then."""
    for _ in range(rounds):
        hand_over_due(now)
        if not Handover.objects.filter(status="waiting").exists():
            return now
        now += step
    raise AssertionError(list(Handover.objects.filter(status="waiting").values_list("kind", "code", "reason")))


def holds(now: datetime) -> None:
    """The audit finds nothing wrong."""
    for result in check(INVARIANTS, Scope(now=now, sample=None)):
        assert (result.error, result.findings.violation_rows) == ("", [])


def counted(report: Report) -> tuple[int, int, int]:
    return report.done, report.waiting, report.parked


QUANTITY = Decimal("1.5")
