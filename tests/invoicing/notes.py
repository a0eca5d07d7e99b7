"""Credit notes put into the tables directly, as a billing run would make them."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from contracts.domain import money
from contracts.models import TaxRate
from invoicing import credit_notes, taxes
from invoicing.credit import left_to_credit
from invoicing.domain import tax
from invoicing.models import CreditAllocation, CreditNote, Invoice, InvoiceLine, LineOutcome, LineReversal
from outcomes.models import Outcome
from tests.invoicing.conftest import BEFORE


def vat(percent: str = "19", **fields: Any) -> TaxRate:
    return TaxRate.objects.create(
        **{"key": f"vat{percent}", "name": "VAT", "percent": Decimal(percent), "created_at": BEFORE} | fields
    )


def undo(count: int = 1, invoice: Invoice | None = None) -> list[Outcome]:
    """Reverse so many outcomes that stand on an invoice, as settlement would."""
    rows = LineOutcome.objects.filter(live=True, outcome__state="confirmed", outcome__taken_back=None)
    if invoice is not None:
        rows = rows.filter(line__invoice=invoice)
    found = [row.outcome for row in rows.order_by("outcome_id")[:count]]
    Outcome.objects.filter(pk__in=[one.pk for one in found]).update(state="reversed")
    return found


def automatic(outcomes: Iterable[Outcome], *, now: datetime, issue: bool = True, **fields: Any) -> CreditNote:
    """A note that takes back these outcomes of one invoice line, whose units all cost the same."""
    undone = list(outcomes)
    billed = InvoiceLine.objects.get(billed__outcome=undone[0], billed__live=True)
    invoice = billed.invoice
    assert invoice is not None and billed.quantity is not None
    back = billed.amount_minor * len(undone) // billed.outcome_count
    net = left_to_credit([invoice.pk])[invoice.pk].net
    rates = taxes.recorded(invoice.taxes)
    given = tax.credited(net, net - back, rates, invoice.currency)
    total = given.total_minor
    note = CreditNote.objects.create(
        **{
            "customer": invoice.customer,
            "contract": invoice.contract,
            "kind": "automatic",
            "currency": invoice.currency,
            "time_zone": invoice.time_zone,
            "reason": "Tickets were reopened.",
            "subtotal_minor": back,
            "tax_minor": given.tax_minor,
            "total_minor": total,
            "taxes": taxes.to_json(rates, back, given.by_rate),
            "terms": invoice.terms,
            "created_at": now,
            "refreshed_at": now,
        }
        | fields
    )
    units = Decimal(len(undone))
    line = InvoiceLine.objects.create(
        credit_note=note,
        position=1,
        kind=billed.kind,
        condition=billed.condition,
        price=billed.price,
        contract_version=billed.contract_version,
        period_start=billed.period_start,
        period_end=billed.period_end,
        title=billed.title,
        sentence=billed.sentence,
        dimensions=billed.dimensions,
        quantity=-units,
        unit_price=billed.unit_price,
        amount_minor=-back,
        steps=[
            {
                "kind": "units",
                "quantity": f"-{units}",
                "unit_price": f"{billed.unit_price.normalize():f}" if billed.unit_price is not None else "",
                "amount": f"-{money.from_minor(back, invoice.currency).normalize():f}",
            }
        ],
        outcome_count=-len(undone),
    )
    LineReversal.objects.bulk_create(LineReversal(line=line, outcome=one) for one in undone)
    CreditAllocation.objects.create(
        credit_note=note, invoice=invoice, net_minor=back, tax_minor=given.tax_minor, total_minor=total
    )
    if issue:
        credit_notes.freeze(note, now=now, wall=now)
    return CreditNote.objects.get(pk=note.pk)


def late(note: CreditNote, outcome: Outcome) -> None:
    """Have a draft's line bill an outcome as well: one that came late and lowers its period."""
    line = note.lines.get()
    LineOutcome.objects.create(line=line, outcome=outcome)
