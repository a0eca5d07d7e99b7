"""Credit notes (https://docs.stripe.com/invoicing/integration/programmatic-credit-notes)."""

from decimal import Decimal
from typing import Any

from tests.stripe_server import money, payments, shapes
from tests.stripe_server.catalogue import rates_named
from tests.stripe_server.customers import move_balance
from tests.stripe_server.errors import StripeFailure, no_such, not_covered
from tests.stripe_server.invoices import mark_paid
from tests.stripe_server.items import rates_of
from tests.stripe_server.params import merged_metadata
from tests.stripe_server.routing import route
from tests.stripe_server.world import Object, World

COVERED = "amount credit_amount effective_at email_type invoice lines memo metadata out_of_band_amount reason "
COVERED += "refund_amount refunds"
_LINE = {"amount", "description", "invoice_line_item", "metadata", "quantity", "tax_rates", "type", "unit_amount"}
_LINE |= {"unit_amount_decimal"}


def _issued(world: World, invoice: Object) -> list[Object]:
    return [
        note for note in world.all("credit_note") if note["invoice"] == invoice["id"] and note["status"] == "issued"
    ]


def _lines_of(world: World, invoice: Object, line_id: str) -> list[Object]:
    """What the notes so far credit of one line of the invoice."""
    lines = [line for note in _issued(world, invoice) for line in world.lines[note["id"]]]
    return [line for line in lines if line["invoice_line_item"] == line_id]


def _of_invoice_line(
    world: World, invoice: Object, given: dict[str, Any], at: str, taken: dict[str, int]
) -> tuple[int, Object]:
    """(amount, the invoice's line) of a line that credits one; `taken` is what this note's lines before it credit."""
    id, amount, quantity = given.get("invoice_line_item"), given.get("amount"), given.get("quantity")
    param = f"{at}[invoice_line_item]"
    if not id:
        raise StripeFailure("An invoice_line_item is needed.", code="parameter_missing", param=param)
    own = next((line for line in world.lines[invoice["id"]] if line["id"] == id), None)
    if own is None:
        raise no_such("invoice line item", id, param)
    if (amount is None) == (quantity is None):
        raise StripeFailure("Exactly one of amount and quantity is needed.", param=f"{at}[amount]")
    if given.get("tax_rates"):
        raise not_covered(f"{at}[tax_rates] of an invoice_line_item")
    if quantity is not None:
        if not own["quantity"] or quantity > own["quantity"]:
            raise StripeFailure("The quantity is more than that of the invoice line.", param=f"{at}[quantity]")
        amount = money.rounded(Decimal(own["amount"]) * quantity / Decimal(own["quantity_decimal"]))
    assert amount is not None
    earlier = _lines_of(world, invoice, id)
    if any((line["quantity"] is None) != (quantity is None) for line in earlier):
        raise StripeFailure("You can't combine crediting a line by amount and by quantity.", param=param)
    left = own["amount"] - sum(line["amount"] for line in earlier) - taken.get(id, 0)
    if not 0 < amount <= left:
        raise StripeFailure(
            f"The amount ({amount}) must be of what is left of the line ({left}).", param=f"{at}[amount]"
        )
    taken[id] = taken.get(id, 0) + amount
    return amount, own


def _custom(given: dict[str, Any], at: str) -> int:
    """The amount of a line of its own."""
    unit = given.get("unit_amount_decimal", given.get("unit_amount"))
    if "amount" in given or given.get("invoice_line_item"):
        raise StripeFailure("A custom_line_item takes unit_amount and quantity.", param=f"{at}[amount]")
    if unit is None or given.get("quantity") is None or not given.get("description"):
        raise StripeFailure(
            "A custom_line_item needs description, quantity and unit_amount.", code="parameter_missing", param=at
        )
    return money.rounded(Decimal(unit) * given["quantity"])


