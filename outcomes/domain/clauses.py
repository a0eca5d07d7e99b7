"""Each clause of a condition, read for one booked outcome: its verdict, the value seen, the events that decided it.

Which events a clause looks at is the lifecycle's rule (docs/lifecycle.md): `bill when` and the values at all of the
attempt, `void when` at those after it was met, `credit` and `repeat` at those from settlement on. What is ended is read
as it stood when it ended, not as it would be by what came later. Pure; the events come in, in order of (time, seq).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from conditions_dsl import Event, Program, explain_node, explain_value, printer
from conditions_dsl import model as m

from .lifecycle import CONFIRMED, MISSED, OPEN, PROVISIONAL, REVERSED, VOID

Place = tuple[int, int]
"""Where an event stands among the others: (time, seq)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is booked of an outcome. Instants in microseconds.

    ``last`` is None while every event to come belongs to the attempt. ``ended_clause`` is the clause that ended it, as
    the journal has it. ``replaced_at``: from then on `credit` and `repeat` watch a later outcome of the subject.
    ``worth`` is the quantity, the amount and the dimensions as they are stored, as text.
    """

    state: str
    first: Place
    last: Place | None
    met_by: int | None = None
    met_at: int | None = None
    settles_at: int | None = None
    settled_at: int | None = None
    ended_by: int | None = None
    ended_at: int | None = None
    ended_clause: str = ""
    replaced_at: int | None = None
    worth: dict[str, str | None] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.met_at is not None

    @property
    def voided(self) -> bool:
        """By an event: what a person took back has the clause without one."""
        return self.state == VOID and self.ended_clause == "void" and self.ended_by is not None

    @property
    def credited(self) -> bool:
        return self.state == REVERSED and self.ended_clause == "credit"


@dataclass(slots=True)
class Reading:
    """One clause. ``verdict`` is None where the clause has no say: it is asked at events, and none has come for it.

    ``clause`` is its name in the journal's words, ``text`` as the language writes it, ``default`` whether the author
    left it out. ``asked_of`` are the events it looks at; ``until`` is the instant it runs to, in microseconds.
    """

    clause: str
    text: str
    verdict: bool | None = None
    tree: dict[str, Any] | None = None
    value: str | None = None
    until: int | None = None
    default: bool = False
    asked_of: list[Event] = field(default_factory=list)
    node: m.Node | None = None


def read_clauses(program: Program, standing: Standing, history: Sequence[Event]) -> list[Reading]:
    """Every clause of the condition, in canonical order. ``history`` is the subject's whole life, in order."""
    return _Clauses(program, standing, [event for event in history if program.mentions(event.type)]).read()


def agrees(readings: Sequence[Reading], standing: Standing) -> bool:
    """Whether the verdicts say what is booked: it is met when `bill when` is true, void by an event when a `void when`
    is, given back by one when a `credit` is.
    """
    said = {name: [r.verdict for r in readings if r.clause == name] for name in ("bill", "void", "credit")}
    return (
        said["bill"] == [standing.met]
        and (True in said["void"]) is standing.voided
        and (True in said["credit"]) is standing.credited
    )


def worth_fits(readings: Sequence[Reading]) -> bool:
    """Whether quantity, amount and dimensions are what the events tell, as far as they are known at all."""
    return all(
        reading.tree["value"] in (reading.value, printer.text(reading.value))
        for reading in readings
        if reading.clause.startswith(("quantity", "amount", "dimension "))
        and reading.tree is not None
        and reading.value
    )


