"""What a contract's periods come to now, and what of it no document says yet: the one subtraction that drafts, credit
notes, previews and the audit share.

A section is owed less billed of one period, by key (`domain.owing`). What is owed is rated from the outcomes that count
now (confirmed, on a line or to be put on one) under the contract's terms of today. So what came late, what is undone,
and a price that was changed backwards all come out of one comparison.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from contracts.domain import rating
from contracts.domain.periods import Period
from contracts.domain.rating import Charge, Line, Usage
from invoicing import billed as standing
from invoicing import rated, selection
from invoicing.billed import Billed
from invoicing.domain.owing import NONE, Booked, Counted, Key, Owing, owing
from invoicing.models import Invoice, InvoiceLine, LineOutcome, LineReversal
from invoicing.selection import Grid, Group, OnLines, Undone, Which
from invoicing.tariff import Tariff, counted, tariff_of
from invoicing.terms_used import Drawing, TermsUsed, agreed_now
from invoicing.wording import Wording

T = TypeVar("T")

Place = tuple[int, Key]
"""A line of a period, by the period's index in the grid."""


@dataclass(frozen=True)
class Facts:
    """Which outcomes count in the periods of a contract: those that documents bill, but for those that are ``undone``,
    and ``fresh`` ones. ``lines`` are the lines to be on which the latter two stand, where they do already.

    What documents bill is ``kept``, in groups by the terms of today. Of a period whose documents say it by those terms
    already (`trusted`) it is ``said``, and no outcome is looked at: what a key counts, and how it is charged.
    """

    grid: Grid
    billed: Billed
    tariff: Tariff
    titles: Wording
    kept: Sequence[Group]
    said: Mapping[Place, Charge]
    fresh: Mapping[Place, Counted]
    undone: Mapping[Place, Counted]
    lines: Mapping[Place, UUID]
    on_lines: OnLines
    which: tuple[Which, ...] = ()

    def charges(self, index: int) -> list[Charge]:
        """What everything that counts in a period charges: what is fresh first, by the words of its lines."""
        fresh = {key: more for (period, key), more in self.fresh.items() if period == index}
        usage = dict(fresh)
        for group in self.kept:
            number = self.tariff.number_of(group)
            if group.period == index and number is not None:
                key = self.tariff.line_keys[number]
                more = self.tariff.counted(number, group.outcomes, group.quantity, group.value)
                usage[key] = usage.get(key, NONE).plus(more)
        empty = {key: self.tariff.charges[number] for key, number in self.tariff.by_key.items()}
        for (period, key), charge in self.said.items():
            if period == index:
                more = Counted(charge.usage.outcomes, charge.usage.quantity, charge.usage.value)
                usage[key] = usage.get(key, NONE).plus(more)
                empty.setdefault(key, charge)
        models = models_of(self.billed.of(self.grid.periods[index].start), self.billed)

        def place(key: Key) -> tuple[Any, ...]:
            number = self.tariff.by_key.get(key)
            known = number is not None and self.titles.knows(number, index)
            title = self.titles.title(number, index) if known and number is not None else _title(models[key])
            return key not in fresh, title, key[2], str(key[1]), str(key[3])

        return [_charge(empty[key], usage[key]) for key in sorted(usage, key=place)]


def models_of(lines: Sequence[InvoiceLine], billed: Billed) -> dict[Key, InvoiceLine]:
    """By key the oldest of these lines."""
    return {billed.key_of(line): line for line in reversed(lines)}


def _title(line: InvoiceLine) -> str:
    return str(line.details.get("of", line.title))


def _charge(empty: Charge, usage: Counted) -> Charge:
    values = empty.usage
    return replace(
        empty,
        usage=Usage(values.condition, values.dimensions, usage.quantity, usage.outcomes, value=usage.value),
    )


def _said(
    grid: Grid, billed: Billed, trusted: Collection[datetime], undone: Mapping[Place, Counted]
) -> tuple[dict[Place, Charge], set[int]]:
    """What the documents of ``trusted`` periods count, less what is undone; and the indexes of those periods. Outcomes
    are looked at where they count one by one, and where what is undone may have moved to another line since it was
    billed.
    """
    takes_back = {index for index, _ in undone}
    found: dict[Place, Charge] = {}
    indexes: set[int] = set()
    for start in trusted:
        index = grid.index_of(start)
        lines = [line for line in billed.of(start) if line.kind == rating.USAGE]
        prices = standing.prices_of({line.price_id: line.price for line in lines if line.price is not None}.values())
        moved = index in takes_back and any("moved" in line.details for line in lines)
        if index is None or moved or any(rating.needs_order(price) for price in prices.values()):
            continue
        indexes.add(index)
        for key, booked in billed.booked(lines).items():
            counts = booked.usage.minus(undone.get((index, key), NONE))
            price = prices[int(str(key[1]))]
            empty = Charge(price, Usage(price.condition, cast(rating.Dimensions, key[2]), rating.ZERO), key[3])
            if counts:
                found[index, key] = _charge(empty, counts)
    return found, indexes


