"""A question held against what is stored: the rules and terms in force, and those to be tried in their place.

Everything is read in the caller's snapshot; what stands in the place of stored rules and prices is made in memory, from
the same values that evaluation and billing read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, cached_property
from itertools import count

import conditions_dsl
from conditions_dsl import Program
from contracts import terms
from contracts.clocks import nows
from contracts.domain import rating
from contracts.domain.rating import Fee, Price, price_of
from contracts.models import Condition, RateCard
from contracts.prices import PriceFields
from contracts.terms import Agreement, CardVersion, Terms
from contracts.terms import Version as ContractVersion
from invoicing.selection import Grid
from outcomes.domain.instants import to_us
from outcomes.domain.lifecycle import Rules, Version, Window
from outcomes.programs import Catalog, RulesFor, all_rules, rules_for
from simulation.asked import FACTORS, WINDOWS, Asked, Card

TRIED = 0
"""Id of the version that a text becomes; stored ones have others."""
NEW = -1
"""Id of a condition that is not stored."""
ALWAYS = -(2**62)

CADENCE = ("billing_period", "anchor_day", "time_zone")
"""Terms of a contract that cut its billing periods."""
_NOT_OF_MONEY = frozenset({"settlement_windows", "late_evidence"})
"""Terms that decide on outcomes, and stay as they are where prices are found."""

OwnRules = Callable[[int], Rules]
"""customer id -> what its subjects are judged by."""


@dataclass(frozen=True)
class Judged:
    """One condition: what it is judged by in force and tried (one object where they are the same), and, by window in
    seconds, with other windows. ``programs`` are those that may have a say, ``stored`` whether the condition is.
    """

    id: int
    slug: str
    before: OwnRules | None
    after: OwnRules
    windows: dict[int, OwnRules]
    programs: tuple[Program, ...]

    @property
    def changes(self) -> bool:
        return self.after is not self.before

    @property
    def variants(self) -> list[OwnRules]:
        """Each way to judge it, once."""
        ways = [self.before, self.after, *self.windows.values()]
        return list({id(one): one for one in ways if one is not None}.values())


class Scenario:
    """A question about these customers (by id their keys), in force and tried. Of an ``asked`` that `checking` found
    nothing wrong with.
    """

    def __init__(self, asked: Asked, customers: dict[int, str]) -> None:
        self.asked = asked
        self.customers = customers
        self.catalog: Catalog = all_rules()
        self.slugs: dict[int, str] = dict(Condition.objects.values_list("id", "slug"))
        self.before: Terms = terms.load(customers)
        self.clocks = {customer: to_us(now) for customer, now in nows(customers).items()}
        if asked.condition is not None and asked.condition.slug not in self.slugs.values():
            self.slugs[NEW] = asked.condition.slug
        self.ids = {slug: pk for pk, slug in self.slugs.items()}

    # --- Terms --------------------------------------------------------------------------------------------------------

    @cached_property
    def after(self) -> Terms:
        """The terms to be tried; the very object in force where nothing about them is."""
        if self.asked.rate_card is None and not (self.asked.contract.keys() - _NOT_OF_MONEY):
            return self.before
        numbers = count(1)
        cards = {}
        if self.asked.rate_card is not None:
            wanted = RateCard.objects.all()
            if self.asked.rate_card.key is not None:
                wanted = wanted.filter(key=self.asked.rate_card.key)
            cards = dict.fromkeys(wanted.values_list("id", flat=True), self.asked.rate_card)
        made = self._card(numbers)

        def card(pk: int, versions: tuple[CardVersion, ...]) -> tuple[CardVersion, ...]:
            # Another currency's card stays: its contracts are not what is asked about.
            if pk in cards and made is not None and {one.currency for one in versions} == {made.currency}:
                return (made,)
            return versions

        return self.before.revised(self.customers, lambda one: self._contract(one, numbers), card)

    def _card(self, numbers: Iterator[int]) -> CardVersion | None:
        given: Card | None = self.asked.rate_card
        if given is None:
            return None
        return CardVersion(TRIED, given.currency, None, tuple(self._prices(given.prices, numbers)))

    def _prices(self, given: Sequence[PriceFields], numbers: Iterator[int], override: bool = False) -> Iterator[Price]:
        for price in given:
            # Below zero: no stored price has such an id.
            yield price_of(price.to_rating(self.ids[price.condition]), -next(numbers), override=override)

    def _contract(self, agreement: Agreement, numbers: Iterator[int]) -> Agreement:
        return replace(agreement, versions=tuple(self._version(one, numbers) for one in agreement.versions))

    def _version(self, version: ContractVersion, numbers: Iterator[int]) -> ContractVersion:
        """One version of a contract with what is asked of contracts; its prices and fees are its own, as if agreed with
        it.
        """
        given = {name: value for name, value in self.asked.contract.items() if name not in _NOT_OF_MONEY}
        cadence = {name: given.pop(name) for name in CADENCE if name in given}
        if cadence:
            given["cadence"] = replace(version.cadence, **cadence)
        if "prices" in given:
            given["overrides"] = tuple(self._prices(given.pop("prices"), numbers, override=True))
        if "discount" in given:
            discount = given.pop("discount")
            given["discount_percent"] = None if discount is None else discount.percent
            given["discount_amount"] = None if discount is None else discount.amount
        if "fees" in given:
            given["fees"] = tuple(
                Fee(
                    ("fee", -next(numbers)),
                    fee.name,
                    fee.kind,
                    fee.amount,
                    seats=Decimal(1) if fee.seats is None else fee.seats,
                    timing=fee.timing or rating.ARREARS,
                    counts=bool(fee.counts),
                )
                for fee in given["fees"]
            )
        return replace(version, **given)

    @property
    def cuts(self) -> bool:
        """Whether other billing periods are tried: outcomes may belong to others than in force."""
        return any(name in self.asked.contract for name in CADENCE)

    @property
    def takes_late(self) -> bool:
        """Whether late evidence that contracts left out is to count in what is tried."""
        return "late_evidence" in self.asked.contract

    # --- Rules --------------------------------------------------------------------------------------------------------

    @cached_property
    def conditions(self) -> list[Judged]:
        """Every condition that has a version, and the one that is tried; in order of their slugs."""
        stored = rules_for(self.catalog, self.customers)
        found = [self._judged(pk, stored) for pk in {*self.catalog, *({NEW} & self.slugs.keys())}]
        return sorted(found, key=lambda one: one.slug)

    def _judged(self, pk: int, stored: RulesFor) -> Judged:
        slug = self.slugs[pk]
        before: OwnRules | None = None if pk == NEW else lambda customer: stored(customer, pk)
        after = before
        programs = [version.program for version in self.catalog[pk].versions] if pk in self.catalog else []
        if self.asked.condition is not None and self.asked.condition.slug == slug:
            program = conditions_dsl.compile(self.asked.condition.condition)
            programs.append(program)
            after = _tried(program, before)
        assert after is not None
        seconds = self.asked.contract.get("settlement_windows", {}).get(slug)
        if seconds is not None:
            after = self._with_window(after, seconds)
        windows = {}
        if self.asked.window_curve == slug:
            windows = {one: _with_window(after, [Window(ALWAYS, None, one * 1_000_000)]) for one in WINDOWS}
        return Judged(pk, slug, before, after, windows, tuple(programs))

    def _with_window(self, rules: OwnRules, seconds: int) -> OwnRules:
        """With a window for what is met while a contract is in force."""

        @cache
        def own(customer: int) -> Rules:
            spans = [
                Window(to_us(one.starts_at), None if one.ends_at is None else to_us(one.ends_at), seconds * 1_000_000)
                for one in self.before.agreements(customer)
            ]
            return _windowed(rules(customer), spans)

        return own

    def concerns(self, condition: int, customer: int) -> bool:
        """Whether the condition is for this customer."""
        return self.catalog.concerns(condition, customer)

    # --- A price curve ------------------------------------------------------------------------------------------------

    @cached_property
    def price_points(self) -> dict[int, Callable[[Grid], Grid]]:
        """By percent, what makes a grid's prices of the condition in question so many percent of what they are."""
        if self.asked.price_curve is None:
            return {}
        condition = self.ids[self.asked.price_curve]
        return {percent: _repricing(condition, Decimal(percent) / 100) for percent in FACTORS}


