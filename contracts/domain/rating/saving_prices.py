"""Why prices are refused when they are saved, each problem with its place; and a price as saved, ready for rating."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from contracts.domain.rating.choosing import dimensions_of
from contracts.domain.rating.models import MODELS
from contracts.domain.rating.problems import Problem, at, money_decimals, number_problems, percent_problems
from contracts.domain.rating.types import (
    FREE,
    GRADUATED,
    PACKAGE,
    PER_UNIT,
    PERCENTAGE,
    VOLUME,
    ZERO,
    Dimensions,
    Price,
    Tier,
)

MAX_TIERS: Final = 100

_ALLOWANCE: Final = ("included", "pool")

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    PER_UNIT: ("unit_price", *_ALLOWANCE, "period_maximum"),
    GRADUATED: ("tiers", *_ALLOWANCE, "period_maximum"),
    VOLUME: ("tiers", *_ALLOWANCE, "period_maximum"),
    PACKAGE: ("unit_price", "package_size", *_ALLOWANCE, "period_maximum"),
    PERCENTAGE: ("percent", "tiers", "minimum", "maximum", "period_maximum"),
    FREE: (),
}
"""What each model has a use for; whatever else is given is refused."""

_REQUIRED: Final = ("unit_price", "tiers", "package_size")
_TIER_FIELDS: Final = {
    PERCENTAGE: ("percent",),
    GRADUATED: ("unit_price", "flat_fee"),
    VOLUME: ("unit_price", "flat_fee"),
}


@dataclass(frozen=True, slots=True)
class TierInput:
    """A tier as somebody wants to save it; None is what was not given, and for ``up_to`` no upper edge."""

    up_to: Decimal | None = None
    unit_price: Decimal | None = None
    flat_fee: Decimal | None = None
    percent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PriceInput:
    """A price as somebody wants to save it; None is what was not given."""

    condition: Hashable
    unit_price: Decimal | None = None
    match: Mapping[str, Any] = field(default_factory=dict)
    model: str = PER_UNIT
    tiers: Sequence[TierInput] | None = None
    package_size: Decimal | None = None
    percent: Decimal | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    included: Decimal | None = None
    pool: str | None = None
    period_maximum: Decimal | None = None


def price_of(given: PriceInput, id: Hashable, *, override: bool = False) -> Price:
    """A price that `validate_prices` accepts, ready for rating."""
    tiers = tuple(
        Tier(tier.up_to, tier.unit_price or ZERO, tier.flat_fee or ZERO, tier.percent or ZERO)
        for tier in given.tiers or ()
    )
    return Price(
        id,
        given.condition,
        model=given.model,
        unit_price=given.unit_price,
        tiers=tiers,
        package_size=given.package_size,
        percent=given.percent,
        minimum=given.minimum,
        maximum=given.maximum,
        included=given.included or ZERO,
        pool=given.pool or "",
        period_maximum=given.period_maximum,
        match=dimensions_of(given.match),
        override=override,
    )


def validate_prices(
    prices: Sequence[PriceInput], path: str = "prices", *, currency: str | None = None
) -> list[Problem]:
    """What is wrong with a list of prices that is to be saved as one home (a card version, or a contract version).

    Two prices that could fit an outcome equally well are refused, unless a further price decides the case. With a
    currency, amounts that are booked as they stand have its decimals.
    """
    problems: list[Problem] = []
    matches: list[Dimensions | None] = []
    for index, price in enumerate(prices):
        place = f"{path}[{index}]"
        problems.extend(_price_problems(place, price, currency))
        try:
            matches.append(dimensions_of(price.match))
        except TypeError as error:
            matches.append(None)
            problems.append(Problem(f"{place}.match", "invalid", f"In a match, {error}."))
    problems.extend(_ties(prices, matches, path))
    return problems


def _price_problems(place: str, price: PriceInput, currency: str | None) -> Iterator[Problem]:
    used = FIELDS.get(price.model)
    if used is None or price.model not in MODELS:
        known = ", ".join(MODELS)
        yield Problem(at(place, "model"), "unknown_model", f"The model {price.model!r} is none of: {known}.")
    else:
        yield from _fields_problems(place, price, used)
    yield from number_problems(at(place, "unit_price"), price.unit_price, "A unit price")
    yield from number_problems(at(place, "package_size"), price.package_size, "A package size", above_zero=True)
    yield from percent_problems(at(place, "percent"), price.percent, "A percentage")
    yield from number_problems(at(place, "minimum"), price.minimum, "A minimum for an outcome")
    yield from number_problems(at(place, "maximum"), price.maximum, "A maximum for an outcome")
    if _below(price.maximum, price.minimum):
        yield Problem(at(place, "minimum"), "minimum_above_maximum", "The minimum for an outcome is above its maximum.")
    yield from number_problems(at(place, "included"), price.included, "An allowance")
    decimals = money_decimals(currency)
    maximum = at(place, "period_maximum")
    yield from number_problems(maximum, price.period_maximum, "A maximum per period", decimals=decimals)
    if price.tiers is not None:
        yield from _tiers_problems(at(place, "tiers"), price.tiers, _TIER_FIELDS.get(price.model))


def _fields_problems(place: str, price: PriceInput, used: Sequence[str]) -> Iterator[Problem]:
    """Fields that the model lacks, has no use for, or that exclude each other."""
    for name in ("unit_price", "tiers", "package_size", "percent", "minimum", "maximum", "included", "pool"):
        given = getattr(price, name) is not None and not (name == "pool" and price.pool == "")
        if given and name not in used:
            hint = ""
            if name in _ALLOWANCE and price.model == PERCENTAGE:
                hint = " The allowance of a percentage is a first tier at 0 percent."
            yield Problem(at(place, name), "not_used", f"A {price.model} price has no use for {name}.{hint}")
        elif not given and name in used and name in _REQUIRED and price.model != PERCENTAGE:
            yield Problem(at(place, name), "required", f"A {price.model} price needs {name}.")
    if price.period_maximum is not None and "period_maximum" not in used:
        message = f"A {price.model} price has no use for period_maximum."
        yield Problem(at(place, "period_maximum"), "not_used", message)
    if price.model == PERCENTAGE and (price.percent is None) == (price.tiers is None):
        code, message = ("required", "needs") if price.percent is None else ("both_given", "has either")
        yield Problem(at(place, "percent"), code, f"A percentage price {message} percent or tiers.")
    if price.included and price.pool and "pool" in used:
        yield Problem(at(place, "pool"), "both_given", "A price has an allowance of its own or a pool, not both.")


def _tiers_problems(place: str, tiers: Sequence[TierInput], used: Sequence[str] | None) -> Iterator[Problem]:
    if not tiers:
        yield Problem(place, "required", "A price in tiers has at least one.")
    if len(tiers) > MAX_TIERS:
        yield Problem(place, "too_many_tiers", f"A price has at most {MAX_TIERS} tiers.")
    lower = ZERO
    for index, tier in enumerate(tiers):
        here = f"{place}[{index}]"
        edge = list(number_problems(at(here, "up_to"), tier.up_to, "The edge of a tier", above_zero=True))
        yield from edge
        if tier.up_to is None and index < len(tiers) - 1:
            message = "Only the last tier has no upper edge; this one overlaps all that follow."
            yield Problem(at(here, "up_to"), "tiers_overlap", message)
        elif tier.up_to is not None and not edge:
            if tier.up_to <= lower:
                message = f"The tier ends at {tier.up_to}, where the one before it ends at {lower}: edges ascend."
                yield Problem(at(here, "up_to"), "tiers_overlap", message)
            lower = max(lower, tier.up_to)
            if index == len(tiers) - 1:
                message = f"Nothing is said of what lies above {tier.up_to}: the last tier has no upper edge (null)."
                yield Problem(at(here, "up_to"), "tiers_gap", message)
        yield from number_problems(at(here, "unit_price"), tier.unit_price, "A unit price")
        yield from number_problems(at(here, "flat_fee"), tier.flat_fee, "A flat fee")
        yield from percent_problems(at(here, "percent"), tier.percent, "A percentage")
        if used is not None:
            yield from _tier_fields_problems(here, tier, used)


def _tier_fields_problems(place: str, tier: TierInput, used: Sequence[str]) -> Iterator[Problem]:
    given = [name for name in ("unit_price", "flat_fee", "percent") if getattr(tier, name) is not None]
    for name in given:
        if name not in used:
            yield Problem(at(place, name), "not_used", f"A tier of this model has no use for {name}.")
    if not set(given) & set(used):
        yield Problem(at(place, used[0]), "required", f"A tier says its {' or '.join(used)}.")


def _below(first: Decimal | None, second: Decimal | None) -> bool:
    """Whether both are numbers and the first is below the second."""
    both = [one for one in (first, second) if isinstance(one, Decimal) and one.is_finite()]
    return len(both) == 2 and both[0] < both[1]


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
