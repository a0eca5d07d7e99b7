"""The condition workbench in a real Chromium, as a product person uses it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from contracts.models import Condition, ConditionVersion
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
from tests.workbench.shop import TEXT, TRIED, open_shop, user_of

__all__ = ["chromium", "new", "server"]

pytestmark = NEEDS_CHROMIUM
WIDE = {"width": 1440, "height": 1000}
# The frame of the admin's pages is unfold's, and has no landmarks.
WCAG = [rule for rule in RULES if rule != "best-practice"]


class Shop(NamedTuple):
    condition: Condition
    engineer: User
    viewer: User

    @property
    def address(self) -> str:
        return f"/admin/workbench/condition/{self.condition.pk}/"


@pytest.fixture(scope="module")
def shop(django_db_setup: None, django_db_blocker: Any) -> Iterator[Shop]:
    with committed_rows(django_db_blocker):
        yield Shop(open_shop(timezone.now()), user_of("engineer"), user_of("viewer"))


@pytest.fixture(scope="module")
def seen(shop: Shop) -> Shop:
    return shop


def write(page: Page, old: str, text: str) -> None:
    """Write over the first place where the editor's text says ``old``, as by hand."""
    page.evaluate(
        """old => {
            const walker = document.createTreeWalker(document.querySelector(".cm-content"), NodeFilter.SHOW_TEXT);
            for (let node = walker.nextNode(); node; node = walker.nextNode()) {
                const at = node.data.indexOf(old);
                if (at >= 0) return getSelection().setBaseAndExtent(node, at, node, at + old.length);
            }
            throw new Error(`no ${old}`);
        }""",
        old,
    )
    page.keyboard.type(text)


def test_from_a_slip_to_a_version_in_force(new: Open, shop: Shop) -> None:
    """Break the condition in force, mend it by a click, give it another window, see what that would have billed, see
    the difference, publish it from a date.
    """
    page = new(shop.engineer, viewport=WIDE)
    page.goto(f"/admin/contracts/condition/{shop.condition.pk}/change/")
    page.get_by_role("link", name="Open in the workbench").click()
    editor = page.get_by_role("textbox", name="Text")
    expect(editor).to_contain_text('bill when ticket.closed where closed_by is "agent"')
    expect(page.locator(".cm-content .tok-keyword").first).to_have_text("outcome")
    picture(page, "workbench-light-1440")

    write(page, "void", "viod")
    finding = page.locator(".wb-finding")
    expect(finding).to_contain_text("line 6, column 1: `viod` is unknown here. Did you mean `void`?")
    expect(page.locator(".cm-lintRange-error")).to_have_text("viod")
    expect(page.locator(".cm-lint-marker-error")).to_be_visible()
    expect(page.get_by_text("Once the text is a condition, what it means stands here.")).to_be_visible()
    assert violations(page, WCAG) == []
    picture(page, "workbench-broken-1440")
    finding.get_by_role("button", name="line 6, column 1").click()
    expect(editor).to_be_focused()
    finding.get_by_role("button", name="Mend it").click()
    expect(page.locator("#wb-findings")).to_have_text("✓ This is a condition, and nothing is amiss.")
    expect(page.locator("#wb-sentence")).to_contain_text("The charge becomes final 72 hours after this is reached.")

    write(page, "72", "24")
    expect(page.locator("#wb-sentence")).to_contain_text("The charge becomes final 24 hours after this is reached.")
    expect(page.locator(".wb-diff ins")).to_have_text("24")
    expect(page.locator(".wb-diff del")).to_have_text("72")
    globex = page.get_by_role("row").filter(has_text="ticket.closed-B")
    globex.get_by_text("confirmed").click()
    expect(globex.get_by_text('ticket.closed where closed_by is "agent"')).to_be_visible()

    page.get_by_role("button", name="Work it out").click()
    expect(page.locator("#wb-summary")).to_have_text(
        "solved: in force 1 outcome, 10.00 USD, tried 3 outcomes, 30.00 USD. Difference: +2 outcomes, +20.00 USD."
    )
    expect(page.get_by_role("row").filter(has_text="gained")).to_have_count(2)
    assert violations(page, WCAG) == []
    picture(page, "workbench-tried-1440")

    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Published, this becomes version 2 of solved, after version 1 of solved.")).to_be_visible()
    expect(page.get_by_text("Difference: +2 outcomes, +20.00 USD.")).to_be_visible()
    assert violations(page, WCAG) == []
    picture(page, "publish-light-1440")
    page.get_by_role("button", name="Publish it").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    date = timezone.now() + timedelta(days=10)
    page.locator("[name=effective_from_0]").fill(f"{date:%Y-%m-%d}")
    page.locator("[name=effective_from_1]").fill("06:00:00")
    page.get_by_label("Why").fill("Agreed with sales.")
    page.get_by_role("button", name="Publish it").click()
    expect(page.get_by_role("heading", name="Version 1 beside version 2")).to_be_visible()
    expect(page.locator(".wb-diff ins")).to_have_text("24")
    expect(page.get_by_text("Agreed with sales.")).to_be_visible()
    assert violations(page, WCAG) == [] and fits(page)
    picture(page, "versions-light-1440")
    version = ConditionVersion.objects.get(condition=shop.condition, number=2)
    assert version.effective_from == date.replace(hour=6, minute=0, second=0, microsecond=0)


def test_the_keyboard_goes_in_and_out(new: Open, shop: Shop) -> None:
    page = new(shop.viewer)
    page.goto("/admin/workbench/condition/")
    page.get_by_role("textbox", name="Text").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("outcome x\nper a\nbill when no b\n")
    expect(page.locator(".wb-finding")).to_contain_text("This is true before anything has happened")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="line 3, column 11")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("textbox", name="Text")).to_be_focused()
    expect(page.get_by_role("button", name="Publish")).to_have_count(0)


@pytest.mark.parametrize(("scheme", "viewport"), [("dark", DESK), ("light", PHONE)])
def test_dark_and_narrow(new: Open, shop: Shop, scheme: Any, viewport: Any) -> None:
    page = new(shop.engineer, viewport=viewport, color_scheme=scheme)
    page.goto(shop.address)
    write(page, "72", "36")
    write(page, "void", "viod")
    expect(page.locator(".wb-finding")).to_be_visible()
    assert fits(page) and violations(page, WCAG) == []
    picture(page, f"workbench-broken-{scheme}-{viewport['width']}")
    page.get_by_role("button", name="Mend it").click()
    page.get_by_role("button", name="Work it out").click()
    expect(page.locator("#wb-summary")).to_be_visible()
    assert fits(page) and violations(page, WCAG) == []
    picture(page, f"workbench-{scheme}-{viewport['width']}")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("button", name="Publish it")).to_be_visible()
    assert fits(page) and violations(page, WCAG) == []
    picture(page, f"publish-{scheme}-{viewport['width']}")


def test_without_scripts(new: Open, shop: Shop) -> None:
    page = new(shop.viewer, java_script_enabled=False)
    page.goto(shop.address)
    area = page.get_by_role("textbox", name="Text")
    area.fill(TEXT.replace("void", "viod"))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Did you mean `void`?")).to_be_visible()
    page.get_by_role("button", name="Mend it").click()
    expect(area).to_have_value(TEXT)
    area.fill(TRIED)
    page.get_by_role("button", name="Work it out").click()
    expect(page.locator("#wb-summary")).to_contain_text("Difference: +2 outcomes, +20.00 USD.")
    expect(area).to_have_value(TRIED)
