"""Pages of the admin that belong to no model, under admin/."""

from django.contrib import admin
from django.urls import path

from workplace import saved_filters
from workplace.search import search_view
from workplace.views import refresh_view

urlpatterns = [
    path("search/", search_view, name="search"),
    path("refresh", refresh_view, name="admin_front_refresh"),
    path("saved-filters/", admin.site.admin_view(saved_filters.save), name="saved_filters_save"),
    path("saved-filters/<int:pk>/remove/", admin.site.admin_view(saved_filters.remove), name="saved_filters_remove"),
]
