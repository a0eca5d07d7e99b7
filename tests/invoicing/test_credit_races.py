"""Credit given out by two at once, on real connections: never more than there is."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from access.invariants import Scope, check
from invoicing import audit_credit, billing, credit
from invoicing.credit_notes import Goodwill, goodwill, issue, refund
from invoicing.issue import issue as issue_invoice
from invoicing.models import CreditApplication, CreditNote, Invoice
from invoicing.payment import mark_paid
from invoicing.void import void
from tests.invoicing.conftest import World
from tests.invoicing.test_parallel import at_once

MARCH, IN_APRIL, IN_MAY = (datetime(2026, month, 10, tzinfo=UTC) for month in (3, 4, 5))
APRIL_1, JUNE_1 = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def issued(committed_world: World) -> Invoice:
    """10 tickets in March: 20.00."""
    acme = committed_world.customer()
    committed_world.contract(acme)
    committed_world.outcomes(acme, 10, MARCH)
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


def give(invoice: Invoice, amount: str, **fields: Any) -> CreditNote:
    return goodwill(Goodwill(invoice.id, "r", Decimal(amount), **fields), now=APRIL_1, by="Ann")


def codes(*calls: Callable[[], Any]) -> list[str]:
    """What was refused of the calls, made at once: codes in order, "" for what was done."""
    results = at_once(*calls)
    assert all(not isinstance(result, Exception) or hasattr(result, "code") for result in results), results
    [result] = check(audit_credit.INVARIANTS, Scope(now=JUNE_1, sample=None))
    assert (result.findings.violation_rows, result.error) == ([], "")
    return sorted(getattr(result, "code", "") for result in results)


def test_two_goodwills_against_what_is_left(issued: Invoice) -> None:
    give_most = [lambda: give(issued, "8.00")] * 4
    assert codes(*give_most) == ["", "", "exceeds_left_to_credit", "exceeds_left_to_credit"]
    assert credit.left_to_credit([issued.pk])[issued.pk].gross == credit.due_minor(issued) == 400
    assert sorted(CreditNote.objects.values_list("number", flat=True)) == ["CN-000001", "CN-000002"]


def test_two_refunds_of_one_note(issued: Invoice) -> None:
    mark_paid(issued.id, now=APRIL_1)
    note = give(issued, "5.00")
    refunds = [lambda: refund(note.id, Decimal("3.00"), "wire", now=APRIL_1, by="Ann")] * 3
    assert codes(*refunds) == ["", "exceeds_remaining_credit", "exceeds_remaining_credit"]
    everything = [lambda: refund(note.id, None, "wire", now=APRIL_1, by="Ann")] * 2
    assert codes(*everything) == ["", "no_credit_left"]
    assert sum(CreditApplication.objects.values_list("amount_minor", flat=True)) == 500


def test_two_people_approve_one_note(issued: Invoice) -> None:
    draft = give(issued, "5.00", issue=False)
    approve = [lambda: issue(draft.id, now=APRIL_1, by="Ben")] * 3
    assert codes(*approve) == ["", "credit_note_not_draft", "credit_note_not_draft"]
    assert (CreditNote.objects.get().number, credit.due_minor(issued)) == ("CN-000001", 1500)


def test_two_invoices_are_issued_with_one_credit(issued: Invoice, committed_world: World, settings: Any) -> None:
    """While it is paid back, too."""
    mark_paid(issued.id, now=APRIL_1)
    note = give(issued, "6.00")
    acme = issued.customer
    committed_world.outcomes(acme, 2, IN_APRIL)
    committed_world.outcomes(acme, 2, IN_MAY)
    settings.INVOICE_GRACE_HOURS = 24 * 365
    drafts = billing.run(now=JUNE_1).drafted
    assert len(drafts) == 2
    done = codes(
        *[lambda draft=draft: issue_invoice(draft, now=JUNE_1) for draft in drafts],
        lambda: refund(note.id, Decimal("3.00"), "wire", now=JUNE_1, by="Ann"),
    )
    given = sum(CreditApplication.objects.values_list("amount_minor", flat=True))
    # Each invoice is 4.00, and what comes first is served: the refund finds enough, or not any more.
    assert done in (["", "", ""], ["", "", "exceeds_remaining_credit"], ["", "", "no_credit_left"])
    assert given == 600
    assert credit.free_credit(acme.id, "USD") == 0


def test_credit_or_void(issued: Invoice) -> None:
    """Of goodwill on an invoice and voiding it, one comes too late."""
    done = codes(lambda: give(issued, "1.00"), lambda: void(issued.id, now=APRIL_1))
    assert done in (["", "invoice_not_creditable"], ["", "invoice_credited"])


def test_notes_of_different_customers_share_the_series(committed_world: World) -> None:
    for number in range(8):
        customer = committed_world.customer(f"customer-{number}")
        committed_world.contract(customer)
        committed_world.outcome(customer, MARCH)
    billing.run(now=APRIL_1)
    invoices = list(Invoice.objects.all())
    assert codes(*[lambda invoice=invoice: give(invoice, "0.50") for invoice in invoices]) == [""] * 8
    assert sorted(CreditNote.objects.values_list("number", flat=True)) == [f"CN-{n:06d}" for n in range(1, 9)]
