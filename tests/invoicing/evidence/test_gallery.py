"""The verifier counts every condition of the gallery and of the language page as the engine does: on real invoices, and
by itself over every story.
"""

import csv
import gzip
import json
import os
from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import billing_project.demo
from billing_project.demo import helpdesk
from conditions_dsl import Event, compile, format, from_json, parse, to_json
from invoicing.evidence import verify_evidence as verifier
from outcomes.domain.instants import to_us
from outcomes.domain.lifecycle import Attempt, Decision, Rules, Version, Window
from outcomes.domain.lifecycle import replay as engine
from outcomes.wire import canonical
from tests.conditions_dsl import stories, strategies
from tests.conditions_dsl.test_gallery import NAMES, STORIES, text
from tests.conditions_dsl.test_language_page import EXAMPLES as PAGE
from tests.invoicing.evidence.packs import all_accepted
from tests.invoicing.evidence.plays import Play


def told(name: str) -> list[tuple[Any, dict[str, Any]]]:
    """Every story of a gallery condition, each about a subject of its own."""
    found = []
    alternatives = compile(parse(text(name))).condition.keys
    for number, story in enumerate(STORIES[name].values()):
        events, _ = stories.read(story, alternatives[0][0].segments)
        for event in events:
            data = deepcopy(event.data)
            for keys in alternatives:
                place = data
                for part in keys[0].segments[:-1]:
                    place = place.setdefault(part, {})
                place[keys[0].segments[-1]] = f"S{number}"
            found.append((event, data))
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("name", NAMES)
def test_invoices_of_the_gallery_are_accepted(name: str) -> None:
    play = Play(text(name))
    play.play(told(name), months=14)
    found = all_accepted()
    assert found
    assert sum(one.counts["recounted"] for one in found) > 0


# --- the language and the lifecycle, without a database ---------------------------------------------------------------

EXAMPLES = int(os.environ.get("DSL_EXAMPLES", "40"))


def agree(form: Any, events: list[Event], decisions: list[Decision], window: int | None = None) -> None:
    """The verifier's attempts are the engine's, in every particular."""
    condition = from_json(form)
    windows = [Window(-(2**60), None, window)] if window is not None else []
    fold = engine(Rules([Version(1, compile(condition))], windows), events, decisions, until=2**62)
    known = json.loads(json.dumps(to_json(condition)))  # as a pack carries it
    version = verifier.Version(1, verifier.Program(known), None, "", "")
    spans = [{"start": "0001-01-01T00:00:00Z", "end": None, "seconds": window // 10**6}] if window is not None else []
    rules = verifier.Rules([version], {"windows": spans, "pins": [], "since": None})
    record = verifier.Record(1, "event", {})
    facts = [verifier.Event(record, one.seq, one.type, one.time, one.data) for one in events]  # type: ignore[arg-type]
    decided = [
        verifier.Decision(
            record, one.at, one.kind, one.met_at, one.met_by, fraction(one.quantity), fraction(one.amount)
        )
        for one in decisions
    ]
    attempts = verifier.Life(rules).tell(facts, decided)
    assert [written(one) for one in attempts] == [booked(one) for one in fold.touched.values()]


def fraction(number: Decimal | None) -> Fraction | None:
    return None if number is None else Fraction(number)


def written(one: verifier.Attempt) -> Any:
    met, worth = one.met, one.worth
    return (
        one.state, one.first.seq, met and met.seq, one.settled_at, one.ended_at, one.ended_by and one.ended_by.seq,
        worth and (worth.quantity, worth.amount, worth.dimensions, worth.review),
    )  # fmt: skip


def booked(one: Attempt) -> Any:
    worth = one.worth
    return (
        one.state, one.first_seq, one.met_by, one.settled_at, one.ended_at, one.ended_by,
        worth and (
            fraction(worth.quantity), fraction(worth.amount),
            tuple(sorted((name, value) for name, value in worth.dimensions.items() if value is not None)),
            frozenset(worth.review),
        ),
    )  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.forms(), strategies.event_lists(), st.data())
def test_every_attempt_is_the_engines(form: Any, events: list[Event], data: st.DataObject) -> None:
    # As a pack carries them: numbers exact, no floats.
    events = [one._replace(data=verifier.parse(canonical(one.data))) for one in events]
    assert verifier.same_text(verifier.written(to_json(from_json(form))), format(from_json(form)))
    agree(form, events, [])
    if events:
        window = data.draw(st.none() | st.integers(0, 10**6).map(lambda n: n * 10**6))
        agree(form, events, data.draw(decisions_on(events)), window)


def decisions_on(events: list[Event]) -> st.SearchStrategy[list[Decision]]:
    """What people decided, here and there between the events."""

    def decision(event: Event, delay: int, kind: str, figure: str | None) -> Decision:
        given = None if kind == "take_back" or figure is None else Decimal(figure)
        return Decision(event.time + delay, kind, event.time, event.seq, "ops", "so", given, given)

    one = st.builds(
        decision,
        st.sampled_from(events),
        st.integers(0, 10**13),
        st.sampled_from(["take_back", "complete"]),
        st.none() | st.sampled_from(["0", "2.5", "1e30"]),
    )
    in_order = st.lists(one, max_size=3, unique_by=lambda one: one.at)
    return in_order.map(lambda found: sorted(found, key=lambda one: one.at))


def test_the_language_page() -> None:
    """Every story of docs/language.md."""
    for text_, story in PAGE:
        program = compile(parse(text_))
        events, _ = stories.read(story, program.condition.keys[0][0].segments)
        agree(to_json(program.condition), [e for e in events if program.mentions(e.type)], [])


# --- the demo ---------------------------------------------------------------------------------------------------------


TEN_YEARS = timedelta(days=3653)


@pytest.mark.django_db
def test_the_demo_in_small() -> None:
    """The first incidents of the log behind `make demo`, under its own condition, month by month."""
    sample = Path(billing_project.demo.__file__).parents[2] / "samples" / "helpdesk"
    [condition] = sample.glob("conditions/*.outcome")
    play = Play(condition.read_text(encoding="utf-8"))
    with gzip.open(sample / helpdesk.LOG, "rt", newline="") as log:
        rows = [helpdesk._event(n, row) for n, row in enumerate(islice(csv.DictReader(log), 1000))]
    told_ = []
    for n, event in enumerate(rows):
        moment = datetime.fromisoformat(event["time"].replace("Z", "+00:00")) + TEN_YEARS
        told_.append((Event(event["id"], event["type"], to_us(moment), n, {}), event["data"]))
    play.play(told_, months=14)
    found = all_accepted()
    assert sum(one.counts["recounted"] for one in found) > 100
    assert not any(one.recorded for one in found)
