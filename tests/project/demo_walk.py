"""A walk through the admin over the demo's data, in a real Chromium: what a person opens in the first ten minutes."""

from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.browser import DESK, fits, launched, pages, picture
from tests.project.running import Home, web_server

PASSWORD = "correct horse battery staple"
WIDE = {"width": 1400, "height": 900}
CUSTOMER = "Location 204"


def walk(here: Home) -> None:
    """Nothing is asked of another host, no page complains, and each figure is that of the demo's report."""
    status, said = here.run(
        "createsuperuser", "--noinput", "--username", "anna", "--email", "anna@example.org",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert status == 0, said
    with web_server(here) as port, launched() as browser, pages(browser, f"http://127.0.0.1:{port}") as new:
        page = new(viewport=WIDE)
        overview(page)
        every_list(page)
        customer_and_invoice(page)
        outcome(page)
        workbench(page)
        simulation(page)


def overview(page: Page) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("row", name="Issued")).to_contain_text("549")
    # What came from a location that nobody agreed on anything with.
    expect(page.get_by_role("link", name="Unknown customer")).to_be_visible()
    picture(page, "demo-overview")
    page.goto("/admin/queue/")
    expect(page.get_by_text("Nothing waits for a person")).to_be_visible()


def every_list(page: Page) -> None:
    """By the menu; some as they are drawn, on a screen that is small (with rows of all kinds:
    tests/project/test_lists.py).
    """
    links = page.locator("#nav-sidebar-apps a").evaluate_all("links => links.map(link => link.href)")
    paths = [urlsplit(link).path for link in links]
    assert len(paths) > 40
    for path in paths:
        assert page.request.get(path).status == 200, path
    page.set_viewport_size(DESK)
    for path in ("/admin/", "/admin/outcomes/outcome/", "/admin/outcomes/event/", "/admin/invoicing/invoice/"):
        page.goto(path)
        assert fits(page), path
    page.set_viewport_size(WIDE)


def customer_and_invoice(page: Page) -> None:
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").press_sequentially(CUSTOMER)
    expect(page.locator("#command-results-list li.active")).to_contain_text(CUSTOMER)
    page.keyboard.press("Enter")
    expect(page.locator("#invoices")).to_contain_text("HF-")
    picture(page, "demo-customer")
    page.locator("#invoices").get_by_role("link", name="HF-").first.click()
    expect(page.get_by_role("link", name="Evidence pack")).to_be_visible()
    expect(page.get_by_text("Incident resolved").first).to_be_visible()
    picture(page, "demo-invoice")


def outcome(page: Page) -> None:
    page.goto("/admin/outcomes/outcome/?state__exact=void")
    page.locator("#result_list tbody tr a").first.click()
    expect(page.get_by_role("list", name="Timeline")).to_be_visible()
    picture(page, "demo-outcome")


def workbench(page: Page) -> None:
    page.goto("/admin/contracts/condition/")
    page.locator("#result_list tbody tr a").first.click()
    page.get_by_role("link", name="Open in the workbench").click()
    expect(page.get_by_role("heading", name="In words")).to_be_visible()
    expect(page.locator(".cm-content")).to_contain_text("outcome resolved_incident")
    picture(page, "demo-workbench")


def simulation(page: Page) -> None:
    page.goto("/admin/contracts/ratecard/")
    page.locator("#result_list tbody tr a").first.click()
    expect(page.get_by_role("heading", name="What version 1 comes to")).to_be_visible()
    picture(page, "demo-prices")
