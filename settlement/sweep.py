"""The sweep: book what the clock alone has decided. Outcomes whose window is over are confirmed, stale attempts missed.

Set-wise, in order of `due_at`, SKIP LOCKED, in transactions of a bounded size: any number of sweeps may run at once (a
second one begins at the other end), and one that dies leaves whole batches behind. What is booked carries the planned
instant, whenever the sweep got round to it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from contracts.clocks import OWN_NOWS, by_now
from outcomes import backfill
from outcomes.booking import Booked
from outcomes.domain.instants import to_us
from outcomes.domain.lifecycle import CLOCK, MISSED, OPEN, Change, Fold
from outcomes.evaluation import lock_partition
from outcomes.store import close_until, load_due, load_states, write_booked
from settlement import holds
from settlement.watermark import (
    EARLIEST,
    GRACED,
    OWN_EARLIEST,
    PAUSED,
    graces,
    own_watermarks,
    partitions_of,
    watermarks,
)

# So many that what a batch costs by itself (a commit, the look at what is held) is little beside them, and so few that
# two sweeps share what is due evenly.
BATCH = 5000

# First number of the advisory lock that says which of several batches has the front of what is due: it is tried, never
# waited for, and decides nothing but where a batch begins. (Others are named in settlement.holds.)
FRONT_LOCK = 7306

# What is due and whose past is known. The watermarks are read by the same statement (once, not anew for each outcome),
# which so sees every event accepted before it. The columns come from the locked row itself: a second look at the table
# would see it as it was when the statement began, before an evaluation that committed meanwhile.
_BY_WALL = f"""
FROM outcomes_outcome o
LEFT JOIN (WITH waiting AS MATERIALIZED ({EARLIEST}) SELECT * FROM waiting) AS w ON w.partition = o.partition
"""
# Those of a few customers, found by customer: in the order of `due_at` everybody's would be gone through.
_BY_CLOCK = f"""
FROM (SELECT id FROM outcomes_outcome WHERE customer_id = ANY(%(only)s::bigint[]) AND due_at <= %(until)s OFFSET 0) mine
JOIN outcomes_outcome o ON o.id = mine.id
LEFT JOIN ({OWN_EARLIEST}) AS w ON w.customer_id = o.customer_id
"""
_IS_DUE = f"""
LEFT JOIN unnest(%(graced)s::bigint[], %(graces)s::interval[]) AS g(customer_id, grace) ON g.customer_id = o.customer_id
WHERE o.due_at >= %(since)s AND o.due_at <= %(until)s
  AND o.due_at <= least(%(now)s, w.earliest) - coalesce(g.grace, interval '0')
  AND o.customer_id <> ALL(%(paused)s::bigint[]) AND o.condition_id <> ALL(%(unheard)s::bigint[])
  AND o.customer_id <> ALL(%(held_customers)s::bigint[]) AND o.condition_id <> ALL(%(held_conditions)s::bigint[])
  AND {holds.NOT_HELD_ITSELF}
