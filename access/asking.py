"""A page of the admin that asks before something is done: what would be done, to what, and why.

A link only ever leads to this page; the POST of its form is what acts, so no crawler and no link can. Where who asks
has not proven for a while who they are, they do so on the same page (`access.proof`, whose middleware sees to it).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, NamedTuple

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from access import proof
from access.errors import ApiError
from access.readonly import ReadOnly


class Asked(NamedTuple):
    """An input of the page: its name in the POST, what it asks for, a hint; ``required`` or not."""

    name: str
    label: str
    hint: str = ""
    required: bool = True
    max_length: int = 1000


WHY = Asked("reason", "Why", "It is kept, with your name.")


def entered(request: HttpRequest, inputs: Sequence[Asked]) -> tuple[dict[str, str], str]:
    """What a POST brings for the inputs, trimmed, and what is missing of it, as a sentence; empty where nothing is."""
    given = {one.name: request.POST.get(one.name, "").strip()[: one.max_length] for one in inputs}
    missing = [one.label for one in inputs if one.required and not given[one.name]]
    return given, "; ".join(f"{label}: this is needed." for label in missing)


def ask(
    model_admin: Any,
    request: HttpRequest,
    question: str,
    facts: Sequence[Any],
    verb: str,
    back: str,
    *,
    inputs: Sequence[Asked] = (),
    hidden: Sequence[tuple[str, str]] = (),
    problem: str = "",
) -> HttpResponse:
    """The page. ``verb`` stands on its button, ``back`` is where the other button leads; ``problem`` says what was
    wrong with what was entered, which stays in the inputs. The address may say what stands there to begin with.
    """
    context = {
        **model_admin.admin_site.each_context(request),
        "title": question,
        "question": question,
        "facts": [fact for fact in facts if fact],
        "verb": verb,
        "back": back,
        "inputs": [
            one._asdict() | {"value": request.POST.get(one.name, request.GET.get(one.name, ""))} for one in inputs
        ],
        "hidden": hidden,
        "problem": problem,
        "proof": proof.kind() if proof.is_asked(request) else "",
    }
    return TemplateResponse(request, "access/ask.html", context)


class Asking:
    """Acts that are asked for on a page each; what the use case refuses is said there. A mixin of admins.
    ``refusals`` are the exceptions that say no.
    """

    admin_site: Any
    log_change: Callable[..., Any]
    refusals: ClassVar[tuple[type[Exception], ...]] = (ApiError,)

    def question(
        self,
        request: HttpRequest,
        question: str,
        facts: Sequence[Any],
        verb: str,
        back: str,
        inputs: Sequence[Asked],
        act: Callable[[dict[str, str]], Any],
        *,
        may: str = "act",
    ) -> HttpResponse:
        """Ask; on the POST ``act`` with what was entered, note in the history of the row it answers, and go back.
        ``may`` is what the action's ``permissions`` name: who may see the page.
        """
        if not getattr(self, f"has_{may}_permission")(request):
            raise PermissionDenied
        problem = ""
        if request.method == "POST":
            given, problem = entered(request, inputs)
            if not problem:
                try:
                    with transaction.atomic():  # nothing is done that the trail does not tell
                        changed = act(given)
                        why = given.get("reason") or given.get("note")
                        self.log_change(request, changed, f"{verb}: {why}" if why else f"{verb}.")
                except self.refusals as refusal:
                    problem = getattr(refusal, "message", str(refusal))
                else:
                    messages.success(request, f"{verb}: done.")
                    return redirect(back)
        return ask(self, request, question, facts, verb, back, inputs=inputs, problem=problem)


class Offering:
    """Of the actions of a row's page those that its state allows. A mixin of admins; put it first."""

    def offered(self, object_id: Any) -> Collection[str] | None:
        """Names of the actions that the state of a row allows; None is all."""
        return None

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can be done is offered; what is asked for all the same, the use case refuses."""
        actions: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        offered = self.offered(object_id)
        return [one for one in actions if offered is None or one.path in offered]


class Asks(Offering, Asking, ReadOnly):
    """Rows that change by use cases alone, each asked for. Put it first."""

    model: Any

    def has_act_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change these rows, although no form does."""
        options = self.model._meta
        return request.user.has_perm(f"{options.app_label}.change_{options.model_name}")
