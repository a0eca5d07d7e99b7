"""Use cases: agree a contract with a customer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from access import ids
from access.errors import Detail
from access.times import format_rfc3339
from contracts import durations, fields, prices
from contracts.changes import Change, Difference, Kind, differences_of
from contracts.domain import periods
from contracts.models import Contract, ContractVersion, Customer, RateCard
from contracts.prices import PriceFields
from contracts.refusals import conflict, raise_if_any, refused

ID_PREFIX = "con"
MAX_NET_DAYS = 365
MAX_GRACE_SECONDS = 180 * 86_400


@dataclass(frozen=True)
class ContractFields:
    """The terms as they are handed in. A currency or time zone that is left out is the customer's."""

    customer: str
    rate_card: str
    starts_at: datetime
    ends_at: datetime | None = None
    currency: str | None = None
    billing_period: str = "monthly"
    anchor_day: int = 1
    time_zone: str | None = None
    net_days: int = 30
    settlement_grace_seconds: int = 0
    prices: tuple[PriceFields, ...] = ()


@transaction.atomic
def create_contract(given: ContractFields, *, now: datetime) -> Change[Contract]:
    """A contract of these terms, as its first version.

    Locks the customer's row, so that two callers cannot both see the span free. Not safe to repeat blindly: the second
    call is refused as an overlap with the first one's contract; over HTTP an Idempotency-Key replays the first answer.
    Refused with everything that is wrong at once; an overlap (409) names the other contract.
    """
    customer = _lock_customer(given.customer)
    card = _check(given, customer)
    _refuse_overlap(given, customer)
    return _create(given, customer, card, now)


@transaction.atomic
def ensure_contract(given: ContractFields, *, now: datetime) -> Change[Contract]:
    """The customer's contract with this start: made where there is none, unchanged where its terms are these.

    The same locks and refusals as `create_contract`; safe to repeat, and what files that are loaded again need. Terms
    of an existing contract never change: where they differ the call is refused and names each difference.
    """
    customer = _lock_customer(given.customer)
    card = _check(given, customer)
    existing = customer.contracts.filter(starts_at=given.starts_at).first()
    if existing is None:
        _refuse_overlap(given, customer)
        return _create(given, customer, card, now)
    differences = differences_of(terms_of(existing), _terms(given, customer))
    if not differences:
        return Change(Kind.UNCHANGED, existing)
    listed = "; ".join(map(_difference_text, differences))
    raise conflict(
        "contract_already_exists",
        f"Contract {public_id(existing)} of {customer.key} from {format_rfc3339(existing.starts_at)} stands with other"
        f" terms: {listed}. Agreed terms are not edited: put them back as they were.",
    )


def public_id(contract: Contract) -> str:
    """``con_…``, as the API names it."""
    return ids.encode(ID_PREFIX, contract.pk)


def terms_of(contract: Contract) -> dict[str, Any]:
    """The terms of a contract as flat values that compare: those of its latest version."""
    version = contract.versions.order_by("-number").select_related("rate_card")[0]
    return {
        "ends_at": contract.ends_at,
        "currency": contract.currency,
        "rate_card": version.rate_card.key,
        "billing_period": version.billing_period,
        "anchor_day": version.anchor_day,
        "time_zone": version.time_zone,
        "net_days": version.net_days,
        "settlement_grace": version.settlement_grace_seconds,
        **prices.comparable(prices.stored(version)),
    }


def _terms(given: ContractFields, customer: Customer) -> dict[str, Any]:
    return {
        "ends_at": given.ends_at,
        "currency": given.currency or customer.currency,
        "rate_card": given.rate_card,
        "billing_period": given.billing_period,
        "anchor_day": given.anchor_day,
        "time_zone": given.time_zone or customer.time_zone,
        "net_days": given.net_days,
        "settlement_grace": given.settlement_grace_seconds,
        **prices.comparable(given.prices),
    }


def _difference_text(difference: Difference) -> str:
    before, after = (
        format_rfc3339(value) if isinstance(value, datetime) else value
        for value in (difference.before, difference.after)
    )
    if after is None:
        return f"{difference.name} ({before}) is not among those asked for"
    return f"{difference.name} is {'not set' if before is None else before}, not {after}"


