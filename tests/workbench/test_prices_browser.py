"""A finance person in a real Chromium: a version of a rate card and an amendment, looked at before they hold."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone
from playwright.sync_api import Page, expect

from contracts.models import Contract, ContractVersion, RateCardVersion
from invoicing import billing
from tests.browser import (
    DESK,
    NEEDS_CHROMIUM,
    PHONE,
    RULES,
    Open,
    chromium,
    committed_rows,
    fits,
    new,
    picture,
    server,
    violations,
)
from tests.workbench.world import real_world

__all__ = ["chromium", "new", "server"]

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def maria(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """Of finance. Last month acme was billed 30 at 2.00 and beta 12; of this month there are a few."""
    with committed_rows(django_db_blocker):
        this = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        before = (this - timedelta(days=1)).replace(day=1)
        world = real_world()
        for key, count in (("acme", 30), ("beta", 12)):
            customer = world.customer(key)
            world.contract(customer, starts_at=before)
            world.outcomes(customer, count, before + timedelta(days=12), met=before + timedelta(days=11))
            world.outcomes(customer, 4, this, met=this)
        billing.run(now=this + timedelta(minutes=1))
        made = User.objects.create_user("maria", is_staff=True)
        made.groups.add(Group.objects.get(name="finance"))
        yield made


@pytest.fixture(scope="module")
def seen(maria: User) -> User:
    return maria


def drawn(page: Page, chart: str, label: str) -> list[tuple[float, float]]:
    """The points of one line of a chart, as Chart.js has them."""
    found: list[Any] = page.evaluate(
        """([chart, label]) => {
            const canvas = document.querySelector(`canvas[data-chart="${chart}"]`);
            const set = Chart.getChart(canvas).data.datasets.find((one) => one.label === label);
            return set.data.map((point) => [Number(point.x), Number(point.y)]);
        }""",
        [chart, label],
    )
    return [(x, y) for x, y in found]


def arrives(page: Page, chart: str, label: str, last: tuple[int, int]) -> None:
    """Wait until a line of a chart ends there."""
    page.wait_for_function(
        """([chart, label, x, y]) => {
            const canvas = document.querySelector(`canvas[data-chart="${chart}"]`);
            const set = canvas && Chart.getChart(canvas)?.data.datasets.find((one) => one.label === label);
            const point = set?.data.at(-1);
            return point && Number(point.x) === x && Number(point.y) === y;
        }""",
        arg=[chart, label, *last],
    )


def sound(page: Page) -> None:
    """Nothing that breaks WCAG but for unfold's own links in what is read only, and no scrolling sideways."""
    found = [
        (rule, ours)
        for rule, nodes in violations(page, [rule for rule in RULES if rule != "best-practice"])
        if (ours := [target for target in nodes if not any("text-link" in one for one in target)])
    ]
    assert found == [] and fits(page)


def test_a_further_version_of_a_rate_card(new: Open, maria: User) -> None:
    page = new(maria, viewport=DESK, color_scheme="light")
    page.goto("/admin/contracts/ratecard/")
    page.get_by_role("link", name="standard").click()
    expect(page.get_by_role("heading", name="What version 1 comes to")).to_be_visible()
    page.get_by_role("link", name="New version").click()

    # The price of high priority by volume: the curve appears, and moves when a tier does.
    row = page.locator("[data-row]").filter(has=page.locator("[name='prices-0-condition']")).first
    row.locator("[name='prices-0-model']").select_option("volume")
    row.locator("[name='prices-0-unit_price']").fill("")
    row.locator("summary", has_text="Tiers").click()
    for name, value in (("0-up_to", "20"), ("0-unit_price", "2"), ("1-unit_price", "1.50")):
        row.locator(f"[name='prices-0-tiers-{name}']").fill(value)
    expect(page.locator("[data-slot='curve-prices-0'] canvas")).to_have_count(2)
    arrives(page, "prices-0-total", "as entered", (30, 45))
    assert drawn(page, "prices-0-total", "as entered") == [(0, 0), (20, 40), (20, 30), (30, 45)]
    assert drawn(page, "prices-0-total", "in force") == [(0, 0), (30, 60)]
    row.locator("[data-details] summary").click()
    row.locator("[name='prices-0-tiers-1-unit_price']").fill("1")
    arrives(page, "prices-0-total", "as entered", (30, 30))
    expect(row.locator("[data-details]")).to_have_attribute("open", "")  # as it was left

    # A slip is told without leaving the page.
    row.locator("[name='prices-0-tiers-0-up_to']").fill("-1")
    expect(page.locator("[data-slot='preview']")).to_contain_text("It does not hold yet")
    row.locator("[name='prices-0-tiers-0-up_to']").fill("20")
    expect(page.locator("[data-slot='preview']")).to_contain_text("can be put into force")

    page.get_by_role("button", name="Preview").click()
    told = page.get_by_role("region", name="Last closed periods", exact=True)
    # acme: 30 at 1.00 instead of 2.00; beta's 12 are in the first tier.
    expect(told).to_contain_text("54.00 USD instead of 84.00 USD: -30.00 USD")
    expect(told.get_by_role("row").nth(1)).to_contain_text("acme")
    sound(page)
    picture(page, "prices-card-light-1100")
    assert RateCardVersion.objects.count() == 1

    page.set_viewport_size(PHONE)
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")  # once the charts have shrunk
    picture(page, "prices-card-light-320")
    page.set_viewport_size(DESK)

    page.get_by_role("button", name="Put it into force").click()
    expect(page.get_by_role("heading", name="What version 2 comes to")).to_be_visible()
    assert drawn(page, "1-total", "version 1") == [(0, 0), (30, 60)]
    sound(page)
    picture(page, "prices-card-page-light-1100")
    dark = new(maria, viewport=DESK, color_scheme="dark")
    dark.goto(page.url)
    sound(dark)
    picture(dark, "prices-card-page-dark-1100")


def test_an_amendment_of_a_contract(new: Open, maria: User) -> None:
    contract = Contract.objects.get(customer__key="acme")
    page = new(maria, viewport=DESK, color_scheme="dark")
    page.goto(f"/admin/contracts/contract/{contract.pk}/change/")
    expect(page.get_by_role("region", name="Running period", exact=True)).to_contain_text("8.00")
    sound(page)
    picture(page, "contract-page-dark-1100")
    page.get_by_role("link", name="Amend").click()

    start: datetime = contract.starts_at
    page.locator("[name='effective_at_0']").fill(f"{start:%Y-%m-%d}")
    page.locator("[name='effective_at_1']").fill("00:00:00")
    page.locator("[name='discount_percent']").fill("10")
    expect(page.locator("[data-slot='preview']")).to_contain_text("Press Preview for what it makes of the running")
    page.get_by_role("button", name="Preview").click()
    running = page.get_by_role("region", name="Running period", exact=True)
    expect(running.locator("[data-corrections]")).to_contain_text("6.00 USD less: it was invoiced: a credit note")
    expect(running).to_contain_text("-0.80")
    assert ContractVersion.objects.filter(contract=contract).count() == 1
    expect(page.get_by_role("region", name="Versions of the terms, as a table")).to_contain_text("2 (as entered)")
    sound(page)
    picture(page, "contract-amend-dark-1100")
    page.set_viewport_size(PHONE)
    assert fits(page)
    picture(page, "contract-amend-dark-320")
    page.set_viewport_size(DESK)
    page.get_by_role("button", name="Amend").click()
    expect(page.get_by_role("region", name="Versions of the terms, as a table")).to_contain_text("discount")
    assert ContractVersion.objects.filter(contract=contract).count() == 2
