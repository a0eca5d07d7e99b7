"""What a person decides, in the admin: taking an outcome back, completing it, and late evidence.

Each is asked for on a page of its own, with a reason, and goes through the use case that the API calls.
"""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from rest_framework.exceptions import ValidationError
from unfold.decorators import action, display

from access.asking import Asked, Offering, ask, entered
from access.fields import DecimalStringField
from access.lists import ModelAdmin
from access.readonly import ReadOnly
from outcomes import decisions, late
from outcomes.domain.lifecycle import AMOUNT_UNKNOWN, LARGEST_VALUE, QUANTITY_UNKNOWN
from outcomes.models import Event, LateEvidence, Outcome
from outcomes.queries import plain
from outcomes.store import PayloadMissing

WHY = Asked("reason", "Why", "It stands in the journal, with your name.")
_FIGURE = DecimalStringField(min_value=0, max_value=LARGEST_VALUE - 1)


class Decidable(Offering):
    """For the admin of outcomes: what a person may decide of one."""

    actions_detail: Sequence[str] = ("take_back_this", "complete_this")

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change outcomes, although no form does."""
        return request.user.has_perm("outcomes.change_outcome")

    def offered(self, object_id: Any) -> Collection[str]:
        found = Outcome.objects.filter(pk=object_id).only("state", "review").first()
        undecided = found is not None and found.state in decisions.DECIDABLE
        decidable = {"take_back_this": undecided, "complete_this": undecided and bool(found and found.review)}
        return [name for name in self.actions_detail if decidable.get(name, True)]

    @action(description="Take back", permissions=["decide"])
    def take_back_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        outcome = find(object_id)
        consequence = {
            "provisional": "It becomes void and will never be billed.",
            "confirmed": "It is reversed; where it was billed, it shows as reversed on its line.",
        }.get(outcome.state, f"It is {outcome.state}: there is nothing to take back.")
        facts = [told(outcome), consequence, "No later event undoes this. The next event may begin a new attempt."]

        def decide(given: dict[str, str]) -> str:
            done = decisions.take_back(outcome.pk, now=timezone.now(), actor=str(request.user), reason=given["reason"])
            return f"Taken back: it is {done.state}."

        return settle_question(self, request, outcome, "Take back", facts, [WHY], decide)

    @action(description="Complete", permissions=["decide"])
    def complete_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        outcome = find(object_id)
        missing = [name for name, flag in (("quantity", QUANTITY_UNKNOWN), ("amount", AMOUNT_UNKNOWN))
                   if flag in outcome.review]  # fmt: skip
        facts = [told(outcome), "What its events tell is never edited; what they do not tell can be given here."]
        if not missing:
            facts.append("Its events tell everything: there is nothing to complete.")
        inputs = [Asked(name, f"The {name}", "A decimal number, such as 12.50", required=False) for name in missing]

        def decide(given: dict[str, str]) -> str:
            figures: dict[str, Decimal] = {name: figure_of(given[name]) for name in missing if given[name]}
            if not figures:
                raise ValueError("Give a figure.")
            reason = given["reason"]
            decisions.complete(outcome.pk, **figures, now=timezone.now(), actor=str(request.user), reason=reason)
            return "Completed."

        return settle_question(self, request, outcome, "Complete", facts, [*inputs, WHY], decide)


def find(object_id: UUID) -> Outcome:
    found = Outcome.objects.select_related("customer", "condition", "subject").filter(pk=object_id).first()
    if found is None:
        raise Http404
    return found


def told(outcome: Outcome) -> str:
    """An outcome in a line: whose, what, which, its state and its quantity."""
    units = plain(outcome.quantity)
    return f"{outcome.customer} · {outcome.condition} · {outcome.subject} · {outcome.state}" + (
        f" · quantity {units}" if units else ""
    )


def settle_question(
    model_admin: Any,
    request: HttpRequest,
    outcome: Outcome,
    verb: str,
    facts: Sequence[Any],
    inputs: Sequence[Asked],
    decide: Callable[[dict[str, str]], str],
) -> HttpResponse:
    """Ask; on the POST ``decide`` with what was entered. What it refuses is said on the same page."""
    if not model_admin.has_decide_permission(request):
        raise PermissionDenied
    back = reverse("admin:outcomes_outcome_change", args=[outcome.pk])
    problem = ""
    if request.method == "POST":
        given, problem = entered(request, inputs)
        if not problem:
            try:
                with transaction.atomic():
                    done = decide(given)
                    model_admin.log_change(request, outcome, f"{verb}: {given.get('reason', '')}")
            except (ValueError, decisions.NotPossible, late.Decided, PayloadMissing) as refusal:
                problem = str(refusal)
            else:
                messages.success(request, done)
                return redirect(back)
    return ask(model_admin, request, f"{verb}: {outcome.subject}?", facts, verb, back, inputs=inputs, problem=problem)


def figure_of(text: str) -> Decimal:
    """A quantity or an amount that was typed; ValueError, as a sentence, for what is none."""
    try:
        return _FIGURE.run_validation(text)
    except ValidationError as error:
        raise ValueError(" ".join(map(str, error.detail))) from None


@admin.register(LateEvidence)
class LateEvidenceAdmin(ReadOnly, ModelAdmin):
    list_display = ("shown_subject", "condition", "customer", "event", "time", "policy", "shown_status", "created_at")
    list_filter = ("status", "policy")
    list_select_related = ("subject__customer", "subject__condition")
    search_fields = ("=subject__key", "=subject__customer__key")
    search_help_text = "A subject or the key of a customer, in full"
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        "customer", "condition", "shown_subject", "event", "time", "outcome_link", "policy", "shown_status",
        "created_at", "decided_at", "decided_by", "note",
    )  # fmt: skip
    readonly_fields = fields
    actions_detail = ("accept_this", "ignore_this")

    @display(description="Subject", ordering="subject__key")
    def shown_subject(self, late_evidence: LateEvidence) -> str:
        return late_evidence.subject.key

    @display(description="Condition")
    def condition(self, late_evidence: LateEvidence) -> str:
        return late_evidence.subject.condition.slug

    @display(description="Customer")
    def customer(self, late_evidence: LateEvidence) -> str:
        return str(late_evidence.subject.customer)

    def prepare(self, rows: list[Any]) -> None:
        events = Event.objects.in_bulk([one.event_seq for one in rows])
        for one in rows:
            one.left_out = events.get(one.event_seq)

    @display(description="Event")
    def event(self, late_evidence: Any) -> SafeString | str:
        if not hasattr(late_evidence, "left_out"):
            self.prepare([late_evidence])
        event = late_evidence.left_out
        if event is None:
            return "archived"
        link = reverse("admin:outcomes_event_change", args=[event.seq])
        return format_html('<a class="underline" href="{}">{} {}</a>', link, event.type, event.event_id)

    @display(description="Would take back")
    def outcome_link(self, late_evidence: LateEvidence) -> SafeString:
        link = reverse("admin:outcomes_outcome_change", args=[late_evidence.outcome_id])
        return format_html('<a class="underline" href="{}">{}</a>', link, told(late_evidence.outcome))

    @display(description="Status", label={"waiting": "warning", "accepted": "success", "ignored": "info"})
    def shown_status(self, late_evidence: LateEvidence) -> str:
        return late_evidence.status

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may decide, although no form does."""
        return request.user.has_perm("outcomes.change_lateevidence")

    @action(description="Accept", permissions=["decide"])
    def accept_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._decide(request, object_id, "Accept", "The event counts, and takes back:", late.accept)

    @action(description="Ignore", permissions=["decide"])
    def ignore_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        return self._decide(request, object_id, "Ignore", "The event never counts; this stands:", late.ignore)

    def _decide(
        self, request: HttpRequest, object_id: UUID, verb: str, consequence: str, use_case: Callable[..., LateEvidence]
    ) -> HttpResponse:
        found = LateEvidence.objects.filter(pk=object_id).first()
        if found is None:
            raise Http404
        outcome = find(found.outcome_id)

        def decide(given: dict[str, str]) -> str:
            use_case(found.pk, now=timezone.now(), actor=str(request.user), note=given["reason"])
            return f"{verb}: done."

        return settle_question(self, request, outcome, verb, [consequence, told(outcome)], [WHY], decide)
