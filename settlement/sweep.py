"""The sweep: book what the clock alone has decided. Outcomes whose window is over are confirmed, stale attempts missed.

Set-wise, in order of `due_at`, SKIP LOCKED, in transactions of a bounded size: any number of sweeps may run at once,
and one that dies leaves whole batches behind. What is booked carries the planned instant, whenever the sweep got
round to it.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from outcomes.booking import Booked
from outcomes.domain.instants import to_us
from outcomes.store import load_due, write_booked
from settlement.watermark import graces, paused_customers, watermarks

BATCH = 10_000

# What is due and whose past is known. `queue` tells the two kinds apart: rows without one change by the clock alone.
# The watermarks are read by the same statement, which so sees every event accepted before it. The columns come from the
# locked row itself: a second look at the table would see it as it was when the statement began, before an evaluation
# that committed meanwhile.
_DUE = """
SELECT o.id, o.state, o.due_at, o.settles_at FROM outcomes_outcome o
LEFT JOIN (SELECT p.partition, min(p."time") AS earliest FROM outcomes_pending p GROUP BY p.partition) AS w
    ON w.partition = o.partition
LEFT JOIN unnest(%(graced)s::bigint[], %(graces)s::interval[]) AS g(customer_id, grace) ON g.customer_id = o.customer_id
WHERE o.due_at <= %(until)s AND o.due_at <= least(%(now)s, w.earliest) - coalesce(g.grace, interval '0')
  AND o.customer_id <> ALL(%(paused)s::bigint[]) AND (o.queue IS NULL) = %(by_clock)s
ORDER BY o.due_at, o.id LIMIT %(batch)s
FOR UPDATE OF o SKIP LOCKED
"""

_SETTLE = f"""
WITH old AS MATERIALIZED ({_DUE}),
settled AS (
    UPDATE outcomes_outcome o SET
        state = CASE WHEN old.state = 'open' THEN 'missed' WHEN old.settles_at IS NULL THEN 'void' ELSE 'confirmed' END,
        settled_at = CASE WHEN old.state = 'provisional' THEN old.settles_at END,
        ended_at = CASE WHEN old.state = 'open' OR old.settles_at IS NULL THEN old.due_at END,
        -- Whatever ends unbilled is worth nothing; only what is confirmed keeps its figures; so in `Booked.follow`.
        quantity = CASE WHEN old.settles_at IS NOT NULL THEN o.quantity END,
        amount = CASE WHEN old.settles_at IS NOT NULL THEN o.amount END,
        dimensions = CASE WHEN old.settles_at IS NOT NULL THEN o.dimensions ELSE '{{}}' END,
        review = CASE WHEN old.settles_at IS NOT NULL THEN o.review
            WHEN old.state = 'provisional' THEN ARRAY['settle_time_unknown'] ELSE '{{}}' END,
        due_at = NULL
    FROM old WHERE o.id = old.id
    RETURNING o.id, old.state AS from_state, o.state AS to_state, old.due_at
),
noted AS (
    INSERT INTO outcomes_journal
        (outcome_id, from_state, to_state, cause, clause, event_seq, actor, reason, effective_at, recorded_at)
    SELECT id, from_state, to_state, 'clock',
        CASE to_state WHEN 'confirmed' THEN 'settle' WHEN 'missed' THEN 'expire' ELSE 'settle at' END,
        NULL, '', '', due_at, %(now)s
    FROM settled ORDER BY due_at, id
)
SELECT to_state, count(*) FROM settled GROUP BY to_state
"""


def settle_due(
    now: datetime, *, until: datetime | None = None, progress: Callable[[int], None] | None = None
) -> Counter[str]:
    """Book everything due at or before ``until`` (default and upper bound: ``now``); how many went to which state.

    ``progress`` is told the size of each batch. Safe to repeat and to run beside evaluation and other sweeps.
    """
    until = now if until is None else min(until, now)
    booked: Counter[str] = Counter()
    for settle in (_settle_queued, _settle_by_clock):
        while True:
            with transaction.atomic(), connection.cursor() as cursor:
                batch = settle(cursor, _scope(now, until), now)
            if not batch:
                break
            booked += batch
            if progress is not None:
                progress(batch.total())
    return booked


def _scope(now: datetime, until: datetime) -> dict:
    waits = graces(until)
    return {
        "now": now,
        "until": until,
        "graced": list(waits),
        "graces": list(waits.values()),
        "paused": paused_customers(),
        "batch": BATCH,
    }


def _settle_by_clock(cursor: CursorWrapper, scope: dict, now: datetime) -> Counter[str]:
    cursor.execute(_SETTLE, {**scope, "by_clock": True})
    return Counter(dict(cursor.fetchall()))


def _settle_queued(cursor: CursorWrapper, scope: dict, now: datetime) -> Counter[str]:
    """Rows behind whose settlement the fold has already computed further changes: those are booked in their order."""
    cursor.execute(_DUE, {**scope, "by_clock": False})
    rows = load_due(cursor, [row[0] for row in cursor.fetchall()])
    waits = dict(zip(scope["graced"], scope["graces"], strict=True))
    marks = watermarks(now)
    booked: Counter[str] = Counter()
    for row, partition, customer in rows:
        mark = min(marks[partition] - waits.get(customer, timedelta()), scope["until"])
        booked.update(_book_queue(row, to_us(mark)))
    write_booked(cursor, [row for row, _, _ in rows], now)
    return booked


def _book_queue(row: Booked, mark: int) -> list[str]:
    states = []
    while row.queue and row.queue[0].at <= mark:
        change = row.queue.pop(0)
        row.move(change)
        states.append(change.to_state)
    row.due_at = row.queue[0].at if row.queue else None
    return states
