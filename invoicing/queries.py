"""Reads of invoices, of what stands on them, and of what stands on none and why."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from access import ids
from access.times import format_rfc3339
from contracts import terms
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.clocks import is_test, nows
from contracts.domain import money, rating
from invoicing import credit, texts
from invoicing.domain import lifecycle
from invoicing.models import (
    CreditAllocation,
    CreditApplication,
    CreditNote,
    Invoice,
    InvoiceLine,
    LineOutcome,
    LineReversal,
)
from invoicing.refusals import LINE_PREFIX, NOTE_PREFIX, public_id
from outcomes.explaining import Wait
from outcomes.models import Outcome, State
from outcomes.queries import OUTCOME_PREFIX
from settlement.disputes import DISPUTED
from settlement.holds import HELD
from settlement.queries import DISPUTE, HOLD, kept_off_invoices

PERIOD_OPEN: Final = "period_open"
ON_DRAFT: Final = "draft"
REVIEW: Final = "review"
NO_CONTRACT: Final = "no_contract"
PASSED_ON: Final = "passed_on"
NOT_PRICED: Final = "not_priced"

REASONS: Final = {
    PERIOD_OPEN: "waits for the end of its billing period, or for the next invoice",
    ON_DRAFT: "stands on a draft",
    HOLD: "a hold covers it, on itself, its customer or its condition",
    DISPUTE: "it is disputed, and that is not decided yet",
    REVIEW: "a person must complete it: its quantity or amount is unknown, or its time to settle",
    NO_CONTRACT: "the customer had no contract when it was met",
    PASSED_ON: "its contract has it handed over to another system, which invoices it",
    NOT_PRICED: "no price fitted it when it was met",
}
"""Why a confirmed outcome is on no issued invoice."""

INVOICE_DETAILS: Final[list[Callable[[Sequence[Invoice]], Mapping[UUID, dict[str, Any]]]]] = []
"""What higher apps tell of invoices, by invoice, merged into what the API shows of them; they register when they load.
Each is asked once for all invoices of an answer.
"""

CREDIT_NOTE_DETAILS: Final[list[Callable[[Sequence[CreditNote]], Mapping[UUID, dict[str, Any]]]]] = []
"""The same of credit notes."""


# --- Invoices ---------------------------------------------------------------------------------------------------------


def invoices(
    customer: str | None = None,
    status: str | None = None,
    kind: str | None = None,
    overdue: bool | None = None,
    due_before: datetime | None = None,
    *,
    now: datetime | None = None,
) -> QuerySet[Invoice]:
    """Invoices, of the customer with that key, in that status, of that kind, overdue or not, due before an instant,
    where given. ``overdue`` is judged at ``now``, for customers with a test clock at what it shows.
    """
    found = Invoice.objects.select_related("customer")
    if customer is not None:
        found = found.filter(customer__key=customer)
    if status is not None:
        found = found.filter(status=status)
    if kind is not None:
        found = found.filter(kind=kind)
    if due_before is not None:
        found = found.filter(due_at__lt=due_before)
    if overdue is not None:
        assert now is not None, "overdue by which clock?"
        found = (
            found.filter(overdue_at(now)) if overdue else found.exclude(pk__in=Invoice.objects.filter(overdue_at(now)))
        )
    return found


def overdue_at(now: datetime) -> Q:
    """`lifecycle.is_overdue` in SQL, each customer by its own clock."""
    live = Q(customer__test_clock__isnull=True, due_at__lt=now)
    test = Q(customer__test_clock__isnull=False, due_at__lt=F("customer__test_clock__now"))
    return Q(status=lifecycle.ISSUED) & (live | test)


def lines_of(invoice_ids: Iterable[UUID]) -> dict[UUID, list[InvoiceLine]]:
    """The lines of some invoices, in order, each with how many of its outcomes no longer hold (``reversed_count``) and
    the credit notes that gave their money back (``credited_by``). Three queries.
    """
    return _lines_of(Invoice, invoice_ids)


def _lines_of(documents: type[Invoice] | type[CreditNote], wanted: Iterable[UUID]) -> dict[UUID, list[InvoiceLine]]:
    column = "invoice" if documents is Invoice else "credit_note"
    found: dict[UUID, list[InvoiceLine]] = {document: [] for document in wanted}
    rows = (
        InvoiceLine.objects.filter(**{f"{column}__in": list(found)})
        .select_related("condition", "price")
        .order_by(column, "position")
    )
    no_longer = (
        LineOutcome.objects.filter(**{f"line__{column}__in": list(found)}, live=True)
        .exclude(outcome__state=State.CONFIRMED)
        .values_list("line")
        .annotate(Count("id"))
    )
    reversed_counts = dict(no_longer)
    credited_by: dict[UUID, list[credit.TakenBack]] = defaultdict(list)
    for one in credit.taken_back(documents, found):
        if one.note is not None:
            credited_by[one.line].append(one)
    for line in rows:
        line.reversed_count = reversed_counts.get(line.id, 0)  # type: ignore[attr-defined]
        line.credited_by = credited_by[line.id]  # type: ignore[attr-defined]
        found[getattr(line, f"{column}_id")].append(line)
    return found


def invoice_json(invoice: Invoice, *, now: datetime) -> dict[str, Any]:
    """An invoice with its lines as the API shows it. ``now`` is the wall clock's. See `invoices_json`."""
    return invoices_json([invoice], now=now)[0]


