"""Money that goes back: what of an invoice's payment can be refunded, what Stripe refunded is noted here, what a person
paid back by hand leaves the balance there, and a refund that fails is credit again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import stripe
import structlog
from django.db import transaction

from contracts.domain import money
from invoicing import credit
from invoicing import credit_notes as ours
from invoicing.models import CreditNote
from invoicing.refusals import locked_note
from payments import advice, balance, customers, units
from payments.client import ask, plain
from payments.models import Operation, StripeCredit
from payments.steps import Work

log = structlog.get_logger(__name__)

METADATA = "holdfast_refund"
STRIPE = "Stripe"
FAILED = ("failed", "canceled")


@dataclass(frozen=True)
class Refundable:
    """What can go back of an invoice's payment, in Stripe's units: ``left`` of what was charged, and ``loose``, refunds
    that somebody made at Stripe and no credit note names yet, by id.
    """

    left: int
    loose: dict[str, int]

    @property
    def amount(self) -> int:
        return self.left + sum(self.loose.values())

    def request(self, amount: int) -> dict[str, Any]:
        """The parameters of a credit note that give so much back: what was refunded already is not refunded again."""
        linked = []
        for id, loose in self.loose.items():
            part = min(loose, amount)
            amount -= part
            if part:
                linked.append({"refund": id, "amount_refunded": part})
        return ({"refunds": linked} if linked else {}) | ({"refund_amount": amount} if amount else {})


NOTHING: Final = Refundable(0, {})


def refundable(work: Work, stripe_id: str) -> Refundable:
    """What can go back of what was charged for an invoice. What was paid outside Stripe, or by the balance, can not;
    nor can what the bank disputes.
    """
    found = work.v1.invoice_payments.list({"invoice": stripe_id, "status": "paid", "limit": 100})
    payments = ask(lambda: list(found.auto_paging_iter()))
    charges = [charge for one in payments if (charge := _charge(work, plain(one)["payment"])) is not None]
    left = sum(charge["amount_captured"] - charge["amount_refunded"] for charge in charges)
    loose: dict[str, int] = {}
    for id in [charge["id"] for charge in charges if charge["amount_refunded"]]:
        made = ask(lambda id=id: list(work.v1.refunds.list({"charge": id, "limit": 100}).auto_paging_iter()))  # type: ignore[misc]
        loose |= {one.id: one.amount for one in reversed(made) if one.status not in FAILED}
    if loose:
        notes = work.v1.credit_notes.list({"invoice": stripe_id, "limit": 100})
        for note in ask(lambda: list(notes.auto_paging_iter())):
            for linked in (plain(note).get("refunds") or []) if note.status == "issued" else []:
                if linked["refund"] in loose:
                    loose[linked["refund"]] -= linked["amount_refunded"]
    return Refundable(left, {id: amount for id, amount in loose.items() if amount > 0})


def _charge(work: Work, payment: dict[str, Any]) -> dict[str, Any] | None:
    """The charge of a payment, if money can go back of it."""
    charge: Any = payment.get("charge")
    if payment["type"] == "payment_intent":
        intent = payment["payment_intent"]
        asked = ask(lambda: work.v1.payment_intents.retrieve(intent, {"expand": ["latest_charge"]}))
        charge = plain(asked).get("latest_charge")
    elif charge is not None:
        id = charge
        charge = plain(ask(lambda: work.v1.charges.retrieve(id)))
    return charge if charge and charge["paid"] and not charge.get("disputed") else None


def read(work: Work, refund_id: str) -> dict[str, Any]:
    """The refund as Stripe has it now."""
    return plain(ask(lambda: work.v1.refunds.retrieve(refund_id)))


def record(made: StripeCredit, back: Mapping[str, int], *, now: datetime) -> None:
    """Note that Stripe paid back free credit of a note, so much by each of these refunds, as a person notes what was
    paid back by hand; Stripe need not be told. In the caller's transaction, under the customer's lock.

    Where less is free a person noted the same credit as paid back meanwhile, and it went back twice: `StripeCredit`
    says so.
    """
    note = made.allocation.credit_note
    for refund_id, amount in back.items():
        paid_back = units.from_stripe(amount, note.currency)
        minor = min(paid_back, credit.remaining([note.pk]).get(note.pk, 0))
        if minor:
            ours.refund(note.pk, money.from_minor(minor, note.currency), refund_id, now=now, by=STRIPE)
            Operation.objects.filter(
                kind=Operation.Kind.REFUND,
                credit_note=note,
                application__reference=refund_id,
                status=Operation.Status.WAITING,
            ).update(status=Operation.Status.DONE, finished_at=now)
        if minor < paid_back:
            twice = money.major_text(paid_back - minor, note.currency)
            advice.differs(
                made,
                f"Stripe paid back {note.currency} {twice} ({refund_id}) that was noted here meanwhile as paid back by "
                "hand. If both arrived, ask the customer for it.",
                now=now,
            )


# --- Paid back by hand ------------------------------------------------------------------------------------------------


def by_hand(work: Work) -> None:
    """Operation `refund`: a person paid free credit back, so the balance there has less of it. What was to be paid back
    from the first, or was never brought there, is not on it.
    """
    note, application = work.operation.credit_note, work.operation.application
    assert note is not None and application is not None
    if note.destination == CreditNote.Destination.NEXT_INVOICE and not _skipped(note):
        balance.move(
            work,
            "balance",
            customers.ensure(work, note.customer),
            units.to_stripe(application.amount_minor, note.currency),
            currency=note.currency,
            metadata={"holdfast_credit_note": credit.public_id(note), METADATA: work.operation.public_id},
            description=f"{note.number}: paid back ({application.reference})",
        )
    if not credit.remaining([note.pk]).get(note.pk):
        _seen_to(note)


def _skipped(note: CreditNote) -> bool:
    issued = Operation.objects.filter(kind=Operation.Kind.CREDIT_NOTE, credit_note=note)
    return issued.filter(status=Operation.Status.SKIPPED).exists()


def _seen_to(note: CreditNote) -> None:
    """Nothing of the note's credit is left to be paid back."""
    StripeCredit.objects.filter(allocation__credit_note=note, refund_status__in=FAILED).update(mismatch="")
    StripeCredit.objects.filter(allocation__credit_note=note).update(advice="")