def as_it_stands(
    grid: Grid,
    billed: Billed,
    fresh: Sequence[Group],
    undone: Iterable[Undone],
    which: tuple[Which, ...],
    trusted: Collection[datetime] = (),
) -> Facts:
    """The facts as they stand, for who writes nothing: ``fresh`` are the outcomes among ``which``."""
    taken_back: dict[Place, Counted] = {}
    for one, place, model in _placed(grid, billed, undone):
        _add(taken_back, place, counted(model, one.outcomes, one.quantity, one.value))
    said, known = _said(grid, billed, trusted, taken_back)
    on_lines = _on_lines(grid, billed, (), as_it_stands=True)
    kept = selection.kept(grid, on_lines, but=known)
    tariff = tariff_of(grid, [*fresh, *kept])
    found: dict[Place, Counted] = {}
    for group in fresh:
        number = tariff.number_of(group)
        if number is not None:
            usage = tariff.counted(number, group.outcomes, group.quantity, group.value)
            _add(found, (group.period, tariff.line_keys[number]), usage)
    titles = Wording(fresh, kept, tariff)
    return Facts(grid, billed, tariff, titles, kept, said, found, taken_back, {}, on_lines, which)


def put_on_lines(
    grid: Grid,
    billed: Billed,
    fresh: Sequence[Group],
    undone: Iterable[Undone],
    chosen: Collection[int],
    trusted: Collection[datetime] = (),
) -> Facts:
    """Put what is unbilled (of the periods of ``fresh``), and what is undone, on lines to be of the periods ``chosen``,
    and tell what counts then.

    Everything is read from what stands on lines afterwards, so whatever else is confirmed or reversed meanwhile changes
    nothing. The caller holds the customer's lock, and inserts those lines or lets go of them (`release`).
    """
    fresh = [group for group in fresh if group.period in chosen]
    tariff = tariff_of(grid, fresh)
    found: dict[Place, Counted] = {}
    lines: dict[Place, UUID] = {}
    periods = {group.period for group in fresh}
    assigned = selection.assign(grid, grid.horizon(max(periods)), tariff.keys, periods) if tariff.keys else []
    for one in assigned:
        place = one.period, tariff.line_keys[one.number]
        found[place] = tariff.counted(one.number, one.outcomes, one.quantity, one.value)
        lines[place] = one.line_id
    new = {line: place for place, line in lines.items()}

    taking: dict[UUID, UUID] = {}
    models: dict[UUID, tuple[Place, str]] = {}
    for some, place, model in _placed(grid, billed, undone):
        if place[0] in chosen:
            line = taking[some.line_id] = lines.setdefault(place, uuid4())
            models[line] = place, model
    taken_back: dict[Place, Counted] = {}
    for line, outcomes, quantity, value in selection.take_back(grid.agreement, taking) if taking else []:
        place, model = models[line]
        taken_back[place] = counted(model, outcomes, quantity, value)

    said, known = _said(grid, billed, trusted, taken_back)
    kept = selection.kept(grid, _on_lines(grid, billed, lines.values(), as_it_stands=False), but=known)
    everywhere = _on_lines(grid, billed, lines.values(), as_it_stands=False, new=new)
    # What is fresh comes first, so numbers stay as they are.
    tariff = tariff_of(grid, [*fresh, *kept])
    titles = Wording(fresh, kept, tariff)
    return Facts(grid, billed, tariff, titles, kept, said, found, taken_back, lines, everywhere)


def _on_lines(
    grid: Grid,
    billed: Billed,
    reversing: Iterable[UUID],
    *,
    as_it_stands: bool,
    new: Mapping[UUID, Place] | None = None,
) -> OnLines:
    """Where outcomes stand: on lines of documents, and on new ones."""
    lines: dict[int, list[UUID]] = {}
    takes_back = list(reversing)
    for start, some in billed.lines.items():
        index = grid.index_of(start)
        usage = [line.id for line in some if line.kind == rating.USAGE]
        takes_back += usage
        if index is not None:
            lines[index] = usage
    for line, (index, _) in (new or {}).items():
        lines.setdefault(index, []).append(line)
    return OnLines(lines, takes_back, as_it_stands)


def _placed(grid: Grid, billed: Billed, undone: Iterable[Undone]) -> Iterable[tuple[Undone, Place, str]]:
    """What is undone of the periods at hand, each with where its billing line stands, and the model of its price."""
    by_id = {line.id: line for lines in billed.lines.values() for line in lines}
    for one in undone:
        line = by_id.get(one.line_id)
        index = None if line is None else grid.index_of(line.period_start)
        if line is not None and line.price is not None and index is not None:
            yield one, (index, billed.key_of(line)), line.price.model


def _add(counts: dict[Place, Counted], place: Place, more: Counted) -> None:
    counts[place] = counts.get(place, NONE).plus(more)


