"""``/v1/stripe``, and what invoices and credit notes say of Stripe."""

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access import keys
from contracts.models import Customer
from invoicing import credit
from invoicing import queries as invoicing_queries
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import CreditNote
from invoicing.payment import mark_paid
from invoicing.refusals import public_id
from payments import lanes, queries
from payments.models import Connection, Operation, StripeCredit, StripeInvoice
from tests.access.conftest import Api, check_envelope, committed_api
from tests.payments.conftest import Stripe, World

__all__ = ["committed_api"]

LIST = "/v1/stripe/operations"


def get(api: Api, path: str) -> Any:
    answer = api.get(path)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


@pytest.fixture
def parked(stripe: Stripe, acme: Customer) -> Operation:
    """The second of three invoices is not finalised, because of a balance that somebody gave by hand."""
    first = stripe.issue(acme, "10.00")
    stripe.sync()
    stripe.v1.customers.update(stripe.invoice(first).customer, {"balance": -300})
    stripe.issue(acme, "20.00")
    stripe.issue(acme, "30.00")
    stripe.sync()
    return Operation.objects.get(status="parked")


# --- Operations -------------------------------------------------------------------------------------------------------


def test_an_operation_with_its_steps(committed_api: Api, stripe: Stripe, parked: Operation) -> None:
    shown = get(committed_api, f"{LIST}/{parked.public_id}")
    steps = shown.pop("steps")
    assert parked.invoice is not None
    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        "id": parked.public_id,
        "kind": "invoice",
        "status": "parked",
        "available_actions": ["retry", "skip"],
        "customer": "acme",
        "invoice": public_id(parked.invoice),
        "credit_note": None,
        "number": parked.invoice.number,
        "charge": None,
        "attempts": 1,
        "next_attempt_at": None,
        "waits_for": None,
        "code": "mismatch",
        "reason": parked.reason,
        "account": stripe.server.account,
        "mode": "test",
        "decided_by": None,
        "finished_at": None,
    }
    assert [(one["name"], one["epoch"], one["stale"], one["dropped"]) for one in steps] == [
        ("invoice", 1, False, False),
        ("lines", 1, False, False),
    ]
    theirs = stripe.invoice(parked.invoice)
    assert steps[0]["answer"] == {
        "id": theirs.id, "object": "invoice", "status": "draft", "number": parked.invoice.number, "currency": "usd",
        "total": 0, "amount_due": 0, "amount_remaining": 0,
    }  # fmt: skip
    assert steps[0]["idempotency_key"] == f"{parked.public_id}.invoice.1"
    assert steps[0]["begun_at"] <= steps[0]["ended_at"]


