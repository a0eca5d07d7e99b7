"""The edges around billing: command, tasks, admin."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from invoicing import billing, tasks
from invoicing.models import Invoice
from tests.invoicing.conftest import World

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
APRIL_1 = datetime(2026, 4, 1, tzinfo=UTC)


def bill(*arguments: str) -> str:
    out = io.StringIO()
    call_command("bill", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_command_bills_and_tells(world: World, tmp_path: Path) -> None:
    acme, beta = world.customer(), world.customer("beta")
    for customer in (acme, beta):
        world.contract(customer)
        world.outcome(customer, MARCH)
    world.outcome(beta, MARCH, state="provisional")
    text = bill("--until", "2026-04-01T00:00:00Z", "--pdf", str(tmp_path))
    assert "HF-000001" in text and "acme" in text and "USD 2.00" in text
    assert "Waiting: beta: outcomes are due" in text
    assert [path.name for path in tmp_path.iterdir()] == ["HF-000001.pdf"]
    assert "No invoice was due." in bill("--until", "2026-04-01T00:00:00Z", "--customer", "acme")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until", "yesterday"], "RFC 3339"),
        (["--until", "2190-01-01T00:00:00Z"], "in the future"),
        (["--customer", "nobody"], "no customer 'nobody'"),
    ],
)
def test_the_command_says_what_is_wrong(db: None, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        bill(*arguments)


def test_the_task_bills_and_has_pdfs_written(world: World, settings: Any, tmp_path: Path) -> None:
    settings.HOME = tmp_path
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    assert (tasks.bill_due.name, tasks.render_pdf.name) == ("invoicing.bill_due", "invoicing.render_pdf")
    from celery import current_app

    current_app.conf.task_always_eager = True
    try:
        tasks.bill_due()
    finally:
        current_app.conf.task_always_eager = False
    assert Invoice.objects.get().status == "issued"
    assert [path.name for path in (tmp_path / "invoices").iterdir()] == ["HF-000001.pdf"]


@pytest.fixture
def staff(client: Any, db: None) -> Any:
    client.force_login(User.objects.create_superuser("ada", "ada@example.com", "x"))
    return client


def test_the_admin_shows_invoices_and_runs_the_use_cases(world: World, staff: Any) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcomes(acme, 15, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    listed = staff.get(reverse("admin:invoicing_invoice_changelist")).content.decode()
    assert "HF-000001" in listed and "USD 30.00" in listed
    page = reverse("admin:invoicing_invoice_change", args=[invoice.pk])
    shown = staff.get(page).content.decode()
    assert "Support ticket resolved" in shown and "priority: high" in shown
    assert staff.get(reverse("admin:invoicing_invoice_pdf", args=[invoice.pk])).content.startswith(b"%PDF-")

    def act(name: str) -> str:
        data = {"action": name, "_selected_action": [str(invoice.pk)]}
        answer = staff.post(reverse("admin:invoicing_invoice_changelist"), data, follow=True)
        return str(answer.content.decode())

    assert "only a draft can be issued" in act("issue_chosen")
    assert "Voided: 1." in act("void_chosen")
    invoice.refresh_from_db()
    assert invoice.status == "void"
    assert "cannot be marked as paid" in act("mark_paid_chosen")


def test_the_admin_acts_on_one_invoice(world: World, staff: Any) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    for step in ("issue_this", "mark_paid_this", "void_this"):
        asked = staff.get(reverse(f"admin:invoicing_invoice_{step}", args=[invoice.pk]))
        assert "USD 2.00" in asked.content.decode(), "the money it moves is shown first"
        invoice.refresh_from_db()
        assert invoice.status == "issued", "a link alone does nothing"
    staff.post(reverse("admin:invoicing_invoice_mark_paid_this", args=[invoice.pk]))
    invoice.refresh_from_db()
    assert invoice.status == "paid"


def test_acting_on_one_invoice_needs_the_forms_own_token(world: World) -> None:
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("root", password="x"))
    assert browser.post(reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])).status_code == 403
    invoice.refresh_from_db()
    assert invoice.status == "issued"


def test_who_may_only_look_cannot_act(world: World, client: Any) -> None:
    from django.contrib.auth.models import Permission

    user = User.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    client.force_login(user)
    acme = world.customer()
    world.contract(acme)
    world.outcome(acme, MARCH)
    billing.run(now=APRIL_1)
    invoice = Invoice.objects.get()
    assert client.get(reverse("admin:invoicing_invoice_change", args=[invoice.pk])).status_code == 200
    assert client.get(reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])).status_code == 403
    assert client.post(reverse("admin:invoicing_invoice_void_this", args=[invoice.pk])).status_code == 403
    data = {"action": "void_chosen", "_selected_action": [str(invoice.pk)]}
    client.post(reverse("admin:invoicing_invoice_changelist"), data)
    invoice.refresh_from_db()
    assert invoice.status == "issued"
