"""`manage.py stripe`: how it stands, connections, what is due, what was before, and what a person decides."""

from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from contracts.models import Customer
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice
from invoicing.payment import mark_paid, mark_uncollectible
from invoicing.refusals import public_id
from invoicing.void import void
from payments import connections
from payments.models import Connection, Finding, Operation, Reconciliation
from tests.payments.conftest import Stripe, World


def run(*argv: str) -> str:
    """What is printed."""
    out = StringIO()
    call_command("stripe", *argv, stdout=out)
    return out.getvalue()


def refused(*argv: str) -> tuple[str, str, int]:
    """What is printed, why it ends, and with which exit status."""
    out = StringIO()
    with pytest.raises(CommandError) as ended:
        call_command("stripe", *argv, stdout=out)
    return out.getvalue(), str(ended.value), ended.value.returncode


@pytest.fixture
def parked(stripe: Stripe, acme: Customer) -> Operation:
    """An invoice that is not finalised, because of a balance that somebody gave by hand."""
    first = stripe.issue(acme, "10.00")
    stripe.sync()
    stripe.v1.customers.update(stripe.invoice(first).customer, {"balance": -300})
    stripe.issue(acme, "20.00")
    stripe.sync()
    return Operation.objects.get(status="parked")


@pytest.fixture
def before(stripe: Stripe, acme: Customer) -> None:
    """Nothing is connected yet."""
    Connection.objects.all().delete()


def unset(stripe: Stripe) -> None:
    """The key is taken out, and the process starts anew."""
    stripe.settings.STRIPE_KEY = ""
    connections.forget()


# --- How it stands ----------------------------------------------------------------------------------------------------


def test_status_where_all_is_well(stripe: Stripe, acme: Customer) -> None:
    stripe.settings.STRIPE_WEBHOOK_SECRETS = ["whsec_x"]
    stripe.issue(acme, "10.00")
    said = run("status")
    since = f"{Connection.objects.get(audience='live').connected_at:%Y-%m-%d %H:%M} UTC"
    assert f"Account          {stripe.server.account} (test mode)" in said
    assert f"Connected since  {since}" in said
    assert "Operations       1 waiting, 0 parked, the oldest since" in said
    assert "Webhook secrets    1" in said
    assert "Wrong" not in said
    assert stripe.server.key not in said and "whsec_x" not in said


def test_status_names_what_is_wrong(stripe: Stripe, parked: Operation) -> None:
    said, why, code = refused("status")
    assert code == 1
    assert "Operations       0 waiting, 1 parked" in said
    assert f"Last error       {parked.public_id}: With the customer's balance at Stripe" in said
    assert "Mismatches       1" in said
    told = said.split("Wrong:")[1]
    assert "No webhook secret is set" in told
    assert "- Customers: 1 operation is parked" in told
    assert "1 document is not the same at Stripe" in told
    assert why == "Something is wrong with the sync."


def test_status_of_a_key_of_another_account(stripe: Stripe) -> None:
    _, other = stripe.server.add_account()
    stripe.settings.STRIPE_KEY = other
    said, _, code = refused("status")
    assert code == 1
    assert "manage.py stripe connect --live" in said and "nothing is sent" in said


def test_status_of_a_key_that_is_refused_or_gone(stripe: Stripe) -> None:
    connections.forget()
    stripe.server.revoke(stripe.server.key)
    said, _, code = refused("status")
    assert code == 1 and "Check HOLDFAST_STRIPE_KEY" in said
    unset(stripe)
    said, _, code = refused("status")
    assert code == 1 and "- Customers: Connected, but nothing is sent. There is no key" in said
    assert "manage.py stripe disconnect --test" in said
    run("disconnect", "--test")
    assert "Test customers: " not in refused("status")[0]


