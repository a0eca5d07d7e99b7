"""A world from a seed: conditions, customers, events, and every step that will be taken, faults included.

A world is plain data: steps may be taken out of it and what is left still runs, so a failing one can be made small, and
its `repr` is the input of a regression test. All chance is spent here; `engine.py` draws none.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from .language import (
    DAY,
    HOUR,
    After,
    AtLeast,
    Compare,
    Condition,
    Count,
    Dimension,
    Has,
    Node,
    Not,
    Pattern,
    Points,
    Present,
    Settle,
    Value,
    Within,
)

START = datetime(2026, 1, 10, tzinfo=UTC)
TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
CUSTOMERS = ("acme", "globex")
TYPES = ("closed", "closed", "closed", "paid", "reopened", "escalated", "rated", "reopened.later", "note.x", "noise")
# The faults a seed turns on or off, each by itself, so that some seeds have one alone.
FAULTS = (
    "duplicates", "reordering", "late", "conflicts", "ahead", "too old", "no key", "no time", "imports", "unknown",
    "lost wake-ups", "doubled wake-ups", "held back", "crashes", "skew", "jumps", "versions", "grace", "windows",
    "decisions", "left out",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """An event as a client sends it; without ``time`` it happened when it is received."""

    customer: str
    id: str
    type: str
    time: datetime | None
    data: dict[str, Any]


@dataclass(frozen=True)
class Edition:
    """A version of a condition: there from the start, or made by a step. ``effective_from`` as it is asked for."""

    condition: Condition
    effective_from: datetime | None = None


@dataclass(frozen=True)
class Terms:
    """A customer's contract: settlement ``grace``, windows of its own for the conditions of these slugs, and what late
    evidence leads to (reverse, review, ignore).
    """

    grace: timedelta = timedelta()
    windows: tuple[tuple[str, timedelta], ...] = ()
    late: str = "reverse"


@dataclass(frozen=True)
class Crash:
    """The process dies at its ``statement``-th statement or commit (from 1): before it, or just after."""

    statement: int
    after: bool = False


@dataclass(frozen=True)
class Step:
    """One action of `engine.ACTIONS`, at the instant that its process believes it is."""

    do: str
    at: datetime
    what: tuple[Any, ...] = ()
    crash: Crash | None = None


@dataclass(frozen=True)
class World:
    """The first ``initial`` editions are there from the start, the others are made by steps. Of the customers in
    ``terms`` the ``strangers`` become known by a step.
    ``portions`` are the sizes of batches: (of the sweep, of bringing the past to a new condition).
    """

    seed: int
    initial: int
    editions: tuple[Edition, ...]
    terms: dict[str, Terms]
    events: tuple[Event, ...]
    steps: tuple[Step, ...]
    strangers: tuple[str, ...] = ()
    portions: tuple[int, int] = (10_000, 20_000)
    faults: tuple[str, ...] = field(default=())


def draw(seed: int) -> World:
    return _Drawing(seed).world()


# --- conditions -------------------------------------------------------------------------------------------------------

closed, paid, reopened, escalated, rated = map(Pattern, ("closed", "paid", "reopened", "escalated", "rated"))
later, any_reopened, note = Pattern("reopened.later"), Pattern("reopened.*"), Pattern("note.*")
urgent = Pattern("closed", ("priority", "is", "P"))
big = Pattern("rated", ("units", ">", 1))

BILLS: tuple[Node, ...] = (
    Has(closed),
    Has(closed),
    Has(urgent),
    Count("at least", 2, closed),
    Count("exactly", 1, closed),
    AtLeast(1, (Has(closed), Has(paid))),
    After(paid, closed),
    Within(paid, 20 * HOUR, closed),
    Compare(Value("latest", "units", closed), ">=", 1),
    Compare(Value("total", "units", closed), ">", 2),
    Points(((2, Has(closed)), (1, Has(paid)), (-2, Has(escalated))), 2),
)
ALSO: tuple[Node, ...] = (
    Has(escalated, no=True),
    Has(escalated, no=True, ever=True),
    After(reopened, closed, no=True),
    Not(AtLeast(1, (Has(escalated), Has(rated)))),
    AtLeast(1, (Present(Value("latest", "units", rated), False), Compare(Value("latest", "units", rated), ">=", 2))),
    Count("at most", 2, closed),
    Count("fewer than", 3, Pattern("reopened.*")),
    Compare(Value("number", "", rated), "<", 2),
    Compare(Value("distinct", "priority", closed), "is", 1),
    Compare(Value("average", "units", closed), "<=", Decimal("1.5")),
    Compare(Value("first", "priority", closed), "is not", "Q"),
    Within(reopened, 3 * HOUR, closed, no=True),
)
ENDS: tuple[Node, ...] = (
    Has(reopened),
    Has(reopened),
    Has(any_reopened),
    Has(escalated),
    Has(note),
    After(reopened, paid),
    Count("at least", 2, reopened),
    AtLeast(2, (Has(rated), Has(paid, no=True))),
    AtLeast(2, (Has(rated), Has(escalated), Has(note))),
    Has(escalated, ever=True),
    Compare(Value("lowest", "units", rated), "<", 1),
)
WINDOWS = (
    None,
    Settle("after"),
    Settle("after", HOUR),
    Settle("after", 5 * HOUR),
    Settle("after", 2 * DAY),
    Settle("silence", 5 * HOUR),
    Settle("silence", 5 * HOUR, 12 * HOUR),
    Settle("silence", 2 * DAY, 3 * DAY),
    Settle("at", value=Value("latest", "due", closed)),
    Settle("at", 2 * HOUR, value=Value("first", "due", paid)),
)
CREDITS = (3 * HOUR, 10 * HOUR, 3 * DAY)
EXPIRES = (6 * HOUR, 3 * DAY)
QUANTITIES = (
    None,
    Decimal("2.5"),
    Value("latest", "units", closed),
    Value("total", "units", closed),
    Value("highest", "units", rated),
)
DIMENSIONS = (
    Dimension("priority", Value("latest", "priority", closed)),
    Dimension("units", Value("first", "units", closed)),
    Dimension("kind", choices=(("rated", Has(rated)), ("ever", Has(escalated, ever=True))), otherwise="plain"),
)


class _Drawing:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.faults = tuple(fault for fault in FAULTS if self.chance.random() < 0.5)
        self.steps: list[Step] = []

    def on(self, fault: str, rate: float = 1.0) -> bool:
        return fault in self.faults and self.chance.random() < rate

    def world(self) -> World:
        pick = self.chance.choice
        self.hours = pick([12, 48, 120, 300])
        self.tickets: tuple[Any, ...] = pick([("A",), ("A", "A", "A", "B"), (7, "7", Decimal("7.0"), "B")])
        self.customers = CUSTOMERS[: pick([1, 1, 2])]
        self.strangers = tuple(key for key in self.customers if self.on("unknown", 0.6))
        editions = self.editions()
        terms = {key: self.terms(editions) for key in self.customers}
        self.lengths = [length for edition in editions for length in _lengths(edition.condition)]
        self.lengths += [length for one in terms.values() for _, length in one.windows]
        self.graces = [one.grace for one in terms.values()]
        events = self.make_events(pick([10, 12, 16, 20, 25, 32]))
        self.send(events)
        self.work()
        for action in (self.take_imports, self.introduce, self.decide, self.audit):
            action()
        steps = sorted(self.steps, key=lambda step: step.at)
        return World(
            self.seed,
            self.initial,
            tuple(editions),
            terms,
            tuple(self.sent),
            tuple(self.spoil(steps)),
            self.strangers,
            (pick([1, 3, 10_000]), pick([2, 5, 20_000])),
            self.faults,
        )

    # --- conditions and events ---------------------------------------------------------------------------------------

    def editions(self) -> list[Edition]:
        """One or two conditions; others, and later versions of these, are made on the way."""
        pick, chance = self.chance.choice, self.chance.random
        slugs = ("one", "two")[: pick([1, 1, 2])]
        dated = [START - 3 * DAY, START + 5 * HOUR, START + DAY] if "versions" in self.faults else [None]
        found = [Edition(self.condition(slug), pick([None, None, pick(dated)])) for slug in slugs]
        self.initial = len(found)
        if "versions" in self.faults:
            for slug in ("one", *(["three"] if chance() < 0.5 else [])) * pick([1, 1, 2]):
                made = START + HOUR * self.chance.randrange(1, self.hours)
                first = slug == "three" and all(edition.condition.slug != slug for edition in found)
                made = made if first else made + HOUR
                starts = (
                    None
                    if chance() < 0.3
                    else made + pick([HOUR, 5 * HOUR, 1 * DAY, 4 * DAY, *([-2 * DAY] * 2 if first else [])])
                )
                keys = [edition.condition.per for edition in found if edition.condition.slug == slug]
                found.append(Edition(self.condition(slug, *keys[:1]), starts))
                self.steps.append(Step("make_version", made, (len(found) - 1,)))
        return found

    def terms(self, editions: list[Edition]) -> Terms:
        """A window of its own only for a condition that settles after a duration."""
        pick = self.chance.choice
        slugs = sorted({edition.condition.slug for edition in editions[: self.initial]})
        other = {e.condition.slug for e in editions if e.condition.settle and (e.condition.settle.form != "after")}
        return Terms(
            pick([HOUR, 25 * HOUR]) if self.on("grace", 0.7) else timedelta(),
            tuple(
                (slug, pick([HOUR, 5 * HOUR, 3 * DAY]))
                for slug in slugs
                if slug not in other and self.on("windows", 0.7)
            ),
            pick(["review", "ignore"]) if self.on("left out", 0.6) else "reverse",
        )

    def condition(self, slug: str, per: tuple[str, ...] | None = None) -> Condition:
        pick, chance = self.chance.choice, self.chance.random
        bill = pick(BILLS)
        if chance() < 0.5:
            bill = AtLeast(2, (bill, pick(ALSO)))
        if bill.holds([], []):
            bill = AtLeast(2, (Has(closed), bill))
        settle = pick(WINDOWS)
        return Condition(
            slug,
            bill,
            per or pick([("ticket",), ("ticket",), ("ticket", "issue")]),
            settle,
            voids=tuple(self.chance.sample(ENDS, pick([0, 1, 1, 2]))),
            credits=tuple((pick(CREDITS), pick(ENDS)) for _ in range(pick([0, 1, 1, 2]))),
            early=pick([Has(paid), Has(big), Has(rated, ever=True)]) if chance() < 0.25 else None,
            expire=pick(EXPIRES) if chance() < 0.4 else None,
            repeat=pick([Has(later), Has(paid), Has(rated)]) if chance() < 0.4 else None,
            quantity=pick(QUANTITIES),
            amount=Value("latest", "units", paid) if chance() < 0.2 else None,
            dimensions=tuple(self.chance.sample(DIMENSIONS, pick([0, 1, 2]))),
        )

    def make_events(self, count: int) -> list[Event]:
        """Times on a grid of half hours, and at the very ends of windows that other events begin, give or take."""
        pick, chance = self.chance.choice, self.chance.random
        numbers = dict.fromkeys(self.customers, 0)
        events: list[Event] = []
        for _ in range(count):
            time = START + HOUR * self.chance.randrange(0, self.hours) + MINUTE * pick([0, 0, 30])
            customer, ticket = pick(self.customers), pick(self.tickets)
            if events and self.lengths and chance() < 0.4:
                other = pick(events)
                customer, ticket = other.customer, other.data.get("ticket") or ticket
                time = (other.time or time) + pick(self.lengths) + pick([-TICK, 0 * TICK, 0 * TICK, TICK, MINUTE])
            numbers[customer] += 1
            data: dict[str, Any] = {"ticket": ticket, "priority": pick("PQ")}
            data["units"] = pick([1, 1, 2, 2, Decimal("0.5"), "x", -1, None])
            if chance() < 0.7:
                due = time + HOUR * pick([-5, 0, 3, 40, 24 * 365 * 6])
                data["due"] = pick([due.isoformat(), due.isoformat(), "soon", due.replace(tzinfo=None).isoformat()])
            if self.on("no key", 0.15):
                data["issue"] = data.pop("ticket")
                if chance() < 0.5:
                    data["ticket"] = None
            events.append(Event(customer, str(numbers[customer]), pick(TYPES), time, data))
        return events

    # --- how they arrive ---------------------------------------------------------------------------------------------

    def send(self, events: list[Event]) -> None:
        """Each arrives some time after it happened, some twice, some with other content under the same id."""
        self.sent: list[Event] = []
        arrivals: list[tuple[datetime, int]] = []
        for event in events:
            assert event.time is not None
            arrival, number = event.time + self.delay(), len(self.sent)
            self.sent.append(
                Event(event.customer, event.id, event.type, None, event.data) if self.on("no time", 0.1) else event
            )
            arrivals.append((arrival, number))
            while self.on("duplicates", 0.3):
                arrivals.append((arrival + self.chance.choice([0 * HOUR, HOUR, 20 * HOUR, 20 * DAY]), number))
            if self.on("conflicts", 0.1):
                other = Event(event.customer, event.id, event.type, event.time, event.data | {"units": 3})
                arrivals.append((arrival + self.chance.choice([0 * HOUR, 2 * HOUR]), len(self.sent)))
                self.sent.append(other)
        arrivals.sort()
        batch: list[int] = []
        for place, (arrival, number) in enumerate(arrivals):
            batch.append(number)
            following = arrivals[place + 1][0] if place + 1 < len(arrivals) else arrival + DAY
            if following - arrival > 3 * HOUR or self.chance.random() < 0.4:
                self.steps.append(Step("send", arrival, tuple(batch)))
                batch = []

    def delay(self) -> timedelta:
        pick = self.chance.choice
        if self.on("too old", 0.06):
            return 35 * DAY + pick([0 * TICK, TICK, DAY])
        if self.on("late", 0.3):
            return pick([5 * HOUR, DAY, 4 * DAY, 12 * DAY, 30 * DAY])
        if self.on("ahead", 0.15):
            return -pick([MINUTE, 5 * MINUTE, 5 * MINUTE + TICK, 6 * MINUTE])
        if self.on("reordering", 0.5):
            return MINUTE * self.chance.randrange(0, 600)
        return pick([0, 1, 3]) * MINUTE

    # --- what we do meanwhile ----------------------------------------------------------------------------------------

    def work(self) -> None:
        """Evaluations and sweeps among the arrivals. Wake-ups come after a send, or are lost, or come twice; the sweep
        comes now and then, or not for days.
        """
        pick, chance = self.chance.choice, self.chance.random
        sends = sorted(step.at for step in self.steps if step.do == "send")
        first, last = sends[0], sends[-1]
        held = (first + pick([0, 5, 20]) * HOUR, pick([1, 3, 12]) * DAY) if self.on("held back", 0.7) else None
        wakes = 0.25 if "lost wake-ups" in self.faults else 0.7
        sweeps = pick([0.2, 0.5])
        for place, at in enumerate(sends):
            following = sends[place + 1] if place + 1 < len(sends) else last + 5 * DAY
            for _ in range(2 if self.on("doubled wake-ups", 0.5) else 1):
                if chance() < wakes:
                    self.steps.append(Step("evaluate", at + TICK, (pick([0, 0, 1, 3, 100]),)))
            if chance() < sweeps:
                gap = following - at
                at += pick([gap / 2, gap / 2, min(gap, MINUTE)])
                if self.lengths and chance() < 0.3:
                    at = (pick(self.sent).time or at) + pick(self.lengths) + pick(self.graces)
                if held is None or not held[0] <= at <= held[0] + held[1]:
                    self.steps.append(Step("settle", at))
        if self.on("jumps", 0.6):
            jump = first + HOUR * self.chance.randrange(0, self.hours)
            length = pick([2, 9]) * DAY
            self.steps = [
                Step(step.do, step.at + length if step.at > jump else step.at, step.what) for step in self.steps
            ]

    def moment(self) -> datetime:
        return self.chance.choice(self.steps).at + TICK

    def take_imports(self) -> None:
        """While one is open, some of what is sent belongs to it."""
        if not self.on("imports", 0.8):
            return
        opened = self.moment()
        closed_at = opened + self.chance.choice([HOUR, DAY, 10 * DAY, 40 * DAY])
        self.steps = [
            Step("send_import", step.at, step.what)
            if step.do == "send" and opened < step.at <= closed_at and self.chance.random() < 0.7
            else step
            for step in self.steps
        ]
        self.steps += [Step("open_import", opened), Step("close_import", closed_at + TICK)]

    def introduce(self) -> None:
        """Customers become known late, and what waits in the inbox is tried again, in vain or not."""
        for key in self.strangers:
            self.steps.append(Step("create_customer", self.moment(), (key,)))
        for _ in range(
            self.chance.choice([0, 1, 2]) if {"unknown", "ahead", "no key", "too old"} & {*self.faults} else 0
        ):
            self.steps.append(Step("retry_inbox", self.moment()))

    def decide(self) -> None:
        for _ in range(self.chance.choice([1, 2, 3]) if "decisions" in self.faults else 0):
            self.steps.append(Step("decide", self.moment(), (self.chance.randrange(100),)))
        for _ in range(self.chance.choice([0, 1, 2]) if "left out" in self.faults else 0):
            self.steps.append(Step("judge_late", self.moment(), (self.chance.randrange(100),)))

    def audit(self) -> None:
        if self.chance.random() < 0.3:
            self.steps.append(Step("audit", self.moment()))

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def spoil(self, steps: list[Step]) -> list[Step]:
        """Clocks that are minutes off, and processes that die."""
        pick = self.chance.choice
        skew = [0, 0, -10, -1, 1, 5] if "skew" in self.faults else [0]
        spoilt = []
        for step in steps:
            crash = None
            if step.do not in ("audit", "open_import") and self.on("crashes", 0.15):
                crash = Crash(self.chance.randrange(1, STATEMENTS.get(step.do, 4)), pick([False, True]))
            at = step.at
            if step.do in ("send", "send_import", "evaluate", "settle"):
                at += MINUTE * pick(skew)
            spoilt.append(Step(step.do, at, step.what, crash))
        return spoilt


# About how many statements an action takes when it has something to do.
STATEMENTS = {
    "send": 3, "send_import": 6, "evaluate": 22, "settle": 14, "retry_inbox": 10,
    "decide": 20, "judge_late": 20, "make_version": 6,
}  # fmt: skip


def _lengths(condition: Condition) -> list[timedelta]:
    """How long after an event something may be due."""
    settle = condition.settle or Settle("after", timedelta(hours=72))
    windows = [settle.span, *([settle.at_most] if settle.at_most else [])]
    return [
        *windows,
        *(window + span for window in windows for span, _ in condition.credits),
        *([condition.expire] if condition.expire else []),
    ]


Draw = Callable[[int], World]
