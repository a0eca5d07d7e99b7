"""Use case: issue a draft. From then on its content never changes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from contracts import terms
from contracts.domain.periods import zone
from contracts.models import Customer
from invoicing import drafts
from invoicing.content import content_hash
from invoicing.domain import lifecycle
from invoicing.models import Invoice, Status
from invoicing.refusals import locked, nothing_left, refuse_unless_allowed
from invoicing.selection import grid_of, unbilled

SERIES = "invoice"
PREFIX = "HF-"
DIGITS = 6

# Takes the series' row lock until the transaction ends: numbers are given in the order of commits, and one that is
# rolled back is given again. So there is no gap and no duplicate.
_TAKE_NUMBER = """
INSERT INTO invoicing_numberseries (key, prefix, next_number) VALUES (%s, %s, 2)
ON CONFLICT (key) DO UPDATE SET next_number = invoicing_numberseries.next_number + 1
RETURNING prefix, next_number - 1
"""


@transaction.atomic
def issue(invoice_id: UUID, *, now: datetime) -> Invoice:
    """Issue a draft before its grace ends: bring its lines up to date, then freeze it.

    Locks the customer's row, the invoice and the number series, in this order. Refused with 409 unless it is a draft (a
    retry of what succeeded is refused too; over HTTP the Idempotency-Key replays the answer), or where nothing is left
    to bill on it.
    """
    invoice = locked(invoice_id)
    refuse_unless_allowed(invoice, lifecycle.ISSUE)
    agreements = terms.load([invoice.customer_id])
    agreement = next(one for one in agreements.agreements(invoice.customer_id) if one.id == invoice.contract_id)
    grid = grid_of(agreements, agreement, until=max(now, invoice.period_end))
    index = next((i for i, period in enumerate(grid.periods) if period.start == invoice.period_start), None)
    if index is None:
        # An amendment has cut the contract anew; the next run puts everything on drafts of the new periods.
        raise nothing_left(invoice)
    drafts.clear(invoice)
    groups = unbilled(grid, grid.horizon(index))
    refreshed = drafts.draft(grid, index, groups, now=now, ordinal=invoice.ordinal, existing=invoice)
    if refreshed is None:
        # Raising undoes the removal with everything else; the next run removes the draft for good.
        raise nothing_left(invoice)
    freeze(refreshed, now=now)
    return refreshed


def freeze(invoice: Invoice, *, now: datetime) -> None:
    """Give a draft with its final lines a number, dates, parties and a hash, and make it issued.

    In the caller's transaction, under the customer's lock. The number comes last, because its lock makes other issuers
    wait until this transaction ends.
    """
    invoice.parties = parties_of(invoice.customer)
    invoice.issued_at = now
    invoice.due_at = due_at(now, invoice.net_days, invoice.time_zone)
    invoice.number = _take_number()
    invoice.status = Status.ISSUED
    invoice.content_hash = content_hash(invoice)
    invoice.save(
        update_fields=["parties", "issued_at", "due_at", "number", "status", "content_hash"], force_update=True
    )


def parties_of(customer: Customer) -> dict[str, Any]:
    """Who sends the invoice and who is to pay it, as they are called today."""
    return {
        "seller": dict(settings.SELLER),
        "customer": {"key": customer.key, "name": customer.name, "email": customer.email},
    }


def due_at(issued_at: datetime, net_days: int, time_zone: str) -> datetime:
    """The same local time of day, ``net_days`` calendar days later."""
    return (issued_at.astimezone(zone(time_zone)) + timedelta(days=net_days)).astimezone(UTC)


def _take_number() -> str:
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_NUMBER, [SERIES, PREFIX])
        prefix, number = cursor.fetchone()
    return f"{prefix}{number:0{DIGITS}d}"
