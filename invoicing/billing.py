"""Use case: a billing run. For every contract, each ended period that is not invoiced yet: draft, lines, issue; and
where what is owed of an invoiced one changed, a credit note, or a correction on the next invoice.

A run compares what is with what should be and writes the difference, so it may be stopped anywhere, repeated, and run
twice at once: one customer is one transaction under the lock of the customer's row, and a second run finds nothing left
to do.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from contracts import terms
from contracts.clocks import by_now
from contracts.models import ContractVersion, Customer
from contracts.terms import PASSING_ON, Agreement, Terms
from invoicing import balancing, credit_notes, drafts, interim, standing
from invoicing.issue import freeze
from invoicing.models import BillingClock, CreditNote, Invoice, ParkedCustomer
from invoicing.selection import grid_of
from settlement import holds
from settlement.queries import KEPT_OFF_INVOICES

log = structlog.get_logger(__name__)

# Terms are read for so many customers at once.
CHUNK = 500

# Customers with a billable outcome on no line, with the earliest, but for what another system invoices; those with a
# draft to refresh or issue; those with an outcome that was billed and is reversed; those with a contract to be looked
# at (`invoicing.standing`); and those whose billing failed. What is reversed is little, and found by an index of its
# own. Spans that are passed on are worked out once: the planner would do so for each outcome (measured: eight times the
# time of the whole look, at 400,000 outcomes).
_DUE = f"""
WITH passing AS MATERIALIZED ({PASSING_ON}), unbilled AS (
    SELECT o.customer_id, greatest(min(o.settled_at), '0001-01-02Z') AS earliest FROM outcomes_outcome o
    WHERE o.state = 'confirmed' AND cardinality(o.review) = 0 AND o.quantity IS NOT NULL
      AND (%(only)s::bigint[] IS NULL OR o.customer_id = ANY(%(only)s))
      AND NOT EXISTS (SELECT FROM invoicing_lineoutcome b WHERE b.outcome_id = o.id AND b.live)
      AND NOT {KEPT_OFF_INVOICES}
      AND NOT EXISTS (SELECT FROM passing p WHERE p.customer_id = o.customer_id
                      AND o.met_at >= p.starts_at AND o.met_at < coalesce(p.ends_at, 'infinity'))
    GROUP BY o.customer_id
), drafted AS (
    SELECT i.customer_id FROM invoicing_invoice i WHERE i.status = 'draft' AND i.kind <> 'one_off'
    UNION SELECT n.customer_id FROM invoicing_creditnote n WHERE n.status = 'draft' AND n.kind = 'automatic'
), undone AS (
    SELECT DISTINCT o.customer_id
    FROM outcomes_outcome o JOIN invoicing_lineoutcome b ON b.outcome_id = o.id AND b.live
    WHERE o.state = 'reversed' AND (%(only)s::bigint[] IS NULL OR o.customer_id = ANY(%(only)s))
      AND NOT EXISTS (SELECT FROM invoicing_linereversal r WHERE r.outcome_id = o.id AND r.live)
), standing AS ({standing.TO_BE_LOOKED_AT})
SELECT k.customer_id, unbilled.earliest,
       drafted.customer_id IS NOT NULL OR undone.customer_id IS NOT NULL OR parked.customer_id IS NOT NULL,
       standing.customer_id IS NOT NULL
FROM (SELECT DISTINCT customer_id FROM contracts_contract WHERE starts_at <= %(now)s) k
LEFT JOIN unbilled USING (customer_id)
LEFT JOIN drafted USING (customer_id)
LEFT JOIN undone USING (customer_id)
LEFT JOIN standing USING (customer_id)
LEFT JOIN invoicing_parkedcustomer parked USING (customer_id)
WHERE (unbilled.customer_id IS NOT NULL OR drafted.customer_id IS NOT NULL OR undone.customer_id IS NOT NULL
       OR standing.customer_id IS NOT NULL OR parked.customer_id IS NOT NULL)
  AND (%(only)s::bigint[] IS NULL OR k.customer_id = ANY(%(only)s)) AND k.customer_id <> ALL(%(without)s::bigint[])
