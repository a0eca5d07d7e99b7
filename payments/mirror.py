"""What Stripe says of an invoice, kept beside ours, and what follows from it here.

State is always read from Stripe, never taken from a message, so neither order nor repetition matters.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from invoicing import credit
from invoicing.domain import lifecycle
from invoicing.models import CreditNote, Invoice, Status
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.refusals import locked, public_id
from payments import units
from payments.client import ask, plain
from payments.errors import Refused, is_missing
from payments.models import Connection, Operation, StripeInvoice
from webhooks.publish import publish

MISMATCH = "sync.mismatch"

CHANGES: list[Callable[[StripeInvoice, datetime], None]] = []
"""Told, in the transaction that notes it, of every look at an invoice."""


def read(client: Any, stripe_id: str) -> dict[str, Any] | None:
    """The invoice as Stripe has it now; None where it was deleted, as only drafts can be."""
    try:
        return plain(ask(lambda: client.v1.invoices.retrieve(stripe_id)))
    except Refused as problem:
        if problem.__cause__ is not None and is_missing(problem.__cause__):  # type: ignore[arg-type]
            return None
        raise


def refuse_elsewhere(seen: StripeInvoice, connection: Connection) -> None:
    """Raise `Refused` for an invoice that stands in another account than the one that is connected now: asked for here
    it would seem to be gone.
    """
    if (seen.account, seen.livemode) != (connection.account, connection.livemode):
        raise Refused(
            f"{seen.stripe_id} is an invoice of account {seen.account}, and {connection.account} is connected now: see "
            "to it there, and skip this operation; or connect that account again.",
            code="other_account",
        )


@transaction.atomic
def note(invoice_id: UUID, connection: Connection, theirs: dict[str, Any] | None, *, now: datetime) -> StripeInvoice:
    """Keep what Stripe says of an invoice, and do here what follows: paid there is paid here, given up there is given
    up here. What has no counterpart here is a mismatch, which a person decides.

    Locks the customer's row and the invoice.
    """
    invoice = locked(invoice_id)
    seen = StripeInvoice.objects.select_for_update().filter(pk=invoice_id).first()
    if theirs is None:
        assert seen is not None
        seen.status, seen.seen_at = StripeInvoice.Status.DELETED, now
        seen.save(update_fields=["status", "seen_at"])
        return seen
    if seen is not None and _is_older(seen, theirs):
        return seen
    seen = seen or StripeInvoice(invoice=invoice)
    seen.account, seen.livemode = connection.account, connection.livemode
    seen.stripe_id, seen.status = theirs["id"], theirs["status"]
    seen.collection_method = theirs["collection_method"]
    for name in ("total", "amount_due", "amount_paid", "amount_remaining", "attempt_count"):
        setattr(seen, name, theirs.get(name) or 0)
    seen.tax = sum(tax["amount"] for tax in theirs.get("total_taxes") or [])
    seen.hosted_url, seen.pdf_url = theirs.get("hosted_invoice_url") or "", theirs.get("invoice_pdf") or ""
    seen.seen_at = now
    seen.save()
    _follow(invoice, seen, now=now)
    for told in CHANGES:
        told(seen, now)
    return seen


# No invoice at Stripe goes back in this order.
_COURSE = {
    StripeInvoice.Status.DRAFT: 0,
    StripeInvoice.Status.OPEN: 1,
    StripeInvoice.Status.UNCOLLECTIBLE: 2,
    StripeInvoice.Status.PAID: 3,
    StripeInvoice.Status.VOID: 3,
    StripeInvoice.Status.DELETED: 3,
}


def _is_older(seen: StripeInvoice, theirs: dict[str, Any]) -> bool:
    """Whether what was read is of an earlier time than what is kept: another worker read later and was faster."""
    before, now = StripeInvoice.Status(seen.status), StripeInvoice.Status(theirs["status"])
    return seen.stripe_id == theirs["id"] and _COURSE[now] < _COURSE[before]


def _follow(invoice: Invoice, seen: StripeInvoice, *, now: datetime) -> None:
    ours, theirs = Status(invoice.status), StripeInvoice.Status(seen.status)
    if theirs == StripeInvoice.Status.PAID and ours in lifecycle.OPEN:
        mark_paid(invoice.id, now=now)
        known_there(invoice, Operation.Kind.PAID, now=now)
    elif theirs == StripeInvoice.Status.UNCOLLECTIBLE and ours == Status.ISSUED:
        mark_uncollectible(invoice.id, now=now)
        known_there(invoice, Operation.Kind.UNCOLLECTIBLE, now=now)
    elif theirs == StripeInvoice.Status.VOID and ours != Status.VOID:
        differs(
            seen,
            f"It was voided at Stripe, and is {ours} here. Void it here, too, or make it anew there.",
            now=now,
        )


def known_there(invoice: Invoice, kind: str, *, now: datetime) -> None:
    """What was noted of a change here that came from Stripe needs no call."""
    Operation.objects.filter(kind=kind, invoice=invoice, status=Operation.Status.WAITING).update(
        status=Operation.Status.DONE, finished_at=now
    )


def differs(seen: StripeInvoice, what: str, *, now: datetime) -> None:
    """Note, and tell once, that Stripe's invoice is not as ours. In the caller's transaction."""
    if seen.mismatch == what:
        return
    seen.mismatch = what
    seen.save(update_fields=["mismatch"])
    tell_mismatch(seen.invoice, seen.stripe_id, what, now=now)


def parked(operation: Operation, what: str, *, now: datetime) -> None:
    """The same of an operation that does not come to an end by it. In the caller's transaction."""
    document = operation.invoice or operation.credit_note
    seen = StripeInvoice.objects.filter(pk=operation.invoice_id).first()
    if seen is not None:
        differs(seen, what, now=now)
    elif document is not None:
        tell_mismatch(document, None, what, now=now)


