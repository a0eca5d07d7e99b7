"""A dump, taken half way and restored into a fresh server, goes on where it stopped."""

import os
import subprocess
from pathlib import Path
from typing import Any

from billing_project import embedded
from billing_project.embedded import postgres
from tests.project.running import Home, home
from tests.project.test_demo import rows

# Run in a home by `manage.py shell`: a part of the demo's log goes straight to intake, within an import.
SEND = """
import msgspec
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from billing_project.demo import helpdesk
from outcomes import imports
from outcomes.intake import accept
from outcomes.models import Import
from outcomes.wire import read_events

LOG = helpdesk.events(settings.BASE_DIR / "samples/helpdesk")

def send(name, start, end):
    now = timezone.now()
    found = Import.objects.filter(name=name).first() or imports.open_import(name=name, now=now)
    results = accept(read_events(map(msgspec.json.encode, LOG[start:end])), now=now, import_id=found.id)
    return {result.status for result in results}

def close(name):
    imports.close_import(Import.objects.get(name=name).id, now=timezone.now())
"""

# Some months are settled and billed; of an open import some events are evaluated and some wait.
HALF_WAY = """
call_command("apply", "samples/helpdesk")
send("first", 0, 2000)
close("first")
call_command("pump", "--once")
send("second", 2000, 3200)
call_command("pump", "--once")  # evaluates, and settles nothing of what the open import touches
send("second", 3200, 4000)
"""
# The same events again are known; the rest comes, the import is closed, all is settled and billed.
GO_ON = """
call_command("audit", "--all")
assert "accepted" not in send("second", 3200, 4000)
assert "accepted" not in send("second", 1900, 2000)
send("second", 4000, 5600)
close("second")
call_command("pump", "--once")
call_command("audit", "--all")
"""

# What stands in the end. How it came about may differ: batches take their partitions in an order of their own.
OUTCOMES = """
SELECT c.key, s.key, o.state, o.met_by_seq, o.met_at, o.settles_at, o.settled_at, o.ended_by_seq, o.ended_at,
       o.quantity, o.dimensions::text, o.due_at, o.queue::text
FROM outcomes_outcome o JOIN outcomes_subject s ON s.id = o.subject_id JOIN contracts_customer c ON c.id = o.customer_id
WHERE o.state NOT IN ('superseded', 'reversed')
ORDER BY 1, 2, o.first_time, o.first_seq
"""
EVENTS = "SELECT seq, event_id FROM outcomes_event ORDER BY seq"
INVOICES = """
SELECT i.number, c.key, i.status, i.period_start, i.total_minor,
       (SELECT array_agg((l.title, l.dimensions, l.quantity, l.amount_minor, l.outcome_count)::text ORDER BY l.position)
        FROM invoicing_invoiceline l WHERE l.invoice_id = i.id)
FROM invoicing_invoice i JOIN contracts_customer c ON c.id = i.customer_id ORDER BY 1
"""


def do(here: Home, code: str) -> None:
    status, said = here.run("shell", "-v0", "-c", SEND + code)
    assert status == 0, said


def dump(path: Path, to: Path) -> None:
    address = embedded.ensure_postgres(path)
    argv = [str(postgres.find_binaries() / "pg_dump"), "--format=custom", "--file", str(to), address.url]
    subprocess.run(argv, check=True)


def restore(source: Path, path: Path) -> None:
    address = embedded.ensure_postgres(path)
    argv = [str(postgres.find_binaries() / "pg_restore"), "--exit-on-error", "--no-owner", "--dbname", address.url]
    subprocess.run([*argv, str(source)], check=True, env=os.environ | {"LC_ALL": "C"})


def end_state(path: Path) -> dict[str, list[Any]]:
    return {query: rows(path, query) for query in (OUTCOMES, EVENTS, INVOICES)}


def test_a_restored_dump_goes_on_where_it_stopped(tmp_path: Path, installed: Path) -> None:
    archive = tmp_path / "half.dump"
    with home(tmp_path / "here", like=installed) as here, home(tmp_path / "there") as there:
        do(here, HALF_WAY)
        counts = (
            "SELECT (SELECT count(*) FROM outcomes_pending), count(*) FILTER (WHERE state = 'provisional'), "
            "count(*) FILTER (WHERE state = 'confirmed') FROM outcomes_outcome"
        )
        [(pending, provisional, confirmed)] = rows(here.path, counts)
        assert pending > 500
        assert provisional > 100
        assert confirmed > 100
        assert len(rows(here.path, INVOICES)) > 10
        before = rows(here.path, EVENTS)

        dump(here.path, archive)
        restore(archive, there.path)
        assert rows(there.path, counts) == [(pending, provisional, confirmed)]
        for one in (here, there):
            do(one, GO_ON)
        assert end_state(there.path) == end_state(here.path)
        assert rows(there.path, "SELECT count(*) FROM outcomes_pending") == [(0,)]
        # Acceptance numbers go on: those of the dump are not given again.
        after = rows(there.path, EVENTS)
        assert after[: len(before)] == before
        assert len({seq for seq, _ in after}) == len({name for _, name in after}) == len(after) > len(before)
