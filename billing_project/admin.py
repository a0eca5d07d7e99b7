"""Staff accounts in the look of the rest of the admin.

Nobody gives more than they have: who is no superuser neither makes nor changes one, and permissions are had by roles
(`access.roles`), whose meaning no form changes. An account is not deleted, as the audit trail names it: it is
deactivated. Who gives or takes roles, or lets in or shuts out, says why.
"""

import json
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from access import guesses, roles, second_factor
from access.asking import WHY, Asking
from access.lists import ModelAdmin

admin.site.unregister(User)
admin.site.unregister(Group)
# Their pages would show the keys.
admin.site.unregister(TOTPDevice)
admin.site.unregister(StaticDevice)

RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


class ReasonForm(forms.ModelForm):
    """A form that asks why where what people may do is changed. ``rights`` are its fields that say that."""

    rights: ClassVar[tuple[str, ...]] = ()
    reason = forms.CharField(
        required=False,
        max_length=WHY.max_length,
        help_text="Needed where anything changes that says who may do what. It is kept, with your name.",
        label=WHY.label,
        widget=UnfoldAdminTextInputWidget(),
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if set(self.rights) & set(self.changed_data) and not data.get("reason"):
            self.add_error("reason", "This is needed.")
        return data


class StaffForm(ReasonForm, UserChangeForm):
    rights = RIGHTS


class GroupForm(ReasonForm):
    rights = ("permissions",)


class PasswordForm(AdminPasswordChangeForm):
    """Who sets another's password says why."""

    reason = forms.CharField(
        max_length=WHY.max_length, help_text=WHY.hint, label=WHY.label, widget=UnfoldAdminTextInputWidget()
    )


def _held(user: User) -> str:
    """What somebody may do, in words, as of now."""
    flags = [name.removeprefix("is_") for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)]
    groups = sorted(user.groups.values_list("name", flat=True))
    single = sorted(user.user_permissions.values_list("codename", flat=True))
    return ", ".join([*flags, *groups, *single]) or "nothing"


@admin.register(User)
class UserAdmin(Asking, DjangoUserAdmin, ModelAdmin):
    form = StaffForm
    add_form = UserCreationForm
    change_password_form = PasswordForm
    change_user_password_template = "access/change_password.html"  # noqa: S105 - the path of a page
    list_display = ("username", "email", "first_name", "last_name", "roles", "is_active", "last_login")
    actions_detail = ("reset_this", "unlock_this")

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
        facts = [f"The app and the backup codes of {user} are good for nothing any more: be sure who asks for it."]

        def act(given: dict[str, str]) -> User:
            second_factor.forget(user)
            return user

        question, verb = f"Reset the second factor of {user}?", "Reset the second factor"
        back = reverse("admin:auth_user_change", args=[user.pk])
        return self.question(request, question, facts, verb, back, [WHY], act, may="reset")

    @action(description="Unlock", permissions=["reset"])
    def unlock_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        user = User.objects.filter(pk=object_id).first()
        if user is None:
            raise Http404
        until = guesses.locked_until(user, now=timezone.now())
        facts = [
            f"No password of theirs is looked at before {until:%H:%M:%S} UTC: too many were wrong." if until else
            "Nothing keeps them out now; wrong passwords and codes until now are forgotten.",
            "Be sure that it was they who mistyped.",
        ]  # fmt: skip

        def act(given: dict[str, str]) -> User:
            guesses.unlock(user)
            return user

        back = reverse("admin:auth_user_change", args=[user.pk])
        return self.question(request, f"Unlock {user}?", facts, "Unlock", back, [WHY], act, may="reset")

    # --- Forms that say why -------------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not self.has_change_permission(request, obj):
            return fieldsets
        return (*fieldsets, (None, {"fields": ("reason",)}))

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        if change:
            request.held_before = _held(User.objects.get(pk=form.instance.pk))  # type: ignore[attr-defined]
        return super().save_form(request, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if form.instance.pk == request.user.pk:  # all other sessions of one's own end
            request.session.cycle_key()

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        return super().log_change(request, obj, _said(request, message, _held(obj)))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_superuser(request) else (*fields, "is_superuser", "user_permissions")


def _said(request: HttpRequest, message: Any, held: str = "") -> str:
    """What a form changed, in words, with what somebody could do before and can now, and why."""
    if not isinstance(message, list):  # of an act, which says it itself
        return str(message)
    for one in message:
        fields = one.get("changed", {}).get("fields", [])
        fields[:] = [name for name in fields if name != WHY.label]
    said = LogEntry(change_message=json.dumps(message)).get_change_message().rstrip(".")
    before = getattr(request, "held_before", held)
    if before != held:
        said = f"{said} ({before} → {held})"
    reason = request.POST.get("reason", "").strip()[: WHY.max_length]
    return f"{said}: {reason}" if reason else f"{said}."


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """The groups of the roles are to be read; people make others beside them."""

    form = GroupForm

    def log_change(self, request: HttpRequest, obj: Group, message: Any) -> Any:
        return super().log_change(request, obj, _said(request, message))

    def log_addition(self, request: HttpRequest, obj: Group, message: Any) -> Any:
        return super().log_addition(request, obj, _said(request, message))

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or obj.name not in roles.NAMES)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and (obj is None or obj.name not in roles.NAMES)
