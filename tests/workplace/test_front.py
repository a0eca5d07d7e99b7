"""The front page: each figure is what the rows behind it come to, and each link leads to them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import freezegun
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from billing_project.tasks import audit
from contracts.clocks import create_clock
from contracts.models import Customer
from invoicing import billing
from invoicing.models import Invoice
from invoicing.payment import mark_paid
from outcomes.models import InboxItem
from tests.invoicing.conftest import BEFORE, World
from workplace import figures, front, revenue
from workplace.models import Figures
from workplace.tasks import refresh

NOW = datetime(2026, 4, 20, 12, tzinfo=UTC)
MARCH = datetime(2026, 3, 15, tzinfo=UTC)
APRIL = datetime(2026, 4, 18, 9, tzinfo=UTC)


@pytest.fixture
def busy(world: World) -> World:
    """acme: 10 in March, invoiced; in April 3 confirmed, 2 provisional, 1 voided, 1 reversed. Testers do not count."""
    acme = world.customer(email="ap@acme.example")
    world.contract(acme)
    world.outcomes(acme, 10, MARCH)
    billing.run(now=datetime(2026, 4, 2, tzinfo=UTC))
    world.outcomes(acme, 3, APRIL)
    world.outcomes(acme, 2, NOW + timedelta(hours=5), state="provisional", met=APRIL)
    world.outcome(acme, NOW - timedelta(days=1), state="void", met=APRIL)
    world.outcome(acme, APRIL, state="reversed", ended_at=NOW - timedelta(hours=3))
    world.outcome(acme, APRIL, review=["quantity"])
    tester = world.customer("tester", test_clock=create_clock(now=NOW, wall=BEFORE))
    world.contract(tester)
    world.outcomes(tester, 50, APRIL)
    world.outcomes(tester, 3, NOW + timedelta(hours=5), state="provisional", met=APRIL)
    InboxItem.objects.create(seq=1, body="{}", reason="too_old", message="", received_at=BEFORE)
    return world


def test_revenue_is_what_the_next_invoices_will_say(busy: World) -> None:
    assert revenue.revenue(NOW) == {
        "customers": 1,
        "currencies": [
            {
                "currency": "USD", "invoiced": "0.00", "confirmed": "6.00", "provisional": "4.00", "to_credit": "0.00",
                "last": "20.00",
            }
        ],
        "leaking": [
            {
                "reason": "review", "outcomes": 1, "customers": 1,
                "most": [{"id": Customer.objects.get(key="acme").pk, "name": "Acme", "outcomes": 1}],
            }
        ],
    }  # fmt: skip


def test_what_no_invoice_will_have_is_told_by_reason(busy: World) -> None:
    """Nobody has agreed on anything with the one; the other's contract is over, and a third has no price for it."""
    for key, count, contract in (("free", 4, {}), ("gone", 2, {"ends_at": MARCH}), ("odd", 3, {"currency": "EUR"})):
        customer = busy.customer(key, currency=contract.get("currency", "USD"))
        if contract:
            busy.contract(customer, **contract)
        busy.outcomes(customer, count, APRIL)
    found = {row["reason"]: (row["outcomes"], row["customers"]) for row in revenue.revenue(NOW)["leaking"]}
    assert found == {"no_contract": (6, 2), "not_priced": (3, 1), "review": (1, 1)}


