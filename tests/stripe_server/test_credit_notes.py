"""Money that goes back: before payment from what remains, after it where the request says."""

from typing import Any

import pytest

Refused = Any


@pytest.fixture
def paid(v1: Any, opened: Any) -> Any:
    return lambda *amounts, **params: v1.invoices.pay(opened(*amounts, **params).id, {"payment_method": "pm_card_visa"})


def test_a_note_on_an_open_invoice_lowers_what_remains(v1: Any, opened: Any) -> None:
    invoice = opened(1000)
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 300, "reason": "order_change", "memo": "late"})
    assert (note.type, note.pre_payment_amount, note.post_payment_amount, note.status) == (
        "pre_payment",
        300,
        0,
        "issued",
    )
    assert note.number == f"{invoice.number}-CN-01"
    after = v1.invoices.retrieve(invoice.id)
    assert (after.status, after.total, after.amount_due, after.amount_remaining) == ("open", 1000, 700, 700)
    entry = v1.invoice_payments.list({"invoice": invoice.id, "expand": ["data.payment.payment_intent"]}).data[0]
    assert (entry.amount_requested, entry.payment.payment_intent.amount) == (700, 700)
    assert (after.pre_payment_credit_notes_amount, after.post_payment_credit_notes_amount) == (300, 0)
    assert v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).amount_paid == 700


def test_nothing_remaining_is_paid(v1: Any, opened: Any, refused: Refused) -> None:
    invoice = opened(1000)
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 1000})
    assert v1.invoices.retrieve(invoice.id).status == "paid"
    assert "open invoices" in refused(v1.credit_notes.void_credit_note, note.id)["message"]


def test_voiding_a_note_puts_it_back(v1: Any, opened: Any, refused: Refused) -> None:
    invoice = opened(1000)
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 400})
    assert v1.credit_notes.void_credit_note(note.id).status == "void"
    assert v1.invoices.retrieve(invoice.id).amount_remaining == 1000
    assert refused(v1.credit_notes.void_credit_note, note.id)["status"] == 400
    assert v1.credit_notes.create({"invoice": invoice.id, "amount": 1000}).number.endswith("-CN-02")


def test_after_payment_the_parts_add_up(v1: Any, customer: str, paid: Any, opened: Any, refused: Refused) -> None:
    invoice = paid(1000)
    base = {"invoice": invoice.id, "amount": 600}
    assert refused(v1.credit_notes.create, base)["status"] == 400
    assert refused(v1.credit_notes.create, {**base, "credit_amount": 500})["status"] == 400
    note = v1.credit_notes.create({**base, "credit_amount": 250, "refund_amount": 200, "out_of_band_amount": 150})
    assert (note.type, note.post_payment_amount, note.out_of_band_amount) == ("post_payment", 600, 150)
    refund = v1.refunds.retrieve(note.refunds[0].refund)
    assert (refund.amount, refund.status) == (200, "succeeded")
    assert v1.customers.retrieve(customer).balance == -250
    assert v1.invoices.retrieve(invoice.id).post_payment_credit_notes_amount == 600
    following = opened(1000)
    assert (following.starting_balance, following.amount_due, following.ending_balance) == (-250, 750, 0)
    over = {"invoice": invoice.id, "amount": 401, "out_of_band_amount": 401}
    assert "can't be more" in refused(v1.credit_notes.create, over)["message"]


def test_a_refund_made_before_is_linked(v1: Any, paid: Any, refused: Refused) -> None:
    invoice = paid(1000)
    charge = v1.invoice_payments.list({"invoice": invoice.id, "expand": ["data.payment.payment_intent"]}).data[0]
    intent = charge.payment.payment_intent
    refund = v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    linked = {"invoice": invoice.id, "amount": 300, "refunds": [{"refund": refund.id, "amount_refunded": 300}]}
    assert v1.credit_notes.create(linked).refunds[0].amount_refunded == 300
    assert refused(v1.credit_notes.create, linked)["param"] == "refunds[0][amount_refunded]"
    assert refused(v1.refunds.create, {"charge": intent.latest_charge, "amount": 701})["param"] == "amount"
    assert v1.refunds.create({"charge": intent.latest_charge}).amount == 700
    assert refused(v1.refunds.create, {"charge": intent.latest_charge})["code"] == "charge_already_refunded"
    assert v1.refunds.list({"payment_intent": intent.id}).data[0].amount == 700