ORDER BY k.customer_id
"""


@dataclass(frozen=True)
class CustomerResult:
    """What a run did for one customer: invoices issued and drafted, credit notes issued (``credited``) and drafted.
    ``waiting`` and ``parked`` are the reason, or empty.
    """

    customer_id: int
    issued: tuple[UUID, ...] = ()
    drafted: tuple[UUID, ...] = ()
    credited: tuple[UUID, ...] = ()
    to_approve: tuple[UUID, ...] = ()
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
    def credited(self) -> tuple[UUID, ...]:
        return tuple(note for result in self.results for note in result.credited)

    @property
    def to_approve(self) -> tuple[UUID, ...]:
        return tuple(note for result in self.results for note in result.to_approve)

    @property
    def waiting(self) -> tuple[CustomerResult, ...]:
        return tuple(result for result in self.results if result.waiting)

    @property
    def parked(self) -> tuple[CustomerResult, ...]:
        return tuple(result for result in self.results if result.parked)


Progress = Callable[[int, int, CustomerResult], None]
"""Called after each customer that was worked on: how many are done, how many there are, what was done for this one."""


def run(*, now: datetime, only: Collection[int] | None = None, progress: Progress | None = None) -> RunReport:
    """Bill everything that ended at or before ``now``, for all customers or for the ids in ``only``; for customers with
    a test clock, after the others, at or before what it shows.

    A customer that fails is rolled back and parked with the reason; the run goes on with the next. A customer for whom
    something could still settle inside a period waits and is reported. Safe to repeat at any time.
    """
    clocks = by_now(only)
    elsewhere = {customer for clocked in clocks for customer in clocked.customers}
    live = None if only is None else [customer for customer in only if customer not in elsewhere]
    results = _run(now, live, elsewhere, progress, wall=now)
    for clocked in clocks:
        results += _run(clocked.now, clocked.customers, (), progress, wall=now)
    return RunReport(tuple(results))


def run_clocked(customers: Collection[int], *, now: datetime, wall: datetime) -> RunReport:
    """The same for these customers of one test clock, which shows ``now``."""
    return RunReport(tuple(_run(now, customers, (), None, wall=wall)))


def _run(
    now: datetime,
    only: Collection[int] | None,
    without: Collection[int],
    progress: Progress | None,
    *,
    wall: datetime,
) -> list[CustomerResult]:
    """``now`` decides what has ended and is the date of what is issued; ``wall`` is when it is told."""
    candidates = _candidates(now=now, only=only, without=without)
    results: list[CustomerResult] = []
    done = 0
    for start in range(0, len(candidates), CHUNK):
        chunk = candidates[start : start + CHUNK]
        agreed = _agreed(chunk, now)
        looked_at: list[Agreement] = []
        for candidate in chunk:
            done += 1
            result = _bill_or_park(candidate, agreed, now, wall)
            if result is None:
                looked_at += agreed.terms.agreements(candidate.customer_id) if candidate.standing else ()
            else:
                results.append(result)
                if progress is not None:
                    progress(done, len(candidates), result)
        standing.wind(agreed.terms, looked_at, now)
    return results


@dataclass(frozen=True)
class _Candidate:
    customer_id: int
    earliest: datetime | None
    stirred: bool
    standing: bool


@dataclass(frozen=True)
class _Agreed:
    """The terms of some customers and the clocks of their contracts. Those of ``unread`` could not be read together
    with the others': one customer's terms may be damaged, and cost its neighbours nothing.
    """

    terms: Terms
    clocks: Mapping[UUID, BillingClock]
    unread: bool = False

    def of(self, candidate: "_Candidate", now: datetime) -> "_Agreed":
        """What was agreed with one of them. Raises where that cannot be read."""
        return _read([candidate], now) if self.unread else self


def _agreed(chunk: Sequence[_Candidate], now: datetime) -> _Agreed:
    """What was agreed with these customers."""
    try:
        return _read(chunk, now)
    except (OperationalError, InterfaceError):  # the database is gone, for everybody
        raise
    except Exception:
        log.exception("terms_unread", customers=len(chunk))
        return _Agreed(Terms((), {}), {}, unread=True)


def _read(chunk: Sequence[_Candidate], now: datetime) -> _Agreed:
    agreed = terms.load(candidate.customer_id for candidate in chunk)
    looked_at = [
        one
        for candidate in chunk
        if candidate.standing
        for one in agreed.agreements(candidate.customer_id)
        if _may_move(one, now)
    ]
    return _Agreed(agreed, standing.clocks_of(looked_at) if looked_at else {})


def _may_move(agreement: Agreement, now: datetime) -> bool:
    """Whether anything of a contract may be invoiced yet."""
    if agreement.starts_at >= now:
        return False
    return interim.has_threshold(agreement) or agreement.period_of(agreement.starts_at).end <= now


def _candidates(*, now: datetime, only: Collection[int] | None, without: Collection[int]) -> list[_Candidate]:
    """Customers for whom there may be something to do, in order. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "only": None if only is None else list(only), "without": list(without)})
        return [_Candidate(*row) for row in cursor.fetchall()]


def _something_ended(agreed: Terms, candidate: _Candidate, now: datetime) -> bool:
    """Whether any contract has ended a period since the customer's earliest unbilled outcome settled; of a contract
    whose terms may owe something by themselves, since it began.

    Most customers, most of the time, have unbilled outcomes in the running period only: they cost no query.
    """
    for agreement in agreed.agreements(candidate.customer_id):
        if agreement.starts_at >= now:
            continue
        since = candidate.earliest
        if candidate.standing and standing.owes_by_itself(agreement):
            since = agreement.starts_at
        if since is not None and agreement.period_of(max(since, agreement.starts_at)).end <= now:
            return True
    return False


