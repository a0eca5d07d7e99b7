"""What must hold of what is synced with Stripe, by what was last seen there: `manage.py audit` proves it from our own
rows alone. Whether what was seen is still so is asked by the reconciliation, which goes to Stripe.
"""

from access.invariants import Invariant

OF_CUSTOMER = "(%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)"


def in_stripes_units(amount: str, currency: str) -> str:
    """SQL for an amount of minor units as Stripe writes it: `units.to_stripe`."""
    return (
        f"(CASE WHEN {currency} IN ('ISK', 'UGX') THEN {amount} * 100 "
        f"WHEN {currency} = 'MGA' THEN {amount} / 100 ELSE {amount} END)"
    )


_SYNCED = f"""
SELECT count(*) FROM payments_stripeinvoice s JOIN invoicing_invoice i ON i.id = s.invoice_id WHERE {OF_CUSTOMER}
"""

# Nothing is left to be made so for the customer, so both sides should agree; `skipped` is what a person decided.
_BOTH = f"""
SELECT i.customer_id AS customer, i.id AS invoice, i.number, s.stripe_id, i.status AS ours, s.status AS theirs,
       s.total, {in_stripes_units("i.total_minor", "i.currency")} AS our_total,
       s.amount_remaining AS remaining, s.amount_paid AS paid,
       {in_stripes_units("(i.total_minor - coalesce(taken.amount, 0))", "i.currency")} + s.taken AS due,
       s.carried,
       EXISTS (SELECT FROM payments_operation o WHERE o.invoice_id = i.id AND o.status = 'skipped') AS skipped,
       EXISTS (SELECT FROM payments_operation o
               WHERE o.customer_id = i.customer_id AND o.finished_at IS NULL) AS busy
FROM payments_stripeinvoice s JOIN invoicing_invoice i ON i.id = s.invoice_id
LEFT JOIN (SELECT a.invoice_id, sum(a.amount_minor) AS amount FROM invoicing_creditapplication a WHERE a.live
           GROUP BY a.invoice_id) taken ON taken.invoice_id = i.id
WHERE {OF_CUSTOMER}
"""

_DIFFERS = f"""
SELECT CASE WHEN b.theirs NOT IN ('draft', 'deleted') AND b.total <> b.our_total
                THEN 'the total is ' || b.total || ' at Stripe and ' || b.our_total || ' here, in its units'
            WHEN b.theirs = 'draft' THEN 'it is a draft at Stripe, and nothing is left that would finalise it'
            WHEN b.theirs = 'deleted' AND b.ours <> 'void'
                THEN 'its draft was deleted at Stripe, and nothing makes it anew'
            WHEN b.theirs <> 'deleted'
                 AND b.theirs <> CASE b.ours WHEN 'issued' THEN 'open' ELSE b.ours END
                THEN 'it is ' || b.theirs || ' at Stripe and ' || b.ours || ' here'
            WHEN b.theirs IN ('open', 'uncollectible') AND b.remaining <> b.due
                THEN b.remaining || ' are to be paid at Stripe and ' || b.due || ' here, in its units'
            WHEN b.theirs = 'paid' AND (b.paid <> b.due - b.carried OR b.remaining <> 0)
                THEN b.paid || ' were paid at Stripe and ' || b.due - b.carried || ' were due here, in its units'
            END AS problem, b.customer, b.invoice, b.number, b.stripe_id, b.skipped, b.busy
FROM ({_BOTH}) b
"""

# What never changes any more has to agree at any time; the rest once nothing is left to be made so.
_DISAGREE = f"""
SELECT d.problem, d.customer, d.invoice, d.number, d.stripe_id FROM ({_DIFFERS}) d
WHERE d.problem IS NOT NULL AND NOT d.skipped AND (NOT d.busy OR d.problem LIKE 'the total is %%')
"""

_DECIDED = f"""
SELECT 'an operation was skipped, and ' || d.problem AS problem, d.customer, d.invoice, d.number, d.stripe_id
FROM ({_DIFFERS}) d WHERE d.problem IS NOT NULL AND d.skipped AND NOT d.busy
"""

_NOT_THERE = f"""
SELECT 'its operation is done, and nothing is known of it at Stripe' AS problem, i.customer_id AS customer,
       i.id AS invoice, i.number
FROM payments_operation o JOIN invoicing_invoice i ON i.id = o.invoice_id
WHERE o.kind = 'invoice' AND o.status = 'done' AND {OF_CUSTOMER}
  AND NOT EXISTS (SELECT FROM payments_stripeinvoice s WHERE s.invoice_id = i.id)
"""

# Instants of a test clock say nothing of when a connection was there.
_NOT_NOTED = f"""
SELECT 'it was issued while customers were synced, and nothing makes it known to Stripe' AS problem,
       i.customer_id AS customer, i.id AS invoice, i.number
FROM invoicing_invoice i JOIN contracts_customer c ON c.id = i.customer_id AND c.test_clock_id IS NULL
JOIN payments_connection n ON n.audience = 'live'
WHERE i.issued_at > n.connected_at + interval '1 hour' AND {OF_CUSTOMER}
  AND NOT EXISTS (SELECT FROM payments_operation o WHERE o.invoice_id = i.id AND o.kind = 'invoice')
"""

