"""Every route answers what the package's classes declare; and what does not is noticed."""

import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.stripe_server import StripeServer
from tests.stripe_server.routing import ROUTES
from tests.stripe_server.shapes import new, violations

# What the samples have and this version of the API has not, or on request only.
NO_LONGER = {"invoice": {"subscription"}, "charge": {"refunds"}}


def test_every_route_is_answered_in_shape(stripe: StripeServer, v1: Any, draft: Any) -> None:
    """The fixture of the server holds each answer against its class."""
    customer = v1.customers.create(
        {
            "name": "Acme",
            "email": "a@acme.example",
            "address": {"country": "DE"},
            "shipping": {"name": "Acme", "address": {"line1": "Hafen 1"}},
            "tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}],
            "balance": -100,
            "payment_method": "pm_card_visa",
        }
    ).id
    v1.customers.update(customer, {"phone": "+49"})
    v1.customers.retrieve(customer, {"expand": ["invoice_credit_balance"]})
    v1.customers.list()
    v1.customers.search({"query": 'name:"Acme"'})
    v1.customers.balance_transactions.create(customer, {"amount": 5, "currency": "eur"})
    v1.customers.balance_transactions.list(customer)
    rate = v1.tax_rates.create({"display_name": "VAT", "percentage": 19.5, "inclusive": True, "country": "DE"})
    v1.tax_rates.update(rate.id, {"description": "x"})
    v1.tax_rates.retrieve(rate.id)
    v1.tax_rates.list()
    method = v1.payment_methods.attach("pm_card_mastercard", {"customer": customer})
    v1.payment_methods.retrieve(method.id)
    v1.payment_methods.list({"customer": customer})
    item = v1.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd", "tax_rates": [rate.id]})
    v1.invoice_items.retrieve(item.id)
    v1.invoice_items.update(item.id, {"description": "x", "period": {"start": 1, "end": 2}})
    v1.invoice_items.list()
    v1.invoice_items.delete(v1.invoice_items.create({"customer": customer, "amount": 1, "currency": "usd"}).id)
    invoice = draft(customer=customer, pending_invoice_items_behavior="include", rendering={"pdf": {"page_size": "a4"}})
    v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 1000, "discountable": False}]})
    v1.invoices.update(invoice.id, {"footer": "Thanks", "custom_fields": [{"name": "PO", "value": "1"}]})
    v1.invoices.retrieve(invoice.id)
    v1.invoices.list()
    v1.invoices.search({"query": "currency:'usd'"})
    v1.invoices.line_items.list(invoice.id)
    v1.invoices.delete(draft(customer=customer).id)
    v1.invoices.finalize_invoice(invoice.id)
    v1.invoices.send_invoice(invoice.id)
    v1.invoices.pay(invoice.id, {"payment_method": method.id})
    v1.invoices.void_invoice(v1.invoices.finalize_invoice(draft(100, customer=customer).id).id)
    v1.invoices.mark_uncollectible(v1.invoices.finalize_invoice(draft(100, customer=customer).id).id)
    entry = v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    intent = v1.payment_intents.retrieve(entry.payment.payment_intent)
    v1.charges.retrieve(intent.latest_charge)
    v1.charges.list({"payment_intent": intent.id})
    refund = v1.refunds.create({"payment_intent": intent.id, "amount": 10, "reason": "duplicate"})
    v1.refunds.retrieve(refund.id)
    v1.refunds.list()
    line = {"type": "invoice_line_item", "invoice_line_item": invoice.lines.data[0].id, "amount": 20}
    wanted = {"invoice": invoice.id, "lines": [line], "refund_amount": 5, "credit_amount": 15}
    v1.credit_notes.preview(wanted)
    note = v1.credit_notes.create(wanted)
    v1.credit_notes.retrieve(note.id, {"expand": ["refunds.refund", "customer_balance_transaction"]})
    v1.credit_notes.list()
    v1.credit_notes.line_items.list(note.id)
    opened = v1.invoices.finalize_invoice(draft(100, customer=customer).id)
    v1.credit_notes.void_credit_note(v1.credit_notes.create({"invoice": opened.id, "amount": 5}).id)
    v1.events.retrieve(v1.events.list({"limit": 100}).data[0].id)
    v1.accounts.retrieve_current()
    v1.accounts.retrieve(stripe.account)
    v1.balance.retrieve()
    meter = {"display_name": "M", "event_name": "m", "default_aggregation": {"formula": "count"}}
    v1.billing.meters.create(meter)
    v1.billing.meters.list()
    v1.billing.meter_events.create({"event_name": "m", "payload": {"stripe_customer_id": customer, "value": "1"}})
    endpoint = v1.webhook_endpoints.create({"url": "https://x.example/h", "enabled_events": ["*"]})
    v1.webhook_endpoints.retrieve(endpoint.id)
    v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    v1.webhook_endpoints.list()
    v1.webhook_endpoints.delete(v1.webhook_endpoints.create({"url": "https://y.example", "enabled_events": ["*"]}).id)
    taxed = [{"amount": 10000, "reference": "x", "tax_behavior": "exclusive"}]
    v1.tax.calculations.create({"currency": "eur", "customer": customer, "line_items": taxed})
    v1.customers.delete(customer)
    assert {status for _, status in stripe.log} == {200}
    assert {route.name for route in ROUTES} == {name for name, _ in stripe.log}
    world = stripe.world()
    for event in map(world.view, world.all("event")):
        assert violations(event["data"]["object"]) == [], event["type"]
    samples = json.loads((Path(__file__).parent / "samples.json").read_text())
    kept = [*map(dict.values, world.by_kind.values()), *world.lines.values()]
    seen = {obj["object"]: set(world.view(obj)) for objects in kept for obj in objects}
    assert seen.keys() == samples.keys()
    for kind, names in seen.items():
        assert set(samples[kind].split()) - NO_LONGER.get(kind, set()) == names, kind


