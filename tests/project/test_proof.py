"""Who acts proves again who they are: every page and action of the admin asks for it, found by the URL resolver, but
for those that roles.txt calls free. A new one asks without saying so.
"""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import freezegun
import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver, resolve, reverse

from access import proof
from access.models import TrailEntry
from access.sessions import SessionStore
from contracts.models import Contract, Customer
from invoicing import billing
from invoicing.models import CreditNote, Invoice
from tests.invoicing.conftest import World, make_world, world
from tests.project.test_roles import FREE, TABLE, bulk_actions, flat, forms, listed_pages, pages

__all__ = ["make_world", "world"]

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
LATER = timedelta(minutes=16)
PASSWORD = "correct horse battery"


def person(name: str, *roles: str) -> User:
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def by_password(user: User) -> Client:
    client = Client()
    assert client.post("/admin/login/", {"username": user.username, "password": PASSWORD}).status_code == 302
    return client


def asks(answer: Any) -> bool:
    return answer.status_code == 200 and "access/proof.html" in [one.name for one in answer.templates]


def inputs(answer: Any) -> dict[str, list[str]]:
    """What the page would send along."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.content.decode()):
        found.setdefault(unescape(name), []).append(unescape(value))
    return {name: values for name, values in found.items() if name != "csrfmiddlewaretoken"}


# --- All of them ------------------------------------------------------------------------------------------------------


def test_every_page_and_action_asks_but_those_that_are_called_free() -> None:
    """Asked of the middleware itself, before it draws a page; what follows goes through all of it."""
    owner, middleware = person("olga", "owner"), proof.ProofMiddleware(lambda request: HttpResponse())

    def asks_for(address: str, data: dict[str, str]) -> bool:
        request = RequestFactory().post(address, data)
        request.user, request.resolver_match, request.session = owner, resolve(address), SessionStore()
        return middleware.process_view(request, None, (), {}) is not None

    free = {line.split()[0] for line in TABLE.read_text().splitlines() if line.endswith(FREE)}
    saved = forms()
    posts: dict[str, tuple[str, dict[str, str]]] = {name: (address, {}) for name, address in saved.items()}
    posts |= {name: (address, {}) for name, address in listed_pages().items() if f"{name}!save" not in saved}
    posts |= {name: (address, {"post": "yes"}) for name, address in pages().items() if name.endswith("/delete/")}
    for name, (model_admin, action) in bulk_actions().items():
        options = model_admin.model._meta
        address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
        posts[name] = (address, {"action": action, "_selected_action": "1"})
    assert len(posts) > 200 and len(free) > 5
    assert {name for name, post in posts.items() if not asks_for(*post)} == free


def test_what_is_free_is_there() -> None:
    names = {pattern.name for _, pattern in flat(get_resolver().url_patterns)}
    for one in proof.FREE:
        name, _, rest = one.partition("!")
        assert name.partition("?")[0] in names, one
        if rest:
            assert rest in dict(admin.site._registry), one


def test_nothing_that_touches_money_is_free() -> None:
    """What is free belongs to test customers, to what is only computed, or to getting in and out."""
    apps = {one.split("_")[0] for one in proof.FREE if "?_preview" not in one}
    assert not apps & {"invoicing", "payments", "settlement", "outcomes", "portal", "access", "auth", "handover"}
    contracts = {one for one in proof.FREE if one.startswith("contracts") and "?_preview" not in one}
    assert all(one.startswith("contracts_testclock_") for one in contracts)


# --- What happens -----------------------------------------------------------------------------------------------------


@pytest.fixture
def invoice(world: World) -> Invoice:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, datetime(2026, 3, 15, tzinfo=UTC))
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    return Invoice.objects.get()


def test_a_page_that_asks_has_the_input_and_keeps_what_was_typed(invoice: Invoice) -> None:
    address = reverse("admin:invoicing_invoice_goodwill_this", args=[invoice.pk])
    typed = {"amount": "0.50", "reason": 'slow "<b>answer</b>" & more'}
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(person("fay", "finance"))
        assert 'name="proof"' not in client.get(address).content.decode(), "just given"
        clock.tick(LATER)
        assert 'name="proof"' in client.get(address).content.decode()
        script = client.post(address, typed, headers={"Sec-Fetch-Mode": "cors"})
        assert script.status_code == 403 and "Is it you?" in script.content.decode()
        # Without it, or with a wrong one, nothing is done; all is carried along.
        for extra in ({}, {"proof": ""}, {"proof": "wrong"}):
            answer = client.post(address, typed | extra)
            assert asks(answer) and inputs(answer) == {name: [value] for name, value in typed.items()}
            assert "wrong" not in answer.content.decode()
            assert not CreditNote.objects.exists()
        assert "This is not your password." in answer.content.decode()
        answer = client.post(address, {**inputs(answer), "proof": PASSWORD})
        assert answer.status_code == 302
        note = CreditNote.objects.get()
        assert (note.reason, note.total_minor) == (typed["reason"], 50)
        # For a while it is not asked again, and then it is.
        clock.tick(timedelta(minutes=14))
        assert not asks(client.post(address, {"amount": "x", "reason": "r"}))
        clock.tick(timedelta(minutes=2))
        assert asks(client.post(address, {"amount": "x", "reason": "r"}))


def test_in_the_page_itself_it_is_one_step(invoice: Invoice) -> None:
    address = reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(person("ada", "approver"))
        clock.tick(LATER)
        client.post(address, {"reason": "billed twice", "proof": PASSWORD})
        invoice.refresh_from_db()
        assert invoice.status == "void"
        assert PASSWORD not in str(TrailEntry.objects.get().line.change_message)


def test_an_action_on_chosen_rows_carries_them_along(invoice: Invoice) -> None:
    address = reverse("admin:invoicing_invoice_changelist")
    chosen = {"action": "void_chosen", "_selected_action": [str(invoice.pk)]}
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(person("ada", "approver"))
        clock.tick(LATER)
        answer = client.post(address, chosen)
        assert asks(answer)
        asked = client.post(address, {**inputs(answer), "proof": PASSWORD})
        assert not asks(asked) and "Void: 1 invoice?" in asked.content.decode()
        client.post(address, {**chosen, "reason": "billed twice"})
        invoice.refresh_from_db()
        assert invoice.status == "void"
        # What is free and what is not, in one request: it is not.
        clock.tick(LATER)
        assert asks(client.post(address, {"action": ["", "void_chosen"], "index": "1"}))


def test_a_file_does_not_leave_the_browser_on_the_question(invoice: Invoice, settings: Any) -> None:
    page = f"{reverse('admin:invoicing_invoice_changelist')}?status__exact=issued"
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(person("fay", "finance"))
        clock.tick(LATER)
        address = reverse("export_invoicing_invoice") + "?status__exact=issued"
        answer = client.post(address)
        assert asks(answer) and f'href="{address}"' in answer.content.decode(), "the way back has its filters"
        answer = client.post(address, {"proof": PASSWORD}, follow=True)
        # The list asks for the file by itself, once.
        assert answer.redirect_chain[-1][0] == page and "data-asked" in answer.content.decode()
        assert client.post(address)["Content-Type"].startswith("text/csv")
        assert "data-asked" not in client.get(page).content.decode()
        settings.STAFF_PROOF_MINUTES = 0
        assert client.post(address, {"proof": PASSWORD})["Content-Type"].startswith("text/csv")


def test_a_form_of_many_inputs_carries_all(world: World) -> None:
    world.customer()
    data = {
        "customer": "acme",
        "rate_card": "",
        "prices-TOTAL_FORMS": "0",
        "conditions": "a: 1\nb: 2",
        "credits": "äöü",
    }
    address = reverse("admin:contracts_contract_add")
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(person("fay", "finance"))
        clock.tick(LATER)
        assert not asks(client.post(address, {**data, "_preview": "1"})), "a preview stores nothing"
        answer = client.post(address, data)
        assert asks(answer) and inputs(answer) == {name: [value] for name, value in data.items()}
    assert (Contract.objects.count(), Customer.objects.count()) == (0, 1)


def test_another_persons_password_proves_nothing(invoice: Invoice) -> None:
    other = User.objects.create_user("ben", password="another one indeed", is_staff=True)
    address = reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(person("ada", "approver"))
        clock.tick(LATER)
        assert asks(client.post(address, {"reason": "r", "proof": "another one indeed", "username": other.username}))
        # And guessing it is limited like at the login.
        for _ in range(4):
            client.post(address, {"reason": "r", "proof": "guess"})
        assert "Too many wrong passwords" in client.post(address, {"reason": "r", "proof": PASSWORD}).content.decode()
        invoice.refresh_from_db()
        assert invoice.status == "issued"


def test_each_time_where_it_is_set_so(invoice: Invoice, settings: Any) -> None:
    settings.STAFF_PROOF_MINUTES = 0
    address = reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])
    client = by_password(person("ada", "approver"))
    assert asks(client.post(address, {"reason": "r"}))
    assert client.post(address, {"reason": "r", "proof": PASSWORD}).status_code == 302
    assert asks(client.post(address, {"reason": "r"}))


def test_a_machine_whose_clock_is_behind_believes_the_other(invoice: Invoice) -> None:
    address = reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(person("ada", "approver"))
        clock.move_to(NOON - timedelta(seconds=2))
        assert client.post(address, {"reason": "billed twice"}).status_code == 302
