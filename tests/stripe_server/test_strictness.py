"""What is not in the package's parameter types, or not as they say, is refused with the parameter's name."""

import urllib.request
from typing import Any

import pytest

from tests.stripe_server import StripeServer
from tests.stripe_server.money import SUPPORTED, THREE_DECIMAL

Refused = Any
GOOD = {"currency": "usd", "customer": "CUSTOMER", "collection_method": "charge_automatically"}
WRONG: list[tuple[str, str, dict[str, Any], str | None, str | None]] = [
    # route, object, parameters on top of GOOD, code, param
    ("invoices.create", "invoices", {"paid": True}, "parameter_unknown", "paid"),
    ("invoices.create", "invoices", {"automatic_tax": {"on": True}}, "parameter_unknown", "automatic_tax[on]"),
    (
        "invoices.create",
        "invoices",
        {"automatic_tax": {"liability": {"type": "self"}}},
        "parameter_missing",
        "automatic_tax[enabled]",
    ),
    ("invoices.create", "invoices", {"collection_method": "by_hand"}, None, "collection_method"),
    ("invoices.create", "invoices", {"days_until_due": "soon"}, "parameter_invalid_integer", "days_until_due"),
    ("invoices.create", "invoices", {"days_until_due": 14}, None, "days_until_due"),
    ("invoices.create", "invoices", {"collection_method": "send_invoice"}, None, "days_until_due"),
    ("invoices.create", "invoices", {"auto_advance": "yes"}, None, "auto_advance"),
    ("invoices.create", "invoices", {"currency": "xyz"}, None, "currency"),
    ("invoices.create", "invoices", {"currency": ""}, None, None),
    ("invoices.create", "invoices", {"customer": "cus_gone"}, "resource_missing", "customer"),
    ("invoices.create", "invoices", {"metadata": {"k" * 41: "v"}}, None, "metadata"),
    ("invoices.create", "invoices", {"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
    ("invoices.create", "invoices", {"metadata": {f"k{n}": "v" for n in range(51)}}, None, "metadata"),
    ("invoices.create", "invoices", {"metadata": {"k": {"in": "v"}}}, None, "metadata[k]"),
    ("invoices.create", "invoices", {"description": "x" * 5001}, None, "description"),
    ("invoices.create", "invoices", {"default_tax_rates": ["txr_none"]}, "resource_missing", "default_tax_rates[0]"),
    (
        "invoices.create",
        "invoices",
        {"custom_fields": [{"name": "PO"}]},
        "parameter_missing",
        "custom_fields[0][value]",
    ),
    ("invoices.create", "invoices", {"expand": ["total"]}, None, "expand"),
    ("invoices.create", "invoices", {"expand": ["nothing"]}, None, "expand"),
]


@pytest.mark.parametrize(("route", "resource", "more", "code", "param"), WRONG)
def test_wrong_parameters_of_an_invoice(
    v1: Any, customer: str, refused: Refused, route: str, resource: str, more: dict[str, Any], code: Any, param: Any
) -> None:
    given = {**GOOD, "customer": customer, **more}
    if more.get("currency") == "":  # unsets: the customer's currency, or the account's
        assert getattr(v1, resource).create(given).currency == "usd"
        return
    error = refused(getattr(v1, resource).create, given)
    assert (error["status"], error["type"], error.get("code"), error.get("param")) == (
        400,
        "invalid_request_error",
        code,
        param,
    )


def test_required_parameters_are_named(v1: Any, refused: Refused) -> None:
    assert refused(v1.invoices.create, {})["param"] == "customer"
    assert refused(v1.credit_notes.create, {})["param"] == "invoice"
    assert refused(v1.tax_rates.create, {"inclusive": True, "percentage": 1})["param"] == "display_name"
    assert refused(v1.invoices.add_lines, "in_x", {})["code"] == "parameter_missing"
    assert refused(v1.billing.meter_events.create, {"event_name": "x"})["param"] == "payload"


def test_what_stripe_takes_and_this_server_does_not_is_said(v1: Any, customer: str, refused: Refused) -> None:
    error = refused(
        v1.invoices.create, {"customer": customer, "shipping_details": {"name": "x", "address": {"line1": "y"}}}
    )
    assert (error["status"], error["code"]) == (501, "not_covered")
    assert refused(v1.invoices.create, {"customer": customer, "automatic_tax": {"enabled": True}})["status"] == 501


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [
        ("jpy", 500, None),
        ("kwd", 5120, None),
        ("kwd", 5124, "parameter_invalid_integer"),
        ("bhd", -1, "parameter_invalid_integer"),
        ("isk", 500, None),
        ("isk", 550, "parameter_invalid_integer"),
        ("ugx", 1, "parameter_invalid_integer"),
        ("usd", 99_999_999, None),
        ("usd", 100_000_000, "amount_too_large"),
        ("usd", -100_000_000, "amount_too_large"),
    ],
)
def test_amounts_are_integers_of_the_minor_unit(
    v1: Any, customer: str, refused: Refused, currency: str, amount: int, code: str | None
) -> None:
    given = {"customer": customer, "currency": currency, "amount": amount}
    if code is None:
        assert v1.invoice_items.create(given).amount == amount
    else:
        error = refused(v1.invoice_items.create, given)
        assert (error["status"], error["code"], error["param"]) == (400, code, "amount")


def test_a_sum_of_amounts_has_the_same_limit(v1: Any, draft: Any, refused: Refused) -> None:
    invoice = draft(99_999_999, 1)
    assert refused(v1.invoices.finalize_invoice, invoice.id)["code"] == "amount_too_large"
    assert v1.invoices.retrieve(invoice.id).status == "draft"
    assert THREE_DECIMAL < SUPPORTED


def test_descriptions_have_their_own_lengths(v1: Any, customer: str, draft: Any, refused: Refused) -> None:
    invoice = draft()
    long = {"lines": [{"amount": 1, "description": "x" * 500}, {"amount": 1, "description": "x" * 501}]}
    assert refused(v1.invoices.add_lines, invoice.id, long)["param"] == "lines[1][description]"
    assert v1.invoices.retrieve(invoice.id).lines.data == [], "all lines or none"
    assert refused(v1.customers.update, customer, {"description": "x" * 351})["param"] == "description"


def test_the_key_decides_on_world_and_mode(
    stripe: StripeServer, connect: Any, v1: Any, customer: str, refused: Refused
) -> None:
    live = connect(stripe.live_key)
    assert refused(live.customers.retrieve, customer)["status"] == 404
    assert live.customers.create({}).livemode is True
    assert connect("rk_test_restricted").customers.retrieve(customer).livemode is False
    account, key = stripe.add_account()
    other = connect(key)
    assert other.accounts.retrieve_current().id == account != v1.accounts.retrieve_current().id == stripe.account
    assert refused(other.customers.retrieve, customer)["code"] == "resource_missing"
    for bad in ("sk_wrong", "holdfast", "sk_test_"):
        assert refused(connect(bad).balance.retrieve)["status"] == 401
    assert refused(connect("pk_test_1").balance.retrieve)["code"] == "secret_key_required"
    stripe.revoke(stripe.key)
    assert refused(v1.balance.retrieve)["code"] == "api_key_expired"


def test_no_key_at_all_is_401(stripe: StripeServer) -> None:
    with pytest.raises(urllib.request.HTTPError) as caught:  # type: ignore[attr-defined]
        urllib.request.urlopen(f"{stripe.url}/v1/balance", timeout=5)
    with caught.value as answer:
        assert answer.code == 401


def test_another_version_is_that_of_the_events_it_causes(stripe: StripeServer, connect: Any, refused: Refused) -> None:
    older = connect(stripe_version="2026-01-28.clover")
    older.customers.create({})
    assert older.events.list().data[0].api_version == "2026-01-28.clover"
    assert refused(connect(stripe_version="latest").customers.list)["status"] == 400


def test_an_unknown_address_is_404(v1: Any, connect: Any, refused: Refused) -> None:
    assert refused(v1.subscriptions.list)["status"] == 404
    assert refused(v1.invoices.retrieve, "in_none")["code"] == "resource_missing"


def test_form_encoding_reaches_every_depth(v1: Any, customer: str) -> None:
    updated = v1.customers.update(
        customer,
        {
            "address": {"line1": "1 & 2 = ü", "country": "DE"},
            "metadata": {"a": "1", "b": "2"},
            "invoice_settings": {"custom_fields": [{"name": "PO", "value": "7"}, {"name": "Ref", "value": "x"}]},
            "preferred_locales": ["de", "en"],
        },
    )
    assert updated.address.line1 == "1 & 2 = ü"
    assert [field.name for field in updated.invoice_settings.custom_fields] == ["PO", "Ref"]
    assert updated.preferred_locales == ["de", "en"]
    assert v1.customers.update(customer, {"metadata": {"a": ""}}).metadata.to_dict() == {"b": "2"}
    assert v1.customers.update(customer, {"metadata": "", "address": ""}).metadata.to_dict() == {}
    assert v1.customers.retrieve(customer).address is None
