"""Whatever happens at Stripe is so here in the end: once, in the right state, however its webhooks come."""

import os
import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from contracts.models import Customer
from invoicing import credit, credit_notes
from invoicing.models import Invoice
from payments import collecting, events, looking, mirror
from payments.client import client_of
from payments.models import Operation, StripeCredit, StripeCustomer, StripeEvent, StripeInvoice
from tests.payments.conftest import Stripe
from tests.payments.credits import BACK, balance, done, give, refunded
from tests.payments.hooked import SECRET, Hooks, hooks
from tests.webhooks.conftest import Receiver, make_receiver, receiver, subscribe
from webhooks.models import Delivery

__all__ = ["hooks", "make_receiver", "receiver"]

# How many times what happens is told in another order; `STRIPE_EVENTS=50` for more.
SEEDS = int(os.environ.get("STRIPE_EVENTS", "2"))
DECLINES = "pm_card_chargeCustomerFail"


def opened(stripe: Stripe, customer: Customer, *amounts: str) -> list[tuple[Invoice, str]]:
    """Invoices that are open at Stripe, each with its id there; the webhooks of making them are gone."""
    made = [stripe.issue(customer, amount) for amount in amounts]
    stripe.sync()
    stripe.server.deliver(post=lambda *_: (200, b""))
    return [(one, StripeInvoice.objects.get(invoice=one).stripe_id) for one in made]


def status(invoice: Invoice) -> str:
    return Invoice.objects.get(pk=invoice.pk).status


def told(type_: str) -> int:
    return Delivery.objects.filter(type=type_).count()


def test_paid_at_stripe_is_paid_here(stripe: Stripe, acme: Customer, hooks: Hooks, receiver: Receiver) -> None:
    subscribe(receiver, "invoice.paid", now=stripe.now)
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    assert set(hooks.deliver(duplicate=5, reorder=3)) == {200}
    asked = len(stripe.server.log)
    assert hooks.work() == StripeEvent.objects.count() > 5
    assert status(invoice) == "paid"
    assert told("invoice.paid") == 1
    # What came from there needs no call; events about one invoice are looked at together, those of one run at most once
    # by each of its workers.
    assert stripe.sync() == 0
    assert {route for route, _ in stripe.server.log[asked:]} == {"invoices.retrieve"}
    assert len(stripe.server.log) - asked <= events.PER_RUN
    assert not StripeEvent.objects.exclude(status__in=("done", "ignored")).exists()
    assert hooks.work() == 0


