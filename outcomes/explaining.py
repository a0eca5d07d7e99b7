"""Why an outcome is what it is: clauses with verdicts and deciding events, what it waits for, and all of it in words.

An ended outcome is explained by the events it really had. Where late evidence undid it, its clauses are read over what
was known before, and what the late evidence changed stands beside them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from django.db import connection

from access import ids
from conditions_dsl import Event, Program, english
from contracts.clocks import now_of
from outcomes import backfill, narrative
from outcomes.booking import LATE, SUPERSEDED
from outcomes.domain.clauses import Reading, Standing, agrees, read_clauses, worth_fits
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import (
    CONFIRMED,
    MISSED,
    OPEN,
    PROVISIONAL,
    REVERSED,
    SETTLE_VALUE_PATIENCE,
    VOID,
    Attempt,
    replay,
)
from outcomes.models import Event as StoredEvent
from outcomes.models import Journal, LateEvidence, Outcome, SubjectEvent
from outcomes.programs import compiled, rules_of
from outcomes.queries import OUTCOME_PREFIX, event_names, journal_json, outcome_json, outcomes, plain
from outcomes.store import load_decisions, read_history

# A subject with more events than this is not read for one person's question.
MOST_EVENTS = 50_000
# So many histories are tried to find what was known when an outcome was undone.
MOST_BELIEFS = 200
_ATTEMPTS_TO_READ = 3


class HistoryTooLong(Exception):
    """The subject has more events than are read for an explanation."""


class Wait(NamedTuple):
    """Something that has yet to happen to an outcome: a code, a sentence, and the instant where one is known. Without a
    code it is only a sentence of the summary, such as the invoice it stands on.
    """

    reason: str
    message: str
    until: datetime | None = None


# What higher apps know of what an outcome waits for (an import, a hold, its invoice); they register it when they load.
# Called with the outcome, its customer and condition at hand, and the present instant.
OUTCOME_WAITS: list[Callable[[Outcome, datetime], Iterable[Wait]]] = []


@dataclass(frozen=True, slots=True)
class UndoneBy:
    """The event that undid an outcome, what it changed as half a sentence, and the outcomes that took its place."""

    event: Event | None
    effect: str
    replaced_by: list[str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is told of one outcome. ``agrees``: the verdicts say what is booked (else see docs/audit.md)."""

    outcome: Outcome
    program: Program
    readings: list[Reading]
    journal: list[Journal]
    waits: list[Wait]
    events: list[Event]
    late: UndoneBy | None
    agrees: bool
    summary: str


def explain_outcome(outcome: Outcome, *, now: datetime, named: bool = True) -> Explanation:
    """Explain a stored outcome as it stands at ``now``, or at what its customer's test clock shows; in words that name
    the people who decided something, unless they are not to be ``named``.

    Reads the subject's whole history, with exact numbers, and locks nothing. Raises PayloadMissing where a part of the
    history is archived, HistoryTooLong, Outcome.DoesNotExist.
    """
    row, journal, history = _read(outcome)
    now = now_of(row.customer, now)
    program = compiled(row.version)
    standing = _standing(row, journal)
    late: UndoneBy | None = None
    known: Sequence[Event] = history
    if row.state in (REVERSED, SUPERSEDED):
        known = _known_before(journal, program, standing, history)
        undone = _moves(journal)[-1]
        if undone.cause == LATE:
            late = _undone_by(row, undone, history)
    readings = read_clauses(program, standing, known)
    waits = [*_waits(row, readings, now, named)]
    for add in OUTCOME_WAITS:
        waits += add(row, now)
    seqs = {entry.event_seq for entry in journal if entry.event_seq is not None}
    told = narrative.Told(
        program=program,
        standing=standing,
        readings=readings,
        events={event.seq: event for event in history},
        received=dict(StoredEvent.objects.filter(seq__in=seqs).values_list("seq", "received_at")),
        late="" if late is None else late.effect,
        named=named,
    )
    return Explanation(
        outcome=row,
        program=program,
        readings=readings,
        journal=journal,
        waits=waits,
        events=_deciding(readings, seqs, history),
        late=late,
        agrees=agrees(readings, standing),
        summary=_summary(row, program, narrative.tell(told, journal), waits),
    )


def _read(outcome: Outcome) -> tuple[Outcome, list[Journal], list[Event]]:
    """The row, its journal and its subject's history, of one moment: read again where something was booked between."""
    if SubjectEvent.objects.filter(subject=outcome.subject_id)[: MOST_EVENTS + 1].count() > MOST_EVENTS:
        raise HistoryTooLong
    seen = None
    for _ in range(_ATTEMPTS_TO_READ):
        row = outcomes().get(id=outcome.id)
        journal = list(row.journal.all())
        if seen is not None and seen == (row.last_seq, len(journal)):
            break
        seen = (row.last_seq, len(journal))
        with connection.cursor() as cursor:
            history = read_history(cursor, outcome.subject_id)
    return row, journal, history


