"""API keys: how they are made, recognised and verified.

A key is ``hf_live_<24 base62 characters>_<6 characters of CRC>`` (``hf_test_…``): 142 random bits, and a checksum over
all that stands before it, so that a mistyped or truncated key is refused without asking the database, and scanners can
tell a leaked key from noise. Only HMAC-SHA256 under ``settings.API_KEY_PEPPER`` is stored.

Verified keys are kept in this process for `CACHE_SECONDS`: intake must not pay a query a request. So a revocation takes
effect at once in the process that does it, and within `CACHE_SECONDS` in every other; an expiry always at once.
"""

import hashlib
import hmac
import re
import secrets
import time
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from access import ids
from access.models import ApiKey
from access.permissions import granted

CACHE_SECONDS = 5.0
CACHE_SIZE = 4096
LAST_USED_EVERY = timedelta(minutes=1)
SECRET_LENGTH = 24

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORMAT = re.compile(r"(hf_(?:live|test)_[0-9A-Za-z]{22,64})_([0-9A-Za-z]{6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AuthenticatedKey:
    """The verified key of a request (``request.auth`` and ``request.user``)."""

    id: UUID
    name: str
    scopes: tuple[str, ...]
    granted: frozenset[str]
    live: bool
    expires_at: datetime | None

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def public_id(self) -> str:
        """For logs and audit entries: names the key, opens nothing."""
        return ids.encode(ApiKey.PREFIX, self.id)

    def __str__(self) -> str:
        return self.name


def generate(*, live: bool) -> str:
    """A new key's text. It is shown once and never stored."""
    secret = "".join(secrets.choice(_BASE62) for _ in range(SECRET_LENGTH))
    body = f"hf_{'live' if live else 'test'}_{secret}"
    return f"{body}_{checksum(body)}"


def checksum(body: str) -> str:
    """Six base62 characters of the CRC-32 of what stands before them."""
    number = zlib.crc32(body.encode())
    characters = []
    for _ in range(6):
        number, digit = divmod(number, 62)
        characters.append(_BASE62[digit])
    return "".join(reversed(characters))


def is_well_formed(text: str) -> bool:
    """Shape and checksum, without the database."""
    match = _FORMAT.fullmatch(text)
    return match is not None and checksum(match[1]) == match[2]


def digest(text: str) -> bytes:
    """What is stored of a key."""
    return hmac.digest(settings.API_KEY_PEPPER.encode(), text.encode(), hashlib.sha256)


def create(
    name: str, scopes: list[str], *, now: datetime, live: bool = True, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key and its text. One row is inserted; ValidationError when name, scopes or expiry make no sense."""
    text = generate(live=live)
    key = ApiKey(
        id=ids.uuid7(now),
        name=name,
        live=live,
        display=text[:12],
        digest=digest(text),
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
    )
    key.full_clean()
    key.save(force_insert=True)
    return key, text


def revoke(key_id: UUID, *, now: datetime) -> bool:
    """Revoke a key for good; False when it was revoked before (the first moment stays)."""
    changed = ApiKey.objects.filter(id=key_id, revoked_at=None).update(revoked_at=now)
    clear_cache()
    return changed == 1


_cache: dict[bytes, tuple[float, AuthenticatedKey]] = {}


def clear_cache() -> None:
    """Forget what this process has verified."""
    _cache.clear()


def verify(text: str, *, now: datetime) -> AuthenticatedKey | None:
    """The key, or None: malformed, unknown, expired and revoked are not told apart."""
    if not is_well_formed(text):
        return None
    stored = digest(text)
    entry = _cache.get(stored)
    if entry is not None and entry[0] > time.monotonic():
        key: AuthenticatedKey | None = entry[1]
    else:
        key = _load(stored, now)
    if key is None or (key.expires_at is not None and key.expires_at <= now):
        return None
    return key


def _load(stored: bytes, now: datetime) -> AuthenticatedKey | None:
    """Read a key from the database and remember it. Unknown keys are not remembered: they must not fill the cache."""
    row = ApiKey.objects.filter(digest=stored, revoked_at=None).first()
    if row is None:
        _cache.pop(stored, None)
        return None
    if (row.expires_at is None or row.expires_at > now) and (
        row.last_used_at is None or row.last_used_at <= now - LAST_USED_EVERY
    ):
        # The filter keeps it at one write a minute when many processes see the key at once.
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_EVERY)
        ApiKey.objects.filter(stale, id=row.id).update(last_used_at=now)
    key = AuthenticatedKey(row.id, row.name, tuple(row.scopes), granted(row.scopes), row.live, row.expires_at)
    if len(_cache) >= CACHE_SIZE:
        _cache.clear()
    _cache[stored] = (time.monotonic() + CACHE_SECONDS, key)
    return key
