"""A customer at Stripe: made once, told what changed since, found again by its metadata."""

from datetime import datetime, timedelta
from typing import Any

import stripe

from contracts.models import Customer
from payments.client import ask, bears, plain
from payments.errors import Refused
from payments.models import Operation, StripeCustomer
from payments.steps import Work

METADATA = "holdfast_customer"
DELETED = "customer_deleted"
# Clocks differ: what is looked for may seem to be made a little before it was asked for.
SKEW = timedelta(minutes=5)


def want(customer: Customer, *, now: datetime) -> None:
    """Have the customer made known to Stripe, where it is not; see `stripe_id_of`. Safe to repeat.

    One that was made known before, to an account that is not connected any more, is made known anew.
    """
    before = Operation.objects.filter(kind=Operation.Kind.CUSTOMER, customer=customer).order_by("-number").first()
    number = 1 if before is None else before.number + (before.status == Operation.Status.DONE)
    Operation.objects.get_or_create(
        kind=Operation.Kind.CUSTOMER,
        customer=customer,
        invoice=None,
        credit_note=None,
        application=None,
        number=number,
        defaults={"created_at": now},
    )


def stripe_id_of(customer: Customer, account: str, livemode: bool) -> str | None:
    """The customer's id in an account, None where it is not known there yet."""
    found = StripeCustomer.objects.filter(customer=customer, account=account, livemode=livemode)
    return found.values_list("stripe_id", flat=True).first()


def make_known(work: Work) -> None:
    """Operation `customer`."""
    ensure(work, work.operation.customer)


def ensure(work: Work, customer: Customer) -> str:
    """The customer's id at Stripe, where it is made if need be and told what changed.

    One that turned out to be deleted there (`deleted`) is made anew when a person has the operation tried again.
    """
    account, livemode = work.connection.account, work.connection.livemode
    known = StripeCustomer.objects.filter(customer=customer, account=account, livemode=livemode).first()
    wanted = request_of(customer)
    if known is not None and work.operation.code == DELETED and is_deleted(work, known.stripe_id):
        known.delete()
        known = None
        work.operation.steps.filter(name="customer").update(dropped=True)
    if known is None:
        made = work.step(
            "customer",
            wanted,
            lambda request, options: work.v1.customers.create(request, options),
            lambda begun_at: _find(work, customer, begun_at),
        )
        known = StripeCustomer.objects.create(
            customer=customer,
            account=account,
            livemode=livemode,
            stripe_id=made["id"],
            sent=wanted,
            created_at=work.clock(),
        )
    elif known.sent != wanted:
        stripe_id = known.stripe_id
        try:
            ask(lambda: work.v1.customers.update(stripe_id, wanted))
        except Refused as problem:
            raise deleted(work, stripe_id) or problem from problem
        known.sent = wanted
        known.save(update_fields=["sent"])
    return known.stripe_id


def request_of(customer: Customer) -> dict[str, Any]:
    """What Stripe is told of a customer. Setting the same twice changes nothing, so this needs no key."""
    return {
        "name": customer.name,
        # An empty text takes away what was there.
        "email": customer.email,
        "description": f"Holdfast customer {customer.key}"[:350],
        "preferred_locales": [customer.locale],
        "metadata": {METADATA: customer.key[:500]},
    }


def deleted(work: Work, stripe_id: str) -> Refused | None:
    """Why nothing can be made for a customer that Stripe says is missing; None where it is there after all."""
    if not is_deleted(work, stripe_id):
        return None
    return Refused(
        f"Customer {stripe_id} was deleted at Stripe. Try again to have it made anew there; what it has not paid, or "
        "has as credit, has to be seen to by hand.",
        code=DELETED,
    )


def is_deleted(work: Work, stripe_id: str) -> bool:
    """Whether Stripe no longer has it."""
    return bool(plain(ask(lambda: work.v1.customers.retrieve(stripe_id))).get("deleted"))


def _find(work: Work, customer: Customer, begun_at: datetime) -> stripe.StripeObject | None:
    """One that was made since and bears our key. The list is up to date at once; Stripe's search is not."""
    since = int((begun_at - SKEW).timestamp())
    for one in work.v1.customers.list({"created": {"gte": since}, "limit": 100}).auto_paging_iter():
        if bears(one, METADATA, customer.key[:500]):
            return one
    return None