def _standing(row: Outcome, journal: Sequence[Journal]) -> Standing:
    """What is booked, in the words of the pure centre. One that was superseded stands as it did before."""
    state, ended_by, ended_at = row.state, row.ended_by_seq, _us(row.ended_at)
    moves = _moves(journal)
    ended_clause = moves[-1].clause if moves and ended_at is not None else ""
    if state == SUPERSEDED:
        state, ended_by, ended_at, ended_clause = moves[-1].from_state, None, None, ""
        ended = next((entry for entry in reversed(moves) if entry.to_state in (VOID, MISSED)), None)
        if ended is not None:
            # The event that voids an attempt is its last.
            ended_by = None if ended.event_seq is None else row.last_seq
            ended_at, ended_clause = to_us(ended.effective_at), ended.clause
    # Only an open attempt of which nothing is computed ahead takes every event so far: its row may be behind.
    is_last = row.state == OPEN and not row.queue
    worth = {"quantity": plain(row.quantity), "amount": plain(row.amount)}
    return Standing(
        state=state,
        first=(to_us(row.first_time), row.first_seq),
        last=None if is_last else (to_us(row.last_time), row.last_seq),
        met_by=row.met_by_seq,
        met_at=_us(row.met_at),
        settles_at=_us(row.settles_at),
        settled_at=_us(row.settled_at),
        ended_by=ended_by,
        ended_at=ended_at,
        ended_clause=ended_clause,
        replaced_at=_us(_replaced_at(row)),
        worth=worth | {f"dimension {name}": value for name, value in row.dimensions.items()},
    )


def _moves(journal: Sequence[Journal]) -> list[Journal]:
    """The entries that changed the state: `restated` and `complete` do not."""
    return [entry for entry in journal if entry.from_state != entry.to_state]


def _us(instant: datetime | None) -> int | None:
    return None if instant is None else to_us(instant)


def _replaced_at(row: Outcome) -> datetime | None:
    """When the next outcome of the subject became final: from then on that one is watched."""
    if row.settled_at is None:
        return None
    later = Outcome.objects.filter(subject=row.subject_id).exclude(id=row.id)
    # A belief that late evidence withdrew never watched anything.
    withdrawn = Journal.objects.filter(outcome__subject=row.subject_id, to_state=REVERSED, cause=LATE)
    booked = (
        later.filter(state__in=(CONFIRMED, REVERSED), settled_at__gt=row.settled_at)
        .exclude(id__in=withdrawn.values("outcome"))
        .order_by("settled_at")
        .values_list("settled_at", flat=True)
        .first()
    )
    # Computed ahead, to be booked: (from, to, instant in microseconds, ...).
    ahead = [
        change[2] for queue in later.filter(queue__isnull=False).values_list("queue", flat=True)
        for change in queue or () if change[1] == CONFIRMED and change[2] > to_us(row.settled_at)
    ]  # fmt: skip
    found = [*([] if booked is None else [booked]), *map(from_us, ahead)]
    return min(found, default=None)


# --- late evidence ----------------------------------------------------------------------------------------------------


def _known_before(
    journal: Sequence[Journal], program: Program, standing: Standing, history: Sequence[Event]
) -> Sequence[Event]:
    """The history as it was known when the outcome ended: the first of several that explains what was booked.

    What is reversed stays so whatever becomes known later, and when an event was evaluated is not kept.
    """
    agreeing: Sequence[Event] | None = None  # but for the worth, which a person may have completed
    for known in _beliefs(journal, standing, history):
        places = {(event.time, event.seq) for event in known}
        if {standing.first, standing.last or standing.first} <= places:
            readings = read_clauses(program, standing, known)
            if agrees(readings, standing):
                if worth_fits(readings):
                    return known
                agreeing = known if agreeing is None else agreeing
    return history if agreeing is None else agreeing


