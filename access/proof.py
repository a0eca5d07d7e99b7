"""Who acts proves again who they are: each POST to the admin asks for the password, or for a code where staff have a
second factor, once the last proof is older than ``HOLDFAST_STAFF_PROOF_MINUTES``. So a browser that was left open, or a
stolen session, reads and moves no money.

Every page and action asks, but for those named in `FREE`: one that is new asks without saying so. A page that asks
before it acts (`access.asking`) has the input among its own; any other POST is answered by a page that carries along
all that was entered.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from access.login import locked
from access.sessions import PROVEN, is_within

INPUT: Final = "proof"
LONGEST: Final = 4096
WRONG: Final = "This is not your password."

# Names of addresses whose POSTs neither move money nor give anybody anything: getting in and out, what only computes or
# concerns test customers alone, and (?name) what a button of that name makes a preview, which stores nothing. (!name)
# is an action on chosen rows of a list.
FREE: Final = frozenset(
    {
        "login",
        "logout",
        "second_factor",
        "password_change",  # asks for the old one
        "jsi18n",
        "admin_front_refresh",
        "contracts_contract_add?_preview",
        "contracts_contract_amend_this?_preview",
        "contracts_ratecard_add?_preview",
        "contracts_testclock_add",
        "contracts_testclock_advance",
        "contracts_testclock_advance_this",
        "saved_filters_remove",
        "saved_filters_save",
        "simulation_simulation_add",
        "simulation_simulation_change",
        "simulation_simulation_cancel",
        "simulation_simulation_remove",
        "simulation_shadow_add",
        "simulation_shadow_change",
        "simulation_shadow_remove",
        "simulation_shadow_stop",
        "webhooks_endpoint_ping_this",
        "workbench_condition",
        "workbench_condition_check",
        "workbench_condition_events",
        "workbench_condition_new",
        "workbench_condition_simulate",
        "workbench_prices_simulate",
    }
)


FILES: Final = "export_"
"""How the names of addresses begin whose POST is answered by a file. A browser that gets one stays where it is: after a
proof it is led back to the page that the file was asked for on, and that page, told by the session, asks for it anew.
"""
ASKED_FILE: Final = "asked_file"


def note(request: HttpRequest) -> None:
    """Just now they have proven who they are."""
    request.session[PROVEN] = timezone.now().timestamp()


def is_asked(request: HttpRequest) -> bool:
    """Whether a POST to the page of this request needs a proof first."""
    return not is_within(request, PROVEN, timedelta(minutes=settings.STAFF_PROOF_MINUTES)) and not _is_free(request)


def _is_free(request: HttpRequest) -> bool:
    name = getattr(request.resolver_match, "url_name", None)
    actions = request.POST.getlist("action") if name and name.endswith("_changelist") else []
    if actions:  # all: the list takes one of them
        return all(f"{name}!{one}" in FREE for one in actions)
    return name in FREE or any(f"{name}?{field}" in FREE for field in request.POST)


class ProofMiddleware:
    """Lets a POST through once who sends it has proven who they are. Behind all others that look at who that is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if request.method in ("GET", "HEAD", "OPTIONS") or not request.path_info.startswith(reverse("admin:index")):
            return None
        user: Any = request.user
        given = request.POST.get(INPUT)
        if given is not None:  # for nobody else's eyes
            entered = request.POST.copy()
            del entered[INPUT]
            request.POST = entered  # type: ignore[assignment]
        if not (user.is_authenticated and user.is_staff) or not is_asked(request):
            return None
        problem = None if given is None else _problem(request, given[:LONGEST])
        if problem == "":
            note(request)
            # Where each POST asks, the one that asks anew would, too.
            if (getattr(request.resolver_match, "url_name", None) or "").startswith(FILES) and not is_asked(request):
                request.session[ASKED_FILE] = address = request.get_full_path()
                return redirect(address)
            return None
        return _page(request, problem or "")


def _problem(request: HttpRequest, given: str) -> str:
    """Why the proof is not taken; empty where it is."""
    from access import second_factor  # which notes proofs itself

    user: Any = request.user
    if settings.STAFF_TOTP:
        return second_factor.check(user, given)
    if authenticate(request, username=user.get_username(), password=given) == user:
        return ""
    until = getattr(request, "locked_until", None)
    return WRONG if until is None else locked(until)


def _page(request: HttpRequest, problem: str) -> HttpResponse:
    kept = [(name, value) for name in request.POST for value in request.POST.getlist(name)
            if name != "csrfmiddlewaretoken"]  # fmt: skip
    context = {
        **admin.site.each_context(request),
        "title": "Is it you?",
        "minutes": settings.STAFF_PROOF_MINUTES,
        "kept": kept,
        "problem": problem,
        "proof": kind(),
    }
    # A script that asked is not to take the page for its answer.
    asked_by_script = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    return TemplateResponse(request, "access/proof.html", context, status=403 if asked_by_script else 200)


def kind() -> str:
    """What is asked for: a code or the password."""
    return "code" if settings.STAFF_TOTP else "password"
