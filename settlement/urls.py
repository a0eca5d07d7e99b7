"""Settlement has no endpoint of its own yet: what it books is read under /v1/outcomes."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
