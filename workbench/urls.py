"""Pages of the workbench, under /admin/workbench/."""

from django.contrib import admin
from django.urls import URLPattern, path

from workbench import conditions, prices_pages, publishing, versions

wrap = admin.site.admin_view

urlpatterns: list[URLPattern] = [
    path("condition/", wrap(conditions.editor), name="workbench_condition_new"),
    path("condition/check/", wrap(conditions.check), name="workbench_condition_check"),
    path("condition/events/", wrap(conditions.events), name="workbench_condition_events"),
    path("condition/simulate/", wrap(conditions.simulate), name="workbench_condition_simulate"),
    path("condition/simulate/<uuid:pk>/", wrap(conditions.simulated), name="workbench_condition_simulated"),
    path("condition/publish/", wrap(publishing.publish), name="workbench_condition_publish"),
    path("condition/<int:pk>/", wrap(conditions.editor), name="workbench_condition"),
    path("condition/<int:pk>/versions/", wrap(versions.page), name="workbench_condition_versions"),
    path("prices/simulate/", wrap(prices_pages.simulate_view), name="workbench_prices_simulate"),
]
