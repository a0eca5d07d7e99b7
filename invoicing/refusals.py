"""Finding an invoice under lock, and saying no to what its state does not allow."""

from uuid import UUID

from access import error_codes, ids
from access.errors import ApiError
from contracts.models import Customer
from invoicing.domain import lifecycle
from invoicing.models import Invoice

INVOICE_PREFIX = "inv"
LINE_PREFIX = "line"

error_codes.register(
    {
        "invoice_not_draft": "Only a draft can be issued; what is issued never changes.",
        "invoice_not_open": "Only an issued, unpaid invoice can be paid or voided: see its `available_actions`.",
        "nothing_to_bill": "Nothing on the draft is billable any more; the next billing run removes it.",
        "no_contract": "The customer has no contract at this time: agree one with POST /v1/contracts.",
    }
)


def public_id(invoice: Invoice) -> str:
    """``inv_…``, as the API names it."""
    return ids.encode(INVOICE_PREFIX, invoice.id)


def not_found(invoice_id: UUID) -> ApiError:
    """404 for an invoice that is not there."""
    return ApiError(404, "not_found", f"There is no invoice {ids.encode(INVOICE_PREFIX, invoice_id)}.")


def locked(invoice_id: UUID) -> Invoice:
    """The invoice, with its customer's row and its own locked until the transaction ends. ApiError 404 without it.

    Customer first: that is the order in which everything that bills takes its locks.
    """
    customer_id = Invoice.objects.filter(pk=invoice_id).values_list("customer_id", flat=True).first()
    if customer_id is None:
        raise not_found(invoice_id)
    Customer.objects.select_for_update(no_key=True).get(pk=customer_id)
    # A run may have removed the draft while we waited for the customer.
    invoice = Invoice.objects.select_for_update(no_key=True, of=("self",)).filter(pk=invoice_id).first()
    if invoice is None:
        raise not_found(invoice_id)
    return invoice


def refuse_unless_allowed(invoice: Invoice, action: str) -> None:
    """ApiError 409 where the invoice's state does not allow the action."""
    if lifecycle.allowed(invoice.status, action):
        return
    name = invoice.number or public_id(invoice)
    if action == lifecycle.ISSUE:
        message = f"Invoice {name} is {invoice.status}: only a draft can be issued."
        raise ApiError(409, "invoice_not_draft", message)
    done = "marked as paid" if action == lifecycle.MARK_PAID else "voided"
    message = f"Invoice {name} is {invoice.status} and cannot be {done}: that takes an issued invoice that is not paid."
    raise ApiError(409, "invoice_not_open", message)


def nothing_left(invoice: Invoice) -> ApiError:
    """409 for a draft that has run empty."""
    message = f"Nothing on draft {public_id(invoice)} is billable any more: the next billing run removes it."
    return ApiError(409, "nothing_to_bill", message)
