"""Evaluate what waits: one batch of pending events into outcomes, in one transaction.

Several partitions may share a batch, each locked for the transaction, so one worker at a time works on a partition.
An event newer than all that is folded and booked for its subject costs one fold step (the fast path); any other has
its subject replayed (the slow path). See docs/lifecycle.md for the rules and `outcomes.domain.lifecycle` for their
code.

An event that leaves an attempt open costs no look at its outcome, and no write: most events do.
"""

import gc
import random
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from access.ids import uuid7
from conditions_dsl import Event
from contracts.clocks import nows
from contracts.models import PARTITIONS, Condition
from outcomes.backfill import advance, plan_for
from outcomes.booking import Booked, begin
from outcomes.domain.lifecycle import OPEN, Fold, NeedsReplay, Rules
from outcomes.event_types import note_types
from outcomes.models import InboxItem
from outcomes.programs import MAX_KEY_BYTES, Catalog, RulesFor, all_rules, rules_for, subject_key
from outcomes.replay import slow_path
from outcomes.store import (
    PayloadMissing,
    Taken,
    known_facts,
    load_booked,
    load_subjects,
    new_subject_ids,
    take_pending,
    write_inbox,
    write_outcomes,
    write_subjects,
)
from outcomes.work import EVALUATION_LOCK, Work

log = structlog.get_logger(__name__)

# The same of a lock that evaluations share, and that whoever acts on subjects' states from outside takes alone, for an
# instant: evaluation waits for it, where it passes over a partition that another worker has.
OUTSIDE_LOCK = 7302
# A batch asks for so many partitions at a time: few, so that other workers find some; more than one, to save questions.
LOCKED_AT_ONCE = 8

SubjectKey = tuple[int, int, str]


class Evaluated(NamedTuple):
    """What one batch did: events taken from pending, of which without a key; subjects touched, of which replayed."""

    events: int
    unkeyed: int
    subjects: int
    replayed: int


def evaluate_waiting(now: datetime, *, limit: int | None = None) -> int:
    """Evaluate until nothing waits that nobody else works on (or ``limit`` events are done), and bring new conditions
    what they need of the past, a portion at a time; the number of events.

    A partition whose evaluation raises stays as it is, waiting and so unsettled, with an error in the log; the others
    go on without it.
    """
    done = 0
    broken: set[int] = set()
    while limit is None or done < limit:
        try:
            events = evaluate_batch(now, without=broken).events
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # noqa: BLE001 -- whatever one subject's events provoke must not stop the others
            events = _evaluate_apart(now, broken)
        done += events
        if events == 0 and (broken or not advance(now)):
            break
    return done


def _evaluate_apart(now: datetime, broken: set[int]) -> int:
    """One batch of each waiting partition by itself, after a shared batch failed; those that fail join ``broken``."""
    done = 0
    with connection.cursor() as cursor:
        waiting = _waiting(cursor)
    for partition in sorted(set(waiting) - broken):
        try:
            done += evaluate_batch(now, only=partition).events
        except SoftTimeLimitExceeded:
            raise
        except Exception:
            broken.add(partition)
            log.exception("partition_stalled", partition=partition)
    return done


def evaluate_batch(
    now: datetime, *, size: int | None = None, only: int | None = None, without: Collection[int] = ()
) -> Evaluated:
    """One batch in one transaction, of the partition ``only``, or of any but those in ``without``.

    Locks: the partitions (advisory, skipped where taken), then outcomes by id. Subjects are written under the lock of
    their partition only. Safe to repeat: what is done is no longer pending.
    """
    size = size or settings.EVALUATION_BATCH
    with _without_gc(), transaction.atomic(), connection.cursor() as cursor:
        shares = _lock_partitions(cursor, size, only, without)
        if not shares:
            return Evaluated(0, 0, 0, 0)
        taken = take_pending(cursor, shares)
        rules = all_rules()
        plan_for(rules, now)
        works, unkeyed = _route(taken, rules)
        _note_clocks(works.values())
        _load_subjects(cursor, works)
        _drop_known(cursor, works, {take.event.seq for take in taken if take.again})
        replayed, unread = _fold_all(cursor, works, rules_for(rules, {take.customer for take in taken}), now)
        write_subjects(cursor, works.values())
        for at, booked in _by_now(works.values(), now).items():
            write_outcomes(cursor, booked, at)
        write_inbox(cursor, [*_missing_key(unkeyed), *_archived(unread)], now)
        note_types({take.event.type for take in taken}, now)
    return Evaluated(len(taken), len(unkeyed), len(works), replayed)


@contextmanager
def _without_gc() -> Iterator[None]:
    """A batch makes many thousand objects and no cycles worth a search: the collector took a quarter of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


# A count no larger than what is wanted, so that it costs by the batch and not by the queue. Whoever holds a partition
# from outside may yet want another one, so nobody waits for it here who holds one.
_LOCK = """
SELECT p, (SELECT count(*) FROM (SELECT FROM outcomes_pending WHERE partition = p LIMIT %s) AS bounded),
    pg_try_advisory_xact_lock_shared(%s, p)
