"""The life of an invoice (https://docs.stripe.com/invoicing/integration/workflow-transitions)."""

from typing import Any

from tests.stripe_server import items, money, payments, shapes
from tests.stripe_server.catalogue import rates_named
from tests.stripe_server.customers import move_balance
from tests.stripe_server.errors import StripeFailure, missing, no_such, not_covered
from tests.stripe_server.params import merged_metadata
from tests.stripe_server.routing import route
from tests.stripe_server.world import Object, World

DAY, HOUR = 86_400, 3_600
COVERED = (
    "auto_advance automatic_tax automatically_finalizes_at collection_method custom_fields days_until_due "
    "default_payment_method default_tax_rates description due_date effective_at footer metadata number "
    "payment_settings rendering statement_descriptor"
)
# What may still be changed of an invoice that is no draft: "Some fields can be edited after finalizing".
AFTER_FINALIZING = {"auto_advance", "metadata", "default_payment_method"}
_PLAIN = ["auto_advance", "description", "footer", "statement_descriptor"]


def _changes(world: World, params: dict[str, Any], before: Object) -> Object:
    """The fields of an invoice that `params` set; all checks are here and nothing is done yet."""
    changes: Object = {name: params[name] if params[name] != "" else None for name in _PLAIN if name in params}
    method = changes["collection_method"] = params.get("collection_method") or before["collection_method"]
    if "days_until_due" in params and "due_date" in params:
        raise StripeFailure(
            "You may only specify one of these parameters: days_until_due, due_date.", code="parameters_exclusive"
        )
    for name in ("days_until_due", "due_date"):
        if name in params and method == "charge_automatically":
            raise StripeFailure(
                f"`{name}` can only be set on invoices with collection_method=send_invoice.", param=name
            )
    if "days_until_due" in params:
        if params["days_until_due"] < 0:
            raise StripeFailure(
                "Invalid non-negative integer", code="parameter_invalid_integer", param="days_until_due"
            )
        changes["due_date"] = before["created"] + params["days_until_due"] * DAY
    if "due_date" in params:
        if params["due_date"] <= world.clock.now():
            raise StripeFailure("The due date must be in the future.", param="due_date")
        changes["due_date"] = params["due_date"]
    if method == "send_invoice" and not changes.get("due_date") and not before["due_date"]:
        raise StripeFailure(
            "If invoices are sent, you must specify either `days_until_due` or `due_date`.", param="days_until_due"
        )
    if method == "send_invoice" and method != before["collection_method"]:
        _must_have_email(world.get("customer", before["customer"], "customer"))
    if method == "charge_automatically":
        changes["due_date"] = None
    if params.get("automatic_tax", {}).get("enabled"):
        raise not_covered("automatic_tax[enabled]=true")
    if "payment_settings" in params and params["payment_settings"].keys() - {"payment_method_types"}:
        raise not_covered("payment_settings other than payment_method_types")
    if "payment_settings" in params:
        types = params["payment_settings"].get("payment_method_types") or None
        changes["payment_settings"] = {**before["payment_settings"], "payment_method_types": types}
    if "default_tax_rates" in params:
        rates = rates_named(world, params["default_tax_rates"], "default_tax_rates")
        changes["default_tax_rates"] = [dict(rate) for rate in rates]
    if params.get("default_payment_method"):
        chosen = world.get("payment_method", params["default_payment_method"], "default_payment_method")
        if chosen["customer"] != before["customer"]:
            raise no_such("PaymentMethod", chosen["id"], "default_payment_method")
        changes["default_payment_method"] = chosen["id"]
    if "custom_fields" in params:
        if len(params["custom_fields"]) > 4:
            raise StripeFailure("You can add up to 4 custom fields.", param="custom_fields")
        changes["custom_fields"] = params["custom_fields"] or None
    if "rendering" in params:
        changes["rendering"] = shapes.part("invoice", "rendering", params["rendering"])
    if params.get("number"):
        if len(params["number"]) > 26:
            raise StripeFailure("Invoice numbers can have up to 26 characters.", param="number")
        if any(other["number"] == params["number"] and other is not before for other in world.all("invoice")):
            raise StripeFailure(f"The invoice number {params['number']} is already in use.", param="number")
    for name in ("number", "effective_at", "automatically_finalizes_at"):
        if name in params:
            changes[name] = params[name] or None
    if "metadata" in params:
        changes["metadata"] = merged_metadata(before["metadata"], params["metadata"])
    return changes


