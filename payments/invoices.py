"""Operation `invoice`: our issued invoice as one of Stripe's, with a line for each of its lines, finalised where the
totals are the same, and sent.
"""

from datetime import datetime, timedelta
from typing import Any

import stripe
from django.db import transaction

from contracts.clocks import now_of
from contracts.domain.periods import Period
from invoicing.localised import period_text
from invoicing.models import Invoice, Status
from invoicing.printed.sheet import locale_of_parties
from invoicing.refusals import public_id
from payments import collecting, customers, lines, mirror, units
from payments.client import ask, bears, plain
from payments.errors import Later, Mismatch, Refused
from payments.models import StripeInvoice
from payments.steps import Work
from payments.words import t

METADATA = "holdfast_invoice"
MEMO, FIELD = 500, 140

Theirs = dict[str, Any]


def push(work: Work) -> None:
    """Make the invoice so at Stripe. It is finalised only where currency, number of lines, total and what is left to
    pay are ours; else it stays a draft there, and a person looks.
    """
    invoice = work.operation.invoice
    assert invoice is not None
    if invoice.total_minor < 0:
        raise Refused("Its total is below zero: Stripe has no such invoices.", code="total_below_zero")
    wanted, summed = lines.lines_of(invoice)
    method = collecting.method_of(invoice)
    customer_id = customers.ensure(work, invoice.customer)
    stripe_id = _draft(work, invoice, customer_id, method, lines.footer_of(invoice, summed))
    if wanted:
        _add_lines(work, invoice, stripe_id, wanted)
    theirs = _current(work, invoice, stripe_id)
    compare(invoice, theirs, len(wanted), method)
    if theirs["status"] == StripeInvoice.Status.DRAFT:
        _compare_balance(work, invoice, customer_id, theirs)
        theirs = work.step(
            "finalize",
            {"auto_advance": False},
            lambda request, options: work.v1.invoices.finalize_invoice(stripe_id, request, options),
            lambda begun_at: _unless(work, stripe_id, StripeInvoice.Status.DRAFT),
        )
        if "finalize" not in work.fresh:
            theirs = _current(work, invoice, stripe_id)
    _finalised(work, invoice, theirs)
    # What is paid or given up here meanwhile is neither sent nor charged.
    if theirs["status"] == StripeInvoice.Status.OPEN and invoice.status == Status.ISSUED:
        collecting.begin(work, invoice, stripe_id, method)


def _draft(work: Work, invoice: Invoice, customer_id: str, method: str, footer: str) -> str:
    """The id of the invoice's draft there; what stands of it here is made with it."""
    try:
        made = work.step(
            "invoice",
            _request(invoice, customer_id, method, footer, work.clock()),
            lambda request, options: work.v1.invoices.create(request, options),
            lambda begun_at: find(work, invoice, customer_id),
        )
    except Refused as problem:
        raise customers.deleted(work, customer_id) or problem from problem
    stripe_id = made["id"]
    if not StripeInvoice.objects.filter(invoice=invoice, stripe_id=stripe_id).exists():
        mirror.note(invoice.id, work.connection, made, now=work.clock())
    return stripe_id


def _add_lines(work: Work, invoice: Invoice, stripe_id: str, wanted: list[dict[str, Any]]) -> None:
    try:
        work.step(
            "lines",
            {"lines": wanted},
            lambda request, options: work.v1.invoices.add_lines(stripe_id, request, options),
            lambda begun_at: _with_lines(work, stripe_id),
        )
    except Refused:
        _current(work, invoice, stripe_id)  # It may be gone: then it is made anew.
        raise


def _request(invoice: Invoice, customer_id: str, method: str, footer: str, now: datetime) -> dict[str, Any]:
    locale = locale_of_parties(invoice.parties)
    request: dict[str, Any] = {
        "customer": customer_id,
        "currency": invoice.currency.lower(),
        "number": invoice.number,
        "auto_advance": False,
        "collection_method": method,
        # What lies about at the customer's is not ours.
        "pending_invoice_items_behavior": "exclude",
        "metadata": {
            METADATA: public_id(invoice),
            "holdfast_customer": invoice.customer.key[:500],
            "holdfast_hash": invoice.content_hash,
        },
    }
    if method == collecting.SEND:
        request |= _due(invoice, now)
    if invoice.kind != Invoice.Kind.ONE_OFF:
        period = period_text(Period(invoice.period_start, invoice.period_end), locale, invoice.time_zone)
        request["custom_fields"] = [{"name": t(locale, "field.period"), "value": period[:FIELD]}]
    memo = invoice.memo or (t(locale, "interim") if invoice.kind == Invoice.Kind.INTERIM else "")
    if memo:
        request["description"] = lines.shortened(memo, MEMO)
    if footer:
        request["footer"] = footer
    return request