def invoices_json(rows: Iterable[Invoice], *, now: datetime) -> list[dict[str, Any]]:
    """Invoices with their lines as the API shows them. Amounts and quantities are decimal strings. The same number of
    queries for one as for many.
    """
    found = list(rows)
    wanted = [row.id for row in found]
    facts = _Facts(
        lines_of(wanted),
        credit.applied_to(wanted),
        credit.credited(wanted),
        credit.corrected(row.id for row in found if row.status in lifecycle.OPEN),
    )
    own = nows({row.customer_id for row in found})
    shown = [_invoice_json(row, facts, own.get(row.customer_id, now)) for row in found]
    for add in INVOICE_DETAILS:
        _tell(found, shown, add(found))
    return shown


def _tell(rows: Sequence[Any], shown: list[dict[str, Any]], told: Mapping[UUID, dict[str, Any]]) -> None:
    """Merge what a higher app tells of rows into what is shown of each."""
    for row, one in zip(rows, shown, strict=True):
        one |= told.get(row.id, {})


@dataclass(frozen=True)
class _Facts:
    """What is told of some invoices beside what they say themselves; amounts in minor units."""

    lines: dict[UUID, list[InvoiceLine]]
    applied: dict[UUID, int]
    credited: dict[UUID, int]
    corrected: set[UUID]


def _invoice_json(invoice: Invoice, facts: _Facts, now: datetime) -> dict[str, Any]:
    def amount(minor: int) -> str:
        return money.major_text(minor, invoice.currency)

    applied = facts.applied.get(invoice.id, 0)
    return {
        "id": public_id(invoice),
        "number": invoice.number,
        "kind": invoice.kind,
        "status": invoice.status,
        "available_actions": list(
            lifecycle.invoice_actions(
                invoice.status,
                corrected=invoice.id in facts.corrected,
                one_off=invoice.kind == Invoice.Kind.ONE_OFF,
            )
        ),
        "customer": invoice.customer.key,
        "test": is_test(invoice.customer),
        "contract": _contract(invoice),
        "currency": invoice.currency,
        "period_start": format_rfc3339(invoice.period_start),
        "period_end": format_rfc3339(invoice.period_end),
        "memo": invoice.memo,
        "lines": [line_json(line, invoice.currency) for line in facts.lines[invoice.id]],
        "subtotal": amount(invoice.subtotal_minor),
        "tax": amount(invoice.tax_minor),
        "taxes": taxes_json(invoice),
        "total": amount(invoice.total_minor),
        "credits": [
            {"credit_note": one["credit_note"], "number": one["number"], "amount": amount(one["amount_minor"])}
            for one in invoice.credits
        ],
        "credited": amount(facts.credited.get(invoice.id, 0)),
        "credit_applied": amount(applied),
        "amount_due": amount(lifecycle.due_minor(invoice.status, invoice.total_minor, applied)),
        "overdue": lifecycle.is_overdue(invoice.status, invoice.due_at, now),
        "net_days": invoice.net_days,
        "content_hash": invoice.content_hash or None,
        "created_at": format_rfc3339(invoice.created_at),
        "issued_at": _time(invoice.issued_at),
        "due_at": _time(invoice.due_at),
        "paid_at": _time(invoice.paid_at),
        "uncollectible_at": _time(invoice.uncollectible_at),
        "voided_at": _time(invoice.voided_at),
    }


