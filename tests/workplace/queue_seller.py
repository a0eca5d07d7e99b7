"""A seller with everything in its review queue, made by the use cases alone, for tests and pictures of the queue."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.agreements import ContractFields, create_contract
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.domain.rating import TierInput
from contracts.models import Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from handover.models import Handover
from invoicing import billing
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice, ParkedCustomer
from outcomes.evaluation import evaluate_waiting
from outcomes.models import LateEvidence, Outcome
from payments.models import Finding, Operation, Reconciliation, StripeCredit, StripeInvoice
from settlement.disputes import raise_dispute
from settlement.models import Dispute
from settlement.sweep import settle_due
from tests.outcomes.factories import send

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TICKET = """
outcome solved "Ticket solved"
per ticket
bill when closed and no escalated
void when reopened
credit within 10 hours when reopened
settle after 5 hours
quantity latest units of closed
"""
# Ten at 2.00 and the rest at 1.00, or all at 1.00 from the eleventh on.
TIERS = (TierInput(up_to=Decimal(10), unit_price=Decimal("2.00")), TierInput(up_to=None, unit_price=Decimal("1.00")))


@dataclass
class Seller:
    """``month`` is the start of a month in which everything happens; the next one begins at ``after``."""

    month: datetime

    @property
    def after(self) -> datetime:
        return (self.month + 32 * DAY).replace(day=1)

    def agree(self, key: str, model: str, **terms: Any) -> Customer:
        """A customer with a contract, whose price has this model."""
        put_customer(key, CustomerFields("USD", key.title()), now=self.month)
        price = PriceFields("solved", unit_price=Decimal("2.00"))
        if model != "per_unit":
            price = PriceFields("solved", model=model, tiers=TIERS)
        given = ContractFields(customer=key, rate_card="standard", starts_at=self.month, prices=(price,), **terms)
        create_contract(given, now=self.month)
        return Customer.objects.get(key=key)

    def tell(self, customer: str, kind: str, ticket: str, at: datetime, *, now: datetime | None = None,
             units: Any = 1) -> None:  # fmt: skip
        """An event, evaluated at once; without ``units`` it tells no quantity."""
        data = {"ticket": ticket} | ({} if units is None else {"units": units})
        event = {"id": f"{ticket}/{kind}@{at:%d.%H:%M}", "type": kind, "customer": customer, "time": at, "data": data}
        [result] = send([event], now=now or at)
        assert result.status == "accepted", result
        evaluate_waiting(now or at)

    def solve(self, customer: str, count: int, at: datetime) -> list[Outcome]:
        """So many tickets, confirmed by the hour after their window."""
        tickets = [f"{customer}-{at:%m%d}-{number:02}" for number in range(1, count + 1)]
        events = [
            {"id": ticket, "type": "closed", "customer": customer, "time": at, "data": {"ticket": ticket, "units": 1}}
            for ticket in tickets
        ]
        assert {one.status for one in send(events, now=at)} == {"accepted"}
        evaluate_waiting(at)
        settle_due(at + 6 * HOUR)
        return [self.outcome(ticket) for ticket in tickets]

    def outcome(self, ticket: str) -> Outcome:
        return Outcome.objects.filter(subject__key=ticket).latest("ordinal")

    def dispute(self, outcome: Outcome, reason: str = "we never asked for it", *, now: datetime) -> Dispute:
        return raise_dispute(outcome.pk, reason=reason, by="portal: Ann", now=now)

    def late(self, customer: str, ticket: str, at: datetime, *, now: datetime) -> LateEvidence:
        """A reopening that comes after the ticket is confirmed, of before."""
        self.tell(customer, "reopened", ticket, at, now=now)
        return LateEvidence.objects.latest("id")


def make_seller(month: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> Seller:
    create_condition_version(TICKET, effective_from=None, now=month)
    price = PriceFields("solved", unit_price=Decimal("2.00"))
    put_rate_card("standard", RateCardFields("USD", (price,)), now=month)
    return Seller(month)


def bill(now: datetime) -> billing.RunReport:
    """Settle what is due, and bill."""
    settle_due(now)
    return billing.run(now=now)


def fill(seller: Seller) -> None:
    """One of each kind; the oldest is the parked customer's, the newest the dispute."""
    month, after = seller.month, seller.after
    acme = seller.agree("acme", "per_unit", late_evidence="review")
    first, second, _ = seller.solve("acme", 3, month + DAY)
    seller.tell("acme", "closed", "unknown", month + 2 * DAY, units=None)
    bill(after)
    invoice = Invoice.objects.get()
    seller.late("acme", first.subject.key, month + DAY + HOUR, now=after + HOUR)
    goodwill(Goodwill(invoice.pk, "a slow answer", Decimal("1.50"), issue=False), now=after + 2 * HOUR, by="otto")
    ParkedCustomer.objects.create(customer=acme, reason="no rate", since=month)
    Operation.objects.create(
        kind="invoice", customer=acme, invoice=invoice, status="parked", reason="card declined", created_at=after
    )
    StripeInvoice.objects.create(
        invoice=invoice, account="acct_1", livemode=False, stripe_id="in_1", status="open",
        collection_method="send_invoice", total=500, amount_due=500, amount_remaining=500,
        mismatch="Its total is 5.00.", seen_at=after,
    )  # fmt: skip
    run = Reconciliation.objects.create(account="acct_1", livemode=False, begun_at=after, touched_at=after)
    for kind in ("total", "adopted"):
        Finding.objects.create(
            account="acct_1", livemode=False, kind=kind, about=kind, customer=acme, number="HF-000001", what="differs",
            way_out="Credit it.", first=run, last=run, found_at=after,
        )  # fmt: skip
    given = goodwill(Goodwill(invoice.pk, "a slip", Decimal("0.50")), now=after + HOUR, by="otto")
    StripeCredit.objects.create(
        allocation=given.allocations.get(), account="acct_1", livemode=False, stripe_id="cn_1", amount=50, outside=50,
        advice="Pay it back by hand.", created_at=after + 2 * HOUR,
    )  # fmt: skip
    Handover.objects.create(
        outcome=first, customer=acme, contract=acme.contracts.get(), kind="usage", target="lago_events",
        status="parked", reason="Lago knows no such customer.", next_attempt_at=after, created_at=after,
    )  # fmt: skip
    seller.dispute(second, now=after + DAY)
