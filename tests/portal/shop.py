"""A seller with two customers that look alike, made by the use cases alone: what the portal's tests look at.

Everything is told from ``now``: last month is invoiced, this month runs. Acme has what a page can show; Globex has the
same, so that every address of one has a counterpart of the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from access import ids
from contracts.agreements import ContractFields, create_contract
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.models import Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from invoicing import billing
from invoicing.models import CreditAllocation, CreditApplication, CreditNote, Invoice, InvoiceLine
from outcomes.evaluation import evaluate_waiting
from outcomes.models import Outcome
from portal import links
from settlement.sweep import settle_due
from tests.outcomes.factories import send

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

CONDITION = """
outcome resolved_ticket "Support ticket resolved"
per ticket_id

bill when ticket.closed where closed_by is "agent"
      and no ticket.escalated
void when ticket.reopened
settle after 72 hours


dimension priority = latest priority of ticket.closed
"""

EVIL = "<script>document.title='owned'</script>'\"><img src=x onerror=alert(1)>"


@dataclass
class Shop:
    """The instant it was made at, and the public ids of what each customer has."""

    now: datetime
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, dict[str, str]] = field(default_factory=dict)

    def url(self, customer: str) -> str:
        return links.url_of(self.tokens[customer])


def make(now: datetime) -> Shop:
    """Both customers, from the first of the month before last."""
    this_month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last_month = (this_month - DAY).replace(day=1)
    start = (last_month - DAY).replace(day=1)
    shop = Shop(now)
    create_condition_version(CONDITION, effective_from=None, now=start)
    prices = (
        PriceFields("resolved_ticket", Decimal("2.00")),
        PriceFields("resolved_ticket", Decimal("3.50"), match={"priority": "high"}),
    )
    put_rate_card("standard", RateCardFields("EUR", prices), now=start)
    for key, name in (("acme", "Acme Robotics"), ("globex", "Globex & Söhne")):
        put_customer(key, CustomerFields("EUR", name, email=f"billing@{key}.example"), now=start)
        create_contract(ContractFields(customer=key, rate_card="standard", starts_at=start, net_days=45), now=start)
        history(key, last_month, this_month, now)
    for moment in (this_month, now):
        settle_due(moment)
        billing.run(now=moment)
    for key in ("acme", "globex"):
        customer = Customer.objects.get(key=key)
        credit_note(customer, Invoice.objects.filter(customer=customer).latest("period_start"), now)
        _, shop.tokens[key] = links.create(key, by="the tests", now=now)
        shop.ids[key] = ids_of(customer)
    return shop


def history(key: str, last_month: datetime, this_month: datetime, now: datetime) -> None:
    """Last month: 12 that held, and one that was reopened. This month: what has settled, what has yet to, what was
    reopened; one with data that would do harm on a page that does not escape it.
    """
    for number in range(12):
        closed = last_month + DAY * (2 + number)
        priority = "high" if number % 3 == 0 else "low"
        tell(key, f"{key}-{100 + number}", [("ticket.closed", closed)], now=closed + HOUR, priority=priority)
    closed = last_month + 5 * DAY
    tell(key, f"{key}-200", [("ticket.closed", closed), ("ticket.reopened", closed + DAY)], now=closed + 2 * DAY)
    # From the month's first hours on, whatever day the tests run.
    for number in range(3):
        tell(key, f"{key}-{300 + number}", [("ticket.closed", now - (5 + number) * HOUR)], now=now, priority="low")
    tell(key, f"{key}-310", [("ticket.closed", now - 70 * HOUR)], now=now, priority="high")
    reopened = [("ticket.closed", now - 4 * HOUR), ("ticket.reopened", now - 3 * HOUR)]
    tell(key, f"{key}-320", reopened, now=now)
    tell(key, f"{key}-{EVIL}", [("ticket.closed", now - 2 * HOUR)], now=now, note=EVIL, **{EVIL: EVIL})


def tell(customer: str, ticket: str, story: Iterable[tuple[str, datetime]], *, now: datetime, **data: Any) -> None:
    batch = [
        {
            "id": f"{ticket}/{kind}",
            "type": kind,
            "customer": customer,
            "time": time,
            "data": {"ticket_id": ticket, "closed_by": "agent", "priority": "low", "steps": [1, 2]} | data,
        }
        for kind, time in story
    ]
    assert {result.status for result in send(batch, now=now)} == {"accepted"}
    evaluate_waiting(now)


def credit_note(customer: Customer, invoice: Invoice, now: datetime) -> CreditNote:
    """2.00 of goodwill on an invoice, of which 1.50 was taken off it."""
    note = CreditNote.objects.create(
        id=ids.uuid7(now), customer=customer, kind="goodwill", currency=invoice.currency, time_zone="UTC",
        reason="An apology for the outage", subtotal_minor=200, total_minor=200, created_at=now, refreshed_at=now,
    )  # fmt: skip
    InvoiceLine.objects.create(
        id=uuid4(), credit_note=note, position=1, kind="goodwill", title="Goodwill", amount_minor=-200,
        period_start=invoice.period_start, period_end=invoice.period_end,
    )  # fmt: skip
    CreditAllocation.objects.create(credit_note=note, invoice=invoice, net_minor=200, total_minor=200)
    note.status, note.number, note.issued_at = "issued", f"CN-{customer.key}", now
    note.content_hash, note.parties = "0" * 64, invoice.parties
    note.save()
    CreditApplication.objects.create(credit_note=note, invoice=invoice, amount_minor=150, created_at=now)
    return note


def ids_of(customer: Customer) -> dict[str, str]:
    """A public id of each kind of row that the portal shows."""
    invoice = Invoice.objects.filter(customer=customer).latest("period_start")
    note = CreditNote.objects.get(customer=customer)
    line = InvoiceLine.objects.filter(invoice=invoice).order_by("position").first()
    assert line is not None
    billed = Outcome.objects.filter(billed__line=line).order_by("id").first()
    assert billed is not None
    return {
        "invoice": ids.encode("inv", invoice.pk),
        "credit_note": ids.encode("cn", note.pk),
        "line": ids.encode("line", line.pk),
        "outcome": ids.encode("out", billed.pk),
    }


def outcome_of(ticket: str) -> Outcome:
    return Outcome.objects.get(subject__key=ticket)