def test_status_sees_that_nobody_works(stripe: Stripe, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    stripe.settings.STRIPE_WEBHOOK_SECRETS = ["whsec_x"]
    stripe.issue(acme, "10.00")
    run("status")
    Operation.objects.update(created_at=stripe.now.replace(year=2026, month=1))
    said, _, _ = refused("status")
    assert "are the worker and beat running, or manage.py pump?" in said


def test_status_tells_of_what_the_reconciliation_found(stripe: Stripe, acme: Customer) -> None:
    account = stripe.server.account
    run_ = Reconciliation.objects.create(account=account, livemode=False, begun_at=stripe.now, touched_at=stripe.now)
    found = Finding.objects.create(
        account=account, livemode=False, kind="total", about="1", what="Another total.", way_out="Void it.",
        first=run_, last=run_, found_at=stripe.now,
    )  # fmt: skip
    told = "The reconciliation found 1 difference: manage.py stripe_reconcile --last"
    assert told in refused("status")[0]
    Finding.objects.update(account="acct_before")
    assert "reconciliation" not in refused("status")[0], "of an account that is no longer connected"
    Finding.objects.filter(pk=found.pk).update(account=account, mended_at=stripe.now)
    assert "reconciliation" not in refused("status")[0]


def test_status_when_stripe_is_off(stripe: Stripe, before: None) -> None:
    unset(stripe)
    assert run("status") == "Stripe is off: no key is set (HOLDFAST_STRIPE_KEY).\n"


# --- Connections ------------------------------------------------------------------------------------------------------


def test_connect_says_which_account_and_mode(stripe: Stripe, before: None) -> None:
    said = run("connect")
    assert f"Customers are connected with account {stripe.server.account} (test mode)." in said
    assert f"Test customers are connected with account {stripe.server.account} (test mode)." in said
    since = {one.audience: one.connected_at for one in Connection.objects.all()}
    assert set(since) == {"live", "test"}
    assert "Customers were connected already" in run("connect", "--live")
    assert since == {one.audience: one.connected_at for one in Connection.objects.all()}


def test_connect_anew_with_another_account(stripe: Stripe) -> None:
    account, other = stripe.server.add_account()
    stripe.settings.STRIPE_KEY = other
    assert f"anew, before with {stripe.server.account}, with account {account}" in run("connect", "--live")
    assert {one.audience: one.account for one in Connection.objects.all()} == {
        "live": account, "test": stripe.server.account,
    }  # fmt: skip


def test_connect_needs_a_key_and_test_customers_no_live_one(stripe: Stripe, before: None) -> None:
    stripe.settings.STRIPE_KEY = stripe.server.live_key
    _, why, code = refused("connect", "--test")
    assert code == 1 and "Test customers never go by a live key" in why
    assert "(live mode)" in run("connect")
    assert not Connection.objects.filter(audience="test").exists()
    unset(stripe)
    assert "set HOLDFAST_STRIPE_KEY" in refused("connect")[1]


def test_disconnect_once_the_key_is_gone(stripe: Stripe, acme: Customer) -> None:
    stripe.issue(acme, "10.00")
    assert "The key is still set" in refused("disconnect", "--live")[1]
    unset(stripe)
    said = run("disconnect", "--live")
    assert f"Customers are disconnected from account {stripe.server.account}" in said and "Still open: 1." in said
    stripe.issue(acme, "20.00")
    assert Operation.objects.filter(kind="invoice").count() == 1, "nothing further is noted"
    assert refused("disconnect", "--live")[1] == "Customers are not connected."
    # What is open stays, and goes on with the account.
    stripe.settings.STRIPE_KEY = stripe.server.key
    run("connect", "--live")
    assert "1 operation done." in run("sync")


# --- Work -------------------------------------------------------------------------------------------------------------


def test_sync_works_until_nothing_is_due(stripe: Stripe, acme: Customer, committed_world: World) -> None:
    beta = committed_world.customer("beta", email="ap@beta.example")
    for customer in (acme, beta, acme):
        stripe.issue(customer, "10.00")
    assert run("sync") == "3 operations done.\n"
    assert run("sync") == "0 operations done.\n"
    assert len(stripe.server.books().invoices) == 3


def test_sync_connects_and_tells_what_is_parked(stripe: Stripe, parked: Operation) -> None:
    said, why, code = refused("sync")
    assert code == 2 and "1 operation parked" in why
    assert f"Parked {parked.public_id} (Issue the invoice: " in said and "acme" in said
    unset(stripe)
    Connection.objects.all().delete()
    assert refused("sync")[1].startswith("Stripe is not connected.")


# --- What was issued before -------------------------------------------------------------------------------------------


def test_push_what_is_to_be_paid_in_order_of_issue(stripe: Stripe, before: None, acme: Customer) -> None:
    issued = [stripe.issue(acme, f"{n}0.00") for n in (1, 2, 3, 4, 5)]
    mark_paid(issued[1].id, now=stripe.now)
    mark_uncollectible(issued[2].id, now=stripe.now)
    void(issued[3].id, now=stripe.now)
    assert f"Left {issued[0].number}: Stripe is not connected for it" in run("push", "--customer", "acme")
    run("connect")
    assert "2 invoices would be noted, 0 left." in run("push", "--customer", "acme", "--dry-run")
    assert not Operation.objects.exists()
    assert "2 invoices noted, 0 left." in run("push", "--customer", "acme")
    assert "0 invoices noted, 0 left." in run("push", "--since", "1970-01-01")
    said, why, code = refused("push", issued[0].number or "", public_id(issued[1]), issued[3].number or "")
    assert code == 1 and why == "Not every invoice that was named goes to Stripe."
    assert f"Left {issued[0].number}: it was noted before (sop_" in said
    assert f"Left {issued[1].number}: it is paid: with --all it goes there as such" in said
    assert f"Left {issued[3].number}: it is void" in said
    run("sync")
    assert [one.total for one in stripe.v1.invoices.list().auto_paging_iter()] == [5000, 1000], "newest first"
    # What becomes of it now is noted as of any other.
    mark_paid(issued[0].id, now=stripe.now)
    run("sync")
    assert stripe.invoice(issued[0]).status == "paid"


def test_push_of_what_is_closed_sends_nothing(stripe: Stripe, before: None, acme: Customer) -> None:
    paid, given_up = stripe.issue(acme, "10.00"), stripe.issue(acme, "20.00")
    mark_paid(paid.id, now=stripe.now)
    mark_uncollectible(given_up.id, now=stripe.now)
    run("connect")
    assert "2 invoices noted" in run("push", "--customer", "acme", "--all")
    assert "4 operations done." in run("sync")
    assert [stripe.invoice(one).status for one in (paid, given_up)] == ["paid", "uncollectible"]
    assert ("invoices.send", 200) not in stripe.server.log
    assert stripe.server.books().check() == []
    assert [Invoice.objects.get(pk=one.pk).status for one in (paid, given_up)] == ["paid", "uncollectible"]


def test_push_leaves_what_credit_stands_on(stripe: Stripe, before: None, acme: Customer) -> None:
    invoice = stripe.issue(acme, "10.00")
    goodwill(Goodwill(invoice.id, "a slow answer", Decimal("1.00")), now=stripe.now, by="Ann")
    run("connect")
    assert "credit notes stand on it" in refused("push", public_id(invoice))[0]
    assert not Operation.objects.filter(kind="invoice").exists()


@pytest.mark.parametrize(("argv", "said"), [
    ([], "Say which"),
    (["HF-1", "--customer", "acme"], "Say which"),
    (["HF-9"], "There is no invoice HF-9: give its number, or its id"),
    (["inv_9"], "There is no invoice inv_9"),
    (["--customer", "nobody"], "There is no customer 'nobody'."),
    (["--since", "yesterday"], "--since: give a day"),
])  # fmt: skip
def test_push_of_what_is_not_there(stripe: Stripe, acme: Customer, argv: list[str], said: str) -> None:
    assert said in refused("push", *argv)[1]


def test_push_since_a_day(stripe: Stripe, before: None, acme: Customer) -> None:
    invoice = stripe.issue(acme, "10.00")
    run("connect")
    assert invoice.issued_at is not None
    assert "0 invoices would" in run("push", "--dry-run", "--since", f"{invoice.issued_at.replace(year=2098):%Y-%m-%d}")
    assert "1 invoice would" in run("push", "--dry-run", "--since", invoice.issued_at.isoformat())


# --- Decisions --------------------------------------------------------------------------------------------------------


def test_retry_and_skip(stripe: Stripe, acme: Customer, parked: Operation) -> None:
    assert f"{parked.public_id} (Issue the invoice: " in run("retry", "--all")
    parked.refresh_from_db()
    assert (parked.status, parked.decided_by) == ("waiting", "manage.py stripe")
    refused("sync")
    assert f"{parked.public_id} (Issue" in run("retry", parked.public_id)
    refused("sync")
    assert "is skipped." in run("skip", parked.public_id, "--reason", "sent by post")
    parked.refresh_from_db()
    assert (parked.status, parked.reason, parked.decided_by) == ("skipped", "sent by post", "manage.py stripe")
    assert "only what waits or is parked" in refused("retry", parked.public_id)[1]
    assert "only what waits or is parked" in refused("skip", parked.public_id, "--reason", "again")[1]
    assert run("retry", "--all") == "Nothing is parked.\n"


def test_decisions_on_what_is_not_there(stripe: Stripe, parked: Operation) -> None:
    for argv in (["retry"], ["retry", parked.public_id, "--all"]):
        assert "Say which" in refused(*argv)[1]
    for name in ("sop_1", "sop_01h455vb4pex5vsknk084sn02q", "17"):
        assert "There is no operation" in refused("retry", name)[1]
    assert "must say why" in refused("skip", parked.public_id, "--reason", " ")[1]
    parked.refresh_from_db()
    assert parked.status == "parked"


def test_a_key_is_never_printed(stripe: Stripe, parked: Operation, capsys: Any) -> None:
    said = [refused("status")[0], run("connect"), refused("sync")[0]]
    assert stripe.server.key not in "".join([*said, *capsys.readouterr()])
