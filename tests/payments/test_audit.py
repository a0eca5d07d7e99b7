# ruff: noqa: E501 -- corruptions read better one to a row
"""The audit finds what is wrong between our rows and what was seen at Stripe, and nothing where nothing is."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from access.invariants import Findings, Scope, check
from contracts.models import Customer
from invoicing.payment import mark_paid
from payments import units
from payments.audit import INVARIANTS, in_stripes_units
from payments.errors import Refused
from payments.models import Operation, StripeInvoice
from payments.operations import skip
from tests.payments.conftest import Stripe
from tests.payments.test_events import opened


def audit(stripe: Stripe, **scope: Any) -> Findings:
    [result] = check(INVARIANTS, Scope(now=stripe.now, **scope))
    assert result.error == ""
    return result.findings


def problems(stripe: Stripe, **scope: Any) -> list[str]:
    return [str(row["problem"]) for row in audit(stripe, **scope).violation_rows]


def warnings(stripe: Stripe) -> list[str]:
    return [str(row["problem"]) for row in audit(stripe).warning_rows]


@pytest.fixture
def synced(stripe: Stripe, acme: Customer) -> Stripe:
    """An invoice in each state, with all of it made so at Stripe."""
    made = opened(stripe, acme, "1.00", "2.00", "3.00", "4.00")
    from invoicing.payment import mark_uncollectible
    from invoicing.void import void

    mark_paid(made[0][0].id, now=stripe.now)
    mark_uncollectible(made[1][0].id, now=stripe.now)
    void(made[2][0].id, now=stripe.now)
    stripe.sync()
    found = audit(stripe)
    assert (found.checked, found.violation_rows, found.warning_rows) == (4, [], [])
    return stripe


SEEN = "UPDATE payments_stripeinvoice SET {} WHERE status = '{}'"
# A credit note over 200 of what is open, and what of it is at Stripe.
NOTE = (
    "INSERT INTO invoicing_creditnote SELECT (jsonb_populate_record(NULL::invoicing_creditnote, jsonb_build_object("
    "'id', gen_random_uuid(), 'customer_id', i.customer_id, 'kind', 'goodwill', 'status', 'issued', 'number', 'CN-1', 'currency', 'USD', 'time_zone', 'UTC', "
    "'reason', 'x', 'destination', 'next_invoice', 'parties', jsonb_build_object(), 'terms', jsonb_build_array(), 'taxes', jsonb_build_array(), 'subtotal_minor', 200, "
    "'tax_minor', 0, 'total_minor', 200, 'content_format', 1, 'content_hash', repeat('0', 64), 'created_by', '', 'created_at', now(), 'refreshed_at', now(), "
    "'issued_at', now()))).* FROM invoicing_invoice i WHERE i.status = 'issued'",
    "INSERT INTO invoicing_creditallocation (credit_note_id, invoice_id, net_minor, tax_minor, total_minor) "
    "SELECT n.id, i.id, 200, 0, 200 FROM invoicing_creditnote n, invoicing_invoice i WHERE i.status = 'issued'",
)
CREDIT = (
    "INSERT INTO payments_stripecredit (allocation_id, stripe_id, account, livemode, amount, before_payment, to_balance, refunded, outside, refund_id, refund_status, advice, mismatch, created_at) "
    "SELECT a.id, 'cn_1', s.account, s.livemode, 200, 200, 0, 0, 0, '', '', '', '', now() FROM invoicing_creditallocation a JOIN payments_stripeinvoice s ON s.invoice_id = a.invoice_id",
)
CORRUPTIONS: list[tuple[str, ...]] = [
    ("a total raised", "the total is 101 at Stripe and 100 here", SEEN.format("total = total + 1", "paid")),
    ("an invoice's total raised", "the total is 300 at Stripe and 999 here", "UPDATE invoicing_invoice SET total_minor = 999, subtotal_minor = 999 WHERE status = 'void'"),
    ("open and paid here", "it is open at Stripe and paid here", SEEN.format("status = 'open'", "paid")),
    ("paid and open here", "it is paid at Stripe and issued here", SEEN.format("status = 'paid', amount_paid = 400, amount_remaining = 0", "open")),
    ("void and given up here", "it is void at Stripe and uncollectible here", SEEN.format("status = 'void'", "uncollectible")),
    ("open and void here", "it is open at Stripe and void here", SEEN.format("status = 'open'", "void")),
    ("a draft again", "it is a draft at Stripe, and nothing is left", SEEN.format("status = 'draft'", "uncollectible")),
    ("deleted", "its draft was deleted at Stripe", SEEN.format("status = 'deleted'", "uncollectible")),
    ("less to be paid", "300 are to be paid at Stripe and 400 here", SEEN.format("amount_remaining = 300", "open")),
    ("less to be paid of one that is given up", "0 are to be paid at Stripe and 200 here", SEEN.format("amount_remaining = 0", "uncollectible")),
    ("less paid", "99 were paid at Stripe and 100 were due here", SEEN.format("amount_paid = 99", "paid")),
    ("paid and something left", "100 were paid at Stripe and 100 were due", SEEN.format("amount_remaining = 1", "paid")),
    ("carried by nobody", "100 were paid at Stripe and 60 were due", SEEN.format("carried = 40", "paid")),
    ("taken from nobody", "200 are to be paid at Stripe and 240 here", SEEN.format("taken = 40", "uncollectible")),
    ("forgotten", "nothing is known of it at Stripe", "DELETE FROM payments_stripeinvoice WHERE status = 'paid'"),
    ("in live mode", "a test customer's invoice is in live mode",
     "UPDATE payments_stripeinvoice SET livemode = true", "UPDATE contracts_customer SET test_clock_id = gen_random_uuid()"),
    ("never noted", "nothing makes it known to Stripe",
     "DELETE FROM payments_operation", "UPDATE payments_connection SET connected_at = '2020-01-01'"),
    ("a credit note over more", "corrects the invoice by 250 at Stripe and by 200 here", *NOTE, *CREDIT,
     "UPDATE payments_stripecredit SET amount = 250, before_payment = 250"),
    ("parts that do not come to it", "the parts of a credit note at Stripe do not come to it", *NOTE, *CREDIT,
     "ALTER TABLE payments_stripecredit DROP CONSTRAINT stripe_credit_goes_somewhere", "UPDATE payments_stripecredit SET before_payment = 100"),
    ("a credit note elsewhere", "a credit note and its invoice are in two accounts", *NOTE, *CREDIT,
     "UPDATE payments_stripecredit SET account = 'acct_of_another'"),
    ("a credit note that is a draft", "a credit note that is a draft is at Stripe", *NOTE, *CREDIT,
     "ALTER TABLE invoicing_creditnote DROP CONSTRAINT credit_note_issued_has_number_and_hash", "UPDATE invoicing_creditnote SET status = 'draft'"),
]  # fmt: skip


@contextmanager
def corrupted(*statements: str) -> Iterator[None]:
    """Within it the tables say so, past triggers and foreign keys."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement)
            assert cursor.rowcount != 0, statement
        yield
        transaction.set_rollback(True)


