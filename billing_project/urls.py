"""Where everything is: the API under /v1, the admin, health."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from access import health
from access.urls import end_of_api

APPS = ("contracts", "outcomes", "settlement", "invoicing")

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("v1/", include("access.urls")),
    # TEMPORARY, while the four are being written: plain includes in the end.
    *(path("v1/", include(f"{app}.urls")) for app in APPS if find_spec(f"{app}.urls")),
    path("v1/", include(end_of_api)),
]

handler400 = "access.errors.handler400"
handler403 = "access.errors.handler403"
handler404 = "access.errors.handler404"
handler500 = "access.errors.handler500"
