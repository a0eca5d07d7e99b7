"""Prices as handed in, for a rate card and for the overrides of a contract alike: checked, compared, stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from access.errors import Detail
from access.paths import child, item
from access.serializers import nearest, unknown_message
from conditions_dsl.words import plain
from contracts.condition_text import possible_values
from contracts.domain import money, rating
from contracts.models import Condition, ConditionVersion, ContractVersion, Price, RateCardVersion

DEFAULT_MODEL = rating.PER_UNIT


@dataclass(frozen=True)
class PriceFields:
    """One price of one condition; ``match`` names the dimension values it is for, none of them meaning all."""

    condition: str
    unit_price: Decimal
    model: str = DEFAULT_MODEL
    match: Mapping[str, Any] = field(default_factory=dict)

    @property
    def matched(self) -> dict[str, str]:
        """``match`` with its values as outcomes carry them: text, 5.0 and 5 being one."""
        return dict(rating.dimensions_of(self.match))


def problems_of(prices: Sequence[PriceFields], path: str = "prices") -> list[Detail]:
    """Everything that is wrong with a list of prices for one home, each with its place."""
    inputs = [rating.PriceInput(price.condition, price.unit_price, price.match, price.model) for price in prices]
    problems = [Detail(problem.path, problem.message, problem.code) for problem in rating.validate_prices(inputs, path)]
    known = _dimensions_by_slug({price.condition for price in prices})
    for index, price in enumerate(prices):
        place = item(path, index)
        if price.condition not in known:
            problems.append(_unknown_condition(child(place, "condition"), price.condition))
        elif found := _match_problems(child(place, "match"), price, known[price.condition]):
            # A slip in a dimension's name makes ties that go away with it: they are not worth a second complaint.
            tie = (child(place, "match"), "duplicate_price")
            problems = [problem for problem in problems if (problem.path, problem.code) != tie] + found
    return problems


def store(
    prices: Iterable[PriceFields],
    *,
    rate_card_version: RateCardVersion | None = None,
    contract_version: ContractVersion | None = None,
) -> None:
    """Write checked prices to their home. Call in the transaction that makes the home."""
    listed = list(prices)
    ids = dict(Condition.objects.filter(slug__in={price.condition for price in listed}).values_list("slug", "id"))
    Price.objects.bulk_create(
        Price(
            rate_card_version=rate_card_version,
            contract_version=contract_version,
            condition_id=ids[price.condition],
            model=price.model,
            unit_price=price.unit_price,
            match=price.matched,
        )
        for price in listed
    )


def stored(home: RateCardVersion | ContractVersion) -> list[PriceFields]:
    """The prices of a version as they were handed in, in the order they were."""
    rows = sorted(home.prices.all(), key=lambda price: price.pk)
    return [PriceFields(row.condition.slug, row.unit_price, row.model, row.match) for row in rows]


def comparable(prices: Iterable[PriceFields]) -> dict[str, str]:
    """Prices as a mapping of what they are for to what they say: equal exactly when they charge the same. The order in
    which they are listed means nothing.
    """
    return {label(price): f"{price.model} {plain(price.unit_price)}" for price in prices}


def label(price: PriceFields) -> str:
    """``price of resolved_incident where priority is "4 - Low"``"""
    tests = " and ".join(f'{name} is "{value}"' for name, value in sorted(price.matched.items()))
    return f"price of {price.condition}" + (f" where {tests}" if tests else "")


def unit_price_text(unit_price: Decimal, currency: str) -> str:
    """As the API and the admin show it: at least the decimals of the currency, more where the price has them."""
    whole, _, decimals = plain(unit_price).partition(".")
    decimals = decimals.ljust(money.exponent(currency), "0")
    return f"{whole}.{decimals}" if decimals else whole


def _dimensions_by_slug(slugs: set[str]) -> dict[str, dict[str, frozenset[str] | None]]:
    """For each existing condition its dimensions and their possible values, None where any text can come. All versions
    together: a price may be for outcomes of an earlier one or wait for a coming one.
    """
    found: dict[str, dict[str, frozenset[str] | None]] = {}
    for version in ConditionVersion.objects.filter(condition__slug__in=slugs).select_related("condition"):
        dimensions = found.setdefault(version.condition.slug, {})
        for name, values in possible_values(version.canonical).items():
            before = dimensions.get(name, frozenset())
            dimensions[name] = None if before is None or values is None else before | values
    return found


def _unknown_condition(path: str, slug: str) -> Detail:
    close = nearest(slug, Condition.objects.values_list("slug", flat=True))
    hint = f" Did you mean {close}?" if close else " Create it first."
    return Detail(path, f'There is no condition "{slug}".{hint}', "unknown_condition")


def _match_problems(path: str, price: PriceFields, known: dict[str, frozenset[str] | None]) -> list[Detail]:
    problems = []
    for name, value in price.match.items():
        place = child(path, name)
        if name not in known:
            if not known:
                message = f"Condition {price.condition} has no dimensions, so no outcome of it can match this."
            else:
                message = f"Condition {price.condition}: {unknown_message(name, known, 'dimension')}"
            problems.append(Detail(place, message, "unknown_dimension"))
            continue
        possible = known[name]
        if possible is not None and isinstance(value, str) and value not in possible:
            listed = ", ".join(sorted(possible))
            message = f"Dimension {name} of {price.condition} is always one of: {listed}."
            problems.append(Detail(place, message, "unknown_dimension"))
    return problems