def test_operations(busy: World) -> None:
    found = figures.operations(NOW)
    days = {day["day"]: (day["confirmed"], day["voided"], day["reversed"]) for day in found["days"]}
    assert (len(days), list(days)[-1]) == (30, "2026-04-20")
    assert {day: counts for day, counts in days.items() if any(counts)} == {
        "2026-04-18": (5, 0, 0), "2026-04-19": (0, 1, 0), "2026-04-20": (0, 0, 1),
    }  # fmt: skip
    assert found["backlog"] == {
        "provisional": 2, "due": 0, "tomorrow": 2, "oldest_due": None, "pending_events": 0,
    }  # fmt: skip
    assert found["inbox"] == {"too_old": 1}
    assert found["decisions"] == {
        "disputes": 0, "late_evidence": 0, "review": 1, "parked_customers": 0, "credit_notes": 0, "stripe_parked": 0,
        "stripe_mismatches": 0, "stripe_credits": 0, "findings": 0, "handovers": 0,
    }  # fmt: skip
    assert found["invoices"] == [
        {
            "status": "issued", "currency": "USD", "count": 1, "total": "20.00", "overdue": 0, "overdue_total": "0.00",
        }
    ]  # fmt: skip
    late = figures.operations(NOW + timedelta(days=30))
    assert (late["invoices"][0]["overdue"], late["invoices"][0]["overdue_total"]) == (1, "20.00")
    assert (late["backlog"]["due"], late["backlog"]["oldest_due"]) == (2, "2026-04-20T17:00:00+00:00")


def test_old_events_are_shown_up_to_their_last_day(busy: World) -> None:
    days = figures.operations(NOW + timedelta(days=400))["days"]
    assert (days[-1]["day"], days[-1]["confirmed"], len(days)) == ("2026-04-18", 5, 30)


def test_figures_are_kept_and_last_by_what_they_cost(db: None) -> None:
    assert figures.is_stale("operations", now=NOW)
    figures.refresh("operations", lambda now: {"as_of": now.isoformat()}, now=NOW)
    kept = Figures.objects.get()
    assert kept.data == {"as_of": "2026-04-20T12:00:00+00:00"}
    assert not figures.is_stale("operations", now=NOW + timedelta(minutes=4))
    assert figures.is_stale("operations", now=NOW + timedelta(minutes=5))
    # What takes a minute is good for twenty.
    Figures.objects.update(milliseconds=60_000)
    assert not figures.is_stale("operations", now=NOW + timedelta(minutes=19))
    assert figures.is_stale("operations", now=NOW + timedelta(minutes=20))


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("anna"))
    return client


def test_the_page(busy: World, staff: Client, django_assert_max_num_queries: Any) -> None:
    for kind, work_out in front.WORK_OUT.items():
        figures.refresh(kind, work_out, now=NOW)
    with django_assert_max_num_queries(12):
        page = staff.get("/admin/").content.decode()
    assert "6.00" in page and "confirmed so far, 30 % of the period before" in page
    assert "Outcomes to complete" in page
    assert "Disputes raised" not in page
    assert "<strong>1</strong> of 1 customer: a person must complete it" in page
    assert "As of" in page and "20 Apr 2026, 12:00 UTC" in page


def test_every_link_leads_somewhere(busy: World, staff: Client) -> None:
    """Also those that a quiet day does not show; and to as many rows as the figure says."""
    staff.get("/admin/")  # loads what must not be loaded while time is frozen
    for now in (NOW, timezone.now()):  # due within a day, and long due
        with freezegun.freeze_time(now):
            staff.force_login(User.objects.get())
            for row in front._backlog(figures.operations(now)["backlog"]):
                assert staff.get(row.url).context["cl"].result_count == row.count, (now, row)
    staff.force_login(User.objects.get())
    billing.run(now=timezone.now())  # the tester's, too
    many = figures.operations(timezone.now())
    for row in many["invoices"]:
        assert staff.get(front._invoices(row)["url"]).context["cl"].result_count == row["count"]
    many["decisions"] = dict.fromkeys(many["decisions"], 1)
    figures.refresh("operations", lambda now: many, now=NOW)
    page = staff.get("/admin/").content.decode()
    links = set(re.findall(r'href="(/admin/[^"]*\?[^"]*)"', page.split("Running periods")[1].split("app-list")[0]))
    assert len(links) >= 9
    for link in links:
        answer = staff.get(link.replace("&amp;", "&"))
        assert answer.status_code == 200, (link, answer.headers)
    assert len(staff.get("/admin/queue/?kind=incomplete").context["entries"]) == 1
    overdue = staff.get("/admin/invoicing/invoice/?overdue=yes&currency=USD").context["cl"].result_list
    assert [one.number for one in overdue] == ["HF-000001"]


