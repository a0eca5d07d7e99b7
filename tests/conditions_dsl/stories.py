"""Event stories: lines of events and the outcomes they lead to, run through the pure lifecycle.

    day 0, 10:00   ticket.closed   {"closed_by": "agent"}
    -> confirmed on day 3, 10:00; quantity 1; priority = high

An event without `id` in its data is about the subject "T". Results are told in the order of `run_trial`; `-> nothing`
where there is no outcome. What a result does not mention is not asked.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

from conditions_dsl import Event, compile, explain, parse
from outcomes.domain.trial import run_trial

START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
MOMENT = r"day (\d+), (\d\d):(\d\d)(?::(\d\d))?"
EVENT = re.compile(rf'{MOMENT}\s+("(?:[^"]+)"|\S+)\s*(\{{.*\}})?\s*(?:#.*)?')
RESULT = re.compile(rf"-> (\w+)(?: on {MOMENT})?((?:; [^;]+)*)")


def moment(parts):
    day, hour, minute, second = (int(part or 0) for part in parts)
    return START + (((day * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000


def number(text):
    return Decimal(text)


def read(story, key):
    """The events and the expected results of a story; `key` names the field that tells the subject."""
    listed, expected = [], []
    for line in story.strip().splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("->"):
            expected.append(line)
            continue
        found = EVENT.fullmatch(line)
        assert found, f"not an event: {line}"
        data = json.loads(found[6], parse_float=number) if found[6] else {}
        place = data
        for part in key[:-1]:
            place = place.setdefault(part, {})
        place.setdefault(key[-1], "T")
        listed.append(Event(f"e{len(listed)}", found[5].strip('"'), moment(found.group(1, 2, 3, 4)), len(listed), data))
    return listed, expected


def told(outcome):
    """An outcome as a result line says it."""
    at = outcome.settled_at if outcome.state in ("confirmed",) else outcome.ended_at
    if outcome.state in ("open", "provisional"):
        at = None
    return {"state": outcome.state, "at": at, "value": outcome.value}


def check(text, story):
    """Runs a story against a condition and asserts its results."""
    program = compile(parse(text))
    alternatives = program.condition.keys[0]
    listed, expected = read(story, alternatives[0].segments)
    for path in [keys[0] for keys in program.condition.keys[1:]]:
        for event in listed:
            event.data.setdefault(path.segments[0], "K")
    found = [told(outcome) for outcome in run_trial(program, listed)]
    # Arrival is no order: the same events the other way round tell the same story.
    assert [told(outcome) for outcome in run_trial(program, list(reversed(listed)))] == found
    explain(program, listed)
    if expected == ["-> nothing"]:
        expected = []
    assert [one["state"] for one in found] == [RESULT.fullmatch(line)[1] for line in expected], story
    for one, line in zip(found, expected, strict=True):
        parts = RESULT.fullmatch(line)
        if parts[2]:
            assert one["at"] == moment(parts.group(2, 3, 4, 5)), (line, (one["at"] - START) / 3.6e9)
        for wanted in (part.strip() for part in parts[6].split(";") if part.strip()):
            name, _, value = wanted.partition(" = ") if " = " in wanted else wanted.partition(" ")
            assert_value(one["value"], name.strip(), value.strip())


def assert_value(value, name, wanted):
    if name in ("quantity", "amount"):
        found = getattr(value, name)
        assert found is None if wanted == "unknown" else found == Decimal(wanted), (name, found, wanted)
    elif name == "review":
        assert wanted in value.review, value.review
    else:
        assert value.dimensions[name] == (None if wanted == "missing" else wanted), value.dimensions