def test_what_people_do_in_the_dashboard(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    (paid, a), (outside, b), (given_up, c), (late, d), (voided, e) = opened(
        stripe, acme, "1.00", "2.00", "3.00", "4.00", "5.00"
    )
    people = stripe.server.dashboard()
    people.pay(a)
    people.pay(b, None)
    people.mark_uncollectible(c)
    people.mark_uncollectible(d)
    people.pay(d)
    people.void(e)
    hooks.through()
    assert [status(one) for one in (paid, outside, given_up, late, voided)] == [
        "paid", "paid", "uncollectible", "paid", "issued",
    ]  # fmt: skip
    mismatches = StripeInvoice.objects.exclude(mismatch="")
    assert [(one.stripe_id, one.status) for one in mismatches] == [(e, "void")]
    assert mismatches[0].mismatch == (
        "It was voided at Stripe, and is issued here. Void it here, too, or make it anew there."
    )
    assert stripe.sync() == 0 and not Operation.objects.filter(finished_at=None).exists()


def test_a_draft_that_was_deleted_there_is_made_anew(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    stripe.v1.customers.create({"email": "x@example.com"})
    first = stripe.issue(acme, "10.00")
    stripe.sync()
    stripe.v1.customers.update(stripe.invoice(first).customer, {"balance": -300})
    second = stripe.issue(acme, "20.00")
    stripe.sync()
    draft = StripeInvoice.objects.get(invoice=second)
    assert draft.status == "draft"
    people = stripe.server.dashboard()
    people.edit_customer(stripe.invoice(first).customer, balance=0)
    people.delete_draft(draft.stripe_id)
    hooks.through()
    draft.refresh_from_db()
    assert draft.status == "deleted"
    operation = Operation.objects.get(status="parked")
    from payments.operations import retry

    retry(operation.id, now=stripe.now, by="anna")
    stripe.until_done()
    hooks.through()
    draft.refresh_from_db()
    assert (draft.status, status(second)) == ("open", "issued")
    assert len(stripe.server.books().by_metadata("holdfast_invoice")) == 2
    assert not StripeEvent.objects.filter(status="waiting").exists()


def test_a_draft_is_edited_or_finalised_by_hand(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    """What a person finalises there is open here only as far as it is ours: the push compares it."""
    first = stripe.issue(acme, "10.00")
    stripe.sync()
    customer = stripe.invoice(first).customer
    stripe.v1.customers.update(customer, {"balance": -300})
    second = stripe.issue(acme, "20.00")
    stripe.sync()
    draft = StripeInvoice.objects.get(invoice=second)
    people = stripe.server.dashboard()
    people.edit_customer(customer, balance=0)
    people.add_item(customer, 500, "usd", invoice=draft.stripe_id)
    people.finalize(draft.stripe_id)
    hooks.through()
    draft.refresh_from_db()
    assert (draft.status, draft.total) == ("open", 2500)
    assert draft.mismatch
    stripe.sync()
    assert Operation.objects.get(invoice=second).status == "parked"


def test_a_customer_that_was_deleted_there(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    (open_one, _), (paid, b) = opened(stripe, acme, "10.00", "20.00")
    stripe.server.dashboard().pay(b)
    stripe.server.dashboard().delete_customer(StripeCustomer.objects.get().stripe_id)
    hooks.through()
    assert "was deleted at Stripe: the invoice cannot be paid there any more" in open_one.stripe.mismatch
    assert (status(open_one), status(paid), paid.stripe.mismatch) == ("issued", "paid", "")


def test_a_payment_that_fails_is_told_of_once(
    stripe: Stripe, acme: Customer, hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each attempt: by its charge, since Stripe's count of attempts is of its own schedule."""
    subscribe(receiver, "invoice.payment_failed", now=stripe.now)
    heard: list[str] = []
    monkeypatch.setattr(collecting, "FAILURES", [lambda seen, reason, now: heard.append(reason)])
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    from tests.stripe_server.errors import StripeFailure

    for attempt in (1, 2):
        with pytest.raises(StripeFailure):
            stripe.server.dashboard().pay(stripe_id, DECLINES)
        hooks.through(duplicate=5, reorder=attempt)
        hooks.work()
        assert heard == ["Your card was declined."] * attempt
        assert told("invoice.payment_failed") == attempt
    # Two between two looks, and the same events again much later.
    for _ in (3, 4):
        with pytest.raises(StripeFailure):
            stripe.server.dashboard().pay(stripe_id, DECLINES)
    hooks.through(duplicate=2)
    assert told("invoice.payment_failed") == len(heard) == 4
    seen = StripeInvoice.objects.get()
    assert (seen.status, seen.attempt_count, len(seen.failed_charges)) == ("open", 4, 4)
    StripeEvent.objects.update(status="waiting", finished_at=None, next_attempt_at=stripe.now)
    hooks.work()
    assert len(heard) == 4
    # One that was overtaken by a payment is no news.
    with pytest.raises(StripeFailure):
        stripe.server.dashboard().pay(stripe_id, DECLINES)
    stripe.server.dashboard().pay(stripe_id)
    hooks.through(reorder=5)
    assert (len(heard), status(invoice)) == (4, "paid")


def test_our_own_charge_that_fails_is_not_told_of_again(
    stripe: Stripe, acme: Customer, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(collecting, "FAILURES", [lambda seen, reason, now: heard.append(reason)])
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    method = stripe.v1.payment_methods.attach(DECLINES, {"customer": StripeCustomer.objects.get().stripe_id})
    stripe.v1.customers.update(
        StripeCustomer.objects.get().stripe_id, {"invoice_settings": {"default_payment_method": method.id}}
    )
    collecting.charge_again(invoice, now=stripe.now)
    stripe.sync()
    hooks.through(duplicate=3)
    assert heard == ["Your card was declined."]
    assert StripeInvoice.objects.get(stripe_id=stripe_id).attempt_count == 1


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_any_order_and_number_with_delays_of_days(
    stripe: Stripe, acme: Customer, hooks: Hooks, receiver: Receiver, seed: int
) -> None:
    """What happened is told late, twice, the wrong way round or not at all, and is worked in between."""
    chance = random.Random(seed)
    subscribe(receiver, "invoice.paid", now=stripe.now)
    made = opened(stripe, acme, *(f"{n}.00" for n in range(1, 9)))
    people, expected = stripe.server.dashboard(), {}
    for (invoice, stripe_id), way in zip(
        made, ("pay", "give_up", "both", "outside", "", "pay", "both", ""), strict=True
    ):
        if way in ("give_up", "both"):
            people.mark_uncollectible(stripe_id)
        if chance.random() < 0.5:
            hooks.through(duplicate=2, reorder=chance.randrange(99), delay=0.6, seed=chance.randrange(99))
        if way in ("pay", "both"):
            people.pay(stripe_id)
        if way == "outside":
            people.pay(stripe_id, None)
        expected[invoice.pk] = {"": "issued", "give_up": "uncollectible"}.get(way, "paid")
    for _ in range(4):
        stripe.pass_time(days=1)
        hooks.through(duplicate=5, reorder=chance.randrange(99), delay=0.5, seed=chance.randrange(99))
    hooks.through()
    assert dict(Invoice.objects.values_list("pk", "status")) == expected
    assert told("invoice.paid") == sum(one == "paid" for one in expected.values())
    assert stripe.sync() == 0


def test_a_reading_that_was_overtaken_changes_nothing(stripe: Stripe, acme: Customer) -> None:
    """A worker that read "open" and was slow comes after the one that read "paid": paid never returns to open."""
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    client = client_of(stripe.server.key)
    from payments.models import Connection

    connection = Connection.objects.get(audience="live")
    slow = mirror.read(client, stripe_id)
    stripe.server.dashboard().pay(stripe_id)
    mirror.note(invoice.pk, connection, mirror.read(client, stripe_id), now=stripe.now)
    mirror.note(invoice.pk, connection, slow, now=stripe.now + timedelta(seconds=1))
    seen = StripeInvoice.objects.get()
    assert (seen.status, seen.amount_remaining, status(invoice)) == ("paid", 0, "paid")


def test_what_is_not_ours_is_passed_over_without_a_question(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    v1 = stripe.v1
    customer = v1.customers.create({"email": "x@example.com", "metadata": {"holdfast_customer": "somebody"}})
    invoice = v1.invoices.create(
        {
            "customer": customer.id,
            "collection_method": "send_invoice",
            "days_until_due": 3,
            "metadata": {"holdfast_invoice": "inv_01jb3z9k7qe8tv6d0n4r2m5xwa"},
        }
    )
    v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 100, "description": "x"}]})
    v1.invoices.finalize_invoice(invoice.id)
    stripe.server.dashboard().pay(invoice.id)
    stripe.server.dashboard().refund(invoice.id)
    v1.customers.delete(customer.id)
    hooks.deliver()
    asked = len(stripe.server.log)
    assert hooks.work() == StripeEvent.objects.filter(status="ignored").count() == StripeEvent.objects.count() > 10
    assert len(stripe.server.log) == asked


def test_a_webhook_that_is_before_our_own_note(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    """Killed between the call and its note: the events of the invoice come first."""
    invoice = stripe.issue(acme, "10.00")
    stripe.server.faults.next("timeout_after", "invoices.create")
    stripe.sync()
    assert not StripeInvoice.objects.exists()
    hooks.through()
    assert not StripeEvent.objects.filter(status="waiting").exists()
    stripe.until_done()
    stripe.server.dashboard().pay(StripeInvoice.objects.get().stripe_id)
    hooks.through()
    assert status(invoice) == "paid"
    assert len(stripe.server.books().invoices) == 1


def test_a_second_invoice_for_ours_is_named(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    theirs = stripe.invoice(invoice)
    stripe.v1.invoices.create(
        {
            "customer": theirs.customer,
            "collection_method": "send_invoice",
            "days_until_due": 3,
            "metadata": theirs.metadata.to_dict(),
        }
    )
    hooks.through()
    seen = StripeInvoice.objects.get()
    assert seen.stripe_id == stripe_id
    assert "Stripe has another invoice for it" in seen.mismatch


def test_what_was_paid_back_there_without_us(stripe: Stripe, acme: Customer, hooks: Hooks, receiver: Receiver) -> None:
    subscribe(receiver, "sync.mismatch", now=stripe.now)
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    hooks.through()
    stripe.server.dashboard().refund(stripe_id, 250)
    hooks.through(duplicate=3)
    assert invoice.stripe.mismatch == (
        f"USD 2.50 of invoice {invoice.number} were paid back at Stripe, and our credit notes paid back USD 0.00. "
        "Write a credit note over the difference, for the next invoices, and note on it that it was paid back, with "
        "the id of the refund."
    )
    assert told("sync.mismatch") == 1
    assert status(invoice) == "paid"
    # Credited, to be paid back, it is the refund that was made; and noted by hand, it is known, too.
    give(stripe, (invoice, "1.50"), to=BACK)
    by_hand = give(stripe, (invoice, "1.00"))
    credit_notes.refund(by_hand.pk, None, "re_1", now=stripe.now, by="ann")
    done(stripe)
    assert (refunded(stripe, invoice), balance(stripe)) == (250, 0)
    assert looking.refunds_beyond(invoice.stripe, 250) == ""
    assert "USD 2.51 of invoice" in looking.refunds_beyond(invoice.stripe, 251)


def test_a_refund_that_fails(stripe: Stripe, acme: Customer, hooks: Hooks, receiver: Receiver) -> None:
    subscribe(receiver, "sync.mismatch", now=stripe.now)
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    hooks.through()
    note = give(stripe, (invoice, "4.00"), to=BACK)
    done(stripe)
    hooks.through()
    made = StripeCredit.objects.get()
    assert (made.refund_status, told("sync.mismatch"), credit.remaining([note.pk])) == ("succeeded", 0, {note.pk: 0})
    stripe.server.dashboard().fail_refund(made.refund_id)
    hooks.through(duplicate=3)
    made.refresh_from_db()
    assert (made.refund_status, told("sync.mismatch"), credit.remaining([note.pk])) == ("failed", 1, {note.pk: 400})
    assert "failed at Stripe (declined)" in made.mismatch


# --- Faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["timeout_before", "rate_limit", "unavailable", "truncated", "error", "reset"])
def test_what_cannot_be_read_now_is_read_later(stripe: Stripe, acme: Customer, hooks: Hooks, fault: str) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    hooks.deliver()
    stripe.server.faults.next(fault, "invoices.retrieve", times=4)
    for _ in range(4):
        hooks.work()
        stripe.pass_time(minutes=11)
    hooks.work()
    assert status(invoice) == "paid"
    assert not StripeEvent.objects.filter(status="waiting").exists()


def test_given_up_after_days_and_tried_again_by_hand(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    hooks.deliver()
    stripe.server.faults.next("unavailable", "invoices.retrieve", times=1000)
    for _ in range(40):
        hooks.work()
        stripe.pass_time(hours=3)
    failed = StripeEvent.objects.filter(status="failed")
    assert failed.count() > 3 and not StripeEvent.objects.filter(status="waiting").exists()
    assert failed[0].reason.startswith("Stripe: Service unavailable")
    # Not so often that it would weigh: pauses grow.
    assert failed[0].attempts < 40
    stripe.server.faults.clear()
    events.retry(failed[0].id, now=hooks.now())
    assert hooks.work() == 1
    assert status(invoice) == "paid"


def test_a_mistake_of_ours_costs_nobody_else(
    stripe: Stripe, acme: Customer, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, a), (other, b) = opened(stripe, acme, "10.00", "20.00")
    stripe.server.dashboard().pay(a)
    stripe.server.dashboard().pay(b)
    hooks.deliver()
    note = mirror.note

    def broken(invoice_id: Any, *args: Any, **more: Any) -> Any:
        if invoice_id == one.pk:
            raise RuntimeError("a bug")
        return note(invoice_id, *args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(mirror, "note", broken)
        hooks.work()
    assert (status(one), status(other)) == ("issued", "paid")
    assert {event.reason for event in StripeEvent.objects.filter(status="waiting")} == {"RuntimeError: a bug"}
    stripe.pass_time(minutes=1)
    hooks.work()
    assert status(one) == "paid"


def test_a_worker_that_dies_leaves_it_to_the_next(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    hooks.deliver()
    while events.reserve(hooks.now()):
        pass  # and is killed
    hooks.work()
    assert status(invoice) == "issued"
    stripe.pass_time(seconds=events.LEASE.total_seconds() + 1)
    hooks.work()
    assert status(invoice) == "paid"
    assert not StripeEvent.objects.filter(status="waiting").exists()


def test_two_workers_at_once(stripe: Stripe, acme: Customer, hooks: Hooks, receiver: Receiver) -> None:
    """No event is worked by both, and what they do of one invoice comes to one effect."""
    subscribe(receiver, "invoice.paid", now=stripe.now)
    made = opened(stripe, acme, *(f"{n}.00" for n in range(1, 9)))
    for _, stripe_id in made:
        stripe.server.dashboard().pay(stripe_id)
    hooks.deliver(duplicate=3, reorder=1)
    done: list[int] = []

    def run() -> None:
        try:
            done.append(hooks.work())
        finally:
            connections.close_all()

    workers = [threading.Thread(target=run) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(done) == StripeEvent.objects.count()
    assert set(StripeEvent.objects.values_list("attempts", flat=True)) == {1}
    assert {status(one) for one, _ in made} == {"paid"}
    assert told("invoice.paid") == 8


def test_old_ones_are_forgotten_and_worked_again_do_nothing(stripe: Stripe, acme: Customer, hooks: Hooks) -> None:
    [(invoice, stripe_id)] = opened(stripe, acme, "10.00")
    stripe.server.dashboard().pay(stripe_id)
    hooks.through()
    assert events.sweep(hooks.now() + timedelta(days=29)) == 0
    kept = StripeEvent.objects.count()
    StripeEvent.objects.filter(type="invoice.paid").update(status="waiting", finished_at=None)
    assert events.sweep(hooks.now() + timedelta(days=31)) == kept - 1
    # What waits is never forgotten.
    assert StripeEvent.objects.get().type == "invoice.paid"
    hooks.work()
    assert status(invoice) == "paid"


def test_by_another_secret_than_ours(stripe: Stripe, acme: Customer, hooks: Hooks, settings: Any) -> None:
    """While Stripe rolls the secret both sign; then the old one is no longer enough."""
    [(_, stripe_id)] = opened(stripe, acme, "10.00")
    fresh = stripe.server.dashboard().roll_secret(hooks.endpoint, keep_old=3600)
    stripe.server.dashboard().mark_uncollectible(stripe_id)
    assert set(hooks.deliver()) == {200}
    stripe.pass_time(hours=2)
    stripe.server.dashboard().pay(stripe_id)
    assert set(hooks.deliver()) == {400}
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET, fresh]
    assert set(hooks.deliver()) == {200}
