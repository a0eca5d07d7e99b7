"""Endpoints and messages in the admin: read, and acted on by who may, after being asked."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webhooks.conftest import Receiver, subscribe
from webhooks.delivery import deliver_due
from webhooks.models import Delivery, Endpoint
from webhooks.publish import publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Any, db: None) -> Client:
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "x"))
    return client


@pytest.fixture
def failed(receiver: Receiver) -> Delivery:
    """A message that its receiver refused once."""
    now = timezone.now()
    subscribe(receiver, "invoice.issued", now=now)
    publish("invoice.issued", "inv_1", lambda: {"name": "<b>Acme</b>"}, now=now)
    receiver.answers(500, b"<script>oh no</script>")
    deliver_due(now)
    return Delivery.objects.get()


def page(staff: Client, name: str, *args: Any) -> str:
    answer = staff.get(reverse(f"admin:webhooks_{name}", args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_is_shown(staff: Client, failed: Delivery) -> None:
    listed = page(staff, "endpoint_changelist")
    assert failed.endpoint.url in listed and "failing" in listed and "Answered 500." in listed
    shown = page(staff, "endpoint_change", failed.endpoint_id)
    assert failed.endpoint.public_id in shown and "in use" in shown and "whsec_" not in shown
    assert "inv_1" in page(staff, "delivery_changelist")
    assert "inv_1" in staff.get(reverse("admin:webhooks_delivery_changelist"), {"q": "inv_1"}).content.decode()
    filtered = {"endpoint__id__exact": str(failed.endpoint_id)}
    assert "inv_1" in staff.get(reverse("admin:webhooks_delivery_changelist"), filtered).content.decode()
    shown = page(staff, "delivery_change", failed.pk)
    assert failed.public_id in shown and "Answered 500." in shown
    assert "&lt;script&gt;oh no" in shown and "<script>oh no" not in shown and "<b>Acme" not in shown


def test_nothing_is_typed_into_a_form(staff: Client, failed: Delivery) -> None:
    for name in ("endpoint", "delivery"):
        assert staff.get(reverse(f"admin:webhooks_{name}_add")).status_code == 403
    assert staff.post(reverse("admin:webhooks_endpoint_delete", args=[failed.endpoint_id])).status_code == 403


def act(staff: Client, name: str, pk: Any, **given: str) -> str:
    """Ask, then do; what the person is told."""
    address = reverse(f"admin:webhooks_{name}", args=[pk])
    before = [(one.disabled_at, one.failures) for one in Endpoint.objects.all()], Delivery.objects.count()
    assert "Back" in staff.get(address).content.decode()
    after = [(one.disabled_at, one.failures) for one in Endpoint.objects.all()], Delivery.objects.count()
    assert before == after, "a link alone does nothing"
    return staff.post(address, given, follow=True).content.decode()


def test_disable_enable_ping_resend(staff: Client, failed: Delivery, receiver: Receiver) -> None:
    assert "Why: this is needed." in act(staff, "endpoint_disable_this", failed.endpoint_id)
    assert "Disabled." in act(staff, "endpoint_disable_this", failed.endpoint_id, reason="its server moves")
    assert LogEntry.objects.get().change_message == "Disable: its server moves"
    failed.endpoint.refresh_from_db()
    assert failed.endpoint.disabled_reason == "by_hand"
    assert "Test message: Answered 500." in act(staff, "endpoint_ping_this", failed.endpoint_id)
    receiver.answers(200)
    assert "accepted with 200" in act(staff, "endpoint_ping_this", failed.endpoint_id)
    assert "goes on where it stopped" in act(staff, "endpoint_enable_this", failed.endpoint_id)
    deliver_due(timezone.now())
    failed.refresh_from_db()
    assert failed.status == "accepted"
    assert "Queued" in act(staff, "delivery_resend_this", failed.pk)
    failed.refresh_from_db()
    assert failed.status == "waiting"
    data = {"action": "resend_chosen", "_selected_action": [str(failed.pk)]}
    answer = staff.post(reverse("admin:webhooks_delivery_changelist"), data, follow=True)
    assert "Queued again: 1." in answer.content.decode()
    deliver_due(timezone.now() + timedelta(seconds=1))
    assert [request.id for request in receiver.accepted].count(failed.public_id) == 2
    assert staff.get(reverse("admin:webhooks_delivery_resend_this", args=[0])).status_code == 404


@pytest.mark.parametrize(
    "step", ["endpoint_enable_this", "endpoint_disable_this", "endpoint_ping_this", "delivery_resend_this"]
)
def test_who_may_only_look_cannot_act(client: Client, failed: Delivery, step: str) -> None:
    user = User.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_endpoint", "view_delivery"]))
    client.force_login(user)
    assert client.get(reverse("admin:webhooks_endpoint_changelist")).status_code == 200
    pk = failed.pk if step.startswith("delivery") else failed.endpoint_id
    assert client.post(reverse(f"admin:webhooks_{step}", args=[pk])).status_code == 403
    failed.endpoint.refresh_from_db()
    assert failed.endpoint.disabled_at is None and Delivery.objects.count() == 1


def test_acting_needs_the_forms_own_token(failed: Delivery) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("root", password="x"))
    assert browser.post(reverse("admin:webhooks_endpoint_disable_this", args=[failed.endpoint_id])).status_code == 403
