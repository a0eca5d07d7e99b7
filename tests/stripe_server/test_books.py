"""The books against what happened, and people in the dashboard."""

from decimal import Decimal
from typing import Any

import pytest

from tests.stripe_server import StripeFailure, StripeServer


def test_the_books_of_an_invoice(stripe: StripeServer, v1: Any, draft: Any) -> None:
    vat = v1.tax_rates.create({"display_name": "VAT", "percentage": 19, "inclusive": False})
    made = draft(*[10] * 12, default_tax_rates=[vat.id], metadata={"holdfast_invoice": "i1"})
    book = stripe.books().invoices[made.id]
    assert (book.status, book.total, book.currency) == ("draft", 12 * 12, "usd")
    v1.invoices.finalize_invoice(made.id)
    v1.credit_notes.create({"invoice": made.id, "amount": 44})
    v1.invoices.pay(made.id, {"payment_method": "pm_card_visa"})
    v1.credit_notes.create({"invoice": made.id, "amount": 50, "refund_amount": 30, "credit_amount": 20})
    book = stripe.books().invoices[made.id]
    assert (book.status, book.total, book.paid, book.credited, book.remaining) == ("paid", 144, 100, 94, 0)
    assert (book.refunded, book.credited_before) == (30, 44)
    assert stripe.books().by_metadata("holdfast_invoice") == {"i1": [book]}
    assert stripe.books().balances[made.customer, "usd"] == -20


@pytest.mark.parametrize("name", ["total", "amount_paid", "amount_remaining", "status"])
def test_an_object_that_says_other_than_the_books_is_found(stripe: StripeServer, opened: Any, name: str) -> None:
    invoice = opened(1000)
    kept = stripe.world().by_kind["invoice"][invoice.id]
    true, kept[name] = kept[name], "void" if name == "status" else kept[name] + 1
    assert any(text.startswith(f"{invoice.id}.{name}: ") for text in stripe.books().check())
    kept[name] = true


def test_two_of_one_key_show(stripe: StripeServer, draft: Any) -> None:
    for _ in range(2):
        draft(100, metadata={"holdfast_invoice": "i1"})
    assert [len(found) for found in stripe.books().by_metadata("holdfast_invoice").values()] == [2]


def test_people_in_the_dashboard(stripe: StripeServer, v1: Any, customer: str, draft: Any) -> None:
    people = stripe.dashboard()
    invoice = draft(1000)
    people.edit_invoice(invoice.id, description="edited", metadata={"holdfast_invoice": ""})
    people.change_item(invoice.lines.data[0].id, amount=900)
    people.add_item(customer, 50, "usd", invoice=invoice.id, description="handling")
    stray = people.add_item(customer, 7, "usd")
    opened = people.finalize(invoice.id)
    assert (opened["total"], opened["description"], stray["invoice"]) == (950, "edited", None)
    assert v1.events.list().data[0].request.id is None, "no request of ours"
    with pytest.raises(StripeFailure):
        people.pay(invoice.id, "pm_card_chargeDeclined")
    assert people.pay(invoice.id)["status"] == "paid"
    assert people.refund(invoice.id, 100)["amount"] == 100
    assert people.credit(invoice.id, 100, out_of_band_amount=100)["post_payment_amount"] == 100
    others = [draft(1000).id for _ in range(4)]
    people.send(others[0])
    assert people.pay(others[0], None)["amount_paid"] == 1000
    people.finalize(others[1])
    assert people.mark_uncollectible(others[1])["status"] == "uncollectible"
    assert people.void(others[1])["status"] == "void"
    assert people.delete_draft(others[2])["deleted"] is True
    assert people.edit_customer(customer, name="Renamed")["name"] == "Renamed"
    assert people.delete_customer(customer)["deleted"] is True
    assert {book.status for book in stripe.books().invoices.values()} == {"paid", "void", "draft"}


def test_meters(stripe: StripeServer, v1: Any, customer: str, refused: Any) -> None:
    stripe.clock.set(1_800_000_000)
    meter = {"display_name": "Outcomes", "event_name": "outcome", "default_aggregation": {"formula": "sum"}}
    v1.billing.meters.create(meter)
    assert refused(v1.billing.meters.create, meter)["code"] == "resource_already_exists"
    assert v1.billing.meters.list().data[0].customer_mapping.event_payload_key == "stripe_customer_id"

    def tell(identifier: str, value: str, customer: str = customer, **more: Any) -> Any:
        payload = {"stripe_customer_id": customer, "value": value}
        given = {"event_name": "outcome", "identifier": identifier, "payload": payload, **more}
        return v1.billing.meter_events.create(given)

    assert tell("o1", "2.5").identifier == "o1"
    assert "already exists" in refused(tell, "o1", "2.5")["message"]
    tell("o2", "1")
    tell("o3", "nothing")
    tell("o4", "1", "cus_unknown")
    assert refused(tell, "o5", "1", timestamp=stripe.clock.now() - 36 * 86_400)["param"] == "timestamp"
    assert refused(tell, "o5", "1", timestamp=stripe.clock.now() + 301)["param"] == "timestamp"
    stripe.clock.advance(days=1)
    tell("o1", "10")
    assert stripe.books().meters == {("outcome", customer): Decimal("13.5")}
