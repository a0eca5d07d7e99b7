"""JSON that means one thing: the structural checks of every request body.

``loads`` answers Python values (``dict``, ``list``, ``str``, ``int``, ``Decimal``, ``bool``, ``None``; never ``float``)
or raises `StrictJSONError` with a machine-readable code and, where there is one, the path of the offender. What other
parsers disagree about is refused rather than guessed: duplicate keys, NaN, a byte order mark, lone surrogates, NUL.

The parts are usable one by one (the hot path of intake decodes with msgspec): `check_size`, `check_encoding`,
`check_depth` look at bytes only and take milliseconds for megabytes; `check_value` walks decoded values.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from access.paths import child, item

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
# A path is made of keys, which may be as long as the body.
MAX_PATH = 500


@dataclass(frozen=True, slots=True)
class Limits:
    """What one value may hold; ``None`` lifts a limit."""

    keys: int | None = 256
    key_length: int | None = 128
    items: int | None = 1000
    string_length: int | None = 8192
    digits: int = 28
    min_exponent: int = -12
    max_exponent: int = 15
    negative_zero: bool = False


DEFAULT_LIMITS = Limits()


class StrictJSONError(ValueError):
    """A body refused. `status` is the HTTP status it deserves: 400, 413 for its size, 422 for what it says."""

    def __init__(self, code: str, message: str, *, path: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}…"
        self.status = status


class _Refused:
    """Stands in the decoded tree where the decoder met something refused, so that the walk can name its path."""

    __slots__ = ("code", "message")

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message


class _Duplicated(dict[str, Any]):
    """An object in which `key` came twice."""

    key: str


def loads(
    body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, limits: Limits = DEFAULT_LIMITS
) -> Any:
    """Decode a body, or say what is wrong with it and where."""
    check_size(body, max_bytes)
    text = check_encoding(body)
    check_depth(body, max_depth)
    value = _decode(text, limits)
    check_value(value, limits)
    return value


def check_size(body: bytes, max_bytes: int) -> None:
    if len(body) > max_bytes:
        raise too_large(max_bytes)


def too_large(max_bytes: int) -> StrictJSONError:
    """Also for a ``Content-Length`` that says so before anything was read."""
    return StrictJSONError(
        "body_too_large", f"The body is larger than {max_bytes} bytes: send less in one request.", status=413
    )


def check_encoding(body: bytes) -> str:
    """The body as text: UTF-8 without a byte order mark."""
    if body.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise StrictJSONError("byte_order_mark", "The body begins with a byte order mark: send plain UTF-8 without it.")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError("invalid_utf8", f"The body is not UTF-8: see byte {error.start}.") from error


_NO_STRUCTURE = bytes(sorted(set(range(256)) - set(b'"[]{}')))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def check_depth(body: bytes, max_depth: int) -> None:
    """Refuse nesting deeper than `max_depth` without decoding: a recursive decoder must never meet it.

    A few passes in C over ever shorter bytes: drop escapes, everything but quotes and brackets, strings; then peel off
    the innermost pairs, one level a pass, and count the passes.
    """
    # Escaped backslashes first: what is left of a backslash and a quote is then an escaped quote, and no string's end.
    skeleton = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    skeleton = skeleton.translate(_ONE_KIND, _NO_STRUCTURE)
    # Two quotes side by side go without changing which brackets are inside a string; then every second part is outside.
    skeleton = b"".join(skeleton.replace(b'""', b"").split(b'"')[::2])
    if b"[" * (max_depth + 1) in skeleton:
        raise _too_deep(max_depth)
    depth = 0
    while b"[]" in skeleton:
        depth += 1
        if depth > max_depth:
            raise _too_deep(max_depth)
        skeleton = skeleton.replace(b"[]", b"")
    # What is left has no pair: brackets that never open or close. The decoder will refuse it, but may meet this depth.
    if depth + skeleton.count(b"[") > max_depth:
        raise _too_deep(max_depth)


def _too_deep(max_depth: int) -> StrictJSONError:
    return StrictJSONError(
        "too_deep", f"The body is nested deeper than {max_depth} levels, or has brackets that never close."
    )


def _decode(text: str, limits: Limits) -> Any:
    def parse_number(token: str) -> Any:
        return read_number(token, limits)

    try:
        return json.loads(
            text,
            parse_int=parse_number,
            parse_float=parse_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        if not text.strip():
            raise StrictJSONError("empty_body", "The body is empty: send a JSON object.") from error
        raise StrictJSONError(
            "malformed_json", f"The body is not JSON: {error.msg}, line {error.lineno}, column {error.colno}."
        ) from error


def read_number(token: str, limits: Limits = DEFAULT_LIMITS) -> Any:
    """A JSON number token as int or Decimal, within the limits; the length is looked at before any arithmetic."""
    mantissa, _, exponent = token.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if len(digits) > limits.digits:
        return _Refused("number_too_long", f"A number has at most {limits.digits} digits.")
    if len(exponent) > 6 or not limits.min_exponent <= int(exponent or 0) - len(fraction) <= limits.max_exponent:
        return _Refused(
            "number_out_of_range",
            f"A number has at most {-limits.min_exponent} decimals and an exponent of at most {limits.max_exponent}.",
        )
    if token.startswith("-") and not digits and not limits.negative_zero:
        return _Refused("negative_zero", "-0 is not a number we can keep: send 0.")
    if fraction or exponent:
        try:
            return Decimal(token)
        except InvalidOperation:  # pragma: no cover - the decoder hands over valid tokens only
            return _Refused("malformed_json", "This is not a number.")
    return int(token)


def _refuse_constant(token: str) -> Any:
    return _Refused("not_a_number", f"{token} is not JSON: send a number, a string or null.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    marked = _Duplicated(value)
    for key, _ in pairs:
        if key in seen:
            marked.key = key
            break
        seen.add(key)
    return marked


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def text_problem(text: str) -> tuple[str, str] | None:
    """(code, message) when a text cannot be stored: it holds NUL or half a surrogate pair."""
    match = _UNSTORABLE.search(text)
    if match is None:
        return None
    if match.group() == "\x00":
        return "nul_character", "The character U+0000 cannot be stored: leave it out."
    return "lone_surrogate", "Half of a surrogate pair is not a character: send the whole character."


def check_value(value: Any, limits: Limits = DEFAULT_LIMITS, path: str = "") -> None:
    """Walk decoded values; raise at the first that is refused. Depth has been checked before, on bytes."""
    for problem in _problems(value, limits, path):
        raise problem


def _problems(value: Any, limits: Limits, path: str) -> Iterator[StrictJSONError]:
    if isinstance(value, str):
        if limits.string_length is not None and len(value) > limits.string_length:
            yield StrictJSONError(
                "string_too_long", f"A string has at most {limits.string_length} characters.", path=path
            )
        problem = text_problem(value)
        if problem is not None:
            yield StrictJSONError(*problem, path=path)
    elif isinstance(value, dict):
        yield from _object_problems(value, limits, path)
    elif isinstance(value, list):
        if limits.items is not None and len(value) > limits.items:
            yield StrictJSONError("too_many_items", f"A list has at most {limits.items} items.", path=path)
        for index, element in enumerate(value):
            if not isinstance(element, int | Decimal | bool | None):
                yield from _problems(element, limits, item(path, index))
    elif isinstance(value, _Refused):
        yield StrictJSONError(value.code, value.message, path=path)


def _object_problems(value: dict[str, Any], limits: Limits, path: str) -> Iterator[StrictJSONError]:
    if limits.keys is not None and len(value) > limits.keys:
        yield StrictJSONError("too_many_keys", f"An object has at most {limits.keys} keys.", path=path)
    if isinstance(value, _Duplicated):
        problem = text_problem(value.key)
        if problem is None:
            yield StrictJSONError(
                "duplicate_key", "This key comes twice in one object: send it once.", path=child(path, value.key)
            )
    for key, element in value.items():
        problem = text_problem(key)
        if problem is not None:
            yield StrictJSONError(problem[0], f"In a key: {problem[1]}", path=path)
        if limits.key_length is not None and len(key) > limits.key_length:
            yield StrictJSONError("key_too_long", f"A key has at most {limits.key_length} characters.", path=path)
        yield from _problems(element, limits, child(path, key))
