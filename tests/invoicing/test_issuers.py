"""Fifty who issue at once, billing runs and voids meanwhile, and a process killed while it holds the number series."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings as configured
from django.db import connection, transaction

from access.errors import ApiError
from invoicing import billing
from invoicing.content import content_hashes
from invoicing.issue import issue
from invoicing.models import Invoice, LineOutcome, NumberSeries
from invoicing.void import void
from outcomes.models import Outcome
from tests.contracts.test_races import Other
from tests.invoicing.conftest import World
from tests.invoicing.deals import at, sound
from tests.project.running import ROOT, wait_until

MONTHS = (at("2026-02-10"), at("2026-03-10"), at("2026-04-10"))
NOW, LATER = at("2026-05-02"), at("2026-05-04")
CONTRACTS, ISSUERS, VOIDERS, RUNS = 10, 50, 4, 3

# Issues one invoice in a transaction that it holds open, and the series with it, until it is killed.
HOLDER = """
import sys, time
from uuid import UUID
import django
django.setup()
from django.db import transaction
from access.times import parse_rfc3339
from invoicing.issue import issue
with transaction.atomic():
    print(issue(UUID(sys.argv[1]), now=parse_rfc3339(sys.argv[2])).number, flush=True)
    time.sleep(60)
"""


@contextmanager
def process_that_issues(draft: UUID) -> Iterator["subprocess.Popen[str]"]:
    address = connection.settings_dict
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ours = {
        "DJANGO_SETTINGS_MODULE": "billing_project.settings",
        "DATABASE_URL": f"postgres://{address['USER']}@/{address['NAME']}?host={address['HOST']}",
        "REDIS_URL": configured.REDIS_URL,
        "HOLDFAST_HOME": str(configured.HOME),
    }
    argv = [sys.executable, "-c", HOLDER, str(draft), NOW.isoformat()]
    with subprocess.Popen(argv, cwd=ROOT, env=kept | ours, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def one(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
NUMBERS = "SELECT coalesce(array_agg(number ORDER BY number), '{}') FROM invoicing_invoice WHERE number IS NOT NULL"


def gapless(count: int) -> list[str]:
    return [f"HF-{number:06d}" for number in range(1, count + 1)]


def try_some(status: str, what: Any, chance: random.Random, times: int) -> Counter[str]:
    """Do it to one of the invoices with this status, several times; what came of it."""
    came: Counter[str] = Counter()
    for _ in range(times):
        found = list(Invoice.objects.filter(status=status).values_list("id", flat=True))
        if not found:
            came["none"] += 1
            continue
        try:
            what(chance.choice(found), now=NOW)
            came["done"] += 1
        except ApiError as refusal:
            came[refusal.code] += 1
    return came


def test_fifty_issuers_number_without_a_gap_whoever_is_killed(committed_world: World, settings: Any) -> None:
    world = committed_world
    settings.INVOICE_GRACE_HOURS = 24 * 90
    with transaction.atomic():
        for number in range(CONTRACTS):
            customer = world.customer(f"c{number}")
            world.contract(customer, starts_at=at("2026-02-01"))
            for month in MONTHS:
                world.outcomes(customer, 2, month, met=month)
    drafts = billing.run(now=NOW).drafted
    assert len(drafts) == CONTRACTS * len(MONTHS)

    prefixes: list[list[str]] = []
    over = threading.Event()

    def watch() -> None:
        """What is committed, again and again."""
        while not over.wait(0.002):
            prefixes.append(one(NUMBERS))

    def issue_some(n: int) -> Counter[str]:
        return try_some("draft", issue, random.Random(n), 3)

    def void_some(n: int) -> Counter[str]:
        while not over.wait(0.005) and not one(NUMBERS):
            pass
        return try_some("issued", void, random.Random(n), 3)

    others = [
        *[Other(lambda n=n: issue_some(n)) for n in range(ISSUERS)],  # type: ignore[misc]
        *[Other(lambda n=n: void_some(n)) for n in range(VOIDERS)],  # type: ignore[misc]
        *[Other(lambda: [billing.run(now=NOW) for _ in range(2)]) for _ in range(RUNS)],
    ]
    watcher = Other(watch)
    with process_that_issues(drafts[0]) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "HF-000001\n"
        for other in (watcher, *others):
            other.start()
        wait_until(lambda: one(WAITING) >= ISSUERS // 2)
        assert one(NUMBERS) == []
        holder.send_signal(signal.SIGKILL)
        for other in others:
            other.join(60)
            assert not other.is_alive()
    over.set()
    watcher.join(60)
    assert watcher.result is None

    issuers, voiders, runs = others[:ISSUERS], others[ISSUERS:-RUNS], others[-RUNS:]
    issued, voided = (sum((other.result for other in some), Counter()) for some in (issuers, voiders))
    assert issued.keys() <= {"done", "none", "invoice_not_draft", "nothing_to_bill", "not_found"}
    assert voided.keys() <= {"done", "none", "invoice_not_open"}
    assert issued["done"] > CONTRACTS and voided["done"] > 0
    assert [report.parked for run in runs for report in run.result] == [()] * 2 * RUNS
    # Numbers are given in the order of commits: whenever one looks, there are all up to the latest.
    assert all(found == gapless(len(found)) for found in prefixes)
    assert len({len(found) for found in prefixes}) > 5
    assert one(NUMBERS) == gapless(issued["done"])

    settings.INVOICE_GRACE_HOURS = 0
    billing.run(now=LATER)
    assert one(NUMBERS) == gapless(NumberSeries.objects.get().next_number - 1)
    standing = Invoice.objects.exclude(status="void")
    # Fewer than the periods where a later draft was issued while an earlier period's outcomes waited: it takes them.
    assert len(drafts) - VOIDERS * 3 <= standing.count() == len(set(standing.values_list("contract", "period_start")))
    assert set(standing.values_list("status", flat=True)) == {"issued"}
    billed = LineOutcome.objects.filter(live=True)
    assert sorted(billed.values_list("outcome", flat=True)) == sorted(Outcome.objects.values_list("id", flat=True))
    every = list(Invoice.objects.all())
    assert content_hashes(every) == {invoice.id: invoice.content_hash for invoice in every}
    sound(LATER)
