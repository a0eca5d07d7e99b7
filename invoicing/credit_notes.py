"""Use cases: issue a credit note, give goodwill, discard it, note that credit was paid back, or did not arrive.

All of them lock the customer's row first, as everything that bills does, then the note or the invoice.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from access import ids
from access.errors import ApiError, Detail, InvalidInput
from contracts import terms
from contracts.clocks import is_test, now_of
from contracts.domain import money
from contracts.models import Customer
from invoicing import credit, news, second_person, taxes
from invoicing.content import content_hash
from invoicing.domain import goodwill as shares
from invoicing.domain import lifecycle
from invoicing.issue import Series, parties_of, take_number
from invoicing.models import (
    CONTENT_FORMAT,
    CreditAllocation,
    CreditApplication,
    CreditNote,
    Invoice,
    InvoiceLine,
    NumberSeries,
)
from invoicing.payment import settled
from invoicing.refusals import (
    exceeds_left,
    exceeds_remaining,
    locked,
    locked_note,
    public_id,
    refuse_unless_note_allows,
)

LIVE_SERIES: Series = ("credit note", "CN-")
TEST_SERIES: Series = ("test credit note", "TEST-CN-")


def lock_series(customer: Customer) -> None:
    """Take the lock of the series that the customer's notes have, for who also numbers invoices: that of the notes
    always comes first.
    """
    key, _ = TEST_SERIES if is_test(customer) else LIVE_SERIES
    NumberSeries.objects.select_for_update().filter(key=key).first()


# --- Issuing ----------------------------------------------------------------------------------------------------------


def freeze(note: CreditNote, *, now: datetime, wall: datetime) -> None:
    """Give a draft with its final lines, allocations and totals a number, parties and a hash, make it issued, and take
    its credit off the invoices it corrects that are still owed. ``now`` is what its customer's clock shows.

    In the caller's transaction, under the customer's lock. Whoever freezes invoices in the same transaction freezes the
    notes first: their credit is for those invoices, and the series are locked in that order everywhere.
    """
    note.parties = parties_of(note.customer)
    note.issued_at = now
    note.number = take_number(note.customer, LIVE_SERIES, TEST_SERIES)
    note.status = CreditNote.Status.ISSUED
    note.content_hash = content_hash(note)
    note.save(
        update_fields=["parties", "issued_at", "number", "status", "content_hash", "created_by"], force_update=True
    )
    covered = credit.apply_note(note, now=now)
    news.tell_note(news.CREDIT_NOTE_ISSUED, note, at=now, wall=wall)
    for invoice in covered:
        settled(invoice, at=now, wall=wall)


@transaction.atomic
def issue(note_id: UUID, *, now: datetime, by: str, by_person: bool = False) -> CreditNote:
    """Approve a draft: issue it as it stands. Refused with 409 for anything but a draft, so of two at once the first
    counts, and where it takes a second person (`second_person`) for all but another person than wrote it.
    """
    note = locked_note(note_id)
    refuse_unless_note_allows(note, lifecycle.ISSUE)
    second_person.refuse_unless_second(note, by=by, by_person=by_person)
    if note.kind == CreditNote.Kind.AUTOMATIC:
        note.created_by = by
    freeze(note, now=now_of(note.customer, now), wall=now)
    return note


@transaction.atomic
def discard(note_id: UUID) -> None:
    """Delete a goodwill draft: the invoice has that much more left to credit. Refused with 409 for any other note."""
    note = locked_note(note_id)
    refuse_unless_note_allows(note, lifecycle.DISCARD)
    note.delete()


# --- Goodwill ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goodwill:
    """What is given on which invoice, in major units, tax included: an ``amount``, or ``lines`` of (title, amount). It
    stays a draft unless it is to be issued.
    """

    invoice: UUID
    reason: str
    amount: Decimal | None = None
    lines: tuple[tuple[str, Decimal], ...] = ()
    issue: bool = True


@transaction.atomic
def goodwill(given: Goodwill, *, now: datetime, by: str) -> CreditNote:
    """A credit note by hand, on one issued invoice, beside what keeps billed = owed.

    404 without the invoice; 422 for an amount that is none in its currency; 409 for a draft or a void invoice, for
    more than it has left to credit, and for what is to be issued at once and takes a second person (`second_person`).
    The tax that goes back is the amount's share of what is left of the invoice's.
    """
    invoice = locked(given.invoice)
    if invoice.status not in (*lifecycle.OPEN, lifecycle.PAID):
        name = invoice.number or public_id(invoice)
        message = f"Invoice {name} is {invoice.status}: only what was issued and is not void can be credited."
        raise ApiError(409, "invoice_not_creditable", message)
    titles, amounts = _asked(given, invoice)
    total = sum(amounts)
    left = credit.left_to_credit([invoice.id])[invoice.id]
    if total > left.gross:
        raise exceeds_left(invoice, left.gross)
    if given.issue:
        second_person.refuse_alone(invoice, total, by=by)
    rates = taxes.recorded(invoice.taxes)
    tax_left = invoice.tax_minor - sum(invoice.allocations.values_list("tax_minor", flat=True))
    share = shares.share_of(
        total, left.gross, tax_left, [one["amount_minor"] for one in invoice.taxes], inclusive=_inclusive(invoice)
    )
    at = now_of(invoice.customer, now)
    note = CreditNote(
        id=ids.uuid7(now),
        customer=invoice.customer,
        contract=invoice.contract,
        kind=CreditNote.Kind.GOODWILL,
        currency=invoice.currency,
        time_zone=invoice.time_zone,
        reason=given.reason,
        destination=_destination(invoice, at),
        taxes=taxes.to_json(rates, share.net_minor, share.by_rate),
        subtotal_minor=share.net_minor,
        tax_minor=share.tax_minor,
        total_minor=total,
        content_format=CONTENT_FORMAT,
        created_by=by,
        created_at=at,
        refreshed_at=at,
    )
    note.save(force_insert=True)
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            id=ids.uuid7(now),
            credit_note=note,
            position=position,
            kind=InvoiceLine.Kind.GOODWILL,
            period_start=invoice.period_start,
            period_end=invoice.period_end,
            title=title,
            amount_minor=-net,
        )
        for position, (title, net) in enumerate(
            zip(titles, money.split(share.net_minor, amounts), strict=True), start=1
        )
    )
    CreditAllocation.objects.create(
        credit_note=note,
        invoice=invoice,
        net_minor=share.net_minor,
        tax_minor=share.tax_minor,
        total_minor=total,
    )
    if given.issue:
        freeze(note, now=at, wall=now)
    return note


def _asked(given: Goodwill, invoice: Invoice) -> tuple[list[str], list[int]]:
    """Titles and amounts in minor units of the lines that are asked for."""
    if given.amount is not None:
        entries = [(f"Credit on invoice {invoice.number}", given.amount, "amount")]
    else:
        entries = [(title, amount, f"lines[{index}].amount") for index, (title, amount) in enumerate(given.lines)]
    amounts = [_minor(amount, invoice.currency, path) for _, amount, path in entries]
    return [title for title, _, _ in entries], amounts


def _minor(amount: Decimal, currency: str, path: str) -> int:
    """An amount above zero in minor units; InvalidInput for one that the currency does not have."""
    try:
        minor = money.to_minor(amount, currency)
    except OverflowError:
        minor = 0
    if minor <= 0 or money.from_minor(minor, currency) != amount:
        smallest = money.major_text(1, currency)
        raise InvalidInput([Detail(path, f"Give an amount above 0 in {currency}, in steps of {smallest}.", "amount")])
    return minor


def _inclusive(invoice: Invoice) -> bool:
    return any(one["inclusive"] for one in invoice.taxes)


def _destination(invoice: Invoice, at: datetime) -> str:
    """As the invoice's contract says today; credit on an invoice without one waits for the next."""
    if invoice.contract_id is None:
        return CreditNote.Destination.NEXT_INVOICE
    agreements = terms.load([invoice.customer_id]).agreements(invoice.customer_id)
    return next(one for one in agreements if one.id == invoice.contract_id).version_at(at).credits


