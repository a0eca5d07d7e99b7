"""Reads of the terms: what was agreed with a customer at an instant, as plain facts for billing and evaluation.

`load` reads everything about the customers of one run in seven queries, whatever their number; the answers after that
touch no database. Of several versions the one in force at an instant is that with the latest start at or before it; of
two contract versions with one start, the later made.
"""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db import connection

from contracts.domain.periods import Cadence, Period, Segment, scheduled_period, scheduled_periods
from contracts.domain.rating import Commitment, Fee, Price, price_of
from contracts.models import Commitment as CommitmentRow
from contracts.models import Contract, ContractVersion, RateCardVersion
from contracts.models import Fee as FeeRow
from contracts.models import Price as PriceRow
from contracts.prices import fields_of

T = TypeVar("T")

PASSING_ON = """
    SELECT c.customer_id, c.id AS contract_id, v.pass_on, v.starts_at, least(v.until, c.ends_at) AS ends_at
    FROM (SELECT contract_id, pass_on, effective_at AS starts_at,
                 lead(effective_at) OVER (PARTITION BY contract_id ORDER BY effective_at, number) AS until
          FROM contracts_contractversion
          WHERE contract_id IN (SELECT contract_id FROM contracts_contractversion WHERE pass_on <> 'none')) v
    JOIN contracts_contract c ON c.id = v.contract_id
    WHERE v.pass_on <> 'none' AND v.starts_at < coalesce(least(v.until, c.ends_at), 'infinity')
"""
"""SQL: the spans [starts_at, ends_at), end null for ever, in which what a customer's outcomes met is passed on, and to
whom; none overlapping.
"""

BillingKey = tuple[int, int | None, datetime]
"""(contract version id, rate card version id or None where the card has none yet, start of the billing period)."""

WindowSpan = tuple[datetime, datetime | None, int]
"""(start, end or None for ever, microseconds): another duration of `settle after` for what is met in [start, end)."""

PinSpan = tuple[datetime, datetime | None, int]
"""(start, end or None for ever, number): the version of a condition that attempts take which begin in [start, end)."""


class Overrides(NamedTuple):
    """What contracts say of conditions in their place, by (customer id, condition id): spans in order of their starts,
    none overlapping.
    """

    windows: dict[tuple[int, int], tuple[WindowSpan, ...]]
    pins: dict[tuple[int, int], tuple[PinSpan, ...]]


@dataclass(frozen=True)
class CardVersion:
    """A rate card's version: in force from ``effective_from`` on (None = always) until the next one."""

    id: int
    currency: str
    effective_from: datetime | None
    prices: tuple[Price, ...]