def agrees(seen: StripeInvoice) -> None:
    """Whatever differed is mended."""
    if seen.mismatch:
        seen.mismatch = ""
        seen.save(update_fields=["mismatch"])


def tell_mismatch(document: Invoice | CreditNote, stripe_id: str | None, what: str, *, now: datetime) -> None:
    """Queue the message that a document and its counterpart differ."""
    if isinstance(document, Invoice):
        kind, name = "invoice", public_id(document)
    else:
        kind, name = "credit_note", credit.public_id(document)
    publish(
        MISMATCH,
        name,
        lambda: {
            "type": kind,
            "id": name,
            "number": document.number,
            "customer": document.customer.key,
            "stripe_id": stripe_id,
            "reason": what,
        },
        now=now,
    )


# --- What is compared -------------------------------------------------------------------------------------------------


def due_at_issue(invoice: Invoice) -> int:
    """What was to be paid of an invoice when it was issued, in Stripe's units: its total less the credit taken off."""
    taken_off = sum(one["amount_minor"] for one in invoice.credits)
    return units.to_stripe(invoice.total_minor - taken_off, invoice.currency)


def due_now(invoice: Invoice) -> int:
    """What is to be paid of an invoice now, in Stripe's units."""
    return units.to_stripe(credit.due_minor(invoice), invoice.currency)


def carried(invoice: Invoice, connection: Connection) -> int:
    """What earlier invoices of the customer, too small to be charged, left for the next one to collect."""
    earlier = StripeInvoice.objects.filter(
        invoice__customer=invoice.customer_id,
        invoice__currency=invoice.currency,
        account=connection.account,
        livemode=connection.livemode,
    )
    earlier = earlier.exclude(status=StripeInvoice.Status.VOID).exclude(pk=invoice.pk)
    sums = earlier.aggregate(left=Sum("carried"), collected=Sum("taken"))
    return (sums["left"] or 0) - (sums["collected"] or 0)
