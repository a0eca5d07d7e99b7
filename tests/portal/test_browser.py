"""The portal in a real Chromium: walked through without scripts, by keyboard, on a phone, in the dark, and looked at by
an accessibility engine. One server and one browser for all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from access import ids
from contracts.models import Customer
from invoicing.models import Invoice
from payments.models import StripeInvoice
from portal import links
from portal.messages import PORTAL
from portal.models import PortalLink
from settlement.models import Dispute
from tests.browser import (
    DESK,
    NEEDS_CHROMIUM,
    PHONE,
    Open,
    chromium,
    committed_rows,
    fits,
    pages,
    picture,
    server,
    violations,
)
from tests.portal.shop import EVIL, Shop, make, outcome_of

__all__ = ["chromium", "server"]

pytestmark = NEEDS_CHROMIUM

PAY_PAGE = "https://invoice.stripe.com/i/acct_1/test_1?s=ap"


@pytest.fixture(scope="module")
def shop(django_db_setup: None, django_db_blocker: Any) -> Iterator[Shop]:
    with committed_rows(django_db_blocker):
        made = make(timezone.now())
        # The longest words, on the narrowest screen.
        Customer.objects.filter(key="globex").update(locale="de")
        at_stripe("globex", made)
        yield made


def at_stripe(customer: str, shop: Shop) -> None:
    """Its invoice is at Stripe, where a payment failed."""
    StripeInvoice.objects.create(
        invoice=Invoice.objects.filter(customer__key=customer).latest("period_start"), account="acct_1", livemode=False,
        stripe_id="in_1", status="open", collection_method="charge_automatically", amount_remaining=2850,
        hosted_url=PAY_PAGE, last_failure="Declined.", last_failure_code="insufficient_funds", seen_at=shop.now,
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen(shop: Shop) -> Shop:
    return shop


@pytest.fixture
def enter(chromium: Browser, server: str, shop: Shop) -> Iterator[Open]:
    """``enter("acme", viewport=…)``: a page of a fresh browser that has come in by the customer's link."""
    with pages(chromium, server, expected=lambda text: "status of 410" in text) as new:

        def come_in(customer: str, **options: Any) -> Page:
            page = new(**options)
            page.goto(shop.url(customer))
            return page

        yield come_in


def paths_of(shop: Shop, customer: str) -> list[str]:
    own = shop.ids[customer]
    evil = ids.encode("out", outcome_of(f"{customer}-{EVIL}").pk)
    return [
        "/portal/",
        "/portal/invoices/",
        f"/portal/invoices/{own['invoice']}/",
        f"/portal/credit_notes/{own['credit_note']}/",
        f"/portal/lines/{own['line']}/",
        "/portal/outcomes/?show=all",
        f"/portal/outcomes/{own['outcome']}/",
        f"/portal/outcomes/{evil}/",
        f"/portal/outcomes/{ids.encode('out', outcome_of(f'{customer}-320').pk)}/",
    ]


def test_a_customer_walks_through_without_scripts(enter: Open, shop: Shop) -> None:
    page = enter("acme", java_script_enabled=False, accept_downloads=True)
    assert page.url.endswith("/portal/"), "the address says nothing of the link"
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_text("€28.50").first).to_be_visible()
    expect(page.get_by_text("in 2 hours")).to_be_visible()

    page.get_by_role("navigation", name="Sections").get_by_role("link", name="Invoices").click()
    page.get_by_role("link", name="HF-").first.click()
    for name, kind in (("PDF", "pdf"), ("Lines as CSV", "csv")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        content = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename.endswith(f".{kind}")
        assert content.startswith(b"%PDF" if kind == "pdf" else b"\xef\xbb\xbfdocument,")

    page.get_by_role("link", name="4 × Support ticket resolved").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("4 × Support ticket resolved")
    page.get_by_role("link", name="acme-103").click()
    expect(page.get_by_text("It held, and became final.")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text="agent")).to_be_visible()
    page.get_by_role("button", name="Send the dispute").click()
    assert page.url.endswith("/"), "the browser itself asks for the reason"
    page.get_by_label("Your reason").fill("The customer wrote again the same day.")
    page.get_by_role("button", name="Send the dispute").click()
    expect(page.get_by_role("status")).to_contain_text("This is disputed.")
    expect(page.get_by_text("The customer wrote again the same day.")).to_be_visible()
    page.reload()
    assert Dispute.objects.filter(outcome=outcome_of("acme-103").pk).count() == 1

    page.get_by_role("link", name="4 × Support").or_(page.get_by_role("link", name="Support ticket resolved")).click()
    page.get_by_text("3 outcomes of this line can be disputed").click()
    page.get_by_label("Your reason").fill("None of these was resolved.")
    page.get_by_role("button", name="Send the dispute").click()
    expect(page.get_by_role("status")).to_contain_text("4 outcomes of this line are disputed.")
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have left the portal.")


