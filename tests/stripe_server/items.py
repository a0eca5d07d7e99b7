"""Invoice items and the lines of invoices behind which they stand (https://docs.stripe.com/api/invoiceitems)."""

from decimal import Decimal
from typing import Any

from tests.stripe_server import money
from tests.stripe_server.catalogue import rates_named
from tests.stripe_server.errors import StripeFailure, missing, not_covered
from tests.stripe_server.params import LINE_DESCRIPTION_LENGTH, check_length, merged_metadata
from tests.stripe_server.routing import route, within
from tests.stripe_server.world import Object, World

MAXIMUM_ITEMS = 250  # https://docs.stripe.com/changelog/2016-02-22/no-more-than-250-invoice-items
COVERED = "amount description discountable metadata period quantity quantity_decimal tax_rates unit_amount_decimal"


def must_be_draft(invoice: Object) -> None:
    if invoice["status"] != "draft":
        raise StripeFailure(
            "This invoice is no longer editable: its items can only be changed while it is a draft.",
            code="invoice_not_editable",
        )


def checked(
    world: World, params: dict[str, Any], currency: str, before: Object | None, at: str = ""
) -> tuple[Object, list[Object] | None]:
    """The fields of an item that `params` set, and its tax rates where they are given; checked, and nothing done."""

    def param(name: str) -> str:
        return f"{at}[{name}]" if at else name

    if "price_data" in params:
        raise not_covered(param("price_data"))
    check_length(params.get("description"), LINE_DESCRIPTION_LENGTH, param("description"))
    fields: Object = {}
    unit = params.get("unit_amount_decimal")
    quantity = params.get("quantity")
    if quantity is not None and quantity < 0:
        raise StripeFailure("Invalid non-negative integer", code="parameter_invalid_integer", param=param("quantity"))
    if "quantity_decimal" in params:
        quantity = params["quantity_decimal"]
    if "amount" in params:
        if unit is not None or quantity is not None:
            raise StripeFailure(
                "You may only specify one of these parameters: amount, quantity.",
                code="parameters_exclusive",
                param=param("amount"),
            )
        fields |= {"amount": money.check_amount(params["amount"], currency, param("amount")), "quantity": 1}
        unit, quantity = Decimal(params["amount"]), Decimal(1)
    elif unit is not None or quantity is not None:
        if unit is None:
            if before is None:
                raise missing(param("unit_amount_decimal"))
            unit = Decimal(before["pricing"]["unit_amount_decimal"])
        quantity = Decimal(quantity if quantity is not None else before["quantity_decimal"] if before else 1)
        amount = money.rounded(unit * quantity)
        fields |= {"amount": money.check_amount(amount, currency, param("unit_amount_decimal"))}
        fields |= {"quantity": int(quantity)}
    elif before is None:
        raise missing(param("amount"))
    if unit is not None and quantity is not None:
        fields["quantity_decimal"] = str(quantity)
        fields["pricing"] = {"price_details": None, "type": "price_details", "unit_amount_decimal": str(unit)}
    if "description" in params:
        fields["description"] = params["description"] or None
    if "discountable" in params:
        fields["discountable"] = params["discountable"]
    if "period" in params:
        if params["period"]["start"] > params["period"]["end"]:
            raise StripeFailure("period[start] must be before period[end]", param=param("period"))
        fields["period"] = params["period"]
    if "metadata" in params or before is None:
        old = before["metadata"] if before else {}
        fields["metadata"] = merged_metadata(old, params.get("metadata"), param("metadata"))
    rates = rates_named(world, params["tax_rates"], param("tax_rates")) if "tax_rates" in params else None
    return fields, rates


def check_room(world: World, invoice: Object, more: int) -> None:
    if len(world.lines[invoice["id"]]) + more > MAXIMUM_ITEMS:
        raise StripeFailure(f"An invoice can have at most {MAXIMUM_ITEMS} invoice items.", param="invoice")


def make_item(
    world: World, customer: Object, currency: str, params: dict[str, Any], at: str = "", invoice: Object | None = None
) -> Object:
    """A new invoice item, on `invoice` if given; the caller has checked that there is room."""
    fields, rates = checked(world, params, currency, None, at)
    now = world.clock.now()
    item = world.add(
        "invoiceitem",
        "ii",
        **{
            "currency": currency,
            "customer": customer["id"],
            "date": now,
            "discountable": fields["amount"] > 0,
            "discounts": [],
            "net_amount": fields["amount"],
            "period": {"start": now, "end": now},
            "proration": False,
            "tax_rates": [dict(rate) for rate in rates or []],
            **fields,
        },
    )
    if invoice is not None:
        put_on(world, item, invoice)
    world.emit("invoiceitem.created", item)
    return item


