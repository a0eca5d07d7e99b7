"""A second factor for staff: without it no page of the admin opens; how it is set up, used, lost and reset."""

import re
from base64 import b32decode
from datetime import UTC, datetime, timedelta
from typing import Any

import freezegun
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from access.second_factor import SecondFactorMiddleware
from tests.project.test_roles import pages

pytestmark = pytest.mark.django_db
HERE = "/admin/second-factor/"
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def switched_on(settings: Any) -> None:
    settings.STAFF_TOTP = True


@pytest.fixture
def anna() -> User:
    user = User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    return user


def by_password(user: User) -> Client:
    client = Client()
    answer = client.post("/admin/login/", {"username": user.username, "password": PASSWORD})
    assert (answer.status_code, answer.url) == (302, "/admin/")
    return client


def code(user: User) -> str:
    """What their app shows now."""
    device = TOTPDevice.objects.get(user=user)
    return f"{totp(device.bin_key):06d}"


def set_up(user: User) -> tuple[Client, list[str]]:
    """Somebody who is in, and their backup codes."""
    client = by_password(user)
    assert client.get(HERE).status_code == 200
    answer = client.post(HERE, {"code": code(user)})
    found = re.findall(r"<li>([a-z2-7]{8})</li>", answer.content.decode())
    assert len(set(found)) == 10
    return client, found


def is_in(client: Client) -> bool:
    answer = client.get("/admin/")
    assert answer.status_code == 200 or answer.url == f"{HERE}?next=/admin/"
    return bool(answer.status_code == 200)


def test_no_page_opens_to_a_password_alone(anna: User) -> None:
    anna.is_superuser = True
    anna.save()
    there = pages()
    assert len(there) > 200
    # Of the middleware that every request goes through; then some through all of it.
    anna.is_verified = lambda: False
    middleware = SecondFactorMiddleware(lambda request: HttpResponse())
    for name, address in there.items():
        if name in ("login/", "logout/", "jsi18n/", "second-factor/"):
            continue
        for method in ("GET", "POST"):
            request = RequestFactory().generic(method, address)
            request.user = anna
            answer = middleware(request)
            assert answer.status_code == 302 and answer.url.startswith(f"{HERE}?next=/admin/"), name
    client = by_password(anna)
    for address in ("/admin/", there["invoicing/invoice/"], there["queue/"], "/admin/whatever/there/is"):
        for answer in (client.get(address), client.post(address)):
            assert answer.status_code == 302 and answer.url.startswith(f"{HERE}?next=/admin/"), address


