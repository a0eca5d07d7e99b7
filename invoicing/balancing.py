"""One contract brought up to date: what is owed of its periods goes onto the invoice that is due, or back by a credit
note.

Periods are walked in order, so what an earlier one draws from a commitment is known to the later ones. A section
(`invoicing.sections`) of a period that was invoiced before is a correction: below zero it is given back at once, by one
credit note for the contract; above, it goes on the next invoice. Without commitments each period is corrected by
itself; with them their corrections go together, because one moves the other.

Everything here runs in the caller's transaction, under the lock of the customer's row.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from uuid import UUID

from contracts.domain.periods import Period
from contracts.models import Customer
from contracts.terms import Agreement, Terms
from invoicing import billed as standing
from invoicing import corrections, drafts, sections, selection
from invoicing.billed import Billed
from invoicing.models import CreditNote, Invoice, Status
from invoicing.outstanding import outstanding, outstanding_at_close
from invoicing.sections import Facts, Section, Wanted
from invoicing.selection import Grid, Group, Undone, Which
from invoicing.standing import Changed, changed, clocks_of, stop
from invoicing.tariff import tariff_of
from invoicing.terms_used import TermsUsed


@dataclass(frozen=True)
class Balanced:
    """What was made of one contract: drafts of invoices, oldest first, and of a credit note. ``waiting`` is why the
    rest could not be billed yet, or empty; ``later`` are the starts of periods whose corrections wait for the next
    invoice; ``emptied`` is a draft of a credit note from an earlier run that nothing is left on, yet. ``worked_out``
    are the sections of ended periods in order, on a document or not: what those come to is drawn from commitments.
    """

    invoices: tuple[Invoice, ...] = ()
    note: CreditNote | None = None
    waiting: str = ""
    later: frozenset[datetime] = frozenset()
    emptied: CreditNote | None = None
    worked_out: Sequence[Section] = ()


class Documents:
    """What a contract has: its documents, which of its periods they closed, and what they bill that is undone. Three
    queries. Of drafts that are ``remade`` the periods are looked at again.
    """

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.remade: set[datetime] = set()
        invoices = Invoice.objects.filter(contract=agreement.id).exclude(status=Status.VOID).select_related("customer")
        self.invoices = list(invoices.order_by("period_start", "ordinal"))
        notes = list(CreditNote.objects.filter(contract=agreement.id, kind=CreditNote.Kind.AUTOMATIC).order_by("id"))
        self.notes = {one.id for one in notes}
        self.issued = [one for one in self.invoices if one.status != Status.DRAFT]
        self.drafts = [one for one in self.invoices if one.status == Status.DRAFT and one.kind == Invoice.Kind.PERIOD]
        self.note = next((one for one in notes if one.status == CreditNote.Status.DRAFT), None)
        # A draft of a note is made anew: what it says counts for nothing.
        self.accounts: list[Invoice | CreditNote] = [*self.issued, *(one for one in notes if one is not self.note)]
        self.closed = {start for one in self.accounts for start in standing.closed_by(one)}
        # Those of which documents say more than fees in advance. An interim invoice closes none, and what closed one
        # may be void while what corrected it stands.
        self.begun = {period.start for one in self.accounts for period in standing.told_of(one)}
        # The old rule rounded each line by itself; what was billed by it is left as it is unless something moves it.
        self.old = {one.period_start for one in self.issued if one.content_format == 1}
        told = (period for one in self.accounts for period in standing.told_of(one, advance=True))
        self.advanced = {period.start: period for period in told}

    def standing(self, but: Invoice | None = None) -> set[UUID]:
        """The ids of all; of a credit note that a person has not approved yet, too. For a draft, ``but``, itself and
        drafts of later periods are left out: those are made after it.
        """
        mine = self.invoices
        if but is not None:
            place = but.period_start, but.ordinal
            mine = [one for one in mine if one.status != Status.DRAFT or (one.period_start, one.ordinal) < place]
        return {one.id for one in mine} | self.notes

    @cached_property
    def undone(self) -> list[Undone]:
        """To be asked for once drafts are cleared: what they took back is undone again."""
        return selection.undone(self.agreement) if self.accounts or self.note else []

    def trusted(self, grid: Grid, billed: Billed) -> set[datetime]:
        """The periods whose lines say what counts by the terms of today: nothing is new since the last account."""
        today = len(grid.agreement.versions), grid.card_versions
        accounts = standing.last_accounts(self.accounts, billed)
        return {used.period.start for used, _ in accounts if (used.versions, used.card_versions) == today}

    def remake(self, document: Invoice | CreditNote) -> None:
        """Have the periods of a draft looked at that is made anew."""
        self.remade |= {one.period.start for one in map(TermsUsed.from_json, document.terms)}

    def ordinal(self, start: datetime) -> int:
        """The next of the period's invoices."""
        return max((one.ordinal for one in self.issued if one.period_start == start), default=0) + 1


