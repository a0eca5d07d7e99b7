"""What a billing period still waits for: facts that could yet settle inside it."""

from datetime import datetime

from django.db import connection

from contracts.models import Customer

# Each part is one look at an index. Evaluation and settlement commit before what they did can be billed, so a customer
# for whom nothing is found here has everything booked that lies before the period's end.
_OUTSTANDING = """
SELECT
    EXISTS (SELECT FROM outcomes_outcome o
            WHERE o.partition = %(partition)s AND o.due_at < %(period_end)s
              AND o.customer_id = %(customer)s AND o.state IN ('open', 'provisional')),
    EXISTS (SELECT FROM outcomes_importcustomer t JOIN outcomes_import i ON i.id = t.batch_import_id
            WHERE t.customer_id = %(customer)s AND i.closed_at IS NULL),
    EXISTS (SELECT FROM outcomes_pending p WHERE p.partition = %(partition)s AND p.time < %(period_end)s)
"""

_PROVISIONAL = """
SELECT EXISTS (SELECT FROM outcomes_outcome o
               WHERE o.customer_id = %(customer)s AND o.state = 'provisional' AND o.met_at < %(ends_at)s)
"""

UNSETTLED = "outcomes are due before the period's end and not settled yet"
IMPORT_OPEN = "an import that touches the customer is open"
NOT_EVALUATED = "accepted events from before the period's end wait for evaluation"
CLOSING = "outcomes met before the contract's end are still in their settlement windows"


def outstanding(customer: Customer, period_end: datetime) -> str:
    """Why the period cannot be billed yet, as half a sentence; empty when it can."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OUTSTANDING, {"customer": customer.id, "partition": customer.partition, "period_end": period_end}
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
