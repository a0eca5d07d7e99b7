"""Evaluate what waits: one batch of pending events into outcomes, in one transaction.

Several partitions may share a batch, each locked for the transaction, so one worker at a time works on a partition.
An event newer than all that is folded and booked for its subject costs one fold step (the fast path); any other has
its subject replayed (the slow path). See docs/lifecycle.md for the rules and `outcomes.domain.lifecycle` for their
code.
"""

import random
from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from typing import NamedTuple

import msgspec
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from access.ids import uuid7
from conditions_dsl import Event
from contracts.terms import BillingKey, Terms
from contracts.terms import load as load_terms
from outcomes.booking import Booked, begin
from outcomes.domain.instants import from_us
from outcomes.domain.lifecycle import Attempt, Fold, NeedsReplay, Rules, replay
from outcomes.event_types import note_types
from outcomes.models import Pending
from outcomes.programs import all_rules, subject_key
from outcomes.reconcile import reconcile
from outcomes.store import (
    EVENT_COLUMNS,
    load_booked,
    load_subjects,
    new_subject_ids,
    read_event_row,
    read_history,
    write_inbox,
    write_outcomes,
    write_subjects,
)
from outcomes.work import Work

log = structlog.get_logger(__name__)

# First number of the advisory lock (class, partition) that says who works on a partition.
EVALUATION_LOCK = 7301

SubjectKey = tuple[int, int, str]


class Evaluated(NamedTuple):
    """What one batch did: events taken from pending, of which without a key; subjects touched, of which replayed."""

    events: int
    unkeyed: int
    subjects: int
    replayed: int


def evaluate_waiting(now: datetime, *, limit: int | None = None) -> int:
    """Evaluate until nothing waits that nobody else works on (or ``limit`` events are done); the number of events.

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
        if events == 0:
            break
        done += events
    return done


def _evaluate_apart(now: datetime, broken: set[int]) -> int:
    """One batch of each waiting partition by itself, after a shared batch failed; those that fail join ``broken``."""
    done = 0
    for partition in sorted(set(Pending.objects.values_list("partition", flat=True).distinct()) - broken):
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

    Locks: the partitions (advisory, skipped where taken), then subjects, then outcomes by id. Safe to repeat: what is
    done is no longer pending.
    """
    size = size or settings.EVALUATION_BATCH
    with transaction.atomic(), connection.cursor() as cursor:
        partitions = _lock_partitions(cursor, size, only, without)
        if not partitions:
            return Evaluated(0, 0, 0, 0)
        cursor.execute(
            f"""
            SELECT {EVENT_COLUMNS}, e.customer_id, p.partition
            FROM outcomes_pending p JOIN outcomes_event e ON e.seq = p.seq
            WHERE p.partition = ANY(%s) ORDER BY p."time", p.seq LIMIT %s
            """,
            [partitions, size],
        )
        taken = [(read_event_row(row), row[-2], row[-1]) for row in cursor.fetchall()]
        rules = all_rules()
        works, unkeyed = _route(taken, rules)
        _load_subjects(cursor, works)
        replayed = _fold_all(cursor, works, rules, now)
        write_subjects(cursor, works.values())
        write_outcomes(cursor, works.values(), now)
        write_inbox(cursor, unkeyed, now)
        note_types({event.type for event, _, _ in taken}, now)
        cursor.execute(
            "DELETE FROM outcomes_pending p USING unnest(%s::smallint[], %s::bigint[]) AS d(partition, seq) "
            "WHERE p.partition = d.partition AND p.seq = d.seq",
            [[partition for _, _, partition in taken], [event.seq for event, _, _ in taken]],
        )
    return Evaluated(len(taken), len(unkeyed), len(works), replayed)


def _lock_partitions(cursor: CursorWrapper, size: int, only: int | None, without: Collection[int]) -> list[int]:
    """Partitions with work that nobody else holds, enough of them to fill a batch."""
    cursor.execute("SELECT partition, count(*) FROM outcomes_pending GROUP BY partition")
    waiting = [row for row in cursor.fetchall() if row[0] not in without and only in (None, row[0])]
    # In an order of each worker's own, so that two workers seldom ask for the same lock.
    random.shuffle(waiting)
    mine: list[int] = []
    events = 0
    for partition, count in waiting:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [EVALUATION_LOCK, partition])
        if cursor.fetchone()[0]:
            mine.append(partition)
            events += count
            if events >= size:
                break
    return mine


