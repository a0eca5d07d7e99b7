"""Every error code with one line on what to do about it: the table of docs/api.md and the page ``/v1/docs/errors``.

Apps above add theirs with `register` in ``AppConfig.ready`` or in the module that raises them.
"""

CODES: dict[str, str] = {}


def register(codes: dict[str, str]) -> None:
    """Add codes. The same code may be registered again with the same text only."""
    for code, text in codes.items():
        if CODES.setdefault(code, text) != text:
            raise ValueError(f"the error code {code} has two meanings")


def doc_url(base: str, code: str) -> str:
    """Where a code is explained."""
    return f"{base.rstrip('/')}/errors#{code}"


# What any endpoint may answer. Codes of single endpoints stand with them.
GENERAL: dict[str, str] = {
    "invalid": "The body was read, but fields are wrong: `details` names each with its path.",
    "invalid_parameter": "Parameters of the query string are wrong: `details` names each.",
    "invalid_limit": "`limit` must be a whole number from 1 to 200.",
    "invalid_cursor": "The cursor is damaged or belongs to another list or filter: start again without `cursor`.",
    "malformed_request": "The request could not be read.",
    "malformed_json": "The body is not JSON; the message names line and column.",
    "empty_body": "A body is needed: send a JSON object.",
    "byte_order_mark": "The body begins with a byte order mark: send plain UTF-8.",
    "invalid_utf8": "The body is not UTF-8; the message names the byte.",
    "invalid_character": "The path or query string holds a character that cannot be stored.",
    "too_deep": "The body is nested deeper than 32 levels.",
    "duplicate_key": "A key comes twice in one object; parsers disagree on which counts.",
    "nul_character": "U+0000 cannot be stored: leave it out.",
    "lone_surrogate": "Half of a surrogate pair is not a character.",
    "not_a_number": "NaN and Infinity are not JSON.",
    "negative_zero": "-0 is refused, but for events: send 0.",
    "number_too_long": "A number has at most 28 digits, in an event 400.",
    "number_out_of_range": "A number has at most 12 decimals and an exponent of at most 15, in an event 400 of each.",
    "too_many_keys": "An object has at most 256 keys.",
    "key_too_long": "A key has at most 128 characters.",
    "too_many_items": "A list has at most 1,000 items.",
    "string_too_long": "A string has at most 8,192 characters.",
    "body_unreadable": "The connection ended before the whole body arrived: send it again.",
    "missing_api_key": "Send the header `Authorization: Bearer hf_…`.",
    "invalid_api_key": "The API key is unknown, expired or revoked; which of these is not told.",
    "missing_scope": "The API key is valid but lacks the scope that the message names.",
    "forbidden": "This is not allowed.",
    "not_found": "There is nothing at this path, or nothing with this id.",
    "method_not_allowed": "The path exists, but not for this method: see the header `Allow`.",
    "not_acceptable": "Answers are JSON: accept `application/json`.",
    "length_required": "The end of the body cannot be told: send a `Content-Length`.",
    "body_too_large": "The body is larger than this endpoint takes: send less in one request.",
    "unsupported_media_type": "Send `Content-Type: application/json`.",
    "unsupported_charset": "Bodies are UTF-8: leave `charset` out of the `Content-Type`.",
    "unsupported_content_encoding": "Compressed bodies are not read: send the body plain.",
    "invalid_idempotency_key": "An Idempotency-Key has 1 to 255 printable ASCII characters.",
    "idempotency_key_reused": "The Idempotency-Key was used for a different request: take a new key.",
    "idempotency_in_progress": "The first request with this Idempotency-Key is still running: retry shortly.",
    "rate_limited": "Too many requests: wait as `Retry-After` says.",
    "invalid_host": "The `Host` header names no host this installation serves.",
    "internal_error": "Our mistake. It is logged under the `request_id`; retrying may help.",
    "database_unavailable": "The database cannot be reached just now; nothing was done. Retry with the same key.",
}

register(GENERAL)