def taxes_json(document: Invoice | CreditNote) -> list[dict[str, Any]]:
    """The rates that a document used, each with what it came to."""
    amounts = {"taxable_minor": "taxable", "amount_minor": "amount"}
    return [
        {
            amounts.get(name, name): money.major_text(value, document.currency) if name in amounts else value
            for name, value in rate.items()
        }
        for rate in document.taxes
    ]


def _contract(document: Invoice | CreditNote) -> str | None:
    return None if document.contract_id is None else ids.encode(CONTRACT_PREFIX, document.contract_id)


def line_json(line: InvoiceLine, currency: str) -> dict[str, Any]:
    """A line as the API shows it. ``reversed_count`` and ``credited_by`` are of today, the rest is as issued."""
    return {
        "id": ids.encode(LINE_PREFIX, line.id),
        **line_content_json(line, None if line.condition is None else line.condition.slug, currency),
        "sentence": line.sentence,
        "voided_count": line.voided_count,
        "reversed_count": getattr(line, "reversed_count", 0),
        "credited_by": [
            {"credit_note": ids.encode(NOTE_PREFIX, one.note), "number": one.number, "outcomes": one.outcomes}
            for one in getattr(line, "credited_by", ())
        ],
    }


def line_content_json(line: InvoiceLine, condition: str | None, currency: str) -> dict[str, Any]:
    """What a line says, be it stored or not; ``condition`` is the slug of its condition."""
    return {
        "kind": line.kind,
        "title": line.title,
        "condition": condition,
        "model": None if line.price is None else line.price.model,
        "dimensions": line.dimensions,
        "quantity": None if line.quantity is None else texts.plain(line.quantity),
        "unit_price": None if line.unit_price is None else texts.unit_price(line.unit_price, currency),
        "amount": money.major_text(line.amount_minor, currency),
        "steps": line.steps,
        "details": line.details,
        "outcome_count": line.outcome_count,
        "period_start": format_rfc3339(line.period_start),
        "period_end": format_rfc3339(line.period_end),
    }


def line_outcomes(line: InvoiceLine) -> QuerySet[Outcome]:
    """What a line bills and what it takes back (``taken_back_here``); also what the line of a void invoice did."""
    billed = LineOutcome.objects.filter(line=line).values_list("outcome_id")
    taken_back = LineReversal.objects.filter(line=line).values_list("outcome_id")
    return (
        Outcome.objects.filter(pk__in=billed.union(taken_back, all=True))
        .annotate(taken_back_here=Exists(LineReversal.objects.filter(line=line, outcome=OuterRef("pk"))))
        .select_related("subject", "condition")
    )


