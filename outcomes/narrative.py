"""What happened to an outcome, in sentences that a support person can paste to a customer. Pure: what is told comes in.

One sentence for each row of the journal; each is told from the clause that spoke, in the words of `describe`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from conditions_dsl import Event, Program, english, printer
from conditions_dsl import model as m
from conditions_dsl.program import Settle
from outcomes.domain.clauses import Reading, Standing
from outcomes.domain.instants import from_us
from outcomes.models import Journal, State

NOT_CHARGED = "Nothing is charged for it."
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Told:
    """What the sentences are made of. ``events`` are those of the subject by seq, ``names`` the ids of events that
    cannot be read as such; ``late`` says what the late evidence changed, as half a sentence. Where they are not to be
    ``named``, people are just that.
    """

    program: Program
    standing: Standing
    readings: Sequence[Reading]
    events: Mapping[int, Event]
    received: Mapping[int, datetime]
    late: str = ""
    named: bool = True


def moment(instant: datetime) -> str:
    """'1 March 2026, 10:00 UTC', as exact as it has to be."""
    instant = instant.astimezone(UTC)
    clock = f"{instant:%H:%M}" if not (instant.second or instant.microsecond) else f"{instant:%H:%M:%S}"
    if instant.microsecond:
        clock += f".{instant.microsecond:06}".rstrip("0")
    return f"{instant.day} {instant:%B %Y}, {clock} UTC"


def _to_the_second(instant: datetime) -> str:
    return moment(instant.replace(microsecond=0))


def span(microseconds: int) -> str:
    """'3 days', '1 day 12 hours': a duration in the units of the language."""
    left, parts = microseconds // 1_000_000, []
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"


def tell(told: Told, journal: Sequence[Journal]) -> str:
    """The journal as a paragraph."""
    story = _Story(told)
    sentences = []
    for number, entry in enumerate(journal):
        after = journal[number + 1] if number + 1 < len(journal) else None
        if entry.clause == "begin" and after is not None and _is_met_by(after, entry):
            continue  # told with what it met
        sentences.append(story.sentence(entry))
    return " ".join(filter(None, sentences))


def _is_met_by(after: Journal, begun: Journal) -> bool:
    return after.to_state == State.PROVISIONAL and after.event_seq == begun.event_seq


class _Story:
    def __init__(self, told: Told) -> None:
        self.told = told
        self.condition = told.program.condition
        self.standing = told.standing

    def sentence(self, entry: Journal) -> str:
        if entry.cause == Journal.Cause.PERSON:
            return self._person(entry)
        if entry.to_state == State.SUPERSEDED or entry.clause in ("late evidence", "restated"):
            return self._late(entry)
        when = moment(entry.effective_at)
        event = self._event(entry.event_seq)
        late = ", which arrived late," if entry.cause == Journal.Cause.LATE else ""
        match entry.to_state, entry.clause:
            case _, "begin":
                return f"It began on {when} with {event}."
            case _, "bill":
                return f"On {when}, {event}{late} met the condition: {english.say(self.condition.bill)}."
            case _, "lapse":
                return f"On {when}, {event}{late} undid that: the condition no longer held."
            case State.CONFIRMED, _:
                return self._confirmed(when)
            case State.VOID, "settle at":
                value = (
                    english.value(self.condition.settle.value)
                    if self.condition.settle and self.condition.settle.value
                    else ""
                )
                return (
                    f"No usable time came from {value} for 180 days, so on {when} it ended void, flagged for a person "
                    f"to look at. {NOT_CHARGED}"
                )
            case State.VOID, _:
                planned = ""
                if self.standing.settles_at is not None:
                    planned = f" (it was to be final on {moment(from_us(self.standing.settles_at))})"
                why = self._why("void")
                return f"On {when}, before it was final{planned}, {event}{late} made it void: {why}. {NOT_CHARGED}"
            case State.MISSED, _:
                patience = span(self.told.program.expire)
                return (
                    f"Nothing further came for {patience} while the condition did not hold, so on {when} it ended as "
                    f"missed. {NOT_CHARGED}"
                )
            case State.REVERSED, "credit":
                return f"On {when}, {event} gave the charge back, because after it was final {self._why('credit')}."
            case _:
                return f"On {when} it became {entry.to_state} ({entry.clause})."

    def _event(self, seq: int | None) -> str:
        event = None if seq is None else self.told.events.get(seq)
        return "an event" if event is None else f"event {event.id} ({event.type})"

    def _why(self, clause: str) -> str:
        """The clauses of this name that hold, in words; where none does, all of them."""
        readings = [r for r in self.told.readings if r.clause == clause and r.node is not None]
        holding = [r for r in readings if r.verdict] or readings
        return ", or ".join(_said(r.node, r.tree) for r in holding if r.node is not None)

    def _confirmed(self, when: str) -> str:
        program, s = self.told.program, self.standing
        settle: Settle = program.settle
        confirmed = "it was confirmed and became final"
        early = next((r for r in self.told.readings if r.clause == "settle early"), None)
        if early is not None and early.verdict and early.node is not None:
            return f"It became final at once on {when}, because {english.say(early.node)}."
        if s.met_at is None or s.settled_at is None:
            return f"On {when} {confirmed}."
        match settle.kind:
            case "immediately":
                return f"It became final at once, on {when}."
            case "silence":
                asked = next((r.asked_of for r in self.told.readings if r.clause == "settle"), [])
                if asked and s.settled_at == asked[-1].time + settle.duration:
                    quiet = f"After {self._event(asked[-1].seq)} nothing more happened for {span(settle.duration)}"
                else:
                    quiet = f"{span(settle.at_most)} after it was met the longest window ended"
                return f"{quiet}, so on {when} {confirmed}."
            case "at":
                assert self.condition.settle is not None and self.condition.settle.value is not None
                by = english.value(self.condition.settle.value)
                offset = f"{span(settle.duration)} after the time given by" if settle.duration else "The time given by"
                return f"{offset} {by} came on {when}{self._unharmed()}, so {confirmed}."
            case _:
                window = span(s.settled_at - s.met_at)
                own = "" if s.settled_at - s.met_at == settle.duration else ", as the contract has it,"
                return f"The window of {window}{own} ended on {when}{self._unharmed()}, so {confirmed}."

    def _unharmed(self) -> str:
        """'without ticket.reopened': what did not happen, where that can be said in a few words."""
        if not self.condition.voids:
            return ""
        names = [_names(node) for node in self.condition.voids]
        if not all(names):
            return " without anything that voids it"
        return f" without {' or '.join(dict.fromkeys(name for found in names for name in found))}"

    def _late(self, entry: Journal) -> str:
        found = self.told.events.get(entry.event_seq or -1)
        event, recorded = self._event(entry.event_seq), _to_the_second(entry.recorded_at)
        if found is not None:
            event += f", which happened on {moment(from_us(found.time))}"
            if found.seq in self.told.received:
                event += f" and arrived on {_to_the_second(self.told.received[found.seq])},"
            else:
                event += ","
        if entry.to_state == State.REVERSED:
            because = f": {self.told.late}" if self.told.late else ""
            return f"On {recorded}, late evidence took the charge back{because}. It is {event.rstrip(',')}."
        if entry.to_state == State.SUPERSEDED:
            withdrawn = "showed that things had been otherwise, and this attempt was withdrawn."
            return f"On {recorded}, {event} {withdrawn} {NOT_CHARGED}"
        return f"On {recorded}, {event} changed its dates; what is charged stays the same."

    def _person(self, entry: Journal) -> str:
        who = (self.told.named and entry.actor) or "a person"
        if entry.clause == "complete":
            what = "gave what its events do not tell"
        elif entry.to_state == State.VOID:
            what = "took it back before it was final"
        elif entry.to_state == State.REVERSED:
            what = "took the charge back"
        else:
            what = f"decided ({entry.clause})"
        reason = f", with the reason: “{entry.reason}”" if entry.reason else ""
        nothing = f" {NOT_CHARGED}" if entry.to_state == State.VOID else ""
        return f"On {moment(entry.effective_at)}, {who} {what}{reason}.{nothing}"


def _said(node: m.Node, tree: dict[str, Any] | None) -> str:
    """The condition in words; of one that is true because one of several is, only that one."""
    if isinstance(node, m.Or) and tree is not None and tree["verdict"]:
        pairs = zip(node.members, tree["parts"], strict=True)
        return " and ".join(_said(member, part) for member, part in pairs if part["verdict"])
    return english.say(node)


def _names(node: m.Node) -> list[str]:
    """The events of which any one makes the condition true; empty where it is not as simple as that."""
    match node:
        case m.Seen(no=False, ever=False):
            return [english.event(node.event)]
        case m.Or():
            found = [_names(member) for member in node.members]
            return [name for names in found for name in names] if all(found) else []
        case _:
            return []


def unmet(tree: dict) -> list[str]:
    """The parts of a false condition that stand in its way, as the language writes them."""
    if tree["verdict"]:
        return []
    parts = tree.get("parts", [])
    if tree["kind"] == "and":
        return [text for part in parts for text in unmet(part)]
    return [tree["text"]]


def key_words(program: Program, key: str, texts: Sequence[str]) -> str:
    """'ticket_id T-9': what the outcome is about."""
    names = [printer.path(alternatives[0]).replace("`", "") for alternatives in program.condition.keys]
    return " and ".join(f"{name} {text}" for name, text in zip(names, texts, strict=False)) or key
