"""One customer never reaches another's rows: every address of the portal, generated from the resolver."""

import ast
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from access import ids
from contracts.models import Customer
from invoicing.models import CreditNote, Invoice, InvoiceLine
from portal.urls import urlpatterns
from settlement.models import Dispute
from tests.portal.conftest import text_of
from tests.portal.shop import Shop

# What each address names, and what GET and POST answer for one's own. A new address fails until it stands here.
NOTHING, ANYTHING = "", "anything"
EXPECTED: dict[str, tuple[str, int, int]] = {
    "enter": (NOTHING, 404, 405),
    "leave": (NOTHING, 405, 200),
    "overview": (NOTHING, 200, 405),
    "documents": (NOTHING, 200, 405),
    "invoice": ("invoice", 200, 405),
    "invoice_pdf": ("invoice", 200, 405),
    "invoice_csv": ("invoice", 200, 405),
    "invoice_evidence": ("invoice", 200, 405),
    "credit_note": ("credit_note", 200, 405),
    "credit_note_pdf": ("credit_note", 200, 405),
    "credit_note_csv": ("credit_note", 200, 405),
    "credit_note_evidence": ("credit_note", 200, 405),
    "verifier": (NOTHING, 200, 405),
    "line": ("line", 200, 405),
    "line_dispute": ("line", 405, 302),
    "outcomes": (NOTHING, 200, 405),
    "outcome": ("outcome", 200, 405),
    "outcome_dispute": ("outcome", 405, 302),
    "nowhere": (ANYTHING, 404, 404),
}
PREFIXES = {"invoice": "inv", "credit_note": "cn", "line": "line", "outcome": "out"}


def test_every_address_is_listed() -> None:
    assert {pattern.name for pattern in urlpatterns} == set(EXPECTED)


def ask(client: Client, name: str, method: str, *args: str) -> Any:
    data = {"reason": "This was not resolved."} if method == "POST" else {}
    return getattr(client, method.lower())(reverse(f"portal:{name}", args=args), data)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_own_foreign_and_random(shop: Shop, enter: Callable[..., Client], name: str, method: str) -> None:
    kind, get, post = EXPECTED[name]
    expected = get if method == "GET" else post
    client = enter("acme")
    own = [shop.ids["acme"][kind]] if kind in PREFIXES else [kind] if kind else []
    answer = ask(client, name, method, *own)
    assert answer.status_code == expected
    others = [value for key, value in shop.ids["globex"].items() if key in PREFIXES]
    content = answer.getvalue() if answer.streaming else answer.content
    assert not any(other in content.decode(errors="replace") for other in others)
    if kind not in PREFIXES:
        return
    disputes = Dispute.objects.count()
    foreign = ask(client, name, method, shop.ids["globex"][kind])
    random = ask(client, name, method, ids.encode(PREFIXES[kind], uuid4()))
    malformed = ask(client, name, method, "nonsense")
    denied = 405 if expected == 405 else 404
    assert {foreign.status_code, random.status_code, malformed.status_code} == {denied}
    assert text_of(foreign) == text_of(random) == text_of(malformed)
    assert dict(foreign.items()).keys() == dict(random.items()).keys()
    assert Dispute.objects.count() == disputes


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_without_a_link_sees_anything(shop: Shop, name: str, method: str) -> None:
    if name == "enter":
        return
    kind = EXPECTED[name][0]
    args = [shop.ids["acme"][kind]] if kind in PREFIXES else [kind] if kind else []
    answer = ask(Client(), name, method, *args)
    assert answer.status_code == 404
    assert text_of(answer) == text_of(Client().get("/portal/"))
    assert "Acme" not in text_of(answer)


def test_a_list_has_no_foreign_rows(shop: Shop, enter: Callable[..., Client]) -> None:
    for path in ("", "invoices/", *(f"outcomes/?show={one}" for one in ("all", "provisional", "void", "confirmed"))):
        page = text_of(enter("acme").get(f"/portal/{path}"))
        assert "globex" not in page.lower()


def test_drafts_are_not_shown(shop: Shop, acme: Client) -> None:
    customer = Customer.objects.get(key="acme")
    draft = Invoice.objects.create(
        id=ids.uuid7(shop.now), customer=customer, kind="one_off", currency="EUR", time_zone="UTC",
        period_start=shop.now, period_end=shop.now + timedelta(days=30), net_days=30,
        created_at=shop.now, refreshed_at=shop.now, total_minor=777_77, subtotal_minor=777_77,
    )  # fmt: skip
    line = InvoiceLine.objects.create(
        id=uuid4(), invoice=draft, position=1, kind="item", title="Secret fee", amount_minor=777_77,
        period_start=draft.period_start, period_end=draft.period_end,
    )  # fmt: skip
    note = CreditNote.objects.create(
        id=ids.uuid7(shop.now), customer=customer, kind="goodwill", currency="EUR", time_zone="UTC",
        reason="Secret note", created_at=shop.now, refreshed_at=shop.now,
    )  # fmt: skip
    hidden = {
        "invoice": ids.encode("inv", draft.pk),
        "credit_note": ids.encode("cn", note.pk),
        "line": ids.encode("line", line.pk),
    }
    for name, (kind, get, _) in EXPECTED.items():
        if kind in hidden and get == 200:
            assert ask(acme, name, "GET", hidden[kind]).status_code == 404
    for path in ("/portal/", "/portal/invoices/"):
        assert not any(word in text_of(acme.get(path)) for word in ("777", "Secret"))


def test_a_cursor_is_good_for_its_own_list_alone(
    shop: Shop, enter: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.scope.PAGE", 3)
    first = enter("acme").get("/portal/outcomes/?show=all")
    cursor = first.context["pages"].next
    shown = {row["id"] for row in first.context["rows"]}
    second = enter("acme").get("/portal/outcomes/", {"show": "all", "cursor": cursor})
    assert second.status_code == 200 and not shown & {row["id"] for row in second.context["rows"]}
    assert enter("acme").get("/portal/outcomes/", {"show": "void", "cursor": cursor}).status_code == 404
    assert enter("globex").get("/portal/outcomes/", {"show": "all", "cursor": cursor}).status_code == 404
    for bad in ("?show=all&cursor=x", "?show=all&cursor=%00", f"?show=all&cursor={cursor}&cursor={cursor}", "?show=no"):
        assert enter("acme").get(f"/portal/outcomes/{bad}").status_code == 404


def test_only_the_scope_reads_customers_rows() -> None:
    """No module of the portal but these asks the database, so none can forget to ask whose the rows are."""
    may = {"scope.py", "links.py", "api.py", "admin.py", "customer_sections.py", "models.py"}
    asking = set()
    for path in (Path(settings.BASE_DIR) / "portal").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("objects", "cursor", "raw") and path.name not in may:
                inside = ast.unparse(node)
                if inside not in ("self.cursor",):
                    asking.add(f"{path.name}: {inside}")
    assert asking == set()
