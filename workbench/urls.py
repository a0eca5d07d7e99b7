"""Pages of the workbench, under /admin/workbench/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
