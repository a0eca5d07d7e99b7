"""Event bodies reach intake as bytes: it decodes them once, strictly and exactly (outcomes.wire)."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from access import strictjson
from access.errors import ApiError
from access.parsers import check_charset, refuse
from outcomes.wire import MAX_BATCH_BYTES, MAX_EVENT_BYTES


def body_of(request: Request) -> bytes:
    """The bytes that one of these parsers read. An empty body reaches no parser, so it is refused here."""
    if not isinstance(request.data, bytes):
        raise ApiError(400, "empty_body", "The body is empty: send what the documentation of this path describes.")
    return request.data


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
