"""Staff accounts in the admin."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", password="correct horse battery"))
    return client


@pytest.mark.parametrize("page", ["auth/user/", "auth/user/add/", "auth/group/", "auth/group/add/", ""])
def test_pages_open(staff: Client, page: str) -> None:
    assert staff.get(f"/admin/{page}").status_code == 200


def test_a_user_is_added_and_changed(staff: Client) -> None:
    Group.objects.create(name="bookkeepers")
    added = {
        "username": "maria",
        "password1": "a long one indeed",
        "password2": "a long one indeed",
        "usable_password": "true",
    }
    assert staff.post("/admin/auth/user/add/", added).status_code == 302
    maria = User.objects.get(username="maria")
    assert maria.check_password("a long one indeed")
    assert staff.get(f"/admin/auth/user/{maria.pk}/change/").status_code == 200
    assert staff.get(f"/admin/auth/user/{maria.pk}/password/").status_code == 200