def test_working_them_out_anew(busy: World, staff: Client, client: Client) -> None:
    staff.get("/admin/")
    mark_paid(Invoice.objects.get().id, now=NOW)
    assert ">Paid<" not in staff.get("/admin/").content.decode()
    assert staff.get("/admin/refresh").status_code == 405
    answer = staff.post("/admin/refresh", follow=True)
    assert ">Paid<" in answer.content.decode()
    assert "The figures are as of now." in answer.content.decode()
    assert Client().post("/admin/refresh").status_code == 302  # to the login


def test_the_audit_of_the_night_is_shown(committed: None, client: Client) -> None:
    client.force_login(User.objects.create_superuser("anna"))
    assert "has not run yet" in client.get("/admin/").content.decode()
    audit()
    kept = Figures.objects.get(kind="audit")
    assert (kept.data["broken"], kept.data["invariants"] > 8) == ([], True)
    figures.refresh("audit", lambda now: {"invariants": 9, "broken": [], "warnings": 0}, now=NOW)
    assert "has not run since, though it should each night" in client.get("/admin/").content.decode()
    quiet = figures.operations(NOW)
    for failing, said in enumerate(("0 operations wait", "1 operation is parked", "2 endpoints fail")):
        parked = failing
        quiet["decisions"]["stripe_parked"], quiet["webhooks"]["failing"] = parked, failing
        assert said in " ".join(one.says for one in front._health(quiet, None, NOW))
    figures.refresh("audit", lambda now: {"invariants": 9, "broken": ["billed"], "warnings": 0}, now=NOW)
    assert "does not hold: billed" in client.get("/admin/").content.decode()


def of_role(role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    client = Client()
    client.force_login(user)
    return client


def test_money_is_for_who_sees_invoices(busy: World) -> None:
    many = figures.operations(NOW)
    many["decisions"] = dict.fromkeys(many["decisions"], 1)
    figures.refresh("operations", lambda now: many, now=NOW)
    figures.refresh("revenue", revenue.revenue, now=NOW)
    viewer, engineer = of_role("viewer"), of_role("engineer")
    page = viewer.get("/admin/").content.decode()
    assert "6.00" in page and "Invoices, by status" in page and "Credit notes to approve" in page
    page = engineer.get("/admin/").content.decode()
    assert "Outcomes to complete" in page and "Parked at Stripe" in page and "The inbox is empty" not in page
    for hidden in ("6.00", "20.00", "Running periods", "Invoices, by status", "Credit notes", "Differs at Stripe"):
        assert hidden not in page, hidden
    for client in (viewer, engineer):
        links = set(re.findall(r'href="(/admin/[^"]*\?[^"]*)"', client.get("/admin/").content.decode()))
        assert links and {client.get(link.replace("&amp;", "&")).status_code for link in links} == {200}


def test_without_a_role_there_is_nothing_to_see(busy: World) -> None:
    nobody = of_role("nobody")
    page = nobody.get("/admin/").content.decode()
    assert "You have no role yet" in page
    assert "6.00" not in page and "Work them out anew" not in page and "Outcomes" not in page
    assert nobody.post("/admin/refresh").status_code == 403
    assert not Figures.objects.exists(), "nothing is worked out for them, either"


def test_nobody_waits_for_what_takes_long(busy: World, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "FEW", 0)
    page = staff.get("/admin/").content.decode()
    assert "is worked out for the first time" in page and "Running periods of" not in page
    assert not Figures.objects.filter(kind="revenue").exists()
    refresh()
    assert "Running periods of 1 customer<" in staff.get("/admin/").content.decode()
    Figures.objects.filter(kind="revenue").update(milliseconds=60_000)
    made_at = Figures.objects.get(kind="revenue").made_at
    answer = staff.post("/admin/refresh", follow=True).content.decode()
    assert "within five minutes" in answer
    assert Figures.objects.get(kind="revenue").made_at == made_at, "what is shown is as of then"
    assert figures.is_stale("revenue", now=timezone.now()) and not figures.is_stale("operations", now=timezone.now())
