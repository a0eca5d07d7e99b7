"""What the lines of an invoice say."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from contracts.domain import money, rating
from contracts.domain.periods import Period
from contracts.domain.rating import Line
from contracts.models import ConditionVersion
from invoicing import texts
from invoicing.selection import Group
from invoicing.tariff import Tariff


class Wording:
    """Titles and sentences of usage, from the condition versions that its outcomes were judged by: those of ``fresh``
    outcomes, which a line bills for the first time, and where there are none those of what was billed before. One
    query.
    """

    def __init__(self, fresh: Iterable[Group], billed: Iterable[Group], tariff: Tariff) -> None:
        self._versions: dict[tuple[int, int], set[int]] = {}
        for groups in (billed, fresh):
            found: dict[tuple[int, int], set[int]] = defaultdict(set)
            for group in groups:
                number = tariff.number_of(group)
                if number is not None:
                    found[number, group.period].add(group.version_id)
            self._versions |= found
        self._rows = ConditionVersion.objects.in_bulk({one for found in self._versions.values() for one in found})
        self.by_condition = {
            row.condition_id: row.title for row in sorted(self._rows.values(), key=lambda row: row.number)
        }

    def knows(self, number: int | None, period: int | None) -> bool:
        """Whether there are outcomes under that number in the period."""
        return (number, period) in self._versions

    def _of(self, number: int, period: int) -> list[ConditionVersion]:
        rows = [self._rows[version] for version in self._versions[number, period]]
        return sorted(rows, key=lambda row: row.number)

    def title(self, number: int, period: int) -> str:
        """The newest version's title."""
        return self._of(number, period)[-1].title

    def sentence(self, number: int, period: int) -> str:
        """The description; where outcomes of several versions are on the line, each with its number."""
        rows = self._of(number, period)
        if len(rows) == 1:
            return rows[0].description
        return "\n".join(f"Version {row.number}: {row.description}" for row in rows)


def corrected(title: str, *, fresh: bool, undone: bool, moved: Decimal) -> str:
    """The title of usage on a line that corrects what was billed: 2 x *Ticket, taken back*. ``moved`` is how much came
    from another line (or went to one, below zero), because its price changed. What bills something anew says just that.
    """
    if fresh or not (undone or moved):
        return title
    if not moved:
        return f"{title}, taken back"
    if undone:
        return f"{title}, corrected"
    return f"{title}, at the new price" if moved > 0 else f"{title}, no longer at this price"


def title(line: Line, period: Period, time_zone: str, currency: str, conditions: Mapping[Any, str]) -> str:
    """A line of any kind but usage in words; ``conditions`` are titles by condition."""

    def amount(name: str) -> str:
        return texts.grouped(money.major_text(int(line.facts[name]), currency))

    match line.kind:
        case rating.FEE:
            assert line.fee is not None
            name = line.fee.name
            return name if line.fee.kind == rating.ONE_OFF else f"{name}, {texts.named(period, time_zone)}"
        case rating.DISCOUNT:
            percent = next((step.unit_price for step in line.steps if step.kind == "percent"), None)
            return "Discount" if percent is None else f"Discount {texts.plain(percent)} %"
        case rating.MAXIMUM:
            what = conditions.get(line.price.condition if line.price else None, "a price")
            return f"{what}: above the maximum of {amount('maximum_minor')}, not charged"
        case rating.MINIMUM:
            return f"Minimum of {amount('minimum_minor')}: difference"
        case rating.CAP:
            return f"Above the limit of {amount('cap_minor')}, not charged"
    assert line.commitment is not None
    committed = texts.grouped(money.major_text(money.to_minor(line.commitment.amount, currency), currency))
    match line.kind:
        case rating.COMMITMENT:
            return f"Commitment of {committed}, in advance"
        case rating.DRAWDOWN:
            return f"Drawn from the commitment of {committed}: {amount('left_minor')} left"
        case _:
            return f"Commitment of {committed}: difference"


def details(line: Line, currency: str) -> dict[str, Any]:
    """What a line's arithmetic needs beside its columns: figures of the terms in major units, and what they are of."""
    found: dict[str, Any] = {}
    for name, fact in line.facts.items():
        if name.endswith("_minor"):
            found[name.removesuffix("_minor")] = money.major_text(int(fact), currency)
        else:
            found[name] = fact if isinstance(fact, str | int) else texts.plain(fact)
    if line.usage is not None and line.price is not None:
        if line.price.model == rating.PERCENTAGE:
            found["value"] = texts.plain(line.usage.value)
        if line.shared and line.price_minor is not None:
            found["shared"] = True
            found["price_amount"] = money.major_text(line.price_minor, currency)
    if line.fee is not None:
        fee = line.fee
        found |= {"fee_id": _row(fee.id), "name": fee.name, "fee_kind": fee.kind}
        found |= {"timing": fee.timing, "counts": fee.counts}
    if line.commitment is not None:
        found["commitment_id"] = _row(line.commitment.id)
        found["payment"] = line.commitment.payment
        found["amount"] = money.major_text(money.to_minor(line.commitment.amount, currency), currency)
    return found


IDENTITY = ("fee_id", "name", "fee_kind", "timing", "counts", "commitment_id", "payment", "amount")
"""The details that say which fee or commitment a line is of."""


def _row(id: Hashable) -> int:
    """The row's id in that of a fee or commitment."""
    return cast(tuple[str, int], id)[1]


def steps_json(steps: Iterable[rating.Step]) -> list[dict[str, Any]]:
    """A line's arithmetic with exact decimals as text. ``up_to`` and ``of`` only where they say something."""
    found = []
    for step in steps:
        one: dict[str, Any] = {
            "kind": step.kind,
            "quantity": texts.plain(step.quantity),
            "unit_price": texts.plain(step.unit_price),
            "amount": texts.plain(step.amount),
        }
        if step.up_to is not None:
            one["up_to"] = texts.plain(step.up_to)
        if step.of is not None:
            one["of"] = step.of
        found.append(one)
    return found


CAUSES = {
    "event": "by a later event",
    "late": "by late evidence",
    "person": "by hand",
    "dispute": "after a dispute was upheld",
    "clock": "by the clock",
}
"""What took an outcome back, in the words of a credit note's reason."""


def credit_reason(periods: str, *, undone: int, causes: Mapping[str, int], fresh: int, since: bool, moved: int) -> str:
    """Why an automatic credit note is written: how many outcomes, of which periods, and why. ``causes`` counts what was
    ``undone`` by cause; ``fresh`` is what was confirmed ``since`` or else late; ``moved`` changed its price.
    `invoicing.localised.reasons` reads it back.
    """
    said = []
    if undone:
        listed = ", ".join(f"{count} {CAUSES[why]}" for why, count in causes.items())
        was = "it was" if undone == 1 else "they were"
        said.append(f"{_outcomes(undone)} taken back after {was} invoiced{f' ({listed})' if listed else ''}")
    if fresh:
        when = "since" if since else "late"
        said.append(f"{_outcomes(fresh)} confirmed {when}, with which the period comes to less")
    if moved:
        said.append(f"the price of {_outcomes(moved)} changed from an earlier day on")
    if not said:
        said.append("by terms that changed, less is owed than was invoiced")
    return f"{periods}: {'; '.join(said)}."


def _outcomes(count: int) -> str:
    return f"{texts.grouped(str(count))} outcome{'' if count == 1 else 's'}"
