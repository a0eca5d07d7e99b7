# ruff: noqa: E501 -- tables read better in wide rows
"""The lifecycle as tables: events and instants in, states and instants out."""

from collections.abc import Sequence
from typing import Any

import pytest

from conditions_dsl import Event, compile, parse
from outcomes.domain.instants import SECOND
from outcomes.domain.lifecycle import Fold, Rules, Version, Window, replay

HOUR = 3600 * SECOND
DAY = 24 * HOUR
US = 1

TICKET = """
outcome solved "Ticket solved"
per ticket
bill when closed and no escalated
void when reopened
credit within 10 hours when reopened
settle after 5 hours
expire after 50 hours of silence
dimension priority = latest priority of closed
quantity latest units of closed
"""
REPEATING = TICKET + "repeat when reopened.later\n"
SILENCE = """
outcome quiet "Quiet"
per ticket
bill when closed
settle after 5 hours of silence, at most 12 hours
credit within 10 hours when reopened
"""
AT = """
outcome stayed "Stayed"
per ticket
bill when booked and no cancelled
settle 2 hours after latest check_in of booked
"""
EARLY = """
outcome early "Early"
per ticket
bill when closed
settle after 5 hours
settle early when confirmed_by_customer
void when reopened
credit within 10 hours when reopened
"""
IMMEDIATE = """
outcome now "Now"
per ticket
bill when closed
settle immediately
credit within 10 hours when reopened
"""
EVER = """
outcome first "First"
per ticket
bill when closed and no escalated ever
void when reopened
settle after 5 hours
"""


def rules(text: str, *windows: Window) -> Rules:
    return Rules([Version(1, compile(parse(text)))], windows)


def story(*steps: tuple[Any, ...]) -> list[Event]:
    """Events from (type, time) or (type, time, data)."""
    return [
        Event(f"e{n}", step[0], step[1], n, {"ticket": "T", "units": 1, **(step[2] if len(step) > 2 else {})})
        for n, step in enumerate(steps, start=1)
    ]


def states(fold: Fold) -> list[tuple[Any, ...]]:
    return [(a.state, a.met_at, a.settled_at, a.ended_at) for a in fold.touched.values()]


