"""Reads of the terms: what was agreed with a customer at an instant, as plain facts for billing and evaluation.

`load` reads everything about the customers of one run in five queries, whatever their number; the answers after that
touch no database. Of several versions the one in force at an instant is that with the latest start at or before it; of
two contract versions with one start, the later made.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from contracts.domain.periods import Cadence, Period, Segment, scheduled_period, scheduled_periods
from contracts.domain.rating import Price, dimensions_of
from contracts.models import Contract, ContractVersion, RateCardVersion
from contracts.models import Price as PriceRow

BillingKey = tuple[int, int | None, datetime]
"""(contract version id, rate card version id or None where the card has none yet, start of the billing period)."""


@dataclass(frozen=True)
class CardVersion:
    """A rate card's version: in force from ``effective_from`` on (None = always) until the next one."""

    id: int
    currency: str
    effective_from: datetime | None
    prices: tuple[Price, ...]


@dataclass(frozen=True)
class Version:
    """A contract's terms from ``effective_at`` on. ``overrides`` are its own prices."""

    id: int
    number: int
    effective_at: datetime
    rate_card_id: int
    cadence: Cadence
    net_days: int
    settlement_grace_seconds: int
    overrides: tuple[Price, ...]


@dataclass(frozen=True)
class Agreement:
    """One contract with its versions in the order in which they come into force."""

    id: UUID
    customer_id: int
    currency: str
    starts_at: datetime
    ends_at: datetime | None
    versions: tuple[Version, ...]

    def covers(self, instant: datetime) -> bool:
        """Whether the instant lies in the contract's span."""
        return self.starts_at <= instant and (self.ends_at is None or instant < self.ends_at)

    def version_at(self, instant: datetime) -> Version:
        """The version in force; before the first one's start, the first."""
        found = self.versions[0]
        for version in self.versions:
            if version.effective_at <= instant:
                found = version
        return found

    def period_of(self, settled_at: datetime) -> Period:
        """The billing period an outcome of this contract belongs to: the one that contains ``settled_at``, and the last
        one where it settled after the contract's end.
        """
        if self.ends_at is not None and settled_at >= self.ends_at:
            return self.last_period()
        return scheduled_period(settled_at, segments=self._segments(), starts_at=self.starts_at, ends_at=self.ends_at)

    def last_period(self) -> Period:
        """The period that ends with the contract. Raises ValueError for a contract without an end."""
        if self.ends_at is None:
            raise ValueError(f"contract {self.id} has no end")
        just_before = self.ends_at - datetime.resolution
        return scheduled_period(just_before, segments=self._segments(), starts_at=self.starts_at, ends_at=self.ends_at)

    def periods(self, *, until: datetime) -> Iterator[Period]:
        """Every period that begins before ``until``, in order."""
        return scheduled_periods(segments=self._segments(), starts_at=self.starts_at, ends_at=self.ends_at, until=until)

    def _segments(self) -> Sequence[Segment]:
        return [Segment(version.effective_at, version.cadence) for version in self.versions]


@dataclass(frozen=True)
class Stretch:
    """A span [start, end) of a contract, end None for ever, in which one set of terms is in force for what is met in
    it.
    """

    start: datetime
    end: datetime | None
    version: Version
    card: CardVersion | None
    prices: tuple[Price, ...]


class Terms:
    """Everything agreed with some customers, read once; answers are cached for as long as the object lives."""

    def __init__(self, agreements: Iterable[Agreement], cards: dict[int, tuple[CardVersion, ...]]) -> None:
        self._agreements: dict[int, list[Agreement]] = defaultdict(list)
        for agreement in agreements:
            self._agreements[agreement.customer_id].append(agreement)
        self._cards = cards
        self._stretches = lru_cache(maxsize=None)(self._work_out_stretches)

    def agreements(self, customer_id: int) -> Sequence[Agreement]:
        """The customer's contracts in order of their starts."""
        return self._agreements.get(customer_id, [])

    def agreement_at(self, customer_id: int, instant: datetime) -> Agreement | None:
        """The contract in force; contracts of one customer do not overlap."""
        return next((one for one in self.agreements(customer_id) if one.covers(instant)), None)

    def version_at(self, customer_id: int, instant: datetime) -> Version | None:
        """The contract version in force."""
        agreement = self.agreement_at(customer_id, instant)
        return None if agreement is None else agreement.version_at(instant)

    def card_version_at(self, rate_card_id: int, instant: datetime) -> CardVersion | None:
        """The rate card version in force; None before the first one's start."""
        found = None
        for version in self._cards.get(rate_card_id, ()):
            if version.effective_from is None or version.effective_from <= instant:
                found = version
        return found

    def prices_at(self, customer_id: int, condition_id: int, met_at: datetime) -> tuple[Price, ...]:
        """The prices in force for outcomes of a condition met at that instant: overrides and those of the card."""
        agreement = self.agreement_at(customer_id, met_at)
        if agreement is None:
            return ()
        return tuple(price for price in self.stretch_at(agreement, met_at).prices if price.condition == condition_id)

    def stretches(self, agreement: Agreement) -> tuple[Stretch, ...]:
        """The contract's whole span cut where its terms or its card's prices change; adjoining, in order."""
        return self._stretches(agreement)

    def stretch_at(self, agreement: Agreement, instant: datetime) -> Stretch:
        """The stretch that contains an instant of the contract."""
        stretches = self.stretches(agreement)
        index = bisect_right([stretch.start for stretch in stretches], instant) - 1
        return stretches[max(index, 0)]

    def billing_key(self, customer_id: int, met_at: datetime, settled_at: datetime) -> BillingKey | None:
        """What decides how an outcome is billed; None without a contract at ``met_at``. Two outcomes that are alike
        otherwise and have the same key bill the same.
        """
        agreement = self.agreement_at(customer_id, met_at)
        if agreement is None:
            return None
        stretch = self.stretch_at(agreement, met_at)
        period = agreement.period_of(max(settled_at, agreement.starts_at))
        return stretch.version.id, None if stretch.card is None else stretch.card.id, period.start

    def _work_out_stretches(self, agreement: Agreement) -> tuple[Stretch, ...]:
        starts = {agreement.starts_at}
        starts.update(version.effective_at for version in agreement.versions)
        for version in agreement.versions:
            versions = self._cards.get(version.rate_card_id, ())
            starts.update(one.effective_from for one in versions if one.effective_from is not None)
        inside = sorted(start for start in starts if agreement.covers(start))
        stretches = []
        for start, end in zip(inside, [*inside[1:], agreement.ends_at], strict=True):
            version = agreement.version_at(start)
            card = self.card_version_at(version.rate_card_id, start)
            # A card in another currency prices nothing: its outcomes wait as `not_priced` instead of turning into wrong
            # money.
            listed = card.prices if card is not None and card.currency == agreement.currency else ()
            prices = version.overrides + listed
            stretches.append(Stretch(start, end, version, card, prices))
        return tuple(stretches)


