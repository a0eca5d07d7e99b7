"""Bring events that were accepted before a condition was made to that condition.

The outcomes are a pure function of the accepted events and the terms (design page 2, section 3), so a condition also
hears of what came before it: its first version applies from the beginning of time, unless dated. A later version needs
old events only of names that none before it mentions (and has heard of as far back), and only from its date on, unless
it looks at the whole history (`… ever`). A customer that joins a limited condition needs its events from that instant
on, or all of them where a version looks at the whole history.

The work list is two tables: `plan` notes what each new version and each customer that joins needs, before the first
batch that knows it; `advance` hands one portion of the payload table to evaluation, by putting the events in `pending`
once more, marked `again`. Events accepted later find the version in force; one that is just being evaluated without it
is waited for, by the key of its pending row.
"""

from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet

from contracts.clocks import any_ahead
from contracts.models import ConditionCustomer, ConditionVersion
from outcomes.event_types import seen_types
from outcomes.models import Backfill, CustomerBackfill, PastRead
from outcomes.programs import Catalog, compiled
from outcomes.sequence import MONTH_FACTOR, month_number
from outcomes.work import EVALUATION_LOCK

P = TypeVar("P", bound=PastRead)

# Rows of the payload table looked through in one transaction.
PORTION = 20_000
# Key of the advisory lock of whoever plans.
PLANNING_LOCK = 7303


# What this process knows to be planned, versions and (condition, customer that joined): most batches meet no other.
_planned: set[int | tuple[int, int]] = set()


def plan_for(catalog: Catalog, now: datetime) -> None:
    """`plan`, where one of these versions, or one of those who joined, may not be planned yet."""
    met: set[int | tuple[int, int]] = {version.id for version in catalog.numbered.values()}
    for condition, named in catalog.limits.items():
        met.update((condition, customer) for customer, since in named.items() if since is not None)
    if not _planned.issuperset(met):
        plan(now)
        planned: set[int | tuple[int, int]] = set(
            Backfill.objects.filter(version__condition__in=catalog).values_list("version_id", flat=True)
        )
        if catalog.limits:
            joined = CustomerBackfill.objects.filter(named__condition__in=catalog.limits)
            planned.update(joined.values_list("named__condition_id", "named__customer_id"))
        transaction.on_commit(lambda: _planned.update(planned))


def plan(now: datetime) -> None:
    """Note for each version made and each customer named since the last call what it needs of the past; most need
    nothing. Safe to repeat; does nothing while another transaction is planning.
    """
    if not unfinished():  # nearly always, and one question
        return
    if not _unplanned_versions().exists() and not _unplanned_customers().exists():
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, 0)", [PLANNING_LOCK])
        if cursor.fetchone()[0]:
            _plan(cursor, now)


def _unplanned_versions() -> QuerySet[ConditionVersion]:
    return ConditionVersion.objects.filter(backfill=None)


def _unplanned_customers() -> QuerySet[ConditionCustomer]:
    """Those who joined; who was named when the slug was made is among those for whom its versions are planned."""
    return ConditionCustomer.objects.filter(backfill=None, since__isnull=False)


_JUST_EVALUATED = """
WITH evaluated AS MATERIALIZED (
    SELECT l.objid::bigint AS partition FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.classid = %s AND l.granted AND l.pid <> pg_backend_pid()
      AND d.datname = current_database()
)
SELECT DISTINCT e.type FROM evaluated JOIN outcomes_pending p ON p.partition = evaluated.partition
JOIN outcomes_event e ON e.seq = p.seq
"""


def _plan(cursor: CursorWrapper, now: datetime) -> None:
    versions = list(_unplanned_versions().order_by("condition_id", "number"))
    customers = list(_unplanned_customers().order_by("id"))
    # Another batch that is just evaluating the first events of a name has not noted it yet, but its partition is locked
    # and they are still pending there: asked for in this order, one or the other tells.
    cursor.execute(_JUST_EVALUATED, [EVALUATION_LOCK])
    names = frozenset(name for (name,) in cursor.fetchall()) | seen_types()
    cursor.execute("SELECT max(seq) FROM outcomes_event")
    until = cursor.fetchone()[0] or 0
    ahead = timedelta(seconds=settings.MAX_EVENT_FUTURE_SECONDS)
    clocks_ahead = any_ahead(now)

    def past(types: list[str], since: datetime | None) -> dict[str, Any]:
        return {
            "types": types,
            "since": since,
            # What was received in an earlier month happened before it, unless a test clock was ahead.
            "next_seq": 0 if since is None or clocks_ahead else month_number(since - ahead) * MONTH_FACTOR,
            "until_seq": until,
            "created_at": now,
            "done_at": None if types and until else now,
        }

    Backfill.objects.bulk_create(Backfill(version=one, **past(*_needs(one, names))) for one in versions)
    CustomerBackfill.objects.bulk_create(
        CustomerBackfill(named=one, **past(*_needs_of_customer(one, names))) for one in customers
    )