def test_lines_with_their_tax(v1: Any, draft: Any, refused: Refused) -> None:
    vat = v1.tax_rates.create({"display_name": "VAT", "percentage": 19, "inclusive": False})
    made = v1.invoices.add_lines(draft().id, {"lines": [{"amount": 1000, "tax_rates": [vat.id]}, {"amount": 500}]})
    invoice = v1.invoices.finalize_invoice(made.id)
    taxed, plain = invoice.lines.data
    lines = [
        {"type": "invoice_line_item", "invoice_line_item": taxed.id, "amount": 100},
        {"type": "custom_line_item", "description": "Goodwill", "quantity": 2, "unit_amount": 25},
    ]
    wanted = {"invoice": invoice.id, "lines": lines}
    shown = v1.credit_notes.preview(wanted)
    note = v1.credit_notes.create(wanted)
    for found in (shown, note):
        assert (found.subtotal, found.total, found.total_taxes[0].amount) == (150, 169, 19)
    assert [line.amount for line in v1.credit_notes.line_items.list(note.id).data] == [100, 50]
    assert [found.id for found in v1.credit_notes.list({"invoice": invoice.id}).data] == [note.id], "a preview is none"
    over = {"type": "invoice_line_item", "invoice_line_item": taxed.id, "amount": 901}
    assert refused(v1.credit_notes.create, {"invoice": invoice.id, "lines": [over]})["param"] == "lines[0][amount]"
    assert refused(v1.credit_notes.create, {**wanted, "amount": 150})["param"] == "amount"
    mixed = {"type": "invoice_line_item", "invoice_line_item": taxed.id, "quantity": 1}
    assert refused(v1.credit_notes.create, {"invoice": invoice.id, "lines": [mixed]})["param"].endswith(
        "[invoice_line_item]"
    )
    whole = {"type": "invoice_line_item", "invoice_line_item": plain.id, "quantity": 1}
    assert v1.credit_notes.create({"invoice": invoice.id, "lines": [whole]}).total == 500


@pytest.mark.parametrize("status", ["draft", "void", "uncollectible"])
def test_only_open_and_paid_invoices_take_one(v1: Any, draft: Any, opened: Any, refused: Refused, status: str) -> None:
    invoice = draft(1000) if status == "draft" else opened(1000)
    if status == "void":
        v1.invoices.void_invoice(invoice.id)
    if status == "uncollectible":
        v1.invoices.mark_uncollectible(invoice.id)
    assert refused(v1.credit_notes.create, {"invoice": invoice.id, "amount": 1})["param"] == "invoice"


def test_an_amount_is_needed_and_is_not_more_than_the_invoice(v1: Any, opened: Any, refused: Refused) -> None:
    invoice = opened(1000)
    assert refused(v1.credit_notes.create, {"invoice": invoice.id})["code"] == "parameter_missing"
    for amount in (0, -5, 1001):
        assert refused(v1.credit_notes.create, {"invoice": invoice.id, "amount": amount})["param"] == "amount"


def test_a_balance_is_adjusted_by_transactions(
    stripe: Any, v1: Any, customer: str, opened: Any, refused: Refused
) -> None:
    adjust = v1.customers.balance_transactions.create
    made = adjust(
        customer, {"amount": -250, "currency": "USD", "description": "CN-000001", "metadata": {"holdfast": "cn_1"}}
    )
    assert (made.amount, made.ending_balance, made.type, made.currency) == (-250, -250, "adjustment", "usd")
    assert (made.description, made.metadata.holdfast, made.credit_note, made.invoice) == (
        "CN-000001",
        "cn_1",
        None,
        None,
    )
    assert adjust(customer, {"amount": 50, "currency": "usd"}).ending_balance == -200
    assert adjust(customer, {"amount": -700, "currency": "eur"}).ending_balance == -700
    known = v1.customers.retrieve(customer, {"expand": ["invoice_credit_balance"]})
    assert (known.currency, known.balance, known.invoice_credit_balance.to_dict()) == (
        "usd", -200, {"usd": -200, "eur": -700},
    )  # fmt: skip
    invoice = opened(1000)
    assert invoice.amount_due == 800
    listed = v1.customers.balance_transactions.list
    assert [one.amount for one in listed(customer).data] == [200, -700, 50, -250]
    assert [one.amount for one in listed(customer, {"invoice": invoice.id}).data] == [200]
    assert listed(customer, {"created": {"gt": made.created + 600}}).data == []
    assert stripe.books().balances[customer, "eur"] == -700
    assert stripe.dashboard().adjust_balance(customer, -5)["ending_balance"] == -5
    for wrong, param in (
        ({"amount": 0, "currency": "usd"}, "amount"), ({"amount": 5, "currency": "xyz"}, "currency"),
        ({"amount": 5}, "currency"), ({"amount": 1255, "currency": "kwd"}, "amount"),
        ({"amount": 5, "currency": "usd", "description": "x" * 351}, "description"),
    ):  # fmt: skip
        assert refused(adjust, customer, wrong)["param"] == param
    assert refused(adjust, "cus_other", {"amount": 5, "currency": "usd"})["status"] == 404


def test_a_refund_that_fails_gave_nothing_back(stripe: Any, v1: Any, paid: Any, refused: Refused) -> None:
    invoice = paid(1000)
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 300, "refund_amount": 300})
    id = note.refunds[0].refund
    assert stripe.books().invoices[invoice.id].refunded == 300
    failed = stripe.dashboard().fail_refund(id, "lost_or_stolen_card")
    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert v1.refunds.retrieve(id).status == "failed"
    assert stripe.books().invoices[invoice.id].refunded == 0
    assert v1.charges.retrieve(failed["charge"]).amount_refunded == 0
    assert v1.balance.retrieve().available[0].amount == 1000
    event = v1.events.list({"type": "refund.failed"}).data[0]
    assert (event.data.object.id, event.data.object.status) == (id, "failed")
