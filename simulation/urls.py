"""Paths under /v1/."""

from django.urls import path

from simulation import api, forecast_api

urlpatterns = [
    path("shadows", api.ShadowList.as_view()),
    path("shadows/<str:shadow_id>", api.ShadowDetail.as_view()),
    path("shadows/<str:shadow_id>/stop", api.ShadowStop.as_view()),
    path("simulations", api.SimulationList.as_view()),
    path("simulations/forecast", forecast_api.ForecastDetail.as_view()),
    path("simulations/<str:simulation_id>", api.SimulationDetail.as_view()),
    path("simulations/<str:simulation_id>/cancel", api.SimulationCancel.as_view()),
    path("simulations/<str:simulation_id>/customers", api.SimulationCustomers.as_view()),
    path("simulations/<str:simulation_id>/csv", api.SimulationCsv.as_view()),
]