def _due_inside(agreed: Terms, candidate: _Candidate, now: datetime) -> bool:
    """Whether an interim invoice may be due."""
    agreements = agreed.agreements(candidate.customer_id)
    if candidate.earliest is not None and any(interim.may_pass(one, now) for one in agreements):
        return True
    return candidate.standing and any(one.covers(now) and interim.opens(one, one.period_of(now)) for one in agreements)


def _has_moved(agreed: _Agreed, candidate: _Candidate, now: datetime) -> bool:
    """Whether a period that ended, or one with interim invoices, may come to something else by terms that nobody looked
    at.
    """
    if not candidate.standing:
        return False
    for agreement in agreed.terms.agreements(candidate.customer_id):
        if not _may_move(agreement, now):
            continue
        since = standing.changed(agreed.terms, agreement, agreed.clocks.get(agreement.id)).since
        if since is None or since >= now:
            continue
        inside = interim.has_threshold(agreement)
        if inside or since <= agreement.starts_at or agreement.period_of(since).end <= now:
            return True
    return False


def _bill_or_park(candidate: _Candidate, agreed: _Agreed, now: datetime, wall: datetime) -> CustomerResult | None:
    """What was done for a customer; None where nothing is to be done."""
    customer_id = candidate.customer_id
    try:
        mine = agreed.of(candidate, now)
        if not (
            candidate.stirred
            or _has_moved(mine, candidate, now)
            or _something_ended(mine.terms, candidate, now)
            or _due_inside(mine.terms, candidate, now)
        ):
            return None
        with transaction.atomic():
            result = bill_customer(customer_id, mine.terms, now=now, wall=wall)
            ParkedCustomer.objects.filter(customer_id=customer_id).delete()
            return result
    except Exception as error:
        # Whatever it is, it is this customer's alone. A database that is gone fails again below and ends the run.
        reason = f"{type(error).__name__}: {error}"[:2000]
        log.exception("customer_parked", customer_id=customer_id, reason=reason)
        park(customer_id, reason, now=wall)
        return CustomerResult(customer_id, parked=reason)


def park(customer_id: int, reason: str, *, now: datetime) -> None:
    """Note that billing a customer failed. ``since`` stays the first failure's."""
    with transaction.atomic():
        parked, made = ParkedCustomer.objects.get_or_create(
            customer_id=customer_id, defaults={"reason": reason, "since": now}
        )
        if not made:
            ParkedCustomer.objects.filter(pk=parked.pk).update(reason=reason, attempts=F("attempts") + 1)


def bill_customer(customer_id: int, agreed: Terms, *, now: datetime, wall: datetime) -> CustomerResult:
    """Bring one customer's invoices and credit notes up to date, in the caller's transaction.

    Keeps holds on conditions from being placed, then locks the customer's row, which those on the customer and its
    outcomes take, and disputes: what is held or disputed by then is not billed. All drafts are made before the first
    number is taken, so that the number series, which all issuers share, is locked for a moment only.
    """
    with connection.cursor() as cursor:
        holds.keep_from_changing(cursor, holds.BILLING)
    customer = Customer.objects.select_for_update(no_key=True).get(pk=customer_id)
    invoices: list[Invoice] = []
    notes: list[tuple[Agreement, CreditNote]] = []
    waiting = ""
    for agreement in agreed.agreements(customer_id):
        # `until` is exclusive, and what is due when a period begins may be so at this very instant.
        grid = grid_of(agreed, agreement, until=now + datetime.resolution)
        if grid.periods:
            found = interim.bill(customer, grid, balancing.balance(customer, agreed, grid, now), now)
            invoices += found.invoices
            if found.note is not None:
                notes.append((agreement, found.note))
            if not found.waiting:
                standing.wind_with(agreed, agreement, now, found.later)
            waiting = waiting or found.waiting
    to_approve = [
        note
        for agreement, note in notes
        if agreement.version_at(now).credit_notes == ContractVersion.CreditNotes.APPROVAL
    ]
    own = [note for _, note in notes if note not in to_approve]
    ready = [invoice for invoice in invoices if drafts.will_be_issued(invoice, now)]
    _issue(ready, own, now, wall)
    return CustomerResult(
        customer_id,
        tuple(invoice.id for invoice in ready),
        tuple(invoice.id for invoice in invoices if invoice not in ready),
        tuple(note.id for note in own),
        tuple(note.id for note in to_approve),
        waiting=waiting,
    )


def _issue(invoices: Sequence[Invoice], notes: Sequence[CreditNote], now: datetime, wall: datetime) -> None:
    """Number and freeze what a run made for a customer. What goes back comes first, so that the invoices take it off;
    a credit note that corrects one of them comes after it. Series are locked in one order: that of the notes first.
    """
    if notes:
        credit_notes.lock_series(notes[0].customer)
    numbers = {invoice.id for invoice in invoices}
    after = [note for note in notes if note.allocations.filter(invoice__in=numbers).exists()]
    for note in notes:
        if note not in after:
            credit_notes.freeze(note, now=now, wall=wall)
    for invoice in invoices:
        freeze(invoice, now=now, wall=wall)
    for note in after:
        credit_notes.freeze(note, now=now, wall=wall)
