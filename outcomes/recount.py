"""Computing again what is booked: each subject's events through the pure lifecycle, each event to its subjects.

Two of the audit's invariants. Subjects and events are read in chunks, so memory stays flat whatever their number; by
default a sample is looked at, drawn by a hash of the row's number and the scope's seed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from access.invariants import Findings, Scope
from conditions_dsl import Event
from contracts.clocks import nows
from contracts.models import ConditionCustomer, ConditionVersion
from outcomes.booking import SUPERSEDED, Booked, begin
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import CONFIRMED, OPEN, REVERSED, Attempt, Decision, Fold, Rules
from outcomes.domain.lifecycle import replay as fold_history
from outcomes.models import Backfill, CustomerBackfill
from outcomes.programs import all_rules, rules_for, subject_key
from outcomes.store import EVENT_COLUMNS, load_decisions, load_due, read_event_row
from outcomes.wire import Incoming, read_event

CHUNK = 500

_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.decode


def _chunks(name: str, table: str, column: str, scope: Scope) -> Iterator[list[int]]:
    """The rows to look at by their number, a chunk at a time: all, or the sample."""
    of_customer = "(%(customer)s::bigint IS NULL OR customer_id = %(customer)s)"
    parameters: dict[str, Any] = {"customer": scope.customer, "seed": scope.seed, "after": -1, "chunk": CHUNK}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE {of_customer}", parameters)
        (total,) = cursor.fetchone()
        if scope.sample is not None and scope.sample < total:
            cursor.execute(
                f"SELECT {column} FROM {table} WHERE {of_customer} "
                f"ORDER BY hashint8extended({column}, %(seed)s), {column} LIMIT %(sample)s",
                parameters | {"sample": scope.sample},
            )
            drawn = [number for (number,) in cursor.fetchall()]
            for start in range(0, len(drawn), CHUNK):
                yield drawn[start : start + CHUNK]
            return
        done = 0
        while True:
            scope.progress(name, done, total)
            cursor.execute(
                f"SELECT {column} FROM {table} WHERE {column} > %(after)s AND {of_customer} "
                f"ORDER BY {column} LIMIT %(chunk)s",
                parameters,
            )
            chunk = [number for (number,) in cursor.fetchall()]
            if not chunk:
                return
            yield chunk
            parameters["after"] = chunk[-1]
            done += len(chunk)


# --- subjects ---------------------------------------------------------------------------------------------------------


def check_subjects(scope: Scope, findings: Findings) -> None:
    """The outcomes that each subject's events give, against those that are booked."""
    rules = all_rules()
    own = {customer: to_us(now) for customer, now in nows().items()}
    now = to_us(scope.now)
    for chunk in _chunks("replay", "outcomes_subject", "id", scope):
        subjects, events, booked = _read_subjects(chunk)
        decisions = _decisions(chunk)
        judged_by = rules_for(rules, {customer for _, customer, _, _, _ in subjects})
        for pk, customer, condition, key, state in subjects:
            findings.checked += 1
            found = (
                _differences(
                    judged_by(customer, condition),
                    key,
                    events[pk],
                    decisions.get(pk, ()),
                    booked[pk],
                    state,
                    own.get(customer, now),
                )
                if condition in rules
                else iter([("the subject's condition has no version", None)])
            )
            for problem, outcome in found:
                findings.violation(
                    {"problem": problem, "customer": customer, "outcome": outcome, "subject": pk, "key": key}
                )


def _decisions(chunk: list[int]) -> dict[int, list[Decision]]:
    with connection.cursor() as cursor:
        return load_decisions(cursor, chunk)


