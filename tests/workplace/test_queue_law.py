"""What the queue says a period comes to, before and after a decision, is what it comes to by another route: random
contracts with tiers, minimums, caps, commitments, fees and taxes, drafts and notes that wait, voids, backdated terms.

`LAW_SEEDS=100 LAW_STORIES=10` plays more.
"""

import os
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from contracts import terms
from invoicing import billing
from outcomes.models import Outcome
from tests.invoicing.conftest import World
from tests.invoicing.deals import at
from tests.invoicing.law import END, MONTHS, Story, owed
from tests.invoicing.test_law import befall
from workplace.queue_money import Effect, of_bills, periods_of, shown

SEEDS = int(os.environ.get("LAW_SEEDS", "1"))
STORIES = int(os.environ.get("LAW_STORIES", "3"))
DAY = timedelta(days=1)


def should(story: Story, now: datetime) -> dict[datetime, int]:
    """By the start of each period that has begun, what it comes to by the other route."""
    confirmed = list(Outcome.objects.filter(customer=story.deal.customer, state="confirmed"))
    found = owed(terms.load([story.deal.customer.pk]), story, confirmed)
    return {start: minor for start, minor in found.items() if start <= now}


def compare(story: Story, now: datetime) -> None:
    """What stands, and what would without one outcome."""
    customer, said = story.deal.customer, "\n".join(story.said)
    expected = should(story, now)
    found = {key.start: amounts.all for key, amounts in periods_of(customer, now).items()}
    assert {start: found.get(start, 0) for start in expected} == expected, said
    standing = Outcome.objects.filter(customer=customer, state="confirmed").order_by("settled_at", "pk")
    if not standing:
        return
    one = story.chance.choice(list(standing))
    without: dict[datetime, int] = {}

    def decide() -> None:
        Outcome.objects.filter(pk=one.pk).update(state="reversed", ended_at=now)

    def work() -> Effect:
        effect = of_bills([customer.pk], decide, now=now)
        without.update(should(story, now))
        return effect

    effect = shown(work)
    periods = {key.name: key.start for key in periods_of(customer, now)}
    moved = {periods[line.whose.removeprefix(f"{customer}, ")]: line.difference
             for line in effect.lines if line.total and line.what}  # fmt: skip
    differences = {start: without[start] - minor for start, minor in expected.items() if without[start] != minor}
    moved = {start: minor for start, minor in moved.items() if start in expected and minor}
    assert moved == differences, said
    one.refresh_from_db()
    assert one.state == "confirmed"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_shown_is_what_is_owed(world: World, seed: int, settings: Any) -> None:
    chance = Random(seed)
    stories = [Story.begin(world, 1000 + seed * STORIES + number) for number in range(STORIES)]
    for month in MONTHS:
        for now in (at(f"2026-{month}-28"), at(f"2026-{int(month) + 1:02}-01")):
            befall(stories, month, now)
            settings.INVOICE_GRACE_HOURS = chance.choice([0, 0, 24 * 9])
            before = chance.random() < 0.5
            if before:
                compare(chance.choice(stories), now)
            assert billing.run(now=now).parked == ()
            if not before:
                compare(chance.choice(stories), now)
    befall(stories, MONTHS[-1], END + 10 * DAY)
    for story in stories:
        compare(story, END + 10 * DAY)
