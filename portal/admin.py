"""Portal links in the admin: to be read, made and revoked, by the use cases that the API calls."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.decorators import action, display

from access.asking import WHY, Asked, Asks, ask, entered
from access.errors import ApiError
from access.lists import ModelAdmin
from contracts import durations
from portal import customer_sections, links
from portal.models import PortalLink

__all__ = ["customer_sections"]  # registers its own

CUSTOMER = Asked("customer", "Customer", "Its key, as the API has it.", max_length=255)
SPAN = Asked("expires_in", "Valid for", f"Left empty: {durations.text_of(links.DEFAULT_SPAN)}.", required=False)


@admin.register(PortalLink)
class PortalLinkAdmin(Asks, ModelAdmin):
    list_display = ["customer", "public_id", "state", "created_by", "created_at", "expires_at", "last_used_at"]
    list_select_related = ["customer"]
    search_fields = ["customer__key", "customer__name"]
    search_help_text = "Key or name of the customer"
    ordering = ["-id"]
    fields = [
        "public_id", "customer", "state", "created_at", "created_by", "expires_at", "last_used_at", "revoked_at",
        "revoked_by",
    ]  # fmt: skip
    readonly_fields = fields
    actions_list = ["make_one"]
    actions_detail = ["revoke_this"]

    @display(description="Id")
    def public_id(self, link: PortalLink) -> str:
        return link.public_id

    @display(description="Status", label={"active": "success", "expired": "warning", "revoked": "danger"})
    def state(self, link: PortalLink) -> str:
        return links.state(link, now=timezone.now())

    # --- What may be done ---------------------------------------------------------------------------------------------

    def has_make_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("portal.add_portallink")

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("portal.change_portallink")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.make_view)
        return [path("make/", view, name="portal_portallink_make"), *super().get_urls()]

    @action(description="Make a link", permissions=["make"])
    def make_one(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:portal_portallink_make")

    def make_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for whom; the answer to the POST shows the link, and nothing shows it again."""
        if not self.has_make_permission(request):
            raise PermissionDenied
        back = reverse("admin:portal_portallink_changelist")
        problem = ""
        if request.method == "POST":
            given, problem = entered(request, [CUSTOMER, SPAN])
            if not problem:
                try:
                    span = durations.seconds_of(given["expires_in"]) if given["expires_in"] else links.DEFAULT_SPAN
                    by = str(request.user)
                    link, token = links.create(given["customer"], expires_in=span, by=by, now=timezone.now())
                except ValueError as error:
                    problem = str(error)
                except ApiError as refusal:
                    problem = refusal.message
                else:
                    self.log_addition(request, link, "Made.")
                    return self._show_once(request, link, links.url_of(token, request), back)
        facts = ["Whoever has the link sees the customer's invoices and outcomes, and can dispute them."]
        return ask(self, request, "Make a portal link?", facts, "Make", back, inputs=[CUSTOMER, SPAN], problem=problem)

    def _show_once(self, request: HttpRequest, link: PortalLink, url: str, back: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"Portal link for {link.customer}",
            "link": link,
            "url": url,
            "back": back,
        }
        return TemplateResponse(request, "portal/admin_made.html", context)

    @action(description="Revoke", permissions=["revoke"])
    def revoke_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Ask; only the POST of that page revokes."""
        link = PortalLink.objects.select_related("customer").filter(pk=object_id).first()
        if link is None:
            raise Http404
        back = reverse("admin:portal_portallink_change", args=[object_id])
        facts = [f"Customer {link.customer}", "Whoever is in by it is out at once. This cannot be undone."]

        def act(given: dict[str, str]) -> PortalLink:
            return links.revoke(link.pk, by=str(request.user), now=timezone.now())

        return self.question(request, f"Revoke {link}?", facts, "Revoke", back, [WHY], act, may="revoke")
