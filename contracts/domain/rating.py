"""Rating: prices and quantities become lines with their arithmetic. Pure; invoices, previews and simulations share it.

Three steps, each a function of its own: `choose` finds the price of an outcome, `merge` puts what one line bills
together, `rate_lines` turns quantities into money by the price's model. A model is one entry of `MODELS`; it sees every
line of its price in the period at once, because tiers and packages count over all of them (docs/pricing.md).
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from conditions_dsl.words import plain
from contracts.domain import money

PER_UNIT: Final = "per_unit"

MAX_UNIT_PRICE: Final = Decimal(10**15)
PRICE_DECIMALS: Final = 12

Dimensions = tuple[tuple[str, str], ...]
"""Dimension values in order of their names; a dimension without a value is left out."""


@dataclass(frozen=True, slots=True)
class Price:
    """One price in force. ``condition`` is whatever names the condition at the caller (a row's id, a slug).

    ``unit_price`` is in major units of the currency; ``match`` are the dimension values it is for, () fits all; an
    ``override`` stands on the contract and beats every price of the card that fits too.
    """

    id: Hashable
    condition: Hashable
    unit_price: Decimal
    match: Dimensions = ()
    model: str = PER_UNIT
    override: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Quantity of one condition with the same dimension values, over ``outcomes`` outcomes; ``voided`` are those taken
    back inside their window, which are shown and not charged.
    """

    condition: Hashable
    dimensions: Dimensions
    quantity: Decimal
    outcomes: int = 0
    voided: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """What goes on one line, with the price that was chosen for it."""

    price: Price
    usage: Usage


@dataclass(frozen=True, slots=True)
class Step:
    """One product in a line's arithmetic: ``quantity`` x ``unit_price`` = ``amount``, exact, in major units."""

    quantity: Decimal
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """A rated line: its amount in minor units, rounded once, and the exact steps that lead to it."""

    price: Price
    usage: Usage
    amount_minor: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Rated:
    """``lines`` in a stable order, and the usage for which no price was found."""

    lines: tuple[Line, ...] = ()
    unpriced: tuple[Usage, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceInput:
    """A price as somebody wants to save it, for `validate_prices`."""

    condition: Hashable
    unit_price: Decimal
    match: Mapping[str, Any] = field(default_factory=dict)
    model: str = PER_UNIT


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a list of prices is refused: the place (``prices[1].match``), a code, and a sentence."""

    path: str
    code: str
    message: str


# --- Choosing ---------------------------------------------------------------------------------------------------------


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


# --- Rating -----------------------------------------------------------------------------------------------------------


def rate(prices: Sequence[Price], usages: Iterable[Usage], currency: str) -> Rated:
    """Lines for what one period used under one list of prices, one per (price, dimension values).

    What has no price is returned as such and charged nothing.
    """
    charges: list[Charge] = []
    unpriced: list[Usage] = []
    for usage in usages:
        price = choose(prices, usage.condition, usage.dimensions)
        if price is None:
            unpriced.append(usage)
        else:
            charges.append(Charge(price, usage))
    return Rated(tuple(rate_lines(merge(charges), currency)), tuple(unpriced))


def merge(charges: Iterable[Charge]) -> list[Charge]:
    """Charges of the same price and dimension values as one, in order of first appearance."""
    merged: dict[tuple[Hashable, Dimensions], Charge] = {}
    for charge in charges:
        key = (charge.price.id, charge.usage.dimensions)
        seen = merged.get(key)
        merged[key] = charge if seen is None else Charge(charge.price, _together(seen.usage, charge.usage))
    return list(merged.values())


def _together(first: Usage, second: Usage) -> Usage:
    return Usage(
        first.condition,
        first.dimensions,
        money.EXACT.add(first.quantity, second.quantity),
        first.outcomes + second.outcomes,
        first.voided + second.voided,
    )


def rate_lines(charges: Sequence[Charge], currency: str) -> list[Line]:
    """The charges of one period as lines, in the order given. Each amount is rounded once.

    Raises ValueError for a model that does not exist, OverflowError for an amount that cannot be booked.
    """
    by_price: dict[Hashable, list[int]] = {}
    for index, charge in enumerate(charges):
        by_price.setdefault(charge.price.id, []).append(index)
    rated: dict[int, Line] = {}
    for indexes in by_price.values():
        price = charges[indexes[0]].price
        try:
            model = MODELS[price.model]
        except KeyError:
            raise ValueError(f"price {price.id} has the unknown model {price.model!r}") from None
        results = model(price, [charges[index].usage.quantity for index in indexes], currency)
        for index, (amount_minor, steps) in zip(indexes, results, strict=True):
            rated[index] = Line(price, charges[index].usage, amount_minor, steps)
    return [rated[index] for index in range(len(charges))]


Result = tuple[int, tuple[Step, ...]]
"""A line's amount in minor units and its steps."""


def _per_unit(price: Price, quantities: Sequence[Decimal], currency: str) -> list[Result]:
    """Each line by itself: quantity x unit price."""
    results: list[Result] = []
    for quantity in quantities:
        amount = money.product(price.unit_price, quantity)
        results.append((money.to_minor(amount, currency), (Step(quantity, price.unit_price, amount),)))
    return results


MODELS: Final[dict[str, Callable[[Price, Sequence[Decimal], str], list[Result]]]] = {PER_UNIT: _per_unit}
"""A model takes the price, the quantities of all its lines in the period and the currency, and answers line by line."""


# --- Saving -----------------------------------------------------------------------------------------------------------


def validate_prices(prices: Sequence[PriceInput], path: str = "prices") -> list[Problem]:
    """What is wrong with a list of prices that is to be saved as one home (a card version, or a contract version).

    Two prices that could fit an outcome equally well are refused, unless a further price decides the case.
    """
    problems: list[Problem] = []
    matches: list[Dimensions | None] = []
    for index, price in enumerate(prices):
        place = f"{path}[{index}]"
        if price.model not in MODELS:
            known = ", ".join(MODELS)
            problems.append(
                Problem(f"{place}.model", "unknown_model", f"The model {price.model!r} is none of: {known}.")
            )
        problems.extend(_unit_price_problems(f"{place}.unit_price", price.unit_price))
        try:
            matches.append(dimensions_of(price.match))
        except TypeError as error:
            matches.append(None)
            problems.append(Problem(f"{place}.match", "invalid", f"In a match, {error}."))
    problems.extend(_ties(prices, matches, path))
    return problems


def _unit_price_problems(place: str, unit_price: Decimal) -> list[Problem]:
    if not isinstance(unit_price, Decimal) or not unit_price.is_finite():
        return [Problem(place, "invalid", "A unit price is a decimal number.")]
    if unit_price < 0:
        return [Problem(place, "negative_price", "A unit price is not negative.")]
    if unit_price >= MAX_UNIT_PRICE:
        return [Problem(place, "price_too_large", "A unit price is below 10^15.")]
    if _decimals(unit_price) > PRICE_DECIMALS:
        return [Problem(place, "too_many_decimals", f"A unit price has at most {PRICE_DECIMALS} decimals.")]
    return []


def _decimals(number: Decimal) -> int:
    """Decimals that count: 0.50 has one."""
    _, digits, exponent = number.as_tuple()
    places = -int(exponent)
    for digit in reversed(digits):
        if digit or places <= 0:
            break
        places -= 1
    return max(places, 0)


def _ties(prices: Sequence[PriceInput], matches: Sequence[Dimensions | None], path: str) -> list[Problem]:
    """One problem for each price that ties with an earlier one.

    Looking at pairs is enough: an outcome on which several tie carries at least the values of both, and whatever
    decides the case for every such outcome fits these values alone.
    """
    by_condition: dict[Hashable, list[tuple[int, Dimensions]]] = {}
    for index, (price, match) in enumerate(zip(prices, matches, strict=True)):
        if match is not None:
            by_condition.setdefault(price.condition, []).append((index, match))
    problems = []
    for entries in by_condition.values():
        for position, (index, match) in enumerate(entries):
            rival = next((other for other, theirs in entries[:position] if _tie(match, theirs, entries)), None)
            if rival is not None:
                message = (
                    f"Fits some outcomes exactly as well as {path}[{rival}]: give one of them a further dimension "
                    "value, or add a price for both values together."
                )
                problems.append(Problem(f"{path}[{index}].match", "duplicate_price", message))
    return sorted(problems, key=lambda problem: int(problem.path[len(path) + 1 :].split("]")[0]))


def _tie(first: Dimensions, second: Dimensions, entries: Sequence[tuple[int, Dimensions]]) -> bool:
    if len(first) != len(second):
        return False
    both = dict(first)
    for name, value in second:
        if both.setdefault(name, value) != value:
            return False
    union = set(both.items())
    decided = any(len(match) > len(first) and union.issuperset(match) for _, match in entries)
    return first == second or not decided
