"""Event bodies reach intake as bytes: it decodes them once, strictly and exactly (outcomes.wire)."""

import re
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from access import strictjson
from access.errors import ApiError, Detail
from access.parsers import check_charset, refuse
from access.paths import child
from access.serializers import unknown_message
from outcomes.wire import MAX_BATCH_BYTES, MAX_EVENT_BYTES, not_json


def body_of(request: Request) -> bytes:
    """The bytes that one of these parsers read. An empty body reaches no parser, so it is refused here."""
    if not isinstance(request.data, bytes):
        raise ApiError(400, "empty_body", "The body is empty: send what the documentation of this path describes.")
    return request.data


def unreadable(body: bytes) -> ApiError:
    """Why a body that could not be decoded is no JSON: in the codes of every other endpoint, with line and column."""
    problem = not_json(body)
    return refuse(problem) if problem else ApiError(400, "malformed_json", "The body cannot be read as JSON.")


_PLACE = re.compile(r" at `([^`]*)`")
_FIELD = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")


def detail_of(message: str, known: Mapping[str, tuple[str, ...]]) -> Detail:
    """A message of `outcomes.wire.say` as a detail with its path. ``known`` has the fields of the objects that may
    stand at the places whose path begins so; the first that fits counts.
    """
    place = _PLACE.search(message)
    path = place[1] if place else ""
    field = _FIELD.match(message)
    if field is None:
        return Detail(path, message)
    kind, name = field.groups()
    if kind == "missing required":
        return Detail(child(path, name), "This field is required.", "required")
    names = next((names for start, names in known.items() if path.startswith(start)), ())
    return Detail(child(path, name), unknown_message(name, names), "unknown_field")


class EventParser(BaseParser):
    """The body of one event."""

    media_type = "application/json"
    max_bytes = MAX_EVENT_BYTES

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The bytes of the body."""
        check_charset(media_type)
        body: bytes = stream.read(self.max_bytes + 1)
        if len(body) > self.max_bytes:
            raise refuse(strictjson.too_large(self.max_bytes))
        return body


class BatchParser(EventParser):
    """``{"events": [...]}``"""

    max_bytes = MAX_BATCH_BYTES


class LinesParser(BatchParser):
    """One event a line."""

    media_type = "application/x-ndjson"


class CloudEventParser(EventParser):
    """One CloudEvent in structured mode."""

    media_type = "application/cloudevents+json"


class CloudBatchParser(BatchParser):
    """A list of CloudEvents."""

    media_type = "application/cloudevents-batch+json"
