"""A real Chromium before a real server, for tests of pages: nothing may be asked of another host, no page may complain,
and an accessibility engine looks at them. A module of such tests has the marks `NEEDS_CHROMIUM`.

The tests that use these have no database fixture: what they make is committed, so that the server's threads see it.
"""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.conftest import empty_tables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="There is no Chromium on this machine: install the package chromium."),
]
# Nothing here is drawn in three dimensions; a graphics card that is only computed costs a tenth of a page.
LIGHT = ["--disable-gpu", "--disable-software-rasterizer"]
AXE = gzip.decompress((Path(__file__).parent / "axe" / "axe.min.js.gz").read_bytes()).decode()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESK, PHONE = {"width": 1100, "height": 800}, {"width": 320, "height": 640}
MILLISECONDS = 60_000
"""How long a page has for what is waited for: a machine that does other things as well is no fault of the page."""
expect.set_options(timeout=MILLISECONDS)

Open = Callable[..., Page]


@contextmanager
def committed_rows(blocker: Any) -> Iterator[None]:
    """Rows made inside are committed, and gone afterwards. Playwright keeps an event loop in this thread, of which
    Django would have to be afraid if it shared its connection with one. ``blocker`` is the fixture django_db_blocker.
    """
    with pytest.MonkeyPatch.context() as patch, blocker.unblock():
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        try:
            yield
        finally:
            connections.close_all()
            empty_tables()
            connections.close_all()


@pytest.fixture(scope="module")
def server(seen: Any) -> Iterator[str]:
    """The URL of a server of the project on a free port. ``seen`` is the module's own: what there is to be seen,
    committed before the server begins.
    """
    served = LiveServer("127.0.0.1")
    yield served.url
    served.stop()


@pytest.fixture(scope="module")
def chromium(server: str) -> Iterator[Browser]:
    with launched() as browser:
        yield browser
        connections.close_all()  # those that the tests opened while the loop ran are not those of before and after


@pytest.fixture
def new(chromium: Browser, server: str) -> Iterator["Open"]:
    """What opens pages (`pages`)."""
    with pages(chromium, server) as opened:
        yield opened


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *LIGHT])
        yield browser
        browser.close()


@contextmanager
def pages(browser: Browser, server: str, *, expected: Callable[[str], bool] = lambda text: False) -> Iterator[Open]:
    """``open(user, **options)``: a page of a fresh browser, in which ``user`` (or nobody) is logged in. At the
    end nothing may have been asked of another host, and no page may have said anything in its console but what is
    ``expected``, or opened a dialog.
    """
    contexts, elsewhere, complaints = [], [], []

    def asked(request: Any) -> None:
        if not request.url.startswith((server, "data:", "blob:")):
            elsewhere.append(request.url)

    def new(user: User | None = None, **options: Any) -> Page:
        context = browser.new_context(base_url=server, **{"viewport": DESK} | options)
        context.set_default_timeout(MILLISECONDS)
        contexts.append(context)
        if user is not None:
            name = settings.SESSION_COOKIE_NAME
            context.add_cookies([{"name": name, "value": session_of(user), "url": server}])
        page = context.new_page()
        page.on("request", asked)
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("console", lambda message: expected(message.text) or complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield new
    for context in contexts:
        context.close()
    assert (elsewhere, complaints) == ([], [])


def session_of(user: User) -> str:
    """The key of a new session of theirs, as after the admin's login form."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def violations(page: Page, rules: list[str] = RULES, *, within: str = "html") -> list[Any]:
    """What axe-core finds wrong on the page, or in a part of it: a rule, and the elements that break it."""
    page.evaluate(AXE)
    found = page.evaluate(
        "([part, rules]) => axe.run(part, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})",
        [within, rules],
    )
    assert len(found["passes"]) > 5
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]


def fits(page: Page) -> bool:
    """Whether the page does not scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def looks(page: Page, address: str = "") -> Iterator[str]:
    """The page at ``address`` (or the one that is there, loaded again by GET or POST) by day, on a phone and by night,
    one after the other: what to call each. All in one browser, which keeps what it has loaded.
    """
    if address:
        page.goto(address)
    yield "light-1100"
    page.set_viewport_size(PHONE)
    yield "light-320"
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="dark")
    page.reload()
    yield "dark-1100"
    page.emulate_media(color_scheme="light")


def picture(page: Page, name: str) -> None:
    """Keep a picture of the page as ``name``.png where HOLDFAST_SCREENSHOTS names a folder."""
    if where := os.environ.get("HOLDFAST_SCREENSHOTS"):
        page.screenshot(path=f"{where}/{name}.png", full_page=True)
