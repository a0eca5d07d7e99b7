"""Customers, their balance and their tax ids (https://docs.stripe.com/api/customers)."""

from typing import Any

from tests.stripe_server import payments, shapes
from tests.stripe_server.errors import StripeFailure, not_covered
from tests.stripe_server.money import check_amount, check_currency
from tests.stripe_server.params import CUSTOMER_DESCRIPTION_LENGTH, check_length, merged_metadata
from tests.stripe_server.routing import filtered, route
from tests.stripe_server.world import Object, World

COVERED = (
    "address balance business_name description email individual_name invoice_prefix invoice_settings metadata name "
    "next_invoice_sequence phone preferred_locales shipping tax_exempt"
)
_FILTERS = ("created", "invoice")
_PLAIN = ["business_name", "description", "email", "individual_name", "name", "phone"]


def _changes(world: World, params: dict[str, Any], before: Object) -> Object:
    """What `params` make of the fields of a customer; every check is made here, before anything is changed."""
    check_length(params.get("description"), CUSTOMER_DESCRIPTION_LENGTH, "description")
    if "email" in params and params["email"] and "@" not in params["email"]:
        raise StripeFailure(f"Invalid email address: {params['email']}", code="email_invalid", param="email")
    changes: Object = {name: params[name] or None for name in _PLAIN if name in params}
    for name in ("address", "shipping"):
        if name in params:
            changes[name] = shapes.part("customer", name, params[name])
    for name in ("preferred_locales", "next_invoice_sequence", "invoice_prefix"):
        if name in params:
            changes[name] = params[name]
    if "tax_exempt" in params:
        changes["tax_exempt"] = params["tax_exempt"] or "none"
    if "metadata" in params:
        changes["metadata"] = merged_metadata(before["metadata"], params["metadata"])
    if "invoice_settings" in params:
        settings = dict(before["invoice_settings"])
        for name, value in params["invoice_settings"].items():
            if name == "rendering_options":
                raise not_covered("invoice_settings[rendering_options]")
            if name == "default_payment_method" and value:
                method = world.get("payment_method", value, "invoice_settings[default_payment_method]")
                if method["customer"] != before["id"]:
                    raise StripeFailure(
                        f"The customer does not have a payment method with the ID {value}. The payment method must be "
                        "attached to the customer.",
                        code="resource_missing",
                        param="invoice_settings[default_payment_method]",
                    )
            settings[name] = value or None
        changes["invoice_settings"] = settings
    return changes


@route("POST", "/v1/customers", "customers.create", "CustomerCreateParams", COVERED + " tax_id_data payment_method")
def create(world: World, params: dict[str, Any]) -> Object:
    if params.get("invoice_settings", {}).get("default_payment_method"):
        raise not_covered(
            "invoice_settings[default_payment_method] on a customer that is being made: attach, then update"
        )
    blank = {"id": "", "metadata": {}, "invoice_settings": _settings()}
    fields = {"metadata": {}, **_changes(world, params, blank)}
    method = None
    if "payment_method" in params:
        method = payments.method_for_attaching(world, params["payment_method"], "payment_method")
    customer = world.add(
        "customer",
        "cus",
        **{
            "balance": 0,
            "delinquent": False,
            "invoice_prefix": f"{world.ids.getrandbits(32):08X}",
            "invoice_settings": _settings(),
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "tax_exempt": "none",
            **fields,
        },
    )
    world.tax_ids[customer["id"]] = [
        {"type": tax["type"], "value": tax["value"]} for tax in params.get("tax_id_data", [])
    ]
    if method is not None:
        method["customer"] = customer["id"]
    world.emit("customer.created", customer)
    if method is not None:
        world.emit("payment_method.attached", method)
    if params.get("balance"):
        move_balance(world, customer, "usd", params["balance"], "adjustment")
    return customer


def _settings() -> Object:
    return {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None}


@route("GET", "/v1/customers/{id}", "customers.retrieve", "CustomerRetrieveParams")
def retrieve(world: World, params: dict[str, Any], id: str) -> Object:
    """A deleted customer is still answered, as no more than deleted."""
    if id in world.deleted:
        return world.deleted[id]
    return world.get("customer", id)


@route("POST", "/v1/customers/{id}", "customers.update", "CustomerUpdateParams", COVERED)
def update(world: World, params: dict[str, Any], id: str) -> Object:
    customer = world.get("customer", id)
    changes = _changes(world, params, customer)
    with world.updating(customer, "customer.updated"):
        customer.update(changes)
    if "balance" in params:
        currency = customer["currency"] or "usd"
        move_balance(world, customer, currency, params["balance"] - world.balances[id][currency], "adjustment")
    return customer


@route("DELETE", "/v1/customers/{id}", "customers.delete", "CustomerDeleteParams")
def delete(world: World, params: dict[str, Any], id: str) -> Object:
    """Pending items go with the customer; invoices stay."""
    customer = world.get("customer", id)
    for item in world.all("invoiceitem"):
        if item["customer"] == id and item["invoice"] is None:
            world.emit("invoiceitem.deleted", item)
            world.delete(item)
    world.emit("customer.deleted", customer)
    return world.delete(customer)


@route(
    "GET",
    "/v1/customers/{id}/balance_transactions",
    "customers.balance_transactions",
    "CustomerBalanceTransactionListParams",
    "created invoice",
)
def balance_transactions(world: World, params: dict[str, Any], id: str) -> Object:
    world.get("customer", id)
    found = filtered(world.all("customer_balance_transaction"), {**params, "customer": id}, "customer", *_FILTERS)
    return world.page(found, params, f"/v1/customers/{id}/balance_transactions")


@route(
    "POST",
    "/v1/customers/{id}/balance_transactions",
    "balance_transactions.create",
    "CustomerBalanceTransactionCreateParams",
    "amount currency description metadata",
)
def adjust_balance(world: World, params: dict[str, Any], id: str) -> Object:
    """By hand or by the API, always an adjustment: below zero it is credit."""
    customer = world.get("customer", id)
    currency = check_currency(params["currency"])
    if not params["amount"]:
        raise StripeFailure("The amount must not be 0.", param="amount")
    check_amount(params["amount"], currency)
    check_length(params.get("description"), CUSTOMER_DESCRIPTION_LENGTH, "description")
    metadata = merged_metadata({}, params.get("metadata"))
    made = move_balance(world, customer, currency, params["amount"], "adjustment")
    assert made is not None
    made.update(description=params.get("description") or None, metadata=metadata)
    return made


def move_balance(
    world: World,
    customer: Object,
    currency: str,
    amount: int,
    type: str,
    invoice: str | None = None,
    note: str | None = None,
) -> Object | None:
    """Add to the customer's balance in one currency; below zero is credit. Nothing for nothing."""
    if not amount:
        return None
    balances = world.balances[customer["id"]]
    balances[currency] += amount
    world.record("balance", invoice or "", customer=customer["id"], currency=currency, amount=amount)
    entry = world.add(
        "customer_balance_transaction",
        "cbtxn",
        amount=amount,
        currency=currency,
        customer=customer["id"],
        ending_balance=balances[currency],
        type=type,
        invoice=invoice,
        credit_note=note,
        metadata={},
    )
    with world.updating(customer, "customer.updated"):
        customer["currency"] = customer["currency"] or currency
        customer["balance"] = balances[customer["currency"]]
    return entry
