"""What must hold of invoices: `manage.py audit` proves it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import connection
from django.db.models import Q

from access.invariants import Findings, Invariant, Scope
from access.times import format_rfc3339
from contracts import terms
from contracts.clocks import nows
from contracts.domain import rating
from contracts.domain.periods import Period
from contracts.domain.rating import Charge, Line, Usage
from contracts.models import Customer
from contracts.terms import Agreement, Terms
from invoicing import audit_credit, balancing, one_off, rated, selection, taxes, wording
from invoicing import billed as standing
from invoicing import standing as clocks
from invoicing.content import content_hashes
from invoicing.domain.owing import Key, owing
from invoicing.domain.tax import credited, taxed
from invoicing.issue import DIGITS
from invoicing.lines import Form, line_of
from invoicing.models import CreditAllocation, CreditNote, Invoice, InvoiceLine, ParkedCustomer, Status
from invoicing.outstanding import outstanding
from invoicing.sections import Facts, Section, Wanted, models_of
from invoicing.selection import Grid, OnLines
from invoicing.tariff import tariff_of
from invoicing.terms_used import TermsUsed
from invoicing.wording import Wording
from settlement.holds import COVERED
from settlement.queries import KEPT_OFF_INVOICES

Document = Invoice | CreditNote

CHUNK = 500

_CONFIRMED = """
SELECT count(*) FROM outcomes_outcome o
WHERE o.state = 'confirmed' AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
"""

# Lines of both kinds of documents, with what is asked of them.
_DOCUMENTED = """(
    SELECT l.*, coalesce(i.customer_id, n.customer_id) AS customer_id, coalesce(i.contract_id, n.contract_id) AS
        contract_id, coalesce(i.currency, n.currency) AS currency, coalesce(i.status, n.status) AS status
    FROM invoicing_invoiceline l
    LEFT JOIN invoicing_invoice i ON i.id = l.invoice_id LEFT JOIN invoicing_creditnote n ON n.id = l.credit_note_id
)"""

# What was reversed after it was billed stays on its line; the line of a later document takes it back.
_BILLED = f"""
SELECT CASE WHEN o.id IS NULL THEN 'a line bills an outcome that does not exist'
            WHEN b.live AND l.status = 'void' THEN 'the line of a void invoice still holds the outcome'
            WHEN NOT b.live AND l.status <> 'void' THEN 'the line of a standing invoice has let the outcome go'
            WHEN o.customer_id <> l.customer_id THEN 'the outcome of another customer is on the invoice'
            WHEN o.condition_id <> l.condition_id THEN 'the outcome of another condition is on the line'
            WHEN o.state NOT IN ('confirmed', 'reversed')
                THEN 'the line bills an outcome that is not confirmed (' || o.state || ')'
            ELSE 'an outcome with other dimensions is on the line' END AS problem,
       l.customer_id AS customer, b.outcome_id AS outcome, l.invoice_id AS invoice, l.credit_note_id AS credit_note,
       l.id AS line
FROM invoicing_lineoutcome b JOIN {_DOCUMENTED} l ON l.id = b.line_id
LEFT JOIN outcomes_outcome o ON o.id = b.outcome_id
WHERE (o.id IS NULL OR b.live = (l.status = 'void') OR o.customer_id <> l.customer_id
       OR o.condition_id <> l.condition_id
       OR (b.live AND (o.state NOT IN ('confirmed', 'reversed')
                       OR NOT jsonb_strip_nulls(o.dimensions) @> l.dimensions)))
  AND (%(customer)s::bigint IS NULL OR l.customer_id = %(customer)s)
"""

_TAKEN_BACK = f"""
SELECT CASE WHEN o.id IS NULL THEN 'a line takes back an outcome that does not exist'
            WHEN r.live AND l.status = 'void' THEN 'the line of a void invoice still takes the outcome back'
            WHEN NOT r.live AND l.status <> 'void'
                THEN 'the line of a standing document no longer takes the outcome back'
            WHEN o.customer_id <> l.customer_id THEN 'the outcome of another customer is taken back'
            WHEN o.condition_id <> l.condition_id THEN 'the outcome of another condition is taken back'
            WHEN o.state <> 'reversed' THEN 'the line takes back an outcome that is ' || o.state
            ELSE 'the line takes back an outcome that no standing line bills' END AS problem,
       l.customer_id AS customer, r.outcome_id AS outcome, l.invoice_id AS invoice, l.credit_note_id AS credit_note,
       l.id AS line
FROM invoicing_linereversal r JOIN {_DOCUMENTED} l ON l.id = r.line_id
LEFT JOIN outcomes_outcome o ON o.id = r.outcome_id
WHERE (o.id IS NULL OR r.live = (l.status = 'void') OR o.customer_id <> l.customer_id
       OR o.condition_id <> l.condition_id
       OR (r.live AND (o.state <> 'reversed'
                       OR NOT EXISTS (SELECT FROM invoicing_lineoutcome b
                                      WHERE b.outcome_id = r.outcome_id AND b.live AND b.line_id <> r.line_id))))
  AND (%(customer)s::bigint IS NULL OR l.customer_id = %(customer)s)
