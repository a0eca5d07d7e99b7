"""The pages under /v1 that describe the API: OpenAPI, Swagger, error codes; and the 404 of unknown paths."""

import re
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView

from access.error_codes import CODES
from access.errors import ApiError, plain_response, reads_only


class OpenApiView(SpectacularJSONAPIView):
    """The schema; plain ``application/json`` unless the caller asks for the vendor type."""

    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer]


class DocsView(SpectacularSwaggerView):
    """Swagger pages from the sidecar. The validator badge would call a foreign server, so it is off."""

    url_name = "openapi"

    def _dump(self, data: Any) -> Any:
        if isinstance(data, dict) and "deepLinking" in data:
            data = {**data, "validatorUrl": None, "persistAuthorization": False}
        return super()._dump(data)


_CODE = re.compile(r"`([^`]*)`")
_ROW = '<tr id="{}"><td><code>{}</code></td><td>{}</td></tr>'


def _marked_up(text: str) -> SafeString:
    """`code` as code; everything else escaped."""
    return mark_safe(_CODE.sub(r"<code>\1</code>", escape(text)))  # noqa: S308 - escaped just before


@reads_only
def error_codes_page(request: HttpRequest) -> HttpResponse:
    """Every error code with what to do: where `doc_url` of an error leads."""
    rows = format_html_join("", _ROW, ((code, code, _marked_up(text)) for code, text in sorted(CODES.items())))
    return HttpResponse(
        format_html(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Holdfast error codes</title>'
            "<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}"
            "td{{padding:.3rem 1rem .3rem 0;vertical-align:top}}tr:target{{background:#fff3bf}}</style>"
            '<h1>Error codes</h1><p><a href="{}">API reference</a></p><table>{}</table></html>',
            settings.DOCS_URL,
            rows,
        )
    )


@csrf_exempt
def unknown_path(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Whatever is under /v1 and nowhere else: JSON for every method, with and without DEBUG."""
    message = f"There is no {request.path[:200]}: the paths are listed at {settings.DOCS_URL}."
    if request.path.endswith("/"):
        message = f"There is no {request.path[:200]}: paths end without a slash."
    return plain_response(ApiError(404, "not_found", message))
