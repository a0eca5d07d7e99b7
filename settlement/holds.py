"""Use cases: hold back what a customer, a condition or one outcome would settle and be billed, and release it again.

**Strict.** Once placing a hold has returned, nothing that it covers becomes confirmed by a sweep that began before, nor
stands on an invoice that is issued later. A batch of the sweep takes `HOLDS_LOCK` together with other batches as its
first statement (`keep_from_changing`), placing takes it alone: it waits for the batches at work, and those that begin
meanwhile wait for it and see the hold. Billing takes the lock's second number in the same way, and the customer's row;
placing waits for the one that can matter to it.

Locks, in this order: (7305, billing) for a hold on a condition, else the customer's row; then (7305, sweep).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from access import error_codes, ids
from access.errors import ApiError
from contracts.clocks import now_of
from contracts.models import Condition, Customer
from contracts.refusals import refused
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from settlement.models import TARGETS, Hold

HOLD_PREFIX: Final = "hold"

# First number of the advisory lock (class, what is kept from changing) beside those of outcomes.evaluation (7301, 7302)
# and outcomes.backfill (7303).
HOLDS_LOCK: Final = 7305
SWEEP: Final = 0
BILLING: Final = 1

error_codes.register(
    {
        "already_held": "There is a hold on this already, and one is enough: release that one when it is over.",
        "already_released": "The hold was released before: there is nothing left to release.",
        "one_target": "A hold is on exactly one thing: name `customer`, `condition` or `outcome`.",
        "unknown_outcome": "There is no outcome of this id.",
    }
)

# Of the outcome `o`. Written so that the planner reads the holds once, into two arrays and a hash table, however many
# outcomes are asked about: as EXISTS it looks for each of them where there are few holds.
HELD: Final = """(
    o.id IN (SELECT h.outcome_id FROM settlement_hold h WHERE h.outcome_id IS NOT NULL AND h.released_at IS NULL)
    OR o.customer_id = ANY (ARRAY(SELECT h.customer_id FROM settlement_hold h
                                  WHERE h.customer_id IS NOT NULL AND h.released_at IS NULL))
    OR o.condition_id = ANY (ARRAY(SELECT h.condition_id FROM settlement_hold h
                                   WHERE h.condition_id IS NOT NULL AND h.released_at IS NULL))
)"""
# The customers, and the conditions, that a hold is on: SQL of one column.
HELD_CUSTOMERS: Final = "SELECT customer_id FROM settlement_hold WHERE customer_id IS NOT NULL AND released_at IS NULL"
HELD_CONDITIONS: Final = (
    "SELECT condition_id FROM settlement_hold WHERE condition_id IS NOT NULL AND released_at IS NULL"
)
# Whether a hold is on any single outcome.
HELD_ANY_OUTCOME: Final = "EXISTS (SELECT FROM settlement_hold WHERE outcome_id IS NOT NULL AND released_at IS NULL)"
# Where those are left out before an outcome is looked at. No look for each outcome where there is nothing to find.
NOT_HELD_ITSELF: Final = """(
    NOT %(held_any_outcome)s
    OR NOT EXISTS (SELECT FROM settlement_hold h WHERE h.outcome_id = o.id AND h.released_at IS NULL)
)"""

# A row for each hold that ever was and each outcome it covers, for audits: (hold columns of `h`, covered).
COVERED: Final = """(
    SELECT h.*, o.id AS covered, o.customer_id AS whose FROM settlement_hold h
    JOIN outcomes_outcome o ON o.id = h.outcome_id
    UNION ALL SELECT h.*, o.id, o.customer_id FROM settlement_hold h
    JOIN outcomes_outcome o ON o.customer_id = h.customer_id
    UNION ALL SELECT h.*, o.id, o.customer_id FROM settlement_hold h
    JOIN outcomes_outcome o ON o.condition_id = h.condition_id
)"""


@dataclass(frozen=True)
class Target:
    """What a hold is to be on, exactly one: a customer's key, a condition's slug, or an outcome's id."""

    customer: str | None = None
    condition: str | None = None
    outcome: UUID | None = None


def keep_from_changing(cursor: CursorWrapper, what: int) -> None:
    """To the end of the caller's transaction no hold is placed that matters to ``what`` (`SWEEP` or `BILLING`). The
    first statement of whatever must not act on what a hold covers; others that call it do not wait for each other.
    """
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [HOLDS_LOCK, what])


