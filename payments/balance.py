"""The customer's balance at Stripe, as far as we move it: it holds the credit that their next invoices take."""

from datetime import datetime
from typing import Any

import stripe

from payments import customers
from payments.client import plain
from payments.errors import Refused
from payments.lines import shortened
from payments.steps import Work

DESCRIPTION = 350


def move(
    work: Work, name: str, customer_id: str, amount: int, *, currency: str, metadata: dict[str, str], description: str
) -> dict[str, Any]:
    """The transaction, made once, that adds ``amount`` in Stripe's units to what the customer owes; below zero it is
    credit. ``metadata`` is only its own: by it the transaction is found again.
    """
    request = {
        "amount": amount,
        "currency": currency.lower(),
        "description": shortened(description, DESCRIPTION),
        "metadata": metadata,
    }
    try:
        return work.step(
            name,
            request,
            lambda request, options: work.v1.customers.balance_transactions.create(customer_id, request, options),
            lambda begun_at: _find(work, customer_id, metadata, begun_at),
        )
    except Refused as problem:
        raise customers.deleted(work, customer_id) or problem from problem


def _find(work: Work, customer_id: str, metadata: dict[str, str], begun_at: datetime) -> stripe.StripeObject | None:
    """The transaction that bears the metadata, of those made since."""
    since = {"gte": int((begun_at - customers.SKEW).timestamp())}
    found = work.v1.customers.balance_transactions.list(customer_id, {"created": since, "limit": 100})
    for one in found.auto_paging_iter():
        if metadata == plain(one).get("metadata"):
            return one
    return None