"""

_TWICE = f"""
SELECT 'the outcome stands on ' || count(*) || ' live lines' AS problem, (array_agg(l.customer_id))[1] AS customer,
       b.outcome_id AS outcome, (array_agg(l.invoice_id))[1] AS invoice
FROM invoicing_lineoutcome b JOIN {_DOCUMENTED} l ON l.id = b.line_id
WHERE b.live AND (%(customer)s::bigint IS NULL OR l.customer_id = %(customer)s)
GROUP BY b.outcome_id HAVING count(*) > 1
UNION ALL
SELECT 'the outcome is taken back by ' || count(*) || ' live lines', (array_agg(l.customer_id))[1], r.outcome_id,
       (array_agg(l.invoice_id))[1]
FROM invoicing_linereversal r JOIN {_DOCUMENTED} l ON l.id = r.line_id
WHERE r.live AND (%(customer)s::bigint IS NULL OR l.customer_id = %(customer)s)
GROUP BY r.outcome_id HAVING count(*) > 1
"""

# A line counts what it bills, less what it takes back, and what came from another line because its price changed.
_COUNTED = f"""
WITH held AS (
    SELECT line_id, sum(sign) AS outcomes, sum(sign * quantity) AS quantity, sum(sign * value) AS value
    FROM (SELECT b.line_id, 1 AS sign, o.quantity, greatest(coalesce(o.amount, 0), 0) AS value
          FROM invoicing_lineoutcome b JOIN outcomes_outcome o ON o.id = b.outcome_id
          UNION ALL
          SELECT r.line_id, -1, o.quantity, greatest(coalesce(o.amount, 0), 0)
          FROM invoicing_linereversal r JOIN outcomes_outcome o ON o.id = r.outcome_id) one
    GROUP BY line_id
), counted AS (
    SELECT l.*,
           coalesce(held.outcomes, 0) + coalesce((l.details -> 'moved' ->> 'outcomes')::bigint, 0) AS held_outcomes,
           coalesce(held.quantity, 0) + coalesce((l.details -> 'moved' ->> 'quantity')::numeric, 0) AS held_quantity,
           coalesce(held.value, 0) + coalesce((l.details -> 'moved' ->> 'value')::numeric, 0) AS held_value
    FROM {_DOCUMENTED} l LEFT JOIN held ON held.line_id = l.id
    WHERE %(customer)s::bigint IS NULL OR l.customer_id = %(customer)s
)
SELECT 'the line says ' || l.outcome_count || ' outcomes, quantity ' || trim_scale(coalesce(l.quantity, 0))
           || coalesce(', value ' || (l.details ->> 'value'), '') || '; it holds '
           || l.held_outcomes || ', quantity ' || trim_scale(l.held_quantity)
           || CASE WHEN l.details ? 'value' THEN ', value ' || trim_scale(l.held_value) ELSE '' END
           AS problem,
       l.customer_id AS customer, l.invoice_id AS invoice, l.credit_note_id AS credit_note, l.id AS line
FROM counted l
WHERE l.outcome_count <> l.held_outcomes
   OR (l.status <> 'void' AND l.kind = 'usage'
       AND (l.quantity <> l.held_quantity OR (l.details ->> 'value')::numeric <> l.held_value))
"""

# By instants, which several machines write: what differs by less than a minute says nothing of what came first.
# What is covered is looked for once, whatever the planner believes of the tables.
_ISSUED_ALTHOUGH = f"""
WITH disputed AS MATERIALIZED (SELECT outcome_id, raised_at, resolved_at FROM settlement_dispute),
covered AS MATERIALIZED (SELECT h.covered, h.condition_id, h.placed_at, h.released_at FROM {COVERED} h)
SELECT 'the invoice was issued while the outcome was disputed' AS problem, i.customer_id AS customer,
       b.outcome_id AS outcome, i.id AS invoice, l.id AS line, d.raised_at, i.issued_at
FROM disputed d JOIN invoicing_lineoutcome b ON b.outcome_id = d.outcome_id AND b.live
JOIN invoicing_invoiceline l ON l.id = b.line_id JOIN invoicing_invoice i ON i.id = l.invoice_id
WHERE i.issued_at > d.raised_at + interval '1 minute'
  AND (d.resolved_at IS NULL OR i.issued_at < d.resolved_at - interval '1 minute')
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
UNION ALL
SELECT 'the invoice was issued while a hold covered the outcome', i.customer_id, b.outcome_id, i.id, l.id,
       h.placed_at, i.issued_at