def _read_subjects(
    chunk: list[int],
) -> tuple[list[tuple[int, int, int, str, str]], dict[int, list[Event]], dict[int, list[Booked]]]:
    """Subjects as (id, customer, condition, key, state), their events in order, and their rows."""
    events: dict[int, list[Event]] = defaultdict(list)
    booked: dict[int, list[Booked]] = defaultdict(list)
    with connection.cursor() as cursor:
        # What is archived cannot be computed again: such subjects are not looked at.
        cursor.execute(
            "SELECT DISTINCT f.subject_id FROM outcomes_subject_event f LEFT JOIN outcomes_event e ON e.seq = f.seq "
            "WHERE f.subject_id = ANY(%s) AND e.seq IS NULL",
            [chunk],
        )
        unread = {subject for (subject,) in cursor.fetchall()}
        chunk = [subject for subject in chunk if subject not in unread]
        cursor.execute(
            "SELECT id, customer_id, condition_id, key, state FROM outcomes_subject WHERE id = ANY(%s) ORDER BY id",
            [chunk],
        )
        subjects = cursor.fetchall()
        cursor.execute(
            f"SELECT {EVENT_COLUMNS}, f.subject_id FROM outcomes_subject_event f "
            "JOIN outcomes_event e ON e.seq = f.seq WHERE f.subject_id = ANY(%s) "
            'ORDER BY f.subject_id, f."time", f.seq',
            [chunk],
        )
        for row in cursor.fetchall():
            events[row[-1]].append(read_event_row(row))
        cursor.execute("SELECT id FROM outcomes_outcome WHERE subject_id = ANY(%s)", [chunk])
        for booking, _, _ in load_due(cursor, [pk for (pk,) in cursor.fetchall()]):
            booked[booking.subject].append(booking)
    return subjects, events, booked


def _differences(
    rules: Rules,
    key: str,
    events: Sequence[Event],
    decisions: Sequence[Decision],
    rows: Sequence[Booked],
    state: str,
    now: int,
) -> Iterator[tuple[str, UUID | None]]:
    """What is wrong with one subject, in words, each with the outcome it is about."""
    stranger = next((event for event in events if subject_key(rules, event.data) != key), None)
    if stranger is not None:
        yield f"event {stranger.id} is among the facts and has another key", None
        return
    fold = fold_history(rules, events, decisions)
    stored = fold.dump()
    expected = {attempt.ordinal: [_expected(fold, attempt)] for attempt in fold.touched.values()}
    # Where no event has come past the end of a window, settlement alone may have booked it, once it was over.
    live = fold.attempt
    fold.advance(now)
    if live is not None and live is not fold.attempt:
        expected[live.ordinal].append(_expected(fold, live))

    left = [row for row in rows if row.state != SUPERSEDED]
    ordinals: dict[int, int] = {}
    wrong = []
    for ordinal, forms in expected.items():
        row = next((row for row in left if any(_agrees(row, form) for form in forms)), None)
        if row is None:
            wrong.append(forms)
        else:
            left.remove(row)
            ordinals[ordinal] = row.ordinal
    for forms in wrong:
        row = _nearest(left, forms[-1])
        if row is None:
            begun, form = forms[-1].first_seq, forms[-1]
            yield (
                f"an outcome that its events give is not booked ({_final(form)['state']}, begun by event {begun})",
                None,
            )
        else:
            left.remove(row)
            yield _difference(row, forms), row.id
    for row in left:
        # What was reversed stays reversed, also where later evidence says that it never was.
        if _final(row)["state"] != REVERSED:
            yield f"an outcome is booked ({row.state}) that its events do not give", row.id
    if not wrong and not _same_state(stored, ordinals, rows, state):
        yield "the stored state, which the next event continues from, is not what its events give", None


def _expected(fold: Fold, attempt: Attempt) -> Booked:
    """The row of a computed attempt, as it would be booked anew: what the clock does waits in its queue."""
    row = begin(UUID(int=0), 0, attempt, single=True)
    row.follow(attempt, fold.value(attempt), attempt.changes)
    return row


_COMPARED = (
    "version", "first_time", "first_seq", "last_time", "last_seq", "met_by_seq", "met_at", "settles_at", "quantity",
    "amount", "dimensions", "review",
)  # fmt: skip