def _route(
    taken: Iterable[tuple[Event, int, int]], rules: dict[int, Rules]
) -> tuple[dict[SubjectKey, Work], list[tuple[Event, int, list[int]]]]:
    """Events to subjects. The second part holds events that conditions mention and none found its key in."""
    works: dict[SubjectKey, Work] = {}
    unkeyed: list[tuple[Event, int, list[int]]] = []
    listeners: dict[str, list[tuple[int, Rules]]] = {}
    for event, customer, partition in taken:
        if event.type not in listeners:
            listeners[event.type] = [(c, r) for c, r in rules.items() if r.mentions(event.type)]
        found = False
        for condition, condition_rules in listeners[event.type]:
            key = subject_key(condition_rules, event.data)
            if key is None:
                continue
            found = True
            place = (customer, condition, key)
            if place not in works:
                works[place] = Work(customer, condition, key, partition)
            works[place].events.append(event)
        if listeners[event.type] and not found:
            unkeyed.append((event, customer, [condition for condition, _ in listeners[event.type]]))
    return works, unkeyed


def _load_subjects(cursor: CursorWrapper, works: dict[SubjectKey, Work]) -> None:
    """Fill in what is stored of the subjects, locked; subjects never seen before get an id."""
    if not works:
        return
    for customer, condition, key, pk, state, last in load_subjects(cursor, works):
        work = works[customer, condition, key]
        work.id, work.state, work.last = pk, state, last
    fresh = [work for work in works.values() if not work.id]
    for work, pk in zip(fresh, new_subject_ids(cursor, len(fresh)), strict=True):
        work.id = pk


def _fold_all(cursor: CursorWrapper, works: dict[SubjectKey, Work], rules: dict[int, Rules], now: datetime) -> int:
    """Fold each subject's events; the number of subjects that had to be replayed."""
    slow: list[Work] = []
    wanted: list[tuple[int, int]] = []
    for work in works.values():
        work.events.sort(key=lambda event: (event.time, event.seq))
        try:
            condition_rules = rules[work.condition]
            work.fold = (
                Fold.load(condition_rules, msgspec.json.decode(work.state)) if work.state else Fold(condition_rules)
            )
        except NeedsReplay:
            slow.append(work)
            continue
        wanted += [(work.id, a.ordinal) for a in (work.fold.attempt, work.fold.confirmed) if a is not None]
    booked = load_booked(cursor, wanted)
    for work in works.values():
        if work.fold is None:
            continue
        rows = booked.get(work.id, {})
        first = work.events[0]
        if (first.time, first.seq) < work.last or first.time < _booked_until(rows.values()):
            slow.append(work)
        else:
            _fast(work, work.fold, rows, now)
    for work in slow:
        _slow(cursor, work, rules[work.condition], now)
    return len(slow)


def _booked_until(rows: Iterable[Booked]) -> int:
    """The latest instant that settlement has booked for a subject: what happened before it is late evidence."""
    return max(
        (instant for row in rows for instant in (row.settled_at, row.ended_at) if instant is not None), default=-(2**63)
    )


def _fast(work: Work, fold: Fold, rows: dict[int, Booked], now: datetime) -> None:
    for event in work.events:
        fold.apply(event)
    for attempt in fold.touched.values():
        row = rows.get(attempt.ordinal)
        if row is None:
            row = begin(uuid7(now), work.id, attempt, single=_single(fold.rules, attempt))
        row.follow(attempt, fold.value(attempt), attempt.changes)
        work.rows.append(row)


def _slow(cursor: CursorWrapper, work: Work, rules: Rules, now: datetime) -> None:
    """Replay the subject's whole history and book the difference."""
    history = [] if work.is_new else read_history(cursor, work.id)
    events = sorted([*history, *work.events], key=lambda event: (event.time, event.seq))
    work.fold = fold = replay(rules, events)
    rows = list(load_booked(cursor, None, subject=work.id).get(work.id, {}).values())
    # Asked for only where the dates of a confirmed outcome moved, and then read once for all of its subject.
    terms = cache(lambda: load_terms([work.customer]))

    def same_bill(row: Booked, attempt: Attempt) -> bool:
        worth = fold.value(attempt)
        if worth is None or row.version != attempt.version:
            return False
        if (row.quantity, row.amount, row.dimensions) != (worth.quantity, worth.amount, worth.dimensions):
            return False
        if (row.met_at, row.settled_at) == (attempt.met_at, attempt.settled_at):
            return True
        return _billing_key(terms(), work.customer, row) == _billing_key(terms(), work.customer, attempt)

    work.rows = reconcile(
        rows,
        fold,
        work.events[0],
        work.id,
        same_bill=same_bill,
        new_id=lambda: uuid7(now),
        single=lambda attempt: _single(rules, attempt),
    )


def _billing_key(terms: Terms, customer: int, dated: Booked | Attempt) -> BillingKey | None:
    assert dated.met_at is not None and dated.settled_at is not None
    return terms.billing_key(customer, from_us(dated.met_at), from_us(dated.settled_at))


def _single(rules: Rules, attempt: Attempt) -> bool:
    return not rules.program(attempt.version).has_repeat