FROM covered h JOIN invoicing_lineoutcome b ON b.outcome_id = h.covered AND b.live
JOIN invoicing_invoiceline l ON l.id = b.line_id JOIN invoicing_invoice i ON i.id = l.invoice_id
WHERE i.issued_at > h.placed_at + interval '1 minute'
  AND (h.released_at IS NULL OR i.issued_at < h.released_at - interval '1 minute')
  -- A hold on a condition is dated by the wall clock, an invoice of a test customer by its own.
  AND (h.condition_id IS NULL OR EXISTS (SELECT FROM contracts_customer c
                                         WHERE c.id = i.customer_id AND c.test_clock_id IS NULL))
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
"""

_INVOICES = """
SELECT count(*) FROM invoicing_invoice i WHERE %(customer)s::bigint IS NULL OR i.customer_id = %(customer)s
"""

# Credit notes: see audit_credit.
_TOTALS = """
SELECT 'the lines come to ' || coalesce(lines.total, 0) || ' and the invoice to ' || i.subtotal_minor || ' minor units'
           AS problem, i.customer_id AS customer, i.id AS invoice, i.number
FROM invoicing_invoice i
LEFT JOIN (SELECT l.invoice_id, sum(l.amount_minor) AS total FROM invoicing_invoiceline l GROUP BY l.invoice_id) lines
    ON lines.invoice_id = i.id
WHERE i.subtotal_minor <> coalesce(lines.total, 0) AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
"""

_TERMS = f"""
SELECT CASE WHEN k.customer_id <> l.customer_id THEN 'the invoice stands on another customer''s contract'
            WHEN v.contract_id <> l.contract_id THEN 'the line stands on a version of another contract'
            WHEN p.condition_id <> l.condition_id THEN 'the line has the price of another condition'
            WHEN l.kind = 'usage' AND p.unit_price IS DISTINCT FROM l.unit_price
                THEN 'the line has another unit price than its price'
            WHEN l.kind = 'usage' AND NOT l.dimensions @> p.match THEN 'the line has a price for other dimensions'
            WHEN l.currency <> k.currency THEN 'the invoice is in another currency than its contract'
            ELSE 'the price is on neither the contract nor its rate card' END AS problem,
       l.customer_id AS customer, l.invoice_id AS invoice, l.credit_note_id AS credit_note, l.id AS line,
       p.id AS price
FROM {_DOCUMENTED} l
JOIN contracts_contract k ON k.id = l.contract_id
LEFT JOIN contracts_contractversion v ON v.id = l.contract_version_id
LEFT JOIN contracts_price p ON p.id = l.price_id LEFT JOIN contracts_ratecardversion r ON r.id = p.rate_card_version_id
WHERE (k.customer_id <> l.customer_id OR v.contract_id <> l.contract_id OR p.condition_id <> l.condition_id
       OR l.currency <> k.currency
       OR (l.kind = 'usage'
           AND (p.unit_price IS DISTINCT FROM l.unit_price OR NOT l.dimensions @> p.match
                OR (p.contract_version_id IS DISTINCT FROM v.id AND r.rate_card_id IS DISTINCT FROM v.rate_card_id))))
  AND (%(customer)s::bigint IS NULL OR l.customer_id = %(customer)s)
"""

_ISSUED = """
SELECT count(*) FROM (SELECT status, customer_id FROM invoicing_invoice
                      UNION ALL SELECT status, customer_id FROM invoicing_creditnote) d
WHERE d.status <> 'draft' AND (%(customer)s::bigint IS NULL OR d.customer_id = %(customer)s)
"""

_NUMBERED = """(
    SELECT number, customer_id, id AS invoice, NULL::uuid AS credit_note FROM invoicing_invoice WHERE status <> 'draft'
    UNION ALL SELECT number, customer_id, NULL, id FROM invoicing_creditnote WHERE status <> 'draft'
)"""

# Numbers are looked at as a whole: a customer's own have gaps.
_GAPS = f"""
WITH given AS (
    SELECT s.prefix || lpad(n::text, greatest({DIGITS}, length(n::text)), '0') AS number
    FROM invoicing_numberseries s CROSS JOIN LATERAL generate_series(1, s.next_number - 1) AS n
)
SELECT CASE WHEN d.number IS NULL THEN 'the number was given and no document carries it'
            ELSE 'the document carries a number that its series has not given' END AS problem,
       coalesce(d.number, given.number) AS number, d.invoice, d.credit_note, d.customer_id AS customer
FROM given FULL JOIN {_NUMBERED} d ON d.number = given.number
WHERE (d.number IS NULL OR given.number IS NULL) AND %(customer)s::bigint IS NULL
"""

_SAME_NUMBER = f"""
SELECT count(*) || ' documents carry one number' AS problem, d.number,
       (array_agg(d.invoice ORDER BY d.invoice))[1] AS invoice,
       (array_agg(d.credit_note ORDER BY d.credit_note))[1] AS credit_note
