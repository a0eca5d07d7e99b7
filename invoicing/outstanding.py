"""What a billing period still waits for: facts that could yet settle inside it."""

from datetime import datetime

from django.db import connection

from contracts.clocks import is_test
from contracts.models import Customer
from settlement.holds import HELD

# Each part is one look at an index. Evaluation and settlement commit before what they did can be billed, so a customer
# for whom nothing is found here has everything booked that lies before the period's end. No period waits for what is
# held: a hold may last for months, and what settles after its release is billed as what comes late.
_OUTSTANDING = f"""
SELECT
    EXISTS (SELECT FROM outcomes_outcome o
            WHERE o.partition = %(partition)s AND o.due_at < %(period_end)s
              AND o.customer_id = %(customer)s AND o.state IN ('open', 'provisional') AND NOT {HELD}),
    EXISTS (SELECT FROM outcomes_importcustomer t JOIN outcomes_import i ON i.id = t.batch_import_id
            WHERE t.customer_id = %(customer)s AND i.closed_at IS NULL),
    EXISTS (SELECT FROM outcomes_pending p WHERE p.partition = %(partition)s AND p.time < %(period_end)s)
"""
# What happens to others in the partition happens at times that mean nothing to a test clock.
_OUTSTANDING_BY_CLOCK = _OUTSTANDING.replace(
    "FROM outcomes_pending p WHERE",
    "FROM outcomes_pending p JOIN outcomes_event e ON e.seq = p.seq AND e.customer_id = %(customer)s WHERE",
)

_PROVISIONAL = f"""
SELECT EXISTS (SELECT FROM outcomes_outcome o
               WHERE o.customer_id = %(customer)s AND o.state = 'provisional' AND o.met_at < %(ends_at)s
                 AND NOT {HELD})
"""

UNSETTLED = "outcomes are due before the period's end and not settled yet"
IMPORT_OPEN = "an import that touches the customer is open"
NOT_EVALUATED = "accepted events from before the period's end wait for evaluation"
CLOSING = "outcomes met before the contract's end are still in their settlement windows"


def outstanding(customer: Customer, period_end: datetime) -> str:
    """Why the period cannot be billed yet, as half a sentence; empty when it can."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OUTSTANDING_BY_CLOCK if is_test(customer) else _OUTSTANDING,
            {"customer": customer.id, "partition": customer.partition, "period_end": period_end},
        )
        unsettled, importing, pending = cursor.fetchone()
    if importing:
        return IMPORT_OPEN
    if pending:
        return NOT_EVALUATED
    return UNSETTLED if unsettled else ""


def outstanding_at_close(customer: Customer, ends_at: datetime) -> str:
    """Why a closing invoice waits: it comes once nothing met before the contract's end can still settle."""
    with connection.cursor() as cursor:
        cursor.execute(_PROVISIONAL, {"customer": customer.id, "ends_at": ends_at})
        (waiting,) = cursor.fetchone()
    return CLOSING if waiting else ""
