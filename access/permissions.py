"""Scopes: what a key may do.

| scope          | lets                                                                 |
|----------------|----------------------------------------------------------------------|
| events:write   | send events, and nothing else: the scope for the hot path's machines |
| read           | every read                                                           |
| write          | every change but events, and `read`: who changes a thing sees it     |
| admin          | everything                                                           |
"""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

SCOPES = ("events:write", "read", "write", "admin")
IMPLIED: dict[str, frozenset[str]] = {
    "events:write": frozenset({"events:write"}),
    "read": frozenset({"read"}),
    "write": frozenset({"write", "read"}),
    "admin": frozenset(SCOPES),
}


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """All that these scopes allow, the implied ones included."""
    return frozenset().union(*(IMPLIED[scope] for scope in scopes))


def required_scope(view: Any, method: str) -> str:
    """The scope a view asks for: its attribute `scopes` by method, else read for safe methods and write for others."""
    scopes: dict[str, str] = getattr(view, "scopes", {})
    if method == "HEAD" and "HEAD" not in scopes:
        method = "GET"
    return scopes.get(method) or ("read" if method in SAFE_METHODS else "write")


class HasScope(BasePermission):
    """The key must carry the scope that the view names for the method."""

    def has_permission(self, request: Request, view: Any) -> bool:
        key: Any = request.auth  # an AuthenticatedKey, by access.authentication
        if key is None:
            return False  # DRF answers 401 for a request without a key
        needed = required_scope(view, request.method or "GET")
        if needed not in key.granted:
            raise PermissionDenied(
                f"This API key lacks the scope {needed}; it has: {', '.join(key.scopes)}.", code="missing_scope"
            )
        return True