FROM unnest(%s::smallint[]) AS p WHERE pg_try_advisory_xact_lock(%s, p)
"""


def _waiting(cursor: CursorWrapper) -> list[int]:
    """Partitions in which events wait: a look at the index for each, whatever the length of the queue."""
    cursor.execute(
        "SELECT p FROM generate_series(0, %s) AS p WHERE EXISTS (SELECT FROM outcomes_pending WHERE partition = p)",
        [PARTITIONS - 1],
    )
    return [partition for (partition,) in cursor.fetchall()]


def _lock_partitions(cursor: CursorWrapper, size: int, only: int | None, without: Collection[int]) -> dict[int, int]:
    """Lock partitions with work that nobody else holds, enough to fill a batch: {partition: its share of the batch}."""
    waiting = [p for p in _waiting(cursor) if p not in without and only in (None, p)]
    # In an order of each worker's own, so that two workers seldom ask for the same lock.
    random.shuffle(waiting)
    counts: dict[int, int] = {}
    held: dict[int, int] = {}
    while waiting and sum(counts.values()) < size:
        asked, waiting = waiting[:LOCKED_AT_ONCE], waiting[LOCKED_AT_ONCE:]
        cursor.execute(_LOCK, [size, OUTSIDE_LOCK, asked, EVALUATION_LOCK])
        for partition, count, free in cursor.fetchall():
            if count:
                (counts if free else held)[partition] = count
    if not counts and held:
        counts = dict([held.popitem()])
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [OUTSIDE_LOCK, *counts])
    # Deep queues give way to each other in proportion; a shallow one is taken whole.
    whole = max(sum(counts.values()), size)
    return {partition: -(-count * size // whole) for partition, count in counts.items()}


def lock_partition(cursor: CursorWrapper, partition: int) -> None:
    """Wait until nobody evaluates this partition, and keep it so for the caller's transaction: a short one, which holds
    no lock that evaluation takes yet and takes none after but those of outcomes, or more partitions: evaluation waits
    for one only while it holds none.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [OUTSIDE_LOCK, partition])


def _route(taken: Iterable[Taken], rules: Catalog) -> tuple[dict[SubjectKey, Work], list[tuple[Taken, list[int]]]]:
    """Events to subjects. The second part holds events that conditions mention and none found its key in, each with
    those conditions.
    """
    works: dict[SubjectKey, Work] = {}
    unkeyed: list[tuple[Taken, list[int]]] = []
    listeners: dict[str, list[tuple[int, Rules]]] = {}
    for take in taken:
        event, customer, partition, _ = take
        if event.type not in listeners:
            listeners[event.type] = [(c, r) for c, r in rules.items() if r.mentions(event.type)]
        found = False
        listening = listeners[event.type]
        if rules.limits and listening:
            listening = [one for one in listening if rules.concerns(one[0], customer)]
        for condition, condition_rules in listening:
            key = subject_key(condition_rules, event.data)
            if key is None:
                continue
            found = True
            place = (customer, condition, key)
            if place not in works:
                works[place] = Work(customer, condition, key, partition)
            works[place].events.append(event)
        if listening and not found:
            unkeyed.append((take, [condition for condition, _ in listening]))
    return works, unkeyed


def _note_clocks(works: Collection[Work]) -> None:
    """What time it is for customers with test clocks; asked after their events were taken, so never before these."""
    own = nows(work.customer for work in works)
    if own:
        for work in works:
            work.clock = own.get(work.customer)


def _by_now(works: Collection[Work], now: datetime) -> dict[datetime, list[Work]]:
    """The subjects by what time it is for their customers."""
    groups: dict[datetime, list[Work]] = {}
    for work in works:
        groups.setdefault(work.clock or now, []).append(work)
    return groups


def _missing_key(unkeyed: Iterable[tuple[Taken, list[int]]]) -> list[tuple[Event, int, str, str]]:
    """What the inbox is told of events without a key."""
    unkeyed = list(unkeyed)
    slugs = dict(Condition.objects.values_list("id", "slug")) if unkeyed else {}
    return [
        (
            take.event,
            take.customer,
            InboxItem.Reason.MISSING_KEY,
            "No condition that mentions this event found its key (a text of at most "
            f"{MAX_KEY_BYTES} bytes, a number, true or false) in `data`: "
            + ", ".join(sorted(slugs[condition] for condition in conditions))
            + ". Send the fact again, under a new id, with the key in it.",
        )
        for take, conditions in unkeyed
    ]


def _archived(unread: Iterable[tuple[Work, PayloadMissing]]) -> list[tuple[Event, int, str, str]]:
    """What the inbox is told of events whose subjects cannot be replayed."""
    return [
        (
            event,
            work.customer,
            InboxItem.Reason.ARCHIVED,
            f"The event is older than what is known of {work.key[:80]!r}, and part of that history is archived. "
            f"Restore {', '.join(missing.months)} (manage.py restore_events), then retry the event from the inbox.",
        )
        for work, missing in unread
        for event in work.events
    ]


