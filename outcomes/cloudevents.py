"""CloudEvents 1.0 as events: `subject` is the customer's key, `source` is part of the identity. No database, no clock.

Bodies in the JSON format of CloudEvents come as they are. In binary mode the attributes come as headers: from these and
the body `structured` makes the same event in the JSON format, which is what is read, kept and retried.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from django.conf import settings
from msgspec import UNSET, UnsetType

from access.strictjson import StrictJSONError
from outcomes.wire import (
    MAX_EVENT_BYTES,
    UNDECODABLE,
    Incoming,
    Moment,
    Name,
    Outline,
    Refused,
    canonical,
    exact_number,
    incoming,
    invalid,
    outline,
    problem_of,
    proved_sound,
    read_event,
    refused,
    too_large,
)

# The names of headers in binary mode, as WSGI has them.
HEADER_PREFIX: Final = "HTTP_CE_"


class _Attributes(msgspec.Struct, gc=False):
    id: Name
    source: Name
    type: Name
    subject: Name
    time: Moment | UnsetType = UNSET
    data: dict[str, Any] | UnsetType = UNSET


_KNOWN: Final = frozenset({*_Attributes.__struct_fields__, "specversion", "datacontenttype"})
_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=exact_number)
_encode = msgspec.json.Encoder().encode


def read_cloud_event(raw: bytes) -> Incoming | Refused:
    """Check one event in the JSON format of CloudEvents. Never raises."""
    if len(raw) > MAX_EVENT_BYTES:
        return too_large(raw)
    try:
        given = _decoder.decode(raw)
        if not proved_sound(raw, canonical(given), 0, given) and (problem := problem_of(raw)):
            return refused(raw, problem)
        # To CloudEvents, null is as left out.
        given = {name: value for name, value in given.items() if value is not None}
        if problem := _refusal(given):
            return refused(raw, problem)
        event = msgspec.convert(given, _Attributes)
        data = b"{}" if event.data is UNSET else canonical(event.data)
    except UNDECODABLE as error:
        return refused(raw, error)
    return incoming(raw, event.id, event.type, event.subject, event.time, data, event.source)


def _refusal(given: dict[str, Any]) -> StrictJSONError | None:
    """What no type says: the version, the kind of data, attributes that would have no effect."""
    if given.get("specversion") != "1.0":
        return invalid("specversion", 'Send "1.0": other versions of CloudEvents are not read.')
    if "data_base64" in given:
        return invalid("data_base64", "Conditions read JSON: send an object in `data`.", "unknown_field")
    kind = given.get("datacontenttype", "application/json")
    if not (isinstance(kind, str) and _JSON.fullmatch(kind)):
        return invalid("datacontenttype", "Conditions read JSON: send an object in `data`, and application/json here.")
    if "subject" not in given:
        return invalid("subject", "`subject` says whose event it is: send the customer's key.", "required")
    for name in given:
        if name not in _KNOWN and name not in settings.CLOUDEVENTS_IGNORED:
            said = (
                "This attribute has no effect here: put it into `data`, or have it passed over by naming it in "
                "HOLDFAST_CLOUDEVENTS_IGNORED."
            )
            return invalid(name, said, "unknown_field")
    return None


_JSON: Final = re.compile(
    r'(application|text)/([a-z0-9!#$&^_.+-]+\+)?json[ \t]*(;[ \t]*charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*)?', re.IGNORECASE
)


# --- Binary mode ------------------------------------------------------------------------------------------------------


def structured(environ: Mapping[str, Any], content_type: str, body: bytes) -> bytes:
    """The event of the ``ce-*`` headers in a WSGI environment and of a body that is JSON, or empty. StrictJSONError
    where a header is no text.
    """
    attributes = {}
    for key, value in environ.items():
        if key.startswith(HEADER_PREFIX):
            name = key.removeprefix(HEADER_PREFIX).lower().replace("_", "-")
            attributes[name] = _header_text(name, value)
    if content_type:
        attributes["datacontenttype"] = content_type
    head = _encode(attributes)
    return b'%b,"data":%b}' % (head[:-1], body) if body else head


def _header_text(name: str, value: str) -> str:
    """A header's value as the HTTP binding of CloudEvents has it read (section 3.1.3.2)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        # WSGI hands over the bytes of a header one by one, as the characters of these numbers.
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        said = "The header's percent-encoded bytes are not UTF-8."
        raise StrictJSONError("invalid_utf8", said, path=f"ce-{name}") from None


# --- What was kept ----------------------------------------------------------------------------------------------------


def read_kept(body: str) -> Incoming | Refused:
    """An event from the inbox, in whichever form it was sent."""
    raw = body.encode()
    return read_cloud_event(raw) if _is_cloud_event(outline(raw)) else read_event(raw)


def source_of(body: str) -> str:
    """The `source` of an event from the inbox; empty for one in our own form."""
    told = outline(body.encode())
    return told.source if _is_cloud_event(told) and isinstance(told.source, str) else ""


def _is_cloud_event(told: Outline) -> bool:
    # Our own form has none of these.
    return told.specversion is not None or told.source is not None or told.subject is not None
