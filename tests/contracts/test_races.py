"""Two callers at once, on two real connections: what only the locks of the use cases decide."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from access.errors import ApiError
from contracts.agreements import ContractFields, create_contract
from contracts.amendments import amend_contract
from contracts.apply.run import apply_directory
from contracts.changes import Kind
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.models import ConditionVersion, Contract, ContractVersion, Customer, RateCardVersion
from contracts.prices import PriceFields
from contracts.rate_cards import RateCardFields, put_rate_card
from contracts.tax_rates import TaxRateFields, put_tax_rate
from contracts.timeline import Amendment
from tests.contracts.conftest import NOW, SAMPLES, TICKET

pytestmark = pytest.mark.usefixtures("committed")
SECOND = timedelta(seconds=1)
PATIENCE, PAUSE = 60.0, 0.002
"""Seconds until a call that does not come to its lock counts as stuck, and between two looks."""


class Other(threading.Thread):
    """Runs a call on a connection of its own; ``result`` is its answer or the exception it raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.result: Any = None
        self.pid: int | None = None
        self.connected = threading.Event()

    def run(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                self.pid = cursor.fetchone()[0]
            self.connected.set()
            self.result = self.call()
        except Exception as error:  # noqa: BLE001 - the test looks at whatever it was
            self.result = error
        finally:
            connection.close()

    def wait_until_blocked(self) -> None:
        """Until the server says that this connection waits for a lock: no guess about speed."""
        assert self.connected.wait(PATIENCE)
        with connection.cursor() as cursor:
            for _ in range(int(PATIENCE / PAUSE)):  # counted: the clock may be frozen
                cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [self.pid])
                if cursor.fetchone()[0]:
                    return
                if not self.is_alive():
                    break
                time.sleep(PAUSE)  # the processor is the other's
        raise AssertionError(f"was expected to wait for the first caller; answered {self.result!r}")


@contextmanager
def meanwhile(call: Callable[[], Any], *, then_roll_back: bool = False) -> Iterator[Other]:
    """The block runs first and keeps its transaction open until the other caller waits for it."""
    other = Other(call)
    with transaction.atomic():
        yield other
        other.start()
        other.wait_until_blocked()
        transaction.set_rollback(then_roll_back)
    other.join(PATIENCE)
    assert not other.is_alive()


def text(hours: int) -> str:
    return TICKET.replace("72 hours", f"{hours} hours")


def test_two_first_puts_of_a_customer() -> None:
    with meanwhile(lambda: put_customer("acme", CustomerFields("EUR"), now=NOW)) as other:
        assert put_customer("acme", CustomerFields("USD"), now=NOW).kind is Kind.CREATED
    assert other.result.kind is Kind.CHANGED
    assert Customer.objects.get().currency == "EUR"


def test_a_tax_rate_is_not_changed_under_a_customer_that_chooses_it() -> None:
    for key in ("gst", "qst"):
        put_tax_rate(key, TaxRateFields(key, Decimal(5)), now=NOW)
    contained = TaxRateFields("gst", Decimal(5), inclusive=True)
    with meanwhile(lambda: put_tax_rate("gst", contained, now=NOW)) as other:
        put_customer("acme", CustomerFields("USD", tax_rates=("gst", "qst")), now=NOW)
    assert isinstance(other.result, ApiError) and other.result.code == "mixed_tax_rates"


def test_a_customer_that_chooses_a_tax_rate_waits_for_its_change() -> None:
    for key in ("gst", "qst"):
        put_tax_rate(key, TaxRateFields(key, Decimal(5)), now=NOW)
    chosen = CustomerFields("USD", tax_rates=("gst", "qst"))
    with meanwhile(lambda: put_customer("acme", chosen, now=NOW)) as other:
        put_tax_rate("gst", TaxRateFields("gst", Decimal(5), inclusive=True), now=NOW)
    assert isinstance(other.result, ApiError) and other.result.code == "mixed_tax_rates"
    assert not Customer.objects.exists()


def test_two_first_versions_of_a_condition() -> None:
    with meanwhile(lambda: create_condition_version(TICKET, effective_from=None, now=NOW + SECOND)) as other:
        first = create_condition_version(TICKET, effective_from=None, now=NOW).value
    assert (other.result.kind, other.result.value) == (Kind.UNCHANGED, first)


