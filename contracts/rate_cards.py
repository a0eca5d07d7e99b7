"""Use case: put a rate card into force, as a new key or as the next version of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from access.errors import Detail
from contracts import fields, prices, versions
from contracts.changes import Change, Kind, differences_of
from contracts.models import RateCard, RateCardVersion
from contracts.prices import PriceFields
from contracts.refusals import raise_if_any


@dataclass(frozen=True)
class RateCardFields:
    """What a rate card says: a currency and the prices in it."""

    currency: str
    prices: tuple[PriceFields, ...]
    effective_from: datetime | None = None


@transaction.atomic
def put_rate_card(key: str, given: RateCardFields, *, now: datetime) -> Change[RateCardVersion]:
    """These prices become the rate card ``key`` for outcomes met at or after ``effective_from``.

    The first version applies from the beginning of time unless dated; a later one starts now unless dated, and never in
    the past. Where the card in force at that moment says the same, nothing is written and that version is the answer. A
    card keeps its currency for ever: contracts in that currency stand on it.

    Locks the card's row, so version numbers have no gaps. Safe to repeat: a second call finds the first one's version.
    Refused, with every place at once: ties, negative prices, unknown conditions and dimensions, another currency, a
    start in the past.
    """
    raise_if_any(
        [
            fields.rate_card_key_problem("key", key),
            fields.currency_problem("currency", given.currency),
            None if given.prices else Detail("prices", "A rate card has at least one price.", "empty"),
            *prices.problems_of(given.prices, currency=given.currency),
        ]
    )
    card, made = RateCard.objects.select_for_update(no_key=True).get_or_create(key=key, defaults={"created_at": now})
    existing = list(card.versions.prefetch_related("prices__condition"))
    if made or not existing:
        version = _add(card, 1, given, given.effective_from, now)
        return Change(Kind.CREATED, version, differences_of({}, _content(given.currency, given.prices)))
    raise_if_any([_currency_change(key, existing, given.currency)])
    start = given.effective_from or now
    in_force = versions.in_force(existing, start)
    before = {} if in_force is None else _content(in_force.currency, prices.stored(in_force))
    differences = differences_of(before, _content(given.currency, given.prices))
    if in_force is not None and not differences:
        return Change(Kind.UNCHANGED, in_force)
    versions.refuse_start(existing, start, now, what=f"Rate card {key}")
    version = _add(card, versions.next_number(existing), given, start, now)
    return Change(Kind.NEW_VERSION, version, differences)


def _content(currency: str, listed: Sequence[PriceFields]) -> dict[str, Any]:
    return {"currency": currency, **prices.comparable(listed)}


def _currency_change(key: str, existing: Sequence[RateCardVersion], currency: str) -> Detail | None:
    before = existing[0].currency
    if before == currency:
        return None
    return Detail(
        "currency",
        f"Rate card {key} is in {before} and stays so, since contracts in {before} stand on it; give prices in"
        f" {currency} a card of their own.",
        "currency_mismatch",
    )


def _add(
    card: RateCard, number: int, given: RateCardFields, effective_from: datetime | None, now: datetime
) -> RateCardVersion:
    version = RateCardVersion.objects.create(
        rate_card=card, number=number, currency=given.currency, effective_from=effective_from, created_at=now
    )
    prices.store(given.prices, rate_card_version=version)
    return version