def _final(row: Booked) -> dict[str, Any]:
    """A row as it will stand once its queue is booked."""
    final = {"state": row.state} | {name: getattr(row, name) for name in _COMPARED}
    final |= {"settled_at": row.settled_at, "ended_at": row.ended_at, "ended_by_seq": row.ended_by_seq}
    final["due_at"] = None if row.queue else row.due_at
    for change in row.queue:
        final["state"] = change.to_state
        if change.to_state == CONFIRMED:
            final["settled_at"] = change.at
        else:
            final["ended_at"], final["ended_by_seq"] = change.at, change.seq
    return final


def _agrees(row: Booked, form: Booked) -> bool:
    """Whether the row comes to what the form says; its queue is what settlement has not booked of the form's yet."""
    waiting = len(row.queue)
    if row.state == form.state == OPEN and not row.queue and not form.queue:
        # Evaluation writes nothing of an attempt that stays open: these three may be behind, never ahead.
        behind = (row.last_time, row.last_seq) <= (form.last_time, form.last_seq)
        if not behind or row.due_at is None or form.due_at is None or row.due_at > form.due_at:
            return False
        row = replace(row, last_time=form.last_time, last_seq=form.last_seq, due_at=form.due_at)
    return _final(row) == _final(form) and (not waiting or row.queue == form.queue[-waiting:])


def _nearest(rows: Sequence[Booked], form: Booked) -> Booked | None:
    """The row that is most likely meant by a form that none agrees with."""
    for name in ("met_by_seq", "first_seq", "ordinal"):
        for row in rows:
            if getattr(row, name) is not None and getattr(row, name) == getattr(form, name):
                return row
    return None


def _difference(row: Booked, forms: Sequence[Booked]) -> str:
    """In which fields the row differs from the form that is nearest to it."""
    here = _final(row)
    differing = [
        [(name, value, there) for name, there in _final(form).items() if (value := here[name]) != there]
        for form in forms
    ]
    fields = min(differing, key=len)
    if not fields:
        return "what waits to be booked of the outcome is not what its events give"
    return "the outcome is booked with " + ", ".join(
        f"{name} {_text(name, value)} instead of {_text(name, there)}" for name, value, there in fields[:4]
    )


def _text(name: str, value: Any) -> str:
    return from_us(value).isoformat() if name.endswith(("_at", "_time")) and value is not None else str(value)


def _same_state(stored: list[Any], ordinals: dict[int, int], rows: Sequence[Booked], state: str) -> bool:
    """Whether the fold kept with a subject is the one that its events give: ordinals are those of the rows, and
    versions with `... ever` that came since are not in it yet.
    """
    computed, kept = _decode(_encode(stored)), _decode(state) if state else None
    if kept is None:
        return False
    computed[0] = max((row.ordinal for row in rows), default=0)
    for attempt in computed[1:3]:
        if attempt is not None:
            attempt[0] = ordinals[attempt[0]]
    computed[3] = {version: facts for version, facts in computed[3].items() if version in kept[3]}
    return bool(computed == kept)


# --- events -----------------------------------------------------------------------------------------------------------

_EVENTS = f"""
SELECT {EVENT_COLUMNS}, e.customer_id, c.key, e.source, e.received_at, encode(i.fingerprint, 'hex'),
       EXISTS (SELECT FROM outcomes_pending p WHERE p.partition = c.partition AND p."time" = e."time" AND p.seq = e.seq)
       OR EXISTS (SELECT FROM outcomes_inboxitem x WHERE x.event_seq = e.seq AND x.reason = 'archived')
FROM outcomes_event e JOIN contracts_customer c ON c.id = e.customer_id
LEFT JOIN outcomes_event_identity i
    ON i.customer_id = e.customer_id AND i.event_id = e.event_id AND i.source = e.source
WHERE e.seq = ANY(%s)
"""

_AMONG_FACTS = """
SELECT w.seq, w.condition FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::text[])
    AS w (seq, "time", customer, condition, key)
JOIN outcomes_subject s ON s.customer_id = w.customer AND s.condition_id = w.condition AND s.key = w.key
WHERE EXISTS (SELECT FROM outcomes_subject_event f WHERE f.subject_id = s.id AND f."time" = w."time" AND f.seq = w.seq)
   OR EXISTS (SELECT FROM outcomes_lateevidence l WHERE l.event_seq = w.seq AND l.subject_id = s.id)
"""