FROM {_NUMBERED} d WHERE d.number IS NOT NULL AND %(customer)s::bigint IS NULL
GROUP BY d.number HAVING count(*) > 1
"""

_STATUS = """
SELECT CASE WHEN i.status = 'draft' THEN 'a draft has what only issuing gives'
            WHEN i.number IS NULL OR i.issued_at IS NULL OR i.content_hash = ''
                THEN 'the invoice is issued and lacks number, date or hash'
            ELSE 'the instants of the invoice are not in step with its status' END AS problem,
       i.customer_id AS customer, i.id AS invoice, i.number, i.status
FROM invoicing_invoice i
WHERE ((i.status = 'draft') <> (i.number IS NULL) OR (i.status = 'draft') <> (i.issued_at IS NULL)
       OR (i.status = 'draft') <> (i.content_hash = '') OR (i.status = 'paid') <> (i.paid_at IS NOT NULL)
       OR (i.status = 'void') <> (i.voided_at IS NOT NULL)
       OR (i.status = 'uncollectible' AND i.uncollectible_at IS NULL))
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
"""

_SAME_PERIOD = """
SELECT count(*) || ' standing invoices are for one period' AS problem, i.customer_id AS customer,
       i.contract_id AS contract, (array_agg(i.id ORDER BY i.id))[1] AS invoice
FROM invoicing_invoice i
WHERE i.status <> 'void' AND i.contract_id IS NOT NULL
  AND (%(customer)s::bigint IS NULL OR i.customer_id = %(customer)s)
