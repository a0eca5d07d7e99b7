"""One customer's failure parks that customer with a reason and never the run; a database that is gone ends the run, and
the next one goes on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, OperationalError, connection

from contracts.models import Customer
from invoicing import billing
from invoicing.models import Invoice, LineOutcome, ParkedCustomer
from outcomes.models import Outcome
from tests.contracts.test_races import meanwhile
from tests.invoicing.conftest import World
from tests.invoicing.deals import at, sound
from tests.invoicing.image import parked
from tests.outcomes.test_races import uncommitted

FEBRUARY, MARCH, MARCH_1, APRIL_1 = at("2026-02-10"), at("2026-03-10"), at("2026-03-01"), at("2026-04-01")
BETA = "(SELECT id FROM contracts_customer WHERE key = 'beta')"
BETAS_CONTRACT = f"(SELECT id FROM contracts_contract WHERE customer_id = {BETA})"
NOT_BILLED = "id NOT IN (SELECT outcome_id FROM invoicing_lineoutcome)"
BETAS_VERSION = f"(SELECT id FROM contracts_contractversion WHERE contract_id = {BETAS_CONTRACT})"


@pytest.fixture
def world(committed_world: World) -> World:
    """acme, beta and gamma, billed in this order: each has prices of its own, an invoice of February, an outcome that
    came late for it, and one of March.
    """
    for key in ("acme", "beta", "gamma"):
        customer = committed_world.customer(key)
        committed_world.contract(customer, overrides={"high": "3"})
        committed_world.outcome(customer, FEBRUARY)
    billing.run(now=MARCH_1)
    for customer in Customer.objects.all():
        committed_world.outcome(customer, FEBRUARY)
        committed_world.outcome(customer, MARCH)
    return committed_world


def edit(sql: str) -> None:
    """Behind every guard."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET session_replication_role = replica; {sql}; SET session_replication_role = origin")


def billed() -> dict[str, int]:
    """Outcomes of March's invoices, by customer key."""
    lines = LineOutcome.objects.filter(line__invoice__period_end=APRIL_1, live=True)
    found: dict[str, int] = {}
    for key in lines.values_list("line__invoice__customer__key", flat=True):
        found[key] = found.get(key, 0) + 1
    return found


def everything_is_billed() -> None:
    """By two runs: what came of the failure does not show any more."""
    assert billed() == {"acme": 2, "beta": 2, "gamma": 2}
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [f"HF-00000{n}" for n in range(1, 7)]
    assert parked() == {}
    sound(at("2026-04-05"))


# --- Parked -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoilt:
    what: str
    spoil: str
    mend: str
    reason: str


PARKED = [
    Spoilt(
        "an amount beyond what can be booked",
        f"UPDATE outcomes_outcome SET quantity = 1e20 WHERE customer_id = {BETA} AND {NOT_BILLED}",
        f"UPDATE outcomes_outcome SET quantity = 1 WHERE customer_id = {BETA}",
        "beyond the largest amount",
    ),
    Spoilt(
        "a quantity that is no number",
        f"UPDATE outcomes_outcome SET quantity = 'NaN' WHERE customer_id = {BETA}",
        f"UPDATE outcomes_outcome SET quantity = 1 WHERE customer_id = {BETA}",
        "InvalidOperation",
    ),
    Spoilt(
        "a currency that does not exist",
        f"UPDATE contracts_contract SET currency = 'XXX' WHERE customer_id = {BETA}",
        f"UPDATE contracts_contract SET currency = 'USD' WHERE customer_id = {BETA}",
        "'XXX' is not an ISO 4217 currency",
    ),
    Spoilt(
        "dimensions that are no object",
        f"UPDATE outcomes_outcome SET dimensions = '[1]' WHERE customer_id = {BETA}",
        f"""UPDATE outcomes_outcome SET dimensions = '{{"priority": "high"}}' WHERE customer_id = {BETA}""",
        "'list' object",
    ),
    Spoilt(
        "terms recorded on an invoice that cannot be read",
        f"UPDATE invoicing_invoice SET terms = '[7]' || terms WHERE customer_id = {BETA}",
        f"UPDATE invoicing_invoice SET terms = terms - 0 WHERE customer_id = {BETA}",
        "TypeError",
    ),
    Spoilt(
        "a price that fits nothing any more because its match is no object",
        f"UPDATE contracts_price SET match = '[]' WHERE contract_version_id = {BETAS_VERSION}",
        f"""UPDATE contracts_price SET match = '{{"priority": "high"}}' WHERE contract_version_id = {BETAS_VERSION}""",
        "'list' object",
    ),
    Spoilt(
        "a time zone that does not exist",
        f"UPDATE contracts_contractversion SET time_zone = 'Mars/Base' WHERE id = {BETAS_VERSION}",
        f"UPDATE contracts_contractversion SET time_zone = 'UTC' WHERE id = {BETAS_VERSION}",
        "Mars/Base",
    ),
]