# --- Refunds that fail ------------------------------------------------------------------------------------------------


@transaction.atomic
def refund_seen(refund: stripe.StripeObject | dict[str, Any], *, now: datetime) -> bool:
    """Note what Stripe says of a refund now; False for one that no credit note of ours made. One that failed, days
    later it may be, is credit again, and told as a mismatch: the customer has not got the money.
    """
    theirs = refund if isinstance(refund, dict) else plain(refund)
    found = StripeCredit.objects.filter(refund_id=theirs["id"])
    note_id = found.values_list("allocation__credit_note", flat=True).first()
    if note_id is None:
        return False
    note = locked_note(note_id)
    made = found.select_for_update(of=("self",)).select_related("allocation__credit_note__customer").get()
    before, made.refund_status = made.refund_status, theirs.get("status") or ""
    made.save(update_fields=["refund_status"])
    if made.refund_status in FAILED and before not in FAILED:
        free = ours.refund_failed(note.pk, made.refund_id)
        advice.differs(made, _failed(made, theirs.get("failure_reason") or made.refund_status, free), now=now)
        log.warning("stripe_refund_failed", refund=made.refund_id, credit_note=note.number)
    return True


def _failed(made: StripeCredit, reason: str, free_minor: int) -> str:
    note = made.allocation.credit_note
    said = (
        f"Refund {made.refund_id} of {units.told(made.refunded, note.currency)} failed at Stripe ({reason}): the "
        "customer has not got it. Pay it back by hand"
    )
    if not free_minor:
        return f"{said}."
    return (
        f"{said}, and note {note.currency} {money.major_text(free_minor, note.currency)} of it, which is free credit "
        f"again, with POST /v1/credit_notes/{credit.public_id(note)}/refund."
    )
