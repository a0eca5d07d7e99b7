"""Which price counts for an outcome."""

from collections.abc import Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from conditions_dsl.words import plain
from contracts.domain.rating.types import Dimensions, Price


def dimension_text(value: Any) -> str:
    """A dimension value as outcomes carry it: text; numbers in plain notation, so 5, 5.0 and 5e0 are one value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal | float):
        # str() first: a float is only ever a name here, never an amount.
        number = Decimal(str(value))
        if number.is_finite():
            return plain(number)
    kind = {dict: "an object", list: "a list", type(None): "null"}.get(type(value), type(value).__name__)
    raise TypeError(f"a dimension value is text, a number or true or false, not {kind}")


def dimensions_of(values: Mapping[str, Any]) -> Dimensions:
    """Dimension values as JSON holds them, in canonical order; null is no value."""
    return tuple(sorted((name, dimension_text(value)) for name, value in values.items() if value is not None))


def choose(prices: Iterable[Price], condition: Hashable, dimensions: Dimensions) -> Price | None:
    """The price of an outcome, or None where none fits.

    An override beats every price of the card. Among the rest the one that names the most dimension values wins; that it
    is one is made sure of when prices are saved (`validate_prices`). Raises ValueError where it is not.
    """
    have = set(dimensions)
    fitting = [price for price in prices if price.condition == condition and have.issuperset(price.match)]
    if not fitting:
        return None
    best = max(_rank(price) for price in fitting)
    winners = [price for price in fitting if _rank(price) == best]
    if len(winners) > 1:
        raise ValueError(f"prices {', '.join(str(price.id) for price in winners)} fit {dict(dimensions)} equally well")
    return winners[0]


def _rank(price: Price) -> tuple[bool, int]:
    return price.override, len(price.match)
