"""Use case inside a billing run: make an invoice's lines out of what is confirmed and unbilled.

Everything here runs in the caller's transaction, under the lock of the customer's row.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from access import ids
from contracts.domain import money, rating
from contracts.models import ConditionVersion
from contracts.terms import Agreement, Version
from invoicing import selection, texts
from invoicing.models import Invoice, InvoiceLine, LineOutcome
from invoicing.selection import Grid, Group, Key


@dataclass(frozen=True)
class Tariff:
    """Where outcomes go: a key per way to a price, and behind each key number the price and the dimension values."""

    keys: tuple[Key, ...]
    prices: tuple[rating.Price, ...]
    dimensions: tuple[rating.Dimensions, ...]
    versions: tuple[Version, ...]


def tariff_of(grid: Grid, groups: Iterable[Group]) -> Tariff:
    """The price of each group that has one. Groups that differ in nothing a line shows share a key number."""
    numbers: dict[tuple[Any, rating.Dimensions], int] = {}
    prices: list[rating.Price] = []
    dimensions: list[rating.Dimensions] = []
    versions: list[Version] = []
    keys: dict[tuple[int, str, int], Key] = {}
    for group in groups:
        way = (group.condition_id, group.dimensions, group.stretch)
        if way in keys:
            continue
        stretch = grid.stretches[group.stretch]
        values = rating.dimensions_of(json.loads(group.dimensions))
        price = rating.choose(stretch.prices, group.condition_id, values)
        if price is None:
            continue
        number = numbers.setdefault((price.id, values), len(prices))
        if number == len(prices):
            prices.append(price)
            dimensions.append(values)
            versions.append(stretch.version)
        keys[way] = Key(*way, number)
    return Tariff(tuple(keys.values()), tuple(prices), tuple(dimensions), tuple(versions))


def payment_terms(agreement: Agreement, period_end: datetime) -> Version:
    """The contract version whose net days and zone an invoice takes: that in force at the period's last instant."""
    return agreement.version_at(period_end - timedelta(microseconds=1))


def draft(
    grid: Grid,
    index: int,
    groups: Sequence[Group],
    *,
    now: datetime,
    ordinal: int = 1,
    existing: Invoice | None = None,
) -> Invoice | None:
    """A draft for the period ``index`` with everything priced that settled up to its end and stands on no line yet.

    ``groups`` is what `selection.unbilled` found up to that end, in this transaction.
    ``existing`` is the period's draft, emptied by `clear`, to be filled anew. Answers None, and leaves no row behind,
    where there is nothing to bill. What settled in earlier periods stands on lines that name their period.
    """
    horizon = grid.horizon(index)
    tariff = tariff_of(grid, groups)
    assigned = selection.assign(grid, horizon, tariff.keys) if tariff.keys else []
    if not assigned:
        if existing is not None:
            Invoice.objects.filter(pk=existing.pk).delete()
        return None
    period = grid.periods[index]
    terms = payment_terms(grid.agreement, period.end)
    invoice = existing or Invoice(
        id=ids.uuid7(now),
        customer_id=grid.agreement.customer_id,
        contract_id=grid.agreement.id,
        currency=grid.agreement.currency,
        period_start=period.start,
        period_end=period.end,
        ordinal=ordinal,
        created_at=now,
    )
    lines = _lines(invoice, grid, index, tariff, assigned, groups)
    invoice.net_days = terms.net_days
    invoice.time_zone = terms.cadence.time_zone
    invoice.refreshed_at = now
    invoice.total_minor = money.total(
        (money.Money(line.amount_minor, invoice.currency) for line in lines), invoice.currency
    ).amount_minor
    if invoice.total_minor > money.MAX_MINOR:
        raise OverflowError("the invoice's total is beyond the largest amount that can be booked")
    invoice.save(force_insert=existing is None)
    InvoiceLine.objects.bulk_create(lines, batch_size=1000)
    return invoice


def clear(invoice: Invoice) -> None:
    """Take every line off a draft, so that its outcomes are unbilled again."""
    LineOutcome.objects.filter(line__invoice=invoice).delete()
    InvoiceLine.objects.filter(invoice=invoice).delete()


