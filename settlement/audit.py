"""What must hold of settlement: `manage.py audit` proves it."""

from access.invariants import Findings, Invariant, Scope
from contracts.clocks import OWN_NOWS
from settlement.domain import disputes
from settlement.holds import COVERED, HELD
from settlement.watermark import graces, paused_customers

_SETTLED = """
SELECT count(*) FROM outcomes_outcome o
WHERE o.settled_at IS NOT NULL AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

# The last row that says when it was confirmed: `restated` gives a confirmed outcome new dates and no new instant of
# booking.
_EARLY = """
SELECT 'the outcome was confirmed before its window was over' AS problem, o.customer_id AS customer, o.id AS outcome,
       j.recorded_at, o.settled_at
FROM outcomes_journal j JOIN outcomes_outcome o ON o.id = j.outcome_id
WHERE j.to_state = 'confirmed' AND j.from_state = 'provisional' AND j.recorded_at < j.effective_at
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_FUTURE = f"""
SELECT 'the outcome is settled and its window is not over yet' AS problem, o.customer_id AS customer, o.id AS outcome,
       o.settled_at
FROM outcomes_outcome o LEFT JOIN ({OWN_NOWS}) AS own ON own.customer_id = o.customer_id
WHERE o.settled_at > coalesce(own.now, %(now)s) AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_CLOSED = """
SELECT 'the import was closed before it was opened' AS problem, i.id AS import
FROM outcomes_import i WHERE i.closed_at < i.created_at AND %(customer)s::bigint IS NULL
"""

_OVERDUE = f"""
SELECT 'the outcome has been due for more than an hour' AS problem, o.customer_id AS customer, o.id AS outcome, o.due_at
FROM outcomes_outcome o
LEFT JOIN (SELECT p.partition, min(p."time") AS earliest FROM outcomes_pending p GROUP BY p.partition) AS w
    ON w.partition = o.partition
LEFT JOIN unnest(%(graced)s::bigint[], %(graces)s::interval[]) AS g(customer_id, grace) ON g.customer_id = o.customer_id
LEFT JOIN ({OWN_NOWS}) AS own ON own.customer_id = o.customer_id
WHERE o.due_at <= least(coalesce(own.now, %(now)s), w.earliest) - coalesce(g.grace, interval '0') - interval '1 hour'
  AND o.customer_id <> ALL(%(paused)s::bigint[]) AND NOT {HELD}
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""


def _overdue(scope: Scope, findings: Findings) -> None:
    """What the sweep may book, and has not for an hour: past the watermark and the grace, no import is open, no
    hold covers it.
    """
    waits = graces()
    parameters = {
        "now": scope.now,
        "customer": scope.customer,
        "graced": list(waits),
        "graces": list(waits.values()),
        "paused": paused_customers(),
    }
    findings.add_sql(_OVERDUE, parameters, warn=True)


_HELD_OR_DISPUTED = """
SELECT (SELECT count(*) FROM settlement_hold h LEFT JOIN outcomes_outcome o ON o.id = h.outcome_id
        WHERE %(customer)s::bigint IS NULL OR h.condition_id IS NOT NULL
           OR coalesce(h.customer_id, o.customer_id) = %(customer)s)
     + (SELECT count(*) FROM settlement_dispute d LEFT JOIN outcomes_outcome o ON o.id = d.outcome_id
        WHERE %(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

# In the order in which rows were drawn for the journal, not by clocks. Who takes back an outcome that is held books in
# one go what the clock had done before; nothing of that is ever billed.
_BOOKED_ALTHOUGH = f"""
SELECT 'the clock booked ' || j.to_state || ' while a hold covered the outcome' AS problem, h.whose AS customer,
       j.outcome_id AS outcome, h.id AS hold, j.id AS journal, j.recorded_at
FROM {COVERED} h JOIN outcomes_journal j ON j.outcome_id = h.covered
WHERE j.cause = 'clock' AND j.id > h.journal_after AND (h.journal_until IS NULL OR j.id <= h.journal_until)
  AND NOT EXISTS (SELECT FROM outcomes_journal p WHERE p.outcome_id = j.outcome_id AND p.id > j.id
                  AND p.cause = 'person' AND p.recorded_at = j.recorded_at)
  AND (%(customer)s::bigint IS NULL OR h.whose = %(customer)s)
"""

_LOST = """
SELECT 'the hold is on an outcome that does not exist' AS problem, NULL::bigint AS customer, h.outcome_id AS outcome,
       h.id AS hold, NULL::uuid AS dispute
FROM settlement_hold h LEFT JOIN outcomes_outcome o ON o.id = h.outcome_id
WHERE h.outcome_id IS NOT NULL AND o.id IS NULL AND %(customer)s::bigint IS NULL
UNION ALL
SELECT 'the dispute is of an outcome that does not exist', NULL, d.outcome_id, NULL, d.id
FROM settlement_dispute d LEFT JOIN outcomes_outcome o ON o.id = d.outcome_id
WHERE o.id IS NULL AND %(customer)s::bigint IS NULL
"""

_UPHELD = f"""
SELECT 'the dispute was upheld and its outcome still stands (' || o.state || ')' AS problem, o.customer_id AS customer,
       o.id AS outcome, d.id AS dispute
FROM settlement_dispute d JOIN outcomes_outcome o ON o.id = d.outcome_id
WHERE d.status = '{disputes.UPHELD}' AND o.state NOT IN {disputes.ENDED}
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_ENTRIES = f"""
SELECT CASE WHEN last.status IS NULL THEN 'the dispute has no entry'
            WHEN first.status <> '{disputes.RAISED}' THEN 'the dispute was decided and never raised'
            ELSE 'the dispute is ' || d.status || ' and its last entry says ' || last.status END AS problem,
       o.customer_id AS customer, d.outcome_id AS outcome, d.id AS dispute
FROM settlement_dispute d LEFT JOIN outcomes_outcome o ON o.id = d.outcome_id
LEFT JOIN LATERAL (SELECT e.status FROM settlement_disputeentry e WHERE e.dispute_id = d.id
                   ORDER BY e.id DESC LIMIT 1) last ON true
LEFT JOIN LATERAL (SELECT e.status FROM settlement_disputeentry e WHERE e.dispute_id = d.id
                   ORDER BY e.id LIMIT 1) first ON true
WHERE (last.status IS DISTINCT FROM d.status OR first.status IS DISTINCT FROM '{disputes.RAISED}')
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

INVARIANTS = (
    Invariant(
        name="settlement",
        sentence="Nothing was confirmed before its window was over, and what is due gets booked.",
        way_out="A clock that was ahead: mend it; the instants themselves are right, and an event that came meanwhile "
        "is late evidence. Where outcomes are overdue, start worker and beat, or run manage.py settle; their log says "
        "what keeps them.",
        of="settled outcomes",
        checked=_SETTLED,
        violations=(_EARLY, _FUTURE, _CLOSED),
        functions=(_overdue,),
    ),
    Invariant(
        name="holds and disputes",
        sentence="The clock books nothing of what is held; an upheld dispute's outcome is taken back; a dispute is in "
        "the status of its last entry.",
        way_out="Booked although it was held: take the outcome back (POST /v1/outcomes/{id}/reverse) if it should not "
        "stand, and report it: the lock 7305 was passed by. A dispute that was upheld and whose outcome stands: take "
        "it back. A status that is not that of the last entry: put back the row, or the entry, from a backup.",
        of="holds and disputes",
        checked=_HELD_OR_DISPUTED,
        violations=(_BOOKED_ALTHOUGH, _LOST, _UPHELD, _ENTRIES),
    ),
)
