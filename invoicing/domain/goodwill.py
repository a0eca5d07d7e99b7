"""The tax in what is given back of an invoice by hand. Pure; amounts are in minor units."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.domain import money


@dataclass(frozen=True, slots=True)
class Share:
    """``net_minor`` of the lines and the tax of each rate, in order of the rates."""

    net_minor: int
    by_rate: tuple[int, ...]

    @property
    def tax_minor(self) -> int:
        return sum(self.by_rate)


def share_of(
    given_minor: int, left_minor: int, tax_left_minor: int, tax_by_rate: Sequence[int], *, inclusive: bool
) -> Share:
    """What of ``given_minor`` is tax, where so much of an invoice is left to credit, ``tax_left_minor`` of it tax.

    Half up, so that the last of several parts takes exactly what is left. The rates have part in it as they have in the
    invoice. ``inclusive``: the lines contain the tax. Raises ValueError for more than is left.
    """
    if not 0 < given_minor <= left_minor:
        raise ValueError(f"{given_minor} of {left_minor} cannot be given")
    tax_left = min(max(tax_left_minor, 0), left_minor)
    tax, rest = money.split(given_minor, [tax_left, left_minor - tax_left])
    by_rate = tuple(money.split(tax, tax_by_rate)) if tax else (0,) * len(tax_by_rate)
    return Share(given_minor if inclusive else rest, by_rate)
