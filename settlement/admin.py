"""Holds and disputes in the admin: to be read. Placing, releasing, raising and deciding are asked for on pages of their
own, with a reason, and go through the use cases that the API calls.
"""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import action, display

from access import ids
from access.asking import Asked, Asks
from access.errors import ApiError
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from access.roles import may
from outcomes.admin import OUTCOME_NOTES, ConditionFilter
from outcomes.admin_decisions import find, told
from outcomes.models import Outcome
from outcomes.queries import OUTCOME_PREFIX
from outcomes.store import PayloadMissing
from outcomes.timeline import OUTCOME_MARKS, Life, Mark, Span
from settlement import admin_clocks, customer_sections, disputes, holds
from settlement.domain import disputes as states
from settlement.models import TARGETS, Dispute, DisputeEntry, Hold
from settlement.queries import all_disputes, all_holds, holds_over

__all__ = ["admin_clocks", "customer_sections"]  # register their own

# So many holds and disputes stand on an outcome's timeline.
TIMES_SHOWN = 10

WHY = Asked("reason", "Why", "It is kept, with your name.")
NOTE = Asked("note", "Note", "It is kept, with your name.")
NOTE_IF_ANY = NOTE._replace(required=False)


class _Asks(Asks):
    """What cannot be read is said on the page as well."""

    refusals = (ApiError, PayloadMissing)


def _link(address: str, text: Any) -> SafeString:
    return format_html('<a class="underline" href="{}">{}</a>', address, text)


def _outcome_page(outcome_id: UUID) -> str:
    return reverse("admin:outcomes_outcome_change", args=[outcome_id])


# --- Holds ------------------------------------------------------------------------------------------------------------


class StandingFilter(admin.SimpleListFilter):
    """Those that hold something back, unless others are asked for."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("released", "Released"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        yield from list(super().choices(changelist))[1:]  # without the "All" that stands for no filter

    def value(self) -> str:
        return super().value() or "active"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Hold]) -> QuerySet[Hold]:
        return queryset if self.value() == "all" else queryset.filter(released_at__isnull=self.value() == "active")


class TargetFilter(admin.SimpleListFilter):
    title = "on"
    parameter_name = "on"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(target, f"A{'n' if target == 'outcome' else ''} {target}") for target in TARGETS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Hold]) -> QuerySet[Hold]:
        return queryset.filter(**{f"{self.value()}__isnull": False}) if self.value() in TARGETS else queryset


@admin.register(Hold)
class HoldAdmin(_Asks, ModelAdmin):
    list_display = ("shown_target", "shown_status", "reason", "placed_by", "placed_at", "released_by", "released_at")
    list_filter = (StandingFilter, TargetFilter)
    search_fields = (
        "customer__key", "customer__name", "condition__slug", "=outcome__subject__key", "=outcome__customer__key",
        "reason",
    )  # fmt: skip
    search_help_text = "A customer, a condition, the subject of an outcome in full, or words of the reason"
    ordering = ("-id",)
    fields = (
        "public_id", "shown_target", "shown_status", "reason", "placed_by", "placed_at", "released_by", "released_at",
        "note",
    )  # fmt: skip
    readonly_fields = fields
    actions_list = ("place_one",)
    actions_detail = ("release_this",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hold]:
        return all_holds()

    @display(description="On")
    def shown_target(self, hold: Hold) -> SafeString | str:
        if hold.outcome is not None:
            return _link(_outcome_page(hold.outcome.pk), told(hold.outcome))
        return f"{hold.target} {hold.customer.key if hold.customer else hold.condition}"

    @display(description="Status", label={"active": "warning", "released": "success"})
    def shown_status(self, hold: Hold) -> str:
        return "active" if hold.released_at is None else "released"

    @display(description="Id for the API")
    def public_id(self, hold: Hold) -> str:
        return holds.public_id(hold)

    def get_urls(self) -> list[URLPattern]:
        place = self.admin_site.admin_view(self.place_view)
        return [path("place/", place, name="settlement_hold_place"), *super().get_urls()]

    @action(description="Place a hold", permissions=["act"])
    def place_one(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:settlement_hold_place")

    def place_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the reason, and on what, where the address does not say it (`outcome`, `customer` or `condition`)."""
        wanted = {name: request.GET[name] for name in TARGETS if request.GET.get(name)}
        back = reverse("admin:settlement_hold_changelist")
        inputs = [WHY]
        facts = ["What it covers is neither confirmed nor missed by the clock, and not billed, until it is released."]
        question = "Place a hold?"
        if len(wanted) > 1:
            raise Http404
        if "outcome" in wanted:
            outcome = find(_uuid(wanted["outcome"]))
            back, facts = _outcome_page(outcome.pk), [told(outcome), *facts]
            wanted = {"outcome": ids.encode(OUTCOME_PREFIX, outcome.pk)}
        elif not wanted:
            inputs = [
                Asked("customer", "Customer", "Its key: holds all of its outcomes.", required=False),
                Asked("condition", "Condition", "Its slug: holds all of its outcomes.", required=False),
                Asked("outcome", "Outcome", "Its id, out_…: holds this one.", required=False),
                WHY,
            ]
            facts.append("Name exactly one of the three.")
        if wanted:
            [(target, name)] = wanted.items()
            question = f"Place a hold on {target} {name}?"

        def act(given: dict[str, str]) -> Hold:
            chosen = wanted or {name: given[name] for name in TARGETS if given[name]}
            return holds.place(_target(chosen), reason=given["reason"], by=str(request.user), now=timezone.now())

        return self.question(request, question, facts, "Place", back, inputs, act)

    @action(description="Release", permissions=["act"])
    def release_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        hold = all_holds().filter(pk=object_id).first()
        if hold is None:
            raise Http404
        back = reverse("admin:settlement_hold_change", args=[hold.pk])
        facts = [
            self.shown_target(hold),
            f"Placed by {hold.placed_by}: {hold.reason}",
            "What is due settles at the instants that were planned, and is billed next, unless another hold covers it.",
        ]

        def act(given: dict[str, str]) -> Hold:
            return holds.release(hold.pk, note=given["note"], by=str(request.user), now=timezone.now())

        return self.question(request, f"Release the {hold}?", facts, "Release", back, [NOTE_IF_ANY], act)


