"""Reads: the running period of a customer as it stands, confirmed so far and provisional apart; and what a change of
terms would make of it and of every period that was invoiced. Writes nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from access import ids
from access.errors import ApiError
from access.times import format_rfc3339
from contracts import terms
from contracts.agreements import ID_PREFIX as CONTRACT_PREFIX
from contracts.clocks import is_test, now_of
from contracts.domain import money
from contracts.domain.periods import Period
from contracts.models import Condition, Customer, Price
from contracts.terms import Agreement, Terms
from invoicing import balancing, drafts, lines, queries, sections, selection, standing
from invoicing.domain.owing import NONE, owing
from invoicing.lines import Form
from invoicing.models import InvoiceLine
from invoicing.sections import Facts, Section, Wanted
from invoicing.selection import Grid, Which


@dataclass(frozen=True)
class Part:
    """Lines, not stored, with their total in minor units."""

    lines: tuple[InvoiceLine, ...]
    total_minor: int


@dataclass(frozen=True)
class Preview:
    """``confirmed`` is what would be invoiced were the period to end now, what corrects earlier periods included;
    ``to_credit`` what the next run gives back of those by a credit note, below zero;
    ``provisional`` is what it would be more once everything has settled that is in its settlement window and would
    settle inside the period. What the terms make of the period (minimum, discount ...) is in ``confirmed`` as of what
    is confirmed alone, so ``provisional`` may take some of that back.
    """

    customer: Customer
    agreement: Agreement
    period: Period
    confirmed: Part
    provisional: Part
    to_credit: Part
    held: tuple[queries.Held, ...]


def preview(customer_key: str, *, now: datetime) -> Preview:
    """The running period of a customer's contract. ApiError 404 for an unknown customer or without a contract now."""
    customer = Customer.objects.filter(key=customer_key).first()
    if customer is None:
        raise ApiError(404, "not_found", f"There is no customer {customer_key[:80]!r}.")
    now = now_of(customer, now)
    agreed = terms.load([customer.id])
    agreement = agreed.agreement_at(customer.id, now)
    if agreement is None:
        raise ApiError(404, "no_contract", f"Customer {customer_key!r} has no contract at this time.")
    # `until` is exclusive, and a period may begin at this very instant.
    grid = selection.grid_of(agreed, agreement, until=now + datetime.resolution)
    running = len(grid.periods) - 1
    confirmed, provisional, to_credit = parts_of(agreed, grid, running)
    return Preview(
        customer,
        agreement,
        grid.periods[running],
        confirmed,
        provisional,
        to_credit,
        held=tuple(one for one in queries.held_back([customer.id]) if one.reason != queries.PERIOD_OPEN),
    )


def parts_of(agreed: Terms, grid: Grid, running: int) -> tuple[Part, Part, Part]:
    """What is confirmed, what is provisional, and what is to be given back of a contract, in lines; ``running`` is the
    index of the last period of its grid.
    """
    agreement = grid.agreement
    horizon = grid.horizon(running)
    certain = selection.grouped(grid, horizon, Which.UNBILLED)
    pending = selection.grouped(grid, horizon, Which.PROVISIONAL)
    documents = balancing.Documents(agreement)
    new = standing.changed(agreed, agreement, standing.clocks_of([agreement]).get(agreement.id))
    looked = balancing.looked_at(grid, documents, [*certain, *pending], new, {running})
    wanted = balancing.wanted_of(grid, documents, {running}, looked)
    # What ended and is to be billed by the next run.
    open_yet = {group.period for group in (*certain, *pending)} - looked - {running}
    unclosed = (index for index in range(running) if grid.periods[index].start not in documents.closed)
    open_yet |= {index for index in unclosed if balancing.may_owe(grid, documents, index)}
    wanted += [Wanted(grid.periods[index], closes=True) for index in open_yet]
    billed = balancing.billed_of(grid, documents, wanted)
    trusted = documents.trusted(grid, billed)
    sure = sections.as_it_stands(grid, billed, certain, documents.undone, (Which.UNBILLED,), trusted)
    form = _form(agreement, grid.periods[running])
    found = sections.sections(sure, wanted)
    units = balancing.units_of(grid, found, {running, *open_yet})
    back = [
        section
        for unit in units
        if unit.amount_minor < 0 and not (unit.own and unit.index == running)
        for section in unit.sections
    ]
    confirmed = drafts.in_reading_order([one for one in found if one not in back], grid.periods[running])
    known = {id(one): lines.lines_of(one, sure, form) for one in found}

    more: list[InvoiceLine] = []
    if pending:
        waits = {group.period for group in pending}
        which = (Which.UNBILLED, Which.PROVISIONAL)
        both = sections.as_it_stands(grid, billed, [*certain, *pending], documents.undone, which, trusted)
        everything = {one.index: one for one in sections.sections(both, wanted) if not one.wanted.advance}
        for one in (*confirmed, *back):
            if one.index in waits and not one.wanted.advance:
                more += lines.lines_of(_beside(everything[one.index], one, known[id(one)], both), both, form)
    return (
        _part([line for one in confirmed for line in known[id(one)]], agreement),
        _part(more, agreement),
        _part([line for one in back for line in known[id(one)]], agreement),
    )


