"""What is to be handed over, found set-wise: each confirmed outcome whose contract has another system invoice it, and
the reversal of what was handed over. Who writes outcomes knows nothing of it.

The journal of outcomes is read in order, without missing a row (`webhooks.feeds`). What a contract says reaches what
was confirmed before, too, where it is agreed afterwards: so each version that passes outcomes on has its span looked up
once. Both find the same outcome at most once (a unique index). As long as no contract passes anything on, this is a
look at an index of nothing.
"""

from datetime import datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from contracts.terms import PASSING_ON
from handover.models import Covered, Reading
from webhooks.feeds import advance, last_drawn, writers

JOURNAL = "outcomes_journal"
# What was confirmed before is noted in portions of so many outcomes.
LOOK_UP = 20_000

_NEW_VERSIONS = """
SELECT v.id FROM contracts_contractversion v
WHERE v.pass_on <> 'none' AND NOT EXISTS (SELECT FROM handover_covered c WHERE c.version_id = v.id)
ORDER BY v.id
"""

_INSERT = """
INSERT INTO handover_handover (uid, outcome_id, customer_id, contract_id, kind, target, status, attempts, tries,
                               next_attempt_at, sent, code, reason, account, decided_by, created_at)
"""

# Which contract version is in force at `met_at` decides, as it does on prices.
_USAGE = f"""
WITH passing AS MATERIALIZED ({PASSING_ON})
{_INSERT}
SELECT gen_random_uuid(), o.id, o.customer_id, p.contract_id, 'usage', p.pass_on, 'waiting', 0, 0, %(now)s,
       jsonb_build_object(), '', '', '', '', %(now)s
FROM {{outcomes}}
JOIN passing p ON p.customer_id = o.customer_id AND o.met_at >= p.starts_at
     AND o.met_at < coalesce(p.ends_at, 'infinity')
WHERE {{where}} ORDER BY {{order}} LIMIT %(limit)s
ON CONFLICT (outcome_id, kind) DO NOTHING
"""
_JUST_CONFIRMED = _USAGE.format(
    outcomes="outcomes_journal j JOIN outcomes_outcome o ON o.id = j.outcome_id",
    where="""j.id > %(after)s AND j.id <= %(until)s AND j.to_state = 'confirmed' AND j.from_state <> 'confirmed'
      AND o.met_at IS NOT NULL""",
    order="j.id",
)
_CONFIRMED_BEFORE = _USAGE.format(
    outcomes="outcomes_outcome o",
    where="""o.customer_id = ANY(%(customers)s) AND o.settled_at IS NOT NULL AND o.state = 'confirmed'
      AND o.met_at IS NOT NULL AND p.contract_id = ANY(%(contracts)s::uuid[])
      AND NOT EXISTS (SELECT FROM handover_handover h WHERE h.outcome_id = o.id AND h.kind = 'usage')""",
    order="o.settled_at, o.id",
)

# Of what is or is to be handed over: to whom, and under which contract, stays as it was.
_REVERSED = f"""
{_INSERT}
SELECT gen_random_uuid(), u.outcome_id, u.customer_id, u.contract_id, 'reversal', u.target, 'waiting', 0, 0, %(now)s,
       jsonb_build_object(), '', '', '', '', %(now)s
FROM outcomes_journal j JOIN handover_handover u ON u.outcome_id = j.outcome_id AND u.kind = 'usage'
WHERE j.id > %(after)s AND j.id <= %(until)s AND j.to_state = 'reversed' AND j.from_state = 'confirmed'
ORDER BY j.id
ON CONFLICT (outcome_id, kind) DO NOTHING
"""


def fill(now: datetime) -> bool:
    """Note one batch of what is to be handed over; whether there may be more. Safe to repeat and to run beside others:
    who comes second does nothing.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_NEW_VERSIONS)
        new = [row[0] for row in cursor.fetchall()]
        reading = Reading.objects.select_for_update(skip_locked=True).first()
        if reading is None:
            if not new:
                return False
            return _begin(now)
        if new:
            # Noted after the reading began: whose outcomes it will not read have ended, or are among these.
            waits_for = sorted(writers(cursor, JOURNAL))
            Covered.objects.bulk_create(
                [Covered(version_id=version, writers=waits_for) for version in new], ignore_conflicts=True
            )
        looked_up = _look_up(cursor, now)
        return _read(cursor, reading, now) or looked_up


def _begin(now: datetime) -> bool:
    """Begin to read, from now on; what was before is looked up. Nobody else may, or another has and holds its row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('handover.reading', 0))")
        if not cursor.fetchone()[0] or Reading.objects.exists():
            return False
    Reading.objects.create(position=last_drawn(JOURNAL))
    return True


def _read(cursor: CursorWrapper, reading: Reading, now: datetime) -> bool:
    before = (reading.position, reading.gap_end)
    until = advance(cursor, JOURNAL, reading)
    if until > reading.position:
        span: dict[str, int | datetime] = {"after": reading.position, "until": until, "now": now}
        cursor.execute(_JUST_CONFIRMED, {**span, "limit": None})
        cursor.execute(_REVERSED, span)
        reading.position = until
    if (reading.position, reading.gap_end) == before:
        return False
    reading.save(update_fields=["position", "gap_end", "gap_writers"])
    # A gap that nobody can fill any more is stepped over by the next batch, at once.
    return reading.position > before[0] or not reading.gap_writers


def _look_up(cursor: CursorWrapper, now: datetime) -> bool:
    """What was confirmed before versions were made that pass it on."""
    waiting = list(Covered.objects.filter(looked_up_at=None).select_related("version__contract"))
    if not waiting:
        return False
    left = writers(cursor, JOURNAL)
    ready = [one for one in waiting if not left.intersection(one.writers)]
    if not ready:
        return False
    contracts = [one.version.contract for one in ready]
    cursor.execute(
        _CONFIRMED_BEFORE,
        {
            "customers": sorted({one.customer_id for one in contracts}),
            "contracts": sorted({one.pk for one in contracts}),
            "now": now,
            "limit": LOOK_UP,
        },
    )
    if cursor.rowcount == LOOK_UP:
        return True  # There may be more of them.
    Covered.objects.filter(pk__in=[one.pk for one in ready]).update(looked_up_at=now)
    return True