"""
# Where a subject has one charge at most, its attempts are booked in their order: what one before still waits for (its
# charge is to be taken back, and another sweep has it in hand, or it is held) comes first, or two would stand at once.
# A subquery and no EXISTS, which might be answered by a hash of all that is due.
_IN_TURN = """
AND (NOT o.single OR (
    SELECT count(*) FROM outcomes_outcome e WHERE e.subject_id = o.subject_id AND e.due_at IS NOT NULL
      AND (e.first_time, e.first_seq) < (o.first_time, o.first_seq)
) = 0)
"""
_FIRST = "ORDER BY o.due_at, o.id LIMIT %(batch)s FOR UPDATE OF o SKIP LOCKED"
# From the other end, for a batch beside one that has the front: so neither passes over what the other has locked, and
# they meet in the middle.
_LAST = "ORDER BY o.due_at DESC, o.id DESC LIMIT %(batch)s FOR UPDATE OF o SKIP LOCKED"

# Where to begin. What became final stands in the index until vacuum comes by, so this may pass over many entries: once
# in a sweep, where every statement would.
_EARLIEST_DUE = "SELECT min(due_at) FROM outcomes_outcome WHERE due_at <= %s"
# The clock alone changes these; nothing computed waits behind the change.
_OPEN = "AND o.queue IS NULL AND o.state = 'open'"

_SETTLED = """
settled AS (
    UPDATE outcomes_outcome o SET
        state = CASE WHEN old.settles_at IS NULL THEN 'void' ELSE 'confirmed' END,
        settled_at = old.settles_at,
        ended_at = CASE WHEN old.settles_at IS NULL THEN old.due_at END,
        -- Whatever ends unbilled is worth nothing; only what is confirmed keeps its figures; so in `Booked.follow`.
        quantity = CASE WHEN old.settles_at IS NOT NULL THEN o.quantity END,
        amount = CASE WHEN old.settles_at IS NOT NULL THEN o.amount END,
        dimensions = CASE WHEN old.settles_at IS NOT NULL THEN o.dimensions ELSE '{}' END,
        review = CASE WHEN old.settles_at IS NOT NULL THEN o.review ELSE ARRAY['settle_time_unknown'] END,
        due_at = NULL
    FROM old WHERE o.id = old.id
    RETURNING o.id, o.state AS to_state, old.due_at
),
noted AS (
    INSERT INTO outcomes_journal
        (outcome_id, from_state, to_state, cause, clause, event_seq, actor, reason, effective_at, recorded_at)
    SELECT id, 'provisional', to_state, 'clock', CASE to_state WHEN 'confirmed' THEN 'settle' ELSE 'settle at' END,
        NULL, '', '', due_at, %(now)s
    FROM settled ORDER BY due_at, id
)
SELECT to_state, count(*), min(due_at), max(due_at) FROM settled GROUP BY to_state
"""


@dataclass(frozen=True)
class _Statements:
    """The sweep's statements over the rows that one of the FROM clauses above gives."""

    settle: str
    settle_last: str
    queued: str
    open_partitions: str
    open: str


def _statements(whose: str) -> _Statements:
    due = whose + _IS_DUE
    alone = f"AND o.queue IS NULL AND o.state = 'provisional' {_IN_TURN}"
    by_itself = f"SELECT o.id, o.due_at, o.settles_at {due} {alone}"
    return _Statements(
        settle=f"WITH old AS MATERIALIZED ({by_itself} {_FIRST}), {_SETTLED}",
        settle_last=f"WITH old AS MATERIALIZED ({by_itself} {_LAST}), {_SETTLED}",
        queued=f"SELECT o.id {due} AND o.queue IS NOT NULL {_IN_TURN} {_FIRST}",
        open_partitions=f"SELECT DISTINCT o.partition {due} {_OPEN}",
        open=f"SELECT o.id {due} {_OPEN} AND o.partition = %(partition)s {_FIRST}",
    )


# One batch within its transaction: how many went to which state; None where nothing was due.
Settle = Callable[[CursorWrapper, _Statements, dict], Counter[str] | None]
# Those of a test clock's customers are found by customer, so nothing is to be passed over.
_NEVER = datetime.min.replace(tzinfo=UTC)

_WALL, _CLOCK = _statements(_BY_WALL), _statements(_BY_CLOCK)

# Whether anything of a customer is due by its clock: a look for each customer that has one.
_CLOCKS_DUE = """
SELECT c.id FROM contracts_testclock k JOIN contracts_customer c ON c.test_clock_id = k.id
CROSS JOIN LATERAL (SELECT FROM outcomes_outcome o WHERE o.customer_id = c.id AND o.due_at <= k.now LIMIT 1) AS due
"""


