"""What must hold of events, subjects, outcomes and their journal: `manage.py audit` proves it.

The hot tables carry no foreign keys to each other; the invariants `facts` and `references` stand in for them. What only
computing again can show is in `outcomes.recount`.
"""

from datetime import UTC, datetime

from django.db import connection

from access.invariants import Findings, Function, Invariant, Scope
from contracts.models import ConditionCustomer, ConditionVersion
from outcomes.domain.lifecycle import LARGEST_VALUE, SETTLE_VALUE_PATIENCE
from outcomes.programs import all_rules
from outcomes.recount import check_routing, check_subjects
from outcomes.sequence import MONTH_FACTOR


def _archived(seq: str) -> str:
    """SQL: whether the event of this number was received in a month whose payloads are archived."""
    month = f"to_char(date '2020-01-01' + make_interval(months => ({seq} / {MONTH_FACTOR})::int), 'YYYY-MM')"
    return f"EXISTS (SELECT FROM outcomes_archivedmonth a WHERE a.month = {month})"


# --- events -----------------------------------------------------------------------------------------------------------

_EVENTS = """
SELECT count(*) FROM outcomes_event e WHERE %(customer)s::bigint IS NULL OR e.customer_id = %(customer)s
"""

_IDENTITIES = f"""
SELECT CASE WHEN e.seq IS NULL THEN 'an identity is claimed and its event is not stored'
            WHEN i.seq IS NULL THEN 'an event is stored and its identity is not claimed'
            ELSE 'an identity and its event name different things' END AS problem,
       coalesce(e.customer_id, i.customer_id) AS customer, coalesce(e.seq, i.seq) AS event,
       coalesce(i.event_id, e.event_id) AS event_id
FROM outcomes_event e FULL JOIN outcomes_event_identity i ON i.seq = e.seq
WHERE ((e.seq IS NULL AND NOT {_archived("i.seq")}) OR i.seq IS NULL OR e.customer_id <> i.customer_id
       OR e.event_id <> i.event_id OR e.source <> i.source)
  AND (%(customer)s::bigint IS NULL OR coalesce(e.customer_id, i.customer_id) = %(customer)s)
"""

_NO_CUSTOMER = """
SELECT 'the event is of a customer that does not exist' AS problem, e.seq AS event, e.customer_id AS customer
FROM outcomes_event e LEFT JOIN contracts_customer c ON c.id = e.customer_id
WHERE c.id IS NULL AND (%(customer)s::bigint IS NULL OR e.customer_id = %(customer)s)
"""

_WAITING = """
SELECT CASE WHEN e.seq IS NULL THEN 'what waits for evaluation is not stored'
            WHEN c.partition IS DISTINCT FROM p.partition
                THEN 'the event waits in another partition than its customer''s'
            WHEN e."time" <> p."time" THEN 'the event waits under another time than its own'
            ELSE 'the event waits for evaluation and was evaluated already' END AS problem,
       e.customer_id AS customer, p.seq AS event, p.partition
FROM outcomes_pending p LEFT JOIN outcomes_event e ON e.seq = p.seq
LEFT JOIN contracts_customer c ON c.id = e.customer_id
WHERE (e.seq IS NULL OR c.partition IS DISTINCT FROM p.partition OR e."time" <> p."time"
       OR (NOT p.again AND EXISTS (SELECT FROM outcomes_subject_event f WHERE f.seq = p.seq)))
  AND (%(customer)s::bigint IS NULL OR e.customer_id = %(customer)s)
"""

_SEQUENCES = f"""
SELECT 'the sequence has fallen behind the numbers in use: the next rows would take them again' AS problem,
       s.name AS sequence, s.used, s.given
FROM (SELECT 'outcomes_seq' AS name, max(e.seq %% {MONTH_FACTOR}) AS used,
             pg_sequence_last_value('outcomes_seq') AS given FROM outcomes_event_identity e
      UNION ALL
      SELECT 'outcomes_subject_id_seq', max(id),
             pg_sequence_last_value(pg_get_serial_sequence('outcomes_subject', 'id')::regclass) FROM outcomes_subject
      UNION ALL
      SELECT 'outcomes_journal_id_seq', max(id),
             pg_sequence_last_value(pg_get_serial_sequence('outcomes_journal', 'id')::regclass) FROM outcomes_journal
     ) s
WHERE s.used > coalesce(s.given, 0)
"""

