"""The admin over events and outcomes: everything can be looked at, nothing frozen can be changed."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.admin import TabularInline
from unfold.decorators import action, display

from access import ids, trail
from access.asking import Asked, ask, entered
from access.lists import KEYS, ModelAdmin
from access.readonly import ReadOnly
from contracts.admin_testers import TestersFilter
from contracts.clocks import now_of
from contracts.models import Condition
from outcomes import customer_sections, imports, inbox, timeline
from outcomes.admin_decisions import Decidable
from outcomes.explain_page import page_context
from outcomes.explaining import MOST_EVENTS, HistoryTooLong, explain_outcome
from outcomes.models import (
    ArchivedMonth,
    Backfill,
    CustomerBackfill,
    Event,
    EventIdentity,
    Import,
    ImportFile,
    InboxItem,
    Journal,
    LateEvidence,
    Outcome,
    PastRead,
    Pending,
    State,
    Subject,
    SubjectEvent,
)
from outcomes.queries import IMPORT_PREFIX, events_of, hears_of, outcomes_with, plain
from outcomes.sequence import MONTH_FACTOR, month_text
from outcomes.store import PayloadMissing

__all__ = ["customer_sections"]  # registers its own

# What higher apps show of an outcome on its page; they register it when their admin loads.
OUTCOME_NOTES: list[Callable[[Outcome], SafeString]] = []

# So many events of an outcome are shown on its page, and so long a history is explained there.
EVENTS_SHOWN = 100
READ_AT_ONCE = 500

STATE_COLOURS = {
    "open": "info",
    "provisional": "warning",
    "confirmed": "success",
    "reversed": "danger",
    "void": "danger",
}


class JournalInline(ReadOnly, TabularInline):
    model = Journal
    fields = ("effective_at", "from_state", "to_state", "cause", "clause", "actor", "reason", "recorded_at")
    readonly_fields = fields
    extra = 0
    verbose_name_plural = "Journal: every change, its cause, and when"


class ReviewFilter(admin.SimpleListFilter):
    """What only a person can complete, while that still matters."""

    title = "to be completed"
    parameter_name = "review"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Outcome]) -> QuerySet[Outcome]:
        if self.value() != "yes":
            return queryset
        return queryset.filter(state__in=(State.PROVISIONAL, State.CONFIRMED)).exclude(review=[])


class DueFilter(admin.SimpleListFilter):
    """What the clock ends next: the front page's backlog."""

    title = "settlement due"
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "Now"), ("day", "Within a day")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Outcome]) -> QuerySet[Outcome]:
        now = timezone.now()
        if self.value() == "now":
            return queryset.filter(state=State.PROVISIONAL, due_at__lte=now)
        if self.value() == "day":
            return queryset.filter(state=State.PROVISIONAL, due_at__gt=now, due_at__lte=now + timedelta(days=1))
        return queryset


