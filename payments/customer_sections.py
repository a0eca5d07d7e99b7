"""What a customer's page in the admin shows of Stripe (`contracts.customer_page`)."""

from typing import Any

from contracts.customer_page import (
    NEWEST,
    Looking,
    Section,
    counted,
    lines,
    listed,
    moment,
    newest,
    page,
    register,
)
from payments.admin_objects import dashboard, operation_link
from payments.connections import mode_of
from payments.models import Dunning, Operation, StripeCustomer, StripeInvoice


def _stripe(looking: Looking) -> Section | None:
    if not looking.may("payments.view_stripecustomer"):
        return None
    customer = looking.customer
    there = StripeCustomer.objects.filter(customer=customer).order_by("-id")[:NEWEST]
    facts: list[tuple[str, Any]] = [
        ("Customer at Stripe", lines(_there(one) for one in there) or "not known there"),
    ]
    rows: list[Any] = []
    links = []
    if looking.may("payments.view_operation"):
        found = Operation.objects.filter(
            customer=customer, status__in=(Operation.Status.WAITING, Operation.Status.PARKED)
        )
        rows, more = newest(found.select_related("invoice", "credit_note").order_by("id")[: NEWEST + 1])
        facts.append(
            ("Waiting or parked", counted(len(rows) + more, NEWEST) if rows else "nothing: all of it is there")
        )
        if more:
            links.append(("All of its operations", listed("payments_operation", q=customer.key)))
    if looking.may("payments.view_stripeinvoice"):
        differ = StripeInvoice.objects.exclude(mismatch="").filter(invoice__customer=customer).select_related("invoice")
        said = lines(page(one, f"{one.invoice}: {one.mismatch}") for one in differ[:NEWEST])
        facts.append(("Differs from ours", said or "nothing"))
        links.append(("Its invoices at Stripe", listed("payments_stripeinvoice", q=customer.key)))
    return Section(
        "stripe",
        "Stripe",
        facts=facts,
        heads=("Operation", "State", "Why", "Attempts", "Since (UTC)"),
        rows=[
            (
                operation_link(one),
                one.get_status_display(),
                one.reason or "–",
                f"{one.attempts:,}",
                moment(one.created_at),
            )
            for one in rows
        ],
        links=links,
    )


def _there(one: StripeCustomer) -> Any:
    return lines([dashboard(one.stripe_id, one.livemode), f"{mode_of(one.livemode)}, account {one.account}"])


def _dunning(looking: Looking) -> Section | None:
    """Only where an invoice is being asked for."""
    if not looking.may("payments.view_dunning"):
        return None
    found = Dunning.objects.filter(invoice__customer=looking.customer, ended_at=None).select_related("invoice")
    rows, _ = newest(found.order_by("-id")[: NEWEST + 1])
    if not rows:
        return None
    return Section(
        "dunning",
        "Dunning",
        heads=("Invoice", "Kind", "Step", "Next (UTC)", "Since (UTC)"),
        rows=[
            (page(one, one.invoice), one.get_kind_display(), one.step, moment(one.next_at), moment(one.started_at))
            for one in rows
        ],
    )


register(50, _dunning)
register(70, _stripe)