# Accepted after a condition that mentions it was made, and without a trace. A minute lies between, because the instants
# of making and of receiving are those of two processes, taken before either committed.
_LOST = """
SELECT 'the event neither waits for evaluation nor was evaluated' AS problem, e.customer_id AS customer, e.seq AS event,
       e.event_id, e.type
FROM outcomes_event e
JOIN (SELECT type, customer, min(since) AS since
      FROM unnest(%(types)s::text[], %(customers)s::bigint[], %(since)s::timestamptz[]) AS heard (type, customer, since)
      GROUP BY type, customer) heard
    ON heard.type = e.type AND (heard.customer IS NULL OR heard.customer = e.customer_id)
WHERE e.received_at > heard.since + interval '1 minute'
  AND NOT EXISTS (SELECT FROM outcomes_pending p WHERE p.seq = e.seq)
  AND NOT EXISTS (SELECT FROM outcomes_subject_event f WHERE f.seq = e.seq)
  AND NOT EXISTS (SELECT FROM outcomes_inboxitem i WHERE i.event_seq = e.seq)
  AND NOT EXISTS (SELECT FROM outcomes_lateevidence l WHERE l.event_seq = e.seq)
  AND (%(customer)s::bigint IS NULL OR e.customer_id = %(customer)s)
"""

_STALE = """
SELECT 'the event has waited for evaluation for more than an hour' AS problem, e.customer_id AS customer,
       e.seq AS event, e.received_at
FROM outcomes_pending p JOIN outcomes_event e ON e.seq = p.seq
WHERE e.received_at < %(now)s::timestamptz - interval '1 hour'
  AND (%(customer)s::bigint IS NULL OR e.customer_id = %(customer)s)
"""

# --- facts ------------------------------------------------------------------------------------------------------------

_FACTS = """
SELECT count(*) FROM outcomes_subject_event f JOIN outcomes_subject s ON s.id = f.subject_id
WHERE %(customer)s::bigint IS NULL OR s.customer_id = %(customer)s
"""

_FOREIGN_FACTS = f"""
SELECT CASE WHEN e.seq IS NULL THEN 'a fact is an event that is not stored'
            WHEN s.id IS NULL THEN 'a fact belongs to a subject that does not exist'
            WHEN e.customer_id <> s.customer_id THEN 'a fact is an event of another customer'
            WHEN e."time" <> f."time" THEN 'a fact stands at another time than its event'
            ELSE 'the condition does not mention this event' END AS problem,
       coalesce(s.customer_id, e.customer_id) AS customer, f.subject_id AS subject, f.seq AS event
FROM outcomes_subject_event f LEFT JOIN outcomes_event e ON e.seq = f.seq
LEFT JOIN outcomes_subject s ON s.id = f.subject_id
LEFT JOIN (SELECT DISTINCT * FROM unnest(%(conditions)s::bigint[], %(types)s::text[]) AS h (condition_id, type)) heard
    ON heard.condition_id = s.condition_id AND heard.type = e.type
WHERE (s.id IS NULL OR (e.seq IS NULL AND NOT {_archived("f.seq")}) OR e.customer_id <> s.customer_id
       OR e."time" <> f."time" OR (e.seq IS NOT NULL AND heard.type IS NULL))
  AND (%(customer)s::bigint IS NULL OR coalesce(s.customer_id, e.customer_id) = %(customer)s)
"""

