"""Events as they come over the wire: bytes in, checked `Incoming` or `Refused` items out. No database, no clock.

The hot path: one pass per event, no serializer and no model object. JSON is decoded by msgspec; numbers stay exact.
What msgspec takes and we do not (a key that comes twice, a key of 129 characters) is *proved absent* by a few counts
over bytes. Only where the proof fails, or the decoder does, `access.strictjson` reads the event again, slowly, and says
what is wrong and where.

A CloudEvent (`outcomes.cloudevents` has the attributes) goes the same way.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from access.strictjson import MAX_DEPTH, Limits, StrictJSONError, check_depth, loads
from access.times import InvalidTime, parse_rfc3339

MAX_EVENT_BYTES = 256 * 1024
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_BATCH_EVENTS = 5000
MAX_MESSAGE = 1000
# Digits and exponent beyond which a number is refused: PostgreSQL would store it, at any length it takes to write it
# out.
MAX_NUMBER_DIGITS = 400
_KEYS, _KEY_LENGTH, _ITEMS, _TEXT_LENGTH = 256, 128, 1000, 8192
# Of one event: as everywhere, but for numbers, which conditions judge (page 1).
EVENT_LIMITS: Final = Limits(
    _KEYS,
    _KEY_LENGTH,
    _ITEMS,
    _TEXT_LENGTH,
    digits=MAX_NUMBER_DIGITS,
    min_exponent=-MAX_NUMBER_DIGITS,
    max_exponent=MAX_NUMBER_DIGITS,
    negative_zero=True,
)
# Wide enough that no number within the limits is ever rounded.
_EXACT: Final = Context(prec=MAX_NUMBER_DIGITS)
_LARGE: Final = 10**MAX_NUMBER_DIGITS
# What takes no more bytes holds no key of 129 characters, with its quotes; or nothing beyond the limits but such keys.
_NO_LONG_KEY: Final = 130
_SHORT: Final = 400
# A text, perhaps a key, of more than 128 bytes. Only where nothing is escaped: each quote is then the end of a text.
_LONG_TEXT: Final = re.compile(rb'"[^"]{129}').search


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _EventBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: Name
    type: Name
    customer: Name
    time: Moment | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET


EVENT_FIELDS: Final = _EventBody.__struct_fields__


class Outline(msgspec.Struct, gc=False):
    """What can still be told of an event whatever is wrong with it."""

    id: Any = None
    type: Any = None
    customer: Any = None
    subject: Any = None
    source: Any = None
    specversion: Any = None
    time: Any = None


class Incoming(msgspec.Struct, gc=False):
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
    """One event that cannot be accepted as it stands, with the reason (an inbox reason) and the way out.

    ``problem`` is what is wrong with its JSON (status 400 or 413: its code is what the sender is told) or with one of
    its fields (status 422: told as `invalid`).
    """

    reason: str
    message: str
    raw: bytes
    id: str = ""
    type: str = ""
    customer: str = ""
    problem: StrictJSONError | None = None

    @property
    def code(self) -> str:
        """What the sender is told; where nothing more is known, the reason."""
        return self.problem.code if self.unreadable and self.problem else self.reason

    @property
    def unreadable(self) -> bool:
        """Whether it is no event at all: its JSON, and not what it says, is refused."""
        return self.problem is not None and self.problem.status != 422


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
_outline_decoder = msgspec.json.Decoder(Outline)
canonical = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
# Whatever a decoder or encoder of msgspec raises at bytes that it cannot take.
UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_event(raw: bytes) -> Incoming | Refused:
    """Check one event's JSON. Never raises: what is wrong with one event is said of that event."""
    if len(raw) > MAX_EVENT_BYTES:
        return too_large(raw)
    try:
        body = _event_decoder.decode(raw)
        data = b"{}" if body.data is UNSET else canonical(body.data)
    except UNDECODABLE as error:
        return refused(raw, error)
    # Three names and three texts; the name `data`; the name `time` and its text.
    quotes = 12 + 2 * (body.data is not UNSET) + 4 * (body.time is not UNSET)
    if not proved_sound(raw, data, quotes, body.data) and (problem := problem_of(raw)):
        return refused(raw, problem)
    return incoming(raw, body.id, body.type, body.customer, body.time, data)


