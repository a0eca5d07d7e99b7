"""What must hold of credit notes and of where their credit goes: `manage.py audit` proves it.

Their numbers and hashes are looked at with those of invoices (`invoicing.audit`).
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from access.invariants import Findings, Invariant, Scope
from invoicing.content import note_hashes
from invoicing.models import CreditNote

CHUNK = 500

STATUS = """
SELECT 'a credit note is issued without number, date or hash, or a draft with one' AS problem,
       n.customer_id AS customer, n.id AS credit_note, n.number, n.status
FROM invoicing_creditnote n
WHERE ((n.status = 'draft') <> (n.number IS NULL) OR (n.status = 'draft') <> (n.issued_at IS NULL)
       OR (n.status = 'draft') <> (n.content_hash = ''))
  AND (%(customer)s::bigint IS NULL OR n.customer_id = %(customer)s)
"""

_NOTES = """
SELECT count(*) FROM invoicing_creditnote n WHERE %(customer)s::bigint IS NULL OR n.customer_id = %(customer)s
"""

# What a note says it is, three times: in its lines, in its totals, in what it corrects. An automatic one corrects what
# its lines say without what goodwill gave back before. It may correct invoices whose taxes are on top and contained.
_TOTALS = """
SELECT CASE WHEN n.subtotal_minor <> -coalesce(lines.net, 0)
                THEN 'the lines come to ' || -coalesce(lines.net, 0) || ' and the credit note to ' || n.subtotal_minor
            WHEN n.total_minor <> n.subtotal_minor + coalesce(rates.on_top, 0)
                THEN 'the credit note''s total is not its lines and its tax'
            WHEN n.tax_minor <> coalesce(rates.tax, 0) THEN 'the rates of the credit note do not come to its tax'
            ELSE 'what the credit note corrects of invoices does not come to it' END AS problem,
       n.customer_id AS customer, n.id AS credit_note, n.number
FROM invoicing_creditnote n
LEFT JOIN (SELECT l.credit_note_id, sum(l.amount_minor) AS net,
                  coalesce(sum(l.amount_minor) FILTER (WHERE l.kind <> 'goodwill'), 0) AS corrected
           FROM invoicing_invoiceline l
           WHERE l.credit_note_id IS NOT NULL GROUP BY l.credit_note_id) lines ON lines.credit_note_id = n.id
LEFT JOIN (SELECT a.credit_note_id, sum(a.net_minor) AS net, sum(a.tax_minor) AS tax, sum(a.total_minor) AS total
           FROM invoicing_creditallocation a GROUP BY a.credit_note_id) given ON given.credit_note_id = n.id
LEFT JOIN LATERAL (SELECT sum(amount_minor) AS tax, sum(amount_minor) FILTER (WHERE NOT inclusive) AS on_top
                   FROM jsonb_to_recordset(n.taxes) rate(amount_minor bigint, inclusive boolean)) rates ON true
WHERE (n.subtotal_minor <> -coalesce(lines.net, 0)
       OR n.total_minor <> n.subtotal_minor + coalesce(rates.on_top, 0)
       OR n.tax_minor <> coalesce(rates.tax, 0)
       OR (CASE n.kind WHEN 'automatic' THEN -coalesce(lines.corrected, 0) ELSE n.subtotal_minor END,
           n.tax_minor, n.total_minor) <> (coalesce(given.net, 0), coalesce(given.tax, 0), coalesce(given.total, 0)))
  AND (%(customer)s::bigint IS NULL OR n.customer_id = %(customer)s)
"""

_BEYOND_INVOICE = """
SELECT CASE WHEN i.status IN ('draft', 'void') THEN 'a credit note corrects an invoice that is ' || i.status
            WHEN given.total > i.total_minor
                THEN 'credit notes correct ' || given.total || ' of an invoice of ' || i.total_minor
            ELSE 'automatic credit notes correct ' || given.net || ' of lines of ' || i.subtotal_minor END AS problem,
       i.customer_id AS customer, i.id AS invoice, i.number
FROM invoicing_invoice i
JOIN (SELECT a.invoice_id, sum(a.total_minor) AS total,
             sum(a.net_minor) FILTER (WHERE n.kind = 'automatic') AS net
      FROM invoicing_creditallocation a JOIN invoicing_creditnote n ON n.id = a.credit_note_id
      GROUP BY a.invoice_id) given ON given.invoice_id = i.id
WHERE (i.status IN ('draft', 'void') OR given.total > i.total_minor OR given.net > i.subtotal_minor)
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
"""

_ELSEWHERE = """
SELECT CASE WHEN i.customer_id <> n.customer_id THEN 'credit of another customer'
            ELSE 'credit in another currency' END || ' is on the invoice' AS problem,
       i.customer_id AS customer, i.id AS invoice, n.id AS credit_note
FROM (SELECT credit_note_id, invoice_id FROM invoicing_creditallocation
      UNION ALL SELECT credit_note_id, invoice_id FROM invoicing_creditapplication) a
