"""Use cases: make a link into the portal, open it, revoke it.

A token is 18 random bytes (144 bits), when it expires, and 24 bytes of HMAC-SHA256 over both, as 64 characters of
base64url. So one that was guessed, cut off or altered, and one that has expired, is refused without a look at the
database, which keeps a keyed digest of the token alone. Times are the wall clock's, also for test customers: a link
opens a door of ours, whatever their clock shows.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from access import error_codes, ids
from access.errors import ApiError, Detail
from contracts.models import Customer
from contracts.refusals import raise_if_any
from invoicing.models import Invoice
from portal.models import PortalLink

# In seconds.
DEFAULT_SPAN: Final = 30 * 86_400
SHORTEST: Final = 60
LONGEST: Final = 366 * 86_400
LAST_USED_EVERY: Final = timedelta(minutes=1)
PARAMETER: Final = "key"

_RANDOM, _EXPIRY, _MAC = 18, 6, 24
_FORM = re.compile(r"[A-Za-z0-9_-]{64}", re.ASCII)

error_codes.register({"invalid_span": "A portal link is valid for 1 minute to 366 days."})


class Unusable(Exception):
    """A link that opens nothing: ``status`` is 404 where it was never one of ours, 410 where it has expired or was
    revoked. People are told no more than that it is not valid.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def create(customer_key: str, *, expires_in: int = DEFAULT_SPAN, by: str, now: datetime) -> tuple[PortalLink, str]:
    """A new link for a customer, valid for so many seconds, and its token, which is told this once. ApiError 404
    without the customer, 422 for a span that makes no sense.
    """
    customer = Customer.objects.filter(key=customer_key).first()
    if customer is None:
        raise no_customer(customer_key)
    raise_if_any([span_problem("expires_in", expires_in)])
    # The token says its end to the second.
    expires_at = (now + timedelta(seconds=expires_in)).replace(microsecond=0)
    token = _token(expires_at)
    link = PortalLink(
        id=ids.uuid7(now), customer=customer, digest=digest(token), created_at=now, created_by=by, expires_at=expires_at
    )
    link.save(force_insert=True)
    return link, token


def for_mail(invoice: Invoice, now: datetime) -> str:
    """A new link for the customer of an invoice, for a mail; empty where no address to reach it by is set."""
    if not settings.PUBLIC_URL:
        return ""
    return url_of(create(invoice.customer.key, by=f"mail about invoice {invoice.number}", now=now)[1])


def no_customer(key: str) -> ApiError:
    """404 for a customer that is not there."""
    return ApiError(404, "not_found", f'There is no customer "{key[:80]}".')


def span_problem(path: str, seconds: int) -> Detail | None:
    """What is wrong with how long a link is to be valid."""
    if SHORTEST <= seconds <= LONGEST:
        return None
    return Detail(path, "A link is valid for 1 minute to 366 days.", "invalid_span")


def opened(token: str, *, now: datetime) -> PortalLink:
    """The link, with its customer, that a token opens. Raises Unusable; a look at the database for a genuine one."""
    raw = _genuine(token)
    if raw is None:
        raise Unusable(404)
    if int.from_bytes(raw[_RANDOM : _RANDOM + _EXPIRY]) <= int(now.timestamp()):
        raise Unusable(410)
    return _usable(Q(digest=digest(token)), now)


def active(link_id: UUID, *, now: datetime) -> PortalLink:
    """The link, with its customer, if it still opens something; notes that it was used. Raises Unusable."""
    return _usable(Q(pk=link_id), now)


@transaction.atomic
def revoke(link_id: UUID, *, customer_key: str | None = None, by: str, now: datetime) -> PortalLink:
    """End a link at once; whoever is in by it is out. Of one that was revoked before, the first moment stays. ApiError
    404 without the link (of this customer, where one is named).
    """
    found = PortalLink.objects.select_for_update(of=("self",)).select_related("customer").filter(pk=link_id)
    if customer_key is not None:
        found = found.filter(customer__key=customer_key)
    link = found.first()
    if link is None:
        raise ApiError(404, "not_found", f"There is no portal link {ids.encode(PortalLink.PREFIX, link_id)}.")
    if link.revoked_at is None:
        link.revoked_at, link.revoked_by = now, by
        link.save(update_fields=["revoked_at", "revoked_by"])
    return link


def locked(link_id: UUID, *, now: datetime) -> PortalLink:
    """The link, locked to the end of the caller's transaction. Raises Unusable where it has ended meanwhile."""
    link = PortalLink.objects.select_for_update().get(pk=link_id)
    if state(link, now=now) != "active":
        raise Unusable(410)
    return link


def state(link: PortalLink, *, now: datetime) -> str:
    """active, expired or revoked."""
    if link.revoked_at is not None:
        return "revoked"
    return "active" if link.expires_at > now else "expired"


def url_of(token: str, request: HttpRequest | None = None) -> str:
    """The address that is sent to the customer: under HOLDFAST_PUBLIC_URL, else under the address that was asked.

    The token stands in the query string, which our access log leaves out.
    """
    path = f"{reverse('portal:enter')}?{urlencode({PARAMETER: token})}"
    if settings.PUBLIC_URL or request is None:
        return f"{settings.PUBLIC_URL}{path}"
    return request.build_absolute_uri(path)


def digest(token: str) -> bytes:
    """What is stored of a token."""
    return hmac.digest(settings.API_KEY_PEPPER.encode(), b"portal link digest\0" + token.encode(), hashlib.sha256)


def _usable(which: Q, now: datetime) -> PortalLink:
    link = PortalLink.objects.select_related("customer").filter(which).first()
    if link is None:
        raise Unusable(404)
    if state(link, now=now) != "active":
        raise Unusable(410)
    if link.last_used_at is None or link.last_used_at <= now - LAST_USED_EVERY:
        # The filter keeps it at one write a minute when many requests come at once.
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_EVERY)
        PortalLink.objects.filter(stale, pk=link.pk).update(last_used_at=now)
    return link


def _token(expires_at: datetime) -> str:
    said = secrets.token_bytes(_RANDOM) + int(expires_at.astimezone(UTC).timestamp()).to_bytes(_EXPIRY)
    # 48 bytes are 64 characters without spare bits: one text for one token.
    return base64.urlsafe_b64encode(said + _mac(said)).decode()


def _genuine(token: str) -> bytes | None:
    """The bytes of a token that we made; None for anything else."""
    if not _FORM.fullmatch(token):
        return None
    try:
        raw = base64.urlsafe_b64decode(token)
    except (binascii.Error, ValueError):
        return None
    said, mac = raw[: _RANDOM + _EXPIRY], raw[_RANDOM + _EXPIRY :]
    return raw if hmac.compare_digest(mac, _mac(said)) else None


def _mac(said: bytes) -> bytes:
    return hmac.digest(settings.API_KEY_PEPPER.encode(), b"portal link\0" + said, hashlib.sha256)[:_MAC]
