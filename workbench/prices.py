"""What customers' last closed periods would have come to by other prices of their rate card, beside what was billed.

The outcomes are those that stand on the documents, and the terms all others; `sections` rates them as it does for every
correction, under terms in which the prices stand in the place of all versions of the card (`simulation.scenario`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q, QuerySet, Sum

from contracts.domain.periods import Period
from contracts.models import Customer, RateCard
from contracts.prices import PriceFields
from contracts.terms import Agreement, Terms
from invoicing import balancing, sections, selection
from invoicing.models import Status
from invoicing.sections import Wanted
from invoicing.selection import Grid
from simulation.asked import Asked, Card
from simulation.scenario import Scenario

MOST_CUSTOMERS: Final = 50
MOST_OUTCOMES: Final = 100_000
"""So many are looked at while somebody waits; a simulation takes them all."""
RECENT: Final = timedelta(days=100)


@dataclass(frozen=True)
class Repriced:
    """A customer's last closed period of a contract that stands on the card, in minor units."""

    customer: Customer
    period: Period
    currency: str
    outcomes: int
    billed_minor: int
    tried_minor: int

    @property
    def difference_minor(self) -> int:
        return self.tried_minor - self.billed_minor


@dataclass(frozen=True)
class LastPeriods:
    """``rows`` begin with what changes most. Of ``customers`` on the card some may have no closed period, and
    ``left_out`` were too many or have too many outcomes to be looked at in one go.
    """

    rows: tuple[Repriced, ...]
    customers: int
    left_out: int


def last_periods(key: str, currency: str, prices: Sequence[PriceFields], now: datetime) -> LastPeriods:
    """Of prices that were found to hold, for the rate card ``key``. Some ten queries for a customer."""
    card = RateCard.objects.filter(key=key).first()
    if card is None:
        return LastPeriods((), 0, 0)
    on_card = customers_on(card, currency)
    count = on_card.count()
    # The largest bills of late come first.
    recent = Q(invoices__issued_at__gte=now - RECENT) & ~Q(invoices__status=Status.VOID)
    listed = on_card.annotate(late=Sum("invoices__subtotal_minor", filter=recent)).order_by("-late", "id")
    chosen = {one.pk: one for one in sorted(listed[:MOST_CUSTOMERS], key=lambda one: -(one.late or 0))}
    asked = Asked(now, now, rate_card=Card(currency, tuple(prices), key))
    scenario = Scenario(asked, {pk: one.key for pk, one in chosen.items()})
    rows: list[Repriced] = []
    left_out, outcomes = count - len(chosen), 0
    for customer in chosen.values():
        if outcomes >= MOST_OUTCOMES:
            left_out += 1
            continue
        found = _last(customer, card, scenario.before, scenario.after, now)
        if found is not None:
            rows.append(found)
            outcomes += found.outcomes
    rows.sort(key=lambda one: (-abs(one.difference_minor), one.customer.key))
    return LastPeriods(tuple(rows), count, left_out)


def customers_on(card: RateCard, currency: str) -> QuerySet[Customer]:
    """Those with a contract that stands on the card, or did; not those that live by a test clock."""
    standing = Customer.objects.filter(contracts__versions__rate_card=card, contracts__currency=currency)
    return Customer.objects.filter(pk__in=standing.values("pk"), test_clock=None)


def _last(customer: Customer, card: RateCard, before: Terms, after: Terms, now: datetime) -> Repriced | None:
    """The latest closed period in which one of the customer's contracts stood on the card."""
    tried = {one.id: one for one in after.agreements(customer.pk)}
    for agreement in reversed(before.agreements(customer.pk)):
        if not any(version.rate_card_id == card.pk for version in agreement.versions):
            continue
        documents = balancing.Documents(agreement)
        grid = selection.grid_of(before, agreement, until=now)
        closed = [period for period in grid.periods if period.start in documents.closed and period.end <= now]
        standing = [period for period in closed if _stands(agreement, card, period)]
        if standing:
            there = selection.grid_of(after, tried[agreement.id], until=now)
            return _repriced(customer, there, documents, standing[-1])
    return None


def _stands(agreement: Agreement, card: RateCard, period: Period) -> bool:
    """Whether what is met in the period, or some of it, is priced by the card."""
    return any(
        version.rate_card_id == card.pk and not version.passes_on
        for start, end, version in agreement.spans()
        if start < period.end and (end is None or end > period.start)
    )


def _repriced(customer: Customer, grid: Grid, documents: balancing.Documents, period: Period) -> Repriced:
    # What commitments are drawn in one period is not there for the later ones.
    walked: Iterable[Period] = [period]
    if balancing.draws(grid.agreement):
        walked = [one for one in grid.periods if one.start <= period.start]
    wanted = [Wanted(one) for one in walked]
    billed = balancing.billed_of(grid, documents, wanted)
    facts = sections.as_it_stands(grid, billed, (), documents.undone, ())
    found = next(one for one in sections.sections(facts, wanted) if one.period.start == period.start)
    outcomes = sum(line.outcome_count for line in found.billed)
    said = sum(line.amount_minor for line in found.billed)
    tried = sum(line.amount_minor for line in found.rated)
    return Repriced(customer, period, grid.agreement.currency, outcomes, said, tried)


def month_before(now: datetime) -> tuple[datetime, datetime]:
    """The calendar month that ended last, in UTC: what a simulation of "last month" is asked for."""
    end = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (end - timedelta(days=1)).replace(day=1), end