def incoming(
    raw: bytes, id: str, type: str, customer: str, time: datetime | UnsetType, data: bytes, source: str = ""
) -> Incoming | Refused:
    """The event of these parts; ``data`` is canonical. Refused where the time is none that we can keep."""
    moment = None
    if time is not UNSET:
        if _SEVEN_DECIMALS(raw) and (problem := _finer_than_we_keep(raw)):
            return refused(raw, problem)
        try:
            moment = time if time.tzinfo is UTC else time.astimezone(UTC)
        except OverflowError as error:
            return refused(raw, error)
    # As `isoformat` writes it, at a fifth of its price: stored fingerprints were made so.
    when = b"" if moment is None else canonical(moment)[1:-2] + b"+00:00"
    fingerprint = hashlib.sha256(b"%b\n%b\n%b" % (type.encode(), when, data)).hexdigest()
    return Incoming(id, type, customer, moment, data, fingerprint, raw, source)


# --- What is wrong ----------------------------------------------------------------------------------------------------


def proved_sound(raw: bytes, encoded: bytes, quotes: int, value: Any) -> bool:
    """Whether it is certain that no key comes twice and that everything is within the limits. Where it is not, the
    event may be sound all the same: look closer (`problem_of`).

    ``encoded`` is ``value``, of ``raw``, written again; ``quotes`` is how many quotes ``raw`` must have besides. A key
    that came twice is decoded once, so its quotes are missing from what is written again.
    """
    if b"\\" in raw:
        if b"\\u0000" in raw or _quotes(raw) != _quotes(encoded) + quotes:
            return False
    elif raw.count(b'"') != encoded.count(b'"') + quotes:
        return False
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:  # else it cannot be deep
        try:
            check_depth(raw, MAX_DEPTH)
        except StrictJSONError:
            return False
    size = len(encoded)
    if size <= _NO_LONG_KEY or (size <= _SHORT and b"\\" not in encoded and not _LONG_TEXT(encoded)):
        return True
    return _within_limits(value)


def _quotes(text: bytes) -> int:
    """How many quotes begin or end a string."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')


def _within_limits(value: Any) -> bool:
    """Whether an object or list, of no great depth, holds nothing beyond EVENT_LIMITS."""
    if type(value) is dict:
        if len(value) > _KEYS or max(map(len, value), default=0) > _KEY_LENGTH:
            return False
        inner = value.values()
    else:
        if len(value) > _ITEMS:
            return False
        inner = value
    for element in inner:
        kind = type(element)
        if kind is str:
            if len(element) > _TEXT_LENGTH:
                return False
        elif kind is dict or kind is list:
            if not _within_limits(element):
                return False
        elif kind is int and not -_LARGE < element < _LARGE:
            return False
    return True


def problem_of(raw: bytes) -> StrictJSONError | None:
    """What makes these bytes no JSON, or none that we take; None where nothing does."""
    try:
        loads(raw, max_bytes=MAX_EVENT_BYTES, max_depth=MAX_DEPTH, limits=EVENT_LIMITS)
    except StrictJSONError as error:
        error.message = error.message.replace("The body", "The event")
        return error
    return None


# In an event whose time has no more decimals than six, nothing else need be looked at.
_SEVEN_DECIMALS: Final = re.compile(rb"\.[0-9]{7}").search
_FINER: Final = re.compile(r"\.[0-9]{6}[0-9]*[1-9]").search


def _finer_than_we_keep(raw: bytes) -> StrictJSONError | None:
    time = outline(raw).time
    if not isinstance(time, str) or not _FINER(time):
        return None
    return invalid("time", "Times are kept to the microsecond: send at most 6 digits after the point.", "too_precise")


def _time_problem(raw: bytes, error: Exception) -> StrictJSONError | None:
    """What makes the event's time none; None where ``error`` is about something else."""
    time = outline(raw).time
    if not isinstance(time, str) or not (isinstance(error, OverflowError) or str(error).endswith("`$.time`")):
        return None
    try:
        parse_rfc3339(time, min_year=1, max_year=9999)
    except InvalidTime as wrong:
        return invalid("time", str(wrong), wrong.code)
    return None


