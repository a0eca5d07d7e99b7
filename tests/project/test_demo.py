"""The main job: killed in the middle, run to its end, run again; each time the totals of an independent recount. And
a walk through the admin over its data.
"""

import os
import re
import signal
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from django.db import transaction

from billing_project import embedded
from billing_project.management.commands.demo import to_render
from invoicing import pdf
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import CreditApplication, Invoice
from invoicing.void import void
from tests.browser import CHROMIUM
from tests.invoicing.conftest import make_world, world
from tests.project.demo_walk import walk
from tests.project.recount import Totals
from tests.project.running import ROOT, Home, home
from tests.project.test_roles import issued

__all__ = ["issued", "make_world", "world"]

TOTALS: Totals = yaml.safe_load((ROOT / "billing_project/demo/totals.yaml").read_text())
LATER = datetime(2026, 4, 2, tzinfo=UTC)


def rows(path: Path, query: str) -> list[tuple]:
    with psycopg.connect(embedded.ensure_postgres(path).url) as connection:
        return connection.execute(query).fetchall()


def check_outcomes(path: Path, totals: Totals = TOTALS) -> None:
    """The outcomes are those of the recount; beliefs that were withdrawn are none."""
    by_state = "SELECT state, count(*) FROM outcomes_outcome WHERE state <> 'superseded' GROUP BY state"
    states = dict(rows(path, by_state))
    assert states == totals["by_state"]
    by_priority = rows(
        path,
        "SELECT dimensions->>'priority', count(*) FROM outcomes_outcome WHERE state = 'confirmed' GROUP BY 1",
    )
    assert dict(by_priority) == totals["by_priority"]
    by_month = rows(
        path,
        "SELECT to_char(settled_at AT TIME ZONE 'UTC', 'YYYY-MM'), count(*) FROM outcomes_outcome "
        "WHERE state = 'confirmed' GROUP BY 1",
    )
    assert dict(by_month) == totals["by_month"]


def check_events(path: Path, count: int = 119_922) -> None:
    """Every event of a customer is stored once and evaluated."""
    [(events, identities, pending)] = rows(
        path,
        "SELECT (SELECT count(*) FROM outcomes_event), (SELECT count(*) FROM outcomes_event_identity), "
        "(SELECT count(*) FROM outcomes_pending)",
    )
    assert (events, identities, pending) == (count, count, 0)


def check(path: Path) -> None:
    check_outcomes(path)
    check_events(path)
    assert rows(path, "SELECT reason, customer_key, count(*) FROM outcomes_inboxitem GROUP BY 1, 2") == [
        ("unknown_customer", "?", 76)
    ]
    [(billed,)] = rows(path, "SELECT sum(quantity)::int FROM invoicing_invoiceline")
    [(linked,)] = rows(path, "SELECT count(DISTINCT outcome_id) FROM invoicing_lineoutcome WHERE live")
    assert billed == linked == TOTALS["by_state"]["confirmed"]
    [(invoices, numbers, first, last)] = rows(
        path,
        "SELECT count(*), count(DISTINCT number), min(number), max(number) "
        "FROM invoicing_invoice WHERE status = 'issued'",
    )
    assert invoices == numbers == 549
    assert (first, last) == ("HF-000001", "HF-000549")
    assert len(list((path / "invoices").glob("*.pdf"))) == 549


def killed_in_the_middle(here: Home) -> None:
    """Start the demo and `kill -9` it once some thousand events are stored."""
    demo = here.start("demo")
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("Done."):
            break
    while True:
        [(stored,)] = rows(here.path, "SELECT count(*) FROM outcomes_event")
        if stored > 10_000:
            break
        assert demo.poll() is None, demo.stdout.read()
    os.killpg(demo.pid, signal.SIGKILL)
    demo.wait()
    demo.stdout.close()


def test_killed_then_run_then_run_again(tmp_path: Path) -> None:
    with home(tmp_path) as here:
        killed_in_the_middle(here)
        status, said = here.run("demo")
        assert status == 0, said
        assert "Every figure agrees" in said
        assert re.search(r"Invoice HF-\d{6} to Location 204", said)
        assert "→ confirmed, by clock: settle" in said
        check(tmp_path)
        made = {path: path.stat().st_mtime_ns for path in (tmp_path / "invoices").glob("*.pdf")}

        status, said = here.run("demo")
        assert status == 0, said
        assert made == {path: path.stat().st_mtime_ns for path in made}, "nothing is set again that says the same"
        assert "0 events newly accepted, 119,922 known already, 76 to the inbox" in said
        check(tmp_path)
        if CHROMIUM is not None:
            walk(here)


@pytest.mark.django_db
def test_a_pdf_is_made_where_none_is_or_it_may_have_changed(issued: Invoice, settings: Any, tmp_path: Path) -> None:
    settings.HOME = tmp_path
    assert to_render() == [issued]
    pdf.store(issued.id)
    assert to_render() == []
    with transaction.atomic():
        void(issued.id, now=LATER)
        assert to_render() == [issued]
        transaction.set_rollback(True)
    assert to_render() == []
    goodwill(Goodwill(issued.id, "a slow answer", Decimal("0.50")), now=LATER, by="maria")
    assert CreditApplication.objects.get().invoice == issued and to_render() == [issued]
