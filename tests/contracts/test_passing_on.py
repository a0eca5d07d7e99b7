"""Contracts that have another system invoice what is confirmed (`pass_on`)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from contracts import terms
from contracts.agreements import ContractFields, create_contract
from contracts.amendments import amend_contract
from contracts.changes import Kind
from contracts.domain.rating import CommitmentInput, DiscountInput, FeeInput
from contracts.models import Contract, Customer
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from contracts.timeline import Amendment
from tests.contracts.conftest import NOW, Call
from tests.contracts.test_amendments import problems
from tests.database import thawed

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
LATER, NEXT = NOW + timedelta(days=100), datetime(2199, 1, 1, tzinfo=UTC)
OWN = (PriceFields("resolved_ticket", Decimal(1)),)

MONEY: list[tuple[str, Any, Any]] = [
    ("prices", OWN, ()),
    ("discount", DiscountInput(percent=Decimal(5)), None),
    ("minimum", Decimal(100), None),
    ("cap", Decimal(0), None),
    ("fees", (FeeInput("Platform", "recurring", Decimal(20)),), ()),
    ("pools", {"tickets": Decimal(5)}, {}),
    ("trial", True, False),
    ("progressive_threshold", Decimal(250), None),
]


@pytest.fixture(autouse=True)
def card(ticket: str) -> None:
    put_rate_card("standard", RateCardFields("USD", (PriceFields(ticket, Decimal(2)),)), now=NOW)


def given(**changes: Any) -> ContractFields:
    return ContractFields(**{"customer": "acme", "rate_card": "standard", "starts_at": START, **changes})


def amend(contract: Contract, effective_at: datetime, **changes: Any) -> Any:
    return amend_contract(contract.pk, Amendment(effective_at, changes), now=NOW)


def spans(customer: Customer) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pass_on, starts_at, ends_at FROM ({terms.PASSING_ON}) p WHERE customer_id = %s"
                       " ORDER BY starts_at", [customer.pk])  # fmt: skip
        return cursor.fetchall()


@pytest.mark.parametrize(("name", "said", "nothing"), MONEY)
def test_terms_of_money_beside_it_are_refused_and_can_be_taken_away(
    acme: Customer, name: str, said: Any, nothing: Any
) -> None:
    both = given(pass_on="lago_events", **{name: said})
    assert problems(lambda: create_contract(both, now=NOW)) == (422, [(name, "not_used")])
    prices = () if name == "prices" else (PriceFields("resolved_ticket", Decimal(1), pool="tickets"),)
    with_pool = {"pools": said, "prices": prices} if name == "pools" else {name: said}
    contract = create_contract(given(**with_pool), now=NOW).value
    found = problems(lambda: amend(contract, LATER, pass_on="lago_events"))
    assert found == (422, [(one, "not_used") for one in with_pool][::-1])
    taken = {"prices": (), name: nothing}
    assert amend(contract, LATER, pass_on="lago_events", **taken).kind is Kind.CHANGED
    assert spans(acme) == [("lago_events", LATER, None)]


def test_a_card_that_draws_on_pools_asks_for_none(acme: Customer) -> None:
    drawing = PriceFields("resolved_ticket", Decimal(2), pool="tickets")
    put_rate_card("pooled", RateCardFields("USD", (drawing,)), now=NOW)
    assert problems(lambda: create_contract(given(rate_card="pooled"), now=NOW))[1] == [("pools", "unknown_pool")]
    assert create_contract(given(rate_card="pooled", pass_on="stripe_meter_events"), now=NOW).kind is Kind.CREATED


def test_it_and_a_commitment_that_runs_are_refused_whichever_comes_first(acme: Customer) -> None:
    whole = given(commitments=(CommitmentInput(Decimal(9), "advance"),), ends_at=NEXT)
    contract = create_contract(whole, now=NOW).value
    assert problems(lambda: amend(contract, LATER, pass_on="lago_events")) == (422, [("pass_on", "not_used")])

    Customer.objects.filter(pk=acme.pk).update(key="other")
    beta = Customer.objects.create(key="acme", name="A", currency="USD", partition=0, created_at=NOW)
    in_turn = given(
        commitments=(CommitmentInput(Decimal(9), "advance", None, LATER),),
        phases=(Amendment(LATER, {"pass_on": "lago_events"}),),
    )
    contract = create_contract(in_turn, now=NOW).value  # one ends where the other begins
    assert spans(beta) == [("lago_events", LATER, None)]
    before = LATER - timedelta(days=1)
    more = (CommitmentInput(Decimal(9), "advance", before),)
    assert problems(lambda: amend(contract, before, commitments=more)) == (422, [("commitments[0]", "not_used")])


def test_what_is_in_force_decides_and_has_no_prices(acme: Customer) -> None:
    phases = (Amendment(LATER, {"pass_on": "none"}),)
    contract = create_contract(given(pass_on="stripe_meter_events", phases=phases, ends_at=NEXT), now=NOW).value
    again = LATER + timedelta(days=30)
    amend(contract, again, pass_on="lago_events")
    amend(contract, again, net_days=3)  # of two with one start the later made is in force
    assert spans(acme) == [("stripe_meter_events", START, LATER), ("lago_events", again, NEXT)]
    read = terms.load([acme.pk])
    [agreement] = read.agreements(acme.pk)
    found = [(one.start, one.version.pass_on, len(one.prices)) for one in read.stretches(agreement)]
    assert found == [(START, "stripe_meter_events", 0), (LATER, "none", 1), (again, "lago_events", 0)]


def test_never_for_the_past(acme: Customer) -> None:
    contract = create_contract(given(), now=NOW).value
    past = NOW - timedelta(seconds=1)
    assert problems(lambda: amend(contract, past, pass_on="lago_events")) == (422, [("pass_on", "backdated")])
    assert amend(contract, NOW, pass_on="lago_events").kind is Kind.CHANGED


def test_the_database_refuses_both(acme: Customer) -> None:
    version = create_contract(given(pass_on="lago_events"), now=NOW).value.versions.get()
    for wrong in ({"minimum": 5}, {"trial": True}, {"pass_on": "elsewhere"}, {"collection_method": "by_hand"}):
        with pytest.raises(IntegrityError), thawed(), transaction.atomic():
            type(version).objects.filter(pk=version.pk).update(**wrong)


def test_over_http(call: Call, acme: Customer) -> None:
    body = {"customer": "acme", "rate_card": "standard", "starts_at": "2026-01-01T00:00:00Z", "minimum": "5.00"}
    status, made = call("POST", "/v1/contracts", body)
    assert (status, made["pass_on"], made["collection_method"]) == (201, "none", "send_invoice")
    path, change = (
        f"/v1/contracts/{made['id']}/amend",
        {"effective_at": "2198-01-01T00:00:00Z", "pass_on": "lago_events"},
    )
    status, answer = call("POST", path, change)
    [detail] = answer["error"]["details"]
    assert (status, detail["path"], detail["code"]) == (422, "minimum", "not_used")
    assert "take it away with null, or let pass_on be none" in detail["message"]
    change["minimum"] = None
    status, shown = call("POST", f"{path}?preview=true", change)
    assert [one for one in shown["differences"] if one["name"] == "pass_on"] == [
        {"name": "pass_on", "before": "none", "after": "lago_events"}
    ]
    assert call("POST", path, change)[1]["versions"][1]["pass_on"] == "lago_events"
