"""Which issued invoices bill something that is held back or disputed now, so that nobody should be pressed for them."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from django.db import connection

from settlement.domain.disputes import RAISED
from settlement.holds import HELD_CONDITIONS, HELD_CUSTOMERS
from settlement.queries import DISPUTE, HOLD

# Found from the holds and disputes, of which there are few, never from what an invoice bills; by the index of outcomes
# that are billed, which holds those of standing invoices alone.
_CONTESTED: Final = f"""
WITH wanted AS (SELECT i.id, i.customer_id FROM invoicing_invoice i WHERE i.id = ANY(%(invoices)s)),
named AS MATERIALIZED (
    SELECT h.outcome_id, '{HOLD}' AS why FROM settlement_hold h
    WHERE h.outcome_id IS NOT NULL AND h.released_at IS NULL
    UNION ALL SELECT d.outcome_id, '{DISPUTE}' FROM settlement_dispute d WHERE d.status = '{RAISED}'
)
SELECT w.id, '{HOLD}' FROM wanted w WHERE w.customer_id IN ({HELD_CUSTOMERS})
UNION SELECT w.id, '{HOLD}' FROM wanted w JOIN invoicing_invoiceline l ON l.invoice_id = w.id
WHERE l.condition_id IN ({HELD_CONDITIONS})
UNION SELECT w.id, n.why FROM named n
JOIN invoicing_lineoutcome b ON b.outcome_id = n.outcome_id AND b.live
JOIN invoicing_invoiceline l ON l.id = b.line_id
JOIN wanted w ON w.id = l.invoice_id
"""


def contested(invoice_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Those of these invoices that a hold covers, or on which an outcome is disputed and not decided: `HOLD` before
    `DISPUTE`; the others are left out. One query. A hold on a condition covers each invoice with a line of it, a hold
    on a customer each invoice of its.
    """
    wanted = list(invoice_ids)
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_CONTESTED, {"invoices": wanted})
        rows: list[tuple[UUID, str]] = cursor.fetchall()
    # Sorted, a dispute comes first and is written over.
    return dict(sorted(rows, key=lambda row: row[1] == HOLD))