def _lines(
    invoice: Invoice,
    grid: Grid,
    index: int,
    tariff: Tariff,
    assigned: Sequence[selection.Assigned],
    groups: Sequence[Group],
) -> list[InvoiceLine]:
    """The lines in the order in which they are read: the invoice's own period first, then earlier ones."""
    key_numbers = {(key.condition_id, key.dimensions, key.stretch): key.number for key in tariff.keys}
    wording = _Wording(groups, key_numbers)
    taken_back = _voided(grid, index, tariff) if invoice.ordinal == 1 else {}
    by_period: dict[int, list[selection.Assigned]] = defaultdict(list)
    for entry in sorted(assigned, key=lambda one: (wording.title(one), tariff.dimensions[one.number], one.number)):
        by_period[entry.period].append(entry)
    lines: list[InvoiceLine] = []
    for period_index in sorted(by_period, key=lambda one: (one != index, one)):
        entries = by_period[period_index]
        charges = [
            rating.Charge(
                tariff.prices[entry.number],
                rating.Usage(
                    tariff.prices[entry.number].condition,
                    tariff.dimensions[entry.number],
                    entry.quantity,
                    entry.outcomes,
                    # Those of an earlier period were shown on the invoice of that period.
                    taken_back.get(entry.number, 0) if period_index == index else 0,
                ),
            )
            for entry in entries
        ]
        for entry, rated in zip(entries, rating.rate_lines(charges, invoice.currency), strict=True):
            lines.append(
                InvoiceLine(
                    id=entry.line_id,
                    invoice=invoice,
                    position=len(lines) + 1,
                    condition_id=cast(int, rated.price.condition),
                    price_id=cast(int, rated.price.id),
                    contract_version_id=tariff.versions[entry.number].id,
                    period_start=grid.periods[period_index].start,
                    period_end=grid.periods[period_index].end,
                    title=wording.title(entry),
                    sentence=wording.sentence(entry),
                    dimensions=dict(rated.usage.dimensions),
                    quantity=rated.usage.quantity,
                    unit_price=rated.price.unit_price,
                    amount_minor=rated.amount_minor,
                    steps=steps_json(rated.steps),
                    outcome_count=rated.usage.outcomes,
                    voided_count=rated.usage.voided,
                )
            )
    return lines


def steps_json(steps: Sequence[rating.Step]) -> list[dict[str, str]]:
    """A line's arithmetic with exact decimals as text."""
    return [
        {
            "quantity": texts.plain(step.quantity),
            "unit_price": texts.plain(step.unit_price),
            "amount": texts.plain(step.amount),
        }
        for step in steps
    ]


def _voided(grid: Grid, index: int, tariff: Tariff) -> dict[int, int]:
    """By key number, how many outcomes were voided inside their window in the period.

    A voided outcome is shown on the line it would have been on; where nothing was billed on that line it stands on
    none.
    """
    numbers = {(price.id, tariff.dimensions[number]): number for number, price in enumerate(tariff.prices)}
    counts: dict[int, int] = defaultdict(int)
    for condition, text, stretch, count in selection.voided(grid, index):
        values = rating.dimensions_of(json.loads(text))
        price = rating.choose(grid.stretches[stretch].prices, condition, values)
        number = None if price is None else numbers.get((price.id, values))
        if number is not None:
            counts[number] += count
    return counts


class _Wording:
    """Titles and sentences of lines, from the condition versions that their outcomes were judged by."""

    def __init__(self, groups: Sequence[Group], key_numbers: dict[tuple[int, str, int], int]) -> None:
        self._versions: dict[tuple[int, int], set[int]] = defaultdict(set)
        for group in groups:
            number = key_numbers.get((group.condition_id, group.dimensions, group.stretch))
            if number is not None:
                self._versions[number, group.period].add(group.version_id)
        self._rows = ConditionVersion.objects.in_bulk({one for found in self._versions.values() for one in found})

    def _of(self, entry: selection.Assigned) -> list[ConditionVersion]:
        rows = [self._rows[version] for version in self._versions[entry.number, entry.period]]
        return sorted(rows, key=lambda row: row.number)

    def title(self, entry: selection.Assigned) -> str:
        """The newest version's title."""
        return self._of(entry)[-1].title

    def sentence(self, entry: selection.Assigned) -> str:
        """The description; where outcomes of several versions are on the line, each with its number."""
        rows = self._of(entry)
        if len(rows) == 1:
            return rows[0].description
        return "\n".join(f"Version {row.number}: {row.description}" for row in rows)
