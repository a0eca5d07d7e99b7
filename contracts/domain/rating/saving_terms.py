"""Why the terms of a contract version are refused when they are saved, each problem with its place."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from contracts.domain.rating.problems import (
    PRICE_DECIMALS,
    Problem,
    at,
    money_decimals,
    number_problems,
    percent_problems,
)
from contracts.domain.rating.saving_prices import PriceInput, validate_prices
from contracts.domain.rating.types import ADVANCE, ARREARS, FEE_KINDS, ONE_OFF, SEATS, TIMINGS

MAX_DISCOUNT: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class DiscountInput:
    """A discount off a period: of so many percent, or of a fixed amount."""

    percent: Decimal | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class FeeInput:
    """A base fee; None is what was not given."""

    name: str
    kind: str
    amount: Decimal
    seats: Decimal | None = None
    timing: str | None = None
    counts: bool | None = None


@dataclass(frozen=True, slots=True)
class CommitmentInput:
    """A commitment over a span of the contract; without a start or end, the contract's."""

    amount: Decimal
    payment: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TermsInput:
    """The terms of one contract version that rating knows. ``card_currency`` and ``card_pools`` are the currency of the
    rate card that it names and the pools that the card's prices draw on.
    """

    currency: str
    card_currency: str | None = None
    card_pools: Collection[str] = ()
    prices: Sequence[PriceInput] = ()
    discount: DiscountInput | None = None
    minimum: Decimal | None = None
    cap: Decimal | None = None
    fees: Sequence[FeeInput] = ()
    pools: Mapping[str, Decimal] = field(default_factory=dict)
    commitments: Sequence[CommitmentInput] = ()
    trial: bool = False


def validate_terms(terms: TermsInput, path: str = "") -> list[Problem]:
    """Everything that is wrong with the terms of a contract version, its own prices included."""
    decimals = money_decimals(terms.currency)
    return [
        *_currency_problems(terms, path),
        *validate_prices(terms.prices, at(path, "prices"), currency=terms.currency),
        *_discount_problems(terms.discount, at(path, "discount"), decimals),
        *number_problems(at(path, "minimum"), terms.minimum, "A minimum", decimals=decimals, above_zero=True),
        *number_problems(at(path, "cap"), terms.cap, "A cap", decimals=decimals),
        *_cap_problems(terms, path),
        *_fee_problems(terms.fees, at(path, "fees"), decimals),
        *_pool_problems(terms, path),
        *_commitment_problems(terms.commitments, at(path, "commitments"), decimals),
    ]


def _currency_problems(terms: TermsInput, path: str) -> Iterator[Problem]:
    if terms.card_currency is not None and terms.card_currency != terms.currency:
        message = f"The rate card is in {terms.card_currency} and the contract in {terms.currency}."
        yield Problem(at(path, "currency"), "currency_mismatch", message)


def _discount_problems(discount: DiscountInput | None, place: str, decimals: int) -> Iterator[Problem]:
    if discount is None:
        return
    if discount.percent is not None and discount.amount is not None:
        yield Problem(place, "both_given", "A discount has a percent or an amount, not both.")
    elif discount.percent is None and discount.amount is None:
        yield Problem(place, "required", "A discount has a percent or an amount.")
    yield from percent_problems(
        at(place, "percent"), discount.percent, "A discount's percent", most=MAX_DISCOUNT, above_zero=True
    )
    yield from number_problems(
        at(place, "amount"), discount.amount, "A discount's amount", decimals=decimals, above_zero=True
    )


def _cap_problems(terms: TermsInput, path: str) -> Iterator[Problem]:
    both = [one for one in (terms.minimum, terms.cap) if isinstance(one, Decimal) and one.is_finite()]
    if len(both) == 2 and both[0] > both[1]:
        yield Problem(
            at(path, "minimum"),
            "minimum_above_cap",
            "The minimum is above the cap, so no period could keep to both.",
        )


def _fee_problems(fees: Sequence[FeeInput], path: str, decimals: int) -> Iterator[Problem]:
    names: set[str] = set()
    for index, fee in enumerate(fees):
        place = f"{path}[{index}]"
        if not fee.name.strip():
            yield Problem(at(place, "name"), "required", "A fee has a name: the customer reads it.")
        elif fee.name in names:
            yield Problem(at(place, "name"), "duplicate_name", f'There are two fees of the name "{fee.name}".')
        names.add(fee.name)
        if fee.kind not in FEE_KINDS:
            yield Problem(at(place, "kind"), "unknown_kind", f"A fee is one of: {', '.join(FEE_KINDS)}.")
        # What one seat costs is a rate: the fee itself is rounded.
        most = PRICE_DECIMALS if fee.kind == SEATS else decimals
        yield from number_problems(at(place, "amount"), fee.amount, "A fee", above_zero=True, decimals=most)
        if fee.kind == SEATS and fee.seats is None:
            yield Problem(at(place, "seats"), "required", "A fee by seats says how many.")
        elif fee.kind != SEATS and fee.seats is not None:
            yield Problem(at(place, "seats"), "not_used", f"A {fee.kind} fee has no use for seats.")
        yield from number_problems(at(place, "seats"), fee.seats, "The number of seats")
        if fee.timing is not None:
            if fee.kind == ONE_OFF:
                message = "A one-off fee has no use for timing: it stands on the first invoice."
                yield Problem(at(place, "timing"), "not_used", message)
            elif fee.timing not in TIMINGS:
                yield Problem(at(place, "timing"), "unknown_kind", f"A timing is one of: {', '.join(TIMINGS)}.")


def _pool_problems(terms: TermsInput, path: str) -> Iterator[Problem]:
    for name, units in terms.pools.items():
        yield from number_problems(at(path, f"pools.{name}"), units, "A pooled allowance", above_zero=True)
    drawn = set(terms.card_pools)
    for index, price in enumerate(terms.prices):
        if not price.pool:
            continue
        drawn.add(price.pool)
        if price.pool not in terms.pools:
            message = f'The contract defines no pool "{price.pool}".'
            yield Problem(at(path, f"prices[{index}].pool"), "unknown_pool", message)
    for name in sorted(set(terms.card_pools) - set(terms.pools)):
        message = f'Prices of the rate card draw on the pool "{name}", which the contract does not define.'
        yield Problem(at(path, "pools"), "unknown_pool", message)
    for name in terms.pools:
        if name not in drawn:
            message = f'No price of the contract or its rate card draws on the pool "{name}".'
            yield Problem(at(path, f"pools.{name}"), "unused_pool", message)


def _commitment_problems(commitments: Sequence[CommitmentInput], path: str, decimals: int) -> Iterator[Problem]:
    for index, commitment in enumerate(commitments):
        place = f"{path}[{index}]"
        amount = commitment.amount
        yield from number_problems(at(place, "amount"), amount, "A commitment", decimals=decimals, above_zero=True)
        if commitment.payment not in TIMINGS:
            message = f"A commitment is paid in {ADVANCE} or in {ARREARS}."
            yield Problem(at(place, "payment"), "unknown_kind", message)
        starts_at, ends_at = commitment.starts_at, commitment.ends_at
        if starts_at is not None and ends_at is not None and ends_at <= starts_at:
            yield Problem(at(place, "ends_at"), "ends_before_start", "A commitment ends after it starts.")