def load(customer_ids: Iterable[int]) -> Terms:
    """The terms of these customers: contracts, versions, overrides, and the rate cards they name with all versions."""
    contracts = list(Contract.objects.filter(customer_id__in=list(customer_ids)).order_by("customer_id", "starts_at"))
    versions = list(
        ContractVersion.objects.filter(contract__in=[contract.id for contract in contracts]).order_by(
            "effective_at", "number"
        )
    )
    overrides = _prices(contract_version__in=[version.id for version in versions])
    card_rows = list(
        RateCardVersion.objects.filter(rate_card__in={version.rate_card_id for version in versions}).order_by("number")
    )
    card_prices = _prices(rate_card_version__in=[card.id for card in card_rows])

    cards: dict[int, list[CardVersion]] = defaultdict(list)
    # Those without a start apply from the beginning of time, so they come first.
    for card in sorted(
        card_rows, key=lambda row: (row.effective_from is not None, row.effective_from or row.created_at)
    ):
        cards[card.rate_card_id].append(
            CardVersion(card.id, card.currency, card.effective_from, tuple(card_prices.get(card.id, ())))
        )
    by_contract: dict[UUID, list[Version]] = defaultdict(list)
    for version in versions:
        by_contract[version.contract_id].append(
            Version(
                id=version.id,
                number=version.number,
                effective_at=version.effective_at,
                rate_card_id=version.rate_card_id,
                cadence=Cadence(version.billing_period, version.anchor_day, version.time_zone),
                net_days=version.net_days,
                settlement_grace_seconds=version.settlement_grace_seconds,
                overrides=tuple(overrides.get(version.id, ())),
            )
        )
    agreements = [
        Agreement(
            id=contract.id,
            customer_id=contract.customer_id,
            currency=contract.currency,
            starts_at=contract.starts_at,
            ends_at=contract.ends_at,
            versions=tuple(by_contract[contract.id]),
        )
        for contract in contracts
        if by_contract[contract.id]
    ]
    return Terms(agreements, {card_id: tuple(found) for card_id, found in cards.items()})


def grace_by_customer(ids: Iterable[int]) -> dict[int, int]:
    """Seconds that settlement waits longer for each of these customers, 0 where nothing is agreed. One query.

    Of each contract its latest version counts, and of several contracts the longest grace: waiting longer only delays
    the booking, it never moves ``settled_at``.
    """
    wanted = list(ids)
    graces = dict.fromkeys(wanted, 0)
    latest = (
        ContractVersion.objects.filter(contract__customer_id__in=wanted)
        .order_by("contract_id", "-effective_at", "-number")
        .distinct("contract_id")
        .values_list("contract__customer_id", "settlement_grace_seconds")
    )
    for customer_id, seconds in latest:
        graces[customer_id] = max(graces[customer_id], seconds)
    return graces


def _prices(**where: Sequence[int]) -> dict[int, list[Price]]:
    """Prices by the id of their home, overrides marked as such."""
    home = next(iter(where)).removesuffix("__in") + "_id"
    found: dict[int, list[Price]] = defaultdict(list)
    for row in PriceRow.objects.filter(**where).order_by("id"):
        found[getattr(row, home)].append(
            Price(
                id=row.id,
                condition=row.condition_id,
                unit_price=row.unit_price,
                match=dimensions_of(row.match),
                model=row.model,
                override=home == "contract_version_id",
            )
        )
    return found
