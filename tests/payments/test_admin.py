"""What is to be made so at Stripe, and what is there, in the admin: read, and decided on by who may, once asked."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from contracts.models import Customer
from invoicing.credit_notes import Goodwill, goodwill
from invoicing.models import Invoice
from payments.models import Connection, Operation, StripeCredit, StripeCustomer, StripeEvent, StripeInvoice
from tests.payments.conftest import Stripe


@pytest.fixture
def staff(stripe: Stripe, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "x"))
    return client


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


def page(staff: Client, name: str, *args: Any, **query: Any) -> str:
    answer = staff.get(reverse(f"admin:{name}", args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


def rows(shown: str, *names: str) -> list[str]:
    """Those of the names that a list shows."""
    table = shown.partition('id="result_list"')[2]
    return [name for name in names if name in table]


def event(stripe: Stripe, **fields: Any) -> StripeEvent:
    values = {
        "account": stripe.server.account, "livemode": False, "event_id": "evt_1", "type": "invoice.paid",
        "object_id": "in_1", "payload": {"id": "evt_1", "note": "<script>oh no"}, "occurred_at": stripe.now,
        "received_at": stripe.now, "next_attempt_at": stripe.now,
    }  # fmt: skip
    return StripeEvent.objects.create(**values | fields)


# --- Operations -------------------------------------------------------------------------------------------------------


def test_operations_are_found(staff: Client, parked: Operation) -> None:
    first, second, third = Invoice.objects.order_by("number")
    numbers = [one.number or "" for one in (first, second, third)]

    def listed(**query: Any) -> list[str]:
        return rows(page(staff, "payments_operation_changelist", **query), *numbers)

    assert listed() == numbers
    assert listed(status__exact="parked") == [second.number]
    assert listed(kind__exact="void") == []
    assert listed(q="acme") == numbers
    assert listed(q="nobody") == []
    assert listed(q=third.number) == [third.number]
    assert listed(q=first.stripe.stripe_id) == [first.number]
    assert listed(q=parked.public_id) == [second.number]
    assert listed(q="sop_1") == []


def test_an_operation_with_its_calls(staff: Client, parked: Operation, stripe: Stripe) -> None:
    shown = page(staff, "payments_operation_change", parked.pk)
    for text in (parked.public_id, f"{parked.public_id}.lines.1", "total: 2000", "With the customer&#x27;s balance"):
        assert text in shown
    assert reverse("admin:payments_operation_retry_this", args=[parked.pk]) in shown
    done = Operation.objects.get(status="done")
    shown = page(staff, "payments_operation_change", done.pk)
    assert reverse("admin:payments_operation_retry_this", args=[done.pk]) not in shown
    last = Operation.objects.get(status="waiting")
    assert reverse("admin:payments_operation_change", args=[parked.pk]) in page(
        staff, "payments_operation_change", last.pk
    ), "which one it waits for"


def act(staff: Client, name: str, operation: Operation, **entered: str) -> str:
    """Ask, then do; what the person is told."""
    address = reverse(f"admin:payments_operation_{name}", args=[operation.pk])
    asked = staff.get(address).content.decode()
    assert "Back" in asked and "With the customer" in asked
    before = (operation.status, operation.decided_by)
    operation.refresh_from_db()
    assert before == (operation.status, operation.decided_by), "a link alone does nothing"
    answer = staff.post(address, entered, follow=True)
    operation.refresh_from_db()
    return answer.content.decode()


def test_retry(staff: Client, parked: Operation, stripe: Stripe) -> None:
    assert "Retry: done." in act(staff, "retry_this", parked)
    assert (parked.status, parked.decided_by) == ("waiting", "ada")
    assert "Retry" in page(staff, "payments_operation_history", parked.pk)
    stripe.v1.customers.update(StripeCustomer.objects.get().stripe_id, {"balance": 0})
    stripe.pass_time(minutes=1)
    assert stripe.sync() == 2
    assert "only what waits or is parked" in staff.post(
        reverse("admin:payments_operation_retry_this", args=[parked.pk])
    ).content.decode().replace("&#x27;", "'")


def test_skip_needs_a_reason(staff: Client, parked: Operation) -> None:
    assert "Why: this is needed." in act(staff, "skip_this", parked)
    assert parked.status == "parked"
    assert "Skip: done." in act(staff, "skip_this", parked, reason="sent by post")
    assert (parked.status, parked.reason, parked.decided_by) == ("skipped", "sent by post", "ada")
    assert "Skip: sent by post" in page(staff, "payments_operation_history", parked.pk)
    assert staff.get(reverse("admin:payments_operation_skip_this", args=[0])).status_code == 404


def test_several_are_retried(staff: Client, parked: Operation) -> None:
    chosen = [str(one.pk) for one in Operation.objects.all()]
    data = {"action": "retry_chosen", "_selected_action": chosen}
    said = staff.post(reverse("admin:payments_operation_changelist"), data, follow=True).content.decode()
    assert "Tried again within seconds: 2." in said and "It is done: only what waits" in said
    assert Operation.objects.filter(status="waiting").count() == 2


@pytest.mark.parametrize("step", ["retry_this", "skip_this"])
def test_who_may_only_look_cannot_decide(client: Client, parked: Operation, step: str) -> None:
    user = User.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_operation"))
    client.force_login(user)
    assert client.get(reverse("admin:payments_operation_changelist")).status_code == 200
    assert client.post(reverse(f"admin:payments_operation_{step}", args=[parked.pk])).status_code == 403
    parked.refresh_from_db()
    assert parked.status == "parked"


# --- What Stripe has --------------------------------------------------------------------------------------------------


def test_invoices_there_and_which_differ(staff: Client, parked: Operation, stripe: Stripe) -> None:
    first, second, _ = Invoice.objects.order_by("number")
    numbers = [first.number or "", second.number or ""]

    def listed(**query: Any) -> list[str]:
        return rows(page(staff, "payments_stripeinvoice_changelist", **query), *numbers)

    assert listed() == numbers
    assert listed(mismatch="yes") == [second.number]
    assert listed(mismatch="no") == [first.number]
    assert listed(q=second.stripe.stripe_id) == [second.number]
    shown = page(staff, "payments_stripeinvoice_change", second.pk)
    assert "With the customer&#x27;s balance" in shown and "USD 20.00" in shown
    assert "dashboard.stripe.com" not in shown, "another server plays Stripe"


def test_links_lead_to_stripes_dashboard(staff: Client, parked: Operation, stripe: Stripe) -> None:
    stripe.settings.STRIPE_URL = ""
    seen = StripeInvoice.objects.get(mismatch="")
    address = f"https://dashboard.stripe.com/test/invoices/{seen.stripe_id}"
    for name in ("payments_stripeinvoice_change", "invoicing_invoice_change"):
        assert f'href="{address}"' in page(staff, name, seen.pk)
    StripeInvoice.objects.update(livemode=True)
    assert f'href="{address.replace("test/", "")}"' in page(staff, "payments_stripeinvoice_changelist")
    customer = StripeCustomer.objects.get()
    assert f"/test/customers/{customer.stripe_id}" in page(staff, "payments_stripecustomer_changelist")
    assert f"/test/customers/{customer.stripe_id}" in page(staff, "payments_stripecustomer_change", customer.pk)


def test_events(staff: Client, stripe: Stripe) -> None:
    known = event(stripe)
    event(stripe, event_id="evt_2", type="customer.updated", object_id="")
    assert rows(page(staff, "payments_stripeevent_changelist", q="evt_2"), "evt_1", "evt_2") == ["evt_2"]
    shown = page(staff, "payments_stripeevent_change", known.pk)
    assert "&lt;script&gt;oh no" in shown and "<script>oh no" not in shown


def test_an_event_is_worked_again(staff: Client, stripe: Stripe) -> None:
    failed = event(stripe, status="failed", attempts=9, reason="Stripe did not answer.", finished_at=stripe.now)
    address = reverse("admin:payments_stripeevent_work_again_this", args=[failed.pk])
    assert "Stripe did not answer." in staff.get(address).content.decode()
    failed.refresh_from_db()
    assert failed.status == "failed", "a link alone does nothing"
    assert "Work again: done." in staff.post(address, follow=True).content.decode()
    failed.refresh_from_db()
    assert (failed.status, failed.attempts, failed.finished_at) == ("waiting", 0, None)
    assert staff.get(reverse("admin:payments_stripeevent_work_again_this", args=[0])).status_code == 404


def test_credit_and_what_is_to_be_seen_to(staff: Client, stripe: Stripe, acme: Customer) -> None:
    invoice = stripe.issue(acme, "10.00")
    stripe.sync()
    note = goodwill(Goodwill(invoice.id, "a slow answer", Decimal("3.00")), now=stripe.now, by="Ann")
    stripe.sync()
    made = StripeCredit.objects.get()
    assert note.number is not None

    def listed(**query: Any) -> list[str]:
        return rows(page(staff, "payments_stripecredit_changelist", **query), note.number or "")

    assert listed() == listed(q=made.stripe_id) == listed(q="acme") == listed(attention="none") == [note.number]
    assert listed(attention="mismatch") == listed(attention="advice") == listed(q="CN-9") == []
    shown = page(staff, "payments_stripecredit_change", made.pk)
    assert "USD 3.00 off the invoice" in shown
    address = reverse("admin:payments_stripecredit_seen_to_this", args=[made.pk])
    assert address not in shown, "there is nothing to see to"
    StripeCredit.objects.update(mismatch="It went back twice.", advice="Pay it back by hand.")
    assert listed(attention="mismatch") == listed(attention="advice") == [note.number]
    assert address in page(staff, "payments_stripecredit_change", made.pk)
    asked = staff.get(address).content.decode()
    assert "It went back twice." in asked and "Pay it back by hand." in asked
    assert "What was done: this is needed." in staff.post(address).content.decode()
    made.refresh_from_db()
    assert made.mismatch
    assert "Seen to: done." in staff.post(address, {"note": "a transfer"}, follow=True).content.decode()
    made.refresh_from_db()
    assert (made.mismatch, made.advice) == ("", "")
    assert "Seen to: a transfer" in page(staff, "payments_stripecredit_history", made.pk)


def test_connections(staff: Client, parked: Operation, stripe: Stripe) -> None:
    shown = page(staff, "payments_connection_changelist")
    assert stripe.server.account in shown and "1 waiting, 1 parked" in shown and "1 operation is parked" in shown
    assert stripe.server.key not in shown
    stripe.settings.STRIPE_KEY = ""
    assert "Connected, but nothing is sent." in page(staff, "payments_connection_change", "live")


def test_nothing_is_typed_into_a_form(staff: Client, parked: Operation, stripe: Stripe) -> None:
    known = event(stripe)
    pages = {
        "operation": parked.pk,
        "stripeinvoice": parked.invoice_id,
        "stripecustomer": StripeCustomer.objects.get().pk,
        "stripeevent": known.pk,
        "connection": "live",
    }
    for name, pk in pages.items():
        assert staff.get(reverse(f"admin:payments_{name}_add")).status_code == 403
        assert staff.post(reverse(f"admin:payments_{name}_delete", args=[pk])).status_code == 403
        assert staff.post(reverse(f"admin:payments_{name}_change", args=[pk]), {}).status_code == 403
    assert Connection.objects.count() == 2


# --- On an invoice's page ---------------------------------------------------------------------------------------------


def test_an_invoices_page_says_how_it_stands_at_stripe(staff: Client, parked: Operation, stripe: Stripe) -> None:
    first, second, third = Invoice.objects.order_by("number")
    shown = page(staff, "invoicing_invoice_change", first.pk)
    assert f'href="{first.stripe.hosted_url}"' in shown and first.stripe.stripe_id in shown
    assert reverse("admin:payments_operation_retry_this", args=[parked.pk]) not in shown
    shown = page(staff, "invoicing_invoice_change", second.pk)
    assert reverse("admin:payments_operation_retry_this", args=[parked.pk]) in shown
    assert "With the customer&#x27;s balance" in shown
    assert "waiting" in page(staff, "invoicing_invoice_change", third.pk)
    assert "At Stripe" not in page(staff, "invoicing_invoice_change", third.pk), "it is not there yet"
    user = User.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_invoice"))
    staff.force_login(user)
    assert "At Stripe" not in page(staff, "invoicing_invoice_change", first.pk), "who may not see it"


# --- Queries ----------------------------------------------------------------------------------------------------------


LISTS = ("operation", "stripeinvoice", "stripecredit", "stripecustomer", "stripeevent")


def asked(staff: Client, name: str, *args: Any) -> int:
    page(staff, name, *args)  # what is read once is read
    with CaptureQueriesContext(connection) as captured:
        page(staff, name, *args)
    return len(captured)


def test_pages_ask_as_much_for_many_calls_as_for_few(staff: Client, parked: Operation, stripe: Stripe) -> None:
    assert parked.invoice is not None
    counts = [
        asked(staff, "payments_operation_change", parked.pk),
        asked(staff, "invoicing_invoice_change", parked.invoice.pk),
    ]
    for number in range(2, 8):
        Operation.objects.create(
            kind="charge", customer=parked.customer, invoice=parked.invoice, number=number, created_at=stripe.now
        )
        parked.steps.create(name=f"s{number}", key=f"k{number}", begun_at=stripe.now)
    assert counts == [
        asked(staff, "payments_operation_change", parked.pk),
        asked(staff, "invoicing_invoice_change", parked.invoice.pk),
    ]
