"""What a draft makes of events that have come: a bounded look at the newest ones, stored and left as they are."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.urls import reverse

from conditions_dsl import Event, Program, compile, english, explain
from contracts.clocks import nows
from contracts.models import Condition, Customer
from outcomes import narrative
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import CONFIRMED, MISSED, OPEN, PROVISIONAL, REVERSED, VOID
from outcomes.domain.trial import TrialOutcome, run_trial
from outcomes.event_types import seen_types
from outcomes.explain_page import tree_lines
from outcomes.store import EVENT_COLUMNS, read_event_row
from workbench.drafts import Draft

SCANNED = 10_000
"""Events looked through, the newest received: what any text may cost."""
DAYS = 30
SHOWN = 50

# The newest are found by the key alone, whatever their type: a type that nobody sends costs no more than another.
_NEWEST = f"""
SELECT {EVENT_COLUMNS}, e.customer_id FROM (SELECT * FROM outcomes_event ORDER BY seq DESC LIMIT %s) e
WHERE e.type = ANY(%s) AND e."time" >= %s ORDER BY e.seq
"""
_ENDS = {
    OPEN: "open: the condition is not met",
    PROVISIONAL: "met, in its window",
    CONFIRMED: "confirmed",
    REVERSED: "given back",
    VOID: "taken back in its window",
    MISSED: "missed: never met",
}


class Row(NamedTuple):
    """One event, what it did, and the outcome it belongs to."""

    id: str
    href: str
    type: str
    at: str
    customer: str
    subject: str
    did: str
    outcome: "Shown | None"


@dataclass(frozen=True)
class Shown:
    """An outcome of the trial: its state in words, when it settles or was settled, what it is worth, and why."""

    state: str
    when: str
    worth: str
    lines: list[dict[str, Any]]


@dataclass(frozen=True)
class Recent:
    """The newest events of the names in a text, and how many there are; ``counts`` are the outcomes that they lead to,
    by state in words.
    """

    rows: list[Row]
    events: int
    counts: list[tuple[str, int]]
    scanned: int = SCANNED
    days: int = DAYS


def recent(draft: Draft, now: datetime) -> Recent | None:
    """Try a draft on the newest events, each customer by what time it is for it; None of a text that is no condition.

    Outcomes are as if nothing had happened before those events, and by the text's own window.
    """
    reading = draft.reading
    if reading is None:
        return None
    program = compile(reading.condition)
    found = _newest(program, now, draft.condition)
    keys = dict(Customer.objects.filter(pk__in=found).values_list("pk", "key"))
    clocks = nows(found)
    tried: list[tuple[Event, _Trial]] = []
    counts: dict[str, int] = defaultdict(int)
    for customer, events in found.items():
        trial = _Trial(program, keys.get(customer, "?"), events, to_us(clocks.get(customer, now)))
        tried += [(event, trial) for event in events]
        for outcome in trial.outcomes:
            counts[outcome.state] += 1
    newest = sorted(tried, key=lambda one: -one[0].seq)[:SHOWN]
    return Recent(
        rows=[trial.row(event) for event, trial in newest],
        events=len(tried),
        counts=[(said, counts[state]) for state, said in _ENDS.items() if counts[state]],
    )


def _newest(program: Program, now: datetime, condition: Condition | None) -> dict[int, list[Event]]:
    """By customer the events that the text hears of, in the order received."""
    found: dict[int, list[Event]] = defaultdict(list)
    concerned = None
    if condition is not None and condition.limited:
        concerned = set(condition.named.values_list("customer_id", flat=True))
    types = [name for name in seen_types() if program.mentions(name)]
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [SCANNED, types, now - timedelta(days=DAYS)])
        for row in cursor.fetchall():
            if concerned is None or row[-1] in concerned:
                found[row[-1]].append(read_event_row(row))
    return found


class _Trial:
    """The events of one customer, in the order received, and the outcomes that they lead to at ``until``."""

    def __init__(self, program: Program, customer: str, events: list[Event], until: int) -> None:
        self.program, self.customer = program, customer
        # By their place in the order, which is unique: two sources may call two events by one name.
        self.names = {str(event.seq): event for event in events}
        renamed = [Event(name, one.type, one.time, one.seq, one.data) for name, one in self.names.items()]
        self.outcomes = run_trial(program, renamed, now=until)
        self.of: dict[str, TrialOutcome] = {}
        for one in self.outcomes:
            # What gives a charge back comes after the attempt's own events.
            mine = [*(event.id for event in one.events), *filter(None, (one.met_by, one.ended_by))]
            self.of |= dict.fromkeys(mine, one)

    def row(self, event: Event) -> Row:
        subject, outcome = self.program.subject(event.data), self.of.get(str(event.seq))
        if subject is None:
            keys = [" or ".join(map(english.path, key)) for key in self.program.condition.keys]
            did = f"does not belong: it has no {keys[0]}" + "".join(f", or no {key}" for key in keys[1:])
        elif outcome is None:
            did = "changes nothing: it comes after the outcome was settled"
        else:
            did = _did(event, outcome)
        return Row(
            **_link(event),
            type=event.type,
            at=f"{from_us(event.time):%Y-%m-%d %H:%M:%S}",
            customer=self.customer,
            subject=subject or "",
            did=did,
            outcome=None if outcome is None else self.shown(outcome),
        )

    def shown(self, outcome: TrialOutcome) -> Shown:
        links = {event.id: _link(self.names[event.id]) for event in outcome.history}
        return _shown(self.program, outcome, links)


def _did(event: Event, outcome: TrialOutcome) -> str:
    name = str(event.seq)
    if outcome.met_by == name:
        return "meets the condition"
    if outcome.ended_by == name:
        return "takes it back inside its window" if outcome.state == VOID else "has the charge given back"
    if outcome.events and outcome.events[0].seq == event.seq:
        return "begins, and does not meet it alone"
    return "counts, and decides nothing"


def _shown(program: Program, outcome: TrialOutcome, names: dict[str, dict[str, str]]) -> Shown:
    tree = explain(program, outcome.events, history=outcome.history if program.has_history else None)
    when = ""
    if outcome.state == PROVISIONAL:
        when = "no time told yet" if outcome.settles_at is None else f"final on {_moment(outcome.settles_at)}"
    elif outcome.settled_at is not None:
        when = f"final since {_moment(outcome.settled_at)}"
    elif outcome.ended_at is not None:
        when = f"ended on {_moment(outcome.ended_at)}"
    worth = ""
    if outcome.value is not None:
        units = "an unknown number of units" if outcome.value.quantity is None else f"{outcome.value.quantity:f} units"
        parts = [units if units != "1 units" else "1 unit"]
        parts += [f"{name}: {text or 'missing'}" for name, text in outcome.value.dimensions.items()]
        worth = ", ".join(parts)
    return Shown(_ENDS.get(outcome.state, outcome.state), when, worth, list(tree_lines({"parts": [tree]}, names, 0)))


def _moment(instant: int) -> str:
    return narrative.moment(from_us(instant))


def _link(event: Event) -> dict[str, str]:
    return {"id": event.id, "href": reverse("admin:outcomes_event_change", args=[event.seq])}