def settle_due(
    now: datetime, *, until: datetime | None = None, progress: Callable[[int], None] | None = None
) -> Counter[str]:
    """Book everything due at or before ``until`` (default and upper bound: ``now``); how many went to which state.

    ``progress`` is told the size of each batch. Safe to repeat and to run beside evaluation and other sweeps.

    What customers with a test clock have due by their clocks is booked after the rest, as of these; ``until`` is about
    the wall clock, and with it they are left out.
    """
    backfill.plan(now)
    booked = _settle(now, now if until is None else min(until, now), None, progress)
    if until is None:
        with connection.cursor() as cursor:
            cursor.execute(_CLOCKS_DUE)
            due = [customer for (customer,) in cursor.fetchall()]
        for clocked in by_now(due) if due else ():
            booked.update(_settle(clocked.now, clocked.now, clocked.customers, progress))
    return booked


def settle_clocked(customers: Sequence[int], now: datetime) -> Counter[str]:
    """Book what these customers have due at or before ``now``, which their test clock shows."""
    return _settle(now, now, customers, None) if customers else Counter()


def _settle(
    now: datetime, until: datetime, only: Sequence[int] | None, progress: Callable[[int], None] | None
) -> Counter[str]:
    """Those who live by the wall clock, or ``only`` these customers of one test clock."""
    sql = _WALL if only is None else _CLOCK
    booked: Counter[str] = Counter()
    since = _earliest_due(until) if only is None else _NEVER
    if since is None:
        return booked

    def batches(settle: Settle, **more: int) -> None:
        while True:
            with transaction.atomic(), connection.cursor() as cursor:
                # First of all: once a hold is placed, no batch that began before may still confirm what it covers.
                holds.keep_from_changing(cursor, holds.SWEEP)
                batch = settle(cursor, sql, _scope(cursor, now, since, until, only) | more)
            if batch is None:
                break
            booked.update(batch)
            if progress is not None:
                progress(batch.total())

    batches(_settle_queued)
    batches(_settle_by_clock())
    with connection.cursor() as cursor:
        cursor.execute(sql.open_partitions, _scope(cursor, now, since, until, only))
        partitions = sorted(partition for (partition,) in cursor.fetchall())
    for partition in partitions:
        batches(_expire, partition=partition)
    return booked


def _earliest_due(until: datetime) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(_EARLIEST_DUE, [until])
        [(since,)] = cursor.fetchall()
    return since


class _Kept(NamedTuple):
    """Whether the batch has the front, what nothing is booked of, as ids, and the customers for whom settlement waits
    longer.
    """

    front: bool
    paused: list[int]
    clocked: list[int]
    unheard: list[int]
    held_customers: list[int]
    held_conditions: list[int]
    held_any_outcome: bool
    graced: list[int]


# All of it by one question: each batch asks, and most are small.
_KEPT = f"""
SELECT pg_try_advisory_xact_lock({FRONT_LOCK}, 0),
    ARRAY({PAUSED}), ARRAY(SELECT customer_id FROM ({OWN_NOWS}) AS own), ARRAY({backfill.UNFINISHED}),
    ARRAY({holds.HELD_CUSTOMERS}), ARRAY({holds.HELD_CONDITIONS}), {holds.HELD_ANY_OUTCOME}, ARRAY({GRACED})
"""


def _kept(cursor: CursorWrapper) -> _Kept:
    cursor.execute(_KEPT)
    return _Kept(*cursor.fetchone())


def _scope(
    cursor: CursorWrapper, now: datetime, since: datetime, until: datetime, only: Sequence[int] | None
) -> dict[str, Any]:
    """What a batch asks for: due in ``since`` … ``until``, and nobody has it wait."""
    kept = _kept(cursor)
    waits = graces(kept.graced)
    elsewhere, partitions = (kept.clocked, []) if only is None else ([], partitions_of(only))
    return {
        "now": now,
        "since": since,
        "until": until,
        "front": kept.front or only is not None,
        "graced": list(waits),
        "graces": list(waits.values()),
        "paused": kept.paused + elsewhere,
        "only": None if only is None else list(only),
        "partitions": partitions,
        "unheard": kept.unheard,
        "held_customers": kept.held_customers,
        "held_conditions": kept.held_conditions,
        "held_any_outcome": kept.held_any_outcome,
        "batch": BATCH,
    }