def test_two_next_versions_of_a_condition() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    with meanwhile(lambda: create_condition_version(text(2), effective_from=None, now=NOW + 2 * SECOND)) as other:
        create_condition_version(text(1), effective_from=None, now=NOW + SECOND)
    assert other.result.value.number == 3
    assert list(ConditionVersion.objects.values_list("number", flat=True)) == [1, 2, 3]


def test_a_version_rolled_back_leaves_no_gap() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    second = lambda: create_condition_version(text(2), effective_from=None, now=NOW + 2 * SECOND)  # noqa: E731
    with meanwhile(second, then_roll_back=True) as other:
        create_condition_version(text(1), effective_from=None, now=NOW + SECOND)
    assert other.result.value.number == 2


def test_many_versions_at_once_are_numbered_without_gaps() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    others = [
        Other(lambda n=n: create_condition_version(text(n), effective_from=NOW + n * SECOND, now=NOW))
        for n in range(1, 9)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert not [other.result for other in others if isinstance(other.result, Exception)]
    assert sorted(ConditionVersion.objects.values_list("number", flat=True)) == list(range(1, 10))


def test_two_applies_run_one_after_the_other() -> None:
    # The other one has its own order of customers in mind, or the same; it does not get to lock a single row.
    with meanwhile(lambda: apply_directory(SAMPLES / "quickstart", now=NOW)) as other:
        assert apply_directory(SAMPLES / "quickstart", now=NOW).written
    assert not other.result.anything_to_do and not other.result.problems


def card(unit_price: int) -> RateCardFields:
    return RateCardFields("USD", (PriceFields("resolved_ticket", Decimal(unit_price)),))


def test_two_versions_of_a_rate_card() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    with meanwhile(lambda: put_rate_card("standard", card(2), now=NOW + SECOND)) as other:
        put_rate_card("standard", card(1), now=NOW)
    assert (other.result.kind, other.result.value.number) == (Kind.NEW_VERSION, 2)
    assert RateCardVersion.objects.count() == 2


def test_two_contracts_over_the_same_span() -> None:
    create_condition_version(TICKET, effective_from=None, now=NOW)
    put_rate_card("standard", card(1), now=NOW)
    put_customer("acme", CustomerFields("USD"), now=NOW)
    given = ContractFields("acme", "standard", datetime(2026, 1, 1, tzinfo=UTC))
    with meanwhile(lambda: create_contract(given, now=NOW)) as other:
        create_contract(given, now=NOW)
    assert isinstance(other.result, ApiError)
    assert other.result.code == "overlapping_contract"
    assert Contract.objects.count() == 1


def test_two_amendments_of_a_contract() -> None:
    put_customer("acme", CustomerFields("USD"), now=NOW)
    create_condition_version(text(72), effective_from=None, now=NOW)
    put_rate_card("standard", card(2), now=NOW)
    contract = create_contract(ContractFields("acme", "standard", NOW), now=NOW).value

    def amend(**changes: Any) -> Any:
        return amend_contract(contract.pk, Amendment(NOW + SECOND, changes), now=NOW)

    with meanwhile(lambda: amend(net_days=7)) as other:
        amend(minimum=Decimal(5))
    # The second is numbered after the first, and builds on it.
    assert other.result.kind is Kind.CHANGED
    versions = ContractVersion.objects.order_by("number").values_list("number", "net_days", "minimum")
    assert list(versions) == [(1, 30, None), (2, 30, 5), (3, 7, 5)]


def test_the_same_amendment_twice_is_one() -> None:
    put_customer("acme", CustomerFields("USD"), now=NOW)
    create_condition_version(text(72), effective_from=None, now=NOW)
    put_rate_card("standard", card(2), now=NOW)
    contract = create_contract(ContractFields("acme", "standard", NOW), now=NOW).value
    amendment = Amendment(NOW + SECOND, {"net_days": 7}, NOW + 9 * SECOND)
    with meanwhile(lambda: amend_contract(contract.pk, amendment, now=NOW)) as other:
        amend_contract(contract.pk, amendment, now=NOW)
    assert other.result.kind is Kind.UNCHANGED
    assert ContractVersion.objects.count() == 2
