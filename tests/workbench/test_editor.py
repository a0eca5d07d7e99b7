"""The editor's page: what it says of a text is what the API says, and looking writes nothing."""

import hashlib
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conditions_dsl.words import KEYWORDS
from contracts.clocks import create_clock
from contracts.condition_text import examine
from contracts.conditions import create_condition_version
from contracts.customers import CustomerFields, put_customer
from contracts.models import Condition
from tests.access.conftest import Api, api, make_key
from tests.conditions_dsl.errors_page import entries
from tests.workbench.shop import DAY, TEXT, TRIED, client_of, open_shop, say

__all__ = ["api", "make_key"]

pytestmark = pytest.mark.django_db

NEW = "/admin/workbench/condition/"
CHECK, EVENTS, SIMULATE = f"{NEW}check/", f"{NEW}events/", f"{NEW}simulate/"
SLIPS = [(title, text) for title, text, _ in entries()]
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|.*FOR (NO KEY )?UPDATE)", re.IGNORECASE | re.DOTALL)


@pytest.fixture
def condition() -> Condition:
    return open_shop(timezone.now())


def page_of(condition: Condition) -> str:
    return reverse("workbench_condition", args=[condition.pk])


def text_in(page: bytes) -> str:
    found = re.search(r'<textarea name="text"[^>]*>\n(.*?)</textarea>', page.decode(), re.DOTALL)
    assert found is not None
    return unescape(found[1])


def test_findings_are_the_apis(api: Api) -> None:
    """Of every fourth slip of docs/language-errors.md, and of texts with warnings: code for code, word for word."""
    viewer = client_of("viewer")
    warned = [TEXT + "credit within 2 days when ticket.returned\n", "outcome x\nper a\nbill when b and no b.c\n"]
    for text in [*(text for _, text in SLIPS[::4]), *warned, TEXT, ""]:
        told = viewer.post(CHECK, {"text": text.replace("\n", "\r\n")}).json()
        answer = api.post("/v1/conditions/check", {"text": text})
        if answer.status_code == 200:
            assert {name: told[name] for name in ("ok", "diagnostics", "canonical", "description")} == answer.json()
        else:
            assert answer.status_code == 422 and not told["ok"], (text, answer.content)


def test_mends_lead_to_a_text_that_parses() -> None:
    """Without a script, by the page's own button; as often as there is one. Of every sixth slip that has a mend."""
    viewer = client_of("viewer")
    for title, text in [(title, text) for title, text in SLIPS if _first_fix(text) is not None][::6]:
        for _ in range(8):
            fix = _first_fix(text)
            if fix is None:
                break
            diagnostics = examine(text).diagnostics
            at = next(n for n, one in enumerate(diagnostics) if one.fix is not None)
            after = text_in(viewer.post(NEW, {"text": text, "_mend": str(at)}).content)
            assert after == fix != text, title
            text = after
        assert examine(text).ok, title


def _first_fix(text: str) -> str | None:
    return next((one.fix for one in examine(text).diagnostics if one.fix is not None), None)


def test_the_page_says_what_a_text_means(condition: Condition, django_assert_max_num_queries: Any) -> None:
    viewer = client_of("viewer")
    with django_assert_max_num_queries(30):
        page = viewer.get(page_of(condition))
    assert text_in(page.content) == TEXT
    shown = page.content.decode()
    for words in (
        "“Ticket solved” is charged at most once for each ticket",
        "This says what version 1 of solved says already: there is nothing to publish.",
        "72 hours after it was met; a contract can give its customer another window",
        "1 for each outcome",
        "priority: the latest priority of ticket.closed",
        "standard: 10.00 USD",
        "Publishing is for roles that may add conditions",
    ):
        assert words in shown, words
    told = client_of("engineer").post(CHECK, {"text": TRIED.replace("dimension", "# dimension")}).json()["report"]
    assert "Published, this becomes version 2 of solved, after version 1 of solved." in told
    assert "<del>72</del>" in told and "<ins>24</ins>" in told
    assert "none: every outcome has one price" in told
    keys = client_of("owner").post(CHECK, {"text": TEXT.replace("per ticket", "per case")}).json()
    assert keys["ok"] and "Cannot be published" in keys["findings"] and "`per` cannot change" in keys["findings"]


