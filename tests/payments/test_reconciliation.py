"""Both sides are held against each other: what somebody did at Stripe without us is named, once, with the way out."""

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from contracts.models import Customer
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.credit_notes import refund as pay_back
from invoicing.models import CreditNote, Invoice
from invoicing.payment import mark_paid
from invoicing.refusals import public_id
from invoicing.void import void
from payments import findings, reconciliation
from payments.models import (
    Finding,
    Operation,
    Reconciliation,
    Step,
    StripeCredit,
    StripeCustomer,
    StripeInvoice,
)
from payments.operations import skip
from tests.database import thawed
from tests.payments.conftest import Stripe
from tests.payments.test_events import opened, status, told
from tests.webhooks.conftest import Receiver, make_receiver, receiver, subscribe

__all__ = ["make_receiver", "receiver"]


def compare(stripe: Stripe) -> Reconciliation:
    [run] = reconciliation.reconcile(lambda: stripe.now)
    assert run.failure == "", run.failure
    return run


def found(stripe: Stripe) -> list[tuple[str, str]]:
    """Compare; kind and text of what is open then."""
    compare(stripe)
    return list(Finding.objects.filter(mended_at=None).order_by("id").values_list("kind", "what"))


def writes(stripe: Stripe, since: int) -> list[str]:
    reading = ("list", "retrieve", "search", "lines", "balance_transactions")
    return [route for route, _ in stripe.server.log[since:] if route.split(".")[1] not in reading]


def test_all_agrees(stripe: Stripe, acme: Customer) -> None:
    (_, a), (_, b), (voided, _), (paid, _), _ = opened(stripe, acme, "1.00", "2.00", "3.00", "4.00", "5.00")
    stripe.server.dashboard().pay(a)
    stripe.server.dashboard().mark_uncollectible(b)
    void(voided.id, now=stripe.now)
    mark_paid(paid.id, now=stripe.now)
    stripe.sync()
    before = len(stripe.server.log)
    run = compare(stripe)
    assert (run.findings_open, run.findings_new, run.adopted) == (0, 0, 0)
    assert run.compared == {"customers": 1, "invoices": 5, "credit_notes": 0, "refunds": 0}
    # What was read there without a webhook is so here.
    assert sorted(Invoice.objects.values_list("status", flat=True)) == [
        "issued", "paid", "paid", "uncollectible", "void",
    ]  # fmt: skip
    assert writes(stripe, before) == []


def test_it_is_told_once_and_mended(stripe: Stripe, acme: Customer, receiver: Receiver) -> None:
    subscribe(receiver, "sync.mismatch", now=stripe.now)
    [(_invoice, _stripe_id)] = opened(stripe, acme, "10.00")
    stripe.v1.customers.update(StripeCustomer.objects.get().stripe_id, {"balance": -300})
    first = compare(stripe)
    assert (first.findings_new, first.findings_open) == (1, 1)
    finding = Finding.objects.get()
    assert (finding.kind, finding.customer, finding.document) == ("balance", acme, "acme")
    assert finding.what == (
        "The balance at Stripe is USD -3.00, and by our documents it is USD 0.00 (below zero is credit)."
    )
    assert told("sync.mismatch") == 1
    # The next night: the same, in other words perhaps, and not told again.
    stripe.v1.customers.update(StripeCustomer.objects.get().stripe_id, {"balance": -400})
    second = compare(stripe)
    assert (second.findings_new, second.findings_open, told("sync.mismatch")) == (0, 1, 1)
    assert "USD -4.00" in findings.report(second)["findings"][0]["what"]
    stripe.v1.customers.update(StripeCustomer.objects.get().stripe_id, {"balance": 0})
    third = compare(stripe)
    assert (third.findings_open, third.findings_mended) == (0, 1)
    assert [one["state"] for one in findings.report(third)["findings"]] == ["mended"]
    # And once more, anew.
    stripe.v1.customers.update(StripeCustomer.objects.get().stripe_id, {"balance": 100})
    assert compare(stripe).findings_new == 1
    assert (Finding.objects.count(), told("sync.mismatch")) == (2, 2)