def balance(customer: Customer, agreed: Terms, grid: Grid, now: datetime) -> Balanced:
    """Make every draft that is due on one contract, oldest period first, and the credit note for what is to be given
    back. Drafts there are already are made anew. Nothing is numbered yet.
    """
    documents = Documents(grid.agreement)
    run = _Run(customer, agreed, grid, now, documents)
    # A run with an earlier `now` than the one that made a draft leaves it alone.
    open_drafts = {one.period_start: one for one in documents.drafts if one.period_end <= now}
    for invoice in open_drafts.values():
        if reason := run.obstacle(Period(invoice.period_start, invoice.period_end)):
            # The drafts stay as they are. No later period could be billed either: what is outstanding before this end
            # is so before a later one.
            return Balanced(waiting=reason)
    for invoice in open_drafts.values():
        documents.remake(invoice)
        drafts.clear(invoice)
    if documents.note is not None:
        documents.remake(documents.note)
        corrections.clear(documents.note)
    result = run.balance(open_drafts)
    made = {one.id for one in result.invoices}
    Invoice.objects.filter(pk__in=[one.pk for one in open_drafts.values() if one.id not in made]).delete()
    return result if result.note is not None else replace(result, emptied=documents.note)


def draft(
    grid: Grid,
    index: int,
    groups: Sequence[Group],
    *,
    now: datetime,
    existing: Invoice,
) -> Invoice | None:
    """Make one draft anew, as a run would now. ``groups`` is what `selection.unbilled` found up to the end of its
    period, in this transaction; ``existing`` is the draft, emptied by `drafts.clear`. Answers None, and leaves no row
    behind, where nothing is left to bill on it. What is to be given back is left to the next run.
    """
    documents = Documents(grid.agreement)
    documents.remake(existing)
    clock = clocks_of([grid.agreement]).get(grid.agreement.id)
    new = Changed(None, frozenset(clock.waiting if clock else ()))
    looked = looked_at(grid, documents, groups, new, {index})
    if draws(grid.agreement) and any(one > index for one in looked):
        # What this one draws is not there for the later ones: the next run looks at them.
        stop(grid.agreement.id)
    looked = {one for one in looked if one <= index + 1}
    facts, found = _written(grid, documents, groups, {index}, looked, existing)
    units = units_of(grid, found, {index})
    on_it = [section for unit in units if unit.amount_minor >= 0 for section in unit.sections]
    sections.release(section for unit in units if unit.amount_minor < 0 for section in unit.sections)
    if not any(section.owing for section in on_it):
        sections.release(on_it)
        Invoice.objects.filter(pk=existing.pk).delete()
        return None
    return drafts.fill(existing, on_it, facts, now)


def wanted_of(grid: Grid, documents: Documents, due: Collection[int], looked: Collection[int]) -> list[Wanted]:
    """The periods to be worked out for the invoices that are ``due``, and those ``looked`` at."""
    agreement = grid.agreement
    wanted = [Wanted(grid.periods[index]) for index in looked]
    for index in due:
        period = grid.periods[index]
        if period.start in documents.closed:
            continue
        wanted.append(Wanted(period, closes=True))
        following = drafts.next_period(agreement, period)
        if following is not None and following.start not in documents.closed:
            wanted.append(Wanted(following, advance=True))
    if agreement.ends_at is not None:
        # Fees in advance for what an earlier end took away.
        ends_at = agreement.ends_at
        wanted += [Wanted(period) for start, period in documents.advanced.items() if start >= ends_at]
    return wanted


