"""One shape for every error, wherever it comes from.

``{"error": {"type", "code", "message", "status", "details": [{"path", "message", "code"}], "request_id", "doc_url"}}``

Endpoints raise `ApiError`; `exception_handler` (named in the settings) turns that and whatever DRF, Django and the
database raise into the envelope. `handler400` … `handler500` do the same for requests that never reached a view.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

import structlog
from django.conf import settings
from django.core import exceptions as django_exceptions
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.shortcuts import render
from django.urls import reverse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions as drf
from rest_framework.response import Response

from access import error_codes, request_id
from access.paths import child, item
from access.renderers import dumps

API_PREFIX = "/v1/"

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found",
    409: "conflict",
    422: "validation_error",
    429: "rate_limited",
}

log = structlog.get_logger("access.errors")


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that is wrong: where (``prices[0].unit_price``; empty for the whole body), what, and its code."""

    path: str
    message: str
    code: str = "invalid"


class ApiError(drf.APIException):
    """Refuse a request: ``raise ApiError(409, "already_issued", "Invoice inv_… is issued: void it first.")``.

    The message is one or two sentences for the person who reads it: what is wrong and the way out.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str | None = None,
        details: Iterable[Detail] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code)
        self.status_code = status
        self.code = code
        self.message = message
        self.type = type or type_of(status)
        self.details = tuple(details)
        self.headers = dict(headers or {})


class InvalidInput(ApiError):
    """422 `invalid`: the body was read, but these fields are wrong. For checks beyond a serializer's."""

    def __init__(self, details: Iterable[Detail]) -> None:
        listed = tuple(details)
        super().__init__(422, "invalid", summary(listed), details=listed)


def type_of(status: int) -> str:
    """The broad kind of an error, from its status."""
    if status >= 500:
        return "api_error"
    return _TYPES.get(status, "invalid_request")


def envelope(error: ApiError) -> dict[str, Any]:
    """The body of an error answer."""
    return {
        "error": {
            "type": error.type,
            "code": error.code,
            "message": error.message,
            "status": error.status_code,
            "details": [asdict(detail) for detail in error.details],
            "request_id": request_id.current(),
            "doc_url": error_codes.doc_url(settings.DOCS_URL, error.code),
        }
    }


def summary(details: Sequence[Detail]) -> str:
    """One sentence over the details, so that a message alone is of use."""
    if not details:
        return "The request is not valid."
    first = details[0]
    text = f"{first.path}: {first.message}" if first.path else first.message
    if len(details) == 1:
        return text
    return f"{len(details)} things are wrong; the first: {text}"


# --- Exceptions of others ---------------------------------------------------------------------------------------------


