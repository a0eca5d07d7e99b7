"""The edges around billing: command, tasks, admin."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from access import ids
from contracts.clocks import create_clock
from invoicing import billing, tasks
from invoicing.models import Invoice, InvoiceLine, LineReversal
from outcomes.models import Outcome
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
    assert "2 customers in 0." in text and "customers/s; 1 invoices, 1 waiting, 0 parked" in text
    assert "No invoice was due." in bill("--until", "2026-04-01T00:00:00Z", "--customer", "acme")


def test_the_command_tells_machines(world: World) -> None:
    acme, beta = world.customer(), world.customer("beta")
    for customer in (acme, beta):
        world.contract(customer)
        world.outcome(customer, MARCH)
    world.outcome(beta, MARCH, state="provisional")
    told = json.loads(bill("--until", "2026-04-01T00:00:00Z", "--json"))
    assert told.pop("milliseconds") > 0
    assert told == {
        "customers": 2,
        "issued": [ids.encode("inv", Invoice.objects.get().pk)],
        "drafted": [],
        "credited": [],
        "waiting": [{"customer": "beta", "reason": "outcomes are due before the period's end and not settled yet"}],
        "parked": [],
    }


@pytest.mark.parametrize("terminal", [False, True])
def test_the_command_tells_how_far_it_is(
    world: World, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, test clocks included: a bar on a terminal, else a line now and then."""
    monkeypatch.setattr("invoicing.management.commands.bill.EVERY_SECONDS", 0)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    clock = create_clock(now=APRIL_1, wall=APRIL_1)
    for number in range(4):
        customer = world.customer(f"c{number}", test_clock=clock if number > 1 else None)
        world.contract(customer)
        world.outcome(customer, MARCH)
    text = bill("--until", "2026-04-01T00:00:00Z")
    told = capsys.readouterr().err
    assert "4 customers in" in text and "0 s left" not in text
    if terminal:
        assert "customers" in told and "0:00:00" in told and " left" not in told
    else:
        assert [line.partition(" customers")[0] for line in told.splitlines()] == [
            "1 of 2",
            "2 of 2",
            "3 of 4",
            "4 of 4",
        ]


def test_the_command_stopped_by_hand_leaves_whole_customers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("acme", "beta"):
        customer = world.customer(key)
        world.contract(customer)
        world.outcome(customer, MARCH)
    freeze = billing.freeze

    def interrupted(invoice: Invoice, **times: datetime) -> None:
        if invoice.customer.key == "beta":
            raise KeyboardInterrupt
        freeze(invoice, **times)

    monkeypatch.setattr(billing, "freeze", interrupted)
    with pytest.raises(CommandError, match=r"Stopped\. Done are 1 of 2 customers, each as a whole") as stopped:
        bill("--until", "2026-04-01T00:00:00Z")
    assert stopped.value.returncode == 130
    assert Invoice.objects.get().customer.key == "acme"


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

    def act(name: str, **given: str) -> str:
        data = {"action": name, "_selected_action": [str(invoice.pk)], **given}
        answer = staff.post(reverse("admin:invoicing_invoice_changelist"), data, follow=True)
        return str(answer.content.decode())

    assert "only a draft can be issued" in act("issue_chosen")
    asked = act("void_chosen")
    assert "Void: 1 invoice?" in asked and "USD 30.00" in asked and "this is needed" not in asked
    assert "this is needed" in act("void_chosen", reason=" ")
    invoice.refresh_from_db()
    assert invoice.status == "issued", "it is asked first, for the reason"
    assert "Voided: 1." in act("void_chosen", reason="billed twice")
    invoice.refresh_from_db()
    assert invoice.status == "void"
    assert "cannot be marked as paid" in act("mark_paid_chosen", reason="a transfer")


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
    address = reverse("admin:invoicing_invoice_mark_paid_this", args=[invoice.pk])
    assert "this is needed" in staff.post(address).content.decode()
    staff.post(address, {"reason": "transfer 17"})
    assert LogEntry.objects.get().change_message == "Marked as paid: transfer 17"
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


def test_a_line_leads_to_its_outcomes(world: World, client: Client) -> None:
    """Those that it bills, and on a credit note those that it takes back."""
    client.force_login(User.objects.create_superuser("anna"))
    acme = world.customer()
    world.contract(acme)
    billed = world.outcomes(acme, 3, MARCH)
    world.outcome(acme, APRIL_1)
    billing.run(now=APRIL_1)
    line = InvoiceLine.objects.get()
    page = client.get(f"/admin/invoicing/invoice/{line.invoice_id}/change/").content.decode()
    address = f"/admin/outcomes/outcome/?line={line.pk}"
    assert f'href="{address}">3</a>' in page
    found = client.get(address).context["cl"].result_list
    assert {one.pk for one in found} == {one.pk for one in billed}
    assert len(client.get("/admin/outcomes/outcome/").context["cl"].result_list) == 4
    assert not client.get("/admin/outcomes/outcome/?line=none").context["cl"].result_list
    Outcome.objects.filter(pk=billed[0].pk).update(state="reversed", ended_at=APRIL_1)
    billing.run(now=APRIL_1 + timedelta(days=1))
    back = LineReversal.objects.get().line
    page = client.get(f"/admin/invoicing/creditnote/{back.credit_note_id}/change/").content.decode()
    assert f'href="/admin/outcomes/outcome/?line={back.pk}">1</a>' in page
    [found] = client.get(f"/admin/outcomes/outcome/?line={back.pk}").context["cl"].result_list
    assert found.pk == billed[0].pk
