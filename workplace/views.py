"""The front page's one button."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils import timezone

from workplace import figures
from workplace.front import COUNTED, WORK_OUT, sees


def refresh(request: HttpRequest) -> HttpResponse:
    """Work out the figures anew, now. For who sees them, and by POST, since it takes time and writes."""
    if not sees(request.user, COUNTED):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    for kind, work_out in WORK_OUT.items():
        figures.refresh(kind, work_out, now=timezone.now())
    messages.success(request, "The figures are as of now.")
    return redirect("admin:index")


refresh_view = admin.site.admin_view(refresh)
