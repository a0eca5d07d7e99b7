"""Saved filters: kept by a person or for all, above the list they are of, and nothing but filters of that list."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.project.test_roles import client_of
from workplace import saved_filters
from workplace.models import SavedFilter

pytestmark = pytest.mark.django_db

LIST = "/admin/outcomes/outcome/"


@pytest.fixture
def viewer() -> Client:
    return client_of("viewer")


@pytest.fixture
def finance() -> Client:
    return client_of("finance")


def save(client: Client, query: str = "state__exact=provisional", name: str = "In their window", **fields: Any) -> Any:
    data = {"model": "outcomes.outcome", "query": query, "name": name} | fields
    return client.post("/admin/saved-filters/", data, follow=True)


def shown(client: Client, address: str = LIST) -> str:
    return client.get(address).content.decode()


def test_saved_seen_followed_and_removed(viewer: Client) -> None:
    page = save(viewer, "p=3&state__exact=provisional&q=T-1&o=")
    assert page.redirect_chain == [(f"{LIST}?q=T-1&state__exact=provisional", 302)], (
        "neither the page nor what is empty"
    )
    text = page.content.decode()
    assert 'aria-current="page"' in text and "In their window" in text
    [found] = SavedFilter.objects.all()
    assert saved_filters.address(found) == f"{LIST}?q=T-1&state__exact=provisional"
    # In another list there is nothing of it.
    assert "In their window" not in shown(viewer, "/admin/contracts/customer/")
    page = viewer.post(f"/admin/saved-filters/{found.pk}/remove/", follow=True)
    assert page.redirect_chain == [(LIST, 302)]
    assert "In their window</a>" not in shown(viewer) and not SavedFilter.objects.exists()
    said = list(LogEntry.objects.order_by("id").values_list("object_repr", "change_message"))
    assert said == [
        ("In their window", "Saved filters of outcomes.outcome, for oneself: ?q=T-1&state__exact=provisional"),
        ("In their window", "Removed saved filters of outcomes.outcome: ?q=T-1&state__exact=provisional"),
    ]


def test_the_same_name_again_replaces(viewer: Client) -> None:
    save(viewer)
    save(viewer, "state__exact=void")
    assert [one.query for one in SavedFilter.objects.all()] == ["state__exact=void"]


def test_own_are_for_oneself_and_shared_ones_for_all_who_see_the_list(viewer: Client, finance: Client) -> None:
    save(viewer, name="Mine alone")
    save(viewer, name="For us all", shared="on")
    assert "Mine alone" not in shown(finance)
    assert "For us all" in shown(finance) and "(viewer)" in shown(finance)
    one, other = SavedFilter.objects.order_by("-name")
    for found in (one, other):  # who did not save it removes nothing, and is not told whether there is something
        assert finance.post(f"/admin/saved-filters/{found.pk}/remove/").status_code == 404
    assert "saved-filters/" not in shown(finance).split("Export as CSV")[0].split('id="list-tools"')[1]
    # Of a list that somebody does not see, nothing.
    save(finance, "status__exact=draft", "Drafts", model="invoicing.invoice", shared="on")
    engineer = client_of("engineer")
    assert engineer.get("/admin/invoicing/invoice/").status_code == 403
    assert save(engineer, "status__exact=draft", "Mine", model="invoicing.invoice").status_code == 403
    # An owner clears up.
    owner = client_of("owner")
    assert owner.post(f"/admin/saved-filters/{other.pk}/remove/").status_code == 302


@pytest.mark.parametrize(
    ("query", "name", "said"),
    [
        ("", "Nothing", "narrow, search or order"),
        ("p=2", "A page", "narrow, search or order"),
        ("state__exact=void", "  ", "A name is needed"),
        ("state__exact=void", "n" * 61, "A name is needed"),
        ("next=https://evil.example", "Away", "none of this list"),
        ("customer__key=acme", "Looking at what is no filter", "none of this list"),
        ("q=" + "x" * 2000, "Long", "narrow, search or order"),
    ],
)
def test_nothing_but_filters_of_the_list(viewer: Client, query: str, name: str, said: str) -> None:
    page = save(viewer, query, name)
    assert page.redirect_chain == [(LIST, 302)]
    assert said in page.content.decode()
    assert not SavedFilter.objects.exists()


def test_no_address_of_another_site_can_be_made(viewer: Client) -> None:
    page = save(viewer, "//evil.example/?state__exact=void", "Away")
    assert page.redirect_chain == [(LIST, 302)]
    assert save(viewer, model="https://evil.example").status_code == 404
    found = SavedFilter.objects.create(
        user=User.objects.get(username="viewer"), model="outcomes.outcome", name="Old", query="@evil.example/",
        created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    assert saved_filters.address(found).startswith(f"{LIST}?")


def test_a_list_asks_once(viewer: Client) -> None:
    others = User.objects.create_user("otto", is_staff=True)
    others.groups.add(Group.objects.get(name="viewer"))
    client = Client()
    client.force_login(others)
    shown(client)
    with CaptureQueriesContext(connection) as none:
        shown(client)
    for number in range(5):
        save(viewer, name=f"Number {number}", shared="on")
    with CaptureQueriesContext(connection) as five:
        assert shown(client).count("(viewer)") == 5
    assert len(five) == len(none)
    assert len([one for one in five if "workplace_savedfilter" in one["sql"]]) == 1


def test_a_get_changes_nothing(viewer: Client) -> None:
    save(viewer)
    [found] = SavedFilter.objects.all()
    for address in ("/admin/saved-filters/", f"/admin/saved-filters/{found.pk}/remove/"):
        assert viewer.get(address).status_code == 405
    assert SavedFilter.objects.count() == 1


def test_so_many_and_no_more(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_filters, "MOST", 2)
    for number in range(3):
        page = save(viewer, name=f"Number {number}")
    assert "remove one first" in page.content.decode() and SavedFilter.objects.count() == 2