def test_the_meaning_of_the_other_forms(condition: Condition) -> None:
    text = """outcome kept "Sale kept"
per order.id or cart
bill when sale
settle after 2 days of silence, at most 3 weeks
settle early when sale.accepted
credit within 30 days when sale.returned
quantity latest units of sale
amount total value of sale
dimension size = "big" if latest units of sale > 10 else "small"
"""
    told = client_of("viewer").post(CHECK, {"text": text}).json()["report"]
    for words in (
        "No condition is called kept yet: published, this is its first version.",
        "order.id or cart",
        "sale: no such event has come yet",
        "once nothing has happened for 2 days, at the latest 21 days after it was met",
        "earlier, once sale.accepted has happened",
        "given back within 30 days after that, when sale.returned has happened",
        "the latest units of sale, read when it becomes final",
        "the total value of all sale",
        "size: big or small",
        "no rate card has a price for it",
    ):
        assert words in told, words
    at = text.replace("settle after 2 days of silence, at most 3 weeks", "settle 1 day after latest start of sale")
    assert (
        "1 day after the time of the latest start of sale"
        in client_of("owner").post(CHECK, {"text": at}).json()["report"]
    )


def test_what_the_market_sells_is_told_in_words(condition: Condition) -> None:
    """Every text of the gallery, with its forms of settling, and a name that stands for many."""
    viewer = client_of("viewer")
    texts = [path.read_text() for path in (Path(settings.BASE_DIR) / "conditions_dsl" / "gallery").glob("*.outcome")]
    for text in [*texts, "outcome any\nper ticket\nbill when ticket.* and no other.*\nsettle immediately\n"]:
        told = viewer.post(CHECK, {"text": text}).json()
        assert told["ok"] and told["description"] in unescape(told["report"]), text
        shown = viewer.post(EVENTS, {"text": text})
        assert shown.status_code == 200 and b"Tried on" in shown.content
    assert "<p>ticket.*</p>" in told["report"] and "other.*: no such event has come yet" in told["report"]
    assert "at once, as soon as it is met" in told["report"] and b"Tried on 6 events" in shown.content
    assert len(texts) > 10


def test_recent_events_are_judged_by_the_customers_own_clock(condition: Condition) -> None:
    now = timezone.now()
    clock = create_clock(now=now + 30 * DAY, wall=now)
    put_customer("tester", CustomerFields("USD", test_clock=clock.pk), now=now)
    say(now, "ticket.closed", now - DAY, ticket="E", closed_by="agent", customer="tester")
    shown = client_of("viewer").post(EVENTS, {"text": TEXT}).content.decode()
    row = next(row for row in shown.split("<tr>") if "ticket.closed-E" in row)
    assert "<summary>confirmed</summary>" in row


def test_recent_events_and_what_the_text_makes_of_them(condition: Condition) -> None:
    shown = client_of("viewer").post(EVENTS, {"text": TEXT}).content.decode()
    rows = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in shown.split("<tr>")[2:]]
    said = [row[20:] for row in rows]
    assert said[0].startswith("ticket.closed ticket.closed-none acme does not belong: it has no ticket none")
    assert said[1].startswith("ticket.closed ticket.closed-D acme D begins, and does not meet it alone open")
    assert said[2].startswith("ticket.closed ticket.closed-C acme C meets the condition met, in its window Final on")
    assert said[3].startswith("ticket.reopened ticket.reopened-B globex B takes it back inside its window taken back")
    assert said[4].startswith("ticket.closed ticket.closed-B globex B meets the condition taken back in its window")
    assert said[5].startswith("ticket.closed ticket.closed-A acme A meets the condition confirmed Final since")
    assert "1 unit, priority: high." in said[5] and len(said) == 6
    assert '✓ true: ticket.closed where closed_by is "agent" ticket.closed-A'.replace('"', "&quot;") in said[5]
    assert "<b>1</b> open: the condition is not met, <b>1</b> met, in its window, <b>1</b> confirmed" in shown
    tried = client_of("owner").post(EVENTS, {"text": TRIED}).content.decode()
    assert "<b>3</b> confirmed" in tried and "changes nothing: it comes after the outcome was settled" in tried
    given_back = TRIED + "credit within 5 days when ticket.reopened\n"
    assert "has the charge given back" in client_of("finance").post(EVENTS, {"text": given_back}).content.decode()


