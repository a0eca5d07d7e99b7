"""What an answer of Stripe's that is no success means for what was asked (docs.stripe.com/error-low-level)."""

from datetime import timedelta
from typing import Any

import stripe


class Later(Exception):
    """Not now: the same request, under the same key, is sent again; not before ``after``, where Stripe says so."""

    def __init__(self, reason: str, *, code: str = "waits", after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.after = after


class Stale(Later):
    """The key answers with a failure that Stripe has stored for it, whatever came of the request: sending it again only
    repeats the answer.
    """


class Refused(Exception):
    """Stripe will not do it, however often it is asked: a person has to look. ``code`` is the reason for machines."""

    def __init__(self, reason: str, *, code: str) -> None:
        super().__init__(reason)
        self.code = code


class Mismatch(Refused):
    """Stripe's figures are not ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, code="mismatch")


# What becomes of an answer with a stored failure: see `Stale`.
_STORED_FAILURES = ("lock_timeout",)


def code_of(error: stripe.StripeError) -> str:
    """The error's code, or its type; the package leaves out that of a 409."""
    body = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    told: dict[str, Any] = body if isinstance(body, dict) else {}
    return str(error.code or told.get("code") or told.get("type") or "")


def meaning(error: stripe.StripeError) -> Later | Refused:
    """What to do about an error. A declined card is `stripe.CardError`, which whoever charges handles."""
    status, code = error.http_status, code_of(error)
    text = f"Stripe: {error.user_message or error}".strip()
    headers = {str(name).lower(): value for name, value in (error.headers or {}).items()}
    if isinstance(error, stripe.APIConnectionError):
        return Later("Stripe did not answer. Whether it did what was asked is found out at the next attempt.")
    if status in (401, 403):
        return Later(f"{text} Check HOLDFAST_STRIPE_KEY.", code="key_refused", after=timedelta(minutes=5))
    if code in _STORED_FAILURES or status == 500:
        return Stale(text, code=code or "error")
    if status in (409, 429, 502, 503, 504):
        return Later(text, code=code or "busy", after=_asked(headers.get("retry-after")))
    if status is None or status < 400:
        # An answer that cannot be read: cut off on the way, most likely.
        return Later("Stripe's answer could not be read. It is asked again.")
    return Refused(text, code=code or f"http_{status}")


def is_missing(error: stripe.StripeError) -> bool:
    """Whether the object that was asked for is not there."""
    return error.http_status == 404 or code_of(error) == "resource_missing"


def _asked(seconds: str | None) -> timedelta | None:
    try:
        return None if seconds is None else timedelta(seconds=min(max(float(seconds), 0), 3600))
    except ValueError:
        return None
