"""``Idempotency-Key``: a POST sent twice is done once, and both get the first answer.

How: one advisory lock per (API key, method, path, Idempotency-Key) is held while the request runs; who does not get it
at once is a twin and is told so (409). The first answer is stored under a unique constraint and replayed for a day.

Two modes, because use cases differ in who owns the transaction:

* ``atomic`` (default): the handler runs in a transaction with the storing of its answer. A crash leaves neither, so a
  retry starts afresh; done without an answer on record cannot happen.
* ``recorded``: the handler commits by itself (long work in several transactions, ``durable`` use cases), the answer is
  stored afterwards. A crash in between lets a retry run the handler again, which must therefore be safe to repeat.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.db import connection, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.response import Response

from access.errors import ApiError
from access.models import IdempotencyRecord
from access.renderers import dumps

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
SWEEP_BATCH = 5000

Mode = Literal["atomic", "recorded", "off"]

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
MAX_PATH = 512
# Answers that refuse the request as such did nothing and leave the key free: correct it and send it again.
_REFUSALS = frozenset({400, 401, 403, 405, 406, 411, 413, 415, 422, 429})


@dataclass(frozen=True, slots=True)
class Claim:
    """What names one logical request."""

    api_key_id: UUID
    method: str
    path: str
    key: str
    fingerprint: bytes

    def __post_init__(self) -> None:
        # The stored claim stands in a unique index, whose entries have a bounded size.
        if len(self.path) > MAX_PATH:
            raise ApiError(404, "not_found", "There is nothing at a path this long.")

    def lock_number(self) -> int:
        """64 bits for PostgreSQL's advisory locks; a collision would only cost a needless 409."""
        text = "\x00".join(("access.idempotency", self.api_key_id.hex, self.method, self.path, self.key))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def read_key(value: str) -> str:
    """The header's value, checked."""
    if not _KEY.fullmatch(value):
        raise ApiError(
            400,
            "invalid_idempotency_key",
            "An Idempotency-Key has 1 to 255 printable ASCII characters, such as a UUID.",
        )
    return value


def answer_once(
    claim: Claim,
    mode: Mode,
    call: Callable[[], HttpResponseBase],
    on_error: Callable[[Exception], HttpResponseBase],
) -> HttpResponseBase:
    """Run `call`, or replay its first answer. `on_error` makes the answer of an exception (the view's handler).

    ApiError 409 when another request with the same key runs now, or the key was used for something else.
    """
    if mode == "recorded":
        with _session_lock(claim):
            return _replay(claim) or _run_recorded(claim, call, on_error)
    with transaction.atomic():
        _lock("pg_try_advisory_xact_lock", claim)
        return _replay(claim) or _run_atomic(claim, call, on_error)


def _run_atomic(
    claim: Claim, call: Callable[[], HttpResponseBase], on_error: Callable[[Exception], HttpResponseBase]
) -> HttpResponseBase:
    try:
        with transaction.atomic():
            response = call()
    except Exception as exc:  # noqa: BLE001 - the view's error handler knows every kind; its answer may be one to keep
        response = on_error(exc)
    _keep(claim, response)
    return response


def _run_recorded(
    claim: Claim, call: Callable[[], HttpResponseBase], on_error: Callable[[Exception], HttpResponseBase]
) -> HttpResponseBase:
    try:
        response = call()
    except Exception as exc:  # noqa: BLE001 - as above
        response = on_error(exc)
    _keep(claim, response)
    return response


# --- Lock -------------------------------------------------------------------------------------------------------------


def _lock(function: str, claim: Claim) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [claim.lock_number()])
        (locked,) = cursor.fetchone()
    if not locked:
        raise ApiError(
            409,
            "idempotency_in_progress",
            "The first request with this Idempotency-Key is still running: retry in a second for its answer.",
            headers={"Retry-After": "1"},
        )


@contextmanager
def _session_lock(claim: Claim) -> Iterator[None]:
    """Held across transactions by the connection; a connection that breaks drops it by itself."""
    _lock("pg_try_advisory_lock", claim)
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [claim.lock_number()])


# --- Record -----------------------------------------------------------------------------------------------------------


def _replay(claim: Claim) -> HttpResponse | None:
    """The stored answer; None when there is none (an expired one is removed). Called under the lock."""
    found = IdempotencyRecord.objects.filter(
        api_key_id=claim.api_key_id, key=claim.key, method=claim.method, path=claim.path
    ).first()
    if found is None:
        return None
    if found.created_at <= timezone.now() - KEPT:
        found.delete()
        return None
    if bytes(found.fingerprint) != claim.fingerprint:
        raise ApiError(
            409,
            "idempotency_key_reused",
            "This Idempotency-Key was used for a different request: take a new key for a new request.",
        )
    response = HttpResponse(bytes(found.response_body), status=found.response_status, headers=found.response_headers)
    response[REPLAYED_HEADER] = "true"
    return response


def _keep(claim: Claim, response: HttpResponseBase) -> None:
    if response.status_code >= 500 or response.status_code in _REFUSALS or "Retry-After" in response:
        return  # the last: it is told to come again, with the same key
    if isinstance(response, Response):  # not rendered yet, so it does not know its own type
        body = b"" if response.data is None else dumps(response.data)
        headers = {"Content-Type": "application/json"}
    elif isinstance(response, HttpResponse):
        body, headers = response.content, {"Content-Type": response["Content-Type"]}
    else:
        raise TypeError("a POST that may be replayed cannot answer with a stream")
    if "Location" in response:
        headers["Location"] = response["Location"]
    IdempotencyRecord.objects.create(
        api_key_id=claim.api_key_id,
        method=claim.method,
        path=claim.path,
        key=claim.key,
        fingerprint=claim.fingerprint,
        response_status=response.status_code,
        response_headers=headers,
        response_body=body,
        created_at=timezone.now(),
    )


def sweep(*, now: datetime, batch: int = SWEEP_BATCH) -> int:
    """Delete the answers that are no longer replayed, in short transactions; returns how many."""
    total = 0
    while True:
        expired = IdempotencyRecord.objects.filter(created_at__lte=now - KEPT).values("pk")[:batch]
        deleted, _ = IdempotencyRecord.objects.filter(pk__in=expired).delete()
        total += deleted
        if deleted < batch:
            return total