def test_recent_events_are_of_whom_the_condition_is_for_and_bounded(
    condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = client_of("viewer")
    monkeypatch.setattr("workbench.recent.DAYS", 15)
    shown = viewer.post(EVENTS, {"text": TEXT}).content
    assert b"ticket.closed-B" in shown and b"ticket.closed-A" not in shown
    monkeypatch.setattr("workbench.recent.SCANNED", 3)
    shown = viewer.post(EVENTS, {"text": TEXT}).content
    assert b"ticket.closed-C" in shown and b"ticket.closed-B" not in shown
    monkeypatch.undo()
    own = TEXT.replace("outcome solved", "outcome own")
    create_condition_version(own, effective_from=None, now=timezone.now(), customers=["globex"])
    shown = viewer.post(EVENTS, {"text": own}).content
    assert b"Tried on 2 events" in shown and b"ticket.reopened-B" in shown and b"acme" not in shown


def test_looking_writes_nothing(condition: Condition) -> None:
    viewer = client_of("viewer")
    with CaptureQueriesContext(connection) as queries:
        viewer.get(page_of(condition))
        viewer.get(NEW)
        viewer.get(reverse("workbench_condition_versions", args=[condition.pk]))
        viewer.post(page_of(condition), {"text": TRIED, "_check": "1"})
        viewer.post(page_of(condition), {"text": TRIED.replace("void", "viod"), "_mend": "0"})
        viewer.post(CHECK, {"text": TRIED})
        viewer.post(EVENTS, {"text": TRIED})
    written = [one["sql"] for one in queries if WRITES.match(one["sql"]) and "access_staffsession" not in one["sql"]]
    assert len(queries) > 20 and written == []


def test_a_text_is_text(condition: Condition) -> None:
    evil = 'outcome x "</textarea><script>alert(1)</script>"\nper a\nbill when "<i>b</i>"\n'
    viewer = client_of("viewer")
    page = viewer.post(NEW, {"text": evil}).content
    assert text_in(page) == evil and b"<script>alert" not in page and b"<i>b" not in page
    told = viewer.post(CHECK, {"text": evil.replace("per a", "pre <b>a")}).json()
    assert "<b>a" not in told["findings"] and "&lt;b&gt;a" in told["findings"]
    for hostile in ("\x00", "outcome \ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"), "x" * 20_000):
        assert viewer.post(CHECK, {"text": hostile}).json()["ok"] is False
    assert viewer.post(NEW, {"text": "outcome", "_mend": "77"}).status_code == 200
    assert viewer.post(NEW, {"text": "outcome", "_mend": "²"}).status_code == 200


def test_the_words_are_the_languages(condition: Condition) -> None:
    page = client_of("viewer").get(page_of(condition)).content.decode()
    found = re.search(r'<script id="wb-words" type="application/json">(.*?)</script>', page)
    assert found is not None
    words = json.loads(found[1])
    assert words["keywords"] == sorted(KEYWORDS) and "hours" in words["units"]


def test_the_editors_file_is_made_from_what_stands_beside_it() -> None:
    """Whoever changes the source makes the file anew: workbench/editor/README.md."""
    app = Path(settings.BASE_DIR) / "workbench"
    sources = (app / "editor" / name for name in ("editor.mjs", "package.json"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    with (app / "static" / "workbench" / "editor.js").open() as file:
        assert file.readline().endswith(f"{digest}\n")


def test_ways_to_the_workbench(condition: Condition) -> None:
    engineer = client_of("engineer")
    change = reverse("admin:contracts_condition_change", args=[condition.pk])
    detail, listed = engineer.get(change).content.decode(), engineer.get("/admin/contracts/condition/").content.decode()
    assert "Open in the workbench" in detail and "Versions" in detail and "Try a text" in listed
    assert 'href="/admin/workbench/condition/"' in listed, "the menu"
    ways = {
        f"/admin/contracts/condition/{condition.pk}/write_this/": page_of(condition),
        f"/admin/contracts/condition/{condition.pk}/versions_this/": f"{page_of(condition)}versions/",
        "/admin/contracts/condition/try_one/": NEW,
        "/admin/contracts/condition/add/": NEW,
    }
    for here, there in ways.items():
        answer = engineer.get(here)
        assert answer.status_code == 302 and answer.url == there, here
    assert client_of("viewer").get("/admin/contracts/condition/add/").status_code == 403
    assert engineer.get(reverse("workbench_condition", args=[0])).status_code == 404


def test_who_has_no_role_sees_nothing(condition: Condition) -> None:
    nobody = client_of("staff")
    for address in (NEW, CHECK, EVENTS, SIMULATE, page_of(condition), f"{page_of(condition)}versions/"):
        assert nobody.get(address).status_code == 403 and nobody.post(address).status_code == 403
    assert NEW.encode() not in nobody.get("/admin/").content