def _beside(both: Section, sure: Section, lines_of_it: Sequence[InvoiceLine], facts: Facts) -> Section:
    """What a period is to come to, beside documents and the lines of what is confirmed in it."""
    known = [*sure.billed, *lines_of_it]
    fresh = {key: one.minus(sure.fresh.get(key, NONE)) for key, one in both.fresh.items()}
    fresh = {key: one for key, one in fresh.items() if one}
    found = owing(both.rated, facts.billed.booked(known), set(fresh))
    return replace(both, owing=found, billed=known, fresh=fresh, undone={}, corrects=bool(known))


def _form(agreement: Agreement, period: Period) -> Form:
    return Form(agreement.currency, drafts.payment_terms(agreement, period.end).cadence.time_zone)


def _part(found: Sequence[InvoiceLine], agreement: Agreement) -> Part:
    currency = agreement.currency
    total = money.total((money.Money(line.amount_minor, currency) for line in found), currency)
    prices = Price.objects.in_bulk({line.price_id for line in found if line.price_id is not None})
    for line in found:
        if line.price_id is not None:
            line.price = prices[line.price_id]
    return Part(tuple(found), total.amount_minor)


def preview_json(found: Preview) -> dict[str, Any]:
    """As the API shows it."""
    currency = found.agreement.currency
    slugs = _slugs([*found.confirmed.lines, *found.provisional.lines, *found.to_credit.lines])
    both = found.confirmed.total_minor + found.provisional.total_minor
    return {
        "customer": found.customer.key,
        "test": is_test(found.customer),
        "contract": ids.encode(CONTRACT_PREFIX, found.agreement.id),
        "currency": currency,
        "period_start": format_rfc3339(found.period.start),
        "period_end": format_rfc3339(found.period.end),
        "confirmed": _part_json(found.confirmed, slugs, currency),
        "provisional": _part_json(found.provisional, slugs, currency),
        "expected_total": money.major_text(both, currency),
        "to_credit": _part_json(found.to_credit, slugs, currency),
        "held_back": [{"reason": one.reason, "outcomes": one.outcomes} for one in found.held],
    }


def _slugs(lines: Iterable[InvoiceLine]) -> dict[int | None, str]:
    wanted = {line.condition_id for line in lines if line.condition_id is not None}
    return dict(Condition.objects.filter(pk__in=wanted).values_list("pk", "slug").iterator())


def _part_json(part: Part, slugs: dict[int | None, str], currency: str) -> dict[str, Any]:
    return {
        "lines": [queries.line_content_json(line, slugs.get(line.condition_id), currency) for line in part.lines],
        "total": money.major_text(part.total_minor, currency),
    }


# --- What a change of terms would change ------------------------------------------------------------------------------