@route(
    "POST",
    "/v1/invoices",
    "invoices.create",
    "InvoiceCreateParams",
    COVERED + " currency customer pending_invoice_items_behavior",
)
def create(world: World, params: dict[str, Any]) -> Object:
    if not params.get("customer"):
        raise missing("customer")
    customer = world.get("customer", params["customer"], "customer")
    currency = money.check_currency(params.get("currency") or customer["currency"] or "usd")
    pending: list[Object] = []
    if params.get("pending_invoice_items_behavior") == "include":
        pending = [
            item
            for item in reversed(world.all("invoiceitem"))
            if item["customer"] == customer["id"] and item["invoice"] is None and item["currency"] == currency
        ][: items.MAXIMUM_ITEMS]
    now = world.clock.now()
    blank = {
        "collection_method": "charge_automatically",
        "created": now,
        "customer": customer["id"],
        "due_date": None,
        "metadata": {},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
    }
    changes = _changes(world, params, blank)
    zero = "amount_due amount_overpaid amount_paid amount_remaining amount_shipping attempt_count "
    zero += "post_payment_credit_notes_amount pre_payment_credit_notes_amount starting_balance subtotal total"
    fields = {
        **dict.fromkeys(zero.split(), 0),
        "account_country": "US",
        "account_name": "Holdfast test account",
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": {
            "disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None
        },
        "billing_reason": "manual",
        "currency": currency,
        "customer_tax_exempt": customer["tax_exempt"],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "period_end": now,
        "period_start": now,
        "status": "draft",
        "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        "subtotal_excluding_tax": 0,
        "total_discount_amounts": [],
        "total_excluding_tax": 0,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        **blank,
        **changes,
    }  # fmt: skip
    invoice = world.add("invoice", "in", **fields)
    customer["currency"] = customer["currency"] or currency
    _copy_customer(world, invoice)
    _schedule(world, invoice)
    for item in pending:
        items.put_on(world, item, invoice)
    items.retotal(world, invoice)
    world.emit("invoice.created", invoice)
    return invoice


def _copy_customer(world: World, invoice: Object) -> None:
    """The invoice follows the customer until it is finalised, and keeps what it then says."""
    customer = world.get("customer", invoice["customer"], "customer")
    for name in ("address", "email", "name", "phone", "shipping", "tax_exempt"):
        invoice[f"customer_{name}"] = customer[name]
    invoice["customer_tax_ids"] = list(world.tax_ids[customer["id"]])


def _schedule(world: World, invoice: Object) -> None:
    """An advancing draft is finalised about an hour after it was made; one that does not advance stays a draft."""
    if not invoice["auto_advance"]:
        invoice["automatically_finalizes_at"] = None
    elif invoice["status"] == "draft" and invoice["automatically_finalizes_at"] is None:
        invoice["automatically_finalizes_at"] = invoice["created"] + HOUR
    if invoice["automatically_finalizes_at"]:
        world.advancing[invoice["id"]] = None
    else:
        world.advancing.pop(invoice["id"], None)


def advance(world: World) -> None:
    """Finalise the drafts whose time has come: what Stripe does by itself. One that cannot be says so once."""
    for id in list(world.advancing):
        invoice = world.get("invoice", id)
        due_now = invoice["automatically_finalizes_at"] <= world.clock.now()
        if not due_now:
            continue
        try:
            finalize(world, invoice)
        except StripeFailure as failure:
            del world.advancing[id]
            with world.updating(invoice, "invoice.updated", "invoice.finalization_failed"):
                invoice["last_finalization_error"] = failure.error


@route("POST", "/v1/invoices/{id}", "invoices.update", "InvoiceUpdateParams", COVERED)
def update(world: World, params: dict[str, Any], id: str) -> Object:
    invoice = world.get("invoice", id)
    if invoice["status"] != "draft" and params.keys() - AFTER_FINALIZING:
        name = sorted(params.keys() - AFTER_FINALIZING)[0]
        raise StripeFailure(
            f"Finalized invoices can't be updated in this way: {name} can only be set on a draft.",
            code="invoice_not_editable",
            param=name,
        )
    changes = _changes(world, params, invoice)
    with world.updating(invoice, "invoice.updated"):
        invoice.update(changes)
        if invoice["status"] == "draft":
            _schedule(world, invoice)
            items.retotal(world, invoice)
    return invoice


@route("DELETE", "/v1/invoices/{id}", "invoices.delete", "InvoiceDeleteParams")
def delete(world: World, params: dict[str, Any], id: str) -> Object:
    """Drafts only. Their items go too."""
    invoice = world.get("invoice", id)
    if invoice["status"] != "draft":
        raise StripeFailure("You can only delete draft invoices.", code="invoice_not_editable")
    world.advancing.pop(id, None)
    for line in world.lines.pop(id, []):
        world.delete(items.item_of(world, line))
    world.emit("invoice.deleted", invoice)
    return world.delete(invoice)