def test_voided_there(stripe: Stripe, acme: Customer, receiver: Receiver) -> None:
    subscribe(receiver, "sync.mismatch", now=stripe.now)
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().void(stripe_id)
    assert found(stripe) == [("status", "It is void at Stripe and issued here.")]
    assert told("sync.mismatch") == 1
    void(invoice.id, now=stripe.now)
    stripe.sync()
    assert found(stripe) == []
    assert StripeInvoice.objects.get().mismatch == ""


def test_paid_there_and_void_here(stripe: Stripe, acme: Customer) -> None:
    """At the same moment: the operation says so, and so does each night until it is skipped and paid back."""
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    void(invoice.id, now=stripe.now)
    stripe.server.dashboard().pay(stripe_id)
    stripe.sync()
    assert Operation.objects.get(kind="void").status == "parked"
    stripe.pass_time(hours=30)
    Operation.objects.filter(kind="void").update(created_at=stripe.now - timedelta(hours=30))
    [(kind, what)] = found(stripe)
    assert kind == "waits" and "It is void here and was paid at Stripe" in what


def test_an_open_one_that_is_paid_here(stripe: Stripe, acme: Customer) -> None:
    """Its operation was skipped: nothing will make it so there any more."""
    [(invoice, _)] = opened(stripe, acme, "10.00")
    mark_paid(invoice.id, now=stripe.now)
    assert found(stripe) == []  # its operation waits
    skip(Operation.objects.get(kind="paid").id, reason="by hand", now=stripe.now, by="anna")
    assert found(stripe) == [("status", "It is open at Stripe and paid here.")]


