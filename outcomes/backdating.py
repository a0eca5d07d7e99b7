"""What was met or evaluated already, which later terms must not change: the guards of `contracts.windows` and
`contracts.pins`.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Max, Q

from conditions_dsl import Event
from contracts.models import Customer
from contracts.pins import Changes
from outcomes.domain.instants import from_us, to_us
from outcomes.domain.lifecycle import PROVISIONAL, Pin, Rules, replay
from outcomes.evaluation import lock_partition
from outcomes.models import Outcome, State
from outcomes.programs import Catalog, all_rules, rules_for
from outcomes.store import EVENT_COLUMNS, read_event_row

CHUNK = 500


def met_within(
    customer: Customer, conditions: Collection[int], start: datetime, end: datetime | None
) -> dict[int, datetime]:
    """Of each condition the latest instant in [start, end) at which an outcome of the customer was met whose window is
    `settle after`; conditions without one are left out.

    Locks the customer's partition until the caller's transaction ends: evaluation reads the terms after it locked its
    partitions, so what it has met it met before this looked, and what it meets next follows what the caller writes.
    """
    with connection.cursor() as cursor:
        lock_partition(cursor, customer.partition)
        rules = _without_windows(all_rules(), customer.pk, conditions)
        after = [
            version.id
            for found in rules.values()
            for version in found.versions
            if version.program.settle.kind == "after"
        ]
        rows = Outcome.objects.filter(customer=customer, version__in=after).exclude(state=State.SUPERSEDED)
        in_span = Q(met_at__gte=start) if end is None else Q(met_at__gte=start, met_at__lt=end)
        found = rows.filter(in_span).order_by().values_list("condition_id").annotate(Max("met_at"))
        met = dict(found)
        # An attempt that is open again, or was met anew after the span, may have been met in it: its events tell.
        others = Q(met_at=None) if end is None else Q(met_at=None) | Q(met_at__gte=end)
        left = list(
            rows.filter(others, condition__in=rules.keys() - met.keys(), subject__last_time__gte=start)
            .order_by("subject")
            .distinct()
            .values_list("condition_id", "subject_id", "subject__last_time")
        )
        for first in range(0, len(left), CHUNK):
            chunk = left[first : first + CHUNK]
            histories = _histories(cursor, [subject for _, subject, _ in chunk])
            for condition, subject, last_time in chunk:
                history = histories[subject]
                assert last_time is not None  # it is at or after the start
                # Where a part of it is archived, it may have been met, and no later than its last event.
                instants = [last_time] if history is None else _meetings(rules[condition], history, after)
                for instant in instants:
                    if start <= instant and (end is None or instant < end):
                        met[condition] = max(instant, met.get(condition, start))
    return met


def _histories(cursor: CursorWrapper, subjects: list[int]) -> dict[int, list[Event] | None]:
    """The events of each subject in order; None where a part of them is archived."""
    cursor.execute(
        f"SELECT {EVENT_COLUMNS}, f.subject_id FROM outcomes_subject_event f "
        "LEFT JOIN outcomes_event e ON e.seq = f.seq WHERE f.subject_id = ANY(%s) "
        'ORDER BY f.subject_id, f."time", f.seq',
        [subjects],
    )
    rows = cursor.fetchall()
    unread = {row[-1] for row in rows if row[3] is None}
    histories: dict[int, list[Event] | None] = {subject: None if subject in unread else [] for subject in subjects}
    for row in rows:
        if (history := histories[row[-1]]) is not None:
            history.append(read_event_row(row))
    return histories


def evaluated_within(
    customer: Customer, changes: Changes, start: datetime, end: datetime | None
) -> dict[int, datetime]:
    """Of each condition the time of the customer's latest event in [start, end) at which the version in force changes,
    with another pin; conditions without one are left out. An event that began no attempt counts, too: under the other
    version it might have.

    Locks as `met_within` does.
    """
    found: dict[int, datetime] = {}
    with connection.cursor() as cursor:
        lock_partition(cursor, customer.partition)
        catalog = all_rules()
        for condition, numbers in changes.items():
            joined = catalog.limits.get(condition, {}).get(customer.pk)
            before, after = (
                Rules(
                    catalog[condition].versions,
                    pins=[] if number is None else [Pin(to_us(start), None, catalog.numbered[condition, number])],
                    since=joined,
                )
                for number in numbers
            )
            for since, until in _differing(before, after, to_us(start), end):
                cursor.execute(_LATEST_FACT, [from_us(since), until, customer.pk, condition, from_us(since)])
                (latest,) = cursor.fetchone()
                if latest is not None:
                    found[condition] = max(latest, found.get(condition, latest))
    return found


_LATEST_FACT = """
SELECT max(latest."time") FROM outcomes_subject s
CROSS JOIN LATERAL (SELECT f."time" FROM outcomes_subject_event f
                    WHERE f.subject_id = s.id AND f."time" >= %s AND f."time" < coalesce(%s::timestamptz, 'infinity')
                    ORDER BY f."time" DESC LIMIT 1) latest
WHERE s.customer_id = %s AND s.condition_id = %s AND s.last_time >= %s
"""


def _differing(before: Rules, after: Rules, start: int, end: datetime | None) -> Iterator[tuple[int, datetime | None]]:
    """The parts of [start, end) in which another version is in force by the one than by the other."""
    edges = {start, before.since, *(version.effective_from for version in before.versions)}
    inside = sorted(
        edge for edge in edges if edge is not None and start <= edge and (end is None or from_us(edge) < end)
    )
    for edge, following in zip(inside, [*map(from_us, inside[1:]), end], strict=True):
        if before.in_force(edge) != after.in_force(edge):
            yield edge, following


def _without_windows(catalog: Catalog, customer: int, conditions: Collection[int]) -> dict[int, Rules]:
    """What the customer's subjects are judged by, but for the windows: those are what is asked about."""
    own = rules_for(catalog, [customer])
    judged = {condition: own(customer, condition) for condition in conditions if condition in catalog}
    return {condition: Rules(one.versions, pins=one.pins, since=one.since) for condition, one in judged.items()}


def _meetings(rules: Rules, history: Sequence[Event], versions: Collection[int]) -> list[datetime]:
    """Every instant at which an attempt was met under one of these versions, also where it lapsed again."""
    return [
        from_us(change.at)
        for attempt in replay(rules, history).touched.values()
        if attempt.version in versions
        for change in attempt.changes
        if change.to_state == PROVISIONAL
    ]
