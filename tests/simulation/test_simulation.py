"""The simulator in `make test`: 120 seeds, what they must have met, and bugs that they must find.

SIM_SEEDS=2000 for more of them. A seed that fails is played again by `python -m tests.simulation --seed N --minimise`.
"""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outcomes.domain import lifecycle
from tests.simulation import kept, language, model, mutants
from tests.simulation.run import Played, artefact, play, play_seed, smallest, source
from tests.simulation.world import World, draw

SEEDS = int(os.environ.get("SIM_SEEDS", "120"))
# Few seeds to a test, so that they are shared out among processes.
CHUNK = 10
CHUNKS = [range(first, min(first + CHUNK, SEEDS)) for first in range(0, SEEDS, CHUNK)]
# Each must have happened at least once in 120 seeds: proof that the wind blows. (`--rare` lists how often; where a
# change of the engine moves it behind them, play some more.)
RARE = (
    # what arrives
    "answered duplicate", "answered id_conflict", "answered unknown_customer", "answered in_future", "answered too_old",
    "accepted from the inbox: unknown_customer", "accepted from the inbox: in_future", "a retry in vain",
    "an event ahead of our clock", "an event of any age within an import", "stored, and the answer lost",
    # who dies
    "crash of send before a statement", "crash of send after a statement", "crash of evaluate before a statement",
    "crash of evaluate after a statement", "crash of evaluate before commit", "crash of evaluate after commit",
    "crash of settle before a statement", "crash of settle after a statement",
    # the clock
    "open attempt: an event at the very instant it is due",
    "provisional attempt: an event at the very instant it is due",
    "confirmed days after it was due", "confirmed and then reversed computed before either was booked",
    "an event that waits holds what is provisional and due", "settled early", "the absolute end of a silence",
    "a time to settle at that is past already", "void, because no time to settle at ever came",
    # attempts
    "lapse", "credit reverses a confirmed outcome", "a subject billed again", "confirmed with something unknown",
    "a new attempt after one that is missed", "a new attempt after one that is void",
    "a new attempt after one that is reversed", "a new attempt after one that is confirmed",
    # late evidence
    "a subject replayed", "confirmed to reversed by late", "confirmed to confirmed by late (restated)",
    "provisional to void by late", "provisional to open by late", "open to provisional by late",
    "missed to superseded by late", "late evidence left out",
    # versions and people
    "a version came into force inside an attempt", "a version that starts before one made earlier",
    "a new attempt by another version", "a new condition hears of the past", "confirmed, and taken back",
    "provisional, and taken back", "what was unknown, and a person completed",
    "a decision whose attempt late events changed",
)  # fmt: skip


@pytest.fixture(autouse=True)
def emptied(committed: None, nothing_remembered: None) -> Iterator[None]:
    yield
    random.seed()


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    found = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulation"
    found.mkdir(exist_ok=True)
    return found


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_whatever_happens_it_comes_to_what_the_model_says(seeds: range, shared: Path) -> None:
    """The last chunk to end also judges whether what is rare was met, so it holds in any order and in any process."""
    met: Counter[str] = Counter()
    failures = []
    for seed in seeds:
        played = play_seed(seed)
        met += played.sometimes
        if played.failure:
            failures.append(artefact(played, minimise=False))
    assert not failures, "\n\n".join(failures)
    (shared / f"{seeds[0]}.json").write_text(json.dumps(met))
    told = [shared / f"{chunk[0]}.json" for chunk in CHUNKS]
    if SEEDS >= 120 and all(path.exists() for path in told):
        met = sum((Counter(json.loads(path.read_text())) for path in told), Counter())
        assert [name for name in RARE if not met[name]] == [], f"never met by {SEEDS} seeds"


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_bug_put_in_is_found(mutant: mutants.Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """The canaries. Where one is no longer found, the simulator is broken, or its seeds changed:
    `python -m tests.simulation --mutant NAME` finds another.
    """
    mutant(monkeypatch)
    assert play_seed(mutants.MUTANTS[mutant]).failure


@pytest.mark.parametrize("world", kept.WORLDS)
def test_what_failed_once_holds(world: str) -> None:
    played = play(kept.WORLDS[world])
    assert not played.failure, artefact(played, minimise=False)


def test_a_failure_is_made_small_and_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    mutants.window_is_closed_at_its_end(monkeypatch)
    world = draw(mutants.MUTANTS[mutants.window_is_closed_at_its_end])

    def fails(candidate: World) -> bool:
        return play(candidate).failure.startswith("Violation: booked differs")

    small = smallest(world, fails, tries=15)
    assert len(small.steps) < len(world.steps) / 2
    pasted: Any = eval(source(small), vars(kept))
    assert fails(pasted)
    monkeypatch.undo()
    assert not play(pasted).failure


def test_the_same_seed_is_the_same_world_and_the_same_trace() -> None:
    first, second = play_seed(7), play_seed(7)
    assert first.world == second.world == draw(7)

    def steps(played: Played) -> list[str]:
        return [line for line in played.trace if " decide " not in line and " judge_late " not in line]

    assert steps(first) == steps(second)


def test_the_model_shares_no_code_with_the_engine() -> None:
    ours = ("access", "conditions_dsl", "contracts", "outcomes", "settlement", "invoicing", "webhooks", "django")
    for module in (model, language):
        used = {getattr(value, "__module__", "") or "" for value in vars(module).values()}
        used |= {value.__name__ for value in vars(module).values() if isinstance(value, type(sys))}
        assert not [name for name in used if name.split(".")[0] in ours]
    assert lifecycle.Fold not in vars(model).values()