@route("POST", "/v1/invoices/{id}/add_lines", "invoices.add_lines", "InvoiceAddLinesParams", "invoice_metadata lines")
def add_lines(world: World, params: dict[str, Any], id: str) -> Object:
    """All the lines or none."""
    invoice = world.get("invoice", id)
    items.must_be_draft(invoice)
    customer = world.get("customer", invoice["customer"], "customer")
    items.check_room(world, invoice, len(params["lines"]))
    metadata = merged_metadata(invoice["metadata"], params.get("invoice_metadata"), "invoice_metadata")
    allowed = set(items.COVERED.split()) | {"invoice_item"}
    for n, line in enumerate(params["lines"]):
        if unknown := line.keys() - allowed:
            raise not_covered(f"lines[{n}][{sorted(unknown)[0]}]")
        if "invoice_item" in line:
            pending = world.get("invoiceitem", line["invoice_item"], f"lines[{n}][invoice_item]")
            if pending["invoice"] is not None or pending["customer"] != customer["id"]:
                raise StripeFailure("The invoice item is already on an invoice.", param=f"lines[{n}][invoice_item]")
        else:
            items.checked(world, line, invoice["currency"], None, f"lines[{n}]")
    with world.updating(invoice, "invoice.updated"):
        invoice["metadata"] = metadata
        for n, line in enumerate(params["lines"]):
            if "invoice_item" in line:
                items.put_on(world, world.get("invoiceitem", line["invoice_item"]), invoice)
            else:
                items.make_item(world, customer, invoice["currency"], line, f"lines[{n}]", invoice)
        items.retotal(world, invoice)
    return invoice