def billed_of(grid: Grid, documents: Documents, wanted: Iterable[Wanted], but: Invoice | None = None) -> Billed:
    """What documents say of these periods."""
    return standing.billed(grid.agreement, {one.period.start for one in wanted}, documents.standing(but))


def _written(
    grid: Grid,
    documents: Documents,
    fresh: Sequence[Group],
    due: Collection[int],
    looked: Collection[int],
    but: Invoice | None = None,
) -> tuple[Facts, list[Section]]:
    """The sections of these periods, with what they bill and take back on lines to be."""
    wanted = wanted_of(grid, documents, due, looked)
    billed = billed_of(grid, documents, wanted, but)
    trusted = documents.trusted(grid, billed)
    facts = sections.put_on_lines(grid, billed, fresh, documents.undone, {*due, *looked}, trusted)
    return facts, sections.sections(facts, wanted, but)


# --- Which periods ----------------------------------------------------------------------------------------------------


def looked_at(grid: Grid, documents: Documents, fresh: Iterable[Group], new: Changed, due: Collection[int]) -> set[int]:
    """Indexes of the closed periods that may have moved: something came late or is undone, or their terms changed; and
    those after an invoice that is ``due``, because of what it has in advance.
    """
    closed = {index for index, period in enumerate(grid.periods) if period.start in documents.closed}
    called = {one.period_start for one in documents.undone} | new.waiting | documents.remade
    late = {group.period for group in fresh}
    found = set()
    for index in closed:
        period = grid.periods[index]
        moved = new.since is not None and period.end > new.since and period.start not in documents.old
        if moved or index in late or index - 1 in due or period.start in called:
            found.add(index)
    first = min(found | set(due), default=None)
    if first is not None and draws(grid.agreement):
        # What one period draws from a commitment is not there for the later ones.
        found |= {index for index in closed if index > first}
    return found


def draws(agreement: Agreement) -> bool:
    """Whether what one period of the contract comes to may depend on another."""
    return any(version.commitments for version in agreement.versions)


@dataclass(frozen=True)
class Unit:
    """Sections that go on one document together. ``index`` is that of their (last) period; ``own``: those of an invoice
    for that period, with the fees it has in advance.
    """

    index: int
    sections: tuple[Section, ...]
    own: bool = False

    @property
    def amount_minor(self) -> int:
        return sum(section.amount_minor for section in self.sections)

    @property
    def empty(self) -> bool:
        return not any(section.owing for section in self.sections)


def units_of(grid: Grid, found: Sequence[Section], ready: Collection[int]) -> list[Unit]:
    """Sections in units, oldest first; ``ready`` are the periods that have an invoice made."""
    starts = {grid.periods[index].start: index for index in ready}
    after = {grid.periods[index].end: index for index in ready}
    own: dict[int, list[Section]] = {}
    rest: list[Section] = []
    for section in found:
        start = section.period.start
        if section.wanted.closes:
            own.setdefault(starts[start], []).append(section)
        elif section.wanted.advance:
            own.setdefault(after[start], []).append(section)
        else:
            rest.append(section)
    units = [Unit(index, tuple(some), own=True) for index, some in own.items()]
    if draws(grid.agreement):
        units += [Unit(_last(rest), tuple(rest))] if rest else []
    else:
        units += [Unit(_last([section]), (section,)) for section in rest]
    return sorted(units, key=lambda unit: (unit.index, not unit.own))


def _last(found: Sequence[Section]) -> int:
    # A period that an earlier end took away is after all others.
    return max(10**9 if section.index is None else section.index for section in found)


