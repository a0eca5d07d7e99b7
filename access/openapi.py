"""What drf-spectacular cannot see by itself: the key, our fields, the standard errors, headers and parameters.

`ApiSchema` is set on `ApiView`, so nothing needs to be configured for it.
"""

from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from access.pagination import DEFAULT_LIMIT, MAX_LIMIT
from access.permissions import required_scope
from access.serializers import ErrorEnvelopeSerializer

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="Repeat the request under the same key to get the first answer, for 24 hours.",
)
LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    OpenApiParameter.QUERY,
    description="How many entries.",
)
CURSOR = OpenApiParameter(
    "cursor", OpenApiTypes.STR, OpenApiParameter.QUERY, description="`next_cursor` of the page before."
)

_ERRORS = {
    "400": "The request could not be read, or a parameter is wrong.",
    "401": "No API key, or one that is not valid.",
    "403": "The API key lacks the scope.",
    "404": "There is nothing with this id.",
    "406": "Only JSON is answered.",
    "409": "In conflict with the state of things, or with an earlier use of the Idempotency-Key.",
    "411": "The end of the body cannot be told: send a Content-Length.",
    "413": "The body is too large.",
    "415": "The body is not in a media type that is read here.",
    "422": "The body was read, but fields are wrong.",
    "503": "The database cannot do this just now.",
}


def list_of(serializer: type[serializers.Serializer[Any]] | serializers.Serializer[Any]) -> serializers.Serializer[Any]:
    """The list envelope with entries of `serializer`, for ``@extend_schema(responses=list_of(…))``."""
    return _list_of(serializer if isinstance(serializer, type) else type(serializer))


@cache  # one class for each kind, or the document would have two of one name
def _list_of(kind: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    return inline_serializer(
        name=f"{kind.__name__.removesuffix('Serializer')}List",
        fields={
            "data": kind(many=True),
            "has_more": serializers.BooleanField(),
            "next_cursor": serializers.CharField(allow_null=True),
        },
    )


class ApiSchema(AutoSchema):
    """Adds to each operation what `ApiView` does for it."""

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        query = getattr(self.view, "query", {}).get(self.method)
        if query is not None:
            parameters.append(query)
        if self.method == "GET" and getattr(self.view, "paginated", False):
            parameters += [LIMIT, CURSOR]
        if self.method == "POST" and getattr(self.view, "idempotency", "off") != "off":
            parameters.append(IDEMPOTENCY_KEY)
        return parameters

    def get_description(self) -> str:  # type: ignore[override]
        text = super().get_description()
        return f"{text}\n\nScope: `{required_scope(self.view, self.method)}`." if self._has_auth() else text

    def get_operation_id(self) -> str:
        """``post_v1_invoices_issue``: stable, and free of guesses about what is a list."""
        words = [part.strip("{}") for part in self.path.strip("/").split("/")]
        return "_".join([self.method.lower(), *words[1:]]).replace("-", "_")

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)
        if direction == "request" and getattr(serializer, "refuses_unknown", False):
            schema["additionalProperties"] = False
        return schema

    def _has_auth(self) -> bool:
        return bool(self.view.authentication_classes)

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        responses = super()._get_response_bodies(direction)
        for code in self._error_codes():
            if code not in responses:
                answer = OpenApiResponse(ErrorEnvelopeSerializer, description=_ERRORS[code])
                responses[code] = self._get_response_for_code(answer, code, ["application/json"], direction)
        return responses

    def _error_codes(self) -> list[str]:
        codes = ["400", "406", "503"]
        if self._has_auth():
            codes += ["401", "403"]
        if "{" in self.path:
            codes.append("404")
        if self.method not in SAFE_METHODS:
            codes += ["409", "411", "413", "415"]
        if self.method in ("POST", "PUT", "PATCH"):
            codes.append("422")
        return sorted(codes)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "access.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "hf_live_… or hf_test_…"}


class PublicIdFieldSchema(OpenApiSerializerFieldExtension):
    target_class = "access.fields.PublicIdField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        prefix = self.target.prefix
        return {"type": "string", "pattern": f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"}


class DecimalStringFieldSchema(OpenApiSerializerFieldExtension):
    target_class = "access.fields.DecimalStringField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        # Requests also take JSON numbers; answers are always strings.
        kind: Any = ["string", "number"] if direction == "request" else "string"
        return {"type": kind, "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$", "examples": ["12.50"]}


class Rfc3339FieldSchema(OpenApiSerializerFieldExtension):
    target_class = "access.fields.Rfc3339Field"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}
