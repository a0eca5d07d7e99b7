"""Whatever is issued, paid, credited, given up, voided and paid back, in any order and with faults between: at the end
Stripe's books are ours.
"""

import os
import random
from dataclasses import dataclass, field
from itertools import count

from django.db.models import Sum
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from contracts.domain import money
from contracts.models import Customer
from invoicing import credit, credit_notes
from invoicing.models import CreditApplication, CreditNote, Invoice
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.void import void
from payments import mirror
from payments.models import Connection, Operation, StripeCredit, StripeInvoice
from payments.refunds import refund_seen
from tests.invoicing.conftest import World
from tests.payments.conftest import Stripe
from tests.payments.credits import BACK, done, give
from tests.stripe_server.faults import AT_RANDOM

EXAMPLES = int(os.environ.get("STRIPE_ORDERS", "12"))
NUMBERS = count(1)


@dataclass
class Story:
    """What happens to one customer, drawn at random from what is possible. ``told`` says what did."""

    stripe: Stripe
    customer: Customer
    draw: random.Random
    told: list[str] = field(default_factory=list)

    def goes_on(self) -> None:
        often = {"credited": 5, "paid_there": 3, "sync": 3, "issued": 2, "paid_back": 2}
        seldom = ("paid_here", "given_up", "voided", "refund_fails")
        deeds = often | dict.fromkeys(seldom, 1)
        [name] = self.draw.choices(list(deeds), list(deeds.values()))
        if (how := getattr(self, name)()) is not None:
            self.told.append(f"{name} {how}")

    def issued(self) -> str:
        minor = self.draw.choice([self.draw.randrange(10, 60), self.draw.randrange(100, 20_000)])
        return f"{self.stripe.issue(self.customer, str(money.from_minor(minor, 'USD')))}: {minor}"

    def sync(self) -> str:
        """Work goes on, and a request of it suffers a fault."""
        fault = self.draw.choice([None, None, *AT_RANDOM])
        if fault is not None:
            self.stripe.server.faults.next(fault)
        self.stripe.sync()
        self.stripe.server.faults.clear()
        return str(fault)

    def paid_there(self) -> str | None:
        """By card, or outside as somebody says in the dashboard; whatever was paid or credited here meanwhile."""
        there = self.stripe.server.books().invoices
        seen = StripeInvoice.objects.filter(invoice__customer=self.customer).exclude(invoice__status="void")
        found = [one for one in seen.order_by("pk") if there[one.stripe_id].status in ("open", "uncollectible")]
        if not found:
            return None
        one, card = self.draw.choice(found), self.draw.choice([True, True, True, False])
        self.stripe.server.dashboard().pay(one.stripe_id, "pm_card_visa" if card else None)
        if self.draw.choice([True, False]):
            self._look(one.invoice)
        return f"{one.invoice} {'by card' if card else 'outside'}"

    def paid_here(self) -> str | None:
        invoice = self._one("issued", "uncollectible")
        return None if invoice is None else str(mark_paid(invoice.id, now=self.stripe.now))

    def given_up(self) -> str | None:
        invoice = self._one("issued")
        return None if invoice is None else str(mark_uncollectible(invoice.id, now=self.stripe.now))

    def voided(self) -> str | None:
        """But what was paid there: that is money which a person has to give back."""
        done(self.stripe)
        invoice = self._one("issued", "uncollectible")
        if invoice is None or credit.corrected([invoice.id]) or self.stripe.invoice(invoice).status == "paid":
            return None
        return str(void(invoice.id, now=self.stripe.now))

    def credited(self) -> str | None:
        left = {one: credit.left_to_credit([one.id])[one.id].gross for one in self._invoices() if one.status != "void"}
        able = [one for one, minor in left.items() if minor]
        if not able:
            return None
        amounts, back = [], self.draw.choice([True, False])
        for invoice in self.draw.sample(able, min(len(able), self.draw.choice([1, 1, 2]))):
            minor = self.draw.choice([left[invoice], self.draw.randint(1, left[invoice])])
            amounts.append((invoice, str(money.from_minor(minor, "USD"))))
        made = give(self.stripe, *amounts, to=BACK if back else "next_invoice")
        return f"{made} {[(str(one), amount) for one, amount in amounts]} {made.destination}"

    def paid_back(self) -> str | None:
        free = credit.remaining(CreditNote.objects.filter(customer=self.customer).values_list("pk", flat=True))
        able = sorted((note for note, minor in free.items() if minor), key=str)
        if not able:
            return None
        id = self.draw.choice(able)
        minor = self.draw.choice([free[id], self.draw.randint(1, free[id])])
        paid = credit_notes.refund(id, money.from_minor(minor, "USD"), "cash", now=self.stripe.now, by="ann")
        return f"{paid} {minor}"

    def refund_fails(self) -> str | None:
        made = StripeCredit.objects.filter(allocation__credit_note__customer=self.customer, refund_status="succeeded")
        found = list(made.order_by("pk"))
        if not found:
            return None
        refund_id = self.draw.choice(found).refund_id
        refund_seen(self.stripe.server.dashboard().fail_refund(refund_id), now=self.stripe.now)
        return refund_id

    def _look(self, invoice: Invoice) -> None:
        """As a webhook has it done."""
        theirs = self.stripe.invoice(invoice).to_dict()
        mirror.note(invoice.id, Connection.objects.get(audience="live"), theirs, now=self.stripe.now)

    def _invoices(self) -> list[Invoice]:
        return list(Invoice.objects.filter(customer=self.customer).select_related("customer").order_by("number"))

    def _one(self, *statuses: str) -> Invoice | None:
        found = [one for one in self._invoices() if one.status in statuses]
        return self.draw.choice(found) if found else None

    # --- At the end ---------------------------------------------------------------------------------------------------

    def ends_well(self) -> None:
        """All is made so, nothing is parked, and to the minor unit it is at Stripe as it is here."""
        done(self.stripe)
        for invoice in self._invoices():
            self._look(invoice)
        done(self.stripe)
        books = self.stripe.server.books()
        assert books.check() == []
        seen = StripeInvoice.objects.filter(invoice__customer=self.customer).select_related("invoice")
        assert {one.invoice_id for one in seen} == {one.id for one in self._invoices()}
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
            assert book.remaining == credit.due_minor(ours) + seen.taken - seen.carried + not_there
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


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_any_order(stripe: Stripe, committed_world: World, seed: int) -> None:
    key = f"c{next(NUMBERS)}"
    story = Story(stripe, committed_world.customer(key, email=f"ap@{key}.example"), random.Random(seed))
    story.told += [f"issued {story.issued()}", f"issued {story.issued()}", f"sync {story.sync()}"]
    try:
        for _ in range(story.draw.randrange(6, 16)):
            story.goes_on()
        story.ends_well()
    except BaseException:
        note("\n".join(story.told))
        raise
