"""Paths under /v1/."""

from django.urls import path

from handover import api

urlpatterns = [
    path("handovers", api.HandoverList.as_view()),
    path("handovers/<str:id>", api.HandoverDetail.as_view()),
    path("handovers/<str:id>/retry", api.HandoverRetry.as_view()),
    path("handovers/<str:id>/dismiss", api.HandoverDismiss.as_view()),
]