GROUP BY i.customer_id, i.contract_id, i.period_start, i.ordinal HAVING count(*) > 1
"""


# --- What SQL alone cannot say ----------------------------------------------------------------------------------------


def _check_amounts(scope: Scope, findings: Findings) -> None:
    """The lines of each document and period, rated again under the prices and terms they record; and its tax."""
    every: Iterable[Sequence[Document]] = chain(_chunked(Invoice, scope), _chunked(CreditNote, scope))
    for documents in every:
        lines = _lines_for(documents)
        issued = _issued_at(documents)
        agreed = terms.load({document.customer_id for document in documents})
        for document in documents:
            if isinstance(document, Invoice) and document.kind == Invoice.Kind.ONE_OFF:
                _check_items(document, lines.get(document.id, ()), findings)
            elif document.content_format == 1:
                _check_each(document, lines[document.id], findings)
            else:
                _check_document(document, lines, issued, agreed, findings)
        _check_taxes(documents, findings)


def _rated_with(documents: Sequence[Document]) -> set[UUID]:
    """The documents whose lines these were rated with."""
    return {UUID(one) for document in documents for entry in document.terms for one in entry["billed_on"]}


def _issued_at(documents: Sequence[Document]) -> dict[UUID, datetime | None]:
    """When those that these were rated with were issued. Two queries."""
    wanted = _rated_with(documents)
    every = (kind.objects.filter(pk__in=wanted).values_list("pk", "issued_at") for kind in (Invoice, CreditNote))
    return dict(chain.from_iterable(every))


def _lines_for(documents: Sequence[Document]) -> dict[UUID, list[InvoiceLine]]:
    """By document, the lines of these and of those whose lines they were rated with."""
    wanted = {document.id for document in documents} | _rated_with(documents)
    found: dict[UUID, list[InvoiceLine]] = defaultdict(list)
    rows = InvoiceLine.objects.filter(Q(invoice__in=wanted) | Q(credit_note__in=wanted)).exclude(kind="goodwill")
    for line in rows.select_related("invoice", "credit_note", "price").order_by("position"):
        found[standing.document_of(line)].append(line)
    return found


def _check_items(invoice: Invoice, lines: Sequence[InvoiceLine], findings: Findings) -> None:
    """The items of a one-off invoice that are so many units at a price; others are what was written."""
    for line in lines:
        if line.quantity is not None and line.unit_price is not None:
            minor = one_off.amount_minor(line.quantity, line.unit_price, invoice.currency)
            _compare(invoice, line, minor, line.steps, findings)


def _check_each(document: Document, lines: Sequence[InvoiceLine], findings: Findings) -> None:
    """Before there were terms beside prices each line was rounded by itself."""
    for line in lines:
        try:
            charges = _charges(standing.Billed({}, frozenset()), [line])
            (again,) = rating.rate_lines(charges, document.currency)
        except (ValueError, TypeError, OverflowError) as error:
            _say(findings, document, line, f"the line cannot be rated again: {error}")
            continue
        steps = [{name: step[name] for name in _OLD_STEP} for step in wording.steps_json(again.steps)]
        _compare(document, line, again.amount_minor, steps, findings)


_OLD_STEP = ("quantity", "unit_price", "amount")


def _check_document(
    document: Document,
    lines: Mapping[UUID, Sequence[InvoiceLine]],
    issued: Mapping[UUID, datetime | None],
    agreed: Terms,
    findings: Findings,
) -> None:
    own = list(lines.get(document.id, ()))
    agreement = _agreement(agreed, document)
    told: set[UUID] = set()
    for stored in document.terms:
        mine: list[InvoiceLine] = []
        try:
            used = TermsUsed.from_json(stored)
            of_period = [line for line in own if line.period_start == used.period.start]
            mine = [line for line in of_period if line.id not in told][: used.lines]
            if agreement is None or any(_was_draft(issued.get(one), document) for one in used.billed_on):
                continue
            others = [
                line for one in used.billed_on for line in lines.get(one, ()) if line.period_start == used.period.start
            ]
            others += [line for line in of_period if line.id in told]
            again, models = _rated_again(agreed, agreement, used, mine, others)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            _say(findings, document, mine[0] if mine else None, f"the lines cannot be rated again: {error}")
            continue
        finally:
            told |= {line.id for line in mine}
        billed = standing.on_documents(agreement, {})
        by_key: dict[Key, list[InvoiceLine]] = defaultdict(list)
        for line in mine:
            by_key[billed.key_of(line)].append(line)
        if Counter(one.key for one in again.owing) != Counter({key: len(some) for key, some in by_key.items()}):
            problem = "the terms recorded give other lines than the document has"
            _say(findings, document, mine[0] if mine else None, problem)
            continue
        form = Form(document.currency, document.time_zone)
        for one in again.owing:
            line = by_key[one.key].pop(0)
            expected = line_of(again, one, models.get(one.key), None, form)
            _compare(document, line, expected.amount_minor, expected.steps, findings)
    for line in own if document.contract_id else ():
        if line.id not in told:
            _say(findings, document, line, "the document records no terms for the line's period")


def _was_draft(issued_at: datetime | None, document: Document) -> bool:
    """Whether a document was a draft when this one was issued: it may have been made anew, or be gone, since. Drafts
    are made anew together.
    """
    return document.issued_at is not None and (issued_at is None or issued_at > document.issued_at)


def _rated_again(
    agreed: Terms,
    agreement: Agreement,
    used: TermsUsed,
    mine: Sequence[InvoiceLine],
    others: Sequence[InvoiceLine],
) -> tuple[Section, dict[Key, InvoiceLine]]:
    """What was to be booked of a period by the usage that its lines say, and by key a line that stood already."""
    billed = standing.on_documents(agreement, {used.period.start: others})
    before = billed.of(used.period.start, advance=used.advance)
    usage = [*others, *mine]
    on_lines = OnLines({0: [line.id for line in usage]}, [line.id for line in usage], history=True)
    rated_lines = _rate(agreed, agreement, used, _charges(billed, usage), on_lines)
    touched = {billed.key_of(line) for line in mine if line.kind == rating.USAGE}
    found = owing(rated_lines, billed.booked(before), touched)
    section = Section(
        Wanted(used.period, used.advance), None, used, rated_lines, found, before, {}, {}, {}, corrects=bool(before)
    )
    return section, models_of(before, billed)


def _charges(billed: standing.Billed, lines: Iterable[InvoiceLine]) -> list[Charge]:
    """The usage that lines say together, as it is charged."""
    usage = [line for line in lines if line.kind == rating.USAGE]
    prices = standing.prices_of({line.price_id: line.price for line in usage if line.price is not None}.values())
    found = []
    for key, booked in billed.booked(usage).items():
        _, price, dimensions, version = key
        counts = booked.usage
        if counts:
            condition = prices[cast(int, price)].condition
            values = cast(rating.Dimensions, dimensions)
            whole = Usage(condition, values, counts.quantity, counts.outcomes, value=counts.value)
            found.append(Charge(prices[cast(int, price)], whole, version))
    return found


def _rate(
    agreed: Terms, agreement: Agreement, used: TermsUsed, charges: Sequence[Charge], on_lines: OnLines
) -> tuple[Line, ...]:
    """A period under the terms recorded; where outcomes count one by one, priced as the contract stood then."""
    figures = rated.NO_FIGURES
    if any(rating.needs_order(charge.price) for charge in charges) and not used.advance:
        grid = _as_recorded(agreed, agreement, used, [used.period])
        tariff = tariff_of(grid, selection.kept(grid, on_lines))
        figures = rated.figures_of(grid, used, 0, charges, tariff, on_lines)
    return rated.lines_of(agreement, used, () if used.advance else charges, figures)


def _as_recorded(agreed: Terms, agreement: Agreement, used: TermsUsed, periods: Sequence[Period]) -> Grid:
    """The contract with these periods and its prices as they stood."""
    if used.versions is None or used.card_versions is None:
        return Grid(agreement, tuple(periods), agreed.stretches(agreement))
    then, stretches = agreed.as_of(agreement, used.versions, used.card_versions)
    return Grid(then, tuple(periods), stretches)


def _agreement(agreed: Terms, document: Document) -> Agreement | None:
    return next((one for one in agreed.agreements(document.customer_id) if one.id == document.contract_id), None)


def _compare(document: Document, line: InvoiceLine, amount_minor: int, steps: list[Any], findings: Findings) -> None:
    if line.amount_minor != amount_minor:
        problem = f"the line comes to {amount_minor} minor units and says {line.amount_minor}"
        _say(findings, document, line, problem)
    elif line.steps != steps:
        _say(findings, document, line, "the arithmetic printed for the line is not what gives its amount")


def _say(findings: Findings, document: Document, line: InvoiceLine | None, problem: str) -> None:
    kind = "invoice" if isinstance(document, Invoice) else "credit_note"
    findings.violation(
        {
            "problem": problem,
            "customer": document.customer_id,
            kind: document.id,
            "number": document.number,
            "line": None if line is None else line.id,
        }
    )


def _check_taxes(documents: Sequence[Document], findings: Findings) -> None:
    """An invoice's tax is that of its lines by the rates it records, and what is credited of it takes back the tax of
    what it takes back; less where goodwill gave some of it before.
    """
    invoices = [one for one in documents if isinstance(one, Invoice)]
    for invoice in invoices:
        found = taxed(invoice.subtotal_minor, taxes.recorded(invoice.taxes), invoice.currency)
        recorded = tuple(one["amount_minor"] for one in invoice.taxes)
        if (found.by_rate, found.tax_minor, found.total_minor) != (recorded, invoice.tax_minor, invoice.total_minor):
            problem = f"with tax the invoice comes to {found.total_minor} minor units and says {invoice.total_minor}"
            _say(findings, invoice, None, problem)
    by_invoice: dict[UUID, list[CreditAllocation]] = defaultdict(list)
    rows = CreditAllocation.objects.filter(invoice__in=invoices).select_related("credit_note").order_by("id")
    for row in rows:
        by_invoice[row.invoice_id].append(row)
    for invoice in invoices:
        left, rates = invoice.subtotal_minor, taxes.recorded(invoice.taxes)
        goodwill = any(row.credit_note.kind == CreditNote.Kind.GOODWILL for row in by_invoice[invoice.id])
        for row in by_invoice[invoice.id]:
            if row.credit_note.kind == CreditNote.Kind.GOODWILL:
                continue
            due = credited(left, left - row.net_minor, rates, invoice.currency)
            left -= row.net_minor
            exact = (row.tax_minor, row.total_minor) == (due.tax_minor, due.total_minor)
            if not (exact or (goodwill and row.tax_minor <= due.tax_minor and row.total_minor < due.total_minor)):
                problem = (
                    f"{due.total_minor} minor units go back of invoice {invoice.number}, and the note says "
                    f"{row.total_minor}"
                )
                _say(findings, row.credit_note, None, problem)


# --- Billed is owed ---------------------------------------------------------------------------------------------------


def _check_owed(scope: Scope, findings: Findings) -> None:
    """Of each period, everything that documents say against the outcomes on them, rated again."""
    for documents in _by_contract(scope):
        agreed = terms.load({document.customer_id for document in documents})
        lines = _lines_for(documents)
        of_contract: dict[UUID | None, list[Document]] = defaultdict(list)
        for document in documents:
            of_contract[document.contract_id].append(document)
        for some in of_contract.values():
            agreement = _agreement(agreed, some[0])
            if agreement is not None:
                _check_periods(agreed, agreement, some, lines, findings)


def _check_periods(
    agreed: Terms,
    agreement: Agreement,
    documents: Sequence[Document],
    lines: Mapping[UUID, Sequence[InvoiceLine]],
    findings: Findings,
) -> None:
    on: dict[datetime, list[InvoiceLine]] = defaultdict(list)
    for document in documents:
        for line in lines.get(document.id, ()):
            on[line.period_start].append(line)
    billed = standing.on_documents(agreement, on)
    for used, document in standing.last_accounts(documents, billed):
        mine = billed.of(used.period.start)
        usage = [line.id for line in mine if line.kind == rating.USAGE]
        on_lines = OnLines({0: usage}, usage)
        try:
            grid = _as_recorded(agreed, agreement, used, [used.period])
            kept = selection.kept(grid, on_lines)
            tariff = tariff_of(grid, kept)
            titles = Wording((), kept, tariff)
            charges = Facts(grid, billed, tariff, titles, kept, {}, {}, {}, {}, on_lines).charges(0)
            found = owing(_rate(agreed, agreement, used, charges, on_lines), billed.booked(mine))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            _say(findings, document, None, f"the period cannot be rated again: {error}")
            continue
        for one in found:
            if one.amount_minor or one.usage:
                start = format_rfc3339(used.period.start)
                problem = (
                    f"of the period from {start} the documents say {one.billed_minor} minor units of {one.key[0]}, and "
                    f"{one.billed_minor + one.amount_minor} are owed"
                    if one.amount_minor
                    else f"of the period from {start} the documents count other {one.key[0]} than they bill"
                )
                _say(findings, document, None, problem)


def _by_contract(scope: Scope) -> Iterator[Sequence[Document]]:
    """All standing documents of some contracts at a time, drafts of invoices apart: those are made anew."""
    contracts = Invoice.objects.filter(contract__isnull=False).exclude(status__in=[Status.DRAFT, Status.VOID])
    if scope.customer is not None:
        contracts = contracts.filter(customer=scope.customer)
    ids = list(contracts.order_by("contract").values_list("contract", flat=True).distinct())
    for start in range(0, len(ids), CHUNK // 10):
        some = ids[start : start + CHUNK // 10]
        invoices = Invoice.objects.filter(contract__in=some).exclude(status__in=[Status.DRAFT, Status.VOID])
        notes = CreditNote.objects.filter(contract__in=some, kind=CreditNote.Kind.AUTOMATIC)
        yield [*invoices.order_by("id"), *notes.order_by("id")]


# Undone for long enough that a run should have seen it, or terms that are as old.
_UNDONE = """
SELECT DISTINCT o.customer_id
FROM outcomes_outcome o JOIN invoicing_lineoutcome b ON b.outcome_id = o.id AND b.live
WHERE o.state = 'reversed' AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
  AND NOT EXISTS (SELECT FROM invoicing_linereversal r WHERE r.outcome_id = o.id AND r.live)
  AND EXISTS (SELECT FROM outcomes_journal j
              WHERE j.outcome_id = o.id AND j.to_state = 'reversed' AND j.recorded_at < %(since)s)