_SUBJECTS = """
SELECT CASE WHEN c.id IS NULL THEN 'the subject is of a customer that does not exist'
            WHEN k.id IS NULL THEN 'the subject is of a condition that does not exist'
            WHEN k.limited AND NOT EXISTS (SELECT FROM contracts_conditioncustomer n
                                           WHERE n.condition_id = k.id AND n.customer_id = s.customer_id)
                THEN 'the condition is not for this customer'
            WHEN newest.seq IS NULL THEN 'the subject has no facts'
            ELSE 'the newest fact is not the one that was folded last' END AS problem,
       s.customer_id AS customer, s.id AS subject, s.key
FROM outcomes_subject s LEFT JOIN contracts_customer c ON c.id = s.customer_id
LEFT JOIN contracts_condition k ON k.id = s.condition_id
LEFT JOIN LATERAL (SELECT f."time", f.seq FROM outcomes_subject_event f WHERE f.subject_id = s.id
                   ORDER BY f."time" DESC, f.seq DESC LIMIT 1) newest ON true
WHERE (c.id IS NULL OR k.id IS NULL OR newest.seq IS NULL
       OR (k.limited AND NOT EXISTS (SELECT FROM contracts_conditioncustomer n
                                     WHERE n.condition_id = k.id AND n.customer_id = s.customer_id))
       OR ((newest."time", newest.seq) <> (s.last_time, s.last_seq)
           -- Where settlement closed an open attempt after the newest fact, `last_time` says when.
           AND NOT EXISTS (SELECT FROM outcomes_outcome o JOIN outcomes_journal j ON j.outcome_id = o.id
                           WHERE o.subject_id = s.id AND s.last_time > newest."time" AND j.to_state = 'missed'
                           AND j.effective_at = s.last_time)
           -- Nor where a person decided of it: what happened before that instant comes too late.
           AND NOT EXISTS (SELECT FROM outcomes_decision d WHERE d.subject_id = s.id AND d.at = s.last_time)))
  AND (%(customer)s::bigint IS NULL OR s.customer_id = %(customer)s)
"""

# --- outcomes ---------------------------------------------------------------------------------------------------------

_OUTCOMES = """
SELECT count(*) FROM outcomes_outcome o WHERE %(customer)s::bigint IS NULL OR o.customer_id = %(customer)s
"""

_OWNERS = """
SELECT CASE WHEN s.id IS NULL THEN 'the outcome is about a subject that does not exist'
            WHEN s.customer_id <> o.customer_id THEN 'the outcome is of another customer than its subject'
            WHEN s.condition_id <> o.condition_id THEN 'the outcome is of another condition than its subject'
            WHEN v.id IS NULL THEN 'the outcome was judged by a version that does not exist'
            WHEN v.condition_id <> o.condition_id THEN 'the outcome was judged by a version of another condition'
            ELSE 'the outcome is in another partition than its customer' END AS problem,
       o.customer_id AS customer, o.id AS outcome, o.subject_id AS subject
FROM outcomes_outcome o LEFT JOIN outcomes_subject s ON s.id = o.subject_id
LEFT JOIN contracts_conditionversion v ON v.id = o.version_id
LEFT JOIN contracts_customer c ON c.id = o.customer_id
WHERE (s.id IS NULL OR s.customer_id <> o.customer_id OR s.condition_id <> o.condition_id OR v.id IS NULL
       OR v.condition_id <> o.condition_id OR c.partition IS DISTINCT FROM o.partition)
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_NAMED_EVENTS = """
SELECT 'the outcome names an event that is not among the facts of its subject (' || named.what || ')' AS problem,
       o.customer_id AS customer, o.id AS outcome, named.seq AS event
FROM outcomes_outcome o
CROSS JOIN LATERAL (VALUES ('first', o.first_seq), ('last', o.last_seq), ('met by', o.met_by_seq),
                           ('ended by', o.ended_by_seq)) AS named (what, seq)
LEFT JOIN outcomes_subject_event f ON f.subject_id = o.subject_id AND f.seq = named.seq
WHERE named.seq IS NOT NULL AND f.seq IS NULL AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_LOOSE_JOURNAL = f"""
SELECT CASE WHEN o.id IS NULL THEN 'a journal row is of an outcome that does not exist'
            ELSE 'a journal row names an event that is not stored' END AS problem,
       o.customer_id AS customer, j.outcome_id AS outcome, j.id AS journal, j.event_seq AS event
FROM outcomes_journal j LEFT JOIN outcomes_outcome o ON o.id = j.outcome_id
LEFT JOIN outcomes_event e ON e.seq = j.event_seq
WHERE (o.id IS NULL OR (j.event_seq IS NOT NULL AND e.seq IS NULL AND NOT {_archived("j.event_seq")}))
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_JOURNAL = """
SELECT count(*) FROM outcomes_journal j
WHERE %(customer)s::bigint IS NULL
   OR EXISTS (SELECT FROM outcomes_outcome o WHERE o.id = j.outcome_id AND o.customer_id = %(customer)s)
