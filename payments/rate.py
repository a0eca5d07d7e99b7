"""So many requests a second, of all processes together: a window per second in Redis."""

import time

import structlog
from django.conf import settings
from django.core.cache import cache

log = structlog.get_logger(__name__)

# A request that found no place for so long is made anyway: Stripe refuses it, and it is tried again.
PATIENCE = 30.0


def wait_turn(name: str) -> None:
    """Wait until ``name`` (an account, a key) may make a request. Where Redis does not answer nobody waits: Stripe's
    own limit then holds, and what it refuses is tried again.
    """
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        now = time.time()
        window = f"payments.rate:{name}:{int(now)}"
        try:
            try:
                taken = cache.incr(window)
            except ValueError:  # the first of its second
                cache.add(window, 0, timeout=10)
                taken = cache.incr(window)
        except Exception as error:  # noqa: BLE001 -- whatever the cache's client raises
            log.warning("stripe_rate_unlimited", error=str(error))
            return
        if taken <= settings.STRIPE_RATE:
            return
        time.sleep(1 - now % 1 + 0.001)