UNION
SELECT c.customer_id
FROM contracts_contractversion v JOIN contracts_contract c ON c.id = v.contract_id
JOIN invoicing_billingclock t ON t.contract_id = c.id AND v.number > t.versions
WHERE v.created_at < %(since)s AND (%(customer)s::bigint IS NULL OR c.customer_id = %(customer)s)
ORDER BY 1
"""


def _check_waiting(scope: Scope, findings: Findings) -> None:
    """What has been owed back for a day. What is owed beyond what is billed waits for the next invoice, and may."""
    with connection.cursor() as cursor:
        cursor.execute(_UNDONE, {"customer": scope.customer, "since": scope.now - PATIENCE})
        customers = Customer.objects.in_bulk([customer for (customer,) in cursor.fetchall()])
    agreed = terms.load(customers)
    own = nows(customers)
    for customer in customers.values():
        for agreement in agreed.agreements(customer.id):
            grid = selection.grid_of(agreed, agreement, until=own.get(customer.id, scope.now))
            minor = -balancing.to_give_back(customer, agreed, grid, own.get(customer.id, scope.now))
            if minor:
                problem = f"{minor} minor units have waited to be given back for more than a day"
                findings.warning({"problem": problem, "customer": customer.id, "contract": agreement.id})


def _check_hashes(scope: Scope, findings: Findings) -> None:
    """The frozen content of every issued invoice against the hash stored when it was issued."""
    for some in _chunked(Invoice, scope):
        invoices = [one for one in some if one.status != Status.DRAFT and one.issued_at and one.due_at]
        hashes = content_hashes(invoices)
        for invoice in invoices:
            if hashes[invoice.id] != invoice.content_hash:
                findings.violation(
                    {
                        "problem": "the invoice is not what was issued: its content has another hash",
                        "customer": invoice.customer_id,
                        "invoice": invoice.id,
                        "number": invoice.number,
                    }
                )


D = TypeVar("D", Invoice, CreditNote)


def _chunked(model: type[D], scope: Scope) -> Iterator[Sequence[D]]:
    documents = model._default_manager.order_by("id")
    if scope.customer is not None:
        documents = documents.filter(customer=scope.customer)
    after: UUID | None = None
    while chunk := list((documents if after is None else documents.filter(id__gt=after))[:CHUNK]):
        yield chunk
        after = chunk[-1].id


_UNBILLED = f"""
SELECT o.customer_id, greatest(min(o.settled_at), '0001-01-02Z') FROM outcomes_outcome o
WHERE o.state = 'confirmed' AND cardinality(o.review) = 0 AND o.quantity IS NOT NULL
  AND (%(customer)s::bigint IS NULL OR o.customer_id = %(customer)s)
  AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b WHERE b.outcome_id = o.id AND b.live)
  AND NOT {KEPT_OFF_INVOICES}