def _due(invoice: Invoice, now: datetime) -> dict[str, Any]:
    """When it is to be paid: as on our invoice. Of one that is due already, at once. A test clock's days are counted
    from now.
    """
    assert invoice.due_at is not None
    left = invoice.due_at - now_of(invoice.customer, now)
    if left <= timedelta(minutes=5):
        return {"days_until_due": 0}
    return {"due_date": int((now + left).timestamp())}


def find(work: Work, invoice: Invoice, customer_id: str) -> stripe.StripeObject | None:
    """The invoice at Stripe that bears our invoice's id."""
    for one in work.v1.invoices.list({"customer": customer_id, "limit": 100}).auto_paging_iter():
        if bears(one, METADATA, public_id(invoice)) and one.status != StripeInvoice.Status.VOID:
            return one
    return None


def _with_lines(work: Work, stripe_id: str) -> stripe.StripeObject | None:
    """The invoice, if it has its lines: they are added all or none."""
    found = work.v1.invoices.retrieve(stripe_id)
    return found if found.lines.data else None


def _unless(work: Work, stripe_id: str, status: str) -> stripe.StripeObject | None:
    found = work.v1.invoices.retrieve(stripe_id)
    return None if found.status == status else found


def _current(work: Work, invoice: Invoice, stripe_id: str) -> Theirs:
    """The invoice as Stripe has it. Where the draft is gone, somebody deleted it: it is made anew."""
    theirs = mirror.read(work.client, stripe_id)
    if theirs is None:
        if StripeInvoice.objects.filter(invoice=invoice).exists():
            mirror.note(invoice.id, work.connection, None, now=work.clock())
        work.drop()
        raise Later(f"The draft {stripe_id} was deleted at Stripe: it is made anew.", code="draft_deleted")
    return theirs


# --- Comparing --------------------------------------------------------------------------------------------------------


def compare(invoice: Invoice, theirs: Theirs, lines_wanted: int, method: str) -> None:
    """Raise `Mismatch` where what Stripe would bill is not what we bill."""
    said = []
    if theirs["currency"].upper() != invoice.currency:
        said.append(f"the currency is {theirs['currency'].upper()}, not {invoice.currency}")
    total = units.to_stripe(invoice.total_minor, invoice.currency)
    if theirs["total"] != total:
        said.append(f"the total is {_told(theirs['total'], invoice)}, not {_told(total, invoice)}")
    count = theirs["lines"].get("total_count") or len(theirs["lines"]["data"])
    if not theirs["lines"].get("has_more") and count != lines_wanted:
        said.append(f"it has {count} lines, not {lines_wanted}")
    if theirs.get("number") != invoice.number:
        said.append(f"the number is {theirs.get('number')}, not {invoice.number}")
    if theirs["collection_method"] != method:
        said.append(f"the collection method is {theirs['collection_method']}, not {method}")
    if said:
        raise Mismatch(
            f"Stripe's invoice {theirs['id']} is not ours: {'; '.join(said)}. Mend it there, or delete the draft "
            "there, and try again."
        )


def _compare_balance(work: Work, invoice: Invoice, customer_id: str, theirs: Theirs) -> None:
    """Raise `Mismatch` where the customer's balance at Stripe would make what is to be paid differ from ours."""
    balance = _balance(work, customer_id, invoice.currency.lower())
    will_be = max(theirs["total"] + balance, 0)
    due, carried = mirror.due_at_issue(invoice), mirror.carried(invoice, work.connection)
    ours = max(due + carried, 0)
    # Of an invoice that credit covers, what is left of the credit covers what was carried, too, or a part of it.
    if will_be > ours or (due and will_be != ours):
        raise Mismatch(
            f"With the customer's balance at Stripe, {_told(balance, invoice)}, {_told(will_be, invoice)} would be to "
            f"pay, and by our credit notes it is {_told(ours, invoice)}. Set the balance right there, and try again."
        )


def _balance(work: Work, customer_id: str, currency: str) -> int:
    """What the customer owes by their balance in a currency; below zero it is credit."""
    customer = plain(ask(lambda: work.v1.customers.retrieve(customer_id, {"expand": ["invoice_credit_balance"]})))
    by_currency = customer.get("invoice_credit_balance")
    if isinstance(by_currency, dict):
        return int(by_currency.get(currency, 0))
    return int(customer["balance"]) if customer.get("currency") in (None, currency) else 0


@transaction.atomic
def _finalised(work: Work, invoice: Invoice, theirs: Theirs) -> None:
    """Note what Stripe made of it, with what it took from earlier invoices or leaves for later ones."""
    due = mirror.due_at_issue(invoice)
    seen = mirror.note(invoice.id, work.connection, theirs, now=work.clock())
    if due > 0:
        left = (theirs.get("ending_balance") or 0) - mirror.carried(invoice, work.connection)
    else:
        # What is left of the balance is credit; only what is to be paid takes off what was carried.
        left = -theirs["amount_due"]
    seen.carried, seen.taken = max(left, 0), max(-left, 0)
    seen.save(update_fields=["carried", "taken"])
    mirror.agrees(seen)


def _told(amount: int, invoice: Invoice) -> str:
    return units.told(amount, invoice.currency)