@transaction.atomic
def place(target: Target, *, reason: str, by: str, now: datetime) -> Hold:
    """Place a hold. Refused with 422 unless the target is one thing that is there, with 409 where a hold is on it.

    Waits for the sweeps at work (a batch each), and for the billing that could still issue what is to be held: of the
    customer, or of anybody where it is on a condition.
    """
    hold = Hold(id=ids.uuid7(now), reason=reason, placed_by=by, placed_at=now)
    _aim(hold, target)
    hold.placed_at = _own_now(hold, now)
    with connection.cursor() as cursor:
        if hold.condition_id is not None:
            _alone(cursor, BILLING)
        else:
            customer = hold.customer if hold.outcome is None else hold.outcome.customer
            assert customer is not None
            Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        _alone(cursor, SWEEP)
        hold.journal_after = _last_journal_id(cursor)
    try:
        with transaction.atomic():
            hold.save(force_insert=True)
    except IntegrityError as error:
        raise _already(hold) from error
    return hold


@transaction.atomic
def release(hold_id: UUID, *, note: str = "", by: str, now: datetime) -> Hold:
    """End a hold. What it covered settles with the next sweep, at the planned instants, and is billed with the next
    run, unless another hold covers it. 404 without it; 409 where it is released, so a second call changes nothing.
    """
    hold = Hold.objects.select_for_update(of=("self",)).filter(pk=hold_id).first()
    if hold is None:
        raise not_found(hold_id)
    if hold.released_at is not None:
        raise ApiError(409, "already_released", f"Hold {public_id(hold)} was released by {hold.released_by} before.")
    with connection.cursor() as cursor:
        # What a sweep books of it after this commit draws later ids.
        hold.journal_until = _last_journal_id(cursor)
    hold.released_at, hold.released_by, hold.note = _own_now(hold, now), by, note
    hold.save(update_fields=["released_at", "released_by", "note", "journal_until"])
    return hold


def _own_now(hold: Hold, now: datetime) -> datetime:
    """What time it is for whom the hold is on; on a condition, by the wall clock."""
    customer = hold.customer if hold.outcome is None else hold.outcome.customer
    return now if customer is None else now_of(customer, now)


def public_id(hold: Hold) -> str:
    """``hold_…``, as the API names it."""
    return ids.encode(HOLD_PREFIX, hold.id)


def not_found(hold_id: UUID) -> ApiError:
    """404 for a hold that is not there."""
    return ApiError(404, "not_found", f"There is no hold {ids.encode(HOLD_PREFIX, hold_id)}.")


def covering(outcomes: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """Outcome id → the ids of the holds that cover it now, oldest first; outcomes that none covers are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.id, array_agg(h.id ORDER BY h.id) FROM outcomes_outcome o
            JOIN settlement_hold h ON h.released_at IS NULL
             AND (h.outcome_id = o.id OR h.customer_id = o.customer_id OR h.condition_id = o.condition_id)
            WHERE o.id = ANY(%s) GROUP BY o.id
            """,
            [list(outcomes)],
        )
        return dict(cursor.fetchall())


def _aim(hold: Hold, target: Target) -> None:
    """Point the hold at what is meant. ApiError 422 where it is not there, or is not one thing."""
    if sum(getattr(target, name) is not None for name in TARGETS) != 1:
        raise refused("one_target", "Name exactly one of `customer`, `condition` and `outcome`.")
    if target.customer is not None:
        hold.customer = Customer.objects.filter(key=target.customer).first()
        if hold.customer is None:
            raise refused("unknown_customer", f"There is no customer {target.customer[:80]!r}.", "customer")
    elif target.condition is not None:
        hold.condition = Condition.objects.filter(slug=target.condition).first()
        if hold.condition is None:
            raise refused("unknown_condition", f"There is no condition {target.condition[:80]!r}.", "condition")
    elif target.outcome is not None:
        hold.outcome = Outcome.objects.filter(pk=target.outcome).first()
        if hold.outcome is None:
            named = ids.encode(OUTCOME_PREFIX, target.outcome)
            raise refused("unknown_outcome", f"There is no outcome {named}.", "outcome")


def _already(hold: Hold) -> ApiError:
    where = {f"{hold.target}_id": getattr(hold, f"{hold.target}_id")}
    standing = Hold.objects.filter(released_at=None, **where).first()
    named = "" if standing is None else f" ({public_id(standing)}, by {standing.placed_by})"
    message = f"There is a hold on this {hold.target} already{named}: release that one when it is over."
    return ApiError(409, "already_held", message)


def _alone(cursor: CursorWrapper, what: int) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [HOLDS_LOCK, what])


def _last_journal_id(cursor: CursorWrapper) -> int:
    cursor.execute("SELECT pg_sequence_last_value(pg_get_serial_sequence('outcomes_journal', 'id')::regclass)")
    return cursor.fetchone()[0] or 0