def test_a_revoked_link_ends_the_visit(enter: Open, shop: Shop) -> None:
    page = enter("globex")
    expect(page.get_by_role("heading", level=1)).to_have_text("Überblick")
    _, token = links.create("globex", by="the tests", now=timezone.now())
    page.goto(links.url_of(token))
    expect(page.get_by_role("heading", level=1)).to_have_text("Überblick")
    links.revoke(PortalLink.objects.get(digest=links.digest(token)).pk, by="maria", now=timezone.now())
    with page.expect_response(lambda answer: answer.url.endswith("/portal/invoices/")) as answer:
        page.get_by_role("link", name="Rechnungen", exact=True).click()
    assert answer.value.status == 410
    expect(page.get_by_role("heading", level=1)).to_have_text(PORTAL.text("en", "no_link"))


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_it_can_be_paid(enter: Open, shop: Shop, viewport: Any) -> None:
    """What failed stands above the button, both before the lines; nothing is asked of Stripe before it is clicked."""
    page = enter("globex", viewport=viewport, java_script_enabled=False)
    page.goto(f"/portal/invoices/{shop.ids['globex']['invoice']}/")
    button, failed = page.get_by_role("link", name="Jetzt bezahlen"), page.get_by_text("Die letzte Zahlung")
    expect(button).to_have_attribute("href", PAY_PAGE)
    expect(failed).to_contain_text("nicht ausreichend gedeckt")
    boxes = [one.bounding_box() for one in (failed, button, page.locator("table").first)]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops) and len(tops) == 3
    picture(page, f"pay-{viewport['width']}")


def test_by_keyboard_alone(enter: Open, shop: Shop) -> None:
    page = enter("globex")
    page.goto(f"/portal/outcomes/{ids.encode('out', outcome_of('globex-300').pk)}/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Zum Inhalt springen")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "what has the focus shows it"
        if page.evaluate("document.activeElement.id") == "reason":
            break
    page.keyboard.type("Das war nicht gelöst.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Dies ist beanstandet.")
    assert Dispute.objects.get(outcome=outcome_of("globex-300").pk).reason == "Das war nicht gelöst."


@pytest.mark.parametrize(
    ("customer", "scheme", "viewport"), [("acme", "light", DESK), ("globex", "dark", PHONE)], ids=["desk", "phone"]
)
def test_it_is_accessible_and_fits(enter: Open, shop: Shop, customer: str, scheme: Any, viewport: Any) -> None:
    page = enter(customer, viewport=viewport, color_scheme=scheme)
    backs = set()
    for path in paths_of(shop, customer):
        page.goto(path)
        assert fits(page), f"{path} scrolls sideways"
        assert page.title().count("owned") == page.title().count("document.title='owned'"), "no data was run"
        backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for details in page.locator("summary").all():
            details.click()
        assert violations(page) == [], path
    assert len(backs) == 1
    assert (backs == {"rgb(18, 23, 29)"}) == (scheme == "dark")
