"""Limits on guessing passwords: by account and by network address, counted in PostgreSQL.

A try is counted before the password is looked at, under a lock on the row, and taken back when it was right: however
many are sent at once, no more are looked at than were allowed. After some wrong ones each further one makes the next
wait twice as long, up to ``HOLDFAST_STAFF_LOCK_MINUTES``. Names that do not exist are counted like those that do, and
their passwords cost the same time (Django's backend sees to that); names are kept as HMACs, because people type
passwords where the name belongs.

In PostgreSQL rather than in Redis, which may be emptied and is only woken by here: without the database nobody gets in
at all, so no failure of the counter ever lets a guess through.
"""

import hashlib
import hmac
import unicodedata
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from access import addresses
from access.models import Guesses

log = structlog.get_logger("access.guesses")

FIRST_WAIT = timedelta(minutes=1)
FORGOTTEN_AFTER = timedelta(days=1)


class Counter(NamedTuple):
    """One row of guesses: of whom, and how many wrong ones are free."""

    key: str
    free: int


def counters(username: str, address: str | None) -> list[Counter]:
    """What a try of this name from this address counts for, in the order in which rows are locked."""
    found = [Counter(account_key(username), settings.STAFF_GUESSES)]
    if address is not None:
        found.append(Counter(address_key(address), settings.STAFF_ADDRESS_GUESSES))
    return sorted(found)


def account_key(username: str) -> str:
    return _digest("account", unicodedata.normalize("NFKC", username).casefold())


def address_key(address: str) -> str:
    return _digest("address", addresses.network(address))


def _digest(kind: str, text: str) -> str:
    return hmac.new(settings.API_KEY_PEPPER.encode(), f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()


@transaction.atomic
def take(wanted: list[Counter], *, now: datetime) -> datetime | None:
    """Count a try as a wrong one, before it is looked at. None where it may be; else until when none may, and it does
    not count.
    """
    rows = [_locked(one, now) for one in wanted]
    waits = [row.blocked_until for row in rows if row.blocked_until is not None and row.blocked_until > now]
    if waits:
        return max(waits)
    for one, row in zip(wanted, rows, strict=True):
        wrong = 1 if row.last_at <= now - FORGOTTEN_AFTER else row.wrong + 1
        until = None if wrong < one.free else now + _wait(wrong - one.free)
        Guesses.objects.filter(key=one.key).update(wrong=wrong, last_at=now, blocked_until=until)
    return None


def _locked(counter: Counter, now: datetime) -> Guesses:
    """The row, made where there is none. In one statement, as a right password may delete it at any moment."""
    return Guesses.objects.raw(
        "INSERT INTO access_guesses (key, wrong, last_at) VALUES (%s, 0, %s) "
        "ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key RETURNING *",
        [counter.key, now],
    )[0]


def _wait(beyond: int) -> timedelta:
    longest = timedelta(minutes=settings.STAFF_LOCK_MINUTES)
    return min(FIRST_WAIT * 2 ** min(beyond, 20), longest)


@transaction.atomic
def give_back(wanted: list[Counter], username: str) -> None:
    """The try was right: the account starts afresh, the address has one less."""
    mine = account_key(username)
    for one in wanted:
        row = Guesses.objects.select_for_update().filter(key=one.key).first()
        if row is None:
            continue
        if one.key == mine or row.wrong <= 1:
            row.delete()
        else:
            row.wrong, row.blocked_until = row.wrong - 1, None
            row.save()


def locked_until(user: User, *, now: datetime) -> datetime | None:
    """Until when nobody may try a password of this account; None where anybody may."""
    row = Guesses.objects.filter(key=account_key(user.get_username()), blocked_until__gt=now).first()
    return None if row is None else row.blocked_until


def unlock(user: User) -> None:
    """Forget wrong passwords and wrong codes of an account. What its address did stays."""
    Guesses.objects.filter(key=account_key(user.get_username())).delete()
    for model in (TOTPDevice, StaticDevice):
        for device in model.objects.filter(user=user):
            device.throttle_reset()


def sweep(*, now: datetime) -> int:
    """Delete what is forgotten."""
    old = now - FORGOTTEN_AFTER
    deleted, _ = Guesses.objects.filter(last_at__lte=old).exclude(blocked_until__gt=now).delete()
    return deleted


class StaffBackend(ModelBackend):
    """Django's, with limits: whatever asks for a password goes through here. Where no further try may be made,
    ``request.locked_until`` says until when.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        now = timezone.now()
        address = None if request is None else addresses.of(request)
        wanted = counters(username, address)
        until = take(wanted, now=now)
        if until is not None:
            if request is not None:
                request.locked_until = until  # type: ignore[attr-defined]
            log.warning("password_not_tried", address=address, until=until.isoformat())
            raise PermissionDenied
        user: User | None = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            log.warning("password_wrong", address=address)
        else:
            give_back(wanted, username)
        return user

    async def aauthenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:  # type: ignore[override]
        return await sync_to_async(self.authenticate)(request, **credentials)
