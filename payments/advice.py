"""What finance has to know, or to do, of a credit at Stripe: what cannot go the way it should by itself."""

from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from invoicing import credit
from payments import mirror, units
from payments.crediting import Meaning, Wanted
from payments.models import Step, StripeCredit, StripeInvoice

log = structlog.get_logger(__name__)

UNCOLLECTIBLE, PAID = StripeInvoice.Status.UNCOLLECTIBLE, StripeInvoice.Status.PAID


def give(
    made: StripeCredit, wanted: Wanted, means: Meaning | None, theirs: dict[str, Any] | None, *, now: datetime
) -> None:
    """Note what finance has to know of a credit that was just made; ``means`` where it was made on an invoice there,
    ``theirs`` being that invoice, or the one that takes none. In the caller's transaction.
    """
    note, invoice = made.allocation.credit_note, made.allocation.invoice

    def told(amount: int) -> str:
        return units.told(amount, note.currency)

    said = []
    if means is not None and means.overpaid > means.owed:
        said.append(
            f"{invoice.number} was paid at Stripe before this credit reached it: "
            f"{told(means.overpaid - means.owed)} of that was paid back ({made.refund_id})."
        )
    by_hand = means.by_hand if means is not None else wanted.free if wanted.pays_back else 0
    free = units.to_stripe(credit.remaining([note.pk])[note.pk], note.currency) if by_hand else 0
    if min(by_hand, free):
        said.append(
            f"{told(min(by_hand, free))} is to be paid back, and Stripe has no charge to refund it from: pay it back "
            f"by hand, and note it with POST /v1/credit_notes/{credit.public_id(note)}/refund."
        )
    if theirs is not None and theirs["status"] == UNCOLLECTIBLE and wanted.taken_off:
        said.append(
            f"Stripe takes no credit notes on what is uncollectible, so {theirs['id']} asks for "
            f"{told(wanted.taken_off)} more than is due. Should it be paid there, pay that back there."
        )
    made.advice = " ".join(said)
    made.save(update_fields=["advice"])
    if means is not None and means.owed:
        differs(
            made,
            f"{told(means.owed)} that {note.number} took off {invoice.number} here no longer remained to be paid at "
            "Stripe, and there is no charge to refund it from. Where the customer paid it, pay it back by hand.",
            now=now,
        )


def paid_after_all(seen: StripeInvoice, now: datetime) -> None:
    """What was uncollectible was paid at Stripe, with what credit had taken off it here: told as a mismatch. One of
    `mirror.CHANGES`.
    """
    if seen.status != PAID or Step.objects.filter(operation__invoice=seen.invoice_id, name="pay_outside").exists():
        return
    rows = StripeCredit.objects.filter(
        allocation__invoice=seen.invoice_id, account=seen.account, advice__contains=seen.stripe_id
    )
    for made in rows.exclude(stripe_id__startswith="cn_").select_related("allocation__credit_note__customer"):
        note = made.allocation.credit_note
        taken_off = sum(note.applications.filter(invoice=seen.invoice_id).values_list("amount_minor", flat=True))
        made.advice = ""
        made.save(update_fields=["advice"])
        differs(
            made,
            f"{seen.invoice.number} was paid at Stripe after all, with "
            f"{units.told(units.to_stripe(taken_off, note.currency), note.currency)} that {note.number} had taken off "
            f"it here: pay that back there ({seen.stripe_id}).",
            now=now,
        )


def differs(made: StripeCredit, what: str, *, now: datetime) -> None:
    """Note, and tell, what is not at Stripe as it is here. In the caller's transaction."""
    made.mismatch = f"{made.mismatch} {what}".strip()
    made.save(update_fields=["mismatch"])
    mirror.tell_mismatch(made.allocation.credit_note, made.stripe_id, what, now=now)


@transaction.atomic
def seen_to(allocation_id: int, *, by: str) -> StripeCredit:
    """A person has seen to what differed, or was advised: it is shown no longer."""
    found = StripeCredit.objects.select_for_update().get(pk=allocation_id)
    found.mismatch = found.advice = ""
    found.save(update_fields=["mismatch", "advice"])
    log.info("stripe_credit_seen_to", allocation=allocation_id, by=by)
    return found
