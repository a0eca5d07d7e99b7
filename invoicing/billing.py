"""Use case: a billing run. For every contract, each ended period that is not invoiced yet: draft, lines, issue.

A run compares what is with what should be and writes the difference, so it may be stopped anywhere, repeated, and run
twice at once: one customer is one transaction under the lock of the customer's row, and a second run finds nothing left
to do.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from contracts import terms
from contracts.domain.periods import Period
from contracts.models import Customer
from contracts.terms import Agreement, Terms
from invoicing import drafts, selection
from invoicing.issue import freeze
from invoicing.models import Invoice, ParkedCustomer, Status
from invoicing.outstanding import outstanding, outstanding_at_close
from invoicing.selection import Grid, Group, grid_of

log = structlog.get_logger(__name__)

# Terms are read for so many customers at once.
CHUNK = 500

# Customers with a billable outcome on no invoice line, with the earliest, and those with a draft to refresh or issue.
_DUE = """
WITH unbilled AS (
    SELECT o.customer_id, min(o.settled_at) AS earliest FROM outcomes_outcome o
    WHERE o.state = 'confirmed' AND cardinality(o.review) = 0 AND o.quantity IS NOT NULL
      AND (%(only)s::bigint[] IS NULL OR o.customer_id = ANY(%(only)s))
      AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b WHERE b.outcome_id = o.id AND b.live)
    GROUP BY o.customer_id
), drafted AS (
    SELECT DISTINCT i.customer_id FROM invoicing_invoice i WHERE i.status = 'draft'
)
SELECT k.customer_id, unbilled.earliest, drafted.customer_id IS NOT NULL
FROM (SELECT DISTINCT customer_id FROM contracts_contract WHERE starts_at < %(now)s) k
LEFT JOIN unbilled USING (customer_id)
LEFT JOIN drafted USING (customer_id)
WHERE (unbilled.customer_id IS NOT NULL OR drafted.customer_id IS NOT NULL)
  AND (%(only)s::bigint[] IS NULL OR k.customer_id = ANY(%(only)s))
ORDER BY k.customer_id
"""


@dataclass(frozen=True)
class CustomerResult:
    """What a run did for one customer. ``waiting`` and ``parked`` are the reason, or empty."""

    customer_id: int
    issued: tuple[UUID, ...] = ()
    drafted: tuple[UUID, ...] = ()
    waiting: str = ""
    parked: str = ""


@dataclass(frozen=True)
class RunReport:
    """What a run did, customer by customer."""

    results: tuple[CustomerResult, ...]

    @property
    def issued(self) -> tuple[UUID, ...]:
        return tuple(invoice for result in self.results for invoice in result.issued)

    @property
    def drafted(self) -> tuple[UUID, ...]:
        return tuple(invoice for result in self.results for invoice in result.drafted)

    @property
    def waiting(self) -> tuple[CustomerResult, ...]:
        return tuple(result for result in self.results if result.waiting)

    @property
    def parked(self) -> tuple[CustomerResult, ...]:
        return tuple(result for result in self.results if result.parked)


Progress = Callable[[int, int, CustomerResult], None]
"""Called after each customer that was worked on: how many are done, how many there are, what was done for this one."""


def run(*, now: datetime, only: Collection[int] | None = None, progress: Progress | None = None) -> RunReport:
    """Bill everything that ended at or before ``now``, for all customers or for the ids in ``only``.

    A customer that fails is rolled back and parked with the reason; the run goes on with the next. A customer for whom
    something could still settle inside a period waits and is reported. Safe to repeat at any time.
    """
    candidates = _candidates(now=now, only=only)
    results: list[CustomerResult] = []
    done = 0
    for start in range(0, len(candidates), CHUNK):
        chunk = candidates[start : start + CHUNK]
        agreed = terms.load(candidate.customer_id for candidate in chunk)
        for candidate in chunk:
            done += 1
            if candidate.drafted or _something_ended(agreed, candidate, now):
                results.append(_bill_or_park(candidate.customer_id, agreed, now))
                if progress is not None:
                    progress(done, len(candidates), results[-1])
    return RunReport(tuple(results))


@dataclass(frozen=True)
class _Candidate:
    customer_id: int
    earliest: datetime | None
    drafted: bool


def _candidates(*, now: datetime, only: Collection[int] | None) -> list[_Candidate]:
    """Customers for whom there may be something to do, in order. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "only": None if only is None else list(only)})
        return [_Candidate(*row) for row in cursor.fetchall()]


def _something_ended(agreed: Terms, candidate: _Candidate, now: datetime) -> bool:
    """Whether any contract has ended a period since the customer's earliest unbilled outcome settled.

    Most customers, most of the time, have unbilled outcomes in the running period only: they cost no query.
    """
    return candidate.earliest is not None and any(
        agreement.period_of(max(candidate.earliest, agreement.starts_at)).end <= now
        for agreement in agreed.agreements(candidate.customer_id)
        if agreement.starts_at < now
    )


def _bill_or_park(customer_id: int, agreed: Terms, now: datetime) -> CustomerResult:
    try:
        with transaction.atomic():
            result = bill_customer(customer_id, agreed, now=now)
            ParkedCustomer.objects.filter(customer_id=customer_id).delete()
            return result
    except Exception as error:
        # Whatever it is, it is this customer's alone. A database that is gone fails again below and ends the run.
        reason = f"{type(error).__name__}: {error}"[:2000]
        log.exception("customer_parked", customer_id=customer_id, reason=reason)
        park(customer_id, reason, now=now)
        return CustomerResult(customer_id, parked=reason)


