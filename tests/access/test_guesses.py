"""Guessing passwords: how many tries there are, for an account and from an address, also when they come at once."""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import freezegun
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.test import Client, RequestFactory
from django_otp.plugins.otp_totp.models import TOTPDevice

import billing_project.urls  # noqa: F401 - read by the true clock, which its decoders want
from access import addresses, guesses
from access.login import WRONG
from access.models import Guesses

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"
LOCKED = re.compile(r"none is looked at before (\d\d:\d\d:\d\d) UTC")


@pytest.fixture
def anna(db: None) -> User:
    user = User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    return user


def sign_in(name: str, password: str, address: str = "203.0.113.1", **headers: str) -> str:
    """ "in", "wrong", or until when nobody may try."""
    given = {"username": name, "password": password}
    answer = Client(REMOTE_ADDR=address).post("/admin/login/", given, headers=headers)
    if answer.status_code == 302:
        return "in"
    text = answer.content.decode()
    found = LOCKED.search(text)
    assert found or WRONG.replace("'", "&#x27;") in text
    return found[1] if found else "wrong"


# --- For an account ---------------------------------------------------------------------------------------------------


def test_each_wrong_one_makes_the_wait_twice_as_long(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        told = [sign_in("anna", "guess") for _ in range(5)]
        assert told == ["wrong"] * 5
        expected, waits = NOON + timedelta(minutes=1), []
        for _ in range(9):
            until = f"{expected:%H:%M:%S}"
            assert [sign_in("anna", password) for password in ("guess", PASSWORD)] == [until, until]
            waits.append(round((expected - datetime.now(UTC)).total_seconds() / 60))
            clock.move_to(expected)
            assert sign_in("anna", "guess") == "wrong"
            row = Guesses.objects.get(key=guesses.account_key("anna"))
            assert row.blocked_until is not None
            expected = row.blocked_until
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        clock.move_to(expected)
        assert sign_in("anna", PASSWORD) == "in"
        assert sign_in("anna", "guess") == "wrong", "all is forgiven"


def test_what_waits_is_not_counted(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        for _ in range(5):
            sign_in("anna", "guess")
        before = Guesses.objects.get(key=guesses.account_key("anna"))
        for _ in range(20):
            assert sign_in("anna", "guess") == "12:01:00"
        after = Guesses.objects.get(key=guesses.account_key("anna"))
        assert (before.wrong, before.blocked_until) == (after.wrong, after.blocked_until)
        clock.tick(timedelta(minutes=1))
        assert sign_in("anna", PASSWORD) == "in"


def test_wrong_ones_of_yesterday_are_forgotten_and_swept(anna: User) -> None:
    with freezegun.freeze_time(NOON) as clock:
        for _ in range(4):
            sign_in("anna", "guess")
        clock.tick(timedelta(days=1))
        for _ in range(4):
            assert sign_in("anna", "guess") == "wrong"
        clock.tick(timedelta(hours=23))
        assert guesses.sweep(now=datetime.now(UTC)) == 0
        clock.tick(timedelta(hours=1))
        assert guesses.sweep(now=datetime.now(UTC)) == 2
        assert not Guesses.objects.exists()


def test_names_that_are_not_there_are_answered_alike(anna: User, settings: Any) -> None:
    """The same words, the same number of tries, the same work on the password."""
    worked: list[str] = []

    class Counted(MD5PasswordHasher):
        def encode(self, password: str, salt: str) -> str:
            worked.append(password)
            return str(super().encode(password, salt))

    settings.PASSWORD_HASHERS = [f"{__name__}.Counted"]
    globals()["Counted"] = Counted
    anna.set_password(PASSWORD)
    anna.save()
    User.objects.create_user("gone", password=PASSWORD, is_staff=True, is_active=False)
    User.objects.create_user("customer", password=PASSWORD)
    User.objects.create_user("none", is_staff=True)
    with freezegun.freeze_time(NOON):
        for number, name in enumerate(("anna", "nobody", "gone", "customer", "none")):
            worked.clear()
            told = [sign_in(name, "guess", f"203.0.113.{number}") for _ in range(6)]
            assert told == ["wrong"] * 5 + ["12:01:00"], name
            assert len(worked) == 5, name
    for name in ("gone", "customer"):
        guesses.unlock(User.objects.get(username=name))
        assert sign_in(name, PASSWORD) == "wrong"


def test_names_are_one_however_they_are_written(anna: User) -> None:
    for name in ("anna", "ANNA", "Anna", "ａnna", "aNNa"):
        sign_in(name, "guess")
    assert sign_in("anna", PASSWORD) != "in"


def test_names_are_not_kept(anna: User) -> None:
    sign_in("my password, typed in the wrong place", "x")
    assert all(re.fullmatch("[0-9a-f]{64}", row.key) for row in Guesses.objects.all())


# --- From an address --------------------------------------------------------------------------------------------------


def test_an_address_has_so_many_for_all_names_together(anna: User) -> None:
    with freezegun.freeze_time(NOON):
        for number in range(20):
            assert sign_in(f"name{number}", "guess") == "wrong"
        assert sign_in("anna", PASSWORD) == "12:01:00"
        assert sign_in("anna", PASSWORD, "203.0.113.2") == "in", "from elsewhere"


def test_who_is_in_costs_an_office_nothing(anna: User) -> None:
    with freezegun.freeze_time(NOON):
        for _ in range(21):
            assert sign_in("anna", PASSWORD) == "in"
        for number in range(18):
            sign_in(f"name{number}", "guess")
        for _ in range(3):
            assert sign_in("anna", PASSWORD) == "in"
        row = Guesses.objects.get(key=guesses.address_key("203.0.113.1"))
        assert row.wrong == 18, "a right one does not count"


def test_one_client_has_a_whole_network_of_ipv6(anna: User) -> None:
    with freezegun.freeze_time(NOON):
        for number in range(20):
            sign_in(f"name{number}", "guess", f"2001:db8::{number:x}")
        assert sign_in("anna", PASSWORD, "2001:db8::ffff:1") == "12:01:00"
        assert sign_in("anna", PASSWORD, "2001:db8:0:1::1") == "in"


@pytest.mark.parametrize(
    ("hops", "said", "expected"),
    [
        (0, "198.51.100.1", "203.0.113.1"),
        (0, "", "203.0.113.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        (2, "192.0.2.66, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "203.0.113.1"),
        (1, "", "203.0.113.1"),
        (1, "198.51.100.1, unknown", "203.0.113.1"),
        (1, "2001:DB8::1", "2001:db8::1"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
        (1, "x" * 100_000 + ", 198.51.100.1", "198.51.100.1"),
        (1, "198.51.100.1:4711", "203.0.113.1"),
    ],
)
def test_of_x_forwarded_for_only_what_our_own_proxies_wrote(settings: Any, hops: int, said: str, expected: str) -> None:
    settings.TRUSTED_PROXIES = hops
    headers = {"X-Forwarded-For": said} if said else {}
    assert addresses.of(RequestFactory(REMOTE_ADDR="203.0.113.1").get("/", headers=headers)) == expected


@pytest.mark.parametrize("connection_address", ["", "unix:", "\x00"])
def test_without_an_address_the_account_counts_alone(anna: User, connection_address: str) -> None:
    assert addresses.of(RequestFactory(REMOTE_ADDR=connection_address).get("/")) is None
    for _ in range(5):
        assert sign_in("anna", "guess", connection_address) == "wrong"
    assert sign_in("anna", PASSWORD, connection_address) != "in"
    assert Guesses.objects.count() == 1


def test_a_forged_header_gives_no_more_tries(anna: User) -> None:
    for number in range(5):
        sign_in("anna", "guess", **{"X-Forwarded-For": f"198.51.100.{number}"})
    for number in range(15):
        sign_in(f"name{number}", "guess", **{"X-Forwarded-For": f"198.51.100.{number}"})
    assert Guesses.objects.get(key=guesses.address_key("203.0.113.1")).wrong == 20


# --- Getting out of it ------------------------------------------------------------------------------------------------


def test_an_owner_unlocks_an_account(anna: User) -> None:
    olga = User.objects.create_user("olga", is_staff=True)
    olga.groups.add(Group.objects.get(name="owner"))
    owner = Client()
    owner.force_login(olga)
    device = TOTPDevice.objects.create(user=anna, name="app")
    device.throttle_increment()
    for _ in range(5):
        sign_in("anna", "guess")
    address = f"/admin/auth/user/{anna.pk}/unlock_this/"
    assert "No password of theirs is looked at before" in owner.get(address).content.decode()
    assert owner.post(address, {"reason": "it was her, by phone"}).status_code == 302
    assert LogEntry.objects.get().change_message == "Unlock: it was her, by phone"
    assert sign_in("anna", PASSWORD) == "in"
    device.refresh_from_db()
    assert device.throttling_failure_count == 0
    assert "Nothing keeps them out" in owner.get(address).content.decode()


def test_the_shell_unlocks_an_account(anna: User, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        sign_in("anna", "guess")
    call_command("unlock_staff", "anna")
    assert capsys.readouterr().out == "anna may sign in again.\n"
    assert sign_in("anna", PASSWORD) == "in"
    with pytest.raises(CommandError, match="no account 'nobody'"):
        call_command("unlock_staff", "nobody")


def test_other_ways_to_ask_for_a_password_are_limited_too(anna: User) -> None:
    for _ in range(5):
        assert authenticate(username="anna", password="guess") is None
    assert authenticate(username="anna", password=PASSWORD) is None
    assert authenticate(username="anna") is None and authenticate(password=PASSWORD) is None


# --- At once ----------------------------------------------------------------------------------------------------------


def at_once(work: Callable[[int], Any], count: int) -> list[Any]:
    """What each of so many threads came to, let off together."""
    barrier, came = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        try:
            barrier.wait(30)
            came[number] = work(number)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert None not in came
    return came


def test_many_at_once_have_no_more_tries(committed: None) -> None:
    User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    told = at_once(lambda number: sign_in("anna", "guess", f"203.0.113.{number}"), 16)
    assert told.count("wrong") == 5
    assert Guesses.objects.get(key=guesses.account_key("anna")).wrong == 5


def test_many_names_at_once_from_one_address(committed: None, settings: Any) -> None:
    settings.STAFF_ADDRESS_GUESSES = 6
    User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    told = at_once(lambda number: sign_in(f"name{number}", "guess"), 12)
    assert told.count("wrong") == 6


def test_right_and_wrong_at_once_end_where_they_should(committed: None) -> None:
    """A right one deletes the row that others wait for."""
    User.objects.create_user("anna", password=PASSWORD, is_staff=True)
    for _ in range(3):
        told = at_once(lambda number: sign_in("anna", PASSWORD if number % 2 else "guess"), 8)
        assert told.count("in") >= 1
        with connection.cursor() as cursor:
            cursor.execute("UPDATE access_guesses SET blocked_until = NULL")
