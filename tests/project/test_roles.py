"""Who may open which page of the admin and take which action: all of them, found by the URL resolver, against the table
in roles.txt. A page or an action that is not in the table fails, until somebody has said who it is for.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db.models import UUIDField
from django.http import Http404, HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from access import roles
from access.sessions import SessionStore
from contracts.models import RateCard
from invoicing import billing
from invoicing.models import Invoice
from outcomes.models import Outcome
from tests.invoicing.conftest import World, make_world, world

__all__ = ["make_world", "world"]

pytestmark = pytest.mark.django_db

TABLE = Path(__file__).with_name("roles.txt")
NAMES = [role.name for role in roles.ROLES]
FREE = " free"  # for test_proof
NOBODY = "staff"  # without a role
# For everybody who is staff: getting in and out, and what finds only that which somebody sees anyway.
FOR_ALL_STAFF = {
    "", "login/", "logout/", "password_change/", "password_change/done/", "autocomplete/", "jsi18n/",
    "search/",
    "second-factor/",
    # Of the filters somebody saved themselves; which lists, is asked of each (tests/workplace/test_saved_filters.py).
    "saved-filters/", "saved-filters/<int:pk>/remove/",
}  # fmt: skip


def user_of(role: str) -> User:
    user = User.objects.create_user(role, is_staff=True)
    if role != NOBODY:
        user.groups.add(Group.objects.get(name=role))
    return user


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(user_of(role))
    return client


Ask = Callable[[str, str], HttpResponse]
"""What a method and an address are answered with."""


def views_for(user: User) -> Ask:
    """The view that the resolver finds, asked for ``user``: what it refuses, and not how a page looks. At a tenth of
    the price of a client's request: the middleware before it lets all staff through, and would read session, person
    and permissions anew each time.
    """

    def ask(method: str, address: str) -> HttpResponse:
        request = RequestFactory().generic(method, address)
        request.user, request.session, request.resolver_match = user, SessionStore(), resolve(address)
        request._messages, request._dont_enforce_csrf_checks = CookieStorage(request), True
        view, args, kwargs = request.resolver_match
        try:
            return view(request, *args, **kwargs)
        except PermissionDenied:
            return HttpResponse(status=403)
        except Http404:
            return HttpResponse(status=404)

    return ask


def through_all(user: User) -> Ask:
    """All of a request, from the middleware to the page that is drawn."""
    client = Client()
    client.force_login(user)
    return client.generic


@pytest.fixture(scope="module")
def expected() -> dict[str, set[str]]:
    """Of each page and action in the table, the roles that may."""
    found: dict[str, set[str]] = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, *marks = line.removesuffix(FREE).split()
            assert name not in found and len(marks) == len(NAMES), line
            assert set(marks) <= {"yes", "-"}, line
            found[name] = {role for role, mark in zip(NAMES, marks, strict=True) if mark == "yes"}
    return found


# --- Every page and action there is -----------------------------------------------------------------------------------


def flat(patterns: Any, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for one in patterns:
        here = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from flat(one.url_patterns, here)
        else:
            yield here, one


def pages() -> dict[str, str]:
    """Every address under admin/, and one to ask for: with the id of a row that is not there."""
    key_fields = {
        f"{model._meta.app_label}/{model._meta.model_name}/": model._meta.pk for model in admin.site._registry
    }
    found = {}
    for route, pattern in flat(get_resolver().url_patterns):
        name = route.removeprefix("admin/")
        if name == route:
            continue
        if "app_label" in name:  # a regular expression of all apps
            for app in pattern.pattern.regex.pattern.split("(?P<app_label>")[1].split(")")[0].split("|"):
                found[f"{app}/"] = f"/admin/{app}/"
            continue
        if "(?P<url>" in name:  # whatever is no page
            continue
        field = next((field for prefix, field in key_fields.items() if name.startswith(prefix)), None)
        by_uuid = isinstance(field, UUIDField) or "<uuid:" in name
        missing = "00000000-0000-0000-0000-000000000000" if by_uuid else "0"
        found[name] = "/admin/" + re.sub(r"<[^>]+>", missing, name)
    return found


def listed_pages() -> dict[str, str]:
    """Those that the table lists. Deleting and the pages of a history have tests of their own; the short address of a
    row is a redirect to its page. Seeing a row (`change/`) and saving its form (`change/!save`) are two things.
    """
    return {
        name: address
        for name, address in pages().items()
        if name not in FOR_ALL_STAFF and not name.endswith(("/history/", "/delete/", "<path:object_id>/"))
    }


def forms() -> dict[str, str]:
    return {f"{name}!save": address for name, address in listed_pages().items() if name.endswith("/change/")}


def bulk_actions() -> dict[str, tuple[Any, str]]:
    """Every action on chosen rows of a list: ``app/model/!action``."""
    return {
        f"{model._meta.app_label}/{model._meta.model_name}/!{action}": (model_admin, action)
        for model, model_admin in admin.site._registry.items()
        for action in [
            name if isinstance(name, str) else name.__name__
            for name in [*(model_admin.actions or ()), *(name for _, name, _ in model_admin._get_base_actions())]
        ]
        if action != "delete_selected"
    }


def is_of_an_app(name: str) -> bool:
    return re.fullmatch(r"\w+/", name) is not None


def lets(ask: Ask, name: str, address: str) -> bool:
    """Whether a page is open to somebody, by GET and by an empty POST alike; neither changes anything."""
    if is_of_an_app(name):  # not there for who sees nothing in it
        return ask("GET", address).status_code == 200
    methods = ["POST"] if name.endswith("!save") else ["GET"]
    if not name.endswith(("/change/", "!save")):
        methods.append("POST")
    answers = {ask(method, address).status_code for method in methods} - {405}
    shut = {code for code in answers if code == 403}
    assert not shut or answers == {403}, (address, answers)
    assert all(code < 500 for code in answers), (address, answers)
    return not shut


# --- The matrix -------------------------------------------------------------------------------------------------------


def test_every_page_and_action_is_listed(expected: dict[str, set[str]]) -> None:
    there = {*listed_pages(), *forms(), *bulk_actions()}
    assert len(there) > 150
    assert there - set(expected) == set(), "say in roles.txt who these are for"
    assert set(expected) - there == set(), "these are in roles.txt, and nowhere else"


@pytest.mark.parametrize("role", [*NAMES, NOBODY])
def test_pages(role: str, expected: dict[str, set[str]]) -> None:
    """Each page is drawn for the owner, to whom the most are open."""
    user = user_of(role)
    ask = through_all(user) if role == "owner" else views_for(user)
    wrong = {}
    for name, address in {**listed_pages(), **forms()}.items():
        open_ = lets(ask, name, address)
        if open_ != (role in expected.get(name, ())):
            wrong[name] = open_
    assert wrong == {}


@pytest.mark.parametrize("role", [*NAMES, NOBODY])
def test_actions_on_chosen_rows(role: str, expected: dict[str, set[str]]) -> None:
    request = RequestFactory().get("/admin/")
    request.user = user_of(role)
    wrong = {}
    for name, (model_admin, action) in bulk_actions().items():
        offered = action in model_admin.get_actions(request)
        if offered != (role in expected.get(name, ())):
            wrong[name] = offered
    assert wrong == {}


def test_nobody_deletes_but_groups_of_their_own() -> None:
    for role in [*NAMES, NOBODY]:
        user = user_of(role)
        ask = views_for(user)
        request = RequestFactory().get("/admin/")
        request.user = user
        for name, address in pages().items():
            if name.endswith("/delete/"):
                allowed = (role, name) == ("owner", "auth/group/<path:object_id>/delete/")
                answers = {ask(method, address).status_code for method in ("GET", "POST")}
                assert (answers == {302}) if allowed else (answers == {403}), (role, name, answers)
        offering = {model._meta.model_name for model, one in admin.site._registry.items()
                    if "delete_selected" in one.get_actions(request)}  # fmt: skip
        assert offering == ({"group"} if role == "owner" else set()), role


def test_nothing_is_open_to_who_is_not_signed_in_or_no_staff() -> None:
    for ask in (Client().generic, views_for(User.objects.create_user("nosy"))):
        for name, address in pages().items():
            if name in ("login/", "logout/"):
                continue
            for method in ("GET", "POST"):
                answer = ask(method, address)
                assert answer.status_code == 302 and answer.url.startswith("/admin/login/"), (name, answer)


def test_a_refusal_is_a_page_of_the_admin() -> None:
    viewer = client_of("viewer")
    for address, status, said in (
        ("/admin/auth/user/", 403, "Not for your role"),
        ("/admin/nothing/", 404, "There is no such page"),
    ):
        answer = viewer.get(address)
        assert answer.status_code == status and said in answer.content.decode()
        assert "Review queue" in answer.content.decode(), "its menu"
    assert b"Review queue" not in Client().get("/portal/nothing/").content


# --- Roles ------------------------------------------------------------------------------------------------------------


def test_every_permission_that_a_role_names_is_there() -> None:
    known = {f"{app}.{name}" for app, name in Permission.objects.values_list("content_type__app_label", "codename")}
    models = {f"{model._meta.app_label}.{model._meta.model_name}" for model in admin.site._registry}
    for role in roles.ROLES:
        assert set(role.may or ()) <= known, role.name
        assert {one for one in role.sees or () if "." in one} <= models | {"payments.step"}, role.name
        assert Group.objects.get(name=role.name)


def test_a_migrate_makes_the_groups_as_they_are_meant(django_assert_max_num_queries: Any) -> None:
    viewer, owner = Group.objects.get(name="viewer"), Group.objects.get(name="owner")
    before = set(viewer.permissions.values_list("pk", flat=True))
    member = user_of("viewer")
    viewer.permissions.add(Permission.objects.get(codename="void_invoices"))
    viewer.permissions.remove(Permission.objects.get(codename="view_invoice"))
    owner.delete()
    call_command("migrate", verbosity=0)
    assert set(viewer.permissions.values_list("pk", flat=True)) == before
    assert Group.objects.get(name="owner").permissions.count() == Permission.objects.count()
    assert list(member.groups.all()) == [viewer], "who is in it is for people to say"


# --- With rows that are there -----------------------------------------------------------------------------------------


@pytest.fixture
def issued(world: World) -> Invoice:
    """An issued invoice of 2.00, and an outcome behind it."""
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, datetime(2026, 3, 15, tzinfo=UTC))
    billing.run(now=datetime(2026, 4, 1, tzinfo=UTC))
    return Invoice.objects.get()


def test_pages_of_rows_that_are_there(issued: Invoice, expected: dict[str, set[str]]) -> None:
    """What is asked of a row's page and of its history is the same with a row as without."""
    rows = [
        issued,
        issued.customer,
        Outcome.objects.get(),
        RateCard.objects.get(),
        User.objects.create_user("somebody"),
    ]
    for role in [*NAMES, NOBODY]:
        client = client_of(role)
        for row in rows:
            page = f"{row._meta.app_label}/{row._meta.model_name}"
            wanted = 200 if role in expected[f"{page}/<path:object_id>/change/"] else 403
            for kind in ("change", "history"):
                answer = client.get(f"/admin/{page}/{row.pk}/{kind}/")
                assert answer.status_code == wanted, (role, page, kind)


def test_a_forged_post_does_nothing(issued: Invoice) -> None:
    """The list's page takes an action only from who is offered it."""
    address, data = "/admin/invoicing/invoice/", {"action": "void_chosen", "_selected_action": [str(issued.pk)]}
    for role in ("viewer", "finance", "engineer", NOBODY):
        client_of(role).post(address, {**data, "reason": "mine"})
        issued.refresh_from_db()
        assert issued.status == "issued", role
    client_of("approver").post(address, {**data, "reason": "billed twice"})
    issued.refresh_from_db()
    assert issued.status == "void"