def invalid(path: str, message: str, code: str = "invalid") -> StrictJSONError:
    """JSON that could be read and says something wrong at ``path``."""
    return StrictJSONError(code, message, path=path, status=422)


def too_large(raw: bytes) -> Refused:
    said = f"An event has at most {MAX_EVENT_BYTES // 1024} KiB."
    return refused(raw, StrictJSONError("event_too_large", said, status=413))


def refused(raw: bytes, error: Exception) -> Refused:
    """The refusal of an event at which ``error`` was raised: by a decoder, or by us (a StrictJSONError)."""
    problem = error if isinstance(error, StrictJSONError) else problem_of(raw) or _time_problem(raw, error)
    if problem is not None:
        place = f"{problem.path[:200]}: " if problem.path else ""
        message = f"{place}{problem.message}" + (f" ({problem.code})" if problem.code != "invalid" else "")
    elif isinstance(error, msgspec.ValidationError):
        message = say(error)
    else:  # nothing known gets here: the decoder refuses what ours takes
        problem = StrictJSONError("malformed_json", f"The event cannot be read as JSON: {error}")
        message = f"{problem.message} ({problem.code})"
    told = outline(raw)
    id, type, customer = (
        text.replace("\0", "")[:255] if isinstance(text, str) else ""
        for text in (told.id, told.type, told.customer or told.subject)
    )
    # What the decoder quotes of the event may hold what the database refuses, and may be as long as the event.
    message = message.replace("\0", "\\u0000")[:MAX_MESSAGE]
    # One byte more than allowed: kept, and tried again, it is still too large.
    return Refused("invalid", message, raw[: MAX_EVENT_BYTES + 1], id, type, customer, problem)


def outline(raw: bytes) -> Outline:
    """What can be told of an event; of what is no JSON, nothing."""
    try:
        return _outline_decoder.decode(raw)
    except UNDECODABLE:
        return Outline()


def say(error: msgspec.ValidationError) -> str:
    """msgspec's message in the words of the API: the field named as `events` clients write it."""
    text = str(error).replace(" - at `$.", " at `").replace(" - at `$`", "").replace("`$", "`")
    text = text.replace("with a timezone component", "with a time zone (RFC 3339, such as 2026-03-01T10:00:00Z)")
    return f"{text}."


# --- Batches ----------------------------------------------------------------------------------------------------------


def read_events(
    raws: Iterable[bytes], read: Callable[[bytes], Incoming | Refused] = read_event
) -> list[Incoming | Refused]:
    return [read(raw) for raw in raws]


def read_batch(body: bytes) -> list[bytes]:
    """The raw events of ``{"events": [...]}``. StrictJSONError where there is no such list."""
    events = _elements(body, _BATCH_HEAD, _BATCH_TAIL)
    if events is None:
        raise _no_batch(body)
    if not events:
        raise invalid("events", "The batch holds no event.")
    return _bounded(events)


def read_array(body: bytes) -> list[bytes]:
    """The raw events of ``[...]``; there may be none. StrictJSONError where there is no such list."""
    events = _elements(body, _ARRAY_HEAD, _ARRAY_TAIL)
    if events is None:
        raise not_json(body) or invalid("", "Send a list: [ ... ].")
    return _bounded(events)


def read_lines(body: bytes) -> list[bytes]:
    """The raw events of newline-delimited JSON; empty lines are passed over. StrictJSONError where nothing is left."""
    events = [event for line in body.split(b"\n") if (event := line.strip(_SPACE))]
    if not events:
        raise invalid("", "The batch holds no event.")
    return _bounded(events)


def _bounded(events: list[bytes]) -> list[bytes]:
    if len(events) > MAX_BATCH_EVENTS:
        said = f"The batch holds more than {MAX_BATCH_EVENTS} events: send several batches."
        raise StrictJSONError("too_many_events", said, status=413)
    return events