def _beliefs(journal: Sequence[Journal], standing: Standing, history: Sequence[Event]) -> Iterator[list[Event]]:
    """What may have been known, the likeliest first. Late evidence was not, while the outcome stood."""
    undone = _moves(journal)[-1]
    earlier = journal[max(journal.index(undone) - 1, 0)]
    seqs = [event.seq for event in history]
    received = dict(StoredEvent.objects.filter(seq__in=seqs).values_list("seq", "received_at"))
    is_late = undone.cause == LATE
    others = [event for event in history if not (is_late and event.seq == undone.event_seq)]
    if not is_late or journal[-1] != undone:  # restated since, by what is known now
        yield list(history)
        yield [event for event in others if received[event.seq] <= undone.recorded_at]
    yield [event for event in others if received[event.seq] < undone.recorded_at or event.seq == undone.event_seq]
    yield [event for event in others if undone.event_seq is None or event.seq <= undone.event_seq]
    # Accepted by then, and so evaluated: settlement does not overtake what has been accepted.
    yield [event for event in others if received[event.seq] <= earlier.recorded_at]
    # Else, what was accepted last is left away, one after the other; but not what the outcome itself names.
    named = {standing.first[1], standing.met_by, undone.event_seq, (standing.last or standing.first)[1]}
    for seq in sorted(set(seqs) - named, reverse=True)[:MOST_BELIEFS]:
        others = [event for event in others if event.seq != seq]
        yield others


def _undone_by(row: Outcome, undone: Journal, history: Sequence[Event]) -> UndoneBy:
    event = next((event for event in history if event.seq == undone.event_seq), None)
    with connection.cursor() as cursor:
        decisions = load_decisions(cursor, [row.subject_id]).get(row.subject_id, [])
    computed = replay(rules_of(row.customer_id, row.condition_id), history, decisions)
    attempts = list(computed.touched.values())
    attempt = next((a for a in attempts if row.met_by_seq is not None and a.met_by == row.met_by_seq), None)
    worth = None if attempt is None else computed.value(attempt)
    names = {event.seq: f"{event.id} ({event.type})" for event in history}
    begun = Journal.objects.filter(
        outcome__subject=row.subject_id, from_state="", recorded_at=undone.recorded_at
    ).values_list("outcome", flat=True)
    return UndoneBy(
        event=event,
        effect=_effect(row, attempt, worth and (worth.quantity, worth.amount, worth.dimensions), names),
        replaced_by=[ids.encode(OUTCOME_PREFIX, pk) for pk in dict.fromkeys(begun.order_by("id"))],
    )


def _effect(row: Outcome, attempt: Attempt | None, worth: Any, names: Mapping[int, str]) -> str:
    """What stands in the outcome's place when everything is known, as half a sentence."""
    if row.met_at is None:
        return "with it, the attempt begins otherwise"
    if attempt is None:
        return "with it, the condition is not met by that event"
    if attempt.state == VOID:
        by = "" if attempt.ended_by is None else f" by event {names.get(attempt.ended_by, '')}"
        return f"with it, the outcome is void{by}"
    if worth is not None and worth != (row.quantity, row.amount, row.dimensions):
        before, after = _worth(row.quantity, row.amount, row.dimensions), _worth(*worth)
        return f"with it, the outcome is worth {after} instead of {before}"
    if attempt.settled_at is None:
        return "with it, the outcome is not final yet"
    return f"with it, the outcome became final on {narrative.moment(from_us(attempt.settled_at))}"


def _worth(quantity: Any, amount: Any, dimensions: Mapping[str, Any]) -> str:
    parts = [f"quantity {plain(quantity) or 'unknown'}"]
    parts += [] if amount is None else [f"amount {plain(amount)}"]
    return ", ".join([*parts, *(f"{name} {value}" for name, value in sorted(dimensions.items()) if value is not None)])


# --- what it waits for ------------------------------------------------------------------------------------------------

_REVIEWS = {
    "quantity_unknown": "Its quantity is unknown: a person must set it before it is billed.",
    "amount_unknown": "Its amount is unknown: a person must set it before it is billed.",
    "distinct_overflow": "It counts more different values than are counted exactly: a person must look at it.",
}


