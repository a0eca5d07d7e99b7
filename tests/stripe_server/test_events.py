"""Events, and their way to an endpoint that is really there."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from stripe import SignatureVerificationError, Webhook

from tests.stripe_server import StripeServer

Refused = Any


class Receiver:
    """Keeps (body, signature) of what arrives, and answers with `status`."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, str]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((body, self.headers["Stripe-Signature"]))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?x=1"

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for body, _ in self.requests]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_the_events_of_an_invoice_in_order(v1: Any, customer: str, draft: Any) -> None:
    invoice = draft(1000)
    v1.invoices.update(invoice.id, {"description": "March"})
    v1.invoices.send_invoice(invoice.id)
    v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})
    v1.credit_notes.create({"invoice": invoice.id, "amount": 100, "refund_amount": 100})
    found = list(v1.events.list({"limit": 100}).auto_paging_iter())[::-1]
    assert [event.type for event in found] == [
        *("customer.created", "invoice.created", "invoiceitem.created", "invoice.updated", "invoice.updated"),
        *("invoice.updated", "invoice.finalized", "payment_intent.created", "invoice.sent"),
        *("charge.succeeded", "payment_intent.succeeded", "invoice_payment.paid"),
        *("invoice.updated", "invoice.paid", "invoice.payment_succeeded"),
        *("charge.refunded", "refund.created", "credit_note.created", "invoice.updated"),
    ]
    described = found[4]
    assert described.data.previous_attributes.to_dict() == {"description": None}
    assert described.data.object["description"] == "March"
    assert (described.livemode, described.api_version) == (False, "2026-10-28.endive")
    assert v1.events.retrieve(described.id).type == "invoice.updated"
    assert [event.type for event in v1.events.list({"types": ["invoice.paid", "invoice.sent"]}).data] == [
        "invoice.paid",
        "invoice.sent",
    ]
    assert len(v1.events.list({"type": "invoice.*", "limit": 100}).data) == 10


def test_events_are_kept_for_thirty_days(stripe: StripeServer, v1: Any, customer: str, refused: Refused) -> None:
    event = v1.events.list().data[0]
    stripe.clock.advance(days=31)
    assert v1.events.list().data == []
    assert refused(v1.events.retrieve, event.id)["status"] == 404


def test_delivery_is_signed_and_only_of_what_was_asked_for(
    stripe: StripeServer, v1: Any, draft: Any, receiver: Receiver
) -> None:
    endpoint = v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["invoice.finalized", "invoice.paid"]}
    )
    invoice = v1.invoices.finalize_invoice(draft(1000).id)
    assert stripe.queued() == ["invoice.finalized"]
    assert v1.events.list({"delivery_success": False}).data[0].pending_webhooks == 1
    assert [delivery.status for delivery in stripe.deliver()] == [200]
    body, signature = receiver.requests[0]
    event = Webhook.construct_event(body, signature, endpoint.secret)
    assert event.data.object["id"] == invoice.id
    with pytest.raises(SignatureVerificationError):
        Webhook.construct_event(body, signature, "whsec_other")
    with pytest.raises(SignatureVerificationError):
        Webhook.construct_event(body + b" ", signature, endpoint.secret)
    assert stripe.deliver() == []
    assert v1.events.list({"type": "invoice.finalized"}).data[0].pending_webhooks == 0
    assert "secret" not in v1.webhook_endpoints.retrieve(endpoint.id)
    v1.webhook_endpoints.delete(endpoint.id)
    v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})
    assert stripe.queued() == []


def test_what_is_not_answered_with_2xx_is_sent_again(
    stripe: StripeServer, v1: Any, customer: str, receiver: Receiver
) -> None:
    stripe.dashboard().add_endpoint(receiver.url, "whsec_mine")
    v1.customers.update(customer, {"name": "B"})
    receiver.status = 500
    assert [delivery.status for delivery in stripe.deliver()] == [500]
    receiver.status = 200
    assert [delivery.status for delivery in stripe.deliver()] == [200]
    assert receiver.requests[0][0] == receiver.requests[1][0]
    Webhook.construct_event(*receiver.requests[1], "whsec_mine")