def flatten(detail: Any, path: str = "") -> Iterator[Detail]:
    """DRF's nested error structure as a list with JSON paths."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            if isinstance(key, int):
                yield from flatten(inner, item(path, key))
            elif key in ("non_field_errors", "__all__"):
                yield from flatten(inner, path)
            else:
                yield from flatten(inner, child(path, str(key)))
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, Mapping | list | tuple)
            yield from flatten(inner, item(path, index) if nested else path)
    else:
        yield Detail(path, str(detail), str(getattr(detail, "code", None) or "invalid"))


def from_exception(exc: Exception) -> ApiError | None:
    """The ApiError that an exception of DRF, Django or the database stands for; None for what is a bug."""
    if isinstance(exc, ApiError):
        return exc
    if isinstance(exc, drf.ValidationError):
        return InvalidInput(flatten(exc.detail))
    if isinstance(exc, drf.APIException):
        return _from_drf(exc)
    if isinstance(exc, Http404):
        return ApiError(404, "not_found", "There is nothing here: check the path and the id.")
    return _from_django(exc)


def _from_drf(exc: drf.APIException) -> ApiError:
    wait = getattr(exc, "wait", None)
    if isinstance(exc, drf.ParseError):
        return ApiError(400, "malformed_request", str(exc.detail))
    if isinstance(exc, drf.NotAuthenticated):
        return ApiError(401, "missing_api_key", "Send your API key in the header: Authorization: Bearer hf_live_…")
    if isinstance(exc, drf.AuthenticationFailed):
        return ApiError(401, "invalid_api_key", "This API key is not valid: check that it is complete and current.")
    if isinstance(exc, drf.PermissionDenied):
        code = "missing_scope" if getattr(exc.detail, "code", "") == "missing_scope" else "forbidden"
        return ApiError(403, code, str(exc.detail))
    if isinstance(exc, drf.NotFound):
        return ApiError(404, "not_found", "There is nothing here: check the path and the id.")
    if isinstance(exc, drf.MethodNotAllowed):
        return ApiError(405, "method_not_allowed", f"{exc.detail} The header Allow lists the methods of this path.")
    if isinstance(exc, drf.NotAcceptable):
        return ApiError(406, "not_acceptable", "This endpoint cannot answer in that form: accept application/json.")
    if isinstance(exc, drf.UnsupportedMediaType):
        return ApiError(415, "unsupported_media_type", f"{exc.detail} Send Content-Type: application/json.")
    if isinstance(exc, drf.Throttled):
        headers = {"Retry-After": str(int(wait))} if wait else {}
        return ApiError(429, "rate_limited", "Too many requests: wait as Retry-After says.", headers=headers)
    return ApiError(exc.status_code, str(exc.default_code), str(exc.detail))


def _from_django(exc: Exception) -> ApiError | None:
    if isinstance(exc, django_exceptions.PermissionDenied):
        return ApiError(403, "forbidden", "This is not allowed.")
    if isinstance(exc, django_exceptions.ValidationError):
        detail = exc.message_dict if hasattr(exc, "error_dict") else exc.messages
        return InvalidInput(flatten(detail))
    if isinstance(exc, django_exceptions.RequestDataTooBig):
        return ApiError(413, "body_too_large", "The body is too large: send less in one request.")
    if isinstance(exc, django_exceptions.DisallowedHost):
        return ApiError(400, "invalid_host", "The Host header names no host this installation serves.")
    if isinstance(exc, django_exceptions.SuspiciousOperation):
        return ApiError(400, "malformed_request", "The request could not be read.")
    if isinstance(exc, UnreadablePostError):
        return ApiError(400, "body_unreadable", "The connection ended before the whole body arrived: send it again.")
    if isinstance(exc, OperationalError | InterfaceError):
        # Unreachable, out of connections, a lock or statement timeout: the transaction is gone, a retry may succeed.
        log.warning("database_unavailable", error=type(exc.__cause__ or exc).__name__, exc_info=exc)
        return ApiError(
            503,
            "database_unavailable",
            "The database cannot do this just now. Retry; a POST with the same Idempotency-Key.",
            headers={"Retry-After": "1"},
        )
    return None


INTERNAL_ERROR = ("internal_error", "Something went wrong on our side. Quote the request_id when you report it.")


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER: the envelope for everything a view raises, also for bugs (logged, nothing shown)."""
    error = from_exception(exc)
    if error is None:
        request = context.get("request")
        log.error("unhandled_exception", path=getattr(request, "path", ""), exc_info=exc)
        # What Django sends for an exception of a plain view: error trackers listen, and the test client re-raises.
        got_request_exception.send(sender=None, request=getattr(request, "_request", None))
        error = ApiError(500, *INTERNAL_ERROR)
    headers = dict(error.headers)
    if error.status_code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="holdfast"'
    return Response(envelope(error), status=error.status_code, headers=headers)


# --- Requests that reached no view ------------------------------------------------------------------------------------


def plain_response(error: ApiError) -> HttpResponse:
    """The envelope as a Django answer, where DRF's machinery does not run."""
    return HttpResponse(
        dumps(envelope(error)),
        status=error.status_code,
        content_type="application/json",
        headers=error.headers,
    )


def reads_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For plain views: GET and HEAD, and for every other method 405 in the one shape."""

    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request, *args, **kwargs)
        message = f'Method "{request.method}" not allowed. The header Allow lists the methods of this path.'
        return plain_response(ApiError(405, "method_not_allowed", message, headers={"Allow": "GET, HEAD"}))

    return answer


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(API_PREFIX)


def _refused(request: HttpRequest, status: int, title: str, said: str) -> HttpResponse | None:
    """A page of the admin, with its menu, for staff who are signed in; None for others."""
    user = getattr(request, "user", None)
    if not getattr(user, "is_staff", False) or not request.path_info.startswith(reverse("admin:index")):
        return None
    from django.contrib import admin  # models import this module, and it models

    context = {**admin.site.each_context(request), "title": title, "said": said}
    return render(request, "access/refused.html", context, status=status)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a host that is not ours, a request that is too big or cannot be read."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    error = from_exception(exception)
    return plain_response(error or ApiError(400, "malformed_request", "The request could not be read."))


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if not _is_api(request):
        said = "Your role does not open this page, or take this action. An owner can give you another."
        return _refused(request, 403, "Not for your role", said) or defaults.permission_denied(request, exception)
    return plain_response(ApiError(403, "forbidden", "This is not allowed."))


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if not _is_api(request):
        said = "There is no such page, or the row is not there any more. Ctrl+K finds rows by their number or key."
        return _refused(request, 404, "Not found", said) or defaults.page_not_found(request, exception)
    return plain_response(ApiError(404, "not_found", "There is nothing here: check the path and the id."))


def handler500(request: HttpRequest) -> HttpResponse:
    """Django's handler500, for what failed outside DRF (a middleware); Django itself logs the traceback."""
    if not _is_api(request):
        return defaults.server_error(request)
    return plain_response(ApiError(500, *INTERNAL_ERROR))
