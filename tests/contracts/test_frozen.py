"""The database behind the refusals: what use cases refuse, and agreed terms that somebody would change past them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, models, transaction

from contracts.agreements import ContractFields, create_contract
from contracts.conditions import create_condition_version
from contracts.domain.rating import CommitmentInput, FeeInput
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
)
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from tests.contracts.conftest import NOW, TICKET
from tests.contracts.test_races import Other

DAY = timedelta(days=1)
TERMS = (ConditionVersion, ConditionCustomer, RateCardVersion, ContractVersion, Price, Fee, Commitment)
PARENTS = (Condition, RateCard, Contract)


@pytest.fixture
def agreed(ticket: str, acme: Customer) -> Contract:
    """One row of everything that was agreed."""
    create_condition_version(TICKET.replace("resolved_ticket", "own"), effective_from=None, now=NOW, customers=["acme"])
    put_rate_card("standard", RateCardFields("USD", (PriceFields(ticket, Decimal(2)),)), now=NOW)
    own = (PriceFields(ticket, Decimal(1), match={"priority": "high"}),)
    fees = (FeeInput("Seats", "seats", Decimal(1), Decimal(5)),)
    committed = (CommitmentInput(Decimal(9), "advance", None, NOW + 30 * DAY),)
    given = ContractFields("acme", "standard", NOW, NOW + 30 * DAY, prices=own, fees=fees, commitments=committed)
    return create_contract(given, now=NOW).value


def refused(call: Callable[[], Any], saying: str) -> None:
    with pytest.raises(DatabaseError, match=saying) as refusal, transaction.atomic():
        call()
    assert isinstance(refusal.value, IntegrityError)


@pytest.mark.parametrize("model", [*TERMS, *PARENTS])
def test_no_column_of_agreed_terms_changes(agreed: Contract, model: Any) -> None:
    """But for the end of a contract: each column set to another value of its type is refused."""
    for field in model._meta.concrete_fields:
        change = partial(_change, model, field)
        if (model, field.column) == (Contract, "ends_at"):
            with transaction.atomic():
                change()
                transaction.set_rollback(True)
        else:
            refused(change, "never change|is said when it is made")


def _change(model: type[models.Model], field: Any) -> None:
    column, target = field.column, field.target_field if field.is_relation else field
    changed = {
        models.DateTimeField: f"coalesce(\"{column}\", now()) + interval '1 day'",
        models.JSONField: "'{\"1\": 60}'",
        models.UUIDField: "gen_random_uuid()",
        models.BooleanField: f'NOT "{column}"',
    }
    value = next((sql for kind, sql in changed.items() if isinstance(target, kind)), None)
    if value is None and isinstance(target, (models.CharField, models.TextField)):
        value = "'EUR'"
    value = value or f'coalesce("{column}", 0) + 1'
    with connection.cursor() as cursor:
        cursor.execute(f'UPDATE {model._meta.db_table} SET "{column}" = {value}')
        assert cursor.rowcount > 0


@pytest.mark.parametrize("model", [*TERMS, *PARENTS])
def test_no_row_of_agreed_terms_goes(agreed: Contract, model: Any) -> None:
    def delete() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {model._meta.db_table}")

    def truncate() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what is left to check would refuse it, too
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")

    assert model.objects.exists()
    refused(delete, "never change")
    refused(truncate, "never change")


def test_contracts_of_one_customer_do_not_overlap(agreed: Contract) -> None:
    def contract(start: datetime, end: datetime | None) -> Callable[[], Any]:
        fields = {"customer": agreed.customer, "currency": "USD", "created_at": NOW}
        return lambda: Contract.objects.create(starts_at=start, ends_at=end, **fields)

    end = agreed.ends_at
    assert end is not None
    tick = timedelta(microseconds=1)
    for span in [(NOW - DAY, NOW + tick), (NOW - DAY, None), (NOW + DAY, NOW + 2 * DAY), (end - tick, None)]:
        refused(contract(*span), "contracts_do_not_overlap")
    refused(contract(end + DAY, end + DAY), "contract_ends_after_start")
    refused(contract(end + DAY, end), "contract_ends_after_start|lower bound must be")
    contract(NOW - DAY, NOW)()
    contract(end, None)()
    refused(lambda: Contract.objects.filter(pk=agreed.pk).update(ends_at=end + tick), "contracts_do_not_overlap")


@pytest.mark.parametrize("wrong", ["-0.000000000001", "NaN", "1e15"])
def test_a_price_is_a_sane_amount(agreed: Contract, wrong: str) -> None:
    refused(lambda: _version(agreed, wrong), "price_is_a_sane_amount")


def _version(agreed: Contract, *unit_prices: str) -> None:
    version = ContractVersion.objects.create(
        contract=agreed,
        number=agreed.versions.count() + 1,
        effective_at=NOW + DAY,
        rate_card=RateCard.objects.get(),
        created_at=NOW,
    )
    condition = Condition.objects.get(slug="resolved_ticket")
    with connection.cursor() as cursor:
        for unit_price in unit_prices:
            cursor.execute(
                "INSERT INTO contracts_price (contract_version_id, condition_id, model, unit_price, match, tiers, pool)"
                " VALUES (%s, %s, 'per_unit', %s, '{}', '[]', '')",
                [version.pk, condition.pk, unit_price],
            )


def test_two_prices_for_the_same_are_refused(agreed: Contract) -> None:
    refused(lambda: _version(agreed, "1", "2"), "one_price_per_contract_and_match")


def test_a_price_has_one_home(agreed: Contract) -> None:
    condition = Condition.objects.get(slug="resolved_ticket")
    homes: list[dict[str, Any]] = [
        {},
        {"rate_card_version": RateCardVersion.objects.get(), "contract_version": ContractVersion.objects.get()},
    ]
    for home in homes:
        refused(
            lambda home=home: Price.objects.create(  # type: ignore[misc]
                condition=condition, model="per_unit", unit_price=Decimal(1), match={"priority": "p"}, **home
            ),
            "price_has_one_home",
        )


def test_one_currency(agreed: Contract, acme: Customer) -> None:
    card = RateCard.objects.get()
    refused(
        lambda: RateCardVersion.objects.create(
            rate_card=card, number=2, currency="EUR", effective_from=NOW + DAY, created_at=NOW
        ),
        "in another currency",
    )
    foreign = RateCard.objects.create(key="foreign", created_at=NOW)
    version = {"contract": agreed, "number": 2, "effective_at": NOW + DAY, "rate_card": foreign, "created_at": NOW}
    with transaction.atomic():
        ContractVersion.objects.create(**version)  # a card without a version has no currency yet
        refused(
            lambda: RateCardVersion.objects.create(rate_card=foreign, number=1, currency="EUR", created_at=NOW),
            "in another currency",
        )
        transaction.set_rollback(True)
    RateCardVersion.objects.create(rate_card=foreign, number=1, currency="EUR", created_at=NOW)
    refused(lambda: ContractVersion.objects.create(**version), "in another currency")


def test_a_condition_made_for_all_is_not_limited_later(agreed: Contract) -> None:
    for condition in Condition.objects.all():
        rows = Condition.objects.filter(pk=condition.pk)
        refused(lambda rows=rows, to=not condition.limited: rows.update(limited=to), "when it is made")  # type: ignore[misc]


# --- across transactions ----------------------------------------------------------------------------------------------


@pytest.fixture
def in_use(committed: None) -> Contract:
    Customer.objects.create(key="acme", name="acme", currency="USD", partition=0, created_at=NOW)
    create_condition_version(TICKET, effective_from=None, now=NOW)
    put_rate_card("standard", RateCardFields("USD", (PriceFields("resolved_ticket", Decimal(2)),)), now=NOW)
    return create_contract(ContractFields("acme", "standard", NOW), now=NOW).value


def _add_price(**home: Any) -> Price:
    condition = Condition.objects.get()
    return Price.objects.create(
        condition=condition, model="per_unit", unit_price=Decimal(9), match={"priority": "high"}, **home
    )


def test_no_price_joins_a_version_in_use(in_use: Contract) -> None:
    for home in ({"rate_card_version": RateCardVersion.objects.get()}, {"contract_version": in_use.versions.get()}):
        refused(lambda home=home: _add_price(**home), "prices of a version in use")  # type: ignore[misc]
    assert Price.objects.count() == 1


def test_prices_join_the_version_that_their_transaction_makes_also_in_savepoints(in_use: Contract) -> None:
    with transaction.atomic():
        with transaction.atomic():
            version = RateCardVersion.objects.create(
                rate_card=RateCard.objects.get(), number=2, currency="USD", effective_from=NOW + DAY, created_at=NOW
            )
        with transaction.atomic():
            _add_price(rate_card_version=version)
    assert version.prices.count() == 1
    refused(lambda: _add_price(rate_card_version=version), "one_price_per_card|prices of a version in use")


def test_a_version_that_another_transaction_is_making_is_not_seen(in_use: Contract) -> None:
    """Not yet there for others, and frozen once it is: nobody but its maker gives it prices."""
    with transaction.atomic():
        version = RateCardVersion.objects.create(
            rate_card=RateCard.objects.get(), number=2, currency="USD", effective_from=NOW + DAY, created_at=NOW
        )
        other = Other(lambda: _add_price(rate_card_version_id=version.pk))
        other.start()
        other.join(60)
        assert not other.is_alive()
    assert isinstance(other.result, IntegrityError)
    assert version.prices.count() == 0


def test_what_is_agreed_may_be_emptied_by_tests_alone(in_use: Contract) -> None:
    """`empty_tables` passes the triggers; whoever connects as the application does not."""
    refused(lambda: Price.objects.all().delete(), "never change")
    refused(lambda: in_use.versions.all().delete(), "never change|violates foreign key")
