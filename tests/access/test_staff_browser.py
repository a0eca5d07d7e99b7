"""Staff in a real Chromium: signing in with a second factor, proving again who they are before money moves, locked out
after guesses, and sent back when the session ends.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as project
from django.contrib.auth.models import Group, User
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import Browser, Page, expect

from access.models import Guesses
from access.sessions import SessionStore
from invoicing import billing
from invoicing.models import CreditNote, Invoice
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
from tests.invoicing.conftest import make_world

__all__ = ["chromium", "server"]

pytestmark = NEEDS_CHROMIUM
PASSWORD = "correct horse battery"
WHY = 'slow "answer" & <b>late</b>'
LOOKS = [("light", DESK), ("dark", DESK), ("light", PHONE)]


@pytest.fixture(scope="module")
def fay(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """Of finance, with an app and a backup code; acme has an invoice."""
    with committed_rows(django_db_blocker):
        this = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        world = make_world()
        acme = world.customer(email="ap@acme.example")
        world.contract(acme)
        world.outcomes(acme, 3, this - timedelta(days=5))
        billing.run(now=this + timedelta(minutes=1))
        made = User.objects.create_user("fay", password=PASSWORD, is_staff=True)
        made.groups.add(Group.objects.get(name="finance"))
        TOTPDevice.objects.create(user=made, name="app")
        StaticDevice.objects.create(user=made, name="backup codes").token_set.create(token="backup22")
        yield made


@pytest.fixture(scope="module")
def seen(fay: User) -> User:
    return fay


@pytest.fixture
def new(chromium: Browser, server: str) -> Iterator[Open]:
    Guesses.objects.all().delete()
    with pages(chromium, server) as new:
        yield new


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Username").fill("fay")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def older(page: Page, name: str, span: timedelta) -> None:
    """What the session of this page notes was so much earlier. No request is under way that would write it back."""
    page.wait_for_load_state("networkidle")
    [cookie] = [one for one in page.context.cookies() if one["name"] == project.SESSION_COOKIE_NAME]
    session = SessionStore(cookie["value"])
    session[name] -= span.total_seconds()
    session.save()


def test_signing_in_with_a_code_and_proving_it_again(new: Open, fay: User, settings: Any) -> None:
    settings.STAFF_TOTP = True
    page = new()
    page.goto("/admin/")
    sign_in(page)
    expect(page.get_by_role("heading", name="Your code")).to_be_visible()
    assert ours(violations(page)) == []
    page.get_by_label("Code").fill("000000x")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    page.get_by_label("Code").fill(f"{totp(TOTPDevice.objects.get(user=fay).bin_key):06d}")
    page.get_by_role("button", name="Go on").click()
    expect(page).to_have_url(f"{page.url.split('/admin')[0]}/admin/")

    invoice = Invoice.objects.get()
    page.goto(f"/admin/invoicing/invoice/{invoice.pk}/goodwill_this/")
    page.get_by_label("Amount").fill("1.00")
    page.get_by_label("Why").fill(WHY)
    older(page, "proven", timedelta(minutes=15))
    page.get_by_role("button", name="Give").click()
    expect(page.get_by_text("what you entered is kept")).to_be_visible()
    assert not CreditNote.objects.exists()
    page.get_by_label("Code").fill("11111111")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    StaticDevice.objects.get(user=fay).throttle_reset()
    page.get_by_label("Code").fill("backup22")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Give: done.")).to_be_visible()
    assert CreditNote.objects.get().reason == WHY


@pytest.mark.parametrize(("scheme", "viewport"), LOOKS)
def test_the_pages_that_ask_who_it_is(new: Open, fay: User, scheme: Any, viewport: Any) -> None:
    """By password, on the page that asks before it acts and on the one before any other."""
    name, invoice = f"{scheme}-{viewport['width']}", Invoice.objects.get()
    page = new(fay, viewport=viewport, color_scheme=scheme)
    page.goto(f"/admin/invoicing/invoice/{invoice.pk}/goodwill_this/")
    older(page, "proven", timedelta(minutes=15))
    page.reload()
    page.get_by_label("Amount").fill("0.25")
    page.get_by_label("Why").fill(WHY)
    page.get_by_label("Your password").fill("not this one")
    assert fits(page)
    picture(page, f"ask-with-proof-{name}")
    before = CreditNote.objects.count()
    page.get_by_role("button", name="Give").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not your password.")
    assert fits(page) and ours(violations(page)) == []
    picture(page, f"proof-{name}")
    page.get_by_label("Your password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Give: done.")).to_be_visible()
    assert CreditNote.objects.count() == before + 1


def ours(found: list[Any]) -> list[Any]:
    """Of what the accessibility engine found, what is in the form: the frame around it is unfold's."""
    return [(rule, places) for rule, places in found if any("form" in str(place) for place in places)]


@pytest.mark.parametrize(("scheme", "viewport"), LOOKS)
def test_locked_after_guesses(new: Open, fay: User, scheme: Any, viewport: Any, settings: Any) -> None:
    settings.STAFF_GUESSES = 2
    page = new(viewport=viewport, color_scheme=scheme)
    page.goto("/admin/")
    for number in range(2):
        sign_in(page, f"guess {number}")
        expect(page.get_by_text("This name and password do not go together")).to_be_visible()
    sign_in(page)
    expect(page.get_by_text("Too many wrong passwords")).to_be_visible()
    assert fits(page)
    assert ours(violations(page)) == []
    picture(page, f"login-locked-{scheme}-{viewport['width']}")
    Guesses.objects.all().delete()
    sign_in(page)
    expect(page).to_have_url(f"{page.url.split('/admin')[0]}/admin/")


def test_a_session_that_ends_says_so_and_leads_back(new: Open, fay: User) -> None:
    page = new()
    page.goto("/admin/")
    sign_in(page)
    expect(page).to_have_url(f"{page.url.split('/admin')[0]}/admin/")
    older(page, "began", timedelta(hours=12))
    page.goto("/admin/invoicing/invoice/?q=acme")
    expect(page.get_by_text("A session ends after 12 hours: sign in again.")).to_be_visible()
    picture(page, "login-session-ended")
    sign_in(page)
    expect(page).to_have_url(f"{page.url.split('/admin')[0]}/admin/invoicing/invoice/?q=acme")
    page.wait_for_load_state("networkidle")
    fay.groups.add(Group.objects.get(name="viewer"))
    page.goto("/admin/")
    expect(page.get_by_text("Your session has ended: sign in again.")).to_be_visible()
