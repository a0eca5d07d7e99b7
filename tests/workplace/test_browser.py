"""The admin's front page in a real Chromium, as finance staff open it in the morning."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone
from playwright.sync_api import expect

from invoicing import billing
from tests.browser import NEEDS_CHROMIUM, Open, chromium, committed_rows, fits, looks, new, picture, server
from tests.invoicing.conftest import make_world

__all__ = ["chromium", "new", "server"]

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def maria(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """Of finance; acme has an invoice of last month and outcomes of this one."""
    with committed_rows(django_db_blocker):
        now = timezone.now()
        this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        world = make_world()
        acme = world.customer(email="ap@acme.example")
        world.contract(acme)
        world.outcomes(acme, 10, this - timedelta(days=5))
        billing.run(now=this + timedelta(minutes=1))
        world.outcomes(acme, 3, this)
        made = User.objects.create_user("maria", is_staff=True)
        made.groups.add(Group.objects.get(name="finance"))
        yield made


@pytest.fixture(scope="module")
def seen(maria: User) -> User:
    return maria


def test_the_front_page(new: Open, maria: User) -> None:
    page = new(maria)
    for look in looks(page, "/admin/"):
        expect(page.get_by_text("20.00").first).to_be_visible()
        assert fits(page), look
        picture(page, f"front-{look}")
