"""How the money of an invoice comes in: Stripe sends it, with a page to pay it on, or charges what the customer left
there to be charged. When to charge again, and when to give up, is ours.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import stripe
from django.db import transaction
from django.db.models import Max, Q

from contracts.models import ContractVersion
from invoicing.models import Invoice
from invoicing.queries import invoice_json
from invoicing.refusals import locked, public_id
from payments import mirror
from payments.domain import dunning
from payments.errors import Refused
from payments.models import Operation, StripeInvoice
from payments.steps import Work
from webhooks.publish import publish

SEND: Final = "send_invoice"
CHARGE: Final = "charge_automatically"

PAYMENT_FAILED: Final = "invoice.payment_failed"

FAILURES: list[Callable[[StripeInvoice, str, datetime], None]] = []
"""Told, in the transaction that notes it, of every payment that was tried and failed, and why."""

OBSTACLES: list[Callable[[Operation, datetime], bool]] = []
"""Asked before an invoice is charged again; whoever answers yes keeps it from being charged, and sees to it later."""


def method_of(invoice: Invoice) -> str:
    """How an invoice is collected: as the contract says that was in force when it was issued, for a one-off invoice the
    customer's. Refused where Stripe cannot: it sends nothing without an e-mail address.
    """
    method = _agreed_method(invoice)
    if method == SEND and not invoice.customer.email:
        raise Refused(
            f"Customer {invoice.customer.key} has no e-mail address, and Stripe needs one to send an invoice: give it "
            "one, and try again.",
            code="no_email",
        )
    return method


def _agreed_method(invoice: Invoice) -> str:
    """What contracts say. One query: the terms as a whole (`contracts.terms`) are seven more."""
    at = invoice.issued_at
    assert at is not None
    if invoice.contract_id is not None:
        agreed = ContractVersion.objects.filter(contract=invoice.contract_id)
    else:
        runs = Q(contract__ends_at=None) | Q(contract__ends_at__gt=at)
        agreed = ContractVersion.objects.filter(runs, contract__starts_at__lte=at, contract__customer=invoice.customer)
    rows = list(agreed.order_by("effective_at", "number").values_list("effective_at", "collection_method"))
    # Before the first version's start, the first is in force.
    in_force = [method for since, method in rows if since <= at] or [method for _, method in rows[:1]]
    return in_force[-1] if in_force else SEND


def begin(work: Work, invoice: Invoice, stripe_id: str, method: str) -> None:
    """Send a finalised invoice that is to be paid, or have it charged, as ``method`` (`method_of`) says."""
    if method == CHARGE:
        charge_again(invoice, first=True, now=work.clock())
        return
    work.step(
        "send",
        {},
        lambda request, options: work.v1.invoices.send_invoice(stripe_id, request, options),
        lambda begun_at: _sent(work, stripe_id, begun_at),
    )


def _sent(work: Work, stripe_id: str, begun_at: datetime) -> stripe.StripeObject | None:
    """The invoice, if it was sent since: only the list of events knows."""
    since = {"gte": int(begun_at.timestamp()) - 300}
    found = work.v1.events.list({"type": "invoice.sent", "created": since, "limit": 100})
    for event in found.auto_paging_iter():
        if event.data.object["id"] == stripe_id:
            return work.v1.invoices.retrieve(stripe_id)
    return None


# --- Charging ---------------------------------------------------------------------------------------------------------


def charge_again(invoice: Invoice, *, first: bool = False, now: datetime) -> Operation | None:
    """Have an invoice charged; ``first`` only if it never was. None where a charge waits already, or was made."""
    charges = Operation.objects.filter(kind=Operation.Kind.CHARGE, invoice=invoice)
    number: int = charges.aggregate(Max("number"))["number__max"] or 0
    if (first and number) or charges.filter(finished_at=None).exists():
        return None
    made, new = Operation.objects.get_or_create(
        kind=Operation.Kind.CHARGE,
        customer_id=invoice.customer_id,
        invoice=invoice,
        credit_note=None,
        application=None,
        number=number + 1,
        defaults={"created_at": now},
    )
    return made if new else None


def charge(work: Work) -> None:
    """Operation `charge`: one attempt to take what is left to pay from what the customer left at Stripe. One that fails
    is done, too: whether there is another is decided elsewhere (`FAILURES`).
    """
    invoice = work.operation.invoice
    assert invoice is not None
    seen = StripeInvoice.objects.get(pk=invoice.pk)
    mirror.refuse_elsewhere(seen, work.connection)
    theirs = _note(work, invoice, seen.stripe_id)
    if theirs is None or theirs["status"] != StripeInvoice.Status.OPEN:
        return
    if work.operation.number > 1 and any(keeps(work.operation, work.clock()) for keeps in OBSTACLES):
        return
    charge_id = ""
    try:
        work.step(
            "pay",
            {},
            lambda request, options: work.v1.invoices.pay(seen.stripe_id, request, options),
            lambda begun_at: _paid(work, seen.stripe_id),
        )
        failure = code = ""
    except stripe.CardError as error:
        failure, code, charge_id = str(error.user_message), _declined(error), _charge_of(error)
    except Refused as problem:
        # Nothing to charge, most often. What it means is seen from the invoice.
        failure, code = str(problem), _refused(problem)
    theirs = _note(work, invoice, seen.stripe_id)
    if failure and theirs is not None and theirs["status"] == StripeInvoice.Status.OPEN:
        payment_failed(invoice, failure, code=code, charge_id=charge_id, now=work.clock())


def _charge_of(error: stripe.StripeError) -> str:
    """The id of the charge that a card declined, which is what tells one attempt from another."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    return str((body.get("error") or {}).get("charge") or "")


