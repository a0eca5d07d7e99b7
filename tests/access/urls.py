"""The test endpoints under /v1, with everything of access around them."""

from django.urls import include, path

from access import health
from access.urls import end_of_api
from billing_project.urls import admin_pages
from tests.access import endpoints

api = [
    path("orders", endpoints.Orders.as_view()),
    path("raw", endpoints.Raw.as_view()),
    path("things", endpoints.Things.as_view()),
    path("recorded_things", endpoints.RecordedThings.as_view()),
    path("hot_things", endpoints.HotThings.as_view()),
    path("things/<str:thing_id>", endpoints.Thing.as_view()),
    path("failing", endpoints.Failing.as_view()),
]

urlpatterns = [
    path("admin/", include(admin_pages)),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("v1/", include("access.urls")),
    path("v1/", include(api)),
    path("v1/", include(end_of_api)),
]

handler400 = "access.errors.handler400"
handler403 = "access.errors.handler403"
handler404 = "access.errors.handler404"
handler500 = "access.errors.handler500"