def before_and_after(customer_id: int, before: Terms, after: Terms, now: datetime) -> list[dict[str, Any]]:
    """The running period and every earlier one that was invoiced, of each contract of the customer whose versions
    differ: everything that is confirmed in it (and, of the running period, provisional), rated under the terms before
    and after. Earlier periods only where that makes a difference.
    """
    found: list[dict[str, Any]] = []
    old = {agreement.id: agreement for agreement in before.agreements(customer_id)}
    for agreement in after.agreements(customer_id):
        known = old.get(agreement.id)
        if known is None or agreement.starts_at > now:
            continue
        have = {version.id for version in known.versions}
        changes = [version.effective_at for version in agreement.versions if version.id not in have]
        if not changes and known.ends_at == agreement.ends_at:
            continue
        since = min(changes, default=now)
        grids = [
            selection.grid_of(terms_, one, until=now + datetime.resolution)
            for terms_, one in ((before, known), (after, agreement))
        ]
        documents = balancing.Documents(agreement)
        closed = documents.closed
        wanted = []
        for period in grids[1].periods:
            running = period == grids[1].periods[-1] and agreement.covers(now)
            if period.end > since and (running or period.start in closed):
                wanted.append(period)
        known_before = {period.start for period in grids[0].periods if period.end <= since}
        parts = [
            _whole(grid, documents, wanted, known_before, grids[0], running=agreement.covers(now)) for grid in grids
        ]
        for period in wanted:
            mine = [part.get(period.start, Part((), 0)) for part in parts]
            if period.start not in closed or mine[0].total_minor != mine[1].total_minor:
                found.append(_difference(period, period.start in closed, mine, agreement))
    return found


def _whole(
    grid: Grid,
    documents: balancing.Documents,
    periods: Sequence[Period],
    unchanged: Collection[datetime],
    before: Grid,
    *,
    running: bool,
) -> dict[datetime, Part]:
    """By its start, everything that a period comes to under the terms of the grid, whatever is invoiced of it: what is
    confirmed, and of the last period of the grid, where it is ``running``, what is provisional. Those that are
    ``unchanged`` (their starts) come to what they do under the terms ``before``.
    """
    asked = {one.start for one in periods}
    if not asked:
        return {}
    # What commitments are drawn in one period is not there for the later ones, on a document or not.
    walked = grid.periods if balancing.draws(grid.agreement) else [one for one in grid.periods if one.start in asked]
    wanted = [Wanted(period) for period in walked]
    indexes = {grid.index_of(one.period.start) for one in wanted}
    last = len(grid.periods) - 1
    fresh = selection.grouped(grid, grid.horizon(last), Which.UNBILLED)
    which: tuple[Which, ...] = (Which.UNBILLED,)
    if running:
        pending = selection.grouped(grid, grid.horizon(last), Which.PROVISIONAL)
        fresh += [group for group in pending if group.period == last]
        which = (Which.UNBILLED, Which.PROVISIONAL)
    fresh = [group for group in fresh if group.period in indexes]
    billed = balancing.billed_of(grid, documents, wanted)
    trusted = documents.trusted(before, billed).intersection(unchanged)
    facts = sections.as_it_stands(grid, billed, fresh, documents.undone, which, trusted)
    found = {}
    for one in sections.sections(facts, wanted):
        if one.period.start not in asked:
            continue
        everything = owing(one.rated, {})
        fresh_here = {piece.key: piece.usage for piece in everything if piece.usage}
        whole = replace(one, owing=everything, billed=(), fresh=fresh_here, undone={}, corrects=False)
        form = _form(grid.agreement, one.period)
        found[one.period.start] = _part(lines.lines_of(whole, facts, form), grid.agreement)
    return found


def _difference(period: Period, invoiced: bool, parts: Sequence[Part], agreement: Agreement) -> dict[str, Any]:
    currency = agreement.currency
    slugs = _slugs(line for part in parts for line in part.lines)
    first, second = parts
    return {
        "contract": ids.encode(CONTRACT_PREFIX, agreement.id),
        "currency": currency,
        "period_start": format_rfc3339(period.start),
        "period_end": format_rfc3339(period.end),
        "invoiced": invoiced,
        "before": _part_json(first, slugs, currency),
        "after": _part_json(second, slugs, currency),
        "difference": money.major_text(second.total_minor - first.total_minor, currency),
    }
