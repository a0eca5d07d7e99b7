"""The id of the request being served, for error bodies and log lines."""

import re
from contextvars import ContextVar
from datetime import UTC, datetime

from access import ids

HEADER = "X-Request-Id"
_current: ContextVar[str] = ContextVar("holdfast_request_id", default="")
# What a caller sends ends in our logs and headers, so only harmless characters are taken over.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,128}")

set_current = _current.set
reset_current = _current.reset


def current() -> str:
    """The id of this request; outside a request (a task, a shell) the empty string."""
    return _current.get()


def from_header(value: str | None) -> str:
    """The caller's id when it is harmless, else a new one."""
    if value and _ACCEPTABLE.fullmatch(value):
        return value
    return ids.encode("req", ids.uuid7(datetime.now(UTC)))
