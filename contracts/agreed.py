"""The terms of one contract version as they are handed in: checked, compared, stored, and changed by the next version.

The first version, each phase of a contract and each amendment go the same way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from access.errors import Detail
from access.paths import child
from conditions_dsl.words import plain
from contracts import durations, pins, prices, versions, windows, wording
from contracts import fields as simple
from contracts.domain import periods, rating
from contracts.domain.rating import CommitmentInput, DiscountInput, FeeInput, TermsInput
from contracts.domain.rating.problems import money_decimals, number_problems
from contracts.models import Commitment, Contract, ContractVersion, Customer, Fee, Price, RateCard
from contracts.prices import PriceFields

MAX_NET_DAYS = 365
MAX_GRACE_SECONDS = 180 * 86_400
MAX_FEE_NAME = 255
CHOICES = {
    "late_evidence": ContractVersion.LateEvidence,
    "credit_notes": ContractVersion.CreditNotes,
    "credits": ContractVersion.Credits,
    "zero_invoices": ContractVersion.ZeroInvoices,
    "collection_method": ContractVersion.CollectionMethod,
    "pass_on": ContractVersion.PassOn,
}
"""Terms that are one of several words."""


@dataclass(frozen=True, kw_only=True)
class GivenTerms:
    """What a contract says from some moment on, beside its rate card and time zone. Windows are seconds by the slug of
    their condition, ``conditions`` the versions that are pinned, amounts in major units. ``commitments`` are those
    agreed with this version; they stand beside those agreed before.
    """

    billing_period: str = "monthly"
    anchor_day: int = 1
    net_days: int = 30
    settlement_grace_seconds: int = 0
    settlement_windows: Mapping[str, int] = field(default_factory=dict)
    late_evidence: str = "reverse"
    conditions: Mapping[str, int] = field(default_factory=dict)
    prices: tuple[PriceFields, ...] = ()
    discount: DiscountInput | None = None
    minimum: Decimal | None = None
    cap: Decimal | None = None
    fees: tuple[FeeInput, ...] = ()
    pools: Mapping[str, Decimal] = field(default_factory=dict)
    commitments: tuple[CommitmentInput, ...] = ()
    trial: bool = False
    credit_notes: str = "automatic"
    credits: str = "next_invoice"
    zero_invoices: str = "issue"
    progressive_threshold: Decimal | None = None
    collection_method: str = "send_invoice"
    pass_on: str = ContractVersion.PassOn.NONE.value

    @property
    def passes_on(self) -> bool:
        """Whether another system invoices what is met under them."""
        return self.pass_on != ContractVersion.PassOn.NONE


@dataclass(frozen=True)
class VersionFields(GivenTerms):
    """The terms of one version, whole."""

    rate_card: str
    time_zone: str


TERMS = tuple(one.name for one in fields(GivenTerms))
COLUMNS = (
    *("time_zone", "billing_period", "anchor_day", "net_days", "settlement_grace_seconds", "minimum", "cap", "trial"),
    *("progressive_threshold", *CHOICES),
)
"""Terms that are stored as they are handed in, in a column of their name."""

_TAKE_AWAY, _EMPTY = "leave it out, or take it away with null", "leave it out, or give none with []"
_MONEY = {
    "prices": _EMPTY,
    "discount": _TAKE_AWAY,
    "minimum": _TAKE_AWAY,
    "cap": _TAKE_AWAY,
    "fees": _EMPTY,
    "pools": "leave it out, or give none with {}",
    "commitments": "leave it out",
    "trial": "leave it out, or say false",
    "progressive_threshold": _TAKE_AWAY,
}
"""What prices outcomes, or charges beside them; and how a version says nothing of it."""


def changed(before: VersionFields, changes: Mapping[str, Any]) -> VersionFields:
    """The terms after a change: what it names replaces what stood there, as a whole; all else stays."""
    return replace(before, **{"commitments": (), **changes})


def from_start(given: VersionFields, start: datetime) -> VersionFields:
    """The same with a start for every commitment: one that names none begins at ``start``."""
    return replace(
        given,
        commitments=tuple(
            one if one.starts_at is not None else replace(one, starts_at=start) for one in given.commitments
        ),
    )


# --- Checked ----------------------------------------------------------------------------------------------------------


def problems_of(
    given: VersionFields,
    customer: Customer,
    currency: str,
    start: datetime,
    *,
    agreed: VersionFields | None = None,
    now: datetime,
) -> list[Detail]:
    """Everything that is wrong with terms that are to hold from ``start`` on, each with its place. What is ``agreed``
    already stays so, whatever became of the conditions since.
    """
    card = RateCard.objects.filter(key=given.rate_card).first()
    known_windows = {} if agreed is None else agreed.settlement_windows
    known_pins = {} if agreed is None else agreed.conditions
    found = [
        _card_problem(given.rate_card, card, currency),
        simple.currency_problem("currency", currency),
        simple.time_zone_problem("time_zone", given.time_zone),
        *cadence_problems(given.billing_period, given.anchor_day),
        *_number_problems(given),
        *windows.problems_of(given.settlement_windows, known_windows, now, given.conditions),
        *pins.problems_of(given.conditions, known_pins, customer, start),
        *_choice_problems(given),
    ]
    threshold = number_problems(
        "progressive_threshold",
        given.progressive_threshold,
        "A threshold",
        decimals=money_decimals(currency),
        above_zero=True,
    )
    terms = TermsInput(
        currency=currency,
        card_pools=frozenset() if card is None or given.passes_on else _pools_of(card, start),
        # What is passed on has neither prices nor pools (`_passing_on_problems`).
        prices=[] if given.passes_on else [price.to_rating() for price in given.prices],
        discount=given.discount,
        minimum=given.minimum,
        cap=given.cap,
        fees=given.fees,
        pools={} if given.passes_on else given.pools,
        commitments=given.commitments,
        trial=given.trial,
    )
    return [
        *(problem for problem in found if problem is not None),
        *prices.with_conditions(prices.details(rating.validate_terms(terms)), given.prices),
        *prices.details(threshold),
        *_name_problems(given),
        *_passing_on_problems(given),
    ]


def placed(problems: Iterable[Detail], place: str, said: Sequence[Detail] = ()) -> list[Detail]:
    """Problems of what stands at ``place`` of a request, without those that were ``said`` of what it builds on."""
    known = {(problem.path, problem.code, problem.message) for problem in said}
    return [
        replace(problem, path=f"{place}.{problem.path}" if problem.path else place)
        for problem in problems
        if (problem.path, problem.code, problem.message) not in known
    ]


def _card_problem(key: str, card: RateCard | None, currency: str) -> Detail | None:
    if card is None:
        return Detail("rate_card", f'There is no rate card "{key}": create it first.', "unknown_rate_card")
    # A card keeps its currency over all its versions, so any of them tells it.
    card_currency = card.versions.values_list("currency", flat=True).first()
    if card_currency != currency:
        return Detail(
            "currency",
            f'The contract is in {currency} and rate card "{key}" in {card_currency}: choose a card in {currency}, or'
            f" agree the contract in {card_currency}.",
            "currency_mismatch",
        )
    return None


def _pools_of(card: RateCard, start: datetime) -> frozenset[str]:
    """The pools that prices of the card draw on which are in force at ``start`` or later."""
    listed = list(card.versions.all())
    current = versions.in_force(listed, start)
    ids = [one.pk for one in listed if one == current or versions.start_of(one) > start]
    drawn = Price.objects.filter(rate_card_version__in=ids).exclude(pool="")
    return frozenset(drawn.order_by().values_list("pool", flat=True).distinct())


def cadence_problems(billing_period: str, anchor_day: int) -> list[Detail]:
    """Why periods cannot be cut so."""
    if billing_period not in periods.BILLING_PERIODS:
        message = f"Expected one of: {', '.join(periods.BILLING_PERIODS)}."
        return [Detail("billing_period", message, "invalid_choice")]
    last = 7 if billing_period == periods.WEEKLY else 31
    if not 1 <= anchor_day <= last:
        meaning = "1 (Monday) to 7 (Sunday)" if last == 7 else "1 to 31 (the last day where a month is shorter)"
        message = f"anchor_day of a {billing_period} period is {meaning}."
        return [Detail("anchor_day", message, "invalid_anchor_day")]
    return []


def _number_problems(given: VersionFields) -> list[Detail]:
    problems = []
    if not 0 <= given.net_days <= MAX_NET_DAYS:
        problems.append(Detail("net_days", f"net_days is 0 to {MAX_NET_DAYS}.", "invalid"))
    if not 0 <= given.settlement_grace_seconds <= MAX_GRACE_SECONDS:
        message = f"settlement_grace is at most {durations.text_of(MAX_GRACE_SECONDS)}."
        problems.append(Detail("settlement_grace", message, "invalid_duration"))
    return problems


def _choice_problems(given: VersionFields) -> list[Detail]:
    return [
        Detail(name, f"Expected one of: {', '.join(choices.values)}.", "invalid_choice")
        for name, choices in CHOICES.items()
        if getattr(given, name) not in choices.values
    ]


def _name_problems(given: VersionFields) -> list[Detail]:
    """Names that the tables cannot hold."""
    problems = [
        Detail(f"fees[{index}].name", f"The name of a fee has at most {MAX_FEE_NAME} characters.", "invalid")
        for index, fee in enumerate(given.fees)
        if len(fee.name) > MAX_FEE_NAME
    ]
    for name in given.pools:
        if not name.strip() or len(name) > prices.MAX_POOL_NAME:
            message = f"The name of a pool has 1 to {prices.MAX_POOL_NAME} characters."
            problems.append(Detail(child("pools", name), message, "invalid"))
    return problems


def _passing_on_problems(given: VersionFields) -> list[Detail]:
    """Terms of money beside outcomes that another system invoices: they would come to nothing."""
    if given.pass_on not in CHOICES["pass_on"].values or not given.passes_on:
        return []
    return [
        Detail(
            name,
            f"{name} has no effect with pass_on {given.pass_on}, where another system invoices what is confirmed:"
            f" {way_out}, or let pass_on be none.",
            "not_used",
        )
        for name, way_out in _MONEY.items()
        if _says_something(getattr(given, name))
    ]


def _says_something(term: Any) -> bool:
    return isinstance(term, Decimal) or bool(term)


# --- Compared ---------------------------------------------------------------------------------------------------------


def comparable(terms: VersionFields) -> dict[str, Any]:
    """The terms as flat values that compare: equal exactly where they charge and settle the same. What is not agreed
    has no entry.
    """
    return {
        "rate_card": terms.rate_card,
        "billing_period": terms.billing_period,
        "anchor_day": terms.anchor_day,
        "time_zone": terms.time_zone,
        "net_days": terms.net_days,
        "settlement_grace": terms.settlement_grace_seconds,
        **{name: getattr(terms, name) for name in CHOICES},
        **windows.comparable(terms.settlement_windows),
        **pins.comparable(terms.conditions),
        **prices.comparable(terms.prices),
        **_money(terms),
    }


def _money(terms: VersionFields) -> dict[str, Any]:
    said = dict(wording.terms(terms, plain))
    return {**said, "trial": "yes"} if terms.trial else said


# --- Stored -----------------------------------------------------------------------------------------------------------


def write(
    contract: Contract, number: int, effective_at: datetime, given: VersionFields, now: datetime
) -> ContractVersion:
    """Write checked terms as a version of the contract."""
    discount = given.discount or DiscountInput()
    version = ContractVersion.objects.create(
        contract=contract,
        number=number,
        effective_at=effective_at,
        rate_card=RateCard.objects.get(key=given.rate_card),
        settlement_windows=windows.stored_form(given.settlement_windows),
        conditions=pins.stored_form(given.conditions),
        discount_percent=discount.percent,
        discount_amount=discount.amount,
        pools={name: plain(units) for name, units in given.pools.items()},
        created_at=now,
        **{name: getattr(given, name) for name in COLUMNS},
    )
    prices.store(given.prices, contract_version=version)
    Fee.objects.bulk_create(
        Fee(
            contract_version=version,
            name=fee.name,
            kind=fee.kind,
            amount=fee.amount,
            seats=fee.seats,
            timing=fee.timing or rating.ARREARS,
            counts=bool(fee.counts),
        )
        for fee in given.fees
    )
    Commitment.objects.bulk_create(
        Commitment(
            contract_version=version,
            amount=one.amount,
            payment=one.payment,
            starts_at=one.starts_at or effective_at,
            ends_at=one.ends_at,
        )
        for one in given.commitments
    )
    return version


def stored(version: ContractVersion) -> VersionFields:
    """The terms of a version as they were handed in."""
    discount = None
    if version.discount_percent is not None or version.discount_amount is not None:
        discount = DiscountInput(version.discount_percent, version.discount_amount)
    return VersionFields(
        rate_card=version.rate_card.key,
        settlement_windows=windows.of_version(version),
        conditions=pins.of_version(version),
        prices=tuple(prices.stored(version)),
        discount=discount,
        fees=tuple(fee_fields(row) for row in sorted(version.fees.all(), key=lambda fee: fee.pk)),
        pools={name: Decimal(units) for name, units in version.pools.items()},
        commitments=tuple(
            CommitmentInput(row.amount, row.payment, row.starts_at, row.ends_at)
            for row in sorted(version.commitments.all(), key=lambda row: row.pk)
        ),
        **{name: getattr(version, name) for name in COLUMNS},
    )


def fee_fields(row: Fee) -> FeeInput:
    """A stored fee as it was handed in."""
    timing = None if row.kind == rating.ONE_OFF else row.timing
    return FeeInput(row.name, row.kind, row.amount, row.seats, timing, row.counts)
