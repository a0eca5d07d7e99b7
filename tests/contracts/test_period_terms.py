"""The terms of one billing period: shares by local days, commitments, and what is charged once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts import terms
from contracts.agreements import ContractFields, create_contract
from contracts.amendments import amend_contract
from contracts.domain.periods import Period
from contracts.domain.rating import Charge, CommitmentInput, DiscountInput, FeeInput, Usage, rate_period
from contracts.models import Commitment, Customer, Fee
from contracts.period_terms import PeriodTerms, period_terms
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from contracts.terms import Agreement
from contracts.timeline import Amendment
from tests.contracts.conftest import NOW

pytestmark = pytest.mark.django_db
JAN, FEB, MARCH, APRIL, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4, 7))
NEXT = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SETUP = FeeInput("Set-up", "one_off", Decimal(250))
BASE = FeeInput("Base", "recurring", Decimal(28))


@pytest.fixture(autouse=True)
def card(ticket: str, acme: Customer) -> None:
    put_rate_card("standard", RateCardFields("USD", (PriceFields(ticket, Decimal(2)),)), now=NOW)


def agree(*phases: Amendment, **changes: Any) -> Agreement:
    given = {"customer": "acme", "rate_card": "standard", "starts_at": JAN, **changes}
    made = create_contract(ContractFields(**given, phases=phases), now=NOW).value
    return read(made.customer_id)


def read(customer_id: int) -> Agreement:
    [agreement] = terms.load([customer_id]).agreements(customer_id)
    return agreement


def in_month(agreement: Agreement, start: datetime, *priced_by: int) -> PeriodTerms:
    return period_terms(agreement, agreement.period_of(start), priced_by)


def days(found: PeriodTerms) -> list[tuple[int, int]]:
    return [(share.days, share.of_days) for share in found.shares]


def names(found: PeriodTerms) -> set[str]:
    """The names of one-off fees charged in the period."""
    return set(
        Fee.objects.filter(pk__in=[key for kind, key in found.first if kind == "fee"]).values_list("name", flat=True)
    )  # type: ignore[misc,has-type]


def test_shares_are_the_local_days_of_each_version() -> None:
    agreement = agree(
        Amendment(JAN + 10 * DAY + timedelta(hours=5), {"minimum": Decimal(50)}),
        Amendment(JAN + 20 * DAY, {"discount": DiscountInput(percent=Decimal(10)), "pools": {}}),
        Amendment(JAN + 20 * DAY + timedelta(hours=9), {"cap": Decimal(500)}),
        time_zone="America/New_York",  # JAN is 19:00 of the day before there
    )
    first = period_terms(agreement, next(agreement.periods(until=FEB)))
    assert (first.shares[0].days, first.shares[0].of_days) == (1, 31)  # the last day of December
    january = in_month(agreement, JAN + 5 * DAY)
    assert days(january) == [(10, 31), (9, 31), (1, 31), (11, 31)]
    assert sum(share.days for share in january.shares) == 31
    assert [share.minimum for share in january.shares] == [None, 50, 50, 50]
    assert [share.discount_percent for share in january.shares] == [None, None, 10, 10]
    assert [share.cap for share in january.shares] == [None, None, None, 500]
    assert days(in_month(agreement, MARCH)) == [(28, 28)]


def test_a_contract_that_begins_or_ends_within_a_period_has_its_days_of_the_full_one() -> None:
    agreement = agree(starts_at=JAN + 14 * DAY, ends_at=MARCH + 9 * DAY)
    assert [days(period_terms(agreement, period)) for period in agreement.periods(until=NEXT)] == [
        [(17, 31)], [(28, 28)], [(9, 31)],
    ]  # fmt: skip


def test_a_version_that_only_priced_something_has_a_share_of_no_days() -> None:
    agreement = agree(Amendment(FEB, {"minimum": Decimal(50)}))
    first, second = (version.id for version in agreement.versions)
    assert [share.version for share in in_month(agreement, FEB).shares] == [second]
    assert [(share.version, share.days) for share in in_month(agreement, FEB, first, second).shares] == [
        (first, 0), (second, 28),
    ]  # fmt: skip


def test_a_one_off_fee_is_charged_once_and_never_in_a_trial() -> None:
    agreement = agree(
        Amendment(FEB, {"net_days": 7}),  # copies the fee
        Amendment(MARCH, {"fees": (SETUP, FeeInput("Move", "one_off", Decimal(9)))}),
        Amendment(APRIL, {"fees": ()}),
        Amendment(JULY, {"fees": (SETUP,)}),
        trial=True,
        fees=(SETUP, BASE),
    )
    assert [names(in_month(agreement, month)) for month in (JAN, FEB, MARCH, APRIL, JULY)] == [
        set(), {"Set-up"}, {"Move"}, set(), set(),
    ]  # fmt: skip


def test_a_version_of_no_day_charges_no_one_off_fee() -> None:
    agreement = agree(
        Amendment(JAN + timedelta(hours=5), {"fees": (SETUP,), "minimum": Decimal(9)}),
        Amendment(FEB, {}),
        fees=(SETUP,),
    )
    january = in_month(agreement, JAN)
    assert days(january) == [(0, 31), (31, 31)]
    rated = rate_period([], january.shares, "USD", first=january.first)
    assert [(line.kind, line.amount_minor) for line in rated.lines] == [("minimum", 900), ("fee", 25000)]
    assert not names(in_month(agreement, FEB))


def test_commitments_begin_run_and_end_with_periods() -> None:
    given = (
        CommitmentInput(Decimal(1200), "advance", None, APRIL),
        CommitmentInput(Decimal(300), "arrears", FEB, None),
    )
    agreement = agree(commitments=given, ends_at=JULY)
    yearly, later = (("commitment", row.pk) for row in Commitment.objects.order_by("id"))
    found = {month: in_month(agreement, month) for month in (JAN, FEB, MARCH, APRIL, JULY - DAY)}
    running = {month: [one.id for one in terms.commitments] for month, terms in found.items()}
    assert list(running.values()) == [[yearly], [yearly, later], [yearly, later], [later], [later]]
    assert [set(terms.first) for terms in found.values()] == [{yearly}, {later}, set(), set(), set()]
    assert [set(terms.last) for terms in found.values()] == [set(), set(), {yearly}, set(), {later}]


def test_a_commitment_stands_through_amendments_and_ends_with_its_contract() -> None:
    agreement = agree(commitments=(CommitmentInput(Decimal(300), "arrears", None, NEXT),), ends_at=NEXT)
    amend_contract(
        agreement.id, Amendment(APRIL, {"commitments": (CommitmentInput(Decimal(5), "advance"),)}, JULY), now=NOW
    )
    agreement = read(agreement.customer_id)
    assert len(in_month(agreement, MARCH).commitments) == 1
    last = in_month(agreement, JULY - DAY)
    assert (len(last.commitments), len(last.last), len(in_month(agreement, APRIL).first)) == (2, 2, 1)


def test_a_period_of_two_versions_rates_as_worked_out_by_hand(ticket: str) -> None:
    """June 2026 has 30 days: 10 under the first version, 20 under the second.

    10 tickets met under each, at 2.00 and at 1.50: 20.00 and 15.00; of the second 10 % off: -1.50. Base fee 28.00 a
    month: 9.33 and 18.67. The minimum of 60.00 holds for 20 of 30 days: 40.00, and 33.50 were reached: 6.50 more.
    """
    own = (PriceFields(ticket, Decimal("1.50")),)
    changes = {"prices": own, "discount": DiscountInput(percent=Decimal(10)), "minimum": Decimal(60)}
    begin = datetime(2026, 6, 11, tzinfo=UTC)
    agreement = agree(Amendment(begin, changes), fees=(BASE,))
    loaded = terms.load([agreement.customer_id])
    june = agreement.period_of(begin)
    assert june == Period(datetime(2026, 6, 1, tzinfo=UTC), JULY)
    found = period_terms(agreement, june)
    charges = [
        Charge(stretch.prices[0], Usage(stretch.prices[0].condition, (), Decimal(10), 10), stretch.version.id)
        for stretch in loaded.stretches(agreement)
    ]
    rated = rate_period(charges, found.shares, "USD", first=found.first, last=found.last)
    assert sorted((line.kind, line.amount_minor) for line in rated.lines) == [
        ("discount", -150), ("fee", 933), ("fee", 1867), ("minimum", 650), ("usage", 1500), ("usage", 2000),
    ]  # fmt: skip
