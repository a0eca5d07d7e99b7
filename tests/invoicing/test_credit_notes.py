"""Credit notes: issued documents that never change, and where their credit goes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import RestrictViolation

from access import ids
from access.errors import ApiError
from access.invariants import Scope, check
from contracts.clocks import create_clock
from invoicing import audit_credit, billing, credit, queries
from invoicing.content import content_hash, content_of, note_hashes
from invoicing.credit_notes import Goodwill, discard, goodwill, issue, refund
from invoicing.domain.goodwill import share_of
from invoicing.models import CreditApplication, CreditNote, Invoice, InvoiceLine, LineOutcome, LineReversal
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.void import void
from tests.invoicing.conftest import World
from tests.invoicing.notes import automatic, late, undo, vat

MARCH, IN_APRIL, IN_MAY = (datetime(2026, month, 10, tzinfo=UTC) for month in (3, 4, 5))
APRIL_1, MAY_1, JUNE_1 = (datetime(2026, month, 1, tzinfo=UTC) for month in (4, 5, 6))
LATER = datetime(2026, 4, 9, tzinfo=UTC)


@pytest.fixture
def issued(world: World) -> Invoice:
    """10 tickets in March: 20.00."""
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 10, MARCH)
    billing.run(now=APRIL_1)
    return Invoice.objects.get()


def give(invoice: Invoice, amount: str, **fields: Any) -> CreditNote:
    return goodwill(Goodwill(invoice.id, "a slow answer", Decimal(amount), **fields), now=LATER, by="Ann")


def again(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


def due(invoice: Invoice) -> int:
    return credit.due_minor(again(invoice))


def went(note: CreditNote) -> list[tuple[str, int, bool]]:
    """Where credit went: the invoice's number or "refund", how much, live or not."""
    rows = CreditApplication.objects.filter(credit_note=note).select_related("invoice").order_by("id")
    return [(row.invoice.number or "" if row.invoice else "refund", row.amount_minor, row.live) for row in rows]


def sound() -> None:
    """What is audited of credit holds, and every note has the hash it was issued with."""
    for result in check(audit_credit.INVARIANTS, Scope(now=JUNE_1, sample=None)):
        assert (result.findings.violation_rows, result.error) == ([], "")
    notes = list(CreditNote.objects.filter(status="issued"))
    assert note_hashes(notes) == {note.id: note.content_hash for note in notes}
    assert all(content_hash(note) == note.content_hash for note in notes)


# --- Where credit goes ------------------------------------------------------------------------------------------------


def test_an_open_invoice_takes_the_credit_of_what_corrects_it(issued: Invoice) -> None:
    note = automatic(undo(3), now=LATER)
    assert (note.number, note.status, note.issued_at, note.total_minor) == ("CN-000001", "issued", LATER, 600)
    assert went(note) == [("HF-000001", 600, True)]
    assert (due(issued), credit.remaining([note.pk])) == (1400, {note.pk: 0})
    assert again(issued).status == "issued"
    rest = automatic(undo(7), now=LATER + timedelta(days=1))
    assert went(rest) == [("HF-000001", 1400, True)]
    paid = again(issued)
    assert (paid.status, paid.paid_at, due(paid)) == ("paid", LATER + timedelta(days=1), 0)
    assert paid.content_hash == content_hash(paid)
    sound()


def test_credit_of_a_paid_invoice_waits_for_the_next_invoices(issued: Invoice, world: World) -> None:
    mark_paid(issued.id, now=LATER)
    note = automatic(undo(4), now=LATER)
    other = give(issued, "1.50")
    assert went(note) == went(other) == []
    acme = issued.customer
    assert (credit.free_credit(acme.id, "USD"), credit.free_credit(acme.id, "EUR")) == (950, 0)
    world.outcomes(acme, 3, IN_APRIL)
    world.outcomes(acme, 3, IN_MAY)
    billing.run(now=JUNE_1)
    april, may = Invoice.objects.exclude(pk=issued.pk).order_by("period_start")
    assert april.credits == [{"credit_note": credit.public_id(note), "number": "CN-000001", "amount_minor": 600}]
    assert (april.status, april.paid_at, april.total_minor, due(april)) == ("paid", JUNE_1, 600, 0)
    assert [one["amount_minor"] for one in may.credits] == [200, 150]
    assert (may.status, due(may)) == ("issued", 250)
    assert went(note) == [(april.number, 600, True), (may.number, 200, True)]
    assert went(other) == [(may.number, 150, True)]
    assert content_of(may)["credits"] == may.credits and may.content_hash == content_hash(may)
    assert credit.free_credit(acme.id, "USD") == 0
    sound()