class ConditionFilter(admin.RelatedFieldListFilter):
    """No index leads from a condition to its outcomes: where they are few, the list is told whose they are."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Outcome]) -> Any:
        found: Any = super().queryset(request, queryset)
        if not self.lookup_val:
            return found
        conditions = [int(value) for value in self.lookup_val]
        subjects = list(Subject.objects.filter(condition__in=conditions).values_list("pk", flat=True)[: KEYS + 1])
        if len(subjects) > KEYS:
            return found
        # Also from a dispute, say, to its outcome's.
        return found.filter(**{f"{self.field_path.removesuffix('condition')}subject__in": subjects})


@admin.register(Outcome)
class OutcomeAdmin(Decidable, ReadOnly, ModelAdmin):
    list_display = (
        "subject_key",
        "condition",
        "customer",
        "shown_state",
        "met_at",
        "settles_at",
        "settled_at",
        "units",
    )
    list_filter: tuple[Any, ...] = ("state", DueFilter, ReviewFilter, ("condition", ConditionFilter), TestersFilter)
    search_fields = ("=subject__key", "=customer__key")
    search_help_text = "A subject or the key of a customer, in full"
    list_select_related = ("subject", "condition", "customer")
    ordering = ("-id",)
    sortable_by = ()
    inlines = (JournalInline,)
    fieldsets = (
        (None, {"fields": ("shown_state", "customer", "condition", "version", "subject", "ordinal")}),
        ("Times", {"fields": ("met_at", "settles_at", "settled_at", "ended_at", "due_at")}),
        ("Worth", {"fields": ("units", "amount", "dimension_values", "review")}),
        ("Holds and disputes", {"fields": ("notes",)}),
        ("Evidence", {"fields": ("evidence",)}),
    )
    actions_detail = ("explain_this", *Decidable.actions_detail)
    change_form_outer_before_template = "outcomes/outcome_page.html"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """With its timeline, and why it is what it is."""
        outcome = kwargs.get("obj")
        if outcome is not None:
            now = timezone.now()
            life = timeline.life_of(outcome, request.user)
            context["timeline"] = timeline.picture(life, now_of(outcome.customer, now))
            context |= _why(outcome, now)
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    @action(description="Explain", permissions=["view"])
    def explain_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Why the outcome is what it is; only reads."""
        outcome = self.get_queryset(request).filter(pk=object_id).first()
        if outcome is None:
            raise Http404
        back = reverse("admin:outcomes_outcome_change", args=[outcome.pk])
        try:
            found = explain_outcome(outcome, now=timezone.now())
        except PayloadMissing as missing:
            months = ", ".join(missing.months)
            messages.warning(
                request, f"Events behind it are archived: restore {months} (manage.py restore_events), then ask again."
            )
            return redirect(back)
        except HistoryTooLong:
            messages.warning(request, f"Its subject has more than {MOST_EVENTS:,} events: read them in the list.")
            return redirect(back)
        title = f"{found.outcome.version.title}: {found.outcome.subject.key}"
        context = {**self.admin_site.each_context(request), "title": title, **page_context(found)}
        return TemplateResponse(request, "outcomes/explain.html", context)

    @display(description="What stands in its way")
    def notes(self, obj: Outcome) -> SafeString:
        return format_html_join("", "{}", ((show(obj),) for show in OUTCOME_NOTES))

    @display(description="State", label=STATE_COLOURS, ordering="state")
    def shown_state(self, obj: Outcome) -> str:
        return obj.state

    @display(description="Subject", ordering="subject__key")
    def subject_key(self, obj: Outcome) -> str:
        return obj.subject.key

    @display(description="Quantity")
    def units(self, obj: Outcome) -> str:
        return plain(obj.quantity) or "–"

    @display(description="Dimensions")
    def dimension_values(self, obj: Outcome) -> str:
        return ", ".join(f"{name}: {value}" for name, value in sorted(obj.dimensions.items())) or "–"

    @display(description="Events, with what they say")
    def evidence(self, obj: Outcome) -> SafeString:
        events = list(events_of(obj).order_by("time", "seq")[: EVENTS_SHOWN + 1])
        more = "There are more: read them in the list of events." if len(events) > EVENTS_SHOWN else ""
        events = events[:EVENTS_SHOWN]
        shown = format_html_join(
            "",
            '<details><summary class="cursor-pointer"><time>{}</time> · <a class="underline" href="{}">{}</a> · {}'
            '</summary><pre class="break-all p-4 whitespace-pre-wrap">{}</pre></details>',
            (
                (
                    event.time.strftime("%Y-%m-%d %H:%M:%S"),
                    reverse("admin:outcomes_event_change", args=[event.seq]),
                    event.type,
                    event.event_id,
                    json.dumps(event.data, indent=2, ensure_ascii=False),
                )
                for event in events
            ),
        )
        return format_html("{}{}", shown, more)


