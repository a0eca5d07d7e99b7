"""docs/credit-notes.md is what the code does."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from contracts.domain import money
from invoicing import billing, credit, queries
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import CreditApplication, CreditNote, Invoice
from invoicing.payment import mark_paid
from tests.invoicing.conftest import World
from tests.invoicing.notes import automatic, undo, vat
from tests.invoicing.test_docs import DOCS, table

PAGE = "credit-notes.md"


def april(day: int) -> datetime:
    return datetime(2026, 4, day, tzinfo=UTC)


def test_the_worked_example(world: World) -> None:
    acme = world.customer()
    acme.tax_rates.set([vat("19")])
    world.contract(acme)
    world.outcomes(acme, 10, datetime(2026, 3, 10, tzinfo=UTC))
    billing.run(now=april(1))
    first = Invoice.objects.get()
    mark_paid(first.id, now=april(5))
    automatic(undo(3), now=april(9))
    goodwill(Goodwill(first.id, "A slow answer.", Decimal("5.00")), now=april(10), by="maria")
    world.outcomes(acme, 2, datetime(2026, 4, 20, tzinfo=UTC))
    billing.run(now=datetime(2026, 5, 1, tzinfo=UTC))
    world.outcomes(acme, 5, datetime(2026, 5, 10, tzinfo=UTC))
    billing.run(now=datetime(2026, 6, 1, tzinfo=UTC))

    def row(document: Any, *more: str) -> list[str]:
        amounts = (document.subtotal_minor, document.tax_minor, document.total_minor)
        return [document.number, *(money.major_text(one, "USD") for one in amounts), *more, document.status]

    invoices = list(Invoice.objects.order_by("number"))
    applied = credit.applied_to(one.id for one in invoices)
    rows = [
        row(one, *(money.major_text(minor, "USD") for minor in (applied.get(one.id, 0), credit.due_minor(one))))
        for one in invoices
    ]
    notes = [row(one, "", "") for one in CreditNote.objects.order_by("number")]
    assert [rows[0], *notes, *rows[1:]] == table(PAGE, "document")
    went = [
        [one.credit_note.number, one.invoice and one.invoice.number, money.major_text(one.amount_minor, "USD")]
        for one in CreditApplication.objects.order_by("credit_note__number", "invoice__number")
    ]
    assert went == table(PAGE, "credit of")


def test_the_page_names_every_kind_and_state() -> None:
    assert [row[0].strip("`") for row in table(PAGE, "`kind`")] == CreditNote.Kind.values
    assert [row[0].strip("`") for row in table(PAGE, "`status`")] == CreditNote.Status.values
    page = (DOCS / PAGE).read_text()
    assert all(f"`{destination}`" in page for destination in CreditNote.Destination.values)


def test_the_endpoints_of_the_page_are_there() -> None:
    from invoicing.urls import urlpatterns

    known = {re.sub(r"<str:(\w+)>", r"{\1}", str(one.pattern)) for one in urlpatterns}
    page = (DOCS / PAGE).read_text().split("## Endpoints")[1]
    for cell in (line.split("|")[1] for line in page.splitlines() if line.startswith("| `")):
        first, *others = re.findall(r"`(?:\w+ /v1/)?([^`?]+)[^`]*`", cell)
        paths = [first, *(first.rsplit("/", 1)[0] + other for other in others)]
        assert set(paths) <= known, paths


def test_the_filters_of_the_page_are_there() -> None:
    page = (DOCS / PAGE).read_text()
    for name, read in (("credit_notes", queries.credit_notes), ("invoices", queries.invoices)):
        [said] = re.findall(rf"GET /v1/{name}\?([\w=&]+)`", page)
        assert set(said.rstrip("=").split("=&")) == set(read.__annotations__) - {"return", "now"}