def park(customer_id: int, reason: str, *, now: datetime) -> None:
    """Note that billing a customer failed. ``since`` stays the first failure's."""
    with transaction.atomic():
        parked, made = ParkedCustomer.objects.get_or_create(
            customer_id=customer_id, defaults={"reason": reason, "since": now}
        )
        if not made:
            ParkedCustomer.objects.filter(pk=parked.pk).update(reason=reason, attempts=F("attempts") + 1)


def bill_customer(customer_id: int, agreed: Terms, *, now: datetime) -> CustomerResult:
    """Bring one customer's invoices up to date, in the caller's transaction.

    Locks the customer's row first. All drafts are made before the first number is taken, so that the number series,
    which all issuers share, is locked for a moment only.
    """
    customer = Customer.objects.select_for_update(no_key=True).get(pk=customer_id)
    made: list[Invoice] = []
    waiting = ""
    for agreement in agreed.agreements(customer_id):
        grid = grid_of(agreed, agreement, until=now)
        if grid.periods:
            invoices, reason = _draft_due(customer, grid, now)
            made += invoices
            waiting = waiting or reason
    issued, drafted = [], []
    grace = timedelta(hours=settings.INVOICE_GRACE_HOURS)
    for invoice in made:
        if now >= invoice.period_end + grace:
            freeze(invoice, now=now)
            issued.append(invoice.id)
        else:
            drafted.append(invoice.id)
    return CustomerResult(customer_id, tuple(issued), tuple(drafted), waiting)


def _draft_due(customer: Customer, grid: Grid, now: datetime) -> tuple[list[Invoice], str]:
    """Every draft that is due on one contract, oldest period first, and why it stopped where it waits."""
    agreement = grid.agreement
    live = _live_invoices(agreement)
    # A run with an earlier `now` than the one that made a draft leaves it alone.
    open_drafts = {
        invoice.period_start: invoice
        for invoice in live
        if invoice.status == Status.DRAFT and invoice.period_end <= now
    }
    frozen = {invoice.period_start: invoice.ordinal for invoice in live if invoice.status != Status.DRAFT}

    def obstacle(period: Period) -> str:
        reason = outstanding(customer, period.end)
        if not reason and period.start in frozen and agreement.ends_at is not None:
            reason = outstanding_at_close(customer, agreement.ends_at)
        return reason

    for invoice in open_drafts.values():
        if reason := obstacle(Period(invoice.period_start, invoice.period_end)):
            # The drafts stay as they are. No later period could be billed either: what is outstanding before this end
            # is so before a later one.
            return [], reason
    for invoice in open_drafts.values():
        drafts.clear(invoice)
    ended = [index for index, period in enumerate(grid.periods) if period.end <= now]
    if not ended:
        return [], ""
    for start in open_drafts.keys() - {grid.periods[index].start for index in ended}:
        # An amendment cut the contract anew: what stood on this draft goes onto those of the new periods.
        Invoice.objects.filter(pk=open_drafts.pop(start).pk).delete()
    groups = selection.unbilled(grid, grid.horizon(ended[-1]))
    made: list[Invoice] = []
    for index in _due_periods(grid, ended, groups, frozen, set(open_drafts)):
        period = grid.periods[index]
        if reason := obstacle(period):
            return made, reason
        ordinal = frozen.get(period.start, 0) + 1
        existing = open_drafts.get(period.start)
        mine = [group for group in groups if group.period <= index]
        drafted = drafts.draft(grid, index, mine, now=now, ordinal=ordinal, existing=existing)
        # What was priced is on that draft now, and what was not stays unpriced in this transaction.
        groups = [group for group in groups if group.period > index]
        if drafted is not None:
            made.append(drafted)
    return made, ""


def _due_periods(
    grid: Grid, ended: Sequence[int], groups: Sequence[Group], frozen: dict[datetime, int], drafted: set[datetime]
) -> list[int]:
    """Indexes of the ended periods that need an invoice, in order.

    Such a period has a draft, or something to bill and no invoice. What belongs to a period that has its invoice rides
    on the next one; where none is due, the latest ended period without an invoice carries it, and after the contract's
    last period a closing invoice.
    """
    ways = {(key.condition_id, key.dimensions, key.stretch) for key in drafts.tariff_of(grid, groups).keys}
    priced = {group.period for group in groups if (group.condition_id, group.dimensions, group.stretch) in ways}

    def starts(index: int) -> datetime:
        return grid.periods[index].start

    due = {index for index in ended if starts(index) in drafted}
    due |= {index for index in priced if starts(index) not in frozen}
    late = {index for index in priced if starts(index) in frozen}
    if late and not any(index > max(late) for index in due):
        last = ended[-1]
        if starts(last) not in frozen or grid.is_last(last):
            due.add(last)
    return sorted(due)


def _live_invoices(agreement: Agreement) -> list[Invoice]:
    """The contract's drafts and issued invoices, in order of their periods; void ones count for nothing."""
    return list(
        Invoice.objects.filter(contract_id=agreement.id)
        .exclude(status=Status.VOID)
        .select_related("customer")
        .order_by("period_start", "ordinal")
    )