def _declined(error: stripe.CardError) -> str:
    """Why a charge was declined, for machines."""
    found = error.error
    code = str(getattr(found, "decline_code", None) or error.code or "")
    return decline_code(code, getattr(found, "advice_code", None))


def decline_code(code: str, advice: str | None) -> str:
    """What is kept of a decline code and the issuer's advice: not to try again counts whatever the code is."""
    advised = advice == dunning.DO_NOT_TRY_AGAIN and dunning.may_charge_again(code)
    return dunning.DO_NOT_TRY_AGAIN if advised else (code or "card_declined")[:64]


def _refused(problem: Refused) -> str:
    cause = problem.__cause__
    asked_for = isinstance(cause, stripe.InvalidRequestError) and cause.param == "payment_method"
    return dunning.NO_METHOD if asked_for or problem.code == "missing" else problem.code[:64]


@transaction.atomic
def payment_failed(invoice: Invoice, reason: str, *, code: str = "", charge_id: str = "", now: datetime) -> None:
    """Note, and tell, that a payment of the invoice failed; of each charge once, whoever comes to know of it first.
    ``code`` is why, for machines.
    """
    locked(invoice.pk)  # the customer's row before that of Stripe's invoice, as everywhere
    seen = StripeInvoice.objects.select_for_update().get(pk=invoice.pk)
    if charge_id and charge_id in seen.failed_charges:
        return
    if charge_id:
        seen.failed_charges = [*seen.failed_charges, charge_id]
    seen.last_failure, seen.last_failure_code = reason, code
    seen.save(update_fields=["last_failure", "last_failure_code", "failed_charges"])
    publish(PAYMENT_FAILED, public_id(invoice), lambda: invoice_json(invoice, now=now), now=now)
    for told in FAILURES:
        told(seen, reason, now)


def _note(work: Work, invoice: Invoice, stripe_id: str) -> dict[str, Any] | None:
    theirs = mirror.read(work.client, stripe_id)
    mirror.note(invoice.id, work.connection, theirs, now=work.clock())
    return theirs


def _paid(work: Work, stripe_id: str) -> stripe.StripeObject | None:
    found = work.v1.invoices.retrieve(stripe_id)
    return found if found.status == StripeInvoice.Status.PAID else None
