"""The packs of random histories: late outcomes, reversals, backdated prices, taxes, voids and credit notes."""

import os
from datetime import timedelta
from typing import Any

import pytest

from invoicing import billing
from outcomes.models import Outcome, Subject
from tests.invoicing import law
from tests.invoicing import test_law as played
from tests.invoicing.conftest import World
from tests.invoicing.deals import at
from tests.invoicing.evidence.packs import all_accepted, back

STORIES = 5
SEEDS = int(os.environ.get("EVIDENCE_SEEDS", "1"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_befalls_is_accepted(world: World, seed: int, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 0
    stories = [law.Story.begin(world, seed * STORIES + number) for number in range(STORIES)]
    for month in law.MONTHS:
        played.analyse()
        for now in (at(f"2026-{month}-28"), at(f"2026-{int(month) + 1:02}-01")):
            played.befall(stories, month, now)
            billing.run(now=now)
    for days in (1, 2):
        for story in stories:
            story.approve(law.END + timedelta(days=days))
        billing.run(now=law.END + timedelta(days=days))
    # Its outcomes are of subjects that it does not make.
    Subject.objects.bulk_create(
        Subject(
            id=one.subject_id, customer_id=one.customer_id, condition_id=one.condition_id, key=f"S{-one.subject_id}"
        )
        for one in Outcome.objects.filter(subject_id__lt=0)
    )
    back()
    assert len(all_accepted()) > STORIES