JOIN invoicing_creditnote n ON n.id = a.credit_note_id JOIN invoicing_invoice i ON i.id = a.invoice_id
WHERE (i.customer_id <> n.customer_id OR i.currency <> n.currency)
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
"""

_BEYOND_NOTE = """
SELECT CASE WHEN n.status <> 'issued' THEN 'a draft gave credit'
            ELSE 'credit of ' || sum(a.amount_minor) || ' was given out of a credit note of ' || n.total_minor END
           AS problem, n.customer_id AS customer, n.id AS credit_note, n.number
FROM invoicing_creditnote n JOIN invoicing_creditapplication a ON a.credit_note_id = n.id AND a.live
WHERE %(customer)s::bigint IS NULL OR n.customer_id = %(customer)s
GROUP BY n.id HAVING n.status <> 'issued' OR sum(a.amount_minor) > n.total_minor
"""

# Before format 3 an invoice that came to nothing waited to be paid.
_DUE = """
SELECT CASE WHEN i.status = 'draft' THEN 'credit was taken off a draft'
            WHEN taken.amount > i.total_minor
                THEN 'credit of ' || taken.amount || ' was taken off an invoice of ' || i.total_minor
            ELSE 'nothing is due on the invoice and it is ' || i.status END AS problem,
       i.customer_id AS customer, i.id AS invoice, i.number
FROM invoicing_invoice i
LEFT JOIN (SELECT a.invoice_id, sum(a.amount_minor) AS amount FROM invoicing_creditapplication a WHERE a.live
           GROUP BY a.invoice_id) taken ON taken.invoice_id = i.id
WHERE ((i.status = 'draft' AND taken.amount > 0) OR taken.amount > i.total_minor
       OR (i.status IN ('issued', 'uncollectible') AND i.content_format >= 3
           AND coalesce(taken.amount, 0) >= i.total_minor))
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
"""

# What was paid back and did not arrive is released without an invoice.
_RELEASED = """
SELECT CASE WHEN a.live THEN 'credit is held by a void invoice' ELSE 'credit was released from an invoice that stands'
       END AS problem, n.customer_id AS customer, n.id AS credit_note, i.id AS invoice
FROM invoicing_creditapplication a JOIN invoicing_creditnote n ON n.id = a.credit_note_id
LEFT JOIN invoicing_invoice i ON i.id = a.invoice_id
WHERE a.live = coalesce(i.status = 'void', false) AND (a.live OR a.invoice_id IS NOT NULL)
  AND (%(customer)s::bigint IS NULL OR n.customer_id = %(customer)s)
"""

# An invoice says for ever what was taken off when it was issued; each such sum was given out then, by that note.
_SAID = """
SELECT 'the invoice says that credit was taken off it, and none was' AS problem, i.customer_id AS customer,
       i.id AS invoice, i.number, said ->> 'number' AS of
FROM invoicing_invoice i CROSS JOIN LATERAL jsonb_array_elements(i.credits) said
WHERE NOT EXISTS (SELECT FROM invoicing_creditapplication a JOIN invoicing_creditnote n ON n.id = a.credit_note_id
                  WHERE a.invoice_id = i.id AND n.number = said ->> 'number'
                    AND a.amount_minor = (said ->> 'amount_minor')::bigint)
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
"""


def check_hashes(scope: Scope, findings: Findings) -> None:
    """The frozen content of every issued credit note against the hash stored when it was issued."""
    for notes in _chunked(scope):
        hashes = note_hashes(notes)
        for note in notes:
            if hashes[note.id] != note.content_hash:
                findings.violation(
                    {
                        "problem": "the credit note is not what was issued: its content has another hash",
                        "customer": note.customer_id,
                        "credit_note": note.id,
                        "number": note.number,
                    }
                )


def _chunked(scope: Scope) -> Iterator[Sequence[CreditNote]]:
    notes = CreditNote.objects.filter(status=CreditNote.Status.ISSUED, issued_at__isnull=False).order_by("id")
    if scope.customer is not None:
        notes = notes.filter(customer=scope.customer)
    after: UUID | None = None
    while chunk := list((notes if after is None else notes.filter(id__gt=after))[:CHUNK]):
        yield chunk
        after = chunk[-1].id


INVARIANTS = (
    Invariant(
        name="credit",
        sentence="A credit note is the sum of its lines and of what it corrects, no invoice is credited beyond what it "
        "says, and no credit is given out twice; an invoice on which nothing is due is paid.",
        way_out="The row from a backup: neither what was issued nor where credit went is ever edited. Credit that went "
        "nowhere yet goes to the next invoice, or is paid back.",
        of="credit notes",
        checked=_NOTES,
        violations=(_TOTALS, _BEYOND_INVOICE, _ELSEWHERE, _BEYOND_NOTE, _DUE, _RELEASED, _SAID),
    ),
)
