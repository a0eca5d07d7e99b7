"""What stands at Stripe and bears our ids, and is not known here: a backup was restored that is older than it. It is
known again, and nothing of it is made a second time.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from contracts.models import Customer
from invoicing.models import Invoice
from payments import mirror, operations
from payments.models import Connection, Operation, Step, StripeCustomer

# The calls of which Stripe is asked whether they happened, before any of them is made.
_STEPS = ("invoice", "lines", "finalize", "send")
# Clocks differ: what is looked for may seem to be made a little before it was asked for.
_SKEW = timedelta(hours=1)


def customer(ours: Customer, theirs: dict[str, Any], connection: Connection, *, now: datetime) -> bool:
    """Take a customer at Stripe for ours, whose key it bears; False where ours has one already. What it is told is told
    again with the next document.
    """
    _, new = StripeCustomer.objects.get_or_create(
        customer=ours,
        account=connection.account,
        livemode=connection.livemode,
        defaults={"stripe_id": theirs["id"], "created_at": now},
    )
    return new


@transaction.atomic
def invoice(ours: Invoice, theirs: dict[str, Any], connection: Connection, *, now: datetime) -> None:
    """Take an invoice at Stripe for ours, whose id it bears.

    Where it is still to be made so there, its operation asks for each of its calls whether it happened, compares what
    it finds, and goes on from there. Else what Stripe says of it is noted.
    """
    operation = Operation.objects.filter(kind=Operation.Kind.INVOICE, invoice=ours).first()
    if operation is None or operation.finished_at is not None:
        mirror.note(ours.id, connection, theirs, now=now)
        return
    begun_at = datetime.fromtimestamp(theirs["created"], UTC) - _SKEW
    for name in _STEPS:
        Step.objects.get_or_create(
            operation=operation,
            name=name,
            epoch=1,
            defaults={"key": f"{operation.public_id}.{name}.1", "begun_at": begun_at, "stale": True},
        )
    operations.retry(operation.id, now=now, by="reconciliation")
