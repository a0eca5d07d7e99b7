"""For the admin: rows that are computed or written by use cases, and so never typed into a form."""

from typing import Any

from django.http import HttpRequest


class ReadOnly:
    """Shown, but never added, changed or deleted by a form. A mixin of admins and inlines; put it first."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
