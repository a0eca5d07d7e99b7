"""The paths that describe the API, and the end of /v1."""

from django.urls import path, re_path

from access import docs_views
from access.errors import reads_only

urlpatterns = [
    path("openapi.json", reads_only(docs_views.OpenApiView.as_view()), name="openapi"),
    path("docs", reads_only(docs_views.DocsView.as_view()), name="docs"),
    path("docs/errors", docs_views.error_codes_page, name="error_codes"),
]

# Included last: answers what nothing else under /v1 has answered.
end_of_api = [re_path(r"^(?P<rest>.*)$", docs_views.unknown_path)]