def _waits(row: Outcome, readings: Sequence[Reading], now: datetime, named: bool) -> Iterator[Wait]:
    by_clause = {reading.clause: reading for reading in readings}
    settles_at = row.settles_at
    if row.state == OPEN and not row.queue:
        tree = by_clause["bill"].tree
        missing = "; ".join(narrative.unmet(tree)) if tree is not None else ""
        yield Wait("condition", f"It is met once this holds: {missing or by_clause['bill'].text}.")
        expires = by_clause["expire"].until
        if expires is not None:
            until = from_us(expires)
            yield Wait("expiry", f"It ends as missed on {narrative.moment(until)} if nothing more comes.", until)
    elif row.state == PROVISIONAL and settles_at is not None and not row.queue:
        over = "" if settles_at > now else " That instant has passed: settlement books it next."
        yield Wait(
            "window",
            f"It becomes final on {narrative.moment(settles_at)}, unless an event changes it.{over}",
            settles_at,
        )
    elif row.state == PROVISIONAL and settles_at is None and row.met_at is not None and not row.queue:
        until = row.met_at + timedelta(microseconds=SETTLE_VALUE_PATIENCE)
        said = by_clause["settle"].value or "missing"
        message = (
            f"The time to settle at is {said}: it becomes final by an event that tells one, and ends void on "
            f"{narrative.moment(until)} without."
        )
        yield Wait("settle_time", message, until)
    if row.queue:
        at = from_us(row.queue[0][2])
        yield Wait(
            "settlement", f"It becomes {row.queue[0][1]} as of {narrative.moment(at)}: settlement books it next.", at
        )
    if row.condition_id in backfill.unfinished():
        yield Wait(
            "backfill", "Its condition is still reading the events that came before it; nothing settles meanwhile."
        )
    for review in row.review:
        if review in _REVIEWS and row.state in (PROVISIONAL, CONFIRMED):
            yield Wait(review, _REVIEWS[review])
    for left_out in row.late_evidence.exclude(status=LateEvidence.Status.ACCEPTED).order_by("id"):
        event = f"an event of {narrative.moment(left_out.time)}, which arrived late and would take the charge back"
        if left_out.status == LateEvidence.Status.WAITING:
            yield Wait("late_evidence", f"A person must accept or leave out {event}.")
        else:
            who = left_out.decided_by if named else "a person"
            by = f"by {who}: “{left_out.note}”" if left_out.decided_by else "as the contract says"
            yield Wait("", f"Left out, {by}, is {event}.")
    if row.state == CONFIRMED:
        ends = [from_us(r.until) for r in readings if r.clause == "credit" and r.until is not None]
        if ends and max(ends) > now:
            why = ", or ".join(english.say(r.node) for r in readings if r.clause == "credit" and r.node is not None)
            yield Wait(
                "credit", f"The charge is given back if, before {narrative.moment(max(ends))}, {why}.", max(ends)
            )


# --- the answer -------------------------------------------------------------------------------------------------------


def _deciding(readings: Sequence[Reading], seqs: set[int], history: Sequence[Event]) -> list[Event]:
    """The events that any node names, and those of the journal, in order."""
    named: set[str] = set()
    trees = [reading.tree for reading in readings if reading.tree is not None]
    for tree in trees:
        named.update(tree["events"])
        trees += tree.get("parts", [])
    return [event for event in history if event.id in named or event.seq in seqs]


def key_texts(row: Outcome, program: Program) -> list[str]:
    """The parts of a subject's key."""
    return [row.subject.key] if len(program.condition.keys) == 1 else msgspec.json.decode(row.subject.key)


_STATES = {
    OPEN: "It is open: nothing is charged so far.",
    PROVISIONAL: "It is provisional: met, and not final yet.",
    CONFIRMED: "It stands as confirmed",
    MISSED: "",
}


def _summary(row: Outcome, program: Program, story: str, waits: Sequence[Wait]) -> str:
    subject = narrative.key_words(program, row.subject.key, key_texts(row, program))
    head = f"“{row.version.title}” for {subject} ({row.customer.name or row.customer.key})."
    state = _STATES.get(row.state, "")
    if row.state == CONFIRMED:
        state += f", with {_worth(row.quantity, row.amount, row.dimensions)}."
    return " ".join(filter(None, [head, story, state, *(wait.message for wait in waits)]))


def explanation_json(found: Explanation) -> dict[str, Any]:
    """The explanation as the API answers it: plain JSON values, times as datetimes."""
    row, version = found.outcome, found.outcome.version
    names = {event.seq: event.id for event in found.events}
    late = found.late
    return {
        "outcome": outcome_json(row, event_names([row])),
        "condition": {
            "slug": row.condition.slug,
            "version": version.number,
            "effective_from": version.effective_from,
            "title": version.title,
            "text": version.text,
            "description": version.description,
        },
        "summary": found.summary,
        "clauses": [reading_json(reading) for reading in found.readings],
        "waits_for": [wait._asdict() for wait in found.waits if wait.reason],
        "late_evidence": None
        if late is None
        else {
            "event": None if late.event is None else late.event.id,
            "effect": late.effect,
            "replaced_by": late.replaced_by,
        },
        "events": [{"id": event.id, "type": event.type, "time": from_us(event.time)} for event in found.events],
        "journal": [journal_json(entry, names) for entry in found.journal],
        "agrees": found.agrees,
    }


def reading_json(reading: Reading) -> dict[str, Any]:
    asked = reading.asked_of
    return {
        "clause": reading.clause,
        "text": reading.text,
        "default": reading.default,
        "verdict": reading.verdict,
        "value": reading.value,
        "until": None if reading.until is None else from_us(reading.until),
        "asked_of": {
            "events": len(asked),
            "from": from_us(asked[0].time) if asked else None,
            "to": from_us(asked[-1].time) if asked else None,
        },
        "tree": reading.tree,
    }