def may_owe(grid: Grid, documents: Documents, index: int) -> bool:
    """Whether an ended period without an account of its own may come to something else than documents say of it,
    although nothing in it is unbilled: by its terms, or because documents say anything. Only working it out tells.
    """
    period = grid.periods[index]
    told = period.start in documents.begun or period.start in documents.advanced
    return told or drafts.owes_anyway(grid, period)


def owed_alone(
    agreed: Terms, grid: Grid, documents: Documents, fresh: Sequence[Group], indexes: Collection[int]
) -> set[int]:
    """Which of these periods, without an invoice, are owed anything that is not billed yet. ``fresh`` is what is
    unbilled and has a price.
    """
    if not any(may_owe(grid, documents, index) for index in indexes):
        return set()
    new = changed(agreed, grid.agreement, clocks_of([grid.agreement]).get(grid.agreement.id))
    looked = looked_at(grid, documents, fresh, new, indexes) if draws(grid.agreement) else set()
    wanted = wanted_of(grid, documents, indexes, looked)
    mine = [group for group in fresh if group.period in looked.union(indexes)]
    billed = billed_of(grid, documents, wanted)
    trusted = documents.trusted(grid, billed)
    facts = sections.as_it_stands(grid, billed, mine, documents.undone, (Which.UNBILLED,), trusted)
    units = units_of(grid, sections.sections(facts, wanted), indexes)
    return {unit.index for unit in units if unit.own and unit.amount_minor}


def to_give_back(customer: Customer, agreed: Terms, grid: Grid, now: datetime) -> int:
    """What the next run gives back of closed periods, in minor units, below zero; 0 where it waits for something."""
    run = _Run(customer, agreed, grid, now, Documents(grid.agreement))
    return sum(section.amount_minor for section in run.to_give_back())


# --- One run ----------------------------------------------------------------------------------------------------------

ON_A_DRAFT = "what is to be given back was billed on a draft"