@route("POST", "/v1/invoices/{id}/finalize", "invoices.finalize", "InvoiceFinalizeInvoiceParams", "auto_advance")
def finalize_invoice(world: World, params: dict[str, Any], id: str) -> Object:
    invoice = world.get("invoice", id)
    if invoice["status"] != "draft":
        raise StripeFailure("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    finalize(world, invoice, params.get("auto_advance"))
    return invoice


def finalize(world: World, invoice: Object, auto_advance: bool | None = None) -> None:
    """Draft to open, or to paid at once where nothing is due. The customer's balance is applied."""
    customer = world.get("customer", invoice["customer"], "customer")
    if not world.lines[invoice["id"]]:
        raise StripeFailure(
            f"Nothing to invoice for customer {customer['id']}", code="invoice_no_customer_line_items", param="customer"
        )
    now = world.clock.now()
    with world.updating(invoice, "invoice.updated", "invoice.finalized"):
        _copy_customer(world, invoice)
        items.retotal(world, invoice)
        money.check_amount(invoice["amount_due"], invoice["currency"], "amount_due")
        due, ending = items.due_of(invoice["total"], invoice["starting_balance"], invoice["currency"])
        if invoice["number"] is None:
            invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
            customer["next_invoice_sequence"] += 1
        invoice.update(
            status="open",
            auto_advance=invoice["auto_advance"] if auto_advance is None else auto_advance,
            automatically_finalizes_at=None,
            effective_at=invoice["effective_at"] or now,
            ending_balance=ending,
            hosted_invoice_url=f"{world.url}/i/{world.account}/{_mode(world)}/{invoice['id']}",
            invoice_pdf=f"{world.url}/i/{world.account}/{_mode(world)}/{invoice['id']}/pdf",
        )
        invoice["status_transitions"]["finalized_at"] = now
    world.advancing.pop(invoice["id"], None)
    world.record(
        "finalized",
        invoice["id"],
        lines=[
            (line["amount"], [(rate["percentage"], rate["inclusive"]) for rate in items.rates_of(world, invoice, line)])
            for line in world.lines[invoice["id"]]
        ],
        taxed=invoice["customer_tax_exempt"] == "none",
        starting=invoice["starting_balance"],
        ending=ending,
    )
    too_small = due == 0 and ending > 0 and invoice["total"] > 0
    move_balance(
        world,
        customer,
        invoice["currency"],
        ending - invoice["starting_balance"],
        "invoice_too_small" if too_small else "applied_to_invoice",
        invoice["id"],
    )
    if due == 0:
        mark_paid(world, invoice)
        return
    payments.open_intent(world, invoice)
    if invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        method = _default_method(world, invoice)
        if method is not None:
            collect(world, invoice, method)


def _mode(world: World) -> str:
    return "live" if world.livemode else "test"


def _default_method(world: World, invoice: Object) -> Object | None:
    customer = world.get("customer", invoice["customer"], "customer")
    id = invoice["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    return payments.method_named(world, id, "payment_method") if id else None


def mark_paid(world: World, invoice: Object) -> None:
    """The end of an open invoice of which nothing remains."""
    with world.updating(invoice, "invoice.updated", "invoice.paid", "invoice.payment_succeeded"):
        invoice.update(status="paid", attempted=True, auto_advance=False, next_payment_attempt=None)
        invoice["status_transitions"]["paid_at"] = world.clock.now()


def collect(world: World, invoice: Object, method: Object) -> StripeFailure | None:
    """Try to take what remains from `method`; the failure if it declines."""
    invoice["attempt_count"] += 1
    failure = payments.charge(world, invoice, method)
    if failure is not None:
        with world.updating(invoice, "invoice.updated", "invoice.payment_failed"):
            invoice["attempted"] = True
        return failure
    invoice["amount_paid"] += invoice["amount_remaining"]
    invoice["amount_remaining"] = 0
    mark_paid(world, invoice)
    return None


@route(
    "POST",
    "/v1/invoices/{id}/pay",
    "invoices.pay",
    "InvoicePayParams",
    "forgive off_session paid_out_of_band payment_method",
)
def pay(world: World, params: dict[str, Any], id: str) -> Object:
    invoice = world.get("invoice", id)
    if params.get("forgive"):
        raise not_covered("forgive=true")
    if invoice["status"] == "paid":
        raise StripeFailure("Invoice is already paid")
    if invoice["status"] == "void":
        raise StripeFailure("Voided invoices cannot be paid.")
    world.get("customer", invoice["customer"], "customer")
    out_of_band = params.get("paid_out_of_band", False)
    method = None
    if params.get("payment_method"):
        method = payments.method_named(world, params["payment_method"], "payment_method")
        if method["customer"] not in (None, invoice["customer"]):
            raise no_such("PaymentMethod", method["id"], "payment_method")
    elif not out_of_band:
        method = _default_method(world, invoice)
        if method is None:
            raise StripeFailure(
                "There is no `default_payment_method` set on this Customer or Invoice. Please attach a payment method "
                "to charge it.",
                param="payment_method",
            )
    if invoice["status"] == "draft":
        finalize(world, invoice)
        if invoice["status"] == "paid":
            return invoice
    if out_of_band:
        payments.pay_out_of_band(world, invoice)
        invoice["amount_paid"] += invoice["amount_remaining"]
        invoice["amount_remaining"] = 0
        mark_paid(world, invoice)
        return invoice
    assert method is not None
    failure = collect(world, invoice, method)
    if failure is not None:
        raise failure
    return invoice


def _must_have_email(customer: Object) -> None:
    if not customer["email"]:
        raise StripeFailure(
            "Missing email. In order to create invoices that are sent to the customer, the customer must have a valid "
            "email.",
            param="customer",
        )


@route("POST", "/v1/invoices/{id}/send", "invoices.send", "InvoiceSendInvoiceParams")
def send(world: World, params: dict[str, Any], id: str) -> Object:
    """A draft is finalised first. No e-mail leaves a sandbox, and none leaves here."""
    invoice = world.get("invoice", id)
    if invoice["collection_method"] != "send_invoice":
        raise StripeFailure("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] not in ("draft", "open"):
        raise StripeFailure(f"You can't send an invoice that is {invoice['status']}.")
    _must_have_email(world.get("customer", invoice["customer"], "customer"))
    if invoice["status"] == "draft":
        finalize(world, invoice)
    world.emit("invoice.sent", invoice)
    return invoice


@route("POST", "/v1/invoices/{id}/void", "invoices.void", "InvoiceVoidInvoiceParams")
def void(world: World, params: dict[str, Any], id: str) -> Object:
    invoice = world.get("invoice", id)
    if invoice["status"] not in ("open", "uncollectible"):
        raise StripeFailure(
            f"You can only pass in open or uncollectible invoices. This invoice is {invoice['status']}.",
            param="invoice",
        )
    payments.cancel_intent(world, invoice, "void_invoice")
    world.record("voided", id)
    with world.updating(invoice, "invoice.updated", "invoice.voided"):
        invoice.update(status="void", auto_advance=False)
        invoice["status_transitions"]["voided_at"] = world.clock.now()
    customer = world.by_kind["customer"].get(invoice["customer"])
    if customer is not None:
        applied = invoice["ending_balance"] - invoice["starting_balance"]
        move_balance(world, customer, invoice["currency"], -applied, "unapplied_from_invoice", id)
    return invoice


@route("POST", "/v1/invoices/{id}/mark_uncollectible", "invoices.mark_uncollectible", "InvoiceMarkUncollectibleParams")
def mark_uncollectible(world: World, params: dict[str, Any], id: str) -> Object:
    """Still to be paid, should the money come."""
    invoice = world.get("invoice", id)
    if invoice["status"] != "open":
        raise StripeFailure(
            f"You can only mark open invoices as uncollectible. This invoice is {invoice['status']}.", param="invoice"
        )
    world.record("marked_uncollectible", id)
    with world.updating(invoice, "invoice.updated", "invoice.marked_uncollectible"):
        invoice.update(status="uncollectible", auto_advance=False)
        invoice["status_transitions"]["marked_uncollectible_at"] = world.clock.now()
    return invoice
