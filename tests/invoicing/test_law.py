"""The law: whatever was billed when, and whatever was undone, came late or changed its price afterwards, in any order:
documents say of each period exactly what it comes to now.

Each seed plays many customers at once, so that a billing run has company. `LAW_SEEDS=100 LAW_STORIES=50` plays 5,000
stories instead of a few; one that fails is played again by `-k "[SEED]"`.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.db import transaction

from contracts import terms
from invoicing import billing
from invoicing.preview import before_and_after, preview
from outcomes.models import Outcome
from tests.database import analyse
from tests.invoicing.conftest import World
from tests.invoicing.deals import at, sound
from tests.invoicing.law import END, MONTHS, START, Story, billed, check_documents, check_outcomes, owed

SEEDS = int(os.environ.get("LAW_SEEDS", "2"))
STORIES = int(os.environ.get("LAW_STORIES", "8"))
DAY = timedelta(days=1)


def befall(stories: Sequence[Story], month: str, now: Any) -> None:
    """Something happens to each of them."""
    made: list[Outcome] = []
    for story in stories:
        chance = story.chance
        made += story.settle(month)
        if chance.random() < 0.5:
            story.reverse()
        if chance.random() < 0.3:
            story.amend(now)
        if chance.random() < 0.1:
            story.tax()
        if chance.random() < 0.2:
            story.void(now)
        if chance.random() < 0.3:
            story.approve(now)
    Outcome.objects.bulk_create(made)


def check(stories: Sequence[Story]) -> None:
    """With everything billed, billed = owed in every period."""
    agreed = terms.load([story.deal.customer.pk for story in stories])
    outcomes = defaultdict(list)
    for one in Outcome.objects.filter(customer__in=[story.deal.customer.pk for story in stories]):
        outcomes[one.customer_id].append(one)
    said = billed(stories)
    for story in stories:
        mine = outcomes[story.deal.customer.pk]
        should = owed(agreed, story, [one for one in mine if one.state == "confirmed"])
        is_billed = said[story.deal.contract.pk]
        have = {start: is_billed.pop(start, 0) for start in should}
        history = "\n".join(["", f"{story.deal.customer.key}: ", *story.said])
        assert have == should, f"owed {should}{history}"
        assert not any(is_billed.values()), f"{is_billed} of no period{history}"
        check_outcomes(story, agreed, mine)


def look(stories: Sequence[Story], now: datetime) -> None:
    """Where one period rests on another, the running one can be previewed whatever waits, and other terms for all. One
    customer at a time: it takes as long as billing two.
    """
    committed = [story for story in stories if story.committed]
    if committed and now < END:
        story = committed[now.toordinal() % len(committed)]
        customer = story.deal.customer
        preview(customer.key, now=now)
        agreed = terms.load([customer.pk])
        with transaction.atomic():
            story.deal.version(START, story.prices, **story.terms)
            before_and_after(customer.pk, agreed, terms.load([customer.pk]), now)
            transaction.set_rollback(True)
        story.deal.number -= 1


@pytest.mark.parametrize("seed", range(SEEDS))
def test_billed_is_owed_whatever_befalls(world: World, seed: int, settings: Any) -> None:
    chance = Random(seed)
    stories = [Story.begin(world, seed * STORIES + number) for number in range(STORIES)]
    for month in MONTHS:
        analyse()
        middle, end = at(f"2026-{month}-28"), at(f"2026-{int(month) + 1:02}-01")
        for now in (middle, end):
            befall(stories, month, now)
            settings.INVOICE_GRACE_HOURS = chance.choice([0, 0, 24 * 9])
            if now == middle:
                look(stories, now)
            assert billing.run(now=now).parked == ()
            check_documents(stories)
    settings.INVOICE_GRACE_HOURS = 0
    for days in (10, 20):
        befall(stories, MONTHS[-1], END + days * DAY)
        assert billing.run(now=END + days * DAY).parked == ()
    check(stories)
    assert billing.run(now=END + 25 * DAY).issued == ()
    check(stories)
    sound(END + 30 * DAY)
