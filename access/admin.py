"""Keys in the admin: to be looked at and revoked. ``manage.py create_api_key`` makes them and shows them once."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from access import keys, trail
from access.models import ApiKey
from access.readonly import ReadOnly

__all__ = ["trail"]  # registers its own


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnly, ModelAdmin):
    list_display = ["name", "display", "state", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_filter = ["live"]
    search_fields = ["name", "display"]
    fields = ["public_id", "name", "display", "state", "live", "scopes", "created_at", "expires_at", "revoked_at"]
    readonly_fields = fields
    actions = ["revoke"]
    show_full_result_count = False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("access.change_apikey")

    @admin.action(description="Revoke the chosen keys (cannot be undone)", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        now = timezone.now()
        revoked = [key for key in queryset if keys.revoke(key.id, now=now)]
        for key in revoked:
            self.log_change(request, key, "Revoked.")
        text = f"{len(revoked)} keys revoked; every server refuses them within {keys.CACHE_SECONDS:.0f} seconds."
        self.message_user(request, text, messages.SUCCESS)
