"""Automatic credit notes: sections below zero, given back on the invoices they were billed on.

Everything here runs in the caller's transaction, under the lock of the customer's row.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from access import ids
from invoicing import lines, sections, taxes, texts, wording
from invoicing.domain import tax
from invoicing.domain.tax import Rate, Taxed
from invoicing.lines import Form
from invoicing.models import (
    CONTENT_FORMAT,
    CreditAllocation,
    CreditNote,
    Invoice,
    InvoiceLine,
    Status,
)
from invoicing.sections import Facts, Section
from invoicing.selection import Undone


@dataclass(frozen=True)
class Left:
    """An invoice with what is left of its lines, and of its total, to be given back."""

    invoice: Invoice
    net_minor: int
    gross_minor: int


def clear(note: CreditNote) -> None:
    """Take everything off a draft, so that what it takes back is undone again."""
    sections.let_go(InvoiceLine.objects.filter(credit_note=note).values_list("pk", flat=True))
    InvoiceLine.objects.filter(credit_note=note).delete()
    CreditAllocation.objects.filter(credit_note=note).delete()


def left_to_credit(contract_id: UUID, issuing: Collection[UUID] = ()) -> list[Left]:
    """The contract's invoices that are issued, or will be in this run (``issuing``), with what is left of them, newest
    first. Three queries.
    """
    found = (
        Invoice.objects.filter(contract=contract_id).exclude(status=Status.VOID).order_by("-period_start", "-ordinal")
    )
    invoices = [one for one in found if one.status != Status.DRAFT or one.id in issuing]
    given = CreditAllocation.objects.filter(invoice__in=invoices)
    gross = dict(given.values_list("invoice").annotate(Sum("total_minor")))
    automatic = given.filter(credit_note__kind=CreditNote.Kind.AUTOMATIC)
    net = dict(automatic.values_list("invoice").annotate(Sum("net_minor")))
    return [
        Left(one, one.subtotal_minor - net.get(one.id, 0), one.total_minor - gross.get(one.id, 0)) for one in invoices
    ]


def can_be_given(found: Iterable[Section], left: Iterable[Left]) -> bool:
    """Whether the invoices bear what the sections give back. They do but where what is to be given back was billed on a
    draft, or where a void invoice is not billed anew yet.
    """
    return sum(section.amount_minor for section in found) + sum(one.net_minor for one in left) >= 0


def make(
    existing: CreditNote | None,
    found: Sequence[Section],
    facts: Facts,
    undone: Iterable[Undone],
    left: Sequence[Left],
    now: datetime,
) -> CreditNote:
    """A draft of a credit note with these sections, whose sum is below zero, and the invoices it corrects.
    ``existing`` is the contract's draft, emptied by `clear`, to be filled anew.
    """
    agreement = facts.grid.agreement
    terms = agreement.version_at(now)
    note = existing or CreditNote(
        id=ids.uuid7(now),
        customer_id=agreement.customer_id,
        contract_id=agreement.id,
        kind=CreditNote.Kind.AUTOMATIC,
        currency=agreement.currency,
        created_at=now,
    )
    note.time_zone = terms.cadence.time_zone
    note.destination = terms.credits
    note.content_format = CONTENT_FORMAT
    note.refreshed_at = now
    form = Form(note.currency, note.time_zone)
    made: list[InvoiceLine] = []
    note.terms = []
    for section in found:
        more = lines.lines_of(section, facts, form)
        made += more
        note.terms.append(replace(section.used, lines=len(more)).to_json())
    net = -sum(section.amount_minor for section in found)
    parts = _allocate(net, _in_order(left, found, facts, undone), note.currency)
    kept = _given_before(parts, found[-1])
    for position, line in enumerate([*made, *kept], start=1):
        line.credit_note, line.position = note, position
    note.subtotal_minor = -sum(line.amount_minor for line in (*made, *kept))
    note.tax_minor = sum(sum(part.given.by_rate) for part in parts)
    note.total_minor = sum(part.given.total_minor for part in parts)
    note.taxes = _taxes(parts)
    note.reason = _reason(found, note.time_zone)
    note.save(force_insert=note._state.adding)
    InvoiceLine.objects.bulk_create([*made, *kept], batch_size=1000)
    CreditAllocation.objects.bulk_create(
        CreditAllocation(
            credit_note=note,
            invoice=part.invoice,
            net_minor=part.net_minor,
            tax_minor=sum(part.given.by_rate),
            total_minor=part.given.total_minor,
        )
        for part in parts
    )
    return note


# --- Which invoices, and how much of each -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Of one invoice: ``net_minor`` of its lines is taken back, and ``given`` is what goes back for it, which is less
    where goodwill gave some of it already.
    """

    invoice: Invoice
    rates: tuple[Rate, ...]
    net_minor: int
    given: Taxed


