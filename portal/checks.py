"""System checks: the address that links to the portal begin with."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register(Tags.security)
def check_public_url(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """An error for what is no address; in production a warning where there is none, or one without TLS."""
    url, hint = settings.PUBLIC_URL, "Such as https://billing.example.com"
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            return [Error(f"HOLDFAST_PUBLIC_URL is no address: {url}", hint=hint, id="portal.E001")]
    if settings.ENVIRONMENT == "production" and not url.startswith("https://"):
        text = "HOLDFAST_PUBLIC_URL does not name an https address: links to the portal take the one that was asked."
        return [Warning(text, hint=hint, id="portal.W001")]
    return []
