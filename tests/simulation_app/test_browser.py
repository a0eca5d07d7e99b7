"""Simulations, shadows and the forecast in a real Chromium, as a product person asks and reads them."""

import csv
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from access.times import format_rfc3339
from outcomes import event_types
from outcomes.evaluation import evaluate_waiting
from settlement.sweep import settle_due
from simulation import jobs, shadows
from tests.browser import (
    NEEDS_CHROMIUM,
    Open,
    chromium,
    committed_rows,
    looks,
    new,
    picture,
    server,
    violations,
)
from tests.outcomes import factories
from tests.simulation_app.shop import DAY, HOUR, open_shop

__all__ = ["chromium", "new", "server"]

pytestmark = NEEDS_CHROMIUM

FRAME = {"landmark-one-main", "region"}
"""What unfold's own frame around every page of the admin breaks: it has no landmarks."""


@pytest.fixture(scope="module")
def petra(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """Who may simulate. In the last 70 days 50 tickets of two customers were closed, ten of which came back after 2
    hours and ten after 30; three of today are in their window yet.
    """
    with committed_rows(django_db_blocker), override_settings(MAX_EVENT_AGE_DAYS=10_000):
        event_types.forget()  # those of the tests before, whose rows are gone
        open_shop("acme", "globex")
        now = timezone.now()
        told = []
        for n in range(50):
            ticket, closed = f"T-{n}", now - 70 * DAY + n * DAY
            told.append(("closed", ticket, closed))
            if n % 5 < 2:
                told.append(("reopened", ticket, closed + (2 if n % 5 else 30) * HOUR))
        told += [("closed", f"N-{n}", now - n * HOUR) for n in range(1, 4)]
        factories.send(
            [
                {
                    "id": f"{kind}-{ticket}", "type": kind, "time": when, "data": {"ticket": ticket},
                    "customer": "acme" if int(ticket[2:]) % 3 else "globex",
                }
                for kind, ticket, when in told
            ],
            now=now,
        )  # fmt: skip
        evaluate_waiting(now)
        settle_due(now)
        made = User.objects.create_user("petra", is_staff=True)
        made.groups.add(Group.objects.get(name="finance"))
        yield made


@pytest.fixture(scope="module")
def seen(petra: User) -> User:
    return petra


def work() -> None:
    """What workers do, until nothing waits."""
    while jobs.work_on_one(timezone.now()):
        pass


def looked_at(new: Open, petra: User, path: str, name: str, words: str) -> None:
    """By day, by night and on a phone: nothing to complain of for axe, and nothing to scroll sideways but tables."""
    page = new(petra)
    for look in looks(page, path):
        expect(page.get_by_text(words).first).to_be_visible()
        drawn(page)
        # Once the charts have shrunk.
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
        picture(page, f"{name}-{look}")
        assert [one for one in violations(page) if one[0] not in FRAME] == [], look


def drawn(page: Page) -> None:
    """Wait until every chart has something on its canvas."""
    page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('canvas.chart')];"
        " return all.length && all.every(one => { const blank = document.createElement('canvas');"
        " blank.width = one.width; blank.height = one.height; return one.toDataURL() !== blank.toDataURL(); }); }"
    )


def test_a_simulation_is_asked_watched_read_and_exported(new: Open, petra: User, tmp_path: Path) -> None:
    page = new(petra)
    page.goto("/admin/simulation/simulation/")
    page.get_by_role("link", name="Add simulation").click()
    now = timezone.now()
    start, end = (now - 80 * DAY).date(), now.date()
    for name, value in (("start_0", start), ("start_1", "00:00:00"), ("to_0", end), ("to_1", "00:00:00")):
        page.locator(f"[name={name}]").fill(str(value))
    for name in ("window_of", "window_curve"):
        page.locator(f"[name={name}]").select_option(label="solved")
    page.locator("[name=window]").fill("48 hours")
    page.get_by_role("button", name="Save", exact=True).click()
    [made] = jobs.with_progress()
    page.goto(f"/admin/simulation/simulation/{made.pk}/change/")
    expect(page.get_by_text("Waiting, asked by petra")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_visible()
    work()
    page.reload()
    expect(page.get_by_text("Done, asked by petra")).to_be_visible()
    # 20 of 50 tickets came back, half of them inside a window of two days only.
    expect(page.get_by_text("10 lost, of which 10 did not hold in force either")).to_be_visible()
    drawn(page)
    assert page.locator("canvas.chart").count() == 2, "by month, and the curve"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    download.value.save_as(tmp_path / "found.csv")
    rows = list(csv.DictReader((tmp_path / "found.csv").read_text("utf-8-sig").splitlines()))
    assert {row["customer"] for row in rows} == {"acme", "globex"}
    total = made.__class__.objects.get(pk=made.pk).result
    assert sum(int(row["before_reversed"]) for row in rows) == total["before"]["reversed"] == 10
    assert sum(int(row["after_reversed"]) for row in rows) == 0
    looked_at(new, petra, f"/admin/simulation/simulation/{made.pk}/change/", "simulation", "In total")
    page.get_by_role("link", name="Delete it").click()
    expect(page.get_by_text("Delete the simulation?").first).to_be_visible()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("Delete it: done.")).to_be_visible()
    assert not jobs.with_progress().exists()


def test_a_shadow_is_read(new: Open, petra: User) -> None:
    now = timezone.now()
    draft = {"name": "two days", "from": format_rfc3339(now - 80 * DAY)}
    made = shadows.create(draft | {"contract": {"settlement_windows": {"solved": "48 hours"}}}, by="petra", now=now)
    for later in (now, now + timedelta(seconds=1)):
        shadows.look_due(later)
        work()
    shadows.look_due(timezone.now())
    looked_at(new, petra, f"/admin/simulation/shadow/{made.pk}/change/", "shadow", "Running difference of outcomes")


def test_the_forecast_is_read(new: Open, petra: User) -> None:
    page = new(petra)
    page.goto("/admin/simulation/simulation/")
    page.get_by_role("link", name="Forecast").click()
    expect(page.get_by_role("heading", name="In total")).to_be_visible()
    total = page.get_by_role("region", name="In total")
    assert "USD" in total.inner_text() and "unknown" not in total.inner_text()
    page.get_by_role("region", name="By customer").get_by_role("link", name="globex").click()
    expect(page.get_by_role("heading", name="In total, globex")).to_be_visible()
    assert "acme" not in page.get_by_role("region", name="By customer").inner_text()
    page.goto("/admin/simulation/simulation/forecast/?customer=nobody")
    expect(page.get_by_role("alert")).to_contain_text("nobody")
    looked_at(new, petra, "/admin/simulation/simulation/forecast/", "forecast", "How surely an outcome is confirmed")
