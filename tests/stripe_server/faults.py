"""What can go wrong between a client and Stripe, on purpose: at random by a seed, or for the next request of a name."""

import random
import threading
from collections import Counter
from dataclasses import dataclass

from tests.stripe_server.errors import StripeFailure

# Name: where it strikes. "refused": before anything, nothing is stored; "executing": in place of the effect, stored
# under the key; "executed": the effect is there and stored; "answering": the effect is there, the answer suffers.
FAULTS = {
    "timeout_before": "refused",  # the connection closes, nothing happened
    "rate_limit": "refused",  # 429 of the global limiter
    "conflict": "refused",  # 409
    "unavailable": "refused",  # 503
    "lock_timeout": "executing",  # 429 lock_timeout
    "error": "executing",  # 500
    "error_after": "executed",  # 500, though the work was done
    "timeout_after": "answering",  # the connection closes, all happened
    "reset": "answering",  # reset in the middle of the body
    "truncated": "answering",  # less body than Content-Length says
    "slow": "answering",  # the answer takes `slow_for` seconds
    "held": "running",  # the request stays in progress until `release()`, and is done then
}
# Faults that are drawn at random unless others are named; a held request needs somebody who releases it.
AT_RANDOM = tuple(name for name in FAULTS if name not in ("slow", "held"))


@dataclass
class _Planned:
    fault: str
    route: str | None
    times: int


class Faults:
    """`at_random(rate, seed)` and `next(name, route)`; `counts` tells what was done, by (route, fault)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.slow_for = 0.5
        self._planned: list[_Planned] = []
        self._rate = 0.0
        self._names: tuple[str, ...] = ()
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.holding = threading.Semaphore(0)  # acquired by who waits until a held request is running

    def at_random(self, rate: float, seed: int = 0, only: tuple[str, ...] = AT_RANDOM) -> None:
        """From now on each request suffers one of `only` with the chance `rate`; 0 ends it."""
        if unknown := set(only) - set(FAULTS):
            raise ValueError(f"no such faults: {sorted(unknown)}")
        self._rate, self._names, self._random = rate, only, random.Random(seed)

    def next(self, fault: str, route: str | None = None, times: int = 1) -> None:
        """The next `times` requests, or those of one route ("invoices.create"), suffer `fault`."""
        if fault not in FAULTS:
            raise ValueError(f"no such fault: {fault}")
        with self._lock:
            self._planned.append(_Planned(fault, route, times))

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()
            self._rate = 0.0

    def release(self) -> None:
        """Let go on what is held or slow."""
        self._released.set()

    def draw(self, route: str) -> str | None:
        """The fault of one request, counted."""
        with self._lock:
            chosen = self._draw(route)
            if chosen is not None:
                self.counts[route, chosen] += 1
            return chosen

    def _draw(self, route: str) -> str | None:
        for planned in self._planned:
            if planned.route in (None, route):
                planned.times -= 1
                if not planned.times:
                    self._planned.remove(planned)
                return planned.fault
        if self._rate and self._random.random() < self._rate:
            return self._random.choice(self._names)
        return None

    def spared(self, route: str, fault: str) -> None:
        """The fault drawn last for `route` did nothing, since the request was answered from the idempotency store."""
        with self._lock:
            self.counts[route, fault] -= 1

    def hold(self) -> None:
        self._released.clear()
        self.holding.release()
        self._released.wait(60)

    def dawdle(self) -> None:
        self._released.clear()
        self._released.wait(self.slow_for)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def failure(fault: str) -> StripeFailure:
    """The answer of a fault that is answered."""
    if fault == "rate_limit":
        return rate_limited("global-rate")
    if fault == "lock_timeout":
        return StripeFailure(
            "This object cannot be accessed right now because another API request or Stripe process is currently "
            "accessing it. If you see this error intermittently, retry the request.",
            status=429,
            code="lock_timeout",
            headers={"Stripe-Should-Retry": "true", "Stripe-Rate-Limited-Reason": "resource-specific"},
        )
    if fault == "conflict":
        return StripeFailure(
            "The request conflicts with another request.", status=409, headers={"Stripe-Should-Retry": "true"}
        )
    if fault == "unavailable":
        return StripeFailure("Service unavailable.", status=503, type="api_error")
    return StripeFailure(
        "An unknown error occurred.", status=500, type="api_error", headers={"Stripe-Should-Retry": "false"}
    )


def rate_limited(reason: str) -> StripeFailure:
    return StripeFailure(
        "Request rate limit exceeded. Learn more about rate limits here: https://stripe.com/docs/rate-limits.",
        status=429,
        code="rate_limit",
        headers={"Retry-After": "1", "Stripe-Rate-Limited-Reason": reason, "Stripe-Should-Retry": "true"},
    )


class Limiter:
    """At most `per_second` requests of a key within one second of the machine's time (https://docs.stripe.com/rate-limits);
    None is no limit.
    """

    def __init__(self, per_second: int | None) -> None:
        self.per_second = per_second
        self._recent: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def check(self, key: str, now: float) -> None:
        if self.per_second is None:
            return
        with self._lock:
            recent = self._recent[key] = [at for at in self._recent.get(key, []) if at > now - 1]
            if len(recent) >= self.per_second:
                raise rate_limited("global-rate")
            recent.append(now)
