"""The one way to Stripe: which key, which version of the API, how long to wait, how often to ask.

Retrying is ours (`payments.operations`), so the package's own is off.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import stripe
from django.conf import settings

from payments.errors import meaning
from payments.models import Connection
from payments.rate import wait_turn

VERSION = "2026-10-28.endive"
"""The version of the API that all this is written for; the package's own objects are of it."""

TIMEOUT = 20
"""Seconds until a request counts as unanswered."""

LIVE_PREFIXES = ("sk_live_", "rk_live_")
T = TypeVar("T")


class _LimitedClient(stripe.RequestsClient):
    """Requests that wait for their turn."""

    def __init__(self, name: str) -> None:
        super().__init__(timeout=TIMEOUT)
        self._limited = name

    def request(self, *request: Any, **more: Any) -> Any:
        wait_turn(self._limited)
        return super().request(*request, **more)


def is_live(key: str) -> bool:
    """Whether a key moves money."""
    return key.startswith(LIVE_PREFIXES)


def key_for(audience: str) -> str:
    """The key that an audience's documents go by; empty where they go nowhere. Test customers never have a live one."""
    if audience == Connection.Audience.LIVE:
        return settings.STRIPE_KEY
    key = settings.STRIPE_TEST_KEY or settings.STRIPE_KEY
    return "" if is_live(key) else key


def client_of(key: str) -> stripe.StripeClient:
    """The client of a key, made once in each process."""
    return _client(key, settings.STRIPE_URL)


@cache
def _client(key: str, url: str) -> stripe.StripeClient:
    # The limit is counted under a name that does not tell the key.
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return stripe.StripeClient(
        key,
        stripe_version=VERSION,
        base_addresses={"api": url} if url else {},
        max_network_retries=0,
        http_client=_LimitedClient(name),
    )


def ask(question: Callable[[], T]) -> T:
    """The answer to a request that changes nothing. Raises `errors.Later` or `errors.Refused`."""
    try:
        return question()
    except stripe.StripeError as error:
        raise meaning(error) from error


def plain(answer: stripe.StripeObject) -> dict[str, Any]:
    """An object as plain values. Fields that an answer leaves out are not there: read them by ``get``."""
    return answer.to_dict()


def bears(answer: stripe.StripeObject, name: str, value: str) -> bool:
    """Whether an object's metadata has this value under this name."""
    return (plain(answer).get("metadata") or {}).get(name) == value
