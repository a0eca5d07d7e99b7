"""What stands above every list: saved filters, and the list as a file."""

from typing import Any

from django import template
from django.urls import reverse

register = template.Library()


@register.inclusion_tag("workplace/list_tools.html", takes_context=True)
def list_tools(context: Any, cl: Any) -> dict[str, Any]:
    """One query. ``cl`` is the list, as Django's templates have it."""
    # Here, as template tags are loaded before admins can be.
    from access.proof import ASKED_FILE
    from workplace import saved_filters
    from workplace.exporting import address_name

    request, model = context["request"], cl.model
    if context.get("is_popup") or getattr(cl, "is_dataset", False):
        return {"shown": False}
    query = saved_filters.kept(request.GET.urlencode())
    saved = [
        {
            "name": found.name,
            "address": saved_filters.address(found),
            "here": found.query == query,
            "whose": "" if found.user_id == request.user.pk else found.user.get_username(),
            "shared": found.shared,
            "remove": reverse("saved_filters_remove", args=[found.pk])
            if saved_filters.may_remove(request.user, found)
            else "",
        }
        for found in saved_filters.seen_by(request.user, model).select_related("user")
    ]
    export = reverse(address_name(model))
    if query:
        export = f"{export}?{query}"
    asked = request.session.get(ASKED_FILE) == export
    if asked:
        del request.session[ASKED_FILE]
    return {
        "shown": True,
        "csrf_token": context.get("csrf_token"),
        "saved": saved,
        "query": query,
        "model": model._meta.label_lower,
        "save": reverse("saved_filters_save"),
        "export": export,
        "asked": asked,
    }
