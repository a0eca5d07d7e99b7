"""Reads of invoices, of what stands on them, and of what stands on none and why."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Count, QuerySet

from access import ids
from access.times import format_rfc3339
from contracts import terms
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.domain import money, rating
from invoicing import texts
from invoicing.domain import lifecycle
from invoicing.models import Invoice, InvoiceLine, LineOutcome
from invoicing.refusals import LINE_PREFIX, public_id
from outcomes.models import Outcome, State
from outcomes.queries import OUTCOME_PREFIX

PERIOD_OPEN: Final = "period_open"
ON_DRAFT: Final = "draft"
REVIEW: Final = "review"
NO_CONTRACT: Final = "no_contract"
NOT_PRICED: Final = "not_priced"

REASONS: Final = {
    PERIOD_OPEN: "waits for the end of its billing period, or for the next invoice",
    ON_DRAFT: "stands on a draft",
    REVIEW: "a person must complete it: its quantity or amount is unknown, or its time to settle",
    NO_CONTRACT: "the customer had no contract when it was met",
    NOT_PRICED: "no price fitted it when it was met",
}
"""Why a confirmed outcome is on no issued invoice."""


# --- Invoices ---------------------------------------------------------------------------------------------------------


def invoices(customer: str | None = None, status: str | None = None) -> QuerySet[Invoice]:
    """Invoices, of the customer with that key and in that status where given."""
    found = Invoice.objects.select_related("customer")
    if customer is not None:
        found = found.filter(customer__key=customer)
    if status is not None:
        found = found.filter(status=status)
    return found


def lines_of(invoice_ids: Iterable[UUID]) -> dict[UUID, list[InvoiceLine]]:
    """The lines of some invoices, in order, each with its ``reversed_count``. One query."""
    found: dict[UUID, list[InvoiceLine]] = {invoice_id: [] for invoice_id in invoice_ids}
    rows = (
        InvoiceLine.objects.filter(invoice__in=list(found))
        .select_related("condition", "price")
        .order_by("invoice", "position")
    )
    reversed_counts = _reversed_counts(found)
    for line in rows:
        line.reversed_count = reversed_counts.get(line.id, 0)  # type: ignore[attr-defined]
        found[line.invoice_id].append(line)
    return found


def invoice_json(invoice: Invoice, lines: Iterable[InvoiceLine]) -> dict[str, Any]:
    """An invoice as the API shows it. Amounts and quantities are decimal strings."""
    return {
        "id": public_id(invoice),
        "number": invoice.number,
        "status": invoice.status,
        "available_actions": list(lifecycle.ACTIONS[invoice.status]),
        "customer": invoice.customer.key,
        "contract": ids.encode(CONTRACT_PREFIX, invoice.contract_id),
        "currency": invoice.currency,
        "period_start": format_rfc3339(invoice.period_start),
        "period_end": format_rfc3339(invoice.period_end),
        "lines": [line_json(line, invoice.currency) for line in lines],
        "total": money.major_text(invoice.total_minor, invoice.currency),
        "net_days": invoice.net_days,
        "content_hash": invoice.content_hash or None,
        "created_at": format_rfc3339(invoice.created_at),
        "issued_at": _time(invoice.issued_at),
        "due_at": _time(invoice.due_at),
        "paid_at": _time(invoice.paid_at),
        "voided_at": _time(invoice.voided_at),
    }


def line_json(line: InvoiceLine, currency: str) -> dict[str, Any]:
    """A line as the API shows it. ``reversed_count`` is of today, the rest is as issued."""
    return {
        "id": ids.encode(LINE_PREFIX, line.id),
        "title": line.title,
        "condition": line.condition.slug,
        "model": line.price.model,
        "dimensions": line.dimensions,
        "quantity": texts.plain(line.quantity),
        "unit_price": texts.unit_price(line.unit_price, currency),
        "amount": money.major_text(line.amount_minor, currency),
        "steps": line.steps,
        "sentence": line.sentence,
        "outcome_count": line.outcome_count,
        "voided_count": line.voided_count,
        "reversed_count": getattr(line, "reversed_count", 0),
        "period_start": format_rfc3339(line.period_start),
        "period_end": format_rfc3339(line.period_end),
    }


def line_outcomes(line: InvoiceLine) -> QuerySet[LineOutcome]:
    """What a line bills; also what the line of a void invoice billed."""
    return LineOutcome.objects.filter(line=line).select_related("outcome__subject", "outcome__condition")


def line_outcome_json(billed: LineOutcome) -> dict[str, Any]:
    """One outcome on a line as the API shows it."""
    outcome = billed.outcome
    return {
        "id": ids.encode(OUTCOME_PREFIX, outcome.id),
        "condition": outcome.condition.slug,
        "subject": outcome.subject.key,
        "state": outcome.state,
        "met_at": _time(outcome.met_at),
        "settled_at": _time(outcome.settled_at),
        "quantity": None if outcome.quantity is None else texts.plain(outcome.quantity),
        "dimensions": outcome.dimensions,
    }


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else format_rfc3339(instant)


# --- Billed and taken back --------------------------------------------------------------------------------------------


def reversed_after_billing(customer_id: int | None = None) -> QuerySet[LineOutcome]:
    """Outcomes that were reversed after an invoice billed them, newest first.

    Nothing gives their money back yet: that is the credit note's business. Until then they are visible here, as
    ``reversed_count`` on their lines, and in the billing command's summary.
    """
    found = (
        LineOutcome.objects.filter(live=True, outcome__state=State.REVERSED)
        .exclude(line__invoice__status=lifecycle.DRAFT)
        .select_related("line__invoice__customer", "outcome")
        .order_by("-outcome_id")
    )
    return found if customer_id is None else found.filter(line__invoice__customer_id=customer_id)


def _reversed_counts(invoice_ids: Iterable[UUID]) -> dict[UUID, int]:
    rows = (
        LineOutcome.objects.filter(line__invoice__in=list(invoice_ids), live=True)
        .exclude(outcome__state=State.CONFIRMED)
        .values_list("line")
        .annotate(Count("id"))
    )
    return dict(rows)


# --- Confirmed and on no invoice --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """So many confirmed outcomes of a customer on no issued invoice, and why (a key of `REASONS`)."""

    customer_id: int
    reason: str
    outcomes: int


def unbilled_reasons(outcome_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Why each of these confirmed outcomes is on no issued invoice; those that are, or are not confirmed, are left out.

    Five queries for terms and two more, whatever the number of outcomes.
    """
    wanted = list(outcome_ids)
    confirmed = list(
        Outcome.objects.filter(pk__in=wanted, state=State.CONFIRMED).values_list(
            "pk", "customer_id", "condition_id", "met_at", "dimensions", "quantity", "review"
        )
    )
    on_draft = dict(
        LineOutcome.objects.filter(outcome__in=wanted, live=True).values_list("outcome_id", "line__invoice__status")
    )
    agreed = terms.load({row[1] for row in confirmed})
    reasons: dict[UUID, str] = {}
    for outcome_id, customer_id, condition_id, met_at, dimensions, quantity, review in confirmed:
        if outcome_id in on_draft:
            if on_draft[outcome_id] == lifecycle.DRAFT:
                reasons[outcome_id] = ON_DRAFT
        else:
            values = rating.dimensions_of(dimensions)
            reasons[outcome_id] = _reason(agreed, customer_id, condition_id, met_at, values, quantity is None or review)
    return reasons


