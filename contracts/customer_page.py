"""A customer's page in the admin: everything about them in one place. The apps above add what they have of a customer
(`register`); what is shown of a section is for who may list its rows.

Each section reads what an index finds, so many rows and no more: the page costs the same with a million outcomes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from access.times import format_rfc3339
from contracts import queries
from contracts.admin_words import money_html, own_windows_html, pinned_html, prices_html, starts
from contracts.agreements import public_id
from contracts.clocks import now_of
from contracts.models import Contract, Customer

NEWEST: Final = 10
"""So many of a kind are shown; its list has the others."""


@dataclass(frozen=True)
class Section:
    """One part of the page: facts, then a table, then links. ``name`` is its anchor."""

    name: str
    title: str
    facts: Sequence[tuple[str, Any]] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    nothing: str = ""
    links: Sequence[tuple[str, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class Looking:
    """Who looks at a customer, and when: by the customer's own clock, and by the wall's."""

    customer: Customer
    user: Any
    now: datetime
    wall: datetime

    def may(self, *permissions: str) -> bool:
        return bool(self.user.has_perms(permissions))


Shows = Callable[[Looking], Section | None]
_REGISTERED: list[tuple[int, Shows]] = []


def register(place: int, shows: Shows) -> None:
    """Add a section; those with a lower ``place`` stand before it."""
    _REGISTERED.append((place, shows))


def sections(customer: Customer, request: HttpRequest) -> list[Section]:
    wall = timezone.now()
    looking = Looking(customer, request.user, now_of(customer, wall), wall)
    ordered = sorted(_REGISTERED, key=lambda one: one[0])
    return [found for _, shows in ordered if (found := shows(looking)) is not None]


# --- For those who write sections -------------------------------------------------------------------------------------


def link(address: str, text: Any) -> SafeString:
    return format_html('<a class="text-primary-600 underline dark:text-primary-400" href="{}">{}</a>', address, text)


def page(row: Any, text: Any) -> SafeString:
    """A link to a row's page."""
    options = row._meta
    return link(reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk]), text)


def listed(model: str, **filters: Any) -> str:
    """The address of the list of a model (``app_model``), narrowed."""
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(filters)}"


def moment(instant: datetime | None) -> SafeString | str:
    if instant is None:
        return "–"
    told = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return format_html('<time datetime="{}">{}</time>', format_rfc3339(instant), told)


def counted(found: int, most: int) -> str:
    """A number that was counted up to ``most`` and one more: "more than 1,000" where it reached that."""
    return f"more than {most:,}" if found > most else f"{found:,}"


def newest(rows: Iterable[Any], most: int = NEWEST) -> tuple[list[Any], bool]:
    """The first rows of what was asked for with one more than ``most``; and whether there are others."""
    found = list(rows)
    return found[:most], len(found) > most


# --- What was agreed --------------------------------------------------------------------------------------------------


def _contract(looking: Looking) -> Section | None:
    """The contract in force, in words."""
    if not looking.may("contracts.view_contract"):
        return None
    customer, now = looking.customer, looking.now
    known = list(queries.contracts(customer=customer.key))
    running = next((one for one in known if _covers(one, now)), None)
    links = [("All contracts", listed("contracts_contract", customer__id__exact=customer.pk))]
    if looking.may("contracts.add_contract"):
        links.append(("Make a contract", reverse("admin:contracts_contract_add")))
    if running is None:
        coming = min((one.starts_at for one in known if one.starts_at > now), default=None)
        told = "No contract is in force." if coming is None else f"No contract until {coming:%Y-%m-%d %H:%M} UTC."
        return Section("contract", "Contract in force", note=told, links=links)
    version = queries.version_in_force(running, now)
    card = queries.rate_cards().get(pk=version.rate_card_id)
    card_version = queries.shown_version(list(card.versions.all()), now)
    if looking.may("contracts.change_contract"):
        amend = reverse("admin:contracts_contract_amend_this", args=[running.pk])
        links.insert(0, ("Amend it", amend))
    ends = "without an end" if running.ends_at is None else format_html("to {}", moment(running.ends_at))
    facts: list[tuple[str, Any]] = [
        ("Contract", format_html("{} from {} {}", page(running, public_id(running)), moment(running.starts_at), ends)),
        ("Terms", format_html("version {}, from {}", version.number, moment(version.effective_at))),
        ("Billed", f"{version.get_billing_period_display().lower()}, anchor day {version.anchor_day}, "
                   f"{version.time_zone}; due after {version.net_days} days"),
        ("Rate card", format_html("{}, version {} {}", page(card, card.key), card_version.number,
                                  starts(card_version))),
        ("Its prices", prices_html(card_version, card_version.currency) or "none"),
        ("Prices of its own", prices_html(version, running.currency) or "none: the rate card's"),
        ("Other terms of money", money_html(version)),
        ("Own settlement windows", own_windows_html(version)),
        ("Pinned conditions", pinned_html(version)),
        ("Late evidence", version.get_late_evidence_display()),
        ("Collected", version.get_collection_method_display()),
        ("Invoiced elsewhere", version.get_pass_on_display()),
    ]  # fmt: skip
    return Section("contract", "Contract in force", facts=facts, links=links)


def _covers(contract: Contract, now: datetime) -> bool:
    return contract.starts_at <= now and (contract.ends_at is None or now < contract.ends_at)


def _trail(looking: Looking) -> Section | None:
    """What staff did to the customer itself; rows of theirs have histories of their own."""
    if not looking.may("admin.view_logentry"):
        return None
    kind = ContentType.objects.get_for_model(Customer)
    found = LogEntry.objects.filter(content_type=kind, object_id=str(looking.customer.pk)).select_related("user")
    rows, more = newest(found.order_by("-action_time", "-id")[: NEWEST + 1])
    return Section(
        "trail",
        "What staff did",
        heads=("When (UTC)", "Who", "What"),
        rows=[(moment(one.action_time), one.user.get_username(), one.get_change_message()) for one in rows],
        nothing="Nobody did anything to the customer itself.",
        links=[("All of it", reverse("admin:contracts_customer_history", args=[looking.customer.pk]))] if more else (),
    )


register(10, _contract)
register(95, _trail)


def lines(parts: Iterable[Any]) -> SafeString:
    """One below the other."""
    return format_html_join("", "<div>{}</div>", ((one,) for one in parts))
