"""The front page's one button."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils import timezone

from workplace.front import COUNTED, sees, work_out_anew


def refresh(request: HttpRequest) -> HttpResponse:
    """Work out the figures anew, now. For who sees them, and by POST, since it takes time and writes."""
    if not sees(request.user, COUNTED):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if work_out_anew(timezone.now()):
        messages.success(request, "The figures are as of now.")
    else:
        messages.info(request, "What takes long is worked out by the next task, within five minutes: look again then.")
    return redirect("admin:index")


refresh_view = admin.site.admin_view(refresh)
