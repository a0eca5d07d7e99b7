"""Sessions of staff: when they begin and end, whose they are, and what their cookies say."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import freezegun
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

import billing_project.urls  # noqa: F401 - read by the true clock, which its decoders want
from access.models import StaffSession
from access.sessions import SessionStore
from access.tasks import sweep_staff

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anna() -> User:
    user = User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    return user


def by_password(user: User, client: Client | None = None) -> Client:
    client = client or Client()
    given = {"username": user.username, "password": PASSWORD}
    assert client.post("/admin/login/", given).status_code == 302
    return client


def is_in(client: Client) -> bool:
    answer = client.get("/admin/")
    assert answer.status_code == 200 or answer.url == "/admin/login/?next=/admin/"
    return bool(answer.status_code == 200)


def key(client: Client) -> str:
    return client.cookies["sessionid"].value


def test_a_session_ends_half_a_day_after_it_began_whatever_is_done_in_it(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(anna)
        for _ in range(28):
            clock.tick(timedelta(minutes=25))
            assert is_in(client)
        clock.move_to(NOON + timedelta(hours=12) - timedelta(seconds=1))
        assert is_in(client)
        clock.tick(timedelta(seconds=1))
        answer = client.get("/admin/outcomes/outcome/?q=x", follow=True)
        assert answer.redirect_chain == [("/admin/login/?next=/admin/outcomes/outcome/%3Fq%3Dx", 302)]
        assert "A session ends after 12 hours: sign in again." in answer.content.decode()
        assert not is_in(client) and not StaffSession.objects.filter(account=anna).exists()
        by_password(anna, client)
        assert is_in(client)


def test_the_life_is_a_setting(anna: User, settings: Any) -> None:
    settings.STAFF_SESSION_HOURS = 1
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(anna)
        for minutes, expected in ((29, True), (29, True), (2, False)):
            clock.tick(timedelta(minutes=minutes))
            assert is_in(client) is expected


def test_one_that_idled_says_so(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(anna)
        clock.tick(timedelta(minutes=31))
        assert "Your session has ended: sign in again." in client.get("/admin/", follow=True).content.decode()
    client = by_password(anna)
    StaffSession.objects.all().delete()
    client.get("/admin/jsi18n/", headers={"Sec-Fetch-Mode": "no-cors"})
    assert "has ended" not in client.get("/admin/", follow=True).content.decode(), "a page tells it, not its parts"
    assert "has ended" not in Client().get("/admin/", follow=True).content.decode()


def test_a_session_without_a_beginning_is_none(anna: User) -> None:
    """One that an older version made, or that somebody wrote."""
    client = by_password(anna)
    session = client.session
    del session["began"]
    session.save()
    assert not is_in(client)


def test_signing_in_gives_a_new_key(anna: User) -> None:
    client = Client()
    client.get("/admin/login/")
    planted = SessionStore()
    planted["x"] = "planted"
    planted.save()
    client.cookies["sessionid"] = str(planted.session_key)
    by_password(anna, client)
    assert key(client) != planted.session_key
    assert not StaffSession.objects.filter(pk=planted.session_key).exists()
    first = key(client)
    by_password(anna, client)
    assert key(client) != first and not StaffSession.objects.filter(pk=first).exists()


def test_signing_out_ends_it(anna: User) -> None:
    client = by_password(anna)
    kept = key(client)
    client.post("/admin/logout/")
    client.cookies["sessionid"] = kept
    assert not is_in(client)


def _deactivate(user: User) -> None:
    user.is_active = False
    user.save()
    user.is_active = True
    user.save()


CHANGES: dict[str, Callable[[User], Any]] = {
    "password": lambda user: (user.set_password("another one indeed"), user.save()),
    "deactivated, and let in again": _deactivate,
    "no staff": lambda user: User.objects.filter(pk=user.pk).update(is_staff=False),
    "superuser": lambda user: User.objects.filter(pk=user.pk).update(is_superuser=True),
    "a role given": lambda user: user.groups.add(Group.objects.get(name="owner")),
    "a role taken": lambda user: user.groups.clear(),
    "a permission": lambda user: user.user_permissions.add(Permission.objects.get(codename="view_logentry")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_all_of_ones_sessions_end_with_what_they_rest_on(anna: User, change: Callable[[User], Any]) -> None:
    ben = User.objects.create_user("ben", password=PASSWORD, is_staff=True)
    theirs, other = [by_password(anna), by_password(anna)], by_password(ben)
    assert StaffSession.objects.filter(account=anna).count() == 2
    change(anna)
    assert not StaffSession.objects.filter(account=anna).exists()
    assert [is_in(client) for client in theirs] == [False, False] and is_in(other)


def test_what_changes_no_right_ends_nothing(anna: User) -> None:
    client = by_password(anna)
    anna.email = "anna@example.com"
    anna.save()
    anna.groups.add(Group.objects.get(name="viewer"))
    assert is_in(client)


def test_who_changes_their_own_password_stays_in_here_alone(anna: User) -> None:
    here, elsewhere = by_password(anna), by_password(anna)
    new = "another one indeed"
    given = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/admin/password_change/", given).status_code == 302
    assert is_in(here) and not is_in(elsewhere)


def test_an_owner_who_changes_their_own_roles_stays_in_here_alone() -> None:
    olga = User.objects.create_user("olga", password=PASSWORD, is_staff=True)
    owner, viewer = Group.objects.get(name="owner"), Group.objects.get(name="viewer")
    olga.groups.add(owner)
    here, elsewhere = by_password(olga), by_password(olga)
    form = {
        "username": "olga", "is_active": "on", "is_staff": "on", "groups": [owner.pk, viewer.pk], "reason": "to see it",
        "date_joined_0": "2026-01-01", "date_joined_1": "10:00",
    }  # fmt: skip
    assert here.post(f"/admin/auth/user/{olga.pk}/change/", form).status_code == 302
    assert set(olga.groups.all()) == {owner, viewer}
    assert is_in(here) and not is_in(elsewhere)


def test_what_is_over_is_swept(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        by_password(anna)
        clock.tick(timedelta(minutes=29))
        sweep_staff()
        assert StaffSession.objects.count() == 1
        clock.tick(timedelta(minutes=2))
        sweep_staff()
        assert StaffSession.objects.count() == 0
    assert not Session.objects.exists(), "Django's own table is not in use"


def test_it_costs_no_query_more(anna: User) -> None:
    """One for the session and one for whose it is; the rest is the page's."""
    client = by_password(anna)
    with connection.execute_wrapper(lambda do, sql, *rest: (seen.append(sql), do(sql, *rest))[1]):
        seen: list[str] = []
        client.get("/admin/password_change/")
    assert len([sql for sql in seen if sql.startswith("SELECT") and '"auth_user"' in sql]) == 1
    assert len([sql for sql in seen if '"access_staffsession"' in sql and sql.startswith("SELECT")]) == 1