def _line(world: World, invoice: Object, given: dict[str, Any], at: str, taken: dict[str, int]) -> Object:
    if unknown := given.keys() - _LINE:
        raise not_covered(f"{at}[{sorted(unknown)[0]}]")
    own: Object | None = None
    if given["type"] == "invoice_line_item":
        amount, own = _of_invoice_line(world, invoice, given, at, taken)
        rates = rates_of(world, invoice, own)
    else:
        amount = _custom(given, at)
        rates = rates_named(world, given.get("tax_rates"), f"{at}[tax_rates]")
    money.check_amount(amount, invoice["currency"], f"{at}[amount]")
    unit = given.get("unit_amount_decimal", given.get("unit_amount"))
    return shapes.new(
        "credit_note_line_item",
        id=world.new_id("cnli"),
        amount=amount,
        description=given.get("description") or (own["description"] if own else None),
        discount_amount=0,
        discount_amounts=[],
        invoice_line_item=own["id"] if own else None,
        livemode=world.livemode,
        metadata=merged_metadata({}, given.get("metadata"), f"{at}[metadata]"),
        pretax_credit_amounts=[],
        quantity=given.get("quantity"),
        tax_rates=[dict(rate) for rate in rates],
        taxes=money.taxes_of(amount, rates, invoice["customer_tax_exempt"]),
        type=given["type"],
        unit_amount=int(unit) if unit is not None and unit == int(unit) else None,
        unit_amount_decimal=str(unit) if unit is not None else None,
    )


def _parts(
    world: World, invoice: Object, params: dict[str, Any]
) -> tuple[Object, list[Object], list[tuple[Object, int]]]:
    """A note as it would be (in no store), its lines, and the refunds it links. Every check of the request is here."""
    if invoice["status"] not in ("open", "paid"):
        raise StripeFailure(
            f"You can only create credit notes for open or paid invoices. This invoice is {invoice['status']}.",
            param="invoice",
        )
    taken: dict[str, int] = {}
    lines = [_line(world, invoice, line, f"lines[{n}]", taken) for n, line in enumerate(params.get("lines", []))]
    taxes = [tax for line in lines for tax in line["taxes"]]
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal + money.exclusive(taxes)
    if not lines:
        if "amount" not in params:
            raise StripeFailure(
                "One of amount, lines, or shipping_cost must be provided.", code="parameter_missing", param="amount"
            )
        subtotal = total = params["amount"]
    elif params.get("amount", total) != total:
        raise StripeFailure(f"The amount must equal the sum of the lines with their tax ({total}).", param="amount")
    money.check_amount(total, invoice["currency"])
    if total <= 0:
        raise StripeFailure("The credit note amount must be greater than 0.", param="amount")
    before = sum(note["total"] for note in _issued(world, invoice))
    if before + total > invoice["total"]:
        raise StripeFailure(
            f"The sum of credit notes ({before + total}) can't be more than the invoice's total ({invoice['total']}).",
            param="amount",
        )
    pre = min(total, invoice["amount_remaining"]) if invoice["status"] == "open" else 0
    post = total - pre
    links = []
    for n, link in enumerate(params.get("refunds", [])):
        if link.get("type", "refund") != "refund":
            raise not_covered(f"refunds[{n}][type]=payment_record_refund")
        refund = world.get("refund", link.get("refund", ""), f"refunds[{n}][refund]")
        linked = sum(
            entry["amount_refunded"]
            for note in _issued(world, invoice)
            for entry in note["refunds"]
            if entry["refund"] == refund["id"]
        )
        amount = link.get("amount_refunded", refund["amount"] - linked)
        charge = payments.charged_for(world, invoice)
        if charge is None or refund["charge"] != charge["id"]:
            raise StripeFailure("The refund is not one of this invoice's payment.", param=f"refunds[{n}][refund]")
        if amount < 1 or linked + amount > refund["amount"]:
            raise StripeFailure("More than what the refund gave back.", param=f"refunds[{n}][amount_refunded]")
        links.append((refund, amount))
    named = {name: params.get(name, 0) for name in ("refund_amount", "credit_amount", "out_of_band_amount")}
    for name, amount in named.items():
        if amount < 0:
            raise StripeFailure("Invalid non-negative integer", code="parameter_invalid_integer", param=name)
    given_back = sum(named.values()) + sum(amount for _, amount in links)
    if given_back != post:
        raise StripeFailure(
            f"The sum of refund_amount, credit_amount, out_of_band_amount and refunds ({given_back}) must equal the "
            f"credit note's post-payment amount ({post}).",
            param="amount",
        )
    if named["refund_amount"]:
        charge = payments.charged_for(world, invoice)
        if charge is None:
            raise StripeFailure("There is no charge to refund on this invoice.", param="refund_amount")
        payments.check_refund(charge, named["refund_amount"], "refund_amount")
    number = len([note for note in world.all("credit_note") if note["invoice"] == invoice["id"]]) + 1
    note = shapes.new(
        "credit_note",
        id=world.new_id("cn"),
        created=world.clock.now(),
        livemode=world.livemode,
        amount=total,
        amount_shipping=0,
        currency=invoice["currency"],
        customer=invoice["customer"],
        discount_amount=0,
        discount_amounts=[],
        effective_at=params.get("effective_at") or world.clock.now(),
        invoice=invoice["id"],
        memo=params.get("memo") or None,
        metadata=merged_metadata({}, params.get("metadata")),
        number=f"{invoice['number']}-CN-{number:02d}",
        out_of_band_amount=params.get("out_of_band_amount"),
        pdf=f"{invoice['invoice_pdf']}?credit_note={number}",
        post_payment_amount=post,
        pre_payment_amount=pre,
        pretax_credit_amounts=[],
        reason=params.get("reason"),
        refunds=[{"amount_refunded": amount, "payment_record_refund": None, "refund": refund["id"], "type": "refund"}
                 for refund, amount in links],
        status="issued",
        subtotal=subtotal,
        subtotal_excluding_tax=subtotal - money.inclusive(taxes),
        total=total,
        total_excluding_tax=total - sum(tax["amount"] for tax in taxes),
        total_taxes=money.summed(taxes),
        type="mixed" if pre and post else "post_payment" if post else "pre_payment",
    )  # fmt: skip
    return note, lines, links


