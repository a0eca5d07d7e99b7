"""Credit: what is left of invoices to credit, what is due on them, and where the credit of notes goes.

Everything that writes does so in the caller's transaction, under the lock of the customer's row: all credit of a
customer is given out one after the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from access import ids
from invoicing.domain import lifecycle
from invoicing.models import CreditAllocation, CreditApplication, CreditNote, Invoice

NOTE_PREFIX = "cn"


class Left(NamedTuple):
    """What is left of an invoice to credit, in minor units: of its lines, by automatic notes; of its total, by any."""

    net: int
    gross: int


# --- What is due ------------------------------------------------------------------------------------------------------


def due_minor(invoice: Invoice) -> int:
    """What is still owed on an invoice: its total less the credit taken off, nothing once it is paid or void. What
    credit a draft will take is not known yet.
    """
    return due_by_invoice([invoice.id])[invoice.id]


def due_by_invoice(invoice_ids: Iterable[UUID]) -> dict[UUID, int]:
    """`due_minor` of each. Two queries."""
    wanted = list(invoice_ids)
    applied = applied_to(wanted)
    rows = Invoice.objects.filter(pk__in=wanted).order_by().values_list("pk", "status", "total_minor")
    return {
        invoice: lifecycle.due_minor(status, total_minor, applied.get(invoice, 0))
        for invoice, status, total_minor in rows
    }


def applied_to(invoice_ids: Iterable[UUID]) -> dict[UUID, int]:
    """By invoice, the credit that is taken off it; those without are left out. One query."""
    rows = CreditApplication.objects.filter(invoice__in=list(invoice_ids), live=True)
    return dict(rows.order_by().values_list("invoice").annotate(Sum("amount_minor")))


def credited(invoice_ids: Iterable[UUID]) -> dict[UUID, int]:
    """By invoice, what issued credit notes correct of its total; those without are left out. One query."""
    rows = CreditAllocation.objects.filter(invoice__in=list(invoice_ids), credit_note__status=CreditNote.Status.ISSUED)
    return dict(rows.order_by().values_list("invoice").annotate(Sum("total_minor")))


# --- What is left to credit -------------------------------------------------------------------------------------------


def left_to_credit(invoice_ids: Iterable[UUID], but: CreditNote | None = None) -> dict[UUID, Left]:
    """What drafts and issued notes, ``but`` that one, leave of each invoice. Two queries.

    Goodwill stands beside what keeps billed = owed, so it takes nothing from ``net``; both share ``gross``.
    """
    wanted = list(invoice_ids)
    allocations = CreditAllocation.objects.filter(invoice__in=wanted)
    if but is not None:
        allocations = allocations.exclude(credit_note=but.pk)
    automatic = Sum("net_minor", filter=Q(credit_note__kind=CreditNote.Kind.AUTOMATIC))
    given = {
        invoice: (net or 0, total)
        for invoice, net, total in allocations.order_by()
        .values_list("invoice")
        .annotate(net=automatic, total=Sum("total_minor"))
    }
    rows = Invoice.objects.filter(pk__in=wanted).order_by().values_list("pk", "subtotal_minor", "total_minor")
    found = {}
    for invoice, subtotal, total in rows:
        net, gross = given.get(invoice, (0, 0))
        found[invoice] = Left(subtotal - net, total - gross)
    return found


@dataclass(frozen=True)
class TakenBack:
    """So many of the outcomes that a line bills, ``document`` being what it stands on, were taken back: by a credit
    note (its id and number), or by the line of an invoice.
    """

    document: UUID
    line: UUID
    note: UUID | None
    number: str | None
    invoice: UUID | None
    outcomes: int


# Found from what the documents' customers took back, of which there is little, not from what they were billed; and
# once: by old statistics, which know nothing of new documents, it would be found for each outcome they bill.
_TAKEN_BACK = """
WITH wanted AS (SELECT d.id, d.customer_id FROM {table} d WHERE d.id = ANY(%(documents)s)),
taken_back AS MATERIALIZED (
    SELECT r.outcome_id, NULL::uuid AS note, NULL AS number, i.id AS invoice
    FROM invoicing_invoice i JOIN invoicing_invoiceline l ON l.invoice_id = i.id
    JOIN invoicing_linereversal r ON r.line_id = l.id AND r.live
    WHERE i.customer_id IN (SELECT customer_id FROM wanted)
    UNION ALL
    SELECT r.outcome_id, n.id, n.number, NULL
    FROM invoicing_creditnote n JOIN invoicing_invoiceline l ON l.credit_note_id = n.id
    JOIN invoicing_linereversal r ON r.line_id = l.id AND r.live
    WHERE n.customer_id IN (SELECT customer_id FROM wanted) AND n.status <> 'draft'
)
SELECT l.{document}_id, l.id, t.note, t.number, t.invoice, count(*)
FROM taken_back t JOIN invoicing_lineoutcome b ON b.outcome_id = t.outcome_id AND b.live
JOIN invoicing_invoiceline l ON l.id = b.line_id
WHERE l.{document}_id IN (SELECT id FROM wanted)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 4, 5
"""


def taken_back(documents: type[Invoice] | type[CreditNote], found: Iterable[UUID]) -> list[TakenBack]:
    """What issued notes and standing invoices took back of what these documents bill. One query."""
    table, document = documents._meta.db_table, "invoice" if documents is Invoice else "credit_note"
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN_BACK.format(table=table, document=document), {"documents": list(found)})
        return [TakenBack(*row) for row in cursor.fetchall()]


def corrected(invoice_ids: Iterable[UUID]) -> set[UUID]:
    """Those of these invoices that something corrects, so that they are not voided any more: a credit note, automatic
    drafts apart, or a line of another document that takes back an outcome they bill. Two queries.
    """
    wanted = list(invoice_ids)
    if not wanted:
        return set()
    notes = CreditAllocation.objects.filter(invoice__in=wanted).exclude(
        credit_note__status=CreditNote.Status.DRAFT, credit_note__kind=CreditNote.Kind.AUTOMATIC
    )
    elsewhere = {one.document for one in taken_back(Invoice, wanted) if one.invoice != one.document}
    return elsewhere | set(notes.values_list("invoice_id", flat=True))


# --- Free credit ------------------------------------------------------------------------------------------------------


# Of an issued note: what was neither taken off an invoice nor paid back.
FREE = F("total_minor") - Coalesce(Sum("applications__amount_minor", filter=Q(applications__live=True)), 0)


def remaining(note_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Of each issued note among these, the credit that went nowhere yet, in minor units. One query."""
    notes = CreditNote.objects.filter(pk__in=list(note_ids), status=CreditNote.Status.ISSUED)
    return dict(notes.order_by().annotate(free=FREE).values_list("pk", "free"))


