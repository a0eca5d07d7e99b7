"""A small installation with a past of every kind, made by the use cases alone: what the audit's own tests corrupt."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User

from contracts.agreements import ContractFields, create_contract
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from invoicing import billing, credit
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice, Status
from invoicing.void import void
from outcomes import imports
from outcomes.evaluation import evaluate_waiting
from outcomes.models import InboxItem, Outcome
from payments.models import StripeInvoice
from settlement.disputes import raise_dispute, resolve
from settlement.holds import Target, place, release
from settlement.sweep import settle_due
from tests.outcomes.factories import START, send
from tests.outcomes.test_lifecycle import REPEATING, SILENCE, TICKET

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = START + 20 * DAY
FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
NOW = MARCH + HOUR
"""When the scenario ends: what follows looks at it from here."""

CONDITIONS = (TICKET, REPEATING.replace("outcome solved", "outcome again"), SILENCE)


def tell(customer: str, ticket: str, *story: tuple[str, float], now: datetime, **options: Any) -> None:
    """(type, hours after START) ..., sent at once and evaluated at ``now``."""
    batch = [
        {
            "id": f"{ticket}/{kind}@{hours}",
            "type": kind,
            "customer": customer,
            "time": START + hours * HOUR,
            "data": {"ticket": ticket, "units": 1.5, "priority": "high"},
        }
        for kind, hours in story
    ]
    assert {result.status for result in send(batch, now=now, **options)} == {"accepted"}
    evaluate_waiting(now)


def make() -> None:
    for key in ("acme", "globex", "initech", "hooli"):
        put_customer(key, CustomerFields("USD", key.title()), now=START)
    for text in CONDITIONS:
        create_condition_version(text, effective_from=None, now=START)
    prices = (
        PriceFields("solved", Decimal("2.00")),
        PriceFields("solved", Decimal("3.335"), match={"priority": "high"}),
        PriceFields("quiet", Decimal("0.5")),
    )
    put_rate_card("standard", RateCardFields("USD", prices), now=START)
    for key in ("acme", "globex", "hooli"):
        create_contract(ContractFields(customer=key, rate_card="standard", starts_at=START), now=START)

    tell("acme", "kept", ("closed", 0), now=LATER)
    tell("acme", "second chance", ("closed", 0), ("reopened", 2), ("closed", 30), now=LATER)
    tell("acme", "never met", ("escalated", 0), now=LATER)
    tell("acme", "credited", ("closed", 0), ("reopened", 7), now=LATER)
    tell("acme", "repeated", ("closed", 0), ("reopened.later", 20), ("closed", 40), now=LATER)
    tell("acme", "corrected", ("closed", 10), now=LATER)
    tell("hooli", "only", ("closed", 5), now=LATER)
    tell("initech", "nobody pays", ("closed", 1), now=LATER)
    settle_due(LATER)
    tell("acme", "corrected", ("escalated", 9), now=LATER + HOUR)  # late evidence: reversed, begun anew
    settle_due(LATER + DAY)
    billing.run(now=FEBRUARY)
    # Once more for acme, as a person would who found something wrong: the void invoice and its successor.
    first = Invoice.objects.get(customer__key="acme")
    void(first.id, now=FEBRUARY + HOUR)
    billing.run(now=FEBRUARY + 2 * HOUR)
    # February: a draft in its grace, a window that is open, an import that holds back what was computed.
    tell("hooli", "in February", ("closed", 35 * 24), now=START + 36 * DAY)
    settle_due(START + 37 * DAY)
    held = imports.open_import(name="history", now=START + 38 * DAY)
    tell("globex", "held", ("closed", 3), ("reopened", 10), now=START + 38 * DAY, import_id=held.id)
    settle_due(START + 39 * DAY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.INVOICE_GRACE_HOURS", 72)
        billing.run(now=MARCH)
    hold_and_dispute()
    standing = Invoice.objects.get(customer__key="acme", status=Status.ISSUED)
    goodwill(Goodwill(standing.id, "a slow answer", Decimal("1.00")), now=MARCH, by="maria")
    tell("acme", "now", ("closed", 59 * 24 - 1), now=MARCH)
    tell("acme", "not yet", ("escalated", 59 * 24 - 1), now=MARCH)
    keyless = {"id": "keyless", "type": "closed", "customer": "acme", "time": MARCH - 2 * HOUR, "data": {}}
    send([keyless], now=MARCH)
    evaluate_waiting(MARCH)
    send([keyless | {"id": "unknown", "customer": "nobody"}], now=MARCH)
    waiting = {"id": "waits", "type": "closed", "customer": "hooli", "time": MARCH, "data": {"ticket": "waits"}}
    send([waiting], now=MARCH)
    at_stripe()
    told()


def told() -> None:
    """What staff did, in the audit trail."""
    maria = User.objects.create_user("maria")
    for message in ("first", "second", "third"):
        LogEntry.objects.create(user=maria, object_repr="an invoice", action_flag=CHANGE, change_message=message)


def hold_and_dispute() -> None:
    """A hold that was released, one that stands over what is due, and disputes that ended in every way and one that has
    not.
    """
    put_customer("umbrella", CustomerFields("USD", "Umbrella"), now=START)
    tell("umbrella", "released", ("closed", 30 * 24), now=START + 31 * DAY)
    release(
        place(Target(condition="quiet"), reason="a slip", by="maria", now=START + 31 * DAY).pk, by="maria",
        now=START + 31 * DAY,
    )  # fmt: skip
    released = place(Target(customer="umbrella"), reason="audit of theirs", by="maria", now=START + 31 * DAY)
    settle_due(START + 32 * DAY)
    release(released.pk, by="maria", now=START + 33 * DAY)
    settle_due(START + 34 * DAY)
    tell("umbrella", "still held", ("closed", 35 * 24), now=START + 36 * DAY)
    place(Target(outcome=by_ticket("still held").pk), reason="a question", by="maria", now=START + 36 * DAY)
    for ticket, decision in (("upheld", "upheld"), ("rejected", "rejected"), ("disputed", "")):
        tell("umbrella", ticket, ("closed", 40 * 24), now=START + 41 * DAY)
        settle_due(START + 42 * DAY)
        dispute = raise_dispute(by_ticket(ticket).pk, reason="no", by="customer", now=START + 43 * DAY)
        if decision:
            resolve(dispute.pk, decision, note="looked into it", by="maria", now=START + 44 * DAY)


def at_stripe() -> None:
    """Some invoices are at Stripe as well, as they are here."""
    for number, invoice in enumerate(Invoice.objects.exclude(status=Status.DRAFT).order_by("number")):
        due = invoice.total_minor - credit.applied_to([invoice.id]).get(invoice.id, 0)
        stands = StripeInvoice.Status.OPEN if invoice.status == Status.ISSUED else StripeInvoice.Status.VOID
        StripeInvoice.objects.create(
            invoice=invoice, account="acct_1", livemode=False, stripe_id=f"in_{number}", status=stands,
            collection_method="send_invoice", total=invoice.total_minor, amount_due=due, amount_remaining=due,
            seen_at=NOW,
        )  # fmt: skip


def by_ticket(ticket: str) -> Outcome:
    return Outcome.objects.get(subject__key=ticket, condition__slug="solved")


def check_made() -> None:
    """The scenario is as rich as the injections need it."""
    states = set(Outcome.objects.values_list("state", flat=True))
    assert states >= {"open", "provisional", "confirmed", "reversed", "void", "missed"}, states
    assert Outcome.objects.filter(queue__isnull=False).exists()
    statuses = sorted(Invoice.objects.values_list("status", flat=True))
    assert statuses == [Status.DRAFT, Status.ISSUED, Status.ISSUED, Status.VOID]
    assert InboxItem.objects.count() == 2
