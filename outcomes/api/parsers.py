"""Event bodies reach intake as bytes: it decodes them once, strictly and exactly (outcomes.wire)."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from access import strictjson
from access.parsers import check_charset, refuse
from outcomes.wire import MAX_BATCH_BYTES, MAX_EVENT_BYTES


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
