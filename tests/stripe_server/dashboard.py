"""People in Stripe's dashboard: what they do happens without a request of ours, and its events name none."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.stripe_server import credit_notes, customers, events, invoices, items, payments
from tests.stripe_server.world import Cause, Object, World


class Dashboard:
    """Each method takes ids and the API's parameter names, does what a person would, and returns the object as it is
    answered. The rules of the API hold here too: what it refuses raises `StripeFailure`.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    def _do(self, answer: Callable[..., Object], params: dict[str, Any], *ids: str) -> Object:
        with self.world.lock:
            before, self.world.cause = self.world.cause, Cause()
            try:
                return self.world.view(answer(self.world, params, *ids))
            finally:
                self.world.cause = before

    def edit_invoice(self, id: str, **params: Any) -> Object:
        return self._do(invoices.update, params, id)

    def finalize(self, id: str) -> Object:
        return self._do(invoices.finalize_invoice, {}, id)

    def send(self, id: str) -> Object:
        return self._do(invoices.send, {}, id)

    def void(self, id: str) -> Object:
        return self._do(invoices.void, {}, id)

    def mark_uncollectible(self, id: str) -> Object:
        return self._do(invoices.mark_uncollectible, {}, id)

    def delete_draft(self, id: str) -> Object:
        return self._do(invoices.delete, {}, id)

    def pay(self, id: str, payment_method: str | None = "pm_card_visa") -> Object:
        """Charge the invoice; None is "paid outside of Stripe"."""
        params = {"payment_method": payment_method} if payment_method else {"paid_out_of_band": True}
        return self._do(invoices.pay, params, id)

    def card(self, id: str, decline_code: str | None, advice: str = "try_again_later") -> None:
        """What the issuer says from now on when a payment method is charged: a decline code, or None, it is fine."""
        with self.world.lock:
            self.world.declining[id] = (decline_code, advice)

    def refund(self, invoice_id: str, amount: int | None = None) -> Object:
        """Give back what was paid of an invoice, or a part. The invoice stays paid."""
        charge = payments.charged_for(self.world, self.world.get("invoice", invoice_id))
        assert charge is not None, "the invoice was not paid by a charge"
        return self._do(
            payments.create_refund, {"charge": charge["id"]} | ({"amount": amount} if amount is not None else {})
        )

    def fail_refund(self, refund_id: str, reason: str = "declined") -> Object:
        """What a bank does, days later: the money of a refund comes back."""
        with self.world.lock:
            return self.world.view(payments.fail_refund(self.world, refund_id, reason))

    def credit(self, invoice_id: str, amount: int, **params: Any) -> Object:
        return self._do(credit_notes.create, {"invoice": invoice_id, "amount": amount, **params})

    def adjust_balance(self, id: str, amount: int, currency: str = "usd") -> Object:
        """Give credit by hand (below zero), or take it."""
        return self._do(customers.adjust_balance, {"amount": amount, "currency": currency}, id)

    def delete_customer(self, id: str) -> Object:
        return self._do(customers.delete, {}, id)

    def edit_customer(self, id: str, **params: Any) -> Object:
        return self._do(customers.update, params, id)

    def change_item(self, id: str, **params: Any) -> Object:
        """An invoice item, or a line of an invoice by its id (`il_`)."""
        if id.startswith("il_"):
            line = next(line for lines in self.world.lines.values() for line in lines if line["id"] == id)
            id = items.item_of(self.world, line)["id"]
        if "unit_amount_decimal" in params:
            params["unit_amount_decimal"] = Decimal(params["unit_amount_decimal"])
        return self._do(items.update, params, id)

    def add_item(self, customer: str, amount: int, currency: str, invoice: str | None = None, **params: Any) -> Object:
        """On a draft; without `invoice` a stray pending item, that the next invoice which asks for such takes along."""
        params |= {"customer": customer, "amount": amount, "currency": currency}
        return self._do(items.create, params | ({"invoice": invoice} if invoice else {}))

    def add_endpoint(self, url: str, secret: str | None = None, enabled_events: list[str] | None = None) -> Object:
        """An endpoint for webhooks, with its secret: one of Stripe's making, or `secret`."""
        with self.world.lock:
            return events.listen(self.world, url, secret, enabled_events)

    def roll_secret(self, endpoint_id: str, keep_old: int = 86_400) -> str:
        """A new secret of an endpoint; the old one signs too for `keep_old` seconds, at most a day."""
        with self.world.lock:
            return events.roll(self.world, endpoint_id, keep_old)
