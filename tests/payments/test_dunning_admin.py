"""Dunnings and their mails in the admin: to be read, and paused, resumed or stopped with a reason."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from payments import dunning, mails
from payments.models import Dunning, DunningMail
from tests.invoicing.conftest import World
from tests.payments.test_reminders import MARCH_1, issue


@pytest.fixture
def made(world: World, settings: Any) -> Dunning:
    settings.DUNNING_MAILS, settings.DEFAULT_FROM_EMAIL = True, "billing@example.com"
    issue(world.customer(email="ap@acme.example", name="<b>Acme</b>"))
    for days in (1, 3):
        dunning.see_to_unpaid(MARCH_1 + timedelta(days=days))
    mails.send_due(timezone.now())
    return Dunning.objects.get()


@pytest.fixture
def boss(db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", password="correct horse battery"))
    return client


def address(made: Dunning, verb: str) -> str:
    return reverse(f"admin:payments_dunning_{verb}_this", args=[made.pk])


def test_what_is_shown(boss: Client, made: Dunning) -> None:
    page = boss.get("/admin/payments/dunning/").content.decode()
    assert "HF-000001" in page and "It is overdue" in page and "<b>Acme" not in page
    page = boss.get(f"/admin/payments/dunning/{made.pk}/change/").content.decode()
    assert "100.00" in page and "First reminder" in page and "ap@acme.example" in page
    mail = DunningMail.objects.get()
    page = boss.get(f"/admin/payments/dunningmail/{mail.pk}/change/").content.decode()
    assert "Reminder: invoice HF-000001 is due" in page and "we have not received your payment yet" in page
    assert "<b>Acme" not in page
    assert "HF-000001" in boss.get("/admin/payments/dunningmail/?q=HF-000001").content.decode()


@pytest.mark.parametrize(("status", "found"), [("running", True), ("paused", False), ("ended", False), ("x", True)])
def test_narrowed_by_status(boss: Client, made: Dunning, status: str, found: bool) -> None:
    assert ("HF-000001" in boss.get(f"/admin/payments/dunning/?status={status}").content.decode()) == found


def test_a_list_costs_the_same_for_many(boss: Client, made: Dunning, world: World) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert boss.get("/admin/payments/dunning/").status_code == 200
        return len(asked)

    queries()
    before = queries()
    for number in range(5):
        issue(world.customer(f"c{number}", email="ap@acme.example"))
    dunning.see_to_unpaid(MARCH_1 + timedelta(days=4))
    assert Dunning.objects.count() == 6
    assert queries() == before


def test_paused_resumed_and_stopped_with_a_reason(boss: Client, made: Dunning) -> None:
    assert b"it goes on where it stopped" in boss.get(address(made, "pause")).content
    made.refresh_from_db()
    assert made.status == "running", "a link changes nothing"
    boss.post(address(made, "pause"), {"reason": ""})
    made.refresh_from_db()
    assert made.status == "running", "without a reason nothing is done"
    boss.post(address(made, "pause"), {"reason": "They called."})
    made.refresh_from_db()
    assert (made.status, made.paused_because, made.reason, made.decided_by) == (
        "paused",
        "person",
        "They called.",
        "boss",
    )
    page = boss.get(f"/admin/payments/dunning/{made.pk}/change/").content.decode()
    assert address(made, "resume") in page and address(made, "pause") not in page
    boss.post(address(made, "resume"), {"reason": "No money."})
    boss.post(address(made, "stop"), {"reason": "A friend."})
    made.refresh_from_db()
    assert (made.ended_because, made.reason) == ("stopped", "A friend.")
    page = boss.post(address(made, "stop"), {"reason": "Again."}).content.decode()
    assert "is over: A person stopped it" in page
    assert [one.change_message for one in LogEntry.objects.order_by("id")] == [
        "Pause: They called.", "Resume: No money.", "Stop: A friend.",
    ]  # fmt: skip
    assert boss.get(address(Dunning(pk=10**6), "stop")).status_code == 404


def test_who_may_only_look_may_not_act(client: Client, made: Dunning) -> None:
    looker = User.objects.create_user("looker", password="correct horse battery", is_staff=True)
    looker.user_permissions.add(*Permission.objects.filter(codename__in=["view_dunning", "view_dunningmail"]))
    client.force_login(looker)
    page = client.get(f"/admin/payments/dunning/{made.pk}/change/").content.decode()
    assert address(made, "pause") not in page
    assert client.post(address(made, "stop"), {"reason": "Mine."}).status_code == 403
    made.refresh_from_db()
    assert made.status == "running"
