"""Who is in: a signed cookie that names the link it came by, and nothing else.

It is void after 30 minutes without a request, and 12 hours after the link was opened. The link's row is read for
every request, so revoking it ends the visit at once. The cookie is for /portal/ alone, and no script can read it.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from portal import links
from portal.links import Unusable
from portal.models import PortalLink

COOKIE: Final = "holdfast_portal"
PATH: Final = "/portal/"
IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=12)
_SALT: Final = "portal.sessions"


class Visit(NamedTuple):
    """A customer who came in by a link, and when (seconds of the epoch)."""

    link: PortalLink
    entered: int


def begin(response: HttpResponseBase, link: PortalLink, *, now: datetime) -> None:
    """Let the holder of a link in."""
    go_on(response, Visit(link, int(now.timestamp())), now=now)


def visit_of(request: HttpRequest, *, now: datetime) -> Visit:
    """Who asks. Raises Unusable: 404 without a cookie of ours, 410 where the visit or its link has ended."""
    text = request.COOKIES.get(COOKIE)
    if not text:
        raise Unusable(404)
    try:
        link_id, entered, seen = signing.loads(text, salt=_SALT)
    except signing.BadSignature:
        raise Unusable(404) from None
    at = int(now.timestamp())
    if at > seen + int(IDLE.total_seconds()) or at > entered + int(LONGEST.total_seconds()):
        raise Unusable(410)
    return Visit(links.active(UUID(link_id), now=now), entered)


def go_on(response: HttpResponseBase, visit: Visit, *, now: datetime) -> None:
    """The visit was seen now: its idle time begins anew."""
    text = signing.dumps([visit.link.pk.hex, visit.entered, int(now.timestamp())], salt=_SALT)
    response.set_cookie(
        COOKIE,
        text,
        max_age=IDLE,
        path=PATH,
        httponly=True,
        samesite="Lax",
        secure=settings.ENVIRONMENT == "production",
    )


def end(response: HttpResponseBase) -> None:
    """Forget the visit."""
    response.delete_cookie(COOKIE, path=PATH, samesite="Lax")