def _in_order(left: Sequence[Left], found: Sequence[Section], facts: Facts, undone: Iterable[Undone]) -> list[Left]:
    """First the invoices that bill what is undone, then others with lines of these periods, then the rest: an earlier
    note may have taken what these periods billed for another period of the same invoice. Each newest first.
    """
    starts = {section.period.start for section in found}
    by_line = {line.id: line.invoice_id for start in starts for line in facts.billed.of(start)}
    bills_undone = {by_line.get(one.line_id) for one in undone if one.period_start in starts}
    touching = set(by_line.values())
    return sorted(left, key=lambda one: (one.invoice.id not in bills_undone, one.invoice.id not in touching))


def _allocate(net_minor: int, left: Iterable[Left], currency: str) -> list[_Part]:
    parts, rest = [], net_minor
    for one in left:
        taken = min(one.net_minor, rest)
        if taken <= 0:
            continue
        rest -= taken
        rates = taxes.recorded(one.invoice.taxes)
        credited = tax.credited(one.net_minor, one.net_minor - taken, rates, currency)
        over = max(credited.total_minor - one.gross_minor, 0)
        parts.append(_Part(one.invoice, rates, taken, tax.less(credited, over, rates)))
    if rest:
        raise ValueError(f"no invoice bears {rest} minor units of what is to be given back")
    return parts


def _given_before(parts: Iterable[_Part], last: Section) -> list[InvoiceLine]:
    """What goodwill gave back already is not given twice: the line that takes it off."""
    minor = sum(part.net_minor - part.given.subtotal_minor for part in parts)
    if not minor:
        return []
    return [
        InvoiceLine(
            kind=InvoiceLine.Kind.GOODWILL,
            amount_minor=minor,
            title="Credited before, as goodwill",
            period_start=last.period.start,
            period_end=last.period.end,
        )
    ]


def _taxes(parts: Iterable[_Part]) -> list[dict[str, Any]]:
    """The rates of the invoices, each once, with what goes back of it."""
    found: dict[Rate, list[int]] = {}
    for part in parts:
        for rate, minor in zip(part.rates, part.given.by_rate, strict=True):
            sums = found.setdefault(rate, [0, 0])
            sums[0] += part.given.taxable_minor
            sums[1] += minor
    return [one for rate, (taxable, minor) in found.items() for one in taxes.to_json([rate], taxable, [minor])]


# --- Why --------------------------------------------------------------------------------------------------------------

# An outcome is reversed once; the journal says by what. A dispute that was upheld takes back as a person does.
_CAUSES = """
SELECT CASE WHEN EXISTS (SELECT FROM settlement_dispute d WHERE d.outcome_id = r.outcome_id AND d.status = 'upheld')
            THEN 'dispute' ELSE coalesce(j.cause, '') END AS why, count(*)
FROM invoicing_linereversal r
LEFT JOIN LATERAL (SELECT j.cause FROM outcomes_journal j
                   WHERE j.outcome_id = r.outcome_id AND j.to_state = 'reversed' ORDER BY j.id DESC LIMIT 1) j ON true
WHERE r.line_id = ANY(%s::uuid[])
GROUP BY why ORDER BY why
"""


def _reason(found: Sequence[Section], time_zone: str) -> str:
    """How many outcomes, of which periods, and why."""
    undone = sum(one.outcomes for section in found for one in section.undone.values())
    causes: dict[str, int] = {}
    if undone:
        lines = [line for section in found for key, line in section.lines.items() if key in section.undone]
        with connection.cursor() as cursor:
            cursor.execute(_CAUSES, [lines])
            causes = {why: count for why, count in cursor.fetchall() if why}
    return wording.credit_reason(
        ", ".join(texts.named(section.period, time_zone) for section in found),
        undone=undone,
        causes=causes,
        fresh=sum(one.outcomes for section in found for one in section.fresh.values()),
        since=all(section.wanted.so_far for section in found),
        moved=sum(
            max(section.moved(one).outcomes, 0) for section in found if not section.follows for one in section.owing
        ),
    )