"""

# `restated` notes new dates, `complete` what a person gave; neither moves anything.
_MOVES = """
WITH steps AS (
    SELECT j.outcome_id, j.id, j.from_state, j.to_state, j.clause, j.cause,
           coalesce(lag(j.to_state) OVER chain, '') AS before,
           lead(j.id) OVER chain IS NULL AS is_last,
           count(*) FILTER (WHERE j.to_state = 'confirmed' AND j.from_state <> 'confirmed') OVER chain AS confirmations
    FROM outcomes_journal j WINDOW chain AS (PARTITION BY j.outcome_id ORDER BY j.id)
)
SELECT CASE WHEN j.id IS NULL THEN 'the outcome has no journal'
            WHEN j.confirmations > 1 AND j.to_state = 'confirmed' THEN 'the attempt was confirmed twice'
            WHEN j.from_state <> j.before THEN 'a journal row does not go on where the one before ended'
            WHEN j.is_last AND j.to_state <> o.state THEN 'the outcome is not in the state of its last journal row'
            ELSE 'this is no legal move' END AS problem,
       o.customer_id AS customer, o.id AS outcome, o.state, j.id AS journal, j.from_state, j.to_state
FROM outcomes_outcome o LEFT JOIN steps j ON j.outcome_id = o.id
WHERE (j.id IS NULL OR j.from_state <> j.before OR (j.is_last AND j.to_state <> o.state)
       OR (j.confirmations > 1 AND j.to_state = 'confirmed' AND j.from_state <> 'confirmed')
       OR NOT ((j.from_state, j.to_state) IN (
            ('', 'open'), ('open', 'provisional'), ('open', 'missed'), ('open', 'superseded'), ('provisional', 'open'),
            ('provisional', 'void'), ('provisional', 'confirmed'), ('provisional', 'superseded'),
            ('confirmed', 'reversed'), ('void', 'superseded'), ('missed', 'superseded'))
         OR (j.from_state = 'open' AND j.to_state = 'void' AND j.cause = 'person')
         OR (j.from_state = j.to_state AND j.clause IN ('restated', 'complete'))))
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_TWICE_CONFIRMED = """
SELECT count(*) || ' outcomes of the subject are confirmed and unreversed' AS problem, o.customer_id AS customer,
       o.subject_id AS subject, (array_agg(o.id ORDER BY o.ordinal DESC))[1] AS outcome
FROM outcomes_outcome o
WHERE o.state = 'confirmed' AND o.version_id = ANY(%(single)s)
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
GROUP BY o.customer_id, o.subject_id HAVING count(*) > 1
"""

_SINGLE = """
SELECT 'the outcome is marked ' || CASE WHEN o.single THEN 'single' ELSE 'repeating' END || ', its condition is not'
           AS problem, o.customer_id AS customer, o.id AS outcome
FROM outcomes_outcome o
WHERE o.single <> (o.version_id = ANY(%(single)s)) AND o.state <> 'superseded'
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_FIGURES = f"""
SELECT CASE WHEN o.quantity = 'NaN' OR o.amount = 'NaN' THEN 'a figure is no number'
            WHEN o.quantity < 0 OR o.amount < 0 OR o.quantity >= {LARGEST_VALUE} OR o.amount >= {LARGEST_VALUE}
                THEN 'a figure is no sane amount'
            WHEN o.state IN ('provisional', 'confirmed') THEN 'the quantity is missing and nobody is told'
            ELSE 'an outcome that bills nothing has figures' END AS problem,
       o.customer_id AS customer, o.id AS outcome, o.state, o.quantity, o.amount
FROM outcomes_outcome o
WHERE o.state NOT IN ('reversed', 'superseded')
  AND (o.quantity = 'NaN' OR o.amount = 'NaN' OR o.quantity < 0 OR o.amount < 0
       OR o.quantity >= {LARGEST_VALUE} OR o.amount >= {LARGEST_VALUE}
       OR (o.state IN ('provisional', 'confirmed') AND o.queue IS NULL
           AND (o.quantity IS NULL) <> ('quantity_unknown' = ANY(o.review)))
       OR (o.state IN ('open', 'void', 'missed') AND (o.quantity IS NOT NULL OR o.amount IS NOT NULL)))
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

