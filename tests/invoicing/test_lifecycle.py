"""Issue, void, pay; and that the database refuses what the code never does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from access.errors import ApiError
from invoicing import billing, queries
from invoicing.content import content_hash, content_of
from invoicing.issue import due_at, issue
from invoicing.models import Invoice, LineOutcome
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.refusals import actions_of
from invoicing.void import void
from outcomes.models import Outcome
from tests.invoicing.conftest import World
from tests.invoicing.deals import sound

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)
LATER = datetime(2026, 4, 9, tzinfo=UTC)


@pytest.fixture
def issued(world: World) -> Invoice:
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


@pytest.fixture
def draft(world: World, settings: Any) -> Invoice:
    settings.INVOICE_GRACE_HOURS = 48
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 2, MARCH)
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


def test_what_each_state_allows(draft: Invoice) -> None:
    """State, action, and the state it leads to; None where it is refused."""
    actions = (issue, mark_paid, mark_uncollectible, void)
    table = {
        state: dict(zip(actions, leads_to, strict=True))
        for state, leads_to in {
            "draft": ("issued", None, None, None),
            "issued": (None, "paid", "uncollectible", "void"),
            "uncollectible": (None, "paid", None, "void"),
            "paid": (None, None, None, None),
            "void": (None, None, None, None),
        }.items()
    }
    way = {
        "draft": (), "issued": (issue,), "uncollectible": (issue, mark_uncollectible), "paid": (issue, mark_paid),
        "void": (issue, void),
    }  # fmt: skip
    for state, row in table.items():
        for action, leads_to in row.items():
            point = transaction.savepoint()
            for step in way[state]:
                step(draft.id, now=LATER)
            if leads_to is None:
                assert action.__name__ not in actions_of(Invoice.objects.get())
                with pytest.raises(ApiError) as refused:
                    action(draft.id, now=LATER)
                assert refused.value.status_code == 409
                assert Invoice.objects.get().status == state
            else:
                assert action.__name__ in actions_of(Invoice.objects.get())
                assert action(draft.id, now=LATER).status == leads_to == Invoice.objects.get().status
            transaction.savepoint_rollback(point)


def test_issuing_brings_the_draft_up_to_date(draft: Invoice, world: World) -> None:
    first = Outcome.objects.order_by("id")[0]
    Outcome.objects.filter(pk=first.pk).update(state="reversed")
    invoice = issue(draft.id, now=LATER)
    assert (invoice.total_minor, invoice.number, invoice.issued_at) == (200, "HF-000001", LATER)
    assert invoice.content_hash == content_hash(Invoice.objects.get())


def test_an_empty_draft_is_not_issued(draft: Invoice) -> None:
    Outcome.objects.update(state="reversed")
    with pytest.raises(ApiError) as refused:
        issue(draft.id, now=LATER)
    assert refused.value.code == "nothing_to_bill"
    assert Invoice.objects.get().lines.count() == 1


def test_a_void_invoice_is_billed_again(issued: Invoice) -> None:
    void(issued.id, now=LATER)
    assert queries.unbilled_reasons(Outcome.objects.values_list("pk", flat=True)) == dict.fromkeys(
        Outcome.objects.values_list("pk", flat=True), "period_open"
    )
    billing.run(now=LATER)
    gone, again = Invoice.objects.order_by("number")
    assert (gone.status, gone.number, gone.total_minor) == ("void", "HF-000001", 400)
    assert (again.status, again.number, again.total_minor) == ("issued", "HF-000002", 400)
    assert gone.content_hash == content_hash(gone)
    assert LineOutcome.objects.filter(live=True).count() == 2 and LineOutcome.objects.count() == 4


def test_paying(issued: Invoice) -> None:
    assert mark_paid(issued.id, now=LATER).paid_at == LATER


def test_due_days_are_calendar_days_where_the_customer_is() -> None:
    # 1 March 00:00 in New York is 05:00 UTC; thirty days later, after the change of clocks, midnight is 04:00 UTC.
    assert due_at(datetime(2026, 3, 1, 5, tzinfo=UTC), 30, "America/New_York") == datetime(2026, 3, 31, 4, tzinfo=UTC)


FORBIDDEN = {
    "total": "UPDATE invoicing_invoice SET total_minor = 1",
    "number": "UPDATE invoicing_invoice SET number = 'HF-9'",
    "hash": "UPDATE invoicing_invoice SET content_hash = repeat('0', 64)",
    "parties": "UPDATE invoicing_invoice SET parties = '{}'",
    "due": "UPDATE invoicing_invoice SET due_at = now()",
    "back to draft": """
        UPDATE invoicing_invoice SET status = 'draft', number = NULL, issued_at = NULL, content_hash = ''""",
    "delete": "DELETE FROM invoicing_invoice",
    "line amount": "UPDATE invoicing_invoiceline SET amount_minor = 1",
    "line title": "UPDATE invoicing_invoiceline SET title = 'x'",
    "delete line": "DELETE FROM invoicing_invoiceline",
    "add line": """
        INSERT INTO invoicing_invoiceline SELECT (jsonb_populate_record(l, jsonb_build_object(
            'id', gen_random_uuid(), 'position', 99))).* FROM invoicing_invoiceline l LIMIT 1""",
    "release": "UPDATE invoicing_lineoutcome SET live = false",
    "swap outcome": "UPDATE invoicing_lineoutcome SET outcome_id = gen_random_uuid()",
    "delete outcome": "DELETE FROM invoicing_lineoutcome",
    "add outcome": """
        INSERT INTO invoicing_lineoutcome (line_id, outcome_id, live)
        SELECT line_id, gen_random_uuid(), true FROM invoicing_lineoutcome LIMIT 1""",
    "truncate invoices": "TRUNCATE invoicing_invoice CASCADE",
    "truncate outcomes": "TRUNCATE invoicing_lineoutcome",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_database_refuses_to_change_an_issued_invoice(issued: Invoice, statement: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        # Deferred checks first, so that what is raised is the guard of this statement.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)
    issued.refresh_from_db()
    assert issued.content_hash == content_hash(issued)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_invoice SET status = 'issued', voided_at = NULL",
        "UPDATE invoicing_lineoutcome SET live = true",
        "UPDATE invoicing_invoice SET total_minor = 1",
    ],
)
def test_a_void_invoice_stays_void(issued: Invoice, statement: str) -> None:
    void(issued.id, now=LATER)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_hash_covers_every_part(issued: Invoice) -> None:
    """Past the guards (as a superuser could go), a change of anything frozen is found by the hash."""
    tampering = [
        "UPDATE invoicing_invoice SET total_minor = total_minor + 1, subtotal_minor = subtotal_minor + 1",
        "UPDATE invoicing_invoice SET due_at = due_at + interval '1 day'",
        "UPDATE invoicing_invoice SET parties = jsonb_set(parties, '{customer,name}', '\"Mallory\"')",
        "UPDATE invoicing_invoiceline SET quantity = quantity + 1",
        "UPDATE invoicing_invoiceline SET sentence = sentence || '!'",
        "UPDATE invoicing_invoiceline SET steps = '[]'",
        """UPDATE invoicing_lineoutcome SET outcome_id = gen_random_uuid()
           WHERE id = (SELECT min(id) FROM invoicing_lineoutcome)""",
    ]
    for statement in tampering:
        point = transaction.savepoint()
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(statement)
            cursor.execute("SET session_replication_role = origin")
        issued.refresh_from_db()
        assert issued.content_hash != content_hash(issued), statement
        transaction.savepoint_rollback(point)
    issued.refresh_from_db()
    assert issued.content_hash == content_hash(issued)


def test_the_content_does_not_depend_on_status(issued: Invoice) -> None:
    mark_paid(issued.id, now=LATER + timedelta(days=1))
    issued.refresh_from_db()
    assert issued.content_hash == content_hash(issued)


def test_what_was_issued_in_the_first_format_keeps_its_hash_and_is_audited_as_it_was(world: World) -> None:
    """Its lines were each rounded by themselves, and its steps had no kinds."""
    acme = world.customer()
    world.contract(acme, overrides={"*": "0.5"}, currency="JPY")
    for priority in ("high", "low"):
        world.outcome(acme, MARCH, priority=priority)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    # By the price 1 yen on one line and none on the other; 0.5 of each alone are 1 yen each.
    assert sorted(invoice.lines.values_list("amount_minor", flat=True)) == [0, 1]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        old = [{"quantity": "1", "unit_price": "0.5", "amount": "0.5"}]
        invoice.lines.update(amount_minor=1, steps=old)
        Invoice.objects.update(content_format=1, terms=[], total_minor=2, subtotal_minor=2)
        invoice.refresh_from_db()
        assert {"kind", "details", "terms"}.isdisjoint({*content_of(invoice), *content_of(invoice)["lines"][0]})
        Invoice.objects.update(content_hash=content_hash(invoice))
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    sound(APRIL_1)
    # What comes late for it is the difference to it: 3 x 0.5 are 2 yen.
    world.outcome(acme, MARCH, priority="high")
    world.outcome(acme, APRIL_1, priority="low")
    billing.run(now=datetime(2026, 5, 1, tzinfo=UTC))
    later = Invoice.objects.get(number="HF-000002")
    assert list(later.lines.order_by("position").values_list("amount_minor", flat=True)) == [1, 0]
    sound(datetime(2026, 5, 1, tzinfo=UTC))
