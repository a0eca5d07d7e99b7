"""The examples of docs/pricing.md and docs/invoices.md are what the code does."""

import doctest
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from access.times import parse_rfc3339
from contracts.domain import money, rating
from contracts.models import Price
from docs import pricing_examples
from invoicing import billing, queries, texts
from invoicing.models import CreditNote, Invoice, InvoiceLine
from tests.invoicing.conftest import World
from tests.invoicing.deals import Deal, condition, per_unit, reverse, tier

DOCS = Path(__file__).parents[2] / "docs"


def table(page: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose head begins with that column."""
    lines = (DOCS / page).read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows
    return rows


@pytest.mark.parametrize("page", ["pricing.md", "invoices.md"])
def test_the_examples_run(page: str) -> None:
    result = doctest.testfile(str(DOCS / page), module_relative=False)
    assert result.attempted and not result.failed


EXAMPLES = pricing_examples.examples()
CARRIED = "commitment"


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name, found in EXAMPLES.items() if name != CARRIED for row in found.rows]
)
def test_each_row_of_the_pricing_page(name: str, row: tuple[str, ...]) -> None:
    example = EXAMPLES[name]
    cell, worked_out, amount = row
    rated = pricing_examples.rate(example, cell)
    assert money.major_text(rated.total_minor, example.currency) == amount
    if example.head[1] == "worked out":
        assert pricing_examples.arithmetic(rated.lines[0]) == worked_out
    else:
        assert pricing_examples.kinds(rated, example.currency) == worked_out


def test_the_commitment_of_the_pricing_page() -> None:
    example = EXAMPLES[CARRIED]
    amount = Decimal(example.terms["commitment"]["amount"])
    written: list[list[str]] = [[row[0]] for row in example.rows]
    for payment in (rating.ADVANCE, rating.ARREARS):
        drawn = None
        for number, row in enumerate(example.rows):
            first, last = number == 0, number == len(example.rows) - 1
            rated = pricing_examples.rate(
                example,
                row[0],
                drawn,
                commitments=[rating.Commitment("year", amount, payment)],
                first={"year"} if first else frozenset(),
                last={"year"} if last else frozenset(),
            )
            drawn = rated.drawn
            total = money.major_text(rated.total_minor, example.currency)
            written[number] += [pricing_examples.kinds(rated, example.currency), total]
    assert [tuple(row) for row in written] == list(example.rows)


def test_every_model_has_an_example_and_a_picture_on_the_pricing_page() -> None:
    assert {example.price.model for example in EXAMPLES.values()} == set(rating.MODELS)
    page = (DOCS / "pricing.md").read_text()
    assert set(re.findall(r"\(images/pricing/(.*?)\)", page)) == set(pricing_examples.pictures())


def test_the_pictures_are_what_the_script_draws() -> None:
    drawn = pricing_examples.pictures()
    committed = {path.name: path.read_text() for path in pricing_examples.PICTURES.iterdir()}
    assert committed == drawn, "run `python -m docs.pricing_examples`"
    for text in drawn.values():
        ElementTree.fromstring(text)


def test_rounding_as_the_table_says() -> None:
    for quantity, unit_price, currency, exact, amount in table("pricing.md", "units"):
        price = rating.Price(1, "x", unit_price=Decimal(unit_price))
        (line,) = rating.rate([price], [rating.Usage("x", (), Decimal(quantity))], currency).lines
        assert line.steps[0].amount == Decimal(exact)
        assert money.major_text(line.amount_minor, currency) == amount


def test_proration_as_the_table_says() -> None:
    for amount, days, of_days, comes_to in table("pricing.md", "full period"):
        prorated = money.prorate(Decimal(amount), int(days), int(of_days), "USD")
        assert money.major_text(prorated, "USD") == comes_to


def test_every_refusal_is_explained() -> None:
    assert {code.strip("`"): text for code, text in table("pricing.md", "code")} == rating.CODES


def test_each_model_needs_what_the_table_says() -> None:
    for model, needs, more in table("pricing.md", "model"):
        assert set(re.findall(r"`(\w+)`", needs + more)) == set(rating.FIELDS[model.strip("`")])


def test_the_worked_invoice(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    for settled, priority, state in table("invoices.md", "settled"):
        world.outcome(acme, parse_rfc3339(settled), priority=priority, state=state)
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    invoice = Invoice.objects.get()
    written = [
        [
            f"{line.title}, {line.dimensions['priority']}",
            texts.plain(line.quantity),
            texts.unit_price(line.unit_price, "USD"),
            money.major_text(line.amount_minor, "USD"),
            str(line.voided_count),
        ]
        for line in invoice.lines.order_by("position")
    ]
    written.append(["**total**", "", "", money.major_text(invoice.total_minor, "USD"), ""])
    assert written == table("invoices.md", "line")


def test_the_invoice_with_terms(world: World) -> None:
    deal = Deal(
        world,
        starts_at=datetime(2026, 3, 1, tzinfo=UTC),
        prices={
            "ticket": {"model": "graduated", "tiers": [tier("10", unit_price="2.00"), tier(None, unit_price="1.00")]},
            "check": per_unit("0.50"),
        },
        discount_percent="10",
        minimum="40",
        fees=[
            {"name": "Seats", "kind": "seats", "amount": "15", "seats": "2"},
            {"name": "Platform", "amount": "20", "timing": "advance"},
        ],
    )
    deal.settled("ticket", 14, datetime(2026, 3, 10, tzinfo=UTC))
    deal.settled("check", 8, datetime(2026, 3, 11, tzinfo=UTC))
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    rows = [
        [
            line.kind,
            line.title,
            "" if line.quantity is None else texts.plain(line.quantity),
            money.major_text(line.amount_minor, "USD"),
        ]
        for line in deal.invoice().lines.order_by("position")
    ]
    assert [*rows, ["**total**", "", "", *deal.totals()]] == table("invoices.md", "kind")


def test_the_corrections(world: World) -> None:
    tickets = {"model": "graduated", "tiers": [tier("10", unit_price="2.00"), tier(None, unit_price="1.00")]}
    Price.objects.create(rate_card_version=world.card_version, condition=condition("ticket"), match={}, **tickets)
    deal = Deal(world, prices={"check": per_unit("0.50")})
    deal.settled("ticket", 14, datetime(2026, 3, 10, tzinfo=UTC))
    deal.settled("check", 8, datetime(2026, 3, 11, tzinfo=UTC))
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    reverse("ticket", 3)
    billing.run(now=datetime(2026, 4, 5, tzinfo=UTC))
    deal.version(datetime(2026, 3, 1, tzinfo=UTC), prices={"check": per_unit("0.40")})
    billing.run(now=datetime(2026, 4, 7, tzinfo=UTC))
    rows = []
    for note in CreditNote.objects.order_by("id"):
        number = note.number
        for line in note.lines.order_by("position"):
            amount = money.major_text(line.amount_minor, "USD")
            rows.append([number, line.title, texts.plain(line.quantity or Decimal(0)), amount])
            number = ""
        rows.append(["", f"*{note.reason}*", "", money.major_text(note.total_minor, "USD")])
    assert rows == table("invoices.md", "note")
    assert deal.totals() == ["28.00"]


def test_every_kind_of_line_is_explained() -> None:
    assert {row[0].strip("`") for row in table("invoices.md", "`kind`")} == set(InvoiceLine.Kind.values)


def test_every_reason_is_explained() -> None:
    assert [row[0].strip("`") for row in table("invoices.md", "reason")] == list(queries.REASONS)