def line_outcome_json(outcome: Outcome) -> dict[str, Any]:
    """One outcome on a line as the API shows it."""
    return {
        "id": ids.encode(OUTCOME_PREFIX, outcome.id),
        "condition": outcome.condition.slug,
        "subject": outcome.subject.key,
        "state": outcome.state,
        "met_at": _time(outcome.met_at),
        "settled_at": _time(outcome.settled_at),
        "quantity": None if outcome.quantity is None else texts.plain(outcome.quantity),
        "dimensions": outcome.dimensions,
        "taken_back": outcome.taken_back_here,  # type: ignore[attr-defined]
    }


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else format_rfc3339(instant)


# --- Credit notes -----------------------------------------------------------------------------------------------------


def credit_notes(
    customer: str | None = None, status: str | None = None, invoice: UUID | None = None
) -> QuerySet[CreditNote]:
    """Credit notes, of the customer with that key, in that status, that correct that invoice, where given."""
    found = CreditNote.objects.select_related("customer")
    if customer is not None:
        found = found.filter(customer__key=customer)
    if status is not None:
        found = found.filter(status=status)
    if invoice is not None:
        found = found.filter(Exists(CreditAllocation.objects.filter(credit_note=OuterRef("pk"), invoice=invoice)))
    return found


def credit_note_json(note: CreditNote) -> dict[str, Any]:
    """A credit note with its lines as the API shows it. See `credit_notes_json`."""
    return credit_notes_json([note])[0]


def credit_notes_json(rows: Iterable[CreditNote]) -> list[dict[str, Any]]:
    """Credit notes as the API shows them: what is given back is above zero, on lines and in totals. The same number of
    queries for one as for many.
    """
    found = list(rows)
    wanted = [row.id for row in found]
    lines = _lines_of(CreditNote, wanted)
    taken_back = LineReversal.objects.filter(line__credit_note__in=wanted).order_by()
    counts = dict(taken_back.values_list("line").annotate(Count("id")))
    free = credit.remaining(wanted)
    corrects: dict[UUID, list[CreditAllocation]] = defaultdict(list)
    for one in CreditAllocation.objects.filter(credit_note__in=wanted).select_related("invoice").order_by("id"):
        corrects[one.credit_note_id].append(one)
    applied: dict[UUID, list[CreditApplication]] = defaultdict(list)
    applications = CreditApplication.objects.filter(credit_note__in=wanted, live=True).select_related("invoice")
    for application in applications.order_by("id"):
        applied[application.credit_note_id].append(application)
    shown = [
        _credit_note_json(note, free.get(note.id, 0))
        | {
            "lines": [
                note_line_json(line, note.currency) | {"taken_back_count": counts.get(line.id, 0)}
                for line in lines[note.id]
            ],
            "invoices": [_allocation_json(one, note.currency) for one in corrects[note.id]],
            "applied": [_application_json(one, note.currency) for one in applied[note.id]],
        }
        for note in found
    ]
    for add in CREDIT_NOTE_DETAILS:
        _tell(found, shown, add(found))
    return shown


def _credit_note_json(note: CreditNote, remaining_minor: int) -> dict[str, Any]:
    """What a note says of itself, and what is free of it."""

    def amount(minor: int) -> str:
        return money.major_text(minor, note.currency)

    return {
        "id": credit.public_id(note),
        "number": note.number,
        "kind": note.kind,
        "status": note.status,
        "available_actions": list(lifecycle.note_actions(note.status, note.kind, remaining_minor)),
        "customer": note.customer.key,
        "test": is_test(note.customer),
        "contract": _contract(note),
        "currency": note.currency,
        "reason": note.reason,
        "destination": note.destination,
        "subtotal": amount(note.subtotal_minor),
        "tax": amount(note.tax_minor),
        "taxes": taxes_json(note),
        "total": amount(note.total_minor),
        "remaining": amount(remaining_minor),
        "content_hash": note.content_hash or None,
        "created_by": note.created_by or None,
        "created_at": format_rfc3339(note.created_at),
        "issued_at": _time(note.issued_at),
    }