# --- In production ----------------------------------------------------------------------------------------------------


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = connection.settings_dict
    given = {
        "HOLDFAST_ENV": "production",
        "HOLDFAST_SECRET_KEY": "s" * 25 + "0123456789abcdefghijklmnopqrstuvwxyz",
        "HOLDFAST_API_KEY_PEPPER": "p" * 48,
        "HOLDFAST_ALLOWED_HOSTS": "billing.example.com",
        "HOLDFAST_TRUSTED_PROXIES": "1",
        "HOLDFAST_PUBLIC_URL": "https://billing.example.com",
        "DATABASE_URL": f"postgres://{settings['USER']}@/{settings['NAME']}?host={settings['HOST']}",
        "REDIS_URL": "unix:///nowhere.sock",
    }
    command = [sys.executable, "manage.py", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | given | environment
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)


def test_production_has_its_checks_and_cookies_in_order() -> None:
    code = (
        "from django.conf import settings as s; from django.core.management import call_command; "
        "call_command('check', deploy=True, tags=['security'], fail_level='WARNING'); "
        "print('cookies', s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY, s.SESSION_COOKIE_SAMESITE, "
        "s.CSRF_COOKIE_SECURE, s.CSRF_COOKIE_SAMESITE, s.SESSION_COOKIE_DOMAIN, s.SESSION_EXPIRE_AT_BROWSER_CLOSE)"
    )
    done = manage("shell", "--no-imports", "-c", code)
    assert done.returncode == 0 and "no issues" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "cookies True True Lax True Lax None True"


@pytest.mark.parametrize("name", ["HOLDFAST_STAFF_SESSION_HOURS", "HOLDFAST_STAFF_GUESSES", "HOLDFAST_TRUSTED_PROXIES"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    done = manage("check", **{name: "-1"})
    assert done.returncode == 1 and f"{name}: give a whole number of" in done.stderr


def test_cookies_here(anna: User) -> None:
    cookie = by_password(anna).cookies["sessionid"]
    assert cookie["httponly"] is True and cookie["samesite"] == "Lax" and cookie["path"] == "/"
