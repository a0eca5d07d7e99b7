"""Events as they come over the wire: bytes in, checked `Incoming` or `Refused` items out. No database, no clock.

The hot path: one pass per event, no serializer and no model object. JSON is decoded by msgspec; numbers stay exact.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec

from access.strictjson import MAX_DEPTH, StrictJSONError, check_depth

MAX_EVENT_BYTES = 256 * 1024
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCH_EVENTS = 5000
MAX_MESSAGE = 1000
# Digits and exponent beyond which a number is refused: PostgreSQL would store it, at any length it takes to write it
# out.
MAX_NUMBER_DIGITS = 400
# Wide enough that no number within the limits is ever rounded.
_EXACT: Final = Context(prec=MAX_NUMBER_DIGITS)


class Malformed(Exception):
    """The body as a whole cannot be read; ``code`` is machine-readable, the message says where and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class _EventBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: Name
    type: Name
    customer: Name
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    data: dict[str, Any] = {}


class _Outline(msgspec.Struct, gc=False):
    """What can still be told of an event that was refused, for the inbox."""

    id: Any = None
    type: Any = None
    customer: Any = None


class _BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


@dataclass(slots=True)
class Incoming:
    """One well-formed event. ``time`` is None where the sender left it out; ``fingerprint`` is over the content as
    sent.
    """

    id: str
    type: str
    customer: str
    time: datetime | None
    data: bytes
    fingerprint: str
    raw: bytes
    source: str = ""


@dataclass(slots=True)
class Refused:
    """One event that cannot be accepted as it stands, with the reason (an inbox reason) and the way out."""

    reason: str
    message: str
    raw: bytes
    id: str = ""
    type: str = ""
    customer: str = ""


def exact_number(text: str) -> int | Decimal:
    """A JSON number with fraction or exponent, exact and in one form: 5, 5.0 and 5e0 are the same."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that not even Decimal holds
        raise _out_of_range(text) from None
    digits, exponent = len(number.as_tuple().digits), int(number.as_tuple().exponent)
    if digits > MAX_NUMBER_DIGITS or abs(exponent) > MAX_NUMBER_DIGITS:
        raise _out_of_range(text)
    if number == number.to_integral_value():
        return int(number)
    return number.normalize(_EXACT)


def _out_of_range(text: str) -> ValueError:
    # The decoder says where it is.
    return ValueError(f"The number {text[:40]} has more than {MAX_NUMBER_DIGITS} digits; send it as text")


_event_decoder = msgspec.json.Decoder(_EventBody, float_hook=exact_number)
_outline_decoder = msgspec.json.Decoder(_Outline)
_batch_decoder = msgspec.json.Decoder(_BatchBody)
_canonical = msgspec.json.Encoder(order="sorted", decimal_format="number")


def read_event(raw: bytes) -> Incoming | Refused:
    """Check one event's JSON. Never raises: what is wrong with one event is said of that event."""
    if len(raw) > MAX_EVENT_BYTES:
        return _refused(raw, f"The event is larger than {MAX_EVENT_BYTES // 1024} KiB.")
    try:
        if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:  # else it cannot be deep
            check_depth(raw, MAX_DEPTH)
        body = _event_decoder.decode(raw)
    except StrictJSONError as error:
        return _refused(raw, error.message.replace("The body", "The event"))
    except msgspec.ValidationError as error:
        return _refused(raw, say(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _refused(raw, f"Not readable as JSON: {error}")
    data = _canonical.encode(body.data)
    if b"\\u0000" in data or "\0" in body.id or "\0" in body.type or "\0" in body.customer:
        return _refused(raw, "The event contains the character U+0000, which no text may contain; leave it out.")
    try:
        time = None if body.time is None else body.time.astimezone(UTC)
    except OverflowError:
        return _refused(raw, "`time` lies outside the years 1 to 9999 in UTC.")
    content = hashlib.sha256(f"{body.type}\n{time.isoformat() if time else ''}\n".encode())
    content.update(data)
    return Incoming(body.id, body.type, body.customer, time, data, content.hexdigest(), raw)


def is_json(body: bytes) -> bool:
    """Whether the body is one JSON object, whatever it says."""
    try:
        _outline_decoder.decode(body)
    except msgspec.ValidationError:
        return True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def read_batch(body: bytes) -> list[bytes]:
    """The raw events of ``{"events": [...]}``. Raises Malformed."""
    try:
        events = _batch_decoder.decode(body).events
    except msgspec.ValidationError as error:
        raise Malformed("invalid", f'{say(error)} Send {{"events": [ ... ]}}.') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("malformed_json", f"The body cannot be read as JSON: {error}") from None
    return _bounded([bytes(raw) for raw in events])


def read_lines(body: bytes) -> list[bytes]:
    """The raw events of newline-delimited JSON; empty lines are passed over. Raises Malformed."""
    return _bounded([line for line in body.split(b"\n") if line.strip()])


def _bounded(events: list[bytes]) -> list[bytes]:
    if not events:
        raise Malformed("invalid", "The batch holds no event.")
    if len(events) > MAX_BATCH_EVENTS:
        raise Malformed(
            "too_many_events", f"The batch holds {len(events)} events; send at most {MAX_BATCH_EVENTS} at a time."
        )
    return events


def read_events(raws: Iterable[bytes]) -> list[Incoming | Refused]:
    return [read_event(raw) for raw in raws]


def _refused(raw: bytes, message: str) -> Refused:
    try:
        outline = _outline_decoder.decode(raw)
        known = [value if isinstance(value, str) else "" for value in (outline.id, outline.type, outline.customer)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        known = ["", "", ""]
    # What the decoder quotes of the event may hold what the database refuses, and may be as long as the event.
    message = message.replace("\0", "\\u0000")[:MAX_MESSAGE]
    return Refused("invalid", message, raw[:MAX_EVENT_BYTES], *(text.replace("\0", "")[:255] for text in known))


def say(error: msgspec.ValidationError) -> str:
    """msgspec's message in the words of the API: the field named as `events` clients write it."""
    text = str(error).replace(" - at `$.", " at `").replace(" - at `$`", "").replace("`$", "`")
    text = text.replace("with a timezone component", "with a time zone (RFC 3339, such as 2026-03-01T10:00:00Z)")
    return f"{text}."
