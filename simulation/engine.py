"""Stored events to priced results, in force and tried: one pass for each condition, flat memory.

Outcomes are computed by `outcomes.domain.lifecycle.replay`, the function that live evaluation is proved against, and
priced by `pricing`. Nothing is written; the caller holds a `reading.snapshot`.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from conditions_dsl import Event
from contracts.terms import Terms
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import PROVISIONAL, REVERSED, Attempt, Decision, Fold, replay
from outcomes.event_types import seen_types
from outcomes.models import ArchivedMonth, LateEvidence
from outcomes.models import Decision as DecisionRow
from outcomes.programs import subject_key
from outcomes.store import load_decisions
from simulation import reading
from simulation.asked import Asked
from simulation.domain.pairing import pair
from simulation.examples import Examples
from simulation.in_order import Spool
from simulation.ledger import Ledger, Tally
from simulation.pricing import Cell, Place, cells_of
from simulation.scenario import Judged, Scenario

Progress = Callable[[int], None]
"""Told how many events were read since the last call; what it raises ends the run."""


@dataclass(slots=True)
class Difference:
    """Outcomes of one condition that one rule confirms and the other does not, whatever became of them. Of those
    ``lost``, ``lost_reversed`` did not hold even under the rules in force; ``moved_in`` and ``moved_out`` are confirmed
    by both, and by one of them in a billing period that was not asked for. Of those ``kept``, so many are given back
    in force (``kept_reversed_before``) and as tried.
    """

    kept: int = 0
    kept_reversed_before: int = 0
    kept_reversed_after: int = 0
    gained: int = 0
    gained_reversed: int = 0
    lost: int = 0
    lost_reversed: int = 0
    moved_in: int = 0
    moved_out: int = 0


@dataclass
class CustomerResult:
    """One customer: cells in force and tried, and by point of a curve. ``provisional`` are outcomes, in force and
    tried, that were met in the span and are in their settlement window still.
    """

    key: str
    before: dict[Place, Cell]
    after: dict[Place, Cell]
    provisional: tuple[int, int] = (0, 0)
    windows: dict[int, dict[Place, Cell]] = field(default_factory=dict)
    provisional_by_window: dict[int, int] = field(default_factory=dict)
    prices: dict[int, dict[Place, Cell]] = field(default_factory=dict)


@dataclass
class Found:
    """What a run finds besides: by slug how outcomes differ, and the ids of conditions to slugs. ``archived`` are
    months whose events are not there to be read, ``warnings`` what is odd about the text that is tried.
    """

    differences: dict[str, Difference]
    examples: Examples
    slugs: dict[int, str]
    events: int = 0
    archived: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def run(
    asked: Asked, customers: dict[int, str], now: datetime, progress: Progress = lambda read: None
) -> tuple[list[CustomerResult], Found]:
    """Simulate these customers (by id their keys), by what time it is at ``now`` or on their test clocks.

    Memory is that of the customers' sums: call it for some thousands at a time.
    """
    scenario = Scenario(asked, customers)
    with _without_gc(), closing(Spool()) as spool:
        return _Run(scenario, to_us(now), progress, spool).results()


def events_by_customer(asked: Asked, customers: dict[int, str]) -> dict[int, int]:
    """How many events `run` will read of each of these customers: one for each condition that hears of it."""
    scenario, names = Scenario(asked, customers), seen_types()
    found: dict[int, int] = defaultdict(int)
    for judged in scenario.conditions:
        if types := _types(judged, names):
            concerned = [one for one in customers if scenario.concerns(judged.id, one)]
            for customer, events in reading.count(types, concerned).items():
                found[customer] += events
    return found


def _types(judged: Judged, names: Collection[str]) -> list[str]:
    return [name for name in names if any(program.mentions(name) for program in judged.programs)]


class _Run:
    def __init__(self, scenario: Scenario, now: int, progress: Progress, spool: Spool) -> None:
        self.scenario, self.now, self.progress, self.spool = scenario, now, progress, spool
        archived = tuple(ArchivedMonth.objects.order_by("month").values_list("month", flat=True))
        tried = scenario.asked.condition
        warnings = tuple(f"Line {one.line}: {one.message}" for one in ([] if tried is None else tried.diagnostics))
        self.found = Found({}, Examples(scenario.customers), scenario.slugs, archived=archived, warnings=warnings)
        self.ledgers = {one: self._ledger(scenario.before, one) for one in scenario.customers}
        self.tried = self.ledgers
        if scenario.after is not scenario.before:
            self.tried = {one: self._ledger(scenario.after, one) for one in scenario.customers}
        # By customer, and by condition for each way of counting it.
        self.before: dict[int, list[Tally]] = defaultdict(list)
        self.after: dict[int, list[Tally]] = defaultdict(list)
        self.windows: dict[int, dict[int, list[Tally]]] = defaultdict(lambda: defaultdict(list))

    def now_of(self, customer: int) -> int:
        """What time it is for a customer."""
        return self.scenario.clocks.get(customer, self.now)

    def _ledger(self, terms: Terms, customer: int) -> Ledger:
        """Of the periods asked for; those that have not begun owe nothing, not even a fee."""
        asked = self.scenario.asked
        begun = from_us(self.now_of(customer)) + datetime.resolution
        return Ledger(terms, customer, asked.start, min(asked.end, begun))

    def results(self) -> tuple[list[CustomerResult], Found]:
        names = seen_types()
        for judged in self.scenario.conditions:
            if types := _types(judged, names):
                self._replay(judged, types)
        found = []
        for customer, key in self.scenario.customers.items():
            found.append(self._priced(customer, key))
            self.progress(0)  # years of many customers take minutes, too
        return found, self.found

    # --- Replay -------------------------------------------------------------------------------------------------------

    def _replay(self, judged: Judged, types: Collection[str]) -> None:
        condition = judged.id
        concerned = [one for one in self.scenario.customers if self.scenario.concerns(condition, one)]
        if not concerned:
            return
        difference = self.found.differences.setdefault(judged.slug, Difference())
        decisions, left_out = _decisions(condition, concerned), _left_out(condition, concerned)
        # `per` is the same in all versions, so any of them finds the key.
        rules = judged.after(concerned[0])
        keys = rules.versions[0].program.condition.keys
        book: _Book | None = None
        for customer, key, events in reading.subjects(
            keys, lambda data: subject_key(rules, data), types, concerned, self._read
        ):
            known = events
            if left_out:
                known = [event for event in events if (customer, key, event.seq) not in left_out]
            if book is None or book.customer != customer:
                book = self._open(judged, customer, difference)
            decided = decisions.get((customer, key), ())
            if self.scenario.takes_late and len(known) < len(events):
                book.take(key, known, decided, events)
            else:
                book.take(key, known, decided)

    def _read(self, events: int) -> None:
        self.found.events += events
        self.progress(events)

    def _open(self, judged: Judged, customer: int, difference: Difference) -> "_Book":
        book = _Book(self, judged, customer, difference)
        self.before[customer].append(book.before)
        self.after[customer].append(book.after)
        for seconds, tally in book.windows.items():
            self.windows[customer][seconds].append(tally)
        return book

    # --- Prices -------------------------------------------------------------------------------------------------------

    def _priced(self, customer: int, key: str) -> CustomerResult:
        before, after = self.before[customer], self.after[customer]
        result = CustomerResult(key, cells_of(self.ledgers[customer], before), {})
        result.provisional = sum(one.provisional for one in before), sum(one.provisional for one in after)
        tried = self.tried[customer]
        same = tried is self.ledgers[customer] and all(one is other for one, other in zip(before, after, strict=True))
        result.after = result.before if same else cells_of(tried, after)
        curve = self.windows[customer]
        judged = next((one for one in self.scenario.conditions if one.windows), None)
        if judged is not None:
            for seconds in judged.windows:
                tallies = [*curve.get(seconds, ()), *(one for one in after if one.condition != judged.id)]
                result.windows[seconds] = cells_of(tried, tallies)
                result.provisional_by_window[seconds] = sum(one.provisional for one in tallies)
        for percent, reprice in self.scenario.price_points.items():
            result.prices[percent] = cells_of(tried, after, reprice)
        return result


class _Book:
    """One condition of one customer, subject by subject."""

    def __init__(self, run: _Run, judged: Judged, customer: int, difference: Difference) -> None:
        self.customer, self.condition, self.slug = customer, judged.id, judged.slug
        self.now = run.now_of(customer)
        self.span = to_us(run.scenario.asked.start), to_us(run.scenario.asked.end)
        self.difference, self.examples = difference, run.found.examples
        self.ledger, self.tried = run.ledgers[customer], run.tried[customer]
        self.in_force = None if judged.before is None else judged.before(customer)
        self.rules = judged.after(customer)
        self.changes = judged.changes
        scenario = run.scenario
        # Whether outcomes may differ, or belong to other periods; where prices alone do, none is lost or gained.
        self.compares = judged.changes or scenario.takes_late or scenario.cuts
        self.before = Tally(judged.id, run.spool)
        self.after = Tally(judged.id, run.spool) if self.compares or self.tried is not self.ledger else self.before
        self.window_rules = {seconds: rules(customer) for seconds, rules in judged.windows.items()}
        self.windows = {seconds: Tally(judged.id, run.spool) for seconds in self.window_rules}

    def take(
        self, key: str, events: list[Event], decisions: Sequence[Decision], tried_events: list[Event] | None = None
    ) -> None:
        """Count a subject's outcomes; ``tried_events`` are its facts in what is tried, where they are others."""
        before: list[Attempt] = []
        fold: Fold | None = None
        if self.in_force is not None:
            fold = replay(self.in_force, events, decisions, until=self.now)
            before = self._count(fold, self.ledger, self.before)
        tried = fold
        if tried is None or self.changes or tried_events is not None:
            events = events if tried_events is None else tried_events
            tried = replay(self.rules, events, decisions, until=self.now)
        if self.after is not self.before:
            after = self._count(tried, self.tried, self.after)
            if self.compares:
                self._compare(key, events, fold, tried, before, after)
        for seconds, rules in self.window_rules.items():
            self._count(replay(rules, events, decisions, until=self.now), self.tried, self.windows[seconds])

    def _count(self, fold: Fold, ledger: Ledger, tally: Tally) -> list[Attempt]:
        """Those that were confirmed, whatever became of them."""
        found = [attempt for attempt in fold.touched.values() if attempt.settled_at is not None]
        for attempt in found:
            ledger.add(tally, self.condition, attempt)
        running = fold.attempt
        if running is not None and running.state == PROVISIONAL and self._within(running.met_at):
            tally.provisional += 1
        return found

    def _within(self, instant: int | None) -> bool:
        return instant is not None and self.span[0] <= instant < self.span[1]

    def _compare(
        self,
        key: str,
        events: list[Event],
        fold: Fold | None,
        tried: Fold,
        before: list[Attempt],
        after: list[Attempt],
    ) -> None:
        difference = self.difference
        for one, other in pair(before, after):
            here = one is not None and self.ledger.asked(one)
            there = other is not None and self.tried.asked(other)
            if one is not None and other is not None:
                if here and there:
                    difference.kept += 1
                    difference.kept_reversed_before += one.state == REVERSED
                    difference.kept_reversed_after += other.state == REVERSED
                difference.moved_out += here and not there
                difference.moved_in += there and not here
            elif one is not None and here:
                difference.lost += 1
                difference.lost_reversed += one.state == REVERSED
                self.examples.lost(self.slug, self.customer, key, events, one, tried)
            elif other is not None and there:
                difference.gained += 1
                difference.gained_reversed += other.state == REVERSED
                self.examples.gained(self.slug, self.customer, key, events, other, tried, fold)


def _decisions(condition: int, customers: Collection[int]) -> dict[tuple[int, str], list[Decision]]:
    """What people decided, by (customer, key)."""
    rows = DecisionRow.objects.filter(subject__condition=condition, subject__customer__in=customers).order_by()
    subjects = {
        pk: (customer, key)
        for pk, customer, key in rows.values_list("subject_id", "subject__customer_id", "subject__key").distinct()
    }
    if not subjects:
        return {}
    with connection.cursor() as cursor:
        return {subjects[pk]: found for pk, found in load_decisions(cursor, subjects).items()}


def _left_out(condition: int, customers: Collection[int]) -> set[tuple[int, str, int]]:
    """Late evidence that is no fact of its subject, as (customer, key, event)."""
    rows = LateEvidence.objects.filter(subject__condition=condition, subject__customer__in=customers)
    rows = rows.exclude(status=LateEvidence.Status.ACCEPTED)
    return set(rows.order_by().values_list("subject__customer_id", "subject__key", "event_seq"))


@contextmanager
def _without_gc() -> Iterator[None]:
    """Millions of objects are made and none of them in cycles: looking for those took more time than the replay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