# The instants of making a version and of receiving an event are those of two processes, taken before either committed.
_SLACK = timedelta(minutes=1)


def check_routing(scope: Scope, findings: Findings) -> None:
    """Each event is among the facts of the subjects that its content names, and its content is what was sent."""
    rules = all_rules()
    slugs = dict(ConditionVersion.objects.values_list("condition_id", "condition__slug"))
    made = dict(ConditionVersion.objects.values_list("id", "created_at"))
    past = dict(Backfill.objects.exclude(done_at=None).values_list("version_id", "since"))
    joined = _joined()
    for chunk in _chunks("routing", "outcomes_event", "seq", scope):
        with connection.cursor() as cursor:
            cursor.execute(_EVENTS, [chunk])
            rows = cursor.fetchall()
        wanted: list[tuple[int, datetime, int, int, str]] = []
        names: dict[int, str] = {}
        for row in rows:
            findings.checked += 1
            event = read_event_row(row)
            customer, customer_key, source, received_at, fingerprint, waits = row[5:]
            names[event.seq] = event.id
            if not source and fingerprint is not None and fingerprint not in _fingerprints(event, customer_key):
                findings.violation(
                    {"problem": "the event's content is not what was sent", "customer": customer, "event": event.seq}
                )
            if not waits:
                wanted += [
                    (event.seq, from_us(event.time), customer, condition, key)
                    for condition, one in rules.items()
                    if rules.concerns(condition, customer)
                    and _has_heard(one, event, received_at, made, past)
                    and ((condition, customer) not in joined or joined[condition, customer](event, received_at))
                    and (key := subject_key(one, event.data)) is not None
                ]
        for row in _not_among_facts(wanted):
            seq, _, customer, condition, key = row
            findings.violation(
                {
                    "problem": f"the event is not among the facts of {slugs[condition]} / {key}",
                    "customer": customer,
                    "event": seq,
                    "event_id": names[seq],
                }
            )


def _has_heard(
    rules: Rules,
    event: Event,
    received_at: datetime,
    made: Mapping[int, datetime],
    past: Mapping[int, datetime | None],
) -> bool:
    """Whether the condition must have heard of the event: one of its versions mentions it, and was made before, or has
    been brought what came before it.
    """
    return any(
        version.program.mentions(event.type)
        and (
            received_at > made[version.id] + _SLACK
            or (version.id in past and ((since := past[version.id]) is None or from_us(event.time) >= since))
        )
        for version in rules.versions
    )


def _joined() -> dict[tuple[int, int], Callable[[Event, datetime], bool]]:
    """(condition, customer that joined it) -> whether it must have heard of an event that was received at an instant:
    it had joined before, or was brought what came before that.
    """

    def has_heard(named: ConditionCustomer) -> Callable[[Event, datetime], bool]:
        past = CustomerBackfill.objects.exclude(done_at=None).filter(named=named).first()

        def heard(event: Event, received_at: datetime) -> bool:
            if received_at > named.created_at + _SLACK:
                return True
            return past is not None and (past.since is None or from_us(event.time) >= past.since)

        return heard

    later = ConditionCustomer.objects.filter(since__isnull=False)
    return {(named.condition_id, named.customer_id): has_heard(named) for named in later}


def _not_among_facts(wanted: list[tuple[int, datetime, int, int, str]]) -> list[tuple[int, datetime, int, int, str]]:
    if not wanted:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_AMONG_FACTS, [list(column) for column in zip(*wanted, strict=True)])
        found = set(cursor.fetchall())
    return [row for row in wanted if (row[0], row[3]) not in found]


def _fingerprints(event: Event, customer: str) -> set[str]:
    """What the content's fingerprint can be: `time` may have been left out when it was sent."""
    body = {"id": event.id, "type": event.type, "customer": customer, "data": event.data}
    encode = msgspec.json.Encoder(decimal_format="number").encode
    read = [read_event(encode(body)), read_event(encode(body | {"time": from_us(event.time)}))]
    return {item.fingerprint for item in read if isinstance(item, Incoming)}
