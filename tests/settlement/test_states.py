# ruff: noqa: E501 -- tables read better in wide rows
"""The state table: what happens and when, and what stands and is booked of it (design page 2, section 2).

A row is played on the real thing, from intake over evaluation to the sweep. How to read one:

    "0h closed; 5h- reopened; 9h sweep"
        Events at their hours after the start, each accepted and evaluated at once, and a sweep. `5h-` is one microsecond
        before five hours, `5h+` one after, `180d` is days. `closed & reopened` are told in one batch, with one time.
        `1h reopened (told 9h)` happened at one hour and arrives at nine. `booked on=26h` carries data, here an instant;
        the ticket is T unless `ticket=U`.

    solved 1: void, met 0h by closed@0h, settles 5h, ended 5h- by reopened@5h-
        The first attempt of condition `solved`: its state and every instant that its row holds; `x1` is its quantity,
        `due` the instant at which settlement looks at it next, where that is not `settles`.
    5h open -> missed, clock expire, recorded 9h
        Each row of its journal, in order: when it took effect, the states, cause and clause, the event, and when it was
        recorded, where that is another instant.
"""

import itertools
import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.db import transaction

from outcomes import event_types
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Event, Journal, Outcome, Pending
from settlement.sweep import settle_due
from tests.outcomes import factories
from tests.outcomes.factories import START, send
from tests.outcomes.law import audited

pytestmark = pytest.mark.django_db
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)

FIXED = """
outcome solved per ticket
bill when closed and no escalated after closed
void when reopened
credit within 10 hours when reopened
settle after 5 hours
expire after 50 hours of silence
"""
IMMEDIATE = FIXED.replace("settle after 5 hours", "settle immediately")
SILENCE = """
outcome quiet per ticket
bill when closed and no escalated after closed
void when reopened
settle after 5 hours of silence, at most 12 hours
"""
LONG_SILENCE = """
outcome asleep per ticket
bill when closed
settle after 30 days of silence
"""
AT = """
outcome stayed per ticket
bill when booked and no cancelled
credit within 10 hours when returned
settle at latest on of booked
"""
AFTER = AT.replace("settle at", "settle 2 hours after")
EARLY = """
outcome praised per ticket
bill when closed and no escalated after closed
void when reopened
credit within 10 hours when reopened
settle after 5 hours
settle early when thanked
"""
REPEAT = FIXED + "repeat when renewed\n"
REPEAT_ITSELF = FIXED + "repeat when closed\n"
EVER = """
outcome first per ticket
bill when closed and no escalated ever
void when reopened
settle after 5 hours
"""
QUANTITY = FIXED + "quantity latest units of closed\n"
# A second condition that listens to the same events and ends otherwise.
OTHER = """
outcome other per ticket
bill when closed
void when escalated
settle after 7 hours
"""
# From the tenth hour on, without a credit and with a longer window.
SECOND = FIXED.replace("credit within 10 hours when reopened\n", "").replace("after 5 hours", "after 8 hours")


class Row(NamedTuple):
    """One line of the table: ``conditions`` are in force from the beginning, or from the instant that leads a text."""

    says: str
    conditions: tuple[str, ...]
    story: str
    booked: str


def row(says: str, conditions: str | tuple[str, ...], story: str, booked: str) -> Row:
    return Row(says, (conditions,) if isinstance(conditions, str) else conditions, story, booked)


# --- in order: everything is told when it happens ---------------------------------------------------------------------

