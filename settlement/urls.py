"""Paths under /v1/. What settlement books is read under /v1/outcomes."""

from django.urls import path

from settlement.api import disputes, holds
from settlement.api.test_clocks import ClockAdvance, ClockDetail, ClockList

urlpatterns = [
    path("holds", holds.HoldList.as_view()),
    path("holds/<str:hold_id>", holds.HoldDetail.as_view()),
    path("holds/<str:hold_id>/release", holds.HoldRelease.as_view()),
    path("outcomes/<str:outcome_id>/dispute", disputes.OutcomeDispute.as_view()),
    path("disputes", disputes.DisputeList.as_view()),
    path("disputes/<str:dispute_id>", disputes.DisputeDetail.as_view()),
    path("disputes/<str:dispute_id>/resolve", disputes.DisputeResolve.as_view()),
    path("disputes/<str:dispute_id>/withdraw", disputes.DisputeWithdraw.as_view()),
    path("test_clocks", ClockList.as_view()),
    path("test_clocks/<str:clock_id>", ClockDetail.as_view()),
    path("test_clocks/<str:clock_id>/advance", ClockAdvance.as_view()),
]