# Each reads the outcome alone; the first that is true is named. `queue` is [[from, to, at in microseconds, ...], ...].
_TIME_RULES = (
    ("its last event is before its first", "(o.last_time, o.last_seq) < (o.first_time, o.first_seq)"),
    ("it was met, or is not: its state says the other",
     "(o.met_at IS NULL) <> (o.state IN ('open', 'missed')) AND o.state <> 'superseded' "
     # A person took back what late events say was open again by then.
     "AND NOT (o.state = 'void' AND EXISTS (SELECT FROM outcomes_decision d "
     "WHERE d.subject_id = o.subject_id AND d.at = o.ended_at))"),
    ("it was met at an instant and by no event, or the reverse", "(o.met_at IS NULL) <> (o.met_by_seq IS NULL)"),
    ("it was met before it began", "o.met_at < o.first_time"),
    ("its window ends before it was met", "o.settles_at < o.met_at"),
    ("it has a planned end and was not met", "o.settles_at IS NOT NULL AND o.met_at IS NULL"),
    ("it was settled before it was met", "o.settled_at < o.met_at"),
    ("it is settled, or is not: its state says the other",
     "(o.settled_at IS NULL) = (o.state IN ('confirmed', 'reversed')) AND o.state <> 'superseded'"),
    ("it was settled at another instant than planned", "o.settled_at <> o.settles_at"),
    ("it has ended, or has not: its state says the other",
     "(o.ended_at IS NULL) = (o.state IN ('void', 'missed', 'reversed', 'superseded'))"),
    ("it was reversed before it was settled", "o.state = 'reversed' AND o.ended_at < o.settled_at"),
    ("the clock is to change it, or is not: its state says the other",
     "(o.due_at IS NULL) = (o.state IN ('open', 'provisional') OR o.queue IS NOT NULL)"),
    ("it is due at another instant than its window ends",
     "o.state = 'provisional' AND o.queue IS NULL "
     f"AND o.due_at <> coalesce(o.settles_at, o.met_at + interval '{SETTLE_VALUE_PATIENCE} microseconds')"),
    ("what waits to be booked of it is not due when it should be",
     "o.queue IS NOT NULL AND o.due_at <> timestamptz 'epoch' + (o.queue->0->>2)::bigint * interval '1 microsecond'"),
    ("what waits to be booked of it does not go on from its state", "o.queue->0->>0 <> o.state"),
)  # fmt: skip

_TIMES = f"""
SELECT * FROM (
    SELECT CASE {" ".join(f"WHEN {broken} THEN '{rule}'" for rule, broken in _TIME_RULES)} END AS problem,
           o.customer_id AS customer, o.id AS outcome, o.state
    FROM outcomes_outcome o WHERE %(customer)s::bigint IS NULL OR o.customer_id = %(customer)s
) outcomes WHERE problem IS NOT NULL
"""

# An event may be five minutes ahead of the clock that accepts it, and that clock some minutes ahead of the one that
# evaluates.
_JOURNAL_TIMES = """
SELECT 'a change was recorded before it took effect' AS problem, o.customer_id AS customer, j.outcome_id AS outcome,
       j.id AS journal, j.effective_at, j.recorded_at
FROM outcomes_journal j JOIN outcomes_outcome o ON o.id = j.outcome_id
WHERE j.recorded_at < j.effective_at - CASE j.cause WHEN 'clock' THEN interval '0' ELSE interval '30 minutes' END
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""


# --- what the conditions say ------------------------------------------------------------------------------------------


def _with_mentions(query: str) -> Function:
    """A check of which event types conditions mention."""

    def run(scope: Scope, findings: Findings) -> None:
        findings.add_sql(query, {"customer": scope.customer, **_mentions()})

    return run


def _mentions() -> dict[str, list]:
    """Which conditions mention which of the stored event types, of which customer (None: of all), and since when: the
    columns of one table.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT type FROM outcomes_event")
        stored = [name for (name,) in cursor.fetchall()]
    made = dict(ConditionVersion.objects.values_list("id", "created_at"))
    limits: dict[int, list[tuple[int | None, datetime]]] = {}
    for named in ConditionCustomer.objects.all():
        limits.setdefault(named.condition_id, []).append((named.customer_id, named.created_at))
    everybody = [(None, datetime.min.replace(tzinfo=UTC))]
    rows = [
        (condition, name, customer, max(min(since), named_at))
        for condition, rules in all_rules().items()
        for name in stored
        if (since := [made[version.id] for version in rules.versions if version.program.mentions(name)])
        for customer, named_at in limits.get(condition, everybody)
    ]
    columns = ("conditions", "types", "customers", "since")
    return {column: [row[place] for row in rows] for place, column in enumerate(columns)}