def note_line_json(line: InvoiceLine, currency: str) -> dict[str, Any]:
    """A credit note's line as the API shows it: what it takes from its period is above zero."""
    shown = line_json(line, currency)
    steps, details = shown["steps"], dict(shown["details"])
    if "period_amount" not in details:
        # The arithmetic of the line by itself; otherwise it is that of the period, and stays as it is.
        steps = [step | {name: _turned(step[name]) for name in ("quantity", "amount")} for step in steps]
    if "value" in details:
        details["value"] = _turned(details["value"])
    return shown | {
        "amount": money.major_text(-line.amount_minor, currency),
        "quantity": None if line.quantity is None else texts.plain(-line.quantity),
        "outcome_count": -line.outcome_count,
        "steps": steps,
        "details": details,
    }


def _turned(number: str) -> str:
    """A decimal as text, the other way round."""
    return texts.plain(-Decimal(number))


def _allocation_json(allocation: CreditAllocation, currency: str) -> dict[str, Any]:
    return {
        "id": public_id(allocation.invoice),
        "number": allocation.invoice.number,
        "net": money.major_text(allocation.net_minor, currency),
        "tax": money.major_text(allocation.tax_minor, currency),
        "amount": money.major_text(allocation.total_minor, currency),
    }


def _application_json(application: CreditApplication, currency: str) -> dict[str, Any]:
    """Where credit went: an invoice, or back to the customer (``refund``), with its reference."""
    invoice = application.invoice
    return {
        "to": "refund" if invoice is None else "invoice",
        "invoice": None if invoice is None else public_id(invoice),
        "number": None if invoice is None else invoice.number,
        "amount": money.major_text(application.amount_minor, currency),
        "reference": application.reference or None,
        "by": application.made_by or None,
        "at": format_rfc3339(application.created_at),
    }


# --- Billed and taken back --------------------------------------------------------------------------------------------


# Of a line: that its document is issued, or was.
_ISSUED = ~Q(line__invoice__status=lifecycle.DRAFT) & ~Q(line__credit_note__status=lifecycle.DRAFT)


def reversed_after_billing(customer_id: int | None = None) -> QuerySet[LineOutcome]:
    """Outcomes that were reversed after an issued document billed them, and that none has taken back yet, newest first:
    the next billing run does. A draft that takes one back counts as none.
    """
    found = (
        LineOutcome.objects.filter(_ISSUED, live=True, outcome__state=State.REVERSED)
        .exclude(Exists(LineReversal.objects.filter(_ISSUED, live=True, outcome=OuterRef("outcome"))))
        .select_related("line__invoice__customer", "line__credit_note__customer", "outcome")
        .order_by("-outcome_id")
    )
    return found if customer_id is None else found.filter(outcome__customer=customer_id)


# --- Confirmed and on no invoice --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """So many confirmed outcomes of a customer on no issued invoice, and why (a key of `REASONS`)."""

    customer_id: int
    reason: str
    outcomes: int