def _why(outcome: Outcome, now: datetime) -> dict[str, Any]:
    """The explanation, where its subject's history is short enough to be read for each look at the page."""
    if SubjectEvent.objects.filter(subject=outcome.subject_id)[: READ_AT_ONCE + 1].count() > READ_AT_ONCE:
        return {"unexplained": f"Its subject has more than {READ_AT_ONCE:,} events: Explain, above, reads them."}
    try:
        return {"explained": page_context(explain_outcome(outcome, now=now))}
    except PayloadMissing as missing:
        months = ", ".join(missing.months)
        return {"unexplained": f"Events behind it are archived: restore {months} (manage.py restore_events)."}


class WaitingFilter(admin.SimpleListFilter):
    title = "evaluation"
    parameter_name = "evaluation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waits", "Waits for it")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(seq__in=Pending.objects.values("seq")) if self.value() == "waits" else queryset


@admin.register(Event)
class EventAdmin(ReadOnly, ModelAdmin):
    list_display = ("event_id", "type", "customer", "time", "received_at")
    list_filter = (WaitingFilter,)
    list_select_related = ("customer",)
    search_fields = ("=event_id",)
    search_help_text = "The exact id of an event"
    ordering = ("-seq",)
    sortable_by = ()
    fields = (
        *("event_id", "fate", "type", "customer", "time", "received_at", "data", "source", "batch_import", "seq"),
    )

    @display(description="What became of it")
    def fate(self, event: Event) -> SafeString | str:
        """Where to look next for who asks why it was billed, or why not."""
        if Pending.objects.filter(partition=event.customer.partition, time=event.time, seq=event.seq).exists():
            return "It waits to be evaluated."
        told: list[tuple[str, str, str]] = [
            (reverse("admin:outcomes_inboxitem_change", args=[item.pk]), str(item), "in the inbox")
            for item in InboxItem.objects.filter(event_seq=event.seq, status=InboxItem.Status.WAITING)
        ]
        told += [
            (
                reverse("admin:outcomes_outcome_change", args=[row.pk]),
                f"{row.condition.slug}: {row.subject.key}",
                row.state,
            )
            for row in outcomes_with(event)
        ]
        told += [
            (
                reverse("admin:outcomes_lateevidence_change", args=[late.pk]),
                f"{late.subject.condition.slug}: {late.subject.key}",
                "left out as late evidence",
            )
            for late in LateEvidence.objects.filter(event_seq=event.seq).select_related("subject__condition")
        ]
        if told:
            return format_html_join("", '<div><a class="underline" href="{}">{}</a>, {}</div>', told)
        heard = Condition.objects.filter(pk__in=hears_of(event)).order_by("slug").values_list("slug", flat=True)
        if not heard:
            return f"Nothing: no condition for this customer hears of {event.type}."
        return f"Nothing: {', '.join(heard)} heard of it, and it neither began nor concerned an outcome."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        """By the table of identities: the payloads have no index but by seq."""
        if not search_term:
            return queryset, False
        found = EventIdentity.objects.filter(event_id=search_term.strip()).values_list("seq", flat=True)
        return queryset.filter(seq__in=list(found[:KEYS])), False


# --- The inbox --------------------------------------------------------------------------------------------------------

REASON_COLOURS = {
    inbox.IN_WORDS[reason]: colour
    for reason, colour in {"unknown_customer": "warning", "id_conflict": "danger", "invalid": "danger"}.items()
}


