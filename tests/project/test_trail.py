"""The audit trail: what staff did is in it, with the reason, in the transaction of what was done, and stays."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from invoicing import billing
from invoicing.models import Invoice
from outcomes.models import InboxItem
from tests.invoicing.conftest import World, make_world, world

__all__ = ["make_world", "world"]

pytestmark = pytest.mark.django_db
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def signed_in(name: str, *roles: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def invoice(world: World) -> Invoice:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, datetime(2026, 3, 15, tzinfo=UTC))
    billing.run(now=APRIL)
    return Invoice.objects.get()


def told() -> list[tuple[str, str, str]]:
    rows = LogEntry.objects.select_related("user").order_by("id")
    return [(row.user.username, row.object_repr, row.change_message) for row in rows]


def test_what_was_done_is_told_and_found(invoice: Invoice) -> None:
    ada = signed_in("ada", "approver")
    address = reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])
    assert b"this is needed" in ada.post(address).content
    assert told() == []
    ada.post(address, {"reason": "billed twice"})
    ada.post(address, {"reason": "once more"})
    assert told() == [("ada", str(invoice), "Voided: billed twice")], "what was refused was not done"
    for words in ("billed", "ada", str(invoice.pk), invoice.number):
        assert "Voided: billed twice" in ada.get("/admin/admin/logentry/", {"q": words}).content.decode(), words
    assert "billed twice" not in ada.get("/admin/admin/logentry/", {"q": "thrice"}).content.decode()
    listed = ada.get("/admin/admin/logentry/", {"user": User.objects.get(username="ada").pk}).content.decode()
    assert reverse("admin:invoicing_invoice_change", args=[invoice.pk]) in listed
    assert ada.get("/admin/admin/logentry/", {"user": "x"}).status_code == 200
    page = ada.get(reverse("admin:admin_logentry_change", args=[LogEntry.objects.get().pk]))
    assert "billed twice" in page.content.decode()


def test_what_was_done_to_many_is_one_line(db: None) -> None:
    eve = signed_in("eve", "engineer")
    for number in (1, 2):
        InboxItem.objects.create(seq=number, body="{}", reason="too_old", message="", received_at=APRIL)
    eve.post(reverse("admin:outcomes_inboxitem_dismiss"), {"note": "a test's"})
    eve.post(f"{reverse('admin:outcomes_inboxitem_retry')}?reason=too_old")
    assert told() == [("eve", "2 events", "Dismiss: a test's"), ("eve", "0 events", "Retry: none of them waited.")]


def test_nothing_is_done_that_is_not_told(invoice: Invoice) -> None:
    """Where the line cannot be written, what it would tell does not happen."""
    ada = signed_in("ada", "finance")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_admin_log ADD CONSTRAINT full_up CHECK (change_message = '')")
    for name, given in (("mark_paid_this", {"reason": "r"}), ("goodwill_this", {"amount": "1.00", "reason": "r"})):
        with pytest.raises(IntegrityError, match="full_up"):
            ada.post(reverse(f"admin:invoicing_invoice_{name}", args=[invoice.pk]), given)
        invoice.refresh_from_db()
        assert (invoice.status, invoice.allocations.count()) == ("issued", 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE django_admin_log SET change_message = 'nothing'",
        "DELETE FROM django_admin_log",
        "SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE django_admin_log CASCADE",
        "UPDATE access_trailentry SET address = '203.0.113.9'",
        "DELETE FROM access_trailentry",
        "SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE access_trailentry",
    ],
)
def test_the_trail_is_only_ever_added_to(invoice: Invoice, statement: str) -> None:
    signed_in("ada", "approver").post(
        reverse("admin:invoicing_invoice_void_this", args=[invoice.pk]), {"reason": "billed twice"}
    )
    with pytest.raises(IntegrityError, match="only ever added to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert len(told()) == 1


def test_who_is_named_in_the_trail_is_not_deleted(invoice: Invoice) -> None:
    signed_in("ada", "approver").post(
        reverse("admin:invoicing_invoice_void_this", args=[invoice.pk]), {"reason": "billed twice"}
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.get(username="ada").delete()


# --- Staff accounts ---------------------------------------------------------------------------------------------------


def test_an_owner_gives_roles_and_no_more() -> None:
    owner = signed_in("olga", "owner")
    maria = User.objects.create_user("maria")
    address = reverse("admin:auth_user_change", args=[maria.pk])
    finance = Group.objects.get(name="finance")
    form: dict[str, Any] = {
        "username": "maria", "is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": [finance.pk],
        "user_permissions": [1, 2], "date_joined_0": "2026-01-01", "date_joined_1": "10:00",
    }  # fmt: skip
    assert "This is needed." in owner.post(address, form).content.decode()
    assert not maria.groups.exists(), "it asks why"
    assert owner.post(address, {**form, "reason": "joins the team"}).status_code == 302
    maria.refresh_from_db()
    assert (maria.is_staff, maria.is_superuser, list(maria.groups.all())) == (True, False, [finance])
    assert not maria.user_permissions.exists()
    assert "finance" in owner.get("/admin/auth/user/").content.decode()
    said = "Changed Staff status, Groups and Date joined (active → active, staff, finance): joins the team"
    assert told() == [("olga", "maria", said)]


def test_an_owner_does_not_reach_a_superuser() -> None:
    owner, boss = signed_in("olga", "owner"), User.objects.create_superuser("boss", password="theirs")
    for page in ("change/", "password/"):
        address = f"/admin/auth/user/{boss.pk}/{page}"
        given = {"password1": "a long one indeed", "password2": "a long one indeed", "usable_password": "true"}
        assert owner.post(address, {"username": "boss", **given}).status_code == 403
    boss.refresh_from_db()
    assert boss.check_password("theirs")


def test_what_a_role_means_is_not_edited() -> None:
    owner = signed_in("olga", "owner")
    viewer = Group.objects.get(name="viewer")
    before = viewer.permissions.count()
    address = reverse("admin:auth_group_change", args=[viewer.pk])
    assert owner.get(address).status_code == 200
    assert owner.post(address, {"name": "viewer", "permissions": []}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [viewer.pk], "post": "yes"}
    owner.post(reverse("admin:auth_group_changelist"), data)
    assert Group.objects.get(pk=viewer.pk).permissions.count() == before
    own = Group.objects.create(name="bookkeepers")
    address, data = reverse("admin:auth_group_change", args=[own.pk]), {"name": "clerks"}
    assert owner.post(address, data).status_code == 302
    given = {**data, "permissions": [viewer.permissions.all()[0].pk]}
    assert owner.post(address, given).status_code == 200 and not own.permissions.exists(), "it asks why"
    assert owner.post(address, {**given, "reason": "they read it"}).status_code == 302
    assert told()[-1][2] == "Changed Permissions: they read it"


def test_another_s_password_is_set_with_a_reason() -> None:
    owner, maria = signed_in("olga", "owner"), User.objects.create_user("maria", password="before it")
    address = f"/admin/auth/user/{maria.pk}/password/"
    given = {"password1": "a long one indeed", "password2": "a long one indeed", "usable_password": "true"}
    assert 'name="reason"' in owner.get(address).content.decode()
    assert owner.post(address, given).status_code == 200
    assert owner.post(address, {**given, "reason": "she forgot it"}).status_code == 302
    maria.refresh_from_db()
    assert maria.check_password("a long one indeed")
    assert told() == [("olga", "maria", "Changed password: she forgot it")]