def unbilled_reasons(outcome_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Why each of these confirmed outcomes is on no issued invoice; those that are, or are not confirmed, are left out.

    What a person keeps off invoices has that reason also while it still stands on a draft, which lets it go when it is
    refreshed. Five queries for terms and four more, whatever the number of outcomes.
    """
    wanted = list(outcome_ids)
    confirmed = list(
        Outcome.objects.filter(pk__in=wanted, state=State.CONFIRMED).values_list(
            "pk", "customer_id", "condition_id", "met_at", "dimensions", "quantity", "amount", "review"
        )
    )
    status = Coalesce("line__invoice__status", "line__credit_note__status")
    on_draft = dict(LineOutcome.objects.filter(outcome__in=wanted, live=True).values_list("outcome_id", status))
    kept_off = kept_off_invoices(wanted)
    agreed = terms.load({row[1] for row in confirmed})
    reasons: dict[UUID, str] = {}
    for outcome_id, customer_id, condition_id, met_at, dimensions, quantity, amount, review in confirmed:
        if on_draft.get(outcome_id, lifecycle.DRAFT) != lifecycle.DRAFT:
            continue
        if outcome_id in kept_off:
            reasons[outcome_id] = kept_off[outcome_id]
        elif outcome_id in on_draft:
            reasons[outcome_id] = ON_DRAFT
        else:
            values = rating.dimensions_of(dimensions)
            incomplete = quantity is None or bool(review)
            reasons[outcome_id] = _reason(
                agreed, customer_id, condition_id, met_at, values, incomplete, valued=amount is not None
            )
    return reasons


# Grouped by the second of `met_at` only where a contract's terms change: the thresholds are the starts of its
# stretches.
_HELD = f"""
SELECT o.condition_id, o.dimensions::text, width_bucket(o.met_at, %(cuts)s::timestamptz[]) AS cut,
       (o.quantity IS NULL OR cardinality(o.review) > 0) AS incomplete, o.amount IS NOT NULL AS valued,
       EXISTS (SELECT FROM invoicing_lineoutcome b JOIN invoicing_invoiceline l ON l.id = b.line_id
               LEFT JOIN invoicing_invoice i ON i.id = l.invoice_id
               LEFT JOIN invoicing_creditnote n ON n.id = l.credit_note_id
               WHERE b.outcome_id = o.id AND b.live AND coalesce(i.status, n.status) = 'draft') AS drafted,
       CASE WHEN {HELD} THEN '{HOLD}' WHEN {DISPUTED} THEN '{DISPUTE}' END AS kept_off,
       min(o.met_at), count(*)
FROM outcomes_outcome o
WHERE o.customer_id = %(customer)s AND o.state = 'confirmed'
  AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b JOIN invoicing_invoiceline l ON l.id = b.line_id
                  LEFT JOIN invoicing_invoice i ON i.id = l.invoice_id
                  LEFT JOIN invoicing_creditnote n ON n.id = l.credit_note_id
                  WHERE b.outcome_id = o.id AND b.live AND coalesce(i.status, n.status) <> 'draft')
