"""The packs of whole contracts, with every price model and every term, are accepted: each amount is found anew."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.invoicing import test_deals, test_histories
from tests.invoicing.conftest import World
from tests.invoicing.evidence.packs import all_accepted, back

# EVIDENCE_SEEDS=10 for all histories that are played without packs.
SEEDS = int(os.environ.get("EVIDENCE_SEEDS", "3"))
DEALS = [each for name, each in sorted(vars(test_deals).items()) if name.startswith("test_")]


@pytest.mark.parametrize("deal", DEALS, ids=lambda each: each.__name__.removeprefix("test_"))
def test_each_amount_is_found_anew(world: World, deal: Callable[[World], Any]) -> None:
    deal(world)
    back()
    for counted in all_accepted():
        assert "not recounted" not in " ".join(counted.recorded)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_late_outcomes_voids_and_corrections(world: World, seed: int, settings: Any) -> None:
    test_histories.test_periods_come_to_the_same_whatever_happened(world, seed, settings)
    back()
    all_accepted()