def _lock_customer(key: str) -> Customer:
    customer = Customer.objects.select_for_update(no_key=True).filter(key=key).first()
    if customer is None:
        raise refused("unknown_customer", f'There is no customer "{key}": create it first.', "customer")
    return customer


def _check(given: ContractFields, customer: Customer) -> RateCard:
    """The rate card, if these terms can stand; else everything that is wrong with them."""
    currency = given.currency or customer.currency
    zone = given.time_zone or customer.time_zone
    card = RateCard.objects.filter(key=given.rate_card).first()
    raise_if_any(
        [
            _card_problem(given.rate_card, card, currency),
            fields.currency_problem("currency", currency),
            fields.time_zone_problem("time_zone", zone),
            *_cadence_problems(given),
            *_span_problems(given),
            *_number_problems(given),
            *prices.problems_of(given.prices),
        ]
    )
    assert card is not None
    return card


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


def _cadence_problems(given: ContractFields) -> list[Detail]:
    if given.billing_period not in periods.BILLING_PERIODS:
        message = f"Expected one of: {', '.join(periods.BILLING_PERIODS)}."
        return [Detail("billing_period", message, "invalid_choice")]
    last = 7 if given.billing_period == periods.WEEKLY else 31
    if not 1 <= given.anchor_day <= last:
        meaning = "1 (Monday) to 7 (Sunday)" if last == 7 else "1 to 31 (the last day where a month is shorter)"
        message = f"anchor_day of a {given.billing_period} period is {meaning}."
        return [Detail("anchor_day", message, "invalid_anchor_day")]
    return []


def _span_problems(given: ContractFields) -> list[Detail]:
    if given.ends_at is not None and given.ends_at <= given.starts_at:
        message = f"ends_at must be after starts_at ({format_rfc3339(given.starts_at)})."
        return [Detail("ends_at", message, "ends_before_start")]
    return []


def _number_problems(given: ContractFields) -> list[Detail]:
    problems = []
    if not 0 <= given.net_days <= MAX_NET_DAYS:
        problems.append(Detail("net_days", f"net_days is 0 to {MAX_NET_DAYS}.", "invalid"))
    if not 0 <= given.settlement_grace_seconds <= MAX_GRACE_SECONDS:
        message = f"settlement_grace is at most {durations.text_of(MAX_GRACE_SECONDS)}."
        problems.append(Detail("settlement_grace", message, "invalid_duration"))
    return problems


def _refuse_overlap(given: ContractFields, customer: Customer) -> None:
    other = _overlapping(given, customer)
    if other is not None:
        until = f"until {format_rfc3339(other.ends_at)}" if other.ends_at else "without an end"
        raise conflict(
            "overlapping_contract",
            f"{customer.key} has contract {public_id(other)} from {format_rfc3339(other.starts_at)} {until}, and"
            f" contracts of one customer do not overlap. {_way_out(other)}",
            "starts_at",
        )


def _overlapping(given: ContractFields, customer: Customer) -> Contract | None:
    for contract in customer.contracts.order_by("starts_at"):
        begins_before_end = given.ends_at is None or contract.starts_at < given.ends_at
        if begins_before_end and (contract.ends_at is None or given.starts_at < contract.ends_at):
            return contract
    return None


def _way_out(other: Contract) -> str:
    if other.ends_at is None:
        return f"Let this one end by {format_rfc3339(other.starts_at)}."
    return f"Let this one start at {format_rfc3339(other.ends_at)} or later, or end before the other starts."


def _create(given: ContractFields, customer: Customer, card: RateCard, now: datetime) -> Change[Contract]:
    terms = _terms(given, customer)
    contract = Contract.objects.create(
        id=ids.uuid7(now),
        customer=customer,
        currency=terms["currency"],
        starts_at=given.starts_at,
        ends_at=given.ends_at,
        created_at=now,
    )
    version = ContractVersion.objects.create(
        contract=contract,
        number=1,
        effective_at=given.starts_at,
        rate_card=card,
        billing_period=given.billing_period,
        anchor_day=given.anchor_day,
        time_zone=terms["time_zone"],
        net_days=given.net_days,
        settlement_grace_seconds=given.settlement_grace_seconds,
        created_at=now,
    )
    prices.store(given.prices, contract_version=version)
    return Change(Kind.CREATED, contract, differences_of({}, {"starts_at": given.starts_at, **terms}))