def _tried(program: Program, before: OwnRules | None) -> OwnRules:
    """A text in the place of every version, pinned ones included; windows of contracts and the instant from which the
    condition is for a customer stay as they are.
    """

    @cache
    def own(customer: int) -> Rules:
        known = None if before is None else before(customer)
        version = [Version(TRIED, program)]
        return Rules(version) if known is None else Rules(version, known.windows, (), known.since)

    return own


def _with_window(rules: OwnRules, windows: Sequence[Window]) -> OwnRules:
    return cache(lambda customer: _windowed(rules(customer), windows))


def _windowed(rules: Rules, windows: Sequence[Window]) -> Rules:
    return Rules(rules.versions, windows, rules.pins, rules.since)


def _repricing(condition: int, factor: Decimal) -> Callable[[Grid], Grid]:
    # One object for each price: charges are put together by it.
    scaled = cache(lambda price: _scaled(price, factor) if price.condition == condition else price)

    def reprice(grid: Grid) -> Grid:
        return replace(
            grid,
            stretches=tuple(
                replace(stretch, prices=tuple(scaled(price) for price in stretch.prices)) for stretch in grid.stretches
            ),
        )

    return reprice


def _scaled(price: Price, factor: Decimal) -> Price:
    """The price with every rate times ``factor``; allowances, bounds and maxima as they are."""

    def times(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else amount * factor

    tiers = tuple(
        replace(
            tier, unit_price=tier.unit_price * factor, flat_fee=tier.flat_fee * factor, percent=tier.percent * factor
        )
        for tier in price.tiers
    )
    return replace(price, unit_price=times(price.unit_price), tiers=tiers, percent=times(price.percent))
