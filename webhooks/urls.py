"""Paths under /v1/."""

from django.urls import path

from webhooks import api

urlpatterns = [
    path("webhook_endpoints", api.EndpointList.as_view()),
    path("webhook_endpoints/<str:id>", api.EndpointDetail.as_view()),
    path("webhook_endpoints/<str:id>/rotate_secret", api.EndpointRotate.as_view()),
    path("webhook_endpoints/<str:id>/test", api.EndpointTest.as_view()),
    path("webhook_endpoints/<str:id>/deliveries", api.EndpointDeliveries.as_view()),
    path("webhook_endpoints/<str:id>/resend", api.EndpointResend.as_view()),
    path("webhook_deliveries/<str:id>", api.DeliveryDetail.as_view()),
    path("webhook_deliveries/<str:id>/resend", api.DeliveryResend.as_view()),
]
