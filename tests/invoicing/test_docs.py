"""The examples of docs/pricing.md and docs/invoices.md are what the code does."""

import doctest
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from access.times import parse_rfc3339
from contracts.domain import money, rating
from invoicing import billing, queries, texts
from invoicing.models import Invoice
from tests.invoicing.conftest import World

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


def test_per_unit_as_the_table_says() -> None:
    for quantity, unit_price, currency, exact, amount in table("pricing.md", "quantity"):
        price = rating.Price(1, "x", Decimal(unit_price))
        (line,) = rating.rate([price], [rating.Usage("x", (), Decimal(quantity))], currency).lines
        assert line.steps[0].amount == Decimal(exact)
        assert money.major_text(line.amount_minor, currency) == amount


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


def test_every_reason_is_explained() -> None:
    assert [row[0].strip("`") for row in table("invoices.md", "reason")] == list(queries.REASONS)
