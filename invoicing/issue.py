"""Use case: issue a draft. From then on its content never changes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from contracts import terms
from contracts.clocks import is_test, now_of
from contracts.domain.periods import zone
from contracts.models import Customer
from invoicing import balancing, credit, drafts, news, taxes
from invoicing.content import content_hash
from invoicing.domain import lifecycle
from invoicing.models import Invoice, Status
from invoicing.payment import settled
from invoicing.refusals import locked, nothing_left, refuse_unless_allowed
from invoicing.selection import grid_of, unbilled

Series = tuple[str, str]
"""Key and prefix of a number series."""

# Those of test customers are apart, so that what is sent in earnest has no gap.
LIVE_SERIES: Series = ("invoice", "HF-")
TEST_SERIES: Series = ("test invoice", "TEST-")
DIGITS = 6

# Takes the series' row lock until the transaction ends: numbers are given in the order of commits, and one that is
# rolled back is given again. So there is no gap and no duplicate.
TAKE_NUMBER = """
INSERT INTO invoicing_numberseries (key, prefix, next_number) VALUES (%s, %s, 2)
ON CONFLICT (key) DO UPDATE SET next_number = invoicing_numberseries.next_number + 1
RETURNING prefix, next_number - 1
"""


@transaction.atomic
def issue(invoice_id: UUID, *, now: datetime) -> Invoice:
    """Issue a draft before its grace ends: bring its lines up to date, then freeze it. Those of a one-off invoice are
    as they were written.

    Locks the customer's row, the invoice and the number series, in this order. Refused with 409 unless it is a draft (a
    retry of what succeeded is refused too; over HTTP the Idempotency-Key replays the answer), or where nothing is left
    to bill on it.
    """
    invoice = locked(invoice_id)
    refuse_unless_allowed(invoice, lifecycle.ISSUE)
    wall, now = now, now_of(invoice.customer, now)
    if invoice.kind == Invoice.Kind.ONE_OFF:
        # Its lines stay as they were written; the tax on them is today's.
        taxes.set_totals(invoice, invoice.lines.all(), taxes.rates_of(invoice.customer))
        invoice.refreshed_at = now
        invoice.save(update_fields=["subtotal_minor", "tax_minor", "total_minor", "taxes", "refreshed_at"])
    else:
        invoice = _up_to_date(invoice, now)
    freeze(invoice, now=now, wall=wall)
    return invoice


def _up_to_date(invoice: Invoice, now: datetime) -> Invoice:
    """The draft of a contract's period with its lines made anew. ApiError 409 where nothing is left to bill on it."""
    agreements = terms.load([invoice.customer_id])
    agreement = next(one for one in agreements.agreements(invoice.customer_id) if one.id == invoice.contract_id)
    grid = grid_of(agreements, agreement, until=max(now, invoice.period_end))
    index = next((i for i, period in enumerate(grid.periods) if period.start == invoice.period_start), None)
    if index is None:
        # An amendment has cut the contract anew; the next run puts everything on drafts of the new periods.
        raise nothing_left(invoice)
    drafts.clear(invoice)
    groups = unbilled(grid, grid.horizon(index))
    refreshed = balancing.draft(grid, index, groups, now=now, existing=invoice)
    if refreshed is None:
        # Raising undoes the removal with everything else; the next run removes the draft for good.
        raise nothing_left(invoice)
    return refreshed


def freeze(invoice: Invoice, *, now: datetime, wall: datetime) -> None:
    """Give a draft with its final lines a number, dates, parties and a hash, take the customer's credit off it, and
    make it issued; paid at once where nothing is due on it then. ``now`` is what its customer's clock shows.

    In the caller's transaction, under the customer's lock. The number comes last, because its lock makes other issuers
    wait until this transaction ends.
    """
    invoice.parties = parties_of(invoice.customer)
    invoice.issued_at = now
    invoice.due_at = due_at(now, invoice.net_days, invoice.time_zone)
    due = credit.apply_to(invoice, now=now)
    invoice.number = take_number(invoice.customer, LIVE_SERIES, TEST_SERIES)
    invoice.status = Status.ISSUED
    invoice.content_hash = content_hash(invoice)
    changed = ["parties", "issued_at", "due_at", "credits", "number", "status", "content_hash"]
    invoice.save(update_fields=changed, force_update=True)
    news.tell(news.ISSUED, invoice, at=now, wall=wall)
    if due <= 0:
        settled(invoice, at=now, wall=wall)


def parties_of(customer: Customer) -> dict[str, Any]:
    """Who sends a document and whom to, as they are called today, in which language; and whether it is only a test."""
    mark = {"test": True} if is_test(customer) else {}
    return {
        "seller": dict(settings.SELLER),
        "customer": {
            "key": customer.key,
            "name": customer.name,
            "email": customer.email,
            "address": customer.address,
            "tax_id": customer.tax_id,
            "locale": customer.locale,
        }
        | mark,
    }


def due_at(issued_at: datetime, net_days: int, time_zone: str) -> datetime:
    """The same local time of day, ``net_days`` calendar days later."""
    return (issued_at.astimezone(zone(time_zone)) + timedelta(days=net_days)).astimezone(UTC)


def take_number(customer: Customer, live: Series, test: Series) -> str:
    """The next number of the series that the customer's documents have, whose row is locked from here on."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_NUMBER, test if is_test(customer) else live)
        prefix, number = cursor.fetchone()
    return f"{prefix}{number:0{DIGITS}d}"
