"""The menu beside every page of the admin: by what people do, not by the app that does it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from workplace.queue_views import seen_by


class Entry(NamedTuple):
    """A list of the admin, by its model; ``title`` is its plural where nothing else is said."""

    model: str
    icon: str
    title: str = ""


class Page(NamedTuple):
    """A page that is no list, by the name of its address, for who has a permission."""

    name: str
    icon: str
    title: str
    permission: str


class Group(NamedTuple):
    """Entries under a heading, and pages after them; those ``folded`` are for now and then."""

    title: str
    entries: Iterable[Entry]
    folded: bool = False
    pages: Iterable[Page] = ()


MENU = (
    Group(
        "Billing",
        (
            Entry("invoicing.invoice", "receipt_long"),
            Entry("invoicing.creditnote", "undo"),
            Entry("contracts.customer", "groups"),
            Entry("contracts.contract", "handshake"),
            Entry("contracts.ratecard", "sell"),
            Entry("contracts.taxrate", "percent"),
        ),
    ),
    Group(
        "Outcomes",
        (
            Entry("outcomes.outcome", "task_alt"),
            Entry("settlement.dispute", "gavel"),
            Entry("outcomes.lateevidence", "schedule"),
            Entry("settlement.hold", "pan_tool"),
        ),
    ),
    Group(
        "Conditions",
        (
            Entry("contracts.condition", "rule"),
            Entry("simulation.simulation", "query_stats"),
            Entry("simulation.shadow", "compare"),
        ),
        pages=(Page("workbench_condition_new", "edit_note", "Workbench", "contracts.view_condition"),),
    ),
    Group(
        "Events",
        (
            Entry("outcomes.event", "bolt"),
            Entry("outcomes.inboxitem", "inbox"),
            Entry("outcomes.import", "upload_file"),
            Entry("outcomes.backfill", "history"),
            Entry("outcomes.customerbackfill", "manage_history", "Backfills by customer"),
            Entry("outcomes.archivedmonth", "inventory_2"),
        ),
        folded=True,
    ),
    Group(
        "Stripe and dunning",
        (
            Entry("payments.stripeinvoice", "credit_card", "Invoices at Stripe"),
            Entry("payments.stripecustomer", "badge", "Customers at Stripe"),
            Entry("payments.stripecredit", "savings", "Credit at Stripe"),
            Entry("payments.dunning", "notification_important", "Dunning"),
            Entry("payments.dunningmail", "mail"),
            Entry("payments.finding", "difference", "Differences found"),
            Entry("payments.reconciliation", "balance"),
            Entry("payments.operation", "sync"),
            Entry("payments.stripeevent", "webhook", "Events from Stripe"),
            Entry("payments.taxlookup", "travel_explore"),
            Entry("payments.connection", "link", "Connection"),
        ),
        folded=True,
    ),
    Group(
        "Running it",
        (
            Entry("invoicing.parkedcustomer", "local_parking"),
            Entry("webhooks.endpoint", "cloud_upload", "Webhook endpoints"),
            Entry("webhooks.delivery", "outgoing_mail", "Webhook deliveries"),
            Entry("handover.handover", "move_up"),
            Entry("portal.portallink", "key"),
            Entry("access.apikey", "vpn_key"),
            Entry("contracts.testclock", "timer"),
            Entry("invoicing.numberseries", "pin"),
        ),
        folded=True,
    ),
    Group(
        "Staff",
        (
            Entry("auth.user", "person", "People"),
            Entry("auth.group", "shield_person", "Roles"),
            Entry("admin.logentry", "history_edu", "Audit trail"),
        ),
        folded=True,
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu as unfold takes it, with the pages this person may open."""
    found: list[dict[str, Any]] = [
        {"items": [{"title": "Overview", "icon": "space_dashboard", "link": reverse("admin:index")}]}
    ]
    if seen_by(request.user):
        found[0]["items"].append({"title": "Review queue", "icon": "checklist", "link": reverse("admin_queue")})
    for group in MENU:
        items = [item for entry in group.entries if (item := _item(request, entry))]
        items += [
            {"title": page.title, "icon": page.icon, "link": reverse(page.name)}
            for page in group.pages
            if request.user.has_perm(page.permission)
        ]
        if items:
            found.append({"title": group.title, "collapsible": group.folded, "separator": True, "items": items})
    return found


def _item(request: HttpRequest, entry: Entry) -> dict[str, Any] | None:
    model = apps.get_model(entry.model)
    if not admin.site.get_model_admin(model).has_view_permission(request):
        return None
    options = model._meta
    link = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    return {"title": entry.title or capfirst(str(options.verbose_name_plural)), "icon": entry.icon, "link": link}
