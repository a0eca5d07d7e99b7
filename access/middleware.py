"""The outermost middleware: gives the request its id and writes its line in the access log."""

import time
from collections.abc import Callable

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from access import request_id

log = structlog.get_logger("access.request")


class RequestIdMiddleware:
    """``X-Request-Id`` in (when harmless) and out; bound to every log line of the request.

    The log line has path and status, but neither query string nor headers nor bodies: these may hold what must not be
    logged.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        identity = request_id.from_header(request.headers.get(request_id.HEADER))
        token = request_id.set_current(identity)
        with structlog.contextvars.bound_contextvars(request_id=identity):
            try:
                response = self.get_response(request)
                response[request_id.HEADER] = identity
                log.info(
                    "request",
                    method=request.method,
                    path=request.path,
                    status=response.status_code,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                    api_key=getattr(getattr(request, "user", None), "public_id", None),
                )
            finally:
                request_id.reset_current(token)
        return response
