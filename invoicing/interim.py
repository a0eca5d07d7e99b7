"""Invoices inside a period: for usage that passed the contract's threshold, and for what is due when a period begins.

Such an invoice bills what is owed so far less what was billed so far, and does not close its period: the period's own
invoice, at the end, bills the whole less all of that. So far means everything that counts now (`invoicing.sections`)
with discount, maximum, cap, drawdown and fees in advance, and without what only the whole period knows (`TermsUsed`).

Everything here runs in the caller's transaction, under the lock of the customer's row, after what ended is balanced.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from contracts.domain import money, rating
from contracts.domain.periods import Period
from contracts.models import Customer
from contracts.period_terms import period_terms
from contracts.terms import Agreement
from invoicing import billed as standing
from invoicing import corrections, drafts, rated, sections, selection
from invoicing.balancing import ON_A_DRAFT, Balanced, Documents, draws
from invoicing.domain.owing import key_of
from invoicing.models import CreditNote, Invoice
from invoicing.outstanding import IMPORT_OPEN, outstanding
from invoicing.sections import Facts, Section, Wanted
from invoicing.selection import Grid, Group, Which
from invoicing.tariff import tariff_of
from invoicing.terms_used import agreed_now

# What counts towards the threshold.
_USAGE = (rating.USAGE, rating.DISCOUNT, rating.MAXIMUM, rating.CAP, rating.DRAWDOWN)


def has_threshold(agreement: Agreement) -> bool:
    """Whether any of the contract's versions invoices usage inside a period."""
    return any(version.progressive_threshold is not None for version in agreement.versions)


def may_pass(agreement: Agreement, now: datetime) -> bool:
    """Whether usage may be invoiced before its period ends."""
    return agreement.covers(now) and agreement.version_at(now).progressive_threshold is not None


def opens(agreement: Agreement, period: Period) -> bool:
    """Whether something is due when the period begins that no earlier invoice could bill: a commitment in advance, or
    in the contract's first period fees in advance.
    """
    agreed = period_terms(agreement, period)
    if any(one.payment == rating.ADVANCE and one.id in agreed.first for one in agreed.commitments):
        return True
    fees = (fee for share in agreed.shares if share.days and not share.trial for fee in share.fees)
    return period.start == agreement.starts_at and any(fee.timing == rating.ADVANCE for fee in fees)


def bill(customer: Customer, grid: Grid, balanced: Balanced, now: datetime) -> Balanced:
    """What was made of the contract's ended periods, with what is due inside the running one: an invoice, or where less
    is owed so far than interim invoices billed, a credit note.
    """
    made = balanced
    # What ended periods draw from a commitment is not there for the running one.
    unknown = balanced.waiting and draws(grid.agreement)
    if not unknown and _concerns(grid.agreement, grid.periods[-1], now):
        made = _Running(customer, grid, balanced, now).bill()
    if made.note is None and balanced.emptied is not None:
        CreditNote.objects.filter(pk=balanced.emptied.pk).delete()
    return made


def _concerns(agreement: Agreement, running: Period, now: datetime) -> bool:
    return agreement.covers(now) and (has_threshold(agreement) or opens(agreement, running))


@dataclass(frozen=True)
class _Made:
    """A section with its outcomes on lines to be."""

    facts: Facts
    section: Section