TABLE: list[tuple[str, str, Sequence[tuple[Any, ...]], int, list[tuple[Any, ...]]]] = [
    ("begins, not met", TICKET, [("escalated", 0)], HOUR, [("open", None, None, None)]),
    ("met", TICKET, [("closed", HOUR)], HOUR, [("provisional", HOUR, None, None)]),
    ("one microsecond before its end it is provisional", TICKET, [("closed", 0)], 5 * HOUR - US,
     [("provisional", 0, None, None)]),
    ("at its end it is confirmed", TICKET, [("closed", 0)], 5 * HOUR, [("confirmed", 0, 5 * HOUR, None)]),
    ("lapses when it no longer holds", TICKET, [("closed", 0), ("escalated", HOUR)], 6 * HOUR,
     [("open", None, None, None)]),
    ("met again is met at the later event", SILENCE.replace("bill when closed", "bill when closed and no bad after closed"),
     [("closed", 0), ("bad", HOUR), ("closed", 2 * HOUR)], 2 * HOUR, [("provisional", 2 * HOUR, None, None)]),
    ("void one microsecond before the end", TICKET, [("closed", 0), ("reopened", 5 * HOUR - US)], 9 * HOUR,
     [("void", 0, None, 5 * HOUR - US)]),
    ("an event exactly at the end is after it: credit, not void", TICKET, [("closed", 0), ("reopened", 5 * HOUR)],
     9 * HOUR, [("reversed", 0, 5 * HOUR, 5 * HOUR)]),
    ("credit one microsecond before its end", TICKET, [("closed", 0), ("reopened", 15 * HOUR - US)], 99 * HOUR,
     [("reversed", 0, 5 * HOUR, 15 * HOUR - US)]),
    ("credit exactly at its end is too late", TICKET, [("closed", 0), ("reopened", 15 * HOUR)], 99 * HOUR,
     [("confirmed", 0, 5 * HOUR, None)]),
    ("a tie at the meeting instant, after it by order, voids", TICKET, [("closed", 0), ("reopened", 0)], HOUR,
     [("void", 0, None, 0)]),
    ("what came before it was met does not void it", TICKET, [("reopened", 0), ("closed", HOUR)], 9 * HOUR,
     [("confirmed", HOUR, 6 * HOUR, None)]),
    ("after a void the facts start anew", TICKET, [("escalated", 0), ("closed", HOUR)], HOUR, [("open", None, None, None)]),
    ("void, then closed again, bills", TICKET, [("closed", 0), ("reopened", HOUR), ("closed", 2 * HOUR)], 7 * HOUR,
     [("void", 0, None, HOUR), ("confirmed", 2 * HOUR, 7 * HOUR, None)]),
    ("the voiding event is not part of the next attempt", TICKET, [("closed", 0), ("reopened", HOUR)], 99 * HOUR,
     [("void", 0, None, HOUR)]),
    ("a confirmed subject begins nothing further", TICKET, [("closed", 0), ("closed", 20 * HOUR)], 99 * HOUR,
     [("confirmed", 0, 5 * HOUR, None)]),
    ("a reversed one may", TICKET, [("closed", 0), ("reopened", 6 * HOUR), ("closed", 7 * HOUR)], 12 * HOUR,
     [("reversed", 0, 5 * HOUR, 6 * HOUR), ("confirmed", 7 * HOUR, 12 * HOUR, None)]),
    ("missed after silence", TICKET, [("escalated", 0), ("escalated", HOUR)], 51 * HOUR, [("missed", None, None, 51 * HOUR)]),
    ("not missed one microsecond earlier", TICKET, [("escalated", 0)], 50 * HOUR - US, [("open", None, None, None)]),
    ("after missed the next event begins anew", TICKET, [("escalated", 0), ("closed", 50 * HOUR)], 55 * HOUR,
     [("missed", None, None, 50 * HOUR), ("confirmed", 50 * HOUR, 55 * HOUR, None)]),
    ("repeat: the event that says so is consumed, the next begins", REPEATING,
     [("closed", 0), ("reopened.later", 20 * HOUR), ("closed", 21 * HOUR)], 26 * HOUR,
     [("confirmed", 0, 5 * HOUR, None), ("confirmed", 21 * HOUR, 26 * HOUR, None)]),
    ("repeat: without it nothing begins", REPEATING, [("closed", 0), ("closed", 21 * HOUR)], 99 * HOUR,
     [("confirmed", 0, 5 * HOUR, None)]),
    ("repeat: credit watches the latest confirmed one", REPEATING,
     [("closed", 0), ("reopened.later", 6 * HOUR), ("closed", 7 * HOUR), ("reopened", 13 * HOUR)], 99 * HOUR,
     [("confirmed", 0, 5 * HOUR, None), ("reversed", 7 * HOUR, 12 * HOUR, 13 * HOUR)]),
    ("silence is counted from the last event", SILENCE, [("closed", 0), ("closed", 3 * HOUR)], 8 * HOUR,
     [("confirmed", 0, 8 * HOUR, None)]),
    ("silence has an absolute end", SILENCE, [("closed", 0), ("closed", 4 * HOUR), ("closed", 8 * HOUR)], 12 * HOUR,
     [("confirmed", 0, 12 * HOUR, None)]),
    ("settle at a time read from the event", AT, [("booked", 0, {"check_in": "1970-01-02T00:00:00Z"})], 2 * DAY,
     [("confirmed", 0, 26 * HOUR, None)]),
    ("the time is read again", AT,
     [("booked", 0, {"check_in": "1970-01-02T00:00:00Z"}), ("booked", HOUR, {"check_in": "1970-01-03T00:00:00Z"})],
     3 * DAY, [("confirmed", 0, 50 * HOUR, None)]),
    ("a time already past settles at the event that said so", AT,
     [("booked", 3 * HOUR, {"check_in": "1970-01-01T00:00:00Z"})], 3 * HOUR, [("confirmed", 3 * HOUR, 3 * HOUR, None)]),
    ("no time for 180 days: void", AT, [("booked", 0)], 180 * DAY, [("void", 0, None, 180 * DAY)]),
    ("no time: provisional till then", AT, [("booked", 0)], 180 * DAY - US, [("provisional", 0, None, None)]),
    ("settle early ends the window", EARLY, [("closed", 0), ("confirmed_by_customer", HOUR)], HOUR,
     [("confirmed", 0, HOUR, None)]),
    ("after settling early a tie is after it", EARLY,
     [("closed", 0), ("confirmed_by_customer", HOUR), ("reopened", HOUR)], 9 * HOUR, [("reversed", 0, HOUR, HOUR)]),
    ("settle immediately", IMMEDIATE, [("closed", HOUR)], HOUR, [("confirmed", HOUR, HOUR, None)]),
    ("settle immediately, a tie reverses", IMMEDIATE, [("closed", HOUR), ("reopened", HOUR)], HOUR,
     [("reversed", HOUR, HOUR, HOUR)]),
    ("ever looks at the whole history", EVER,
     [("closed", 0), ("reopened", HOUR), ("escalated", 2 * HOUR), ("closed", 3 * HOUR)], 9 * HOUR,
     [("void", 0, None, HOUR), ("open", None, None, None)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "steps", "until", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_table(text: str, steps: Sequence[tuple[Any, ...]], until: int, expected: list[tuple[Any, ...]]) -> None:
    assert states(replay(rules(text), story(*steps), until=until)) == expected


@pytest.mark.parametrize("text", sorted({row[1] for row in TABLE}))
@pytest.mark.parametrize("steps", [row[2] for row in TABLE])
def test_a_fold_resumed_at_every_point_is_the_fold_of_the_whole(text: str, steps: Sequence[tuple[Any, ...]]) -> None:
    import msgspec

    events, the_rules = story(*steps), rules(text)
    whole = replay(the_rules, events)
    resumed = Fold(the_rules)
    seen: dict[int, Any] = {}
    for event in events:
        resumed = Fold.load(the_rules, msgspec.json.decode(msgspec.json.encode(resumed.dump())))
        resumed.apply(event)
        seen |= {n: (a.state, a.met_at, a.settled_at, a.ended_at, resumed.value(a)) for n, a in resumed.touched.items()}
    assert resumed.dump() == whole.dump()
    expected = {n: (a.state, a.met_at, a.settled_at, a.ended_at) for n, a in whole.touched.items()}
    assert {n: values[:4] for n, values in seen.items()} == expected


def test_a_window_override_replaces_the_duration_for_what_is_met_in_it() -> None:
    shorter = Window(start=HOUR, end=2 * HOUR, duration=HOUR)
    fold = replay(rules(TICKET, shorter), story(("closed", HOUR)), until=99 * HOUR)
    assert states(fold) == [("confirmed", HOUR, 2 * HOUR, None)]
    fold = replay(rules(TICKET, shorter), story(("closed", 2 * HOUR)), until=99 * HOUR)
    assert states(fold) == [("confirmed", 2 * HOUR, 7 * HOUR, None)]


def test_an_attempt_keeps_the_version_of_its_first_event() -> None:
    longer = TICKET.replace("settle after 5 hours", "settle after 9 hours")
    versions = Rules([Version(1, compile(parse(TICKET))), Version(2, compile(parse(longer)), effective_from=HOUR)])
    before = replay(versions, story(("seen", 0), ("escalated", 0), ("reopened", 2 * HOUR)), until=0)
    assert [a.version for a in before.touched.values()] == [1]
    met = replay(versions, story(("reopened", 0), ("closed", 2 * HOUR)), until=99 * HOUR)
    assert [(a.version, a.settled_at) for a in met.touched.values()] == [(1, 7 * HOUR)]
    after = replay(versions, story(("closed", HOUR)), until=99 * HOUR)
    assert [(a.version, a.settled_at) for a in after.touched.values()] == [(2, 10 * HOUR)]


def test_what_it_is_worth_is_taken_when_it_is_confirmed() -> None:
    fold = replay(
        rules(TICKET),
        story(("closed", 0, {"priority": "P1", "units": 3}), ("closed", HOUR, {"priority": "P2", "units": 4})),
        until=9 * HOUR,
    )
    [attempt] = fold.touched.values()
    value = fold.value(attempt)
    assert value is not None
    assert (str(value.quantity), value.dimensions, value.review) == ("4", {"priority": "P2"}, ())


def test_an_unknown_quantity_is_flagged_never_guessed() -> None:
    fold = replay(rules(TICKET), story(("closed", 0, {"units": "many"})), until=9 * HOUR)
    [attempt] = fold.touched.values()
    value = fold.value(attempt)
    assert value is not None
    assert attempt.state == "confirmed"
    assert value.quantity is None
    assert value.review == ("quantity_unknown",)