# --- Sections ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """A period to be worked out; with ``advance`` its fees in advance alone, ``so_far`` as far as it goes. What
    ``closes`` it is its first full account.
    """

    period: Period
    advance: bool = False
    closes: bool = False
    so_far: bool = False


@dataclass(frozen=True)
class Section:
    """What of one period is to be booked. ``rated`` is all that it comes to, ``billed`` what documents say of it; it
    ``corrects`` what they say, or another section of the same run. ``fresh``, ``undone`` and ``lines`` are as in
    `Facts`, of this period.
    """

    wanted: Wanted
    index: int | None
    used: TermsUsed
    rated: tuple[Line, ...]
    owing: Sequence[Owing]
    billed: Sequence[InvoiceLine]
    fresh: Mapping[Key, Counted]
    undone: Mapping[Key, Counted]
    lines: Mapping[Key, UUID]
    corrects: bool = True

    @property
    def period(self) -> Period:
        return self.wanted.period

    @property
    def amount_minor(self) -> int:
        return sum(one.amount_minor for one in self.owing)

    def moved(self, one: Owing) -> Counted:
        """Of a line's usage, what came from another line or went to one: their prices changed."""
        if not one.usage and one.key not in self.fresh and one.key not in self.undone:
            return NONE
        return one.usage.minus(self.fresh.get(one.key, NONE)).plus(self.undone.get(one.key, NONE))

    @cached_property
    def follows(self) -> bool:
        """Whether what moves between lines only follows what is undone: it was billed at one price and counted at
        another by now, so it leaves the latter. No price changes.
        """
        moves = [(self.moved(one), self.undone.get(one.key, NONE)) for one in self.owing]
        gains = [(moved, undone) for moved, undone in moves if moved.outcomes > 0]
        return bool(gains) and all(
            moved.outcomes <= undone.outcomes and moved.quantity <= undone.quantity for moved, undone in gains
        )


def sections(
    facts: Facts, wanted: Iterable[Wanted], but: Invoice | None = None, earlier: Iterable[Section] = ()
) -> list[Section]:
    """The sections of these periods in order. What one comes to is what commitments count as drawn in later ones, and
    what has fees in advance comes before the rest of its period. What was worked out of ``earlier`` periods already, in
    order, counts as drawn whether documents take it or not.
    """
    drawing = Drawing(facts.grid.agreement, but)
    for known in earlier:
        if not known.wanted.advance:
            drawing.before(known.used)
            drawing.comes_to(known.used, known.rated)
    found: list[Section] = []
    ahead: dict[datetime, Section] = {}
    for one in sorted(wanted, key=lambda one: (one.period.start, not one.advance)):
        found.append(_section(facts, one, drawing, ahead.get(one.period.start)))
        if one.advance:
            ahead[one.period.start] = found[-1]
    return found


def _section(facts: Facts, wanted: Wanted, drawing: Drawing, ahead: Section | None) -> Section:
    grid, period = facts.grid, wanted.period
    index = grid.index_of(period.start)
    lines = facts.billed.of(period.start, advance=wanted.advance)
    booked = facts.billed.booked(lines)
    if ahead is not None:
        for one in ahead.owing:
            booked[one.key] = booked.get(one.key, Booked()).plus(Booked(one.amount_minor))
    stood = tuple(sorted({standing.document_of(line) for line in lines}))
    if wanted.advance or index is None:
        # A period that an earlier end took away owes nothing at all.
        used = replace(agreed_now(grid, period), advance=True) if wanted.advance else TermsUsed(period)
        used = replace(used, billed_on=stood)
        fees = rated.lines_of(grid.agreement, used, ()) if wanted.advance else ()
        return Section(wanted, index, used, fees, owing(fees, booked), lines, {}, {}, {})
    charges = facts.charges(index)
    priced_by = {int(str(charge.version)) for charge in charges if charge.version is not None}
    used = drawing.before(agreed_now(grid, period, priced_by))
    used = replace(used, billed_on=stood, closes=wanted.closes, so_far=wanted.so_far)
    figures = rated.figures_of(grid, used, index, charges, facts.tariff, facts.on_lines, facts.which)
    everything = rated.lines_of(grid.agreement, used, charges, figures)
    drawing.comes_to(used, everything)
    fresh, undone, new = _of(facts.fresh, index), _of(facts.undone, index), _of(facts.lines, index)
    found = owing(everything, booked, {*fresh, *undone})
    corrects = bool(lines) or (ahead is not None and bool(ahead.owing))
    return Section(wanted, index, used, everything, found, lines, fresh, undone, new, corrects)


def _of(places: Mapping[Place, T], index: int) -> dict[Key, T]:
    return {key: one for (period, key), one in places.items() if period == index}


def release(some: Iterable[Section]) -> None:
    """Let go of what was put on the lines of sections that no document takes."""
    let_go(line for section in some for line in section.lines.values())


def let_go(lines: Iterable[UUID]) -> None:
    """Take everything off these lines, of drafts or to be."""
    found = list(lines)
    if found:
        LineOutcome.objects.filter(line__in=found).delete()
        LineReversal.objects.filter(line__in=found).delete()