@dataclass(frozen=True)
class CommitmentSpan:
    """A commitment over the billing periods of [starts_at, ends_at), end None as long as the contract runs. Its id is
    ("commitment", the row's id).
    """

    commitment: Commitment
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class Version:
    """A contract's terms from ``effective_at`` on. ``overrides`` are its own prices, ``settlement_windows`` its own
    durations of `settle after`: (condition id, microseconds), ``pins`` versions of conditions: (condition id, number).
    Amounts are those of a full period; the ids of fees are ("fee", the row's id). ``commitments`` are those agreed with
    it, and stand whatever comes into force later. ``progressive_threshold`` is in major units.
    """

    id: int
    number: int
    effective_at: datetime
    rate_card_id: int
    cadence: Cadence
    net_days: int
    settlement_grace_seconds: int
    settlement_windows: tuple[tuple[int, int], ...]
    late_evidence: str
    pins: tuple[tuple[int, int], ...]
    overrides: tuple[Price, ...]
    discount_percent: Decimal | None = None
    discount_amount: Decimal | None = None
    minimum: Decimal | None = None
    cap: Decimal | None = None
    fees: tuple[Fee, ...] = ()
    pools: Mapping[str, Decimal] = field(default_factory=dict, hash=False)
    commitments: tuple[CommitmentSpan, ...] = ()
    trial: bool = False
    credit_notes: str = "automatic"
    credits: str = "next_invoice"
    zero_invoices: str = "issue"
    progressive_threshold: Decimal | None = None
    collection_method: str = "send_invoice"
    pass_on: str = ContractVersion.PassOn.NONE.value

    @property
    def passes_on(self) -> bool:
        """Whether another system invoices what is met under it: it has no prices here."""
        return self.pass_on != ContractVersion.PassOn.NONE


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

    def spans(self) -> Iterator[tuple[datetime, datetime | None, Version]]:
        """The contract's whole span as (start, end, the version in force in it); adjoining, in order."""
        return cut(self.starts_at, self.ends_at, [(version.effective_at, version) for version in self.versions])

    def period_of(self, settled_at: datetime) -> Period:
        """The billing period an outcome of this contract belongs to: the one that contains ``settled_at``, and the last
        one where it settled after the contract's end.
        """
        if self.ends_at is not None and settled_at >= self.ends_at:
            return self.last_period()
        return scheduled_period(settled_at, segments=self.segments(), starts_at=self.starts_at, ends_at=self.ends_at)

    def last_period(self) -> Period:
        """The period that ends with the contract. Raises ValueError for a contract without an end."""
        if self.ends_at is None:
            raise ValueError(f"contract {self.id} has no end")
        just_before = self.ends_at - datetime.resolution
        return scheduled_period(just_before, segments=self.segments(), starts_at=self.starts_at, ends_at=self.ends_at)

    def periods(self, *, until: datetime) -> Iterator[Period]:
        """Every period that begins before ``until``, in order."""
        return scheduled_periods(segments=self.segments(), starts_at=self.starts_at, ends_at=self.ends_at, until=until)

    def segments(self) -> Sequence[Segment]:
        """What cuts the contract's periods."""
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

    def late_evidence_at(self, customer_id: int, met_at: datetime) -> str:
        """What follows when an event comes late for a confirmed outcome met at that instant: `reverse`, `review` or
        `ignore`; `reverse` without a contract.
        """
        version = self.version_at(customer_id, met_at)
        return ContractVersion.LateEvidence.REVERSE.value if version is None else version.late_evidence

    def card_version_at(self, rate_card_id: int, instant: datetime) -> CardVersion | None:
        """The rate card version in force; None before the first one's start."""
        found = None
        for version in self._cards.get(rate_card_id, ()):
            if version.effective_from is None or version.effective_from <= instant:
                found = version
        return found

    def card_versions(self, agreement: Agreement) -> list[CardVersion]:
        """All versions of the rate cards that a contract's versions name, in the order in which they were made."""
        cards = {version.rate_card_id for version in agreement.versions}
        return sorted((one for card in cards for one in self._cards.get(card, ())), key=lambda one: one.id)

    def as_of(self, agreement: Agreement, versions: int, card_versions: int) -> tuple[Agreement, tuple[Stretch, ...]]:
        """A contract, and its stretches, as they stood when it had so many versions and its rate cards had so many.
        Raises ValueError for none.
        """
        early = tuple(one for one in agreement.versions if one.number <= versions)
        if not early:
            raise ValueError(f"contract {agreement.id} had {versions} versions")
        then = replace(agreement, versions=early)
        known = {one.id for one in self.card_versions(then)[:card_versions]}
        cards = {card: tuple(one for one in found if one.id in known) for card, found in self._cards.items()}
        return then, Terms([then], cards).stretches(then)

    def revised(
        self,
        customer_ids: Iterable[int],
        contract: Callable[[Agreement], Agreement],
        card: Callable[[int, tuple[CardVersion, ...]], tuple[CardVersion, ...]],
    ) -> "Terms":
        """What these customers would have, with each of their contracts, and each rate card (its id, its versions),
        as the two functions make it.
        """
        agreements = [contract(one) for customer in customer_ids for one in self.agreements(customer)]
        return Terms(agreements, {pk: card(pk, versions) for pk, versions in self._cards.items()})

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
        starts = {start for start, _, _ in agreement.spans()}
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
            prices = () if version.passes_on else version.overrides + listed
            if version.trial:
                prices = tuple(replace(price, trial=True) for price in prices)
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
    ids = [version.id for version in versions]
    overrides = _prices(contract_version__in=ids)
    fees, commitments = _fees(ids), _commitments(ids)
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
                settlement_windows=_microseconds(version.settlement_windows),
                late_evidence=version.late_evidence,
                pins=tuple((int(condition), number) for condition, number in version.conditions.items()),
                overrides=tuple(overrides.get(version.id, ())),
                discount_percent=version.discount_percent,
                discount_amount=version.discount_amount,
                minimum=version.minimum,
                cap=version.cap,
                fees=tuple(fees.get(version.id, ())),
                pools={name: Decimal(units) for name, units in version.pools.items()},
                commitments=tuple(commitments.get(version.id, ())),
                trial=version.trial,
                credit_notes=version.credit_notes,
                credits=version.credits,
                zero_invoices=version.zero_invoices,
                progressive_threshold=version.progressive_threshold,
                collection_method=version.collection_method,
                pass_on=version.pass_on,
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