class _Run:
    def __init__(self, customer: Customer, agreed: Terms, grid: Grid, now: datetime, documents: Documents) -> None:
        self.customer, self.agreed, self.grid, self.now, self.documents = customer, agreed, grid, now, documents
        self.agreement = grid.agreement
        self.waiting = ""
        self.invoices: list[Invoice] = []
        self.ahead: dict[datetime, UUID] = {}

    def obstacle(self, period: Period) -> str:
        """Why an invoice for the period, or what corrects it there, has to wait; empty where it need not."""
        reason = outstanding(self.customer, period.end)
        if not reason and period.start in self.documents.closed and period.end == self.agreement.ends_at:
            reason = outstanding_at_close(self.customer, period.end)
        return reason

    @cached_property
    def ended(self) -> list[int]:
        return [index for index, period in enumerate(self.grid.periods) if period.end <= self.now]

    def is_closed(self, index: int) -> bool:
        return self.grid.periods[index].start in self.documents.closed

    def fresh(self) -> list[Group]:
        """What is unbilled and has a price. What settles after the contract's end is corrected once all has settled."""
        last = self.ended[-1]
        found = selection.unbilled(self.grid, self.grid.horizon(last))
        tariff = tariff_of(self.grid, found)
        found = [group for group in found if tariff.number_of(group) is not None]
        if any(group.period == last for group in found) and self.grid.is_last(last) and self.is_closed(last):
            self.waiting = outstanding_at_close(self.customer, self.grid.periods[last].end)
            if self.waiting:
                return [group for group in found if group.period != last]
        return found

    def balance(self, open_drafts: dict[datetime, Invoice]) -> Balanced:
        if not self.ended:
            return Balanced()
        fresh = self.fresh()
        clock = clocks_of([self.agreement]).get(self.agreement.id)
        own = self._own({group.period for group in fresh}, open_drafts)
        looked = looked_at(self.grid, self.documents, fresh, changed(self.agreed, self.agreement, clock), own)
        due = self._due(own, looked)
        ready = self._ready(due)
        if looked:
            reason = outstanding(self.customer, self.grid.periods[max(looked)].end)
            if reason:
                self.waiting, looked = self.waiting or reason, set()
        later: set[datetime] = set()
        if not ready:
            back, kept = self._estimate(fresh, looked)
            later = {section.period.start for section in kept if section.owing}
            if not back:
                return Balanced(waiting=self.waiting, later=frozenset(later), worked_out=kept)
            looked = {section.index for section in back if section.index is not None}
        facts, found = _written(self.grid, self.documents, fresh, ready, looked)
        units = units_of(self.grid, found, ready)
        left_over = self._invoices(units, facts, ready, open_drafts)
        note, left_over = self._note([unit for unit in units if unit.amount_minor < 0], left_over, facts)
        sections.release(left_over)
        later |= {one.period.start for one in left_over if one.owing and not one.wanted.closes}
        return Balanced(tuple(self.invoices), note, self.waiting, frozenset(later), worked_out=found)

    def to_give_back(self) -> list[Section]:
        """The sections of closed periods below zero, as they stand, with what goes along. Writes nothing."""
        if not self.ended:
            return []
        fresh = self.fresh()
        clock = clocks_of([self.agreement]).get(self.agreement.id)
        looked = looked_at(self.grid, self.documents, fresh, changed(self.agreed, self.agreement, clock), ())
        if looked and outstanding(self.customer, self.grid.periods[max(looked)].end):
            return []
        return self._estimate(fresh, looked)[0]

    def _own(self, fresh: Collection[int], open_drafts: Collection[datetime]) -> set[int]:
        """The ended periods that may have something to bill of their own: outcomes, what their terms owe, or another
        sum than documents say (`may_owe`); or a draft.
        """
        periods = self.grid.periods
        return {
            index
            for index in self.ended
            if not self.is_closed(index)
            and (index in fresh or periods[index].start in open_drafts or may_owe(self.grid, self.documents, index))
        }

    def _due(self, own: Collection[int], looked: Collection[int]) -> set[int]:
        """The periods that are to have an invoice. What corrects a closed one rides on that of a later one; where none
        is due, the latest ended period without an invoice carries it, and after the contract's last period a closing
        invoice.
        """
        last = self.ended[-1]
        due = set(own)
        may_carry = not self.is_closed(last) or self.grid.is_last(last)
        if looked and may_carry and not any(index > max(looked) for index in due):
            due.add(last)
        return due

    def _ready(self, due: Collection[int]) -> list[int]:
        """Those of them for which nothing is waited for, oldest first, up to the first that waits."""
        ready = []
        for index in sorted(due):
            if reason := self.obstacle(self.grid.periods[index]):
                self.waiting = reason
                break
            ready.append(index)
        return ready

    def _estimate(self, fresh: Sequence[Group], looked: Collection[int]) -> tuple[list[Section], list[Section]]:
        """Without an invoice to be made: the sections that are to be given back, as they stand (empty: none is), and
        those that wait. Writes nothing.
        """
        wanted = wanted_of(self.grid, self.documents, (), looked)
        if not wanted:
            return [], []
        late = [group for group in fresh if group.period in looked]
        billed = billed_of(self.grid, self.documents, wanted)
        trusted = self.documents.trusted(self.grid, billed)
        facts = sections.as_it_stands(self.grid, billed, late, self.documents.undone, (Which.UNBILLED,), trusted)
        units = units_of(self.grid, sections.sections(facts, wanted), ())
        back = [unit for unit in units if unit.amount_minor < 0]
        if back:
            back = [unit for unit in units if unit.amount_minor < 0 or _rides(unit)]
        kept = [section for unit in units if unit not in back for section in unit.sections]
        return [section for unit in back for section in unit.sections], kept

    def _invoices(
        self, units: Sequence[Unit], facts: Facts, ready: Sequence[int], open_drafts: dict[datetime, Invoice]
    ) -> list[Section]:
        """Put what is not below zero on drafts; answers what is on none."""
        pending = [unit for unit in units if unit.amount_minor >= 0]
        carried: list[Section] = []
        for index in ready:
            period = self.grid.periods[index]
            mine = [unit for unit in pending if unit.index <= index or (index == ready[-1] and not unit.own)]
            found = [*carried, *(section for unit in mine for section in unit.sections)]
            if not _worth_an_invoice(mine, carried):
                continue
            pending = [unit for unit in pending if unit not in mine]
            if self._is_skipped(period, found):
                carried = found
                continue
            carried = []
            found = [self._after(section) for section in found]
            invoice = open_drafts.get(period.start) or drafts.blank(
                self.grid, index, self.documents.ordinal(period.start), self.now
            )
            self.invoices.append(drafts.fill(invoice, found, facts, self.now))
            self.ahead |= {section.period.start: invoice.id for section in found if section.wanted.advance}
        return [*carried, *(section for unit in pending for section in unit.sections)]

    def _after(self, section: Section) -> Section:
        """A section of a period whose fees in advance stand on an invoice of the same run: its terms name it then."""
        invoice = self.ahead.get(section.period.start)
        if invoice is None or section.wanted.advance:
            return section
        used = replace(section.used, billed_on=tuple(sorted({*section.used.billed_on, invoice})))
        return replace(section, used=used)

    def _name_on_invoices(self, note: CreditNote, starts: Collection[datetime]) -> None:
        """The same where they stand on the credit note, which is made after the invoices."""
        for invoice in self.invoices if starts else ():
            used = [TermsUsed.from_json(one) for one in invoice.terms]
            invoice.terms = [
                replace(one, billed_on=tuple(sorted({*one.billed_on, note.id}))).to_json()
                if one.period.start in starts and not one.advance
                else one.to_json()
                for one in used
            ]
            invoice.save(update_fields=["terms"])

    def _is_skipped(self, period: Period, found: Sequence[Section]) -> bool:
        """Whether the contract wants no invoice of zero, and one may follow that carries this."""
        terms = drafts.payment_terms(self.agreement, period.end)
        ends_at = self.agreement.ends_at
        if terms.zero_invoices != "skip" or (ends_at is not None and ends_at <= self.now):
            return False
        return sum(section.amount_minor for section in found) == 0

    def _note(
        self, units: Sequence[Unit], left_over: list[Section], facts: Facts
    ) -> tuple[CreditNote | None, list[Section]]:
        """The credit note for these units, with what costs nothing and is on no invoice (`_goes_along`); and what is on
        no document.
        """
        if not units:
            return None, left_over
        found = [section for unit in units for section in unit.sections]
        issuing = {one.id for one in self.invoices if drafts.will_be_issued(one, self.now)}
        left = corrections.left_to_credit(self.agreement.id, issuing)
        if not corrections.can_be_given(found, left):
            self.waiting = self.waiting or ON_A_DRAFT
            return None, [*left_over, *found]
        free = [one for one in left_over if self._goes_along(one)]
        found = sorted([*found, *free], key=lambda one: (one.period.start, not one.wanted.advance))
        found = [self._after(one) for one in found if one.owing or one.wanted.closes]
        note = corrections.make(self.documents.note, found, facts, self.documents.undone, left, self.now)
        self._name_on_invoices(note, {one.period.start for one in found if one.wanted.advance and one.owing})
        return note, [one for one in left_over if one not in free]

    def _goes_along(self, section: Section) -> bool:
        """Whether a section that no invoice takes goes on the credit note that is made anyway: what is taken back at no
        charge; and with commitments every correction. Together those come to nothing here, or they would be on a
        document, but what the note says of later periods rests on what they draw.
        """
        if section.wanted.closes or section.wanted.advance:
            return False
        return draws(self.agreement) or bool(section.undone and not section.amount_minor)


def _rides(unit: Unit) -> bool:
    """Whether a unit costs nothing and takes something back: it goes on a credit note where there is one."""
    return unit.amount_minor == 0 and any(section.undone for section in unit.sections)


def _worth_an_invoice(units: Iterable[Unit], carried: Sequence[Section]) -> bool:
    """Whether there is more on it than what is taken back at no charge."""
    if any(section.owing for section in carried):
        return True
    return any(
        not unit.empty and (unit.own or any(section.fresh or section.amount_minor for section in unit.sections))
        for unit in units
    )
