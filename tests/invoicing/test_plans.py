"""What one customer's bill costs does not grow with what others were billed."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import connection

from invoicing import billing, one_off
from invoicing.models import CreditNote, InvoiceLine
from invoicing.one_off import ItemFields, OneOffFields
from tests.database import analyse
from tests.invoicing.conftest import World
from tests.invoicing.deals import at
from tests.invoicing.law import Story
from tests.invoicing.test_law import befall

OTHERS = 20_000


def test_no_statement_goes_through_the_lines_of_everybody(world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 0
    stories = [Story.begin(world, number) for number in range(8)]
    befall(stories, "02", at("2026-02-28"))
    billing.run(now=at("2026-03-01"))
    lines_of_somebody_else(world)
    befall(stories, "03", at("2026-03-28"))
    before = gone_through()
    assert billing.run(now=at("2026-04-01")).parked == ()
    assert CreditNote.objects.exists()
    assert gone_through() - before < OTHERS


def lines_of_somebody_else(world: World) -> None:
    other = world.customer("other")
    item = ItemFields(title="Set-up", amount=Decimal("1.00"))
    invoice = one_off.write(OneOffFields(customer=other.key, lines=(item,)), now=at("2026-03-01"))
    line = invoice.lines.get()
    fields = {one.attname: getattr(line, one.attname) for one in InvoiceLine._meta.concrete_fields}
    InvoiceLine.objects.bulk_create(
        InvoiceLine(**fields | {"id": uuid4(), "position": position}) for position in range(2, OTHERS + 2)
    )
    analyse()


def gone_through() -> int:
    """So many lines were read in this transaction one after the other, and not by an index."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'invoicing_invoiceline'")
        return int(cursor.fetchone()[0])
