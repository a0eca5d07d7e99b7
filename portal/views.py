"""The pages. Each is a view of the rows that its visitor may see (`scope.Scope`), in the visitor's words."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views import View
from django.views.csrf import csrf_failure as django_csrf_failure

from invoicing import csv_export, pdf
from invoicing.evidence import api as evidence
from invoicing.evidence import pack
from invoicing.models import InvoiceLine
from outcomes.models import Outcome, State
from portal import links, pages, sessions
from portal.disputing import MOST_A_DAY, LimitReached, dispute
from portal.links import Unusable
from portal.scope import Document, Scope, public_id
from portal.words import Words, asked_for
from settlement.domain.disputes import DISPUTABLE

# Nothing from elsewhere, no script at all, in no frame. `same-origin`, since a form that names no origin is refused by
# the protection against forged ones; nothing but this site sees an address of it.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Frame-Options": "DENY",
}


def _guarded(response: HttpResponseBase, **headers: str) -> HttpResponseBase:
    for name, value in (HEADERS | headers).items():
        response[name] = value
    return response


def _strangers_words(request: HttpRequest) -> Words:
    return Words(asked_for(request.headers.get("Accept-Language", "")), "UTC", settings.SELLER["name"])


def _turned_away(request: HttpRequest, status: int) -> HttpResponseBase:
    """The one page for whoever has no valid link, whyever that is."""
    words = _strangers_words(request)
    return _guarded(render(request, "portal/no_link.html", {"words": words}, status=status))


def enter(request: HttpRequest) -> HttpResponseBase:
    """``/portal/enter?key=…``: lets the holder of a link in, and leads on to an address that says nothing of it."""
    if request.method not in ("GET", "HEAD"):
        return _guarded(HttpResponse(status=405, headers={"Allow": "GET, HEAD"}))
    now = timezone.now()
    given = request.GET.getlist(links.PARAMETER)
    try:
        link = links.opened(given[0] if len(given) == 1 else "", now=now)
    except Unusable as refusal:
        response = _turned_away(request, refusal.status)
    else:
        response = redirect("portal:overview")
        sessions.begin(response, link, now=now)
    return _guarded(response, **{"Referrer-Policy": "no-referrer"})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """A form without its token: in the portal a page that says what to do, else Django's own."""
    if not request.path_info.startswith(sessions.PATH):
        return django_csrf_failure(request, reason)
    return _guarded(render(request, "portal/stale.html", {"words": _strangers_words(request)}, status=403))


class PortalView(View):
    """Who is not in by a valid link sees that page and nothing else; who is, sees rows of its own customer."""

    scope: Scope
    section = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        now = timezone.now()
        try:
            visit = sessions.visit_of(request, now=now)
            self.scope = Scope.of(visit.link, now)
            response = self._answer(request, *args, **kwargs)
        except Unusable as refusal:
            response = _turned_away(request, refusal.status)
            sessions.end(response)
            return response
        sessions.go_on(response, visit, now=now)
        return _guarded(response)

    def _answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except Http404:
            return self.page("not_found", status=404)

    @cached_property
    def words(self) -> Words:
        customer = self.scope.link.customer
        return Words(customer.locale, customer.time_zone, settings.SELLER["name"])

    def page(self, name: str, context: dict[str, Any] | None = None, *, status: int = 200) -> HttpResponse:
        frame = {"words": self.words, "scope": self.scope, "section": self.section}
        return render(self.request, f"portal/{name}.html", frame | (context or {}), status=status)

    def cursor(self, name: str) -> str | None:
        """Where a page of a list begins. Http404 where it is told twice."""
        given = self.request.GET.getlist(name)
        if len(given) > 1:
            raise Http404
        return given[0] if given else None


class Leave(PortalView):
    def post(self, request: HttpRequest) -> HttpResponse:
        return render(request, "portal/left.html", {"words": self.words})

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        if request.method == "POST":
            sessions.end(response)
        return response


class Nowhere(PortalView):
    """Any other address, in the portal's own words."""

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        raise Http404


class Overview(PortalView):
    section = "overview"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page("overview", pages.overview(self.scope, self.words))


# --- Documents --------------------------------------------------------------------------------------------------------


class Documents(PortalView):
    section = "documents"

    def get(self, request: HttpRequest) -> HttpResponse:
        invoices = self.scope.page(
            self.scope.invoices(), ("-issued_at", "-id"), self.cursor("invoices"), f"{request.path}#invoices"
        )
        notes = self.scope.page(
            self.scope.credit_notes(), ("-issued_at", "-id"), self.cursor("notes"), f"{request.path}#notes"
        )
        return self.page("documents", pages.documents(self.scope, self.words, invoices, notes))


class InvoicePage(PortalView):
    section = "documents"

    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        return self.page("invoice", pages.invoice(self.scope, self.words, self.scope.invoice(id)))


class CreditNotePage(PortalView):
    section = "documents"

    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        return self.page("credit_note", pages.credit_note(self.scope, self.words, self.scope.credit_note(id)))


