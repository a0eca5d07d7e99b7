"""What a customer's page in the admin shows of money (`contracts.customer_page`), and the running period line by
line.
"""

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from access.errors import ApiError
from contracts.customer_page import (
    NEWEST,
    Looking,
    Section,
    lines,
    link,
    listed,
    moment,
    newest,
    page,
    register,
)
from contracts.models import Customer
from invoicing import credit, texts
from invoicing.domain import lifecycle
from invoicing.models import CreditNote, Invoice, InvoiceLine, ParkedCustomer
from invoicing.preview import Part, Preview, preview
from invoicing.queries import REASONS
from outcomes.models import Outcome

AT_ONCE: Final = 5_000
"""Up to so many outcomes of a customer, its running period is worked out with its page; above, when it is asked for."""


def _running(looking: Looking) -> Section | None:
    if not looking.may("invoicing.view_invoice"):
        return None
    customer = looking.customer
    address = reverse("admin:invoicing_invoice_running", args=[customer.key])
    if Outcome.objects.filter(customer=customer).order_by("id")[AT_ONCE : AT_ONCE + 1].exists():
        told = f"The customer has more than {AT_ONCE:,} outcomes: what its period comes to takes a page of its own."
        return Section("running", "Running period", note=told, links=[("Work it out", address)])
    try:
        found = preview(customer.key, now=timezone.now())
    except ApiError as refusal:
        return Section("running", "Running period", note=refusal.message)
    return Section("running", "Running period", facts=_facts(found), links=[("Line by line", address)])


def _facts(found: Preview) -> list[tuple[str, Any]]:
    currency, zone = found.agreement.currency, found.customer.time_zone
    expected = found.confirmed.total_minor + found.provisional.total_minor
    facts: list[tuple[str, Any]] = [
        ("Period", texts.span(texts.Period(found.period.start, found.period.end), zone)),
        ("Confirmed", texts.amount(found.confirmed.total_minor, currency)),
        ("Provisional", texts.amount(found.provisional.total_minor, currency)),
        ("Expected", format_html("<strong>{}</strong>", texts.amount(expected, currency))),
    ]
    if found.to_credit.total_minor:
        facts.append(("To be credited", texts.amount(found.to_credit.total_minor, currency)))
    facts += [
        (
            "On no invoice",
            f"{one.outcomes:,} confirmed outcome{'' if one.outcomes == 1 else 's'}: {REASONS[one.reason]}",
        )
        for one in found.held
    ]
    return facts


def running_page(request: HttpRequest, key: str) -> HttpResponse:
    """A customer's running period, line by line, as it would be invoiced now. Only reads."""
    if not request.user.has_perm("invoicing.view_invoice"):
        raise PermissionDenied
    customer = Customer.objects.filter(key=key).first()
    if customer is None:
        raise Http404
    sections, problem = [], ""
    try:
        found = preview(customer.key, now=timezone.now())
    except ApiError as refusal:
        problem = refusal.message
    else:
        sections = [
            Section("totals", "As it stands", facts=_facts(found)),
            _part("confirmed", "Confirmed", found.confirmed, found),
            _part("provisional", "Provisional: once everything in its settlement window has settled", found.provisional,
                  found),
            _part("to-credit", "To be credited by the next run", found.to_credit, found),
        ]  # fmt: skip
    context = {
        **admin.site.each_context(request),
        "title": f"Running period of {customer}",
        "problem": problem,
        "sections": sections,
        "back": reverse("admin:contracts_customer_change", args=[customer.pk]),
    }
    return TemplateResponse(request, "invoicing/running.html", context)


def _part(name: str, title: str, part: Part, found: Preview) -> Section:
    currency, zone = found.agreement.currency, found.customer.time_zone

    def row(line: InvoiceLine) -> tuple[Any, ...]:
        return (
            line.title,
            ", ".join(f"{key}: {value}" for key, value in sorted(line.dimensions.items())) or "–",
            texts.span(texts.Period(line.period_start, line.period_end), zone),
            "–" if line.quantity is None else texts.grouped(texts.plain(line.quantity)),
            "–" if line.unit_price is None else texts.unit_price(line.unit_price, currency),
            texts.amount(line.amount_minor, currency),
        )

    rows = [row(line) for line in part.lines]
    if rows:
        total = format_html("<strong>{}</strong>", texts.amount(part.total_minor, currency))
        rows.append((format_html("<strong>{}</strong>", "Total"), "", "", "", "", total))
    heads = ("What", "Dimensions", "Period", "Quantity", "Unit price", "Amount")
    return Section(name, title, heads=heads, rows=rows, nothing="Nothing.")


