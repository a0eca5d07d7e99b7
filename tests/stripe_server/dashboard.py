"""People in Stripe's dashboard: what they do happens without a request of ours, and its events name none."""

from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def _acting(self) -> Iterator[World]:
        with self.world.lock:
            before, self.world.cause = self.world.cause, Cause()
            try:
                yield self.world
            finally:
                self.world.cause = before

    def edit_invoice(self, id: str, **params: Any) -> Object:
        with self._acting() as world:
            return world.view(invoices.update(world, params, id))

    def finalize(self, id: str) -> Object:
        with self._acting() as world:
            return world.view(invoices.finalize_invoice(world, {}, id))

    def send(self, id: str) -> Object:
        with self._acting() as world:
            return world.view(invoices.send(world, {}, id))

    def void(self, id: str) -> Object:
        with self._acting() as world:
            return world.view(invoices.void(world, {}, id))

    def mark_uncollectible(self, id: str) -> Object:
        with self._acting() as world:
            return world.view(invoices.mark_uncollectible(world, {}, id))

    def delete_draft(self, id: str) -> Object:
        with self._acting() as world:
            return world.view(invoices.delete(world, {}, id))

    def pay(self, id: str, payment_method: str | None = "pm_card_visa") -> Object:
        """Charge the invoice; None is "paid outside of Stripe"."""
        params = {"payment_method": payment_method} if payment_method else {"paid_out_of_band": True}
        with self._acting() as world:
            return world.view(invoices.pay(world, params, id))

    def refund(self, invoice_id: str, amount: int | None = None) -> Object:
        """Give back what was paid of an invoice, or a part. The invoice stays paid."""
        with self._acting() as world:
            charge = payments.charged_for(world, world.get("invoice", invoice_id))
            assert charge is not None, "the invoice was not paid by a charge"
            params = {"charge": charge["id"]} | ({"amount": amount} if amount is not None else {})
            return world.view(payments.create_refund(world, params))

    def credit(self, invoice_id: str, amount: int, **params: Any) -> Object:
        with self._acting() as world:
            return world.view(credit_notes.create(world, {"invoice": invoice_id, "amount": amount, **params}))

    def delete_customer(self, id: str) -> Object:
        with self._acting() as world:
            return world.view(customers.delete(world, {}, id))

    def edit_customer(self, id: str, **params: Any) -> Object:
        with self._acting() as world:
            return world.view(customers.update(world, params, id))

    def change_item(self, id: str, **params: Any) -> Object:
        """An invoice item, or a line of an invoice by its id (`il_`)."""
        with self._acting() as world:
            if id.startswith("il_"):
                line = next(line for lines in world.lines.values() for line in lines if line["id"] == id)
                id = items.item_of(world, line)["id"]
            if "unit_amount_decimal" in params:
                params["unit_amount_decimal"] = Decimal(params["unit_amount_decimal"])
            return world.view(items.update(world, params, id))

    def add_item(self, customer: str, amount: int, currency: str, invoice: str | None = None, **params: Any) -> Object:
        """On a draft; without `invoice` a stray pending item, that the next invoice which asks for such takes along."""
        params |= {"customer": customer, "amount": amount, "currency": currency} | (
            {"invoice": invoice} if invoice else {}
        )
        with self._acting() as world:
            return world.view(items.create(world, params))

    def add_endpoint(self, url: str, secret: str | None = None, enabled_events: list[str] | None = None) -> Object:
        """An endpoint for webhooks, with its secret."""
        with self._acting() as world:
            return events.listen(world, url, secret, enabled_events)

    def roll_secret(self, endpoint_id: str, keep_old: int = 86_400) -> str:
        with self._acting() as world:
            return events.roll(world, endpoint_id, keep_old)