def put_on(world: World, item: Object, invoice: Object) -> None:
    """Make the item a line of the invoice, at its end."""
    item["invoice"] = invoice["id"]
    line = {
        "id": world.new_id("il"),
        "object": "line_item",
        "discount_amounts": [],
        "invoice": invoice["id"],
        "livemode": world.livemode,
        "parent": {
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": None,
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        "pretax_credit_amounts": [],
        "subscription": None,
        "taxes": [],
    }
    world.lines[invoice["id"]].append(line)
    _copy_to_line(item, line)


def _copy_to_line(item: Object, line: Object) -> None:
    names = ["amount", "currency", "description", "discountable", "discounts", "metadata", "period", "pricing"]
    names += ["quantity", "quantity_decimal"]
    line.update({name: item[name] for name in names})
    line["subtotal"] = item["amount"]


def line_of(world: World, item: Object) -> Object:
    """The line behind which an item of an invoice stands."""
    lines = world.lines[item["invoice"]]
    return next(line for line in lines if line["parent"]["invoice_item_details"]["invoice_item"] == item["id"])


def item_of(world: World, line: Object) -> Object:
    return world.by_kind["invoiceitem"][line["parent"]["invoice_item_details"]["invoice_item"]]


def rates_of(world: World, invoice: Object, line: Object) -> list[Object]:
    """The line's own tax rates; those of the invoice where it has none."""
    return item_of(world, line)["tax_rates"] or invoice["default_tax_rates"]


def retotal(world: World, invoice: Object) -> None:
    """The taxes of each line and the totals of the invoice, as the lines and rates are now."""
    lines = world.lines[invoice["id"]]
    taxes: list[Object] = []
    for line in lines:
        line["taxes"] = money.taxes_of(line["amount"], rates_of(world, invoice, line), invoice["customer_tax_exempt"])
        taxes += line["taxes"]
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal + money.exclusive(taxes)
    balance = world.balances[invoice["customer"]][invoice["currency"]]
    due, _ = due_of(total, balance, invoice["currency"])
    invoice.update(
        subtotal=subtotal,
        subtotal_excluding_tax=subtotal - money.inclusive(taxes),
        total=total,
        total_excluding_tax=total - sum(tax["amount"] for tax in taxes),
        total_taxes=money.summed(taxes),
        amount_due=due,
        amount_remaining=due,
        starting_balance=balance,
    )


def due_of(total: int, balance: int, currency: str) -> tuple[int, int]:
    """(what is due of `total` for a customer with `balance`, the balance afterwards). Below the minimum charge nothing
    is due and the balance takes it (https://docs.stripe.com/api/invoices).
    """
    owed = total + balance
    if owed <= 0 or total <= 0 or owed < money.MINIMUM.get(currency, 0):
        return 0, owed
    return owed, 0


@route(
    "POST", "/v1/invoiceitems", "invoiceitems.create", "InvoiceItemCreateParams", COVERED + " currency customer invoice"
)
def create(world: World, params: dict[str, Any]) -> Object:
    """Without `invoice` the item is pending: some later invoice that asks for pending items takes it."""
    if not params.get("customer"):
        raise missing("customer")
    customer = world.get("customer", params["customer"], "customer")
    invoice = None
    if "invoice" in params:
        invoice = world.get("invoice", params["invoice"], "invoice")
        must_be_draft(invoice)
        if invoice["customer"] != customer["id"]:
            raise StripeFailure("The invoice belongs to another customer.", param="invoice")
        check_room(world, invoice, 1)
    currency = params.get("currency") or (invoice["currency"] if invoice else customer["currency"])
    if not currency:
        raise missing("currency")
    currency = money.check_currency(currency)
    if invoice and currency != invoice["currency"]:
        raise StripeFailure(
            f"The currency of the item ({currency}) must be that of the invoice ({invoice['currency']}).",
            param="currency",
        )
    if invoice is None:
        return make_item(world, customer, currency, params)
    with world.updating(invoice, "invoice.updated"):
        item = make_item(world, customer, currency, params, invoice=invoice)
        retotal(world, invoice)
    return item


@route("POST", "/v1/invoiceitems/{id}", "invoiceitems.update", "InvoiceItemUpdateParams", COVERED)
def update(world: World, params: dict[str, Any], id: str) -> Object:
    """Only while the item is pending or on a draft, whose line then follows."""
    item = world.get("invoiceitem", id)
    invoice = world.get("invoice", item["invoice"]) if item["invoice"] else None
    if invoice is not None:
        must_be_draft(invoice)
    fields, rates = checked(world, params, item["currency"], item)
    if rates is not None:
        fields["tax_rates"] = [dict(rate) for rate in rates]
    if "amount" in fields:
        fields["net_amount"] = fields["amount"]
    item.update(fields)
    if invoice is not None:
        with world.updating(invoice, "invoice.updated"):
            _copy_to_line(item, line_of(world, item))
            retotal(world, invoice)
    return item


@route("DELETE", "/v1/invoiceitems/{id}", "invoiceitems.delete", "InvoiceItemDeleteParams")
def delete(world: World, params: dict[str, Any], id: str) -> Object:
    """Only while the item is pending or on a draft."""
    item = world.get("invoiceitem", id)
    if item["invoice"]:
        invoice = world.get("invoice", item["invoice"])
        must_be_draft(invoice)
        with world.updating(invoice, "invoice.updated"):
            world.lines[invoice["id"]].remove(line_of(world, item))
            retotal(world, invoice)
    world.emit("invoiceitem.deleted", item)
    return world.delete(item)


@route("GET", "/v1/invoiceitems", "invoiceitems.list", "InvoiceItemListParams", "created customer invoice pending")
def list_(world: World, params: dict[str, Any]) -> Object:
    found = [
        item
        for item in world.all("invoiceitem")
        if params.get("customer") in (None, item["customer"])
        and params.get("invoice") in (None, item["invoice"])
        and params.get("pending") in (None, item["invoice"] is None)
        and ("created" not in params or within(params["created"], item["date"]))
    ]
    return world.page(found, params, "/v1/invoiceitems")
