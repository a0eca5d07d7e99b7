"""Reads: rows for the API and the admin, and their JSON."""

from datetime import datetime
from typing import Any

from django.db.models import Prefetch, QuerySet

from access.times import format_rfc3339
from contracts import durations, versions
from contracts.agreements import public_id
from contracts.models import (
    Condition,
    ConditionVersion,
    Contract,
    ContractVersion,
    Customer,
    Price,
    RateCard,
    RateCardVersion,
)
from contracts.prices import unit_price_text


def conditions() -> QuerySet[Condition]:
    """Conditions with their versions at hand."""
    return Condition.objects.prefetch_related(
        Prefetch("versions", queryset=ConditionVersion.objects.order_by("number"))
    )


def rate_cards() -> QuerySet[RateCard]:
    """Rate cards with their versions and prices at hand."""
    return RateCard.objects.prefetch_related(
        Prefetch("versions", queryset=RateCardVersion.objects.order_by("number")),
        Prefetch("versions__prices", queryset=_prices()),
    )


def contracts(*, customer: str | None = None, rate_card: str | None = None) -> QuerySet[Contract]:
    """Contracts with their versions and prices at hand; ``rate_card`` finds those whose any version stands on it."""
    found = Contract.objects.select_related("customer").prefetch_related(
        Prefetch("versions", queryset=ContractVersion.objects.order_by("number").select_related("rate_card")),
        Prefetch("versions__prices", queryset=_prices()),
    )
    if customer is not None:
        found = found.filter(customer__key=customer)
    if rate_card is not None:
        # A subquery, not a join: a contract of several versions is listed once.
        found = found.filter(pk__in=ContractVersion.objects.filter(rate_card__key=rate_card).values("contract"))
    return found


def latest_version(contract: Contract) -> ContractVersion:
    """The version with the highest number, of a contract that `contracts` fetched."""
    return max(contract.versions.all(), key=lambda version: version.number)


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
        "created_at": format_rfc3339(customer.created_at),
    }


def condition_summary_json(condition: Condition, now: datetime) -> dict[str, Any]:
    """The condition as its version in force at ``now`` says it."""
    listed = list(condition.versions.all())
    return {"slug": condition.slug, **condition_version_json(shown_version(listed, now))}


def condition_json(condition: Condition, now: datetime, shown: ConditionVersion | None = None) -> dict[str, Any]:
    """The condition as ``shown`` says it (left out: the version in force), with all versions."""
    listed = list(condition.versions.all())
    return {
        "slug": condition.slug,
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
    return {
        "condition": price.condition.slug,
        "model": price.model,
        "unit_price": unit_price_text(price.unit_price, currency),
        "match": price.match,
    }


def contract_json(contract: Contract) -> dict[str, Any]:
    """The contract with the terms of its latest version."""
    version = latest_version(contract)
    return {
        "id": public_id(contract),
        "customer": contract.customer.key,
        "currency": contract.currency,
        "starts_at": format_rfc3339(contract.starts_at),
        "ends_at": _moment(contract.ends_at),
        "version": version.number,
        "rate_card": version.rate_card.key,
        "billing_period": version.billing_period,
        "anchor_day": version.anchor_day,
        "time_zone": version.time_zone,
        "net_days": version.net_days,
        "settlement_grace": durations.text_of(version.settlement_grace_seconds),
        "prices": [price_json(price, contract.currency) for price in version.prices.all()],
        "created_at": format_rfc3339(contract.created_at),
    }


def shown_version(listed: list[Any], now: datetime) -> Any:
    """The version in force; before the first one's start, that which comes first."""
    return versions.in_force(listed, now) or min(listed, key=versions.start_of)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_rfc3339(moment)
