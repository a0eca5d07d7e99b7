"""What is frozen when an invoice is issued, as one canonical JSON text, and its SHA-256.

The text holds the terms used, every line with its arithmetic, and a digest of the outcomes on each line; so a change of
any of them, even past the database's guards, is found by comparing `content_hash` with the hash stored at issue.
"""

import hashlib
from typing import Any

from django.db import connection

from access.canonical import canonical
from access.times import format_rfc3339
from invoicing import texts
from invoicing.models import Invoice

FORMAT = 1

# Every outcome of the line in order of its id, also those a void invoice has let go.
_DIGESTS = """
SELECT b.line_id, encode(sha256(convert_to(string_agg(b.outcome_id::text, ',' ORDER BY b.outcome_id), 'UTF8')), 'hex')
FROM invoicing_lineoutcome b JOIN invoicing_invoiceline l ON l.id = b.line_id
WHERE l.invoice_id = %s
GROUP BY b.line_id
"""


def content_of(invoice: Invoice) -> dict[str, Any]:
    """The frozen content of an invoice that has its number, dates and parties."""
    if invoice.issued_at is None or invoice.due_at is None:
        raise ValueError("a draft has no frozen content")
    with connection.cursor() as cursor:
        cursor.execute(_DIGESTS, [invoice.id])
        digests = dict(cursor.fetchall())
    return {
        "format": FORMAT,
        "id": str(invoice.id),
        "number": invoice.number,
        "parties": invoice.parties,
        "customer": invoice.customer_id,
        "contract": str(invoice.contract_id),
        "currency": invoice.currency,
        "time_zone": invoice.time_zone,
        "period_start": format_rfc3339(invoice.period_start),
        "period_end": format_rfc3339(invoice.period_end),
        "ordinal": invoice.ordinal,
        "net_days": invoice.net_days,
        "issued_at": format_rfc3339(invoice.issued_at),
        "due_at": format_rfc3339(invoice.due_at),
        "total_minor": invoice.total_minor,
        "lines": [
            {
                "id": str(line.id),
                "position": line.position,
                "condition": line.condition_id,
                "price": line.price_id,
                "contract_version": line.contract_version_id,
                "period_start": format_rfc3339(line.period_start),
                "period_end": format_rfc3339(line.period_end),
                "title": line.title,
                "sentence": line.sentence,
                "dimensions": line.dimensions,
                "quantity": texts.plain(line.quantity),
                "unit_price": texts.plain(line.unit_price),
                "amount_minor": line.amount_minor,
                "steps": line.steps,
                "outcome_count": line.outcome_count,
                "voided_count": line.voided_count,
                "outcomes_sha256": digests.get(line.id),
            }
            for line in invoice.lines.order_by("position")
        ],
    }


def content_hash(invoice: Invoice) -> str:
    """SHA-256, as 64 hexadecimal digits, over the canonical JSON of the frozen content."""
    return hashlib.sha256(canonical(content_of(invoice)).encode()).hexdigest()