def _attached(content: Any, content_type: str, filename: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return HttpResponse(content, content_type=content_type, headers=headers)


class InvoicePdf(PortalView):
    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        invoice = self.scope.invoice(id)
        return _attached(pdf.render(invoice), "application/pdf", pdf.filename(invoice))


class CreditNotePdf(PortalView):
    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        note = self.scope.credit_note(id)
        return _attached(pdf.render_credit_note(note), "application/pdf", pdf.filename(note))


class InvoiceCsv(PortalView):
    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        return _csv(self.scope.invoice(id))


class CreditNoteCsv(PortalView):
    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        return _csv(self.scope.credit_note(id))


def _csv(document: Document) -> HttpResponse:
    # A person opens it: without the mark, spreadsheets take it for something else than UTF-8.
    rows = "\ufeff" + "".join(csv_export.csv_of(document))
    return _attached(rows, "text/csv; charset=utf-8; header=present", csv_export.filename(document))


class InvoiceEvidence(PortalView):
    def get(self, request: HttpRequest, id: str) -> HttpResponseBase:
        return _evidence(self.scope.invoice(id), self.scope)


class CreditNoteEvidence(PortalView):
    def get(self, request: HttpRequest, id: str) -> HttpResponseBase:
        return _evidence(self.scope.credit_note(id), self.scope)


def _evidence(document: Document, scope: Scope) -> HttpResponseBase:
    lines = evidence.pieces(pack.pack(document, now=scope.wall))
    headers = {"Content-Disposition": f'attachment; filename="{pack.filename(document)}"'}
    return StreamingHttpResponse(lines, content_type=evidence.MEDIA_TYPE, headers=headers)


class Verifier(PortalView):
    """The program that recounts a pack: the same for everybody."""

    def get(self, request: HttpRequest) -> HttpResponse:
        program = evidence.VERIFIER
        return _attached(program.read_bytes(), "text/x-python; charset=utf-8", program.name)


# --- Lines and outcomes -----------------------------------------------------------------------------------------------


class DisputeForm(forms.Form):
    reason = forms.CharField(max_length=1000, strip=True)

    def problem(self) -> str:
        """The code of what is wrong with the reason; empty where nothing is."""
        return "" if self.is_valid() else self.errors.as_data()["reason"][0].code or "required"


class _Disputing(PortalView):
    """A POST that disputes something and leads back to its page, or shows that page with what is wrong."""

    def _dispute(
        self, outcomes: list[UUID], back: str, again: Callable[[dict[str, Any]], HttpResponse]
    ) -> HttpResponse:
        form = DisputeForm(self.request.POST)
        problem, status = form.problem(), 422
        error = self.words.say(f"error.{problem}") if problem else ""
        if not error:
            try:
                dispute(self.scope, outcomes, reason=form.cleaned_data["reason"])
            except LimitReached:
                error, status = self.words.say("error.limit", count=MOST_A_DAY), 429
        if not error:
            return redirect(f"{back}#dispute", permanent=False)
        response = again({"error": error, "reason": self.request.POST.get("reason", "")[:2000]})
        response.status_code = status
        return response


class LinePage(_Disputing):
    section = "documents"

    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        return self._page(self.scope.line(id), {})

    def _page(self, line: InvoiceLine, more: dict[str, Any]) -> HttpResponse:
        path = reverse("portal:line", args=[public_id(line)])
        billed = self.scope.page(self.scope.billed_by(line), ("outcome_id",), self.cursor("billed"), f"{path}#billed")
        back = self.scope.page(self.scope.taken_back_by(line), ("outcome_id",), self.cursor("back"), f"{path}#back")
        return self.page("line", pages.line(self.scope, self.words, line, billed, back) | more)


class LineDispute(LinePage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        line = self.scope.line(id)
        found = self.scope.disputable_on(line, MOST_A_DAY)
        back = reverse("portal:line", args=[public_id(line)])
        return self._dispute(found, back, lambda more: self._page(line, more))


class Outcomes(PortalView):
    section = "outcomes"

    def get(self, request: HttpRequest) -> HttpResponse:
        chosen = request.GET.get("show", State.PROVISIONAL)
        if chosen not in pages.SHOWN:
            raise Http404
        found = self.scope.disputed_outcomes() if chosen == pages.DISPUTED else self.scope.outcomes()
        if chosen in State.values:
            found = found.filter(state=chosen)
        listed = self.scope.page(found, ("-id",), self.cursor("cursor"), f"{request.path}#{chosen}")
        return self.page("outcomes", pages.outcomes(self.scope, self.words, chosen, listed))


class OutcomePage(_Disputing):
    section = "outcomes"

    def get(self, request: HttpRequest, id: str) -> HttpResponse:
        return self._page(self.scope.outcome(id), {})

    def _page(self, outcome: Outcome, more: dict[str, Any]) -> HttpResponse:
        return self.page("outcome", pages.outcome(self.scope, self.words, outcome) | more)


class OutcomeDispute(OutcomePage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        outcome = self.scope.outcome(id)
        found = [outcome.pk] if outcome.state in DISPUTABLE else []
        back = reverse("portal:outcome", args=[public_id(outcome)])
        return self._dispute(found, back, lambda more: self._page(outcome, more))