def test_credited_there(stripe: Stripe, acme: Customer) -> None:
    [(_invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().credit(stripe_id, 250)
    assert [kind for kind, _ in found(stripe)] == ["remaining", "unknown"]
    texts = list(Finding.objects.order_by("id").values_list("what", flat=True))
    assert texts[0] == "USD 7.50 are to be paid at Stripe and USD 10.00 here."
    assert texts[1].endswith("at Stripe corrects it by USD 2.50, and no credit note here is it.")


def test_paid_back_there(stripe: Stripe, acme: Customer) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    stripe.server.dashboard().refund(stripe_id, 400)
    [(kind, what)] = found(stripe)
    assert kind == "refunded" and what.startswith(f"USD 4.00 of invoice {invoice.number} were paid back at Stripe")
    # It stays found when it is too old to be among the latest refunds.
    stripe.pass_time(days=40)
    assert [kind for kind, _ in found(stripe)] == ["refunded"]
    assert Finding.objects.count() == 1


def test_edited_there(stripe: Stripe, acme: Customer) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.v1.invoices.update(stripe_id, {"metadata": {"holdfast_invoice": ""}})
    assert found(stripe) == [("edited", "It no longer bears our id (holdfast_invoice) at Stripe.")]
    stripe.v1.invoices.update(stripe_id, {"metadata": {"holdfast_invoice": public_id(invoice)}})
    assert found(stripe) == []


def test_a_draft_that_was_edited_and_finalised(stripe: Stripe, acme: Customer) -> None:
    stripe.server.faults.next("unavailable", "invoices.finalize")
    invoice = stripe.issue(acme, "10.00")
    stripe.sync()
    seen = StripeInvoice.objects.get()
    assert seen.status == "draft"
    people = stripe.server.dashboard()
    people.add_item(StripeCustomer.objects.get().stripe_id, 500, "usd", invoice=seen.stripe_id)
    people.finalize(seen.stripe_id)
    kinds = [kind for kind, _ in found(stripe)]
    assert kinds == ["total"]
    assert Finding.objects.get().what == "Its total is USD 15.00 at Stripe and USD 10.00 here."
    assert status(invoice) == "issued"


def test_another_total_and_currency_by_hand_here(stripe: Stripe, acme: Customer) -> None:
    """Rows here that somebody changed past the application."""
    (one, _), (other, _) = opened(stripe, acme, "10.00", "20.00")
    with thawed():
        Invoice.objects.filter(pk=one.pk).update(total_minor=1100, subtotal_minor=1100)
        Invoice.objects.filter(pk=other.pk).update(currency="EUR")
    assert sorted(found(stripe)) == [
        ("currency", "It is in USD at Stripe and in EUR here."),
        ("remaining", "USD 10.00 are to be paid at Stripe and USD 11.00 here."),
        ("total", "Its total is USD 10.00 at Stripe and USD 11.00 here."),
    ]


def test_a_customer_deleted_there(stripe: Stripe, acme: Customer) -> None:
    (invoice, _), (_, b) = opened(stripe, acme, "10.00", "20.00")
    stripe.server.dashboard().pay(b)
    stripe_id = StripeCustomer.objects.get().stripe_id
    stripe.server.dashboard().delete_customer(stripe_id)
    # Both owe while the payment is not known here.
    kinds = found(stripe)
    assert kinds == [("deleted", f"Customer {stripe_id} was deleted at Stripe and owes 2 invoices there.")]
    assert found(stripe) == [("deleted", f"Customer {stripe_id} was deleted at Stripe and owes 1 invoices there.")]
    mark_paid(invoice.id, now=stripe.now)
    Operation.objects.filter(kind="paid").update(status="skipped", finished_at=stripe.now)
    assert [kind for kind, _ in found(stripe)] == ["status"]


def test_several_and_stray_drafts(stripe: Stripe, acme: Customer) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    theirs = stripe.invoice(invoice)
    same = {"customer": theirs.customer, "collection_method": "send_invoice", "days_until_due": 3}
    drafts = [stripe.v1.invoices.create({**same, "metadata": theirs.metadata.to_dict()}).id for _ in range(2)]
    stripe.v1.invoices.add_lines(drafts[0], {"lines": [{"amount": 1000, "description": "x"}]})
    stripe.v1.invoices.finalize_invoice(drafts[0])
    kinds = found(stripe)
    assert sorted(kind for kind, _ in kinds) == ["draft", "several"]
    assert any(f"Stripe has {drafts[0]}, open, over USD 10.00 for it, beside {stripe_id}" in what for _, what in kinds)
    stripe.server.dashboard().void(drafts[0])
    stripe.server.dashboard().delete_draft(drafts[1])
    assert found(stripe) == []


def test_a_draft_that_nothing_finalises(stripe: Stripe, acme: Customer) -> None:
    stripe.server.faults.next("unavailable", "invoices.finalize")
    stripe.issue(acme, "10.00")
    stripe.sync()
    assert found(stripe) == []
    skip(Operation.objects.get().id, reason="by hand", now=stripe.now, by="anna")
    assert [kind for kind, _ in found(stripe)] == ["draft"]
    stripe.server.dashboard().delete_draft(StripeInvoice.objects.get().stripe_id)
    [(kind, what)] = found(stripe)
    assert kind == "missing" and what.startswith("The draft of it was deleted at Stripe, and nothing makes it anew.")


def test_missing_there(stripe: Stripe, acme: Customer) -> None:
    """As after somebody deleted the test data of the account."""
    [(_invoice, _stripe_id)] = opened(stripe, acme, "10.00")
    StripeInvoice.objects.update(stripe_id="in_gone")
    kinds = found(stripe)
    assert ("missing", "It is not at Stripe. It is issued here, over USD 10.00.") in kinds
    # The one that is there bears our id, and is one too many by what we know.
    assert sorted(kind for kind, _ in kinds) == ["missing", "several"]
    assert [kind for kind, _ in found(stripe)] == [kind for kind, _ in kinds]


def test_unknown_here(stripe: Stripe, acme: Customer) -> None:
    """A backup was restored that knows nothing of the invoice: it is named, and nothing is done about it."""
    opened(stripe, acme, "10.00")
    other = stripe.v1.invoices.create(
        {
            "customer": StripeCustomer.objects.get().stripe_id,
            "collection_method": "send_invoice",
            "days_until_due": 3,
            "metadata": {"holdfast_invoice": "inv_01jb3z9k7qe8tv6d0n4r2m5xwa"},
        }
    )
    assert found(stripe) == [
        (
            "unknown",
            "Invoice without a number at Stripe, draft, over USD 0.00, bears the id inv_01jb3z9k7qe8tv6d0n4r2m5xwa, "
            "and no invoice here has it.",
        )
    ]
    assert stripe.v1.invoices.retrieve(other.id).status == "draft"


# --- Restored from a backup -------------------------------------------------------------------------------------------


def forget(stripe: Stripe, *, customer: bool = True) -> None:
    """The tables as in a backup of before the push: it waits, and nothing is known of Stripe."""
    StripeInvoice.objects.all().delete()
    Step.objects.all().delete()
    if customer:
        StripeCustomer.objects.all().delete()
    done = Operation.objects.filter(status="done")
    done.update(status="waiting", finished_at=None, attempts=0, account="", livemode=None)


@pytest.mark.parametrize("hours", [0, 48])  # Stripe still has the keys of the first time, or no longer
@pytest.mark.parametrize("later", ["open", "paid", "draft"])
def test_a_restored_backup_makes_nothing_twice(stripe: Stripe, acme: Customer, later: str, hours: int) -> None:
    if later == "draft":
        stripe.server.faults.next("unavailable", "invoices.finalize")
    invoice = stripe.issue(acme, "10.00")
    stripe.sync()
    [stripe_id] = stripe.server.books().invoices
    if later == "paid":
        stripe.server.dashboard().pay(stripe_id)
    forget(stripe)
    stripe.pass_time(hours=hours)
    before = len(stripe.server.log)
    run = compare(stripe)
    assert (run.adopted, run.findings_open) == (2, 0)
    assert writes(stripe, before) == []
    assert [one["state"] for one in findings.report(run)["findings"]] == ["adopted", "adopted"]
    stripe.until_done()
    assert list(stripe.server.books().invoices) == [stripe_id]
    assert len(stripe.v1.customers.list().data) == 1
    seen = StripeInvoice.objects.get()
    assert (seen.stripe_id, seen.status, seen.total) == (stripe_id, "paid" if later == "paid" else "open", 1000)
    assert status(invoice) == ("paid" if later == "paid" else "issued")
    # It is sent once, too, and a second look finds nothing to do.
    assert [route for route, _ in stripe.server.log].count("invoices.send") == 1
    assert (compare(stripe).adopted, compare(stripe).findings_open) == (0, 0)


def test_pushed_before_it_was_compared(stripe: Stripe, acme: Customer) -> None:
    """The workers were faster: Stripe refuses the number a second time, and what was parked goes on when found."""
    stripe.issue(acme, "10.00")
    stripe.sync()
    [stripe_id] = stripe.server.books().invoices
    forget(stripe, customer=False)
    stripe.pass_time(days=2)
    stripe.sync()
    assert Operation.objects.get().status in ("parked", "done")
    assert compare(stripe).adopted + Operation.objects.filter(status="done").count() == 1
    stripe.until_done()
    assert list(stripe.server.books().invoices) == [stripe_id]
    assert StripeInvoice.objects.get().stripe_id == stripe_id


def test_rows_that_were_lost_after_all_was_done(stripe: Stripe, acme: Customer) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    StripeInvoice.objects.all().delete()
    assert compare(stripe).adopted == 1
    assert (StripeInvoice.objects.get().stripe_id, status(invoice)) == (stripe_id, "paid")


def test_a_draft_here_that_was_issued_before_the_backup_was_restored(stripe: Stripe, acme: Customer) -> None:
    [(invoice, _stripe_id)] = opened(stripe, acme, "10.00")
    StripeInvoice.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE invoicing_invoice SET status = 'draft', number = NULL, issued_at = NULL, due_at = NULL, "
            "content_hash = ''"
        )
        cursor.execute("SET session_replication_role = origin")
    [(kind, what)] = found(stripe)
    assert kind == "unknown"
    assert what.startswith(f"It is a draft here, and at Stripe it is open as {invoice.number}, over USD 10.00")
    assert not StripeInvoice.objects.exists()


# --- Running ----------------------------------------------------------------------------------------------------------


def test_what_is_open_for_a_day(stripe: Stripe, acme: Customer) -> None:
    acme.email = ""
    acme.save()
    stripe.issue(acme, "10.00")
    stripe.sync()
    assert found(stripe) == []
    Operation.objects.update(created_at=stripe.now - timedelta(hours=25))
    [(kind, what)] = found(stripe)
    assert kind == "waits" and "has no e-mail address" in what


def test_cut_off_and_two_at_once(stripe: Stripe, acme: Customer) -> None:
    """What was found stays, nothing counts as mended, and the next run begins when the first is dead."""
    opened(stripe, acme, "10.00")
    stripe.v1.customers.update(StripeCustomer.objects.get().stripe_id, {"balance": -300})
    assert len(found(stripe)) == 1
    stripe.server.faults.next("unavailable", "invoices.list")
    [failed] = reconciliation.reconcile(lambda: stripe.now)
    assert failed.failure == "Stripe: Service unavailable." and failed.ended_at is not None
    assert Finding.objects.filter(mended_at=None).count() == 1
    under_way = Reconciliation.objects.create(
        account=failed.account, livemode=False, begun_at=stripe.now, touched_at=stripe.now
    )
    assert reconciliation.reconcile(lambda: stripe.now) == []
    stripe.pass_time(minutes=16)
    compare(stripe)
    under_way.refresh_from_db()
    assert under_way.failure == "It was cut off."


def test_pages(stripe: Stripe, acme: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    from payments import comparison

    monkeypatch.setattr(comparison, "PAGE", 2)
    made = opened(stripe, acme, *(f"{n}.00" for n in range(1, 6)))
    stripe.server.dashboard().void(made[0][1])
    stripe.server.dashboard().void(made[4][1])
    run = compare(stripe)
    assert (run.compared["invoices"], run.findings_open) == (5, 2)


def test_the_command(stripe: Stripe, acme: Customer) -> None:
    def run(*options: str) -> tuple[str, int]:
        out = StringIO()
        try:
            call_command("stripe_reconcile", *options, stdout=out)
        except CommandError as error:
            return out.getvalue() or str(error), error.returncode
        return out.getvalue(), 0

    assert run("--last") == ("Nothing was compared yet.", 2)
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    text, code = run()
    assert code == 0 and "1 customers, 1 invoices" in text and "0 findings (0 new)" in text
    stripe.server.dashboard().void(stripe_id)
    text, code = run()
    assert code == 1
    assert (
        f"- [new] {invoice.number} {stripe_id}: It is void at Stripe and issued here.\n"
        "    Void it here, too, or credit it where it cannot be voided any more."
    ) in text
    answered, code = run("--json", "--last")
    [told_of] = json.loads(answered)
    assert (code, told_of["open"], told_of["findings"][0]["kind"]) == (1, 1, "status")
    stripe.server.faults.next("unavailable", "customers.list")
    assert run()[1] == 2
    Finding.objects.all().delete()
    Reconciliation.objects.all().delete()
    from payments.models import Connection

    Connection.objects.all().delete()
    assert run() == ("Nothing is connected with Stripe: set HOLDFAST_STRIPE_KEY (docs/stripe.md).", 2)


# --- Credit -----------------------------------------------------------------------------------------------------------


def credited(stripe: Stripe, invoice: Invoice, amount: str) -> CreditNote:
    """A credit note of ours on an invoice, for the next invoices, made so at Stripe."""
    note = goodwill(Goodwill(invoice.pk, "sorry", Decimal(amount)), now=stripe.now, by="anna")
    stripe.until_done()
    return note


def test_credit_agrees_and_what_is_changed_of_it_is_found(stripe: Stripe, acme: Customer) -> None:
    (_, a), (other, _) = opened(stripe, acme, "10.00", "20.00")
    stripe.server.dashboard().pay(a)
    compare(stripe)
    paid = Invoice.objects.get(status="paid")
    credited(stripe, paid, "4.00")  # to the balance
    credited(stripe, other, "5.00")  # off what is open
    assert found(stripe) == []
    # The next invoice takes the credit on both sides.
    stripe.issue(acme, "3.00")
    stripe.until_done()
    assert found(stripe) == []
    rows = list(StripeCredit.objects.order_by("amount"))
    assert [(row.to_balance, row.before_payment) for row in rows] == [(400, 0), (0, 500)]
    StripeCredit.objects.filter(pk=rows[0].pk).update(amount=300, to_balance=300)
    StripeCredit.objects.filter(pk=rows[1].pk).update(stripe_id="cn_gone")
    kinds = sorted(kind for kind, _ in found(stripe))
    assert kinds == ["missing", "total", "unknown"]


def test_paid_back_there_and_then_written_here(stripe: Stripe, acme: Customer) -> None:
    """The way out that the finding names leads out: no credit is left over, and nothing went back twice."""
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    refund = stripe.server.dashboard().refund(stripe_id, 400)
    assert [kind for kind, _ in found(stripe)] == ["refunded"]
    note = credited(stripe, invoice, "4.00")
    pay_back(note.pk, None, refund["id"], now=stripe.now, by="anna")
    stripe.until_done()
    assert found(stripe) == []
    assert stripe.server.books().invoices[stripe_id].refunded == 400
    assert stripe.server.books().balances[StripeCustomer.objects.get().stripe_id, "usd"] == 0


@pytest.mark.parametrize("way", ["balance", "credit_note"])
def test_a_restored_backup_gives_no_credit_twice(stripe: Stripe, acme: Customer, way: str) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    compare(stripe)
    if way == "balance":
        # One that never came to Stripe: its credit is on the balance there.
        invoice = stripe.issue(acme, "20.00")
        mark_paid(invoice.id, now=stripe.now)
        for operation in Operation.objects.filter(invoice=invoice):
            skip(operation.id, reason="elsewhere", now=stripe.now, by="anna")
    note = goodwill(Goodwill(invoice.pk, "sorry", Decimal("4.00")), now=stripe.now, by="anna")
    stripe.until_done()
    assert note.status == "issued"
    before = (dict(stripe.server.books().balances), len(stripe.v1.credit_notes.list().data))
    with thawed():
        StripeCredit.objects.all().delete()
    forget(stripe)
    stripe.pass_time(days=2)
    run = compare(stripe)
    assert run.adopted >= 3, findings.text(run)
    stripe.until_done()
    assert (dict(stripe.server.books().balances), len(stripe.v1.credit_notes.list().data)) == before
    assert StripeCredit.objects.count() == 1
    assert found(stripe) == []


def test_the_pages(stripe: Stripe, acme: Customer, client: Client) -> None:
    """Read-only, in the admin: the runs with their reports, and the findings."""
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().void(stripe_id)
    run = compare(stripe)
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "x"))

    def page(name: str, *args: Any, **query: str) -> str:
        answer = client.get(reverse(f"admin:payments_{name}", args=args), query)
        assert answer.status_code == 200
        return answer.content.decode()

    said = "It is void at Stripe and issued here."
    assert said in page("finding_changelist", state="open") and said not in page("finding_changelist", state="mended")
    assert "Void it here, too" in page("finding_change", Finding.objects.get().pk)
    assert "differs" in page("reconciliation_changelist")
    assert f"[new] {invoice.number} {stripe_id}: {said}" in page("reconciliation_change", run.pk)
    for name in ("finding", "reconciliation"):
        assert client.get(reverse(f"admin:payments_{name}_add")).status_code == 403