def free_credit(customer_id: int, currency: str) -> int:
    """What the customer's next invoices in this currency will be less by. One query."""
    return sum(free for _, free in _for_next_invoices(customer_id, currency))


def _for_next_invoices(customer_id: int, currency: str) -> list[tuple[CreditNote, int]]:
    """Issued notes with their free credit, oldest first. What is to be paid back waits for that."""
    notes = CreditNote.objects.filter(
        customer=customer_id,
        currency=currency,
        status=CreditNote.Status.ISSUED,
        destination=CreditNote.Destination.NEXT_INVOICE,
    )
    with_free = notes.annotate(free=FREE).filter(free__gt=0).order_by("issued_at", "number")
    return [(note, note.free) for note in with_free]


# --- Giving it out ----------------------------------------------------------------------------------------------------


def apply_to(invoice: Invoice, *, now: datetime) -> int:
    """Take the customer's free credit off an invoice that is being issued, oldest note first, and record it in
    ``invoice.credits``, which the caller saves. Answers what is left to pay, in minor units.
    """
    due = invoice.total_minor
    invoice.credits = []
    applications = []
    for note, free in _for_next_invoices(invoice.customer_id, invoice.currency) if due > 0 else ():
        amount = min(free, due)
        if not amount:
            break
        due -= amount
        applications.append(CreditApplication(credit_note=note, invoice=invoice, amount_minor=amount, created_at=now))
        invoice.credits.append({"credit_note": public_id(note), "number": note.number, "amount_minor": amount})
    CreditApplication.objects.bulk_create(applications)
    return due


def apply_note(note: CreditNote, *, now: datetime) -> list[Invoice]:
    """Take an issued note's credit off the invoices it corrects that are still owed: of each so much as the note
    corrects of it, and is due. Answers those on which nothing is due any more. What no such invoice takes stays free.
    """
    allocations = list(
        note.allocations.filter(invoice__status__in=lifecycle.OPEN)
        .select_related("invoice__customer")
        .order_by("invoice__due_at", "invoice__number")
    )
    due = due_by_invoice(one.invoice_id for one in allocations)
    amounts = [(one.invoice, min(one.total_minor, due[one.invoice_id])) for one in allocations]
    CreditApplication.objects.bulk_create(
        CreditApplication(credit_note=note, invoice=invoice, amount_minor=amount, created_at=now)
        for invoice, amount in amounts
        if amount
    )
    return [invoice for invoice, amount in amounts if amount and amount == due[invoice.id]]


def release(invoice: Invoice) -> None:
    """Set the credit free that was taken off an invoice, which is void."""
    CreditApplication.objects.filter(invoice=invoice, live=True).update(live=False)


def public_id(note: CreditNote) -> str:
    """``cn_…``, as the API names it."""
    return ids.encode(NOTE_PREFIX, note.id)