def _target(chosen: dict[str, str]) -> holds.Target:
    given: dict[str, Any] = dict(chosen)
    if "outcome" in given:
        try:
            given["outcome"] = ids.decode(OUTCOME_PREFIX, given["outcome"])
        except ValueError as error:
            raise ApiError(422, "unknown_outcome", f"There is no such outcome: {error}.") from error
    return holds.Target(**given)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


# --- Disputes ---------------------------------------------------------------------------------------------------------


class DisputeEntryInline(ReadOnly, TabularInline):
    model = DisputeEntry
    fields = ("at", "status", "actor", "note")
    readonly_fields = fields
    extra = 0
    verbose_name_plural = "History"


@admin.register(Dispute)
class DisputeAdmin(_Asks, ModelAdmin):
    list_display = (
        "shown_subject", "condition", "customer", "shown_status", "reason", "raised_by", "raised_at", "resolved_by",
    )  # fmt: skip
    list_filter = ("status", ("outcome__condition", ConditionFilter))
    search_fields = ("=outcome__subject__key", "outcome__customer__key", "outcome__customer__name", "reason")
    search_help_text = "A subject in full, a customer, or words of the reason"
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        "public_id", "outcome_link", "shown_status", "reason", "raised_by", "raised_at", "resolved_by", "resolved_at",
        "note",
    )  # fmt: skip
    readonly_fields = fields
    inlines = (DisputeEntryInline,)
    actions_detail = ("uphold_this", "reject_this", "withdraw_this")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dispute]:
        return all_disputes()

    @display(description="Subject", ordering="outcome__subject__key")
    def shown_subject(self, dispute: Dispute) -> str:
        return dispute.outcome.subject.key

    @display(description="Condition")
    def condition(self, dispute: Dispute) -> str:
        return dispute.outcome.condition.slug

    @display(description="Customer")
    def customer(self, dispute: Dispute) -> str:
        return str(dispute.outcome.customer)

    @display(description="Outcome")
    def outcome_link(self, dispute: Dispute) -> SafeString:
        return _link(_outcome_page(dispute.outcome_id), told(dispute.outcome))

    @display(
        description="Status",
        ordering="status",
        label={"raised": "warning", "upheld": "danger", "rejected": "success", "withdrawn": "info"},
    )
    def shown_status(self, dispute: Dispute) -> str:
        return dispute.status

    @display(description="Id for the API")
    def public_id(self, dispute: Dispute) -> str:
        return disputes.public_id(dispute)

    has_decide_permission = may("access.decide_disputes")

    def get_urls(self) -> list[URLPattern]:
        raise_ = self.admin_site.admin_view(self.raise_view)
        return [path("raise/", raise_, name="settlement_dispute_raise"), *super().get_urls()]

    def raise_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the reason, then raise a dispute of the outcome that the address names."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        outcome = find(_uuid(request.GET.get("outcome", "")))
        facts = [told(outcome), "It is kept off invoices until the dispute is decided; its settlement goes on."]

        def act(given: dict[str, str]) -> Dispute:
            return disputes.raise_dispute(outcome.pk, reason=given["reason"], by=str(request.user), now=timezone.now())

        question = f"Dispute {outcome.subject}?"
        return self.question(request, question, facts, "Dispute", _outcome_page(outcome.pk), [WHY], act)

    @action(description="Uphold", permissions=["decide"])
    def uphold_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        consequence = "The outcome is taken back: void inside its settlement window, reversed after it."
        return self._decide(request, object_id, "Uphold", states.UPHELD, consequence)

    @action(description="Reject", permissions=["decide"])
    def reject_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._decide(request, object_id, "Reject", states.REJECTED, "The outcome is billable again.")

    @action(description="Withdraw", permissions=["act"])
    def withdraw_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        consequence = "Nobody decides it any more; the outcome is billable again."
        return self._decide(request, object_id, "Withdraw", states.WITHDRAWN, consequence)

    def _decide(self, request: HttpRequest, object_id: UUID, verb: str, status: str, consequence: str) -> HttpResponse:
        dispute = all_disputes().filter(pk=object_id).first()
        if dispute is None:
            raise Http404
        back = reverse("admin:settlement_dispute_change", args=[dispute.pk])
        facts = [told(dispute.outcome), f"Raised by {dispute.raised_by}: {dispute.reason}", consequence]

        def act(given: dict[str, str]) -> Dispute:
            said: dict[str, Any] = {"note": given["note"], "by": str(request.user), "now": timezone.now()}
            if status == states.WITHDRAWN:
                return disputes.withdraw(dispute.pk, **said)
            return disputes.resolve(dispute.pk, status, **said)

        inputs = [NOTE_IF_ANY if status == states.WITHDRAWN else NOTE]
        question = f"{verb} the dispute of {dispute.outcome.subject}?"
        allowed = "act" if status == states.WITHDRAWN else "decide"
        return self.question(request, question, facts, verb, back, inputs, act, may=allowed)