@route("POST", "/v1/credit_notes", "credit_notes.create", "CreditNoteCreateParams", COVERED)
def create(world: World, params: dict[str, Any]) -> Object:
    """What remains of an open invoice first; the rest goes where the request says."""
    invoice = world.get("invoice", params["invoice"], "invoice")
    note, lines, _ = _parts(world, invoice, params)
    customer = world.get("customer", invoice["customer"], "customer") if params.get("credit_amount") else None
    world.by_kind["credit_note"][note["id"]] = note
    world.lines[note["id"]] = lines
    if params.get("refund_amount"):
        charge = payments.charged_for(world, invoice)
        assert charge is not None
        refund = payments.refund(world, charge, params["refund_amount"], {})
        note["refunds"].append(
            {
                "amount_refunded": refund["amount"],
                "payment_record_refund": None,
                "refund": refund["id"],
                "type": "refund",
            }
        )
    if customer is not None:
        amount = -params["credit_amount"]
        entry = move_balance(world, customer, invoice["currency"], amount, "credit_note", invoice["id"], note["id"])
        note["customer_balance_transaction"] = entry["id"] if entry else None
    world.emit("credit_note.created", note)
    _apply(world, invoice, note, 1)
    return note


def _apply(world: World, invoice: Object, note: Object, sign: int) -> None:
    """Credit the invoice with a note, or take a voided one back (`sign` -1)."""
    pre, post = sign * note["pre_payment_amount"], sign * note["post_payment_amount"]
    world.record("credited", invoice["id"], pre=pre, post=post)
    with world.updating(invoice, "invoice.updated"):
        invoice["post_payment_credit_notes_amount"] += post
        invoice["pre_payment_credit_notes_amount"] += pre
        invoice["amount_due"] -= pre
        invoice["amount_remaining"] -= pre
    if invoice["status"] != "open":
        return
    if invoice["amount_remaining"] == 0:
        payments.cancel_intent(world, invoice, "void_invoice")
        mark_paid(world, invoice)
    else:
        payments.lower_intent(world, invoice)


@route("GET", "/v1/credit_notes/preview", "credit_notes.preview", "CreditNotePreviewParams", COVERED)
def preview(world: World, params: dict[str, Any]) -> Object:
    """The note `create` would make of the same parameters, with an id that leads nowhere."""
    note, lines, _ = _parts(world, world.get("invoice", params["invoice"], "invoice"), params)
    listed = {
        "object": "list",
        "data": lines[:10],
        "has_more": len(lines) > 10,
        "url": "/v1/credit_notes/preview/lines",
    }
    return {**note, "lines": listed}


@route("POST", "/v1/credit_notes/{id}/void", "credit_notes.void", "CreditNoteVoidCreditNoteParams")
def void(world: World, params: dict[str, Any], id: str) -> Object:
    """Only while the invoice is open: "you can't void a credit note on a paid invoice"."""
    note = world.get("credit_note", id)
    invoice = world.get("invoice", note["invoice"])
    if note["status"] == "void":
        raise StripeFailure("This credit note is already void.")
    if invoice["status"] != "open" or note["post_payment_amount"]:
        raise StripeFailure("You can only void credit notes on open invoices.")
    with world.updating(note, "credit_note.voided"):
        note.update(status="void", voided_at=world.clock.now())
    _apply(world, invoice, note, -1)
    return note
