"""The short way of the hot path: a plain JSON event or batch is answered before routing and the REST framework.

Measured, these layers were four fifths of what a single event costs in Python. So a request that asks for nothing
special (our own JSON, a key that may send events, no import) is read, accepted and answered here, by the functions that
the views of `outcomes.api.events` call. Everything else, and everything that is refused before an event is read, goes
on to these views, which have the last word: a request may take either way and is answered the same
(tests/outcomes/test_express.py).
"""

from collections.abc import Callable
from typing import Any

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from access import keys
from access.errors import ApiError, plain_response
from access.renderers import dumps
from access.strictjson import StrictJSONError
from outcomes.api.events import answer_many, answer_one
from outcomes.intake import accept
from outcomes.together import accept_one
from outcomes.wire import MAX_BATCH_BYTES, MAX_EVENT_BYTES, Incoming, read_batch, read_event, read_events

SCOPE = "events:write"
# What the callers accept that take JSON or say nothing: nearly all.
TAKES_JSON = ("", "*/*", "application/json")
# Headers that ask for more than is done here; those of a CloudEvent in binary mode begin with the last.
_SPECIAL = ("HTTP_IMPORT", "HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT")
_CLOUD = "HTTP_CE_"


class ExpressMiddleware:
    """Stands behind the middleware that logs and that sets the headers of security."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.ways: dict[str, tuple[int, Callable[[bytes], dict[str, Any] | None]]] = {
            "/v1/events": (MAX_EVENT_BYTES, _single),
            "/v1/events/batch": (MAX_BATCH_BYTES, _batch),
        }

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        way = self.ways.get(request.path_info)
        if way is None or request.method != "POST":
            return self.get_response(request)
        return self._answer(request, *way) or self.get_response(request)

    def _answer(
        self, request: HttpRequest, most: int, take: Callable[[bytes], dict[str, Any] | None]
    ) -> HttpResponse | None:
        """The answer; None where the views have to look at the request themselves."""
        meta = request.META
        length = meta.get("CONTENT_LENGTH") or ""
        if (
            meta.get("CONTENT_TYPE") != "application/json"
            or meta.get("QUERY_STRING")
            or meta.get("HTTP_ACCEPT", "") not in TAKES_JSON
            or not (length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= most)
            or any(name in meta for name in _SPECIAL)
            or any(name.startswith(_CLOUD) for name in meta)
        ):
            return None
        scheme, _, text = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
        try:
            key = keys.verify(text.strip(), now=timezone.now()) if scheme.lower() == "bearer" else None
            if key is None or SCOPE not in key.granted:
                return None
            request.get_host()
            answer = take(request.body)
        except ApiError as error:
            response = plain_response(error)
        except Error:
            return None  # nothing was answered, so all of it may be done again; the views say what is wrong
        else:
            if answer is None:
                return None
            response = HttpResponse(dumps(answer), status=202, content_type="application/json")
        request.user = key  # type: ignore[assignment]  # for the log, as the REST framework does
        response["Cache-Control"] = "no-store"
        response["Content-Length"] = str(len(response.content))
        return response


def _single(body: bytes) -> dict[str, Any] | None:
    item = read_event(body)
    return answer_one(item, accept_one(item, now=timezone.now())) if isinstance(item, Incoming) else None


def _batch(body: bytes) -> dict[str, Any] | None:
    try:
        items = read_events(read_batch(body))
    except StrictJSONError:
        return None
    return answer_many(accept(items, now=timezone.now()))
