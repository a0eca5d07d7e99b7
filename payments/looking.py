"""Look at an invoice at Stripe and note what is seen; also what an invoice alone does not say: payments that failed,
and money that went back.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Sum

from access import ids
from invoicing.models import CreditApplication, Invoice
from invoicing.refusals import INVOICE_PREFIX
from payments import collecting, mirror, refunds, units
from payments.client import ask, plain
from payments.connections import audience_of, connection_of
from payments.errors import Later, Refused
from payments.invoices import METADATA
from payments.models import Connection, Operation, StripeCredit, StripeInvoice

Client = Any
Clock = Callable[[], datetime]

# Of a refund in these, money left or is about to.
_GOES_BACK: Final = ("pending", "requires_action", "succeeded")


def client_for(seen: StripeInvoice) -> tuple[Connection, str]:
    """The connection and key by which an invoice is looked at. `Later` without a key, or with one of another account;
    `Refused` where the invoice is in an account that is not synced with any more.
    """
    connection, key = connection_of(audience_of(seen.invoice.customer))
    if (seen.account, seen.livemode) != (connection.account, connection.livemode):
        raise Refused(
            f"{seen.stripe_id} is in account {seen.account}, and {connection.account} is connected now.",
            code="other_account",
        )
    return connection, key


def look(seen: StripeInvoice, connection: Connection, client: Client, clock: Clock) -> StripeInvoice:
    """Read the invoice's state and note it, with what follows here. Also the payments that failed since, if any."""
    before = seen.attempt_count
    theirs = mirror.read(client, seen.stripe_id)
    seen = mirror.note(seen.invoice_id, connection, theirs, now=clock())
    if seen.attempt_count > before:
        note_failures(seen, client, clock)
    return seen


@transaction.atomic
def differs(seen: StripeInvoice, what: str, *, now: datetime) -> None:
    """`mirror.differs` in a transaction of its own, of the row as it is now."""
    mirror.differs(StripeInvoice.objects.select_for_update().get(pk=seen.pk), what, now=now)


# --- Payments that failed ---------------------------------------------------------------------------------------------


def note_failures(seen: StripeInvoice, client: Client, clock: Clock) -> int:
    """Tell of each charge of an open invoice that failed and was not told of yet; how many those are. One that was
    paid since has nothing to tell any more.
    """
    told = 0
    if seen.status != StripeInvoice.Status.OPEN:
        return 0
    for charge in sorted(_failed(seen, client), key=lambda one: one["created"]):
        if charge["id"] not in seen.failed_charges:
            reason = charge.get("failure_message") or "The payment failed."
            outcome = charge.get("outcome") or {}
            why = outcome.get("reason") or charge.get("failure_code") or ""
            code = collecting.decline_code(why, outcome.get("advice_code"))
            collecting.payment_failed(seen.invoice, reason, code=code, charge_id=charge["id"], now=clock())
            told += 1
    return told


def _failed(seen: StripeInvoice, client: Client) -> Iterator[dict[str, Any]]:
    for intent in _intents(seen, client):
        found = ask(lambda intent=intent: _all(client.v1.charges.list({"payment_intent": intent, "limit": 100})))  # type: ignore[misc]
        yield from (charge for charge in found if charge.get("status") == "failed")


def _intents(seen: StripeInvoice, client: Client) -> list[str]:
    """The payment intents of an invoice: there are several where one was given up for another."""
    entries = ask(lambda: _all(client.v1.invoice_payments.list({"invoice": seen.stripe_id, "limit": 100})))
    found = ((entry.get("payment") or {}).get("payment_intent") for entry in entries)
    return [one["id"] if isinstance(one, dict) else one for one in found if one]


def _all(page: Any) -> list[dict[str, Any]]:
    return [plain(one) for one in page.auto_paging_iter()]


# --- Money that went back ---------------------------------------------------------------------------------------------


def invoice_of_intent(intent: str, client: Client) -> str | None:
    """The invoice that a payment intent pays at Stripe, if it pays one."""
    which = {"payment": {"type": "payment_intent", "payment_intent": intent}, "limit": 1}
    for entry in ask(lambda: client.v1.invoice_payments.list(which)).data:
        return str(plain(entry)["invoice"])
    return None


def note_refunds(seen: StripeInvoice, client: Client, clock: Clock) -> str:
    """Note a mismatch where more went back of an invoice at Stripe than our credit notes say; the mismatch, or an empty
    text. `Later` while a credit note of ours is being made so there.
    """
    open_ones = Operation.objects.filter(customer=seen.invoice.customer_id, finished_at=None)
    if open_ones.filter(kind__in=(Operation.Kind.CREDIT_NOTE, Operation.Kind.REFUND)).exists():
        raise Later("A credit note of the customer is being made so at Stripe.", code="credit_note_under_way")
    said = refunds_beyond(seen, refunded(seen, client))
    if said:
        differs(seen, said, now=clock())
    return said


def refunded(seen: StripeInvoice, client: Client) -> int:
    """What was paid back of an invoice at Stripe, in its units."""
    amount = 0
    for intent in _intents(seen, client):
        found = ask(lambda intent=intent: _all(client.v1.refunds.list({"payment_intent": intent, "limit": 100})))  # type: ignore[misc]
        amount += sum(refund["amount"] for refund in found if refund.get("status") in _GOES_BACK)
    return amount


def refunds_beyond(seen: StripeInvoice, refunded: int) -> str:
    """What to say where so much was paid back of an invoice at Stripe, in its units, and our notes say less: what they
    had paid back there, what is outside Stripe's part, and what a person noted as paid back.
    """
    currency = seen.invoice.currency
    parts = StripeCredit.objects.filter(allocation__invoice=seen.invoice_id)
    sums = parts.aggregate(refunded=Sum("refunded"), outside=Sum("outside"))
    by_hand = CreditApplication.objects.filter(
        invoice=None, live=True, credit_note__allocations__invoice=seen.invoice_id
    ).exclude(reference__in=parts.exclude(refund_id="").values("refund_id"))
    by_hand = by_hand.exclude(made_by=refunds.STRIPE)
    noted = by_hand.aggregate(sum=Sum("amount_minor"))["sum"] or 0
    known = (sums["refunded"] or 0) + (sums["outside"] or 0) + units.to_stripe(noted, currency)
    if refunded <= known:
        return ""
    return (
        f"{units.told(refunded, currency)} of invoice {seen.invoice.number} were paid back at Stripe, and our credit "
        f"notes paid back {units.told(known, currency)}. {REFUND_WAY_OUT}"
    )


REFUND_WAY_OUT: Final = (
    "Write a credit note over the difference, for the next invoices, and note on it that it was paid back, with the id "
    "of the refund."
)


def invoice_bearing(metadata: dict[str, Any]) -> Invoice | None:
    """Our invoice whose id an object at Stripe bears."""
    try:
        found = ids.decode(INVOICE_PREFIX, str(metadata.get(METADATA) or ""))
    except ValueError:
        return None
    return Invoice.objects.select_related("customer").filter(pk=found).first()
