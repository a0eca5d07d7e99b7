"""The reference: what should become of one subject, written from the pages on the language and the lifecycle (design
pages 1 and 2), plainly. It shares no code with the engine.

It knows nothing of arrival, batches, rows or journals. It takes all accepted events of a subject and the decisions of
people, goes through them in order of (time, acceptance), and asks every condition of the whole list of events anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from .language import DAY, Condition, Fact, Settle, instant

USUAL_WINDOW = timedelta(hours=72)
USUAL_PATIENCE = 180 * DAY
LONGEST = 180 * DAY


@dataclass(frozen=True)
class Version:
    """A version of a condition and the instant from which it is in force; None: from the beginning of time."""

    number: int
    condition: Condition
    effective_from: datetime | None = None


@dataclass(frozen=True)
class Decision:
    """A person decided at ``at``, of the attempt that was met by ``met_by`` then: took it back, or, where one of the
    figures is given, said what its facts do not tell. ``order`` breaks ties among decisions.
    """

    at: datetime
    order: int
    met_by: Fact
    quantity: Fraction | None = None
    amount: Fraction | None = None

    @property
    def takes_back(self) -> bool:
        return self.quantity is None and self.amount is None


@dataclass
class Attempt:
    """One attempt on the subject, as the story has brought it so far. ``heard`` are its own events, ``after`` those
    that `credit` and `repeat` look at. States as in the pages.
    """

    version: Version
    heard: list[Fact]
    state: str = "open"
    met_by: Fact | None = None
    settles_at: datetime | None = None
    settled_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    after: list[Fact] = field(default_factory=list)
    repeated: bool = False
    quantity: Fraction | None = None
    amount: Fraction | None = None
    dimensions: dict[str, str | None] = field(default_factory=dict)
    review: frozenset[str] = frozenset()
    given: tuple[Fraction | None, Fraction | None] = (None, None)


class Story:
    """One subject. `attempts` holds every attempt in order of beginning; `seen` counts what rarely happens."""

    def __init__(self, versions: Sequence[Version], window: timedelta | None = None) -> None:
        """``window``: what the customer's contract puts in the place of the DURATION of `settle after`."""
        self.versions = versions
        self.window = window
        self.attempts: list[Attempt] = []
        self.history: list[Fact] = []
        self.current: Attempt | None = None  # open or provisional
        self.latest: Attempt | None = None  # the latest confirmed one, while it is not reversed
        self.seen: Counter[str] = Counter()

    def tell(self, facts: Iterable[Fact], decisions: Iterable[Decision], until: datetime) -> list[Attempt]:
        """All of it in order, then the clock to ``until``. A decision comes before events of the same instant."""
        order = [(decision.at, 0, (decision.order,), decision) for decision in decisions]
        order += [(fact.time, 1, fact.order, fact) for fact in facts]
        for _, _, _, one in sorted(order, key=lambda entry: entry[:3]):
            if isinstance(one, Decision):
                self._decide(one)
            else:
                self._hear(one)
        self._clock(until)
        return self.attempts

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _due(self, attempt: Attempt) -> datetime:
        """When the clock alone changes it."""
        if attempt.state == "open":
            return attempt.heard[-1].time + (attempt.version.condition.expire or USUAL_PATIENCE)
        assert attempt.met_by is not None
        return attempt.settles_at or attempt.met_by.time + LONGEST

    def _clock(self, now: datetime) -> None:
        """Windows and expiries that ended at or before ``now`` take effect."""
        attempt = self.current
        if attempt is None or (due := self._due(attempt)) > now:
            return
        self.current = None
        if due == now:
            self.seen[f"{attempt.state} attempt: an event at the very instant it is due"] += 1
        if attempt.state == "open":
            attempt.state, attempt.ended_at = "missed", due
        elif attempt.settles_at is None:
            attempt.state, attempt.ended_at = "void", due
            attempt.review = frozenset({"settle_time_unknown"})
            self.seen["void, because no time to settle at ever came"] += 1
        else:
            attempt.state, attempt.settled_at = "confirmed", due
            self._value(attempt)
            self.latest = attempt
            self._note_confirmed(attempt)

    def _value(self, attempt: Attempt) -> None:
        """What it is worth, as its facts stand at settlement."""
        condition, facts, unknown = attempt.version.condition, attempt.heard, set()
        attempt.quantity = Fraction(1)
        if isinstance(condition.quantity, Decimal):
            attempt.quantity = Fraction(condition.quantity)
        elif condition.quantity is not None:
            attempt.quantity = _billable(condition.quantity.read(facts))
            unknown |= {"quantity_unknown"} if attempt.quantity is None else set()
        if condition.amount is not None:
            attempt.amount = _billable(condition.amount.read(facts))
            unknown |= {"amount_unknown"} if attempt.amount is None else set()
        attempt.dimensions = {one.name: one.read(facts, self.history) for one in condition.dimensions}
        attempt.review = frozenset(unknown)
        self._complete(attempt)

    # --- an event ----------------------------------------------------------------------------------------------------

    def _hear(self, event: Fact) -> None:
        """Windows that ended by now, then `credit` and `repeat` of the latest confirmed outcome, then the attempt in
        progress, or a new one.
        """
        self._clock(event.time)
        self.history.append(event)
        consumed = self.latest is not None and self._watch(self.latest, event)
        if self.current is not None:
            if self.current.version.condition.mentions(event.type):
                self._step(self.current, event)
        elif not consumed and (self.latest is None or self.latest.repeated):
            version = self._in_force(event.time)
            if version is not None and version.condition.mentions(event.type):
                self._note_begin(event)
                self.current = Attempt(version, [])
                self.attempts.append(self.current)
                self._step(self.current, event)

    def _in_force(self, moment: datetime) -> Version | None:
        """The one that started last."""
        started = [one for one in self.versions if one.effective_from is None or one.effective_from <= moment]
        return max(started, key=lambda one: (one.effective_from is not None, one.effective_from), default=None)

    def _watch(self, outcome: Attempt, event: Fact) -> bool:
        """Whether the event was consumed: it gave the charge back, or it made way for another attempt."""
        condition = outcome.version.condition
        if not condition.mentions(event.type):
            return False
        outcome.after.append(event)
        assert outcome.settled_at is not None
        for span, node in condition.credits:
            if node.holds(outcome.after, self.history):
                if event.time < outcome.settled_at + span:
                    outcome.state, outcome.ended_at, outcome.ended_by = "reversed", event.time, event.id
                    self.latest = None
                    self.seen["credit reverses a confirmed outcome"] += 1
                    return True
                if event.time == outcome.settled_at + span:
                    self.seen["an event at the very end of a credit"] += 1
        if (
            condition.repeat is not None
            and not outcome.repeated
            and condition.repeat.holds(outcome.after, self.history)
        ):
            outcome.repeated = True
            return True
        return False

    def _step(self, attempt: Attempt, event: Fact) -> None:
        condition, history = attempt.version.condition, self.history
        attempt.heard.append(event)
        if attempt.state == "provisional":
            assert attempt.met_by is not None
            since = attempt.heard[attempt.heard.index(attempt.met_by) + 1 :]
            if any(node.holds(since, history) for node in condition.voids):
                attempt.state, attempt.ended_at, attempt.ended_by = "void", event.time, event.id
                self.current = None
                return
            if not condition.bill.holds(attempt.heard, history):
                attempt.state, attempt.met_by, attempt.settles_at = "open", None, None
                self.seen["lapse"] += 1
        elif condition.bill.holds(attempt.heard, history):
            attempt.state, attempt.met_by = "provisional", event
        if attempt.state == "provisional":
            attempt.settles_at = self._window(attempt)

    def _window(self, attempt: Attempt) -> datetime | None:
        """When it settles, as known at its latest event; None while nobody has said so."""
        condition, latest, met_by = attempt.version.condition, attempt.heard[-1], attempt.met_by
        assert met_by is not None
        if condition.early is not None and condition.early.holds(attempt.heard, self.history):
            self.seen["settled early"] += 1
            return latest.time
        settle = condition.settle or Settle("after", USUAL_WINDOW)
        if settle.form == "after":
            immediately = condition.settle is not None and not settle.span
            return met_by.time + (settle.span if self.window is None or immediately else self.window)
        if settle.form == "silence":
            end = met_by.time + (LONGEST if settle.at_most is None else settle.at_most)
            if end < latest.time + settle.span:
                self.seen["the absolute end of a silence"] += 1
            return min(end, latest.time + settle.span)
        assert settle.value is not None
        tellers = [attempt.heard[place] for place in settle.value.pattern.of(attempt.heard)]
        if not tellers:
            return None
        teller = tellers[-1] if settle.value.reading == "latest" else tellers[0]
        told = instant(teller.data.get(settle.value.path), teller.time)
        if told is not None and told + settle.span < latest.time:
            self.seen["a time to settle at that is past already"] += 1
        return None if told is None else max(told + settle.span, latest.time)

    # --- a person ----------------------------------------------------------------------------------------------------

    def _decide(self, decision: Decision) -> None:
        """It is about the last attempt that began at or before the event by which the one meant was met."""
        self._clock(decision.at)
        meant = (decision.met_by.time, decision.met_by.order)
        begun = [one for one in self.attempts if (one.heard[0].time, one.heard[0].order) <= meant]
        if not begun or begun[-1].met_by is not decision.met_by:
            self.seen["a decision whose attempt late events changed"] += 1
        if not begun:
            return
        attempt = begun[-1]
        if not decision.takes_back:
            self.seen["what was unknown, and a person completed"] += 1
            attempt.given = (decision.quantity, decision.amount)
            if attempt.settled_at is not None:
                self._complete(attempt)
        elif attempt.state not in ("open", "provisional", "confirmed"):
            return
        elif attempt.state == "confirmed":
            self.seen["confirmed, and taken back"] += 1
            attempt.state, attempt.ended_at = "reversed", decision.at
            self.latest = None if attempt is self.latest else self.latest
        else:
            self.seen[f"{attempt.state}, and taken back"] += 1
            attempt.state, attempt.ended_at = "void", decision.at
            self.current = None

    def _complete(self, attempt: Attempt) -> None:
        """What a person gave stands in the place of what the facts tell, and is unknown no longer."""
        quantity, amount = attempt.given
        if quantity is not None:
            attempt.quantity, attempt.review = quantity, attempt.review - {"quantity_unknown"}
        if amount is not None:
            attempt.amount, attempt.review = amount, attempt.review - {"amount_unknown"}

    # --- what rarely happens -----------------------------------------------------------------------------------------

    def _note_begin(self, event: Fact) -> None:
        if self.attempts:
            before = self.attempts[-1]
            self.seen[f"a new attempt after one that is {before.state}"] += 1
            if before.version is not self._in_force(event.time):
                self.seen["a new attempt by another version"] += 1

    def _note_confirmed(self, attempt: Attempt) -> None:
        assert attempt.settled_at is not None
        if self._in_force(attempt.settled_at) is not attempt.version:
            self.seen["a version came into force inside an attempt"] += 1
        if sum(one.state == "confirmed" for one in self.attempts) > 1:
            self.seen["a subject billed again"] += 1
        if attempt.review:
            self.seen["confirmed with something unknown"] += 1
        condition, met_by = attempt.version.condition, attempt.met_by
        met_before = [
            n for n in range(len(attempt.heard)) if condition.bill.holds(attempt.heard[: n + 1], self.history)
        ]
        if met_by is not None and met_before and attempt.heard[met_before[0]] is not met_by:
            self.seen["met again after a lapse, and confirmed"] += 1


def _billable(value: object) -> Fraction | None:
    """A quantity or an amount: unknown where it is missing, negative or no number."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | Fraction) or value < 0:
        return None
    return Fraction(value)
