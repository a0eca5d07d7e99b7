"""Reads: rows for the API and the admin, and their JSON."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch, QuerySet

from access import ids
from access.times import format_rfc3339
from conditions_dsl.words import plain
from contracts import durations, pins, versions, windows
from contracts.agreed import CHOICES
from contracts.agreements import public_id
from contracts.changes import Difference
from contracts.clocks import is_test, now_of
from contracts.limits import keys_of
from contracts.models import (
    Commitment,
    Condition,
    ConditionCustomer,
    ConditionVersion,
    Contract,
    ContractVersion,
    Customer,
    Fee,
    Price,
    RateCard,
    RateCardVersion,
    TaxRate,
    TestClock,
)
from contracts.prices import unit_price_text
from contracts.tax_rates import keys_of as tax_rates_of


def customers() -> QuerySet[Customer]:
    """Customers with their tax rates at hand."""
    return Customer.objects.prefetch_related("tax_rates")


def conditions() -> QuerySet[Condition]:
    """Conditions with their versions, and those they are limited to, at hand."""
    return Condition.objects.prefetch_related(
        Prefetch("versions", queryset=ConditionVersion.objects.order_by("number")),
        Prefetch("named", queryset=ConditionCustomer.objects.select_related("customer")),
    )


def rate_cards() -> QuerySet[RateCard]:
    """Rate cards with their versions and prices at hand."""
    return RateCard.objects.prefetch_related(
        Prefetch("versions", queryset=RateCardVersion.objects.order_by("number")),
        Prefetch("versions__prices", queryset=_prices()),
    )


def contracts(*, customer: str | None = None, rate_card: str | None = None) -> QuerySet[Contract]:
    """Contracts with their versions and terms at hand; ``rate_card`` finds those whose any version stands on it."""
    found = Contract.objects.select_related("customer").prefetch_related(
        Prefetch("versions", queryset=ContractVersion.objects.order_by("number").select_related("rate_card")),
        Prefetch("versions__prices", queryset=_prices()),
        Prefetch("versions__fees", queryset=Fee.objects.order_by("id")),
        Prefetch("versions__commitments", queryset=Commitment.objects.order_by("id")),
    )
    if customer is not None:
        found = found.filter(customer__key=customer)
    if rate_card is not None:
        # A subquery, not a join: a contract of several versions is listed once.
        found = found.filter(pk__in=ContractVersion.objects.filter(rate_card__key=rate_card).values("contract"))
    return found


def version_in_force(contract: Contract, now: datetime) -> ContractVersion:
    """The version in force of a contract that `contracts` fetched; before its start, the first. Of two with one start
    the later made is in force. A customer with a test clock goes by what that shows.
    """
    return version_at(contract, now_of(contract.customer, now))


def version_at(contract: Contract, now: datetime) -> ContractVersion:
    """The same at the customer's own ``now``."""
    listed = list(contract.versions.all())
    started = [version for version in listed if version.effective_at <= now]
    if not started:
        return min(listed, key=lambda version: (version.effective_at, -version.number))
    return max(started, key=lambda version: (version.effective_at, version.number))


def _prices() -> QuerySet[Price]:
    return Price.objects.order_by("id").select_related("condition")


# --- JSON -------------------------------------------------------------------------------------------------------------


def customer_json(customer: Customer) -> dict[str, Any]:
    return {
        "key": customer.key,
        "name": customer.name,
        "currency": customer.currency,
        "time_zone": customer.time_zone,
        "email": customer.email,
        "address": customer.address,
        "tax_id": customer.tax_id,
        "locale": customer.locale,
        "tax_rates": tax_rates_of(customer),
        "test": is_test(customer),
        "test_clock": None if customer.test_clock_id is None else ids.encode(TestClock.PREFIX, customer.test_clock_id),
        "created_at": format_rfc3339(customer.created_at),
    }


def tax_rate_json(rate: TaxRate) -> dict[str, Any]:
    return {
        "key": rate.key,
        "name": rate.name,
        "percent": plain(rate.percent),
        "inclusive": rate.inclusive,
        "reverse_charge": rate.reverse_charge,
        "note": rate.note,
        "created_at": format_rfc3339(rate.created_at),
    }


def condition_summary_json(condition: Condition, now: datetime) -> dict[str, Any]:
    """The condition as its version in force at ``now`` says it."""
    listed = list(condition.versions.all())
    return {
        "slug": condition.slug,
        "customers": keys_of(condition),
        **condition_version_json(shown_version(listed, now)),
    }


def condition_json(condition: Condition, now: datetime, shown: ConditionVersion | None = None) -> dict[str, Any]:
    """The condition as ``shown`` says it (left out: the version in force), with all versions."""
    listed = list(condition.versions.all())
    return {
        "slug": condition.slug,
        "customers": keys_of(condition),
        **condition_version_json(shown or shown_version(listed, now)),
        "versions": [condition_version_json(version) for version in listed],
    }


def condition_version_json(version: ConditionVersion) -> dict[str, Any]:
    return {
        "version": version.number,
        "title": version.title,
        "text": version.text,
        "canonical": version.canonical,
        "description": version.description,
        "effective_from": _moment(version.effective_from),
        "created_at": format_rfc3339(version.created_at),
    }


