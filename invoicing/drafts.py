"""Drafts of invoices: sections of a contract's periods, put on the invoice of one of them.

Everything here runs in the caller's transaction, under the lock of the customer's row.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings

from access import ids
from contracts.domain import rating
from contracts.domain.periods import Period
from contracts.terms import Agreement, Version
from invoicing import lines, rated, sections, selection, taxes
from invoicing.lines import Form
from invoicing.models import CONTENT_FORMAT, Invoice, InvoiceLine
from invoicing.sections import Facts, Section
from invoicing.selection import Grid
from invoicing.standing import owes_by_itself
from invoicing.terms_used import agreed_now


def payment_terms(agreement: Agreement, period_end: datetime) -> Version:
    """The contract version whose net days and zone an invoice takes: that in force at the period's last instant."""
    return agreement.version_at(period_end - timedelta(microseconds=1))


def next_period(agreement: Agreement, period: Period) -> Period | None:
    """The period after one of the contract's; None after its last."""
    return agreement.period_of(period.end) if agreement.covers(period.end) else None


def owes_anyway(grid: Grid, period: Period) -> bool:
    """Whether the terms alone give a period's invoice a line, for all that no query tells."""
    agreement = grid.agreement
    if not owes_by_itself(agreement):
        return False
    if rated.lines_of(agreement, agreed_now(grid, period), ()):
        return True
    following = next_period(agreement, period)
    if following is None:
        return False
    fees = rated.lines_of(agreement, agreed_now(grid, following), ())
    return any(line.fee is not None and line.fee.timing == rating.ADVANCE for line in fees)


def clear(invoice: Invoice) -> None:
    """Take every line off a draft, so that its outcomes are unbilled again, and what it takes back is undone again."""
    sections.let_go(InvoiceLine.objects.filter(invoice=invoice).values_list("pk", flat=True))
    InvoiceLine.objects.filter(invoice=invoice).delete()


def blank(grid: Grid, index: int, ordinal: int, now: datetime, kind: Invoice.Kind = Invoice.Kind.PERIOD) -> Invoice:
    """A draft for a period, not stored yet."""
    agreement, period = grid.agreement, grid.periods[index]
    return Invoice(
        id=ids.uuid7(now),
        customer_id=agreement.customer_id,
        contract_id=agreement.id,
        kind=kind,
        currency=agreement.currency,
        period_start=period.start,
        period_end=period.end,
        ordinal=ordinal,
        created_at=now,
    )


def fill(invoice: Invoice, found: Collection[Section], facts: Facts, now: datetime) -> Invoice:
    """Put sections on a draft without lines and store it: those of its own period first, then those of the next, whose
    fees it has in advance, then those of earlier periods.
    """
    agreement = facts.grid.agreement
    inside = invoice.kind == Invoice.Kind.INTERIM
    terms = agreement.version_at(now) if inside else payment_terms(agreement, invoice.period_end)
    invoice.content_format = CONTENT_FORMAT
    invoice.net_days = terms.net_days
    invoice.time_zone = terms.cadence.time_zone
    invoice.refreshed_at = now
    form = Form(invoice.currency, invoice.time_zone)
    made: list[InvoiceLine] = []
    invoice.terms = []
    for section in in_reading_order(found, Period(invoice.period_start, invoice.period_end)):
        more = lines.lines_of(section, facts, form, _voided(section, facts, invoice))
        made += more
        if more or section.wanted.closes:
            invoice.terms.append(replace(section.used, lines=len(more)).to_json())
    for position, line in enumerate(made, start=1):
        line.invoice, line.position = invoice, position
    taxes.set_totals(invoice, made, taxes.rates_of(invoice.customer))
    invoice.save(force_insert=invoice._state.adding)
    InvoiceLine.objects.bulk_create(made, batch_size=1000)
    return invoice


def in_reading_order(found: Collection[Section], own: Period) -> Sequence[Section]:
    """Those of the document's own period first, then those of the next, then those of earlier ones."""
    places = {own.start: 0, own.end: 1}
    return sorted(found, key=lambda section: (places.get(section.period.start, 2), section.period.start))


def _voided(section: Section, facts: Facts, invoice: Invoice) -> dict[int, int]:
    """What was voided in the invoice's own period; that of earlier periods was shown on the invoices of those."""
    own = section.wanted.closes and section.period.start == invoice.period_start and section.index is not None
    return selection.voided(facts.grid, section.index) if own and section.fresh and section.index is not None else {}


def will_be_issued(invoice: Invoice, now: datetime) -> bool:
    """Whether a draft's grace is over; an interim invoice has none."""
    if invoice.kind == Invoice.Kind.INTERIM:
        return True
    return now >= invoice.period_end + timedelta(hours=settings.INVOICE_GRACE_HOURS)
