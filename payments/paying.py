"""What is told of how an invoice is paid: in the API, in webhooks, in mails and in the portal."""

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from access.times import format_rfc3339
from invoicing.models import Invoice, Status
from payments.models import Dunning, StripeInvoice

_OVER = (Status.PAID, Status.VOID, Status.UNCOLLECTIBLE)


def pay_url(invoice: Invoice) -> str:
    """The page at Stripe on which the customer pays the invoice; empty where there is none, or nothing to pay."""
    seen = StripeInvoice.objects.filter(pk=invoice.pk).first()
    if seen is None or invoice.status not in (Status.ISSUED, Status.UNCOLLECTIBLE):
        return ""
    return _page_of(seen)


def failure_code(invoice: Invoice) -> str | None:
    """Why the last payment that was tried failed; None where none did."""
    seen = StripeInvoice.objects.filter(pk=invoice.pk).exclude(last_failure="").first()
    return None if seen is None else seen.last_failure_code


def _page_of(seen: StripeInvoice) -> str:
    payable = seen.status in (StripeInvoice.Status.OPEN, StripeInvoice.Status.UNCOLLECTIBLE)
    return seen.hosted_url if payable and seen.amount_remaining > 0 and is_safe(seen.hosted_url) else ""


def is_safe(url: str) -> bool:
    """Whether an address may be put before a customer: https; for local trials also this machine by http, never in
    production.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and settings.ENVIRONMENT != "production" and _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def payments_json(invoices: Sequence[Invoice]) -> Mapping[UUID, dict[str, Any]]:
    """``payment`` of each invoice (`invoicing.queries.INVOICE_DETAILS`): null where it neither is at Stripe nor has a
    dunning. Two queries.
    """
    wanted = [one.pk for one in invoices]
    there = StripeInvoice.objects.in_bulk(wanted)
    dunnings = {one.invoice_id: one for one in Dunning.objects.filter(invoice__in=wanted)}
    return {one.pk: {"payment": _payment_json(one, there.get(one.pk), dunnings.get(one.pk))} for one in invoices}


def _payment_json(invoice: Invoice, seen: StripeInvoice | None, dunning: Dunning | None) -> dict[str, Any] | None:
    if seen is None and dunning is None:
        return None
    owed = invoice.status in (Status.ISSUED, Status.UNCOLLECTIBLE)
    return {
        "hosted_url": (_page_of(seen) if seen is not None and owed else "") or None,
        "last_failure": None if seen is None or not seen.last_failure else _failure_json(seen),
        "dunning": None if dunning is None else dunning_json(dunning, invoice),
    }


def _failure_json(seen: StripeInvoice) -> dict[str, Any]:
    return {"code": seen.last_failure_code or None, "message": seen.last_failure}


def dunning_json(dunning: Dunning, invoice: Invoice) -> dict[str, Any]:
    """A dunning as the API shows it. It is over from the moment its invoice is paid, void or given up, though that is
    noted up to a minute later: then ``ended_at`` is still null.
    """
    over = dunning.ended_because or (invoice.status if invoice.status in _OVER else "")
    running = not over and not dunning.paused_at
    return {
        "kind": dunning.kind,
        "status": "ended" if over else dunning.status,
        "step": dunning.step,
        "next_at": _time(dunning.next_at) if running else None,
        "paused_because": None if over else dunning.paused_because or None,
        "ended_because": over or None,
        "started_at": _time(dunning.started_at),
        "ended_at": _time(dunning.ended_at),
    }


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else format_rfc3339(instant)
