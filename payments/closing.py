"""Operations `paid`, `uncollectible` and `void`: what became of an invoice here is made so at Stripe."""

from collections.abc import Callable
from typing import Any

import stripe

from payments import mirror
from payments.errors import Mismatch
from payments.models import StripeInvoice
from payments.steps import Options, Request, Work

DRAFT, OPEN, PAID, UNCOLLECTIBLE, VOID = (
    StripeInvoice.Status.DRAFT,
    StripeInvoice.Status.OPEN,
    StripeInvoice.Status.PAID,
    StripeInvoice.Status.UNCOLLECTIBLE,
    StripeInvoice.Status.VOID,
)


def paid(work: Work) -> None:
    """Paid outside Stripe, by a transfer say; or paid there, or by credit, and then there is nothing to do."""
    _make(
        work,
        "pay_outside",
        (OPEN, UNCOLLECTIBLE),
        lambda stripe_id, request, options: work.v1.invoices.pay(
            stripe_id, {**request, "paid_out_of_band": True}, options
        ),
    )


def uncollectible(work: Work) -> None:
    """Given up."""
    _make(work, "mark_uncollectible", (OPEN,), work.v1.invoices.mark_uncollectible)


def void(work: Work) -> None:
    """Void. One that was paid there meanwhile is money that a person has to give back: `Mismatch`."""
    theirs = _make(work, "void", (OPEN, UNCOLLECTIBLE), work.v1.invoices.void_invoice)
    if theirs is not None and theirs["status"] == PAID:
        raise Mismatch(
            f"It is void here and was paid at Stripe ({theirs['id']}). Pay it back there, and skip this operation."
        )


Call = Callable[[str, Request, Options], stripe.StripeObject]


def _make(work: Work, name: str, while_in: tuple[str, ...], call: Call) -> dict[str, Any] | None:
    """Make the call if the invoice is in one of these states there, and note what it is then. A draft, which never was
    finalised, is deleted. None for an invoice that never came to Stripe.
    """
    invoice = work.operation.invoice
    assert invoice is not None
    seen = StripeInvoice.objects.filter(pk=invoice.pk).first()
    if seen is None or seen.status == StripeInvoice.Status.DELETED:
        return None
    mirror.refuse_elsewhere(seen, work.connection)
    stripe_id = seen.stripe_id
    theirs = mirror.read(work.client, stripe_id)
    if theirs is not None and theirs["status"] in while_in:
        status = theirs["status"]
        work.step(
            name,
            {},
            lambda request, options: call(stripe_id, request, options),
            lambda begun_at: _no_longer(work, stripe_id, status),
        )
        theirs = mirror.read(work.client, stripe_id)
    elif theirs is not None and theirs["status"] == DRAFT:
        work.step(
            "delete",
            {},
            lambda request, options: work.v1.invoices.delete(stripe_id, request, options),
            lambda begun_at: None,
        )
        theirs = None
    mirror.note(invoice.id, work.connection, theirs, now=work.clock())
    return theirs


def _no_longer(work: Work, stripe_id: str, status: str) -> stripe.StripeObject | None:
    found = work.v1.invoices.retrieve(stripe_id)
    return None if found.status == status else found