class _Running:
    def __init__(self, customer: Customer, grid: Grid, balanced: Balanced, now: datetime) -> None:
        self.customer, self.grid, self.balanced, self.now = customer, grid, balanced, now
        self.agreement = grid.agreement
        self.index = len(grid.periods) - 1
        self.period = grid.periods[self.index]
        self.documents = Documents(self.agreement)
        self.billed = standing.billed(self.agreement, {self.period.start}, self.documents.standing())

    def bill(self) -> Balanced:
        fresh = self._fresh()
        facts = sections.as_it_stands(self.grid, self.billed, fresh, self.documents.undone, (Which.UNBILLED,))
        so_far = self._section(facts)
        # Before the first interim invoice nothing was billed so far, only in advance.
        if so_far.amount_minor < 0 and self.period.start in self.documents.begun:
            return self._give_back(fresh)
        if self._passes(so_far):
            return self._invoice(fresh)
        # Usage waits for the threshold, or for the period's end.
        return self._invoice(()) if self._opening_minor() > 0 else self.balanced

    def _fresh(self) -> list[Group]:
        """What is unbilled of the period and has a price."""
        found = selection.unbilled(self.grid, self.grid.horizon(self.index))
        found = [group for group in found if group.period == self.index]
        tariff = tariff_of(self.grid, found)
        return [group for group in found if tariff.number_of(group) is not None]

    def _section(self, facts: Facts) -> Section:
        wanted = [Wanted(self.period, so_far=True)]
        (found,) = sections.sections(facts, wanted, earlier=self.balanced.worked_out)
        return found

    def _passes(self, so_far: Section) -> bool:
        """Whether the usage that is owed and not billed reaches the threshold in force."""
        threshold = self.agreement.version_at(self.now).progressive_threshold
        if threshold is None or so_far.amount_minor <= 0:
            return False
        usage = sum(one.amount_minor for one in so_far.owing if one.key[0] in _USAGE)
        return usage >= money.to_minor(threshold, self.agreement.currency)

    def _opening_minor(self) -> int:
        """What is due since the period began and stands on no document."""
        known = {self.billed.key_of(line) for line in self.billed.of(self.period.start)}
        used = replace(agreed_now(self.grid, self.period), so_far=True)
        kinds = [rating.COMMITMENT]
        if self.period.start == self.agreement.starts_at:
            kinds.append(rating.FEE)
        due = (line for line in rated.lines_of(self.agreement, used, ()) if line.kind in kinds)
        return sum(line.amount_minor for line in due if key_of(line) not in known)

    def _put_on_lines(self, fresh: Sequence[Group]) -> _Made:
        facts = sections.put_on_lines(self.grid, self.billed, fresh, self.documents.undone, {self.index})
        return _Made(facts, self._section(facts))

    def _invoice(self, fresh: Sequence[Group]) -> Balanced:
        if reason := self._obstacle():
            return self._waiting(reason)
        made = self._put_on_lines(fresh)
        if made.section.amount_minor <= 0:
            sections.release([made.section])
            return self.balanced
        ordinal = self.documents.ordinal(self.period.start)
        invoice = drafts.blank(self.grid, self.index, ordinal, self.now, Invoice.Kind.INTERIM)
        drafts.fill(invoice, [made.section], made.facts, self.now)
        return replace(self.balanced, invoices=(*self.balanced.invoices, invoice))

    def _give_back(self, fresh: Sequence[Group]) -> Balanced:
        if self.documents.note is not None and self.balanced.emptied is None:
            # A contract has one at a time; the period's own invoice comes to the same at the latest.
            return replace(self.balanced, later=self.balanced.later | {self.period.start})
        if reason := self._obstacle():
            return self._waiting(reason)
        made = self._put_on_lines(fresh)
        left = corrections.left_to_credit(self.agreement.id, self._issuing())
        if made.section.amount_minor >= 0 or not corrections.can_be_given([made.section], left):
            sections.release([made.section])
            return self.balanced if made.section.amount_minor >= 0 else self._waiting(ON_A_DRAFT)
        undone = self.documents.undone
        note = corrections.make(self.balanced.emptied, [made.section], made.facts, undone, left, self.now)
        return replace(self.balanced, note=note, emptied=None)

    def _issuing(self) -> set[UUID]:
        return {one.id for one in self.balanced.invoices if drafts.will_be_issued(one, self.now)}

    def _obstacle(self) -> str:
        """What is half imported may settle otherwise yet."""
        return IMPORT_OPEN if outstanding(self.customer, self.now) == IMPORT_OPEN else ""

    def _waiting(self, reason: str) -> Balanced:
        return replace(self.balanced, waiting=self.balanced.waiting or reason)
