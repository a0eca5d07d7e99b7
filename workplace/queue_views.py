"""The review queue's pages: the list, one item with its evidence, and several items that are decided alike.

A decision takes two clicks: what it moves is shown first, then it is confirmed, and done only where it still moves what
was shown. It goes through the functions of the API, and is noted in the trail.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from access.asking import Asked, entered
from workplace import queue_money
from workplace.front import MONEY, sees
from workplace.queue import PAGE, WEIGHED, Decision, Evidence, Kind, Place, Queue, Wanted
from workplace.queue_documents import CreditNotes, Parked
from workplace.queue_elsewhere import Findings, Handovers, Operations, StripeCredits, StripeInvoices
from workplace.queue_money import Effect
from workplace.queue_outcomes import Disputes, Incomplete, Late

KINDS: Final[tuple[Kind, ...]] = (
    Disputes(), Late(), Incomplete(), CreditNotes(), Parked(), Operations(), StripeInvoices(), StripeCredits(),
    Findings(), Handovers(),
)  # fmt: skip

MOST: Final = 50
"""So many items are decided at once."""

BUSY: Final = (
    "Somebody else is at it, or it takes too long to work out on a page. Nothing was done: try again, or decide it on "
    "its own page, which the evidence leads to, without the figures."
)


def seen_by(user: Any) -> list[Kind]:
    """The kinds that somebody may see."""
    return [kind for kind in KINDS if sees(user, kind.model)]


def _wanted(request: HttpRequest) -> Wanted:
    page = request.GET.get("page", "")
    known = {kind.slug for kind in seen_by(request.user)}
    kind = request.GET.get("kind", "")
    return Wanted(
        kind=kind if kind in known else "",
        customer=request.GET.get("customer", "").strip()[:200],
        dearest=request.GET.get("order") == "dearest",
        page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 5 else 1,
    )


# --- The list ---------------------------------------------------------------------------------------------------------


def queue_page(request: HttpRequest) -> HttpResponse:
    """What waits, by kind and customer, the oldest or the dearest first."""
    kinds = seen_by(request.user)
    if not kinds:
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET"])
    wanted = _wanted(request)
    shows_money = sees(request.user, MONEY)
    if not shows_money:
        wanted = replace(wanted, dearest=False)
    queue = Queue(kinds, wanted)
    counts = queue.counts()
    entries, more = queue.page(timezone.now())
    chosen = queue.kinds.get(wanted.kind)
    tabs = [("", "Everything", sum(counts.values()))]
    tabs += [(one.slug, one.label, counts.get(one.slug, 0)) for one in kinds
             if counts.get(one.slug) or one is chosen]  # fmt: skip
    last = wanted.page - 1
    context = {
        **admin.site.each_context(request),
        "title": "Review queue",
        "tabs": [(label, count, f"?{wanted.query(kind=slug)}", slug == wanted.kind) for slug, label, count in tabs],
        "entries": entries,
        "labels": {one.slug: one.label for one in kinds},
        "wanted": wanted,
        "query": wanted.query(),
        "shows_money": shows_money,
        "chosen": chosen,
        "many": _several(request, chosen, entries) if chosen else False,
        "oldest": f"?{wanted.query(order='')}",
        "dearest": f"?{wanted.query(order='dearest')}",
        "everybody": f"?{wanted.query(customer='')}",
        "weighed": WEIGHED if wanted.dearest and sum(counts.values()) > WEIGHED else 0,
        "before": f"?{wanted.query(page=last if last > 1 else '')}" if wanted.page > 1 else "",
        "after": f"?{wanted.query(page=wanted.page + 1)}" if more else "",
        "first": (wanted.page - 1) * PAGE + 1,
    }
    return TemplateResponse(request, "workplace/queue.html", context)


def _several(request: HttpRequest, kind: Kind, entries: Sequence[Any]) -> bool:
    """Whether items of the kind can be decided together by who asks."""
    if not kind.together or len(entries) < 2:
        return False
    rows = kind.find([entry.pk for entry in entries[:1]])
    return any(one.by_many for row in rows for one in _allowed(request, kind, [row]))


# --- One item, or several ---------------------------------------------------------------------------------------------


def _item(kind: Kind) -> Callable[..., HttpResponse]:
    def page(request: HttpRequest, pk: str) -> HttpResponse:
        if not sees(request.user, kind.model):
            raise PermissionDenied
        rows = kind.find([pk])
        return _decided_page(request, kind, rows) if rows else _gone(request, kind, pk)

    return page


def _together(kind: Kind) -> Callable[..., HttpResponse]:
    def page(request: HttpRequest) -> HttpResponse:
        """Several items, chosen in the list: by POST, since an address has no room for so many."""
        if not sees(request.user, kind.model):
            raise PermissionDenied
        chosen = set(request.POST.getlist("item")[:MOST])
        rows = kind.find(chosen)
        if len(rows) < len(chosen):
            return _choose_again(request, kind, len(chosen) - len(rows), len(chosen))
        if not rows:
            return redirect(f"{reverse('admin_queue')}?{_wanted(request).query(kind=kind.slug)}")
        return _decided_page(request, kind, rows)

    return page


def _gone(request: HttpRequest, kind: Kind, pk: str) -> HttpResponse:
    """It does not wait any more: say so, and offer the next."""
    messages.warning(request, "There is no such item." if kind.key(pk) is None else kind.became(pk))
    return _next(request, Place(kind.slug, pk))


def _next(request: HttpRequest, place: Place) -> HttpResponse:
    """To the next item of what was looked at; where nothing waits, to the list, which says so."""
    list_page = f"{reverse('admin_queue')}?{_wanted(request).query()}"
    return redirect(_address(request, _queue(request).after([place])) or list_page)


def _queue(request: HttpRequest) -> Queue:
    return Queue(seen_by(request.user), _wanted(request))


def _address(request: HttpRequest, place: Place | None) -> str:
    """Of an item, with what was asked for; empty without one."""
    if place is None:
        return ""
    return f"{reverse(f'admin_queue_{place.kind}', args=[place.pk])}?{_wanted(request).query()}"


def _allowed(request: HttpRequest, kind: Kind, rows: Sequence[Any]) -> list[Decision]:
    """What the person may decide of all of these."""
    found = [one for one in kind.decisions(rows[0]) if request.user.has_perm(one.permission)]
    if len(rows) > 1:
        common = set.intersection(*({one.name for one in kind.decisions(row)} for row in rows))
        found = [one for one in found if one.by_many and one.name in common]
    return found


def _decided_page(request: HttpRequest, kind: Kind, rows: Sequence[Any]) -> HttpResponse:
    """Ask for a decision; on a POST show what it moves, or do it."""
    allowed = _allowed(request, kind, rows)
    decision = next((one for one in allowed if one.name == request.POST.get("decision")), None)
    problem, effect, again = "", None, False
    following = _address(request, _queue(request).after([Place(kind.slug, str(row.pk)) for row in rows]))
    if request.method == "POST" and "decision" in request.POST:
        if decision is None:
            raise PermissionDenied
        given, problem = entered(request, decision.inputs)
        shown = request.POST.get("shown", "")
        if not problem:
            try:
                effect = _work(request, kind, rows, decision, given, shown)
            except kind.refusals as refusal:
                if len(kind.find([row.pk for row in rows])) < len(rows):
                    return _decided_meanwhile(request, kind, rows)
                problem = str(getattr(refusal, "message", refusal))
            except OperationalError:
                problem = BUSY
            else:
                if effect is None:
                    _tell(request, rows, decision)
                    return redirect(following or f"{reverse('admin_queue')}?{_wanted(request).query()}")
                again = bool(shown)
    return _page(request, kind, rows, allowed, decision, effect, following, problem=problem, again=again)


def _work(
    request: HttpRequest, kind: Kind, rows: Sequence[Any], decision: Decision, given: dict[str, str], shown: str
) -> Effect | None:
    """Decide, and undo it, to see what it moves; where that was ``shown`` before and is the same, keep it: None."""
    now, by = timezone.now(), str(request.user)

    def work() -> Effect:
        done: list[Any] = []

        def decide() -> None:
            done.extend(decision.act(row, given, by, now) for row in rows)

        effect = decision.moves(rows, decide, now)
        for row in done if shown else ():  # the trail is one chain: who only looks holds nobody up at its end
            admin.site._registry[type(row)].log_change(request, row, f"{decision.verb}: {given['reason']}")
        return effect

    if shown:
        return queue_money.kept(work, shown, hurried=decision.hurried)
    return queue_money.shown(work, hurried=decision.hurried)


def _decided_meanwhile(request: HttpRequest, kind: Kind, rows: Sequence[Any]) -> HttpResponse:
    """Somebody else decided it, or one of them: nothing was done here."""
    waiting = {row.pk for row in kind.find([row.pk for row in rows])}
    gone = [row for row in rows if row.pk not in waiting]
    if len(rows) == 1:
        return _gone(request, kind, str(gone[0].pk))
    return _choose_again(request, kind, len(gone), len(rows))


def _choose_again(request: HttpRequest, kind: Kind, gone: int, of: int) -> HttpResponse:
    some = "1 of these does" if gone == 1 else f"{gone} of these do"
    messages.warning(request, f"{some} not wait any more, so nothing was done of all {of}: choose them again.")
    return redirect(f"{reverse('admin_queue')}?{_wanted(request).query(kind=kind.slug)}")


def _tell(request: HttpRequest, rows: Sequence[Any], decision: Decision) -> None:
    queue = _queue(request)
    counts = queue.counts()
    left = sum(counts.get(kind.slug, 0) for kind in queue.chosen)
    many = f"{len(rows)} items" if len(rows) > 1 else "done"
    rest = f"{left:,} more wait{'s' if left == 1 else ''}" if left else "Nothing more waits"
    if not left and len(queue.chosen) == 1:
        rest = "Nothing more of this kind waits"
    messages.success(request, f"{decision.verb}: {many}. {rest}.")


def _page(
    request: HttpRequest,
    kind: Kind,
    rows: Sequence[Any],
    allowed: Sequence[Decision],
    decision: Decision | None,
    effect: Effect | None,
    following: str,
    *,
    problem: str,
    again: bool,
) -> HttpResponse:
    now = timezone.now()
    entries = kind.entries(rows, now)
    wanted = _wanted(request)
    alone = len(rows) == 1
    inputs: dict[str, Asked] = {one.name: one for made in allowed for one in made.inputs}
    back = f"{reverse('admin_queue')}?{wanted.query()}"
    context = {
        **admin.site.each_context(request),
        "title": entries[0].title if alone else f"{kind.label}: {len(rows)} items",
        "kind": kind,
        "entry": entries[0],
        "entries": entries,
        "alone": alone,
        "evidence": _evidence(request, kind, rows[0], now) if alone else None,
        "allowed": allowed,
        "decision": decision,
        "no_decision": "" if allowed or not alone else _none(kind, rows[0]),
        "inputs": [one._asdict() | {"value": request.POST.get(one.name, "")} for one in _reason_last(inputs)],
        "effect": effect,
        "again": again,
        "problem": problem,
        "shows_money": sees(request.user, MONEY),
        "back": back,
        "following": following if alone else "",
        "items": [] if alone else [str(row.pk) for row in rows],
    }
    return TemplateResponse(request, "workplace/queue_item.html", context)


def _evidence(request: HttpRequest, kind: Kind, row: Any, now: datetime) -> Evidence:
    found = kind.evidence(row, now)
    return found if sees(request.user, MONEY) else found._replace(money=(), sides=())


def _none(kind: Kind, row: Any) -> str:
    """Why nothing is offered: nobody decides it here, or others do."""
    if kind.decisions(row):
        return "Your role reads this; others decide it."
    return kind.no_decision(row)


def _reason_last(inputs: dict[str, Asked]) -> list[Asked]:
    return sorted(inputs.values(), key=lambda one: one.name == "reason")


def _pages() -> Iterable[Any]:
    view = admin.site.admin_view
    yield path("", view(queue_page), name="admin_queue")
    for kind in KINDS:
        if kind.together:
            yield path(f"{kind.slug}/several/", view(_together(kind)), name=f"admin_queue_{kind.slug}_several")
        yield path(f"{kind.slug}/<str:pk>/", view(_item(kind)), name=f"admin_queue_{kind.slug}")


urlpatterns = list(_pages())
