"""What a simulation is asked: which rules and terms instead of those in force, of which span, for whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.condition_text import Reading
from contracts.prices import PriceFields

HOUR = 3600
WINDOWS = tuple(HOUR * hours for hours in (1, 3, 6, 12, 24, 36, 48, 72, 96, 120, 168, 240, 336, 504, 720))
"""Points of a window curve, in seconds: 1 hour to 30 days."""
FACTORS = tuple(range(50, 151, 10))
"""Points of a price curve, in percent of the prices."""


@dataclass(frozen=True)
class Card:
    """A price list in the place of the rate card ``key``, or of every contract's in its currency."""

    currency: str
    prices: tuple[PriceFields, ...]
    key: str | None = None


@dataclass(frozen=True)
class Asked:
    """A question, checked in itself; `scenario` holds it against what is stored.

    ``condition`` stands in the place of every version of its slug, or beside all others where there is none.
    ``contract`` are terms by name, as `contracts.agreed.VersionFields` holds them, in the place of those of every
    contract version. Billing periods that overlap [start, end) count, whole. ``customers`` are keys, None all.
    ``window_curve`` and ``price_curve`` are slugs of conditions.
    """

    start: datetime
    end: datetime
    condition: Reading | None = None
    rate_card: Card | None = None
    contract: Mapping[str, Any] = field(default_factory=dict)
    customers: tuple[str, ...] | None = None
    window_curve: str | None = None
    price_curve: str | None = None
