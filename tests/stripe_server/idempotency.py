"""Idempotency keys of API v1 (https://docs.stripe.com/api/idempotent_requests, https://docs.stripe.com/error-low-level#idempotency).

Stored when the execution of a request begins, with its path and parameters; the answer is stored with it whatever its
status. What is refused before (a limit, a wrong parameter, another request with the same key) stores nothing.
"""

import itertools
import threading
import zlib
from dataclasses import dataclass
from typing import Any

from tests.stripe_server.errors import StripeFailure

KEPT = 86_400
LENGTH = 255


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class _Entry:
    fingerprint: tuple[str, Any]
    at: int
    answer: Answer | None = None


class Keys:
    """The keys of one world."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def begin(self, key: str, path: str, form: dict[str, Any], now: int) -> Answer | None:
        """None: the caller executes, then calls `finish` or `forget`. An answer: the stored one, to be sent again.

        400 where the key came with another request, 409 where its first request is still running.
        """
        if not 0 < len(key) <= LENGTH:
            raise StripeFailure(
                f"Idempotency keys must be between 1 and {LENGTH} characters.", type="idempotency_error"
            )
        with self._lock:
            self._prune(now)
            entry = self._entries.get(key)
            if entry is None:
                self._entries[key] = _Entry((path, form), now)
                return None
            if entry.fingerprint != (path, form):
                raise StripeFailure(
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                    f"Try using a key other than '{key}' if you meant to execute a different request.",
                    type="idempotency_error",
                )
            if entry.answer is None:
                raise StripeFailure(
                    f"There is currently another in-progress request using this Idempotent Key ({key}). Please try "
                    "again later.",
                    status=409,
                    type="idempotency_error",
                    code="idempotency_key_in_use",
                )
            return Answer(entry.answer.status, zlib.decompress(entry.answer.body), dict(entry.answer.headers))

    def _prune(self, now: int) -> None:
        """Forget the keys of yesterday. The oldest stand first."""
        for key, entry in list(itertools.takewhile(lambda item: item[1].at + KEPT <= now, self._entries.items())):
            if entry.answer is not None:
                del self._entries[key]

    def finish(self, key: str, answer: Answer) -> None:
        """Keep a copy of the answer, its body compressed: there is one for every request of a day."""
        kept = Answer(answer.status, zlib.compress(answer.body, 1), dict(answer.headers))
        with self._lock:
            self._entries[key].answer = kept

    def forget(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)
