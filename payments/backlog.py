"""Invoices that were issued before Stripe was connected: they go there where somebody asks for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from access import ids
from access.errors import ApiError
from invoicing import credit
from invoicing.models import Invoice, Status
from invoicing.refusals import INVOICE_PREFIX, locked
from payments.connections import audience_of
from payments.models import Connection, Operation

KINDS = {Status.PAID: Operation.Kind.PAID, Status.UNCOLLECTIBLE: Operation.Kind.UNCOLLECTIBLE}
"""What follows the invoice itself, so that it ends there as it did here."""


@dataclass(frozen=True)
class Answer:
    """What became of one invoice: noted down (``left`` is empty), or left, and why."""

    invoice: Invoice
    left: str

    @property
    def noted(self) -> bool:
        return not self.left


def find(name: str) -> Invoice:
    """An invoice by its number or its id. ApiError 404 where there is none."""
    if name.startswith(f"{INVOICE_PREFIX}_"):
        try:
            found = Invoice.objects.filter(pk=ids.decode(INVOICE_PREFIX, name)).first()
        except ValueError as error:
            raise ApiError(404, "not_found", f"There is no invoice {name}: {error}.") from error
    else:
        found = Invoice.objects.filter(number=name).first()
    if found is None:
        raise ApiError(404, "not_found", f"There is no invoice {name}: give its number, or its id (inv_…).")
    return found


def issued(*, since: datetime | None = None, customer: str | None = None, closed: bool = False) -> QuerySet[Invoice]:
    """Those that `note_down` may take: what is to be paid, with ``closed`` also what is paid or given up; without what
    is noted already. ``since`` is when they were issued.
    """
    found = Invoice.objects.filter(status__in=[Status.ISSUED, *(KINDS if closed else ())])
    if since is not None:
        found = found.filter(issued_at__gte=since)
    if customer is not None:
        found = found.filter(customer__key=customer)
    return found.exclude(stripe_operations__kind=Operation.Kind.INVOICE)


def note_down(
    invoice_ids: Iterable[UUID], *, closed: bool = False, now: datetime, dry_run: bool = False
) -> list[Answer]:
    """Note invoices to be made so at Stripe, in the order in which they were issued, each in a transaction of its own.
    One that is noted already is left, so this may be repeated and may run twice at once.
    """
    in_order = Invoice.objects.filter(pk__in=list(invoice_ids)).order_by("issued_at", "number", "id")
    return [_note(pk, closed, now, dry_run=dry_run) for pk in in_order.values_list("pk", flat=True)]


@transaction.atomic
def _note(invoice_id: UUID, closed: bool, now: datetime, *, dry_run: bool) -> Answer:
    # Paid or voided meanwhile, it would not be noted by the trigger as well: so it is locked as those do.
    invoice = locked(invoice_id)
    left = _why_not(invoice, closed)
    if not left and not dry_run:
        _want(invoice, Operation.Kind.INVOICE, now)
        if (then := KINDS.get(Status(invoice.status))) is not None:
            _want(invoice, then, now)
    return Answer(invoice, left)


def _want(invoice: Invoice, kind: str, now: datetime) -> None:
    Operation.objects.get_or_create(
        kind=kind,
        customer_id=invoice.customer_id,
        invoice=invoice,
        credit_note=None,
        application=None,
        number=1,
        defaults={"created_at": now},
    )


def _why_not(invoice: Invoice, closed: bool) -> str:
    known = Operation.objects.filter(invoice=invoice, kind=Operation.Kind.INVOICE).first()
    audience = audience_of(invoice.customer)
    if known is not None:
        return f"it was noted before ({known.public_id}, {known.status})"
    if invoice.status == Status.DRAFT:
        return "it is a draft: it goes to Stripe by itself when it is issued"
    if invoice.status == Status.VOID:
        return "it is void: there is nothing to pay"
    if invoice.status in KINDS and not closed:
        return f"it is {invoice.status}: with --all it goes there as such, without being sent or charged"
    if invoice.credits or credit.applied_to([invoice.id]) or credit.credited([invoice.id]):
        return "credit notes stand on it, and Stripe does not know them: collect here what is left to pay"
    if not Connection.objects.filter(audience=audience).exists():
        return f"Stripe is not connected for it: manage.py stripe connect --{audience}"
    return ""
