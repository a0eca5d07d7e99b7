"""``Authorization: Bearer hf_live_…``"""

from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from access import keys


class ApiKeyAuthentication(BaseAuthentication):
    """Verifies the bearer key. Wrong scheme, malformed, unknown, expired, revoked: all get one and the same 401."""

    def authenticate(self, request: Request) -> tuple[Any, keys.AuthenticatedKey] | None:
        header = get_authorization_header(request)
        if not header:
            return None
        scheme, _, credentials = header.partition(b" ")
        text = credentials.strip().decode("latin-1")
        key = keys.verify(text, now=timezone.now()) if scheme.lower() == b"bearer" else None
        if key is None:
            raise AuthenticationFailed
        return key, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="holdfast"'


def key_of(request: Request) -> keys.AuthenticatedKey:
    """The key of an authenticated request, typed; for audit entries and logs."""
    if not isinstance(request.auth, keys.AuthenticatedKey):
        raise NotAuthenticated
    return request.auth


def caller(request: Request) -> str:
    """Who asks, as it is kept with what was done."""
    return f"API key {key_of(request).name}"