GROUP BY o.condition_id, o.dimensions, cut, incomplete, valued, drafted, kept_off
"""


def held_back(customer_ids: Iterable[int]) -> list[Held]:
    """How many confirmed outcomes of these customers are on no issued invoice, by reason. One query per customer."""
    wanted = list(customer_ids)
    agreed = terms.load(wanted)
    held: list[Held] = []
    for customer_id in wanted:
        counts: dict[str, int] = {}
        rows = _held_rows(agreed, customer_id)
        for condition_id, dimensions, review, valued, drafted, kept_off, met_at, outcomes in rows:
            if kept_off:
                reason = kept_off
            elif drafted:
                reason = ON_DRAFT
            else:
                values = rating.dimensions_of(dimensions)
                reason = _reason(agreed, customer_id, condition_id, met_at, values, review, valued=valued)
            counts[reason] = counts.get(reason, 0) + outcomes
        held += [Held(customer_id, reason, counts[reason]) for reason in REASONS if reason in counts]
    return held


# Condition, dimensions, incomplete, amount known, on a draft, what keeps it off, the earliest `met_at`, how many.
_HeldRow = tuple[int, dict[str, Any], bool, bool, bool, str | None, datetime, int]


def _held_rows(agreed: terms.Terms, customer_id: int) -> list[_HeldRow]:
    cuts: set[datetime] = set()
    for agreement in agreed.agreements(customer_id):
        cuts.update(stretch.start for stretch in agreed.stretches(agreement))
        if agreement.ends_at is not None:
            cuts.add(agreement.ends_at)
    if not cuts:
        # Without a contract one group is enough; any threshold will do.
        cuts.add(datetime.fromisoformat("1970-01-01T00:00:00+00:00"))
    with connection.cursor() as cursor:
        cursor.execute(_HELD, {"customer": customer_id, "cuts": sorted(cuts)})
        rows = cursor.fetchall()
    return [(condition, json.loads(dimensions), *rest) for condition, dimensions, _, *rest in rows]


def _reason(
    agreed: terms.Terms,
    customer_id: int,
    condition_id: int,
    met_at: datetime | None,
    dimensions: rating.Dimensions,
    incomplete: bool,
    *,
    valued: bool,
) -> str:
    """The first reason that applies, in the order in which a person would have to mend them."""
    if incomplete or met_at is None:
        return REVIEW
    version = agreed.version_at(customer_id, met_at)
    if version is None:
        return NO_CONTRACT
    if version.passes_on:
        return PASSED_ON
    prices = agreed.prices_at(customer_id, condition_id, met_at)
    price = rating.choose(prices, condition_id, dimensions)
    if price is None:
        return NOT_PRICED
    return REVIEW if price.model == rating.PERCENTAGE and not valued else PERIOD_OPEN


# --- Where an outcome is billed ---------------------------------------------------------------------------------------


def billed_on(outcome_ids: Iterable[UUID]) -> dict[UUID, InvoiceLine]:
    """The line, with its document, on which each outcome stands now; those on none are left out."""
    return _lines_with(LineOutcome.objects.filter(outcome__in=list(outcome_ids), live=True))


def taken_back_on(outcome_ids: Iterable[UUID]) -> dict[UUID, InvoiceLine]:
    """The line, with its document, that takes each outcome back; those that none does are left out."""
    return _lines_with(LineReversal.objects.filter(outcome__in=list(outcome_ids), live=True))


def _lines_with(rows: QuerySet[LineOutcome] | QuerySet[LineReversal]) -> dict[UUID, InvoiceLine]:
    return {row.outcome_id: row.line for row in rows.select_related("line__invoice", "line__credit_note")}


def outcome_billing(outcome: Outcome) -> dict[str, Any]:
    """Where an outcome is billed and taken back, for its detail: the lines; or the reason why it is on none issued."""
    reason = unbilled_reasons([outcome.id]).get(outcome.id)
    return {
        "invoice_line": _reference_json(billed_on([outcome.id]).get(outcome.id)),
        "taken_back": _reference_json(taken_back_on([outcome.id]).get(outcome.id)),
        "unbilled": None if reason is None else {"reason": reason, "message": _sentence(REASONS[reason])},
    }


def _reference_json(line: InvoiceLine | None) -> dict[str, Any] | None:
    """A line by its id and its document's: ``invoice`` or ``credit_note``, the other is null."""
    if line is None:
        return None
    return {
        "id": ids.encode(LINE_PREFIX, line.id),
        "invoice": None if line.invoice is None else public_id(line.invoice),
        "credit_note": None if line.credit_note is None else credit.public_id(line.credit_note),
        "number": line.document.number,
    }


def outcome_waits(outcome: Outcome, now: datetime) -> list[Wait]:
    """Why a confirmed outcome stands on no issued document; on which one it stands; and which gave its money back."""
    reason = unbilled_reasons([outcome.id]).get(outcome.id)
    if reason == PASSED_ON:
        return [Wait("", f"It is not invoiced here: {REASONS[reason]}.")]
    if reason is not None:
        return [Wait(reason, f"It is not invoiced yet: {REASONS[reason]}.")]
    told = []
    if (line := billed_on([outcome.id]).get(outcome.id)) is not None:
        told.append(Wait("", f"It stands on {_named(line.document)}."))
    if (line := taken_back_on([outcome.id]).get(outcome.id)) is not None:
        draft = ", once that is issued" if line.document.status == lifecycle.DRAFT else ""
        verb = "goes" if draft else "went"
        told.append(Wait("", f"Its money {verb} back with {_named(line.document)}{draft}."))
    return told


def _named(document: Invoice | CreditNote) -> str:
    if isinstance(document, Invoice):
        return f"invoice {document.number or public_id(document)}"
    return f"credit note {document.number or credit.public_id(document)}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