def test_only_the_invoices_that_a_note_corrects_take_it_at_once(issued: Invoice, world: World) -> None:
    """Three invoices: one paid, and two open; each takes what it is corrected by, and not more than is due."""
    give(issued, "3.00")
    world.outcomes(issued.customer, 2, IN_APRIL)
    world.outcomes(issued.customer, 2, IN_MAY)
    mark_paid(issued.id, now=LATER)
    waits = give(issued, "2.50")
    billing.run(now=JUNE_1)
    april, may = Invoice.objects.exclude(pk=issued.pk).order_by("period_start")
    assert (went(waits), due(april), due(may)) == ([("HF-000002", 250, True)], 150, 400)
    note = automatic(undo(1, april), now=JUNE_1)
    assert went(note) == [("HF-000002", 150, True)], "no more was due; the rest is free"
    assert (again(april).status, due(may), credit.remaining([note.pk])) == ("paid", 400, {note.pk: 50})
    sound()


def test_credit_to_be_paid_back_waits_for_that(issued: Invoice, world: World) -> None:
    mark_paid(issued.id, now=LATER)
    note = automatic(undo(4), now=LATER, destination="refund")
    world.outcomes(issued.customer, 3, IN_APRIL)
    billing.run(now=MAY_1)
    assert Invoice.objects.get(number="HF-000002").credits == [] and credit.free_credit(issued.customer_id, "USD") == 0
    refund(note.id, Decimal("5.00"), "wire 17", now=MAY_1, by="Ann")
    with pytest.raises(ApiError) as refused:
        refund(note.id, Decimal("3.01"), "wire 18", now=MAY_1, by="Ann")
    assert (refused.value.code, "3.00 USD" in refused.value.message) == ("exceeds_remaining_credit", True)
    refund(note.id, None, "wire 18", now=MAY_1, by="Ben")
    assert went(note) == [("refund", 500, True), ("refund", 300, True)]
    assert list(note.applications.values_list("reference", "made_by")) == [("wire 17", "Ann"), ("wire 18", "Ben")]
    with pytest.raises(ApiError) as refused:
        refund(note.id, None, "wire 19", now=MAY_1, by="Ben")
    assert refused.value.code == "no_credit_left"
    sound()


@pytest.mark.parametrize("credits", ["next_invoice", "refund"])
def test_goodwill_goes_where_the_contract_says(world: World, credits: str) -> None:
    acme = world.customer()
    world.contract(acme, credits=credits)
    world.outcomes(acme, 1, MARCH)
    billing.run(now=APRIL_1)
    assert give(Invoice.objects.get(), "1.00").destination == credits


def test_an_invoice_that_comes_to_nothing_is_paid_at_once(world: World) -> None:
    acme = world.customer()
    world.contract(acme, overrides={"high": "0"})
    world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    assert (invoice.status, invoice.paid_at, invoice.total_minor) == ("paid", APRIL_1, 0)
    sound()


def test_an_uncollectible_invoice_is_still_owed(issued: Invoice) -> None:
    mark_uncollectible(issued.id, now=LATER)
    assert (again(issued).uncollectible_at, due(issued)) == (LATER, 2000)
    note = give(issued, "20.00")
    assert went(note) == [("HF-000001", 2000, True)]
    assert (again(issued).status, again(issued).uncollectible_at) == ("paid", LATER)
    sound()


def test_a_test_customers_notes_are_numbered_apart(world: World) -> None:
    for key in ("acme", "test"):
        clock = create_clock(now=MAY_1, wall=MAY_1) if key == "test" else None
        customer = world.customer(key, test_clock=clock)
        world.contract(customer)
        world.outcomes(customer, 2, MARCH)
    billing.run(now=APRIL_1)
    notes = [give(invoice, "1.00") for invoice in Invoice.objects.order_by("customer")]
    assert [note.number for note in notes] == ["CN-000001", "TEST-CN-000001"]
    assert [note.issued_at for note in notes] == [LATER, MAY_1], "what its own clock shows"
    assert [note.parties["customer"].get("test", False) for note in notes] == [False, True]


