"""Whatever is issued, paid, credited, given up, voided and paid back, in any order and with faults between: at the end
Stripe's books are ours.
"""

import os
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access.errors import ApiError
from contracts.domain import money
from contracts.models import Customer
from invoicing import credit, credit_notes
from invoicing.models import CreditApplication, CreditNote, Invoice
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.void import void
from payments.models import Operation, StripeCredit, StripeInvoice
from payments.refunds import refund_seen
from tests.invoicing.conftest import World
from tests.payments.conftest import Stripe
from tests.payments.credits import BACK, done, give
from tests.stripe_server.errors import StripeFailure
from tests.stripe_server.faults import AT_RANDOM

EXAMPLES = int(os.environ.get("STRIPE_ORDERS", "20"))
NUMBERS = count(1)


@dataclass
class Story:
    """What happens to one customer. What the state of a document does not allow does not happen."""

    stripe: Stripe
    customer: Customer
    invoices: list[Invoice] = field(default_factory=list)
    notes: list[CreditNote] = field(default_factory=list)

    def issue(self, minor: int) -> None:
        self.invoices.append(self.stripe.issue(self.customer, str(money.from_minor(minor, "USD"))))

    def sync(self, fault: str | None) -> None:
        """Work goes on, a request of it suffers a fault."""
        if fault is not None:
            self.stripe.server.faults.next(fault)
        self.stripe.sync()
        self.stripe.server.faults.clear()

    def paid_there(self, which: int, outside: bool) -> None:
        """By card, or as somebody says in the dashboard; of a void one the void comes first."""
        seen = StripeInvoice.objects.filter(invoice=self._invoice(which)).first()
        if seen is not None and seen.invoice.status != "void":
            self.stripe.server.dashboard().pay(seen.stripe_id, None if outside else "pm_card_visa")

    def paid_here(self, which: int) -> None:
        mark_paid(self._invoice(which).id, now=self.stripe.now)

    def given_up(self, which: int) -> None:
        mark_uncollectible(self._invoice(which).id, now=self.stripe.now)

    def voided(self, which: int) -> None:
        done(self.stripe)
        void(self._invoice(which).id, now=self.stripe.now)

    def credited(self, which: list[int], percent: int, back: bool) -> None:
        amounts = []
        for invoice in dict.fromkeys(self._invoice(one) for one in which):
            left = credit.left_to_credit([invoice.id])[invoice.id].gross
            if (minor := left * percent // 100) and invoice.status != "void":
                amounts.append((invoice, str(money.from_minor(minor, "USD"))))
        if amounts:
            self.notes.append(give(self.stripe, *amounts, to=BACK if back else "next_invoice"))

    def paid_back(self, which: int, percent: int) -> None:
        note = self.notes[which % len(self.notes)]
        minor = credit.remaining([note.pk])[note.pk] * percent // 100
        if minor:
            credit_notes.refund(note.pk, money.from_minor(minor, "USD"), "cash", now=self.stripe.now, by="ann")

    def refund_fails(self, which: int) -> None:
        made = StripeCredit.objects.filter(allocation__credit_note__in=self.notes).exclude(refund_id="")
        refund_id = list(made.order_by("pk").values_list("refund_id", flat=True))[which % made.count()]
        refund_seen(self.stripe.server.dashboard().fail_refund(refund_id), now=self.stripe.now)

    def _invoice(self, which: int) -> Invoice:
        return Invoice.objects.select_related("customer").get(pk=self.invoices[which % len(self.invoices)].pk)

    # --- At the end ---------------------------------------------------------------------------------------------------

    def ends_well(self) -> None:
        """All is made so, nothing is parked, and to the minor unit it is at Stripe as it is here."""
        done(self.stripe)
        books = self.stripe.server.books()
        assert books.check() == []
        seen = StripeInvoice.objects.filter(invoice__customer=self.customer).select_related("invoice")
        assert {one.invoice_id for one in seen} == {one.id for one in self.invoices}
        assert len(books.by_metadata("holdfast_invoice")) >= len(self.invoices)
        for one in seen:
            self._invoice_is_as_here(one)
        carried = sum(one.carried - one.taken for one in seen if one.status != "void")
        theirs = self.customer.stripe_customers.get().stripe_id
        owed = sum(amount for (customer, _), amount in books.balances.items() if customer == theirs)
        assert owed == carried - credit.free_credit(self.customer.id, "USD")
        self._refunds_are_as_here()

    def _invoice_is_as_here(self, seen: StripeInvoice) -> None:
        ours, book = seen.invoice, self.stripe.server.books().invoices[seen.stripe_id]
        rows = list(StripeCredit.objects.filter(allocation__invoice=ours))
        made = [one for one in rows if (one.stripe_id or "").startswith("cn_")]
        # Of what is uncollectible nothing falls off there.
        not_there = sum(_taken_off(one) for one in rows if one not in made)
        assert book.total == ours.total_minor
        assert book.credited == sum(one.amount for one in made)
        assert len(made) == len({one.stripe_id for one in made})
        assert credit.credited([ours.id]).get(ours.id, 0) == sum(one.amount for one in rows)
        assert book.status == {"issued": "open"}.get(ours.status, ours.status)
        if book.status in ("open", "uncollectible"):
            assert book.remaining == credit.due_minor(ours) + seen.taken + not_there
        if book.status == "paid":
            # What was paid there is what had to be, and what credit had settled here, which was paid back or is told.
            applied = credit.applied_to([ours.id]).get(ours.id, 0)
            overpaid = sum(_overpaid(one) for one in made)
            assert book.paid == ours.total_minor - applied + seen.taken - seen.carried + not_there + overpaid

    def _refunds_are_as_here(self) -> None:
        books = self.stripe.server.books()
        rows = list(StripeCredit.objects.filter(allocation__credit_note__customer=self.customer))
        arrived = [one for one in rows if one.refund_status == "succeeded"]
        ids = StripeInvoice.objects.filter(invoice__customer=self.customer).values_list("stripe_id", flat=True)
        assert sum(books.invoices[id].refunded for id in ids) == sum(one.refunded for one in arrived)
        by_stripe = CreditApplication.objects.filter(credit_note__customer=self.customer, made_by="Stripe", live=True)
        noted = dict(by_stripe.values_list("reference").annotate(Sum("amount_minor")))
        expected = {one.refund_id: one.refunded - min(_overpaid(one), one.refunded) for one in arrived}
        assert noted == {id: amount for id, amount in expected.items() if amount}
        assert all(one.mismatch for one in rows if one.refund_status == "failed" and credit.remaining(
            [one.allocation.credit_note_id])[one.allocation.credit_note_id])  # fmt: skip
        assert all(bool(one.mismatch) for one in arrived if _overpaid(one) > one.refunded)
        waiting = Operation.objects.filter(kind="refund", customer=self.customer, application__made_by="Stripe")
        assert not any(one.steps.exists() for one in waiting)


def _taken_off(made: StripeCredit) -> int:
    applied = made.allocation.credit_note.applications.filter(invoice=made.allocation.invoice)
    return sum(applied.values_list("amount_minor", flat=True))


def _overpaid(made: StripeCredit) -> int:
    """Settled by credit here, and paid there all the same."""
    settled_twice = max(_taken_off(made) - made.before_payment, 0)
    free = made.amount - made.before_payment - settled_twice
    to_next = made.to_balance if made.allocation.credit_note.destination == BACK else made.to_balance - free
    return settled_twice - to_next


WHICH = st.integers(0, 4)
PERCENT = st.sampled_from([100, 50, 20, 1])
AMOUNT = st.one_of(st.integers(10, 60), st.integers(100, 20_000))
CREDITED = st.tuples(st.just("credited"), st.lists(WHICH, min_size=1, max_size=3), PERCENT, st.booleans())
PAID_THERE = st.tuples(st.just("paid_there"), WHICH, st.sampled_from([False, False, False, True]))
SYNC = st.tuples(st.just("sync"), st.sampled_from([None, None, *AT_RANDOM]))
DEEDS = st.one_of(
    *(CREDITED, CREDITED, CREDITED, PAID_THERE, PAID_THERE, SYNC, SYNC),
    st.tuples(st.just("issue"), AMOUNT),
    st.tuples(st.just("paid_here"), WHICH),
    st.tuples(st.just("given_up"), WHICH),
    st.tuples(st.just("voided"), WHICH),
    st.tuples(st.just("paid_back"), WHICH, PERCENT),
    st.tuples(st.just("refund_fails"), WHICH),
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(deeds=st.lists(DEEDS, min_size=6, max_size=14), first=st.lists(AMOUNT, min_size=1, max_size=2))
def test_any_order(stripe: Stripe, committed_world: World, deeds: list[tuple[Any, ...]], first: list[int]) -> None:
    key = f"c{next(NUMBERS)}"
    story = Story(stripe, committed_world.customer(key, email=f"ap@{key}.example"))
    for minor in first:
        story.issue(minor)
    stripe.sync()
    for name, *how in deeds:
        try:
            getattr(story, name)(*how)
        except (ApiError, StripeFailure, ZeroDivisionError):
            continue  # Not in this state.
    story.ends_well()
