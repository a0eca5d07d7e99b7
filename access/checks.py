"""System checks: in production, defaults that suit a laptop are refused.

They run with ``manage.py check``, ``migrate`` and ``runserver``; a WSGI server runs no checks, so
``billing_project.wsgi`` calls `refuse_unsafe_production` before the first request.
"""

import os
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

MIN_SECRET_LENGTH = 32


@register(Tags.security)
def check_production(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Errors for what must not be in production; nothing elsewhere."""
    if settings.ENVIRONMENT != "production":
        return []
    return [*_check_secrets(), *_check_hosts(), *_check_switches()]


def refuse_unsafe_production() -> None:
    """Raise ImproperlyConfigured, naming every error, rather than serve with them."""
    errors = [message for message in check_production() if message.is_serious()]
    if errors:
        lines = "".join(f"\n- {message.msg} {message.hint or ''}".rstrip() for message in errors)
        raise ImproperlyConfigured(f"HOLDFAST_ENV=production, but:{lines}")


def _check_secrets() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    make = "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
    for number, name in enumerate(("HOLDFAST_SECRET_KEY", "HOLDFAST_API_KEY_PEPPER"), start=1):
        if len(os.environ.get(name, "")) < MIN_SECRET_LENGTH:
            text = f"{name} must be set in the environment, with {MIN_SECRET_LENGTH} characters or more."
            messages.append(Error(text, hint=make, id=f"access.E00{number}"))
    if not messages and settings.API_KEY_PEPPER == settings.SECRET_KEY:
        text = "HOLDFAST_API_KEY_PEPPER must differ from HOLDFAST_SECRET_KEY."
        messages.append(Error(text, hint="So that one can be changed without the other.", id="access.E003"))
    return messages


def _check_hosts() -> list[CheckMessage]:
    if not os.environ.get("HOLDFAST_ALLOWED_HOSTS"):
        text = "HOLDFAST_ALLOWED_HOSTS must name the hosts that are served."
        return [Error(text, hint="Such as billing.example.com", id="access.E004")]
    wide = [host for host in settings.ALLOWED_HOSTS if "*" in host or host == "."]
    if wide:
        text = f"HOLDFAST_ALLOWED_HOSTS allows any host ({', '.join(wide)})."
        return [Error(text, hint="Name the hosts one by one.", id="access.E005")]
    return []


def _check_switches() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if settings.DEBUG:
        messages.append(Error("HOLDFAST_DEBUG is on: it shows internals to callers.", id="access.E006"))
    if settings.WEBHOOK_ALLOW_LOOPBACK:
        text = "HOLDFAST_WEBHOOK_ALLOW_LOOPBACK is on: it lets webhooks reach services of this machine."
        messages.append(Error(text, hint="It is for local trials: leave it out.", id="access.E007"))
    if settings.STRIPE_URL:
        text = "HOLDFAST_STRIPE_URL is set: invoices would go to another server than Stripe's."
        messages.append(Error(text, hint="It is for local trials: leave it out.", id="access.E008"))
    if not os.environ.get("DATABASE_URL"):
        text = "DATABASE_URL is not set: the embedded PostgreSQL is for one machine and has no backups."
        messages.append(Warning(text, hint="Name a server of your own.", id="access.W001"))
    if not settings.STAFF_TOTP:
        text = "HOLDFAST_STAFF_TOTP is off: a password alone opens the admin."
        messages.append(Warning(text, id="access.W003"))
    if not os.environ.get("HOLDFAST_TRUSTED_PROXIES"):
        text = (
            "HOLDFAST_TRUSTED_PROXIES is not set: behind a proxy all staff would have its address, in the audit trail "
            "and where wrong passwords are counted."
        )
        messages.append(Warning(text, hint="How many proxies of yours stand in front: 1, or 0.", id="access.W004"))
    if not settings.SECURE_SSL_REDIRECT:
        text = "HOLDFAST_SSL_REDIRECT is off: API keys travel in the clear unless a proxy ends TLS."
        messages.append(Warning(text, id="access.W002"))
    return messages
