"""Keys in the admin: to be looked at and revoked. ``manage.py create_api_key`` makes them and shows them once."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action

from access import keys, trail
from access.asking import WHY, Asks
from access.errors import ApiError
from access.lists import ModelAdmin
from access.models import ApiKey

__all__ = ["trail"]  # registers its own


@admin.register(ApiKey)
class ApiKeyAdmin(Asks, ModelAdmin):
    list_display = ["name", "display", "state", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["live"]
    search_fields = ["name", "display"]
    fields = ["public_id", "name", "display", "state", "live", "scopes", "created_at", "expires_at", "revoked_at"]
    readonly_fields = fields
    actions_detail = ["revoke_this"]

    def offered(self, object_id: Any) -> Collection[str]:
        return ["revoke_this"] if ApiKey.objects.filter(pk=object_id, revoked_at=None).exists() else []

    @action(description="Revoke", permissions=["act"])
    def revoke_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        key = ApiKey.objects.filter(pk=object_id).first()
        if key is None:
            raise Http404
        facts = [
            f"{', '.join(key.scopes)}; {key.state()}",
            f"What uses it is refused by every server within {keys.CACHE_SECONDS:.0f} seconds. This cannot be undone.",
        ]

        def act(given: dict[str, str]) -> ApiKey:
            if not keys.revoke(key.id, now=timezone.now()):
                raise ApiError(409, "already_revoked", "It was revoked before.")
            return key

        back = reverse("admin:access_apikey_change", args=[object_id])
        return self.question(request, f"Revoke the key {key}?", facts, "Revoke", back, [WHY], act)