# Grouped by the second of `met_at` only where a contract's terms change: the thresholds are the starts of its
# stretches.
_HELD = """
SELECT o.condition_id, o.dimensions::text, width_bucket(o.met_at, %(cuts)s::timestamptz[]) AS cut,
       (o.quantity IS NULL OR cardinality(o.review) > 0) AS incomplete,
       EXISTS (SELECT FROM invoicing_lineoutcome b JOIN invoicing_invoiceline l ON l.id = b.line_id
               JOIN invoicing_invoice i ON i.id = l.invoice_id AND i.status = 'draft'
               WHERE b.outcome_id = o.id AND b.live) AS drafted,
       min(o.met_at), count(*)
FROM outcomes_outcome o
WHERE o.customer_id = %(customer)s AND o.state = 'confirmed'
  AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b JOIN invoicing_invoiceline l ON l.id = b.line_id
                  JOIN invoicing_invoice i ON i.id = l.invoice_id AND i.status <> 'draft'
                  WHERE b.outcome_id = o.id AND b.live)
GROUP BY o.condition_id, o.dimensions, cut, incomplete, drafted
"""


def held_back(customer_ids: Iterable[int]) -> list[Held]:
    """How many confirmed outcomes of these customers are on no issued invoice, by reason. One query per customer."""
    wanted = list(customer_ids)
    agreed = terms.load(wanted)
    held: list[Held] = []
    for customer_id in wanted:
        counts: dict[str, int] = {}
        for condition_id, dimensions, review, drafted, met_at, outcomes in _held_rows(agreed, customer_id):
            if drafted:
                reason = ON_DRAFT
            else:
                values = rating.dimensions_of(dimensions)
                reason = _reason(agreed, customer_id, condition_id, met_at, values, review)
            counts[reason] = counts.get(reason, 0) + outcomes
        held += [Held(customer_id, reason, counts[reason]) for reason in REASONS if reason in counts]
    return held


def _held_rows(agreed: terms.Terms, customer_id: int) -> list[tuple[int, dict[str, Any], bool, bool, datetime, int]]:
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
    return [(row[0], json.loads(row[1]), row[3], row[4], row[5], row[6]) for row in rows]


def _reason(
    agreed: terms.Terms,
    customer_id: int,
    condition_id: int,
    met_at: datetime | None,
    dimensions: rating.Dimensions,
    review: Any,
) -> str:
    """The first reason that applies, in the order in which a person would have to mend them."""
    if review or met_at is None:
        return REVIEW
    if agreed.agreement_at(customer_id, met_at) is None:
        return NO_CONTRACT
    prices = agreed.prices_at(customer_id, condition_id, met_at)
    return NOT_PRICED if rating.choose(prices, condition_id, dimensions) is None else PERIOD_OPEN


# --- Where an outcome is billed ---------------------------------------------------------------------------------------


def billed_on(outcome_ids: Iterable[UUID]) -> dict[UUID, InvoiceLine]:
    """The line, with its invoice, on which each outcome stands now; those on none are left out."""
    rows = LineOutcome.objects.filter(outcome__in=list(outcome_ids), live=True).select_related("line__invoice")
    return {row.outcome_id: row.line for row in rows}


def outcome_billing(outcome: Outcome) -> dict[str, Any]:
    """Where an outcome is billed, for its detail: the invoice line, or the reason why it stands on none issued."""
    line = billed_on([outcome.id]).get(outcome.id)
    reason = unbilled_reasons([outcome.id]).get(outcome.id)
    return {
        "invoice_line": None
        if line is None
        else {
            "id": ids.encode(LINE_PREFIX, line.id),
            "invoice": public_id(line.invoice),
            "number": line.invoice.number,
        },
        "unbilled": None if reason is None else {"reason": reason, "message": _sentence(REASONS[reason])},
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
