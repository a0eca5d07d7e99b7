"""How surely a provisional outcome is confirmed: a life table over the part of its settlement window that it has
survived, and an interval for what so many provisional outcomes come to together.

An age is a part of the window, 0 … 1. Every past outcome counted was decided, so nothing is censored: the rate at an
age is the share of those still provisional at it that were confirmed in the end (the actuarial life table: inside a
bucket losses are spread evenly).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

BUCKETS = 5
"""Equal parts of the window."""
Z = 1.959964
"""Of the normal distribution, two-sided, for 95 %."""


@dataclass(frozen=True)
class Interval:
    low: float
    expected: float
    high: float


CERTAINLY = Interval(1.0, 1.0, 1.0)
UNKNOWN = Interval(0.0, 0.5, 1.0)


@dataclass(frozen=True)
class LifeTable:
    """What became of past outcomes: how many were ``confirmed``, and how many were lost in each bucket of age."""

    confirmed: int
    lost: tuple[int, ...] = (0,) * BUCKETS

    @property
    def outcomes(self) -> int:
        return self.confirmed + sum(self.lost)

    def plus(self, other: "LifeTable") -> "LifeTable":
        return LifeTable(
            self.confirmed + other.confirmed, tuple(a + b for a, b in zip(self.lost, other.lost, strict=True))
        )

    def at_risk(self, age: float) -> float:
        """How many were still provisional at this age; inside a bucket, by a straight line between its edges."""
        place = min(max(age, 0.0), 1.0) * BUCKETS
        bucket = min(int(place), BUCKETS - 1)
        return self.confirmed + sum(self.lost[bucket + 1 :]) + self.lost[bucket] * (1 - (place - bucket))

    def rate(self, age: float) -> float:
        """The share of those provisional at this age that were confirmed. Where fewer than one came so far, it is of
        one: that nothing was ever confirmed stays 0.
        """
        return self.confirmed / max(self.at_risk(age), 1.0)

    def interval(self, age: float, z: float = Z) -> Interval:
        """The rate at this age with its Wilson interval."""
        rate = self.rate(age)
        low, high = wilson(rate, max(self.at_risk(age), 1.0), z)
        return Interval(low, rate, high)


EMPTY = LifeTable(0)


def wilson(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """The Wilson score interval of a share found in ``n`` cases (above 0), always around the share."""
    middle = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return max(0.0, min(share, (middle - spread) / whole)), min(1.0, max(share, (middle + spread) / whole))


@dataclass(frozen=True)
class Waiting:
    """Provisional outcomes of about one age that are judged by one table: the sum of what they are worth, and the sum
    of the squares of that (a few large ones are less sure together than many small ones).
    """

    table: LifeTable
    age: float
    worth: float
    squares: float


def share_of(waiting: Iterable[Waiting], z: float = Z) -> Interval:
    """The share of their worth that is confirmed in the end, with a prediction interval.

    Two things are uncertain: the rate, found from so many past outcomes (Wilson), and what becomes of so few (the
    binomial at that end of the rate's interval). They are independent, and so are tables, so distances from the
    expected share add up as squares (Zou and Donner's MOVER). Outcomes judged by one table share its error.
    """
    by_table: dict[LifeTable, list[Waiting]] = {}
    for one in waiting:
        if one.worth > 0:
            by_table.setdefault(one.table, []).append(one)
    whole = sum(one.worth for some in by_table.values() for one in some)
    if not whole:
        return CERTAINLY
    expected = below = above = 0.0
    for table, some in by_table.items():
        found, worth = _of_one_table(table, some, z), sum(one.worth for one in some)
        expected += found.expected * worth / whole
        below += ((found.expected - found.low) * worth / whole) ** 2
        above += ((found.high - found.expected) * worth / whole) ** 2
    # A sum of shares of 1 is 1.
    expected = min(expected, 1.0) if expected < 1 - 1e-12 else 1.0
    return Interval(max(0.0, expected - sqrt(below)), expected, min(1.0, expected + sqrt(above)))


def _of_one_table(table: LifeTable, some: Sequence[Waiting], z: float) -> Interval:
    """Not cut off at 0 and 1: together with other tables that would be too narrow."""
    if not table.outcomes:
        return UNKNOWN
    worth = sum(one.worth for one in some)
    rate = sum(one.worth * table.rate(one.age) for one in some) / worth
    n = sum(one.worth * max(table.at_risk(one.age), 1.0) for one in some) / worth
    low, high = wilson(min(rate, 1.0), n, z)
    each = sum(one.squares for one in some) / worth**2
    below = sqrt((rate - low) ** 2 + z * z * low * (1 - low) * each)
    above = sqrt((high - rate) ** 2 + z * z * high * (1 - high) * each)
    return Interval(rate - below, rate, rate + above)
