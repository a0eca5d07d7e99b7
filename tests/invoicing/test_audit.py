"""What the audit finds of lines of every kind: each row of the table is one edit behind the database's guards."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from access.invariants import Scope, check
from contracts.models import TaxRate
from invoicing import billing
from invoicing.audit import INVARIANTS
from invoicing.models import CreditNote
from outcomes.models import Journal
from tests.invoicing.conftest import BEFORE, World, make_world
from tests.invoicing.deals import Deal, at, per_unit, reverse, sound

MAY_1, DAY = at("2026-05-01"), timedelta(days=1)
JUDGES = ("amounts", "billed once", "owed", "credit")

LINE = "UPDATE invoicing_invoiceline SET {} WHERE kind = '{}'"
WITH_TOTAL = (
    "UPDATE invoicing_invoiceline SET amount_minor = amount_minor + 1 WHERE kind = '{}' AND invoice_id IN "
    "(SELECT id FROM invoicing_invoice WHERE number = 'HF-000001')",
    "UPDATE invoicing_invoice i SET (subtotal_minor, total_minor) = "
    "(SELECT sum(amount_minor), sum(amount_minor) FROM invoicing_invoiceline l WHERE l.invoice_id = i.id)",
)
NOTED = "credit_note_id IS NOT NULL"
TERMS = "UPDATE invoicing_invoice SET terms = jsonb_set(terms, '{}', '{}') WHERE number = 'HF-000001'"


def raised(kind: str) -> tuple[str, ...]:
    return tuple(sql.format(kind) for sql in WITH_TOTAL)


FINDS: list[tuple[str, str, tuple[str, ...]]] = [
    *((f"{kind} raised", "minor units and says", raised(kind)) for kind in (
        "usage", "fee", "discount", "minimum", "drawdown", "commitment",
    )),
    ("a line of another kind", "give other lines", (LINE.format("kind = 'cap'", "minimum"),)),
    ("a fee of another name", "give other lines",
     (LINE.format("""details = details || '{"name": "Other"}'""", "fee"),)),
    ("a line deleted", "give other lines", ("DELETE FROM invoicing_invoiceline WHERE kind = 'discount'",)),
    ("days recorded", "minor units and says", (TERMS.format("{0,shares,0,days}", "30"),)),
    ("nothing recorded", "records no terms", ("UPDATE invoicing_invoice SET terms = '[]' WHERE number = 'HF-000001'",)),
    ("terms that are none", "cannot be rated again", (TERMS.format("{0,shares,0,version}", "0"),)),
    ("a discount changed in place", "minor units and says",
     ("UPDATE contracts_contractversion SET discount_percent = 20",)),
    ("a value on a line raised", "the line says",
     ("""UPDATE invoicing_invoiceline SET details = details || '{"value": "7"}' WHERE details ? 'value'""",)),
    ("steps of a fee", "the arithmetic printed", (LINE.format("steps = '[]'", "fee"),)),
    ("tax raised", "with tax the invoice comes to",
     ("UPDATE invoicing_invoice SET tax_minor = tax_minor + 1, total_minor = total_minor + 1 "
      "WHERE number = 'HF-000001'",)),
    ("a rate changed", "with tax the invoice comes to",
     ("""UPDATE invoicing_invoice SET taxes = jsonb_set(taxes, '{0,percent}', '"18"') WHERE number = 'HF-000001'""",)),
    # --- of credit notes
    ("a line of a note raised", "minor units and says",
     (f"UPDATE invoicing_invoiceline SET amount_minor = amount_minor - 1 WHERE kind = 'usage' AND {NOTED}",)),
    ("a note's total raised", "the credit note's total is not its lines and its tax",
     ("UPDATE invoicing_creditnote SET total_minor = total_minor + 1",)),
    ("the lines of a note", "and the credit note to",
     ("UPDATE invoicing_creditnote SET subtotal_minor = subtotal_minor + 1",)),
    ("a line of a note deleted", "give other lines",
     (f"DELETE FROM invoicing_invoiceline WHERE kind = 'fee' AND {NOTED}",)),
    ("allocated to less", "what the credit note corrects of invoices",
     ("UPDATE invoicing_creditallocation SET net_minor = net_minor - 1",)),
    ("tax that goes back", "minor units go back of invoice",
     ("UPDATE invoicing_creditallocation SET tax_minor = tax_minor + 1, total_minor = total_minor + 1",)),
    ("more than the invoice came to", "credit notes correct",
     ("UPDATE invoicing_creditallocation SET net_minor = 9999999, total_minor = 9999999",)),
    ("more than was undone is taken back", "the line says",
     ("INSERT INTO invoicing_linereversal (line_id, outcome_id, live) SELECT line_id, "
      "(SELECT b.outcome_id FROM invoicing_lineoutcome b JOIN outcomes_outcome o ON o.id = b.outcome_id "
      "WHERE o.state = 'confirmed' LIMIT 1), true FROM invoicing_linereversal LIMIT 1",)),
    ("what still stands is taken back", "takes back an outcome that is confirmed",
     ("UPDATE outcomes_outcome SET state = 'confirmed' WHERE state = 'reversed'",)),
    ("what nothing bills is taken back", "that no standing line bills",
     ("DELETE FROM invoicing_lineoutcome WHERE outcome_id IN (SELECT outcome_id FROM invoicing_linereversal)",)),
    ("what does not exist is taken back", "an outcome that does not exist",
     ("UPDATE invoicing_linereversal SET outcome_id = gen_random_uuid()",)),
    ("let go by a standing note", "no longer takes the outcome back",
     ("UPDATE invoicing_linereversal SET live = false",)),
    ("taken back twice", "is taken back by 2 live lines",
     ("DROP INDEX outcome_taken_back_once",
      "INSERT INTO invoicing_linereversal (line_id, outcome_id, live) "
      "SELECT (SELECT id FROM invoicing_invoiceline WHERE invoice_id IS NOT NULL LIMIT 1), outcome_id, true "
      "FROM invoicing_linereversal")),
    ("what moved to another price", "the line says",
     (LINE.format("details = jsonb_set(details, '{moved,outcomes}', '7')", "usage") + " AND details ? 'moved'",)),
    # --- owed
    ("an outcome of another quantity", "other usage than they bill",
     ("UPDATE outcomes_outcome SET quantity = 1.5 WHERE id = (SELECT o.id FROM outcomes_outcome o "
      "JOIN invoicing_lineoutcome b ON b.outcome_id = o.id WHERE o.state = 'confirmed' "
      "AND o.condition_id = (SELECT id FROM contracts_condition WHERE slug = 'free') LIMIT 1)",)),
    ("an outcome met before the price changed", "are owed",
     ("UPDATE outcomes_outcome SET met_at = '2026-03-11' WHERE met_at >= '2026-03-15'",)),
]  # fmt: skip


@pytest.fixture(scope="class")
def billed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Billed, billed late and given back: made once, in a transaction that all edits see and none commits."""
    with django_db_blocker.unblock(), transaction.atomic():
        _bill()
        yield
        transaction.set_rollback(True)


