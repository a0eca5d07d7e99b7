"""Two runs at once, on two real connections: one invoice a period, no gap and no duplicate among the numbers."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from invoicing import billing
from invoicing.issue import issue
from invoicing.models import Invoice, LineOutcome
from tests.invoicing.conftest import World

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls in threads that start together; answers results and exceptions in order."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def work(index: int) -> None:
        try:
            barrier.wait()
            results[index] = calls[index]()
        except Exception as error:  # noqa: BLE001  -- the test looks at whatever it was
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    return results


def test_parallel_runs_make_one_invoice_each_and_number_without_a_gap(committed_world: World) -> None:
    world = committed_world
    customers = [world.customer(f"customer-{number}") for number in range(12)]
    for customer in customers:
        world.contract(customer)
        world.outcomes(customer, 3, MARCH)

    reports = at_once(*[lambda: billing.run(now=APRIL_1)] * 4)

    assert all(isinstance(report, billing.RunReport) and not report.parked for report in reports)
    assert sum(len(report.issued) for report in reports) == 12
    numbers = sorted(Invoice.objects.values_list("number", flat=True))
    assert numbers == [f"HF-{number:06d}" for number in range(1, 13)]
    assert Invoice.objects.values("customer").distinct().count() == 12
    assert LineOutcome.objects.count() == 36


def test_issuers_of_different_customers_share_the_series(committed_world: World) -> None:
    # No customer's lock stands between these runs: only the series' own keeps the numbers apart.
    world = committed_world
    customers = [world.customer(f"customer-{number}") for number in range(16)]
    for customer in customers:
        world.contract(customer)
        world.outcome(customer, MARCH)

    def bill(part: int) -> Callable[[], billing.RunReport]:
        return lambda: billing.run(now=APRIL_1, only=[customer.id for customer in customers[part::4]])

    reports = at_once(*[bill(part) for part in range(4)])

    assert [len(report.issued) for report in reports] == [4, 4, 4, 4]
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [f"HF-{n:06d}" for n in range(1, 17)]


def test_a_second_run_waits_for_the_first_ones_customer(committed_world: World) -> None:
    # Not by luck of timing: the first transaction is held open while the second run is started.
    world = committed_world
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 2, MARCH)
    drafted, started = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            billing.run(now=APRIL_1)
            drafted.set()
            assert started.wait(60)

    def second() -> billing.RunReport:
        assert drafted.wait(60)
        threading.Timer(0.3, started.set).start()
        return billing.run(now=APRIL_1)

    _, report = at_once(first, second)
    assert report.issued == () and not report.parked
    assert list(Invoice.objects.values_list("number", flat=True)) == ["HF-000001"]


def test_two_people_issue_one_draft(committed_world: World, settings: Any) -> None:
    settings.INVOICE_GRACE_HOURS = 48
    world = committed_world
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 2, MARCH)
    (draft,) = billing.run(now=APRIL_1).drafted
    results = at_once(*[lambda: issue(draft, now=APRIL_1)] * 3)
    codes = sorted(getattr(result, "code", "") for result in results)
    assert codes == ["", "invoice_not_draft", "invoice_not_draft"]
    assert Invoice.objects.get().number == "HF-000001"