def _needs(version: ConditionVersion, names: frozenset[str]) -> tuple[list[str], datetime | None]:
    """The event names whose past the version needs, and the time before which nothing can matter to it."""
    program, since = compiled(version), _since(version)
    heard = [
        compiled(earlier)
        for earlier in ConditionVersion.objects.filter(condition=version.condition_id, number__lt=version.number)
        # One that is dated later, or looked no further back, did not bring all of the past of its names.
        if (start := _since(earlier)) is None or (since is not None and start <= since)
    ]
    joined = ConditionCustomer.objects.filter(condition=version.condition_id, since__isnull=False)
    if program.has_history and joined.exists():
        heard = []  # of a customer that joined, what was before is not known yet
    types = sorted(
        name for name in names if program.mentions(name) and not any(earlier.mentions(name) for earlier in heard)
    )
    return types, since


def _since(version: ConditionVersion) -> datetime | None:
    """The time before which nothing can matter to it; None where all of the past can."""
    if version.effective_from is None or compiled(version).has_history:
        return None
    # A contract may pin it before it is in force in general, but never before it was made.
    return min(version.effective_from, version.created_at)


def _needs_of_customer(named: ConditionCustomer, names: frozenset[str]) -> tuple[list[str], datetime | None]:
    """The same of a customer that joined, for all versions that there are."""
    programs = [compiled(version) for version in ConditionVersion.objects.filter(condition=named.condition_id)]
    types = sorted(name for name in names if any(program.mentions(name) for program in programs))
    return types, None if any(program.has_history for program in programs) else named.since


def advance(now: datetime) -> int:
    """Hand one portion of history to evaluation; how many rows were looked through, 0 where nothing is left to do.

    Locks one backfill, or passes over those that others work on. Safe to repeat.
    """
    if not unfinished():
        return 0
    plan(now)
    with transaction.atomic(), connection.cursor() as cursor:
        found = _next(Backfill) or _next(CustomerBackfill)
        if found is None:
            return 0
        looked, upper = _portion(cursor, found)
        if looked:
            cursor.execute(
                """
                INSERT INTO outcomes_pending (partition, "time", seq, again)
                SELECT c.partition, e."time", e.seq, true
                FROM outcomes_event e JOIN contracts_customer c ON c.id = e.customer_id
                WHERE e.seq >= %s AND e.seq <= %s AND e.type = ANY(%s) AND (%s::timestamptz IS NULL OR e."time" >= %s)
                    AND (%s::bigint[] IS NULL OR e.customer_id = ANY(%s))
                ORDER BY c.partition, e."time", e.seq ON CONFLICT DO NOTHING
                """,
                [found.next_seq, upper, found.types, found.since, found.since, *[_customers(found)] * 2],
            )
            found.events += cursor.rowcount
            found.next_seq = upper + 1
        if not looked or found.next_seq > found.until_seq:
            found.done_at = now
        found.save(update_fields=["events", "next_seq", "done_at"])
    return max(looked, 1)


def _next(model: type[P]) -> P | None:
    unfinished = model._default_manager.filter(done_at=None).order_by("created_at")
    return unfinished.select_for_update(skip_locked=True).first()


def _customers(found: PastRead) -> list[int] | None:
    """Whose events are wanted; None for everybody's."""
    whose = found.whose
    if isinstance(whose, ConditionCustomer):
        return [whose.customer_id]
    condition = whose.condition
    return list(condition.named.values_list("customer_id", flat=True)) if condition.limited else None


def _portion(cursor: CursorWrapper, found: PastRead) -> tuple[int, int]:
    """How many rows the next portion has, and its last seq."""
    cursor.execute(
        "SELECT count(*), max(seq) FROM (SELECT seq FROM outcomes_event WHERE seq >= %s AND seq <= %s "
        "ORDER BY seq LIMIT %s) AS portion",
        [found.next_seq, found.until_seq, PORTION],
    )
    count, last = cursor.fetchone()
    return count, last or 0


# Conditions that have not heard all of their past, also where nothing is planned yet: SQL of one column.
UNFINISHED: Final = """
SELECT v.condition_id FROM contracts_conditionversion v LEFT JOIN outcomes_backfill b ON b.version_id = v.id
WHERE b.done_at IS NULL
UNION
SELECT n.condition_id FROM contracts_conditioncustomer n LEFT JOIN outcomes_customerbackfill b ON b.named_id = n.id
WHERE n.since IS NOT NULL AND b.done_at IS NULL
"""


def unfinished() -> list[int]:
    """Conditions that have not heard all of their past: nothing of theirs becomes final meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(UNFINISHED)
        return [condition for (condition,) in cursor.fetchall()]