_LIVE = f"""
SELECT 'a test customer''s invoice is in live mode' AS problem, i.customer_id AS customer, i.id AS invoice, i.number,
       s.stripe_id
FROM payments_stripeinvoice s JOIN invoicing_invoice i ON i.id = s.invoice_id
JOIN contracts_customer c ON c.id = i.customer_id
WHERE s.livemode AND c.test_clock_id IS NOT NULL AND {OF_CUSTOMER}
"""

_CREDITS = f"""
SELECT CASE WHEN n.status <> 'issued' THEN 'a credit note that is a draft is at Stripe'
            WHEN k.amount <> k.before_payment + k.to_balance + k.refunded + k.outside
                THEN 'the parts of a credit note at Stripe do not come to it'
            WHEN k.amount <> {in_stripes_units("a.total_minor", "i.currency")}
                THEN 'a credit note corrects the invoice by ' || k.amount || ' at Stripe and by '
                     || {in_stripes_units("a.total_minor", "i.currency")} || ' here, in its units'
            ELSE 'a credit note and its invoice are in two accounts' END AS problem,
       i.customer_id AS customer, i.id AS invoice, n.id AS credit_note, n.number, k.stripe_id
FROM payments_stripecredit k JOIN invoicing_creditallocation a ON a.id = k.allocation_id
JOIN invoicing_creditnote n ON n.id = a.credit_note_id JOIN invoicing_invoice i ON i.id = a.invoice_id
LEFT JOIN payments_stripeinvoice s ON s.invoice_id = i.id
WHERE (n.status <> 'issued' OR k.amount <> k.before_payment + k.to_balance + k.refunded + k.outside
       OR k.amount <> {in_stripes_units("a.total_minor", "i.currency")}
       OR (starts_with(k.stripe_id, 'cn_') AND (s.account, s.livemode) <> (k.account, k.livemode)))
  AND {OF_CUSTOMER}
"""

_MISMATCH = f"""
SELECT 'Stripe''s is not as ours: ' || s.mismatch AS problem, i.customer_id AS customer, i.id AS invoice, i.number,
       s.stripe_id
FROM payments_stripeinvoice s JOIN invoicing_invoice i ON i.id = s.invoice_id
WHERE s.mismatch <> '' AND {OF_CUSTOMER}
"""

_WAITS = """
SELECT 'not made so at Stripe for more than a day (' || o.status || ')' AS problem, o.customer_id AS customer,
       o.kind, o.invoice_id AS invoice, o.credit_note_id AS credit_note, o.code
FROM payments_operation o
WHERE o.finished_at IS NULL AND o.created_at < %(now)s - interval '1 day'
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_UNKNOWN = """
SELECT 'whether a call to Stripe was made is unknown for more than a day' AS problem, o.customer_id AS customer, t.key
FROM payments_step t JOIN payments_operation o ON o.id = t.operation_id
WHERE o.finished_at IS NULL AND t.result IS NULL AND NOT t.stale AND NOT t.dropped
  AND t.begun_at < %(now)s - interval '1 day'
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

_UNSEEN = f"""
SELECT 'it is open at Stripe and was not looked at for more than an hour' AS problem, i.customer_id AS customer,
       i.id AS invoice, i.number, s.stripe_id
FROM payments_stripeinvoice s JOIN invoicing_invoice i ON i.id = s.invoice_id
WHERE s.status IN ('draft', 'open') AND s.seen_at < %(now)s - interval '1 hour' AND {OF_CUSTOMER}
"""

_EVENTS = """
SELECT CASE e.status WHEN 'failed' THEN 'a webhook of Stripe''s was given up: ' || e.reason
       ELSE 'a webhook of Stripe''s waits for more than an hour' END AS problem, e.event_id AS stripe_id, e.type
FROM payments_stripeevent e
WHERE (e.status = 'failed' OR (e.status = 'waiting' AND e.received_at < %(now)s - interval '1 hour'))
  AND %(customer)s::bigint IS NULL
"""

_FINDINGS = """
SELECT 'the reconciliation found: ' || f.what AS problem, f.customer_id AS customer, f.document, f.stripe_id
FROM payments_finding f
WHERE f.mended_at IS NULL AND (%(customer)s::bigint IS NULL OR f.customer_id = %(customer)s)
"""


INVARIANTS = (
    Invariant(
        name="stripe",
        sentence="What is synced with Stripe agrees with it in total, status and what is to be paid, by what was last "
        "seen there; once customers are synced, nothing that is issued is left out.",
        way_out="Run manage.py stripe_reconcile: it asks Stripe, and says of each difference what to do.",
        of="invoices",
        checked=_SYNCED,
        violations=(_DISAGREE, _NOT_THERE, _NOT_NOTED, _LIVE, _CREDITS),
        warnings=(_DECIDED, _MISMATCH, _WAITS, _UNKNOWN, _UNSEEN, _EVENTS, _FINDINGS),
    ),
)
