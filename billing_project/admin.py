"""Staff accounts in the look of the rest of the admin.

Nobody gives more than they have: who is no superuser neither makes nor changes one, and permissions are had by roles
(`access.roles`), whose meaning no form changes. An account is not deleted, as the audit trail names it: it is
deactivated.
"""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from access import roles, second_factor
from access.asking import Asked, ask, entered

admin.site.unregister(User)
admin.site.unregister(Group)
# Their pages would show the keys.
admin.site.unregister(TOTPDevice)
admin.site.unregister(StaticDevice)

WHY = Asked("reason", "Why", "It is kept, with your name.")


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "roles", "is_active", "last_login")
    actions_detail = ("reset_this",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="Roles")
    def roles(self, user: User) -> str:
        names = [group.name for group in user.groups.all()]
        return ", ".join([*(["superuser"] if user.is_superuser else []), *names]) or "–"

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or _is_superuser(request))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def has_reset_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change the account."""
        return self.has_change_permission(request, User.objects.filter(pk=object_id).first() if object_id else None)

    @action(description="Reset the second factor", permissions=["reset"])
    def reset_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        user = User.objects.filter(pk=object_id).first()
        if user is None:
            raise Http404
        back = reverse("admin:auth_user_change", args=[user.pk])
        problem = ""
        if request.method == "POST":
            given, problem = entered(request, [WHY])
            if not problem:
                with transaction.atomic():
                    second_factor.forget(user)
                    self.log_change(request, user, f"Reset the second factor: {given['reason']}")
                messages.success(request, f"{user} sets up another at the next page of the admin.")
                return redirect(back)
        facts = [f"The app and the backup codes of {user} are good for nothing any more: be sure who asks for it."]
        question = f"Reset the second factor of {user}?"
        return ask(self, request, question, facts, "Reset", back, inputs=[WHY], problem=problem)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_superuser(request) else (*fields, "is_superuser", "user_permissions")


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """The groups of the roles are to be read; people make others beside them."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or obj.name not in roles.NAMES)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and (obj is None or obj.name not in roles.NAMES)
