"""`ApiView`: the base of every endpoint under /v1.

    class Invoices(ApiView):
        scopes = {"GET": "read", "POST": "write"}        # this is also the default
        query = {"GET": InvoiceFilter}                   # a QuerySerializer; its values are self.params
        paginated = True                                 # GET also takes limit and cursor

        @extend_schema(responses=list_of(InvoiceSerializer))
        def get(self, request: Request) -> Response:
            return paginate(request, invoices(**self.params), serialize=invoice_json)

It adds to DRF's APIView: what the headers and the query string tell is checked before the handler, an unknown query
parameter is an error, 405 comes before 403, and POSTs honour ``Idempotency-Key``.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from access import ids, strictjson
from access.authentication import key_of
from access.canonical import fingerprint
from access.errors import ApiError, Detail, flatten, summary
from access.idempotency import HEADER, Claim, Mode, answer_once, read_key
from access.openapi import ApiSchema
from access.pagination import PARAMETERS
from access.parsers import check_body_headers
from access.permissions import SCOPES
from access.serializers import QuerySerializer, unknown_message


class ApiView(APIView):
    """See the module. `idempotency` is a mode of `access.idempotency`; ``off`` is for endpoints whose every item has an
    identity of its own and whose answer to a repetition says so."""

    scopes: ClassVar[Mapping[str, str]] = {}
    query: ClassVar[Mapping[str, type[QuerySerializer]]] = {}
    paginated: ClassVar[bool] = False
    idempotency: ClassVar[Mode] = "atomic"

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    schema = ApiSchema()

    params: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unknown = set(cls.scopes.values()) - set(SCOPES)
        if unknown:
            raise TypeError(f"{cls.__name__} names scopes that do not exist: {', '.join(sorted(unknown))}")

    # --- Before the handler -------------------------------------------------------------------------------------------

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_body_headers(request._request, self.max_body_bytes())
        for text in kwargs.values():
            if isinstance(text, str) and strictjson.text_problem(text):
                raise ApiError(400, "invalid_character", "The path holds a character that cannot be stored: U+0000.")
        self.params = self._read_query(request)

    def check_permissions(self, request: Request) -> None:
        """A method that does not exist is 405 for every key, not 403 for those without its scope."""
        if request.method not in self.allowed_methods:
            raise exceptions.MethodNotAllowed(request.method or "")
        super().check_permissions(request)

    def max_body_bytes(self) -> int:
        """The largest body any of the view's parsers takes."""
        return max(getattr(parser, "max_bytes", strictjson.MAX_BYTES) for parser in self.parser_classes)

    def _read_query(self, request: Request) -> dict[str, Any]:
        """The query string's values, by the serializer that the method names; paging's own are left to `paginate`."""
        method = "GET" if request.method == "HEAD" else request.method or ""
        if not request.query_params and method not in self.query:
            return {}  # the hot path builds no serializer for nothing
        reserved = PARAMETERS if self.paginated and method == "GET" else frozenset()
        values: dict[str, Any] = {}
        problems: list[Detail] = []
        serializer_class = self.query.get(method, QuerySerializer)
        known = serializer_class().fields
        for name, given in request.query_params.lists():
            if strictjson.text_problem(name) or any(map(strictjson.text_problem, given)):
                raise ApiError(400, "invalid_character", "The query string holds a character that cannot be stored.")
            if name in reserved:
                continue
            if name not in known:
                message = unknown_message(name, {*known, *reserved}, "parameter")
                problems.append(Detail(name, message, "unknown_parameter"))
            elif hasattr(known[name], "child"):
                values[name] = given
            elif len(given) > 1:
                problems.append(Detail(name, "This parameter comes twice: send it once.", "repeated"))
            else:
                values[name] = given[0]
        serializer = serializer_class(data=values)
        if not serializer.is_valid():
            repeated = {problem.path for problem in problems}
            problems.extend(detail for detail in flatten(serializer.errors) if detail.path not in repeated)
        if problems:
            raise ApiError(400, "invalid_parameter", summary(problems), details=problems)
        return dict(serializer.validated_data)

    # --- The handler --------------------------------------------------------------------------------------------------

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """DRF's dispatch, line for line, except that the handler is called through `_answer`."""
        self.args, self.kwargs = args, kwargs
        self.request = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers
        try:
            self.initial(self.request, *args, **kwargs)
            response = self._answer(self.request, *args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - as in DRF: the exception handler answers bugs with 500 and logs them
            response = self.handle_exception(exc)
        # DRF's stubs say Response, its code takes any HttpResponseBase (a replayed answer is a plain one).
        self.response = self.finalize_response(self.request, cast(Response, response), *args, **kwargs)
        return self.response

    def _answer(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        method = (request.method or "").lower()
        handler = getattr(self, method)
        header = request.headers.get(HEADER)
        if method != "post" or header is None or request.auth is None or self.idempotency == "off":
            return handler(request, *args, **kwargs)
        claim = Claim(
            api_key_id=key_of(request).id,
            method="POST",
            path=request.path,
            key=read_key(header),
            fingerprint=self.idempotency_fingerprint(request),
        )
        return answer_once(claim, self.idempotency, lambda: handler(request, *args, **kwargs), self.handle_exception)

    def idempotency_fingerprint(self, request: Request) -> bytes:
        """What must be the same for a repetition: the meaning of the body, and the query string.

        Views whose parser answers something other than JSON values override this (say, with a hash of the bytes).
        """
        return fingerprint(request.data, request.META.get("QUERY_STRING", ""))

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Answers hold billing data: no cache between us and the caller may keep them."""
        return {**super().default_response_headers, "Cache-Control": "no-store"}


class AnyAccept(DefaultContentNegotiation):
    """There is one form of the answer, whatever `Accept` says; errors are JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class FileView(ApiView):
    """Answers a file of one kind."""

    content_negotiation_class = AnyAccept


def path_id(prefix: str, text: str) -> UUID:
    """The UUID of an id in a path. One that cannot be ours is not found, like one that is not there."""
    try:
        return ids.decode(prefix, text)
    except ValueError as error:
        raise ApiError(404, "not_found", f"There is no {text[:80]!r}: {error}.") from error
