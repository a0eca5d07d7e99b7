"""From draft to paid, void or uncollectible."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.stripe_server import StripeServer

Refused = Any


def types(v1: Any) -> list[str]:
    """The types of all events, oldest first."""
    return [event.type for event in v1.events.list({"limit": 100}).auto_paging_iter()][::-1]


def test_a_draft_becomes_open_by_finalising(stripe: StripeServer, v1: Any, draft: Any) -> None:
    stripe.clock.set(datetime(2026, 3, 1, tzinfo=UTC))
    invoice = draft(1000, -200, metadata={"holdfast_invoice": "i1"})
    assert (invoice.status, invoice.number, invoice.effective_at, invoice.hosted_invoice_url) == (
        "draft",
        None,
        None,
        None,
    )
    assert (invoice.subtotal, invoice.total, invoice.amount_due, invoice.auto_advance) == (800, 800, 800, False)
    assert invoice.due_date == stripe.clock.now() + 14 * 86_400
    stripe.clock.advance(hours=1)
    opened = v1.invoices.finalize_invoice(invoice.id, {"auto_advance": False})
    assert (opened.status, opened.number[-5:], opened.effective_at) == ("open", "-0001", stripe.clock.now())
    assert opened.status_transitions.finalized_at == stripe.clock.now()
    assert (opened.total, opened.amount_due, opened.amount_remaining, opened.amount_paid) == (800, 800, 800, 0)
    assert opened.hosted_invoice_url.startswith(stripe.url)
    assert types(v1)[-3:] == ["invoice.updated", "invoice.finalized", "payment_intent.created"]
    assert v1.invoices.finalize_invoice(draft(1).id).status == "paid", "below the minimum charge"
    assert v1.invoices.finalize_invoice(draft(100).id).number[-5:] == "-0003"


def test_nothing_due_is_paid_at_once(v1: Any, draft: Any) -> None:
    zero = v1.invoices.finalize_invoice(draft(500, -500).id)
    assert (zero.status, zero.total, zero.amount_paid) == ("paid", 0, 0)
    assert types(v1)[-2:] == ["invoice.paid", "invoice.payment_succeeded"]


def test_a_negative_total_lowers_the_balance_and_the_next_invoice_uses_it(v1: Any, customer: str, draft: Any) -> None:
    negative = v1.invoices.finalize_invoice(draft(-700).id)
    assert (negative.status, negative.amount_due, negative.starting_balance, negative.ending_balance) == (
        "paid",
        0,
        0,
        -700,
    )
    assert v1.customers.retrieve(customer).balance == -700
    following = v1.invoices.finalize_invoice(draft(1000).id)
    assert (following.starting_balance, following.ending_balance, following.amount_due) == (-700, 0, 300)
    entries = v1.customers.balance_transactions.list(customer).data
    assert [(entry.amount, entry.type) for entry in entries] == [
        (700, "applied_to_invoice"),
        (-700, "applied_to_invoice"),
    ]
    v1.invoices.void_invoice(following.id)
    assert v1.customers.retrieve(customer).balance == -700, "what a voided invoice had used comes back"


def test_below_the_minimum_charge_the_balance_takes_it(v1: Any, customer: str, opened: Any) -> None:
    small = opened(30)
    assert (small.status, small.total, small.amount_due, small.ending_balance) == ("paid", 30, 0, 30)
    assert v1.customers.retrieve(customer).balance == 30
    v1.customers.update(customer, {"balance": 500})
    assert (opened(-10).amount_due, v1.customers.retrieve(customer).balance) == (0, 490), "a credit never charges"
    assert opened(100).amount_due == 590


def test_auto_advance(stripe: StripeServer, v1: Any, draft: Any) -> None:
    stripe.clock.set(1_800_000_000)
    stays, moves = draft(1000), draft(1000, auto_advance=True)
    stripe.clock.advance(seconds=3599)
    assert [v1.invoices.retrieve(invoice.id).status for invoice in (stays, moves)] == ["draft", "draft"]
    stripe.clock.advance(seconds=1)
    assert [v1.invoices.retrieve(invoice.id).status for invoice in (stays, moves)] == ["draft", "open"]
    assert [event.request.id for event in v1.events.list({"type": "invoice.finalized"}).data] == [None]
    cannot = draft(auto_advance=True)  # without lines
    stripe.clock.advance(days=20)
    assert v1.invoices.retrieve(stays.id).status == "draft"
    failed = v1.invoices.retrieve(cannot.id)
    assert (failed.status, failed.last_finalization_error.code) == ("draft", "invoice_no_customer_line_items")
    assert types(v1).count("invoice.finalization_failed") == 1


def test_items_only_into_drafts_and_at_most_250(
    v1: Any, customer: str, draft: Any, opened: Any, refused: Refused
) -> None:
    full = draft(*[1] * 249)
    two = {"lines": [{"amount": 1}, {"amount": 1}]}
    assert refused(v1.invoices.add_lines, full.id, two)["status"] == 400
    item = {"customer": customer, "invoice": full.id, "amount": 1}
    v1.invoice_items.create(item)
    assert refused(v1.invoice_items.create, item)["param"] == "invoice"
    again = v1.invoices.retrieve(full.id)
    assert (again.total, len(again.lines.data), again.lines.has_more) == (250, 10, True), "an invoice shows ten lines"
    assert len(list(v1.invoices.line_items.list(full.id, {"limit": 100}).auto_paging_iter())) == 250
    done = opened(500)
    assert refused(v1.invoices.add_lines, done.id, two)["code"] == "invoice_not_editable"
    assert refused(v1.invoice_items.create, {**item, "invoice": done.id})["code"] == "invoice_not_editable"
    line = done.lines.data[0].parent.invoice_item_details.invoice_item
    assert refused(v1.invoice_items.update, line, {"amount": 1})["code"] == "invoice_not_editable"
    assert refused(v1.invoice_items.delete, line)["code"] == "invoice_not_editable"
    assert refused(v1.invoices.update, done.id, {"description": "x"})["code"] == "invoice_not_editable"
    assert v1.invoices.update(done.id, {"metadata": {"late": "yes"}}).metadata["late"] == "yes"


def test_pending_items_wait_for_an_invoice_that_asks(v1: Any, customer: str, draft: Any) -> None:
    stray = v1.invoice_items.create({"customer": customer, "amount": 77, "currency": "usd"})
    assert draft(100).total == draft(100, pending_invoice_items_behavior="exclude").total == 100
    assert v1.invoice_items.list({"customer": customer, "pending": True}).data[0].id == stray.id
    taking = draft(pending_invoice_items_behavior="include")
    assert (taking.total, v1.invoice_items.retrieve(stray.id).invoice) == (77, taking.id)


def test_a_pending_item_can_be_named_as_a_line(v1: Any, customer: str, draft: Any, refused: Refused) -> None:
    item = v1.invoice_items.create({"customer": customer, "amount": 77, "currency": "usd"})
    named = {"lines": [{"invoice_item": item.id}]}
    invoice = v1.invoices.add_lines(draft().id, named)
    assert invoice.lines.data[0].parent.invoice_item_details.invoice_item == item.id
    assert refused(v1.invoices.add_lines, invoice.id, named)["param"] == "lines[0][invoice_item]"


def test_quantity_goes_with_a_unit_amount(v1: Any, customer: str, refused: Refused) -> None:
    base = {"customer": customer, "currency": "usd"}
    item = v1.invoice_items.create({**base, "unit_amount_decimal": "0.125", "quantity": 20})
    assert (item.amount, item.quantity, str(item.pricing.unit_amount_decimal)) == (3, 20, "0.125"), "2.5 to 3"
    assert v1.invoice_items.update(item.id, {"quantity": 100}).amount == 13
    assert refused(v1.invoice_items.create, {**base, "amount": 5, "quantity": 2})["code"] == "parameters_exclusive"
    assert refused(v1.invoice_items.create, base)["code"] == "parameter_missing"


def test_an_item_changes_and_goes_with_its_draft(v1: Any, draft: Any, refused: Refused) -> None:
    invoice = draft(100, 200)
    first, second = (line.parent.invoice_item_details.invoice_item for line in invoice.lines.data)
    v1.invoice_items.update(first, {"amount": 150, "description": "changed"})
    v1.invoice_items.delete(second)
    changed = v1.invoices.retrieve(invoice.id)
    assert (changed.total, changed.lines.data[0].description, len(changed.lines.data)) == (150, "changed", 1)
    assert v1.invoices.delete(invoice.id).deleted is True
    assert refused(v1.invoices.retrieve, invoice.id)["status"] == 404
    assert refused(v1.invoice_items.retrieve, first)["status"] == 404


def test_finalising_takes_lines(v1: Any, draft: Any, opened: Any, refused: Refused) -> None:
    assert refused(v1.invoices.finalize_invoice, draft().id)["code"] == "invoice_no_customer_line_items"
    assert "already finalized" in refused(v1.invoices.finalize_invoice, opened(100).id)["message"]
    assert refused(v1.invoices.delete, opened(100).id)["status"] == 400


def test_sending(v1: Any, customer: str, draft: Any, opened: Any, refused: Refused) -> None:
    assert v1.invoices.send_invoice(opened(100).id).status == "open"
    assert types(v1)[-1] == "invoice.sent"
    assert v1.invoices.send_invoice(draft(100).id).status == "open", "a draft is finalised first"
    charged = v1.invoices.create({"customer": customer})
    assert "send_invoice" in refused(v1.invoices.send_invoice, charged.id)["message"]
    silent = v1.customers.create({"name": "No e-mail"}).id
    sent = {"customer": silent, "collection_method": "send_invoice", "days_until_due": 1}
    assert refused(v1.invoices.create, sent)["message"].startswith("Missing email.")


def test_paying(v1: Any, customer: str, opened: Any, refused: Refused) -> None:
    invoice = opened(1000)
    assert refused(v1.invoices.pay, invoice.id)["param"] == "payment_method"
    error = refused(v1.invoices.pay, invoice.id, {"payment_method": "pm_card_chargeDeclined"})
    assert (error["status"], error["type"], error["code"]) == (402, "card_error", "card_declined")
    assert error["decline_code"] == "generic_decline"
    assert types(v1)[-3:] == ["payment_intent.payment_failed", "invoice.updated", "invoice.payment_failed"]
    failed = v1.invoices.retrieve(invoice.id)
    assert (failed.status, failed.attempt_count, failed.attempted, failed.amount_remaining) == ("open", 1, True, 1000)
    paid = v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa", "expand": ["payments"]})
    assert (paid.status, paid.amount_paid, paid.amount_remaining, paid.attempt_count) == ("paid", 1000, 0, 2)
    intent = v1.payment_intents.retrieve(paid.payments.data[0].payment.payment_intent, {"expand": ["latest_charge"]})
    assert (intent.status, intent.amount_received, intent.latest_charge.paid) == ("succeeded", 1000, True)
    entry = v1.invoice_payments.list({"invoice": invoice.id, "status": "paid"}).data[0]
    assert (entry.amount_paid, entry.is_default) == (1000, True)
    assert types(v1)[-3:] == ["invoice.updated", "invoice.paid", "invoice.payment_succeeded"]
    assert refused(v1.invoices.pay, invoice.id)["message"] == "Invoice is already paid"
    assert refused(v1.invoices.void_invoice, invoice.id)["status"] == 400
    assert v1.balance.retrieve().available[0].amount == 1000


def test_paying_by_the_default_of_the_customer(v1: Any, customer: str, draft: Any, refused: Refused) -> None:
    assert refused(v1.payment_methods.attach, "pm_card_chargeDeclined", {"customer": customer})["status"] == 402
    method = v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
    assert [found.id for found in v1.payment_methods.list({"customer": customer}).data] == [method.id]
    assert v1.invoices.pay(draft(1000).id).status == "paid", "a draft is finalised first"
    kept = draft(1000, collection_method="charge_automatically", days_until_due=None)
    assert v1.invoices.finalize_invoice(kept.id).status == "open", "it does not advance by itself"
    charged = draft(1000, collection_method="charge_automatically", days_until_due=None, auto_advance=True)
    assert v1.invoices.finalize_invoice(charged.id).status == "paid", "it advances by itself"


def test_paid_outside_of_stripe(v1: Any, opened: Any) -> None:
    paid = v1.invoices.pay(opened(1000).id, {"paid_out_of_band": True, "expand": ["amount_paid_off_stripe"]})
    assert (paid.status, paid.amount_paid, paid.amount_paid_off_stripe) == ("paid", 1000, 1000)
    statuses = [(entry.payment.type, entry.status) for entry in v1.invoice_payments.list({"invoice": paid.id}).data]
    assert statuses == [("payment_record", "paid"), ("payment_intent", "canceled")]
    assert "amount_paid_off_stripe" not in v1.invoices.retrieve(paid.id), "only where it is asked for"
    assert v1.balance.retrieve().available[0].amount == 0


def test_void_and_uncollectible(v1: Any, draft: Any, opened: Any, refused: Refused) -> None:
    for method in (v1.invoices.void_invoice, v1.invoices.mark_uncollectible):
        assert refused(method, draft(100).id)["status"] == 400
    invoice = opened(1000)
    assert v1.invoices.mark_uncollectible(invoice.id).status == "uncollectible"
    assert refused(v1.invoices.mark_uncollectible, invoice.id)["status"] == 400
    assert v1.invoices.void_invoice(invoice.id).status == "void"
    entry = v1.invoice_payments.list({"invoice": invoice.id, "expand": ["data.payment.payment_intent"]}).data[0]
    assert (entry.status, entry.payment.payment_intent.status) == ("canceled", "canceled")
    assert refused(v1.invoices.pay, invoice.id)["message"] == "Voided invoices cannot be paid."
    late = opened(1000)
    v1.invoices.mark_uncollectible(late.id)
    assert v1.invoices.pay(late.id, {"payment_method": "pm_card_visa"}).status == "paid"


def test_a_deleted_customer(v1: Any, customer: str, draft: Any, opened: Any, refused: Refused) -> None:
    waiting, sent = draft(1000), opened(1000)
    item = v1.invoice_items.create({"customer": customer, "amount": 1, "currency": "usd"})
    assert v1.customers.delete(customer).deleted is True
    assert v1.customers.retrieve(customer).deleted is True
    error = refused(v1.invoices.create, {"customer": customer})
    assert (error["status"], error["code"], error["param"]) == (400, "resource_missing", "customer")
    assert refused(v1.customers.update, customer, {"name": "x"})["status"] == 404
    assert refused(v1.invoices.finalize_invoice, waiting.id)["code"] == "resource_missing"
    assert refused(v1.invoice_items.retrieve, item.id)["status"] == 404
    assert v1.invoices.void_invoice(sent.id).status == "void"


@pytest.mark.parametrize(
    ("rates", "amounts", "subtotal", "total", "net"),
    [
        ([(19, False)], [1000, 1000], 2000, 2380, 2000),
        ([(19, True)], [1190], 1190, 1190, 1000),
        # Rounded per line: 3 x 0.5 is 3 x 1, not 2.
        ([(5, False)], [10, 10, 10], 30, 33, 30),
        ([(5, False)], [-10, 10], 0, 0, 0),
        # Quebec: two rates on the same net amount.
        ([(5, False), (9.975, False)], [10_000], 10_000, 11_498, 10_000),
        ([(20, True), (10, False)], [1200], 1200, 1300, 1000),
    ],
)
def test_tax_rates_are_computed_per_line(
    v1: Any, draft: Any, rates: list[tuple[float, bool]], amounts: list[int], subtotal: int, total: int, net: int
) -> None:
    ids = [
        v1.tax_rates.create({"display_name": "Tax", "percentage": percentage, "inclusive": inclusive}).id
        for percentage, inclusive in rates
    ]
    by_default = draft(*amounts, default_tax_rates=ids)
    lines = [{"amount": amount, "tax_rates": ids} for amount in amounts]
    by_line = v1.invoices.add_lines(draft().id, {"lines": lines})
    for invoice in (by_default, by_line):
        assert (invoice.subtotal, invoice.total, invoice.total_excluding_tax) == (subtotal, total, net)
        taxes = sum(tax.amount for line in invoice.lines.data for tax in line.taxes)
        assert sum(tax.amount for tax in invoice.total_taxes) == taxes == total - net


def test_an_exempt_customer_pays_no_tax(v1: Any, customer: str, draft: Any) -> None:
    rate = v1.tax_rates.create({"display_name": "VAT", "percentage": 19, "inclusive": False})
    v1.customers.update(customer, {"tax_exempt": "reverse"})
    invoice = draft(1000, default_tax_rates=[rate.id])
    assert (invoice.total, invoice.total_taxes[0].taxability_reason) == (1000, "reverse_charge")


def test_a_rate_no_longer_active_is_refused(v1: Any, draft: Any, refused: Refused) -> None:
    rate = v1.tax_rates.create({"display_name": "VAT", "percentage": 19, "inclusive": False})
    v1.tax_rates.update(rate.id, {"active": False})
    assert v1.tax_rates.list({"active": True}).data == []
    assert (
        refused(v1.invoices.add_lines, draft().id, {"lines": [{"amount": 1, "tax_rates": [rate.id]}]})["status"] == 400
    )
