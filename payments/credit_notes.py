"""Operation `credit_note`: our issued credit note as one of Stripe's on each invoice that it corrects; or, where there
is no such invoice at Stripe to correct, as credit on the customer's balance.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import stripe
from django.db import transaction

from invoicing import credit
from invoicing.models import CreditAllocation, CreditNote
from invoicing.refusals import locked_note, public_id
from payments import advice, balance, customers, lanes, mirror, opening, refunds, units
from payments.client import ask, bears, plain
from payments.crediting import Meaning, Parts, There, Wanted, divided, meaning
from payments.errors import Refused
from payments.lines import shortened
from payments.models import StripeCredit, StripeInvoice
from payments.refunds import refund_seen
from payments.steps import Work

__all__ = ["METADATA", "issue", "refund_seen"]

METADATA = "holdfast_credit_note"
MEMO = 500
# How often the division is worked out anew where the invoice changes at Stripe meanwhile.
TRIES = 5

OPEN, PAID = StripeInvoice.Status.OPEN, StripeInvoice.Status.PAID

Theirs = dict[str, Any]


def issue(work: Work) -> None:
    """Make the credit note so at Stripe, one of its invoices after the other. What is made of one is noted before the
    next.
    """
    note = work.operation.credit_note
    assert note is not None
    gone = opening.gone_minor(note)
    for allocation in note.allocations.select_related("invoice__customer").order_by("id"):
        part = _Part(work, note, allocation, gone)
        gone -= part.gone_minor
        if not StripeCredit.objects.filter(pk=allocation.pk).exists():
            part.make()


class _Part:
    """What a credit note corrects of one invoice."""

    def __init__(self, work: Work, note: CreditNote, allocation: CreditAllocation, gone_minor: int) -> None:
        self.work, self.note, self.allocation, self.invoice = work, note, allocation, allocation.invoice
        taken_off = sum(note.applications.filter(invoice=self.invoice).values_list("amount_minor", flat=True))
        self.gone_minor = min(gone_minor, allocation.total_minor - taken_off)
        self.wanted = Wanted(
            amount=self._units(allocation.total_minor),
            taken_off=self._units(taken_off),
            pays_back=note.destination == CreditNote.Destination.REFUND,
            gone=self._units(self.gone_minor),
        )
        self.on_invoice, self.on_balance = f"credit_note.{allocation.pk}", f"balance.{allocation.pk}"

    def make(self) -> None:
        """Make it so, as Stripe's invoice stands at this moment."""
        if not self.wanted.amount:
            self._record(None, Parts())
            return
        for _ in range(TRIES):
            theirs = self._invoice()
            if theirs is None or self._begun(self.on_balance) or not self._takes_one(theirs):
                self._elsewhere(theirs)
                return
            made = self._on_invoice(theirs)
            if made is not None:
                self._noted(made)
                return
        raise Refused("The invoice changes at Stripe all the time: try again.", code="invoice_changes")

    def _invoice(self) -> Theirs | None:
        """The invoice as Stripe has it now, and is noted to have; None where it is not there."""
        connection = self.work.connection
        seen = StripeInvoice.objects.filter(
            invoice=self.invoice, account=connection.account, livemode=connection.livemode
        ).first()
        if seen is None or seen.status == StripeInvoice.Status.DELETED:
            return None
        theirs = mirror.read(self.work.client, seen.stripe_id)
        mirror.note(self.invoice.id, connection, theirs, now=self.work.clock())
        return theirs

    # --- On an invoice there ------------------------------------------------------------------------------------------

    def _request(self, theirs: Theirs | None) -> dict[str, Any]:
        """The credit note to make on the invoice; nothing on one that takes none."""
        if theirs is None or theirs["status"] not in (OPEN, PAID):
            return {}
        seen = StripeInvoice.objects.get(pk=self.invoice.pk)
        is_open = theirs["status"] == OPEN
        refundable = refunds.NOTHING if is_open else refunds.refundable(self.work, theirs["id"])
        there = There(
            remaining=theirs["amount_remaining"] if is_open else 0,
            refundable=refundable.amount,
            carried=seen.carried,
        )
        parts = divided(self.wanted, there, free_now=self._units(credit.remaining([self.note.pk])[self.note.pk]))
        request = {
            "invoice": theirs["id"],
            "amount": self.wanted.amount,
            "memo": shortened(f"{self.note.number}: {self.note.reason}", MEMO),
            "metadata": {
                **self._metadata(),
                "holdfast_number": self.note.number,
                "holdfast_hash": self.note.content_hash,
            },
        }
        named = {"credit_amount": parts.to_balance, "out_of_band_amount": parts.outside}
        return request | refundable.request(parts.refunded) | {name: part for name, part in named.items() if part}

    def _on_invoice(self, theirs: Theirs) -> Theirs | None:
        """The credit note, made once; None where the invoice changed, so that it is to be divided in another way."""
        stripe_id = theirs["id"]
        try:
            return self.work.step(
                self.on_invoice, self._request(theirs), self._create, lambda begun_at: self._find(stripe_id)
            )
        except Refused as problem:
            if gone := customers.deleted(self.work, theirs["customer"]):
                raise gone from problem
            if self._sent() == self._request(self._invoice()):
                raise
            # Paid or given up there since it was read.
            return None

    def _takes_one(self, theirs: Theirs) -> bool:
        """Whether Stripe makes credit notes on the invoice. Of a deleted customer's no credit goes anywhere: what was
        found out at the last attempt.
        """
        if theirs["status"] not in (OPEN, PAID):
            return False
        return self.work.operation.code != customers.DELETED or not customers.is_deleted(self.work, theirs["customer"])

    def _create(self, request: dict[str, Any], options: stripe.RequestOptions) -> stripe.StripeObject:
        made: stripe.StripeObject = self.work.v1.credit_notes.create(request, options)
        return made

    def _find(self, stripe_id: str) -> stripe.StripeObject | None:
        """The credit note on an invoice there that bears our note's id."""
        for one in self.work.v1.credit_notes.list({"invoice": stripe_id, "limit": 100}).auto_paging_iter():
            if one.status == "issued" and bears(one, METADATA, credit.public_id(self.note)):
                return one
        return None

    def _noted(self, made: Theirs) -> None:
        """Note a credit note as Stripe made it, and what became of its invoice by it."""
        linked = {one["refund"] for one in (self._sent() or {}).get("refunds", [])}
        found = sorted(made.get("refunds") or [], key=lambda one: one["refund"] not in linked)
        back = {one["refund"]: one["amount_refunded"] for one in found}
        refunded, outside = sum(back.values()), made.get("out_of_band_amount") or 0
        parts = Parts(made["pre_payment_amount"], made["post_payment_amount"] - refunded - outside, refunded, outside)
        theirs = self._invoice()
        # The one that the note itself made, and which may yet fail, comes last.
        refund = refunds.read(self.work, list(back)[-1]) if back else None
        self._record(made["id"], parts, theirs=theirs, back=back, refund=refund)

    # --- Without one --------------------------------------------------------------------------------------------------

    def _elsewhere(self, theirs: Theirs | None) -> None:
        """Nothing is to be corrected at Stripe; the credit that later invoices take is to be there all the same."""
        if theirs is not None and self._begun(self.on_invoice):
            # It may have been made before the invoice was given up or voided there.
            stripe_id = theirs["id"]
            found = ask(lambda: self._find(stripe_id))
            if found is not None:
                self._noted(plain(found))
                return
        to_balance = self.wanted.for_balance(self.wanted.free)
        made: Theirs = {}
        if to_balance:
            made = balance.move(
                self.work,
                self.on_balance,
                customers.ensure(self.work, self.note.customer),
                -to_balance,
                currency=self.note.currency,
                metadata=self._metadata(),
                description=f"{self.note.number}: {self.note.reason}",
            )
        self._record(
            made.get("id"), Parts(to_balance=to_balance, outside=self.wanted.amount - to_balance), theirs=theirs
        )

    # --- What came of it ----------------------------------------------------------------------------------------------

    @transaction.atomic
    def _record(
        self,
        stripe_id: str | None,
        parts: Parts,
        *,
        theirs: Theirs | None = None,
        back: Mapping[str, int] = MappingProxyType({}),
        refund: Theirs | None = None,
    ) -> None:
        """Note what was made, and do here what follows from it, at once."""
        work, now = self.work, self.work.clock()
        locked_note(self.note.pk)
        lanes.renew(work.operation.customer_id, work.token, now)
        on_invoice = parts.before_payment or (stripe_id or "").startswith("cn_")
        means = meaning(self.wanted, parts) if on_invoice else None
        made = StripeCredit.objects.create(
            allocation=self.allocation,
            account=work.connection.account,
            livemode=work.connection.livemode,
            stripe_id=stripe_id,
            amount=self.wanted.amount,
            before_payment=parts.before_payment,
            to_balance=parts.to_balance,
            refunded=parts.refunded,
            outside=parts.outside,
            refund_id=refund["id"] if refund else "",
            created_at=now,
        )
        if means is not None:
            self._collected(means)
            refunds.record(made, _last(back, means.credit_refunded), now=now)
        advice.give(made, self.wanted, means, theirs, now=now)
        if refund is not None:
            refund_seen(refund, now=now)

    def _collected(self, means: Meaning) -> None:
        """What earlier invoices left to be collected: less of it, or by a later one."""
        seen = StripeInvoice.objects.select_for_update().get(pk=self.invoice.pk)
        seen.carried -= means.off_carried
        seen.taken -= min(means.collected_later, seen.taken)
        seen.save(update_fields=["carried", "taken"])

    # --- Small things -------------------------------------------------------------------------------------------------

    def _metadata(self) -> dict[str, str]:
        return {METADATA: credit.public_id(self.note), "holdfast_invoice": public_id(self.invoice)}

    def _begun(self, name: str) -> bool:
        return self.work.operation.steps.filter(name=name, dropped=False).exists()

    def _sent(self) -> dict[str, Any] | None:
        """The parameters of the last attempt."""
        steps = self.work.operation.steps.filter(name=self.on_invoice).order_by("-epoch")
        return steps.values_list("request", flat=True).first()

    def _units(self, amount_minor: int) -> int:
        try:
            return units.to_stripe(amount_minor, self.note.currency)
        except Refused as problem:
            raise Refused(
                f"{problem} Skip this operation, pay the credit back by hand, and note it with "
                f"POST /v1/credit_notes/{credit.public_id(self.note)}/refund before an invoice takes it.",
                code=problem.code,
            ) from problem


def _last(back: Mapping[str, int], amount: int) -> dict[str, int]:
    """So much of these refunds, the last ones first: what was settled twice was given back by the first."""
    found = {}
    for id, refunded in reversed(list(back.items())):
        if part := min(refunded, amount):
            found[id] = part
            amount -= part
    return found
