"""What of a period is still to be booked: everything it comes to, less what its documents say. Pure.

For a period without an invoice that is its lines as they are. Afterwards it is the difference, line by line, in amount,
quantity, value and outcomes; so whatever moved the period (what came late, was taken back, or changed its price) and
whatever else the terms make of it (tiers, minimum, cap ...) comes out as if it had been so from the start.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from contracts.domain import rating
from contracts.domain.money import EXACT
from contracts.domain.rating import Line

Key = tuple[Hashable, ...]
"""What a line is about. Lines of one key stand for each other."""


@dataclass(frozen=True, slots=True)
class Counted:
    """So many outcomes with their quantity and, where their price is a percentage, the value it is of."""

    outcomes: int = 0
    quantity: Decimal = rating.ZERO
    value: Decimal = rating.ZERO

    def plus(self, other: "Counted") -> "Counted":
        add = EXACT.add
        return Counted(self.outcomes + other.outcomes, add(self.quantity, other.quantity), add(self.value, other.value))

    def minus(self, other: "Counted") -> "Counted":
        take = EXACT.subtract
        return Counted(
            self.outcomes - other.outcomes, take(self.quantity, other.quantity), take(self.value, other.value)
        )

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.quantity or self.value)


NONE = Counted()


@dataclass(frozen=True, slots=True)
class Booked:
    """What documents say under a key."""

    amount_minor: int = 0
    usage: Counted = NONE

    def plus(self, other: "Booked") -> "Booked":
        return Booked(self.amount_minor + other.amount_minor, self.usage.plus(other.usage))


@dataclass(frozen=True, slots=True)
class Owing:
    """A line to be booked: ``amount_minor`` of ``line``, of which ``billed_minor`` stands on documents already, and
    what it adds to the usage they say.

    Without a ``line`` the period no longer has what was billed under this key, and the amount takes it back.
    """

    key: Key
    line: Line | None
    amount_minor: int
    billed_minor: int = 0
    usage: Counted = NONE


def key_of(line: Line) -> Key:
    """What a rated line is about: usage of one price, version and set of values; a fee by its name, so that it may go
    on from one contract version to the next, and by whether it counts, because a commitment draws what its lines say
    does; a discount by version.
    """
    if line.kind == rating.USAGE and line.price is not None and line.usage is not None:
        return line.kind, line.price.id, line.usage.dimensions, line.version
    if line.fee is not None:
        return line.kind, line.fee.name, line.fee.counts
    if line.kind == rating.DISCOUNT:
        return line.kind, line.version
    if line.kind == rating.MAXIMUM and line.price is not None:
        return line.kind, line.price.id
    if line.commitment is not None:
        return line.kind, line.commitment.id
    return (line.kind,)


def usage_of(line: Line) -> Counted:
    """What a rated line counts; nothing but for usage."""
    if line.usage is None or line.price is None:
        return NONE
    value = line.usage.value if line.price.model == rating.PERCENTAGE else rating.ZERO
    return Counted(line.usage.outcomes, line.usage.quantity, value)


def owing(lines: Iterable[Line], booked: Mapping[Key, Booked], touched: Collection[Key] = frozenset()) -> list[Owing]:
    """What is to be booked of a period that comes to ``lines``, of which ``booked`` stands on documents.

    Lines of the keys in ``touched`` (they bill outcomes for the first time, or take some back) and of those that were
    never billed are shown whatever their amount. The amounts, and the usage, add up to those of the lines less what is
    booked, for each key and together. In order of the lines; what is only taken back comes last.
    """
    wanted = list(lines)
    keys = [key_of(line) for line in wanted]
    left = dict(booked)
    to_come = Counter(keys)
    found = []
    for line, key in zip(wanted, keys, strict=True):
        to_come[key] -= 1
        mine = left.get(key, Booked())
        # The last line of its key bears what the others could not.
        taken = _part_of(line.amount_minor, mine.amount_minor) if to_come[key] else mine.amount_minor
        left[key] = Booked(mine.amount_minor - taken)
        one = Owing(key, line, line.amount_minor - taken, taken, usage_of(line).minus(mine.usage))
        if one.amount_minor or one.usage or key in touched or key not in booked:
            found.append(one)
    gone = ((key, one) for key, one in booked.items() if key not in keys)
    found += [
        Owing(key, None, -one.amount_minor, one.amount_minor, NONE.minus(one.usage))
        for key, one in gone
        if one.amount_minor or one.usage or key in touched
    ]
    return found


def _part_of(minor: int, billed: int) -> int:
    """So much of ``billed`` as goes into a line of ``minor``: towards it from zero, and not beyond."""
    return max(0, min(minor, billed)) if minor >= 0 else min(0, max(minor, billed))
