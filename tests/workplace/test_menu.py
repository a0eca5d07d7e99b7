"""The menu leads to every page there is, once, and shows a person those that they may open."""

from collections import Counter

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from django.urls import reverse

from workplace.menu import MENU, navigation

pytestmark = pytest.mark.django_db


def test_every_list_is_in_it_once() -> None:
    entries = Counter(entry.model for group in MENU for entry in group.entries)
    assert entries == Counter(model._meta.label_lower for model in admin.site._registry)


@pytest.mark.parametrize("role", ["viewer", "engineer"])
def test_it_shows_what_a_role_may_open(role: str) -> None:
    user = User.objects.create_user("somebody", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    request = RequestFactory().get("/")
    request.user = user
    links = [item["link"] for group in navigation(request) for item in group["items"]]
    assert (reverse("admin:invoicing_invoice_changelist") in links) == (role == "viewer")
    assert (reverse("admin:access_apikey_changelist") in links) == (role == "engineer")
    assert reverse("workbench_condition_new") in links
    client = Client()
    client.force_login(user)
    page = client.get(reverse("admin:index")).content.decode()
    assert all(f'href="{link}"' in page for link in links)