@pytest.mark.parametrize("case", PARKED, ids=lambda case: case.what)
def test_what_only_one_customer_has_parks_that_one(world: World, case: Spoilt) -> None:
    edit(case.spoil)
    report = billing.run(now=APRIL_1)
    assert billed() == {"acme": 2, "gamma": 2}
    assert list(parked()) == ["beta"] and case.reason in parked()["beta"]
    assert (len(report.issued), len(report.parked)) == (2, 1)
    billing.run(now=APRIL_1)
    assert billed() == {"acme": 2, "gamma": 2}
    assert ParkedCustomer.objects.get().attempts == 2
    edit(case.mend)
    billing.run(now=APRIL_1)
    everything_is_billed()


def test_a_customer_who_is_being_changed_for_longer_than_we_wait_is_parked(world: World) -> None:
    with uncommitted(lambda: Customer.objects.select_for_update(no_key=True).get(key="beta")):
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        report = billing.run(now=APRIL_1)
        connection.close()
    assert len(report.issued) == 2 and "lock timeout" in parked()["beta"]
    billing.run(now=APRIL_1)
    everything_is_billed()


def test_a_transaction_that_another_one_overtook_parks_its_customer(world: World) -> None:
    """Where an administrator made the isolation of all transactions stricter."""

    def run() -> billing.RunReport:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return billing.run(now=APRIL_1)

    with meanwhile(run) as other:
        Customer.objects.filter(key="beta").update(email="new@example.com")
    assert len(other.result.issued) == 2 and "could not serialize access" in parked()["beta"]
    billing.run(now=APRIL_1)
    everything_is_billed()


def test_a_run_whose_connection_is_lost_after_it_committed_bills_nobody_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = connection._commit

    def unanswered() -> None:
        """The transaction is committed, and we never hear of it."""
        answers()
        monkeypatch.undo()
        connection.connection.close()
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(connection, "_commit", unanswered)
    report = billing.run(now=APRIL_1)
    assert [one.parked for one in report.parked] == ["OperationalError: server closed the connection unexpectedly"]
    assert billed() == {"acme": 2, "beta": 2, "gamma": 2}
    billing.run(now=APRIL_1)
    everything_is_billed()


def test_who_was_parked_and_owes_nothing_any_more_is_parked_no_longer(world: World) -> None:
    edit(PARKED[0].spoil)
    billing.run(now=APRIL_1)
    assert list(parked()) == ["beta"]
    Outcome.objects.filter(customer__key="beta").update(state="reversed")
    billing.run(now=APRIL_1)
    assert parked() == {}


# --- Ended ------------------------------------------------------------------------------------------------------------


@contextmanager
def gone_while_betas_lines_are_written() -> Iterator[None]:
    """The database ends every connection and takes no new one, until the block ends."""
    name = connection.settings_dict["NAME"]
    seen = 0

    def elsewhere(sql: str, *parameters: str) -> None:
        parameters_of_it = connection.get_connection_params() | {"dbname": "postgres"}
        with psycopg.connect(**parameters_of_it, autocommit=True) as other:
            other.execute(sql, parameters)

    def statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        seen += "INSERT INTO invoicing_lineoutcome" in sql
        if seen == 2:
            elsewhere(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            elsewhere("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", name)
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(statement):
            yield
    finally:
        elsewhere(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        connection.close()


def test_a_database_that_is_gone_ends_the_run_and_the_next_one_goes_on(world: World) -> None:
    with pytest.raises((OperationalError, InterfaceError)), gone_while_betas_lines_are_written():
        billing.run(now=APRIL_1)
    assert billed() == {"acme": 2} and parked() == {}
    billing.run(now=APRIL_1)
    everything_is_billed()


def test_the_command_says_that_the_database_is_gone(world: World) -> None:
    told = pytest.raises(CommandError, match=r"(?s)does not answer.*Done are 1 of 3 customers.*Run it again")
    with told, gone_while_betas_lines_are_written():
        call_command("bill", "--until", "2026-04-01T00:00:00Z")
    call_command("bill", "--until", "2026-04-01T00:00:00Z")
    everything_is_billed()
