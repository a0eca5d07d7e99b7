"""The law of test clocks: one advance comes to what many small ones come to, and to what the wall clock brings.

`CLOCK_SEEDS=50` plays so many stories instead of two; one that fails is played again by `-k "[SEED]"`.
"""

import os
import random
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from access.invariants import Scope, check
from billing_project.management.commands.audit import collect
from invoicing import billing
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Outcome
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.test_law_seeds import condition
from tests.settlement.clocks import (
    DAY,
    HOUR,
    WALL,
    agree,
    agree_threshold,
    all_slugs,
    clock_at,
    credit_notes_of,
    customer,
    forward,
    invoices_of,
    outcomes_of,
    rate_card,
)

pytestmark = pytest.mark.django_db
SEEDS = int(os.environ.get("CLOCK_SEEDS", "2"))
TYPES = ["closed", "closed", "closed", "paid", "reopened", "escalated", "rated"]
END = START + 25 * DAY


def stories(chance: random.Random) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """(when it is sent, the event without its customer) ..., in the order of sending; one in five is late."""
    for n in range(chance.choice([12, 24])):
        at = START + chance.randrange(0, 14 * 24) * HOUR
        due = at + timedelta(hours=chance.choice([-5, 0, 3, 40]))
        sent = at + HOUR * (chance.choice([5, 50, 300]) if chance.random() < 0.2 else 0)
        data = {"ticket": chance.choice("AABCDEFGHIJK"), "units": chance.choice([1, 2]), "due": due.isoformat()}
        yield sent, {"id": f"e{n}", "type": chance.choice(TYPES), "time": at, "data": data}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_one_advance_many_small_ones_and_the_wall_clock_come_to_the_same(seed: int, settings: Any) -> None:
    chance = random.Random(seed)
    settings.INVOICE_GRACE_HOURS = chance.choice([0, 0, 30])
    for slug in ("one", "two"):
        # Conditions that few of the stories meet are drawn again.
        text = condition(chance, slug)
        while not re.search("bill when closed( or paid)?$", text, re.M):
            text = condition(chance, slug)
        factories.condition(text)
    rate_card(*all_slugs())
    once, often = clock_at(), clock_at()
    terms = {
        "billing_period": "weekly",
        "settlement_grace_seconds": chance.choice([0, 0, 3600, 40 * 3600]),
        "ends_at": chance.choice([None, START + 11 * DAY]),
    }
    threshold = chance.choice([None, Decimal(6)])
    for key, clock in (("live", None), ("once", once), ("often", often)):
        customer(key, clock)
        agree(key, **terms)
        if threshold is not None:
            agree_threshold(key, threshold)
    told = sorted(stories(chance), key=lambda one: one[0])

    def say(key: str, now: datetime, wall: datetime) -> None:
        batch = [event | {"customer": key} for sent, event in told if sent == now]
        assert {result.status for result in send(batch, now=wall)} <= {"accepted"}

    # By the wall clock, the hours go by, and workers and scheduler do what they do.
    sendings = sorted({sent for sent, _ in told})
    now = START
    while now <= END:
        # Hours in which nothing can happen are passed over: all that is drawn above lies on whole hours.
        if now in sendings or now.hour in (0, 6) or Outcome.objects.filter(due_at__lte=now).exists():
            say("live", now, now)
            evaluate_waiting(now)
            settle_due(now)
            billing.run(now=now)
        now += HOUR
    # One clock is advanced from event to event, and then to the end in one step.
    for at in sendings:
        forward(once, at)
        say("once", at, WALL)
    forward(once, END)
    # The other goes by small steps.
    at = START
    while at < END:
        say("often", at, WALL)
        at = min([at + chance.choice([HOUR, 9 * HOUR, 2 * DAY]), END, *(sent for sent in sendings if sent > at)])
        forward(often, at)

    assert outcomes_of("once") == outcomes_of("often") == outcomes_of("live")
    assert invoices_of("once") == invoices_of("often") == invoices_of("live")
    assert credit_notes_of("once") == credit_notes_of("often") == credit_notes_of("live")
    assert invoices_of("live")
    for result in check(collect(), Scope(now=END, sample=None)):
        found = (result.error, result.findings.violation_rows, result.findings.warning_rows)
        assert found == ("", [], []), f"{result.invariant.name}: {found}"