# --- Paying back ------------------------------------------------------------------------------------------------------


@transaction.atomic
def refund(note_id: UUID, amount: Decimal | None, reference: str, *, now: datetime, by: str) -> CreditNote:
    """Note that credit of an issued note was paid back: ``amount`` in major units, or all that is free (None). The
    ``reference`` says how. Refused with 409 beyond what is free, so of two at once only what is there is paid back.
    """
    note = locked_note(note_id)
    free = credit.remaining([note.pk]).get(note.pk, 0)
    refuse_unless_note_allows(note, lifecycle.REFUND, free)
    minor = free if amount is None else _minor(amount, note.currency, "amount")
    if minor > free:
        raise exceeds_remaining(note, free)
    CreditApplication.objects.create(
        credit_note=note,
        amount_minor=minor,
        reference=reference,
        made_by=by,
        created_at=now_of(note.customer, now),
    )
    return note


@transaction.atomic
def refund_failed(note_id: UUID, reference: str) -> int:
    """What was paid back with this ``reference`` did not arrive: the credit is free again. Answers how much, in minor
    units; 0 where nothing was, so a second call changes nothing.
    """
    note = locked_note(note_id)
    found = note.applications.filter(invoice=None, reference=reference, live=True)
    minor = sum(found.values_list("amount_minor", flat=True))
    found.update(live=False)
    return minor