# --- On an outcome's page ---------------------------------------------------------------------------------------------


def holds_and_disputes(outcome: Outcome) -> SafeString:
    """What stands in an outcome's way, and the ways to put something there."""
    lines = [
        _link(reverse("admin:settlement_hold_change", args=[hold.pk]), f"held with its {hold.target}: {hold.reason}")
        for hold in holds_over(outcome)
    ]
    lines += [
        _link(
            reverse("admin:settlement_dispute_change", args=[dispute.pk]), f"dispute {dispute.status}: {dispute.reason}"
        )
        for dispute in all_disputes(outcome=outcome.pk).order_by("id")
    ]
    ways = [("Place a hold", f"{reverse('admin:settlement_hold_place')}?outcome={outcome.pk}")]
    if outcome.state in states.DISPUTABLE:
        ways.append(("Dispute it", f"{reverse('admin:settlement_dispute_raise')}?outcome={outcome.pk}"))
    lines.append(format_html_join(" · ", "{}", ((_link(address, text),) for text, address in ways)))
    return format_html_join("", '<div class="py-1">{}</div>', ((line,) for line in lines))


def obstacles(outcome: Outcome, user: Any) -> Life:
    """Holds that lay or lie over it, and its disputes, on its timeline."""
    life = Life()
    covers = Q(outcome=outcome.pk) | Q(customer=outcome.customer_id) | Q(condition=outcome.condition_id)
    lasting = Q(released_at__isnull=True) | Q(released_at__gte=outcome.first_time)
    if user.has_perm("settlement.view_hold"):
        for hold in all_holds().filter(covers, lasting).order_by("id")[:TIMES_SHOWN]:
            told = _link(reverse("admin:settlement_hold_change", args=[hold.pk]), f"{hold.placed_by}: {hold.reason}")
            begin = max(hold.placed_at, outcome.first_time)
            life.spans.append(Span(begin, hold.released_at, f"Held with its {hold.target}", told))
    if user.has_perm("settlement.view_dispute"):
        for dispute in all_disputes(outcome=outcome.pk).order_by("id")[:TIMES_SHOWN]:
            address = reverse("admin:settlement_dispute_change", args=[dispute.pk])
            told = _link(address, f"{dispute.raised_by}: {dispute.reason}")
            life.spans.append(Span(dispute.raised_at, dispute.resolved_at, f"Dispute, {dispute.status}", told))
            if dispute.resolved_at is not None:
                said = f"{dispute.resolved_by}: {dispute.note}" if dispute.note else dispute.resolved_by
                life.marks.append(Mark(dispute.resolved_at, f"Dispute {dispute.status}", said))
    return life


OUTCOME_NOTES.append(holds_and_disputes)
OUTCOME_MARKS.append(obstacles)
