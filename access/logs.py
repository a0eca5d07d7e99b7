"""Logs as JSON lines, one object each, with the request id and without keys.

`configure_structlog` runs once per process (`AccessConfig.ready`). `JsonFormatter` gives records of the standard
library the same shape; name it in LOGGING: ``{"()": "access.logs.JsonFormatter"}``.
"""

import json
import logging
import re
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

from access import request_id

_KEY = re.compile(r"(hf_(?:live|test)_)[0-9A-Za-z]{4,}(?:_[0-9A-Za-z]+)?")


def redact(text: str) -> str:
    """API keys never reach a log, whatever sentence they were pasted into."""
    return _KEY.sub(r"\1…", text)


def configure_structlog() -> None:
    """structlog through the standard library's handlers, so that levels and destinations are set in one place."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            structlog.processors.format_exc_info,
            _to_json_line,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _to_json_line(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, dict[str, bool]]]:
    return (_line(event),), {"extra": {"is_json_line": True}}


def _line(event: MutableMapping[str, Any]) -> str:
    # ASCII only: bidirectional controls and line separators of a caller's text arrive escaped (log injection).
    return redact(json.dumps(dict(event), default=str, ensure_ascii=True))


class JsonFormatter(logging.Formatter):
    """Records that structlog has rendered pass as they are; others get the same keys."""

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "is_json_line", False):
            return record.getMessage()
        event: dict[str, Any] = {
            "event": record.getMessage(),
            "logger": record.name,
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if request_id.current():
            event["request_id"] = request_id.current()
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return _line(event)
