"""The rate card's page (contracts/admin_pages.py) with what prices would have made of bills: a table, and a simulation
of last month for who wants every customer.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from access.errors import ApiError
from access.times import format_rfc3339
from contracts.admin_pages import RateCardPage, rendered
from contracts.admin_shown import CARD_BUTTONS, CARD_NOTES
from contracts.domain import money
from contracts.models import RateCard
from contracts.prices import PriceFields
from simulation import jobs, tasks
from simulation.models import Simulation
from workbench.prices import LastPeriods, last_periods, month_before

SHOWN = 20
"""Customers in the table: those that change most."""


def last_bills(
    request: HttpRequest, key: str, currency: str, prices: Sequence[PriceFields], now: datetime
) -> SafeString:
    """What the last closed periods would have come to, for who may see invoices."""
    if not request.user.has_perm("invoicing.view_invoice"):
        return SafeString("")
    found = last_periods(key, currency, prices, now)
    return render_to_string("workbench/prices_last.html", _context(found, currency))


def _context(found: LastPeriods, currency: str) -> dict[str, Any]:
    def shown(minor: int, *, signed: bool = False) -> str:
        text = f"{money.from_minor(minor, currency):,f}"
        return f"+{text}" if signed and minor > 0 else text

    sums: dict[str, int] = defaultdict(int)
    for row in found.rows:
        sums["billed"] += row.billed_minor
        sums["tried"] += row.tried_minor
    return {
        "found": found,
        "currency": currency,
        "rows": [
            {
                "customer": row.customer,
                "url": reverse("admin:contracts_customer_change", args=[row.customer.pk]),
                "period": row.period,
                "billed": shown(row.billed_minor),
                "tried": shown(row.tried_minor),
                "difference": shown(row.difference_minor, signed=True),
            }
            for row in found.rows[:SHOWN]
        ],
        "others": len(found.rows) - min(len(found.rows), SHOWN),
        "moved": sum(bool(row.difference_minor) for row in found.rows),
        "billed": shown(sums["billed"]),
        "tried": shown(sums["tried"]),
        "difference": shown(sums["tried"] - sums["billed"], signed=True),
    }


def simulate_button(request: HttpRequest) -> tuple[str, str] | None:
    """For who may ask simulations."""
    if not request.user.has_perm("simulation.add_simulation"):
        return None
    return "Simulate last month", reverse("workbench_prices_simulate")


def simulate_view(request: HttpRequest) -> HttpResponse:
    """Ask, with the inputs of the rate card's page, what last month would have billed for every customer on the card: a
    simulation, by the function of the API. Nothing else is stored.
    """
    may = ("simulation.add_simulation", "contracts.add_ratecard")
    if not request.user.has_perms(may):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    now = timezone.now()
    page = RateCardPage(request.POST)
    page.submit(now, save=False)
    if page.previewed:
        start, end = month_before(now)
        card = {"key": page.head.cleaned_data["key"], **page.payload()}
        card.pop("effective_from", None)
        asked = {"from": format_rfc3339(start), "to": format_rfc3339(end), "rate_card": card}
        try:
            with transaction.atomic():
                made = _created(request, asked, now)
        except ApiError as refusal:
            messages.error(request, " ".join(detail.message for detail in refusal.details) or refusal.message)
        else:
            tasks.begin(made.pk)
            return redirect(reverse("admin:simulation_simulation_change", args=[made.pk]))
    model_admin = admin.site.get_model_admin(RateCard)
    return rendered(model_admin, request, page, reverse("admin:contracts_ratecard_changelist"))


def _created(request: HttpRequest, asked: dict[str, Any], now: datetime) -> Simulation:
    """The job, with its line in the trail."""
    made = jobs.create(asked, by=request.user.get_username(), now=now)
    said = f"Last month by other prices of the rate card {asked['rate_card']['key']}"
    admin.site.get_model_admin(Simulation).log_addition(request, made, said)
    return made


CARD_NOTES.append(last_bills)
CARD_BUTTONS.append(simulate_button)