def test_each_corruption_is_found(synced: Stripe, acme: Customer) -> None:
    passed_over = []
    for name, problem, *statements in CORRUPTIONS:
        with corrupted(*statements):
            found = problems(synced)
            if not any(problem in one for one in found):
                passed_over.append((name, found))
            assert problems(synced, customer=acme.id) == found, name
            assert problems(synced, customer=acme.id + 1) == [], name
    assert passed_over == []
    assert problems(synced) == []


def test_a_credit_note_that_is_as_ours(synced: Stripe) -> None:
    with corrupted(*NOTE, *CREDIT):
        assert problems(synced) == []


def test_while_something_is_to_be_made_so_only_totals_count(synced: Stripe, acme: Customer) -> None:
    synced.issue(acme, "9.00")
    StripeInvoice.objects.filter(status="paid").update(status="open")
    assert problems(synced) == []
    StripeInvoice.objects.filter(status="open").update(total=1)
    assert len(problems(synced)) == 2


def test_what_a_person_decided_is_late_and_not_wrong(synced: Stripe) -> None:
    seen = StripeInvoice.objects.get(status="open")
    mark_paid(seen.invoice_id, now=synced.now)
    skip(Operation.objects.get(finished_at=None).id, reason="by hand", now=synced.now, by="anna")
    assert problems(synced) == []
    assert warnings(synced) == ["an operation was skipped, and it is open at Stripe and paid here"]


LATE = [
    ("not made so at Stripe for more than a day (waiting)",
     "UPDATE payments_operation SET status = 'waiting', finished_at = NULL, created_at = now() - interval '2 days' WHERE kind = 'void'"),
    ("whether a call to Stripe was made is unknown for more than a day",
     "UPDATE payments_operation SET status = 'waiting', finished_at = NULL WHERE kind = 'void'",
     "UPDATE payments_step SET result = NULL, begun_at = now() - interval '2 days' WHERE name = 'void'"),
    ("it is open at Stripe and was not looked at for more than an hour", "UPDATE payments_stripeinvoice SET seen_at = now() - interval '2 hours' WHERE status = 'open'"),
    ("Stripe's is not as ours: it differs", "UPDATE payments_stripeinvoice SET mismatch = 'it differs' WHERE status = 'paid'"),
]  # fmt: skip


def test_what_is_late_is_told(synced: Stripe) -> None:
    for problem, *statements in LATE:
        with corrupted(*statements):
            assert problem in warnings(synced)
            assert problems(synced) == []


def test_webhooks_and_findings_are_told(synced: Stripe) -> None:
    from payments.models import StripeEvent
    from payments.reconciliation import reconcile

    kept = {"account": "acct_1", "livemode": False, "type": "invoice.paid", "payload": {}, "occurred_at": synced.now}
    old = synced.now - timedelta(hours=2)
    for number, state in enumerate(("failed", "waiting", "done")):
        StripeEvent.objects.create(
            event_id=f"evt_{number}", status=state, reason="x", received_at=old, next_attempt_at=old, **kept
        )
    synced.server.dashboard().void(StripeInvoice.objects.get(status="open").stripe_id)
    reconcile(lambda: synced.now)
    assert [one.split(":")[0] for one in warnings(synced)] == [
        "Stripe's is not as ours",
        "a webhook of Stripe's was given up",
        "a webhook of Stripe's waits for more than an hour",
        "the reconciliation found",
    ]
    # Both sides differ, whoever knows of it.
    assert problems(synced) == ["it is void at Stripe and issued here"]


def test_amounts_are_in_stripes_units(stripe: Stripe) -> None:
    """The SQL says what `units` says, of every currency."""
    from contracts.domain import money

    for currency in sorted(money.EXPONENTS):
        try:
            expected = units.to_stripe(12_300, currency)
        except Refused:
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {in_stripes_units('12300', '%s::text')}".replace("%s::text", f"'{currency}'"))
            assert (currency, cursor.fetchone()[0]) == (currency, expected)