def _check_single(scope: Scope, findings: Findings) -> None:
    """What `repeat when` allows, by the text of each version."""
    single = [
        version.id for rules in all_rules().values() for version in rules.versions if not version.program.has_repeat
    ]
    for query in (_TWICE_CONFIRMED, _SINGLE):
        findings.add_sql(query, {"customer": scope.customer, "single": single})


INVARIANTS = (
    Invariant(
        name="events",
        sentence="Every accepted event has its identity, and waits for evaluation or was evaluated, once.",
        way_out="An event that was lost on the way is evaluated once it stands in outcomes_pending (partition of its "
        "customer, seq, time); one that waits and was evaluated is taken off it. An event without its identity, or the "
        "reverse, comes from a backup. A sequence is set past the numbers in use: SELECT setval(name, used).",
        of="events",
        checked=_EVENTS,
        violations=(_IDENTITIES, _NO_CUSTOMER, _WAITING, _SEQUENCES),
        warnings=(_STALE,),
        functions=(_with_mentions(_LOST),),
    ),
    Invariant(
        name="facts",
        sentence="Each subject's facts are stored events of its customer that its condition mentions, and it was "
        "folded up to the newest.",
        way_out="Take the row out of outcomes_subject_event, or put the event that is missing back from a backup; then "
        "have the subject computed again (see `replay`).",
        of="facts",
        checked=_FACTS,
        violations=(_SUBJECTS,),
        functions=(_with_mentions(_FOREIGN_FACTS),),
    ),
    Invariant(
        name="routing",
        sentence="Each event is among the facts of exactly the subjects whose conditions mention it and find their key "
        "in it, and says what was sent.",
        way_out="An event that is missing among a subject's facts and is among nobody's: put it into outcomes_pending "
        "(partition of its customer, seq, time); else add the row to outcomes_subject_event and have the subject "
        "computed again (see `replay`). Content that changed comes from a backup: events never change.",
        of="events",
        functions=(check_routing,),
    ),
    Invariant(
        name="references",
        sentence="Each outcome and each journal row belongs to what it names: subject, customer, condition version, "
        "partition, events.",
        way_out="Put the missing row back from a backup, or the number the row should carry into it. Nothing of the "
        "customer settles or is billed rightly until then: stop its workers first.",
        of="outcomes",
        checked=_OUTCOMES,
        violations=(_OWNERS, _NAMED_EVENTS, _LOOSE_JOURNAL),
    ),
    Invariant(
        name="journal",
        sentence="Each outcome went through legal moves only, was confirmed once at most, and is in the state of its "
        "last journal row.",
        way_out="The journal is the record, the outcome its projection: where they differ, put the outcome into the "
        "state of the last row. Where the journal itself has a gap, its rows come from a backup.",
        of="journal rows",
        checked=_JOURNAL,
        violations=(_MOVES,),
    ),
    Invariant(
        name="single",
        sentence="Without `repeat when`, a subject has at most one outcome that is confirmed and not reversed.",
        way_out="See which of them the subject's events give (`replay` names the other); have it reversed, and void "
        "the invoice it stands on. Then find out who wrote past the unique index one_confirmed_per_subject.",
        of="outcomes",
        checked=_OUTCOMES,
        functions=(_check_single,),
    ),
    Invariant(
        name="figures",
        sentence="Quantities and amounts are sane numbers, and only what may be billed has them.",
        way_out="Figures follow from the events: have the subject computed again (see `replay`). If it was billed, "
        "void the invoice first.",
        of="outcomes",
        checked=_OUTCOMES,
        violations=(_FIGURES,),
    ),
    Invariant(
        name="times",
        sentence="The instants of an outcome are in order and in step with its state.",
        way_out="Instants follow from the events: have the subject computed again (see `replay`).",
        of="outcomes",
        checked=_OUTCOMES,
        violations=(_TIMES, _JOURNAL_TIMES),
    ),
    Invariant(
        name="replay",
        sentence="Computing each subject's events again gives the outcomes that are booked, and the state that the "
        "next event continues from.",
        way_out="Where the row differs, someone wrote past the application: put it back from a backup, or have the "
        "subject computed again with manage.py recompute SUBJECT, which books the difference and journals it.",
        of="subjects",
        functions=(check_subjects,),
    ),
)
