"""A second factor for staff (``HOLDFAST_STAFF_TOTP``): no page of the admin opens to a password alone.

Who has none yet is shown a key once signed in, as a QR code drawn here, and confirms it with a first code; then come
ten backup codes, shown once. Wrong codes are slowed down by django-otp, each twice as long as the last, and a code is
good for once.
"""

from collections.abc import Callable
from typing import Any, Final

import django_otp
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from access import proof, qr

BACKUP_CODES: Final = 10
# Of the admin: what is open without it. Getting out, and getting in again.
OPEN: Final = ("second_factor", "admin:login", "admin:logout", "admin:jsi18n")
WRONG: Final = "This code is not right, or was used before: give the one that is shown now."


class SecondFactorMiddleware:
    """Sends staff who have given a password alone to where they give a code, whatever page of the admin they ask for.
    Behind django-otp's own.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.STAFF_TOTP and request.path_info.startswith(reverse("admin:index")):
            user: Any = request.user
            if user.is_authenticated and not user.is_verified() and request.path_info not in map(reverse, OPEN):
                return redirect_to_login(request.get_full_path(), reverse("second_factor"))
        return self.get_response(request)


@never_cache
def second_factor(request: HttpRequest) -> HttpResponse:
    """Ask for a code; or, of who has no second factor yet, that they set one up."""
    user: Any = request.user
    if not user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    if not user.is_staff:
        return redirect("admin:login")
    if user.is_verified() or not settings.STAFF_TOTP:
        return redirect(_next(request))
    known = TOTPDevice.objects.filter(user=user, confirmed=True).first()
    device = known or _unconfirmed(user, anew=request.method != "POST")
    problem = ""
    if request.method == "POST":
        verified, problem = _verify(device, request.POST.get("code", ""))
        if verified is not None:
            request.session.cycle_key()
            django_otp.login(request, verified)
            proof.note(request)
            if known is None:
                return _page(request, codes=_backup_codes(user), next=_next(request))
            return redirect(_next(request))
    if known is None:
        return _page(request, problem=problem, key=_key_text(device), code_image=_image(device))
    return _page(request, problem=problem)


def check(user: User, text: str) -> str:
    """Why a code is not taken of somebody who has a second factor; empty where it is. It is used up by that."""
    device = TOTPDevice.objects.filter(user=user, confirmed=True).first()
    return WRONG if device is None else _verify(device, text)[1]


def forget(user: User) -> None:
    """Take a person's second factor away: at the next page of the admin they set up another."""
    for device in (TOTPDevice, StaticDevice):
        device.objects.filter(user=user).delete()


def _page(request: HttpRequest, **context: Any) -> HttpResponse:
    site = admin.site.each_context(request) | {"available_apps": [], "sidebar_navigation": []}
    return TemplateResponse(request, "access/second_factor.html", site | {"title": "Second factor"} | context)


@transaction.atomic
def _unconfirmed(user: User, *, anew: bool) -> TOTPDevice:
    """The one that is being set up. Its key is another whenever the page is opened, so that nobody who has seen the
    page before knows the key that is confirmed in the end.
    """
    User.objects.select_for_update().get(pk=user.pk)
    rows = TOTPDevice.objects.filter(user=user, confirmed=False)
    if anew:
        rows.delete()
    found: TOTPDevice | None = rows.first()
    return found or TOTPDevice.objects.create(user=user, name="app", confirmed=False)


@transaction.atomic
def _verify(chosen: TOTPDevice, text: str) -> tuple[Any, str]:
    """The device that takes the code, confirmed by it, or None and why. A backup code is longer than the six digits of
    an app.
    """
    code = "".join(text.split()).lower()
    model: Any = TOTPDevice if len(code) <= 6 else StaticDevice
    rows = model.objects.select_for_update().filter(user=chosen.user)
    device = rows.filter(pk=chosen.pk).first() if model is TOTPDevice else rows.filter(confirmed=True).first()
    if device is None:
        return None, WRONG
    allowed, why = device.verify_is_allowed()
    if not allowed:
        return None, f"Too many wrong codes: try again after {why['locked_until']:%H:%M:%S} UTC."
    if not (code.isascii() and code.isalnum() and device.verify_token(code)):
        return None, WRONG
    if not device.confirmed:
        device.confirmed = True
        device.save(update_fields=["confirmed"])
    return device, ""


@transaction.atomic
def _backup_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="backup codes")
    codes = [StaticToken.random_token() for _ in range(BACKUP_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


def _image(device: TOTPDevice) -> str:
    # Drawn of numbers alone; the label is a constant.
    return mark_safe(qr.svg(device.config_url, label="QR code of the key"))  # noqa: S308


def _key_text(device: TOTPDevice) -> str:
    """The key as apps take it by hand, in groups of four."""
    text = device.config_url.split("secret=")[1].split("&")[0]
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _next(request: HttpRequest) -> str:
    """Where somebody wanted to go: an address of this site, else the front page."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    fits = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if fits else resolve_url("admin:index")