def test_both_secrets_sign_while_one_is_rolled(stripe: StripeServer, v1: Any, receiver: Receiver) -> None:
    endpoint = v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})
    fresh = stripe.dashboard().roll_secret(endpoint.id, keep_old=3600)
    v1.customers.create({})
    stripe.deliver()
    for secret in (endpoint.secret, fresh):
        Webhook.construct_event(*receiver.requests[-1], secret)
    assert receiver.requests[-1][1].count("v1=") == 2
    stripe.clock.advance(hours=1)
    v1.customers.create({})
    stripe.deliver()
    assert receiver.requests[-1][1].count("v1=") == 1
    Webhook.construct_event(*receiver.requests[-1], fresh, tolerance=10_000)


def test_duplicates_reordering_delays_and_drops(
    stripe: StripeServer, v1: Any, customer: str, receiver: Receiver
) -> None:
    stripe.dashboard().add_endpoint(receiver.url)
    sent = [
        v1.invoice_items.create({"customer": customer, "amount": n, "currency": "usd"}).amount for n in range(1, 21)
    ]

    def arrived() -> list[int]:
        amounts = [json.loads(body)["data"]["object"]["amount"] for body, _ in receiver.requests]
        receiver.requests.clear()
        return amounts

    assert len(stripe.deliver(delay=1.0)) == 0
    assert len(stripe.deliver(types={"customer.created"})) == 0
    stripe.deliver(duplicate=2, delay=0.5, seed=1)
    first = arrived()
    assert first == sorted(first) and len(first) == 2 * len(set(first)) and 0 < len(set(first)) < 20
    stripe.deliver(reorder=1)
    second = arrived()
    assert second != sorted(second) and sorted({*first, *second}) == sent
    v1.invoice_items.create({"customer": customer, "amount": 99, "currency": "usd"})
    assert stripe.deliver(drop=1.0) == [] == stripe.queued()


def test_without_a_socket(stripe: StripeServer, v1: Any) -> None:
    stripe.dashboard().add_endpoint("https://holdfast.example/hook", "whsec_mine")
    v1.customers.create({})
    got: list[tuple[str, str]] = []

    def post(url: str, payload: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        got.append((url, Webhook.construct_event(payload, headers["Stripe-Signature"], "whsec_mine").type))
        return 204, b""

    assert [delivery.status for delivery in stripe.deliver(post=post)] == [204]
    assert got == [("https://holdfast.example/hook", "customer.created")]


def test_an_endpoint_that_is_not_there(stripe: StripeServer, v1: Any, receiver: Receiver, refused: Refused) -> None:
    stripe.dashboard().add_endpoint("http://127.0.0.1:1/nobody")
    v1.customers.create({})
    assert [delivery.status for delivery in stripe.deliver()] == [None]
    assert stripe.queued() == ["customer.created"]
    assert refused(v1.webhook_endpoints.create, {"url": "x", "enabled_events": ["*"]})["code"] == "url_invalid"
    assert refused(v1.webhook_endpoints.create, {"url": "http://x", "enabled_events": ["no.such"]})["status"] == 400


def test_in_the_background(stripe: StripeServer, v1: Any, receiver: Receiver) -> None:
    stripe.dashboard().add_endpoint(receiver.url)
    arrived = threading.Event()
    requests = receiver.requests

    class Telling(list[tuple[bytes, str]]):
        def append(self, item: tuple[bytes, str]) -> None:
            super().append(item)
            arrived.set()

    receiver.requests = Telling(requests)
    stripe.deliver_in_background(every=0.01)
    v1.customers.create({})
    assert arrived.wait(10)
    assert receiver.types() == ["customer.created"]
