"""Sessions of staff: in a table that says whose each is, so that all of one person's can be ended; and how long they
live. (``SESSION_ENGINE`` names this module.)

A session ends half an hour after its last request, and ``HOLDFAST_STAFF_SESSION_HOURS`` after it began, whatever is
done in it. The database ends all of a person's when their password, their roles or their permissions change, or when
they are deactivated, whoever does it and how (migration 0004).
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

BEGAN = "began"
PROVEN = "proven"


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> Any:
        from access.models import StaffSession  # the tables are not there yet when settings are read

        return StaffSession

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.account_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        return row


@receiver(user_logged_in, dispatch_uid="access.sessions")
def note_beginning(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """When somebody came in, and gave their password. The session gets another key, also where they were in already,
    which Django leaves as it is.
    """
    request.session.cycle_key()
    request.session[BEGAN] = request.session[PROVEN] = timezone.now().timestamp()


def is_within(request: HttpRequest, name: str, span: timedelta) -> bool:
    """Whether what the session notes under this name was less than a span ago. Another machine may have noted it, by a
    clock that is ahead of this one's.
    """
    noted = request.session.get(name)
    return noted is not None and timezone.now().timestamp() - noted < span.total_seconds()


class SessionLifeMiddleware:
    """Ends what is too old, and tells who is sent to the login form why. Behind those of sessions, accounts and
    messages.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(reverse("admin:index")):
            return self.get_response(request)
        if request.user.is_authenticated:
            hours = settings.STAFF_SESSION_HOURS
            if not is_within(request, BEGAN, timedelta(hours=hours)):
                logout(request)
                _tell(request, f"A session ends after {hours} hour{'' if hours == 1 else 's'}: sign in again.")
                return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        elif request.COOKIES.get(settings.SESSION_COOKIE_NAME) and request.session.is_empty():
            _tell(request, "Your session has ended: sign in again.")
        return self.get_response(request)


def _tell(request: HttpRequest, text: str) -> None:
    """Say it on the next page: once, so not for what a page asks for beside itself."""
    if request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        messages.info(request, text)