class _BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    events: list[Any]


_batch_decoder = msgspec.json.Decoder(_BatchBody)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
# Only what keeps a body as a whole from being JSON is looked for.
_WIDE: Final = Limits(None, None, None, None, digits=4000, min_exponent=-999999, max_exponent=999999)


def not_json(body: bytes) -> StrictJSONError | None:
    """Why a body that holds events, not one event, is no JSON: with line and column."""
    try:
        loads(body, max_bytes=MAX_BATCH_BYTES, max_depth=MAX_DEPTH + 2, limits=_WIDE)
    except StrictJSONError as error:
        return error
    return None


def _no_batch(body: bytes) -> StrictJSONError:
    problem = not_json(body)
    if problem is not None:
        return problem
    try:
        _batch_decoder.decode(body)
    except msgspec.ValidationError as error:
        return invalid("", f'{say(error)} Send {{"events": [ ... ]}}.')
    except UNDECODABLE:
        pass
    return invalid("", 'Send {"events": [ ... ]}, and nothing else.')


_SPACE: Final = b" \t\r\n"
# A batch is a list between a head and a tail. Its elements are cut out as they stand, so that each is judged alone.
_BATCH_HEAD: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"events"[ \t\r\n]*:[ \t\r\n]*\[')
_BATCH_TAIL: Final = re.compile(rb"\][ \t\r\n]*\}[ \t\r\n]*\Z")
_ARRAY_HEAD: Final = re.compile(rb"[ \t\r\n]*\[")
_ARRAY_TAIL: Final = re.compile(rb"\][ \t\r\n]*\Z")
# Of more, the decoder might make millions of elements before we could count them.
_MANY_COMMAS: Final = 64 * MAX_BATCH_EVENTS


def _elements(body: bytes, head: re.Pattern[bytes], tail: re.Pattern[bytes]) -> list[bytes] | None:
    """The elements of the one list in ``body``; None where there is no telling them apart."""
    begins = head.match(body)
    ends = body.rfind(b"]")
    if begins is None or not tail.match(body, max(ends, 0)):
        return None
    if body.count(b",") <= _MANY_COMMAS:
        try:
            return [bytes(raw) for raw in _list_decoder.decode(body[begins.end() - 1 : ends + 1])]
        except UNDECODABLE:
            pass
    return _split(body, begins.end(), ends)


# One step over a list: texts and everything plain; then what matters, pairs of brackets around nothing but plain at
# once. Possessive, so that no byte is looked at more than twice; a text that never ends goes on to the end of the body.
_PLAIN: Final = rb'(?:[^"%b\[\]{}]++|"(?:[^"\\]++|\\.)*+"?)*+'
_MARK: Final = rb'([\[{][^"\[\]{}]*+[\]}]|[\[{]++|[\]}]++|\Z)'
_BETWEEN: Final = re.compile(_PLAIN % b"," + _MARK.replace(b"(", b"(,|", 1), re.DOTALL)
_WITHIN: Final = re.compile(_PLAIN % b"" + _MARK, re.DOTALL)


def _split(body: bytes, start: int, end: int) -> list[bytes] | None:
    """The elements of the list whose inside is ``body[start:end]``, though some of them be no JSON; None where it is
    another list than that. Linear, without recursion; only brackets are understood, and of them only how many.
    """
    elements: list[bytes] = []
    depth, begin, at = 0, start, start
    while True:
        step = (_WITHIN if depth else _BETWEEN).match(body, at)
        if step is None or not step[1]:
            return None  # the body ends within the list
        mark, at = step[1], step.end()
        if mark == b",":
            elements.append(body[begin : at - 1].strip(_SPACE))
            begin = at
            if len(elements) > MAX_BATCH_EVENTS:
                return elements  # too many, however many more
        elif mark[0] in b"[{":
            depth += 0 if mark[-1] in b"]}" else len(mark)
        elif len(mark) <= depth:
            depth -= len(mark)
        elif at - len(mark) + depth != end:
            return None
        else:
            last = body[begin:end].strip(_SPACE)
            return [*elements, last] if elements or last else []
