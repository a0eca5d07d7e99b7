"""Prices as handed in, for a rate card and for the overrides of a contract alike: checked, compared, stored."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from access.errors import Detail
from access.paths import child, item
from access.serializers import nearest, unknown_message
from conditions_dsl.words import plain
from contracts import wording
from contracts.condition_text import possible_values
from contracts.domain import money, rating
from contracts.domain.rating import PriceInput, TierInput
from contracts.models import Condition, ConditionVersion, ContractVersion, Price, RateCardVersion

DEFAULT_MODEL = rating.PER_UNIT
MAX_POOL_NAME = 64

TIER_AMOUNTS = ("unit_price", "flat_fee", "percent")


@dataclass(frozen=True)
class PriceFields:
    """One price of one condition; None is what was not given. ``match`` names the dimension values it is for, none of
    them meaning all.
    """

    condition: str
    unit_price: Decimal | None = None
    model: str = DEFAULT_MODEL
    match: Mapping[str, Any] = field(default_factory=dict)
    tiers: tuple[TierInput, ...] | None = None
    package_size: Decimal | None = None
    percent: Decimal | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    included: Decimal | None = None
    pool: str | None = None
    period_maximum: Decimal | None = None

    @property
    def matched(self) -> dict[str, str]:
        """``match`` with its values as outcomes carry them: text, 5.0 and 5 being one."""
        return dict(rating.dimensions_of(self.match))

    def to_rating(self, condition: Hashable | None = None) -> PriceInput:
        """The same for `rating`, of the condition's slug or of what is given in its place."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return PriceInput(**{**values, "condition": self.condition if condition is None else condition})


def problems_of(prices: Sequence[PriceFields], path: str = "prices", *, currency: str | None = None) -> list[Detail]:
    """Everything that is wrong with a list of prices for one home, each with its place."""
    inputs = [price.to_rating() for price in prices]
    return with_conditions(details(rating.validate_prices(inputs, path, currency=currency)), prices, path)


def details(problems: Iterable[rating.Problem]) -> list[Detail]:
    """What `rating` complains of, as the answers of the API name it."""
    return [Detail(problem.path, problem.message, problem.code) for problem in problems]


Dimensions = dict[str, frozenset[str] | None]
"""The dimensions of a condition with their possible values, None where any text can come."""


def with_conditions(
    problems: list[Detail],
    prices: Sequence[PriceFields],
    path: str = "prices",
    *,
    beside: Mapping[str, Dimensions] | None = None,
) -> list[Detail]:
    """Further problems of prices, those with what they are for: conditions and dimensions that there are not.
    ``beside`` are dimensions, by slug, of conditions that are not stored.
    """
    known = _dimensions_by_slug({price.condition for price in prices}, beside or {})
    for index, price in enumerate(prices):
        place = item(path, index)
        if price.condition not in known:
            problems.append(unknown_condition(child(place, "condition"), price.condition))
        elif found := _match_problems(child(place, "match"), price, known[price.condition]):
            # A slip in a dimension's name makes ties that go away with it: they are not worth a second complaint.
            tie = (child(place, "match"), "duplicate_price")
            problems = [problem for problem in problems if (problem.path, problem.code) != tie] + found
        if price.pool is not None and len(price.pool) > MAX_POOL_NAME:
            message = f"The name of a pool has at most {MAX_POOL_NAME} characters."
            problems.append(Detail(child(place, "pool"), message, "invalid"))
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
            tiers=[tier_json(tier) for tier in price.tiers or ()],
            package_size=price.package_size,
            percent=price.percent,
            minimum=price.minimum,
            maximum=price.maximum,
            included=price.included,
            pool=price.pool or "",
            period_maximum=price.period_maximum,
            match=price.matched,
        )
        for price in listed
    )


def stored(home: RateCardVersion | ContractVersion) -> list[PriceFields]:
    """The prices of a version as they were handed in, in the order they were."""
    rows = sorted(home.prices.all(), key=lambda price: price.pk)
    return [fields_of(row, row.condition.slug) for row in rows]


def fields_of(row: Price, condition: str = "") -> PriceFields:
    """A stored price as it was handed in."""
    return PriceFields(
        condition,
        row.unit_price,
        row.model,
        row.match,
        tiers=tuple(_tier(tier) for tier in row.tiers) or None,
        package_size=row.package_size,
        percent=row.percent,
        minimum=row.minimum,
        maximum=row.maximum,
        included=row.included,
        pool=row.pool or None,
        period_maximum=row.period_maximum,
    )


def tier_json(tier: TierInput) -> dict[str, str | None]:
    """A tier as the column holds it: exact decimals as text, what was not given left out."""
    amounts = {name: getattr(tier, name) for name in TIER_AMOUNTS}
    return {
        "up_to": None if tier.up_to is None else plain(tier.up_to),
        **{name: plain(amount) for name, amount in amounts.items() if amount is not None},
    }


def _tier(stored: Mapping[str, str | None]) -> TierInput:
    return TierInput(**{name: None if text is None else Decimal(text) for name, text in stored.items()})


def comparable(prices: Iterable[PriceFields]) -> dict[str, str]:
    """Prices as a mapping of what they are for to what they say: equal exactly when they charge the same. The order in
    which they are listed means nothing.
    """
    return {label(price): f"{price.model} {wording.price(price, plain)}" for price in prices}


def label(price: PriceFields) -> str:
    """``price of resolved_incident where priority is "4 - Low"``"""
    tests = " and ".join(f'{name} is "{value}"' for name, value in sorted(price.matched.items()))
    return f"price of {price.condition}" + (f" where {tests}" if tests else "")


def unit_price_text(unit_price: Decimal, currency: str) -> str:
    """As the API and the admin show it: at least the decimals of the currency, more where the price has them."""
    whole, _, decimals = plain(unit_price).partition(".")
    decimals = decimals.ljust(money.exponent(currency), "0")
    return f"{whole}.{decimals}" if decimals else whole


def _dimensions_by_slug(slugs: set[str], beside: Mapping[str, Dimensions]) -> dict[str, Dimensions]:
    """For each existing condition its dimensions and their possible values, None where any text can come. All versions
    together: a price may be for outcomes of an earlier one or wait for a coming one.
    """
    found: dict[str, Dimensions] = {}
    stored = ConditionVersion.objects.filter(condition__slug__in=slugs).values_list("condition__slug", "canonical")
    for slug, listed in [*((slug, possible_values(text)) for slug, text in stored), *beside.items()]:
        dimensions = found.setdefault(slug, {})
        for name, values in listed.items():
            before = dimensions.get(name, frozenset())
            dimensions[name] = None if before is None or values is None else before | values
    return found


def unknown_condition(path: str, slug: str) -> Detail:
    """The complaint about a slug that names no condition, with the nearest one."""
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
