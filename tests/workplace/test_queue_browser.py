"""Working through the review queue in a real Chromium, as finance staff do: see the money, confirm, next."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.utils import timezone
from playwright.sync_api import Page, expect

from outcomes.models import Outcome
from settlement.models import Dispute
from tests.browser import (
    NEEDS_CHROMIUM,
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
from tests.workplace.queue_seller import DAY, HOUR, bill, make_seller

__all__ = ["chromium", "new", "server"]

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def maria(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """Of finance. Of acme's eleven tickets of last month, invoiced, one is disputed; one of today has no quantity."""
    with committed_rows(django_db_blocker):
        now = timezone.now()
        this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        seller = make_seller((this - DAY).replace(day=1))
        seller.agree("acme", "graduated")
        tickets = seller.solve("acme", 11, seller.month + DAY)
        bill(this)
        seller.dispute(tickets[4], "Nobody solved this: it came back on Monday", now=this + HOUR)
        seller.tell("acme", "closed", "T-4711", now - timedelta(minutes=10), units=None)
        made = User.objects.create_user("maria", is_staff=True)
        made.groups.add(Group.objects.get(name="finance"))
        yield made


@pytest.fixture(scope="module")
def seen(maria: User) -> User:
    return maria


def look(page: Page, name: str) -> None:
    """What every page is asked for."""
    assert fits(page), name
    picture(page, name)
    assert violations(page, within="#queue") == [], name


def test_it_looks_well(new: Open, maria: User) -> None:
    page = new(maria)
    for name in looks(page, "/admin/queue/"):
        expect(page.get_by_text("Nobody solved this")).to_be_visible()
        look(page, f"queue-{name}")
    page.get_by_role("link", name="Ticket solved: acme").click()
    page.get_by_label("Uphold").check()
    page.get_by_label("Why").fill("it did come back")
    page.get_by_role("button", name="Show what it moves").click()
    for name in looks(page):
        expect(page.get_by_role("cell", name="-1.00").first).to_be_visible()
        look(page, f"queue-item-{name}")


def test_a_person_works_through_it(new: Open, maria: User) -> None:
    """From the front page: the dispute is upheld, then the quantity given, and nothing waits any more."""
    page = new(maria)
    page.goto("/admin/")
    page.get_by_role("link", name="Open the review queue").click()
    page.get_by_role("link", name="Ticket solved: acme").click()
    expect(page.get_by_text("Nobody solved this")).to_have_count(2)  # what it is, and among the evidence
    page.get_by_label("Uphold").check()
    page.get_by_label("Why").fill("it did come back")
    page.get_by_role("button", name="Show what it moves").click()
    expect(page.locator("#moves")).to_contain_text("USD 1.00 more is given back, by a credit note of the next run.")
    assert Dispute.objects.get().status == "raised"
    page.get_by_role("button", name="Confirm: Uphold").click()
    # The next one.
    expect(page.get_by_text("Uphold: done. 1 more waits.")).to_be_visible()
    expect(page.get_by_text("Its quantity is unknown").first).to_be_visible()
    assert Dispute.objects.get().status == "upheld"
    page.get_by_label("Complete").check()
    page.get_by_label("Why").fill("asked the agent")
    page.get_by_role("button", name="Show what it moves").click()
    expect(page.get_by_role("alert")).to_have_text("Give a figure.")
    page.get_by_label("The quantity").fill("4")
    page.get_by_role("button", name="Show what it moves").click()
    expect(page.locator("#moves")).to_contain_text("USD 8.00 more is expected")
    page.get_by_role("button", name="Confirm: Complete").click()
    expect(page.get_by_text("Nothing waits for a person")).to_be_visible()
    picture(page, "queue-empty")
    assert Outcome.objects.get(subject__key="T-4711").quantity == 4
    noted = LogEntry.objects.order_by("pk").values_list("user__username", "change_message")
    assert list(noted) == [("maria", "Uphold: it did come back"), ("maria", "Complete: asked the agent")]