IN_ORDER = [
    # A fixed window.
    row("the first event that the condition mentions begins an attempt", FIXED, "0h escalated; 1h sweep", """
        solved 1: open
            0h -> open, event begin, by escalated@0h"""),
    row("an event that it does not mention begins nothing", FIXED, "0h sneezed; 1h sweep", ""),
    row("once the condition is true it is provisional", FIXED, "0h escalated; 1h closed; 2h sweep", """
        solved 1: provisional, met 1h by closed@1h, settles 6h, x1
            0h -> open, event begin, by escalated@0h
            1h open -> provisional, event bill, by closed@1h"""),
    row("one microsecond before its window ends it is provisional", FIXED, "0h closed; 5h- sweep", """
        solved 1: provisional, met 0h by closed@0h, settles 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h"""),
    row("at the end of its window it is confirmed", FIXED, "0h closed; 5h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle"""),
    row("one microsecond later it is confirmed as of the end", FIXED, "0h closed; 5h+ sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 5h+"""),
    row("three days later, too", FIXED, "0h closed; 77h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 77h"""),
    row("a window of no length ends at the event", IMMEDIATE, "1h closed; 1h sweep", """
        solved 1: confirmed, met 1h by closed@1h, settles 1h, settled 1h, x1
            1h -> open, event begin, by closed@1h
            1h open -> provisional, event bill, by closed@1h
            1h provisional -> confirmed, clock settle"""),
    row("its tie comes after it", IMMEDIATE, "1h closed; 1h reopened; 1h sweep", """
        solved 1: reversed, met 1h by closed@1h, settles 1h, settled 1h, ended 1h by reopened@1h, x1
            1h -> open, event begin, by closed@1h
            1h open -> provisional, event bill, by closed@1h
            1h provisional -> confirmed, clock settle
            1h confirmed -> reversed, event credit, by reopened@1h"""),

    # Void.
    row("void by an event in the window", FIXED, "0h closed; 2h reopened; 9h sweep", """
        solved 1: void, met 0h by closed@0h, settles 5h, ended 2h by reopened@2h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            2h provisional -> void, event void, by reopened@2h"""),
    row("void one microsecond before the window ends", FIXED, "0h closed; 5h- reopened; 9h sweep", """
        solved 1: void, met 0h by closed@0h, settles 5h, ended 5h- by reopened@5h-
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h- provisional -> void, event void, by reopened@5h-"""),
    row("an event exactly at the end is after it: credit, not void", FIXED, "0h closed; 5h reopened; 9h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by reopened@5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, event credit, by reopened@5h, recorded 9h"""),
    row("the same where the sweep came between", FIXED, "0h closed; 5h sweep; 5h reopened; 9h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by reopened@5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle
            5h confirmed -> reversed, event credit, by reopened@5h"""),
    row("and one microsecond after it", FIXED, "0h closed; 5h sweep; 5h+ reopened; 9h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h+ by reopened@5h+, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle
            5h+ confirmed -> reversed, event credit, by reopened@5h+"""),
    row("without a credit clause an event at the end changes nothing", SILENCE, "0h closed; 5h reopened; 9h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("what came before it was met does not void it", FIXED, "0h reopened; 1h closed; 9h sweep", """
        solved 1: confirmed, met 1h by closed@1h, settles 6h, settled 6h, x1
            0h -> open, event begin, by reopened@0h
            1h open -> provisional, event bill, by closed@1h
            6h provisional -> confirmed, clock settle, recorded 9h"""),
    row("a tie that was accepted after the meeting voids it", FIXED, "0h closed & reopened; 9h sweep", """
        solved 1: void, met 0h by closed@0h, settles 5h, ended 0h by reopened@0h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            0h provisional -> void, event void, by reopened@0h"""),
    row("a tie that was accepted before the meeting does not", FIXED, "0h reopened & closed; 9h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by reopened@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("after a void the next event begins anew, and bills", FIXED, "0h closed; 1h reopened; 2h closed; 9h sweep", """
        solved 1: void, met 0h by closed@0h, settles 5h, ended 1h by reopened@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> void, event void, by reopened@1h
        solved 2: confirmed, met 2h by closed@2h, settles 7h, settled 7h, x1
            2h -> open, event begin, by closed@2h
            2h open -> provisional, event bill, by closed@2h
            7h provisional -> confirmed, clock settle, recorded 9h"""),
    row("the facts start anew with it: what was closed before counts no more", FIXED,
        "0h closed; 1h reopened; 2h escalated; 9h sweep", """
        solved 1: void, met 0h by closed@0h, settles 5h, ended 1h by reopened@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> void, event void, by reopened@1h
        solved 2: open
            2h -> open, event begin, by escalated@2h"""),
    row("`ever` looks at the subject's whole history", EVER, "0h escalated; 1h closed; 9h sweep", """
        first 1: open
            0h -> open, event begin, by escalated@0h"""),
    row("also at that of attempts before", EVER, "0h closed; 1h reopened; 2h escalated; 3h closed; 9h sweep", """
        first 1: void, met 0h by closed@0h, settles 5h, ended 1h by reopened@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> void, event void, by reopened@1h
        first 2: open
            2h -> open, event begin, by escalated@2h"""),

    # Lapse and meeting again.
    row("it lapses when the condition no longer holds", FIXED, "0h closed; 1h escalated; 9h sweep", """
        solved 1: open
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> open, event lapse, by escalated@1h"""),
    row("one microsecond before its window ends, too", FIXED, "0h closed; 5h- escalated; 9h sweep", """
        solved 1: open
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h- provisional -> open, event lapse, by escalated@5h-"""),
    row("exactly at its end it lapses no more", FIXED, "0h closed; 5h escalated; 9h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("met again, its window begins again", FIXED, "0h closed; 1h escalated; 2h closed; 7h- sweep; 7h sweep", """
        solved 1: confirmed, met 2h by closed@2h, settles 7h, settled 7h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> open, event lapse, by escalated@1h
            2h open -> provisional, event bill, by closed@2h
            7h provisional -> confirmed, clock settle"""),
    row("what came between lapse and meeting does not void it", FIXED,
        "0h closed; 1h escalated; 2h reopened; 3h closed; 9h sweep", """
        solved 1: confirmed, met 3h by closed@3h, settles 8h, settled 8h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> open, event lapse, by escalated@1h
            3h open -> provisional, event bill, by closed@3h
            8h provisional -> confirmed, clock settle, recorded 9h"""),
    row("what keeps it true moves nothing", FIXED, "0h closed; 1h closed; 9h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("a quantity is that of all facts up to the end of the window", QUANTITY,
        "0h closed units=2; 5h- closed units=3; 5h closed units=4; 9h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x3
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("one that is unknown is flagged, and confirmed all the same", QUANTITY, "0h closed units=many; 5h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, review quantity_unknown
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle"""),

    # Silence.
    row("silence is counted from the latest event", SILENCE, "0h closed; 3h closed; 8h- sweep; 8h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 8h, settled 8h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            8h provisional -> confirmed, clock settle"""),
    row("not over one microsecond before", SILENCE, "0h closed; 3h closed; 8h- sweep", """
        quiet 1: provisional, met 0h by closed@0h, settles 8h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h"""),
    row("broken one microsecond before it is long enough", SILENCE, "0h closed; 5h- closed; 10h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 10h-, settled 10h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            10h- provisional -> confirmed, clock settle, recorded 10h"""),
    row("an event exactly at its end no longer breaks it", SILENCE, "0h closed; 5h closed; 10h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 10h"""),
    row("nor does one that the condition does not mention", SILENCE, "0h closed; 3h sneezed; 10h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 10h"""),
    row("it has an absolute end, counted from the meeting", SILENCE,
        "0h closed; 4h closed; 8h closed; 12h- sweep; 12h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 12h, settled 12h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            12h provisional -> confirmed, clock settle"""),
    row("void one microsecond before the absolute end", SILENCE,
        "0h closed; 4h closed; 8h closed; 12h- reopened; 20h sweep", """
        quiet 1: void, met 0h by closed@0h, settles 12h, ended 12h- by reopened@12h-
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            12h- provisional -> void, event void, by reopened@12h-"""),
    row("too late exactly at it", SILENCE, "0h closed; 4h closed; 8h closed; 12h reopened; 20h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 12h, settled 12h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            12h provisional -> confirmed, clock settle, recorded 20h"""),
    row("met again, the absolute end is counted anew", SILENCE,
        "0h closed; 4h escalated; 5h closed; 9h closed; 13h closed; 17h sweep", """
        quiet 1: confirmed, met 5h by closed@5h, settles 17h, settled 17h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            4h provisional -> open, event lapse, by escalated@4h
            5h open -> provisional, event bill, by closed@5h
            17h provisional -> confirmed, clock settle"""),
    row("where none is given it is 180 days", LONG_SILENCE,
        "0h closed; 25d closed; 50d closed; 75d closed; 100d closed; 125d closed; 150d closed; 175d closed; 180d- sweep; 180d sweep", """
        asleep 1: confirmed, met 0h by closed@0h, settles 180d, settled 180d, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            180d provisional -> confirmed, clock settle"""),

    # A time that an event tells.
    row("it settles at the time that the event tells", AT, "0h booked on=26h; 26h- sweep; 26h sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 26h, settled 26h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            26h provisional -> confirmed, clock settle"""),
    row("or so long after it", AFTER, "0h booked on=26h; 28h- sweep; 28h sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 28h, settled 28h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            28h provisional -> confirmed, clock settle"""),
    row("it lapses one microsecond before", AT, "0h booked on=26h; 26h- cancelled; 30h sweep", """
        stayed 1: open
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            26h- provisional -> open, event lapse, by cancelled@26h-"""),
    row("exactly at that time it is too late to cancel", AT, "0h booked on=26h; 26h cancelled; 30h sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 26h, settled 26h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            26h provisional -> confirmed, clock settle, recorded 30h"""),
    row("and after it a credit begins", AT, "0h booked on=26h; 26h+ returned; 30h sweep", """
        stayed 1: reversed, met 0h by booked@0h, settles 26h, settled 26h, ended 26h+ by returned@26h+, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            26h provisional -> confirmed, clock settle, recorded 30h
            26h+ confirmed -> reversed, event credit, by returned@26h+, recorded 30h"""),
    row("the time is read again at each event: later", AT, "0h booked on=26h; 1h booked on=30h; 26h sweep; 30h sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 30h, settled 30h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            30h provisional -> confirmed, clock settle"""),
    row("earlier", AT, "0h booked on=26h; 1h booked on=20h; 20h sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 20h, settled 20h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            20h provisional -> confirmed, clock settle"""),
    row("gone", AT, "0h booked on=26h; 1h booked; 30h sweep", """
        stayed 1: provisional, met 0h by booked@0h, due 180d, x1, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h"""),
    row("a time already past settles at the event that said so", AT, "3h booked on=1h; 3h sweep", """
        stayed 1: confirmed, met 3h by booked@3h, settles 3h, settled 3h, x1
            3h -> open, event begin, by booked@3h
            3h open -> provisional, event bill, by booked@3h
            3h provisional -> confirmed, clock settle"""),
    row("also where it was another before", AT, "0h booked on=26h; 5h booked on=1h; 5h sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            5h provisional -> confirmed, clock settle"""),
    row("the time of this very instant is over", AT, "3h booked on=3h; 3h cancelled; 9h sweep", """
        stayed 1: confirmed, met 3h by booked@3h, settles 3h, settled 3h, x1
            3h -> open, event begin, by booked@3h
            3h open -> provisional, event bill, by booked@3h
            3h provisional -> confirmed, clock settle, recorded 9h"""),
    row("while the time is missing it is flagged", AT, "0h booked; 99h sweep", """
        stayed 1: provisional, met 0h by booked@0h, due 180d, x1, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h"""),
    row("what is no time is missing", AT, "0h booked on=soon; 99h sweep", """
        stayed 1: provisional, met 0h by booked@0h, due 180d, x1, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h"""),
    row("as is one more than five years ahead", AT, "0h booked on=2000d; 99h sweep", """
        stayed 1: provisional, met 0h by booked@0h, due 180d, x1, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h"""),
    row("a time that is told later ends the waiting and the flag", AT, "0h booked; 99h booked on=120h; 5d sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 5d, settled 5d, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            5d provisional -> confirmed, clock settle"""),
    row("for 180 days it waits", AT, "0h booked; 180d- sweep", """
        stayed 1: provisional, met 0h by booked@0h, due 180d, x1, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h"""),
    row("then it ends void, flagged", AT, "0h booked; 180d sweep", """
        stayed 1: void, met 0h by booked@0h, ended 180d, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            180d provisional -> void, clock settle at"""),
    row("as of then, whenever the sweep comes", AT, "0h booked; 180d+ sweep", """
        stayed 1: void, met 0h by booked@0h, ended 180d, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            180d provisional -> void, clock settle at, recorded 180d+"""),
    row("the time told one microsecond before counts", AT, "0h booked; 180d- booked on=181d; 181d sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 181d, settled 181d, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            181d provisional -> confirmed, clock settle"""),
    row("told exactly then it is the next attempt's", AT, "0h booked; 180d booked on=181d; 181d sweep", """
        stayed 1: void, met 0h by booked@0h, ended 180d, review settle_time_unknown
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            180d provisional -> void, clock settle at, recorded 181d
        stayed 2: confirmed, met 180d by booked@180d, settles 181d, settled 181d, x1
            180d -> open, event begin, by booked@180d
            180d open -> provisional, event bill, by booked@180d
            181d provisional -> confirmed, clock settle"""),

    # Settling early.
    row("settle early ends the window at the event", EARLY, "0h closed; 1h thanked; 1h sweep", """
        praised 1: confirmed, met 0h by closed@0h, settles 1h, settled 1h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> confirmed, clock settle"""),
    row("before it the window is open", EARLY, "0h closed; 1h- reopened; 1h thanked; 9h sweep", """
        praised 1: void, met 0h by closed@0h, settles 5h, ended 1h- by reopened@1h-
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h- provisional -> void, event void, by reopened@1h-
        praised 2: open
            1h -> open, event begin, by thanked@1h"""),
    row("a tie that was accepted before it voids", EARLY, "0h closed; 1h reopened & thanked; 9h sweep", """
        praised 1: void, met 0h by closed@0h, settles 5h, ended 1h by reopened@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> void, event void, by reopened@1h
        praised 2: open
            1h -> open, event begin, by thanked@1h"""),
    row("a tie that was accepted after it comes after the window", EARLY, "0h closed; 1h thanked & reopened; 9h sweep", """
        praised 1: reversed, met 0h by closed@0h, settles 1h, settled 1h, ended 1h by reopened@1h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> confirmed, clock settle, recorded 9h
            1h confirmed -> reversed, event credit, by reopened@1h, recorded 9h"""),
    row("the credit is counted from the early end: its last microsecond", EARLY, "0h closed; 1h thanked; 11h- reopened; 20h sweep", """
        praised 1: reversed, met 0h by closed@0h, settles 1h, settled 1h, ended 11h- by reopened@11h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> confirmed, clock settle, recorded 20h
            11h- confirmed -> reversed, event credit, by reopened@11h-, recorded 20h"""),
    row("and its end", EARLY, "0h closed; 1h thanked; 11h reopened; 20h sweep", """
        praised 1: confirmed, met 0h by closed@0h, settles 1h, settled 1h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> confirmed, clock settle, recorded 20h"""),
    row("true already when it is met, it settles at once", EARLY, "0h thanked; 1h closed; 1h sweep", """
        praised 1: confirmed, met 1h by closed@1h, settles 1h, settled 1h, x1
            0h -> open, event begin, by thanked@0h
            1h open -> provisional, event bill, by closed@1h
            1h provisional -> confirmed, clock settle"""),
    row("one microsecond before the window ends it is still early", EARLY, "0h closed; 5h- thanked; 5h sweep", """
        praised 1: confirmed, met 0h by closed@0h, settles 5h-, settled 5h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h- provisional -> confirmed, clock settle, recorded 5h"""),
    row("exactly at its end, and after, it changes nothing", EARLY, "0h closed; 5h thanked; 5h+ thanked; 6h sweep", """
        praised 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 6h"""),
    row("lapse comes before settling early", EARLY.replace("early when thanked", "early when escalated"), "0h closed; 1h escalated; 9h sweep", """
        praised 1: open
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> open, event lapse, by escalated@1h"""),
    row("and void before both", EARLY.replace("early when thanked", "early when reopened"), "0h closed; 1h reopened; 9h sweep", """
        praised 1: void, met 0h by closed@0h, settles 5h, ended 1h by reopened@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> void, event void, by reopened@1h"""),

    # Expiry.
    row("not missed one microsecond too early", FIXED, "0h escalated; 50h- sweep", """
        solved 1: open
            0h -> open, event begin, by escalated@0h"""),
    row("missed when the silence was long enough", FIXED, "0h escalated; 50h sweep", """
        solved 1: missed, ended 50h
            0h -> open, event begin, by escalated@0h
            50h open -> missed, clock expire"""),
    row("missed as of then, whenever the sweep comes", FIXED, "0h escalated; 50h+ sweep", """
        solved 1: missed, ended 50h
            0h -> open, event begin, by escalated@0h
            50h open -> missed, clock expire, recorded 50h+"""),
    row("an event one microsecond before goes on with the attempt", FIXED, "0h escalated; 50h- closed; 55h sweep", """
        solved 1: confirmed, met 50h- by closed@50h-, settles 55h-, settled 55h-, x1
            0h -> open, event begin, by escalated@0h
            50h- open -> provisional, event bill, by closed@50h-
            55h- provisional -> confirmed, clock settle, recorded 55h"""),
    row("an event exactly then begins the next one", FIXED, "0h escalated; 50h closed; 55h sweep", """
        solved 1: missed, ended 50h
            0h -> open, event begin, by escalated@0h
            50h open -> missed, clock expire, recorded 55h
        solved 2: confirmed, met 50h by closed@50h, settles 55h, settled 55h, x1
            50h -> open, event begin, by closed@50h
            50h open -> provisional, event bill, by closed@50h
            55h provisional -> confirmed, clock settle"""),
    row("an event one microsecond later, too, whether the sweep came or not", FIXED, "0h escalated; 50h sweep; 50h+ escalated; 60h sweep", """
        solved 1: missed, ended 50h
            0h -> open, event begin, by escalated@0h
            50h open -> missed, clock expire
        solved 2: open
            50h+ -> open, event begin, by escalated@50h+"""),
    row("silence begins anew with each event that the condition mentions", FIXED, "0h escalated; 40h reopened; 89h sweep; 90h- sweep; 90h sweep", """
        solved 1: missed, ended 90h
            0h -> open, event begin, by escalated@0h
            90h open -> missed, clock expire"""),
    row("after a lapse it is counted from the lapse", FIXED, "0h closed; 1h escalated; 51h- sweep; 51h sweep", """
        solved 1: missed, ended 51h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> open, event lapse, by escalated@1h
            51h open -> missed, clock expire"""),
    row("without a clause it is after 180 days", AT, "0h cancelled; 180d- sweep; 180d sweep", """
        stayed 1: missed, ended 180d
            0h -> open, event begin, by cancelled@0h
            180d open -> missed, clock expire"""),

    # Credit, and what may begin after it.
    row("credit in its last microsecond", FIXED, "0h closed; 5h sweep; 15h- reopened; 20h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 15h- by reopened@15h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle
            15h- confirmed -> reversed, event credit, by reopened@15h-"""),
    row("exactly at its end it is too late", FIXED, "0h closed; 5h sweep; 15h reopened; 15h+ reopened; 20h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle"""),
    row("while it stands confirmed, nothing further begins", FIXED, "0h closed; 20h closed; 21h escalated; 30h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 30h"""),
    row("once it is reversed the next event begins an attempt", FIXED, "0h closed; 6h reopened; 7h closed; 12h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 6h by reopened@6h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 12h
            6h confirmed -> reversed, event credit, by reopened@6h, recorded 12h
        solved 2: confirmed, met 7h by closed@7h, settles 12h, settled 12h, x1
            7h -> open, event begin, by closed@7h
            7h open -> provisional, event bill, by closed@7h
            12h provisional -> confirmed, clock settle"""),
    row("also at the same instant, if it was accepted later", FIXED, "0h closed; 6h reopened & closed; 11h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 6h by reopened@6h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 11h
            6h confirmed -> reversed, event credit, by reopened@6h, recorded 11h
        solved 2: confirmed, met 6h by closed@6h, settles 11h, settled 11h, x1
            6h -> open, event begin, by closed@6h
            6h open -> provisional, event bill, by closed@6h
            11h provisional -> confirmed, clock settle"""),

    # Repetition.
    row("repeat: the event that says so is consumed, the next begins", REPEAT, "0h closed; 20h renewed; 21h closed; 26h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 26h
        solved 2: confirmed, met 21h by closed@21h, settles 26h, settled 26h, x1
            21h -> open, event begin, by closed@21h
            21h open -> provisional, event bill, by closed@21h
            26h provisional -> confirmed, clock settle"""),
    row("repeat: without it nothing begins", REPEAT, "0h closed; 20h closed; 30h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 30h"""),
    row("repeat: one microsecond before it settled it does not count", REPEAT, "0h closed; 5h- renewed; 6h closed; 30h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 30h"""),
    row("repeat: exactly then it does", REPEAT, "0h closed; 5h renewed & closed; 10h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 10h
        solved 2: confirmed, met 5h by closed@5h, settles 10h, settled 10h, x1
            5h -> open, event begin, by closed@5h
            5h open -> provisional, event bill, by closed@5h
            10h provisional -> confirmed, clock settle"""),
    row("repeat: what makes it true is consumed, also where it could bill", REPEAT_ITSELF, "0h closed; 20h closed; 21h closed; 26h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 26h
        solved 2: confirmed, met 21h by closed@21h, settles 26h, settled 26h, x1
            21h -> open, event begin, by closed@21h
            21h open -> provisional, event bill, by closed@21h
            26h provisional -> confirmed, clock settle"""),
    row("repeat: the confirmed one stays under credit, and at one event that comes before the attempt's void", REPEAT,
        "0h closed; 6h renewed; 7h closed; 8h reopened; 20h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 8h by reopened@8h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 20h
            8h confirmed -> reversed, event credit, by reopened@8h, recorded 20h
        solved 2: void, met 7h by closed@7h, settles 12h, ended 8h by reopened@8h
            7h -> open, event begin, by closed@7h
            7h open -> provisional, event bill, by closed@7h
            8h provisional -> void, event void, by reopened@8h"""),
    row("repeat: credit watches the latest confirmed outcome", REPEAT, "0h closed; 6h renewed; 7h closed; 13h reopened; 20h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 20h
        solved 2: reversed, met 7h by closed@7h, settles 12h, settled 12h, ended 13h by reopened@13h, x1
            7h -> open, event begin, by closed@7h
            7h open -> provisional, event bill, by closed@7h
            12h provisional -> confirmed, clock settle, recorded 20h
            13h confirmed -> reversed, event credit, by reopened@13h, recorded 20h"""),

    # Versions.
    row("an attempt begun one microsecond before a version keeps the one before, also for credit", (FIXED, "10h " + SECOND),
        "10h- closed; 15h- reopened; 20h sweep", """
        solved 1: reversed, met 10h- by closed@10h-, settles 15h-, settled 15h-, ended 15h- by reopened@15h-, x1
            10h- -> open, event begin, by closed@10h-
            10h- open -> provisional, event bill, by closed@10h-
            15h- provisional -> confirmed, clock settle, recorded 20h
            15h- confirmed -> reversed, event credit, by reopened@15h-, recorded 20h"""),
    row("begun exactly then it takes the new one", (FIXED, "10h " + SECOND), "10h closed; 18h- sweep; 18h reopened; 20h sweep", """
        solved 1 by version 2: confirmed, met 10h by closed@10h, settles 18h, settled 18h, x1
            10h -> open, event begin, by closed@10h
            10h open -> provisional, event bill, by closed@10h
            18h provisional -> confirmed, clock settle, recorded 20h"""),
    row("and one microsecond later", (FIXED, "10h " + SECOND), "10h+ closed; 18h sweep", """
        solved 1 by version 2: provisional, met 10h+ by closed@10h+, settles 18h+, x1
            10h+ -> open, event begin, by closed@10h+
            10h+ open -> provisional, event bill, by closed@10h+"""),
    row("it is the first event that counts, not the meeting", (FIXED, "10h " + SECOND), "9h escalated; 11h closed; 16h sweep", """
        solved 1: confirmed, met 11h by closed@11h, settles 16h, settled 16h, x1
            9h -> open, event begin, by escalated@9h
            11h open -> provisional, event bill, by closed@11h
            16h provisional -> confirmed, clock settle"""),
    row("the attempt after it takes the version of its own beginning", (FIXED, "10h " + SECOND), "8h closed; 9h reopened; 11h closed; 19h sweep", """
        solved 1: void, met 8h by closed@8h, settles 13h, ended 9h by reopened@9h
            8h -> open, event begin, by closed@8h
            8h open -> provisional, event bill, by closed@8h
            9h provisional -> void, event void, by reopened@9h
        solved 2 by version 2: confirmed, met 11h by closed@11h, settles 19h, settled 19h, x1
            11h -> open, event begin, by closed@11h
            11h open -> provisional, event bill, by closed@11h
            19h provisional -> confirmed, clock settle"""),
    row("before the first dated version there is no condition", ("10h " + FIXED,), "10h- closed; 10h closed; 15h sweep", """
        solved 1: confirmed, met 10h by closed@10h, settles 15h, settled 15h, x1
            10h -> open, event begin, by closed@10h
            10h open -> provisional, event bill, by closed@10h
            15h provisional -> confirmed, clock settle"""),

    # Several at once.
    row("two conditions hear one event, and each goes its own way", (FIXED, OTHER), "0h closed; 1h reopened; 7h sweep", """
        other 1: confirmed, met 0h by closed@0h, settles 7h, settled 7h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            7h provisional -> confirmed, clock settle
        solved 1: void, met 0h by closed@0h, settles 5h, ended 1h by reopened@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> void, event void, by reopened@1h"""),
    row("one lapses by it, the other is void", (FIXED, OTHER), "0h closed; 1h escalated; 7h sweep", """
        other 1: void, met 0h by closed@0h, settles 7h, ended 1h by escalated@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> void, event void, by escalated@1h
        solved 1: open
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            1h provisional -> open, event lapse, by escalated@1h"""),
    row("subjects do not touch each other, also at one instant", FIXED, "0h closed & closed ticket=U; 1h reopened ticket=U; 5h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle
        solved/U 1: void, met 0h by closed@0h/U, settles 5h, ended 1h by reopened@1h/U
            0h -> open, event begin, by closed@0h/U
            0h open -> provisional, event bill, by closed@0h/U
            1h provisional -> void, event void, by reopened@1h/U"""),
]  # fmt: skip

# --- late: what arrives after the sweep -------------------------------------------------------------------------------

LATE = [
    row("a void from the window's last microsecond takes the charge back", FIXED, "0h closed; 9h sweep; 5h- reopened (told 9h)", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by reopened@5h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, late late evidence, by reopened@5h-, recorded 9h
        solved 2: void, met 0h by closed@0h, settles 5h, ended 5h- by reopened@5h-
            0h -> open, event begin, by closed@0h, recorded 9h
            0h open -> provisional, event bill, by closed@0h, recorded 9h
            5h- provisional -> void, event void, by reopened@5h-, recorded 9h"""),
    row("exactly at the window's end it is no late evidence but a credit", FIXED, "0h closed; 9h sweep; 5h reopened (told 9h)", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by reopened@5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, event credit, by reopened@5h, recorded 9h"""),
    row("one microsecond later, too", FIXED, "0h closed; 9h sweep; 5h+ reopened (told 9h)", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h+ by reopened@5h+, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h+ confirmed -> reversed, event credit, by reopened@5h+, recorded 9h"""),
    row("a credit that arrives after the credit's end, from its last microsecond", FIXED, "0h closed; 30h sweep; 15h- reopened (told 30h)", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 15h- by reopened@15h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 30h
            15h- confirmed -> reversed, event credit, by reopened@15h-, recorded 30h"""),
    row("from its end on it changes nothing", FIXED, "0h closed; 30h sweep; 15h reopened (told 30h)", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 30h"""),
    row("a lapse takes the charge back, and the attempt is open", FIXED, "0h closed; 9h sweep; 5h- escalated (told 9h); 9h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by escalated@5h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, late late evidence, by escalated@5h-, recorded 9h
        solved 2: open
            0h -> open, event begin, by closed@0h, recorded 9h
            0h open -> provisional, event bill, by closed@0h, recorded 9h
            5h- provisional -> open, event lapse, by escalated@5h-, recorded 9h"""),
    row("what changes nothing writes nothing", FIXED, "0h closed; 9h sweep; 1h closed (told 9h); 9h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("an earlier meeting is no other charge: only the dates move", FIXED, "1h closed; 9h sweep; 0h closed (told 9h); 9h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            1h -> open, event begin, by closed@1h
            1h open -> provisional, event bill, by closed@1h
            6h provisional -> confirmed, clock settle, recorded 9h
            0h confirmed -> confirmed, late restated, by closed@0h, recorded 9h"""),
    row("another quantity is another charge", QUANTITY, "0h closed units=2; 9h sweep; 5h- closed units=3 (told 9h); 9h sweep", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by closed@5h-, x2
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, late late evidence, by closed@5h-, recorded 9h
        solved 2: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x3
            0h -> open, event begin, by closed@0h, recorded 9h
            0h open -> provisional, event bill, by closed@0h, recorded 9h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("silence that was broken ends later: only the dates move", SILENCE, "0h closed; 15h sweep; 5h- closed (told 15h); 15h sweep", """
        quiet 1: confirmed, met 0h by closed@0h, settles 10h-, settled 10h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 15h
            5h- confirmed -> confirmed, late restated, by closed@5h-, recorded 15h"""),
    row("if that is not over yet, the charge is taken back until it is", SILENCE, "0h closed; 9h sweep; 5h- closed (told 9h); 10h sweep", """
        quiet 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by closed@5h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, late late evidence, by closed@5h-, recorded 9h
        quiet 2: confirmed, met 0h by closed@0h, settles 10h-, settled 10h-, x1
            0h -> open, event begin, by closed@0h, recorded 9h
            0h open -> provisional, event bill, by closed@0h, recorded 9h
            10h- provisional -> confirmed, clock settle, recorded 10h"""),
    row("a time told late moves the dates", AT, "0h booked on=26h; 40h sweep; 1h booked on=30h (told 40h); 40h sweep", """
        stayed 1: confirmed, met 0h by booked@0h, settles 30h, settled 30h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            26h provisional -> confirmed, clock settle, recorded 40h
            1h confirmed -> confirmed, late restated, by booked@1h, recorded 40h"""),
    row("a cancellation from the last microsecond takes the charge back", AT, "0h booked on=26h; 40h sweep; 26h- cancelled (told 40h)", """
        stayed 1: reversed, met 0h by booked@0h, settles 26h, settled 26h, ended 26h by cancelled@26h-, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            26h provisional -> confirmed, clock settle, recorded 40h
            26h confirmed -> reversed, late late evidence, by cancelled@26h-, recorded 40h
        stayed 2: open
            0h -> open, event begin, by booked@0h, recorded 40h
            0h open -> provisional, event bill, by booked@0h, recorded 40h
            26h- provisional -> open, event lapse, by cancelled@26h-, recorded 40h"""),
    row("from that time on it changes nothing", AT, "0h booked on=26h; 40h sweep; 26h cancelled (told 40h)", """
        stayed 1: confirmed, met 0h by booked@0h, settles 26h, settled 26h, x1
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            26h provisional -> confirmed, clock settle, recorded 40h"""),
    row("the time arrives after the 180 days, from their last microsecond", AT,
        "0h booked; 180d sweep; 180d- booked on=181d (told 180d); 181d sweep", """
        stayed 1: superseded, met 0h by booked@0h, ended 180d- by booked@180d-
            0h -> open, event begin, by booked@0h
            0h open -> provisional, event bill, by booked@0h
            180d provisional -> void, clock settle at
            180d- void -> superseded, late late evidence, by booked@180d-, recorded 180d
        stayed 2: confirmed, met 0h by booked@0h, settles 181d, settled 181d, x1
            0h -> open, event begin, by booked@0h, recorded 180d
            0h open -> provisional, event bill, by booked@0h, recorded 180d
            181d provisional -> confirmed, clock settle"""),
    row("an early end told late moves the dates", EARLY, "0h closed; 9h sweep; 5h- thanked (told 9h); 9h sweep", """
        praised 1: confirmed, met 0h by closed@0h, settles 5h-, settled 5h-, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h- confirmed -> confirmed, late restated, by thanked@5h-, recorded 9h"""),
    row("told at the window's end it changes nothing", EARLY, "0h closed; 9h sweep; 5h thanked (told 9h); 9h sweep", """
        praised 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h"""),
    row("a void that was one may become a credit by an early end", EARLY, "0h closed; 2h reopened; 9h sweep; 1h thanked (told 9h); 9h sweep", """
        praised 1: superseded, met 0h by closed@0h, settles 5h, ended 1h by thanked@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            2h provisional -> void, event void, by reopened@2h
            1h void -> superseded, late late evidence, by thanked@1h, recorded 9h
        praised 2: reversed, met 0h by closed@0h, settles 1h, settled 1h, ended 2h by reopened@2h, x1
            0h -> open, event begin, by closed@0h, recorded 9h
            0h open -> provisional, event bill, by closed@0h, recorded 9h
            1h provisional -> confirmed, clock settle, recorded 9h
            2h confirmed -> reversed, event credit, by reopened@2h, recorded 9h"""),
    row("a missed attempt is met after all by an event from its last microsecond", FIXED,
        "0h escalated; 52h sweep; 50h- closed (told 52h); 55h sweep", """
        solved 1: superseded, ended 50h- by closed@50h-
            0h -> open, event begin, by escalated@0h
            50h open -> missed, clock expire, recorded 52h
            50h- missed -> superseded, late late evidence, by closed@50h-, recorded 52h
        solved 2: confirmed, met 50h- by closed@50h-, settles 55h-, settled 55h-, x1
            0h -> open, event begin, by escalated@0h, recorded 52h
            50h- open -> provisional, event bill, by closed@50h-, recorded 52h
            55h- provisional -> confirmed, clock settle, recorded 55h"""),
    row("from its end on the event begins the next", FIXED, "0h escalated; 52h sweep; 50h closed (told 52h); 55h sweep", """
        solved 1: missed, ended 50h
            0h -> open, event begin, by escalated@0h
            50h open -> missed, clock expire, recorded 52h
        solved 2: confirmed, met 50h by closed@50h, settles 55h, settled 55h, x1
            50h -> open, event begin, by closed@50h, recorded 52h
            50h open -> provisional, event bill, by closed@50h, recorded 52h
            55h provisional -> confirmed, clock settle"""),
    row("silence that was broken lets it be missed later", FIXED, "0h escalated; 99h sweep; 40h escalated (told 99h); 99h sweep", """
        solved 1: missed, ended 90h
            0h -> open, event begin, by escalated@0h
            50h open -> missed, clock expire, recorded 99h
            40h missed -> missed, late restated, by escalated@40h, recorded 99h"""),
    row("what was void was not met any more: the void is withdrawn, and what began after it", FIXED,
        "0h closed; 2h reopened; 3h escalated; 1h escalated (told 4h); 5h sweep", """
        solved 1: superseded, met 0h by closed@0h, settles 5h, ended 1h by escalated@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            2h provisional -> void, event void, by reopened@2h
            1h void -> superseded, late late evidence, by escalated@1h, recorded 4h
        solved 2: superseded, ended 1h by escalated@1h
            3h -> open, event begin, by escalated@3h
            1h open -> superseded, late late evidence, by escalated@1h, recorded 4h
        solved 3: open
            0h -> open, event begin, by closed@0h, recorded 4h
            0h open -> provisional, event bill, by closed@0h, recorded 4h
            1h provisional -> open, event lapse, by escalated@1h, recorded 4h"""),
    row("a provisional attempt that should not be is withdrawn, too", EARLY.replace("credit within 10 hours when reopened\n", ""),
        "0h closed; 2h reopened; 3h closed; 1h thanked (told 4h); 5h sweep", """
        praised 1: superseded, met 0h by closed@0h, settles 5h, ended 1h by thanked@1h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            2h provisional -> void, event void, by reopened@2h
            1h void -> superseded, late late evidence, by thanked@1h, recorded 4h
        praised 2: superseded, met 3h by closed@3h, settles 8h, ended 1h by thanked@1h
            3h -> open, event begin, by closed@3h
            3h open -> provisional, event bill, by closed@3h
            1h provisional -> superseded, late late evidence, by thanked@1h, recorded 4h
        praised 3: confirmed, met 0h by closed@0h, settles 1h, settled 1h, x1
            0h -> open, event begin, by closed@0h, recorded 4h
            0h open -> provisional, event bill, by closed@0h, recorded 4h
            1h provisional -> confirmed, clock settle, recorded 5h"""),
    row("a repetition told late lets the charge after it come to be", REPEAT, "0h closed; 21h closed; 30h sweep; 20h renewed (told 30h); 30h sweep", """
        solved 1: confirmed, met 0h by closed@0h, settles 5h, settled 5h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 30h
        solved 2: confirmed, met 21h by closed@21h, settles 26h, settled 26h, x1
            21h -> open, event begin, by closed@21h, recorded 30h
            21h open -> provisional, event bill, by closed@21h, recorded 30h
            26h provisional -> confirmed, clock settle, recorded 30h"""),
    row("an earlier beginning moves the attempt to the version before: another charge", (FIXED, "10h " + SECOND),
        "10h closed; 20h sweep; 10h- escalated (told 20h); 20h sweep", """
        solved 1 by version 2: reversed, met 10h by closed@10h, settles 18h, settled 18h, ended 18h by escalated@10h-, x1
            10h -> open, event begin, by closed@10h
            10h open -> provisional, event bill, by closed@10h
            18h provisional -> confirmed, clock settle, recorded 20h
            18h confirmed -> reversed, late late evidence, by escalated@10h-, recorded 20h
        solved 2: confirmed, met 10h by closed@10h, settles 15h, settled 15h, x1
            10h- -> open, event begin, by escalated@10h-, recorded 20h
            10h open -> provisional, event bill, by closed@10h, recorded 20h
            15h provisional -> confirmed, clock settle, recorded 20h"""),
    row("of two conditions it takes back the charge of the one that it ends", (FIXED, OTHER), "0h closed; 9h sweep; 1h reopened (told 9h)", """
        other 1: confirmed, met 0h by closed@0h, settles 7h, settled 7h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            7h provisional -> confirmed, clock settle, recorded 9h
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by reopened@1h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, late late evidence, by reopened@1h, recorded 9h
        solved 2: void, met 0h by closed@0h, settles 5h, ended 1h by reopened@1h
            0h -> open, event begin, by closed@0h, recorded 9h
            0h open -> provisional, event bill, by closed@0h, recorded 9h
            1h provisional -> void, event void, by reopened@1h, recorded 9h"""),
    row("a tie that arrives later comes after, in the window", FIXED, "0h closed; 0h reopened (told 4h); 9h sweep", """
        solved 1: void, met 0h by closed@0h, settles 5h, ended 0h by reopened@0h
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            0h provisional -> void, event void, by reopened@0h, recorded 4h"""),
    row("and after the sweep", FIXED, "0h closed; 9h sweep; 0h reopened (told 9h)", """
        solved 1: reversed, met 0h by closed@0h, settles 5h, settled 5h, ended 5h by reopened@0h, x1
            0h -> open, event begin, by closed@0h
            0h open -> provisional, event bill, by closed@0h
            5h provisional -> confirmed, clock settle, recorded 9h
            5h confirmed -> reversed, late late evidence, by reopened@0h, recorded 9h
        solved 2: void, met 0h by closed@0h, settles 5h, ended 0h by reopened@0h
            0h -> open, event begin, by closed@0h, recorded 9h
            0h open -> provisional, event bill, by closed@0h, recorded 9h
            0h provisional -> void, event void, by reopened@0h, recorded 9h"""),
]  # fmt: skip

# --- playing a row ----------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A sweep at ``now``, or else events of one ``time``, accepted in one batch and evaluated at ``now``."""

    now: datetime
    time: datetime
    events: tuple[dict[str, Any], ...] = ()


def instant(text: str) -> datetime:
    count, unit, near = re.fullmatch(r"(\d+)([hd])([+-]?)", text).groups()  # type: ignore[union-attr]
    return START + int(count) * (HOUR if unit == "h" else 24 * HOUR) + {"": 0, "+": 1, "-": -1}[near] * TICK


def hours(at: datetime) -> str:
    """An instant as the table writes it."""
    count = round((at - START) / HOUR)
    near = {0 * TICK: "", TICK: "+", -TICK: "-"}[at - START - count * HOUR]
    return (f"{count // 24}d" if count % 24 == 0 and count >= 72 else f"{count}h") + near


def steps(story: str) -> list[Step]:
    found = []
    for line in story.split("; "):
        at, what, told = re.fullmatch(r"(\S+) (.+?)(?: \(told (\S+)\))?", line).groups()  # type: ignore[union-attr]
        events = () if what == "sweep" else tuple(told_event(at, words) for words in what.split(" & "))
        found.append(Step(instant(told or at), instant(at), events))
    return found


def told_event(at: str, words: str) -> dict[str, Any]:
    kind, *fields = words.split()
    data: dict[str, Any] = {"ticket": "T"}
    for name, value in (field.split("=") for field in fields):
        data[name] = int(value) if value.isdigit() else instant(value) if value[0].isdigit() else value
    ticket = "" if data["ticket"] == "T" else f"/{data['ticket']}"
    return {"id": f"{kind}@{at}{ticket}", "type": kind, "customer": "acme", "time": instant(at), "data": data}


def prepare(conditions: tuple[str, ...]) -> None:
    factories.customer()
    for text in conditions:
        since, dated, rest = text.partition("h ")
        factories.condition(rest if dated else text, effective_from=instant(since + "h") if dated else None)


def play(story: list[Step]) -> None:
    for step in story:
        if step.events:
            results = send(list(step.events), now=step.now)
            assert [result.status for result in results] == ["accepted"] * len(step.events), results
            evaluate_waiting(step.now)
        else:
            settle_due(step.now)


def booked() -> str:
    """All that stands, as the table writes it."""
    names: dict[int | None, str] = dict(Event.objects.values_list("seq", "event_id"))
    lines = []
    for o in Outcome.objects.select_related("condition", "subject", "version").order_by(
        "condition__slug", "subject__key", "ordinal"
    ):
        place = o.condition.slug if o.subject.key == "T" else f"{o.condition.slug}/{o.subject.key}"
        version = "" if o.version.number == 1 else f" by version {o.version.number}"
        parts = [f"{place} {o.ordinal}{version}: {o.state}"]
        if o.met_at:
            parts.append(f"met {hours(o.met_at)} by {names[o.met_by_seq]}")
        parts += [f"settles {hours(o.settles_at)}"] if o.settles_at else []
        parts += [f"settled {hours(o.settled_at)}"] if o.settled_at else []
        if o.ended_at:
            parts.append(f"ended {hours(o.ended_at)}" + (f" by {names[o.ended_by_seq]}" if o.ended_by_seq else ""))
        # An open attempt's may be behind: its subject's state knows.
        parts += [f"due {hours(o.due_at)}"] if o.due_at and o.state != "open" and o.due_at != o.settles_at else []
        parts += [f"x{o.quantity.normalize():f}"] if o.quantity is not None else []
        parts += [f"review {' '.join(o.review)}"] if o.review else []
        lines.append(", ".join(parts))
        lines += [noted(entry, names) for entry in o.journal.order_by("id")]
    return "\n".join(lines)


def noted(entry: Journal, names: dict[int | None, str]) -> str:
    move = f"{entry.from_state} -> {entry.to_state}".strip()
    parts = [f"{hours(entry.effective_at)} {move}", f"{entry.cause} {entry.clause}"]
    parts += [f"by {names[entry.event_seq]}"] if entry.event_seq else []
    parts += [f"recorded {hours(entry.recorded_at)}"] if entry.recorded_at != entry.effective_at else []
    assert (entry.actor, entry.reason) == ("", ""), "no person had a hand in it"
    return ", ".join(parts)


def lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.parametrize("row", [*IN_ORDER, *LATE], ids=lambda row: row.says)
def test_table(row: Row) -> None:
    story = steps(row.story)
    prepare(row.conditions)
    play(story)
    assert booked() == lines(row.booked)
    audited(story[-1].now)
    assert not Pending.objects.exists()


# --- what does not depend on the sweep --------------------------------------------------------------------------------


def unrecorded(text: str) -> str:
    return re.sub(r", recorded \S+", "", lines(text))


def often(told: list[Step]) -> list[Step]:
    """Swept before and after every event."""
    story = []
    for step in told:
        story += [Step(step.now - TICK, step.now - TICK), Step(step.now, step.now), step, Step(step.now, step.now)]
    return story


def once(told: list[Step]) -> list[Step]:
    """Swept at the end."""
    return [step for step in told if step.events] + [Step(told[-1].now, told[-1].now)]


def at_once(told: list[Step]) -> list[Step]:
    """Everything waits and is evaluated in one batch: as after an outage of the workers."""
    events = tuple(event for step in told for event in step.events)
    return [Step(told[-1].now, told[-1].now, events), Step(told[-1].now, told[-1].now)]


@pytest.mark.parametrize("row", IN_ORDER, ids=lambda row: row.says)
def test_however_it_is_swept_and_told_it_is_the_same(row: Row) -> None:
    """But for when it was recorded."""
    told = steps(row.story)
    ways = [often, once]
    # An event of more than 35 days ago is not taken without an import.
    if told[-1].now - told[0].time < timedelta(days=35):
        ways.append(at_once)
    prepare(row.conditions)
    for way in ways:
        with transaction.atomic():
            play(way(told))
            assert unrecorded(booked()) == unrecorded(row.booked), way.__name__
            transaction.set_rollback(True)
        event_types.forget()


def test_the_table_has_every_transition_and_says_each_thing_once() -> None:
    """Those of page 2, section 2 that no person's hand is needed for."""
    rows = [*IN_ORDER, *LATE]
    found = set(re.findall(r"\S+ (\w*) ?-> (\w+)", "\n".join(row.booked for row in rows)))
    assert found == {
        ("", "open"), ("open", "provisional"), ("provisional", "open"), ("provisional", "void"),
        ("provisional", "confirmed"), ("confirmed", "reversed"), ("open", "missed"),
        ("void", "superseded"), ("missed", "superseded"), ("open", "superseded"), ("provisional", "superseded"),
        # Only their dates were corrected.
        ("confirmed", "confirmed"), ("missed", "missed"),
    }  # fmt: skip
    assert len({row.says for row in rows}) == len(rows)
    assert all(a.now <= b.now for row in IN_ORDER for a, b in itertools.pairwise(steps(row.story)))