def test_it_is_set_up_and_asked_for(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(anna)
        page = client.get("/admin/outcomes/outcome/", follow=True).content.decode()
        assert "<svg " in page and "Set up" in page
        shown = re.search(r"((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})", page)
        assert shown and b32decode(shown[1].replace(" ", "")) == TOTPDevice.objects.get().bin_key
        assert not TOTPDevice.objects.get().confirmed and not is_in(client)
        client.get(HERE)
        answer = client.post(f"{HERE}?next=/admin/outcomes/outcome/", {"code": code(anna)})
        assert (
            "Backup codes" in answer.content.decode() and 'href="/admin/outcomes/outcome/"' in answer.content.decode()
        )
        assert is_in(client)

        other = by_password(anna)
        assert "<svg" not in other.get(HERE).content.decode(), "the key is shown no more"
        assert "is not right" in other.post(HERE, {"code": code(anna)}).content.decode(), "a code is good for once"
        clock.tick(timedelta(minutes=1))
        assert (
            other.post(f"{HERE}?next=/admin/outcomes/event/", {"code": f" {code(anna)} "}).url
            == "/admin/outcomes/event/"
        )
        assert is_in(other)
        assert other.get(HERE).status_code == 302
        clock.tick(timedelta(minutes=1))
        third = by_password(anna)
        assert third.post(f"{HERE}?next=https://evil.example/", {"code": code(anna)}).url == "/admin/"


def test_a_key_that_was_seen_before_is_not_the_one_that_counts(anna: User) -> None:
    """Whoever had the password and opened the page first does not know the key that is confirmed."""
    by_password(anna).get(HERE)
    stolen = TOTPDevice.objects.get().key
    set_up(anna)
    assert TOTPDevice.objects.get().key != stolen


def test_a_backup_code_is_good_for_once(anna: User) -> None:
    _, codes = set_up(anna)
    client = by_password(anna)
    client.post(HERE, {"code": codes[0].upper()})
    assert is_in(client)
    again = by_password(anna)
    assert "is not right" in again.post(HERE, {"code": codes[0]}).content.decode()
    assert not is_in(again)


def test_guessing_is_slowed_down(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        set_up(anna)
        clock.tick(timedelta(minutes=1))
        guesser = by_password(anna)
        right = code(anna)
        wrong = "000000" if right != "000000" else "000001"
        for bad in ("", "12", "１２３４５６", "a" * 300, wrong):
            page = guesser.post(HERE, {"code": bad}).content.decode()
        assert "Too many wrong codes: try again after 12:01:" in page
        assert "Too many wrong codes" in guesser.post(HERE, {"code": right}).content.decode()
        assert not is_in(guesser)
        clock.tick(timedelta(minutes=2))
        guesser.post(HERE, {"code": code(anna)})
        assert is_in(guesser)


def test_another_persons_code_opens_nothing(anna: User) -> None:
    ben = User.objects.create_user("ben", password=PASSWORD, is_staff=True)
    with freezegun.freeze_time(NOON) as clock:
        set_up(anna)
        _, codes = set_up(ben)
        clock.tick(timedelta(minutes=1))
        client = by_password(anna)
        for theirs in (code(ben), codes[0]):
            client.post(HERE, {"code": theirs})
            assert not is_in(client)
            clock.tick(timedelta(minutes=1))
        client.post(HERE, {"code": code(anna)})
        assert is_in(client)


def test_who_is_no_staff_sets_nothing_up() -> None:
    user = User.objects.create_user("nosy", password=PASSWORD)
    client = Client()
    assert client.get(HERE).url == f"/admin/login/?next={HERE}"
    client.force_login(user)
    assert client.get(HERE).url == "/admin/login/"
    assert not TOTPDevice.objects.exists()


def test_an_owner_resets_it(anna: User) -> None:
    lost, _ = set_up(anna)
    olga = User.objects.create_user("olga", password=PASSWORD, is_staff=True)
    olga.groups.add(Group.objects.get(name="owner"))
    owner, _ = set_up(olga)
    address = f"/admin/auth/user/{anna.pk}/reset_this/"
    assert "second factor of anna" in owner.get(address).content.decode()
    assert "this is needed" in owner.post(address).content.decode() and is_in(lost)
    assert owner.post(address, {"reason": "lost her phone"}).status_code == 302
    assert LogEntry.objects.get().change_message == "Reset the second factor: lost her phone"
    assert not is_in(lost), "who is in by the old one is out"
    assert is_in(set_up(anna)[0])
    boss = User.objects.create_superuser("boss")
    assert owner.post(f"/admin/auth/user/{boss.pk}/reset_this/", {"reason": "r"}).status_code == 403
    for page in ("otp_totp/totpdevice/", "otp_static/staticdevice/"):
        assert owner.get(f"/admin/{page}").status_code == 404, "no page shows keys"


def test_switched_off_it_is_not_asked_for(anna: User, settings: Any) -> None:
    settings.STAFF_TOTP = False
    client = by_password(anna)
    assert is_in(client)
    assert client.get(HERE).url == "/admin/" and not TOTPDevice.objects.exists()


def test_half_an_hour_without_a_request_ends_a_session(anna: User, settings: Any) -> None:
    settings.STAFF_TOTP = False
    with freezegun.freeze_time(NOON) as clock:
        client = by_password(anna)
        for _ in range(3):
            clock.tick(timedelta(minutes=29))
            assert client.get("/admin/").status_code == 200
        clock.tick(timedelta(minutes=31))
        assert client.get("/admin/").url.startswith("/admin/login/")