GROUP BY o.customer_id ORDER BY o.customer_id
"""
PATIENCE = timedelta(days=1)
# What damaged terms raise: a price that is none, a time zone that is none.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


def _overdue(scope: Scope, findings: Findings) -> None:
    """Periods that could have been billed a day ago: priced outcomes or terms that owe by themselves, no invoice, and
    nothing that is waited for.
    """
    with connection.cursor() as cursor:
        cursor.execute(_UNBILLED, {"customer": scope.customer})
        waiting: dict[int, datetime | None] = dict(cursor.fetchall())
    for customer_id in clocks.to_be_looked_at(scope.now - PATIENCE):
        if scope.customer in (None, customer_id):
            waiting.setdefault(customer_id, None)
    for start in range(0, len(waiting), CHUNK):
        customers = Customer.objects.in_bulk(list(waiting)[start : start + CHUNK])
        own = nows(customers)
        try:
            agreed = terms.load(customers)
        except UNREADABLE:
            agreed = None
        for customer in customers.values():
            ended = own.get(customer.id, scope.now) - PATIENCE
            try:
                mine = agreed or terms.load([customer.id])
                _overdue_of(mine, customer, waiting[customer.id], ended, findings)
            except UNREADABLE as error:
                problem = f"what the customer is owed cannot be worked out: {error}"
                findings.warning({"problem": problem, "customer": customer.id})
    parked = ParkedCustomer.objects.order_by("since")
    if scope.customer is not None:
        parked = parked.filter(customer=scope.customer)
    for one in parked:
        findings.warning({"problem": f"billing the customer fails: {one.reason}", "customer": one.customer_id})


def _overdue_of(
    agreed: Terms, customer: Customer, earliest: datetime | None, ended: datetime, findings: Findings
) -> None:
    for agreement in agreed.agreements(customer.id):
        for period in _billable(agreed, agreement, earliest, ended):
            if not outstanding(customer, period.end):
                problem = f"the period that ended at {period.end.isoformat()} has not been billed"
                findings.warning({"problem": problem, "customer": customer.id, "contract": agreement.id})


def _billable(agreed: Terms, agreement: Agreement, earliest: datetime | None, ended: datetime) -> list[Period]:
    """The contract's periods that ended at or before ``ended``, have something to bill, and no invoice."""
    since = agreement.starts_at if clocks.owes_by_itself(agreement) else earliest
    if (
        since is None
        or agreement.starts_at >= ended
        or agreement.period_of(max(since, agreement.starts_at)).end > ended
    ):
        return []
    grid = selection.grid_of(agreed, agreement, until=ended)
    past = [index for index, period in enumerate(grid.periods) if period.end <= ended]
    if not past:
        return []
    found = selection.unbilled(grid, grid.horizon(past[-1]))
    tariff = tariff_of(grid, found)
    fresh = [group for group in found if tariff.number_of(group) is not None]
    due = {group.period for group in fresh}
    documents = balancing.Documents(agreement)
    drafted = {one.period_start for one in documents.drafts}
    missing = [index for index in past if grid.periods[index].start not in documents.closed | drafted]
    owed = balancing.owed_alone(agreed, grid, documents, fresh, missing)
    return [grid.periods[index] for index in missing if index in due or index in owed]


