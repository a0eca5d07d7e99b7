from django.http import HttpResponse
from django.urls import path

from benchmarks.handwritten.views import EventBatch, EventList

urlpatterns = [
    path("events", EventList.as_view()),
    path("events/batch", EventBatch.as_view()),
    path("ready", lambda request: HttpResponse()),
]
