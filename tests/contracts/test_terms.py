"""Terms in force: which contract, which version, which prices, which period; and at what cost in queries."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts import terms
from contracts.models import (
    Condition,
    Contract,
    ContractVersion,
    Customer,
    Price,
    RateCard,
    RateCardVersion,
)
from tests.database import thawed

JAN, FEB, MARCH, APRIL = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4))
TICK = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def customer(key: str = "acme") -> Customer:
    return Customer.objects.create(key=key, name=key, currency="USD", partition=0, created_at=JAN)


def card(key: str = "standard", currency: str = "USD") -> RateCard:
    made = RateCard.objects.create(key=key, created_at=JAN)
    RateCardVersion.objects.create(rate_card=made, number=1, currency=currency, created_at=JAN)
    return made


def contract(whose: Customer, rate_card: RateCard, starts_at: datetime = JAN, ends_at: Any = None) -> Contract:
    made = Contract.objects.create(customer=whose, currency="USD", starts_at=starts_at, ends_at=ends_at, created_at=JAN)
    version(made, rate_card, 1, starts_at)
    return made


def version(of: Contract, rate_card: RateCard, number: int, effective_at: datetime, **fields: Any) -> ContractVersion:
    return ContractVersion.objects.create(
        contract=of, rate_card=rate_card, number=number, effective_at=effective_at, created_at=JAN, **fields
    )


def price(condition: Condition, unit_price: str, **home: Any) -> Price:
    return Price.objects.create(condition=condition, model="per_unit", unit_price=Decimal(unit_price), **home)


@pytest.fixture
def ticket() -> Condition:
    return Condition.objects.create(slug="ticket", created_at=JAN)


def test_the_contract_in_force_is_half_open() -> None:
    acme, standard = customer(), card()
    first = contract(acme, standard, JAN, MARCH)
    second = contract(acme, standard, MARCH, None)
    agreed = terms.load([acme.id])
    found = {instant: agreed.agreement_at(acme.id, instant) for instant in (JAN - TICK, JAN, MARCH - TICK, MARCH)}
    assert {instant: one and one.id for instant, one in found.items()} == {
        JAN - TICK: None, JAN: first.id, MARCH - TICK: first.id, MARCH: second.id,
    }  # fmt: skip
    assert agreed.agreement_at(acme.id + 1, JAN) is None


def test_the_version_in_force_is_the_latest_start_then_the_latest_made() -> None:
    acme, standard = customer(), card()
    made = contract(acme, standard)
    version(made, standard, 2, MARCH, net_days=2)
    version(made, standard, 3, FEB, net_days=3)
    version(made, standard, 4, MARCH, net_days=4)
    agreed = terms.load([acme.id])
    numbers = {instant: agreed.version_at(acme.id, instant).number for instant in (JAN, FEB - TICK, FEB, MARCH)}  # type: ignore[union-attr]
    assert numbers == {JAN: 1, FEB - TICK: 1, FEB: 3, MARCH: 4}


def test_the_card_version_in_force_at_the_instant_of_meeting(ticket: Condition) -> None:
    acme, standard = customer(), card()
    price(ticket, "1", rate_card_version=standard.versions.get())
    later = RateCardVersion.objects.create(
        rate_card=standard, number=2, currency="USD", effective_from=FEB, created_at=JAN
    )
    price(ticket, "2", rate_card_version=later)
    contract(acme, standard)
    agreed = terms.load([acme.id])
    assert [agreed.prices_at(acme.id, ticket.id, at)[0].unit_price for at in (FEB - TICK, FEB)] == [1, 2]
    assert agreed.prices_at(acme.id, ticket.id, JAN - TICK) == ()
    assert agreed.prices_at(acme.id, ticket.id + 1, FEB) == ()


def test_overrides_come_with_their_mark(ticket: Condition) -> None:
    acme, standard = customer(), card()
    price(ticket, "1", rate_card_version=standard.versions.get())
    made = contract(acme, standard)
    price(ticket, "0.5", contract_version=made.versions.get())
    found = terms.load([acme.id]).prices_at(acme.id, ticket.id, JAN)
    assert [(one.unit_price, one.override) for one in found] == [(Decimal("0.5"), True), (Decimal(1), False)]


def test_a_card_before_its_first_start_and_one_in_another_currency_price_nothing(ticket: Condition) -> None:
    acme, beta = customer(), customer("beta")
    late, foreign = card("late"), card("foreign", "EUR")
    for rate_card in (late, foreign):
        price(ticket, "1", rate_card_version=rate_card.versions.get())
    with thawed():  # the second is what the database refuses
        late.versions.update(effective_from=FEB)
        contract(acme, late)
        contract(beta, foreign)
    agreed = terms.load([acme.id, beta.id])
    assert agreed.prices_at(acme.id, ticket.id, JAN) == () and len(agreed.prices_at(acme.id, ticket.id, FEB)) == 1
    assert agreed.prices_at(beta.id, ticket.id, JAN) == ()


def test_what_settles_after_the_end_belongs_to_the_last_period() -> None:
    acme, standard = customer(), card()
    end = datetime(2026, 2, 10, tzinfo=UTC)
    contract(acme, standard, JAN, end)
    (agreement,) = terms.load([acme.id]).agreements(acme.id)
    assert agreement.period_of(FEB - TICK).start == JAN
    assert agreement.period_of(end - TICK) == agreement.period_of(end) == agreement.period_of(APRIL)
    assert (agreement.period_of(APRIL).start, agreement.period_of(APRIL).end) == (FEB, end)


def test_the_billing_key() -> None:
    acme, standard = customer(), card()
    made = contract(acme, standard)
    first, standing = made.versions.get(), standard.versions.get()
    second = version(made, standard, 2, FEB)
    agreed = terms.load([acme.id])
    assert agreed.billing_key(acme.id, JAN - TICK, FEB) is None
    assert agreed.billing_key(acme.id, JAN, FEB - TICK) == (first.id, standing.id, JAN)
    assert agreed.billing_key(acme.id, JAN, FEB) == (first.id, standing.id, FEB)
    assert agreed.billing_key(acme.id, FEB, FEB) == (second.id, standing.id, FEB)


def test_the_grace_is_the_latest_versions() -> None:
    acme, beta, gamma = customer(), customer("beta"), customer("gamma")
    standard = card()
    made = contract(acme, standard)
    version(made, standard, 2, FEB, settlement_grace_seconds=60)
    contract(beta, standard)
    assert terms.grace_by_customer([acme.id, beta.id, gamma.id]) == {acme.id: 60, beta.id: 0, gamma.id: 0}


# --- settlement windows, late evidence --------------------------------------------------------------------------------


def window(of: Contract, rate_card: RateCard, number: int, effective_at: datetime, seconds: Any, **more: Any) -> None:
    given = {} if seconds is None else {str(Condition.objects.get().id): seconds}
    version(of, rate_card, number, effective_at, settlement_windows=given, **more)


def test_windows_are_those_of_the_versions_in_force(ticket: Condition) -> None:
    """Two contracts: the first with versions that override, do not, and override again past its end."""
    acme, beta, standard = customer(), customer("beta"), card()
    first = contract(acme, standard, JAN, MARCH)
    second = contract(acme, standard, MARCH)
    contract(beta, standard)
    window(first, standard, 2, FEB, 60)
    window(first, standard, 3, FEB + 2 * TICK, None)
    window(first, standard, 4, APRIL, 9)
    window(second, standard, 2, APRIL, 7)
    us = 1_000_000
    assert terms.overrides([acme.id, beta.id]).windows == {
        (acme.id, ticket.id): ((FEB, FEB + 2 * TICK, 60 * us), (APRIL, None, 7 * us))
    }
    assert terms.overrides([beta.id]).windows == {}
    assert terms.overrides([]).windows == {}


def test_of_two_versions_with_one_start_the_later_made_has_the_windows(ticket: Condition) -> None:
    acme, standard = customer(), card()
    made = contract(acme, standard, JAN, MARCH)
    window(made, standard, 2, JAN, 60)
    window(made, standard, 3, JAN, 0)
    assert terms.overrides([acme.id]).windows == {(acme.id, ticket.id): ((JAN, MARCH, 0),)}


def test_a_contract_is_cut_where_another_version_comes_into_force() -> None:
    chance = random.Random(7)
    for _ in range(300):
        ends_at = chance.choice([None, JAN + 8 * TICK])
        versions = sorted((JAN + chance.randrange(-3, 12) * TICK, n) for n in range(chance.randrange(1, 6)))
        found = list(terms.cut(JAN, ends_at, versions))
        assert [start for start, _, _ in found] == [JAN, *(end for _, end, _ in found[:-1])]
        assert found[-1][1] == ends_at
        for step in range(8 if ends_at else 15):
            at = JAN + step * TICK
            expected = max((one for one in versions if one[0] <= at), default=versions[0])[1]
            assert [n for start, end, n in found if start <= at and (end is None or at < end)] == [expected]


def test_late_evidence_follows_the_version_in_force_at_the_instant_of_meeting() -> None:
    acme, standard = customer(), card()
    made = contract(acme, standard, JAN, MARCH)
    version(made, standard, 2, FEB, late_evidence="review")
    version(contract(acme, standard, MARCH), standard, 2, MARCH, late_evidence="ignore")
    agreed = terms.load([acme.id])
    found = {at: agreed.late_evidence_at(acme.id, at) for at in (JAN - TICK, JAN, FEB - TICK, FEB, MARCH - TICK, MARCH)}
    assert found == {
        JAN - TICK: "reverse", JAN: "reverse", FEB - TICK: "reverse", FEB: "review", MARCH - TICK: "review",
        MARCH: "ignore",
    }  # fmt: skip
    assert agreed.late_evidence_at(acme.id + 1, JAN) == "reverse"


def test_queries_do_not_grow_with_customers(ticket: Condition, django_assert_num_queries: Any) -> None:
    standard = card()
    price(ticket, "1", rate_card_version=standard.versions.get())
    ids = []
    for number in range(20):
        one = customer(f"c{number}")
        price(ticket, "2", contract_version=contract(one, standard).versions.get())
        ids.append(one.id)
    with django_assert_num_queries(7):
        agreed = terms.load(ids)
    with django_assert_num_queries(0):
        for one in ids:
            for _ in range(3):
                assert len(agreed.prices_at(one, ticket.id, MARCH)) == 2
                assert agreed.billing_key(one, MARCH, APRIL)
    with django_assert_num_queries(1):
        terms.grace_by_customer(ids)
    with django_assert_num_queries(1):
        assert terms.overrides(ids).windows == {}
    with thawed():
        ContractVersion.objects.update(settlement_windows={str(ticket.id): 60})
    with django_assert_num_queries(2):
        assert len(terms.overrides(ids).windows) == 20
