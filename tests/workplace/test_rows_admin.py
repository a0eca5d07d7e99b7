"""Invoices with their files and a draft's review, imports, webhooks: what the admin does there, as the API does it."""

import csv
import io
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry

from access import ids
from contracts.models import Customer
from invoicing import billing
from invoicing.models import Invoice
from outcomes.models import Import
from tests.invoicing.conftest import World
from tests.project.test_roles import client_of
from webhooks.models import Delivery, Endpoint

pytestmark = pytest.mark.django_db

MARCH, APRIL_1, MAY_1 = (datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 15), (4, 1), (5, 1)))


@pytest.fixture
def acme(world: World, settings: Any) -> Customer:
    """An issued invoice of March over 4.00, and April's draft over 6.75."""
    settings.INVOICE_GRACE_HOURS = 24
    found = world.customer()
    world.contract(found)
    world.outcomes(found, 2, MARCH)
    billing.run(now=datetime(2026, 4, 3, tzinfo=UTC))
    world.outcomes(found, 3, datetime(2026, 4, 15, tzinfo=UTC))
    world.outcome(found, datetime(2026, 4, 15, tzinfo=UTC), priority="low")
    billing.run(now=MAY_1)
    return found


def text(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode() if answer.streaming else str(answer.content.decode())


def test_files_of_an_invoice(acme: Customer) -> None:
    viewer, engineer = client_of("viewer"), client_of("engineer")
    draft, issued = Invoice.objects.get(status="draft"), Invoice.objects.get(status="issued")
    page = text(viewer.get(f"/admin/invoicing/invoice/{issued.pk}/change/"))
    for kind, begins in (("pdf", "%PDF"), ("csv", "\ufeffdocument,number"), ("evidence", '{"')):
        address = f"/admin/invoicing/invoice/{issued.pk}/{kind}/"
        assert f'href="{address}"' in page
        answer = viewer.get(address)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert content.decode(errors="replace").startswith(begins), kind
        assert engineer.get(address).status_code == 403
        assert viewer.get(f"/admin/invoicing/invoice/{uuid4()}/{kind}/").status_code == 404
    [row] = csv.DictReader(io.StringIO(text(viewer.get(f"/admin/invoicing/invoice/{issued.pk}/csv/"))[1:], newline=""))
    assert row["amount"] == "4.00"
    assert f"{draft.pk}/evidence/" not in text(viewer.get(f"/admin/invoicing/invoice/{draft.pk}/change/"))
    refused = viewer.get(f"/admin/invoicing/invoice/{draft.pk}/evidence/", follow=True)
    assert "issue it, then there is something to prove" in text(refused)


def test_a_draft_is_looked_at_beside_the_invoice_before(acme: Customer) -> None:
    viewer = client_of("viewer")
    draft, issued = Invoice.objects.get(status="draft"), Invoice.objects.get(status="issued")
    page = text(viewer.get(f"/admin/invoicing/invoice/{draft.pk}/change/"))
    assert f"USD {issued.total_minor / 100:.2f}, and USD 6.75 now (+69 %)" in page
    assert "Support ticket resolved (priority: high)" in page and "+50 %" in page
    assert "Support ticket resolved (priority: low)" in page and ">new</td>" in page
    assert "Beside the one before" not in text(viewer.get(f"/admin/invoicing/invoice/{issued.pk}/change/"))
    by_hand = one_off_draft(acme)
    assert "no invoice before it" in text(viewer.get(f"/admin/invoicing/invoice/{by_hand.pk}/change/"))


def one_off_draft(customer: Customer) -> Invoice:
    return Invoice.objects.create(
        customer=customer, kind="one_off", currency="USD", time_zone="UTC", period_start=MARCH, period_end=APRIL_1,
        net_days=30, created_at=MARCH, refreshed_at=MARCH,
    )  # fmt: skip


def test_a_one_off_draft_is_discarded_with_a_reason(acme: Customer) -> None:
    finance = client_of("finance")
    draft = Invoice.objects.get(status="draft")
    address = "/admin/invoicing/invoice/{}/discard_this/"
    said = text(finance.post(address.format(draft.pk), {"reason": "mine"}))
    assert "only one-off drafts are discarded" in said
    one_off = one_off_draft(acme)
    assert client_of("viewer").post(address.format(one_off.pk), {"reason": "mine"}).status_code == 403
    assert "this is needed" in text(finance.post(address.format(one_off.pk)))
    assert "discard_this" in text(finance.get(f"/admin/invoicing/invoice/{one_off.pk}/change/"))
    assert finance.post(address.format(one_off.pk), {"reason": "Written twice"}).status_code == 302
    assert not Invoice.objects.filter(pk=one_off.pk).exists()
    assert LogEntry.objects.latest("id").change_message == "Discard: Written twice"


def test_an_import_is_opened_and_closed() -> None:
    engineer = client_of("engineer")
    assert "this is needed" in text(engineer.post("/admin/outcomes/import/open/"))
    assert client_of("viewer").post("/admin/outcomes/import/open/", {"name": "History"}).status_code == 403
    page = engineer.post("/admin/outcomes/import/open/", {"name": "History"}, follow=True)
    found = Import.objects.get()
    assert found.name == "History" and ids.encode("imp", found.pk) in text(page)
    engineer.post(f"/admin/outcomes/import/{found.pk}/close_this/")
    found.refresh_from_db()
    assert found.closed_at is not None


def test_what_an_endpoint_missed_is_sent_again() -> None:
    engineer = client_of("engineer")
    endpoint = Endpoint.objects.create(url="https://example.com/hook", events=["*"], created_at=MARCH)
    messages = [
        Delivery.objects.create(
            endpoint=endpoint, type="invoice.issued", about="inv_1", body="{}", status=status, created_at=at,
            finished_at=at, next_attempt_at=at, tries=8, uid=uuid4(),
        )
        for status, at in (("failed", MARCH), ("failed", APRIL_1), ("accepted", APRIL_1))
    ]  # fmt: skip
    address = f"/admin/webhooks/endpoint/{endpoint.pk}/resend_since_this/"
    assert client_of("viewer").post(address, {"since": "2026-03-20T00:00:00Z"}).status_code == 403
    assert "this is needed" in text(engineer.post(address))
    assert text(engineer.post(address, {"since": "yesterday"})).count('role="alert"') == 1
    assert engineer.get(address).status_code == 200 and Delivery.objects.filter(status="waiting").count() == 0
    assert "Queued again: 1." in text(engineer.post(address, {"since": "2026-03-20T00:00:00Z"}, follow=True))
    assert [one.status for one in Delivery.objects.order_by("id")] == ["failed", "waiting", "accepted"]
    # One, asked for first; and chosen ones.
    engineer.post(f"/admin/webhooks/delivery/{messages[2].pk}/resend_this/")
    chosen = {"action": "resend_chosen", "_selected_action": [messages[0].pk]}
    assert "Queued again: 1." in text(engineer.post("/admin/webhooks/delivery/", chosen, follow=True))
    assert [one.status for one in Delivery.objects.order_by("id")] == ["waiting"] * 3
    said = set(LogEntry.objects.values_list("change_message", flat=True))
    assert said == {"Sent again since 2026-03-20T00:00:00Z: 1.", "Send again."}
