"""Tax: once for each rate on the summed lines of a document, half up. Pure; amounts are in minor units.

A credit takes back what the tax of the invoice falls by, so that whatever is credited, in any number of steps, what is
left of the invoice carries the tax of what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from contracts.domain import money

PERCENT_DECIMALS = 12
# 100 % in the unit in which percentages are whole numbers.
_WHOLE = 100 * 10**PERCENT_DECIMALS


@dataclass(frozen=True, slots=True)
class Rate:
    """``percent`` 19 means 19 %. ``inclusive``: the lines contain it. A reverse charge is 0 % with its note."""

    key: str
    name: str
    percent: Decimal
    inclusive: bool = False
    reverse_charge: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Taxed:
    """Lines of ``subtotal_minor`` with the tax of each rate, in order of the rates; ``total_minor`` is what is paid."""

    subtotal_minor: int
    by_rate: tuple[int, ...]
    total_minor: int

    @property
    def tax_minor(self) -> int:
        return sum(self.by_rate)

    @property
    def taxable_minor(self) -> int:
        """What the tax is on: the lines without it, whether it is on top of them or contained."""
        return self.total_minor - self.tax_minor


def taxed(subtotal_minor: int, rates: Sequence[Rate], currency: str) -> Taxed:
    """The tax on lines of that sum. Of rates on top each is its percentage of them; of those that prices contain, its
    share of 100 % and all of them together.

    Raises ValueError where both kinds meet, decimal.Inexact for a percentage of more than 12 decimals, and
    OverflowError for a tax beyond what can be booked.
    """
    if len({rate.inclusive for rate in rates}) > 1:
        raise ValueError("taxes that prices contain and taxes on top of them do not go together")
    inclusive = bool(rates) and rates[0].inclusive
    parts = [_whole_part(rate.percent) for rate in rates]
    over = _WHOLE + sum(parts) if inclusive else _WHOLE
    amount = money.from_minor(subtotal_minor, currency)
    by_rate = tuple(money.to_minor(money.product(amount, Decimal(part)), currency, over=over) for part in parts)
    return Taxed(subtotal_minor, by_rate, subtotal_minor if inclusive else subtotal_minor + sum(by_rate))


def credited(before_minor: int, after_minor: int, rates: Sequence[Rate], currency: str) -> Taxed:
    """What goes back where the lines left of an invoice fall from one sum to another: lines, tax and total."""
    first, second = (taxed(minor, rates, currency) for minor in (before_minor, after_minor))
    by_rate = tuple(one - other for one, other in zip(first.by_rate, second.by_rate, strict=True))
    return Taxed(before_minor - after_minor, by_rate, first.total_minor - second.total_minor)


def less(given: Taxed, over_minor: int, rates: Sequence[Rate]) -> Taxed:
    """What goes back without ``over_minor`` of it, tax and lines in the same proportion (tax half up)."""
    if not over_minor:
        return given
    off_tax = (2 * over_minor * given.tax_minor + given.total_minor) // (2 * given.total_minor)
    parts = money.split(off_tax, given.by_rate) if off_tax else [0] * len(given.by_rate)
    by_rate = tuple(minor - off for minor, off in zip(given.by_rate, parts, strict=True))
    inside = bool(rates) and rates[0].inclusive
    off_lines = over_minor if inside else over_minor - off_tax
    return Taxed(given.subtotal_minor - off_lines, by_rate, given.total_minor - over_minor)


def _whole_part(percent: Decimal) -> int:
    """The percentage in the unit of `_WHOLE`, exactly."""
    return int(money.EXACT.to_integral_exact(money.EXACT.scaleb(percent, PERCENT_DECIMALS)))