def test_what_is_out_of_shape_is_noticed(stripe: StripeServer, opened: Any) -> None:
    world = stripe.world()
    good = world.view(world.by_kind["invoice"][opened(1000).id])
    assert violations(good) == []
    for change, text in (
        ({"paid": True}, "paid: not declared"),
        ({"total": "1000"}, "total: '1000' is no"),
        ({"total": None}, "total: null"),
        ({"status": "sent"}, "status: 'sent' is none of"),
        ({"status_transitions": {"paid_at": 1.5}}, "status_transitions.paid_at"),
        ({"lines": {**good["lines"], "data": [{**good["lines"]["data"][0], "price": None}]}}, "price: not declared"),
        ({"customer": 7}, "customer: 7 is no"),
    ):
        assert any(text in found for found in violations({**good, **change})), text
    assert violations({name: value for name, value in good.items() if name != "total"}) == ["invoice.total: missing"]
    with pytest.raises(TypeError, match="paid"):
        new("invoice", paid=True)


def test_the_hosted_page_pays(v1: Any, opened: Any) -> None:
    invoice = opened(1000)

    def visit(path: str = "", data: bytes | None = None) -> str:
        with urllib.request.urlopen(invoice.hosted_invoice_url + path, data=data, timeout=5) as answer:
            return answer.read().decode("latin-1")

    assert "Line 1" in visit() and "10.00 USD" in visit() and "declined</button>" in visit()
    assert "Your card was declined." in visit("/decline", b"")
    assert v1.invoices.retrieve(invoice.id).attempt_count == 1
    assert "<b>paid</b>" in visit("/pay", b"")
    assert "<button>" not in visit()
    assert v1.invoices.retrieve(invoice.id).amount_paid == 1000
    assert visit("/pdf").startswith("%PDF-1.4")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(invoice.hosted_invoice_url[:-3], timeout=5)
    caught.value.close()
    assert caught.value.code == 404


def test_the_example_of_the_readme_runs() -> None:
    page = (Path(__file__).parent / "README.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    exec(compile(code, "README.md", "exec"), {})


def test_from_the_shell() -> None:
    """It says where it is and which key it takes, and answers there."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-u", "-m", "tests.stripe_server", "--port", "0", "--webhook", "http://127.0.0.1:1/x"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            url = line.split(" on ")[1].split(" ")[0]
            key = line.split("test key ")[1].split(",")[0]
            request = urllib.request.Request(f"{url}/v1/account", headers={"Authorization": f"Bearer {key}"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                assert b"acct_" in answer.read()
        finally:
            process.terminate()