def _invoices(looking: Looking) -> Section | None:
    if not looking.may("invoicing.view_invoice"):
        return None
    customer = looking.customer
    found = Invoice.objects.filter(customer=customer).order_by("-period_start", "-id")
    rows, more = newest(found[: NEWEST + 1])
    applied = credit.applied_to([one.pk for one in rows])
    return Section(
        "invoices",
        "Invoices",
        heads=("Invoice", "Period", "Status", "Total", "Due", "Due on", "Paid"),
        rows=[
            (
                page(one, one),
                texts.span(texts.Period(one.period_start, one.period_end), one.time_zone),
                _status(one, looking),
                texts.amount(one.total_minor, one.currency),
                texts.amount(lifecycle.due_minor(one.status, one.total_minor, applied.get(one.pk, 0)), one.currency),
                "–" if one.due_at is None else f"{texts.local_date(one.due_at, one.time_zone)}",
                moment(one.paid_at),
            )
            for one in rows
        ],
        nothing="None yet.",
        links=[("All of its invoices", listed("invoicing_invoice", customer__id__exact=customer.pk))] if more else (),
    )


def _status(invoice: Invoice, looking: Looking) -> str:
    late = invoice.status == lifecycle.ISSUED and invoice.due_at is not None and invoice.due_at < looking.now
    return f"{invoice.get_status_display()}, overdue" if late else str(invoice.get_status_display())


def _notes(looking: Looking) -> Section | None:
    if not looking.may("invoicing.view_creditnote"):
        return None
    customer = looking.customer
    found: Any = CreditNote.objects.filter(customer=customer).order_by("-id").annotate(free=credit.FREE)
    rows, more = newest(found[: NEWEST + 1])
    address = listed("invoicing_creditnote", customer__id__exact=customer.pk)
    free: dict[str, int] = {}
    waits: Any = CreditNote.objects.filter(
        customer=customer, status=CreditNote.Status.ISSUED, destination=CreditNote.Destination.NEXT_INVOICE
    ).annotate(free=credit.FREE)
    for note in waits.filter(free__gt=0):
        free[note.currency] = free.get(note.currency, 0) + note.free
    balance = lines(texts.amount(amount, currency) for currency, amount in sorted(free.items()))
    return Section(
        "credit",
        "Credit",
        facts=[("Credit balance", balance or "none: nothing comes off the next invoices")],
        heads=("Credit note", "Status", "Total", "Free", "Why", "Issued (UTC)"),
        rows=[
            (
                page(one, one),
                one.get_status_display(),
                texts.amount(one.total_minor, one.currency),
                "–" if one.status == CreditNote.Status.DRAFT else texts.amount(one.free, one.currency),
                one.reason,
                moment(one.issued_at),
            )
            for one in rows
        ],
        nothing="No credit note.",
        links=[("All of its credit notes", address)] if more else (),
    )


def _parked(looking: Looking) -> Section | None:
    """Only where its billing failed."""
    if not looking.may("invoicing.view_parkedcustomer"):
        return None
    found = ParkedCustomer.objects.filter(customer=looking.customer).first()
    if found is None:
        return None
    facts: list[tuple[str, Any]] = [
        ("Why", link(reverse("admin:invoicing_parkedcustomer_change", args=[found.pk]), found.reason)),
        ("Since (UTC)", moment(found.since)),
        ("Attempts", f"{found.attempts:,}"),
    ]
    told = "Its billing failed; every run tries again, and the first that succeeds ends this."
    return Section("parked", "Billing failed", facts=facts, note=told)


register(5, _parked)
register(20, _running)
register(40, _invoices)
register(45, _notes)
