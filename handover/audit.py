"""What must hold of what is handed over: `manage.py audit` proves it."""

from access.invariants import Invariant
from contracts.terms import PASSING_ON

_CHECKED = """
SELECT count(*) FROM outcomes_outcome o
WHERE o.state = 'confirmed' AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

# What the reading has passed, and is confirmed under a version that is looked up.
_FORGOTTEN = f"""
WITH passing AS MATERIALIZED ({PASSING_ON})
SELECT 'the outcome is to be handed over, and nobody has noted it' AS problem, o.customer_id AS customer,
       o.id AS outcome, p.contract_id AS contract
FROM passing p JOIN outcomes_outcome o ON o.customer_id = p.customer_id AND o.met_at >= p.starts_at
     AND o.met_at < coalesce(p.ends_at, 'infinity')
WHERE o.state = 'confirmed'
  AND NOT EXISTS (SELECT FROM handover_handover h WHERE h.outcome_id = o.id AND h.kind = 'usage')
  AND NOT EXISTS (SELECT FROM contracts_contractversion v LEFT JOIN handover_covered c ON c.version_id = v.id
                  WHERE v.contract_id = p.contract_id AND v.pass_on <> 'none' AND c.looked_up_at IS NULL)
  AND EXISTS (SELECT FROM outcomes_journal j JOIN handover_reading r ON j.id <= r.position
              WHERE j.outcome_id = o.id AND j.to_state = 'confirmed')
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_NOT_TAKEN_BACK = """
SELECT 'the outcome was handed over and is reversed, and nobody has noted that' AS problem, h.customer_id AS customer,
       h.outcome_id AS outcome
FROM handover_handover h
JOIN outcomes_journal j ON j.outcome_id = h.outcome_id AND j.to_state = 'reversed' AND j.from_state = 'confirmed'
JOIN handover_reading r ON j.id <= r.position
WHERE h.kind = 'usage' AND h.status = 'done'
  AND NOT EXISTS (SELECT FROM handover_handover b WHERE b.outcome_id = h.outcome_id AND b.kind = 'reversal')
  AND (%(customer)s::bigint IS NULL OR h.customer_id = %(customer)s)
"""

_BOTH = """
SELECT 'the outcome is handed over and invoiced here' AS problem, h.customer_id AS customer, h.outcome_id AS outcome
FROM handover_handover h JOIN invoicing_lineoutcome b ON b.outcome_id = h.outcome_id AND b.live
WHERE h.kind = 'usage' AND h.status <> 'dropped' AND (%(customer)s::bigint IS NULL OR h.customer_id = %(customer)s)
"""

_PARKED = """
SELECT CASE WHEN h.status = 'parked' THEN 'the hand-over waits for a person: ' || h.reason
            ELSE 'the hand-over waits for more than a day: ' || h.reason END AS problem,
       h.customer_id AS customer, h.outcome_id AS outcome, h.id AS handover
FROM handover_handover h
WHERE (h.status = 'parked' OR (h.status = 'waiting' AND h.created_at < %(now)s - interval '1 day'))
  AND (%(customer)s::bigint IS NULL OR h.customer_id = %(customer)s)
"""

INVARIANTS = (
    Invariant(
        name="handed over",
        sentence="Each confirmed outcome that another system invoices is noted to be handed over, stands on no invoice "
        "here, and is taken back there where it is reversed after it was handed over.",
        way_out="Outcomes that nobody noted: delete the rows of handover_covered that name versions of the contract, "
        "and run manage.py handover; it looks them up again. What is invoiced here and handed over is credited here by "
        "hand. What waits for a person says in its reason what to do: GET /v1/handovers?status=parked.",
        of="confirmed outcomes",
        checked=_CHECKED,
        violations=(_FORGOTTEN, _NOT_TAKEN_BACK, _BOTH),
        warnings=(_PARKED,),
    ),
)
