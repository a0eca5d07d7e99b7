"""Paths under /v1/."""

from django.urls import path

from payments import api

urlpatterns = [
    path("stripe", api.Stripe.as_view()),
    path("stripe/operations", api.OperationList.as_view()),
    path("stripe/operations/<str:id>", api.OperationDetail.as_view()),
    path("stripe/operations/<str:id>/retry", api.OperationRetry.as_view()),
    path("stripe/operations/<str:id>/skip", api.OperationSkip.as_view()),
]
