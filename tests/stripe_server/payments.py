"""Payment methods, what is charged to them, and refunds. The test tokens are Stripe's (https://docs.stripe.com/testing)."""

from typing import Any

from tests.stripe_server.errors import StripeFailure, missing
from tests.stripe_server.money import check_amount
from tests.stripe_server.params import merged_metadata
from tests.stripe_server.routing import filtered, route
from tests.stripe_server.world import Object, World

# Token: (last four digits, decline code when charged, or None where it succeeds).
TEST_CARDS: dict[str, tuple[str, str | None]] = {
    "pm_card_visa": ("4242", None),
    "pm_card_mastercard": ("4444", None),
    "pm_card_chargeCustomerFail": ("0341", "generic_decline"),
    "pm_card_chargeDeclined": ("0002", "generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": ("9995", "insufficient_funds"),
}
# "Attaching this card succeeds, but attempts to charge it fail" is said of the first only.
REFUSED_AT_ATTACHING = {"pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds"}
_DECLINES = dict(TEST_CARDS.values())
_BILLING = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
_NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def method_for_attaching(world: World, id: str, param: str) -> Object:
    """The payment method of an id, or a new one of a test token; no event yet. A declining card stays unattached."""
    if id in REFUSED_AT_ATTACHING:
        raise declined(TEST_CARDS[id][1] or "")
    return method_named(world, id, param)


def method_named(world: World, id: str, param: str) -> Object:
    if id not in TEST_CARDS:
        return world.get("payment_method", id, param)
    last4 = TEST_CARDS[id][0]
    card = {
        "brand": "mastercard" if id == "pm_card_mastercard" else "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "unchecked"},
        "country": "US",
        "display_brand": "visa",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"fingerprint{last4}",
        "funding": "credit",
        "generated_from": None,
        "last4": last4,
        "networks": {"available": ["visa"], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    billing = {**_BILLING, "address": dict(_NO_ADDRESS)}
    method = world.add("payment_method", "pm", type="card", card=card, billing_details=billing, metadata={})
    method["allow_redisplay"] = "unspecified"
    for name in [
        name for name, value in method.items() if value is None and name not in ("customer", "customer_account")
    ]:
        del method[name]  # a card has no fields of the other fifty kinds
    return method


def declined(code: str, intent: Object | None = None, advice: str = "try_again_later") -> StripeFailure:
    texts = {"insufficient_funds": "Your card has insufficient funds."}
    more: dict[str, Any] = {"decline_code": code, "advice_code": advice}
    if intent is not None:
        more |= {"payment_intent": intent, "charge": intent["latest_charge"]}
    return StripeFailure(
        texts.get(code, "Your card was declined."), status=402, type="card_error", code="card_declined", **more
    )


@route("POST", "/v1/payment_methods/{id}/attach", "payment_methods.attach", "PaymentMethodAttachParams", "customer")
def attach(world: World, params: dict[str, Any], id: str) -> Object:
    if not params.get("customer"):
        raise missing("customer")
    customer = world.get("customer", params["customer"], "customer")
    method = method_for_attaching(world, id, "id")
    if method["customer"] not in (None, customer["id"]):
        raise StripeFailure("The payment method you provided has already been attached to a customer.")
    method["customer"] = customer["id"]
    world.emit("payment_method.attached", method)
    return method


@route("GET", "/v1/payment_methods", "payment_methods.list", "PaymentMethodListParams", "customer type")
def list_methods(world: World, params: dict[str, Any]) -> Object:
    """Those attached to `customer`."""
    if not params.get("customer"):
        raise missing("customer")
    return world.page(filtered(world.all("payment_method"), params, "customer", "type"), params, "/v1/payment_methods")


@route(
    "GET", "/v1/invoice_payments", "invoice_payments.list", "InvoicePaymentListParams", "created invoice payment status"
)
def list_invoice_payments(world: World, params: dict[str, Any]) -> Object:
    found = filtered(world.all("invoice_payment"), params, "created", "invoice", "status")
    if "payment" in params:
        kind = params["payment"]["type"]
        found = [entry for entry in found if entry["payment"].get(kind) == params["payment"].get(kind)]
    return world.page(found, params, "/v1/invoice_payments")


def open_intent(world: World, invoice: Object) -> None:
    """The payment intent and the default invoice payment that finalising an invoice with something due makes."""
    intent = world.add(
        "payment_intent",
        "pi",
        amount=invoice["amount_due"],
        amount_capturable=0,
        amount_received=0,
        capture_method="automatic",
        client_secret=world.new_id("pi") + "_secret",
        confirmation_method="automatic",
        currency=invoice["currency"],
        customer=invoice["customer"],
        description=f"Payment for Invoice {invoice['number']}",
        metadata={},
        payment_method_types=["card"],
        status="requires_payment_method",
    )
    _add_payment(world, invoice, {"type": "payment_intent", "payment_intent": intent["id"]}, is_default=True)
    world.emit("payment_intent.created", intent)


def _add_payment(world: World, invoice: Object, payment: Object, *, is_default: bool) -> Object:
    return world.add(
        "invoice_payment",
        "inpay",
        amount_paid=None,
        amount_requested=invoice["amount_remaining"],
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=is_default,
        payment=payment,
        status="open",
        status_transitions={"canceled_at": None, "paid_at": None},
    )


def _paid(world: World, entry: Object, amount: int) -> None:
    entry.update(amount_paid=amount, status="paid")
    entry["status_transitions"]["paid_at"] = world.clock.now()
    world.record("paid", entry["invoice"], amount=amount)


def pay_out_of_band(world: World, invoice: Object) -> None:
    """Write down that all that remains was paid elsewhere: a payment record, which is no object of this server."""
    cancel_intent(world, invoice, "void_invoice")
    record = {"type": "payment_record", "payment_record": world.new_id("pr")}
    entry = _add_payment(world, invoice, record, is_default=False)
    _paid(world, entry, invoice["amount_remaining"])
    world.emit("invoice_payment.paid", entry)


def default_payment(world: World, invoice: Object) -> Object | None:
    """The invoice payment that is still to be paid."""
    for entry in world.all("invoice_payment"):
        if entry["invoice"] == invoice["id"] and entry["status"] == "open":
            return entry
    return None


def cancel_intent(world: World, invoice: Object, reason: str) -> None:
    """What becomes of the payment intent of an invoice that needs no more payment by it."""
    entry = default_payment(world, invoice)
    if entry is None:
        return
    intent = world.get("payment_intent", entry["payment"]["payment_intent"])
    entry["status"] = "canceled"
    entry["status_transitions"]["canceled_at"] = world.clock.now()
    intent.update(status="canceled", canceled_at=world.clock.now(), cancellation_reason=reason)
    world.emit("payment_intent.canceled", intent)


def lower_intent(world: World, invoice: Object) -> None:
    """The intent asks for what remains, after a credit note on the open invoice."""
    entry = default_payment(world, invoice)
    if entry is not None:
        entry["amount_requested"] = invoice["amount_remaining"]
        world.get("payment_intent", entry["payment"]["payment_intent"])["amount"] = invoice["amount_remaining"]


def charge(world: World, invoice: Object, method: Object) -> StripeFailure | None:
    """Charge what remains of the invoice: None, or the failure, to be raised once all of it is written down."""
    entry = default_payment(world, invoice)
    assert entry is not None, "an open invoice with something due has an open payment"
    intent = world.get("payment_intent", entry["payment"]["payment_intent"])
    amount = invoice["amount_remaining"]
    by_number = (_DECLINES[method["card"]["last4"]], "try_again_later")
    decline, advice = world.declining.get(method["id"], by_number)
    made = world.add(
        "charge",
        "ch",
        amount=amount,
        amount_captured=0 if decline else amount,
        amount_refunded=0,
        billing_details={**_BILLING, "address": dict(_NO_ADDRESS)},
        captured=decline is None,
        currency=invoice["currency"],
        customer=invoice["customer"],
        disputed=False,
        failure_code="card_declined" if decline else None,
        failure_message="Your card was declined." if decline else None,
        fraud_details={},
        metadata={},
        outcome=_outcome(decline, advice),
        paid=decline is None,
        payment_intent=intent["id"],
        payment_method=method["id"],
        refunded=False,
        status="failed" if decline else "succeeded",
    )
    intent["latest_charge"] = made["id"]
    if decline:
        intent["last_payment_error"] = {**declined(decline, advice=advice).error, "charge": made["id"]}
        world.emit("charge.failed", made)
        world.emit("payment_intent.payment_failed", intent)
        return declined(decline, world.view(intent), advice)
    intent.update(status="succeeded", amount_received=amount, payment_method=method["id"], last_payment_error=None)
    _paid(world, entry, amount)
    world.emit("charge.succeeded", made)
    world.emit("payment_intent.succeeded", intent)
    world.emit("invoice_payment.paid", entry)
    return None


def _outcome(decline: str | None, advice: str) -> Object:
    """What the issuer said of a charge."""
    said = {"advice_code": advice} if decline else {}
    return {
        **said,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": decline,
        "risk_level": "normal",
        "risk_score": None,
        "seller_message": "The bank declined it." if decline else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


# Refunds ---------------------------------------------------------------------------------------------------------


def charged_for(world: World, invoice: Object) -> Object | None:
    """The charge that paid the invoice, if one did."""
    for entry in world.all("invoice_payment"):
        if entry["invoice"] == invoice["id"] and entry["amount_paid"] and "payment_intent" in entry["payment"]:
            intent = world.get("payment_intent", entry["payment"]["payment_intent"])
            return world.get("charge", intent["latest_charge"])
    return None


def check_refund(charge: Object, amount: int, param: str) -> None:
    left = charge["amount"] - charge["amount_refunded"]
    if not charge["paid"]:
        raise StripeFailure(f"Charge {charge['id']} has not been paid.", param=param)
    if left == 0:
        raise StripeFailure(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise StripeFailure("Invalid positive integer", code="parameter_invalid_integer", param=param)
    if amount > left:
        raise StripeFailure(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param=param
        )


def refund(world: World, charge: Object, amount: int, metadata: dict[str, str], reason: str | None = None) -> Object:
    """Give `amount` of a charge back; checked before."""
    made = world.add(
        "refund",
        "re",
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        customer=charge["customer"],
        destination_details={"card": {"type": "refund"}, "type": "card"},
        metadata=metadata,
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        reason=reason,
        status="succeeded",
    )
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    for entry in world.all("invoice_payment"):
        if entry["payment"].get("payment_intent") == charge["payment_intent"]:
            world.record("refunded", entry["invoice"], amount=amount)
    world.emit("charge.refunded", charge)
    world.emit("refund.created", made)
    return made


def fail_refund(world: World, id: str, reason: str) -> Object:
    """The bank does not take the money: it is the seller's again (https://docs.stripe.com/refunds#failed-refunds)."""
    made = world.get("refund", id)
    if made["status"] not in ("succeeded", "pending"):
        raise StripeFailure(f"The refund is {made['status']}.")
    charge = world.get("charge", made["charge"])
    charge["amount_refunded"] -= made["amount"]
    charge["refunded"] = False
    for entry in world.all("invoice_payment"):
        if entry["payment"].get("payment_intent") == charge["payment_intent"]:
            world.record("refunded", entry["invoice"], amount=-made["amount"])
    with world.updating(made, "refund.updated", "refund.failed"):
        made.update(status="failed", failure_reason=reason)
    return made


@route("POST", "/v1/refunds", "refunds.create", "RefundCreateParams", "amount charge metadata payment_intent reason")
def create_refund(world: World, params: dict[str, Any]) -> Object:
    if ("charge" in params) == ("payment_intent" in params):
        raise StripeFailure(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
        )
    if "charge" in params:
        charge = world.get("charge", params["charge"], "charge")
    else:
        intent = world.get("payment_intent", params["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise StripeFailure(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                code="payment_intent_unexpected_state",
            )
        charge = world.get("charge", intent["latest_charge"])
    amount = params.get("amount", charge["amount"] - charge["amount_refunded"])
    check_amount(amount, charge["currency"])
    check_refund(charge, amount, "amount")
    return refund(world, charge, amount, merged_metadata({}, params.get("metadata")), params.get("reason"))


@route("GET", "/v1/balance", "balance.retrieve", "BalanceRetrieveParams")
def balance(world: World, params: dict[str, Any]) -> Object:
    """What the successful charges came to, less what was refunded: no fees, and all of it available at once."""
    sums: dict[str, int] = {}
    for made in world.by_kind["charge"].values():
        if made["paid"]:
            sums[made["currency"]] = sums.get(made["currency"], 0) + made["amount"] - made["amount_refunded"]
    available = [
        {"amount": sums[code], "currency": code, "source_types": {"card": sums[code]}} for code in sorted(sums)
    ]
    none = {"amount": 0, "currency": "usd", "source_types": {"card": 0}}
    return {"object": "balance", "available": available or [none], "livemode": world.livemode, "pending": [dict(none)]}