def _load_subjects(cursor: CursorWrapper, works: dict[SubjectKey, Work]) -> None:
    """Fill in what is stored of the subjects; those never seen before get an id."""
    if not works:
        return
    for customer, condition, key, pk, state, last in load_subjects(cursor, works):
        work = works[customer, condition, key]
        work.id, work.state, work.last = pk, state, last
    fresh = [work for work in works.values() if not work.id]
    for work, pk in zip(fresh, new_subject_ids(cursor, len(fresh)), strict=True):
        work.id = pk


def _drop_known(cursor: CursorWrapper, works: dict[SubjectKey, Work], again: set[int]) -> None:
    """Of events that are evaluated again, leave out what a subject has among its facts already."""
    if not again:
        return
    asked = [(w.id, e) for w in works.values() if not w.is_new for e in w.events if e.seq in again]
    known = known_facts(cursor, asked)
    for place, work in list(works.items()):
        work.events = [event for event in work.events if (work.id, event.seq) not in known]
        if not work.events:
            del works[place]


def _fold_all(
    cursor: CursorWrapper, works: dict[SubjectKey, Work], rules: RulesFor, now: datetime
) -> tuple[int, list[tuple[Work, PayloadMissing]]]:
    """Fold each subject's events: the number of subjects that had to be replayed, and those that could not be, because
    a part of their history is archived; the latter leave ``works``.
    """
    slow: list[Work] = []
    fast: list[tuple[Work, Fold]] = []
    wanted: list[tuple[int, int]] = []
    for work in works.values():
        if len(work.events) > 1:
            work.events.sort(key=lambda event: (event.time, event.seq))
        try:
            fold = _resume(rules(work.customer, work.condition), work)
        except NeedsReplay:
            slow.append(work)
            continue
        before = _watched(fold)
        for event in work.events:
            fold.apply(event)
        fast.append((work, fold))
        wanted += [(work.id, ordinal) for ordinal in before.union(_changed_before(fold))]
    booked = load_booked(cursor, wanted)
    for work, fold in fast:
        rows = booked.get(work.id, {})
        if rows and work.events[0].time < _booked_until(rows.values()):
            slow.append(work)
        else:
            work.fold = fold
            _book(work, fold, rows, now)
    unread: list[tuple[Work, PayloadMissing]] = []
    for work in slow:
        try:
            slow_path(cursor, work, rules(work.customer, work.condition), now)
        except PayloadMissing as missing:
            del works[work.customer, work.condition, work.key]
            unread.append((work, missing))
            continue
        if not work.events:  # each of them was left out, as late evidence
            del works[work.customer, work.condition, work.key]
    return len(slow) - len(unread), unread


def _resume(rules: Rules, work: Work) -> Fold:
    """The stored fold of a subject. Raises NeedsReplay where its new events are not all newer than what it has seen."""
    if not work.state:
        return Fold(rules)
    first = work.events[0]
    if (first.time, first.seq) < work.last:
        raise NeedsReplay
    return Fold.load(rules, msgspec.json.decode(work.state))


def _watched(fold: Fold) -> set[int]:
    """Ordinals of what settlement may have booked past the fold: those rows tell whether an event comes too late.

    An open attempt is not among them: when settlement closes one, it says so in the subject's `last_time`.
    """
    live, confirmed = fold.attempt, fold.confirmed
    watched = set()
    if live is not None and (live.state != OPEN or fold.rules.historical):
        watched.add(live.ordinal)
    if confirmed is not None and fold.rules.historical:
        watched.add(confirmed.ordinal)
    return watched


def _changed_before(fold: Fold) -> set[int]:
    """Ordinals of the touched attempts that have a row already and need it changed."""
    return {attempt.ordinal for attempt in fold.touched.values() if attempt.changes and attempt.changes[0].from_state}


def _booked_until(rows: Iterable[Booked]) -> int:
    """The latest instant that settlement has booked for a subject: what happened before it is late evidence."""
    return max(
        (instant for row in rows for instant in (row.settled_at, row.ended_at) if instant is not None), default=-(2**63)
    )


def _book(work: Work, fold: Fold, rows: dict[int, Booked], now: datetime) -> None:
    for attempt in fold.touched.values():
        row = rows.get(attempt.ordinal)
        if row is None:
            if not attempt.changes:
                # An open attempt that stays open: nothing anyone may bill or read has changed. Its `due_at` is now
                # earlier than the truth, which settlement asks the subject's state for before it acts on it.
                continue
            row = begin(uuid7(now), work.id, attempt, single=not fold.rules.program(attempt.version).has_repeat)
        row.follow(attempt, fold.value(attempt), attempt.changes)
        work.rows.append(row)
