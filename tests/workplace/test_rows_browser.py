"""Customers, outcomes and lists in a real Chromium, as finance staff go from one to the other."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone
from playwright.sync_api import Page, expect

from invoicing import billing
from invoicing.models import Invoice
from outcomes.models import Outcome
from settlement import disputes, holds
from tests.browser import (  # fmt: skip
    NEEDS_CHROMIUM,
    RULES,
    Open,
    chromium,
    committed_rows,
    fits,
    looks,
    new,
    picture,
    server,
    violations,
)
from tests.invoicing.conftest import make_world
from workplace.models import SavedFilter

__all__ = ["chromium", "new", "server"]

pytestmark = NEEDS_CHROMIUM
# What unfold's frame around every page lacks (a landmark, a heading of the first level) is not ours to mend here.
WCAG = [rule for rule in RULES if rule != "best-practice"]
# Nor are the button in a list's search box, and links in its read-only fields in the dark.
UNFOLDS = ("#searchbar-submit", ".text-link")


def wrong(page: Page) -> list[Any]:
    """What axe finds in what is ours."""
    found = [
        (rule, [target for target in targets if not str(target[-1]).endswith(UNFOLDS)])
        for rule, targets in violations(page, WCAG)
    ]
    return [one for one in found if one[1]]


@pytest.fixture(scope="module")
def maria(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """Of finance; acme has an invoice of last month and outcomes of this one, one held and one disputed."""
    with committed_rows(django_db_blocker):
        now = timezone.now()
        this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        world = make_world()
        acme = world.customer("acme-berlin", name="Acme", email="ap@acme.example", address="1 Road\nBerlin")
        world.contract(acme, overrides={"high": "3.00"})
        billed = world.outcomes(acme, 10, this - timedelta(days=5))[0]
        billing.run(now=this + timedelta(minutes=1))
        world.outcomes(acme, 3, this, met=this)
        world.outcomes(acme, 2, now + timedelta(days=2), met=this, state="provisional", priority="low")
        placed = holds.place(holds.Target(outcome=billed.pk), reason="A look first", by="otto", now=this)
        holds.release(placed.pk, note="Looked", by="otto", now=this + timedelta(hours=2))
        disputes.raise_dispute(billed.pk, reason="It was spam", by="acme", now=this + timedelta(hours=5))
        made = User.objects.create_user("maria", is_staff=True)
        made.groups.add(Group.objects.get(name="finance"))
        yield made


@pytest.fixture(scope="module")
def seen(maria: User) -> User:
    return maria


def test_from_a_search_to_a_file(new: Open, maria: User, tmp_path: Path) -> None:
    page = new(maria, accept_downloads=True)
    page.goto("/admin/")
    # Type a customer's key, press Enter, be there.
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").press_sequentially("ACME-b")
    expect(page.locator("#command-results-list li.active")).to_contain_text("acme-berlin")
    page.keyboard.press("Enter")
    expect(page.locator("#running")).to_contain_text("USD 9.00")
    for name in ("contract", "invoices", "credit", "disputes", "holds", "stripe", "portal", "events", "journal"):
        expect(page.locator(f"#{name}")).to_be_visible()
    expect(page.locator("#disputes")).to_contain_text("It was spam")
    assert wrong(page) == []
    page.get_by_role("link", name="Line by line").click()
    expect(page.get_by_role("heading", name="As it stands")).to_be_visible()
    assert wrong(page) == []
    # Its outcomes in their window, kept under a name.
    page.go_back()
    page.locator("#outcomes").get_by_role("link", name="2", exact=True).click()
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    page.get_by_text("Save these filters").click()
    page.get_by_label("Name", exact=True).fill("Acme, in its window")
    page.get_by_label("For all who see this list").check()
    page.get_by_role("button", name="Save", exact=True).click()
    saved = page.get_by_role("link", name="Acme, in its window (shared)")
    expect(saved).to_have_attribute("aria-current", "page")
    assert wrong(page) == []
    # The list as a file.
    with page.expect_download() as coming:
        page.get_by_role("button", name="Export as CSV").click()
    coming.value.save_as(tmp_path / "outcomes.csv")
    text = (tmp_path / "outcomes.csv").read_text("utf-8-sig")
    assert len(text.splitlines()) == 3 and text.count("provisional") == 2 and "acme-berlin" in text
    page.goto("/admin/outcomes/outcome/")
    page.get_by_role("link", name="Acme, in its window (shared)").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Remove the saved filters").click()
    expect(page.get_by_role("link", name="Acme, in its window")).to_have_count(0)
    assert not SavedFilter.objects.exists()


def test_pages_to_be_looked_at(new: Open, maria: User) -> None:
    page = new(maria)
    outcome = Outcome.objects.exclude(disputes=None).get()
    for name, address in {
        "customer": f"/admin/contracts/customer/{outcome.customer_id}/change/",
        "outcome": f"/admin/outcomes/outcome/{outcome.pk}/change/",
        "list": "/admin/outcomes/outcome/?state__exact=provisional",
        "why": f"/admin/outcomes/outcome/{outcome.pk}/explain_this/",
        "invoice": f"/admin/invoicing/invoice/{Invoice.objects.get().pk}/change/",
    }.items():
        for look in looks(page, address):
            if name == "outcome":
                expect(page.get_by_role("list", name="Timeline")).to_contain_text("Held with its outcome")
            picture(page, f"rows-{name}-{look}")
            assert wrong(page) == [], (name, look)
            assert fits(page), (name, look)
