"""Bodies of ordinary endpoints; intake has a parser of its own on the same functions (`access.strictjson`)."""

from collections.abc import Mapping
from typing import IO, Any

from django.http import HttpRequest
from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser

from access import strictjson
from access.errors import ApiError, Detail, summary


def refuse(error: strictjson.StrictJSONError) -> ApiError:
    """The answer for a body that the strict decoder refused."""
    detail = Detail(error.path, error.message, error.code)
    return ApiError(error.status, error.code, summary([detail]), details=[detail])


def check_charset(media_type: str | None) -> None:
    """UTF-8 only: a charset parameter may say so or be left out."""
    _, parameters = parse_header_parameters(media_type or "")
    charset = parameters.get("charset", "utf-8")
    if charset.strip().lower() not in ("utf-8", "utf8"):
        raise ApiError(415, "unsupported_charset", "Bodies are UTF-8: leave charset out of the Content-Type.")


def check_body_headers(request: HttpRequest, max_bytes: int) -> None:
    """What the headers alone tell, before a byte of the body is read or a handler runs.

    411 for a body of unknown length that the entry point (billing_project.wsgi) could not read first: Django takes it
    for empty, and empty must not pass for sent. 415 for a compressed one (nothing is ever decompressed here), 413 for
    an announced length above the limit.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ApiError(415, "unsupported_content_encoding", "Compressed bodies are not read: send the body plain.")
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length:
        if request.headers.get("Transfer-Encoding", "").strip():
            raise ApiError(411, "length_required", "The end of this body cannot be told: send a Content-Length.")
        return
    if not (length.isascii() and length.isdigit()):
        raise ApiError(400, "malformed_request", "The Content-Length is not a number.")
    if int(length[:20]) > max_bytes:
        raise refuse(strictjson.too_large(max_bytes))


class StrictJSONParser(BaseParser):
    """JSON through `access.strictjson`; subclass it to change a limit for one endpoint."""

    media_type = "application/json"
    max_bytes = strictjson.MAX_BYTES
    max_depth = strictjson.MAX_DEPTH
    limits = strictjson.DEFAULT_LIMITS

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        check_charset(media_type)
        # One byte more than allowed tells "too large" without reading the rest.
        body = stream.read(self.max_bytes + 1)
        try:
            return strictjson.loads(body, max_bytes=self.max_bytes, max_depth=self.max_depth, limits=self.limits)
        except strictjson.StrictJSONError as error:
            raise refuse(error) from error
