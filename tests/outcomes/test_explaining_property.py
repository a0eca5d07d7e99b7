"""Whatever the conditions and the events: the verdicts of an explanation say what is booked, in every state.

The stories are those of the law (`tests/outcomes/law.py`), in any order of arrival; every outcome is explained on the
way and in the end. EXPLAIN_SEEDS=1000 for a long night.
"""

import json
import os
import random
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from outcomes.domain.lifecycle import CONFIRMED, PROVISIONAL, REVERSED
from outcomes.explaining import explain_outcome, explanation_json
from outcomes.models import Outcome
from tests.outcomes import law, test_law_seeds

SEEDS = int(os.environ.get("EXPLAIN_SEEDS", "3"))
# Seeds whose stories reach what is rare; where a change of the stories moves that, others are to be chosen.
RARE = {
    5: {"confirmed clock", "missed clock", "void event", "reversed event"},
    16: {"open event", "provisional event", "reversed late"},
    24: {"void late", "void event"},
    33: {"reversed late", "superseded late"},
}

reached: Counter[str] = Counter()


def explain_all(now: datetime) -> None:
    """Explain every outcome; the verdicts, the values and the sentences fit what is stored."""
    for row in Outcome.objects.all():
        found = explain_outcome(row, now=now)
        shown = explanation_json(found)
        verdicts = {c["clause"]: c["verdict"] for c in shown["clauses"]}
        voids, credits = (
            [c["verdict"] for c in shown["clauses"] if c["clause"] == name] for name in ("void", "credit")
        )
        last = [entry for entry in found.journal if entry.clause != "restated"][-1]
        assert found.agrees, (row.state, last.clause, found.program.text, shown)
        assert verdicts["bill"] is (row.met_at is not None)
        assert row.state == "superseded" or (True in voids) is (row.state == "void" and last.clause == "void")
        assert (True in credits) is (row.state == "reversed" and last.clause == "credit")
        if row.state not in ("superseded", "open"):
            assert (verdicts["expire"] is True) is (row.state == "missed")
        if row.met_at is not None:
            assert verdicts["settle"] is (row.settled_at is not None)
        if row.state in (PROVISIONAL, CONFIRMED, REVERSED) and row.quantity is not None:
            [quantity] = [c for c in shown["clauses"] if c["clause"] == "quantity"]
            assert quantity["tree"] is None or quantity["tree"]["value"] == quantity["value"]
        for name, value in row.dimensions.items() if row.state != "superseded" else ():
            [dimension] = [c for c in shown["clauses"] if c["clause"] == f"dimension {name}"]
            if dimension["tree"] is not None and dimension["tree"]["kind"] == "graded":
                assert json.loads(dimension["tree"]["value"]) == value
        assert (last.cause == "late" and row.state in ("reversed", "superseded")) is (found.late is not None)
        assert row.state in ("missed",) or row.met_at is None or found.summary
        reached[f"{row.state} {last.cause}"] += 1


@pytest.mark.django_db
@pytest.mark.parametrize("seed", sorted({*range(SEEDS), *RARE}))
def test_the_verdicts_say_what_is_booked(seed: int, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MAX_EVENT_AGE_DAYS = 10_000
    random.seed(seed)  # what evaluation draws for itself
    chance = random.Random(seed)
    audited = law.audited

    def look(now: datetime) -> None:
        audited(now)
        explain_all(now)

    monkeypatch.setattr(law, "audited", look)
    reached.clear()
    law.play(test_law_seeds.story(chance), chance)
    assert RARE.get(seed, set()) <= set(reached)
