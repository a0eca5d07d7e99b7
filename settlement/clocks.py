"""Use case: advance a test clock. Everything due for its customers on the way happens, in order, at its instant.

The way is cut where something happens: at each step the clock is set, what waits is evaluated, what is due is settled,
and each play of `PLAYS` (billing, say) does what it does at that instant. A step commits by itself; whoever dies leaves
the clock part of the way, and the same call again goes on from there. So one advance comes to what many small ones
come to, and to what a customer on the wall clock would have got.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from rest_framework import serializers

from access import error_codes
from access.errors import ApiError, Detail
from access.ids import encode
from access.times import format_rfc3339
from contracts.clocks import customers_of, move_forward
from contracts.models import TestClock
from outcomes import backfill
from outcomes.evaluation import evaluate_batch
from settlement.sweep import settle_clocked
from settlement.watermark import partitions_of

error_codes.register(
    {
        "clock_busy": "Another request advances this test clock: retry when it is `ready`.",
        "clock_goes_forward": "A test clock only moves forward: name a later time.",
        "clock_waits": "Events of the clock's customers could not be evaluated yet; the clock stands part of the way. "
        "Retry to go on.",
    }
)

# What evaluation may take at a step, and the pause between two looks at what other workers hold, in seconds.
PATIENCE = 30.0
PAUSE = 0.05


@dataclass(frozen=True)
class Play:
    """What else happens to a clock's customers. Apps above register theirs when they load.

    ``next_instant(customers, now)`` is the next instant after ``now`` at which there may be something to do, None where
    nothing can come without a further event; ``do(customers, now, wall)`` does all there is to do at ``now``, and
    commits by itself; ``tell`` makes one answer of what several calls came to, in the shape of ``serializer``.
    """

    name: str
    next_instant: Callable[[Sequence[int], datetime], datetime | None]
    do: Callable[[Sequence[int], datetime, datetime], Any]
    tell: Callable[[Sequence[Any]], dict[str, Any]]
    serializer: type[serializers.Serializer]


PLAYS: list[Play] = []


@dataclass
class Advanced:
    """What an advance did: events evaluated, outcomes by the state they went to, what each play did at each step."""

    clock: TestClock
    since: datetime
    events: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    played: dict[str, list[Any]] = field(default_factory=dict)
    steps: int = 0

    def told(self) -> dict[str, Any]:
        """The same for the API and the admin."""
        return {
            "from": format_rfc3339(self.since),
            "to": format_rfc3339(self.clock.now),
            "events_evaluated": self.events,
            "outcomes": dict(sorted(self.outcomes.items())),
            **{play.name: play.tell(self.played.get(play.name, [])) for play in PLAYS},
        }


def advance(clock_id: UUID, to: datetime, *, wall: datetime) -> Advanced:
    """Move a clock forward to ``to``, through everything that is due for its customers on the way. Call it outside a
    transaction.

    Locks the clock (advisory, for the connection) to the end, and nothing else for longer than a step. ApiError 404
    without such a clock, 409 `clock_busy` while another call advances it, 422 for a time before its own, 409
    `clock_waits` where evaluation takes too long. Safe to repeat: it goes on.
    """
    with _held(clock_id):
        clock = find(clock_id)
        if to < clock.now:
            raise _backwards(clock, to)
        done = Advanced(clock, since=clock.now)
        while True:
            coming = _step(done, wall)
            if clock.now == to:
                return done
            clock.now = min([to, *coming])
            move_forward(clock_id, clock.now)


def _step(done: Advanced, wall: datetime) -> list[datetime]:
    """Everything due at the clock's now; the instants that come next. Customers may be attached at any time."""
    now, customers = done.clock.now, customers_of(done.clock.id)
    done.steps += 1
    if not customers:
        return []
    done.events += _evaluate(done.clock, customers, wall)
    done.outcomes += settle_clocked(customers, now)
    for play in PLAYS:
        done.played.setdefault(play.name, []).append(play.do(customers, now, wall))
    instants = (play.next_instant(customers, now) for play in PLAYS)
    return [instant for instant in instants if instant is not None and instant > now]


# --- What waits -------------------------------------------------------------------------------------------------------

_WAITING = """
SELECT p.partition, count(*) FROM outcomes_pending p JOIN outcomes_event e ON e.seq = p.seq
WHERE p.partition = ANY(%s::smallint[]) AND e.customer_id = ANY(%s::bigint[]) GROUP BY p.partition ORDER BY p.partition
"""


def _evaluate(clock: TestClock, customers: Sequence[int], wall: datetime) -> int:
    """Evaluate until none of these customers' events waits, and no condition for its past; how many were evaluated, by
    whomever. What other workers hold is waited for.
    """
    count, deadline = 0, time.monotonic() + PATIENCE
    backfill.plan(wall)
    waiting = _waiting(customers)
    while waiting or backfill.unfinished():
        if waiting:
            progress = sum(evaluate_batch(wall, only=partition).events for partition in waiting)
        else:
            progress = backfill.advance(wall)
        before, waiting = sum(waiting.values()), _waiting(customers)
        count += max(before - sum(waiting.values()), 0)
        if time.monotonic() > deadline:
            raise _waits(clock)
        if not progress:
            time.sleep(PAUSE)
    return count


def _waiting(customers: Sequence[int]) -> dict[int, int]:
    """Partition -> how many events of these customers wait in it."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [partitions_of(customers), list(customers)])
        return dict(cursor.fetchall())


# --- The clock itself -------------------------------------------------------------------------------------------------


def find(clock_id: UUID) -> TestClock:
    """The clock; ApiError 404 without it."""
    clock = TestClock.objects.filter(pk=clock_id).first()
    if clock is None:
        raise ApiError(404, "not_found", f"There is no test clock {encode(TestClock.PREFIX, clock_id)}.")
    return clock


def advancing(clock_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these clocks are being advanced just now. One query."""
    numbers = {_lock_number(clock_id): clock_id for clock_id in clock_ids}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """
        )
        held = {number for (number,) in cursor.fetchall()}
    return {clock_id for number, clock_id in numbers.items() if number in held}


def _lock_number(clock_id: UUID) -> int:
    """64 bits for PostgreSQL's advisory locks; a collision would only cost a needless 409."""
    digest = hashlib.blake2b(b"settlement.clocks\x00" + clock_id.bytes, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


@contextmanager
def _held(clock_id: UUID) -> Iterator[None]:
    """Held across transactions by the connection; a connection that breaks drops it by itself."""
    number = _lock_number(clock_id)
    with connection.cursor() as cursor:
        # A session may take its own lock twice, and two advances never share a session.
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        (locked,) = cursor.fetchone()
    if not locked:
        raise ApiError(
            409,
            "clock_busy",
            f"Another request advances test clock {encode(TestClock.PREFIX, clock_id)}: retry when it is ready.",
            headers={"Retry-After": "1"},
        )
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def _backwards(clock: TestClock, to: datetime) -> ApiError:
    message = (
        f"Test clock {clock.public_id} shows {format_rfc3339(clock.now)}, and {format_rfc3339(to)} is before that."
    )
    return ApiError(422, "clock_goes_forward", message, details=[Detail("to", message, "clock_goes_forward")])


def _waits(clock: TestClock) -> ApiError:
    return ApiError(
        409,
        "clock_waits",
        f"Events of customers of test clock {clock.public_id}, or a new condition's past, were not evaluated within "
        f"{PATIENCE:.0f} seconds. The clock shows {format_rfc3339(clock.now)}: retry to go on.",
        headers={"Retry-After": "5"},
    )