def _bill() -> None:
    prices = {
        "ticket": per_unit("3") | {"pool": "free"},
        "payment": {"model": "percentage", "percent": Decimal(10), "maximum": Decimal(5)},
        "free": {"model": "free"},
    }
    fees = [{"name": "Platform", "amount": "31"}]
    agreed: dict[str, Any] = {"pools": {"free": "2"}, "discount_percent": "10", "minimum": "100", "fees": fees}
    advance = [{"amount": "60", "payment": "advance"}]
    deal = Deal(make_world(), starts_at=at("2026-03-10"), prices=prices, commitments=advance, **agreed)
    rate = TaxRate.objects.create(key="vat", name="VAT", percent=Decimal(19), created_at=BEFORE)
    deal.customer.tax_rates.add(rate)
    march = at("2026-03-20")
    deal.settled("ticket", 7, march)
    deal.settled("payment", 2, march, amount=Decimal(60))
    billing.run(now=at("2026-04-01"))
    deal.settled("ticket", 2, march)
    deal.settled("free", 3, march)
    billing.run(now=MAY_1)
    # One is taken back, what was met from the 15th on costs less, and so does the platform.
    reverse("payment")
    prices["ticket"] = prices["ticket"] | per_unit("2")
    deal.version(at("2026-03-15"), prices=prices, **agreed | {"fees": [{"name": "Platform", "amount": "21"}]})
    billing.run(now=MAY_1 + DAY)
    assert CreditNote.objects.count() == 1
    sound(MAY_1 + DAY)


@pytest.mark.usefixtures("billed")
class TestEdits:
    """Each edit is undone before the next."""

    @pytest.mark.parametrize(("what", "problem", "edits"), FINDS, ids=[what for what, _, _ in FINDS])
    def test_an_edit_is_found(self, django_db_blocker: Any, what: str, problem: str, edits: tuple[str, ...]) -> None:
        with django_db_blocker.unblock(), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")
                for edit in edits:
                    cursor.execute(edit)
                cursor.execute("SET LOCAL session_replication_role = DEFAULT")
            found = [
                row
                for result in check(
                    [one for one in INVARIANTS if one.name in JUDGES], Scope(now=MAY_1 + DAY, sample=None)
                )
                for row in result.findings.violation_rows
            ]
            transaction.set_rollback(True)
        assert [row for row in found if problem in row["problem"]], found


@pytest.mark.parametrize("what", ["undone", "terms"])
def test_what_nobody_gave_back_for_a_day_is_told(world: World, what: str) -> None:
    deal = Deal(world, prices={"ticket": per_unit("3")})
    deal.settled("ticket", 7, at("2026-03-20"))
    billing.run(now=MAY_1)
    if what == "undone":
        reverse("ticket", 2, at=MAY_1)
    else:
        deal.version(at("2026-03-01"), prices={"ticket": per_unit("1")})

    def warnings(now: datetime) -> list[str]:
        found = list(check(INVARIANTS, Scope(now=now, sample=None)))
        assert not any(result.findings.violation_rows or result.error for result in found)
        return [row["problem"] for result in found for row in result.findings.warning_rows]

    if what == "undone":
        assert warnings(MAY_1 + DAY) == []
    minor = {"undone": 600, "terms": 1400}[what]
    assert warnings(MAY_1 + 2 * DAY) == [f"{minor} minor units have waited to be given back for more than a day"]
    billing.run(now=MAY_1 + 2 * DAY)
    assert warnings(MAY_1 + 4 * DAY) == []
    assert Journal.objects.exists() == (what == "undone")


def test_what_is_owed_beyond_what_is_billed_may_wait(world: World) -> None:
    deal = Deal(world, prices={"ticket": per_unit("3")})
    deal.settled("ticket", 7, at("2026-03-20"))
    billing.run(now=MAY_1)
    deal.version(at("2026-03-01"), prices={"ticket": per_unit("4")})
    billing.run(now=MAY_1 + DAY)
    sound(MAY_1 + 9 * DAY)