def _settle_by_clock() -> Settle:
    """What the clock alone changes, from the front, or from the back while a batch of another sweep has the front. Each
    batch begins where the one before it at the same end has stopped.
    """
    since: datetime | None = None
    until: datetime | None = None

    def settle(cursor: CursorWrapper, sql: _Statements, scope: dict) -> Counter[str] | None:
        nonlocal since, until
        if scope["front"]:
            cursor.execute(sql.settle, scope | {"since": since or scope["since"]})
        else:
            cursor.execute(sql.settle_last, scope | {"until": until or scope["until"]})
        found = cursor.fetchall()
        if scope["front"]:
            since = max((last for *_, last in found), default=since)
        else:
            until = min((first for _, _, first, _ in found), default=until)
        return Counter({state: count for state, count, _, _ in found}) or None

    return settle


def _settle_queued(cursor: CursorWrapper, sql: _Statements, scope: dict) -> Counter[str] | None:
    """Rows behind whose settlement the fold has already computed further changes: those are booked in their order."""
    cursor.execute(sql.queued, scope)
    rows = load_due(cursor, [row[0] for row in cursor.fetchall()])
    mark_of = _marks(scope)
    booked: Counter[str] = Counter()
    for row, partition, customer in rows:
        booked.update(_book_queue(row, mark_of(partition, customer)))
    write_booked(cursor, [row for row, _, _ in rows], scope["now"])
    return booked if rows else None


def _expire(cursor: CursorWrapper, sql: _Statements, scope: dict) -> Counter[str] | None:
    """Open attempts of one partition whose patience is over are missed.

    Evaluation does not write an open attempt's row for every event, so the row's `due_at` may be too early: the
    subject's state knows. It is read under the partition's lock, so no evaluation is at work on it; an event accepted
    from here on finds in the subject's `last_time` that it comes too late.
    """
    lock_partition(cursor, scope["partition"])
    cursor.execute(sql.open, scope)
    rows = load_due(cursor, [row[0] for row in cursor.fetchall()])
    states = load_states(cursor, {row.subject for row, _, _ in rows})
    mark_of = _marks(scope)
    booked: Counter[str] = Counter()
    closed: dict[int, int] = {}
    for row, partition, customer in rows:
        live = Fold.stored_live(msgspec.json.decode(states[row.subject]))
        if live is not None and live.ordinal == row.ordinal:
            row.due_at, row.last_time, row.last_seq = live.due_at, live.last_time, live.last_seq
        assert row.due_at is not None
        if row.due_at <= mark_of(partition, customer):
            closed[row.subject] = row.due_at
            row.move(Change(OPEN, MISSED, row.due_at, CLOCK, "expire", None))
            row.quantity, row.amount, row.dimensions, row.review, row.due_at = None, None, {}, [], None
            booked[MISSED] += 1
    write_booked(cursor, [row for row, _, _ in rows], scope["now"])
    close_until(cursor, closed)
    return booked if rows else None


def _marks(scope: dict) -> Callable[[int, int], int]:
    """(partition, customer) -> the instant up to which its changes may be booked, in microseconds."""
    waits = dict(zip(scope["graced"], scope["graces"], strict=True))
    own = {} if scope["only"] is None else own_watermarks(scope["now"], scope["only"])
    by_partition = watermarks(scope["now"]) if scope["only"] is None else []

    def mark_of(partition: int, customer: int) -> int:
        mark = own[customer] if own else by_partition[partition]
        return to_us(min(mark - waits.get(customer, timedelta()), scope["until"]))

    return mark_of


def _book_queue(row: Booked, mark: int) -> list[str]:
    states = []
    while row.queue and row.queue[0].at <= mark:
        change = row.queue.pop(0)
        row.move(change)
        states.append(change.to_state)
    row.due_at = row.queue[0].at if row.queue else None
    return states