def test_the_list_pages_and_narrows(committed_api: Api, parked: Operation) -> None:
    found, cursor = [], ""
    while cursor is not None:
        page = get(committed_api, f"{LIST}?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        found += page["data"]
        cursor = page["next_cursor"]
    assert [one["status"] for one in found] == ["waiting", "parked", "done"], "newest first"
    assert [one["waits_for"] for one in found] == [parked.public_id, None, None]
    assert [one["available_actions"] for one in found] == [["retry", "skip"], ["retry", "skip"], []]

    def ids(query: str) -> list[str]:
        return [one["id"] for one in get(committed_api, f"{LIST}?{query}")["data"]]

    assert ids("status=parked") == ids(f"invoice={found[1]['invoice']}") == [parked.public_id]
    assert ids("customer=acme&kind=invoice") == [one["id"] for one in found]
    assert ids("kind=void") == ids("customer=nobody") == []
    for wrong in ("status=lost", "kind=lost", "invoice=lost", "colour=blue"):
        assert committed_api.get(f"{LIST}?{wrong}").status_code == 400, wrong


def test_retry_and_skip(committed_api: Api, stripe: Stripe, parked: Operation) -> None:
    path = f"{LIST}/{parked.public_id}"
    answer = committed_api.post(f"{path}/retry")
    assert answer.status_code == 200
    shown = json.loads(answer.content)
    assert (shown["status"], shown["attempts"], shown["decided_by"]) == ("waiting", 0, "API key test")
    stripe.now += timedelta(minutes=1)
    stripe.sync()
    assert get(committed_api, path)["status"] == "parked"
    for wrong in ({}, {"reason": ""}, {"reason": "x", "why": "y"}):
        check_envelope(committed_api.post(f"{path}/skip", wrong), 422, "invalid")
    check_envelope(committed_api.post(f"{path}/retry", {"reason": "x"}), 422, "invalid")
    shown = json.loads(committed_api.post(f"{path}/skip", {"reason": "sent by post"}).content)
    assert (shown["status"], shown["reason"], shown["available_actions"]) == ("skipped", "sent by post", [])
    assert shown["finished_at"] is not None
    check_envelope(committed_api.post(f"{path}/skip", {"reason": "again"}), 409, "operation_finished")
    check_envelope(committed_api.post(f"{path}/retry"), 409, "operation_finished")


def test_what_is_worked_now_is_not_skipped(committed_api: Api, stripe: Stripe, acme: Customer) -> None:
    stripe.issue(acme, "10.00")
    operation = Operation.objects.get()
    assert lanes.take(acme.pk, timezone.now()) is not None
    answer = committed_api.post(f"{LIST}/{operation.public_id}/skip", {"reason": "x"})
    check_envelope(answer, 409, "operation_in_progress")


def test_what_is_not_there(committed_api: Api, stripe: Stripe) -> None:
    for name in ("sop_1", "sop_01h455vb4pex5vsknk084sn02q", "inv_01h455vb4pex5vsknk084sn02q"):
        for method, rest in (("GET", ""), ("POST", "/retry")):
            check_envelope(committed_api(method, f"{LIST}/{name}{rest}"), 404, "not_found")


def test_scopes(committed_api: Api, parked: Operation) -> None:
    def key(scope: str) -> Api:
        return Api(keys.create("test", [scope], now=parked.created_at)[1])

    reader, sender, writer = key("read"), key("events:write"), key("write")
    path = f"{LIST}/{parked.public_id}"
    for address in ("/v1/stripe", LIST, path):
        assert reader.get(address).status_code == 200
        check_envelope(sender.get(address), 403, "missing_scope")
    for action in ("retry", "skip"):
        check_envelope(reader.post(f"{path}/{action}", {"reason": "x"}), 403, "missing_scope")
    assert writer.post(f"{path}/retry").status_code == 200
    assert Api(None).get(LIST).status_code == 401


# --- How it stands ----------------------------------------------------------------------------------------------------


def test_how_it_stands(committed_api: Api, stripe: Stripe, parked: Operation) -> None:
    requests = len(stripe.server.log)
    shown = get(committed_api, "/v1/stripe")
    assert len(stripe.server.log) == requests, "Stripe is not asked"
    live, test = shown["audiences"]
    oldest, since = live.pop("oldest_at"), live.pop("connected_at")
    assert oldest <= get(committed_api, f"{LIST}/{parked.public_id}")["created_at"] and since.endswith("Z")
    assert live == {
        "audience": "live",
        "key": "test",
        "account": stripe.server.account,
        "mode": "test",
        "waiting": 1,
        "parked": 1,
        "mismatches": 1,
        "last_error": {"operation": parked.public_id, "code": "mismatch", "message": parked.reason},
        "problems": [
            "1 operation is parked: mend what the reason names, then retry or skip.",
            "1 document is not the same at Stripe: see what differs of each.",
        ],
    }
    assert (test["account"], test["waiting"], test["problems"]) == (stripe.server.account, 0, [])
    assert (shown["ok"], shown["webhook_secrets"]) == (False, 0)
    assert shown["events"] == {"waiting": 0, "failed": 0}
    assert shown["problems"] == [
        "No webhook secret is set: what is paid at Stripe is heard of late. Set HOLDFAST_STRIPE_WEBHOOK_SECRETS."
    ]
    assert stripe.server.key not in json.dumps(shown)


def test_how_it_stands_without_stripe(committed_api: Api, stripe: Stripe) -> None:
    Connection.objects.all().delete()
    stripe.settings.STRIPE_KEY = ""
    shown = get(committed_api, "/v1/stripe")
    assert shown["ok"] is True
    assert [(one["key"], one["account"], one["connected_at"]) for one in shown["audiences"]] == [(None,) * 3] * 2


# --- Invoices and credit notes ----------------------------------------------------------------------------------------


def test_an_invoice_says_how_it_stands_at_stripe(committed_api: Api, stripe: Stripe, acme: Customer) -> None:
    draft = stripe.issue(acme, "10.00")
    path = f"/v1/invoices/{public_id(draft)}"
    operation = Operation.objects.get()
    waiting = get(committed_api, path)["stripe"]
    assert (waiting["id"], waiting["status"], waiting["total"], waiting["hosted_url"]) == (None,) * 4
    assert waiting["operations"] == [
        {"id": operation.public_id, "kind": "invoice", "status": "waiting", "reason": None}
    ]
    stripe.sync()
    theirs = stripe.invoice(draft)
    shown = get(committed_api, path)["stripe"]
    assert shown.pop("seen_at").endswith("Z")
    assert shown == {
        "id": theirs.id,
        "account": stripe.server.account,
        "mode": "test",
        "status": "open",
        "collection_method": "send_invoice",
        "total": "10.00",
        "amount_due": "10.00",
        "amount_remaining": "10.00",
        "hosted_url": theirs.hosted_invoice_url,
        "mismatch": None,
        "last_failure": None,
        "operations": [],
    }
    mark_paid(draft.id, now=stripe.now)
    assert [one["kind"] for one in get(committed_api, path)["stripe"]["operations"]] == ["paid"]


def test_an_invoice_that_stripe_has_nothing_to_do_with(committed_api: Api, stripe: Stripe, acme: Customer) -> None:
    Connection.objects.all().delete()
    invoice = stripe.issue(acme, "10.00")
    assert get(committed_api, f"/v1/invoices/{public_id(invoice)}")["stripe"] is None


@pytest.mark.parametrize(("currency", "amount"), [
    ("JPY", "500"), ("KWD", "1.230"), ("ISK", "500"), ("USD", "0.30"),
])  # fmt: skip
def test_amounts_are_in_major_units(
    committed_api: Api, stripe: Stripe, committed_world: World, currency: str, amount: str
) -> None:
    customer = committed_world.customer("beta", email="ap@beta.example", currency=currency)
    invoice = stripe.issue(customer, amount)
    stripe.sync()
    shown = get(committed_api, f"/v1/invoices/{public_id(invoice)}")
    assert shown["stripe"]["total"] == shown["total"] == amount


def test_a_credit_note_says_how_it_stands_at_stripe(committed_api: Api, stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "10.00")
    note = goodwill(Goodwill(invoice.id, "a slow answer", Decimal("3.00")), now=stripe.now, by="Ann")
    assert get(committed_api, f"/v1/credit_notes/{credit.public_id(note)}")["stripe"] == []
    StripeCredit.objects.create(
        allocation=note.allocations.get(), account="acct_1", livemode=False, stripe_id="cn_1", amount=300,
        before_payment=200, to_balance=100, advice="Look.", created_at=stripe.now,
    )  # fmt: skip
    assert get(committed_api, f"/v1/credit_notes/{credit.public_id(note)}")["stripe"] == [{
        "id": "cn_1", "account": "acct_1", "mode": "test", "invoice": public_id(invoice), "amount": "3.00",
        "before_payment": "2.00", "to_balance": "1.00", "refunded": "0.00", "outside": "0.00", "refund": None,
        "refund_status": None, "advice": "Look.", "mismatch": None,
    }]  # fmt: skip


# --- Set-wise ---------------------------------------------------------------------------------------------------------


def counted(act: Callable[[], Any]) -> int:
    """The queries of an act, but for those of the key, whose last use is noted once a minute."""
    with CaptureQueriesContext(connection) as captured:
        act()
    return sum("access_apikey" not in query["sql"] for query in captured)


def test_lists_ask_as_much_for_many_as_for_one(
    committed_api: Api, stripe: Stripe, committed_world: World, acme: Customer
) -> None:
    stripe.issue(acme, "10.00")
    beta = committed_world.customer("beta", email="ap@beta.example")
    stripe.sync()

    def asked() -> list[int]:
        return [counted(partial(get, committed_api, path)) for path in ("/v1/invoices", LIST, "/v1/stripe")]

    for _ in range(2):
        few = asked()  # the second time nothing is read for the first time
    for customer in (acme, beta, beta):
        stripe.issue(customer, "20.00")
        stripe.issue(customer, "30.00")
    stripe.sync()
    mark_paid(StripeInvoice.objects.order_by("invoice")[0].invoice_id, now=stripe.now)
    stripe.issue(beta, "40.00")
    assert asked() == few
    rows = list(invoicing_queries.invoices())
    assert len(rows) == 8 and StripeInvoice.objects.count() == 7
    assert counted(lambda: queries.invoice_details(rows)) == 2
    assert counted(lambda: queries.credit_note_details(list(CreditNote.objects.all()))) == 1


def test_the_openapi_document_names_them(committed_api: Api, stripe: Stripe) -> None:
    document = get(committed_api, "/v1/openapi.json")
    found = {path: set(methods) for path, methods in document["paths"].items() if path.startswith("/v1/stripe")}
    assert found == {
        "/v1/stripe": {"get"},
        LIST: {"get"},
        f"{LIST}/{{id}}": {"get"},
        f"{LIST}/{{id}}/retry": {"post"},
        f"{LIST}/{{id}}/skip": {"post"},
    }


def properties(document: Any, name: str) -> set[str]:
    return set(document["components"]["schemas"][name]["properties"])


def test_the_openapi_document_names_every_field(committed_api: Api, stripe: Stripe, parked: Operation) -> None:
    document = get(committed_api, "/v1/openapi.json")
    operation = get(committed_api, f"{LIST}/{parked.public_id}")
    assert properties(document, "OperationDetail") == set(operation)
    assert properties(document, "OperationDetail") - {"steps"} == properties(document, "Operation")
    assert properties(document, "StripeStep") == set(operation["steps"][0])
    standing = get(committed_api, "/v1/stripe")
    assert properties(document, "StripeStanding") == set(standing)
    assert properties(document, "StripeAudience") == set(standing["audiences"][0])
    invoice = get(committed_api, f"/v1/invoices/{operation['invoice']}")
    assert properties(document, "Invoice") == set(invoice)
    assert properties(document, "StripeInvoice") == set(invoice["stripe"])
    note = goodwill(Goodwill(parked.invoice_id, "late", Decimal("1.00")), now=parked.created_at, by="Ann")
    StripeCredit.objects.create(
        allocation=note.allocations.get(),
        account="acct_1",
        livemode=False,
        amount=1,
        outside=1,
        created_at=note.created_at,
    )
    [credited] = get(committed_api, f"/v1/credit_notes/{credit.public_id(note)}")["stripe"]
    assert properties(document, "StripeCredit") == set(credited) and credited["id"] is None