INVARIANTS = (
    Invariant(
        name="billed once",
        sentence="Each confirmed outcome stands on one line of one standing document, or waits for a reason; what is "
        "taken back was billed, once; a line bills what it says.",
        way_out="An outcome on two invoices: void the later one. A line that does not hold what it says, on an issued "
        "invoice: void the invoice, which sets its outcomes waiting, and bill again. On a draft: run manage.py bill. "
        "What has not been billed: manage.py bill says why. What was billed although it was "
        "held or disputed: void the invoice and bill again.",
        of="confirmed outcomes",
        checked=_CONFIRMED,
        violations=(_BILLED, _TAKEN_BACK, _TWICE, _COUNTED, _ISSUED_ALTHOUGH),
        functions=(_overdue,),
    ),
    Invariant(
        name="amounts",
        sentence="The lines of an invoice or credit note come to its total with tax, each line to what its recorded "
        "price gives, and what is credited of an invoice to no more than the invoice.",
        way_out="Void the invoice and bill again: the lines are worked out anew from the terms. A price that was "
        "changed in place comes from a backup first: terms never change.",
        of="invoices",
        checked=_INVOICES,
        violations=(_TOTALS, _TERMS),
        functions=(_check_amounts,),
    ),
    Invariant(
        name="owed",
        sentence="For each contract period billed = owed: what documents say of it is what the outcomes on them come "
        "to.",
        way_out="Void the period's invoice and bill again where it can be; else have the next run look at the contract "
        "(delete its row of invoicing_billingclock): it writes the difference. What has waited for more than a day: "
        "manage.py bill says why.",
        of="documents",
        checked=_INVOICES,
        functions=(_check_owed, _check_waiting),
    ),
    Invariant(
        name="numbers",
        sentence="Numbers of invoices and credit notes have no gap and no duplicate, and each period has one standing "
        "invoice.",
        way_out="A number without its document: that was deleted past the database's guards, put it back from a "
        "backup. A series that is behind: set its next_number past the numbers in use before anything is issued.",
        of="issued documents",
        checked=_ISSUED,
        violations=(_GAPS, _SAME_NUMBER, _SAME_PERIOD),
    ),
    Invariant(
        name="frozen",
        sentence="No issued invoice or credit note has changed since it was issued: its content has the hash stored "
        "then.",
        way_out="Compare the document with its PDF or a backup and put back what was changed. If the invoice that was "
        "sent was wrong, void it and bill again; never edit it.",
        of="issued documents",
        checked=_ISSUED,
        violations=(_STATUS, audit_credit.STATUS),
        functions=(_check_hashes, audit_credit.check_hashes),
    ),
    *audit_credit.INVARIANTS,
)