def overrides(customer_ids: Iterable[int]) -> Overrides:
    """The settlement windows and the versions that contracts of these customers give conditions.

    Asked with every batch of events: where no contract has any, a look at an index that holds those with some; else one
    more query, of plain columns.
    """
    windows: dict[tuple[int, int], list[WindowSpan]] = defaultdict(list)
    pins: dict[tuple[int, int], list[PinSpan]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_ANY_OVERRIDES)
        if not cursor.fetchone()[0]:
            return Overrides({}, {})
        cursor.execute(_OVERRIDES, [list(customer_ids)])
        rows = cursor.fetchall()
    read_windows, read_pins = lru_cache(maxsize=None)(_windows), lru_cache(maxsize=None)(_pins)
    for (customer_id, _, starts_at, ends_at), versions in groupby(rows, key=itemgetter(0, 1, 2, 3)):
        for start, end, (own, pinned) in cut(starts_at, ends_at, [(row[4], row[5:7]) for row in versions]):
            for condition_id, duration in read_windows(own):
                windows[customer_id, condition_id].append((start, end, duration))
            for condition_id, number in read_pins(pinned):
                pins[customer_id, condition_id].append((start, end, number))
    return Overrides(
        {place: tuple(spans) for place, spans in windows.items()},
        {place: tuple(spans) for place, spans in pins.items()},
    )


_ANY_OVERRIDES = """
SELECT EXISTS (SELECT FROM contracts_contractversion WHERE NOT settlement_windows = '{}' OR NOT conditions = '{}')
"""
_OVERRIDES = """
SELECT c.customer_id, c.id, c.starts_at, c.ends_at, v.effective_at, v.settlement_windows::text, v.conditions::text
FROM contracts_contract c JOIN contracts_contractversion v ON v.contract_id = c.id
WHERE c.customer_id = ANY(%s)
  AND c.id IN (SELECT contract_id FROM contracts_contractversion
               WHERE NOT settlement_windows = '{}' OR NOT conditions = '{}')
ORDER BY c.customer_id, c.starts_at, v.effective_at, v.number
"""


def _windows(text: str) -> tuple[tuple[int, int], ...]:
    """(condition id, microseconds) from the JSON of a version's column."""
    return _microseconds(json.loads(text))


def _pins(text: str) -> tuple[tuple[int, int], ...]:
    """(condition id, version number) from the JSON of a version's column."""
    return tuple((int(condition), number) for condition, number in json.loads(text).items())


def _microseconds(windows: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    return tuple((int(condition), seconds * 1_000_000) for condition, seconds in windows.items())


def cut(
    starts_at: datetime, ends_at: datetime | None, versions: Sequence[tuple[datetime, T]]
) -> Iterator[tuple[datetime, datetime | None, T]]:
    """The span of a contract by what is in force in it: (start, end, version), adjoining, in order.

    ``versions`` are (from when on, version) in the order in which they come into force, those made later last. Before
    the first one's start, the first is in force.
    """
    start, in_force = starts_at, versions[0][1]
    for effective_at, version in versions:
        if effective_at <= start:
            in_force = version
        elif ends_at is None or effective_at < ends_at:
            yield start, effective_at, in_force
            start, in_force = effective_at, version
    yield start, ends_at, in_force


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
        given = fields_of(row).to_rating(row.condition_id)
        found[getattr(row, home)].append(price_of(given, row.id, override=home == "contract_version_id"))
    return found


def _fees(versions: Sequence[int]) -> dict[int, list[Fee]]:
    """Fees by the id of their version."""
    found: dict[int, list[Fee]] = defaultdict(list)
    for row in FeeRow.objects.filter(contract_version__in=versions).order_by("id"):
        seats = Decimal(1) if row.seats is None else row.seats
        fee = Fee(("fee", row.id), row.name, row.kind, row.amount, seats=seats, timing=row.timing, counts=row.counts)
        found[row.contract_version_id].append(fee)
    return found


def _commitments(versions: Sequence[int]) -> dict[int, list[CommitmentSpan]]:
    """Commitments by the id of the version they were agreed with."""
    found: dict[int, list[CommitmentSpan]] = defaultdict(list)
    for row in CommitmentRow.objects.filter(contract_version__in=versions).order_by("id"):
        commitment = Commitment(("commitment", row.id), row.amount, row.payment)
        found[row.contract_version_id].append(CommitmentSpan(commitment, row.starts_at, row.ends_at))
    return found


def keeps_late_evidence_out(customer_id: int) -> bool:
    """Whether any contract of the customer wants late evidence reviewed or ignored."""
    agreed = ContractVersion.objects.filter(contract__customer=customer_id)
    return agreed.exclude(late_evidence=ContractVersion.LateEvidence.REVERSE).exists()