# --- Goodwill ---------------------------------------------------------------------------------------------------------


def test_goodwill_in_lines_with_tax(world: World) -> None:
    acme = world.customer(address="1 Road\nTown", tax_id="DE1", locale="de")
    acme.tax_rates.set([vat("19"), vat("5.5")])
    world.contract(acme)
    world.outcomes(acme, 10, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    assert (invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor) == (2000, 490, 2490)
    lines = (("Two late answers", Decimal("4.00")), ("An outage", Decimal("0.99")))
    note = goodwill(Goodwill(invoice.id, "sorry", lines=lines), now=LATER, by="Ann")
    # 490 of 2490 of 4.99 are 0.98 (0.98196), split as 380 to 110.
    assert (note.subtotal_minor, note.tax_minor, note.total_minor) == (401, 98, 499)
    assert [(one["key"], one["amount_minor"]) for one in note.taxes] == [("vat19", 76), ("vat5.5", 22)]
    rows = note.lines.order_by("position").values_list("kind", "title", "amount_minor", "period_start")
    assert list(rows) == [
        ("goodwill", "Two late answers", -321, invoice.period_start),
        ("goodwill", "An outage", -80, invoice.period_start),
    ]
    assert note.parties == invoice.parties
    customer = {"key": "acme", "name": "Acme", "email": "", "address": "1 Road\nTown", "tax_id": "DE1", "locale": "de"}
    assert note.parties["customer"] == customer
    assert due(invoice) == 1991
    rest = give(invoice, "19.91")
    assert (rest.subtotal_minor + note.subtotal_minor, rest.tax_minor + note.tax_minor) == (2000, 490)
    assert again(invoice).status == "paid"
    sound()


def test_goodwill_where_prices_contain_the_tax(world: World) -> None:
    acme = world.customer()
    acme.tax_rates.set([vat("19", inclusive=True)])
    world.contract(acme)
    world.outcomes(acme, 10, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    assert (invoice.tax_minor, invoice.total_minor) == (319, 2000)
    note = give(invoice, "5.00")
    assert (note.subtotal_minor, note.tax_minor, note.total_minor) == (500, 80, 500)
    sound()


@given(
    st.integers(1, 10**6),
    st.lists(st.integers(0, 10**5), min_size=1, max_size=3),
    st.booleans(),
    st.lists(st.integers(1, 1000), min_size=1, max_size=8),
)
def test_parts_of_an_invoice_take_its_tax_with_them_to_the_last_unit(
    subtotal: int, rates: list[int], inclusive: bool, weights: list[int]
) -> None:
    tax = sum(rates)
    if inclusive:
        subtotal += tax
    total = left = subtotal if inclusive else subtotal + tax
    net_left, tax_left = subtotal, tax
    for index, weight in enumerate(weights):
        rest = index == len(weights) - 1
        part = left if rest else total * weight // (sum(weights) + 1)
        if not 0 < part <= left:
            with pytest.raises(ValueError):
                share_of(part, left, tax_left, rates, inclusive=inclusive)
            continue
        share = share_of(part, left, tax_left, rates, inclusive=inclusive)
        assert sum(share.by_rate) == share.tax_minor >= 0 and share.net_minor >= 0
        assert share.net_minor + (0 if inclusive else share.tax_minor) == part
        # The share of the whole, to within what rounding of the parts before left.
        assert abs(share.tax_minor * total - tax * part) <= total * (index + 1)
        left, net_left, tax_left = left - part, net_left - share.net_minor, tax_left - share.tax_minor
    if not left:
        assert (net_left, tax_left) == (0, 0)


def test_goodwill_and_corrections_share_what_is_left(issued: Invoice) -> None:
    automatic(undo(5), now=LATER)
    with pytest.raises(ApiError) as refused:
        give(issued, "10.01")
    assert (refused.value.code, "10.00 USD left" in refused.value.message) == ("exceeds_left_to_credit", True)
    draft = give(issued, "9.00", issue=False)
    assert (draft.status, draft.number, draft.created_by) == ("draft", None, "Ann")
    assert credit.left_to_credit([issued.pk]) == {issued.pk: (1000, 100)}
    assert credit.left_to_credit([issued.pk], but=draft) == {issued.pk: (1000, 1000)}
    with pytest.raises(ApiError):
        give(issued, "1.01")
    discard(draft.id)
    assert not CreditNote.objects.filter(pk=draft.pk).exists()
    give(issued, "10.00")
    assert again(issued).status == "paid"
    sound()


WRONG: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "nothing": ({"amount": Decimal(0)}, "invalid", "amount"),
    "less than nothing": ({"amount": Decimal(-1)}, "invalid", "amount"),
    "half a cent": ({"amount": Decimal("0.005")}, "invalid", "amount"),
    "beyond all money": ({"amount": Decimal(10**17)}, "invalid", "amount"),
    "a line of nothing": ({"lines": (("a", Decimal(1)), ("b", Decimal(0)))}, "invalid", "lines[1].amount"),
    "too much": ({"amount": Decimal("20.01")}, "exceeds_left_to_credit", None),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_goodwill(issued: Invoice, what: str) -> None:
    fields, code, path = WRONG[what]
    with pytest.raises(ApiError) as refused:
        goodwill(Goodwill(issued.id, "r", **fields), now=LATER, by="Ann")
    assert refused.value.code == code
    assert [detail.path for detail in refused.value.details] == ([] if path is None else [path])
    assert not CreditNote.objects.exists()


def test_what_cannot_be_credited(issued: Invoice, world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 48
    world.outcome(issued.customer, IN_APRIL)
    billing.run(now=MAY_1)
    void(issued.id, now=LATER)
    for invoice in Invoice.objects.order_by("period_start"):
        with pytest.raises(ApiError) as refused:
            give(invoice, "1.00")
        assert (refused.value.status_code, refused.value.code) == (409, "invoice_not_creditable")
    with pytest.raises(ApiError) as refused:
        goodwill(Goodwill(ids.uuid7(LATER), "r", Decimal(1)), now=LATER, by="Ann")
    assert refused.value.code == "not_found"


# --- States -----------------------------------------------------------------------------------------------------------


def test_what_each_state_of_a_note_allows(issued: Invoice) -> None:
    """Kind, state, and of issue, discard and refund the code of the refusal; None where it is done."""
    mark_paid(issued.id, now=LATER)
    table = [
        ("automatic", "draft", (None, "credit_note_not_discardable", "no_credit_left")),
        ("automatic", "issued", ("credit_note_not_draft", "credit_note_not_draft", None)),
        ("goodwill", "draft", (None, None, "no_credit_left")),
        ("goodwill", "issued", ("credit_note_not_draft", "credit_note_not_draft", None)),
    ]
    undone = undo(1)
    actions: dict[str, Callable[[CreditNote], Any]] = {
        "issue": lambda note: issue(note.id, now=LATER, by="Ben"),
        "discard": lambda note: discard(note.id),
        "refund": lambda note: refund(note.id, None, "wire", now=LATER, by="Ben"),
    }
    for kind, status, row in table:
        for (name, action), code in zip(actions.items(), row, strict=True):
            point = transaction.savepoint()
            if kind == "automatic":
                note = automatic(undone, now=LATER, issue=status == "issued")
            else:
                note = give(issued, "2.00", issue=status == "issued")
            assert (name in queries.credit_note_json(note)["available_actions"]) == (code is None)
            if code is None:
                action(note)
            else:
                with pytest.raises(ApiError) as refused:
                    action(note)
                assert (refused.value.status_code, refused.value.code) == (409, code)
            transaction.savepoint_rollback(point)


def test_who_approved_an_automatic_note_stands_on_it(issued: Invoice) -> None:
    note = automatic(undo(2), now=APRIL_1, issue=False)
    assert (went(note), due(issued)) == ([], 2000)
    done = issue(note.id, now=LATER, by="Ben")
    assert (done.created_by, done.number, done.issued_at, due(issued)) == ("Ben", "CN-000001", LATER, 1600)
    written = give(issued, "1.00", issue=False)
    assert issue(written.id, now=LATER, by="Ben").created_by == "Ann"
    for action in (issue, refund):
        with pytest.raises(ApiError) as refused:
            extra = {} if action is issue else {"amount": None, "reference": "r"}
            action(ids.uuid7(LATER), now=LATER, by="x", **extra)
        assert refused.value.code == "not_found"
    sound()


# --- Voiding ----------------------------------------------------------------------------------------------------------


def refused_void(invoice: Invoice) -> None:
    assert "void" not in queries.invoice_json(again(invoice), now=LATER)["available_actions"]
    with pytest.raises(ApiError) as refused:
        void(invoice.id, now=LATER)
    assert (refused.value.status_code, refused.value.code) == (409, "invoice_credited")


def test_a_credited_invoice_is_not_voided(issued: Invoice) -> None:
    point = transaction.savepoint()
    automatic(undo(2), now=LATER)
    refused_void(issued)
    transaction.savepoint_rollback(point)
    draft = give(issued, "1.00", issue=False)
    refused_void(issued)
    discard(draft.id)
    assert void(issued.id, now=LATER).status == "void"


def test_an_invoice_of_which_another_takes_outcomes_back_is_not_voided(issued: Invoice, world: World) -> None:
    world.outcomes(issued.customer, 2, IN_APRIL)
    (draft_id,) = billed_drafts(world)
    line = InvoiceLine.objects.get(invoice=draft_id)
    [undone] = undo(1, issued)
    LineReversal.objects.create(line=line, outcome=undone)
    refused_void(issued)
    assert void_is_offered(Invoice.objects.get(pk=draft_id)) is False, "it is a draft"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        Invoice.objects.filter(pk=draft_id).update(
            status="issued", number="HF-000002", issued_at=MAY_1, due_at=MAY_1, content_hash="0" * 64
        )
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    refused_void(issued)
    void(draft_id, now=LATER)
    assert not LineReversal.objects.get().live, "the outcome is to be taken back again"
    assert void_is_offered(issued)


def billed_drafts(world: World) -> tuple[Any, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.INVOICE_GRACE_HOURS", 72)
        return billing.run(now=MAY_1).drafted


def void_is_offered(invoice: Invoice) -> bool:
    return "void" in queries.invoice_json(again(invoice), now=LATER)["available_actions"]


def test_a_draft_that_a_run_makes_anew_goes_with_the_void_invoice(issued: Invoice) -> None:
    automatic(undo(2), now=LATER, issue=False)
    assert void_is_offered(issued)
    void(issued.id, now=LATER)
    assert not CreditNote.objects.exists() and not LineReversal.objects.exists()


def test_voiding_frees_the_credit_that_was_taken_off(issued: Invoice, world: World) -> None:
    mark_paid(issued.id, now=LATER)
    note = automatic(undo(1), now=LATER)
    world.outcomes(issued.customer, 2, IN_APRIL)
    billing.run(now=MAY_1)
    april = Invoice.objects.get(number="HF-000002")
    assert due(april) == 200
    void(april.id, now=MAY_1)
    assert went(note) == [("HF-000002", 200, False)] and credit.free_credit(issued.customer_id, "USD") == 200
    billing.run(now=MAY_1)
    assert went(note)[1:] == [("HF-000003", 200, True)]
    gone = again(april)
    assert gone.credits == Invoice.objects.get(number="HF-000003").credits and gone.content_hash == content_hash(gone)
    sound()


# --- What never changes -----------------------------------------------------------------------------------------------

FORBIDDEN = {
    "total": "UPDATE invoicing_creditnote SET total_minor = 1",
    "number": "UPDATE invoicing_creditnote SET number = 'CN-9'",
    "reason": "UPDATE invoicing_creditnote SET reason = 'x'",
    "destination": "UPDATE invoicing_creditnote SET destination = 'refund'",
    "hash": "UPDATE invoicing_creditnote SET content_hash = repeat('0', 64)",
    "back to draft": """
        UPDATE invoicing_creditnote SET status = 'draft', number = NULL, issued_at = NULL, content_hash = ''""",
    "delete": "DELETE FROM invoicing_creditnote",
    "line amount": "UPDATE invoicing_invoiceline SET amount_minor = 1 WHERE credit_note_id IS NOT NULL",
    "line to an invoice": """
        UPDATE invoicing_invoiceline SET invoice_id = (SELECT id FROM invoicing_invoice LIMIT 1), credit_note_id = NULL
        WHERE credit_note_id IS NOT NULL""",
    "delete line": "DELETE FROM invoicing_invoiceline WHERE credit_note_id IS NOT NULL",
    "add line": """
        INSERT INTO invoicing_invoiceline SELECT (jsonb_populate_record(l, jsonb_build_object(
            'id', gen_random_uuid(), 'position', 99))).* FROM invoicing_invoiceline l
        WHERE credit_note_id IS NOT NULL""",
    "bill an outcome": """
        INSERT INTO invoicing_lineoutcome (line_id, outcome_id, live)
        SELECT id, gen_random_uuid(), true FROM invoicing_invoiceline WHERE credit_note_id IS NOT NULL""",
    "take back": """
        INSERT INTO invoicing_linereversal (line_id, outcome_id, live)
        SELECT id, gen_random_uuid(), true FROM invoicing_invoiceline""",
    "take back on an invoice": """
        INSERT INTO invoicing_linereversal (line_id, outcome_id, live)
        SELECT id, gen_random_uuid(), true FROM invoicing_invoiceline WHERE credit_note_id IS NULL""",
    "release": "UPDATE invoicing_linereversal SET live = false",
    "swap outcome": "UPDATE invoicing_linereversal SET outcome_id = gen_random_uuid()",
    "delete reversal": "DELETE FROM invoicing_linereversal",
    "release what it bills": """
        UPDATE invoicing_lineoutcome b SET live = false FROM invoicing_invoiceline l
        WHERE l.id = b.line_id AND l.credit_note_id IS NOT NULL""",
    "allocation": "UPDATE invoicing_creditallocation SET net_minor = 1",
    "delete allocation": "DELETE FROM invoicing_creditallocation",
    "add allocation": """
        INSERT INTO invoicing_creditallocation (credit_note_id, invoice_id, net_minor, tax_minor, total_minor)
        SELECT credit_note_id, gen_random_uuid(), 1, 0, 1 FROM invoicing_creditallocation""",
    "application": "UPDATE invoicing_creditapplication SET amount_minor = 1",
    "release credit": "UPDATE invoicing_creditapplication SET live = false",
    "delete application": "DELETE FROM invoicing_creditapplication",
    "truncate notes": "TRUNCATE invoicing_creditnote CASCADE",
    "truncate allocations": "TRUNCATE invoicing_creditallocation CASCADE",
    "truncate applications": "TRUNCATE invoicing_creditapplication CASCADE",
    "truncate reversals": "TRUNCATE invoicing_linereversal",
}


@pytest.fixture
def noted(issued: Invoice, world: World) -> CreditNote:
    """An issued note that takes back two outcomes and bills a late one."""
    note = automatic(undo(2), now=LATER, issue=False)
    late(note, world.outcome(issued.customer, MARCH))
    return issue(note.id, now=LATER, by="Ben")


def test_the_database_refuses_to_change_an_issued_note(noted: CreditNote) -> None:
    def refusal(statement: str) -> type[BaseException] | None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                # Deferred checks first, so that what is raised is the guard of this statement.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute(statement)
                transaction.set_rollback(True)
        except IntegrityError as refused:
            return type(refused.__cause__)
        return None

    assert {name: refusal(text) for name, text in FORBIDDEN.items()} == dict.fromkeys(FORBIDDEN, RestrictViolation)
    assert again(noted).content_hash == content_hash(again(noted))


def test_the_database_lets_no_draft_give_credit(issued: Invoice) -> None:
    draft = automatic(undo(1), now=LATER, issue=False)
    with pytest.raises(IntegrityError, match="a draft gives no credit"), transaction.atomic():
        CreditApplication.objects.create(credit_note=draft, amount_minor=1, created_at=LATER)


def test_a_note_that_is_a_draft_may_change_and_go(issued: Invoice) -> None:
    draft = automatic(undo(1), now=LATER, issue=False)
    draft.lines.update(title="Other")
    draft.allocations.update(net_minor=1)
    draft.reason = "Other"
    draft.save()
    LineReversal.objects.all().delete()
    draft.delete()
    assert not InvoiceLine.objects.filter(credit_note__isnull=False).exists()


def tampered(row: Any, statements: list[str]) -> None:
    """Past the guards, each of these is found by the hash."""
    for statement in statements:
        point = transaction.savepoint()
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(statement)
            assert cursor.rowcount
            cursor.execute("SET session_replication_role = origin")
        assert again(row).content_hash != content_hash(again(row)), statement
        transaction.savepoint_rollback(point)
    assert again(row).content_hash == content_hash(again(row))


def test_the_hash_of_a_note_covers_every_part(noted: CreditNote) -> None:
    tampered(
        noted,
        [
            "UPDATE invoicing_creditnote SET reason = reason || '!'",
            "UPDATE invoicing_creditnote SET destination = 'refund'",
            "UPDATE invoicing_creditnote SET kind = 'goodwill'",
            "UPDATE invoicing_creditnote SET created_by = 'Mallory'",
            "UPDATE invoicing_creditnote SET tax_minor = 1",
            "UPDATE invoicing_creditnote SET terms = '[]'",
            "UPDATE invoicing_creditnote SET taxes = '[1]'",
            "UPDATE invoicing_creditnote SET issued_at = issued_at + interval '1 day'",
            "UPDATE invoicing_creditallocation SET net_minor = net_minor - 1",
            "DELETE FROM invoicing_creditallocation",
            "UPDATE invoicing_invoiceline SET quantity = quantity - 1 WHERE credit_note_id IS NOT NULL",
            "DELETE FROM invoicing_linereversal WHERE id = (SELECT min(id) FROM invoicing_linereversal)",
            """UPDATE invoicing_lineoutcome SET outcome_id = gen_random_uuid() WHERE line_id IN
               (SELECT id FROM invoicing_invoiceline WHERE credit_note_id IS NOT NULL)""",
        ],
    )


def test_the_hash_of_an_invoice_covers_tax_credit_and_what_it_takes_back(issued: Invoice) -> None:
    tampered(
        issued,
        [
            "UPDATE invoicing_invoice SET memo = 'x'",
            "UPDATE invoicing_invoice SET tax_minor = 1",
            "UPDATE invoicing_invoice SET taxes = '[1]'",
            "UPDATE invoicing_invoice SET credits = '[1]'",
            "UPDATE invoicing_invoice SET kind = 'interim'",
            """INSERT INTO invoicing_linereversal (line_id, outcome_id, live)
               SELECT line_id, outcome_id, true FROM invoicing_lineoutcome LIMIT 1""",
        ],
    )


def test_the_second_format_keeps_its_hash(issued: Invoice) -> None:
    new = {"kind", "memo", "subtotal_minor", "tax_minor", "taxes", "credits"}
    assert new <= content_of(issued).keys() and "taken_back_sha256" in content_of(issued)["lines"][0]
    issued.content_format = 2
    assert new.isdisjoint(content_of(issued)) and "taken_back_sha256" not in content_of(issued)["lines"][0]
    issued.credits, issued.memo = [{"x": 1}], "other"
    assert content_hash(issued) == content_hash(Invoice(**_fields(issued, credits=[], memo="")))


def _fields(invoice: Invoice, **changed: Any) -> dict[str, Any]:
    return {field.attname: getattr(invoice, field.attname) for field in Invoice._meta.concrete_fields} | changed


# --- What is told of it -----------------------------------------------------------------------------------------------


def test_what_was_taken_back_by_which_note(issued: Invoice, world: World) -> None:
    first, second, third = undo(3)
    assert {row.outcome_id for row in queries.reversed_after_billing()} == {first.pk, second.pk, third.pk}
    draft = automatic([first, second], now=LATER, issue=False)
    assert queries.reversed_after_billing(issued.customer_id).count() == 3, "a draft takes nothing back yet"
    [line] = queries.invoice_json(again(issued), now=LATER)["lines"]
    assert (line["reversed_count"], line["credited_by"]) == (3, [])
    [wait] = [wait.message for wait in queries.outcome_waits(again(first), LATER) if "money" in wait.message]
    assert wait == f"Its money goes back with credit note {credit.public_id(draft)}, once that is issued."
    note = issue(draft.id, now=LATER, by="Ben")
    assert [row.outcome_id for row in queries.reversed_after_billing()] == [third.pk]
    [line] = queries.invoice_json(again(issued), now=LATER)["lines"]
    assert line["reversed_count"] == 3
    assert line["credited_by"] == [{"credit_note": credit.public_id(note), "number": "CN-000001", "outcomes": 2}]
    messages = [wait.message for wait in queries.outcome_waits(again(first), LATER)]
    assert messages == ["It stands on invoice HF-000001.", "Its money went back with credit note CN-000001."]
    taken_back = queries.outcome_billing(again(first))["taken_back"]
    assert (taken_back["invoice"], taken_back["credit_note"], taken_back["number"]) == (
        None, credit.public_id(note), "CN-000001",
    )  # fmt: skip
    assert queries.outcome_billing(again(third))["taken_back"] is None
    # The rest of what the note says of itself.
    [line] = queries.credit_note_json(note)["lines"]
    assert (line["amount"], line["quantity"], line["outcome_count"], line["taken_back_count"]) == ("4.00", "2", 2, 2)
    assert line["steps"] == [{"kind": "units", "quantity": "2", "unit_price": "2", "amount": "4"}]
    rows = queries.line_outcomes(note.lines.get()).order_by("id")
    assert [(one.pk, queries.line_outcome_json(one)["taken_back"]) for one in rows] == [
        (pk, True) for pk in sorted([first.pk, second.pk])
    ]


def test_an_outcome_that_a_note_bills(noted: CreditNote, world: World) -> None:
    """Late, and the period came to less with it."""
    billed = LineOutcome.objects.get(line__credit_note=noted).outcome
    assert queries.unbilled_reasons([billed.pk]) == {} and queries.held_back([billed.customer_id]) == []
    detail = queries.outcome_billing(billed)
    assert detail["unbilled"] is None
    assert (detail["invoice_line"]["invoice"], detail["invoice_line"]["number"]) == (None, "CN-000001")
    assert [wait.message for wait in queries.outcome_waits(billed, LATER)] == ["It stands on credit note CN-000001."]
    flags = [queries.line_outcome_json(one)["taken_back"] for one in queries.line_outcomes(noted.lines.get())]
    assert sorted(flags) == [False, True, True]


def test_an_outcome_on_a_notes_draft_waits_for_it(issued: Invoice, world: World) -> None:
    outcome = world.outcome(issued.customer, MARCH)
    late(automatic(undo(1), now=LATER, issue=False), outcome)
    assert queries.unbilled_reasons([outcome.pk]) == {outcome.pk: "draft"}
    assert [(one.reason, one.outcomes) for one in queries.held_back([issued.customer_id])] == [("draft", 1)]


def test_lists_ask_as_much_for_many_as_for_one(issued: Invoice, django_assert_num_queries: Any) -> None:
    give(issued, "1.00")
    automatic(undo(2), now=LATER)
    invoices, notes = [again(issued)], list(queries.credit_notes())
    assert len(notes) == 2
    with django_assert_num_queries(13):
        queries.invoices_json(queries.invoices().filter(pk=issued.pk), now=LATER)
    for rows in (notes[:1], notes):
        with django_assert_num_queries(8):
            queries.credit_notes_json(rows)
    assert len(queries.invoices_json(invoices * 3, now=LATER)) == 3


def test_overdue_by_the_customers_own_clock(issued: Invoice, world: World) -> None:
    """Due on 1 May; the test customer's clock stands still in April."""
    clock = create_clock(now=datetime(2026, 4, 20, tzinfo=UTC), wall=LATER)
    other = world.customer("test", test_clock=clock)
    world.contract(other)
    world.outcomes(other, 1, MARCH)
    billing.run(now=APRIL_1)
    june = JUNE_1
    found = {flag: [one.customer.key for one in queries.invoices(overdue=flag, now=june)] for flag in (True, False)}
    assert found == {True: ["acme"], False: ["test"]}
    assert {one["customer"]: one["overdue"] for one in queries.invoices_json(queries.invoices(), now=june)} == {
        "acme": True, "test": False,
    }  # fmt: skip
    assert [one.customer.key for one in queries.invoices(due_before=MAY_1 + timedelta(seconds=1))] == ["acme"]
    mark_uncollectible(issued.id, now=june)
    assert not queries.invoices(overdue=True, now=june).exists()
    shown = queries.invoice_json(again(issued), now=june)
    assert (shown["overdue"], shown["amount_due"], shown["status"]) == (False, "20.00", "uncollectible")