class _Clauses:
    def __init__(self, program: Program, standing: Standing, events: list[Event]) -> None:
        self.program = program
        self.condition = program.condition
        self.standing = standing
        self.events = events
        attempt = [
            e for e in events if standing.first <= _place(e) and (not standing.last or _place(e) <= standing.last)
        ]
        # The event that voided it is the attempt's last; what else the attempt says, it said before.
        self.facts = [e for e in attempt if not (standing.voided and e.seq == standing.ended_by)]
        met = next((_place(e) for e in attempt if e.seq == standing.met_by), None)
        self.in_window = [] if met is None else [e for e in attempt if _place(e) > met]
        self.after = self._after_settlement(attempt)

    def _after_settlement(self, attempt: list[Event]) -> list[Event]:
        """Those that `credit` and `repeat` watch."""
        s = self.standing
        if s.settled_at is None:
            return []
        last = s.last or (_place(attempt[-1]) if attempt else s.first)
        found = [e for e in self.events if e.time >= s.settled_at and _place(e) > last]
        if s.credited:
            end = next((_place(e) for e in found if e.seq == s.ended_by), None)
            return found if end is None else [e for e in found if _place(e) <= end]
        if s.replaced_at is not None:
            found = [e for e in found if e.time < s.replaced_at]
        if s.ended_at is not None:
            found = [e for e in found if e.time <= s.ended_at and e.seq != s.ended_by]
        return found

    def read(self) -> list[Reading]:
        condition, s = self.condition, self.standing
        readings = [self._asked("bill", f"bill when {printer.node(condition.bill)}", condition.bill, self.facts)]
        for node in condition.voids:
            readings.append(self._asked("void", f"void when {printer.node(node)}", node, self.in_window))
        for credit in condition.credits:
            readings.append(self._credit(credit))
        readings.append(self._settle())
        if condition.early is not None:
            text = f"settle early when {printer.node(condition.early)}"
            readings.append(self._asked("settle early", text, condition.early, self.facts if s.met else []))
        readings.append(self._expire())
        if condition.repeat is not None:
            readings.append(self._repeat(condition.repeat))
        return readings + self._values()

    def _asked(self, clause: str, text: str, node: m.Node, events: list[Event]) -> Reading:
        """A condition over ``events``, as it stood at the latest of them; no verdict where there is none."""
        if not events:
            return Reading(clause, text, node=node)
        tree = explain_node(node, events, history=self._known(events[-1]))
        return Reading(clause, text, tree["verdict"], tree, asked_of=events, node=node)

    def _known(self, event: Event) -> list[Event]:
        """The subject's history up to this event, which is what `… ever` looks at."""
        return [e for e in self.events if _place(e) <= _place(event)]

    def _credit(self, credit: m.Credit) -> Reading:
        text = f"credit within {printer.duration(credit.within)} when {printer.node(credit.when)}"
        if self.standing.settled_at is None:
            return Reading("credit", text, node=credit.when)
        until = self.standing.settled_at + credit.within.microseconds
        reading = self._asked("credit", text, credit.when, [e for e in self.after if e.time < until])
        reading.until = until
        return reading

    def _settle(self) -> Reading:
        """Whether the outcome became final, when, and what its time was read from."""
        s, settle = self.standing, self.condition.settle
        text = "settle after 72 hours" if settle is None else f"settle {printer.settlement(settle)}"
        reading = Reading("settle", text, default=settle is None, asked_of=self.facts if s.met else [])
        if s.met:
            reading.verdict = s.settled_at is not None
            reading.until = s.settled_at if s.settled_at is not None else s.settles_at
        if s.met and settle is not None and settle.value is not None:
            reading.tree = explain_value(settle.value, self.facts)
            reading.value = reading.tree["value"]
        return reading

    def _expire(self) -> Reading:
        s, expire = self.standing, self.condition.expire
        text = f"expire after {'180 days' if expire is None else printer.duration(expire)} of silence"
        reading = Reading("expire", text, default=expire is None)
        if s.state == MISSED:
            reading.verdict, reading.until = True, s.ended_at
        elif s.state == OPEN and self.facts:
            reading.verdict, reading.until = False, self.facts[-1].time + self.program.expire
        if reading.verdict is not None:
            reading.asked_of = self.facts[-1:]
        return reading

    def _repeat(self, node: m.Node) -> Reading:
        """`repeat when` counts from the first event at which it is true: what it says later changes nothing."""
        text = f"repeat when {printer.node(node)}"
        facts = self.program.new("after")
        history = self.program.new("history")
        # The event that gives the charge back is asked no further.
        after = [e for e in self.after if not (self.standing.credited and e.seq == self.standing.ended_by)]
        watched = {e.seq for e in after}
        for event in self.events:
            self.program.fold("history", history, event)
            if event.seq in watched:
                self.program.fold("after", facts, event)
                if self.program.repeated(facts, history):
                    return self._asked("repeat", text, node, [e for e in after if _place(e) <= _place(event)])
        return self._asked("repeat", text, node, after)

    def _values(self) -> list[Reading]:
        """Quantity, amount and dimensions: what is stored, and what they were read from."""
        condition, s = self.condition, self.standing
        facts = self.facts if s.met and s.state in (PROVISIONAL, CONFIRMED, REVERSED) else []
        quantity = condition.quantity
        shown = "1" if quantity is None else _value_text(quantity)
        readings = [Reading("quantity", f"quantity {shown}", default=quantity is None)]
        if isinstance(quantity, m.Value) and facts:
            readings[0].tree = explain_value(quantity, facts)
        if condition.amount is not None:
            readings.append(Reading("amount", f"amount {printer.value(condition.amount)}"))
            if facts:
                readings[-1].tree = explain_value(condition.amount, facts)
        for dimension in condition.dimensions:
            reading = Reading(f"dimension {dimension.name}", printer.dimension(dimension))
            if facts and isinstance(dimension.value, m.Value):
                reading.tree = explain_value(dimension.value, facts)
            elif facts and isinstance(dimension.value, m.Graded):
                reading.tree = self._graded(dimension.value, reading.text, facts)
            readings.append(reading)
        for reading in readings:
            reading.value = s.worth.get(reading.clause)
            reading.asked_of = facts if reading.tree is not None else []
        return readings

    def _graded(self, graded: m.Graded, text: str, facts: list[Event]) -> dict[str, Any]:
        """A node of kind `graded`: the choices up to the first that holds."""
        parts = []
        chosen = graded.otherwise
        for label, node in graded.choices:
            parts.append(explain_node(node, facts, history=self._known(facts[-1])) | {"label": label})
            if parts[-1]["verdict"]:
                chosen = label
                break
        deciding = parts[-1:] if parts[-1]["verdict"] else parts
        ids = list(dict.fromkeys(i for part in deciding for i in part["events"]))
        return {
            "text": text, "kind": "graded", "value": printer.text(chosen), "events": ids, "event_count": len(ids),
            "parts": parts,
        }  # fmt: skip


def _place(event: Event) -> Place:
    return event.time, event.seq


def _value_text(quantity: Any) -> str:
    return printer.value(quantity) if isinstance(quantity, m.Value) else printer.number(quantity)
