"""Where everything is: the API under /v1, the admin, the customers' portal, Stripe's webhooks, health."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from access import health
from access.second_factor import second_factor
from access.urls import end_of_api
from payments.webhook_view import webhook
from portal.urls import api_patterns as portal_api
from workplace import exporting

admin_pages: list[URLPattern | URLResolver] = [
    path("queue/", include("workplace.queue_views")),
    path("second-factor/", second_factor, name="second_factor"),
    path("workbench/", include("workbench.urls")),
    # Before the lists' own addresses, which take whatever follows for the id of a row.
    path("", include(exporting.patterns())),
    path("", include("workplace.urls")),
    path("", admin.site.urls),
]

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", include(admin_pages)),
    path("portal/", include("portal.urls")),
    # Under no /v1/: Stripe has no API key.
    path("stripe/webhooks", webhook, name="stripe_webhooks"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("v1/", include("access.urls")),
    # Before contracts, whose /v1/conditions/{slug} would take /v1/conditions/try.
    path("v1/", include("outcomes.urls")),
    # Before contracts, too, whose /v1/customers/{key} takes whatever follows.
    path("v1/", include(portal_api)),
    path("v1/", include("contracts.urls")),
    path("v1/", include("settlement.urls")),
    path("v1/", include("invoicing.urls")),
    path("v1/", include("payments.urls")),
    path("v1/", include("handover.urls")),
    path("v1/", include("simulation.urls")),
    path("v1/", include("webhooks.urls")),
    path("v1/", include(end_of_api)),
]

handler400 = "access.errors.handler400"
handler403 = "access.errors.handler403"
handler404 = "access.errors.handler404"
handler500 = "access.errors.handler500"
