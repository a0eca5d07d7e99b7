"""The ten steps of docs/finance.md, done in a browser by the people it names, in its order."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from billing_project.tasks import audit
from contracts.customers import CustomerFields, put_customer
from contracts.models import Contract
from invoicing import billing
from invoicing.models import CreditNote, Invoice, InvoiceLine
from outcomes.models import Outcome
from settlement.disputes import resolve
from settlement.models import Dispute
from tests.browser import NEEDS_CHROMIUM, Open, chromium, committed_rows, new, picture, server
from tests.project.test_structure import ROOT
from tests.workplace.queue_seller import DAY, HOUR, bill, make_seller

__all__ = ["chromium", "new", "server"]

pytestmark = NEEDS_CHROMIUM

VERIFIER = ROOT / "invoicing/evidence/verify_evidence.py"
STEPS = [line[3:] for line in (ROOT / "docs/finance.md").read_text().splitlines() if line.startswith("## ")]


@dataclass
class Month:
    """Who closes it, and when it began and ended. The one before is invoiced; of this one there are drafts."""

    maria: User
    otto: User
    start: datetime
    end: datetime


@pytest.fixture(scope="module")
def month(django_db_setup: None, django_db_blocker: Any) -> Iterator[Month]:
    """Acme: 5 tickets of the month before, invoiced, of which one is undone since; 13 of the month, one disputed and
    one without a quantity. Globex: 8 of the month. Initech: 3, without a contract.
    """
    with committed_rows(django_db_blocker), override_settings(INVOICE_GRACE_HOURS=24 * 60):
        end = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        start = (end - DAY).replace(day=1)
        seller = make_seller((start - DAY).replace(day=1))
        seller.agree("acme", "graduated", credit_notes="approval", net_days=14)
        seller.agree("globex", "per_unit")
        put_customer("initech", CustomerFields("USD", "Initech"), now=seller.month)
        undone, *_ = seller.solve("acme", 5, seller.month + DAY)
        with override_settings(INVOICE_GRACE_HOURS=0):
            bill(start)
        wrong = seller.dispute(undone, "It was the wrong ticket", now=start + HOUR)
        resolve(wrong.pk, "upheld", note="so it was", by="maria", now=start + 2 * HOUR)
        disputed, *_ = seller.solve("acme", 12, start + DAY)
        seller.tell("acme", "closed", "T-4711", start + 2 * DAY, units=None)
        seller.solve("globex", 8, start + DAY)
        seller.solve("initech", 3, start + DAY)
        bill(end)
        seller.dispute(disputed, "We never asked for it", now=end + HOUR)
        audit()
        people = []
        for name, role in (("maria", "finance"), ("otto", "approver")):
            one = User.objects.create_user(name, is_staff=True)
            one.groups.add(Group.objects.get(name=role))
            people.append(one)
        yield Month(*people, start, end)


@pytest.fixture(scope="module")
def seen(month: Month) -> Month:
    return month


def scheduler() -> None:
    """What goes on by itself, every few minutes."""
    assert billing.run(now=timezone.now()).parked == ()


def choose(page: Page, name: str, text: str) -> None:
    """Of an input that offers rows while one types."""
    page.locator(f"#id_{name} + .select2").click()
    page.locator(".select2-search__field").fill(text)
    page.locator(".select2-results__option", has_text=text).first.click()


def answer(page: Page, verb: str, **fields: str) -> None:
    """Fill what a page asks, and press its button."""
    for name, value in fields.items():
        page.locator(f"#content [name='{name}'], main [name='{name}']").first.fill(value)
    page.get_by_role("button", name=verb, exact=True).click()


def test_month_end(new: Open, month: Month) -> None:
    assert len(STEPS) == 10
    page = new(month.maria, viewport={"width": 1400, "height": 900})
    is_the_house_in_order(page)
    is_everything_counted(page, month)
    decide_what_waits(page)
    read_the_drafts(page)
    approve(new(month.otto))
    give(page, month)
    issue(page, month)
    are_they_out(page)
    what_is_overdue(page, month)
    hand_over(page, month)


def is_the_house_in_order(page: Page) -> None:
    page.goto("/admin/")
    page.get_by_role("button", name="Work them out anew").click()
    expect(page.get_by_text("The figures are as of now.")).to_be_visible()
    expect(page.get_by_text("invariants hold")).to_be_visible()
    expect(page.get_by_text("Look", exact=True)).to_have_count(0)
    picture(page, "month-overview")


def is_everything_counted(page: Page, month: Month) -> None:
    page.get_by_text("of 1 customer: the customer had no contract").click()
    page.get_by_role("link", name="Initech").click()
    page.goto("/admin/contracts/contract/add/")
    choose(page, "customer", "initech")
    page.locator("[name='rate_card']").select_option(label="standard")
    page.locator("[name='starts_at_0']").fill(f"{month.start:%Y-%m-%d}")
    page.locator("[name='starts_at_1']").fill("00:00:00")
    page.get_by_role("button", name="Agree", exact=True).click()
    assert Contract.objects.filter(customer__key="initech", starts_at=month.start).exists()
    scheduler()
    draft = Invoice.objects.get(customer__key="initech")
    assert (draft.status, draft.subtotal_minor) == ("draft", 600)


def decide_what_waits(page: Page) -> None:
    page.goto("/admin/queue/")
    picture(page, "month-queue")
    page.get_by_role("link", name="Ticket solved: acme").first.click()
    page.get_by_label("Reject").check()
    answer(page, "Show what it moves", reason="The log shows that they asked")
    page.get_by_role("button", name="Confirm: Reject").click()
    expect(page.get_by_text("Reject: done.")).to_be_visible()
    assert Dispute.objects.get(reason="We never asked for it").status == "rejected"
    page.goto("/admin/queue/?kind=complete")
    page.get_by_role("link", name="Ticket solved: T-4711").click()
    page.get_by_label("Complete").check()
    page.get_by_label("The quantity").fill("2")
    answer(page, "Show what it moves", reason="The agent's own notes")
    page.get_by_role("button", name="Confirm: Complete").click()
    assert Outcome.objects.get(subject__key="T-4711").quantity == 2
    scheduler()


def read_the_drafts(page: Page) -> None:
    page.goto("/admin/invoicing/invoice/?status__exact=draft")
    expect(page.get_by_role("link", name="Draft")).to_have_count(3)
    acme = Invoice.objects.get(customer__key="acme", status="draft")
    page.goto(f"/admin/invoicing/invoice/{acme.pk}/change/")
    # Ten at 2.00, and four at 1.00.
    expect(page.get_by_text("24.00").first).to_be_visible()
    picture(page, "month-draft")
    # Thirteen outcomes: twelve of one unit, and the one that a person gave two.
    page.get_by_role("link", name="13", exact=True).click()
    expect(page.locator("#result_list tbody tr")).to_have_count(13)
    page.get_by_role("link", name="T-4711").click()
    expect(page.get_by_role("list", name="Timeline")).to_be_visible()


def approve(page: Page) -> None:
    page.goto("/admin/invoicing/creditnote/?status__exact=draft")
    note = CreditNote.objects.get(status="draft")
    page.goto(f"/admin/invoicing/creditnote/{note.pk}/change/")
    expect(page.get_by_text("1 outcome taken back after it was invoiced").first).to_be_visible()
    page.get_by_role("link", name="Approve").click()
    page.get_by_role("button", name="Approve", exact=True).click()
    note.refresh_from_db()
    assert (note.status, note.total_minor) == ("issued", 200)


def give(page: Page, month: Month) -> None:
    old = Invoice.objects.get(customer__key="acme", period_end=month.start)
    page.goto(f"/admin/invoicing/invoice/{old.pk}/change/")
    page.get_by_role("link", name="Give goodwill").click()
    answer(page, "Give", amount="1.00", reason="A slow week")
    expect(page.get_by_text("Give: done.")).to_be_visible()
    assert CreditNote.objects.get(kind="goodwill").total_minor == 100


def issue(page: Page, month: Month) -> None:
    page.goto("/admin/invoicing/invoice/?status__exact=draft")
    page.locator("#action-toggle").check()
    page.locator("select[name='action']").select_option("issue_chosen")
    page.get_by_role("button", name="Run", exact=True).click()
    issued = Invoice.objects.filter(period_end=month.end)
    expect(page.get_by_text("Issued: 3.")).to_be_visible()
    assert sorted(issued.values_list("customer__key", "total_minor", "status")) == [
        ("acme", 2400, "issued"), ("globex", 1600, "issued"), ("initech", 600, "issued"),
    ]  # fmt: skip


def are_they_out(page: Page) -> None:
    page.goto("/admin/invoicing/invoice/")
    link = page.get_by_role("link", name="PDF").first.get_attribute("href")
    assert page.request.get(str(link)).body().startswith(b"%PDF")
    page.get_by_role("link", name="HF-000003").click()
    picture(page, "month-issued")
    with page.expect_download() as download:
        page.get_by_role("link", name="Evidence pack").click()
    packed = subprocess.run([sys.executable, VERIFIER, download.value.path()], capture_output=True, text=True)
    assert packed.returncode == 0, packed.stdout


def what_is_overdue(page: Page, month: Month) -> None:
    page.goto("/admin/invoicing/invoice/?overdue=yes")
    old = Invoice.objects.get(customer__key="acme", period_end=month.start)
    page.get_by_role("link", name=str(old)).click()
    page.get_by_role("link", name="Mark as paid").click()
    answer(page, "Mark as paid", reason="By bank transfer")
    old.refresh_from_db()
    assert old.status == "paid"


def hand_over(page: Page, month: Month) -> None:
    page.goto("/admin/invoicing/invoice/")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    assert len(rows) == Invoice.objects.count() == 4
    lines = InvoiceLine.objects.filter(period_start=month.start)
    assert sum(lines.values_list("amount_minor", flat=True)) == 2400 + 1600 + 600
    total = sum(Decimal(row["Total"]) for row in rows if row["period_start"].startswith(f"{month.start:%Y-%m-%d}"))
    assert total == Decimal("46.00")
    page.goto("/admin/")
    page.get_by_role("button", name="Work them out anew").click()
    before = page.get_by_text("Period before").locator("xpath=following-sibling::dd[1]")
    expect(before).to_have_text("46.00")
    call_command("audit")