class StatusFilter(admin.SimpleListFilter):
    """What waits, unless something else is asked for: that is what the inbox is opened for."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*InboxItem.Status.choices, ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        yield from list(super().choices(changelist))[1:]  # without the "All" that stands for no filter

    def value(self) -> str:
        return super().value() or InboxItem.Status.WAITING

    def queryset(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> QuerySet[InboxItem]:
        return queryset if self.value() == "all" else queryset.filter(status=self.value())


@admin.register(InboxItem)
class InboxAdmin(ReadOnly, ModelAdmin):
    list_display = ("name", "customer_key", "type", "shown_reason", "said", "status", "attempts", "received_at")
    list_filter = (StatusFilter, "reason")
    search_fields = ("=event_id", "=customer_key")
    search_help_text = "The exact id of an event, or key of a customer"
    ordering = ("-id",)
    sortable_by = ()
    list_before_template = "outcomes/inbox_summary.html"
    fieldsets = (
        (None, {"fields": ("shown_reason", "message", "way_out")}),
        ("The event", {"fields": ("event_id", "customer_key", "type", "as_sent")}),
        ("What became of it", {"fields": ("status", "attempts", "received_at", "resolved_at", "handled_by", "note")}),
        ("Where it came from", {"fields": ("batch_import", "event")}),
    )
    actions = ("retry_chosen", "dismiss_chosen")
    actions_detail = ("retry_this", "dismiss_this")

    # --- What is shown ------------------------------------------------------------------------------------------------

    @display(description="Event", ordering="event_id")
    def name(self, item: InboxItem) -> str:
        return item.event_id or "no id"

    @display(description="Reason", ordering="reason", label=REASON_COLOURS)
    def shown_reason(self, item: InboxItem) -> str:
        return inbox.IN_WORDS[item.reason]

    @display(description="Message")
    def said(self, item: InboxItem) -> str:
        return Truncator(item.message).chars(120)

    @display(description="What to do")
    def way_out(self, item: InboxItem) -> str:
        return inbox.WAY_OUT[item.reason]

    @display(description="As sent")
    def as_sent(self, item: InboxItem) -> SafeString:
        return format_html('<pre class="whitespace-pre-wrap break-all">{}</pre>', pretty(item.body))

    @display(description="Accepted as")
    def event(self, item: InboxItem) -> SafeString | str:
        if item.event_seq is None:
            return "It was not accepted."
        link = reverse("admin:outcomes_event_change", args=[item.event_seq])
        return format_html('<a href="{}">event {}</a>', link, item.event_id)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Above the list, what waits by reason, each with the ways to act on all of it."""
        here, retry, dismiss = (
            reverse(f"admin:outcomes_inboxitem_{name}") for name in ("changelist", "retry", "dismiss")
        )
        reasons = [
            {
                "reason": inbox.IN_WORDS[entry.reason],
                "count": f"{entry.count:,}",
                "oldest": entry.oldest_received_at,
                "way_out": inbox.WAY_OUT[entry.reason],
                "list": f"{here}?reason__exact={entry.reason}",
                "retry": f"{retry}?reason={entry.reason}",
                "dismiss": f"{dismiss}?reason={entry.reason}",
            }
            for entry in inbox.summary(inbox.waiting())
        ]
        context = {
            "reasons": reasons,
            "may_handle": self.has_handle_permission(request),
            "retry_all": retry,
            "dismiss_all": dismiss,
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    # --- What may be done ---------------------------------------------------------------------------------------------

    def has_handle_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change inbox items, although no form does."""
        return request.user.has_perm("outcomes.change_inboxitem")

    def get_urls(self) -> list[URLPattern]:
        retry, dismiss = self.admin_site.admin_view(self.retry_view), self.admin_site.admin_view(self.dismiss_view)
        return [
            path("retry/", retry, name="outcomes_inboxitem_retry"),
            path("dismiss/", dismiss, name="outcomes_inboxitem_dismiss"),
            *super().get_urls(),
        ]

    @admin.action(description="Retry: the cause is mended", permissions=["handle"])
    def retry_chosen(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> None:
        self._retry(request, inbox.waiting(ids=_chosen(queryset)), 0)

    @admin.action(description="Dismiss: it is of no use", permissions=["handle"])
    def dismiss_chosen(self, request: HttpRequest, queryset: QuerySet[InboxItem]) -> HttpResponse | None:
        """Asks for the reason first; the answer comes back as the same action with a note."""
        items = inbox.waiting(ids=_chosen(queryset))
        note = request.POST.get("note", "").strip()
        if note:
            self._dismiss(request, items, note)
            return None
        hidden = [(name, value) for name in ("action", "select_across", "index", "_selected_action")
                  for value in request.POST.getlist(name)]  # fmt: skip
        return self._ask_dismiss(request, items, hidden, reverse("admin:outcomes_inboxitem_changelist"))

    @action(description="Retry", permissions=["handle"])
    def retry_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect(f"{reverse('admin:outcomes_inboxitem_retry')}?id={object_id}")

    @action(description="Dismiss", permissions=["handle"])
    def dismiss_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect(f"{reverse('admin:outcomes_inboxitem_dismiss')}?id={object_id}")

    def retry_view(self, request: HttpRequest) -> HttpResponse:
        """Ask, then retry what the address selects, in portions; only a POST acts."""
        items, back = self._selected(request)
        after = _whole(request.GET.get("after", "0"))
        if request.method == "POST":
            done = self._retry(request, items, after)
            if done.after is None:
                return redirect(back)
            address = request.GET.copy()
            address["after"] = str(done.after)
            return redirect(f"{request.path}?{address.urlencode()}")
        question = f"Retry {'the remaining ' if after else ''}{_events(items.filter(id__gt=after).count())}?"
        return _ask(self, request, question, items, "Retry", back)

    def dismiss_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the reason, then dismiss what the address selects; only a POST acts."""
        items, back = self._selected(request)
        note = request.POST.get("note", "").strip()
        if request.method == "POST" and note:
            self._dismiss(request, items, note)
            return redirect(request.get_full_path() if items.exists() else back)
        return self._ask_dismiss(request, items, [], back)

    def _selected(self, request: HttpRequest) -> tuple[QuerySet[InboxItem], str]:
        """The waiting items that the query string names (`id`, `reason`, `import`; all without), and where they are
        shown.
        """
        if not self.has_handle_permission(request):
            raise PermissionDenied
        item, reason, batch = (request.GET.get(name) for name in ("id", "reason", "import"))
        here = reverse("admin:outcomes_inboxitem_changelist")
        if item:
            number = _whole(item)
            return inbox.waiting(ids=[number]), reverse("admin:outcomes_inboxitem_change", args=[number])
        if batch:
            try:
                import_id = UUID(batch)
            except ValueError:
                raise Http404 from None
            return inbox.waiting(import_id=import_id, reason=reason), reverse(
                "admin:outcomes_import_change", args=[import_id]
            )
        return inbox.waiting(reason=reason), here

    def _ask_dismiss(
        self, request: HttpRequest, items: QuerySet[InboxItem], hidden: list[tuple[str, str]], back: str
    ) -> HttpResponse:
        question = f"Dismiss {_events(items.count())}? Nothing will come of them; they stay readable."
        return _ask(self, request, question, items, "Dismiss", back, note="Why", hidden=hidden)

    def _retry(self, request: HttpRequest, items: QuerySet[InboxItem], after: int) -> inbox.Retried:
        done = inbox.retry_some(items, now=timezone.now(), by=str(request.user), after=after, limit=inbox.AT_ONCE)
        text = ", ".join(f"{count:,} {status}" for status, count in sorted(done.tally.items())) or "none of them waited"
        trail.note(request, InboxItem, _events(sum(done.tally.values())), f"Retry: {text}.")
        left = f" {done.remaining:,} are left." if done.remaining else ""
        messages.info(request, f"Retried: {text}.{left}")
        return done

    def _dismiss(self, request: HttpRequest, items: QuerySet[InboxItem], note: str) -> None:
        count = inbox.dismiss(items, now=timezone.now(), note=note[:1000], by=str(request.user), limit=inbox.AT_ONCE)
        trail.note(request, InboxItem, _events(count), f"Dismiss: {note[:1000]}")
        left = items.count()
        messages.info(request, f"Dismissed {count:,}; they stay readable here.{f' {left:,} are left.' if left else ''}")


def pretty(body: str) -> str:
    """JSON with indentation, every number as it was sent; what is no JSON as it is."""
    try:
        return msgspec.json.format(body, indent=2)
    except msgspec.DecodeError:
        return body


def _chosen(queryset: QuerySet[InboxItem]) -> list[int]:
    """Ids of the rows that were chosen and wait: as many as one request does, the oldest first."""
    waiting = queryset.filter(status=InboxItem.Status.WAITING)
    return list(waiting.order_by("id").values_list("id", flat=True)[: inbox.AT_ONCE])


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Http404
    return int(text)


def _ask(
    model_admin: ModelAdmin,
    request: HttpRequest,
    question: str,
    items: QuerySet[InboxItem],
    verb: str,
    back: str,
    *,
    note: str = "",
    hidden: list[tuple[str, str]] | None = None,
) -> HttpResponse:
    """A page that says what would be done, to what; with ``note``, it asks for a text under this name."""
    facts = [
        f"{entry.count:,} × {inbox.IN_WORDS[entry.reason]}: {inbox.WAY_OUT[entry.reason]}"
        for entry in inbox.summary(items)
    ]
    inputs = [Asked("note", note)] if note else []
    return ask(model_admin, request, question, facts, verb, back, inputs=inputs, hidden=hidden or [])


# --- Imports ----------------------------------------------------------------------------------------------------------


class ImportFileInline(ReadOnly, TabularInline):
    model = ImportFile
    fields = ("path", "rows", "accepted", "duplicates", "rejected", "finished_at", "report_path")
    readonly_fields = fields
    extra = 0
    verbose_name_plural = "Files loaded by manage.py import_events"


@admin.register(Import)
class ImportAdmin(ReadOnly, ModelAdmin):
    list_display = (
        *("__str__", "shown_status", "accepted_count", "duplicate_count", "rejected_count", "waiting_link", "held"),
        *("created_at", "closed_at"),
    )
    list_filter = (("closed_at", admin.EmptyFieldListFilter),)
    search_fields = ("name",)
    fields = ("name", "shown_status", "created_at", "closed_at", "accepted_count", "duplicate_count", "rejected_count",
              "waiting_link", "waiting_actions", "held", "public_id")  # fmt: skip
    readonly_fields = fields
    inlines = (ImportFileInline,)
    actions_list = ("open_one",)
    actions_detail = ("close_this",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.open_view)
        return [path("open/", view, name="outcomes_import_open"), *super().get_urls()]

    @action(description="Open an import", permissions=["handle"])
    def open_one(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:outcomes_import_open")

    def open_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for its name; only the POST of that page opens one."""
        if not self.has_handle_permission(request):
            raise PermissionDenied
        name = Asked("name", "Name", "What it brings, for those who look later.", max_length=255)
        back, problem = reverse("admin:outcomes_import_changelist"), ""
        if request.method == "POST":
            given, problem = entered(request, [name])
            if not problem:
                with transaction.atomic():
                    found = imports.open_import(name=given["name"], now=timezone.now())
                    self.log_addition(request, found, "Opened.")
                messages.info(request, "Opened: send its events with its id in the header Import, then close it.")
                return redirect("admin:outcomes_import_change", found.pk)
        facts = ["Its events may be of any age. Customers that they touch do not settle until it is closed."]
        return ask(self, request, "Open an import?", facts, "Open", back, inputs=[name], problem=problem)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Import]:
        return imports.with_progress(super().get_queryset(request))

    @display(description="Status", label={"open": "warning", "closed": "success"})
    def shown_status(self, found: Import) -> str:
        return "open" if found.closed_at is None else "closed"

    @display(description="Accepted")
    def accepted_count(self, found: Import) -> str:
        return f"{found.accepted:,}"

    @display(description="Known already")
    def duplicate_count(self, found: Import) -> str:
        return f"{found.duplicates:,}"

    @display(description="Not taken")
    def rejected_count(self, found: Import) -> str:
        return f"{found.rejected:,}"

    @display(description="Waiting in the inbox")
    def waiting_link(self, found: Import) -> SafeString | str:
        if not found.waiting:
            return "0"
        link = f"{reverse('admin:outcomes_inboxitem_changelist')}?batch_import__id__exact={found.id}"
        return format_html('<a class="underline" href="{}">{}</a>', link, f"{found.waiting:,}")

    @display(description="All that wait")
    def waiting_actions(self, found: Import) -> SafeString | str:
        if not found.waiting:
            return "–"
        return format_html_join(
            " · ",
            '<a class="underline" href="{}?import={}">{}</a>',
            ((reverse(f"admin:outcomes_inboxitem_{verb}"), found.id, verb) for verb in ("retry", "dismiss")),
        )

    @display(description="Customers")
    def held(self, found: Import) -> str:
        paused = " (settlement paused)" if found.closed_at is None and found.touched else ""
        return f"{found.touched:,}{paused}"

    @display(description="Id for the API")
    def public_id(self, found: Import) -> str:
        return ids.encode(IMPORT_PREFIX, found.id)

    def has_handle_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may change imports, although no form does."""
        return request.user.has_perm("outcomes.change_import")

    @action(description="Close", permissions=["handle"])
    def close_this(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """Ask, with what is left; only the POST of that page closes."""
        found = self.get_queryset(request).filter(id=object_id).first()
        if found is None:
            raise Http404
        back = reverse("admin:outcomes_import_change", args=[found.id])
        if request.method == "POST":
            imports.close_import(found.id, now=timezone.now())
            self.log_change(request, found, "Closed.")
            messages.info(request, f"Closed: {found}. Settlement of its customers goes on.")
            return redirect(back)
        facts = [f"Settlement of its {found.touched:,} customers goes on; no further events can be sent to it."]
        facts.append(imports.left_waiting(found.waiting) or "")
        return ask(self, request, f"Close the import {found}?", facts, "Close", back)


class PastReadAdmin(ReadOnly, ModelAdmin):
    """What both kinds of reading show."""

    @display(description="Status", label={"reading": "warning", "done": "success"})
    def shown_status(self, found: PastRead) -> str:
        return "done" if found.done_at else "reading"

    @display(description="Read")
    def progress(self, found: PastRead) -> str:
        """How much of the payload table has been looked through, by acceptance number: an estimate."""
        if found.done_at or not found.until_seq:
            return "all"
        return f"up to what was received in {month_text(found.next_seq // MONTH_FACTOR)}"


@admin.register(Backfill)
class BackfillAdmin(PastReadAdmin):
    list_display = ("condition", "number", "shown_status", "progress", "events", "created_at", "done_at")
    list_select_related = ("version__condition",)

    @display(description="Condition", ordering="version__condition__slug")
    def condition(self, found: Backfill) -> str:
        return found.version.condition.slug

    @display(description="Version")
    def number(self, found: Backfill) -> int:
        return found.version.number


@admin.register(CustomerBackfill)
class CustomerBackfillAdmin(PastReadAdmin):
    list_display = ("condition", "customer", "shown_status", "progress", "events", "created_at", "done_at")
    list_select_related = ("named__condition", "named__customer")

    @display(description="Condition", ordering="named__condition__slug")
    def condition(self, found: CustomerBackfill) -> str:
        return found.named.condition.slug

    @display(description="Customer", ordering="named__customer__key")
    def customer(self, found: CustomerBackfill) -> str:
        return found.named.customer.key


@admin.register(ArchivedMonth)
class ArchivedMonthAdmin(ReadOnly, ModelAdmin):
    list_display = ("month", "events", "path", "archived_at")