def rate_card_summary_json(card: RateCard, now: datetime, shown: RateCardVersion | None = None) -> dict[str, Any]:
    """The card as ``shown`` says it (left out: the version in force at ``now``)."""
    version = shown or shown_version(list(card.versions.all()), now)
    return {"key": card.key, "currency": version.currency, **rate_card_version_json(version)}


def rate_card_json(card: RateCard, now: datetime, shown: RateCardVersion | None = None) -> dict[str, Any]:
    """The same with all versions."""
    return {
        **rate_card_summary_json(card, now, shown),
        "versions": [rate_card_version_json(version) for version in card.versions.all()],
    }


def rate_card_version_json(version: RateCardVersion) -> dict[str, Any]:
    return {
        "version": version.number,
        "prices": [price_json(price, version.currency) for price in version.prices.all()],
        "effective_from": _moment(version.effective_from),
        "created_at": format_rfc3339(version.created_at),
    }


def price_json(price: Price, currency: str) -> dict[str, Any]:
    """The price with the fields it was given."""

    def money(amount: Decimal) -> str:
        return unit_price_text(amount, currency)

    given: dict[str, Any] = {
        "unit_price": price.unit_price is not None and money(price.unit_price),
        "tiers": [_tier_json(tier, currency) for tier in price.tiers],
        "package_size": price.package_size is not None and plain(price.package_size),
        "percent": price.percent is not None and plain(price.percent),
        "minimum": price.minimum is not None and money(price.minimum),
        "maximum": price.maximum is not None and money(price.maximum),
        "included": price.included is not None and plain(price.included),
        "pool": price.pool,
        "period_maximum": price.period_maximum is not None and money(price.period_maximum),
    }
    return {
        "condition": price.condition.slug,
        "model": price.model,
        **{name: value for name, value in given.items() if value},
        "match": price.match,
    }


def _tier_json(tier: dict[str, Any], currency: str) -> dict[str, Any]:
    given = [name for name in ("unit_price", "flat_fee") if name in tier]
    return {**tier, **{name: unit_price_text(Decimal(tier[name]), currency) for name in given}}


def contract_summary_json(contract: Contract, now: datetime) -> dict[str, Any]:
    """The contract with the terms of its version in force."""
    return {
        "id": public_id(contract),
        "customer": contract.customer.key,
        "test": is_test(contract.customer),
        "currency": contract.currency,
        "starts_at": format_rfc3339(contract.starts_at),
        "ends_at": _moment(contract.ends_at),
        **contract_version_json(version_in_force(contract, now), contract.currency),
        "created_at": format_rfc3339(contract.created_at),
    }


def contract_json(contract: Contract, now: datetime) -> dict[str, Any]:
    """The same with all versions."""
    return {
        **contract_summary_json(contract, now),
        "versions": [contract_version_json(version, contract.currency) for version in contract.versions.all()],
    }


def contract_version_json(version: ContractVersion, currency: str) -> dict[str, Any]:
    """The terms of one version, of a contract that `contracts` fetched."""

    def money(amount: Decimal | None) -> str | None:
        return None if amount is None else unit_price_text(amount, currency)

    discount: dict[str, Any] | None = None
    if version.discount_percent is not None:
        discount = {"percent": plain(version.discount_percent)}
    elif version.discount_amount is not None:
        discount = {"amount": money(version.discount_amount)}
    return {
        "version": version.number,
        "effective_at": format_rfc3339(version.effective_at),
        "rate_card": version.rate_card.key,
        "billing_period": version.billing_period,
        "anchor_day": version.anchor_day,
        "time_zone": version.time_zone,
        "net_days": version.net_days,
        "settlement_grace": durations.text_of(version.settlement_grace_seconds),
        "settlement_windows": windows.texts(version),
        **{name: getattr(version, name) for name in CHOICES},
        "conditions": pins.of_version(version),
        "prices": [price_json(price, currency) for price in version.prices.all()],
        "discount": discount,
        "minimum": money(version.minimum),
        "cap": money(version.cap),
        "progressive_threshold": money(version.progressive_threshold),
        "fees": [_fee_json(fee, currency) for fee in version.fees.all()],
        "pools": version.pools,
        "commitments": [
            {
                "amount": money(one.amount),
                "starts_at": format_rfc3339(one.starts_at),
                "ends_at": _moment(one.ends_at),
                "payment": one.payment,
            }
            for one in version.commitments.all()
        ],
        "trial": version.trial,
        "created_at": format_rfc3339(version.created_at),
    }


def _fee_json(fee: Fee, currency: str) -> dict[str, Any]:
    return {
        "name": fee.name,
        "kind": fee.kind,
        "amount": unit_price_text(fee.amount, currency),
        **({} if fee.seats is None else {"seats": plain(fee.seats)}),
        **({} if fee.kind == Fee.Kind.ONE_OFF else {"timing": fee.timing}),
        "counts": fee.counts,
    }


def differences_json(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    """Differences of terms with moments and durations as text."""
    return [
        {"name": one.name, "before": _value(one.name, one.before), "after": _value(one.name, one.after)}
        for one in differences
    ]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    if name == "settlement_grace" and value is not None:
        return durations.text_of(value)
    return value


def shown_version(listed: list[Any], now: datetime) -> Any:
    """The version in force; before the first one's start, that which comes first."""
    return versions.in_force(listed, now) or min(listed, key=versions.start_of)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_rfc3339(moment)
